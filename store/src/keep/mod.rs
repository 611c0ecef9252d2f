//! What makes a store a cache: a budget in bytes that holds at every moment, and what goes first when it is full.
//!
//! | file | what it is |
//! |---|---|
//! | [`retention`] | a stream's policy: which steps its rows take, by age and when the budget is full |
//! | [`ladder`] | the rungs that sealed rows go down |
//! | [`pins`] | rows that go last, by time and key |
//! | [`stretches`] | a set of times |
//! | [`losses`] | what was given up, written down |
//! | [`budget`] | how a budget is shared out |
//! | [`room`] | the door to the disk that refuses what would pass the budget, and counts what passes through it |
//!
//! Nothing here knows the manifest: who goes when is decided by [`store`](crate::store), which has it.

pub mod budget;
pub mod ladder;
pub mod losses;
pub mod pins;
pub mod retention;
pub mod room;
pub(crate) mod stretches;

pub use ladder::Rung;
pub use losses::{Cause, Loss, LossKind};
pub use pins::Pin;
pub use retention::{Action, Retention, Step};
