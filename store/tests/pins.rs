//! Pins that name keys hold the rows of these keys alone.

#![allow(clippy::unwrap_used, clippy::single_range_in_vec_init)]

use std::ops::Range;
use std::sync::Arc;

use siltstone_store::batch::Batch;
use siltstone_store::predicate::Predicate;
use siltstone_store::schema::{ColumnType, Schema, SharedSchema, TimeUnit};
use siltstone_store::storage::memory::MemoryStorage;
use siltstone_store::store::{Pin, Store};
use siltstone_store::value::Value;
use support::cache::{BUDGET, lost, options, taken};

mod support;

/// Rows of the two devices, row by row in turn; row i is at i / 2 seconds.
fn keyed_rows(schema: &SharedSchema, range: Range<i64>) -> Batch {
    let mut batch = Batch::new(schema.clone());
    for i in range {
        let noise = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) as i64;
        let device = if i % 2 == 0 { Value::from("a") } else { Value::Null };
        batch
            .push_row(i / 2, &[device, Value::I64(i), Value::I64(noise)])
            .unwrap();
    }
    batch
}

fn keyed_numbers(store: &Store) -> Vec<i64> {
    let snapshot = store.snapshot("s").unwrap();
    let batches = snapshot.scan(&["number"], &Predicate::All).unwrap();
    let mut out: Vec<i64> = Vec::new();
    for batch in batches {
        let batch = batch.unwrap();
        let numbers = (0..batch.len()).map(|row| batch.columns[0].value(ColumnType::I64, row));
        out.extend(numbers.map(|number| match number {
            Value::I64(number) => number,
            other => panic!("{other:?}"),
        }));
    }
    out.sort_unstable();
    out
}

#[test]
fn only_rows_of_the_pinned_key_stay() {
    let schema = Schema::new("time", TimeUnit::Second)
        .with_key("device", ColumnType::Text)
        .and_then(|s| s.with_channel("number", ColumnType::I64, ""))
        .and_then(|s| s.with_channel("more", ColumnType::I64, ""))
        .unwrap();
    let storage = MemoryStorage::new();
    let store = Store::create_in(Arc::new(storage.clone()), options(BUDGET)).unwrap();
    let shape = store.create_stream("s", schema).unwrap();
    let pin = |device: Value, times: Range<i64>| Pin {
        times,
        keys: vec![("device".to_owned(), device)],
    };
    let pins = [
        (10..12).into(),
        pin(Value::Null, 300..302),
        pin(Value::from("a"), 100..104),
        pin(Value::from("nobody"), 0..1_000),
    ];
    store.pin("s", &pins).unwrap();
    let mut listed = store.pins("s").unwrap();
    listed.sort_by_key(|pin| (pin.times.start, pin.times.end));
    let mut wanted = pins.to_vec();
    wanted.sort_by_key(|pin| (pin.times.start, pin.times.end));
    assert_eq!(listed, wanted);
    let mut next = 0;
    while next < 60_000 {
        store.append("s", &keyed_rows(&shape, next..next + 100)).unwrap();
        next += 100;
        store.maintain().unwrap();
        assert!(taken(&storage) <= BUDGET);
    }
    let left = keyed_numbers(&store);
    assert_eq!(left[..10], [20, 21, 22, 23, 200, 202, 204, 206, 601, 603]);
    assert!(left[10] > 20_000, "{}", left[10]);
    assert_eq!(left.len() as u64 + lost(&store, "s"), next as u64);
    // Another key's pin does not hold what was let go.
    store.pin("s", &[pin(Value::Null, 100..104)]).unwrap();
    store.unpin("s", &[pin(Value::from("a"), 0..1_000)]).unwrap();
    while next < 80_000 {
        store.append("s", &keyed_rows(&shape, next..next + 100)).unwrap();
        next += 100;
        store.maintain().unwrap();
    }
    assert_eq!(keyed_numbers(&store)[..6], [20, 21, 22, 23, 601, 603]);
    // Without a key, all that lies in the stretch is let go.
    store.unpin("s", &[(0..1_000).into()]).unwrap();
    assert_eq!(store.pins("s").unwrap(), []);
    let wrong = Pin {
        times: 0..1,
        keys: vec![("number".to_owned(), Value::I64(1))],
    };
    assert!(store.pin("s", &[wrong]).is_err());
    // By age, too.
    store.seal("s").unwrap();
    store.pin("s", &[pin(Value::from("a"), 39_900..39_902)]).unwrap();
    store.set_retention("s", &"drop=1s".parse().unwrap()).unwrap();
    store.append("s", &keyed_rows(&shape, 200_000..200_002)).unwrap();
    store.seal("s").unwrap();
    store.maintain().unwrap();
    assert_eq!(keyed_numbers(&store), [79_800, 79_802, 200_000, 200_001]);
}
