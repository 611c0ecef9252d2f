//! What one field of a number has to be, told from its codes.

use std::ops::Range;

use super::super::number::ZERO;
use super::super::sequence::Sequence;
use crate::codes::Interval;
use crate::error::Result;
use crate::rows::Mask;

/// What the value of a field has to be; digits are those of its absolute value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    /// Not negative, and this.
    Equals(u64),
    /// Not negative, and starting with the digits of this; of a padded field, as many digits are dropped as there are
    /// in `behind`.
    Starts {
        front: u64,
        behind: Option<u64>,
    },
    Ends(Tail),
    /// As ending, at any place; `width` digits of a padded field.
    Contains(Tail, u32),
}

/// Last digits: the value modulo a power of ten is `value`, and the whole is at least `least`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tail {
    value: u64,
    least: u64,
    digits: u32,
    /// Of the power of five, modulo 2^64.
    inverse: u64,
    /// Multiples of the power of ten below 2^64, less one.
    most: u64,
}

impl Tail {
    /// The digits of a field that has `width` of them, or as many as its value needs (0).
    pub(super) fn new(digits: &[u8], width: u8) -> Option<Tail> {
        let power = power(digits.len())?;
        let value = number(digits)?;
        let zero_first = digits.len() > 1 && digits.first() == Some(&b'0');
        let least = if width > 0 || !zero_first { value } else { power };
        let digits = digits.len() as u32;
        let five = 5u64.checked_pow(digits)?;
        // Each round doubles the low bits that are right, of which five times itself has three.
        let mut inverse = five;
        for _ in 0..5 {
            inverse = inverse.wrapping_mul(2u64.wrapping_sub(five.wrapping_mul(inverse)));
        }
        Some(Tail {
            value,
            least,
            digits,
            inverse,
            most: u64::MAX / power,
        })
    }

    /// Whether `value` ends with the digits: what is above them is a multiple of the power of ten, which a
    /// multiplication and a rotation tell (Warren, "Hacker's Delight", 10-17).
    #[inline]
    pub(super) fn fits(&self, value: u64) -> bool {
        let above = value.wrapping_sub(self.value).wrapping_mul(self.inverse);
        value >= self.least && above.rotate_right(self.digits) <= self.most
    }

    #[inline]
    fn fits_inside(&self, mut value: u64, width: u32) -> bool {
        // A padded field has zeros in front, so the places of all its digits are tried.
        let mut places = if width > 0 {
            (width + 1).saturating_sub(self.digits)
        } else {
            20
        };
        while places > 0 {
            if self.fits(value) {
                return true;
            }
            value /= 10;
            if width == 0 && (value == 0 || value < self.least) {
                return false;
            }
            places -= 1;
        }
        false
    }
}

pub(super) fn power(digits: usize) -> Option<u64> {
    10u64.checked_pow(u32::try_from(digits).ok()?)
}

pub(super) fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |value, digit| {
        value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })
}

/// What the codes of a field have to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Check {
    /// In one of these.
    Within(Vec<Interval>),
    Ends(Tail),
    /// As ending, at any place; digits of a padded field.
    Contains(Tail, u32),
}

impl Check {
    /// A condition on codes that lie within `bounds`; `None` if none of them meets it.
    pub(super) fn new(condition: Condition, bounds: Interval) -> Option<Check> {
        let tail = match condition {
            Condition::Equals(value) => {
                let code = ZERO.checked_add(value)?;
                return Check::within([(code, code)], bounds);
            }
            Condition::Starts {
                front,
                behind: Some(behind),
            } => {
                let low = ZERO.checked_add(front.checked_mul(behind)?)?;
                return Check::within([(low, low.saturating_add(behind - 1))], bounds);
            }
            Condition::Starts { front, behind: None } => {
                // The digits alone, or followed by one, two, three more.
                let longer = (0..20u32).map_while(|digits| {
                    let power = 10u64.checked_pow(digits)?;
                    let low = ZERO.checked_add(front.checked_mul(power)?)?;
                    Some((low, low.saturating_add(power - 1)))
                });
                // Nothing but zero itself starts with it.
                return Check::within(longer.take(if front == 0 { 1 } else { 20 }), bounds);
            }
            Condition::Ends(tail) | Condition::Contains(tail, _) => tail,
        };
        let largest = bounds.low.abs_diff(ZERO).max(bounds.high.abs_diff(ZERO));
        if largest < tail.least {
            return None;
        }
        Some(match condition {
            Condition::Contains(tail, width) => Check::Contains(tail, width),
            _ => Check::Ends(tail),
        })
    }

    pub(super) fn within(ranges: impl IntoIterator<Item = (u64, u64)>, bounds: Interval) -> Option<Check> {
        let clipped = ranges
            .into_iter()
            .map(|(low, high)| Interval { low, high }.intersect(bounds));
        let intervals: Vec<Interval> = clipped.filter(|interval| !interval.is_empty()).collect();
        (!intervals.is_empty()).then_some(Check::Within(intervals))
    }

    #[inline]
    pub(super) fn holds(&self, code: u64) -> bool {
        match self {
            Check::Within(intervals) => intervals.iter().any(|interval| interval.contains(code)),
            Check::Ends(tail) => tail.fits(code.abs_diff(ZERO)),
            Check::Contains(tail, width) => tail.fits_inside(code.abs_diff(ZERO), *width),
        }
    }

    /// About how much it rules out, the most first.
    pub(super) fn looseness(&self) -> u64 {
        match self {
            Check::Within(intervals) => intervals
                .iter()
                .map(|interval| (interval.high - interval.low).saturating_add(1))
                .fold(0, u64::saturating_add),
            Check::Ends(_) => 1 << 32,
            Check::Contains(..) => 1 << 33,
        }
    }

    pub(super) fn select(
        &self,
        field: &Sequence,
        bits: &[u8],
        rows: Range<u64>,
        mask: &mut Mask,
    ) -> Result<Option<()>> {
        match self {
            Check::Within(intervals) => match intervals.as_slice() {
                [only] => field.select(bits, rows, *only, mask),
                _ => field.select_where(bits, rows, |code| self.holds(code), mask),
            },
            Check::Ends(tail) => field.select_where(bits, rows, |code| tail.fits(code.abs_diff(ZERO)), mask),
            Check::Contains(tail, width) => {
                let holds = |code: u64| tail.fits_inside(code.abs_diff(ZERO), *width);
                field.select_where(bits, rows, holds, mask)
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn digits_are_decided_as_written(
            value in prop_oneof![0u64..200, 0u64..100_000, 0u64..ZERO], needle in "[0-9]{1,5}", width in 0u8..19, front in 0usize..20, length in 1usize..6, own in any::<bool>(),
        ) {
            let width = if width == 0 { 0 } else { width.max(value.checked_ilog10().unwrap_or(0) as u8 + 1) };
            if width > 18 {
                return Ok(());
            }
            let text = format!("{value:0width$}", width = usize::from(width));
            let piece: String = text.chars().skip(front % text.len()).take(length).collect();
            let needle = if own { piece } else { needle };
            let tail = Tail::new(needle.as_bytes(), width).unwrap();
            let contains = Check::Contains(tail, u32::from(width));
            prop_assert_eq!(contains.holds(ZERO + value), text.contains(&needle));
            prop_assert_eq!(contains.holds(ZERO - value), text.contains(&needle));
            if width == 0 || needle.len() <= usize::from(width) {
                prop_assert_eq!(Check::Ends(tail).holds(ZERO + value), text.ends_with(&needle));
            }
        }
    }
}
