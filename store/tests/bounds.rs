//! Rows that went down the ladder beside the rows as they were: answers are near, and between bounds that hold the truth.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use siltstone_store::batch::Batch;
use siltstone_store::column::Sum;
use siltstone_store::predicate::Predicate;
use siltstone_store::schema::{ColumnType, Schema, SharedSchema, TimeUnit};
use siltstone_store::snapshot::Snapshot;
use siltstone_store::storage::memory::MemoryStorage;
use siltstone_store::store::{Options, Store};
use siltstone_store::value::Value;

const ROWS: i64 = 12_000;

fn schema() -> Schema {
    Schema::new("time", TimeUnit::Second)
        .with_key("device", ColumnType::Text)
        .and_then(|s| s.with_channel("temp", ColumnType::F64, "degC"))
        .and_then(|s| s.with_channel("level", ColumnType::F32, ""))
        .and_then(|s| s.with_channel("count", ColumnType::I32, ""))
        .and_then(|s| s.with_channel("hash", ColumnType::U64, ""))
        .and_then(|s| s.with_channel("on", ColumnType::Bool, ""))
        .and_then(|s| s.with_channel("note", ColumnType::Text, ""))
        .unwrap()
}

fn noise(i: i64, n: i64) -> i64 {
    ((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) as i64 % n
}

fn push(batch: &mut Batch, i: i64, time: i64) {
    let gap = |value: Value, of: i64| if noise(i + of, 9) == 3 { Value::Null } else { value };
    let row = [
        Value::Text(format!("d{}", i % 3)),
        gap(
            Value::F64((2_000 + noise(i / 200, 300) + noise(i, 60)) as f64 / 100.0),
            1,
        ),
        gap(Value::F32((noise(i, 100_000) as f32 - 4e4) * 1.7e-3), 2),
        gap(Value::I64(noise(i / 40, 50) - 25 + noise(i, 7)), 3),
        Value::U64(u64::MAX - noise(i, 1 << 30) as u64),
        gap(Value::Bool(noise(i / 70, 5) == 2), 4),
        gap(Value::Text(format!("n{}", noise(i / 100, 4))), 5),
    ];
    batch.push_row(time, &row).unwrap();
}

fn batches(schema: &SharedSchema) -> Vec<Batch> {
    let mut out: Vec<Batch> = (0..4)
        .map(|part| {
            let mut batch = Batch::new(schema.clone());
            for i in part * ROWS / 4..(part + 1) * ROWS / 4 {
                push(&mut batch, i, i / 6 + noise(i, 2));
            }
            batch
        })
        .collect();
    // Some rows come late, and some only now.
    let mut late = Batch::new(schema.clone());
    (0..300).for_each(|i| push(&mut late, ROWS + i, i * 3));
    out.push(late);
    let mut new = Batch::new(schema.clone());
    (0..500).for_each(|i| push(&mut new, 2 * ROWS + i, 2_100 + i / 3));
    out.push(new);
    out
}

/// A store on which `policies` acted one after the other; the newest rows are young, or in the tail.
fn store(policies: &[&str]) -> Store {
    // Small, so that segments are not merged before they are old.
    let options = Options {
        rows_per_segment: 4_000,
        ..Options::default()
    };
    let store = Store::create_in(Arc::new(MemoryStorage::new()), options).unwrap();
    let shape = store.create_stream("s", schema()).unwrap();
    for batch in batches(&shape) {
        store.append("s", &batch).unwrap();
        if batch.times[0] < 2_000 {
            store.seal("s").unwrap();
        }
    }
    for policy in policies {
        store.set_retention("s", &policy.parse().unwrap()).unwrap();
        store.maintain().unwrap();
    }
    store
}

const BOUND: &str = "eps:temp=0.07,eps:level=1%,eps:count=2";

static RAW: LazyLock<Store> = LazyLock::new(|| store(&[]));
static AGED: LazyLock<Vec<(&str, Store)>> = LazyLock::new(|| {
    let bounded = format!("bounded=2m,{BOUND}");
    let both = format!("bounded=1m,downsample=4m,every=5m,{BOUND}");
    vec![
        ("bounded", store(&[&bounded])),
        ("downsampled", store(&["downsample=2m,every=30s"])),
        ("bounded, then downsampled", store(&[&bounded, &both])),
        (
            "downsampled twice",
            store(&["downsample=15m,every=20s", "downsample=1m,every=60s"]),
        ),
        (
            "two kinds of error, then downsampled",
            store(&[
                "bounded=20m,eps:temp=0.07",
                "bounded=4m,eps:temp=1%",
                "downsample=4m,every=10m",
            ]),
        ),
    ]
});

fn between(column: &str, low: impl Into<Value>, high: impl Into<Value>) -> Predicate {
    Predicate::And(vec![Predicate::ge(column, low), Predicate::lt(column, high)])
}

fn leaf() -> impl Strategy<Value = Predicate> {
    prop_oneof![
        (-100i64..2300, 1i64..1500).prop_map(|(from, len)| {
            Predicate::And(vec![
                Predicate::ge("time", Value::Timestamp(from)),
                Predicate::lt("time", Value::Timestamp(from + len)),
            ])
        }),
        (1950i64..2400, 1i64..300)
            .prop_map(|(from, len)| { between("temp", from as f64 / 100.0, (from + len) as f64 / 100.0) }),
        (-70i64..100).prop_map(|from| Predicate::ge("level", from as f64)),
        (-30i64..30, 1i64..20).prop_map(|(from, len)| between("count", from, from + len)),
        (-30i64..30).prop_map(|at| Predicate::eq("count", at)),
        any::<bool>().prop_map(|on| Predicate::eq("on", on)),
        (0i64..4).prop_map(|n| Predicate::eq("note", Value::Text(format!("n{n}")))),
        (0i64..4).prop_map(|n| Predicate::eq("device", Value::Text(format!("d{n}")))),
        Just(Predicate::IsNull {
            column: "temp".into()
        }),
        Just(Predicate::All),
    ]
}

fn predicate() -> impl Strategy<Value = Predicate> {
    leaf().prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            3 => proptest::collection::vec(inner.clone(), 1..4).prop_map(Predicate::And),
            1 => proptest::collection::vec(inner.clone(), 1..3).prop_map(Predicate::Or),
            1 => inner.prop_map(|inner| Predicate::Not(Box::new(inner))),
        ]
    })
}

fn float(sum: Option<Sum>) -> Option<f64> {
    sum.map(|sum| match sum {
        Sum::Integer(sum) => sum as f64,
        Sum::Float(sum) => sum,
    })
}

fn number(value: Value) -> f64 {
    match value {
        Value::F64(v) => v,
        Value::F32(v) => f64::from(v),
        Value::I64(v) => v as f64,
        Value::U64(v) => v as f64,
        Value::Bool(v) => f64::from(u8::from(v)),
        other => panic!("{other:?}"),
    }
}

fn check(name: &str, raw: &Snapshot, aged: &Snapshot, predicate: &Predicate, column: &str, q: f64) {
    let told = || format!("{name}: {column}, {q}, {predicate:?}");
    let truth = raw.count(predicate).unwrap();
    let found = aged.count_bounds(predicate).unwrap();
    assert!(
        found.low <= truth && truth <= found.high,
        "{truth} in {found:?}; {}",
        told()
    );
    assert!(
        found.low <= found.value && found.value <= found.high,
        "{found:?}; {}",
        told()
    );
    let values = raw.count_values(column, predicate).unwrap();
    let sum = float(raw.sum(column, predicate).unwrap());
    let bounds = aged.sum_bounds(column, predicate).unwrap();
    if let Some(sum) = sum {
        let found = bounds.unwrap();
        assert!(
            found.low <= sum && sum <= found.high,
            "sum {sum} in {found:?}; {}",
            told()
        );
        assert!(
            found.low <= found.value && found.value <= found.high,
            "{found:?}; {}",
            told()
        );
        let mean = sum / values as f64;
        let found = aged.avg_bounds(column, predicate).unwrap().unwrap();
        assert!(
            found.low <= mean && mean <= found.high,
            "mean {mean} in {found:?}; {}",
            told()
        );
        let quantile = number(raw.quantile(column, q, predicate).unwrap().unwrap());
        let found = aged.quantile_bounds(column, q, predicate).unwrap().unwrap();
        assert!(
            found.low <= quantile && quantile <= found.high,
            "quantile {quantile} in {found:?}; {}",
            told()
        );
        assert!(
            found.low <= found.value && found.value <= found.high,
            "{found:?}; {}",
            told()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn bounds_hold_the_truth(
        predicate in predicate(),
        column in prop_oneof![3 => Just("temp"), 2 => Just("level"), 2 => Just("count"), 1 => Just("on"), 1 => Just("hash")],
        q in prop_oneof![Just(0.0), Just(1.0), Just(0.5), 0.0..1.0f64],
    ) {
        let raw = RAW.snapshot("s").unwrap();
        for (name, store) in AGED.iter() {
            check(name, &raw, &store.snapshot("s").unwrap(), &predicate, column, q);
        }
    }
}

#[test]
fn whole_buckets_answer_exactly() {
    let raw = RAW.snapshot("s").unwrap();
    for (name, store) in AGED.iter().filter(|(name, _)| name.starts_with("downsampled")) {
        let aged = store.snapshot("s").unwrap();
        assert!(aged.row_count() < raw.row_count() / 3, "{name}");
        assert!(store.verify().unwrap().is_empty());
        // 1,200 seconds are whole buckets of 20, 30 and 60.
        let part = Predicate::lt("time", Value::Timestamp(1_200));
        let one = Predicate::And(vec![
            part.clone(),
            Predicate::eq("device", Value::Text("d1".into())),
        ]);
        for predicate in [Predicate::All, part, one] {
            assert_eq!(
                aged.count(&predicate).unwrap(),
                raw.count(&predicate).unwrap(),
                "{name}"
            );
            let bounds = aged.count_bounds(&predicate).unwrap();
            assert_eq!(bounds.low, bounds.high, "{name}");
            for column in ["temp", "level", "count", "hash", "on"] {
                let told = format!("{name} {column} {predicate:?}");
                let values = raw.count_values(column, &predicate).unwrap();
                assert_eq!(aged.count_values(column, &predicate).unwrap(), values, "{told}");
                assert_eq!(
                    aged.min_max(column, &predicate).unwrap(),
                    raw.min_max(column, &predicate).unwrap(),
                    "{told}"
                );
                let sums = [&aged, &raw].map(|s| float(s.sum(column, &predicate).unwrap()).unwrap());
                assert!(
                    (sums[0] - sums[1]).abs() <= sums[1].abs() * 1e-10,
                    "{sums:?} {told}"
                );
                let moments = [&aged, &raw].map(|s| s.moments(column, &predicate).unwrap());
                assert_eq!(moments[0].count, moments[1].count, "{told}");
                let spread = moments.map(|m| m.population_variance().unwrap());
                assert!(
                    (spread[0] - spread[1]).abs() <= spread[1] * 0.01,
                    "{spread:?} {told}"
                );
                let median =
                    [&aged, &raw].map(|s| number(s.quantile(column, 0.5, &predicate).unwrap().unwrap()));
                for limit in [4_000, 0] {
                    let tight = aged.clone().with_memory_limit(limit);
                    let found = number(tight.quantile(column, 0.5, &predicate).unwrap().unwrap());
                    assert!(found.total_cmp(&median[0]).is_eq(), "{found} {median:?} {told}");
                }
                let bounds = aged.quantile_bounds(column, 0.5, &predicate).unwrap().unwrap();
                assert!(
                    bounds.low <= median[1] && median[1] <= bounds.high,
                    "{median:?} {bounds:?} {told}"
                );
            }
        }
    }
}

#[test]
fn a_scan_gives_one_row_a_bucket() {
    let (_, store) = &AGED[1];
    let aged = store.snapshot("s").unwrap();
    let raw = RAW.snapshot("s").unwrap();
    let early = Predicate::lt("time", Value::Timestamp(1_200));
    let mut rows = 0;
    for batch in aged.scan(&["device", "temp", "on", "note"], &early).unwrap() {
        let batch = batch.unwrap();
        for row in 0..batch.len() {
            rows += 1;
            let start = batch.times[row];
            assert_eq!(start % 30, 0);
            let bucket = Predicate::And(vec![
                Predicate::ge("time", Value::Timestamp(start)),
                Predicate::lt("time", Value::Timestamp(start + 30)),
                Predicate::eq("device", batch.columns[0].value(ColumnType::Text, row)),
            ]);
            let mean = raw.moments("temp", &bucket).unwrap();
            let found = number(batch.columns[1].value(ColumnType::F64, row));
            assert!((found - mean.mean).abs() < 1e-3, "{found} {mean:?}");
            assert!(batch.columns[3].is_valid(row));
        }
    }
    assert_eq!(rows, 40 * 3);
}

#[test]
fn pinned_buckets_stay_whole() {
    let store = store(&["downsample=2m,every=30s"]);
    store.pin("s", &[(95..100).into()]).unwrap();
    store.set_retention("s", &"drop=1m".parse().unwrap()).unwrap();
    store.maintain().unwrap();
    let bucket = Predicate::And(vec![
        Predicate::ge("time", Value::Timestamp(90)),
        Predicate::lt("time", Value::Timestamp(120)),
    ]);
    let counts = [&store, &RAW].map(|store| store.snapshot("s").unwrap().count(&bucket).unwrap());
    assert!(counts[0] > 0);
    assert_eq!(counts[0], counts[1]);
}

#[test]
fn bounded_rows_are_downsampled() {
    let (_, store) = &AGED[2];
    let aged = store.snapshot("s").unwrap();
    let raw = RAW.snapshot("s").unwrap();
    assert!(aged.row_count() < 3_000, "{}", aged.row_count());
    assert_eq!(
        aged.count(&Predicate::All).unwrap(),
        raw.count(&Predicate::All).unwrap()
    );
}
