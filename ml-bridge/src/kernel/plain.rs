//! Kernels in plain Rust, in loops that the compiler vectorizes; the measure for all others.
//!
//! Tile: 4 patches against one block of 16 outputs, two patch bytes a step.

use super::Scratch;
use super::depthwise::{Depthwise, Packed};
use super::doubtful::SUM_SHIFT;
use super::geometry::LANES;
use super::lanes::Group;
use super::line::Line;
use super::line::Pair;
use super::linear::{Linear, patch_at};
use super::lines::Parts;
use super::pointwise::{Binary, Combine, Fast};
use super::requantize::{Bounds, hold};
use super::scale::Scale;
use super::signed::pairs_of;
use super::taps::Taps;

/// Patches in a tile.
const TILE: usize = 4;

/// Takes 16 sums plus 2^31 back to bytes between bounds.
#[inline]
fn back(sums: &[u32; LANES], scale: &Scale, bounds: Bounds) -> [u8; LANES] {
    std::array::from_fn(|lane| hold(scale.apply(lane, sums[lane]), bounds))
}

/// Runs `layer` over `input` into `output`.
pub fn linear(layer: &Linear, input: &[u8], output: &mut [u8], scratch: &mut Scratch) {
    let (geometry, lanes) = (&layer.geometry, &layer.lanes);
    let positions = geometry.positions();
    let steps = geometry.offsets.len() * lanes.words;
    let wide = &mut scratch.words[..layer.reach()];
    for (to, from) in wide.iter_mut().zip(input) {
        *to = i16::from(*from);
    }
    let parts = lanes.stock.parts();
    for group in &lanes.groups {
        let lines = &parts.weights[group.line..][..steps];
        let pass = Pass {
            layer,
            parts,
            group,
            wide,
        };
        if positions == 1 {
            pass.single(lines, output);
            continue;
        }
        let weights = &mut scratch.weights[..steps * 2];
        Pair::widen(lines, weights);
        let tiles = positions / TILE * TILE;
        for first in (0..tiles).step_by(TILE) {
            pass.tile::<TILE>(weights, first, output);
        }
        for first in tiles..positions {
            pass.tile::<1>(weights, first, output);
        }
    }
}

/// One block of a layer on its way over all positions.
struct Pass<'a> {
    layer: &'a Linear,
    parts: Parts<'a>,
    group: &'a Group,
    wide: &'a [i16],
}

impl Pass<'_> {
    /// One patch, weights widened on the way.
    fn single(&self, lines: &[Line], output: &mut [u8]) {
        let lanes = &self.layer.lanes;
        let mut sums = self.parts.bias[self.group.block].0;
        let rows = lines.chunks_exact(lanes.words.max(1));
        for (offset, lines) in self.layer.geometry.offsets.iter().zip(rows) {
            let x = &self.wide[*offset..][..lanes.words * 4];
            for (line, x) in lines.iter().zip(x.chunks_exact(4)) {
                for (weights, x) in line.0.chunks_exact(32).zip(x.chunks_exact(2)) {
                    let wide: [i16; 32] = std::array::from_fn(|n| i16::from(weights[n]));
                    multiply(&wide, [x[0], x[1]], &mut sums);
                }
            }
        }
        self.emit(&[sums], 0, output);
    }

    /// Positions `first` and following.
    #[inline]
    fn tile<const M: usize>(&self, weights: &[Pair], first: usize, output: &mut [u8]) {
        let (layer, lanes) = (self.layer, &self.layer.lanes);
        let mut sums = [self.parts.bias[self.group.block].0; M];
        let starts: [usize; M] = std::array::from_fn(|n| patch_at(&layer.geometry, first + n));
        let rows = weights.chunks_exact((lanes.words * 2).max(1));
        for (offset, weights) in layer.geometry.offsets.iter().zip(rows) {
            let x: [&[i16]; M] =
                std::array::from_fn(|n| &self.wide[starts[n] + offset..][..weights.len() * 2]);
            for (step, weights) in weights.iter().enumerate() {
                for (x, sums) in x.iter().zip(&mut sums) {
                    multiply(&weights.0, [x[2 * step], x[2 * step + 1]], sums);
                }
            }
        }
        self.emit(&sums, first, output);
    }

    /// Takes the sums of positions `first` and following back to bytes.
    fn emit(&self, sums: &[[u32; LANES]], first: usize, output: &mut [u8]) {
        let (layer, group, lanes) = (self.layer, self.group, &self.layer.lanes);
        for (position, sums) in (first..).zip(sums) {
            let at = layer.place.at(position, layer.outputs) + group.first;
            let results = &mut output[at..][..group.outputs];
            if lanes.exact {
                let bytes = back(sums, self.parts.scale(group.block), layer.end.bounds);
                results.copy_from_slice(&bytes[..group.outputs]);
            } else {
                for ((channel, to), sum) in (group.first..).zip(results).zip(sums) {
                    *to = layer.end.scale(channel, sum.wrapping_add(1 << 31) as i32);
                }
            }
        }
    }
}

/// Adds the products of two numbers of a patch with their weights.
#[inline]
fn multiply(weights: &[i16; 32], [first, second]: [i16; 2], sums: &mut [u32; LANES]) {
    for (lane, sum) in sums.iter_mut().enumerate() {
        let products = i32::from(first) * i32::from(weights[2 * lane])
            + i32::from(second) * i32::from(weights[2 * lane + 1]);
        *sum = sum.wrapping_add(products as u32);
    }
}

/// Runs `layer` over `input` into `output`.
pub fn depthwise(layer: &Depthwise, input: &[u8], output: &mut [u8]) {
    let Packed::Taps(taps) = &layer.packed else {
        debug_assert!(false, "weights packed for another kernel");
        return;
    };
    let parts = taps.stock.parts();
    let results = taps.runs * taps.run;
    for (row, output) in output.chunks_exact_mut(results.max(1)).enumerate() {
        let input = &input[row * taps.row_step..];
        for (number, output) in output.chunks_exact_mut(taps.run.max(1)).enumerate() {
            let input = &input[number * taps.run_step..];
            for (block, output) in output.chunks_mut(LANES).enumerate() {
                let pattern = block % taps.patterns;
                let sums = block_sums(taps, &parts, pattern, &input[block * LANES..]);
                if taps.exact {
                    let bytes = back(&sums, parts.scale(pattern), layer.end.bounds);
                    let count = output.len();
                    output.copy_from_slice(&bytes[..count]);
                } else {
                    slowly(layer, block * LANES, &sums, output);
                }
            }
        }
    }
}

/// Takes sums back one by one; lane 0 is byte `at` of its run.
#[cold]
#[inline(never)]
pub(super) fn slowly(layer: &Depthwise, at: usize, sums: &[u32; LANES], output: &mut [u8]) {
    for (lane, (byte, sum)) in output.iter_mut().zip(sums).enumerate() {
        let channel = (at + lane) % layer.window.channels;
        *byte = layer.end.scale(channel, sum.wrapping_add(1 << 31) as i32);
    }
}

#[inline]
fn block_sums(taps: &Taps, parts: &Parts<'_>, pattern: usize, input: &[u8]) -> [u32; LANES] {
    let mut sums = parts.bias[pattern].0;
    let weights = &pairs_of(parts.weights)[pattern * taps.offsets.len()..];
    for (offsets, weights) in taps.offsets.iter().zip(weights) {
        let left: &[u8] = &input[offsets[0]..][..LANES];
        let right: &[u8] = &input[offsets[1]..][..LANES];
        for (lane, sum) in sums.iter_mut().enumerate() {
            let products = i32::from(left[lane]) * i32::from(weights.0[2 * lane])
                + i32::from(right[lane]) * i32::from(weights.0[2 * lane + 1]);
            *sum = sum.wrapping_add(products as u32);
        }
    }
    sums
}

/// Combines `left` and `right`, which are as long as `output`.
pub fn binary(layer: &Binary, fast: &Fast, left: &[u8], right: &[u8], output: &mut [u8]) {
    let times = |value: i32, scale: &Scale| scale.apply(0, (value as u32).wrapping_add(1 << 31));
    let term = |value: i32, side: usize| match &fast.terms[side] {
        None => value << (SUM_SHIFT - 1),
        Some(scale) => times(value << SUM_SHIFT, scale),
    };
    for ((to, left), right) in output.iter_mut().zip(left).zip(right) {
        let left = i32::from(*left) - layer.zero_points[0];
        let right = i32::from(*right) - layer.zero_points[1];
        let raw = match layer.combine {
            Combine::Product => left * right,
            Combine::Sum { sign, .. } => term(left, 0) + sign * term(right, 1),
        };
        *to = hold(times(raw, &fast.end), layer.bounds);
    }
}
