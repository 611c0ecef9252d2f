//! The run directory: for each run of rows with equal keys, the keys, the first row, the first and last time.
//!
//! Key columns are stored nowhere else, so they cost a few bytes a run, however many rows it has.
//!
//! ```text
//! 0    runs n (u64), key columns k (u32), zero (u32)
//! 16   first row of each run, then the row count        u64 x (n + 1)
//!      first time, last time of each run                i64 x n, i64 x n
//!      for each key column: code of each run            u32 x n, padded to 8 bytes; 0 is null, else 1 + dictionary index
//!      for each key column: its sorted dictionary       count d (u64), then u64 keys x d,
//!                                                       or ends (u64 x d) and bytes, padded to 8 bytes
//! ```

use std::ops::Range;

use crate::batch::{Batch, BatchColumn, ColumnData};
use crate::column::Condition;
use crate::error::Result;
use crate::question::condition::{matches_bytes, matches_key};
use crate::rows::{RowRanges, index};
use crate::schema::{ColumnType, Schema};
use crate::section::Section;
use crate::wire::Writer;

/// Row ranges of equal keys in rows that are sorted by (keys, time).
pub fn find(batch: &Batch) -> Vec<Range<u64>> {
    let keys = batch.schema().keys().len();
    let mut runs = Vec::new();
    let mut start = 0;
    for row in 1..=batch.len() {
        let same = row < batch.len() && batch.columns[..keys].iter().all(|c| equal_cells(c, row - 1, row));
        if !same && row > start {
            runs.push(start as u64..row as u64);
            start = row;
        }
    }
    runs
}

fn equal_cells(column: &BatchColumn, a: usize, b: usize) -> bool {
    column.is_valid(a) == column.is_valid(b)
        && match &column.data {
            ColumnData::Keys(keys) => keys[a] == keys[b],
            ColumnData::Binary(bytes) => bytes.get(a) == bytes.get(b),
        }
}

/// Encodes the directory of sorted, non-empty rows.
pub fn encode(batch: &Batch, runs: &[Range<u64>]) -> Vec<u8> {
    let key_columns = &batch.columns[..batch.schema().keys().len()];
    let mut out = Writer::new();
    out.u64(runs.len() as u64);
    out.u32(u32::try_from(key_columns.len()).unwrap_or(u32::MAX));
    out.u32(0);
    for run in runs {
        out.u64(run.start);
    }
    out.u64(batch.len() as u64);
    for run in runs {
        out.i64(batch.times[index(run.start)]);
    }
    for run in runs {
        out.i64(batch.times[index(run.end) - 1]);
    }
    let firsts: Vec<usize> = runs.iter().map(|run| index(run.start)).collect();
    let mut dictionaries = Writer::new();
    for column in key_columns {
        encode_key_column(column, &firsts, &mut out, &mut dictionaries);
    }
    out.raw(&dictionaries.into_bytes());
    out.into_bytes()
}

fn encode_key_column(column: &BatchColumn, firsts: &[usize], codes: &mut Writer, dictionary: &mut Writer) {
    let valid = firsts.iter().copied().filter(|&row| column.is_valid(row));
    let code = |found: Result<usize, usize>| found.map_or(0, |i| u32::try_from(i + 1).unwrap_or(u32::MAX));
    match &column.data {
        ColumnData::Keys(keys) => {
            let mut sorted: Vec<u64> = valid.map(|row| keys[row]).collect();
            sorted.sort_unstable();
            sorted.dedup();
            for &row in firsts {
                codes.u32(if column.is_valid(row) {
                    code(sorted.binary_search(&keys[row]))
                } else {
                    0
                });
            }
            dictionary.u64(sorted.len() as u64);
            for key in sorted {
                dictionary.u64(key);
            }
        }
        ColumnData::Binary(bytes) => {
            let mut sorted: Vec<&[u8]> = valid.map(|row| bytes.get(row)).collect();
            sorted.sort_unstable();
            sorted.dedup();
            for &row in firsts {
                codes.u32(if column.is_valid(row) {
                    code(sorted.binary_search(&bytes.get(row)))
                } else {
                    0
                });
            }
            dictionary.u64(sorted.len() as u64);
            let mut end = 0;
            for value in &sorted {
                end += value.len() as u64;
                dictionary.u64(end);
            }
            for value in &sorted {
                dictionary.raw(value);
            }
            dictionary.align(8);
        }
    }
    codes.align(8);
}

/// One key column of the directory.
#[derive(Debug)]
struct KeyColumn {
    ty: ColumnType,
    codes: u64,
    /// Start of the entries: keys, or ends.
    dictionary: u64,
    entries: u64,
}

/// The read side. Nothing is copied out of the file.
#[derive(Debug)]
pub struct RunDirectory {
    section: Section,
    runs: u64,
    rows: u64,
    columns: Vec<KeyColumn>,
}

/// The value of a key column in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyCell<'a> {
    /// No value.
    Null,
    /// Key of a fixed-width value.
    Key(u64),
    /// Text or bytes.
    Bytes(&'a [u8]),
}

impl RunDirectory {
    /// Opens the directory of a segment with `rows` rows of shape `schema`.
    ///
    /// # Errors
    /// `Corrupt` if lengths do not fit each other.
    pub fn open(section: Section, rows: u64, schema: &Schema) -> Result<RunDirectory> {
        let runs = section.u64(0)?;
        let key_columns = index(u64::from(section.u32(8)?));
        let claimed = runs.saturating_mul(24).saturating_add(24);
        if runs == 0 || runs > rows || claimed > section.len() || key_columns != schema.keys().len() {
            return Err(section.corrupt(0, format!("{runs} runs of {key_columns} keys do not fit")));
        }
        let mut at = 24 + runs * 24;
        let mut columns = Vec::with_capacity(key_columns);
        for spec in schema.keys() {
            columns.push(KeyColumn {
                ty: spec.ty,
                codes: at,
                dictionary: 0,
                entries: 0,
            });
            at = at.saturating_add(runs.saturating_mul(4).next_multiple_of(8));
        }
        for column in &mut columns {
            column.entries = section.u64(at)?;
            column.dictionary = at + 8;
            let fixed = column
                .entries
                .checked_mul(8)
                .and_then(|b| b.checked_add(column.dictionary));
            let Some(entries_end) = fixed.filter(|&end| end <= section.len() && column.entries <= runs)
            else {
                return Err(section.corrupt(at, format!("{} dictionary entries do not fit", column.entries)));
            };
            at = entries_end;
            if column.ty.is_binary() && column.entries > 0 {
                let bytes = section.u64(entries_end - 8)?;
                let end = entries_end.checked_add(bytes).filter(|&end| end <= section.len());
                let Some(end) = end else {
                    return Err(section.corrupt(entries_end - 8, "dictionary bytes do not fit".into()));
                };
                at = end.next_multiple_of(8);
            }
        }
        Ok(RunDirectory {
            section,
            runs,
            rows,
            columns,
        })
    }

    /// Number of runs.
    pub fn len(&self) -> u64 {
        self.runs
    }

    /// Whether there are no runs (there always is one).
    pub fn is_empty(&self) -> bool {
        self.runs == 0
    }

    /// Rows of run `run`.
    ///
    /// # Errors
    /// `Corrupt` if rows are out of order.
    pub fn rows(&self, run: u64) -> Result<Range<u64>> {
        let start = self.section.u64(16 + run * 8)?;
        let end = self.section.u64(24 + run * 8)?;
        if start >= end || end > self.rows {
            return Err(self.section.corrupt(
                16 + run * 8,
                format!("run {run} has rows {start}..{end} of {}", self.rows),
            ));
        }
        Ok(start..end)
    }

    /// First and last time of run `run`.
    ///
    /// # Errors
    /// `Corrupt` if a page is damaged.
    pub fn times(&self, run: u64) -> Result<(i64, i64)> {
        let first = 24 + self.runs * 8 + run * 8;
        Ok((
            self.section.u64(first)? as i64,
            self.section.u64(first + self.runs * 8)? as i64,
        ))
    }

    /// The run that holds row `row`. O(log runs).
    ///
    /// # Errors
    /// `Corrupt` if rows are out of order.
    pub fn run_of(&self, row: u64) -> Result<u64> {
        let (mut low, mut high) = (0, self.runs);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.section.u64(16 + middle * 8)? <= row {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Code of key column `column` in run `run`: 0 for null, else 1 + index into [`RunDirectory::entry`].
    fn code(&self, column: usize, run: u64) -> Result<u64> {
        let column = &self.columns[column];
        let code = u64::from(self.section.u32(column.codes + run * 4)?);
        if code > column.entries {
            return Err(self.section.corrupt(
                column.codes + run * 4,
                format!("key code {code} of {}", column.entries),
            ));
        }
        Ok(code)
    }

    fn entry(&self, column: usize, index: u64) -> Result<KeyCell<'_>> {
        let column = &self.columns[column];
        let at = column.dictionary + index * 8;
        if !column.ty.is_binary() {
            return Ok(KeyCell::Key(self.section.u64(at)?));
        }
        let start = if index == 0 { 0 } else { self.section.u64(at - 8)? };
        let end = self.section.u64(at)?;
        let base = column.dictionary + column.entries * 8;
        if start > end {
            return Err(self
                .section
                .corrupt(at, "dictionary ends are out of order".into()));
        }
        Ok(KeyCell::Bytes(
            self.section
                .bytes(base.saturating_add(start)..base.saturating_add(end))?,
        ))
    }

    /// Value of key column `column` (by position among the keys) in run `run`.
    ///
    /// # Errors
    /// `Corrupt` if the code lies outside the dictionary.
    pub fn cell(&self, column: usize, run: u64) -> Result<KeyCell<'_>> {
        match self.code(column, run)? {
            0 => Ok(KeyCell::Null),
            code => self.entry(column, code - 1),
        }
    }

    /// Rows whose key column meets `condition`. O(runs); the condition is tested once per distinct value.
    ///
    /// # Errors
    /// `Corrupt` if the directory is damaged.
    pub fn select(&self, column: usize, condition: &Condition) -> Result<RowRanges> {
        let entries = self.columns[column].entries;
        let mut hits = Vec::with_capacity(index(entries) + 1);
        hits.push(matches!(condition, Condition::IsNull));
        for index in 0..entries {
            hits.push(match self.entry(column, index)? {
                KeyCell::Key(key) => matches_key(condition, Some(key)),
                KeyCell::Bytes(bytes) => matches_bytes(condition, Some(bytes)),
                KeyCell::Null => false,
            });
        }
        let mut out = RowRanges::empty();
        for run in 0..self.runs {
            if hits[index(self.code(column, run)?)] {
                out.push(self.rows(run)?);
            }
        }
        Ok(out)
    }
}
