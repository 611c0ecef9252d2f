//! Sums, differences and products of two tensors with AVX-512, 64 numbers at a time.
//!
//! The term of larger scale has the factor one half, which is a shift; the other, and the result, go through
//! [`back_with`], whose constants [`Binary`] made at load for sums that are exact in it.
#![allow(unsafe_code)]
#![allow(
    clippy::incompatible_msrv,
    reason = "the build script leaves this file out for older compilers"
)]

use std::arch::x86_64::*;

use super::doubtful::SUM_SHIFT;
use super::doubtful::{Doubtful, HALF};
use super::pointwise::{Binary, Combine, Fast};
use super::vnni_back::{back_with, load};

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

/// 64 bytes as 32-bit numbers, dealt so that packing puts them back in order.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn widen(bytes: __m512i) -> [__m512i; 4] {
    let zero = _mm512_setzero_si512();
    let (low, high) = (
        _mm512_unpacklo_epi8(bytes, zero),
        _mm512_unpackhi_epi8(bytes, zero),
    );
    [
        _mm512_unpacklo_epi16(low, zero),
        _mm512_unpackhi_epi16(low, zero),
        _mm512_unpacklo_epi16(high, zero),
        _mm512_unpackhi_epi16(high, zero),
    ]
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn run(layer: &Binary, fast: &Fast, left: &[u8], right: &[u8], output: &mut [u8]) {
    let short = fast.sum.as_ref().map(|form| Short::new(form));
    let low = _mm512_set1_epi8(layer.bounds.low as i8);
    let high = _mm512_set1_epi8(layer.bounds.high as i8);
    let mut at = 0;
    while at < output.len() {
        let count = (output.len() - at).min(64);
        let mask = u64::MAX >> (64 - count);
        // SAFETY: `count` bytes from `at` lie in all three slices, which have the same length (asserted).
        let (l, r) = unsafe {
            (
                _mm512_maskz_loadu_epi8(mask, left.as_ptr().add(at).cast()),
                _mm512_maskz_loadu_epi8(mask, right.as_ptr().add(at).cast()),
            )
        };
        let values = match short.as_ref().and_then(|short| short.apply(l, r)) {
            Some(values) => values,
            None => exactly(layer, fast, l, r),
        };
        let [a, b, c, d] = values;
        let bytes = _mm512_packus_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
        let bytes = _mm512_min_epu8(_mm512_max_epu8(bytes, low), high);
        // SAFETY: as above.
        unsafe {
            if count == 64 {
                _mm512_storeu_si512(output.as_mut_ptr().add(at).cast(), bytes);
            } else {
                _mm512_mask_storeu_epi8(output.as_mut_ptr().add(at).cast(), mask, bytes);
            }
        }
        at += 64;
    }
}

/// A [`Doubtful`] form in registers.
struct Short {
    upper: __m512i,
    lower: __m512i,
    add: __m512i,
    shift: __m512i,
    sure: __m512i,
}

impl Short {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn new(form: &Doubtful) -> Self {
        Short {
            upper: _mm512_set1_epi32(form.upper),
            lower: _mm512_set1_epi32(form.lower),
            add: _mm512_set1_epi32(form.add),
            shift: _mm512_set1_epi32(form.shift as i32),
            sure: _mm512_set1_epi32(form.sure),
        }
    }

    /// 64 results, not yet held, unless one is in doubt; dealt as by [`widen`].
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn apply(&self, left: __m512i, right: __m512i) -> Option<[__m512i; 4]> {
        let zero = _mm512_setzero_si512();
        let low = [
            _mm512_unpacklo_epi8(left, zero),
            _mm512_unpacklo_epi8(right, zero),
        ];
        let high = [
            _mm512_unpackhi_epi8(left, zero),
            _mm512_unpackhi_epi8(right, zero),
        ];
        let [(a, p), (b, q), (c, r), (d, s)] = [
            _mm512_unpacklo_epi16(low[0], low[1]),
            _mm512_unpackhi_epi16(low[0], low[1]),
            _mm512_unpacklo_epi16(high[0], high[1]),
            _mm512_unpackhi_epi16(high[0], high[1]),
        ]
        .map(|pairs| {
            let upper = _mm512_dpwssd_epi32(self.add, pairs, self.upper);
            let value = _mm512_dpwssd_epi32(_mm512_slli_epi32::<HALF>(upper), pairs, self.lower);
            (
                _mm512_srav_epi32(value, self.shift),
                _mm512_testn_epi32_mask(value, self.sure),
            )
        });
        (p | q | r | s == 0).then_some([a, b, c, d])
    }
}

/// 64 results, not yet held, as the reference computes them.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn exactly(layer: &Binary, fast: &Fast, left: __m512i, right: __m512i) -> [__m512i; 4] {
    let end = load(&fast.end);
    let terms = fast.terms.each_ref().map(|t| t.as_ref().map(|s| load(s)));
    let zero = layer.zero_points.map(|z| _mm512_set1_epi32(z));
    let term = |value: __m512i, side: usize| match &terms[side] {
        None => _mm512_slli_epi32::<{ SUM_SHIFT - 1 }>(value),
        Some(factor) => times(_mm512_slli_epi32::<SUM_SHIFT>(value), factor),
    };
    let (left, right) = (widen(left), widen(right));
    let mut values = [_mm512_setzero_si512(); 4];
    for ((value, l), r) in values.iter_mut().zip(left).zip(right) {
        let (l, r) = (_mm512_sub_epi32(l, zero[0]), _mm512_sub_epi32(r, zero[1]));
        let raw = match layer.combine {
            Combine::Product => _mm512_mullo_epi32(l, r),
            Combine::Sum { sign: 1, .. } => _mm512_add_epi32(term(l, 0), term(r, 1)),
            Combine::Sum { .. } => _mm512_sub_epi32(term(l, 0), term(r, 1)),
        };
        *value = times(raw, &end);
    }
    values
}
