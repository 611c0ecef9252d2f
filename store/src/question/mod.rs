//! Questions: a predicate becomes conditions on columns once, then each part of a snapshot answers in its own form.
//!
//! | file | what it does |
//! |---|---|
//! | [`resolve`] | `Predicate` over names and values -> [`resolve::Node`] over column positions and keys |
//! | [`condition`] | the plain meaning of a condition on one value; every index is held to it |
//! | [`memory`], [`keyed`], [`clock`] | columns that are not stored as such: in the tail, in the run directory, the time |
//! | [`view`] | one column of one part, whichever of these it is |
//! | [`part`] | rows of one part that meet a node, as ranges or masks |
//! | [`aggregate`] | count, sum and extremes over all parts |
//! | [`ordered`] | order statistics over all parts |
//! | [`point`] | single rows of one part |
//! | [`descent`] | the k-th smallest value of several parts, by one descent through all of them |
//! | [`order`] | the same of sources that only count |
//! | [`passes`] | the same of values in no order, more than memory holds |
//! | [`scan`] | values of selected rows, in batches |
//! | [`weighted`], [`known`] | rows that stand for many: plain questions, and what is known of each |
//! | [`chance`], [`bounds`] | answers between which the truth lies |

pub mod aggregate;
pub mod bounds;
pub mod chance;
pub mod clock;
pub mod condition;
mod descent;
pub mod keyed;
pub mod known;
pub mod memory;
mod order;
pub mod ordered;
pub mod part;
mod passes;
mod point;
pub mod resolve;
pub mod scan;
pub mod view;
pub mod weighted;
