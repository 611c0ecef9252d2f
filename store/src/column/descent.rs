//! A column's values as a tree of intervals of keys: the tree of its codes, seen through its domain.
//!
//! The map from codes to keys is monotone, so the node of an interval of codes is one of an interval of keys, and holds
//! the exceptions that lie in it. What exceptions add is settled at single codes: the value that the code itself stands
//! for, and exceptions as a list in value order.

use std::borrow::Cow;
use std::ops::Range;

use super::numeric::Numeric;
use super::{Body, Column};
use crate::codes::Interval;
use crate::codes::tree::{Node, Place, Tree};
use crate::domain::Domain;
use crate::error::Result;
use crate::rows::RowRanges;

/// Some values of a column: all lie in `keys`, and there are `rows` of them.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    /// Interval of keys, both ends included; one key if all values are known.
    pub(crate) keys: Interval,
    /// How many values.
    pub(crate) rows: u64,
    at: At,
}

#[derive(Debug, Clone)]
enum At {
    /// All values are the one key.
    Known,
    Node(Node),
    /// The exceptions in `keys`.
    Exceptions,
    /// Keys of a sorted list, from this place on.
    List(usize),
}

impl Group {
    fn known(key: u64, rows: u64) -> Group {
        let keys = Interval { low: key, high: key };
        Group {
            keys,
            rows,
            at: At::Known,
        }
    }

    /// The keys of an ascending list at `places`; `None` if there are none.
    pub(crate) fn of_list(list: &[u64], places: Range<usize>) -> Option<Group> {
        let start = places.start;
        let found = list.get(places)?;
        let (low, high) = (*found.first()?, *found.last()?);
        Some(Group {
            keys: Interval { low, high },
            rows: found.len() as u64,
            at: At::List(start),
        })
    }

    /// The group's part of the list that it is of.
    pub(crate) fn in_list<'a>(&self, list: &'a [u64]) -> &'a [u64] {
        let At::List(start) = self.at else {
            return &[];
        };
        let rows = usize::try_from(self.rows).unwrap_or(0);
        list.get(start..start.saturating_add(rows)).unwrap_or_default()
    }

    /// The two halves of an interval of keys in a list.
    pub(crate) fn split_list(&self, list: &[u64], out: &mut Vec<Group>) {
        let At::List(start) = self.at else { return };
        let own = self.in_list(list);
        let middle = self.keys.low + (self.keys.high - self.keys.low) / 2;
        let middle = start + own.partition_point(|&key| key <= middle);
        out.extend(Group::of_list(list, start..middle));
        out.extend(Group::of_list(list, middle..start + own.len()));
    }

    /// Goes over to another list of places: what a step keeps has its places in the list that the step makes.
    pub(crate) fn keep(&mut self, from: &[Place], to: &mut Vec<Place>) {
        if let At::Node(node) = &mut self.at {
            let start = to.len();
            to.extend_from_slice(node.places(from));
            node.places = start..to.len();
        }
    }
}

/// A descent through the values of some rows of a column. The places of its groups are the caller's to keep.
pub(crate) struct Descent<'a> {
    numeric: &'a Numeric,
    tree: Box<dyn Tree + 'a>,
    positions: Cow<'a, [Range<u64>]>,
}

impl Column {
    /// A descent through the values of `rows`; `None` where codes are not kept as a tree.
    pub(crate) fn descent<'a>(&'a self, rows: &'a RowRanges) -> Result<Option<Descent<'a>>> {
        let Body::Numeric(numeric) = &self.body else {
            return Ok(None);
        };
        let Some(tree) = numeric.codes().tree() else {
            return Ok(None);
        };
        Ok(Some(Descent {
            numeric,
            tree,
            positions: self.positions(rows.as_slice())?,
        }))
    }
}

impl Descent<'_> {
    /// All values.
    pub(crate) fn root(&self, places: &mut Vec<Place>) -> Result<Group> {
        let node = self.tree.root(&self.positions, places)?;
        let numeric = self.numeric;
        let (low, high) = self.tree.bounds();
        let (low, high) = (numeric.lowest(low)?, numeric.highest(high)?);
        Ok(Group {
            keys: Interval { low, high },
            rows: node.rows,
            at: At::Node(node),
        })
    }

    /// Asks for what [`Descent::split`] reads first; then, asked `again`, for what it finds by that.
    pub(crate) fn prefetch(&self, group: &Group, places: &[Place], again: bool) {
        if let At::Node(node) = &group.at {
            self.tree.prefetch(node, places, again);
        }
    }

    /// Whether [`Descent::list`] would be cheap for a few rows.
    pub(crate) fn is_leaf(&self, group: &Group) -> bool {
        match &group.at {
            At::Known => true,
            At::Node(node) => self.numeric.exceptions.is_none() && self.tree.is_leaf(node),
            At::Exceptions | At::List(_) => false,
        }
    }

    /// Appends the keys of a group for which [`Descent::is_leaf`] holds.
    pub(crate) fn list(&self, group: &Group, places: &[Place], out: &mut Vec<u64>) -> Result<()> {
        match &group.at {
            At::Node(node) => {
                let from = out.len();
                self.tree.list(node, places, out)?;
                self.numeric.domain.keys(out.get_mut(from..).unwrap_or_default())
            }
            _ => {
                let rows = usize::try_from(group.rows).unwrap_or(usize::MAX);
                out.resize(out.len().saturating_add(rows), group.keys.low);
                Ok(())
            }
        }
    }

    /// Appends smaller groups of the values of `group`, whose places are in `from`, to `out`; their places go to `to`.
    pub(crate) fn split(
        &self,
        group: &Group,
        from: &[Place],
        to: &mut Vec<Place>,
        out: &mut Vec<Group>,
    ) -> Result<()> {
        let first = out.len();
        match &group.at {
            At::Known | At::List(_) => out.push(group.clone()),
            At::Exceptions => self.split_exceptions(group, out)?,
            At::Node(node) if node.bits == 0 => self.split_code(group, node, out)?,
            At::Node(node) if node.rows == 1 && self.numeric.exceptions.is_none() => {
                let mut code = Vec::with_capacity(1);
                self.tree.list(node, from, &mut code)?;
                let code = code.first().copied().unwrap_or(node.low);
                out.push(Group::known(self.numeric.domain.key(code)?, 1));
            }
            At::Node(node) => {
                let halves = self.tree.split(node, from, to)?;
                let numeric = self.numeric;
                let middle = node.middle();
                let above = numeric.lowest(middle)?;
                // The key before that of the middle bounds the lower half, unless several codes have one key.
                let below = if node.bits > 1 && !numeric.shares_keys() {
                    above.saturating_sub(1)
                } else {
                    numeric.highest(middle.saturating_sub(1))?
                };
                let [low, mut high] = [
                    Interval {
                        low: group.keys.low,
                        high: below.min(group.keys.high),
                    },
                    Interval {
                        low: above.max(group.keys.low),
                        high: group.keys.high,
                    },
                ];
                if node.bits == 1 {
                    high.high = numeric.highest(middle)?.min(high.high);
                }
                for (half, keys) in halves.into_iter().zip([low, high]) {
                    out.push(Group {
                        // A damaged domain may turn ends around.
                        keys: Interval {
                            high: keys.high.max(keys.low),
                            ..keys
                        },
                        rows: half.rows,
                        at: At::Node(half),
                    });
                }
            }
        }
        let mut at = first;
        while at < out.len() {
            if out[at].rows == 0 {
                out.remove(at);
            } else {
                at += 1;
            }
        }
        Ok(())
    }

    /// The rows of one code: its own value, and exceptions.
    fn split_code(&self, group: &Group, node: &Node, out: &mut Vec<Group>) -> Result<()> {
        let own = self.numeric.domain.key(node.low)?;
        let exceptions = match &self.numeric.exceptions {
            None => 0,
            Some(exceptions) => exceptions.count(&self.positions, group.keys)?.min(node.rows),
        };
        out.push(Group::known(own, node.rows - exceptions));
        if exceptions > 0 {
            self.push_exceptions(group.keys, exceptions, out)?;
        }
        Ok(())
    }

    fn split_exceptions(&self, group: &Group, out: &mut Vec<Group>) -> Result<()> {
        let (Some(exceptions), Interval { low, high }) = (&self.numeric.exceptions, group.keys) else {
            return Ok(());
        };
        let middle = low + (high - low) / 2;
        let below = Interval { low, high: middle };
        let rows = exceptions.count(&self.positions, below)?.min(group.rows);
        self.push_exceptions(below, rows, out)?;
        let above = Interval {
            low: middle.saturating_add(1),
            high,
        };
        self.push_exceptions(above, group.rows - rows, out)
    }

    /// The `rows` exceptions in `keys`, with the interval that they really span.
    fn push_exceptions(&self, keys: Interval, rows: u64, out: &mut Vec<Group>) -> Result<()> {
        let (Some(exceptions), Some(last)) = (&self.numeric.exceptions, rows.checked_sub(1)) else {
            return Ok(());
        };
        let low = exceptions.quantile(&self.positions, keys, 0)?;
        let high = exceptions.quantile(&self.positions, keys, last)?;
        // A damaged list may contradict itself: intervals become smaller all the same.
        let low = low.clamp(keys.low, keys.high.max(keys.low));
        let high = high.clamp(low, keys.high.max(low));
        out.push(Group {
            keys: Interval { low, high },
            rows,
            at: if low == high { At::Known } else { At::Exceptions },
        });
        Ok(())
    }
}

impl Numeric {
    /// Whether several codes may have one key.
    fn shares_keys(&self) -> bool {
        match &self.domain {
            Domain::Grid(grid) => !grid.wide,
            _ => false,
        }
    }

    /// The smallest key that a value with a code from `code` on can have.
    fn lowest(&self, code: u64) -> Result<u64> {
        if code == 0 {
            return if self.exceptions.is_some() {
                Ok(0)
            } else {
                self.domain.key(0)
            };
        }
        // Not every number is a code.
        match self.domain.next(code - 1) {
            Some(next) => self.domain.key(next),
            None => Ok(u64::MAX),
        }
    }

    /// The largest key that a value with a code up to `code` can have.
    fn highest(&self, code: u64) -> Result<u64> {
        let last = self.domain.last();
        if self.exceptions.is_none() {
            return self.domain.key(code.min(last));
        }
        if code >= last {
            return Ok(u64::MAX);
        }
        match self.domain.next(code) {
            Some(next) => Ok(self.domain.key(next)?.saturating_sub(1)),
            None => Ok(u64::MAX),
        }
    }
}
