//! Which code layout a column gets: what its stream wishes, unless another one is better at that too.
//!
//! | wish | for | gets |
//! |---|---|---|
//! | `rank` | any order statistic and count without decoding | wavelet matrix |
//! | `scan` | decoding and filtering at the speed of memory | packed blocks |
//! | `small` | rows that are seldom read | mini-blocks, or the wavelet matrix where that is no larger |
//!
//! One code, however often, is a constant under any wish. A wish is a request to the encoder and is kept in the
//! manifest; a file says what it holds, so readers need no wish.

use std::fmt;
use std::str::FromStr;

use super::{CodesKind, wavelet};
use crate::error::{Error, Result};

/// What a rank layout is tuned for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Dial {
    /// Fewer nanoseconds a question.
    #[default]
    Fast,
    /// Fewer bits a code.
    Smaller,
}

/// Codes in a mini-block of a small layout: one random value costs one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum MiniBlock {
    /// 128: quicker to read one value from.
    Rows128,
    /// 256.
    #[default]
    Rows256,
    /// 512: a few percent smaller.
    Rows512,
}

impl MiniBlock {
    /// Number of codes.
    pub fn rows(self) -> usize {
        match self {
            MiniBlock::Rows128 => 128,
            MiniBlock::Rows256 => 256,
            MiniBlock::Rows512 => 512,
        }
    }
}

/// How the codes of a column should be stored: the dial between space and speed.
///
/// As text: `rank`, `rank:smaller`, `scan`, `small`, `small:128`, `small:512`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Layout {
    /// Any count and any order statistic without decoding.
    Rank(Dial),
    /// Decoding and filtering at the speed of memory.
    Scan,
    /// Fewest bytes.
    Small(MiniBlock),
}

impl Default for Layout {
    fn default() -> Self {
        Layout::Rank(Dial::default())
    }
}

impl Layout {
    /// All layouts with all their settings.
    pub const ALL: [Layout; 6] = [
        Layout::Rank(Dial::Fast),
        Layout::Rank(Dial::Smaller),
        Layout::Scan,
        Layout::Small(MiniBlock::Rows128),
        Layout::Small(MiniBlock::Rows256),
        Layout::Small(MiniBlock::Rows512),
    ];

    /// Name with its setting, as it is written on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Layout::Rank(Dial::Fast) => "rank",
            Layout::Rank(Dial::Smaller) => "rank:smaller",
            Layout::Scan => "scan",
            Layout::Small(MiniBlock::Rows128) => "small:128",
            Layout::Small(MiniBlock::Rows256) => "small",
            Layout::Small(MiniBlock::Rows512) => "small:512",
        }
    }

    /// Number in files; never reused.
    pub fn code(self) -> u8 {
        match self {
            Layout::Rank(Dial::Fast) => 1,
            Layout::Rank(Dial::Smaller) => 2,
            Layout::Scan => 3,
            Layout::Small(MiniBlock::Rows128) => 4,
            Layout::Small(MiniBlock::Rows256) => 5,
            Layout::Small(MiniBlock::Rows512) => 6,
        }
    }

    /// Layout with this number, if there is one.
    pub fn from_code(code: u8) -> Option<Layout> {
        Layout::ALL.into_iter().find(|layout| layout.code() == code)
    }

    /// The code layout that the wish is for.
    pub fn kind(self) -> CodesKind {
        match self {
            Layout::Rank(_) | Layout::Small(_) => CodesKind::Wavelet,
            Layout::Scan => CodesKind::Scan,
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Layout {
    type Err = Error;

    fn from_str(text: &str) -> Result<Layout> {
        let same = match text {
            "rank:fast" => "rank",
            "small:256" => "small",
            other => other,
        };
        let found = Layout::ALL.into_iter().find(|layout| layout.name() == same);
        found.ok_or_else(|| {
            let names: Vec<&str> = Layout::ALL.iter().map(|layout| layout.name()).collect();
            Error::invalid(format!(
                "there is no layout {text:?}; there are {}",
                names.join(", ")
            ))
        })
    }
}

/// The layout that `codes` get under a wish.
///
/// # Complexity
/// Linear in the number of equal codes at the start; a sample of the codes where layouts are compared.
pub fn choose(codes: &[u64], wish: Layout) -> CodesKind {
    match codes.first() {
        Some(first) if codes.iter().all(|code| code == first) => CodesKind::Constant,
        None => CodesKind::Constant,
        _ => wish.kind(),
    }
}

/// Encodes `codes` as `wish` asks: the layout they got, and its bytes.
pub fn encode(codes: &[u64], wish: Layout) -> (CodesKind, Vec<u8>) {
    let kind = choose(codes, wish);
    let bytes = match (kind, wish) {
        (CodesKind::Wavelet, _) => wavelet::encode(codes),
        _ => super::encode(kind, codes),
    };
    (kind, bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn layouts_have_names_and_numbers() {
        for layout in Layout::ALL {
            assert_eq!(layout.to_string().parse::<Layout>().unwrap(), layout);
            assert_eq!(Layout::from_code(layout.code()), Some(layout));
        }
        assert_eq!("rank:fast".parse::<Layout>().unwrap(), Layout::default());
        assert!("fast".parse::<Layout>().is_err());
        assert_eq!(Layout::from_code(0), None);
    }

    #[test]
    fn one_code_is_a_constant_under_any_wish() {
        for wish in Layout::ALL {
            assert_eq!(choose(&[7; 100], wish), CodesKind::Constant);
            assert_eq!(choose(&[], wish), CodesKind::Constant);
        }
    }
}
