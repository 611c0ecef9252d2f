//! Depthwise convolutions with AVX-512 VNNI; see [`super::quads`] for what lies where.
//!
//! For each result row, or two: interleave (12 shuffles per 64 bytes of four places), then pattern by pattern, with its
//! weights and constants in registers: four results of each of its 16 lanes at a time, for both rows, and what is left one
//! at a time.
#![allow(unsafe_code)]
#![allow(
    clippy::incompatible_msrv,
    reason = "the build script leaves this file out for older compilers"
)]

use std::arch::x86_64::*;

use super::depthwise::{Depthwise, Packed};
use super::geometry::LANES;
use super::line::Line;
use super::lines::Parts;
use super::quads::Quads;
use super::spell::each;
use super::vnni_back::{back_unsigned, back_with, load, narrow, pack, store, store_parts};

/// Runs `layer` over `input` into `output`.
pub fn depthwise(layer: &Depthwise, input: &[u8], output: &mut [u8], scratch: &mut [Line]) {
    debug_assert!(super::Isa::available().contains(&super::Isa::Vnni));
    let Packed::Quads(quads) = &layer.packed else {
        debug_assert!(false, "weights packed for another kernel");
        return;
    };
    assert!(layer.reach() <= input.len() && layer.scratch() <= scratch.len());
    assert!(output.len() == quads.rows * quads.runs * quads.run);
    let parts = quads.stock.parts();
    assert!(parts.weights.len() == quads.shared * quads.patterns * quads.taps.len());
    assert!(parts.bias.len() == quads.patterns);
    let results = quads.runs * quads.run;
    let lines = quads.patterns * quads.taps.len();
    for (number, output) in output.chunks_mut((results * quads.shared).max(1)).enumerate() {
        let row = number * quads.shared;
        // SAFETY: `Isa::Vnni` is only made where these instructions were detected; the assertions above say that all
        // places of all rows lie in the input, all stretches in the scratch, all lines of a pattern in the weights.
        unsafe {
            interleave(quads, &input[row * quads.row_step..], scratch);
            let both = Rows {
                layer,
                quads,
                parts,
                weights: parts.weights,
                scratch,
            };
            if quads.exact && output.len() == 2 * results {
                match quads.taps.len() {
                    1 => both.patterns::<1, 2>(output),
                    2 => both.patterns::<2, 2>(output),
                    3 => both.patterns::<3, 2>(output),
                    _ => both.each_row(output, results, lines),
                }
            } else {
                both.each_row(output, results, lines);
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

/// One result row, or the two that share an interleaving, on their way.
#[derive(Clone, Copy)]
struct Rows<'a> {
    layer: &'a Depthwise,
    quads: &'a Quads,
    parts: Parts<'a>,
    /// Weights of these rows: row, pattern, group of taps.
    weights: &'a [Line],
    scratch: &'a [Line],
}

impl Rows<'_> {
    /// Where the interleaved bytes of tap group `number` start.
    #[inline]
    fn start(&self, number: usize) -> *const u8 {
        let (stretch, offset) = self.quads.taps[number];
        let line: *const Line = &raw const self.scratch[stretch * self.quads.stretch()];
        line.cast::<u8>().wrapping_add(4 * offset)
    }

    /// Row by row of `results` bytes and as many `lines` of weights.
    ///
    /// # Safety
    /// The processor has the instructions; the scratch holds the interleaved rows, `output` all their results, and the
    /// weights the lines of as many rows.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn each_row(self, output: &mut [u8], results: usize, lines: usize) {
        for (output, weights) in output
            .chunks_exact_mut(results)
            .zip(self.weights.chunks_exact(lines))
        {
            let row = Rows { weights, ..self };
            // SAFETY: passed on.
            unsafe {
                match self.quads.taps.len() {
                    count if count > 6 || !self.quads.exact => row.blocks(output),
                    1 => row.patterns::<1, 1>(output),
                    2 => row.patterns::<2, 1>(output),
                    3 => row.patterns::<3, 1>(output),
                    4 => row.patterns::<4, 1>(output),
                    5 => row.patterns::<5, 1>(output),
                    _ => row.patterns::<6, 1>(output),
                }
            }
        }
    }

    /// All results of `S` rows, pattern by pattern; `T` groups of taps.
    ///
    /// # Safety
    /// As [`Rows::each_row`]; sums are taken back exactly.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn patterns<const T: usize, const S: usize>(&self, output: &mut [u8]) {
        let quads = self.quads;
        let results = quads.runs * quads.run;
        assert!(output.len() == S * results && quads.taps.len() == T);
        assert!(self.weights.len() >= S * quads.patterns * T);
        let mut starts = [std::ptr::null::<u8>(); T];
        for (number, start) in starts.iter_mut().enumerate() {
            *start = self.start(number);
        }
        // A pattern comes again every so many bytes, in the image and in the results.
        let period = quads.patterns * LANES;
        let [from_step, to_step] = if quads.runs == 1 {
            [period; 2]
        } else {
            [quads.run_step, quads.run]
        };
        for pattern in 0..quads.patterns {
            let first = pattern * LANES;
            if first >= quads.run {
                break;
            }
            // How often it comes, and how often with all its lanes.
            let [count, whole] = if quads.runs == 1 {
                let left = quads.run - first;
                [left.div_ceil(period), (left + period - LANES) / period]
            } else {
                [
                    quads.runs,
                    if first + LANES <= quads.run { quads.runs } else { 0 },
                ]
            };
            let mut weights = [[_mm512_setzero_si512(); T]; S];
            for (row, weights) in weights.iter_mut().enumerate() {
                for (tap, w) in weights.iter_mut().enumerate() {
                    let line = &self.weights[(row * quads.patterns + pattern) * T + tap];
                    // SAFETY: a line holds 64 bytes.
                    *w = unsafe { _mm512_load_si512(line.0.as_ptr().cast()) };
                }
            }
            let station = Station {
                weights,
                // SAFETY: biases hold 64 bytes.
                bias: unsafe { _mm512_load_si512(self.parts.bias[pattern].0.as_ptr().cast()) },
                starts,
                results,
                steps: [from_step, to_step],
                bounds: [self.layer.end.bounds.low, self.layer.end.bounds.high],
            };
            let last = (quads.run - first).min(LANES);
            let ends = [
                whole,
                count,
                if quads.runs == 1 {
                    (quads.run - first) % period
                } else {
                    last
                },
            ];
            // SAFETY: byte `first` of a run and those that many steps further lie in the interleaved rows, and in the
            // results of each row; reading 16 lanes from there stays inside the scratch, which has two lines more.
            unsafe { station.run(first, ends, load(self.parts.scale(pattern)), output.as_mut_ptr()) };
        }
    }

    /// 16 results at a time, any number of groups of taps, for layers whose sums may be out of the usual range.
    ///
    /// # Safety
    /// As [`Rows::each_row`], for one row.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn blocks(&self, output: &mut [u8]) {
        let (layer, quads) = (self.layer, self.quads);
        let bounds = layer.end.bounds;
        let count = quads.taps.len();
        for pattern in 0..quads.patterns {
            let lines = &self.weights[pattern * count..][..count];
            // SAFETY: biases hold 64 bytes.
            let bias = unsafe { _mm512_loadu_si512(self.parts.bias[pattern].0.as_ptr().cast()) };
            let (scale, signs) = load(self.parts.scale(pattern));
            for number in 0..quads.runs {
                let mut at = pattern * LANES;
                while at < quads.run {
                    let from = number * quads.run_step + at;
                    let mut sums = bias;
                    for (number, line) in lines.iter().enumerate() {
                        // SAFETY: `from` plus the tap's offset lies inside the interleaved length; reading 16 lanes
                        // from there stays inside the scratch, which has two lines more. A line holds 64 bytes.
                        unsafe {
                            let x = _mm512_loadu_si512(self.start(number).add(4 * from).cast());
                            sums = _mm512_dpbusd_epi32(sums, x, _mm512_loadu_si512(line.0.as_ptr().cast()));
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

/// A pattern's weights and bias, `T` groups of taps for each of `S` rows.
struct Station<const T: usize, const S: usize> {
    weights: [[__m512i; T]; S],
    bias: __m512i,
    /// Where the interleaved bytes of each group of taps start.
    starts: [*const u8; T],
    /// Results in a row.
    results: usize,
    /// Bytes between its places, in the image and in the results.
    steps: [usize; 2],
    /// Lowest and highest result.
    bounds: [u8; 2],
}

impl<const T: usize, const S: usize> Station<T, S> {
    /// The results of one pattern, from byte `first` of a run on: of `ends`, the first that many places with all 16
    /// lanes, the places up to the second with the third's.
    ///
    /// # Safety
    /// The processor has the instructions, and all that is meant can be read and written.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn run(
        &self,
        first: usize,
        [whole, count, last]: [usize; 3],
        (constants, signs): ([__m512i; 5], __mmask16),
        output: *mut u8,
    ) {
        let low = _mm512_set1_epi8(self.bounds[0] as i8);
        let high = _mm512_set1_epi8(self.bounds[1] as i8);
        let [from_step, to_step] = self.steps;
        let back = |sums: __m512i| {
            if signs == 0 {
                back_unsigned(sums, constants)
            } else {
                back_with(sums, constants, signs)
            }
        };
        let mut place = 0;
        // SAFETY: the caller's word.
        unsafe {
            while place + 4 <= whole {
                let mut values = [[self.bias; 4]; S];
                each!(COLUMN < 4, 0 1 2 3, {
                    let from = 4 * (first + (place + COLUMN) * from_step);
                    each!(TAP < T, 0 1 2 3 4 5, {
                        let x = _mm512_loadu_si512(self.starts[TAP].add(from).cast());
                        each!(ROW < S, 0 1, {
                            let sums = values[ROW][COLUMN];
                            values[ROW][COLUMN] = _mm512_dpbusd_epi32(sums, x, self.weights[ROW][TAP]);
                        });
                    });
                });
                each!(ROW < S, 0 1, {
                    let [a, b, c, d] = values[ROW];
                    let bytes = pack([back(a), back(b), back(c), back(d)]);
                    let bytes = _mm512_min_epu8(_mm512_max_epu8(bytes, low), high);
                    let to = output.add(ROW * self.results + first + place * to_step);
                    if to_step == LANES {
                        _mm512_storeu_si512(to.cast(), bytes);
                    } else {
                        store_parts(bytes, [0, 1, 2, 3].map(|n| to.add(n * to_step)));
                    }
                });
                place += 4;
            }
            while place < count {
                let from = 4 * (first + place * from_step);
                each!(ROW < S, 0 1, {
                    let mut sums = self.bias;
                    each!(TAP < T, 0 1 2 3 4 5, {
                        let x = _mm512_loadu_si512(self.starts[TAP].add(from).cast());
                        sums = _mm512_dpbusd_epi32(sums, x, self.weights[ROW][TAP]);
                    });
                    let bytes = narrow(back(sums), self.bounds[0], self.bounds[1]);
                    let to = output.add(ROW * self.results + first + place * to_step);
                    store(bytes, to, if place < whole { LANES } else { last });
                });
                place += 1;
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
