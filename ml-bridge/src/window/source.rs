//! Rows of a snapshot in (keys, time) order across all its parts.
//!
//! Each part is sorted by (keys, time); the parts are merged run by run: as many rows of one part as come before the
//! first row of every other. Equal (keys, time) keep the order of the parts, which is the order of arrival. Only
//! times are read here; whoever takes a run reads the channels that it wants from its part.

use std::cmp::Ordering;
use std::ops::Range;

use siltstone_store::batch::{Batch, ColumnData};
use siltstone_store::error::Result;
use siltstone_store::predicate::Predicate;
use siltstone_store::question::part::Part;
use siltstone_store::question::resolve::resolve;
use siltstone_store::question::scan::{Projection, RowSets, fetch};
use siltstone_store::rows::RowRanges;
use siltstone_store::snapshot::Snapshot;
use siltstone_store::value::Value;

/// Most rows of a run.
const RUN_ROWS: u64 = 8_192;

/// A merge of the parts of a snapshot.
#[derive(Debug)]
pub(super) struct RowSource {
    heads: Vec<Head>,
    /// Head that holds the current run.
    current: usize,
    keys: Projection,
    key: Vec<Value>,
    started: bool,
    /// Rows of the current run, in its part, and among the times of its head.
    ranges: Vec<Range<u64>>,
    run: Range<usize>,
}

/// The rows of one part that come next: up to [`RUN_ROWS`] of one key.
#[derive(Debug)]
struct Head {
    number: usize,
    part: Part,
    selected: RowSets,
    /// Selected rows that are not in the piece yet.
    pending: RowRanges,
    /// The first of `pending` that is not, and where it begins.
    pending_at: (usize, u64),
    /// The piece: rows, their times, and the first that was not given out.
    ranges: Vec<Range<u64>>,
    times: Vec<i64>,
    at: usize,
    /// Its key, as the one row of a batch, and the end of the key's rows.
    key: Batch,
    key_end: u64,
}

impl RowSource {
    /// Rows of `snapshot` that meet `predicate`.
    pub(super) fn new(snapshot: &Snapshot, predicate: &Predicate) -> Result<Self> {
        let schema = snapshot.schema();
        let names: Vec<&str> = schema.keys().iter().map(|key| key.name.as_str()).collect();
        let keys = Projection::new(schema, &names)?;
        let node = resolve(schema, predicate)?;
        let mut heads = Vec::with_capacity(snapshot.part_count());
        for (number, part) in snapshot.parts().iter().enumerate() {
            let mut head = Head {
                number,
                part: part.clone(),
                selected: RowSets::new(vec![(number, part.clone())], node.clone()),
                pending: RowRanges::empty(),
                pending_at: (0, 0),
                ranges: Vec::new(),
                times: Vec::new(),
                at: 0,
                key: Batch::new(keys.schema().clone()),
                key_end: 0,
            };
            if head.load(&keys)? {
                heads.push(head);
            }
        }
        Ok(RowSource {
            heads,
            current: 0,
            keys,
            key: Vec::new(),
            started: false,
            ranges: Vec::new(),
            run: 0..0,
        })
    }

    /// Key of the current run.
    pub(super) fn key(&self) -> &[Value] {
        &self.key
    }

    /// Times of the current run.
    pub(super) fn times(&self) -> &[i64] {
        self.heads
            .get(self.current)
            .map_or(&[], |head| &head.times[self.run.clone()])
    }

    /// Part of the current run, its number, and the run's rows in it.
    pub(super) fn rows(&self) -> Option<(usize, &Part, &[Range<u64>])> {
        let head = self.heads.get(self.current)?;
        Some((head.number, &head.part, &self.ranges))
    }

    /// Goes on to the next run, and says whether its key is another than the last one's; `None` after the last run.
    pub(super) fn next_run(&mut self) -> Result<Option<bool>> {
        self.refill()?;
        let least = |a: usize, b: usize| {
            if self.heads[b].precedes(&self.heads[a]) {
                b
            } else {
                a
            }
        };
        let Some(first) = (0..self.heads.len()).reduce(least) else {
            return Ok(None);
        };
        let second = (0..self.heads.len()).filter(|&head| head != first).reduce(least);
        let head = &self.heads[first];
        let rest = &head.times[head.at..];
        let count = match second.map(|second| &self.heads[second]) {
            Some(other) if compare_keys(&head.key, &other.key) == Ordering::Equal => {
                let until = other.times[other.at];
                let own = head.number < other.number;
                rest.partition_point(|&time| time < until || (own && time == until))
            }
            _ => rest.len(),
        };
        self.run = head.at..head.at + count.max(1);
        pick(&head.ranges, &self.run, &mut self.ranges);
        let new_key = !self.started || !self.is_key(&head.key);
        if new_key {
            let specs = head.key.schema().columns();
            self.key = head
                .key
                .columns
                .iter()
                .zip(specs)
                .map(|(c, s)| c.value(s.ty, 0))
                .collect();
        }
        self.started = true;
        self.heads[first].at = self.run.end;
        self.current = first;
        Ok(Some(new_key))
    }

    /// Loads the next piece of the head that gave out the last run, if that used its piece up.
    fn refill(&mut self) -> Result<()> {
        let Some(head) = self.heads.get_mut(self.current) else {
            return Ok(());
        };
        if head.at == head.times.len() && !head.load(&self.keys)? {
            self.heads.remove(self.current);
        }
        Ok(())
    }

    fn is_key(&self, key: &Batch) -> bool {
        let columns = key.columns.iter().zip(key.schema().columns());
        columns
            .zip(&self.key)
            .all(|((column, spec), value)| match value.as_bytes() {
                Some(bytes) => column.bytes(0) == Some(bytes),
                None => column.value(spec.ty, 0) == *value,
            })
    }
}

impl Head {
    /// Loads the next piece; false when there is none.
    fn load(&mut self, keys: &Projection) -> Result<bool> {
        self.ranges.clear();
        self.times.clear();
        self.at = 0;
        let mut room = RUN_ROWS;
        while room > 0 {
            let Some(range) = self.pending.as_slice().get(self.pending_at.0) else {
                if !self.ranges.is_empty() {
                    break;
                }
                let Some(rows) = self.selected.next_rows().transpose()? else {
                    return Ok(false);
                };
                self.pending_at = (0, rows.1.as_slice().first().map_or(0, |range| range.start));
                self.pending = rows.1;
                continue;
            };
            let start = self.pending_at.1.max(range.start);
            if start >= self.key_end {
                if !self.ranges.is_empty() {
                    break;
                }
                let run = self.part.data.run_of(start)?;
                self.key_end = self.part.data.run_rows(run)?.end;
                self.key = fetch(&self.part, &RowRanges::single(start..start + 1), keys)?;
            }
            let end = range.end.min(self.key_end).min(start + room);
            self.pending_at = if end == range.end {
                (self.pending_at.0 + 1, 0)
            } else {
                (self.pending_at.0, end)
            };
            let before = self.times.len();
            self.times
                .resize(before + usize::try_from(end - start).unwrap_or(0), 0);
            self.part.data.times(start..end, &mut self.times[before..])?;
            self.ranges.push(start..end);
            room -= end - start;
        }
        Ok(true)
    }

    /// Whether the next row of this head comes before that of another.
    fn precedes(&self, other: &Head) -> bool {
        let order = compare_keys(&self.key, &other.key)
            .then(self.times[self.at].cmp(&other.times[other.at]))
            .then(self.number.cmp(&other.number));
        order == Ordering::Less
    }
}

/// The rows of `ranges` whose ordinal number lies in `picked`.
fn pick(ranges: &[Range<u64>], picked: &Range<usize>, out: &mut Vec<Range<u64>>) {
    out.clear();
    let (from, to) = (picked.start as u64, picked.end as u64);
    let mut passed = 0;
    for range in ranges {
        let count = range.end - range.start;
        let (low, high) = (from.max(passed), to.min(passed + count));
        if low < high {
            out.push(range.start + (low - passed)..range.start + (high - passed));
        }
        passed += count;
    }
}

/// Order of the first rows of two batches of key columns, nulls first.
fn compare_keys(a: &Batch, b: &Batch) -> Ordering {
    for (x, y) in a.columns.iter().zip(&b.columns) {
        let order = match x.data {
            ColumnData::Keys(_) => x.key(0).cmp(&y.key(0)),
            ColumnData::Binary(_) => x.bytes(0).cmp(&y.bytes(0)),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}
