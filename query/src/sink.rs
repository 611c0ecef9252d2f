//! INSERT: record batches appended to a stream.
//!
//! Each record batch (8,192 rows by default) is one atomic append, or several where a small budget leaves too little of
//! the log for it. A statement that fails half way keeps the batches
//! before; the rows of one `VALUES` list are one batch.

use std::fmt::{self, Formatter};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, RecordBatch};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, SchemaRef, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::datasource::sink::DataSink;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType};
use futures::StreamExt;
use siltstone_store::batch::{Batch, BatchColumn, ColumnData};
use siltstone_store::rows::Mask;
use siltstone_store::schema::{ColumnType, SharedSchema};
use siltstone_store::store::Store;
use siltstone_store::value::{key_of_f32, key_of_f64, key_of_i64};

use crate::error::external;
use crate::types::data_type;

/// Where INSERT INTO puts its rows.
pub(crate) struct StreamSink {
    store: Arc<Store>,
    stream: String,
    schema: SharedSchema,
    arrow: SchemaRef,
}

impl StreamSink {
    /// A sink for `stream`, whose columns SQL knows as `arrow`.
    pub fn new(store: Arc<Store>, stream: String, schema: SharedSchema, arrow: SchemaRef) -> Self {
        StreamSink {
            store,
            stream,
            schema,
            arrow,
        }
    }
}

impl fmt::Debug for StreamSink {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "StreamSink({})", self.stream)
    }
}

impl DisplayAs for StreamSink {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "StreamSink: stream={}", self.stream)
    }
}

#[async_trait]
impl DataSink for StreamSink {
    fn schema(&self) -> &SchemaRef {
        &self.arrow
    }

    async fn write_all(&self, mut data: SendableRecordBatchStream, _: &Arc<TaskContext>) -> Result<u64> {
        let (mut rows, mut sequence) = (0, None);
        while let Some(batch) = data.next().await {
            let batch = store_batch(&self.schema, &batch?)?;
            if batch.is_empty() {
                continue;
            }
            sequence = Some(
                self.store
                    .append_in_pieces(&self.stream, &batch)
                    .map_err(external)?
                    .sequence,
            );
            rows += batch.len() as u64;
        }
        // An INSERT that returned has happened: it survives a power cut.
        if let Some(sequence) = sequence {
            self.store.wait_durable(sequence).map_err(external)?;
        }
        Ok(rows)
    }
}

/// A record batch whose columns are the time, then those of `schema` in order, as the store takes it.
///
/// # Errors
/// If a time is null, or a value does not fit its column.
pub(crate) fn store_batch(schema: &SharedSchema, rows: &RecordBatch) -> Result<Batch> {
    let mut batch = Batch::new(Arc::clone(schema));
    let types = schema.columns().iter().map(|column| column.ty);
    let types = std::iter::once(ColumnType::Timestamp(schema.time_unit())).chain(types);
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    let mut columns = Vec::with_capacity(rows.num_columns());
    for (array, ty) in rows.columns().iter().zip(types) {
        let array = cast_with_options(array, &data_type(ty), &options)?;
        columns.push(column(ty, &array)?);
    }
    let mut columns = columns.into_iter();
    if let Some(BatchColumn {
        data: ColumnData::Keys(keys),
        validity,
    }) = columns.next()
    {
        if validity.is_some_and(|validity| validity.not_all()) {
            return Err(exec_datafusion_err!(
                "the time column {:?} cannot be null",
                schema.time_name()
            ));
        }
        batch.times = keys.into_iter().map(siltstone_store::value::i64_of).collect();
    }
    batch.columns = columns.collect();
    batch.check().map_err(external)?;
    Ok(batch)
}

/// An array of the arrow type of `ty` as a column.
fn column(ty: ColumnType, array: &ArrayRef) -> Result<BatchColumn> {
    let validity: Option<Mask> = array
        .nulls()
        .filter(|n| n.null_count() > 0)
        .map(|nulls| nulls.iter().collect());
    let data = match ty {
        ColumnType::Bool => {
            let values = array.as_boolean().iter();
            ColumnData::Keys(values.map(|value| u64::from(value.unwrap_or(false))).collect())
        }
        ColumnType::I8 => keys::<Int8Type>(array, |v| key_of_i64(v.into())),
        ColumnType::I16 => keys::<Int16Type>(array, |v| key_of_i64(v.into())),
        ColumnType::I32 => keys::<Int32Type>(array, |v| key_of_i64(v.into())),
        ColumnType::I64 => keys::<Int64Type>(array, key_of_i64),
        // The bits of a timestamp are those of its count of ticks.
        ColumnType::Timestamp(_) => {
            let ticks = cast_with_options(array, &DataType::Int64, &CastOptions::default())?;
            keys::<Int64Type>(&ticks, key_of_i64)
        }
        ColumnType::U8 => keys::<UInt8Type>(array, u64::from),
        ColumnType::U16 => keys::<UInt16Type>(array, u64::from),
        ColumnType::U32 => keys::<UInt32Type>(array, u64::from),
        ColumnType::U64 => keys::<UInt64Type>(array, |v| v),
        ColumnType::F32 => keys::<Float32Type>(array, key_of_f32),
        ColumnType::F64 => keys::<Float64Type>(array, key_of_f64),
        ColumnType::Text | ColumnType::Bytes => {
            let mut column = BatchColumn::new(ty);
            if ty == ColumnType::Text {
                array
                    .as_string::<i64>()
                    .iter()
                    .for_each(|v| column.push_bytes(v.unwrap_or_default().as_bytes()));
            } else {
                array
                    .as_binary::<i64>()
                    .iter()
                    .for_each(|v| column.push_bytes(v.unwrap_or_default()));
            }
            column.data
        }
    };
    Ok(BatchColumn { data, validity })
}

/// Keys of an array; 0 where it is null.
fn keys<T: ArrowPrimitiveType>(array: &ArrayRef, key: impl Fn(T::Native) -> u64) -> ColumnData {
    ColumnData::Keys(
        array
            .as_primitive::<T>()
            .iter()
            .map(|value| value.map_or(0, &key))
            .collect(),
    )
}
