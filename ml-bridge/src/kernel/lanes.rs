//! Weights packed in lanes, for dot-product instructions.

/// See [`super::linear`]'s drawing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Lanes {}

impl Lanes {
    /// Bytes of packed weights and parameters.
    pub fn bytes(&self) -> usize {
        0
    }
}
