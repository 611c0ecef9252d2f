//! FM-index: any text, searched in the compressed form.
//!
//! Good at free text and at counts: rows that contain a substring are counted in a few microseconds whatever the
//! text's length, at a fifth of its bytes or less. Rows are read back from the index itself, one rank-and-access a
//! byte, so scanning whole columns is what it is worst at.
//!
//! ```text
//!  0  u16 layout (1), u16 zero, u32 blocks
//!  8  u64 rows
//! 16  u64 symbols a block was filled up to
//! 24  u64 zero
//! 32  per block: u64 first row, u64 start of its bytes (a multiple of 64)
//!     blocks, see `block.rs`
//! ```
//!
//! Each block is an index of its own: suffix array of its rows with separators that sort by row number
//! ([`sort`]), its Burrows-Wheeler transform in a Huffman-shaped wavelet tree ([`tree`]) over adaptive bit vectors
//! ([`bits`]), and three optional or small parts: the permutation from byte order to row order, row numbers at every
//! 64th byte of a row, and counters that turn occurrences into rows.
//!
//! | question (whole block) | cost |
//! |---|---|
//! | rows that contain, start with, end with, equal, or lie between | two ranks a byte of the pattern |
//! | rows by number | up to 64 steps a hit |
//! | one row | one step a byte |
//!
//! After Ferragina and Manzini (FOCS 2000) for the index, Sadakane (J. Discrete Algorithms 2007) for counting rows.

#![allow(
    clippy::cast_possible_truncation,
    reason = "a block has fewer than 2^28 symbols, and casts to usize index memory"
)]

use std::ops::{Bound, Range};

use super::{TextIndex, TextKind, TextPattern, check};
use crate::batch::ByteColumn;
use crate::codes::choose::{FmParts, Layout};
use crate::error::{Error, Result};
use crate::rows::Mask;
use crate::section::Section;

mod bits;
mod block;
mod locate;
pub(in crate::text) mod packed;
mod plain;
mod refit;
mod rowset;
mod search;
mod sort;
mod sparse;
mod tree;

use block::Block;
use search::Question;

/// Layout number of the section.
const LAYOUT: u16 = 1;
/// Bytes before the block directory.
const HEADER: u64 = 32;
/// Bytes of a directory entry.
const ENTRY: u64 = 16;

/// What an index is built with; everything but the block size can be left out and costs only speed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FmOptions {
    /// Bytes of rows (and one a row) in a block; building takes about twelve times as much memory.
    pub block_bytes: u64,
    /// Distance in bytes between places of a row that carry its number; 0 for none.
    pub sample_step: u16,
    /// Whether rows are counted without being located.
    pub row_counters: bool,
}

impl Default for FmOptions {
    fn default() -> Self {
        FmOptions {
            block_bytes: 16 << 20,
            sample_step: 64,
            row_counters: true,
        }
    }
}

impl FmOptions {
    /// The default, with the parts that a layout wishes for.
    pub fn of(wish: Layout) -> Self {
        let (sample_step, row_counters) = match wish {
            Layout::Fm(FmParts::Rows32) => (32, true),
            Layout::Fm(FmParts::Counts) => (0, true),
            Layout::Fm(FmParts::Least) => (0, false),
            _ => (64, true),
        };
        FmOptions {
            sample_step,
            row_counters,
            ..FmOptions::default()
        }
    }
}

/// Encodes strings with the default options.
///
/// # Errors
/// None today; a column that no block can hold would be `InvalidArgument`.
pub fn encode(strings: &ByteColumn) -> Result<Vec<u8>> {
    encode_with(strings, &FmOptions::default())
}

/// Encodes strings.
///
/// # Errors
/// `InvalidArgument` if `block_bytes` is not 64 to 128 Mi.
pub fn encode_with(strings: &ByteColumn, options: &FmOptions) -> Result<Vec<u8>> {
    if !(64..=block::MAX_SYMBOLS / 2).contains(&options.block_bytes) {
        return Err(Error::invalid(format!(
            "a block of {} bytes cannot be indexed; use 64 to {}",
            options.block_bytes,
            block::MAX_SYMBOLS / 2
        )));
    }
    let long = (options.block_bytes / 4) as usize;
    let blocks = split(strings, long, options.block_bytes);
    let mut out = Vec::new();
    out.extend_from_slice(&LAYOUT.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&(blocks.len() as u32).to_le_bytes());
    for number in [strings.len() as u64, options.block_bytes, 0] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.resize(out.len() + blocks.len() * ENTRY as usize, 0);
    for (index, rows) in blocks.into_iter().enumerate() {
        let first = rows.start as u64;
        let bytes = block::encode(rows.map(|row| strings.get(row)), long, options);
        append(&mut out, index, first, &bytes);
    }
    Ok(out)
}

/// Adds block `index`, whose rows start at `first`.
fn append(out: &mut Vec<u8>, index: usize, first: u64, bytes: &[u8]) {
    out.resize(out.len().next_multiple_of(64), 0);
    let at = HEADER as usize + index * ENTRY as usize;
    let start = out.len() as u64;
    for (place, number) in [(at, first), (at + 8, start)] {
        if let Some(field) = out.get_mut(place..place + 8) {
            field.copy_from_slice(&number.to_le_bytes());
        }
    }
    if bytes.len() > out.len() {
        out.reserve_exact(bytes.len());
    }
    out.extend_from_slice(bytes);
}

/// Row ranges of the blocks.
fn split(strings: &ByteColumn, long: usize, block_bytes: u64) -> Vec<Range<usize>> {
    let mut blocks = Vec::new();
    let (mut first, mut symbols) = (0, 0);
    for row in 0..strings.len() {
        let length = strings.get(row).len();
        let weight = 1 + if length > long { 0 } else { length as u64 };
        if symbols + weight > block_bytes {
            blocks.push(first..row);
            (first, symbols) = (row, 0);
        }
        symbols += weight;
    }
    if first < strings.len() {
        blocks.push(first..strings.len());
    }
    blocks
}

/// The read side.
#[derive(Debug)]
pub struct Fm {
    rows: u64,
    blocks: Vec<Block>,
    section: Section,
}

impl Fm {
    /// Opens a section.
    ///
    /// # Errors
    /// `Corrupt` if the headers of section and blocks make no sense.
    pub fn open(section: Section) -> Result<Fm> {
        let layout = section.u16(0)?;
        if layout != LAYOUT {
            return Err(section.corrupt(0, format!("layout {layout} of an FM-index is unknown")));
        }
        let (count, rows) = (u64::from(section.u32(4)?), section.u64(8)?);
        let claimed = HEADER + count * ENTRY;
        if claimed > section.len() || (count == 0) != (rows == 0) || count > rows {
            return Err(section.corrupt(
                4,
                format!("{count} blocks of {rows} rows in {} bytes", section.len()),
            ));
        }
        let mut blocks = Vec::with_capacity(count as usize);
        for index in 0..count {
            let at = HEADER + index * ENTRY;
            let (first, start) = (section.u64(at)?, section.u64(at + 8)?);
            let (next, end) = if index + 1 < count {
                (section.u64(at + ENTRY)?, section.u64(at + ENTRY + 8)?)
            } else {
                (rows, section.len())
            };
            if first >= next || start < claimed || start > end || (index == 0 && first != 0) {
                return Err(section.corrupt(
                    at,
                    format!("block {index} of rows {first}..{next} at bytes {start}..{end}"),
                ));
            }
            blocks.push(Block::open(section.sub(start..end)?, first, next - first)?);
        }
        Ok(Fm {
            rows,
            blocks,
            section,
        })
    }

    /// What the index was built with.
    pub fn options(&self) -> FmOptions {
        let first = self.blocks.first();
        FmOptions {
            // Was read when the index was opened.
            block_bytes: self.section.u64(16).unwrap_or_default(),
            sample_step: first.map_or(0, Block::sample_step),
            row_counters: first.is_some_and(Block::has_counters),
        }
    }

    /// How many strings are below `bound` in byte order, or below or equal to it. Where the strings are in byte order,
    /// that is the place of the first one that is not.
    ///
    /// # Complexity
    /// Two ranks a byte of the bound, in each block.
    pub fn below(&self, bound: &[u8], or_equal: bool) -> Result<u64> {
        let mut below = 0;
        for block in &self.blocks {
            let wrong = || block.corrupt("a search left the index");
            let view = block.view()?;
            below += search::rows_below(&view, bound, or_equal).ok_or_else(wrong)?;
            // Long strings stand in the index as empty ones.
            let mut long = 0;
            for index in 0..block.long_count() {
                let string = block.long_bytes(index)?;
                long += u64::from(string < bound || (or_equal && string == bound));
            }
            if or_equal || !bound.is_empty() {
                below = (below + long).checked_sub(block.long_count()).ok_or_else(wrong)?;
            }
        }
        Ok(below)
    }

    /// Numbers of the strings that are `bytes` (`whole`) or start with them, where all strings are in byte order; `None`
    /// if some are too long to be in the index.
    ///
    /// # Complexity
    /// Two ranks a byte in each block, fewer where no string has the last few.
    pub fn stretch(&self, bytes: &[u8], whole: bool) -> Result<Option<Range<u64>>> {
        let mut found: Option<Range<u64>> = None;
        for block in &self.blocks {
            if block.long_count() > 0 {
                return Ok(None);
            }
            let wrong = || block.corrupt("a search left the index");
            let ranks = search::ranks(&block.view()?, bytes, whole).ok_or_else(wrong)?;
            if ranks.is_empty() {
                continue;
            }
            let here = block.first_row + ranks.start..block.first_row + ranks.end;
            let start = found.map_or(here.start, |before| before.start);
            found = Some(start..here.end);
        }
        Ok(Some(found.unwrap_or(0..0)))
    }

    /// [`Fm::stretch`] in any case of ASCII letters: a stretch for each spelling, in no order; `None` also if there are
    /// too many.
    pub fn stretches_any_case(&self, bytes: &[u8], whole: bool) -> Result<Option<Vec<Range<u64>>>> {
        let mut found = Vec::new();
        for block in &self.blocks {
            if block.long_count() > 0 {
                return Ok(None);
            }
            let wrong = || block.corrupt("a search left the index");
            let ranks = search::ranks_of_spellings(&block.view()?, bytes, whole).ok_or_else(wrong)?;
            let Some(ranks) = ranks else { return Ok(None) };
            let first = block.first_row;
            found.extend(
                ranks
                    .into_iter()
                    .map(|ranks| first + ranks.start..first + ranks.end),
            );
        }
        Ok(Some(found))
    }

    /// Calls `visit` with the last `limit` bytes of each string, in order.
    ///
    /// # Complexity
    /// One step a byte.
    pub fn tails(&self, limit: usize, mut visit: impl FnMut(&[u8])) -> Result<()> {
        let mut tail = Vec::with_capacity(limit);
        for block in &self.blocks {
            let view = block.view()?;
            let rows = block.range();
            for row in 0..rows.end - rows.start {
                tail.clear();
                if let Some(index) = block.find_long(row)? {
                    let string = block.long_bytes(index)?;
                    visit(&string[string.len().saturating_sub(limit)..]);
                    continue;
                }
                let mut position = row;
                while tail.len() < limit {
                    let step = view.step(position);
                    let step = step.ok_or_else(|| block.corrupt("a row cannot be read from the index"))?;
                    let Ok((byte, previous)) = step else { break };
                    tail.push(byte);
                    position = previous;
                }
                tail.reverse();
                visit(&tail);
            }
        }
        Ok(())
    }

    /// The strings that match, in order.
    pub fn find(&self, pattern: &TextPattern) -> Result<Vec<u64>> {
        let mut found = Vec::new();
        for block in &self.blocks {
            let rows = block.range();
            search::select(
                block,
                0..rows.end - rows.start,
                &Question::Pattern(pattern),
                &mut |row| {
                    found.push(rows.start + row);
                },
            )?;
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    fn block_of(&self, row: u64) -> Result<&Block> {
        let index = self.blocks.partition_point(|block| block.range().end <= row);
        self.blocks.get(index).ok_or(Error::OutOfRange {
            what: "string",
            position: row,
            end: self.rows,
        })
    }

    fn count_question(&self, ranges: &[Range<u64>], question: &Question<'_>) -> Result<u64> {
        check::ranges(self.rows, ranges)?;
        let mut count = 0;
        let mut inside = Vec::new();
        for block in &self.blocks {
            let rows = block.range();
            let first = ranges.partition_point(|range| range.end <= rows.start);
            inside.clear();
            for range in ranges[first..].iter().take_while(|range| range.start < rows.end) {
                let (start, end) = (range.start.max(rows.start), range.end.min(rows.end));
                push_range(&mut inside, start - rows.start..end - rows.start);
            }
            if !inside.is_empty() {
                count += search::count(block, &inside, question)?;
            }
        }
        Ok(count)
    }

    fn select_question(&self, range: Range<u64>, question: &Question<'_>, mask: &mut Mask) -> Result<()> {
        check::mask(self.rows, &range, mask)?;
        for block in &self.blocks {
            let rows = block.range();
            let (start, end) = (range.start.max(rows.start), range.end.min(rows.end));
            if start < end {
                let base = rows.start;
                search::select(block, start - base..end - base, question, &mut |row| {
                    mask.set((base + row - range.start) as usize, true);
                })?;
            }
        }
        Ok(())
    }
}

/// Adds a range that starts at or after the last one's end; touching ranges are joined, so that "all rows" is one range.
fn push_range(ranges: &mut Vec<Range<u64>>, range: Range<u64>) {
    match ranges.last_mut() {
        _ if range.start >= range.end => {}
        Some(last) if last.end == range.start => last.end = range.end,
        _ => ranges.push(range),
    }
}

impl TextIndex for Fm {
    fn kind(&self) -> TextKind {
        TextKind::Fm
    }

    fn name(&self) -> &'static str {
        let options = self.options();
        match (options.sample_step, options.row_counters) {
            (0, false) => Layout::Fm(FmParts::Least).name(),
            (0, true) => Layout::Fm(FmParts::Counts).name(),
            (32, true) => Layout::Fm(FmParts::Rows32).name(),
            _ => self.kind().name(),
        }
    }

    fn refit(&self, wish: Layout, block_bytes: Option<u64>) -> Result<Option<Vec<u8>>> {
        let wanted = FmOptions::of(wish);
        let blocks_grow = self.is_cut(block_bytes.unwrap_or(wanted.block_bytes));
        if !matches!(wish, Layout::Fm(_)) || blocks_grow {
            return Ok(None);
        }
        let mut out = self.section.bytes(0..HEADER)?.to_vec();
        out.resize(out.len() + self.blocks.len() * ENTRY as usize, 0);
        for (index, block) in self.blocks.iter().enumerate() {
            let Some(bytes) = refit::refit(block, &wanted)? else {
                return Ok(None);
            };
            append(&mut out, index, block.first_row, &bytes);
        }
        Ok(Some(out))
    }

    fn is_cut(&self, block_bytes: u64) -> bool {
        self.blocks.len() > 1 && self.options().block_bytes <= block_bytes / 2
    }

    fn len(&self) -> u64 {
        self.rows
    }

    fn extract(&self, position: u64, out: &mut Vec<u8>) -> Result<()> {
        let block = self.block_of(position)?;
        let row = position - block.first_row;
        if let Some(index) = block.find_long(row)? {
            out.extend_from_slice(block.long_bytes(index)?);
            return Ok(());
        }
        let from = out.len();
        if block.view()?.extract(row, out).is_none() {
            out.truncate(from);
            return Err(block.corrupt("a row cannot be read from the index"));
        }
        Ok(())
    }

    fn decode(&self, range: Range<u64>, out: &mut ByteColumn) -> Result<()> {
        check::ranges(self.rows, std::slice::from_ref(&range))?;
        for block in &self.blocks {
            let rows = block.range();
            let (start, end) = (range.start.max(rows.start), range.end.min(rows.end));
            if start < end {
                search::read(
                    &block.view()?,
                    start - rows.start..end - rows.start,
                    |row, bytes| {
                        match block.find_long(row)? {
                            Some(index) => out.push(block.long_bytes(index)?),
                            None => out.push(bytes),
                        }
                        Ok(())
                    },
                )?;
            }
        }
        Ok(())
    }

    fn count(&self, ranges: &[Range<u64>], pattern: &TextPattern) -> Result<u64> {
        self.count_question(ranges, &Question::Pattern(pattern))
    }

    fn select(&self, range: Range<u64>, pattern: &TextPattern, mask: &mut Mask) -> Result<()> {
        self.select_question(range, &Question::Pattern(pattern), mask)
    }

    fn count_between(&self, ranges: &[Range<u64>], low: Bound<&[u8]>, high: Bound<&[u8]>) -> Result<u64> {
        self.count_question(ranges, &Question::Between(low, high))
    }

    fn select_between(
        &self,
        range: Range<u64>,
        low: Bound<&[u8]>,
        high: Bound<&[u8]>,
        mask: &mut Mask,
    ) -> Result<()> {
        self.select_question(range, &Question::Between(low, high), mask)
    }

    fn parts(&self) -> Vec<(String, u64)> {
        let mut parts: Vec<(String, u64)> = Vec::new();
        for (name, bytes) in self.blocks.iter().flat_map(Block::part_bytes) {
            match parts.iter_mut().find(|(known, _)| known == name) {
                Some((_, bits)) => *bits += bytes * 8,
                None => parts.push((name.to_string(), bytes * 8)),
            }
        }
        let known: u64 = parts.iter().map(|(_, bits)| bits).sum();
        parts.push(("headers".to_string(), self.section.len() * 8 - known));
        parts
    }
}
