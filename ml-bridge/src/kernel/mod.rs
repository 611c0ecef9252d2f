//! The inner loops, one file per instruction set, chosen once at run time. All give the same bits.
//!
//! This is the only room of the crate with `unsafe` code; every block names the check that makes it true.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(avx512)]
mod avxvnni;
pub mod bits;
#[cfg(test)]
mod bits_tests;
pub mod depthwise;
#[cfg(neon)]
mod dotprod;
pub mod doubtful;
mod fixed;
mod fixed16;
pub mod geometry;
pub mod lanes;
pub mod line;
pub mod linear;
pub mod lines;
pub mod lstm;
pub mod matrix;
pub mod mean;
mod memory;
#[cfg(neon)]
mod neon;
#[cfg(target_arch = "x86_64")]
mod pairs;
mod plain;
pub mod pointwise;
pub mod pool;
pub mod quads;
#[cfg(test)]
mod recurrent_tests;
pub mod requantize;
#[cfg(neon)]
mod rows;
pub mod scale;
pub mod signed;
pub mod softmax;
#[cfg(any(target_arch = "x86_64", neon))]
mod spell;
#[cfg(target_arch = "x86_64")]
mod sse2;
pub mod svdf;
pub mod taps;
#[cfg(test)]
mod tests;
#[cfg(any(target_arch = "x86_64", neon))]
mod vectors;
mod versions;
#[cfg(avx512)]
mod vnni;
#[cfg(avx512)]
mod vnni_back;
#[cfg(avx512)]
mod vnni_binary;
#[cfg(avx512)]
mod vnni_depthwise;
#[cfg(avx512)]
mod vnni_signs;
#[cfg(avx512)]
mod vnni_table;
#[cfg(any(avx512, neon))]
mod words;

#[cfg(neon)]
use neon as portable;
#[cfg(not(any(target_arch = "x86_64", neon)))]
use plain as portable;
#[cfg(target_arch = "x86_64")]
use sse2 as portable;

use std::ops::Range;

use depthwise::Depthwise;
use lanes::Order;
use linear::Linear;
pub use memory::Memory;
use pointwise::Binary;
use versions::versions;

/// A family of kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Isa {
    /// Plain Rust, everywhere; the measure for all others.
    Plain,
    /// What every processor of the target has: SSE2 on x86-64, NEON on aarch64, elsewhere as [`Isa::Plain`].
    Portable,
    /// x86-64 with AVX2.
    Avx2,
    /// x86-64 with AVX2 and its byte dot products: as [`Isa::Avx2`], in registers of 256 bits.
    AvxVnni,
    /// aarch64 with byte dot products: as [`Isa::Portable`].
    Dotprod,
    /// x86-64 with AVX-512 and its byte dot products.
    Vnni,
}

impl Isa {
    /// Every family that this processor can run, the fastest last.
    pub fn available() -> Vec<Isa> {
        #[allow(unused_mut)]
        let mut found = vec![Isa::Plain, Isa::Portable];
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("popcnt") {
            found.push(Isa::Avx2);
        }
        #[cfg(avx512)]
        if avxvnni::available() && found.contains(&Isa::Avx2) {
            found.push(Isa::AvxVnni);
        }
        #[cfg(neon)]
        if std::arch::is_aarch64_feature_detected!("dotprod") {
            found.push(Isa::Dotprod);
        }
        #[cfg(avx512)]
        if std::is_x86_feature_detected!("avx512f")
            && std::is_x86_feature_detected!("avx512bw")
            && std::is_x86_feature_detected!("avx512vl")
            && std::is_x86_feature_detected!("avx512vnni")
        {
            found.push(Isa::Vnni);
        }
        found
    }

    /// The fastest family that this processor can run.
    pub fn best() -> Isa {
        Isa::available().last().copied().unwrap_or(Isa::Plain)
    }

    /// The order of weights that its instructions want.
    pub fn order(self) -> Order {
        match self {
            #[cfg(neon)]
            Isa::Portable => Order::Rows,
            #[cfg(not(neon))]
            Isa::Portable => Order::Pairs,
            Isa::Plain | Isa::Avx2 => Order::Pairs,
            Isa::AvxVnni => Order::Blocks,
            Isa::Dotprod => Order::Signed,
            Isa::Vnni => Order::Words,
        }
    }

    /// Its name, for people.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Plain => "plain",
            Isa::Portable => "portable",
            Isa::Avx2 => "avx2",
            Isa::AvxVnni => "avx-vnni",
            Isa::Dotprod => "dotprod",
            Isa::Vnni => "avx512-vnni",
        }
    }
}

/// Runs `layer` over `input` into `output`, as its place says, with the kernels of `isa`, which is available and for
/// which `layer` was packed.
pub fn linear(isa: Isa, layer: &Linear, input: &[u8], output: &mut [u8], scratch: &mut Scratch) {
    match isa {
        Isa::Portable => portable::linear(layer, input, output, scratch),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2::linear(layer, input, output, scratch),
        #[cfg(avx512)]
        Isa::AvxVnni => avxvnni::linear(layer, input, output, scratch),
        #[cfg(neon)]
        Isa::Dotprod => dotprod::linear(layer, input, output, scratch),
        #[cfg(avx512)]
        Isa::Vnni => vnni::linear(layer, input, output),
        _ => plain::linear(layer, input, output, scratch),
    }
}

/// As [`linear()`], from one part of `arena` to another; false, and nothing is done, if `isa` has no such form.
#[inline]
pub fn linear_within(
    isa: Isa,
    layer: &Linear,
    arena: &mut [u8],
    input: &Range<usize>,
    output: &Range<usize>,
) -> bool {
    #[cfg(avx512)]
    if isa == Isa::Vnni {
        vnni::within(layer, arena, input, output);
        return true;
    }
    let _ = (isa, layer, arena, input, output);
    false
}

/// Memory that kernels use for themselves, as large as the layers' `scratch` functions say.
#[derive(Debug, Clone, Default)]
pub struct Scratch {
    /// Widened input.
    pub words: Vec<i16>,
    /// Input as signed bytes.
    pub flipped: Vec<u8>,
    /// Widened weights of a block.
    pub weights: Vec<line::Pair>,
    /// A sum per channel.
    pub sums: Vec<i32>,
    /// Interleaved rows.
    pub lines: Vec<line::Line>,
    /// Signs of an image, a bit each.
    pub bits: Vec<u64>,
    /// What recurrent layers keep from one run to the next, one entry per layer.
    pub memories: Vec<Memory>,
}

impl Scratch {
    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.words.len() * 2
            + self.flipped.len()
            + self.weights.len() * 64
            + self.sums.len() * 4
            + self.lines.len() * 64
            + self.bits.len() * 8
            + self.memories.iter().map(Memory::bytes).sum::<usize>()
    }

    /// Makes room for `layer`, packed for `isa`.
    pub fn fit_linear(&mut self, isa: Isa, layer: &Linear) {
        let (geometry, positions) = (&layer.geometry, layer.geometry.positions());
        let words = match isa.order() {
            Order::Words | Order::Blocks => return,
            Order::Signed => {
                self.flipped.resize(self.flipped.len().max(geometry.reach()), 0);
                return;
            }
            Order::Pairs => geometry.reach(),
            #[cfg(neon)]
            Order::Rows => rows::room(layer.lanes.words * 4, positions),
            #[cfg(not(neon))]
            Order::Rows => return,
        };
        self.words.resize(self.words.len().max(words), 0);
        let [segments, words] = isa.order().steps(geometry);
        if positions > 1 {
            self.weights
                .resize(self.weights.len().max(segments * words * 2), line::Pair([0; 32]));
        }
    }

    /// Makes room for `layer`.
    pub fn fit_depthwise(&mut self, layer: &Depthwise) {
        self.lines
            .resize(self.lines.len().max(layer.scratch()), line::Line([0; 64]));
    }

    /// Makes room for `count` sums.
    pub fn fit_sums(&mut self, count: usize) {
        self.sums.resize(self.sums.len().max(count), 0);
    }
}

/// Runs `layer` over `input` into `output`, as [`linear()`].
pub fn depthwise(isa: Isa, layer: &Depthwise, input: &[u8], output: &mut [u8], scratch: &mut Scratch) {
    match isa {
        Isa::Portable | Isa::Dotprod => portable::depthwise(layer, input, output),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 | Isa::AvxVnni => avx2::depthwise(layer, input, output),
        #[cfg(avx512)]
        Isa::Vnni => vnni_depthwise::depthwise(layer, input, output, &mut scratch.lines),
        _ => plain::depthwise(layer, input, output),
    }
    let _ = scratch;
}

/// Applies `table` to every byte of `input`.
pub fn look_up(isa: Isa, table: &pointwise::Table, input: &[u8], output: &mut [u8]) {
    #[cfg(avx512)]
    if isa == Isa::Vnni && vnni_table::look_up(table, input, output) {
        return;
    }
    let _ = isa;
    pointwise::look_up(table, input, output);
}

/// Combines `left` and `right`, the shorter repeated, into `output`.
pub fn binary(isa: Isa, layer: &Binary, left: &[u8], right: &[u8], output: &mut [u8]) {
    let alike = left.len() == output.len() && right.len() == output.len();
    if let (true, Some(fast)) = (alike, &layer.fast) {
        return match isa {
            Isa::Portable | Isa::Dotprod => portable::binary(layer, fast, left, right, output),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 | Isa::AvxVnni => avx2::binary(layer, fast, left, right, output),
            #[cfg(avx512)]
            Isa::Vnni => vnni_binary::binary(layer, fast, left, right, output),
            _ => plain::binary(layer, fast, left, right, output),
        };
    }
    for ((to, left), right) in output
        .iter_mut()
        .zip(left.iter().cycle())
        .zip(right.iter().cycle())
    {
        *to = layer.apply(*left, *right);
    }
}
