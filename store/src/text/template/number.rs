//! Tokens as numbers between fixed bytes: counters, decimals, dates, addresses, hexadecimal ids.
//!
//! A *form* is what the tokens of a column share: literals, and between them fields of digits. A token has a form if
//! writing its fields gives its bytes again, so nothing is kept beside the fields' values.

use crate::codes::Interval;

/// Fields of a form at most.
pub const MAX_FIELDS: usize = 12;
/// Digits of a decimal field that is padded with zeros.
const MAX_PADDED: usize = 18;
const MAX_HEX: usize = 16;
/// Added to decimal fields, which may be negative.
pub const ZERO: u64 = 1 << 63;

/// Digits that a form's fields are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Radix {
    /// `0` to `9`, with a sign.
    Decimal = 0,
    /// `0` to `9` and `a` to `f`.
    HexLower = 1,
    /// `0` to `9` and `A` to `F`.
    HexUpper = 2,
}

impl Radix {
    /// Radix with this number, if there is one.
    pub fn from_code(code: usize) -> Option<Self> {
        [Radix::Decimal, Radix::HexLower, Radix::HexUpper]
            .get(code)
            .copied()
    }

    fn digit(self, byte: u8) -> Option<u64> {
        match (self, byte) {
            (_, b'0'..=b'9') => Some(u64::from(byte - b'0')),
            (Radix::HexLower, b'a'..=b'f') => Some(u64::from(byte - b'a') + 10),
            (Radix::HexUpper, b'A'..=b'F') => Some(u64::from(byte - b'A') + 10),
            _ => None,
        }
    }
}

/// What the tokens of a column share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// Digits.
    pub radix: Radix,
    /// Bytes before each field, and after the last.
    pub literals: Vec<Vec<u8>>,
    /// Digits of each field, or 0 if it has as many as its value needs.
    pub digits: Vec<u8>,
}

/// A field as it was cut: where its digits are, and whether a sign stands before them.
struct Cut {
    start: usize,
    end: usize,
    negative: bool,
}

/// Cuts a token into fields, from byte `from` on.
fn cut(radix: Radix, token: &[u8], from: usize, cuts: &mut Vec<Cut>) {
    let to = token.len();
    cuts.clear();
    let mut at = from;
    while at < to {
        if radix.digit(token[at]).is_none() {
            at += 1;
            continue;
        }
        let start = at;
        while at < to && radix.digit(token[at]).is_some() {
            at += 1;
        }
        let negative = radix == Radix::Decimal
            && start > from
            && token[start - 1] == b'-'
            && (start < from + 2 || !token[start - 2].is_ascii_alphanumeric());
        cuts.push(Cut {
            start,
            end: at,
            negative,
        });
    }
}

impl Form {
    /// The form that all of `tokens` have, if there is one.
    pub fn of(tokens: &[&[u8]]) -> Option<Form> {
        Form::build(Radix::Decimal, tokens)
            .or_else(|| Form::build(Radix::HexLower, tokens))
            .or_else(|| Form::build(Radix::HexUpper, tokens))
    }

    fn build(radix: Radix, tokens: &[&[u8]]) -> Option<Form> {
        let first = *tokens.first()?;
        let from = match radix {
            Radix::Decimal => 0,
            _ => common_front(tokens),
        };
        let mut cuts = Vec::new();
        cut(radix, first, from, &mut cuts);
        if cuts.is_empty() || cuts.len() > MAX_FIELDS {
            return None;
        }
        let mut literals = Vec::new();
        let mut at = 0;
        for field in &cuts {
            let start = field.start - usize::from(field.negative);
            literals.push(first[at..start].to_vec());
            at = field.end;
        }
        literals.push(first[at..].to_vec());
        // Shortest and longest field, and whether one is written with a zero in front.
        let mut widths = vec![(usize::MAX, 0, false); cuts.len()];
        for token in tokens {
            cut(radix, token, from, &mut cuts);
            if cuts.len() != widths.len() {
                return None;
            }
            for (field, width) in cuts.iter().zip(&mut widths) {
                let digits = field.end - field.start;
                let padded = token[field.start] == b'0' && (digits > 1 || field.negative);
                *width = (width.0.min(digits), width.1.max(digits), width.2 || padded);
            }
        }
        let most = if radix == Radix::Decimal {
            MAX_PADDED
        } else {
            MAX_HEX
        };
        let mut form = Form {
            radix,
            literals: Vec::new(),
            digits: Vec::new(),
        };
        let mut literals = literals.into_iter();
        for (shortest, longest, padded) in widths {
            form.literals.push(literals.next().unwrap_or_default());
            if !padded && longest <= most + usize::from(radix == Radix::Decimal) {
                form.digits.push(0);
                continue;
            }
            if shortest != longest {
                return None;
            }
            let mut left = longest;
            while left > most {
                form.digits.push(most as u8);
                form.literals.push(Vec::new());
                left -= most;
            }
            form.digits.push(left as u8);
        }
        form.literals.push(literals.next().unwrap_or_default());
        let mut values = Vec::new();
        let sound = form.digits.len() <= MAX_FIELDS
            && tokens.iter().all(|token| form.read(token, &mut values).is_some());
        sound.then_some(form)
    }

    /// Whether a token of this form may hold a byte.
    pub fn may_have(&self, byte: u8) -> bool {
        let sign = self.radix == Radix::Decimal && byte == b'-';
        sign || self.radix.digit(byte).is_some()
            || self.literals.iter().any(|literal| literal.contains(&byte))
    }

    /// Most bytes of a token whose fields have codes within `bounds`.
    pub fn longest(&self, bounds: impl Iterator<Item = Interval>) -> u32 {
        let literals: usize = self.literals.iter().map(Vec::len).sum();
        let fields = bounds
            .zip(&self.digits)
            .map(|(bounds, &digits)| match self.radix {
                Radix::Decimal => {
                    let largest = bounds.low.abs_diff(ZERO).max(bounds.high.abs_diff(ZERO));
                    let needed = largest.checked_ilog10().unwrap_or(0) + 1;
                    needed.max(u32::from(digits)) + u32::from(bounds.low < ZERO)
                }
                _ => (bounds.high.checked_ilog2().unwrap_or(0) / 4 + 1).max(u32::from(digits)),
            });
        fields.fold(literals as u32, u32::saturating_add)
    }

    /// The values of a token's fields; `None` if it does not have this form.
    pub fn read(&self, token: &[u8], values: &mut Vec<u64>) -> Option<()> {
        values.clear();
        let mut at = 0;
        for (literal, &digits) in self.literals.iter().zip(&self.digits) {
            let rest = token.get(at..)?;
            if !rest.starts_with(literal) {
                return None;
            }
            at += literal.len();
            let rest = token.get(at..)?;
            let negative = digits == 0 && self.radix == Radix::Decimal && rest.first() == Some(&b'-');
            let rest = rest.get(usize::from(negative)..)?;
            let available = rest.iter().take_while(|&&byte| self.radix.digit(byte).is_some());
            let length = if digits == 0 {
                available.count()
            } else {
                usize::from(digits)
            };
            let field = rest.get(..length)?;
            if length == 0 || (digits == 0 && field[0] == b'0' && (length > 1 || negative)) {
                return None;
            }
            values.push(self.value(field, negative)?);
            at += length + usize::from(negative);
        }
        (token.get(at..)? == self.literals.last()?.as_slice()).then_some(())
    }

    fn value(&self, field: &[u8], negative: bool) -> Option<u64> {
        if self.radix != Radix::Decimal {
            if field.len() > MAX_HEX {
                return None;
            }
            return field
                .iter()
                .try_fold(0, |value, &byte| Some(value << 4 | self.radix.digit(byte)?));
        }
        let value = field.iter().try_fold(0u64, |value, &byte| {
            value.checked_mul(10)?.checked_add(self.radix.digit(byte)?)
        })?;
        if value >= ZERO {
            None
        } else if negative {
            Some(ZERO - value)
        } else {
            Some(ZERO + value)
        }
    }

    /// Appends the token with these fields to `out`.
    pub fn write(&self, values: impl Iterator<Item = u64>, out: &mut Vec<u8>) {
        let fields = self.digits.iter().zip(values);
        for (literal, (&digits, value)) in self.literals.iter().zip(fields) {
            out.extend_from_slice(literal);
            match self.radix {
                Radix::Decimal => {
                    if value < ZERO {
                        out.push(b'-');
                    }
                    write_decimal(((value ^ ZERO) as i64).unsigned_abs(), digits, out);
                }
                Radix::HexLower => write_hex(value, digits, b'a', out),
                Radix::HexUpper => write_hex(value, digits, b'A', out),
            }
        }
        if let Some(literal) = self.literals.last() {
            out.extend_from_slice(literal);
        }
    }
}

fn write_decimal(mut value: u64, digits: u8, out: &mut Vec<u8>) {
    let mut buffer = [b'0'; 24];
    let mut start = buffer.len();
    while value > 0 || start == buffer.len() {
        start -= 1;
        buffer[start] = b'0' + (value % 10) as u8;
        value /= 10;
    }
    start = start.min(buffer.len() - usize::from(digits.min(20)));
    out.extend_from_slice(&buffer[start..]);
}

fn write_hex(mut value: u64, digits: u8, letters: u8, out: &mut Vec<u8>) {
    let mut buffer = [b'0'; 24];
    let mut start = buffer.len();
    while value > 0 || start == buffer.len() {
        let digit = (value & 15) as u8;
        value >>= 4;
        start -= 1;
        buffer[start] = if digit < 10 {
            b'0' + digit
        } else {
            letters + digit - 10
        };
    }
    start = start.min(buffer.len() - usize::from(digits.min(20)));
    out.extend_from_slice(&buffer[start..]);
}

/// Bytes that all tokens start with.
fn common_front(tokens: &[&[u8]]) -> usize {
    let first = tokens.first().copied().unwrap_or_default();
    let agree = |token: &&[u8]| first.iter().zip(*token).take_while(|(a, b)| a == b).count();
    tokens.iter().map(agree).min().unwrap_or(0)
}

/// What stands for a token when forms are counted: its bytes, each run of digits as one zero byte.
pub fn outline(token: &[u8], out: &mut Vec<u8>) {
    out.clear();
    for &byte in token {
        if byte.is_ascii_digit() {
            if out.last() == Some(&b'-')
                && !out
                    .get(out.len().wrapping_sub(2))
                    .is_some_and(|b| *b == 0 || b.is_ascii_alphanumeric())
            {
                out.pop();
            }
            if out.last() != Some(&0) {
                out.push(0);
            }
        } else {
            out.push(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    fn check(tokens: &[&[u8]]) -> Option<Form> {
        let form = Form::of(tokens)?;
        let mut values = Vec::new();
        for token in tokens {
            if form.read(token, &mut values).is_some() {
                let mut out = Vec::new();
                form.write(values.iter().copied(), &mut out);
                assert_eq!(&out, token, "{form:?} {values:?}");
            }
        }
        Some(form)
    }

    #[test]
    fn forms_of_logs() {
        let digits = |tokens: &[&str]| {
            let tokens: Vec<&[u8]> = tokens.iter().map(|token| token.as_bytes()).collect();
            let form = check(&tokens)?;
            let mut values = Vec::new();
            assert!(tokens.iter().all(|token| form.read(token, &mut values).is_some()));
            Some((form.radix, form.digits))
        };
        assert_eq!(digits(&["1", "0", "-5"]), Some((Radix::Decimal, vec![0])));
        assert_eq!(digits(&["01", "12"]), Some((Radix::Decimal, vec![2])));
        assert_eq!(
            digits(&["10.1.2.3", "10.250.0.1"]),
            Some((Radix::Decimal, vec![0; 4]))
        );
        assert_eq!(
            digits(&["2018-03-24", "2019-12-01"]),
            Some((Radix::Decimal, vec![0, 2, 2]))
        );
        assert_eq!(digits(&["blk_-695", "blk_12"]), Some((Radix::Decimal, vec![0])));
        assert_eq!(digits(&["0x8a", "0x7b01"]), Some((Radix::HexLower, vec![0])));
        assert_eq!(digits(&["0A", "F1"]), Some((Radix::HexUpper, vec![2])));
        assert_eq!(digits(&["x", "y"]), None);
        assert_eq!(digits(&["007", "1"]), None);
        assert_eq!(digits(&["-0", "1"]), None);
    }

    proptest! {
        #[test]
        fn what_is_read_is_written(tokens in proptest::collection::vec("[-a0-9.f]{1,24}", 1..6)) {
            let tokens: Vec<&[u8]> = tokens.iter().map(|token| token.as_bytes()).collect();
            check(&tokens);
            for token in &tokens {
                check(&[token]);
            }
        }
    }
}
