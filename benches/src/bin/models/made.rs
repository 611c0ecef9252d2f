//! Layers that no public model at hand has: signs, memories; and dense layers that compute next to nothing.

use std::time::Duration;

use siltstone_ml_bridge::engine::{BATCH, bench};
use siltstone_ml_bridge::kernel::Isa;
use siltstone_ml_bridge::model::{
    Activation, Affine, Element, Kind, Model, Operator, Padding, Quantization, Sliding, Tensor, dense, file,
};

use crate::Failure;

/// The `n`-th number of a pattern without much order, in -127..=127.
fn pattern(n: usize) -> i8 {
    ((n * n * 7 + n * 31 + 17) % 255).to_le_bytes()[0]
        .wrapping_sub(127)
        .cast_signed()
}

fn q(scale: f32, zero_point: i32) -> Quantization {
    Quantization::per_tensor(scale, zero_point)
}

fn constant(m: &mut Model, shape: &[usize], scale: f32) -> usize {
    let start = m.tensors.len() * 101;
    let values: Vec<i8> = (0..shape.iter().product())
        .map(|n: usize| pattern(start + n))
        .collect();
    m.push(Tensor::constant_i8(
        &format!("w{start}"),
        shape,
        &values,
        q(scale, 0),
    ))
}

fn image(m: &mut Model, shape: &[usize]) -> usize {
    let name = format!("t{}", m.tensors.len());
    m.push(Tensor::activation(&name, shape, Element::I8, Some(q(0.05, 0))))
}

/// `depth` convolutions 3 x 3 of `channels` to `channels` over `side` x `side`, of signs or of int8.
fn convolutions(depth: usize, side: usize, channels: usize, signs: bool) -> Model {
    let mut m = Model::default();
    let sliding = Sliding {
        stride: [1, 1],
        dilation: [1, 1],
        padding: Padding::Same,
    };
    let shape = [1, side, side, channels];
    let input = image(&mut m, &shape);
    let mut last = input;
    for _ in 0..depth {
        let (bytes, kind) = if signs {
            (channels.div_ceil(64) * 8, Kind::BinaryConv2d { sliding })
        } else {
            (
                channels,
                Kind::Conv2d {
                    sliding,
                    activation: Activation::Relu,
                },
            )
        };
        let weights = constant(&mut m, &[channels, 3, 3, bytes], 0.01);
        let next = image(&mut m, &shape);
        m.operators.push(Operator::new(kind, &[last, weights], next));
        last = next;
    }
    (m.inputs, m.outputs) = (vec![input], vec![last]);
    m
}

/// `depth` dense layers of `width` to `width`, of signs or of int8.
fn denses(depth: usize, width: usize, signs: bool) -> Model {
    let mut m = Model::default();
    let input = image(&mut m, &[1, width]);
    let mut last = input;
    for _ in 0..depth {
        let (bytes, kind) = if signs {
            (width.div_ceil(64) * 8, Kind::BinaryDense)
        } else {
            (
                width,
                Kind::FullyConnected {
                    activation: Activation::Relu,
                },
            )
        };
        let weights = constant(&mut m, &[width, bytes], 0.01);
        let next = image(&mut m, &[1, width]);
        m.operators.push(Operator::new(kind, &[last, weights], next));
        last = next;
    }
    (m.inputs, m.outputs) = (vec![input], vec![last]);
    m
}

/// `steps` steps of `inputs` numbers through `cells` cells.
fn lstm(steps: usize, inputs: usize, cells: usize) -> Model {
    let mut m = Model::default();
    let input = image(&mut m, &[1, steps, inputs]);
    let mut ends = vec![None; 24];
    ends[0] = Some(input);
    for gate in 0..4 {
        ends[1 + gate] = Some(constant(&mut m, &[cells, inputs], 0.009));
        ends[5 + gate] = Some(constant(&mut m, &[cells, cells], 0.011));
        let bias: Vec<i32> = (0..cells).map(|n| i32::from(pattern(n)) * 40).collect();
        let bias = Tensor::constant_i32(&format!("b{gate}"), &[cells], &bias, Some(q(0.05 * 0.009, 0)));
        ends[12 + gate] = Some(m.push(bias));
    }
    let of = q(1.0 / 100.0, 7);
    ends[18] = Some(m.push(Tensor::state("h", &[1, cells], Element::I8, of.clone())));
    ends[19] = Some(m.push(Tensor::state("c", &[1, cells], Element::I16, q(1.0 / 2048.0, 0))));
    let output = m.push(Tensor::activation("y", &[1, steps, cells], Element::I8, Some(of)));
    let hidden = Some(Affine {
        scale: 1.0 / 100.0,
        zero_point: 7,
    });
    m.operators.push(Operator {
        kind: Kind::Lstm {
            time_major: false,
            cell_clip: 0.0,
            hidden,
        },
        inputs: ends,
        outputs: vec![output],
    });
    (m.inputs, m.outputs) = (vec![input], vec![output]);
    m
}

/// `inputs` numbers to `units`, by filters of rank `rank` over `length` steps.
fn svdf(inputs: usize, units: usize, rank: usize, length: usize) -> Model {
    let mut m = Model::default();
    let filters = units * rank;
    let input = image(&mut m, &[1, inputs]);
    let features = constant(&mut m, &[filters, inputs], 0.01);
    let values: Vec<i16> = (0..filters * length)
        .map(|n| i16::from(pattern(n)) * 211)
        .collect();
    let times = m.push(Tensor::constant_i16("t", &[filters, length], &values, q(1e-5, 0)));
    let bias: Vec<i32> = (0..units).map(|n| i32::from(pattern(n)) * 9000).collect();
    let bias = m.push(Tensor::constant_i32("b", &[units], &bias, Some(q(1e-8, 0))));
    let state = m.push(Tensor::state(
        "s",
        &[1, filters * length],
        Element::I16,
        q(1e-3, 0),
    ));
    let output = m.push(Tensor::activation(
        "y",
        &[1, units],
        Element::I8,
        Some(q(0.02, -128)),
    ));
    m.operators.push(Operator {
        kind: Kind::Svdf {
            rank,
            activation: Activation::Relu,
        },
        inputs: [input, features, times, bias, state].map(Some).to_vec(),
        outputs: vec![output],
    });
    (m.inputs, m.outputs) = (vec![input], vec![output]);
    m
}

/// Times every layer made here whose name contains `filter`.
pub fn layers(isa: Isa, filter: &str) -> Result<(), Failure> {
    let made = [
        ("signs, 4 convolutions 16x16x64", convolutions(4, 16, 64, true)),
        ("int8, 4 convolutions 16x16x64", convolutions(4, 16, 64, false)),
        ("signs, 1 convolution 16x16x64", convolutions(1, 16, 64, true)),
        ("signs, 4 convolutions 8x8x256", convolutions(4, 8, 256, true)),
        ("int8, 4 convolutions 8x8x256", convolutions(4, 8, 256, false)),
        ("signs, 4 dense 1024", denses(4, 1024, true)),
        ("int8, 4 dense 1024", denses(4, 1024, false)),
        ("lstm, 32 steps of 16, 64 cells", lstm(32, 16, 64)),
        ("lstm, 1 step of 3, 16 cells", lstm(1, 3, 16)),
        ("svdf, 40 to 64, rank 2, 16 steps", svdf(40, 64, 2, 16)),
        ("svdf, 3 to 8, rank 1, 32 steps", svdf(3, 8, 1, 32)),
    ];
    for (name, model) in made {
        if !name.contains(filter) {
            continue;
        }
        let b = bench(&file::to_bytes(&model), isa, Duration::from_millis(150))?;
        println!(
            "{name:34} {:12} median {:8.2} p99 {:8.2} us, {BATCH} at once {:8.2} us each, {} MACs, {:.0} G/s",
            isa.name(),
            b.median_ns / 1e3,
            b.p99_ns / 1e3,
            b.batch_ns / 1e3,
            b.macs,
            b.macs as f64 / b.median_ns,
        );
    }
    Ok(())
}

/// `count` dense layers of 4 by 4.
fn tiny_layers(count: usize) -> Result<Model, Failure> {
    let affine = Affine {
        scale: 0.1,
        zero_point: 0,
    };
    let layer = dense::DenseLayer {
        inputs: 4,
        outputs: 4,
        weights: vec![1; 16],
        weight_scales: vec![0.2],
        bias: vec![],
        activation: Activation::None,
        output: affine,
    };
    Ok(dense::build(&vec![layer; count], affine)?)
}

/// A model that computes next to nothing.
pub fn tiny() -> Result<Model, Failure> {
    tiny_layers(1)
}

/// What a dense layer of 4 by 4 costs among others.
pub fn dispatch(isa: Isa) -> Result<(), Failure> {
    let mut times = [0.0; 2];
    for (count, time) in [1, 65].into_iter().zip(&mut times) {
        *time = bench(
            &file::to_bytes(&tiny_layers(count)?),
            isa,
            Duration::from_millis(100),
        )?
        .median_ns;
    }
    println!(
        "{:12} {:.1} ns an operator, {:.1} ns an inference of one",
        isa.name(),
        (times[1] - times[0]) / 64.0,
        times[0]
    );
    Ok(())
}
