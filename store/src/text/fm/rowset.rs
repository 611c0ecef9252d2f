//! A set of rows of one block: a bit a row, and how many there are.

use std::ops::Range;

/// A set of rows of a block.
#[derive(Debug)]
pub struct RowSet {
    words: Vec<u64>,
    rows: u64,
    len: u64,
}

impl RowSet {
    /// No row of a block of `rows`.
    pub fn new(rows: u64) -> Self {
        RowSet {
            words: vec![0; rows.div_ceil(64) as usize],
            rows,
            len: 0,
        }
    }

    /// All rows of a block of `rows`.
    pub fn full(rows: u64) -> Self {
        let mut words = vec![u64::MAX; rows.div_ceil(64) as usize];
        if let Some(last) = words.last_mut().filter(|_| rows % 64 > 0) {
            *last = !(u64::MAX << (rows % 64));
        }
        RowSet {
            words,
            rows,
            len: rows,
        }
    }

    /// Adds a row; `None` if the block has no such row.
    #[inline]
    pub fn insert(&mut self, row: u64) -> Option<()> {
        if row >= self.rows {
            return None;
        }
        let word = self.words.get_mut((row / 64) as usize)?;
        let bit = 1 << (row % 64);
        self.len += u64::from(*word & bit == 0);
        *word |= bit;
        Some(())
    }

    /// Adds the rows of another set of rows of this block.
    pub fn add_all(&mut self, other: &RowSet) {
        self.len = 0;
        for (word, more) in self.words.iter_mut().zip(&other.words) {
            *word |= more;
            self.len += u64::from(word.count_ones());
        }
    }

    /// Leaves the rows that are in another set of rows of this block too.
    pub fn keep_common(&mut self, other: &RowSet) {
        self.len = 0;
        for (word, more) in self.words.iter_mut().zip(&other.words) {
            *word &= more;
            self.len += u64::from(word.count_ones());
        }
    }

    /// Number of rows in the set.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether `row` is in the set.
    pub fn contains(&self, row: u64) -> bool {
        let word = self.words.get((row / 64) as usize).copied().unwrap_or(0);
        word >> (row % 64) & 1 == 1
    }

    /// Rows of `range` that are in the set.
    pub fn count(&self, range: &Range<u64>) -> u64 {
        self.pieces(range)
            .map(|(_, word)| u64::from(word.count_ones()))
            .sum()
    }

    /// Rows of `range` that are in the set, in order.
    pub fn iter<'s>(&'s self, range: &Range<u64>) -> impl Iterator<Item = u64> + use<'s> {
        self.pieces(range).flat_map(|(base, mut word)| {
            std::iter::from_fn(move || {
                let bit = u64::from(word.trailing_zeros());
                word &= word.wrapping_sub(1);
                (bit < 64).then_some(base + bit)
            })
        })
    }

    /// Words of the set with the rows of `range` only, and the first row of each.
    fn pieces<'s>(&'s self, range: &Range<u64>) -> impl Iterator<Item = (u64, u64)> + use<'s> {
        let (start, end) = (range.start, range.end.min(self.rows).max(range.start));
        (start / 64..end.div_ceil(64)).map(move |index| {
            let base = index * 64;
            let mut word = self.words.get(index as usize).copied().unwrap_or(0);
            if base < start {
                word &= u64::MAX << (start - base);
            }
            if end < base + 64 {
                word &= !(u64::MAX << (end - base));
            }
            (base, word)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn is_a_set(rows in proptest::collection::btree_set(0u64..300, 0..90), cut in (0u64..310, 0u64..310)) {
            let mut set = RowSet::new(300);
            for &row in rows.iter().chain(&rows) {
                prop_assert_eq!(set.insert(row), Some(()));
            }
            prop_assert_eq!(set.insert(300), None);
            prop_assert_eq!(set.len(), rows.len() as u64);
            let range = cut.0.min(cut.1)..cut.0.max(cut.1);
            let wanted: Vec<u64> = rows.range(range.clone()).copied().collect();
            prop_assert_eq!(set.count(&range), wanted.len() as u64);
            prop_assert_eq!(set.iter(&range).collect::<Vec<u64>>(), wanted);
            let mut some = RowSet::new(300);
            rows.range(range.clone()).for_each(|&row| some.insert(row).unwrap_or_default());
            let mut both = RowSet::full(300);
            both.keep_common(&some);
            prop_assert_eq!(both.len(), some.len());
            both.add_all(&set);
            prop_assert_eq!(both.iter(&(0..300)).collect::<Vec<u64>>(), set.iter(&(0..300)).collect::<Vec<u64>>());
            prop_assert_eq!(both.len(), set.len());
            prop_assert_eq!(RowSet::full(300).iter(&(0..999)).count(), 300);
            prop_assert!((0..320).all(|row| set.contains(row) == rows.contains(&row)));
        }
    }
}
