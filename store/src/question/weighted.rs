//! Plain questions to a downsampled segment: its rows are chosen by what they say of their bucket (start, keys, mean,
//! last text), and count for all the rows that they stand for.

use std::ops::Range;
use std::sync::Arc;

use super::part::{Part, PartData};
use super::resolve::Target;
use super::view::View;
use crate::batch::BatchColumn;
use crate::column::{Column, Moments, Sum};
use crate::domain::integer_of;
use crate::error::Result;
use crate::rows::{RowRanges, index};
use crate::schema::{ColumnId, ColumnType};
use crate::segment::Segment;
use crate::segment::buckets::{Cell, Role};
use crate::value::{key_of_i64, number_of};

/// Rows decoded at a time.
const CHUNK: u64 = 8_192;
/// Most values that a part is taken to have by its sketches: what damaged files say still adds up.
const MOST_VALUES: u64 = 1 << 44;

/// The rows that one row of a downsampled part stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// How many rows.
    pub rows: u64,
    /// Time of the first.
    pub first: i64,
    /// Time of the last.
    pub last: i64,
}

/// A part whose rows stand for many.
#[derive(Debug, Clone, Copy)]
pub struct Weighted<'a> {
    /// The part.
    pub part: &'a Part,
    /// Its segment.
    pub segment: &'a Arc<Segment>,
}

/// The part as one of a downsampled segment; `None` if it is none.
pub fn weighted(part: &Part) -> Option<Weighted<'_>> {
    match &part.data {
        PartData::Segment(segment) if segment.buckets().is_some() => Some(Weighted { part, segment }),
        _ => None,
    }
}

impl Weighted<'_> {
    /// The channel that a target is; `None` for times and keys, which hold for each row of a bucket.
    pub fn channel(&self, target: Target) -> Option<(ColumnId, ColumnType)> {
        match target {
            Target::Column(position) if position >= self.part.schema.keys().len() => {
                let spec = &self.part.schema.columns()[position];
                Some((spec.id, spec.ty))
            }
            _ => None,
        }
    }

    /// Rows that `rows` stand for.
    pub fn rows(&self, rows: &RowRanges) -> Result<u64> {
        self.segment.weight(rows)
    }

    /// Rows with a value in `target` that `rows` stand for.
    pub fn values(&self, target: Target, rows: &RowRanges) -> Result<u64> {
        match self.channel(target) {
            None if target == Target::Time => self.rows(rows),
            None => {
                let mut count = 0;
                self.each_key(target, rows, |_, weight| {
                    count = u64::saturating_add(count, weight)
                })?;
                Ok(count)
            }
            Some((id, _)) if self.segment.position(id).is_none() => Ok(0),
            Some((id, _)) => self.segment.value_weight(id, rows),
        }
    }

    /// Sum of a channel's values.
    pub fn sum(&self, target: Target, ty: ColumnType, rows: &RowRanges) -> Result<Sum> {
        let Some((id, _)) = self.channel(target) else {
            let mut sum = 0i128;
            self.each_key(target, rows, |key, weight| {
                sum = sum.saturating_add(integer_of(ty, key).saturating_mul(weight.into()));
            })?;
            return Ok(Sum::Integer(sum));
        };
        let whole = |role: Role| -> Result<Sum> {
            let column = self.segment.companion(id, role, 0)?;
            column.map_or(Ok(Sum::Integer(0)), |column| column.sum(rows))
        };
        Ok(match (whole(Role::Sum)?, ty.is_float()) {
            (Sum::Float(sum), _) => Sum::Float(sum),
            (Sum::Integer(sum), true) => Sum::Float(sum as f64),
            (Sum::Integer(sum), false) => match self.segment.companion(id, Role::SumLow, 0)? {
                None => Sum::Integer(sum),
                Some(low) => match low.sum(rows)? {
                    Sum::Integer(low) => Sum::Integer(sum.saturating_mul(1 << 32).saturating_add(low)),
                    Sum::Float(_) => Sum::Integer(sum),
                },
            },
        })
    }

    /// Number, mean and spread of values.
    pub fn moments(&self, target: Target, ty: ColumnType, rows: &RowRanges) -> Result<Moments> {
        let mut all = Moments::default();
        if self.channel(target).is_none() {
            self.each_key(target, rows, |key, weight| {
                all = all.merge(Moments {
                    count: weight,
                    mean: number_of(ty, key),
                    squares: 0.0,
                });
            })?;
            return Ok(all);
        }
        self.each_cell(target, rows, |cell| {
            all = all.merge(Moments {
                count: cell.count,
                mean: cell.mean(ty),
                squares: cell.squares,
            });
        })?;
        Ok(all)
    }

    /// Smallest and largest key.
    pub fn min_max(&self, target: Target, view: &View<'_>, rows: &RowRanges) -> Result<Option<(u64, u64)>> {
        if target == Target::Time {
            return self.time_range(rows);
        }
        let Some((id, _)) = self.channel(target) else {
            return view.min_max(rows);
        };
        let of = |role: Role| -> Result<Option<(u64, u64)>> {
            let column: Option<&Column> = self.segment.companion(id, role, 0)?;
            column.map_or(Ok(None), |column| column.min_max(rows))
        };
        Ok(of(Role::Min)?
            .zip(of(Role::Max)?)
            .map(|(low, high)| (low.0, high.1)))
    }

    /// Keys of the first and the last time of what `rows` stand for.
    fn time_range(&self, rows: &RowRanges) -> Result<Option<(u64, u64)>> {
        let mut found: Option<(i64, i64)> = None;
        each_chunk(rows, |rows| {
            for bucket in self.spans(rows)? {
                let (low, high) = found.unwrap_or((bucket.first, bucket.last));
                found = Some((low.min(bucket.first), high.max(bucket.last)));
            }
            Ok(())
        })?;
        Ok(found.map(|(low, high)| (key_of_i64(low), key_of_i64(high))))
    }

    /// What each of `rows` stands for.
    pub fn spans(&self, rows: Range<u64>) -> Result<Vec<Bucket>> {
        let mut starts = vec![0; index(rows.end - rows.start)];
        self.part.data.times(rows.clone(), &mut starts)?;
        let of_none = |role| self.segment.companion_keys(ColumnId(0), role, 0, rows.clone());
        let (weights, firsts, lasts) = (
            of_none(Role::Rows)?,
            of_none(Role::FirstTime)?,
            of_none(Role::LastTime)?,
        );
        let after = |start: i64, offset: u64| start.saturating_add(i64::try_from(offset).unwrap_or(i64::MAX));
        let all = starts.into_iter().zip(weights).zip(firsts.into_iter().zip(lasts));
        let all = all.map(|((start, rows), (first, last))| Bucket {
            rows,
            first: after(start, first),
            last: after(start, last),
        });
        Ok(all.collect())
    }

    /// Adds the values of `rows`, as near as their sketches tell, each with how often it stands there.
    pub fn collect(&self, target: Target, rows: &RowRanges, out: &mut Vec<(u64, u64)>) -> Result<()> {
        if self.channel(target).is_none() {
            return self.each_key(target, rows, |key, weight| out.push((key, weight)));
        }
        let points = self.segment.buckets().map_or(0, |buckets| buckets.points);
        self.each_cell(target, rows, |cell| spread(cell, points, out))
    }

    /// Calls `found` with what is known of a channel in each bucket of `rows` that has values.
    pub fn each_cell(&self, target: Target, rows: &RowRanges, mut found: impl FnMut(&Cell)) -> Result<()> {
        let Some((id, ty)) = self.channel(target) else {
            return Ok(());
        };
        each_chunk(rows, |rows| {
            let cells = self.segment.cells(id, ty, rows)?;
            cells.iter().filter(|cell| cell.count > 0).for_each(&mut found);
            Ok(())
        })
    }

    /// Calls `found` with the key of each of `rows` that has one, and the rows it stands for.
    fn each_key(&self, target: Target, rows: &RowRanges, mut found: impl FnMut(u64, u64)) -> Result<()> {
        let view = self.part.view(target)?;
        let ty = self.part.type_of(target);
        each_chunk(rows, |rows| {
            let mut keys = BatchColumn::new(ty);
            view.decode(rows.clone(), &mut keys)?;
            for (row, weight) in self.segment.weights(rows)?.into_iter().enumerate() {
                if keys.is_valid(row) {
                    found(keys.key(row).unwrap_or(0), weight);
                }
            }
            Ok(())
        })
    }
}

/// Calls `each` with `rows`, some thousand at a time.
pub fn each_chunk(rows: &RowRanges, mut each: impl FnMut(Range<u64>) -> Result<()>) -> Result<()> {
    for range in rows.as_slice() {
        let mut start = range.start;
        while start < range.end {
            let end = range.end.min(start + CHUNK);
            each(start..end)?;
            start = end;
        }
    }
    Ok(())
}

/// The values of a bucket: each rank takes the known value that stands nearest to it.
pub fn spread(cell: &Cell, points: usize, out: &mut Vec<(u64, u64)>) {
    let last = cell.count.saturating_sub(1);
    let mut known = (cell.min, 0u64);
    let mut from = 0u64;
    for point in 0..=points {
        let (key, rank) = if point == points {
            (cell.max, last)
        } else {
            (cell.points[point], cell.rank(point, points).clamp(known.1, last))
        };
        let border = (known.1 + (rank - known.1).div_ceil(2)).clamp(from, cell.count);
        if border > from {
            out.push((known.0, border - from));
        }
        (known, from) = ((key, rank), border);
    }
    if cell.count > from {
        out.push((known.0, cell.count - from));
    }
}

/// Sorts keys with their numbers and adds the numbers up: each with how many values are at most it.
pub fn ranked(mut keys: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    keys.sort_unstable();
    let mut total = 0u64;
    for entry in &mut keys {
        total = total.saturating_add(entry.1).min(MOST_VALUES);
        entry.1 = total;
    }
    // Of equal keys the last counts all.
    let mut out: Vec<(u64, u64)> = Vec::with_capacity(keys.len());
    for entry in keys {
        match out.last_mut() {
            Some(last) if last.0 == entry.0 => *last = entry,
            _ => out.push(entry),
        }
    }
    out
}
