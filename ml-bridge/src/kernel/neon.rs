//! NEON kernels, for every aarch64 processor: see [`super::rows`] and [`super::vectors`].
#![allow(unsafe_code)]
// Intrinsics are unsafe functions in older compilers only.
#![allow(unused_unsafe)]

use std::arch::aarch64::*;

pub(super) type Vector = int32x4_t;
type Bytes = uint8x16_t;
pub(super) use super::scale::Wide as Constants;

super::vectors::vectors!("neon");
super::rows::rows!("neon");

/// Whether [`back`] is exact for the terms of a sum.
fn fits(_fast: &Fast) -> bool {
    true
}

macro_rules! operation {
    ($name:ident($($argument:ident: $type:ty),*) -> $result:ty, $body:expr) => {
        #[inline]
        #[target_feature(enable = "neon")]
        pub(super) unsafe fn $name($($argument: $type),*) -> $result {
            // SAFETY: no memory is touched; the caller has the instructions.
            unsafe { $body }
        }
    };
}

operation!(add(a: Vector, b: Vector) -> Vector, vaddq_s32(a, b));
operation!(sub(a: Vector, b: Vector) -> Vector, vsubq_s32(a, b));
operation!(and(a: Vector, b: Vector) -> Vector, vandq_s32(a, b));
operation!(splat(value: i32) -> Vector, vdupq_n_s32(value));

#[inline]
#[target_feature(enable = "neon")]
unsafe fn shift_left<const BITS: i32>(value: Vector) -> Vector {
    // SAFETY: no memory is touched.
    unsafe { vshlq_n_s32::<BITS>(value) }
}

/// Sums of neighbouring products of 16-bit numbers.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn madd(a: Vector, b: Vector) -> Vector {
    // SAFETY: no memory is touched.
    unsafe {
        let (a, b) = (vreinterpretq_s16_s32(a), vreinterpretq_s16_s32(b));
        vpaddq_s32(vmull_s16(vget_low_s16(a), vget_low_s16(b)), vmull_high_s16(a, b))
    }
}

/// `sums` and the products of 16-bit numbers, in any lane.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn dot(sums: Vector, a: Vector, b: Vector) -> Vector {
    // SAFETY: no memory is touched.
    unsafe {
        let (a, b) = (vreinterpretq_s16_s32(a), vreinterpretq_s16_s32(b));
        vmlal_high_s16(vmlal_s16(sums, vget_low_s16(a), vget_low_s16(b)), a, b)
    }
}

/// The sum of the lanes of each.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn across(a: Vector, b: Vector, c: Vector, d: Vector) -> Vector {
    // SAFETY: no memory is touched.
    unsafe { vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d)) }
}

/// # Safety
/// 16 bytes can be read.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn read(from: *const i16) -> Vector {
    // SAFETY: the caller's word.
    unsafe { vreinterpretq_s32_s16(vld1q_s16(from)) }
}

/// # Safety
/// 16 bytes can be read.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn aligned(from: *const i16) -> Vector {
    // SAFETY: the caller's word.
    unsafe { read(from) }
}

/// # Safety
/// 16 bytes can be read.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn load(from: *const u8) -> Bytes {
    // SAFETY: the caller's word.
    unsafe { vld1q_u8(from) }
}

/// # Safety
/// 8 bytes can be written.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn store_half(to: *mut u8, bytes: Bytes) {
    // SAFETY: the caller's word.
    unsafe { vst1_u8(to, vget_low_u8(bytes)) }
}

/// # Safety
/// 16 bytes can be written.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn store(to: *mut u8, bytes: Bytes) {
    // SAFETY: the caller's word.
    unsafe { vst1q_u8(to, bytes) }
}

/// 8 signed bytes as 16-bit numbers.
///
/// # Safety
/// 8 bytes can be read.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn widen(from: *const i8) -> Vector {
    // SAFETY: the caller's word.
    unsafe { vreinterpretq_s32_s16(vmovl_s8(vld1_s8(from))) }
}

/// Bytes of `a` and `b` side by side as 16-bit numbers.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn mix(a: Bytes, b: Bytes) -> [Vector; R] {
    // SAFETY: no memory is touched.
    unsafe {
        let (low, high) = (vzip1q_u8(a, b), vzip2q_u8(a, b));
        [
            vreinterpretq_s32_u16(vmovl_u8(vget_low_u8(low))),
            vreinterpretq_s32_u16(vmovl_high_u8(low)),
            vreinterpretq_s32_u16(vmovl_u8(vget_low_u8(high))),
            vreinterpretq_s32_u16(vmovl_high_u8(high)),
        ]
    }
}

/// Bytes as 32-bit numbers.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn each(bytes: Bytes) -> [Vector; R] {
    // SAFETY: no memory is touched.
    unsafe {
        let (low, high) = (vmovl_u8(vget_low_u8(bytes)), vmovl_high_u8(bytes));
        [
            vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(low))),
            vreinterpretq_s32_u32(vmovl_high_u16(low)),
            vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(high))),
            vreinterpretq_s32_u32(vmovl_high_u16(high)),
        ]
    }
}

/// The four sums plus 2^31 of lanes `4 n` and following, taken back, not yet held; see [`super::scale`].
#[inline]
#[target_feature(enable = "neon")]
unsafe fn back(sums: Vector, scale: &Constants, n: usize) -> Vector {
    // SAFETY: `n` is below 4, so that two of 8 and four of 16 constants are read.
    unsafe {
        let two = |from: &[u64; 8]| vld1q_u64(from.as_ptr().add(2 * n));
        let raw = vreinterpretq_u32_s32(sums);
        let times = |lanes: uint32x4_t, factor: uint64x2_t, add: uint64x2_t| {
            vreinterpretq_u32_u64(vmlal_u32(
                add,
                vmovn_u64(vreinterpretq_u64_u32(lanes)),
                vmovn_u64(factor),
            ))
        };
        let low = times(raw, two(&scale.even), two(&scale.even_add));
        let upper = vreinterpretq_u32_u64(vshrq_n_u64::<32>(vreinterpretq_u64_u32(raw)));
        let high = times(upper, two(&scale.odd), two(&scale.odd_add));
        let both = vreinterpretq_s32_u32(vtrn2q_u32(low, high));
        let sign = vreinterpretq_s32_u32(vld1q_u32(scale.sign.as_ptr().add(4 * n)));
        let sign = vandq_s32(vshrq_n_s32::<31>(sums), sign);
        let shift = vreinterpretq_s32_u32(vld1q_u32(scale.shift.as_ptr().add(4 * n)));
        vshlq_s32(vsubq_s32(both, sign), vnegq_s32(shift))
    }
}

/// As [`back`].
#[inline]
#[target_feature(enable = "neon")]
unsafe fn finish(sums: Vector, scale: &Constants, n: usize) -> Vector {
    // SAFETY: the caller's word.
    unsafe { back(sums, scale, n) }
}

/// 16 results to bytes between bounds.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn narrow(v: [Vector; R], bounds: Bounds) -> Bytes {
    // SAFETY: no memory is touched.
    unsafe {
        let low = vqmovn_high_s32(vqmovn_s32(v[0]), v[1]);
        let high = vqmovn_high_s32(vqmovn_s32(v[2]), v[3]);
        let bytes = vqmovun_high_s16(vqmovun_s16(low), high);
        vminq_u8(vmaxq_u8(bytes, vdupq_n_u8(bounds.low)), vdupq_n_u8(bounds.high))
    }
}
