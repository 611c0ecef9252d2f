//! Decimal fractions of floats as integers on a power-of-ten grid.
//!
//! Good at: readings with a fixed number of digits, which is what most sensors and converters print. A grid value is
//! the float nearest to `(origin + step * unit) / 10^digits`, so a column of such floats turns into small integers and
//! back without losing a bit. A value that lies on no grid point (a digit too many, NaN, an infinity, -0.0) is an
//! *exception*: it takes the code of the greatest grid value that is not above it (code 0 if there is none) and is told
//! apart by its key, which is kept beside (see `column/exceptions.rs`). So the map is weakly monotone.
//!
//! A third, [`super::single`], changes what a unit stands for. Two refinements change what a code holds beside the unit, and keep its order:
//!
//! - `ulp` (see [`super::ulp`]): the low bits count how many representable floats the value lies above or below its
//!   grid value; for values that went through arithmetic or a shorter float.
//! - `digit`: the low four bits are the last decimal digit, the rest the quotient; for readings of a fixed number of
//!   *significant* digits, whose last decimal is mostly 0.
//!
//! ```text
//! offset  width  field
//!      0      8  n          number of codes
//!      8      8  origin     unit 0, as a signed number of 10^-digits; within +-2^51
//!     16      8  step       difference of neighbouring grid values in 10^-digits, at least 1
//!     24      8  last       largest unit; origin + step * last is within +-2^51
//!     32      1  digits     decimal digits after the point, 0 to 22
//!     33      1  ulp_bits   0, or 2 to 16: low bits of a code that hold the correction
//!     34      1  split      1 if the low four bits of a code hold the last digit, else 0; never with ulp_bits
//!     35      1  wide       1 for 64-bit floats, 0 for 32-bit ones
//!     36      1  single     0, or 1 + the significant digits of a value that went through a 32-bit float (0 for all of
//!                          it): see [`super::single`]; then wide, never with split, and numbers within +-2^23
//!     37      3  zero
//!     40      -  exceptions, if any
//! ```

use std::borrow::Cow;

use super::kind::DomainKind;
use super::single;
use crate::error::Result;
use crate::section::Section;
use crate::value::{f32_of, f64_of, key_of_f32, key_of_f64};

/// Bytes of the parameters.
pub(crate) const HEADER_BYTES: u64 = 40;

/// Grid numbers stay below this, so that neighbours never round to one 64-bit float.
pub(crate) const LIMIT: i64 = 1 << 51;

/// Powers of ten that are exact as 64-bit floats.
pub(crate) const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// A grid of decimal fractions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Unit 0, in `10^-digits`.
    pub origin: i64,
    /// Difference of neighbouring units in `10^-digits`; at least 1.
    pub step: u64,
    /// Largest unit.
    pub last: u64,
    /// Decimal digits after the point.
    pub digits: u8,
    /// Bits of a code that hold a correction in representable floats; 0 for none.
    pub ulp_bits: u8,
    /// Whether the low four bits of a code hold the last digit.
    pub split: bool,
    /// Whether keys are those of 64-bit floats.
    pub wide: bool,
    /// Significant digits that a 32-bit float in between was rounded to, 0 for none; `None` if there was no such float.
    pub single: Option<u8>,
}

/// What a grid number stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Form {
    /// Decimal digits after the point.
    pub(crate) digits: u8,
    /// Whether keys are those of 64-bit floats.
    pub(crate) wide: bool,
    /// See [`Grid::single`].
    pub(crate) single: Option<u8>,
}

impl Form {
    /// Key of a grid number.
    #[inline]
    pub(crate) fn key(self, number: i64) -> u64 {
        match self.single {
            None => key_of_number(number, self.digits, self.wide),
            Some(significant) => {
                let value = number as f64 / POWERS[self.digits as usize];
                key_of_f64(single::through(value, significant))
            }
        }
    }
}

impl Grid {
    /// Reads the parameters and the number of codes.
    ///
    /// # Errors
    /// `Corrupt` if they describe no grid.
    pub(crate) fn open(section: &Section) -> Result<(Grid, u64)> {
        let grid = Grid {
            origin: section.u64(8)? as i64,
            step: section.u64(16)?,
            last: section.u64(24)?,
            digits: section.u8(32)?,
            ulp_bits: section.u8(33)?,
            split: section.u8(34)? == 1,
            wide: section.u8(35)? == 1,
            single: section.u8(36)?.checked_sub(1),
        };
        let flags = section.u8(34)? > 1 || section.u8(35)? > 1;
        if !grid.is_sound() || flags || section.array::<3>(37)? != [0; 3] {
            return Err(section.corrupt(8, "these parameters describe no decimal grid".into()));
        }
        Ok((grid, section.u64(0)?))
    }

    /// Whether every unit is exact and codes fit 64 bits.
    fn is_sound(&self) -> bool {
        let span = i128::from(self.step).saturating_mul(i128::from(self.last));
        let top = i128::from(self.origin).saturating_add(span);
        self.step > 0
            && (-i128::from(LIMIT)..=i128::from(LIMIT)).contains(&i128::from(self.origin))
            && (-i128::from(LIMIT)..=i128::from(LIMIT)).contains(&top)
            && (self.digits as usize) < POWERS.len()
            && (self.ulp_bits == 0 || (2..=super::ulp::MAX_BITS).contains(&self.ulp_bits))
            && !(self.split && self.ulp_bits > 0)
            && self.last < 1 << 53
            && self.single.is_none_or(|significant| {
                let limit = -i128::from(single::LIMIT) + 1..i128::from(single::LIMIT);
                single::SIGNIFICANT.contains(&significant)
                    && self.wide
                    && !self.split
                    && usize::from(self.digits) <= single::MOST_DIGITS
                    && limit.contains(&i128::from(self.origin))
                    && limit.contains(&top)
            })
            && u32::from(self.ulp_bits) + (64 - self.last.leading_zeros()) <= 63
    }

    /// The bytes of the parameters for `count` codes.
    pub(crate) fn write(&self, count: u64) -> Vec<u8> {
        debug_assert!(self.is_sound(), "a grid is sound when written");
        let mut bytes = Vec::with_capacity(40);
        for field in [count, self.origin as u64, self.step, self.last] {
            bytes.extend_from_slice(&field.to_le_bytes());
        }
        bytes.extend_from_slice(&[
            self.digits,
            self.ulp_bits,
            u8::from(self.split),
            u8::from(self.wide),
            self.single.map_or(0, |significant| significant + 1),
        ]);
        bytes.extend_from_slice(&[0; 3]);
        bytes
    }

    /// Which domain it is.
    pub(crate) fn kind(&self) -> DomainKind {
        match (self.single, self.ulp_bits > 0, self.split) {
            (Some(_), ..) => DomainKind::Single,
            (None, true, _) => DomainKind::Ulp,
            (None, false, true) => DomainKind::Digit,
            _ => DomainKind::Decimal,
        }
    }

    /// What its numbers stand for.
    #[inline]
    pub(crate) fn form(&self) -> Form {
        Form {
            digits: self.digits,
            wide: self.wide,
            single: self.single,
        }
    }

    /// Half the number of corrections: code 0 of a unit stands for that many floats below it.
    #[inline]
    fn half(&self) -> u64 {
        if self.ulp_bits == 0 {
            0
        } else {
            1 << (self.ulp_bits - 1)
        }
    }

    /// Key of the grid value `unit`.
    #[inline]
    pub fn unit_key(&self, unit: u64) -> u64 {
        let number = self.origin.wrapping_add(self.step.wrapping_mul(unit) as i64);
        self.form().key(number)
    }

    /// Unit that `code` holds.
    #[inline]
    pub fn unit(&self, code: u64) -> u64 {
        if self.split {
            (code >> 4).wrapping_mul(10).wrapping_add((code & 15).min(9))
        } else {
            code >> self.ulp_bits
        }
    }

    /// Units that `codes` hold.
    pub(crate) fn units<'a>(&self, codes: &'a [u64]) -> Cow<'a, [u64]> {
        if self.split || self.ulp_bits > 0 {
            Cow::Owned(codes.iter().map(|&code| self.unit(code)).collect())
        } else {
            Cow::Borrowed(codes)
        }
    }

    /// Turns codes into their units, in place.
    pub(crate) fn turn_to_units(&self, codes: &mut [u64]) {
        if self.split || self.ulp_bits > 0 {
            codes.iter_mut().for_each(|code| *code = self.unit(*code));
        }
    }

    /// Code of a unit's own value.
    #[inline]
    fn code_of_unit(&self, unit: u64) -> u64 {
        if self.split {
            ((unit / 10) << 4) | (unit % 10)
        } else {
            unit << self.ulp_bits | self.half()
        }
    }

    /// Largest code.
    pub fn last_code(&self) -> u64 {
        self.code_of_unit(self.last) + self.half().saturating_sub(1)
    }

    /// Smallest code after `code`, if there is one.
    #[inline]
    pub fn next(&self, code: u64) -> Option<u64> {
        let next = if self.split && (code & 15) >= 9 {
            (code | 15) + 1
        } else {
            code + 1
        };
        (next <= self.last_code()).then_some(next)
    }

    /// Key of `code`.
    #[inline]
    pub fn key(&self, code: u64) -> u64 {
        let key = self.unit_key(self.unit(code));
        if self.ulp_bits == 0 {
            key
        } else {
            key.wrapping_add(code & (2 * self.half() - 1))
                .wrapping_sub(self.half())
        }
    }

    /// Largest code whose key is at most `key`.
    #[inline]
    pub fn at_most(&self, key: u64) -> Option<u64> {
        let half = self.half();
        let unit = self.unit_at_most(key.saturating_add(half))?;
        if half == 0 {
            return Some(self.code_of_unit(unit));
        }
        let correction = key.saturating_add(half) - self.unit_key(unit);
        Some(unit << self.ulp_bits | correction.min(2 * half - 1))
    }

    /// Largest unit whose key is at most `key`.
    fn unit_at_most(&self, key: u64) -> Option<u64> {
        if key >= self.unit_key(self.last) {
            return Some(self.last);
        }
        if key < self.unit_key(0) {
            return None;
        }
        // Between two grid values: finite. The guess is off by rounding only, so a few steps settle it.
        let value = if self.wide {
            f64_of(key)
        } else {
            f64::from(f32_of(key))
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the float-to-integer cast saturates; the guess is checked"
        )]
        let guess =
            ((value * POWERS[self.digits as usize] - self.origin as f64) / self.step as f64).floor() as i64;
        let mut unit = u64::try_from(guess).unwrap_or(0).min(self.last);
        for _ in 0..4 {
            if self.unit_key(unit) > key {
                unit -= 1;
            } else if self.unit_key(unit + 1) <= key {
                unit += 1;
            } else {
                return Some(unit);
            }
        }
        // Narrow floats give many units one key: bisect.
        let (mut low, mut high) = (0, self.last);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.unit_key(middle) <= key {
                low = middle
            } else {
                high = middle
            }
        }
        Some(low)
    }

    /// Turns codes into keys, in place.
    pub(crate) fn keys(&self, codes: &mut [u64]) {
        if self.single.is_some() {
            return map(codes, |code| self.key(code));
        }
        let power = POWERS.get(usize::from(self.digits)).copied().unwrap_or(1.0);
        let (origin, step, bits) = (self.origin as u64, self.step, u32::from(self.ulp_bits));
        let low = (1u64 << bits) - 1;
        let number = |unit: u64| origin.wrapping_add(step.wrapping_mul(unit));
        // One loop a form, so that each can work on several values at a time.
        match (self.wide, self.split) {
            (true, true) => map(codes, |code| {
                key_of_f64(near_float(number(self.unit(code))) / power)
            }),
            (true, false) if bits == 0 && step == 1 => {
                map(codes, |code| {
                    key_of_f64(near_float(origin.wrapping_add(code)) / power)
                });
            }
            (true, false) if bits == 0 => map(codes, |code| key_of_f64(near_float(number(code)) / power)),
            (true, false) => map(codes, |code| {
                key_of_f64(near_float(number(code >> bits)) / power)
                    .wrapping_add(code & low)
                    .wrapping_sub(self.half())
            }),
            (false, _) => map(codes, |code| self.key(code)),
        }
    }
}

#[inline(always)]
fn map(codes: &mut [u64], key: impl Fn(u64) -> u64) {
    codes.iter_mut().for_each(|code| *code = key(*code));
}

/// The float of a signed number, which is exact up to [`LIMIT`]; any other gives any float.
#[inline(always)]
fn near_float(number: u64) -> f64 {
    // 1.5 * 2^52 has the number 0 in its low bits: no conversion, which many processors do one at a time.
    const ZERO: f64 = 6_755_399_441_055_744.0;
    f64::from_bits(ZERO.to_bits().wrapping_add(number)) - ZERO
}

/// Key of `number / 10^digits`.
#[inline]
pub(crate) fn key_of_number(number: i64, digits: u8, wide: bool) -> u64 {
    let value = number as f64 / POWERS[digits as usize];
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounding to the narrow float is the map"
    )]
    if wide {
        key_of_f64(value)
    } else {
        key_of_f32(value as f32)
    }
}

/// The grid number nearest to a key's value, if it is small enough.
#[inline]
pub(crate) fn number_near(key: u64, digits: u8, wide: bool) -> Option<i64> {
    let value = if wide { f64_of(key) } else { f64::from(f32_of(key)) };
    let scaled = value * POWERS[digits as usize];
    // A NaN fails the comparison too.
    #[expect(clippy::cast_possible_truncation, reason = "below 2^51")]
    if scaled.abs() < LIMIT as f64 {
        Some(scaled.round_ties_even() as i64)
    } else {
        None
    }
}
