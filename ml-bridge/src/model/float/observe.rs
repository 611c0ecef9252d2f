//! What the tensors of a float model hold on typical windows.

use super::convert;
use super::run::Runner;
use crate::model::Model;
use crate::{Error, Result};

/// Runs a float model on windows and remembers the ends of each tensor.
#[derive(Debug)]
pub struct Calibrator<'m> {
    runner: Runner<'m>,
    /// Per tensor, the smallest and the largest number of each window.
    ends: Vec<Vec<[f32; 2]>>,
    windows: usize,
}

impl<'m> Calibrator<'m> {
    /// Most windows that are taken; further ones are refused.
    pub const MAX_WINDOWS: usize = 1 << 14;

    /// A calibrator for `model`, which stays as it is.
    ///
    /// # Errors
    /// `InvalidArgument` naming what cannot be run in floats or would take too much memory.
    pub fn new(model: &'m Model) -> Result<Self> {
        Ok(Calibrator {
            runner: Runner::new(model)?,
            ends: vec![Vec::new(); model.tensors.len()],
            windows: 0,
        })
    }

    /// Numbers in one window.
    pub fn input_count(&self) -> usize {
        self.runner.input_count()
    }

    /// Windows seen so far.
    pub fn windows(&self) -> usize {
        self.windows
    }

    /// Runs the model on one window; the result is its output.
    ///
    /// # Errors
    /// `InvalidArgument` if the window has another length or numbers that are not finite, if there were too many, or
    /// naming an operator that cannot be run.
    pub fn observe(&mut self, window: &[f32]) -> Result<&[f32]> {
        if self.windows >= Self::MAX_WINDOWS {
            return Err(Error::invalid(format!(
                "at most {} windows are calibrated on",
                Self::MAX_WINDOWS
            )));
        }
        self.runner.run(window)?;
        for (ends, values) in self.ends.iter_mut().zip(self.runner.computed()) {
            let Some(first) = values.first() else {
                continue;
            };
            let start = [*first; 2];
            let now = values.iter().fold(start, |e, v| [e[0].min(*v), e[1].max(*v)]);
            if !now.iter().all(|v| v.is_finite()) {
                return Err(Error::invalid(
                    "a window takes the model to numbers that are not finite",
                ));
            }
            ends.push(now);
        }
        self.windows += 1;
        Ok(self.runner.output())
    }

    /// The int8 model. Of the windows' ends the share `tail` on each side is taken for outliers and cut off: 0 keeps
    /// all, 0.01 lets one window in a hundred saturate.
    ///
    /// # Errors
    /// `InvalidArgument` if no window was seen, or naming the operator without an int8 form.
    pub fn finish(self, tail: f64) -> Result<Model> {
        if self.windows == 0 || !(0.0..0.5).contains(&tail) {
            return Err(Error::invalid(
                "calibration needs at least one window, and a tail from 0 to below one half",
            ));
        }
        let ranges: Vec<Option<[f32; 2]>> = self.ends.into_iter().map(|ends| range(ends, tail)).collect();
        let model = convert::convert(self.runner.model(), &ranges)?;
        model.validate()?;
        Ok(model)
    }
}

/// The ends of most windows.
fn range(ends: Vec<[f32; 2]>, tail: f64) -> Option<[f32; 2]> {
    let last = ends.len().checked_sub(1)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share below one half of an index"
    )]
    let skip = (last as f64 * tail) as usize;
    let sorted = |side: usize| {
        let mut values: Vec<f32> = ends.iter().map(|e| e[side]).collect();
        values.sort_unstable_by(f32::total_cmp);
        values
    };
    Some([*sorted(0).get(skip)?, *sorted(1).get(last - skip)?])
}
