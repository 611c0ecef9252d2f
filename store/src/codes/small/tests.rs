#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use proptest::prelude::*;

use super::{MiniBlock, Options, Small, encode, encode_with, estimate_bits};
use crate::codes::testing;
use crate::section::Section;

fn open(codes: &[u64]) -> Small {
    Small::open(Section::from_vec(encode(codes))).unwrap()
}

/// A slow oscillation with noise.
fn vibration(len: usize, noise: u64, seed: u64) -> Vec<u64> {
    let mut random = testing::Random::new(seed);
    (0..len)
        .map(|i| {
            let swing = (i as f64 / 9.0).sin() * 3_000.0 + (i as f64 / 4.1).sin() * 900.0;
            (20_000.0 + swing) as u64 + random.below(noise)
        })
        .collect()
}

/// Multiples of ten with a last digit now and then.
fn digits(len: usize, seed: u64) -> Vec<u64> {
    let mut random = testing::Random::new(seed);
    (0..len)
        .map(|_| {
            let digit = if random.below(5) == 0 { random.below(10) } else { 0 };
            (1 << 20) + random.below(100_000) * 10 + digit
        })
        .collect()
}

/// Long stretches of one code.
fn rare_steps(len: usize, seed: u64) -> Vec<u64> {
    let mut random = testing::Random::new(seed);
    let mut at = 500u64;
    (0..len)
        .map(|_| {
            if random.below(40) == 0 {
                at = at.wrapping_add(random.below(3)).wrapping_sub(1);
            }
            at
        })
        .collect()
}

/// A counter whose steps change now and then.
fn slopes(len: u64) -> Vec<u64> {
    let steps = (0..len).map(|i| 1_000 + i / 500 % 7 * 31);
    steps
        .scan(0, |at, step| {
            *at += step;
            Some(*at)
        })
        .collect()
}

fn bits(codes: &[u64]) -> f64 {
    encode(codes).len() as f64 * 8.0 / codes.len() as f64
}

#[test]
fn no_codes_and_one_code() {
    for codes in [vec![], vec![0], vec![u64::MAX], vec![0, u64::MAX], vec![7; 1000]] {
        testing::check(&open(&codes), &codes, 1).unwrap();
    }
}

#[test]
fn each_form_is_chosen_and_answers() {
    let cases = [
        (testing::walk(150_000, 3), "plain, order 1", 3.1),
        (testing::noise(140_000, 13, 4), "plain, order 0", 13.2),
        (vibration(140_000, 40, 5), "linear", 7.5),
        (digits(140_000, 6), "split by 10", 18.6),
        (rare_steps(200_000, 7), "runs", 0.25),
        (slopes(140_000), "runs, order 2", 0.2),
    ];
    for (codes, plan, most) in cases {
        let small = open(&codes);
        let plans = small.plans().unwrap();
        assert!(plans[0].contains(plan), "{plan}: {plans:?}");
        assert!(bits(&codes) < most, "{plan}: {} bits", bits(&codes));
        testing::check(&small, &codes, 5).unwrap();
    }
}

#[test]
fn full_entropy_costs_next_to_nothing_more() {
    let codes = testing::noise(200_000, 64, 9);
    assert!(bits(&codes) < 64.1, "{} bits", bits(&codes));
    testing::check(&open(&codes), &codes, 5).unwrap();
}

#[test]
fn chunks_that_are_alike_share_their_tables() {
    let codes = testing::walk(400_000, 8);
    let plans = open(&codes).plans().unwrap();
    assert!(plans[3].contains("shared"), "{plans:?}");
}

#[test]
fn the_estimate_is_near() {
    for codes in [
        testing::walk(150_000, 3),
        vibration(140_000, 40, 5),
        digits(140_000, 6),
        rare_steps(200_000, 7),
    ] {
        let pieces: Vec<&[u64]> = codes.chunks(256).step_by(60).collect();
        let (estimate, real) = (estimate_bits(&pieces, Options::default()), bits(&codes));
        assert!(
            (estimate - real).abs() < 0.08 * real + 0.05,
            "{estimate} for {real}"
        );
    }
}

#[test]
fn golden_bytes() {
    let cases = [
        ("codes_small", testing::walk(1_000, 1)),
        ("codes_small_wide", testing::noise(700, 63, 2)),
        ("codes_small_split", digits(3_000, 3)),
        ("codes_small_runs", rare_steps(3_000, 4)),
        ("codes_small_linear", vibration(3_000, 40, 5)),
    ];
    for (name, codes) in cases {
        testing::golden(name, &encode(&codes), |bytes| {
            testing::check(&Small::open(Section::from_vec(bytes)).unwrap(), &codes, 2).unwrap();
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_question_equals_the_naive_answer((codes, seed, rows) in (testing::codes(), any::<u64>(), 0..3)) {
        let block_rows = [MiniBlock::Rows128, MiniBlock::Rows256, MiniBlock::Rows512][rows as usize];
        let bytes = encode_with(&codes, Options { block_rows, linear: seed % 2 == 0 });
        testing::check(&Small::open(Section::from_vec(bytes)).unwrap(), &codes, seed)?;
    }

    #[test]
    fn flipped_bytes_never_panic(codes in testing::codes(), seed: u64, kind in 0..4) {
        let codes = match kind {
            0 => digits(codes.len(), seed),
            1 => rare_steps(codes.len() * 10, seed),
            2 => vibration(codes.len(), 40, seed),
            _ => codes,
        };
        testing::damage(&encode(&codes), seed, |section| Ok(Box::new(Small::open(section)?)));
    }
}
