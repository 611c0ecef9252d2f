//! Domains: weakly monotone maps from the keys of a column's values to unsigned codes.
//!
//! One file a domain. `a < b` implies `code(a) <= code(b)`, so a question about values is a question about codes. A
//! domain that cannot hold every value exactly leaves some as *exceptions*, which share the code of the greatest value
//! below them and are kept beside by their keys.

use crate::error::{Error, Result};
use crate::schema::ColumnType;
use crate::section::Section;
use crate::value::i64_of;

pub mod boolean;
pub mod bounded;
pub mod choose;
pub mod decimal;
pub mod dictionary;
pub mod float;
pub mod integer;
mod kind;
pub mod single;
pub mod ulp;

use decimal::Grid;
use dictionary::Dictionary;
use integer::Steps;
pub use kind::DomainKind;

/// The read side of a domain.
#[derive(Debug)]
pub(crate) enum Domain {
    Steps(Steps),
    Grid(Grid),
    Dictionary(Dictionary),
}

impl Domain {
    /// Opens the parameters in `section`; gives the number of codes too.
    pub(crate) fn open(kind: DomainKind, ty: ColumnType, section: Section) -> Result<(Domain, u64)> {
        let opened = match kind {
            DomainKind::Integer | DomainKind::Float | DomainKind::Boolean => {
                let (steps, count) = Steps::open(&section)?;
                if kind == DomainKind::Boolean && steps != boolean::BOOLEAN {
                    return Err(section.corrupt(8, "booleans have base 0, step 1 and last code 1".into()));
                }
                (Domain::Steps(steps), count)
            }
            DomainKind::Decimal | DomainKind::Ulp | DomainKind::Digit | DomainKind::Single => {
                let (grid, count) = Grid::open(&section)?;
                if !ty.is_float() || grid.wide != (ty == ColumnType::F64) || grid.kind() != kind {
                    return Err(section.corrupt(33, format!("this is no {} grid of type {ty}", kind.name())));
                }
                (Domain::Grid(grid), count)
            }
            DomainKind::Bounded => {
                let (steps, count) = bounded::open(&section)?;
                if !ty.is_float() {
                    return Err(section.corrupt(0, format!("a column of type {ty} has no bounded domain")));
                }
                (Domain::Steps(steps), count)
            }
            DomainKind::Dictionary => {
                let (dictionary, count) = Dictionary::open(section)?;
                (Domain::Dictionary(dictionary), count)
            }
        };
        Ok(opened)
    }

    /// Key of `code`.
    #[inline]
    pub(crate) fn key(&self, code: u64) -> Result<u64> {
        match self {
            Domain::Steps(steps) => Ok(steps.key(code)),
            Domain::Grid(grid) => Ok(grid.key(code)),
            Domain::Dictionary(dictionary) => dictionary.key(code),
        }
    }

    /// Turns codes into keys, in place.
    pub(crate) fn keys(&self, codes: &mut [u64]) -> Result<()> {
        match self {
            Domain::Steps(steps) => steps.keys(codes),
            Domain::Grid(grid) => grid.keys(codes),
            Domain::Dictionary(dictionary) => dictionary.keys(codes)?,
        }
        Ok(())
    }

    /// Largest code whose key is at most `key`; `None` if all keys are above.
    pub(crate) fn at_most(&self, key: u64) -> Result<Option<u64>> {
        match self {
            Domain::Steps(steps) => Ok(steps.at_most(key)),
            Domain::Grid(grid) => Ok(grid.at_most(key)),
            Domain::Dictionary(dictionary) => dictionary.at_most(key),
        }
    }

    /// Smallest code whose key is at least `key`; `None` if all keys are below.
    pub(crate) fn at_least(&self, key: u64) -> Result<Option<u64>> {
        let Some(below) = key.checked_sub(1) else {
            return Ok(Some(0));
        };
        Ok(match self.at_most(below)? {
            None => Some(0),
            Some(code) => self.next(code),
        })
    }

    /// Smallest code after `code`; `None` after the last.
    pub(crate) fn next(&self, code: u64) -> Option<u64> {
        let last = match self {
            Domain::Steps(steps) => steps.last,
            Domain::Grid(grid) => return grid.next(code),
            Domain::Dictionary(dictionary) => dictionary.last(),
        };
        (code < last).then(|| code + 1)
    }

    /// Largest code.
    pub(crate) fn last(&self) -> u64 {
        match self {
            Domain::Steps(steps) => steps.last,
            Domain::Grid(grid) => grid.last_code(),
            Domain::Dictionary(dictionary) => dictionary.last(),
        }
    }
}

/// Integer that a key of type `ty` stands for.
pub(crate) fn integer_of(ty: ColumnType, key: u64) -> i128 {
    match ty {
        ColumnType::I8 | ColumnType::I16 | ColumnType::I32 | ColumnType::I64 | ColumnType::Timestamp(_) => {
            i128::from(i64_of(key))
        }
        _ => i128::from(key),
    }
}

/// An [`Error::InvalidArgument`] for a question that a column's type cannot answer.
pub(crate) fn wrong_type(ty: ColumnType) -> Error {
    Error::invalid(format!("this question makes no sense for a column of type {ty}"))
}
