//! Rows of a column that meet a condition: counted, or marked in a mask.

use std::ops::{Bound, Range};

use super::{Body, Column, Condition};
use crate::codes::Interval;
use crate::domain::wrong_type;
use crate::error::{Error, Result};
use crate::rows::{Mask, RowRanges};
use crate::text;

impl Column {
    /// How many rows of `rows` meet the condition. A row without a value meets only [`Condition::IsNull`].
    ///
    /// # Errors
    /// `InvalidArgument` if the condition makes no sense for the column's type.
    pub fn count(&self, rows: &RowRanges, condition: &Condition) -> Result<u64> {
        let positions = self.positions(rows.as_slice())?;
        let valid: u64 = positions.iter().map(|r| r.end - r.start).sum();
        match condition {
            Condition::IsNull => return Ok(rows.row_count() - valid),
            Condition::IsNotNull => return Ok(valid),
            _ => self.check_condition(condition)?,
        }
        match (&self.body, condition) {
            (Body::Numeric(numeric), Condition::Keys(interval)) => numeric.count(&positions, *interval),
            (Body::Numeric(numeric), Condition::KeyIn(keys)) => {
                let mut count = 0u64;
                for interval in joined(keys) {
                    count = count.saturating_add(numeric.count(&positions, interval)?);
                }
                Ok(count)
            }
            (Body::Text(index, _), Condition::Text(pattern)) => {
                index.count(&positions, &*text::simplest(&**index, pattern)?)
            }
            (Body::Text(index, _), Condition::Between(low, high)) => {
                index.count_between(&positions, as_slices(low), as_slices(high))
            }
            (Body::Text(index, _), Condition::BytesIn(values)) => {
                let mut count = 0u64;
                for value in values {
                    let bound = Bound::Included(value.as_slice());
                    count = count.saturating_add(index.count_between(&positions, bound, bound)?);
                }
                Ok(count)
            }
            _ => Ok(0),
        }
    }

    /// Sets bit `r - rows.start` of `mask` (which comes cleared) for each row `r` of `rows` that meets the condition.
    ///
    /// # Errors
    /// See [`Column::count`].
    pub fn select(&self, rows: Range<u64>, condition: &Condition, mask: &mut Mask) -> Result<()> {
        self.check(&rows)?;
        let count = self.in_memory(rows.end - rows.start)?;
        if mask.len() != count {
            return Err(Error::invalid(format!(
                "a mask of {} bits for {count} rows",
                mask.len()
            )));
        }
        self.check_condition(condition)?;
        let positions = self.position_range(&rows)?;
        let dense = positions.end - positions.start == rows.end - rows.start;
        if dense {
            return match condition {
                Condition::IsNull => Ok(()),
                Condition::IsNotNull => {
                    mask.fill(true);
                    Ok(())
                }
                _ => self.select_positions(positions, condition, mask),
            };
        }
        let mut words = vec![0; count.div_ceil(64)];
        if let Some(validity) = &self.validity {
            validity.fill(rows, &mut words)?;
        }
        if matches!(condition, Condition::IsNull | Condition::IsNotNull) {
            let flip = if matches!(condition, Condition::IsNull) {
                u64::MAX
            } else {
                0
            };
            for (slot, word) in mask.chunks_mut(64).zip(&words) {
                bitvec::field::BitField::store_le(slot, word ^ flip);
            }
            return Ok(());
        }
        let mut found = Mask::repeat(false, self.in_memory(positions.end - positions.start)?);
        self.select_positions(positions, condition, &mut found)?;
        if found.not_any() {
            return Ok(());
        }
        let mut found = found.iter().by_vals();
        for (index, &word) in words.iter().enumerate() {
            let (mut left, mut hits) = (word, 0u64);
            while left != 0 {
                let bit = left & left.wrapping_neg();
                if found.next() == Some(true) {
                    hits |= bit;
                }
                left ^= bit;
            }
            while hits != 0 {
                if let Some(mut slot) = mask.get_mut(index * 64 + hits.trailing_zeros() as usize) {
                    *slot = true;
                }
                hits &= hits - 1;
            }
        }
        Ok(())
    }

    fn select_positions(&self, positions: Range<u64>, condition: &Condition, mask: &mut Mask) -> Result<()> {
        // Codes and indexes may write whole words: each value of a list gets a mask of its own.
        let each = |mask: &mut Mask, select: &mut dyn FnMut(&mut Mask) -> Result<()>| -> Result<()> {
            let mut own = Mask::repeat(false, mask.len());
            select(&mut own)?;
            *mask |= own;
            Ok(())
        };
        match (&self.body, condition) {
            (Body::Numeric(numeric), Condition::Keys(interval)) => numeric.select(positions, *interval, mask),
            (Body::Numeric(numeric), Condition::KeyIn(keys)) => {
                for interval in joined(keys) {
                    each(mask, &mut |own| numeric.select(positions.clone(), interval, own))?;
                }
                Ok(())
            }
            (Body::Text(index, _), Condition::Text(pattern)) => {
                index.select(positions, &*text::simplest(&**index, pattern)?, mask)
            }
            (Body::Text(index, _), Condition::Between(low, high)) => {
                index.select_between(positions, as_slices(low), as_slices(high), mask)
            }
            (Body::Text(index, _), Condition::BytesIn(values)) => {
                for value in values {
                    let bound = Bound::Included(value.as_slice());
                    each(mask, &mut |own| {
                        index.select_between(positions.clone(), bound, bound, own)
                    })?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn check_condition(&self, condition: &Condition) -> Result<()> {
        let fits = match condition {
            Condition::IsNull | Condition::IsNotNull => true,
            Condition::Keys(_) | Condition::KeyIn(_) => !self.ty.is_binary(),
            Condition::Text(_) | Condition::Between(..) | Condition::BytesIn(_) => self.ty.is_binary(),
        };
        if fits { Ok(()) } else { Err(wrong_type(self.ty)) }
    }
}

/// Sorted keys as intervals, neighbours joined.
fn joined(keys: &[u64]) -> impl Iterator<Item = Interval> + '_ {
    keys.chunk_by(|a, b| a.checked_add(1) == Some(*b))
        .filter_map(|run| {
            let (low, high) = (*run.first()?, *run.last()?);
            Some(Interval { low, high })
        })
}

fn as_slices(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    match bound {
        Bound::Included(value) => Bound::Included(value),
        Bound::Excluded(value) => Bound::Excluded(value),
        Bound::Unbounded => Bound::Unbounded,
    }
}
