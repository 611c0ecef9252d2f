//! Questions about many codes: decoded piece by piece into one buffer, chunks passed over by their smallest and largest code.

use std::ops::Range;

use super::chunk::CHUNK_ROWS;
use super::{HEADER_BYTES, Small, TAIL_BYTES};
use crate::codes::{Interval, count_rows};
use crate::error::Result;
use crate::rows::{Mask, index};

/// Rows decoded at a time: a few blocks, which stay in the first-level cache's neighbour.
const PIECE_ROWS: u64 = 8 * 1024;

/// Codes that a quantile gathers and orders in memory.
const GATHERED_ROWS: u64 = 64 * 1024;

/// Counters of a pass that narrows a quantile down.
const COUNTERS_LOG: u32 = 12;

impl Small {
    /// Calls `visit` with the decoded codes of each piece of `ranges` whose chunk may hold codes of `interval`.
    ///
    /// `whole` is called instead for pieces whose codes all lie in it, if it says that this is enough.
    fn visit(
        &self,
        ranges: &[Range<u64>],
        mut wanted: impl FnMut(Range<u64>, (u64, u64), bool) -> bool,
        mut visit: impl FnMut(Range<u64>, &[u64]),
    ) -> Result<()> {
        let mut buffer = vec![0; index(PIECE_ROWS.min(self.len))];
        for range in ranges {
            let mut at = range.start;
            while at < range.end {
                let chunk_start = at - at % CHUNK_ROWS as u64;
                let chunk_end = (chunk_start + CHUNK_ROWS as u64).min(self.len);
                let chunk = self.chunk(index(chunk_start / CHUNK_ROWS as u64))?;
                let end = chunk_end.min(range.end);
                let is_whole = at == chunk_start && end == chunk_end;
                if !wanted(at..end, (chunk.least, chunk.greatest), is_whole) {
                    at = end;
                    continue;
                }
                while at < end {
                    // Pieces end where blocks do, so that none is decoded twice.
                    let piece_end = (at / PIECE_ROWS + 1).saturating_mul(PIECE_ROWS).min(end);
                    let codes = buffer.get_mut(..index(piece_end - at)).unwrap_or_default();
                    self.decode_here(at..piece_end, codes)?;
                    visit(at..piece_end, codes);
                    at = piece_end;
                }
            }
        }
        Ok(())
    }

    pub(super) fn count_codes(&self, ranges: &[Range<u64>], interval: Interval) -> Result<u64> {
        let (mut passed, mut found) = (0, 0);
        if interval.is_empty() {
            return Ok(0);
        }
        self.visit(
            ranges,
            |rows, (least, greatest), _| {
                let all = interval.contains(least) && interval.contains(greatest);
                passed += if all { rows.end - rows.start } else { 0 };
                !all && least <= interval.high && greatest >= interval.low
            },
            |_, codes| found += count_inside(codes, interval),
        )?;
        Ok(passed + found)
    }

    pub(super) fn select_codes(&self, range: Range<u64>, interval: Interval, mask: &mut Mask) -> Result<()> {
        if interval.is_empty() {
            return Ok(());
        }
        let start = range.start;
        let mut all_inside = Vec::new();
        let words = mask.as_raw_mut_slice();
        self.visit(
            std::slice::from_ref(&range),
            |rows, (least, greatest), _| {
                let all = interval.contains(least) && interval.contains(greatest);
                if all {
                    all_inside.push(rows);
                }
                !all && least <= interval.high && greatest >= interval.low
            },
            |rows, codes| {
                let width = interval.high - interval.low;
                for (row, &code) in (index(rows.start - start)..).zip(codes) {
                    let bit = u64::from(code.wrapping_sub(interval.low) <= width) << (row % 64);
                    if let Some(word) = words.get_mut(row / 64) {
                        *word |= bit;
                    }
                }
            },
        )?;
        for rows in all_inside {
            if let Some(part) = mask.get_mut(index(rows.start - start)..index(rows.end - start)) {
                part.fill(true);
            }
        }
        Ok(())
    }

    pub(super) fn min_max_codes(&self, ranges: &[Range<u64>]) -> Result<Option<(u64, u64)>> {
        let bounds = std::cell::Cell::new((u64::MAX, 0));
        let join = |(least, greatest): (u64, u64)| {
            let (a, b) = bounds.get();
            bounds.set((a.min(least), b.max(greatest)));
        };
        self.visit(
            ranges,
            |_, chunk, is_whole| {
                let known = bounds.get();
                if is_whole {
                    join(chunk);
                }
                !is_whole && (chunk.0 < known.0 || chunk.1 > known.1)
            },
            |_, codes| {
                let inside = codes
                    .iter()
                    .fold((u64::MAX, 0), |(a, b), &code| (code.min(a), code.max(b)));
                join(inside);
            },
        )?;
        let (least, greatest) = bounds.get();
        Ok((count_rows(ranges) > 0).then_some((least, greatest)))
    }

    /// The least or the greatest code inside `interval`.
    pub(super) fn nearest(
        &self,
        ranges: &[Range<u64>],
        interval: Interval,
        better: fn(u64, u64) -> u64,
    ) -> Result<Option<u64>> {
        let best = std::cell::Cell::new(None::<u64>);
        let join = |code: u64| best.set(Some(best.get().map_or(code, |known| better(known, code))));
        self.visit(
            ranges,
            |_, (least, greatest), is_whole| {
                // The chunk's own bound on the better side, if the interval leaves it in.
                let bound = better(least.max(interval.low), greatest.min(interval.high));
                let may_hold = least <= interval.high && greatest >= interval.low;
                let may_win = may_hold && best.get().is_none_or(|known| better(known, bound) != known);
                let bound_is_there = bound == least || bound == greatest;
                if may_win && is_whole && bound_is_there && interval.contains(bound) {
                    join(bound);
                    return false;
                }
                may_win
            },
            |_, codes| {
                let inside = codes.iter().copied().filter(|&code| interval.contains(code));
                inside.reduce(better).into_iter().for_each(join);
            },
        )?;
        Ok(best.get())
    }

    /// Narrows the interval that holds the `k`-th smallest code by counting passes, then gathers what is left of it.
    pub(super) fn quantile_codes(&self, ranges: &[Range<u64>], k: u64) -> Result<(u64, u64)> {
        let mut rows = count_rows(ranges);
        let (mut low, mut high) = self.bounds(ranges)?;
        let mut less = 0;
        let mut k = k;
        while rows > GATHERED_ROWS && low < high {
            let shift = (64 - (high - low).leading_zeros()).saturating_sub(COUNTERS_LOG);
            let counts = self.count_steps(ranges, Interval { low, high }, shift)?;
            let mut found = None;
            let mut before = 0;
            for (step, &count) in (0u64..).zip(&counts) {
                if k < before + count {
                    found = Some((step, count));
                    break;
                }
                before += count;
            }
            // Only damaged bytes count fewer rows than there are.
            let Some((step, count)) = found else { break };
            low += step << shift;
            high = high.min(low.saturating_add((1 << shift) - 1));
            (rows, k, less) = (count, k - before, less + before);
        }
        if low >= high {
            return Ok((low, less));
        }
        let mut gathered = Vec::with_capacity(index(rows.min(GATHERED_ROWS)));
        let interval = Interval { low, high };
        self.visit(
            ranges,
            |_, (least, greatest), _| least <= high && greatest >= low,
            |_, codes| {
                let inside = codes.iter().copied().filter(|&code| interval.contains(code));
                gathered.extend(inside);
            },
        )?;
        let k = index(k).min(gathered.len().saturating_sub(1));
        if gathered.is_empty() {
            return Ok((low, less));
        }
        let (_, &mut code, _) = gathered.select_nth_unstable(k);
        let below = gathered.iter().filter(|&&other| other < code).count();
        Ok((code, less + below as u64))
    }

    /// Bounds of the codes in `ranges`, from the chunks' headers.
    fn bounds(&self, ranges: &[Range<u64>]) -> Result<(u64, u64)> {
        let mut bounds = (u64::MAX, 0);
        self.visit(
            ranges,
            |_, chunk, _| {
                bounds = (bounds.0.min(chunk.0), bounds.1.max(chunk.1));
                false
            },
            |_, _| {},
        )?;
        Ok(bounds)
    }

    /// How many codes of `interval` there are in each of its steps of 2 to the `shift`.
    fn count_steps(&self, ranges: &[Range<u64>], interval: Interval, shift: u32) -> Result<Vec<u64>> {
        let mut counts = vec![0u64; 1 << COUNTERS_LOG];
        let Interval { low, high } = interval;
        let whole = std::cell::RefCell::new(&mut counts);
        self.visit(
            ranges,
            |rows, (least, greatest), _| {
                let inside = interval.contains(least) && interval.contains(greatest);
                let step = least.wrapping_sub(low) >> shift;
                if inside && step == (greatest - low) >> shift {
                    if let Some(count) = whole.borrow_mut().get_mut(index(step)) {
                        *count += rows.end - rows.start;
                    }
                    return false;
                }
                least <= high && greatest >= low
            },
            |_, codes| {
                let mut counts = whole.borrow_mut();
                for &code in codes {
                    let local = code.wrapping_sub(low);
                    if local <= high - low {
                        if let Some(count) = counts.get_mut(index(local >> shift)) {
                            *count += 1;
                        }
                    }
                }
            },
        )?;
        Ok(counts)
    }

    /// One block is decoded once, however many of its rows are asked for.
    pub(super) fn get_many(&self, positions: &[u64], out: &mut [u64]) -> Result<()> {
        let mut buffer = Vec::new();
        let (mut positions, mut out) = (positions, out);
        while let Some(&first) = positions.first() {
            let chunk = self.chunk(index(first / CHUNK_ROWS as u64))?;
            let log = chunk
                .coded
                .as_ref()
                .map_or(CHUNK_ROWS.ilog2(), |coded| coded.block_log);
            let block_start = first >> log << log;
            let block_end = (block_start.saturating_add(1 << log)).min(self.len);
            let count = positions.partition_point(|&position| position < block_end).max(1);
            let (Some((here, rest)), Some((places, places_left))) =
                (positions.split_at_checked(count), out.split_at_mut_checked(count))
            else {
                return Ok(());
            };
            match (chunk.coded.is_some(), here.last()) {
                (false, _) => places.fill(chunk.least),
                (true, Some(&last)) if here.len() > 1 => {
                    buffer.resize(index(last + 1 - block_start), 0);
                    self.decode_here(block_start..last + 1, &mut buffer)?;
                    for (place, &position) in places.iter_mut().zip(here) {
                        *place = buffer.get(index(position - block_start)).copied().unwrap_or(0);
                    }
                }
                _ => {
                    for (place, &position) in places.iter_mut().zip(here) {
                        *place = crate::codes::Codes::get(self, position)?;
                    }
                }
            }
            (positions, out) = (rest, places_left);
        }
        Ok(())
    }

    /// The largest codes: all above the code at which there are enough, and that one.
    pub(super) fn top_codes(&self, ranges: &[Range<u64>], rows: u64) -> Result<Vec<(u64, u64)>> {
        let total = count_rows(ranges);
        let wanted = rows.min(total);
        if wanted == 0 {
            return Ok(Vec::new());
        }
        let (least, less) = self.quantile_codes(ranges, total - wanted)?;
        let above = match least.checked_add(1) {
            Some(low) => self.distinct_codes(ranges, Interval { low, high: u64::MAX }, index(wanted))?,
            None => Vec::new(),
        };
        let found: u64 = above.iter().map(|&(_, count)| count).sum();
        let mut out: Vec<(u64, u64)> = above.into_iter().rev().collect();
        let equal = total.saturating_sub(less).saturating_sub(found);
        out.push((least, wanted.saturating_sub(found).min(equal).max(1)));
        Ok(out)
    }

    /// The smallest distinct codes of `interval`: each piece is sorted and merged with those found, of which the first `limit` stay.
    pub(super) fn distinct_codes(
        &self,
        ranges: &[Range<u64>],
        interval: Interval,
        limit: usize,
    ) -> Result<Vec<(u64, u64)>> {
        if limit == 0 || interval.is_empty() {
            return Ok(Vec::new());
        }
        let found = std::cell::RefCell::new(Vec::<(u64, u64)>::new());
        let highest = |found: &[(u64, u64)]| match found.last() {
            Some(&(code, _)) if found.len() == limit => code.min(interval.high),
            _ => interval.high,
        };
        let mut piece: Vec<(u64, u64)> = Vec::new();
        self.visit(
            ranges,
            |_, (least, greatest), _| greatest >= interval.low && least <= highest(&found.borrow()),
            |_, codes| {
                let mut found = found.borrow_mut();
                let high = highest(&found);
                let inside = |&&code: &&u64| interval.low <= code && code <= high;
                piece.clear();
                piece.extend(codes.iter().filter(inside).map(|&code| (code, 1)));
                piece.sort_unstable();
                sum_equal(&mut piece);
                found.append(&mut piece);
                found.sort_unstable();
                sum_equal(&mut found);
                found.truncate(limit);
            },
        )?;
        Ok(found.into_inner())
    }

    pub(super) fn list_parts(&self) -> Vec<(String, u64)> {
        let header = (HEADER_BYTES + TAIL_BYTES as u64 + 8 * self.chunks.len() as u64) * 8;
        let (mut tables, mut blocks, mut blocks_bits) = (0, 0, 0);
        let mut plans: Vec<(String, u64)> = Vec::new();
        for number in 0..self.chunks.len() {
            let Ok(chunk) = self.chunk(number) else { continue };
            let plan = chunk.describe();
            match plans.iter_mut().find(|(known, _)| *known == plan) {
                Some((_, count)) => *count += 1,
                None => plans.push((plan, 1)),
            }
            if let Some(coded) = &chunk.coded {
                tables += coded.table_bits;
                blocks += coded.index_bits;
                blocks_bits += coded.blocks.last().map_or(0, |end| u64::from(end.bit));
            }
        }
        let codes = self.code_bits.min(blocks_bits);
        let named = header + tables + blocks + blocks_bits;
        let rest = self.section.len().saturating_mul(8).saturating_sub(named);
        let plans: Vec<String> = plans
            .iter()
            .map(|(plan, count)| format!("{count} x {plan}"))
            .collect();
        vec![
            ("header and chunk offsets".into(), header),
            ("bin tables".into(), tables),
            ("sizes and anchors of blocks".into(), blocks),
            ("bins".into(), codes),
            ("offsets".into(), blocks_bits - codes),
            (format!("rest of chunk headers ({})", plans.join("; ")), rest),
        ]
    }
}

/// Joins neighbours of equal code in a sorted list.
fn sum_equal(list: &mut Vec<(u64, u64)>) {
    list.dedup_by(|next, kept| {
        let is_equal = next.0 == kept.0;
        if is_equal {
            kept.1 += next.1;
        }
        is_equal
    });
}

fn count_inside(codes: &[u64], interval: Interval) -> u64 {
    let width = interval.high.wrapping_sub(interval.low);
    codes
        .iter()
        .map(|code| u64::from(code.wrapping_sub(interval.low) <= width))
        .sum()
}
