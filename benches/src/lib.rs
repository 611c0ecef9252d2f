//! Side-by-side measurements: columns to measure on, what each layout and each rival is asked, and how it is timed.
//!
//! [`data`] makes or reads a column, [`ours`] and [`rivals`] store it, [`questions`] asks all of them the same and
//! compares every answer with the plain column's, [`table`] prints what came of it. `--bin numbers` is the harness.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a measuring program may stop at any surprise"
)]

pub mod data;
pub mod logs;
pub mod measure;
pub mod ours;
pub mod python;
pub mod questions;
pub mod rivals;
pub mod stores;
pub mod subject;
pub mod table;
pub mod times;

/// What a measuring program does about errors: it stops and says which.
pub type Fallible<T> = Result<T, Box<dyn std::error::Error>>;
