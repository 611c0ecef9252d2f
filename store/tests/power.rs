//! The power goes at every operation of a scenario: what was acknowledged is there, whole and once.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use std::sync::Arc;

use siltstone_store::Error;
use siltstone_store::storage::failing::{FailingStorage, Failure, Survival};
use siltstone_store::storage::memory::MemoryStorage;
use siltstone_store::store::{Layout, MiniBlock, Options, Store, SyncPolicy};

mod support;
use support::{numbers, rows, schema};

const SURVIVALS: [Survival; 7] = [
    Survival::Nothing,
    Survival::Everything,
    Survival::NamesOnly,
    Survival::Some(1),
    Survival::Some(2),
    Survival::Some(3),
    Survival::Some(4),
];

/// What a scenario was told.
#[derive(Debug, Default)]
struct Told {
    created: bool,
    streams: Vec<&'static str>,
    /// Batches that were appended or tried: stream, rows, whether they were reported durable.
    batches: Vec<(&'static str, std::ops::Range<i64>, bool)>,
    models: Vec<(u32, Vec<u8>)>,
    position: Option<Vec<u8>>,
}

impl Told {
    fn append(
        &mut self,
        store: &Store,
        stream: &'static str,
        range: std::ops::Range<i64>,
    ) -> Result<(), Error> {
        let shape = store.schema(stream)?;
        self.batches.push((stream, range.clone(), false));
        let position = format!("{stream} {}", range.end).into_bytes();
        let receipt = store.append_from(stream, &rows(&shape, range), "source", &position)?;
        if receipt.durable >= receipt.sequence {
            self.durable();
            self.position = Some(position);
        }
        Ok(())
    }

    fn durable(&mut self) {
        self.batches.iter_mut().for_each(|batch| batch.2 = true);
    }
}

fn scenario(storage: &FailingStorage, sync: SyncPolicy, told: &mut Told) -> Result<(), Error> {
    let options = Options {
        sync,
        ..Options::default()
    };
    let store = Store::create_in(Arc::new(storage.clone()), options.clone())?;
    told.created = true;
    for stream in ["a", "b"] {
        store.create_stream(stream, schema())?;
        told.streams.push(stream);
    }
    told.append(&store, "a", 0..3)?;
    told.append(&store, "b", 100..102)?;
    told.append(&store, "a", 3..4)?;
    store.seal("a")?;
    told.durable();
    told.append(&store, "b", 102..140)?;
    let version = store.put_model("m", b"weights")?;
    told.models.push((version, b"weights".to_vec()));
    told.append(&store, "a", 4..9)?;
    store.wait_durable(store.append("a", &rows(&store.schema("a")?, 9..9))?.sequence)?;
    told.durable();
    store.close()?;
    let store = Store::open_in(Arc::new(storage.clone()), options)?;
    told.append(&store, "a", 9..12)?;
    store.seal("b")?;
    told.durable();
    store.seal("a")?;
    told.append(&store, "b", 140..141)?;
    for start in [12, 20, 14] {
        told.append(&store, "a", start..start + 2)?;
        store.seal("a")?;
        told.durable();
    }
    // Five segments of `a` become one.
    store.maintain()?;
    assert!(store.segments("a")?.len() < 3);
    store.set_layouts("a", &Layout::Scan.into())?;
    for (stream, layout) in [("a", Layout::Small(MiniBlock::Rows256)), ("b", Layout::Scan)] {
        store.relayout(stream, &layout.into(), None, &mut |_| {})?;
    }
    store.put_model("m", b"better")?;
    told.models.push((2, b"better".to_vec()));
    // From here on it may be there or not.
    told.models.pop();
    store.remove_model("m", 2)?;
    store.close()?;
    told.durable();
    Ok(())
}

/// Opens what a cut left and compares it with what was told.
fn check(left: MemoryStorage, told: &Told, what: &str) {
    let storage = Arc::new(left);
    let store = match Store::open_in(storage.clone(), Options::default()) {
        Ok(store) => store,
        Err(error) => {
            assert!(!told.created, "{what}: {error}");
            return;
        }
    };
    let damage = store.verify().unwrap();
    assert!(damage.is_empty(), "{what}: {damage:?}");
    for stream in &told.streams {
        let found = numbers(&store, stream);
        let mut expected = Vec::new();
        for (_, range, durable) in told.batches.iter().filter(|(name, ..)| name == stream) {
            let present = range.clone().filter(|i| found.contains(i)).count();
            assert!(
                present == 0 || present == range.clone().count(),
                "{what}: half of {range:?} in {stream}"
            );
            assert!(
                !durable || present > 0,
                "{what}: {range:?} of {stream} was promised"
            );
            if present > 0 {
                expected.extend(range.clone());
            }
        }
        expected.sort_unstable();
        assert_eq!(found, expected, "{what}: {stream}");
    }
    for (version, bytes) in &told.models {
        assert_eq!(&store.model("m", Some(*version)).unwrap().1, bytes, "{what}");
    }
    // The store goes on from there.
    if told.streams.len() == 2 {
        let before = numbers(&store, "a").len();
        store
            .append("a", &rows(&store.schema("a").unwrap(), 1000..1003))
            .unwrap();
        drop(store);
        let store = Store::open_in(storage, Options::default()).unwrap();
        assert_eq!(numbers(&store, "a").len(), before + 3, "{what}");
    }
}

#[test]
fn cut_at_every_operation() {
    for sync in [SyncPolicy::Always, SyncPolicy::Os] {
        let whole = FailingStorage::new();
        let mut told = Told::default();
        scenario(&whole, sync, &mut told).unwrap();
        let operations = whole.operations();
        assert!(operations > 60, "{operations}");
        for at in 1..=operations {
            let storage = FailingStorage::new();
            storage.fail_at(at, Failure::PowerCut);
            let mut told = Told::default();
            assert!(scenario(&storage, sync, &mut told).is_err() || at > operations - 3);
            for survival in SURVIVALS {
                check(
                    storage.after_power_cut(survival),
                    &told,
                    &format!("{sync:?}, cut at {at}, {survival:?}"),
                );
            }
        }
    }
}

#[test]
fn refusals_lose_nothing_and_leave_the_store_usable() {
    let whole = FailingStorage::new();
    scenario(&whole, SyncPolicy::Always, &mut Told::default()).unwrap();
    for failure in [Failure::NoSpace, Failure::Refused, Failure::FailedSync] {
        for at in 1..=whole.operations() {
            let storage = FailingStorage::new();
            storage.fail_at(at, failure);
            let mut told = Told::default();
            let ended = scenario(&storage, SyncPolicy::Always, &mut told);
            let what = format!("{failure:?} at {at}: {ended:?}");
            // What the program may see after it starts again, and what a cut right now would leave.
            check(storage.after_power_cut(Survival::Nothing), &told, &what);
            if !told.created {
                continue;
            }
            let store = Store::open_in(Arc::new(storage.clone()), Options::default()).unwrap();
            let found: Vec<Vec<i64>> = told
                .streams
                .iter()
                .map(|stream| numbers(&store, stream))
                .collect();
            drop(store);
            check(storage.after_power_cut(Survival::Nothing), &told, &what);
            // Once reopened, all that was seen is on disk, also what a failed sync had lost.
            let store = Store::open_in(
                Arc::new(storage.after_power_cut(Survival::Nothing)),
                Options::default(),
            )
            .unwrap();
            let kept: Vec<Vec<i64>> = told
                .streams
                .iter()
                .map(|stream| numbers(&store, stream))
                .collect();
            assert_eq!(found, kept, "{what}");
        }
    }
}

#[test]
fn a_full_disk_refuses_rows_and_takes_them_later() {
    let storage = FailingStorage::new();
    let options = Options {
        sync: SyncPolicy::Always,
        ..Options::default()
    };
    let store = Store::create_in(Arc::new(storage.clone()), options).unwrap();
    let shape = store.create_stream("a", schema()).unwrap();
    store.append("a", &rows(&shape, 0..5)).unwrap();
    storage.fail_at(storage.operations() + 1, Failure::NoSpace);
    let refused = store.append("a", &rows(&shape, 5..9)).unwrap_err();
    assert!(matches!(&refused, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull));
    assert_eq!(numbers(&store, "a"), (0..5).collect::<Vec<_>>());
    let receipt = store.append("a", &rows(&shape, 5..9)).unwrap();
    assert_eq!((receipt.sequence, receipt.durable), (9, 9));
    for survival in SURVIVALS {
        let store = Store::open_in(Arc::new(storage.after_power_cut(survival)), Options::default()).unwrap();
        assert_eq!(numbers(&store, "a"), (0..9).collect::<Vec<_>>());
    }
}

#[test]
fn nothing_is_promised_after_a_failed_sync() {
    let storage = FailingStorage::new();
    let options = Options {
        sync: SyncPolicy::Always,
        ..Options::default()
    };
    let store = Store::create_in(Arc::new(storage.clone()), options).unwrap();
    let shape = store.create_stream("a", schema()).unwrap();
    store.append("a", &rows(&shape, 0..5)).unwrap();
    storage.fail_at(storage.operations() + 2, Failure::FailedSync);
    assert!(store.append("a", &rows(&shape, 5..9)).is_err());
    assert!(matches!(
        store.append("a", &rows(&shape, 9..10)),
        Err(Error::Poisoned { .. })
    ));
    assert!(matches!(store.wait_durable(9), Err(Error::Poisoned { .. })));
    assert!(matches!(
        store.create_stream("b", schema()),
        Err(Error::Poisoned { .. })
    ));
    assert_eq!(store.durable(), 5);
}
