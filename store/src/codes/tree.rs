//! Codes as a tree of intervals: what a search over several columns descends at the same time.
//!
//! A node stands for an interval of codes, `low ..= low + (2^bits - 1)`, and for the rows of some ranges whose codes lie
//! in it. Its children halve the interval. How a layout finds their rows is its own affair: it keeps that in *places*,
//! a list of pairs which the caller hands from one step to the next, so that a step allocates nothing.

use std::ops::Range;

use crate::error::Result;

/// Part of where a node's rows are; its meaning is the layout's own.
pub type Place = (u64, u64);

/// Rows of some ranges whose codes lie in one interval.
#[derive(Debug, Clone)]
pub struct Node {
    /// Smallest code of the interval.
    pub low: u64,
    /// Bits of a code that are not decided yet, at most 64.
    pub bits: u32,
    /// How many rows.
    pub rows: u64,
    /// Which of the places are the node's.
    pub(crate) places: Range<usize>,
    /// How the layout goes on.
    pub(crate) state: u32,
}

impl Node {
    /// Largest code of the interval.
    pub fn high(&self) -> u64 {
        let span = match self.bits {
            64 => u64::MAX,
            bits => (1 << bits) - 1,
        };
        self.low.saturating_add(span)
    }

    /// Smallest code of the upper half; the node has undecided bits.
    pub fn middle(&self) -> u64 {
        self.low.saturating_add(1 << self.bits.saturating_sub(1).min(63))
    }

    /// The node's own places among `all`.
    pub(crate) fn places<'a>(&self, all: &'a [Place]) -> &'a [Place] {
        all.get(self.places.clone()).unwrap_or_default()
    }
}

/// A layout that halves intervals of codes in place.
pub trait Tree {
    /// Smallest and largest code of all.
    fn bounds(&self) -> (u64, u64);

    /// The node of all codes for `ranges`, which are sorted, disjoint and within the codes.
    ///
    /// # Errors
    /// `OutOfRange` if the ranges are not.
    fn root(&self, ranges: &[Range<u64>], places: &mut Vec<Place>) -> Result<Node>;

    /// Asks for what a step from `node` reads first; then, asked `again`, for what it finds by that.
    fn prefetch(&self, node: &Node, places: &[Place], again: bool);

    /// The two halves of `node`, which has undecided bits and whose places are in `from`; theirs are appended to `to`.
    ///
    /// Rows of both together are those of the node, whatever the bytes.
    ///
    /// # Errors
    /// `Corrupt` for damage.
    fn split(&self, node: &Node, from: &[Place], to: &mut Vec<Place>) -> Result<[Node; 2]>;

    /// Whether [`Tree::list`] reads each row in one place.
    fn is_leaf(&self, node: &Node) -> bool;

    /// Appends the codes of the node's rows to `out`, in no particular order.
    ///
    /// # Errors
    /// `Corrupt` for damage.
    fn list(&self, node: &Node, places: &[Place], out: &mut Vec<u64>) -> Result<()>;
}
