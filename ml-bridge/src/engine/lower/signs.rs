//! Layers of signs.

use super::super::compile::{Compiler, Cost};
use super::super::step::Step;
use super::computed_i8;
use super::conv::image;
use super::dense::bias;
use crate::kernel::bits::{BIAS_PARTS, Patches, Signs};
use crate::kernel::requantize::{BIAS, Bounds, Factor, Requantize, Rounding};
use crate::model::{Activation, Kind, Operator, Sliding, Tensor};
use crate::{Error, Result};

/// Most products in a patch, so that no sum leaves i32.
const MAX_PATCH: usize = 1 << 22;

/// Compiles BINARY_DENSE, or BINARY_CONV_2D if it slides.
pub(super) fn lower(
    compiler: &mut Compiler<'_>,
    number: usize,
    operator: &Operator,
    sliding: Option<&Sliding>,
) -> Result<()> {
    let (source, input) = compiler.input(operator, 0)?;
    let (_, weights) = compiler.input(operator, 1)?;
    let target = operator.outputs[0];
    let output = compiler.model.tensor(target)?;
    computed_i8(input)?;
    computed_i8(output)?;
    let wrong = || {
        Error::invalid(format!(
            "signs of shape {:?} do not take {:?} to {:?}",
            weights.shape, input.shape, output.shape
        ))
    };
    let (outputs, patches) = match (sliding, weights.shape.as_slice()) {
        (None, &[outputs, bytes]) => {
            let inputs = input.shape.last().copied().unwrap_or(0);
            let rows = input.count().checked_div(inputs).unwrap_or(0);
            let fits = inputs > 0 && inputs.div_ceil(64).checked_mul(8) == Some(bytes) && rows > 0;
            if !fits || rows.checked_mul(outputs) != Some(output.count()) {
                return Err(wrong());
            }
            (outputs, Patches::rows(rows, inputs))
        }
        (Some(sliding), &[outputs, height, width, bytes]) => {
            let image = image(input, output, [height, width], sliding)?;
            if image.channels.div_ceil(64) * 8 != bytes || output.shape.last() != Some(&outputs) {
                return Err(wrong());
            }
            let patches = Patches {
                input: image.input,
                channels: image.channels,
                output: image.output,
                window: [height, width],
                stride: sliding.stride,
                dilation: sliding.dilation,
                before: image.before,
            };
            (outputs, patches)
        }
        _ => return Err(wrong()),
    };
    let patch = patches.window[0] * patches.window[1] * patches.channels;
    if patch > MAX_PATCH || outputs == 0 || patches.image_words() > crate::model::MAX_ELEMENTS / 8 {
        return Err(Error::invalid("it is too large"));
    }
    let q = weights.quantization.as_ref();
    let scales = q
        .filter(|q| q.scales.len() == 1 || (q.scales.len() == outputs && q.axis == 0))
        .filter(|q| q.zero_points.iter().all(|z| *z == 0))
        .ok_or_else(|| Error::invalid("its signs need symmetric scales, one or one per output"))?;
    let bits: &[u8] = weights
        .data
        .as_ref()
        .filter(|d| d.len() == outputs * patches.window[0] * patches.window[1] * patches.words() * 8)
        .ok_or_else(wrong)?;
    let bias = bias(compiler, operator, outputs)?;
    let to = output.affine()?;
    let factors = scales
        .scales
        .iter()
        .map(|s| Factor::new(f64::from(*s) / f64::from(to.scale) / f64::from(BIAS_PARTS)));
    let mut factor: Vec<Factor> = factors.collect();
    if factor.len() != outputs {
        factor = vec![factor[0]; outputs];
    }
    let end = Requantize {
        bias,
        factor,
        rounding: Rounding::Twice,
        zero_point: to.zero_point + BIAS,
        bounds: Bounds::new(Activation::None, to),
    };
    let zero = u8::try_from(input.affine()?.zero_point + BIAS).unwrap_or(0);
    let mut layer = Signs::new(patches, outputs, bits, zero, end);
    if compiler.is_signs(source) {
        layer.take_signs();
    }
    let next = u8::try_from(to.zero_point + BIAS).unwrap_or(0);
    let signs = feeds_signs(compiler, target, outputs) && layer.give_signs(next);
    layer.fit(&mut compiler.scratch);
    let cost = Cost {
        kernel: format!("{} bits", compiler.isa.name()),
        macs: layer.macs(),
        weight_bytes: layer.bytes(),
    };
    let from = compiler.read(source)?;
    let to = if signs {
        compiler.write_signs(target, layer.results())
    } else {
        compiler.write(target)?
    };
    let step = Step::Signs {
        layer: Box::new(layer),
        input: from,
        output: to,
    };
    compiler.push(number, target, step, cost)
}

/// Whether all that is read of `tensor`, whose last dimension is `channels`, are its signs, by one layer of signs.
fn feeds_signs(compiler: &Compiler<'_>, tensor: usize, channels: usize) -> bool {
    let model = compiler.model;
    let mut readers = model
        .operators
        .iter()
        .filter(|o| o.inputs.contains(&Some(tensor)));
    let (Some(reader), None) = (readers.next(), readers.next()) else {
        return false;
    };
    let shaped = |t: &Tensor| t.shape.last() == Some(&channels);
    let binary = matches!(reader.kind, Kind::BinaryDense | Kind::BinaryConv2d { .. });
    let first = reader.inputs.first() == Some(&Some(tensor));
    let once = reader.inputs.iter().filter(|i| **i == Some(tensor)).count() == 1;
    binary && first && once && !model.outputs.contains(&tensor) && model.tensor(tensor).is_ok_and(shaped)
}
