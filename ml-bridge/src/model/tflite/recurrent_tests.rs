//! Recurrent layers there and back, and their results against those of LiteRT.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_possible_wrap
)]

use super::{from_bytes, to_bytes};
use crate::engine::Engine;
use crate::kernel::Isa;
use crate::model::{Activation, Affine, Element, Kind, Model, Operator, Quantization, Tensor, file};

// samples begin
fn affine(scale: f32, zero_point: i32) -> Option<Quantization> {
    Some(Quantization::per_tensor(scale, zero_point))
}

/// The `n`-th number of a pattern without much order, in -127..=127.
fn pattern(n: usize) -> i32 {
    ((n * n * 7 + n * 31 + 17) % 255) as i32 - 127
}

fn weights(m: &mut Model, shape: &[usize], scale: f32) -> Option<usize> {
    let start = m.tensors.len() * 101;
    let values: Vec<i8> = (0..shape.iter().product())
        .map(|n: usize| pattern(start + n) as i8)
        .collect();
    let name = format!("w{start}");
    Some(m.push(Tensor::constant_i8(
        &name,
        shape,
        &values,
        Quantization::per_tensor(scale, 0),
    )))
}

/// 4 steps of 3 numbers through 5 cells.
pub(crate) fn lstm(coupled: bool, cell_clip: f32) -> Model {
    let mut m = Model::default();
    let (steps, inputs, cells) = (4, 3, 5);
    let input = m.push(Tensor::activation(
        "x",
        &[1, steps, inputs],
        Element::I8,
        affine(0.03, -5),
    ));
    let mut ends = vec![None; 24];
    ends[0] = Some(input);
    for gate in usize::from(coupled)..4 {
        ends[1 + gate] = weights(&mut m, &[cells, inputs], 0.009 + gate as f32 * 1e-3);
        ends[5 + gate] = weights(&mut m, &[cells, cells], 0.011 - gate as f32 * 1e-3);
        let bias: Vec<i32> = (0..cells).map(|n| pattern(n + gate) * 40).collect();
        let name = format!("b{gate}");
        ends[12 + gate] = Some(m.push(Tensor::constant_i32(
            &name,
            &[cells],
            &bias,
            affine(0.03 * 0.009, 0),
        )));
    }
    let q = Quantization::per_tensor(1.0 / 100.0, 7);
    ends[18] = Some(m.push(Tensor::state("h", &[1, cells], Element::I8, q.clone())));
    let q16 = Quantization::per_tensor(1.0 / 2048.0, 0);
    ends[19] = Some(m.push(Tensor::state("c", &[1, cells], Element::I16, q16)));
    let output = m.push(Tensor::activation("y", &[1, steps, cells], Element::I8, Some(q)));
    let hidden = Some(Affine {
        scale: 1.0 / 100.0,
        zero_point: 7,
    });
    m.operators.push(Operator {
        kind: Kind::Lstm {
            time_major: false,
            cell_clip,
            hidden,
        },
        inputs: ends,
        outputs: vec![output],
    });
    (m.inputs, m.outputs) = (vec![input], vec![output]);
    m
}

/// 6 numbers to 4, by filters of rank 2 over 5 steps.
pub(crate) fn svdf() -> Model {
    let mut m = Model::default();
    let (inputs, units, rank, length) = (6, 4, 2, 5);
    let filters = units * rank;
    let input = m.push(Tensor::activation(
        "x",
        &[1, inputs],
        Element::I8,
        affine(0.05, 3),
    ));
    let features = weights(&mut m, &[filters, inputs], 0.01);
    let values: Vec<i16> = (0..filters * length).map(|n| (pattern(n) * 211) as i16).collect();
    let q = Quantization::per_tensor(1e-5, 0);
    let times = m.push(Tensor::constant_i16("t", &[filters, length], &values, q));
    let bias: Vec<i32> = (0..units).map(|n| pattern(n) * 9000).collect();
    let bias = m.push(Tensor::constant_i32("b", &[units], &bias, affine(1e-8, 0)));
    let q = Quantization::per_tensor(1e-3, 0);
    let state = m.push(Tensor::state("s", &[1, filters * length], Element::I16, q));
    let output = m.push(Tensor::activation(
        "y",
        &[1, units],
        Element::I8,
        affine(0.02, -128),
    ));
    m.operators.push(Operator {
        kind: Kind::Svdf {
            rank,
            activation: Activation::Relu,
        },
        inputs: vec![Some(input), features, Some(times), Some(bias), Some(state)],
        outputs: vec![output],
    });
    (m.inputs, m.outputs) = (vec![input], vec![output]);
    m
}
// samples end

/// Outputs of `runs` runs, the memory going on, on inputs of the pattern.
fn outputs(model: &Model, isa: Isa, runs: usize) -> Vec<i8> {
    let mut engine = Engine::with_isa(model, isa).unwrap();
    assert!(engine.has_memory());
    let count = engine.input_count();
    let mut all = Vec::new();
    for run in 0..runs {
        let input: Vec<i8> = (0..count).map(|n| pattern(run * count + n) as i8).collect();
        let mut output = vec![0; engine.output_count()];
        engine.run(&input, &mut output).unwrap();
        all.extend(output);
    }
    engine.reset();
    let input: Vec<i8> = (0..count).map(|n| pattern(n) as i8).collect();
    let mut first = vec![0; engine.output_count()];
    engine.run(&input, &mut first).unwrap();
    assert_eq!(first, all[..first.len()], "a reset engine starts anew");
    all
}

/// The results were computed by LiteRT 2.3 with its reference kernels on the exported files.
#[test]
fn equal_to_litert() {
    let golden: [(Model, &[i8]); 4] = [
        (lstm(false, 0.0), &LSTM),
        (lstm(true, 0.0), &COUPLED),
        (lstm(false, 0.4), &CLIPPED),
        (svdf(), &SVDF),
    ];
    for (number, (model, want)) in golden.into_iter().enumerate() {
        let runs = if number == 3 { 7 } else { 2 };
        for isa in Isa::available() {
            assert_eq!(outputs(&model, isa, runs), want, "{number} {}", isa.name());
        }
        let back = from_bytes(&to_bytes(&model).unwrap()).unwrap();
        assert_eq!(back, model);
        assert_eq!(file::from_bytes(&file::to_bytes(&model)).unwrap(), model);
    }
}

/// Golden bytes of the files, by their checksum: a change of the form is made knowingly.
#[test]
fn golden_files() {
    let sums =
        [lstm(false, 0.0), lstm(true, 0.4), svdf()].map(|m| crc32fast::hash(&file::to_bytes(&m)[16..]));
    assert_eq!(sums, FILES);
}

/// Every state, weight and size that does not fit is refused by name.
#[test]
fn what_does_not_fit_is_refused() {
    let refused = |model: &Model, word: &str| {
        let error = Engine::new(model).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    };
    let state = |m: &Model, position: usize| m.operators[0].inputs[position].unwrap();
    for size in [0, 4, 6, 1 << 20] {
        for position in [18, 19] {
            let mut m = lstm(false, 0.0);
            let at = state(&m, position);
            m.tensors[at].shape = vec![1, size];
            refused(&m, "state");
        }
        let mut m = svdf();
        let at = state(&m, 4);
        m.tensors[at].shape = vec![1, size];
        refused(&m, "state");
    }
    let mut m = lstm(false, 0.0);
    let at = state(&m, 19);
    m.tensors[at].quantization = affine(0.001, 0);
    refused(&m, "cells have scale");
    let mut m = lstm(false, 0.0);
    m.operators[0].inputs[9] = m.operators[0].inputs[12];
    refused(&m, "peepholes");
    let mut m = lstm(false, 0.0);
    m.operators[0].inputs[16] = m.operators[0].inputs[5];
    refused(&m, "projection");
    let mut m = lstm(false, 0.0);
    m.operators[0].inputs[2] = m.operators[0].inputs[6];
    refused(&m, "weights");
    let mut m = svdf();
    m.operators[0].kind = Kind::Svdf {
        rank: 3,
        activation: Activation::None,
    };
    refused(&m, "rank 3");
    let mut m = svdf();
    let at = m.outputs[0];
    m.tensors[at].quantization = affine(0.02, -100);
    refused(&m, "Relu");
}

#[test]
fn every_flip_is_survived() {
    for model in [lstm(false, 0.4), svdf()] {
        let bytes = to_bytes(&model).unwrap();
        let own = file::to_bytes(&model);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            crate::fuzzing::tflite(&damaged);
        }
        for at in 16..own.len() {
            let mut damaged = own.clone();
            damaged[at] ^= 1 << (at % 8);
            crate::fuzzing::model(&damaged);
        }
    }
}

const LSTM: [i8; 40] = [
    56, 18, -34, 17, 16, 8, 0, 16, -9, -28, -57, 16, 10, -49, 6, 73, 43, 20, -41, 12, 15, -47, 7, -78, 7, 29,
    -26, 7, -87, 7, 35, 3, -44, -24, 26, 57, -44, 7, -85, 8,
];
const COUPLED: [i8; 40] = [
    -5, -35, 7, 3, 24, 20, -36, -2, 7, 7, 27, 44, 12, -43, -55, 58, 68, 16, 4, 79, -32, 36, 22, 7, 13, -46,
    2, 8, 16, 17, -50, 26, 9, 14, 43, -52, 34, 69, 9, 71,
];
const CLIPPED: [i8; 40] = [
    35, 18, -19, 17, 12, 8, 8, 16, -2, -9, -31, 26, 9, -22, 11, 45, 37, 12, -16, 15, 15, -31, 7, -31, 7, 23,
    -21, 7, -30, 7, 38, 8, -23, 6, 18, 44, -31, 7, -28, 8,
];
const SVDF: [i8; 28] = [
    -82, -62, -25, -128, 69, -60, -52, -128, -128, -128, -128, -117, 48, -128, 23, -128, -128, 90, -128,
    -128, -120, 96, -22, 127, -128, 23, -110, -128,
];
/// See [`golden_files`].
const FILES: [u32; 3] = [0x205c_d24b, 0xb4d0_29aa, 0x0046_03b3];
