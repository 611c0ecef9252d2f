//! From a float model to an int8 one: it is run in floats on windows that are typical, and what its tensors hold there
//! decides their scales (Jacob et al., CVPR 2018).
//!
//! `run` computes the graph in floats, plainly; `observe` remembers what each tensor held; `convert` writes the int8
//! graph: weights symmetric with one scale per output channel, activations affine between the observed ends, biases in
//! i32. Nothing stays in floats: an operator without an int8 form is refused by name.

mod convert;
mod observe;
mod run;
#[cfg(test)]
mod tests;

use super::{Element, Kind, Model};
use crate::Result;

pub use observe::Calibrator;

/// Whether `model` must be quantized before it is run: it is fed with floats that it does not quantize itself.
pub fn is_float(model: &Model) -> Result<bool> {
    for input in &model.inputs {
        let floats = model.tensor(*input)?.element == Element::F32;
        let mut readers = model
            .operators
            .iter()
            .filter(|o| o.inputs.contains(&Some(*input)));
        if floats && !readers.all(|o| o.kind == Kind::Quantize) {
            return Ok(true);
        }
    }
    Ok(false)
}
