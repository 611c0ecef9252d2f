//! What must hold before a model is compiled: the graph's own consistency. An operator's shapes and types are
//! checked where it is compiled, since only there it is known what the kernel can do.

use super::{Element, MAX_DIMENSIONS, MAX_ELEMENTS, MAX_NODES, Model, Quantization, Tensor};
use crate::{Error, Result};

pub(super) fn validate(model: &Model) -> Result<()> {
    if model.tensors.len() > MAX_NODES || model.operators.len() > MAX_NODES {
        return Err(Error::invalid(format!(
            "the model has {} tensors and {} operators; at most {MAX_NODES} of each are read",
            model.tensors.len(),
            model.operators.len()
        )));
    }
    let mut constant_bytes = 0usize;
    for (index, tensor) in model.tensors.iter().enumerate() {
        check_tensor(tensor)
            .map_err(|what| Error::invalid(format!("tensor {index} ({:?}) {what}", tensor.name)))?;
        constant_bytes = constant_bytes.saturating_add(tensor.data.as_ref().map_or(0, |d| d.len()));
    }
    if constant_bytes > MAX_ELEMENTS {
        return Err(Error::invalid(format!(
            "the model's constants take {constant_bytes} bytes"
        )));
    }
    check_order(model)
}

fn check_tensor(tensor: &Tensor) -> Result<(), String> {
    if tensor.shape.len() > MAX_DIMENSIONS {
        return Err(format!(
            "has {} dimensions; at most {MAX_DIMENSIONS} are read",
            tensor.shape.len()
        ));
    }
    let count = tensor.shape.iter().try_fold(1usize, |a, d| a.checked_mul(*d));
    let count = count.filter(|c| *c <= MAX_ELEMENTS).ok_or("is too large")?;
    if let Some(data) = &tensor.data {
        if data.len() != count * tensor.element.size_bytes() {
            return Err(format!("holds {} bytes for {count} numbers", data.len()));
        }
    }
    match &tensor.quantization {
        Some(q) => check_quantization(q, tensor),
        None => Ok(()),
    }
}

fn check_quantization(q: &Quantization, tensor: &Tensor) -> Result<(), String> {
    if q.scales.is_empty() || (q.zero_points.len() != 1 && q.zero_points.len() != q.scales.len()) {
        return Err(format!(
            "has {} scales and {} zero points",
            q.scales.len(),
            q.zero_points.len()
        ));
    }
    // Without branches, since there may be two thousands.
    if !q
        .scales
        .iter()
        .fold(true, |good, s| good & (*s > 0.0) & (*s < f32::INFINITY))
    {
        return Err("has a scale that is not a positive number".into());
    }
    if q.scales.len() > 1 {
        let size = tensor.shape.get(q.axis as usize).copied();
        if size != Some(q.scales.len()) {
            return Err(format!(
                "has {} scales for dimension {} of {:?}",
                q.scales.len(),
                q.axis,
                tensor.shape
            ));
        }
    }
    let range = match tensor.element {
        Element::I8 => -128..=127,
        Element::I16 => -32768..=32767,
        _ => i32::MIN..=i32::MAX,
    };
    let (low, high) = range.into_inner();
    let held = q
        .zero_points
        .iter()
        .fold(true, |good, z| good & (*z >= low) & (*z <= high));
    if held {
        return Ok(());
    }
    Err(format!(
        "has a zero point that {:?} cannot hold: {:?}",
        tensor.element, q.zero_points
    ))
}

/// Every tensor is written once, before it is read: so there is no cycle.
fn check_order(model: &Model) -> Result<()> {
    let mut written: Vec<bool> = model
        .tensors
        .iter()
        .map(|t| t.data.is_some() || t.variable)
        .collect();
    let mut write = |index: usize, who: &dyn Fn() -> String| match written.get(index).copied() {
        Some(false) => {
            written[index] = true;
            Ok(())
        }
        Some(true) => Err(Error::invalid(format!(
            "tensor {index} is written twice, the second time by {}",
            who()
        ))),
        None => Err(Error::invalid(format!(
            "{} writes tensor {index}, which does not exist",
            who()
        ))),
    };
    for index in &model.inputs {
        write(*index, &|| "the caller".to_string())?;
    }
    let mut ready: Vec<bool> = model
        .tensors
        .iter()
        .map(|t| t.data.is_some() || t.variable)
        .collect();
    for index in &model.inputs {
        ready[*index] = true;
    }
    for (number, operator) in model.operators.iter().enumerate() {
        let who = || format!("operator {number} ({})", operator.kind.name());
        for index in operator.inputs.iter().flatten() {
            match ready.get(*index) {
                Some(true) => {}
                Some(false) => {
                    return Err(Error::invalid(format!(
                        "{} reads tensor {index} before it is written",
                        who()
                    )));
                }
                None => {
                    return Err(Error::invalid(format!(
                        "{} reads tensor {index}, which does not exist",
                        who()
                    )));
                }
            }
        }
        if operator.outputs.is_empty() {
            return Err(Error::invalid(format!("{} has no output", who())));
        }
        for index in &operator.outputs {
            write(*index, &who)?;
            ready[*index] = true;
        }
    }
    match model.outputs.iter().find(|i| ready.get(**i) != Some(&true)) {
        Some(index) => Err(Error::invalid(format!(
            "the model's output, tensor {index}, is never written"
        ))),
        None if model.outputs.is_empty() || model.inputs.is_empty() => {
            Err(Error::invalid("the model has no input or no output"))
        }
        None => Ok(()),
    }
}
