//! The low bits of the codes as planes in leaf order: raw ones side by side, cheap ones as bit vectors.

#![allow(
    clippy::cast_possible_truncation,
    reason = "counts inside 64 words of 64 rows are small"
)]

use crate::bits::vector::BitVector;
use crate::bits::words::WordSelect;
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
}

#[inline(always)]
pub(super) fn word_of(bytes: &[u8]) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[..8]);
    u64::from_le_bytes(eight)
}
