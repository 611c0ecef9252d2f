//! Rows in blocks that are unpacked before they are searched: what [`small`](super::small) and [`cold`](super::cold)
//! share.
//!
//! ```text
//! header      u16 layout, u16 for the index to use, u32 blocks, u64 rows; the index may have more
//! directory   per block: u64 first row, u64 start
//!             the blocks
//! ```
//!
//! An unpacked block is a template index in memory ([`unpacked`](super::unpacked)).

#![allow(
    clippy::cast_possible_truncation,
    reason = "rows of a block are far below 2^31, and casts to usize index memory"
)]

use std::fmt::Debug;
use std::ops::{Bound, Range};
use std::sync::Arc;

use super::template::Templates;
use super::template::plan::Plan;
use super::unpacked::{Kept, Unpacked};
use super::{TextIndex, TextKind, TextPattern, check};
use crate::batch::ByteColumn;
use crate::error::{Error, Result};
use crate::rows::Mask;
use crate::section::Section;

#[cfg(test)]
mod tests;

/// Rows of a block at most.
pub const BLOCK_ROWS: usize = 1 << 22;
/// Bytes of a directory entry.
pub const ENTRY: u64 = 16;

/// Bytes of `rows`.
pub fn bytes_of(strings: &ByteColumn, rows: &Range<usize>) -> u64 {
    let at = |row: usize| strings.offsets().get(row).copied().unwrap_or(0);
    at(rows.end) - at(rows.start)
}

/// Divides rows into blocks of up to `block_bytes`, and at least a row.
pub fn divide(strings: &ByteColumn, block_bytes: u64) -> Vec<Range<usize>> {
    let mut blocks = Vec::new();
    let mut start = 0;
    for row in 0..strings.len() {
        let full = bytes_of(strings, &(start..row + 1)) > block_bytes || row - start >= BLOCK_ROWS;
        if full && row > start {
            blocks.push(start..row);
            start = row;
        }
    }
    if start < strings.len() {
        blocks.push(start..strings.len());
    }
    blocks
}

/// The templates and columns of `rows`.
pub fn plan_of(strings: &ByteColumn, rows: Range<usize>) -> Plan {
    if rows.len() == strings.len() {
        return Plan::of(strings);
    }
    let mut block = ByteColumn::default();
    rows.for_each(|row| block.push(strings.get(row)));
    Plan::of(&block)
}

/// Writes a section: the header, of which `more` is what the index adds, the directory, and the blocks that `pack` gives.
///
/// # Errors
/// `InvalidArgument` if there are 2^32 blocks or more; those of `pack`.
pub fn write(
    strings: &ByteColumn,
    blocks: &[Range<usize>],
    (layout, field, more): (u16, u16, &[u8]),
    mut pack: impl FnMut(Range<usize>) -> Result<Vec<u8>>,
) -> Result<Vec<u8>> {
    let count = u32::try_from(blocks.len())
        .map_err(|_| Error::invalid("packed templates have fewer than 2^32 blocks"))?;
    let mut out = Vec::new();
    out.extend_from_slice(&layout.to_le_bytes());
    out.extend_from_slice(&field.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&(strings.len() as u64).to_le_bytes());
    out.extend_from_slice(more);
    let directory = out.len();
    out.resize(directory + blocks.len() * ENTRY as usize, 0);
    for (rows, at) in blocks.iter().zip((directory..).step_by(ENTRY as usize)) {
        let start = out.len() as u64;
        out[at..at + 8].copy_from_slice(&(rows.start as u64).to_le_bytes());
        out[at + 8..at + 16].copy_from_slice(&start.to_le_bytes());
        out.extend_from_slice(&pack(rows.clone())?);
    }
    Ok(out)
}

/// A block as it is stored. What needs the index in memory asks its [`Part`] for it.
pub trait Packed: Debug + Send + Sync + Sized {
    /// The text index that it is a block of.
    const KIND: TextKind;

    /// The index of its rows.
    ///
    /// # Errors
    /// `Corrupt` where the bytes make no sense.
    fn unpack(&self) -> Result<Unpacked>;

    /// Appends row `row` of the block.
    fn extract(part: &Part<Self>, row: u64, out: &mut Vec<u8>) -> Result<()> {
        part.index()?.index.extract(row, out)
    }

    /// Appends rows of the block.
    fn decode(part: &Part<Self>, rows: Range<u64>, out: &mut ByteColumn) -> Result<()> {
        part.index()?.index.decode(rows, out)
    }

    /// See [`TextIndex::parts`].
    fn parts(blocks: &[Part<Self>]) -> Vec<(String, u64)>;
}

/// A block, and the index it becomes while that is in memory.
#[derive(Debug)]
pub struct Part<B> {
    rows: Range<u64>,
    /// The block as it is stored.
    pub block: B,
    unpacked: Kept,
}

impl<B: Packed> Part<B> {
    /// The index, unpacked if it is not in memory.
    pub fn index(&self) -> Result<Arc<Unpacked>> {
        self.unpacked.index(|| self.block.unpack())
    }
}

/// The read side of all blocks.
#[derive(Debug)]
pub struct Blocks<B> {
    rows: u64,
    parts: Vec<Part<B>>,
}

impl<B: Packed> Blocks<B> {
    /// Opens the blocks behind a header of `header` bytes; `make` opens one of some rows.
    ///
    /// # Errors
    /// `Corrupt` if the directory makes no sense for the section's length; those of `make`.
    pub fn open(section: &Section, header: u64, make: impl Fn(Section, u64) -> Result<B>) -> Result<Self> {
        let (count, rows) = (u64::from(section.u32(4)?), section.u64(8)?);
        let end = header + count * ENTRY;
        if end > section.len() || (count == 0) != (rows == 0) {
            return Err(section.corrupt(4, format!("{count} blocks of {rows} rows")));
        }
        let at = |index: u64| -> Result<(u64, u64)> {
            if index == count {
                return Ok((rows, section.len()));
            }
            let entry = header + index * ENTRY;
            Ok((section.u64(entry)?, section.u64(entry + 8)?))
        };
        let mut parts = Vec::with_capacity(count as usize);
        for index in 0..count {
            let ((row, start), (next_row, next_start)) = (at(index)?, at(index + 1)?);
            let first = index > 0 || (row == 0 && start == end);
            if !first || row >= next_row || next_row - row > BLOCK_ROWS as u64 || start >= next_start {
                return Err(section.corrupt(header + index * ENTRY, "blocks overlap".to_string()));
            }
            parts.push(Part {
                rows: row..next_row,
                block: make(section.sub(start..next_start)?, next_row - row)?,
                unpacked: Kept::default(),
            });
        }
        Ok(Blocks { rows, parts })
    }

    /// Number of blocks.
    #[cfg(test)]
    pub fn block_count(&self) -> usize {
        self.parts.len()
    }

    /// Calls `visit` with each block that has rows of `range`, and these rows as rows of the block.
    ///
    /// # Errors
    /// `OutOfRange` if there are no such rows; those of `visit`.
    fn each(
        &self,
        range: &Range<u64>,
        mut visit: impl FnMut(&Part<B>, Range<u64>) -> Result<()>,
    ) -> Result<()> {
        check::ranges(self.rows, std::slice::from_ref(range))?;
        let first = self.parts.partition_point(|part| part.rows.end <= range.start);
        for part in self.parts.iter().skip(first) {
            if part.rows.start >= range.end {
                break;
            }
            let start = range.start.max(part.rows.start) - part.rows.start;
            let end = range.end.min(part.rows.end) - part.rows.start;
            visit(part, start..end)?;
        }
        Ok(())
    }

    fn sum(
        &self,
        ranges: &[Range<u64>],
        count: impl Fn(&Templates, &[Range<u64>]) -> Result<u64>,
    ) -> Result<u64> {
        check::ranges(self.rows, ranges)?;
        let mut sum = 0;
        for part in &self.parts {
            let rows = &part.rows;
            let inside: Vec<Range<u64>> = ranges
                .iter()
                .map(|range| range.start.max(rows.start)..range.end.min(rows.end))
                .filter(|range| range.start < range.end)
                .map(|range| range.start - rows.start..range.end - rows.start)
                .collect();
            if !inside.is_empty() {
                sum += count(&part.index()?.index, &inside)?;
            }
        }
        Ok(sum)
    }

    fn mark(
        &self,
        range: Range<u64>,
        mask: &mut Mask,
        select: impl Fn(&Templates, Range<u64>, &mut Mask) -> Result<()>,
    ) -> Result<()> {
        check::mask(self.rows, &range, mask)?;
        self.each(&range, |part, rows| {
            let mut found = Mask::repeat(false, (rows.end - rows.start) as usize);
            let before = (part.rows.start + rows.start - range.start) as usize;
            select(&part.index()?.index, rows, &mut found)?;
            found.iter_ones().for_each(|row| mask.set(before + row, true));
            Ok(())
        })
    }
}

impl<B: Packed> TextIndex for Blocks<B> {
    fn kind(&self) -> TextKind {
        B::KIND
    }

    fn len(&self) -> u64 {
        self.rows
    }

    fn extract(&self, position: u64, out: &mut Vec<u8>) -> Result<()> {
        check::position(self.rows, position)?;
        self.each(&(position..position + 1), |part, rows| {
            B::extract(part, rows.start, out)
        })
    }

    fn decode(&self, range: Range<u64>, out: &mut ByteColumn) -> Result<()> {
        self.each(&range, |part, rows| B::decode(part, rows, out))
    }

    fn count(&self, ranges: &[Range<u64>], pattern: &TextPattern) -> Result<u64> {
        self.sum(ranges, |index, ranges| index.count(ranges, pattern))
    }

    fn select(&self, range: Range<u64>, pattern: &TextPattern, mask: &mut Mask) -> Result<()> {
        self.mark(range, mask, |index, rows, mask| index.select(rows, pattern, mask))
    }

    fn count_between(&self, ranges: &[Range<u64>], low: Bound<&[u8]>, high: Bound<&[u8]>) -> Result<u64> {
        self.sum(ranges, |index, ranges| index.count_between(ranges, low, high))
    }

    fn select_between(
        &self,
        range: Range<u64>,
        low: Bound<&[u8]>,
        high: Bound<&[u8]>,
        mask: &mut Mask,
    ) -> Result<()> {
        self.mark(range, mask, |index, rows, mask| {
            index.select_between(rows, low, high, mask)
        })
    }

    fn parts(&self) -> Vec<(String, u64)> {
        B::parts(&self.parts)
    }
}
