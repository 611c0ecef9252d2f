//! The inner loops, one file per instruction set, chosen once at run time. All give the same bits.
//!
//! This is the only room of the crate with `unsafe` code; every block names the check that makes it true.

#[cfg(target_arch = "x86_64")]
mod avx2;
pub mod depthwise;
mod fixed;
pub mod lanes;
pub mod linear;
pub mod mean;
pub mod pointwise;
pub mod pool;
mod portable;
pub mod quads;
pub mod requantize;
pub mod softmax;
#[cfg(test)]
mod tests;
#[cfg(avx512)]
mod vnni;
#[cfg(avx512)]
mod vnni_binary;
#[cfg(avx512)]
mod vnni_depthwise;

use depthwise::Depthwise;
use linear::Linear;
use pointwise::Binary;

/// A family of kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Isa {
    /// Plain Rust, everywhere.
    Portable,
    /// x86-64 with AVX2.
    Avx2,
    /// x86-64 with AVX-512 and its byte dot products.
    Vnni,
}

impl Isa {
    /// Every family that this processor can run, the fastest last.
    pub fn available() -> Vec<Isa> {
        #[allow(unused_mut)]
        let mut found = vec![Isa::Portable];
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2") {
            found.push(Isa::Avx2);
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
        Isa::available().last().copied().unwrap_or(Isa::Portable)
    }

    /// Its name, for people.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            Isa::Avx2 => "avx2",
            Isa::Vnni => "avx512-vnni",
        }
    }
}

/// Runs `layer` over `input` into `output` (positions x outputs) with the kernels of `isa`, which is available and
/// for which `layer` was packed.
pub fn linear(isa: Isa, layer: &Linear, input: &[u8], output: &mut [u8], scratch: &mut Scratch) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2::linear(layer, input, output, &mut scratch.words),
        #[cfg(avx512)]
        Isa::Vnni => vnni::linear(layer, input, output),
        _ => portable::linear(layer, input, output, &mut scratch.words),
    }
}

/// Memory that kernels use for themselves, as large as the layers' `scratch` functions say.
#[derive(Debug, Clone, Default)]
pub struct Scratch {
    /// Widened patches.
    pub words: Vec<i16>,
    /// A sum per channel.
    pub sums: Vec<i32>,
    /// Interleaved rows.
    pub lines: Vec<lanes::Line>,
}

impl Scratch {
    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.words.len() * 2 + self.sums.len() * 4 + self.lines.len() * 64
    }

    /// Makes room for `layer`.
    pub fn fit_linear(&mut self, layer: &Linear) {
        self.words.resize(self.words.len().max(layer.scratch()), 0);
    }

    /// Makes room for `layer`.
    pub fn fit_depthwise(&mut self, layer: &Depthwise) {
        self.fit_sums(layer.window.channels);
        self.lines
            .resize(self.lines.len().max(layer.scratch()), lanes::Line([0; 64]));
    }

    /// Makes room for `count` sums.
    pub fn fit_sums(&mut self, count: usize) {
        self.sums.resize(self.sums.len().max(count), 0);
    }
}

/// Runs `layer` over `input` into `output`, as [`linear()`].
pub fn depthwise(isa: Isa, layer: &Depthwise, input: &[u8], output: &mut [u8], scratch: &mut Scratch) {
    match isa {
        #[cfg(avx512)]
        Isa::Vnni => vnni_depthwise::depthwise(layer, input, output, &mut scratch.lines),
        _ => depthwise::portable(layer, input, output, &mut scratch.sums),
    }
}

/// Combines `left` and `right`, the shorter repeated, into `output`.
pub fn binary(isa: Isa, layer: &Binary, left: &[u8], right: &[u8], output: &mut [u8]) {
    let alike = left.len() == output.len() && right.len() == output.len();
    #[cfg(avx512)]
    if let (Isa::Vnni, true, Some(fast)) = (isa, alike, &layer.fast) {
        return vnni_binary::binary(layer, fast, left, right, output);
    }
    let _ = isa;
    if alike {
        for ((to, left), right) in output.iter_mut().zip(left).zip(right) {
            *to = layer.apply(*left, *right);
        }
    } else {
        for ((to, left), right) in output
            .iter_mut()
            .zip(left.iter().cycle())
            .zip(right.iter().cycle())
        {
            *to = layer.apply(*left, *right);
        }
    }
}
