//! The project's own model file: one structure section, then constants on 64-byte starts.
//!
//! ```text
//! byte 0   magic "SILTMODL"      16  length of the file, u64
//!      8   major, minor u16      24  length of the structure, u32
//!     12   crc32 of bytes 16..   28  zeros up to 64
//!     64   structure: metadata, tensors, operators, ends
//!          zeros up to a multiple of 64
//!          constants, each on a 64-byte start
//! ```
//!
//! Little-endian throughout; `docs/format/model.md` describes every byte. Every length is checked against the bytes
//! left before anything is allocated, and the model is validated before it is handed out.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Activation, Data, Element, Kind, Model, Operator, Padding, Quantization, Sliding, Tensor};
use crate::{Error, Result};

/// First bytes of every model file.
pub const MAGIC: [u8; 8] = *b"SILTMODL";
/// Version written.
pub const VERSION: (u16, u16) = (1, 0);
/// Bytes before the structure, and the unit on which constants start.
const LINE: usize = 64;

/// The file of `model`. The same model always gives the same bytes.
pub fn to_bytes(model: &Model) -> Vec<u8> {
    let mut head = Writer::default();
    head.count(model.metadata.len());
    for (key, value) in &model.metadata {
        head.text(key);
        head.text(value);
    }
    let mut constants: Vec<&Data> = Vec::new();
    let mut end = 0usize;
    head.count(model.tensors.len());
    for tensor in &model.tensors {
        head.tensor(tensor);
        if let Some(data) = &tensor.data {
            head.0.extend_from_slice(&(end as u64).to_le_bytes());
            head.0.extend_from_slice(&(data.len() as u64).to_le_bytes());
            end += data.len().next_multiple_of(LINE);
            constants.push(data);
        }
    }
    head.count(model.operators.len());
    for operator in &model.operators {
        head.operator(operator);
    }
    head.indexes(&model.inputs);
    head.indexes(&model.outputs);

    let mut out = vec![0u8; LINE];
    out.extend_from_slice(&head.0);
    for data in constants {
        out.resize(out.len().next_multiple_of(LINE), 0);
        out.extend_from_slice(data);
    }
    out.resize(out.len().next_multiple_of(LINE), 0);
    let length = out.len() as u64;
    out[0..8].copy_from_slice(&MAGIC);
    out[8..10].copy_from_slice(&VERSION.0.to_le_bytes());
    out[10..12].copy_from_slice(&VERSION.1.to_le_bytes());
    out[16..24].copy_from_slice(&length.to_le_bytes());
    out[24..28].copy_from_slice(&u32::try_from(head.0.len()).unwrap_or(u32::MAX).to_le_bytes());
    let crc = crc32fast::hash(&out[16..]);
    out[12..16].copy_from_slice(&crc.to_le_bytes());
    out
}

/// The model in `bytes`, which are copied once.
///
/// # Errors
/// [`Error::Corrupt`], [`Error::UnsupportedVersion`], or what [`Model::validate`] finds.
pub fn from_bytes(bytes: &[u8]) -> Result<Model> {
    from_image(Arc::new(bytes.to_vec()))
}

/// The model in `image`, whose constants keep pointing into it.
///
/// # Errors
/// As [`from_bytes`].
pub fn from_image(image: Arc<Vec<u8>>) -> Result<Model> {
    let bytes: &[u8] = &image;
    let corrupt = |at: usize, what: &str| Error::corrupt("model", "header", at as u64, what);
    let header = bytes
        .get(..LINE)
        .ok_or_else(|| corrupt(0, "the file is shorter than its header"))?;
    let mut read = Reader {
        bytes: header,
        at: 8,
        section: "header",
    };
    if header[..8] != MAGIC {
        return Err(corrupt(0, "this is not a model file"));
    }
    let version = (read.u16()?, read.u16()?);
    if version.0 != VERSION.0 {
        return Err(Error::UnsupportedVersion {
            file: "model".into(),
            found: version,
            supported: VERSION,
        });
    }
    let crc = read.u32()?;
    let length = read.u64()?;
    let head = read.u32()? as usize;
    if length != bytes.len() as u64 {
        return Err(corrupt(16, "the file does not have the length that it states"));
    }
    if header[28..].iter().any(|b| *b != 0) {
        return Err(corrupt(28, "reserved bytes are not zero"));
    }
    if crc32fast::hash(&bytes[16..]) != crc {
        return Err(corrupt(12, "the checksum does not fit"));
    }
    let structure = LINE
        .checked_add(head)
        .and_then(|end| bytes.get(LINE..end))
        .ok_or_else(|| corrupt(24, "the structure is longer than the file"))?;
    let model = parse(structure, &image, (LINE + head).next_multiple_of(LINE))?;
    model.validate()?;
    Ok(model)
}

fn parse(structure: &[u8], image: &Arc<Vec<u8>>, data_start: usize) -> Result<Model> {
    let mut read = Reader {
        bytes: structure,
        at: 0,
        section: "structure",
    };
    let mut model = Model {
        metadata: BTreeMap::new(),
        ..Model::default()
    };
    for _ in 0..read.count(8)? {
        let key = read.text()?;
        let value = read.text()?;
        model.metadata.insert(key, value);
    }
    for _ in 0..read.count(7)? {
        let tensor = read.tensor(image, data_start)?;
        model.tensors.push(tensor);
    }
    for _ in 0..read.count(6)? {
        let operator = read.operator()?;
        model.operators.push(operator);
    }
    model.inputs = read.indexes()?;
    model.outputs = read.indexes()?;
    if read.at != structure.len() {
        return Err(read.corrupt("bytes are left over"));
    }
    Ok(model)
}

#[derive(Default)]
struct Writer(Vec<u8>);

/// A count or size as the file's u32; models are far smaller.
fn narrow(number: usize) -> u32 {
    debug_assert!(u32::try_from(number).is_ok());
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl Writer {
    fn count(&mut self, count: usize) {
        self.0.extend_from_slice(&narrow(count).to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn indexes(&mut self, indexes: &[usize]) {
        self.count(indexes.len());
        for index in indexes {
            self.count(*index);
        }
    }

    fn tensor(&mut self, tensor: &Tensor) {
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

    fn sliding(&mut self, sliding: &Sliding) {
        for size in sliding.stride.iter().chain(&sliding.dilation) {
            self.count(*size);
        }
        self.0.push(sliding.padding as u8);
    }

    fn operator(&mut self, operator: &Operator) {
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
            } => {
                self.0.push(u8::from(*time_major));
                self.0.extend_from_slice(&cell_clip.to_le_bytes());
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
        }
        self.count(operator.inputs.len());
        for input in &operator.inputs {
            self.count(input.map_or(u32::MAX as usize, |i| i));
        }
        self.indexes(&operator.outputs);
    }
}

/// Numbers of the operators in the file; never reused.
const NUMBERS: [(u16, &str); 21] = [
    (1, "FULLY_CONNECTED"),
    (2, "CONV_2D"),
    (3, "DEPTHWISE_CONV_2D"),
    (4, "AVERAGE_POOL_2D"),
    (5, "MAX_POOL_2D"),
    (6, "MEAN"),
    (7, "ADD"),
    (8, "SUB"),
    (9, "MUL"),
    (10, "CONCATENATION"),
    (11, "PAD"),
    (12, "RESHAPE"),
    (13, "SOFTMAX"),
    (14, "LOGISTIC"),
    (15, "TANH"),
    (16, "RELU"),
    (17, "QUANTIZE"),
    (18, "DEQUANTIZE"),
    (19, "UNIDIRECTIONAL_SEQUENCE_LSTM"),
    (20, "SVDF"),
    (21, "BINARY_DENSE"),
];

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    section: &'static str,
}

impl<'a> Reader<'a> {
    fn corrupt(&self, what: impl Into<String>) -> Error {
        Error::corrupt("model", self.section, self.at as u64, what)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| self.corrupt(format!("{count} bytes are missing")))?;
        let part = &self.bytes[self.at..end];
        self.at = end;
        Ok(part)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let part = self.take(N)?;
        part.try_into().map_err(|_| self.corrupt("bytes are missing"))
    }

    fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_le_bytes(self.array()?))
    }

    fn f32(&mut self) -> Result<f32> {
        Ok(f32::from_le_bytes(self.array()?))
    }

    fn size(&mut self) -> Result<usize> {
        Ok(self.u32()? as usize)
    }

    /// A count of things that take at least `least` bytes each.
    fn count(&mut self, least: usize) -> Result<usize> {
        let count = self.size()?;
        if count > (self.bytes.len() - self.at) / least.max(1) {
            return Err(self.corrupt(format!("{count} things do not fit into the bytes left")));
        }
        Ok(count)
    }

    fn text(&mut self) -> Result<String> {
        let count = self.count(1)?;
        let bytes = self.take(count)?;
        std::str::from_utf8(bytes)
            .map(str::to_string)
            .map_err(|_| self.corrupt("text is not UTF-8"))
    }

    fn indexes(&mut self) -> Result<Vec<usize>> {
        let count = self.count(4)?;
        (0..count).map(|_| self.size()).collect()
    }

    fn tensor(&mut self, image: &Arc<Vec<u8>>, data_start: usize) -> Result<Tensor> {
        let name = self.text()?;
        let element = self.u8()?;
        let element = Element::from_u8(element).ok_or_else(|| self.corrupt("unknown element"))?;
        let flags = self.u8()?;
        if flags > 3 {
            return Err(self.corrupt("unknown tensor flags"));
        }
        let shape = (0..self.u8()?).map(|_| self.size()).collect::<Result<Vec<_>>>()?;
        let scales = (0..self.count(4)?)
            .map(|_| self.f32())
            .collect::<Result<Vec<_>>>()?;
        let zero_points = (0..self.count(4)?)
            .map(|_| self.i32())
            .collect::<Result<Vec<_>>>()?;
        let axis = self.u32()?;
        let quantization = (!scales.is_empty()).then_some(Quantization {
            scales,
            zero_points,
            axis,
        });
        let mut data = None;
        if flags & 1 != 0 {
            let (offset, length) = (self.u64()?, self.u64()?);
            let part = usize::try_from(offset)
                .ok()
                .and_then(|o| o.checked_add(data_start))
                .and_then(|start| Some(start..start.checked_add(usize::try_from(length).ok()?)?))
                .and_then(|range| Data::part(image, range));
            data = Some(part.ok_or_else(|| self.corrupt("a constant lies outside the file"))?);
        }
        Ok(Tensor {
            name,
            shape,
            element,
            quantization,
            data,
            variable: flags & 2 != 0,
        })
    }

    fn activation(&mut self) -> Result<Activation> {
        let number = self.u8()?;
        Activation::from_u8(number).ok_or_else(|| self.corrupt("unknown activation"))
    }

    fn sliding(&mut self) -> Result<Sliding> {
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

    fn operator(&mut self) -> Result<Operator> {
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
            19 => Kind::Lstm {
                time_major: self.u8()? != 0,
                cell_clip: self.f32()?,
            },
            20 => Kind::Svdf {
                rank: self.size()?,
                activation: self.activation()?,
            },
            21 => Kind::BinaryDense,
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
mod tests {
    use super::*;
    use crate::model::{Affine, dense};
    use proptest::prelude::*;

    fn sample() -> Model {
        let layer = |inputs: usize, outputs: usize| dense::DenseLayer {
            inputs,
            outputs,
            weights: (0..inputs * outputs).map(|i| (i * 37 % 255) as i8).collect(),
            weight_scales: (1..=outputs).map(|i| i as f32 / 512.0).collect(),
            bias: (0..outputs as i32).map(|i| i * 11 - 20).collect(),
            activation: Activation::Relu,
            output: Affine {
                scale: 0.25,
                zero_point: -7,
            },
        };
        let mut model = dense::build(
            &[layer(6, 3), layer(3, 5)],
            Affine {
                scale: 0.5,
                zero_point: 3,
            },
        )
        .unwrap();
        model.metadata.insert("window".into(), "6".into());
        model
    }

    #[test]
    fn comes_back() {
        let model = sample();
        let bytes = to_bytes(&model);
        assert_eq!(from_bytes(&bytes).unwrap(), model);
        assert_eq!(to_bytes(&from_bytes(&bytes).unwrap()), bytes);
    }

    #[test]
    fn golden_bytes() {
        let bytes = to_bytes(&sample());
        assert_eq!(bytes[..16], *b"SILTMODL\x01\0\0\0\x9d\x9e\x0d\xbc");
        assert_eq!(bytes.len(), 896);
    }

    #[test]
    fn newer_version_is_named() {
        let mut bytes = to_bytes(&sample());
        bytes[8] = 2;
        assert!(matches!(
            from_bytes(&bytes),
            Err(Error::UnsupportedVersion { .. })
        ));
    }

    #[test]
    fn every_truncation_is_refused() {
        let bytes = to_bytes(&sample());
        for end in 0..bytes.len() {
            assert!(from_bytes(&bytes[..end]).is_err());
        }
    }

    /// A byte changed without its checksum is corruption; with it, an error or some model that runs or is refused.
    #[test]
    fn every_flip_is_survived() {
        let bytes = to_bytes(&sample());
        for at in 0..bytes.len() {
            for bit in [0, 3, 7] {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                if at != 10 && at != 11 {
                    assert!(from_bytes(&damaged).is_err(), "byte {at}");
                }
                let crc = crc32fast::hash(&damaged[16..]);
                damaged[12..16].copy_from_slice(&crc.to_le_bytes());
                if let Ok(model) = from_bytes(&damaged) {
                    if let Ok(mut engine) = crate::engine::Engine::new(&model) {
                        let mut output = vec![0; engine.output_count()];
                        let input = vec![1; engine.input_count()];
                        engine.run(&input, &mut output).unwrap();
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn noise_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut file = to_bytes(&Model::default());
            file.truncate(64);
            file.extend_from_slice(&bytes);
            file[16..24].copy_from_slice(&(64 + bytes.len() as u64).to_le_bytes());
            file[24..28].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
            let crc = crc32fast::hash(&file[16..]);
            file[12..16].copy_from_slice(&crc.to_le_bytes());
            let _ = from_bytes(&file);
        }
    }
}
