//! Building codes up from bits: planes make the low bits, each level above merges two halves.
//!
//! The elements are as wide as the bits known so far need (8, 16, 32, 64), so that a level moves as few bytes as it can.

#![allow(
    clippy::cast_possible_truncation,
    reason = "elements are narrowed to the bits they have"
)]

use std::ops::Range;

use super::simd::{Path, fast};
use crate::bits::words::low_mask;

/// Elements behind the last one, which a vector path may read and overwrite.
pub(crate) const PADDING: usize = 64;

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

/// Elements of the width that the bits known so far need, each vector with [`PADDING`].
#[derive(Debug)]
enum Elements {
    Bytes(Vec<u8>),
    Shorts(Vec<u16>),
    Words(Vec<u32>),
    Longs(Vec<u64>),
}

impl Elements {
    fn bits(&self) -> u32 {
        match self {
            Elements::Bytes(_) => 8,
            Elements::Shorts(_) => 16,
            Elements::Words(_) => 32,
            Elements::Longs(_) => 64,
        }
    }
}

/// Codes being built up, lowest bit first.
#[derive(Debug)]
pub(crate) struct Merger {
    path: Path,
    count: usize,
    elements: Elements,
    spare: Elements,
    /// Bytes of the elements while planes are unpacked: all lowest bytes with padding, all next ones, ...
    bytes: Vec<u8>,
}

impl Merger {
    /// A merger that takes `path`.
    pub(crate) fn new(path: Path) -> Merger {
        let empty = || Elements::Bytes(Vec::new());
        Merger {
            path,
            count: 0,
            elements: empty(),
            spare: empty(),
            bytes: Vec::new(),
        }
    }

    pub(crate) fn path(&self) -> Path {
        self.path
    }

    /// `count` elements without bits; returns their bytes, `planes / 8` rounded up for each, to be filled one byte array
    /// of `count + PADDING` after the other before [`Merger::planes_done`].
    pub(crate) fn start(&mut self, count: usize, planes: u32) -> &mut [u8] {
        self.count = count;
        let size = (count + PADDING) * (planes.div_ceil(8).max(1)) as usize;
        self.bytes.clear();
        self.bytes.resize(size, 0);
        &mut self.bytes
    }

    /// Makes elements of the bytes that [`Merger::start`] returned.
    pub(crate) fn planes_done(&mut self) {
        let length = self.count + PADDING;
        let bytes = &self.bytes;
        self.elements = match bytes.len() / length {
            1 => {
                let old = std::mem::replace(&mut self.elements, Elements::Bytes(Vec::new()));
                let spare = if let Elements::Bytes(old) = old {
                    old
                } else {
                    Vec::new()
                };
                Elements::Bytes(std::mem::replace(&mut self.bytes, spare))
            }
            2 => {
                let (low, high) = bytes.split_at(length);
                let pairs = low.iter().zip(high);
                Elements::Shorts(
                    pairs
                        .map(|(&low, &high)| u16::from(low) | u16::from(high) << 8)
                        .collect(),
                )
            }
            3 | 4 => {
                let mut out: Vec<u32> = bytes[..length].iter().map(|&byte| byte.into()).collect();
                for (index, bytes) in bytes.chunks_exact(length).enumerate().skip(1) {
                    for (element, &byte) in out.iter_mut().zip(bytes) {
                        *element |= u32::from(byte) << (8 * index);
                    }
                }
                Elements::Words(out)
            }
            _ => {
                let mut out: Vec<u64> = bytes[..length].iter().map(|&byte| byte.into()).collect();
                for (index, bytes) in bytes.chunks_exact(length).enumerate().skip(1) {
                    for (element, &byte) in out.iter_mut().zip(bytes) {
                        *element |= u64::from(byte) << (8 * index);
                    }
                }
                Elements::Longs(out)
            }
        };
    }

    /// Sets bit `bit` from `bits`, in whose order the elements come to be: those with a zero are the first half now.
    ///
    /// Bits past the last element are zero.
    pub(crate) fn level(&mut self, bit: u32, bits: &[u64]) {
        self.widen(bit);
        if self.elements.bits() != self.spare.bits() {
            self.spare = match &self.elements {
                Elements::Bytes(_) => Elements::Bytes(Vec::new()),
                Elements::Shorts(_) => Elements::Shorts(Vec::new()),
                Elements::Words(_) => Elements::Words(Vec::new()),
                Elements::Longs(_) => Elements::Longs(Vec::new()),
            };
        }
        let (path, count) = (self.path, self.count);
        match (&self.elements, &mut self.spare) {
            (Elements::Bytes(from), Elements::Bytes(to)) => {
                let halves = halves(from, to, count, bit, bits);
                match path {
                    Path::Portable => merge(halves),
                    #[cfg(target_arch = "x86_64")]
                    Path::Shuffle(shuffle) => shuffle.merge8(halves),
                    #[cfg(all(target_arch = "x86_64", avx512))]
                    Path::Avx512(avx512) => avx512.merge8(halves),
                }
            }
            (Elements::Shorts(from), Elements::Shorts(to)) => {
                let halves = halves(from, to, count, bit, bits);
                match path {
                    Path::Portable => merge(halves),
                    #[cfg(target_arch = "x86_64")]
                    Path::Shuffle(shuffle) => shuffle.merge16(halves),
                    #[cfg(all(target_arch = "x86_64", avx512))]
                    Path::Avx512(avx512) => avx512.merge16(halves),
                }
            }
            (Elements::Words(from), Elements::Words(to)) => {
                let halves = halves(from, to, count, bit, bits);
                match path {
                    Path::Portable => merge(halves),
                    #[cfg(target_arch = "x86_64")]
                    Path::Shuffle(shuffle) => shuffle.merge32(halves),
                    #[cfg(all(target_arch = "x86_64", avx512))]
                    Path::Avx512(avx512) => avx512.merge32(halves),
                }
            }
            (Elements::Longs(from), Elements::Longs(to)) => {
                let halves = halves(from, to, count, bit, bits);
                match path {
                    #[cfg(all(target_arch = "x86_64", avx512))]
                    Path::Avx512(avx512) => avx512.merge64(halves),
                    _ => merge(halves),
                }
            }
            _ => debug_assert!(false, "elements and spare ones are of one width"),
        }
        std::mem::swap(&mut self.elements, &mut self.spare);
    }

    /// `base` plus each element, into `out`.
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
        match &self.elements {
            Elements::Bytes(elements) => add(base, elements, out),
            Elements::Shorts(elements) => add(base, elements, out),
            Elements::Words(elements) => add(base, elements, out),
            Elements::Longs(elements) => add(base, elements, out),
        }
    }

    /// Sets bit `i` of `words` if element `i` lies between `low` and `high`, both included; bits past the last are cleared.
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
        match &self.elements {
            Elements::Bytes(elements) => compare(&elements[..self.count], low, high, words),
            Elements::Shorts(elements) => compare(&elements[..self.count], low, high, words),
            Elements::Words(elements) => compare(&elements[..self.count], low, high, words),
            Elements::Longs(elements) => compare(&elements[..self.count], low, high, words),
        }
    }

    /// Makes room for bit `bit`.
    fn widen(&mut self, bit: u32) {
        if bit < self.elements.bits() {
            return;
        }
        fn into<T: Copy + Into<U>, U>(from: &[T]) -> Vec<U> {
            from.iter().map(|&element| element.into()).collect()
        }
        self.elements = match (&self.elements, bit) {
            (Elements::Bytes(from), 8..=15) => Elements::Shorts(into(from)),
            (Elements::Bytes(from), 16..=31) => Elements::Words(into(from)),
            (Elements::Bytes(from), _) => Elements::Longs(into(from)),
            (Elements::Shorts(from), 16..=31) => Elements::Words(into(from)),
            (Elements::Shorts(from), _) => Elements::Longs(into(from)),
            (Elements::Words(from), _) => Elements::Longs(into(from)),
            (Elements::Longs(_), _) => return,
        };
    }
}

/// An element that bits are merged into.
trait Element: Copy + Default + std::ops::BitOr<Output = Self> {
    fn of_bit(bit: bool, at: u32) -> Self;
}

macro_rules! element {
    ($($ty:ty),*) => {$(
        impl Element for $ty {
            #[inline(always)]
            fn of_bit(bit: bool, at: u32) -> Self {
                <$ty>::from(bit) << at
            }
        }
    )*};
}
element!(u8, u16, u32, u64);

fn halves<'a, T: Element>(
    from: &'a [T],
    to: &'a mut Vec<T>,
    count: usize,
    bit: u32,
    bits: &'a [u64],
) -> Halves<'a, T> {
    to.resize(count + PADDING, T::default());
    let zeros = count - ones(bits, 0..count) as usize;
    Halves {
        from,
        to,
        count,
        zeros,
        bit,
        bits,
    }
}

/// The merge in plain Rust: a place takes the next element of one half or the other.
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
    for (group, &word) in to[..count].chunks_mut(64).zip(bits) {
        for (i, to) in group.iter_mut().enumerate() {
            let set = word >> i & 1 == 1;
            let at = if set { one } else { zero };
            *to = from.get(at).copied().unwrap_or_default() | T::of_bit(set, bit);
            one += usize::from(set);
            zero += usize::from(!set);
        }
    }
}

/// Byte `i` gets bit `k` from bit `i` of `planes[k]`, the lowest plane first; planes from `count` on are zero.
#[inline(always)]
pub(crate) fn unpack(planes: &[u64; 8], _: usize, out: &mut [u8; 64]) {
    for (eight, bytes) in out.chunks_exact_mut(8).enumerate() {
        // Row `k` of the square is plane `k`; transposed, row `i` is the byte of element `i`.
        let mut square = 0u64;
        for (k, plane) in planes.iter().enumerate() {
            square |= (plane >> (8 * eight) & 0xff) << (8 * k);
        }
        bytes.copy_from_slice(&transpose(square).to_le_bytes());
    }
}

/// Transposes a square of 8 by 8 bits.
#[inline(always)]
pub(crate) fn transpose(mut square: u64) -> u64 {
    let swap = (square ^ square >> 7) & 0x00aa_00aa_00aa_00aa;
    square ^= swap ^ swap << 7;
    let swap = (square ^ square >> 14) & 0x0000_cccc_0000_cccc;
    square ^= swap ^ swap << 14;
    let swap = (square ^ square >> 28) & 0x0000_0000_f0f0_f0f0;
    square ^ swap ^ swap << 28
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn all_paths_give_the_same_codes(
            count in 0usize..700,
            planes in 0u32..20,
            levels in prop_oneof![Just(8u32), 0u32..60],
            words in proptest::collection::vec(any::<u64>(), 60 * 11),
        ) {
            let mut results = Vec::new();
            for path in Path::all() {
                let mut merger = Merger::new(path);
                for _ in 0..2 {
                    let bytes = merger.start(count, planes);
                    for (byte, word) in bytes.iter_mut().zip(words.iter().flat_map(|word| word.to_le_bytes())) {
                        *byte = word;
                    }
                    if planes < 8 {
                        bytes.iter_mut().for_each(|byte| *byte &= (1 << planes) - 1);
                    }
                    merger.planes_done();
                    for level in 0..levels {
                        let at = level as usize * 11;
                        let mut bits = words[at..at + count.div_ceil(64)].to_vec();
                        if let (Some(last), true) = (bits.last_mut(), count % 64 != 0) {
                            *last &= low_mask((count % 64) as u32);
                        }
                        merger.level((planes.div_ceil(8) * 8 + level).min(63), &bits);
                    }
                }
                let mut out = vec![0; count];
                merger.finish(77, &mut out);
                results.push(out);
            }
            for other in &results[1..] {
                prop_assert!(other == &results[0], "the paths differ");
            }
        }
    }
}
