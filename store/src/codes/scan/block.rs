//! One block: its line in the directory, and its values as differences from its smallest code.

use std::ops::Range;

use super::lane::{
    BLOCK, FRONT, Lane, Values, WORD_BYTES, lane_bits, prefix, sum_front, unpack, with_lane, words,
};
use crate::codes::simd::Isa;
use crate::error::Result;
use crate::section::View;

/// Set in the form of a block of differences.
pub(super) const DELTA: u8 = 0x80;
/// Most patches of a block.
pub(super) const MOST_PATCHES: usize = 255;
/// Bytes of the patches before their places.
pub(super) const PATCH_HEAD_BYTES: usize = 4;
/// Bytes that may be read behind any part of a block.
const SLACK_BYTES: usize = 16;

/// Bits of `value`.
pub(super) fn bits(value: u64) -> u32 {
    64 - value.leading_zeros()
}

/// Bytes that hold `value`.
#[expect(clippy::cast_possible_truncation, reason = "at most 8")]
pub(super) fn bytes_of(value: u64) -> u8 {
    bits(value).div_ceil(8) as u8
}

/// The low `bytes` bytes of `word`.
#[inline(always)]
pub(super) fn low_bytes(word: u64, bytes: u8) -> u64 {
    match bytes {
        0 => 0,
        1..8 => word & (u64::MAX >> (64 - 8 * u32::from(bytes))),
        _ => word,
    }
}

/// Bytes of the step of a block of differences.
pub(super) fn step_bytes(code_bytes: u8) -> u8 {
    (code_bytes + 1).min(8)
}

/// A block's line in the directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// Where its bytes start.
    pub offset: u64,
    pub width: u32,
    pub delta: bool,
    pub patches: usize,
    /// Smallest code.
    pub low: u64,
    /// Largest code minus smallest code.
    pub span: u64,
}

impl Entry {
    /// Bits of the elements that its values are unpacked to.
    #[inline]
    pub(super) fn value_bits(&self) -> u32 {
        bits(self.span)
    }

    #[inline]
    pub(super) fn high(&self) -> u64 {
        self.low.wrapping_add(self.span)
    }
}

/// A block with its bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block<'a> {
    pub view: &'a View<'a>,
    pub entry: Entry,
    /// Codes in it, 1 to 1,024.
    pub count: usize,
    /// Bytes of a code minus the smallest.
    pub code_bytes: u8,
    pub isa: Isa,
}

/// The high parts of values that are wider than a block's width.
struct Patches<'a> {
    ends: [usize; 4],
    places: &'a [u8],
    highs: &'a [u8],
    width: u32,
}

impl Block<'_> {
    /// Bytes before the packed words.
    #[inline]
    fn head_bytes(&self) -> u64 {
        if self.entry.delta {
            u64::from(self.code_bytes) + u64::from(step_bytes(self.code_bytes))
        } else {
            0
        }
    }

    #[inline]
    fn packed_at(&self) -> u64 {
        self.entry.offset.wrapping_add(self.head_bytes())
    }

    #[inline]
    fn packed_bytes(&self) -> usize {
        words(self.count, self.entry.width) * WORD_BYTES
    }

    /// What the first code is above the smallest, and what is added at each step.
    #[inline]
    fn line(&self) -> Result<(u64, u64)> {
        let first = low_bytes(self.view.u64(self.entry.offset)?, self.code_bytes);
        let bytes = step_bytes(self.code_bytes);
        let step = self
            .view
            .u64(self.entry.offset.wrapping_add(u64::from(self.code_bytes)))?;
        let spare = 64 - 8 * u32::from(bytes);
        Ok((first, ((step << spare) as i64 >> spare) as u64))
    }

    /// The patches; there are some.
    fn patches(&self) -> Result<Patches<'_>> {
        let at = self.packed_at().wrapping_add(self.packed_bytes() as u64);
        let count = self.entry.patches;
        let [width, one, two, three] = self.view.array(at)?;
        let width = u32::from(width);
        let clamp = |end: u8| usize::from(end).min(count);
        if width > 64 {
            return Err(self.view.corrupt(at, format!("patches of {width} bits")));
        }
        let high_bytes = (count * width as usize).div_ceil(8) + SLACK_BYTES;
        let rest = self
            .view
            .bytes(at.wrapping_add(PATCH_HEAD_BYTES as u64), count + high_bytes)?;
        let (places, highs) = rest.split_at(count);
        Ok(Patches {
            ends: [clamp(one), clamp(two), clamp(three), count],
            places,
            highs,
            width,
        })
    }

    /// Bits of the patches, as far as they can be told.
    pub(super) fn patch_bits(&self) -> u64 {
        let width = self.patches().map_or(0, |patches| patches.width as usize);
        match self.entry.patches {
            0 => 0,
            count => (8 * (PATCH_HEAD_BYTES + count) + (count * width).next_multiple_of(8)) as u64,
        }
    }

    /// Calls `each` with the place of every patch and the high part, shifted to where it belongs.
    fn for_patches(&self, mut each: impl FnMut(usize, u64)) -> Result<()> {
        if self.entry.patches == 0 {
            return Ok(());
        }
        let patches = self.patches()?;
        let mut start = 0;
        for (quarter, &end) in patches.ends.iter().enumerate() {
            for index in start..end {
                if let Some(&place) = patches.places.get(index) {
                    each(quarter * 256 + usize::from(place), self.high(&patches, index));
                }
            }
            start = end.max(start);
        }
        Ok(())
    }

    #[inline(always)]
    fn high(&self, patches: &Patches<'_>, index: usize) -> u64 {
        let bit = index * patches.width as usize;
        let mut word = [0; 16];
        if let Some(bytes) = patches.highs.get(bit / 8..bit / 8 + 16) {
            word.copy_from_slice(bytes);
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most 64 bits are wanted")]
        let high = (u128::from_le_bytes(word) >> (bit % 8)) as u64;
        let spare = 64 - patches.width;
        let high = high.checked_shl(spare).unwrap_or(0);
        let high = if self.entry.delta {
            ((high as i64).checked_shr(spare).unwrap_or(0)) as u64
        } else {
            high.checked_shr(spare).unwrap_or(0)
        };
        high.checked_shl(self.entry.width).unwrap_or(0)
    }

    /// Values `rows`, as differences from the smallest code, into their places behind [`FRONT`].
    ///
    /// `P` is the element of [`Entry::value_bits`].
    #[inline]
    pub(super) fn values<P: Lane>(&self, rows: &Range<usize>, out: &mut Values<P>) -> Result<()> {
        let (from, to) = (if self.entry.delta { 0 } else { rows.start }, rows.end);
        if self.entry.width > 0 {
            let packed = self.view.bytes(self.packed_at(), self.packed_bytes())?;
            let (isa, width) = (self.isa, self.entry.width);
            with_lane!(width, T => isa.run(#[inline(always)] || unpack::<T, P>(packed, width, from, to, out)));
        }
        self.for_patches(|place, high| {
            if let Some(value) = out[FRONT..].get_mut(place) {
                *value = value.plus(P::of(high));
            }
        })?;
        if self.entry.delta {
            let (first, step) = self.line()?;
            let (isa, first, step) = (self.isa, P::of(first), P::of(step));
            isa.run(
                #[inline(always)]
                || prefix(out, first, step, to),
            );
        }
        Ok(())
    }

    /// The code at `place`.
    #[inline]
    pub(super) fn get(&self, place: usize) -> Result<u64> {
        let value = if self.entry.delta {
            self.get_delta(place)?
        } else {
            self.get_packed(place)?
        };
        Ok(self.entry.low.wrapping_add(value))
    }

    #[inline]
    fn get_packed(&self, place: usize) -> Result<u64> {
        let width = self.entry.width;
        let mut value = if width == 0 { 0 } else { self.packed(place)? };
        if self.entry.patches > 0 {
            let patches = self.patches()?;
            let quarter = place / 256;
            let start = quarter.checked_sub(1).map_or(0, |before| patches.ends[before]);
            let range = start..patches.ends[quarter].max(start);
            let found = patches.places.get(range).unwrap_or_default();
            if let Some(index) = found.iter().position(|&at| usize::from(at) == place % 256) {
                value = value.wrapping_add(self.high(&patches, start + index));
            }
        }
        Ok(value)
    }

    /// The packed value at `place`; the width is not 0.
    #[inline]
    fn packed(&self, place: usize) -> Result<u64> {
        let width = self.entry.width;
        let lane = lane_bits(width);
        let lanes = WORD_BYTES * 8 / lane as usize;
        let bit = (place / lanes) as u64 * u64::from(width);
        let (word, shift) = (bit / u64::from(lane), bit % u64::from(lane));
        let at = (word * WORD_BYTES as u64 + (place % lanes) as u64 * u64::from(lane / 8))
            .wrapping_add(self.packed_at());
        let mask = u64::MAX >> (64 - lane);
        let mut value = (self.view.u64(at)? & mask) >> shift;
        if shift + u64::from(width) > u64::from(lane) {
            value |= self.view.u64(at.wrapping_add(WORD_BYTES as u64))? << (u64::from(lane) - shift);
        }
        Ok(value & (u64::MAX >> (64 - width)))
    }

    fn get_delta(&self, place: usize) -> Result<u64> {
        let (first, step) = self.line()?;
        let mut value = first.wrapping_add(step.wrapping_mul(place as u64));
        if self.entry.width > 0 {
            let packed = self.view.bytes(self.packed_at(), self.packed_bytes())?;
            let (isa, width) = (self.isa, self.entry.width);
            let sum =
                with_lane!(width, T => isa.run(#[inline(always)] || sum_front::<T>(packed, width, place)));
            value = value.wrapping_add(sum);
        }
        if self.entry.patches > 0 {
            let patches = self.patches()?;
            let quarter = place / 256;
            let start = quarter.checked_sub(1).map_or(0, |before| patches.ends[before]);
            let range = start..patches.ends[quarter].max(start);
            let here = patches.places.get(range).unwrap_or_default();
            let before = start + here.iter().filter(|&&at| usize::from(at) <= place % 256).count();
            for index in 0..before {
                value = value.wrapping_add(self.high(&patches, index));
            }
        }
        // What a narrower element would hold, as in a block that is unpacked.
        let spare = 64 - lane_bits(self.entry.value_bits());
        Ok(value << spare >> spare)
    }
}

const _: () = assert!(MOST_PATCHES < BLOCK);
