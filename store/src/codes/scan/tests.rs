#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::{Scan, encode, estimate_bits};
use crate::codes::simd::Isa;
use crate::codes::testing::Random;
use crate::codes::{Codes, testing};
use crate::section::Section;

fn open(codes: &[u64]) -> Scan {
    Scan::open(Section::from_vec(encode(codes))).unwrap()
}

/// `check`, on every instruction set of this processor.
fn check(codes: &[u64], seed: u64) -> Result<(), TestCaseError> {
    let mut scan = open(codes);
    for isa in Isa::all() {
        scan.isa = isa;
        testing::check(&scan, codes, seed)?;
        for (position, &code) in codes.iter().enumerate() {
            if position < 40 || position % 97 == 0 {
                prop_assert_eq!(scan.get(position as u64).unwrap(), code);
            }
        }
        let mut random = Random::new(seed);
        let (start, end) = (random.below(codes.len() as u64 + 1), codes.len() as u64);
        let ranges = [0..start / 2, start..end];
        let naive = ranges
            .iter()
            .flat_map(|r| &codes[r.start as usize..r.end as usize]);
        prop_assert_eq!(
            scan.sum(&ranges).unwrap(),
            naive.map(|&code| u128::from(code)).sum::<u128>()
        );
    }
    Ok(())
}

#[test]
fn no_codes_and_one_code() {
    for codes in [vec![], vec![0], vec![u64::MAX], vec![0, u64::MAX], vec![7; 3000]] {
        check(&codes, 1).unwrap();
    }
}

#[test]
fn constants_and_straight_lines_are_free() {
    for slope in [0u64, 1, 1_000_003] {
        let codes: Vec<u64> = (0..50_000).map(|i| 5 + i * slope).collect();
        let bytes = encode(&codes);
        assert!(bytes.len() < 50 * 40, "{} bytes for slope {slope}", bytes.len());
        check(&codes, 3).unwrap();
    }
}

#[test]
fn falling_codes_are_as_small_as_rising_ones() {
    let mut codes: Vec<u64> = (0..20_000).map(|i| i * 100 + i % 7).collect();
    let rising = encode(&codes).len();
    codes.reverse();
    let falling = encode(&codes).len();
    assert!(falling <= rising + 100, "{falling} against {rising}");
    check(&codes, 3).unwrap();
}

#[test]
fn a_few_wide_codes_are_patches() {
    let mut codes = testing::noise(30_000, 6, 2);
    let plain = encode(&codes).len();
    for place in (0..30_000).step_by(211) {
        codes[place] += 1 << 40;
    }
    let patched = encode(&codes).len();
    assert!(
        patched < plain + 30_000 / 211 * 7 + 30 * 20,
        "{patched} against {plain}"
    );
    check(&codes, 4).unwrap();
    // And on differences.
    let mut codes = testing::walk(30_000, 2);
    for place in (0..30_000).step_by(500) {
        codes[place] = u64::MAX - codes[place];
    }
    check(&codes, 5).unwrap();
}

#[test]
fn a_quantile_of_many_wide_codes_takes_several_passes() {
    let codes = testing::noise(100_000, 64, 5);
    check(&codes, 6).unwrap();
}

#[test]
fn estimates_are_near() {
    for codes in [testing::walk(100_000, 1), testing::noise(100_000, 13, 1)] {
        let real = encode(&codes).len() as f64 * 8.0 / codes.len() as f64;
        let pieces: Vec<&[u64]> = codes.chunks(1024).step_by(10).collect();
        let estimate = estimate_bits(&pieces);
        assert!((estimate / real - 1.0).abs() < 0.03, "{estimate} against {real}");
    }
    assert_eq!(estimate_bits(&[]), 0.0);
}

#[test]
fn golden_bytes() {
    let ramp: Vec<u64> = (0..1_500).map(|i| (1 << 40) + i * 3).collect();
    let mut patched = testing::noise(1_100, 5, 3);
    patched[17] = 1 << 33;
    patched[900] = 1 << 20;
    for (name, codes) in [
        ("codes_scan_walk", testing::walk(1_300, 1)),
        ("codes_scan_noise", testing::noise(700, 11, 2)),
        ("codes_scan_wide", testing::noise(70, 64, 2)),
        ("codes_scan_ramp", ramp),
        ("codes_scan_patched", patched),
    ] {
        testing::golden(name, &encode(&codes), |bytes| {
            let scan = Scan::open(Section::from_vec(bytes)).unwrap();
            testing::check(&scan, &codes, 2).unwrap();
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]
    #[test]
    fn every_question_equals_the_naive_answer((codes, seed) in (testing::codes(), any::<u64>())) {
        check(&codes, seed)?;
    }

    #[test]
    fn flipped_bytes_never_panic(codes in testing::codes(), seed: u64) {
        testing::damage(&encode(&codes), seed, |section| Ok(Box::new(Scan::open(section)?)));
    }
}
