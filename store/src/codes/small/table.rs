//! Decoding: one look-up gives a bin, the length of its code and the bits that follow; two readers, from the front and the back.
//!
//! The front stream's first bit is its lowest, the back stream's first bit its highest, so that both meet inside one byte.
//! A code is at the low end of the front reader's buffer and at the high end of the back reader's: each has its own table.

use std::iter::StepBy;
use std::ops::Range;

use super::bins::Bins;
use super::bits::{load, window};
use super::huffman::{self, LONGEST};
use crate::bits::words::Portable;

const PLACES: usize = 1 << LONGEST;

/// Bits that one load has from any bit on.
pub(super) const DIRECT_BITS: u8 = 57;

/// Bits that a refilled buffer holds at least.
pub(super) const REFILLED_BITS: u32 = 56;

/// What a place of the table says: bits in all (0 to 7); where the offset starts in the reader's buffer (8 to 15) and its
/// bits (16 to 23); bin (24 to 31).
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
        Table::build(bins, |code, length, offset_bits| {
            let places = usize::from(huffman::reversed(code, length))..PLACES;
            (places.step_by(1 << length), entry(length, offset_bits, length))
        })
    }

    /// The table of the back stream.
    pub(super) fn back(bins: &Bins) -> Table {
        Table::build(bins, |code, length, offset_bits| {
            let count = PLACES >> length;
            let start = usize::from(code) * count;
            // More than 64 bits are not read from one buffer; where such an offset would start does not matter.
            let offset_start = 64u8.saturating_sub(length + offset_bits);
            (
                (start..start + count).step_by(1),
                entry(length, offset_bits, offset_start),
            )
        })
    }

    fn build(bins: &Bins, places: impl Fn(u16, u8, u8) -> (StepBy<Range<usize>>, Entry)) -> Table {
        let (mut entries, mut lows) = (Box::new([0; PLACES]), Box::new([0; 256]));
        for (place, &low) in lows.iter_mut().zip(&bins.lows) {
            *place = low as u64;
        }
        let codes = huffman::codes(&bins.lengths);
        let bins = codes.iter().zip(&bins.lengths).zip(&bins.offset_bits);
        for (bin, ((&code, &length), &offset_bits)) in (0u32..).zip(bins) {
            let (places, entry) = places(code, length, offset_bits);
            for place in places {
                if let Some(found) = entries.get_mut(place) {
                    *found = entry | bin << 24;
                }
            }
        }
        Table { entries, lows }
    }

    /// The table's places, for a loop.
    #[inline(always)]
    pub(super) fn places(&self) -> Places<'_> {
        Places {
            entries: &self.entries,
            lows: &self.lows,
        }
    }
}

fn entry(length: u8, offset_bits: u8, offset_start: u8) -> Entry {
    u32::from(length + offset_bits) | u32::from(offset_start) << 8 | u32::from(offset_bits) << 16
}

/// A borrowed [`Table`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Places<'a> {
    entries: &'a [Entry; PLACES],
    lows: &'a [u64; 256],
}

impl Places<'_> {
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

/// Cuts a field out of a word, as the processor does it best.
pub(crate) trait Extract: Copy {
    /// Whether each width of residuals is worth a decoder compiled for it: the one for the widest reads all.
    const HAS_WIDTHS: bool;

    /// `control >> 8 & 255` bits of `word` from bit `control & 255` on; other bits of `control` do not count.
    fn extract(self, word: u64, control: u32) -> u64;
}

impl Extract for Portable {
    // Where there is something faster on the same processors, this is for few of them.
    const HAS_WIDTHS: bool = cfg!(not(target_arch = "x86_64"));

    #[inline(always)]
    fn extract(self, word: u64, control: u32) -> u64 {
        let (start, bits) = (control & 255, control >> 8 & 255);
        let high = word.checked_shr(start).unwrap_or(0);
        if bits < 64 {
            high & !(u64::MAX << bits)
        } else {
            high
        }
    }
}

/// Reads one stream.
pub(super) trait Reader {
    /// Makes sure of [`REFILLED_BITS`].
    fn refill(&mut self);
    /// The next residual; between refills at most [`REFILLED_BITS`] are read, unless the reader says otherwise.
    fn next<E: Extract>(&mut self, with: E, places: Places<'_>) -> u64;
}

/// The front stream, for residuals of at most [`REFILLED_BITS`].
#[derive(Debug)]
pub(super) struct Front<'a> {
    bytes: &'a [u8],
    at: usize,
    buffer: u64,
    /// Bits in the buffer in its lowest byte; what is above does not count.
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
        let count = self.count & 63;
        self.buffer |= load(self.bytes, self.at) << count;
        self.at += ((63 - count) >> 3) as usize;
        self.count = count | 56;
    }

    #[inline(always)]
    fn next<E: Extract>(&mut self, with: E, places: Places<'_>) -> u64 {
        let entry = places.entry(self.buffer);
        let offset = with.extract(self.buffer, entry >> 8);
        self.buffer >>= entry & 63;
        // Whole entries: less to do than with their lowest bytes.
        self.count = self.count.wrapping_sub(entry);
        places.low(entry).wrapping_add(offset)
    }
}

/// The back stream, for residuals of at most [`REFILLED_BITS`].
#[derive(Debug)]
pub(super) struct Back<'a> {
    bytes: &'a [u8],
    /// Byte behind the next one to load.
    at: usize,
    buffer: u64,
    /// As of [`Front`].
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
        let count = self.count & 63;
        self.buffer |= load(self.bytes, self.at.wrapping_sub(8)) >> count;
        self.at = self.at.wrapping_sub(((63 - count) >> 3) as usize);
        self.count = count | 56;
    }

    #[inline(always)]
    fn next<E: Extract>(&mut self, with: E, places: Places<'_>) -> u64 {
        let entry = places.entry(self.buffer >> (64 - LONGEST));
        let offset = with.extract(self.buffer, entry >> 8);
        self.buffer <<= entry & 63;
        self.count = self.count.wrapping_sub(entry);
        places.low(entry).wrapping_add(offset)
    }
}

/// The front stream, for residuals of any length; or, unless `FULL`, with offsets of at most [`DIRECT_BITS`].
#[derive(Debug)]
pub(super) struct FrontWide<'a, const FULL: bool> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<const FULL: bool> Reader for FrontWide<'_, FULL> {
    #[inline(always)]
    fn refill(&mut self) {}

    #[inline(always)]
    fn next<E: Extract>(&mut self, with: E, places: Places<'_>) -> u64 {
        let entry = places.entry(load(self.bytes, self.at / 8) >> (self.at % 8));
        let at = self.at + (entry >> 8 & 63) as usize;
        self.at += (entry & 255) as usize;
        let word = if FULL {
            window(self.bytes, at)
        } else {
            load(self.bytes, at / 8) >> (at % 8)
        };
        places
            .low(entry)
            .wrapping_add(with.extract(word, entry >> 8 & 0xff00))
    }
}

/// The back stream, for residuals of any length; or, unless `FULL`, with offsets of at most [`DIRECT_BITS`].
#[derive(Debug)]
pub(super) struct BackWide<'a, const FULL: bool> {
    pub(super) bytes: &'a [u8],
    /// Bit behind the next one.
    pub(super) at: usize,
}

impl<const FULL: bool> Reader for BackWide<'_, FULL> {
    #[inline(always)]
    fn refill(&mut self) {}

    #[inline(always)]
    fn next<E: Extract>(&mut self, with: E, places: Places<'_>) -> u64 {
        // The code's bits are the highest of the longest code's, which lie in one load.
        let at = self.at.wrapping_sub(LONGEST as usize);
        let entry = places.entry(load(self.bytes, at / 8) >> (at % 8));
        self.at = self.at.wrapping_sub((entry & 255) as usize);
        let word = if FULL {
            window(self.bytes, self.at)
        } else {
            load(self.bytes, self.at / 8) >> (self.at % 8)
        };
        places
            .low(entry)
            .wrapping_add(with.extract(word, entry >> 8 & 0xff00))
    }
}
