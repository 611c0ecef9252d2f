//! One column of a segment: a domain, codes, a validity vector and block statistics, asked by row.
//!
//! Codes hold valid values only; a rank-able validity vector maps rows to code positions and is absent when nothing
//! is null. A column's bytes are a few *parts*, each a section of the segment file.

use std::ops::{Bound, Range};

use crate::batch::BatchColumn;
use crate::codes::Interval;
use crate::error::Result;
use crate::rows::{Mask, RowRanges};
use crate::schema::ColumnType;
use crate::section::Section;
use crate::text::TextPattern;

pub mod time;

/// Number of a part's role in files; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum PartKind {
    /// Domain parameters and residues (codec: [`crate::domain::DomainKind`]).
    Domain = 1,
    /// Codes (codec: [`crate::codes::CodesKind`]).
    Codes = 2,
    /// Validity bit vector.
    Validity = 3,
    /// Block statistics.
    Statistics = 4,
    /// Text index (codec: [`crate::text::TextKind`]).
    Text = 5,
    /// Row times of a segment.
    Time = 6,
}

/// One part of a column: `T` is its bytes when written, its [`Section`] when read.
#[derive(Debug, Clone)]
pub struct Part<T> {
    /// Role.
    pub kind: PartKind,
    /// Number of the codec within the role; 0 where a role has only one.
    pub codec: u16,
    /// The bytes.
    pub body: T,
}

/// What a question asks of one column.
#[derive(Debug, Clone)]
pub enum Condition {
    /// The key of a fixed-width value lies in the interval.
    Keys(Interval),
    /// The key of a fixed-width value is one of these (sorted, no repeats).
    KeyIn(Vec<u64>),
    /// The text or bytes value matches.
    Text(TextPattern),
    /// The text or bytes value lies between the bounds, byte by byte.
    Between(Bound<Vec<u8>>, Bound<Vec<u8>>),
    /// The text or bytes value is one of these (sorted, no repeats).
    BytesIn(Vec<Vec<u8>>),
    /// There is no value.
    IsNull,
    /// There is a value.
    IsNotNull,
}

/// A sum of values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sum {
    /// Exact sum of integers, booleans or times.
    Integer(i128),
    /// Sum of floats, each block added in row order, blocks added pairwise.
    Float(f64),
}

/// The read side of one column of a segment.
#[derive(Debug)]
pub struct Column {
    _private: (),
}

/// What the caller knows of a column before it is encoded.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    /// The stream's grid for this column: decimal digits after the point, as segments before this one used.
    pub digits: Option<u8>,
}

impl Column {
    /// Encodes the rows of a column.
    ///
    /// # Errors
    /// `InvalidArgument` if text is too long for an index.
    pub fn encode(ty: ColumnType, rows: &BatchColumn, hints: &Hints) -> Result<Vec<Part<Vec<u8>>>> {
        let _ = (ty, rows, hints);
        todo!()
    }

    /// Opens the parts that [`Column::encode`] wrote for `rows` rows. Headers are checked here, the rest on first touch.
    ///
    /// # Errors
    /// `Corrupt` if the parts do not fit each other or the number of rows.
    pub fn open(ty: ColumnType, rows: u64, parts: Vec<Part<Section>>) -> Result<Column> {
        let _ = (ty, rows, parts);
        todo!()
    }

    /// Number of rows without a value.
    pub fn null_count(&self) -> u64 {
        todo!()
    }

    /// Appends rows `rows` to `out`.
    pub fn decode(&self, rows: Range<u64>, out: &mut BatchColumn) -> Result<()> {
        let _ = (rows, out);
        todo!()
    }

    /// How many rows of `rows` meet the condition.
    pub fn count(&self, rows: &RowRanges, condition: &Condition) -> Result<u64> {
        let _ = (rows, condition);
        todo!()
    }

    /// Sets bit `r - rows.start` of `mask` (which comes cleared) for each row `r` of `rows` that meets the condition.
    pub fn select(&self, rows: Range<u64>, condition: &Condition, mask: &mut Mask) -> Result<()> {
        let _ = (rows, condition, mask);
        todo!()
    }

    /// The `k`-th smallest key among the values of `rows` (fixed-width columns).
    pub fn quantile(&self, rows: &RowRanges, k: u64) -> Result<u64> {
        let _ = (rows, k);
        todo!()
    }

    /// Smallest and largest key among the values of `rows` (fixed-width columns).
    pub fn min_max(&self, rows: &RowRanges) -> Result<Option<(u64, u64)>> {
        let _ = rows;
        todo!()
    }

    /// Sum of the values of `rows` (fixed-width columns).
    pub fn sum(&self, rows: &RowRanges) -> Result<Sum> {
        let _ = rows;
        todo!()
    }

    /// The columns' codes and how they map to numbers, for quantizers that work on codes (fixed-width columns).
    pub fn codes(&self) -> Option<&dyn crate::codes::Codes> {
        todo!()
    }

    /// Domain name, layout name.
    pub fn describe(&self) -> (String, String) {
        todo!()
    }

    /// Bits that each part takes, as `(name, bits)`.
    pub fn parts(&self) -> Vec<(String, u64)> {
        todo!()
    }
}
