//! What a recurrent layer keeps from one run to the next, and the room it works in.

/// The memory of one layer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Memory {
    /// Cells, or rings of past activations.
    pub(super) cells: Vec<i16>,
    /// The last output, as an input of the next step.
    pub(super) outputs: Vec<i16>,
    /// What `outputs` starts with.
    pub(super) start: i16,
    /// Widened input.
    pub(super) words: Vec<i16>,
    /// Gates.
    pub(super) shorts: Vec<i16>,
    /// Sums of products.
    pub(super) sums: Vec<i32>,
    /// The row of a ring that is written next.
    pub(super) turn: usize,
}

impl Memory {
    /// Forgets everything.
    pub fn reset(&mut self) {
        self.cells.fill(0);
        self.outputs.fill(self.start);
        self.turn = 0;
    }

    /// As it is at the start.
    pub(super) fn fresh(mut self) -> Self {
        self.reset();
        self
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        2 * (self.cells.len() + self.outputs.len() + self.words.len() + self.shorts.len())
            + 4 * self.sums.len()
    }
}
