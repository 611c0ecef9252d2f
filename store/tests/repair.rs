//! Damaged stores: partial answers say what they leave out, and a repair keeps every row that can be read.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use std::sync::Arc;

use siltstone_store::storage::memory::MemoryStorage;
use siltstone_store::store::{Options, Repaired, Store, SyncPolicy};

mod support;
use support::{numbers, options, rows, schema};

/// Stream `a`: segments of rows 0..4 and 4..9, rows 9..12 in the log; `b`: rows 0..2 in the log; a model in two versions.
fn small_store() -> MemoryStorage {
    let storage = MemoryStorage::new();
    let store = Store::create_in(Arc::new(storage.clone()), options(SyncPolicy::Always)).unwrap();
    let shape = store.create_stream("a", schema()).unwrap();
    store.create_stream("b", schema()).unwrap();
    store.append("b", &rows(&shape, 0..2)).unwrap();
    for range in [0..4, 4..9] {
        store.append("a", &rows(&shape, range)).unwrap();
        store.seal("a").unwrap();
    }
    store.put_model("m", b"weights").unwrap();
    store.put_model("m", b"better").unwrap();
    store.serve_model("m", 1).unwrap();
    for i in 9..12 {
        store
            .append_from("a", &rows(&shape, i..i + 1), "source", &[i as u8])
            .unwrap();
    }
    store.close().unwrap();
    storage
}

fn repair(storage: &MemoryStorage) -> (Store, Repaired) {
    let to = MemoryStorage::new();
    let before: Vec<_> = storage.names().iter().map(|name| storage.get(name)).collect();
    let report = Store::repair_in(
        Arc::new(storage.clone()),
        Arc::new(to.clone()),
        Options::default(),
        &mut |_| {},
    )
    .unwrap();
    let after: Vec<_> = storage.names().iter().map(|name| storage.get(name)).collect();
    assert_eq!(before, after, "a repair writes beside, never over");
    let store = Store::open_in(Arc::new(to), Options::default()).unwrap();
    assert!(store.verify().unwrap().is_empty());
    (store, report)
}

fn files(storage: &MemoryStorage, prefix: &str) -> Vec<String> {
    let names = storage.names().into_iter();
    names.filter(|name| name.starts_with(prefix)).collect()
}

fn flipped(storage: &MemoryStorage, name: &str, byte: usize) -> MemoryStorage {
    let copy = storage.copy();
    let mut bytes = copy.get(name).unwrap();
    bytes[byte] ^= 0x10;
    copy.put(name, bytes);
    copy
}

#[test]
fn an_intact_store_is_copied_whole() {
    let (store, report) = repair(&small_store());
    assert!(report.damage.is_empty() && report.lost.is_empty(), "{report:?}");
    assert_eq!((report.rows, report.models), (14, 2));
    assert_eq!(numbers(&store, "a"), (0..12).collect::<Vec<_>>());
    assert_eq!(numbers(&store, "b"), vec![0, 1]);
    assert_eq!(store.model("m", None).unwrap(), (1, b"weights".to_vec()));
    assert_eq!(store.model("m", Some(2)).unwrap().1, b"better");
    assert_eq!(store.source_position("source"), Some(vec![11]));
}

#[test]
fn a_store_without_a_log_is_intact() {
    let storage = small_store();
    let store = Store::open_in(Arc::new(storage.clone()), Options::default()).unwrap();
    for stream in ["a", "b"] {
        store.seal(stream).unwrap();
    }
    store.close().unwrap();
    assert_eq!(files(&storage, "log-"), Vec::<String>::new());
    let (store, report) = repair(&storage);
    assert!(report.damage.is_empty() && report.lost.is_empty(), "{report:?}");
    assert_eq!(numbers(&store, "a"), (0..12).collect::<Vec<_>>());
}

#[test]
fn a_damaged_segment_costs_its_own_rows_only() {
    let storage = small_store();
    let segment = files(&storage, "segment-").remove(0);
    let bytes = storage.get(&segment).unwrap().len();
    let rest: Vec<i64> = (4..12).collect();
    for byte in (0..bytes).step_by(7) {
        let damaged = flipped(&storage, &segment, byte);
        let reader = Store::open_partial_in(Arc::new(damaged.clone())).unwrap();
        let snapshot = reader.snapshot("a").unwrap();
        let left_out = snapshot.left_out();
        if left_out.is_empty() {
            // The byte is padding that no checksum covers.
            assert_eq!(numbers(&reader, "a"), (0..12).collect::<Vec<_>>(), "byte {byte}");
            continue;
        }
        assert_eq!(
            (left_out.len(), left_out[0].file.as_str(), left_out[0].rows),
            (1, segment.as_str(), Some(4)),
            "byte {byte}"
        );
        assert!(left_out[0].error.is_corruption());
        assert_eq!(numbers(&reader, "a"), rest, "byte {byte}");
        assert!(reader.snapshot("b").unwrap().left_out().is_empty());
        let strict = Store::open_read_in(Arc::new(damaged.clone())).unwrap();
        let scan = strict.snapshot("a").and_then(|snapshot| {
            let predicate = siltstone_store::predicate::Predicate::All;
            snapshot
                .scan(&["device", "temperature", "count", "note"], &predicate)?
                .collect::<Result<Vec<_>, _>>()
        });
        assert!(scan.unwrap_err().is_corruption(), "byte {byte}");
        let (store, report) = repair(&damaged);
        assert_eq!(numbers(&store, "a"), rest, "byte {byte}");
        assert_eq!(
            (report.rows, report.rows_lost()),
            (10, 4),
            "byte {byte}: {report:?}"
        );
        assert!(!report.damage.is_empty());
    }
}

#[test]
fn a_missing_segment_is_left_out_by_name() {
    let storage = small_store();
    let segment = files(&storage, "segment-").remove(1);
    siltstone_store::storage::Storage::remove(&storage, &segment).unwrap();
    let reader = Store::open_partial_in(Arc::new(storage.clone())).unwrap();
    let snapshot = reader.snapshot("a").unwrap();
    assert_eq!(snapshot.left_out()[0].file, segment);
    assert_eq!(numbers(&reader, "a"), vec![0, 1, 2, 3, 9, 10, 11]);
    let (store, report) = repair(&storage);
    assert_eq!(numbers(&store, "a"), vec![0, 1, 2, 3, 9, 10, 11]);
    assert_eq!(report.rows_lost(), 5);
}

#[test]
fn damage_in_the_log_costs_the_frames_it_hits() {
    let storage = small_store();
    let all: Vec<i64> = (0..12).collect();
    for log in files(&storage, "log-") {
        for byte in 0..storage.get(&log).unwrap().len() {
            let damaged = flipped(&storage, &log, byte);
            let (store, report) = repair(&damaged);
            let found = numbers(&store, "a");
            let b = numbers(&store, "b");
            assert!(found.starts_with(&all[..9]) && found.iter().all(|row| all.contains(row)));
            let missing = 14 - found.len() - b.len();
            assert!(missing <= 3 || byte < 40, "{log} byte {byte}: {found:?} {b:?}");
            // What was promised does not go without a word. The last frames are promised by nothing behind them.
            let promised = Store::open_read_in(Arc::new(damaged.clone())).is_ok();
            assert_eq!(
                promised,
                report.damage.is_empty(),
                "{log} byte {byte}: {report:?}"
            );
            let reader = Store::open_partial_in(Arc::new(damaged)).unwrap();
            assert_eq!(numbers(&reader, "a"), found, "{log} byte {byte}");
            assert_eq!(reader.snapshot("a").unwrap().left_out().is_empty(), promised);
        }
    }
}

#[test]
fn without_a_manifest_segments_tell_their_shape() {
    let storage = small_store();
    for change in 0..2 {
        let damaged = storage.copy();
        match change {
            0 => siltstone_store::storage::Storage::remove(&damaged, "manifest").unwrap(),
            _ => damaged.put("manifest", b"SILTMANI and then nothing".to_vec()),
        }
        let (store, report) = repair(&damaged);
        assert_eq!(store.streams(), vec!["recovered_1"]);
        assert_eq!(numbers(&store, "recovered_1"), (0..9).collect::<Vec<_>>());
        assert!(!report.damage.is_empty());
        assert!(
            report.lost.iter().all(|lost| lost.file.starts_with("log-")),
            "{report:?}"
        );
    }
}

#[test]
fn a_repair_needs_a_store_and_an_empty_place() {
    let nothing = Arc::new(MemoryStorage::new());
    let error =
        Store::repair_in(nothing.clone(), nothing.clone(), Options::default(), &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("there is no store"), "{error}");
    let storage = small_store();
    let taken = small_store();
    let error = Store::repair_in(
        Arc::new(storage),
        Arc::new(taken),
        Options::default(),
        &mut |_| {},
    )
    .unwrap_err();
    assert!(error.to_string().contains("already"), "{error}");
}

#[test]
fn files_are_read_as_well_as_mapped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store = Store::create(&path, options(SyncPolicy::Os)).unwrap();
    let shape = store.create_stream("a", schema()).unwrap();
    store.append("a", &rows(&shape, 0..50)).unwrap();
    store.seal("a").unwrap();
    store.close().unwrap();
    let read = siltstone_store::store::ReadOptions {
        mapped: false,
        ..Default::default()
    };
    let reader = Store::open_read_with(&path, read).unwrap();
    assert_eq!(numbers(&reader, "a"), (0..50).collect::<Vec<_>>());
    // Another program may cut the file now, and nothing changes for who has read it.
    let segment = path.join("segment-0000000001");
    std::fs::OpenOptions::new()
        .write(true)
        .open(segment)
        .unwrap()
        .set_len(10)
        .unwrap();
    assert_eq!(numbers(&reader, "a"), (0..50).collect::<Vec<_>>());
}
