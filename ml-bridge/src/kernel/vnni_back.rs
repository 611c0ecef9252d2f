//! What the kernels of AVX-512 share: from sums to bytes ([`super::scale`]), and to memory.
#![allow(unsafe_code)]
#![allow(
    clippy::incompatible_msrv,
    reason = "the build script leaves this file out for older compilers"
)]

use std::arch::asm;
use std::arch::x86_64::*;

use super::geometry::LANES;
use super::scale::Scale;

/// Stores the first `count` of 16 bytes (all, if there are more). A masked store costs far more than a plain one.
///
/// # Safety
/// As many bytes can be written at `to`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) unsafe fn store(bytes: __m128i, to: *mut u8, count: usize) {
    // SAFETY: the caller's word.
    unsafe {
        if count >= LANES {
            _mm_storeu_si128(to.cast(), bytes);
        } else if count == 8 {
            _mm_storel_epi64(to.cast(), bytes);
        } else {
            _mm_mask_storeu_epi8(to.cast(), u16::MAX >> (16 - count), bytes);
        }
    }
}

/// A block's constants in registers.
pub(super) type Constants = ([__m512i; 5], __mmask16);

/// Reads a block's constants: even, odd, what is added to each, shifts; and its signs.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load(scale: &Scale) -> Constants {
    // SAFETY: each part holds 64 bytes.
    let [multiplier, add, shift] = unsafe {
        [&scale.multiplier, &scale.add, &scale.shift].map(|part| _mm512_loadu_si512(part.as_ptr().cast()))
    };
    // Upper halves of even multipliers do not count. Sums are `a | b & c`.
    let half = _mm512_set1_epi64(i64::from(Scale::HALF));
    let low = _mm512_and_si512(_mm512_srli_epi64::<32>(shift), half);
    let constants = [
        multiplier,
        _mm512_srli_epi64::<32>(multiplier),
        _mm512_ternarylogic_epi64::<0xF8>(_mm512_slli_epi64::<32>(add), shift, half),
        _mm512_ternarylogic_epi64::<0xF8>(low, add, _mm512_set1_epi64(-1 << 32)),
        _mm512_and_si512(shift, _mm512_set1_epi32(Scale::SHIFT as i32)),
    ];
    let signs = _mm512_test_epi32_mask(shift, _mm512_set1_epi32(Scale::SIGNED as i32));
    (constants, signs)
}

/// 16 sums plus 2^31 as results before they are held between bounds; see [`super::lanes`].
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn back_with(
    sums: __m512i,
    [even, odd, even_add, odd_add, shift]: [__m512i; 5],
    signs: __mmask16,
) -> __m512i {
    let low = _mm512_add_epi64(_mm512_mul_epu32(sums, even), even_add);
    let high = _mm512_add_epi64(_mm512_mul_epu32(_mm512_srli_epi64::<32>(sums), odd), odd_add);
    let both = _mm512_mask_shuffle_epi32::<0xF5>(high, 0x5555, low);
    let sign = _mm512_srai_epi32::<31>(sums);
    _mm512_srav_epi32(_mm512_mask_sub_epi32(both, signs, both, sign), shift)
}

/// As [`back_with`], where the sign of no sum decides halves.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn back_unsigned(sums: __m512i, [even, odd, even_add, odd_add, shift]: [__m512i; 5]) -> __m512i {
    let low = _mm512_add_epi64(_mm512_mul_epu32(sums, even), even_add);
    let high = _mm512_add_epi64(_mm512_mul_epu32(_mm512_srli_epi64::<32>(sums), odd), odd_add);
    _mm512_srav_epi32(_mm512_mask_shuffle_epi32::<0xF5>(high, 0x5555, low), shift)
}

/// The four 16-byte parts of `bytes`, to where each belongs.
///
/// # Safety
/// 16 bytes can be written at each.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn store_parts(bytes: __m512i, to: [*mut u8; 4]) {
    // SAFETY: the caller's word.
    unsafe {
        _mm_storeu_si128(to[0].cast(), _mm512_extracti32x4_epi32::<0>(bytes));
        _mm_storeu_si128(to[1].cast(), _mm512_extracti32x4_epi32::<1>(bytes));
        _mm_storeu_si128(to[2].cast(), _mm512_extracti32x4_epi32::<2>(bytes));
        _mm_storeu_si128(to[3].cast(), _mm512_extracti32x4_epi32::<3>(bytes));
    }
}

/// Four blocks of results as 64 bytes in order, saturating.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn pack([a, b, c, d]: [__m512i; 4]) -> __m512i {
    // Packing works inside 128-bit parts: part `p` holds four bytes of each block, which are dealt out again.
    let deal = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    let bytes = _mm512_packus_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
    _mm512_permutexvar_epi32(deal, bytes)
}

/// 16 results to bytes between `low` and `high`.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn narrow(values: __m512i, low: u8, high: u8) -> __m128i {
    let held = _mm512_max_epi32(values, _mm512_set1_epi32(i32::from(low)));
    let mut bytes = _mm512_cvtepi32_epi8(_mm512_min_epi32(held, _mm512_set1_epi32(i32::from(high))));
    // Keeps the compiler from narrowing in the store: who reads what such a store wrote waits for it.
    // SAFETY: nothing is done.
    unsafe { asm!("/* {0} */", inout(xmm_reg) bytes, options(pure, nomem, nostack, preserves_flags)) };
    bytes
}
