//! Turns a predicate over names and values into conditions over column positions and keys.
//!
//! NOT is pushed down to the leaves, where it means "has a value, and the condition does not hold". After that, AND
//! and OR need no third truth value: a row counts where the whole is true.

#![expect(
    clippy::cast_possible_truncation,
    reason = "float bounds saturate at the ends of i128, beyond every type; narrowing is compared afterwards"
)]

use std::cmp::Ordering;
use std::ops::Bound;

use crate::codes::Interval;
use crate::column::Condition;
use crate::error::{Error, Result};
use crate::predicate::Predicate;
use crate::schema::{ColumnType, Schema};
use crate::text::TextPattern;
use crate::value::{Value, f32_of, f64_of, key_of_f32, key_of_f64, key_of_i64};

/// A condition on one column.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// The column.
    pub target: Target,
    /// What must hold of it.
    pub condition: Condition,
    /// Whether the condition must fail instead (on a value; nulls meet neither).
    pub negated: bool,
}

/// A column of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The time column.
    Time,
    /// A column by position in [`Schema::columns`].
    Column(usize),
}

/// A predicate in negation normal form.
#[derive(Debug, Clone)]
pub enum Node {
    /// Every row.
    All,
    /// No row.
    Nothing,
    /// A condition on one column.
    Leaf(Leaf),
    /// All of these.
    And(Vec<Node>),
    /// At least one of these.
    Or(Vec<Node>),
}

/// Finds a column by name.
///
/// # Errors
/// `InvalidArgument` naming the columns that there are.
pub fn target(schema: &Schema, name: &str) -> Result<Target> {
    if name == schema.time_name() {
        return Ok(Target::Time);
    }
    schema.position(name).map(Target::Column).ok_or_else(|| {
        let mut names = vec![schema.time_name()];
        names.extend(schema.columns().iter().map(|c| c.name.as_str()));
        Error::invalid(format!(
            "there is no column {name:?}; there are {}",
            names.join(", ")
        ))
    })
}

/// Type of a column.
pub fn type_of(schema: &Schema, target: Target) -> ColumnType {
    match target {
        Target::Time => ColumnType::Timestamp(schema.time_unit()),
        Target::Column(position) => schema.columns()[position].ty,
    }
}

/// Resolves a predicate against a schema.
///
/// # Errors
/// `InvalidArgument` for an unknown column or an operand that cannot be compared with its column.
pub fn resolve(schema: &Schema, predicate: &Predicate) -> Result<Node> {
    node(schema, predicate, false)
}

fn node(schema: &Schema, predicate: &Predicate, negated: bool) -> Result<Node> {
    Ok(match predicate {
        Predicate::All if !negated => Node::All,
        Predicate::Nothing if negated => Node::All,
        Predicate::All | Predicate::Nothing | Predicate::Unknown => Node::Nothing,
        Predicate::Not(inner) => node(schema, inner, !negated)?,
        Predicate::And(list) if !negated => and(children(schema, list, false)?),
        Predicate::Or(list) if negated => and(children(schema, list, true)?),
        Predicate::And(list) | Predicate::Or(list) => or(children(schema, list, negated)?),
        Predicate::IsNull { column } => {
            let condition = if negated {
                Condition::IsNotNull
            } else {
                Condition::IsNull
            };
            let target = target(schema, column)?;
            match (target, negated) {
                (Target::Time, true) => Node::All,
                (Target::Time, false) => Node::Nothing,
                _ => Node::Leaf(Leaf {
                    target,
                    condition,
                    negated: false,
                }),
            }
        }
        Predicate::Interval { column, low, high } => {
            let target = target(schema, column)?;
            let condition = interval(type_of(schema, target), low, high).map_err(|e| name_it(e, column))?;
            Node::Leaf(Leaf {
                target,
                condition,
                negated,
            })
        }
        Predicate::In { column, values } => {
            let target = target(schema, column)?;
            if negated && values.iter().any(Value::is_null) {
                return Ok(Node::Nothing);
            }
            let condition = one_of(type_of(schema, target), values).map_err(|e| name_it(e, column))?;
            Node::Leaf(Leaf {
                target,
                condition,
                negated,
            })
        }
        Predicate::Text { column, pattern } => {
            let target = target(schema, column)?;
            if !type_of(schema, target).is_binary() {
                return Err(Error::invalid(format!(
                    "column {column:?} is not text; a pattern asks for text or bytes"
                )));
            }
            Node::Leaf(Leaf {
                target,
                condition: text(pattern),
                negated,
            })
        }
    })
}

fn text(pattern: &TextPattern) -> Condition {
    match pattern {
        TextPattern::Equals(value) => {
            Condition::Between(Bound::Included(value.clone()), Bound::Included(value.clone()))
        }
        other => Condition::Text(other.clone()),
    }
}

fn name_it(error: Error, column: &str) -> Error {
    match error {
        Error::InvalidArgument { what } => Error::invalid(format!("column {column:?}: {what}")),
        other => other,
    }
}

fn children(schema: &Schema, list: &[Predicate], negated: bool) -> Result<Vec<Node>> {
    list.iter().map(|p| node(schema, p, negated)).collect()
}

fn and(nodes: Vec<Node>) -> Node {
    let mut out = Vec::new();
    for node in nodes {
        match node {
            Node::All => {}
            Node::Nothing => return Node::Nothing,
            Node::And(inner) => out.extend(inner),
            other => out.push(other),
        }
    }
    match out.len() {
        0 => Node::All,
        1 => out.remove(0),
        _ => Node::And(out),
    }
}

fn or(nodes: Vec<Node>) -> Node {
    let mut out = Vec::new();
    for node in nodes {
        match node {
            Node::Nothing => {}
            Node::All => return Node::All,
            Node::Or(inner) => out.extend(inner),
            other => out.push(other),
        }
    }
    match out.len() {
        0 => Node::Nothing,
        1 => out.remove(0),
        _ => Node::Or(out),
    }
}

fn interval(ty: ColumnType, low: &Bound<Value>, high: &Bound<Value>) -> Result<Condition> {
    if ty.is_binary() {
        return Ok(Condition::Between(bytes_bound(low)?, bytes_bound(high)?));
    }
    let (min, max) = ty.key_range();
    let low = match low {
        Bound::Unbounded => Some(min),
        Bound::Included(v) => first_key(ty, v, false)?,
        Bound::Excluded(v) => first_key(ty, v, true)?,
    };
    let high = match high {
        Bound::Unbounded => Some(max),
        // Keys up to v are those below the first key greater than v.
        Bound::Included(v) => before(first_key(ty, v, true)?, min, max),
        Bound::Excluded(v) => before(first_key(ty, v, false)?, min, max),
    };
    Ok(Condition::Keys(match (low, high) {
        (Some(low), Some(high)) => Interval { low, high },
        _ => Interval::NONE,
    }))
}

fn before(first_above: Option<u64>, min: u64, max: u64) -> Option<u64> {
    match first_above {
        None => Some(max),
        Some(key) if key > min => Some(key - 1),
        Some(_) => None,
    }
}

fn bytes_bound(bound: &Bound<Value>) -> Result<Bound<Vec<u8>>> {
    let bytes = |v: &Value| {
        v.as_bytes()
            .map(<[u8]>::to_vec)
            .ok_or_else(|| Error::invalid(format!("{v:?} cannot be compared with text")))
    };
    Ok(match bound {
        Bound::Included(v) => Bound::Included(bytes(v)?),
        Bound::Excluded(v) => Bound::Excluded(bytes(v)?),
        Bound::Unbounded => Bound::Unbounded,
    })
}

/// The smallest key of type `ty` whose value is at least `value` (or above it, if `above`); `None` if there is none.
fn first_key(ty: ColumnType, value: &Value, above: bool) -> Result<Option<u64>> {
    let (min, max) = ty.key_range();
    let step = |key: u64| {
        if above {
            (key < max).then(|| key + 1)
        } else {
            Some(key)
        }
    };
    let incomparable = || Error::invalid(format!("{value:?} cannot be compared with type {ty}"));
    if let (ColumnType::Bool, Value::Bool(b)) = (ty, value) {
        return Ok(step(u64::from(*b)));
    }
    let integer = match *value {
        Value::I64(v) => Some(i128::from(v)),
        Value::U64(v) => Some(i128::from(v)),
        Value::Timestamp(v) if !ty.is_float() => Some(i128::from(v)),
        _ => None,
    };
    let float = match *value {
        Value::F64(v) => Some(v),
        Value::F32(v) => Some(f64::from(v)),
        _ => None,
    };
    match (ty, integer, float) {
        (ColumnType::Bool | ColumnType::Text | ColumnType::Bytes, _, _) => Err(incomparable()),
        (ColumnType::F64, _, Some(v)) => Ok(step(key_of_f64(v))),
        (ColumnType::F64, Some(v), _) => Ok(first_float(v, above, v as f64, key_of_f64, f64_of)),
        (ColumnType::F32, _, Some(v)) => {
            let narrow = v as f32;
            Ok(match f64::from(narrow).total_cmp(&v) {
                Ordering::Equal => step(key_of_f32(narrow)),
                Ordering::Greater => Some(key_of_f32(narrow)),
                Ordering::Less => key_of_f32(narrow).checked_add(1).filter(|key| *key <= max),
            })
        }
        (ColumnType::F32, Some(v), _) => Ok(first_float(
            v,
            above,
            f64::from(v as f32),
            |f| key_of_f32(f as f32),
            |k| f64::from(f32_of(k)),
        )
        .filter(|key| *key <= max)),
        (_, Some(v), _) => Ok(integer_key(ty, if above { v + 1 } else { v }, min, max)),
        (_, _, Some(v)) if v.is_nan() => Ok(v.is_sign_negative().then_some(min)),
        (_, _, Some(v)) => {
            // Floats beyond i128 saturate, which is beyond every column type too.
            let bound = if above {
                (v.floor() as i128).saturating_add(1)
            } else {
                v.ceil() as i128
            };
            Ok(integer_key(ty, bound, min, max))
        }
        _ => Err(incomparable()),
    }
}

/// First key of an integer-like type whose value is at least `value`.
fn integer_key(ty: ColumnType, value: i128, min: u64, max: u64) -> Option<u64> {
    let unsigned = matches!(
        ty,
        ColumnType::U8 | ColumnType::U16 | ColumnType::U32 | ColumnType::U64
    );
    let key = if unsigned {
        match u64::try_from(value) {
            Ok(key) => key,
            Err(_) if value < 0 => min,
            Err(_) => return None,
        }
    } else {
        match i64::try_from(value) {
            Ok(v) => key_of_i64(v),
            Err(_) if value < 0 => min,
            Err(_) => return None,
        }
    };
    (key <= max).then(|| key.max(min))
}

/// First key of a float type at least (or above) an integer; zero counts as both zeros.
fn first_float(
    value: i128,
    above: bool,
    nearest: f64,
    key_of: impl Fn(f64) -> u64,
    value_of: impl Fn(u64) -> f64,
) -> Option<u64> {
    if value == 0 {
        return Some(if above { key_of(0.0) + 1 } else { key_of(-0.0) });
    }
    let key = key_of(nearest);
    let found = value_of(key);
    let order = if found.is_infinite() {
        found.total_cmp(&0.0)
    } else {
        (found as i128).cmp(&value)
    };
    match order {
        Ordering::Greater => Some(key),
        Ordering::Equal if !above => Some(key),
        _ => key.checked_add(1),
    }
}

fn one_of(ty: ColumnType, values: &[Value]) -> Result<Condition> {
    let values = values.iter().filter(|v| !v.is_null());
    if ty.is_binary() {
        let mut list = Vec::new();
        for value in values {
            let bytes = value.as_bytes();
            list.push(
                bytes
                    .ok_or_else(|| Error::invalid(format!("{value:?} cannot be compared with text")))?
                    .to_vec(),
            );
        }
        list.sort_unstable();
        list.dedup();
        return Ok(Condition::BytesIn(list));
    }
    let mut keys = Vec::new();
    for value in values {
        let Predicate::Interval { low, high, .. } = Predicate::eq("", value.clone()) else {
            continue;
        };
        if let Condition::Keys(found) = interval(ty, &low, &high)? {
            // Equality meets at most two keys: the two zeros.
            keys.extend([found.low, found.high].iter().filter(|_| !found.is_empty()));
        }
    }
    keys.sort_unstable();
    keys.dedup();
    Ok(Condition::KeyIn(keys))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::question::condition::matches_key;
    use proptest::prelude::*;

    fn numbers() -> impl Strategy<Value = f64> {
        prop_oneof![
            Just(0.0),
            Just(-0.0),
            Just(f64::NAN),
            Just(-f64::NAN),
            Just(f64::INFINITY),
            Just(f64::NEG_INFINITY),
            Just(0.1),
            Just(1e300),
            Just(-1e300),
            (-300i32..300).prop_map(|v| f64::from(v) / 2.0),
            any::<f64>(),
        ]
    }

    proptest! {
        #[test]
        fn float_bounds_on_integers(bound in numbers(), v in prop_oneof![-200i64..200, any::<i64>()], above: bool) {
            let low = if above { Bound::Excluded(Value::F64(bound)) } else { Bound::Included(Value::F64(bound)) };
            let condition = interval(ColumnType::I64, &low, &Bound::Unbounded).unwrap();
            let exact = if bound.is_nan() {
                bound.is_sign_negative()
            } else if bound.abs() >= 1e19 {
                bound < 0.0
            } else {
                let (whole, part) = (bound.floor() as i128, bound - bound.floor());
                if above { i128::from(v) > whole } else { i128::from(v) > whole || (part == 0.0 && i128::from(v) == whole) }
            };
            prop_assert_eq!(matches_key(&condition, Some(key_of_i64(v))), exact);
        }

        #[test]
        fn integer_bounds_on_floats(bound in prop_oneof![-200i64..200, any::<i64>()], v in numbers(), above: bool) {
            prop_assume!(!v.is_nan());
            let high = if above { Bound::Included(Value::I64(bound)) } else { Bound::Excluded(Value::I64(bound)) };
            let condition = interval(ColumnType::F64, &Bound::Unbounded, &high).unwrap();
            let order = if v.abs() >= 1e19 { v.total_cmp(&0.0) } else {
                (v.floor() as i128).cmp(&i128::from(bound)).then(if v > v.floor() { Ordering::Greater } else { Ordering::Equal })
            };
            prop_assert_eq!(matches_key(&condition, Some(key_of_f64(v))), order == Ordering::Less || (above && order == Ordering::Equal));
        }

        #[test]
        fn wide_bounds_on_narrow_floats(bound in numbers(), v in any::<f32>(), above: bool) {
            let low = if above { Bound::Excluded(Value::F64(bound)) } else { Bound::Included(Value::F64(bound)) };
            let condition = interval(ColumnType::F32, &low, &Bound::Unbounded).unwrap();
            let order = f64::from(v).total_cmp(&bound);
            prop_assume!(!(v.is_nan() && bound.is_nan()));
            prop_assert_eq!(matches_key(&condition, Some(key_of_f32(v))), order == Ordering::Greater || (!above && order == Ordering::Equal));
        }
    }

    #[test]
    fn zero_is_both_zeros_only_through_constructors() {
        let eq = Predicate::eq("x", 0.0);
        let Predicate::Interval { low, high, .. } = eq else {
            unreachable!()
        };
        let widened = interval(ColumnType::F64, &low, &high).unwrap();
        assert!(
            matches_key(&widened, Some(key_of_f64(-0.0))) && matches_key(&widened, Some(key_of_f64(0.0)))
        );
        let raw = interval(
            ColumnType::F64,
            &Bound::Included(Value::F64(0.0)),
            &Bound::Unbounded,
        )
        .unwrap();
        assert!(!matches_key(&raw, Some(key_of_f64(-0.0))));
    }
}
