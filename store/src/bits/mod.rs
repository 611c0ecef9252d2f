//! Bit vectors with rank and select.
//!
//! [`vector`] is the adaptive bit vector of the wavelet matrix: 512-bit blocks, each stored as cheaply as its content
//! allows, in superblocks of 8 with a cumulative rank. [`block`] holds the forms of one block, [`words`] small functions
//! on 64-bit words. [`RankBits`] is one such vector in a section of its own.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::section::Section;

pub mod block;
pub(crate) mod unit;
pub mod vector;
pub mod words;

use vector::BitVector;
use words::Portable;

/// Zero bytes behind the last bit vector of a section, so that a unit is read with one load.
pub const TAIL_BYTES: usize = 128;

/// One rank-able bit vector in a section of its own.
///
/// ```text
/// u64 length in bits | bit vector (see `vector`) | 128 zero bytes
/// ```
#[derive(Debug)]
pub struct RankBits {
    section: Section,
    vector: BitVector,
}

impl RankBits {
    /// Encodes the first `len` bits of `bits`, lowest bit of the first word first.
    pub fn encode(bits: &[u64], len: u64) -> Vec<u8> {
        let mut out = len.to_le_bytes().to_vec();
        vector::encode(bits, len, &mut out);
        out.resize(out.len() + TAIL_BYTES, 0);
        out
    }

    /// Opens what [`RankBits::encode`] wrote.
    ///
    /// # Errors
    /// `Corrupt` if the header makes no sense.
    pub fn open(section: Section) -> Result<RankBits> {
        let len = section.u64(0)?;
        let vector = BitVector::open(&section.view(), 8, len)?;
        Ok(RankBits { section, vector })
    }

    /// Number of bits.
    pub fn len(&self) -> u64 {
        self.vector.len()
    }

    /// Whether there are no bits.
    pub fn is_empty(&self) -> bool {
        self.vector.len() == 0
    }

    /// Number of ones.
    pub fn ones(&self) -> u64 {
        self.vector.ones()
    }

    /// The bit at `position`, and the ones before it.
    ///
    /// # Errors
    /// `OutOfRange` past the end; `Corrupt` if the bytes lie.
    pub fn get(&self, position: u64) -> Result<(bool, u64)> {
        if position >= self.len() {
            return Err(Error::OutOfRange {
                what: "bit",
                position,
                end: self.len(),
            });
        }
        self.vector.access(Portable, &self.section.view(), position)
    }

    /// Ones before `position`, which may be the end.
    ///
    /// # Errors
    /// See [`RankBits::get`].
    pub fn rank1(&self, position: u64) -> Result<u64> {
        if position > self.len() {
            return Err(Error::OutOfRange {
                what: "bit",
                position,
                end: self.len(),
            });
        }
        self.vector.rank1(Portable, &self.section.view(), position)
    }

    /// Position of the one with `index` ones before it.
    ///
    /// # Errors
    /// `OutOfRange` if there are not that many; `Corrupt` if the bytes lie.
    ///
    /// # Complexity
    /// A binary search over ranks.
    pub fn select1(&self, index: u64) -> Result<u64> {
        if index >= self.ones() {
            return Err(Error::OutOfRange {
                what: "set bit",
                position: index,
                end: self.ones(),
            });
        }
        let view = self.section.view();
        let (mut low, mut high) = (0, self.len());
        while low + 1 < high {
            let middle = low.midpoint(high);
            if self.vector.rank1(Portable, &view, middle)? <= index {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// The bits of `range`, first one in the lowest bit of the first word.
    ///
    /// # Errors
    /// See [`RankBits::get`].
    pub fn expand(&self, range: Range<u64>) -> Result<Vec<u64>> {
        if range.start > range.end || range.end > self.len() {
            return Err(Error::OutOfRange {
                what: "bit",
                position: range.end,
                end: self.len(),
            });
        }
        let mut sink = words::BitString::default();
        self.vector.expand(&self.section.view(), range, &mut sink)?;
        Ok(sink.into_words())
    }
}
