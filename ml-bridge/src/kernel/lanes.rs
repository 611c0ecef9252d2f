//! Weights packed in 32-bit lanes for AVX-512 VNNI, and the way back to bytes in nine instructions.
//!
//! A *block* is 16 outputs; a *group* is up to 8 blocks that one pass over the patch computes. Four blocks of a group
//! that starts at a multiple of four form a *quad*, whose lanes are dealt so that the saturating packs of AVX-512,
//! which work inside 128-bit parts, leave 64 bytes in order: block `b`, lane `4p + i` is output `16p + 4b + i`.
//!
//! For a sum `a` (bias included) and a factor `m * 2^(-31 - e)`, `1 <= e`, the reference result is
//! `(y + 2^(e-1) - [a < 0]) >> e` with `y = (a * m + 2^30) >> 31`. With `u = a + 2^31` unsigned, the high half of
//! `u * 2m + k` is `y` plus anything that is put into `k`: the rounding, the zero point and the `-m` that the offset
//! brings. Where the reference rounds once, `k` has no first rounding and the sign does not count, which is exact as
//! long as no sum lies on a half. [`Scale`] holds the constants per lane; [`Lanes::exact`] says whether the result is
//! exact for every sum that can occur.

use super::linear::{Geometry, LANES};
use super::requantize::{Factor, Requantize, Rounding};

/// 64 bytes on a cache line.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub struct Line(pub [i8; 64]);

/// What takes 16 sums back to bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub struct Scale {
    /// `2m` of even and odd lanes.
    pub even: [u64; 8],
    /// `2m` of odd lanes.
    pub odd: [u64; 8],
    /// `k` of even lanes.
    pub even_add: [u64; 8],
    /// `k` of odd lanes.
    pub odd_add: [u64; 8],
    /// `e`.
    pub shift: [u32; 16],
    /// Lanes in which the sign of a sum decides halves.
    pub signs: u16,
}

/// 16 biases plus 2^31.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub struct Bias(pub [u32; 16]);

/// Consecutive outputs computed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// First output.
    pub first: usize,
    /// Outputs.
    pub outputs: usize,
    /// Blocks.
    pub blocks: usize,
    /// First line of weights.
    pub line: usize,
    /// First block overall.
    pub block: usize,
}

/// Packed weights and constants of a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Lanes {
    /// Groups in order.
    pub groups: Vec<Group>,
    /// Words of 4 bytes in a segment.
    pub words: usize,
    /// Weights: group, segment, word, block.
    pub weights: Vec<Line>,
    /// Biases per block.
    pub bias: Vec<Bias>,
    /// One for all blocks, or one per block.
    pub scales: Vec<Scale>,
    /// Whether the nine instructions are exact for every sum that can occur.
    pub exact: bool,
}

/// The output of `lane` in `block` of a group of `blocks`, relative to the group's first.
pub fn output_of(blocks: usize, block: usize, lane: usize) -> usize {
    let quad = block / 4 * 4;
    if quad + 4 <= blocks {
        quad * LANES + lane / 4 * 16 + (block - quad) * 4 + lane % 4
    } else {
        block * LANES + lane
    }
}

impl Lanes {
    /// Packs `weights` (outputs x patch bytes).
    pub fn new(geometry: &Geometry, outputs: usize, weights: &[i8], end: &Requantize) -> Self {
        let mut end = end.clone();
        for (channel, row) in weights.chunks_exact(geometry.patch().max(1)).enumerate() {
            drop_tiny(size_of_sums(row), &mut end, channel);
        }
        let end = &end;
        let words = geometry.segment.div_ceil(4);
        // One patch alone is bound by reading weights: wide groups keep several streams of sums going.
        let most = if geometry.positions() == 1 { 8 } else { 4 };
        let mut lanes = Lanes {
            groups: Vec::new(),
            words,
            weights: Vec::new(),
            bias: Vec::new(),
            scales: Vec::new(),
            exact: exact(weights, outputs, end),
        };
        let uniform = end.factor.iter().all(|f| *f == end.factor[0]);
        let steps = geometry.offsets.len() * words;
        let total_blocks = outputs.div_ceil(LANES);
        lanes.weights = vec![Line([0; 64]); total_blocks * steps];
        let mut block = 0;
        while block < total_blocks {
            let blocks = (total_blocks - block).min(most);
            let first = block * LANES;
            let count = (outputs - first).min(blocks * LANES);
            let group = Group {
                first,
                outputs: count,
                blocks,
                line: block * steps,
                block,
            };
            for b in 0..blocks {
                let channel = |lane: usize| {
                    Some(output_of(blocks, b, lane))
                        .filter(|o| *o < count)
                        .map(|o| first + o)
                };
                lanes.bias.push(bias(end, channel));
                if !uniform {
                    lanes.scales.push(scale(end, channel));
                }
            }
            lanes.pack(geometry, &group, weights);
            lanes.groups.push(group);
            block += blocks;
        }
        if uniform {
            lanes.scales.push(scale(end, |_| Some(0)));
        }
        lanes
    }

    /// The constants of block `block`.
    #[inline]
    pub fn scale(&self, block: usize) -> &Scale {
        if self.scales.len() == 1 {
            &self.scales[0]
        } else {
            &self.scales[block]
        }
    }

    fn pack(&mut self, geometry: &Geometry, group: &Group, weights: &[i8]) {
        let (segment, patch) = (geometry.segment, geometry.patch());
        for block in 0..group.blocks {
            let rows: [Option<&[i8]>; LANES] = std::array::from_fn(|lane| {
                let output = output_of(group.blocks, block, lane);
                (output < group.outputs).then(|| &weights[(group.first + output) * patch..][..patch])
            });
            let mut lines = self.weights[group.line + block..]
                .iter_mut()
                .step_by(group.blocks);
            for number in 0..geometry.offsets.len() {
                for word in 0..self.words {
                    let Some(line) = lines.next() else { return };
                    let start = number * segment + word * 4;
                    let count = (segment - word * 4).min(4);
                    for (to, row) in line.0.chunks_exact_mut(4).zip(&rows) {
                        match (row, count) {
                            (Some(row), 4) => to.copy_from_slice(&row[start..start + 4]),
                            (Some(row), _) => to[..count].copy_from_slice(&row[start..start + count]),
                            (None, _) => {}
                        }
                    }
                }
            }
        }
    }

    /// Bytes of packed weights and parameters.
    pub fn bytes(&self) -> usize {
        self.weights.len() * 64 + self.bias.len() * 64 + self.scales.len() * size_of::<Scale>()
    }
}

/// Biases of the outputs that `channel` gives for each lane.
pub fn bias(end: &Requantize, channel: impl Fn(usize) -> Option<usize>) -> Bias {
    let mut bias = Bias([1 << 31; 16]);
    for (lane, value) in bias.0.iter_mut().enumerate() {
        if let Some(channel) = channel(lane) {
            *value = (end.bias[channel] as u32).wrapping_add(1 << 31);
        }
    }
    bias
}

/// Constants of the outputs that `channel` gives for each lane.
pub fn scale(end: &Requantize, channel: impl Fn(usize) -> Option<usize>) -> Scale {
    let mut scale = Scale {
        even: [0; 8],
        odd: [0; 8],
        even_add: [0; 8],
        odd_add: [0; 8],
        shift: [0; 16],
        signs: 0,
    };
    for lane in 0..LANES {
        let Some(channel) = channel(lane) else { continue };
        let Factor { multiplier, shift } = end.factor[channel];
        let right = (-shift).clamp(0, 30);
        // Half of the last place that stays, and for the first of two roundings half of a unit.
        let half = if right > 0 {
            1i64 << (right - 1 + 32)
        } else {
            1 << 31
        };
        let twice = end.rounding == Rounding::Twice && right > 0;
        let first = if twice { (1i64 << 31) - (1 << 32) } else { 0 };
        let high = (i64::from(end.zero_point) << right) - i64::from(multiplier);
        let add = (high << 32).wrapping_add(half + first) as u64;
        let (m, k) = if lane % 2 == 0 {
            (&mut scale.even, &mut scale.even_add)
        } else {
            (&mut scale.odd, &mut scale.odd_add)
        };
        m[lane / 2] = 2 * u64::from(multiplier.unsigned_abs());
        k[lane / 2] = add;
        scale.shift[lane] = right.unsigned_abs();
        scale.signs |= u16::from(twice) << lane;
    }
    scale
}

/// A bound on sums of bytes times `weights`.
pub fn size_of_sums(weights: &[i8]) -> i64 {
    let total: u64 = weights
        .chunks(1 << 16)
        .map(|c| u64::from(c.iter().map(|w| u32::from(w.unsigned_abs())).sum::<u32>()))
        .sum();
    i64::try_from(total).unwrap_or(i64::MAX / 256) * 255
}

/// Whether every sum of bytes times `weights` (rows, one per output) can be taken back exactly.
pub fn exact(weights: &[i8], outputs: usize, end: &Requantize) -> bool {
    let row = (weights.len() / outputs.max(1)).max(1);
    weights
        .chunks_exact(row)
        .enumerate()
        .all(|(channel, row)| exact_for(size_of_sums(row), end, channel))
}

/// Sets factors under which every sum of up to `size` (and its bias) becomes 0 to 0, with any shift.
pub fn drop_tiny(size: i64, end: &mut Requantize, channel: usize) {
    let factor = end.factor[channel];
    let size = size + i64::from(end.bias[channel]).abs();
    // Below half a unit: multiplier < 2^31, so a product below 2^(30 - shift) is enough.
    if factor.shift < 0 && size < 1 << 31 && (size * i64::from(factor.multiplier)) >> (30 - factor.shift) == 0
    {
        end.factor[channel] = Factor {
            multiplier: 0,
            shift: -1,
        };
    }
}

/// Whether sums of up to `size` plus the bias of `channel` can be taken back exactly.
pub fn exact_for(size: i64, end: &Requantize, channel: usize) -> bool {
    let factor = end.factor[channel];
    let right = -factor.shift;
    let size = size + i64::from(end.bias[channel]).abs();
    if !(0..=30).contains(&right) || size >= 1 << 31 {
        return false;
    }
    let scaled = ((size * i64::from(factor.multiplier)) >> 31) + 2;
    let in_range = scaled + (1i64 << right) / 2 + (i64::from(end.zero_point).abs() << right) < 1 << 31;
    // A half needs a sum with at least this many trailing zeros.
    let zeros = i64::from(30 + right) - i64::from(factor.multiplier.trailing_zeros().min(31));
    in_range && (end.rounding == Rounding::Twice || (zeros < 63 && size < 1i64 << zeros.max(0)))
}
