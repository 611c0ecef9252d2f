//! What rows a question is asked of.

use std::ops::Bound;

use crate::text::TextPattern;
use crate::value::Value;

/// A condition on one row, with SQL's three-valued logic: a row counts where the condition is true.
///
/// Columns are named; the time column by its own name, with [`Value::Timestamp`] operands. Floats compare by IEEE 754
/// totalOrder in [`Predicate::Interval`]; the constructors ([`Predicate::lt`] and so on) widen bounds at zero so that
/// -0.0 equals 0.0, as SQL says.
#[derive(Debug, Clone, PartialEq)]
pub enum Predicate {
    /// Every row.
    All,
    /// No row; its negation is every row.
    Nothing,
    /// Neither true nor false for any row, as a comparison with null; so is its negation.
    Unknown,
    /// The column's value lies between two bounds (fixed-width: totalOrder; text: byte by byte).
    Interval {
        /// Column name.
        column: String,
        /// Lower bound.
        low: Bound<Value>,
        /// Upper bound.
        high: Bound<Value>,
    },
    /// The column's value is one of these.
    In {
        /// Column name.
        column: String,
        /// The values; a null among them never matches.
        values: Vec<Value>,
    },
    /// The text or bytes column matches a pattern.
    Text {
        /// Column name.
        column: String,
        /// The pattern.
        pattern: TextPattern,
    },
    /// The column has no value.
    IsNull {
        /// Column name.
        column: String,
    },
    /// All of these hold.
    And(Vec<Predicate>),
    /// At least one of these holds.
    Or(Vec<Predicate>),
    /// This does not hold (and is not unknown).
    Not(Box<Predicate>),
}

impl Predicate {
    /// `column = value`.
    pub fn eq(column: impl Into<String>, value: impl Into<Value>) -> Self {
        let value = value.into();
        Self::between_bounds(column, Bound::Included(value.clone()), Bound::Included(value))
    }

    /// `column < value`.
    pub fn lt(column: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::between_bounds(column, Bound::Unbounded, Bound::Excluded(value.into()))
    }

    /// `column <= value`.
    pub fn le(column: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::between_bounds(column, Bound::Unbounded, Bound::Included(value.into()))
    }

    /// `column > value`.
    pub fn gt(column: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::between_bounds(column, Bound::Excluded(value.into()), Bound::Unbounded)
    }

    /// `column >= value`.
    pub fn ge(column: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::between_bounds(column, Bound::Included(value.into()), Bound::Unbounded)
    }

    /// `column BETWEEN low AND high`, both included.
    pub fn between(column: impl Into<String>, low: impl Into<Value>, high: impl Into<Value>) -> Self {
        Self::between_bounds(column, Bound::Included(low.into()), Bound::Included(high.into()))
    }

    /// The interval between two bounds, widened at zero so that -0.0 equals 0.0. A null bound is [`Predicate::Unknown`].
    pub fn between_bounds(column: impl Into<String>, low: Bound<Value>, high: Bound<Value>) -> Self {
        let null =
            |b: &Bound<Value>| matches!(b, Bound::Included(Value::Null) | Bound::Excluded(Value::Null));
        if null(&low) || null(&high) {
            return Predicate::Unknown;
        }
        Predicate::Interval {
            column: column.into(),
            low: widen(low, -0.0, 0.0),
            high: widen(high, 0.0, -0.0),
        }
    }

    /// The column matches a text pattern.
    pub fn text(column: impl Into<String>, pattern: TextPattern) -> Self {
        Predicate::Text {
            column: column.into(),
            pattern,
        }
    }

    /// The text or bytes column contains `needle`.
    pub fn contains(column: impl Into<String>, needle: impl Into<Vec<u8>>) -> Self {
        Self::text(column, TextPattern::Contains(needle.into()))
    }

    /// The column is null.
    pub fn is_null(column: impl Into<String>) -> Self {
        Predicate::IsNull {
            column: column.into(),
        }
    }

    /// Both hold.
    #[must_use]
    pub fn and(self, other: Predicate) -> Self {
        match (self, other) {
            (Predicate::All, p) | (p, Predicate::All) => p,
            (Predicate::And(mut a), Predicate::And(b)) => {
                a.extend(b);
                Predicate::And(a)
            }
            (Predicate::And(mut a), p) => {
                a.push(p);
                Predicate::And(a)
            }
            (p, q) => Predicate::And(vec![p, q]),
        }
    }

    /// At least one holds.
    #[must_use]
    pub fn or(self, other: Predicate) -> Self {
        match (self, other) {
            (Predicate::Nothing, p) | (p, Predicate::Nothing) => p,
            (Predicate::Or(mut a), p) => {
                a.push(p);
                Predicate::Or(a)
            }
            (p, q) => Predicate::Or(vec![p, q]),
        }
    }
}

impl std::ops::Not for Predicate {
    type Output = Predicate;

    /// Neither holds nor is unknown.
    fn not(self) -> Predicate {
        Predicate::Not(Box::new(self))
    }
}

/// `included` is the zero that an included bound moves to, `excluded` the one for an excluded bound.
fn widen(bound: Bound<Value>, included: f64, excluded: f64) -> Bound<Value> {
    let zero = |sign: f64, value: &Value| match value {
        Value::F64(v) if *v == 0.0 => Value::F64(sign),
        #[expect(clippy::cast_possible_truncation, reason = "zeros are exact")]
        Value::F32(v) if *v == 0.0 => Value::F32(sign as f32),
        other => other.clone(),
    };
    match bound {
        Bound::Included(v) => Bound::Included(zero(included, &v)),
        Bound::Excluded(v) => Bound::Excluded(zero(excluded, &v)),
        Bound::Unbounded => Bound::Unbounded,
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}
impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Value::I64(value)
    }
}
impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Value::U64(value)
    }
}
impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Value::F64(value)
    }
}
impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Value::Text(value.to_owned())
    }
}
