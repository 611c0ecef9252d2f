//! What a text question asks for, and the plain matcher that every index is held to.

use memchr::memmem;

pub use super::like::{LikePattern, LikeToken};
use super::number::NumberPattern;
use super::regex::RegexPattern;

/// A condition on one byte string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextPattern {
    /// The needle occurs somewhere (the empty needle occurs in every string).
    Contains(Vec<u8>),
    /// The needle occurs somewhere, ASCII letters compared without case.
    ContainsIgnoreAsciiCase(Vec<u8>),
    /// The string starts with the needle.
    StartsWith(Vec<u8>),
    /// The string ends with the needle.
    EndsWith(Vec<u8>),
    /// The string is the needle.
    Equals(Vec<u8>),
    /// SQL LIKE: pieces between wildcards.
    Like(LikePattern),
    /// A part of the string matches a regular expression.
    Regex(RegexPattern),
    /// A number at a place in the string lies between two bounds.
    Number(NumberPattern),
}

impl TextPattern {
    /// The simplest pattern that means the same as a LIKE pattern.
    pub fn like(pattern: &str, escape: Option<char>) -> TextPattern {
        use LikeToken::{Literal, Many};
        let parsed = LikePattern::parse(pattern, escape);
        match parsed.tokens() {
            [] => TextPattern::Equals(Vec::new()),
            [Many] => TextPattern::Contains(Vec::new()),
            [Literal(bytes)] => TextPattern::Equals(bytes.clone()),
            [Literal(bytes), Many] => TextPattern::StartsWith(bytes.clone()),
            [Many, Literal(bytes)] => TextPattern::EndsWith(bytes.clone()),
            [Many, Literal(bytes), Many] => TextPattern::Contains(bytes.clone()),
            _ => TextPattern::Like(parsed),
        }
    }

    /// Whether `value` matches. O(value) for all but LIKE, which is O(value x pattern) at worst.
    pub fn matches(&self, value: &[u8]) -> bool {
        match self {
            TextPattern::Contains(needle) => memmem::find(value, needle).is_some(),
            TextPattern::ContainsIgnoreAsciiCase(needle) => {
                needle.is_empty()
                    || value
                        .windows(needle.len())
                        .any(|w| w.eq_ignore_ascii_case(needle))
            }
            TextPattern::StartsWith(needle) => value.starts_with(needle),
            TextPattern::EndsWith(needle) => value.ends_with(needle),
            TextPattern::Equals(needle) => value == needle,
            TextPattern::Like(pattern) => pattern.matches(value),
            TextPattern::Regex(pattern) => pattern.matches(value),
            TextPattern::Number(pattern) => pattern.matches(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(pattern: &[char], value: &[char]) -> bool {
        match pattern.split_first() {
            None => value.is_empty(),
            Some(('%', rest)) => (0..=value.len()).any(|n| naive(rest, &value[n..])),
            Some(('_', rest)) => !value.is_empty() && naive(rest, &value[1..]),
            Some((c, rest)) => value.first() == Some(c) && naive(rest, &value[1..]),
        }
    }

    proptest! {
        #[test]
        fn like_equals_recursive_definition(pattern in "[ab%_é]{0,8}", value in "[abé]{0,10}") {
            let p: Vec<char> = pattern.chars().collect();
            let v: Vec<char> = value.chars().collect();
            prop_assert_eq!(TextPattern::like(&pattern, None).matches(value.as_bytes()), naive(&p, &v));
        }
    }

    #[test]
    fn escape_makes_wildcards_literal() {
        assert!(TextPattern::like("100\\%", Some('\\')).matches(b"100%"));
        assert!(!TextPattern::like("100\\%", Some('\\')).matches(b"1000"));
    }
}
