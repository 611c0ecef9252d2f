//! Coded units with many positions, expanded by AVX-512 without a loop over the positions.
//!
//! A bucket of 8 bits is a byte of the result: the sum of `1 << low bits` over its members. All members' bytes are spread to their
//! places in the bucket string, where the zeros that end buckets stay zero; running sums of that, taken at the zeros, are
//! the sums up to the end of each bucket, and neighbours' differences (modulo 256) the buckets. Buckets of 4 bits
//! come out as bytes too and are joined; those of 16 bits take two passes, one for each half.

#![allow(unsafe_code, reason = "target features")]
#![allow(
    clippy::incompatible_msrv,
    reason = "built only by compilers that have these instructions"
)]
#![allow(
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::cast_possible_truncation,
    reason = "bits as bytes"
)]
#![allow(unused_unsafe, reason = "some intrinsics are safe on newer compilers")]

use std::arch::x86_64::{
    __m512i, _mm_extract_epi8, _mm512_add_epi8, _mm512_alignr_epi64, _mm512_castsi256_si512,
    _mm512_cmplt_epi64_mask, _mm512_cvtepi16_epi8, _mm512_extracti32x4_epi32, _mm512_inserti64x4,
    _mm512_loadu_si512, _mm512_maddubs_epi16, _mm512_mask_add_epi8, _mm512_mask_blend_epi8,
    _mm512_mask_xor_epi64, _mm512_maskz_compress_epi8, _mm512_maskz_expand_epi8, _mm512_maskz_mov_epi8,
    _mm512_or_si512, _mm512_permutexvar_epi64, _mm512_set_epi64, _mm512_set1_epi8, _mm512_set1_epi16,
    _mm512_set1_epi64, _mm512_setzero_si512, _mm512_shuffle_epi8, _mm512_slli_epi16, _mm512_slli_epi64,
    _mm512_storeu_si512, _mm512_sub_epi8, _mm512_unpackhi_epi8, _mm512_unpacklo_epi8, _mm512_xor_si512,
};

use super::avx512::Avx512;
use crate::bits::unit::{Layout, bits_at};

impl Avx512 {
    /// The plain bits of a coded unit of 512 or 1,024 bits whose buckets have at most 16, as
    /// [`expand`](crate::bits::unit::expand) gives them; of others some bits.
    pub(crate) fn expand<const LOG: u32, const W: usize, const N: usize>(
        self,
        unit: &[u64; W],
        dense: bool,
        out: &mut [u64; N],
    ) {
        // SAFETY: an `Avx512` exists only if `detect` found the features.
        unsafe { expand::<LOG, W, N>(unit, dense, out) }
    }
}

/// SAFETY: the features of `Avx512`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,popcnt")]
unsafe fn expand<const LOG: u32, const W: usize, const N: usize>(
    unit: &[u64; W],
    dense: bool,
    out: &mut [u64; N],
) {
    debug_assert!(N <= 16, "one or two vectors of bits");
    let layout = Layout::of::<LOG, W>(unit);
    let plane = |plane: u32, half: u32| bits_at(unit, layout.planes + plane * layout.m + half * 64, 64);
    // `1 << low bits` of each position, modulo 256; for buckets of 16 bits those of the lower and those of the upper byte.
    let mut values = [[0u8; 192]; 2];
    // SAFETY: the features are this function's; `store` and `load` are given whole arrays.
    let found = unsafe {
        for half in 0..2 {
            let mut value = _mm512_set1_epi8(1);
            value = _mm512_mask_add_epi8(value, plane(0, half), value, value);
            value = _mm512_mask_blend_epi8(plane(1, half), value, _mm512_slli_epi16::<2>(value));
            if layout.low > 2 {
                value = _mm512_mask_blend_epi8(plane(2, half), value, _mm512_slli_epi16::<4>(value));
            }
            let upper = if layout.low > 3 { plane(3, half) } else { 0 };
            let at = half as usize * 64;
            store(&mut values[0][at..], _mm512_maskz_mov_epi8(!upper, value));
            store(&mut values[1][at..], _mm512_maskz_mov_epi8(upper, value));
        }
        let low = buckets(unit, &layout, &values[0]);
        match layout.low {
            0..=2 => {
                // Each byte plus 16 times the next.
                let weights = _mm512_set1_epi16(0x1001);
                let [first, second] = low.map(|low| _mm512_cvtepi16_epi8(_mm512_maddubs_epi16(low, weights)));
                let joined = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(first), second);
                [joined, _mm512_setzero_si512()]
            }
            3 => low,
            _ => {
                let high = buckets(unit, &layout, &values[1]);
                // Bytes of both interleave inside each 16 bytes: those go where the halves of the result expect them.
                let order = _mm512_set_epi64(7, 3, 6, 2, 5, 1, 4, 0);
                let (low, high) = (
                    _mm512_permutexvar_epi64(order, low[0]),
                    _mm512_permutexvar_epi64(order, high[0]),
                );
                [_mm512_unpacklo_epi8(low, high), _mm512_unpackhi_epi8(low, high)]
            }
        }
    };
    let mut open = false;
    for (words, bits) in out.chunks_exact_mut(8).zip(found) {
        // SAFETY: the features are this function's; `words` are 64 bytes.
        unsafe {
            let ones = _mm512_set1_epi64(-1);
            let bits = if layout.runs {
                let runs = runs(bits);
                let flipped = if open { _mm512_xor_si512(runs, ones) } else { runs };
                open = _mm512_cmplt_epi64_mask(flipped, _mm512_setzero_si512()) >> 7 == 1;
                flipped
            } else if dense {
                _mm512_xor_si512(bits, ones)
            } else {
                bits
            };
            _mm512_storeu_si512(words.as_mut_ptr().cast(), bits);
        }
    }
}

/// The sums of the members of each bucket, modulo 256, of the first 128 buckets.
///
/// SAFETY: the features of `Avx512`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,popcnt")]
#[inline]
unsafe fn buckets<const W: usize>(unit: &[u64; W], layout: &Layout, values: &[u8; 192]) -> [__m512i; 2] {
    // Behind a zero the running sums at the ends of the buckets.
    let mut ends = [0u8; 64 * 6];
    let (mut index, mut bucket, mut at) = (0, 1, 0);
    // SAFETY: the features are this function's.
    unsafe {
        let mut before = _mm512_setzero_si512();
        // The string's last zero is not stored.
        while at <= layout.upper_bits {
            let word = bits_at(unit, layout.upper + at, layout.upper_bits - at);
            let spread = _mm512_maskz_expand_epi8(word, load(&values[index.min(128)..]));
            let sums = _mm512_add_epi8(running_sums(spread), before);
            let last = _mm_extract_epi8::<15>(_mm512_extracti32x4_epi32::<3>(sums));
            before = _mm512_set1_epi8(last as i8);
            store(&mut ends[bucket..], _mm512_maskz_compress_epi8(!word, sums));
            index += word.count_ones() as usize;
            bucket += word.count_zeros() as usize;
            at += 64;
        }
        [
            _mm512_sub_epi8(load(&ends[1..]), load(&ends)),
            _mm512_sub_epi8(load(&ends[65..]), load(&ends[64..])),
        ]
    }
}

/// Byte `i` is the sum of bytes `0..=i`, modulo 256.
///
/// SAFETY: the features of `Avx512`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,popcnt")]
#[inline]
unsafe fn running_sums(bytes: __m512i) -> __m512i {
    // SAFETY: the features are this function's.
    unsafe {
        let zero = _mm512_setzero_si512();
        let sums = _mm512_add_epi8(bytes, _mm512_slli_epi64::<8>(bytes));
        let sums = _mm512_add_epi8(sums, _mm512_slli_epi64::<16>(sums));
        let sums = _mm512_add_epi8(sums, _mm512_slli_epi64::<32>(sums));
        // The last byte of each eight in all of them, then those of all eights before.
        let last = _mm512_or_si512(
            _mm512_set1_epi64(0x0707_0707_0707_0707),
            _mm512_set_epi64(EIGHTS, 0, EIGHTS, 0, EIGHTS, 0, EIGHTS, 0),
        );
        let totals = _mm512_alignr_epi64::<7>(_mm512_shuffle_epi8(sums, last), zero);
        let totals = _mm512_add_epi8(totals, _mm512_alignr_epi64::<7>(totals, zero));
        let totals = _mm512_add_epi8(totals, _mm512_alignr_epi64::<6>(totals, zero));
        let totals = _mm512_add_epi8(totals, _mm512_alignr_epi64::<4>(totals, zero));
        _mm512_add_epi8(sums, totals)
    }
}

const EIGHTS: i64 = 0x0808_0808_0808_0808;

/// Bit `i` is the exclusive or of bits `0..=i`.
///
/// SAFETY: the features of `Avx512`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,popcnt")]
#[inline]
unsafe fn runs(bits: __m512i) -> __m512i {
    // SAFETY: the features are this function's.
    unsafe {
        let bits = _mm512_xor_si512(bits, _mm512_slli_epi64::<1>(bits));
        let bits = _mm512_xor_si512(bits, _mm512_slli_epi64::<2>(bits));
        let bits = _mm512_xor_si512(bits, _mm512_slli_epi64::<4>(bits));
        let bits = _mm512_xor_si512(bits, _mm512_slli_epi64::<8>(bits));
        let bits = _mm512_xor_si512(bits, _mm512_slli_epi64::<16>(bits));
        let bits = _mm512_xor_si512(bits, _mm512_slli_epi64::<32>(bits));
        // Words behind an odd number of words that end in a one are flipped.
        let mut open = u32::from(_mm512_cmplt_epi64_mask(bits, _mm512_setzero_si512()));
        open ^= open << 1;
        open ^= open << 2;
        open ^= open << 4;
        _mm512_mask_xor_epi64(bits, (open << 1) as u8, bits, _mm512_set1_epi64(-1))
    }
}

/// The first 64 bytes.
///
/// SAFETY: the features of `Avx512`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,popcnt")]
#[inline]
unsafe fn load(bytes: &[u8]) -> __m512i {
    // SAFETY: the slice has the bytes, or indexing has stopped.
    unsafe { _mm512_loadu_si512(bytes[..64].as_ptr().cast()) }
}

/// Over the first 64 bytes.
///
/// SAFETY: the features of `Avx512`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,popcnt")]
#[inline]
unsafe fn store(bytes: &mut [u8], vector: __m512i) {
    // SAFETY: the slice has the bytes, or indexing has stopped.
    unsafe { _mm512_storeu_si512(bytes[..64].as_mut_ptr().cast(), vector) }
}
