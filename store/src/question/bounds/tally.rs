//! Numbers, sums and means between which the truth lies.

use super::super::aggregate;
use super::super::chance::{candidates, chances, precision, shifted};
use super::super::part::Part;
use super::super::resolve::{Leaf, Node, Target};
use super::super::view::View;
use super::super::weighted::{Weighted, each_chunk, weighted};
use super::sides::{Bounds, sides};
use crate::codes::Interval;
use crate::column::{Condition, Sum};
use crate::domain::bounded::Precision;
use crate::error::Result;
use crate::schema::ColumnType;
use crate::segment::buckets::Cell;
use crate::value::number_of;

/// Share of the sum of magnitudes that a sum of floats may be off by its additions.
const ROUNDING: f64 = 1e-12;

/// `value`, or the end that it lies behind.
pub(super) fn between(value: f64, low: f64, high: f64) -> f64 {
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
