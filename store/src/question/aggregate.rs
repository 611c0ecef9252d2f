//! Counts, sums and extremes over all parts of a snapshot.

use super::memory::sum_keys;
use super::part::{Part, one_by_one};
use super::resolve::{Leaf, Node, Target};
use super::weighted::weighted;
use crate::batch::BatchColumn;
use crate::column::{Condition, Moments, Sum};
use crate::error::Result;
use crate::rows::RowRanges;
use crate::schema::ColumnType;

/// How many rows meet the node.
pub fn count(parts: &[Part], node: &Node) -> Result<u64> {
    let mut total = 0;
    for part in one_by_one(parts) {
        let part = &*part;
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
    for part in one_by_one(parts) {
        let part = &*part;
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
    for part in one_by_one(parts) {
        let part = &*part;
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
    for part in one_by_one(parts) {
        let part = &*part;
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
    for part in one_by_one(parts) {
        let part = &*part;
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
    for part in one_by_one(parts) {
        let part = &*part;
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
