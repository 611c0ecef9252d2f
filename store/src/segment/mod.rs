//! segment: being built.
