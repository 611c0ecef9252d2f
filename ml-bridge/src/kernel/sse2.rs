//! SSE2 kernels, for every x86-64 processor: see [`super::pairs`] and [`super::vectors`].
//!
//! Tile: 2 patches x 16 outputs, which 16 registers hold. There is no shift by lane. Where a result is about to be held
//! between 0 and 255, a product with `2^-e` in single precision takes its place: 24 bits hold 9 of the result and 15 of those
//! that are shifted out, whose lower ones are cleared before, and what is rounded all the same is out of bounds anyway.
//! Elsewhere it is an integer product with `2^(32 - e)`, for `e >= 1`.
#![allow(unsafe_code)]
// Intrinsics are unsafe functions in older compilers only.
#![allow(unused_unsafe)]

use std::arch::x86_64::*;

type Vector = __m128i;
type Bytes = __m128i;

/// Bits below a result of 9 bits that single precision holds.
const FAR: i32 = 15;

/// What takes 16 sums back, four lanes a register.
pub(super) struct Constants {
    /// `2m` of even lanes; upper halves do not count.
    even: [Vector; R],
    /// `2m` of odd lanes.
    odd: [Vector; R],
    /// `k` of even lanes.
    even_add: [Vector; R],
    /// `k` of odd lanes.
    odd_add: [Vector; R],
    /// All ones in lanes in which the sign of a sum decides halves.
    sign: [Vector; R],
    /// `e`.
    shift: [Vector; R],
    /// `2^-e`, in single precision.
    unit: [Vector; R],
    /// The bits of a result before its last shift that count in single precision: all but the lowest `e - FAR`.
    keep: [Vector; R],
}

impl Constants {
    #[inline(always)]
    fn of(scale: &Scale) -> Self {
        // SAFETY: every processor of the target has these instructions; 16 numbers lie in each part.
        unsafe {
            let read = |from: &[u32; LANES]| -> [Vector; R] {
                std::array::from_fn(|n| _mm_loadu_si128(from.as_ptr().add(4 * n).cast()))
            };
            let (multiplier, add, shift) = (read(&scale.multiplier), read(&scale.add), read(&scale.shift));
            let half = _mm_set1_epi64x(i64::from(Scale::HALF));
            let e = shift.map(|s| _mm_and_si128(s, _mm_set1_epi32(Scale::SHIFT as i32)));
            Constants {
                even: multiplier,
                odd: multiplier.map(|m| _mm_srli_epi64::<32>(m)),
                even_add: std::array::from_fn(|n| {
                    _mm_or_si128(_mm_slli_epi64::<32>(add[n]), _mm_and_si128(shift[n], half))
                }),
                odd_add: std::array::from_fn(|n| {
                    let low = _mm_and_si128(_mm_srli_epi64::<32>(shift[n]), half);
                    _mm_or_si128(_mm_and_si128(add[n], _mm_set1_epi64x(-1 << 32)), low)
                }),
                sign: shift.map(|s| _mm_srai_epi32::<31>(_mm_slli_epi32::<1>(s))),
                shift: e,
                unit: e.map(|e| float_of(_mm_sub_epi32(_mm_setzero_si128(), e))),
                keep: e.map(|e| {
                    // Small numbers: the upper halves are signs, which the maximum clears too.
                    let above = _mm_max_epi16(_mm_sub_epi32(e, _mm_set1_epi32(FAR)), _mm_setzero_si128());
                    _mm_sub_epi32(_mm_setzero_si128(), two_to(above))
                }),
            }
        }
    }
}

/// `2^power` in single precision.
#[inline]
#[target_feature(enable = "sse2")]
unsafe fn float_of(power: Vector) -> Vector {
    // SAFETY: no memory is touched.
    unsafe { _mm_slli_epi32::<23>(_mm_add_epi32(power, _mm_set1_epi32(127))) }
}

/// `2^power`, for powers up to 30: there is no shift by lane, so by way of a float.
#[inline]
#[target_feature(enable = "sse2")]
unsafe fn two_to(power: Vector) -> Vector {
    // SAFETY: no memory is touched.
    unsafe { _mm_cvttps_epi32(_mm_castsi128_ps(float_of(power))) }
}

super::vectors::vectors!("sse2");
super::pairs::pairs!("sse2", 2);

/// Whether [`back`] is exact for the terms of a sum.
fn fits(fast: &Fast) -> bool {
    fast.shifted
}

macro_rules! operation {
    ($name:ident($($argument:ident),*), $body:expr) => {
        #[inline]
        #[target_feature(enable = "sse2")]
        unsafe fn $name($($argument: Vector),*) -> Vector {
            // SAFETY: no memory is touched; the caller has the instructions.
            unsafe { $body }
        }
    };
}

operation!(add(a, b), _mm_add_epi32(a, b));
operation!(sub(a, b), _mm_sub_epi32(a, b));
operation!(and(a, b), _mm_and_si128(a, b));
operation!(madd(a, b), _mm_madd_epi16(a, b));

#[inline]
#[target_feature(enable = "sse2")]
unsafe fn splat(value: i32) -> Vector {
    // SAFETY: no memory is touched.
    unsafe { _mm_set1_epi32(value) }
}

#[inline]
#[target_feature(enable = "sse2")]
unsafe fn shift_left<const BITS: i32>(value: Vector) -> Vector {
    // SAFETY: no memory is touched.
    unsafe { _mm_slli_epi32::<BITS>(value) }
}

/// # Safety
/// 16 bytes can be read.
#[inline]
#[target_feature(enable = "sse2")]
unsafe fn read(from: *const i16) -> Vector {
    // SAFETY: the caller's word.
    unsafe { _mm_loadu_si128(from.cast()) }
}

/// # Safety
/// 16 bytes can be read, from a multiple of 16 on.
#[inline]
#[target_feature(enable = "sse2")]
unsafe fn aligned(from: *const i16) -> Vector {
    // SAFETY: the caller's word.
    unsafe { _mm_load_si128(from.cast()) }
}

/// # Safety
/// 16 bytes can be read.
#[inline]
#[target_feature(enable = "sse2")]
unsafe fn load(from: *const u8) -> Bytes {
    // SAFETY: the caller's word.
    unsafe { _mm_loadu_si128(from.cast()) }
}

/// # Safety
/// 8 bytes can be written.
#[inline]
#[target_feature(enable = "sse2")]
unsafe fn store_half(to: *mut u8, bytes: Bytes) {
    // SAFETY: the caller's word.
    unsafe { _mm_storel_epi64(to.cast(), bytes) }
}

/// # Safety
/// 16 bytes can be written.
#[inline]
#[target_feature(enable = "sse2")]
unsafe fn store(to: *mut u8, bytes: Bytes) {
    // SAFETY: the caller's word.
    unsafe { _mm_storeu_si128(to.cast(), bytes) }
}

/// Two 16-bit numbers in every lane.
///
/// # Safety
/// 4 bytes can be read.
#[inline]
#[target_feature(enable = "sse2")]
unsafe fn pair(from: *const i16) -> Vector {
    // SAFETY: the caller's word.
    unsafe { _mm_set1_epi32(from.cast::<i32>().read_unaligned()) }
}

/// 8 signed bytes as 16-bit numbers.
///
/// # Safety
/// 8 bytes can be read.
#[inline]
#[target_feature(enable = "sse2")]
unsafe fn widen(from: *const i8) -> Vector {
    // SAFETY: the caller's word.
    unsafe {
        let bytes = _mm_loadl_epi64(from.cast());
        _mm_srai_epi16::<8>(_mm_unpacklo_epi8(bytes, bytes))
    }
}

/// Bytes of `a` and `b` side by side as 16-bit numbers.
#[inline]
#[target_feature(enable = "sse2")]
unsafe fn mix(a: __m128i, b: __m128i) -> [Vector; R] {
    // SAFETY: no memory is touched.
    unsafe {
        let zero = _mm_setzero_si128();
        let (low, high) = (_mm_unpacklo_epi8(a, b), _mm_unpackhi_epi8(a, b));
        [
            _mm_unpacklo_epi8(low, zero),
            _mm_unpackhi_epi8(low, zero),
            _mm_unpacklo_epi8(high, zero),
            _mm_unpackhi_epi8(high, zero),
        ]
    }
}

/// Bytes as 32-bit numbers.
#[inline]
#[target_feature(enable = "sse2")]
unsafe fn each(bytes: __m128i) -> [Vector; R] {
    // SAFETY: no memory is touched.
    unsafe {
        let zero = _mm_setzero_si128();
        let (low, high) = (_mm_unpacklo_epi8(bytes, zero), _mm_unpackhi_epi8(bytes, zero));
        [
            _mm_unpacklo_epi16(low, zero),
            _mm_unpackhi_epi16(low, zero),
            _mm_unpacklo_epi16(high, zero),
            _mm_unpackhi_epi16(high, zero),
        ]
    }
}

/// The four sums plus 2^31 of lanes `4 n` and following before the last shift; see [`super::scale`].
#[inline]
#[target_feature(enable = "sse2")]
unsafe fn high_halves(sums: Vector, scale: &Constants, n: usize) -> Vector {
    // SAFETY: no memory is touched.
    unsafe {
        let low = _mm_add_epi64(_mm_mul_epu32(sums, scale.even[n]), scale.even_add[n]);
        let high = _mm_add_epi64(
            _mm_mul_epu32(_mm_srli_epi64::<32>(sums), scale.odd[n]),
            scale.odd_add[n],
        );
        let sign = _mm_and_si128(_mm_srai_epi32::<31>(sums), scale.sign[n]);
        let both = _mm_shuffle_ps::<0b11_01_11_01>(_mm_castsi128_ps(low), _mm_castsi128_ps(high));
        let both = _mm_shuffle_epi32::<0b11_01_10_00>(_mm_castps_si128(both));
        _mm_sub_epi32(both, sign)
    }
}

/// Sums taken back, not yet held, for every `e >= 1`.
#[inline]
#[target_feature(enable = "sse2")]
unsafe fn back(sums: Vector, scale: &Constants, n: usize) -> Vector {
    // SAFETY: no memory is touched.
    unsafe {
        let both = _mm_xor_si128(high_halves(sums, scale, n), _mm_set1_epi32(i32::MIN));
        // Above zero now; a product with 2^(32 - e), of which the high half is kept, shifts by e.
        let power = _mm_slli_epi32::<1>(two_to(_mm_sub_epi32(_mm_set1_epi32(31), scale.shift[n])));
        let low = _mm_srli_epi64::<32>(_mm_mul_epu32(both, power));
        let high = _mm_mul_epu32(_mm_srli_epi64::<32>(both), _mm_srli_epi64::<32>(power));
        let shifted = _mm_or_si128(low, _mm_and_si128(high, _mm_set1_epi64x(-1 << 32)));
        // 2^31, shifted along.
        _mm_sub_epi32(shifted, _mm_srli_epi32::<1>(power))
    }
}

/// What stands for zero after [`finish`], so that cutting off fractions rounds down wherever it matters.
const ABOVE: i16 = 256;

/// Sums taken back, plus [`ABOVE`].
#[inline]
#[target_feature(enable = "sse2")]
unsafe fn finish(sums: Vector, scale: &Constants, n: usize) -> Vector {
    // SAFETY: no memory is touched.
    unsafe {
        let counted = _mm_and_si128(high_halves(sums, scale, n), scale.keep[n]);
        let real = _mm_mul_ps(_mm_cvtepi32_ps(counted), _mm_castsi128_ps(scale.unit[n]));
        _mm_cvttps_epi32(_mm_add_ps(real, _mm_set1_ps(f32::from(ABOVE))))
    }
}

/// 16 results of [`finish`] to bytes between bounds.
#[inline]
#[target_feature(enable = "sse2")]
unsafe fn narrow(v: [Vector; R], bounds: Bounds) -> __m128i {
    // SAFETY: no memory is touched.
    unsafe {
        let above = _mm_set1_epi16(ABOVE);
        let low = _mm_subs_epi16(_mm_packs_epi32(v[0], v[1]), above);
        let high = _mm_subs_epi16(_mm_packs_epi32(v[2], v[3]), above);
        let bytes = _mm_packus_epi16(low, high);
        let bytes = _mm_max_epu8(bytes, _mm_set1_epi8(bounds.low as i8));
        _mm_min_epu8(bytes, _mm_set1_epi8(bounds.high as i8))
    }
}
