//! The domains that the choice weighs, each with its price: the same estimates, told instead of compared.

use super::{Sample, grids};
use crate::domain::decimal::Grid;
use crate::domain::dictionary::{Dictionary, Distinct, MOST_KEYS};
use crate::domain::integer::Steps;
use crate::domain::kind::DomainKind;
use crate::schema::ColumnType;

/// A domain that a column could have, and its price.
#[derive(Debug, Clone, PartialEq)]
pub struct DomainCost {
    /// Name with its parameters ("decimal(2)").
    pub name: String,
    /// Estimated bits a value, from differences of neighbours on the sample; values beside the codes included.
    pub bits: f64,
}

/// Domains for a column of `len` values of which `keys` are a sample, in pieces as [`Sample::of`] takes them.
pub(crate) fn candidates(ty: ColumnType, keys: Vec<u64>, len: u64) -> Vec<DomainCost> {
    if ty == ColumnType::Bool || keys.is_empty() {
        return Vec::new();
    }
    let sample = Sample::of(&keys);
    let mut out = Vec::new();
    let mut add = |name: String, bits: f64| out.push(DomainCost { name, bits });
    let fitted = Steps::fit(&keys);
    let kind = if ty.is_float() {
        DomainKind::Float
    } else {
        DomainKind::Integer
    };
    add(
        kind.name().into(),
        sample.bits(|key| Some(key.wrapping_sub(fitted.base) / fitted.step)),
    );
    if ty.is_float() {
        grids(&sample, ty == ColumnType::F64, &mut |grid, bits| {
            add(grid_name(&grid), bits);
        });
    }
    if sample.dictionary_bits().is_finite() {
        if let Some(distinct) = Distinct::of(&keys, MOST_KEYS.min(keys.len() / 2 + 1)) {
            let distinct = distinct.sorted();
            let entries = Dictionary::size_bits(distinct) as f64 / len.max(1) as f64;
            let codes = sample.bits(|key| distinct.binary_search(&key).ok().map(|place| place as u64));
            add(DomainKind::Dictionary.name().into(), entries + codes);
        }
    }
    out
}

/// Name of a grid's domain with its digits.
pub(crate) fn grid_name(grid: &Grid) -> String {
    format!("{}({})", grid.kind().name(), grid.digits)
}
