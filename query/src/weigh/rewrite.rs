//! One aggregate over rows that stand for many, as aggregates of hidden columns.
//!
//! | SQL | becomes |
//! |---|---|
//! | `count(*)`, `count(x)` | sum of rows, of rows with a value |
//! | `sum(x)`, `avg(x)` | sum of sums, divided by the number of values |
//! | `min(x)`, `max(x)`; of the time | extremes of extremes; first and last time |
//! | `first_value`, `last_value`, ordered by the time or not at all | of the first, of the last values |
//! | `var_pop` and its like | moments, merged |
//! | `median`, `percentile_cont`, `approx_percentile_cont`, `approx_median` | of the values that sketches tell |
//! | any of `sum`, `avg`, `min`, `max` of a line in `x` (`1.8 * x + 32`) | the same of what `x` becomes |
//! | of keys | each as often as there are rows |
//!
//! Any other expression is computed once a row, of what the row says (means), and counts for all rows, as a condition
//! does. DISTINCT is of keys, or of times made coarser. What is left over is refused by name.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, plan_datafusion_err};
use datafusion::functions::core::expr_fn::{coalesce, greatest, least};
use datafusion::functions_aggregate::{min_max, sum};
use datafusion::logical_expr::expr::{AggregateFunction, Sort};
use datafusion::logical_expr::{AggregateUDF, Cast, Expr, ExprSchemable, LogicalPlan, cast, lit, when};

use super::argument::{Argument, replaced};
use super::carry::{Origin, Rows};
use super::functions;
use super::hidden::{Hidden, Known};
use crate::call::{Call, Spread};
use crate::question::question_of;
use crate::types::column_type;

/// An aggregation over rows that stand for many.
pub(super) struct Weigher<'a> {
    pub rows: &'a Rows,
    /// The plan below, whose rows these are.
    pub input: &'a LogicalPlan,
}

impl Weigher<'_> {
    /// The aggregate as an expression over aggregates of hidden columns.
    ///
    /// # Errors
    /// If there is no such.
    pub fn weigh(&self, call: &AggregateFunction) -> Result<Expr> {
        let name = call.func.name();
        let arguments = &call.params.args;
        let first = arguments.first();
        if call.params.distinct && !matches!(name, "min" | "max") {
            return self.distinct(call);
        }
        let ordered = !call.params.order_by.is_empty();
        let (Some(argument), false) = (
            first,
            ordered
                && !matches!(
                    name,
                    "first_value"
                        | "last_value"
                        | "array_agg"
                        | "string_agg"
                        | "percentile_cont"
                        | "approx_percentile_cont"
                ),
        ) else {
            return Err(self.refuse(call));
        };
        let kind = self.kind(argument)?;
        match name {
            "count" => self.count(call),
            "sum" => self.sum(call, argument, &kind),
            "avg" => self.average(call, argument, &kind),
            "min" | "max" => self.extreme(call, argument, &kind),
            "bool_and" | "bool_or" => Ok(match &kind {
                Argument::Channel(of) => {
                    let known = if name == "bool_and" {
                        Known::Least
                    } else {
                        Known::Most
                    };
                    self.same(call, vec![self.known(known, of)])
                }
                _ => Expr::AggregateFunction(call.clone()),
            }),
            "first_value" | "last_value" => self.end(call, &kind),
            "any_value" => Ok(match &kind {
                Argument::Channel(of) if !self.is_binary(of) => {
                    self.same(call, vec![self.known(Known::First, of)])
                }
                _ => Expr::AggregateFunction(call.clone()),
            }),
            // One value a row, as a scan.
            "array_agg" | "string_agg" => Ok(Expr::AggregateFunction(call.clone())),
            "median" | "approx_median" => self.quantile(call, argument, &kind, None),
            "percentile_cont" | "approx_percentile_cont" => {
                let q = match arguments.get(1) {
                    Some(Expr::Literal(q, _)) => q.cast_to(&DataType::Float64)?,
                    _ => return Err(self.refuse(call)),
                };
                let ScalarValue::Float64(Some(q)) = q else {
                    return Err(self.refuse(call));
                };
                let falling = call.params.order_by.first().is_some_and(|sort| !sort.asc);
                self.quantile(call, argument, &kind, Some(if falling { 1.0 - q } else { q }))
            }
            _ => match Spread::from_name(name) {
                Some(spread) => self.spread(call, spread, argument, &kind),
                None => Err(self.refuse(call)),
            },
        }
    }

    /// The aggregate as a question to the snapshot, where it is one.
    pub fn question(&self, call: &AggregateFunction) -> Option<Call> {
        let column = |column: &Expr| match self.rows.origin_of(column, self.input) {
            Origin::Key(name) | Origin::Time(name) | Origin::Channel(name) => Some(name),
            Origin::Other | Origin::Computed(_) => None,
        };
        question_of(call, &column, self.rows.snapshot.schema(), self.input.schema())
    }

    fn refuse(&self, call: &AggregateFunction) -> datafusion::common::DataFusionError {
        let shown = Expr::AggregateFunction(call.clone());
        refusal(
            &self.rows.stream,
            &format!("{} is not computed", shown.schema_name()),
        )
    }

    pub(super) fn known(&self, known: Known, column: &str) -> Expr {
        self.rows.column(&Hidden::Of(known, column.to_owned()))
    }

    fn is_binary(&self, column: &str) -> bool {
        column_type(self.rows.snapshot.schema(), column).is_none_or(|ty| ty.is_binary())
    }

    pub(super) fn is_number(&self, column: &str) -> bool {
        column_type(self.rows.snapshot.schema(), column).is_some_and(|ty| ty.is_integer() || ty.is_float())
    }

    pub(super) fn type_of(&self, expression: &Expr) -> Result<DataType> {
        expression.get_type(self.input.schema())
    }

    /// The same function of other arguments.
    fn same(&self, call: &AggregateFunction, arguments: Vec<Expr>) -> Expr {
        let mut call = call.clone();
        call.params.args = arguments;
        Expr::AggregateFunction(call)
    }

    /// Another function with the filter of the call.
    fn other(call: &AggregateFunction, function: Arc<AggregateUDF>, arguments: Vec<Expr>) -> Expr {
        let filter = call.params.filter.clone();
        Expr::AggregateFunction(AggregateFunction::new_udf(
            function,
            arguments,
            false,
            filter,
            Vec::new(),
            None,
        ))
    }

    fn count(&self, call: &AggregateFunction) -> Result<Expr> {
        let weight = match call.params.args.as_slice() {
            [argument] => self.weight(argument, &self.kind(argument)?)?,
            several => {
                let null = several.iter().map(|argument| argument.clone().is_null());
                let null = null.reduce(Expr::or).unwrap_or_else(|| lit(false));
                when(null, lit(0i64)).otherwise(self.rows.column(&Hidden::Rows))?
            }
        };
        Ok(coalesce(vec![
            Self::other(call, sum::sum_udaf(), vec![weight]),
            lit(0i64),
        ]))
    }

    /// What the argument of each row sums up to, as `ty`.
    fn sums(&self, argument: &Expr, kind: &Argument, ty: &DataType) -> Result<Expr> {
        let own = |of: &str| {
            let own = column_type(self.rows.snapshot.schema(), of);
            own.and_then(|own| Known::Sum.data_type(own))
        };
        Ok(match kind {
            Argument::Channel(of) if own(of).as_ref() == Some(ty) && *ty != DataType::Float64 => {
                self.known(Known::Sum, of)
            }
            Argument::Channel(of) if *ty == DataType::Float64 => self.known(Known::Total, of),
            Argument::Line(of, column)
                if *ty == DataType::Float64
                    || (*ty == DataType::Int64 && own(of).as_ref() == Some(&DataType::Int64)) =>
            {
                let at = |value: ScalarValue| -> Result<Expr> {
                    Ok(cast(replaced(argument, column, &lit(value))?, ty.clone()))
                };
                let own = self.type_of(&Expr::Column(column.clone()))?;
                let (at_zero, at_one) = (
                    at(ScalarValue::new_zero(&own)?)?,
                    at(ScalarValue::new_one(&own)?)?,
                );
                let known = if *ty == DataType::Float64 {
                    Known::Total
                } else {
                    Known::Sum
                };
                let count = cast(self.known(Known::Count, of), ty.clone());
                (at_one - at_zero.clone()) * self.known(known, of) + at_zero * count
            }
            _ => cast(argument.clone(), ty.clone()) * cast(self.weight(argument, kind)?, ty.clone()),
        })
    }

    fn sum(&self, call: &AggregateFunction, argument: &Expr, kind: &Argument) -> Result<Expr> {
        let ty = self.type_of(&Expr::AggregateFunction(call.clone()))?;
        if !matches!(ty, DataType::Int64 | DataType::UInt64 | DataType::Float64) {
            return Err(self.refuse(call));
        }
        let sums = self.sums(argument, kind, &ty)?;
        Ok(Self::other(call, sum::sum_udaf(), vec![sums]))
    }

    fn average(&self, call: &AggregateFunction, argument: &Expr, kind: &Argument) -> Result<Expr> {
        if self.type_of(&Expr::AggregateFunction(call.clone()))? != DataType::Float64 {
            return Err(self.refuse(call));
        }
        let sums = self.sums(argument, kind, &DataType::Float64)?;
        let count = Self::other(call, sum::sum_udaf(), vec![self.weight(argument, kind)?]);
        Ok(Self::other(call, sum::sum_udaf(), vec![sums]) / cast(count, DataType::Float64))
    }

    fn extreme(&self, call: &AggregateFunction, argument: &Expr, kind: &Argument) -> Result<Expr> {
        let smallest = call.func.name() == "min";
        let function = if smallest {
            min_max::min_udaf()
        } else {
            min_max::max_udaf()
        };
        let known = if smallest { Known::Least } else { Known::Most };
        let of = match kind {
            Argument::Channel(of) if !self.is_binary(of) => {
                let extreme = self.known(known, of);
                match argument {
                    Expr::Cast(Cast { field, .. }) => cast(extreme, field.data_type().clone()),
                    _ => extreme,
                }
            }
            Argument::Time if smallest => self.rows.column(&Hidden::FirstTime),
            Argument::Time => self.rows.column(&Hidden::LastTime),
            Argument::Line(of, column) => {
                let ends = [Known::Least, Known::Most]
                    .map(|known| replaced(argument, column, &self.known(known, of)));
                let ends = ends.into_iter().collect::<Result<Vec<_>>>()?;
                if smallest { least(ends) } else { greatest(ends) }
            }
            _ => argument.clone(),
        };
        Ok(Self::other(call, function, vec![of]))
    }

    /// The first or the last value.
    fn end(&self, call: &AggregateFunction, kind: &Argument) -> Result<Expr> {
        let mut call = call.clone();
        let mut first = call.func.name() == "first_value";
        // Keys come before the time without changing which of the rows that a row stands for is first.
        let varies = |sort: &Sort| {
            let origin = self.rows.origin_of(&sort.expr, self.input);
            !matches!(origin, Origin::Key(_) | Origin::Other)
        };
        if let Some(place) = call.params.order_by.iter().position(varies) {
            let refused = self.refuse(&call);
            let sort = &mut call.params.order_by[place];
            let is_time = matches!(self.rows.origin_of(&sort.expr, self.input), Origin::Time(_));
            if !is_time || !matches!(sort.expr, Expr::Column(_)) {
                return Err(refused);
            }
            first ^= !sort.asc;
            let time = if first {
                Hidden::FirstTime
            } else {
                Hidden::LastTime
            };
            sort.expr = self.rows.column(&time);
        }
        let known = if first { Known::First } else { Known::Last };
        match kind {
            Argument::Channel(of) if !self.is_binary(of) => {
                let value = self.known(known, of);
                let value = match call.params.args.first() {
                    Some(Expr::Cast(Cast { field, .. })) => cast(value, field.data_type().clone()),
                    _ => value,
                };
                call.params.args = vec![value];
            }
            Argument::Line(of, column) => {
                let line = call.params.args.first().cloned().unwrap_or_else(|| lit(0));
                call.params.args = vec![replaced(&line, column, &self.known(known, of))?];
            }
            Argument::Time => {
                let time = if first {
                    Hidden::FirstTime
                } else {
                    Hidden::LastTime
                };
                call.params.args = vec![self.rows.column(&time)];
            }
            _ => {}
        }
        Ok(Expr::AggregateFunction(call))
    }

    fn spread(
        &self,
        call: &AggregateFunction,
        spread: Spread,
        argument: &Expr,
        kind: &Argument,
    ) -> Result<Expr> {
        let squares = match kind {
            Argument::Channel(of) => self.known(Known::Squares, of),
            _ => lit(0.0),
        };
        let arguments = vec![
            self.weight(argument, kind)?,
            self.sums(argument, kind, &DataType::Float64)?,
            squares,
        ];
        Ok(Self::other(call, functions::spread(spread), arguments))
    }

    fn quantile(
        &self,
        call: &AggregateFunction,
        argument: &Expr,
        kind: &Argument,
        q: Option<f64>,
    ) -> Result<Expr> {
        let ty = self.type_of(argument)?;
        if !ty.is_numeric() {
            return Err(self.refuse(call));
        }
        let arguments = match kind {
            Argument::Channel(of) => vec![self.known(Known::Values, of), self.known(Known::Ranks, of)],
            _ => {
                let wide = if ty == DataType::Float32 {
                    ty
                } else {
                    DataType::Float64
                };
                vec![cast(argument.clone(), wide), self.weight(argument, kind)?]
            }
        };
        Ok(Self::other(call, functions::quantile(q), arguments))
    }

    /// Different values: of keys, or of times that whole buckets may share.
    fn distinct(&self, call: &AggregateFunction) -> Result<Expr> {
        let coarse = |argument: &Expr| match self.rows.origin_of(argument, self.input) {
            Origin::Key(_) | Origin::Other => true,
            Origin::Computed(channels) => channels.is_empty(),
            Origin::Time(_) | Origin::Channel(_) => false,
        };
        let name = call.func.name();
        if matches!(name, "array_agg" | "string_agg") || call.params.args.iter().all(coarse) {
            return Ok(Expr::AggregateFunction(call.clone()));
        }
        Err(self.refuse(call))
    }
}

/// The error for what cannot be computed over a stream.
pub(super) fn refusal(stream: &str, what: &str) -> datafusion::common::DataFusionError {
    plan_datafusion_err!(
        "{what} over rows of {stream:?} of which some stand for many (they were downsampled); ask for the others alone \
         with WHERE _precision = 'raw'"
    )
}
