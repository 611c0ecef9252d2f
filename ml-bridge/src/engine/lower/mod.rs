//! Each operator's way into a step: its shapes and types are checked here, so that kernels can rely on them.

mod dense;

use super::compile::Compiler;
use crate::model::{Element, Kind, Operator, Tensor};
use crate::{Error, Result};

/// Compiles one operator.
pub(super) fn lower(compiler: &mut Compiler<'_>, number: usize, operator: &Operator) -> Result<()> {
    match &operator.kind {
        Kind::FullyConnected { activation } => dense::lower(compiler, number, operator, *activation),
        Kind::Reshape => reshape(compiler, operator),
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
fn constant_i8(tensor: &Tensor) -> Result<Vec<i8>> {
    match &tensor.data {
        Some(data) if tensor.element == Element::I8 => Ok(data.iter().map(|b| *b as i8).collect()),
        _ => Err(Error::invalid(format!(
            "tensor {:?} is not constant int8",
            tensor.name
        ))),
    }
}
