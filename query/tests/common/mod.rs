//! A stream of every type, its rows as plain values, and the same rows as a `MemTable`.

#![allow(dead_code, reason = "each test file uses a part")]

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::{
    DataType, Field, Schema as ArrowSchema, SchemaRef, TimeUnit as ArrowUnit,
};
use datafusion::catalog::MemTable;
use datafusion::execution::FunctionRegistry;
use datafusion::physical_plan::common::collect;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::scalar::ScalarValue;
use siltstone_query::{Settings, context_of, execute};
use siltstone_store::batch::Batch;
use siltstone_store::schema::{ColumnType, Schema, SharedSchema, TimeUnit};
use siltstone_store::segment::{Segment, writer};
use siltstone_store::snapshot::Snapshot;
use siltstone_store::value::Value;

/// A row: time, then a value for each column.
pub type Row = (i64, Vec<Value>);

/// The stream that the tests ask: two keys, and a channel of every kind.
pub fn schema() -> SharedSchema {
    let millisecond = ColumnType::Timestamp(TimeUnit::Millisecond);
    let schema = Schema::new("ts", TimeUnit::Nanosecond)
        .with_key("k1", ColumnType::Text)
        .and_then(|s| s.with_key("k2", ColumnType::I32))
        .and_then(|s| s.with_channel("id", ColumnType::I64, ""))
        .and_then(|s| s.with_channel("f", ColumnType::F64, "m/s2"))
        .and_then(|s| s.with_channel("g", ColumnType::F32, "K"))
        .and_then(|s| s.with_channel("i", ColumnType::I16, ""))
        .and_then(|s| s.with_channel("u", ColumnType::U64, ""))
        .and_then(|s| s.with_channel("b", ColumnType::Bool, ""))
        .and_then(|s| s.with_channel("t", ColumnType::Text, ""))
        .and_then(|s| s.with_channel("x", ColumnType::Bytes, ""))
        .and_then(|s| s.with_channel("m", millisecond, ""));
    Arc::new(schema.unwrap())
}

/// Rows as a batch sorted by (keys, time), the order of arrival kept among equals.
pub fn batch(schema: &SharedSchema, rows: &[Row]) -> Batch {
    let keys = schema.keys().len();
    let mut rows: Vec<&Row> = rows.iter().collect();
    rows.sort_by(|a, b| {
        let key = |row: &Row| row.1[..keys].iter().map(rank).collect::<Vec<_>>();
        key(a).cmp(&key(b)).then(a.0.cmp(&b.0))
    });
    let mut batch = Batch::new(Arc::clone(schema));
    for (time, values) in rows {
        batch.push_row(*time, values).unwrap();
    }
    batch
}

/// Order of key values: null first.
fn rank(value: &Value) -> (u8, i64, Vec<u8>) {
    match value {
        Value::Null => (0, 0, Vec::new()),
        Value::I64(v) => (1, *v, Vec::new()),
        other => (1, 0, other.as_bytes().unwrap().to_vec()),
    }
}

/// A snapshot of segments with the given rows, and a tail.
pub fn snapshot(schema: &SharedSchema, segments: &[&[Row]], tail: &[Row]) -> Snapshot {
    let mut sequence = 1;
    let mut open = Vec::new();
    for (index, rows) in segments.iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
        let mut file = Vec::new();
        let hints = vec![siltstone_store::column::Hints::default(); schema.columns().len()];
        let last = sequence + rows.len() as u64 - 1;
        let mut sink = |bytes: &[u8]| {
            file.extend_from_slice(bytes);
            Ok(())
        };
        writer::write(&batch(schema, rows), (sequence, last), &hints, &mut sink).unwrap();
        sequence = last + 1;
        open.push(Arc::new(
            Segment::open(&format!("{index}.seg"), Arc::new(file)).unwrap(),
        ));
    }
    Snapshot::new(Arc::clone(schema), open, Some(Arc::new(batch(schema, tail))))
}

/// A session over the snapshot, as table `s`.
pub fn silt(snapshot: Snapshot, partitions: usize) -> SessionContext {
    context_of(
        [("s".to_owned(), snapshot)],
        Settings {
            partitions,
            memory_limit: 0,
            batch_rows: 0,
        },
    )
    .unwrap()
}

/// A stock session with the same rows in memory, as table `s`.
pub fn memory(schema: &Schema, rows: &[Row]) -> SessionContext {
    let columns = schema.columns().iter().enumerate().map(|(index, spec)| {
        let values = rows.iter().map(|row| arrow_scalar(spec.ty, &row.1[index]));
        (
            Field::new(&spec.name, arrow_type(spec.ty), true),
            array(arrow_type(spec.ty), values),
        )
    });
    let time = ColumnType::Timestamp(schema.time_unit());
    let times = rows
        .iter()
        .map(|row| arrow_scalar(time, &Value::Timestamp(row.0)));
    let time_field = Field::new(schema.time_name(), arrow_type(time), false);
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) =
        std::iter::once((time_field, array(arrow_type(time), times)))
            .chain(columns)
            .unzip();
    let arrow = Arc::new(ArrowSchema::new(fields));
    let batch = RecordBatch::try_new(Arc::clone(&arrow), arrays).unwrap();
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    let ours = silt(Snapshot::new(Arc::new(schema.clone()), Vec::new(), None), 1);
    let function = ours.udf("number_in").unwrap();
    context.register_udf(function.as_ref().clone());
    context
        .register_table(
            "s",
            Arc::new(MemTable::try_new(arrow, vec![vec![batch]]).unwrap()),
        )
        .unwrap();
    context
}

fn array(ty: DataType, values: impl Iterator<Item = ScalarValue>) -> ArrayRef {
    let values: Vec<ScalarValue> = values.collect();
    if values.is_empty() {
        return datafusion::arrow::array::new_empty_array(&ty);
    }
    ScalarValue::iter_to_array(values).unwrap()
}

fn arrow_type(ty: ColumnType) -> DataType {
    match ty {
        ColumnType::Bool => DataType::Boolean,
        ColumnType::I16 => DataType::Int16,
        ColumnType::I32 => DataType::Int32,
        ColumnType::I64 => DataType::Int64,
        ColumnType::U64 => DataType::UInt64,
        ColumnType::F32 => DataType::Float32,
        ColumnType::F64 => DataType::Float64,
        ColumnType::Timestamp(TimeUnit::Millisecond) => DataType::Timestamp(ArrowUnit::Millisecond, None),
        ColumnType::Timestamp(TimeUnit::Nanosecond) => DataType::Timestamp(ArrowUnit::Nanosecond, None),
        ColumnType::Text => DataType::LargeUtf8,
        ColumnType::Bytes => DataType::LargeBinary,
        other => panic!("no test column is {other}"),
    }
}

fn arrow_scalar(ty: ColumnType, value: &Value) -> ScalarValue {
    match (ty, value) {
        (_, Value::Null) => ScalarValue::try_from(&arrow_type(ty)).unwrap(),
        (ColumnType::Bool, Value::Bool(v)) => ScalarValue::Boolean(Some(*v)),
        (ColumnType::I16, Value::I64(v)) => ScalarValue::Int16(Some(i16::try_from(*v).unwrap())),
        (ColumnType::I32, Value::I64(v)) => ScalarValue::Int32(Some(i32::try_from(*v).unwrap())),
        (ColumnType::I64, Value::I64(v)) => ScalarValue::Int64(Some(*v)),
        (ColumnType::U64, Value::U64(v)) => ScalarValue::UInt64(Some(*v)),
        (ColumnType::F32, Value::F32(v)) => ScalarValue::Float32(Some(*v)),
        (ColumnType::F64, Value::F64(v)) => ScalarValue::Float64(Some(*v)),
        (ColumnType::Timestamp(TimeUnit::Millisecond), Value::Timestamp(v)) => {
            ScalarValue::TimestampMillisecond(Some(*v), None)
        }
        (ColumnType::Timestamp(_), Value::Timestamp(v)) => ScalarValue::TimestampNanosecond(Some(*v), None),
        (ColumnType::Text, Value::Text(v)) => ScalarValue::LargeUtf8(Some(v.clone())),
        (ColumnType::Bytes, Value::Bytes(v)) => ScalarValue::LargeBinary(Some(v.clone())),
        (ty, value) => panic!("{value:?} is no {ty}"),
    }
}

/// The rows of a query, or what it said instead.
pub async fn rows(context: &SessionContext, sql: &str) -> Result<Vec<Vec<ScalarValue>>, String> {
    let batches = match context.sql(sql).await {
        Ok(frame) => frame.collect().await,
        Err(error) => Err(error),
    };
    Ok(cells(&batches.map_err(|error| error.strip_backtrace())?))
}

/// The same rows by [`execute`], and the names and types of their columns.
pub async fn executed(
    context: &SessionContext,
    sql: &str,
) -> Result<(SchemaRef, Vec<Vec<ScalarValue>>), String> {
    let stream = execute(context, sql).await.map_err(|error| error.to_string())?;
    let schema = stream.schema();
    let batches = collect(stream).await.map_err(|error| error.strip_backtrace())?;
    Ok((schema, cells(&batches)))
}

fn cells(batches: &[RecordBatch]) -> Vec<Vec<ScalarValue>> {
    let mut rows = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let cell = |column: &ArrayRef| ScalarValue::try_from_array(column, row).unwrap();
            rows.push(batch.columns().iter().map(cell).collect());
        }
    }
    rows
}

/// The plan of a query, as EXPLAIN shows it.
pub async fn plan(context: &SessionContext, sql: &str) -> String {
    let plan = context
        .sql(sql)
        .await
        .unwrap()
        .create_physical_plan()
        .await
        .unwrap();
    datafusion::physical_plan::displayable(plan.as_ref())
        .indent(false)
        .to_string()
}
