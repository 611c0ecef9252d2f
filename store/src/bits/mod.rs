//! bits: being built.
