//! From the trained float network to int8: weights symmetric per output, activations calibrated on samples.
//!
//! Input and output share one scale ([`STEPS_PER_UNIT`] steps a unit, zero point 0), so that the reconstruction error
//! is a difference of two int8. Rectified layers use the whole range from -128, which stands for zero; linear ones are symmetric.

use siltstone_store::error::{Error, Result};

use super::autoencoder::Samples;
use super::network::Network;
use crate::model::dense::{self, DenseLayer};
use crate::model::{Activation, Affine, Model};
use crate::normalize::STEPS_PER_UNIT;

/// Scale and zero point of the network's input and output.
pub const UNITS: Affine = Affine {
    scale: 1.0 / STEPS_PER_UNIT,
    zero_point: 0,
};

/// The int8 form of `network`; `calibration` shows how large its activations get.
///
/// # Errors
/// `InvalidArgument` if the network has no layers or its weights are not finite.
pub fn quantize(network: &Network, calibration: &Samples) -> Result<Model> {
    let last = network.layers.len().saturating_sub(1);
    let mut peaks = vec![0.0f32; network.layers.len()];
    let mut scratch = network.scratch();
    for sample in calibration.iter() {
        network.forward(sample, &mut scratch);
        for (index, peak) in peaks.iter_mut().enumerate() {
            for &value in network.activation(&scratch, index) {
                *peak = peak.max(value.abs());
            }
        }
    }
    let mut input = UNITS;
    let mut layers = Vec::with_capacity(network.layers.len());
    for (index, layer) in network.layers.iter().enumerate() {
        if layer.weights.iter().chain(&layer.bias).any(|w| !w.is_finite()) {
            return Err(Error::invalid(
                "the network's weights are not finite; train again with another seed",
            ));
        }
        let output = if index == last {
            UNITS
        } else if layer.rectified {
            Affine {
                scale: peaks[index].max(1e-3) / 255.0,
                zero_point: -128,
            }
        } else {
            Affine {
                scale: peaks[index].max(1e-3) / 127.0,
                zero_point: 0,
            }
        };
        let mut quantized = DenseLayer {
            inputs: layer.inputs,
            outputs: layer.outputs,
            weights: Vec::with_capacity(layer.weights.len()),
            weight_scales: Vec::with_capacity(layer.outputs),
            bias: Vec::with_capacity(layer.outputs),
            activation: if layer.rectified {
                Activation::Relu
            } else {
                Activation::None
            },
            output,
        };
        for (row, &bias) in layer.weights.chunks_exact(layer.inputs).zip(&layer.bias) {
            let largest = row.iter().fold(0.0f32, |m, w| m.max(w.abs()));
            // A row of zeros still needs a scale at which its bias fits.
            let scale = (largest / 127.0).max(bias.abs() / (input.scale * 1e9)).max(1e-9);
            quantized.weights.extend(row.iter().map(|w| round_i8(w / scale)));
            quantized.bias.push(round_i32(bias / (input.scale * scale)));
            quantized.weight_scales.push(scale);
        }
        layers.push(quantized);
        input = output;
    }
    dense::build(&layers, UNITS)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "clamped to the range of i8 before the cast"
)]
fn round_i8(value: f32) -> i8 {
    value.round().clamp(-127.0, 127.0) as i8
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "clamped well inside the range of i32 before the cast"
)]
fn round_i32(value: f32) -> i32 {
    value.round().clamp(-1.0e9, 1.0e9) as i32
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

    use super::super::autoencoder::{Plan, train};
    use super::*;
    use crate::engine::Engine;
    use crate::math::Random;

    #[test]
    fn int8_reconstructs_nearly_as_floats_do() {
        let mut random = Random::new(5);
        let mut samples = Samples::new(12);
        for _ in 0..500 {
            let (u, v) = (random.normal(), random.normal());
            let sample: Vec<f32> = (0..12)
                .map(|i| {
                    let x = u * f64::from(i - 6) / 6.0 + v * f64::from(i % 3) + 0.1 * random.normal();
                    UNITS.dequantize(UNITS.quantize(x as f32))
                })
                .collect();
            samples.push(&sample);
        }
        let plan = Plan {
            hidden: 16,
            code: 4,
            epochs: 60,
            ..Plan::default()
        };
        let trained = train(&samples, &samples, &plan, &mut |_, _| true).unwrap();
        let model = quantize(&trained.network, &samples).unwrap();
        let mut engine = Engine::new(&model).unwrap();
        let mut scratch = trained.network.scratch();
        let mut worst = 0.0f32;
        let mut total = 0.0f32;
        for sample in samples.iter() {
            let input: Vec<i8> = sample.iter().map(|&x| UNITS.quantize(x)).collect();
            let mut output = vec![0i8; 12];
            engine.run(&input, &mut output).unwrap();
            for (&q, &x) in output.iter().zip(trained.network.forward(sample, &mut scratch)) {
                let difference = (UNITS.dequantize(q) - x).abs();
                worst = worst.max(difference);
                total += difference;
            }
        }
        assert!(worst < 0.3, "{worst}");
        assert!(total / (500.0 * 12.0) < 0.05, "{total}");
    }
}
