//! Which domain a column gets: the one with the fewest estimated bits on a sample, among those that are exact.
//!
//! The estimate of a sequence of codes is the mean width of the differences of neighbours, plus one bit, and never more
//! than the width of their range: what an adaptive wavelet matrix and most other layouts come close to.

use super::boolean::BOOLEAN;
use super::decimal::Grid;
use super::dictionary::{Dictionary, Distinct, MOST_KEYS};
use super::integer::Steps;
use super::kind::DomainKind;
use crate::schema::ColumnType;

mod candidates;
mod mapping;
mod sample;

pub use candidates::DomainCost;
pub(crate) use candidates::{candidates, grid_name};
use mapping::on_grid;
use sample::Sample;

/// A column's keys in code form.
#[derive(Debug)]
pub(crate) struct Coded {
    /// The domain.
    pub(crate) kind: DomainKind,
    /// Its parameters as bytes.
    pub(crate) header: Vec<u8>,
    /// One code a key; that of the greatest value below where the key is an exception.
    pub(crate) codes: Vec<u64>,
    /// Place and key of each exception.
    pub(crate) exceptions: Vec<(u64, u64)>,
}

/// Picks a domain for `keys` and maps them. Of grids that take as much, that of `digits` decimal digits is preferred.
pub(crate) fn encode(ty: ColumnType, keys: &[u64], digits: Option<u8>) -> Coded {
    if ty == ColumnType::Bool {
        return steps(DomainKind::Boolean, BOOLEAN, keys);
    }
    if ty.is_float() {
        let sample = Sample::of(keys);
        if let Some((grid, cost)) = best_grid(&sample, ty == ColumnType::F64, digits) {
            // A dictionary must beat the grid; plain bits are left when neither is good.
            if sample.dictionary_bits() < cost {
                if let Some(coded) = dictionary(keys, cost, &sample) {
                    return coded;
                }
            }
            if let Some(coded) = on_grid(grid, keys) {
                return coded;
            }
        }
        return encode_exact(ty, keys);
    }
    encode_exact(ty, keys)
}

/// Maps `keys` in a domain that leaves no exceptions.
pub(crate) fn encode_exact(ty: ColumnType, keys: &[u64]) -> Coded {
    let sample = Sample::of(keys);
    let fitted = Steps::fit(keys);
    let cost = sample.bits(|key| Some(key.wrapping_sub(fitted.base) / fitted.step));
    if sample.dictionary_bits() < cost {
        if let Some(coded) = dictionary(keys, cost, &sample) {
            return coded;
        }
    }
    steps(
        if ty.is_float() {
            DomainKind::Float
        } else {
            DomainKind::Integer
        },
        fitted,
        keys,
    )
}

fn steps(kind: DomainKind, steps: Steps, keys: &[u64]) -> Coded {
    let codes = steps.codes(keys);
    Coded {
        kind,
        header: steps.write(keys.len() as u64),
        codes,
        exceptions: Vec::new(),
    }
}

fn dictionary(keys: &[u64], limit_bits: f64, sample: &Sample) -> Option<Coded> {
    let distinct = Distinct::of(keys, MOST_KEYS.min(keys.len() / 4 + 1))?;
    let sorted = distinct.sorted();
    let bits = Dictionary::size_bits(sorted) as f64 / keys.len().max(1) as f64
        + sample.bits(|key| sorted.binary_search(&key).ok().map(|place| place as u64));
    (bits < limit_bits).then(|| Coded {
        kind: DomainKind::Dictionary,
        header: Dictionary::write(sorted, keys.len() as u64),
        codes: distinct.codes(),
        exceptions: Vec::new(),
    })
}

/// The grid with the fewest bits on the sample, and those bits; `None` if no grid beats total-order bits.
fn best_grid(sample: &Sample, wide: bool, digits: Option<u8>) -> Option<(Grid, f64)> {
    let mut best: Option<(Grid, f64)> = None;
    let plain = sample.bits(Some);
    grids(sample, wide, &mut |grid, mut bits| {
        if digits == Some(grid.digits) {
            // Segments on one grid answer together: worth a little.
            bits -= 0.25;
        }
        if bits < plain && best.as_ref().is_none_or(|(_, least)| bits < *least) {
            best = Some((grid, bits));
        }
    });
    best
}

/// Tells `consider` of the grids that hold most of the sample, each with its estimated bits a value.
fn grids(sample: &Sample, wide: bool, consider: &mut dyn FnMut(Grid, f64)) {
    let blank = Grid {
        origin: 0,
        step: 1,
        last: 0,
        digits: 0,
        ulp_bits: 0,
        split: false,
        wide,
        single: None,
    };
    let most = if wide { 17 } else { 10 };
    for digits in 0..=most {
        let grid = Grid { digits, ..blank };
        let report = sample.on_grid(digits, wide);
        if report.near == 0 {
            break;
        }
        if report.exact * 2 > sample.keys.len() {
            consider(grid, report.plain_bits);
            if report.split_bits < report.plain_bits - 0.3 {
                consider(Grid { split: true, ..grid }, report.split_bits);
            }
        }
        if report.exact < sample.keys.len() && report.ulp_bits > 0 {
            consider(
                Grid {
                    ulp_bits: report.ulp_bits,
                    ..grid
                },
                report.ulp_cost,
            );
        }
        if report.exact == sample.keys.len() {
            break;
        }
    }
    // After the others, which win a tie; printed singles are exact decimals too, with many digits.
    if let Some((grid, bits)) = sample.through_single(blank) {
        consider(grid, bits);
    }
}
