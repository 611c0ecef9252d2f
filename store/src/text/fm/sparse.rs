//! Sorted positions far apart, and numbers attached to them: Elias-Fano with a directory that makes rank one look-up.
//!
//! ```text
//! u32 count, u32 low bits l
//! directory   u32 per 32 buckets of 2^l positions, and one that ends it: positions before
//! upper       per bucket a one for each of its positions, then a zero; padding
//! lower       the low l bits of each position; padding
//! ```

use super::packed::{BitWriter, PADDING, load, packed, read_gamma, window};

/// Buckets under one directory entry.
const GROUP: u64 = 32;
/// Numbers under one directory entry of [`Sums`].
const SUM_GROUP: usize = 32;

/// Encodes positions (sorted, distinct, below `universe`).
pub fn encode(positions: &[u32], universe: u64) -> Vec<u8> {
    let count = positions.len() as u64;
    let gap = universe.checked_div(count).map_or(1 << 31, |gap| gap.max(1));
    let low_bits = gap.ilog2().min(31);
    let buckets = (universe >> low_bits) + 1;
    let mut directory = Vec::new();
    let (mut upper, mut lower) = (BitWriter::default(), BitWriter::default());
    let mut next = 0;
    for bucket in 0..buckets {
        if bucket % GROUP == 0 {
            directory.extend_from_slice(&(next as u32).to_le_bytes());
        }
        while let Some(&position) = positions
            .get(next)
            .filter(|&&p| u64::from(p) >> low_bits == bucket)
        {
            upper.push(1, 1);
            lower.push(u64::from(position) & !(u64::MAX << low_bits), low_bits);
            next += 1;
        }
        upper.push(0, 1);
    }
    debug_assert_eq!(
        next,
        positions.len(),
        "positions are sorted and below the universe"
    );
    directory.extend_from_slice(&(next as u32).to_le_bytes());
    let mut out = Vec::new();
    out.extend_from_slice(&(count as u32).to_le_bytes());
    out.extend_from_slice(&low_bits.to_le_bytes());
    out.extend_from_slice(&directory);
    out.extend_from_slice(&upper.into_padded());
    out.extend_from_slice(&lower.into_padded());
    out
}

/// Read side over borrowed bytes. `None` means that the bytes make no sense.
#[derive(Debug, Clone, Copy)]
pub struct Sparse<'a> {
    directory: &'a [u8],
    upper: &'a [u8],
    lower: &'a [u8],
    low_bits: u32,
    universe: u64,
}

impl<'a> Sparse<'a> {
    /// Opens `bytes`, and gives what follows them.
    pub fn open(bytes: &'a [u8], universe: u64) -> Option<(Self, &'a [u8])> {
        let head = load(bytes, 0)?;
        let (count, low_bits) = (head & 0xffff_ffff, (head >> 32) as u32);
        if low_bits > 31 {
            return None;
        }
        let buckets = (universe >> low_bits) + 1;
        let directory_bytes = (buckets.div_ceil(GROUP) + 1) * 4;
        let upper_bytes = (buckets + count).div_ceil(8) + PADDING as u64;
        let lower_bytes = (count * u64::from(low_bits)).div_ceil(8) + PADDING as u64;
        let mut rest = bytes.get(8..)?;
        let mut take = |length: u64| {
            let (part, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            rest = after;
            Some(part)
        };
        let (directory, upper, lower) = (take(directory_bytes)?, take(upper_bytes)?, take(lower_bytes)?);
        Some((
            Sparse {
                directory,
                upper,
                lower,
                low_bits,
                universe,
            },
            rest,
        ))
    }

    /// Number of positions below `position`, and whether it is one itself.
    #[inline]
    pub fn rank(&self, position: u64) -> Option<(u64, bool)> {
        let position = position.min(self.universe);
        let bucket = position >> self.low_bits;
        let group = (bucket / GROUP) as usize;
        let before = u32::from_le_bytes(self.directory.get(group * 4..group * 4 + 4)?.try_into().ok()?);
        let mut index = u64::from(before);
        let mut at = index + group as u64 * GROUP;
        let mut skip = bucket % GROUP;
        while skip > 0 {
            let zeros = !window(self.upper, at)? & !(u64::MAX << 56);
            let count = u64::from(zeros.count_ones());
            if count < skip {
                skip -= count;
                index += 56 - count;
                at += 56;
                continue;
            }
            let mut rest = zeros;
            for _ in 1..skip {
                rest &= rest - 1;
            }
            let place = u64::from(rest.trailing_zeros());
            index += place + 1 - skip;
            at += place + 1;
            skip = 0;
        }
        let low = position & !(u64::MAX << self.low_bits);
        while window(self.upper, at)? & 1 == 1 {
            let other = packed(self.lower, index, self.low_bits)?;
            if other >= low {
                return Some((index, other == low));
            }
            index += 1;
            at += 1;
        }
        Some((index, false))
    }
}

/// Encodes numbers (1 to 2^29 - 1) for sums over the first of them: u32 sum and u32 bit offset per 32 numbers and at
/// the end, then gamma codes and padding.
pub fn encode_sums(numbers: &[u32]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut codes = BitWriter::default();
    let mut sum = 0u32;
    for group in numbers.chunks(SUM_GROUP) {
        out.extend_from_slice(&sum.to_le_bytes());
        out.extend_from_slice(&(codes.len() as u32).to_le_bytes());
        for &number in group {
            codes.gamma(u64::from(number));
            sum += number;
        }
    }
    out.extend_from_slice(&sum.to_le_bytes());
    out.extend_from_slice(&(codes.len() as u32).to_le_bytes());
    out.extend_from_slice(&codes.into_padded());
    out
}

/// Sums over the first numbers of [`encode_sums`].
#[derive(Debug, Clone, Copy)]
pub struct Sums<'a> {
    directory: &'a [u8],
    codes: &'a [u8],
}

impl<'a> Sums<'a> {
    /// Opens the sums of `count` numbers.
    pub fn open(bytes: &'a [u8], count: u64) -> Option<Self> {
        let directory_bytes = usize::try_from((count.div_ceil(SUM_GROUP as u64) + 1) * 8).ok()?;
        let (directory, codes) = bytes.split_at_checked(directory_bytes)?;
        Some(Sums { directory, codes })
    }

    /// Sum of the first `count` numbers.
    #[inline]
    pub fn first(&self, count: u64) -> Option<u64> {
        let entry = load(self.directory, (count as usize / SUM_GROUP) * 8)?;
        let (mut sum, mut at) = (entry & 0xffff_ffff, entry >> 32);
        for _ in 0..count as usize % SUM_GROUP {
            let (number, bits) = read_gamma(window(self.codes, at)?)?;
            sum += number;
            at += bits;
        }
        Some(sum)
    }
}

impl Sparse<'_> {
    /// Calls `visit` with the positions from number `index` on, as long as they are below `end`; `start` is not above the
    /// first of them.
    ///
    /// # Complexity
    /// Linear in the buckets between `start` and `end`, so it is for short ranges.
    #[inline]
    pub fn visit(
        &self,
        mut index: u64,
        start: u64,
        end: u64,
        mut visit: impl FnMut(u64) -> Option<()>,
    ) -> Option<()> {
        // Each position before is a one, and each bucket before a zero; ones of this bucket may be before `index`.
        let (count, mut bucket) = (self.count()?, start >> self.low_bits);
        let mut at = index + bucket;
        while index < count {
            let zeros = u64::from(window(self.upper, at)?.trailing_zeros()).min(56);
            bucket += zeros;
            at += zeros;
            if zeros == 56 {
                continue;
            }
            let position = bucket << self.low_bits | packed(self.lower, index, self.low_bits)?;
            if position >= end {
                break;
            }
            visit(position)?;
            index += 1;
            at += 1;
        }
        Some(())
    }

    /// All positions, each as a bit of a vector.
    ///
    /// # Complexity
    /// Linear in buckets and positions.
    pub fn decode(&self) -> Option<Vec<u64>> {
        let mut words = vec![0u64; usize::try_from(self.universe.div_ceil(64)).ok()?];
        self.visit(0, 0, self.universe, |position| {
            *words.get_mut(usize::try_from(position / 64).ok()?)? |= 1 << (position % 64);
            Some(())
        })?;
        Some(words)
    }

    /// Number of positions.
    pub fn count(&self) -> Option<u64> {
        let at = self.directory.len().checked_sub(4)?;
        Some(u64::from(u32::from_le_bytes(
            self.directory.get(at..)?.try_into().ok()?,
        )))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn rank_equals_counting(set in proptest::collection::btree_set(0u32..5_000, 0..300), extra in 1u64..3_000) {
            let positions: Vec<u32> = set.into_iter().collect();
            let universe = positions.last().map_or(0, |&p| u64::from(p)) + extra;
            let bytes = encode(&positions, universe);
            let (sparse, rest) = Sparse::open(&bytes, universe).unwrap();
            prop_assert!(rest.is_empty());
            prop_assert_eq!(sparse.count(), Some(positions.len() as u64));
            let words = sparse.decode().unwrap();
            for p in 0..universe {
                prop_assert_eq!(words[(p / 64) as usize] >> (p % 64) & 1 == 1, positions.binary_search(&(p as u32)).is_ok());
            }
            for start in 0..positions.len() {
                let mut found = Vec::new();
                let (from, end) = (u64::from(positions[start]) - start as u64 % 2, u64::from(positions[start]) + extra);
                let index = positions.partition_point(|&x| u64::from(x) < from) as u64;
                sparse.visit(index, from, end, |position| { found.push(position as u32); Some(()) }).unwrap();
                let wanted: Vec<u32> = positions.iter().copied().filter(|&x| (from..end).contains(&u64::from(x))).collect();
                prop_assert_eq!(found, wanted);
            }
            for p in 0..=universe {
                let below = positions.partition_point(|&x| u64::from(x) < p);
                let here = positions.get(below).is_some_and(|&x| u64::from(x) == p);
                prop_assert_eq!(sparse.rank(p), Some((below as u64, here)), "at {}", p);
            }
        }

        #[test]
        fn sums_equal_adding(numbers in proptest::collection::vec(prop_oneof![1u32..5, 1u32..100_000], 0..200)) {
            let bytes = encode_sums(&numbers);
            let sums = Sums::open(&bytes, numbers.len() as u64).unwrap();
            let mut sum = 0;
            for (i, &n) in numbers.iter().enumerate() {
                prop_assert_eq!(sums.first(i as u64), Some(sum));
                sum += u64::from(n);
            }
            prop_assert_eq!(sums.first(numbers.len() as u64), Some(sum));
        }
    }
}
