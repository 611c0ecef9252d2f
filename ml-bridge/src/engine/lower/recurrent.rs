//! Layers with a memory: LSTM and SVDF, in the form that TFLite's integer kernels take.

use super::super::compile::{Compiler, Cost};
use super::super::step::{Recurrent, Step};
use super::{computed_i8, constant_i8};
use crate::kernel::Memory;
use crate::kernel::lstm::{Constants, Gate, Lstm};
use crate::kernel::requantize::{BIAS, Factor};
use crate::kernel::svdf::{Parts, Svdf};
use crate::model::{Activation, Affine, Element, Operator, Tensor};
use crate::{Error, Result};

/// Largest number of inputs, cells, filters: far beyond any net, small enough that no product of sizes overflows.
const MAX_SIDE: usize = 1 << 16;
/// Largest number of memory slots together.
const MAX_MEMORY: usize = 1 << 24;
/// Gates are fractions of 2^15 before their function, of 2^12 behind the point.
const GATE_SCALE: f32 = 1.0 / 4096.0;

/// Positions of the LSTM's inputs, in TFLite's order.
const INPUT_WEIGHTS: usize = 1;
const RECURRENT_WEIGHTS: usize = 5;
const BIASES: usize = 12;
const OUTPUT_STATE: usize = 18;
const CELL_STATE: usize = 19;
/// Inputs of forms that are not run: peepholes, projection, layer normalization.
const ABSENT: [(std::ops::Range<usize>, &str); 3] = [
    (9..12, "peepholes"),
    (16..18, "a projection"),
    (20..24, "layer normalization"),
];

/// The scale of symmetric weights of shape `shape`, and the weights.
fn weights<'m>(
    compiler: &Compiler<'m>,
    operator: &Operator,
    position: usize,
    shape: [usize; 2],
) -> Result<(f32, &'m [i8])> {
    let (_, tensor) = compiler.input(operator, position)?;
    let affine = tensor.affine()?;
    if tensor.shape != shape || affine.zero_point != 0 {
        return Err(Error::invalid(format!(
            "its input {position} is not {shape:?} symmetric weights, but {:?} with zero point {}",
            tensor.shape, affine.zero_point
        )));
    }
    Ok((affine.scale, constant_i8(tensor)?))
}

/// The bias at `position`, or zeros.
fn bias(compiler: &Compiler<'_>, operator: &Operator, position: usize, count: usize) -> Result<Vec<i32>> {
    match compiler.optional(operator, position) {
        None => Ok(vec![0; count]),
        Some(index) => compiler
            .model
            .tensor(index)?
            .values_i32()
            .filter(|b| b.len() == count)
            .ok_or_else(|| Error::invalid(format!("its input {position} is not one i32 per unit"))),
    }
}

/// A state: kept between runs, of `count` numbers.
fn state<'m>(
    compiler: &Compiler<'m>,
    operator: &Operator,
    position: usize,
    element: Element,
    count: usize,
) -> Result<&'m Tensor> {
    let (_, tensor) = compiler.input(operator, position)?;
    if tensor.variable && tensor.data.is_none() && tensor.element == element && tensor.count() == count {
        return Ok(tensor);
    }
    Err(Error::invalid(format!(
        "its state {:?} is not {count} variable {element:?}",
        tensor.name
    )))
}

/// The power of two that `scale` is, negated, if it is one.
fn power_of_half(scale: f32) -> Option<u32> {
    (0..=31)
        .find(|n| scale.to_bits() == (0.5f32).powi(*n).to_bits())
        .map(i32::unsigned_abs)
}

fn push(
    compiler: &mut Compiler<'_>,
    number: usize,
    [source, target]: [usize; 2],
    (layer, memory): (Recurrent, Memory),
    (macs, weight_bytes): (u64, usize),
) -> Result<()> {
    let (input, output) = (compiler.read(source)?, compiler.write(target)?);
    compiler.scratch.memories.push(memory);
    let step = Step::Recurrent {
        layer: Box::new(layer),
        memory: compiler.scratch.memories.len() - 1,
        input,
        output,
    };
    let cost = Cost {
        kernel: compiler.isa.name().to_string(),
        macs,
        weight_bytes,
    };
    compiler.push(number, target, step, cost)
}

/// Compiles UNIDIRECTIONAL_SEQUENCE_LSTM of one sequence.
pub(super) fn lstm(
    compiler: &mut Compiler<'_>,
    number: usize,
    operator: &Operator,
    cell_clip: f32,
    hidden: Option<Affine>,
) -> Result<()> {
    let (source, input) = compiler.input(operator, 0)?;
    let target = operator.outputs[0];
    let output = compiler.model.tensor(target)?;
    computed_i8(input)?;
    computed_i8(output)?;
    for (positions, what) in &ABSENT {
        if positions
            .clone()
            .any(|p| compiler.optional(operator, p).is_some())
        {
            return Err(Error::invalid(format!("it has {what}, which is not run")));
        }
    }
    // With one sequence it makes no difference whether time or the sequence is the first dimension.
    let (&[a, b, inputs], &[c, d, cells]) = (input.shape.as_slice(), output.shape.as_slice()) else {
        return Err(Error::invalid(format!(
            "{:?} to {:?} is not one sequence [1, steps, numbers]",
            input.shape, output.shape
        )));
    };
    let steps = a.max(b);
    if a.min(b) != 1 || (a, b) != (c, d) || [steps, inputs, cells].iter().any(|n| !(1..MAX_SIDE).contains(n))
    {
        return Err(Error::invalid(format!(
            "{:?} to {:?} is not one sequence [1, steps, numbers]",
            input.shape, output.shape
        )));
    }
    let output_state = state(compiler, operator, OUTPUT_STATE, Element::I8, cells)?.affine()?;
    let cell = state(compiler, operator, CELL_STATE, Element::I16, cells)?.affine()?;
    let cell_shift = power_of_half(cell.scale).filter(|n| (9..=15).contains(n) && cell.zero_point == 0);
    let cell_shift =
        cell_shift.ok_or_else(|| Error::invalid(format!("its cells have scale {}", cell.scale)))?;
    let from = input.affine()?;
    let gate = |which: usize| -> Result<Gate> {
        let (scale, input) = weights(compiler, operator, INPUT_WEIGHTS + which, [cells, inputs])?;
        let (last_scale, recurrent) = weights(compiler, operator, RECURRENT_WEIGHTS + which, [cells, cells])?;
        Ok(Gate {
            input: input.to_vec(),
            recurrent: recurrent.to_vec(),
            bias: bias(compiler, operator, BIASES + which, cells)?,
            input_factor: Factor::new(f64::from(scale * from.scale / GATE_SCALE)),
            recurrent_factor: Factor::new(f64::from(last_scale * output_state.scale / GATE_SCALE)),
        })
    };
    let input_gate = match compiler.optional(operator, INPUT_WEIGHTS) {
        Some(_) => Some(gate(0)?),
        None => None,
    };
    let hidden = hidden.unwrap_or(output.affine()?);
    let unit = (0.5f32).powi(15);
    #[expect(clippy::cast_possible_truncation, reason = "held in its range")]
    let clip = (cell_clip / cell.scale).clamp(-32768.0, 32767.0) as i16;
    let constants = Constants {
        steps,
        inputs,
        cells,
        input_zero_point: from.zero_point,
        state_zero_point: output_state.zero_point,
        cell_shift,
        clip,
        hidden: Factor::new(f64::from(unit / hidden.scale * unit)),
        hidden_zero_point: hidden.zero_point,
    };
    let layer = Lstm::new(constants, input_gate, [gate(1)?, gate(2)?, gate(3)?]);
    let (memory, cost) = (layer.memory(), (layer.macs(), layer.bytes()));
    push(
        compiler,
        number,
        [source, target],
        (Recurrent::Lstm(layer), memory),
        cost,
    )
}

/// Compiles SVDF.
pub(super) fn svdf(
    compiler: &mut Compiler<'_>,
    number: usize,
    operator: &Operator,
    rank: usize,
    activation: Activation,
) -> Result<()> {
    let (source, input) = compiler.input(operator, 0)?;
    let target = operator.outputs[0];
    let output = compiler.model.tensor(target)?;
    computed_i8(input)?;
    computed_i8(output)?;
    let (_, time_weights) = compiler.input(operator, 2)?;
    let (&[1, inputs], &[1, units], &[filters, length]) = (
        input.shape.as_slice(),
        output.shape.as_slice(),
        time_weights.shape.as_slice(),
    ) else {
        return Err(Error::invalid(format!(
            "{:?} to {:?} is not one row of numbers",
            input.shape, output.shape
        )));
    };
    let sane = [inputs, units, filters, length, rank]
        .iter()
        .all(|n| (1..MAX_SIDE).contains(n))
        && units.checked_mul(rank) == Some(filters)
        && filters * length <= MAX_MEMORY;
    if !sane {
        return Err(Error::invalid(format!(
            "{filters} filters of {length} steps and rank {rank} do not give {units} numbers"
        )));
    }
    let (feature_scale, features) = weights(compiler, operator, 1, [filters, inputs])?;
    let bias = bias(compiler, operator, 3, units)?;
    let memory = state(compiler, operator, 4, Element::I16, filters * length)?.affine()?;
    let times = time_weights.affine()?;
    let values = time_weights
        .values_i16()
        .ok_or_else(|| Error::invalid("its time weights are not constant int16"))?;
    let (from, to) = (input.affine()?, output.affine()?);
    if memory.zero_point != 0 || times.zero_point != 0 {
        return Err(Error::invalid("its memory and time weights must be symmetric"));
    }
    // The reference leaves it to the output's zero point.
    let held = match activation {
        Activation::None => true,
        Activation::Relu => to.zero_point == -BIAS,
        _ => false,
    };
    if !held {
        return Err(Error::invalid(format!(
            "{activation:?} with zero point {} is not run",
            to.zero_point
        )));
    }
    let layer = Svdf::new(Parts {
        inputs,
        rank,
        features,
        times: &values,
        bias,
        input_zero_point: from.zero_point,
        feature_factor: Factor::new(f64::from(from.scale * feature_scale / memory.scale)),
        factor: Factor::new(f64::from(memory.scale * times.scale / to.scale)),
        zero_point: to.zero_point + BIAS,
    });
    let (memory, cost) = (layer.memory(), (layer.macs(), layer.bytes()));
    push(
        compiler,
        number,
        [source, target],
        (Recurrent::Svdf(layer), memory),
        cost,
    )
}
