//! From a [`Model`] to a `.tflite` file that other runtimes load.
//!
//! A flatbuffer is written front to back here: a table first, what it points to behind it, offsets filled in when they
//! are known. Vectors of numbers start on multiples of 16 behind their count, as the schema asks of buffers.

use std::ops::Range;

use super::super::{Activation, Element, Kind, Model, Operator, Padding, Quantization, Sliding, Tensor};
use crate::{Error, Result};

/// The `.tflite` file of `model`. Its metadata stays behind.
///
/// # Errors
/// If an operator has no counterpart there.
pub fn to_bytes(model: &Model) -> Result<Vec<u8>> {
    model.validate()?;
    write(model)
}

/// As [`to_bytes`], whatever the model is.
pub(super) fn write(model: &Model) -> Result<Vec<u8>> {
    let mut out = Writer { bytes: vec![0; 8] };
    out.bytes[4..8].copy_from_slice(b"TFL3");
    // Codes: one per kind of operator in use.
    let mut codes: Vec<(i32, i32)> = Vec::new();
    let mut code_of = Vec::new();
    for operator in &model.operators {
        let code = code(model, operator)?;
        let at = codes.iter().position(|c| *c == code).unwrap_or_else(|| {
            codes.push(code);
            codes.len() - 1
        });
        code_of.push(at);
    }
    let root = out.table(&[
        Field::U32(3),
        Field::Offset,
        Field::Offset,
        Field::Offset,
        Field::Offset,
    ]);
    out.point(0, root.at)?;
    let codes_at = out.tables(codes.len());
    out.point(root.fields[1], codes_at)?;
    for (number, (code, version)) in codes.iter().enumerate() {
        let old = u8::try_from(*code.min(&127)).unwrap_or(127);
        let table = out.table(&[
            Field::U8(old),
            Field::None,
            Field::I32(*version),
            Field::I32(*code),
        ]);
        out.point(codes_at + 4 + 4 * number, table.at)?;
    }
    let graphs = out.tables(1);
    out.point(root.fields[2], graphs)?;
    let graph = out.table(&[
        Field::Offset,
        Field::Offset,
        Field::Offset,
        Field::Offset,
        Field::Offset,
    ]);
    out.point(graphs + 4, graph.at)?;
    let between = intermediates(model)?;
    let tensors = out.tables(model.tensors.len() + between.iter().map(|(_, t)| t.len()).sum::<usize>());
    out.point(graph.fields[0], tensors)?;
    let mut buffers: Vec<&[u8]> = vec![&[]];
    let all = model.tensors.iter().chain(between.iter().flat_map(|(_, t)| t));
    for (number, tensor) in all.enumerate() {
        let buffer = match &tensor.data {
            Some(data) => {
                buffers.push(data);
                buffers.len() - 1
            }
            None => 0,
        };
        let at = out.tensor(tensor, buffer)?;
        out.point(tensors + 4 + 4 * number, at)?;
    }
    for (field, indexes) in [(1, &model.inputs), (2, &model.outputs)] {
        let at = out.numbers(indexes.iter().map(|i| narrow(*i)));
        out.point(graph.fields[field], at)?;
    }
    let operators = out.tables(model.operators.len());
    out.point(graph.fields[3], operators)?;
    for (number, operator) in model.operators.iter().enumerate() {
        let before = between
            .iter()
            .filter(|(at, _)| *at < number)
            .map(|(_, t)| t.len());
        let first = model.tensors.len() + before.sum::<usize>();
        let own = between.iter().find(|(at, _)| *at == number);
        let own = first..first + own.map_or(0, |(_, t)| t.len());
        let at = out.operator(operator, code_of[number], own)?;
        out.point(operators + 4 + 4 * number, at)?;
    }
    let name = out.text("main");
    out.point(graph.fields[4], name)?;
    let description = out.text("siltstone");
    out.point(root.fields[3], description)?;
    let list = out.tables(buffers.len());
    out.point(root.fields[4], list)?;
    for (number, data) in buffers.iter().enumerate() {
        let fields: &[Field] = if data.is_empty() { &[] } else { &[Field::Offset] };
        let table = out.table(fields);
        out.point(list + 4 + 4 * number, table.at)?;
        if !data.is_empty() {
            let at = out.vector(data.len(), 16);
            out.bytes.extend_from_slice(data);
            out.point(table.fields[0], at)?;
        }
    }
    Ok(out.bytes)
}

/// The tensors that an LSTM has between its parts: of the five, other readers ask the last what the output is rounded
/// to, and the others what they would mean under layer normalization.
fn intermediates(model: &Model) -> Result<Vec<(usize, Vec<Tensor>)>> {
    let mut found = Vec::new();
    for (number, operator) in model.operators.iter().enumerate() {
        let Kind::Lstm { hidden, .. } = &operator.kind else {
            continue;
        };
        let output = model.tensor(operator.outputs.first().copied().unwrap_or(usize::MAX))?;
        let hidden = match hidden {
            Some(hidden) => *hidden,
            None => output.affine()?,
        };
        let tensor = |n: usize, element, scale: f32, zero_point: i32| {
            let q = Quantization::per_tensor(scale, zero_point);
            Tensor::activation(&format!("lstm{number}/between{n}"), &[0], element, Some(q))
        };
        let mut tensors: Vec<Tensor> = (0..4).map(|n| tensor(n, Element::I16, 1.0 / 4096.0, 0)).collect();
        tensors.push(tensor(4, Element::I8, hidden.scale, hidden.zero_point));
        found.push((number, tensors));
    }
    Ok(found)
}

fn narrow(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// The schema's number of an operator, and the version that its types ask for.
fn code(model: &Model, operator: &Operator) -> Result<(i32, i32)> {
    let first = operator.inputs.first().copied().flatten();
    let whole = first
        .and_then(|i| model.tensors.get(i))
        .is_some_and(|t| t.element == Element::I8);
    let int8 = |version: i32| if whole { version } else { 1 };
    Ok(match &operator.kind {
        Kind::Add { .. } => (0, int8(2)),
        Kind::AveragePool2d { .. } => (1, int8(2)),
        Kind::Concatenation { .. } => (2, int8(2)),
        Kind::Conv2d { .. } => (3, int8(3)),
        Kind::DepthwiseConv2d { .. } => (4, int8(3)),
        Kind::Dequantize => (6, int8(2)),
        Kind::FullyConnected { .. } => (9, int8(4)),
        Kind::Logistic => (14, int8(2)),
        Kind::MaxPool2d { .. } => (17, int8(2)),
        Kind::Mul { .. } => (18, int8(2)),
        Kind::Relu {
            activation: Activation::Relu,
        } => (19, int8(2)),
        Kind::Relu {
            activation: Activation::ReluN1To1,
        } => (20, 1),
        Kind::Relu {
            activation: Activation::Relu6,
        } => (21, int8(2)),
        Kind::Reshape => (22, 1),
        Kind::Softmax { .. } => (25, int8(2)),
        Kind::Tanh => (28, int8(2)),
        Kind::Pad => (34, int8(2)),
        Kind::Mean => (40, int8(2)),
        Kind::Sub { .. } => (41, int8(2)),
        Kind::Quantize => (114, int8(2)),
        Kind::Svdf { .. } => (27, if whole { 3 } else { 1 }),
        Kind::Lstm { .. } => (44, 1),
        other => {
            return Err(Error::invalid(format!(
                "{} is not written to .tflite",
                other.name()
            )));
        }
    })
}

/// A field of a table, in the schema's order.
#[derive(Clone, Copy)]
enum Field {
    None,
    U8(u8),
    I32(i32),
    U32(u32),
    F32(f32),
    /// Filled in by [`Writer::point`].
    Offset,
}

/// Where a table and its fields are.
struct Placed {
    at: usize,
    fields: Vec<usize>,
}

struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn align(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }

    /// Sets the offset at `from` to lead to `to`.
    fn point(&mut self, from: usize, to: usize) -> Result<()> {
        let distance = u32::try_from(to - from)
            .ok()
            .filter(|d| *d <= i32::MAX.unsigned_abs());
        let distance = distance.ok_or_else(|| Error::invalid("the model is too large for a .tflite file"))?;
        self.bytes[from..from + 4].copy_from_slice(&distance.to_le_bytes());
        Ok(())
    }

    /// A table with its field list in front; every field takes four bytes.
    fn table(&mut self, fields: &[Field]) -> Placed {
        self.align(4);
        let list = self.bytes.len();
        let (count, size) = (fields.len(), 4 + 4 * fields.len());
        for number in [4 + 2 * count, size] {
            self.bytes
                .extend_from_slice(&u16::try_from(number).unwrap_or(u16::MAX).to_le_bytes());
        }
        for (number, field) in fields.iter().enumerate() {
            let place = if matches!(field, Field::None) {
                0
            } else {
                4 + 4 * number
            };
            self.bytes
                .extend_from_slice(&u16::try_from(place).unwrap_or(u16::MAX).to_le_bytes());
        }
        self.align(4);
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&narrow(at - list).to_le_bytes());
        let mut places = Vec::new();
        for field in fields {
            places.push(self.bytes.len());
            let bytes = match *field {
                Field::None | Field::Offset => [0; 4],
                Field::U8(v) => [v, 0, 0, 0],
                Field::I32(v) => v.to_le_bytes(),
                Field::U32(v) => v.to_le_bytes(),
                Field::F32(v) => v.to_le_bytes(),
            };
            self.bytes.extend_from_slice(&bytes);
        }
        Placed { at, fields: places }
    }

    /// The count of a vector whose elements follow on a multiple of `to`.
    fn vector(&mut self, count: usize, to: usize) -> usize {
        while (self.bytes.len() + 4) % to != 0 {
            self.bytes.push(0);
        }
        let at = self.bytes.len();
        self.bytes
            .extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
        at
    }

    /// A vector of offsets, to be filled in.
    fn tables(&mut self, count: usize) -> usize {
        let at = self.vector(count, 4);
        self.bytes.resize(self.bytes.len() + 4 * count, 0);
        at
    }

    fn numbers(&mut self, numbers: impl ExactSizeIterator<Item = i32>) -> usize {
        let at = self.vector(numbers.len(), 4);
        numbers.for_each(|n| self.bytes.extend_from_slice(&n.to_le_bytes()));
        at
    }

    fn text(&mut self, text: &str) -> usize {
        let at = self.vector(text.len(), 4);
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
        at
    }

    fn tensor(&mut self, tensor: &Tensor, buffer: usize) -> Result<usize> {
        let element = match tensor.element {
            Element::F32 => 0,
            Element::I32 => 2,
            Element::I64 => 4,
            Element::I16 => 7,
            Element::I8 => 9,
        };
        let buffer = u32::try_from(buffer).unwrap_or(u32::MAX);
        let quantized = if tensor.quantization.is_some() {
            Field::Offset
        } else {
            Field::None
        };
        let variable = Field::U8(u8::from(tensor.variable));
        let fields = [
            Field::Offset,
            Field::U8(element),
            Field::U32(buffer),
            Field::Offset,
            quantized,
            variable,
        ];
        let table = self.table(&fields);
        let shape = self.numbers(tensor.shape.iter().map(|d| narrow(*d)));
        self.point(table.fields[0], shape)?;
        let name = self.text(&tensor.name);
        self.point(table.fields[3], name)?;
        if let Some(q) = &tensor.quantization {
            let fields = [
                Field::None,
                Field::None,
                Field::Offset,
                Field::Offset,
                Field::None,
                Field::None,
                Field::U32(q.axis),
            ];
            let quantization = self.table(&fields);
            self.point(table.fields[4], quantization.at)?;
            let scales = self.vector(q.scales.len(), 4);
            q.scales
                .iter()
                .for_each(|s| self.bytes.extend_from_slice(&s.to_le_bytes()));
            self.point(quantization.fields[2], scales)?;
            let zeros = self.vector(q.scales.len(), 8);
            for index in 0..q.scales.len() {
                let zero = q
                    .zero_points
                    .get(index)
                    .or(q.zero_points.first())
                    .copied()
                    .unwrap_or(0);
                self.bytes.extend_from_slice(&i64::from(zero).to_le_bytes());
            }
            self.point(quantization.fields[3], zeros)?;
        }
        Ok(table.at)
    }

    fn operator(&mut self, operator: &Operator, code: usize, between: Range<usize>) -> Result<usize> {
        let (number, options) = options(&operator.kind);
        let fields = [
            Field::U32(u32::try_from(code).unwrap_or(u32::MAX)),
            Field::Offset,
            Field::Offset,
            if number == 0 {
                Field::None
            } else {
                Field::U8(number)
            },
            if number == 0 { Field::None } else { Field::Offset },
            Field::None,
            Field::None,
            Field::None,
            Field::Offset,
        ];
        let table = self.table(if between.is_empty() { &fields[..5] } else { &fields });
        let inputs = self.numbers(operator.inputs.iter().map(|i| i.map_or(-1, narrow)));
        self.point(table.fields[1], inputs)?;
        let outputs = self.numbers(operator.outputs.iter().map(|i| narrow(*i)));
        self.point(table.fields[2], outputs)?;
        if number != 0 {
            let options = self.table(&options);
            self.point(table.fields[4], options.at)?;
        }
        if !between.is_empty() {
            let list = self.numbers(between.map(narrow));
            self.point(table.fields[8], list)?;
        }
        Ok(table.at)
    }
}

/// The options table of an operator: its number in the schema's union (0 for none) and its fields.
fn options(kind: &Kind) -> (u8, Vec<Field>) {
    let fused = |a: &Activation| Field::U8(*a as u8);
    let size = |n: usize| Field::I32(narrow(n));
    let padding = |s: &Sliding| {
        Field::U8(match s.padding {
            Padding::Same => 0,
            Padding::Valid => 1,
        })
    };
    let strides = |s: &Sliding| [padding(s), size(s.stride[1]), size(s.stride[0])];
    let dilations = |s: &Sliding| [size(s.dilation[1]), size(s.dilation[0])];
    match kind {
        Kind::Conv2d { sliding, activation } => (
            1,
            [&strides(sliding)[..], &[fused(activation)], &dilations(sliding)].concat(),
        ),
        Kind::DepthwiseConv2d { sliding, activation } => {
            // The depth multiplier follows from the shapes; readers that ask for it get the usual one.
            (
                2,
                [
                    &strides(sliding)[..],
                    &[Field::I32(1), fused(activation)],
                    &dilations(sliding),
                ]
                .concat(),
            )
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
        } => (
            5,
            [
                &strides(sliding)[..],
                &[size(window[1]), size(window[0]), fused(activation)],
            ]
            .concat(),
        ),
        Kind::FullyConnected { activation } => (8, vec![fused(activation)]),
        Kind::Softmax { beta } => (9, vec![Field::F32(*beta)]),
        Kind::Concatenation { axis, activation } => (10, vec![Field::I32(*axis), fused(activation)]),
        Kind::Add { activation } => (11, vec![fused(activation)]),
        Kind::Mul { activation } => (21, vec![fused(activation)]),
        Kind::Sub { activation } => (28, vec![fused(activation)]),
        Kind::Svdf { rank, activation } => (6, vec![size(*rank), fused(activation)]),
        Kind::Lstm {
            time_major,
            cell_clip,
            ..
        } => (
            71,
            vec![
                // The number of tanh, which is no fused function elsewhere.
                Field::U8(4),
                Field::F32(*cell_clip),
                Field::F32(0.0),
                Field::U8(u8::from(*time_major)),
            ],
        ),
        _ => (0, Vec::new()),
    }
}
