//! Rows of a snapshot in (keys, time) order across all its parts.
//!
//! Each part is sorted by (keys, time); the parts are merged run by run: as many rows of one part as come before the
//! first row of every other. Equal (keys, time) keep the order of the parts, which is the order of arrival.

use std::cmp::Ordering;
use std::ops::Range;

use siltstone_store::batch::{Batch, ColumnData};
use siltstone_store::error::Result;
use siltstone_store::predicate::Predicate;
use siltstone_store::snapshot::{Scan, Snapshot};
use siltstone_store::value::Value;

/// Consecutive rows of one key, in the source's current batch.
#[derive(Debug)]
pub(super) struct Run {
    /// Rows of [`RowSource::batch`].
    pub(super) rows: Range<usize>,
    /// Whether the key is another than that of the run before.
    pub(super) new_key: bool,
}

/// A merge of the parts of a snapshot.
#[derive(Debug)]
pub(super) struct RowSource {
    heads: Vec<Head>,
    /// Head that holds the current run.
    current: usize,
    key_count: usize,
    key: Vec<Value>,
    started: bool,
}

#[derive(Debug)]
struct Head {
    scan: Scan,
    batch: Batch,
    /// First row that has not been given out.
    at: usize,
}

impl RowSource {
    /// Rows of `snapshot` that meet `predicate`: key columns, then `channels`.
    pub(super) fn new(snapshot: &Snapshot, channels: &[String], predicate: &Predicate) -> Result<Self> {
        let keys = snapshot.schema().keys();
        let mut columns: Vec<&str> = keys.iter().map(|key| key.name.as_str()).collect();
        columns.extend(channels.iter().map(String::as_str));
        let mut heads = Vec::with_capacity(snapshot.part_count());
        for part in 0..snapshot.part_count() {
            let mut scan = snapshot.scan_part(part, &columns, predicate)?;
            if let Some(batch) = next_rows(&mut scan)? {
                heads.push(Head { scan, batch, at: 0 });
            }
        }
        Ok(RowSource {
            heads,
            current: 0,
            key_count: keys.len(),
            key: Vec::new(),
            started: false,
        })
    }

    /// Number of key columns, which come before the channels in a batch.
    pub(super) fn key_count(&self) -> usize {
        self.key_count
    }

    /// Key of the current run.
    pub(super) fn key(&self) -> &[Value] {
        &self.key
    }

    /// The batch that holds the current run.
    pub(super) fn batch(&self) -> &Batch {
        &self.heads[self.current].batch
    }

    /// The next run, or `None` after the last.
    pub(super) fn next_run(&mut self) -> Result<Option<Run>> {
        self.refill()?;
        let Some(least) = (0..self.heads.len()).reduce(|a, b| if self.precedes(b, a) { b } else { a }) else {
            return Ok(None);
        };
        let second = (0..self.heads.len())
            .filter(|&head| head != least)
            .reduce(|a, b| if self.precedes(b, a) { b } else { a });
        let head = &self.heads[least];
        let (first, end) = (head.at, head.batch.len());
        let same_key = self.run_end(head, first, end, |row| {
            compare_keys(&head.batch, row, &head.batch, first, self.key_count) == Ordering::Equal
        });
        let rows = match second.map(|s| (s, &self.heads[s])) {
            None => first..same_key,
            Some((index, other)) => {
                let before = |row: usize| {
                    let order = compare_keys(&head.batch, row, &other.batch, other.at, self.key_count)
                        .then(head.batch.times[row].cmp(&other.batch.times[other.at]));
                    order == Ordering::Less || (order == Ordering::Equal && least < index)
                };
                first..self.run_end(head, first, same_key, before)
            }
        };
        let rows = rows.start..rows.end.max(first + 1);
        let new_key = !self.started || !self.is_key(head, first);
        if new_key {
            let columns = &head.batch.columns[..self.key_count];
            let specs = head.batch.schema().columns();
            self.key = columns
                .iter()
                .zip(specs)
                .map(|(c, s)| c.value(s.ty, first))
                .collect();
        }
        self.started = true;
        self.heads[least].at = rows.end;
        self.current = least;
        Ok(Some(Run { rows, new_key }))
    }

    /// Loads the next batch of the head whose last run was its batch's end.
    fn refill(&mut self) -> Result<()> {
        let Some(head) = self.heads.get_mut(self.current) else {
            return Ok(());
        };
        if head.at < head.batch.len() {
            return Ok(());
        }
        match next_rows(&mut head.scan)? {
            Some(batch) => {
                head.batch = batch;
                head.at = 0;
            }
            None => {
                self.heads.remove(self.current);
            }
        }
        Ok(())
    }

    /// Whether the next row of head `a` comes before that of head `b`.
    fn precedes(&self, a: usize, b: usize) -> bool {
        let (x, y) = (&self.heads[a], &self.heads[b]);
        let order = compare_keys(&x.batch, x.at, &y.batch, y.at, self.key_count)
            .then(x.batch.times[x.at].cmp(&y.batch.times[y.at]));
        order.then(a.cmp(&b)) == Ordering::Less
    }

    /// First row from `first` on for which `holds` is false; the rows for which it is true come first.
    fn run_end(&self, head: &Head, first: usize, end: usize, holds: impl Fn(usize) -> bool) -> usize {
        debug_assert!(first < end && end <= head.batch.len());
        if holds(end - 1) {
            return end;
        }
        let (mut low, mut high) = (first, end - 1);
        while low < high {
            let middle = low + (high - low) / 2;
            if holds(middle) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    fn is_key(&self, head: &Head, row: usize) -> bool {
        let specs = head.batch.schema().columns();
        let columns = head.batch.columns.iter().zip(specs);
        columns
            .zip(&self.key)
            .all(|((column, spec), key)| match key.as_bytes() {
                Some(bytes) => column.bytes(row) == Some(bytes),
                None => column.value(spec.ty, row) == *key,
            })
    }
}

/// The next batch that has rows.
fn next_rows(scan: &mut Scan) -> Result<Option<Batch>> {
    for batch in scan {
        let batch = batch?;
        if !batch.is_empty() {
            return Ok(Some(batch));
        }
    }
    Ok(None)
}

/// Order of two rows by their key columns, nulls first.
fn compare_keys(a: &Batch, row_a: usize, b: &Batch, row_b: usize, key_count: usize) -> Ordering {
    for (x, y) in a.columns[..key_count].iter().zip(&b.columns[..key_count]) {
        let order = match x.data {
            ColumnData::Keys(_) => x.key(row_a).cmp(&y.key(row_b)),
            ColumnData::Binary(_) => x.bytes(row_a).cmp(&y.bytes(row_b)),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}
