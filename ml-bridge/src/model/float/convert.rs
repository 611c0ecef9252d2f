//! The int8 graph of a float one, from the ends of its tensors.

use super::run::real;
use crate::model::{Affine, Element, Kind, Model, Operator, Quantization, Tensor};
use crate::{Error, Result};

/// Smallest distance between the ends of a tensor.
const MIN_RANGE: f32 = 1e-6;

struct Converter<'m> {
    from: &'m Model,
    ranges: &'m [Option<[f32; 2]>],
    to: Model,
    /// Where each tensor went.
    places: Vec<Option<usize>>,
}

/// The int8 form of `model`, whose tensors held numbers in `ranges`.
pub(super) fn convert(model: &Model, ranges: &[Option<[f32; 2]>]) -> Result<Model> {
    let mut converter = Converter {
        from: model,
        ranges,
        to: Model {
            metadata: model.metadata.clone(),
            ..Model::default()
        },
        places: vec![None; model.tensors.len()],
    };
    for input in &model.inputs {
        let meaning = converter.observed(*input)?;
        let place = converter.computed(*input, meaning)?;
        converter.to.inputs.push(place);
    }
    for (number, operator) in model.operators.iter().enumerate() {
        converter.operator(operator).map_err(|e| {
            let name = operator.kind.name();
            Error::invalid(format!("operator {number} ({name}) cannot be quantized: {e}"))
        })?;
    }
    for output in &model.outputs {
        let place = converter.place(*output)?;
        converter.to.outputs.push(place);
    }
    Ok(converter.to)
}

/// Scale and zero point for numbers between two ends, with an exact zero.
fn between([low, high]: [f32; 2]) -> Affine {
    let (low, high) = (low.min(0.0), high.max(0.0));
    let scale = (high - low).max(MIN_RANGE) / 255.0;
    #[expect(clippy::cast_possible_truncation, reason = "held in the range of i8")]
    let zero_point = (-128.0 - low / scale).round().clamp(-128.0, 127.0) as i32;
    Affine { scale, zero_point }
}

#[expect(clippy::cast_possible_truncation, reason = "held in the range of i8")]
fn symmetric(value: f32, scale: f32) -> i8 {
    (value / scale).round().clamp(-127.0, 127.0) as i8
}

impl Converter<'_> {
    fn observed(&self, tensor: usize) -> Result<Affine> {
        let range = self.ranges.get(tensor).copied().flatten();
        let name = || self.from.tensors.get(tensor).map(|t| t.name.clone());
        range
            .map(between)
            .ok_or_else(|| Error::invalid(format!("tensor {:?} was never seen", name().unwrap_or_default())))
    }

    fn place(&self, tensor: usize) -> Result<usize> {
        let place = self.places.get(tensor).copied().flatten();
        place.ok_or_else(|| Error::invalid(format!("tensor {tensor} has no int8 form")))
    }

    /// Adds the int8 form of a tensor that is computed.
    fn computed(&mut self, tensor: usize, meaning: Affine) -> Result<usize> {
        let from = self.from.tensor(tensor)?;
        let q = Quantization::per_tensor(meaning.scale, meaning.zero_point);
        let new = Tensor::activation(&from.name, &from.shape, Element::I8, Some(q));
        let place = self.to.push(new);
        self.places[tensor] = Some(place);
        Ok(place)
    }

    /// An input that is computed, or a constant as one whole tensor.
    fn input(&mut self, operator: &Operator, position: usize) -> Result<usize> {
        let index = operator.inputs.get(position).copied().flatten();
        let index = index.ok_or_else(|| Error::invalid(format!("its input {position} is missing")))?;
        let tensor = self.from.tensor(index)?;
        if tensor.data.is_none() {
            return self.place(index);
        }
        let values =
            real(tensor).ok_or_else(|| Error::invalid(format!("{:?} holds no floats", tensor.name)))?;
        let ends = values
            .iter()
            .fold([0.0f32; 2], |e, v| [e[0].min(*v), e[1].max(*v)]);
        let meaning = between(ends);
        let bytes: Vec<i8> = values.iter().map(|v| meaning.quantize(*v)).collect();
        let q = Quantization::per_tensor(meaning.scale, meaning.zero_point);
        Ok(self
            .to
            .push(Tensor::constant_i8(&tensor.name, &tensor.shape, &bytes, q)))
    }

    /// Weights with one scale per index of dimension `axis`, and the bias, for an input of scale `scale`.
    fn weights(&mut self, operator: &Operator, axis: usize, scale: f32) -> Result<Vec<usize>> {
        let index = operator.inputs.get(1).copied().flatten();
        let index = index.ok_or_else(|| Error::invalid("it has no weights"))?;
        let tensor = self.from.tensor(index)?;
        let missing = || Error::invalid("its weights are not constant floats");
        let values = tensor
            .data
            .as_ref()
            .and_then(|_| real(tensor))
            .ok_or_else(missing)?;
        let outputs = *tensor.shape.get(axis).ok_or_else(missing)?;
        let inner: usize = tensor.shape[axis + 1..].iter().product();
        let channel = |at: usize| at / inner % outputs;
        let bias_tensor = match operator.inputs.get(2).copied().flatten() {
            Some(index) => Some(self.from.tensor(index)?),
            None => None,
        };
        let bias = match bias_tensor {
            Some(tensor) => real(tensor)
                .filter(|b| b.len() == outputs)
                .ok_or_else(|| Error::invalid("its bias is not one float per output"))?,
            None => Vec::new(),
        };
        if !values.iter().chain(&bias).all(|v| v.is_finite()) {
            return Err(Error::invalid("its weights are not finite"));
        }
        let mut scales = vec![0.0f32; outputs];
        for (at, value) in values.iter().enumerate() {
            let largest = &mut scales[channel(at)];
            *largest = largest.max(value.abs());
        }
        for (number, scale_of) in scales.iter_mut().enumerate() {
            // A bias must fit i32 at its scale, also where all weights are zero.
            let least = bias.get(number).map_or(0.0, |b| b.abs() / (scale * 1e9));
            *scale_of = (*scale_of / 127.0).max(least).max(1e-9);
        }
        let bytes: Vec<i8> = values
            .iter()
            .enumerate()
            .map(|(at, v)| symmetric(*v, scales[channel(at)]))
            .collect();
        #[expect(clippy::cast_possible_truncation, reason = "held in the range of i8")]
        let axis_number = axis as u32;
        let q = Quantization::per_channel(scales.clone(), axis_number);
        let mut places = vec![
            self.to
                .push(Tensor::constant_i8(&tensor.name, &tensor.shape, &bytes, q)),
        ];
        if let Some(tensor) = bias_tensor {
            let steps: Vec<f32> = scales.iter().map(|s| s * scale).collect();
            #[expect(
                clippy::cast_possible_truncation,
                reason = "scales were chosen so that it fits"
            )]
            let whole: Vec<i32> = bias
                .iter()
                .zip(&steps)
                .map(|(b, s)| (f64::from(*b) / f64::from(*s)).round().clamp(-2e9, 2e9) as i32)
                .collect();
            let q = Quantization::per_channel(steps, 0);
            places.push(
                self.to
                    .push(Tensor::constant_i32(&tensor.name, &[outputs], &whole, Some(q))),
            );
        }
        Ok(places)
    }

    fn operator(&mut self, operator: &Operator) -> Result<()> {
        let mut inputs = vec![self.input(operator, 0)?];
        let source = self.to.tensor(inputs[0])?.affine()?;
        let target = operator.outputs[0];
        let fixed = |scale: f32, zero_point: i32| Affine { scale, zero_point };
        let meaning = match &operator.kind {
            Kind::FullyConnected { .. } | Kind::Conv2d { .. } => {
                inputs.extend(self.weights(operator, 0, source.scale)?);
                self.observed(target)?
            }
            Kind::DepthwiseConv2d { .. } => {
                inputs.extend(self.weights(operator, 3, source.scale)?);
                self.observed(target)?
            }
            Kind::Add { .. } | Kind::Sub { .. } | Kind::Mul { .. } => {
                inputs.push(self.input(operator, 1)?);
                self.observed(target)?
            }
            Kind::Concatenation { .. } => {
                let meaning = self.observed(target)?;
                inputs.clear();
                for position in 0..operator.inputs.len() {
                    let place = self.input(operator, position)?;
                    inputs.push(self.rescaled(place, meaning)?);
                }
                meaning
            }
            Kind::Mean | Kind::Pad | Kind::Reshape => {
                // Shapes, axes and amounts stay as they are.
                for index in operator.inputs.iter().skip(1).flatten() {
                    let constant = self.from.tensor(*index)?;
                    if constant.data.is_none() || constant.element != Element::I32 {
                        return Err(Error::invalid(format!("{:?} is not constant i32", constant.name)));
                    }
                    inputs.push(self.to.push(constant.clone()));
                }
                if operator.kind == Kind::Mean {
                    self.observed(target)?
                } else {
                    source
                }
            }
            Kind::AveragePool2d { .. } | Kind::MaxPool2d { .. } => source,
            Kind::Softmax { .. } | Kind::Logistic => fixed(1.0 / 256.0, -128),
            Kind::Tanh => fixed(1.0 / 128.0, 0),
            Kind::Relu { .. } => self.observed(target)?,
            _ => return Err(Error::invalid("it has no int8 form here")),
        };
        let place = self.computed(target, meaning)?;
        self.to
            .operators
            .push(Operator::new(operator.kind.clone(), &inputs, place));
        Ok(())
    }

    /// `place` with the meaning `to`, by QUANTIZE where it has another.
    fn rescaled(&mut self, place: usize, to: Affine) -> Result<usize> {
        let tensor = self.to.tensor(place)?;
        if tensor.affine()? == to {
            return Ok(place);
        }
        if tensor.data.is_some() {
            return Err(Error::invalid("it joins constants"));
        }
        let q = Quantization::per_tensor(to.scale, to.zero_point);
        let name = format!("{}/rescaled", tensor.name);
        let new = Tensor::activation(&name, &tensor.shape.clone(), Element::I8, Some(q));
        let rescaled = self.to.push(new);
        self.to
            .operators
            .push(Operator::new(Kind::Quantize, &[place], rescaled));
        Ok(rescaled)
    }
}
