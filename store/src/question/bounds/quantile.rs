//! Order statistics between which the truth lies.

use super::super::chance::{candidates, chances, shifted};
use super::super::ordered::Ordered;
use super::super::part::Part;
use super::super::resolve::{Leaf, Node, Target};
use super::super::view::View;
use super::super::weighted::{Weighted, each_chunk, weighted};
use super::sides::sides;
use crate::codes::Interval;
use crate::column::Condition;
use crate::domain::bounded::Precision;
use crate::error::Result;
use crate::schema::ColumnType;

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
