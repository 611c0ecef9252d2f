//! Dot products of bytes in registers of 256 bits, for processors that have them without AVX-512: see [`super::words`].
//! All else is as with AVX2. Tile: 6 patches x 16 outputs.
//!
//! The instruction has two encodings, that of AVX-VNNI and that of AVX-512 with its short registers; the loops are written
//! once and compiled for both, and give the same results in both.
#![allow(unsafe_code)]
// Intrinsics are unsafe functions in older compilers only.
#![allow(unused_unsafe)]
#![allow(
    clippy::incompatible_msrv,
    reason = "the build script leaves this file out for older compilers"
)]

use super::Scratch;
use super::linear::Linear;

/// Whether the processor has one of the encodings.
pub fn available() -> bool {
    std::is_x86_feature_detected!("avx2") && (short() || long())
}

/// That of AVX-VNNI.
#[inline]
fn short() -> bool {
    std::is_x86_feature_detected!("avxvnni")
}

/// That of AVX-512.
#[inline]
fn long() -> bool {
    std::is_x86_feature_detected!("avx512vnni") && std::is_x86_feature_detected!("avx512vl")
}

/// Runs `layer` over `input` into `output`.
pub fn linear(layer: &Linear, input: &[u8], output: &mut [u8], scratch: &mut Scratch) {
    if short() {
        vex::linear(layer, input, output, scratch);
    } else {
        assert!(
            long(),
            "an engine for these instructions is only made where they were detected"
        );
        evex::linear(layer, input, output, scratch);
    }
}

/// Defines the loops for the instructions `$feature`, with `$product` as the one that counts.
macro_rules! encoding {
    ($feature:literal, $product:ident) => {
        use std::arch::x86_64::*;

        use super::super::Scratch;
        use super::super::avx2::{Constants, R, Vector, add, numbers, put, splat, start};
        use super::super::geometry::LANES;
        use super::super::lanes::Group;
        use super::super::line::Line;
        use super::super::linear::{Linear, patch_at};
        use super::super::scale::Scale;
        use super::super::spell::spell;

        super::super::words::words!($feature, 6, 4);

        /// The input as it is: the instruction takes unsigned bytes.
        #[inline]
        fn bytes<'a>(input: &'a [u8], _scratch: &'a mut Scratch) -> &'a [u8] {
            input
        }

        /// Four bytes in every lane.
        ///
        /// # Safety
        /// The processor has the instructions; 4 bytes can be read.
        #[inline]
        #[target_feature(enable = $feature)]
        unsafe fn quad(from: *const u8) -> Vector {
            // SAFETY: the caller's word.
            unsafe { _mm256_set1_epi32(from.cast::<i32>().read_unaligned()) }
        }

        /// # Safety
        /// The processor has the instructions; 32 bytes can be read, from a multiple of 32 on.
        #[inline]
        #[target_feature(enable = $feature)]
        unsafe fn weights(from: *const i8) -> Vector {
            // SAFETY: the caller's word.
            unsafe { _mm256_load_si256(from.cast()) }
        }

        /// `sums` and four products of `x` and `w` in each lane.
        ///
        /// # Safety
        /// The processor has the instructions.
        #[inline]
        #[target_feature(enable = $feature)]
        unsafe fn dot(sums: Vector, x: Vector, w: Vector) -> Vector {
            // SAFETY: no memory is touched.
            unsafe { $product(sums, x, w) }
        }
    };
}

mod vex {
    encoding!("avx2,avxvnni", _mm256_dpbusd_avx_epi32);
}

mod evex {
    encoding!("avx2,avx512vnni,avx512vl", _mm256_dpbusd_epi32);
}
