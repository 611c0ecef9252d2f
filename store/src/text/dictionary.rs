//! Sorted dictionary of the distinct strings, and a code a string.
//!
//! Good at columns with few distinct values: every question becomes intervals of codes, asked of the code layout.
//! Prefix, equality and order are one interval, found by binary search; other patterns are matched against each
//! distinct string once.
//!
//! ```text
//!  0  u16 layout (1), u16 kind of the codes, u32 distinct strings
//!  8  u64 strings
//! 16  u64 start of the codes (a multiple of 64), u64 bytes of the codes
//! 32  u64 start of each group of 16 distinct strings in the entries, and their end
//!     entries: the group's first string as varint length and bytes, each other one as varint bytes shared with the
//!     one before, varint length of the rest, and the rest
//!     the codes, a section of their own
//! ```
//!
//! Costs: two or three group reads for a binary search beyond one string a halving; one group read a string.

#![allow(
    clippy::cast_possible_truncation,
    reason = "casts to usize index bytes of a section that was bounds-checked"
)]

use std::collections::HashMap;
use std::ops::{Bound, Range};

use super::{TextIndex, TextKind, TextPattern, check};
use crate::batch::ByteColumn;
use crate::codes::choose::Layout;
use crate::codes::{self, Codes, CodesKind, Interval};
use crate::error::{Error, Result};
use crate::rows::Mask;
use crate::section::Section;

/// Layout number of the section.
const LAYOUT: u16 = 1;
/// Bytes before the group directory.
const HEADER: u64 = 32;
/// Strings of a group.
const GROUP: u64 = 16;
/// Intervals up to which a question is asked of the codes interval by interval.
const FEW_INTERVALS: usize = 8;
/// Codes decoded at a time where it is not.
const CHUNK: u64 = 4096;

/// Encodes strings, their codes as `wish` asks.
///
/// # Errors
/// `InvalidArgument` if there are 2^32 distinct strings or more.
pub fn encode(strings: &ByteColumn, wish: Layout) -> Result<Vec<u8>> {
    let mut codes_of: HashMap<&[u8], u64> = HashMap::new();
    for row in 0..strings.len() {
        codes_of.entry(strings.get(row)).or_default();
    }
    let mut sorted: Vec<&[u8]> = codes_of.keys().copied().collect();
    sorted.sort_unstable();
    for (code, string) in (0u64..).zip(&sorted) {
        codes_of.insert(string, code);
    }
    let count = u32::try_from(sorted.len())
        .map_err(|_| Error::invalid("a dictionary holds fewer than 2^32 strings"))?;
    let codes: Vec<u64> = (0..strings.len()).map(|row| codes_of[strings.get(row)]).collect();
    let (kind, body) = codes::choose::encode(&codes, wish);

    let (mut starts, mut entries) = entries_of(&sorted);
    let codes_start = (HEADER as usize + starts.len() + entries.len()).next_multiple_of(64);
    let mut out = Vec::with_capacity(codes_start + body.len());
    out.extend_from_slice(&LAYOUT.to_le_bytes());
    out.extend_from_slice(&(kind as u16).to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    for number in [strings.len() as u64, codes_start as u64, body.len() as u64] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.append(&mut starts);
    out.append(&mut entries);
    out.resize(codes_start, 0);
    out.extend_from_slice(&body);
    Ok(out)
}

/// Bytes of the entries of these distinct strings, in byte order, and of the groups' starts.
pub(super) fn entries_bytes(sorted: &[&[u8]]) -> usize {
    let (starts, entries) = entries_of(sorted);
    starts.len() + entries.len()
}

/// The groups' starts, and the entries.
fn entries_of(sorted: &[&[u8]]) -> (Vec<u8>, Vec<u8>) {
    let (mut starts, mut entries) = (Vec::new(), Vec::new());
    let mut previous: &[u8] = &[];
    for (index, &string) in sorted.iter().enumerate() {
        if index as u64 % GROUP == 0 {
            starts.extend_from_slice(&(entries.len() as u64).to_le_bytes());
            previous = &[];
        } else {
            let shared = previous.iter().zip(string).take_while(|(a, b)| a == b).count();
            write_varint(&mut entries, shared as u64);
            previous = &string[..shared];
        }
        let rest = &string[previous.len()..];
        write_varint(&mut entries, rest.len() as u64);
        entries.extend_from_slice(rest);
        previous = string;
    }
    starts.extend_from_slice(&(entries.len() as u64).to_le_bytes());

    (starts, entries)
}

fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes a varint off the front of `bytes`.
fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// The read side.
#[derive(Debug)]
pub struct Dictionary {
    section: Section,
    entries: u64,
    /// First byte of the entries.
    entries_start: u64,
    entries_bytes: u64,
    codes: Box<dyn Codes>,
    code_bytes: u64,
}

impl Dictionary {
    /// Opens a section.
    ///
    /// # Errors
    /// `Corrupt` if the header or that of the codes makes no sense.
    pub fn open(section: Section) -> Result<Dictionary> {
        let layout = section.u16(0)?;
        let kind = CodesKind::from_code(section.u16(2)?);
        let (Some(kind), LAYOUT) = (kind, layout) else {
            return Err(section.corrupt(
                0,
                format!("layout {layout} of a dictionary or its codes are unknown"),
            ));
        };
        let entries = u64::from(section.u32(4)?);
        let (rows, start, bytes) = (section.u64(8)?, section.u64(16)?, section.u64(24)?);
        let entries_start = HEADER + (entries.div_ceil(GROUP) + 1) * 8;
        if start < entries_start || start.checked_add(bytes).is_none_or(|end| end > section.len()) {
            return Err(section.corrupt(
                16,
                format!("codes at {start} in a section of {} bytes", section.len()),
            ));
        }
        let codes = codes::open(kind, section.sub(start..start + bytes)?)?;
        if codes.len() != rows || (entries == 0) != (rows == 0) || entries > rows {
            return Err(section.corrupt(
                4,
                format!("{entries} strings for {rows} rows of {} codes", codes.len()),
            ));
        }
        Ok(Dictionary {
            entries,
            entries_start,
            entries_bytes: start - entries_start,
            codes,
            code_bytes: bytes,
            section,
        })
    }

    /// Number of distinct strings.
    pub fn entry_count(&self) -> u64 {
        self.entries
    }

    /// The codes: rank of each string among the distinct ones.
    pub fn codes(&self) -> &dyn Codes {
        &*self.codes
    }

    /// Appends the distinct string with rank `code` to `out`.
    ///
    /// # Errors
    /// `Corrupt` if there is no such string, since codes are read from the same file.
    pub fn entry(&self, code: u64, out: &mut Vec<u8>) -> Result<()> {
        let from = out.len();
        self.walk_group(code / GROUP, |at, string| {
            let found = at == code;
            if found {
                out.extend_from_slice(string);
            }
            Ok(!found)
        })?;
        if code >= self.entries || (out.len() == from && code / GROUP >= self.entries.div_ceil(GROUP)) {
            return Err(self.section.corrupt(
                0,
                format!("code {code} in a dictionary of {} strings", self.entries),
            ));
        }
        Ok(())
    }

    /// Visits the strings of a group with their ranks until `visit` says stop; tells whether it never did.
    fn walk_group(&self, group: u64, mut visit: impl FnMut(u64, &[u8]) -> Result<bool>) -> Result<bool> {
        if group >= self.entries.div_ceil(GROUP) {
            return Ok(true);
        }
        let at = HEADER + group * 8;
        let (start, end) = (self.section.u64(at)?, self.section.u64(at + 8)?);
        let wrong = || {
            self.section
                .corrupt(at, format!("group {group} of a dictionary makes no sense"))
        };
        if start > end || end > self.entries_bytes {
            return Err(wrong());
        }
        let mut bytes = self
            .section
            .bytes(self.entries_start + start..self.entries_start + end)?;
        let mut string: Vec<u8> = Vec::new();
        for code in group * GROUP..((group + 1) * GROUP).min(self.entries) {
            let shared = if code % GROUP == 0 {
                0
            } else {
                read_varint(&mut bytes).ok_or_else(wrong)?
            };
            let length = read_varint(&mut bytes).ok_or_else(wrong)?;
            if shared > string.len() as u64 || length > bytes.len() as u64 {
                return Err(wrong());
            }
            let (rest, after) = bytes.split_at(length as usize);
            bytes = after;
            string.truncate(shared as usize);
            string.extend_from_slice(rest);
            if !visit(code, &string)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn walk(&self, mut visit: impl FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
        for group in 0..self.entries.div_ceil(GROUP) {
            self.walk_group(group, |code, string| visit(code, string).map(|()| true))?;
        }
        Ok(())
    }

    /// Number of distinct strings for which `below` holds; it must hold for a first part of them.
    fn partition(&self, below: impl Fn(&[u8]) -> bool) -> Result<u64> {
        let head_below = |group: u64| -> Result<bool> {
            let mut answer = false;
            self.walk_group(group, |_, string| {
                answer = below(string);
                Ok(false)
            })?;
            Ok(answer)
        };
        let (mut low, mut high) = (0, self.entries.div_ceil(GROUP));
        while low < high {
            let middle = (low + high) / 2;
            if head_below(middle)? {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        if low == 0 {
            return Ok(0);
        }
        let mut count = (low * GROUP).min(self.entries);
        self.walk_group(low - 1, |code, string| {
            let more = below(string);
            if !more {
                count = code;
            }
            Ok(more)
        })?;
        Ok(count)
    }

    fn codes_between(&self, low: Bound<&[u8]>, high: Bound<&[u8]>) -> Result<Vec<Interval>> {
        let start = match low {
            Bound::Included(bound) => self.partition(|string| string < bound)?,
            Bound::Excluded(bound) => self.partition(|string| string <= bound)?,
            Bound::Unbounded => 0,
        };
        let end = match high {
            Bound::Included(bound) => self.partition(|string| string <= bound)?,
            Bound::Excluded(bound) => self.partition(|string| string < bound)?,
            Bound::Unbounded => self.entries,
        };
        Ok(if start < end {
            vec![Interval {
                low: start,
                high: end - 1,
            }]
        } else {
            Vec::new()
        })
    }

    fn codes_matching(&self, pattern: &TextPattern) -> Result<Vec<Interval>> {
        match pattern {
            TextPattern::Equals(value) => self.codes_between(Bound::Included(value), Bound::Included(value)),
            TextPattern::StartsWith(needle) => {
                let start = self.partition(|string| string < needle.as_slice())?;
                let end =
                    self.partition(|string| string < needle.as_slice() || string.starts_with(needle))?;
                Ok(if start < end {
                    vec![Interval {
                        low: start,
                        high: end - 1,
                    }]
                } else {
                    Vec::new()
                })
            }
            _ => {
                let mut intervals: Vec<Interval> = Vec::new();
                self.walk(|code, string| {
                    if pattern.matches(string) {
                        match intervals.last_mut() {
                            Some(last) if last.high + 1 == code => last.high = code,
                            _ => intervals.push(Interval {
                                low: code,
                                high: code,
                            }),
                        }
                    }
                    Ok(())
                })?;
                Ok(intervals)
            }
        }
    }

    fn count_codes(&self, ranges: &[Range<u64>], intervals: &[Interval]) -> Result<u64> {
        check::ranges(self.len(), ranges)?;
        let rows: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        if intervals.len() <= FEW_INTERVALS || (intervals.len() as u64) < rows / CHUNK {
            return intervals
                .iter()
                .map(|&interval| self.codes.count(ranges, interval))
                .sum();
        }
        let wanted = self.wanted(intervals);
        let mut count = 0;
        for range in ranges {
            self.chunks(range.clone(), |_, code| {
                count += u64::from(is_wanted(&wanted, code))
            })?;
        }
        Ok(count)
    }

    fn select_codes(&self, range: Range<u64>, intervals: &[Interval], mask: &mut Mask) -> Result<()> {
        check::mask(self.len(), &range, mask)?;
        if let [interval] = intervals {
            return self.codes.select(range, *interval, mask);
        }
        if intervals.len() <= FEW_INTERVALS {
            for &interval in intervals {
                let mut more = Mask::repeat(false, mask.len());
                self.codes.select(range.clone(), interval, &mut more)?;
                *mask |= more;
            }
            return Ok(());
        }
        let wanted = self.wanted(intervals);
        self.chunks(range.clone(), |row, code| {
            if is_wanted(&wanted, code) {
                mask.set((row - range.start) as usize, true);
            }
        })
    }

    /// One bit a code.
    fn wanted(&self, intervals: &[Interval]) -> Vec<u64> {
        let mut bits = vec![0u64; self.entries.div_ceil(64) as usize];
        for code in intervals.iter().flat_map(|interval| interval.low..=interval.high) {
            bits[(code / 64) as usize] |= 1 << (code % 64);
        }
        bits
    }

    fn chunks(&self, range: Range<u64>, mut visit: impl FnMut(u64, u64)) -> Result<()> {
        let mut codes = vec![0; CHUNK.min(range.end - range.start) as usize];
        let mut start = range.start;
        while start < range.end {
            let end = (start + CHUNK).min(range.end);
            let part = &mut codes[..(end - start) as usize];
            self.codes.decode(start..end, part)?;
            (start..end)
                .zip(part.iter())
                .for_each(|(row, &code)| visit(row, code));
            start = end;
        }
        Ok(())
    }
}

fn is_wanted(wanted: &[u64], code: u64) -> bool {
    wanted
        .get((code / 64) as usize)
        .is_some_and(|word| word >> (code % 64) & 1 == 1)
}

impl TextIndex for Dictionary {
    fn kind(&self) -> TextKind {
        TextKind::Dictionary
    }

    fn len(&self) -> u64 {
        self.codes.len()
    }

    fn extract(&self, position: u64, out: &mut Vec<u8>) -> Result<()> {
        check::position(self.len(), position)?;
        self.entry(self.codes.get(position)?, out)
    }

    fn decode(&self, range: Range<u64>, out: &mut ByteColumn) -> Result<()> {
        check::ranges(self.len(), std::slice::from_ref(&range))?;
        let mut failed = Ok(());
        if range.end - range.start < self.entries / 2 {
            self.chunks(range, |_, code| {
                if failed.is_ok() {
                    failed = self.entry(code, out.buffer());
                    out.close();
                }
            })?;
            return failed;
        }
        let mut all = ByteColumn::default();
        self.walk(|_, string| {
            all.push(string);
            Ok(())
        })?;
        self.chunks(range, |_, code| {
            if code < self.entries {
                out.push(all.get(code as usize));
            } else {
                failed = Err(self
                    .section
                    .corrupt(0, format!("code {code} of {} strings", self.entries)));
            }
        })?;
        failed
    }

    fn count(&self, ranges: &[Range<u64>], pattern: &TextPattern) -> Result<u64> {
        self.count_codes(ranges, &self.codes_matching(pattern)?)
    }

    fn select(&self, range: Range<u64>, pattern: &TextPattern, mask: &mut Mask) -> Result<()> {
        self.select_codes(range, &self.codes_matching(pattern)?, mask)
    }

    fn count_between(&self, ranges: &[Range<u64>], low: Bound<&[u8]>, high: Bound<&[u8]>) -> Result<u64> {
        self.count_codes(ranges, &self.codes_between(low, high)?)
    }

    fn select_between(
        &self,
        range: Range<u64>,
        low: Bound<&[u8]>,
        high: Bound<&[u8]>,
        mask: &mut Mask,
    ) -> Result<()> {
        self.select_codes(range, &self.codes_between(low, high)?, mask)
    }

    fn parts(&self) -> Vec<(String, u64)> {
        let mut parts = vec![(
            "dictionary".to_string(),
            (self.section.len() - self.code_bytes) * 8,
        )];
        parts.extend(self.codes.parts());
        parts
    }
}
