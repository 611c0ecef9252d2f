//! A gate: a small classifier that says whether a window is worth a larger model's time. Its inner layers compute with
//! signs alone, so that it costs next to nothing.
//!
//! ```text
//! int8 dense -> [sign, binary dense] x n -> held in -1..1 -> int8 dense -> a number, above 0 for yes
//! ```
//!
//! Signs have no slope, so training keeps a real weight behind every sign and lets derivatives through a sign as if it
//! were the identity between -1 and 1 (the straight-through estimator: Courbariaux et al., "Binarized Neural Networks",
//! 2016). The loss is that of logistic regression. The same samples and seed give the same gate, bit for bit.

use siltstone_store::error::{Error, Result};

use super::autoencoder::Samples;
use super::network::{Adam, Gradients, Network};
use super::quantize::UNITS;
use crate::kernel::bits::BIAS_PARTS;
use crate::math::Random;
use crate::model::{Activation, Affine, Element, Kind, Model, Operator, Quantization, Tensor};

/// What lies between the layers: held in -1..1 by saturation.
const BETWEEN: Affine = Affine {
    scale: 1.0 / 127.0,
    zero_point: 0,
};
/// The gate's answer.
const ANSWER: Affine = Affine {
    scale: 1.0 / 16.0,
    zero_point: 0,
};

/// How to train a gate.
#[derive(Debug, Clone, PartialEq)]
pub struct GatePlan {
    /// Units of the layers between input and answer; multiples of 64 waste nothing. At least two.
    pub hidden: Vec<usize>,
    /// Passes over the samples.
    pub epochs: usize,
    /// Samples per step.
    pub batch: usize,
    /// Step size.
    pub rate: f32,
    /// Start of all random choices.
    pub seed: u64,
}

impl Default for GatePlan {
    fn default() -> Self {
        GatePlan {
            hidden: vec![64, 64],
            epochs: 60,
            batch: 32,
            rate: 5e-3,
            seed: 1,
        }
    }
}

/// A trained gate in floats: the weights of inner layers count by their signs only.
#[derive(Debug, Clone)]
pub struct Gate {
    network: Network,
}

/// Room for one pass.
struct Pass {
    /// Sums of each layer.
    sums: Vec<Vec<f32>>,
    /// What each layer takes in.
    inputs: Vec<Vec<f32>>,
    deltas: Vec<Vec<f32>>,
}

/// +1 or -1; zero is +1, as in the kernels.
fn sign(value: f32) -> f32 {
    if value < 0.0 { -1.0 } else { 1.0 }
}

/// What a sum of `count` signs is multiplied with.
#[expect(clippy::cast_precision_loss, reason = "a layer's size")]
fn shrink(count: usize) -> f32 {
    1.0 / (count.max(1) as f32).sqrt()
}

/// Trains a gate on `samples`, which are worth a look where `labels` say so.
///
/// # Errors
/// `InvalidArgument` if there is not one label per sample, only one kind of label, or the plan has no inner layers.
pub fn train_gate(samples: &Samples, labels: &[bool], plan: &GatePlan) -> Result<Gate> {
    let yes = labels.iter().filter(|l| **l).count();
    if labels.len() != samples.len() || yes == 0 || yes == labels.len() {
        return Err(Error::invalid(format!(
            "a gate needs samples of both kinds: {} samples, {yes} of {} labels say yes",
            samples.len(),
            labels.len()
        )));
    }
    if plan.hidden.len() < 2 || plan.hidden.contains(&0) {
        return Err(Error::invalid(
            "a gate needs at least two layers between its ends",
        ));
    }
    if samples.iter().flatten().any(|v| !v.is_finite()) {
        return Err(Error::invalid("training needs finite numbers"));
    }
    let sizes: Vec<usize> = [samples.width()]
        .into_iter()
        .chain(plan.hidden.iter().copied())
        .chain([1])
        .collect();
    let linear: Vec<usize> = (0..sizes.len()).collect();
    let mut random = Random::new(plan.seed);
    let mut gate = Gate {
        network: Network::new(&sizes, &linear, &mut random),
    };
    let mut adam = Adam::new(&gate.network);
    let mut gradients = gate.network.gradients();
    let mut pass = gate.pass();
    let mut order: Vec<usize> = (0..samples.len()).collect();
    for epoch in 0..plan.epochs {
        random.shuffle(&mut order);
        // Towards the end steps get shorter, so that signs settle.
        let rate = if epoch * 3 > plan.epochs * 2 {
            plan.rate * 0.2
        } else {
            plan.rate
        };
        for batch in order.chunks(plan.batch.max(1)) {
            gradients.clear();
            for index in batch {
                gate.backward(samples.get(*index), labels[*index], &mut pass, &mut gradients);
            }
            #[expect(clippy::cast_precision_loss, reason = "a batch's size")]
            let scale = 1.0 / batch.len() as f32;
            adam.step(&mut gate.network, &gradients, scale, rate);
            let last = gate.network.layers.len() - 1;
            for layer in &mut gate.network.layers[1..last] {
                layer.weights.iter_mut().for_each(|w| *w = w.clamp(-1.0, 1.0));
            }
        }
    }
    let finite = |l: &super::network::Layer| l.weights.iter().chain(&l.bias).all(|w| w.is_finite());
    if !gate.network.layers.iter().all(finite) {
        return Err(Error::invalid(
            "training diverged; try a smaller step or another seed",
        ));
    }
    Ok(gate)
}

impl Gate {
    fn pass(&self) -> Pass {
        let layers = &self.network.layers;
        Pass {
            sums: layers.iter().map(|l| vec![0.0; l.outputs]).collect(),
            inputs: layers.iter().map(|l| vec![0.0; l.inputs]).collect(),
            deltas: layers.iter().map(|l| vec![0.0; l.outputs]).collect(),
        }
    }

    /// The answer for `sample`, above 0 for yes.
    pub fn answer(&self, sample: &[f32]) -> f32 {
        self.forward(sample, &mut self.pass())
    }

    /// Whether layer `index` computes with signs.
    fn is_binary(&self, index: usize) -> bool {
        index > 0 && index + 1 < self.network.layers.len()
    }

    fn forward(&self, sample: &[f32], pass: &mut Pass) -> f32 {
        for (index, layer) in self.network.layers.iter().enumerate() {
            let binary = self.is_binary(index);
            if index == 0 {
                pass.inputs[0].copy_from_slice(sample);
            } else {
                for (to, from) in pass.inputs[index].iter_mut().zip(&pass.sums[index - 1]) {
                    *to = if binary {
                        sign(*from)
                    } else {
                        from.clamp(-1.0, 1.0)
                    };
                }
            }
            let x = &pass.inputs[index];
            let rows = layer.weights.chunks_exact(layer.inputs);
            for ((to, row), bias) in pass.sums[index].iter_mut().zip(rows).zip(&layer.bias) {
                let products = row.iter().zip(x);
                let sum: f32 = if binary {
                    products.map(|(w, x)| sign(*w) * x).sum::<f32>() * shrink(layer.inputs)
                } else {
                    products.map(|(w, x)| w * x).sum()
                };
                *to = sum + bias;
            }
        }
        pass.sums.last().and_then(|l| l.first()).copied().unwrap_or(0.0)
    }

    fn backward(&self, sample: &[f32], label: bool, pass: &mut Pass, gradients: &mut Gradients) {
        let answer = self.forward(sample, pass);
        let last = self.network.layers.len() - 1;
        pass.deltas[last][0] = 1.0 / (1.0 + (-answer).exp()) - f32::from(u8::from(label));
        for index in (0..=last).rev() {
            let layer = &self.network.layers[index];
            let binary = self.is_binary(index);
            let factor = if binary { shrink(layer.inputs) } else { 1.0 };
            let (below, rest) = pass.deltas.split_at_mut(index);
            let (x, (of_weights, of_bias)) = (&pass.inputs[index], &mut gradients.layers[index]);
            if let Some(below) = below.last_mut() {
                below.fill(0.0);
            }
            for (output, delta) in rest[0].iter().enumerate() {
                of_bias[output] += delta;
                let row = output * layer.inputs..(output + 1) * layer.inputs;
                let slope = delta * factor;
                for (to, x) in of_weights[row.clone()].iter_mut().zip(x) {
                    *to += slope * x;
                }
                if let Some(below) = below.last_mut() {
                    for (to, w) in below.iter_mut().zip(&layer.weights[row]) {
                        *to += slope * if binary { sign(*w) } else { *w };
                    }
                }
            }
            if let Some(below) = below.last_mut() {
                // Straight through, between -1 and 1.
                for (to, sum) in below.iter_mut().zip(&pass.sums[index - 1]) {
                    if sum.abs() > 1.0 {
                        *to = 0.0;
                    }
                }
            }
        }
    }

    /// The gate as a model: int8 ends, binary layers between; its input has the scale of normalized windows.
    ///
    /// # Errors
    /// What [`Model::validate`] finds.
    pub fn to_model(&self) -> Result<Model> {
        let mut model = Model::default();
        let layers = &self.network.layers;
        let width = layers.first().map_or(0, |l| l.inputs);
        let quantization = |a: Affine| Some(Quantization::per_tensor(a.scale, a.zero_point));
        let mut last = model.push(Tensor::activation(
            "input",
            &[1, width],
            Element::I8,
            quantization(UNITS),
        ));
        model.inputs = vec![last];
        let mut scale_in = UNITS.scale;
        for (index, layer) in layers.iter().enumerate() {
            let name = |what: &str| format!("gate{index}/{what}");
            let (kind, weights, bias_scale) = if self.is_binary(index) {
                let scale = shrink(layer.inputs);
                let bytes: Vec<i8> = layer
                    .weights
                    .chunks_exact(layer.inputs)
                    .flat_map(sign_bytes)
                    .collect();
                let shape = [layer.outputs, layer.inputs.div_ceil(64) * 8];
                let q = Quantization::per_tensor(scale, 0);
                let parts = f64::from(scale) / f64::from(BIAS_PARTS);
                let weights = Tensor::constant_i8(&name("signs"), &shape, &bytes, q);
                (Kind::BinaryDense, weights, vec![parts; layer.outputs])
            } else {
                let rows = layer.weights.chunks_exact(layer.inputs);
                let scales: Vec<f32> = rows.map(|row| largest(row).max(1e-6) / 127.0).collect();
                let steps = layer.weights.iter().enumerate();
                #[expect(clippy::cast_possible_truncation, reason = "held in the range of i8")]
                let bytes: Vec<i8> = steps
                    .map(|(at, w)| (w / scales[at / layer.inputs]).round().clamp(-127.0, 127.0) as i8)
                    .collect();
                let parts = scales.iter().map(|s| f64::from(s * scale_in)).collect();
                let q = Quantization::per_channel(scales, 0);
                let shape = [layer.outputs, layer.inputs];
                let weights = Tensor::constant_i8(&name("weights"), &shape, &bytes, q);
                let activation = Activation::None;
                (Kind::FullyConnected { activation }, weights, parts)
            };
            #[expect(clippy::cast_possible_truncation, reason = "held in the range of i32")]
            let bias: Vec<i32> = layer
                .bias
                .iter()
                .zip(&bias_scale)
                .map(|(b, s)| (f64::from(*b) / s).round().clamp(-1e9, 1e9) as i32)
                .collect();
            let meaning = if index + 1 == layers.len() {
                ANSWER
            } else {
                BETWEEN
            };
            let weights = model.push(weights);
            let bias = model.push(Tensor::constant_i32(&name("bias"), &[layer.outputs], &bias, None));
            let output = Tensor::activation(
                &name("output"),
                &[1, layer.outputs],
                Element::I8,
                quantization(meaning),
            );
            let output = model.push(output);
            model
                .operators
                .push(Operator::new(kind, &[last, weights, bias], output));
            (last, scale_in) = (output, meaning.scale);
        }
        model.outputs = vec![last];
        model.validate()?;
        Ok(model)
    }
}

fn largest(row: &[f32]) -> f32 {
    row.iter().fold(0.0f32, |m, w| m.max(w.abs()))
}

/// The signs of a row, filled up to whole words of 64.
fn sign_bytes(row: &[f32]) -> Vec<i8> {
    let mut bytes = vec![0u8; row.len().div_ceil(64) * 8];
    for (at, weight) in row.iter().enumerate() {
        bytes[at / 8] |= u8::from(*weight < 0.0) << (at % 8);
    }
    bytes.into_iter().map(|b| b as i8).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

    use super::*;
    use crate::engine::Engine;
    use crate::kernel::Isa;
    use crate::model::file;

    /// Points inside and outside of a ring in two of eight dimensions: no plane separates them.
    fn ring(count: usize, seed: u64) -> (Samples, Vec<bool>) {
        let mut random = Random::new(seed);
        let (mut samples, mut labels) = (Samples::new(8), Vec::new());
        for _ in 0..count {
            let sample: Vec<f32> = (0..8)
                .map(|_| UNITS.dequantize(UNITS.quantize(random.normal() as f32)))
                .collect();
            labels.push(sample[0] * sample[0] + sample[1] * sample[1] > 1.4);
            samples.push(&sample);
        }
        (samples, labels)
    }

    #[test]
    fn learns_a_ring_and_keeps_it_in_bits() {
        let (samples, labels) = ring(800, 1);
        let plan = GatePlan {
            epochs: 25,
            ..GatePlan::default()
        };
        let gate = train_gate(&samples, &labels, &plan).unwrap();
        let model = gate.to_model().unwrap();
        assert_eq!(file::from_bytes(&file::to_bytes(&model)).unwrap(), model);
        let (unseen, truth) = ring(500, 2);
        let mut all: Option<Vec<i8>> = None;
        for isa in Isa::available() {
            let mut engine = Engine::with_isa(&model, isa).unwrap();
            let mut answers = Vec::new();
            for sample in unseen.iter() {
                let input: Vec<i8> = sample.iter().map(|v| UNITS.quantize(*v)).collect();
                let mut output = [0i8];
                engine.run(&input, &mut output).unwrap();
                answers.push(output[0]);
            }
            let right = answers
                .iter()
                .zip(&truth)
                .filter(|(a, t)| (**a > 0) == **t)
                .count();
            let alike = answers
                .iter()
                .zip(unseen.iter())
                .filter(|(a, s)| (**a > 0) == (gate.answer(s) > 0.0));
            assert!(right >= 400, "{right} of 500");
            assert!(alike.count() >= 450);
            assert!(all.as_ref().is_none_or(|a| *a == answers));
            all = Some(answers);
        }
    }

    #[test]
    fn refuses_what_cannot_be_learned() {
        let (samples, labels) = ring(20, 1);
        assert!(train_gate(&samples, &labels[1..], &GatePlan::default()).is_err());
        assert!(train_gate(&samples, &[true; 20], &GatePlan::default()).is_err());
        let plan = GatePlan {
            hidden: vec![64],
            ..GatePlan::default()
        };
        assert!(train_gate(&samples, &labels, &plan).is_err());
    }
}
