//! A consistent view of one stream: some segments and a tail. Every question is asked of a snapshot.

use crate::batch::Batch;
use crate::column::Sum;
use crate::error::Result;
use crate::predicate::Predicate;
use crate::rows::RowRanges;
use crate::schema::SharedSchema;
use crate::value::Value;

/// Rows in one part of a snapshot (a segment, or the tail), each sorted by (keys, time).
///
/// Parts are numbered in the order of their first sequence; the tail, if it has rows, is the last.
#[derive(Debug, Clone)]
pub struct PartRows {
    /// Number of the part.
    pub part: usize,
    /// Rows inside the part.
    pub rows: RowRanges,
}

/// A row of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowId {
    /// Number of the part.
    pub part: usize,
    /// Row inside the part.
    pub row: u64,
}

/// A consistent view of one stream.
#[derive(Debug, Clone)]
pub struct Snapshot {
    schema: SharedSchema,
}

impl Snapshot {
    /// Shape of the stream when the snapshot was taken.
    pub fn schema(&self) -> &SharedSchema {
        &self.schema
    }

    /// Number of parts.
    pub fn part_count(&self) -> usize {
        todo!()
    }

    /// Rows in part `part`.
    pub fn part_row_count(&self, part: usize) -> u64 {
        let _ = part;
        todo!()
    }

    /// Rows in all parts.
    pub fn row_count(&self) -> u64 {
        todo!()
    }

    /// First and last time, if there are rows. O(parts).
    pub fn time_range(&self) -> Option<(i64, i64)> {
        todo!()
    }

    /// How many rows meet the predicate.
    pub fn count(&self, predicate: &Predicate) -> Result<u64> {
        let _ = predicate;
        todo!()
    }

    /// How many rows meet the predicate and have a value in `column`.
    pub fn count_values(&self, column: &str, predicate: &Predicate) -> Result<u64> {
        let _ = (column, predicate);
        todo!()
    }

    /// Sum of a fixed-width column; `None` when no row with a value meets the predicate.
    pub fn sum(&self, column: &str, predicate: &Predicate) -> Result<Option<Sum>> {
        let _ = (column, predicate);
        todo!()
    }

    /// Smallest and largest value; floats by totalOrder, text byte by byte.
    pub fn min_max(&self, column: &str, predicate: &Predicate) -> Result<Option<(Value, Value)>> {
        let _ = (column, predicate);
        todo!()
    }

    /// The `k`-th smallest value (0 is the smallest) of a fixed-width column; `None` if there are `k` or fewer.
    pub fn nth(&self, column: &str, k: u64, predicate: &Predicate) -> Result<Option<Value>> {
        let _ = (column, k, predicate);
        todo!()
    }

    /// The exact `q`-quantile of a fixed-width column by nearest rank: the value number `round_half_down(q * (n - 1))`.
    pub fn quantile(&self, column: &str, q: f64, predicate: &Predicate) -> Result<Option<Value>> {
        let _ = (column, q, predicate);
        todo!()
    }

    /// The exact median of a numeric column: the middle value, or the mean of the two middle values.
    pub fn median(&self, column: &str, predicate: &Predicate) -> Result<Option<f64>> {
        let _ = (column, predicate);
        todo!()
    }

    /// Rows that meet the predicate, in chunks of at most 65,536 rows of one part, in part and row order.
    pub fn select(&self, predicate: &Predicate) -> Result<Select> {
        let _ = predicate;
        todo!()
    }

    /// Values of the named columns in rows that meet the predicate, in batches of at most 8,192 rows of one part.
    ///
    /// `columns` are key columns and channels by name, in any order; times always come along.
    pub fn scan(&self, columns: &[&str], predicate: &Predicate) -> Result<Scan> {
        let _ = (columns, predicate);
        todo!()
    }

    /// Like [`Snapshot::scan`], for one part: rows come sorted by (keys, time).
    pub fn scan_part(&self, part: usize, columns: &[&str], predicate: &Predicate) -> Result<Scan> {
        let _ = (part, columns, predicate);
        todo!()
    }

    /// Values of the named columns in the given rows of one part.
    pub fn fetch(&self, rows: &PartRows, columns: &[&str]) -> Result<Batch> {
        let _ = (rows, columns);
        todo!()
    }
}

/// Iterator of [`Snapshot::select`].
#[derive(Debug)]
pub struct Select {
    _private: (),
}

impl Iterator for Select {
    type Item = Result<PartRows>;

    fn next(&mut self) -> Option<Self::Item> {
        todo!()
    }
}

/// Iterator of [`Snapshot::scan`].
#[derive(Debug)]
pub struct Scan {
    _private: (),
}

impl Iterator for Scan {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        todo!()
    }
}
