//! Siltstone.
