//! Convolutions of each channel with its own filter, over an already padded image.
//!
//! ```text
//! Taps  (portable, AVX2)   tap (0, 0): one i16 weight per channel; tap (0, 1) ...
//! Quads (AVX-512 VNNI)     see `quads`
//! ```

use super::Isa;
use super::quads::Quads;
use super::requantize::Requantize;

/// Where the filter goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// Result rows and columns.
    pub size: [usize; 2],
    /// Channels.
    pub channels: usize,
    /// Bytes per input row.
    pub pitch: usize,
    /// Filter height and width.
    pub taps: [usize; 2],
    /// Step, vertical and horizontal.
    pub stride: [usize; 2],
    /// Distance of taps, vertical and horizontal.
    pub dilation: [usize; 2],
}

impl Window {
    /// One past the last input byte that is read.
    pub fn reach(&self) -> usize {
        let last = |axis: usize| {
            (self.size[axis].max(1) - 1) * self.stride[axis]
                + (self.taps[axis].max(1) - 1) * self.dilation[axis]
        };
        last(0) * self.pitch + (last(1) + 1) * self.channels
    }
}

/// Weights in the order that a kernel reads them.
#[derive(Debug, Clone, PartialEq)]
pub enum Packed {
    /// Tap by tap.
    Taps(Vec<i16>),
    /// See [`super::quads`].
    Quads(Quads),
}

/// A depthwise layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Depthwise {
    /// Where the filter goes.
    pub window: Window,
    /// Weights.
    pub packed: Packed,
    /// Back to bytes.
    pub end: Requantize,
}

impl Depthwise {
    /// Packs `weights` (height x width x channels) for `isa`.
    pub fn new(isa: Isa, window: Window, weights: &[i8], end: Requantize) -> Self {
        debug_assert_eq!(weights.len(), window.taps[0] * window.taps[1] * window.channels);
        debug_assert_eq!(end.bias.len(), window.channels);
        let packed = match isa {
            Isa::Vnni => Packed::Quads(Quads::new(&window, weights, &end)),
            Isa::Portable | Isa::Avx2 => Packed::Taps(weights.iter().map(|w| i16::from(*w)).collect()),
        };
        Depthwise { window, packed, end }
    }

    /// Bytes of packed weights and parameters.
    pub fn bytes(&self) -> usize {
        self.end.bias.len() * 12
            + match &self.packed {
                Packed::Taps(weights) => weights.len() * 2,
                Packed::Quads(quads) => quads.bytes(),
            }
    }

    /// Lines of scratch that [`super::depthwise()`] needs.
    pub fn scratch(&self) -> usize {
        match &self.packed {
            Packed::Taps(_) => 0,
            Packed::Quads(quads) => quads.scratch(),
        }
    }

    /// One past the last input byte that is read.
    pub fn reach(&self) -> usize {
        match &self.packed {
            Packed::Taps(_) => self.window.reach(),
            Packed::Quads(quads) => quads.reach(),
        }
    }
}

/// The layer in plain Rust; `sums` holds a number per channel.
pub(super) fn portable(layer: &Depthwise, input: &[u8], output: &mut [u8], sums: &mut [i32]) {
    let Packed::Taps(weights) = &layer.packed else {
        debug_assert!(false, "weights packed for another kernel");
        return;
    };
    let window = &layer.window;
    let channels = window.channels;
    let sums = &mut sums[..channels];
    for (position, results) in output.chunks_exact_mut(channels).enumerate() {
        let (y, x) = (position / window.size[1], position % window.size[1]);
        sums.copy_from_slice(&layer.end.bias);
        let mut weights = weights.chunks_exact(channels);
        for row in 0..window.taps[0] {
            let start = (y * window.stride[0] + row * window.dilation[0]) * window.pitch;
            for column in 0..window.taps[1] {
                let start = start + (x * window.stride[1] + column * window.dilation[1]) * channels;
                let Some(weights) = weights.next() else { return };
                for ((sum, x), w) in sums.iter_mut().zip(&input[start..][..channels]).zip(weights) {
                    *sum = sum.wrapping_add(i32::from(i16::from(*x)) * i32::from(*w));
                }
            }
        }
        for ((channel, result), sum) in results.iter_mut().enumerate().zip(sums.iter()) {
            // The bias is in the sum already.
            *result = layer.end.scale(channel, *sum);
        }
    }
}
