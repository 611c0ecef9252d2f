//! The structure section as it is written.

use super::NUMBERS;
use crate::model::{Kind, Operator, Quantization, Sliding, Tensor};

#[derive(Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

/// A count or size as the file's u32; models are far smaller.
pub(super) fn narrow(number: usize) -> u32 {
    debug_assert!(u32::try_from(number).is_ok());
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl Writer {
    pub(super) fn count(&mut self, count: usize) {
        self.0.extend_from_slice(&narrow(count).to_le_bytes());
    }

    pub(super) fn text(&mut self, text: &str) {
        self.count(text.len());
        self.0.extend_from_slice(text.as_bytes());
    }

    pub(super) fn indexes(&mut self, indexes: &[usize]) {
        self.count(indexes.len());
        for index in indexes {
            self.count(*index);
        }
    }

    pub(super) fn tensor(&mut self, tensor: &Tensor) {
        self.text(&tensor.name);
        self.0.push(tensor.element as u8);
        self.0
            .push(u8::from(tensor.data.is_some()) | u8::from(tensor.variable) << 1);
        self.0.push(u8::try_from(tensor.shape.len()).unwrap_or(u8::MAX));
        for size in &tensor.shape {
            self.count(*size);
        }
        let none = Quantization::default();
        let q = tensor.quantization.as_ref().unwrap_or(&none);
        self.count(q.scales.len());
        for scale in &q.scales {
            self.0.extend_from_slice(&scale.to_le_bytes());
        }
        self.count(q.zero_points.len());
        for zero in &q.zero_points {
            self.0.extend_from_slice(&zero.to_le_bytes());
        }
        self.0.extend_from_slice(&q.axis.to_le_bytes());
    }

    pub(super) fn sliding(&mut self, sliding: &Sliding) {
        for size in sliding.stride.iter().chain(&sliding.dilation) {
            self.count(*size);
        }
        self.0.push(sliding.padding as u8);
    }

    pub(super) fn operator(&mut self, operator: &Operator) {
        let number = NUMBERS
            .iter()
            .find(|(_, name)| *name == operator.kind.name())
            .map_or(0, |(n, _)| *n);
        self.0.extend_from_slice(&number.to_le_bytes());
        match &operator.kind {
            Kind::FullyConnected { activation }
            | Kind::Add { activation }
            | Kind::Sub { activation }
            | Kind::Mul { activation }
            | Kind::Relu { activation } => self.0.push(*activation as u8),
            Kind::Conv2d { sliding, activation } | Kind::DepthwiseConv2d { sliding, activation } => {
                self.sliding(sliding);
                self.0.push(*activation as u8);
            }
            Kind::AveragePool2d {
                sliding,
                window,
                activation,
            }
            | Kind::MaxPool2d {
                sliding,
                window,
                activation,
            } => {
                self.sliding(sliding);
                self.count(window[0]);
                self.count(window[1]);
                self.0.push(*activation as u8);
            }
            Kind::Concatenation { axis, activation } => {
                self.0.extend_from_slice(&axis.to_le_bytes());
                self.0.push(*activation as u8);
            }
            Kind::Softmax { beta } => self.0.extend_from_slice(&beta.to_le_bytes()),
            Kind::Lstm {
                time_major,
                cell_clip,
                hidden,
            } => {
                self.0
                    .push(u8::from(*time_major) | u8::from(hidden.is_some()) << 1);
                self.0.extend_from_slice(&cell_clip.to_le_bytes());
                if let Some(hidden) = hidden {
                    self.0.extend_from_slice(&hidden.scale.to_le_bytes());
                    self.0.extend_from_slice(&hidden.zero_point.to_le_bytes());
                }
            }
            Kind::Svdf { rank, activation } => {
                self.count(*rank);
                self.0.push(*activation as u8);
            }
            Kind::Mean
            | Kind::Pad
            | Kind::Reshape
            | Kind::Logistic
            | Kind::Tanh
            | Kind::Quantize
            | Kind::Dequantize
            | Kind::BinaryDense => {}
            Kind::BinaryConv2d { sliding } => self.sliding(sliding),
        }
        self.count(operator.inputs.len());
        for input in &operator.inputs {
            self.count(input.map_or(u32::MAX as usize, |i| i));
        }
        self.indexes(&operator.outputs);
    }
}
