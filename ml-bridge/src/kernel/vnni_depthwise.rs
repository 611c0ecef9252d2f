//! Depthwise convolutions with AVX-512 VNNI; see [`super::quads`] for what lies where.
//!
//! For each result row: interleave (12 shuffles per 64 bytes of four places), then 16 results at a time with the
//! weights of one pattern in registers.
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
use super::vnni::{back_with, load, narrow, store};

/// Runs `layer` over `input` into `output`.
pub fn depthwise(layer: &Depthwise, input: &[u8], output: &mut [u8], scratch: &mut [Line]) {
    debug_assert!(super::Isa::available().contains(&super::Isa::Vnni));
    let Packed::Quads(quads) = &layer.packed else {
        debug_assert!(false, "weights packed for another kernel");
        return;
    };
    assert!(quads.reach() <= input.len() && quads.scratch() <= scratch.len());
    assert!(output.len() == quads.rows * quads.runs * quads.run);
    assert!(quads.weights.len() == quads.patterns * quads.taps.len());
    assert!(quads.bias.len() == quads.patterns && quads.scales.len() == quads.patterns);
    let results = quads.runs * quads.run;
    for (row, output) in output.chunks_exact_mut(results.max(1)).enumerate() {
        // SAFETY: `Isa::Vnni` is only made where these instructions were detected; the assertions above say that all
        // places of all rows lie in the input, all stretches in the scratch, all lines of a pattern in the weights.
        unsafe {
            interleave(quads, &input[row * quads.row_step..], scratch);
            match quads.taps.len() {
                1 => run::<1>(layer, quads, scratch, output),
                2 => run::<2>(layer, quads, scratch, output),
                3 => run::<3>(layer, quads, scratch, output),
                4 => run::<4>(layer, quads, scratch, output),
                5 => run::<5>(layer, quads, scratch, output),
                6 => run::<6>(layer, quads, scratch, output),
                _ => run::<0>(layer, quads, scratch, output),
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

/// All results of one row; `T` groups of taps in registers, or any number for `T == 0`.
///
/// # Safety
/// The processor has the instructions; `scratch` holds the interleaved row, `output` all its results.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn run<const T: usize>(layer: &Depthwise, quads: &Quads, scratch: &[Line], output: &mut [u8]) {
    let bounds = layer.end.bounds;
    let count = quads.taps.len();
    let mut starts = [std::ptr::null::<u8>(); T];
    for (start, (stretch, offset)) in starts.iter_mut().zip(&quads.taps) {
        // SAFETY: the tap's bytes lie in its stretch.
        *start = unsafe {
            scratch
                .as_ptr()
                .add(stretch * quads.stretch())
                .cast::<u8>()
                .add(4 * offset)
        };
    }
    for pattern in 0..quads.patterns {
        let lines = &quads.weights[pattern * count..][..count];
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
            let mut at = pattern * LANES;
            while at < quads.run {
                let from = number * quads.run_step + at;
                let mut sums = bias;
                // SAFETY: `from` plus the tap's offset lies inside the interleaved length; reading 16 lanes from there
                // stays inside the scratch, which has two lines more.
                unsafe {
                    if T > 0 {
                        for (w, start) in weights.iter().zip(starts) {
                            sums =
                                _mm512_dpbusd_epi32(sums, _mm512_loadu_si512(start.add(4 * from).cast()), *w);
                        }
                    } else {
                        for ((stretch, offset), line) in quads.taps.iter().zip(lines) {
                            let start = scratch.as_ptr().add(stretch * quads.stretch()).cast::<u8>();
                            let x = _mm512_loadu_si512(start.add(4 * (offset + from)).cast());
                            sums = _mm512_dpbusd_epi32(sums, x, _mm512_loadu_si512(line.0.as_ptr().cast()));
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
