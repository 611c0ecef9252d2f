//! The matrix as a tree of intervals: a level halves a node by two ranks a range, a plane by the bits of its rows.
//!
//! A top of symbols is passed at the root, for all symbols at once; the halves of a node in it are parts of the list that
//! this gave. Above the leaves a place is a range of rows in the order of the node's level; inside a leaf it is a group of 64 rows
//! in leaf order and which of them are the node's. Groups without rows are dropped, so a node of few rows is short.

#![allow(
    clippy::cast_possible_truncation,
    reason = "fewer than 2^31 codes, at most 64 levels"
)]

use std::ops::Range;

use super::Wavelet;
use super::leaf::window;
use super::planes::{Plane, word_of};
use super::top::{Counts, MAX_BITS, Top};
use crate::bits::words::WordSelect;
use crate::codes::simd::fast;
use crate::codes::tree::{Node, Place, Tree};
use crate::codes::{check_ranges, count_rows};
use crate::error::Result;
use crate::section::View;

/// How many places ahead a level's directory is fetched.
const AHEAD: usize = 8;

/// Rows from which on a matrix is not taken to be in the nearest cache.
const FETCHED_ROWS: u64 = 1 << 18;

/// The node's places are groups of 64 rows, not ranges.
const IN_GROUPS: u32 = 1 << 31;

/// The top is not passed yet: the node's places are ranges of rows below it, in the order of their symbols.
const IN_TOP: u32 = 1 << 30;

/// The matrix with its bytes looked up once.
pub(super) struct Cursor<'a> {
    matrix: &'a Wavelet,
    view: View<'a>,
    /// Where the first row of each symbol of the top stands below it.
    starts: Vec<u32>,
}

impl<'a> Cursor<'a> {
    /// # Errors
    /// `Corrupt` for a damaged top.
    pub(super) fn new(matrix: &'a Wavelet) -> Result<Cursor<'a>> {
        let view = matrix.view();
        let mut starts = Vec::new();
        if let Some(top) = &matrix.top {
            let mut counts: Counts = [0; 1 << MAX_BITS];
            fast!(select => top.counts(select, &view, 0, &mut counts))?;
            starts.extend_from_slice(counts.get(..top.symbols()).unwrap_or_default());
        }
        Ok(Cursor { matrix, view, starts })
    }

    /// The two halves of a node in the top: rows below it stand in the order of their symbols.
    fn split_top(&self, node: &Node, from: &[Place], to: &mut Vec<Place>) -> [Node; 2] {
        let middle = node.low.wrapping_sub(self.matrix.base) + (1 << (node.bits - 1));
        let border = self.starts.get(self.symbol(middle)).copied().unwrap_or(u32::MAX);
        let places = node.places(from);
        let cut = places.partition_point(|place| place.0 < u64::from(border));
        let rows =
            |places: &[Place]| -> u64 { places.iter().map(|&(start, end)| end.saturating_sub(start)).sum() };
        let [mut below, mut above] = halves(node, rows(places.get(..cut).unwrap_or_default()));
        let start = to.len();
        to.extend_from_slice(places);
        below.places = start..start + cut;
        above.places = start + cut..to.len();
        if below.bits == self.matrix.below_top() {
            (below.state, above.state) = (0, 0);
        }
        [below, above]
    }

    /// The symbol of a code, given as the difference from the smallest.
    fn symbol(&self, local: u64) -> usize {
        local.checked_shr(self.matrix.below_top()).unwrap_or(0) as usize
    }

    /// The rows of ranges below the top, in the order of their symbols.
    fn below_top(&self, top: &Top, ranges: &[Range<u64>], places: &mut Vec<Place>) -> Result<u64> {
        let pieces: Vec<Place> = ranges
            .iter()
            .filter(|range| range.start < range.end)
            .map(|range| (range.start, range.end))
            .collect();
        let children = fast!(select => top.children(select, &self.view, &pieces))?;
        let mut rows = 0;
        for place in children.into_iter().flatten().filter(|place| place.0 < place.1) {
            rows += place.1 - place.0;
            places.push(place);
        }
        Ok(rows)
    }

    #[inline(always)]
    fn split_level<S: WordSelect>(
        &self,
        select: S,
        node: &Node,
        from: &[Place],
        to: &mut Vec<Place>,
    ) -> Result<[Node; 2]> {
        let view = &self.view;
        let level = &self.matrix.levels[node.state as usize];
        let zeros = level.len() - level.ones();
        let places = node.places(from);
        let start = to.len();
        // The ones are put behind as much room as the zeros can need.
        to.resize(start + 2 * places.len(), (0, 0));
        let (low, high) = to.get_mut(start..).unwrap_or_default().split_at_mut(places.len());
        let (mut lows, mut highs, mut low_rows) = (0, 0, 0);
        let is_far = self.matrix.len >= FETCHED_ROWS;
        // Neighbours often share a border.
        let mut last = (0, 0);
        for (at, &(first, end)) in places.iter().enumerate() {
            if let Some(&(first, end)) = places.get(at + AHEAD) {
                level.prefetch(select, view, first);
                level.prefetch(select, view, end);
            }
            if let (true, Some(&(first, end))) = (is_far, places.get(at + AHEAD / 2)) {
                level.prefetch_unit(select, view, first);
                level.prefetch_unit(select, view, end);
            }
            let before = if first == last.0 {
                last.1
            } else {
                level.rank1(select, view, first)?.min(first)
            };
            let rows = end.saturating_sub(first);
            let behind = level
                .rank1(select, view, end)?
                .clamp(before, before.saturating_add(rows));
            last = (end, behind);
            let ones = behind - before;
            low[lows] = (first - before, first - before + (rows - ones));
            high[highs] = (zeros + before, zeros + behind);
            lows += usize::from(rows > ones);
            highs += usize::from(ones > 0);
            low_rows += rows - ones;
        }
        let [mut below, mut above] = halves(node, low_rows);
        let middle = start + places.len();
        below.places = start..start + lows;
        above.places = middle..middle + highs;
        (below.state, above.state) = (node.state + 1, node.state + 1);
        Ok([below, above])
    }

    /// Calls `found` with each group of rows of a node inside a leaf.
    #[inline(always)]
    fn each_group(
        &self,
        node: &Node,
        places: &[Place],
        mut found: impl FnMut(u64, u64) -> Result<()>,
    ) -> Result<()> {
        if node.state & IN_GROUPS != 0 {
            return places.iter().try_for_each(|&(group, rows)| found(group, rows));
        }
        for &(start, end) in places {
            // A damaged file may point past the end.
            let rows = start.min(self.matrix.len)..end.min(self.matrix.len);
            for group in rows.start / 64..rows.end.div_ceil(64) {
                found(group, window(&rows, group))?;
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn split_plane<S: WordSelect>(
        &self,
        select: S,
        node: &Node,
        from: &[Place],
        to: &mut Vec<Place>,
    ) -> Result<[Node; 2]> {
        let _ = select;
        let plane = node.bits as usize - 1;
        let places = node.places(from);
        let groups = if node.state & IN_GROUPS != 0 {
            places.len()
        } else {
            places
                .iter()
                .map(|&(start, end)| {
                    (end.min(self.matrix.len).div_ceil(64)).saturating_sub(start / 64) as usize
                })
                .sum()
        };
        let start = to.len();
        to.resize(start + 2 * groups, (0, 0));
        let (low, high) = to.get_mut(start..).unwrap_or_default().split_at_mut(groups);
        let (mut lows, mut highs, mut low_rows, mut all) = (0, 0, 0, 0);
        let words = self.plane_words(plane, node, places)?;
        self.each_group(node, places, |group, rows| {
            let word = words.word(self, plane, group)?;
            let (zeros, ones) = (rows & !word, rows & word);
            // There are as many groups as were counted: an index that is none would be a mistake here, not in the file.
            if let (Some(low), Some(high)) = (low.get_mut(lows), high.get_mut(highs)) {
                (*low, *high) = ((group, zeros), (group, ones));
            }
            lows += usize::from(zeros != 0);
            highs += usize::from(ones != 0);
            low_rows += u64::from(zeros.count_ones());
            all += u64::from(rows.count_ones());
            Ok(())
        })?;
        let [mut below, mut above] = halves(node, low_rows);
        // What a damaged file counted may be more than there is.
        above.rows = all - low_rows;
        let middle = start + groups;
        below.places = start..start + lows;
        above.places = middle..middle + highs;
        (below.state, above.state) = (node.state | IN_GROUPS, node.state | IN_GROUPS);
        Ok([below, above])
    }

    /// The words of a raw plane for all groups of a node, looked up once where they lie close together.
    #[inline(always)]
    fn plane_words(&self, plane: usize, node: &Node, places: &[Place]) -> Result<Words<'a>> {
        let (Some(first), Some(last)) = (places.first(), places.last()) else {
            return Ok(Words::Apart);
        };
        let Some(&Plane::Raw(index)) = self.matrix.planes.planes.get(plane) else {
            return Ok(Words::Apart);
        };
        let (from, end, most) = if node.state & IN_GROUPS != 0 {
            (first.0, last.0 + 1, 2 * places.len() as u64)
        } else {
            let end = last.1.min(self.matrix.len).div_ceil(64);
            (first.0 / 64, end, node.rows / 32 + 4)
        };
        if end <= from || end - from > most {
            return Ok(Words::Apart);
        }
        let stride = self.matrix.planes.raw_count as usize * 8;
        let start = self.matrix.planes.start + from * stride as u64;
        let bytes = self.view.bytes(start, (end - from) as usize * stride)?;
        Ok(Words::Together {
            bytes: bytes.get(index as usize * 8..).unwrap_or_default(),
            from,
            stride,
        })
    }
}

/// Where the words of a plane are.
enum Words<'a> {
    Together {
        /// From the plane's first word on.
        bytes: &'a [u8],
        /// Group of that word.
        from: u64,
        stride: usize,
    },
    Apart,
}

impl Words<'_> {
    #[inline(always)]
    fn word(&self, cursor: &Cursor<'_>, plane: usize, group: u64) -> Result<u64> {
        if let Words::Together { bytes, from, stride } = self {
            let at = group.wrapping_sub(*from) as usize * stride;
            if let Some(word) = bytes.get(at..).and_then(|bytes| bytes.first_chunk()) {
                return Ok(u64::from_le_bytes(*word));
            }
        }
        let planes = &cursor.matrix.planes;
        if let Some(&Plane::Raw(index)) = planes.planes.get(plane) {
            let stride = u64::from(planes.raw_count) * 8;
            let start = planes.start + group * stride + u64::from(index) * 8;
            return Ok(word_of(cursor.view.bytes(start, 8)?));
        }
        let mut word = [0];
        planes.load(&cursor.view, plane, group, &mut word)?;
        Ok(word[0])
    }
}

/// The two halves of a node, of which the lower has `low_rows` rows; their places are still the caller's to say.
fn halves(node: &Node, low_rows: u64) -> [Node; 2] {
    let half = |low, rows| Node {
        low,
        bits: node.bits - 1,
        rows,
        places: 0..0,
        state: node.state,
    };
    [
        half(node.low, low_rows),
        half(node.middle(), node.rows.saturating_sub(low_rows)),
    ]
}

impl Tree for Cursor<'_> {
    fn bounds(&self) -> (u64, u64) {
        (self.matrix.base, self.matrix.base + self.matrix.span)
    }

    fn root(&self, ranges: &[Range<u64>], places: &mut Vec<Place>) -> Result<Node> {
        check_ranges(self.matrix.len, ranges)?;
        let start = places.len();
        let bits = self.matrix.below_top();
        if let Some(top) = &self.matrix.top {
            let rows = self.below_top(top, ranges, places)?;
            return Ok(Node {
                low: self.matrix.base,
                bits: bits + top.bits(),
                rows,
                places: start..places.len(),
                state: IN_TOP,
            });
        }
        places.extend(
            ranges
                .iter()
                .filter(|range| range.start < range.end)
                .map(|range| (range.start, range.end)),
        );
        Ok(Node {
            low: self.matrix.base,
            bits,
            rows: count_rows(ranges),
            places: start..places.len(),
            state: 0,
        })
    }

    fn prefetch(&self, node: &Node, places: &[Place], again: bool) {
        if self.matrix.len < FETCHED_ROWS {
            return;
        }
        fast!(select => self.prefetch_node(select, node, places, again));
    }

    fn split(&self, node: &Node, from: &[Place], to: &mut Vec<Place>) -> Result<[Node; 2]> {
        if node.state == IN_TOP {
            return Ok(self.split_top(node, from, to));
        }
        if (node.state as usize) < self.matrix.levels.len() {
            return fast!(select => self.split_level(select, node, from, to));
        }
        fast!(select => self.split_plane(select, node, from, to))
    }

    fn is_leaf(&self, node: &Node) -> bool {
        node.state != IN_TOP && node.state as usize >= self.matrix.levels.len()
    }

    fn list(&self, node: &Node, places: &[Place], out: &mut Vec<u64>) -> Result<()> {
        fast!(select => self.list_node(select, node, places, out))
    }
}

impl Cursor<'_> {
    #[inline(always)]
    fn prefetch_node<S: WordSelect>(&self, select: S, node: &Node, places: &[Place], again: bool) {
        let Some(level) = self.matrix.levels.get(node.state as usize) else {
            return;
        };
        for &(start, end) in node.places(places).iter().take(AHEAD) {
            for position in [start, end] {
                if again {
                    level.prefetch_unit(select, &self.view, position);
                } else {
                    level.prefetch(select, &self.view, position);
                }
            }
        }
    }

    #[inline(always)]
    fn list_node<S: WordSelect>(
        &self,
        select: S,
        node: &Node,
        places: &[Place],
        out: &mut Vec<u64>,
    ) -> Result<()> {
        let places = node.places(places);
        let Cursor { matrix, view, .. } = self;
        if node.state == IN_TOP {
            let bits = matrix.below_top();
            for row in places.iter().flat_map(|&(start, end)| start..end) {
                let symbol = self.starts.partition_point(|&start| u64::from(start) <= row);
                let symbol = symbol.saturating_sub(1) as u64;
                let own = Node {
                    low: matrix.base.wrapping_add(symbol.checked_shl(bits).unwrap_or(0)),
                    bits,
                    rows: 1,
                    places: 0..0,
                    state: 0,
                };
                out.push(self.code_below(select, &own, row)?);
            }
            return Ok(());
        }
        if (node.state as usize) < matrix.levels.len() {
            for &(start, end) in places {
                for row in start..end {
                    out.push(self.code_below(select, node, row)?);
                }
            }
            return Ok(());
        }
        let planes = matrix.planes.count();
        let open = match node.bits {
            64.. => u64::MAX,
            bits => (1 << bits) - 1,
        };
        self.each_group(node, places, |group, mut rows| {
            while rows != 0 {
                let row = group * 64 + u64::from(rows.trailing_zeros());
                rows &= rows - 1;
                let low = if planes == 0 {
                    0
                } else {
                    matrix.planes.value(select, view, row.min(matrix.len - 1))?
                };
                out.push(node.low.wrapping_add(low & open));
            }
            Ok(())
        })
    }

    /// The code of one row of a node above the leaves.
    #[inline(always)]
    fn code_below<S: WordSelect>(&self, select: S, node: &Node, row: u64) -> Result<u64> {
        let Cursor { matrix, view, .. } = self;
        // A damaged file may point past the end.
        let (mut at, mut value) = (row.min(matrix.len - 1), 0u64);
        for level in matrix.levels.get(node.state as usize..).unwrap_or_default() {
            let (bit, ones) = level.access(select, view, at)?;
            at = if bit {
                level.len() - level.ones() + ones
            } else {
                at - ones
            };
            at = at.min(matrix.len - 1);
            value = value << 1 | u64::from(bit);
        }
        let planes = matrix.planes.count();
        if planes > 0 {
            value = value << (planes - 1) << 1 | matrix.planes.value(select, view, at)?;
        }
        Ok(node.low.wrapping_add(value))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
    use proptest::prelude::*;

    use super::Cursor;
    use crate::codes::tree::{Node, Place, Tree};
    use crate::codes::wavelet::{Wavelet, encode};
    use crate::section::Section;

    /// Every node below `node` holds the rows that it should.
    fn check(matrix: &Cursor<'_>, node: &Node, places: &[Place], codes: &[u64]) {
        let inside = |node: &Node| {
            let (low, high) = (node.low, node.high());
            codes
                .iter()
                .copied()
                .filter(move |&code| low <= code && code <= high)
        };
        assert_eq!(node.rows, inside(node).count() as u64, "{node:?}");
        let mut listed = Vec::new();
        matrix.list(node, places, &mut listed).unwrap();
        listed.sort_unstable();
        let mut want: Vec<u64> = inside(node).collect();
        want.sort_unstable();
        assert_eq!(listed, want);
        if node.bits == 0 || node.rows == 0 {
            return;
        }
        matrix.prefetch(node, places, false);
        matrix.prefetch(node, places, true);
        let mut below = vec![(7, 7)];
        for half in matrix.split(node, places, &mut below).unwrap() {
            assert_eq!(half.bits + 1, node.bits);
            check(matrix, &half, &below, codes);
        }
    }

    #[test]
    #[allow(clippy::single_range_in_vec_init, reason = "ranges are what is asked of")]
    fn nodes_of_a_top_hold_the_rows_of_their_codes() {
        let codes = crate::codes::testing::walk(20_000, 3);
        let matrix = Wavelet::open(Section::from_vec(encode(&codes))).unwrap();
        assert!(matrix.shape().0 > 0, "the highest bits are no top");
        let matrix = Cursor::new(&matrix).unwrap();
        for ranges in [
            vec![0..9000],
            vec![5..1234, 4000..4001, 6000..8999],
            vec![],
            vec![700..701],
        ] {
            let chosen: Vec<u64> = ranges
                .iter()
                .flat_map(|r: &std::ops::Range<u64>| codes[r.start as usize..r.end as usize].to_vec())
                .collect();
            let mut places = Vec::new();
            let root = matrix.root(&ranges, &mut places).unwrap();
            check(&matrix, &root, &places, &chosen);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn nodes_hold_the_rows_of_their_codes(
            base in prop_oneof![Just(0u64), 0u64..1 << 40],
            width in 1u32..40,
            seeds in proptest::collection::vec(any::<u64>(), 1..700),
            cuts in proptest::collection::vec(0usize..700, 0..9),
        ) {
            let mask = (1u64 << width) - 1;
            let codes: Vec<u64> = seeds.iter().map(|&seed| base + (seed & mask & seed.rotate_left(17))).collect();
            let matrix = Wavelet::open(Section::from_vec(encode(&codes))).unwrap();
            let matrix = Cursor::new(&matrix).unwrap();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(codes.len())).collect();
            cuts.sort_unstable();
            let ranges: Vec<_> = cuts.chunks_exact(2).map(|c| c[0] as u64..c[1] as u64).collect();
            let chosen: Vec<u64> = ranges.iter().flat_map(|r| codes[r.start as usize..r.end as usize].to_vec()).collect();
            let mut places = Vec::new();
            let root = matrix.root(&ranges, &mut places).unwrap();
            check(&matrix, &root, &places, &chosen);
        }
    }
}
