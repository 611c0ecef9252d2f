//! Operators that work element by element, and softmax.

use super::super::compile::{Compiler, Cost};
use super::super::step::{Source, Step};
use super::{computed_i8, constant_i8};
use crate::kernel::pointwise::{Binary, Table};
use crate::kernel::softmax::Softmax;
use crate::model::{Affine, Kind, Operator};
use crate::{Error, Result};

/// Compiles an operator that is a table of 256 results.
pub(super) fn table(
    compiler: &mut Compiler<'_>,
    number: usize,
    operator: &Operator,
    make: impl Fn(Affine, Affine) -> Result<Box<Table>>,
) -> Result<()> {
    let (source, input) = compiler.input(operator, 0)?;
    let target = operator.outputs[0];
    let output = compiler.model.tensor(target)?;
    computed_i8(input)?;
    computed_i8(output)?;
    if input.count() != output.count() {
        return Err(Error::invalid(format!(
            "{:?} does not give {:?}",
            input.shape, output.shape
        )));
    }
    let table = make(input.affine()?, output.affine()?)?;
    let (from, to) = (compiler.read(source)?, compiler.write(target)?);
    let cost = Cost {
        kernel: "table".into(),
        macs: 0,
        weight_bytes: 256,
    };
    compiler.push(
        number,
        target,
        Step::Table {
            table,
            input: from,
            output: to,
            count: output.count(),
        },
        cost,
    )
}

/// Refuses an output scale other than the one that the function fixes.
pub(super) fn fixed_output(to: Affine, scale: f32, zero_point: i32) -> Result<()> {
    if (to.scale - scale).abs() <= scale * 1e-6 && to.zero_point == zero_point {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "its output needs scale {scale} and zero point {zero_point}"
    )))
}

/// Compiles SOFTMAX.
pub(super) fn softmax(
    compiler: &mut Compiler<'_>,
    number: usize,
    operator: &Operator,
    beta: f32,
) -> Result<()> {
    let (source, input) = compiler.input(operator, 0)?;
    let target = operator.outputs[0];
    let output = compiler.model.tensor(target)?;
    computed_i8(input)?;
    computed_i8(output)?;
    fixed_output(output.affine()?, 1.0 / 256.0, -128)?;
    let length = input.shape.last().copied().unwrap_or(0);
    if input.count() != output.count() || length == 0 || !(beta.is_finite() && beta > 0.0) {
        return Err(Error::invalid(format!(
            "{:?} does not give {:?}",
            input.shape, output.shape
        )));
    }
    let layer = Softmax::new(length, input.affine()?.scale, beta);
    let cost = Cost {
        kernel: "portable".into(),
        macs: 0,
        weight_bytes: layer.bytes(),
    };
    let (from, to) = (compiler.read(source)?, compiler.write(target)?);
    compiler.push(
        number,
        target,
        Step::Softmax {
            layer: Box::new(layer),
            input: from,
            output: to,
            count: output.count(),
        },
        cost,
    )
}

/// Compiles ADD, SUB and MUL.
pub(super) fn binary(compiler: &mut Compiler<'_>, number: usize, operator: &Operator) -> Result<()> {
    let target = operator.outputs[0];
    let output = compiler.model.tensor(target)?;
    computed_i8(output)?;
    let mut sources = Vec::new();
    let mut affine = Vec::new();
    for position in 0..2 {
        let (source, input) = compiler.input(operator, position)?;
        if !repeats(&input.shape, &output.shape) || input.count() == 0 {
            return Err(Error::invalid(format!(
                "{:?} cannot be repeated over {:?}",
                input.shape, output.shape
            )));
        }
        affine.push(input.affine()?);
        sources.push(if input.data.is_some() {
            Source::Constant(constant_i8(input)?.iter().map(|v| *v as u8 ^ 0x80).collect())
        } else {
            computed_i8(input)?;
            let count = input.count();
            Source::Buffer(compiler.read(source)?, count)
        });
    }
    let (left, right, to) = (affine[0], affine[1], output.affine()?);
    let layer = match operator.kind {
        Kind::Add { activation } => Binary::sum(left, right, to, 1, activation),
        Kind::Sub { activation } => Binary::sum(left, right, to, -1, activation),
        Kind::Mul { activation } => Binary::product(left, right, to, activation),
        _ => return Err(Error::invalid("not an operator of two tensors")),
    };
    let cost = Cost {
        kernel: compiler.isa.name().to_string(),
        macs: 0,
        weight_bytes: 0,
    };
    let right = sources
        .pop()
        .ok_or_else(|| Error::invalid("it needs two inputs"))?;
    let left = sources
        .pop()
        .ok_or_else(|| Error::invalid("it needs two inputs"))?;
    let count = output.count();
    let to = compiler.write(target)?;
    compiler.push(
        number,
        target,
        Step::Binary {
            layer: Box::new(layer),
            left,
            right,
            output: to,
            count,
        },
        cost,
    )
}

/// Whether `shape` is the end of `whole` (ones in front do not count), so that it repeats.
fn repeats(shape: &[usize], whole: &[usize]) -> bool {
    let skip = shape.iter().take_while(|d| **d == 1).count();
    shape.len() <= whole.len() && whole.ends_with(&shape[skip..])
}
