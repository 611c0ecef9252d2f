//! Dot products of patches of the input with rows of weights: the one inner loop of dense layers and convolutions.
//!
//! A result at position `(y, x)` is, for every output channel, the dot product of a *patch* with that channel's
//! weights. The patch is `offsets.len()` segments of `segment` consecutive bytes, the first segment starting at
//! `y * row_step + x * column_step`: one segment for a dense layer, one per filter row for a convolution over an
//! already padded image, since a filter row covers neighbouring pixels and all their channels.
//!
//! Weights lie in [`super::lanes`] for every family. Where filters are few, a layer for
//! lanes that are outputs computes several neighbouring
//! results as if they were one with more outputs: a wider patch, its weights moved along and filled up with zeros. That
//! fills lanes, and words that neighbours share are read once.
//!
//! Every sum is exact in wrapping i32 arithmetic, so all paths give the same bits.

use super::Isa;
use super::geometry::{Geometry, LANES};
use super::lanes::{Lanes, Order, Prepared, Weights};
use super::requantize::Requantize;

/// Most outputs of a layer that computes several results as one.
const MOST_JOINED: usize = 64;

/// Where results go: rows of `row` results, `pitch` bytes from one row's start to the next, from byte `start` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Results in a row.
    pub row: usize,
    /// Bytes from row to row.
    pub pitch: usize,
    /// First byte.
    pub start: usize,
}

impl Place {
    /// One result behind the other.
    pub fn packed(positions: usize, outputs: usize) -> Self {
        Place {
            row: positions,
            pitch: positions * outputs,
            start: 0,
        }
    }

    /// Whether rows follow each other without a gap.
    pub fn is_packed(&self, outputs: usize) -> bool {
        self.pitch == self.row * outputs
    }

    /// First byte of the result at `position`.
    #[inline]
    pub fn at(&self, position: usize, outputs: usize) -> usize {
        if position < self.row {
            return self.start + position * outputs;
        }
        self.start + position / self.row * self.pitch + position % self.row * outputs
    }

    /// One past the last byte written.
    pub fn reach(&self, positions: usize, outputs: usize) -> usize {
        positions
            .checked_sub(1)
            .map_or(0, |last| self.at(last, outputs) + outputs)
    }
}

/// A layer: geometry, packed weights and the way back to bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    /// Where patches lie.
    pub(crate) geometry: Geometry,
    /// Output channels.
    pub(crate) outputs: usize,
    /// Weights.
    pub(crate) lanes: Lanes,
    /// Back to bytes.
    pub(crate) end: Requantize,
    /// Where results go.
    pub(crate) place: Place,
    /// Multiply-accumulates, as the model states them.
    pub(crate) macs: u64,
    /// Whether rows of positions are inputs of a batch, rather than rows of an image.
    pub(crate) wide: bool,
    /// Whether bytes behind the results, up to a whole block, may be overwritten if there is one position only.
    pub(crate) free_end: bool,
    /// One past the last input byte that is read, and the last output byte that is written.
    ends: [usize; 2],
}

impl Linear {
    /// Packs `weights` (outputs x patch bytes) for the kernels of `isa`. None if packed ones do not fit.
    pub fn new(
        isa: Isa,
        geometry: Geometry,
        outputs: usize,
        weights: Weights<'_>,
        mut end: Requantize,
        place: Place,
    ) -> Option<Self> {
        let macs = geometry.positions() as u64 * outputs as u64 * geometry.patch() as u64;
        let order = isa.order();
        let count = match order {
            Order::Rows => 1,
            _ => joined(&geometry, outputs, &place),
        };
        if count > 1 {
            let wide = Geometry {
                size: [geometry.size[0], geometry.size[1] / count],
                column_step: geometry.column_step * count,
                segment: geometry.segment + (count - 1) * geometry.column_step,
                ..geometry.clone()
            };
            let wider;
            let weights = match weights {
                Weights::Plain(weights) => {
                    wider = moved(&geometry, &wide, outputs, count, weights);
                    Weights::Plain(&wider)
                }
                packed => packed,
            };
            let mut end = Requantize {
                bias: end.bias.repeat(count),
                factor: end.factor.repeat(count),
                ..end
            };
            let place = Place {
                row: place.row / count,
                ..place
            };
            let lanes = Lanes::new(order, &wide, outputs * count, weights, &mut end)?;
            return Some(Linear::with(wide, outputs * count, lanes, end, place, macs));
        }
        let lanes = Lanes::new(order, &geometry, outputs, weights, &mut end)?;
        Some(Linear::with(geometry, outputs, lanes, end, place, macs))
    }

    fn with(
        geometry: Geometry,
        outputs: usize,
        lanes: Lanes,
        end: Requantize,
        place: Place,
        macs: u64,
    ) -> Self {
        let ends = [geometry.reach(), place.reach(geometry.positions(), outputs)];
        Linear {
            geometry,
            outputs,
            lanes,
            end,
            place,
            macs,
            wide: false,
            free_end: false,
            ends,
        }
    }

    /// Computes as many inputs at once; where they lie is said by [`Linear::spread`]. Results lie in one row.
    pub(crate) fn widen(&mut self, copies: usize) {
        debug_assert!(self.geometry.size[0] == 1);
        self.geometry.size[0] = copies;
        self.wide = true;
    }

    /// Makes rows of positions those of a batch, whose inputs and outputs lie this many bytes apart.
    pub(crate) fn spread(&mut self, input: usize, output: usize) {
        self.geometry.row_step = input;
        self.place.pitch = output;
        let written = self.place.reach(self.geometry.positions(), self.outputs);
        self.ends = [self.geometry.reach(), written];
    }

    /// What packing has found out, for a file.
    pub fn prepared(&self) -> Prepared {
        Prepared {
            lines: self.lanes.stock.lines().clone(),
            bias: self.end.bias.clone(),
            factor: self.end.factor.clone(),
            exact: self.lanes.exact,
        }
    }

    /// One past the last input byte that is read.
    #[inline]
    pub fn reach(&self) -> usize {
        self.ends[0]
    }

    /// One past the last byte written.
    #[inline]
    pub fn written(&self) -> usize {
        self.ends[1]
    }

    /// Bytes of packed weights and parameters.
    pub fn bytes(&self) -> usize {
        self.end.bias.len() * 12 + self.lanes.stock.bytes()
    }
}

/// How many neighbouring results are best computed as one: an estimate in cycles of a lane-wide step.
fn joined(geometry: &Geometry, outputs: usize, place: &Place) -> usize {
    let cost = |count: usize| {
        let segment = geometry.segment + (count - 1) * geometry.column_step;
        let words = geometry.offsets.len() * segment.div_ceil(4);
        let blocks = (outputs * count).div_ceil(LANES);
        // Per word, a product for each block and half a read; per block, its way back to bytes, dearer if partial.
        let partial = usize::from(outputs * count % LANES != 0);
        words * (2 * blocks + 1) + blocks * 12 + partial * 4
    };
    let fits = |count: &usize| {
        outputs * count <= MOST_JOINED
            && geometry.size[1] % count == 0
            && place.row % count == 0
            && geometry.positions() > 1
            // Patches would be mostly zeros.
            && geometry.column_step <= geometry.segment
    };
    (1..=8)
        .filter(|count| *count == 1 || fits(count))
        .min_by_key(|count| cost(*count) * 840 / count)
        .unwrap_or(1)
}

/// `weights` for `count` results at once: each moved to where its patch lies in the wide one.
fn moved(geometry: &Geometry, wide: &Geometry, outputs: usize, count: usize, weights: &[i8]) -> Vec<i8> {
    let mut moved = vec![0i8; outputs * count * wide.patch()];
    let rows = moved.chunks_exact_mut(wide.patch().max(1));
    for (number, row) in rows.enumerate() {
        let (which, output) = (number / outputs, number % outputs);
        let from = &weights[output * geometry.patch()..][..geometry.patch()];
        for (to, from) in row
            .chunks_exact_mut(wide.segment.max(1))
            .zip(from.chunks_exact(geometry.segment.max(1)))
        {
            to[which * geometry.column_step..][..geometry.segment].copy_from_slice(from);
        }
    }
    moved
}

/// First byte of the patch at `position`.
#[inline]
pub(super) fn patch_at(geometry: &Geometry, position: usize) -> usize {
    let width = geometry.size[1];
    position / width * geometry.row_step + position % width * geometry.column_step
}
