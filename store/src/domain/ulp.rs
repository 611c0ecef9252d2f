//! Decimals that missed their grid by a few representable floats.
//!
//! Good at: decimal readings that went through arithmetic, a unit conversion or a lossy printer, so that most are exact
//! decimals and nearly all lie within a few units in the last place of one. A code is `unit << ulp_bits | correction +
//! half`, ordered by decimal first and correction second, which is the order of the values as long as neighbouring grid
//! values are more than `2^ulp_bits` floats apart; a grid where they are not is not chosen. So the map is strictly
//! monotone on the values it holds, and exceptions are the rest. The parameters are those of [`super::decimal`].

use super::decimal::{Grid, LIMIT, key_of_number, number_near};

/// Widest correction, in bits.
pub const MAX_BITS: u8 = 16;

/// Difference of `key` from the nearest decimal of `digits` digits, in representable floats.
#[inline]
pub(crate) fn correction(key: u64, digits: u8, wide: bool) -> Option<i64> {
    let number = number_near(key, digits, wide)?;
    Some(key.wrapping_sub(key_of_number(number, digits, wide)) as i64)
}

/// Whether all neighbouring values of `grid` are far enough apart for its corrections.
pub(crate) fn has_room(grid: &Grid) -> bool {
    let need = 1u64 << grid.ulp_bits;
    let apart = |unit: u64| grid.unit_key(unit + 1).wrapping_sub(grid.unit_key(unit)) > need;
    // Floats are sparsest, and so grid values closest in count, where magnitudes are largest: at the ends.
    grid.last == 0 || (apart(0) && apart(grid.last - 1))
}

/// Whether `number` can be a grid number.
pub(crate) fn in_limit(number: i64) -> bool {
    -LIMIT < number && number < LIMIT
}
