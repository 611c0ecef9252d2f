//! Operators: what they compute, and what they read and write.

use super::Affine;

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
