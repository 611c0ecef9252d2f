//! Convolutions of each channel with its own filter, over an already padded image.
//!
//! AVX-512 takes four taps at a time ([`super::quads`]), all others two ([`super::taps`]).

use super::Isa;
use super::geometry::Window;
use super::lanes::{Order, Prepared, Weights};
use super::quads::Quads;
use super::requantize::Requantize;
use super::taps::{Taps, sift};

/// Weights in the order that a kernel reads them.
#[derive(Debug, Clone, PartialEq)]
pub enum Packed {
    /// See [`super::taps`].
    Taps(Taps),
    /// See [`super::quads`].
    Quads(Quads),
}

/// A depthwise layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Depthwise {
    /// Where the filter goes.
    pub(crate) window: Window,
    /// Weights.
    pub(crate) packed: Packed,
    /// Back to bytes.
    pub(crate) end: Requantize,
    reach: usize,
    scratch: usize,
}

impl Depthwise {
    /// Packs `weights` (height x width x channels) for `isa`. None if packed ones do not fit.
    pub fn new(isa: Isa, window: Window, weights: Weights<'_>, mut end: Requantize) -> Option<Self> {
        if let Weights::Packed(packed) = weights {
            if !packed.give(window.channels, &mut end) {
                return None;
            }
        }
        let exact = match weights {
            Weights::Plain(weights) => sift(window.channels, weights, &mut end),
            Weights::Packed(packed) => packed.exact,
        };
        let packed = match isa.order() {
            Order::Words => Packed::Quads(Quads::new(&window, weights, &end, exact)?),
            _ => Packed::Taps(Taps::new(&window, weights, &end, exact)?),
        };
        if exact {
            end.forget();
        }
        let (reach, scratch) = match &packed {
            Packed::Taps(taps) => (taps.reach(), 0),
            Packed::Quads(quads) => (quads.reach(), quads.scratch()),
        };
        Some(Depthwise {
            window,
            packed,
            end,
            reach,
            scratch,
        })
    }

    /// What packing has found out, for a file.
    pub fn prepared(&self) -> Prepared {
        let (stock, exact) = match &self.packed {
            Packed::Taps(taps) => (&taps.stock, taps.exact),
            Packed::Quads(quads) => (&quads.stock, quads.exact),
        };
        Prepared {
            lines: stock.lines().clone(),
            bias: self.end.bias.clone(),
            factor: self.end.factor.clone(),
            exact,
        }
    }

    /// Bytes of packed weights and parameters.
    pub fn bytes(&self) -> usize {
        self.end.bias.len() * 12
            + match &self.packed {
                Packed::Taps(taps) => taps.bytes(),
                Packed::Quads(quads) => quads.bytes(),
            }
    }

    /// Lines of scratch that [`super::depthwise()`] needs.
    pub fn scratch(&self) -> usize {
        self.scratch
    }

    /// One past the last input byte that is read.
    pub fn reach(&self) -> usize {
        self.reach
    }
}
