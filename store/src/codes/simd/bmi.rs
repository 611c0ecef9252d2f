//! Descents compiled for POPCNT, BMI1, BMI2 and LZCNT: a rank is a popcount, a select a deposit.

#![allow(unsafe_code, reason = "target features")]
#![allow(unused_unsafe, reason = "some intrinsics are safe on newer compilers")]

use std::arch::x86_64::{_MM_HINT_T0, _bextr2_u64, _bzhi_u64, _mm_prefetch, _pdep_u64};

use crate::bits::vector::BitVector;
use crate::bits::words::{Question, WordSelect};
use crate::codes::small::Extract;
use crate::error::Result;
use crate::section::View;

/// Proof that the processor has the instructions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bmi(());

impl Bmi {
    /// The proof, if there is one.
    #[inline(always)]
    pub(crate) fn detect() -> Option<Bmi> {
        let found = is_x86_feature_detected!("popcnt")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt")
            && is_x86_feature_detected!("avx2");
        found.then_some(Bmi(()))
    }

    /// Calls `question`, compiled for these instructions where it is inlined.
    #[inline(always)]
    pub(crate) fn run<R>(self, question: impl FnOnce() -> R) -> R {
        // SAFETY: a `Bmi` exists only if `detect` found the features.
        unsafe { run(question) }
    }
}

#[target_feature(enable = "popcnt,bmi1,bmi2,lzcnt,avx2")]
unsafe fn run<R>(question: impl FnOnce() -> R) -> R {
    question()
}

/// SAFETY: the features of `Bmi`.
#[target_feature(enable = "popcnt,bmi1,bmi2,lzcnt,avx2")]
#[inline(never)]
unsafe fn access(bmi: Bmi, vector: &BitVector, view: &View<'_>, position: u64) -> Result<(bool, u64)> {
    vector.access_here(bmi, view, position)
}

/// SAFETY: the features of `Bmi`.
#[target_feature(enable = "popcnt,bmi1,bmi2,lzcnt,avx2")]
#[inline(never)]
unsafe fn apart<Q: Question>(bmi: Bmi, question: Q) -> Q::Answer {
    question.ask(bmi)
}

impl WordSelect for Bmi {
    #[inline(always)]
    fn select(self, word: u64, index: u32) -> u32 {
        let bit = 1u64.checked_shl(index).unwrap_or(0);
        // SAFETY: a `Bmi` exists only if `detect` found the features.
        unsafe { _pdep_u64(bit, word) }.trailing_zeros()
    }

    #[inline(always)]
    fn prefix_xor(self, word: u64) -> u64 {
        // The ones that begin a stretch, each less than the one that ends it: their difference is the stretch.
        // SAFETY: a `Bmi` exists only if `detect` found the features.
        let starts = unsafe { _pdep_u64(0x5555_5555_5555_5555, word) };
        (word ^ starts).wrapping_sub(starts)
    }

    #[inline(always)]
    fn low_mask(self, count: u32) -> u64 {
        // The instruction looks at 8 bits, and a damaged file may ask for more.
        // SAFETY: a `Bmi` exists only if `detect` found the features.
        unsafe { _bzhi_u64(u64::MAX, count.min(255)) }
    }

    #[inline(always)]
    fn deposit(self, source: u64, places: u64) -> u64 {
        // SAFETY: a `Bmi` exists only if `detect` found the features.
        unsafe { _pdep_u64(source, places) }
    }

    #[inline(always)]
    fn apart<Q: Question>(self, question: Q) -> Q::Answer {
        // SAFETY: a `Bmi` exists only if `detect` found the features.
        unsafe { apart(self, question) }
    }

    #[inline(always)]
    fn prefetch(self, place: Option<&u8>) {
        if let Some(place) = place {
            // SAFETY: a reference may be prefetched, and every x86-64 processor can.
            unsafe { _mm_prefetch(std::ptr::from_ref(place).cast(), _MM_HINT_T0) };
        }
    }

    #[inline(always)]
    fn access(self, vector: &BitVector, view: &View<'_>, position: u64) -> Result<(bool, u64)> {
        // SAFETY: a `Bmi` exists only if `detect` found the features.
        unsafe { access(self, vector, view, position) }
    }
}

impl Extract for Bmi {
    const HAS_WIDTHS: bool = true;

    #[inline(always)]
    fn extract(self, word: u64, control: u32) -> u64 {
        // SAFETY: a `Bmi` exists only if `detect` found the features.
        unsafe { _bextr2_u64(word, u64::from(control)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bits::words;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn words_are_the_portable_ones(word: u64, index in 0u32..70) {
            if let Some(bmi) = Bmi::detect() {
                prop_assert_eq!(bmi.select(word, index), words::select(word, index));
                prop_assert_eq!(bmi.prefix_xor(word), words::prefix_xor(word));
                prop_assert_eq!(bmi.low_mask(index), words::low_mask(index));
                prop_assert_eq!(bmi.deposit(word.rotate_left(index), word), words::deposit(word.rotate_left(index), word));
            }
        }

        #[test]
        fn fields_are_the_portable_ones(word: u64, start in 0u32..70, bits in 0u32..70, above: u16) {
            let control = u32::from(above) << 16 | bits << 8 | start;
            if let Some(bmi) = Bmi::detect() {
                prop_assert_eq!(bmi.extract(word, control), words::Portable.extract(word, control));
            }
        }
    }
}
