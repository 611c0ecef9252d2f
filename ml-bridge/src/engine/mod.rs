//! A compiled model: packed weights, one arena, a list of steps; nothing is allocated while it runs.
//!
//! [`Engine::new`] checks the model, drops reshapes, folds float ends into the caller's quantizer, packs weights for
//! this processor and places all activations in one arena by their lifetimes. Bytes in the arena are `q + 128`.

mod bench;
mod compile;
mod lower;
mod open;
mod plan;
mod report;
mod step;

use std::collections::BTreeMap;

use crate::kernel::pool::Pad;
use crate::kernel::{Isa, Memory, Scratch};
use crate::model::{Affine, Model};
use crate::{Error, Result};

pub use bench::{BATCH, Bench, Class, bench};
pub use open::to_bytes_packed;
pub use report::StepReport;
use step::Step;

/// A model ready to run on this processor.
#[derive(Debug, Clone)]
pub struct Engine {
    isa: Isa,
    steps: Vec<Step>,
    reports: Vec<StepReport>,
    /// Where each buffer lies in the arena, with all its copies.
    regions: Vec<std::ops::Range<usize>>,
    /// The same for each input that is computed at once.
    each: Vec<Vec<std::ops::Range<usize>>>,
    arena: Vec<u8>,
    /// First arena byte in use, so that buffers start on cache lines.
    base: usize,
    scratch: Scratch,
    input: End,
    /// The padded image that the first operator wants as input.
    padded: Option<Pad>,
    /// Whether borders of padded images are there already, and nothing else is ever written to them.
    bordered_once: bool,
    output: End,
    metadata: BTreeMap<String, String>,
}

/// One end of the graph.
#[derive(Debug, Clone, Copy, PartialEq)]
struct End {
    buffer: usize,
    count: usize,
    affine: Affine,
}

impl Engine {
    /// Compiles `model` for the best kernels of this processor.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] naming the operator that is unknown or does not fit.
    pub fn new(model: &Model) -> Result<Self> {
        Engine::with_isa(model, Isa::best())
    }

    /// Compiles `model` for the kernels of `isa`.
    ///
    /// # Errors
    /// As [`Engine::new`], and if this processor does not have them.
    pub fn with_isa(model: &Model, isa: Isa) -> Result<Self> {
        Engine::available(isa)?;
        model.validate()?;
        compile::compile(model, isa, &[], 1)
    }

    /// Compiles `model` for the best kernels of this processor, to compute `copies` inputs at once, 1 to 1024, with
    /// [`Engine::run_batch`]. Layers whose results lie in one row, such as dense ones and convolutions along time, read
    /// their weights once for all of them. The arena grows with `copies`.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub fn with_batch(model: &Model, copies: usize) -> Result<Self> {
        Engine::with_isa_and_batch(model, Isa::best(), copies)
    }

    /// As [`Engine::with_batch`], for the kernels of `isa`.
    ///
    /// # Errors
    /// As [`Engine::with_isa`].
    pub fn with_isa_and_batch(model: &Model, isa: Isa, copies: usize) -> Result<Self> {
        Engine::available(isa)?;
        model.validate()?;
        compile::compile(model, isa, &[], copies)
    }

    /// Inputs that [`Engine::run_batch`] computes at once.
    pub fn copies(&self) -> usize {
        self.each.len()
    }

    /// Refuses kernels that this processor cannot run.
    fn available(isa: Isa) -> Result<()> {
        if Isa::available().contains(&isa) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "this processor has no {} instructions",
            isa.name()
        )))
    }

    /// Numbers in one input.
    pub fn input_count(&self) -> usize {
        self.input.count
    }

    /// Numbers in one output.
    pub fn output_count(&self) -> usize {
        self.output.count
    }

    /// What an input byte means.
    pub fn input_quantization(&self) -> Affine {
        self.input.affine
    }

    /// What an output byte means.
    pub fn output_quantization(&self) -> Affine {
        self.output.affine
    }

    /// The words of the file that it was opened from; none if it was made from a model.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The kernels in use.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Bytes of the arena, including scratch.
    pub fn arena_bytes(&self) -> usize {
        self.arena.len() + self.scratch.bytes()
    }

    /// What each operator became.
    pub fn steps(&self) -> &[StepReport] {
        &self.reports
    }

    /// Whether layers keep something from one run to the next.
    pub fn has_memory(&self) -> bool {
        !self.scratch.memories.is_empty()
    }

    /// Forgets what layers kept from earlier runs, as at the start.
    pub fn reset(&mut self) {
        self.scratch.memories.iter_mut().for_each(Memory::reset);
    }

    /// Computes one output from one input. Recurrent layers go on from the run before; see [`Engine::reset`].
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if a slice has the wrong length.
    pub fn run(&mut self, input: &[i8], output: &mut [i8]) -> Result<()> {
        self.check(input.len(), output.len(), 1)?;
        self.one(input, output);
        Ok(())
    }

    /// Computes `count` outputs from as many inputs, one behind the other.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if a slice has the wrong length.
    pub fn run_batch(&mut self, inputs: &[i8], outputs: &mut [i8], count: usize) -> Result<()> {
        self.check(inputs.len(), outputs.len(), count)?;
        let sizes = (self.input.count.max(1), self.output.count.max(1));
        let copies = self.copies();
        let inputs = inputs.chunks(sizes.0 * copies);
        for (inputs, outputs) in inputs.zip(outputs.chunks_mut(sizes.1 * copies)) {
            for (copy, input) in inputs.chunks_exact(sizes.0).enumerate() {
                self.load(copy, input);
            }
            self.all(inputs.len() / sizes.0);
            for (copy, output) in outputs.chunks_exact_mut(sizes.1).enumerate() {
                self.store(copy, output);
            }
        }
        Ok(())
    }

    /// Computes one output and shows every operator's result on the way: its number in the model, and its bytes. Results
    /// that are kept as signs between two layers of signs are left out.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub fn run_traced(
        &mut self,
        input: &[i8],
        output: &mut [i8],
        mut see: impl FnMut(usize, &[i8]),
    ) -> Result<()> {
        self.check(input.len(), output.len(), 1)?;
        self.load(0, input);
        for number in 0..self.steps.len() {
            self.step(number, 1);
            let Some(report) = self.reports.iter().find(|r| r.step == number && !r.signs) else {
                continue;
            };
            let region = &self.each[0][report.buffer];
            let bytes = &self.arena[self.base + region.start..self.base + region.end];
            let flip = |b: &u8| (b ^ 0x80) as i8;
            let plain: Vec<i8> = match &report.padded {
                Some(pad) => bytes[pad.start()..]
                    .chunks(pad.pitch())
                    .take(pad.rows)
                    .flat_map(|row| row[..pad.row].iter().map(flip))
                    .collect(),
                None => bytes[..report.count].iter().map(flip).collect(),
            };
            see(report.operator, &plain);
        }
        self.store(0, output);
        Ok(())
    }

    fn check(&self, input: usize, output: usize, count: usize) -> Result<()> {
        let want = (
            self.input.count.saturating_mul(count),
            self.output.count.saturating_mul(count),
        );
        if (input, output) == want {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "the model takes {} numbers and gives {}, not {input} and {output}",
            want.0, want.1
        )))
    }

    fn one(&mut self, input: &[i8], output: &mut [i8]) {
        self.load(0, input);
        self.all(1);
        self.store(0, output);
    }

    fn load(&mut self, copy: usize, input: &[i8]) {
        let region = &self.each[copy][self.input.buffer];
        let buffer = &mut self.arena[self.base + region.start..self.base + region.end];
        let Some(pad) = &self.padded else {
            flip(input, buffer);
            return;
        };
        if !self.bordered_once {
            pad.border(buffer);
        }
        let rows = buffer[pad.start()..].chunks_mut(pad.pitch()).take(pad.rows);
        for (to, from) in rows.zip(input.chunks_exact(pad.row)) {
            flip(from, to);
        }
    }

    fn store(&self, copy: usize, output: &mut [i8]) {
        let start = self.base + self.each[copy][self.output.buffer].start;
        for (to, from) in output.iter_mut().zip(&self.arena[start..]) {
            *to = (from ^ 0x80) as i8;
        }
    }

    /// Runs all steps for the first `count` inputs.
    fn all(&mut self, count: usize) {
        if self.each.len() > 1 {
            (0..self.steps.len()).for_each(|number| self.step(number, count));
            return;
        }
        let arena = &mut self.arena[self.base..];
        for step in &self.steps {
            step.run(self.isa, arena, &self.regions, &mut self.scratch);
        }
    }

    /// Runs step `number` for the first `count` inputs.
    #[inline]
    fn step(&mut self, number: usize, count: usize) {
        let arena = &mut self.arena[self.base..];
        let step = &self.steps[number];
        if self.each.len() == 1 || step.is_wide() {
            return step.run(self.isa, arena, &self.regions, &mut self.scratch);
        }
        for regions in &self.each[..count] {
            step.run(self.isa, arena, regions, &mut self.scratch);
        }
    }
}

/// Stores int8 numbers as the bytes that kernels want.
#[inline]
fn flip(from: &[i8], to: &mut [u8]) {
    let whole = if from.len() <= 64 { from.len() / 8 * 8 } else { 0 };
    for (to, from) in to.chunks_exact_mut(8).zip(from[..whole].chunks_exact(8)) {
        for (to, from) in to.iter_mut().zip(from) {
            *to = *from as u8 ^ 0x80;
        }
    }
    for (to, from) in to[whole..].iter_mut().zip(&from[whole..]) {
        *to = *from as u8 ^ 0x80;
    }
}
