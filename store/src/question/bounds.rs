//! Answers between which the truth lies, over rows that are not what they were: values within an error, and rows that
//! stand for many.

use super::aggregate;
use super::chance::{candidates, chances, shifted};
use super::part::Part;
use super::resolve::{Leaf, Node};
use super::view::View;
use super::weighted::{each_chunk, weighted};
use crate::codes::Interval;
use crate::column::Condition;
use crate::error::Result;

mod quantile;
mod tally;

pub use quantile::quantile;
use tally::between;
pub use tally::{Tally, average, tally};

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
