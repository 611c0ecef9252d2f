//! Dot products of bytes for aarch64 processors that have them (`sdot`): see [`super::words`]. All else is as with NEON.
//! Tile: 6 patches x 16 outputs.
//!
//! The instruction takes signed bytes, so the input is copied once for each layer with 128 taken off, and packed biases
//! have 128 times their weights' sum more, see [`super::lanes::Order::Signed`]. It is written as assembly, since compilers
//! have no stable function for it.
#![allow(unsafe_code)]
// Intrinsics are unsafe functions in older compilers only.
#![allow(unused_unsafe)]

use std::arch::aarch64::*;
use std::arch::asm;

use super::Scratch;
use super::geometry::LANES;
use super::lanes::Group;
use super::line::Line;
use super::linear::{Linear, patch_at};
use super::neon::{Constants, R, Vector, add, numbers, put, splat, start};
use super::scale::Scale;
use super::spell::spell;

super::words::words!("neon,dotprod", 6, 2);

/// The input as signed bytes.
#[inline]
fn bytes<'a>(input: &[u8], scratch: &'a mut Scratch) -> &'a [u8] {
    let flipped = &mut scratch.flipped[..input.len()];
    for (to, from) in flipped.iter_mut().zip(input) {
        *to = from ^ 0x80;
    }
    flipped
}

/// Four bytes in every lane.
///
/// # Safety
/// The processor has the instructions; 4 bytes can be read.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn quad(from: *const u8) -> Vector {
    // SAFETY: the caller's word.
    unsafe { vdupq_n_s32(from.cast::<i32>().read_unaligned()) }
}

/// # Safety
/// The processor has the instructions; 16 bytes can be read.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn weights(from: *const i8) -> Vector {
    // SAFETY: the caller's word.
    unsafe { vreinterpretq_s32_s8(vld1q_s8(from)) }
}

/// `sums` and four products of `x` and `w` in each lane.
///
/// # Safety
/// The processor has the instructions.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn dot(sums: Vector, x: Vector, w: Vector) -> Vector {
    let mut sums = sums;
    // SAFETY: no memory is touched, no flag changed.
    unsafe {
        asm!(
            "sdot {sums:v}.4s, {w:v}.16b, {x:v}.16b",
            sums = inout(vreg) sums,
            w = in(vreg) w,
            x = in(vreg) x,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sums
}
