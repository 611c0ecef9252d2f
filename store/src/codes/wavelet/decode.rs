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
use crate::bits::vector::Packed;
use crate::bits::words::{Portable, WordSelect};
use crate::codes::merge::{Merger, Run};
use crate::codes::simd::{Path, fast};
use crate::error::Result;
use crate::section::View;

/// Rows that a decode holds at a time: their elements and bits then stay in a core's cache.
const DECODE_ROWS: u64 = 1 << 18;

/// What a decode keeps from one part to the next.
#[derive(Debug)]
pub(super) struct Decoder {
    merger: Merger,
    /// The symbols of the top.
    runs: Vec<Run>,
    /// The bits of each level.
    levels: Vec<Packed>,
    pieces: Vec<Range<u64>>,
    zeros: Vec<Range<u64>>,
    ones: Vec<Range<u64>>,
}

impl Decoder {
    pub(super) fn new(path: Path) -> Decoder {
        Decoder {
            merger: Merger::new(path),
            runs: Vec::new(),
            levels: Vec::new(),
            pieces: Vec::new(),
            zeros: Vec::new(),
            ones: Vec::new(),
        }
    }

    /// The rows decoded last, minus the smallest code.
    pub(super) fn codes(&self) -> &Merger {
        &self.merger
    }
}

impl Wavelet {
    pub(super) fn decode_range(&self, path: Path, range: Range<u64>, out: &mut [u64]) -> Result<()> {
        let view = self.view();
        let mut decoder = Decoder::new(path);
        let mut start = range.start;
        for out in out.chunks_mut(DECODE_ROWS as usize) {
            let end = range.end.min(start + DECODE_ROWS);
            self.decode_part(&view, start..end, &mut decoder)?;
            decoder.codes().finish(self.base, out);
            start = end;
        }
        Ok(())
    }

    /// Leaves the rows of `range`, minus the smallest code, in `decoder`.
    pub(super) fn decode_part(
        &self,
        view: &View<'_>,
        range: Range<u64>,
        decoder: &mut Decoder,
    ) -> Result<()> {
        let count = (range.end - range.start) as usize;
        if count == 0 {
            return Ok(());
        }
        decoder.levels.resize_with(self.levels.len(), Packed::default);
        match decoder.merger.path() {
            Path::Portable => self.gather_levels(Portable, view, range, decoder),
            _ => fast!(select => self.gather_levels(select, view, range, decoder)),
        }?;
        let (planes, levels) = (self.planes.count(), self.levels.len() as u32);
        let top = self.top.map_or(0, |top| top.bits());
        self.planes
            .fill(view, &decoder.pieces, count, levels + top, &mut decoder.merger)?;
        for (bit, bits) in (planes..).zip(decoder.levels.iter().rev()) {
            decoder.merger.level(bit, bits.words());
        }
        if top > 0 {
            decoder.merger.symbols(planes + levels, top, &decoder.runs);
        }
        Ok(())
    }

    /// The bits of each level for the rows of `range`, and where those rows are in leaf order.
    #[inline(always)]
    fn gather_levels<S: WordSelect>(
        &self,
        select: S,
        view: &View<'_>,
        range: Range<u64>,
        decoder: &mut Decoder,
    ) -> Result<()> {
        let count = (range.end - range.start) as usize;
        let path = decoder.merger.path();
        let Decoder {
            runs,
            levels,
            pieces,
            zeros,
            ones,
            ..
        } = decoder;
        pieces.clear();
        match &self.top {
            None => pieces.push(range),
            Some(top) => {
                runs.clear();
                top.gather(select, view, range, runs, |piece| push_joined(pieces, piece))?;
            }
        }
        for (level, bits) in self.levels.iter().zip(levels) {
            bits.reset(count);
            zeros.clear();
            ones.clear();
            let half = level.len() - level.ones();
            // Counted from the bits, so that lengths agree even if a damaged directory says otherwise.
            level.gather(view, path, pieces, bits, |piece, before, set| {
                let start = piece.start - before;
                push_joined(zeros, start..start + (piece.end - piece.start - set));
                let start = half + before;
                push_joined(ones, start..start + set);
            })?;
            for piece in ones.drain(..) {
                push_joined(zeros, piece);
            }
            if let Some(piece) = zeros.iter().find(|piece| piece.end > self.len) {
                return Err(view.corrupt(0, format!("a level leads to row {} of {}", piece.end, self.len)));
            }
            std::mem::swap(pieces, zeros);
        }
        Ok(())
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
