//! Builds the graph of a stack of dense layers, the shape of an autoencoder or a small classifier.

use super::{Activation, Affine, Element, Kind, Model, Operator, Quantization, Tensor};
use crate::{Error, Result};

/// One dense layer, quantized.
#[derive(Debug, Clone, PartialEq)]
pub struct DenseLayer {
    /// Numbers that come in.
    pub inputs: usize,
    /// Numbers that go out.
    pub outputs: usize,
    /// `outputs x inputs`, row by row.
    pub weights: Vec<i8>,
    /// One scale, or one per output.
    pub weight_scales: Vec<f32>,
    /// One per output, at `input scale * weight scale`; empty for none.
    pub bias: Vec<i32>,
    /// Fused function.
    pub activation: Activation,
    /// Scale and zero point of what goes out.
    pub output: Affine,
}

/// A model of `layers`, fed with int8 of scale and zero point `input`.
///
/// # Errors
/// [`Error::InvalidArgument`] if a layer's sizes do not fit each other or the layer before.
///
/// # Example
/// ```
/// use siltstone_ml_bridge::model::{Activation, Affine, dense};
/// let layer = dense::DenseLayer {
///     inputs: 2,
///     outputs: 1,
///     weights: vec![64, -64],
///     weight_scales: vec![1.0 / 64.0],
///     bias: vec![0],
///     activation: Activation::None,
///     output: Affine { scale: 0.1, zero_point: 0 },
/// };
/// let model = dense::build(&[layer], Affine { scale: 0.1, zero_point: 0 })?;
/// let mut engine = siltstone_ml_bridge::engine::Engine::new(&model)?;
/// let mut difference = [0i8];
/// engine.run(&[50, 20], &mut difference)?;
/// assert_eq!(difference, [30]);
/// # Ok::<(), siltstone_ml_bridge::Error>(())
/// ```
pub fn build(layers: &[DenseLayer], input: Affine) -> Result<Model> {
    let first = layers
        .first()
        .ok_or_else(|| Error::invalid("a dense model needs at least one layer"))?;
    let mut model = Model::default();
    let quantization = |a: Affine| Quantization::per_tensor(a.scale, a.zero_point);
    let mut last = model.push(Tensor::activation(
        "input",
        &[1, first.inputs],
        Element::I8,
        Some(quantization(input)),
    ));
    model.inputs = vec![last];
    let mut scale_in = input.scale;
    for (number, layer) in layers.iter().enumerate() {
        let fits = layer.inputs.checked_mul(layer.outputs) == Some(layer.weights.len())
            && (layer.weight_scales.len() == 1 || layer.weight_scales.len() == layer.outputs)
            && (layer.bias.is_empty() || layer.bias.len() == layer.outputs);
        if !fits {
            return Err(Error::invalid(format!(
                "dense layer {number} ({} -> {}) has {} weights, {} scales and {} biases",
                layer.inputs,
                layer.outputs,
                layer.weights.len(),
                layer.weight_scales.len(),
                layer.bias.len()
            )));
        }
        let scales = Quantization::per_channel(layer.weight_scales.clone(), 0);
        let bias_scales =
            Quantization::per_channel(layer.weight_scales.iter().map(|s| s * scale_in).collect(), 0);
        let name = |what: &str| format!("dense{number}/{what}");
        let shape = [layer.outputs, layer.inputs];
        let weights = model.push(Tensor::constant_i8(
            &name("weights"),
            &shape,
            &layer.weights,
            scales,
        ));
        let mut inputs = vec![last, weights];
        if !layer.bias.is_empty() {
            let bias = Tensor::constant_i32(&name("bias"), &[layer.outputs], &layer.bias, Some(bias_scales));
            inputs.push(model.push(bias));
        }
        last = model.push(Tensor::activation(
            &name("output"),
            &[1, layer.outputs],
            Element::I8,
            Some(quantization(layer.output)),
        ));
        model.operators.push(Operator::new(
            Kind::FullyConnected {
                activation: layer.activation,
            },
            &inputs,
            last,
        ));
        scale_in = layer.output.scale;
    }
    model.outputs = vec![last];
    model.validate()?;
    Ok(model)
}
