//! A float graph, computed plainly: the measure of what quantization loses, not a way to run models.

use crate::model::shape::slide;
use crate::model::{Activation, Element, Kind, Model, Operator, Sliding, Tensor};
use crate::{Error, Result};

/// Most numbers of all tensors together.
const MAX_NUMBERS: usize = 1 << 26;
/// Most taps of a window at all its places.
const MAX_TAPS: usize = 1 << 26;

/// A model with room for all its tensors.
#[derive(Debug)]
pub(super) struct Runner<'m> {
    model: &'m Model,
    values: Vec<Vec<f32>>,
    computed: Vec<bool>,
    input: usize,
    output: usize,
}

/// The real numbers of a constant: floats, or int8 with their scales.
pub(super) fn real(tensor: &Tensor) -> Option<Vec<f32>> {
    if let Some(floats) = tensor.values_f32() {
        return Some(floats);
    }
    let (data, q) = (tensor.data.as_ref()?, tensor.quantization.as_ref()?);
    if tensor.element != Element::I8 {
        return None;
    }
    let axis = q.axis as usize;
    let inner: usize = tensor.shape.get(axis + 1..).unwrap_or(&[]).iter().product();
    let value = |(at, byte): (usize, &u8)| {
        let channel = at / inner.max(1) % q.scales.len();
        let zero = q
            .zero_points
            .get(channel)
            .or(q.zero_points.first())
            .copied()
            .unwrap_or(0);
        #[expect(clippy::cast_precision_loss, reason = "at most 9 bits and a zero point of 8")]
        let steps = (i32::from(*byte as i8) - zero) as f32;
        steps * q.scales[channel]
    };
    Some(data.iter().enumerate().map(value).collect())
}

impl<'m> Runner<'m> {
    pub(super) fn new(model: &'m Model) -> Result<Self> {
        model.validate()?;
        let (&[input], &[output]) = (model.inputs.as_slice(), model.outputs.as_slice()) else {
            return Err(Error::invalid(
                "only models with one input and one output are quantized",
            ));
        };
        let all = model
            .tensors
            .iter()
            .fold(0usize, |sum, t| sum.saturating_add(t.count()));
        if all > MAX_NUMBERS {
            return Err(Error::invalid(format!(
                "its tensors hold {all} numbers; at most {MAX_NUMBERS} are run in floats"
            )));
        }
        let constant = |t: &Tensor| t.data.as_ref().and_then(|_| real(t)).unwrap_or_default();
        Ok(Runner {
            values: model.tensors.iter().map(constant).collect(),
            computed: model.tensors.iter().map(|t| t.data.is_none()).collect(),
            model,
            input,
            output,
        })
    }

    pub(super) fn model(&self) -> &'m Model {
        self.model
    }

    pub(super) fn input_count(&self) -> usize {
        self.model.tensors[self.input].count()
    }

    pub(super) fn output(&self) -> &[f32] {
        &self.values[self.output]
    }

    /// The numbers of each tensor, none for constants.
    pub(super) fn computed(&self) -> impl Iterator<Item = &[f32]> {
        let all = self.values.iter().zip(&self.computed);
        all.map(|(values, computed)| if *computed { values.as_slice() } else { &[] })
    }

    pub(super) fn run(&mut self, input: &[f32]) -> Result<()> {
        if input.len() != self.input_count() || !input.iter().all(|v| v.is_finite()) {
            return Err(Error::invalid(format!(
                "the model takes {} finite numbers, not {}",
                self.input_count(),
                input.len()
            )));
        }
        self.values[self.input] = input.to_vec();
        for (number, operator) in self.model.operators.iter().enumerate() {
            let named = |e: Error| {
                let name = operator.kind.name();
                Error::invalid(format!("operator {number} ({name}) cannot be run in floats: {e}"))
            };
            let result = self.compute(operator).map_err(named)?;
            let target = operator.outputs[0];
            if result.len() != self.model.tensors[target].count() || result.is_empty() {
                return Err(named(Error::invalid("its result has another shape")));
            }
            self.values[target] = result;
        }
        Ok(())
    }

    fn place(&self, operator: &Operator, position: usize) -> Result<usize> {
        let index = operator.inputs.get(position).copied().flatten();
        index.ok_or_else(|| Error::invalid(format!("its input {position} is missing")))
    }

    fn tensor(&self, operator: &Operator, position: usize) -> Result<(&'m Tensor, &[f32])> {
        let index = self.place(operator, position)?;
        let (tensor, values) = (self.model.tensor(index)?, &self.values[index]);
        if values.len() != tensor.count() || values.is_empty() {
            return Err(Error::invalid(format!("{:?} does not hold floats", tensor.name)));
        }
        Ok((tensor, values))
    }

    fn integers(&self, operator: &Operator, position: usize) -> Result<Vec<i32>> {
        let tensor = self.model.tensor(self.place(operator, position)?)?;
        let values = tensor.values_i32();
        values.ok_or_else(|| Error::invalid(format!("{:?} is not constant i32", tensor.name)))
    }

    /// The bias at position 2, or zeros.
    fn bias(&self, operator: &Operator, count: usize) -> Result<Vec<f32>> {
        match operator.inputs.get(2).copied().flatten() {
            None => Ok(vec![0.0; count]),
            Some(_) => {
                let (_, values) = self.tensor(operator, 2)?;
                if values.len() != count {
                    return Err(Error::invalid("its bias is not one number per output"));
                }
                Ok(values.to_vec())
            }
        }
    }

    fn compute(&self, operator: &Operator) -> Result<Vec<f32>> {
        let (input, x) = self.tensor(operator, 0)?;
        let output = self.model.tensor(operator.outputs[0])?;
        match &operator.kind {
            Kind::FullyConnected { activation } => {
                let (weights, w) = self.tensor(operator, 1)?;
                let &[outputs, inputs] = weights.shape.as_slice() else {
                    return Err(Error::invalid("its weights are no matrix"));
                };
                let bias = self.bias(operator, outputs)?;
                let mut result = Vec::with_capacity(output.count().min(MAX_NUMBERS));
                for x in x.chunks_exact(inputs) {
                    result.extend(w.chunks_exact(inputs).zip(&bias).map(|(w, b)| b + dot(w, x)));
                }
                Ok(held(result, *activation))
            }
            Kind::Conv2d { sliding, activation } => {
                let (weights, w) = self.tensor(operator, 1)?;
                let &[outputs, height, width, channels] = weights.shape.as_slice() else {
                    return Err(Error::invalid("its weights are no filters"));
                };
                let bias = self.bias(operator, outputs)?;
                let image = Image::new(input, output, [height, width], sliding)?;
                if image.channels != channels {
                    return Err(Error::invalid("its filters have other channels"));
                }
                let mut result = Vec::with_capacity(output.count().min(MAX_NUMBERS));
                image.slide(|taps| {
                    for (filter, bias) in w.chunks_exact(height * width * channels).zip(&bias) {
                        let part = |(tap, at): &(usize, usize)| {
                            dot(&filter[tap * channels..][..channels], &x[*at..][..channels])
                        };
                        result.push(bias + taps.iter().map(part).sum::<f32>());
                    }
                });
                Ok(held(result, *activation))
            }
            Kind::DepthwiseConv2d { sliding, activation } => {
                let (weights, w) = self.tensor(operator, 1)?;
                let &[1, height, width, outputs] = weights.shape.as_slice() else {
                    return Err(Error::invalid("its weights are no filters"));
                };
                let bias = self.bias(operator, outputs)?;
                let image = Image::new(input, output, [height, width], sliding)?;
                let repeat = outputs / image.channels;
                if repeat * image.channels != outputs {
                    return Err(Error::invalid("its outputs are no multiple of its inputs"));
                }
                let mut result = Vec::with_capacity(output.count().min(MAX_NUMBERS));
                image.slide(|taps| {
                    for (channel, bias) in bias.iter().enumerate() {
                        let part = |(tap, at): &(usize, usize)| {
                            w[tap * outputs + channel] * x[at + channel / repeat]
                        };
                        result.push(bias + taps.iter().map(part).sum::<f32>());
                    }
                });
                Ok(held(result, *activation))
            }
            Kind::AveragePool2d {
                sliding,
                window,
                activation,
            }
            | Kind::MaxPool2d {
                sliding,
                window,
                activation,
            } => {
                let max = matches!(operator.kind, Kind::MaxPool2d { .. });
                let image = Image::new(input, output, *window, sliding)?;
                let mut result = Vec::with_capacity(output.count().min(MAX_NUMBERS));
                image.slide(|taps| {
                    for channel in 0..image.channels {
                        let values = taps.iter().map(|(_, at)| x[at + channel]);
                        #[expect(clippy::cast_precision_loss, reason = "a window of fewer than 2^24")]
                        result.push(if max {
                            values.fold(f32::MIN, f32::max)
                        } else {
                            values.sum::<f32>() / taps.len().max(1) as f32
                        });
                    }
                });
                Ok(held(result, *activation))
            }
            Kind::Add { activation } => self.both(operator, *activation, |a, b| a + b),
            Kind::Sub { activation } => self.both(operator, *activation, |a, b| a - b),
            Kind::Mul { activation } => self.both(operator, *activation, |a, b| a * b),
            Kind::Mean => mean(input, x, &self.integers(operator, 1)?),
            Kind::Pad => pad(input, x, &self.integers(operator, 1)?, output),
            Kind::Concatenation { axis, activation } => {
                let rank = i32::try_from(output.shape.len()).unwrap_or(0);
                let axis = if *axis < 0 {
                    axis.checked_add(rank)
                } else {
                    Some(*axis)
                };
                let axis = axis
                    .and_then(|a| usize::try_from(a).ok())
                    .filter(|a| *a < output.shape.len());
                let axis = axis.ok_or_else(|| Error::invalid("it joins along no dimension"))?;
                let whole: usize = output.shape[axis..].iter().product();
                let mut result = vec![0.0; output.count()];
                let mut start = 0;
                for position in 0..operator.inputs.len() {
                    let (part, x) = self.tensor(operator, position)?;
                    let block: usize = part.shape.get(axis..).unwrap_or(&[]).iter().product();
                    if whole == 0
                        || block == 0
                        || start + block > whole
                        || x.len() / block != result.len() / whole
                    {
                        return Err(Error::invalid("its parts do not make up its result"));
                    }
                    for (to, from) in result.chunks_exact_mut(whole).zip(x.chunks_exact(block)) {
                        to[start..start + block].copy_from_slice(from);
                    }
                    start += block;
                }
                Ok(held(result, *activation))
            }
            Kind::Reshape => Ok(x.to_vec()),
            Kind::Relu { activation } => Ok(held(x.to_vec(), *activation)),
            Kind::Logistic => Ok(x.iter().map(|v| 1.0 / (1.0 + (-v).exp())).collect()),
            Kind::Tanh => Ok(x.iter().map(|v| v.tanh()).collect()),
            Kind::Softmax { beta } => {
                let length = input.shape.last().copied().unwrap_or(1).max(1);
                let row = |row: &[f32]| {
                    let top = row.iter().fold(f32::MIN, |a, b| a.max(*b));
                    let powers: Vec<f32> = row.iter().map(|v| ((v - top) * beta).exp()).collect();
                    let sum: f32 = powers.iter().sum();
                    powers.into_iter().map(move |p| p / sum)
                };
                Ok(x.chunks_exact(length).flat_map(row).collect())
            }
            _ => Err(Error::invalid("it has no float form here")),
        }
    }

    /// Two tensors, the shorter repeated over the longer.
    fn both(
        &self,
        operator: &Operator,
        activation: Activation,
        combine: impl Fn(f32, f32) -> f32,
    ) -> Result<Vec<f32>> {
        let ((_, left), (_, right)) = (self.tensor(operator, 0)?, self.tensor(operator, 1)?);
        let count = left.len().max(right.len());
        let pairs = left.iter().cycle().zip(right.iter().cycle()).take(count);
        Ok(held(pairs.map(|(a, b)| combine(*a, *b)).collect(), activation))
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn held(mut values: Vec<f32>, activation: Activation) -> Vec<f32> {
    let (low, high) = activation.range();
    let (low, high) = (low.unwrap_or(f32::MIN), high.unwrap_or(f32::MAX));
    values.iter_mut().for_each(|v| *v = v.clamp(low, high));
    values
}

/// An image and the windows that slide over it.
struct Image {
    input: [usize; 2],
    channels: usize,
    output: [usize; 2],
    before: [usize; 2],
    window: [usize; 2],
    sliding: Sliding,
}

impl Image {
    fn new(input: &Tensor, output: &Tensor, window: [usize; 2], sliding: &Sliding) -> Result<Self> {
        let (&[1, height, width, channels], &[1, out_height, out_width, _]) =
            (input.shape.as_slice(), output.shape.as_slice())
        else {
            return Err(Error::invalid("it does not take one image to another"));
        };
        let axis = |axis: usize, size: usize| {
            let (stride, dilation) = (sliding.stride[axis], sliding.dilation[axis]);
            slide(size, window[axis], stride, dilation, sliding.padding)
        };
        let sizes = [window[0], window[1], out_height, out_width];
        let work = sizes.iter().fold(1usize, |a, b| a.saturating_mul(*b));
        if work > MAX_TAPS {
            return Err(Error::invalid("its windows are too large"));
        }
        match (axis(0, height), axis(1, width)) {
            (Some((top, h)), Some((left, w))) if [h, w] == [out_height, out_width] && channels > 0 => {
                Ok(Image {
                    input: [height, width],
                    channels,
                    output: [h, w],
                    before: [top, left],
                    window,
                    sliding: *sliding,
                })
            }
            _ => Err(Error::invalid("its window does not fit its image")),
        }
    }

    /// Calls `see` for every result with the taps inside the image: which tap, and where its pixel starts.
    fn slide(&self, mut see: impl FnMut(&[(usize, usize)])) {
        let mut taps = Vec::new();
        let at = |axis: usize, result: usize, tap: usize| {
            let place = result * self.sliding.stride[axis] + tap * self.sliding.dilation[axis];
            place
                .checked_sub(self.before[axis])
                .filter(|p| *p < self.input[axis])
        };
        for y in 0..self.output[0] {
            for x in 0..self.output[1] {
                taps.clear();
                for (tap, (row, column)) in (0..self.window[0])
                    .flat_map(|r| (0..self.window[1]).map(move |c| (r, c)))
                    .enumerate()
                {
                    if let (Some(row), Some(column)) = (at(0, y, row), at(1, x, column)) {
                        taps.push((tap, (row * self.input[1] + column) * self.channels));
                    }
                }
                see(&taps);
            }
        }
    }
}

/// The mean over neighbouring dimensions.
fn mean(input: &Tensor, x: &[f32], axes: &[i32]) -> Result<Vec<f32>> {
    let rank = i32::try_from(input.shape.len()).unwrap_or(0);
    let place = |a: &i32| usize::try_from(if *a < 0 { a.checked_add(rank)? } else { *a }).ok();
    let mut axes: Vec<usize> = axes
        .iter()
        .filter_map(place)
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
    let reduced: usize = input.shape[*first..=*last].iter().product();
    let inner: usize = input.shape[last + 1..].iter().product();
    let mut result = Vec::new();
    for block in x.chunks_exact(reduced * inner) {
        for column in 0..inner {
            let sum: f32 = block[column..].iter().step_by(inner).sum();
            #[expect(clippy::cast_precision_loss, reason = "rounding is what floats do")]
            result.push(sum / reduced as f32);
        }
    }
    Ok(result)
}

/// Zeros around.
fn pad(input: &Tensor, x: &[f32], amounts: &[i32], output: &Tensor) -> Result<Vec<f32>> {
    let rank = input.shape.len();
    let fits = amounts.len() == 2 * rank
        && output.shape.len() == rank
        && (0..rank).all(|a| {
            let (before, after) = (i64::from(amounts[2 * a]), i64::from(amounts[2 * a + 1]));
            before >= 0 && after >= 0 && before + after + input.shape[a] as i64 == output.shape[a] as i64
        });
    if !fits {
        return Err(Error::invalid("its paddings do not take its input to its output"));
    }
    let mut result = vec![0.0; output.count()];
    for (number, value) in x.iter().enumerate() {
        let (mut rest, mut at, mut step) = (number, 0, 1);
        for axis in (0..rank).rev() {
            let place = rest % input.shape[axis] + usize::try_from(amounts[2 * axis]).unwrap_or(0);
            rest /= input.shape[axis];
            at += place * step;
            step *= output.shape[axis];
        }
        result[at] = *value;
    }
    Ok(result)
}
