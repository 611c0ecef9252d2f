//! Writing statistics.

#![allow(clippy::cast_possible_truncation, reason = "widths are at most 128")]

use super::line::Line;
use super::{
    BLOCK_BITS, EXACT, FAN_OUT, FINEST_STEP_BITS, GROUP, HEADER_BYTES, MORE, TREE, VOID, WIDTH_BITS,
    interpolate,
};
use crate::column::moments::{FloatSum, Moments, add_squares, add_weights, pairwise};
use crate::column::packed::{BitWriter, pad8, width_of};

/// Positions of the finest step.
const FINEST: usize = 1 << FINEST_STEP_BITS;

/// What is summed, one a position.
pub(crate) enum Summands<'a> {
    /// Exact weights, and that of exceptions.
    Weights(&'a [u64], u64),
    /// Floats.
    Floats(&'a [f64]),
}

/// How fine statistics are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    /// Steps of that many bits.
    Step(u8),
    /// The finest step whose totals between blocks take at most that many bits; blocks if none does.
    Budget(u64),
}

/// Encodes the statistics of `codes`; the places in `exceptions` (ascending) have no part in the bounds.
pub(crate) fn encode(
    codes: &[u64],
    exceptions: &[(u64, u64)],
    summands: &Summands<'_>,
    shape: Shape,
) -> Vec<u8> {
    let (bounds, mut flags) = bounds(codes, exceptions);
    let groups: Vec<(u64, u64)> = bounds
        .chunks_exact(GROUP as usize)
        .map(|group| {
            let low = group.iter().map(|b| b.0).min().unwrap_or(0);
            let high = group.iter().map(|b| b.0 + b.1).max().unwrap_or(low);
            (low, high - low)
        })
        .collect();
    let width = |numbers: &mut dyn Iterator<Item = u64>| numbers.map(width_of).max().unwrap_or(0);
    let low_width = width(&mut bounds.iter().map(|b| b.0));
    let span_width = width(&mut bounds.iter().map(|b| b.1));
    let group_width = width(&mut groups.iter().map(|b| b.1));
    let mut packed = BitWriter::default();
    for (list, span_width) in [(&bounds, span_width), (&groups, group_width)] {
        list.iter().for_each(|b| packed.push(b.0, low_width));
        list.iter().for_each(|b| packed.push(b.1, span_width));
    }
    let (form, step_bits, blank, between_bits, mut lines, tree);
    match *summands {
        Summands::Weights(weights, all_exceptions) => {
            let exact = Exact::new(weights);
            step_bits = exact.step_bits(shape);
            (lines, between_bits) = exact.write(step_bits, &mut packed);
            flags |= if exact.squares.is_some() { MORE } else { 0 };
            (form, blank, tree) = (EXACT, all_exceptions, Vec::new());
        }
        Summands::Floats(values) => {
            step_bits = match shape {
                Shape::Step(bits) => bits.clamp(FINEST_STEP_BITS, BLOCK_BITS),
                Shape::Budget(bits) => (FINEST_STEP_BITS..BLOCK_BITS)
                    .find(|&step| (values.len() as u64 >> step) * 68 <= bits)
                    .unwrap_or(BLOCK_BITS),
            };
            let (bytes, any) = trees(values, step_bits);
            flags |= if any { MORE } else { 0 };
            (form, blank, tree) = (TREE, 0, bytes);
            (lines, between_bits) = (Vec::new(), 0);
        }
    }
    let widths = [low_width as u8, span_width as u8, group_width as u8];
    let mut out = vec![
        form, step_bits, BLOCK_BITS, widths[0], widths[1], widths[2], flags, 0,
    ];
    for field in [codes.len() as u64, blank, between_bits] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    debug_assert!(
        out.len() as u64 == HEADER_BYTES,
        "the header is as long as it says"
    );
    out.append(&mut lines);
    out.extend_from_slice(&packed.finish());
    if form == TREE {
        pad8(&mut out);
        out.extend_from_slice(&tree);
    }
    out
}

/// Smallest code of each block and how far the largest is above it; and flags.
fn bounds(codes: &[u64], exceptions: &[(u64, u64)]) -> (Vec<(u64, u64)>, u8) {
    let mut flags = 0;
    let mut exceptions = exceptions.iter().map(|e| e.0 as usize).peekable();
    let mut bounds = Vec::with_capacity(codes.len() >> BLOCK_BITS);
    for (index, block) in codes.chunks(1 << BLOCK_BITS).enumerate() {
        let first = index << BLOCK_BITS;
        let (mut low, mut high, mut from) = (u64::MAX, 0, 0);
        loop {
            let until = exceptions.next_if(|&place| place < first + block.len());
            let to = until.map_or(block.len(), |place| place.saturating_sub(first));
            for &code in block.get(from..to).unwrap_or_default() {
                low = low.min(code);
                high = high.max(code);
            }
            if until.is_none() {
                break;
            }
            from = to + 1;
        }
        if low > high {
            flags = VOID;
            low = 0;
        }
        bounds.push((low, high - low));
    }
    (bounds, flags)
}

/// Running totals of weights at the finest steps, and of their squares at blocks.
struct Exact {
    len: usize,
    /// After each finest step.
    totals: Vec<u128>,
    /// After each block; none where they are too large to be of use.
    squares: Option<Vec<u128>>,
}

impl Exact {
    fn new(weights: &[u64]) -> Exact {
        let mut total = 0u128;
        let totals = weights
            .chunks(FINEST)
            .map(|step| {
                total += add_weights(step);
                total
            })
            .collect();
        let any = weights.iter().fold(0, |any, weight| any | weight);
        let fit = 2 * width_of(any) + width_of(weights.len() as u64) <= 128;
        let mut total = 0u128;
        let squares = fit.then(|| {
            weights
                .chunks(1 << BLOCK_BITS)
                .map(|block| {
                    total += add_squares(block);
                    total
                })
                .collect()
        });
        Exact {
            len: weights.len(),
            totals,
            squares,
        }
    }

    /// Total before `position`, which is a border of finest steps or the end.
    fn before(&self, position: usize) -> u128 {
        match position.div_ceil(FINEST).checked_sub(1) {
            None => 0,
            Some(step) => self.totals.get(step).copied().unwrap_or(0),
        }
    }

    fn step_bits(&self, shape: Shape) -> u8 {
        match shape {
            Shape::Step(bits) => bits.clamp(FINEST_STEP_BITS, BLOCK_BITS),
            Shape::Budget(budget) => (FINEST_STEP_BITS..BLOCK_BITS)
                .find(|&bits| {
                    let mut sum = 0u64;
                    for start in (0..self.len).step_by(1 << BLOCK_BITS) {
                        let (width, count) = self.between(start, bits, |_| ());
                        // And about so many for the place where they begin.
                        sum += u64::from(WIDTH_BITS + 8) + u64::from(width) * count;
                    }
                    sum <= budget
                })
                .unwrap_or(BLOCK_BITS),
        }
    }

    /// The totals between of the block at `start`: calls `each` with them; gives their width and number.
    fn between(&self, start: usize, step_bits: u8, mut each: impl FnMut(u128)) -> (u32, u64) {
        let end = (start + (1 << BLOCK_BITS)).min(self.len);
        let before = self.before(start);
        let sum = self.before(end) - before;
        let (mut any, mut count) = (0, 0);
        for border in (start..end).step_by(1 << step_bits).skip(1) {
            let even = interpolate(sum, (border - start) as u64, (end - start) as u64);
            let off = (self.before(border) - before).wrapping_sub(even) as i128;
            let zigzag = (off << 1 ^ off >> 127) as u128;
            any |= zigzag;
            count += 1;
            each(zigzag);
        }
        (128 - any.leading_zeros(), count)
    }

    /// Writes residuals and totals between; gives the lines and the number of bits of the latter.
    fn write(&self, step_bits: u8, packed: &mut BitWriter) -> (Vec<u8>, u64) {
        let starts = || (0..self.len).step_by(1 << BLOCK_BITS);
        let mut lines = Vec::new();
        let mut line = |values: &[u128], packed: &mut BitWriter| {
            let line = Line::fit(values);
            line.write(&mut lines);
            line.push_residuals(values, packed);
        };
        let totals: Vec<u128> = starts()
            .map(|start| self.before((start + (1 << BLOCK_BITS)).min(self.len)))
            .collect();
        line(&totals, packed);
        if let Some(squares) = &self.squares {
            line(squares, packed);
        }
        if step_bits >= BLOCK_BITS {
            return (lines, 0);
        }
        let mut bits = 0u64;
        let places: Vec<u128> = starts()
            .map(|start| {
                let at = bits;
                let (width, count) = self.between(start, step_bits, |_| ());
                bits += u64::from(WIDTH_BITS) + count * u64::from(width);
                at.into()
            })
            .collect();
        line(&places, packed);
        for start in starts() {
            let (width, _) = self.between(start, step_bits, |_| ());
            packed.push(width.into(), WIDTH_BITS);
            self.between(start, step_bits, |off| packed.push_wide(off, width));
        }
        (lines, bits)
    }
}

/// The trees of sums and of squared distances with their flags, and whether there are any flags.
fn trees(values: &[f64], step_bits: u8) -> (Vec<u8>, bool) {
    let mut level: Vec<FloatSum> = values.chunks(1 << step_bits).map(FloatSum::of).collect();
    let (mut out, mut flags) = (Vec::new(), Vec::new());
    loop {
        out.extend(level.iter().flat_map(|node| node.finite.to_le_bytes()));
        flags.extend(level.iter().map(|node| node.flags));
        if level.len() <= 1 {
            break;
        }
        level = level.chunks(FAN_OUT).map(pairwise).collect();
    }
    let mut level: Vec<Moments> = values.chunks(1 << BLOCK_BITS).map(Moments::of).collect();
    loop {
        out.extend(level.iter().flat_map(|node| node.squares.to_le_bytes()));
        if level.len() <= 1 {
            break;
        }
        let merged = |nodes: &[Moments]| {
            nodes
                .iter()
                .fold(Moments::default(), |all, node| all.merge(*node))
        };
        level = level.chunks(FAN_OUT).map(merged).collect();
    }
    let any = flags.iter().any(|&f| f != 0);
    if any {
        out.extend_from_slice(&flags);
    }
    (out, any)
}
