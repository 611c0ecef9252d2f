//! Which code layout a column gets: what its stream wishes, unless another one is better at that too.
//!
//! | wish | for | gets |
//! |---|---|---|
//! | `rank` | any order statistic and count without decoding | wavelet matrix |
//! | `scan` | decoding and filtering at the speed of memory | packed blocks |
//! | `small` | rows that are seldom read | mini-blocks, or the wavelet matrix where that is no larger |
//! | `fm` | counting substrings of texts | as `rank`; it is about texts |
//!
//! One code, however often, is a constant under any wish. A wish is a request to the encoder and is kept in the
//! manifest; a file says what it holds, so readers need no wish.

use std::fmt;
use std::str::FromStr;

use super::{CodesKind, small, wavelet};
use crate::error::{Error, Result};

/// Codes in a piece of a sample, and such pieces; fewer codes than that are tried whole.
const PIECE: usize = 256;
const PIECES: usize = 16;
/// Pieces of the sample that a wavelet matrix is made of, and the share of the codes that each of them is.
const LONG_PIECES: usize = 4;
const LONG_SHARE: usize = 64;

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

/// The layout that `codes` get under a wish.
///
/// # Complexity
/// Linear in the number of equal codes at the start; a sample of the codes where layouts are compared.
pub fn choose(codes: &[u64], wish: Layout) -> CodesKind {
    let Some(first) = codes.first() else {
        return CodesKind::Constant;
    };
    if codes.iter().all(|code| code == first) {
        return CodesKind::Constant;
    }
    match wish {
        Layout::Small(rows) if wavelet_is_no_larger(codes, rows) => CodesKind::Wavelet,
        _ => wish.kind(),
    }
}

/// Encodes `codes` as `wish` asks: the layout they got, and its bytes.
pub fn encode(codes: &[u64], wish: Layout) -> (CodesKind, Vec<u8>) {
    let kind = choose(codes, wish);
    let bytes = match (kind, wish) {
        (CodesKind::Wavelet, Layout::Rank(Dial::Smaller)) => {
            wavelet::encode_with(codes, wavelet::Price::SMALL)
        }
        (CodesKind::Small, Layout::Small(rows)) => small::encode_with(codes, small_options(rows)),
        _ => super::encode(kind, codes),
    };
    (kind, bytes)
}

fn small_options(block_rows: MiniBlock) -> small::Options {
    small::Options {
        block_rows,
        ..small::Options::default()
    }
}

/// Whether mini-blocks would save nothing: where codes rarely change, or where few of them come back in no order.
fn wavelet_is_no_larger(codes: &[u64], rows: MiniBlock) -> bool {
    let options = small_options(rows);
    if codes.len() <= PIECE * PIECES {
        return wavelet::encode(codes).len() <= small::encode_with(codes, options).len();
    }
    let small_bits = small::estimate_bits(&pieces(codes, PIECE, PIECES), options);
    // Longer pieces, since their joints are changes that the column does not have.
    let sample = pieces(codes, (codes.len() / LONG_SHARE).max(PIECE), LONG_PIECES).concat();
    let wavelet_bits = wavelet::encode(&sample).len() as f64 * 8.0 / sample.len() as f64;
    wavelet_bits <= small_bits
}

/// Stretches of `piece` consecutive codes, `count` of them, evenly spread.
fn pieces(codes: &[u64], piece: usize, count: usize) -> Vec<&[u64]> {
    let room = codes.len().saturating_sub(piece);
    (0..count)
        .map(|i| i * room / (count - 1).max(1))
        .filter_map(|start| codes.get(start..start + piece))
        .collect()
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

    #[test]
    fn a_wish_is_followed_where_it_makes_sense() {
        let mut state = 1u64;
        let mut noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 52
        };
        let codes: Vec<u64> = (0..50_000).map(|_| noise()).collect();
        for wish in Layout::ALL {
            assert_eq!(choose(&codes, wish), wish.kind());
        }
        // One change in a long column: whatever is chosen is no larger than the wish.
        for len in [100, 3_000, 50_000] {
            let codes: Vec<u64> = (0..len).map(|i| u64::from(i > len / 3)).collect();
            for wish in [Layout::default(), Layout::Scan, Layout::Small(MiniBlock::Rows256)] {
                let (kind, bytes) = encode(&codes, wish);
                assert!(
                    bytes.len() <= super::super::encode(wish.kind(), &codes).len(),
                    "{wish}: {kind:?}"
                );
            }
        }
    }

    #[test]
    fn pieces_are_spread_evenly() {
        let codes: Vec<u64> = (0..10_000).collect();
        let found = pieces(&codes, 256, 16);
        assert_eq!(found.len(), 16);
        assert_eq!((found[0][0], found[15][255]), (0, 9_999));
    }

    #[test]
    fn one_code_is_a_constant_under_any_wish() {
        for wish in Layout::ALL {
            assert_eq!(choose(&[7; 100], wish), CodesKind::Constant);
            assert_eq!(choose(&[], wish), CodesKind::Constant);
        }
    }
}
