//! Building codes up from bits: planes make the low bits, each level above merges two halves.
//!
//! The elements are as wide as the bits known so far need (8, 16, 32, 64), so that a level moves as few bytes as it can.

#![allow(
    clippy::cast_possible_truncation,
    reason = "elements are narrowed to the bits they have"
)]

use std::ops::Range;

use super::simd::{Path, fast};
use crate::bits::words::{low_mask, transpose};

/// Elements of the same symbol, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) symbol: u8,
    pub(crate) rows: u16,
}

/// Elements behind the last one, which a vector path may read and overwrite.
pub(crate) const PADDING: usize = 128;

/// Levels above 32 bits from which on places go through the levels instead of elements.
const WIDE_LEVELS: u32 = 3;

/// What one level's merge works on: the elements of its zeros, then those of its ones, into the order of its bits.
pub(crate) struct Halves<'a, T> {
    pub(crate) from: &'a [T],
    pub(crate) to: &'a mut [T],
    pub(crate) count: usize,
    /// How many bits are zero.
    pub(crate) zeros: usize,
    /// Which bit of an element the ones get.
    pub(crate) bit: u32,
    bits: &'a [u64],
}

impl<T> Halves<'_, T> {
    /// The words that hold the bits.
    #[inline(always)]
    pub(crate) fn words(&self) -> &[u64] {
        &self.bits[..self.count.div_ceil(64)]
    }

    /// That no path leaves its slices: there are padded elements and as many ones and zeros as said.
    #[inline(always)]
    pub(crate) fn check(&self) {
        let ones: usize = self.words().iter().map(|word| word.count_ones() as usize).sum();
        assert!(
            self.from.len() >= self.count + PADDING
                && self.to.len() >= self.count + PADDING
                && self.zeros + ones == self.count
                && (self.bit as usize) < size_of::<T>() * 8,
            "halves of {} elements",
            self.count
        );
    }
}

/// Elements of one width, and as many spare ones; each vector ends with [`PADDING`].
#[derive(Debug, Default)]
struct Both<T> {
    now: Vec<T>,
    spare: Vec<T>,
}

impl<T: Copy + Default> Both<T> {
    fn resize(&mut self, count: usize) -> &mut [T] {
        self.now.resize(count + PADDING, T::default());
        &mut self.now
    }

    /// Takes over narrower elements.
    fn widen<N: Copy + Into<T>>(&mut self, narrow: &[N]) {
        self.now.clear();
        self.now.extend(narrow.iter().map(|&element| element.into()));
    }
}

/// Elements that a run is copied by; some more than a run has are overwritten by the next.
const STEP: usize = 32;

impl<T: Element> Both<T> {
    /// Takes for each run as many elements as it has rows from where those of its symbol are.
    fn gather(&mut self, count: usize, runs: &[Run], places: &mut [usize; 256], bit: u32) {
        self.spare.resize(count + PADDING, T::default());
        std::mem::swap(&mut self.now, &mut self.spare);
        let (from, to) = (&self.spare[..], &mut self.now[..]);
        let mut at = 0;
        for run in runs {
            let (rows, high) = (usize::from(run.rows), T::of_symbol(run.symbol, bit));
            let place = &mut places[usize::from(run.symbol)];
            let whole = rows.next_multiple_of(STEP);
            let (Some(from), Some(to)) = (from.get(*place..*place + whole), to.get_mut(at..at + whole))
            else {
                debug_assert!(false, "elements are padded");
                return;
            };
            for (to, from) in to.chunks_exact_mut(STEP).zip(from.chunks_exact(STEP)) {
                for (to, &from) in to.iter_mut().zip(from) {
                    *to = from | high;
                }
            }
            *place += rows;
            at += rows;
        }
    }
}

/// How wide the elements are now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Width {
    Bytes,
    Shorts,
    Words,
    Longs,
}

impl Width {
    fn of(bits: u32) -> Width {
        match bits {
            0..=8 => Width::Bytes,
            9..=16 => Width::Shorts,
            17..=32 => Width::Words,
            _ => Width::Longs,
        }
    }
}

/// Where wide elements stay while narrow ones that say where they are go through the levels.
#[derive(Debug, Clone, Copy)]
struct Places {
    planes: u32,
    /// Bits of a place.
    bits: u32,
}

/// Codes being built up, lowest bit first.
#[derive(Debug)]
pub(crate) struct Merger {
    path: Path,
    count: usize,
    width: Width,
    bytes: Both<u8>,
    shorts: Both<u16>,
    words: Both<u32>,
    longs: Both<u64>,
    places: Option<Places>,
    /// Bits that all codes have.
    common: u64,
}

/// Elements in the width that planes need, for [`Merger::start`]'s caller to fill.
pub(crate) enum Unfilled<'a> {
    Bytes(&'a mut [u8]),
    Shorts(&'a mut [u16]),
    Words(&'a mut [u32]),
    Longs(&'a mut [u64]),
}

impl Merger {
    /// A merger that takes `path`.
    pub(crate) fn new(path: Path) -> Merger {
        Merger {
            path,
            count: 0,
            width: Width::Bytes,
            bytes: Both::default(),
            shorts: Both::default(),
            words: Both::default(),
            longs: Both::default(),
            places: None,
            common: 0,
        }
    }

    pub(crate) fn path(&self) -> Path {
        self.path
    }

    /// Starts `count` codes of `planes + levels` bits; the low `planes` bits of the elements returned are to be filled.
    ///
    /// Behind the last one are [`PADDING`] more, which may be overwritten.
    pub(crate) fn start(&mut self, count: usize, planes: u32, levels: u32) -> Unfilled<'_> {
        self.count = count;
        self.common = 0;
        self.places = None;
        self.width = Width::of(planes);
        let bits = usize::BITS - count.leading_zeros(); // of a place
        if planes > 16 && planes + levels >= planes.max(32) + WIDE_LEVELS && bits + levels <= 32 {
            self.places = Some(Places { planes, bits });
            self.width = Width::Words;
            self.words.now.clear();
            self.words.now.extend(0..(count + PADDING) as u32);
            return Unfilled::Longs(self.longs.resize(count));
        }
        match self.width {
            Width::Bytes => {
                let bytes = self.bytes.resize(count);
                if planes == 0 {
                    bytes.fill(0);
                }
                Unfilled::Bytes(bytes)
            }
            Width::Shorts => Unfilled::Shorts(self.shorts.resize(count)),
            Width::Words => Unfilled::Words(self.words.resize(count)),
            Width::Longs => Unfilled::Longs(self.longs.resize(count)),
        }
    }

    /// Sets bit `bit` from `bits`, in whose order the elements come to be: those with a zero are the first half now.
    ///
    /// Bits past the last element are zero.
    pub(crate) fn level(&mut self, bit: u32, bits: &[u64]) {
        let count = self.count;
        let zeros = count - (ones(bits, 0..count) as usize).min(count);
        if zeros == count {
            return;
        }
        if zeros == 0 {
            self.common |= 1 << bit;
            return;
        }
        let bit = match self.places {
            Some(places) => bit - places.planes + places.bits,
            None => bit,
        };
        self.widen(Width::of(bit + 1));
        fn halves<'a, T: Element>(
            both: &'a mut Both<T>,
            count: usize,
            zeros: usize,
            bit: u32,
            bits: &'a [u64],
        ) -> Halves<'a, T> {
            both.spare.resize(count + PADDING, T::default());
            std::mem::swap(&mut both.now, &mut both.spare);
            Halves {
                from: &both.spare,
                to: &mut both.now,
                count,
                zeros,
                bit,
                bits,
            }
        }
        match self.width {
            Width::Bytes => {
                let halves = halves(&mut self.bytes, count, zeros, bit, bits);
                match self.path {
                    Path::Portable => merge(halves),
                    #[cfg(target_arch = "x86_64")]
                    Path::Shuffle(shuffle) => shuffle.merge8(halves),
                    #[cfg(all(target_arch = "x86_64", avx512))]
                    Path::Avx512(avx512) => avx512.merge8(halves),
                    #[cfg(target_arch = "aarch64")]
                    Path::Neon(neon) => neon.merge8(halves),
                }
            }
            Width::Shorts => {
                let halves = halves(&mut self.shorts, count, zeros, bit, bits);
                match self.path {
                    Path::Portable => merge(halves),
                    #[cfg(target_arch = "x86_64")]
                    Path::Shuffle(shuffle) => shuffle.merge16(halves),
                    #[cfg(all(target_arch = "x86_64", avx512))]
                    Path::Avx512(avx512) => avx512.merge16(halves),
                    #[cfg(target_arch = "aarch64")]
                    Path::Neon(neon) => neon.merge16(halves),
                }
            }
            Width::Words => {
                let halves = halves(&mut self.words, count, zeros, bit, bits);
                match self.path {
                    Path::Portable => merge(halves),
                    #[cfg(target_arch = "x86_64")]
                    Path::Shuffle(shuffle) => shuffle.merge32(halves),
                    #[cfg(all(target_arch = "x86_64", avx512))]
                    Path::Avx512(avx512) => avx512.merge32(halves),
                    #[cfg(target_arch = "aarch64")]
                    Path::Neon(neon) => neon.merge32(halves),
                }
            }
            Width::Longs => {
                let halves = halves(&mut self.longs, count, zeros, bit, bits);
                match self.path {
                    #[cfg(all(target_arch = "x86_64", avx512))]
                    Path::Avx512(avx512) => avx512.merge64(halves),
                    _ => merge(halves),
                }
            }
        }
    }

    /// Sets the `symbol_bits` bits from `bit` on, the last ones, to the symbols of `runs`, in whose order the elements come to
    /// be: those of smaller symbols are first now. The runs have as many rows as there are elements.
    pub(crate) fn symbols(&mut self, bit: u32, symbol_bits: u32, runs: &[Run]) {
        let count = self.count;
        let mut totals = [0usize; 256];
        for run in runs {
            totals[usize::from(run.symbol)] += usize::from(run.rows);
        }
        let mut places = [0usize; 256];
        let mut sum = 0;
        for (place, total) in places.iter_mut().zip(totals) {
            (*place, sum) = (sum, sum + total);
        }
        debug_assert!(sum == count, "runs of all rows");
        if let (Some(run), true) = (runs.first(), sum == count) {
            if totals[usize::from(run.symbol)] == count {
                self.common |= u64::from(run.symbol) << bit;
                return;
            }
        }
        let bit = match self.places {
            Some(places) => bit - places.planes + places.bits,
            None => bit,
        };
        self.widen(Width::of(bit + symbol_bits));
        match self.width {
            Width::Bytes => self.bytes.gather(count, runs, &mut places, bit),
            Width::Shorts => self.shorts.gather(count, runs, &mut places, bit),
            Width::Words => self.words.gather(count, runs, &mut places, bit),
            Width::Longs => self.longs.gather(count, runs, &mut places, bit),
        }
    }

    /// `base` plus each code, into `out`.
    pub(crate) fn finish(&self, base: u64, out: &mut [u64]) {
        match self.path {
            #[cfg(all(target_arch = "x86_64", avx512))]
            Path::Avx512(avx512) => avx512.run(
                #[inline(always)]
                || self.add(base, out),
            ),
            _ => self.add(base, out),
        }
    }

    #[inline(always)]
    fn add(&self, base: u64, out: &mut [u64]) {
        #[inline(always)]
        fn add<T: Copy + Into<u64>>(base: u64, elements: &[T], out: &mut [u64]) {
            for (to, &from) in out.iter_mut().zip(elements) {
                *to = base.wrapping_add(from.into());
            }
        }
        let base = base.wrapping_add(self.common);
        if let Some(places) = self.places {
            return self.look_up(places, &self.words.now, base, out);
        }
        match self.width {
            Width::Bytes => add(base, &self.bytes.now, out),
            Width::Shorts => add(base, &self.shorts.now, out),
            Width::Words => add(base, &self.words.now, out),
            Width::Longs => add(base, &self.longs.now, out),
        }
    }

    /// `base` plus the codes of elements that say where their low bits are.
    #[inline(always)]
    fn look_up(&self, places: Places, elements: &[u32], base: u64, out: &mut [u64]) {
        let mask = low_mask(places.bits) as u32;
        for (to, &from) in out.iter_mut().zip(elements) {
            let low = self.longs.now.get((from & mask) as usize).copied().unwrap_or(0);
            // Shifted in two steps: there may be 64 planes and no level.
            let high = u64::from(from >> 1 >> (places.bits - 1)) << (places.planes - 1) << 1;
            *to = base.wrapping_add(low | high);
        }
    }

    /// Sets bit `i` of `words` if code `i` lies between `low` and `high`, both included; bits past the last are cleared.
    pub(crate) fn within(&self, low: u64, high: u64, words: &mut [u64]) {
        match self.path {
            #[cfg(all(target_arch = "x86_64", avx512))]
            Path::Avx512(avx512) => avx512.run(
                #[inline(always)]
                || self.compare(low, high, words),
            ),
            _ => self.compare(low, high, words),
        }
    }

    #[inline(always)]
    fn compare(&self, low: u64, high: u64, words: &mut [u64]) {
        #[inline(always)]
        fn compare<T: Copy + PartialOrd + TryFrom<u64>>(
            elements: &[T],
            low: u64,
            high: u64,
            words: &mut [u64],
        ) {
            // A bound that the elements cannot reach: none is above, all are below.
            let Ok(low) = T::try_from(low) else {
                return words.fill(0);
            };
            let high = T::try_from(high).ok();
            for (word, group) in words.iter_mut().zip(elements.chunks(64)) {
                let mut flags = [0u8; 64];
                for (flag, &element) in flags.iter_mut().zip(group) {
                    *flag = u8::from(low <= element && high.is_none_or(|high| element <= high));
                }
                // Eight flags at a time: the multiplication gathers the lowest bits of eight bytes.
                *word = 0;
                for (at, eight) in flags.chunks_exact(8).enumerate() {
                    let mut bytes = [0; 8];
                    bytes.copy_from_slice(eight);
                    let gathered = u64::from_le_bytes(bytes).wrapping_mul(0x0102_0408_1020_4080) >> 56;
                    *word |= gathered << (8 * at);
                }
            }
        }
        // The elements lack the bits that all codes have.
        let Some(high) = high.checked_sub(self.common) else {
            return words.fill(0);
        };
        let low = low.saturating_sub(self.common);
        if let Some(places) = self.places {
            let mut codes = [0; 64];
            for (index, word) in words.iter_mut().enumerate() {
                let count = self.count.saturating_sub(index * 64).min(64);
                self.look_up(places, &self.words.now[index * 64..], 0, &mut codes[..count]);
                compare(&codes[..count], low, high, std::slice::from_mut(word));
            }
            return;
        }
        match self.width {
            Width::Bytes => compare(&self.bytes.now[..self.count], low, high, words),
            Width::Shorts => compare(&self.shorts.now[..self.count], low, high, words),
            Width::Words => compare(&self.words.now[..self.count], low, high, words),
            Width::Longs => compare(&self.longs.now[..self.count], low, high, words),
        }
    }

    /// Makes elements at least as wide as `wanted`.
    fn widen(&mut self, wanted: Width) {
        if wanted <= self.width {
            return;
        }
        match (self.width, wanted) {
            (Width::Bytes, Width::Shorts) => self.shorts.widen(&self.bytes.now),
            (Width::Bytes, Width::Words) => self.words.widen(&self.bytes.now),
            (Width::Bytes, _) => self.longs.widen(&self.bytes.now),
            (Width::Shorts, Width::Words) => self.words.widen(&self.shorts.now),
            (Width::Shorts, _) => self.longs.widen(&self.shorts.now),
            (Width::Words | Width::Longs, _) => self.longs.widen(&self.words.now),
        }
        self.width = wanted;
    }
}

/// An element that bits are merged into.
trait Element: Copy + Default + std::ops::BitOr<Output = Self> {
    fn of_bit(bit: bool, at: u32) -> Self;
    /// `symbol` from bit `at` on.
    fn of_symbol(symbol: u8, at: u32) -> Self;
}

macro_rules! element {
    ($($ty:ty),*) => {$(
        impl Element for $ty {
            #[inline(always)]
            fn of_bit(bit: bool, at: u32) -> Self {
                <$ty>::from(bit) << at
            }
            #[inline(always)]
            fn of_symbol(symbol: u8, at: u32) -> Self {
                <$ty>::from(symbol) << at
            }
        }
    )*};
}
element!(u8, u16, u32, u64);

/// The merge in plain Rust: a place takes the next element of one half or the other; long runs are copied.
fn merge<T: Element>(halves: Halves<'_, T>) {
    let Halves {
        from,
        to,
        count,
        zeros,
        bit,
        bits,
    } = halves;
    let (mut zero, mut one) = (0, zeros);
    for (to, &word) in to.chunks_exact_mut(64).zip(&bits[..count.div_ceil(64)]) {
        let (Some(low), Some(high)) = (from[zero..].first_chunk::<64>(), from[one..].first_chunk::<64>())
        else {
            debug_assert!(false, "elements are padded");
            return;
        };
        let set = word.count_ones() as usize;
        if set == 0 {
            to.copy_from_slice(low);
        } else if set == 64 {
            for (to, &from) in to.iter_mut().zip(high) {
                *to = from | T::of_bit(true, bit);
            }
        } else {
            let (mut rest, mut next) = (word, 0);
            for (i, to) in to.iter_mut().enumerate() {
                let set = rest & 1 == 1;
                let half = if set { high } else { low };
                let at = if set { next } else { i - next };
                *to = half[at & 63] | T::of_bit(set, bit);
                next += usize::from(set);
                rest >>= 1;
            }
        }
        one += set;
        zero += 64 - set;
    }
}

/// Byte `i` gets bit `k` from bit `i` of `planes[k]`, the lowest plane first, for the first `rows` bytes at least.
#[inline(always)]
pub(crate) fn unpack(planes: &[u64; 8], rows: usize, out: &mut [u8; 64]) {
    for (eight, bytes) in out.chunks_exact_mut(8).enumerate().take(rows.div_ceil(8)) {
        // Row `k` of the square is plane `k`; transposed, row `i` is the byte of element `i`.
        let mut square = 0u64;
        for (k, plane) in planes.iter().enumerate() {
            square |= (plane >> (8 * eight) & 0xff) << (8 * k);
        }
        bytes.copy_from_slice(&transpose(square).to_le_bytes());
    }
}

/// Set bits of `bits` at positions `range`.
fn ones(bits: &[u64], range: Range<usize>) -> u64 {
    fast!(select => {
        let _ = select;
        count_ones(bits, range)
    })
}

/// The same, compiled where it is called.
#[inline(always)]
pub(crate) fn count_ones(bits: &[u64], range: Range<usize>) -> u64 {
    if range.start >= range.end {
        return 0;
    }
    let (first, last) = (range.start / 64, (range.end - 1) / 64);
    let head = !low_mask((range.start % 64) as u32);
    let tail = low_mask(((range.end - 1) % 64) as u32 + 1);
    match bits.get(first..=last).unwrap_or_default() {
        [] => 0,
        [one] => u64::from((one & head & tail).count_ones()),
        [start, middle @ .., end] => {
            let inner: u64 = middle.iter().map(|word| u64::from(word.count_ones())).sum();
            u64::from((start & head).count_ones()) + inner + u64::from((end & tail).count_ones())
        }
    }
}

#[cfg(test)]
mod tests;
