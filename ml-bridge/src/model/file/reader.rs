//! The structure section as it is read: every length is a claim, checked against the bytes left.

use crate::model::{
    Activation, Affine, Data, Element, Image, Kind, Operator, Padding, Quantization, Sliding, Tensor,
};
use crate::{Error, Result};

pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    pub(super) section: &'static str,
}

impl<'a> Reader<'a> {
    pub(super) fn corrupt(&self, what: impl Into<String>) -> Error {
        Error::corrupt("model", self.section, self.at as u64, what)
    }

    #[inline]
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| self.corrupt(format!("{count} bytes are missing")))?;
        let part = &self.bytes[self.at..end];
        self.at = end;
        Ok(part)
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let part = self.take(N)?;
        part.try_into().map_err(|_| self.corrupt("bytes are missing"))
    }

    pub(super) fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(super) fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_le_bytes(self.array()?))
    }

    pub(super) fn f32(&mut self) -> Result<f32> {
        Ok(f32::from_le_bytes(self.array()?))
    }

    pub(super) fn size(&mut self) -> Result<usize> {
        Ok(self.u32()? as usize)
    }

    /// A count of things that take at least `least` bytes each.
    pub(super) fn count(&mut self, least: usize) -> Result<usize> {
        let count = self.size()?;
        if count > (self.bytes.len() - self.at) / least.max(1) {
            return Err(self.corrupt(format!("{count} things do not fit into the bytes left")));
        }
        Ok(count)
    }

    /// A count of numbers of four bytes, and the numbers.
    pub(super) fn numbers<T>(&mut self, of: impl Fn([u8; 4]) -> T) -> Result<Vec<T>> {
        let count = self.count(4)?;
        let bytes = self.take(count * 4)?;
        Ok(bytes
            .chunks_exact(4)
            .map(|b| of([b[0], b[1], b[2], b[3]]))
            .collect())
    }

    pub(super) fn text(&mut self) -> Result<String> {
        let count = self.count(1)?;
        let bytes = self.take(count)?;
        self.string(bytes)
    }

    fn string(&self, bytes: &[u8]) -> Result<String> {
        let text = std::str::from_utf8(bytes).map_err(|_| self.corrupt("text is not UTF-8"))?;
        Ok(text.to_string())
    }

    /// Scales, zero points and their dimension, if there are any; `leave` them aside, or read them.
    fn quantization(&mut self, leave: bool) -> Result<Option<Quantization>> {
        if leave {
            for _ in 0..2 {
                let count = self.count(4)?;
                self.take(count * 4)?;
            }
            self.u32()?;
            return Ok(None);
        }
        let scales = self.numbers(f32::from_le_bytes)?;
        let zero_points = self.numbers(i32::from_le_bytes)?;
        let axis = self.u32()?;
        Ok((!scales.is_empty()).then_some(Quantization {
            scales,
            zero_points,
            axis,
        }))
    }

    pub(super) fn indexes(&mut self) -> Result<Vec<usize>> {
        let count = self.count(4)?;
        (0..count).map(|_| self.size()).collect()
    }

    /// A tensor whose numbers lie in `image` from `data_start` on. Of constants that start at `spare` or beyond, which
    /// packed weights stand for, names and quantization are left aside.
    pub(super) fn tensor(&mut self, image: &Image, data_start: usize, spare: usize) -> Result<Tensor> {
        let length = self.count(1)?;
        let name = self.take(length)?;
        let element = self.u8()?;
        let element = Element::from_u8(element).ok_or_else(|| self.corrupt("unknown element"))?;
        let flags = self.u8()?;
        if flags > 3 {
            return Err(self.corrupt("unknown tensor flags"));
        }
        let shape = (0..self.u8()?).map(|_| self.size()).collect::<Result<Vec<_>>>()?;
        let before = self.at;
        let mut quantization = self.quantization(true)?;
        let (mut data, mut left) = (None, false);
        if flags & 1 != 0 {
            let (offset, length) = (self.u64()?, self.u64()?);
            let start = usize::try_from(offset)
                .ok()
                .and_then(|o| o.checked_add(data_start));
            let part = start
                .and_then(|start| Some(start..start.checked_add(usize::try_from(length).ok()?)?))
                .and_then(|range| Data::part(image, range));
            data = Some(part.ok_or_else(|| self.corrupt("a constant lies outside the file"))?);
            left = start.is_some_and(|start| start >= spare);
        }
        if !left {
            let after = std::mem::replace(&mut self.at, before);
            quantization = self.quantization(false)?;
            self.at = after;
        }
        Ok(Tensor {
            name: if left { String::new() } else { self.string(name)? },
            shape,
            element,
            quantization,
            data,
            variable: flags & 2 != 0,
        })
    }

    pub(super) fn activation(&mut self) -> Result<Activation> {
        let number = self.u8()?;
        Activation::from_u8(number).ok_or_else(|| self.corrupt("unknown activation"))
    }

    pub(super) fn sliding(&mut self) -> Result<Sliding> {
        let stride = [self.size()?, self.size()?];
        let dilation = [self.size()?, self.size()?];
        let padding = match self.u8()? {
            0 => Padding::Same,
            1 => Padding::Valid,
            _ => return Err(self.corrupt("unknown padding")),
        };
        Ok(Sliding {
            stride,
            dilation,
            padding,
        })
    }

    pub(super) fn lstm(&mut self) -> Result<Kind> {
        let flags = self.u8()?;
        if flags > 3 {
            return Err(self.corrupt("unknown LSTM flags"));
        }
        Ok(Kind::Lstm {
            time_major: flags & 1 != 0,
            cell_clip: self.f32()?,
            hidden: match flags & 2 {
                0 => None,
                _ => Some(Affine {
                    scale: self.f32()?,
                    zero_point: self.i32()?,
                }),
            },
        })
    }

    pub(super) fn operator(&mut self) -> Result<Operator> {
        let kind = match self.u16()? {
            1 => Kind::FullyConnected {
                activation: self.activation()?,
            },
            2 => Kind::Conv2d {
                sliding: self.sliding()?,
                activation: self.activation()?,
            },
            3 => Kind::DepthwiseConv2d {
                sliding: self.sliding()?,
                activation: self.activation()?,
            },
            4 => Kind::AveragePool2d {
                sliding: self.sliding()?,
                window: [self.size()?, self.size()?],
                activation: self.activation()?,
            },
            5 => Kind::MaxPool2d {
                sliding: self.sliding()?,
                window: [self.size()?, self.size()?],
                activation: self.activation()?,
            },
            6 => Kind::Mean,
            7 => Kind::Add {
                activation: self.activation()?,
            },
            8 => Kind::Sub {
                activation: self.activation()?,
            },
            9 => Kind::Mul {
                activation: self.activation()?,
            },
            10 => Kind::Concatenation {
                axis: self.i32()?,
                activation: self.activation()?,
            },
            11 => Kind::Pad,
            12 => Kind::Reshape,
            13 => Kind::Softmax { beta: self.f32()? },
            14 => Kind::Logistic,
            15 => Kind::Tanh,
            16 => Kind::Relu {
                activation: self.activation()?,
            },
            17 => Kind::Quantize,
            18 => Kind::Dequantize,
            19 => self.lstm()?,
            20 => Kind::Svdf {
                rank: self.size()?,
                activation: self.activation()?,
            },
            21 => Kind::BinaryDense,
            22 => Kind::BinaryConv2d {
                sliding: self.sliding()?,
            },
            other => return Err(self.corrupt(format!("unknown operator {other}"))),
        };
        let inputs = self.indexes()?;
        let inputs = inputs
            .into_iter()
            .map(|i| (i != u32::MAX as usize).then_some(i))
            .collect();
        Ok(Operator {
            kind,
            inputs,
            outputs: self.indexes()?,
        })
    }
}
