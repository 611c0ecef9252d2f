//! The low bits of the codes as planes in leaf order: raw ones side by side, cheap ones as bit vectors.

#![allow(
    clippy::cast_possible_truncation,
    reason = "counts inside 64 words of 64 rows are small"
)]

use std::ops::Range;

use crate::bits::vector::BitVector;
use crate::bits::words::{BitString, WordSelect, low_mask};
use crate::codes::merge::{Merger, PADDING, unpack};
#[allow(unused_imports, reason = "matched on processors with paths of their own")]
use crate::codes::simd::Path;
use crate::error::Result;
use crate::section::View;

/// Groups of 64 rows that a scan holds at a time.
const CHUNK_GROUPS: usize = 64;

/// The planes of a column. Plane `k` holds bit `k` of each code.
#[derive(Debug)]
pub(super) struct Planes {
    len: u64,
    /// Offset of the raw planes.
    start: u64,
    raw_count: u32,
    /// From plane 0 up.
    planes: Vec<Plane>,
}

#[derive(Debug, Clone, Copy)]
enum Plane {
    /// Which of the raw planes, the highest being the first.
    Raw(u32),
    Vector(BitVector),
}

impl Planes {
    /// The planes of `len` rows; `vectors` are those of the planes set in `coded`, from the highest down.
    pub(super) fn open(
        view: &View<'_>,
        len: u64,
        count: u32,
        coded: u64,
        start: u64,
        vectors: Vec<BitVector>,
    ) -> Result<Planes> {
        let raw_count = count - coded.count_ones();
        let bytes = len.div_ceil(64) * u64::from(raw_count) * 8;
        if start % 64 != 0 || start.saturating_add(bytes) > view.len() {
            return Err(view.corrupt(
                40,
                format!("{raw_count} raw planes at byte {start} leave the section"),
            ));
        }
        let (mut vectors, mut raw) = (vectors.into_iter(), 0);
        let mut planes = Vec::with_capacity(count as usize);
        for plane in (0..count).rev() {
            if coded >> plane & 1 == 0 {
                planes.push(Plane::Raw(raw));
                raw += 1;
            } else if let Some(vector) = vectors.next() {
                planes.push(Plane::Vector(vector));
            }
        }
        debug_assert!(planes.len() == count as usize, "a vector for each coded plane");
        planes.reverse();
        Ok(Planes {
            len,
            start,
            raw_count,
            planes,
        })
    }

    pub(super) fn count(&self) -> u32 {
        self.planes.len() as u32
    }

    pub(super) fn raw_count(&self) -> u32 {
        self.raw_count
    }

    pub(super) fn is_vector(&self, plane: u32) -> bool {
        matches!(self.planes.get(plane as usize), Some(Plane::Vector(_)))
    }

    /// The low bits of the row at `position` in leaf order.
    #[inline(always)]
    pub(super) fn value<S: WordSelect>(&self, select: S, view: &View<'_>, position: u64) -> Result<u64> {
        let width = self.raw_count as usize * 8;
        let raw = view.bytes(self.start + position / 64 * width as u64, width)?;
        let shift = position % 64;
        if self.raw_count as usize == self.planes.len() {
            let mut value = 0;
            for chunk in raw.chunks_exact(8) {
                value = value << 1 | word_of(chunk) >> shift & 1;
            }
            return Ok(value);
        }
        let mut value = 0;
        for (bit, plane) in self.planes.iter().enumerate() {
            let found = match plane {
                Plane::Raw(index) => word_of(&raw[*index as usize * 8..]) >> shift & 1,
                Plane::Vector(vector) => u64::from(vector.access(select, view, position)?.0),
            };
            value |= found << bit;
        }
        Ok(value)
    }

    /// Starts `merger` with the low bits of the `count` rows of `pieces` (in leaf order).
    pub(super) fn fill(
        &self,
        view: &View<'_>,
        pieces: &[Range<u64>],
        count: usize,
        merger: &mut Merger,
    ) -> Result<()> {
        let path = merger.path();
        let bytes = merger.start(count, self.count());
        match path {
            #[cfg(all(target_arch = "x86_64", avx512))]
            Path::Avx512(avx512) => avx512.run(
                #[inline(always)]
                || {
                    self.fill_bytes(view, pieces, count, bytes, |planes, count, out| {
                        avx512.unpack(planes, count, out)
                    })
                },
            )?,
            _ => self.fill_bytes(view, pieces, count, bytes, unpack)?,
        }
        merger.planes_done();
        Ok(())
    }

    #[inline(always)]
    fn fill_bytes(
        &self,
        view: &View<'_>,
        pieces: &[Range<u64>],
        count: usize,
        out: &mut [u8],
        unpack: impl Fn(&[u64; 8], usize, &mut [u8; 64]),
    ) -> Result<()> {
        if self.raw_count as usize != self.planes.len() {
            self.fill_mixed(view, pieces, count, out, unpack)
        } else if self.raw_count > 0 {
            self.fill_raw(view, pieces, count, out, unpack)
        } else {
            Ok(())
        }
    }

    #[inline(always)]
    fn fill_raw(
        &self,
        view: &View<'_>,
        pieces: &[Range<u64>],
        count: usize,
        out: &mut [u8],
        unpack: impl Fn(&[u64; 8], usize, &mut [u8; 64]),
    ) -> Result<()> {
        let (planes, stride) = (self.raw_count as usize, self.raw_count as usize * 8);
        let mut at = 0;
        for piece in pieces {
            let (first, last) = (piece.start / 64, piece.end.div_ceil(64));
            let raw = view.bytes(
                self.start + first * stride as u64,
                stride * (last - first) as usize,
            )?;
            for (group, words) in (first..last).zip(raw.chunks_exact(stride)) {
                let from = piece.start.saturating_sub(group * 64) as usize;
                let to = (piece.end - group * 64).min(64) as usize;
                for (index, out) in out.chunks_exact_mut(count + PADDING).enumerate() {
                    let here = (planes - index * 8).min(8);
                    let mut eight = [0; 8];
                    // The lowest plane is the last word.
                    let low = words[..stride - index * 64].rchunks_exact(8);
                    for (plane, word) in eight.iter_mut().take(here).zip(low) {
                        *plane = word_of(word);
                    }
                    // Writes 64 bytes, of which the next group overwrites what is not its own; at the end the padding.
                    if from == 0 {
                        if let Some(out) = out[at..].first_chunk_mut() {
                            unpack(&eight, here, out);
                        }
                    } else {
                        let mut whole = [0; 64];
                        unpack(&eight, here, &mut whole);
                        out[at..at + to - from].copy_from_slice(&whole[from..to]);
                    }
                }
                at += to - from;
            }
        }
        Ok(())
    }

    /// The same with planes that are bit vectors: plane by plane.
    #[inline(always)]
    fn fill_mixed(
        &self,
        view: &View<'_>,
        pieces: &[Range<u64>],
        count: usize,
        out: &mut [u8],
        unpack: impl Fn(&[u64; 8], usize, &mut [u8; 64]),
    ) -> Result<()> {
        let mut strings = Vec::with_capacity(8);
        for (index, out) in out.chunks_exact_mut(count + PADDING).enumerate() {
            strings.clear();
            for plane in index * 8..self.planes.len().min(index * 8 + 8) {
                let mut string = BitString::with_capacity(count);
                for piece in pieces {
                    self.expand(view, plane, piece.clone(), &mut string)?;
                }
                strings.push(string);
            }
            for (group, out) in out[..count].chunks_mut(64).enumerate() {
                let mut eight = [0; 8];
                for (plane, string) in eight.iter_mut().zip(&strings) {
                    *plane = string.words().get(group).copied().unwrap_or(0);
                }
                let mut whole = [0; 64];
                unpack(&eight, strings.len(), &mut whole);
                out.copy_from_slice(&whole[..out.len()]);
            }
        }
        Ok(())
    }

    /// Appends the bits of `plane` for `rows` (in leaf order).
    fn expand(&self, view: &View<'_>, plane: usize, rows: Range<u64>, out: &mut BitString) -> Result<()> {
        match self.planes[plane] {
            Plane::Vector(vector) => vector.expand(view, rows, out),
            Plane::Raw(index) => {
                let stride = u64::from(self.raw_count) * 8;
                let mut at = rows.start;
                while at < rows.end {
                    let count = (64 - at % 64).min(rows.end - at);
                    let word = view.u64(self.start + at / 64 * stride + u64::from(index) * 8)?;
                    out.push(word >> (at % 64), count as u32);
                    at += count;
                }
                Ok(())
            }
        }
    }

    /// Words of `plane` for the groups of 64 rows from `first` on.
    #[inline(always)]
    fn load(&self, view: &View<'_>, plane: usize, first: u64, out: &mut [u64]) -> Result<()> {
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
        let all = if self.count() == 64 {
            u64::MAX
        } else {
            (1 << self.count()) - 1
        };
        if rows.start >= rows.end || low > high {
            return Ok(0);
        }
        if low == 0 && high >= all {
            return Ok(rows.end - rows.start);
        }
        let mut total = 0;
        let mut first = rows.start / 64;
        let last = rows.end.div_ceil(64);
        while first < last {
            let groups = ((last - first) as usize).min(CHUNK_GROUPS);
            let mut words = [0; CHUNK_GROUPS];
            // Rows below `low` and above `high` so far, and rows still equal to either.
            let (mut outside, mut at_low, mut at_high) = (
                [0; CHUNK_GROUPS],
                [u64::MAX; CHUNK_GROUPS],
                [u64::MAX; CHUNK_GROUPS],
            );
            for plane in (0..self.planes.len()).rev() {
                self.load(view, plane, first, &mut words[..groups])?;
                let low_bit = 0u64.wrapping_sub(low >> plane & 1);
                let high_bit = 0u64.wrapping_sub(high >> plane & 1);
                for i in 0..groups {
                    let word = words[i];
                    outside[i] |= at_low[i] & low_bit & !word | at_high[i] & !high_bit & word;
                    at_low[i] &= !(word ^ low_bit);
                    at_high[i] &= !(word ^ high_bit);
                }
            }
            for (i, outside) in outside.iter().enumerate().take(groups) {
                total += u64::from((!outside & window(&rows, first + i as u64)).count_ones());
            }
            first += groups as u64;
        }
        Ok(total)
    }

    /// The `k`-th smallest low bits among the rows of `pieces` (in leaf order), and how many are smaller.
    #[inline(always)]
    pub(super) fn quantile(&self, view: &View<'_>, pieces: &[(u64, u64)], mut k: u64) -> Result<(u64, u64)> {
        let pieces = || pieces.iter().filter(|(start, end)| start < end);
        let groups: usize = pieces()
            .map(|&(start, end)| (end.div_ceil(64) - start / 64) as usize)
            .sum();
        // Most leaves are small: no allocation for them.
        let (mut near, mut far) = ([[0u64; CHUNK_GROUPS]; 2], [Vec::new(), Vec::new()]);
        let [alive, words] = if groups <= CHUNK_GROUPS {
            near.each_mut().map(|buffer| &mut buffer[..groups])
        } else {
            far.each_mut().map(|buffer| {
                buffer.resize(groups, 0);
                buffer.as_mut_slice()
            })
        };
        let mut slots = alive.iter_mut();
        for &(start, end) in pieces() {
            for (group, slot) in (start / 64..end.div_ceil(64)).zip(&mut slots) {
                *slot = window(&(start..end), group);
            }
        }
        let (mut value, mut less) = (0, 0);
        for plane in (0..self.planes.len()).rev() {
            let mut rest = &mut *words;
            for &(start, end) in pieces() {
                let count = (end.div_ceil(64) - start / 64) as usize;
                let (here, behind) = rest.split_at_mut(count);
                self.load(view, plane, start / 64, here)?;
                rest = behind;
            }
            let zeros: u64 = alive
                .iter()
                .zip(words.iter())
                .map(|(rows, bits)| u64::from((rows & !bits).count_ones()))
                .sum();
            let flip = if k < zeros { u64::MAX } else { 0 };
            if k >= zeros {
                k -= zeros;
                less += zeros;
                value |= 1 << plane;
            }
            for (rows, bits) in alive.iter_mut().zip(words.iter()) {
                *rows &= bits ^ flip;
            }
        }
        Ok((value, less))
    }
}

#[inline(always)]
fn word_of(bytes: &[u8]) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[..8]);
    u64::from_le_bytes(eight)
}

/// The rows of `rows` in a group of 64, as bits.
#[inline(always)]
fn window(rows: &Range<u64>, group: u64) -> u64 {
    let base = group * 64;
    let end = low_mask(rows.end.saturating_sub(base).min(64) as u32);
    let start = low_mask(rows.start.saturating_sub(base).min(64) as u32);
    end & !start
}
