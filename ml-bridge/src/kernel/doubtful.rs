//! Sums of two bytes by 16-bit products, and how to tell where they can be trusted.
//!
//! The reference rounds each term, then the sum: per result three products of 64 bits. Nearly always one linear form
//! with 22 bits per factor, `v = l * a + r * b + c` in units of `2^-s`, rounds to the same byte. How far `v` can be from
//! what the reference rounds is known:
//!
//! - the factors are off by half a unit each, so `l * a + r * b` by 255;
//! - `c` is kept in steps of 128 units, so it is off by 64;
//! - the reference's terms are off by up to 1 each at 20 fraction bits, so their sum by 2; the product with the result's
//!   factor `m * 2^(-31 - e)` is off by up to `2^-e` / 2, and a negative one's half by as much as `2^-e`.
//!
//! With `d` the sum of these, in units, a result is *in doubt* if `v` is less than `d` from a place where rounding steps:
//! about one in 4,000. These are computed as the reference does. `v` contains `d`, so that the step is at a fraction of
//! zero, and the test one mask: fractions below a power of two of at least `2 d + 1`.

use super::requantize::Factor;

/// Fraction bits that a sum's terms get.
pub(super) const SUM_SHIFT: u32 = 20;

/// Units between the two halves of a factor, in bits.
pub const HALF: u32 = 7;
/// Largest share of results in doubt, as a power of two, with which the detour still pays.
const RARE: u32 = 6;

/// The linear form of a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doubtful {
    /// The factors' upper bits: left in the lower 16 bits, right in the upper.
    pub upper: i32,
    /// Their lowest [`HALF`] bits, signed, in the same places.
    pub lower: i32,
    /// What is added to the upper products: all of `c`, and `d`.
    pub add: i32,
    /// Fraction bits, `s`.
    pub shift: u32,
    /// A result is in doubt if none of these bits is set.
    pub sure: i32,
}

impl Doubtful {
    /// The form of `(left * (l - zero_points[0]) + sign * right * (r - zero_points[1])) * factor + zero_point`, the terms
    /// with [`SUM_SHIFT`] fraction bits. None if it does not fit, or too much would be in doubt.
    pub fn new(
        [left, right]: [Factor; 2],
        sign: i32,
        zero_points: [i32; 2],
        factor: Factor,
        zero_point: i32,
    ) -> Option<Self> {
        if left.shift > 0 || right.shift > 0 || !(-30..0).contains(&factor.shift) {
            return None;
        }
        let real = |f: Factor| f64::from(f.multiplier) * 2f64.powi(f.shift - 31);
        let unit = f64::from(1u32 << SUM_SHIFT);
        let a = real(left) * unit * real(factor);
        let b = real(right) * unit * real(factor) * f64::from(sign);
        let c = f64::from(zero_point) + 0.5 - a * f64::from(zero_points[0]) - b * f64::from(zero_points[1]);
        // Simple fractions lie on halves all the time; whole numbers never do.
        let near = |x: f64| (x - x.round()).abs() < 1e-3;
        if near(a * 16.0) && near(b * 16.0) && !(near(a) && near(b)) {
            return None;
        }
        let reference = 2.0 * real(factor) + 1.5 * 2f64.powi(factor.shift);
        (16..=22)
            .rev()
            .find_map(|shift| Doubtful::with([a, b, c], reference, shift))
    }

    /// With `shift` fraction bits, the reference being off by up to `reference`.
    #[expect(clippy::cast_possible_truncation, reason = "held in a range that fits")]
    fn with([a, b, c]: [f64; 3], reference: f64, shift: u32) -> Option<Self> {
        let scaled = |x: f64| (x * f64::from(1u32 << shift)).round().clamp(-1e15, 1e15) as i64;
        let [a, b, c] = [a, b, c].map(scaled);
        let doubt = 255 + 66 + scaled(reference) + 1;
        let add = (c + doubt + 64) >> HALF;
        let span = (2 * doubt + 1).unsigned_abs().next_power_of_two();
        if span > 1u64 << (shift - RARE) {
            return None;
        }
        let halves = |x: i64| {
            let upper = (x + (1 << (HALF - 1))) >> HALF;
            let lower = x - (upper << HALF);
            Some((i16::try_from(upper).ok()?, i16::try_from(lower).ok()?))
        };
        let (left, right) = (halves(a)?, halves(b)?);
        for l in [0, 255] {
            for r in [0, 255] {
                i32::try_from(l * a + r * b + (add << HALF)).ok()?;
            }
        }
        let pair = |l: i16, r: i16| i32::from(r) << 16 | i32::from(l as u16);
        Some(Doubtful {
            upper: pair(left.0, right.0),
            lower: pair(left.1, right.1),
            add: i32::try_from(add).ok()?,
            shift,
            sure: i32::try_from((1i64 << shift) - i64::try_from(span).ok()?).ok()?,
        })
    }

    /// The result for two bytes before it is held, unless it is in doubt.
    #[inline]
    pub fn apply(&self, left: u8, right: u8) -> Option<i32> {
        let (l, r) = (i32::from(left), i32::from(right));
        let products = |pair: i32| l * ((pair << 16) >> 16) + r * (pair >> 16);
        let value = (products(self.upper).wrapping_add(self.add) << HALF).wrapping_add(products(self.lower));
        (value & self.sure != 0).then_some(value >> self.shift)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::pointwise::{Binary, Combine};
    use crate::model::{Activation, Affine};

    /// Every pair of bytes, for many scales: what is not in doubt is what the reference gives, and little is.
    #[test]
    fn what_is_sure_is_right() {
        let mut state = 88_172_645_463_325_252u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let (mut forms, mut doubts) = (0, 0);
        for case in 0..60 {
            let mut affine = || Affine {
                scale: 2f32.powf((next() % 4000) as f32 / 1000.0 - 4.0),
                zero_point: (next() % 256) as i32 - 128,
            };
            let (left, right, to) = (affine(), affine(), affine());
            let right = Affine {
                scale: if case % 4 == 0 { left.scale } else { right.scale },
                ..right
            };
            let sign = if case % 2 == 0 { 1 } else { -1 };
            let layer = Binary::sum(left, right, to, sign, Activation::None);
            let Combine::Sum {
                left: l, right: r, ..
            } = layer.combine
            else {
                panic!("a sum");
            };
            let form = Doubtful::new([l, r], sign, layer.zero_points, layer.factor, layer.zero_point);
            let Some(form) = form else { continue };
            forms += 1;
            for l in 0..=255 {
                for r in 0..=255 {
                    match form.apply(l, r) {
                        Some(value) => assert_eq!(
                            value.clamp(0, 255),
                            i32::from(layer.apply(l, r)),
                            "{l} {r} {form:?}"
                        ),
                        None => doubts += 1,
                    }
                }
            }
        }
        assert!(
            forms > 30 && doubts < forms * 65536 / 64,
            "{forms} forms, {doubts} doubts"
        );
    }
}
