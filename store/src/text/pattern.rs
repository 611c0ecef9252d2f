//! What a text question asks for, and the plain matcher that every index is held to.

use memchr::memmem;

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

/// A parsed LIKE pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LikePattern {
    tokens: Vec<LikeToken>,
}

/// A token of a LIKE pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LikeToken {
    /// These bytes.
    Literal(Vec<u8>),
    /// `_`: one character (UTF-8 scalar; one byte where the string is not UTF-8).
    One,
    /// `%`: any number of characters.
    Many,
}

impl LikePattern {
    /// Parses `pattern`; `escape` makes the next character literal.
    pub fn parse(pattern: &str, escape: Option<char>) -> Self {
        let mut tokens: Vec<LikeToken> = Vec::new();
        let mut literal = String::new();
        let mut chars = pattern.chars();
        let flush = |literal: &mut String, tokens: &mut Vec<LikeToken>| {
            if !literal.is_empty() {
                tokens.push(LikeToken::Literal(std::mem::take(literal).into_bytes()));
            }
        };
        while let Some(c) = chars.next() {
            if Some(c) == escape {
                literal.push(chars.next().unwrap_or(c));
            } else if c == '%' || c == '_' {
                flush(&mut literal, &mut tokens);
                if c == '_' {
                    tokens.push(LikeToken::One);
                } else if tokens.last() != Some(&LikeToken::Many) {
                    tokens.push(LikeToken::Many);
                }
            } else {
                literal.push(c);
            }
        }
        flush(&mut literal, &mut tokens);
        LikePattern { tokens }
    }

    /// A pattern of these tokens.
    pub(super) fn of(tokens: Vec<LikeToken>) -> LikePattern {
        LikePattern { tokens }
    }

    /// The tokens, in order.
    pub fn tokens(&self) -> &[LikeToken] {
        &self.tokens
    }

    /// Whether `value` matches, whole.
    pub fn matches(&self, value: &[u8]) -> bool {
        // Greedy with one backtrack point: the last `%` can absorb one more character.
        let (mut token, mut at) = (0, 0);
        let mut retry: Option<(usize, usize)> = None;
        loop {
            let step = match self.tokens.get(token) {
                Some(LikeToken::Many) => {
                    retry = Some((token + 1, at));
                    token += 1;
                    continue;
                }
                Some(LikeToken::One) if at < value.len() => Some(character_bytes(&value[at..])),
                Some(LikeToken::Literal(bytes)) if value[at..].starts_with(bytes) => Some(bytes.len()),
                None if at == value.len() => return true,
                _ => None,
            };
            match (step, retry) {
                (Some(bytes), _) => {
                    at += bytes;
                    token += 1;
                }
                (None, Some((after, from))) if from < value.len() => {
                    let next = from + character_bytes(&value[from..]);
                    retry = Some((after, next));
                    token = after;
                    at = next;
                }
                _ => return false,
            }
        }
    }
}

fn character_bytes(value: &[u8]) -> usize {
    let wanted = match value.first() {
        Some(0xc2..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf4) => 4,
        _ => 1,
    };
    let whole = value.len() >= wanted && value[1..wanted].iter().all(|b| b & 0xc0 == 0x80);
    if whole { wanted } else { 1 }
}

impl TextPattern {
    /// The simplest pattern that means the same as a LIKE pattern.
    pub fn like(pattern: &str, escape: Option<char>) -> TextPattern {
        use LikeToken::{Literal, Many};
        let parsed = LikePattern::parse(pattern, escape);
        match parsed.tokens.as_slice() {
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
