//! A model: a small graph of tensors and operators, with its quantization and its words.
//!
//! [`Model`] is plain data that anything may build: [`dense`] builds stacks of dense layers, [`tflite`] reads and
//! writes `.tflite`, [`mod@file`] is this project's own format. Nothing runs here; [`crate::engine`] compiles a model.
//!
//! Quantization is TFLite's: `real = scale * (q - zero_point)`, weights symmetric (`zero_point` 0) with one scale
//! per tensor or per output channel, bias in i32 at `input scale * weight scale`.

pub mod dense;
pub mod file;
pub mod float;
mod operator;
mod prepared;
mod shape;
#[cfg(test)]
mod signs_tests;
mod tensor;
pub mod tflite;
mod validate;

use std::collections::BTreeMap;

use crate::{Error, Result};

pub use operator::{Activation, Kind, Operator, Padding, Sliding};
pub use shape::padding_before;
pub use tensor::{Affine, Data, Element, Image, Quantization, Tensor};

/// Largest number of dimensions of a tensor.
pub const MAX_DIMENSIONS: usize = 6;
/// Largest number of elements of a tensor, and of bytes of all constants together.
pub const MAX_ELEMENTS: usize = 1 << 28;
/// Largest number of tensors, and of operators.
pub const MAX_NODES: usize = 1 << 14;

/// A network: tensors, operators in execution order, the tensors fed and read, and words about it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Model {
    /// All tensors; operators name them by position.
    pub tensors: Vec<Tensor>,
    /// Operators in an order in which every input is written before it is read.
    pub operators: Vec<Operator>,
    /// Tensors that the caller fills.
    pub inputs: Vec<usize>,
    /// Tensors that the caller reads.
    pub outputs: Vec<usize>,
    /// Free words: window configuration, normalization, threshold, version.
    pub metadata: BTreeMap<String, String>,
}

impl Model {
    /// The tensor at `index`.
    ///
    /// # Errors
    /// If there is none.
    pub fn tensor(&self, index: usize) -> Result<&Tensor> {
        self.tensors.get(index).ok_or_else(|| {
            Error::invalid(format!(
                "the model names tensor {index}, but has {}",
                self.tensors.len()
            ))
        })
    }

    /// Adds a tensor and returns its position.
    pub fn push(&mut self, tensor: Tensor) -> usize {
        self.tensors.push(tensor);
        self.tensors.len() - 1
    }

    /// Checks everything that the engine relies on: positions, order, shapes, sizes, scales.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] naming the operator or tensor and what is wrong with it.
    pub fn validate(&self) -> Result<()> {
        validate::validate(self)
    }
}
