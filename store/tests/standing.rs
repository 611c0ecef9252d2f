//! Rows that stand for many, through the life of a store: buckets that become longer, what is lost of them, what is read
//! of them by cursors, and what a repair makes of them.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests")]

use std::sync::Arc;

use siltstone_store::batch::Batch;
use siltstone_store::keep::LossKind;
use siltstone_store::predicate::Predicate;
use siltstone_store::schema::{ColumnType, Schema, SharedSchema, TimeUnit};
use siltstone_store::storage::memory::MemoryStorage;
use siltstone_store::store::{Options, Store};
use siltstone_store::value::Value;

const SEGMENT: i64 = 6_000;

fn schema() -> Schema {
    Schema::new("time", TimeUnit::Second)
        .with_key("device", ColumnType::Text)
        .and_then(|s| s.with_channel("temp", ColumnType::F64, "degC"))
        .and_then(|s| s.with_channel("count", ColumnType::I32, ""))
        .and_then(|s| s.with_channel("note", ColumnType::Text, ""))
        .unwrap()
}

/// Two rows a second, of two devices; values of the random kind, so that buckets save bytes.
fn rows(schema: &SharedSchema, range: std::ops::Range<i64>) -> Batch {
    let mut batch = Batch::new(schema.clone());
    for i in range {
        let noise = ((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as i64;
        let row = [
            Value::Text(format!("d{}", i % 2)),
            if i % 13 == 0 {
                Value::Null
            } else {
                Value::F64((noise % 9_000) as f64 / 100.0)
            },
            Value::I64(noise % 100_000),
            Value::Text(format!("n{}", i / 500)),
        ];
        batch.push_row(i / 2, &row).unwrap();
    }
    batch
}

fn filled(storage: &MemoryStorage, options: Options, segments: i64) -> Store {
    let store = Store::create_in(Arc::new(storage.clone()), options).unwrap();
    let shape = store.create_stream("s", schema()).unwrap();
    for at in 0..segments {
        store
            .append("s", &rows(&shape, at * SEGMENT..(at + 1) * SEGMENT))
            .unwrap();
        store.seal("s").unwrap();
    }
    store
}

fn age(store: &Store, policy: &str) {
    store.set_retention("s", &policy.parse().unwrap()).unwrap();
    store.maintain().unwrap();
}

/// Rows as they are stored, and what they stand for; number and sum of values, and their extremes.
fn summary(store: &Store) -> (u64, u64, String) {
    let snapshot = store.snapshot("s").unwrap();
    let all = &Predicate::All;
    let values = format!(
        "{} {:?} {:?} {:?} {:?}",
        snapshot.count_values("temp", all).unwrap(),
        snapshot.sum("count", all).unwrap(),
        snapshot.min_max("temp", all).unwrap(),
        snapshot.min_max("time", all).unwrap(),
        snapshot.count_values("note", all).unwrap(),
    );
    (snapshot.row_count(), snapshot.count(all).unwrap(), values)
}

#[test]
fn longer_buckets_take_shorter_ones_up() {
    let storage = MemoryStorage::new();
    let store = filled(&storage, Options::default(), 4);
    let (raw, _, expected) = summary(&store);
    age(&store, "downsample=0s,every=10s,drop=full");
    let short = summary(&store);
    assert!(short.0 < raw && short.1 == raw, "{short:?}");
    assert_eq!(short.2, expected);
    age(&store, "downsample=0s,every=60s,drop=full");
    let long = summary(&store);
    assert!(long.0 * 5 < short.0 && long.1 == raw, "{long:?}");
    assert_eq!(long.2, expected);
    let snapshot = store.snapshot("s").unwrap();
    assert!((0..snapshot.part_count()).all(|part| snapshot.part_precision(part).unwrap() == "60s"));
    // The median of all lies within its bounds still.
    let bounds = snapshot
        .quantile_bounds("temp", 0.5, &Predicate::All)
        .unwrap()
        .unwrap();
    assert!(bounds.low <= 45.0 && 44.0 <= bounds.high, "{bounds:?}");
    // Shorter ones cannot be made of longer ones, and these stay as they are.
    age(&store, "downsample=0s,every=7s,drop=full");
    assert_eq!(summary(&store), long);
    store.maintain().unwrap();
    store.close().unwrap();
    let store = Store::open_in(Arc::new(storage), Options::default()).unwrap();
    assert_eq!(summary(&store), long);
    assert!(store.verify().unwrap().is_empty());
}

#[test]
fn what_is_lost_with_buckets_is_all_that_they_stood_for() {
    let storage = MemoryStorage::new();
    let store = filled(&storage, Options::default(), 3);
    age(&store, "downsample=0s,every=60s,drop=full");
    let shape = store.schema("s").unwrap();
    store.append("s", &rows(&shape, 400_000..400_010)).unwrap();
    let (_, rows, _) = summary(&store);
    age(&store, "drop=1h");
    assert_eq!(summary(&store).1, 10);
    let losses = store.losses("s").unwrap();
    let gone: u64 = losses
        .iter()
        .filter(|l| l.kind == LossKind::Dropped)
        .map(|l| l.rows)
        .sum();
    assert_eq!(gone, rows - 10);
}

#[test]
fn cursors_are_told_what_rows_stand_for() {
    let storage = MemoryStorage::new();
    let store = filled(&storage, Options::default(), 2);
    age(&store, "downsample=0s,every=60s,drop=full");
    let shape = store.schema("s").unwrap();
    store
        .append("s", &rows(&shape, 2 * SEGMENT..2 * SEGMENT + 50))
        .unwrap();
    store.seal("s").unwrap();
    let (mut standing, mut plain) = (0, 0);
    let done = store.changes_since(0, &mut |change| {
        assert_eq!(change.stream, "s");
        match &change.buckets {
            Some(buckets) => {
                assert_eq!(buckets.len(), change.rows.len());
                standing += buckets.iter().map(|bucket| bucket.rows).sum::<u64>();
                for (bucket, start) in buckets.iter().zip(&change.rows.times) {
                    assert!(
                        start <= &bucket.first && bucket.first <= bucket.last && bucket.last < start + 60
                    );
                }
            }
            None => plain += change.rows.len() as u64,
        }
        Ok(())
    });
    assert_eq!((standing, plain), (2 * SEGMENT as u64, 50));
    assert_eq!(done.unwrap(), 2 * SEGMENT as u64 + 50);
}

fn repaired(from: &MemoryStorage) -> (Store, siltstone_store::store::Repaired) {
    let to = MemoryStorage::new();
    let report = Store::repair_in(
        Arc::new(from.clone()),
        Arc::new(to.clone()),
        Options::default(),
        &mut |_| {},
    )
    .unwrap();
    let store = Store::open_in(Arc::new(to), Options::default()).unwrap();
    assert!(store.verify().unwrap().is_empty());
    (store, report)
}

#[test]
fn a_repair_keeps_buckets_errors_policy_and_budget() {
    let storage = MemoryStorage::new();
    let budget = Options {
        budget: Some(8 << 20),
        ..Options::default()
    };
    let store = filled(&storage, budget, 2);
    age(&store, "downsample=0s,every=60s,drop=full");
    let shape = store.schema("s").unwrap();
    let late = 2 * SEGMENT..3 * SEGMENT;
    store.append("s", &rows(&shape, late)).unwrap();
    store.seal("s").unwrap();
    let policy = "bounded=0s,downsample=900d,drop=full,eps:temp=0.5,every=1m";
    age(&store, policy);
    store
        .append("s", &rows(&shape, 3 * SEGMENT..3 * SEGMENT + 7))
        .unwrap();
    let before = summary(&store);
    let precisions = |store: &Store| -> Vec<String> {
        let snapshot = store.snapshot("s").unwrap();
        (0..snapshot.part_count())
            .map(|part| snapshot.part_precision(part).unwrap())
            .collect()
    };
    assert_eq!(precisions(&store), ["60s", "eps=0.5", "raw"]);
    let sums = store
        .snapshot("s")
        .unwrap()
        .sum_bounds("temp", &Predicate::All)
        .unwrap();
    let end = store.changes_since(0, &mut |_| Ok(())).unwrap();
    store.close().unwrap();

    let (store, report) = repaired(&storage);
    assert!(report.damage.is_empty() && report.lost.is_empty(), "{report:?}");
    assert_eq!((report.rows, report.buckets > 0), (3 * SEGMENT as u64 + 7, true));
    assert_eq!(summary(&store), before);
    assert_eq!(precisions(&store), ["60s", "eps=0.5", "raw"]);
    assert_eq!(
        store
            .snapshot("s")
            .unwrap()
            .sum_bounds("temp", &Predicate::All)
            .unwrap(),
        sums
    );
    assert_eq!(store.retention("s").unwrap().to_string(), policy);
    assert_eq!(store.usage().budget, Some(8 << 20));
    // Sequence numbers go on, so that nothing is read twice and nothing never.
    let (mut all, mut new) = (0, 0);
    store
        .changes_since(0, &mut |change| {
            all += change
                .buckets
                .as_ref()
                .map_or(change.rows.len() as u64, |b| b.iter().map(|b| b.rows).sum());
            Ok(())
        })
        .unwrap();
    assert_eq!(all, report.rows);
    let late = rows(&shape, 3 * SEGMENT + 7..3 * SEGMENT + 9);
    let receipt = store.append("s", &late).unwrap();
    store.wait_durable(receipt.sequence).unwrap();
    store
        .changes_since(end + 7, &mut |change| {
            new += change.rows.len();
            Ok(())
        })
        .unwrap();
    assert_eq!(new, 2);
}

#[test]
fn a_repair_of_damaged_buckets_loses_a_channel_or_the_file() {
    let storage = MemoryStorage::new();
    let store = filled(&storage, Options::default(), 2);
    age(&store, "downsample=0s,every=60s,drop=full");
    let rows = summary(&store).1;
    store.close().unwrap();
    let name = storage
        .names()
        .into_iter()
        .find(|name| name.starts_with("segment-"))
        .unwrap();
    let bytes = storage.get(&name).unwrap();
    let (mut whole, mut part, mut gone) = (0, 0, 0);
    for at in (64..bytes.len()).step_by(bytes.len() / 40 + 1) {
        let copy = storage.copy();
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x10;
        copy.put(&name, bytes);
        let (store, report) = repaired(&copy);
        let found = store.snapshot("s").unwrap().count(&Predicate::All).unwrap();
        match (found == rows, report.lost.is_empty()) {
            (true, true) => whole += 1,
            (true, false) => part += 1,
            (false, empty) => {
                assert!(found < rows && !empty, "{report:?}");
                gone += 1;
            }
        }
        assert_eq!(report.rows, found);
    }
    assert!(part + gone > 0, "{whole} {part} {gone}");
}

#[test]
fn without_a_manifest_buckets_tell_what_they_are() {
    let storage = MemoryStorage::new();
    let store = filled(&storage, Options::default(), 2);
    let raw: Vec<(String, Vec<u8>)> = storage
        .names()
        .into_iter()
        .filter_map(|n| Some((n.clone(), storage.get(&n)?)))
        .collect();
    age(&store, "downsample=0s,every=60s,drop=full");
    let before = summary(&store);
    store.close().unwrap();
    storage.put("manifest", Vec::new());
    let (store, report) = repaired(&storage);
    assert_eq!(
        (report.rows, store.streams()),
        (before.1, vec!["recovered_1".to_owned()])
    );
    let snapshot = store.snapshot("recovered_1").unwrap();
    assert_eq!(snapshot.schema().columns().len(), 4);
    assert_eq!(
        (snapshot.row_count(), snapshot.count(&Predicate::All).unwrap()),
        (before.0, before.1)
    );
    // A crash may have left what the buckets were made of.
    for (name, bytes) in raw {
        if name.starts_with("segment-") {
            storage.put(&name, bytes);
        }
    }
    assert_eq!(repaired(&storage).1.rows, before.1);
}

#[test]
fn large_batches_are_taken_in_pieces() {
    let storage = MemoryStorage::new();
    let options = Options {
        budget: Some(512 << 10),
        ..Options::default()
    };
    let store = Store::create_in(Arc::new(storage), options).unwrap();
    let shape = store.create_stream("s", schema()).unwrap();
    let batch = rows(&shape, 0..40_000);
    assert!(store.append("s", &batch).is_err());
    let receipt = store.append_in_pieces("s", &batch).unwrap();
    assert_eq!(receipt.sequence, 40_000);
    // What is older went to make room.
    assert!(store.snapshot("s").unwrap().count(&Predicate::All).unwrap() > 4_000);
}
