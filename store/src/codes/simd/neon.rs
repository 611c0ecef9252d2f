//! Merges by look-ups in tables of 16 bytes, as [`super::tables`] has them for SSSE3 too.

#![allow(
    unsafe_code,
    reason = "target features, and loads at positions checked on entry"
)]
#![allow(unused_unsafe, reason = "some intrinsics are safe on newer compilers")]

use std::arch::aarch64::{
    vcombine_u8, vdup_n_u8, vdupq_n_u16, vdupq_n_u32, vld1_u8, vld1q_u8, vld1q_u16, vld1q_u32, vorr_u8,
    vorrq_u8, vorrq_u16, vorrq_u32, vqtbl1_u8, vqtbl1q_u8, vreinterpretq_u8_u16, vreinterpretq_u8_u32,
    vst1_u8, vst1q_u8,
};

use super::tables::{BYTES, SHORTS, WORDS};
use crate::codes::merge::{Halves, PADDING};

/// Proof that the processor has NEON.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Neon(());

impl Neon {
    /// The proof, if there is one.
    pub(crate) fn detect() -> Option<Neon> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Neon(()))
    }

    /// Merges bytes.
    pub(crate) fn merge8(self, halves: Halves<'_, u8>) {
        // SAFETY: a `Neon` exists only if `detect` found the feature.
        unsafe { merge8(halves) }
    }

    /// Merges 16-bit elements.
    pub(crate) fn merge16(self, halves: Halves<'_, u16>) {
        // SAFETY: a `Neon` exists only if `detect` found the feature.
        unsafe { merge16(halves) }
    }

    /// Merges 32-bit elements.
    pub(crate) fn merge32(self, halves: Halves<'_, u32>) {
        // SAFETY: a `Neon` exists only if `detect` found the feature.
        unsafe { merge32(halves) }
    }
}

/// SAFETY: NEON.
#[target_feature(enable = "neon")]
unsafe fn merge8(halves: Halves<'_, u8>) {
    halves.check();
    let (mut zero, mut one) = (0, halves.zeros);
    let (from, mut to) = (halves.from.as_ptr(), halves.to.as_mut_ptr());
    // SAFETY: `zero` and `one` are at most the elements merged before, plus the zeros, so at most `count` rounded up to
    // a word of bits; each load and store of up to 16 bytes then ends within the padding that `check` has seen.
    unsafe {
        let add = vdup_n_u8(1 << halves.bit);
        for &word in halves.words() {
            for pattern in word.to_le_bytes() {
                let zeros = vld1_u8(from.add(zero));
                let ones = vorr_u8(vld1_u8(from.add(one)), add);
                let table = vld1_u8(BYTES[pattern as usize].as_ptr());
                vst1_u8(to, vqtbl1_u8(vcombine_u8(zeros, ones), table));
                let set = pattern.count_ones() as usize;
                one += set;
                zero += 8 - set;
                to = to.add(8);
            }
        }
    }
}

/// SAFETY: NEON.
#[target_feature(enable = "neon")]
unsafe fn merge16(halves: Halves<'_, u16>) {
    halves.check();
    let (mut zero, mut one) = (0, halves.zeros);
    let (from, mut to) = (halves.from.as_ptr(), halves.to.as_mut_ptr());
    // SAFETY: as in `merge8`.
    unsafe {
        let add = vdupq_n_u16(1 << halves.bit);
        for &word in halves.words() {
            for pattern in word.to_le_bytes() {
                let zeros = vreinterpretq_u8_u16(vld1q_u16(from.add(zero)));
                let ones = vreinterpretq_u8_u16(vorrq_u16(vld1q_u16(from.add(one)), add));
                let zeros = vqtbl1q_u8(zeros, vld1q_u8(SHORTS[pattern as usize ^ 0xff].as_ptr()));
                let ones = vqtbl1q_u8(ones, vld1q_u8(SHORTS[pattern as usize].as_ptr()));
                vst1q_u8(to.cast(), vorrq_u8(zeros, ones));
                let set = pattern.count_ones() as usize;
                one += set;
                zero += 8 - set;
                to = to.add(8);
            }
        }
    }
}

/// SAFETY: NEON.
#[target_feature(enable = "neon")]
unsafe fn merge32(halves: Halves<'_, u32>) {
    halves.check();
    let (mut zero, mut one) = (0, halves.zeros);
    let (from, mut to) = (halves.from.as_ptr(), halves.to.as_mut_ptr());
    // SAFETY: as in `merge8`.
    unsafe {
        let add = vdupq_n_u32(1 << halves.bit);
        for &word in halves.words() {
            let mut rest = word;
            for _ in 0..16 {
                let pattern = (rest & 15) as usize;
                let zeros = vreinterpretq_u8_u32(vld1q_u32(from.add(zero)));
                let ones = vreinterpretq_u8_u32(vorrq_u32(vld1q_u32(from.add(one)), add));
                let zeros = vqtbl1q_u8(zeros, vld1q_u8(WORDS[pattern ^ 15].as_ptr()));
                let ones = vqtbl1q_u8(ones, vld1q_u8(WORDS[pattern].as_ptr()));
                vst1q_u8(to.cast(), vorrq_u8(zeros, ones));
                let set = pattern.count_ones() as usize;
                one += set;
                zero += 4 - set;
                to = to.add(4);
                rest >>= 4;
            }
        }
    }
}

const _: () = assert!(PADDING >= 128, "a word of bits is merged whole");
