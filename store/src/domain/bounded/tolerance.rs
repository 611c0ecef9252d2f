//! How far a stored value may be from what was measured, and what is known of values that were moved.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::section::Section;
use crate::value::above;

/// How far a stored value may be from what was measured.
#[derive(Debug, Clone, Copy)]
pub enum Tolerance {
    /// By this much, in the column's unit.
    Absolute(f64),
    /// By this share of the value, below 0.5. For floats only.
    Relative(f64),
}

impl Tolerance {
    /// The largest error, or share.
    pub fn size(self) -> f64 {
        match self {
            Tolerance::Absolute(size) | Tolerance::Relative(size) => size,
        }
    }

    /// Number of the kind in files.
    pub(crate) fn code(self) -> u8 {
        match self {
            Tolerance::Absolute(_) => 1,
            Tolerance::Relative(_) => 2,
        }
    }

    pub(crate) fn from_code(code: u8, size: f64) -> Option<Tolerance> {
        match code {
            1 => Some(Tolerance::Absolute(size)),
            2 => Some(Tolerance::Relative(size)),
            _ => None,
        }
    }

    /// The same kind of tolerance with another size.
    pub(crate) fn with_size(self, size: f64) -> Tolerance {
        match self {
            Tolerance::Absolute(_) => Tolerance::Absolute(size),
            Tolerance::Relative(_) => Tolerance::Relative(size),
        }
    }

    /// Whether both are absolute, or both relative.
    pub(crate) fn same_kind(self, other: Tolerance) -> bool {
        matches!(self, Tolerance::Absolute(_)) == matches!(other, Tolerance::Absolute(_))
    }

    /// Whether the size is one that values can be held to.
    pub fn is_sound(self) -> bool {
        let size = self.size();
        size.is_finite() && size > 0.0 && (matches!(self, Tolerance::Absolute(_)) || size < 0.5)
    }

    /// Largest absolute error of a value that is stored as `value`.
    pub fn error_at(self, value: f64) -> f64 {
        match self {
            Tolerance::Absolute(size) => size,
            // |stored - true| <= r |true| and |true| <= |stored| / (1 - r).
            Tolerance::Relative(share) => above(above(value.abs() * above(share / (1.0 - share)))),
        }
    }
}

impl PartialEq for Tolerance {
    /// Bit by bit, so that policies are equal to themselves.
    fn eq(&self, other: &Tolerance) -> bool {
        self.code() == other.code() && self.size().to_bits() == other.size().to_bits()
    }
}

impl Eq for Tolerance {}

impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tolerance::Absolute(size) => write!(f, "{size}"),
            Tolerance::Relative(share) => write!(f, "{}%", share * 100.0),
        }
    }
}

impl FromStr for Tolerance {
    type Err = Error;

    /// `0.05`, or `0.1%`.
    fn from_str(text: &str) -> Result<Tolerance> {
        let number = |text: &str| text.trim().parse::<f64>().ok();
        let found = match text.strip_suffix('%') {
            Some(percent) => number(percent).map(|percent| Tolerance::Relative(percent / 100.0)),
            None => number(text).map(Tolerance::Absolute),
        };
        found.filter(|tolerance| tolerance.is_sound()).ok_or_else(|| {
            Error::invalid(format!(
                "{text:?} is no tolerance; give an error above 0, or a share like 0.1% below 50%"
            ))
        })
    }
}

/// How exact the values of a column are that were moved.
///
/// ```text
/// offset  width  field
///      0      8  tolerance  the promise, a 64-bit float above 0, finite; relative: below 0.5
///      8      8  largest    largest error of any value, above 0 and at most the tolerance
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Precision {
    /// What was promised.
    pub tolerance: Tolerance,
    /// Largest error of any value, of the tolerance's kind: at most its size.
    pub largest: f64,
}

impl Precision {
    /// Number of the form in files.
    pub(crate) fn codec(&self) -> u16 {
        self.tolerance.code().into()
    }

    /// The bytes.
    pub(crate) fn write(&self) -> Vec<u8> {
        [self.tolerance.size(), self.largest]
            .iter()
            .flat_map(|size| size.to_le_bytes())
            .collect()
    }

    /// Reads what [`Precision::write`] wrote.
    pub(crate) fn open(codec: u16, section: &Section) -> Result<Precision> {
        let size = f64::from_bits(section.u64(0)?);
        let largest = f64::from_bits(section.u64(8)?);
        let tolerance = u8::try_from(codec)
            .ok()
            .and_then(|code| Tolerance::from_code(code, size));
        let Some(tolerance) = tolerance else {
            return Err(section.corrupt(0, format!("precision of kind {codec} is unknown")));
        };
        let sound = tolerance.is_sound() && largest > 0.0 && largest <= size;
        if !sound || section.len() != 16 {
            return Err(section.corrupt(0, "these bytes describe no precision".into()));
        }
        Ok(Precision { tolerance, largest })
    }

    /// Largest absolute error of a value that is stored as `value`.
    pub fn error_at(&self, value: f64) -> f64 {
        self.tolerance.with_size(self.largest).error_at(value)
    }

    /// What values may still be moved by, so that they stay within `wanted` of what they were at first.
    pub(crate) fn room(carried: Option<Precision>, wanted: Tolerance) -> Option<Tolerance> {
        let Some(carried) = carried else {
            return Some(wanted);
        };
        let left = wanted.size() - carried.largest;
        let left = match wanted {
            Tolerance::Absolute(_) => left,
            Tolerance::Relative(_) => left / (1.0 + carried.largest),
        };
        let left = wanted.with_size(left * (1.0 - 1e-12));
        (wanted.same_kind(carried.tolerance) && left.is_sound()).then_some(left)
    }

    /// The precision of values of precision `carried` that were moved by `largest` more, within `wanted`.
    pub(crate) fn after(carried: Option<Precision>, wanted: Tolerance, largest: f64) -> Precision {
        let before = carried.map_or(0.0, |carried| carried.largest);
        let both = match (wanted, carried) {
            (_, None) => largest,
            (Tolerance::Absolute(_), _) => above(before + largest),
            (Tolerance::Relative(_), _) => above((before + largest + before * largest) * (1.0 + 1e-15)),
        };
        Precision {
            tolerance: wanted,
            largest: both.min(wanted.size()),
        }
    }

    /// The precision that holds for values of both, where they are of one kind.
    pub(crate) fn join(a: Option<Precision>, b: Option<Precision>) -> Option<Option<Precision>> {
        match (a, b) {
            (Some(a), Some(b)) if a.tolerance.same_kind(b.tolerance) => {
                let size = a.tolerance.size().max(b.tolerance.size());
                Some(Some(Precision {
                    tolerance: a.tolerance.with_size(size),
                    largest: a.largest.max(b.largest),
                }))
            }
            (Some(_), Some(_)) => None,
            (a, b) => Some(a.or(b)),
        }
    }
}
