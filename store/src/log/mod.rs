//! log: being built.
