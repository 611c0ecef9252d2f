//! Answers and streams as files: Parquet, CSV, JSON lines, Arrow IPC, and a table for people.
//!
//! Every writer takes one record batch at a time, so memory is bounded by a batch; Parquet also holds one row group,
//! which is closed at [`ROW_GROUP_BYTES`] or 1,048,576 rows. Times leave with their zone: UTC, as RFC 3339 in text.

use std::io::Write;
use std::str::FromStr;
use std::sync::Arc;
use std::thread;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::csv::WriterBuilder;
use datafusion::arrow::datatypes::{
    DataType, Field, Schema as ArrowSchema, SchemaRef, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use datafusion::arrow::ipc::writer::StreamWriter;
use datafusion::arrow::json::Writer as JsonWriter;
use datafusion::arrow::json::writer::{LineDelimited, WriterBuilder as JsonBuilder};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::{DataFrame, SessionContext};
use futures::StreamExt;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use siltstone_store::batch::Batch;
use siltstone_store::schema::Schema;

use crate::error::{Error, Result};
use crate::types::{arrow_schema, record_batch};

/// Bytes of encoded columns at which a Parquet row group is closed.
pub const ROW_GROUP_BYTES: usize = 32 << 20;

/// Rows that a table for people shows at most.
pub const TABLE_ROWS: usize = 1_000;

/// Stack of the thread that plans and runs a query; only what is used of it takes memory.
const STACK_BYTES: usize = 64 << 20;

/// Form of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A table for people, whole in memory, of at most [`TABLE_ROWS`] rows.
    Table,
    /// Comma-separated values with a header line; a null is an empty field.
    Csv,
    /// One JSON object a line; a null is left out, and so are NaN and infinities, which JSON cannot say.
    JsonLines,
    /// Apache Parquet, compressed by zstd.
    Parquet,
    /// Apache Arrow's IPC stream.
    Arrow,
}

impl FromStr for Format {
    type Err = Error;

    /// The format of this name: `table`, `csv`, `jsonl`, `parquet` or `arrow`.
    fn from_str(name: &str) -> Result<Format> {
        match name {
            "table" => Ok(Format::Table),
            "csv" => Ok(Format::Csv),
            "jsonl" => Ok(Format::JsonLines),
            "parquet" => Ok(Format::Parquet),
            "arrow" => Ok(Format::Arrow),
            _ => Err(Error::Query {
                what: format!(
                    "there is no output format {name:?}; there are table, csv, jsonl, parquet and arrow"
                ),
            }),
        }
    }
}

/// Writes batches of a scan of a stream, with its time and the columns of `schema`, and gives the number of rows.
///
/// `schema` is the one that the scan's batches have.
///
/// # Errors
/// `Store` if the scan fails, `Io` if `output` does.
pub fn export(
    schema: &Schema,
    batches: impl Iterator<Item = siltstone_store::Result<Batch>>,
    format: Format,
    output: impl Write + Send,
) -> Result<u64> {
    let arrow = arrow_schema(schema);
    let mut writer = BatchWriter::new(format, &arrow, output)?;
    for batch in batches {
        writer.write(&record_batch(batch?, &arrow)?)?;
    }
    writer.finish()
}

/// Runs a SQL statement on a thread of its own, and writes its answer; gives the number of rows.
///
/// Blocks the calling thread.
///
/// # Errors
/// `Query` if the statement is wrong or fails, `Store` if the store does, `Io` if `output` does.
pub fn run(context: &SessionContext, sql: &str, format: Format, output: impl Write + Send) -> Result<u64> {
    // DataFusion walks expressions and plans by recursion, so a deep query needs a deep stack.
    let worker = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        runtime.block_on(async { write_rows(crate::execute(context, sql).await?, format, output).await })
    };
    thread::scope(|scope| {
        let worker = thread::Builder::new()
            .name("sql".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, worker)?;
        worker.join().unwrap_or_else(|_| {
            Err(Error::Query {
                what: "the query engine stopped at an error of its own".to_owned(),
            })
        })
    })
}

/// Writes the rows of a query as they come, and gives their number.
///
/// # Errors
/// See [`run`].
pub async fn write_frame(frame: DataFrame, format: Format, output: impl Write + Send) -> Result<u64> {
    write_rows(frame.execute_stream().await?, format, output).await
}

/// Writes rows as they come, and gives their number.
///
/// # Errors
/// See [`run`].
pub async fn write_rows(
    mut rows: SendableRecordBatchStream,
    format: Format,
    output: impl Write + Send,
) -> Result<u64> {
    let mut writer = BatchWriter::new(format, &rows.schema(), output)?;
    while let Some(batch) = rows.next().await {
        writer.write(&batch?)?;
    }
    writer.finish()
}

/// A writer of one format.
struct BatchWriter<W: Write + Send> {
    sink: Sink<W>,
    schema: SchemaRef,
    rows: u64,
}

enum Sink<W: Write + Send> {
    Table {
        output: W,
        batches: Vec<RecordBatch>,
        left: usize,
    },
    Csv(Box<datafusion::arrow::csv::Writer<W>>),
    Json(Box<JsonWriter<W, LineDelimited>>),
    Parquet(Box<ArrowWriter<W>>),
    Arrow(Box<StreamWriter<W>>),
}

impl<W: Write + Send> BatchWriter<W> {
    fn new(format: Format, schema: &SchemaRef, output: W) -> Result<Self> {
        let schema = zoned_schema(schema, format == Format::Parquet);
        let sink = match format {
            Format::Table => Sink::Table {
                output,
                batches: Vec::new(),
                left: TABLE_ROWS,
            },
            Format::Csv => {
                let mut writer = WriterBuilder::new().with_header(true).build(output);
                // An answer without rows still says what its columns are.
                writer.write(&RecordBatch::new_empty(Arc::clone(&schema)))?;
                Sink::Csv(Box::new(writer))
            }
            Format::JsonLines => Sink::Json(Box::new(JsonBuilder::new().build(output))),
            Format::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::default()))
                    .set_created_by("siltstone".to_owned())
                    .build();
                Sink::Parquet(Box::new(ArrowWriter::try_new(
                    output,
                    Arc::clone(&schema),
                    Some(properties),
                )?))
            }
            Format::Arrow => Sink::Arrow(Box::new(StreamWriter::try_new(output, &schema)?)),
        };
        Ok(BatchWriter {
            sink,
            schema,
            rows: 0,
        })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let batch = zoned(batch, &self.schema)?;
        self.rows += batch.num_rows() as u64;
        match &mut self.sink {
            Sink::Table { batches, left, .. } => {
                let rows = batch.num_rows().min(*left);
                *left -= rows;
                if rows > 0 || batches.is_empty() {
                    batches.push(batch.slice(0, rows));
                }
            }
            Sink::Csv(writer) => writer.write(&batch)?,
            Sink::Json(writer) => writer.write(&batch)?,
            Sink::Parquet(writer) => {
                writer.write(&batch)?;
                if writer.in_progress_size() >= ROW_GROUP_BYTES {
                    writer.flush()?;
                }
            }
            Sink::Arrow(writer) => writer.write(&batch)?,
        }
        Ok(())
    }

    fn finish(self) -> Result<u64> {
        match self.sink {
            Sink::Table {
                mut output,
                mut batches,
                ..
            } => {
                if batches.is_empty() {
                    batches.push(RecordBatch::new_empty(self.schema));
                }
                writeln!(output, "{}", pretty_format_batches(&batches)?)?;
                let shown = self.rows.min(TABLE_ROWS as u64);
                if shown < self.rows {
                    writeln!(output, "{shown} of {} rows", self.rows)?;
                }
                output.flush()?;
            }
            Sink::Csv(writer) => writer.into_inner().flush()?,
            Sink::Json(mut writer) => {
                writer.finish()?;
                writer.into_inner().flush()?;
            }
            Sink::Parquet(writer) => writer.into_inner()?.flush()?,
            Sink::Arrow(mut writer) => {
                writer.finish()?;
                writer.into_inner()?.flush()?;
            }
        }
        Ok(self.rows)
    }
}

impl From<ParquetError> for Error {
    fn from(error: ParquetError) -> Self {
        match error {
            ParquetError::External(inner) => match inner.downcast::<std::io::Error>() {
                Ok(error) => Error::Io(*error),
                Err(inner) => Error::Query {
                    what: inner.to_string(),
                },
            },
            other => Error::Query {
                what: other.to_string(),
            },
        }
    }
}

/// The schema with UTC named in every timestamp that has no zone. `parquet`: with milliseconds for seconds, which
/// Parquet has no type for (they would be plain integers to who reads the file).
fn zoned_schema(schema: &SchemaRef, parquet: bool) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Timestamp(unit, zone) => {
            let unit = match unit {
                TimeUnit::Second if parquet => TimeUnit::Millisecond,
                unit => *unit,
            };
            let zone = zone.clone().unwrap_or_else(|| "UTC".into());
            Field::new(
                field.name(),
                DataType::Timestamp(unit, Some(zone)),
                field.is_nullable(),
            )
        }
        _ => field.as_ref().clone(),
    });
    Arc::new(ArrowSchema::new(fields.collect::<Vec<_>>()))
}

/// The batch with the columns of [`zoned_schema`]; only the type changes and the values stay where they are, except for
/// seconds that become milliseconds.
fn zoned(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
    for (column, field) in batch.columns().iter().zip(schema.fields()) {
        let column = in_utc(column);
        columns.push(if column.data_type() == field.data_type() {
            column
        } else {
            let options = CastOptions {
                safe: false,
                ..CastOptions::default()
            };
            cast_with_options(&column, field.data_type(), &options)?
        });
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns,
        &options,
    )?)
}

fn in_utc(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Timestamp(_, Some(_)) => Arc::clone(column),
        DataType::Timestamp(TimeUnit::Second, _) => Arc::new(
            column
                .as_primitive::<TimestampSecondType>()
                .clone()
                .with_timezone("UTC"),
        ),
        DataType::Timestamp(TimeUnit::Millisecond, _) => Arc::new(
            column
                .as_primitive::<TimestampMillisecondType>()
                .clone()
                .with_timezone("UTC"),
        ),
        DataType::Timestamp(TimeUnit::Microsecond, _) => Arc::new(
            column
                .as_primitive::<TimestampMicrosecondType>()
                .clone()
                .with_timezone("UTC"),
        ),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => Arc::new(
            column
                .as_primitive::<TimestampNanosecondType>()
                .clone()
                .with_timezone("UTC"),
        ),
        _ => Arc::clone(column),
    }
}
