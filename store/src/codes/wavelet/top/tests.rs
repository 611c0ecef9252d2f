#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use proptest::prelude::*;

use super::{MAX_SYMBOLS, Run, Top, UNIT_WINDOW, encode};
use crate::bits::words::{Portable, WordSelect};
use crate::codes::simd::fast;
use crate::section::Section;

/// Symbols of which `changes` of 1,024 differ from the one before, by one or by anything.
fn symbols(len: usize, bits: u32, changes: u64, any: bool, seed: u64) -> Vec<u8> {
    let mut random = crate::codes::testing::Random::new(seed);
    let count = 1u64 << bits;
    let mut symbol = random.below(count);
    (0..len)
        .map(|_| {
            if random.below(1024) < changes {
                symbol = match (any, random.below(2)) {
                    (true, _) => random.below(count),
                    (false, 0) => symbol.saturating_sub(1),
                    _ => (symbol + 1).min(count - 1),
                };
            }
            symbol as u8
        })
        .collect()
}

fn check(symbols: &[u8], bits: u32, seed: u64) -> Result<(), TestCaseError> {
    let mut bytes = vec![0; 8];
    encode(symbols, bits, &mut bytes);
    bytes.resize(bytes.len() + UNIT_WINDOW, 0);
    let section = Section::from_vec(bytes);
    let top = Top::open(&section.view(), 8, symbols.len() as u64, bits).unwrap();
    check_with(Portable, &section, &top, symbols, seed)?;
    fast!(select => check_with(select, &section, &top, symbols, seed))
}

fn check_with<S: WordSelect>(
    select: S,
    section: &Section,
    top: &Top,
    symbols: &[u8],
    seed: u64,
) -> Result<(), TestCaseError> {
    let view = section.view();
    // Where the first row of each symbol from each row on stands below.
    let mut counts = [0u32; MAX_SYMBOLS];
    for (symbol, count) in counts.iter_mut().enumerate() {
        *count = symbols
            .iter()
            .filter(|&&other| usize::from(other) < symbol)
            .count() as u32;
    }
    let mut random = crate::codes::testing::Random::new(seed);
    let picked = random.below(97);
    for (position, &symbol) in (0u64..).zip(symbols) {
        let at = u64::from(counts[usize::from(symbol)]);
        let near = position % 1024;
        if position % 97 == picked || near < 2 || near == 1023 || position + 1 == symbols.len() as u64 {
            prop_assert_eq!(
                top.access(select, &view, position).unwrap(),
                (u64::from(symbol), at)
            );
            let mut found = [0; MAX_SYMBOLS];
            top.counts(select, &view, position, &mut found).unwrap();
            prop_assert_eq!(
                &found[..top.symbols()],
                &counts[..top.symbols()],
                "before row {}",
                position
            );
            let other = random.below(top.symbols() as u64) as usize;
            prop_assert_eq!(
                top.count(select, &view, position, other).unwrap(),
                u64::from(counts[other])
            );
        }
        counts[usize::from(symbol)] += 1;
    }
    let len = symbols.len() as u64;
    let mut found = [0; MAX_SYMBOLS];
    top.counts(select, &view, len, &mut found).unwrap();
    prop_assert_eq!(&found[..top.symbols()], &counts[..top.symbols()]);
    for _ in 0..4 {
        let start = random.below(len);
        let end = start + 1 + random.below(len - start);
        let mut runs: Vec<Run> = Vec::new();
        top.runs(&view, start..end, &mut runs).unwrap();
        let listed: Vec<u8> = runs
            .iter()
            .flat_map(|run| std::iter::repeat_n(run.symbol, run.rows.into()))
            .collect();
        prop_assert_eq!(&listed[..], &symbols[start as usize..end as usize]);
    }
    Ok(())
}

#[test]
fn every_number_of_changes_and_length() {
    for (seed, changes) in [0, 1, 3, 8, 16, 30, 33, 60, 66, 110, 119, 130, 400, 1024]
        .into_iter()
        .enumerate()
    {
        for (len, bits) in [(1, 1), (1023, 2), (1024, 3), (1025, 5), (5_000, 6), (70_001, 4)] {
            for any in [false, true] {
                check(&symbols(len, bits, changes, any, seed as u64), bits, seed as u64).unwrap();
            }
        }
    }
}

#[test]
fn groups_end_where_rows_do() {
    for len in [8_191, 8_192, 8_193, 65_536, 131_072] {
        check(&symbols(len, 3, 20, false, 9), 3, 1).unwrap();
        check(&symbols(len, 6, 40, true, 9), 6, 1).unwrap();
    }
}

#[test]
fn changes_that_crowd() {
    // All changes in few rows: long members of one bucket, at either end of a unit.
    for changes in [1, 7, 8, 15, 16, 31, 32, 63, 64, 120, 121] {
        for start in [1, 500, 1024 - changes] {
            let row = |i: usize| (i.saturating_sub(start) + 1).min(changes + 1) as u8 % 2 * 5;
            check(&(0..3_000).map(row).collect::<Vec<_>>(), 3, 1).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_runs((len, bits, changes) in (1usize..40_000, 1u32..=6, 0u64..200), any: bool, seed: u64) {
        check(&symbols(len, bits, changes, any, seed), bits, seed)?;
    }

    #[test]
    fn damaged_bytes_give_some_answer(seed: u64, changes in 0u64..200, hits in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..20)) {
        let plain = symbols(20_000, 4, changes, true, seed);
        let mut bytes = Vec::new();
        encode(&plain, 4, &mut bytes);
        bytes.resize(bytes.len() + UNIT_WINDOW, 0);
        for (at, byte) in hits {
            let at = at % bytes.len();
            bytes[at] ^= byte;
        }
        let section = Section::from_vec(bytes);
        let view = section.view();
        let Ok(top) = Top::open(&view, 0, plain.len() as u64, 4) else {
            return Ok(());
        };
        for position in (0..20_000).step_by(61) {
            if let Ok((symbol, at)) = fast!(select => top.access(select, &view, position)) {
                prop_assert!(symbol < 16 && at < 20_000);
            }
            if let Ok(count) = top.count(Portable, &view, position, (position % 16) as usize) {
                prop_assert!(count <= 20_000);
            }
            let mut counts = [0; MAX_SYMBOLS];
            if top.counts(Portable, &view, position, &mut counts).is_ok() {
                prop_assert!(counts[..16].iter().all(|&count| count <= 20_000));
            }
        }
        let mut runs: Vec<Run> = Vec::new();
        if top.runs(&view, 3..19_999, &mut runs).is_ok() {
            prop_assert_eq!(runs.iter().map(|run| u64::from(run.rows)).sum::<u64>(), 19_996);
        }
    }
}
