//! Tests of tokens that are numbers, without writing them where their values decide.
//!
//! What a token has to start or end with fixes the fields that it covers whole, and leaves the front or back digits of
//! one more. Digits inside a field are looked for by division. The other tests write each token.

use std::ops::Range;

use super::filter::{Fit, Test};
use super::number::{Form, Radix, ZERO};
use super::sequence::Sequence;
use crate::error::Result;
use crate::rows::Mask;

/// What the value of a field has to be; digits are those of its absolute value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Any,
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

/// Last digits: the value modulo `power` is `value`, and the whole is at least `least`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tail {
    value: u64,
    power: u64,
    least: u64,
}

impl Tail {
    /// The digits of a field that has `width` of them, or as many as its value needs (0).
    fn new(digits: &[u8], width: u8) -> Option<Tail> {
        let power = power(digits.len())?;
        let value = number(digits)?;
        let zero_first = digits.len() > 1 && digits.first() == Some(&b'0');
        let least = if width > 0 || !zero_first { value } else { power };
        Some(Tail { value, power, least })
    }

    #[inline]
    fn fits(&self, value: u64) -> bool {
        value >= self.least && value % self.power == self.value
    }

    #[inline]
    fn fits_inside(&self, mut value: u64, width: u32) -> bool {
        // A padded field has zeros in front, so the places of all its digits are tried.
        let mut places = if width > 0 {
            (width + 1).saturating_sub(self.power.ilog10())
        } else {
            20
        };
        let free = width == 0;
        let small = u64::from(u32::MAX);
        if value <= small && self.power <= small && self.least <= small {
            // The same in half the bits, where a division takes half the time.
            let (mut value, power) = (value as u32, self.power as u32);
            let (tail, least) = (self.value as u32, self.least as u32);
            while places > 0 {
                if value >= least && value % power == tail {
                    return true;
                }
                value /= 10;
                if free && (value == 0 || value < least) {
                    return false;
                }
                places -= 1;
            }
            return false;
        }
        while places > 0 {
            if self.fits(value) {
                return true;
            }
            value /= 10;
            if free && (value == 0 || value < self.least) {
                return false;
            }
            places -= 1;
        }
        false
    }
}

fn power(digits: usize) -> Option<u64> {
    10u64.checked_pow(u32::try_from(digits).ok()?)
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |value, digit| {
        value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })
}

impl Condition {
    #[inline]
    fn holds(&self, value: u64) -> bool {
        match *self {
            Condition::Any => true,
            Condition::Equals(wanted) => value >= ZERO && value - ZERO == wanted,
            Condition::Starts { front, behind } => {
                if value < ZERO {
                    return false;
                }
                let mut value = value - ZERO;
                if let Some(behind) = behind {
                    return value / behind == front;
                }
                while value > front {
                    value /= 10;
                }
                value == front
            }
            Condition::Ends(tail) => tail.fits(value.abs_diff(ZERO)),
            Condition::Contains(tail, width) => tail.fits_inside(value.abs_diff(ZERO), width),
        }
    }
}

/// How a token is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    Never,
    Always,
    /// All fields have to hold.
    All(Vec<Condition>),
    /// One field has to hold.
    One(Vec<Condition>),
    /// Tokens are written.
    Write,
}

/// A test of a number's text.
#[derive(Debug)]
pub struct Digits<'m> {
    /// The form, fields that are the same in all rows being part of the literals.
    form: Form,
    fields: Vec<&'m Sequence>,
    way: Way,
    test: Test,
}

impl<'m> Digits<'m> {
    /// Plans `test` of tokens of this form.
    pub fn new(form: &Form, fields: &'m [Sequence], test: &Test) -> Digits<'m> {
        let mut digits = Digits {
            form: Form {
                radix: form.radix,
                literals: Vec::new(),
                digits: Vec::new(),
            },
            fields: Vec::new(),
            way: Way::Never,
            test: Test::new(test.fit, &test.bytes, test.ignore_case),
        };
        if !test.ignore_case && !test.bytes.iter().all(|&byte| form.may_have(byte)) {
            return digits;
        }
        let mut literal = Vec::new();
        for (index, field) in fields.iter().enumerate() {
            literal.extend_from_slice(form.literals.get(index).map_or(&[][..], Vec::as_slice));
            let width = form.digits.get(index).copied().unwrap_or(0);
            match field.constant() {
                Some(value) => {
                    let one = Form {
                        radix: form.radix,
                        literals: vec![Vec::new(), Vec::new()],
                        digits: vec![width],
                    };
                    one.write(std::iter::once(value), &mut literal);
                }
                None => {
                    digits.form.literals.push(std::mem::take(&mut literal));
                    digits.form.digits.push(width);
                    digits.fields.push(field);
                }
            }
        }
        literal.extend_from_slice(form.literals.last().map_or(&[][..], Vec::as_slice));
        digits.form.literals.push(literal);
        digits.way = digits.way(test);
        digits
    }

    fn way(&self, test: &Test) -> Way {
        if self.fields.is_empty() {
            let mut token = Vec::new();
            self.form.write(std::iter::empty(), &mut token);
            return if test.passes(&token) {
                Way::Always
            } else {
                Way::Never
            };
        }
        if test.ignore_case {
            return Way::Write;
        }
        if test.fit == Fit::Equals {
            // What cannot be read as the whole form is none of its tokens.
            let mut values = Vec::new();
            return match self.form.read(&test.bytes, &mut values) {
                Some(())
                    if self.form.radix == Radix::Decimal && values.iter().all(|&value| value >= ZERO) =>
                {
                    Way::All(
                        values
                            .iter()
                            .map(|value| Condition::Equals(value - ZERO))
                            .collect(),
                    )
                }
                Some(()) => Way::Write,
                None => Way::Never,
            };
        }
        if self.form.radix != Radix::Decimal {
            return self.write_if_possible(test);
        }
        match test.fit {
            Fit::Starts => self.starts(&test.bytes),
            Fit::Ends => self.ends(&test.bytes),
            _ => self.contains(&test.bytes),
        }
        .unwrap_or_else(|| self.write_if_possible(test))
    }

    /// Writing, unless what all tokens start or end with rules them out.
    fn write_if_possible(&self, test: &Test) -> Way {
        let front = self.form.literals.first().map_or(&[][..], Vec::as_slice);
        let back = self.form.literals.last().map_or(&[][..], Vec::as_slice);
        let possible = match test.fit {
            Fit::Starts => front.iter().zip(&test.bytes).all(|(a, b)| a == b),
            Fit::Ends => back
                .iter()
                .rev()
                .zip(test.bytes.iter().rev())
                .all(|(a, b)| a == b),
            _ => {
                let literals: usize = self.form.literals.iter().map(Vec::len).sum();
                test.bytes.len() <= 20 * self.form.digits.len() + literals
            }
        };
        if possible { Way::Write } else { Way::Never }
    }

    /// Conditions for tokens that start with `rest`; `None` if their fields do not tell.
    fn starts(&self, mut rest: &[u8]) -> Option<Way> {
        let mut conditions = vec![Condition::Any; self.fields.len()];
        for (index, (literal, &width)) in self.form.literals.iter().zip(&self.form.digits).enumerate() {
            if rest.len() <= literal.len() {
                return Some(if literal.starts_with(rest) {
                    Way::All(conditions)
                } else {
                    Way::Never
                });
            }
            let Some(behind) = rest.strip_prefix(literal.as_slice()) else {
                return Some(Way::Never);
            };
            let count = behind.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let (digits, after) = behind.split_at_checked(count)?;
            let whole = !after.is_empty();
            if digits.is_empty()
                || self
                    .form
                    .literals
                    .get(index + 1)
                    .is_none_or(|next| starts_with_digit(next, index + 1 < self.form.digits.len()))
            {
                return None;
            }
            let value = number(digits)?;
            let zero_first = digits.first() == Some(&b'0');
            let condition = match (whole, width) {
                (true, 0) if zero_first && count > 1 => return Some(Way::Never),
                (true, 0) => Condition::Equals(value),
                (true, _) if count != usize::from(width) => return Some(Way::Never),
                (true, _) => Condition::Equals(value),
                (false, 0) if zero_first && count > 1 => return Some(Way::Never),
                (false, 0) if zero_first => Condition::Equals(0),
                (false, 0) => Condition::Starts {
                    front: value,
                    behind: None,
                },
                (false, _) => Condition::Starts {
                    front: value,
                    behind: match usize::from(width).checked_sub(count) {
                        Some(left) => Some(power(left)?),
                        None => return Some(Way::Never),
                    },
                },
            };
            *conditions.get_mut(index)? = condition;
            rest = after;
            if rest.is_empty() {
                return Some(Way::All(conditions));
            }
        }
        let last = self.form.literals.last()?;
        Some(if last.starts_with(rest) {
            Way::All(conditions)
        } else {
            Way::Never
        })
    }

    /// Conditions for tokens that end with `rest`; `None` if their fields do not tell.
    fn ends(&self, mut rest: &[u8]) -> Option<Way> {
        let mut conditions = vec![Condition::Any; self.fields.len()];
        for index in (0..self.form.digits.len()).rev() {
            let width = *self.form.digits.get(index)?;
            let literal = self.form.literals.get(index + 1)?;
            if rest.len() <= literal.len() {
                return Some(if literal.ends_with(rest) {
                    Way::All(conditions)
                } else {
                    Way::Never
                });
            }
            let Some(before) = rest.strip_suffix(literal.as_slice()) else {
                return Some(Way::Never);
            };
            let count = before
                .iter()
                .rev()
                .take_while(|byte| byte.is_ascii_digit())
                .count();
            let (front, digits) = before.split_at_checked(before.len() - count)?;
            let previous = self.form.literals.get(index)?;
            let joined = previous.last().map_or(index > 0, u8::is_ascii_digit);
            if digits.is_empty() || joined || front.last() == Some(&b'-') {
                return None;
            }
            let condition = if front.is_empty() {
                if width > 0 && count > usize::from(width) {
                    return Some(Way::Never);
                }
                Condition::Ends(Tail::new(digits, width)?)
            } else {
                let wrong = if width == 0 {
                    digits.first() == Some(&b'0') && count > 1
                } else {
                    count != usize::from(width)
                };
                if wrong {
                    return Some(Way::Never);
                }
                Condition::Equals(number(digits)?)
            };
            *conditions.get_mut(index)? = condition;
            rest = front;
            if rest.is_empty() {
                return Some(Way::All(conditions));
            }
        }
        let first = self.form.literals.first()?;
        Some(if first.ends_with(rest) {
            Way::All(conditions)
        } else {
            Way::Never
        })
    }

    /// Conditions for tokens that contain `bytes`; `None` if these are not only digits, or may lie across fields.
    fn contains(&self, bytes: &[u8]) -> Option<Way> {
        if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let last = self.form.literals.len().checked_sub(1)?;
        for (index, literal) in self.form.literals.iter().enumerate() {
            let inner = index > 0 && index < last;
            let joined =
                |byte: Option<&u8>, outer: bool| byte.map_or(inner, |byte| !outer && byte.is_ascii_digit());
            if joined(literal.first(), index == 0) || joined(literal.last(), index == last) {
                return None;
            }
            if memchr::memmem::find(literal, bytes).is_some() {
                return Some(Way::Always);
            }
        }
        let mut conditions = Vec::new();
        for &width in &self.form.digits {
            conditions.push(Condition::Contains(Tail::new(bytes, width)?, u32::from(width)));
        }
        Some(Way::One(conditions))
    }

    /// Whether no token can pass.
    pub fn is_never(&self) -> bool {
        self.way == Way::Never
    }

    /// Whether tokens have to be written.
    pub fn is_slow(&self) -> bool {
        self.way == Way::Write
    }

    /// Whether the token of a row passes. `None` inside if the bits make no sense.
    pub fn passes(&self, bits: &[u8], row: u64) -> Result<Option<bool>> {
        let mut values = Vec::with_capacity(self.fields.len());
        for field in &self.fields {
            match field.get(bits, row)? {
                Some(value) => values.push(value),
                None => return Ok(None),
            }
        }
        let mut held = values.iter();
        let mut holds = |condition: &Condition| held.next().is_some_and(|&value| condition.holds(value));
        Ok(Some(match &self.way {
            Way::Never => false,
            Way::Always => true,
            Way::All(conditions) => conditions.iter().all(&mut holds),
            Way::One(conditions) => conditions.iter().any(&mut holds),
            Way::Write => {
                let mut token = Vec::new();
                self.form.write(values.iter().copied(), &mut token);
                self.test.passes(&token)
            }
        }))
    }

    /// Sets the bits of the rows whose token passes. `None` inside if the bits make no sense.
    pub fn mark(&self, bits: &[u8], rows: Range<u64>, mask: &mut Mask) -> Result<Option<()>> {
        let all = match &self.way {
            Way::Never => return Ok(Some(())),
            Way::Always => {
                mask.fill(true);
                return Ok(Some(()));
            }
            Way::Write => return self.write(bits, rows, mask),
            Way::All(_) => true,
            Way::One(_) => false,
        };
        let (Way::All(conditions) | Way::One(conditions)) = &self.way else {
            return Ok(None);
        };
        if all {
            mask.fill(true);
        }
        let mut values = Vec::new();
        for (field, condition) in self.fields.iter().zip(conditions) {
            if *condition == Condition::Any {
                continue;
            }
            if field.decode(bits, rows.clone(), &mut values)?.is_none() {
                return Ok(None);
            }
            for (place, &value) in values.iter().enumerate() {
                if condition.holds(value) != all {
                    mask.set(place, !all);
                }
            }
        }
        Ok(Some(()))
    }

    fn write(&self, bits: &[u8], rows: Range<u64>, mask: &mut Mask) -> Result<Option<()>> {
        let mut columns = vec![Vec::new(); self.fields.len()];
        for (field, values) in self.fields.iter().zip(&mut columns) {
            if field.decode(bits, rows.clone(), values)?.is_none() {
                return Ok(None);
            }
        }
        let mut token = Vec::new();
        for place in 0..mask.len() {
            token.clear();
            let values = columns
                .iter()
                .map(|values| values.get(place).copied().unwrap_or(0));
            self.form.write(values, &mut token);
            if self.test.passes(&token) {
                mask.set(place, true);
            }
        }
        Ok(Some(()))
    }
}

/// Whether a digit may follow a field, so that it is not known where the field ends.
fn starts_with_digit(literal: &[u8], field_follows: bool) -> bool {
    literal.first().map_or(field_follows, u8::is_ascii_digit)
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
            prop_assume!(width <= 18);
            let text = format!("{value:0width$}", width = usize::from(width));
            let piece: String = text.chars().skip(front % text.len()).take(length).collect();
            let needle = if own { piece } else { needle };
            let tail = Tail::new(needle.as_bytes(), width).unwrap();
            prop_assert_eq!(Condition::Contains(tail, u32::from(width)).holds(ZERO + value), text.contains(&needle));
            prop_assert_eq!(Condition::Contains(tail, u32::from(width)).holds(ZERO - value), text.contains(&needle));
            if width == 0 || needle.len() <= usize::from(width) {
                prop_assert_eq!(Condition::Ends(tail).holds(ZERO + value), text.ends_with(&needle));
            }
        }
    }
}
