//! Rows of no template: packed and scanned where they are few, an index of their own where they are many.
//!
//! ```text
//! packed   per row its length as a varint (7 bits a byte, lowest first, the highest bit set in all bytes but the last);
//!          the rows' bytes; all of it packed as [`lz`] does
//! ```

use std::ops::Range;
use std::sync::OnceLock;

use super::grams::Grams;
use super::lz;
use crate::batch::ByteColumn;
use crate::error::{Error, Result};
use crate::section::Section;
use crate::text::fm::{Fm, FmOptions, encode_with};
use crate::text::{TextIndex, TextPattern};

/// Rows that were packed, and where what is in them.
type Unpacked = (ByteColumn, Grams);

/// Rows of no template.
#[derive(Debug)]
pub enum Rest {
    /// Unpacked when first asked: section, bytes when unpacked, rows.
    Packed(Section, usize, OnceLock<Unpacked>),
    /// An index.
    Fm(Fm),
}

/// Encodes rows: the bytes they have when unpacked (0 for an index), and what is written.
pub fn encode(rows: &ByteColumn, most_packed: usize) -> Result<(u32, Vec<u8>)> {
    if rows.is_empty() {
        return Ok((0, Vec::new()));
    }
    let mut plain = Vec::new();
    for row in 0..rows.len() {
        let mut length = rows.get(row).len();
        while length >= 128 {
            plain.push((length & 127) as u8 | 128);
            length >>= 7;
        }
        plain.push(length as u8);
    }
    plain.extend_from_slice(rows.bytes());
    if plain.len() <= most_packed.min(super::MAX_PACKED_REST) {
        return Ok((plain.len() as u32, lz::pack(&plain)));
    }
    Ok((0, encode_with(rows, &FmOptions::default())?))
}

impl Rest {
    /// Opens what [`encode`] wrote.
    pub fn open(section: Section, plain_bytes: u32) -> Result<Rest> {
        Ok(if plain_bytes == 0 {
            Rest::Fm(Fm::open(section)?)
        } else if plain_bytes as usize > super::MAX_PACKED_REST {
            return Err(section.corrupt(0, format!("a rest of {plain_bytes} bytes is packed")));
        } else {
            Rest::Packed(section, plain_bytes as usize, OnceLock::new())
        })
    }

    fn rows<'a>(
        section: &Section,
        bytes: usize,
        rows: &'a OnceLock<Unpacked>,
        count: u64,
    ) -> Result<&'a Unpacked> {
        if let Some(rows) = rows.get() {
            return Ok(rows);
        }
        let wrong = || -> Error { section.corrupt(0, "the packed rest makes no sense".to_string()) };
        let plain = lz::unpack(section.all()?, bytes).ok_or_else(wrong)?;
        let read = || {
            let mut lengths = Vec::new();
            let mut at = 0;
            for _ in 0..count {
                let (mut length, mut shift) = (0usize, 0u32);
                loop {
                    let byte = *plain.get(at)?;
                    at += 1;
                    length |= usize::from(byte & 127) << shift;
                    shift += 7;
                    if byte < 128 {
                        break;
                    }
                    if shift > 21 {
                        return None;
                    }
                }
                lengths.push(length);
            }
            let mut found = ByteColumn::default();
            for length in lengths {
                found.push(plain.get(at..at.checked_add(length)?)?);
                at += length;
            }
            (at == plain.len()).then_some(found)
        };
        let found = read().ok_or_else(wrong)?;
        Ok(rows.get_or_init(|| {
            let grams = Grams::new(&found);
            (found, grams)
        }))
    }

    /// Number of rows, of which a packed rest is told to have `count`.
    pub fn len(&self, count: u64) -> u64 {
        match self {
            Rest::Packed(..) => count,
            Rest::Fm(fm) => fm.len(),
        }
    }

    /// Appends row `row` of `count`.
    pub fn extract(&self, row: u64, count: u64, out: &mut Vec<u8>) -> Result<()> {
        match self {
            Rest::Packed(section, bytes, rows) => {
                let (rows, _) = Rest::rows(section, *bytes, rows, count)?;
                if row < rows.len() as u64 {
                    out.extend_from_slice(rows.get(row as usize));
                }
                Ok(())
            }
            Rest::Fm(fm) => fm.extract(row, out),
        }
    }

    /// How many of `range` match; there are `count` rows.
    pub fn count(&self, range: Range<u64>, count: u64, pattern: &TextPattern) -> Result<u64> {
        match self {
            Rest::Packed(..) => {
                let mut found = 0;
                self.each(range, count, pattern, |_| found += 1)?;
                Ok(found)
            }
            Rest::Fm(fm) => fm.count(std::slice::from_ref(&range), pattern),
        }
    }

    /// The rows of `range` that match, in order; there are `count` rows.
    pub fn find(&self, range: Range<u64>, count: u64, pattern: &TextPattern) -> Result<Vec<u64>> {
        let mut found = Vec::new();
        match self {
            Rest::Packed(..) => self.each(range, count, pattern, |row| found.push(row))?,
            Rest::Fm(fm) => {
                let places = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
                let mut mask = crate::rows::Mask::repeat(false, places);
                fm.select(range.clone(), pattern, &mut mask)?;
                found.extend(mask.iter_ones().map(|place| range.start + place as u64));
            }
        }
        Ok(found)
    }

    /// Calls `visit` with the rows of `range` of a packed rest that match.
    fn each(
        &self,
        range: Range<u64>,
        count: u64,
        pattern: &TextPattern,
        mut visit: impl FnMut(u64),
    ) -> Result<()> {
        let Rest::Packed(section, bytes, rows) = self else {
            return Ok(());
        };
        let (rows, grams) = Rest::rows(section, *bytes, rows, count)?;
        let (first, last) = (range.start as usize, (range.end as usize).min(rows.len()));
        let needle = match pattern {
            TextPattern::Contains(needle)
            | TextPattern::ContainsIgnoreAsciiCase(needle)
            | TextPattern::StartsWith(needle)
            | TextPattern::EndsWith(needle)
            | TextPattern::Equals(needle) => needle.as_slice(),
            TextPattern::Number(number) => number.place().before(),
            TextPattern::Like(_) | TextPattern::Regex(_) => &[],
        };
        let finder = memchr::memmem::Finder::new(needle);
        for stretch in grams.stretches(needle, rows.len()) {
            let stretch = stretch.start.max(first)..stretch.end.min(last);
            if stretch.start >= stretch.end {
                continue;
            }
            if matches!(pattern, TextPattern::Contains(_)) {
                find_each(rows, stretch, &finder, &mut visit);
                continue;
            }
            for row in stretch {
                if pattern.matches(rows.get(row)) {
                    visit(row as u64);
                }
            }
        }
        Ok(())
    }
}

/// Calls `visit` with the rows of `range` that hold a needle: one pass over all of them, in which what crosses from row
/// to row does not count.
fn find_each(
    rows: &ByteColumn,
    range: Range<usize>,
    finder: &memchr::memmem::Finder<'_>,
    visit: &mut impl FnMut(u64),
) {
    let offsets = rows.offsets();
    let from = offsets.get(range.start).copied().unwrap_or(0) as usize;
    let to = offsets.get(range.end).copied().unwrap_or(0) as usize;
    let text = rows.bytes().get(from..to).unwrap_or_default();
    let mut at = 0;
    while let Some(hit) = text.get(at..).and_then(|text| finder.find(text)) {
        let start = (from + at + hit) as u64;
        let row = offsets.partition_point(|&offset| offset <= start) - 1;
        let end = offsets.get(row + 1).copied().unwrap_or(u64::MAX);
        if start + finder.needle().len() as u64 <= end {
            visit(row as u64);
            at = end as usize - from;
        } else {
            at += hit + 1;
        }
    }
}
