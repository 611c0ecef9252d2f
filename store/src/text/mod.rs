//! Text indexes: how the byte strings of a column are stored, and which questions they answer in place.
//!
//! One file an index. Positions count valid strings (nulls are taken out before).

use std::borrow::Cow;
use std::fmt::Debug;
use std::ops::{Bound, Range};

use crate::batch::ByteColumn;
use crate::codes::choose::Layout;
use crate::error::Result;
use crate::rows::Mask;
use crate::section::Section;

mod blocks;
pub mod both;
mod check;
pub mod choose;
pub mod cold;
pub mod dictionary;
pub mod fm;
pub mod like;
pub mod number;
pub mod pattern;
pub mod regex;
pub mod small;
pub mod template;
#[cfg(test)]
pub(crate) mod tests;
mod unpacked;

pub use pattern::TextPattern;

/// Number of an index in files; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum TextKind {
    /// Sorted dictionary of the distinct strings, and codes.
    Dictionary = 1,
    /// FM-index over the joined strings.
    Fm = 2,
    /// Templates, and columns of what varies in them.
    Template = 3,
    /// Templates, packed: a block is unpacked before it answers.
    Small = 4,
    /// An fm for counts and templates for rows.
    Both = 5,
    /// Templates and columns under models of what rows say: rows are read one by one.
    Cold = 6,
}

impl TextKind {
    /// All indexes, for tests and benches that walk them.
    pub const ALL: [TextKind; 6] = [
        TextKind::Dictionary,
        TextKind::Fm,
        TextKind::Template,
        TextKind::Small,
        TextKind::Both,
        TextKind::Cold,
    ];

    /// Index with this number, if there is one.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u16 == code)
    }

    /// Name as `silt stat` prints it.
    pub fn name(self) -> &'static str {
        match self {
            TextKind::Dictionary => "dictionary",
            TextKind::Fm => "fm",
            TextKind::Template => "template",
            TextKind::Small => "small",
            TextKind::Both => "fm+template",
            TextKind::Cold => "cold",
        }
    }
}

/// The read side of a text index. Implementations are shared between threads.
///
/// Answers are sets and counts of *strings* (rows), never of occurrences.
pub trait TextIndex: Send + Sync + Debug {
    /// Which index this is.
    fn kind(&self) -> TextKind;

    /// Name of the index, with the stop of its dial where it has one ("fm:32").
    fn name(&self) -> &'static str {
        self.kind().name()
    }

    /// The section written again with the parts that `wish` asks for, without reading its strings; `None` where that
    /// takes them.
    ///
    /// # Errors
    /// `Corrupt` where the bytes make no sense.
    fn refit(&self, _wish: Layout, _block_bytes: Option<u64>) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    /// Whether the index is cut into blocks of at most half of `block_bytes`.
    fn is_cut(&self, _block_bytes: u64) -> bool {
        false
    }

    /// Number of strings.
    fn len(&self) -> u64;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends string `position` to `out`.
    fn extract(&self, position: u64, out: &mut Vec<u8>) -> Result<()>;

    /// Appends the strings at `range` to `out`.
    fn decode(&self, range: Range<u64>, out: &mut ByteColumn) -> Result<()> {
        for position in range {
            self.extract(position, out.buffer())?;
            out.close();
        }
        Ok(())
    }

    /// How many strings in `ranges` match `pattern`.
    fn count(&self, ranges: &[Range<u64>], pattern: &TextPattern) -> Result<u64>;

    /// Sets bit `p - range.start` of `mask` for each string `p` of `range` that matches `pattern`.
    fn select(&self, range: Range<u64>, pattern: &TextPattern, mask: &mut Mask) -> Result<()>;

    /// The first `limit` strings of `range` that match, in order, without looking at all of those behind them.
    ///
    /// Windows grow until enough are found, so the cost is that of [`TextIndex::select`] on a few times the rows up
    /// to the last one given.
    fn first(&self, range: Range<u64>, pattern: &TextPattern, limit: usize) -> Result<Vec<u64>> {
        let mut found = Vec::new();
        let mut window = (limit as u64).saturating_mul(2).max(64);
        let mut start = range.start;
        while start < range.end && found.len() < limit {
            let end = start.saturating_add(window).min(range.end);
            let places = usize::try_from(end - start).unwrap_or(usize::MAX);
            let mut mask = Mask::repeat(false, places);
            self.select(start..end, pattern, &mut mask)?;
            found.extend(
                mask.iter_ones()
                    .take(limit - found.len())
                    .map(|place| start + place as u64),
            );
            window = window.saturating_mul(4);
            start = end;
        }
        Ok(found)
    }

    /// How many strings in `ranges` lie between the bounds, compared byte by byte.
    fn count_between(&self, ranges: &[Range<u64>], low: Bound<&[u8]>, high: Bound<&[u8]>) -> Result<u64>;

    /// Like [`TextIndex::select`] for strings between the bounds, compared byte by byte.
    fn select_between(
        &self,
        range: Range<u64>,
        low: Bound<&[u8]>,
        high: Bound<&[u8]>,
        mask: &mut Mask,
    ) -> Result<()>;

    /// Bits that each part takes, as `(name, bits)`.
    fn parts(&self) -> Vec<(String, u64)>;
}

/// Encodes `strings` as index `kind`.
///
/// # Errors
/// `InvalidArgument` if the strings together are longer than the index can address.
pub fn encode(kind: TextKind, strings: &ByteColumn) -> Result<Vec<u8>> {
    encode_with(kind, strings, Layout::default())
}

/// [`encode`], with a wish for how codes inside the index are stored, and for the parts of an fm.
///
/// # Errors
/// See [`encode`].
pub fn encode_with(kind: TextKind, strings: &ByteColumn, wish: Layout) -> Result<Vec<u8>> {
    match kind {
        TextKind::Dictionary => dictionary::encode(strings, wish),
        TextKind::Fm => fm::encode_with(strings, &fm::FmOptions::of(wish)),
        TextKind::Template => template::encode(strings),
        TextKind::Small => small::encode(strings, small::BLOCK_BYTES),
        TextKind::Both => both::encode(strings, None),
        TextKind::Cold => cold::encode(strings, small::BLOCK_BYTES),
    }
}

/// Opens what [`encode`] wrote. The header is checked here, the rest on first touch.
///
/// # Errors
/// `Corrupt` if the header makes no sense for the section's length.
pub fn open(kind: TextKind, section: Section) -> Result<Box<dyn TextIndex>> {
    Ok(match kind {
        TextKind::Dictionary => Box::new(dictionary::Dictionary::open(section)?),
        TextKind::Fm => Box::new(fm::Fm::open(section)?),
        TextKind::Template => Box::new(template::Templates::open(section)?),
        TextKind::Small => Box::new(small::open(section)?),
        TextKind::Both => Box::new(both::Both::open(section)?),
        TextKind::Cold => Box::new(cold::open(section)?),
    })
}

/// Whether a byte string lies between two bounds, byte by byte.
pub fn between(value: &[u8], low: Bound<&[u8]>, high: Bound<&[u8]>) -> bool {
    (match low {
        Bound::Included(b) => value >= b,
        Bound::Excluded(b) => value > b,
        Bound::Unbounded => true,
    }) && (match high {
        Bound::Included(b) => value <= b,
        Bound::Excluded(b) => value < b,
        Bound::Unbounded => true,
    })
}

/// A pattern that the strings of `index` meet as they meet `pattern`, and that takes less: a text in any case is looked up
/// by ASCII letters where no string has a letter beyond ASCII that Unicode folds to one of them.
///
/// # Errors
/// `Corrupt` where the bytes make no sense.
pub fn simplest<'p>(index: &dyn TextIndex, pattern: &'p TextPattern) -> Result<Cow<'p, TextPattern>> {
    let TextPattern::Regex(regex) = pattern else {
        return Ok(Cow::Borrowed(pattern));
    };
    let Some(needle) = regex.needle() else {
        return Ok(Cow::Borrowed(pattern));
    };
    let all = 0..index.len();
    for (kin, letter) in regex::KIN {
        let kin = TextPattern::Contains(kin.to_string().into_bytes());
        let has_letter = needle.iter().any(|byte| byte.eq_ignore_ascii_case(&letter));
        if has_letter && index.count(std::slice::from_ref(&all), &kin)? > 0 {
            return Ok(Cow::Borrowed(pattern));
        }
    }
    Ok(Cow::Owned(TextPattern::ContainsIgnoreAsciiCase(needle.to_vec())))
}
