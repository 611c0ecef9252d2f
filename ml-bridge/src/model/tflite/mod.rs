//! `.tflite` files: read without any TFLite library, refused by name where something is unknown.
//!
//! The container is a flatbuffer. `reader` walks it with every offset checked; `import` knows the schema's
//! field numbers and turns one subgraph into a [`Model`](super::Model); `export` goes the other way.

mod export;
mod import;
mod reader;

pub use export::to_bytes;
pub use import::from_bytes;

#[cfg(test)]
pub(crate) mod recurrent_tests;
#[cfg(test)]
pub(crate) mod tests;
