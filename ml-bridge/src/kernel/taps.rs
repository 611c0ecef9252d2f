//! Depthwise weights packed in pairs of taps, for every family but AVX-512: 16 bytes of a run at a time.
//!
//! A *run* is a stretch of results whose bytes follow each other in the image: a whole row for stride 1, otherwise one
//! pixel. Lane `l` of a run's block `b` belongs to channel `(16 b + l) % channels`, so patterns of weights repeat.
//!
//! ```text
//! pair:  lane 0: weight of the first tap, of the second; lane 1 ...; lane 15
//! ```

use super::geometry::{LANES, Window};
use super::lanes::{Stock, Weights};
use super::line::Pair;
use super::requantize::Requantize;
use super::scale::{drop_tiny, exact_for};
use super::signed::{bytes_of, signed};

/// Where taps come from, and their weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Taps {
    /// Bytes from a result's place in the run to the two taps of each pair.
    pub offsets: Vec<[usize; 2]>,
    /// Result rows.
    pub rows: usize,
    /// Bytes between the starts of rows.
    pub row_step: usize,
    /// Runs per row.
    pub runs: usize,
    /// Results in a run.
    pub run: usize,
    /// Bytes between the starts of runs.
    pub run_step: usize,
    /// Patterns; block `b` of a run has pattern `b % patterns`.
    pub patterns: usize,
    /// Biases and constants per pattern; weights by pattern, pair.
    pub stock: Stock,
    /// See [`super::lanes::Lanes::exact`].
    pub exact: bool,
}

impl Taps {
    /// Packs `weights` (height x width x channels), whose sums are taken back exactly or not. None if packed ones do not
    /// fit.
    pub fn new(window: &Window, weights: Weights<'_>, end: &Requantize, exact: bool) -> Option<Self> {
        let channels = window.channels;
        let places: Vec<usize> = (0..window.taps[0] * window.taps[1])
            .map(|tap| {
                let (row, column) = (tap / window.taps[1], tap % window.taps[1]);
                row * window.dilation[0] * window.pitch + column * window.dilation[1] * channels
            })
            .collect();
        let flat = window.stride[1] == 1;
        let (runs, run) = if flat {
            (1, window.size[1] * channels)
        } else {
            (window.size[1], channels)
        };
        let patterns = patterns(flat, channels);
        let lines = patterns * places.len().div_ceil(2);
        let channel = |pattern: usize, lane: usize| channel_of(flat, channels, pattern * LANES + lane);
        let stock = match weights {
            Weights::Plain(_) => Stock::new(end, patterns, channel, lines),
            Weights::Packed(packed) => Stock::packed(&packed.lines, patterns, lines)?,
        };
        let mut taps = Taps {
            offsets: places
                .chunks(2)
                .map(|p| [p[0], p.get(1).copied().unwrap_or(p[0])])
                .collect(),
            rows: window.size[0],
            row_step: window.stride[0] * window.pitch,
            runs,
            run,
            run_step: window.stride[1] * channels,
            patterns,
            stock,
            exact,
        };
        if let Weights::Plain(weights) = weights {
            let mut lines = taps.stock.weights_mut().iter_mut();
            for pattern in 0..patterns {
                for (first, line) in (0..places.len()).step_by(2).zip(lines.by_ref()) {
                    let mut pair = Pair([0; 32]);
                    for lane in 0..LANES {
                        let Some(channel) = channel(pattern, lane) else {
                            continue;
                        };
                        for tap in first..places.len().min(first + 2) {
                            pair.0[lane * 2 + tap - first] = i16::from(weights[tap * channels + channel]);
                        }
                    }
                    line.0.copy_from_slice(signed(bytes_of(&[pair])));
                }
            }
        }
        Some(taps)
    }

    /// One past the last input byte that is read, runs being read 16 bytes at a time.
    pub fn reach(&self) -> usize {
        let furthest = self.offsets.iter().flatten().max().copied().unwrap_or(0);
        (self.rows.max(1) - 1) * self.row_step
            + (self.runs.max(1) - 1) * self.run_step
            + furthest
            + self.run.next_multiple_of(LANES)
    }

    /// Bytes of packed weights and parameters.
    pub fn bytes(&self) -> usize {
        self.stock.bytes()
    }
}

/// How many patterns of 16 lanes there are.
pub(super) fn patterns(flat: bool, channels: usize) -> usize {
    if !flat {
        return channels.div_ceil(LANES);
    }
    let (mut x, mut y) = (channels, LANES);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    channels / x.max(1)
}

/// The channel of byte `at` of a run, if there is one.
pub(super) fn channel_of(flat: bool, channels: usize, at: usize) -> Option<usize> {
    if flat {
        Some(at % channels)
    } else {
        Some(at).filter(|c| *c < channels)
    }
}

/// Drops factors too small to matter; says whether all sums are taken back exactly.
pub(super) fn sift(channels: usize, weights: &[i8], end: &mut Requantize) -> bool {
    let mut sizes = vec![0i64; channels];
    for tap in weights.chunks_exact(channels.max(1)) {
        for (size, weight) in sizes.iter_mut().zip(tap) {
            *size += i64::from(weight.unsigned_abs()) * 255;
        }
    }
    let mut exact = true;
    for (channel, size) in sizes.into_iter().enumerate() {
        drop_tiny(size, end, channel);
        exact &= exact_for(size, end, channel);
    }
    exact
}
