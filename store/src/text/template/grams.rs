//! Which parts of some rows may hold a needle, by any three of its bytes: made in memory, for rows that are scanned.
//!
//! Rows are divided into [`PARTS`] parts. A table has for each three bytes, hashed and without case, a bit for each part
//! that holds them; a needle is only where all of its three bytes are. Eight bytes of table stand for 64 of the rows.

use std::ops::Range;

use crate::batch::ByteColumn;

/// Parts of the rows, one a bit.
const PARTS: usize = 64;
/// Bytes of rows up to which a scan is as quick as a look into a table.
const LEAST_BYTES: usize = 16 << 10;
/// Most entries of a table.
const MAX_ENTRIES: usize = 1 << 14;

/// The parts that hold each three bytes.
#[derive(Debug, Default)]
pub struct Grams {
    /// As many as a power of two, or none.
    table: Vec<u64>,
}

fn hash(three: &[u8]) -> usize {
    let number = three.iter().fold(0u32, |number, byte| {
        number << 8 | u32::from(byte.to_ascii_lowercase())
    });
    (number.wrapping_mul(0x9e37_79b1) >> 16) as usize
}

impl Grams {
    /// What rows hold.
    pub fn new(rows: &ByteColumn) -> Grams {
        let bytes = rows.bytes().len();
        if bytes < LEAST_BYTES {
            return Grams::default();
        }
        let mut table = vec![0; (bytes / 64).next_power_of_two().min(MAX_ENTRIES)];
        let mask = table.len() - 1;
        for part in 0..PARTS {
            for row in Self::rows(part..part + 1, rows.len()) {
                for three in rows.get(row).windows(3) {
                    table[hash(three) & mask] |= 1 << part;
                }
            }
        }
        Grams { table }
    }

    /// The rows of consecutive parts, of `count` rows together.
    fn rows(parts: Range<usize>, count: usize) -> Range<usize> {
        let border = |part: usize| (part as u64 * count as u64 / PARTS as u64) as usize;
        border(parts.start)..border(parts.end)
    }

    /// Stretches of `count` rows outside of which no row holds `needle`, whatever its case.
    pub fn stretches(&self, needle: &[u8], count: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let mut parts = u64::MAX;
        if let Some(mask) = self.table.len().checked_sub(1) {
            for three in needle.windows(3) {
                parts &= self.table.get(hash(three) & mask).copied().unwrap_or(0);
            }
        }
        let mut next = 0;
        std::iter::from_fn(move || {
            let left = parts.checked_shr(next)?;
            if left == 0 {
                return None;
            }
            let start = next + left.trailing_zeros();
            let length = (parts >> start).trailing_ones();
            next = start + length;
            Some(Self::rows(start as usize..(start + length) as usize, count))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_row_is_missed() {
        let mut rows = ByteColumn::default();
        for row in 0..3000u64 {
            let word = row.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
            rows.push(format!("row {row} Says {word:x}").as_bytes());
        }
        let grams = Grams::new(&rows);
        let stretches =
            |needle: &str| -> Vec<Range<usize>> { grams.stretches(needle.as_bytes(), rows.len()).collect() };
        for row in (0..3000).step_by(37) {
            let text = String::from_utf8_lossy(rows.get(row)).into_owned();
            for needle in [
                &text[..],
                &text[4..],
                &text[text.len() - 4..],
                "says",
                "SAYS",
                "a",
                "",
            ] {
                assert!(stretches(needle).iter().any(|stretch| stretch.contains(&row)));
            }
        }
        assert_eq!(stretches(""), vec![0..3000]);
        assert!(stretches("not there").is_empty());
    }
}
