//! The float network that training adjusts: fully connected layers, each rectified or linear.
//!
//! Everything is a plain loop in a fixed order, so that the same seed gives the same weights on every machine.

use crate::math::Random;

/// One fully connected layer: `out = weights * in + bias`, then `max(0, out)` if rectified.
#[derive(Debug, Clone)]
pub struct Layer {
    /// Numbers in.
    pub inputs: usize,
    /// Numbers out.
    pub outputs: usize,
    /// One row of `inputs` weights per output.
    pub weights: Vec<f32>,
    /// One per output.
    pub bias: Vec<f32>,
    /// Whether negative outputs become zero.
    pub rectified: bool,
}

/// Layers one after the other.
#[derive(Debug, Clone)]
pub struct Network {
    /// The layers.
    pub layers: Vec<Layer>,
}

/// Gradients of every weight and bias, in the order of [`Network::layers`].
#[derive(Debug, Clone)]
pub struct Gradients {
    /// Per layer: of the weights, of the biases.
    pub layers: Vec<(Vec<f32>, Vec<f32>)>,
}

/// Room for one pass through a network.
#[derive(Debug, Clone)]
pub struct Scratch {
    /// Output of each layer.
    values: Vec<Vec<f32>>,
    /// Derivative of the loss by the output of each layer.
    deltas: Vec<Vec<f32>>,
}

impl Network {
    /// A network through layers of these sizes (first: inputs), with random weights (He et al., ICCV 2015); layers whose
    /// number is in `linear` are not rectified.
    #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
    pub fn new(sizes: &[usize], linear: &[usize], random: &mut Random) -> Self {
        let layers = sizes
            .windows(2)
            .enumerate()
            .map(|(index, pair)| {
                let (inputs, outputs) = (pair[0], pair[1]);
                let reach = (6.0 / inputs.max(1) as f64).sqrt();
                Layer {
                    inputs,
                    outputs,
                    weights: (0..inputs * outputs)
                        .map(|_| ((random.uniform() * 2.0 - 1.0) * reach) as f32)
                        .collect(),
                    bias: vec![0.0; outputs],
                    rectified: !linear.contains(&index),
                }
            })
            .collect();
        Network { layers }
    }

    /// Number of weights and biases.
    pub fn parameters(&self) -> usize {
        self.layers.iter().map(|l| l.weights.len() + l.bias.len()).sum()
    }

    /// Room for passes through this network.
    pub fn scratch(&self) -> Scratch {
        let values: Vec<Vec<f32>> = self.layers.iter().map(|l| vec![0.0; l.outputs]).collect();
        Scratch {
            deltas: values.clone(),
            values,
        }
    }

    /// Gradients of this network's form, all zero.
    pub fn gradients(&self) -> Gradients {
        let zero = |l: &Layer| (vec![0.0; l.weights.len()], vec![0.0; l.bias.len()]);
        Gradients {
            layers: self.layers.iter().map(zero).collect(),
        }
    }

    /// Runs `input` through the network; the result is the last layer's output.
    pub fn forward<'s>(&self, input: &[f32], scratch: &'s mut Scratch) -> &'s [f32] {
        for (index, layer) in self.layers.iter().enumerate() {
            let (before, rest) = scratch.values.split_at_mut(index);
            let from = before.last().map_or(input, Vec::as_slice);
            layer.forward(from, &mut rest[0]);
        }
        scratch.values.last().map_or(&[], Vec::as_slice)
    }

    /// Output of layer `index` in the last pass.
    pub fn activation<'s>(&self, scratch: &'s Scratch, index: usize) -> &'s [f32] {
        &scratch.values[index]
    }

    /// Adds to `gradients` those of half the squared distance between `target` and the output for `input`, and
    /// returns the squared distance.
    pub fn backward(
        &self,
        input: &[f32],
        target: &[f32],
        scratch: &mut Scratch,
        gradients: &mut Gradients,
    ) -> f32 {
        self.forward(input, scratch);
        let Some(last) = self.layers.len().checked_sub(1) else {
            return 0.0;
        };
        let mut loss = 0.0;
        for ((delta, &value), &wanted) in scratch.deltas[last]
            .iter_mut()
            .zip(&scratch.values[last])
            .zip(target)
        {
            *delta = value - wanted;
            loss += *delta * *delta;
        }
        for index in (0..=last).rev() {
            let layer = &self.layers[index];
            let (before, rest) = scratch.deltas.split_at_mut(index);
            let delta = &rest[0];
            let from = if index == 0 {
                input
            } else {
                &scratch.values[index - 1]
            };
            let (weights, bias) = &mut gradients.layers[index];
            layer.add_gradients(from, delta, weights, bias);
            if let Some(lower) = before.last_mut() {
                layer.pull_back(delta, lower);
                let rectified = self.layers[index - 1].rectified;
                for (d, &value) in lower.iter_mut().zip(from) {
                    if rectified && value <= 0.0 {
                        *d = 0.0;
                    }
                }
            }
        }
        loss
    }
}

impl Layer {
    fn forward(&self, from: &[f32], to: &mut [f32]) {
        for ((out, row), &bias) in to
            .iter_mut()
            .zip(self.weights.chunks_exact(self.inputs))
            .zip(&self.bias)
        {
            let sum = bias + dot(row, from);
            *out = if self.rectified { sum.max(0.0) } else { sum };
        }
    }

    fn add_gradients(&self, from: &[f32], delta: &[f32], weights: &mut [f32], bias: &mut [f32]) {
        for ((row, b), &d) in weights.chunks_exact_mut(self.inputs).zip(bias).zip(delta) {
            *b += d;
            if d != 0.0 {
                for (w, &x) in row.iter_mut().zip(from) {
                    *w += d * x;
                }
            }
        }
    }

    /// Derivatives by this layer's inputs from those by its outputs.
    fn pull_back(&self, delta: &[f32], lower: &mut [f32]) {
        lower.fill(0.0);
        for (row, &d) in self.weights.chunks_exact(self.inputs).zip(delta) {
            if d != 0.0 {
                for (l, &w) in lower.iter_mut().zip(row) {
                    *l += d * w;
                }
            }
        }
    }
}

/// Dot product in eight interleaved sums: a fixed order that compilers turn into vector instructions.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let (wide_a, wide_b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = wide_a
        .remainder()
        .iter()
        .zip(wide_b.remainder())
        .map(|(x, y)| x * y)
        .sum();
    for (x, y) in wide_a.zip(wide_b) {
        for lane in 0..8 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7])) + rest
}

impl Gradients {
    /// Sets all to zero.
    pub fn clear(&mut self) {
        for (weights, bias) in &mut self.layers {
            weights.fill(0.0);
            bias.fill(0.0);
        }
    }
}

/// Adam (Kingma and Ba, 2015): steps scaled by running means of the gradients and of their squares.
#[derive(Debug, Clone)]
pub struct Adam {
    mean: Gradients,
    square: Gradients,
    decay_mean: f32,
    decay_square: f32,
}

impl Adam {
    const BETA_MEAN: f32 = 0.9;
    const BETA_SQUARE: f32 = 0.999;

    /// A fresh optimizer for `network`.
    pub fn new(network: &Network) -> Self {
        Adam {
            mean: network.gradients(),
            square: network.gradients(),
            decay_mean: 1.0,
            decay_square: 1.0,
        }
    }

    /// Moves the network against `gradients`, each multiplied by `scale` first.
    pub fn step(&mut self, network: &mut Network, gradients: &Gradients, scale: f32, rate: f32) {
        self.decay_mean *= Self::BETA_MEAN;
        self.decay_square *= Self::BETA_SQUARE;
        let (mean_fix, square_fix) = (1.0 / (1.0 - self.decay_mean), 1.0 / (1.0 - self.decay_square));
        let update = |values: &mut [f32], gradient: &[f32], mean: &mut [f32], square: &mut [f32]| {
            for (((value, &g), m), s) in values.iter_mut().zip(gradient).zip(mean).zip(square) {
                let g = g * scale;
                *m = Self::BETA_MEAN * *m + (1.0 - Self::BETA_MEAN) * g;
                *s = Self::BETA_SQUARE * *s + (1.0 - Self::BETA_SQUARE) * g * g;
                *value -= rate * (*m * mean_fix) / ((*s * square_fix).sqrt() + 1e-8);
            }
        };
        for (index, layer) in network.layers.iter_mut().enumerate() {
            let ((gw, gb), (mw, mb)) = (&gradients.layers[index], &mut self.mean.layers[index]);
            let (sw, sb) = &mut self.square.layers[index];
            update(&mut layer.weights, gw, mw, sw);
            update(&mut layer.bias, gb, mb, sb);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

    use super::*;

    #[test]
    fn gradients_equal_finite_differences() {
        let mut random = Random::new(3);
        let network = Network::new(&[5, 7, 3, 7, 5], &[1, 3], &mut random);
        let input: Vec<f32> = (0..5).map(|_| random.normal() as f32).collect();
        let target: Vec<f32> = (0..5).map(|_| random.normal() as f32).collect();
        let mut scratch = network.scratch();
        let mut gradients = network.gradients();
        network.backward(&input, &target, &mut scratch, &mut gradients);
        let loss = |n: &Network| {
            let mut scratch = n.scratch();
            let out = n.forward(&input, &mut scratch);
            out.iter()
                .zip(&target)
                .map(|(o, t)| 0.5 * f64::from(o - t).powi(2))
                .sum::<f64>()
        };
        for layer in 0..4 {
            for index in 0..network.layers[layer].weights.len() {
                let (mut up, mut down) = (network.clone(), network.clone());
                up.layers[layer].weights[index] += 1e-3;
                down.layers[layer].weights[index] -= 1e-3;
                let slope = (loss(&up) - loss(&down)) / 2e-3;
                let got = f64::from(gradients.layers[layer].0[index]);
                assert!(
                    (slope - got).abs() < 2e-2 * (1.0 + got.abs()),
                    "{layer} {index}: {slope} {got}"
                );
            }
            for index in 0..network.layers[layer].bias.len() {
                let (mut up, mut down) = (network.clone(), network.clone());
                up.layers[layer].bias[index] += 1e-3;
                down.layers[layer].bias[index] -= 1e-3;
                let slope = (loss(&up) - loss(&down)) / 2e-3;
                let got = f64::from(gradients.layers[layer].1[index]);
                assert!(
                    (slope - got).abs() < 2e-2 * (1.0 + got.abs()),
                    "{layer} {index}: {slope} {got}"
                );
            }
        }
    }

    #[test]
    fn adam_learns_a_line() {
        let mut random = Random::new(1);
        let mut network = Network::new(&[2, 8, 1, 8, 2], &[1, 3], &mut random);
        let mut adam = Adam::new(&network);
        let (mut scratch, mut gradients) = (network.scratch(), network.gradients());
        let mut last = 0.0;
        for _ in 0..3000 {
            gradients.clear();
            last = 0.0;
            for _ in 0..16 {
                let x = random.normal() as f32;
                let point = [x, 2.0 * x];
                last += network.backward(&point, &point, &mut scratch, &mut gradients);
            }
            adam.step(&mut network, &gradients, 1.0 / 16.0, 3e-3);
        }
        assert!(last / 16.0 < 0.05, "{last}");
    }
}
