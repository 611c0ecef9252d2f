//! One column of one part of a snapshot, however it is kept there.

use std::ops::Range;

use super::clock::ClockView;
use super::keyed::KeyView;
use super::memory;
use crate::batch::BatchColumn;
use crate::column::{Column, Condition, Moments, Sum};
use crate::error::{Error, Result};
use crate::rows::{Mask, RowRanges};
use crate::schema::ColumnType;

/// One column of one part.
#[derive(Debug, Clone, Copy)]
pub enum View<'a> {
    /// The time column.
    Clock(ClockView<'a>),
    /// A key column of a segment.
    Key(KeyView<'a>),
    /// A channel of a segment.
    Stored(&'a Column),
    /// Any column of the tail.
    Memory(&'a BatchColumn, ColumnType),
    /// A column younger than the segment: null in every row.
    Absent(ColumnType),
}

impl View<'_> {
    /// How many of `rows` meet the condition.
    pub fn count(&self, rows: &RowRanges, condition: &Condition) -> Result<u64> {
        match self {
            View::Clock(view) => view.count(rows, condition),
            View::Key(view) => view.count(rows, condition),
            View::Stored(column) => column.count(rows, condition),
            View::Memory(column, _) => Ok(memory::count(column, rows, condition)),
            View::Absent(_) => Ok(if matches!(condition, Condition::IsNull) {
                rows.row_count()
            } else {
                0
            }),
        }
    }

    /// Sets bit `r - rows.start` of `mask`, which comes cleared, for each row `r` of `rows` that meets the condition.
    pub fn select(&self, rows: Range<u64>, condition: &Condition, mask: &mut Mask) -> Result<()> {
        match self {
            View::Clock(view) => view.select(rows, condition, mask),
            View::Key(view) => view.select(rows, condition, mask),
            View::Stored(column) => column.select(rows, condition, mask),
            View::Memory(column, _) => {
                memory::select(column, rows, condition, mask);
                Ok(())
            }
            View::Absent(_) => {
                mask.fill(matches!(condition, Condition::IsNull));
                Ok(())
            }
        }
    }

    /// Appends `rows` to `out`.
    pub fn decode(&self, rows: Range<u64>, out: &mut BatchColumn) -> Result<()> {
        match self {
            View::Clock(view) => view.decode(rows, out),
            View::Key(view) => view.decode(rows, out),
            View::Stored(column) => column.decode(rows, out),
            View::Memory(column, _) => {
                memory::decode(column, rows, out);
                Ok(())
            }
            View::Absent(_) => {
                rows.for_each(|_| out.push_null());
                Ok(())
            }
        }
    }

    /// The `k`-th smallest key of `rows` (not for the time column, which is searched by value).
    pub fn quantile(&self, rows: &RowRanges, k: u64) -> Result<u64> {
        match self {
            View::Key(view) => view.quantile(rows, k),
            View::Stored(column) => column.quantile(rows, k),
            View::Memory(column, _) => memory::quantile(column, rows, k),
            View::Clock(_) | View::Absent(_) => Err(Error::OutOfRange {
                what: "value",
                position: k,
                end: 0,
            }),
        }
    }

    /// Smallest and largest key of `rows` (fixed-width columns).
    pub fn min_max(&self, rows: &RowRanges) -> Result<Option<(u64, u64)>> {
        match self {
            View::Clock(view) => view.min_max(rows),
            View::Key(view) => view.min_max(rows),
            View::Stored(column) => column.min_max(rows),
            View::Memory(column, _) => Ok(memory::min_max(column, rows)),
            View::Absent(_) => Ok(None),
        }
    }

    /// Number, mean and spread of `rows` (fixed-width columns).
    pub fn moments(&self, rows: &RowRanges) -> Result<Moments> {
        match self {
            View::Clock(view) => view.moments(rows),
            View::Key(view) => view.moments(rows),
            View::Stored(column) => column.moments(rows),
            View::Memory(column, ty) => Ok(memory::moments(column, *ty, rows)),
            View::Absent(_) => Ok(Moments::default()),
        }
    }

    /// Sum of `rows` (fixed-width columns).
    pub fn sum(&self, rows: &RowRanges) -> Result<Sum> {
        match self {
            View::Clock(view) => view.sum(rows),
            View::Key(view) => view.sum(rows),
            View::Stored(column) => column.sum(rows),
            View::Memory(column, ty) => Ok(memory::sum(column, *ty, rows)),
            View::Absent(ty) => Ok(memory::sum_keys(*ty, std::iter::empty())),
        }
    }
}
