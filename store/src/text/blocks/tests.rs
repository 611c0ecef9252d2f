//! Packed and cold text against a scan of the plain rows, in one block and in many, and on damage.

#![allow(clippy::unwrap_used)]

use std::ops::Bound;

use proptest::prelude::*;

use crate::codes::testing::golden;
use crate::section::Section;
use crate::text::number::{NumberPattern, NumberPlace};
use crate::text::template::tests::{logs, pattern_of};
use crate::text::tests::{ask_everything, bound, check, column, flip, needles, patterns, strings};
use crate::text::{TextIndex, TextKind, TextPattern, cold, encode, open, small};

fn kinds() -> impl Strategy<Value = TextKind> {
    prop_oneof![Just(TextKind::Small), Just(TextKind::Cold)]
}

fn block_bytes() -> impl Strategy<Value = u64> {
    prop_oneof![3 => Just(small::BLOCK_BYTES), 1 => Just(700u64), 1 => Just(1)]
}

fn write(kind: TextKind, rows: &[Vec<u8>], block_bytes: u64) -> Vec<u8> {
    let strings = column(rows);
    match kind {
        TextKind::Small => small::encode(&strings, block_bytes).unwrap(),
        _ => cold::encode(&strings, block_bytes).unwrap(),
    }
}

fn build(kind: TextKind, rows: &[Vec<u8>], block_bytes: u64) -> Box<dyn TextIndex> {
    open(kind, Section::from_vec(write(kind, rows, block_bytes))).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn any_rows_answer_as_a_scan(
        kind in kinds(), rows in strings(), pattern in patterns(), block in block_bytes(),
        low in needles(), high in needles(), bounds in (0u8..3, 0u8..3), cuts in proptest::collection::vec(any::<u64>(), 0..6),
    ) {
        let (low, high) = (bound(bounds.0, &low), bound(bounds.1, &high));
        check(&*build(kind, &rows, block), &rows, &pattern, low, high, &cuts);
    }

    #[test]
    fn logs_answer_as_a_scan(
        kind in kinds(), rows in logs(), seeds in (any::<usize>(), any::<usize>(), 0usize..14, any::<u8>(), any::<u8>()),
        block in block_bytes(), cuts in proptest::collection::vec(any::<u64>(), 0..6),
    ) {
        let pattern = pattern_of(&rows, seeds);
        let (low, high) = (Bound::Included(&b"[info"[..]), Bound::Excluded(&b"user"[..]));
        check(&*build(kind, &rows, block), &rows, &pattern, low, high, &cuts);
    }

    #[test]
    fn damage_gives_an_error_or_an_answer(
        kind in kinds(), rows in logs(), pattern in patterns(), flips in proptest::collection::vec((any::<u32>(), 0u8..8), 1..4),
    ) {
        let mut bytes = write(kind, &rows, 4_000);
        flip(&mut bytes, &flips);
        ask_everything(kind, bytes, &pattern);
    }
}

/// Sentences of a receiver, a few of them with a wrong checksum.
fn sentences(count: u64) -> Vec<Vec<u8>> {
    (0..count)
        .map(|row| {
            let body = if row % 3 == 0 {
                format!(
                    "GPGSV,3,{},{:02},{},{:03}",
                    row % 3 + 1,
                    row * 7 % 12,
                    row * 37 % 90,
                    row * 131 % 360
                )
            } else {
                format!(
                    "GPGGA,12{:02}{:02},48{:02}.{:03},N,{}",
                    row / 60 % 60,
                    row % 60,
                    row % 7,
                    row * 61 % 1_000,
                    row % 5
                )
            };
            let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
            let sum = if row % 41 == 5 { !sum } else { sum };
            format!("${body}*{sum:02X}\r").into_bytes()
        })
        .collect()
}

/// What checksums say is computed, in each form, so wrong ones and pieces of them are found too.
#[test]
fn checksums_are_computed() {
    let rows = sentences(400);
    let other: Vec<Vec<u8>> = rows
        .iter()
        .map(|row| row.iter().map(|&b| if b == b'$' { b'%' } else { b }).collect())
        .collect();
    for kind in [TextKind::Template, TextKind::Small, TextKind::Cold] {
        let encoded = |rows: &[Vec<u8>]| match kind {
            TextKind::Template => encode(kind, &column(rows)).unwrap(),
            _ => write(kind, rows, small::BLOCK_BYTES),
        };
        let bytes = encoded(&rows);
        // Without the dollar they are sums of nothing.
        assert!(bytes.len() < encoded(&other).len());
        let name = format!("text_{}_checksums", kind.name());
        golden(&name, &bytes, |bytes| {
            let index = open(kind, Section::from_vec(bytes)).unwrap();
            let (first, last) = (
                String::from_utf8_lossy(&rows[0]),
                String::from_utf8_lossy(&rows[46]),
            );
            let sum = |row: &str| row[row.find('*').unwrap()..].to_string();
            let contains = |needle: &str| TextPattern::Contains(needle.into());
            for pattern in [
                contains(&sum(&first)),
                contains(sum(&last).trim_end()),
                contains("*5"),
                contains("5"),
                contains("A\r"),
                contains(",3*1"),
                contains("*5a"),
                contains("*123"),
                TextPattern::ContainsIgnoreAsciiCase(b"*5a".to_vec()),
                TextPattern::EndsWith(b"7\r".to_vec()),
                TextPattern::Equals(rows[46].clone()),
                TextPattern::Equals(rows[47].clone()),
                TextPattern::like("$GPGGA%*4_%", None),
                TextPattern::like("%,N,1%1%", None),
                TextPattern::Number(NumberPattern::new(
                    NumberPlace::parse("*{}").unwrap(),
                    Bound::Excluded(20.0),
                    Bound::Unbounded,
                )),
            ] {
                check(
                    &*index,
                    &rows,
                    &pattern,
                    Bound::Included(b"$GPGS"),
                    Bound::Unbounded,
                    &[7, 150],
                );
            }
        });
        let step = if kind == TextKind::Small { 97 } else { 7 };
        for at in (0..bytes.len()).step_by(step) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            ask_everything(kind, damaged, &TextPattern::Contains(b"*4".to_vec()));
        }
    }
}
