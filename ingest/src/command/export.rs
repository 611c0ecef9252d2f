//! `silt export`: the rows of a stream as a file.

use std::fs::File;
#[cfg(feature = "sql")]
use std::io::IsTerminal;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use siltstone_store::batch::{Batch, BatchColumn};
use siltstone_store::predicate::Predicate;
use siltstone_store::schema::{ColumnType, Schema};
use siltstone_store::snapshot::Snapshot;

use super::common::{self, Reading};
use super::count::Condition;
use crate::failure::{Failure, Outcome};
use crate::filter;
use crate::output::{RowFormat, RowWriter};
use crate::progress::grouped;

/// Arguments of `silt export`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Of rows that were downsampled one line is written for each bucket of time: its start, its keys, means of numbers, and the
last text. --precision tells such lines from others.

Examples:
  silt export store climate --format csv > climate.csv
  silt export store climate --columns temp_c,rh_pct --where \"ts >= '2016-07-01'\" --format parquet --output july.parquet")]
pub struct Args {
    /// Directory of the store
    pub store: PathBuf,
    /// Stream to export
    pub stream: String,
    /// Format of the file (parquet and arrow need a build with SQL)
    #[arg(long, value_enum, default_value = "csv")]
    pub format: ExportFormat,
    /// File to write (default: standard output)
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// A last column that says how exact each line is: raw, eps=0.05, or 60s for one that stands for all rows of a minute
    #[arg(long)]
    pub precision: bool,
    /// Only these columns, and the time
    #[arg(long, value_name = "COL,...", value_delimiter = ',')]
    pub columns: Vec<String>,
    /// Which rows
    #[command(flatten)]
    pub condition: Condition,
    /// How to read
    #[command(flatten)]
    pub reading: Reading,
}

/// Formats of an exported file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ExportFormat {
    /// Comma-separated values with a header line
    Csv,
    /// One JSON object a line
    Jsonl,
    /// Apache Parquet
    Parquet,
    /// Apache Arrow IPC stream
    Arrow,
}

/// Writes the rows, sorted by (keys, time) within each segment.
///
/// # Errors
/// When the store cannot be read or the file not be written.
pub fn run(args: &Args) -> Outcome {
    let store = args.reading.open(&args.store)?;
    let (snapshot, answer) = args.reading.snapshot(&store, &args.stream)?;
    let schema = snapshot.schema();
    let names: Vec<&str> = match args.columns.as_slice() {
        [] => common::column_names(schema),
        asked => asked
            .iter()
            .map(String::as_str)
            .filter(|name| *name != schema.time_name())
            .collect(),
    };
    let mut shape = common::projected(schema, &names)?;
    if args.precision {
        shape = shape.with_channel(PRECISION, ColumnType::Text, "")?;
    }
    let question = Question {
        snapshot: &snapshot,
        schema: Arc::new(shape),
        names,
        args,
    };
    let rows = match &args.output {
        None => question.write(super::stdout())?,
        Some(path) => {
            let file = File::create(path).map_err(|e| Failure::io("create", path, &e))?;
            question.write(Box::new(BufWriter::new(file)))?
        }
    };
    eprintln!("silt: {} rows", grouped(rows));
    if snapshot.has_buckets() && !args.precision {
        eprintln!("silt: some of them stand for many, which were downsampled; --precision says which");
    }
    Ok(answer)
}

/// Name of the column that says how exact a line is.
const PRECISION: &str = "_precision";

/// Rows, batch by batch.
type Rows<'a> = Box<dyn Iterator<Item = siltstone_store::Result<Batch>> + 'a>;

struct Question<'a> {
    snapshot: &'a Snapshot,
    schema: Arc<Schema>,
    names: Vec<&'a str>,
    args: &'a Args,
}

impl Question<'_> {
    fn write(&self, out: Box<dyn Write + Send>) -> Outcome<u64> {
        let expression = self.args.condition.expression.as_deref();
        let predicate = filter::parse_optional(expression, self.snapshot.schema())?;
        let scan = self.scan(&predicate)?;
        let format = match self.args.format {
            ExportFormat::Csv => RowFormat::Csv,
            ExportFormat::Jsonl => RowFormat::Jsonl,
            binary => return self.write_binary(scan, binary, out),
        };
        let mut writer = RowWriter::new(out, format, &self.schema);
        let mut rows = 0;
        for batch in scan {
            let batch = batch?;
            writer.write(&batch, usize::MAX)?;
            rows += batch.len() as u64;
        }
        writer.finish()?;
        Ok(rows)
    }

    /// The rows part by part, with their precision if that is asked for.
    fn scan(&self, predicate: &Predicate) -> Outcome<Rows<'_>> {
        if !self.args.precision {
            return Ok(Box::new(self.snapshot.scan(&self.names, predicate)?));
        }
        let mut parts = Vec::with_capacity(self.snapshot.part_count());
        for part in 0..self.snapshot.part_count() {
            let precision = self.snapshot.part_precision(part)?;
            let schema = Arc::clone(&self.schema);
            let scan = self.snapshot.scan_part(part, &self.names, predicate)?;
            parts.push(scan.map(move |batch| {
                let batch = batch?;
                let mut wider = Batch::new(Arc::clone(&schema));
                let mut column = BatchColumn::new(ColumnType::Text);
                (0..batch.len()).for_each(|_| column.push_bytes(precision.as_bytes()));
                wider.times = batch.times;
                wider.columns = batch.columns;
                wider.columns.push(column);
                Ok(wider)
            }));
        }
        Ok(Box::new(parts.into_iter().flatten()))
    }

    #[cfg(feature = "sql")]
    fn write_binary(&self, scan: Rows<'_>, format: ExportFormat, out: Box<dyn Write + Send>) -> Outcome<u64> {
        use siltstone_query::export::{self, Format};
        if self.args.output.is_none() && std::io::stdout().is_terminal() {
            return Err(Failure::usage(
                "Parquet and Arrow are not for a terminal; name a file with --output",
            ));
        }
        let format = if format == ExportFormat::Parquet {
            Format::Parquet
        } else {
            Format::Arrow
        };
        Ok(export::export(&self.schema, scan, format, out)?)
    }

    #[cfg(not(feature = "sql"))]
    fn write_binary(&self, _: Rows<'_>, _: ExportFormat, _: Box<dyn Write + Send>) -> Outcome<u64> {
        Err(Failure::usage(
            "this build writes csv and jsonl; parquet and arrow need one with SQL (the default features)",
        ))
    }
}
