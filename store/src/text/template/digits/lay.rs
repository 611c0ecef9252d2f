//! Laying a piece of a token on a form: which literals it meets, and what that asks of the fields between them.

use super::super::number::ZERO;
use super::super::sequence::Sequence;
use super::Digits;
use super::check::{Condition, Tail, number, power};

/// Where a needle lies in a form, and what that asks of each field, by number.
pub(super) type Laid = Vec<(usize, Condition)>;

impl Digits<'_> {
    /// Whether what follows field `index` may start with a digit, so that it is not known where the field ends.
    fn is_open(&self, index: usize) -> bool {
        let next = self.form.literals.get(index + 1);
        next.is_none_or(|next| {
            next.first()
                .map_or(index + 1 < self.form.digits.len(), u8::is_ascii_digit)
        })
    }

    /// What is asked of fields if `rest` starts at byte `from` of literal `first`: `None` if the fields do not tell,
    /// nothing inside if it cannot.
    pub(super) fn starts(&self, first: usize, from: usize, mut rest: &[u8]) -> Option<Option<Laid>> {
        let mut laid = Vec::new();
        for index in first..self.form.literals.len() {
            let literal = self.form.literals.get(index)?;
            let literal = literal.get(if index == first { from } else { 0 }..)?;
            if rest.len() <= literal.len() {
                return Some(literal.starts_with(rest).then_some(laid));
            }
            let Some(behind) = rest.strip_prefix(literal) else {
                return Some(None);
            };
            let Some(&width) = self.form.digits.get(index) else {
                return Some(None);
            };
            let count = behind.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let (digits, after) = behind.split_at_checked(count)?;
            if digits.is_empty() && behind.first() != Some(&b'-') {
                return Some(None);
            }
            if digits.is_empty() || self.is_open(index) {
                return None;
            }
            let value = number(digits)?;
            let zero_first = digits.first() == Some(&b'0');
            let condition = match (after.is_empty(), width) {
                (false, 0) if zero_first && count > 1 => return Some(None),
                (false, 0) => Condition::Equals(value),
                (false, _) if count != usize::from(width) => return Some(None),
                (false, _) => Condition::Equals(value),
                (true, 0) if zero_first && count > 1 => return Some(None),
                (true, 0) if zero_first => Condition::Equals(0),
                (true, 0) => Condition::Starts {
                    front: value,
                    behind: None,
                },
                (true, _) => Condition::Starts {
                    front: value,
                    behind: match usize::from(width).checked_sub(count) {
                        Some(left) => Some(power(left)?),
                        None => return Some(None),
                    },
                },
            };
            laid.push((index, condition));
            rest = after;
            if rest.is_empty() {
                return Some(Some(laid));
            }
        }
        Some(None)
    }

    /// What is asked of fields if tokens end with `rest`: `None` if the fields do not tell, nothing inside if they
    /// cannot.
    pub(super) fn ends(&self, mut rest: &[u8]) -> Option<Option<Laid>> {
        let mut laid = Vec::new();
        for index in (0..self.form.digits.len()).rev() {
            let width = *self.form.digits.get(index)?;
            let literal = self.form.literals.get(index + 1)?;
            if rest.len() <= literal.len() {
                return Some(literal.ends_with(rest).then_some(laid));
            }
            let Some(before) = rest.strip_suffix(literal.as_slice()) else {
                return Some(None);
            };
            let count = before
                .iter()
                .rev()
                .take_while(|byte| byte.is_ascii_digit())
                .count();
            let (front, digits) = before.split_at_checked(before.len() - count)?;
            if digits.is_empty() {
                return Some(None);
            }
            let previous = self.form.literals.get(index)?;
            let joined = previous.last().map_or(index > 0, u8::is_ascii_digit);
            if joined || front.last() == Some(&b'-') {
                return None;
            }
            let condition = if front.is_empty() {
                if width > 0 && count > usize::from(width) {
                    return Some(None);
                }
                Condition::Ends(Tail::new(digits, width)?)
            } else {
                let wrong = if width == 0 {
                    digits.first() == Some(&b'0') && count > 1
                } else {
                    count != usize::from(width)
                };
                if wrong {
                    return Some(None);
                }
                Condition::Equals(number(digits)?)
            };
            laid.push((index, condition));
            rest = front;
            if rest.is_empty() {
                return Some(Some(laid));
            }
        }
        let first = self.form.literals.first()?;
        Some(first.ends_with(rest).then_some(laid))
    }

    /// The ways to lay `bytes` anywhere in the form; `None` if the fields do not tell.
    pub(super) fn contains(&self, bits: &[u8], bytes: &[u8]) -> Option<Vec<Laid>> {
        let mut ways = Vec::new();
        if bytes.is_empty() {
            return None;
        }
        // A sign stands before the digits, where literals and fields are not told apart.
        let signed = |(field, &width): (&Sequence, &u8)| width == 0 && field.bounds(bits).low < ZERO;
        if bytes.contains(&b'-') && self.fields.iter().zip(&self.form.digits).any(signed) {
            return None;
        }
        let count = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, after) = bytes.split_at_checked(count)?;
        for (index, literal) in self.form.literals.iter().enumerate() {
            for from in 0..literal.len() {
                ways.extend(self.starts(index, from, bytes)?);
            }
            let Some(&width) = self.form.digits.get(index).filter(|_| count > 0) else {
                continue;
            };
            if self.is_open(index) {
                return None;
            }
            let tail = Tail::new(digits, width)?;
            if after.is_empty() {
                ways.push(vec![(index, Condition::Contains(tail, u32::from(width)))]);
            } else if width == 0 || count <= usize::from(width) {
                if let Some(mut laid) = self.starts(index + 1, 0, after)? {
                    laid.push((index, Condition::Ends(tail)));
                    ways.push(laid);
                }
            }
        }
        Some(ways)
    }
}
