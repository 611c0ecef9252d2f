//! Bulk decode: one merge a level over all wanted rows, on elements as narrow as the bits known so far.
//!
//! Going down, the bits of each level are gathered for the wanted rows, all the zero-children before the one-children:
//! a small wavelet matrix of its own. Going up, each level's bits say from which half the next element comes.

#![allow(
    clippy::cast_possible_truncation,
    reason = "fewer than 2^31 codes, at most 64 levels"
)]

use std::ops::Range;

use super::Wavelet;
use crate::bits::vector::Cursor;
use crate::bits::words::BitString;
use crate::codes::merge::{self, Merger};
use crate::codes::simd::{Path, fast};
use crate::error::Result;
use crate::section::View;

/// Rows that a decode holds bit strings for at a time.
const DECODE_ROWS: u64 = 1 << 20;

impl Wavelet {
    pub(super) fn decode_range(&self, path: Path, range: Range<u64>, out: &mut [u64]) -> Result<()> {
        let view = self.view();
        let mut merger = Merger::new(path);
        let mut start = range.start;
        let mut rest = out;
        while start < range.end {
            let end = range.end.min(start + DECODE_ROWS);
            let (here, behind) = rest.split_at_mut((end - start) as usize);
            self.decode_part(&view, start..end, &mut merger)?;
            merger.finish(self.base, here);
            rest = behind;
            start = end;
        }
        Ok(())
    }

    /// Leaves the rows of `range`, minus the smallest code, in `merger`.
    pub(super) fn decode_part(&self, view: &View<'_>, range: Range<u64>, merger: &mut Merger) -> Result<()> {
        let count = (range.end - range.start) as usize;
        let (levels, pieces) = fast!(select => {
            let _ = select;
            self.gather_levels(view, range)
        })?;
        self.planes.fill(view, &pieces, count, merger)?;
        for (index, bits) in levels.iter().rev().enumerate() {
            merger.level(self.planes.count() + index as u32, bits.words());
        }
        Ok(())
    }

    /// The bits of each level for the rows of `range`, and where those rows are in leaf order.
    #[inline(always)]
    fn gather_levels(&self, view: &View<'_>, range: Range<u64>) -> Result<(Vec<BitString>, Vec<Range<u64>>)> {
        let count = (range.end - range.start) as usize;
        let mut pieces = vec![range];
        let mut ones = Vec::new();
        let mut levels = Vec::with_capacity(self.levels.len());
        for level in &self.levels {
            let mut bits = BitString::with_capacity(count);
            let mut zeros: Vec<Range<u64>> = Vec::with_capacity(pieces.len() * 2);
            let mut cursor = Cursor::default();
            ones.clear();
            for piece in &pieces {
                let first = bits.len();
                let before = level.gather(view, &mut cursor, piece.clone(), &mut bits)?;
                // Counted from the bits, so that lengths agree even if a damaged directory says otherwise.
                let set = merge::count_ones(bits.words(), first..bits.len());
                let start = piece.start - before;
                push_joined(&mut zeros, start..start + (piece.end - piece.start - set));
                let start = level.len() - level.ones() + before;
                push_joined(&mut ones, start..start + set);
            }
            for piece in ones.drain(..) {
                push_joined(&mut zeros, piece);
            }
            if let Some(piece) = zeros.iter().find(|piece| piece.end > self.len) {
                return Err(view.corrupt(0, format!("a level leads to row {} of {}", piece.end, self.len)));
            }
            pieces = zeros;
            levels.push(bits);
        }
        Ok((levels, pieces))
    }
}

#[inline(always)]
fn push_joined(pieces: &mut Vec<Range<u64>>, piece: Range<u64>) {
    match pieces.last_mut() {
        _ if piece.start >= piece.end => {}
        Some(last) if last.end == piece.start => last.end = piece.end,
        _ => pieces.push(piece),
    }
}
