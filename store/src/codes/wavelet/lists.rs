//! Many answers from one question, level by level: positions, buckets, distinct codes.
//!
//! Going level by level over all of them keeps a level's directory in the nearest cache, and the reads of neighbours
//! independent of each other.

#![allow(
    clippy::cast_possible_truncation,
    reason = "fewer than 2^31 codes, at most 64 levels"
)]

use std::ops::Range;

use super::Wavelet;
use super::decode::Decoder;
use crate::bits::words::WordSelect;
use crate::codes::Interval;
use crate::codes::simd::Path;
use crate::error::Result;
use crate::section::View;

/// Rows for each position asked, up to which decoding all of them is faster than asking.
const DECODE_ROWS_A_POSITION: u64 = 40;
/// Rows of a leaf up to which its codes are gathered and sorted.
const LEAF_ROWS: u64 = 1 << 16;
/// Positions that one pass over the levels holds.
const BATCH: usize = 4096;
/// How many positions ahead a level's directory is fetched.
const AHEAD: usize = 8;

/// A node of the levels: the first level below it, the bits above, and where its rows are.
struct Node {
    level: usize,
    prefix: u64,
    pieces: Vec<(u64, u64)>,
}

impl Wavelet {
    /// The codes at sorted positions, which exist.
    #[inline(always)]
    pub(super) fn get_many<S: WordSelect>(
        &self,
        select: S,
        positions: &[u64],
        out: &mut [u64],
    ) -> Result<()> {
        let view = self.view();
        let mut rows = Vec::new();
        for (positions, out) in positions.chunks(BATCH).zip(out.chunks_mut(BATCH)) {
            let (first, last) = (positions[0], positions[positions.len() - 1]);
            if last >= first && last - first < DECODE_ROWS_A_POSITION * positions.len() as u64 {
                rows.clear();
                rows.resize((last - first + 1) as usize, 0);
                self.decode_range(Path::best(), first..last + 1, &mut rows)?;
                for (place, &position) in out.iter_mut().zip(positions) {
                    *place = rows
                        .get(position.wrapping_sub(first) as usize)
                        .copied()
                        .unwrap_or(0);
                }
                continue;
            }
            self.get_batch(select, &view, positions, out)?;
        }
        Ok(())
    }

    #[inline(always)]
    fn get_batch<S: WordSelect>(
        &self,
        select: S,
        view: &View<'_>,
        positions: &[u64],
        out: &mut [u64],
    ) -> Result<()> {
        let mut rows = positions.to_vec();
        out.fill(0);
        if let Some(top) = &self.top {
            for (row, value) in rows.iter_mut().zip(out.iter_mut()) {
                (*value, *row) = top.access(select, view, *row)?;
            }
        }
        for level in &self.levels {
            let zeros = level.len() - level.ones();
            for at in 0..rows.len() {
                if let Some(&ahead) = rows.get(at + AHEAD) {
                    level.prefetch(select, view, ahead);
                }
                let (row, value) = (&mut rows[at], &mut out[at]);
                let (bit, ones) = level.access(select, view, *row)?;
                // A damaged file may point one past the end.
                *row = (if bit { zeros + ones } else { *row - ones }).min(self.len - 1);
                *value = *value << 1 | u64::from(bit);
            }
        }
        let planes = self.planes.count();
        for (&row, value) in rows.iter().zip(out.iter_mut()) {
            if planes > 0 {
                *value = *value << (planes - 1) << 1 | self.planes.value(select, view, row)?;
            }
            *value = self.code(*value);
        }
        Ok(())
    }

    /// The `k`-th smallest code of each range, which holds more than `k`.
    #[inline(always)]
    pub(super) fn quantile_many<S: WordSelect>(
        &self,
        select: S,
        ranges: &[Range<u64>],
        ks: &[u64],
    ) -> Result<Vec<u64>> {
        let view = self.view();
        let mut pieces: Vec<(u64, u64)> = ranges.iter().map(|range| (range.start, range.end)).collect();
        let mut ks = ks.to_vec();
        let mut values = vec![0u64; pieces.len()];
        if let Some(top) = &self.top {
            top.quantile_each(select, &view, &mut pieces, &mut ks, &mut values)?;
        }
        for level in &self.levels {
            let zeros = level.len() - level.ones();
            // Neighbours often share a border.
            let mut last = (0, 0);
            for at in 0..pieces.len() {
                if let Some(&(start, end)) = pieces.get(at + AHEAD) {
                    level.prefetch(select, &view, start);
                    level.prefetch(select, &view, end);
                }
                let (piece, k, value) = (&mut pieces[at], &mut ks[at], &mut values[at]);
                let (start, end) = *piece;
                let first = if start == last.0 {
                    last.1
                } else {
                    level.rank1(select, &view, start)?
                };
                let behind = level.rank1(select, &view, end)?.max(first);
                last = (end, behind);
                let (low, high) = (start - first, (end - behind).max(start - first));
                let bit = *k >= high - low;
                *piece = if bit {
                    (zeros + first, zeros + behind)
                } else {
                    (low, high)
                };
                *k -= if bit { high - low } else { 0 };
                *value = *value << 1 | u64::from(bit);
            }
        }
        let planes = self.planes.count();
        for ((piece, &k), value) in pieces.iter().zip(&ks).zip(values.iter_mut()) {
            if planes > 0 {
                let low = self
                    .planes
                    .quantile(select, &view, std::slice::from_ref(piece), k)?
                    .0;
                *value = *value << (planes - 1) << 1 | low;
            }
            *value = self.code(*value);
        }
        Ok(values)
    }

    /// Distinct codes of `ranges` from `low` to `high` (both included, as differences) and how often each occurs.
    #[inline(always)]
    pub(super) fn list_distinct<S: WordSelect>(
        &self,
        select: S,
        ranges: &[Range<u64>],
        bounds: (u64, u64),
        limit: usize,
    ) -> Result<Vec<(u64, u64)>> {
        let view = self.view();
        let mut out = Vec::new();
        let pieces: Vec<_> = ranges
            .iter()
            .map(|range| (range.start, range.end))
            .filter(|p| p.0 < p.1)
            .collect();
        let mut stack = match &self.top {
            None => vec![Node {
                level: 0,
                prefix: 0,
                pieces,
            }],
            Some(top) => {
                let nodes = (0u64..).zip(top.children(select, &view, &pieces)?);
                let mut nodes: Vec<Node> = nodes
                    .map(|(prefix, pieces)| Node {
                        level: 0,
                        prefix,
                        pieces,
                    })
                    .collect();
                // The smallest is taken first.
                nodes.reverse();
                nodes
            }
        };
        while let Some(node) = stack.pop() {
            if out.len() >= limit {
                break;
            }
            if node.pieces.is_empty() || !self.meets(&node, bounds) {
                continue;
            }
            let Some(level) = self.levels.get(node.level) else {
                self.list_leaf(select, &view, &node, bounds, limit, &mut out)?;
                continue;
            };
            let zeros = level.len() - level.ones();
            let (mut low, mut high) = (
                Vec::with_capacity(node.pieces.len()),
                Vec::with_capacity(node.pieces.len()),
            );
            for &(start, end) in &node.pieces {
                let first = level.rank1(select, &view, start)?;
                let last = level.rank1(select, &view, end)?.max(first);
                low.push((start - first, end - last));
                high.push((zeros + first, zeros + last));
            }
            for (bit, mut pieces) in [(1, high), (0, low)] {
                pieces.retain(|piece| piece.0 < piece.1);
                stack.push(Node {
                    level: node.level + 1,
                    prefix: node.prefix << 1 | bit,
                    pieces,
                });
            }
        }
        out.truncate(limit);
        Ok(out)
    }

    /// Whether the codes below a node may lie in `bounds`.
    fn meets(&self, node: &Node, bounds: (u64, u64)) -> bool {
        let below = self.planes.count() as usize + self.levels.len() - node.level;
        if below == 64 {
            return true;
        }
        let first = node.prefix << below;
        first <= bounds.1 && first | ((1 << below) - 1) >= bounds.0
    }

    #[inline(always)]
    fn list_leaf<S: WordSelect>(
        &self,
        select: S,
        view: &View<'_>,
        node: &Node,
        bounds: (u64, u64),
        limit: usize,
        out: &mut Vec<(u64, u64)>,
    ) -> Result<()> {
        let planes = self.planes.count();
        if planes == 0 {
            out.push((
                self.code(node.prefix),
                node.pieces.iter().map(|piece| piece.1 - piece.0).sum(),
            ));
            return Ok(());
        }
        let high = node.prefix << (planes - 1) << 1;
        let rows: u64 = node.pieces.iter().map(|piece| piece.1 - piece.0).sum();
        if rows > LEAF_ROWS {
            return self.list_large_leaf(select, view, node, bounds, limit, out);
        }
        let mut values = Vec::new();
        for &(start, end) in &node.pieces {
            for row in start..end {
                let value = high | self.planes.value(select, view, row)?;
                if bounds.0 <= value && value <= bounds.1 {
                    values.push(value);
                }
            }
        }
        values.sort_unstable();
        for group in values.chunk_by(|a, b| a == b).take(limit - out.len()) {
            out.push((self.code(group[0]), group.len() as u64));
        }
        Ok(())
    }

    /// The same for a leaf whose rows are not to be held in memory: one value after the other.
    #[inline(always)]
    fn list_large_leaf<S: WordSelect>(
        &self,
        select: S,
        view: &View<'_>,
        node: &Node,
        bounds: (u64, u64),
        limit: usize,
        out: &mut Vec<(u64, u64)>,
    ) -> Result<()> {
        let high = node.prefix << (self.planes.count() - 1) << 1;
        let rows: u64 = node.pieces.iter().map(|piece| piece.1 - piece.0).sum();
        let count = |low: u64, high: u64| -> Result<u64> {
            let mut total = 0;
            for &(start, end) in &node.pieces {
                total += self.planes.count_between(view, start..end, low, high)?;
            }
            Ok(total)
        };
        let mut k = match bounds.0.saturating_sub(high).checked_sub(1) {
            Some(below) => count(0, below)?,
            None => 0,
        };
        while k < rows && out.len() < limit {
            let (low, _) = self.planes.quantile(select, view, &node.pieces, k)?;
            if high | low > bounds.1 {
                break;
            }
            let found = count(low, low)?.max(1);
            out.push((self.code(high | low), found));
            k += found;
        }
        Ok(())
    }

    /// Sets the bits of `words` for the rows of `range` that lie in `interval`, part by part.
    pub(super) fn select_words(
        &self,
        range: Range<u64>,
        interval: Interval,
        bounds: (u64, u64),
        words: &mut [u64],
        part_rows: u64,
    ) -> Result<()> {
        let view = self.view();
        let mut decoder = Decoder::new(Path::best());
        let mut start = range.start;
        for words in words.chunks_mut((part_rows / 64) as usize) {
            let end = range.end.min(start + part_rows);
            // A count is far cheaper than the rows: parts without any, and parts with all, are common in sorted data.
            let found = super::Codes::count(self, std::slice::from_ref(&(start..end)), interval)?;
            if found == end - start {
                words.fill(u64::MAX);
                if let (Some(last), true) = (words.last_mut(), (end - start) % 64 != 0) {
                    *last = (1 << ((end - start) % 64)) - 1;
                }
            } else if found > 0 {
                self.decode_part(&view, start..end, &mut decoder)?;
                decoder.codes().within(bounds.0, bounds.1, words);
            }
            start = end;
        }
        Ok(())
    }
}
