//! From 32-bit sums back to 8 bits, rounding exactly as TFLite's reference kernels do.
//!
//! A real factor `m` is kept as `multiplier * 2^(shift - 31)` with `multiplier` in `[2^30, 2^31)`. Most operators round
//! the product twice: to 31 fraction bits, halves up; then to an integer, halves away from zero. See "Quantization and
//! Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference" (CVPR 2018). The reference kernel of
//! dense layers rounds once, halves away from zero, as its results on exact halves show.
//!
//! Activations live in the arena as `q + 128`, an unsigned byte, since the dot-product instructions of x86 multiply
//! unsigned activations with signed weights. All zero points and bounds here are in that biased form.

use crate::model::{Activation, Affine};

/// Zero point of the biased bytes: stored byte = int8 value + 128.
pub const BIAS: i32 = 128;

/// A positive real factor in fixed point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Factor {
    /// Mantissa, `[2^30, 2^31)` or 0.
    pub multiplier: i32,
    /// Power of two: positive is to the left.
    pub shift: i32,
}

impl Factor {
    /// The nearest fixed-point factor to `real`, which is at least zero.
    ///
    /// Factors beyond what 31 bits of shift express become 0, or the largest.
    pub fn new(real: f64) -> Self {
        if !(real > 0.0 && real.is_finite()) {
            return Factor::default();
        }
        let (mantissa, mut shift) = split(real);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "mantissa is below 1, so at most 2^31"
        )]
        let mut multiplier = (mantissa * f64::from(1u32 << 31)).round() as i64;
        if multiplier == 1 << 31 {
            multiplier /= 2;
            shift += 1;
        }
        if shift < -31 {
            return Factor::default();
        }
        Factor {
            multiplier: i32::try_from(multiplier).unwrap_or(i32::MAX),
            shift: shift.min(30),
        }
    }

    /// `value * factor`, rounded twice.
    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a product of 31-bit magnitudes shifted by 32 or more"
    )]
    pub fn apply(self, value: i32) -> i32 {
        if self.shift < 0 {
            // Both roundings at once: the second's half is added before the first's shift. See `lanes`.
            let right = (-self.shift).min(31);
            let half = (1i64 << 30) + (1i64 << (30 + right)) - (i64::from(value < 0) << 31);
            return ((i64::from(value) * i64::from(self.multiplier) + half) >> (31 + right)) as i32;
        }
        let value = value.wrapping_shl(self.shift.unsigned_abs().min(31));
        doubling_high(value, self.multiplier)
    }

    /// `value * factor`, rounded once, halves away from zero.
    #[inline]
    pub fn apply_once(self, value: i32) -> i32 {
        let shift = (31 - self.shift).clamp(1, 62);
        let half = (1i64 << (shift - 1)) - i64::from(value < 0);
        let rounded = (i64::from(value) * i64::from(self.multiplier) + half) >> shift;
        #[expect(clippy::cast_possible_truncation, reason = "clamped")]
        let held = rounded.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
        held
    }
}

/// How often a product is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// To 31 fraction bits, then to an integer.
    Twice,
    /// To an integer.
    Once,
}

/// `real = mantissa * 2^exponent`, mantissa in `[0.5, 1)`.
fn split(real: f64) -> (f64, i32) {
    let bits = real.to_bits();
    let exponent = i32::try_from(bits >> 52 & 0x7ff).unwrap_or(0);
    if exponent == 0 {
        let (mantissa, shift) = split(real * f64::from(1u32 << 31) * f64::from(1u32 << 31));
        return (mantissa, shift - 62);
    }
    (
        f64::from_bits(bits & !(0x7ff << 52) | 1022 << 52),
        exponent - 1022,
    )
}

/// The high half of `2ab`, halves up, saturating.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "a product of 31-bit magnitudes shifted by 31 fits"
)]
fn doubling_high(a: i32, b: i32) -> i32 {
    if a == i32::MIN && b == i32::MIN {
        return i32::MAX;
    }
    ((i64::from(a) * i64::from(b) + (1 << 30)) >> 31) as i32
}

/// `value / 2^exponent`, halves away from zero.
#[inline]
pub fn rounding_shift(value: i32, exponent: i32) -> i32 {
    if exponent == 0 {
        return value;
    }
    let mask = i32::try_from((1i64 << exponent) - 1).unwrap_or(i32::MAX);
    let remainder = value & mask;
    let threshold = (mask >> 1) + i32::from(value < 0);
    (value >> exponent) + i32::from(remainder > threshold)
}

/// Bounds of a result, in biased form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Smallest.
    pub low: u8,
    /// Largest.
    pub high: u8,
}

impl Bounds {
    /// What `activation` leaves of int8 results with scale and zero point `output`.
    pub fn new(activation: Activation, output: Affine) -> Self {
        let (low, high) = activation.range();
        #[expect(clippy::cast_possible_truncation, reason = "clamped before the cast")]
        let place = |real: f32| {
            ((real / output.scale).round().clamp(-1e6, 1e6) as i32 + output.zero_point + BIAS).clamp(0, 255)
                as u8
        };
        let low = low.map_or(0, place);
        Bounds {
            low,
            high: high.map_or(255, place).max(low),
        }
    }
}

/// The end of a layer with one 32-bit sum per output: bias, factor, zero point, bounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Requantize {
    /// Added to each sum; includes what the input's zero point amounts to.
    pub bias: Vec<i32>,
    /// One factor per output.
    pub factor: Vec<Factor>,
    /// How products are rounded.
    pub rounding: Rounding,
    /// Added after the factor, biased.
    pub zero_point: i32,
    /// Where results are held.
    pub bounds: Bounds,
}

impl Requantize {
    /// Lets go of biases and factors, which packed constants stand for.
    pub fn forget(&mut self) {
        (self.bias, self.factor) = (Vec::new(), Vec::new());
    }

    /// The byte for output `channel` whose raw sum is `sum`. `channel` is below `bias.len()`.
    #[inline]
    pub fn apply(&self, channel: usize, sum: i32) -> u8 {
        self.scale(channel, sum.wrapping_add(self.bias[channel]))
    }

    /// The byte for output `channel` whose sum, bias included, is `sum`.
    #[inline]
    pub fn scale(&self, channel: usize, sum: i32) -> u8 {
        let factor = self.factor[channel];
        let scaled = match self.rounding {
            Rounding::Twice => factor.apply(sum),
            Rounding::Once => factor.apply_once(sum),
        };
        hold(scaled.saturating_add(self.zero_point), self.bounds)
    }
}

/// `value` held between the bounds.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "clamped to u8")]
pub fn hold(value: i32, bounds: Bounds) -> u8 {
    value.clamp(i32::from(bounds.low), i32::from(bounds.high)) as u8
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn factors() {
        assert_eq!(
            Factor::new(0.5),
            Factor {
                multiplier: 1 << 30,
                shift: 0
            }
        );
        assert_eq!(
            Factor::new(1.0),
            Factor {
                multiplier: 1 << 30,
                shift: 1
            }
        );
        assert_eq!(Factor::new(0.0), Factor::default());
        assert_eq!(Factor::new(f64::MIN_POSITIVE / 4.0), Factor::default());
        assert_eq!(Factor::new(f64::NAN), Factor::default());
        assert_eq!(
            Factor::new(1.0 - 1e-12),
            Factor {
                multiplier: 1 << 30,
                shift: 1
            }
        );
    }

    proptest! {
        /// Against the definition with 128-bit integers: round to 31 bits halves up, then halves away from zero.
        #[test]
        fn rounds_twice(value in -(1i32 << 28)..(1 << 28), multiplier in (1i32 << 30)..=i32::MAX, shift in -20i32..=2) {
            let wide = i128::from(value) << shift.max(0);
            let first = (wide * i128::from(multiplier) + (1 << 30)).div_euclid(1 << 31);
            let unit = 1i128 << (-shift).max(0);
            let second = first.signum() * ((first.abs() + unit / 2) / unit);
            prop_assert_eq!(i128::from(Factor { multiplier, shift }.apply(value)), second);
        }

        #[test]
        fn rounds_once(value in any::<i32>(), multiplier in (1i32 << 30)..=i32::MAX, shift in -30i32..=0) {
            let product = i128::from(value) * i128::from(multiplier);
            let unit = 1i128 << (31 - shift);
            let want = product.signum() * ((product.abs() + unit / 2) / unit);
            prop_assert_eq!(i128::from(Factor { multiplier, shift }.apply_once(value)), want);
        }

        #[test]
        fn factor_is_near(real in 1e-6f64..1e6) {
            let f = Factor::new(real);
            let back = f64::from(f.multiplier) * 2f64.powi(f.shift - 31);
            prop_assert!((back - real).abs() <= real * 2f64.powi(-31));
        }
    }
}
