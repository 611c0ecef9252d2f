//! AVX2 kernels: bytes widened to 16 bits, `vpmaddwd` sums pairs exactly in 32 bits (`vpmaddubsw` would saturate).
//!
//! Tile: one patch against 4 rows of weights, 16 products per instruction; bound: 2 * 255 * 128 per pair fits i32.
#![allow(unsafe_code)]
// Intrinsics are unsafe functions in older compilers only.
#![allow(unused_unsafe)]

use std::arch::x86_64::*;

use super::linear::{Linear, Packed, ROW_UNIT, gather};
use super::portable::place;

/// Runs `layer` over `input` into `output` (positions x outputs).
pub fn linear(layer: &Linear, input: &[u8], output: &mut [u8], scratch: &mut [i16]) {
    debug_assert!(std::is_x86_feature_detected!("avx2"));
    let Packed::Rows { length, weights } = &layer.packed else {
        debug_assert!(false, "weights packed for another kernel");
        return;
    };
    let geometry = &layer.geometry;
    let patch = &mut scratch[..*length];
    patch.fill(0);
    for (position, results) in output.chunks_exact_mut(layer.outputs).enumerate() {
        gather(
            input,
            geometry,
            place(geometry, position),
            &mut patch[..geometry.patch()],
        );
        let mut channel = 0;
        for (results, rows) in results.chunks_mut(4).zip(weights.chunks(4 * *length)) {
            let sums = if results.len() == 4 {
                // SAFETY: `Isa::Avx2` is only made where AVX2 was detected.
                unsafe { dot4(patch, rows) }
            } else {
                let mut sums = [0i32; 4];
                for (sum, row) in sums.iter_mut().zip(rows.chunks_exact(*length)) {
                    // SAFETY: as above.
                    *sum = unsafe { dot1(patch, row) };
                }
                sums
            };
            for (result, sum) in results.iter_mut().zip(sums) {
                *result = layer.end.apply(channel, sum);
                channel += 1;
            }
        }
    }
}

/// Sums of the 8 lanes of each of 4 registers.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn fold4(s: [__m256i; 4]) -> [i32; 4] {
    // SAFETY: no memory is touched; the caller has AVX2.
    unsafe {
        let ab = _mm256_hadd_epi32(s[0], s[1]);
        let cd = _mm256_hadd_epi32(s[2], s[3]);
        let all = _mm256_hadd_epi32(ab, cd);
        let sum = _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256::<1>(all));
        [
            _mm_extract_epi32::<0>(sum),
            _mm_extract_epi32::<1>(sum),
            _mm_extract_epi32::<2>(sum),
            _mm_extract_epi32::<3>(sum),
        ]
    }
}

/// Dot products of `patch` with 4 consecutive rows of its length.
#[target_feature(enable = "avx2")]
unsafe fn dot4(patch: &[i16], rows: &[i16]) -> [i32; 4] {
    let length = patch.len();
    assert!(length % ROW_UNIT == 0 && rows.len() == 4 * length);
    // SAFETY: no memory is touched; the caller has AVX2.
    let mut sums = unsafe { [_mm256_setzero_si256(); 4] };
    for at in (0..length).step_by(ROW_UNIT) {
        // SAFETY: `at + 16 <= length`, since `length` is a multiple of 16, and `rows` holds 4 such lengths (asserted).
        unsafe {
            let x = _mm256_loadu_si256(patch.as_ptr().add(at).cast());
            for (row, sum) in sums.iter_mut().enumerate() {
                let w = _mm256_loadu_si256(rows.as_ptr().add(row * length + at).cast());
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(x, w));
            }
        }
    }
    // SAFETY: the caller has AVX2.
    unsafe { fold4(sums) }
}

/// Dot product of `patch` with one row of its length.
#[target_feature(enable = "avx2")]
unsafe fn dot1(patch: &[i16], row: &[i16]) -> i32 {
    let length = patch.len();
    assert!(length % ROW_UNIT == 0 && row.len() == length);
    // SAFETY: as above.
    let mut sum = unsafe { _mm256_setzero_si256() };
    for at in (0..length).step_by(ROW_UNIT) {
        // SAFETY: `at + 16 <= length`, since `length` is a multiple of 16 and both sides have it (asserted).
        unsafe {
            let x = _mm256_loadu_si256(patch.as_ptr().add(at).cast());
            let w = _mm256_loadu_si256(row.as_ptr().add(at).cast());
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(x, w));
        }
    }
    // SAFETY: the caller has AVX2.
    unsafe { fold4([sum; 4])[0] }
}
