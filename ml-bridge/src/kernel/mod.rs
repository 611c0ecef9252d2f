//! The inner loops, one file per instruction set, chosen once at run time. All give the same bits.
//!
//! This is the only room of the crate with `unsafe` code; every block names the check that makes it true.

#[cfg(target_arch = "x86_64")]
mod avx2;
pub mod lanes;
pub mod linear;
mod portable;
pub mod requantize;
#[cfg(test)]
mod tests;

use linear::Linear;

/// A family of kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Isa {
    /// Plain Rust, everywhere.
    Portable,
    /// x86-64 with AVX2.
    Avx2,
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
        }
    }
}

/// Runs `layer` over `input` into `output` (positions x outputs) with the kernels of `isa`, which is available and
/// for which `layer` was packed.
pub fn linear(isa: Isa, layer: &Linear, input: &[u8], output: &mut [u8], scratch: &mut [i16]) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2::linear(layer, input, output, scratch),
        _ => portable::linear(layer, input, output, scratch),
    }
}
