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
mod prepared;
mod shape;
#[cfg(test)]
mod signs_tests;
pub mod tflite;
mod validate;

use std::collections::BTreeMap;
use std::ops::{Deref, Range};
use std::sync::Arc;

use crate::{Error, Result};

pub use shape::padding_before;

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

/// What the numbers of a tensor are stored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Element {
    /// Signed 8-bit.
    I8 = 1,
    /// Signed 16-bit, for the states of LSTM and SVDF.
    I16 = 2,
    /// Signed 32-bit: biases, shapes, axes.
    I32 = 3,
    /// IEEE 754 single.
    F32 = 4,
    /// Signed 64-bit: 16-bit layers' biases.
    I64 = 5,
}

impl Element {
    /// Bytes per element.
    pub fn size_bytes(self) -> usize {
        match self {
            Element::I8 => 1,
            Element::I16 => 2,
            Element::I32 | Element::F32 => 4,
            Element::I64 => 8,
        }
    }

    /// The element with this number in the file, if there is one.
    pub fn from_u8(number: u8) -> Option<Self> {
        [
            Element::I8,
            Element::I16,
            Element::I32,
            Element::F32,
            Element::I64,
        ]
        .into_iter()
        .find(|e| *e as u8 == number)
    }
}

/// `real = scale * (q - zero_point)`, once per tensor or once per index of dimension `axis`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Quantization {
    /// One scale, or one per index of `axis`. All finite and above zero.
    pub scales: Vec<f32>,
    /// One zero point, or as many as there are scales.
    pub zero_points: Vec<i32>,
    /// The dimension that `scales` runs over, when there is more than one.
    pub axis: u32,
}

impl Quantization {
    /// One scale and zero point for the whole tensor.
    pub fn per_tensor(scale: f32, zero_point: i32) -> Self {
        Quantization {
            scales: vec![scale],
            zero_points: vec![zero_point],
            axis: 0,
        }
    }

    /// Symmetric, one scale per index of `axis`.
    pub fn per_channel(scales: Vec<f32>, axis: u32) -> Self {
        let zero_points = vec![0; scales.len()];
        Quantization {
            scales,
            zero_points,
            axis,
        }
    }
}

/// Scale and zero point of a whole tensor, in the form that quantizers want.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine {
    /// Real value of one step.
    pub scale: f32,
    /// The quantized value of real zero.
    pub zero_point: i32,
}

impl Affine {
    /// The nearest int8 to `real`, ties away from zero, saturating; NaN becomes the zero point.
    pub fn quantize(self, real: f32) -> i8 {
        if real.is_nan() {
            return i8::try_from(self.zero_point.clamp(-128, 127)).unwrap_or(0);
        }
        let steps = (real / self.scale).round().clamp(-1e6, 1e6);
        #[expect(clippy::cast_possible_truncation, reason = "clamped to the range of i8")]
        let quantized = (steps as i32 + self.zero_point).clamp(-128, 127) as i8;
        quantized
    }

    /// The real value of `quantized`.
    #[expect(clippy::cast_precision_loss, reason = "at most 9 bits and a zero point of 8")]
    pub fn dequantize(self, quantized: i8) -> f32 {
        self.scale * (i32::from(quantized) - self.zero_point) as f32
    }
}

/// Bytes of a file that constants point into: in memory, or mapped. They must not change.
pub type Image = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// Bytes of a constant: its own, or a part of a shared file image.
#[derive(Clone)]
pub struct Data {
    image: Image,
    range: Range<usize>,
}

impl Data {
    /// The part `range` of `image`, or nothing if it does not lie inside.
    pub fn part(image: &Image, range: Range<usize>) -> Option<Self> {
        (**image).as_ref().get(range.clone())?;
        Some(Data {
            image: Arc::clone(image),
            range,
        })
    }
}

impl From<Vec<u8>> for Data {
    fn from(bytes: Vec<u8>) -> Self {
        let range = 0..bytes.len();
        Data {
            image: Arc::new(bytes),
            range,
        }
    }
}

impl Deref for Data {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        (*self.image).as_ref().get(self.range.clone()).unwrap_or(&[])
    }
}

impl PartialEq for Data {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl std::fmt::Debug for Data {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

/// One tensor of the graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Its name, for people.
    pub name: String,
    /// Dimensions, outermost first; images are `[batch, height, width, channels]`.
    pub shape: Vec<usize>,
    /// How its numbers are stored.
    pub element: Element,
    /// How its numbers map to real values; absent for floats, shapes and axes.
    pub quantization: Option<Quantization>,
    /// Little-endian numbers, for a constant.
    pub data: Option<Data>,
    /// Kept from one run to the next (states of LSTM and SVDF).
    pub variable: bool,
}

impl Tensor {
    /// A tensor that is computed: `element` numbers of `shape`.
    pub fn activation(name: &str, shape: &[usize], element: Element, q: Option<Quantization>) -> Self {
        Tensor {
            name: name.to_string(),
            shape: shape.to_vec(),
            element,
            quantization: q,
            data: None,
            variable: false,
        }
    }

    /// A constant of int8 numbers.
    pub fn constant_i8(name: &str, shape: &[usize], values: &[i8], q: Quantization) -> Self {
        let bytes: Vec<u8> = values.iter().map(|v| *v as u8).collect();
        let mut tensor = Tensor::activation(name, shape, Element::I8, Some(q));
        tensor.data = Some(bytes.into());
        tensor
    }

    /// A constant of int16 numbers.
    pub fn constant_i16(name: &str, shape: &[usize], values: &[i16], q: Quantization) -> Self {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let mut tensor = Tensor::activation(name, shape, Element::I16, Some(q));
        tensor.data = Some(bytes.into());
        tensor
    }

    /// A tensor that stays from one run to the next.
    pub fn state(name: &str, shape: &[usize], element: Element, q: Quantization) -> Self {
        let mut tensor = Tensor::activation(name, shape, element, Some(q));
        tensor.variable = true;
        tensor
    }

    /// A constant of i32 numbers.
    pub fn constant_i32(name: &str, shape: &[usize], values: &[i32], q: Option<Quantization>) -> Self {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let mut tensor = Tensor::activation(name, shape, Element::I32, q);
        tensor.data = Some(bytes.into());
        tensor
    }

    /// A constant of floats.
    pub fn constant_f32(name: &str, shape: &[usize], values: &[f32]) -> Self {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let mut tensor = Tensor::activation(name, shape, Element::F32, None);
        tensor.data = Some(bytes.into());
        tensor
    }

    /// Number of elements. A validated model's fits [`MAX_ELEMENTS`].
    pub fn count(&self) -> usize {
        self.shape.iter().fold(1usize, |a, d| a.saturating_mul(*d))
    }

    /// The tensor's one scale and zero point.
    ///
    /// # Errors
    /// If it has none, or one per channel.
    pub fn affine(&self) -> Result<Affine> {
        match &self.quantization {
            Some(q) if q.scales.len() == 1 => Ok(Affine {
                scale: q.scales[0],
                zero_point: q.zero_points.first().copied().unwrap_or(0),
            }),
            _ => Err(Error::invalid(format!(
                "tensor {:?} needs one scale and zero point",
                self.name
            ))),
        }
    }

    /// The numbers of an i32 constant.
    pub fn values_i32(&self) -> Option<Vec<i32>> {
        let data = self.data.as_ref().filter(|_| self.element == Element::I32)?;
        Some(
            data.chunks_exact(4)
                .map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect(),
        )
    }

    /// The numbers of an i16 constant.
    pub fn values_i16(&self) -> Option<Vec<i16>> {
        let data = self.data.as_ref().filter(|_| self.element == Element::I16)?;
        Some(
            data.chunks_exact(2)
                .map(|b| i16::from_le_bytes([b[0], b[1]]))
                .collect(),
        )
    }

    /// The numbers of a float constant.
    pub fn values_f32(&self) -> Option<Vec<f32>> {
        let data = self.data.as_ref().filter(|_| self.element == Element::F32)?;
        Some(
            data.chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect(),
        )
    }
}

/// A function fused onto an operator's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Activation {
    /// None.
    #[default]
    None = 0,
    /// `max(x, 0)`.
    Relu = 1,
    /// `clamp(x, -1, 1)`.
    ReluN1To1 = 2,
    /// `clamp(x, 0, 6)`.
    Relu6 = 3,
}

impl Activation {
    /// The activation with this number in the file, if there is one.
    pub fn from_u8(number: u8) -> Option<Self> {
        [
            Activation::None,
            Activation::Relu,
            Activation::ReluN1To1,
            Activation::Relu6,
        ]
        .get(number as usize)
        .copied()
    }

    /// The real values between which it holds results.
    pub fn range(self) -> (Option<f32>, Option<f32>) {
        match self {
            Activation::None => (None, None),
            Activation::Relu => (Some(0.0), None),
            Activation::ReluN1To1 => (Some(-1.0), Some(1.0)),
            Activation::Relu6 => (Some(0.0), Some(6.0)),
        }
    }
}

/// What a sliding filter does at the edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Padding {
    /// As many results as positions, divided by the stride, rounded up; zeros are added around.
    Same = 0,
    /// Only positions where the filter fits.
    Valid = 1,
}

/// How a filter slides: strides and dilations are `[vertical, horizontal]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sliding {
    /// Step between results.
    pub stride: [usize; 2],
    /// Step between taps; 1 is a plain filter.
    pub dilation: [usize; 2],
    /// The edges.
    pub padding: Padding,
}

/// What an operator computes. Inputs are named in the order of TFLite.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Kind {
    /// `[input, weights (outputs x inputs), bias?]`.
    FullyConnected {
        /// Fused function.
        activation: Activation,
    },
    /// `[input, weights (outputs x height x width x inputs), bias?]`.
    Conv2d {
        /// How the filter slides.
        sliding: Sliding,
        /// Fused function.
        activation: Activation,
    },
    /// `[input, weights (1 x height x width x outputs), bias?]`; outputs are a multiple of inputs.
    DepthwiseConv2d {
        /// How the filter slides.
        sliding: Sliding,
        /// Fused function.
        activation: Activation,
    },
    /// `[input]`.
    AveragePool2d {
        /// How the window slides (dilation 1).
        sliding: Sliding,
        /// Window height and width.
        window: [usize; 2],
        /// Fused function.
        activation: Activation,
    },
    /// `[input]`.
    MaxPool2d {
        /// How the window slides (dilation 1).
        sliding: Sliding,
        /// Window height and width.
        window: [usize; 2],
        /// Fused function.
        activation: Activation,
    },
    /// `[input, axes]`.
    Mean,
    /// `[left, right]`, right or left broadcast.
    Add {
        /// Fused function.
        activation: Activation,
    },
    /// `[left, right]`.
    Sub {
        /// Fused function.
        activation: Activation,
    },
    /// `[left, right]`.
    Mul {
        /// Fused function.
        activation: Activation,
    },
    /// Any number of inputs, joined along `axis`.
    Concatenation {
        /// The dimension that grows; negative counts from the last.
        axis: i32,
        /// Fused function.
        activation: Activation,
    },
    /// `[input, paddings (dimensions x 2)]`, filled with real zero.
    Pad,
    /// `[input, ...]`: the same numbers in the output's shape (also SQUEEZE and EXPAND_DIMS).
    Reshape,
    /// `[input]`, over the last dimension.
    Softmax {
        /// Factor on the input.
        beta: f32,
    },
    /// `[input]`.
    Logistic,
    /// `[input]`.
    Tanh,
    /// `[input]`: an activation standing alone.
    Relu {
        /// Which.
        activation: Activation,
    },
    /// `[input]`: float to int8, or int8 to int8 of another scale.
    Quantize,
    /// `[input]`: int8 to float.
    Dequantize,
    /// TFLite's 24 inputs of an unidirectional LSTM without projection, peephole or layer norm.
    Lstm {
        /// Time is the first dimension of the input (else the second).
        time_major: bool,
        /// Largest absolute cell state, 0 for none.
        cell_clip: f32,
        /// What the output means before it is stored as such; the output tensor's own meaning if absent.
        hidden: Option<Affine>,
    },
    /// `[input, feature weights, time weights, bias?, state]`.
    Svdf {
        /// Filters per unit.
        rank: usize,
        /// Fused function.
        activation: Activation,
    },
    /// `[input, signs (outputs x bytes), bias?]`: dot products of signs, see [`Kind::BinaryConv2d`].
    BinaryDense,
    /// `[input, signs (outputs x height x width x bytes), bias?]`: dot products of the input's signs, +1 from real zero
    /// on, with signs of weights: a bit per channel (1 for -1, lowest first), filled up to whole words of 64 channels.
    /// The scale is the signs' own; the bias counts in 256ths of it. What is added around an image is +1.
    BinaryConv2d {
        /// How the filter slides.
        sliding: Sliding,
    },
}

impl Kind {
    /// The operator's name, as TFLite writes it where it has one.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::FullyConnected { .. } => "FULLY_CONNECTED",
            Kind::Conv2d { .. } => "CONV_2D",
            Kind::DepthwiseConv2d { .. } => "DEPTHWISE_CONV_2D",
            Kind::AveragePool2d { .. } => "AVERAGE_POOL_2D",
            Kind::MaxPool2d { .. } => "MAX_POOL_2D",
            Kind::Mean => "MEAN",
            Kind::Add { .. } => "ADD",
            Kind::Sub { .. } => "SUB",
            Kind::Mul { .. } => "MUL",
            Kind::Concatenation { .. } => "CONCATENATION",
            Kind::Pad => "PAD",
            Kind::Reshape => "RESHAPE",
            Kind::Softmax { .. } => "SOFTMAX",
            Kind::Logistic => "LOGISTIC",
            Kind::Tanh => "TANH",
            Kind::Relu { .. } => "RELU",
            Kind::Quantize => "QUANTIZE",
            Kind::Dequantize => "DEQUANTIZE",
            Kind::Lstm { .. } => "UNIDIRECTIONAL_SEQUENCE_LSTM",
            Kind::Svdf { .. } => "SVDF",
            Kind::BinaryDense => "BINARY_DENSE",
            Kind::BinaryConv2d { .. } => "BINARY_CONV_2D",
        }
    }
}

/// One operator of the graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Operator {
    /// What it computes.
    pub kind: Kind,
    /// Tensors it reads; `None` where an optional one is absent.
    pub inputs: Vec<Option<usize>>,
    /// Tensors it writes.
    pub outputs: Vec<usize>,
}

impl Operator {
    /// An operator with all its inputs present and one output.
    pub fn new(kind: Kind, inputs: &[usize], output: usize) -> Self {
        Operator {
            kind,
            inputs: inputs.iter().copied().map(Some).collect(),
            outputs: vec![output],
        }
    }
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
