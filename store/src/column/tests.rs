#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

use std::ops::Range;

use proptest::prelude::*;

use super::{Column, Condition, Hints, Moments, Part, PartKind, Sum};
use crate::batch::{BatchColumn, ColumnData};
use crate::codes::Interval;
use crate::codes::choose::{Layout, MiniBlock};
use crate::domain::DomainKind;
use crate::domain::bounded::Tolerance;
use crate::error::Result;
use crate::rows::{Mask, RowRanges};
use crate::schema::{ColumnType, TimeUnit};
use crate::section::Section;
use crate::value::{key_of_f32, key_of_f64, key_of_i64, number_of};

mod golden;

fn column_of(keys: &[Option<u64>]) -> BatchColumn {
    let mut column = BatchColumn::new(ColumnType::F64);
    for key in keys {
        match key {
            Some(key) => column.push_key(*key),
            None => column.push_null(),
        }
    }
    column
}

fn sections(parts: Vec<Part<Vec<u8>>>) -> Vec<Part<Section>> {
    parts
        .into_iter()
        .map(|p| Part {
            kind: p.kind,
            codec: p.codec,
            body: Section::from_vec(p.body),
        })
        .collect()
}

fn open(ty: ColumnType, keys: &[Option<u64>]) -> Column {
    let parts = Column::encode(ty, &column_of(keys), &Hints::default()).unwrap();
    Column::open(ty, keys.len() as u64, sections(parts)).unwrap()
}

/// Row sets that cut blocks, and all rows.
fn row_sets(rows: u64, cuts: &[(f64, f64)]) -> Vec<RowRanges> {
    let at = |x: f64| (x * (rows + 1) as f64) as u64;
    let singles = cuts
        .iter()
        .map(|&(a, b)| RowRanges::single(at(a.min(b))..at(a.max(b)).min(rows)));
    let many = singles
        .clone()
        .fold(RowRanges::empty(), |all, one| all.union(&one));
    singles
        .chain([many, RowRanges::single(0..rows), RowRanges::empty()])
        .collect()
}

fn naive_sum(ty: ColumnType, keys: &[u64]) -> Sum {
    if ty.is_float() {
        Sum::Float(keys.iter().map(|&k| number_of(ty, k)).sum())
    } else {
        Sum::Integer(keys.iter().map(|&k| crate::domain::integer_of(ty, k)).sum())
    }
}

fn check_sum(ty: ColumnType, keys: &[u64], found: Sum) {
    match (naive_sum(ty, keys), found) {
        (Sum::Integer(want), Sum::Integer(found)) => assert_eq!(found, want),
        (Sum::Float(want), Sum::Float(found)) => {
            let values: Vec<f64> = keys.iter().map(|&k| number_of(ty, k)).collect();
            let nan = values.iter().any(|v| v.is_nan())
                || (values.contains(&f64::INFINITY) && values.contains(&f64::NEG_INFINITY));
            let infinite = values.iter().find(|v| v.is_infinite());
            if nan {
                assert!(found.is_nan());
            } else if let Some(infinite) = infinite {
                assert_eq!(found, *infinite);
            } else {
                let magnitude: f64 = values.iter().map(|v| v.abs()).sum();
                // Sums of huge values may overflow on the way, in any order.
                let close = (found - want).abs() <= f64::MIN_POSITIVE + 1e-12 * magnitude;
                assert!(close || !magnitude.is_finite(), "{found} instead of {want}");
            }
        }
        (want, found) => panic!("{found:?} instead of {want:?}"),
    }
}

fn check_moments(ty: ColumnType, keys: &[u64], found: Moments) {
    assert_eq!(found.count, keys.len() as u64);
    let Some(&first) = keys.first() else { return };
    // Distances from the first value are nearly exact, however large the values.
    let apart: Vec<f64> = if ty.is_float() {
        keys.iter()
            .map(|&k| number_of(ty, k) - number_of(ty, first))
            .collect()
    } else {
        let integer = |key: u64| crate::domain::integer_of(ty, key);
        keys.iter()
            .map(|&k| (integer(k) - integer(first)) as f64)
            .collect()
    };
    let magnitude = keys
        .iter()
        .fold(0.0f64, |most, &k| most.max(number_of(ty, k).abs()));
    if keys.iter().any(|&k| !number_of(ty, k).is_finite()) {
        assert!(found.squares.is_nan());
    } else if magnitude < 1e100 {
        let want = Moments::of(&apart);
        let mean = number_of(ty, first) + want.mean;
        // Subnormal results are rounded to what there is.
        let rounding = f64::MIN_POSITIVE + magnitude * if ty.is_float() { 1e-12 } else { 1e-15 };
        assert!((found.mean - mean).abs() <= rounding, "{found:?} {mean}");
        let spread = (want.squares / want.count as f64).sqrt();
        let most = want.squares * 1e-9
            + if ty.is_float() {
                rounding * (spread + rounding) * want.count as f64
            } else {
                0.0
            };
        assert!((found.squares - want.squares).abs() <= most, "{found:?} {want:?}");
    }
}

/// Compares every question with the plain answer.
fn check(ty: ColumnType, keys: &[Option<u64>], cuts: &[(f64, f64)], picks: &[(f64, f64)]) -> Column {
    let column = open(ty, keys);
    check_column(&column, ty, keys, cuts, picks);
    column
}

/// Encodes within a tolerance; gives the column and the values that it holds.
fn open_within(
    ty: ColumnType,
    keys: &[Option<u64>],
    tolerance: Tolerance,
    layout: Layout,
) -> (Column, Vec<Option<u64>>) {
    let hints = Hints {
        tolerance: Some(tolerance),
        layout,
        ..Hints::default()
    };
    let parts = Column::encode(ty, &column_of(keys), &hints).unwrap();
    let column = Column::open(ty, keys.len() as u64, sections(parts)).unwrap();
    let mut out = BatchColumn::new(ty);
    column.decode(0..keys.len() as u64, &mut out).unwrap();
    let found = (0..keys.len()).map(|row| out.key(row)).collect();
    (column, found)
}

/// The same as [`check`] of a column that is there.
fn check_column(
    column: &Column,
    ty: ColumnType,
    keys: &[Option<u64>],
    cuts: &[(f64, f64)],
    picks: &[(f64, f64)],
) {
    let rows = keys.len() as u64;
    let all = column_of(keys);
    assert_eq!(
        column.null_count(),
        keys.iter().filter(|k| k.is_none()).count() as u64
    );
    let mut sorted: Vec<u64> = keys.iter().flatten().copied().collect();
    sorted.sort_unstable();
    let pick = |x: f64| {
        sorted
            .get((x * sorted.len() as f64) as usize)
            .copied()
            .unwrap_or(77)
    };
    let mut intervals = vec![Interval::ALL, Interval::NONE];
    for &(a, b) in picks {
        let (low, high) = (pick(a.min(b)), pick(a.max(b)));
        intervals.extend([
            Interval { low, high },
            Interval {
                low: low.saturating_add(1),
                high: high.saturating_sub(1),
            },
            Interval {
                low: low.saturating_sub(1),
                high: high.saturating_add(1),
            },
            Interval { low, high: low },
            Interval { low: 0, high },
            Interval { low, high: u64::MAX },
        ]);
    }
    for set in row_sets(rows, cuts) {
        let chosen: Vec<u64> = set.as_slice().iter().flat_map(|r| r.clone()).collect();
        let mut values: Vec<u64> = chosen.iter().filter_map(|&r| keys[r as usize]).collect();
        assert_eq!(column.valid_count(&set).unwrap(), values.len() as u64);
        assert_eq!(
            column.count(&set, &Condition::IsNull).unwrap(),
            (chosen.len() - values.len()) as u64
        );
        assert_eq!(
            column.count(&set, &Condition::IsNotNull).unwrap(),
            values.len() as u64
        );
        check_sum(ty, &values, column.sum(&set).unwrap());
        check_moments(ty, &values, column.moments(&set).unwrap());
        for interval in &intervals {
            let want = values.iter().filter(|&&k| interval.contains(k)).count() as u64;
            assert_eq!(
                column.count(&set, &Condition::Keys(*interval)).unwrap(),
                want,
                "{interval:?} in {set:?}"
            );
        }
        values.sort_unstable();
        let ends = values.first().map(|&low| (low, values[values.len() - 1]));
        assert_eq!(column.min_max(&set).unwrap(), ends);
        let some = (0..values.len())
            .step_by(values.len() / 16 + 1)
            .chain(values.len().checked_sub(1));
        for k in some {
            assert_eq!(
                column.quantile(&set, k as u64).unwrap(),
                values[k],
                "{k} of {}",
                values.len()
            );
        }
        assert!(column.quantile(&set, values.len() as u64).is_err());
        let mut several: Vec<u64> = picks.iter().map(|p| pick(p.0)).chain([3, 4]).collect();
        several.sort_unstable();
        several.dedup();
        let want = values.iter().filter(|k| several.contains(k)).count() as u64;
        assert_eq!(
            column.count(&set, &Condition::KeyIn(several.clone())).unwrap(),
            want
        );
        for range in set.as_slice() {
            check_range(column, ty, &all, range.clone(), &intervals, &several);
        }
    }
    check_points(column, ty, &all);
}

/// Single rows, one by one and several at a time.
fn check_points(column: &Column, ty: ColumnType, all: &BatchColumn) {
    let rows = all.len() as u64;
    for row in 0..rows {
        assert_eq!(column.get(row).unwrap(), all.key(row as usize), "row {row}");
    }
    assert!(column.get(rows).is_err());
    for (stride, repeats) in [(1, 1), (1, 2), (7, 2), (97, 1)] {
        let places: Vec<u64> = (0..rows)
            .step_by(stride)
            .flat_map(|row| std::iter::repeat_n(row, repeats))
            .collect();
        let mut out = BatchColumn::new(ty);
        out.push_key(9);
        column.get_many(&places, &mut out).unwrap();
        assert_eq!(out.len(), places.len() + 1);
        for (at, &row) in places.iter().enumerate() {
            assert_eq!(out.key(at + 1), all.key(row as usize), "row {row}");
        }
    }
    let mut out = BatchColumn::new(ty);
    assert!(column.get_many(&[0, rows], &mut out).is_err());
    assert!(column.get_many(&[1, 0], &mut out).is_err());
}

fn check_range(
    column: &Column,
    ty: ColumnType,
    all: &BatchColumn,
    range: Range<u64>,
    intervals: &[Interval],
    several: &[u64],
) {
    let rows: Vec<usize> = (range.start as usize..range.end as usize).collect();
    let mut out = BatchColumn::new(ty);
    out.push_key(9);
    column.decode(range.clone(), &mut out).unwrap();
    assert_eq!(out.len(), rows.len() + 1);
    for (at, &row) in rows.iter().enumerate() {
        assert_eq!(out.key(at + 1), all.key(row), "row {row}");
    }
    let select = |condition: &Condition| {
        let mut mask = Mask::repeat(false, rows.len());
        column.select(range.clone(), condition, &mut mask).unwrap();
        mask
    };
    let expect = |meets: &dyn Fn(usize) -> bool| rows.iter().map(|&row| meets(row)).collect::<Mask>();
    for interval in intervals {
        let want = expect(&|row| all.key(row).is_some_and(|k| interval.contains(k)));
        assert_eq!(select(&Condition::Keys(*interval)), want, "{interval:?}");
    }
    let want = expect(&|row| all.key(row).is_some_and(|k| several.contains(&k)));
    assert_eq!(select(&Condition::KeyIn(several.to_vec())), want);
    assert_eq!(select(&Condition::IsNull), expect(&|row| !all.is_valid(row)));
    assert_eq!(select(&Condition::IsNotNull), expect(&|row| all.is_valid(row)));
    let mut thresholds: Vec<u64> = intervals.iter().flat_map(|i| [i.low, i.high]).collect();
    thresholds.sort_unstable();
    thresholds.truncate(super::quantize::MAX_THRESHOLDS);
    let mut steps = vec![0i8; rows.len()];
    column
        .quantize(range.clone(), &thresholds, &mut steps, 5)
        .unwrap();
    let mut codes = vec![0; rows.len()];
    column.decode_codes(range.clone(), &mut codes, u64::MAX).unwrap();
    for (at, &row) in rows.iter().enumerate() {
        let want = match all.key(row) {
            Some(key) => thresholds.iter().filter(|&&t| t <= key).count() as i32 - 128,
            None => 5,
        };
        assert_eq!(i32::from(steps[at]), want, "row {row}");
        assert_eq!(codes[at] == u64::MAX, all.key(row).is_none());
    }
    if let Some((low, high)) = column.key_bounds(range).unwrap() {
        assert!(
            rows.iter()
                .filter_map(|&row| all.key(row))
                .all(|key| low <= key && key <= high)
        );
    }
}

/// Values that a float column may hold beside decimals.
fn odd_float() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(f64::NAN),
        Just(-f64::NAN),
        Just(f64::from_bits(0x7ff8_0000_dead_beef)),
        Just(f64::from_bits(0xfff0_0000_0000_0001)),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        Just(-0.0),
        Just(0.0),
        Just(f64::MAX),
        Just(f64::MIN),
        Just(5e-324),
        Just(-5e-324),
        Just(1.0 / 3.0),
        Just(0.1 + 0.2),
        Just(12.345_678_901),
        -1000.0..1000.0f64,
    ]
}

fn cuts() -> impl Strategy<Value = Vec<(f64, f64)>> {
    proptest::collection::vec((0.0..1.0f64, 0.0..1.0f64), 1..4)
}

/// Marks some of the rows as null.
fn with_nulls(values: impl Strategy<Value = Vec<u64>>) -> impl Strategy<Value = Vec<Option<u64>>> {
    (values, prop_oneof![Just(0.0), Just(0.02), Just(0.5), Just(0.98)]).prop_perturb(
        |(keys, share), mut rng| {
            keys.into_iter()
                .map(|key| (rng.random::<f64>() >= share).then_some(key))
                .collect()
        },
    )
}

fn decimals(length: usize) -> impl Strategy<Value = Vec<f64>> {
    let piece = (0u32..6, -5000i64..5000, 1i64..50)
        .prop_map(|(digits, start, step)| (10f64.powi(digits as i32), start, step));
    (
        piece,
        proptest::collection::vec((-3i64..4, 0.0..1.0f64, odd_float()), 1..length),
        prop_oneof![Just(0.0), Just(0.03), Just(0.2)],
    )
        .prop_map(|((power, start, step), walk, odd)| {
            let mut number = start;
            walk.into_iter()
                .map(|(move_by, dice, other)| {
                    number += move_by * step;
                    if dice < odd { other } else { number as f64 / power }
                })
                .collect()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn decimals_answer_exactly(values in decimals(2500), nulls in 0..3u64, cuts in cuts(), picks in cuts()) {
        let keys: Vec<Option<u64>> = values.iter().enumerate()
            .map(|(row, &v)| (nulls == 0 || row as u64 * 7919 % (nulls * 50) > 10).then(|| key_of_f64(v)))
            .collect();
        check(ColumnType::F64, &keys, &cuts, &picks);
        let keys: Vec<Option<u64>> = values.iter().map(|&v| Some(key_of_f32(v as f32))).collect();
        check(ColumnType::F32, &keys, &cuts, &picks);
    }

    #[test]
    fn corrected_decimals_answer_exactly(values in decimals(2000), offs in proptest::collection::vec(-9i64..9, 2000), cuts in cuts(), picks in cuts()) {
        let keys: Vec<Option<u64>> = values.iter().zip(&offs)
            .map(|(&v, &off)| Some(key_of_f64(v).saturating_add_signed(if off.abs() < 4 { off } else { 0 })))
            .collect();
        check(ColumnType::F64, &keys, &cuts, &picks);
    }

    #[test]
    fn singles_answer_exactly(numbers in proptest::collection::vec(-9_000_000i64..9_000_000, 1..1500), narrow in any::<bool>(), digits in 0usize..5, significant in 0usize..4, odd in proptest::collection::vec((any::<prop::sample::Index>(), odd_float()), 0..20), offs in proptest::collection::vec(-2i64..2, 1500), noise in 0usize..3, cuts in cuts(), picks in cuts()) {
        let significant = crate::domain::single::SIGNIFICANT[significant];
        let mut keys: Vec<u64> = numbers
            .iter()
            .zip(&offs)
            .enumerate()
            .map(|(row, (&number, &off))| {
                let number = if narrow { number / 1_000 } else { number };
                let value = crate::domain::single::through(number as f64 / 10f64.powi(digits as i32), significant);
                // A lossy reader of some of the values.
                key_of_f64(value).wrapping_add_signed(if row % 3 < noise { off } else { 0 })
            })
            .collect();
        for (at, value) in &odd {
            let at = at.index(keys.len());
            keys[at] = key_of_f64(*value);
        }
        let keys: Vec<Option<u64>> = keys.into_iter().map(Some).collect();
        check(ColumnType::F64, &keys, &cuts, &picks);
    }

    #[test]
    fn significant_digits_answer_exactly(
        values in proptest::collection::vec((-99_999i64..100_000, 0u32..40, odd_float()), 400..2500), odd in 0..3u32, cuts in cuts(), picks in cuts(),
    ) {
        // Five significant digits: the last decimal is mostly 0.
        let keys: Vec<Option<u64>> = values.iter()
            .map(|&(number, dice, other)| Some(key_of_f64(match dice {
                _ if dice < odd => other,
                0..8 => number as f64 / 1e6,
                _ => (number * 10) as f64 / 1e6,
            })))
            .collect();
        let column = check(ColumnType::F64, &keys, &cuts, &picks);
        prop_assert_eq!(column.describe().0, "digit");
    }

    #[test]
    fn few_values_answer_exactly(values in proptest::collection::vec(odd_float(), 1..20), at in proptest::collection::vec(any::<prop::sample::Index>(), 1..1500), cuts in cuts(), picks in cuts()) {
        let keys: Vec<Option<u64>> = at.iter().map(|i| Some(key_of_f64(*i.get(&values)))).collect();
        check(ColumnType::F64, &keys, &cuts, &picks);
    }

    #[test]
    fn any_floats_answer_exactly(keys in with_nulls(proptest::collection::vec(any::<u64>(), 0..700)), cuts in cuts(), picks in cuts()) {
        check(ColumnType::F64, &keys, &cuts, &picks);
        let narrow: Vec<Option<u64>> = keys.iter().map(|k| k.map(|k| k >> 32)).collect();
        check(ColumnType::F32, &narrow, &cuts, &picks);
    }

    #[test]
    fn moved_values_answer_as_what_they_became(values in decimals(1500), odd in proptest::collection::vec((any::<prop::sample::Index>(), odd_float()), 0..20), nulls in 0..3u64, size in 0.001..3f64, is_relative: bool, is_small: bool, cuts in cuts(), picks in cuts()) {
        let mut values = values;
        for (place, value) in odd {
            let place = place.index(values.len());
            values[place] = value;
        }
        let keys: Vec<Option<u64>> = values.iter().enumerate().map(|(i, &v)| (i as u64 % 7 >= nulls).then(|| key_of_f64(v))).collect();
        let tolerance = if is_relative { Tolerance::Relative(size / 10.0) } else { Tolerance::Absolute(size) };
        let layout = if is_small { Layout::Small(MiniBlock::Rows256) } else { Layout::default() };
        let (column, found) = open_within(ColumnType::F64, &keys, tolerance, layout);
        if let Some(precision) = column.precision() {
            prop_assert!(precision.largest <= size);
            prop_assert_eq!(precision.tolerance, tolerance);
        }
        for (key, found) in keys.iter().zip(&found) {
            let pair = key.zip(*found);
            prop_assert_eq!(key.is_none(), pair.is_none());
            if let Some((key, found)) = pair {
                let (value, stored) = (number_of(ColumnType::F64, key), number_of(ColumnType::F64, found));
                let error = column.precision().map_or(0.0, |p| p.error_at(stored));
                prop_assert!(key == found || (stored - value).abs() <= error, "{} became {}", value, stored);
            }
        }
        check_column(&column, ColumnType::F64, &found, &cuts, &picks);
    }

    #[test]
    fn integers_answer_exactly(start in any::<i64>(), step in prop_oneof![Just(1i64), Just(1000), 1i64..1 << 50], walk in with_nulls(proptest::collection::vec(0u64..2000, 0..2500)), cuts in cuts(), picks in cuts()) {
        let keys: Vec<Option<u64>> = walk.iter()
            .map(|w| w.map(|w| key_of_i64(start.wrapping_add(step.wrapping_mul(w as i64)))))
            .collect();
        check(ColumnType::I64, &keys, &cuts, &picks);
        check(ColumnType::Timestamp(TimeUnit::Second), &keys, &cuts, &picks);
        check(ColumnType::U64, &keys, &cuts, &picks);
        let bools: Vec<Option<u64>> = walk.iter().map(|w| w.map(|w| w % 2)).collect();
        check(ColumnType::Bool, &bools, &cuts, &picks);
    }

    #[test]
    fn damage_never_panics(values in decimals(400), nulls in 0..2u64, flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0u8..8), 1..5)) {
        let keys: Vec<Option<u64>> = values.iter().enumerate()
            .map(|(row, &v)| (nulls == 0 || row % 3 > 0).then(|| key_of_f64(v)))
            .collect();
        let mut parts = Column::encode(ColumnType::F64, &column_of(&keys), &Hints::default()).unwrap();
        for (part, place, bit) in flips {
            let part = part.index(parts.len());
            // Codes have tests of their own.
            if parts[part].kind != PartKind::Codes {
                let place = place.index(parts[part].body.len());
                parts[part].body[place] ^= 1 << bit;
            }
        }
        let _ = ask_everything(ColumnType::F64, keys.len() as u64, parts);
    }
}

fn ask_everything(ty: ColumnType, rows: u64, parts: Vec<Part<Vec<u8>>>) -> Result<()> {
    let column = Column::open(ty, rows, sections(parts))?;
    let set = RowRanges::from_iter([0..rows / 3, rows / 2..rows]);
    let interval = Interval {
        low: key_of_f64(-3.25),
        high: key_of_f64(40.5),
    };
    let mut out = BatchColumn::new(ty);
    let _ = column.decode(0..rows, &mut out);
    let _ = column.count(&set, &Condition::Keys(interval));
    let _ = column.select(
        0..rows,
        &Condition::Keys(interval),
        &mut Mask::repeat(false, rows as usize),
    );
    let _ = column.select(
        0..rows,
        &Condition::IsNull,
        &mut Mask::repeat(false, rows as usize),
    );
    let _ = (
        column.quantile(&set, 3),
        column.min_max(&set),
        column.sum(&set),
        column.moments(&set),
        column.key_bounds(0..rows),
    );
    let _ = column.quantize(
        0..rows,
        &[interval.low, interval.high],
        &mut vec![0; rows as usize],
        0,
    );
    let _ = (column.parts(), column.describe());
    Ok(())
}

#[test]
fn each_domain_is_chosen_where_it_fits() {
    let rows = 5000i64;
    let kind = |ty: ColumnType, key: &dyn Fn(i64) -> u64| {
        let keys: Vec<Option<u64>> = (0..rows).map(|i| Some(key(i))).collect();
        check(ty, &keys, &[(0.1, 0.7)], &[(0.2, 0.8)]).describe().0
    };
    let mix = |i: i64| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15u64 as i64) >> 20) & 0xfff_ffff;
    let mut found = vec![
        kind(ColumnType::I32, &|i| key_of_i64(i % 100 * 3)),
        kind(ColumnType::F64, &|i| key_of_f64((i % 700) as f64 / 100.0)),
        kind(ColumnType::F64, &|i| {
            key_of_f64((mix(i) % 70_000) as f64 / 1000.0).wrapping_add((i % 5) as u64)
        }),
        kind(ColumnType::F64, &|i| key_of_f64((mix(i) as f64).sqrt())),
        kind(ColumnType::F64, &|i| {
            key_of_f64(f64::from(((mix(i) % 50) as f32).sqrt()))
        }),
        kind(ColumnType::Bool, &|i| (i % 3 == 0).into()),
        kind(ColumnType::F64, &|i| {
            key_of_f64(f64::from((mix(i) % 70_000) as f32 / 100.0))
        }),
        kind(ColumnType::F64, &|i| {
            let printed = format!("{:.5}", (mix(i) % 70_000 + 10_000) as f32 / 100.0);
            key_of_f64(printed.parse().unwrap())
        }),
    ];
    found.dedup();
    let want = [
        "integer",
        "decimal",
        "ulp",
        "float",
        "dictionary",
        "boolean",
        "single",
    ];
    assert_eq!(found, want);
    assert!(
        DomainKind::ALL
            .iter()
            .all(|kind| DomainKind::from_code(*kind as u16) == Some(*kind))
    );
}

#[test]
fn exceptions_at_interval_ends() {
    let third = 1.0f64 / 3.0;
    let mut values: Vec<f64> = (0..600).map(|i| f64::from(i % 7) / 10.0).collect();
    for (row, odd) in [
        (5, third),
        (80, -0.0),
        (99, f64::NAN),
        (130, -f64::NAN),
        (200, f64::INFINITY),
        (301, third),
        (302, -1e300),
    ] {
        values[row] = odd;
    }
    let keys: Vec<Option<u64>> = values.iter().map(|&v| Some(key_of_f64(v))).collect();
    let column = check(ColumnType::F64, &keys, &[(0.0, 0.4), (0.5, 0.9)], &[(0.3, 0.6)]);
    assert_eq!(column.describe().0, "decimal");
    let all = RowRanges::single(0..600);
    let count = |low: f64, high: f64| {
        let interval = Interval {
            low: key_of_f64(low),
            high: key_of_f64(high),
        };
        column.count(&all, &Condition::Keys(interval)).unwrap()
    };
    let plain = |low: f64, high: f64| {
        values
            .iter()
            .filter(|v| v.total_cmp(&low).is_ge() && v.total_cmp(&high).is_le())
            .count() as u64
    };
    let ends = [
        -f64::NAN,
        f64::NEG_INFINITY,
        -1e300,
        -0.0,
        0.0,
        0.3,
        third,
        0.4,
        0.6,
        f64::INFINITY,
        f64::NAN,
    ];
    for low in ends {
        for high in ends {
            assert_eq!(count(low, high), plain(low, high), "{low} to {high}");
        }
    }
}

#[test]
fn nothing_but_nulls_has_no_codes() {
    let keys = vec![None; 300];
    let column = check(ColumnType::F64, &keys, &[(0.1, 0.9)], &[(0.0, 1.0)]);
    assert_eq!((column.null_count(), column.codes().is_none()), (300, true));
    let parts = Column::encode(ColumnType::F64, &column_of(&keys), &Hints::default()).unwrap();
    assert_eq!((parts.len(), parts[0].body.len()), (1, 16));
    let text = Column::encode(
        ColumnType::Text,
        &BatchColumn::new(ColumnType::Text),
        &Hints::default(),
    )
    .unwrap();
    assert!(text.is_empty());
    assert_eq!(Column::open(ColumnType::Text, 0, Vec::new()).unwrap().rows(), 0);
    let mut out = BatchColumn::new(ColumnType::F64);
    column.decode(0..300, &mut out).unwrap();
    assert_eq!(
        (out.null_count(), matches!(out.data, ColumnData::Keys(_))),
        (300, true)
    );
}
