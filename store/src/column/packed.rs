//! Fixed-width unsigned numbers one after the other, least significant bit first.
//!
//! Number `i` of width `w` takes bits `i*w .. (i+1)*w` of the stream; bit `b` is bit `b % 8` of byte `b / 8`. A stream
//! ends with enough zero bytes that any number can be read with whole words ([`PADDING_BYTES`] after its last byte).

use crate::error::Result;
use crate::section::{Section, View};

/// Zero bytes after a stream, so that reads of 16 bytes never leave it.
pub(crate) const PADDING_BYTES: u64 = PADDING as u64;
const PADDING: usize = 16;

/// Bits needed for `value`.
#[inline]
pub(crate) fn width_of(value: u64) -> u32 {
    64 - value.leading_zeros()
}

/// Bytes of a stream of `count` numbers of `width` bits, padding included; `None` if that overflows.
pub(crate) fn stream_bytes(count: u64, width: u32) -> Option<u64> {
    count
        .checked_mul(u64::from(width))?
        .div_ceil(8)
        .checked_add(PADDING_BYTES)
}

/// Collects bits.
#[derive(Debug, Default)]
pub(crate) struct BitWriter {
    bytes: Vec<u8>,
    pending: u128,
    pending_bits: u32,
}

impl BitWriter {
    /// Appends the low `width` bits of `value`; `width` is at most 64.
    #[inline]
    pub(crate) fn push(&mut self, value: u64, width: u32) {
        debug_assert!(
            width <= 64 && (width == 64 || value >> width == 0),
            "a value fits its width"
        );
        self.pending |= u128::from(value) << self.pending_bits;
        self.pending_bits += width;
        if self.pending_bits >= 64 {
            #[expect(clippy::cast_possible_truncation, reason = "the low word is what is written")]
            self.bytes.extend_from_slice(&(self.pending as u64).to_le_bytes());
            self.pending >>= 64;
            self.pending_bits -= 64;
        }
    }

    /// Appends the low `width` bits of `value`; `width` is at most 128.
    pub(crate) fn push_wide(&mut self, value: u128, width: u32) {
        #[expect(clippy::cast_possible_truncation, reason = "split into words")]
        let (low, high) = (value as u64, (value >> 64) as u64);
        self.push(low, width.min(64));
        self.push(high, width.saturating_sub(64));
    }

    /// Bits written so far.
    pub(crate) fn bit_len(&self) -> u64 {
        self.bytes.len() as u64 * 8 + u64::from(self.pending_bits)
    }

    /// The stream with its padding.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        let bytes = self.pending_bits.div_ceil(8) as usize;
        self.bytes.extend_from_slice(&self.pending.to_le_bytes()[..bytes]);
        self.bytes.resize(self.bytes.len() + PADDING, 0);
        self.bytes
    }
}

/// `width` (at most 64) bits at bit `at` of the stream that starts at byte `start` of `section`.
#[inline]
pub(crate) fn read(section: &Section, start: u64, at: u64, width: u32) -> Result<u64> {
    if width == 0 {
        return Ok(0);
    }
    let word = u128::from_le_bytes(section.array(start.saturating_add(at / 8))?) >> (at % 8);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the low word is masked to its width"
    )]
    let word = word as u64;
    Ok(if width >= 64 {
        word
    } else {
        word & ((1 << width) - 1)
    })
}

/// The same from a view.
#[inline(always)]
pub(crate) fn read_in(view: &View<'_>, start: u64, at: u64, width: u32) -> Result<u64> {
    if width == 0 {
        return Ok(0);
    }
    let word = u128::from_le_bytes(view.array(start.saturating_add(at / 8))?) >> (at % 8);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the low word is masked to its width"
    )]
    let word = word as u64;
    Ok(if width >= 64 {
        word
    } else {
        word & ((1 << width) - 1)
    })
}

/// `width` (at most 128) bits at bit `at`.
pub(crate) fn read_wide(view: &View<'_>, start: u64, at: u64, width: u32) -> Result<u128> {
    let low = read_in(view, start, at, width.min(64))?;
    let high = read_in(view, start, at.saturating_add(64), width.saturating_sub(64))?;
    Ok(u128::from(low) | u128::from(high) << 64)
}

/// Appends zero bytes up to a multiple of 8.
pub(crate) fn pad8(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(8), 0);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn streams_give_back_what_went_in(values in proptest::collection::vec((any::<u128>(), 0u32..=128), 0..60)) {
            let mut writer = BitWriter::default();
            let mut starts = Vec::new();
            let fit = |value: u128, width: u32| if width == 128 { value } else { value & ((1 << width) - 1) };
            for &(value, width) in &values {
                starts.push(writer.bit_len());
                writer.push_wide(fit(value, width), width);
            }
            let section = Section::from_vec(writer.finish());
            for (&(value, width), &at) in values.iter().zip(&starts) {
                prop_assert_eq!(read_wide(&section.view(), 0, at, width).unwrap(), fit(value, width));
                if width <= 64 {
                    prop_assert_eq!(u128::from(read(&section, 0, at, width).unwrap()), fit(value, width));
                }
            }
        }
    }
}
