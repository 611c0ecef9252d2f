//! The plain meaning of a condition on one value.

use std::ops::Bound;

use crate::batch::{BatchColumn, ColumnData};
use crate::column::Condition;
use crate::text::between;

/// Whether a fixed-width cell meets the condition.
pub fn matches_key(condition: &Condition, key: Option<u64>) -> bool {
    match (condition, key) {
        (Condition::IsNull, key) => key.is_none(),
        (Condition::IsNotNull, key) => key.is_some(),
        (Condition::Keys(interval), Some(key)) => interval.contains(key),
        (Condition::KeyIn(keys), Some(key)) => keys.binary_search(&key).is_ok(),
        _ => false,
    }
}

/// Whether a text or bytes cell meets the condition.
pub fn matches_bytes(condition: &Condition, value: Option<&[u8]>) -> bool {
    match (condition, value) {
        (Condition::IsNull, value) => value.is_none(),
        (Condition::IsNotNull, value) => value.is_some(),
        (Condition::Text(pattern), Some(value)) => pattern.matches(value),
        (Condition::Between(low, high), Some(value)) => between(value, as_slice(low), as_slice(high)),
        (Condition::BytesIn(values), Some(value)) => {
            values.binary_search_by(|v| v.as_slice().cmp(value)).is_ok()
        }
        _ => false,
    }
}

/// A bound on owned bytes as a bound on borrowed ones.
pub fn as_slice(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    match bound {
        Bound::Included(b) => Bound::Included(b),
        Bound::Excluded(b) => Bound::Excluded(b),
        Bound::Unbounded => Bound::Unbounded,
    }
}

/// Whether row `row` of a column in memory meets the condition.
pub fn matches_row(condition: &Condition, column: &BatchColumn, row: usize) -> bool {
    match &column.data {
        ColumnData::Keys(_) => matches_key(condition, column.key(row)),
        ColumnData::Binary(_) => matches_bytes(condition, column.bytes(row)),
    }
}
