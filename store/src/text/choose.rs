//! Which index a text column gets: by what its stream wishes, and by what each would take on a sample of its rows.
//!
//! A column of truly few distinct strings is a dictionary, and one of few bytes is a dictionary or an fm; neither is
//! weighed further. Else the index with the fewest *weighed* bytes wins. A weight is the bytes of templates that
//! one byte of the index is worth, for what it answers sooner:
//!
//! | wish | dictionary | fm | template | cold | small |
//! |---|---|---|---|---|---|
//! | `rank`, `rank:both` | 0.7 | 0.6 | 1 | | |
//! | `rank:smaller` | 0.85 | 1 | 1 | | |
//! | `scan` | 0.8 | 1 | 1 | | |
//! | `small`, `small:128` | 0.85 | 1 | 1 | 1.1 | 1.6 |
//! | `small:512` | 0.85 | 1 | 1 | 1.1 | 1.1 |
//!
//! Under `rank:both` a text that is no dictionary gets both an fm and templates. Under `fm`, `fm:32`, `fm:count` and `fm:least`
//! all texts but those of truly few distinct strings are an fm with those parts; a dictionary of few answers all that an
//! fm does, sooner.
//!
//! Equality and order are one interval of a dictionary's codes. Counts of substrings are quickest in fm whatever the
//! text is; rows are quickest read from templates. Cold text reads single rows but is unpacked before it answers; packed templates
//! (`small`) are unpacked for every question, which takes ten times as long.

use std::collections::HashMap;

use super::small::BLOCK_BYTES;
use super::template::memory;
use super::{TextKind, dictionary, encode_with};
use crate::batch::ByteColumn;
use crate::codes::{
    self,
    choose::{Dial, Layout, MiniBlock},
};
use crate::error::Result;

/// Rows looked at to tell how many are distinct.
const LOOKED_AT: usize = 4096;
/// Rows for each distinct one from which a column is a dictionary without a further look.
const FEW: usize = 64;
/// Bytes of rows that indexes are made of to compare them.
const SAMPLE_BYTES: usize = 256 << 10;
/// Stretches of consecutive rows that the sample is made of.
const STRETCHES: usize = 4;
/// Bytes from which indexes are compared; an fm of fewer is mostly tables.
const LEAST_BYTES: usize = 4 << 10;
/// Blocks of an fm in a block of cold text or packed templates.
const BLOCKS: u64 = 2;
/// Blocks of an fm that take as much memory as making one of them.
const FM_MEMORY: u64 = 12;
/// Bytes of memory for each byte of text that making templates never takes more than.
const TEMPLATE_MEMORY: u64 = 8;

/// What an index would take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The index.
    pub kind: TextKind,
    /// Its bytes for each byte of the rows of the sample.
    pub share: f64,
}

/// Why an index was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// So few strings are distinct that nothing else was weighed.
    FewDistinct,
    /// So few bytes that the tables of other indexes would outweigh them.
    FewBytes,
    /// It takes the fewest bytes of those that were weighed.
    FewestBytes,
    /// It takes more bytes than another one, and answers sooner.
    Questions,
    /// The layout wish asks for it.
    Wish,
}

impl Reason {
    /// The reason in a few words, as `silt stat --explain` prints it.
    pub fn text(self) -> &'static str {
        match self {
            Reason::FewDistinct => "few distinct strings",
            Reason::FewBytes => "few bytes",
            Reason::FewestBytes => "fewest bytes",
            Reason::Questions => "answers sooner, at more bytes",
            Reason::Wish => "wished for",
        }
    }
}

/// An index, and why it was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// The index.
    pub kind: TextKind,
    /// Why.
    pub reason: Reason,
}

/// The index for `strings` under a wish, where an fm would have blocks of `block_bytes` (16 MiB if `None`).
///
/// Making an fm takes twelve times a block's memory; templates of all rows may take up to eight times theirs. So where blocks
/// are held small for the sake of memory, columns of more tokens than fit become no templates, or cold or packed ones,
/// which come in blocks ([`packed_block`]).
///
/// # Complexity
/// Indexes of 256 KiB of rows are made, so at most about 0.1 s; and where every other row at least occurred before, all rows
/// are hashed.
///
/// # Errors
/// See [`super::encode`].
pub fn choose(strings: &ByteColumn, wish: Layout, block_bytes: Option<u64>) -> Result<Choice> {
    let because = |kind, reason| Ok(Choice { kind, reason });
    let (looked_at, distinct) = distinct_of_some(strings);
    if distinct * FEW <= looked_at {
        return because(TextKind::Dictionary, Reason::FewDistinct);
    }
    if matches!(wish, Layout::Fm(_)) {
        return because(TextKind::Fm, Reason::Wish);
    }
    let bytes = strings.bytes().len();
    let repeats = distinct * 2 <= looked_at;
    if bytes < LEAST_BYTES {
        let kind = if distinct * 4 <= looked_at {
            TextKind::Dictionary
        } else {
            TextKind::Fm
        };
        return because(kind, Reason::FewBytes);
    }
    let much = block_bytes.is_some_and(|block| {
        let memory = block.saturating_mul(FM_MEMORY);
        bytes as u64 * TEMPLATE_MEMORY > memory && memory::needed(strings) > memory
    });
    let sample = sample(strings);
    let mut weighed = Vec::new();
    for kind in TextKind::ALL {
        let size = match kind {
            TextKind::Dictionary if !repeats => continue,
            TextKind::Dictionary => dictionary_bytes(strings, &sample, wish),
            TextKind::Template if much => continue,
            TextKind::Both => continue,
            TextKind::Small | TextKind::Cold if !matches!(wish, Layout::Small(_)) => continue,
            _ => encode_with(kind, &sample, wish)?.len() as f64,
        };
        weighed.push((kind, size));
    }
    let least = |weight: &dyn Fn(TextKind) -> f64| {
        let mut all = weighed.iter().map(|(kind, size)| (*kind, size * weight(*kind)));
        let first = all.next().unwrap_or((TextKind::Fm, 0.0));
        all.fold(first, |best, next| if next.1 < best.1 { next } else { best })
            .0
    };
    let kind = least(&|kind| weight(kind, wish));
    if wish == Layout::Rank(Dial::Both) && !much && kind != TextKind::Dictionary {
        return because(TextKind::Both, Reason::Wish);
    }
    if kind == least(&|_| 1.0) {
        return because(kind, Reason::FewestBytes);
    }
    because(kind, Reason::Questions)
}

/// Bytes of rows in a block of cold text or packed templates, where an fm would have blocks of `block_bytes`.
pub fn packed_block(block_bytes: Option<u64>) -> u64 {
    let wished = block_bytes.map_or(BLOCK_BYTES, |bytes| bytes.saturating_mul(BLOCKS));
    wished.min(BLOCK_BYTES)
}

/// Bytes of templates that a byte of an index is worth.
fn weight(kind: TextKind, wish: Layout) -> f64 {
    match (kind, wish) {
        (TextKind::Dictionary, Layout::Rank(Dial::Smaller)) => 0.85,
        (TextKind::Dictionary, Layout::Rank(_)) => 0.7,
        (TextKind::Dictionary, Layout::Scan) => 0.8,
        (TextKind::Dictionary, Layout::Small(_)) => 0.85,
        (TextKind::Fm, Layout::Rank(Dial::Fast | Dial::Both)) => 0.6,
        (TextKind::Cold, _) => 1.1,
        (TextKind::Small, Layout::Small(MiniBlock::Rows512)) => 1.1,
        (TextKind::Small, _) => 1.6,
        _ => 1.0,
    }
}

/// What each index would take, on a sample of `strings`.
///
/// # Errors
/// See [`super::encode`].
pub fn estimates(strings: &ByteColumn, wish: Layout) -> Result<Vec<Estimate>> {
    let sample = sample(strings);
    let bytes = sample.bytes().len().max(1) as f64;
    let mut out = Vec::new();
    for kind in TextKind::ALL {
        out.push(Estimate {
            kind,
            share: encode_with(kind, &sample, wish)?.len() as f64 / bytes,
        });
    }
    Ok(out)
}

/// Some rows, and how many of them are distinct.
fn distinct_of_some(strings: &ByteColumn) -> (usize, usize) {
    let step = strings.len().div_ceil(LOOKED_AT).max(1);
    let rows = (0..strings.len()).step_by(step);
    let distinct: std::collections::HashSet<&[u8]> = rows.clone().map(|row| strings.get(row)).collect();
    (rows.len(), distinct.len())
}

/// What a dictionary of all strings takes for the rows of the sample: their codes, and their share of the entries.
///
/// Strings of a sample say little of how many distinct ones there are in all, so the entries are those of all rows.
fn dictionary_bytes(strings: &ByteColumn, sample: &ByteColumn, wish: Layout) -> f64 {
    let mut codes_of: HashMap<&[u8], u64> = HashMap::new();
    for row in 0..strings.len() {
        codes_of.entry(strings.get(row)).or_default();
    }
    let mut sorted: Vec<&[u8]> = codes_of.keys().copied().collect();
    sorted.sort_unstable();
    for (code, string) in (0u64..).zip(&sorted) {
        codes_of.insert(string, code);
    }
    let entries = dictionary::entries_bytes(&sorted) as f64;
    let share = sample.len() as f64 / strings.len().max(1) as f64;
    let codes: Vec<u64> = (0..sample.len())
        // A row of the sample that was cut counts as a string of its own.
        .map(|row| {
            codes_of
                .get(sample.get(row))
                .copied()
                .unwrap_or(sorted.len() as u64)
        })
        .collect();
    entries * share + codes::choose::encode(&codes, wish).1.len() as f64
}

/// Some stretches of rows, or all rows if they are few bytes.
fn sample(strings: &ByteColumn) -> ByteColumn {
    let bytes = strings.bytes().len();
    if bytes <= SAMPLE_BYTES {
        return strings.clone();
    }
    let mut sample = ByteColumn::default();
    for stretch in 0..STRETCHES {
        let mut row = strings.len() / STRETCHES * stretch;
        let mut left = SAMPLE_BYTES / STRETCHES;
        while row < strings.len() && left > 0 {
            let string = strings.get(row);
            // A row of megabytes tells nothing that its front does not.
            let string = string.get(..left).unwrap_or(string);
            sample.push(string);
            left -= string.len().clamp(1, left);
            row += 1;
        }
    }
    sample
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
mod tests {
    use super::*;
    use crate::codes::choose::FmParts;

    fn of(rows: impl Iterator<Item = String>) -> ByteColumn {
        let mut column = ByteColumn::default();
        rows.for_each(|row| column.push(row.as_bytes()));
        column
    }

    #[test]
    fn rows_decide() {
        let mut state = 1u64;
        let mut noise = |end: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % end
        };
        let few = of((0..9_000).map(|row| format!("state {}", row % 5)));
        let lines = of((0..9_000).map(|row| {
            format!(
                "session {} of user{} opened from 10.0.{}.{} in {} ms",
                1000 + row,
                noise(9),
                noise(7),
                noise(250),
                noise(900)
            )
        }));
        let words = [
            "sun", "rain", "and", "wind", "over", "the", "hills", "was", "seen", "from", "here", "today",
        ];
        let prose = of((0..3_000).map(|_| {
            let count = 3 + noise(40);
            (0..count)
                .map(|_| words[noise(12) as usize])
                .collect::<Vec<_>>()
                .join(" ")
        }));
        let small = Layout::Small(MiniBlock::default());
        let rank = Layout::default();
        let of = |strings: &ByteColumn, wish, block| {
            let choice = choose(strings, wish, block).unwrap();
            (choice.kind, choice.reason)
        };
        assert_eq!(of(&few, rank, None), (TextKind::Dictionary, Reason::FewDistinct));
        assert_eq!(of(&lines, rank, None), (TextKind::Template, Reason::FewestBytes));
        assert_eq!(of(&lines, Layout::Scan, None).0, TextKind::Template);
        assert_eq!(of(&lines, small, None), (TextKind::Cold, Reason::FewestBytes));
        assert_eq!(of(&prose, rank, None), (TextKind::Fm, Reason::Questions));
        let smaller = Layout::Rank(Dial::Smaller);
        assert_eq!(of(&prose, smaller, None).1, Reason::FewestBytes);
        let counts = Layout::Fm(FmParts::Counts);
        assert_eq!(of(&lines, counts, None), (TextKind::Fm, Reason::Wish));
        assert_eq!(
            of(&few, counts, None),
            (TextKind::Dictionary, Reason::FewDistinct)
        );
        let none = ByteColumn::default();
        assert_eq!(of(&none, small, None).0, TextKind::Dictionary);
        assert_eq!(of(&lines, Layout::Scan, Some(64 << 10)).0, TextKind::Fm);
        assert_eq!(of(&lines, small, Some(64 << 10)).0, TextKind::Cold);
        let estimates = estimates(&lines, small).unwrap();
        assert_eq!(estimates.len(), TextKind::ALL.len());
        assert!(estimates[2].share * 2.0 < estimates[1].share, "{estimates:?}");
    }

    /// Messages of which most are said again and again, and a few count up: a dictionary would repeat what templates say
    /// once.
    #[test]
    fn repeated_messages_with_numbers_are_templates() {
        let lines = of((0..20_000).map(|row| match row % 8 {
            0 => format!("burst {} stored, drive end and fan end", row / 8),
            1 => format!("load order, now {:.1} %", f64::from(row * 7919 % 900) / 10.0),
            2 => "shift begins, all is well".to_owned(),
            _ => format!(
                "controller cycle {:.1} ms, bus ok",
                11.8 + f64::from(row * 31 % 9) / 10.0
            ),
        }));
        for wish in Layout::ALL {
            let wanted = match wish {
                Layout::Small(MiniBlock::Rows512) => TextKind::Small,
                Layout::Small(_) => TextKind::Cold,
                Layout::Rank(Dial::Both) => TextKind::Both,
                Layout::Fm(_) => TextKind::Fm,
                _ => TextKind::Template,
            };
            assert_eq!(choose(&lines, wish, None).unwrap().kind, wanted, "{wish}");
        }
    }

    /// Many sentences, none of which follows from another, said at random: nothing is better than naming them.
    #[test]
    fn names_said_at_random_are_a_dictionary() {
        let mut state = 1u64;
        let names = of((0..30_000).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            format!("{:x}", (state >> 56).wrapping_mul(0x2545_f491_4f6c_dd1d))
        }));
        for wish in Layout::OF_CODES {
            assert_eq!(
                choose(&names, wish, None).unwrap().kind,
                TextKind::Dictionary,
                "{wish}"
            );
        }
    }
}
