//! Aggregates as questions to a snapshot, and their answers.

use std::fmt::{self, Formatter};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, StructArray};
use datafusion::arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::ScalarValue;
use siltstone_store::column::{Moments, Sum};
use siltstone_store::snapshot::Bounds;
use siltstone_store::value::Value;

use crate::asked::Question;
use crate::types::{column_type, scalar};

/// One aggregate as a question.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Call {
    /// `count(*)`.
    Rows,
    /// `count(column)`.
    Values(String),
    Sum(String),
    Average(String),
    Smallest(String),
    Largest(String),
    Median(String),
    Spread(Spread, String),
    /// `count_bounds(*)`.
    RowsBetween,
    SumBetween(String),
    AverageBetween(String),
    QuantileBetween(String, f64),
}

/// A measure of how far values lie apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Spread {
    PopulationVariance,
    SampleVariance,
    PopulationDeviation,
    SampleDeviation,
}

impl Spread {
    /// The one that DataFusion gives this name.
    pub fn from_name(name: &str) -> Option<Spread> {
        Some(match name {
            "var_pop" => Spread::PopulationVariance,
            "var" => Spread::SampleVariance,
            "stddev_pop" => Spread::PopulationDeviation,
            "stddev" => Spread::SampleDeviation,
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Spread::PopulationVariance => "var_pop",
            Spread::SampleVariance => "var",
            Spread::PopulationDeviation => "stddev_pop",
            Spread::SampleDeviation => "stddev",
        }
    }

    /// The measure of some values; `None` for null.
    pub fn of(self, moments: &Moments) -> Option<f64> {
        match self {
            // A value is no distance from itself, even if it is no number.
            Spread::PopulationVariance if moments.count == 1 => Some(0.0),
            Spread::PopulationVariance => moments.population_variance(),
            Spread::SampleVariance => moments.sample_variance(),
            Spread::PopulationDeviation => Spread::PopulationVariance.of(moments).map(f64::sqrt),
            Spread::SampleDeviation => Spread::SampleVariance.of(moments).map(f64::sqrt),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Call::Rows => f.write_str("count(*)"),
            Call::Values(column) => write!(f, "count({column})"),
            Call::Sum(column) => write!(f, "sum({column})"),
            Call::Average(column) => write!(f, "avg({column})"),
            Call::Smallest(column) => write!(f, "min({column})"),
            Call::Largest(column) => write!(f, "max({column})"),
            Call::Median(column) => write!(f, "median({column})"),
            Call::Spread(spread, column) => write!(f, "{}({column})", spread.name()),
            Call::RowsBetween => f.write_str("count_bounds(*)"),
            Call::SumBetween(column) => write!(f, "sum_bounds({column})"),
            Call::AverageBetween(column) => write!(f, "avg_bounds({column})"),
            Call::QuantileBetween(column, q) => write!(f, "quantile_bounds({column}, {q})"),
        }
    }
}

/// One answer; `None` for null.
pub(crate) fn value(
    question: &Question,
    call: &Call,
    result: &DataType,
) -> siltstone_store::Result<Option<ScalarValue>> {
    let (snapshot, predicate) = (&question.snapshot, &question.predicate);
    let count = |n: u64| Some(ScalarValue::Int64(Some(i64::try_from(n).unwrap_or(i64::MAX))));
    let typed = |column: &str, value: &Value| scalar(column_type(snapshot.schema(), column)?, value);
    Ok(match call {
        Call::Rows => count(snapshot.count(predicate)?),
        Call::Values(column) => count(snapshot.count_values(column, predicate)?),
        Call::Sum(column) => snapshot.sum(column, predicate)?.map(|sum| match (sum, result) {
            #[expect(clippy::cast_possible_truncation, reason = "DataFusion's sums wrap")]
            (Sum::Integer(sum), DataType::UInt64) => ScalarValue::UInt64(Some(sum.cast_unsigned() as u64)),
            #[expect(clippy::cast_possible_truncation, reason = "DataFusion's sums wrap")]
            (Sum::Integer(sum), _) => ScalarValue::Int64(Some(sum as i64)),
            (Sum::Float(sum), _) => ScalarValue::Float64(Some(sum)),
        }),
        Call::Average(column) => {
            let sum = snapshot.sum(column, predicate)?;
            let values = snapshot.count_values(column, predicate)?;
            #[expect(clippy::cast_precision_loss, reason = "an average is rounded")]
            sum.map(|sum| {
                let sum = match sum {
                    Sum::Integer(sum) => sum as f64,
                    Sum::Float(sum) => sum,
                };
                ScalarValue::Float64(Some(sum / values as f64))
            })
        }
        Call::Spread(spread, column) => {
            let moments = snapshot.moments(column, predicate)?;
            spread
                .of(&moments)
                .map(|spread| ScalarValue::Float64(Some(spread)))
        }
        Call::Smallest(column) => snapshot
            .min_max(column, predicate)?
            .and_then(|(smallest, _)| typed(column, &smallest)),
        Call::Largest(column) => snapshot
            .min_max(column, predicate)?
            .and_then(|(_, largest)| typed(column, &largest)),
        Call::RowsBetween => {
            let found = snapshot.count_bounds(predicate)?;
            let part = |n: u64| -> ArrayRef {
                Arc::new(Int64Array::from(vec![i64::try_from(n).unwrap_or(i64::MAX)]))
            };
            bounds_scalar(DataType::Int64, [found.low, found.value, found.high].map(part))
        }
        Call::SumBetween(column) => numbers(snapshot.sum_bounds(column, predicate)?),
        Call::AverageBetween(column) => numbers(snapshot.avg_bounds(column, predicate)?),
        Call::QuantileBetween(column, q) => numbers(snapshot.quantile_bounds(column, *q, predicate)?),
        Call::Median(column) => {
            let values = snapshot.count_values(column, predicate)?;
            let middle = |k| snapshot.nth(column, k, predicate);
            match values {
                0 => None,
                n if n % 2 == 1 => middle(n / 2)?.and_then(|value| mean(&value, None, result)),
                n => match (middle(n / 2 - 1)?, middle(n / 2)?) {
                    (Some(low), Some(high)) => mean(&low, Some(&high), result),
                    _ => None,
                },
            }
        }
    })
}

/// Names of the parts of a pair of bounds.
const BOUNDS: [&str; 3] = ["low", "value", "high"];

/// Type of an answer with bounds, which are of type `ty`.
pub(crate) fn bounds_type(ty: DataType) -> DataType {
    let fields = BOUNDS.map(|name| Field::new(name, ty.clone(), true));
    DataType::Struct(Fields::from(fields.to_vec()))
}

fn bounds_scalar(ty: DataType, parts: [ArrayRef; 3]) -> Option<ScalarValue> {
    let DataType::Struct(fields) = bounds_type(ty) else {
        return None;
    };
    let array = StructArray::try_new(fields, parts.to_vec(), None).ok()?;
    Some(ScalarValue::Struct(Arc::new(array)))
}

fn numbers(bounds: Option<Bounds<f64>>) -> Option<ScalarValue> {
    let bounds = bounds?;
    let part = |number: f64| -> ArrayRef { Arc::new(Float64Array::from(vec![number])) };
    let parts = [bounds.low, bounds.value, bounds.high].map(part);
    bounds_scalar(DataType::Float64, parts)
}

/// The middle value, or the mean of the two, in the arithmetic of the result's type.
fn mean(low: &Value, high: Option<&Value>, result: &DataType) -> Option<ScalarValue> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "DataFusion's median casts integers before it orders them"
    )]
    let number = |value: &Value| match *value {
        Value::F64(v) => Some(v),
        Value::F32(v) => Some(f64::from(v)),
        Value::I64(v) => Some(v as f64),
        Value::U64(v) => Some(v as f64),
        _ => None,
    };
    match (result, low, high) {
        (DataType::Float32, Value::F32(low), None) => Some(ScalarValue::Float32(Some(*low))),
        (DataType::Float32, Value::F32(low), Some(Value::F32(high))) => {
            Some(ScalarValue::Float32(Some((low + high) / 2.0)))
        }
        (DataType::Float64, low, high) => {
            let low = number(low)?;
            let mean = match high {
                Some(high) => (low + number(high)?) / 2.0,
                None => low,
            };
            Some(ScalarValue::Float64(Some(mean)))
        }
        _ => None,
    }
}
