//! Answers between which the truth lies, over rows that are not what they were: values within an error, and rows that
//! stand for many.

use super::aggregate;
use super::chance::{candidates, chances, precision, shifted};
use super::ordered::Ordered;
use super::part::Part;
use super::resolve::{Leaf, Node, Target};
use super::view::View;
use super::weighted::{Weighted, each_chunk, weighted};
use crate::codes::Interval;
use crate::column::{Condition, Sum};
use crate::domain::bounded::Precision;
use crate::error::Result;
use crate::schema::ColumnType;
use crate::segment::buckets::Cell;
use crate::value::number_of;

/// Share of the sum of magnitudes that a sum of floats may be off by its additions.
const ROUNDING: f64 = 1e-12;

/// An answer, and what the truth is not below and not above.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds<T> {
    /// The truth is not below.
    pub low: T,
    /// The best answer, between the two.
    pub value: T,
    /// The truth is not above.
    pub high: T,
}

/// How many rows meet the node.
pub fn count(parts: &[Part], node: &Node) -> Result<Bounds<u64>> {
    let (mut low, mut high, mut value) = (0u64, 0u64, 0.0);
    for part in parts {
        if let Some(of) = weighted(part) {
            each_chunk(&candidates(&of, node)?, |rows| {
                for chance in chances(&of, node, rows)? {
                    low = low.saturating_add(chance.low);
                    high = high.saturating_add(chance.high);
                    value += between(chance.value, chance.low as f64, chance.high as f64);
                }
                Ok(())
            })?;
            continue;
        }
        let one = std::slice::from_ref(part);
        let found = aggregate::count(one, node)?;
        let (certain, possible) = sides(part, node)?;
        low = low.saturating_add(if certain.1 {
            aggregate::count(one, &certain.0)?
        } else {
            found
        });
        high = high.saturating_add(if possible.1 {
            aggregate::count(one, &possible.0)?
        } else {
            found
        });
        value += found as f64;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a number of rows; the cast saturates"
    )]
    let value = (value.round() as u64).clamp(low, high.max(low));
    Ok(Bounds { low, value, high })
}

/// The rows of a part that meet the node for certain, and those that may; each with whether it differs from the node.
fn sides(part: &Part, node: &Node) -> Result<((Node, bool), (Node, bool))> {
    let mut changed = false;
    let certain = moved(part, node, false, &mut changed)?;
    let possible = moved(part, node, true, &mut changed)?;
    Ok(((certain, changed), (possible, changed)))
}

/// The node with its intervals made wider by the error of the values in the part, or narrower.
fn moved(part: &Part, node: &Node, wider: bool, changed: &mut bool) -> Result<Node> {
    let mut all = |list: &[Node]| -> Result<Vec<Node>> {
        list.iter()
            .map(|node| moved(part, node, wider, changed))
            .collect()
    };
    Ok(match node {
        Node::And(list) => Node::And(all(list)?),
        Node::Or(list) => Node::Or(all(list)?),
        Node::Leaf(leaf) => {
            let found = match part.view(leaf.target)? {
                View::Stored(column) => column.precision(),
                _ => None,
            };
            let ty = part.type_of(leaf.target);
            // What is not in the interval for certain is not in the wider one.
            let wider_keys = wider != leaf.negated;
            let grown = |keys: Interval| Interval {
                low: shifted(ty, keys.low, found, !wider_keys),
                high: shifted(ty, keys.high, found, wider_keys),
            };
            let leaf_of = |keys: Interval| {
                Node::Leaf(Leaf {
                    condition: Condition::Keys(keys),
                    ..leaf.clone()
                })
            };
            match &leaf.condition {
                Condition::Keys(keys) if found.is_some() => {
                    *changed = true;
                    // The ends of a type stay what they are.
                    let ends = ty.key_range();
                    let new = grown(*keys);
                    leaf_of(Interval {
                        low: if keys.low <= ends.0 { keys.low } else { new.low },
                        high: if keys.high >= ends.1 { keys.high } else { new.high },
                    })
                }
                Condition::KeyIn(keys) if found.is_some() => {
                    *changed = true;
                    let each = keys.iter().map(|&key| Interval { low: key, high: key });
                    match (wider, leaf.negated) {
                        (true, false) => Node::Or(each.map(|keys| leaf_of(grown(keys))).collect()),
                        (false, false) => Node::Nothing,
                        (true, true) => Node::Leaf(Leaf {
                            condition: Condition::IsNotNull,
                            target: leaf.target,
                            negated: false,
                        }),
                        (false, true) => Node::And(each.map(|keys| leaf_of(grown(keys))).collect()),
                    }
                }
                _ => node.clone(),
            }
        }
        other => other.clone(),
    })
}

/// `value`, or the end that it lies behind.
fn between(value: f64, low: f64, high: f64) -> f64 {
    value.max(low).min(high)
}

/// Sums of what values are above `shift`, and how many there are.
#[derive(Debug, Clone, Copy)]
pub struct Tally {
    /// Values.
    pub count: Bounds<f64>,
    /// Sum of the values less the shift each.
    pub sum: Bounds<f64>,
    /// No value is below.
    pub least: f64,
    /// No value is above.
    pub most: f64,
    /// At most the sum of magnitudes.
    size: f64,
}

impl Tally {
    fn new() -> Tally {
        let zero = Bounds {
            low: 0.0,
            value: 0.0,
            high: 0.0,
        };
        Tally {
            count: zero,
            sum: zero,
            least: f64::INFINITY,
            most: f64::NEG_INFINITY,
            size: 0.0,
        }
    }

    fn span(&mut self, least: f64, most: f64) {
        // A NaN is neither: what is known then is nothing.
        self.least = if least.is_nan() {
            f64::NEG_INFINITY
        } else {
            self.least.min(least)
        };
        self.most = if most.is_nan() {
            f64::INFINITY
        } else {
            self.most.max(most)
        };
    }

    fn add(&mut self, count: Bounds<f64>, sum: Bounds<f64>, size: f64) {
        for (total, part) in [(&mut self.count, count), (&mut self.sum, sum)] {
            total.low += part.low;
            total.value += part.value;
            total.high += part.high;
        }
        self.size += size;
    }

    fn finish(mut self) -> Tally {
        let rounding = self.size * ROUNDING;
        self.sum.low -= rounding;
        self.sum.high += rounding;
        if !self.sum.value.is_finite() || !self.sum.low.is_finite() || !self.sum.high.is_finite() {
            (self.sum.low, self.sum.high) = (f64::NEG_INFINITY, f64::INFINITY);
        } else {
            self.sum.value = between(self.sum.value, self.sum.low, self.sum.high);
        }
        self
    }
}

/// Number and sum of the values of a column, less `shift` each, in rows that meet the node.
pub fn tally(parts: &[Part], target: Target, ty: ColumnType, node: &Node, shift: f64) -> Result<Tally> {
    let mut all = Tally::new();
    let own = own_interval(node, target, ty);
    for part in parts {
        match weighted(part).filter(|of| of.channel(target).is_some()) {
            Some(of) => buckets(&of, target, ty, node, own, shift, &mut all)?,
            None => stored(part, target, ty, node, shift, &mut all)?,
        }
    }
    Ok(all.finish())
}

/// The interval that the node holds the column's own values to.
fn own_interval(node: &Node, target: Target, ty: ColumnType) -> (f64, f64) {
    let leaves = match node {
        Node::And(list) => list.as_slice(),
        other => std::slice::from_ref(other),
    };
    let mut own = Interval::ALL;
    for leaf in leaves {
        match leaf {
            Node::Leaf(Leaf {
                target: same,
                condition: Condition::Keys(keys),
                negated: false,
            }) if *same == target => {
                own = own.intersect(*keys);
            }
            _ => {}
        }
    }
    let ends = ty.key_range();
    let low = if own.low <= ends.0 {
        f64::NEG_INFINITY
    } else {
        number_of(ty, own.low)
    };
    let high = if own.high >= ends.1 {
        f64::INFINITY
    } else {
        number_of(ty, own.high)
    };
    let open = |value: f64, end: f64| if value.is_nan() { end } else { value };
    (open(low, f64::NEG_INFINITY), open(high, f64::INFINITY))
}

/// A part whose rows stand for themselves.
fn stored(
    part: &Part,
    target: Target,
    ty: ColumnType,
    node: &Node,
    shift: f64,
    all: &mut Tally,
) -> Result<()> {
    let one = std::slice::from_ref(part);
    let precision = match part.view(target)? {
        View::Stored(column) => column.precision(),
        _ => None,
    };
    let ((certain, changed), (possible, _)) = sides(part, node)?;
    let whole = |node: &Node| -> Result<(f64, f64)> {
        let count = aggregate::count_values(one, target, node)? as f64;
        let sum = match aggregate::sum(one, target, ty, node)? {
            None => 0.0,
            Some(Sum::Integer(sum)) => sum as f64,
            Some(Sum::Float(sum)) => sum,
        };
        Ok((count, sum))
    };
    let found = whole(node)?;
    let (sure, most) = if changed {
        (whole(&certain)?, whole(&possible)?.0)
    } else {
        (found, found.0)
    };
    if most == 0.0 {
        return Ok(());
    }
    let ends = aggregate::min_max(one, target, if changed { &possible } else { node })?;
    let Some((low, high)) = ends else { return Ok(()) };
    let least = number_of(ty, shifted(ty, low, precision, false));
    let highest = number_of(ty, shifted(ty, high, precision, true));
    all.span(least, highest);
    let error = match precision {
        None => 0.0,
        Some(precision) => precision.error_at(least.abs().max(highest.abs())) * sure.0,
    };
    let extra = most - sure.0;
    let count = Bounds {
        low: sure.0,
        value: found.0,
        high: most,
    };
    let base = sure.1 - shift * sure.0;
    let sum = Bounds {
        low: base - error + (least - shift).min(0.0) * extra,
        value: found.1 - shift * found.0,
        high: base + error + (highest - shift).max(0.0) * extra,
    };
    all.add(count, sum, (least.abs().max(highest.abs()) + shift.abs()) * most);
    Ok(())
}

/// A part whose rows stand for many.
fn buckets(
    of: &Weighted<'_>,
    target: Target,
    ty: ColumnType,
    node: &Node,
    own: (f64, f64),
    shift: f64,
    all: &mut Tally,
) -> Result<()> {
    let Some((id, _)) = of.channel(target) else {
        return Ok(());
    };
    let node = aggregate::with_value(node, target);
    let points = of.segment.buckets().map_or(0, |buckets| buckets.points);
    let precision = precision(of, target)?;
    each_chunk(&candidates(of, &node)?, |rows| {
        let found = chances(of, &node, rows.clone())?;
        let cells = of.segment.cells(id, ty, rows)?;
        for (cell, chance) in cells.iter().zip(found) {
            let (low, high) = (chance.low.min(cell.count), chance.high.min(cell.count));
            if high == 0 {
                continue;
            }
            let about = between(chance.value, low as f64, high as f64);
            let steps = Steps::of(cell, points, ty, precision);
            let error = precision.map_or(0.0, |p| p.error_at(steps.size) * cell.count as f64);
            let total = cell.sum(ty);
            let mean = between(total / cell.count as f64, own.0, own.1);
            all.span(steps.least().max(own.0), steps.most().min(own.1));
            let sum = if low == cell.count {
                Bounds {
                    low: total - error - shift * cell.count as f64,
                    value: total - shift * cell.count as f64,
                    high: total + error - shift * cell.count as f64,
                }
            } else {
                steps.sum(low, high, own, (total - error, total + error), shift)
            };
            let value = if low == cell.count {
                sum.value
            } else {
                (mean - shift) * about
            };
            let count = Bounds {
                low: low as f64,
                value: about,
                high: high as f64,
            };
            let sum = Bounds { value, ..sum };
            all.add(count, sum, (steps.size + shift.abs()) * cell.count as f64);
        }
        Ok(())
    })
}

/// What each value of a bucket, in order, is at least and at most: stretches of equal bounds.
struct Steps {
    /// Number of values, and what each of them is at least; ascending.
    lows: Vec<(f64, f64)>,
    /// The same, at most.
    highs: Vec<(f64, f64)>,
    /// Largest magnitude.
    size: f64,
}

impl Steps {
    fn of(cell: &Cell, points: usize, ty: ColumnType, precision: Option<Precision>) -> Steps {
        let number = |key: u64, up: bool| number_of(ty, shifted(ty, key, precision, up));
        let count = cell.count;
        // From rank `r + slack` on values are at least the point; up to `r - slack` at most.
        let mut floors = vec![(0u64, number(cell.min, false))];
        let mut ceilings = Vec::with_capacity(points + 1);
        for point in 0..points {
            let rank = cell.rank(point, points);
            let from = rank.saturating_add(cell.slack);
            if from < count.saturating_sub(1) {
                floors.push((from, number(cell.points[point], false)));
            }
            if let Some(end) = (rank + 1).checked_sub(cell.slack) {
                ceilings.push((end.min(count), number(cell.points[point], true)));
            }
        }
        floors.push((count.saturating_sub(1), number(cell.max, false)));
        ceilings.push((count, number(cell.max, true)));
        let mut lows: Vec<(f64, f64)> = Vec::with_capacity(floors.len());
        let mut known = f64::NEG_INFINITY;
        for (place, &(from, value)) in floors.iter().enumerate() {
            let end = floors.get(place + 1).map_or(count, |next| next.0.max(from));
            known = known.max(value);
            lows.push((end.saturating_sub(from) as f64, known));
        }
        let (mut highs, mut start) = (Vec::with_capacity(ceilings.len()), 0);
        // A value is at most the smallest ceiling that reaches it.
        for place in 0..ceilings.len() {
            let end = ceilings[place].0.max(start);
            let value = ceilings[place..]
                .iter()
                .map(|c| c.1)
                .fold(f64::INFINITY, f64::min);
            highs.push(((end - start) as f64, value));
            start = end;
        }
        let size = number(cell.min, false).abs().max(number(cell.max, true).abs());
        Steps { lows, highs, size }
    }

    fn least(&self) -> f64 {
        self.lows.first().map_or(f64::NEG_INFINITY, |low| low.1)
    }

    fn most(&self) -> f64 {
        self.highs.last().map_or(f64::INFINITY, |high| high.1)
    }

    /// Sum of between `low` and `high` of the values, each within `own`, whose sum of all is within `total`; less
    /// `shift` each.
    fn sum(&self, low: u64, high: u64, own: (f64, f64), total: (f64, f64), shift: f64) -> Bounds<f64> {
        let (low, high) = (low as f64, high as f64);
        let count: f64 = self.highs.iter().map(|high| high.0).sum();
        let lows: Vec<(f64, f64)> = self
            .lows
            .iter()
            .map(|&(n, v)| (n, v.max(own.0) - shift))
            .collect();
        let highs: Vec<(f64, f64)> = self
            .highs
            .iter()
            .rev()
            .map(|&(n, v)| (n, shift - v.min(own.1)))
            .collect();
        // The others are all but these: their sum is bounded from the other side.
        let all_highs: f64 = self.highs.iter().map(|&(n, v)| n * (v - shift)).sum();
        let all_lows: f64 = self.lows.iter().map(|&(n, v)| n * (v - shift)).sum();
        let prefix: Vec<(f64, f64)> = self.highs.iter().map(|&(n, v)| (n, v - shift)).collect();
        let suffix: Vec<(f64, f64)> = self.lows.iter().rev().map(|&(n, v)| (n, shift - v)).collect();
        let shifted = (total.0 - shift * count, total.1 - shift * count);
        let least = smallest(&lows, low, high).max(shifted.0 - all_highs + smallest(&prefix, low, high));
        let most = (-smallest(&highs, low, high)).min(shifted.1 - all_lows - smallest(&suffix, low, high));
        Bounds {
            low: least,
            value: least,
            high: most,
        }
    }
}

/// Smallest sum of the first m values of stretches whose values ascend, m between `low` and `high`.
fn smallest(stretches: &[(f64, f64)], low: f64, high: f64) -> f64 {
    let (mut taken, mut sum) = (0.0f64, 0.0);
    for &(count, value) in stretches {
        let take = if value < 0.0 {
            count.min(high - taken)
        } else {
            count.min((low - taken).max(0.0))
        };
        if take > 0.0 {
            sum += take * value;
            taken += take;
        }
    }
    sum
}

/// The mean of the values of a column in rows that meet the node.
pub fn average(parts: &[Part], target: Target, ty: ColumnType, node: &Node) -> Result<Option<Bounds<f64>>> {
    let plain = tally(parts, target, ty, node, 0.0)?;
    if plain.count.high == 0.0 {
        return Ok(None);
    }
    let value = plain.sum.value / plain.count.value.max(1.0);
    let about = if value.is_finite() { value } else { 0.0 };
    // Distances from about the mean are small, and so is what the number of values does to their sum.
    let near = tally(parts, target, ty, node, about)?;
    let part = |sum: f64, worst: f64, open: f64| if worst > 0.0 { sum / worst } else { open };
    let fewest = near.count.low;
    let most = near.count.high;
    let low = part(
        near.sum.low,
        if near.sum.low < 0.0 { fewest } else { most },
        f64::NEG_INFINITY,
    );
    let high = part(
        near.sum.high,
        if near.sum.high > 0.0 { fewest } else { most },
        f64::INFINITY,
    );
    let rounding = about.abs() * ROUNDING;
    let size = plain.least.abs().max(plain.most.abs()) * ROUNDING;
    let low = (about + low - rounding).max(plain.least - size);
    let high = (about + high + rounding).min(plain.most + size);
    let value = between(value, low, high);
    Ok(Some(Bounds { low, value, high }))
}

/// Values of one part by order, and what is left of doubt.
enum Ranks<'a> {
    /// Values as they are stored: for certain, and perhaps.
    Stored(Ordered<'a>, Ordered<'a>, Option<Precision>),
    Buckets(Weighted<'a>),
}

/// The `q`-quantile (as SQL's `percentile_disc`) of the values of a column in rows that meet the node; keys.
pub fn quantile(
    parts: &[Part],
    target: Target,
    ty: ColumnType,
    node: &Node,
    q: f64,
) -> Result<Option<(u64, u64)>> {
    let mut ranks = Vec::with_capacity(parts.len());
    for part in parts {
        ranks.push(match weighted(part).filter(|of| of.channel(target).is_some()) {
            Some(of) => Ranks::Buckets(of),
            None => {
                let precision = match part.view(target)? {
                    View::Stored(column) => column.precision(),
                    _ => None,
                };
                let ((certain, _), (possible, _)) = sides(part, node)?;
                let one = std::slice::from_ref(part);
                Ranks::Stored(
                    Ordered::new(one, target, &certain)?,
                    Ordered::new(one, target, &possible)?,
                    precision,
                )
            }
        });
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a number of values; the cast saturates"
    )]
    let rank = |all: u64| ((q * all as f64).ceil() as u64).max(1);
    let with = |keys: Interval| {
        let own = Node::Leaf(Leaf {
            target,
            condition: Condition::Keys(keys),
            negated: false,
        });
        match node {
            Node::All => own,
            Node::And(list) => Node::And(list.iter().cloned().chain([own]).collect()),
            other => Node::And(vec![other.clone(), own]),
        }
    };
    // At most so many values in `few`, and at least so many in `many`.
    let sides = |few: Interval, many: Interval, key: u64, is_low: bool| -> Result<(u64, u64)> {
        let (mut most, mut least) = (0u64, 0u64);
        for part in &ranks {
            match part {
                Ranks::Stored(certain, possible, precision) => {
                    let edge = shifted(ty, key, *precision, is_low);
                    let edge = if is_low && precision.is_none() {
                        key.checked_sub(1)
                    } else {
                        Some(edge)
                    };
                    let up_to = |of: &Ordered<'_>| edge.map_or(Ok(0), |edge| of.up_to(edge));
                    let (a, b) = (up_to(possible)?, up_to(certain)?);
                    if is_low {
                        most = most.saturating_add(a);
                        least = least.saturating_add(certain.total.saturating_sub(b));
                    } else {
                        most = most.saturating_add(possible.total.saturating_sub(a));
                        least = least.saturating_add(b);
                    }
                }
                Ranks::Buckets(of) => {
                    let (few, many) = (with(few), with(many));
                    each_chunk(&candidates(of, node)?, |rows| {
                        for chance in chances(of, &few, rows.clone())? {
                            most = most.saturating_add(chance.high);
                        }
                        for chance in chances(of, &many, rows)? {
                            least = least.saturating_add(chance.low);
                        }
                        Ok(())
                    })?;
                }
            }
        }
        Ok((most, least))
    };
    let ends = ty.key_range();
    let (above_all, _) = sides(
        Interval {
            low: 0,
            high: u64::MAX,
        },
        Interval::NONE,
        0,
        false,
    )?;
    let (stored_most, _) = sides(
        Interval {
            low: 0,
            high: u64::MAX,
        },
        Interval::NONE,
        u64::MAX,
        true,
    )?;
    if above_all == 0 && stored_most == 0 {
        return Ok(None);
    }
    // The largest key that the quantile is not below: too few values are below it.
    let not_below = |key: u64| -> Result<bool> {
        let Some(before) = key.checked_sub(1) else {
            return Ok(true);
        };
        let (below, from) = sides(
            Interval { low: 0, high: before },
            Interval {
                low: key,
                high: u64::MAX,
            },
            key,
            true,
        )?;
        Ok(below == 0 || below < rank(below.saturating_add(from)))
    };
    // The smallest key that the quantile is not above: enough values are up to it.
    let not_above = |key: u64| -> Result<bool> {
        let Some(after) = key.checked_add(1) else {
            return Ok(true);
        };
        let (above, up_to) = sides(
            Interval {
                low: after,
                high: u64::MAX,
            },
            Interval { low: 0, high: key },
            key,
            false,
        )?;
        Ok(above == 0 || up_to >= rank(above.saturating_add(up_to)))
    };
    let (mut low, mut high) = ends;
    while low < high {
        let middle = high - (high - low) / 2;
        if not_below(middle)? {
            low = middle
        } else {
            high = middle - 1
        }
    }
    let least = low;
    (low, high) = (least, ends.1);
    while low < high {
        let middle = low + (high - low) / 2;
        if not_above(middle)? {
            high = middle
        } else {
            low = middle + 1
        }
    }
    Ok(Some((least, high)))
}
