//! What an operator became, for people who want to know where time and memory go.

use crate::kernel::pool::Pad;

/// One compiled operator.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// Its number in the model.
    pub operator: usize,
    /// Its kind.
    pub name: &'static str,
    /// The kernel that runs it.
    pub kernel: String,
    /// Shape of its result.
    pub shape: Vec<usize>,
    /// Multiply-accumulates per run.
    pub macs: u64,
    /// Bytes of weights and parameters, as packed.
    pub weight_bytes: usize,
    /// Bytes of its result in the arena, with what its reader wants around it.
    pub arena_bytes: usize,
    /// The step that computes its result.
    pub(super) step: usize,
    /// Numbers in its result.
    pub(super) count: usize,
    /// Buffer of its result.
    pub(super) buffer: usize,
    /// The padded image in which its result lies, if it does.
    pub(super) padded: Option<Pad>,
    /// Whether its result is words of signs instead of bytes.
    pub(super) signs: bool,
}

/// Multiply-accumulates per nanosecond of convolutions and dense layers, and of depthwise layers, as measured on one
/// core of 3.7 GHz in nets of 0.1 to 12 million.
const RATES: [(&str, f64, f64); 6] = [
    ("avx512-vnni", 150.0, 29.0),
    ("avx-vnni", 110.0, 14.0),
    // Never timed: as portable.
    ("dotprod", 25.0, 9.0),
    ("avx2", 55.0, 14.0),
    ("portable", 25.0, 9.0),
    ("plain", 6.0, 3.0),
];
/// Nanoseconds of an operator that computes next to nothing.
const FIXED_NS: f64 = 20.0;
/// Results per nanosecond of operators that gather and move numbers.
const MOVED: f64 = 8.0;

impl StepReport {
    /// A guess at its time in nanoseconds, from its size alone; see `silt model bench` for times.
    pub fn predicted_ns(&self) -> f64 {
        let rates = RATES.iter().find(|(name, ..)| *name == self.kernel);
        let rate = match (rates, self.name) {
            (Some((_, _, depthwise)), "DEPTHWISE_CONV_2D") => *depthwise,
            (Some((_, linear, _)), _) => *linear,
            (None, _) => MOVED,
        };
        FIXED_NS + self.macs as f64 / rate + self.count as f64 / MOVED
    }
}
