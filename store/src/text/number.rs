//! A number inside a text, compared as a column would be: the one that stands between two strings.
//!
//! `took {} ms` names, in `request took 12.5 ms`, the number 12.5. A number is an optional `-`, digits, and perhaps a
//! point and digits. Where the string before stands several times, the first counts that a number and the string after
//! follow; of a number with a point the whole counts, or, if the string after does not follow that, what is before the
//! point.

use std::ops::{Bound, RangeBounds};

use memchr::memmem;

use super::like::{LikePattern, LikeToken};
use crate::error::{Error, Result};

/// Where the number stands in the words of a [`NumberPlace`].
const HOLE: &str = "{}";

/// Where in a text a number stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NumberPlace {
    before: Vec<u8>,
    after: Vec<u8>,
}

impl NumberPlace {
    /// Reads words around one `{}`, before which there is something.
    ///
    /// # Errors
    /// `InvalidArgument` if there is not one `{}`, or nothing before it.
    pub fn parse(words: &str) -> Result<NumberPlace> {
        let refused = |what: &str| Error::invalid(format!("the place of a number, {words:?}, {what}"));
        let (before, after) = words
            .split_once(HOLE)
            .ok_or_else(|| refused("needs {} where the number stands"))?;
        if after.contains(HOLE) {
            return Err(refused("has more than one {}"));
        }
        if before.is_empty() {
            return Err(refused("needs words before the {}"));
        }
        Ok(NumberPlace {
            before: before.as_bytes().to_vec(),
            after: after.as_bytes().to_vec(),
        })
    }

    /// What stands before the number; not empty.
    pub fn before(&self) -> &[u8] {
        &self.before
    }

    /// What stands after it.
    pub fn after(&self) -> &[u8] {
        &self.after
    }

    /// The words that [`NumberPlace::parse`] reads.
    pub fn words(&self) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        format!("{}{HOLE}{}", text(&self.before), text(&self.after))
    }

    /// The number that `text`, which follows the words before it, starts with.
    pub(super) fn number_at(&self, text: &[u8]) -> Option<f64> {
        leading(text, &self.after)
    }

    /// The number in `text`, if there is one. O(text), but for words that repeat themselves.
    pub fn number(&self, text: &[u8]) -> Option<f64> {
        let mut from = 0;
        while let Some(at) = text.get(from..).and_then(|rest| memmem::find(rest, &self.before)) {
            let start = from + at + self.before.len();
            if let Some(number) = text.get(start..).and_then(|rest| leading(rest, &self.after)) {
                return Some(number);
            }
            from += at + 1;
        }
        None
    }
}

/// The number that `text` starts with, if `after` follows it.
fn leading(text: &[u8], after: &[u8]) -> Option<f64> {
    let digits = |from: usize| {
        let rest = text.get(from..).unwrap_or_default();
        rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let sign = usize::from(text.first() == Some(&b'-'));
    let whole = sign + digits(sign);
    if whole == sign {
        return None;
    }
    let part = match text.get(whole) {
        Some(b'.') => digits(whole + 1),
        _ => 0,
    };
    let ends = [whole + 1 + part, whole];
    let end = ends
        .into_iter()
        .skip(usize::from(part == 0))
        .find(|&end| text.get(end..).is_some_and(|rest| rest.starts_with(after)))?;
    std::str::from_utf8(text.get(..end)?).ok()?.parse().ok()
}

/// A condition on a number inside a text: it is there, and lies between two bounds.
#[derive(Debug, Clone)]
pub struct NumberPattern {
    place: NumberPlace,
    low: Bound<f64>,
    high: Bound<f64>,
}

impl NumberPattern {
    /// The number at `place` lies between the bounds.
    pub fn new(place: NumberPlace, low: Bound<f64>, high: Bound<f64>) -> NumberPattern {
        NumberPattern { place, low, high }
    }

    /// Where the number stands.
    pub fn place(&self) -> &NumberPlace {
        &self.place
    }

    /// The bounds.
    pub fn bounds(&self) -> (Bound<f64>, Bound<f64>) {
        (self.low, self.high)
    }

    /// Whether a number lies between the bounds.
    pub fn holds(&self, number: f64) -> bool {
        (self.low, self.high).contains(&number)
    }

    /// Whether `text` has a number there that lies between the bounds.
    pub fn matches(&self, text: &[u8]) -> bool {
        self.place.number(text).is_some_and(|number| self.holds(number))
    }

    /// What every match matches too.
    pub fn like(&self) -> LikePattern {
        let literal = |bytes: &[u8]| LikeToken::Literal(bytes.to_vec());
        let mut tokens = vec![LikeToken::Many, literal(&self.place.before), LikeToken::Many];
        if !self.place.after.is_empty() {
            tokens.extend([literal(&self.place.after), LikeToken::Many]);
        }
        LikePattern::of(tokens)
    }
}

fn bits(bound: Bound<f64>) -> (u8, u64) {
    match bound {
        Bound::Included(number) => (0, number.to_bits()),
        Bound::Excluded(number) => (1, number.to_bits()),
        Bound::Unbounded => (2, 0),
    }
}

impl PartialEq for NumberPattern {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place && bits(self.low) == bits(other.low) && bits(self.high) == bits(other.high)
    }
}

impl Eq for NumberPattern {}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_stand_where_the_words_say() {
        let number = |words: &str, text: &str| NumberPlace::parse(words).unwrap().number(text.as_bytes());
        assert_eq!(number("took {} ms", "request took 12.5 ms"), Some(12.5));
        assert_eq!(number("took {} ms", "took x ms, took -7 ms"), Some(-7.0));
        assert_eq!(number("took {} ms", "took 7 s"), None);
        assert_eq!(number("v{}.x", "v12.x"), Some(12.0));
        assert_eq!(number("v{}.", "v12.5"), Some(12.0));
        assert_eq!(number("v{}", "v12."), Some(12.0));
        assert_eq!(number("v{}", "v12.25.3"), Some(12.25));
        assert_eq!(number("aa{}", "aaa1"), Some(1.0));
        assert_eq!(number("v{}", "v-"), None);
        assert_eq!(number("v{}", "v.5"), None);
        for wrong in ["took ms", "{} ms", "a {} b {}"] {
            assert!(NumberPlace::parse(wrong).is_err());
        }
        assert_eq!(NumberPlace::parse("a{} b").unwrap().words(), "a{} b");
    }

    proptest! {
        /// Held to trying every piece of the text.
        #[test]
        fn numbers_are_the_first_and_longest(before in "[-.a1]{1,2}", after in "[-.a1]{0,2}", text in "[-.a1]{0,12}") {
            let place = NumberPlace::parse(&format!("{before}{{}}{after}")).unwrap();
            let is_number = |piece: &str| {
                let piece = piece.strip_prefix('-').unwrap_or(piece);
                let (whole, part) = piece.split_once('.').unwrap_or((piece, "0"));
                let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
                digits(whole) && digits(part)
            };
            let digit_at = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
            let at_place = |at: usize| {
                let rest = text.get(at..)?.strip_prefix(before.as_str())?;
                let start = text.len() - rest.len();
                (start..=text.len()).rev().find_map(|end| {
                    let piece = text.get(start..end)?;
                    let whole = is_number(piece) && !digit_at(end) && text.get(end..)?.starts_with(&after);
                    whole.then(|| piece.parse::<f64>().ok())?
                })
            };
            prop_assert_eq!(place.number(text.as_bytes()), (0..text.len()).find_map(at_place));
        }
    }
}
