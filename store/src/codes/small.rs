//! Small blocks of entropy-coded residuals: the `small` layout.
//!
//! Good at: size, about that of the best numeric compressors, with one random value in a few hundred nanoseconds and
//! decoding at some gigabytes a second. What is asked of many codes is answered by decoding them, in bounded buffers.
//!
//! Codes are cut into *chunks* of 65,536 rows and these into *blocks* (256 rows unless told otherwise). A chunk chooses, on a sample of
//! its rows, how codes are predicted (a constant, the code before, the line through the two before, a weighted sum of 4 or 8 before)
//! and what the two bit streams of a block hold: residuals in turns; quotients and remainders by a common base; or lengths
//! of runs of zero residuals and what stands between. A residual is a *bin*, Huffman-coded, and its place in the bin as
//! plain bits. One stream grows from a block's front, the other from its back: two chains of look-ups at once.
//!
//! ```text
//! offset 0   u64  number of codes n
//!        8   u64  bits of Huffman codes, for information
//!       16   u64  for each started 65,536 codes the offset of a chunk
//!            chunks: u32 length of the header; header; bits of the blocks, up to the next byte
//!            16 zero bytes
//! ```
//!
//! A chunk's header is read when the chunk is first asked for, and kept with its decoding tables: about 16 KB, a
//! quarter of that where it shares another chunk's. After that `get` reads the bytes of one block and decodes up to the row: half a block on the mean.
//!
//! Bins with offsets and their fitting by dynamic programming follow Loncaric, Jeppesen, Zinberg, "Pcodec: better compression for
//! numerical sequences" (2025).

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "fields of at most 64 bits are cut out of words, and residuals wrap"
)]

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::layout::MiniBlock;
use super::{
    Codes, CodesKind, Interval, check_each, check_places, check_position, check_range, check_ranges,
    check_rank,
};
use crate::error::{Error, Result};
use crate::rows::{Mask, index};
use crate::section::{Section, View};

mod bins;
mod bits;
mod block;
mod choose;
mod chunk;
mod encode;
mod huffman;
mod linear;
mod predict;
mod query;
mod table;
#[cfg(test)]
mod tests;

use block::Block;
use chunk::{CHUNK_ROWS, Chunk, Coded};
pub use encode::encode_with;
#[cfg(target_arch = "x86_64")]
pub(crate) use table::Extract;

/// Bytes before the offsets of the chunks.
const HEADER_BYTES: u64 = 16;

/// Zero bytes at the end, so that a block is read in whole words.
const TAIL_BYTES: usize = 16;

/// Choices of the writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Rows of a block; twice as many where a code takes less than two and a half bits, and more in runs.
    pub block_rows: MiniBlock,
    /// Whether codes may be predicted by weighted sums of the 4 codes before (with 512 rows a block also of 8), where that
    /// saves 3 % and more; decoding is slower.
    pub linear: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            block_rows: MiniBlock::default(),
            linear: true,
        }
    }
}

impl Options {
    /// Weights of the linear predictions to try: the more, the slower to decode.
    fn orders(self) -> &'static [usize] {
        match (self.linear, self.block_rows) {
            (false, _) => &[],
            (true, MiniBlock::Rows512) => &[4, 8],
            (true, _) => &[4],
        }
    }
}

/// Encodes `codes` with the usual options.
pub fn encode(codes: &[u64]) -> Vec<u8> {
    encode_with(codes, Options::default())
}

/// About how many bits a code of a column takes of which `pieces` are stretches of consecutive codes, in row order.
///
/// A few stretches of 256 rows are enough; it costs some 100 ns a row.
pub fn estimate_bits(pieces: &[&[u64]], options: Options) -> f64 {
    let codes = || pieces.iter().flat_map(|piece| piece.iter().copied());
    let (Some(least), Some(greatest)) = (codes().min(), codes().max()) else {
        return 0.0;
    };
    if least == greatest {
        return 0.0;
    }
    let plan = choose::plan(pieces, least, options);
    // A block's size and its anchor, less the residual that the anchor stands for.
    plan.bits + 12.0 / f64::from(1u32 << plan.block_log)
}

/// The read side.
#[derive(Debug)]
pub struct Small {
    section: Section,
    len: u64,
    code_bits: u64,
    chunks: Vec<OnceLock<Chunk>>,
}

impl Small {
    /// Opens a section.
    ///
    /// # Errors
    /// `Corrupt` if the section is too short for the offsets of its chunks.
    pub fn open(section: Section) -> Result<Small> {
        let (len, code_bits) = (section.u64(0)?, section.u64(8)?);
        let count = len.div_ceil(CHUNK_ROWS as u64);
        if count
            .saturating_mul(8)
            .saturating_add(HEADER_BYTES + TAIL_BYTES as u64)
            > section.len()
        {
            return Err(section.corrupt(0, format!("{len} codes in {} bytes", section.len())));
        }
        Ok(Small {
            section,
            len,
            code_bits,
            chunks: (0..count).map(|_| OnceLock::new()).collect(),
        })
    }

    /// Form, predictor and rows of a block of each chunk.
    ///
    /// # Errors
    /// `Corrupt` if a chunk's header makes no sense.
    pub fn plans(&self) -> Result<Vec<String>> {
        (0..self.chunks.len())
            .map(|number| Ok(self.chunk(number)?.describe()))
            .collect()
    }

    /// Rows of chunk `index`.
    fn chunk_rows(&self, index: usize) -> usize {
        let start = index as u64 * CHUNK_ROWS as u64;
        (self.len - start).min(CHUNK_ROWS as u64) as usize
    }

    /// The chunk, its header read and its tables built when it is first asked for.
    #[inline]
    fn chunk(&self, number: usize) -> Result<&Chunk> {
        match self.chunks.get(number).map(OnceLock::get) {
            Some(Some(chunk)) => Ok(chunk),
            _ => self.load(number),
        }
    }

    #[cold]
    fn load(&self, number: usize) -> Result<&Chunk> {
        let table = HEADER_BYTES + number as u64 * 8;
        let Some(slot) = self.chunks.get(number) else {
            return Err(Error::OutOfRange {
                what: "chunk",
                position: number as u64,
                end: self.chunks.len() as u64,
            });
        };
        let view = self.section.view();
        let start = view.u64(table)?;
        let header_len = u32::from_le_bytes(view.array(start)?);
        let header_start = start.saturating_add(4);
        let header = view.bytes(header_start, header_len as usize)?;
        let data = header_start.saturating_add(u64::from(header_len));
        let senseless = || {
            self.section
                .corrupt(start, format!("the header of chunk {number} makes no sense"))
        };
        // Blocks are read with 8 bytes before and 8 behind.
        let left = (self.section.len().saturating_sub(8)).saturating_sub(data);
        let find = |distance: usize| {
            let other = number
                .checked_sub(distance)
                .map(|other| self.chunk(other))
                .transpose()?;
            match other.and_then(|chunk| chunk.coded.as_ref()) {
                Some(coded) if coded.owns_tables => Ok(Arc::clone(&coded.tables)),
                _ => Err(senseless()),
            }
        };
        let chunk = chunk::read(
            header,
            self.chunk_rows(number),
            data,
            left.saturating_mul(8),
            find,
        )?
        .ok_or_else(senseless)?;
        Ok(slot.get_or_init(|| chunk))
    }

    /// The bytes of block `index` of a chunk, with what stands before and behind.
    #[inline(always)]
    fn block<'a>(&self, view: &View<'a>, coded: &Coded, index: usize) -> Result<Block<'a>> {
        let (Some(start), Some(end)) = (coded.blocks.get(index), coded.blocks.get(index + 1)) else {
            return Err(view.corrupt(coded.data, format!("no block {index}")));
        };
        let (first, last) = (start.bit as usize / 8, end.bit as usize / 8);
        let bytes = view.bytes(coded.data - 8 + first as u64, last - first + 17)?;
        Ok(Block {
            bytes,
            start: start.bit as usize - first * 8 + 64,
            end: end.bit as usize - first * 8 + 64,
            anchor: start.anchor,
        })
    }

    fn get_here(&self, view: &View<'_>, position: u64) -> Result<u64> {
        let chunk = self.chunk(index(position / CHUNK_ROWS as u64))?;
        let Some(coded) = &chunk.coded else {
            return Ok(chunk.least);
        };
        let row = position as usize % CHUNK_ROWS;
        let block = self.block(view, coded, row >> coded.block_log)?;
        Ok(coded.decode_block(&block, row % (1 << coded.block_log) + 1, &mut []))
    }

    /// Codes `range` of one chunk.
    fn decode_chunk(
        &self,
        view: &View<'_>,
        chunk: &Chunk,
        range: Range<usize>,
        mut out: &mut [u64],
    ) -> Result<()> {
        let Some(coded) = &chunk.coded else {
            out.fill(chunk.least);
            return Ok(());
        };
        let block_rows = 1usize << coded.block_log;
        let mut at = range.start;
        let mut before = Vec::new();
        while at < range.end {
            let block = self.block(view, coded, at >> coded.block_log)?;
            let first = at % block_rows;
            let rows = (block_rows - first).min(range.end - at);
            let Some((here, rest)) = out.split_at_mut_checked(rows) else {
                return Ok(());
            };
            if first == 0 {
                coded.decode_block(&block, rows, here);
            } else {
                before.resize(first + rows, 0);
                coded.decode_block(&block, first + rows, &mut before);
                here.copy_from_slice(before.get(first..).unwrap_or_default());
            }
            out = rest;
            at += rows;
        }
        Ok(())
    }

    /// Codes `range` of all.
    fn decode_here(&self, range: Range<u64>, mut out: &mut [u64]) -> Result<()> {
        let view = self.section.view();
        let mut at = range.start;
        while at < range.end {
            let chunk = self.chunk(index(at / CHUNK_ROWS as u64))?;
            let first = at as usize % CHUNK_ROWS;
            let rows = ((CHUNK_ROWS - first) as u64).min(range.end - at) as usize;
            let Some((here, rest)) = out.split_at_mut_checked(rows) else {
                return Ok(());
            };
            self.decode_chunk(&view, chunk, first..first + rows, here)?;
            out = rest;
            at += rows as u64;
        }
        Ok(())
    }
}

impl Codes for Small {
    fn kind(&self) -> CodesKind {
        CodesKind::Small
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn get(&self, position: u64) -> Result<u64> {
        check_position(self.len, position)?;
        let view = self.section.view();
        self.get_here(&view, position)
    }

    fn decode(&self, range: Range<u64>, out: &mut [u64]) -> Result<()> {
        check_range(self.len, &range, out.len())?;
        self.decode_here(range, out)
    }

    fn count(&self, ranges: &[Range<u64>], interval: Interval) -> Result<u64> {
        check_ranges(self.len, ranges)?;
        self.count_codes(ranges, interval)
    }

    fn select(&self, range: Range<u64>, interval: Interval, mask: &mut Mask) -> Result<()> {
        check_range(self.len, &range, mask.len())?;
        self.select_codes(range, interval, mask)
    }

    fn quantile(&self, ranges: &[Range<u64>], k: u64) -> Result<(u64, u64)> {
        check_rank(self.len, ranges, k)?;
        self.quantile_codes(ranges, k)
    }

    fn min_max(&self, ranges: &[Range<u64>]) -> Result<Option<(u64, u64)>> {
        check_ranges(self.len, ranges)?;
        self.min_max_codes(ranges)
    }

    fn get_sorted(&self, positions: &[u64], out: &mut [u64]) -> Result<()> {
        check_places(positions, out)?;
        for &position in positions {
            check_position(self.len, position)?;
        }
        self.get_many(positions, out)
    }

    fn quantile_each(&self, ranges: &[Range<u64>], ks: &[u64]) -> Result<Vec<u64>> {
        check_each(self.len, ranges, ks)?;
        ranges
            .iter()
            .zip(ks)
            .map(|(range, &k)| Ok(self.quantile_codes(std::slice::from_ref(range), k)?.0))
            .collect()
    }

    fn next_value(&self, ranges: &[Range<u64>], code: u64) -> Result<Option<u64>> {
        check_ranges(self.len, ranges)?;
        self.nearest(
            ranges,
            Interval {
                low: code,
                high: u64::MAX,
            },
            u64::min,
        )
    }

    fn previous_value(&self, ranges: &[Range<u64>], code: u64) -> Result<Option<u64>> {
        check_ranges(self.len, ranges)?;
        self.nearest(ranges, Interval { low: 0, high: code }, u64::max)
    }

    fn top(&self, ranges: &[Range<u64>], rows: u64) -> Result<Vec<(u64, u64)>> {
        check_ranges(self.len, ranges)?;
        self.top_codes(ranges, rows)
    }

    fn distinct(&self, ranges: &[Range<u64>], interval: Interval, limit: usize) -> Result<Vec<(u64, u64)>> {
        check_ranges(self.len, ranges)?;
        self.distinct_codes(ranges, interval, limit)
    }

    fn parts(&self) -> Vec<(String, u64)> {
        self.list_parts()
    }
}
