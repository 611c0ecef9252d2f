//! Element by element: a table of 256 results for functions of one byte, and sums and products of two.

use super::doubtful::{Doubtful, SUM_SHIFT};
use super::fixed;
use super::requantize::{BIAS, Bounds, Factor, Requantize, Rounding, hold, rounding_shift};
use super::scale::{Scale, exact_for, scale_unheld};
use crate::model::{Activation, Affine};

/// A function of one byte.
pub type Table = [u8; 256];

/// The table of `function`, from int8 to int8 (results are held in that range).
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to u8"
)]
fn table(function: impl Fn(i32) -> i32) -> Box<Table> {
    let mut table = Box::new([0u8; 256]);
    for (byte, result) in (-BIAS..).zip(table.iter_mut()) {
        *result = (function(byte).clamp(-128, 127) + BIAS) as u8;
    }
    table
}

/// From scale and zero point `from` to `to`, held by `activation`.
pub fn rescale(from: Affine, to: Affine, activation: Activation) -> Box<Table> {
    let factor = Factor::new(f64::from(from.scale) / f64::from(to.scale));
    let bounds = Bounds::new(activation, to);
    let mut table = table(|q| factor.apply(q - from.zero_point) + to.zero_point);
    for value in table.iter_mut() {
        *value = (*value).clamp(bounds.low, bounds.high);
    }
    table
}

/// A number with `bits` integer bits from `q`, unless it lies beyond them: then its sign.
fn wide(from: Affine, bits: i32) -> impl Fn(i32) -> Result<i32, i32> {
    let unit = 2f64.powi(31 - bits);
    let factor = Factor::new(f64::from(from.scale) * unit);
    let radius = f64::from((1i32 << bits) - 1) * unit / 2f64.powi(factor.shift);
    move |q| {
        let input = q - from.zero_point;
        if f64::from(input.abs()) >= radius.floor() {
            Err(input.signum())
        } else {
            Ok(factor.apply(input))
        }
    }
}

/// `1 / (1 + exp(-x))` with scale 1/256 and zero point -128.
pub fn logistic(from: Affine) -> Box<Table> {
    let wide = wide(from, 4);
    table(|q| match wide(q) {
        Ok(x) => rounding_shift(fixed::logistic(x), 31 - 8) - BIAS,
        Err(sign) => sign * 1000,
    })
}

/// `tanh(x)` with scale 1/128 and zero point 0.
pub fn tanh(from: Affine) -> Box<Table> {
    let wide = wide(from, 4);
    table(|q| match wide(q) {
        Ok(x) => rounding_shift(fixed::tanh(x), 31 - 7),
        Err(sign) => sign * 1000,
    })
}

/// Applies `table` to every byte.
pub fn look_up(table: &Table, input: &[u8], output: &mut [u8]) {
    for (to, from) in output.iter_mut().zip(input) {
        *to = table[usize::from(*from)];
    }
}

/// What is done with two numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Combine {
    /// Sum; a difference has the right factor negated.
    Sum {
        /// Factor of the left, at 20 fraction bits.
        left: Factor,
        /// Factor of the right.
        right: Factor,
        /// +1, or -1 for a difference.
        sign: i32,
    },
    /// Product.
    Product,
}

/// Constants for the vector form of a [`Binary`], where that is exact.
#[derive(Debug, Clone, PartialEq)]
pub struct Fast {
    /// Of left and right; none where the factor is one half.
    pub terms: [Option<Scale>; 2],
    /// Of the result.
    pub end: Scale,
    /// Whether the terms' `e` are at least 1.
    pub shifted: bool,
    /// For a sum, a shorter way that is nearly always exact.
    pub sum: Option<Doubtful>,
}

/// A sum, difference or product of two tensors.
#[derive(Debug, Clone, PartialEq)]
pub struct Binary {
    /// What is done.
    pub combine: Combine,
    /// Biased zero points of left and right.
    pub zero_points: [i32; 2],
    /// Factor of the result.
    pub factor: Factor,
    /// Biased zero point of the result.
    pub zero_point: i32,
    /// Where results are held.
    pub bounds: Bounds,
    /// Constants for vectors, if their arithmetic is exact here.
    pub fast: Option<Box<Fast>>,
}

impl Binary {
    /// Left plus (`sign` 1) or minus (`sign` -1) right.
    pub fn sum(left: Affine, right: Affine, to: Affine, sign: i32, activation: Activation) -> Self {
        let twice = 2.0 * f64::from(left.scale.max(right.scale));
        let unit = f64::from(1u32 << SUM_SHIFT);
        let combine = Combine::Sum {
            left: Factor::new(f64::from(left.scale) / twice),
            right: Factor::new(f64::from(right.scale) / twice),
            sign,
        };
        Binary::new(
            combine,
            left,
            right,
            to,
            twice / (unit * f64::from(to.scale)),
            activation,
        )
    }

    /// Left times right.
    pub fn product(left: Affine, right: Affine, to: Affine, activation: Activation) -> Self {
        let real = f64::from(left.scale * right.scale / to.scale);
        Binary::new(Combine::Product, left, right, to, real, activation)
    }

    fn new(
        combine: Combine,
        left: Affine,
        right: Affine,
        to: Affine,
        real: f64,
        activation: Activation,
    ) -> Self {
        let mut binary = Binary {
            combine,
            zero_points: [left.zero_point + BIAS, right.zero_point + BIAS],
            factor: Factor::new(real),
            zero_point: to.zero_point + BIAS,
            bounds: Bounds::new(activation, to),
            fast: None,
        };
        binary.fast = binary.vectors().map(Box::new);
        binary
    }

    /// The constants for vectors, if every number that can occur is exact with them.
    fn vectors(&self) -> Option<Fast> {
        let constants = |factor: Factor, zero_point: i32, size: i64| {
            let end = Requantize {
                bias: vec![0],
                factor: vec![factor],
                rounding: Rounding::Twice,
                zero_point,
                bounds: self.bounds,
            };
            exact_for(size, &end, 0).then(|| scale_unheld(&end, |_| Some(0)))
        };
        let half = Factor {
            multiplier: 1 << 30,
            shift: 0,
        };
        let widest = 255i64 << SUM_SHIFT;
        let term = |factor: Factor| {
            if factor == half {
                Some(None)
            } else {
                constants(factor, 0, widest).map(Some)
            }
        };
        let (terms, size) = match self.combine {
            Combine::Sum { left, right, .. } => ([term(left)?, term(right)?], widest + 2),
            Combine::Product => ([None, None], 255 * 255),
        };
        let mut fast = Fast {
            terms,
            end: constants(self.factor, self.zero_point, size)?,
            shifted: false,
            sum: None,
        };
        if let Combine::Sum { left, right, sign } = self.combine {
            fast.sum = Doubtful::new(
                [left, right],
                sign,
                self.zero_points,
                self.factor,
                self.zero_point,
            );
        }
        let mut shifts = fast.terms.iter().flatten().flat_map(|s| s.shift);
        fast.shifted = shifts.all(|s| s & Scale::SHIFT > 0);
        Some(fast)
    }

    /// One result.
    #[inline]
    pub fn apply(&self, left: u8, right: u8) -> u8 {
        let left = i32::from(left) - self.zero_points[0];
        let right = i32::from(right) - self.zero_points[1];
        let raw = match self.combine {
            Combine::Sum {
                left: l,
                right: r,
                sign,
            } => l.apply(left << SUM_SHIFT) + sign * r.apply(right << SUM_SHIFT),
            Combine::Product => left * right,
        };
        hold(self.factor.apply(raw) + self.zero_point, self.bounds)
    }
}
