//! From rows to places among the rows of their template, and back.
//!
//! The rows of each template are listed in memory when rows are first named, or after [`READS`] single rows were read,
//! where the lists take no more bytes than the index. Without them a row is found by counting its template's rows before
//! it, in halves of halves.

use std::ops::Range;
use std::sync::atomic::Ordering;

use super::read::Model;
use crate::codes::Interval;
use crate::error::Result;

/// Bytes of lists that any index may have.
const SMALL: u64 = 256 << 10;
/// Single rows that are read before the rows of each template are listed.
const READS: u32 = 256;
/// Rows whose template codes are read together.
const TOGETHER: u64 = 1 << 14;

/// The rows of each template, increasing; those of the rest first.
#[derive(Debug)]
pub struct RowLists {
    starts: Vec<u32>,
    rows: Vec<u32>,
}

impl RowLists {
    /// The rows of all templates of an index of `index_bytes` bytes; `None` if they would take more memory than it, or
    /// if templates have other rows than they say.
    pub fn new(model: &Model, index_bytes: u64) -> Result<Option<RowLists>> {
        let count = model.codes.len();
        if count.saturating_mul(4) > index_bytes.max(SMALL) || count > u64::from(u32::MAX) {
            return Ok(None);
        }
        let mut starts = vec![0u32];
        let mut next = Vec::new();
        for code in 0..=model.templates.len() as u64 {
            let start = starts.last().copied().unwrap_or(0);
            next.push(start);
            starts.push(start.saturating_add(model.rows_of(code) as u32));
        }
        if starts.last().map(|&end| u64::from(end)) != Some(count) {
            return Ok(None);
        }
        let mut rows = vec![0u32; count as usize];
        let mut codes = Vec::new();
        for start in (0..count).step_by(TOGETHER as usize) {
            let end = count.min(start + TOGETHER);
            codes.clear();
            codes.resize((end - start) as usize, 0);
            model.codes.decode(start..end, &mut codes)?;
            for (row, &code) in (start as u32..).zip(&codes) {
                let Some(place) = usize::try_from(code).ok().and_then(|code| next.get_mut(code)) else {
                    return Ok(None);
                };
                let Some(slot) = rows.get_mut(*place as usize) else {
                    return Ok(None);
                };
                *slot = row;
                *place += 1;
            }
        }
        let full = next
            .iter()
            .zip(starts.iter().skip(1))
            .all(|(next, end)| next == end);
        Ok(full.then_some(RowLists { starts, rows }))
    }

    /// Rows of a template; of the rest with code 0.
    pub fn of(&self, code: u64) -> &[u32] {
        let code = usize::try_from(code).unwrap_or(usize::MAX - 1);
        match (self.starts.get(code), self.starts.get(code + 1)) {
            (Some(&start), Some(&end)) => self.rows.get(start as usize..end as usize).unwrap_or_default(),
            _ => &[],
        }
    }
}

impl Model {
    /// Template code of row `row`, and its place among the rows of that template.
    pub fn place(&self, row: u64) -> Result<(u64, u64)> {
        let code = self.codes.get(row)?;
        if self.row_lists.get().is_none() && self.reads.fetch_add(1, Ordering::Relaxed) >= READS {
            self.row_lists()?;
        }
        if let Some(Some(lists)) = self.row_lists.get() {
            let place = lists.of(code).partition_point(|&other| u64::from(other) < row);
            return Ok((code, place as u64));
        }
        let only = Interval {
            low: code,
            high: code,
        };
        Ok((code, self.before(row, only)?))
    }

    /// Number of rows of a template; of the rest with code 0.
    pub fn rows_of(&self, code: u64) -> u64 {
        match code.checked_sub(1) {
            None => self.rest_rows,
            Some(index) => usize::try_from(index)
                .ok()
                .and_then(|index| self.templates.get(index))
                .map_or(0, |template| template.rows),
        }
    }

    /// The rows of each template, listed on first use if they take no more memory than the index.
    pub fn row_lists(&self) -> Result<Option<&RowLists>> {
        if let Some(lists) = self.row_lists.get() {
            return Ok(lists.as_ref());
        }
        let lists = RowLists::new(self, self.index_bytes)?;
        Ok(self.row_lists.get_or_init(|| lists).as_ref())
    }

    /// The rows of a template that lie in `range`, as places among its rows.
    pub fn window(&self, code: u64, range: &Range<u64>) -> Result<Range<u64>> {
        let only = Interval {
            low: code,
            high: code,
        };
        let rows = self.rows_of(code);
        if let Some(Some(lists)) = self.row_lists.get() {
            let below = |border: u64| match border {
                0 => 0,
                border if border == self.codes.len() => rows,
                border => lists.of(code).partition_point(|&row| u64::from(row) < border) as u64,
            };
            return Ok(below(range.start)..below(range.end));
        }
        let start = if range.start == 0 {
            0
        } else {
            self.before(range.start, only)?
        };
        let end = if range.end == self.codes.len() {
            rows
        } else {
            self.before(range.end, only)?
        };
        if start > end || end > rows {
            return Err(self.corrupt("a template has other rows than it says"));
        }
        Ok(start..end)
    }

    fn before(&self, row: u64, code: Interval) -> Result<u64> {
        self.codes.count(std::slice::from_ref(&(0..row)), code)
    }

    /// Calls `visit` with the rows of `range` that are `places` of a template, which both increase; `before` are the
    /// places of the template that lie in `range`.
    ///
    /// # Complexity
    /// The range is halved, by a count of the template's rows, until no place is in it or few rows.
    pub fn name_rows(
        &self,
        code: u64,
        places: &[u64],
        range: &Range<u64>,
        before: &Range<u64>,
        visit: &mut impl FnMut(u64),
    ) -> Result<()> {
        /// Rows whose template codes are read together.
        const TOGETHER: u64 = 128;
        let only = Interval {
            low: code,
            high: code,
        };
        let mut todo = vec![(places, range.clone(), before.clone())];
        while let Some((places, range, before)) = todo.pop() {
            if places.is_empty() {
                continue;
            }
            let rows = range.end - range.start;
            if before.end - before.start == rows {
                for place in places {
                    visit(range.start + (place - before.start).min(rows - 1));
                }
                continue;
            }
            if rows <= TOGETHER {
                let mut codes = [0; TOGETHER as usize];
                let codes = codes.get_mut(..rows as usize).unwrap_or_default();
                self.codes.decode(range.clone(), codes)?;
                let rows = range.zip(codes).filter(|(_, found)| **found == code);
                let mut next = places.iter().peekable();
                for ((row, _), place) in rows.zip(before) {
                    if next.next_if(|&&wanted| wanted == place).is_some() {
                        visit(row);
                    }
                }
                continue;
            }
            let middle = range.start + rows / 2;
            let border = self.before(middle, only)?.clamp(before.start, before.end);
            let (low, high) = places.split_at(places.partition_point(|&place| place < border));
            todo.push((high, middle..range.end, border..before.end));
            todo.push((low, range.start..middle, before.start..border));
        }
        Ok(())
    }
}
