//! Questions on a column in memory: the tail's answers, and the plain meaning that stored columns are tested against.

use std::ops::Range;

use super::condition::matches_row;
use crate::batch::{BatchColumn, ColumnData};
use crate::column::{Condition, Moments, Sum};
use crate::error::{Error, Result};
use crate::rows::{Mask, RowRanges, index};
use crate::schema::ColumnType;
use crate::value::{i64_of, number_of};

fn valid_keys<'a>(column: &'a BatchColumn, rows: &'a RowRanges) -> impl Iterator<Item = u64> + 'a {
    rows.as_slice()
        .iter()
        .flat_map(move |range| indexes(range).filter_map(move |row| column.key(row)))
}

fn indexes(range: &Range<u64>) -> Range<usize> {
    index(range.start)..index(range.end)
}

/// How many of `rows` meet the condition. O(rows).
pub fn count(column: &BatchColumn, rows: &RowRanges, condition: &Condition) -> u64 {
    let ranges = rows.as_slice().iter();
    ranges
        .map(|range| {
            indexes(range)
                .filter(|&row| matches_row(condition, column, row))
                .count() as u64
        })
        .sum()
}

/// Sets the bits of `mask` whose rows meet the condition. O(rows).
pub fn select(column: &BatchColumn, rows: Range<u64>, condition: &Condition, mask: &mut Mask) {
    for row in indexes(&rows) {
        if matches_row(condition, column, row) {
            mask.set(row - index(rows.start), true);
        }
    }
}

/// Appends `rows` to `out`. O(rows).
pub fn decode(column: &BatchColumn, rows: Range<u64>, out: &mut BatchColumn) {
    match (&column.data, &column.validity, &mut out.data, &out.validity) {
        (ColumnData::Keys(from), None, ColumnData::Keys(to), None) => {
            to.extend_from_slice(&from[indexes(&rows)])
        }
        _ => indexes(&rows).for_each(|row| out.push_from(column, row)),
    }
}

/// The `k`-th smallest key of `rows`. O(rows).
///
/// # Errors
/// `OutOfRange` if there are `k` values or fewer.
pub fn quantile(column: &BatchColumn, rows: &RowRanges, k: u64) -> Result<u64> {
    let mut keys: Vec<u64> = valid_keys(column, rows).collect();
    let place = usize::try_from(k).ok().filter(|&place| place < keys.len());
    let place = place.ok_or(Error::OutOfRange {
        what: "value",
        position: k,
        end: keys.len() as u64,
    })?;
    Ok(*keys.select_nth_unstable(place).1)
}

/// Smallest and largest key of `rows`. O(rows).
pub fn min_max(column: &BatchColumn, rows: &RowRanges) -> Option<(u64, u64)> {
    valid_keys(column, rows).fold(None, |found, key| match found {
        None => Some((key, key)),
        Some((low, high)) => Some((low.min(key), high.max(key))),
    })
}

/// Sum of `rows`. O(rows).
pub fn sum(column: &BatchColumn, ty: ColumnType, rows: &RowRanges) -> Sum {
    sum_keys(ty, valid_keys(column, rows))
}

/// Number, mean and spread of `rows`. O(rows).
pub fn moments(column: &BatchColumn, ty: ColumnType, rows: &RowRanges) -> Moments {
    moments_of_keys(ty, valid_keys(column, rows))
}

/// Number, mean and spread of the values that keys of type `ty` stand for.
pub fn moments_of_keys(ty: ColumnType, keys: impl Iterator<Item = u64>) -> Moments {
    const AT_ONCE: usize = 1024;
    let (mut all, mut values) = (Moments::default(), Vec::with_capacity(AT_ONCE));
    for key in keys {
        values.push(number_of(ty, key));
        if values.len() == AT_ONCE {
            all = all.merge(Moments::of(&values));
            values.clear();
        }
    }
    all.merge(Moments::of(&values))
}

/// Sum of the values that keys of type `ty` stand for.
pub fn sum_keys(ty: ColumnType, keys: impl Iterator<Item = u64>) -> Sum {
    if ty.is_float() {
        // Blocks of 1,024 added first keep the rounding error small on long ranges.
        let (mut total, mut block, mut in_block) = (0.0, 0.0, 0u32);
        for key in keys {
            block += number_of(ty, key);
            in_block += 1;
            if in_block == 1024 {
                total += block;
                (block, in_block) = (0.0, 0);
            }
        }
        return Sum::Float(total + block);
    }
    Sum::Integer(keys.map(|key| integer_of(ty, key)).sum())
}

/// The integer that a key of an integer, boolean or time type stands for.
pub fn integer_of(ty: ColumnType, key: u64) -> i128 {
    let unsigned = matches!(
        ty,
        ColumnType::Bool | ColumnType::U8 | ColumnType::U16 | ColumnType::U32 | ColumnType::U64
    );
    if unsigned {
        i128::from(key)
    } else {
        i128::from(i64_of(key))
    }
}
