//! Packed templates against a scan of the plain rows, in one block and in many, and on damage.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use std::ops::Bound;

use proptest::prelude::*;

use super::mix::Limits;
use super::*;
use crate::codes::testing::golden;
use crate::text::template::tests::log_row;
use crate::text::tests::{ask_everything, check, column};
use crate::text::unpacked::KEPT;
use crate::text::{TextIndex, TextPattern};

fn build(rows: &[Vec<u8>], block_bytes: u64) -> Small {
    open(Section::from_vec(encode(&column(rows), block_bytes).unwrap())).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn noise_is_refused_or_answered(bytes in proptest::collection::vec(any::<u8>(), 1..60), rows in 1u64..500) {
        let mut section = vec![1, 0, 12, 0, 1, 0, 0, 0];
        section.extend_from_slice(&rows.to_le_bytes());
        section.extend_from_slice(&[0; 16]);
        section.extend_from_slice(&40u64.to_le_bytes());
        section.extend_from_slice(&bytes);
        ask_everything(TextKind::Small, section, &TextPattern::Contains(b"a".to_vec()));
    }
}

#[test]
fn a_block_that_says_too_much_is_refused() {
    let rows: Vec<Vec<u8>> = (0..400)
        .map(|row| log_row((row % 6) as u8, row * 7 % 97))
        .collect();
    let mut plan = Plan::of(&column(&rows));
    let mut mixer = Mixer::new(Encoder::new(), LEAST_BITS);
    walk::walk(&mut plan, &mut mixer, rows.len(), LEAST_BITS).unwrap();
    let exact = Limits {
        decisions: mixer.decisions(),
        word_bytes: plan.dictionary.bytes().len(),
    };
    assert!(exact.word_bytes > 0);
    let bytes = mixer.into_coder().finish();
    let unpacked = |limits: Limits| {
        let mut mixer = Mixer::new(Decoder::new(&bytes), LEAST_BITS).within(limits);
        walk::walk(&mut Plan::default(), &mut mixer, rows.len(), LEAST_BITS).is_some()
    };
    assert!(unpacked(exact));
    assert!(!unpacked(Limits {
        decisions: exact.decisions / 2,
        ..exact
    }));
    assert!(!unpacked(Limits {
        word_bytes: exact.word_bytes - 1,
        ..exact
    }));
}

#[test]
fn blocks_that_are_no_longer_kept_are_unpacked_again() {
    let rows: Vec<Vec<u8>> = (0..4 * KEPT as u32)
        .map(|row| log_row((row % 4) as u8, row))
        .collect();
    let index = build(&rows, 1);
    assert!(index.block_count() > 2 * KEPT);
    for _ in 0..2 {
        for (row, bytes) in rows.iter().enumerate() {
            let mut out = Vec::new();
            index.extract(row as u64, &mut out).unwrap();
            assert_eq!(&out, bytes);
        }
    }
}

#[test]
fn long_rows_and_many_words() {
    let mut rows: Vec<Vec<u8>> = (0..3_000u64)
        .map(|row| {
            format!(
                "w{} of {:x}",
                row * 7919 % 3_001,
                row.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            )
            .into_bytes()
        })
        .collect();
    rows.push(b"x ".repeat(40_000));
    rows.push(b"y\0\n".repeat(10_000));
    rows.push(Vec::new());
    let index = build(&rows, 60_000);
    for needle in [&b"w77 "[..], b"x x", b"y\0\ny", b"\n\n", b"f 1"] {
        let pattern = TextPattern::Contains(needle.to_vec());
        check(
            &index,
            &rows,
            &pattern,
            Bound::Unbounded,
            Bound::Excluded(b"w5"),
            &[5, 2_900],
        );
    }
}

#[test]
fn golden_bytes() {
    let mut rows: Vec<Vec<u8>> = (0..300u32)
        .map(|row| log_row((row % 6) as u8, row * 7 % 97))
        .collect();
    rows.push(Vec::new());
    rows.push(b"a row\0of its own".to_vec());
    let bytes = encode(&column(&rows), 9_000).unwrap();
    golden("text_small", &bytes, |bytes| {
        let index = open(Section::from_vec(bytes)).unwrap();
        let pattern = TextPattern::Contains(b"user u3".to_vec());
        check(
            &index,
            &rows,
            &pattern,
            Bound::Included(b"s"),
            Bound::Unbounded,
            &[7, 150],
        );
    });
}
