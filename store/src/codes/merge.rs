//! Building codes up from bits: planes make the low bits, each level above merges two halves.
//!
//! The elements are as wide as the bits known so far need (8, 16, 32, 64), so that a level moves as few bytes as it can.

#![allow(
    clippy::cast_possible_truncation,
    reason = "elements are narrowed to the bits they have"
)]

use std::ops::Range;

use crate::bits::words::low_mask;

/// Elements of the width that the bits known so far need.
#[derive(Debug)]
enum Elements {
    Bytes(Vec<u8>),
    Shorts(Vec<u16>),
    Words(Vec<u32>),
    Longs(Vec<u64>),
}

/// Codes being built up, lowest bit first.
#[derive(Debug)]
pub(crate) struct Merger {
    count: usize,
    elements: Elements,
    spare: Elements,
}

impl Default for Merger {
    fn default() -> Self {
        Merger {
            count: 0,
            elements: Elements::Bytes(Vec::new()),
            spare: Elements::Bytes(Vec::new()),
        }
    }
}

impl Merger {
    /// `count` elements without bits.
    pub(crate) fn start(&mut self, count: usize) {
        self.count = count;
        self.elements = Elements::Bytes(vec![0; count]);
    }

    /// Sets bit `bit` of each element from `bits`; the bits below are known, the order stays.
    pub(crate) fn plane(&mut self, bit: u32, bits: &[u64]) {
        self.widen(bit);
        match &mut self.elements {
            Elements::Bytes(elements) => add_plane(elements, bit, bits),
            Elements::Shorts(elements) => add_plane(elements, bit, bits),
            Elements::Words(elements) => add_plane(elements, bit, bits),
            Elements::Longs(elements) => add_plane(elements, bit, bits),
        }
    }

    /// Sets bit `bit` from `bits`, in whose order the elements come to be: those with a zero are the first half now.
    pub(crate) fn level(&mut self, bit: u32, bits: &[u64]) {
        self.widen(bit);
        match (&mut self.elements, &mut self.spare) {
            (Elements::Bytes(from), Elements::Bytes(to)) => merge_swap(from, to, bit, bits),
            (Elements::Shorts(from), Elements::Shorts(to)) => merge_swap(from, to, bit, bits),
            (Elements::Words(from), Elements::Words(to)) => merge_swap(from, to, bit, bits),
            (Elements::Longs(from), Elements::Longs(to)) => merge_swap(from, to, bit, bits),
            (elements, spare) => {
                *spare = match elements {
                    Elements::Bytes(_) => Elements::Bytes(Vec::new()),
                    Elements::Shorts(_) => Elements::Shorts(Vec::new()),
                    Elements::Words(_) => Elements::Words(Vec::new()),
                    Elements::Longs(_) => Elements::Longs(Vec::new()),
                };
                self.level(bit, bits);
            }
        }
    }

    /// `base` plus each element, into `out`.
    pub(crate) fn finish(&self, base: u64, out: &mut [u64]) {
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

    /// Makes room for bit `bit`.
    fn widen(&mut self, bit: u32) {
        let wider = match (&self.elements, bit) {
            (Elements::Bytes(from), 8..=15) => Elements::Shorts(from.iter().map(|&x| x.into()).collect()),
            (Elements::Bytes(from), 16..=31) => Elements::Words(from.iter().map(|&x| x.into()).collect()),
            (Elements::Bytes(from), 32..) => Elements::Longs(from.iter().map(|&x| x.into()).collect()),
            (Elements::Shorts(from), 16..=31) => Elements::Words(from.iter().map(|&x| x.into()).collect()),
            (Elements::Shorts(from), 32..) => Elements::Longs(from.iter().map(|&x| x.into()).collect()),
            (Elements::Words(from), 32..) => Elements::Longs(from.iter().map(|&x| x.into()).collect()),
            _ => return,
        };
        self.elements = wider;
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

fn add_plane<T: Element>(elements: &mut [T], bit: u32, bits: &[u64]) {
    for (group, &word) in elements.chunks_mut(64).zip(bits) {
        for (i, element) in group.iter_mut().enumerate() {
            *element = *element | T::of_bit(word >> i & 1 == 1, bit);
        }
    }
}

fn merge_swap<T: Element>(from: &mut Vec<T>, to: &mut Vec<T>, bit: u32, bits: &[u64]) {
    to.resize(from.len(), T::default());
    merge(from, to, bit, bits);
    std::mem::swap(from, to);
}

/// `to[i]` is the next element of the second part of `from` with bit `bit` set where bit `i` is one, else of the first.
fn merge<T: Element>(from: &[T], to: &mut [T], bit: u32, bits: &[u64]) {
    let zeros = from.len() - ones(bits, 0..from.len()) as usize;
    let (mut zero, mut one) = (0, zeros);
    for (group, &word) in to.chunks_mut(64).zip(bits) {
        for (i, to) in group.iter_mut().enumerate() {
            let set = word >> i & 1 == 1;
            let at = if set { one } else { zero };
            *to = from.get(at).copied().unwrap_or_default() | T::of_bit(set, bit);
            one += usize::from(set);
            zero += usize::from(!set);
        }
    }
}

/// Set bits of `bits` at positions `range`.
pub(crate) fn ones(bits: &[u64], range: Range<usize>) -> u64 {
    if range.start >= range.end {
        return 0;
    }
    let (first, last) = (range.start / 64, (range.end - 1) / 64);
    let head = !low_mask((range.start % 64) as u32);
    let tail = low_mask(((range.end - 1) % 64) as u32 + 1);
    let words = bits.get(first..=last).unwrap_or_default();
    let mut total = 0;
    for (i, word) in words.iter().enumerate() {
        let mask = (if i == 0 { head } else { u64::MAX }) & (if i == last - first { tail } else { u64::MAX });
        total += u64::from((word & mask).count_ones());
    }
    total
}
