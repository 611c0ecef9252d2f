//! Which rows of a sequence have a code of some kind: its bits are passed over once, and no code is written out.
//!
//! Packed codes and steps are compared 64 at a time into a word of the mask; runs and the rows that have the most
//! frequent code are compared once for all of them.

use std::ops::Range;

use super::super::bits::{load, read};
use super::{Form, STEP_ROWS, Sequence};
use crate::codes::Interval;
use crate::codes::simd::fast;
use crate::error::Result;
use crate::rows::Mask;

/// Widest code that eight bytes hold wherever it starts.
const NARROW: u32 = 57;

/// Where the rows that were found are counted or marked: bit 0 stands for the first row of the range.
trait Found {
    /// Rows `at..at + count` (at most 64 of them), those whose bit is set.
    fn word(&mut self, at: u64, count: u64, word: u64);
    /// All of `rows`.
    fn all(&mut self, rows: Range<u64>);
}

struct Count(u64);

impl Found for Count {
    #[inline]
    fn word(&mut self, _: u64, _: u64, word: u64) {
        self.0 += u64::from(word.count_ones());
    }

    fn all(&mut self, rows: Range<u64>) {
        self.0 += rows.end - rows.start;
    }
}

struct Marks<'m>(&'m mut Mask);

impl Found for Marks<'_> {
    #[inline]
    fn word(&mut self, at: u64, count: u64, word: u64) {
        if word == 0 {
            return;
        }
        if at % 64 == 0 {
            if let Some(words) = self.0.as_raw_mut_slice().get_mut((at / 64) as usize) {
                *words |= word;
            }
            return;
        }
        for place in (0..count).filter(|place| word >> place & 1 == 1) {
            if let Some(mut bit) = self.0.get_mut((at + place) as usize) {
                *bit = true;
            }
        }
    }

    fn all(&mut self, rows: Range<u64>) {
        if let Some(part) = self.0.get_mut(rows.start as usize..rows.end as usize) {
            part.fill(true);
        }
    }
}

/// One `width`-bit number after the other.
struct Reader<'b> {
    bits: &'b [u8],
    at: u64,
    width: u32,
}

impl Reader<'_> {
    #[inline(always)]
    fn next(&mut self) -> Option<u64> {
        let at = self.at;
        self.at += u64::from(self.width);
        if self.width > NARROW {
            return read(self.bits, at, self.width);
        }
        Some(load(self.bits, (at / 8) as usize)? >> (at % 8) & !(u64::MAX << self.width))
    }
}

impl Sequence {
    /// Codes outside of which there are none, as far as that is known without reading them.
    pub fn bounds(&self, bits: &[u8]) -> Interval {
        const ALL: Interval = Interval {
            low: 0,
            high: u64::MAX,
        };
        let span = match self.width {
            0 => 0,
            width => u64::MAX >> (64 - width),
        };
        let smallest = match &self.form {
            Form::Packed { .. } | Form::Runs { .. } => Some(self.base),
            Form::Mode { rows, at } => {
                let mode = read(bits, at + rows.len() * u64::from(self.width), self.width);
                mode.map(|mode| self.base.wrapping_sub(mode))
            }
            Form::Steps { .. } | Form::Codes(_) => None,
        };
        let bounds = smallest.and_then(|low| Some((low, low.checked_add(span)?)));
        bounds.map_or(ALL, |(low, high)| Interval { low, high })
    }

    /// About how many rows have one of `codes` of `distinct` codes that all rows have, by chance; `holds` tells which.
    pub fn expected(&self, codes: u64, distinct: u64, holds: impl Fn(u64) -> bool) -> u64 {
        let share = |rows: u64| rows.saturating_mul(codes) / distinct.max(1);
        match &self.form {
            Form::Mode { rows, .. } if holds(self.base) => self.rows - rows.len().min(self.rows),
            Form::Mode { rows, .. } => share(rows.len()),
            _ => share(self.rows),
        }
    }

    /// How many codes there may be, by their width.
    pub fn span(&self) -> u64 {
        1u64.checked_shl(self.width).unwrap_or(u64::MAX)
    }

    /// Calls `visit` with the codes, those of neighbours that are the same perhaps only once; `None` if the bits make no
    /// sense.
    pub fn each(&self, bits: &[u8], visit: &mut impl FnMut(u64)) -> Option<()> {
        let pass_over = |code| {
            visit(code);
            false
        };
        self.find(bits, 0..self.rows, pass_over, &mut Count(0))
            .ok()
            .flatten()
    }

    /// How many rows of `range` have a code that `holds`. `None` inside if the bits make no sense.
    pub fn count_where(
        &self,
        bits: &[u8],
        range: Range<u64>,
        holds: impl Fn(u64) -> bool,
    ) -> Result<Option<u64>> {
        let mut count = Count(0);
        Ok(self.find(bits, range, holds, &mut count)?.map(|()| count.0))
    }

    /// Sets the bits of the rows of `range` whose code `holds`. `None` inside if the bits make no sense.
    pub fn select_where(
        &self,
        bits: &[u8],
        range: Range<u64>,
        holds: impl Fn(u64) -> bool,
        mask: &mut Mask,
    ) -> Result<Option<()>> {
        debug_assert_eq!(mask.len() as u64, range.end - range.start);
        self.find(bits, range, holds, &mut Marks(mask))
    }

    /// How many codes of `range` lie in `interval`. `None` inside if the bits make no sense.
    pub fn count(&self, bits: &[u8], range: Range<u64>, interval: Interval) -> Result<Option<u64>> {
        if let Form::Codes(codes) = &self.form {
            return codes.count(std::slice::from_ref(&range), interval).map(Some);
        }
        if interval.is_empty() {
            return Ok(Some(0));
        }
        let span = interval.high - interval.low;
        self.count_where(bits, range, |code| code.wrapping_sub(interval.low) <= span)
    }

    /// Sets the bits of rows of `range` whose code lies in `interval`. `None` inside if the bits make no sense.
    pub fn select(
        &self,
        bits: &[u8],
        range: Range<u64>,
        interval: Interval,
        mask: &mut Mask,
    ) -> Result<Option<()>> {
        if let Form::Codes(codes) = &self.form {
            return codes.select(range, interval, mask).map(Some);
        }
        if interval.is_empty() {
            return Ok(Some(()));
        }
        let span = interval.high - interval.low;
        let holds = |code: u64| code.wrapping_sub(interval.low) <= span;
        self.select_where(bits, range, holds, mask)
    }

    fn find(
        &self,
        bits: &[u8],
        range: Range<u64>,
        mut holds: impl FnMut(u64) -> bool,
        found: &mut impl Found,
    ) -> Result<Option<()>> {
        if range.end > self.rows || range.start > range.end {
            return Ok(None);
        }
        if let Form::Codes(codes) = &self.form {
            let mut values = vec![0; (range.end - range.start) as usize];
            codes.decode(range, &mut values)?;
            for (at, values) in (0..).step_by(64).zip(values.chunks(64)) {
                let mut word = 0;
                for (place, &code) in values.iter().enumerate() {
                    word |= u64::from(holds(code)) << place;
                }
                found.word(at, values.len() as u64, word);
            }
            return Ok(Some(()));
        }
        Ok(fast!(_words => self.find_here(bits, range, holds, found)))
    }

    #[inline(always)]
    fn find_here(
        &self,
        bits: &[u8],
        range: Range<u64>,
        mut holds: impl FnMut(u64) -> bool,
        found: &mut impl Found,
    ) -> Option<()> {
        let (base, width) = (self.base, u64::from(self.width));
        let value = |at: u64, index: u64| read(bits, at + index * width, self.width);
        let rows = range.end - range.start;
        match &self.form {
            Form::Packed { .. } if width == 0 => {
                if holds(base) {
                    found.all(0..rows);
                }
            }
            Form::Packed { at } => {
                let mut reader = Reader {
                    bits,
                    at: at + range.start * width,
                    width: self.width,
                };
                for at in (0..rows).step_by(64) {
                    let count = (rows - at).min(64);
                    let mut word = 0;
                    for place in 0..count {
                        word |= u64::from(holds(base.wrapping_add(reader.next()?))) << place;
                    }
                    found.word(at, count, word);
                }
            }
            Form::Steps {
                at,
                least,
                step_width,
            } => {
                let block_bits = width + (STEP_ROWS - 1) * u64::from(*step_width);
                let mut row = range.start;
                while row < range.end {
                    let first = row / STEP_ROWS * STEP_ROWS;
                    let end = range.end.min(first + STEP_ROWS);
                    let start = at + first / STEP_ROWS * block_bits;
                    let mut code = base.wrapping_add(read(bits, start, self.width)?);
                    let mut reader = Reader {
                        bits,
                        at: start + width,
                        width: *step_width,
                    };
                    let skipped = row - first;
                    for _ in 0..skipped {
                        code = code.wrapping_add(reader.next()?).wrapping_add(*least as u64);
                    }
                    let mut word = u64::from(holds(code));
                    for place in 1..end - row {
                        code = code.wrapping_add(reader.next()?).wrapping_add(*least as u64);
                        word |= u64::from(holds(code)) << place;
                    }
                    found.word(row - range.start, end - row, word);
                    row = end;
                }
            }
            Form::Runs { starts, at } => {
                // Most runs have other codes, so where a run starts is read only for those that count.
                let first = starts.below(bits, range.start + 1)?;
                let last = starts.below(bits, range.end)?;
                let mut reader = Reader {
                    bits,
                    at: at + first * width,
                    width: self.width,
                };
                let mut border = None;
                for run in first..=last {
                    if !holds(base.wrapping_add(reader.next()?)) {
                        continue;
                    }
                    let start = match border {
                        Some((known, row)) if known == run => row,
                        _ if run == first => range.start,
                        _ => starts.get(bits, run - 1)?,
                    };
                    let end = if run == last {
                        range.end
                    } else {
                        starts.get(bits, run)?
                    };
                    if start < range.start || end < start || end > range.end {
                        return None;
                    }
                    found.all(start - range.start..end - range.start);
                    border = Some((run + 1, end));
                }
            }
            Form::Mode { rows: others, at } => {
                let smallest = base.wrapping_sub(value(*at, others.len())?);
                let (first, last) = (others.below(bits, range.start)?, others.below(bits, range.end)?);
                let most = holds(base);
                let mut reader = Reader {
                    bits,
                    at: at + first * width,
                    width: self.width,
                };
                // What was found before stays: rows are only ever added.
                let mut start = 0;
                for place in first..last {
                    let is_found = holds(smallest.wrapping_add(reader.next()?));
                    if is_found != most {
                        let row = others.get(bits, place)?.checked_sub(range.start)?;
                        if row < start || row >= rows {
                            return None;
                        }
                        found.all(if most { start..row } else { row..row + 1 });
                        start = row + 1;
                    }
                }
                if most {
                    found.all(start..rows);
                }
            }
            Form::Codes(_) => return None,
        }
        Some(())
    }
}
