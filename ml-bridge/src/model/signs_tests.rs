//! Layers of signs as models: golden bytes, every family, what is refused, damage.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use super::{Element, Kind, Model, Operator, Padding, Quantization, Sliding, Tensor, file, tflite};
use crate::engine::Engine;
use crate::kernel::Isa;

/// A convolution of 70 channels to 5, and dense rows of 5 to 4.
fn signs() -> Model {
    let mut m = Model::default();
    let q = |scale: f32, zero_point: i32| Quantization::per_tensor(scale, zero_point);
    let image = |m: &mut Model, name: &str, shape: &[usize]| {
        m.push(Tensor::activation(name, shape, Element::I8, Some(q(0.05, -3))))
    };
    let bits = |m: &mut Model, name: &str, shape: &[usize]| {
        let bytes: Vec<i8> = (0..shape.iter().product())
            .map(|n: usize| (n * n * 5 + n * 37 + 11) as u8 as i8)
            .collect();
        m.push(Tensor::constant_i8(name, shape, &bytes, q(0.125, 0)))
    };
    let input = image(&mut m, "x", &[1, 4, 3, 70]);
    let filters = bits(&mut m, "f", &[5, 3, 2, 16]);
    let bias = Tensor::constant_i32("b", &[5], &[0, 300, -300, 7, 1], None);
    let bias = m.push(bias);
    let between = image(&mut m, "y", &[1, 2, 3, 5]);
    let sliding = Sliding {
        stride: [2, 1],
        dilation: [1, 1],
        padding: Padding::Same,
    };
    let kind = Kind::BinaryConv2d { sliding };
    m.operators
        .push(Operator::new(kind, &[input, filters, bias], between));
    let rows = bits(&mut m, "r", &[4, 8]);
    let output = image(&mut m, "z", &[1, 2, 3, 4]);
    m.operators
        .push(Operator::new(Kind::BinaryDense, &[between, rows], output));
    (m.inputs, m.outputs) = (vec![input], vec![output]);
    m
}

/// Golden bytes by their checksum: a change of the form is made knowingly.
#[test]
fn golden_file() {
    let bytes = file::to_bytes(&signs());
    assert_eq!(crc32fast::hash(&bytes[16..]), GOLDEN);
    assert_eq!(file::from_bytes(&bytes).unwrap(), signs());
    let error = tflite::to_bytes(&signs()).unwrap_err().to_string();
    assert!(error.contains("BINARY_CONV_2D"), "{error}");
}

#[test]
fn all_families_are_alike() {
    let outputs: Vec<Vec<i8>> = Isa::available()
        .into_iter()
        .map(|isa| {
            let mut engine = Engine::with_isa(&signs(), isa).unwrap();
            let input: Vec<i8> = (0..engine.input_count())
                .map(|n| (n * n * 3 + n * 41) as u8 as i8)
                .collect();
            let mut output = vec![0; engine.output_count()];
            engine.run(&input, &mut output).unwrap();
            output
        })
        .collect();
    assert!(outputs[0].iter().any(|v| *v != outputs[0][0]));
    assert!(outputs.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn what_does_not_fit_is_refused() {
    for tensor in 0..signs().tensors.len() {
        for axis in 0..signs().tensors[tensor].shape.len() {
            let mut model = signs();
            model.tensors[tensor].shape[axis] += 64;
            assert!(Engine::new(&model).is_err(), "tensor {tensor}, dimension {axis}");
        }
    }
    let mut model = signs();
    model.tensors[1].quantization = Some(Quantization::per_tensor(0.125, 3));
    assert!(Engine::new(&model).unwrap_err().to_string().contains("symmetric"));
}

#[test]
fn every_flip_is_survived() {
    let bytes = file::to_bytes(&signs());
    for at in 16..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        crate::fuzzing::model(&damaged);
    }
}

/// See [`golden_file`].
const GOLDEN: u32 = 0xf47d_1fa9;
