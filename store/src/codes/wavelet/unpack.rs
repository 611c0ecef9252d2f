//! Planes in bulk: the low bits of the rows that a decode wants, from leaf order into elements.

#![allow(
    clippy::cast_possible_truncation,
    reason = "elements are as wide as their planes"
)]

use std::ops::Range;

use super::planes::{Plane, Planes, word_of};
use crate::bits::vector::Packed;
use crate::codes::merge::{Merger, Unfilled, unpack};
#[allow(unused_imports, reason = "matched on processors with paths of their own")]
use crate::codes::simd::Path;
use crate::error::Result;
use crate::section::View;

/// Groups of 64 rows whose raw planes are looked up at a time.
const GROUPS: u64 = 256;

/// What an element's bytes make.
trait Element: Copy {
    fn of(byte: u8) -> Self;
    /// With `byte` as byte number `index`.
    fn with(self, byte: u8, index: usize) -> Self;
}

macro_rules! element {
    ($($ty:ty),*) => {$(
        impl Element for $ty {
            #[inline(always)]
            fn of(byte: u8) -> Self {
                byte.into()
            }
            #[inline(always)]
            fn with(self, byte: u8, index: usize) -> Self {
                self | (byte as $ty) << (8 * index)
            }
        }
    )*};
}
element!(u16, u32, u64);

impl Element for u8 {
    #[inline(always)]
    fn of(byte: u8) -> Self {
        byte
    }
    #[inline(always)]
    fn with(self, _: u8, _: usize) -> Self {
        self
    }
}

impl Planes {
    /// Starts `merger` with the low bits of the `count` rows of `pieces` (in leaf order); `levels` are to follow.
    pub(super) fn fill(
        &self,
        view: &View<'_>,
        pieces: &[Range<u64>],
        count: usize,
        levels: u32,
        merger: &mut Merger,
    ) -> Result<()> {
        let path = merger.path();
        let elements = merger.start(count, self.count(), levels);
        if self.planes.is_empty() {
            return Ok(());
        }
        // Planes that are bit vectors, as the rows have them.
        let mut coded = Vec::new();
        for (plane, form) in self.planes.iter().enumerate() {
            if let Plane::Vector(vector) = form {
                let mut bits = Packed::default();
                bits.reset(count);
                vector.gather(view, path, pieces, &mut bits, |_, _, _| {})?;
                coded.push((plane, bits));
            }
        }
        let job = Job {
            planes: self,
            view,
            pieces,
            coded,
        };
        match path {
            #[cfg(all(target_arch = "x86_64", avx512))]
            Path::Avx512(avx512) => avx512.run(
                #[inline(always)]
                || job.run(elements, |planes, _, out| avx512.unpack(planes, 8, out)),
            ),
            _ => job.run(elements, unpack),
        }
    }
}

struct Job<'a> {
    planes: &'a Planes,
    view: &'a View<'a>,
    pieces: &'a [Range<u64>],
    coded: Vec<(usize, Packed)>,
}

impl Job<'_> {
    #[inline(always)]
    fn run(&self, elements: Unfilled<'_>, unpack: impl Fn(&[u64; 8], usize, &mut [u8; 64])) -> Result<()> {
        match (elements, self.planes.count().div_ceil(8)) {
            (Unfilled::Bytes(out), _) => self.fill::<u8, 1>(out, unpack),
            (Unfilled::Shorts(out), _) => self.fill::<u16, 2>(out, unpack),
            (Unfilled::Words(out), 0..=3) => self.fill::<u32, 3>(out, unpack),
            (Unfilled::Words(out), _) => self.fill::<u32, 4>(out, unpack),
            (Unfilled::Longs(out), 0..=5) => self.fill::<u64, 5>(out, unpack),
            (Unfilled::Longs(out), 6) => self.fill::<u64, 6>(out, unpack),
            (Unfilled::Longs(out), _) => self.fill::<u64, 8>(out, unpack),
        }
    }

    /// Elements of at most `BYTES` bytes.
    #[inline(always)]
    fn fill<T: Element, const BYTES: usize>(
        &self,
        out: &mut [T],
        unpack: impl Fn(&[u64; 8], usize, &mut [u8; 64]),
    ) -> Result<()> {
        let count = self.planes.planes.len();
        let raw: Vec<usize> = (0..count)
            .rev()
            .filter(|&plane| matches!(self.planes.planes[plane], Plane::Raw(_)))
            .collect();
        let stride = raw.len() * 8;
        let mut at = 0;
        let mut words = [0u64; 64];
        for piece in self.pieces {
            let (mut row, end) = (piece.start, piece.end);
            while row < end {
                let first = row / 64;
                let last = end.div_ceil(64).min(first + GROUPS);
                let bytes = self.view.bytes(
                    self.planes.start + first * stride as u64,
                    stride * (last - first) as usize,
                )?;
                for group in first..last {
                    let here = (group - first) as usize * stride;
                    let (shift, rows) = (row % 64, (end.min((group + 1) * 64) - row) as usize);
                    let bytes = bytes.get(here..here + stride).unwrap_or_default();
                    for (&plane, eight) in raw.iter().zip(bytes.chunks_exact(8)) {
                        words[plane & 63] = word_of(eight) >> shift;
                    }
                    for (plane, bits) in &self.coded {
                        words[plane & 63] = bits.word_at(at);
                    }
                    // All 64 are written: the next group overwrites what is its own, the last reaches into the padding.
                    let mut parts = [[0u8; 64]; BYTES];
                    for (part, planes) in parts.iter_mut().zip(words.chunks_exact(8)) {
                        if let Some(planes) = planes.first_chunk() {
                            unpack(planes, rows, part);
                        }
                    }
                    let Some(out) = out.get_mut(at..at + 64) else {
                        return Err(self
                            .view
                            .corrupt(0, "a level leads to more rows than there are".into()));
                    };
                    for (i, element) in out.iter_mut().enumerate() {
                        let mut made = T::of(parts[0][i]);
                        for (index, part) in parts.iter().enumerate().skip(1) {
                            made = made.with(part[i], index);
                        }
                        *element = made;
                    }
                    at += rows;
                    row += rows as u64;
                }
            }
        }
        Ok(())
    }
}
