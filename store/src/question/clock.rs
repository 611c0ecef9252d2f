//! Questions on the time column: sorted inside each run, so every interval of times is a row range a run.

use std::ops::Range;

use super::memory::sum_keys;
use super::part::PartData;
use crate::batch::BatchColumn;
use crate::codes::Interval;
use crate::column::{Condition, Moments, Sum};
use crate::error::Result;
use crate::rows::{Mask, RowRanges, index};
use crate::schema::{ColumnType, TimeUnit};
use crate::value::{i64_of, key_of_i64};

/// Rows decoded at a time.
const CHUNK: u64 = 8_192;

/// The time column of one part.
#[derive(Debug, Clone, Copy)]
pub struct ClockView<'a> {
    /// The part.
    pub part: &'a PartData,
}

fn intervals(condition: &Condition) -> Vec<Interval> {
    match condition {
        Condition::Keys(interval) => vec![*interval],
        Condition::KeyIn(keys) => keys.iter().map(|&key| Interval { low: key, high: key }).collect(),
        Condition::IsNotNull => vec![Interval::ALL],
        _ => Vec::new(),
    }
}

impl ClockView<'_> {
    /// Rows of the part whose time meets the condition. O(runs x log rows of a run).
    pub fn ranges(&self, condition: &Condition) -> Result<RowRanges> {
        let mut out = RowRanges::empty();
        for run in 0..self.part.run_count() {
            let rows = self.part.run_rows(run)?;
            let (first, last) = self.part.run_times(run)?;
            for interval in intervals(condition).into_iter().filter(|i| !i.is_empty()) {
                let (low, high) = (i64_of(interval.low), i64_of(interval.high));
                if last < low || first > high {
                    continue;
                }
                let start = if first >= low {
                    rows.start
                } else {
                    self.part.lower_bound(rows.clone(), low)?
                };
                let end = match high.checked_add(1) {
                    Some(above) if last > high => self.part.lower_bound(start..rows.end, above)?,
                    _ => rows.end,
                };
                out.push(start..end);
            }
        }
        Ok(out)
    }

    /// How many of `rows` meet the condition.
    pub fn count(&self, rows: &RowRanges, condition: &Condition) -> Result<u64> {
        Ok(self.ranges(condition)?.intersect(rows).row_count())
    }

    /// Sets the bits of `mask` whose rows meet the condition.
    pub fn select(&self, rows: Range<u64>, condition: &Condition, mask: &mut Mask) -> Result<()> {
        for hit in self.ranges(condition)?.clip(rows.clone()).as_slice() {
            mask[index(hit.start - rows.start)..index(hit.end - rows.start)].fill(true);
        }
        Ok(())
    }

    /// Appends `rows` to `out`.
    pub fn decode(&self, rows: Range<u64>, out: &mut BatchColumn) -> Result<()> {
        self.each(&RowRanges::single(rows), |times| {
            times.iter().for_each(|&t| out.push_key(key_of_i64(t)))
        })
    }

    fn each(&self, rows: &RowRanges, mut found: impl FnMut(&[i64])) -> Result<()> {
        let mut times = Vec::new();
        for range in rows.as_slice() {
            let mut start = range.start;
            while start < range.end {
                let end = (start + CHUNK).min(range.end);
                times.clear();
                times.resize(index(end - start), 0);
                self.part.times(start..end, &mut times)?;
                found(&times);
                start = end;
            }
        }
        Ok(())
    }

    /// First and last time of `rows`, as keys.
    pub fn min_max(&self, rows: &RowRanges) -> Result<Option<(u64, u64)>> {
        let mut found: Option<(i64, i64)> = None;
        for range in rows.as_slice() {
            let mut run = self.part.run_of(range.start)?;
            let mut start = range.start;
            while start < range.end && run < self.part.run_count() {
                let end = self.part.run_rows(run)?.end.min(range.end);
                let mut ends = [0; 2];
                self.part.times(start..start + 1, &mut ends[..1])?;
                self.part.times(end - 1..end, &mut ends[1..])?;
                found = Some(found.map_or((ends[0], ends[1]), |(a, b)| (a.min(ends[0]), b.max(ends[1]))));
                start = end;
                run += 1;
            }
        }
        Ok(found.map(|(a, b)| (key_of_i64(a), key_of_i64(b))))
    }

    /// Number, mean and spread of the times of `rows`. O(rows).
    pub fn moments(&self, rows: &RowRanges) -> Result<Moments> {
        let mut all = Moments::default();
        self.each(rows, |times| {
            let values: Vec<f64> = times.iter().map(|&time| time as f64).collect();
            all = all.merge(Moments::of(&values));
        })?;
        Ok(all)
    }

    /// Sum of the times of `rows`. O(rows).
    pub fn sum(&self, rows: &RowRanges) -> Result<Sum> {
        let mut total = 0;
        self.each(rows, |times| {
            let ty = ColumnType::Timestamp(TimeUnit::Nanosecond);
            if let Sum::Integer(sum) = sum_keys(ty, times.iter().map(|&t| key_of_i64(t))) {
                total += sum;
            }
        })?;
        Ok(Sum::Integer(total))
    }
}
