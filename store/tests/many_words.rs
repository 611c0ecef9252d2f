//! A million distinct words, in each text index: right answers, and memory in proportion to the text.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use siltstone_store::batch::ByteColumn;
use siltstone_store::section::Section;
use siltstone_store::text::{self, TextKind, TextPattern};

/// Word `number`, of four to seven letters; no two are the same.
fn word(number: u32) -> String {
    const LETTERS: &[u8] = b"etaoinshrdlucmfwypvbgkqjxz012345";
    let mut rest = u64::from(number.wrapping_mul(0x9e37_79b1)) >> 3 | u64::from(number & 7) << 29;
    let mut word = String::new();
    while rest > 0 || word.len() < 4 {
        word.push(char::from(LETTERS[(rest % 32) as usize]));
        rest /= 32;
    }
    word
}

fn rows(count: u32, words: u32) -> ByteColumn {
    let mut rows = ByteColumn::default();
    for row in 0..count {
        let words: Vec<String> = (0..words).map(|place| word(row * words + place)).collect();
        rows.push(words.join(" ").as_bytes());
    }
    rows
}

/// Most memory that the process had since the last call, in bytes; 0 where the system does not tell.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    kilobytes.unwrap_or(0) << 10
}

/// Builds an index of `kind`, asks it, and compares with a scan; it may take `most` bytes of memory for each of the text.
fn check(kind: TextKind, rows: &ByteColumn, most: usize) {
    peak();
    let before = peak();
    let bytes = text::encode(kind, rows).unwrap();
    let index = text::open(kind, Section::from_vec(bytes)).unwrap();
    let all = 0..rows.len() as u64;
    let mut out = Vec::new();
    for step in 0..12usize {
        let row = rows.len() / 12 * step + step;
        out.clear();
        index.extract(row as u64, &mut out).unwrap();
        assert_eq!(out, rows.get(row), "{kind:?}: row {row}");
        let text = std::str::from_utf8(&out).unwrap().to_string();
        let end = text.len().min(4 + step);
        let patterns = [
            TextPattern::Contains(text.as_bytes()[..end].to_vec()),
            TextPattern::Contains(text.as_bytes()[text.len() - 3..].to_vec()),
            TextPattern::StartsWith(text.as_bytes()[..3].to_vec()),
            TextPattern::EndsWith(text.as_bytes()[text.len() - 4..].to_vec()),
            TextPattern::ContainsIgnoreAsciiCase(text[1..end].to_ascii_uppercase().into_bytes()),
            TextPattern::Equals(text.clone().into_bytes()),
            TextPattern::Contains(b"neverthere".to_vec()),
        ];
        let pattern = &patterns[step % patterns.len()];
        let wanted = (0..rows.len())
            .filter(|&row| pattern.matches(rows.get(row)))
            .count() as u64;
        let found = index.count(std::slice::from_ref(&all), pattern).unwrap();
        assert_eq!(found, wanted, "{kind:?}: {pattern:?}");
    }
    let grown = peak().saturating_sub(before);
    assert!(
        grown <= most * rows.bytes().len(),
        "{kind:?}: {grown} bytes of memory for {} of text",
        rows.bytes().len()
    );
}

/// One test, so that no other one's memory is counted.
#[test]
fn a_million_distinct_words() {
    check(TextKind::Template, &rows(250_000, 4), 24);
    check(TextKind::Dictionary, &rows(1_000_000, 1), 24);
    // The template's dictionary is an fm of a million rows; building another one takes as long.
    check(TextKind::Fm, &rows(50_000, 4), 16);
    // Packed letters are told one by one, so fewer of them.
    check(TextKind::Small, &rows(4_000, 4), 48);
}
