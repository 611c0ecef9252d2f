//! Every value stays within its tolerance, and what is said of the largest error is true.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
use super::*;
use crate::value::key_of_i64;
use proptest::prelude::*;

fn exact_distance(a: f64, b: f64) -> impl Fn(f64) -> bool {
    // |a - b| <= e without rounding, by 2^-1074 units where both are near, else by f64 with a margin.
    move |e| {
        let off = a - b;
        let back = off - a;
        let lost = (a - (off - back)) - (b + back);
        off.abs() < e || (off.abs() == e && lost * off.signum() <= 0.0)
    }
}

fn check(ty: ColumnType, keys: &[u64], tolerance: Tolerance) -> Option<Moved> {
    let moved = moved(ty, keys, tolerance)?;
    assert_eq!(moved.keys.len(), keys.len());
    assert!(moved.largest > 0.0 && moved.largest <= tolerance.size());
    for (&key, &found) in keys.iter().zip(&moved.keys) {
        let (value, stored) = (number_of(ty, key), number_of(ty, found));
        if !value.is_finite() {
            assert_eq!(key, found, "what is not finite stays");
            continue;
        }
        match tolerance {
            Tolerance::Absolute(e) => {
                assert!(exact_distance(stored, value)(e), "{value} became {stored}")
            }
            Tolerance::Relative(r) => {
                assert!(
                    (stored - value).abs() <= value.abs() * r,
                    "{value} became {stored}"
                );
            }
        }
        let off = moved_error(tolerance, moved.largest, stored);
        assert!(
            (stored - value).abs() <= off,
            "{value} became {stored}, said to be within {off}"
        );
    }
    Some(moved)
}

fn moved_error(tolerance: Tolerance, largest: f64, stored: f64) -> f64 {
    Precision { tolerance, largest }.error_at(stored)
}

fn values() -> impl Strategy<Value = Vec<f64>> {
    let one = prop_oneof![
        20 => -1e3..1e3f64,
        2 => any::<f64>(),
        1 => Just(0.0),
        1 => Just(-0.0),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(5e-324),
    ];
    proptest::collection::vec(one, 1..400)
}

proptest! {
    #[test]
    fn floats_stay_near(values in values(), digits in 0i32..5, is_decimal: bool, size in 1e-4..100f64, narrow: bool) {
        let power = 10f64.powi(digits);
        let keys: Vec<u64> = values
            .iter()
            .map(|&v| if is_decimal { (v * power).round() / power } else { v })
            .map(|v| if narrow { key_of_f32(v as f32) } else { key_of_f64(v) })
            .collect();
        let ty = if narrow { ColumnType::F32 } else { ColumnType::F64 };
        check(ty, &keys, Tolerance::Absolute(size));
        check(ty, &keys, Tolerance::Relative(size / 250.0));
    }

    #[test]
    fn integers_stay_near(start in -(1i64 << 50)..1 << 50, walk in proptest::collection::vec(0u64..5000, 1..300), unit in 1i64..20, error in 0.0..3000f64) {
        let keys: Vec<u64> = walk.iter().map(|&w| key_of_i64(start + w as i64 * unit)).collect();
        check(ColumnType::I64, &keys, Tolerance::Absolute(error));
        let bytes: Vec<u64> = walk.iter().map(|w| w % 256).collect();
        if let Some(moved) = check(ColumnType::U8, &bytes, Tolerance::Absolute(error)) {
            prop_assert!(moved.keys.iter().all(|&key| key < 256));
        }
    }
}

#[test]
fn decimals_become_fewer() {
    // Readings in hundredths: 0.05 is five of them, so points are nine apart, and no value is an exception.
    let keys: Vec<u64> = (0..5000)
        .map(|i| key_of_f64(f64::from(i * 7919 % 4001) / 100.0))
        .collect();
    let moved = check(ColumnType::F64, &keys, Tolerance::Absolute(0.05)).unwrap();
    assert!(moved.coded.exceptions.is_empty());
    assert!(moved.coded.codes.iter().max().unwrap() <= &445);
    assert!(moved.largest < 0.0401);
    let keys: Vec<u64> = (1..5000)
        .map(|i| key_of_f64((f64::from(i) / 7.0).exp2()))
        .collect();
    let moved = check(ColumnType::F64, &keys, Tolerance::Relative(0.01)).unwrap();
    assert_eq!(moved.coded.kind, DomainKind::Bounded);
    assert!(moved.coded.exceptions.is_empty());
}

#[test]
fn tolerances_as_text() {
    assert_eq!("0.05".parse::<Tolerance>().unwrap(), Tolerance::Absolute(0.05));
    assert_eq!("0.5%".parse::<Tolerance>().unwrap(), Tolerance::Relative(0.005));
    for text in ["", "0", "-1", "nan", "inf", "60%", "x%"] {
        assert!(text.parse::<Tolerance>().is_err(), "{text}");
    }
    assert_eq!(Tolerance::Relative(0.005).to_string(), "0.5%");
}

#[test]
fn moving_twice_stays_within_the_whole() {
    let first = Precision::after(None, Tolerance::Absolute(0.1), 0.09);
    let room = Precision::room(Some(first), Tolerance::Absolute(0.5)).unwrap();
    assert!(room.size() < 0.41);
    let both = Precision::after(Some(first), Tolerance::Absolute(0.5), room.size());
    assert!(both.largest <= 0.5);
    assert_eq!(Precision::room(Some(first), Tolerance::Absolute(0.05)), None);
    assert_eq!(Precision::room(Some(first), Tolerance::Relative(0.3)), None);
}
