//! Cold text: templates and columns under models that are written once, so that any row can be read by itself.
//!
//! Good at text that is kept for long and rarely asked: 4 to 19 percent above packed templates (`small`), while a row is read
//! in some ten microseconds and rows in order at a hundred megabytes a second and more.
//!
//! ```text
//!  0  u16 layout (1), u16 zero, u32 blocks
//!  8  u64 rows
//! 16  per block: u64 first row, u64 start
//!     the blocks
//! ```
//!
//! A block starts with a head ([`block`]); its parts are
//!
//! ```text
//! text         constants and delimiters of all templates, packed (`template::lz`)
//! directory    what each column is kept as, and all models ([`book`])
//! bits         where groups of words and runs of rows start, rows of no template before each run
//! words        the dictionary, in groups of 16 ([`words`])
//! rows         rows in runs, each as its template and what its columns say ([`walk`])
//! rest         rows of no template (`template::rest`)
//! ```
//!
//! A symbol's odds come from where it stands: letters and template codes follow those before ([`tree`]), a column's codes
//! the ones before or a column to the left, numbers are differences to the one before, above or to the left, in stretches of
//! about equal frequency ([`bins`]). For each column the writer takes what needs the fewest bits. Nothing is learnt while rows
//! are read, so a stream ([`coder`]) starts with each run and each group.
//!
//! | question | cost |
//! |---|---|
//! | one row | half a run, some 500 values of 20 to 40 ns; for each word that is not remembered half a group, 2 to 5 us |
//! | rows in order | 20 to 40 ns a value |
//! | anything else | the block becomes a template index in memory (`unpacked`), and answers as that does |

#![allow(
    clippy::cast_possible_truncation,
    reason = "odds, widths and places are far below 2^31, and casts to usize index memory"
)]

use std::ops::{Bound, Range};
use std::sync::Arc;

use super::template::Templates;
use super::template::plan::Plan;
use super::unpacked::{Kept, Unpacked};
use super::{TextIndex, TextKind, TextPattern};
use crate::batch::ByteColumn;
use crate::error::{Error, Result};
use crate::rows::Mask;
use crate::section::Section;

mod bins;
mod block;
mod book;
mod coder;
mod directory;
mod fields;
mod read;
mod rows;
#[cfg(test)]
mod tests;
mod tree;
mod walk;
mod words;
mod write;

use block::Block;

/// Layout number of the section.
const LAYOUT: u16 = 1;
/// Bytes before the block directory.
const HEADER: u64 = 16;
/// Rows of a block at most.
const BLOCK_ROWS: usize = 1 << 22;

/// Encodes strings, in blocks of rows of up to `block_bytes` together.
///
/// # Errors
/// `InvalidArgument` if there are 2^32 blocks or more, or a block is longer than its parts can say.
pub fn encode(strings: &ByteColumn, block_bytes: u64) -> Result<Vec<u8>> {
    let blocks = blocks_of(strings, block_bytes);
    let count = u32::try_from(blocks.len())
        .map_err(|_| Error::invalid("packed templates have fewer than 2^32 blocks"))?;
    let mut out = Vec::new();
    out.extend_from_slice(&LAYOUT.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&(strings.len() as u64).to_le_bytes());
    let directory = out.len();
    out.resize(directory + blocks.len() * 16, 0);
    for (index, rows) in blocks.iter().enumerate() {
        let at = directory + index * 16;
        let start = out.len() as u64;
        out[at..at + 8].copy_from_slice(&(rows.start as u64).to_le_bytes());
        out[at + 8..at + 16].copy_from_slice(&start.to_le_bytes());
        let plan = if blocks.len() == 1 {
            Plan::of(strings)
        } else {
            let mut block = ByteColumn::default();
            rows.clone().for_each(|row| block.push(strings.get(row)));
            Plan::of(&block)
        };
        out.extend_from_slice(&write::block(plan)?);
    }
    Ok(out)
}

fn blocks_of(strings: &ByteColumn, block_bytes: u64) -> Vec<Range<usize>> {
    let at = |row: usize| strings.offsets().get(row).copied().unwrap_or(0);
    let mut blocks = Vec::new();
    let mut start = 0;
    for row in 0..strings.len() {
        let full = at(row + 1) - at(start) > block_bytes || row - start >= BLOCK_ROWS;
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

/// A block, and the index it becomes while that is in memory.
#[derive(Debug)]
struct Part {
    rows: Range<u64>,
    block: Block,
    unpacked: Kept,
}

impl Part {
    fn index(&self) -> Result<Arc<Unpacked>> {
        self.unpacked.index(|| Unpacked::new(self.block.plan()?))
    }
}

/// The read side.
#[derive(Debug)]
pub struct Cold {
    rows: u64,
    parts: Vec<Part>,
}

impl Cold {
    /// Opens a section.
    ///
    /// # Errors
    /// `Corrupt` if a header makes no sense for the section's length.
    pub fn open(section: Section) -> Result<Cold> {
        let layout = section.u16(0)?;
        if layout != LAYOUT {
            return Err(section.corrupt(0, format!("layout {layout} of cold text is unknown")));
        }
        let (count, rows) = (u64::from(section.u32(4)?), section.u64(8)?);
        let end = HEADER + count * 16;
        if end > section.len() || (count == 0) != (rows == 0) {
            return Err(section.corrupt(4, format!("{count} blocks of {rows} rows")));
        }
        let mut parts = Vec::with_capacity(count as usize);
        let at = |index: u64| -> Result<(u64, u64)> {
            if index == count {
                return Ok((rows, section.len()));
            }
            Ok((
                section.u64(HEADER + index * 16)?,
                section.u64(HEADER + index * 16 + 8)?,
            ))
        };
        for index in 0..count {
            let ((row, start), (next_row, next_start)) = (at(index)?, at(index + 1)?);
            let first = index > 0 || (row == 0 && start == end);
            if !first || row >= next_row || next_row - row > BLOCK_ROWS as u64 || start >= next_start {
                return Err(section.corrupt(HEADER + index * 16, "blocks overlap".to_string()));
            }
            parts.push(Part {
                rows: row..next_row,
                block: Block::open(section.sub(start..next_start)?, next_row - row)?,
                unpacked: Kept::default(),
            });
        }
        Ok(Cold { rows, parts })
    }

    /// Calls `visit` with each block that has rows of `range`, and these rows as rows of the block.
    fn each(&self, range: &Range<u64>, mut visit: impl FnMut(&Part, Range<u64>) -> Result<()>) -> Result<()> {
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

    fn check(&self, ranges: &[Range<u64>]) -> Result<()> {
        let mut end = 0;
        for range in ranges {
            if range.start < end || range.end < range.start || range.end > self.rows {
                return Err(self.outside(range.end));
            }
            end = range.end;
        }
        Ok(())
    }

    fn outside(&self, position: u64) -> Error {
        Error::OutOfRange {
            what: "string",
            position,
            end: self.rows,
        }
    }

    fn sum(
        &self,
        ranges: &[Range<u64>],
        count: impl Fn(&Templates, &[Range<u64>]) -> Result<u64>,
    ) -> Result<u64> {
        self.check(ranges)?;
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
        self.check(std::slice::from_ref(&range))?;
        if mask.len() as u64 != range.end - range.start {
            return Err(Error::invalid(format!(
                "a mask of {} bits for the strings {range:?}",
                mask.len()
            )));
        }
        self.each(&range, |part, rows| {
            let mut found = Mask::repeat(false, (rows.end - rows.start) as usize);
            let before = (part.rows.start + rows.start - range.start) as usize;
            select(&part.index()?.index, rows, &mut found)?;
            found.iter_ones().for_each(|row| mask.set(before + row, true));
            Ok(())
        })
    }
}

impl TextIndex for Cold {
    fn kind(&self) -> TextKind {
        TextKind::Cold
    }

    fn len(&self) -> u64 {
        self.rows
    }

    fn extract(&self, position: u64, out: &mut Vec<u8>) -> Result<()> {
        if position >= self.rows {
            return Err(self.outside(position));
        }
        self.each(&(position..position + 1), |part, rows| {
            part.block.extract(rows.start, out)
        })
    }

    fn decode(&self, range: Range<u64>, out: &mut ByteColumn) -> Result<()> {
        self.check(std::slice::from_ref(&range))?;
        self.each(&range, |part, rows| part.block.decode(rows, out))
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
        let names = ["templates", "directory", "starts", "dictionary", "rows", "rest"];
        let headers = HEADER + self.parts.len() as u64 * (16 + block::HEAD_BYTES);
        let mut parts = vec![("headers".to_string(), headers * 8)];
        for (index, name) in names.into_iter().enumerate() {
            let bytes: u64 = self.parts.iter().map(|part| part.block.part_bytes(index)).sum();
            parts.push((name.to_string(), bytes * 8));
        }
        parts
    }
}
