//! A float model of every operator, calibrated, next to its int8 form.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss
)]

use super::run::real;
use super::{Calibrator, is_float};
use crate::engine::Engine;
use crate::kernel::Isa;
use crate::math::Random;
use crate::model::tflite::{from_bytes, tests::sample, to_bytes};
use crate::model::{Affine, Element, Kind, Model, Tensor, file};

/// The int8 sample of every operator with its numbers as floats.
fn floats() -> Model {
    let mut model = sample();
    for tensor in &mut model.tensors {
        let values = match (&tensor.data, tensor.element) {
            (None, _) => None,
            (Some(_), Element::I8) => Some(real(tensor).unwrap()),
            // The one bias; shapes, axes and amounts stay.
            (Some(_), _) if tensor.name == "b" => Some(
                tensor
                    .values_i32()
                    .unwrap()
                    .iter()
                    .map(|b| *b as f32 * 1e-3)
                    .collect(),
            ),
            _ => continue,
        };
        let mut float = Tensor::activation(&tensor.name, &tensor.shape, Element::F32, None);
        if let Some(values) = values {
            float.data = Tensor::constant_f32("", &[values.len()], &values).data;
        }
        *tensor = float;
    }
    model
}

fn windows(count: usize, width: usize) -> Vec<Vec<f32>> {
    let mut random = Random::new(4);
    let mut one = || (0..width).map(|_| random.normal() as f32).collect();
    (0..count).map(|_| one()).collect()
}

#[test]
fn int8_is_near_the_floats() {
    let model = floats();
    assert!(is_float(&model).unwrap() && !is_float(&sample()).unwrap());
    assert!(Engine::new(&model).is_err());
    let mut calibrator = Calibrator::new(&model).unwrap();
    let windows = windows(60, calibrator.input_count());
    let mut wanted = Vec::new();
    for window in &windows {
        wanted.push(calibrator.observe(window).unwrap().to_vec());
    }
    let quantized = calibrator.finish(0.0).unwrap();
    assert!(!is_float(&quantized).unwrap());
    assert_eq!(file::from_bytes(&file::to_bytes(&quantized)).unwrap(), quantized);
    assert_eq!(
        from_bytes(&to_bytes(&quantized).unwrap()).unwrap().operators,
        quantized.operators
    );
    let mut outputs = Vec::new();
    for isa in Isa::available() {
        let mut engine = Engine::with_isa(&quantized, isa).unwrap();
        let (from, to) = (engine.input_quantization(), engine.output_quantization());
        let (mut worst, mut total) = (0.0f32, 0.0f32);
        let mut bytes = Vec::new();
        for (window, wanted) in windows.iter().zip(&wanted) {
            let input: Vec<i8> = window.iter().map(|v| from.quantize(*v)).collect();
            let mut output = vec![0; wanted.len()];
            engine.run(&input, &mut output).unwrap();
            for (q, want) in output.iter().zip(wanted) {
                let difference = (to.dequantize(*q) - want).abs();
                worst = worst.max(difference);
                total += difference / (windows.len() * wanted.len()) as f32;
            }
            bytes.extend(output);
        }
        assert!(worst < 0.1 && total < 0.02, "{worst} {total}");
        outputs.push(bytes);
    }
    assert!(outputs.windows(2).all(|pair| pair[0] == pair[1]));
}

/// Constants come back, every scale is a half step away at most.
#[test]
fn weights_are_near() {
    let model = floats();
    let mut calibrator = Calibrator::new(&model).unwrap();
    for window in windows(3, calibrator.input_count()) {
        calibrator.observe(&window).unwrap();
    }
    let quantized = calibrator.finish(0.0).unwrap();
    for tensor in quantized
        .tensors
        .iter()
        .filter(|t| t.data.is_some() && t.element == Element::I8)
    {
        let float = model.tensors.iter().find(|t| t.name == tensor.name).unwrap();
        let steps = &tensor.quantization.as_ref().unwrap().scales;
        let largest = steps.iter().fold(0.0f32, |a, b| a.max(*b));
        for (near, value) in real(tensor).unwrap().iter().zip(real(float).unwrap()) {
            assert!((near - value).abs() <= largest * 0.501);
        }
    }
}

#[test]
fn what_cannot_be_quantized_is_named() {
    let model = floats();
    let mut calibrator = Calibrator::new(&model).unwrap();
    assert!(calibrator.observe(&[1.0]).is_err());
    let count = calibrator.input_count();
    assert!(calibrator.observe(&vec![f32::NAN; count]).is_err());
    assert!(calibrator.observe(&vec![f32::MAX; count]).is_err());
    assert!(calibrator.finish(0.0).is_err());

    let mut strange = floats();
    strange.operators[0].kind = Kind::Svdf {
        rank: 1,
        activation: crate::model::Activation::None,
    };
    let mut calibrator = Calibrator::new(&strange).unwrap();
    let error = calibrator.observe(&vec![0.5; count]).unwrap_err().to_string();
    assert!(error.contains("SVDF"), "{error}");

    // Shapes that do not belong together are refused, not run.
    let model = floats();
    for tensor in 0..model.tensors.len() {
        for axis in 0..model.tensors[tensor].shape.len() {
            let mut other = model.clone();
            other.tensors[tensor].shape[axis] += 1;
            if let Ok(mut calibrator) = Calibrator::new(&other) {
                let window = vec![0.5; calibrator.input_count()];
                let _ = calibrator.observe(&window);
                let _ = calibrator.finish(0.0);
            }
        }
    }
}

/// A damaged float file is refused, or quantized into some model.
#[test]
fn every_flip_is_survived() {
    let bytes = to_bytes(&floats()).unwrap();
    for at in (0..bytes.len()).step_by(11) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        crate::fuzzing::tflite(&damaged);
    }
}

#[test]
fn a_tail_cuts_outliers_off() {
    let model = floats();
    let scale = |tail: f64| -> Affine {
        let mut calibrator = Calibrator::new(&model).unwrap();
        for (number, mut window) in windows(50, calibrator.input_count()).into_iter().enumerate() {
            if number == 7 {
                window[0] = 1000.0;
            }
            calibrator.observe(&window).unwrap();
        }
        let quantized = calibrator.finish(tail).unwrap();
        quantized.tensors[quantized.inputs[0]].affine().unwrap()
    };
    assert!(scale(0.0).scale > 3.0 && scale(0.05).scale < 0.1);
}
