//! What makes rows durable before they are sealed: the write-ahead log, and the manifest that says what counts.
//!
//! | file | what it is |
//! |---|---|
//! | [`pack`] | columns packed for the log |
//! | [`frame`] | rows that are there whole or not at all |
//! | [`generation`] | one file of the log, and its header |
//! | [`replay`] | reading the log, after a restart or beside the writer |
//! | [`wal`] | writing it, with syncs shared between threads |
//! | [`manifest`] | which segments, models and generations make up the store |

pub(crate) mod frame;
pub(crate) mod generation;
#[cfg(test)]
mod golden;
pub(crate) mod manifest;
mod pack;
pub(crate) mod replay;
mod salvage;
pub(crate) mod wal;
