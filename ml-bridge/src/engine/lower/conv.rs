//! Convolutions: a copy into a padded image where the filter reaches over the edge, then dot products of patches.

use super::super::compile::{Compiler, Cost};
use super::super::step::Step;
use super::dense::{end, factors, push_step};
use super::{computed_i8, constant_i8};
use crate::kernel::depthwise::{Depthwise, Window};
use crate::kernel::linear::{Geometry, Linear, Place};
use crate::kernel::pool::Pad;
use crate::kernel::requantize::BIAS;
use crate::model::{Activation, Operator, Sliding, Tensor, padding_before};
use crate::{Error, Result};

/// Largest stride, window, dilation: far beyond any net, small enough that no product of sizes overflows.
const MAX_SIDE: usize = 1 << 16;

/// Where a filter slides over an image.
pub(super) struct Image {
    pub(super) input: [usize; 2],
    pub(super) channels: usize,
    pub(super) output: [usize; 2],
    pub(super) before: [usize; 2],
}

/// Checks an image, its window and the result's size.
pub(super) fn image(input: &Tensor, output: &Tensor, window: [usize; 2], sliding: &Sliding) -> Result<Image> {
    computed_i8(input)?;
    computed_i8(output)?;
    let (&[1, height, width, channels], &[1, out_height, out_width, out_channels]) =
        (input.shape.as_slice(), output.shape.as_slice())
    else {
        return Err(Error::invalid(format!(
            "{:?} to {:?} is not one image [1, height, width, channels]",
            input.shape, output.shape
        )));
    };
    let sides = window
        .iter()
        .chain(&sliding.stride)
        .chain(&sliding.dilation)
        .chain([&height, &width]);
    let sane = sides.clone().all(|s| (1..=MAX_SIDE).contains(s)) && channels > 0 && out_channels > 0;
    let sizes =
        padding_before([height, width], window, sliding).filter(|(_, size)| *size == [out_height, out_width]);
    match sizes {
        Some((before, output)) if sane => Ok(Image {
            input: [height, width],
            channels,
            output,
            before,
        }),
        _ => Err(Error::invalid(format!(
            "a window of {window:?} with {sliding:?} does not take {:?} to {:?}",
            input.shape, output.shape
        ))),
    }
}

/// The padded image that a filter reads: a copy, if the filter reaches over an edge or bytes are repeated.
fn padded(
    compiler: &mut Compiler<'_>,
    source: usize,
    image: &Image,
    taps: [usize; 2],
    sliding: &Sliding,
    repeat: usize,
) -> Result<(usize, usize)> {
    let input = compiler.model.tensor(source)?;
    let needed = |axis: usize| {
        (image.output[axis] - 1) * sliding.stride[axis] + (taps[axis] - 1) * sliding.dilation[axis] + 1
    };
    let after = |axis: usize| needed(axis).saturating_sub(image.before[axis] + image.input[axis]);
    let pixel = image.channels * repeat;
    let from = compiler.read(source)?;
    let pad = Pad {
        rows: image.input[0],
        row: image.input[1] * image.channels,
        above: image.before[0],
        below: after(0),
        left: image.before[1] * pixel,
        right: after(1) * pixel,
        value: u8::try_from(input.affine()?.zero_point + BIAS).unwrap_or(0),
        repeat,
    };
    let pitch = pad.pitch();
    if repeat == 1 && pad.above + pad.below + pad.left + pad.right == 0 {
        return Ok((from, pitch));
    }
    if pad.bytes() > crate::model::MAX_ELEMENTS {
        return Err(Error::invalid("its padded image is too large"));
    }
    let to = compiler.temporary(pad.bytes());
    compiler.push_hidden(Step::Pad {
        layer: Box::new(pad),
        input: from,
        output: to,
    });
    compiler.touch(to);
    Ok((to, pitch))
}

/// Compiles CONV_2D.
pub(super) fn conv(
    compiler: &mut Compiler<'_>,
    number: usize,
    operator: &Operator,
    sliding: &Sliding,
    activation: Activation,
) -> Result<()> {
    let (source, input) = compiler.input(operator, 0)?;
    let (_, weights) = compiler.input(operator, 1)?;
    let target = operator.outputs[0];
    let output = compiler.model.tensor(target)?;
    let &[outputs, height, width, channels] = weights.shape.as_slice() else {
        return Err(Error::invalid(format!(
            "its weights have the shape {:?}",
            weights.shape
        )));
    };
    let image = image(input, output, [height, width], sliding)?;
    if image.channels != channels || output.shape.last() != Some(&outputs) {
        return Err(Error::invalid(format!(
            "{:?} filtered by {:?} does not give {:?}",
            input.shape, weights.shape, output.shape
        )));
    }
    let values = constant_i8(weights)?;
    let end = end(
        compiler,
        operator,
        [input, weights, output],
        &values,
        outputs,
        activation,
    )?;
    let (from, pitch) = padded(compiler, source, &image, [height, width], sliding, 1)?;
    let geometry = patches(&image, [height, width], channels, pitch, sliding);
    let place = Place::packed(geometry.positions(), outputs);
    let layer = Linear::new(compiler.isa, geometry, outputs, &values, end, place);
    let to = compiler.write(target)?;
    push_step(compiler, number, target, [from, to], layer)
}

/// Where the patches of a convolution lie; neighbouring segments are joined.
fn patches(image: &Image, taps: [usize; 2], channels: usize, pitch: usize, sliding: &Sliding) -> Geometry {
    let mut offsets = Vec::new();
    for row in 0..taps[0] {
        for column in 0..taps[1] {
            offsets.push(row * sliding.dilation[0] * pitch + column * sliding.dilation[1] * channels);
        }
    }
    let mut segment = channels;
    for run in [taps[1], taps[0]] {
        // Every `run` segments follow each other without a gap: one segment.
        let joined = offsets
            .chunks(run)
            .all(|c| c.windows(2).all(|w| w[1] - w[0] == segment));
        if joined {
            offsets = offsets.chunks(run).map(|c| c[0]).collect();
            segment *= run;
        }
    }
    Geometry {
        size: image.output,
        row_step: sliding.stride[0] * pitch,
        column_step: sliding.stride[1] * channels,
        offsets,
        segment,
    }
    .flattened()
}

/// Compiles DEPTHWISE_CONV_2D.
pub(super) fn depthwise(
    compiler: &mut Compiler<'_>,
    number: usize,
    operator: &Operator,
    sliding: &Sliding,
    activation: Activation,
) -> Result<()> {
    let (source, input) = compiler.input(operator, 0)?;
    let (_, weights) = compiler.input(operator, 1)?;
    let target = operator.outputs[0];
    let output = compiler.model.tensor(target)?;
    let &[1, height, width, outputs] = weights.shape.as_slice() else {
        return Err(Error::invalid(format!(
            "its weights have the shape {:?}",
            weights.shape
        )));
    };
    let taps = [height, width];
    let image = image(input, output, taps, sliding)?;
    let repeat = outputs / image.channels;
    if repeat * image.channels != outputs || output.shape.last() != Some(&outputs) {
        return Err(Error::invalid(format!(
            "{:?} filtered by {:?} does not give {:?}",
            input.shape, weights.shape, output.shape
        )));
    }
    let values = constant_i8(weights)?;
    let by_channel = transposed(&values, outputs);
    let end = {
        let mut end = factors(compiler, operator, [input, weights, output], outputs, activation)?;
        super::dense::add_zero_point(&mut end, input, &by_channel)?;
        end
    };
    if image.channels == 1 {
        // One input channel: every output is a plain convolution of it.
        let (from, pitch) = padded(compiler, source, &image, taps, sliding, 1)?;
        let geometry = patches(&image, taps, 1, pitch, sliding);
        let place = Place::packed(geometry.positions(), outputs);
        let layer = Linear::new(compiler.isa, geometry, outputs, &by_channel, end, place);
        let to = compiler.write(target)?;
        return push_step(compiler, number, target, [from, to], layer);
    }
    let (from, pitch) = padded(compiler, source, &image, taps, sliding, repeat)?;
    let window = Window {
        size: image.output,
        channels: outputs,
        pitch,
        taps,
        stride: sliding.stride,
        dilation: sliding.dilation,
    };
    let macs = output.count() as u64 * (height * width) as u64;
    let layer = Depthwise::new(compiler.isa, window, &values, end);
    compiler.reach(from, layer.reach());
    compiler.scratch.fit_depthwise(&layer);
    let cost = Cost {
        kernel: compiler.isa.name().to_string(),
        macs,
        weight_bytes: layer.bytes(),
    };
    let to = compiler.write(target)?;
    compiler.push(
        number,
        target,
        Step::Depthwise {
            layer: Box::new(layer),
            input: from,
            output: to,
        },
        cost,
    )
}

/// `values` (taps x outputs) as outputs x taps.
fn transposed(values: &[i8], outputs: usize) -> Vec<i8> {
    let taps = values.len() / outputs;
    let mut rows = Vec::with_capacity(values.len());
    for output in 0..outputs {
        rows.extend((0..taps).map(|tap| values[tap * outputs + output]));
    }
    rows
}
