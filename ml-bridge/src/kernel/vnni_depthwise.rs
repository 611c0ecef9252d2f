//! Depthwise convolutions with AVX-512 VNNI; see [`super::quads`] for what lies where.
//!
//! For each result row, or two: interleave (12 shuffles per 64 bytes of four places), then 64 results at a time with the
//! weights of four patterns in registers, and what is left 16 at a time.
#![allow(unsafe_code)]
#![allow(
    clippy::incompatible_msrv,
    reason = "the build script leaves this file out for older compilers"
)]

use std::arch::x86_64::*;

use super::depthwise::{Depthwise, Packed};
use super::lanes::Line;
use super::linear::LANES;
use super::quads::Quads;
use super::vnni::{back_with, load, narrow, pack, store};

/// Runs `layer` over `input` into `output`.
pub fn depthwise(layer: &Depthwise, input: &[u8], output: &mut [u8], scratch: &mut [Line]) {
    debug_assert!(super::Isa::available().contains(&super::Isa::Vnni));
    let Packed::Quads(quads) = &layer.packed else {
        debug_assert!(false, "weights packed for another kernel");
        return;
    };
    assert!(layer.reach() <= input.len() && layer.scratch() <= scratch.len());
    assert!(output.len() == quads.rows * quads.runs * quads.run);
    assert!(quads.weights.len() == quads.shared * quads.patterns * quads.taps.len());
    assert!(quads.bias.len() == quads.patterns && quads.scales.len() == quads.patterns);
    let results = quads.runs * quads.run;
    for (row, output) in output.chunks_exact_mut(results.max(1)).enumerate() {
        let lines = quads.patterns * quads.taps.len();
        let row_of = Row {
            layer,
            quads,
            weights: &quads.weights[row % quads.shared * lines..][..lines],
            scratch,
        };
        // SAFETY: `Isa::Vnni` is only made where these instructions were detected; the assertions above say that all
        // places of all rows lie in the input, all stretches in the scratch, all lines of a pattern in the weights.
        unsafe {
            if row % quads.shared == 0 {
                interleave(quads, &input[row * quads.row_step..], row_of.scratch);
            }
            match quads.taps.len() {
                1 => row_of.all::<1>(output),
                2 => row_of.all::<2>(output),
                3 => row_of.all::<3>(output),
                4 => row_of.all::<4>(output),
                5 => row_of.all::<5>(output),
                6 => row_of.all::<6>(output),
                _ => row_of.blocks::<0>(output, 0),
            }
        }
    }
}

/// Interleaves the places of one row, which starts with `input`.
///
/// # Safety
/// The processor has the instructions; `scratch` holds all stretches, and `input` all places.
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn interleave(quads: &Quads, input: &[u8], scratch: &mut [Line]) {
    // Dword 4 d + l of a place goes to dword 4 l + d, so that unpacking inside 128-bit parts leaves bytes in order.
    let deal = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    for (number, places) in quads.places.iter().enumerate() {
        for part in 0..quads.length.div_ceil(64) {
            // SAFETY: the caller's word: `part` lies inside the length, rounded up to 64, of each place.
            unsafe {
                let rows = places.map(|place| {
                    let at = input.as_ptr().add(place + part * 64);
                    _mm512_permutexvar_epi32(deal, _mm512_loadu_si512(at.cast()))
                });
                let low = [
                    _mm512_unpacklo_epi8(rows[0], rows[1]),
                    _mm512_unpacklo_epi8(rows[2], rows[3]),
                ];
                let high = [
                    _mm512_unpackhi_epi8(rows[0], rows[1]),
                    _mm512_unpackhi_epi8(rows[2], rows[3]),
                ];
                let to = scratch.as_mut_ptr().add(number * quads.stretch() + part * 4);
                _mm512_store_si512(to.cast(), _mm512_unpacklo_epi16(low[0], low[1]));
                _mm512_store_si512(to.add(1).cast(), _mm512_unpackhi_epi16(low[0], low[1]));
                _mm512_store_si512(to.add(2).cast(), _mm512_unpacklo_epi16(high[0], high[1]));
                _mm512_store_si512(to.add(3).cast(), _mm512_unpackhi_epi16(high[0], high[1]));
            }
        }
    }
}

/// One result row on its way.
struct Row<'a> {
    layer: &'a Depthwise,
    quads: &'a Quads,
    /// Weights for this row: pattern, group of taps.
    weights: &'a [Line],
    scratch: &'a mut [Line],
}

impl Row<'_> {
    /// Where the interleaved bytes of tap group `number` start.
    #[inline]
    fn start(&self, number: usize) -> *const u8 {
        let (stretch, offset) = self.quads.taps[number];
        let line: *const Line = &raw const self.scratch[stretch * self.quads.stretch()];
        line.cast::<u8>().wrapping_add(4 * offset)
    }

    /// All results: four blocks at a time as far as they go, then block by block. `T` groups of taps.
    ///
    /// # Safety
    /// The processor has the instructions; the scratch holds the interleaved row, `output` all its results.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn all<const T: usize>(&self, output: &mut [u8]) {
        let patterns = self.quads.patterns;
        let regular = patterns < 3 || patterns % 4 == 0;
        let whole = if regular && T < 4 && self.quads.exact {
            self.quads.run / 64 * 64
        } else {
            0
        };
        // SAFETY: passed on.
        unsafe {
            if whole > 0 {
                for class in 0..patterns.div_ceil(4) {
                    self.fours::<T>(output, class, whole);
                }
            }
            if whole < self.quads.run {
                self.blocks::<T>(output, whole);
            }
        }
    }

    /// 64 results at a time, up to `whole` of each run, those whose patterns start at `4 * class`.
    ///
    /// # Safety
    /// As [`Row::all`].
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn fours<const T: usize>(&self, output: &mut [u8], class: usize, whole: usize) {
        let quads = self.quads;
        let pattern = [0, 1, 2, 3].map(|n| (class * 4 + n) % quads.patterns);
        let mut starts = [std::ptr::null::<u8>(); T];
        for (number, start) in starts.iter_mut().enumerate() {
            *start = self.start(number);
        }
        let mut weights = [[_mm512_setzero_si512(); T]; 4];
        for (weights, pattern) in weights.iter_mut().zip(pattern) {
            for (w, line) in weights.iter_mut().zip(&self.weights[pattern * T..]) {
                // SAFETY: a line holds 64 bytes.
                *w = unsafe { _mm512_loadu_si512(line.0.as_ptr().cast()) };
            }
        }
        let low = _mm512_set1_epi8(self.layer.end.bounds.low as i8);
        let high = _mm512_set1_epi8(self.layer.end.bounds.high as i8);
        let step = quads.patterns.div_ceil(4) * 64;
        let scales = pattern.map(|p| &quads.scales[p]);
        let bias = pattern.map(|p| quads.bias[p].0.as_ptr());
        for number in 0..quads.runs {
            let output = &mut output[number * quads.run..][..quads.run];
            assert!(whole <= output.len());
            for at in (class * 64..whole).step_by(step) {
                let from = 4 * (number * quads.run_step + at);
                // Written out, so that weights stay in registers.
                macro_rules! block {
                    ($n:literal) => {{
                        let mut sums = _mm512_loadu_si512(bias[$n].cast());
                        for (w, start) in weights[$n].iter().zip(starts) {
                            let x = _mm512_loadu_si512(start.add(from + $n * 64).cast());
                            sums = _mm512_dpbusd_epi32(sums, x, *w);
                        }
                        let (constants, signs) = load(scales[$n]);
                        back_with(sums, constants, signs)
                    }};
                }
                // SAFETY: `from` plus the tap's offset lies inside the interleaved length, and 64 results from `at`
                // on inside the run.
                unsafe {
                    let values = [block!(0), block!(1), block!(2), block!(3)];
                    let bytes = _mm512_min_epu8(_mm512_max_epu8(pack(values), low), high);
                    _mm512_storeu_si512(output.as_mut_ptr().add(at).cast(), bytes);
                }
            }
        }
    }

    /// 16 results at a time, from byte `first` of each run on; `T` groups of taps in registers, or any number for 0.
    ///
    /// # Safety
    /// As [`Row::all`]; `first` is a multiple of 64.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn blocks<const T: usize>(&self, output: &mut [u8], first: usize) {
        let (layer, quads) = (self.layer, self.quads);
        let bounds = layer.end.bounds;
        let count = quads.taps.len();
        let mut starts = [std::ptr::null::<u8>(); T];
        for (number, start) in starts.iter_mut().enumerate() {
            *start = self.start(number);
        }
        for turn in 0..quads.patterns {
            let pattern = (first / LANES + turn) % quads.patterns;
            let lines = &self.weights[pattern * count..][..count];
            // SAFETY: lines and biases hold 64 bytes.
            let (weights, bias) = unsafe {
                let mut weights = [_mm512_setzero_si512(); T];
                for (w, line) in weights.iter_mut().zip(lines) {
                    *w = _mm512_loadu_si512(line.0.as_ptr().cast());
                }
                (weights, _mm512_loadu_si512(quads.bias[pattern].0.as_ptr().cast()))
            };
            let (scale, signs) = load(&quads.scales[pattern]);
            for number in 0..quads.runs {
                let mut at = first + turn * LANES;
                while at < quads.run {
                    let from = number * quads.run_step + at;
                    let mut sums = bias;
                    // SAFETY: `from` plus the tap's offset lies inside the interleaved length; reading 16 lanes from
                    // there stays inside the scratch, which has two lines more.
                    unsafe {
                        if T > 0 {
                            for (w, start) in weights.iter().zip(starts) {
                                let x = _mm512_loadu_si512(start.add(4 * from).cast());
                                sums = _mm512_dpbusd_epi32(sums, x, *w);
                            }
                        } else {
                            for (number, line) in lines.iter().enumerate() {
                                let x = _mm512_loadu_si512(self.start(number).add(4 * from).cast());
                                sums =
                                    _mm512_dpbusd_epi32(sums, x, _mm512_loadu_si512(line.0.as_ptr().cast()));
                            }
                        }
                    }
                    let to = number * quads.run + at;
                    let lanes = (quads.run - at).min(LANES);
                    if quads.exact {
                        let bytes = narrow(back_with(sums, scale, signs), bounds.low, bounds.high);
                        // SAFETY: `to` and the `lanes` bytes after it lie in the row's results.
                        unsafe { store(bytes, output.as_mut_ptr().add(to), lanes) };
                    } else {
                        slowly(layer, sums, at, &mut output[to..][..lanes]);
                    }
                    at += quads.patterns * LANES;
                }
            }
        }
    }
}

/// Takes sums back for layers whose sums or factors are out of the usual range; `at` is the first lane's place in its
/// run.
#[cold]
#[inline(never)]
#[target_feature(enable = "avx512f")]
fn slowly(layer: &Depthwise, sums: __m512i, at: usize, output: &mut [u8]) {
    let mut values = [0i32; LANES];
    // SAFETY: `values` holds 64 bytes.
    unsafe { _mm512_storeu_si512(values.as_mut_ptr().cast(), sums) };
    for (lane, (byte, value)) in output.iter_mut().zip(values).enumerate() {
        *byte = layer
            .end
            .scale((at + lane) % layer.window.channels, value.wrapping_add(i32::MIN));
    }
}
