//! An fm and a template index of the same rows: counts of the one, rows of the other.
//!
//! Good at logs that are asked a lot: a substring is counted in the microseconds of [`fm`], rows are found and read in
//! those of [`template`]. It takes the bytes of both, so it is made only where the layout wish `rank:both` asks for it.
//!
//! ```text
//!  0  u16 layout (1), 6 bytes zero
//!  8  u64 bytes of the fm
//! 16  48 bytes zero
//! 64  the fm, zeros up to a multiple of 64, the template index
//! ```
//!
//! Costs: those of the index that answers; the table says which.
//!
//! | question | answered by |
//! |---|---|
//! | count of a substring, a prefix, a suffix, a whole row, rows between bounds | fm |
//! | count of anything else, rows, one row | template |

use std::ops::{Bound, Range};

use super::fm::{self, Fm, FmOptions};
use super::template::{self, Templates};
use super::{TextIndex, TextKind, TextPattern};
use crate::batch::ByteColumn;
use crate::error::Result;
use crate::rows::Mask;
use crate::section::Section;

/// Layout number of the section.
const LAYOUT: u16 = 1;
/// Bytes before the fm; what follows starts at multiples of it.
const HEADER: usize = 64;

/// Encodes strings, the fm in blocks of `block_bytes`.
///
/// # Errors
/// See [`super::encode`].
pub fn encode(strings: &ByteColumn, block_bytes: Option<u64>) -> Result<Vec<u8>> {
    let mut options = FmOptions::default();
    options.block_bytes = block_bytes.unwrap_or(options.block_bytes);
    let fm = fm::encode_with(strings, &options)?;
    let mut out = Vec::new();
    out.extend_from_slice(&u64::from(LAYOUT).to_le_bytes());
    out.extend_from_slice(&(fm.len() as u64).to_le_bytes());
    out.resize(HEADER, 0);
    out.extend_from_slice(&fm);
    drop(fm);
    out.resize(out.len().next_multiple_of(HEADER), 0);
    out.extend_from_slice(&template::encode(strings)?);
    Ok(out)
}

/// The read side.
#[derive(Debug)]
pub struct Both {
    fm: Fm,
    templates: Templates,
}

impl Both {
    /// Opens a section.
    ///
    /// # Errors
    /// `Corrupt` if the header makes no sense for the section's length, or the two have not as many rows.
    pub fn open(section: Section) -> Result<Both> {
        let layout = section.u64(0)?;
        if layout != u64::from(LAYOUT) {
            return Err(section.corrupt(0, format!("layout {layout} of two indexes is unknown")));
        }
        let end = (HEADER as u64).checked_add(section.u64(8)?);
        let start = end.and_then(|end| end.checked_next_multiple_of(HEADER as u64));
        let (Some(end), Some(start)) = (end, start.filter(|start| *start <= section.len())) else {
            return Err(section.corrupt(8, "the fm ends outside the section".into()));
        };
        let both = Both {
            fm: Fm::open(section.sub(HEADER as u64..end)?)?,
            templates: Templates::open(section.sub(start..section.len())?)?,
        };
        if both.fm.len() == both.templates.len() {
            Ok(both)
        } else {
            let what = format!(
                "an fm of {} rows beside templates of {}",
                both.fm.len(),
                both.templates.len()
            );
            Err(section.corrupt(0, what))
        }
    }

    /// The index that counts such rows soonest.
    fn counter(&self, pattern: &TextPattern) -> &dyn TextIndex {
        match pattern {
            TextPattern::Contains(_)
            | TextPattern::StartsWith(_)
            | TextPattern::EndsWith(_)
            | TextPattern::Equals(_) => &self.fm,
            TextPattern::ContainsIgnoreAsciiCase(_)
            | TextPattern::Like(_)
            | TextPattern::Regex(_)
            | TextPattern::Number(_) => &self.templates,
        }
    }
}

impl TextIndex for Both {
    fn kind(&self) -> TextKind {
        TextKind::Both
    }

    fn len(&self) -> u64 {
        self.templates.len()
    }

    fn extract(&self, position: u64, out: &mut Vec<u8>) -> Result<()> {
        self.templates.extract(position, out)
    }

    fn decode(&self, range: Range<u64>, out: &mut ByteColumn) -> Result<()> {
        self.templates.decode(range, out)
    }

    fn count(&self, ranges: &[Range<u64>], pattern: &TextPattern) -> Result<u64> {
        self.counter(pattern).count(ranges, pattern)
    }

    fn select(&self, range: Range<u64>, pattern: &TextPattern, mask: &mut Mask) -> Result<()> {
        self.templates.select(range, pattern, mask)
    }

    fn first(&self, range: Range<u64>, pattern: &TextPattern, limit: usize) -> Result<Vec<u64>> {
        self.templates.first(range, pattern, limit)
    }

    fn count_between(&self, ranges: &[Range<u64>], low: Bound<&[u8]>, high: Bound<&[u8]>) -> Result<u64> {
        self.fm.count_between(ranges, low, high)
    }

    fn select_between(
        &self,
        range: Range<u64>,
        low: Bound<&[u8]>,
        high: Bound<&[u8]>,
        mask: &mut Mask,
    ) -> Result<()> {
        self.templates.select_between(range, low, high, mask)
    }

    fn parts(&self) -> Vec<(String, u64)> {
        let named = |name: &str, index: &dyn TextIndex| -> Vec<(String, u64)> {
            let parts = index.parts().into_iter();
            parts
                .map(|(part, bits)| (format!("{name}: {part}"), bits))
                .collect()
        };
        let mut all = named("fm", &self.fm);
        all.extend(named("template", &self.templates));
        all
    }
}
