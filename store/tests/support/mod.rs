//! Rows that tell their number in each column, for tests of what comes back.

#![allow(dead_code, clippy::unwrap_used)]

use siltstone_store::batch::Batch;
use siltstone_store::predicate::Predicate;
use siltstone_store::schema::{ColumnType, Schema, SharedSchema, TimeUnit};
use siltstone_store::store::{Options, Store, SyncPolicy};
use siltstone_store::value::Value;

pub mod cache;

pub fn schema() -> Schema {
    Schema::new("time", TimeUnit::Millisecond)
        .with_key("device", ColumnType::Text)
        .and_then(|s| s.with_channel("temperature", ColumnType::F64, "degC"))
        .and_then(|s| s.with_channel("count", ColumnType::I16, ""))
        .and_then(|s| s.with_channel("note", ColumnType::Text, ""))
        .unwrap()
}

/// Rows `range`; row i has time i and tells its number in each column.
pub fn rows(schema: &SharedSchema, range: std::ops::Range<i64>) -> Batch {
    let mut batch = Batch::new(schema.clone());
    for i in range {
        let note = if i % 3 == 0 {
            Value::Null
        } else {
            Value::Text(format!("note {i}"))
        };
        let device = Value::Text(format!("d{}", i % 2));
        batch
            .push_row(i, &[device, Value::F64(i as f64 / 10.0), Value::I64(i), note])
            .unwrap();
    }
    batch
}

/// The numbers of all rows, sorted.
pub fn numbers(store: &Store, stream: &str) -> Vec<i64> {
    let snapshot = store.snapshot(stream).unwrap();
    let mut out = Vec::new();
    for batch in snapshot
        .scan(&["device", "temperature", "count", "note"], &Predicate::All)
        .unwrap()
    {
        let batch = batch.unwrap();
        for row in 0..batch.len() {
            let i = batch.times[row];
            assert_eq!(
                batch.columns[0].bytes(row).unwrap(),
                format!("d{}", i % 2).as_bytes()
            );
            assert_eq!(
                batch.columns[1].value(ColumnType::F64, row),
                Value::F64(i as f64 / 10.0)
            );
            assert_eq!(batch.columns[2].value(ColumnType::I16, row), Value::I64(i));
            let note = batch.columns[3].bytes(row).map(<[u8]>::to_vec);
            assert_eq!(note, (i % 3 != 0).then(|| format!("note {i}").into_bytes()));
            out.push(i);
        }
    }
    out.sort_unstable();
    out
}

pub fn options(sync: SyncPolicy) -> Options {
    Options {
        sync,
        ..Options::default()
    }
}
