//! What is certain of a question to values within an error, and what is possible.

use super::super::chance::shifted;
use super::super::part::Part;
use super::super::resolve::{Leaf, Node};
use super::super::view::View;
use crate::codes::Interval;
use crate::column::Condition;
use crate::error::Result;

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

/// The rows of a part that meet the node for certain, and those that may; each with whether it differs from the node.
pub fn sides(part: &Part, node: &Node) -> Result<((Node, bool), (Node, bool))> {
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
