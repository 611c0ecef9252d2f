//! Packed and cold text against a scan of the plain rows, in one block and in many, and on damage.

#![allow(clippy::unwrap_used)]

use std::ops::Bound;

use proptest::prelude::*;

use crate::section::Section;
use crate::text::template::tests::{logs, pattern_of};
use crate::text::tests::{ask_everything, bound, check, column, flip, needles, patterns, strings};
use crate::text::{TextIndex, TextKind, cold, open, small};

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
