//! Sorted lists of disjoint row ranges, and bit masks over short ranges: the two forms a set of rows takes.

use std::ops::Range;

use bitvec::prelude::{BitVec, Lsb0};

/// One bit per row of a bounded range, first row in the lowest bit of the first word.
pub type Mask = BitVec<u64, Lsb0>;

/// A position as an index into memory. Where `usize` is narrower it saturates, so that the access behind it fails its
/// bounds check.
#[inline]
pub fn index(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}

/// A sorted list of disjoint, non-empty, non-adjacent half-open row ranges.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RowRanges(Vec<Range<u64>>);

impl RowRanges {
    /// No rows.
    pub fn empty() -> Self {
        RowRanges(Vec::new())
    }

    /// The rows of one range.
    pub fn single(range: Range<u64>) -> Self {
        let mut ranges = RowRanges::empty();
        ranges.push(range);
        ranges
    }

    /// Adds a range that starts at or after the end of the last one; touching ranges are joined, empty ones ignored.
    pub fn push(&mut self, range: Range<u64>) {
        if range.start >= range.end {
            return;
        }
        match self.0.last_mut() {
            Some(last) if last.end >= range.start => {
                debug_assert!(last.start <= range.start, "row ranges are pushed in order");
                last.end = last.end.max(range.end);
            }
            _ => self.0.push(range),
        }
    }

    /// The ranges, in order.
    pub fn as_slice(&self) -> &[Range<u64>] {
        &self.0
    }

    /// Number of rows.
    pub fn row_count(&self) -> u64 {
        self.0.iter().map(|r| r.end - r.start).sum()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Rows in both.
    pub fn intersect(&self, other: &RowRanges) -> RowRanges {
        let (mut i, mut j) = (0, 0);
        let mut out = RowRanges::empty();
        while let (Some(a), Some(b)) = (self.0.get(i), other.0.get(j)) {
            out.push(a.start.max(b.start)..a.end.min(b.end));
            if a.end <= b.end {
                i += 1;
            } else {
                j += 1;
            }
        }
        out
    }

    /// Rows in either.
    pub fn union(&self, other: &RowRanges) -> RowRanges {
        RowRanges::from_any(self.0.iter().chain(&other.0).cloned().collect())
    }

    /// Rows in any of `ranges`, which may overlap and come in any order.
    pub fn from_any(mut ranges: Vec<Range<u64>>) -> RowRanges {
        ranges.sort_unstable_by_key(|r| r.start);
        let mut out = RowRanges::empty();
        for range in ranges {
            out.push(range);
        }
        out
    }

    /// Rows of this set that are not in `other`.
    pub fn subtract(&self, other: &RowRanges) -> RowRanges {
        let mut out = RowRanges::empty();
        let mut j = 0;
        for range in &self.0 {
            let mut start = range.start;
            while let Some(hole) = other.0.get(j) {
                if hole.end <= start {
                    j += 1;
                    continue;
                }
                if hole.start >= range.end {
                    break;
                }
                out.push(start..hole.start.max(start));
                start = start.max(hole.end);
                if hole.end > range.end {
                    break;
                }
                j += 1;
            }
            out.push(start..range.end);
        }
        out
    }

    /// The parts of these ranges that lie in `window`.
    pub fn clip(&self, window: Range<u64>) -> RowRanges {
        let first = self.0.partition_point(|r| r.end <= window.start);
        let mut out = RowRanges::empty();
        for range in &self.0[first..] {
            if range.start >= window.end {
                break;
            }
            out.push(range.start.max(window.start)..range.end.min(window.end));
        }
        out
    }

    /// The first `count` rows, and the rest.
    pub fn split(&self, count: u64) -> (RowRanges, RowRanges) {
        let (mut first, mut rest) = (RowRanges::empty(), RowRanges::empty());
        let mut left = count;
        for range in &self.0 {
            let middle = range.start + left.min(range.end - range.start);
            left -= middle - range.start;
            first.push(range.start..middle);
            rest.push(middle..range.end);
        }
        (first, rest)
    }
}

impl FromIterator<Range<u64>> for RowRanges {
    /// Collects ranges that come in order.
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(iter: I) -> Self {
        let mut out = RowRanges::empty();
        for range in iter {
            out.push(range);
        }
        out
    }
}

/// Appends to `out` the set bits of `mask` as row ranges, the mask's first bit being row `base`.
pub fn ranges_of_mask(mask: &Mask, base: u64, out: &mut RowRanges) {
    let words = mask.as_raw_slice();
    let len = mask.len() as u64;
    let mut run: Option<u64> = None;
    for (index, &word) in words.iter().enumerate() {
        let at = index as u64 * 64;
        if at >= len {
            break;
        }
        let bits = (len - at).min(64);
        let valid = if bits == 64 { u64::MAX } else { (1 << bits) - 1 };
        let word = word & valid;
        match (word, run) {
            (0, None) => {}
            (0, Some(start)) => {
                out.push(base + start..base + at);
                run = None;
            }
            (u64::MAX, _) => run = run.or(Some(at)),
            _ => {
                let mut position = 0u64;
                while position < bits {
                    let rest = word >> position;
                    if run.is_none() {
                        if rest == 0 {
                            break;
                        }
                        position += u64::from(rest.trailing_zeros());
                        run = Some(at + position);
                    } else {
                        position += u64::from(rest.trailing_ones());
                        if position >= bits {
                            break;
                        }
                        if let Some(start) = run.take() {
                            out.push(base + start..base + at + position);
                        }
                    }
                }
            }
        }
    }
    if let Some(start) = run {
        out.push(base + start..base + len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of_bools(bits: &[bool]) -> RowRanges {
        let mut out = RowRanges::empty();
        for (i, &bit) in bits.iter().enumerate() {
            if bit {
                out.push(i as u64..i as u64 + 1);
            }
        }
        out
    }

    proptest! {
        #[test]
        fn set_algebra_equals_bools(a in proptest::collection::vec(any::<bool>(), 0..200), b in proptest::collection::vec(any::<bool>(), 200)) {
            let b = &b[..a.len()];
            let (x, y) = (of_bools(&a), of_bools(b));
            let zip = |f: fn(bool, bool) -> bool| of_bools(&a.iter().zip(b).map(|(&p, &q)| f(p, q)).collect::<Vec<_>>());
            prop_assert_eq!(x.intersect(&y), zip(|p, q| p && q));
            prop_assert_eq!(x.union(&y), zip(|p, q| p || q));
            prop_assert_eq!(x.subtract(&y), zip(|p, q| p && !q));
            let mask: Mask = a.iter().copied().collect();
            let mut ranges = RowRanges::empty();
            ranges_of_mask(&mask, 0, &mut ranges);
            prop_assert_eq!(ranges, x.clone());
            let window = 10.min(a.len())..150.min(a.len());
            let clipped: Vec<bool> = a.iter().enumerate().map(|(i, &p)| p && window.contains(&i)).collect();
            prop_assert_eq!(x.clip(window.start as u64..window.end as u64), of_bools(&clipped));
        }
    }
}
