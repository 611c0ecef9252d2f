//! The order of rows: by key columns (null first, then by value), then time; rows that are equal in both keep the
//! order in which they were appended.

use std::cmp::Ordering;
use std::collections::HashMap;

use crate::batch::{Batch, BatchColumn, ColumnData};

/// Compares row `i` of `a` with row `j` of `b` by keys, then time. Both are of one stream.
pub fn compare_rows(a: &Batch, i: usize, b: &Batch, j: usize) -> Ordering {
    compare_keys(a, i, b, j).then_with(|| a.times[i].cmp(&b.times[j]))
}

/// Compares the keys of row `i` of `a` with those of row `j` of `b`.
pub fn compare_keys(a: &Batch, i: usize, b: &Batch, j: usize) -> Ordering {
    let keys = a.schema().keys().len();
    let columns = a.columns[..keys].iter().zip(&b.columns[..keys]);
    columns
        .map(|(x, y)| compare_values(x, i, y, j))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

fn compare_values(a: &BatchColumn, i: usize, b: &BatchColumn, j: usize) -> Ordering {
    match (&a.data, &b.data) {
        // `None` is smaller than any value.
        (ColumnData::Keys(_), _) => a.key(i).cmp(&b.key(j)),
        (ColumnData::Binary(_), _) => a.bytes(i).cmp(&b.bytes(j)),
    }
}

/// Sorts rows. O(n) where they are sorted already, else O(n log n) comparisons of 16-byte entries.
///
/// Holds one column twice, not all of them.
pub fn sort(mut batch: Batch) -> Batch {
    if let Some(order) = permutation(&batch) {
        batch.times = gather_times(&batch.times, &order);
        for column in &mut batch.columns {
            *column = gather(column, &order);
        }
    }
    batch
}

/// The rows in sorted order; `None` if they are sorted already. Looks at times and key columns only.
pub fn permutation(batch: &Batch) -> Option<Vec<u32>> {
    let rows = batch.len();
    if (1..rows).all(|row| compare_rows(batch, row - 1, batch, row).is_le()) {
        return None;
    }
    let ranks = key_ranks(batch);
    let mut entries: Vec<(u32, i64, u32)> = Vec::with_capacity(rows);
    for (row, &time) in batch.times.iter().enumerate() {
        // Rows are numbered in 32 bits: a tail is bounded by memory far below that.
        let number = u32::try_from(row).unwrap_or(u32::MAX);
        entries.push((ranks.get(row).copied().unwrap_or(0), time, number));
    }
    drop(ranks);
    debug_assert!(rows <= u32::MAX as usize, "a tail is sealed long before");
    entries.sort_unstable();
    Some(entries.iter().map(|entry| entry.2).collect())
}

/// The times of `rows`.
pub fn gather_times(times: &[i64], rows: &[u32]) -> Vec<i64> {
    rows.iter().map(|&row| times[row as usize]).collect()
}

/// For each row, the rank of its keys among the different keys; empty when there are no key columns.
fn key_ranks(batch: &Batch) -> Vec<u32> {
    if batch.schema().keys().is_empty() {
        return Vec::new();
    }
    let mut groups: HashMap<Vec<u8>, u32> = HashMap::new();
    let mut first_rows: Vec<usize> = Vec::new();
    let mut group_of: Vec<u32> = Vec::with_capacity(batch.len());
    let mut name = Vec::new();
    for row in 0..batch.len() {
        // Devices often send several rows in a row.
        if let (Some(&last), true) = (group_of.last(), row > 0) {
            if compare_keys(batch, row - 1, batch, row).is_eq() {
                group_of.push(last);
                continue;
            }
        }
        name.clear();
        name_keys(batch, row, &mut name);
        let group = match groups.get(&name) {
            Some(&group) => group,
            None => {
                let group = u32::try_from(first_rows.len()).unwrap_or(u32::MAX);
                groups.insert(name.clone(), group);
                first_rows.push(row);
                group
            }
        };
        group_of.push(group);
    }
    let mut order: Vec<usize> = (0..first_rows.len()).collect();
    order.sort_unstable_by(|&a, &b| compare_keys(batch, first_rows[a], batch, first_rows[b]));
    let mut ranks = vec![0u32; order.len()];
    for (rank, group) in order.into_iter().enumerate() {
        ranks[group] = u32::try_from(rank).unwrap_or(u32::MAX);
    }
    group_of.iter().map(|&group| ranks[group as usize]).collect()
}

/// Bytes that differ for different keys.
fn name_keys(batch: &Batch, row: usize, out: &mut Vec<u8>) {
    for column in &batch.columns[..batch.schema().keys().len()] {
        match (column.key(row), column.bytes(row)) {
            (Some(key), _) => {
                out.push(1);
                out.extend_from_slice(&key.to_le_bytes());
            }
            (None, Some(bytes)) => {
                out.push(1);
                out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
                out.extend_from_slice(bytes);
            }
            (None, None) => out.push(0),
        }
    }
}

/// The values of `rows` of a column.
pub fn gather(source: &BatchColumn, rows: &[u32]) -> BatchColumn {
    let rows = rows.iter().map(|&row| row as usize);
    match (&source.data, &source.validity) {
        (ColumnData::Keys(keys), None) => BatchColumn {
            data: ColumnData::Keys(rows.map(|row| keys[row]).collect()),
            validity: None,
        },
        (ColumnData::Keys(keys), Some(validity)) => {
            let (mut data, mut valid) = (Vec::with_capacity(rows.len()), crate::rows::Mask::new());
            for row in rows {
                data.push(keys[row]);
                valid.push(validity[row]);
            }
            let validity = (!valid.all()).then_some(valid);
            BatchColumn {
                data: ColumnData::Keys(data),
                validity,
            }
        }
        (ColumnData::Binary(_), _) => {
            let mut out = BatchColumn {
                data: ColumnData::Binary(Default::default()),
                validity: None,
            };
            rows.for_each(|row| out.push_from(source, row));
            out
        }
    }
}

/// Merges two sorted batches; where rows are equal, those of `a` come first.
pub fn merge(a: &Batch, b: &Batch) -> Batch {
    let mut out = Batch::new(a.schema().clone());
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        // Runs are copied whole: what is appended in order of time mostly lies behind what was there.
        let run = run_length(a, i, a.len(), |row| {
            j < b.len() && compare_rows(a, row, b, j).is_gt()
        });
        append(&mut out, a, i..i + run);
        i += run;
        let run = run_length(b, j, b.len(), |row| {
            i < a.len() && compare_rows(b, row, a, i).is_ge()
        });
        append(&mut out, b, j..j + run);
        j += run;
    }
    out
}

/// Rows from `start` up to the first for which `stop` holds; `stop` stays true once it is.
fn run_length(batch: &Batch, start: usize, end: usize, stop: impl Fn(usize) -> bool) -> usize {
    debug_assert!(end <= batch.len());
    let mut step = 1;
    // Gallop, then search: O(log run) comparisons.
    while start + step <= end && !stop(start + step - 1) {
        step *= 2;
    }
    let (mut low, mut high) = (start + step / 2, (start + step).min(end));
    while low < high {
        let middle = low + (high - low) / 2;
        if stop(middle) {
            high = middle
        } else {
            low = middle + 1
        }
    }
    low - start
}

/// Adds rows `rows` of `source` to `out`, which is of the same shape.
pub fn append(out: &mut Batch, source: &Batch, rows: std::ops::Range<usize>) {
    out.times.extend_from_slice(&source.times[rows.clone()]);
    for (column, source) in out.columns.iter_mut().zip(&source.columns) {
        append_column(column, source, rows.clone());
    }
}

/// Adds rows `rows` of `source` to a column of the same form.
pub fn append_column(out: &mut BatchColumn, source: &BatchColumn, rows: std::ops::Range<usize>) {
    let before = out.len();
    match (&mut out.data, &source.data) {
        (ColumnData::Keys(to), ColumnData::Keys(from)) => to.extend_from_slice(&from[rows.clone()]),
        (ColumnData::Binary(to), ColumnData::Binary(_)) => {
            // Whatever a null row held is none of its value.
            rows.clone()
                .for_each(|row| to.push(source.bytes(row).unwrap_or_default()));
        }
        _ => debug_assert!(false, "columns of different forms"),
    }
    if out.validity.is_some() || source.validity.is_some() {
        let valid = out
            .validity
            .get_or_insert_with(|| crate::rows::Mask::repeat(true, before));
        match &source.validity {
            Some(from) => valid.extend_from_bitslice(&from[rows]),
            None => valid.resize(before + rows.len(), true),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use super::*;
    use crate::schema::{ColumnType, Schema, TimeUnit};
    use crate::value::Value;
    use proptest::prelude::*;

    type Row = (Option<u8>, Option<String>, i64, u64);

    fn batch(rows: &[Row]) -> Batch {
        let schema = Schema::new("time", TimeUnit::Second)
            .with_key("device", ColumnType::U8)
            .and_then(|s| s.with_key("axis", ColumnType::Text))
            .and_then(|s| s.with_channel("number", ColumnType::U64, ""))
            .unwrap();
        let mut out = Batch::new(Arc::new(schema));
        for (device, axis, time, number) in rows {
            let device = device.map_or(Value::Null, |d| Value::U64(u64::from(d)));
            let axis = axis.clone().map_or(Value::Null, Value::Text);
            out.push_row(*time, &[device, axis, Value::U64(*number)]).unwrap();
        }
        out
    }

    fn rows_of(batch: &Batch) -> Vec<Row> {
        let text = |row| {
            batch.columns[1]
                .bytes(row)
                .map(|b| String::from_utf8(b.to_vec()).unwrap())
        };
        let device = |row| batch.columns[0].key(row).map(|key| u8::try_from(key).unwrap());
        let number = |row| batch.columns[2].key(row).unwrap();
        (0..batch.len())
            .map(|row| (device(row), text(row), batch.times[row], number(row)))
            .collect()
    }

    fn some_rows() -> impl Strategy<Value = Vec<Row>> {
        let device = proptest::option::weighted(0.9, 0u8..3);
        let axis = proptest::option::weighted(0.9, "[xy]{0,2}");
        proptest::collection::vec((device, axis, 0i64..6), 0..60).prop_map(|rows| {
            rows.into_iter()
                .zip(0..)
                .map(|((device, axis, time), number)| (device, axis, time, number))
                .collect()
        })
    }

    proptest! {
        #[test]
        fn sort_and_merge_equal_a_stable_sort(rows in some_rows(), cut in 0usize..60) {
            let mut expected = rows.clone();
            expected.sort_by(|a, b| (&a.0, &a.1, a.2).cmp(&(&b.0, &b.1, b.2)));
            prop_assert_eq!(rows_of(&sort(batch(&rows))), expected.clone());
            let (front, back) = rows.split_at(cut.min(rows.len()));
            let merged = merge(&sort(batch(front)), &sort(batch(back)));
            prop_assert_eq!(rows_of(&merged), expected);
        }
    }
}
