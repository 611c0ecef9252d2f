//! A dense layer with a memory in time (SVDF), with the rounding of TFLite's reference kernel: int8 input, output and
//! feature weights, int16 memory and time weights.
//!
//! Each run takes one step: every filter's dot product with the input is written into the filter's memory, whose oldest
//! number it replaces; an output is the sum over the filters of a unit of the dot product of memory and time weights.
//! Nakkiran et al., "Compressing deep neural networks using a rank-constrained topology", Interspeech 2015.
//!
//! The memory is a ring of rows, one number per filter, so that nothing is moved and filters fill vectors.

use super::matrix::{Matrix, ROWS, whole_blocks};
use super::requantize::{Bounds, Factor, hold};
use super::{Isa, Memory};

/// A packed layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Svdf {
    inputs: usize,
    filters: usize,
    rank: usize,
    /// Rows in the ring.
    length: usize,
    features: Matrix,
    /// What the input's zero point amounts to, per filter.
    feature_bias: Vec<i32>,
    feature_factor: Factor,
    /// Per age (oldest first), one weight per filter.
    times: Vec<i16>,
    bias: Vec<i32>,
    factor: Factor,
    zero_point: i32,
}

/// What a layer is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Parts<'a> {
    /// Numbers in an input.
    pub inputs: usize,
    /// Filters per unit.
    pub rank: usize,
    /// Filters x inputs.
    pub features: &'a [i8],
    /// Filters x ages, oldest first.
    pub times: &'a [i16],
    /// One per unit, or empty.
    pub bias: Vec<i32>,
    /// Zero point of the input.
    pub input_zero_point: i32,
    /// From sums over the input to the memory.
    pub feature_factor: Factor,
    /// From sums over the memory to the output.
    pub factor: Factor,
    /// Biased zero point of the output.
    pub zero_point: i32,
}

impl Svdf {
    /// Packs a layer; `features` and `times` have the same number of filters, a multiple of `rank`.
    pub fn new(parts: Parts<'_>) -> Self {
        let filters = parts.features.len() / parts.inputs.max(1);
        let length = parts.times.len() / filters.max(1);
        let block = filters.next_multiple_of(ROWS);
        let rows = parts.features.chunks_exact(parts.inputs.max(1));
        let mut feature_bias: Vec<i32> = rows
            .map(|row| row.iter().map(|w| i32::from(*w)).sum::<i32>())
            .map(|sum| sum.wrapping_mul(-parts.input_zero_point))
            .collect();
        feature_bias.resize(block, 0);
        let mut times = vec![0i16; block * length];
        for (filter, weights) in parts.times.chunks_exact(length.max(1)).enumerate() {
            for (age, weight) in weights.iter().enumerate() {
                times[age * block + filter] = *weight;
            }
        }
        let units = filters / parts.rank.max(1);
        let mut bias = parts.bias;
        bias.resize(units, 0);
        Svdf {
            inputs: parts.inputs,
            filters,
            rank: parts.rank.max(1),
            length,
            features: Matrix::new(parts.inputs, &whole_blocks(parts.inputs, parts.features)),
            feature_bias,
            feature_factor: parts.feature_factor,
            times,
            bias,
            factor: parts.factor,
            zero_point: parts.zero_point,
        }
    }

    /// Bytes of weights and parameters, as packed.
    pub fn bytes(&self) -> usize {
        self.features.bytes() + 2 * self.times.len() + 4 * (self.feature_bias.len() + self.bias.len())
    }

    /// Multiply-accumulates of a run.
    pub fn macs(&self) -> u64 {
        (self.filters * (self.inputs + self.length)) as u64
    }

    /// Numbers that a run writes.
    pub fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// The memory of this layer, as at the start.
    pub fn memory(&self) -> Memory {
        let block = self.feature_bias.len();
        Memory {
            cells: vec![0; block * self.length],
            outputs: Vec::new(),
            start: 0,
            words: vec![0; self.features.width()],
            shorts: Vec::new(),
            sums: vec![0; block],
            turn: 0,
        }
    }
}

/// Runs one step over `input` (bytes of `q + 128`) into `output` with the kernels of `isa`, which is available.
pub fn run(isa: Isa, layer: &Svdf, memory: &mut Memory, input: &[u8], output: &mut [u8]) {
    super::versions!(isa, step(layer, memory, input, output))
}

super::versions!(
    fn step(layer: &Svdf, memory: &mut Memory, input: &[u8], output: &mut [u8]) {
        for (to, from) in memory.words.iter_mut().zip(&input[..layer.inputs]) {
            *to = i16::from(*from) - 128;
        }
        let block = layer.feature_bias.len();
        let sums = &mut memory.sums[..block];
        sums.copy_from_slice(&layer.feature_bias);
        layer.features.add_product(&memory.words, sums);
        let newest = &mut memory.cells[memory.turn * block..][..block];
        for (to, sum) in newest.iter_mut().zip(sums.iter()) {
            let value = layer.feature_factor.apply(*sum);
            *to = i16::try_from(value).unwrap_or(if value < 0 { i16::MIN } else { i16::MAX });
        }
        memory.turn = (memory.turn + 1) % layer.length;
        // From here on `turn` names the oldest row.
        sums.fill(0);
        for (age, weights) in layer.times.chunks_exact(block).enumerate() {
            let row = (memory.turn + age) % layer.length;
            let row = &memory.cells[row * block..][..block];
            for ((sum, value), weight) in sums.iter_mut().zip(row).zip(weights) {
                *sum = sum.wrapping_add(i32::from(*value) * i32::from(*weight));
            }
        }
        let all = Bounds { low: 0, high: 255 };
        let units = sums.chunks_exact(layer.rank).zip(&layer.bias);
        for (to, (sums, bias)) in output.iter_mut().zip(units) {
            let sum = sums.iter().fold(*bias, |a, b| a.wrapping_add(*b));
            *to = hold(layer.factor.apply(sum).saturating_add(layer.zero_point), all);
        }
    }
);
