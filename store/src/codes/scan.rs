//! Bit-packed blocks of values or of differences: the `scan` layout.
//!
//! Good at: everything that passes over many rows. A block of 1,024 codes is unpacked by a few vector instructions in
//! the first-level cache, and its smallest and largest code stand in the directory, so that most blocks of a smooth
//! column need no unpacking at all. One code is found without its neighbours (values), or by a sum over the front of
//! its block (differences). A block takes the form of the fewest bytes:
//!
//! | form | packed | its patches |
//! |---|---|---|
//! | values | code minus the block's smallest | high bits of the few that are wider |
//! | differences | code minus the code before minus a step | the same, with a sign |
//! | either, of 0 bits | nothing: a constant, a straight line | |
//!
//! ```text
//! offset 0   u64  number of codes n
//!        8   u64  smallest code
//!       16   u64  largest code minus smallest code
//!       24   u8   c, bytes of that difference
//!       25   u8   o, bytes of an offset, at most 6
//!       26   6 bytes zero
//!       32   directory: for each started 1,024 codes a line of o + 2 + 2 c bytes
//!              o bytes  where the block starts
//!              u8       bits 0 to 6: width w, at most 64; bit 7: differences
//!              u8       number of patches m
//!              c bytes  the block's smallest code minus the smallest of all
//!              c bytes  the block's largest code minus its smallest
//!            blocks, without gaps
//!            128 zero bytes
//!
//! a block:
//!     c bytes          only differences: first code minus the block's smallest
//!     min(c + 1, 8)    only differences: the step, signed
//!     k x 128 bytes    packed values of w bits (see `lane.rs`); that of the first difference is 0
//!     u8               only if m > 0, like all that follows: width of a high part
//!     3 x u8           patches in the first 256, 512, 768 codes
//!     m x u8           place of each in its 256 codes
//!     m high parts, packed, up to a whole byte
//! ```
//!
//! Costs (N touched codes): `get` two or three cache lines (values) or a sum over up to 1,024 packed differences;
//! `count`, `select`, `sum` one pass over blocks that the directory does not decide; `quantile` one such pass for each
//! 12 bits of the codes' range, in 32 KiB and what a block takes.
//!
//! Zukowski, Héman, Nes, Boncz, "Super-scalar RAM-CPU cache compression" (2006).

use std::ops::Range;

use super::simd::Isa;
use super::{
    Codes, CodesKind, Interval, check_places, check_position, check_range, check_ranges, check_rank,
};
use crate::error::Result;
use crate::rows::Mask;
use crate::section::{Section, View};

mod block;
mod encode;
mod lane;
mod query;
#[cfg(test)]
mod tests;

use block::{Block, DELTA, Entry, bytes_of, low_bytes};
pub use encode::{encode, estimate_bits};
use lane::{BLOCK, WORD_BYTES, words};

/// Bytes before the directory.
const HEADER_BYTES: u64 = 32;
/// Zero bytes at the end.
const TAIL_BYTES: usize = 128;
/// Most bytes of an offset.
const MOST_OFFSET_BYTES: u8 = 6;
/// Sorted positions in one block from which on the whole block is unpacked.
const MANY_POSITIONS: usize = 12;

/// The read side.
#[derive(Debug)]
pub struct Scan {
    section: Section,
    len: u64,
    base: u64,
    code_bytes: u8,
    offset_bytes: u8,
    isa: Isa,
}

impl Scan {
    /// Opens a section.
    ///
    /// # Errors
    /// `Corrupt` if the header makes no sense for the section's length.
    pub fn open(section: Section) -> Result<Scan> {
        let (len, base, span) = (section.u64(0)?, section.u64(8)?, section.u64(16)?);
        let [code_bytes, offset_bytes, zeros @ ..]: [u8; 8] = section.array(24)?;
        if code_bytes != bytes_of(span)
            || offset_bytes > MOST_OFFSET_BYTES
            || zeros != [0; 6]
            || base.checked_add(span).is_none()
        {
            return Err(section.corrupt(
                16,
                format!(
                    "{code_bytes} and {offset_bytes} bytes for codes from {base} on, at most {span} larger"
                ),
            ));
        }
        let scan = Scan {
            section,
            len,
            base,
            code_bytes,
            offset_bytes,
            isa: Isa::best(),
        };
        let directory = scan.line_bytes().checked_mul(scan.blocks());
        let end = directory.and_then(|bytes| bytes.checked_add(HEADER_BYTES + TAIL_BYTES as u64));
        if end.is_none_or(|end| end > scan.section.len()) {
            let size = scan.section.len();
            return Err(scan.section.corrupt(0, format!("{len} codes in {size} bytes")));
        }
        Ok(scan)
    }

    /// Sum of the codes in `ranges`.
    ///
    /// # Errors
    /// `OutOfRange` if the ranges are not sorted, disjoint and within the codes.
    pub fn sum(&self, ranges: &[Range<u64>]) -> Result<u128> {
        check_ranges(self.len, ranges)?;
        self.sum_of(ranges)
    }

    fn blocks(&self) -> u64 {
        self.len.div_ceil(BLOCK as u64)
    }

    /// Bytes of a line of the directory.
    #[inline]
    fn line_bytes(&self) -> u64 {
        u64::from(self.offset_bytes) + 2 + 2 * u64::from(self.code_bytes)
    }

    #[inline]
    fn entry(&self, view: &View<'_>, block: u64) -> Result<Entry> {
        let at = HEADER_BYTES.wrapping_add(block.wrapping_mul(self.line_bytes()));
        // The longest line has 24 bytes; the end of the section is far enough away.
        let line: [u8; 32] = view.array(at)?;
        let word = |at: usize| {
            let mut word = [0; 8];
            if let Some(bytes) = line.get(at..at + 8) {
                word.copy_from_slice(bytes);
            }
            u64::from_le_bytes(word)
        };
        let (form_at, bytes) = (usize::from(self.offset_bytes), usize::from(self.code_bytes));
        let [form, patches, ..] = word(form_at).to_le_bytes();
        let entry = Entry {
            offset: low_bytes(word(0), self.offset_bytes),
            width: u32::from(form & !DELTA),
            delta: form & DELTA != 0,
            patches: usize::from(patches),
            low: self
                .base
                .wrapping_add(low_bytes(word(form_at + 2), self.code_bytes)),
            span: low_bytes(word(form_at + 2 + bytes), self.code_bytes),
        };
        if entry.width > entry.value_bits() || entry.low.checked_add(entry.span).is_none() {
            return Err(view.corrupt(
                at,
                format!(
                    "block {block} has {} bits for codes at most {} apart",
                    entry.width, entry.span
                ),
            ));
        }
        Ok(entry)
    }

    #[inline]
    fn block<'a>(&self, view: &'a View<'a>, block: u64) -> Result<Block<'a>> {
        let left = self.len.saturating_sub(block.saturating_mul(BLOCK as u64));
        Ok(Block {
            view,
            entry: self.entry(view, block)?,
            count: crate::rows::index(left.min(BLOCK as u64)),
            code_bytes: self.code_bytes,
            isa: self.isa,
        })
    }
}

impl Codes for Scan {
    fn kind(&self) -> CodesKind {
        CodesKind::Scan
    }

    fn len(&self) -> u64 {
        self.len
    }

    #[inline]
    fn get(&self, position: u64) -> Result<u64> {
        check_position(self.len, position)?;
        let view = self.section.view();
        let block = self.block(&view, position / BLOCK as u64)?;
        block.get(crate::rows::index(position % BLOCK as u64))
    }

    fn decode(&self, range: Range<u64>, out: &mut [u64]) -> Result<()> {
        check_range(self.len, &range, out.len())?;
        self.decode_range(range, out)
    }

    fn count(&self, ranges: &[Range<u64>], interval: Interval) -> Result<u64> {
        check_ranges(self.len, ranges)?;
        self.count_in(ranges, interval)
    }

    fn select(&self, range: Range<u64>, interval: Interval, mask: &mut Mask) -> Result<()> {
        check_range(self.len, &range, mask.len())?;
        self.select_in(range, interval, mask)
    }

    fn quantile(&self, ranges: &[Range<u64>], k: u64) -> Result<(u64, u64)> {
        let rows = check_rank(self.len, ranges, k)?;
        self.quantile_of(ranges, k, rows)
    }

    fn min_max(&self, ranges: &[Range<u64>]) -> Result<Option<(u64, u64)>> {
        check_ranges(self.len, ranges)?;
        self.min_max_of(ranges)
    }

    fn get_sorted(&self, positions: &[u64], out: &mut [u64]) -> Result<()> {
        check_places(positions, out)?;
        let view = self.section.view();
        let mut codes = Vec::new();
        let (mut positions, mut out) = (positions, out);
        while let Some(&first) = positions.first() {
            let index = first / BLOCK as u64;
            let count = positions
                .partition_point(|position| position / BLOCK as u64 <= index)
                .max(1);
            let (here, behind) = positions.split_at(count);
            let (slots, rest) = out.split_at_mut(count);
            (positions, out) = (behind, rest);
            if let Some(&last) = here.last() {
                check_position(self.len, last)?;
            }
            let block = self.block(&view, index)?;
            let start = index * BLOCK as u64;
            let place = |position: u64| crate::rows::index(position.saturating_sub(start));
            if count >= MANY_POSITIONS {
                codes.resize(block.count, 0);
                self.decode_range(start..start + block.count as u64, &mut codes)?;
            }
            for (slot, &position) in slots.iter_mut().zip(here) {
                *slot = match codes.get(place(position)) {
                    Some(&code) if count >= MANY_POSITIONS => code,
                    _ => block.get(place(position) % BLOCK)?,
                };
            }
        }
        Ok(())
    }

    fn parts(&self) -> Vec<(String, u64)> {
        let view = self.section.view();
        let (mut values, mut differences, mut patched) = (0, 0, 0);
        for index in 0..self.blocks() {
            // What is damaged is left out.
            let Ok(block) = self.block(&view, index) else {
                continue;
            };
            let bits = (words(block.count, block.entry.width) * WORD_BYTES * 8) as u64;
            if block.entry.delta {
                differences += bits;
            } else {
                values += bits;
            }
            patched += block.patch_bits();
        }
        let lines = self.blocks() * self.line_bytes() * 8;
        let all = self.section.len() * 8;
        let other = all.saturating_sub(lines + values + differences + patched);
        vec![
            ("header and first codes".into(), other),
            ("directory".into(), lines),
            ("packed values".into(), values),
            ("packed differences".into(), differences),
            ("patches".into(), patched),
        ]
    }
}
