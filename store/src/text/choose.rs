//! Which index a text column gets: by what its stream wishes, and by what each would take on a sample of its rows.
//!
//! | rows | wish | index |
//! |---|---|---|
//! | few of them distinct | any | dictionary |
//! | lines of a log | `rank` | template where it takes half of fm, else fm |
//! | | `scan`, `small` | template where it takes no more than fm, else fm |
//!
//! Counts of substrings are quickest in fm whatever the text is; rows are quickest read from templates.

use std::collections::HashSet;

use super::{TextKind, encode_with};
use crate::batch::ByteColumn;
use crate::codes::choose::Layout;
use crate::error::Result;

/// Rows looked at to tell how many are distinct.
const LOOKED_AT: usize = 4096;
/// Bytes of rows that indexes are made of to compare them.
const SAMPLE_BYTES: usize = 256 << 10;
/// Stretches of consecutive rows that the sample is made of.
const STRETCHES: usize = 4;
/// Bytes from which indexes are compared; an fm of fewer is mostly tables.
const LEAST_BYTES: usize = 4 << 10;

/// Blocks of an fm that take as much memory to make as templates of as many rows.
const BLOCKS: u64 = 2;

/// What an index would take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The index.
    pub kind: TextKind,
    /// Its bytes for each byte of the rows of the sample.
    pub share: f64,
}

/// The index for `strings` under a wish, where an fm would have blocks of `block_bytes` (16 MiB if `None`).
///
/// Making templates takes up to eight times the memory of all rows, an fm twenty times a block's; so where blocks are
/// held small for the sake of memory, longer columns are no templates.
///
/// # Complexity
/// Indexes of 256 KiB of rows are made, so at most about 0.1 s.
///
/// # Errors
/// See [`super::encode`].
pub fn choose(strings: &ByteColumn, wish: Layout, block_bytes: Option<u64>) -> Result<TextKind> {
    if is_repetitive(strings) {
        return Ok(TextKind::Dictionary);
    }
    let bytes = strings.bytes().len();
    let much = block_bytes.is_some_and(|block| bytes as u64 > block.saturating_mul(BLOCKS));
    if much || bytes < LEAST_BYTES {
        return Ok(TextKind::Fm);
    }
    let sample = sample(strings);
    let size = |kind| -> Result<usize> { Ok(encode_with(kind, &sample, wish)?.len()) };
    let template = size(TextKind::Template)?;
    // An fm takes an eighth of its text at least, but for text that repeats itself again and again.
    let fm = size(TextKind::Fm)?;
    let worth = match wish {
        Layout::Rank(_) => template * 2 <= fm,
        Layout::Scan | Layout::Small(_) => template <= fm,
    };
    Ok(if worth { TextKind::Template } else { TextKind::Fm })
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

/// Whether a dictionary of the distinct strings is small beside the strings.
fn is_repetitive(strings: &ByteColumn) -> bool {
    let step = strings.len().div_ceil(LOOKED_AT).max(1);
    let sample: Vec<&[u8]> = (0..strings.len())
        .step_by(step)
        .map(|row| strings.get(row))
        .collect();
    let distinct: HashSet<&[u8]> = sample.iter().copied().collect();
    let dictionary_bytes: usize = distinct.iter().map(|value| value.len() + 8).sum();
    let all_bytes: usize = sample.iter().map(|value| value.len()).sum();
    distinct.len() * 4 <= sample.len() || dictionary_bytes * 4 <= all_bytes
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
    use crate::codes::choose::MiniBlock;

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
        assert_eq!(
            choose(&few, Layout::default(), None).unwrap(),
            TextKind::Dictionary
        );
        assert_eq!(
            choose(&lines, Layout::default(), None).unwrap(),
            TextKind::Template
        );
        assert_eq!(choose(&lines, small, None).unwrap(), TextKind::Template);
        assert_eq!(choose(&prose, Layout::default(), None).unwrap(), TextKind::Fm);
        assert_eq!(
            choose(&ByteColumn::default(), small, None).unwrap(),
            TextKind::Dictionary
        );
        assert_eq!(choose(&lines, small, Some(64 << 10)).unwrap(), TextKind::Fm);
        let estimates = estimates(&lines, small).unwrap();
        assert_eq!(estimates.len(), TextKind::ALL.len());
        assert!(estimates[2].share * 2.0 < estimates[1].share, "{estimates:?}");
    }
}
