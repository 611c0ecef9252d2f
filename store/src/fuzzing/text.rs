//! Any bytes as a text index.

use std::ops::Bound;
use std::sync::{Mutex, PoisonError};

use super::MOST_ROWS;
use crate::batch::ByteColumn;
use crate::codes::choose::Layout;
use crate::rows::Mask;
use crate::section::Section;
use crate::text::number::{NumberPattern, NumberPlace};
use crate::text::regex::{RegexOptions, RegexPattern};
use crate::text::{self, TextIndex, TextKind, TextPattern};

/// Kinds of rows that indexes are made of.
const ROWS: usize = 3;
/// Strings read one by one.
const SINGLE: u64 = 5;

/// `data` is the number of a kind and of a layout wish, the number of some rows, and changes (offset u24, byte) to the index that
/// these give; or, where the third byte is none of [`ROWS`], an index.
pub fn index(data: &[u8]) {
    let &[kind, wish, rows, ref rest @ ..] = data else {
        return;
    };
    let kind = usize::from(kind) % TextKind::ALL.len();
    let wish = usize::from(wish) % Layout::ALL.len();
    let bytes = match usize::from(rows) {
        rows if rows < ROWS => changed(kind, wish, rows, rest),
        _ => rest.to_vec(),
    };
    let section = Section::from_vec(bytes);
    if let Ok(index) = text::open(TextKind::ALL[kind], section) {
        if index.len() <= MOST_ROWS {
            ask(index.as_ref());
        }
    }
}

/// Asks everything once; whatever the answers, they are answers or errors.
fn ask(index: &dyn TextIndex) {
    let len = index.len();
    let mut string = Vec::new();
    for position in (0..len).step_by(crate::rows::index(len / SINGLE + 1)) {
        string.clear();
        let _ = index.extract(position, &mut string);
    }
    let _ = index.decode(0..len.min(50), &mut ByteColumn::default());
    let _ = index.parts();
    for pattern in patterns() {
        let _ = index.count(&[0..len / 2, len / 2 + 1..len], &pattern);
        let _ = index.first(0..len, &pattern, 3);
    }
    let (low, high) = (
        Bound::Included(b"10".as_slice()),
        Bound::Excluded(b"v".as_slice()),
    );
    let _ = index.count_between(std::slice::from_ref(&(0..len)), low, high);
    let mut mask = Mask::repeat(false, crate::rows::index(len));
    let _ = index.select_between(0..len, low, high, &mut mask);
}

fn patterns() -> Vec<TextPattern> {
    let mut all: Vec<TextPattern> = ["", "a", "took 7", "10.0.3.", "3", " ok", "zzz"]
        .map(|needle| TextPattern::Contains(needle.into()))
        .into();
    all.extend([
        TextPattern::ContainsIgnoreAsciiCase(b"VALVE".to_vec()),
        TextPattern::StartsWith(b"valve 1".to_vec()),
        TextPattern::EndsWith(b"0 bar".to_vec()),
        TextPattern::Equals(b"line 7".to_vec()),
        TextPattern::like("%get%1_%ms", None),
    ]);
    all.extend(
        RegexPattern::new("unit-[0-3], (reason|x)", RegexOptions::default())
            .ok()
            .map(TextPattern::Regex),
    );
    if let Ok(place) = NumberPlace::parse("took {} ms") {
        let bounds = (Bound::Excluded(5.0), Bound::Included(100.0));
        all.push(TextPattern::Number(NumberPattern::new(place, bounds.0, bounds.1)));
    }
    all
}

/// Numbers of a kind, a wish and rows.
type Name = (usize, usize, usize);

/// The good index of a kind, with changes.
fn changed(kind: usize, wish: usize, rows: usize, changes: &[u8]) -> Vec<u8> {
    static GOOD: Mutex<Vec<(Name, Vec<u8>)>> = Mutex::new(Vec::new());
    let name = (kind, wish, rows);
    let mut made = GOOD.lock().unwrap_or_else(PoisonError::into_inner);
    let found = made.iter().find(|(made, _)| *made == name);
    let mut bytes = if let Some((_, bytes)) = found {
        bytes.clone()
    } else {
        let bytes = good(name);
        made.push((name, bytes.clone()));
        bytes
    };
    let len = bytes.len();
    for change in changes.chunks_exact(4) {
        let at = u32::from_le_bytes([change[0], change[1], change[2], 0]);
        bytes[crate::rows::index(u64::from(at)) % len] = change[3];
    }
    bytes
}

fn good((kind, wish, rows): Name) -> Vec<u8> {
    let mut strings = ByteColumn::default();
    for row in 0..150u32 {
        let id = row * 48_271 % 65_537;
        match (rows, row % 4) {
            (0, 0) => strings.push(format!("valve {id} opened at {}.{} bar", row / 9, row % 10).as_bytes()),
            (0, 1) => strings
                .push(format!("10.0.{}.{} GET /state/{id:x} took {row} ms", row % 7, row % 250).as_bytes()),
            (0, 2) => strings.push(format!("2024-05-{:02} {:02}:00 ok", 1 + row % 28, row % 24).as_bytes()),
            (0, _) => strings.push(format!("restart of unit-{}, reason={id}", row % 5).as_bytes()),
            (1, 0) => strings.push(&[]),
            (1, 1) => strings.push(&id.to_le_bytes()),
            (1, 2) => strings.push(
                "über\nzwei Zeilen\0"
                    .repeat(crate::rows::index(u64::from(row % 5)))
                    .as_bytes(),
            ),
            (1, _) => strings.push(format!("line {}", row % 12).as_bytes()),
            _ => strings
                .push(format!("C{:018x}", u64::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15)).as_bytes()),
        }
    }
    text::encode_with(TextKind::ALL[kind], &strings, Layout::ALL[wish]).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]
        #[test]
        fn any_bytes_are_answered_or_refused(
            kind in any::<u8>(), wish in any::<u8>(), rows in 0u8..4, rest in proptest::collection::vec(any::<u8>(), 0..60)
        ) {
            let mut input = vec![kind, wish, rows];
            input.extend_from_slice(&rest);
            index(&input);
        }
    }

    #[test]
    fn every_good_index_answers() {
        for kind in 0..TextKind::ALL.len() {
            for wish in 0..Layout::ALL.len() {
                for rows in 0..ROWS {
                    let section = Section::from_vec(good((kind, wish, rows)));
                    let index = text::open(TextKind::ALL[kind], section).unwrap();
                    assert_eq!(index.len(), 150);
                    ask(index.as_ref());
                }
            }
        }
    }

    #[test]
    fn indexes_that_a_fuzzer_found() {
        super::super::tests::each_seed("text", index);
    }
}
