//! Descents: one code, counts and quantiles over one or many ranges.

#![allow(
    clippy::cast_possible_truncation,
    reason = "fewer than 2^31 codes, at most 64 levels"
)]

use std::ops::Range;

use super::Wavelet;
use crate::bits::vector::BitVector;
use crate::bits::words::WordSelect;
use crate::error::Result;
use crate::section::View;

/// The parts of a level that a node's ranges occupy. A damaged file may give `start > end`: an empty part.
type Piece = (u64, u64);

/// Rows of all pieces.
#[inline(always)]
fn rows(pieces: &[Piece]) -> u64 {
    pieces.iter().map(|&(start, end)| end.saturating_sub(start)).sum()
}

/// The one-child of each piece into `out`; the pieces themselves become the zero-children.
#[inline(always)]
fn split<S: WordSelect>(
    level: &BitVector,
    select: S,
    view: &View<'_>,
    pieces: &mut [Piece],
    out: &mut [Piece],
) -> Result<()> {
    let zeros = level.len() - level.ones();
    for (piece, ones) in pieces.iter_mut().zip(out) {
        let (start, end) = *piece;
        let first = level.rank1(select, view, start)?;
        let last = if end > start {
            level.rank1(select, view, end)?.max(first)
        } else {
            first
        };
        *ones = (zeros + first, zeros + last);
        *piece = (start - first, (end.max(start) - last).max(start - first));
    }
    Ok(())
}

impl Wavelet {
    /// The code at `position`, minus the smallest.
    #[inline(always)]
    pub(super) fn access<S: WordSelect>(&self, select: S, view: &View<'_>, position: u64) -> Result<u64> {
        let (mut at, mut value) = (position, 0u64);
        if let Some(top) = &self.top {
            (value, at) = top.access_here(select, view, at)?;
        }
        for level in &self.levels {
            let (bit, ones) = level.access_here(select, view, at)?;
            at = if bit {
                level.len() - level.ones() + ones
            } else {
                at - ones
            };
            // A damaged file may point one past the end.
            at = at.min(self.len - 1);
            value = value << 1 | u64::from(bit);
        }
        let planes = self.planes.count();
        if planes == 0 {
            return Ok(value);
        }
        // Shifted in two steps: there may be 64 planes.
        Ok(value << (planes - 1) << 1 | self.planes.value(select, view, at)?)
    }

    /// The symbol that the top has for `code`.
    #[inline(always)]
    fn symbol(&self, code: u64) -> usize {
        code.checked_shr(self.below_top()).unwrap_or(0) as usize
    }

    #[inline(always)]
    fn bit(&self, code: u64, level: usize) -> bool {
        let shift = self.planes.count() as usize + self.levels.len() - 1 - level;
        code >> shift & 1 == 1
    }

    /// The bits of `code` that the planes hold.
    #[inline(always)]
    fn low_bits(&self, code: u64) -> u64 {
        match self.planes.count() {
            64 => code,
            planes => code & ((1 << planes) - 1),
        }
    }

    /// Codes from `low` to `high` (both included, at most the largest here) in `ranges`.
    #[inline(always)]
    pub(super) fn count_local<S: WordSelect>(
        &self,
        select: S,
        ranges: &[Range<u64>],
        low: u64,
        high: u64,
    ) -> Result<u64> {
        if let [range] = ranges {
            let (mut pieces, mut ones) = ([(range.start, range.end)], [(0, 0)]);
            return self.count_pieces(select, &mut pieces, &mut ones, low, high);
        }
        let mut pieces: Vec<Piece> = ranges.iter().map(|range| (range.start, range.end)).collect();
        let mut ones = vec![(0, 0); pieces.len()];
        self.count_pieces(select, &mut pieces, &mut ones, low, high)
    }

    #[inline(always)]
    fn count_pieces<S: WordSelect>(
        &self,
        select: S,
        pieces: &mut [Piece],
        ones: &mut [Piece],
        low: u64,
        high: u64,
    ) -> Result<u64> {
        if low == 0 && high >= self.span {
            return Ok(rows(pieces));
        }
        let view = self.view();
        if let Some(top) = &self.top {
            let (first, last) = (self.symbol(low), self.symbol(high));
            if first != last {
                let between = top.split(select, &view, pieces, ones, first, last)?;
                let mut spare = ones.to_vec();
                let above = self.count_side(select, &view, pieces, &mut spare, 0, low, true)?;
                let below = self.count_side(select, &view, ones, &mut spare, 0, high, false)?;
                return Ok(above + between + below);
            }
            top.descend(select, &view, pieces, first)?;
            if rows(pieces) == 0 {
                return Ok(0);
            }
        }
        for (index, level) in self.levels.iter().enumerate() {
            let (low_bit, high_bit) = (self.bit(low, index), self.bit(high, index));
            split(level, select, &view, pieces, ones)?;
            if low_bit != high_bit {
                // From here on the zero-children hold codes below `high`, the one-children codes above `low`.
                let mut spare = ones.to_vec();
                let above = self.count_side(select, &view, pieces, &mut spare, index + 1, low, true)?;
                return Ok(above + self.count_side(select, &view, ones, &mut spare, index + 1, high, false)?);
            }
            if high_bit {
                pieces.copy_from_slice(ones);
            }
            if rows(pieces) == 0 {
                return Ok(0);
            }
        }
        self.count_leaf(&view, pieces, self.low_bits(low), self.low_bits(high))
    }

    /// Codes at or above (`above`) or at or below `bound` in pieces of level `from`, whose nodes hold the bound.
    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "one step of a descent, inlined")]
    fn count_side<S: WordSelect>(
        &self,
        select: S,
        view: &View<'_>,
        pieces: &mut [Piece],
        ones: &mut [Piece],
        from: usize,
        bound: u64,
        above: bool,
    ) -> Result<u64> {
        let mut total = 0;
        for (index, level) in self.levels.iter().enumerate().skip(from) {
            if rows(pieces) == 0 {
                return Ok(total);
            }
            split(level, select, view, pieces, ones)?;
            match (self.bit(bound, index), above) {
                (true, true) => pieces.copy_from_slice(ones),
                (false, true) => total += rows(ones),
                (true, false) => {
                    total += rows(pieces);
                    pieces.copy_from_slice(ones);
                }
                (false, false) => {}
            }
        }
        let bound = self.low_bits(bound);
        let (low, high) = if above { (bound, u64::MAX) } else { (0, bound) };
        Ok(total + self.count_leaf(view, pieces, low, high)?)
    }

    #[inline(always)]
    fn count_leaf(&self, view: &View<'_>, pieces: &[Piece], low: u64, high: u64) -> Result<u64> {
        let mut total = 0;
        for &(start, end) in pieces {
            total += self.planes.count_between(view, start..end, low, high)?;
        }
        Ok(total)
    }

    /// The `k`-th smallest code of `ranges` minus the smallest of all, and how many are smaller than it.
    #[inline(always)]
    pub(super) fn quantile_local<S: WordSelect>(
        &self,
        select: S,
        ranges: &[Range<u64>],
        k: u64,
    ) -> Result<(u64, u64)> {
        if let [range] = ranges {
            let (mut pieces, mut ones) = ([(range.start, range.end)], [(0, 0)]);
            return self.quantile_pieces(select, &mut pieces, &mut ones, k);
        }
        let mut pieces: Vec<Piece> = ranges.iter().map(|range| (range.start, range.end)).collect();
        let mut ones = vec![(0, 0); pieces.len()];
        self.quantile_pieces(select, &mut pieces, &mut ones, k)
    }

    #[inline(always)]
    fn quantile_pieces<S: WordSelect>(
        &self,
        select: S,
        pieces: &mut [Piece],
        ones: &mut [Piece],
        mut k: u64,
    ) -> Result<(u64, u64)> {
        let view = self.view();
        let (mut value, mut less) = (0u64, 0);
        if let Some(top) = &self.top {
            (value, less) = top.quantile(select, &view, pieces, k)?;
            k = k.saturating_sub(less);
        }
        for level in &self.levels {
            split(level, select, &view, pieces, ones)?;
            let zeros = rows(pieces);
            let bit = k >= zeros;
            if bit {
                k -= zeros;
                less += zeros;
                pieces.copy_from_slice(ones);
            }
            value = value << 1 | u64::from(bit);
        }
        let planes = self.planes.count();
        if planes == 0 {
            return Ok((value, less));
        }
        let (low, before) = self.planes.quantile(select, &view, pieces, k)?;
        Ok((value << (planes - 1) << 1 | low, less + before))
    }
}
