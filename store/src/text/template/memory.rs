//! What making templates of rows takes in memory, before it is done.

use super::tokens::{MAX_ROW_BYTES, hash, parts};
use crate::batch::ByteColumn;

/// Bytes for each token: its number, its code in a column, and its value in a plan.
const TOKEN_BYTES: u64 = 20;
/// Bytes for each distinct token beside its own: where it is, its hash, its rank and what is counted of it.
const WORD_BYTES: u64 = 64;
/// Bits of the set that distinct tokens are counted with, as a power of two.
const SET_BITS: u32 = 20;

/// Bytes that [`super::encode`] takes beside the rows, about.
///
/// # Complexity
/// O(bytes), in 128 KiB. Distinct tokens are counted by the bits that their hashes leave zero (linear counting: Whang,
/// Vander-Zanden and Taylor, TODS 1990); beyond five million they count as that many.
pub fn needed(strings: &ByteColumn) -> u64 {
    let mut seen = vec![0u64; 1 << (SET_BITS - 6)];
    let (mut tokens, mut bytes) = (0u64, 0u64);
    for row in (0..strings.len()).map(|row| strings.get(row)) {
        if row.len() > MAX_ROW_BYTES {
            continue;
        }
        for token in parts(row).step_by(2) {
            tokens += 1;
            bytes += token.len() as u64;
            // Always the same seed, so that the same rows get the same index.
            let bit = hash(token, 0) >> (u32::BITS - SET_BITS);
            seen[bit as usize / 64] |= 1 << (bit % 64);
        }
    }
    let all = f64::from(1u32 << SET_BITS);
    let zeros: u32 = seen.iter().map(|word| word.count_zeros()).sum();
    let distinct = (all * (all / f64::from(zeros.max(1))).ln()) as u64;
    let length = bytes.checked_div(tokens).unwrap_or(0);
    tokens * TOKEN_BYTES + distinct.min(tokens) * (WORD_BYTES + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinct_tokens_are_counted() {
        let column = |distinct: u64| {
            let mut column = ByteColumn::default();
            (0..20_000u64).for_each(|row| column.push(format!("user {}", row % distinct).as_bytes()));
            column
        };
        let words = |distinct: u64| (needed(&column(distinct)) - 40_000 * TOKEN_BYTES) / (WORD_BYTES + 4);
        for distinct in [1, 500, 20_000] {
            let off = words(distinct).abs_diff(distinct + 1);
            assert!(off * 30 <= distinct + 30, "{off} of {distinct}");
        }
        let mut long = ByteColumn::default();
        long.push(&b"a ".repeat(MAX_ROW_BYTES));
        assert_eq!(needed(&long), 0);
    }
}
