//! A model of every operator that is written, there and back, and what damage does.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss
)]

use super::{export, from_bytes, to_bytes};
use crate::engine::Engine;
use crate::kernel::Isa;
use crate::model::{
    Activation, Element, Kind, Model, Operator, Padding, Quantization, Sliding, Tensor, file,
};

fn image(model: &mut Model, shape: &[usize], scale: f32, zero_point: i32) -> usize {
    let name = format!("t{}", model.tensors.len());
    let q = Quantization::per_tensor(scale, zero_point);
    model.push(Tensor::activation(&name, shape, Element::I8, Some(q)))
}

fn weights(model: &mut Model, shape: &[usize], axis: u32, seed: usize) -> usize {
    let count: usize = shape.iter().product();
    let values: Vec<i8> = (0..count)
        .map(|i| ((i * 73 + seed * 31) % 255) as u8 as i8)
        .map(|v| v.max(-127))
        .collect();
    let scales = (0..shape[axis as usize])
        .map(|c| 0.002 + c as f32 * 1e-4)
        .collect();
    model.push(Tensor::constant_i8(
        &format!("w{seed}"),
        shape,
        &values,
        Quantization::per_channel(scales, axis),
    ))
}

/// conv -> depthwise -> add -> pools -> pad -> concat -> mean -> reshape -> dense -> logistic / tanh / mul -> softmax.
pub(crate) fn sample() -> Model {
    let mut m = Model::default();
    let sliding = |stride, padding| Sliding {
        stride: [stride; 2],
        dilation: [1, 1],
        padding,
    };
    let (same, valid) = (Padding::Same, Padding::Valid);
    let input = image(&mut m, &[1, 9, 7, 3], 0.05, -3);
    let w = weights(&mut m, &[20, 3, 3, 3], 0, 1);
    let bias = m.push(Tensor::constant_i32("b", &[20], &[100; 20], None));
    let conv = image(&mut m, &[1, 5, 4, 20], 0.06, -20);
    let add = |m: &mut Model, kind, inputs: &[usize], output| {
        m.operators.push(Operator::new(kind, inputs, output));
        output
    };
    let relu = Activation::Relu;
    add(
        &mut m,
        Kind::Conv2d {
            sliding: sliding(2, same),
            activation: relu,
        },
        &[input, w, bias],
        conv,
    );
    let w = weights(&mut m, &[1, 3, 3, 20], 3, 2);
    let deep = image(&mut m, &[1, 5, 4, 20], 0.04, 5);
    let none = Activation::None;
    add(
        &mut m,
        Kind::DepthwiseConv2d {
            sliding: sliding(1, same),
            activation: none,
        },
        &[conv, w],
        deep,
    );
    let sum = image(&mut m, &[1, 5, 4, 20], 0.07, 1);
    add(&mut m, Kind::Add { activation: none }, &[conv, deep], sum);
    let most = image(&mut m, &[1, 2, 2, 20], 0.07, 1);
    add(
        &mut m,
        Kind::MaxPool2d {
            sliding: sliding(2, valid),
            window: [2, 2],
            activation: none,
        },
        &[sum],
        most,
    );
    let average = image(&mut m, &[1, 2, 2, 20], 0.07, 1);
    let pool = Kind::AveragePool2d {
        sliding: sliding(3, same),
        window: [3, 3],
        activation: none,
    };
    add(&mut m, pool, &[sum], average);
    let both = image(&mut m, &[1, 2, 2, 40], 0.07, 1);
    add(
        &mut m,
        Kind::Concatenation {
            axis: -1,
            activation: none,
        },
        &[most, average],
        both,
    );
    let amounts = m.push(Tensor::constant_i32(
        "p",
        &[4, 2],
        &[0, 0, 1, 0, 0, 2, 0, 0],
        None,
    ));
    let padded = image(&mut m, &[1, 3, 4, 40], 0.07, 1);
    add(&mut m, Kind::Pad, &[both, amounts], padded);
    let axes = m.push(Tensor::constant_i32("a", &[2], &[1, 2], None));
    let mean = image(&mut m, &[1, 40], 0.05, 2);
    add(&mut m, Kind::Mean, &[padded, axes], mean);
    let flat = image(&mut m, &[40], 0.05, 2);
    add(&mut m, Kind::Reshape, &[mean], flat);
    let w = weights(&mut m, &[6, 40], 0, 3);
    let dense = image(&mut m, &[1, 6], 0.1, 0);
    add(
        &mut m,
        Kind::FullyConnected { activation: none },
        &[flat, w],
        dense,
    );
    let left = image(&mut m, &[1, 6], 1.0 / 256.0, -128);
    add(&mut m, Kind::Logistic, &[dense], left);
    let right = image(&mut m, &[1, 6], 1.0 / 128.0, 0);
    add(&mut m, Kind::Tanh, &[dense], right);
    let product = image(&mut m, &[1, 6], 0.008, 0);
    add(&mut m, Kind::Mul { activation: none }, &[left, right], product);
    let difference = image(&mut m, &[1, 6], 0.02, 3);
    add(
        &mut m,
        Kind::Sub { activation: none },
        &[product, dense],
        difference,
    );
    let output = image(&mut m, &[1, 6], 1.0 / 256.0, -128);
    add(&mut m, Kind::Softmax { beta: 1.0 }, &[difference], output);
    (m.inputs, m.outputs) = (vec![input], vec![output]);
    m
}

/// Parts of other scales, a constant part and a fused function: the joined result is that of QUANTIZE in front.
#[test]
fn joins_what_means_something_else() {
    let mut m = Model::default();
    let input = image(&mut m, &[1, 3], 0.05, -3);
    let constant = m.push(Tensor::constant_i8(
        "c",
        &[1, 2],
        &[-100, 100],
        Quantization::per_tensor(0.02, 10),
    ));
    let output = image(&mut m, &[1, 8], 0.1, 4);
    m.operators.push(Operator::new(
        Kind::Concatenation {
            axis: 1,
            activation: Activation::Relu6,
        },
        &[input, constant, input],
        output,
    ));
    (m.inputs, m.outputs) = (vec![input], vec![output]);
    let want = |real: f32| ((real.clamp(0.0, 6.0) / 0.1).round() as i32 + 4).clamp(-128, 127) as i8;
    let mut engine = Engine::new(&m).unwrap();
    let bytes = [-128i8, 17, 127];
    let mut got = [0; 8];
    engine.run(&bytes, &mut got).unwrap();
    let near: Vec<i8> = bytes.iter().map(|b| want(0.05 * (f32::from(*b) + 3.0))).collect();
    assert_eq!(got[..3], near);
    assert_eq!(got[3..5], [want(-2.2), want(1.8)]);
    assert_eq!(got[5..], near);
    // A dimension beyond every number is refused, too.
    for axis in [i32::MIN, -3, 2, i32::MAX] {
        m.operators[0].kind = Kind::Concatenation {
            axis,
            activation: Activation::None,
        };
        assert!(Engine::new(&m).is_err());
    }
}

fn run(model: &Model, isa: Isa) -> Vec<Vec<i8>> {
    let mut engine = Engine::with_isa(model, isa).unwrap();
    let input: Vec<i8> = (0..engine.input_count())
        .map(|i| (i * 97 % 256) as u8 as i8)
        .collect();
    let mut output = vec![0; engine.output_count()];
    let mut seen = Vec::new();
    engine
        .run_traced(&input, &mut output, |_, bytes| seen.push(bytes.to_vec()))
        .unwrap();
    assert_eq!(seen.last(), Some(&output));
    seen
}

#[test]
fn there_and_back() {
    let model = sample();
    let back = from_bytes(&to_bytes(&model).unwrap()).unwrap();
    assert_eq!(back.operators, model.operators);
    assert_eq!(back.tensors, model.tensors);
    let own = file::from_bytes(&file::to_bytes(&model)).unwrap();
    assert_eq!(own, model);
    let want = run(&model, Isa::Portable);
    assert!(
        want.iter().all(|layer| layer.iter().any(|v| *v != layer[0])),
        "no layer is constant: {want:?}"
    );
    for isa in Isa::available() {
        assert_eq!(run(&back, isa), want, "{}", isa.name());
    }
}

/// A damaged file is refused, or gives some model that is refused or runs.
#[test]
fn every_flip_is_survived() {
    let bytes = to_bytes(&sample()).unwrap();
    for at in (0..bytes.len()).step_by(3) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        crate::fuzzing::tflite(&damaged);
    }
    for end in (0..bytes.len()).step_by(7) {
        assert!(from_bytes(&bytes[..end]).is_err() || end > 8);
    }
}

/// The error that the file of a hostile model gives.
fn refusal(model: &Model) -> String {
    from_bytes(&export::write(model).unwrap())
        .unwrap_err()
        .to_string()
}

/// Operators that wait for each other, or for themselves, are refused, however long the circle is.
#[test]
fn circles_are_refused() {
    for length in [1, 2, 5] {
        let mut m = Model::default();
        let input = image(&mut m, &[1, 4], 0.1, 0);
        let around: Vec<usize> = (0..length).map(|_| image(&mut m, &[1, 4], 0.1, 0)).collect();
        for (number, to) in around.iter().enumerate() {
            let from = around[(number + length - 1) % length];
            let kind = Kind::Add {
                activation: Activation::None,
            };
            m.operators.push(Operator::new(kind, &[input, from], *to));
        }
        (m.inputs, m.outputs) = (vec![input], vec![around[length - 1]]);
        let error = refusal(&m);
        assert!(error.contains("before it is written"), "{error}");
        assert!(Engine::new(&m).is_err());
    }
    // Written twice: whose number would it be?
    let mut m = Model::default();
    let tensors: Vec<usize> = (0..2).map(|_| image(&mut m, &[1, 4], 0.1, 0)).collect();
    for _ in 0..2 {
        let kind = Kind::Relu {
            activation: Activation::Relu,
        };
        m.operators.push(Operator::new(kind, &tensors[..1], tensors[1]));
    }
    (m.inputs, m.outputs) = (vec![tensors[0]], vec![tensors[1]]);
    assert!(refusal(&m).contains("written"));
}

/// Scales that run over a dimension that the weights do not have, or that are not as many as its indexes.
#[test]
fn scales_over_a_missing_dimension_are_refused() {
    for (axis, scales) in [
        (2, 4),
        (9, 4),
        (u32::from(u16::MAX), 4),
        (u32::MAX, 4),
        (0, 3),
        (1, 4),
    ] {
        let mut m = Model::default();
        let input = image(&mut m, &[1, 5], 0.1, 0);
        let weights = m.push(Tensor::constant_i8(
            "w",
            &[4, 5],
            &[1; 20],
            Quantization::per_channel(vec![0.01; scales], axis),
        ));
        let output = image(&mut m, &[1, 4], 0.1, 0);
        let kind = Kind::FullyConnected {
            activation: Activation::None,
        };
        m.operators.push(Operator::new(kind, &[input, weights], output));
        (m.inputs, m.outputs) = (vec![input], vec![output]);
        let error = refusal(&m);
        assert!(
            error.contains("dimension") || error.contains("scales"),
            "{axis} {scales}: {error}"
        );
    }
}
