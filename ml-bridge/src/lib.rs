//! Feeds windows of compressed sensor data to a built-in int8 kernel, for detection and on-device training.
//!
//! | room | what it is |
//! |---|---|
//! | [`train`] | a small autoencoder or gate, from a stream's healthy rows to a model in the store |
//! | [`detect`] | a score for every window of a stream, and a stream of detections |
//! | [`dut`] | a model as the device under test of the MLPerf Tiny runner |
//! | [`window`] | windows of a snapshot into buffers the caller owns; front ends such as a spectrum |
//! | [`engine`] | a model compiled for this processor: packed weights, one arena, a list of steps |
//! | [`model`] | the graph as plain data: own file format, stacks of dense layers, `.tflite` |
//! | [`kernel`] | the inner loops, one file per instruction set, all with the same bits |
//! | [`normalize`] | a channel's values to the numbers a network sees, exactly, also on keys |
//! | [`math`] | elementary functions with the same bits on every machine |

#![deny(unsafe_code)]

pub mod detect;
pub mod dut;
pub mod engine;
pub mod fuzzing;
pub mod kernel;
pub mod math;
pub mod model;
pub mod normalize;
pub mod train;
pub mod window;

pub use siltstone_store::error::{Error, Result};
