//! The demonstration: a machine whose bearing starts to fail, from raw signal to alarm.
//!
//! [`machine`] simulates and knows the truth, [`events`] writes its log, [`load`] puts both into a store, and
//! [`story`] asks, trains, detects and tells. The detector never sees the truth.

pub mod events;
pub mod load;
pub mod machine;
pub mod plot;
mod sql;
pub mod story;
mod verdict;
mod words;
