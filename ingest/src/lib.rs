//! The `silt` command, and what it is made of: input sources, type inference, `--where`, tables.
//!
//! The binary is one line over [`command::run`]. The parts are a library so that tests, fuzz targets and other
//! programs can use them.
//!
//! | part | what it is |
//! |---|---|
//! | [`command`] | one file for each sub-command; arguments, help, exit codes |
//! | [`source`] | inputs, one file for each format |
//! | [`infer`], [`plan`] | types of columns from a sample; fields to columns |
//! | [`field`], [`clock`], [`time_format`], [`stamp`] | typed values and times from text; times at the start of log lines |
//! | [`load`], [`reject`], [`progress`] | from a source into a store; refused lines; what is told meanwhile |
//! | [`ram`] | the one number for memory |
//! | [`output`] | rows as tables, CSV, JSON lines |
//! | [`filter`] | `--where` |
//! | [`demo`] | a simulated machine, and the story told about it |
//! | [`failure`] | why a command failed, and the exit code that says so |

#![deny(unsafe_code)]

pub mod acknowledge;
pub mod clock;
pub mod command;
pub mod demo;
pub mod failure;
pub mod field;
pub mod filter;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod infer;
pub mod load;
pub mod output;
pub mod plan;
pub mod progress;
pub mod ram;
pub mod reject;
pub mod source;
pub mod stamp;
pub mod time_format;

pub use failure::{Failure, Outcome};

/// The examples of the README, compiled and run with the documentation's tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
