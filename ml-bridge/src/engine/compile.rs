//! From a model to an engine: order, buffers, folding of reshapes and float ends.

use std::collections::BTreeMap;

use super::plan::{self, Buffer, LINE};
use super::step::Step;
use super::{End, Engine, StepReport, lower};
use crate::kernel::lanes::Prepared;
use crate::kernel::pool::Pad;
use crate::kernel::{Isa, Scratch};
use crate::model::{Affine, Element, Kind, Model, Operator, Tensor};
use crate::{Error, Result};

/// Largest arena that is allocated, in bytes.
const MAX_ARENA_BYTES: usize = 1 << 30;

/// Most inputs that are computed at once.
const MAX_COPIES: usize = 1 << 10;

/// A model on its way to an engine.
pub(super) struct Compiler<'m> {
    pub(super) model: &'m Model,
    pub(super) isa: Isa,
    /// The buffer of each tensor that is computed.
    buffer_of: Vec<Option<usize>>,
    buffers: Vec<Buffer>,
    /// The padded image in which a tensor lies, where its reader wants one.
    padded: Vec<Option<Pad>>,
    /// Whether a tensor is kept as words of signs, since its reader wants nothing else.
    signs: Vec<bool>,
    steps: Vec<Step>,
    reports: Vec<StepReport>,
    pub(super) scratch: Scratch,
    /// Inputs that are computed at once.
    pub(super) copies: usize,
    /// Weights packed ahead, by operator.
    layers: &'m [(usize, Prepared)],
}

/// Compiles `model`, which is valid, for `copies` inputs at once and for `isa`, which is available and for which `layers` were packed, if
/// any are given.
pub(super) fn compile(
    model: &Model,
    isa: Isa,
    layers: &[(usize, Prepared)],
    copies: usize,
) -> Result<Engine> {
    let mut compiler = Compiler {
        model,
        isa,
        buffer_of: vec![None; model.tensors.len()],
        buffers: Vec::new(),
        padded: vec![None; model.tensors.len()],
        signs: vec![false; model.tensors.len()],
        steps: Vec::new(),
        reports: Vec::new(),
        scratch: Scratch::default(),
        copies: copies.clamp(1, MAX_COPIES),
        layers,
    };
    let (first, last, operators) = ends(model)?;
    let input = compiler.end(first)?;
    compiler.buffer_of[first] = Some(0);
    compiler.padded[first] = lower::padding_for(&compiler, first);
    compiler.buffers.push(Buffer {
        bytes: compiler.padded[first].as_ref().map_or(input.1, Pad::bytes),
        first: 0,
        last: 0,
    });
    for (number, operator) in operators {
        lower::lower(&mut compiler, number, operator).map_err(|e| {
            Error::invalid(format!(
                "operator {number} ({}) cannot be run: {e}",
                operator.kind.name()
            ))
        })?;
    }
    let output = compiler.end(last)?;
    let padded = compiler.padded[first].take();
    let buffer = compiler.read(last)?;
    compiler.buffers[buffer].last = compiler.steps.len();
    let bordered = compiler.bordered(padded.is_some());
    let (each, total, once) = plan::place_bordered(&compiler.buffers, &bordered, compiler.copies);
    if total > MAX_ARENA_BYTES {
        return Err(Error::invalid(format!(
            "the model needs {total} bytes of activations"
        )));
    }
    let regions = plan::whole(&each);
    for step in &mut compiler.steps {
        if let Step::Linear { layer, input, output } = step {
            if layer.wide {
                layer.spread(each[0][*input].len(), each[0][*output].len());
                compiler.scratch.fit_linear(isa, layer);
            }
        }
    }
    for report in &mut compiler.reports {
        report.arena_bytes = each[0][report.buffer].len();
    }
    let mut arena = vec![0u8; total + LINE];
    let base = arena.as_ptr().align_offset(LINE).min(LINE);
    if once {
        for regions in &each {
            let mut border = |pad: &Pad, buffer: usize| {
                let region = &regions[buffer];
                pad.border(&mut arena[base + region.start..base + region.end]);
            };
            if let Some(pad) = &padded {
                border(pad, 0);
            }
            for step in &compiler.steps {
                if let Step::Border { layer, output } = step {
                    border(layer, *output);
                }
            }
        }
        compiler.drop_borders();
    }
    Ok(Engine {
        isa,
        steps: compiler.steps,
        reports: compiler.reports,
        regions,
        each,
        arena,
        base,
        scratch: compiler.scratch,
        input: End {
            buffer: 0,
            count: input.1,
            affine: input.0,
        },
        padded,
        bordered_once: once,
        output: End {
            buffer,
            count: output.1,
            affine: output.0,
        },
        metadata: BTreeMap::new(),
    })
}

/// The int8 tensors where the graph begins and ends, and the operators between, without float ends.
#[expect(
    clippy::type_complexity,
    reason = "a list of numbered operators is used once, here"
)]
fn ends(model: &Model) -> Result<(usize, usize, Vec<(usize, &Operator)>)> {
    let (&[mut first], &[mut last]) = (model.inputs.as_slice(), model.outputs.as_slice()) else {
        return Err(Error::invalid(
            "only models with one input and one output are run",
        ));
    };
    let mut operators: Vec<(usize, &Operator)> = model.operators.iter().enumerate().collect();
    if model.tensor(first)?.element == Element::F32 {
        let readers = operators
            .iter()
            .filter(|(_, o)| o.inputs.contains(&Some(first)))
            .count();
        let at = operators
            .iter()
            .position(|(_, o)| o.kind == Kind::Quantize && o.inputs.contains(&Some(first)));
        match (readers, at) {
            (1, Some(at)) => first = operators.remove(at).1.outputs[0],
            _ => return Err(Error::invalid("a float model must be quantized before it is run")),
        }
    }
    if model.tensor(last)?.element == Element::F32 {
        let at = operators
            .iter()
            .position(|(_, o)| o.kind == Kind::Dequantize && o.outputs[0] == last);
        let before = at.and_then(|at| operators.remove(at).1.inputs.first().copied().flatten());
        last = before.ok_or_else(|| Error::invalid("a float model must be quantized before it is run"))?;
    }
    Ok((first, last, operators))
}

impl<'m> Compiler<'m> {
    fn end(&self, tensor: usize) -> Result<(Affine, usize)> {
        let tensor = self.model.tensor(tensor)?;
        if tensor.element != Element::I8 {
            return Err(Error::invalid(format!(
                "tensor {:?} at the model's end is not int8",
                tensor.name
            )));
        }
        Ok((tensor.affine()?, tensor.count()))
    }

    /// The weights of operator `number`, if they were packed ahead.
    pub(super) fn prepared(&self, number: usize) -> Option<&'m Prepared> {
        let at = self.layers.binary_search_by_key(&number, |(n, _)| *n).ok()?;
        self.layers.get(at).map(|(_, prepared)| prepared)
    }

    /// Input `position` of `operator`, which must be present.
    pub(super) fn input(&self, operator: &Operator, position: usize) -> Result<(usize, &'m Tensor)> {
        let index = self
            .optional(operator, position)
            .ok_or_else(|| Error::invalid(format!("its input {position} is missing")))?;
        Ok((index, self.model.tensor(index)?))
    }

    /// Input `position` of `operator`, if present.
    pub(super) fn optional(&self, operator: &Operator, position: usize) -> Option<usize> {
        operator.inputs.get(position).copied().flatten()
    }

    /// The buffer of a tensor that the step being made reads.
    pub(super) fn read(&mut self, tensor: usize) -> Result<usize> {
        let buffer = self.buffer_of.get(tensor).copied().flatten().ok_or_else(|| {
            Error::invalid(format!(
                "tensor {tensor} is constant where a computed one is needed"
            ))
        })?;
        self.buffers[buffer].last = self.buffers[buffer].last.max(self.steps.len());
        Ok(buffer)
    }

    /// A new buffer for a tensor that the step being made writes: one byte per number.
    pub(super) fn write(&mut self, tensor: usize) -> Result<usize> {
        let bytes = self.model.tensor(tensor)?.count();
        let buffer = self.temporary(bytes);
        self.buffer_of[tensor] = Some(buffer);
        Ok(buffer)
    }

    /// A new buffer for an image that the step being made writes, with what its reader wants around it.
    pub(super) fn write_padded(&mut self, tensor: usize, pad: Pad) -> usize {
        let buffer = self.temporary(pad.bytes());
        self.buffer_of[tensor] = Some(buffer);
        self.padded[tensor] = Some(pad.clone());
        self.push_hidden(Step::Border {
            layer: Box::new(pad),
            output: buffer,
        });
        self.touch(buffer);
        buffer
    }

    /// A new buffer of `bytes` for a tensor that the step being made writes as words of signs.
    pub(super) fn write_signs(&mut self, tensor: usize, bytes: usize) -> usize {
        let buffer = self.temporary(bytes);
        self.buffer_of[tensor] = Some(buffer);
        self.signs[tensor] = true;
        buffer
    }

    /// Whether `tensor` is kept as words of signs.
    pub(super) fn is_signs(&self, tensor: usize) -> bool {
        self.signs.get(tensor) == Some(&true)
    }

    /// The padded image in which `tensor` lies, if it does.
    pub(super) fn padded(&self, tensor: usize) -> Option<&Pad> {
        self.padded.get(tensor).and_then(Option::as_ref)
    }

    /// A new buffer that only the step being made uses.
    pub(super) fn temporary(&mut self, bytes: usize) -> usize {
        let now = self.steps.len();
        self.buffers.push(Buffer {
            bytes,
            first: now,
            last: now,
        });
        self.buffers.len() - 1
    }

    /// Makes `to` another name of `from`.
    pub(super) fn alias(&mut self, from: usize, to: usize) -> Result<()> {
        let buffer = self.read(from)?;
        self.buffer_of[to] = Some(buffer);
        Ok(())
    }

    /// Keeps a buffer that was read before a hidden step was added for the step being made.
    pub(super) fn read_again(&mut self, buffer: usize) {
        self.touch(buffer);
    }

    /// Keeps a temporary buffer for the step being made.
    pub(super) fn touch(&mut self, buffer: usize) {
        self.buffers[buffer].last = self.buffers[buffer].last.max(self.steps.len());
    }

    /// Makes sure that `bytes` can be read from `buffer`.
    pub(super) fn reach(&mut self, buffer: usize, bytes: usize) {
        let buffer = &mut self.buffers[buffer];
        buffer.bytes = buffer.bytes.max(bytes.saturating_sub(LINE));
    }

    /// Buffers that hold a border around what is written to them; the first one, too, if it is `padded`.
    fn bordered(&self, padded: bool) -> Vec<usize> {
        let borders = self.steps.iter().filter_map(|step| match step {
            Step::Border { output, .. } => Some(*output),
            _ => None,
        });
        padded.then_some(0).into_iter().chain(borders).collect()
    }

    /// Takes out the steps that write borders, which are there already.
    fn drop_borders(&mut self) {
        let mut dropped = 0;
        let mut places = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            places.push(places.len() - dropped);
            dropped += usize::from(matches!(step, Step::Border { .. }));
        }
        self.steps.retain(|step| !matches!(step, Step::Border { .. }));
        for report in &mut self.reports {
            report.step = places.get(report.step).copied().unwrap_or(report.step);
        }
    }

    /// Adds a step whose result is not a tensor of the model.
    pub(super) fn push_hidden(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// Adds the step that computes `tensor` for operator `number`.
    pub(super) fn push(&mut self, number: usize, tensor: usize, step: Step, cost: Cost) -> Result<()> {
        let result = self.model.tensor(tensor)?;
        self.reports.push(StepReport {
            operator: number,
            step: self.steps.len(),
            name: self.model.operators[number].kind.name(),
            kernel: cost.kernel,
            shape: result.shape.clone(),
            macs: cost.macs,
            weight_bytes: cost.weight_bytes,
            arena_bytes: 0,
            count: result.count(),
            buffer: self.buffer_of[tensor].unwrap_or(0),
            padded: self.padded[tensor].clone(),
            signs: self.is_signs(tensor),
        });
        self.steps.push(step);
        Ok(())
    }
}

/// What a step costs.
pub(super) struct Cost {
    pub(super) kernel: String,
    pub(super) macs: u64,
    pub(super) weight_bytes: usize,
}
