#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use proptest::prelude::*;

use super::{Price, Wavelet, encode, encode_with};
use crate::codes::{Codes, Interval, testing};
use crate::section::Section;

fn open(codes: &[u64]) -> Wavelet {
    Wavelet::open(Section::from_vec(encode(codes))).unwrap()
}

#[test]
fn no_codes_and_one_code() {
    for codes in [vec![], vec![0], vec![u64::MAX], vec![0, u64::MAX], vec![7; 1000]] {
        let wavelet = open(&codes);
        testing::check(&wavelet, &codes, 1).unwrap();
    }
}

#[test]
fn a_smooth_column_is_small_and_has_levels_and_planes() {
    let codes = testing::walk(200_000, 3);
    let bytes = encode(&codes);
    let wavelet = Wavelet::open(Section::from_vec(bytes.clone())).unwrap();
    let (top, levels, planes) = wavelet.shape();
    assert!(
        top > 2 && levels > 0 && planes > 0,
        "{top} bits, {levels} levels, {planes} planes"
    );
    assert!(
        bytes.len() * 8 < 6 * codes.len(),
        "{} bits a code",
        bytes.len() as f64 * 8.0 / codes.len() as f64
    );
    testing::check(&wavelet, &codes, 5).unwrap();
}

#[test]
fn full_entropy_has_few_levels() {
    let codes = testing::noise(300_000, 64, 9);
    let wavelet = open(&codes);
    let (top, levels, planes) = wavelet.shape();
    assert!(
        top == 0 && levels < 20 && levels + planes == 64,
        "{levels} levels, {planes} planes"
    );
    testing::check(&wavelet, &codes, 5).unwrap();
}

#[test]
fn a_rare_digit_is_a_coded_plane() {
    // A noisy quotient, and a last digit that is mostly zero.
    let codes: Vec<u64> = testing::noise(300_000, 20, 4)
        .into_iter()
        .map(|x| (x >> 4) * 16 + if x % 16 < 2 { 1 + x / 16 % 9 } else { 0 })
        .collect();
    let wavelet = open(&codes);
    assert!(
        (0..4).any(|plane| wavelet.planes.is_vector(plane)),
        "{:?}",
        wavelet.shape()
    );
    testing::check(&wavelet, &codes, 5).unwrap();
}

#[test]
fn a_large_leaf_is_listed_value_by_value() {
    // So few distinct codes that a leaf holds more rows than are gathered.
    let codes: Vec<u64> = testing::noise(400_000, 2, 8)
        .into_iter()
        .map(|x| 1_000 + x * x)
        .collect();
    let wavelet = open(&codes);
    let all = std::slice::from_ref(&(0..400_000));
    let found = wavelet
        .distinct(
            all,
            Interval {
                low: 1_001,
                high: 1_008,
            },
            10,
        )
        .unwrap();
    let count = |code| codes.iter().filter(|&&other| other == code).count() as u64;
    assert_eq!(found, [(1_001, count(1_001)), (1_004, count(1_004))]);
    testing::check(&wavelet, &codes, 5).unwrap();
}

#[test]
fn the_dial_goes_from_small_to_fast() {
    let codes = testing::walk(200_000, 5);
    let sizes = [Price::SMALL, Price::BALANCED, Price::FAST, Price::new(f64::NAN)].map(|price| {
        let bytes = encode_with(&codes, price);
        let len = bytes.len();
        let wavelet = Wavelet::open(Section::from_vec(bytes)).unwrap();
        testing::check(&wavelet, &codes, 6).unwrap();
        (len, wavelet.shape().2)
    });
    assert!(sizes[0].0 <= sizes[1].0 && sizes[1].0 <= sizes[2].0, "{sizes:?}");
    assert!(
        sizes[2].1 > sizes[0].1,
        "more planes where time is dear: {sizes:?}"
    );
    assert_eq!(encode(&codes), encode_with(&codes, Price::BALANCED));
}

#[test]
fn distinct_codes_without_order_are_not_all_levels() {
    // Doubles of three digits: below the digits all bits follow from those above, but a decode would visit each value's node.
    let codes: Vec<u64> = testing::noise(60_000, 20, 7)
        .into_iter()
        .map(|x| (x as f64 / 1000.0).to_bits())
        .collect();
    let wavelet = open(&codes);
    assert!(wavelet.shape().1 < 32, "{:?}", wavelet.shape());
    testing::check(&wavelet, &codes, 8).unwrap();
}

#[test]
fn golden_bytes() {
    testing::golden("codes_wavelet", &encode(&testing::walk(1_000, 1)), |bytes| {
        let wavelet = Wavelet::open(Section::from_vec(bytes)).unwrap();
        testing::check(&wavelet, &testing::walk(1_000, 1), 2).unwrap();
    });
    // Long enough for a top of runs.
    testing::golden("codes_wavelet_top", &encode(&testing::walk(20_000, 3)), |bytes| {
        let wavelet = Wavelet::open(Section::from_vec(bytes)).unwrap();
        assert!(wavelet.shape().0 > 0);
        testing::check(&wavelet, &testing::walk(20_000, 3), 2).unwrap();
    });
    testing::golden(
        "codes_wavelet_wide",
        &encode(&testing::noise(700, 61, 2)),
        |bytes| {
            let wavelet = Wavelet::open(Section::from_vec(bytes)).unwrap();
            testing::check(&wavelet, &testing::noise(700, 61, 2), 2).unwrap();
        },
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_question_equals_the_naive_answer((codes, seed) in (testing::codes(), any::<u64>())) {
        testing::check(&open(&codes), &codes, seed)?;
    }

    #[test]
    fn every_price_gives_the_naive_answer((codes, seed) in (testing::codes(), any::<u64>()), price in 0.0..0.01f64) {
        let wavelet = Wavelet::open(Section::from_vec(encode_with(&codes, Price::new(price)))).unwrap();
        testing::check(&wavelet, &codes, seed)?;
    }

    #[test]
    fn flipped_bytes_never_panic(codes in testing::codes(), seed: u64) {
        testing::damage(&encode(&codes), seed, |section| Ok(Box::new(Wavelet::open(section)?)));
    }
}
