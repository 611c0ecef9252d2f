//! Adaptive wavelet matrix over bit planes: the `rank` layout.
//!
//! Good at: any question in under a few microseconds on a form about as small as a good numeric compressor's. The top
//! bits of the codes are levels of a wavelet matrix; their bit vectors are adaptive ([`crate::bits::vector`]), so a
//! smooth signal's high bits cost next to nothing. Where they cost next to nothing, the highest are one *top* of symbols
//! coded by runs (see `top`), one step instead of several. The low bits, which nothing compresses, are not levels but
//! *planes* in leaf order (the order after the last level): one access reads them in one place, and a leaf's rows stand
//! together.
//!
//! ```text
//! offset 0   u64  number of codes n, below 2^31
//!        8   u64  smallest code
//!       16   u64  largest code minus smallest code
//!       24   u8   bits of that difference, L
//!       25   u8   planes w, at most L - t; the other K = L - t - w bits are levels
//!       26   u8   flags; bit 0 is kept for blocks coded with Rice codes; all zero in this version
//!       27   u8   bits of the top t, 0 to 7
//!       28   4 bytes zero
//!       32   u64  which planes are bit vectors (bit k for value bit k); the others are raw
//!       40   u64  offset of the raw planes, a multiple of 64
//!       48   u64  offset of the top, if there is one
//!            u64  for each level, from the highest bit down, the offset of its bit vector;
//!                 then the same for each plane that is one, from the highest bit down
//!            the top and the bit vectors, each from a multiple of 8
//!            raw planes: for each started 64 rows in leaf order one u64 per raw plane, from the highest bit down
//!            128 zero bytes
//! ```
//!
//! A level holds one bit of each code in the order that the levels above give: first the rows whose bit above was zero,
//! then those whose bit was one, each in the order they had. Below a top rows are sorted stably by their symbol.
//!
//! Costs (K levels, leaf of p rows): `get` the top and K ranks; `count` and `quantile` two to four ranks a level and
//! range, and p / 64 * w word operations; `decode` a few operations a code and level, in bulk.
//!
//! Claude, Navarro, Ordóñez, "The wavelet matrix" (2015).

#![allow(
    clippy::cast_possible_truncation,
    reason = "fewer than 2^31 codes, at most 64 levels"
)]

use std::ops::Range;

use super::simd::{Path, fast};
use super::tree::Tree;
use super::{
    Codes, CodesKind, Interval, check_each, check_places, check_position, check_range, check_ranges,
    check_rank, count_rows,
};
use crate::bits::vector::BitVector;
use crate::error::Result;
use crate::rows::Mask;
use crate::section::{Section, View};

mod cursor;
mod decode;
mod encode;
mod leaf;
mod lists;
mod planes;
mod query;
pub(super) mod sort;
#[cfg(test)]
mod tests;
mod top;
mod unordered;
mod unpack;

use cursor::Cursor;
pub use encode::{Price, encode, encode_with};
use planes::Planes;
use top::Top;

/// Rows that a selection decodes at a time.
const SELECT_ROWS: u64 = 64 * 1024;

/// Rows up to which codes in no order are found node by node.
const UNORDERED_ROWS: usize = 64 * 1024;

/// Bytes before the table of offsets.
const HEADER_BYTES: u64 = 48;

/// The read side.
#[derive(Debug)]
pub struct Wavelet {
    section: Section,
    len: u64,
    base: u64,
    /// Largest code minus `base`.
    span: u64,
    top: Option<Top>,
    levels: Vec<BitVector>,
    planes: Planes,
    parts: Vec<(String, u64)>,
}

impl Wavelet {
    /// Opens a section.
    ///
    /// # Errors
    /// `Corrupt` if the header makes no sense for the section's length.
    pub fn open(section: Section) -> Result<Wavelet> {
        let (len, base, span) = (section.u64(0)?, section.u64(8)?, section.u64(16)?);
        let [bits, plane_count, flags, top_bits, zeros @ ..]: [u8; 8] = section.array(24)?;
        if flags != 0 || zeros != [0; 4] {
            return Err(section.corrupt(26, format!("unknown flags {flags:#x}")));
        }
        if u32::from(bits) != 64 - span.leading_zeros()
            || plane_count > bits
            || top_bits > bits - plane_count
            || base.checked_add(span).is_none()
        {
            return Err(section.corrupt(
                24,
                format!(
                    "{bits} bits, {top_bits} at the top, {plane_count} planes for codes from {base} on, at most {span} larger"
                ),
            ));
        }
        // The highest bit of codes that differ is not constant, and the cheapest vector takes 8 bytes for 4,096 bits.
        if len >> 31 != 0 || (bits > 0 && len > section.len() * 512) {
            return Err(section.corrupt(0, format!("{len} codes in {} bytes", section.len())));
        }
        let coded = section.u64(32)?;
        if plane_count < 64 && coded >> plane_count != 0 {
            return Err(section.corrupt(32, format!("bit vectors {coded:#x} among {plane_count} planes")));
        }
        let view = section.view();
        let mut table = HEADER_BYTES;
        let mut starts = Vec::new();
        let top = if top_bits > 0 {
            let start = view.u64(table)?;
            table += 8;
            starts.push(start);
            Some(Top::open(&view, start, len, u32::from(top_bits))?)
        } else {
            None
        };
        let mut next = || -> Result<BitVector> {
            let start = view.u64(table)?;
            table += 8;
            starts.push(start);
            BitVector::open(&view, start, len)
        };
        let level_count = bits - plane_count - top_bits;
        let levels = (0..level_count).map(|_| next()).collect::<Result<Vec<_>>>()?;
        let vectors = (0..coded.count_ones())
            .map(|_| next())
            .collect::<Result<Vec<_>>>()?;
        let raw = section.u64(40)?;
        let planes = Planes::open(&view, len, u32::from(plane_count), coded, raw, vectors)?;
        let mut wavelet = Wavelet {
            section,
            len,
            base,
            span,
            top,
            levels,
            planes,
            parts: Vec::new(),
        };
        wavelet.parts = wavelet.list_parts(&starts, raw, table);
        Ok(wavelet)
    }

    /// Number of bits at the top, of levels, and of planes.
    pub fn shape(&self) -> (usize, usize, usize) {
        let top = self.top.map_or(0, |top| top.bits() as usize);
        (top, self.levels.len(), self.planes.count() as usize)
    }

    /// Bits of a code below the top.
    #[inline]
    fn below_top(&self) -> u32 {
        self.levels.len() as u32 + self.planes.count()
    }

    #[inline]
    fn view(&self) -> View<'_> {
        self.section.view()
    }

    /// The interval in differences from the smallest code; `None` if no code here can be inside.
    fn local(&self, interval: Interval) -> Option<(u64, u64)> {
        if interval.is_empty() || interval.high < self.base {
            return None;
        }
        let low = interval.low.saturating_sub(self.base);
        let high = (interval.high - self.base).min(self.span);
        (low <= high).then_some((low, high))
    }

    /// `base + local`, also when a damaged file gives a difference beyond the largest.
    #[inline]
    fn code(&self, local: u64) -> u64 {
        self.base.wrapping_add(local)
    }

    /// Bits of each part: `starts` say where the top, the levels and the planes that are bit vectors start.
    fn list_parts(&self, starts: &[u64], raw: u64, table: u64) -> Vec<(String, u64)> {
        let mut parts = vec![("header".to_string(), table * 8)];
        let below = self.below_top();
        let top = self.top.map(|top| format!("top {} bits (runs)", top.bits()));
        let levels = (1u32..)
            .zip(&self.levels)
            .map(|(level, vector)| format!("level {} ({})", below - level, vector.form_name()));
        let coded = (0..self.planes.count())
            .rev()
            .filter(|&plane| self.planes.is_vector(plane))
            .map(|plane| format!("plane {plane} (adaptive)"));
        for (index, (name, &start)) in top.into_iter().chain(levels).chain(coded).zip(starts).enumerate() {
            let end = starts.get(index + 1).copied().unwrap_or(raw);
            parts.push((name, end.saturating_sub(start).saturating_mul(8)));
        }
        parts.push((
            format!("{} raw planes", self.planes.raw_count()),
            self.section.len().saturating_sub(raw).saturating_mul(8),
        ));
        parts
    }
}

impl Codes for Wavelet {
    fn kind(&self) -> CodesKind {
        CodesKind::Wavelet
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn get(&self, position: u64) -> Result<u64> {
        check_position(self.len, position)?;
        let view = self.view();
        Ok(self.code(fast!(select => self.access(select, &view, position))?))
    }

    fn decode(&self, range: Range<u64>, out: &mut [u64]) -> Result<()> {
        check_range(self.len, &range, out.len())?;
        self.decode_range(Path::best(), range, out)
    }

    fn decode_unordered(&self, ranges: &[Range<u64>], out: &mut Vec<u64>) -> Result<()> {
        for range in ranges {
            check_ranges(self.len, std::slice::from_ref(range))?;
        }
        // Many rows are decoded faster by whole levels.
        let rows = count_rows(ranges) as usize;
        if rows > UNORDERED_ROWS {
            for range in ranges {
                let from = out.len();
                out.resize(from + (range.end - range.start) as usize, 0);
                self.decode_range(
                    Path::best(),
                    range.clone(),
                    out.get_mut(from..).unwrap_or_default(),
                )?;
            }
            return Ok(());
        }
        fast!(select => self.list_rows(select, ranges, rows, out))
    }

    fn count(&self, ranges: &[Range<u64>], interval: Interval) -> Result<u64> {
        check_ranges(self.len, ranges)?;
        match self.local(interval) {
            None => Ok(0),
            Some((low, high)) => fast!(select => self.count_local(select, ranges, low, high)),
        }
    }

    fn select(&self, range: Range<u64>, interval: Interval, mask: &mut Mask) -> Result<()> {
        check_range(self.len, &range, mask.len())?;
        match self.local(interval) {
            None => Ok(()),
            Some((low, high)) if low == 0 && high == self.span => {
                mask.fill(true);
                Ok(())
            }
            Some(bounds) => self.select_words(range, interval, bounds, mask.as_raw_mut_slice(), SELECT_ROWS),
        }
    }

    fn quantile(&self, ranges: &[Range<u64>], k: u64) -> Result<(u64, u64)> {
        check_rank(self.len, ranges, k)?;
        let (local, less) = fast!(select => self.quantile_local(select, ranges, k))?;
        Ok((self.code(local), less))
    }

    fn get_sorted(&self, positions: &[u64], out: &mut [u64]) -> Result<()> {
        check_places(positions, out)?;
        for &position in positions {
            check_position(self.len, position)?;
        }
        fast!(select => self.get_many(select, positions, out))
    }

    fn quantile_each(&self, ranges: &[Range<u64>], ks: &[u64]) -> Result<Vec<u64>> {
        check_each(self.len, ranges, ks)?;
        fast!(select => self.quantile_many(select, ranges, ks))
    }

    fn distinct(&self, ranges: &[Range<u64>], interval: Interval, limit: usize) -> Result<Vec<(u64, u64)>> {
        check_ranges(self.len, ranges)?;
        match self.local(interval) {
            None => Ok(Vec::new()),
            Some(bounds) => fast!(select => self.list_distinct(select, ranges, bounds, limit)),
        }
    }

    fn tree(&self) -> Option<Box<dyn Tree + '_>> {
        // A damaged top is reported by whatever is asked instead.
        let cursor = Cursor::new(self).ok()?;
        Some(Box::new(cursor))
    }

    fn parts(&self) -> Vec<(String, u64)> {
        self.parts.clone()
    }
}
