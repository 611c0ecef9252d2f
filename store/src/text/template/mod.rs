//! Templates: log lines as the few texts that they were printed with, and columns of what varies in them.
//!
//! Good at logs: about the size that the strongest general compressors reach on whole files, while one row is read in
//! microseconds and substrings are found without reading rows. Text that no program printed is better kept in an fm.
//!
//! ```text
//!  0  u16 layout (1), u16 kind of the template codes, u32 templates
//!  8  u64 rows
//! 16  u32 bytes of the templates' text, u32 sections of codes
//! 24  u32 bytes of the rest if it is packed, else 0; u32 bytes of the pools
//! 32  7 x u64 starts of the parts, each a multiple of 8:
//!     text            constants and delimiters of all templates, packed ([`lz`])
//!     directory       what each column is kept as ([`coder`])
//!     bits            the columns ([`sequence`], [`list`])
//!     sections        columns of many rows, in a code layout
//!     template codes  0 or 1 + template of each row, in a code layout
//!     dictionary      values that are no numbers: pools of packed letters ([`pool`]), then the others: an fm
//!     rest            rows of no template: packed if they are few ([`lz`]), else an fm
//! ```
//!
//! Writing: rows are cut into tokens ([`tokens`]), grouped by their delimiters and split by mutual information
//! ([`mine`]); what varies becomes columns, each the same as or a function of another one where that holds, numbers
//! where the tokens are numbers ([`number`]), else ids of one dictionary ([`columns`]). Text and directory are unpacked
//! when the index is first asked; the rest is read in place.
//!
//! | question | cost |
//! |---|---|
//! | one row | a step for each of its tokens; a dictionary value of the fm costs one step of that a byte |
//! | rows that contain, start with, end with, equal | one fm search a token of the needle, and one pass over each column that may have it |
//! | LIKE, regular expressions | the same for what every match contains, then the candidates are read |
//! | rows between two bounds | reads all rows |

#![allow(
    clippy::cast_possible_truncation,
    reason = "text has no more than 2^22 bytes, widths are below 65, and casts to usize index memory"
)]

use std::ops::{Bound, Range};
use std::sync::OnceLock;

use super::{TextIndex, TextKind, TextPattern, check};
use crate::batch::ByteColumn;
use crate::codes::CodesKind;
use crate::error::Result;
use crate::rows::Mask;
use crate::section::Section;

mod answer;
pub(super) mod bits;
pub(super) mod checksum;
pub(super) mod coder;
mod columns;
mod digits;
mod encode;
mod filter;
mod grams;
pub(super) mod list;
mod lookup;
pub(super) mod lz;
mod measure;
pub(super) mod memory;
mod mine;
mod number;
pub(super) mod plan;
mod pool;
mod read;
pub(super) mod rest;
mod rows;
mod search;
mod sequence;
mod tails;
#[cfg(test)]
pub(super) mod tests;
pub(super) mod tokens;
mod words;

pub use encode::encode;
pub(super) use encode::write;
pub(super) use number::{Form, MAX_FIELDS, Radix, ZERO};
use read::Model;
pub(super) use tokens::VARIABLE;

/// Layout number of the section.
const LAYOUT: u16 = 1;
/// Bytes before the starts of the parts.
const HEADER: u64 = 32;
/// Parts of a section.
const PARTS: usize = 7;
/// Bytes of all templates' text.
pub(super) const MAX_TEXT: usize = 1 << 22;
/// Columns of all templates.
pub(super) const MAX_COLUMNS: usize = 1 << 17;
/// Bytes of a rest that is packed.
const MAX_PACKED_REST: usize = 1 << 21;

/// The fixed fields of a section.
#[derive(Debug)]
struct Head {
    rows: u64,
    templates: u32,
    codes: CodesKind,
    text_bytes: u32,
    sections: u32,
    rest_bytes: u32,
    pool_bytes: u32,
    starts: [u64; PARTS + 1],
}

impl Head {
    fn part(&self, index: usize) -> Range<u64> {
        self.starts[index]..self.starts[index + 1]
    }
}

/// The read side.
#[derive(Debug)]
pub struct Templates {
    section: Section,
    head: Head,
    model: OnceLock<Model>,
}

impl Templates {
    /// Opens a section.
    ///
    /// # Errors
    /// `Corrupt` if the header makes no sense for the section's length.
    pub fn open(section: Section) -> Result<Templates> {
        let layout = section.u16(0)?;
        if layout != LAYOUT {
            return Err(section.corrupt(0, format!("layout {layout} of a template index is unknown")));
        }
        let codes = CodesKind::from_code(section.u16(2)?)
            .ok_or_else(|| section.corrupt(2, "a layout of codes is unknown".to_string()))?;
        let mut starts = [section.len(); PARTS + 1];
        let mut before = HEADER + PARTS as u64 * 8;
        for (index, start) in starts.iter_mut().take(PARTS).enumerate() {
            *start = section.u64(HEADER + index as u64 * 8)?;
            if *start < before || *start > section.len() {
                return Err(section.corrupt(HEADER + index as u64 * 8, "parts overlap".to_string()));
            }
            before = *start;
        }
        let head = Head {
            rows: section.u64(8)?,
            templates: section.u32(4)?,
            codes,
            text_bytes: section.u32(16)?,
            sections: section.u32(20)?,
            rest_bytes: section.u32(24)?,
            pool_bytes: section.u32(28)?,
            starts,
        };
        Ok(Templates {
            section,
            head,
            model: OnceLock::new(),
        })
    }

    fn model(&self) -> Result<&Model> {
        if let Some(model) = self.model.get() {
            return Ok(model);
        }
        let model = Model::open(&self.section, &self.head)?;
        Ok(self.model.get_or_init(|| model))
    }
}

impl TextIndex for Templates {
    fn kind(&self) -> TextKind {
        TextKind::Template
    }

    fn len(&self) -> u64 {
        self.head.rows
    }

    fn extract(&self, position: u64, out: &mut Vec<u8>) -> Result<()> {
        check::position(self.len(), position)?;
        let from = out.len();
        let found = self.model()?.extract(position, out);
        if found.is_err() {
            out.truncate(from);
        }
        found
    }

    fn decode(&self, range: Range<u64>, out: &mut ByteColumn) -> Result<()> {
        check::ranges(self.len(), std::slice::from_ref(&range))?;
        self.model()?.read_rows(range, |_, bytes| out.push(bytes))
    }

    fn count(&self, ranges: &[Range<u64>], pattern: &TextPattern) -> Result<u64> {
        check::ranges(self.len(), ranges)?;
        answer::count(self.model()?, ranges, pattern)
    }

    fn select(&self, range: Range<u64>, pattern: &TextPattern, mask: &mut Mask) -> Result<()> {
        check::mask(self.len(), &range, mask)?;
        answer::select(self.model()?, range, pattern, mask)
    }

    fn count_between(&self, ranges: &[Range<u64>], low: Bound<&[u8]>, high: Bound<&[u8]>) -> Result<u64> {
        check::ranges(self.len(), ranges)?;
        answer::count_between(self.model()?, ranges, low, high)
    }

    fn select_between(
        &self,
        range: Range<u64>,
        low: Bound<&[u8]>,
        high: Bound<&[u8]>,
        mask: &mut Mask,
    ) -> Result<()> {
        check::mask(self.len(), &range, mask)?;
        answer::select_between(self.model()?, range, low, high, mask)
    }

    fn parts(&self) -> Vec<(String, u64)> {
        const NAMES: [&str; PARTS] = [
            "templates",
            "directory",
            "columns",
            "columns in codes",
            "template codes",
            "dictionary",
            "rest",
        ];
        let mut parts = vec![("headers".to_string(), self.head.part(0).start * 8)];
        for (index, name) in NAMES.into_iter().enumerate() {
            let part = self.head.part(index);
            parts.push((name.to_string(), (part.end - part.start) * 8));
        }
        parts
    }
}
