//! One layer of long short-term memory in integers, with the rounding of TFLite's reference kernel: int8 input, output
//! and weights, int16 gates and cells.
//!
//! Per step, with gates in Q3.12 before and Q0.15 after their function and cells at a power of two:
//!
//! ```text
//! gate   = hold16(round(Wx x + b)) + round(Wh h)        each rounded to 2^-12 by its own factor
//! cell   = hold16(round(forget * cell) + round(input * candidate)),  held at the clip
//! h      = hold8(round(output * tanh(cell)) + zero point)
//! ```
//!
//! The input gate may be coupled: one minus the forget gate. All gates of a step are rows of one matrix. Cells and
//! `h` stay from one run to the next until they are reset.

use super::fixed16::{logistic_all, tanh_all};
use super::matrix::{Matrix, ROWS, whole_blocks};
use super::requantize::{BIAS, Factor, rounding_shift};
use super::{Isa, Memory};

/// Weights and constants of one gate.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    /// Cells x inputs.
    pub input: Vec<i8>,
    /// Cells x cells.
    pub recurrent: Vec<i8>,
    /// One per cell, at input scale times weight scale, without the zero point's part.
    pub bias: Vec<i32>,
    /// From the sums over the input to 2^-12.
    pub input_factor: Factor,
    /// From the sums over the last output to 2^-12.
    pub recurrent_factor: Factor,
}

/// What a layer has besides its gates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Constants {
    /// Steps in a run.
    pub steps: usize,
    /// Numbers in a step's input.
    pub inputs: usize,
    /// Cells, and numbers in a step's output.
    pub cells: usize,
    /// Zero point of the input.
    pub input_zero_point: i32,
    /// Zero point of the last output as an input; also its start.
    pub state_zero_point: i32,
    /// Cells are in units of `2^-cell_shift`, 9 to 15.
    pub cell_shift: u32,
    /// Largest absolute cell, 0 for none.
    pub clip: i16,
    /// From Q0.30 to the output.
    pub hidden: Factor,
    /// Added to the output after its factor.
    pub hidden_zero_point: i32,
}

/// A packed layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Lstm {
    constants: Constants,
    /// Whether there is an input gate of its own.
    own_input: bool,
    input: Matrix,
    recurrent: Matrix,
    input_bias: Vec<i32>,
    recurrent_bias: Vec<i32>,
    factors: Vec<[Factor; 2]>,
}

impl Lstm {
    /// Packs the input gate (absent if coupled), the forget gate, the candidate and the output gate.
    pub fn new(constants: Constants, input_gate: Option<Gate>, others: [Gate; 3]) -> Self {
        let own_input = input_gate.is_some();
        let gates: Vec<Gate> = input_gate.into_iter().chain(others).collect();
        let (mut input, mut recurrent) = (Vec::new(), Vec::new());
        let (mut input_bias, mut recurrent_bias) = (Vec::new(), Vec::new());
        for gate in &gates {
            input.extend(whole_blocks(constants.inputs, &gate.input));
            recurrent.extend(whole_blocks(constants.cells, &gate.recurrent));
            let plus = |bias: &i32, row: &[i8], zero_point: i32| {
                let sum: i32 = row.iter().map(|w| i32::from(*w)).sum();
                bias.wrapping_sub(sum.wrapping_mul(zero_point))
            };
            let rows = gate.input.chunks_exact(constants.inputs.max(1));
            let biases = gate.bias.iter().zip(rows);
            input_bias.extend(biases.map(|(b, row)| plus(b, row, constants.input_zero_point)));
            let rows = gate.recurrent.chunks_exact(constants.cells.max(1));
            recurrent_bias.extend(rows.map(|row| plus(&0, row, constants.state_zero_point)));
            input_bias.resize(input_bias.len().next_multiple_of(ROWS), 0);
            recurrent_bias.resize(recurrent_bias.len().next_multiple_of(ROWS), 0);
        }
        Lstm {
            own_input,
            input: Matrix::new(constants.inputs, &input),
            recurrent: Matrix::new(constants.cells, &recurrent),
            input_bias,
            recurrent_bias,
            factors: gates
                .iter()
                .map(|g| [g.input_factor, g.recurrent_factor])
                .collect(),
            constants,
        }
    }

    /// Bytes of weights and parameters, as packed.
    pub fn bytes(&self) -> usize {
        self.input.bytes() + self.recurrent.bytes() + 4 * (self.input_bias.len() + self.recurrent_bias.len())
    }

    /// Multiply-accumulates of a run.
    pub fn macs(&self) -> u64 {
        let c = &self.constants;
        (c.steps * self.factors.len() * c.cells * (c.inputs + c.cells)) as u64
    }

    /// Numbers that a run writes.
    pub fn outputs(&self) -> usize {
        self.constants.steps * self.constants.cells
    }

    /// The memory of this layer, as at the start.
    pub fn memory(&self) -> Memory {
        let rows = self.input_bias.len();
        Memory {
            cells: vec![0; self.constants.cells],
            outputs: vec![0; self.recurrent.width()],
            start: i16::try_from(self.constants.state_zero_point).unwrap_or(0),
            words: vec![0; self.input.width()],
            shorts: vec![0; rows],
            sums: vec![0; 2 * rows],
            turn: 0,
        }
        .fresh()
    }
}

/// Runs all steps over `input` (bytes of `q + 128`) into `output` with the kernels of `isa`, which is available.
pub fn run(isa: Isa, layer: &Lstm, memory: &mut Memory, input: &[u8], output: &mut [u8]) {
    super::versions!(isa, steps(layer, memory, input, output))
}

super::versions!(
    fn steps(layer: &Lstm, memory: &mut Memory, input: &[u8], output: &mut [u8]) {
        let c = &layer.constants;
        let inputs = input.chunks_exact(c.inputs.max(1));
        let outputs = output.chunks_exact_mut(c.cells.max(1));
        for (input, output) in inputs.zip(outputs).take(c.steps) {
            step(layer, memory, input, output);
        }
    }
);

#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "held in range, or cut off as the reference does"
)]
fn step(layer: &Lstm, memory: &mut Memory, input: &[u8], output: &mut [u8]) {
    let c = &layer.constants;
    for (to, from) in memory.words.iter_mut().zip(input) {
        *to = i16::from(*from) - 128;
    }
    let rows = layer.input_bias.len();
    let (sums, last_sums) = memory.sums.split_at_mut(rows);
    sums.copy_from_slice(&layer.input_bias);
    last_sums.copy_from_slice(&layer.recurrent_bias);
    layer.input.add_product(&memory.words, sums);
    layer.recurrent.add_product(&memory.outputs, last_sums);

    let block = c.cells.next_multiple_of(ROWS);
    let gates = memory.shorts.chunks_exact_mut(block);
    let sums = sums.chunks_exact(block).zip(last_sums.chunks_exact(block));
    for ((gate, (sums, last_sums)), [factor, last_factor]) in gates.zip(sums).zip(&layer.factors) {
        for ((to, sum), last) in gate.iter_mut().zip(sums).zip(last_sums) {
            let first = factor.apply(*sum).clamp(-32768, 32767);
            *to = last_factor
                .apply(*last)
                .saturating_add(first)
                .clamp(-32768, 32767) as i16;
        }
    }
    let (input_gate, rest) = memory
        .shorts
        .split_at_mut(if layer.own_input { block } else { 0 });
    let (forget, rest) = rest.split_at_mut(block);
    let (candidate, out) = rest.split_at_mut(block);
    logistic_all(input_gate);
    logistic_all(forget);
    in_place_tanh(candidate);
    logistic_all(out);

    let shift = 30 - c.cell_shift as i32;
    for (index, cell) in memory.cells.iter_mut().enumerate() {
        let gate = input_gate.get(index).copied().unwrap_or(32767 - forget[index]);
        let kept = rounding_shift(i32::from(forget[index]) * i32::from(*cell), 15) as i16;
        let new = rounding_shift(i32::from(gate) * i32::from(candidate[index]), shift) as i16;
        *cell = kept.saturating_add(new);
        if c.clip > 0 {
            *cell = (*cell).clamp(-c.clip, c.clip);
        }
    }
    tanh_all(15 - c.cell_shift, &memory.cells, candidate);
    for (index, byte) in output.iter_mut().enumerate() {
        let product = i32::from(out[index]) * i32::from(candidate[index]);
        let value = (c.hidden.apply(product).saturating_add(c.hidden_zero_point)).clamp(-128, 127);
        memory.outputs[index] = value as i16;
        *byte = (value + BIAS) as u8;
    }
}

/// `tanh` of numbers with 3 integer bits.
#[inline(always)]
fn in_place_tanh(values: &mut [i16]) {
    for part in values.chunks_mut(ROWS) {
        let mut from = [0; ROWS];
        from[..part.len()].copy_from_slice(part);
        tanh_all(3, &from[..part.len()], part);
    }
}
