//! Regular expressions: what every match must contain is looked up in the index, and the rows found are compared.
//!
//! Syntax and meaning are those of the `regex` crate (no look-around, no back references), so the time for a row is
//! linear in its length. An expression's program is held to [`PROGRAM_BYTES`], and its table of states to
//! [`STATE_BYTES`], whatever the expression.

use std::fmt;

use regex_automata::meta;
use regex_syntax::hir::{Class, Hir, HirKind};
use regex_syntax::{ParserBuilder, hir};

use super::like::{LikePattern, LikeToken};
use crate::error::{Error, Result};

/// Most bytes that the compiled program of an expression may take.
pub const PROGRAM_BYTES: usize = 1 << 20;
/// Most bytes that states worked out while matching are kept in; they are forgotten when it is full.
pub const STATE_BYTES: usize = 1 << 18;

/// Most strings of which one must occur; an expression with more is compared with every row.
const MOST_REQUIRED: usize = 32;

/// How an expression is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RegexOptions {
    /// Letters match in upper and lower case, as Unicode folds them.
    pub ignore_case: bool,
    /// The strings need not be UTF-8, and the expression may ask for single bytes (`(?-u:\xff)`).
    pub bytes: bool,
}

/// A compiled regular expression.
#[derive(Clone)]
pub struct RegexPattern {
    source: String,
    options: RegexOptions,
    matcher: meta::Regex,
    required: Vec<Required>,
    needle: Option<Vec<u8>>,
}

/// Characters beyond ASCII that Unicode folds to an ASCII letter.
pub const KIN: [(char, u8); 2] = [('\u{212a}', b'k'), ('\u{17f}', b's')];

/// A byte string of which a match may have to contain a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Required {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Whether ASCII letters stand for both cases.
    pub ignore_ascii_case: bool,
}

impl RegexPattern {
    /// Compiles `source`.
    ///
    /// # Errors
    /// `InvalidArgument` if it is no regular expression, with the place of the mistake, or if its program is too large.
    pub fn new(source: &str, options: RegexOptions) -> Result<RegexPattern> {
        let refused = |why: &dyn fmt::Display| {
            Error::invalid(format!(
                "{source:?} cannot be used as a regular expression: {why}"
            ))
        };
        let hir = ParserBuilder::new()
            .case_insensitive(options.ignore_case)
            .utf8(!options.bytes)
            .build()
            .parse(source)
            .map_err(|error| refused(&error))?;
        let config = meta::Config::new()
            .utf8_empty(!options.bytes)
            .nfa_size_limit(Some(PROGRAM_BYTES))
            .onepass_size_limit(Some(PROGRAM_BYTES))
            .hybrid_cache_capacity(STATE_BYTES);
        let matcher = meta::Builder::new()
            .configure(config)
            .build_from_hir(&hir)
            .map_err(|error| match error.size_limit() {
                Some(limit) => refused(&format_args!(
                    "its program is larger than {limit} bytes; ask for fewer repetitions"
                )),
                None => refused(&error),
            })?;
        Ok(RegexPattern {
            source: source.to_owned(),
            options,
            matcher,
            required: required(&hir).unwrap_or_default(),
            needle: ascii_text(&hir),
        })
    }

    /// SQL ILIKE: the whole of a value matches `pattern`, whatever the case of its letters. With `bytes`, the values
    /// need not be UTF-8, and `_` is one byte where they are not.
    ///
    /// # Errors
    /// `InvalidArgument` if the pattern is too long.
    pub fn ilike(pattern: &LikePattern, bytes: bool) -> Result<RegexPattern> {
        let mut source = String::from("^(?s:");
        for token in pattern.tokens() {
            match token {
                LikeToken::Literal(bytes) => {
                    regex_syntax::escape_into(&String::from_utf8_lossy(bytes), &mut source);
                }
                LikeToken::One if bytes => source.push_str(r"(?:.|(?-u:[\x80-\xff]))"),
                LikeToken::One => source.push('.'),
                LikeToken::Many if bytes => source.push_str("(?s-u:.)*"),
                LikeToken::Many => source.push_str(".*"),
            }
        }
        source.push_str(")$");
        let options = RegexOptions {
            ignore_case: true,
            bytes,
        };
        let mut regex = RegexPattern::new(&source, options)?;
        regex.needle = match pattern.tokens() {
            [LikeToken::Many, LikeToken::Literal(needle), LikeToken::Many] if needle.is_ascii() => {
                Some(needle.clone())
            }
            _ => None,
        };
        Ok(regex)
    }

    /// The expression as it was given.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// How it was read.
    pub fn options(&self) -> RegexOptions {
        self.options
    }

    /// Strings of which every match contains at least one; empty when nothing is known.
    pub fn required(&self) -> &[Required] {
        &self.required
    }

    /// ASCII text that a string must contain in any case, and no more, unless it has one of [`KIN`]; if that is all that the
    /// expression says.
    pub fn needle(&self) -> Option<&[u8]> {
        self.needle.as_deref()
    }

    /// Whether a part of `value` matches. O(value) times the size of the program at worst.
    pub fn matches(&self, value: &[u8]) -> bool {
        self.matcher.is_match(value)
    }
}

impl fmt::Debug for RegexPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegexPattern({:?}, {:?})", self.source, self.options)
    }
}

impl PartialEq for RegexPattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source && self.options == other.options
    }
}

impl Eq for RegexPattern {}

/// Strings of which every match of `hir` contains at least one, those that say most; `None` when nothing is known.
fn required(hir: &Hir) -> Option<Vec<Required>> {
    match hir.kind() {
        HirKind::Literal(literal) => Some(vec![Required {
            bytes: literal.0.to_vec(),
            ignore_ascii_case: false,
        }]),
        HirKind::Class(_) => caseless(std::slice::from_ref(hir)),
        HirKind::Capture(capture) => required(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => required(&repetition.sub),
        HirKind::Concat(parts) => parts
            .iter()
            .filter_map(required)
            .chain(runs(parts).filter_map(caseless))
            .max_by_key(|set| worth(set)),
        HirKind::Alternation(branches) => {
            let mut all = Vec::new();
            for branch in branches {
                all.extend(required(branch)?);
            }
            (all.len() <= MOST_REQUIRED).then_some(all)
        }
        _ => None,
    }
}

/// How much a set says: its shortest string decides, then how few there are, then whether case counts.
fn worth(set: &[Required]) -> (usize, usize, bool) {
    let shortest = set.iter().map(|one| one.bytes.len()).min().unwrap_or(0);
    let exact = set.iter().all(|one| !one.ignore_ascii_case);
    (shortest, MOST_REQUIRED.saturating_sub(set.len()), exact)
}

/// Stretches of parts that are ASCII text in either case.
fn runs(parts: &[Hir]) -> impl Iterator<Item = &[Hir]> {
    parts
        .split(|part| !is_caseless(part))
        .filter(|run| !run.is_empty())
}

fn is_caseless(part: &Hir) -> bool {
    match part.kind() {
        HirKind::Literal(literal) => literal.0.is_ascii(),
        HirKind::Class(class) => letter(class).is_some(),
        _ => false,
    }
}

/// The text of a stretch whose letters are classes of both cases.
fn caseless(run: &[Hir]) -> Option<Vec<Required>> {
    let mut bytes = Vec::new();
    for part in run {
        match part.kind() {
            HirKind::Literal(literal) => bytes.extend_from_slice(&literal.0),
            HirKind::Class(class) => bytes.push(letter(class)?),
            _ => return None,
        }
    }
    (!bytes.is_empty()).then(|| {
        vec![Required {
            bytes,
            ignore_ascii_case: true,
        }]
    })
}

/// The text that `hir` is in any case of its letters, if it is ASCII and nothing else.
fn ascii_text(hir: &Hir) -> Option<Vec<u8>> {
    match hir.kind() {
        HirKind::Literal(literal) => {
            let has_no_case = |byte: &u8| byte.is_ascii() && !byte.is_ascii_alphabetic();
            literal.0.iter().all(has_no_case).then(|| literal.0.to_vec())
        }
        HirKind::Class(class) => letter(class)
            .or_else(|| letter_with_kin(class))
            .map(|byte| vec![byte]),
        HirKind::Concat(parts) => parts
            .iter()
            .map(ascii_text)
            .collect::<Option<Vec<_>>>()
            .map(|all| all.concat()),
        _ => None,
    }
}

/// The ASCII letter, if the class is that letter in both cases and its kin beyond ASCII.
fn letter_with_kin(class: &Class) -> Option<u8> {
    let Class::Unicode(class) = class else {
        return None;
    };
    KIN.iter().find_map(|&(kin, letter)| {
        let all = [char::from(letter.to_ascii_uppercase()), char::from(letter), kin];
        let same = class
            .ranges()
            .iter()
            .map(|range| (range.start(), range.end()))
            .eq(all.map(|one| (one, one)));
        same.then_some(letter)
    })
}

/// The ASCII letter, if the class is that letter in both cases and nothing else (not so for k and s, which Unicode
/// gives a third form).
fn letter(class: &Class) -> Option<u8> {
    let pair = |first: u32, second: u32| {
        let (upper, lower) = (u8::try_from(first).ok()?, u8::try_from(second).ok()?);
        (upper.is_ascii_uppercase() && upper.to_ascii_lowercase() == lower).then_some(lower)
    };
    match class {
        Class::Unicode(class) => match class.ranges() {
            [a, b] if a.start() == a.end() && b.start() == b.end() => {
                pair(u32::from(a.start()), u32::from(b.start()))
            }
            _ => None,
        },
        Class::Bytes(class) => match class.ranges() {
            [a, b] if only(a) && only(b) => pair(u32::from(a.start()), u32::from(b.start())),
            _ => None,
        },
    }
}

fn only(range: &hir::ClassBytesRange) -> bool {
    range.start() == range.end()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn needed(source: &str, ignore_case: bool) -> Vec<(String, bool)> {
        let options = RegexOptions {
            ignore_case,
            bytes: false,
        };
        RegexPattern::new(source, options)
            .unwrap()
            .required()
            .iter()
            .map(|one| {
                (
                    String::from_utf8_lossy(&one.bytes).into_owned(),
                    one.ignore_ascii_case,
                )
            })
            .collect()
    }

    #[test]
    fn what_every_match_contains() {
        let exact = |text: &str| (text.to_owned(), false);
        let either = |text: &str| (text.to_owned(), true);
        assert_eq!(
            needed(r"job \d+ (failed|stopped)", false),
            [exact("stopped"), exact("failed")]
                .into_iter()
                .rev()
                .collect::<Vec<_>>()
        );
        assert_eq!(needed(r"^user \w+ logged in$", false), [exact(" logged in")]);
        assert_eq!(needed(r"(a.c)+x?", false).len(), 1);
        assert_eq!(needed(r"\d*", false), []);
        assert_eq!(needed(r"warn|\d", false), []);
        assert_eq!(needed("timeout", true), [either("timeout")]);
        // The Kelvin sign is a k, and the long s an s.
        assert_eq!(needed("link down", true), [either(" down")]);
    }

    #[test]
    fn mistakes_and_sizes_are_named() {
        let text = |source: &str| {
            RegexPattern::new(source, RegexOptions::default())
                .unwrap_err()
                .to_string()
        };
        assert!(text("a(b").contains("unclosed group"), "{}", text("a(b"));
        assert!(text(r"(\w{200}){200}").contains("larger than"));
        assert!(text(r"(?-u:\xff)").contains("UTF-8"));
        let bytes = RegexOptions {
            bytes: true,
            ignore_case: false,
        };
        assert!(
            RegexPattern::new(r"(?-u:\xff)", bytes)
                .unwrap()
                .matches(b"a\xffb")
        );
    }
}
