//! One step of a compiled model, and how it finds its bytes.

use std::ops::Range;

use super::plan::LINE;
use crate::kernel::bits::{self, Signs};
use crate::kernel::depthwise::Depthwise;
use crate::kernel::linear::Linear;
use crate::kernel::lstm::{self, Lstm};
use crate::kernel::mean::Mean;
use crate::kernel::pointwise::{Binary, Table};
use crate::kernel::pool::{Pad, Pool};
use crate::kernel::softmax::Softmax;
use crate::kernel::svdf::{self, Svdf};
use crate::kernel::{self, Isa, Memory, Scratch};

/// What runs, with the buffers that it reads and writes.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// A dense layer or convolution.
    Linear {
        layer: Box<Linear>,
        input: usize,
        output: usize,
    },
    /// A depthwise convolution.
    Depthwise {
        layer: Box<Depthwise>,
        input: usize,
        output: usize,
    },
    /// A copy into a larger image.
    Pad {
        layer: Box<Pad>,
        input: usize,
        output: usize,
    },
    /// What lies around an image that the next step writes.
    Border { layer: Box<Pad>, output: usize },
    /// An average or maximum over windows.
    Pool {
        layer: Box<Pool>,
        input: usize,
        output: usize,
    },
    /// A mean over dimensions.
    Mean {
        layer: Box<Mean>,
        input: usize,
        output: usize,
        count: usize,
    },
    /// A function of single bytes.
    Table {
        table: Box<Table>,
        input: usize,
        output: usize,
        count: usize,
    },
    /// Softmax over rows.
    Softmax {
        layer: Box<Softmax>,
        input: usize,
        output: usize,
        count: usize,
    },
    /// A sum, difference or product of `count` results.
    Binary {
        layer: Box<Binary>,
        left: Source,
        right: Source,
        output: usize,
        count: usize,
    },
    /// `outer` times: a block of each part, one behind the other, `whole` bytes together.
    Concatenation {
        parts: Vec<Part>,
        outer: usize,
        whole: usize,
        output: usize,
    },
    /// A layer of signs.
    Signs {
        layer: Box<Signs>,
        input: usize,
        output: usize,
    },
    /// A layer that keeps entry `memory` of [`Scratch::memories`].
    Recurrent {
        layer: Box<Recurrent>,
        memory: usize,
        input: usize,
        output: usize,
    },
}

/// One of the tensors that are joined.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// Where it lies.
    pub(super) source: Source,
    /// Bytes of it in a row of the result.
    pub(super) block: usize,
    /// What its bytes become, where they mean something else.
    pub(super) table: Option<Box<Table>>,
}

/// A layer with a memory.
#[derive(Debug, Clone)]
pub(super) enum Recurrent {
    /// Long short-term memory.
    Lstm(Lstm),
    /// Filters in time.
    Svdf(Svdf),
}

impl Recurrent {
    fn run(&self, isa: Isa, memory: &mut Memory, input: &[u8], output: &mut [u8]) {
        match self {
            Recurrent::Lstm(layer) => lstm::run(isa, layer, memory, input, &mut output[..layer.outputs()]),
            Recurrent::Svdf(layer) => svdf::run(isa, layer, memory, input, &mut output[..layer.outputs()]),
        }
    }
}

/// One side of a [`Step::Binary`].
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// A buffer and how much of it.
    Buffer(usize, usize),
    /// Constant bytes.
    Constant(Vec<u8>),
}

impl Step {
    /// Whether one run serves all inputs of a batch.
    pub(super) fn is_wide(&self) -> bool {
        matches!(self, Step::Linear { layer, .. } if layer.wide)
    }

    /// Runs the step; `regions` says where in `arena` each buffer lies.
    #[inline]
    pub(super) fn run(&self, isa: Isa, arena: &mut [u8], regions: &[Range<usize>], scratch: &mut Scratch) {
        match self {
            Step::Linear { layer, input, output } => {
                let (input, output) = (&regions[*input], &regions[*output]);
                if kernel::linear_within(isa, layer, arena, input, output) {
                    return;
                }
                let (input, output) = pair(arena, input, output);
                kernel::linear(isa, layer, input, output, scratch);
            }
            Step::Depthwise { layer, input, output } => {
                let (input, output) = pair(arena, &regions[*input], &regions[*output]);
                let results = layer.window.size[0] * layer.window.size[1] * layer.window.channels;
                kernel::depthwise(isa, layer, input, &mut output[..results], scratch);
            }
            Step::Pad { layer, input, output } => {
                let (input, output) = pair(arena, &regions[*input], &regions[*output]);
                layer.run(input, output);
            }
            Step::Border { layer, output } => layer.border(&mut arena[regions[*output].clone()]),
            Step::Pool { layer, input, output } => {
                let (input, output) = pair(arena, &regions[*input], &regions[*output]);
                let results = layer.output[0] * layer.output[1] * layer.channels;
                layer.run(isa, input, &mut output[..results]);
            }
            Step::Mean {
                layer,
                input,
                output,
                count,
            } => {
                let (input, output) = pair(arena, &regions[*input], &regions[*output]);
                layer.run(isa, input, &mut output[..*count], &mut scratch.sums);
            }
            Step::Table {
                table,
                input,
                output,
                count,
            } => {
                let (input, output) = pair(arena, &regions[*input], &regions[*output]);
                // Whole lines where there is room: ends of their own take longer.
                let whole = count.next_multiple_of(LINE);
                let fits = isa == Isa::Vnni && whole <= input.len().min(output.len());
                let count = if fits { whole } else { *count };
                kernel::look_up(isa, table, &input[..count], &mut output[..count]);
            }
            Step::Softmax {
                layer,
                input,
                output,
                count,
            } => {
                let (input, output) = pair(arena, &regions[*input], &regions[*output]);
                layer.run(input, &mut output[..*count]);
            }
            Step::Binary {
                layer,
                left,
                right,
                output,
                count,
            } => {
                let (below, output, above) = around(arena, &regions[*output]);
                let left = left.bytes(below, above, regions);
                let right = right.bytes(below, above, regions);
                kernel::binary(isa, layer, left, right, &mut output[..*count]);
            }
            Step::Signs { layer, input, output } => {
                let (input, output) = pair(arena, &regions[*input], &regions[*output]);
                bits::run(isa, layer, input, &mut output[..layer.results()], scratch);
            }
            Step::Recurrent {
                layer,
                memory,
                input,
                output,
            } => {
                let (input, output) = pair(arena, &regions[*input], &regions[*output]);
                if let Some(memory) = scratch.memories.get_mut(*memory) {
                    layer.run(isa, memory, input, output);
                }
            }
            Step::Concatenation {
                parts,
                outer,
                whole,
                output,
            } => {
                let (below, output, above) = around(arena, &regions[*output]);
                let mut start = 0;
                for Part { source, block, table } in parts {
                    let input = source.bytes(below, above, regions);
                    for (from, to) in input
                        .chunks_exact(*block)
                        .zip(output.chunks_mut(*whole))
                        .take(*outer)
                    {
                        let to = &mut to[start..start + block];
                        match table {
                            None => to.copy_from_slice(from),
                            Some(table) => kernel::look_up(isa, table, from, to),
                        }
                    }
                    start += block;
                }
            }
        }
    }
}

/// What lies outside a region, and from which arena byte on.
type Outside<'a> = (&'a [u8], usize);

impl Source {
    fn bytes<'a>(&'a self, below: Outside<'a>, above: Outside<'a>, regions: &[Range<usize>]) -> &'a [u8] {
        match self {
            Source::Constant(bytes) => bytes,
            Source::Buffer(buffer, count) => &Source::region(&regions[*buffer], below, above)[..*count],
        }
    }

    fn region<'a>(region: &Range<usize>, below: Outside<'a>, above: Outside<'a>) -> &'a [u8] {
        let (part, start) = if region.start < above.1 { below } else { above };
        &part[region.start - start..region.end - start]
    }
}

/// The arena below a region, the region, and the arena above it.
#[inline]
fn around<'a>(arena: &'a mut [u8], write: &Range<usize>) -> (Outside<'a>, &'a mut [u8], Outside<'a>) {
    let (below, rest) = arena.split_at_mut(write.start);
    let (output, above) = rest.split_at_mut(write.len());
    ((below, 0), output, (above, write.end))
}

/// The bytes of a region that is read and of another that is written.
#[inline(always)]
fn pair<'a>(arena: &'a mut [u8], read: &Range<usize>, write: &Range<usize>) -> (&'a [u8], &'a mut [u8]) {
    debug_assert!(read.end <= write.start || write.end <= read.start);
    if read.start < write.start {
        let (left, right) = arena.split_at_mut(write.start);
        (&left[read.clone()], &mut right[..write.len()])
    } else {
        let (left, right) = arena.split_at_mut(read.start);
        (&right[..read.len()], &mut left[write.clone()])
    }
}
