//! Power spectrum of real samples: a radix-2 transform of half the length on packed pairs.
//!
//! Twiddles come from [`crate::math`], sums are plain `f32` in a fixed order, so the result has the same bits on
//! every machine. Costs about `2.5 n log2 n` operations; no allocation after [`Fft::new`].

use crate::math::cos_sin;

/// A transform of one length.
#[derive(Debug, Clone)]
pub struct Fft {
    /// Half the frame length: number of packed pairs.
    half: usize,
    /// `cos, -sin` of `index` steps of the full frame, for `0..half`.
    twiddles: Vec<(f32, f32)>,
    work: Vec<(f32, f32)>,
}

impl Fft {
    /// A transform of frames of `length` samples, a power of two of at least 4; other lengths are rounded down to one.
    pub fn new(length: usize) -> Self {
        let half = (1usize << length.max(4).ilog2()) / 2;
        #[expect(clippy::cast_possible_truncation, reason = "twiddles are kept as f32")]
        let twiddles = (0..half)
            .map(|index| {
                let (cos, sin) = cos_sin(index, half * 2);
                (cos as f32, -sin as f32)
            })
            .collect();
        Fft {
            half,
            twiddles,
            work: vec![(0.0, 0.0); half],
        }
    }

    /// Adds the squared magnitude of bins `0..=length/2` of `frame` to `power`.
    pub fn add_power(&mut self, frame: &[f32], power: &mut [f32]) {
        debug_assert!(frame.len() == self.half * 2 && power.len() == self.half + 1);
        let shift = usize::BITS - self.half.ilog2();
        for (index, pair) in frame.chunks_exact(2).enumerate() {
            let place = if self.half == 1 {
                0
            } else {
                index.reverse_bits() >> shift
            };
            self.work[place] = (pair[0], pair[1]);
        }
        self.butterflies();
        self.unpack(power);
    }

    fn butterflies(&mut self) {
        let mut span = 1;
        while span < self.half {
            let step = self.half / span;
            for group in self.work.chunks_exact_mut(span * 2) {
                let (low, high) = group.split_at_mut(span);
                for (index, (a, b)) in low.iter_mut().zip(high).enumerate() {
                    let (c, s) = self.twiddles[index * step];
                    let t = (b.0 * c - b.1 * s, b.0 * s + b.1 * c);
                    *b = (a.0 - t.0, a.1 - t.1);
                    *a = (a.0 + t.0, a.1 + t.1);
                }
            }
            span *= 2;
        }
    }

    /// Separates the spectra of even and odd samples and joins them.
    fn unpack(&self, power: &mut [f32]) {
        let half = self.half;
        let (dc_even, dc_odd) = self.work[0];
        power[0] += (dc_even + dc_odd) * (dc_even + dc_odd);
        power[half] += (dc_even - dc_odd) * (dc_even - dc_odd);
        for (bin, place) in power.iter_mut().enumerate().take(half).skip(1) {
            let (a, b) = (self.work[bin], self.work[half - bin]);
            let even = ((a.0 + b.0) * 0.5, (a.1 - b.1) * 0.5);
            let odd = ((a.1 + b.1) * 0.5, (b.0 - a.0) * 0.5);
            let (c, s) = self.twiddles[bin];
            let re = even.0 + odd.0 * c - odd.1 * s;
            let im = even.1 + odd.0 * s + odd.1 * c;
            *place += re * re + im * im;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

    use super::*;
    use proptest::prelude::*;

    fn naive(frame: &[f32]) -> Vec<f64> {
        let n = frame.len();
        (0..=n / 2)
            .map(|bin| {
                let (mut re, mut im) = (0.0, 0.0);
                for (i, &x) in frame.iter().enumerate() {
                    let angle = std::f64::consts::TAU * (bin * i % n) as f64 / n as f64;
                    re += f64::from(x) * angle.cos();
                    im -= f64::from(x) * angle.sin();
                }
                re * re + im * im
            })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn power_equals_the_defining_sum(bits in 2u32..9, samples in proptest::collection::vec(-100.0f32..100.0, 256)) {
            let frame = &samples[..1 << bits];
            let mut power = vec![0.0; frame.len() / 2 + 1];
            Fft::new(frame.len()).add_power(frame, &mut power);
            let total: f64 = frame.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() * frame.len() as f64;
            for (got, want) in power.iter().zip(naive(frame)) {
                prop_assert!((f64::from(*got) - want).abs() <= 1e-5 * total + 1e-9, "{got} {want}");
            }
        }
    }
}
