//! Weights packed in 32-bit lanes, and the way back to bytes in nine instructions.
//!
//! A *block* is 16 outputs; a *group* is up to 8 blocks that one pass over the patch computes. A line of 64 bytes holds
//! the weights of a block for four patch bytes, in the [`Order`] that the instructions want.
//!
//! For a sum `a` (bias included) and a factor `m * 2^(-31 - e)`, `0 <= e`, the reference result is
//! `(y + 2^(e-1) - [a < 0]) >> e` with `y = (a * m + 2^30) >> 31`. With `u = a + 2^31` unsigned, the high half of
//! `u * 2m + k` is `y` plus anything that is put into `k`: the rounding, the zero point and the `-m` that the offset
//! brings. Where the reference rounds once, `k` has no first rounding and the sign does not count, which is exact as
//! long as no sum lies on a half. Where results are held from zero up, a negative sum's rounding does not matter, and the
//! sign does not count either. [`Scale`] holds the constants per lane; [`Lanes::exact`] says whether the result is
//! exact for every sum that can occur.

use std::ops::Deref;

use super::linear::{Geometry, LANES};
use super::requantize::{BIAS, Factor, Requantize, Rounding};
use super::signed::{lines_of, signed};
use crate::model::Data;

/// Bits below a result of 9 bits that single precision holds.
const FAR: i32 = 15;

/// 64 bytes on a cache line.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub struct Line(pub [i8; 64]);

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

/// A layer's weights.
#[derive(Debug, Clone, Copy)]
pub enum Weights<'a> {
    /// Row by row, as the model has them.
    Plain(&'a [i8]),
    /// As a layer of the same shape and order has packed them.
    Packed(&'a Prepared),
}

/// What a packed layer knows from reading all its weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// The weights.
    pub lines: Lines,
    /// Biases of the packed layer's outputs, with what the input's zero point amounts to.
    pub bias: Vec<i32>,
    /// Their factors.
    pub factor: Vec<Factor>,
    /// See [`Lanes::exact`].
    pub exact: bool,
}

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
    /// All ones in lanes in which the sign of a sum decides halves.
    pub sign: [u32; 16],
    /// `2^(32 - e)`, 0 for `e = 0`.
    pub power: [u32; 16],
    /// `2^-e`.
    pub unit: [f32; 16],
    /// The bits of a result before its last shift that count in single precision: all but the lowest `e - FAR`.
    pub keep: [u32; 16],
    /// As `sign`, a bit per lane.
    pub signs: u16,
}

impl Scale {
    /// The byte, not yet held between bounds, for the sum plus 2^31 in lane `lane`.
    #[inline]
    pub fn apply(&self, lane: usize, sum: u32) -> i32 {
        let (factor, add) = if lane % 2 == 0 {
            (self.even[lane / 2], self.even_add[lane / 2])
        } else {
            (self.odd[lane / 2], self.odd_add[lane / 2])
        };
        let high = (u64::from(sum).wrapping_mul(factor).wrapping_add(add) >> 32) as u32;
        let high = high.wrapping_add((sum >> 31) & self.sign[lane] & 1) as i32;
        high >> (self.shift[lane] & 31)
    }
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

/// How the weights of 16 outputs for four patch bytes lie in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Output 0: four weights; output 1 ...: for instructions that add four products to a lane.
    Words,
    /// As `Words`, but always one block at a time, and depthwise layers as `Pairs`: for short registers.
    Blocks,
    /// As `Blocks`, for instructions that take signed bytes, which are the stored ones less 128: packed biases have 128
    /// times the sum of their weights more.
    Signed,
    /// Output 0: two weights; ... output 15; then the other two of each: for instructions that add two.
    Pairs,
    /// Four outputs at a time, eight patch bytes each, to the end of the patch; then the next four outputs. A patch is
    /// one segment, filled up to a multiple of eight: for instructions that add neighbours and whole registers of
    /// input. See `kernel/rows.rs`.
    Rows,
}

impl Order {
    /// The place in a line of the weight of `lane` for patch byte `byte`, `0..4`.
    #[inline]
    fn place(self, lane: usize, byte: usize) -> usize {
        match self {
            Order::Words | Order::Blocks | Order::Signed => lane * 4 + byte,
            Order::Pairs | Order::Rows => byte / 2 * 32 + lane * 2 + byte % 2,
        }
    }

    /// Segments of a patch, and words of four bytes in each, as weights are packed.
    pub fn steps(self, geometry: &Geometry) -> [usize; 2] {
        match self {
            Order::Rows => [1, geometry.patch().next_multiple_of(8) / 4],
            _ => [geometry.offsets.len(), geometry.segment.div_ceil(4)],
        }
    }
}

/// Packed weights and constants of a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Lanes {
    /// Groups in order.
    pub groups: Vec<Group>,
    /// Words of 4 bytes in a segment.
    pub words: usize,
    /// Weights: group, segment, word, block.
    pub weights: Lines,
    /// Biases per block.
    pub bias: Vec<Bias>,
    /// One for all blocks, or one per block.
    pub scales: Vec<Scale>,
    /// Whether the nine instructions are exact for every sum that can occur.
    pub exact: bool,
}

impl Lanes {
    /// Packs `weights` (outputs x patch bytes), or takes packed ones if they fit; factors that are too small to matter
    /// are dropped from `end`, or all taken over.
    pub fn new(
        order: Order,
        geometry: &Geometry,
        outputs: usize,
        weights: Weights<'_>,
        end: &mut Requantize,
    ) -> Option<Self> {
        let [segments, words] = order.steps(geometry);
        let steps = segments * words;
        let blocks = outputs.div_ceil(LANES);
        let (weights, lines, exact) = match weights {
            Weights::Plain(weights) => {
                let mut exact = true;
                for (channel, row) in weights.chunks_exact(geometry.patch().max(1)).enumerate() {
                    let size = size_of_sums(row);
                    drop_tiny(size, end, channel);
                    exact &= exact_for(size, end, channel);
                    if order == Order::Signed {
                        let moved = sum_of(row).wrapping_mul(BIAS);
                        end.bias[channel] = end.bias[channel].wrapping_add(moved);
                    }
                }
                (weights, Lines::Own(vec![Line([0; 64]); blocks * steps]), exact)
            }
            Weights::Packed(packed) => {
                let fits = packed.lines.len() == blocks * steps
                    && packed.bias.len() == outputs
                    && packed.factor.len() == outputs;
                if !fits {
                    return None;
                }
                end.bias.clone_from(&packed.bias);
                end.factor.clone_from(&packed.factor);
                (&[][..], packed.lines.clone(), packed.exact)
            }
        };
        // One patch alone is bound by reading weights: wide groups keep several streams of sums going.
        let most = match order {
            Order::Words if geometry.positions() == 1 => 8,
            Order::Words => 4,
            Order::Blocks | Order::Signed | Order::Pairs | Order::Rows => 1,
        };
        let mut lanes = Lanes {
            groups: groups(outputs, most, steps),
            words,
            weights: lines,
            bias: Vec::with_capacity(blocks),
            scales: Vec::with_capacity(blocks),
            exact,
        };
        let uniform = end.factor.iter().all(|f| *f == end.factor[0]);
        for block in 0..blocks {
            let channel = |lane: usize| Some(block * LANES + lane).filter(|o| *o < outputs);
            lanes.bias.push(bias(end, channel));
            if !uniform {
                lanes.scales.push(scale(end, channel));
            }
        }
        if uniform {
            lanes.scales.push(scale(end, |_| Some(0)));
        }
        if let (Lines::Own(lines), false) = (&mut lanes.weights, weights.is_empty()) {
            for group in &lanes.groups {
                pack(lines, order, geometry, words, group, weights);
            }
        }
        Some(lanes)
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

    /// Bytes of packed weights and parameters.
    pub fn bytes(&self) -> usize {
        self.weights.len() * 64 + self.bias.len() * 64 + self.scales.len() * size_of::<Scale>()
    }
}

/// Packs the weights of one group.
fn pack(lines: &mut [Line], order: Order, geometry: &Geometry, words: usize, group: &Group, weights: &[i8]) {
    let (segment, patch) = (geometry.segment, geometry.patch());
    let steps = geometry.offsets.len() * words;
    for block in 0..group.blocks {
        let outputs = (group.outputs - block * LANES).min(LANES);
        let weights = &weights[(group.first + block * LANES) * patch..][..outputs * patch];
        if order == Order::Rows {
            let lines = &mut lines[group.line + block * words..][..words];
            pack_rows(lines, patch, weights);
            continue;
        }
        let mut into = lines[group.line + block..]
            .iter_mut()
            .step_by(group.blocks)
            .take(steps);
        for number in 0..geometry.offsets.len() {
            let whole = if order == Order::Pairs { 0 } else { segment / 4 };
            for word in 0..words {
                let Some(line) = into.next() else { return };
                let at = number * segment + word * 4;
                if word < whole {
                    // Rows are read side by side, lines written one behind the other.
                    let words = line.0.chunks_exact_mut(4);
                    for (lane, to) in words.enumerate().take(outputs) {
                        to.copy_from_slice(&weights[lane * patch + at..][..4]);
                    }
                    continue;
                }
                let count = (segment - word * 4).min(4);
                for lane in 0..outputs {
                    for (byte, weight) in weights[lane * patch + at..][..count].iter().enumerate() {
                        line.0[order.place(lane, byte)] = *weight;
                    }
                }
            }
        }
    }
}

/// Packs rows of `patch` weights of one block in [`Order::Rows`].
fn pack_rows(lines: &mut [Line], patch: usize, weights: &[i8]) {
    let chunks = lines.len() / 2;
    for (lane, row) in weights.chunks_exact(patch.max(1)).enumerate() {
        for (chunk, from) in row.chunks(8).enumerate() {
            let eight = (lane / 4 * chunks + chunk) * 4 + lane % 4;
            lines[eight / 8].0[eight % 8 * 8..][..from.len()].copy_from_slice(from);
        }
    }
}

/// Groups of up to `most` blocks for `outputs`, each block with `steps` lines.
fn groups(outputs: usize, most: usize, steps: usize) -> Vec<Group> {
    let total = outputs.div_ceil(LANES);
    (0..total)
        .step_by(most)
        .map(|block| Group {
            first: block * LANES,
            outputs: (outputs - block * LANES).min(most * LANES),
            blocks: (total - block).min(most),
            line: block * steps,
            block,
        })
        .collect()
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

/// Constants of the outputs that `channel` gives for each lane, of results that are held between `end.bounds`. Where
/// these begin at zero (a ReLU's do), all negative sums give the lower bound, however they are rounded.
pub fn scale(end: &Requantize, channel: impl Fn(usize) -> Option<usize>) -> Scale {
    let signed = i32::from(end.bounds.low) < end.zero_point;
    constants(end, signed, channel)
}

/// As [`scale`], for results that are not held.
pub fn scale_unheld(end: &Requantize, channel: impl Fn(usize) -> Option<usize>) -> Scale {
    constants(end, true, channel)
}

fn constants(end: &Requantize, signed: bool, channel: impl Fn(usize) -> Option<usize>) -> Scale {
    // Lane by lane into arrays first: what follows is the same for all, without a branch.
    let (mut multipliers, mut rights) = ([0i64; LANES], [0i32; LANES]);
    for lane in 0..LANES {
        if let Some(Factor { multiplier, shift }) = channel(lane).and_then(|c| end.factor.get(c)) {
            multipliers[lane] = i64::from(*multiplier);
            rights[lane] = (-*shift).clamp(0, 30);
        }
    }
    let mut scale = Scale {
        even: [0; 8],
        odd: [0; 8],
        even_add: [0; 8],
        odd_add: [0; 8],
        shift: [0; 16],
        sign: [0; 16],
        power: [0; 16],
        unit: [1.0; 16],
        keep: [u32::MAX; 16],
        signs: 0,
    };
    let twice = end.rounding == Rounding::Twice;
    let signed = twice && signed;
    let first = match (twice, signed) {
        (false, _) => 0,
        (true, false) => 1i64 << 31,
        (true, true) => (1i64 << 31) - (1 << 32),
    };
    let zero_point = i64::from(end.zero_point);
    let mut adds = [0u64; LANES];
    for ((add, multiplier), right) in adds.iter_mut().zip(multipliers).zip(rights) {
        // Half of the last place that stays, and for the first of two roundings half of a unit.
        let half = if right > 0 {
            (1i64 << (right + 31)) + first
        } else {
            1 << 31
        };
        let high = (zero_point << right) - multiplier;
        *add = (high << 32).wrapping_add(half) as u64;
    }
    for pair in 0..LANES / 2 {
        scale.even[pair] = 2 * multipliers[2 * pair].unsigned_abs();
        scale.odd[pair] = 2 * multipliers[2 * pair + 1].unsigned_abs();
        scale.even_add[pair] = adds[2 * pair];
        scale.odd_add[pair] = adds[2 * pair + 1];
    }
    for (lane, right) in rights.into_iter().enumerate() {
        let shifts = right > 0;
        scale.shift[lane] = right.unsigned_abs();
        scale.power[lane] = if shifts { 1 << (32 - right) } else { 0 };
        // 2^-right.
        scale.unit[lane] = f32::from_bits((127 - right.unsigned_abs()) << 23);
        scale.keep[lane] = u32::MAX << (right - FAR).max(0);
        scale.sign[lane] = if signed && shifts { u32::MAX } else { 0 };
        scale.signs |= u16::from(signed && shifts) << lane;
    }
    scale
}

/// The sum of `weights`, in parts whose sums fit 16 bits.
pub fn sum_of(weights: &[i8]) -> i32 {
    weights.chunks(128).fold(0i32, |sum, part| {
        let part = part.iter().fold(0i16, |sum, w| sum + i16::from(*w));
        sum.wrapping_add(i32::from(part))
    })
}

/// A bound on sums of bytes times `weights`.
pub fn size_of_sums(weights: &[i8]) -> i64 {
    let total: u64 = weights
        .chunks(1 << 8)
        .map(|c| {
            let part = c.iter().fold(0u16, |sum, w| sum + u16::from(w.unsigned_abs()));
            u64::from(part)
        })
        .sum();
    i64::try_from(total).unwrap_or(i64::MAX / 256) * 255
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
