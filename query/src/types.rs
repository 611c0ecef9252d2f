//! A stream's schema as arrow's, and its batches as record batches.
//!
//! | store | arrow | cost of a batch |
//! |---|---|---|
//! | time, timestamp | `Timestamp(unit, no zone)` | moved (keys: one pass in place) |
//! | i64, u64, f64 | `Int64`, `UInt64`, `Float64` | moved (signed, float: one pass in place) |
//! | narrower numbers, bool | the arrow type of that width | one pass into a new buffer |
//! | text, bytes | `LargeUtf8`, `LargeBinary` | moved; text is checked to be UTF-8 |
//! | validity | null bitmap | moved |
//!
//! Times are UTC, but the type carries no zone: DataFusion's `TIMESTAMP '...'`, `now()` and `to_timestamp()` carry
//! none either, so comparisons, `date_bin` and joins need no cast between two kinds of timestamp, and a literal
//! without an offset means UTC. A literal with an offset is converted to UTC before it meets the column.
//!
//! Large offsets (64 bits) are the store's own: nothing is rewritten, and 8,192 values of up to 64 MiB fit.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, ArrowPrimitiveType, BooleanArray, LargeBinaryArray, LargeStringArray, PrimitiveArray,
    RecordBatch, RecordBatchOptions,
};
use datafusion::arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use datafusion::arrow::datatypes::{
    DataType, Field, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Schema as ArrowSchema, SchemaRef, TimeUnit as ArrowUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use datafusion::arrow::error::ArrowError;
use datafusion::common::ScalarValue;
use siltstone_store::batch::{Batch, BatchColumn, ColumnData};
use siltstone_store::rows::Mask;
use siltstone_store::schema::{ColumnType, Schema, TimeUnit};
use siltstone_store::value::{Value, f32_of, f64_of, i64_of};

/// Arrow's name for a unit of time.
pub(crate) fn unit_of(unit: TimeUnit) -> ArrowUnit {
    match unit {
        TimeUnit::Second => ArrowUnit::Second,
        TimeUnit::Millisecond => ArrowUnit::Millisecond,
        TimeUnit::Microsecond => ArrowUnit::Microsecond,
        TimeUnit::Nanosecond => ArrowUnit::Nanosecond,
    }
}

/// Arrow's type for a column.
pub(crate) fn data_type(ty: ColumnType) -> DataType {
    match ty {
        ColumnType::Bool => DataType::Boolean,
        ColumnType::I8 => DataType::Int8,
        ColumnType::I16 => DataType::Int16,
        ColumnType::I32 => DataType::Int32,
        ColumnType::I64 => DataType::Int64,
        ColumnType::U8 => DataType::UInt8,
        ColumnType::U16 => DataType::UInt16,
        ColumnType::U32 => DataType::UInt32,
        ColumnType::U64 => DataType::UInt64,
        ColumnType::F32 => DataType::Float32,
        ColumnType::F64 => DataType::Float64,
        ColumnType::Timestamp(unit) => DataType::Timestamp(unit_of(unit), None),
        ColumnType::Text => DataType::LargeUtf8,
        ColumnType::Bytes => DataType::LargeBinary,
    }
}

/// A stream's columns as SQL sees them: the time first, then keys and channels in schema order.
pub(crate) fn arrow_schema(schema: &Schema) -> SchemaRef {
    let time = Field::new(
        schema.time_name(),
        data_type(ColumnType::Timestamp(schema.time_unit())),
        false,
    );
    let columns = schema
        .columns()
        .iter()
        .map(|c| Field::new(&c.name, data_type(c.ty), true));
    Arc::new(ArrowSchema::new(
        std::iter::once(time).chain(columns).collect::<Vec<_>>(),
    ))
}

/// Type of a column by name, the time column included.
pub(crate) fn column_type(schema: &Schema, name: &str) -> Option<ColumnType> {
    if name == schema.time_name() {
        return Some(ColumnType::Timestamp(schema.time_unit()));
    }
    schema.column(name).map(|c| c.ty)
}

/// A value as DataFusion's scalar of the column's type; `None` if it does not fit.
pub(crate) fn scalar(ty: ColumnType, value: &Value) -> Option<ScalarValue> {
    let signed = || match *value {
        Value::I64(v) | Value::Timestamp(v) => Some(v),
        _ => None,
    };
    let unsigned = || match *value {
        Value::U64(v) => Some(v),
        _ => None,
    };
    Some(match ty {
        ColumnType::Bool => ScalarValue::Boolean(Some(matches!(value, Value::Bool(true)))),
        ColumnType::I8 => ScalarValue::Int8(Some(i8::try_from(signed()?).ok()?)),
        ColumnType::I16 => ScalarValue::Int16(Some(i16::try_from(signed()?).ok()?)),
        ColumnType::I32 => ScalarValue::Int32(Some(i32::try_from(signed()?).ok()?)),
        ColumnType::I64 => ScalarValue::Int64(Some(signed()?)),
        ColumnType::U8 => ScalarValue::UInt8(Some(u8::try_from(unsigned()?).ok()?)),
        ColumnType::U16 => ScalarValue::UInt16(Some(u16::try_from(unsigned()?).ok()?)),
        ColumnType::U32 => ScalarValue::UInt32(Some(u32::try_from(unsigned()?).ok()?)),
        ColumnType::U64 => ScalarValue::UInt64(Some(unsigned()?)),
        ColumnType::F32 => match *value {
            Value::F32(v) => ScalarValue::Float32(Some(v)),
            _ => return None,
        },
        ColumnType::F64 => match *value {
            Value::F64(v) => ScalarValue::Float64(Some(v)),
            _ => return None,
        },
        ColumnType::Timestamp(unit) => match unit {
            TimeUnit::Second => ScalarValue::TimestampSecond(Some(signed()?), None),
            TimeUnit::Millisecond => ScalarValue::TimestampMillisecond(Some(signed()?), None),
            TimeUnit::Microsecond => ScalarValue::TimestampMicrosecond(Some(signed()?), None),
            TimeUnit::Nanosecond => ScalarValue::TimestampNanosecond(Some(signed()?), None),
        },
        ColumnType::Text => match value {
            Value::Text(text) => ScalarValue::LargeUtf8(Some(text.clone())),
            _ => return None,
        },
        ColumnType::Bytes => ScalarValue::LargeBinary(Some(value.as_bytes()?.to_vec())),
    })
}

/// The named columns of a batch (the time column by its name), as a record batch of schema `target`.
///
/// # Errors
/// If a column is missing, or a text value is not UTF-8.
pub(crate) fn record_batch(mut batch: Batch, target: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let rows = batch.len();
    let schema = Arc::clone(batch.schema());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(target.fields().len());
    for field in target.fields() {
        let name = field.name();
        if name == schema.time_name() {
            columns.push(times(schema.time_unit(), std::mem::take(&mut batch.times)));
            continue;
        }
        let missing = || ArrowError::SchemaError(format!("the scan did not return column {name:?}"));
        let index = schema.position(name).ok_or_else(missing)?;
        let (spec, column) = (
            schema.columns().get(index).ok_or_else(missing)?,
            batch.columns.get_mut(index),
        );
        let column = std::mem::replace(column.ok_or_else(missing)?, BatchColumn::new(spec.ty));
        columns.push(array(spec.ty, column)?);
    }
    RecordBatch::try_new_with_options(
        Arc::clone(target),
        columns,
        &RecordBatchOptions::new().with_row_count(Some(rows)),
    )
}

fn times(unit: TimeUnit, times: Vec<i64>) -> ArrayRef {
    primitive_of_unit(unit, times.into(), None)
}

fn primitive_of_unit(unit: TimeUnit, values: ScalarBuffer<i64>, nulls: Option<NullBuffer>) -> ArrayRef {
    match unit {
        TimeUnit::Second => Arc::new(PrimitiveArray::<TimestampSecondType>::new(values, nulls)),
        TimeUnit::Millisecond => Arc::new(PrimitiveArray::<TimestampMillisecondType>::new(values, nulls)),
        TimeUnit::Microsecond => Arc::new(PrimitiveArray::<TimestampMicrosecondType>::new(values, nulls)),
        TimeUnit::Nanosecond => Arc::new(PrimitiveArray::<TimestampNanosecondType>::new(values, nulls)),
    }
}

/// A column as an arrow array.
pub(crate) fn array(ty: ColumnType, column: BatchColumn) -> Result<ArrayRef, ArrowError> {
    let nulls = column.validity.map(null_buffer);
    match column.data {
        ColumnData::Keys(keys) => Ok(fixed_width(ty, keys, nulls)),
        ColumnData::Binary(bytes) => {
            let (offsets, bytes) = bytes.into_parts();
            // Offsets are lengths of memory, so they are below 2^63 and mean the same as i64; `new` checks the order.
            let offsets = OffsetBuffer::new(ScalarBuffer::<i64>::from(Buffer::from_vec(offsets)));
            let bytes = Buffer::from_vec(bytes);
            Ok(match ty {
                ColumnType::Text => Arc::new(LargeStringArray::try_new(offsets, bytes, nulls)?),
                _ => Arc::new(LargeBinaryArray::try_new(offsets, bytes, nulls)?),
            })
        }
    }
}

/// The mask's words are the bitmap's bytes on a little-endian machine, and are swapped on another.
fn null_buffer(mut validity: Mask) -> NullBuffer {
    let rows = validity.len();
    validity.force_align();
    let mut words = validity.into_vec();
    for word in &mut words {
        *word = word.to_le();
    }
    NullBuffer::new(BooleanBuffer::new(Buffer::from_vec(words), 0, rows))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "keys of a narrow type turn back into values of that type"
)]
fn fixed_width(ty: ColumnType, mut keys: Vec<u64>, nulls: Option<NullBuffer>) -> ArrayRef {
    match ty {
        ColumnType::Bool => {
            let values =
                BooleanBuffer::collect_bool(keys.len(), |row| keys.get(row).is_some_and(|&key| key != 0));
            Arc::new(BooleanArray::new(values, nulls))
        }
        ColumnType::I8 => narrow::<Int8Type>(&keys, nulls, |key| i64_of(key) as i8),
        ColumnType::I16 => narrow::<Int16Type>(&keys, nulls, |key| i64_of(key) as i16),
        ColumnType::I32 => narrow::<Int32Type>(&keys, nulls, |key| i64_of(key) as i32),
        ColumnType::U8 => narrow::<UInt8Type>(&keys, nulls, |key| key as u8),
        ColumnType::U16 => narrow::<UInt16Type>(&keys, nulls, |key| key as u16),
        ColumnType::U32 => narrow::<UInt32Type>(&keys, nulls, |key| key as u32),
        ColumnType::F32 => narrow::<Float32Type>(&keys, nulls, f32_of),
        ColumnType::U64 => Arc::new(PrimitiveArray::<UInt64Type>::new(keys.into(), nulls)),
        ColumnType::I64 => Arc::new(PrimitiveArray::<Int64Type>::new(signed(keys), nulls)),
        ColumnType::Timestamp(unit) => primitive_of_unit(unit, signed(keys), nulls),
        ColumnType::F64 => {
            for key in &mut keys {
                *key = f64_of(*key).to_bits();
            }
            Arc::new(PrimitiveArray::<Float64Type>::new(
                ScalarBuffer::from(Buffer::from_vec(keys)),
                nulls,
            ))
        }
        // A binary column never holds keys; an empty array of the wrong type is refused by the record batch.
        ColumnType::Text | ColumnType::Bytes => {
            Arc::new(PrimitiveArray::<UInt64Type>::new(keys.into(), nulls))
        }
    }
}

fn signed(mut keys: Vec<u64>) -> ScalarBuffer<i64> {
    for key in &mut keys {
        *key = i64_of(*key).cast_unsigned();
    }
    ScalarBuffer::from(Buffer::from_vec(keys))
}

fn narrow<T: ArrowPrimitiveType>(
    keys: &[u64],
    nulls: Option<NullBuffer>,
    value: impl Fn(u64) -> T::Native,
) -> ArrayRef {
    let values: Vec<T::Native> = keys.iter().map(|&key| value(key)).collect();
    Arc::new(PrimitiveArray::<T>::new(values.into(), nulls))
}
