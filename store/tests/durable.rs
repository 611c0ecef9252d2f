//! Rows come back after a restart, whatever else happened.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use std::sync::Arc;

use siltstone_store::batch::Batch;
use siltstone_store::predicate::Predicate;
use siltstone_store::schema::{ColumnType, Schema, TimeUnit};
use siltstone_store::storage::Storage;
use siltstone_store::storage::memory::MemoryStorage;
use siltstone_store::store::{Options, Store, SyncPolicy};
use siltstone_store::value::Value;

mod support;
use support::{numbers, options, rows, schema};

#[test]
fn rows_survive_a_restart_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store = Store::create(&path, options(SyncPolicy::Always)).unwrap();
    let shape = store.create_stream("s", schema()).unwrap();
    let receipt = store.append("s", &rows(&shape, 0..10)).unwrap();
    assert_eq!((receipt.sequence, receipt.durable), (10, 10));
    assert!(matches!(
        Store::open(&path, Options::default()),
        Err(siltstone_store::Error::Locked { owner, .. }) if owner.contains(&std::process::id().to_string())
    ));
    let reader = Store::open_read(&path).unwrap();
    assert_eq!(numbers(&reader, "s"), (0..10).collect::<Vec<_>>());
    store.append("s", &rows(&shape, 10..12)).unwrap();
    assert_eq!(numbers(&reader, "s"), (0..12).collect::<Vec<_>>());
    drop(store);
    for round in 0..3 {
        let store = Store::open(&path, options(SyncPolicy::Os)).unwrap();
        assert_eq!(numbers(&store, "s"), (0..12 + round).collect::<Vec<_>>());
        let receipt = store.append("s", &rows(&shape, 12 + round..13 + round)).unwrap();
        assert_eq!(receipt.sequence, 13 + round as u64);
        store.wait_durable(receipt.sequence).unwrap();
        assert_eq!(store.durable(), receipt.sequence);
        assert_eq!(numbers(&reader, "s"), (0..13 + round).collect::<Vec<_>>());
        assert!(store.verify().unwrap().is_empty());
    }
    assert!(Store::create(&path, Options::default()).is_err());
    assert!(reader.append("s", &rows(&shape, 0..1)).is_err());
}

#[test]
fn columns_go_by_name_and_may_be_added_later() {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
    let store = Store::create_in(storage.clone(), Options::default()).unwrap();
    let shape = store.create_stream("s", schema()).unwrap();
    store.append("s", &rows(&shape, 0..4)).unwrap();
    let wider = store
        .add_channels("s", &[("extra".into(), ColumnType::I64, "V".into())])
        .unwrap();
    store.append("s", &rows(&shape, 4..6)).unwrap();
    let narrow = Schema::new("time", TimeUnit::Millisecond)
        .with_channel("extra", ColumnType::U8, "")
        .and_then(|s| s.with_channel("temperature", ColumnType::F32, ""))
        .unwrap();
    let mut batch = Batch::new(Arc::new(narrow));
    batch.push_row(7, &[Value::U64(200), Value::F32(0.5)]).unwrap();
    store.append("s", &batch).unwrap();
    drop(store);
    let store = Store::open_in(storage, Options::default()).unwrap();
    assert_eq!(store.schema("s").unwrap(), wider);
    let snapshot = store.snapshot("s").unwrap();
    assert_eq!(snapshot.row_count(), 7);
    assert_eq!(snapshot.count_values("extra", &Predicate::All).unwrap(), 1);
    assert_eq!(
        snapshot.count(&Predicate::eq("extra", Value::I64(200))).unwrap(),
        1
    );
    assert_eq!(
        snapshot
            .count(&Predicate::eq("temperature", Value::F64(0.5)))
            .unwrap(),
        2
    );
    let mut unknown = Batch::new(Arc::new(Schema::new("time", TimeUnit::Second)));
    unknown.push_row(1, &[]).unwrap();
    assert!(store.append("s", &unknown).is_err(), "another clock");
    assert!(store.append("t", &rows(&shape, 0..1)).is_err(), "no such stream");
}

#[test]
fn sources_find_their_place_again() {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
    let store = Store::create_in(storage.clone(), Options::default()).unwrap();
    let shape = store.create_stream("s", schema()).unwrap();
    store
        .append_from("s", &rows(&shape, 0..4), "file.csv", b"line 4")
        .unwrap();
    store
        .append_from("s", &rows(&shape, 4..5), "file.csv", b"line 5")
        .unwrap();
    store
        .append_from("s", &rows(&shape, 0..0), "other", b"nothing yet")
        .unwrap();
    drop(store);
    let store = Store::open_in(storage, Options::default()).unwrap();
    assert_eq!(store.source_position("file.csv").unwrap(), b"line 5");
    assert_eq!(store.source_position("other").unwrap(), b"nothing yet");
    assert_eq!(store.source_position("none"), None);
    assert_eq!(numbers(&store, "s").len(), 5);
}

#[test]
fn models_have_versions() {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
    let store = Store::create_in(storage.clone(), Options::default()).unwrap();
    assert_eq!(store.put_model("bearing", b"one").unwrap(), 1);
    assert_eq!(store.put_model("bearing", b"two").unwrap(), 2);
    assert!(store.put_model("../bearing", b"").is_err());
    store.serve_model("bearing", 1).unwrap();
    drop(store);
    let store = Store::open_in(storage, Options::default()).unwrap();
    assert_eq!(store.model("bearing", None).unwrap(), (1, b"one".to_vec()));
    assert_eq!(store.model("bearing", Some(2)).unwrap(), (2, b"two".to_vec()));
    store.remove_model("bearing", 1).unwrap();
    assert_eq!(store.model("bearing", None).unwrap().0, 2);
    assert_eq!(store.put_model("bearing", b"three").unwrap(), 3);
    assert_eq!(store.models().len(), 2);
    assert!(store.model("bearing", Some(1)).is_err());
}

#[test]
fn changes_come_at_least_once_and_cursors_stay() {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
    let store = Store::create_in(storage.clone(), options(SyncPolicy::Always)).unwrap();
    let shape = store.create_stream("a", schema()).unwrap();
    store.create_stream("b", schema()).unwrap();
    let changes = |store: &Store, since: u64| {
        let mut found = Vec::new();
        let next = store.changes_since(since, &mut |change| {
            let (stream, rows) = (change.stream, change.rows);
            found.extend(rows.times.iter().map(|time| (stream.to_owned(), *time)));
            Ok(())
        });
        (found, next.unwrap())
    };
    let of =
        |stream: &str, range: std::ops::Range<i64>| range.map(|i| (stream.to_owned(), i)).collect::<Vec<_>>();
    assert_eq!(changes(&store, 0), (Vec::new(), 0));
    store.append("a", &rows(&shape, 0..3)).unwrap();
    store.append("b", &rows(&shape, 7..8)).unwrap();
    assert_eq!(changes(&store, 0), ([of("a", 0..3), of("b", 7..8)].concat(), 4));
    assert_eq!(changes(&store, 2), ([of("a", 2..3), of("b", 7..8)].concat(), 4));
    assert_eq!(changes(&store, 4), (Vec::new(), 4));
    store.set_cursor("backup", 3).unwrap();
    assert!(store.set_cursor("backup", 5).is_err());
    store.seal("a").unwrap();
    store.seal("b").unwrap();
    store.append("a", &rows(&shape, 3..5)).unwrap();
    drop(store);
    let store = Store::open_in(storage.clone(), options(SyncPolicy::Always)).unwrap();
    let reader = Store::open_read_in(storage).unwrap();
    assert_eq!(
        (
            store.cursor("backup"),
            reader.cursor("backup"),
            store.cursor("none")
        ),
        (3, 3, 0)
    );
    for store in [&store, &reader] {
        assert_eq!(changes(store, 3), ([of("b", 7..8), of("a", 3..5)].concat(), 6));
        assert_eq!(changes(store, 5), (of("a", 4..5), 6));
        assert_eq!(changes(store, 0).0.len(), 6);
    }
    let stopped = store.changes_since(0, &mut |_| Err(siltstone_store::Error::invalid("enough")));
    assert!(stopped.is_err());
    store.remove_cursor("backup").unwrap();
    assert_eq!(store.cursor("backup"), 0);
}
