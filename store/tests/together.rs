//! Several threads append, seal and read at the same time, through one store and through readers beside it.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use siltstone_store::storage::Storage;
use siltstone_store::storage::failing::FailingStorage;
use siltstone_store::storage::file::FileStorage;
use siltstone_store::store::{Options, Store, SyncPolicy};

mod support;
use support::{numbers, rows, schema};

#[test]
fn appenders_share_syncs_and_lose_nothing() {
    let storage = FailingStorage::new();
    let options = Options {
        sync: SyncPolicy::Always,
        ..Options::default()
    };
    let store = Store::create_in(Arc::new(storage.clone()), options).unwrap();
    let shape = store.create_stream("s", schema()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (store, shape) = (&store, &shape);
            scope.spawn(move || {
                for i in 0..50 {
                    let start = thread * 1000 + i * 2;
                    let receipt = store.append("s", &rows(shape, start..start + 2)).unwrap();
                    assert!(receipt.durable >= receipt.sequence);
                }
            });
        }
    });
    assert_eq!(store.durable(), 400);
    let expected: Vec<i64> = (0..4).flat_map(|t| t * 1000..t * 1000 + 100).collect();
    assert_eq!(numbers(&store, "s"), expected);
    let cut = storage.after_power_cut(siltstone_store::storage::failing::Survival::Nothing);
    let store = Store::open_in(Arc::new(cut), Options::default()).unwrap();
    assert_eq!(numbers(&store, "s"), expected);
}

#[test]
fn a_reader_sees_a_growing_prefix_while_the_writer_seals_and_merges() {
    let directory = tempfile::tempdir().unwrap();
    let storage: Arc<dyn Storage> = Arc::new(FileStorage::new(directory.path()));
    let options = Options {
        sync: SyncPolicy::Os,
        rows_per_segment: 300,
        ..Options::default()
    };
    let store = Store::create_in(storage.clone(), options).unwrap();
    let shape = store.create_stream("s", schema()).unwrap();
    let (done, appended) = (AtomicBool::new(false), AtomicU64::new(0));
    let total = 1200;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for start in (0..total).step_by(5) {
                store.append("s", &rows(&shape, start..start + 5)).unwrap();
                appended.store(start as u64 + 5, Ordering::SeqCst);
                if start % 50 == 0 {
                    store.seal("s").unwrap();
                    store.maintain().unwrap();
                }
            }
            done.store(true, Ordering::SeqCst);
        });
        scope.spawn(|| {
            let reader = Store::open_read_in(storage.clone()).unwrap();
            let mut seen = 0;
            loop {
                let finished = done.load(Ordering::SeqCst);
                let at_least = appended.load(Ordering::SeqCst) as usize;
                let found = numbers(&reader, "s");
                assert_eq!(found, (0..found.len() as i64).collect::<Vec<_>>());
                assert!(found.len() >= at_least.max(seen), "{} of {at_least}", found.len());
                seen = found.len();
                if finished {
                    assert_eq!(seen as i64, total);
                    break;
                }
            }
        });
    });
    let merged = store.segments("s").unwrap();
    assert!(merged.len() < 12, "{} segments", merged.len());
    assert!(store.verify().unwrap().is_empty());
}

#[test]
fn merges_keep_the_order_of_equal_rows_and_late_ones_find_their_place() {
    let store = Store::create_in(
        Arc::new(siltstone_store::storage::memory::MemoryStorage::new()),
        Options {
            sync: SyncPolicy::Os,
            ..Options::default()
        },
    )
    .unwrap();
    let shape = store.create_stream("s", schema()).unwrap();
    for start in [40, 0, 20, 60, 10] {
        store.append("s", &rows(&shape, start..start + 10)).unwrap();
        store.seal("s").unwrap();
    }
    let before = numbers(&store, "s");
    assert_eq!(store.segments("s").unwrap().len(), 5);
    store.maintain().unwrap();
    assert_eq!(store.segments("s").unwrap().len(), 1);
    assert_eq!(numbers(&store, "s"), before);
    assert_eq!(store.snapshot("s").unwrap().time_range(), Some((0, 69)));
    store.append("s", &rows(&shape, 70..71)).unwrap();
    assert_eq!(numbers(&store, "s").len(), before.len() + 1);
}
