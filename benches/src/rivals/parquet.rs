//! Parquet through its own reader: one column, page index, the metadata parsed once.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, UInt64Type};
use arrow_array::{ArrayRef, Float64Array, RecordBatch, UInt64Array};
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use siltstone_store::section::FileBytes;

use crate::Fallible;
use crate::data::Column;
use crate::subject::{Form, Maker, Subject};

/// The writers that are compared: the default (dictionary, no compression), zstd -3, and zstd -3 over the encoding
/// made for numbers (deltas for integers, split bytes for doubles).
pub fn makers() -> Vec<Box<dyn Maker>> {
    [Kind::Default, Kind::Zstd, Kind::Numbers]
        .into_iter()
        .map(|kind| Box::new(Parquet(kind)) as Box<dyn Maker>)
        .collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Default,
    Zstd,
    Numbers,
}

#[derive(Debug)]
struct Parquet(Kind);

/// Bytes of a table with zstd -3: dictionary as by default, or the encodings made for numbers instead.
pub fn size_of(rows: &RecordBatch, for_numbers: bool) -> Fallible<usize> {
    Ok(written(rows, if for_numbers { Kind::Numbers } else { Kind::Zstd })?.len())
}

fn written(rows: &RecordBatch, kind: Kind) -> Fallible<Vec<u8>> {
    let mut settings = WriterProperties::builder();
    if kind != Kind::Default {
        settings = settings.set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?));
    }
    for field in rows.schema().fields().iter().filter(|_| kind == Kind::Numbers) {
        let encoding = match field.data_type() {
            DataType::Float64 => Encoding::BYTE_STREAM_SPLIT,
            DataType::Utf8 => continue,
            _ => Encoding::DELTA_BINARY_PACKED,
        };
        let path = ColumnPath::from(field.name().as_str());
        settings = settings
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path, encoding);
    }
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), Some(settings.build()))?;
    writer.write(rows)?;
    writer.close()?;
    Ok(bytes)
}

impl Maker for Parquet {
    fn name(&self) -> String {
        match self.0 {
            Kind::Default => "parquet",
            Kind::Zstd => "parquet zstd",
            Kind::Numbers => "parquet delta/bss zstd",
        }
        .into()
    }

    fn encode(&self, column: &Column, form: Form) -> Option<Vec<u8>> {
        let (ty, array): (DataType, ArrayRef) = match form {
            Form::Codes => (
                DataType::UInt64,
                Arc::new(UInt64Array::from(column.codes.clone())),
            ),
            Form::Floats => (
                DataType::Float64,
                Arc::new(Float64Array::from(column.floats.clone()?)),
            ),
        };
        let schema = Arc::new(Schema::new(vec![Field::new("v", ty, false)]));
        Some(written(&RecordBatch::try_new(schema, vec![array]).unwrap(), self.0).unwrap())
    }

    fn open(&self, bytes: FileBytes, rows: u64, form: Form) -> Box<dyn Subject> {
        let bytes = Bytes::from_owner(Owner(bytes));
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
        let metadata = ArrowReaderMetadata::load(&bytes, options).unwrap();
        Box::new(Opened {
            bytes,
            metadata,
            rows,
            form,
        })
    }
}

struct Owner(FileBytes);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

struct Opened {
    bytes: Bytes,
    metadata: ArrowReaderMetadata,
    rows: u64,
    form: Form,
}

impl Subject for Opened {
    fn form(&self) -> Form {
        self.form
    }

    fn decode(&self, range: Range<u64>, out: &mut Vec<u64>) {
        out.clear();
        let mut builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(self.bytes.clone(), self.metadata.clone())
                .with_batch_size(((range.end - range.start) as usize).min(65_536));
        if range != (0..self.rows) {
            let (skip, rows) = (range.start as usize, (range.end - range.start) as usize);
            builder = builder.with_row_selection(RowSelection::from(vec![
                RowSelector::skip(skip),
                RowSelector::select(rows),
            ]));
        }
        for batch in builder.build().unwrap() {
            let batch = batch.unwrap();
            match self.form {
                Form::Codes => out.extend_from_slice(batch.column(0).as_primitive::<UInt64Type>().values()),
                Form::Floats => {
                    let values = batch.column(0).as_primitive::<Float64Type>().values();
                    out.extend(values.iter().map(|value| value.to_bits()));
                }
            }
        }
    }
}
