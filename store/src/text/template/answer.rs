//! Questions to the whole index: templates by needles, the rest by its own index, what is left by reading rows.

use std::ops::{Bound, Range};

use super::measure;
use super::read::Model;
use super::search::{Needle, Order, Rows, Search};
use crate::codes::Interval;
use crate::error::Result;
use crate::rows::Mask;
use crate::text::pattern::{LikePattern, LikeToken};
use crate::text::regex::RegexPattern;
use crate::text::{TextPattern, between};

/// Rows for each hit from which on hits are looked for one by one instead of passing over the templates of all rows.
const ROWS_A_HIT: u64 = 1024;
/// Ranges up to which a count asks each template for each range.
const FEW_RANGES: usize = 4;

/// The needle that a pattern is, if it is one.
fn needle(pattern: &TextPattern) -> Option<Needle<'_>> {
    let (bytes, left, right, ignore_case) = match pattern {
        TextPattern::Contains(bytes) => (bytes, false, false, false),
        TextPattern::ContainsIgnoreAsciiCase(bytes) => (bytes, false, false, true),
        TextPattern::StartsWith(bytes) => (bytes, true, false, false),
        TextPattern::EndsWith(bytes) => (bytes, false, true, false),
        TextPattern::Equals(bytes) => (bytes, true, true, false),
        TextPattern::Like(_) | TextPattern::Regex(_) | TextPattern::Number(_) => return None,
    };
    Some(Needle {
        bytes,
        left,
        right,
        ignore_case,
    })
}

/// Whether every row has it.
fn is_all(pattern: &TextPattern) -> bool {
    match pattern {
        TextPattern::Contains(bytes)
        | TextPattern::ContainsIgnoreAsciiCase(bytes)
        | TextPattern::StartsWith(bytes)
        | TextPattern::EndsWith(bytes) => bytes.is_empty(),
        _ => false,
    }
}

/// How many rows of `ranges` match.
pub fn count(model: &Model, ranges: &[Range<u64>], pattern: &TextPattern) -> Result<u64> {
    let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else {
        return Ok(0);
    };
    if is_all(pattern) {
        return Ok(ranges.iter().map(|range| range.end - range.start).sum());
    }
    if let Some(needle) = needle(pattern).filter(|_| ranges.len() <= FEW_RANGES) {
        let search = Search::new(model, &needle)?;
        let mut count = 0;
        for range in ranges {
            count += search.count(|template| model.window(template as u64 + 1, range))?;
            count += model.count_rest(range, pattern)?;
        }
        return Ok(count);
    }
    let window = first.start..last.end;
    let mut mask = Mask::repeat(false, places(&window));
    select(model, window.clone(), pattern, &mut mask)?;
    Ok(count_ranges(&mask, window.start, ranges))
}

/// How many rows of `ranges` lie between the bounds.
pub fn count_between(
    model: &Model,
    ranges: &[Range<u64>],
    low: Bound<&[u8]>,
    high: Bound<&[u8]>,
) -> Result<u64> {
    if let (Bound::Included(low), Bound::Included(high)) = (low, high) {
        if low == high {
            return count(model, ranges, &TextPattern::Equals(low.to_vec()));
        }
    }
    let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else {
        return Ok(0);
    };
    let window = first.start..last.end;
    let mut mask = Mask::repeat(false, places(&window));
    select_between(model, window.clone(), low, high, &mut mask)?;
    Ok(count_ranges(&mask, window.start, ranges))
}

/// Sets the bits of the rows of `range` that lie between the bounds.
pub fn select_between(
    model: &Model,
    range: Range<u64>,
    low: Bound<&[u8]>,
    high: Bound<&[u8]>,
    mask: &mut Mask,
) -> Result<()> {
    if let (Bound::Included(low), Bound::Included(high)) = (low, high) {
        if low == high {
            return select(model, range, &TextPattern::Equals(low.to_vec()), mask);
        }
    }
    let start = range.start;
    model.read_rows(range, |row, bytes| {
        if between(bytes, low, high) {
            mask.set((row - start) as usize, true);
        }
    })
}

/// Sets the bits of the rows of `range` that match.
pub fn select(model: &Model, range: Range<u64>, pattern: &TextPattern, mask: &mut Mask) -> Result<()> {
    if range.is_empty() {
        return Ok(());
    }
    if is_all(pattern) {
        mask.fill(true);
        return Ok(());
    }
    select_rest(model, &range, pattern, mask)?;
    if let Some(needle) = needle(pattern) {
        return select_needle(model, &range, &needle, mask);
    }
    if let TextPattern::Like(like) = pattern {
        if select_in_order(model, &range, like, mask)? {
            return Ok(());
        }
    }
    let candidates = match pattern {
        TextPattern::Like(like) => like_candidates(model, &range, like)?,
        TextPattern::Regex(regex) => regex_candidates(model, &range, regex)?,
        TextPattern::Number(number) => return measure::select(model, &range, number, mask),
        _ => None,
    };
    verify(model, range, pattern, candidates, mask)
}

fn places(range: &Range<u64>) -> usize {
    usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX)
}

fn count_ranges(mask: &Mask, base: u64, ranges: &[Range<u64>]) -> u64 {
    let part = |range: &Range<u64>| mask.get((range.start - base) as usize..(range.end - base) as usize);
    ranges
        .iter()
        .filter_map(part)
        .map(|part| part.count_ones() as u64)
        .sum()
}

fn select_rest(model: &Model, range: &Range<u64>, pattern: &TextPattern, mask: &mut Mask) -> Result<()> {
    let (rows, found) = model.find_rest(range, pattern)?;
    name_rows(model, 0, &rows, &found, range, mask)
}

fn select_needle(model: &Model, range: &Range<u64>, needle: &Needle<'_>, mask: &mut Mask) -> Result<()> {
    let search = Search::new(model, needle)?;
    let mut whole = Vec::new();
    search.rows(
        |template| model.window(template as u64 + 1, range),
        |template, rows, found| name_found(model, template, &rows, &found, range, mask, &mut whole),
    )?;
    name_whole(model, &whole, range, mask)
}

/// Sets the bits of the rows that hold the literals of a pattern in order; false if it has more than literals and `%`.
fn select_in_order(model: &Model, range: &Range<u64>, like: &LikePattern, mask: &mut Mask) -> Result<bool> {
    let Some(order) = Order::new(model, like)? else {
        return Ok(false);
    };
    let mut whole = Vec::new();
    order.rows(
        |template| model.window(template as u64 + 1, range),
        |template, rows, found| name_found(model, template, &rows, &found, range, mask, &mut whole),
    )?;
    debug_assert!(whole.is_empty(), "rows in order are named one by one");
    Ok(true)
}

/// Sets the bits of the rows of a template, or adds it to those that match `whole`, as intervals of their codes.
fn name_found(
    model: &Model,
    template: usize,
    rows: &Range<u64>,
    found: &Rows,
    range: &Range<u64>,
    mask: &mut Mask,
    whole: &mut Vec<Interval>,
) -> Result<()> {
    let code = template as u64 + 1;
    match found {
        Rows::All => match whole.last_mut() {
            Some(last) if last.high + 1 == code => last.high = code,
            _ => whole.push(Interval {
                low: code,
                high: code,
            }),
        },
        Rows::Some(found) => name_rows(model, code, rows, found, range, mask)?,
    }
    Ok(())
}

/// Sets the bits of all rows of templates.
fn name_whole(model: &Model, whole: &[Interval], range: &Range<u64>, mask: &mut Mask) -> Result<()> {
    let lists = model.row_lists()?;
    for &interval in whole {
        if let Some(lists) = lists {
            for code in interval.low..=interval.high {
                let window = model.window(code, range)?;
                let rows = lists.of(code).get(window.start as usize..window.end as usize);
                let rows = rows.unwrap_or_default().iter().map(|&row| u64::from(row));
                for row in rows.filter(|row| range.contains(row)) {
                    mask.set((row - range.start) as usize, true);
                }
            }
            continue;
        }
        let mut found = Mask::repeat(false, mask.len());
        model.codes.select(range.clone(), interval, &mut found)?;
        *mask |= found;
    }
    Ok(())
}

/// Sets the bits of the rows that are `found` among those of a template, of which `rows` lie in `range`.
pub fn name_rows(
    model: &Model,
    code: u64,
    rows: &Range<u64>,
    found: &[u64],
    range: &Range<u64>,
    mask: &mut Mask,
) -> Result<()> {
    if found.is_empty() {
        return Ok(());
    }
    if let Some(lists) = model.row_lists()? {
        let listed = lists.of(code);
        for &place in found {
            let row = listed.get(place as usize).map(|&row| u64::from(row));
            if let Some(row) = row.filter(|row| range.contains(row)) {
                mask.set((row - range.start) as usize, true);
            }
        }
        return Ok(());
    }
    if (found.len() as u64).saturating_mul(ROWS_A_HIT) <= range.end - range.start {
        return model.name_rows(code, found, range, rows, &mut |row| {
            mask.set((row - range.start) as usize, true);
        });
    }
    let mut all = Mask::repeat(false, mask.len());
    let only = Interval {
        low: code,
        high: code,
    };
    model.codes.select(range.clone(), only, &mut all)?;
    let mut next = found.iter().map(|place| place - rows.start).peekable();
    for (index, row) in all.iter_ones().enumerate() {
        if next.next_if(|&place| place == index as u64).is_some() {
            mask.set(row, true);
        }
    }
    Ok(())
}

/// Rows that have all literals of a LIKE pattern; `None` if it has none.
pub fn like_candidates(model: &Model, range: &Range<u64>, like: &LikePattern) -> Result<Option<Mask>> {
    let last = like.tokens().len().saturating_sub(1);
    let mut candidates: Option<Mask> = None;
    for (index, token) in like.tokens().iter().enumerate() {
        let LikeToken::Literal(bytes) = token else {
            continue;
        };
        let needle = Needle {
            bytes,
            left: index == 0,
            right: index == last,
            ignore_case: false,
        };
        let mut found = Mask::repeat(false, places(range));
        select_needle(model, range, &needle, &mut found)?;
        match &mut candidates {
            Some(candidates) => *candidates &= found,
            None => candidates = Some(found),
        }
        if candidates.as_ref().is_some_and(|candidates| candidates.not_any()) {
            break;
        }
    }
    Ok(candidates)
}

/// Rows that have one of the strings that a match contains; `None` if nothing is known.
fn regex_candidates(model: &Model, range: &Range<u64>, regex: &RegexPattern) -> Result<Option<Mask>> {
    if regex.required().is_empty() {
        return Ok(None);
    }
    let mut candidates = Mask::repeat(false, places(range));
    for required in regex.required() {
        if required.bytes.is_empty() {
            return Ok(None);
        }
        let needle = Needle {
            bytes: &required.bytes,
            left: false,
            right: false,
            ignore_case: required.ignore_ascii_case,
        };
        select_needle(model, range, &needle, &mut candidates)?;
    }
    Ok(Some(candidates))
}

/// Sets the bits of the candidates that match; without candidates, of all rows of templates that do.
fn verify(
    model: &Model,
    range: Range<u64>,
    pattern: &TextPattern,
    candidates: Option<Mask>,
    mask: &mut Mask,
) -> Result<()> {
    let start = range.start;
    let few = candidates.filter(|candidates| candidates.count_ones() * 8 < candidates.len());
    match few {
        Some(candidates) => {
            let mut bytes = Vec::new();
            for place in candidates.iter_ones() {
                bytes.clear();
                model.extract(start + place as u64, &mut bytes)?;
                if pattern.matches(&bytes) {
                    mask.set(place, true);
                }
            }
            Ok(())
        }
        None => model.read_rows(range, |row, bytes| {
            if pattern.matches(bytes) {
                mask.set((row - start) as usize, true);
            }
        }),
    }
}
