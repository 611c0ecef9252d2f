//! `count_bounds(*)`, `sum_bounds(x)`, `avg_bounds(x)` and `quantile_bounds(x, q)`: a struct (low, value, high) whose
//! ends the truth lies between, though values were moved and rows downsampled since they were measured.
//!
//! They are questions to the snapshot: over the rows of one stream, all of whose conditions the store answers alone, in
//! one group or in those of key columns. A group comes if rows may be in it. A plan that has them elsewhere is refused.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

use crate::call::bounds_type;

/// Names of the functions.
const NAMES: [&str; 4] = ["count_bounds", "sum_bounds", "avg_bounds", "quantile_bounds"];

/// Whether a function is one of these.
pub(crate) fn is_bounds(name: &str) -> bool {
    NAMES.contains(&name)
}

/// The functions.
pub(crate) fn functions() -> impl Iterator<Item = Arc<AggregateUDF>> {
    let one = |name| {
        Arc::new(AggregateUDF::from(BoundsFunction {
            name,
            signature: Signature::variadic_any(Volatility::Immutable),
        }))
    };
    NAMES.into_iter().map(one)
}

/// The error for a function where it cannot be answered.
///
/// # Errors
/// Always.
pub(crate) fn refuse<T>(name: &str) -> Result<T> {
    let how = match name {
        "count_bounds" => "count_bounds(*)",
        "quantile_bounds" => "quantile_bounds(x, 0.9)",
        "sum_bounds" => "sum_bounds(x)",
        _ => "avg_bounds(x)",
    };
    plan_err!(
        "{name} is a question to the store: it is written {how}, of a channel x of numbers, over the rows of one stream, \
         with conditions that the store answers alone (EXPLAIN shows them as the predicate of a SiltScan), grouped by key \
         columns at most, without FILTER, DISTINCT and aggregates that are no such questions beside it"
    )
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct BoundsFunction {
    name: &'static str,
    signature: Signature,
}

impl AggregateUDFImpl for BoundsFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(bounds_type(match self.name {
            "count_bounds" => DataType::Int64,
            _ => DataType::Float64,
        }))
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        refuse(self.name)
    }
}
