//! What every layout is held to: the naive answers, damaged bytes, golden files.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::single_range_in_vec_init
)]

use std::ops::Range;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::{Codes, Interval};
use crate::error::{Error, Result};
use crate::rows::Mask;
use crate::section::Section;

/// A small pseudo-random generator.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }
}

/// A smooth column: a bounded walk with small steps.
pub(crate) fn walk(len: usize, seed: u64) -> Vec<u64> {
    let mut random = Random::new(seed);
    let mut at = 5_000i64;
    (0..len)
        .map(|_| {
            at += (random.below(7) as i64) - 3;
            at = at.clamp(1_000, 9_000);
            at as u64
        })
        .collect()
}

/// Independent codes of `bits` bits.
pub(crate) fn noise(len: usize, bits: u32, seed: u64) -> Vec<u64> {
    let mut random = Random::new(seed);
    (0..len).map(|_| random.next() >> (64 - bits)).collect()
}

/// Columns of all kinds: few and many rows, narrow and wide, smooth and noisy, with steps and constant stretches.
pub(crate) fn codes() -> impl Strategy<Value = Vec<u64>> {
    let small = proptest::collection::vec(any::<u64>(), 0..40);
    let shaped = (1usize..6_000, 1u32..=64, any::<u64>(), 0u8..5).prop_map(|(len, bits, seed, shape)| {
        let mut random = Random::new(seed);
        let base = if seed % 3 == 0 { seed >> 1 } else { 0 };
        let limit = u64::MAX >> (64 - bits);
        let mut at = random.next() & limit;
        (0..len)
            .map(|i| {
                match shape {
                    0 => at = random.next() & limit,
                    1 => at = at.wrapping_add(random.below(9)).wrapping_sub(4) & limit,
                    2 if random.below(50) == 0 => at = random.next() & limit,
                    3 => at = (i as u64 * 37 + random.below(5)) & limit,
                    4 if random.below(20) == 0 => at ^= 1 << random.below(u64::from(bits)),
                    _ => {}
                }
                base.saturating_add(at)
            })
            .collect()
    });
    prop_oneof![1 => small, 5 => shaped]
}

fn some_ranges(len: u64, random: &mut Random) -> Vec<Range<u64>> {
    let mut cuts: Vec<u64> = (0..2 + random.below(10)).map(|_| random.below(len + 1)).collect();
    cuts.sort_unstable();
    match random.below(4) {
        0 => vec![0..len],
        1 => vec![cuts[0]..cuts[1]],
        _ => cuts.chunks_exact(2).map(|pair| pair[0]..pair[1]).collect(),
    }
}

fn some_code(codes: &[u64], random: &mut Random) -> u64 {
    match random.below(6) {
        0 => random.next(),
        1 => 0,
        2 => u64::MAX,
        _ if codes.is_empty() => 5,
        _ => codes[random.below(codes.len() as u64) as usize]
            .wrapping_add(random.below(3))
            .wrapping_sub(1),
    }
}

/// Compares every question with the naive answer.
pub(crate) fn check(layout: &dyn Codes, codes: &[u64], seed: u64) -> Result<(), TestCaseError> {
    let mut random = Random::new(seed);
    let len = codes.len() as u64;
    prop_assert_eq!(layout.len(), len);
    let mut decoded = vec![0; codes.len()];
    layout.decode(0..len, &mut decoded).unwrap();
    prop_assert!(decoded == codes, "decode of everything");
    prop_assert!(
        matches!(layout.get(len), Err(Error::OutOfRange { .. })),
        "get past the end"
    );
    let outside = Range {
        start: 0,
        end: len + 1,
    };
    prop_assert!(
        layout
            .count(std::slice::from_ref(&outside), Interval::ALL)
            .is_err()
    );
    for _ in 0..20.min(len) {
        let at = random.below(len);
        prop_assert_eq!(layout.get(at).unwrap(), codes[at as usize], "get {}", at);
    }
    for _ in 0..12 {
        let ranges = some_ranges(len, &mut random);
        let mut inside: Vec<u64> = ranges
            .iter()
            .flat_map(|r| codes[r.start as usize..r.end as usize].iter().copied())
            .collect();
        let interval = Interval {
            low: some_code(codes, &mut random),
            high: some_code(codes, &mut random),
        };
        let naive = inside.iter().filter(|&&code| interval.contains(code)).count() as u64;
        prop_assert_eq!(
            layout.count(&ranges, interval).unwrap(),
            naive,
            "count {:?} in {:?}",
            interval,
            &ranges
        );
        let range = ranges[0].clone();
        let slice = &codes[range.start as usize..range.end as usize];
        let mut part = vec![0; slice.len()];
        layout.decode(range.clone(), &mut part).unwrap();
        prop_assert!(part == slice, "decode {:?}", range);
        let mut mask = Mask::repeat(false, slice.len());
        layout.select(range.clone(), interval, &mut mask).unwrap();
        let naive: Mask = slice.iter().map(|&code| interval.contains(code)).collect();
        prop_assert!(mask == naive, "select {:?} in {:?}", interval, range);
        inside.sort_unstable();
        let rows = inside.len() as u64;
        prop_assert!(layout.quantile(&ranges, rows).is_err());
        prop_assert_eq!(
            layout.min_max(&ranges).unwrap(),
            inside.first().copied().zip(inside.last().copied())
        );
        for k in [0, rows / 2, rows.saturating_sub(1), random.below(rows)]
            .into_iter()
            .filter(|&k| k < rows)
        {
            let want = inside[k as usize];
            let less = inside.partition_point(|&code| code < want) as u64;
            prop_assert_eq!(
                layout.quantile(&ranges, k).unwrap(),
                (want, less),
                "quantile {} of {:?}",
                k,
                &ranges
            );
        }
    }
    check_lists(layout, codes, &mut random)?;
    prop_assert!(!layout.parts().is_empty());
    Ok(())
}

/// Compares the questions that give lists with the naive answers.
fn check_lists(layout: &dyn Codes, codes: &[u64], random: &mut Random) -> Result<(), TestCaseError> {
    let len = codes.len() as u64;
    let mut positions: Vec<u64> = (0..random.below(300))
        .map(|_| random.below(len))
        .filter(|_| len > 0)
        .collect();
    positions.sort_unstable();
    let mut found = vec![0; positions.len()];
    layout.get_sorted(&positions, &mut found).unwrap();
    let want: Vec<u64> = positions.iter().map(|&at| codes[at as usize]).collect();
    prop_assert!(found == want, "get_sorted");
    for _ in 0..6 {
        let ranges = some_ranges(len, random);
        let rows = |r: &Range<u64>| codes[r.start as usize..r.end as usize].to_vec();
        let mut inside: Vec<u64> = ranges.iter().flat_map(rows).collect();
        inside.sort_unstable();
        let mut listed = vec![7];
        layout.decode_unordered(&ranges, &mut listed).unwrap();
        prop_assert_eq!(listed.first(), Some(&7));
        listed.remove(0);
        listed.sort_unstable();
        prop_assert!(listed == inside, "decode_unordered");
        let code = some_code(codes, random);
        prop_assert_eq!(
            layout.next_value(&ranges, code).unwrap(),
            inside.iter().copied().find(|&c| c >= code)
        );
        prop_assert_eq!(
            layout.previous_value(&ranges, code).unwrap(),
            inside.iter().copied().rfind(|&c| c <= code)
        );
        let filled: Vec<Range<u64>> = ranges.iter().filter(|r| r.start < r.end).cloned().collect();
        let ks: Vec<u64> = filled.iter().map(|r| random.below(r.end - r.start)).collect();
        let mut want = Vec::new();
        for (range, &k) in filled.iter().zip(&ks) {
            let mut part = rows(range);
            part.sort_unstable();
            want.push(part[k as usize]);
        }
        prop_assert_eq!(layout.quantile_each(&filled, &ks).unwrap(), want);
        let interval = Interval {
            low: some_code(codes, random),
            high: some_code(codes, random),
        };
        let limit = random.below(40) as usize;
        let counted = |codes: &mut dyn Iterator<Item = u64>| {
            let mut out: Vec<(u64, u64)> = Vec::new();
            for code in codes {
                match out.last_mut() {
                    Some(last) if last.0 == code => last.1 += 1,
                    _ => out.push((code, 1)),
                }
            }
            out
        };
        let mut want = counted(&mut inside.iter().copied().filter(|&c| interval.contains(c)));
        want.truncate(limit);
        prop_assert_eq!(layout.distinct(&ranges, interval, limit).unwrap(), want);
        let want = counted(&mut inside.iter().rev().copied().take(limit));
        prop_assert_eq!(layout.top(&ranges, limit as u64).unwrap(), want);
    }
    Ok(())
}

/// Asks a layout everything over damaged bytes: it must come back, with an error or some answer.
pub(crate) fn damage(bytes: &[u8], seed: u64, open: impl Fn(Section) -> Result<Box<dyn Codes>>) {
    let mut random = Random::new(seed);
    for _ in 0..8 {
        let mut bytes = bytes.to_vec();
        for _ in 0..1 + random.below(6) {
            // The header and tables more often than their share.
            let bound = if random.below(2) == 0 {
                bytes.len() as u64
            } else {
                (bytes.len() as u64).min(256)
            };
            let at = random.below(bound) as usize;
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        if random.below(5) == 0 {
            bytes.truncate(random.below(bytes.len() as u64 + 1) as usize);
        }
        let Ok(layout) = open(Section::from_vec(bytes)) else {
            continue;
        };
        let len = layout.len();
        for _ in 0..10 {
            let _ = layout.get(random.below(len));
        }
        for _ in 0..3 {
            let ranges = some_ranges(len, &mut random);
            let interval = Interval {
                low: random.next() >> random.below(64),
                high: u64::MAX >> random.below(64),
            };
            let rows: u64 = ranges.iter().map(|r| r.end - r.start).sum();
            let _ = layout.count(&ranges, interval);
            let _ = layout.quantile(&ranges, random.below(rows));
            let _ = layout.min_max(&ranges);
            let _ = layout.next_value(&ranges, interval.low);
            let _ = layout.previous_value(&ranges, interval.high);
            let _ = layout.top(&ranges, 9);
            let _ = layout.decode_unordered(&ranges, &mut Vec::new());
            let _ = layout.distinct(&ranges, interval, 9);
            let _ = layout.quantile_each(&ranges, &vec![0; ranges.len()]);
            let _ = layout.get_sorted(&[len / 3, len / 2], &mut [0, 0]);
            let start = random.below(len);
            let range = start..len.min(start + 20_000);
            let places = (range.end - range.start) as usize;
            let _ = layout.decode(range.clone(), &mut vec![0; places]);
            let _ = layout.select(range, interval, &mut Mask::repeat(false, places));
        }
    }
}

/// Compares what is written today with the file of that name under `tests/golden`, and reads that file with `read`.
///
/// A missing file is written.
pub(crate) fn golden(name: &str, bytes: &[u8], read: impl Fn(Vec<u8>)) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(format!("{name}.bin"));
    if !path.exists() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
    }
    let kept = std::fs::read(&path).unwrap();
    read(kept.clone());
    assert!(
        kept == bytes,
        "{name}: the bytes written today differ from the golden file"
    );
}
