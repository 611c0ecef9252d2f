//! Convolutions: a copy into a padded image where the filter reaches over the edge, then dot products of patches.

use super::super::compile::{Compiler, Cost};
use super::super::step::Step;
use super::dense::{bare, end, factors, misfit, packed_layer, push_step};
use super::{computed_i8, constant_i8};
use crate::kernel::depthwise::Depthwise;
use crate::kernel::geometry::Window;
use crate::kernel::geometry::{Geometry, LANES};
use crate::kernel::lanes::{Order, Weights};
use crate::kernel::linear::Place;
use crate::kernel::pool::Pad;
use crate::kernel::requantize::{BIAS, Requantize};
use crate::model::{Activation, Kind, Operator, Sliding, Tensor, padding_before};
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

/// What a filter wants around `input`.
fn pad_of(input: &Tensor, image: &Image, taps: [usize; 2], sliding: &Sliding, repeat: usize) -> Result<Pad> {
    let needed = |axis: usize| {
        (image.output[axis] - 1) * sliding.stride[axis] + (taps[axis] - 1) * sliding.dilation[axis] + 1
    };
    let after = |axis: usize| needed(axis).saturating_sub(image.before[axis] + image.input[axis]);
    let pixel = image.channels * repeat;
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
    if pad.bytes() > crate::model::MAX_ELEMENTS {
        return Err(Error::invalid("its padded image is too large"));
    }
    Ok(pad)
}

/// What the only reader of `tensor` wants around it, if that is a convolution; so that it is written in place.
pub(in super::super) fn padding_for(compiler: &Compiler<'_>, tensor: usize) -> Option<Pad> {
    let model = compiler.model;
    let mut readers = model
        .operators
        .iter()
        .filter(|o| o.inputs.contains(&Some(tensor)));
    let reader = readers.next()?;
    if readers.next().is_some() || model.outputs.contains(&tensor) {
        return None;
    }
    let (Kind::Conv2d { sliding, .. } | Kind::DepthwiseConv2d { sliding, .. }) = &reader.kind else {
        return None;
    };
    let (_, input) = compiler
        .input(reader, 0)
        .ok()
        .filter(|(index, _)| *index == tensor)?;
    let (_, weights) = compiler.input(reader, 1).ok()?;
    let output = model.tensor(*reader.outputs.first()?).ok()?;
    let &[_, height, width, channels] = weights.shape.as_slice() else {
        return None;
    };
    let image = image(input, output, [height, width], sliding).ok()?;
    let plain = match reader.kind {
        Kind::Conv2d { .. } => {
            image.channels == channels
                && !in_one(compiler.isa.order(), &image, [height, width], output, sliding)
        }
        _ => image.channels == channels || image.channels == 1,
    };
    let pad = pad_of(input, &image, [height, width], sliding, 1).ok()?;
    let around = pad.above + pad.below + pad.left + pad.right > 0;
    (plain && around).then_some(pad)
}

/// The padded image that a filter reads: a copy, if the filter reaches over an edge or bytes are repeated and it was
/// not written so.
fn padded(compiler: &mut Compiler<'_>, source: usize, pad: Pad) -> Result<(usize, usize)> {
    let from = compiler.read(source)?;
    let pitch = pad.pitch();
    let around = pad.above + pad.below + pad.left + pad.right > 0;
    if (pad.repeat == 1 && !around) || compiler.padded(source) == Some(&pad) {
        return Ok((from, pitch));
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

/// Whether all results of an image row are better computed at once, from whole rows: narrow images of few channels, where lanes
/// are outputs.
fn in_one(order: Order, image: &Image, taps: [usize; 2], output: &Tensor, sliding: &Sliding) -> bool {
    if order == Order::Rows {
        return false;
    }
    let outputs = output.shape.last().copied().unwrap_or(0);
    let width = image.output[1];
    let row = image.input[1] * image.channels;
    if sliding.dilation[0] != 1 || width < 2 || row > 64 || outputs * width > 64 {
        return false;
    }
    let blocks = |outputs: usize| outputs.div_ceil(LANES);
    let apart = width * taps[0] * (taps[1] * image.channels).div_ceil(4) * blocks(outputs);
    (taps[0] * row).div_ceil(4) * blocks(outputs * width) < apart
}

/// A convolution whose results of one row are outputs of one patch, over an image that is padded above and below only:
/// the patch is whole rows, and weights beyond an edge are left out.
fn row_wise(image: &Image, rows: usize, sliding: &Sliding) -> Geometry {
    let row = image.input[1] * image.channels;
    Geometry {
        size: [1, image.output[0]],
        row_step: 0,
        column_step: sliding.stride[0] * row,
        offsets: vec![0],
        segment: rows * row,
    }
}

/// The weights for [`row_wise`].
fn row_weights(image: &Image, taps: [usize; 2], outputs: usize, values: &[i8], sliding: &Sliding) -> Vec<i8> {
    let (channels, width) = (image.channels, image.output[1]);
    let row = image.input[1] * channels;
    let patch = taps[0] * row;
    let mut weights = vec![0i8; width * outputs * patch];
    for (number, to) in weights.chunks_exact_mut(patch).enumerate() {
        let (column, output) = (number / outputs, number % outputs);
        for tap in 0..taps[0] * taps[1] {
            let x = column * sliding.stride[1] + tap % taps[1] * sliding.dilation[1];
            let Some(x) = x.checked_sub(image.before[1]).filter(|x| *x < image.input[1]) else {
                continue;
            };
            let from = &values[(output * taps[0] * taps[1] + tap) * channels..][..channels];
            to[tap / taps[1] * row + x * channels..][..channels].copy_from_slice(from);
        }
    }
    weights
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
    let packed = compiler.prepared(number);
    let taps = [height, width];
    let mut pad = pad_of(input, &image, taps, sliding, 1)?;
    if in_one(compiler.isa.order(), &image, taps, output, sliding) {
        (pad.left, pad.right) = (0, 0);
        let geometry = row_wise(&image, taps[0], sliding);
        let whole;
        let (values, end) = match packed {
            Some(packed) => (Weights::Packed(packed), bare(output, activation)?),
            None => {
                whole = row_weights(&image, taps, outputs, values, sliding);
                let mut end = factors(compiler, operator, [input, weights, output], outputs, activation)?;
                end.bias = end.bias.repeat(image.output[1]);
                end.factor = end.factor.repeat(image.output[1]);
                super::dense::add_zero_point(&mut end, input, &whole)?;
                (Weights::Plain(&whole), end)
            }
        };
        let (from, _) = padded(compiler, source, pad)?;
        let outputs = outputs * image.output[1];
        let place = Place::packed(geometry.positions(), outputs);
        let mut layer = packed_layer(compiler, geometry, outputs, values, end, place)?;
        layer.macs = output.count() as u64 * weights.count() as u64 / weights.shape[0] as u64;
        let to = compiler.write(target)?;
        return push_step(compiler, number, target, [from, to], layer);
    }
    let (values, end) = match packed {
        Some(packed) => (Weights::Packed(packed), bare(output, activation)?),
        None => {
            let tensors = [input, weights, output];
            let end = end(compiler, operator, tensors, values, outputs, activation)?;
            (Weights::Plain(values), end)
        }
    };
    let (from, pitch) = padded(compiler, source, pad)?;
    let geometry = patches(&image, taps, channels, pitch, sliding);
    finish(
        compiler,
        (number, target),
        from,
        (geometry, outputs, values, end),
        &image,
    )
}

/// Packs a convolution and adds its step, which writes the padded image that the next one reads.
fn finish(
    compiler: &mut Compiler<'_>,
    (number, target): (usize, usize),
    from: usize,
    (geometry, outputs, values, end): (Geometry, usize, Weights<'_>, Requantize),
    image: &Image,
) -> Result<()> {
    let (to, place) = match padding_for(compiler, target) {
        Some(pad) => {
            let place = Place {
                row: image.output[1],
                pitch: pad.pitch(),
                start: pad.start(),
            };
            let to = compiler.write_padded(target, pad);
            compiler.read_again(from);
            (to, place)
        }
        None => (
            compiler.write(target)?,
            Place::packed(geometry.positions(), outputs),
        ),
    };
    let layer = packed_layer(compiler, geometry, outputs, values, end, place)?;
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
    let packed = compiler.prepared(number);
    let by_channel;
    let (plain, end) = match packed {
        Some(_) => (&[][..], bare(output, activation)?),
        None => {
            by_channel = transposed(values, outputs);
            let mut end = factors(compiler, operator, [input, weights, output], outputs, activation)?;
            super::dense::add_zero_point(&mut end, input, &by_channel)?;
            (by_channel.as_slice(), end)
        }
    };
    if image.channels == 1 {
        // One input channel: every output is a plain convolution of it.
        let pad = pad_of(input, &image, taps, sliding, 1)?;
        let (from, pitch) = padded(compiler, source, pad)?;
        let geometry = patches(&image, taps, 1, pitch, sliding);
        return finish(
            compiler,
            (number, target),
            from,
            (
                geometry,
                outputs,
                packed.map_or(Weights::Plain(plain), Weights::Packed),
                end,
            ),
            &image,
        );
    }
    let pad = pad_of(input, &image, taps, sliding, repeat)?;
    let (from, pitch) = padded(compiler, source, pad)?;
    let window = Window {
        size: image.output,
        channels: outputs,
        pitch,
        taps,
        stride: sliding.stride,
        dilation: sliding.dilation,
    };
    let macs = output.count() as u64 * (height * width) as u64;
    let values = packed.map_or(Weights::Plain(values), Weights::Packed);
    let layer = Depthwise::new(compiler.isa, window, values, end).ok_or_else(misfit)?;
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
