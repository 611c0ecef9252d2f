//! Order statistics over all parts of a snapshot.
//!
//! What a part offers decides how its values are found by their place:
//!
//! | rows | held | found by |
//! |---|---|---|
//! | few ranges of a column | the ranges, 128 bytes each | the column's own descent |
//! | many single rows | their keys in order, 16 bytes each | place |
//! | buckets | their points with weights, 32 bytes each | place |
//! | more of either than there is room for | nothing | [`passes`] over the rows |
//!
//! The bytes are what is charged against the memory limit; about half of them is used.

use std::borrow::Cow;

use super::part::{Part, Selection};
use super::passes::{self, Stream};
use super::resolve::{Leaf, Node, Target};
use super::scan::gather;
use super::view::View;
use super::weighted::{ranked, weighted};
use super::{descent, order};
use crate::batch::BatchColumn;
use crate::codes::Interval;
use crate::column::Condition;
use crate::error::Result;
use crate::rows::RowRanges;

/// A range takes 16 bytes, and the places in a tree that it becomes twice as much and more.
const RANGE_BYTES: usize = 128;
const KEY_BYTES: usize = 16;
const POINT_BYTES: usize = 32;
/// Buckets whose points are held at once while they are gone through.
const BUCKETS_AT_ONCE: u64 = 1024;

/// Bytes that the values of all parts may take together.
struct Room(usize);

impl Room {
    /// Takes the bytes of `entries`, if they are there.
    fn take(&mut self, entries: usize, bytes: usize) -> bool {
        let left = entries
            .checked_mul(bytes)
            .and_then(|bytes| self.0.checked_sub(bytes));
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

/// How the values of a slice are found by their place.
enum Found<'a> {
    /// By the column, in these very rows; so many values lie below the interval.
    Column { below: u64 },
    /// Not at all, but counting is cheap: whole ranges of times.
    Times,
    /// Keys in order.
    Keys(Cow<'a, [u64]>),
    /// Keys in order, each with how many values are at most it.
    Ranked(Vec<(u64, u64)>),
    /// There is no room for them: the rows are gone through again.
    Passes,
}

/// Values of one column in one part that an order statistic ranges over.
struct Slice<'a> {
    part: &'a Part,
    view: View<'a>,
    target: Target,
    selection: Selection,
    /// Keys that take part; narrower than all when the only residual was an interval on the column itself.
    interval: Interval,
    /// How many values take part.
    values: u64,
    found: Found<'a>,
}

impl<'a> Slice<'a> {
    fn new(part: &'a Part, target: Target, node: &Node, room: &mut Room) -> Result<Option<Slice<'a>>> {
        let mut slice = Slice {
            part,
            view: part.view(target)?,
            target,
            selection: part.select(node)?,
            interval: Interval::ALL,
            values: 0,
            found: Found::Passes,
        };
        if slice.selection.ranges.is_empty() {
            return Ok(None);
        }
        if weighted(part).is_some() {
            slice.rank(room)?;
            return Ok(Some(slice));
        }
        let interval = &mut slice.interval;
        slice.selection.residual.retain(|node| match node {
            Node::Leaf(Leaf {
                target: same,
                condition: Condition::Keys(keys),
                negated: false,
            }) if *same == target => {
                *interval = interval.intersect(*keys);
                false
            }
            _ => true,
        });
        slice.collect(room)?;
        Ok(Some(slice))
    }

    /// Points of the buckets in order, if there is room for them.
    fn rank(&mut self, room: &mut Room) -> Result<()> {
        let (mut points, mut total) = (Some(Vec::new()), 0u64);
        let most = room.0 / POINT_BYTES;
        self.each(Interval::ALL, &mut |key, weight| {
            total = total.saturating_add(weight);
            match &mut points {
                Some(list) if list.len() < most => list.push((key, weight)),
                _ => points = None,
            }
        })?;
        self.values = total;
        if let Some(points) = points {
            room.take(points.len(), POINT_BYTES);
            let points = ranked(points);
            self.values = points.last().map_or(0, |last| last.1);
            self.found = Found::Ranked(points);
        }
        Ok(())
    }

    /// Decides how the values are found, and counts them.
    fn collect(&mut self, room: &mut Room) -> Result<()> {
        if !self.selection.residual.is_empty() && !self.narrow(room)? {
            let mut keys = Some(Vec::new());
            let (mut total, most) = (0u64, room.0 / KEY_BYTES);
            self.each(Interval::ALL, &mut |key, _| {
                total += 1;
                match &mut keys {
                    Some(list) if list.len() < most => list.push(key),
                    _ => keys = None,
                }
            })?;
            self.values = total;
            if let Some(mut keys) = keys {
                room.take(keys.len(), KEY_BYTES);
                keys.sort_unstable();
                keys.shrink_to_fit();
                self.found = Found::Keys(Cow::Owned(keys));
            }
            return Ok(());
        }
        if let (View::Memory(column, _), Target::Column(position)) = (&self.view, self.target) {
            let keys = self
                .part
                .orders
                .keys(position, column, &self.selection.ranges, self.interval);
            self.values = keys.len() as u64;
            self.found = Found::Keys(keys);
            return Ok(());
        }
        self.values = self.count(Interval::ALL)?;
        self.found = Found::Times;
        if self.target != Target::Time {
            let mut below = 0;
            if self.interval.low > 0 {
                let condition = Condition::Keys(Interval {
                    low: 0,
                    high: self.interval.low - 1,
                });
                below = self.view.count(&self.selection.ranges, &condition)?;
            }
            self.found = Found::Column { below };
        }
        Ok(())
    }

    /// Makes ranges of the rows that meet the residual; not if they take more room than there is, or than their keys
    /// would.
    fn narrow(&mut self, room: &mut Room) -> Result<bool> {
        let most = room.0 / RANGE_BYTES;
        let (mut ranges, mut fit) = (RowRanges::empty(), true);
        self.part.each_chunk(&self.selection, |rows| {
            rows.as_slice()
                .iter()
                .for_each(|range| ranges.push(range.clone()));
            let count = ranges.as_slice().len();
            // Judged by the first rows, so that scattered ones are not collected twice.
            let scattered = count > 1024 && ranges.row_count() < (count * RANGE_BYTES / KEY_BYTES) as u64;
            fit = count <= most && !scattered;
            Ok(fit)
        })?;
        if fit {
            room.take(ranges.as_slice().len(), RANGE_BYTES);
            self.selection = Selection {
                ranges,
                residual: Vec::new(),
            };
        }
        Ok(fit)
    }

    /// How many values have a key in `keys`.
    fn count(&self, keys: Interval) -> Result<u64> {
        let keys = keys.intersect(self.interval);
        if keys.is_empty() || self.selection.ranges.is_empty() {
            return Ok(0);
        }
        let condition = if keys == Interval::ALL {
            Condition::IsNotNull
        } else {
            Condition::Keys(keys)
        };
        if self.selection.residual.is_empty() {
            return self.view.count(&self.selection.ranges, &condition);
        }
        let mut selection = self.selection.clone();
        selection.residual.push(Node::Leaf(Leaf {
            target: self.target,
            condition,
            negated: false,
        }));
        self.part.count(&selection)
    }
}

impl order::Source for Slice<'_> {
    fn len(&self) -> u64 {
        self.values
    }

    fn up_to(&self, key: u64) -> Result<u64> {
        let keys = Interval { low: 0, high: key };
        match &self.found {
            Found::Keys(keys) => Ok(keys.partition_point(|&found| found <= key) as u64),
            Found::Ranked(points) => {
                let place = points.partition_point(|found| found.0 <= key);
                Ok(place.checked_sub(1).map_or(0, |place| points[place].1))
            }
            Found::Passes if weighted(self.part).is_some() => {
                let mut total = 0u64;
                self.each(keys, &mut |_, weight| total = total.saturating_add(weight))?;
                Ok(total)
            }
            _ => self.count(keys),
        }
    }

    fn nth(&self, k: u64) -> Result<Option<u64>> {
        match &self.found {
            Found::Keys(keys) => Ok(usize::try_from(k).ok().and_then(|k| keys.get(k)).copied()),
            Found::Ranked(points) => {
                let place = points.partition_point(|found| found.1 <= k);
                Ok(points.get(place).map(|found| found.0))
            }
            Found::Column { below } => self.view.quantile(&self.selection.ranges, below + k).map(Some),
            Found::Times | Found::Passes => Ok(None),
        }
    }
}

impl Stream for Slice<'_> {
    fn ends(&self) -> Result<Option<(u64, u64)>> {
        let found = match (&self.found, weighted(self.part)) {
            (Found::Keys(keys), _) => keys.first().copied().zip(keys.last().copied()),
            (Found::Ranked(points), _) => points.first().zip(points.last()).map(|(a, b)| (a.0, b.0)),
            // Ends of the rows that some condition leaves: all rows of the ranges are known sooner.
            (_, None) => self.view.min_max(&self.selection.ranges)?,
            (_, Some(weighted)) => {
                return weighted.min_max(self.target, &self.view, &self.selection.ranges);
            }
        };
        let within = |(low, high)| (self.interval.low.max(low), self.interval.high.min(high));
        Ok(found.map(within))
    }

    fn each(&self, keys: Interval, found: &mut dyn FnMut(u64, u64)) -> Result<()> {
        let keys = keys.intersect(self.interval);
        match &self.found {
            Found::Keys(list) => {
                let inside = list.iter().filter(|&&key| keys.contains(key));
                inside.for_each(|&key| found(key, 1));
                return Ok(());
            }
            Found::Ranked(points) => {
                let mut before = 0;
                for &(key, up_to) in points {
                    if keys.contains(key) {
                        found(key, up_to.saturating_sub(before));
                    }
                    before = up_to;
                }
                return Ok(());
            }
            _ => {}
        }
        if let Some(weighted) = weighted(self.part) {
            let mut points = Vec::new();
            return self.part.each_chunk(&self.selection, |mut rows| {
                while !rows.is_empty() {
                    let (now, later) = rows.split(BUCKETS_AT_ONCE);
                    weighted.collect(self.target, &now, &mut points)?;
                    let inside = points.drain(..).filter(|point| keys.contains(point.0));
                    inside.for_each(|(key, weight)| found(key, weight));
                    rows = later;
                }
                Ok(true)
            });
        }
        let ty = self.part.type_of(self.target);
        self.part.each_chunk(&self.selection, |rows| {
            let mut column = BatchColumn::new(ty);
            gather(&self.view, &rows, &mut column)?;
            let inside = (0..column.len()).filter_map(|row| column.key(row));
            inside
                .filter(|key| keys.contains(*key))
                .for_each(|key| found(key, 1));
            Ok(true)
        })
    }
}

/// Values of a fixed-width column over some parts, ready to be asked for order statistics.
pub struct Ordered<'a> {
    slices: Vec<Slice<'a>>,
    /// How many values there are.
    pub total: u64,
    /// What is left of the memory limit, in keys.
    keys: usize,
}

impl<'a> Ordered<'a> {
    /// Values of `target` in rows that meet the node.
    pub fn new(parts: &'a [Part], target: Target, node: &Node) -> Result<Ordered<'a>> {
        let mut slices = Vec::new();
        let mut total = 0u64;
        let limit = parts.first().map_or(0, |part| part.memory_limit);
        // A quarter is kept for passes.
        let mut room = Room(limit - limit / 4);
        for part in parts {
            if let Some(slice) = Slice::new(part, target, node, &mut room)? {
                if slice.values > 0 {
                    total = total.saturating_add(slice.values);
                    slices.push(slice);
                }
            }
        }
        let keys = limit / 4 / KEY_BYTES;
        Ok(Ordered { slices, total, keys })
    }

    /// How many values have a key of at most `key`.
    pub fn up_to(&self, key: u64) -> Result<u64> {
        let each = self.slices.iter().map(|slice| order::Source::up_to(slice, key));
        each.sum()
    }

    /// Key of the `k`-th smallest value; `None` if there are `k` or fewer.
    ///
    /// One part answers by its own descent, several by that of [`descent`], or by the search of [`order`] where a part
    /// keeps its values in no order. Where there was no room for the rows of a part, all are gone through.
    pub fn nth(&self, k: u64) -> Result<Option<u64>> {
        if k >= self.total {
            return Ok(None);
        }
        if self
            .slices
            .iter()
            .any(|slice| matches!(slice.found, Found::Passes))
        {
            return passes::nth(&self.slices, k, self.keys);
        }
        if let [slice] = self.slices.as_slice() {
            if let Some(key) = order::Source::nth(slice, k)? {
                return Ok(Some(key));
            }
        }
        if let Some(key) = self.descend(k)? {
            return Ok(Some(key));
        }
        order::nth(&self.slices, k).map(Some)
    }

    /// The same by a descent through all parts at once; `None` if some part's values are in no tree.
    fn descend(&self, k: u64) -> Result<Option<u64>> {
        let mut sources = Vec::with_capacity(self.slices.len());
        let mut passed = 0u64;
        for slice in &self.slices {
            sources.push(match (&slice.found, &slice.view) {
                (Found::Keys(keys), _) => descent::Source::Sorted(Cow::Borrowed(keys)),
                (Found::Column { below }, View::Stored(column)) => {
                    // Values below the interval are passed over by place.
                    passed = passed.saturating_add(*below);
                    match column.descent(&slice.selection.ranges)? {
                        Some(descent) => descent::Source::Column(descent),
                        None => return Ok(None),
                    }
                }
                _ => return Ok(None),
            });
        }
        descent::nth(&sources, k.saturating_add(passed))
    }
}
