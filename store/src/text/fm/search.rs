//! Questions to one block: a pattern becomes intervals of the suffix array, and those become rows.
//!
//! What a pattern costs before rows are named: a backward search, two ranks a byte. Rows are then counted without
//! being named where the whole block is asked, located suffix by suffix where there are few hits, or read and compared
//! where there are many.

use std::ops::{Bound, Range};

use super::block::{Block, View};
use super::locate::{Hits, Locator};
use super::rowset::RowSet;
use crate::codes::simd::fast;
use crate::error::Result;
use crate::text::TextPattern;
use crate::text::pattern::{LikePattern, LikeToken};
use crate::text::regex::RegexPattern;

/// Spellings of one case-insensitive needle that are followed at the same time.
const MAX_SPELLINGS: usize = 1024;
/// Cost of one byte read from an unpacked block, in steps of the index, as 1 / this.
const UNPACK_GAIN: u64 = 6;

/// Symbols of a block for each byte of rows that is read one by one before intervals are walked instead.
const FEW: u64 = 100;
/// Rows read from an unpacked block at the same time.
const TOGETHER: usize = 16;

/// Where the rows of a question are.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    /// Every row.
    All,
    /// Rows by rank in byte order.
    Ranks(Range<u64>),
    /// Suffixes, each in another row.
    Distinct(Range<u64>),
    /// Suffixes; a row may own several.
    Hits(Range<u64>),
    /// Suffixes of several needles; a row may own several.
    Spellings(Vec<Spelling>),
}

/// What the index knows before any row is read.
#[derive(Debug)]
struct Plan {
    found: Found,
    /// Suffixes of which each row that meets the question has one of each interval, too.
    also: Vec<Range<u64>>,
    /// Whether rows must still be compared.
    verify: bool,
}

/// What is asked of a row.
#[derive(Debug, Clone, Copy)]
pub enum Question<'q> {
    /// It matches.
    Pattern(&'q TextPattern),
    /// It lies between the bounds, byte by byte.
    Between(Bound<&'q [u8]>, Bound<&'q [u8]>),
}

impl Question<'_> {
    fn matches(&self, row: &[u8]) -> bool {
        match self {
            Question::Pattern(pattern) => pattern.matches(row),
            Question::Between(low, high) => crate::text::between(row, *low, *high),
        }
    }

    /// The needle, if it may occur anywhere.
    fn needle(&self) -> &[u8] {
        match self {
            Question::Pattern(TextPattern::Contains(needle)) => needle,
            _ => &[],
        }
    }
}

/// Suffixes that start with `needle` and go on with a suffix of `interval`.
fn backward(view: &View<'_>, needle: &[u8], interval: Range<u64>) -> Option<Range<u64>> {
    fast!(_words => backward_here(view, needle, interval))
}

#[inline(always)]
fn backward_here(view: &View<'_>, needle: &[u8], interval: Range<u64>) -> Option<Range<u64>> {
    let (mut low, mut high) = (interval.start, interval.end);
    for &byte in needle.iter().rev() {
        if low >= high {
            return Some(0..0);
        }
        (low, high) = view.extend(byte, low, high)?;
    }
    Some(if low < high { low..high } else { 0..0 })
}

fn occurrences(view: &View<'_>, needle: &[u8]) -> Option<Range<u64>> {
    match needle {
        [] => Some(0..view.len()),
        [byte] => view.bucket(*byte).map(|(low, high)| low..high),
        [rest @ .., first, second] => {
            let (low, high) = view.bucket_of_pair(*first, *second)?;
            backward(view, rest, low..high)
        }
    }
}

fn starting(view: &View<'_>, needle: &[u8]) -> Option<Range<u64>> {
    let hits = occurrences(view, needle)?;
    let (start, end) = (view.row_starts(hits.start)?, view.row_starts(hits.end)?);
    Some(start..end.max(start))
}

fn ending(view: &View<'_>, needle: &[u8]) -> Option<Range<u64>> {
    backward(view, needle, 0..view.block().rows())
}

/// Ranks, in byte order, of the rows that are `bytes` (`whole`) or start with them, in any case of ASCII letters; `None`
/// inside when there are too many spellings to follow.
pub fn ranks_of_spellings(view: &View<'_>, bytes: &[u8], whole: bool) -> Option<Option<Vec<Range<u64>>>> {
    let found = if whole {
        spellings_before(view, bytes, 0..view.block().rows())?
    } else {
        spellings(view, bytes)?
    };
    let Some(found) = found else { return Some(None) };
    let mut ranks = Vec::with_capacity(found.len());
    for spelling in found {
        ranks.push(ranks_of(view, &spelling.hits)?);
    }
    Some(Some(ranks))
}

/// Ranks, in byte order, of the rows that are `bytes` (`whole`) or start with them.
pub fn ranks(view: &View<'_>, bytes: &[u8], whole: bool) -> Option<Range<u64>> {
    let hits = if whole {
        ending(view, bytes)?
    } else {
        occurrences(view, bytes)?
    };
    ranks_of(view, &hits)
}

/// Ranks of the rows that suffixes are the whole of.
fn ranks_of(view: &View<'_>, hits: &Range<u64>) -> Option<Range<u64>> {
    if hits.is_empty() {
        return Some(0..0);
    }
    let (start, end) = (view.row_starts(hits.start)?, view.row_starts(hits.end)?);
    (end <= view.block().rows()).then_some(start..end.max(start))
}

/// Number of rows below `bound`, or below or equal to it.
pub fn rows_below(view: &View<'_>, bound: &[u8], or_equal: bool) -> Option<u64> {
    fast!(_words => rows_below_here(view, bound, or_equal))
}

#[inline(always)]
fn rows_below_here(view: &View<'_>, bound: &[u8], or_equal: bool) -> Option<u64> {
    // The separator is below every byte, so a row equal to the bound is below the bound followed by a zero byte.
    let mut below = if or_equal { view.below(0, 0)? } else { 0 };
    for &byte in bound.iter().rev() {
        below = view.below(byte, below)?;
    }
    view.row_starts(below)
}

fn between(view: &View<'_>, low: Bound<&[u8]>, high: Bound<&[u8]>) -> Option<Range<u64>> {
    let start = match low {
        Bound::Included(bound) => rows_below(view, bound, false)?,
        Bound::Excluded(bound) => rows_below(view, bound, true)?,
        Bound::Unbounded => 0,
    };
    let end = match high {
        Bound::Included(bound) => rows_below(view, bound, true)?,
        Bound::Excluded(bound) => rows_below(view, bound, false)?,
        Bound::Unbounded => view.block().rows(),
    };
    Some(start..end.max(start))
}

/// One way of writing a needle: its bytes, last first, and its suffixes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Spelling {
    reversed: Vec<u8>,
    hits: Range<u64>,
}

impl Spelling {
    fn needle(&self) -> Vec<u8> {
        self.reversed.iter().rev().copied().collect()
    }
}

/// All spellings of `needle` that occur; `None` inside when there are too many to follow.
fn spellings(view: &View<'_>, needle: &[u8]) -> Option<Option<Vec<Spelling>>> {
    spellings_before(view, needle, 0..view.len())
}

/// [`spellings`] that go on with a suffix of `interval`.
fn spellings_before(view: &View<'_>, needle: &[u8], interval: Range<u64>) -> Option<Option<Vec<Spelling>>> {
    let anywhere = interval == (0..view.len());
    let mut found = vec![Spelling {
        reversed: Vec::new(),
        hits: interval,
    }];
    for byte in needle.iter().rev() {
        let (lower, upper) = (byte.to_ascii_lowercase(), byte.to_ascii_uppercase());
        let mut longer = Vec::with_capacity(found.len());
        for spelling in &found {
            for letter in [upper, lower].into_iter().skip(usize::from(lower == upper)) {
                let (low, high) = match spelling.reversed.as_slice() {
                    [] if anywhere => view.bucket(letter)?,
                    [last] if anywhere => view.bucket_of_pair(letter, *last)?,
                    _ => view.extend(letter, spelling.hits.start, spelling.hits.end)?,
                };
                if low < high {
                    let mut reversed = spelling.reversed.clone();
                    reversed.push(letter);
                    longer.push(Spelling {
                        reversed,
                        hits: low..high,
                    });
                }
            }
        }
        if longer.len() > MAX_SPELLINGS {
            return Some(None);
        }
        found = longer;
    }
    Some(Some(found))
}

/// Counts rows with any of the spellings: those of the most frequent one by counters, and of the others those rows
/// that do not have it. `None` inside if to name them takes longer than to read all rows.
fn count_spellings(view: &View<'_>, spellings: &[Spelling]) -> Result<Option<u64>> {
    let block = view.block();
    let wrong = || block.corrupt("a count left the index");
    let Some((main, others)) = most_frequent(spellings) else {
        return Ok(Some(0));
    };
    let needle = main.needle();
    let all = block.rows() - block.long_count();
    let of_main = count_hits(view, &main.hits, &needle)?;
    if of_main == Some(all) {
        return Ok(of_main);
    }
    let locator = Locator::new(view)?;
    let mut rows = RowSet::new(block.rows());
    if !locator.mark(&others, &mut rows, all).ok_or_else(wrong)? {
        return Ok(None);
    }
    let to_name = locator.most_steps(main.hits.end - main.hits.start);
    if let Some(mut count) =
        of_main.filter(|_| rows.len() * block_row_bytes(view) <= to_name.min(view.len() / FEW))
    {
        let mut bytes = Vec::new();
        for row in rows.iter(&(0..block.rows())) {
            bytes.clear();
            view.extract(row, &mut bytes).ok_or_else(wrong)?;
            count += u64::from(memchr::memmem::find(&bytes, &needle).is_none());
        }
        return Ok(Some(count));
    }
    let mut main_rows = RowSet::new(block.rows());
    let done = locator.mark(
        &Hits::new([main.hits.clone()]),
        &mut main_rows,
        of_main.unwrap_or(all),
    );
    rows.add_all(&main_rows);
    Ok(done.ok_or_else(wrong)?.then_some(rows.len()))
}

/// The spelling with the most suffixes, and the suffixes of the others.
fn most_frequent(spellings: &[Spelling]) -> Option<(&Spelling, Hits)> {
    let length = |spelling: &Spelling| spelling.hits.end - spelling.hits.start;
    let (at, main) = spellings
        .iter()
        .enumerate()
        .max_by_key(|(_, spelling)| length(spelling))?;
    let others = spellings.iter().enumerate().filter(|(other, _)| *other != at);
    Some((main, Hits::new(others.map(|(_, other)| other.hits.clone()))))
}

/// The literal of a LIKE pattern with the fewest hits, and the suffixes of the others.
fn like(view: &View<'_>, pattern: &LikePattern) -> Option<(Found, Vec<Range<u64>>)> {
    let mut best = Found::All;
    let mut also = Vec::new();
    let mut fewest = u64::MAX;
    let last = pattern.tokens().len().saturating_sub(1);
    for (index, token) in pattern.tokens().iter().enumerate() {
        let LikeToken::Literal(bytes) = token else {
            continue;
        };
        let found = if index == 0 {
            Found::Ranks(starting(view, bytes)?)
        } else if index == last {
            Found::Distinct(ending(view, bytes)?)
        } else {
            Found::Hits(occurrences(view, bytes)?)
        };
        let hits = found.hits(view);
        let other = if hits < fewest {
            fewest = hits;
            std::mem::replace(&mut best, found)
        } else {
            found
        };
        if let Found::Distinct(hits) | Found::Hits(hits) = other {
            also.push(hits);
        }
        if fewest == 0 {
            break;
        }
    }
    also.sort_unstable_by_key(|hits| hits.end - hits.start);
    Some((best, also))
}

/// The suffixes of the strings of which a match contains one.
fn regex(view: &View<'_>, pattern: &RegexPattern) -> Option<Found> {
    let mut found = Vec::new();
    for required in pattern.required() {
        if !required.ignore_ascii_case {
            found.push(Spelling {
                reversed: required.bytes.iter().rev().copied().collect(),
                hits: occurrences(view, &required.bytes)?,
            });
            continue;
        }
        match spellings(view, &required.bytes)? {
            Some(spellings) => found.extend(spellings),
            None => return Some(Found::All),
        }
    }
    Some(if pattern.required().is_empty() {
        Found::All
    } else {
        Found::Spellings(found)
    })
}

impl Found {
    fn hits(&self, view: &View<'_>) -> u64 {
        let length = |range: &Range<u64>| range.end - range.start;
        match self {
            Found::All => view.block().rows(),
            Found::Ranks(range) | Found::Distinct(range) | Found::Hits(range) => length(range),
            Found::Spellings(spellings) => spellings.iter().map(|spelling| length(&spelling.hits)).sum(),
        }
    }
}

fn plan(view: &View<'_>, question: &Question<'_>) -> Option<Plan> {
    let mut verify = false;
    let mut also = Vec::new();
    let found = match question {
        Question::Between(low, high) => Found::Ranks(between(view, *low, *high)?),
        Question::Pattern(pattern) => match pattern {
            TextPattern::Equals(value) => {
                Found::Ranks(between(view, Bound::Included(value), Bound::Included(value))?)
            }
            TextPattern::Contains(needle)
            | TextPattern::ContainsIgnoreAsciiCase(needle)
            | TextPattern::StartsWith(needle)
            | TextPattern::EndsWith(needle)
                if needle.is_empty() =>
            {
                Found::All
            }
            TextPattern::Contains(needle) => Found::Hits(occurrences(view, needle)?),
            TextPattern::StartsWith(needle) => Found::Ranks(starting(view, needle)?),
            TextPattern::EndsWith(needle) => Found::Distinct(ending(view, needle)?),
            TextPattern::ContainsIgnoreAsciiCase(needle) => match spellings(view, needle)? {
                Some(spellings) => Found::Spellings(spellings),
                None => {
                    verify = true;
                    Found::All
                }
            },
            TextPattern::Like(pattern) => {
                verify = true;
                let (found, others) = like(view, pattern)?;
                also = others;
                found
            }
            TextPattern::Regex(pattern) => {
                verify = true;
                regex(view, pattern)?
            }
            TextPattern::Number(pattern) => {
                verify = true;
                like(view, &pattern.like())?.0
            }
        },
    };
    Some(Plan { found, also, verify })
}

/// How many rows of `ranges` (in the block) meet the question.
pub fn count(block: &Block, ranges: &[Range<u64>], question: &Question<'_>) -> Result<u64> {
    let view = block.view()?;
    let wrong = || block.corrupt("a search left the index");
    let plan = plan(&view, question).ok_or_else(wrong)?;
    let whole = matches!(ranges, [range] if *range == (0..block.rows()));
    if whole && !plan.verify {
        if let Some(rows) = count_whole(&view, &plan.found, question)? {
            return Ok(rows + count_long(block, question)?);
        }
    }
    let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else {
        return Ok(0);
    };
    let mut seen = RowSet::new(block.rows());
    resolve(&view, &plan, first.start..last.end, question, &mut |row| {
        // A row of the window is one of the block.
        let _ = seen.insert(row);
    })?;
    Ok(ranges.iter().map(|range| seen.count(range)).sum())
}

/// Counts rows that are not long without naming them, where the index can.
fn count_whole(view: &View<'_>, found: &Found, question: &Question<'_>) -> Result<Option<u64>> {
    let block = view.block();
    Ok(match found {
        Found::All => Some(block.rows() - block.long_count()),
        // Long rows stand in the index as empty ones, which come first in byte order.
        Found::Ranks(ranks) if ranks.start == 0 && ranks.end > 0 => {
            Some((ranks.end).saturating_sub(block.long_count()))
        }
        Found::Ranks(range) | Found::Distinct(range) => Some(range.end - range.start),
        Found::Hits(hits) => count_hits(view, hits, question.needle())?,
        Found::Spellings(spellings) => match spellings.as_slice() {
            [only] => count_hits(view, &only.hits, &only.needle())?,
            several => count_spellings(view, several)?,
        },
    })
}

/// Counts the rows of a needle's occurrences, `None` inside without counters.
fn count_hits(view: &View<'_>, hits: &Range<u64>, needle: &[u8]) -> Result<Option<u64>> {
    let wrong = || view.block().corrupt("a count left the index");
    let found = hits.end - hits.start;
    match needle {
        _ if found <= 1 => Ok(Some(found)),
        [byte] => view.rows_with(*byte).map(Some).ok_or_else(wrong),
        _ => match view.repeats(hits.start, hits.end)? {
            Some(repeats) => found.checked_sub(repeats).map(Some).ok_or_else(wrong),
            None => Ok(None),
        },
    }
}

fn count_long(block: &Block, question: &Question<'_>) -> Result<u64> {
    let mut count = 0;
    for index in 0..block.long_count() {
        count += u64::from(question.matches(block.long_bytes(index)?));
    }
    Ok(count)
}

/// Calls `set` for each row of `window` (in the block) that meets the question; a row may come more than once.
pub fn select(
    block: &Block,
    window: Range<u64>,
    question: &Question<'_>,
    set: &mut dyn FnMut(u64),
) -> Result<()> {
    let view = block.view()?;
    let plan = plan(&view, question).ok_or_else(|| block.corrupt("a search left the index"))?;
    resolve(&view, &plan, window, question, set)
}

fn resolve(
    view: &View<'_>,
    plan: &Plan,
    window: Range<u64>,
    question: &Question<'_>,
    set: &mut dyn FnMut(u64),
) -> Result<()> {
    let block = view.block();
    for index in 0..block.long_count() {
        let row = block.long_row(index)?;
        if window.contains(&row) && question.matches(block.long_bytes(index)?) {
            set(row);
        }
    }
    let mut set = |row: u64| -> Result<()> {
        if block.long_count() == 0 || block.find_long(row)?.is_none() {
            set(row);
        }
        Ok(())
    };
    let rows = window.end - window.start;
    let row_bytes = block_row_bytes(view);
    let locator = Locator::new(view)?;
    let to_find = match &plan.found {
        Found::All => 0,
        // Looking a rank up costs a small part of a step.
        Found::Ranks(ranks) => (ranks.end - ranks.start) / 16,
        found => locator.most_steps(found.hits(view)),
    };
    let read_all = |set: &mut dyn FnMut(u64) -> Result<()>, wanted: Option<&RowSet>| {
        read(view, window.clone(), |row, bytes| {
            let wanted = wanted.is_none_or(|rows| rows.contains(row));
            if wanted && question.matches(bytes) {
                set(row)
            } else {
                Ok(())
            }
        })
    };
    if plan.found == Found::All && !plan.verify {
        return window.clone().try_for_each(set);
    }
    // The rows of a short window are read sooner than many suffixes are followed.
    if plan.found == Found::All || to_find > rows * row_bytes {
        return read_all(&mut set, None);
    }
    let Some(mut candidates) = candidates(&locator, &plan.found, question)? else {
        return read_all(&mut set, None);
    };
    if !plan.verify {
        return candidates.iter(&window).try_for_each(set);
    }
    for hits in &plan.also {
        if candidates.count(&window) * row_bytes <= view.len() / FEW {
            break;
        }
        let mut others = RowSet::new(block.rows());
        let all = block.rows() - block.long_count();
        let done = locator.mark(&Hits::new([hits.clone()]), &mut others, all);
        if done.ok_or_else(|| block.corrupt("a row cannot be found through the index"))? {
            candidates.keep_common(&others);
        }
    }
    let to_verify = candidates.count(&window) * row_bytes;
    if to_verify > (rows * row_bytes).min(view.len() / UNPACK_GAIN) {
        return read_all(&mut set, Some(&candidates));
    }
    let mut bytes = Vec::new();
    candidates.iter(&window).try_for_each(|row| {
        bytes.clear();
        let read = view.extract(row, &mut bytes);
        read.ok_or_else(|| block.corrupt("a row cannot be found through the index"))?;
        if question.matches(&bytes) {
            set(row)
        } else {
            Ok(())
        }
    })
}

/// The rows that were found, of the whole block; `None` if to name them takes longer than to read all rows.
///
/// Long rows among them may be wrong.
fn candidates(locator: &Locator<'_, '_>, found: &Found, question: &Question<'_>) -> Result<Option<RowSet>> {
    let view = locator.view();
    let block = view.block();
    let wrong = || block.corrupt("a row cannot be found through the index");
    let all = block.rows() - block.long_count();
    // How many rows there are is mostly known, so that nothing is walked once they are found.
    let (hits, counted, others) = match found {
        Found::All => return Ok(None),
        Found::Ranks(ranks) if ranks.end > block.rows() => return Err(wrong()),
        Found::Ranks(ranks) => {
            let mut rows = RowSet::new(block.rows());
            let mut each = ranks.clone().map(|rank| rows.insert(locator.row_of_rank(rank)?));
            each.try_fold((), |(), row| row).ok_or_else(wrong)?;
            return Ok(Some(rows));
        }
        Found::Distinct(hits) => (hits, Some(hits.end - hits.start), None),
        Found::Hits(hits) if question.needle().is_empty() => (hits, None, None),
        Found::Hits(hits) => (hits, count_hits(view, hits, question.needle())?, None),
        Found::Spellings(spellings) => match most_frequent(spellings) {
            Some((main, others)) => (
                &main.hits,
                count_hits(view, &main.hits, &main.needle())?,
                Some(others),
            ),
            None => return Ok(Some(RowSet::new(block.rows()))),
        },
    };
    if counted == Some(all) {
        return Ok(Some(RowSet::full(block.rows())));
    }
    let mut rows = RowSet::new(block.rows());
    let hits = Hits::new([hits.clone()]);
    let mut done = locator
        .mark(&hits, &mut rows, counted.unwrap_or(all))
        .ok_or_else(wrong)?;
    if let Some(others) = others.filter(|_| done) {
        done = locator.mark(&others, &mut rows, all).ok_or_else(wrong)?;
    }
    Ok(done.then_some(rows))
}

fn block_row_bytes(view: &View<'_>) -> u64 {
    view.len() / view.block().rows().max(1) + 1
}

/// Reads the rows of `window` that are not long, one by one or from the unpacked block, whichever is cheaper.
pub fn read(
    view: &View<'_>,
    window: Range<u64>,
    mut visit: impl FnMut(u64, &[u8]) -> Result<()>,
) -> Result<()> {
    let wrong = || view.block().corrupt("a row cannot be read from the index");
    // Damaged rows can run into each other; all of them together are no longer than the block.
    let mut left = view.len();
    if (window.end - window.start) * block_row_bytes(view) > view.len() / UNPACK_GAIN {
        let unpacked = view.unpack().ok_or_else(wrong)?;
        let mut batch = vec![Vec::new(); TOGETHER];
        let mut first = window.start;
        while first < window.end {
            let rows = usize::try_from(window.end - first).map_or(TOGETHER, |rows| rows.min(TOGETHER));
            unpacked
                .extract(first, &mut batch[..rows], &mut left)
                .ok_or_else(wrong)?;
            for (row, bytes) in (first..).zip(&batch[..rows]) {
                visit(row, bytes)?;
            }
            first += rows as u64;
        }
        return Ok(());
    }
    let mut bytes = Vec::new();
    for row in window {
        bytes.clear();
        view.extract(row, &mut bytes).ok_or_else(wrong)?;
        left = left.checked_sub(bytes.len() as u64).ok_or_else(wrong)?;
        visit(row, &bytes)?;
    }
    Ok(())
}
