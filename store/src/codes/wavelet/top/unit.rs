//! One unit of 1,024 symbols: where the symbol changes, as Elias-Fano, and the symbols of the runs as bit planes.
//!
//! ```text
//! byte 0      m, the number of changes, 0 to 120 (bits 0 to 6), or 127: packed; bit 7: each change is by an odd number
//! then        u16 for each symbol from the unit's smallest to its largest: rows of it in the group before this unit
//! packed:     planes of 1,024 bits: bit k of each row's symbol minus the smallest, from k = 0 up
//! runs, m > 0, as bits from the lowest of the first byte on:
//! bit 0       bit 0 of the first run's symbol minus the smallest
//! then        for each of the 2^(10 - l) values of `position >> l`: a one for each change there, then a zero (the last
//!             zero is left out)
//! then        l planes of m bits: lowest bit of each change's position, next bit, ...
//! then        planes of m + 1 bits: the lowest bit of each run's symbol minus the smallest, next bit, ...; with odd
//!             changes the lowest is left out: it is one for every other run
//! ```
//!
//! `10 - l` is the number of bits of m, at least 3. Smooth signals go up or down by one symbol at a time, and mostly
//! between two of them: then no plane of symbols is stored at all.
//!
//! How many rows of a symbol come before a row needs no loop over runs. With a mask of the runs that have the symbol, the
//! sum of their lengths is a sum of ends minus one of starts: for the low bits popcounts of planes, for the high
//! bits the zeros between starts and ends in the string of buckets.

#![allow(
    clippy::cast_possible_truncation,
    reason = "positions inside units are small by construction"
)]

use std::ops::{BitAnd, BitOr, BitXor, Not, Range, Shl, Shr};

use super::{Counts, UNIT_LOG};
use crate::bits::words::{WordSelect, low_mask};

/// Most changes that a unit lists.
pub(super) const MAX_CHANGES: u32 = 120;
/// What stands for their number in a packed unit.
pub(super) const PACKED: u32 = 127;
/// Bytes of a unit's runs at most, and what a read of them may go beyond.
const RUN_BYTES: usize = 184;
/// Bytes of a plane of a packed unit.
pub(super) const PLANE_BYTES: usize = 1 << UNIT_LOG >> 3;
/// Bytes of a unit's entry in the table.
pub(super) const ENTRY_BYTES: u64 = 4;
/// Bytes before the counters.
const HEAD_BYTES: usize = 1;
/// Bytes that every read of a unit has: header, counters, and runs.
pub(in super::super) const UNIT_WINDOW: usize = 512;

/// The symbols that a unit may have, by its entry.
#[inline(always)]
pub(super) fn symbols_of(entry: [u8; ENTRY_BYTES as usize]) -> u64 {
    u64::MAX >> (63 - (entry[3] & 63)) << (entry[2] & 63)
}

/// Bits that count buckets where `m` changes are listed.
pub(super) fn bucket_bits(m: u32) -> u32 {
    (32 - m.leading_zeros()).max(3)
}

/// Bits of the runs of a unit with `m` changes and `planes` stored planes of symbols.
pub(super) fn run_bits(m: u32, planes: u32) -> u32 {
    let buckets = bucket_bits(m);
    m + (1 << buckets) + m * (UNIT_LOG - buckets) + (m + 1) * planes
}

/// A set of changes or of runs.
trait Set:
    Copy
    + BitAnd<Output = Self>
    + BitOr<Output = Self>
    + BitXor<Output = Self>
    + Not<Output = Self>
    + Shl<u32, Output = Self>
    + Shr<u32, Output = Self>
{
    const NONE: Self;
    /// Every other one, from the second on.
    const ODD: Self;
    /// The bits from `at` on.
    fn load(bits: &[u8; RUN_BYTES], at: u32) -> Self;
    fn below(count: u32) -> Self;
    fn count(self) -> u32;
    fn low(self) -> u64;
}

/// 64 bits from bit `at` on; beyond the last byte nothing is asked for.
#[inline(always)]
fn word_at(bits: &[u8; RUN_BYTES], at: u32) -> u64 {
    let byte = (at as usize / 8).min(RUN_BYTES - 9);
    let mut eight = [0; 8];
    eight.copy_from_slice(&bits[byte..byte + 8]);
    let shift = at % 8;
    u64::from_le_bytes(eight) >> shift | u64::from(bits[byte + 8]) << 1 << (63 - shift)
}

impl Set for u64 {
    const NONE: u64 = 0;
    const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
    #[inline(always)]
    fn load(bits: &[u8; RUN_BYTES], at: u32) -> u64 {
        word_at(bits, at)
    }
    #[inline(always)]
    fn below(count: u32) -> u64 {
        low_mask(count)
    }
    #[inline(always)]
    fn count(self) -> u32 {
        self.count_ones()
    }
    #[inline(always)]
    fn low(self) -> u64 {
        self
    }
}

impl Set for u128 {
    const NONE: u128 = 0;
    const ODD: u128 = 0xaaaa_aaaa_aaaa_aaaa_aaaa_aaaa_aaaa_aaaa;
    #[inline(always)]
    fn load(bits: &[u8; RUN_BYTES], at: u32) -> u128 {
        u128::from(word_at(bits, at)) | u128::from(word_at(bits, at + 64)) << 64
    }
    #[inline(always)]
    fn below(count: u32) -> u128 {
        if count >= 128 { u128::MAX } else { (1 << count) - 1 }
    }
    #[inline(always)]
    fn count(self) -> u32 {
        self.count_ones()
    }
    #[inline(always)]
    fn low(self) -> u64 {
        self as u64
    }
}

/// A unit where it lies.
#[derive(Clone, Copy)]
pub(super) struct Unit<'a> {
    window: &'a [u8; UNIT_WINDOW],
    /// The planes of a packed unit.
    pub(super) packed: &'a [u8],
    changes: u32,
    odd: bool,
    /// Smallest symbol.
    pub(super) low: u32,
    /// Largest symbol minus smallest.
    pub(super) span: u32,
}

/// Calls the expression with the runs of a unit in the form that its number of changes asks for.
macro_rules! with_runs {
    ($unit:expr, $runs:ident => $call:expr) => {{
        let unit = $unit;
        match unit.changes {
            0..=7 => {
                let $runs = Runs::<u64, 3, 1>::of(unit);
                $call
            }
            8..=15 => {
                let $runs = Runs::<u64, 4, 1>::of(unit);
                $call
            }
            16..=31 => {
                let $runs = Runs::<u64, 5, 1>::of(unit);
                $call
            }
            32..=63 => {
                let $runs = Runs::<u64, 6, 2>::of(unit);
                $call
            }
            _ => {
                let $runs = Runs::<u128, 7, 4>::of(unit);
                $call
            }
        }
    }};
}

impl<'a> Unit<'a> {
    #[inline(always)]
    pub(super) fn of(window: &'a [u8; UNIT_WINDOW], entry: [u8; ENTRY_BYTES as usize]) -> Unit<'a> {
        Unit {
            window,
            packed: &[],
            changes: u32::from(window[0] & 127),
            odd: window[0] >> 7 == 1,
            low: u32::from(entry[2] & 63),
            span: u32::from(entry[3] & 63),
        }
    }

    /// Rows of symbol `low + offset` in the group before this unit.
    #[inline(always)]
    pub(super) fn before(&self, offset: u32) -> u32 {
        let at = HEAD_BYTES + 2 * (offset & 63) as usize;
        u32::from(u16::from_le_bytes([self.window[at], self.window[at + 1]]))
    }

    /// `row` plus [`Unit::before`] for the symbols set in `symbols`.
    #[inline(always)]
    pub(super) fn befores(&self, symbols: u64, row: &Counts, out: &mut Counts) {
        let mut rest = symbols;
        while rest != 0 {
            let symbol = rest.trailing_zeros() & 63;
            rest &= rest - 1;
            let before = self.before(symbol.saturating_sub(self.low));
            out[symbol as usize] = row[symbol as usize].saturating_add(before);
        }
    }

    /// The symbol minus the smallest at `position`, and the rows of that symbol before it in the unit.
    #[inline(always)]
    pub(super) fn access<S: WordSelect>(&self, select: S, position: u32) -> (u32, u32) {
        if self.changes == 0 {
            return (0, position);
        }
        let (symbol, rows) = if self.changes == PACKED {
            self.access_packed(position)
        } else {
            with_runs!(self, runs => {
                let place = runs.locate(select, position);
                let symbol = runs.symbol(place.run);
                (symbol, runs.rows(select, runs.same(symbol), &place))
            })
        };
        (symbol.min(self.span), rows.min(position))
    }

    /// Rows of symbol `low + offset` before `position` in the unit.
    #[inline(always)]
    pub(super) fn count<S: WordSelect>(&self, select: S, position: u32, offset: u32) -> u32 {
        if self.changes == 0 {
            return position;
        }
        let rows = if self.changes == PACKED {
            self.count_packed(position, offset)
        } else {
            with_runs!(self, runs => {
                let place = runs.locate(select, position);
                runs.rows(select, runs.same(offset), &place)
            })
        };
        rows.min(position)
    }

    /// Adds the rows before `position` in the unit to the counts of their symbols.
    #[inline(always)]
    pub(super) fn counts<S: WordSelect>(&self, select: S, position: u32, out: &mut Counts) {
        let low = self.low as usize;
        let out = out.get_mut(low..).unwrap_or_default();
        let out = out.iter_mut().take(self.span as usize + 1);
        if self.changes == 0 {
            out.for_each(|count| *count = count.saturating_add(position));
        } else if self.changes == PACKED {
            for (offset, count) in out.enumerate() {
                *count = count.saturating_add(self.count_packed(position, offset as u32));
            }
        } else {
            with_runs!(self, runs => {
                let place = runs.locate(select, position);
                for (offset, count) in out.enumerate() {
                    let rows = runs.rows(select, runs.same(offset as u32), &place);
                    *count = count.saturating_add(rows.min(position));
                }
            });
        }
    }

    /// Calls `found` with the symbol and the length of each run of `range`, rows of the unit.
    #[inline(always)]
    pub(super) fn runs(&self, range: Range<u32>, mut found: impl FnMut(u32, u32)) {
        if self.changes == 0 {
            return found(self.low, range.end - range.start);
        }
        let mut start = range.start;
        if self.changes == PACKED {
            let mut last = self.packed_at(start);
            for position in range.clone() {
                let symbol = self.packed_at(position);
                if symbol != last {
                    found(self.low + last, position - start);
                    (start, last) = (position, symbol);
                }
            }
            return found(self.low + last, range.end - start);
        }
        with_runs!(self, runs => runs.each(|end, symbol| {
            let end = end.clamp(start, range.end);
            if end > start {
                found(self.low + symbol, end - start);
                start = end;
            }
        }));
    }

    /// Where the planes of a packed unit begin and end, in bytes from its start.
    #[inline(always)]
    pub(super) fn packed_bytes(&self) -> Option<Range<usize>> {
        let start = HEAD_BYTES + 2 * (self.span as usize + 1);
        (self.changes == PACKED).then(|| start..start + self.planes() as usize * PLANE_BYTES)
    }

    #[inline(always)]
    fn planes(&self) -> u32 {
        32 - self.span.leading_zeros()
    }

    /// The word of plane `plane` of a packed unit that holds row `64 * word`.
    #[inline(always)]
    fn packed_word(&self, plane: u32, word: u32) -> u64 {
        let at = (plane * PLANE_BYTES as u32 + word * 8) as usize;
        self.packed.get(at..at + 8).map_or(0, |bytes| {
            let mut eight = [0; 8];
            eight.copy_from_slice(bytes);
            u64::from_le_bytes(eight)
        })
    }

    #[inline(always)]
    fn packed_at(&self, position: u32) -> u32 {
        (0..self.planes()).fold(0, |symbol, plane| {
            let bit = self.packed_word(plane, position / 64) >> (position % 64) & 1;
            symbol | (bit as u32) << plane
        })
    }

    #[inline(always)]
    fn access_packed(&self, position: u32) -> (u32, u32) {
        let symbol = self.packed_at(position);
        (symbol, self.count_packed(position, symbol))
    }

    fn count_packed(&self, position: u32, symbol: u32) -> u32 {
        let mut rows = 0;
        for word in 0..position.div_ceil(64) {
            let mut same = low_mask(position - word * 64);
            for plane in 0..self.planes() {
                let differ = 0u64.wrapping_sub(u64::from(symbol >> plane & 1 == 0));
                same &= self.packed_word(plane, word) ^ differ;
            }
            rows += same.count_ones();
        }
        rows
    }
}

/// A row of a unit among its runs.
struct Place {
    position: u32,
    run: u32,
    /// Where the zero before its bucket stands in the string of buckets.
    zero: u32,
}

/// The runs of a unit with `2^B` buckets, whose string behind one zero more takes `W` words.
struct Runs<M, const B: u32, const W: usize> {
    changes: u32,
    upper: [u64; W],
    /// Low bits of the positions of changes.
    lows: [M; 7],
    /// Bits of the runs' symbols.
    symbols: [M; 6],
    planes: u32,
}

impl<M: Set, const B: u32, const W: usize> Runs<M, B, W> {
    const LOW: u32 = UNIT_LOG - B;

    #[inline(always)]
    fn of(unit: &Unit<'_>) -> Self {
        let m = unit.changes.min(MAX_CHANGES);
        let at = HEAD_BYTES + 2 * (unit.span as usize + 1);
        // The window is as long as the longest header, counters and runs together.
        let bits = unit.window.get(at..).and_then(|bits| bits.first_chunk());
        let bits = bits.unwrap_or(&[0; RUN_BYTES]);
        let mut upper = [0; W];
        let upper_bits = m + (1 << B);
        for (i, word) in upper.iter_mut().enumerate() {
            let at = i as u32 * 64;
            *word = word_at(bits, at) & low_mask(upper_bits.saturating_sub(at));
        }
        let first = upper[0] & 1 == 1;
        upper[0] &= !1;
        let mut at = upper_bits;
        let live = M::below(m);
        let mut lows = [M::NONE; 7];
        for plane in lows.iter_mut().take(Self::LOW as usize) {
            *plane = M::load(bits, at) & live;
            at += m;
        }
        let planes = unit.planes();
        let mut symbols = [M::NONE; 6];
        for (index, plane) in symbols.iter_mut().enumerate().take(planes as usize) {
            if index == 0 && unit.odd {
                *plane = if first { !M::ODD } else { M::ODD };
                continue;
            }
            *plane = M::load(bits, at);
            at += m + 1;
        }
        Runs {
            changes: m,
            upper,
            lows,
            symbols,
            planes,
        }
    }

    /// Where `position` is.
    #[inline(always)]
    fn locate<S: WordSelect>(&self, select: S, position: u32) -> Place {
        let bucket = position >> Self::LOW;
        let (mut word, mut rest, mut sum) = (0, bucket, 0);
        for &here in self.upper.iter().take(W - 1) {
            sum += here.count_zeros();
            let behind = bucket >= sum;
            word += usize::from(behind);
            rest = if behind { bucket - sum } else { rest };
        }
        // A damaged unit may have no such zero.
        let shift = select.select(!self.upper[word], rest).min(63);
        let zero = word as u32 * 64 + shift;
        let first = zero.saturating_sub(bucket).min(self.changes);
        let next = self.upper.get(word + 1).copied().unwrap_or(0);
        let behind = self.upper[word] >> shift >> 1 | next << (63 - shift);
        let members = select.low_mask(behind.trailing_ones());
        // Members up to the position: from the lowest bit up, the higher one decides.
        let mut up_to = members;
        for (plane, bits) in self.lows.iter().enumerate().take(Self::LOW as usize) {
            let bits = (*bits >> first).low();
            let wanted = 0u64.wrapping_sub(u64::from(position >> plane & 1));
            up_to = (up_to & !bits) | (wanted & (up_to ^ !bits));
        }
        Place {
            position,
            run: (first + (up_to & members).count_ones()).min(self.changes),
            zero,
        }
    }

    /// The symbol of run `run`, minus the smallest.
    #[inline(always)]
    fn symbol(&self, run: u32) -> u32 {
        let mut symbol = 0;
        for (index, &plane) in self.symbols.iter().enumerate().take(self.planes as usize) {
            symbol |= ((plane >> run).low() as u32 & 1) << index;
        }
        symbol
    }

    /// The runs with a symbol.
    #[inline(always)]
    fn same(&self, symbol: u32) -> M {
        let mut same = M::below(self.changes + 1);
        for (index, &plane) in self.symbols.iter().enumerate().take(self.planes as usize) {
            same = same & if symbol >> index & 1 == 1 { plane } else { !plane };
        }
        same
    }

    /// Rows before `place` in the runs of `same`, no two of which are neighbours.
    #[inline(always)]
    fn rows<S: WordSelect>(&self, select: S, same: M, place: &Place) -> u32 {
        let before = M::below(place.run);
        let (ends, starts) = (same & before, (same >> 1) & before);
        // The run of the place itself ends there.
        let open = (same >> place.run).low() as u32 & 1;
        let mut sum = (open * (place.position & ((1 << Self::LOW) - 1))) as i32;
        for (plane, &bits) in self.lows.iter().enumerate().take(Self::LOW as usize) {
            sum += ((bits & ends).count() as i32 - (bits & starts).count() as i32) << plane;
        }
        let mut toggles = ends ^ starts;
        let mut flip = 0u64.wrapping_sub(same.low() & 1);
        let mut zeros = 0;
        for (i, &word) in self.upper.iter().enumerate() {
            let inside = select.prefix_xor(select.deposit(toggles.low(), word)) ^ flip;
            // The first zero stands for no step from bucket to bucket.
            let up_to = select.low_mask((place.zero + 1).saturating_sub(i as u32 * 64));
            let steps = !word & up_to & if i == 0 { !1 } else { !0 };
            zeros += (inside & steps).count_ones();
            flip = 0u64.wrapping_sub(inside >> 63);
            toggles = toggles >> word.count_ones().min(63);
        }
        sum += (zeros << Self::LOW) as i32;
        sum.max(0) as u32
    }

    /// Calls `found` with the end and the symbol of each run, minus the smallest.
    #[inline(always)]
    fn each(&self, mut found: impl FnMut(u32, u32)) {
        let mut index = 0;
        for (i, &word) in self.upper.iter().enumerate() {
            let mut rest = word;
            while rest != 0 && index < self.changes {
                let bucket = (i as u32 * 64 + rest.trailing_zeros()).saturating_sub(index + 1);
                rest &= rest - 1;
                let mut position = bucket << Self::LOW;
                for (plane, &bits) in self.lows.iter().enumerate().take(Self::LOW as usize) {
                    position |= ((bits >> index).low() as u32 & 1) << plane;
                }
                found(position, self.symbol(index));
                index += 1;
            }
        }
        found(1 << UNIT_LOG, self.symbol(index));
    }
}
