//! The tail's values in order, column by column, sorted when the first question asks for it.
//!
//! Costs: 12 bytes a value of a column that was asked for an order statistic, kept until rows are appended.

use std::borrow::Cow;
use std::sync::OnceLock;

use crate::batch::{BatchColumn, ColumnData};
use crate::codes::Interval;
use crate::rows::{RowRanges, index};

/// Where fewer than one in so many of a column's values are asked for, they are sorted anew.
const FEW: usize = 16;

/// The orders of a batch's columns.
#[derive(Debug, Default)]
pub struct Orders(Vec<OnceLock<Order>>);

/// Values of a column in order, and their rows.
#[derive(Debug)]
struct Order {
    keys: Vec<u64>,
    rows: Vec<u32>,
}

impl Orders {
    /// Room for so many columns; nothing is sorted yet.
    pub fn new(columns: usize) -> Orders {
        Orders((0..columns).map(|_| OnceLock::new()).collect())
    }

    /// Keys in `interval` of `rows` of `column`, which is the one at `position` and of a fixed-width type, in order.
    ///
    /// # Complexity
    /// O(n log n) for n rows the first time. Then O(log n) for all rows, O(n) for some of them.
    pub fn keys<'a>(
        &'a self,
        position: usize,
        column: &BatchColumn,
        rows: &RowRanges,
        interval: Interval,
    ) -> Cow<'a, [u64]> {
        let selected = rows.row_count();
        let count = column.len();
        let few = usize::try_from(selected).is_ok_and(|selected| selected < count / FEW);
        let order = match self.0.get(position) {
            Some(order) if !few && u32::try_from(count).is_ok() => order.get_or_init(|| Order::new(column)),
            _ => return Cow::Owned(sorted(column, rows, interval)),
        };
        let start = order.keys.partition_point(|&key| key < interval.low);
        let end = order.keys.partition_point(|&key| key <= interval.high).max(start);
        let keys = order.keys.get(start..end).unwrap_or_default();
        if selected == count as u64 {
            return Cow::Borrowed(keys);
        }
        let own = order.rows.get(start..end).unwrap_or_default();
        let pairs = keys.iter().zip(own);
        Cow::Owned(match rows.as_slice() {
            [range] => pairs
                .filter(|(_, row)| range.contains(&u64::from(**row)))
                .map(|(&key, _)| key)
                .collect(),
            ranges => pairs
                .filter(|(_, row)| {
                    let row = u64::from(**row);
                    let at = ranges.partition_point(|range| range.end <= row);
                    ranges.get(at).is_some_and(|range| range.start <= row)
                })
                .map(|(&key, _)| key)
                .collect(),
        })
    }
}

impl Order {
    fn new(column: &BatchColumn) -> Order {
        let ColumnData::Keys(keys) = &column.data else {
            debug_assert!(false, "values of a fixed width");
            return Order {
                keys: Vec::new(),
                rows: Vec::new(),
            };
        };
        let mut pairs: Vec<(u64, u32)> = keys.iter().copied().zip(0..).collect();
        if column.validity.is_some() {
            pairs.retain(|&(_, row)| column.is_valid(row as usize));
        }
        pairs.sort_unstable();
        Order {
            keys: pairs.iter().map(|pair| pair.0).collect(),
            rows: pairs.iter().map(|pair| pair.1).collect(),
        }
    }
}

/// The same without an order that is kept.
fn sorted(column: &BatchColumn, rows: &RowRanges, interval: Interval) -> Vec<u64> {
    let rows = rows
        .as_slice()
        .iter()
        .flat_map(|range| index(range.start)..index(range.end));
    let mut keys: Vec<u64> = rows
        .filter_map(|row| column.key(row))
        .filter(|&key| interval.contains(key))
        .collect();
    keys.sort_unstable();
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::ColumnType;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_are_those_of_a_sort(
            values in proptest::collection::vec(proptest::option::weighted(0.9, 0u64..50), 1..200),
            cuts in proptest::collection::vec(0u64..200, 0..9), low in 0u64..50, high in 0u64..60,
        ) {
            let mut column = BatchColumn::new(ColumnType::U64);
            values.iter().for_each(|value| match value {
                Some(key) => column.push_key(*key),
                None => column.push_null(),
            });
            let len = values.len() as u64;
            let mut cuts: Vec<u64> = cuts.into_iter().map(|cut| cut.min(len)).collect();
            cuts.sort_unstable();
            let orders = Orders::new(1);
            let some = cuts.chunks_exact(2).map(|cut| cut[0]..cut[1]).collect();
            let interval = Interval { low, high };
            for rows in [some, RowRanges::single(0..len)] {
                for interval in [interval, Interval::ALL] {
                    let want = sorted(&column, &rows, interval);
                    for position in [0, 1] {
                        let found = orders.keys(position, &column, &rows, interval);
                        prop_assert_eq!(found.as_ref(), want.as_slice());
                    }
                }
            }
        }
    }
}
