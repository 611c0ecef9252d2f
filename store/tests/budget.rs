//! The directory never takes more than its budget; what goes is the oldest, and is written down.

#![allow(
    clippy::unwrap_used,
    clippy::single_range_in_vec_init,
    clippy::cast_possible_truncation
)]

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use siltstone_store::Error;
use siltstone_store::batch::Batch;
use siltstone_store::predicate::Predicate;
use siltstone_store::schema::{ColumnType, Schema, SharedSchema, TimeUnit};
use siltstone_store::section::FileBytes;
use siltstone_store::storage::failing::{FailingStorage, Failure, Survival};
use siltstone_store::storage::file::FileStorage;
use siltstone_store::storage::memory::MemoryStorage;
use siltstone_store::storage::{Entry, Storage, StorageFile, StorageLock};
use siltstone_store::store::{Cause, Options, Retention, Store, SyncPolicy};
use siltstone_store::value::Value;
use support::cache::{BUDGET, lost, options, taken};

mod support;

fn schema() -> Schema {
    Schema::new("time", TimeUnit::Second)
        .with_channel("number", ColumnType::I64, "")
        .and_then(|s| s.with_channel("noise", ColumnType::F64, ""))
        .and_then(|s| s.with_channel("more", ColumnType::I64, ""))
        .unwrap()
}

/// Rows that do not compress; row i has time i and tells its number.
fn rows(schema: &SharedSchema, range: Range<i64>) -> Batch {
    let mut batch = Batch::new(schema.clone());
    for i in range {
        let noise = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31);
        let noise = noise.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let float = f64::from_bits((noise >> 12) | 0x3ff0_0000_0000_0000);
        batch
            .push_row(i, &[Value::I64(i), Value::F64(float), Value::I64(noise as i64)])
            .unwrap();
    }
    batch
}

/// Numbers of all rows, sorted; each row is checked.
fn numbers(store: &Store, stream: &str) -> Vec<i64> {
    let snapshot = store.snapshot(stream).unwrap();
    let mut out = Vec::new();
    for batch in snapshot
        .scan(&["number", "noise", "more"], &Predicate::All)
        .unwrap()
    {
        let batch = batch.unwrap();
        for row in 0..batch.len() {
            let Value::I64(number) = batch.columns[0].value(ColumnType::I64, row) else {
                panic!("a number is missing");
            };
            assert_eq!(batch.times[row], number);
            out.push(number);
        }
    }
    out.sort_unstable();
    out
}

/// A storage that is measured after every operation.
#[derive(Debug)]
struct Watched {
    inner: Arc<dyn Storage>,
    most: Arc<AtomicU64>,
}

impl Watched {
    fn look(&self) {
        self.most.fetch_max(taken(&*self.inner), Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct WatchedFile {
    inner: Box<dyn StorageFile>,
    directory: Watched,
}

impl StorageFile for WatchedFile {
    fn append(&self, bytes: &[u8]) -> Result<(), Error> {
        let done = self.inner.append(bytes);
        self.directory.look();
        done
    }

    fn sync(&self) -> Result<(), Error> {
        self.inner.sync()
    }
}

impl Storage for Watched {
    fn path(&self, name: &str) -> PathBuf {
        self.inner.path(name)
    }
    fn create_directory(&self, directory: &str) -> Result<(), Error> {
        self.inner.create_directory(directory)
    }
    fn list(&self, directory: &str) -> Result<Vec<Entry>, Error> {
        self.inner.list(directory)
    }
    fn map(&self, name: &str) -> Result<FileBytes, Error> {
        self.inner.map(name)
    }
    fn read(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, Error> {
        self.inner.read(name, range)
    }
    fn create(&self, name: &str) -> Result<Box<dyn StorageFile>, Error> {
        let inner = self.inner.create(name)?;
        let directory = Watched {
            inner: self.inner.clone(),
            most: self.most.clone(),
        };
        Ok(Box::new(WatchedFile { inner, directory }))
    }
    fn extend(&self, name: &str) -> Result<Box<dyn StorageFile>, Error> {
        let inner = self.inner.extend(name)?;
        let directory = Watched {
            inner: self.inner.clone(),
            most: self.most.clone(),
        };
        Ok(Box::new(WatchedFile { inner, directory }))
    }
    fn sync(&self, name: &str) -> Result<(), Error> {
        self.inner.sync(name)
    }
    fn rename(&self, from: &str, to: &str) -> Result<(), Error> {
        let done = self.inner.rename(from, to);
        self.look();
        done
    }
    fn remove(&self, name: &str) -> Result<(), Error> {
        self.inner.remove(name)
    }
    fn sync_directory(&self, directory: &str) -> Result<(), Error> {
        self.inner.sync_directory(directory)
    }
    fn lock(&self, name: &str, owner: &str) -> Result<Box<dyn StorageLock>, Error> {
        let lock = self.inner.lock(name, owner);
        self.look();
        lock
    }
}

/// Ten times the budget comes in, with models, refused lines, merges and a restart in between.
fn ten_times_the_budget(inner: Arc<dyn Storage>, budget: u64, sync: SyncPolicy) {
    let most = Arc::new(AtomicU64::new(0));
    let storage = || -> Arc<dyn Storage> {
        Arc::new(Watched {
            inner: inner.clone(),
            most: most.clone(),
        })
    };
    let mut store = Store::create_in(
        storage(),
        Options {
            sync,
            ..options(budget)
        },
    )
    .unwrap();
    let shape = store.create_stream("a", schema()).unwrap();
    store.create_stream("b", schema()).unwrap();
    let (mut next, step) = (0i64, i64::try_from(budget / 4096).unwrap());
    let model = vec![7; budget as usize / 64];
    while next as u64 * 32 < 10 * budget {
        let stream = if (next / step) % 7 == 3 { "b" } else { "a" };
        store.append(stream, &rows(&shape, next..next + step)).unwrap();
        next += step;
        match (next / step) % 40 {
            5 | 25 => store.maintain().unwrap(),
            10 => {
                let version = store.put_model("m", &model).unwrap();
                if version > 2 {
                    store.remove_model("m", version - 1).unwrap();
                }
            }
            15 => assert!(store.append_rejects("a.jsonl", b"refused\n").unwrap()),
            20 => {
                drop(store);
                // The budget is kept in the store.
                let anew = Options {
                    budget: None,
                    sync,
                    ..options(0)
                };
                store = Store::open_in(storage(), anew).unwrap();
                assert_eq!(store.usage().budget, Some(budget));
            }
            _ => {}
        }
    }
    let (mut a, b) = (numbers(&store, "a"), numbers(&store, "b"));
    let usage = store.usage();
    assert_eq!(usage.used, Some(taken(&*inner) + 4096 - lock_blocks(&*inner)));
    assert!(usage.written.total() > 8 * budget && usage.plain_bytes > 8 * budget);
    let present = (a.len() + b.len()) as u64;
    assert_eq!(present + lost(&store, "a") + lost(&store, "b"), next as u64);
    // What is there is the newest, without a gap.
    a.extend(b);
    a.sort_unstable();
    assert_eq!(*a.last().unwrap(), next - 1);
    assert!(
        store
            .losses("a")
            .unwrap()
            .iter()
            .all(|loss| loss.cause == Cause::Full)
    );
    let oldest_a = numbers(&store, "a")[0];
    assert_eq!(store.losses("a").unwrap().len(), 1);
    assert!(store.losses("a").unwrap()[0].time_range.1 < oldest_a);
    assert!(
        present * 32 > budget / 3,
        "{present} rows are few for {budget} bytes"
    );
    assert!(store.verify().unwrap().is_empty());
    let most = most.load(Ordering::Relaxed);
    assert!(most <= budget, "{most} bytes of {budget}");
    assert!(most > budget * 3 / 4, "{most} bytes of {budget}");
}

fn lock_blocks(storage: &dyn Storage) -> u64 {
    let entries = storage.list("").unwrap();
    let lock = entries.iter().find(|entry| entry.name == "lock");
    lock.map_or(0, |lock| lock.bytes.div_ceil(4096) * 4096)
}

#[test]
fn the_budget_holds_in_memory() {
    ten_times_the_budget(Arc::new(MemoryStorage::new()), BUDGET, SyncPolicy::Always);
    ten_times_the_budget(Arc::new(MemoryStorage::new()), 1 << 20, SyncPolicy::Always);
}

#[test]
fn the_budget_holds_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let files = Arc::new(FileStorage::new(directory.path().join("store")));
    ten_times_the_budget(files, BUDGET, SyncPolicy::Os);
}

#[test]
fn a_stream_that_keeps_everything_refuses_rows_when_the_budget_is_full() {
    let storage = MemoryStorage::new();
    let store = Store::create_in(Arc::new(storage.clone()), options(BUDGET)).unwrap();
    let shape = store.create_stream("a", schema()).unwrap();
    store.set_retention("a", &Retention::keep()).unwrap();
    let mut next = 0;
    let error = loop {
        match store.append("a", &rows(&shape, next..next + 50)) {
            Ok(_) => next += 50,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error, Error::BudgetFull { budget: BUDGET, .. }),
        "{error}"
    );
    let refused = store.append("a", &rows(&shape, next..next + 50));
    assert!(matches!(refused, Err(Error::BudgetFull { .. })));
    let model = store.put_model("m", &[0; 60_000]);
    assert!(matches!(model, Err(Error::BudgetFull { .. })));
    store.maintain().unwrap();
    assert_eq!(numbers(&store, "a"), (0..next).collect::<Vec<_>>());
    assert!(taken(&storage) <= BUDGET);
    drop(store);
    // The store opens, still full; a larger budget or another policy opens the way.
    let store = Store::open_in(Arc::new(storage.clone()), Options::default()).unwrap();
    assert!(store.append("a", &rows(&shape, next..next + 50)).is_err());
    store.set_retention("a", &Retention::default()).unwrap();
    store.append("a", &rows(&shape, next..next + 50)).unwrap();
    assert!(lost(&store, "a") > 0);
    assert!(taken(&storage) <= BUDGET);
}

#[test]
fn a_smaller_budget_is_met_when_the_store_is_opened() {
    let storage = MemoryStorage::new();
    let store = Store::create_in(Arc::new(storage.clone()), Options::default()).unwrap();
    let shape = store.create_stream("a", schema()).unwrap();
    for start in 0..100 {
        store
            .append("a", &rows(&shape, start * 100..start * 100 + 100))
            .unwrap();
        if start % 3 == 0 {
            store.seal("a").unwrap();
        }
    }
    drop(store);
    let open = |budget| Store::open_in(Arc::new(storage.clone()), options(budget));
    assert!(
        matches!(open(100_000), Err(Error::InvalidArgument { .. })),
        "too small to work"
    );
    let store = open(BUDGET).unwrap();
    assert!(taken(&storage) <= BUDGET);
    let left = numbers(&store, "a");
    assert_eq!(left, (left[0]..10_000).collect::<Vec<_>>());
    assert_eq!(lost(&store, "a"), left[0] as u64);
    drop(store);
    let store = open(0).unwrap();
    assert_eq!(store.usage().budget, None);
    store.set_retention("a", &Retention::keep()).unwrap();
    for start in 100..200 {
        store
            .append("a", &rows(&shape, start * 100..start * 100 + 100))
            .unwrap();
    }
    store.seal("a").unwrap();
    drop(store);
    let before = storage.names();
    assert!(matches!(open(BUDGET), Err(Error::BudgetFull { .. })));
    assert_eq!(storage.names(), before, "what does not fit is not touched");
}

#[test]
fn pinned_rows_stay_until_nothing_else_is_left() {
    let storage = MemoryStorage::new();
    let store = Store::create_in(Arc::new(storage.clone()), options(BUDGET)).unwrap();
    let shape = store.create_stream("a", schema()).unwrap();
    store
        .pin("a", &[(100..110).into(), (2_000..2_005).into()])
        .unwrap();
    let mut next = 0;
    while next < 40_000 {
        store.append("a", &rows(&shape, next..next + 64)).unwrap();
        next += 64;
        store.maintain().unwrap();
        assert!(taken(&storage) <= BUDGET);
    }
    let left = numbers(&store, "a");
    assert_eq!(left[..15], (100..110).chain(2_000..2_005).collect::<Vec<_>>());
    assert!(left[15] > 20_000);
    assert_eq!(left.len() as u64 + lost(&store, "a"), next as u64);
    assert!(store.losses("a").unwrap().len() <= 3);
    assert_eq!(
        store.pins("a").unwrap(),
        [(100..110).into(), (2_000..2_005).into()]
    );
    assert!(store.pin("a", &[(5..5).into()]).is_err());
    // Without the pin they are the oldest.
    store.unpin("a", &[(0..1_000).into()]).unwrap();
    while next < 50_000 {
        store.append("a", &rows(&shape, next..next + 64)).unwrap();
        next += 64;
        store.maintain().unwrap();
    }
    assert_eq!(numbers(&store, "a")[..5], (2_000..2_005).collect::<Vec<_>>());
    // Where all is pinned, the oldest goes in the end.
    store.pin("a", &[(0..1_000_000).into()]).unwrap();
    while next < 70_000 {
        store.append("a", &rows(&shape, next..next + 64)).unwrap();
        next += 64;
    }
    assert!(numbers(&store, "a")[0] > 2_004);
    let losses = store.losses("a").unwrap();
    assert!(losses.iter().any(|loss| loss.cause == Cause::FullPinned));
}

#[test]
fn rows_go_by_age() {
    let storage = MemoryStorage::new();
    let store = Store::create_in(Arc::new(storage), Options::default()).unwrap();
    let shape = store.create_stream("a", schema()).unwrap();
    store.pin("a", &[(150..160).into()]).unwrap();
    for start in 0..10 {
        store
            .append("a", &rows(&shape, start * 100..start * 100 + 100))
            .unwrap();
        store.seal("a").unwrap();
    }
    store.set_retention("a", &"drop=10m".parse().unwrap()).unwrap();
    store.maintain().unwrap();
    // The newest row is at 999 s; a segment goes when its last row is over 600 s older.
    let left = numbers(&store, "a");
    assert_eq!(left, (150..160).chain(300..1000).collect::<Vec<_>>());
    let losses = store.losses("a").unwrap();
    assert_eq!(losses.iter().map(|loss| loss.rows).sum::<u64>(), 290);
    assert!(losses.iter().all(|loss| loss.cause == Cause::Age));
    assert!(store.set_retention("b", &Retention::keep()).is_err());
}

#[test]
fn rows_that_a_cursor_has_to_read_go_after_those_that_it_has_read() {
    let store = Store::create_in(Arc::new(MemoryStorage::new()), options(BUDGET)).unwrap();
    let shape = store.create_stream("a", schema()).unwrap();
    store.create_stream("b", schema()).unwrap();
    for start in 0..10 {
        store
            .append("a", &rows(&shape, start * 100..start * 100 + 100))
            .unwrap();
    }
    store.seal("a").unwrap();
    store.set_cursor("backup", 0).unwrap();
    let mut next = 1_000;
    while lost(&store, "a") == 0 {
        store.append("a", &rows(&shape, next..next + 50)).unwrap();
        next += 50;
    }
    assert_eq!(store.losses("a").unwrap()[0].cause, Cause::FullUnread);
    let end = store.changes_since(0, &mut |_| Ok(())).unwrap();
    store.set_cursor("backup", end).unwrap();
    assert_eq!(store.cursors(), [("backup".to_owned(), end)]);
    while store.losses("a").unwrap().len() < 2 {
        store.append("a", &rows(&shape, next..next + 50)).unwrap();
        next += 50;
    }
    assert!(
        store
            .losses("a")
            .unwrap()
            .iter()
            .any(|loss| loss.cause == Cause::Full)
    );
}

/// A store that is nearly full.
fn nearly_full() -> (MemoryStorage, i64) {
    let storage = MemoryStorage::new();
    let store = Store::create_in(Arc::new(storage.clone()), options(BUDGET)).unwrap();
    let shape = store.create_stream("a", schema()).unwrap();
    store.create_stream("b", schema()).unwrap();
    store.pin("a", &[(300..305).into()]).unwrap();
    let mut next = 0;
    while taken(&storage) < BUDGET * 3 / 4 {
        store.append("a", &rows(&shape, next..next + 100)).unwrap();
        next += 100;
    }
    store.close().unwrap();
    (storage, next)
}

/// What a scenario was told: batches by stream, whether they were promised.
#[derive(Debug, Default)]
struct Told {
    batches: Vec<(&'static str, Range<i64>, bool)>,
    models: Vec<u32>,
}

fn scenario(storage: Arc<dyn Storage>, start: i64, told: &mut Told) -> Result<(), Error> {
    let mut next = start;
    let store = Store::open_in(storage.clone(), options(BUDGET))?;
    let shape = store.schema("a")?;
    let mut append = |store: &Store, stream: &'static str, count: i64| {
        let range = next..next + count;
        next += count;
        told.batches.push((stream, range.clone(), false));
        let receipt = store.append(stream, &rows(&shape, range))?;
        assert!(receipt.durable >= receipt.sequence);
        told.batches.iter_mut().for_each(|batch| batch.2 = true);
        Ok::<(), Error>(())
    };
    for _ in 0..4 {
        append(&store, "a", 150)?;
        append(&store, "b", 60)?;
    }
    store.maintain()?;
    told.models.push(store.put_model("m", &[1; 9_000])?);
    store.append_rejects("a.jsonl", &[b'x'; 5_000])?;
    for _ in 0..8 {
        append(&store, "a", 150)?;
    }
    store.maintain()?;
    drop(store);
    let store = Store::open_in(storage, options(0))?;
    assert_eq!(store.usage().budget, None);
    drop(store);
    Ok(())
}

#[test]
fn the_budget_holds_wherever_the_power_goes() {
    let (full, start) = nearly_full();
    let whole = FailingStorage::holding(&full);
    let mut told = Told::default();
    scenario(Arc::new(whole.clone()), start, &mut told).unwrap();
    let store = Store::open_read_in(Arc::new(whole.after_power_cut(Survival::Nothing))).unwrap();
    assert!(lost(&store, "a") > 300, "the scenario drops rows");
    let operations = whole.operations();
    assert!(operations > 100, "{operations}");
    for at in 1..=operations {
        let storage = FailingStorage::holding(&full);
        storage.fail_at(at, Failure::PowerCut);
        let mut told = Told::default();
        let _ = scenario(Arc::new(storage.clone()), start, &mut told);
        for (number, survival) in [
            Survival::Nothing,
            Survival::Everything,
            Survival::NamesOnly,
            Survival::Some(1),
            Survival::Some(at),
        ]
        .into_iter()
        .enumerate()
        {
            let what = format!("cut at {at} of {operations}, {survival:?}");
            let left = storage.after_power_cut(survival);
            assert!(taken(&left) <= BUDGET, "{what}: {} bytes", taken(&left));
            // Opening them all would take long; each of the other kinds is looked into at every tenth operation.
            if survival == Survival::Nothing || number == at as usize % 10 {
                check_cut(left, start, &told, &what);
            }
        }
    }
}

fn check_cut(left: MemoryStorage, start: i64, told: &Told, what: &str) {
    let most = Arc::new(AtomicU64::new(0));
    let watched = Watched {
        inner: Arc::new(left.clone()),
        most: most.clone(),
    };
    let store = Store::open_in(Arc::new(watched), Options::default()).unwrap();
    let damage = store.verify().unwrap();
    assert!(damage.is_empty(), "{what}: {damage:?}");
    for stream in ["a", "b"] {
        let found = numbers(&store, stream);
        let mut came: Vec<i64> = if stream == "a" {
            (0..start).collect()
        } else {
            Vec::new()
        };
        for (_, range, promised) in told.batches.iter().filter(|batch| batch.0 == stream) {
            let present = found.binary_search(&(range.end - 1)).is_ok();
            assert!(present || !promised, "{what}: {range:?} of {stream} was promised");
            if present {
                came.extend(range.clone());
            }
        }
        // Each row once; and what is not there was let go, and is written down.
        assert!(
            found.windows(2).all(|pair| pair[0] < pair[1]),
            "{what}: a row twice"
        );
        assert!(
            found.iter().all(|number| came.binary_search(number).is_ok()),
            "{what}"
        );
        assert_eq!(
            found.len() as u64 + lost(&store, stream),
            came.len() as u64,
            "{what}: {stream}"
        );
        if stream == "a" {
            assert!((300..305).all(|pinned| found.contains(&pinned)), "{what}");
        }
    }
    for version in &told.models {
        store.model("m", Some(*version)).unwrap();
    }
    // The store goes on from there.
    let shape = store.schema("a").unwrap();
    for i in 0..3 {
        let next = 1_000_000 + i * 100;
        store.append("a", &rows(&shape, next..next + 100)).unwrap();
    }
    if store.usage().budget.is_some() {
        assert!(most.load(Ordering::Relaxed) <= BUDGET, "{what}");
    }
}

#[test]
fn a_full_or_refusing_disk_does_not_break_the_budget() {
    let (full, start) = nearly_full();
    let whole = FailingStorage::holding(&full);
    scenario(Arc::new(whole.clone()), start, &mut Told::default()).unwrap();
    for at in (1..=whole.operations()).step_by(11) {
        for failure in [Failure::NoSpace, Failure::Refused, Failure::FailedSync] {
            let storage = FailingStorage::holding(&full);
            storage.fail_at(at, failure);
            let mut told = Told::default();
            let _ = scenario(Arc::new(storage.clone()), start, &mut told);
            assert!(taken(&storage) <= BUDGET, "{failure:?} at {at}");
            let left = storage.after_power_cut(Survival::Nothing);
            check_cut(left, start, &told, &format!("{failure:?} at {at}"));
        }
    }
}
