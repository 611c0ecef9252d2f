//! AVX2 kernels: see [`super::pairs`] and [`super::vectors`]. Tile: 6 patches x 16 outputs.
#![allow(unsafe_code)]
// Intrinsics are unsafe functions in older compilers only.
#![allow(unused_unsafe)]

use std::arch::x86_64::*;

pub(super) type Vector = __m256i;
type Bytes = __m128i;
pub(super) use super::scale::Wide as Constants;

super::vectors::vectors!("avx2");
super::pairs::pairs!("avx2", 6);

/// Whether [`back`] is exact for the terms of a sum.
fn fits(_fast: &Fast) -> bool {
    true
}

macro_rules! operation {
    ($name:ident($($argument:ident),*), $body:expr) => {
        #[inline]
        #[target_feature(enable = "avx2")]
        pub(super) unsafe fn $name($($argument: Vector),*) -> Vector {
            // SAFETY: no memory is touched; the caller has the instructions.
            unsafe { $body }
        }
    };
}

operation!(add(a, b), _mm256_add_epi32(a, b));
operation!(sub(a, b), _mm256_sub_epi32(a, b));
operation!(and(a, b), _mm256_and_si256(a, b));
operation!(madd(a, b), _mm256_madd_epi16(a, b));

#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn splat(value: i32) -> Vector {
    // SAFETY: no memory is touched.
    unsafe { _mm256_set1_epi32(value) }
}

#[inline]
#[target_feature(enable = "avx2")]
unsafe fn shift_left<const BITS: i32>(value: Vector) -> Vector {
    // SAFETY: no memory is touched.
    unsafe { _mm256_slli_epi32::<BITS>(value) }
}

/// # Safety
/// 32 bytes can be read.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn read(from: *const i16) -> Vector {
    // SAFETY: the caller's word.
    unsafe { _mm256_loadu_si256(from.cast()) }
}

/// # Safety
/// 32 bytes can be read, from a multiple of 32 on.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn aligned(from: *const i16) -> Vector {
    // SAFETY: the caller's word.
    unsafe { _mm256_load_si256(from.cast()) }
}

/// Two 16-bit numbers in every lane.
///
/// # Safety
/// 4 bytes can be read.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn pair(from: *const i16) -> Vector {
    // SAFETY: the caller's word.
    unsafe { _mm256_set1_epi32(from.cast::<i32>().read_unaligned()) }
}

/// 16 signed bytes as 16-bit numbers.
///
/// # Safety
/// 16 bytes can be read.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn widen(from: *const i8) -> Vector {
    // SAFETY: the caller's word.
    unsafe { _mm256_cvtepi8_epi16(_mm_loadu_si128(from.cast())) }
}

/// # Safety
/// 16 bytes can be read.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load(from: *const u8) -> Bytes {
    // SAFETY: the caller's word.
    unsafe { _mm_loadu_si128(from.cast()) }
}

/// # Safety
/// 8 bytes can be written.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn store_half(to: *mut u8, bytes: Bytes) {
    // SAFETY: the caller's word.
    unsafe { _mm_storel_epi64(to.cast(), bytes) }
}

/// # Safety
/// 16 bytes can be written.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn store(to: *mut u8, bytes: Bytes) {
    // SAFETY: the caller's word.
    unsafe { _mm_storeu_si128(to.cast(), bytes) }
}

/// Bytes of `a` and `b` side by side as 16-bit numbers.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn mix(a: __m128i, b: __m128i) -> [Vector; R] {
    // SAFETY: no memory is touched.
    unsafe {
        [
            _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(a, b)),
            _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(a, b)),
        ]
    }
}

/// Bytes as 32-bit numbers.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn each(bytes: __m128i) -> [Vector; R] {
    // SAFETY: no memory is touched.
    unsafe {
        [
            _mm256_cvtepu8_epi32(bytes),
            _mm256_cvtepu8_epi32(_mm_unpackhi_epi64(bytes, bytes)),
        ]
    }
}

/// The eight sums plus 2^31 of lanes `8 n` and following, taken back, not yet held; see [`super::scale`].
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn back(sums: Vector, scale: &Constants, n: usize) -> Vector {
    // SAFETY: `n` is below 2, so that four of 8 and eight of 16 constants are read.
    unsafe {
        let four = |from: &[u64; 8]| _mm256_loadu_si256(from.as_ptr().add(4 * n).cast());
        let eight = |from: &[u32; 16]| _mm256_loadu_si256(from.as_ptr().add(8 * n).cast());
        let low = _mm256_add_epi64(_mm256_mul_epu32(sums, four(&scale.even)), four(&scale.even_add));
        let high = _mm256_add_epi64(
            _mm256_mul_epu32(_mm256_srli_epi64::<32>(sums), four(&scale.odd)),
            four(&scale.odd_add),
        );
        let both = _mm256_blend_epi32::<0xAA>(_mm256_srli_epi64::<32>(low), high);
        let sign = _mm256_and_si256(_mm256_srai_epi32::<31>(sums), eight(&scale.sign));
        _mm256_srav_epi32(_mm256_sub_epi32(both, sign), eight(&scale.shift))
    }
}

/// As [`back`].
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn finish(sums: Vector, scale: &Constants, n: usize) -> Vector {
    // SAFETY: the caller's word.
    unsafe { back(sums, scale, n) }
}

/// 16 results to bytes between bounds.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn narrow(v: [Vector; R], bounds: Bounds) -> __m128i {
    // SAFETY: no memory is touched.
    unsafe {
        let words = _mm256_permute4x64_epi64::<0xD8>(_mm256_packs_epi32(v[0], v[1]));
        let bytes = _mm_packus_epi16(
            _mm256_castsi256_si128(words),
            _mm256_extracti128_si256::<1>(words),
        );
        let bytes = _mm_max_epu8(bytes, _mm_set1_epi8(bounds.low as i8));
        _mm_min_epu8(bytes, _mm_set1_epi8(bounds.high as i8))
    }
}
