//! Dense layers and convolutions of signs: weights and activations are +1 or -1, a product is one XOR and a sum of 64
//! of them one population count.
//!
//! ```text
//! pixel:   a bit per channel, 1 where the number is below real zero, filled up with 0 to whole words of 64 channels
//! weights: blocks of 8 outputs; for each word of a patch the 8 outputs' words, 0 behind the last channel
//! sum    = numbers in the patch - 2 * ones in (pixels ^ weights)
//! ```
//!
//! What is added around an image is real zero, whose sign is +1. Where the next layer wants signs again, results are not
//! scaled: each output has a count of ones from which on its number is below real zero, and 8 outputs are one byte of the
//! next layer's pixel. The same loops are compiled per family: with AVX-512 and
//! its population count a word of 8 outputs is one instruction (`vnni_signs.rs`); elsewhere the compiler counts with shuffles or with the
//! scalar instruction. Courbariaux et al., "Binarized Neural Networks" (2016).

use super::requantize::Requantize;
use super::{Isa, Scratch};

/// Outputs of a block.
pub(super) const BLOCK: usize = 8;
/// Patches that share weights while these are in registers.
const TILE: usize = 4;
/// Parts of one unit of a sum that a bias is counted in.
pub const BIAS_PARTS: i32 = 256;

/// Where patches lie in an image of words.
#[derive(Debug, Clone, PartialEq)]
pub struct Patches {
    /// Input rows and columns.
    pub input: [usize; 2],
    /// Channels of a pixel.
    pub channels: usize,
    /// Result rows and columns.
    pub output: [usize; 2],
    /// Rows and columns of the window.
    pub window: [usize; 2],
    /// Steps between results.
    pub stride: [usize; 2],
    /// Steps between taps.
    pub dilation: [usize; 2],
    /// Zeros above and left of the image.
    pub before: [usize; 2],
}

impl Patches {
    /// A dense layer over `rows` of `inputs` numbers.
    pub fn rows(rows: usize, inputs: usize) -> Self {
        Patches {
            input: [1, rows],
            channels: inputs,
            output: [1, rows],
            window: [1, 1],
            stride: [1, 1],
            dilation: [1, 1],
            before: [0, 0],
        }
    }

    /// Words of a pixel.
    pub fn words(&self) -> usize {
        self.channels.div_ceil(64)
    }

    fn taps(&self) -> usize {
        self.window[0] * self.window[1]
    }

    /// Rows and columns of the image with what is added around it.
    pub(super) fn padded(&self) -> [usize; 2] {
        [0, 1].map(|axis| {
            let reach =
                (self.output[axis] - 1) * self.stride[axis] + (self.window[axis] - 1) * self.dilation[axis];
            (reach + 1).max(self.before[axis] + self.input[axis])
        })
    }

    /// Words from row to row of the padded image.
    pub(super) fn pitch(&self) -> usize {
        self.padded()[1] * self.words()
    }

    /// Words that the padded image takes.
    pub fn image_words(&self) -> usize {
        self.padded()[0] * self.padded()[1] * self.words()
    }
}

/// A packed layer of signs.
#[derive(Debug, Clone, PartialEq)]
pub struct Signs {
    pub(super) patches: Patches,
    pub(super) outputs: usize,
    pub(super) weights: Vec<[u64; BLOCK]>,
    /// Start of each tap in the padded image, relative to the patch.
    pub(super) offsets: Vec<usize>,
    /// The smallest stored byte that is not below real zero.
    pub(super) zero: u8,
    pub(super) end: Requantize,
    /// Whether the input is words of signs already.
    pub(super) from_signs: bool,
    /// For results that are signs: the ones from which on an output is -1.
    pub(super) limits: Option<Vec<[u64; BLOCK]>>,
    /// For results that are bytes: constants by block, if the way back is exact in 64-bit lanes.
    pub(super) back: Option<Vec<Back>>,
}

/// What takes 8 counts of ones back to bytes: `((sums - 512 * ones) * multiplier + add - [negative] * 2^31) >> shift`.
#[derive(Debug, Clone, PartialEq)]
pub struct Back {
    /// The sum where no product is -1, bias included.
    pub sums: [i64; BLOCK],
    /// Of the factor.
    pub multiplier: [i64; BLOCK],
    /// Both roundings, see [`super::requantize::Factor::apply`].
    pub add: [i64; BLOCK],
    /// 31 and the factor's.
    pub shift: [i64; BLOCK],
}

impl Signs {
    /// Packs `weights`: per output and tap the words of its channels, as bytes, lowest channel first. `end` turns sums
    /// in units of 1 / [`BIAS_PARTS`] into bytes; `zero` is the biased zero point of the input.
    pub fn new(patches: Patches, outputs: usize, weights: &[u8], zero: u8, end: Requantize) -> Self {
        let (words, taps) = (patches.words(), patches.taps());
        let row = words * taps;
        debug_assert_eq!(weights.len(), outputs * row * 8);
        // Bits behind the last channel would count as products.
        let last = u64::MAX >> (words * 64 - patches.channels);
        let mut packed = vec![[0u64; BLOCK]; outputs.div_ceil(BLOCK) * row];
        for (number, bytes) in weights.chunks_exact(8).enumerate() {
            let mut word = [0u8; 8];
            word.copy_from_slice(bytes);
            let mut word = u64::from_le_bytes(word);
            if number % words == words - 1 {
                word &= last;
            }
            let (output, at) = (number / row, number % row);
            packed[output / BLOCK * row + at][output % BLOCK] = word;
        }
        let pitch = patches.padded()[1] * words;
        let offsets = (0..taps)
            .map(|tap| {
                let (y, x) = (tap / patches.window[1], tap % patches.window[1]);
                y * patches.dilation[0] * pitch + x * patches.dilation[1] * words
            })
            .collect();
        let mut signs = Signs {
            patches,
            outputs,
            weights: packed,
            offsets,
            zero,
            end,
            from_signs: false,
            limits: None,
            back: None,
        };
        if !signs.wraps() && signs.end.factor.iter().all(|f| f.shift < 0) {
            signs.back = Some(
                (0..outputs.div_ceil(BLOCK))
                    .map(|block| signs.back(block))
                    .collect(),
            );
        }
        signs
    }

    /// Products in a patch.
    fn numbers(&self) -> usize {
        self.offsets.len() * self.patches.channels
    }

    /// Whether a sum and its factor may leave i32.
    fn wraps(&self) -> bool {
        let most = i64::try_from(self.numbers()).unwrap_or(i64::MAX >> 16) * i64::from(BIAS_PARTS);
        let mut ends = self.end.bias.iter().zip(&self.end.factor);
        ends.any(|(bias, factor)| {
            let size = most + i64::from(*bias).abs();
            size >= i64::from(i32::MAX) >> factor.shift.clamp(0, 31)
        })
    }

    /// The constants of one block.
    fn back(&self, block: usize) -> Back {
        let mut back = Back {
            sums: [0; BLOCK],
            multiplier: [0; BLOCK],
            add: [0; BLOCK],
            shift: [0; BLOCK],
        };
        for lane in 0..BLOCK.min(self.outputs - block * BLOCK) {
            let output = block * BLOCK + lane;
            let factor = self.end.factor[output];
            let right = (-factor.shift).min(31);
            let sum = sum_of(self.numbers(), 0).wrapping_add(self.end.bias[output]);
            back.sums[lane] = i64::from(sum);
            back.multiplier[lane] = i64::from(factor.multiplier);
            back.add[lane] = (1i64 << 30) + (1i64 << (30 + right));
            back.shift[lane] = i64::from(31 + right);
        }
        back
    }

    /// Bytes of a pixel of the input.
    #[cfg(avx512)]
    pub(super) fn pixel(&self) -> usize {
        if self.from_signs {
            self.patches.words() * 8
        } else {
            self.patches.channels
        }
    }

    /// Takes 8 counts of ones back one by one, for the result and the block at `place`.
    #[inline]
    pub(super) fn slowly(&self, ones: &[u64; BLOCK], output: &mut [u8], [result, block]: [usize; 2]) {
        let results = &mut output[result * self.pitch()..][..self.outputs];
        let from = block * BLOCK;
        for ((channel, to), ones) in (from..).zip(&mut results[from..]).zip(ones) {
            *to = self.end.apply(channel, sum_of(self.numbers(), *ones));
        }
    }

    /// Takes words of signs, as [`Signs::give_signs`] gives them, as input.
    pub fn take_signs(&mut self) {
        self.from_signs = true;
    }

    /// Gives, instead of bytes, for each result the words of its outputs' signs, a byte being +1 from `zero` on. False, and
    /// nothing changes, if biases or factors are so large that sums wrap.
    pub fn give_signs(&mut self, zero: u8) -> bool {
        if self.wraps() {
            return false;
        }
        let numbers = self.numbers();
        let mut limits = vec![[u64::MAX; BLOCK]; self.outputs.div_ceil(BLOCK)];
        for output in 0..self.outputs {
            // Results fall as ones grow: the first that is below.
            let (mut low, mut high) = (0, numbers + 1);
            while low < high {
                let middle = low.midpoint(high);
                if self.end.apply(output, sum_of(numbers, middle as u64)) < zero {
                    high = middle;
                } else {
                    low = middle + 1;
                }
            }
            limits[output / BLOCK][output % BLOCK] = low as u64;
        }
        self.limits = Some(limits);
        true
    }

    /// Bytes from one result to the next.
    pub(super) fn pitch(&self) -> usize {
        match self.limits {
            Some(_) => self.outputs.div_ceil(64) * 8,
            None => self.outputs,
        }
    }

    /// Bytes of weights and parameters, as packed.
    pub fn bytes(&self) -> usize {
        self.weights.len() * 8 * BLOCK + self.outputs * 12
    }

    /// Products per run, padding of channels not counted.
    pub fn macs(&self) -> u64 {
        let p = &self.patches;
        (p.output[0] * p.output[1] * p.taps()) as u64 * (p.channels * self.outputs) as u64
    }

    /// Bytes that a run writes.
    pub fn results(&self) -> usize {
        self.patches.output[0] * self.patches.output[1] * self.pitch()
    }

    /// Makes room for this layer.
    pub fn fit(&self, scratch: &mut Scratch) {
        let words = self.patches.image_words();
        scratch.bits.resize(scratch.bits.len().max(words), 0);
    }
}

/// The sum, in parts, of `numbers` products of which `ones` are -1.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "counts of products of one patch, at most 2^22"
)]
fn sum_of(numbers: usize, ones: u64) -> i32 {
    (numbers as i32 - 2 * ones as i32).wrapping_mul(BIAS_PARTS)
}

/// Runs `layer` over `input` (bytes of `q + 128`, or words of signs) into `output` with the kernels of `isa`, which is available.
pub fn run(isa: Isa, layer: &Signs, input: &[u8], output: &mut [u8], scratch: &mut Scratch) {
    let bits = &mut scratch.bits[..layer.patches.image_words()];
    let output = &mut output[..layer.results()];
    if layer.limits.is_some() && layer.pitch() != layer.outputs.div_ceil(BLOCK) {
        // Words of signs that no block of outputs reaches.
        output.fill(0);
    }
    #[cfg(avx512)]
    if isa == Isa::Vnni && super::vnni_signs::run(layer, input, output, bits) {
        return;
    }
    super::versions!(isa, pack(layer, input, bits));
    super::versions!(isa, products(layer, bits, output))
}

super::versions!(
    fn pack(layer: &Signs, input: &[u8], bits: &mut [u64]) {
        if layer.from_signs {
            return copy(layer, input, bits);
        }
        let p = &layer.patches;
        let (words, width) = (p.words(), p.padded()[1]);
        let row = p.input[1] * p.channels;
        if p.padded() != p.input {
            bits.fill(0);
        }
        for (y, input) in input.chunks_exact(row.max(1)).take(p.input[0]).enumerate() {
            let start = ((y + p.before[0]) * width + p.before[1]) * words;
            let bits = &mut bits[start..start + p.input[1] * words];
            let pixels = bits.chunks_exact_mut(words);
            for (to, pixel) in pixels.zip(input.chunks_exact(p.channels)) {
                for (word, bytes) in to.iter_mut().zip(pixel.chunks(64)) {
                    *word = signs(bytes, layer.zero);
                }
            }
        }
    }
);

/// An image of words of signs, as they are.
#[inline]
pub(super) fn copy(layer: &Signs, input: &[u8], bits: &mut [u64]) {
    let p = &layer.patches;
    let row = p.input[1] * p.words();
    if p.padded() != p.input {
        bits.fill(0);
    }
    for (y, input) in input.chunks_exact((row * 8).max(1)).take(p.input[0]).enumerate() {
        let start = (y + p.before[0]) * p.pitch() + p.before[1] * p.words();
        for (to, from) in bits[start..start + row].iter_mut().zip(input.chunks_exact(8)) {
            let mut word = [0u8; 8];
            word.copy_from_slice(from);
            *to = u64::from_le_bytes(word);
        }
    }
}

/// A bit for each of at most 64 bytes: whether it is below `zero`.
#[inline(always)]
fn signs(bytes: &[u8], zero: u8) -> u64 {
    let mut flags = [0u8; 64];
    for (flag, byte) in flags.iter_mut().zip(bytes) {
        *flag = u8::from(*byte < zero);
    }
    let mut word = 0u64;
    for (number, eight) in flags.chunks_exact(8).enumerate() {
        let mut lanes = [0u8; 8];
        lanes.copy_from_slice(eight);
        // Moves the lowest bit of byte n to bit 56 + n; nothing carries, since every sum of shifts is another bit.
        let gathered = u64::from_le_bytes(lanes).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        word |= gathered << (8 * number);
    }
    word
}

super::versions!(
    fn products(layer: &Signs, bits: &[u64], output: &mut [u8]) {
        let p = &layer.patches;
        let pitch = p.padded()[1] * p.words();
        let positions = p.output[0] * p.output[1];
        let at = |position: usize| {
            let (y, x) = (position / p.output[1], position % p.output[1]);
            y * p.stride[0] * pitch + x * p.stride[1] * p.words()
        };
        let row = layer.offsets.len() * p.words();
        for (block, weights) in layer.weights.chunks_exact(row).enumerate() {
            let whole = positions / TILE * TILE;
            for first in (0..whole).step_by(TILE) {
                tile::<TILE>(
                    layer,
                    bits,
                    std::array::from_fn(|n| at(first + n)),
                    weights,
                    output,
                    [first, block],
                );
            }
            for first in whole..positions {
                tile::<1>(layer, bits, [at(first)], weights, output, [first, block]);
            }
        }
    }
);

/// The results of `M` patches, `first` and following, for one block of outputs.
#[inline(always)]
fn tile<const M: usize>(
    layer: &Signs,
    bits: &[u64],
    starts: [usize; M],
    weights: &[[u64; BLOCK]],
    output: &mut [u8],
    [first, block]: [usize; 2],
) {
    let words = layer.patches.words();
    let mut ones = [[0u64; BLOCK]; M];
    for (offset, weights) in layer.offsets.iter().zip(weights.chunks_exact(words)) {
        let x: [&[u64]; M] = std::array::from_fn(|n| &bits[starts[n] + offset..][..words]);
        for (word, weights) in weights.iter().enumerate() {
            for (ones, x) in ones.iter_mut().zip(&x) {
                for (sum, weight) in ones.iter_mut().zip(weights) {
                    *sum += u64::from((weight ^ x[word]).count_ones());
                }
            }
        }
    }
    let pitch = layer.pitch();
    if let Some(limits) = &layer.limits {
        let limits = &limits[block];
        for (number, ones) in ones.iter().enumerate() {
            let mut byte = 0u8;
            for (lane, (ones, limit)) in ones.iter().zip(limits).enumerate() {
                byte |= u8::from(ones >= limit) << lane;
            }
            output[(first + number) * pitch + block] = byte;
        }
        return;
    }
    for (number, ones) in ones.iter().enumerate() {
        layer.slowly(ones, output, [first + number, block]);
    }
}
