//! False and true as codes 0 and 1, always, so that every segment of a stream has the same map.
//!
//! The parameters are those of [`super::integer`] with base 0, step 1 and last code 1.

use super::integer::Steps;

/// The one map of booleans.
pub const BOOLEAN: Steps = Steps {
    base: 0,
    step: 1,
    last: 1,
};
