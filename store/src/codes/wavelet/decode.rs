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
use crate::bits::words::{BitString, Portable};
use crate::codes::Interval;
use crate::codes::merge::{self, Merger};
use crate::codes::simd::Path;
use crate::error::Result;
use crate::rows::Mask;
use crate::section::View;

/// Rows that a selection decodes at a time.
const SELECT_ROWS: u64 = 64 * 1024;

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

    pub(super) fn select_range(&self, range: Range<u64>, interval: Interval, mask: &mut Mask) -> Result<()> {
        let mut codes = vec![0; SELECT_ROWS.min(range.end - range.start) as usize];
        let mut start = range.start;
        while start < range.end {
            let end = range.end.min(start + SELECT_ROWS);
            let here = &mut codes[..(end - start) as usize];
            self.decode_range(Path::best(), start..end, here)?;
            let words = &mut mask.as_raw_mut_slice()[((start - range.start) / 64) as usize..];
            for (word, group) in words.iter_mut().zip(here.chunks(64)) {
                let mut bits = 0;
                for (i, &code) in group.iter().enumerate() {
                    bits |= u64::from(interval.contains(code)) << i;
                }
                *word |= bits;
            }
            start = end;
        }
        Ok(())
    }

    /// Leaves the rows of `range`, minus the smallest code, in `merger`.
    fn decode_part(&self, view: &View<'_>, range: Range<u64>, merger: &mut Merger) -> Result<()> {
        let count = (range.end - range.start) as usize;
        let mut pieces = vec![range];
        let mut ones = Vec::new();
        let mut levels = Vec::with_capacity(self.levels.len());
        for level in &self.levels {
            let mut bits = BitString::with_capacity(count);
            let mut zeros: Vec<Range<u64>> = Vec::with_capacity(pieces.len());
            ones.clear();
            for piece in &pieces {
                let before = level.rank1(Portable, view, piece.start)?;
                let first = bits.len();
                level.expand(view, piece.clone(), &mut bits)?;
                // Counted from the bits, so that lengths agree even if a damaged directory says otherwise.
                let set = merge::ones(bits.words(), first..bits.len());
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
        self.planes.fill(view, &pieces, count, merger)?;
        for (index, bits) in levels.iter().rev().enumerate() {
            merger.level(self.planes.count() + index as u32, bits.words());
        }
        Ok(())
    }
}

fn push_joined(pieces: &mut Vec<Range<u64>>, piece: Range<u64>) {
    match pieces.last_mut() {
        _ if piece.start >= piece.end => {}
        Some(last) if last.end == piece.start => last.end = piece.end,
        _ => pieces.push(piece),
    }
}
