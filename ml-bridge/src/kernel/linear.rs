//! Dot products of patches of the input with rows of weights: the one inner loop of dense layers and convolutions.
//!
//! A result at position `(y, x)` is, for every output channel, the dot product of a *patch* with that channel's
//! weights. The patch is `offsets.len()` segments of `segment` consecutive bytes, the first segment starting at
//! `y * row_step + x * column_step`: one segment for a dense layer, one per filter row for a convolution over an
//! already padded image, since a filter row covers neighbouring pixels and all their channels.
//!
//! ```text
//! Rows  (portable, AVX2)       output 0: i16 weights of segment 0, 1, ...; zero up to a multiple of 16; output 1 ...
//! Lanes (AVX-512 VNNI)         group of up to 8 blocks of 16 outputs
//!                                step of 4 patch bytes
//!                                  block
//!                                    lane 0: 4 i8 weights ... lane 15: 4 i8 weights
//! ```
//!
//! Every sum is exact in wrapping i32 arithmetic, so all paths give the same bits.

use super::Isa;
use super::lanes::Lanes;
use super::requantize::Requantize;

/// Outputs in one block: 32-bit lanes of a 512-bit register.
pub const LANES: usize = 16;
/// Row lengths are multiples of this many weights.
pub const ROW_UNIT: usize = 16;

/// Where patches lie in the input, and how many there are.
#[derive(Debug, Clone, PartialEq)]
pub struct Geometry {
    /// Result rows and columns.
    pub size: [usize; 2],
    /// Bytes from one result row's first patch to the next.
    pub row_step: usize,
    /// Bytes from one result column's patch to the next.
    pub column_step: usize,
    /// Start of each segment, relative to the patch.
    pub offsets: Vec<usize>,
    /// Bytes of each segment.
    pub segment: usize,
}

impl Geometry {
    /// Results per output channel.
    pub fn positions(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// The same patches as one row, if rows follow each other without a gap.
    pub fn flattened(mut self) -> Self {
        if self.row_step == self.column_step * self.size[1] {
            self.size = [1, self.size[0] * self.size[1]];
        }
        self
    }

    /// Bytes of a patch.
    pub fn patch(&self) -> usize {
        self.offsets.len() * self.segment
    }

    /// One past the last byte that is read when every segment is read in whole words of 4 bytes.
    pub fn reach(&self) -> usize {
        let last = (self.size[0].max(1) - 1) * self.row_step + (self.size[1].max(1) - 1) * self.column_step;
        last + self.offsets.iter().max().copied().unwrap_or(0) + self.segment.next_multiple_of(4)
    }
}

/// Weights in the order that a kernel reads them.
#[derive(Debug, Clone, PartialEq)]
pub enum Packed {
    /// See the module's drawing.
    Rows {
        /// Weights per output, padded.
        length: usize,
        /// `outputs * length` weights.
        weights: Vec<i16>,
    },
    /// See the module's drawing.
    Lanes(Lanes),
}

/// A layer: geometry, packed weights and the way back to bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    /// Where patches lie.
    pub geometry: Geometry,
    /// Output channels.
    pub outputs: usize,
    /// Weights.
    pub packed: Packed,
    /// Back to bytes.
    pub end: Requantize,
}

impl Linear {
    /// Packs `weights` (outputs x patch bytes) for the kernels of `isa`.
    pub fn new(isa: Isa, geometry: Geometry, outputs: usize, weights: &[i8], end: Requantize) -> Self {
        match isa {
            Isa::Vnni => {
                let lanes = Lanes::new(&geometry, outputs, weights, &end);
                Linear {
                    geometry,
                    outputs,
                    packed: Packed::Lanes(lanes),
                    end,
                }
            }
            Isa::Portable | Isa::Avx2 => Linear::rows(geometry, outputs, weights, end),
        }
    }

    fn rows(geometry: Geometry, outputs: usize, weights: &[i8], end: Requantize) -> Self {
        let patch = geometry.patch();
        debug_assert_eq!(weights.len(), outputs * patch);
        debug_assert_eq!(end.bias.len(), outputs);
        let length = patch.next_multiple_of(ROW_UNIT);
        let mut packed = vec![0i16; outputs * length];
        for (row, from) in packed
            .chunks_exact_mut(length.max(1))
            .zip(weights.chunks_exact(patch.max(1)))
        {
            for (to, w) in row.iter_mut().zip(from) {
                *to = i16::from(*w);
            }
        }
        Linear {
            geometry,
            outputs,
            packed: Packed::Rows {
                length,
                weights: packed,
            },
            end,
        }
    }

    /// Words of scratch that [`super::linear()`] needs.
    pub fn scratch(&self) -> usize {
        match &self.packed {
            Packed::Rows { length, .. } => length * 2,
            Packed::Lanes(_) => 0,
        }
    }

    /// Bytes of packed weights and parameters.
    pub fn bytes(&self) -> usize {
        self.end.bias.len() * 12
            + match &self.packed {
                Packed::Rows { weights, .. } => weights.len() * 2,
                Packed::Lanes(lanes) => lanes.bytes(),
            }
    }
}

/// Copies the patch at byte `at` into `to`, widened.
#[inline]
pub(super) fn gather(input: &[u8], geometry: &Geometry, at: usize, to: &mut [i16]) {
    for (offset, to) in geometry
        .offsets
        .iter()
        .zip(to.chunks_exact_mut(geometry.segment.max(1)))
    {
        let from = &input[at + offset..][..geometry.segment];
        for (to, from) in to.iter_mut().zip(from) {
            *to = i16::from(*from);
        }
    }
}
