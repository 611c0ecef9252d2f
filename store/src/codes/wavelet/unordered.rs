//! The codes of short ranges in no particular order: a descent through all nodes that hold any of their rows.
//!
//! What adds, or looks for an extreme, needs no order, and so none of the merges that decoding ends with, and no bits of
//! any level: two ranks for each node and level, one access where a node holds one row.

#![allow(
    clippy::cast_possible_truncation,
    reason = "fewer than 2^31 codes, at most 64 levels"
)]

use std::ops::Range;

use super::Wavelet;
use crate::bits::words::WordSelect;
use crate::codes::merge::Merger;
use crate::codes::simd::Path;
use crate::error::Result;

/// Rows for each piece of leaves, up to which planes are read row by row.
const FEW_ROWS: usize = 3;

/// Rows of one node: where they are, and the bits above.
struct Piece {
    start: u64,
    end: u64,
    prefix: u64,
}

impl Wavelet {
    /// Appends the codes at `ranges`, which hold `rows` rows.
    #[inline(always)]
    pub(super) fn list_rows<S: WordSelect>(
        &self,
        select: S,
        ranges: &[Range<u64>],
        rows: usize,
        out: &mut Vec<u64>,
    ) -> Result<()> {
        let view = self.view();
        let mut pieces: Vec<Piece> = Vec::with_capacity(rows.min(1024));
        pieces.extend(
            ranges
                .iter()
                .filter(|range| !range.is_empty())
                .map(|range| Piece {
                    start: range.start,
                    end: range.end,
                    prefix: 0,
                }),
        );
        let mut next = Vec::with_capacity(rows.min(1024));
        if let Some(top) = &self.top {
            for piece in &pieces {
                top.list(select, &view, piece.start..piece.end, |symbol, rows| {
                    next.push(Piece {
                        start: rows.start,
                        end: rows.end,
                        prefix: symbol,
                    });
                })?;
            }
            std::mem::swap(&mut pieces, &mut next);
        }
        for level in &self.levels {
            let zeros = level.len() - level.ones();
            next.clear();
            for piece in &pieces {
                let (start, count, prefix) = (piece.start, piece.end - piece.start, piece.prefix << 1);
                if count == 1 {
                    let (bit, ones) = level.access(select, &view, start)?;
                    // A damaged file may point one past the end.
                    let at = (if bit {
                        zeros + ones
                    } else {
                        start.saturating_sub(ones)
                    })
                    .min(self.len - 1);
                    next.push(Piece {
                        start: at,
                        end: at + 1,
                        prefix: prefix | u64::from(bit),
                    });
                    continue;
                }
                let first = level.rank1(select, &view, start)?.min(start);
                let ones = level
                    .rank1(select, &view, piece.end)?
                    .saturating_sub(first)
                    .min(count);
                // The same: rows are kept within the level.
                let mut push = |start: u64, count: u64, bit: u64| {
                    let start = start.min(self.len - count);
                    next.push(Piece {
                        start,
                        end: start + count,
                        prefix: prefix | bit,
                    });
                };
                if ones < count {
                    push(start - first, count - ones, 0);
                }
                if ones > 0 {
                    push(zeros + first, ones, 1);
                }
            }
            std::mem::swap(&mut pieces, &mut next);
        }
        let planes = self.planes.count();
        let from = out.len();
        if planes == 0 {
            for piece in &pieces {
                let code = self.code(piece.prefix);
                out.extend((piece.start..piece.end).map(|_| code));
            }
            return Ok(());
        }
        let high = |piece: &Piece| self.code(piece.prefix << (planes - 1) << 1);
        if pieces.len() * FEW_ROWS >= rows {
            for piece in &pieces {
                let high = high(piece);
                for row in piece.start..piece.end {
                    out.push(high.wrapping_add(self.planes.value(select, &view, row)?));
                }
            }
            return Ok(());
        }
        let leaves: Vec<Range<u64>> = pieces.iter().map(|piece| piece.start..piece.end).collect();
        let mut merger = Merger::new(Path::best());
        self.planes.fill(&view, &leaves, rows, 0, &mut merger)?;
        out.resize(from + rows, 0);
        let mut slots = out.get_mut(from..).unwrap_or_default();
        merger.finish(0, slots);
        for piece in &pieces {
            let count = ((piece.end - piece.start) as usize).min(slots.len());
            let (here, behind) = slots.split_at_mut(count);
            let high = high(piece);
            here.iter_mut().for_each(|slot| *slot = high.wrapping_add(*slot));
            slots = behind;
        }
        Ok(())
    }
}
