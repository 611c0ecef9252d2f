//! Truncated, flipped and missing files: the right answer or a named error, never a panic.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use std::sync::Arc;

use siltstone_store::Error;
use siltstone_store::storage::Storage;
use siltstone_store::storage::memory::MemoryStorage;
use siltstone_store::store::{Options, Store, SyncPolicy};

mod support;
use support::{numbers, options, rows, schema};

/// A store with a segment, a model and two log generations; rows 0..20 of stream `a`.
fn small_store() -> MemoryStorage {
    let storage = MemoryStorage::new();
    let store = Store::create_in(Arc::new(storage.clone()), options(SyncPolicy::Always)).unwrap();
    let shape = store.create_stream("a", schema()).unwrap();
    store.create_stream("b", schema()).unwrap();
    store.append("b", &rows(&shape, 0..2)).unwrap();
    store.append("a", &rows(&shape, 0..4)).unwrap();
    store.seal("a").unwrap();
    store.append("a", &rows(&shape, 4..8)).unwrap();
    store.put_model("m", b"weights").unwrap();
    store.close().unwrap();
    let store = Store::open_in(Arc::new(storage.clone()), options(SyncPolicy::Always)).unwrap();
    for i in 8..20 {
        store.append("a", &rows(&shape, i..i + 1)).unwrap();
    }
    drop(store);
    storage
}

/// The rows that a store with a changed file gives, whichever way it is opened; each a front part of what was written.
fn answer(storage: &MemoryStorage) -> Result<Vec<i64>, Error> {
    let reader = Store::open_read_in(Arc::new(storage.copy()))?;
    reader.snapshot("a")?;
    reader.snapshot("b")?;
    let read = numbers(&reader, "a");
    let writer = Store::open_in(Arc::new(storage.copy()), Options::default())?;
    assert_eq!(numbers(&writer, "a"), read);
    assert_eq!(read, (0..read.len() as i64).collect::<Vec<_>>());
    Ok(read)
}

fn logs(storage: &MemoryStorage) -> Vec<String> {
    storage
        .names()
        .into_iter()
        .filter(|name| name.starts_with("log-"))
        .collect()
}

#[test]
fn a_log_cut_anywhere_gives_the_rows_before_the_cut() {
    let storage = small_store();
    let newest = logs(&storage).pop().unwrap();
    let bytes = storage.get(&newest).unwrap();
    let mut counts = Vec::new();
    for end in 0..=bytes.len() {
        let cut = storage.copy();
        cut.put(&newest, bytes[..end].to_vec());
        match answer(&cut) {
            Ok(rows) => counts.push(rows.len()),
            Err(error) => assert!(end < 40, "cut at {end}: {error}"),
        }
    }
    assert!(counts.is_sorted());
    assert_eq!((counts.first(), counts.last()), (Some(&8), Some(&20)));
    counts.dedup();
    assert_eq!(counts, (8..=20).collect::<Vec<_>>());
}

#[test]
fn a_generation_cut_before_the_newest_is_named() {
    let storage = small_store();
    let oldest = logs(&storage).remove(0);
    let bytes = storage.get(&oldest).unwrap();
    let mut right = 0;
    for end in 0..=bytes.len() {
        let cut = storage.copy();
        cut.put(&oldest, bytes[..end].to_vec());
        match answer(&cut) {
            Ok(rows) => {
                assert_eq!(rows.len(), 20, "cut at {end}");
                right += 1;
            }
            Err(Error::Corrupt { file, .. }) => assert_eq!(file, oldest),
            Err(other) => panic!("cut at {end}: {other}"),
        }
    }
    // Only the word that all is on disk, which the close left at the end, can be missing.
    assert!(right < 45, "{right}");
}

#[test]
fn flipped_bytes_are_noticed() {
    let storage = small_store();
    for name in storage.names() {
        if name == "lock" || name.starts_with("segment-") {
            continue;
        }
        let bytes = storage.get(&name).unwrap();
        for at in 0..bytes.len() {
            for flip in [0x01, 0x80] {
                let damaged = storage.copy();
                let mut bytes = bytes.clone();
                bytes[at] ^= flip;
                damaged.put(&name, bytes);
                let what = format!("{name}, byte {at} ^ {flip:#x}");
                if name.starts_with("models/") {
                    let store = Store::open_read_in(Arc::new(damaged)).unwrap();
                    assert!(
                        matches!(store.model("m", None), Err(Error::Corrupt { file, .. }) if file == name)
                    );
                    assert_eq!(store.verify().unwrap().len(), 1, "{what}");
                    continue;
                }
                match answer(&damaged) {
                    // The word at the end of a log that everything is on disk is no row.
                    Ok(rows) => assert_eq!(rows.len(), 20, "{what}"),
                    Err(error) => {
                        assert!(error.is_corruption(), "{what}: {error}");
                        assert!(error.to_string().contains(&name), "{what}: {error}");
                    }
                }
            }
        }
    }
}

#[test]
fn flipped_bytes_of_a_segment_give_an_error_or_the_right_rows() {
    let storage = small_store();
    let name = storage
        .names()
        .into_iter()
        .find(|name| name.starts_with("segment-"))
        .unwrap();
    let bytes = storage.get(&name).unwrap();
    for at in 0..bytes.len() {
        let damaged = storage.copy();
        let mut bytes = bytes.clone();
        bytes[at] ^= 1 << (at % 8);
        damaged.put(&name, bytes);
        let store = Store::open_read_in(Arc::new(damaged)).unwrap();
        let found = store.verify().unwrap();
        assert!(found.iter().all(Error::is_corruption));
        let scanned = store.snapshot("a").and_then(|snapshot| {
            let columns = ["device", "temperature", "count", "note"];
            let batches: Result<Vec<_>, Error> = snapshot
                .scan(&columns, &siltstone_store::predicate::Predicate::All)?
                .collect();
            batches.map(|batches| batches.iter().map(|batch| batch.len()).sum::<usize>())
        });
        match scanned {
            Ok(count) => {
                assert_eq!(count, 20);
                assert_eq!(numbers(&store, "a"), (0..20).collect::<Vec<_>>(), "byte {at}");
            }
            Err(error) => {
                assert!(error.is_corruption(), "byte {at}: {error}");
                assert!(!found.is_empty(), "byte {at}: verify missed {error}");
            }
        }
    }
}

#[test]
fn missing_and_newer_files_are_named() {
    let storage = small_store();
    for name in storage.names() {
        if name == "lock" {
            continue;
        }
        let damaged = storage.copy();
        damaged.remove(&name).unwrap();
        if name == "manifest" {
            assert!(matches!(
                Store::open_read_in(Arc::new(damaged)),
                Err(Error::InvalidArgument { what }) if what.contains("no store")
            ));
            continue;
        }
        if name.starts_with("log-") {
            let error = answer(&damaged).unwrap_err();
            assert!(
                matches!(&error, Error::Corrupt { file, .. } if *file == name),
                "{error}"
            );
            continue;
        }
        let store = Store::open_read_in(Arc::new(damaged)).unwrap();
        let found = store.verify().unwrap();
        assert!(
            matches!(&found[..], [Error::Corrupt { file, .. }] if *file == name),
            "{found:?}"
        );
        if name.starts_with("segment-") {
            let error = store.snapshot("a").unwrap_err();
            assert!(
                matches!(&error, Error::Corrupt { file, .. } if *file == name),
                "{error}"
            );
            assert_eq!(numbers(&store, "b"), [0, 1], "damage stays in its stream");
        }
    }
    for (name, what) in [("manifest", 8), (logs(&storage)[0].as_str(), 8)] {
        let newer = storage.copy();
        let mut bytes = newer.get(name).unwrap();
        bytes[what] = 9;
        newer.put(name, bytes);
        let error = answer(&newer).unwrap_err();
        assert!(
            matches!(error, Error::UnsupportedVersion { found: (9, 0), .. }),
            "{error}"
        );
    }
}

#[test]
fn damage_leaves_the_files_as_they_are() {
    let storage = small_store();
    let oldest = logs(&storage).remove(0);
    let mut bytes = storage.get(&oldest).unwrap();
    bytes[100] ^= 1;
    storage.put(&oldest, bytes);
    storage.put("segment-0000000099", b"not ours to judge".to_vec());
    let before = storage.names();
    assert!(Store::open_in(Arc::new(storage.clone()), Options::default()).is_err());
    assert_eq!(storage.names(), before);
}

#[test]
fn what_a_crash_left_behind_is_removed_by_the_writer_only() {
    let storage = small_store();
    let before = storage.names();
    for orphan in [
        "segment-0000000077",
        "segment-0000000078.new",
        "manifest.new",
        "log-0000000099.new",
        "models/m.9",
    ] {
        storage.put(orphan, b"left behind".to_vec());
    }
    storage.put("notes.txt", b"the user's own".to_vec());
    let full = storage.names();
    drop(Store::open_read_in(Arc::new(storage.clone())).unwrap());
    assert_eq!(storage.names(), full);
    drop(Store::open_in(Arc::new(storage.clone()), Options::default()).unwrap());
    let after: Vec<String> = storage
        .names()
        .into_iter()
        .filter(|name| name != "notes.txt")
        .collect();
    assert_eq!(after, before);
    assert!(storage.get("notes.txt").is_some());
}
