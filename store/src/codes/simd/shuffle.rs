//! Merges by shuffles of 16 bytes: for each pattern of bits a table says from where each element comes.

#![allow(
    unsafe_code,
    reason = "target features, and loads at positions checked on entry"
)]
#![allow(unused_unsafe, reason = "some intrinsics are safe on newer compilers")]

use std::arch::x86_64::{
    _mm_loadl_epi64, _mm_loadu_si128, _mm_or_si128, _mm_set1_epi8, _mm_set1_epi16, _mm_set1_epi32,
    _mm_shuffle_epi8, _mm_storel_epi64, _mm_storeu_si128, _mm_unpacklo_epi64,
};

use super::tables::{BYTES, SHORTS, WORDS};
use crate::codes::merge::{Halves, PADDING};

/// Proof that the processor has SSSE3 and POPCNT.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shuffle(());

impl Shuffle {
    /// The proof, if there is one.
    pub(crate) fn detect() -> Option<Shuffle> {
        (is_x86_feature_detected!("ssse3") && is_x86_feature_detected!("popcnt")).then_some(Shuffle(()))
    }

    /// Merges bytes.
    pub(crate) fn merge8(self, halves: Halves<'_, u8>) {
        // SAFETY: a `Shuffle` exists only if `detect` found the features.
        unsafe { merge8(halves) }
    }

    /// Merges 16-bit elements.
    pub(crate) fn merge16(self, halves: Halves<'_, u16>) {
        // SAFETY: a `Shuffle` exists only if `detect` found the features.
        unsafe { merge16(halves) }
    }

    /// Merges 32-bit elements.
    pub(crate) fn merge32(self, halves: Halves<'_, u32>) {
        // SAFETY: a `Shuffle` exists only if `detect` found the features.
        unsafe { merge32(halves) }
    }
}

/// SAFETY: SSSE3 and POPCNT.
#[target_feature(enable = "ssse3,popcnt")]
#[expect(clippy::cast_possible_wrap, reason = "a byte of bits")]
unsafe fn merge8(halves: Halves<'_, u8>) {
    halves.check();
    let (mut zero, mut one) = (0, halves.zeros);
    let (from, mut to) = (halves.from.as_ptr(), halves.to.as_mut_ptr());
    // SAFETY: `zero` and `one` are at most the elements merged before, plus the zeros, so at most `count`; each
    // load and store of up to 16 bytes then ends within the padding that `check` has seen.
    unsafe {
        let add = _mm_set1_epi8((1u8 << halves.bit) as i8);
        for &word in halves.words() {
            let mut rest = word;
            for _ in 0..8 {
                let pattern = (rest & 0xff) as usize;
                let zeros = _mm_loadl_epi64(from.add(zero).cast());
                let ones = _mm_or_si128(_mm_loadl_epi64(from.add(one).cast()), add);
                let table = _mm_loadl_epi64(BYTES[pattern].as_ptr().cast());
                _mm_storel_epi64(
                    to.cast(),
                    _mm_shuffle_epi8(_mm_unpacklo_epi64(zeros, ones), table),
                );
                let set = pattern.count_ones() as usize;
                one += set;
                zero += 8 - set;
                to = to.add(8);
                rest >>= 8;
            }
        }
    }
}

/// SAFETY: SSSE3 and POPCNT.
#[target_feature(enable = "ssse3,popcnt")]
#[expect(clippy::cast_possible_wrap, reason = "one bit of an element")]
unsafe fn merge16(halves: Halves<'_, u16>) {
    halves.check();
    let (mut zero, mut one) = (0, halves.zeros);
    let (from, mut to) = (halves.from.as_ptr(), halves.to.as_mut_ptr());
    // SAFETY: as in `merge8`.
    unsafe {
        let add = _mm_set1_epi16((1u16 << halves.bit) as i16);
        for &word in halves.words() {
            let mut rest = word;
            for _ in 0..8 {
                let pattern = (rest & 0xff) as usize;
                let zeros = _mm_loadu_si128(from.add(zero).cast());
                let ones = _mm_or_si128(_mm_loadu_si128(from.add(one).cast()), add);
                let zeros = _mm_shuffle_epi8(zeros, _mm_loadu_si128(SHORTS[pattern ^ 0xff].as_ptr().cast()));
                let ones = _mm_shuffle_epi8(ones, _mm_loadu_si128(SHORTS[pattern].as_ptr().cast()));
                _mm_storeu_si128(to.cast(), _mm_or_si128(zeros, ones));
                let set = pattern.count_ones() as usize;
                one += set;
                zero += 8 - set;
                to = to.add(8);
                rest >>= 8;
            }
        }
    }
}

/// SAFETY: SSSE3 and POPCNT.
#[target_feature(enable = "ssse3,popcnt")]
#[expect(clippy::cast_possible_wrap, reason = "one bit of an element")]
unsafe fn merge32(halves: Halves<'_, u32>) {
    halves.check();
    let (mut zero, mut one) = (0, halves.zeros);
    let (from, mut to) = (halves.from.as_ptr(), halves.to.as_mut_ptr());
    // SAFETY: as in `merge8`.
    unsafe {
        let add = _mm_set1_epi32((1u32 << halves.bit) as i32);
        for &word in halves.words() {
            let mut rest = word;
            for _ in 0..16 {
                let pattern = (rest & 15) as usize;
                let zeros = _mm_loadu_si128(from.add(zero).cast());
                let ones = _mm_or_si128(_mm_loadu_si128(from.add(one).cast()), add);
                let zeros = _mm_shuffle_epi8(zeros, _mm_loadu_si128(WORDS[pattern ^ 15].as_ptr().cast()));
                let ones = _mm_shuffle_epi8(ones, _mm_loadu_si128(WORDS[pattern].as_ptr().cast()));
                _mm_storeu_si128(to.cast(), _mm_or_si128(zeros, ones));
                let set = pattern.count_ones() as usize;
                one += set;
                zero += 4 - set;
                to = to.add(4);
                rest >>= 4;
            }
        }
    }
}

const _: () = assert!(PADDING >= 64, "a word of bits is merged whole");
