//! Weights packed in 32-bit lanes.
//!
//! A *block* is 16 outputs; a *group* is up to 8 blocks that one pass over the patch computes. A line of 64 bytes holds
//! the weights of a block for four patch bytes, in the [`Order`] that the instructions want.

use super::geometry::{Geometry, LANES};
pub use super::line::Line;
pub use super::lines::{Lines, Stock};
use super::requantize::{BIAS, Factor, Requantize};
use super::scale::{drop_tiny, exact_for, size_of_sums, sum_of};

/// A layer's weights.
#[derive(Debug, Clone, Copy)]
pub enum Weights<'a> {
    /// Row by row, as the model has them.
    Plain(&'a [i8]),
    /// As a layer of the same shape and order has packed them.
    Packed(&'a Prepared),
}

/// A packed layer, as a file holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// See [`Stock`].
    pub lines: Lines,
    /// Where results are not exact: biases of the outputs, with what the input's zero point amounts to.
    pub bias: Vec<i32>,
    /// And their factors.
    pub factor: Vec<Factor>,
    /// See [`Lanes::exact`].
    pub exact: bool,
}

impl Prepared {
    /// Takes over what is there for each of `outputs` outputs. False if it does not fit.
    pub fn give(&self, outputs: usize, end: &mut Requantize) -> bool {
        let count = if self.exact { 0 } else { outputs };
        end.bias.clone_from(&self.bias);
        end.factor.clone_from(&self.factor);
        self.bias.len() == count && self.factor.len() == count
    }
}

/// Consecutive outputs computed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// First output.
    pub first: usize,
    /// Outputs.
    pub outputs: usize,
    /// Blocks.
    pub blocks: usize,
    /// First line of weights.
    pub line: usize,
    /// First block overall.
    pub block: usize,
}

impl Group {
    /// Its blocks from `first` on, at most `most`; lines of a word lie as far apart as before.
    pub fn part(&self, first: usize, most: usize) -> Group {
        let blocks = (self.blocks - first).min(most);
        Group {
            first: self.first + first * LANES,
            outputs: (self.outputs - first * LANES).min(blocks * LANES),
            blocks,
            line: self.line + first,
            block: self.block + first,
        }
    }
}

/// How the weights of 16 outputs for four patch bytes lie in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Output 0: four weights; output 1 ...: for instructions that add four products to a lane.
    Words,
    /// As `Words`, but always one block at a time, and depthwise layers as `Pairs`: for short registers.
    Blocks,
    /// As `Blocks`, for instructions that take signed bytes, which are the stored ones less 128: packed biases have 128
    /// times the sum of their weights more.
    Signed,
    /// Output 0: two weights; ... output 15; then the other two of each: for instructions that add two.
    Pairs,
    /// Four outputs at a time, eight patch bytes each, to the end of the patch; then the next four outputs. A patch is
    /// one segment, filled up to a multiple of eight: for instructions that add neighbours and whole registers of
    /// input. See `kernel/rows.rs`.
    Rows,
}

impl Order {
    /// The place in a line of the weight of `lane` for patch byte `byte`, `0..4`.
    #[inline]
    fn place(self, lane: usize, byte: usize) -> usize {
        match self {
            Order::Words | Order::Blocks | Order::Signed => lane * 4 + byte,
            Order::Pairs | Order::Rows => byte / 2 * 32 + lane * 2 + byte % 2,
        }
    }

    /// Segments of a patch, and words of four bytes in each, as weights are packed.
    pub fn steps(self, geometry: &Geometry) -> [usize; 2] {
        match self {
            Order::Rows => [1, geometry.patch().next_multiple_of(8) / 4],
            _ => [geometry.offsets.len(), geometry.segment.div_ceil(4)],
        }
    }
}

/// Packed weights and constants of a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Lanes {
    /// Groups in order.
    pub groups: Vec<Group>,
    /// Words of 4 bytes in a segment.
    pub words: usize,
    /// Biases and constants per block; weights by group, segment, word, block.
    pub stock: Stock,
    /// Whether the nine instructions are exact for every sum that can occur.
    pub exact: bool,
}

impl Lanes {
    /// Packs `weights` (outputs x patch bytes), or takes packed ones if they fit; factors that are too small to matter
    /// are dropped from `end`, or all taken over.
    pub fn new(
        order: Order,
        geometry: &Geometry,
        outputs: usize,
        weights: Weights<'_>,
        end: &mut Requantize,
    ) -> Option<Self> {
        let [segments, words] = order.steps(geometry);
        let steps = segments * words;
        let blocks = outputs.div_ceil(LANES);
        let lines = blocks * steps;
        let (stock, weights, exact) = match weights {
            Weights::Plain(weights) => {
                let mut exact = true;
                for (channel, row) in weights.chunks_exact(geometry.patch().max(1)).enumerate() {
                    let size = size_of_sums(row);
                    drop_tiny(size, end, channel);
                    exact &= exact_for(size, end, channel);
                    if order == Order::Signed {
                        let moved = sum_of(row).wrapping_mul(BIAS);
                        end.bias[channel] = end.bias[channel].wrapping_add(moved);
                    }
                }
                let channel = |block: usize, lane: usize| Some(block * LANES + lane).filter(|o| *o < outputs);
                (Stock::new(end, blocks, channel, lines), weights, exact)
            }
            Weights::Packed(packed) => {
                if !packed.give(outputs, end) {
                    return None;
                }
                (
                    Stock::packed(&packed.lines, blocks, lines)?,
                    &[][..],
                    packed.exact,
                )
            }
        };
        // One patch alone is bound by reading weights: wide groups keep several streams of sums going.
        let most = match order {
            Order::Words if geometry.positions() == 1 => 8,
            Order::Words => 4,
            Order::Blocks | Order::Signed | Order::Pairs | Order::Rows => 1,
        };
        let mut lanes = Lanes {
            groups: groups(outputs, most, steps),
            words,
            stock,
            exact,
        };
        if !weights.is_empty() {
            let lines = lanes.stock.weights_mut();
            for group in &lanes.groups {
                pack(lines, order, geometry, words, group, weights);
            }
        }
        if exact {
            end.forget();
        }
        Some(lanes)
    }
}

/// Packs the weights of one group.
fn pack(lines: &mut [Line], order: Order, geometry: &Geometry, words: usize, group: &Group, weights: &[i8]) {
    let (segment, patch) = (geometry.segment, geometry.patch());
    let steps = geometry.offsets.len() * words;
    for block in 0..group.blocks {
        let outputs = (group.outputs - block * LANES).min(LANES);
        let weights = &weights[(group.first + block * LANES) * patch..][..outputs * patch];
        if order == Order::Rows {
            let lines = &mut lines[group.line + block * words..][..words];
            pack_rows(lines, patch, weights);
            continue;
        }
        let mut into = lines[group.line + block..]
            .iter_mut()
            .step_by(group.blocks)
            .take(steps);
        for number in 0..geometry.offsets.len() {
            let whole = if order == Order::Pairs { 0 } else { segment / 4 };
            for word in 0..words {
                let Some(line) = into.next() else { return };
                let at = number * segment + word * 4;
                if word < whole {
                    // Rows are read side by side, lines written one behind the other.
                    let words = line.0.chunks_exact_mut(4);
                    for (lane, to) in words.enumerate().take(outputs) {
                        to.copy_from_slice(&weights[lane * patch + at..][..4]);
                    }
                    continue;
                }
                let count = (segment - word * 4).min(4);
                for lane in 0..outputs {
                    for (byte, weight) in weights[lane * patch + at..][..count].iter().enumerate() {
                        line.0[order.place(lane, byte)] = *weight;
                    }
                }
            }
        }
    }
}

/// Packs rows of `patch` weights of one block in [`Order::Rows`].
fn pack_rows(lines: &mut [Line], patch: usize, weights: &[i8]) {
    let chunks = lines.len() / 2;
    for (lane, row) in weights.chunks_exact(patch.max(1)).enumerate() {
        for (chunk, from) in row.chunks(8).enumerate() {
            let eight = (lane / 4 * chunks + chunk) * 4 + lane % 4;
            lines[eight / 8].0[eight % 8 * 8..][..from.len()].copy_from_slice(from);
        }
    }
}

/// Groups of up to `most` blocks for `outputs`, each block with `steps` lines.
fn groups(outputs: usize, most: usize, steps: usize) -> Vec<Group> {
    let total = outputs.div_ceil(LANES);
    (0..total)
        .step_by(most)
        .map(|block| Group {
            first: block * LANES,
            outputs: (outputs - block * LANES).min(most * LANES),
            blocks: (total - block).min(most),
            line: block * steps,
            block,
        })
        .collect()
}
