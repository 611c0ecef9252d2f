//! One memory limit bounds what appending, sealing, merging, ageing and asking hold, counted in the allocator.
//!
//! A binary of its own with one test: the counter sees every thread of the process.

#![allow(clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout as Shape, System};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use siltstone_store::batch::Batch;
use siltstone_store::predicate::Predicate;
use siltstone_store::schema::{ColumnType, Schema, TimeUnit};
use siltstone_store::store::{Options, Retention, Store, SyncPolicy};
use siltstone_store::value::Value;

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grown(bytes: usize) {
    let now = NOW.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(now, Ordering::Relaxed);
}

// SAFETY: every call goes to the system's allocator as it came; only numbers are kept beside.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, shape: Shape) -> *mut u8 {
        grown(shape.size());
        // SAFETY: the caller keeps to the contract of this trait, which is that of `System`.
        unsafe { System.alloc(shape) }
    }

    unsafe fn dealloc(&self, at: *mut u8, shape: Shape) {
        NOW.fetch_sub(shape.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(at, shape) }
    }

    unsafe fn realloc(&self, at: *mut u8, shape: Shape, size: usize) -> *mut u8 {
        // Large blocks are moved by the system's page tables, so the old and the new one are not there at once.
        NOW.fetch_sub(shape.size(), Ordering::Relaxed);
        grown(size);
        // SAFETY: as above.
        unsafe { System.realloc(at, shape, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const LIMIT: usize = 8 << 20;
const ROWS: i64 = 150_000;
const BATCH: usize = 1_000;

/// Bytes held at most while `work` runs, beyond what was there before it.
fn peak<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let done = work();
    let held = PEAK.load(Ordering::Relaxed);
    println!("{what}: {} KB above {} KB", (held - before) >> 10, before >> 10);
    if held > LIMIT {
        println!("  OVER");
    }
    done
}

fn options() -> Options {
    Options {
        sync: SyncPolicy::Os,
        memory_limit: LIMIT,
        ..Options::default()
    }
}

fn schema() -> Schema {
    Schema::new("time", TimeUnit::Microsecond)
        .with_key("device", ColumnType::Text)
        .and_then(|s| s.with_channel("temperature", ColumnType::F64, "°C"))
        .and_then(|s| s.with_channel("noise", ColumnType::F64, ""))
        .and_then(|s| s.with_channel("count", ColumnType::I64, ""))
        .and_then(|s| s.with_channel("note", ColumnType::Text, ""))
        .unwrap()
}

fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

fn rows(schema: &Arc<Schema>, from: i64, seed: &mut u64, level: &mut i64) -> Batch {
    let mut batch = Batch::new(schema.clone());
    for row in from..from + BATCH as i64 {
        *level += i64::try_from(random(seed) % 7).unwrap() - 3;
        let noise = f64::from_bits(0x3ff0_0000_0000_0000 | random(seed) >> 12);
        let note = match random(seed) % 4 {
            0 => Value::Text(format!(
                "bearing {} drifts by {}",
                random(seed) % 100,
                random(seed)
            )),
            _ => Value::Null,
        };
        let count = Value::I64(i64::try_from(random(seed) % 1000).unwrap());
        let device = Value::Text(format!("d{}", row % 8));
        let values = [
            device,
            Value::F64(*level as f64 / 100.0),
            Value::F64(noise),
            count,
            note,
        ];
        batch
            .push_row(row * 125 + i64::try_from(random(seed) % 50).unwrap(), &values)
            .unwrap();
    }
    batch
}

fn ask(path: &Path) {
    let store = peak("open to read", || Store::open_read(path)).unwrap();
    let snapshot = peak("snapshot", || store.snapshot("s")).unwrap();
    println!("{} parts", snapshot.part_count());
    let warm = Predicate::gt("temperature", Value::F64(1.0));
    let both = warm.clone().or(Predicate::lt("noise", Value::F64(1.5)));
    let text = Predicate::contains("note", "drifts by 77");
    for (what, predicate) in [
        ("all", Predicate::All),
        ("warm", warm),
        ("both", both),
        ("text", text),
    ] {
        peak(what, || {
            snapshot.count(&predicate).unwrap();
            snapshot.sum("noise", &predicate).unwrap();
            snapshot.median("temperature", &predicate).unwrap();
            snapshot.quantile("noise", 0.99, &predicate).unwrap();
            snapshot.min_max("note", &predicate).unwrap();
            snapshot.quantile_bounds("count", 0.5, &predicate).unwrap();
        });
    }
    peak("scan", || {
        let all = ["device", "temperature", "noise", "count", "note"];
        let rows: usize = snapshot
            .scan(&all, &Predicate::All)
            .unwrap()
            .map(|b| b.unwrap().len())
            .sum();
        assert_eq!(rows as i64, ROWS);
    });
}

#[test]
fn one_limit_bounds_everything() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let schema = Arc::new(schema());
    let store = Store::create(&path, options()).unwrap();
    store.create_stream("s", (*schema).clone()).unwrap();
    peak("append", || {
        let (mut seed, mut level) = (42, 2000);
        for from in (0..ROWS).step_by(BATCH) {
            store
                .append("s", &rows(&schema, from, &mut seed, &mut level))
                .unwrap();
        }
    });
    peak("seal", || store.seal("s")).unwrap();
    peak("merge", || store.maintain()).unwrap();
    peak("relayout", || {
        store.relayout("s", &"small".parse().unwrap(), None, &mut |_| {})
    })
    .unwrap();
    drop(store);
    ask(&path);
    let store = peak("open", || Store::open(&path, options())).unwrap();
    let retention: Retention = "small=1s,eps:noise=0.01,bounded=2s,every=1s,downsample=60s"
        .parse()
        .unwrap();
    store.set_retention("s", &retention).unwrap();
    peak("age", || store.maintain()).unwrap();
}
