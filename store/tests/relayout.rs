//! Layouts of a stream: kept, obeyed by new segments, and changed under rows that are sealed already.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use siltstone_store::batch::Batch;
use siltstone_store::predicate::Predicate;
use siltstone_store::schema::{ColumnType, Schema, TimeUnit};
use siltstone_store::storage::Storage;
use siltstone_store::storage::file::FileStorage;
use siltstone_store::storage::memory::MemoryStorage;
use siltstone_store::store::{Layout, Layouts, MiniBlock, Options, Relaid, Store};
use siltstone_store::value::Value;

mod support;
use support::{numbers, rows, schema};

const SMALL: Layout = Layout::Small(MiniBlock::Rows256);

/// A store with four segments of 2,000 rows in stream `s`, none of which is worth a merge.
fn store(storage: Arc<dyn Storage>) -> Store {
    let store = Store::create_in(storage, Options::default()).unwrap();
    let shape = store.create_stream("s", schema()).unwrap();
    for start in 0..4 {
        store
            .append("s", &rows(&shape, start * 2_000..start * 2_000 + 2_000))
            .unwrap();
        store.seal("s").unwrap();
    }
    store
}

fn relayout(store: &Store, layouts: &str, before: Option<i64>) -> Vec<Relaid> {
    let mut done = Vec::new();
    let layouts: Layouts = layouts.parse().unwrap();
    store
        .relayout("s", &layouts, before, &mut |relaid| done.push(relaid.clone()))
        .unwrap();
    done
}

/// Layouts of a column, segment by segment.
fn layouts_of(store: &Store, column: &str) -> Vec<String> {
    let segments = store.segments("s").unwrap();
    let columns = segments.iter().flat_map(|segment| &segment.columns);
    columns
        .filter(|stat| stat.name == column)
        .map(|stat| stat.layout.clone())
        .collect()
}

#[test]
fn wishes_are_kept_and_obeyed() {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
    let store = store(storage.clone());
    assert_eq!(store.layouts("s").unwrap(), Layouts::default());
    let wishes: Layouts = "scan,count=small:512".parse().unwrap();
    store.set_layouts("s", &wishes).unwrap();
    assert!(store.set_layouts("s", &"pressure=scan".parse().unwrap()).is_err());
    assert!(store.set_layouts("t", &wishes).is_err());
    store.close().unwrap();
    let reader = Store::open_read_in(storage.clone()).unwrap();
    assert_eq!(reader.layouts("s").unwrap(), wishes);
    assert!(reader.set_layouts("s", &wishes).is_err());
    let store = Store::open_in(storage, Options::default()).unwrap();
    let shape = store.schema("s").unwrap();
    store.append("s", &rows(&shape, 8_000..10_000)).unwrap();
    store.seal("s").unwrap();
    let names = |layout: Layout| layout.kind().name().to_owned();
    assert_eq!(
        layouts_of(&store, "temperature"),
        [
            Layout::default(),
            Layout::default(),
            Layout::default(),
            Layout::default(),
            Layout::Scan
        ]
        .map(names)
    );
    assert_eq!(numbers(&store, "s"), (0..10_000).collect::<Vec<_>>());
}

#[test]
fn sealed_rows_get_another_layout_once() {
    let storage = Arc::new(MemoryStorage::new());
    let store = store(storage.clone());
    let files = |storage: &MemoryStorage| storage.list("").unwrap().len();
    let before = files(&storage);
    // Segments whose last row is older: the first two.
    let done = relayout(&store, "small", Some(4_000));
    assert_eq!(done.iter().map(|relaid| relaid.left).collect::<Vec<_>>(), [1, 0]);
    assert_eq!(relayout(&store, "small", None).len(), 2, "the other two");
    assert!(relayout(&store, "small", None).is_empty(), "nothing is left");
    assert_eq!(files(&storage), before);
    assert_eq!(layouts_of(&store, "temperature"), vec![SMALL.kind().name(); 4]);
    assert_eq!(numbers(&store, "s"), (0..8_000).collect::<Vec<_>>());
    assert_eq!(
        store.layouts("s").unwrap(),
        Layouts::default(),
        "new segments as before"
    );
    for relaid in relayout(&store, "rank,count=scan", None) {
        let segments = store.segments("s").unwrap();
        let segment = segments
            .iter()
            .find(|segment| segment.file == relaid.file)
            .unwrap();
        assert_eq!((segment.rows, segment.bytes), (relaid.rows, relaid.bytes_after));
    }
    assert_eq!(layouts_of(&store, "count"), vec![Layout::Scan.kind().name(); 4]);
    drop(store);
    let store = Store::open_in(storage.clone(), Options::default()).unwrap();
    assert!(relayout(&store, "rank,count=scan", None).is_empty());
    assert_eq!(numbers(&store, "s"), (0..8_000).collect::<Vec<_>>());
    assert!(store.verify().unwrap().is_empty());
}

/// Rows of text, of which every seventh tells of a pump.
fn texts(storage: Arc<dyn Storage>, options: Options) -> Store {
    let schema = Schema::new("time", TimeUnit::Millisecond);
    let schema = schema.with_channel("message", ColumnType::Text, "").unwrap();
    let schema = schema.with_channel("level", ColumnType::I16, "").unwrap();
    let store = Store::create_in(storage, options).unwrap();
    let shape = store.create_stream("s", schema).unwrap();
    store.set_layouts("s", &"message=fm".parse().unwrap()).unwrap();
    let mut batch = Batch::new(shape);
    for i in 0..1_500i64 {
        let pump = if i % 7 == 0 { "pump" } else { "valve" };
        let message = format!("{} step {i}: {pump} {} {}", i * i % 977, "is ".repeat(20), i % 5);
        let values = [Value::Text(message), Value::I64(i % 4)];
        batch.push_row(i, &values).unwrap();
    }
    store.append("s", &batch).unwrap();
    store.seal("s").unwrap();
    store
}

/// Rows that tell of a pump: counted, and by time.
fn pumps(store: &Store) -> (u64, Vec<i64>) {
    let snapshot = store.snapshot("s").unwrap();
    let pump = Predicate::contains("message", "pump");
    let batches = snapshot.scan(&["message"], &pump).unwrap();
    let times = batches.flat_map(|batch| batch.unwrap().times).collect();
    (snapshot.count(&pump).unwrap(), times)
}

#[test]
fn parts_of_a_text_index_go_and_come_back() {
    let store = texts(Arc::new(MemoryStorage::new()), Options::default());
    let bytes = |store: &Store| store.segments("s").unwrap()[0].bytes;
    let (fm, wanted) = (bytes(&store), pumps(&store));
    assert_eq!((wanted.0, wanted.1.len()), (215, 215));
    let mut taken = Vec::new();
    for stop in ["fm:32", "fm", "fm:count", "fm:least", "fm:count", "fm:32", "fm"] {
        relayout(&store, &format!("message={stop}"), None);
        assert_eq!(layouts_of(&store, "message"), [stop]);
        assert_eq!(pumps(&store), wanted, "{stop}");
        taken.push(bytes(&store));
    }
    assert!(taken[..4].windows(2).all(|pair| pair[0] > pair[1]), "{taken:?}");
    assert_eq!(taken[1], fm);
    assert_eq!(taken[4..], [taken[2], taken[0], taken[1]]);
    assert!(store.set_layouts("s", &"level=fm".parse().unwrap()).is_err());
}

#[test]
fn blocks_of_a_text_index_are_merged_by_who_has_more_memory() {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
    let little = Options {
        memory_limit: 7 << 20,
        ..Options::default()
    };
    let store = texts(storage.clone(), little.clone());
    let wanted = pumps(&store);
    let files = |store: &Store| -> Vec<(String, u64)> {
        let segments = store.segments("s").unwrap().into_iter();
        segments.map(|segment| (segment.file, segment.bytes)).collect()
    };
    let before = files(&store);
    store.maintain().unwrap();
    assert_eq!(files(&store), before, "no more memory than it was written with");
    drop(store);
    let store = Store::open_in(storage.clone(), Options::default()).unwrap();
    store.maintain().unwrap();
    let after = files(&store);
    assert_eq!((before.len(), after.len()), (1, 1));
    assert!(
        after[0].0 != before[0].0 && after[0].1 < before[0].1,
        "{before:?} {after:?}"
    );
    assert_eq!(pumps(&store), wanted);
    for options in [Options::default(), little] {
        drop(Store::open_in(storage.clone(), options).map(|store| {
            store.maintain().unwrap();
            assert_eq!(files(&store), after, "done once");
        }));
    }
}

#[test]
fn a_damaged_segment_stays_as_it_is() {
    let storage = Arc::new(MemoryStorage::new());
    let store = store(storage.clone());
    let damaged = store.segments("s").unwrap()[1].file.clone();
    drop(store);
    let mut bytes = storage.read(&damaged, 0..u64::MAX).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    let file = storage.create(&damaged).unwrap();
    file.append(&bytes).unwrap();
    file.sync().unwrap();
    let store = Store::open_in(storage.clone(), Options::default()).unwrap();
    let mut done = 0;
    let failed = store.relayout("s", &SMALL.into(), None, &mut |_| done += 1);
    assert!(failed.unwrap_err().to_string().contains(&damaged));
    assert_eq!(done, 3, "the others");
    assert_eq!(storage.read(&damaged, 0..u64::MAX).unwrap(), bytes);
    assert_eq!(store.verify().unwrap().len(), 1);
}

#[test]
fn readers_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let storage: Arc<dyn Storage> = Arc::new(FileStorage::new(directory.path()));
    let store = store(storage.clone());
    let expected: Vec<i64> = (0..8_000).collect();
    let held = Store::open_read_in(storage.clone()).unwrap();
    let snapshot = held.snapshot("s").unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for layouts in ["small", "scan", "rank:smaller", "rank", "small:128"] {
                assert_eq!(relayout(&store, layouts, None).len(), 4, "{layouts}");
            }
            done.store(true, Ordering::Release);
        });
        let reader = Store::open_read_in(storage.clone()).unwrap();
        while !done.load(Ordering::Acquire) {
            assert_eq!(numbers(&reader, "s"), expected);
        }
        assert_eq!(numbers(&reader, "s"), expected);
    });
    // A snapshot keeps the bytes of the files that it was taken from.
    assert_eq!(snapshot.row_count(), 8_000);
    let sum = snapshot
        .sum("count", &siltstone_store::predicate::Predicate::All)
        .unwrap();
    assert_eq!(sum, Some(siltstone_store::column::Sum::Integer((0..8_000).sum())));
    assert_eq!(numbers(&store, "s"), expected);
}
