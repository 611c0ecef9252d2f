//! One step of a compiled model, and how it finds its bytes.

use std::ops::Range;

use crate::kernel::{self, Isa, linear::Linear};

/// What runs, with the buffers that it reads and writes.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// A dense layer or convolution.
    Linear {
        layer: Box<Linear>,
        input: usize,
        output: usize,
    },
}

impl Step {
    /// Runs the step; `regions` says where in `arena` each buffer lies.
    #[inline]
    pub(super) fn run(&self, isa: Isa, arena: &mut [u8], regions: &[Range<usize>], scratch: &mut [i16]) {
        match self {
            Step::Linear { layer, input, output } => {
                let (input, output) = pair(arena, &regions[*input], &regions[*output]);
                let results = layer.geometry.positions() * layer.outputs;
                kernel::linear(isa, layer, input, &mut output[..results], scratch);
            }
        }
    }
}

/// The bytes of a region that is read and of another that is written.
#[inline]
pub(super) fn pair<'a>(
    arena: &'a mut [u8],
    read: &Range<usize>,
    write: &Range<usize>,
) -> (&'a [u8], &'a mut [u8]) {
    debug_assert!(read.end <= write.start || write.end <= read.start);
    if read.start < write.start {
        let (left, right) = arena.split_at_mut(write.start);
        (&left[read.clone()], &mut right[..write.len()])
    } else {
        let (left, right) = arena.split_at_mut(read.start);
        (&right[..read.len()], &mut left[write.clone()])
    }
}
