//! The top bits of the codes as one sequence of symbols in row order, coded by runs.
//!
//! The highest bits of a smooth signal hardly change from row to row: as levels of the matrix each costs an access a
//! chain of reads of its own for next to no bits. Here all of them are one step. Rows are cut into units of 1,024; a unit
//! says where its symbol changes, which symbols its runs have, and for each symbol from its smallest to its largest how
//! many rows of it came before. Units are grouped; a group starts with a full row of positions, one for each symbol.
//!
//! ```text
//! offset 0   u8   bits of a symbol t, 1 to 6
//!        1   u8   rows of a group are 2 to the power of this, 11 to 16
//!        2   6 bytes zero
//!        8   for each started group, and once more: u64 offset of its units behind the table of units,
//!            then 2^t x u32: where the first row of each symbol from this group on stands below
//!            for each started unit: u16 offset in its group's units, u8 smallest symbol, u8 largest minus smallest
//!            the units (see `unit`), without gaps
//! ```
//!
//! The section goes on for 512 bytes behind the units at least. Below the top, rows are sorted stably by symbol.
//!
//! Costs: an access reads a word of each table, a unit, and two counters. Counts of all symbols before a row take a few
//! operations for each unit between it and the end of its group, which is why groups are larger the more symbols
//! there are.

#![allow(
    clippy::cast_possible_truncation,
    reason = "fewer than 2^31 codes, at most 64 symbols"
)]

use std::ops::Range;

use crate::bits::words::{Question, WordSelect};
use crate::codes::merge::Run;
use crate::error::Result;
use crate::section::View;

mod encode;
#[cfg(test)]
mod tests;
mod unit;

pub(super) use encode::{Plans, encode};
pub(super) use unit::UNIT_WINDOW;
use unit::{ENTRY_BYTES, Unit};

/// Rows of a unit, as a power of two.
const UNIT_LOG: u32 = 10;
/// Most bits of a symbol.
pub(super) const MAX_BITS: u32 = 6;
/// Symbols that [`Counts`] has room for.
const MAX_SYMBOLS: usize = 1 << MAX_BITS;

/// For each symbol where the first row of it from some row on stands below the top.
pub(super) type Counts = [u32; MAX_SYMBOLS];

/// Rows of a group, as a power of two: the row of counters of a group takes a thirty-second bit a row.
fn group_log(bits: u32) -> u32 {
    (bits + 10).clamp(UNIT_LOG + 1, 16)
}

/// Where the top lies in its section.
#[derive(Debug, Clone, Copy)]
pub(super) struct Top {
    len: u64,
    bits: u32,
    group_log: u32,
    table: u64,
    units: u64,
    data: u64,
}

impl Top {
    /// The top of `bits` bits of `len` codes that starts at byte `start`.
    pub(super) fn open(view: &View<'_>, start: u64, len: u64, bits: u32) -> Result<Top> {
        let [found, group_log, zeros @ ..]: [u8; 8] = view.array(start)?;
        let group_log = u32::from(group_log);
        if u32::from(found) != bits
            || !(1..=MAX_BITS).contains(&bits)
            || !(UNIT_LOG + 1..=16).contains(&group_log)
            || zeros != [0; 6]
        {
            return Err(view.corrupt(
                start,
                format!("symbols of {found} bits in groups of 2^{group_log} rows"),
            ));
        }
        let table = start.saturating_add(8);
        let groups = len.div_ceil(1 << group_log) + 1;
        let units = table.saturating_add(groups * row_bytes(bits));
        let data = units.saturating_add(len.div_ceil(1 << UNIT_LOG) * ENTRY_BYTES);
        if data.saturating_add(UNIT_WINDOW as u64) > view.len() {
            return Err(view.corrupt(start, format!("symbols of {len} codes leave their section")));
        }
        Ok(Top {
            len,
            bits,
            group_log,
            table,
            units,
            data,
        })
    }

    /// Bits of a symbol.
    pub(super) fn bits(&self) -> u32 {
        self.bits
    }

    /// Number of symbols.
    #[inline(always)]
    pub(super) fn symbols(&self) -> usize {
        1 << (self.bits & 7).min(MAX_BITS)
    }

    /// The symbol at `position`, which exists, and where that row stands below.
    #[inline(always)]
    pub(super) fn access_here<S: WordSelect>(
        &self,
        select: S,
        view: &View<'_>,
        position: u64,
    ) -> Result<(u64, u64)> {
        let group = position >> self.group_log;
        let unit = self.unit(view, group, position >> UNIT_LOG)?;
        let (offset, inside) = unit.access(select, (position % (1 << UNIT_LOG)) as u32);
        let symbol = (unit.low + offset) as usize & (self.symbols() - 1);
        let at = self.counter(view, group, symbol)? + u64::from(unit.before(offset)) + u64::from(inside);
        // A damaged file may point past the end.
        Ok((symbol as u64, at.min(self.len - 1)))
    }

    /// [`Top::access_here`], compiled once for this processor.
    #[inline(always)]
    pub(super) fn access<S: WordSelect>(
        &self,
        select: S,
        view: &View<'_>,
        position: u64,
    ) -> Result<(u64, u64)> {
        select.apart(Access(self, view, position))
    }

    /// For each symbol where the first row of it from `position` on stands below; `position` may be the end.
    #[inline(always)]
    pub(super) fn counts<S: WordSelect>(
        &self,
        select: S,
        view: &View<'_>,
        position: u64,
        out: &mut Counts,
    ) -> Result<()> {
        select.apart(AllCounts(self, view, position, out))
    }

    #[inline(always)]
    fn counts_here<S: WordSelect>(
        &self,
        select: S,
        view: &View<'_>,
        position: u64,
        out: &mut Counts,
    ) -> Result<()> {
        let group = position >> self.group_log;
        if position >= self.len || position.trailing_zeros() >= self.group_log {
            let groups = self.len.div_ceil(1 << self.group_log);
            return self.read_row(view, if position >= self.len { groups } else { group }, out);
        }
        // What the next group says, unless a unit from here on has the symbol: the first one that has says it.
        self.read_row(view, group + 1, out)?;
        let mut row = [0; MAX_SYMBOLS];
        self.read_row(view, group, &mut row)?;
        let data = self.group_data(view, group)?;
        let units = self.units_of(group, position >> UNIT_LOG);
        let entries = (units.end - units.start) * ENTRY_BYTES;
        let entries = view.bytes(self.units + units.start * ENTRY_BYTES, entries as usize)?;
        let mut seen = 0u64;
        let mut inside = (position % (1 << UNIT_LOG)) as u32;
        for entry in entries.chunks_exact(ENTRY_BYTES as usize) {
            let entry = [entry[0], entry[1], entry[2], entry[3]];
            let fresh = unit::symbols_of(entry) & !seen;
            if fresh != 0 {
                let unit = self.unit_at(view, data, entry)?;
                unit.befores(fresh, &row, out);
                if inside > 0 {
                    unit.counts(select, inside, out);
                }
            }
            inside = 0;
            seen |= fresh;
        }
        let end = self.len as u32;
        for at in &mut out[..] {
            *at = (*at).min(end);
        }
        Ok(())
    }

    /// The same for one symbol.
    #[inline(always)]
    pub(super) fn count<S: WordSelect>(
        &self,
        select: S,
        view: &View<'_>,
        position: u64,
        symbol: usize,
    ) -> Result<u64> {
        select.apart(OneCount(self, view, position, symbol))
    }

    #[inline(always)]
    fn count_here<S: WordSelect>(
        &self,
        select: S,
        view: &View<'_>,
        position: u64,
        symbol: usize,
    ) -> Result<u64> {
        let symbol = symbol & (MAX_SYMBOLS - 1);
        let groups = self.len.div_ceil(1 << self.group_log);
        if position >= self.len {
            return Ok(self.counter(view, groups, symbol)?.min(self.len));
        }
        let group = position >> self.group_log;
        let units = self.units_of(group, position >> UNIT_LOG);
        let entries = (units.end - units.start) * ENTRY_BYTES;
        let entries = view.bytes(self.units + units.start * ENTRY_BYTES, entries as usize)?;
        let mut inside = (position % (1 << UNIT_LOG)) as u32;
        for entry in entries.chunks_exact(ENTRY_BYTES as usize) {
            let entry = [entry[0], entry[1], entry[2], entry[3]];
            if unit::symbols_of(entry) >> symbol & 1 == 1 {
                let unit = self.unit_at(view, self.group_data(view, group)?, entry)?;
                let offset = (symbol as u32).saturating_sub(unit.low);
                let rows = unit.before(offset) + unit.count(select, inside, offset);
                return Ok((self.counter(view, group, symbol)? + u64::from(rows)).min(self.len));
            }
            inside = 0;
        }
        Ok(self.counter(view, (group + 1).min(groups), symbol)?.min(self.len))
    }

    /// The units of `group` from unit `first` on.
    #[inline(always)]
    fn units_of(&self, group: u64, first: u64) -> Range<u64> {
        let end = (group + 1) << (self.group_log - UNIT_LOG);
        first..end.min(self.len.div_ceil(1 << UNIT_LOG))
    }

    /// Appends the runs of `range`, which exists, to `out`; neighbours may have the same symbol.
    #[inline(always)]
    pub(super) fn runs(&self, view: &View<'_>, range: Range<u64>, out: &mut Vec<Run>) -> Result<()> {
        let mut start = range.start;
        while start < range.end {
            let index = start >> UNIT_LOG;
            let end = ((index + 1) << UNIT_LOG).min(range.end);
            let unit = self.unit(view, start >> self.group_log, index)?;
            let base = index << UNIT_LOG;
            unit.runs((start - base) as u32..(end - base) as u32, |symbol, rows| {
                out.push(Run {
                    symbol: (symbol & (self.symbols() as u32 - 1)) as u8,
                    rows: rows as u16,
                });
            });
            start = end;
        }
        Ok(())
    }

    /// Pieces of level 0 under the top become their rows with symbol `first`, `lasts` those with symbol `last`; gives how many
    /// rows have symbols between.
    #[inline(always)]
    pub(super) fn split<S: WordSelect>(
        &self,
        select: S,
        view: &View<'_>,
        pieces: &mut [(u64, u64)],
        lasts: &mut [(u64, u64)],
        first: usize,
        last: usize,
    ) -> Result<u64> {
        let (mut starts, mut ends) = ([0; MAX_SYMBOLS], [0; MAX_SYMBOLS]);
        let (first, last) = (first & (MAX_SYMBOLS - 1), last & (MAX_SYMBOLS - 1));
        let mut between = 0;
        for (piece, other) in pieces.iter_mut().zip(lasts) {
            let (start, end) = *piece;
            self.counts(select, view, start, &mut starts)?;
            self.counts(select, view, end.max(start), &mut ends)?;
            let rows = |symbol: usize| (u64::from(starts[symbol]), u64::from(ends[symbol]));
            for symbol in first + 1..last {
                let (start, end) = rows(symbol);
                between += end.saturating_sub(start);
            }
            (*piece, *other) = (rows(first), rows(last));
        }
        Ok(between)
    }

    /// Pieces become their rows with `symbol`.
    #[inline(always)]
    pub(super) fn descend<S: WordSelect>(
        &self,
        select: S,
        view: &View<'_>,
        pieces: &mut [(u64, u64)],
        symbol: usize,
    ) -> Result<()> {
        for piece in pieces {
            let start = self.count(select, view, piece.0, symbol)?;
            let end = match piece.1 > piece.0 {
                true => self.count(select, view, piece.1, symbol)?.max(start),
                false => start,
            };
            *piece = (start, end);
        }
        Ok(())
    }

    /// The symbol of the `k`-th smallest code of `pieces`, which become their rows with it, and how many codes have smaller
    /// symbols.
    #[inline(always)]
    pub(super) fn quantile<S: WordSelect>(
        &self,
        select: S,
        view: &View<'_>,
        pieces: &mut [(u64, u64)],
        k: u64,
    ) -> Result<(u64, u64)> {
        let mut totals = [0u64; MAX_SYMBOLS];
        let (mut starts, mut ends) = ([0; MAX_SYMBOLS], [0; MAX_SYMBOLS]);
        for &(start, end) in pieces.iter() {
            if start < end {
                self.counts(select, view, start, &mut starts)?;
                self.counts(select, view, end, &mut ends)?;
                for ((total, start), end) in totals.iter_mut().zip(&starts).zip(&ends) {
                    *total += u64::from(end.saturating_sub(*start));
                }
            }
        }
        let (symbol, less) = nth(&totals[..self.symbols()], k);
        if let [piece] = pieces {
            *piece = (
                u64::from(starts[symbol]),
                u64::from(ends[symbol].max(starts[symbol])),
            );
        } else {
            self.descend(select, view, pieces, symbol)?;
        }
        Ok((symbol as u64, less))
    }

    /// [`Top::quantile`] for each piece by itself; each of `ks` becomes the place among the codes with the symbol.
    #[inline(always)]
    pub(super) fn quantile_each<S: WordSelect>(
        &self,
        select: S,
        view: &View<'_>,
        pieces: &mut [(u64, u64)],
        ks: &mut [u64],
        symbols: &mut [u64],
    ) -> Result<()> {
        let (mut starts, mut ends) = ([0; MAX_SYMBOLS], [0; MAX_SYMBOLS]);
        let mut totals = [0u64; MAX_SYMBOLS];
        // Neighbours often share a border.
        let mut last = None;
        for ((piece, k), found) in pieces.iter_mut().zip(ks).zip(symbols) {
            let (start, end) = *piece;
            if last == Some(start) {
                starts = ends;
            } else {
                self.counts(select, view, start, &mut starts)?;
            }
            self.counts(select, view, end, &mut ends)?;
            last = Some(end);
            for ((total, start), end) in totals.iter_mut().zip(&starts).zip(&ends) {
                *total = u64::from(end.saturating_sub(*start));
            }
            let (symbol, less) = nth(&totals[..self.symbols()], *k);
            *k = k.saturating_sub(less);
            *found = symbol as u64;
            *piece = (
                u64::from(starts[symbol]),
                u64::from(ends[symbol].max(starts[symbol])),
            );
        }
        Ok(())
    }

    /// For each symbol the rows of `pieces` that have it.
    pub(super) fn children<S: WordSelect>(
        &self,
        select: S,
        view: &View<'_>,
        pieces: &[(u64, u64)],
    ) -> Result<Vec<Vec<(u64, u64)>>> {
        let mut children = vec![Vec::new(); self.symbols()];
        for &(start, end) in pieces {
            self.list(select, view, start..end, |symbol, rows| {
                if let Some(child) = children.get_mut(symbol as usize) {
                    child.push((rows.start, rows.end));
                }
            })?;
        }
        Ok(children)
    }

    /// Calls `found` with each symbol of `range` and where its rows stand below.
    #[inline(always)]
    pub(super) fn list<S: WordSelect>(
        &self,
        select: S,
        view: &View<'_>,
        range: Range<u64>,
        mut found: impl FnMut(u64, Range<u64>),
    ) -> Result<()> {
        let rows = range.end.saturating_sub(range.start);
        if rows == 1 {
            let (symbol, at) = self.access(select, view, range.start)?;
            found(symbol, at..at + 1);
            return Ok(());
        }
        let (mut starts, mut ends) = ([0; MAX_SYMBOLS], [0; MAX_SYMBOLS]);
        self.counts(select, view, range.start, &mut starts)?;
        self.counts(select, view, range.end, &mut ends)?;
        // A damaged file may have more rows of a symbol, or fewer.
        let mut left = rows;
        let mut last = (0, u64::from(starts[0]));
        for (symbol, (&start, &end)) in starts.iter().zip(&ends).enumerate().take(self.symbols()) {
            let count = u64::from(end.saturating_sub(start)).min(left);
            if count > 0 {
                found(symbol as u64, u64::from(start)..u64::from(start) + count);
                last = (symbol as u64, u64::from(start));
            }
            left -= count;
        }
        if left > 0 {
            let start = last.1.min(self.len.saturating_sub(left));
            found(last.0, start..start + left);
        }
        Ok(())
    }

    /// The runs of `range`, and for each symbol, in order, where its rows stand below.
    #[inline(always)]
    pub(super) fn gather<S: WordSelect>(
        &self,
        select: S,
        view: &View<'_>,
        range: Range<u64>,
        runs: &mut Vec<Run>,
        mut found: impl FnMut(Range<u64>),
    ) -> Result<()> {
        let mut starts = [0; MAX_SYMBOLS];
        self.counts(select, view, range.start, &mut starts)?;
        select.apart(AllRuns(self, view, range, runs))?;
        // Counted from the runs, so that they agree even if a damaged unit says otherwise.
        let mut totals = [0u64; MAX_SYMBOLS];
        for run in &*runs {
            totals[usize::from(run.symbol) & (MAX_SYMBOLS - 1)] += u64::from(run.rows);
        }
        for (&start, &rows) in starts.iter().zip(&totals) {
            let end = u64::from(start) + rows;
            if end > self.len {
                return Err(view.corrupt(0, format!("the top leads to row {end} of {}", self.len)));
            }
            if rows > 0 {
                found(u64::from(start)..end);
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn unit<'a>(&self, view: &View<'a>, group: u64, index: u64) -> Result<Unit<'a>> {
        let entry = view.array(self.units + index * ENTRY_BYTES)?;
        self.unit_at(view, self.group_data(view, group)?, entry)
    }

    #[inline(always)]
    fn group_data(&self, view: &View<'_>, group: u64) -> Result<u64> {
        Ok(self
            .data
            .saturating_add(view.u64(self.table + group * row_bytes(self.bits))?))
    }

    #[inline(always)]
    fn unit_at<'a>(&self, view: &View<'a>, data: u64, entry: [u8; ENTRY_BYTES as usize]) -> Result<Unit<'a>> {
        let at = data.saturating_add(u64::from(u16::from_le_bytes([entry[0], entry[1]])));
        let Some(window) = view.bytes(at, UNIT_WINDOW)?.first_chunk() else {
            return Err(view.corrupt(at, "a unit of symbols is cut off".into()));
        };
        let mut unit = Unit::of(window, entry);
        if let Some(planes) = unit.packed_bytes() {
            unit.packed = view.bytes(at + planes.start as u64, planes.len())?;
        }
        Ok(unit)
    }

    #[inline(always)]
    fn counter(&self, view: &View<'_>, group: u64, symbol: usize) -> Result<u64> {
        let at = self.table + group * row_bytes(self.bits) + 8 + symbol as u64 * 4;
        Ok(u64::from(u32::from_le_bytes(view.array(at)?)))
    }

    #[inline(always)]
    fn read_row(&self, view: &View<'_>, group: u64, out: &mut Counts) -> Result<()> {
        let at = self.table + group * row_bytes(self.bits) + 8;
        let bytes = view.bytes(at, self.symbols() * 4)?;
        let end = self.len as u32;
        for (count, four) in out.iter_mut().zip(bytes.chunks_exact(4)) {
            *count = u32::from_le_bytes([four[0], four[1], four[2], four[3]]).min(end);
        }
        Ok(())
    }
}

/// The symbol that holds place `k`, and how many come before its first; the last one if there are fewer.
#[inline(always)]
fn nth(totals: &[u64], k: u64) -> (usize, u64) {
    let (mut symbol, mut less) = (0, 0);
    // Eight at a time as long as they are all before it.
    let mut skipped = 0;
    for eight in totals.chunks_exact(8) {
        let sum: u64 = eight.iter().sum();
        if k < less + sum || skipped + 8 == totals.len() {
            break;
        }
        less += sum;
        skipped += 8;
    }
    for (index, &total) in totals.iter().enumerate().skip(skipped) {
        if total == 0 {
            continue;
        }
        symbol = index;
        if k < less + total {
            break;
        }
        less += total;
    }
    (symbol & (MAX_SYMBOLS - 1), less)
}

/// Bytes of a group's entry in the table.
fn row_bytes(bits: u32) -> u64 {
    8 + (4 << bits)
}

struct Access<'a, 'v>(&'a Top, &'a View<'v>, u64);

impl Question for Access<'_, '_> {
    type Answer = Result<(u64, u64)>;
    #[inline(always)]
    fn ask<S: WordSelect>(self, select: S) -> Self::Answer {
        self.0.access_here(select, self.1, self.2)
    }
}

struct AllCounts<'a, 'v>(&'a Top, &'a View<'v>, u64, &'a mut Counts);

impl Question for AllCounts<'_, '_> {
    type Answer = Result<()>;
    #[inline(always)]
    fn ask<S: WordSelect>(self, select: S) -> Self::Answer {
        self.0.counts_here(select, self.1, self.2, self.3)
    }
}

struct OneCount<'a, 'v>(&'a Top, &'a View<'v>, u64, usize);

impl Question for OneCount<'_, '_> {
    type Answer = Result<u64>;
    #[inline(always)]
    fn ask<S: WordSelect>(self, select: S) -> Self::Answer {
        self.0.count_here(select, self.1, self.2, self.3)
    }
}

struct AllRuns<'a, 'v>(&'a Top, &'a View<'v>, Range<u64>, &'a mut Vec<Run>);

impl Question for AllRuns<'_, '_> {
    type Answer = Result<()>;
    #[inline(always)]
    fn ask<S: WordSelect>(self, _: S) -> Self::Answer {
        self.0.runs(self.1, self.2, self.3)
    }
}
