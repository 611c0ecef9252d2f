//! Questions inside a leaf: its rows differ in the planes only, which are scanned 64 rows a word.
//!
//! A scan is cheap while it lasts few planes: each plane leaves about half of the rows in question, so after six or
//! seven of them most groups of 64 rows hold none, and are left out.

#![allow(
    clippy::cast_possible_truncation,
    reason = "counts inside 64 words of 64 rows are small"
)]

use std::ops::Range;

use super::planes::{Plane, Planes, word_of};
use crate::bits::words::{BitString, WordSelect, low_mask};
use crate::error::Result;
use crate::section::View;

/// Groups of 64 rows that a count holds at a time.
const CHUNK_GROUPS: usize = 32;
/// Groups up to which a quantile needs no allocation.
const NEAR_GROUPS: usize = 64;

impl Planes {
    /// Words of `plane` for the groups of 64 rows from `first` on.
    #[inline(always)]
    pub(super) fn load(&self, view: &View<'_>, plane: usize, first: u64, out: &mut [u64]) -> Result<()> {
        match self.planes[plane] {
            Plane::Raw(index) => {
                let stride = self.raw_count as usize * 8;
                let bytes = view.bytes(self.start + first * stride as u64, stride * out.len())?;
                for (word, group) in out.iter_mut().zip(bytes.chunks_exact(stride)) {
                    *word = word_of(&group[index as usize * 8..]);
                }
            }
            Plane::Vector(vector) => {
                let mut string = BitString::with_capacity(out.len() * 64);
                let end = (first + out.len() as u64) * 64;
                vector.expand(view, first * 64..end.min(self.len), &mut string)?;
                out.fill(0);
                for (word, &found) in out.iter_mut().zip(string.words()) {
                    *word = found;
                }
            }
        }
        Ok(())
    }

    /// How many of `rows` (in leaf order) have low bits from `low` to `high`, both included.
    #[inline(always)]
    pub(super) fn count_between(
        &self,
        view: &View<'_>,
        rows: Range<u64>,
        low: u64,
        high: u64,
    ) -> Result<u64> {
        let all = match self.count() {
            64 => u64::MAX,
            count => (1 << count) - 1,
        };
        if rows.start >= rows.end || low > high {
            return Ok(0);
        }
        if low == 0 && high >= all {
            return Ok(rows.end - rows.start);
        }
        let mut outside_rows = 0;
        let mut first = rows.start / 64;
        let last = rows.end.div_ceil(64);
        while first < last {
            let groups = ((last - first) as usize).min(CHUNK_GROUPS);
            let mut words = [0; CHUNK_GROUPS];
            // Rows below `low` and above `high` so far, and rows still equal to either.
            let mut outside = [0; CHUNK_GROUPS];
            let mut at_low = [0; CHUNK_GROUPS];
            for (i, slot) in at_low.iter_mut().enumerate().take(groups) {
                *slot = window(&rows, first + i as u64);
            }
            let mut at_high = at_low;
            for plane in (0..self.planes.len()).rev() {
                self.load(view, plane, first, &mut words[..groups])?;
                let low_bit = 0u64.wrapping_sub(low >> plane & 1);
                let high_bit = 0u64.wrapping_sub(high >> plane & 1);
                let mut open = 0;
                for i in 0..groups {
                    let word = words[i];
                    outside[i] |= at_low[i] & low_bit & !word | at_high[i] & !high_bit & word;
                    at_low[i] &= !(word ^ low_bit);
                    at_high[i] &= !(word ^ high_bit);
                    open |= at_low[i] | at_high[i];
                }
                if open == 0 {
                    break;
                }
            }
            outside_rows += outside
                .iter()
                .map(|rows| u64::from(rows.count_ones()))
                .sum::<u64>();
            first += groups as u64;
        }
        Ok(rows.end - rows.start - outside_rows)
    }

    /// The `k`-th smallest low bits among the rows of `pieces` (in leaf order), and how many are smaller.
    #[inline(always)]
    pub(super) fn quantile<S: WordSelect>(
        &self,
        select: S,
        view: &View<'_>,
        pieces: &[(u64, u64)],
        k: u64,
    ) -> Result<(u64, u64)> {
        let pieces = || pieces.iter().filter(|(start, end)| start < end);
        let groups: usize = pieces()
            .map(|&(start, end)| (end.div_ceil(64) - start / 64) as usize)
            .sum();
        // Most leaves are small: no allocation for them.
        let (mut near, mut far) = ([[0u64; NEAR_GROUPS]; 2], [const { Vec::new() }; 2]);
        let [alive, words] = if groups <= NEAR_GROUPS {
            near.each_mut().map(|buffer| &mut buffer[..groups])
        } else {
            far.each_mut().map(|buffer| {
                buffer.resize(groups, 0);
                buffer.as_mut_slice()
            })
        };
        alive.fill(u64::MAX);
        let mut rest = &mut *alive;
        for &(start, end) in pieces() {
            let (here, behind) = rest.split_at_mut((end.div_ceil(64) - start / 64) as usize);
            if let Some(first) = here.first_mut() {
                *first &= window(&(start..end), start / 64);
            }
            if let Some(last) = here.last_mut() {
                *last &= window(&(start..end), (end - 1) / 64);
            }
            rest = behind;
        }
        let left = pieces().map(|(start, end)| end - start).sum();
        let mut search = Search {
            k,
            left,
            value: 0,
            less: 0,
        };
        let mut plane = self.planes.len();
        // While most groups hold rows in question, a piece's words are read in one go.
        while plane > 0 && search.left > 1 && search.left * 2 >= groups as u64 {
            plane -= 1;
            let (mut rest, mut rows, mut zeros) = (&mut *words, &*alive, 0);
            for &(start, end) in pieces() {
                let count = (end.div_ceil(64) - start / 64) as usize;
                let (here, behind) = rest.split_at_mut(count);
                zeros += self.load_zeros(view, plane, start / 64, here, &rows[..count])?;
                (rest, rows) = (behind, &rows[count..]);
            }
            let flip = search.step(plane, zeros);
            for (rows, bits) in alive.iter_mut().zip(words.iter()) {
                *rows &= bits ^ flip;
            }
        }
        if plane == 0 {
            return Ok((search.value, search.less));
        }
        let places = pieces().flat_map(|&(start, end)| start / 64..end.div_ceil(64));
        let mut groups = alive.iter().copied().zip(places).filter(|(rows, _)| *rows != 0);
        if search.left == 1 {
            // A damaged file may have lost it.
            if let Some((rows, place)) = groups.next() {
                let row = place * 64 + u64::from(rows.trailing_zeros());
                let low = self.value(select, view, row.min(self.len.saturating_sub(1)))?;
                search.value |= low & low_mask(plane as u32);
            }
        } else {
            self.quantile_sparse(view, groups.collect(), plane, &mut search)?;
        }
        Ok((search.value, search.less))
    }

    /// The planes below `plane`, where few of the groups `(rows, place)` hold rows in question.
    fn quantile_sparse(
        &self,
        view: &View<'_>,
        mut groups: Vec<(u64, u64)>,
        planes: usize,
        search: &mut Search,
    ) -> Result<()> {
        let mut words = vec![0; groups.len()];
        for plane in (0..planes).rev() {
            let mut zeros = 0;
            for (word, (rows, place)) in words.iter_mut().zip(&groups) {
                zeros += self.load_zeros(
                    view,
                    plane,
                    *place,
                    std::slice::from_mut(word),
                    std::slice::from_ref(rows),
                )?;
            }
            let flip = search.step(plane, zeros);
            let mut words = words.iter();
            groups.retain_mut(|(rows, _)| {
                *rows &= words.next().unwrap_or(&0) ^ flip;
                *rows != 0
            });
        }
        Ok(())
    }

    /// [`Planes::load`], and how many of the rows `alive` have a zero.
    #[inline(always)]
    fn load_zeros(
        &self,
        view: &View<'_>,
        plane: usize,
        first: u64,
        out: &mut [u64],
        alive: &[u64],
    ) -> Result<u64> {
        let mut zeros = 0;
        if let Plane::Raw(index) = self.planes[plane] {
            let (stride, place) = (self.raw_count as usize * 8, index as usize * 8);
            let bytes = view.bytes(self.start + first * stride as u64, stride * out.len())?;
            let groups = bytes[place..].chunks(stride);
            for ((word, rows), group) in out.iter_mut().zip(alive).zip(groups) {
                *word = word_of(group);
                zeros += u64::from((rows & !*word).count_ones());
            }
        } else {
            self.load(view, plane, first, out)?;
            for (word, rows) in out.iter().zip(alive) {
                zeros += u64::from((rows & !word).count_ones());
            }
        }
        Ok(zeros)
    }
}

/// A search for the `k`-th smallest value, plane by plane.
struct Search {
    k: u64,
    /// Rows in question.
    left: u64,
    value: u64,
    less: u64,
}

impl Search {
    /// Decides on a bit of the value where `zeros` of the rows have a zero; their words are to be flipped with the result.
    #[inline(always)]
    fn step(&mut self, plane: usize, zeros: u64) -> u64 {
        if self.k < zeros {
            self.left = zeros;
            return u64::MAX;
        }
        self.k -= zeros;
        self.less += zeros;
        self.left = self.left.saturating_sub(zeros);
        self.value |= 1 << plane;
        0
    }
}

/// The rows of `rows` in a group of 64, as bits.
#[inline(always)]
pub(super) fn window(rows: &Range<u64>, group: u64) -> u64 {
    let base = group * 64;
    let end = low_mask(rows.end.saturating_sub(base).min(64) as u32);
    let start = low_mask(rows.start.saturating_sub(base).min(64) as u32);
    end & !start
}
