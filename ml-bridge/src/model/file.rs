//! The project's own model file: one structure section, then constants on 64-byte starts.
//!
//! ```text
//! byte 0   magic "SILTMODL"      16  length of the file, u64
//!      8   major, minor u16      24  length of the structure, u32
//!     12   crc32 of bytes 16..   28  zeros
//!          up to the spare ones  32  start of spare constants, of packed weights, u64
//!                                48  crc32 of spare constants, of packed weights
//!     64   structure: metadata, tensors, operators, ends
//!          zeros up to a multiple of 64
//!          constants, each on a 64-byte start
//!          spare constants: those that packed weights stand for
//!          packed weights, see [`super::prepared`]
//! ```
//!
//! Without packed weights all constants come under the first checksum. With them, who runs the model on the processor
//! that they were packed for reads neither the spare constants nor computes their checksum.
//!
//! Little-endian throughout; `docs/format/model.md` describes every byte. Every length is checked against the bytes
//! left before anything is allocated, and the model is validated before it is handed out.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Data, Image, Model, Tensor, prepared};
use crate::kernel::lanes::{Order, Prepared};
use crate::kernel::signed::Aligned;
use crate::{Error, Result};

mod reader;
mod writer;

use reader::Reader;
use writer::Writer;

/// First bytes of every model file.
pub const MAGIC: [u8; 8] = *b"SILTMODL";
/// Version written.
pub const VERSION: (u16, u16) = (1, 0);
/// Bytes before the structure, and the unit on which constants start.
const LINE: usize = 64;

/// The file of `model`. The same model always gives the same bytes.
pub fn to_bytes(model: &Model) -> Vec<u8> {
    write(model, None)
}

/// As [`to_bytes`], with `layers` packed in `order` beside, by operator, ascending.
pub(crate) fn to_bytes_packed(model: &Model, order: Order, layers: &[(usize, Prepared)]) -> Vec<u8> {
    // Lines hold numbers as memory does.
    let packed = cfg!(target_endian = "little").then_some((order, layers));
    write(model, packed)
}

/// For each tensor, whether all its readers are packed layers that need it no more.
fn spare_tensors(model: &Model, layers: &[(usize, Prepared)]) -> Vec<bool> {
    let mut spare: Vec<bool> = model.tensors.iter().map(|t| t.data.is_some()).collect();
    for end in model.inputs.iter().chain(&model.outputs) {
        spare[*end] = false;
    }
    for (number, operator) in model.operators.iter().enumerate() {
        let packed = layers.binary_search_by_key(&number, |(n, _)| *n).is_ok();
        for (position, input) in operator.inputs.iter().enumerate() {
            if let (Some(input), false) = (input, packed && matches!(position, 1 | 2)) {
                spare[*input] = false;
            }
        }
    }
    spare
}

fn write(model: &Model, packed: Option<(Order, &[(usize, Prepared)])>) -> Vec<u8> {
    let mut head = Writer::default();
    head.count(model.metadata.len());
    for (key, value) in &model.metadata {
        head.text(key);
        head.text(value);
    }
    let spare = spare_tensors(model, packed.map_or(&[], |(_, layers)| layers));
    // Constants in order, the spare ones last.
    let mut constants: Vec<(usize, &Data)> = Vec::new();
    for wanted in [false, true] {
        let of = |(index, tensor): (usize, &'_ Tensor)| {
            (spare[index] == wanted && tensor.data.is_some()).then_some(index)
        };
        let indexes: Vec<usize> = model.tensors.iter().enumerate().filter_map(of).collect();
        constants.extend(
            indexes
                .into_iter()
                .filter_map(|i| Some((i, model.tensors[i].data.as_ref()?))),
        );
    }
    let mut offsets = vec![0usize; model.tensors.len()];
    let mut end = 0usize;
    let mut spare_start = 0;
    for (index, data) in &constants {
        offsets[*index] = end;
        end += data.len().next_multiple_of(LINE);
        if !spare[*index] {
            spare_start = end;
        }
    }
    head.count(model.tensors.len());
    for (tensor, offset) in model.tensors.iter().zip(offsets) {
        head.tensor(tensor);
        if let Some(data) = &tensor.data {
            head.0.extend_from_slice(&(offset as u64).to_le_bytes());
            head.0.extend_from_slice(&(data.len() as u64).to_le_bytes());
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
    out.resize(out.len().next_multiple_of(LINE), 0);
    spare_start += out.len();
    for (_, data) in constants {
        out.extend_from_slice(data);
        out.resize(out.len().next_multiple_of(LINE), 0);
    }
    let mut checked = out.len();
    if let Some((order, layers)) = packed {
        checked = spare_start;
        let start = out.len();
        out.extend_from_slice(&prepared::to_bytes(order, layers));
        out[32..40].copy_from_slice(&(spare_start as u64).to_le_bytes());
        out[40..48].copy_from_slice(&(start as u64).to_le_bytes());
        let crcs = [
            crc32fast::hash(&out[spare_start..start]),
            crc32fast::hash(&out[start..]),
        ];
        out[48..52].copy_from_slice(&crcs[0].to_le_bytes());
        out[52..56].copy_from_slice(&crcs[1].to_le_bytes());
    }
    let length = out.len() as u64;
    out[0..8].copy_from_slice(&MAGIC);
    out[8..10].copy_from_slice(&VERSION.0.to_le_bytes());
    out[10..12].copy_from_slice(&VERSION.1.to_le_bytes());
    out[16..24].copy_from_slice(&length.to_le_bytes());
    out[24..28].copy_from_slice(&u32::try_from(head.0.len()).unwrap_or(u32::MAX).to_le_bytes());
    let crc = crc32fast::hash(&out[16..checked]);
    out[12..16].copy_from_slice(&crc.to_le_bytes());
    out
}

/// A copy of `bytes` that starts on a multiple of 64 bytes, as a mapped file does.
pub fn aligned(bytes: &[u8]) -> Image {
    Arc::new(Aligned::new(bytes))
}

/// The model in `bytes`, which are copied once.
///
/// # Errors
/// [`Error::Corrupt`], [`Error::UnsupportedVersion`], or what [`Model::validate`] finds.
pub fn from_bytes(bytes: &[u8]) -> Result<Model> {
    from_image(Arc::new(bytes.to_vec()))
}

/// The model in `image`, whose constants keep pointing into it. Packed weights are left aside.
///
/// # Errors
/// As [`from_bytes`].
pub fn from_image(image: Image) -> Result<Model> {
    Ok(read(&image, None)?.0)
}

/// The model in `image`, and its layers by operator, if they were packed in `order`: then constants that these stand for
/// are not checked.
///
/// # Errors
/// As [`from_bytes`].
pub(crate) fn read(image: &Image, order: Option<Order>) -> Result<(Model, Vec<(usize, Prepared)>)> {
    let bytes: &[u8] = (**image).as_ref();
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
    let zeros = read.u32()?;
    let starts = [read.u64()?, read.u64()?];
    let crcs = [read.u32()?, read.u32()?];
    if zeros != 0 || header[56..].iter().any(|b| *b != 0) {
        return Err(corrupt(28, "reserved bytes are not zero"));
    }
    let [spare, packed] = starts.map(|start| usize::try_from(start).unwrap_or(usize::MAX));
    let data_start = LINE
        .checked_add(head)
        .map(|end| end.next_multiple_of(LINE))
        .filter(|end| *end <= bytes.len())
        .ok_or_else(|| corrupt(24, "the structure is longer than the file"))?;
    let (checked, has_packed) = match starts {
        [0, 0] => (bytes.len(), false),
        _ => (spare, true),
    };
    let apart = !has_packed
        || (data_start <= spare && spare <= packed && packed <= bytes.len() && packed % LINE == 0);
    if !apart {
        return Err(corrupt(
            32,
            "spare constants or packed weights lie outside the file",
        ));
    }
    if crc32fast::hash(&bytes[16..checked]) != crc {
        return Err(corrupt(12, "the checksum does not fit"));
    }
    let mut layers = Vec::new();
    if has_packed {
        let fits = order.is_some_and(|order| prepared::fits(&bytes[packed..], order));
        let (part, crc) = if fits && cfg!(target_endian = "little") {
            (packed..bytes.len(), crcs[1])
        } else {
            (spare..packed, crcs[0])
        };
        if crc32fast::hash(&bytes[part.clone()]) != crc {
            return Err(Error::corrupt(
                "model",
                "weights",
                part.start as u64,
                "the checksum does not fit",
            ));
        }
        if part.start == packed && part.end == bytes.len() && fits {
            layers = prepared::from_image(image, part)?;
        }
    }
    let structure = &bytes[LINE..LINE + head];
    let spare = if layers.is_empty() { usize::MAX } else { spare };
    let model = parse(structure, image, data_start, spare)?;
    model.validate()?;
    Ok((model, layers))
}

fn parse(structure: &[u8], image: &Image, data_start: usize, spare: usize) -> Result<Model> {
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
        let (key, value) = (read.text()?, read.text()?);
        model.metadata.insert(key, value);
    }
    for _ in 0..read.count(7)? {
        let tensor = read.tensor(image, data_start, spare)?;
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

/// Numbers of the operators in the file; never reused.
const NUMBERS: [(u16, &str); 22] = [
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
    (22, "BINARY_CONV_2D"),
];

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
mod tests {
    use super::*;
    use crate::model::{Activation, Affine, dense};
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
