//! LIKE patterns of SQL.

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
