#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use super::*;
use proptest::prelude::*;

fn exact(codes: &[u64], exceptions: &[(u64, u64)], shape: Shape) -> Statistics {
    let bytes = encode(codes, exceptions, &Summands::Weights(codes, 7), shape);
    Statistics::open(Section::from_vec(bytes), codes.len() as u64, true).unwrap()
}

fn codes() -> impl Strategy<Value = Vec<u64>> {
    prop_oneof![
        proptest::collection::vec(any::<u64>(), 0..9000),
        proptest::collection::vec(1000u64..1050, 0..9000),
        (30_000u64..70_000, any::<u64>())
            .prop_map(|(len, seed)| (0..len).map(|i| ((i * i) ^ (seed >> 40)) % 5000).collect()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn totals(codes in codes(), step in 7u8..=10, places in proptest::collection::vec(0.0..1.0f64, 1..50)) {
        let read = exact(&codes, &[], Shape::Step(step));
        prop_assert_eq!(read.step_bits(), u32::from(step));
        prop_assert_eq!(read.blank(), 7);
        let mut totals = vec![0u128];
        let mut squares = vec![0u128];
        for &code in &codes {
            totals.push(totals[totals.len() - 1] + u128::from(code));
            squares.push(squares[squares.len() - 1].wrapping_add(u128::from(code) * u128::from(code)));
        }
        for place in places.iter().map(|p| (p * codes.len() as f64) as usize).chain([codes.len()]) {
            let (border, total) = read.total_near(place as u64).unwrap();
            prop_assert_eq!(total, totals[border as usize]);
            prop_assert!(border.abs_diff(place as u64) <= 1 << (step - 1));
            let block = place >> 10;
            prop_assert_eq!(read.total(block as u64).unwrap(), totals[block << 10]);
            if read.has_squares() {
                prop_assert_eq!(read.total_of_squares(block as u64).unwrap(), squares[block << 10]);
            }
        }
        let large = codes.iter().any(|&c| c >> 56 != 0);
        prop_assert!(read.has_squares() || large);
    }

    #[test]
    fn bounds_of_blocks(codes in codes(), places in proptest::collection::btree_set(0usize..9000, 0..40), cut in (0.0..1.0f64, 0.0..1.0f64)) {
        let exceptions: Vec<(u64, u64)> =
            places.iter().filter(|&&p| p < codes.len()).map(|&p| (p as u64, 0)).collect();
        let read = exact(&codes, &exceptions, Shape::Budget(codes.len() as u64 / 10));
        let blocks = codes.len().div_ceil(1024);
        let at = |x: f64| (x * (blocks + 1) as f64) as usize;
        let (low, high) = (at(cut.0.min(cut.1)), at(cut.0.max(cut.1)));
        let ends = |rows: std::ops::Range<usize>| {
            let held = |row: &usize| places.contains(row);
            let kept = || rows.clone().filter(|row| !held(row)).map(|row| codes[row]);
            kept().min().zip(kept().max())
        };
        let void = (0..blocks).any(|b| ends(b * 1024..((b + 1) * 1024).min(codes.len())).is_none());
        let want = if void { None } else { ends(low * 1024..(high * 1024).min(codes.len())) };
        prop_assert_eq!(read.bounds(low as u64, high as u64).unwrap(), want);
    }

    #[test]
    fn trees(len in 0usize..40_000, odd in proptest::collection::vec((0.0..1.0f64, 0u8..3), 0..3), step in 7u8..=10, cut in (0.0..1.0f64, 0.0..1.0f64)) {
        let mut values: Vec<f64> = (0..len).map(|i| ((i * i) % 1009) as f64).collect();
        for (place, what) in odd {
            if let Some(value) = values.get_mut((place * len as f64) as usize) {
                *value = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY][usize::from(what)];
            }
        }
        let codes = vec![3; len];
        let bytes = encode(&codes, &[], &Summands::Floats(&values), Shape::Step(step));
        let read = Statistics::open(Section::from_vec(bytes), len as u64, false).unwrap();
        for bits in [u32::from(step), 10] {
            let blocks = len.div_ceil(1 << bits);
            let at = |x: f64| (x * (blocks + 1) as f64) as usize;
            let (low, high) = (at(cut.0.min(cut.1)), at(cut.0.max(cut.1)));
            let rows = &values[(low << bits).min(len)..(high << bits).min(len)];
            if bits == u32::from(step) {
                let mut want = FloatSum::default();
                rows.iter().for_each(|&v| want.push(v));
                let found = read.float_sum(low as u64, high as u64).unwrap();
                prop_assert_eq!((found.finite, found.flags), (want.finite, want.flags));
            } else {
                let found = read.moments(low as u64, high as u64).unwrap();
                let want = Moments::of(rows);
                prop_assert_eq!(found.count, want.count);
                let finite = rows.iter().all(|v| v.is_finite());
                prop_assert!(!finite || (found.squares - want.squares).abs() <= 1e-9 * want.squares);
                prop_assert!(finite || found.squares.is_nan());
            }
        }
    }
}
