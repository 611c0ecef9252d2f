//! Decoding: one look-up gives a bin, the length of its code and the bits that follow; two readers, from the front and the back.
//!
//! The front stream's first bit is its lowest, the back stream's first bit its highest, so that both meet inside one byte.
//! A code is at the low end of the front reader's buffer and at the high end of the back reader's: each has its own table.

use super::bins::Bins;
use super::bits::{load, window};
use super::huffman::{self, LONGEST};

const PLACES: usize = 1 << LONGEST;

/// Bits that a refilled buffer holds at least.
pub(super) const REFILLED_BITS: u32 = 56;

/// What a place of the table says: bits in all (0 to 7), bits of the code (8 to 15), bits of the offset (16 to 23), bin (24 to 31).
type Entry = u32;

/// A decoding table for one direction.
#[derive(Debug)]
pub(super) struct Table {
    entries: Box<[Entry; PLACES]>,
    lows: Box<[u64; 256]>,
}

impl Table {
    /// The table of the front stream.
    pub(super) fn front(bins: &Bins) -> Table {
        Table::build(bins, |code, length| {
            let step = 1 << length;
            (usize::from(huffman::reversed(code, length))..PLACES).step_by(step)
        })
    }

    /// The table of the back stream.
    pub(super) fn back(bins: &Bins) -> Table {
        Table::build(bins, |code, length| {
            let count = PLACES >> length;
            let start = usize::from(code) * count;
            (start..start + count).step_by(1)
        })
    }

    fn build(bins: &Bins, places: impl Fn(u16, u8) -> std::iter::StepBy<std::ops::Range<usize>>) -> Table {
        let (mut entries, mut lows) = (Box::new([0; PLACES]), Box::new([0; 256]));
        for (place, &low) in lows.iter_mut().zip(&bins.lows) {
            *place = low as u64;
        }
        let codes = huffman::codes(&bins.lengths);
        let bins = codes.iter().zip(&bins.lengths).zip(&bins.offset_bits);
        for (bin, ((&code, &length), &offset)) in (0u32..).zip(bins) {
            let (length_bits, offset_bits) = (u32::from(length), u32::from(offset));
            let entry = (length_bits + offset_bits) | length_bits << 8 | offset_bits << 16 | bin << 24;
            for place in places(code, length) {
                if let Some(found) = entries.get_mut(place) {
                    *found = entry;
                }
            }
        }
        Table { entries, lows }
    }

    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "the index has as many bits as the table")]
    fn entry(&self, index: u64) -> Entry {
        self.entries[(index & (PLACES as u64 - 1)) as usize]
    }

    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "a byte into 256 places")]
    fn low(&self, entry: Entry) -> u64 {
        self.lows[(entry >> 24) as usize]
    }
}

/// Reads one stream.
pub(super) trait Reader {
    /// Makes sure of [`REFILLED_BITS`].
    fn refill(&mut self);
    /// The next residual; between refills at most [`REFILLED_BITS`] are read, unless the reader says otherwise.
    fn next(&mut self, table: &Table) -> u64;
}

/// The front stream, for residuals of at most [`REFILLED_BITS`].
#[derive(Debug)]
pub(super) struct Front<'a> {
    bytes: &'a [u8],
    at: usize,
    buffer: u64,
    count: u32,
}

impl<'a> Front<'a> {
    /// A reader from bit `start` on.
    #[inline(always)]
    pub(super) fn new(bytes: &'a [u8], start: usize) -> Self {
        let shift = start as u32 % 8;
        Front {
            bytes,
            at: start / 8 + 7,
            buffer: load(bytes, start / 8) >> shift,
            count: 56 - shift,
        }
    }
}

impl Reader for Front<'_> {
    #[inline(always)]
    fn refill(&mut self) {
        self.buffer |= load(self.bytes, self.at) << (self.count & 63);
        self.at += ((63 - self.count) >> 3) as usize;
        self.count |= 56;
    }

    #[inline(always)]
    fn next(&mut self, table: &Table) -> u64 {
        let entry = table.entry(self.buffer);
        let offset = (self.buffer >> (entry >> 8 & 63)) & !(u64::MAX << (entry >> 16 & 63));
        self.buffer >>= entry & 63;
        self.count = self.count.wrapping_sub(entry & 255);
        table.low(entry).wrapping_add(offset)
    }
}

/// The back stream, for residuals of at most [`REFILLED_BITS`].
#[derive(Debug)]
pub(super) struct Back<'a> {
    bytes: &'a [u8],
    /// Byte behind the next one to load.
    at: usize,
    buffer: u64,
    count: u32,
}

impl<'a> Back<'a> {
    /// A reader from bit `end` down.
    #[inline(always)]
    pub(super) fn new(bytes: &'a [u8], end: usize) -> Self {
        let shift = (8 - end as u32 % 8) % 8;
        let at = end.div_ceil(8);
        Back {
            bytes,
            at: at.wrapping_sub(7),
            buffer: load(bytes, at.wrapping_sub(8)) << shift,
            count: 56 - shift,
        }
    }
}

impl Reader for Back<'_> {
    #[inline(always)]
    fn refill(&mut self) {
        self.buffer |= load(self.bytes, self.at.wrapping_sub(8)) >> (self.count & 63);
        self.at = self.at.wrapping_sub(((63 - self.count) >> 3) as usize);
        self.count |= 56;
    }

    #[inline(always)]
    fn next(&mut self, table: &Table) -> u64 {
        let entry = table.entry(self.buffer >> (64 - LONGEST));
        let offset = (self.buffer << (entry >> 8 & 63)) >> 1 >> (63 - (entry >> 16 & 63));
        self.buffer <<= entry & 63;
        self.count = self.count.wrapping_sub(entry & 255);
        table.low(entry).wrapping_add(offset)
    }
}

/// The front stream, for residuals of any length.
#[derive(Debug)]
pub(super) struct FrontWide<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl Reader for FrontWide<'_> {
    #[inline(always)]
    fn refill(&mut self) {}

    #[inline(always)]
    fn next(&mut self, table: &Table) -> u64 {
        let entry = table.entry(window(self.bytes, self.at));
        self.at += (entry >> 8 & 63) as usize;
        let bits = entry >> 16 & 127;
        let offset = window(self.bytes, self.at) & u64::MAX.checked_shr(64 - bits).unwrap_or(0);
        self.at += bits as usize;
        table.low(entry).wrapping_add(offset)
    }
}

/// The back stream, for residuals of any length.
#[derive(Debug)]
pub(super) struct BackWide<'a> {
    pub(super) bytes: &'a [u8],
    /// Bit behind the next one.
    pub(super) at: usize,
}

impl Reader for BackWide<'_> {
    #[inline(always)]
    fn refill(&mut self) {}

    #[inline(always)]
    fn next(&mut self, table: &Table) -> u64 {
        let entry = table.entry(window(self.bytes, self.at.wrapping_sub(64)) >> (64 - LONGEST));
        self.at = self.at.wrapping_sub((entry >> 8 & 63) as usize);
        let bits = entry >> 16 & 127;
        let offset = window(self.bytes, self.at.wrapping_sub(64))
            .checked_shr(64 - bits)
            .unwrap_or(0);
        self.at = self.at.wrapping_sub(bits as usize);
        table.low(entry).wrapping_add(offset)
    }
}
