//! Sums, differences and products of two tensors with AVX-512, 16 numbers at a time.
//!
//! The term of larger scale has the factor one half, which is a shift; the other, and the result, go through
//! [`back_with`], whose constants [`Binary`] made at load for sums that are exact in it.
#![allow(unsafe_code)]
#![allow(
    clippy::incompatible_msrv,
    reason = "the build script leaves this file out for older compilers"
)]

use std::arch::x86_64::*;

use super::linear::LANES;
use super::pointwise::{Binary, Combine, Fast, SUM_SHIFT};
use super::vnni::{back_with, load, narrow, store};

/// Combines `left` and `right`, which are as long as `output`.
pub fn binary(layer: &Binary, fast: &Fast, left: &[u8], right: &[u8], output: &mut [u8]) {
    debug_assert!(super::Isa::available().contains(&super::Isa::Vnni));
    assert!(left.len() == output.len() && right.len() == output.len());
    // SAFETY: `Isa::Vnni` is only made where these instructions were detected.
    unsafe { run(layer, fast, left, right, output) }
}

/// `sums * factor`, rounded twice.
#[inline]
#[target_feature(enable = "avx512f")]
fn times(sums: __m512i, factor: &([__m512i; 5], __mmask16)) -> __m512i {
    let unsigned = _mm512_xor_si512(sums, _mm512_set1_epi32(i32::MIN));
    back_with(unsigned, factor.0, factor.1)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn run(layer: &Binary, fast: &Fast, left: &[u8], right: &[u8], output: &mut [u8]) {
    let end = load(&fast.end);
    let terms = fast.terms.each_ref().map(|t| t.as_ref().map(|s| load(s)));
    let zero = layer.zero_points.map(|z| _mm512_set1_epi32(z));
    let widen = |bytes: __m128i, side: usize| _mm512_sub_epi32(_mm512_cvtepu8_epi32(bytes), zero[side]);
    let term = |value: __m512i, side: usize| match &terms[side] {
        None => _mm512_slli_epi32::<{ SUM_SHIFT - 1 }>(value),
        Some(factor) => times(_mm512_slli_epi32::<SUM_SHIFT>(value), factor),
    };
    let mut at = 0;
    while at < output.len() {
        let count = (output.len() - at).min(LANES);
        let mask = u16::MAX >> (16 - count);
        // SAFETY: `count` bytes from `at` lie in all three slices, which have the same length (asserted).
        let (l, r) = unsafe {
            let l = _mm_maskz_loadu_epi8(mask, left.as_ptr().add(at).cast());
            (
                widen(l, 0),
                widen(_mm_maskz_loadu_epi8(mask, right.as_ptr().add(at).cast()), 1),
            )
        };
        let raw = match layer.combine {
            Combine::Product => _mm512_mullo_epi32(l, r),
            Combine::Sum { sign: 1, .. } => _mm512_add_epi32(term(l, 0), term(r, 1)),
            Combine::Sum { .. } => _mm512_sub_epi32(term(l, 0), term(r, 1)),
        };
        let bytes = narrow(times(raw, &end), layer.bounds.low, layer.bounds.high);
        // SAFETY: as above.
        unsafe { store(bytes, output.as_mut_ptr().add(at), count) };
        at += LANES;
    }
}
