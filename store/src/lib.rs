//! Siltstone's store: what a device's sensors say, kept in flat compressed files that answer questions in place.
//!
//! A [`Store`](store::Store) is a directory of streams. Rows are appended to a write-ahead log, gathered in a tail,
//! and sealed into immutable segments whose columns are sequences of order-preserving codes. A
//! [`Snapshot`](snapshot::Snapshot) answers questions over segments and tail together.
//!
//! The rooms, top to bottom (each imports only from below):
//!
//! | room | what it is |
//! |---|---|
//! | [`store`], [`snapshot`] | what a user of the library holds |
//! | [`question`] | predicates, aggregates and scans over the parts of a snapshot |
//! | [`log`], [`tail`] | what makes rows durable before they are sealed |
//! | [`keep`] | what makes the store a cache: policies, pins, losses, and the door that keeps the budget |
//! | [`segment`] | one flat file: writer, footer, verified pages, run directory |
//! | [`mod@column`] | one column of a segment: domain + codes + validity + statistics |
//! | [`domain`], [`codes`], [`text`] | order-preserving maps; code layouts; text indexes |
//! | [`bits`] | bit vectors with rank and select |
//! | [`storage`], [`section`] | the one door to the disk; checked views of mapped bytes |
//! | [`schema`], [`value`], [`batch`], [`rows`], [`predicate`], [`error`] | the words everything speaks in |

#![deny(unsafe_code)]

pub mod batch;
pub mod bits;
pub mod codes;
pub mod column;
pub mod domain;
pub mod error;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod keep;
pub mod log;
pub mod predicate;
pub mod question;
pub mod rows;
pub mod schema;
pub mod section;
pub mod segment;
pub mod snapshot;
pub mod storage;
pub mod store;
pub mod tail;
pub mod text;
pub mod value;
pub mod wire;

pub use error::{Error, Result};
