//! Tensors: what their numbers are stored as, how these map to real values, and where constants lie.

use std::ops::{Deref, Range};
use std::sync::Arc;

use crate::{Error, Result};

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

    /// Number of elements. A validated model's fits [`MAX_ELEMENTS`](super::MAX_ELEMENTS).
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
