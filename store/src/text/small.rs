//! The templates of rows, packed: for rows that are seldom read.
//!
//! Good at what [`template`](super::template) is good at, in about two thirds of its bytes. Nothing is found in packed
//! bytes: a block is unpacked when it is first asked, becomes a template index in memory, and answers as that does. The
//! blocks used last, of all indexes together, stay in memory (`unpacked`).
//!
//! ```text
//!  0  u16 layout (1), u16 bits of the tables, u32 blocks
//!  8  u64 rows
//! 16  u64 zero
//! 24  per block: u64 first row, u64 start
//!     the blocks: a stream of decisions each
//! ```
//!
//! A stream holds, one after the other, the templates' texts, the rows of no template and the dictionary ([`letters`]), what
//! each column is kept as, and then the rows in order, each as its template and what its columns say ([`walk`]). Every
//! bit has the odds that several contexts give together ([`mix`]): values before in the column, to the left in
//! the row, what followed the same value elsewhere, what stood at this place lately. So a value that another kind of line
//! has just said costs a fraction of a bit.
//!
//! Costs: 20 to 40 decisions for each variable of a row, about 0.1 us each, to write and to unpack; a question of an
//! unpacked block as one of templates. For one row its block is unpacked: text of which little repeats comes in blocks of a
//! few megabytes, so that this takes seconds at most.

#![allow(
    clippy::cast_possible_truncation,
    reason = "odds, widths and places are far below 2^31, and values are cut to as many bits as were written"
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
use coder::{Decoder, Encoder};
use mix::{Mixer, bits_of};

mod coder;
mod letters;
mod mix;
#[cfg(test)]
mod tests;
mod value;
mod walk;

/// Layout number of the section.
const LAYOUT: u16 = 1;
/// Bytes before the block directory.
const HEADER: u64 = 24;
/// Bytes of rows up to which a block is filled, where no other wish is known.
pub const BLOCK_BYTES: u64 = 64 << 20;
/// Decisions up to which a block is filled: each takes about 0.1 us when it is unpacked.
const BLOCK_DECISIONS: u64 = 20_000_000;
/// Bytes of the rows that decisions are counted on before.
const SAMPLE_BYTES: u64 = 512 << 10;
/// Rows of a block at most.
const BLOCK_ROWS: usize = 1 << 22;
/// Bits of the tables: least, as written at most, as read at most.
const LEAST_BITS: u32 = 10;
const MOST_BITS: u32 = 18;
const READ_BITS: u32 = 22;
/// Encodes strings, in blocks of rows of up to `block_bytes` together.
///
/// # Errors
/// `InvalidArgument` if there are 2^32 blocks or more.
pub fn encode(strings: &ByteColumn, block_bytes: u64) -> Result<Vec<u8>> {
    let blocks = blocks_of(strings, block_bytes.min(quick_block(strings)?));
    let count = u32::try_from(blocks.len())
        .map_err(|_| Error::invalid("packed templates have fewer than 2^32 blocks"))?;
    let largest = blocks
        .iter()
        .map(|rows| bytes_of(strings, rows))
        .max()
        .unwrap_or(0);
    let bits = bits_of(largest).clamp(LEAST_BITS, MOST_BITS);
    let mut out = Vec::new();
    out.extend_from_slice(&LAYOUT.to_le_bytes());
    out.extend_from_slice(&(bits as u16).to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&(strings.len() as u64).to_le_bytes());
    out.extend_from_slice(&[0; 8]);
    let directory = out.len();
    out.resize(directory + blocks.len() * 16, 0);
    for (index, rows) in blocks.iter().enumerate() {
        let at = directory + index * 16;
        let start = out.len() as u64;
        out[at..at + 8].copy_from_slice(&(rows.start as u64).to_le_bytes());
        out[at + 8..at + 16].copy_from_slice(&start.to_le_bytes());
        out.extend_from_slice(&pack(strings, rows.clone(), bits)?.0);
    }
    Ok(out)
}

/// Bytes of rows that are unpacked in about [`BLOCK_DECISIONS`], by the first rows.
fn quick_block(strings: &ByteColumn) -> Result<u64> {
    let rows = strings
        .offsets()
        .partition_point(|&end| end <= SAMPLE_BYTES)
        .max(2)
        - 1;
    if rows >= strings.len() {
        return Ok(BLOCK_BYTES);
    }
    let bytes = bytes_of(strings, &(0..rows));
    let (_, decisions) = pack(strings, 0..rows, MOST_BITS)?;
    let block = u128::from(bytes) * u128::from(BLOCK_DECISIONS) / u128::from(decisions.max(1));
    Ok(u64::try_from(block).unwrap_or(u64::MAX).max(SAMPLE_BYTES / 8))
}

fn bytes_of(strings: &ByteColumn, rows: &Range<usize>) -> u64 {
    let at = |row: usize| strings.offsets().get(row).copied().unwrap_or(0);
    at(rows.end) - at(rows.start)
}

fn blocks_of(strings: &ByteColumn, block_bytes: u64) -> Vec<Range<usize>> {
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

/// Packs rows; gives the number of decisions too.
fn pack(strings: &ByteColumn, rows: Range<usize>, bits: u32) -> Result<(Vec<u8>, u64)> {
    let count = rows.len();
    let mut plan = if count == strings.len() {
        Plan::of(strings)
    } else {
        let mut block = ByteColumn::default();
        rows.for_each(|row| block.push(strings.get(row)));
        Plan::of(&block)
    };
    let mut mixer = Mixer::new(Encoder::new(), bits);
    walk::walk(&mut plan, &mut mixer, count, bits)
        .ok_or_else(|| Error::invalid("rows cannot be kept as templates"))?;
    let decisions = mixer.decisions();
    Ok((mixer.into_coder().finish(), decisions))
}

/// A block, and the index it becomes while that is in memory.
#[derive(Debug)]
struct Block {
    rows: Range<u64>,
    section: Section,
    unpacked: Kept,
}

impl Block {
    fn index(&self, bits: u32) -> Result<Arc<Unpacked>> {
        self.unpacked.index(|| self.unpack(bits))
    }

    fn unpack(&self, bits: u32) -> Result<Unpacked> {
        let wrong = || {
            self.section
                .corrupt(0, "a packed block makes no sense".to_string())
        };
        let rows = usize::try_from(self.rows.end - self.rows.start).map_err(|_| wrong())?;
        let mut mixer = Mixer::new(Decoder::new(self.section.all()?), bits);
        let mut plan = Plan::default();
        walk::walk(&mut plan, &mut mixer, rows, bits).ok_or_else(wrong)?;
        drop(mixer);
        let unpacked = Unpacked::new(plan)?;
        if unpacked.len() == self.rows.end - self.rows.start {
            Ok(unpacked)
        } else {
            Err(wrong())
        }
    }
}

/// The read side.
#[derive(Debug)]
pub struct Small {
    rows: u64,
    bits: u32,
    blocks: Vec<Block>,
    bytes: u64,
}

impl Small {
    /// Opens a section.
    ///
    /// # Errors
    /// `Corrupt` if the header makes no sense for the section's length.
    pub fn open(section: Section) -> Result<Small> {
        let layout = section.u16(0)?;
        if layout != LAYOUT {
            return Err(section.corrupt(0, format!("layout {layout} of packed templates is unknown")));
        }
        let bits = u32::from(section.u16(2)?);
        if !(LEAST_BITS..=READ_BITS).contains(&bits) {
            return Err(section.corrupt(2, format!("tables of {bits} bits")));
        }
        let (count, rows) = (u64::from(section.u32(4)?), section.u64(8)?);
        let end = HEADER + count * 16;
        if end > section.len() || (count == 0) != (rows == 0) {
            return Err(section.corrupt(4, format!("{count} blocks of {rows} rows")));
        }
        let mut blocks = Vec::with_capacity(count as usize);
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
            blocks.push(Block {
                rows: row..next_row,
                section: section.sub(start..next_start)?,
                unpacked: Kept::default(),
            });
        }
        Ok(Small {
            rows,
            bits,
            blocks,
            bytes: section.len(),
        })
    }

    /// Calls `visit` with each block that has rows of `range`, and these rows as rows of the block.
    fn each(
        &self,
        range: &Range<u64>,
        mut visit: impl FnMut(&Block, Range<u64>) -> Result<()>,
    ) -> Result<()> {
        let first = self.blocks.partition_point(|block| block.rows.end <= range.start);
        for block in self.blocks.iter().skip(first) {
            if block.rows.start >= range.end {
                break;
            }
            let start = range.start.max(block.rows.start) - block.rows.start;
            let end = range.end.min(block.rows.end) - block.rows.start;
            visit(block, start..end)?;
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
        for block in &self.blocks {
            let rows = &block.rows;
            let inside: Vec<Range<u64>> = ranges
                .iter()
                .map(|range| range.start.max(rows.start)..range.end.min(rows.end))
                .filter(|range| range.start < range.end)
                .map(|range| range.start - rows.start..range.end - rows.start)
                .collect();
            if !inside.is_empty() {
                sum += count(&block.index(self.bits)?.index, &inside)?;
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
        self.each(&range, |block, rows| {
            let mut part = Mask::repeat(false, (rows.end - rows.start) as usize);
            let before = (block.rows.start + rows.start - range.start) as usize;
            select(&block.index(self.bits)?.index, rows, &mut part)?;
            part.iter_ones().for_each(|row| mask.set(before + row, true));
            Ok(())
        })
    }
}

impl TextIndex for Small {
    fn kind(&self) -> TextKind {
        TextKind::Small
    }

    fn len(&self) -> u64 {
        self.rows
    }

    fn extract(&self, position: u64, out: &mut Vec<u8>) -> Result<()> {
        if position >= self.rows {
            return Err(self.outside(position));
        }
        self.each(&(position..position + 1), |block, rows| {
            block.index(self.bits)?.index.extract(rows.start, out)
        })
    }

    fn decode(&self, range: Range<u64>, out: &mut ByteColumn) -> Result<()> {
        self.check(std::slice::from_ref(&range))?;
        self.each(&range, |block, rows| {
            block.index(self.bits)?.index.decode(rows, out)
        })
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
        let headers = HEADER + self.blocks.len() as u64 * 16;
        vec![
            ("headers".to_string(), headers * 8),
            ("packed templates".to_string(), (self.bytes - headers) * 8),
        ]
    }
}
