//! domain: being built.
