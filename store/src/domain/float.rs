//! Total-order bits of floats, offset by the smallest: what is left when values lie on no grid.
//!
//! Good at: full-entropy floats (model output, fused estimates). The top bits (sign, exponent, first digits of the
//! mantissa) are smooth and rank well, the rest is incompressible and becomes bit planes. The parameters are those of
//! [`super::integer`], over the keys of [`crate::value`].

use super::integer::Steps;

/// The map for the total-order keys of floats.
pub fn fit(keys: &[u64]) -> Steps {
    Steps::fit(keys)
}
