//! Each operator's way into a step: its shapes and types are checked here, so that kernels can rely on them.

mod conv;
mod dense;
mod element;
mod join;
mod recurrent;
mod signs;
mod spatial;

pub(super) use conv::padding_for;

use super::compile::Compiler;
use crate::kernel::{self, pointwise};
use crate::model::{Activation, Element, Kind, Operator, Tensor};
use crate::{Error, Result};

/// Compiles one operator.
pub(super) fn lower(compiler: &mut Compiler<'_>, number: usize, operator: &Operator) -> Result<()> {
    match &operator.kind {
        Kind::FullyConnected { activation } => dense::lower(compiler, number, operator, *activation),
        Kind::Conv2d { sliding, activation } => conv::conv(compiler, number, operator, sliding, *activation),
        Kind::DepthwiseConv2d { sliding, activation } => {
            conv::depthwise(compiler, number, operator, sliding, *activation)
        }
        Kind::AveragePool2d {
            sliding,
            window,
            activation,
        } => spatial::pool(compiler, number, operator, (sliding, *window, *activation), false),
        Kind::MaxPool2d {
            sliding,
            window,
            activation,
        } => spatial::pool(compiler, number, operator, (sliding, *window, *activation), true),
        Kind::Mean => spatial::mean(compiler, number, operator),
        Kind::Pad => spatial::pad(compiler, number, operator),
        Kind::Concatenation { axis, activation } => {
            join::concatenation(compiler, number, operator, *axis, *activation)
        }
        Kind::Reshape => reshape(compiler, operator),
        Kind::Add { .. } | Kind::Sub { .. } | Kind::Mul { .. } => element::binary(compiler, number, operator),
        Kind::Softmax { beta } => element::softmax(compiler, number, operator, *beta),
        Kind::Logistic => element::table(compiler, number, operator, |from, to| {
            element::fixed_output(to, 1.0 / 256.0, -128)?;
            Ok(pointwise::logistic(from))
        }),
        Kind::Tanh => element::table(compiler, number, operator, |from, to| {
            element::fixed_output(to, 1.0 / 128.0, 0)?;
            Ok(pointwise::tanh(from))
        }),
        Kind::Relu { activation } => element::table(compiler, number, operator, |from, to| {
            Ok(pointwise::rescale(from, to, *activation))
        }),
        Kind::Quantize => element::table(compiler, number, operator, |from, to| {
            Ok(pointwise::rescale(from, to, Activation::None))
        }),
        Kind::Lstm {
            cell_clip, hidden, ..
        } => recurrent::lstm(compiler, number, operator, *cell_clip, *hidden),
        Kind::BinaryDense => signs::lower(compiler, number, operator, None),
        Kind::BinaryConv2d { sliding } => signs::lower(compiler, number, operator, Some(sliding)),
        Kind::Svdf { rank, activation } => recurrent::svdf(compiler, number, operator, *rank, *activation),
        other => Err(Error::invalid(format!("{} is not supported", other.name()))),
    }
}

fn reshape(compiler: &mut Compiler<'_>, operator: &Operator) -> Result<()> {
    let (from, input) = compiler.input(operator, 0)?;
    let to = operator.outputs[0];
    let output = compiler.model.tensor(to)?;
    if input.count() != output.count() || input.element != output.element {
        return Err(Error::invalid(format!(
            "{:?} does not hold as much as {:?}",
            input.shape, output.shape
        )));
    }
    compiler.alias(from, to)
}

/// Checks that `tensor` is int8 and not constant.
fn computed_i8(tensor: &Tensor) -> Result<()> {
    if tensor.element == Element::I8 && tensor.data.is_none() {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "tensor {:?} is not computed int8",
        tensor.name
    )))
}

/// The int8 numbers of a constant.
fn constant_i8(tensor: &Tensor) -> Result<&[i8]> {
    match &tensor.data {
        Some(data) if tensor.element == Element::I8 => Ok(kernel::signed::signed(data)),
        _ => Err(Error::invalid(format!(
            "tensor {:?} is not constant int8",
            tensor.name
        ))),
    }
}
