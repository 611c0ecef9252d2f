//! Aggregates of a logical plan as questions to a snapshot.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Cast, Expr, ExprSchemable};
use siltstone_store::schema::Schema;

use crate::call::{Call, Spread};
use crate::types::column_type;
use crate::weigh::Known;

/// An aggregate of a plan as a question to the snapshot, where it is one.
///
/// `column` gives the stream's name of a column of `input`, the rows that are aggregated.
pub(crate) fn question_of(
    call: &AggregateFunction,
    column: &dyn Fn(&Expr) -> Option<String>,
    schema: &Schema,
    input: &DFSchema,
) -> Option<Call> {
    let (name, params) = (call.func.name(), &call.params);
    let is_distinct = params.distinct && !matches!(name, "min" | "max");
    if is_distinct || params.filter.is_some() || !params.order_by.is_empty() {
        return None;
    }
    let argument = params.args.first()?;
    let bounded = name.ends_with("_bounds");
    if params.args.len() != 1 && name != "quantile_bounds" {
        return None;
    }
    if let Expr::Literal(literal, _) = argument {
        return match name {
            "count" if !literal.is_null() => Some(Call::Rows),
            "count_bounds" => Some(Call::RowsBetween),
            _ => None,
        };
    }
    let (bare, widened) = match argument {
        Expr::Cast(Cast { expr, field }) => (expr.as_ref(), Some(field.data_type().clone())),
        other => (other, None),
    };
    let Expr::Column(_) = bare else { return None };
    let column = column(bare)?;
    let ty = column_type(schema, &column)?;
    let number = ty.is_integer() || ty.is_float();
    let result = call.func.return_type(&[argument.get_type(input).ok()?]).ok();
    let plain = widened.is_none();
    let as_float = widened.as_ref().is_none_or(|to| *to == DataType::Float64);
    match name {
        "count" if plain => Some(Call::Values(column)),
        "min" if plain && !ty.is_binary() => Some(Call::Smallest(column)),
        "max" if plain && !ty.is_binary() => Some(Call::Largest(column)),
        "sum" if number => {
            let sums = Known::Sum.data_type(ty)?;
            let fits = result? == sums && widened.is_none_or(|to| to == sums);
            fits.then_some(Call::Sum(column))
        }
        "avg" if number && as_float => Some(Call::Average(column)),
        "median" if number && (plain && ty.is_float() || widened == Some(DataType::Float64)) => {
            Some(Call::Median(column))
        }
        "sum_bounds" if number && as_float => Some(Call::SumBetween(column)),
        "avg_bounds" if number && as_float => Some(Call::AverageBetween(column)),
        "quantile_bounds" if number && as_float => match params.args.get(1)? {
            Expr::Literal(q, _) => match q.cast_to(&DataType::Float64).ok()? {
                ScalarValue::Float64(Some(q)) => Some(Call::QuantileBetween(column, q)),
                _ => None,
            },
            _ => None,
        },
        _ if bounded => None,
        _ if number && as_float => Some(Call::Spread(Spread::from_name(name)?, column)),
        _ => None,
    }
}
