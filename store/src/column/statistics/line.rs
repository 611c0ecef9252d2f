//! Ascending numbers as a straight line and what is left of each.
//!
//! ```text
//! offset  width  field
//!      0     16  base
//!     16     16  slope
//!     32      8  width  bits of a residual, at most 128
//! ```
//!
//! Number `i` is `base + slope * i + residual(i)`, modulo 2^128. Residuals are packed in the stream that all lines of a
//! section share.

#![allow(clippy::cast_possible_truncation, reason = "widths are at most 128")]

use crate::column::packed::{BitWriter, read_wide};
use crate::error::Result;
use crate::section::{Section, View};

/// Bytes of the parameters.
pub(super) const LINE_BYTES: u64 = 40;

/// A line, and where its residuals are.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Line {
    base: u128,
    slope: u128,
    width: u32,
    /// First bit of the residuals.
    pub(super) at: u64,
}

impl Line {
    /// The line from the first to the last of `values`, moved below all of them.
    pub(super) fn fit(values: &[u128]) -> Line {
        let (Some(&first), Some(&last)) = (values.first(), values.last()) else {
            return Line::default();
        };
        let slope = match values.len() as u128 - 1 {
            0 => 0,
            steps => last.wrapping_sub(first) / steps,
        };
        let off = |(i, &value): (usize, &u128)| value.wrapping_sub(slope.wrapping_mul(i as u128)) as i128;
        let base = values.iter().enumerate().map(off).min().unwrap_or(0) as u128;
        let spread = values
            .iter()
            .enumerate()
            .map(|each| (off(each) as u128).wrapping_sub(base))
            .max();
        Line {
            base,
            slope,
            width: 128 - spread.unwrap_or(0).leading_zeros(),
            at: 0,
        }
    }

    /// Bits of all residuals.
    pub(super) fn bits(&self, count: u64) -> Option<u64> {
        count.checked_mul(self.width.into())
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.base.to_le_bytes());
        out.extend_from_slice(&self.slope.to_le_bytes());
        out.extend_from_slice(&u64::from(self.width).to_le_bytes());
    }

    pub(super) fn push_residuals(&self, values: &[u128], out: &mut BitWriter) {
        for (i, value) in values.iter().enumerate() {
            out.push_wide(value.wrapping_sub(self.start(i as u64)), self.width);
        }
    }

    /// Reads the parameters at byte `at`.
    pub(super) fn open(section: &Section, at: u64) -> Result<Line> {
        let width = section.u64(at + 32)?;
        if width > 128 {
            return Err(section.corrupt(at + 32, format!("residuals of {width} bits")));
        }
        Ok(Line {
            base: u128::from_le_bytes(section.array(at)?),
            slope: u128::from_le_bytes(section.array(at + 16)?),
            width: width as u32,
            at: 0,
        })
    }

    #[inline]
    fn start(&self, index: u64) -> u128 {
        self.base.wrapping_add(self.slope.wrapping_mul(index.into()))
    }

    /// Number `index`, whose residual is in the stream that starts at byte `start`.
    #[inline]
    pub(super) fn value(&self, view: &View<'_>, start: u64, index: u64) -> Result<u128> {
        let at = self.at.saturating_add(index.saturating_mul(self.width.into()));
        Ok(self
            .start(index)
            .wrapping_add(read_wide(view, start, at, self.width)?))
    }
}
