//! Depthwise weights packed for AVX-512 VNNI: four taps of a channel side by side in a 32-bit lane.
//!
//! The taps that meet in a lane come from four places of the image: four rows under each other (*vertical*), or, for
//! a filter of one row, four neighbouring columns (*horizontal*). For each result row, the bytes of the four places
//! are interleaved once into scratch, so that 64 bytes from `4 * j` on hold the four taps of bytes `j .. j + 16`; the
//! columns of a vertical filter, and later quads of a horizontal one, are the same scratch further on.
//!
//! ```text
//! place 0:  a0 a1 a2 ...        scratch:  a0 b0 c0 d0  a1 b1 c1 d1 ...
//! place 1:  b0 b1 b2 ...        weights:  one line per tap group and pattern: 16 channels x 4 taps
//! ```
//!
//! Where a vertical filter has up to three rows and moves down by one, the fourth place is one row further down: the same
//! scratch then also serves the next result row, whose weights are moved along by one.
//!
//! A *run* is a stretch of results whose bytes follow each other in both image and scratch: a whole row for stride 1,
//! otherwise one pixel. Lane `l` of a run's block `b` belongs to channel `(16 b + l) % channels`, so patterns repeat.

use super::geometry::{LANES, Window};
use super::lanes::{Stock, Weights};
use super::requantize::Requantize;
use super::taps::{channel_of, patterns};

/// Where taps come from, and their weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Quads {
    /// For each interleaved stretch of scratch: its four places, in bytes from the row's start.
    pub places: Vec<[usize; 4]>,
    /// Bytes interleaved per place.
    pub length: usize,
    /// For each group of taps: its stretch, and how many bytes further on it starts.
    pub taps: Vec<(usize, usize)>,
    /// Result rows.
    pub rows: usize,
    /// Bytes between the starts of rows.
    pub row_step: usize,
    /// Runs per row, results per run, bytes between the starts of runs.
    pub runs: usize,
    /// Results in a run.
    pub run: usize,
    /// Image bytes between the starts of runs.
    pub run_step: usize,
    /// Patterns; block `b` of a run has pattern `b % patterns`.
    pub patterns: usize,
    /// Result rows computed from one interleaving: 1 or 2.
    pub shared: usize,
    /// Biases and constants per pattern; weights by row of those that share, pattern, group of taps.
    pub stock: Stock,
    /// See [`super::lanes::Lanes::exact`].
    pub exact: bool,
}

impl Quads {
    /// Packs `weights` (height x width x channels), whose sums are taken back exactly or not. None if packed ones do not
    /// fit.
    pub fn new(window: &Window, weights: Weights<'_>, end: &Requantize, exact: bool) -> Option<Self> {
        let channels = window.channels;
        // One result column and one filter column: the image may as well lie on its side.
        let upright = window.size[1] == 1 && window.taps[1] == 1 && window.pitch == channels;
        let window = if upright { &turned(window) } else { window };
        let horizontal = window.taps[0] == 1;
        let (length, groups) = if horizontal {
            (window.taps[1], 1)
        } else {
            (window.taps[0], window.taps[1])
        };
        let column = window.dilation[1] * channels;
        let between = if horizontal {
            column
        } else {
            window.dilation[0] * window.pitch
        };
        let quads = length.div_ceil(4);
        let shared =
            !horizontal && length < 4 && window.size[0] > 1 && window.dilation[0] == window.stride[0];
        let mut places = Vec::new();
        let mut taps = Vec::new();
        // Tap `t` of quad `q` is filter position `4 q + t` along the direction; absent ones have weight zero.
        let mut position_of: Vec<[Option<usize>; 4]> = Vec::new();
        for quad in 0..quads {
            let place = |t: usize| {
                if 4 * quad + t < length || shared {
                    (4 * quad + t) * between
                } else {
                    4 * quad * between
                }
            };
            if !horizontal {
                places.push([0, 1, 2, 3].map(place));
            }
            for group in 0..groups {
                taps.push(if horizontal {
                    (0, 4 * quad * between)
                } else {
                    (quad, group * column)
                });
                position_of.push([0, 1, 2, 3].map(|t| {
                    let along = 4 * quad + t;
                    (along < length).then_some(if horizontal { along } else { along * groups + group })
                }));
            }
        }
        if horizontal {
            places.push([0, 1, 2, 3].map(|t| if t < length { t * between } else { 0 }));
        }
        let flat = window.stride[1] == 1;
        let (runs, run) = if flat {
            (1, window.size[1] * channels)
        } else {
            (window.size[1], channels)
        };
        let patterns = patterns(flat, channels);
        let furthest = taps.iter().map(|t| t.1).max().unwrap_or(0);
        let run_step = window.stride[1] * channels;
        let lines = (1 + usize::from(shared)) * patterns * position_of.len();
        let channel = |pattern: usize, lane: usize| channel_of(flat, channels, pattern * LANES + lane);
        let stock = match weights {
            Weights::Plain(_) => Stock::new(end, patterns, channel, lines),
            Weights::Packed(packed) => Stock::packed(&packed.lines, patterns, lines)?,
        };
        let mut quads = Quads {
            places,
            length: (runs - 1) * run_step + run + furthest,
            taps,
            rows: window.size[0],
            row_step: window.stride[0] * window.pitch,
            runs,
            run,
            run_step,
            patterns,
            shared: 1 + usize::from(shared),
            stock,
            exact,
        };
        if let Weights::Plain(weights) = weights {
            let mut lines = quads.stock.weights_mut().iter_mut();
            for (row, pattern) in (0..quads.shared).flat_map(|row| (0..patterns).map(move |p| (row, p))) {
                for (positions, line) in position_of.iter().zip(lines.by_ref()) {
                    for (lane, to) in line.0.chunks_exact_mut(4).enumerate() {
                        let Some(channel) = channel(pattern, lane) else {
                            continue;
                        };
                        for (to, position) in to[row..].iter_mut().zip(positions) {
                            *to = position.map_or(0, |p| weights[p * channels + channel]);
                        }
                    }
                }
            }
        }
        Some(quads)
    }

    /// Lines of scratch: each stretch in whole lines, and two lines past the last.
    pub fn scratch(&self) -> usize {
        self.places.len() * self.stretch() + 2
    }

    /// Lines of one stretch: four for each 64 bytes of a place.
    pub fn stretch(&self) -> usize {
        self.length.div_ceil(64) * 4
    }

    /// One past the last input byte that is read, places being read 64 bytes at a time.
    pub fn reach(&self) -> usize {
        let furthest = self.places.iter().flatten().max().copied().unwrap_or(0);
        (self.rows.max(1) - 1) / self.shared * self.shared * self.row_step
            + furthest
            + self.length.next_multiple_of(64)
    }

    /// Bytes of packed weights and parameters.
    pub fn bytes(&self) -> usize {
        self.stock.bytes()
    }
}

/// The same layer over an image of one pixel per row, laid on its side.
fn turned(window: &Window) -> Window {
    let turn = |[a, b]: [usize; 2]| [b, a];
    Window {
        size: turn(window.size),
        taps: turn(window.taps),
        stride: turn(window.stride),
        dilation: turn(window.dilation),
        ..window.clone()
    }
}
