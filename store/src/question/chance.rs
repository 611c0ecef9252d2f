//! How many of the rows that a row of a downsampled segment stands for may meet a predicate: at least, at most, and
//! about.
//!
//! A sketch says how many values of a bucket lie in an interval; what two conditions have in common is bounded as any
//! two sets are (Frechet): together at least the sum less all, at most the smaller.

use std::ops::Range;

use super::condition::matches_row;
use super::resolve::{Leaf, Node, Target};
use super::weighted::Weighted;
use crate::batch::BatchColumn;
use crate::codes::Interval;
use crate::column::Condition;
use crate::domain::bounded::{Precision, Tolerance};
use crate::error::Result;
use crate::rows::{RowRanges, index};
use crate::schema::{ColumnId, ColumnType};
use crate::segment::buckets::{Cell, Role};
use crate::value::{above, below, i64_of, key_of_f32, key_of_f64, key_of_i64, number_of};

/// At least, at most, and about so many rows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Chance {
    /// At least.
    pub low: u64,
    /// At most.
    pub high: u64,
    /// About.
    pub value: f64,
}

impl Chance {
    fn exact(count: u64) -> Chance {
        Chance {
            low: count,
            high: count,
            value: count as f64,
        }
    }

    /// The others of `all`.
    fn complement(self, all: u64) -> Chance {
        Chance {
            low: all.saturating_sub(self.high),
            high: all.saturating_sub(self.low),
            value: (all as f64 - self.value).max(0.0),
        }
    }

    fn and(self, other: Chance, all: u64) -> Chance {
        Chance {
            low: self.low.saturating_add(other.low).saturating_sub(all),
            high: self.high.min(other.high),
            value: self.value * other.value / (all as f64).max(1.0),
        }
    }

    fn or(self, other: Chance, all: u64) -> Chance {
        let both = self.value * other.value / (all as f64).max(1.0);
        Chance {
            low: self.low.max(other.low),
            high: self.high.saturating_add(other.high).min(all),
            value: self.value + other.value - both,
        }
    }
}

/// A key moved by the error that a value near it may have: `up` away from zero's side or down. What is not finite stays.
pub fn shifted(ty: ColumnType, key: u64, precision: Option<Precision>, up: bool) -> u64 {
    let Some(precision) = precision else { return key };
    if !ty.is_float() {
        #[expect(clippy::cast_possible_truncation, reason = "positive; the cast saturates")]
        let units = precision.largest.ceil() as u64;
        return if up {
            key.saturating_add(units)
        } else {
            key.saturating_sub(units)
        };
    }
    let value = number_of(ty, key);
    if !value.is_finite() {
        return key;
    }
    let error = match precision.tolerance {
        Tolerance::Absolute(_) => precision.largest,
        // Both ways between the stored and the measured value.
        Tolerance::Relative(_) => {
            let share = precision.largest;
            above(value.abs() * above(share / (1.0 - share)))
        }
    };
    let moved = if up {
        above(value + error)
    } else {
        below(value - error)
    };
    let key = match ty {
        ColumnType::F64 => key_of_f64(moved),
        // One float further, since rounding may go the other way.
        _ => {
            #[expect(clippy::cast_possible_truncation, reason = "rounding to the narrow float")]
            let near = key_of_f32(moved as f32);
            if up {
                near.saturating_add(1)
            } else {
                near.saturating_sub(1)
            }
        }
    };
    // Both zeros are one value.
    let zero = [key_of_f64(0.0), key_of_f32(0.0)][usize::from(ty == ColumnType::F32)];
    if up && key == zero - 1 {
        zero
    } else if !up && key == zero {
        zero - 1
    } else {
        key
    }
}

/// What the sketch of a cell says of how many values lie where.
struct Sketch<'a> {
    cell: &'a Cell,
    points: usize,
    ty: ColumnType,
    precision: Option<Precision>,
}

impl Sketch<'_> {
    /// Known values: the keys between which each lies, how many values are at most it at least, and below it at most.
    fn known(&self) -> impl Iterator<Item = (u64, u64, u64, u64)> + '_ {
        let cell = self.cell;
        let inner = (0..self.points).map(move |point| {
            let rank = cell.rank(point, self.points);
            (
                cell.points[point],
                (rank + 1).saturating_sub(cell.slack),
                rank.saturating_add(cell.slack),
            )
        });
        let ends = [
            (cell.min, 1, 0),
            (cell.max, cell.count, cell.count.saturating_sub(1)),
        ];
        inner.chain(ends).map(move |(key, at_least, below)| {
            (
                shifted(self.ty, key, self.precision, false),
                shifted(self.ty, key, self.precision, true),
                at_least.min(cell.count),
                below.min(cell.count),
            )
        })
    }

    /// Values in an interval of keys.
    fn within(&self, keys: Interval) -> Chance {
        let count = self.cell.count;
        if keys.is_empty() || count == 0 {
            return Chance::default();
        }
        let (mut up_to, mut below) = ((0, count), (0, count));
        for (low, high, at_least, most_below) in self.known() {
            if high <= keys.high {
                up_to.0 = up_to.0.max(at_least);
            }
            if low > keys.high {
                up_to.1 = up_to.1.min(most_below);
            }
            if high < keys.low {
                below.0 = below.0.max(at_least);
            }
            if low >= keys.low {
                below.1 = below.1.min(most_below);
            }
        }
        let high = up_to.1.saturating_sub(below.0);
        // Only a damaged file says more at least than at most.
        let low = up_to.0.saturating_sub(below.1).min(high);
        Chance {
            low,
            high,
            value: (low as f64 + high as f64) / 2.0,
        }
    }
}

/// How many rows of each bucket in `rows` may meet the node.
pub fn chances(of: &Weighted<'_>, node: &Node, rows: Range<u64>) -> Result<Vec<Chance>> {
    let weights = of.segment.weights(rows.clone())?;
    evaluate(of, node, rows, &weights)
}

fn evaluate(of: &Weighted<'_>, node: &Node, rows: Range<u64>, weights: &[u64]) -> Result<Vec<Chance>> {
    Ok(match node {
        Node::All => weights.iter().map(|&weight| Chance::exact(weight)).collect(),
        Node::Nothing => vec![Chance::default(); weights.len()],
        Node::Leaf(leaf) => evaluate_leaf(of, leaf, rows, weights)?,
        Node::And(children) => {
            let mut all: Vec<Chance> = weights.iter().map(|&weight| Chance::exact(weight)).collect();
            for child in joined(children) {
                let found = evaluate(of, &child, rows.clone(), weights)?;
                for ((chance, found), &weight) in all.iter_mut().zip(found).zip(weights) {
                    *chance = chance.and(found, weight);
                }
            }
            all
        }
        Node::Or(children) => {
            let mut all = vec![Chance::default(); weights.len()];
            for child in children {
                let found = evaluate(of, child, rows.clone(), weights)?;
                for ((chance, found), &weight) in all.iter_mut().zip(found).zip(weights) {
                    *chance = chance.or(found, weight);
                }
            }
            all
        }
    })
}

/// Children of an AND, with intervals on one column made one: a sketch knows more of one interval than of two.
fn joined(children: &[Node]) -> Vec<Node> {
    let mut out: Vec<Node> = Vec::with_capacity(children.len());
    for child in children {
        if let Node::Leaf(Leaf {
            target,
            condition: Condition::Keys(keys),
            negated: false,
        }) = child
        {
            let same = out.iter_mut().find_map(|node| match node {
                Node::Leaf(Leaf {
                    target: other,
                    condition: Condition::Keys(known),
                    negated: false,
                }) if other == target => Some(known),
                _ => None,
            });
            if let Some(known) = same {
                *known = known.intersect(*keys);
                continue;
            }
        }
        out.push(child.clone());
    }
    out
}

fn evaluate_leaf(of: &Weighted<'_>, leaf: &Leaf, rows: Range<u64>, weights: &[u64]) -> Result<Vec<Chance>> {
    if leaf.target == Target::Time {
        return times(of, leaf, rows, weights);
    }
    let Some((id, ty)) = of.channel(leaf.target) else {
        let mut keys = BatchColumn::new(of.part.type_of(leaf.target));
        of.part.view(leaf.target)?.decode(rows, &mut keys)?;
        let meets = |row: usize| {
            let hit = matches_row(&leaf.condition, &keys, row);
            if leaf.negated {
                keys.is_valid(row) && !hit
            } else {
                hit
            }
        };
        let found = weights.iter().enumerate();
        return Ok(found
            .map(|(row, &weight)| Chance::exact(if meets(row) { weight } else { 0 }))
            .collect());
    };
    let cells = if ty.is_binary() {
        strings(of, leaf, id, ty, rows, weights)?
    } else {
        let precision = precision(of, leaf.target)?;
        let points = of.segment.buckets().map_or(0, |buckets| buckets.points);
        let cells = of.segment.cells(id, ty, rows)?;
        let found = cells.iter().map(|cell| {
            let sketch = Sketch {
                cell,
                points,
                ty,
                precision,
            };
            let chance = match &leaf.condition {
                Condition::Keys(keys) => sketch.within(*keys),
                Condition::KeyIn(keys) => {
                    let each = keys
                        .iter()
                        .map(|&key| sketch.within(Interval { low: key, high: key }));
                    each.fold(Chance::default(), |all, one| Chance {
                        low: all.low.saturating_add(one.low).min(cell.count),
                        high: all.high.saturating_add(one.high).min(cell.count),
                        value: (all.value + one.value).min(cell.count as f64),
                    })
                }
                _ => Chance::exact(cell.count),
            };
            (cell.count, chance)
        });
        found.collect()
    };
    let found = cells.into_iter().zip(weights).map(|((count, chance), &weight)| {
        let count = count.min(weight);
        let chance = Chance {
            low: chance.low.min(count),
            high: chance.high.min(count),
            ..chance
        };
        match (&leaf.condition, leaf.negated) {
            (Condition::IsNull, false) | (Condition::IsNotNull, true) => Chance::exact(weight - count),
            (Condition::IsNotNull, false) | (Condition::IsNull, true) => Chance::exact(count),
            (_, true) => chance.complement(count),
            (_, false) => chance,
        }
    });
    Ok(found.collect())
}

/// Of a text column only the last value of a bucket is known.
fn strings(
    of: &Weighted<'_>,
    leaf: &Leaf,
    id: ColumnId,
    ty: ColumnType,
    rows: Range<u64>,
    weights: &[u64],
) -> Result<Vec<(u64, Chance)>> {
    let counts = match (of.segment.position(id), of.segment.companion(id, Role::Count, 0)?) {
        (None, _) => vec![0; weights.len()],
        (_, None) => weights.to_vec(),
        (_, Some(_)) => of.segment.companion_keys(id, Role::Count, 0, rows.clone())?,
    };
    let mut lasts = BatchColumn::new(ty);
    of.part.view(leaf.target)?.decode(rows, &mut lasts)?;
    let found = counts.into_iter().enumerate().map(|(row, count)| {
        let hit = count > 0 && matches_row(&leaf.condition, &lasts, row);
        let chance = Chance {
            low: u64::from(hit),
            high: if hit { count } else { count.saturating_sub(1) },
            value: if hit { count as f64 } else { 0.0 },
        };
        (count, chance)
    });
    Ok(found.collect())
}

/// Rows of a bucket lie between its first and its last.
fn times(of: &Weighted<'_>, leaf: &Leaf, rows: Range<u64>, weights: &[u64]) -> Result<Vec<Chance>> {
    let mut starts = vec![0; index(rows.end - rows.start)];
    of.part.data.times(rows.clone(), &mut starts)?;
    let firsts = of
        .segment
        .companion_keys(ColumnId(0), Role::FirstTime, 0, rows.clone())?;
    let lasts = of.segment.companion_keys(ColumnId(0), Role::LastTime, 0, rows)?;
    let at = |start: i64, offset: u64| start.saturating_add(i64::try_from(offset).unwrap_or(i64::MAX));
    let found = starts.iter().zip(firsts).zip(lasts).zip(weights);
    let found = found.map(|(((&start, first), last), &weight)| {
        let (first, last) = (at(start, first), at(start, last));
        let chance = match &leaf.condition {
            Condition::Keys(keys) => overlap(first, last, *keys, weight),
            Condition::KeyIn(keys) => {
                let inside = |key: &&u64| (first..=last).contains(&i64_of(**key));
                match keys.iter().filter(inside).count() {
                    0 => Chance::default(),
                    _ if first == last => Chance::exact(weight),
                    count => Chance {
                        low: u64::from(keys.contains(&key_of_i64(first))),
                        high: weight,
                        value: (count as f64).min(weight as f64),
                    },
                }
            }
            Condition::IsNotNull => Chance::exact(weight),
            _ => Chance::default(),
        };
        if leaf.negated {
            chance.complement(weight)
        } else {
            chance
        }
    });
    Ok(found.collect())
}

fn overlap(first: i64, last: i64, keys: Interval, weight: u64) -> Chance {
    if keys.is_empty() {
        return Chance::default();
    }
    let inside = |time: i64| keys.contains(key_of_i64(time));
    match (inside(first), inside(last)) {
        (true, true) => Chance::exact(weight),
        (false, false) if last < i64_of(keys.low) || first > i64_of(keys.high) => Chance::default(),
        (head, tail) => {
            let out = u64::from(!head) + u64::from(!tail && last > first);
            let high = weight.saturating_sub(out);
            let low = u64::from(head || tail).min(high);
            let from = first.max(i64_of(keys.low)) as f64;
            let to = last.min(i64_of(keys.high)) as f64;
            let share = (to - from + 1.0) / (last as f64 - first as f64 + 1.0);
            Chance {
                low,
                high,
                value: (share * weight as f64).clamp(low as f64, high as f64),
            }
        }
    }
}

/// How exact the values of a channel are.
pub fn precision(of: &Weighted<'_>, target: Target) -> Result<Option<Precision>> {
    Ok(match of.part.view(target)? {
        super::view::View::Stored(column) => column.precision(),
        _ => None,
    })
}

/// Rows of the part whose buckets may hold rows that meet the node, going by times and keys.
pub fn candidates(of: &Weighted<'_>, node: &Node) -> Result<RowRanges> {
    let every = of.segment.buckets().map_or(1, |buckets| buckets.every);
    let children = match node {
        Node::And(children) => children.clone(),
        other => vec![other.clone()],
    };
    let coarse = children.into_iter().filter_map(|child| match child {
        Node::Leaf(Leaf {
            target: Target::Time,
            condition: Condition::Keys(keys),
            negated: false,
        }) => {
            let low = i64_of(keys.low).saturating_sub(every - 1);
            let keys = Interval {
                low: key_of_i64(low),
                high: keys.high,
            };
            Some(Node::Leaf(Leaf {
                target: Target::Time,
                condition: Condition::Keys(keys),
                negated: false,
            }))
        }
        Node::Leaf(ref leaf) if leaf.target != Target::Time && of.channel(leaf.target).is_none() => {
            Some(child)
        }
        Node::Nothing => Some(Node::Nothing),
        _ => None,
    });
    let coarse: Vec<Node> = coarse.collect();
    let node = if coarse.is_empty() {
        Node::All
    } else {
        Node::And(coarse)
    };
    Ok(of.part.select(&node)?.ranges)
}
