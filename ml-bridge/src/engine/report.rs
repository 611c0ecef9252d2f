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
    /// The step that computes its result.
    pub(super) step: usize,
    /// Numbers in its result.
    pub(super) count: usize,
    /// Buffer of its result.
    pub(super) buffer: usize,
    /// The padded image in which its result lies, if it does.
    pub(super) padded: Option<Pad>,
}
