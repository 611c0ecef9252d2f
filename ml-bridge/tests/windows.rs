//! Windows over a store equal windows over the same rows sorted in memory, whatever the segments.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use proptest::prelude::*;
use siltstone_ml_bridge::normalize::Normalizer;
use siltstone_ml_bridge::window::{NullPolicy, WindowSpec, Windows, rows_in_buckets, typical_step};
use siltstone_store::batch::Batch;
use siltstone_store::predicate::Predicate;
use siltstone_store::schema::{ColumnType, Schema, TimeUnit};
use siltstone_store::store::{Options, Store, SyncPolicy};
use siltstone_store::value::Value;

/// Key, time, a float, an integer, whether it is kept by the predicate.
type Row = (Option<i64>, i64, Option<f64>, Option<i64>, bool);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let key = prop_oneof![Just(None), (0i64..3).prop_map(Some)];
    let float = proptest::option::weighted(0.9, prop_oneof![-50i32..50, Just(100_000)]);
    let float = float.prop_map(|v| v.map(|v| f64::from(v) / 10.0));
    let integer = proptest::option::weighted(0.95, -1000i64..1000);
    proptest::collection::vec(
        (key, 0i64..400, float, integer, proptest::bool::weighted(0.9)),
        1..300,
    )
}

/// Windows by definition, over rows in order of arrival.
fn naive(
    rows: &[Row],
    spec: &WindowSpec,
    normalizers: &[Normalizer],
) -> Vec<(Option<i64>, i64, i64, Vec<i8>)> {
    let mut rows: Vec<&Row> = rows.iter().filter(|row| row.4).collect();
    rows.sort_by_key(|row| (row.0, row.1));
    let mut pieces: Vec<Vec<&Row>> = Vec::new();
    for row in rows {
        let joins = pieces
            .last()
            .and_then(|piece| piece.last())
            .is_some_and(|last| last.0 == row.0 && spec.max_gap.is_none_or(|gap| row.1 - last.1 <= gap));
        if !joins {
            pieces.push(Vec::new());
        }
        pieces.last_mut().unwrap().push(row);
    }
    let mut out = Vec::new();
    for piece in pieces {
        let values = |row: &Row| [row.2, row.3.map(|v| v as f64)];
        let mut filled: Vec<[Option<i8>; 2]> = Vec::new();
        for row in &piece {
            let mut cell = [None; 2];
            for channel in 0..2 {
                let held = filled
                    .last()
                    .and_then(|last: &[Option<i8>; 2]| last[channel])
                    .unwrap_or(0);
                cell[channel] = match (values(row)[channel], spec.nulls) {
                    (Some(value), _) => Some(normalizers[channel].quantize(value)),
                    (None, NullPolicy::Skip) => None,
                    (None, NullPolicy::HoldLast) => Some(held),
                    (None, NullPolicy::Center) => Some(0),
                };
            }
            filled.push(cell);
        }
        let mut start = 0;
        while start + spec.length <= piece.len() {
            let rows = start..start + spec.length;
            let window: Option<Vec<i8>> = (0..2)
                .flat_map(|channel| filled[rows.clone()].iter().map(move |cell| cell[channel]))
                .collect();
            out.extend(window.map(|w| (piece[start].0, piece[start].1, piece[rows.end - 1].1, w)));
            start += spec.hop;
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn windows_equal_their_definition(
        rows in rows(),
        length in 1usize..12,
        hop in 1usize..15,
        gap in proptest::option::of(0i64..6),
        policy in 0usize..3,
        seals in proptest::collection::vec(any::<bool>(), 4),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let options = Options { sync: SyncPolicy::Os, ..Options::default() };
        let store = Store::create(directory.path().join("store"), options).unwrap();
        let schema = Schema::new("t", TimeUnit::Millisecond)
            .with_key("k", ColumnType::I16).unwrap()
            .with_channel("a", ColumnType::F64, "").unwrap()
            .with_channel("b", ColumnType::I32, "").unwrap()
            .with_channel("keep", ColumnType::Bool, "").unwrap();
        let schema = store.create_stream("s", schema).unwrap();
        for (part, seal) in rows.chunks(rows.len().div_ceil(4)).zip(&seals) {
            let mut batch = Batch::new(schema.clone());
            for &(key, time, a, b, keep) in part {
                let values = [
                    key.map_or(Value::Null, Value::I64),
                    a.map_or(Value::Null, Value::F64),
                    b.map_or(Value::Null, Value::I64),
                    Value::Bool(keep),
                ];
                batch.push_row(time, &values).unwrap();
            }
            store.append("s", &batch).unwrap();
            if *seal {
                store.seal("s").unwrap();
            }
        }
        let nulls = [NullPolicy::Skip, NullPolicy::HoldLast, NullPolicy::Center][policy];
        let spec = WindowSpec { max_gap: gap, nulls, ..WindowSpec::new(&["a", "b"], length, hop) };
        let normalizers =
            [Normalizer { center: 0.3, scale: 1.7 }, Normalizer { center: -10.0, scale: 120.0 }];
        let keep = Predicate::eq("keep", true);
        let snapshot = store.snapshot("s").unwrap();
        let wanted = naive(&rows, &spec, &normalizers);

        let mut windows = Windows::quantized(&snapshot, &spec, &normalizers, &keep).unwrap();
        let mut floats = Windows::normalized(&snapshot, &spec, &normalizers, &keep).unwrap();
        let (mut window, mut float) = (vec![0i8; spec.size()], vec![0f32; spec.size()]);
        let mut got = Vec::new();
        while let Some(span) = windows.next_into(&mut window).unwrap() {
            let key = match windows.key()[0] {
                Value::I64(key) => Some(key),
                _ => None,
            };
            got.push((key, span.start, span.end, window.clone()));
            prop_assert_eq!(floats.next_into(&mut float).unwrap(), Some(span));
            for (&step, &z) in window.iter().zip(&float) {
                let near = (z * 16.0).clamp(-127.0, 127.0);
                prop_assert!((near - f32::from(step)).abs() < 0.51, "{} {}", z, step);
            }
        }
        prop_assert_eq!(floats.next_into(&mut float).unwrap(), None);
        prop_assert_eq!(got, wanted);
        typical_step(&snapshot, &keep, 100).unwrap();
    }
}

/// Noise that is a number of a row of a key.
fn noise(row: i64, key: i64) -> f64 {
    let mixed = ((row * 3 + key) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    mixed as f64 / 1_000.0
}

#[test]
fn buckets_are_no_samples() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(directory.path().join("store"), Options::default()).unwrap();
    let schema = Schema::new("time", TimeUnit::Second)
        .with_key("key", ColumnType::I64)
        .and_then(|s| s.with_channel("x", ColumnType::F64, ""))
        .and_then(|s| s.with_channel("note", ColumnType::Text, ""))
        .unwrap();
    let schema = store.create_stream("s", schema).unwrap();
    // The second of three segments becomes buckets: the first is pinned, the third is young.
    store.pin("s", &[(0..1).into()]).unwrap();
    let each = 1_000;
    for segment in 0..3 {
        let mut batch = Batch::new(schema.clone());
        for row in segment * each..(segment + 1) * each {
            for key in 0..2 {
                // Text that nothing compresses, so that buckets are worth it.
                let mut note = (row * 3 + key) as u64 + 1;
                for _ in 0..3 {
                    note = (note ^ note >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                }
                let note = Value::Text(format!("{note:x}"));
                let values = [Value::I64(key), Value::F64(noise(row, key)), note];
                batch.push_row(row, &values).unwrap();
            }
        }
        store.append("s", &batch).unwrap();
        store.seal("s").unwrap();
    }
    let all = Predicate::All;
    let raw = store.snapshot("s").unwrap();
    assert_eq!(rows_in_buckets(&raw, &all).unwrap(), 0);
    store
        .set_retention("s", &"downsample=1000s,every=1000s".parse().unwrap())
        .unwrap();
    store.maintain().unwrap();
    let aged = store.snapshot("s").unwrap();
    assert_eq!(aged.row_count(), 2 * (2 * 1_000 + 1));
    assert_eq!(rows_in_buckets(&aged, &all).unwrap(), 2_000);
    let early = Predicate::lt("time", Value::Timestamp(900));
    assert_eq!(rows_in_buckets(&aged, &early).unwrap(), 0);
    assert_eq!(typical_step(&aged, &all, 10_000).unwrap(), Some(1));
    let spec = WindowSpec::new(&["x"], 64, 40);
    let normalizer = Normalizer {
        center: 8_000.0,
        scale: 5_000.0,
    };
    let mut windows = Windows::quantized(&aged, &spec, &[normalizer], &all).unwrap();
    let (mut window, mut found) = (vec![0; 64], Vec::new());
    while let Some(span) = windows.next_into(&mut window).unwrap() {
        assert_eq!(span.end - span.start, 63, "no window spans what was left out");
        let Value::I64(key) = windows.key()[0] else {
            panic!("a key")
        };
        let wanted: Vec<i8> = (span.start..=span.end)
            .map(|row| normalizer.quantize(noise(row, key)))
            .collect();
        assert_eq!(window, wanted, "{span:?} of {key}");
        found.push((key, span.start));
    }
    let starts = |rows: std::ops::Range<i64>| {
        rows.clone()
            .step_by(40)
            .filter(move |start| start + 64 <= rows.end)
    };
    let wanted = (0..2).flat_map(|key| {
        starts(0..1_000)
            .chain(starts(2_000..3_000))
            .map(move |start| (key, start))
    });
    assert_eq!(found, wanted.collect::<Vec<_>>());
    assert_eq!(windows.rows_read(), 4_000);
}
