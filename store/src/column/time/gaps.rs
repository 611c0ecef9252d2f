//! Blocks of 64 rows and the gaps between their times.
//!
//! Good at: clocks whose deviations add up, and events at irregular times. A gap is the smallest of its block plus a
//! number whose low k bits are packed and whose high part is a unary number (Golomb, "Run-length encodings", 1966; Rice,
//! 1979), so gaps that are exponentially distributed cost 0.03 to 0.06 bits more than their entropy. All unary numbers of a block stand
//! together as one string of bits: row r is behind the r-th one, and the zeros before it are the sum of the high parts.
//! So a walk adds up low parts and never high ones; it may start in the middle of the block, where the sum of the low
//! parts is kept. The few gaps that are far wider are patched.
//!
//! ```text
//! a piece, from its first bit
//!     6  place_bits   width of `place`
//!     7  least_bits   width of `least above`
//!     7  patch_bits   width of a patch's high part; 0: no block has patches
//!    14  stride       what a block takes, about
//!    30  bias
//!    64  least        the smallest gap of all
//!     -  directory: for each started 64 rows
//!          width        residual of the first row's time (its line runs over blocks)
//!          place_bits   place
//!          least_bits   least above: the block's smallest gap minus `least`
//!          6            k, at most 56; or 63: all gaps are the smallest, the block has no bits
//!          6            only if patch_bits is not 0: number of patches
//!     -  blocks; block i starts at bit stride * i + place - bias from here
//!
//! a block of r rows
//!     sum of the low parts of the first 32 gaps, k + 5 bits; only if there are more than 32 and k is not 63
//!     patches: place of the row in the block (6 bits) and high part (patch_bits), ascending
//!     low parts of the r - 1 gaps, k bits each
//!     high parts: for each gap as many zeros as it says (0 for a patched one), then a one
//! ```

use super::super::packed::read_in;
use super::{Opened, search};
use crate::bits::words::select;
use crate::codes::simd::Isa;
use crate::error::Result;
use crate::rows::index;
use crate::section::View;

mod encode;

pub(super) use encode::Plan;

/// Rows of a block.
pub(super) const BLOCK_ROWS: usize = 64;
/// Bits of a piece before its directory.
const HEAD_BITS: u64 = 128;
/// High parts from here on are patches.
const WIDE: u64 = WIDE_BITS as u64;
const WIDE_BITS: usize = 32;
/// Largest k.
const MOST_LOW_BITS: u32 = 56;
/// In place of k: all gaps of the block are equal.
const EQUAL: u32 = 63;
/// Row of a block that a walk may start from.
const MIDDLE: usize = MIDDLE_ROW as usize;
const MIDDLE_ROW: u32 = 32;
/// Bits that come with one read wherever they start.
const LOADED_BITS: usize = 56;
const LOADED: u64 = u64::MAX >> (64 - LOADED_BITS);
/// Bits of a row's place in its block.
const ROW_BITS: u32 = 6;
/// Of so many blocks one is weighed for the form of all.
const SAMPLE_STRIDE: usize = 8;
/// Zero bytes at the end that let a block be read as if its high parts were as long as can be.
pub(super) const TAIL_BYTES: usize = BLOCK_ROWS * WIDE_BITS / 8;

/// A piece of kind gaps as read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gaps {
    piece: Opened,
    stream: u64,
    place_bits: u32,
    least_bits: u32,
    patch_bits: u32,
    stride: u64,
    bias: u64,
    least: u64,
    entry_bits: u64,
    directory: u64,
    blocks: u64,
}

/// A block as read.
struct Block {
    /// Units from the piece's base to its first row.
    start: u64,
    rows: usize,
    least: u64,
    low_bits: u32,
    patches: usize,
    bit: u64,
}

impl Gaps {
    pub(super) fn open(view: &View<'_>, stream: u64, piece: Opened) -> Result<Gaps> {
        let head = read_in(view, stream, piece.bit, 64)?;
        let least = read_in(view, stream, piece.bit.wrapping_add(64), 64)?;
        #[expect(clippy::cast_possible_truncation, reason = "a few bits are left")]
        let field = |at: u32, width: u32| (head >> at) as u32 & ((1 << width) - 1);
        let (place_bits, least_bits, patch_bits) = (field(0, 6), field(6, 7), field(13, 7));
        if least_bits > 64 || patch_bits > 64 {
            return Err(view.corrupt(stream, format!("gaps of {least_bits} and {patch_bits} bits")));
        }
        let counts = if patch_bits > 0 { ROW_BITS } else { 0 };
        Ok(Gaps {
            piece,
            stream,
            place_bits,
            least_bits,
            patch_bits,
            stride: u64::from(field(20, 14)),
            bias: u64::from(field(34, 30)),
            least,
            entry_bits: u64::from(piece.width + place_bits + least_bits + 6 + counts),
            directory: piece.bit.wrapping_add(HEAD_BITS),
            blocks: (piece.end - piece.first).div_ceil(BLOCK_ROWS as u64),
        })
    }

    /// Time of the `row`-th row of the piece.
    pub(super) fn get(&self, view: &View<'_>, row: u64) -> Result<i64> {
        let block = self.block(view, row / BLOCK_ROWS as u64)?;
        let wanted = index(row % BLOCK_ROWS as u64);
        let units = Isa::best().run(
            #[inline(always)]
            || -> Result<u64> {
                if wanted == 0 {
                    return Ok(0);
                }
                let mut found = 0;
                let walk = Walk::new(self, view, &block)?;
                let from = if wanted < MIDDLE {
                    Some(State::default())
                } else {
                    walk.middle()
                };
                walk.go(from.unwrap_or_default(), |row, units| {
                    found = units;
                    row == wanted
                });
                Ok(found)
            },
        )?;
        Ok(self.piece.time(block.start.wrapping_add(units)))
    }

    /// Times from the `first`-th row of the piece on.
    pub(super) fn decode(&self, view: &View<'_>, first: u64, out: &mut [i64]) -> Result<()> {
        let mut number = first / BLOCK_ROWS as u64;
        let mut skip = index(first % BLOCK_ROWS as u64);
        let mut rest = out;
        while !rest.is_empty() {
            let block = self.block(view, number)?;
            let count = rest.len().min(block.rows.saturating_sub(skip));
            if count == 0 {
                return Err(view.corrupt(self.stream, format!("block {number} has no row {skip}")));
            }
            let (slots, behind) = std::mem::take(&mut rest).split_at_mut(count);
            let mut put = |row: usize, units| {
                if let Some(slot) = row.checked_sub(skip).and_then(|row| slots.get_mut(row)) {
                    *slot = self.piece.time(block.start.wrapping_add(units));
                }
                row + 1 == skip + count
            };
            if !put(0, 0) {
                let walk = Walk::new(self, view, &block)?;
                Isa::best().run(
                    #[inline(always)]
                    || walk.go(State::default(), put),
                );
            }
            (rest, skip) = (behind, 0);
            number += 1;
        }
        Ok(())
    }

    /// The first row of the piece whose time is at least `time`; behind the last if there is none.
    pub(super) fn lower_bound(&self, view: &View<'_>, time: i64) -> Result<u64> {
        let piece = &self.piece;
        let number = search(piece, 0..self.blocks, time, |block| {
            piece.at(view, self.stream, self.directory, self.entry_bits, block)
        })?;
        let Some(number) = number.checked_sub(1) else {
            return Ok(0);
        };
        let block = self.block(view, number)?;
        let start = piece.time(block.start);
        // The block starts before `time`.
        let wanted = time.wrapping_sub(start) as u64;
        let wanted = if piece.unit == 1 {
            wanted
        } else {
            wanted.div_ceil(piece.unit)
        };
        let found = Isa::best().run(
            #[inline(always)]
            || -> Result<usize> {
                let mut found = block.rows;
                let walk = Walk::new(self, view, &block)?;
                let middle = walk.middle().filter(|middle| middle.units < wanted);
                walk.go(middle.unwrap_or_default(), |row, units| {
                    if units >= wanted {
                        found = row;
                    }
                    units >= wanted
                });
                Ok(found)
            },
        )?;
        Ok(number * BLOCK_ROWS as u64 + found as u64)
    }

    fn block(&self, view: &View<'_>, number: u64) -> Result<Block> {
        let bit = self.directory.wrapping_add(number.wrapping_mul(self.entry_bits));
        let widths = [self.piece.width, self.place_bits, self.least_bits, 12];
        let [residual, place, above, rest] = if self.entry_bits <= 108 {
            // All fields lie in one read.
            let start = self.stream.saturating_add(bit / 8);
            let mut word = u128::from_le_bytes(view.array(start)?) >> (bit % 8);
            widths.map(|bits| {
                #[expect(clippy::cast_possible_truncation, reason = "a field has at most 64 bits")]
                let value = (word & ((1 << bits) - 1)) as u64;
                word >>= bits;
                value
            })
        } else {
            let mut values = [0; 4];
            let mut at = bit;
            for (value, bits) in values.iter_mut().zip(widths) {
                *value = read_in(view, self.stream, at, bits)?;
                at = at.wrapping_add(u64::from(bits));
            }
            values
        };
        #[expect(clippy::cast_possible_truncation, reason = "12 bits")]
        let low_bits = rest as u32 % 64;
        let patches = if self.patch_bits > 0 { index(rest / 64) } else { 0 };
        if number >= self.blocks || (low_bits > MOST_LOW_BITS && low_bits != EQUAL) {
            return Err(view.corrupt(
                self.stream.wrapping_add(bit / 8),
                format!("block {number} of {} with {low_bits} low bits", self.blocks),
            ));
        }
        let rows = self.piece.end - self.piece.first - number * BLOCK_ROWS as u64;
        Ok(Block {
            start: self.piece.line.at(number).wrapping_add(residual),
            rows: index(rows).min(BLOCK_ROWS),
            least: self.least.wrapping_add(above),
            low_bits,
            patches,
            bit: self
                .directory
                .wrapping_add(self.blocks.wrapping_mul(self.entry_bits))
                .wrapping_add(number.wrapping_mul(self.stride))
                .wrapping_add(place)
                .wrapping_sub(self.bias),
        })
    }
}

/// Where a walk through a block is.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    row: usize,
    /// Units from the block's first row.
    units: u64,
    /// The same without high parts that are not patches.
    sum: u64,
    /// Bit of the high parts that comes next.
    at: usize,
    /// Patch that comes next.
    patch: usize,
}

/// A block's bytes and where its parts start.
struct Walk<'a> {
    bits: Bits<'a>,
    gaps: usize,
    least: u64,
    low_bits: u32,
    patches: usize,
    patch_bits: u32,
    /// Bits of the sum of the first half's low parts; 0 if there is none.
    middle_bits: u32,
    patches_at: usize,
    lows: usize,
    highs: usize,
}

impl<'a> Walk<'a> {
    #[inline(always)]
    fn new(gaps: &Gaps, view: &View<'a>, block: &Block) -> Result<Walk<'a>> {
        let mut walk = Walk {
            bits: Bits(&[], 0),
            gaps: block.rows.saturating_sub(1),
            least: block.least,
            low_bits: block.low_bits,
            patches: block.patches,
            patch_bits: gaps.patch_bits,
            middle_bits: 0,
            patches_at: 0,
            lows: 0,
            highs: 0,
        };
        if block.low_bits == EQUAL {
            return Ok(walk);
        }
        walk.middle_bits = middle_bits(walk.gaps, walk.low_bits);
        walk.patches_at = walk.middle_bits as usize;
        walk.lows = walk.patches_at + block.patches * (ROW_BITS + gaps.patch_bits) as usize;
        walk.highs = walk.lows + walk.gaps * block.low_bits as usize;
        let bytes = (walk.highs + walk.gaps * WIDE_BITS).div_ceil(8) + 16;
        let start = gaps.stream.wrapping_add(block.bit / 8);
        walk.bits = Bits(view.bytes(start, bytes)?, index(block.bit % 8));
        Ok(walk)
    }

    /// The patch with this number: its row, and what it adds.
    #[inline(always)]
    fn patch(&self, number: usize) -> (usize, u64) {
        if number >= self.patches {
            return (usize::MAX, 0);
        }
        let at = self.patches_at + number * (ROW_BITS + self.patch_bits) as usize;
        let high = self.bits.wide(at + ROW_BITS as usize, self.patch_bits);
        (self.bits.row(at), high << self.low_bits)
    }

    /// The state at the middle row, if there is one.
    #[inline(always)]
    fn middle(&self) -> Option<State> {
        if self.low_bits == EQUAL {
            let units = self.least.wrapping_mul(MIDDLE as u64);
            return (self.gaps > MIDDLE).then_some(State {
                row: MIDDLE,
                units,
                ..State::default()
            });
        }
        if self.middle_bits == 0 {
            return None;
        }
        let mut at = 0;
        let mut left = MIDDLE_ROW;
        while at < MIDDLE * WIDE_BITS {
            let word = self.bits.word(self.highs + at) & LOADED;
            let ones = word.count_ones();
            if ones >= left {
                at += select(word, left - 1) as usize + 1;
                break;
            }
            left -= ones;
            at += LOADED_BITS;
        }
        let mut sum = self.bits.wide(0, self.middle_bits);
        sum = sum.wrapping_add(self.least.wrapping_mul(MIDDLE as u64));
        let mut patch = 0;
        while patch < self.patches {
            let (row, high) = self.patch(patch);
            if row > MIDDLE {
                break;
            }
            sum = sum.wrapping_add(high);
            patch += 1;
        }
        let zeros = at.saturating_sub(MIDDLE) as u64;
        Some(State {
            row: MIDDLE,
            units: sum.wrapping_add(zeros << self.low_bits),
            sum,
            at,
            patch,
        })
    }

    /// Calls `each` with the rows from `state` on, and how many units they are behind the first, until it says true.
    #[inline(always)]
    fn go(&self, state: State, mut each: impl FnMut(usize, u64) -> bool) {
        if each(state.row, state.units) {
            return;
        }
        if self.low_bits == EQUAL {
            for row in state.row + 1..=self.gaps {
                if each(row, self.least.wrapping_mul(row as u64)) {
                    return;
                }
            }
        } else if state.patch < self.patches {
            self.go_on::<true>(state, each);
        } else {
            self.go_on::<false>(state, each);
        }
    }

    /// The rows behind that of `state`.
    #[inline(always)]
    fn go_on<const PATCHED: bool>(&self, state: State, mut each: impl FnMut(usize, u64) -> bool) {
        let (bits, gaps, least, low_bits) = (self.bits, self.gaps, self.least, self.low_bits);
        let mask = (1u64 << low_bits) - 1;
        let (mut row, mut sum, mut patch) = (state.row, state.sum, state.patch);
        let (mut next, mut high) = if PATCHED { self.patch(patch) } else { (0, 0) };
        let mut low = self.lows + row * low_bits as usize;
        let mut before = state.at;
        while row < gaps && before < gaps * WIDE_BITS {
            let mut word = bits.word(self.highs + before) & LOADED;
            let end = gaps.min(row + word.count_ones() as usize);
            while row < end {
                let zeros = before + word.trailing_zeros() as usize - row;
                word &= word.wrapping_sub(1);
                row += 1;
                sum = sum.wrapping_add(bits.word(low) & mask).wrapping_add(least);
                low += low_bits as usize;
                while PATCHED && row == next {
                    sum = sum.wrapping_add(high);
                    patch += 1;
                    (next, high) = self.patch(patch);
                }
                if each(row, sum.wrapping_add((zeros as u64) << low_bits)) {
                    return;
                }
            }
            before += LOADED_BITS;
        }
    }
}

/// Bits of the sum of `MIDDLE` low parts; 0 where a block is too short to have one.
#[inline]
fn middle_bits(gaps: usize, low_bits: u32) -> u32 {
    if gaps > MIDDLE { low_bits + ROW_BITS - 1 } else { 0 }
}

/// Bytes of a block, and where in the first of them it starts.
#[derive(Clone, Copy)]
struct Bits<'a>(&'a [u8], usize);

impl Bits<'_> {
    /// At least 57 bits from `bit` on.
    #[inline(always)]
    fn word(&self, bit: usize) -> u64 {
        let bit = bit + self.1;
        let mut word = [0; 8];
        if let Some(bytes) = self.0.get(bit / 8..).and_then(|bytes| bytes.first_chunk()) {
            word = *bytes;
        }
        u64::from_le_bytes(word) >> (bit % 8)
    }

    #[expect(clippy::cast_possible_truncation, reason = "6 bits")]
    fn row(&self, bit: usize) -> usize {
        self.word(bit) as usize % BLOCK_ROWS
    }

    /// `width` bits, at most 64.
    fn wide(&self, bit: usize, width: u32) -> u64 {
        let low = self.word(bit) & (u64::MAX >> 32);
        let word = low | self.word(bit + 32) << 32;
        if width >= 64 {
            word
        } else {
            word & ((1 << width) - 1)
        }
    }
}
