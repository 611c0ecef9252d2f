//! What a layer holds, in lines of 64 bytes one behind the other, so that it can lie in a model file as it is used.
//!
//! ```text
//! per block of 16 outputs, or pattern of 16 lanes: 16 biases plus 2^31 (u32)
//! per block, or once if all are alike:             16 multipliers, 16 summands, 16 shifts (u32), see [`Scale`]
//! weights, in the order that the kernels want
//! ```

use std::ops::Deref;

use super::line::Line;
use super::requantize::Requantize;
use super::scale::{Bias, Scale, bias, scale};
use super::signed::{biases_of, bytes_of, lines_of, scales_of, signed};
use crate::model::Data;

/// Lines that a layer packed for itself, or that lie packed in a model file.
#[derive(Debug, Clone)]
pub enum Lines {
    /// The layer's own.
    Own(Vec<Line>),
    /// A part of a file that starts on a multiple of 64 bytes in memory and is whole lines.
    Image(Data),
}

impl Lines {
    /// The lines of `data`, in place where it lies on a cache line, else copied.
    pub fn of(data: Data) -> Self {
        if data.as_ptr().align_offset(align_of::<Line>()) == 0 && data.len() % 64 == 0 {
            return Lines::Image(data);
        }
        let line = |bytes: &[u8]| {
            let mut line = Line([0; 64]);
            line.0.copy_from_slice(signed(bytes));
            line
        };
        Lines::Own(data.chunks_exact(64).map(line).collect())
    }
}

impl Deref for Lines {
    type Target = [Line];
    #[inline]
    fn deref(&self) -> &[Line] {
        match self {
            Lines::Own(lines) => lines,
            Lines::Image(data) => lines_of(data),
        }
    }
}

impl PartialEq for Lines {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

/// Lines of a [`Scale`].
const SCALE: usize = size_of::<Scale>() / size_of::<Line>();

/// Biases, constants and weights of a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Stock {
    lines: Lines,
    /// Blocks of outputs, or patterns.
    blocks: usize,
    /// One for all blocks, or one per block.
    scales: usize,
}

/// The parts of a [`Stock`].
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// Per block.
    pub bias: &'a [Bias],
    /// One for all blocks, or one per block.
    pub scales: &'a [Scale],
    /// Weights.
    pub weights: &'a [Line],
}

impl<'a> Parts<'a> {
    /// The constants of block `block`.
    #[inline]
    pub fn scale(&self, block: usize) -> &'a Scale {
        if self.scales.len() == 1 {
            &self.scales[0]
        } else {
            &self.scales[block]
        }
    }
}

impl Stock {
    /// Biases and constants of `blocks` blocks, whose outputs `channel` gives for each block and lane, and room for
    /// `weights` lines.
    pub fn new(
        end: &Requantize,
        blocks: usize,
        channel: impl Fn(usize, usize) -> Option<usize>,
        weights: usize,
    ) -> Self {
        let uniform = end.factor.windows(2).all(|two| two[0] == two[1]);
        let scales = if uniform { blocks.min(1) } else { blocks };
        let before = blocks + scales * SCALE;
        let mut lines = Vec::with_capacity(before + weights);
        for block in 0..blocks {
            let bias = bias(end, |lane| channel(block, lane));
            lines.extend_from_slice(lines_of(bytes_of(&[bias])));
        }
        for block in 0..scales {
            let scale = scale(end, |lane| if uniform { Some(0) } else { channel(block, lane) });
            lines.extend_from_slice(lines_of(bytes_of(&[scale])));
        }
        lines.resize(before + weights, Line([0; 64]));
        Stock {
            lines: Lines::Own(lines),
            blocks,
            scales,
        }
    }

    /// That of `lines`, if they are as many as `blocks` and `weights` want.
    pub fn packed(lines: &Lines, blocks: usize, weights: usize) -> Option<Self> {
        let before = lines.len().checked_sub(weights)?.checked_sub(blocks)?;
        let scales = before / SCALE;
        let fits = before % SCALE == 0 && (scales == blocks || scales == 1);
        fits.then(|| Stock {
            lines: lines.clone(),
            blocks,
            scales,
        })
    }

    /// Its parts.
    #[inline]
    pub fn parts(&self) -> Parts<'_> {
        let (bias, rest) = self.lines.split_at(self.blocks);
        let (scales, weights) = rest.split_at(self.scales * SCALE);
        Parts {
            bias: biases_of(bias),
            scales: scales_of(scales),
            weights,
        }
    }

    /// The weights, to be written; none if they lie in a file.
    pub fn weights_mut(&mut self) -> &mut [Line] {
        match &mut self.lines {
            Lines::Own(lines) => &mut lines[self.blocks + self.scales * SCALE..],
            Lines::Image(_) => &mut [],
        }
    }

    /// All its lines.
    pub fn lines(&self) -> &Lines {
        &self.lines
    }

    /// Its bytes.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.lines)
    }
}
