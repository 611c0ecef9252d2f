//! The low bits of the codes as planes in leaf order: raw ones side by side, cheap ones as bit vectors.

#![allow(
    clippy::cast_possible_truncation,
    reason = "counts inside 64 words of 64 rows are small"
)]

use std::ops::Range;

use crate::bits::vector::BitVector;
use crate::bits::words::{BitString, WordSelect};
use crate::codes::merge::{Merger, PADDING, unpack};
#[allow(unused_imports, reason = "matched on processors with paths of their own")]
use crate::codes::simd::Path;
use crate::error::Result;
use crate::section::View;

/// The planes of a column. Plane `k` holds bit `k` of each code.
#[derive(Debug)]
pub(super) struct Planes {
    pub(super) len: u64,
    /// Offset of the raw planes.
    pub(super) start: u64,
    pub(super) raw_count: u32,
    /// From plane 0 up.
    pub(super) planes: Vec<Plane>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Plane {
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
            // The highest plane comes first. Each bit goes to its own place, so that several are fetched at a time.
            let mut reversed = 0;
            for (place, chunk) in raw.chunks_exact(8).enumerate() {
                reversed |= (word_of(chunk) >> shift & 1) << place;
            }
            return Ok(reversed.reverse_bits() >> (64 - self.raw_count).min(63));
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
}

#[inline(always)]
pub(super) fn word_of(bytes: &[u8]) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[..8]);
    u64::from_le_bytes(eight)
}
