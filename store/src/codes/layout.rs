//! Wishes: how the columns of a stream should be stored, by name and by number.

use std::fmt;
use std::str::FromStr;

use super::CodesKind;
use crate::error::{Error, Result};

/// What a rank layout is tuned for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Dial {
    /// Fewer nanoseconds a question.
    #[default]
    Fast,
    /// Fewer bits a code.
    Smaller,
    /// As `Fast`; texts get two indexes, one that counts and one that finds and reads rows.
    Both,
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

/// What an FM-index of a text keeps beside what it needs to count: each stop of this dial takes fewer bytes than the one
/// before, and costs speed only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum FmParts {
    /// Row numbers at every 32nd byte of a row: rows of a substring are named in half the steps.
    Rows32,
    /// Row numbers at every 64th byte, and counters.
    #[default]
    Rows64,
    /// Counters only: rows that contain a substring are counted as before; to name them is a walk to each row's start.
    Counts,
    /// Neither: rows are counted by naming them.
    Least,
}

/// How the codes of a column should be stored: the dial between space and speed.
///
/// As text: `rank`, `rank:smaller`, `rank:both`, `scan`, `small`, `small:128`, `small:512`, `fm`, `fm:32`, `fm:count`,
/// `fm:least`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Layout {
    /// Any count and any order statistic without decoding.
    Rank(Dial),
    /// Decoding and filtering at the speed of memory.
    Scan,
    /// Fewest bytes.
    Small(MiniBlock),
    /// Texts as an FM-index, numbers as `rank`.
    Fm(FmParts),
}

impl Default for Layout {
    fn default() -> Self {
        Layout::Rank(Dial::default())
    }
}

impl Layout {
    /// All layouts with all their settings.
    pub const ALL: [Layout; 11] = [
        Layout::Rank(Dial::Fast),
        Layout::Rank(Dial::Smaller),
        Layout::Rank(Dial::Both),
        Layout::Scan,
        Layout::Small(MiniBlock::Rows128),
        Layout::Small(MiniBlock::Rows256),
        Layout::Small(MiniBlock::Rows512),
        Layout::Fm(FmParts::Rows32),
        Layout::Fm(FmParts::Rows64),
        Layout::Fm(FmParts::Counts),
        Layout::Fm(FmParts::Least),
    ];

    /// Those that store codes differently: `rank:both` and `fm` are about texts.
    pub const OF_CODES: [Layout; 6] = [
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
            Layout::Rank(Dial::Both) => "rank:both",
            Layout::Scan => "scan",
            Layout::Small(MiniBlock::Rows128) => "small:128",
            Layout::Small(MiniBlock::Rows256) => "small",
            Layout::Small(MiniBlock::Rows512) => "small:512",
            Layout::Fm(FmParts::Rows32) => "fm:32",
            Layout::Fm(FmParts::Rows64) => "fm",
            Layout::Fm(FmParts::Counts) => "fm:count",
            Layout::Fm(FmParts::Least) => "fm:least",
        }
    }

    /// Number in files; never reused.
    pub fn code(self) -> u8 {
        match self {
            Layout::Rank(Dial::Fast) => 1,
            Layout::Rank(Dial::Smaller) => 2,
            Layout::Rank(Dial::Both) => 7,
            Layout::Scan => 3,
            Layout::Small(MiniBlock::Rows128) => 4,
            Layout::Small(MiniBlock::Rows256) => 5,
            Layout::Small(MiniBlock::Rows512) => 6,
            Layout::Fm(FmParts::Rows64) => 8,
            Layout::Fm(FmParts::Rows32) => 9,
            Layout::Fm(FmParts::Counts) => 10,
            Layout::Fm(FmParts::Least) => 11,
        }
    }

    /// Layout with this number, if there is one.
    pub fn from_code(code: u8) -> Option<Layout> {
        Layout::ALL.into_iter().find(|layout| layout.code() == code)
    }

    /// The code layout that the wish is for.
    pub fn kind(self) -> CodesKind {
        match self {
            Layout::Rank(_) | Layout::Fm(_) => CodesKind::Wavelet,
            Layout::Scan => CodesKind::Scan,
            Layout::Small(_) => CodesKind::Small,
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
            "fm:64" => "fm",
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
        assert_eq!("fm:64".parse::<Layout>().unwrap(), Layout::Fm(FmParts::Rows64));
        assert!("fast".parse::<Layout>().is_err());
        assert_eq!(Layout::from_code(0), None);
    }
}
