//! Counts, sums, extremes and order statistics over all parts of a snapshot.

use std::borrow::Cow;

use super::memory::sum_keys;
use super::part::{Part, Selection};
use super::resolve::{Leaf, Node, Target};
use super::view::View;
use super::weighted::{ranked, weighted};
use super::{descent, order};
use crate::batch::BatchColumn;
use crate::codes::Interval;
use crate::column::{Condition, Moments, Sum};
use crate::error::Result;
use crate::rows::RowRanges;
use crate::schema::ColumnType;

/// Ranges that a question may hold in memory before it counts by masks instead (16 bytes each).
const MAX_RANGES: usize = 1 << 18;

/// How many rows meet the node.
pub fn count(parts: &[Part], node: &Node) -> Result<u64> {
    let mut total = 0;
    for part in parts {
        match weighted(part) {
            None => total = u64::saturating_add(total, part.count(&part.select(node)?)?),
            Some(weighted) => each_rows(part, node, |rows| {
                total = u64::saturating_add(total, weighted.rows(rows)?);
                Ok(())
            })?,
        }
    }
    Ok(total)
}

/// How many rows meet the node and have a value.
pub fn count_values(parts: &[Part], target: Target, node: &Node) -> Result<u64> {
    let own = with_value(node, target);
    let mut total = 0;
    for part in parts {
        match weighted(part) {
            None => total = u64::saturating_add(total, part.count(&part.select(&own)?)?),
            Some(weighted) => each_rows(part, node, |rows| {
                total = u64::saturating_add(total, weighted.values(target, rows)?);
                Ok(())
            })?,
        }
    }
    Ok(total)
}

/// The node, and the column has a value.
pub fn with_value(node: &Node, target: Target) -> Node {
    let value = Node::Leaf(Leaf {
        target,
        condition: Condition::IsNotNull,
        negated: false,
    });
    match node {
        _ if target == Target::Time => node.clone(),
        Node::All => value,
        Node::Nothing => Node::Nothing,
        Node::And(list) => Node::And(list.iter().cloned().chain([value]).collect()),
        other => Node::And(vec![other.clone(), value]),
    }
}

/// Calls `found` with the rows of one part that meet the node, whole or chunk by chunk.
fn each_rows(part: &Part, node: &Node, mut found: impl FnMut(&RowRanges) -> Result<()>) -> Result<()> {
    let selection = part.select(node)?;
    if selection.ranges.is_empty() {
        return Ok(());
    }
    if selection.residual.is_empty() {
        return found(&selection.ranges);
    }
    part.each_chunk(&selection, |rows| found(&rows).map(|()| true))
}

/// Sum of a fixed-width column; `None` if no row that meets the node has a value.
pub fn sum(parts: &[Part], target: Target, ty: ColumnType, node: &Node) -> Result<Option<Sum>> {
    let mut total = sum_keys(ty, std::iter::empty());
    let mut values = 0;
    for part in parts {
        let view = part.view(target)?;
        each_rows(part, node, |rows| {
            let found = match weighted(part) {
                Some(weighted) => weighted.values(target, rows)?,
                None if target == Target::Time => rows.row_count(),
                None => view.count(rows, &Condition::IsNotNull)?,
            };
            if found == 0 {
                return Ok(());
            }
            values = u64::saturating_add(values, found);
            let here = match weighted(part) {
                Some(weighted) => weighted.sum(target, ty, rows)?,
                None => view.sum(rows)?,
            };
            total = match (total, here) {
                (Sum::Integer(a), Sum::Integer(b)) => Sum::Integer(a.saturating_add(b)),
                (Sum::Float(a), Sum::Float(b)) => Sum::Float(a + b),
                (Sum::Integer(a), Sum::Float(b)) | (Sum::Float(b), Sum::Integer(a)) => {
                    Sum::Float(a as f64 + b)
                }
            };
            Ok(())
        })?;
    }
    Ok((values > 0).then_some(total))
}

/// Number, mean and spread of a fixed-width column's values in rows that meet the node.
pub fn moments(parts: &[Part], target: Target, node: &Node) -> Result<Moments> {
    let mut all = Moments::default();
    for part in parts {
        let view = part.view(target)?;
        each_rows(part, node, |rows| {
            all = all.merge(match weighted(part) {
                Some(weighted) => weighted.moments(target, part.type_of(target), rows)?,
                None => view.moments(rows)?,
            });
            Ok(())
        })?;
    }
    Ok(all)
}

/// Smallest and largest key of a fixed-width column.
pub fn min_max(parts: &[Part], target: Target, node: &Node) -> Result<Option<(u64, u64)>> {
    let mut best: Option<(u64, u64)> = None;
    for part in parts {
        let view = part.view(target)?;
        each_rows(part, node, |rows| {
            let found = match weighted(part) {
                Some(weighted) => weighted.min_max(target, &view, rows)?,
                None => view.min_max(rows)?,
            };
            if let Some((low, high)) = found {
                best = Some(best.map_or((low, high), |(a, b)| (a.min(low), b.max(high))));
            }
            Ok(())
        })?;
    }
    Ok(best)
}

/// Smallest and largest string of a text or bytes column. O(selected bytes).
pub fn min_max_bytes(parts: &[Part], target: Target, node: &Node) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
    const AT_ONCE: u64 = 1024;
    let mut best: Option<(Vec<u8>, Vec<u8>)> = None;
    for part in parts {
        let view = part.view(target)?;
        each_rows(part, node, |rows| {
            for range in rows.as_slice() {
                let mut start = range.start;
                while start < range.end {
                    let end = (start + AT_ONCE).min(range.end);
                    let mut column = BatchColumn::new(ColumnType::Bytes);
                    view.decode(start..end, &mut column)?;
                    for value in (0..column.len()).filter_map(|row| column.bytes(row)) {
                        match &mut best {
                            None => best = Some((value.to_vec(), value.to_vec())),
                            Some((low, _)) if value < low.as_slice() => *low = value.to_vec(),
                            Some((_, high)) if value > high.as_slice() => *high = value.to_vec(),
                            Some(_) => {}
                        }
                    }
                    start = end;
                }
            }
            Ok(())
        })?;
    }
    Ok(best)
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
    /// How many values of the rows lie below the interval.
    below: u64,
    /// Their keys in order, where the part is in memory.
    keys: Option<Cow<'a, [u64]>>,
    /// Their keys in order, each with how many are at most it, where rows stand for many.
    ranked: Option<Vec<(u64, u64)>>,
}

impl<'a> Slice<'a> {
    /// Holds at most `room` ranges, and takes them from it.
    fn new(part: &'a Part, target: Target, node: &Node, room: &mut usize) -> Result<Option<Slice<'a>>> {
        let mut selection = part.select(node)?;
        if selection.ranges.is_empty() {
            return Ok(None);
        }
        let mut interval = Interval::ALL;
        selection.residual.retain(|node| match node {
            Node::Leaf(Leaf {
                target: same,
                condition: Condition::Keys(keys),
                negated: false,
            }) if *same == target => {
                interval = interval.intersect(*keys);
                false
            }
            _ => true,
        });
        if !selection.residual.is_empty() {
            let most = MAX_RANGES.min(*room);
            if let Some(ranges) = collect(part, &selection, most)? {
                *room -= ranges.as_slice().len();
                selection = Selection {
                    ranges,
                    residual: Vec::new(),
                };
            }
        }
        let view = part.view(target)?;
        let mut slice = Slice {
            part,
            view,
            target,
            selection,
            interval,
            values: 0,
            below: 0,
            keys: None,
            ranked: None,
        };
        if let Some(weighted) = weighted(part) {
            let mut keys = Vec::new();
            each_rows(part, node, |rows| weighted.collect(target, rows, &mut keys))?;
            let ranked = ranked(keys);
            slice.values = ranked.last().map_or(0, |last| last.1);
            slice.ranked = Some(ranked);
            return Ok(Some(slice));
        }
        if let (View::Memory(column, _), true, Target::Column(position)) =
            (&slice.view, slice.selection.residual.is_empty(), target)
        {
            let keys = part
                .orders
                .keys(position, column, &slice.selection.ranges, interval);
            slice.values = keys.len() as u64;
            slice.keys = Some(keys);
            return Ok(Some(slice));
        }
        slice.values = slice.count(Interval::ALL)?;
        if slice.in_order() && interval.low > 0 {
            let condition = Condition::Keys(Interval {
                low: 0,
                high: interval.low - 1,
            });
            slice.below = slice.view.count(&slice.selection.ranges, &condition)?;
        }
        Ok(Some(slice))
    }

    /// Whether the column itself finds values by their place.
    fn in_order(&self) -> bool {
        self.selection.residual.is_empty() && self.target != Target::Time
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
        if let Some(ranked) = &self.ranked {
            let place = ranked.partition_point(|found| found.0 <= key);
            return Ok(place.checked_sub(1).map_or(0, |place| ranked[place].1));
        }
        match &self.keys {
            Some(keys) => Ok(keys.partition_point(|&found| found <= key) as u64),
            None => self.count(Interval { low: 0, high: key }),
        }
    }

    fn nth(&self, k: u64) -> Result<Option<u64>> {
        if let Some(ranked) = &self.ranked {
            let place = ranked.partition_point(|found| found.1 <= k);
            return Ok(ranked.get(place).map(|found| found.0));
        }
        if let Some(keys) = &self.keys {
            return Ok(usize::try_from(k).ok().and_then(|k| keys.get(k)).copied());
        }
        if !self.in_order() {
            return Ok(None);
        }
        self.view
            .quantile(&self.selection.ranges, self.below + k)
            .map(Some)
    }
}

/// Selected rows as ranges, unless there are too many of them.
fn collect(part: &Part, selection: &Selection, most: usize) -> Result<Option<RowRanges>> {
    let mut out = RowRanges::empty();
    part.each_chunk(selection, |rows| {
        rows.as_slice().iter().for_each(|range| out.push(range.clone()));
        Ok(out.as_slice().len() <= most)
    })?;
    Ok((out.as_slice().len() <= most).then_some(out))
}

/// Values of a fixed-width column over some parts, ready to be asked for order statistics.
pub struct Ordered<'a> {
    slices: Vec<Slice<'a>>,
    /// How many values there are.
    pub total: u64,
}

impl<'a> Ordered<'a> {
    /// Values of `target` in rows that meet the node.
    pub fn new(parts: &'a [Part], target: Target, node: &Node) -> Result<Ordered<'a>> {
        let mut slices = Vec::new();
        let mut total = 0;
        let mut room = parts.first().map_or(0, |part| part.most_ranges);
        for part in parts {
            if let Some(slice) = Slice::new(part, target, node, &mut room)? {
                if slice.values > 0 {
                    total += slice.values;
                    slices.push(slice);
                }
            }
        }
        Ok(Ordered { slices, total })
    }

    /// How many values have a key of at most `key`.
    pub fn up_to(&self, key: u64) -> Result<u64> {
        let each = self.slices.iter().map(|slice| order::Source::up_to(slice, key));
        each.sum()
    }

    /// Key of the `k`-th smallest value; `None` if there are `k` or fewer.
    ///
    /// One part answers by its own descent, several by that of [`descent`], or by the search of [`order`] where a part
    /// keeps its values in no order.
    pub fn nth(&self, k: u64) -> Result<Option<u64>> {
        if k >= self.total {
            return Ok(None);
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
        let mut below = 0u64;
        for slice in &self.slices {
            if slice.ranked.is_some() {
                return Ok(None);
            }
            sources.push(match (&slice.keys, &slice.view) {
                (Some(keys), _) => descent::Source::Sorted(Cow::Borrowed(keys)),
                (None, View::Stored(column)) if slice.in_order() => {
                    // Values below the interval are passed over by place.
                    below = below.saturating_add(slice.below);
                    match column.descent(&slice.selection.ranges)? {
                        Some(descent) => descent::Source::Column(descent),
                        None => return Ok(None),
                    }
                }
                _ => return Ok(None),
            });
        }
        descent::nth(&sources, k.saturating_add(below))
    }
}
