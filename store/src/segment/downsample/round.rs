//! Rounding of what is derived from decimals, so that it stays decimals and small.

use super::super::buckets::Cell;
use crate::schema::ColumnType;
use crate::value::{key_of_f32, key_of_f64, key_of_i64, number_of};

/// Rounds sums of decimals to decimals, where they are none only by the rounding of their addition; gives the digits.
pub(super) fn rounded_sums(ty: ColumnType, cells: &mut [Cell]) -> Option<i32> {
    let rounded = |cell: &Cell, digits: i32| {
        let power = 10f64.powi(digits);
        let sum = (cell.float * power).round() / power;
        let size = number_of(ty, cell.min).abs().max(number_of(ty, cell.max).abs()) * cell.count as f64;
        ((sum - cell.float).abs() <= size * 1e-13).then_some(sum)
    };
    let finite = |cell: &&Cell| cell.count > 0 && cell.float.is_finite();
    let all = cells.iter().filter(finite).count();
    let digits = (0..=9).find(|&digits| {
        let near = cells
            .iter()
            .filter(finite)
            .filter(|cell| rounded(cell, digits).is_some());
        near.count() * 20 >= all * 19
    })?;
    for cell in cells.iter_mut().filter(|cell| cell.float.is_finite()) {
        cell.float = rounded(cell, digits).unwrap_or(cell.float);
    }
    Some(digits)
}

/// The mean, rounded: of decimals two digits further than they go, else to 26 bits.
pub(super) fn mean_key(ty: ColumnType, cell: &Cell, digits: Option<i32>) -> u64 {
    let mean = cell.mean(ty);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a mean lies between the smallest and the largest value"
    )]
    match (ty, digits) {
        (ColumnType::F64, Some(digits)) if mean.is_finite() => {
            let power = 10f64.powi(digits + 2);
            let near = (mean * power).round() / power;
            key_of_f64(if near.is_finite() { near } else { mean })
        }
        (ColumnType::F64, None) if mean.is_finite() => {
            key_of_f64(f64::from_bits(mean.to_bits() & !((1 << 26) - 1)))
        }
        (ColumnType::F64, _) => key_of_f64(mean),
        (ColumnType::F32, Some(digits)) if mean.is_finite() => {
            let power = 10f64.powi(digits + 2);
            key_of_f32(((mean * power).round() / power) as f32)
        }
        (ColumnType::F32, _) => key_of_f32(mean as f32),
        (ColumnType::U8 | ColumnType::U16 | ColumnType::U32 | ColumnType::U64, _) => {
            (mean.round() as u64).max(cell.min).min(cell.max)
        }
        _ => key_of_i64(mean.round() as i64).max(cell.min).min(cell.max),
    }
}
