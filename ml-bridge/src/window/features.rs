//! Front ends: what is computed from a window before the network sees it.
//!
//! A front end is named and versioned in the model's metadata (`spectrum/1 frame=1024 bands=16`), and its numbers are
//! the same bits on every machine, so that detection repeats exactly what training saw.
//!
//! | name | per channel | good at |
//! |---|---|---|
//! | `raw/1` | the window's samples | slow processes: temperatures, pressures, flows |
//! | `spectrum/1` | log2 energy in `bands` bands, log2 kurtosis, log2 crest factor | vibration and sound |
//!
//! `spectrum` averages the power of half-overlapping Hann frames (Welch, IEEE Trans. Audio 15(2), 1967). A damaged
//! bearing or tooth strikes once per passage, and each strike excites resonances: bands far above the shaft's own
//! frequency gain energy, and the wave becomes spiky, which kurtosis and crest factor measure without knowing any
//! machine dimension.

use std::fmt;

use siltstone_store::error::{Error, Result};

use super::fft::Fft;
use crate::math::{cos_sin, log2};

/// Most samples of one channel in a window.
pub const MAX_WINDOW_ROWS: usize = 1 << 16;
/// Most bands of a spectrum.
pub const MAX_BANDS: usize = 256;

/// A front end with its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrontEnd {
    /// The samples themselves, channel after channel.
    Raw,
    /// Log band energies and two measures of spikiness of each channel.
    Spectrum {
        /// Samples in a frame, a power of two.
        frame: usize,
        /// Number of bands.
        bands: usize,
    },
}

impl FrontEnd {
    /// A spectrum for windows of `length` samples: the longest frame of at most 1,024 samples that fits, `bands` bands
    /// of roughly equal ratio.
    ///
    /// # Errors
    /// `InvalidArgument` if the window is too short for that many bands.
    pub fn spectrum(length: usize, bands: usize) -> Result<Self> {
        let frame = 1usize << length.clamp(1, 1024).ilog2();
        let front_end = FrontEnd::Spectrum { frame, bands };
        front_end.check(length)?;
        Ok(front_end)
    }

    /// Numbers that a channel of `length` samples turns into.
    pub fn outputs(self, length: usize) -> usize {
        match self {
            FrontEnd::Raw => length,
            FrontEnd::Spectrum { bands, .. } => bands + 2,
        }
    }

    /// Whether the parameters make sense for windows of `length` samples.
    ///
    /// # Errors
    /// `InvalidArgument` saying which does not.
    pub fn check(self, length: usize) -> Result<()> {
        if length == 0 || length > MAX_WINDOW_ROWS {
            return Err(Error::invalid(format!(
                "a window has 1 to {MAX_WINDOW_ROWS} rows, not {length}"
            )));
        }
        if let FrontEnd::Spectrum { frame, bands } = self {
            let fits = frame.is_power_of_two() && frame >= 16 && frame <= length;
            if !fits || bands == 0 || bands > (frame / 4).min(MAX_BANDS) {
                return Err(Error::invalid(format!(
                    "{bands} bands need frames of at least {} samples (a power of two, 16 or more), and windows at \
                     least as long; this window has {length} rows",
                    (bands * 4).next_power_of_two().max(16)
                )));
            }
        }
        Ok(())
    }
}

impl fmt::Display for FrontEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrontEnd::Raw => f.write_str("raw/1"),
            FrontEnd::Spectrum { frame, bands } => write!(f, "spectrum/1 frame={frame} bands={bands}"),
        }
    }
}

impl std::str::FromStr for FrontEnd {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let unknown = || Error::invalid(format!("this build does not know the front end {text:?}"));
        let mut words = text.split(' ');
        match words.next() {
            Some("raw/1") if words.next().is_none() => Ok(FrontEnd::Raw),
            Some("spectrum/1") => {
                let mut number = |name: &str| {
                    let word = words.next()?.strip_prefix(name)?.strip_prefix('=')?;
                    word.parse::<usize>().ok()
                };
                let (frame, bands) = (number("frame"), number("bands"));
                match (frame, bands, words.next()) {
                    (Some(frame), Some(bands), None) => Ok(FrontEnd::Spectrum { frame, bands }),
                    _ => Err(unknown()),
                }
            }
            _ => Err(unknown()),
        }
    }
}

/// A front end with its tables, ready to compute. No allocation after [`Extractor::new`].
#[derive(Debug, Clone)]
pub struct Extractor {
    front_end: FrontEnd,
    length: usize,
    spectrum: Option<Spectrum>,
}

#[derive(Debug, Clone)]
struct Spectrum {
    fft: Fft,
    hann: Vec<f32>,
    frame: Vec<f32>,
    power: Vec<f32>,
    /// First bin of each band, and the end of the last.
    edges: Vec<usize>,
    centered: Vec<f32>,
}

impl Extractor {
    /// Tables for windows of `length` samples.
    ///
    /// # Errors
    /// `InvalidArgument` as [`FrontEnd::check`].
    pub fn new(front_end: FrontEnd, length: usize) -> Result<Self> {
        front_end.check(length)?;
        let spectrum = match front_end {
            FrontEnd::Raw => None,
            FrontEnd::Spectrum { frame, bands } => Some(Spectrum::new(length, frame, bands)),
        };
        Ok(Extractor {
            front_end,
            length,
            spectrum,
        })
    }

    /// Numbers per channel.
    pub fn outputs(&self) -> usize {
        self.front_end.outputs(self.length)
    }

    /// Turns a channel-major window of any number of channels into features, channel after channel.
    pub fn extract(&mut self, window: &[f32], features: &mut [f32]) {
        let outputs = self.outputs();
        debug_assert_eq!(window.len() / self.length, features.len() / outputs);
        let Some(spectrum) = &mut self.spectrum else {
            return features.copy_from_slice(window);
        };
        let channels = window.chunks_exact(self.length);
        for (samples, out) in channels.zip(features.chunks_exact_mut(outputs)) {
            spectrum.extract(samples, out);
        }
    }
}

impl Spectrum {
    fn new(length: usize, frame: usize, bands: usize) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "the window is kept as f32")]
        let hann = (0..frame)
            .map(|index| (0.5 - 0.5 * cos_sin(index, frame).0) as f32)
            .collect();
        Spectrum {
            fft: Fft::new(frame),
            hann,
            frame: vec![0.0; frame],
            power: vec![0.0; frame / 2 + 1],
            edges: band_edges(frame / 2, bands),
            centered: vec![0.0; length],
        }
    }

    fn extract(&mut self, samples: &[f32], out: &mut [f32]) {
        let count = samples.len() as f64;
        let mean = samples.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
        let (mut second, mut fourth, mut peak) = (0.0f64, 0.0f64, 0.0f64);
        for (centered, &sample) in self.centered.iter_mut().zip(samples) {
            let x = f64::from(sample) - mean;
            second += x * x;
            fourth += x * x * x * x;
            peak = peak.max(x.abs());
            *centered = narrow(x);
        }
        // A channel at rest has no shape: level at the floor, spikiness of a sine.
        let (second, fourth) = (second / count, fourth / count);
        let shape = |value: f64, other: f64| if second > 1e-30 { log2(value) } else { other };
        let (energies, spikiness) = out.split_at_mut(self.edges.len() - 1);
        spikiness[0] = narrow(shape(fourth / (second * second), 0.585));
        spikiness[1] = narrow(shape(peak / second.sqrt(), 0.5));
        self.power.fill(0.0);
        let frame = self.frame.len();
        let mut frames = 0u32;
        let mut start = 0;
        while start + frame <= self.centered.len() {
            let samples = &self.centered[start..start + frame];
            for ((place, &x), &weight) in self.frame.iter_mut().zip(samples).zip(&self.hann) {
                *place = x * weight;
            }
            self.fft.add_power(&self.frame, &mut self.power);
            frames += 1;
            start += frame / 2;
        }
        let scale = 1.0 / (f64::from(frames.max(1)) * frame as f64 * frame as f64);
        for (energy, edge) in energies.iter_mut().zip(self.edges.windows(2)) {
            let bins = &self.power[edge[0]..edge[1]];
            let sum = bins.iter().map(|&p| f64::from(p)).sum::<f64>();
            *energy = narrow(log2(sum / bins.len() as f64 * scale + 1e-12));
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "features are kept as f32")]
fn narrow(value: f64) -> f32 {
    value as f32
}

/// Splits bins `1..=last` into `bands` bands, each at least a bin wide, whose widths grow towards high frequencies:
/// edge `i` is near `last * (i / bands)^2`.
fn band_edges(last: usize, bands: usize) -> Vec<usize> {
    let mut edges = Vec::with_capacity(bands + 1);
    let mut previous = 0;
    for band in 0..=bands {
        let ideal = 1 + last * band * band / (bands * bands);
        let latest = last + 1 - (bands - band);
        let edge = ideal.max(previous + 1).min(latest.max(previous + 1));
        edges.push(edge);
        previous = edge;
    }
    edges
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

    use super::*;

    fn sine(length: usize, turns: f64, amplitude: f64) -> Vec<f32> {
        (0..length)
            .map(|i| (amplitude * (std::f64::consts::TAU * turns * i as f64 / length as f64).sin()) as f32)
            .collect()
    }

    #[test]
    fn bands_cover_every_bin_once() {
        for (last, bands) in [(8, 1), (8, 4), (64, 16), (512, 16), (512, 128), (512, 256)] {
            let edges = band_edges(last, bands);
            assert_eq!(edges.len(), bands + 1);
            assert_eq!((edges[0], edges[bands]), (1, last + 1), "{last} {bands}");
            assert!(edges.windows(2).all(|pair| pair[0] < pair[1]), "{edges:?}");
        }
    }

    #[test]
    fn a_sine_is_loud_in_its_band_alone() {
        let mut extractor = Extractor::new(FrontEnd::spectrum(1024, 16).unwrap(), 1024).unwrap();
        let mut features = vec![0.0; 18];
        extractor.extract(&sine(1024, 180.0, 2.0), &mut features);
        let edges = band_edges(512, 16);
        let band = edges.iter().rposition(|&edge| edge <= 180).unwrap();
        for (index, &energy) in features[..16].iter().enumerate() {
            assert_eq!(index == band, energy > -10.0, "{features:?}");
        }
        // Fourth moment 3/8 of the amplitude's fourth power by the square of 1/2; peak by root mean square.
        assert!((features[16] - 1.5f32.log2()).abs() < 1e-3);
        assert!((features[17] - 0.5).abs() < 1e-2);
        let mut double = vec![0.0; 18];
        extractor.extract(&sine(1024, 180.0, 4.0), &mut double);
        assert!((double[band] - features[band] - 2.0).abs() < 1e-4);
        // An offset changes nothing.
        let shifted: Vec<f32> = sine(1024, 180.0, 2.0).iter().map(|x| x + 8.0).collect();
        extractor.extract(&shifted, &mut double);
        assert!((double[band] - features[band]).abs() < 1e-3);
    }

    #[test]
    fn silence_and_spikes_are_finite() {
        let mut extractor = Extractor::new(FrontEnd::spectrum(64, 4).unwrap(), 64).unwrap();
        let mut features = vec![0.0; 12];
        let mut window = vec![3.0f32; 128];
        window[100] = 1e18;
        extractor.extract(&window, &mut features);
        assert!(features.iter().all(|f| f.is_finite()), "{features:?}");
        assert!(features[10] > 5.0);
    }

    #[test]
    fn names_bring_the_front_end_back() {
        for front_end in [
            FrontEnd::Raw,
            FrontEnd::Spectrum {
                frame: 256,
                bands: 12,
            },
        ] {
            assert_eq!(front_end.to_string().parse::<FrontEnd>().unwrap(), front_end);
        }
        for wrong in [
            "",
            "raw",
            "raw/2",
            "raw/1 x",
            "spectrum/1",
            "spectrum/1 frame=4",
            "spectrum/1 frame=64 bands=4 z",
        ] {
            assert!(wrong.parse::<FrontEnd>().is_err(), "{wrong}");
        }
        assert!(FrontEnd::Spectrum { frame: 48, bands: 4 }.check(64).is_err());
        assert!(FrontEnd::Spectrum { frame: 64, bands: 17 }.check(64).is_err());
        assert!(FrontEnd::spectrum(8, 2).is_err());
    }
}
