//! Dense layers, and what they share with convolutions: bias and factors.

use super::super::compile::{Compiler, Cost};
use super::super::step::Step;
use super::{computed_i8, constant_i8};
use crate::kernel::geometry::Geometry;
use crate::kernel::lanes::Weights;
use crate::kernel::linear::{Linear, Place};
use crate::kernel::requantize::{BIAS, Bounds, Factor, Requantize, Rounding};
use crate::model::{Activation, Operator, Tensor};
use crate::{Error, Result};

pub(super) fn lower(
    compiler: &mut Compiler<'_>,
    number: usize,
    operator: &Operator,
    activation: Activation,
) -> Result<()> {
    let (source, input) = compiler.input(operator, 0)?;
    let (_, weights) = compiler.input(operator, 1)?;
    let target = operator.outputs[0];
    let output = compiler.model.tensor(target)?;
    computed_i8(input)?;
    computed_i8(output)?;
    let &[outputs, inputs] = weights.shape.as_slice() else {
        return Err(Error::invalid(format!(
            "its weights have the shape {:?}",
            weights.shape
        )));
    };
    let rows = input.count().checked_div(inputs).unwrap_or(0);
    let fits = rows * inputs == input.count() && rows.checked_mul(outputs) == Some(output.count());
    if !fits || output.count() == 0 {
        return Err(Error::invalid(format!(
            "{:?} times {:?} does not give {:?}",
            input.shape, weights.shape, output.shape
        )));
    }
    let values = constant_i8(weights)?;
    let (weights, mut end) = match compiler.prepared(number) {
        Some(packed) => (Weights::Packed(packed), bare(output, activation)?),
        None => {
            let tensors = [input, weights, output];
            let end = end(compiler, operator, tensors, values, outputs, activation)?;
            (Weights::Plain(values), end)
        }
    };
    // The reference kernel of this operator rounds otherwise than all others.
    end.rounding = Rounding::Once;
    let geometry = Geometry {
        size: [1, rows],
        row_step: 0,
        column_step: inputs,
        offsets: vec![0],
        segment: inputs,
    };
    let place = Place::packed(rows, outputs);
    let layer = packed_layer(compiler, geometry, outputs, weights, end, place)?;
    push(compiler, number, [source, target], layer)
}

/// Adds the step of `layer` from tensor `ends[0]` to tensor `ends[1]`.
pub(super) fn push(
    compiler: &mut Compiler<'_>,
    number: usize,
    ends: [usize; 2],
    layer: Linear,
) -> Result<()> {
    let input = compiler.read(ends[0])?;
    let output = compiler.write(ends[1])?;
    push_step(compiler, number, ends[1], [input, output], layer)
}

/// As [`push`], between buffers.
pub(super) fn push_step(
    compiler: &mut Compiler<'_>,
    number: usize,
    target: usize,
    [input, output]: [usize; 2],
    mut layer: Linear,
) -> Result<()> {
    layer.free_end = compiler.padded(target).is_none();
    compiler.reach(input, layer.reach());
    compiler.scratch.fit_linear(compiler.isa, &layer);
    let cost = Cost {
        kernel: compiler.isa.name().to_string(),
        macs: layer.macs,
        weight_bytes: layer.bytes(),
    };
    compiler.push(
        number,
        target,
        Step::Linear {
            layer: Box::new(layer),
            input,
            output,
        },
        cost,
    )
}

/// Bias and factors of a layer whose `weights` are `outputs` rows of the same length.
pub(super) fn end(
    compiler: &Compiler<'_>,
    operator: &Operator,
    [input, weights, output]: [&Tensor; 3],
    values: &[i8],
    outputs: usize,
    activation: Activation,
) -> Result<Requantize> {
    let mut end = factors(compiler, operator, [input, weights, output], outputs, activation)?;
    add_zero_point(&mut end, input, values)?;
    Ok(end)
}

/// Adds to the bias what the input's zero point amounts to: the sum over stored bytes is the sum over
/// (q - zero point) plus this much. `values` are rows of weights, one per output.
pub(super) fn add_zero_point(end: &mut Requantize, input: &Tensor, values: &[i8]) -> Result<()> {
    let offset = input.affine()?.zero_point + BIAS;
    let row = (values.len() / end.bias.len().max(1)).max(1);
    for (bias, row) in end.bias.iter_mut().zip(values.chunks_exact(row)) {
        let sum = crate::kernel::scale::sum_of(row);
        *bias = bias.wrapping_sub(sum.wrapping_mul(offset));
    }
    Ok(())
}

/// What packed weights lack of a layer's end.
pub(super) fn bare(output: &Tensor, activation: Activation) -> Result<Requantize> {
    let to = output.affine()?;
    Ok(Requantize {
        bias: Vec::new(),
        factor: Vec::new(),
        rounding: Rounding::Twice,
        zero_point: to.zero_point + BIAS,
        bounds: Bounds::new(activation, to),
    })
}

/// Packs a layer; one whose results lie in one row is computed for all inputs of a batch at once.
pub(super) fn packed_layer(
    compiler: &Compiler<'_>,
    geometry: Geometry,
    outputs: usize,
    weights: Weights<'_>,
    end: Requantize,
    place: Place,
) -> Result<Linear> {
    let [rows, columns] = geometry.size;
    let wide = compiler.copies > 1 && rows == 1 && place == Place::packed(columns, outputs);
    let mut layer = Linear::new(compiler.isa, geometry, outputs, weights, end, place).ok_or_else(misfit)?;
    if wide {
        // Packed as for one input, so that a file's packed weights serve a batch too.
        layer.widen(compiler.copies);
    }
    Ok(layer)
}

/// The error for packed weights that are not those of the layer.
pub(super) fn misfit() -> Error {
    Error::invalid("its packed weights do not fit its shape")
}

/// The bias of `operator`, one per output; zeros if it has none.
pub(super) fn bias(compiler: &Compiler<'_>, operator: &Operator, outputs: usize) -> Result<Vec<i32>> {
    let Some(index) = compiler.optional(operator, 2) else {
        return Ok(vec![0; outputs]);
    };
    let values = compiler.model.tensor(index)?.values_i32();
    values
        .filter(|b| b.len() == outputs)
        .ok_or_else(|| Error::invalid("its bias is not one i32 per output"))
}

/// As [`end`], the bias without what the input's zero point amounts to.
pub(super) fn factors(
    compiler: &Compiler<'_>,
    operator: &Operator,
    [input, weights, output]: [&Tensor; 3],
    outputs: usize,
    activation: Activation,
) -> Result<Requantize> {
    let (from, to) = (input.affine()?, output.affine()?);
    let quantization = weights
        .quantization
        .as_ref()
        .filter(|q| q.scales.len() == 1 || q.scales.len() == outputs)
        .filter(|q| q.zero_points.iter().all(|z| *z == 0))
        .ok_or_else(|| Error::invalid("its weights need symmetric scales, one or one per output"))?;
    let real = |scale: f32| f64::from(from.scale) * f64::from(scale) / f64::from(to.scale);
    let mut factor: Vec<Factor> = quantization
        .scales
        .iter()
        .map(|s| Factor::new(real(*s)))
        .collect();
    if factor.len() != outputs {
        factor = vec![factor[0]; outputs];
    }
    let bias = bias(compiler, operator, outputs)?;
    Ok(Requantize {
        bias,
        factor,
        ..bare(output, activation)?
    })
}
