//! Tensors joined along a dimension.

use super::super::compile::{Compiler, Cost};
use super::super::step::{Part, Source, Step};
use super::{computed_i8, constant_i8};
use crate::kernel::pointwise;
use crate::model::{Activation, Operator};
use crate::{Error, Result};

/// Compiles CONCATENATION. A part of another scale or zero point than the result is rescaled on the way, as QUANTIZE in
/// front of it would do; so is every part under a fused function.
pub(super) fn concatenation(
    compiler: &mut Compiler<'_>,
    number: usize,
    operator: &Operator,
    axis: i32,
    activation: Activation,
) -> Result<()> {
    let target = operator.outputs[0];
    let output = compiler.model.tensor(target)?;
    computed_i8(output)?;
    let rank = output.shape.len();
    let from_end = if axis < 0 {
        i32::try_from(rank).unwrap_or(0)
    } else {
        0
    };
    let axis = axis.checked_add(from_end).and_then(|a| usize::try_from(a).ok());
    let axis = axis
        .filter(|a| *a < rank)
        .ok_or_else(|| Error::invalid("it joins along a dimension that does not exist"))?;
    let to = output.affine()?;
    let mut parts = Vec::new();
    let mut together = 0usize;
    for position in 0..operator.inputs.len() {
        let (source, input) = compiler.input(operator, position)?;
        let alike =
            input.shape.len() == rank && (0..rank).all(|a| a == axis || input.shape[a] == output.shape[a]);
        if !alike || input.count() == 0 {
            return Err(Error::invalid(format!(
                "{:?} is no part of {:?}",
                input.shape, output.shape
            )));
        }
        let source = if input.data.is_some() {
            Source::Constant(constant_i8(input)?.iter().map(|v| *v as u8 ^ 0x80).collect())
        } else {
            computed_i8(input)?;
            Source::Buffer(compiler.read(source)?, input.count())
        };
        let from = input.affine()?;
        let table =
            (from != to || activation != Activation::None).then(|| pointwise::rescale(from, to, activation));
        let block = input.shape[axis..].iter().product();
        together = together.saturating_add(block);
        parts.push(Part { source, block, table });
    }
    let whole: usize = output.shape[axis..].iter().product();
    if together != whole || whole == 0 {
        return Err(Error::invalid("its parts do not make up its result"));
    }
    let cost = Cost {
        kernel: "portable".into(),
        macs: 0,
        weight_bytes: 256 * parts.iter().filter(|p| p.table.is_some()).count(),
    };
    let step = Step::Concatenation {
        parts,
        outer: output.count() / whole,
        whole,
        output: compiler.write(target)?,
    };
    compiler.push(number, target, step, cost)
}
