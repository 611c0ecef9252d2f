//! Small functions on 64-bit words.

#![allow(
    clippy::cast_possible_truncation,
    reason = "positions inside blocks are small by construction"
)]

use super::vector::BitVector;
use crate::error::Result;
use crate::section::View;

/// The lowest `count` bits set (all from 64 on).
#[inline(always)]
pub fn low_mask(count: u32) -> u64 {
    if count >= 64 { u64::MAX } else { (1 << count) - 1 }
}

/// Bit `i` is the exclusive or of bits `0..=i` of `word`.
#[inline(always)]
pub fn prefix_xor(mut word: u64) -> u64 {
    word ^= word << 1;
    word ^= word << 2;
    word ^= word << 4;
    word ^= word << 8;
    word ^= word << 16;
    word ^ word << 32
}

/// Transposes a square of 8 by 8 bits.
#[inline(always)]
pub fn transpose(mut square: u64) -> u64 {
    let swap = (square ^ square >> 7) & 0x00aa_00aa_00aa_00aa;
    square ^= swap ^ swap << 7;
    let swap = (square ^ square >> 14) & 0x0000_cccc_0000_cccc;
    square ^= swap ^ swap << 14;
    let swap = (square ^ square >> 28) & 0x0000_0000_f0f0_f0f0;
    square ^ swap ^ swap << 28
}

/// What the processor does best, where descents depend on it.
pub trait WordSelect: Copy {
    /// Position of the set bit of `word` that has `index` set bits below it; 64 if there is none.
    fn select(self, word: u64, index: u32) -> u32;

    /// Bit `i` is the exclusive or of bits `0..=i` of `word`.
    #[inline(always)]
    fn prefix_xor(self, word: u64) -> u64 {
        prefix_xor(word)
    }

    /// The lowest `count` bits set (all from 64 on); `count` is at most 255.
    #[inline(always)]
    fn low_mask(self, count: u32) -> u64 {
        low_mask(count)
    }

    /// The lowest bits of `source` at the set bits of `places`, from the lowest up.
    #[inline(always)]
    fn deposit(self, source: u64, places: u64) -> u64 {
        deposit(source, places)
    }

    /// Asks for the cache line of `place`.
    #[inline(always)]
    fn prefetch(self, place: Option<&u8>) {
        let _ = place;
    }

    /// Asks `question` in a function of its own, compiled for this processor.
    fn apart<Q: Question>(self, question: Q) -> Q::Answer;

    /// [`BitVector::access`], compiled once for this processor: it is long, and called from many places.
    ///
    /// # Errors
    /// See [`BitVector::access`].
    fn access(self, vector: &BitVector, view: &View<'_>, position: u64) -> Result<(bool, u64)>;
}

/// Something to ask by whatever the processor does best.
pub trait Question {
    /// What it gives.
    type Answer;

    /// The answer.
    fn ask<S: WordSelect>(self, select: S) -> Self::Answer;
}

/// Plain Rust.
#[derive(Debug, Clone, Copy)]
pub struct Portable;

impl WordSelect for Portable {
    #[inline(always)]
    fn select(self, word: u64, index: u32) -> u32 {
        select(word, index)
    }

    #[inline(never)]
    fn apart<Q: Question>(self, question: Q) -> Q::Answer {
        question.ask(self)
    }

    #[inline(never)]
    fn access(self, vector: &BitVector, view: &View<'_>, position: u64) -> Result<(bool, u64)> {
        vector.access_here(self, view, position)
    }
}

/// Position of the set bit of `word` that has `index` set bits below it; 64 if there is none.
#[inline(always)]
pub fn select(word: u64, index: u32) -> u32 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut pairs = word - ((word >> 1) & 0x5555_5555_5555_5555);
    pairs = (pairs & 0x3333_3333_3333_3333) + ((pairs >> 2) & 0x3333_3333_3333_3333);
    let bytes = (pairs + (pairs >> 4)) & 0x0f0f_0f0f_0f0f_0f0f;
    // Byte `i` holds the set bits in bytes 0..=i.
    let sums = bytes.wrapping_mul(ONES);
    if index >= (sums >> 56) as u32 {
        return 64;
    }
    // One bit for each byte whose sum is <= index.
    let below = (((u64::from(index) * ONES) | (ONES << 7)) - sums) & (ONES << 7);
    let byte = below.count_ones() * 8;
    let before = ((sums << 8) >> byte) as u32 & 0xff;
    let mut rest = (word >> byte) & 0xff;
    for _ in before..index {
        rest &= rest.wrapping_sub(1);
    }
    byte + rest.trailing_zeros()
}

/// The lowest bits of `source` at the set bits of `places`, from the lowest up.
pub fn deposit(mut source: u64, mut places: u64) -> u64 {
    let mut out = 0;
    while source != 0 && places != 0 {
        let place = places & places.wrapping_neg();
        out |= place & 0u64.wrapping_sub(source & 1);
        places ^= place;
        source >>= 1;
    }
    out
}

/// A growing string of bits, packed from the lowest bit of the first word.
#[derive(Debug, Default, Clone)]
pub struct BitString {
    words: Vec<u64>,
    len: usize,
}

impl BitString {
    /// An empty string with room for `bits` bits.
    pub fn with_capacity(bits: usize) -> BitString {
        BitString {
            words: Vec::with_capacity(bits / 64 + 10),
            len: 0,
        }
    }

    /// Number of bits.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets all bits and keeps the memory.
    pub fn clear(&mut self) {
        self.words.clear();
        self.len = 0;
    }

    /// Appends the lowest `count` bits of `word` (at most 64).
    #[inline(always)]
    pub fn push(&mut self, word: u64, count: u32) {
        debug_assert!(count <= 64, "a word has 64 bits");
        let word = word & low_mask(count);
        let shift = (self.len % 64) as u32;
        if shift == 0 {
            if count > 0 {
                self.words.push(word);
            }
        } else {
            if let Some(last) = self.words.last_mut() {
                *last |= word << shift;
            }
            if shift + count > 64 {
                self.words.push(word >> (64 - shift));
            }
        }
        self.len += count as usize;
    }

    /// Appends `count` times the same bit.
    pub fn push_run(&mut self, bit: bool, mut count: u64) {
        let word = if bit { u64::MAX } else { 0 };
        while count > 0 && self.len % 64 != 0 {
            let step = count.min(64 - (self.len % 64) as u64);
            self.push(word, step as u32);
            count -= step;
        }
        let whole = (count / 64) as usize;
        self.words.resize(self.words.len() + whole, word);
        self.len += whole * 64;
        self.push(word, (count % 64) as u32);
    }

    /// The words; bits past the end are zero.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// The words; bits past the end are zero.
    pub fn into_words(self) -> Vec<u64> {
        self.words
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn select_finds_the_bit(word: u64, index in 0u32..66) {
            let want = (0..64).filter(|&i| word >> i & 1 == 1).nth(index as usize).unwrap_or(64);
            prop_assert_eq!(select(word, index), want);
            let mut parity = false;
            for i in 0..64 {
                parity ^= word >> i & 1 == 1;
                prop_assert_eq!(prefix_xor(word) >> i & 1 == 1, parity);
            }
        }

        #[test]
        fn bit_strings_keep_their_bits(pieces in proptest::collection::vec((any::<u64>(), 0u32..=64, any::<bool>(), 0u64..200), 0..20)) {
            let (mut string, mut naive) = (BitString::default(), Vec::new());
            for (word, count, bit, run) in pieces {
                string.push(word, count);
                naive.extend((0..count).map(|i| word >> i & 1 == 1));
                string.push_run(bit, run);
                naive.resize(naive.len() + run as usize, bit);
            }
            prop_assert_eq!(string.len(), naive.len());
            for (i, bit) in naive.into_iter().enumerate() {
                prop_assert_eq!(string.words()[i / 64] >> (i % 64) & 1 == 1, bit);
            }
        }
    }
}
