//! Merges by expansion: a mask says which places take the next element of a half, 64 bytes at a time.

#![allow(
    unsafe_code,
    reason = "target features, and loads at positions checked on entry"
)]
#![allow(
    clippy::incompatible_msrv,
    reason = "built only by compilers that have these instructions"
)]
#![allow(clippy::cast_possible_truncation, reason = "masks are cut from words of bits")]
#![allow(unused_unsafe, reason = "some intrinsics are safe on newer compilers")]

use std::arch::x86_64::{
    __m512i, _mm512_loadu_si512, _mm512_mask_add_epi8, _mm512_mask_expand_epi8, _mm512_mask_expand_epi16,
    _mm512_mask_expand_epi32, _mm512_mask_expand_epi64, _mm512_maskz_compress_epi8,
    _mm512_maskz_compress_epi16, _mm512_maskz_compress_epi32, _mm512_maskz_compress_epi64,
    _mm512_maskz_expand_epi8, _mm512_maskz_expand_epi16, _mm512_maskz_expand_epi32,
    _mm512_maskz_expand_epi64, _mm512_or_si512, _mm512_set1_epi8, _mm512_set1_epi16, _mm512_set1_epi32,
    _mm512_set1_epi64, _mm512_setzero_si512, _mm512_storeu_si512, _mm512_test_epi8_mask,
    _mm512_test_epi16_mask, _mm512_test_epi32_mask, _mm512_test_epi64_mask,
};

use crate::codes::merge::Halves;
use crate::codes::wavelet::sort::Split;

/// Proof that the processor has AVX-512 F, BW, VL, VBMI2, POPCNT, BMI1, BMI2 and LZCNT.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx512(());

macro_rules! merge {
    ($name:ident, $ty:ty, $signed:ty, $mask:ty, $set:ident, $expand:ident, $more:ident) => {
        /// SAFETY: the features of `Avx512`.
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,popcnt")]
        #[expect(clippy::cast_possible_wrap, reason = "one bit of an element")]
        unsafe fn $name(halves: Halves<'_, $ty>) {
            const LANES: usize = 64 / size_of::<$ty>();
            halves.check();
            let (mut zero, mut one) = (0, halves.zeros);
            let (from, mut to) = (halves.from.as_ptr(), halves.to.as_mut_ptr());
            // SAFETY: `zero` and `one` are at most the elements merged before, plus the zeros, so at most `count`;
            // each load and store of 64 bytes then ends within the padding that `check` has seen.
            unsafe {
                let add = $set((1 as $ty << halves.bit) as $signed);
                for &word in halves.words() {
                    let mut rest = word;
                    for _ in 0..64 / LANES {
                        let mask = rest as $mask;
                        let zeros = _mm512_loadu_si512(from.add(zero).cast());
                        let ones = _mm512_or_si512(_mm512_loadu_si512(from.add(one).cast()), add);
                        let merged = $more($expand(!mask, zeros), mask, ones);
                        _mm512_storeu_si512(to.cast(), merged);
                        let set = mask.count_ones() as usize;
                        one += set;
                        zero += LANES - set;
                        to = to.add(LANES);
                        rest = rest.checked_shr(LANES as u32).unwrap_or(0);
                    }
                }
            }
        }
    };
}

merge!(
    merge8,
    u8,
    i8,
    u64,
    _mm512_set1_epi8,
    _mm512_maskz_expand_epi8,
    _mm512_mask_expand_epi8
);
merge!(
    merge16,
    u16,
    i16,
    u32,
    _mm512_set1_epi16,
    _mm512_maskz_expand_epi16,
    _mm512_mask_expand_epi16
);
merge!(
    merge32,
    u32,
    i32,
    u16,
    _mm512_set1_epi32,
    _mm512_maskz_expand_epi32,
    _mm512_mask_expand_epi32
);
merge!(
    merge64,
    u64,
    i64,
    u8,
    _mm512_set1_epi64,
    _mm512_maskz_expand_epi64,
    _mm512_mask_expand_epi64
);

macro_rules! split {
    ($name:ident, $ty:ty, $signed:ty, $mask:ty, $set:ident, $test:ident, $compress:ident) => {
        /// SAFETY: the features of `Avx512`.
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,popcnt")]
        #[expect(clippy::cast_possible_wrap, reason = "one bit of an element")]
        unsafe fn $name(split: Split<'_, $ty>) -> usize {
            const LANES: usize = 64 / size_of::<$ty>();
            split.check();
            let (mut zero, mut one) = (0, 0);
            let (from, zeros, ones) = (split.from.as_ptr(), split.zeros.as_mut_ptr(), split.ones.as_mut_ptr());
            // SAFETY: `at`, `zero` and `one` are at most `count` rounded up to a whole load; each load and store of 64
            // bytes then ends within the padding that `check` has seen.
            unsafe {
                let wanted = $set((1 as $ty << split.bit) as $signed);
                for (index, word) in split.bits.iter_mut().enumerate().take(split.count.div_ceil(64)) {
                    *word = 0;
                    for part in 0..64 / LANES {
                        let at = index * 64 + part * LANES;
                        if at >= split.count {
                            break;
                        }
                        let left = (split.count - at).min(LANES);
                        let valid = (u64::MAX >> (64 - left)) as $mask;
                        let elements = _mm512_loadu_si512(from.add(at).cast());
                        let set = $test(elements, wanted) & valid;
                        _mm512_storeu_si512(zeros.add(zero).cast(), $compress(!set & valid, elements));
                        _mm512_storeu_si512(ones.add(one).cast(), $compress(set, elements));
                        let count = set.count_ones() as usize;
                        one += count;
                        zero += left - count;
                        *word |= u64::from(set) << (part * LANES);
                    }
                }
            }
            one
        }
    };
}

split!(
    split8,
    u8,
    i8,
    u64,
    _mm512_set1_epi8,
    _mm512_test_epi8_mask,
    _mm512_maskz_compress_epi8
);
split!(
    split16,
    u16,
    i16,
    u32,
    _mm512_set1_epi16,
    _mm512_test_epi16_mask,
    _mm512_maskz_compress_epi16
);
split!(
    split32,
    u32,
    i32,
    u16,
    _mm512_set1_epi32,
    _mm512_test_epi32_mask,
    _mm512_maskz_compress_epi32
);
split!(
    split64,
    u64,
    i64,
    u8,
    _mm512_set1_epi64,
    _mm512_test_epi64_mask,
    _mm512_maskz_compress_epi64
);

impl Avx512 {
    /// The proof, if there is one.
    pub(crate) fn detect() -> Option<Avx512> {
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vbmi2")
            && is_x86_feature_detected!("popcnt")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt");
        found.then_some(Avx512(()))
    }

    /// Calls `work`, compiled for these instructions where it is inlined.
    #[inline(always)]
    pub(crate) fn run<R>(self, work: impl FnOnce() -> R) -> R {
        // SAFETY: an `Avx512` exists only if `detect` found the features.
        unsafe { run(work) }
    }

    /// Merges bytes.
    pub(crate) fn merge8(self, halves: Halves<'_, u8>) {
        // SAFETY: an `Avx512` exists only if `detect` found the features.
        unsafe { merge8(halves) }
    }

    /// Merges 16-bit elements.
    pub(crate) fn merge16(self, halves: Halves<'_, u16>) {
        // SAFETY: an `Avx512` exists only if `detect` found the features.
        unsafe { merge16(halves) }
    }

    /// Merges 32-bit elements.
    pub(crate) fn merge32(self, halves: Halves<'_, u32>) {
        // SAFETY: an `Avx512` exists only if `detect` found the features.
        unsafe { merge32(halves) }
    }

    /// Merges 64-bit elements.
    pub(crate) fn merge64(self, halves: Halves<'_, u64>) {
        // SAFETY: an `Avx512` exists only if `detect` found the features.
        unsafe { merge64(halves) }
    }

    /// Splits 8-bit elements by a bit.
    pub(crate) fn split8(self, split: Split<'_, u8>) -> usize {
        // SAFETY: an `Avx512` exists only if `detect` found the features.
        unsafe { split8(split) }
    }

    /// Splits 16-bit elements by a bit.
    pub(crate) fn split16(self, split: Split<'_, u16>) -> usize {
        // SAFETY: an `Avx512` exists only if `detect` found the features.
        unsafe { split16(split) }
    }

    /// Splits 32-bit elements by a bit.
    pub(crate) fn split32(self, split: Split<'_, u32>) -> usize {
        // SAFETY: an `Avx512` exists only if `detect` found the features.
        unsafe { split32(split) }
    }

    /// Splits 64-bit elements by a bit.
    pub(crate) fn split64(self, split: Split<'_, u64>) -> usize {
        // SAFETY: an `Avx512` exists only if `detect` found the features.
        unsafe { split64(split) }
    }

    /// Byte `i` gets bit `k` from bit `i` of `planes[k]`, the lowest plane first; missing planes are zero.
    #[inline(always)]
    pub(crate) fn unpack(self, planes: &[u64; 8], count: usize, out: &mut [u8; 64]) {
        // SAFETY: an `Avx512` exists only if `detect` found the features.
        unsafe { unpack(planes, count, out) }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,popcnt,bmi1,bmi2,lzcnt")]
unsafe fn run<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// SAFETY: the features of `Avx512`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,popcnt")]
#[inline]
unsafe fn unpack(planes: &[u64; 8], count: usize, out: &mut [u8; 64]) {
    // SAFETY: the store is to 64 bytes.
    unsafe {
        let mut sum: __m512i = _mm512_setzero_si512();
        let mut one = 1i8;
        for &plane in planes.iter().take(count) {
            sum = _mm512_mask_add_epi8(sum, plane, sum, _mm512_set1_epi8(one));
            one = one.wrapping_shl(1);
        }
        _mm512_storeu_si512(out.as_mut_ptr().cast(), sum);
    }
}
