//! Rows go down the ladder as they age: what is promised of their values holds, by every question and after every cut.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use std::sync::Arc;

use siltstone_store::batch::Batch;
use siltstone_store::keep::{LossKind, Pin, Retention};
use siltstone_store::predicate::Predicate;
use siltstone_store::schema::{ColumnType, Schema, SharedSchema, TimeUnit};
use siltstone_store::storage::Storage;
use siltstone_store::storage::failing::{FailingStorage, Failure, Survival};
use siltstone_store::storage::memory::MemoryStorage;
use siltstone_store::store::{Options, Store, SyncPolicy};
use siltstone_store::value::Value;

fn schema() -> Schema {
    Schema::new("time", TimeUnit::Second)
        .with_key("device", ColumnType::Text)
        .and_then(|s| s.with_channel("temp", ColumnType::F64, "degC"))
        .and_then(|s| s.with_channel("level", ColumnType::F32, ""))
        .and_then(|s| s.with_channel("count", ColumnType::I32, ""))
        .and_then(|s| s.with_channel("note", ColumnType::Text, ""))
        .unwrap()
}

/// A number below `n` that looks random.
fn noise(i: i64, n: i64) -> i64 {
    ((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) as i64 % n
}

fn temp(i: i64) -> f64 {
    (2_000 + noise(i / 50, 90) + noise(i, 40)) as f64 / 100.0
}

fn level(i: i64) -> f32 {
    (1.0 + noise(i, 1_000_000) as f32 / 7.3e6) * 10f32.powi((noise(i / 90, 7) - 3) as i32)
}

/// Two rows a second, of two devices.
fn rows(schema: &SharedSchema, range: std::ops::Range<i64>) -> Batch {
    let mut batch = Batch::new(schema.clone());
    for i in range {
        let some = |value: Value| if noise(i, 11) == 3 { Value::Null } else { value };
        let row = [
            Value::Text(format!("d{}", i % 2)),
            some(Value::F64(temp(i))),
            Value::F32(level(i)),
            some(Value::I64(i + noise(i, 90))),
            Value::Text(format!("n{}", i / 500)),
        ];
        batch.push_row(i / 2, &row).unwrap();
    }
    batch
}

const SEGMENT: i64 = 8_000;

fn filled(storage: Arc<dyn Storage>, segments: i64) -> Store {
    let store = Store::create_in(storage, Options::default()).unwrap();
    let shape = store.create_stream("s", schema()).unwrap();
    for at in 0..segments {
        store
            .append("s", &rows(&shape, at * SEGMENT..(at + 1) * SEGMENT))
            .unwrap();
        store.seal("s").unwrap();
    }
    store
}

fn policy(text: &str) -> Retention {
    text.parse().unwrap()
}

/// Values of a column and their times, by time and device.
fn values(store: &Store, column: &str) -> Vec<(i64, Vec<u8>, Value)> {
    let ty = store.schema("s").unwrap().column(column).unwrap().ty;
    let snapshot = store.snapshot("s").unwrap();
    let mut out = Vec::new();
    for batch in snapshot.scan(&["device", column], &Predicate::All).unwrap() {
        let batch = batch.unwrap();
        for row in 0..batch.len() {
            let device = batch.columns[0].bytes(row).unwrap().to_vec();
            out.push((batch.times[row], device, batch.columns[1].value(ty, row)));
        }
    }
    out.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    out
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::F64(v) => Some(*v),
        Value::F32(v) => Some(f64::from(*v)),
        Value::I64(v) => Some(*v as f64),
        _ => None,
    }
}

#[test]
fn old_values_stay_within_their_error() {
    let storage = Arc::new(MemoryStorage::new());
    let store = filled(storage.clone(), 3);
    let columns = ["temp", "level", "count", "note"];
    let before: Vec<_> = columns.iter().map(|column| values(&store, column)).collect();
    let bytes = |store: &Store| -> Vec<u64> {
        let segments = store.segments("s").unwrap();
        segments.iter().map(|segment| segment.bytes).collect()
    };
    let raw = bytes(&store);
    // The first segment ends 8,000 seconds before the newest row, the second 4,000.
    store
        .set_retention(
            "s",
            &policy("small=1h,bounded=2h,eps:temp=0.05,eps:level=1%,eps:count=10"),
        )
        .unwrap();
    store.maintain().unwrap();
    let aged = bytes(&store);
    assert!(
        aged[0] * 10 < raw[0] * 7 && aged[0] < aged[1],
        "{raw:?} became {aged:?}"
    );
    assert_eq!(aged[2], raw[2]);
    store.maintain().unwrap();
    assert_eq!(bytes(&store), aged, "nothing is left to do");
    let losses = store.losses("s").unwrap();
    assert_eq!(losses.len(), 1);
    assert_eq!(
        (losses[0].kind, losses[0].rows),
        (LossKind::Bounded, SEGMENT as u64)
    );
    drop(store);
    let store = Store::open_in(storage, Options::default()).unwrap();
    for (column, before) in columns.iter().zip(&before) {
        let mut moved = 0;
        for (was, is) in before.iter().zip(&values(&store, column)) {
            assert_eq!((was.0, &was.1), (is.0, &is.1));
            let error = match (*column, was.0 < SEGMENT / 2) {
                ("temp", true) => 0.05,
                ("level", true) => number(&was.2).unwrap().abs() * 0.01,
                ("count", true) => 10.0,
                _ => 0.0,
            };
            match (number(&was.2), number(&is.2)) {
                (Some(was), Some(is)) => assert!((was - is).abs() <= error, "{column}: {was} became {is}"),
                _ => assert_eq!(was.2, is.2, "{column}"),
            }
            moved += usize::from(was.2 != is.2);
        }
        assert_eq!(moved > 0, *column != "note", "{column}");
    }
    // A wider error counts from what was measured, not from what is left.
    store
        .set_retention("s", &policy("bounded=1h,eps:temp=0.2,eps:level=1%,eps:count=30"))
        .unwrap();
    store.maintain().unwrap();
    for (was, is) in before[0].iter().zip(&values(&store, "temp")) {
        let pair = number(&was.2).zip(number(&is.2));
        assert!(pair.is_none_or(|(was, is)| (was - is).abs() <= 0.2));
    }
    assert!(store.verify().unwrap().is_empty());
}

#[test]
fn a_step_that_saves_too_little_is_tried_once() {
    let storage = Arc::new(MemoryStorage::new());
    let store = filled(storage.clone(), 2);
    store
        .set_retention("s", &policy("bounded=0s,eps:temp=0.001"))
        .unwrap();
    store.maintain().unwrap();
    let files = |store: &Store| -> Vec<String> {
        let segments = store.segments("s").unwrap();
        segments.into_iter().map(|segment| segment.file).collect()
    };
    let names = files(&store);
    let written = store.usage().written.total();
    store.maintain().unwrap();
    assert_eq!(files(&store), names);
    assert_eq!(store.usage().written.total(), written, "not tried again");
}

#[test]
fn policies_fit_their_stream() {
    let store = filled(Arc::new(MemoryStorage::new()), 0);
    for text in [
        "bounded=1d,eps:none=1",
        "bounded=1d,eps:note=1",
        "bounded=1d,eps:count=1%",
        "bounded=1d",
        "downsample=1d,every=10ns",
    ] {
        let refused = text
            .parse::<Retention>()
            .and_then(|policy| store.set_retention("s", &policy));
        assert!(refused.is_err(), "{text}");
    }
}

#[test]
fn merging_keeps_the_error() {
    let store = filled(Arc::new(MemoryStorage::new()), 5);
    store
        .set_retention("s", &policy("bounded=0s,eps:temp=0.05,eps:level=1%,eps:count=10"))
        .unwrap();
    // Five segments become one, which goes down; then five more.
    store.maintain().unwrap();
    let precision = |store: &Store| {
        let snapshot = store.snapshot("s").unwrap();
        let parts = snapshot.parts().iter();
        let of = parts.filter_map(|part| match &part.data {
            siltstone_store::question::part::PartData::Segment(segment) => {
                Some(segment.column(1).unwrap().unwrap().precision())
            }
            _ => None,
        });
        of.collect::<Vec<_>>()
    };
    assert!(
        precision(&store)
            .iter()
            .all(|found| found.is_some_and(|p| p.largest <= 0.05))
    );
}

const SURVIVALS: [Survival; 3] = [Survival::Nothing, Survival::NamesOnly, Survival::Some(1)];

/// The whole way of a stream down the ladder.
fn scenario(storage: &FailingStorage, appended: &mut i64) -> siltstone_store::Result<()> {
    let options = Options {
        sync: SyncPolicy::Always,
        ..Options::default()
    };
    let store = Store::create_in(Arc::new(storage.clone()), options)?;
    let shape = store.create_stream("s", schema())?;
    store.set_retention("s", &policy(WAY))?;
    for at in 0..3 {
        store.append("s", &rows(&shape, at * 800..(at + 1) * 800))?;
        *appended = (at + 1) * 800;
        store.seal("s")?;
        store.maintain()?;
    }
    store.close()
}

const WAY: &str = "small=5m,bounded=10m,eps:temp=0.05,eps:level=1%,eps:count=10";

#[test]
fn the_power_goes_at_every_step() {
    let whole = FailingStorage::new();
    let mut appended = 0;
    scenario(&whole, &mut appended).unwrap();
    let operations = whole.operations();
    assert!(operations > 40, "{operations}");
    for at in 1..=operations {
        for survival in SURVIVALS {
            let storage = FailingStorage::new();
            storage.fail_at(at, Failure::PowerCut);
            let mut appended = 0;
            if scenario(&storage, &mut appended).is_ok() {
                continue;
            }
            let disk = Arc::new(storage.after_power_cut(survival));
            let store = match Store::open_in(disk, Options::default()) {
                Ok(store) => store,
                Err(_) if appended == 0 => continue,
                Err(error) => panic!("cut at {at}, {survival:?}: {error}"),
            };
            if store.schema("s").is_err() {
                assert_eq!(appended, 0);
                continue;
            }
            let found = values(&store, "temp");
            assert!(found.len() as i64 >= appended, "cut at {at}, {survival:?}");
            for ((time, device, value), i) in found.iter().zip(0..) {
                assert_eq!((*time, device), (i / 2, &format!("d{}", i % 2).into_bytes()));
                let is = number(value);
                assert!(
                    is.is_none_or(|is| (is - temp(i)).abs() <= 0.05),
                    "cut at {at}, {survival:?}"
                );
            }
            store.maintain().unwrap();
            assert!(store.verify().unwrap().is_empty(), "cut at {at}, {survival:?}");
        }
    }
}

/// Raw rows, errors, buckets, gone: every segment takes all steps, but for the pinned rows of one device.
const WHOLE_WAY: &str = "small=8m,bounded=12m,eps:temp=0.05,downsample=20m,every=20m,drop=45m";
const BATCH: i64 = 2_000;
const BUCKET: i64 = 1_200;
const PINNED: std::ops::Range<i64> = 60..64;

/// What a scenario was told.
#[derive(Debug, Default)]
struct Told {
    appended: i64,
    pinned: bool,
    model: bool,
}

/// A number that nothing compresses.
fn mixed(i: i64) -> u64 {
    let mut mixed = i as u64 + 1;
    for _ in 0..3 {
        mixed = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    }
    mixed
}

/// A temperature of more digits than are wanted when it is old.
fn fine(i: i64) -> f64 {
    temp(i) + (mixed(i) >> 12) as f64 / 1e18
}

/// As [`rows`], so that each step is worth it for few rows: digits for the one to an error, text for the one to buckets.
fn way_rows(schema: &SharedSchema, range: std::ops::Range<i64>) -> Batch {
    let mut batch = Batch::new(schema.clone());
    for i in range {
        let note = Value::Text(format!("{:x}", mixed(i)));
        let row = [Value::Text(format!("d{}", i % 2)), Value::F64(fine(i)), note];
        batch.push_row(i / 2, &row).unwrap();
    }
    batch
}

fn whole_way(storage: &FailingStorage, told: &mut Told) -> siltstone_store::Result<()> {
    let options = Options {
        sync: SyncPolicy::Always,
        ..Options::default()
    };
    let store = Store::create_in(Arc::new(storage.clone()), options)?;
    let schema = Schema::new("time", TimeUnit::Second)
        .with_key("device", ColumnType::Text)
        .and_then(|s| s.with_channel("temp", ColumnType::F64, ""))
        .and_then(|s| s.with_channel("note", ColumnType::Text, ""))?;
    let shape = store.create_stream("s", schema)?;
    store.set_retention("s", &policy(WHOLE_WAY))?;
    for at in 0..4 {
        store.append("s", &way_rows(&shape, at * BATCH..(at + 1) * BATCH))?;
        told.appended = (at + 1) * BATCH;
        if at == 0 {
            let keys = vec![("device".to_owned(), Value::from("d1"))];
            store.pin("s", &[Pin { times: PINNED, keys }])?;
            told.pinned = true;
        }
        store.seal("s")?;
        store.maintain()?;
        if at == 1 {
            store.put_model("m", b"weights")?;
            told.model = true;
        }
    }
    store.close()
}

#[test]
fn the_power_goes_on_the_whole_way() {
    let whole = FailingStorage::new();
    whole_way(&whole, &mut Told::default()).unwrap();
    let store = Store::open_read_in(Arc::new(whole.after_power_cut(Survival::Nothing))).unwrap();
    let losses = store.losses("s").unwrap();
    for kind in [LossKind::Bounded, LossKind::Downsampled, LossKind::Dropped] {
        assert!(
            losses.iter().any(|loss| loss.kind == kind),
            "{kind:?}: {losses:?}"
        );
    }
    let operations = whole.operations();
    assert!(operations > 70, "{operations}");
    for at in 1..=operations {
        let storage = FailingStorage::new();
        storage.fail_at(at, Failure::PowerCut);
        let mut told = Told::default();
        if whole_way(&storage, &mut told).is_ok() {
            continue;
        }
        for survival in SURVIVALS {
            let what = format!("cut at {at} of {operations}, {survival:?}");
            let disk = Arc::new(storage.after_power_cut(survival));
            match Store::open_in(disk, Options::default()) {
                Ok(store) => check_whole_way(&store, &told, &what),
                Err(error) => assert_eq!(told.appended, 0, "{what}: {error}"),
            }
        }
    }
}

fn check_whole_way(store: &Store, told: &Told, what: &str) {
    assert!(store.verify().unwrap().is_empty(), "{what}");
    if store.schema("s").is_err() {
        assert_eq!(told.appended, 0, "{what}");
        return;
    }
    // Before and after what was left to be done is done.
    for _ in 0..2 {
        let snapshot = store.snapshot("s").unwrap();
        let dropped = store.losses("s").unwrap().into_iter();
        let dropped = dropped.filter(|loss| loss.kind == LossKind::Dropped);
        let dropped: u64 = dropped.map(|loss| loss.rows).sum();
        let counted = snapshot.count(&Predicate::All).unwrap() + dropped;
        assert!(
            counted >= told.appended as u64 && counted % BATCH as u64 == 0,
            "{what}: {counted}"
        );
        let mut pinned = 0;
        for part in 0..snapshot.part_count() {
            let buckets = snapshot.parts()[part].data.is_downsampled();
            for batch in snapshot
                .scan_part(part, &["device", "temp"], &Predicate::All)
                .unwrap()
            {
                let batch = batch.unwrap();
                for row in 0..batch.len() {
                    let time = batch.times[row];
                    let device = i64::from(batch.columns[0].bytes(row) == Some(b"d1"));
                    pinned += u64::from(!buckets && device == 1 && PINNED.contains(&time));
                    let found = number(&batch.columns[1].value(ColumnType::F64, row));
                    let rows = time..if buckets { time + BUCKET } else { time + 1 };
                    let temps = rows.map(|time| fine(time * 2 + device));
                    let (low, high) =
                        temps.fold((f64::MAX, f64::MIN), |(low, high), t| (low.min(t), high.max(t)));
                    let near = found.is_none_or(|t| t >= low - 0.051 && t <= high + 0.051);
                    assert!(near, "{what}: {found:?} at {time} of d{device}");
                }
            }
        }
        assert!(!told.pinned || pinned == 4, "{what}: {pinned} pinned rows");
        store.maintain().unwrap();
    }
    if told.model {
        assert_eq!(store.model("m", None).unwrap().1, b"weights", "{what}");
    }
}
