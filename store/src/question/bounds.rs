//! Answers between which the truth lies, over rows that are not what they were: values within an error, and rows that
//! stand for many.

use super::aggregate;
use super::chance::{candidates, chances};
use super::part::Part;
use super::resolve::Node;
use super::weighted::{each_chunk, weighted};
use crate::error::Result;

mod quantile;
mod sides;
mod tally;

pub use quantile::quantile;
pub use sides::Bounds;
use sides::sides;
use tally::between;
pub use tally::{Tally, average, tally};

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
