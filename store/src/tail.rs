//! Rows not yet sealed.
