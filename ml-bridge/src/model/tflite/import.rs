//! From the tables of a `.tflite` file to a [`Model`]. Numbers in `table.u8(3)` are the schema's field numbers.

use std::sync::Arc;

use super::super::{
    Activation, Data, Element, Image, Kind, MAX_NODES, Model, Operator, Padding, Quantization, Sliding,
    Tensor,
};
use super::reader::{Buffer, Table, Vector};
use crate::{Error, Result};

/// Reads a `.tflite` file. Weights are copied once, with the file.
///
/// # Errors
/// `Corrupt` if an offset points outside the file; [`Error::InvalidArgument`] naming the operator, its version or
/// the type that is not known; what [`Model::validate`] finds.
pub fn from_bytes(bytes: &[u8]) -> Result<Model> {
    let image: Image = Arc::new(bytes.to_vec());
    let root = Buffer(bytes).root(b"TFL3")?;
    let version = root.u32(0)?;
    if version != 3 {
        return Err(Error::invalid(format!(
            "the .tflite schema has version {version}; version 3 is read"
        )));
    }
    let graphs = root.vector(2, 4)?;
    if graphs.count != 1 {
        return Err(Error::invalid(format!(
            "the model has {} subgraphs; one is read",
            graphs.count
        )));
    }
    let graph = graphs.table(0)?;
    let buffers = root.vector(4, 4)?;
    let tensors = graph.vector(0, 4)?;
    let operators = graph.vector(3, 4)?;
    if tensors.count > MAX_NODES || operators.count > MAX_NODES {
        return Err(Error::invalid(format!(
            "{} tensors and {} operators are too many",
            tensors.count, operators.count
        )));
    }
    let mut model = Model::default();
    for index in 0..tensors.count {
        let tensor = read_tensor(tensors.table(index)?, &buffers, &image)
            .map_err(|e| Error::invalid(format!("tensor {index}: {e}")))?;
        model.tensors.push(tensor);
    }
    let codes = root.vector(1, 4)?;
    for index in 0..operators.count {
        let operator = read_operator(operators.table(index)?, &codes, &model)
            .map_err(|e| Error::invalid(format!("operator {index}: {e}")))?;
        model.operators.push(operator);
    }
    model.inputs = indexes(&graph.vector(1, 4)?)?;
    model.outputs = indexes(&graph.vector(2, 4)?)?;
    drop_unused(&mut model);
    model.validate()?;
    Ok(model)
}

/// Drops tensors at the end that nothing names any more.
fn drop_unused(model: &mut Model) {
    let operators = model.operators.iter();
    let named = operators.flat_map(|o| o.inputs.iter().flatten().chain(&o.outputs));
    let last = named.chain(&model.inputs).chain(&model.outputs).max();
    let used = last.map_or(0, |last| last.saturating_add(1));
    model.tensors.truncate(used);
}

fn indexes(vector: &Vector<'_>) -> Result<Vec<usize>> {
    let parse = |i: i32| usize::try_from(i).map_err(|_| Error::invalid(format!("tensor {i} does not exist")));
    vector.i32s()?.into_iter().map(parse).collect()
}

fn read_tensor(table: Table<'_>, buffers: &Vector<'_>, image: &Image) -> Result<Tensor> {
    let name = table.text(3)?;
    let element = match table.u8(1)? {
        0 => Element::F32,
        2 => Element::I32,
        4 => Element::I64,
        7 => Element::I16,
        9 => Element::I8,
        other => {
            let names = [
                "",
                "FLOAT16",
                "",
                "UINT8",
                "",
                "STRING",
                "BOOL",
                "",
                "COMPLEX64",
                "",
                "FLOAT64",
            ];
            let known = names.get(usize::from(other)).copied().filter(|n| !n.is_empty());
            let type_name = known.map_or_else(|| format!("type {other}"), str::to_string);
            return Err(Error::invalid(format!(
                "{name:?} holds {type_name}, which is not read"
            )));
        }
    };
    let shape = indexes(&table.vector(0, 4)?)?;
    let quantization = match table.table(4)? {
        Some(q) => read_quantization(q, &shape)?,
        None => None,
    };
    let buffer = table.u32(2)? as usize;
    let data = if buffer == 0 {
        None
    } else {
        read_buffer(buffers.table(buffer)?, image)?
    };
    Ok(Tensor {
        name,
        shape,
        element,
        quantization,
        data,
        variable: table.u8(5)? != 0,
    })
}

fn read_buffer(table: Table<'_>, image: &Image) -> Result<Option<Data>> {
    if table.u64(1)? > 1 {
        return Err(Error::invalid(
            "constants stored outside the flatbuffer are not read",
        ));
    }
    let bytes = table.vector(0, 1)?;
    if bytes.count == 0 {
        return Ok(None);
    }
    Ok(Data::part(image, bytes.start()..bytes.start() + bytes.count))
}

fn read_quantization(table: Table<'_>, shape: &[usize]) -> Result<Option<Quantization>> {
    let scales = table.vector(2, 4)?.f32s()?;
    if scales.is_empty() {
        return Ok(None);
    }
    if table.u8(4)? != 0 {
        return Err(Error::invalid("custom quantization is not read"));
    }
    let narrow =
        |z: i64| i32::try_from(z).map_err(|_| Error::invalid(format!("zero point {z} is out of range")));
    let mut zero_points: Vec<i32> = table
        .vector(3, 8)?
        .i64s()?
        .into_iter()
        .map(narrow)
        .collect::<Result<_>>()?;
    if zero_points.is_empty() {
        zero_points.push(0);
    }
    let dimension = table.i32(6, 0)?;
    let axis = u32::try_from(dimension)
        .ok()
        .filter(|a| scales.len() == 1 || (*a as usize) < shape.len());
    let axis =
        axis.ok_or_else(|| Error::invalid(format!("quantized dimension {dimension} does not exist")))?;
    let axis = if scales.len() == 1 { 0 } else { axis };
    Ok(Some(Quantization {
        scales,
        zero_points,
        axis,
    }))
}

/// The operators that are read: number in the schema, newest version, options table (0 for none).
const KNOWN: [(i32, &str, i32, u8); 23] = [
    (0, "ADD", 3, 11),
    (1, "AVERAGE_POOL_2D", 3, 5),
    (2, "CONCATENATION", 3, 10),
    (3, "CONV_2D", 5, 1),
    (4, "DEPTHWISE_CONV_2D", 6, 2),
    (6, "DEQUANTIZE", 3, 0),
    (9, "FULLY_CONNECTED", 9, 8),
    (14, "LOGISTIC", 3, 0),
    (17, "MAX_POOL_2D", 3, 5),
    (18, "MUL", 4, 21),
    (19, "RELU", 2, 0),
    (20, "RELU_N1_TO_1", 1, 0),
    (21, "RELU6", 2, 0),
    (22, "RESHAPE", 1, 0),
    (25, "SOFTMAX", 3, 9),
    (27, "SVDF", 4, 6),
    (28, "TANH", 3, 0),
    (34, "PAD", 2, 0),
    (40, "MEAN", 3, 0),
    (41, "SUB", 3, 28),
    (43, "SQUEEZE", 2, 0),
    (44, "UNIDIRECTIONAL_SEQUENCE_LSTM", 4, 71),
    (70, "EXPAND_DIMS", 1, 0),
];
/// QUANTIZE stands apart: its number is beyond the old table.
const QUANTIZE: i32 = 114;

fn read_operator(table: Table<'_>, codes: &Vector<'_>, model: &Model) -> Result<Operator> {
    let code = codes.table(table.u32(0)? as usize)?;
    let number = code.i32(3, 0)?.max(i32::from(code.u8(0)?));
    let version = code.i32(2, 1)?;
    let optional = |i: i32| match usize::try_from(i) {
        Ok(index) if index < model.tensors.len() => Ok(Some(index)),
        Ok(index) => Err(Error::invalid(format!(
            "it reads tensor {index}, which does not exist"
        ))),
        Err(_) if i == -1 => Ok(None),
        Err(_) => Err(Error::invalid(format!("it reads tensor {i}"))),
    };
    let inputs: Vec<Option<usize>> = table
        .vector(1, 4)?
        .i32s()?
        .into_iter()
        .map(optional)
        .collect::<Result<_>>()?;
    let outputs = indexes(&table.vector(2, 4)?)?;
    if number == QUANTIZE && version <= 3 {
        return Ok(Operator {
            kind: Kind::Quantize,
            inputs,
            outputs,
        });
    }
    let known = KNOWN.iter().find(|k| k.0 == number);
    let Some((_, name, newest, options_type)) = known else {
        let name = if number == 32 {
            format!("custom {:?}", code.text(1)?)
        } else {
            format!("number {number}")
        };
        return Err(Error::invalid(format!("operator {name} is not known")));
    };
    if version > *newest {
        return Err(Error::invalid(format!(
            "{name} has version {version}; up to {newest} is read"
        )));
    }
    let options = table
        .table(4)?
        .filter(|_| table.u8(3).is_ok_and(|t| t == *options_type));
    let mut kind = read_kind(name, options)?;
    if let Kind::Lstm { hidden, .. } = &mut kind {
        // The fifth of the operator's intermediate tensors says what the output is rounded to.
        let between = table.vector(8, 4)?.i32s()?;
        let tensor = between.get(4).and_then(|i| usize::try_from(*i).ok());
        *hidden = match tensor {
            Some(index) => Some(model.tensor(index)?.affine()?),
            None => None,
        };
    }
    Ok(Operator {
        kind,
        inputs,
        outputs,
    })
}

fn activation(number: u8) -> Result<Activation> {
    Activation::from_u8(number).ok_or_else(|| Error::invalid(format!("fused function {number} is not known")))
}

/// Padding at field 0, strides (width, height) at 1 and 2, dilations where they are, if any.
fn sliding(options: Table<'_>, dilation: Option<usize>) -> Result<Sliding> {
    let size = |number: usize, default: i32| {
        let value = options.i32(number, default)?;
        usize::try_from(value).map_err(|_| Error::invalid(format!("{value} is no stride or window")))
    };
    let padding = match options.u8(0)? {
        0 => Padding::Same,
        1 => Padding::Valid,
        other => return Err(Error::invalid(format!("padding {other} is not known"))),
    };
    let dilation = match dilation {
        Some(first) => [size(first + 1, 1)?, size(first, 1)?],
        None => [1, 1],
    };
    Ok(Sliding {
        stride: [size(2, 0)?, size(1, 0)?],
        dilation,
        padding,
    })
}

fn read_kind(name: &str, options: Option<Table<'_>>) -> Result<Kind> {
    let needed = || options.ok_or_else(|| Error::invalid(format!("{name} has no options")));
    let fused = |field: usize| options.map_or(Ok(0), |o| o.u8(field)).and_then(activation);
    Ok(match name {
        "ADD" => Kind::Add {
            activation: fused(0)?,
        },
        "SUB" => Kind::Sub {
            activation: fused(0)?,
        },
        "MUL" => Kind::Mul {
            activation: fused(0)?,
        },
        "AVERAGE_POOL_2D" | "MAX_POOL_2D" => {
            let options = needed()?;
            let size =
                |field| usize::try_from(options.i32(field, 0)?).map_err(|_| Error::invalid("no such window"));
            let (sliding, window) = (sliding(options, None)?, [size(4)?, size(3)?]);
            let activation = fused(5)?;
            match name {
                "AVERAGE_POOL_2D" => Kind::AveragePool2d {
                    sliding,
                    window,
                    activation,
                },
                _ => Kind::MaxPool2d {
                    sliding,
                    window,
                    activation,
                },
            }
        }
        "CONCATENATION" => Kind::Concatenation {
            axis: needed()?.i32(0, 0)?,
            activation: fused(1)?,
        },
        "CONV_2D" => Kind::Conv2d {
            sliding: sliding(needed()?, Some(4))?,
            activation: fused(3)?,
        },
        "DEPTHWISE_CONV_2D" => Kind::DepthwiseConv2d {
            sliding: sliding(needed()?, Some(5))?,
            activation: fused(4)?,
        },
        "DEQUANTIZE" => Kind::Dequantize,
        "FULLY_CONNECTED" => {
            if options.map_or(Ok(0), |o| o.u8(1))? != 0 {
                return Err(Error::invalid(
                    "FULLY_CONNECTED with shuffled weights is not read",
                ));
            }
            Kind::FullyConnected {
                activation: fused(0)?,
            }
        }
        "LOGISTIC" => Kind::Logistic,
        "TANH" => Kind::Tanh,
        "RELU" => Kind::Relu {
            activation: Activation::Relu,
        },
        "RELU_N1_TO_1" => Kind::Relu {
            activation: Activation::ReluN1To1,
        },
        "RELU6" => Kind::Relu {
            activation: Activation::Relu6,
        },
        "RESHAPE" | "SQUEEZE" | "EXPAND_DIMS" => Kind::Reshape,
        "SOFTMAX" => Kind::Softmax {
            beta: needed()?.f32(0)?,
        },
        "PAD" => Kind::Pad,
        "MEAN" => Kind::Mean,
        "SVDF" => {
            let options = needed()?;
            let rank = usize::try_from(options.i32(0, 0)?)
                .map_err(|_| Error::invalid("SVDF has a negative rank"))?;
            Kind::Svdf {
                rank,
                activation: fused(1)?,
            }
        }
        "UNIDIRECTIONAL_SEQUENCE_LSTM" => {
            let options = needed()?;
            if options.u8(0)? != 4 || options.f32(2)? != 0.0 || options.u8(5)? != 0 {
                return Err(Error::invalid(format!(
                    "{name} is only read with tanh, without projection and diagonal recurrence"
                )));
            }
            Kind::Lstm {
                time_major: options.u8(3)? != 0,
                cell_clip: options.f32(1)?,
                hidden: None,
            }
        }
        other => return Err(Error::invalid(format!("operator {other} is not known"))),
    })
}
