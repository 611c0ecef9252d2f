//! Pools, padding, means, concatenation: what moves and gathers numbers.

use super::super::compile::{Compiler, Cost};
use super::super::step::Step;
use super::computed_i8;
use super::conv::image;
use crate::kernel::mean::Mean;
use crate::kernel::pool::{Pad, Pool};
use crate::kernel::requantize::{BIAS, Bounds};
use crate::model::{Activation, Operator, Sliding, Tensor};
use crate::{Error, Result};

fn plain(macs: usize) -> Cost {
    Cost {
        kernel: "portable".into(),
        macs: macs as u64,
        weight_bytes: 0,
    }
}

/// Refuses results that do not mean the same as the input.
fn same_meaning(input: &Tensor, output: &Tensor) -> Result<()> {
    if input.affine()? == output.affine()? {
        return Ok(());
    }
    Err(Error::invalid(
        "its input and output have different scales or zero points",
    ))
}

/// Compiles a pool.
pub(super) fn pool(
    compiler: &mut Compiler<'_>,
    number: usize,
    operator: &Operator,
    (sliding, window, activation): (&Sliding, [usize; 2], Activation),
    max: bool,
) -> Result<()> {
    let (source, input) = compiler.input(operator, 0)?;
    let target = operator.outputs[0];
    let output = compiler.model.tensor(target)?;
    let image = image(input, output, window, sliding)?;
    if output.shape.last() != Some(&image.channels) {
        return Err(Error::invalid("a pool keeps its channels"));
    }
    same_meaning(input, output)?;
    let layer = Pool {
        input: image.input,
        channels: image.channels,
        output: image.output,
        window,
        stride: sliding.stride,
        before: image.before,
        bounds: Bounds::new(activation, output.affine()?),
        max,
    };
    let cost = plain(output.count() * window[0] * window[1]);
    let (from, to) = (compiler.read(source)?, compiler.write(target)?);
    compiler.push(
        number,
        target,
        Step::Pool {
            layer: Box::new(layer),
            input: from,
            output: to,
        },
        cost,
    )
}

/// Compiles PAD of an image's height and width, or of one dimension and its neighbour.
pub(super) fn pad(compiler: &mut Compiler<'_>, number: usize, operator: &Operator) -> Result<()> {
    let (source, input) = compiler.input(operator, 0)?;
    let (_, amounts) = compiler.input(operator, 1)?;
    let target = operator.outputs[0];
    let output = compiler.model.tensor(target)?;
    computed_i8(input)?;
    computed_i8(output)?;
    same_meaning(input, output)?;
    let amounts = amounts
        .values_i32()
        .ok_or_else(|| Error::invalid("its paddings are not constant"))?;
    let amounts: Vec<usize> = amounts
        .iter()
        .map(|a| usize::try_from(*a).unwrap_or(usize::MAX))
        .collect();
    let around = |axis: usize| (amounts[2 * axis], amounts[2 * axis + 1]);
    let rank = input.shape.len();
    let fits = amounts.len() == 2 * rank
        && output.shape.len() == rank
        && (0..rank).all(|a| {
            let (before, after) = around(a);
            before
                .checked_add(after)
                .and_then(|p| p.checked_add(input.shape[a]))
                == Some(output.shape[a])
        });
    if !fits {
        return Err(Error::invalid(format!(
            "{amounts:?} does not take {:?} to {:?}",
            input.shape, output.shape
        )));
    }
    let padded: Vec<usize> = (0..rank).filter(|a| around(*a) != (0, 0)).collect();
    let first = padded.first().copied().unwrap_or(rank.saturating_sub(1));
    let product = |from: usize| input.shape[from..].iter().product::<usize>();
    let leading: usize = input.shape[..first].iter().product();
    let (outer, inner) = match padded.as_slice() {
        [] => (None, first),
        [_] if leading == 1 => (Some(first), (first + 1).min(rank)),
        [_] => (None, first),
        [a, b] if b - a == 1 && leading == 1 => (Some(*a), *b),
        _ => return Err(Error::invalid("only two neighbouring dimensions are padded")),
    };
    let inside = product((inner + 1).min(rank));
    let (left, right) = if inner < rank { around(inner) } else { (0, 0) };
    let (above, below) = outer.map_or((0, 0), around);
    let row = product(inner.min(rank));
    let layer = Pad {
        rows: input.count() / row.max(1),
        row,
        above,
        below,
        left: left * inside,
        right: right * inside,
        value: u8::try_from(output.affine()?.zero_point + BIAS).unwrap_or(0),
        repeat: 1,
    };
    if layer.bytes() != output.count() {
        return Err(Error::invalid("this padding is not supported"));
    }
    let (from, to) = (compiler.read(source)?, compiler.write(target)?);
    compiler.push(
        number,
        target,
        Step::Pad {
            layer: Box::new(layer),
            input: from,
            output: to,
        },
        plain(0),
    )
}

/// Compiles MEAN over neighbouring dimensions.
pub(super) fn mean(compiler: &mut Compiler<'_>, number: usize, operator: &Operator) -> Result<()> {
    let (source, input) = compiler.input(operator, 0)?;
    let (_, axes) = compiler.input(operator, 1)?;
    let target = operator.outputs[0];
    let output = compiler.model.tensor(target)?;
    computed_i8(input)?;
    computed_i8(output)?;
    let rank = i32::try_from(input.shape.len()).unwrap_or(0);
    let axes = axes
        .values_i32()
        .ok_or_else(|| Error::invalid("its axes are not constant"))?;
    let mut axes: Vec<usize> = axes
        .iter()
        .filter_map(|a| usize::try_from(if *a < 0 { a + rank } else { *a }).ok())
        .filter(|a| *a < input.shape.len())
        .collect();
    axes.sort_unstable();
    axes.dedup();
    let (Some(first), Some(last)) = (axes.first(), axes.last()) else {
        return Err(Error::invalid("it has no axes"));
    };
    if last - first + 1 != axes.len() {
        return Err(Error::invalid("only neighbouring dimensions are averaged"));
    }
    let outer: usize = input.shape[..*first].iter().product();
    let reduced: usize = input.shape[*first..=*last].iter().product();
    let inner: usize = input.shape[last + 1..].iter().product();
    if outer * inner != output.count() || output.count() == 0 || !(1..1 << 23).contains(&reduced) {
        return Err(Error::invalid(format!(
            "the mean of {:?} is not {:?}",
            input.shape, output.shape
        )));
    }
    let layer = Mean::new([outer, reduced, inner], input.affine()?, output.affine()?);
    let cost = plain(input.count());
    compiler.scratch.fit_sums(inner);
    let (from, to) = (compiler.read(source)?, compiler.write(target)?);
    compiler.push(
        number,
        target,
        Step::Mean {
            layer: Box::new(layer),
            input: from,
            output: to,
            count: output.count(),
        },
        cost,
    )
}
