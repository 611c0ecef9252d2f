//! question: being built.
