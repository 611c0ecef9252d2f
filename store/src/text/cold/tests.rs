//! Cold text against a scan of the plain rows, in one block and in many, and on damage.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use std::ops::Bound;

use super::*;
use crate::codes::testing::golden;
use crate::text::small::BLOCK_BYTES;
use crate::text::template::tests::log_row;
use crate::text::tests::{check, column};
use crate::text::{TextIndex, TextPattern};

fn build(rows: &[Vec<u8>], block_bytes: u64) -> Cold {
    open(Section::from_vec(encode(&column(rows), block_bytes).unwrap())).unwrap()
}

/// Lines of many kinds: exceptions, functions of other columns, counters, ids, and rows of no template.
fn lines(count: u64) -> Vec<Vec<u8>> {
    let mut state = 7u64;
    let mut noise = |end: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % end
    };
    (0..count)
        .map(|row| match noise(12) {
            0..=3 => {
                let user = noise(20);
                let home = if row % 97 == 0 { 99 } else { user };
                format!(
                    "session {row} of user{user} at /home/u{home} from 10.0.{}.{}",
                    noise(4),
                    noise(250)
                )
            }
            4..=6 => format!(
                "took {} ms, id {:016x}",
                noise(40) * noise(30),
                noise(1 << 31) * 7919
            ),
            7..=9 => format!(
                "[{}] disk d{} at -{}.{:03} C",
                row * 3,
                noise(6),
                noise(90),
                noise(1000)
            ),
            10 => format!("word{} again", noise(3_000)),
            _ if row % 50 == 0 => format!("alone {}{}", "; ".repeat(row as usize % 9), row),
            _ => "nothing new".to_string(),
        })
        .map(String::into_bytes)
        .collect()
}

#[test]
fn every_byte_flipped_is_refused_or_answered() {
    let rows = lines(120);
    let bytes = encode(&column(&rows), BLOCK_BYTES).unwrap();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        let Ok(index) = open(Section::from_vec(damaged)) else {
            continue;
        };
        let len = index.len().min(500);
        let _ = index.decode(0..len, &mut ByteColumn::default());
        let _ = index.extract(len / 2, &mut Vec::new());
        let _ = index.count(
            std::slice::from_ref(&(0..len)),
            &TextPattern::Contains(b"user1".to_vec()),
        );
    }
}

#[test]
fn many_rows_in_any_order() {
    let rows = lines(6_000);
    let index = build(&rows, 150_000);
    assert!(index.block_count() > 1);
    for step in 0..2_000 {
        let row = step * 7919 % rows.len();
        let mut out = Vec::new();
        index.extract(row as u64, &mut out).unwrap();
        assert_eq!(out, rows[row]);
    }
    for needle in [&b"user1"[..], b"at -8", b"alone ; ", b"word77", b"/u99"] {
        check(
            &index,
            &rows,
            &TextPattern::Contains(needle.to_vec()),
            Bound::Included(b"s"),
            Bound::Excluded(b"w5"),
            &[5, 2_900],
        );
    }
}

#[test]
fn long_rows_and_many_words() {
    let mut rows: Vec<Vec<u8>> = (0..12_000u64)
        .map(|row| {
            // More distinct words in a column than a tree has symbols for.
            let word = row.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            format!("w{} of x{word:x} again x{word:x}", row * 7919 % 9_001).into_bytes()
        })
        .collect();
    rows.push(b"x ".repeat(40_000));
    rows.push(b"y\0\n".repeat(10_000));
    rows.push(Vec::new());
    rows.push(vec![b'z'; 65_000]);
    let index = build(&rows, BLOCK_BYTES);
    let mut out = ByteColumn::default();
    index.decode(0..rows.len() as u64, &mut out).unwrap();
    assert_eq!(out, column(&rows));
    for row in (0..rows.len()).step_by(991).chain(11_999..rows.len()) {
        let mut out = Vec::new();
        index.extract(row as u64, &mut out).unwrap();
        assert_eq!(out, rows[row]);
    }
    let all = 0..rows.len() as u64;
    let ranges = std::slice::from_ref(&all);
    let count = index
        .count(ranges, &TextPattern::Contains(b"w77 ".to_vec()))
        .unwrap();
    let scan = rows
        .iter()
        .filter(|row| memchr::memmem::find(row, b"w77 ").is_some());
    assert_eq!(count, scan.count() as u64);
}

/// More templates than a tree has symbols for: their codes are numbers.
#[test]
fn many_templates() {
    let marks = b"\"&'()*,:;<=>?[]";
    let rows: Vec<Vec<u8>> = (0..36_000usize)
        .map(|row| {
            let shape = row / 4;
            let digits = [shape % 15, shape / 15 % 15, shape / 225 % 15, shape / 3375];
            let mut line = Vec::new();
            for digit in digits {
                line.extend_from_slice(b"a");
                line.push(marks[digit]);
            }
            line.extend_from_slice(format!("v{}", row * 7919 % 1_000).as_bytes());
            line
        })
        .collect();
    let index = build(&rows, BLOCK_BYTES);
    let mut out = ByteColumn::default();
    index.decode(0..rows.len() as u64, &mut out).unwrap();
    assert_eq!(out, column(&rows));
}

#[test]
fn a_block_that_says_too_much_is_refused() {
    let rows = lines(400);
    let bytes = encode(&column(&rows), BLOCK_BYTES).unwrap();
    let at = (HEADER + 16) as usize;
    let with = |offset: usize, value: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[at + offset..at + offset + value.len()].copy_from_slice(value);
        open(Section::from_vec(bytes))
    };
    assert!(with(0, &[]).is_ok());
    // Rows of no template, rows of a run, bytes of all rows, bytes of a part.
    assert!(with(16, &500u32.to_le_bytes()).is_err());
    assert!(with(20, &0u32.to_le_bytes()).is_err());
    assert!(with(24, &u64::MAX.to_le_bytes()).is_err());
    assert!(with(32, &9u32.to_le_bytes()).is_err());
    // Fewer bytes than values, or than the words have.
    let index = with(24, &3u64.to_le_bytes()).unwrap();
    assert!(
        index
            .count(
                std::slice::from_ref(&(0..400)),
                &TextPattern::Contains(b"a".to_vec())
            )
            .is_err()
    );
}

#[test]
fn golden_bytes() {
    let mut rows: Vec<Vec<u8>> = (0..300u32)
        .map(|row| log_row((row % 6) as u8, row * 7 % 97))
        .collect();
    rows.extend(lines(200));
    rows.push(Vec::new());
    rows.push(b"a row\0of its own".to_vec());
    let bytes = encode(&column(&rows), 15_000).unwrap();
    golden("text_cold", &bytes, |bytes| {
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
