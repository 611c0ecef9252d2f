//! Questions on a key column, answered from the run directory: one value holds for a whole run of rows.

use std::ops::Range;

use super::condition::{matches_bytes, matches_key};
use super::memory::integer_of;
use crate::batch::BatchColumn;
use crate::column::{Condition, Moments, Sum};
use crate::error::{Error, Result};
use crate::rows::{Mask, RowRanges, index};
use crate::schema::ColumnType;
use crate::segment::runs::{KeyCell, RunDirectory};
use crate::value::number_of;

/// A key column of a segment.
#[derive(Debug, Clone, Copy)]
pub struct KeyView<'a> {
    /// The directory.
    pub runs: &'a RunDirectory,
    /// Position among the key columns.
    pub column: usize,
    /// Type of its values.
    pub ty: ColumnType,
}

impl KeyView<'_> {
    /// Calls `found` with each stretch of `rows` in which the key stays the same. O(log runs + stretches).
    fn stretches(
        &self,
        rows: Range<u64>,
        mut found: impl FnMut(Range<u64>, KeyCell<'_>) -> Result<()>,
    ) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut run = self.runs.run_of(rows.start)?;
        let mut start = rows.start;
        while start < rows.end && run < self.runs.len() {
            let end = self.runs.rows(run)?.end.min(rows.end);
            found(start..end, self.runs.cell(self.column, run)?)?;
            start = end.max(start);
            run += 1;
        }
        Ok(())
    }

    /// How many of `rows` meet the condition.
    pub fn count(&self, rows: &RowRanges, condition: &Condition) -> Result<u64> {
        let mut count = 0;
        for range in rows.as_slice() {
            self.stretches(range.clone(), |stretch, cell| {
                if matches_cell(condition, cell) {
                    count += stretch.end - stretch.start;
                }
                Ok(())
            })?;
        }
        Ok(count)
    }

    /// Sets the bits of `mask` whose rows meet the condition.
    pub fn select(&self, rows: Range<u64>, condition: &Condition, mask: &mut Mask) -> Result<()> {
        let base = rows.start;
        self.stretches(rows, |stretch, cell| {
            if matches_cell(condition, cell) {
                mask[index(stretch.start - base)..index(stretch.end - base)].fill(true);
            }
            Ok(())
        })
    }

    /// Appends `rows` to `out`.
    pub fn decode(&self, rows: Range<u64>, out: &mut BatchColumn) -> Result<()> {
        self.stretches(rows, |stretch, cell| {
            for _ in stretch {
                match cell {
                    KeyCell::Null => out.push_null(),
                    KeyCell::Key(key) => out.push_key(key),
                    KeyCell::Bytes(bytes) => out.push_bytes(bytes),
                }
            }
            Ok(())
        })
    }

    /// Keys of `rows` with how many rows have them, in row order.
    fn weights(&self, rows: &RowRanges) -> Result<Vec<(u64, u64)>> {
        let mut weights = Vec::new();
        for range in rows.as_slice() {
            self.stretches(range.clone(), |stretch, cell| {
                if let KeyCell::Key(key) = cell {
                    weights.push((key, stretch.end - stretch.start));
                }
                Ok(())
            })?;
        }
        Ok(weights)
    }

    /// The `k`-th smallest key of `rows`.
    pub fn quantile(&self, rows: &RowRanges, k: u64) -> Result<u64> {
        let mut weights = self.weights(rows)?;
        weights.sort_unstable();
        let mut smaller = 0;
        for (key, count) in weights {
            smaller += count;
            if smaller > k {
                return Ok(key);
            }
        }
        Err(Error::OutOfRange {
            what: "value",
            position: k,
            end: smaller,
        })
    }

    /// Smallest and largest key of `rows`.
    pub fn min_max(&self, rows: &RowRanges) -> Result<Option<(u64, u64)>> {
        let weights = self.weights(rows)?;
        let keys = || weights.iter().map(|(key, _)| *key);
        Ok(keys().min().zip(keys().max()))
    }

    /// Number, mean and spread of `rows`.
    pub fn moments(&self, rows: &RowRanges) -> Result<Moments> {
        let mut all = Moments::default();
        for (key, count) in self.weights(rows)? {
            all = all.merge(Moments {
                count,
                mean: number_of(self.ty, key),
                squares: 0.0,
            });
        }
        Ok(all)
    }

    /// Sum of `rows`.
    pub fn sum(&self, rows: &RowRanges) -> Result<Sum> {
        let weights = self.weights(rows)?;
        Ok(Sum::Integer(
            weights
                .iter()
                .map(|(key, count)| integer_of(self.ty, *key) * i128::from(*count))
                .sum(),
        ))
    }
}

fn matches_cell(condition: &Condition, cell: KeyCell<'_>) -> bool {
    match cell {
        KeyCell::Null => matches!(condition, Condition::IsNull),
        KeyCell::Key(key) => matches_key(condition, Some(key)),
        KeyCell::Bytes(bytes) => matches_bytes(condition, Some(bytes)),
    }
}
