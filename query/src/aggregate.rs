//! Aggregates answered by the store's questions instead of a scan.
//!
//! The rule matches an aggregation without GROUP BY directly over a [`SiltScan`], whose filters are therefore all
//! exact, where every aggregate is one of those below, and puts a [`SiltAggregate`] in its place. Each is one question
//! to the snapshot: no row is decoded where the codes know the answer.
//!
//! | SQL | question |
//! |---|---|
//! | `count(*)`, `count(x)` | count |
//! | `sum(x)` | sum; integers wrap at 64 bits as DataFusion's do |
//! | `avg(x)` | sum and count |
//! | `min(x)`, `max(x)` | smallest, largest by totalOrder; not for text, where a scan is as good |
//! | `median(x)` | the one or two middle values |
//! | `var_pop(x)`, `var_samp(x)`, `stddev_pop(x)`, `stddev(x)` and their other names | moments |
//!
//! Aggregates over other expressions, DISTINCT, FILTER and ORDER BY inside an aggregate stay DataFusion's, and so does
//! the whole aggregation if one of its aggregates is.

use std::fmt::{self, Formatter};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, internal_err};
use datafusion::execution::{SendableRecordBatchStream, SessionState, SessionStateBuilder, TaskContext};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::{CastExpr, Column, Literal};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateInputMode, AggregateMode};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::stream;
use siltstone_store::column::{Moments, Sum};
use siltstone_store::predicate::Predicate;
use siltstone_store::schema::ColumnType;
use siltstone_store::value::Value;

use crate::display::Shown;
use crate::error::external;
use crate::scan::{Question, SiltScan};
use crate::types::{column_type, scalar};

/// The state with the rule in front of DataFusion's own.
pub(crate) fn install(state: SessionState) -> SessionState {
    let mut rules: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> = vec![Arc::new(AnswerOnCodes)];
    rules.extend(state.physical_optimizers().iter().cloned());
    SessionStateBuilder::new_from_existing(state)
        .with_physical_optimizer_rules(rules)
        .build()
}

/// Replaces aggregations by questions.
#[derive(Debug)]
struct AnswerOnCodes;

impl PhysicalOptimizerRule for AnswerOnCodes {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_down(|plan| {
            Ok(match answer(&plan) {
                Some(answer) => Transformed::yes(Arc::new(answer) as Arc<dyn ExecutionPlan>),
                None => Transformed::no(plan),
            })
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "answer_on_codes"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// One aggregate as a question.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Call {
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
}

/// A measure of how far values lie apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spread {
    PopulationVariance,
    SampleVariance,
    PopulationDeviation,
    SampleDeviation,
}

impl Spread {
    /// The one that DataFusion gives this name.
    fn from_name(name: &str) -> Option<Spread> {
        Some(match name {
            "var_pop" => Spread::PopulationVariance,
            "var" => Spread::SampleVariance,
            "stddev_pop" => Spread::PopulationDeviation,
            "stddev" => Spread::SampleDeviation,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Spread::PopulationVariance => "var_pop",
            Spread::SampleVariance => "var",
            Spread::PopulationDeviation => "stddev_pop",
            Spread::SampleDeviation => "stddev",
        }
    }

    /// The measure of some values; `None` for null.
    fn of(self, moments: &Moments) -> Option<f64> {
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
        }
    }
}

/// The plan's answer by questions, if it is an aggregation of that kind.
fn answer(plan: &Arc<dyn ExecutionPlan>) -> Option<SiltAggregate> {
    let top = plan.downcast_ref::<AggregateExec>()?;
    let raw = match top.mode() {
        AggregateMode::Single | AggregateMode::SinglePartitioned => top,
        mode if mode.input_mode() == AggregateInputMode::Partial && *mode != AggregateMode::PartialReduce => {
            let raw = top.input().downcast_ref::<AggregateExec>()?;
            (*raw.mode() == AggregateMode::Partial).then_some(raw)?
        }
        _ => return None,
    };
    let simple = |aggregate: &AggregateExec| {
        aggregate.group_expr().is_empty()
            && aggregate.limit_options().is_none()
            && aggregate.filter_expr().iter().all(Option::is_none)
    };
    if !simple(top) || !simple(raw) || raw.aggr_expr().is_empty() {
        return None;
    }
    // Casts that several aggregates share are put into a projection in between.
    let projection = raw.input().downcast_ref::<ProjectionExec>();
    let scan = projection.map_or(raw.input(), ProjectionExec::input);
    let question = scan.downcast_ref::<SiltScan>()?.question()?;
    let calls = raw.aggr_expr().iter().map(|aggregate| {
        let arguments = aggregate.expressions();
        let [argument] = arguments.as_slice() else {
            return None;
        };
        match projection {
            Some(projection) => call(aggregate, &through(projection, argument)?, question),
            None => call(aggregate, argument, question),
        }
    });
    let calls = calls.collect::<Option<Vec<_>>>()?;
    Some(SiltAggregate::new(Arc::clone(question), calls, plan.schema()))
}

/// What an aggregate's argument is below the projection.
fn through(projection: &ProjectionExec, argument: &Arc<dyn PhysicalExpr>) -> Option<Arc<dyn PhysicalExpr>> {
    let below = |column: &Column| Some(Arc::clone(&projection.expr().get(column.index())?.expr));
    if let Some(column) = argument.downcast_ref::<Column>() {
        return below(column);
    }
    if let Some(cast) = argument.downcast_ref::<CastExpr>() {
        let column = below(cast.expr().downcast_ref::<Column>()?)?;
        let options = Some(cast.cast_options().clone());
        return Some(Arc::new(CastExpr::new(column, cast.cast_type().clone(), options)));
    }
    argument.downcast_ref::<Literal>().map(|_| Arc::clone(argument))
}

fn call(
    aggregate: &AggregateFunctionExpr,
    argument: &Arc<dyn PhysicalExpr>,
    question: &Question,
) -> Option<Call> {
    let name = aggregate.fun().name();
    let distinct_matters = !matches!(name, "min" | "max");
    if (aggregate.is_distinct() && distinct_matters) || !aggregate.order_bys().is_empty() {
        return None;
    }
    if let Some(literal) = argument.downcast_ref::<Literal>() {
        return (name == "count" && !literal.value().is_null()).then_some(Call::Rows);
    }
    // Aggregates widen numbers by a cast; the sum and the order of the values are the same without.
    let (column, widened) = match argument.downcast_ref::<CastExpr>() {
        Some(cast) => (cast.expr().downcast_ref::<Column>()?, Some(cast.cast_type())),
        None => (argument.downcast_ref::<Column>()?, None),
    };
    let column = column.name().to_owned();
    let ty = column_type(question.snapshot.schema(), &column)?;
    let number = ty.is_integer() || ty.is_float();
    let result = aggregate.field();
    let result = result.data_type();
    let plain = widened.is_none();
    match name {
        "count" if plain => Some(Call::Values(column)),
        "min" if plain && !ty.is_binary() => Some(Call::Smallest(column)),
        "max" if plain && !ty.is_binary() => Some(Call::Largest(column)),
        "sum" if number => {
            let unsigned = matches!(
                ty,
                ColumnType::U8 | ColumnType::U16 | ColumnType::U32 | ColumnType::U64
            );
            let wide = match result {
                DataType::Int64 => ty.is_integer() && !unsigned,
                DataType::UInt64 => unsigned,
                DataType::Float64 => ty.is_float(),
                _ => false,
            };
            (wide && widened.is_none_or(|to| to == result)).then_some(Call::Sum(column))
        }
        "avg" if number && *result == DataType::Float64 => widened
            .is_none_or(|to| *to == DataType::Float64)
            .then_some(Call::Average(column)),
        "median" if number && (plain && ty.is_float() || widened == Some(&DataType::Float64)) => {
            Some(Call::Median(column))
        }
        _ if number && *result == DataType::Float64 => {
            let spread = Spread::from_name(name)?;
            widened
                .is_none_or(|to| *to == DataType::Float64)
                .then_some(Call::Spread(spread, column))
        }
        _ => None,
    }
}

/// Answers of one row, by questions to a snapshot.
#[derive(Debug)]
struct SiltAggregate {
    question: Arc<Question>,
    calls: Vec<Call>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl SiltAggregate {
    fn new(question: Arc<Question>, calls: Vec<Call>, schema: SchemaRef) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        SiltAggregate {
            question,
            calls,
            schema,
            properties: Arc::new(properties),
        }
    }
}

impl DisplayAs for SiltAggregate {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut Formatter<'_>) -> fmt::Result {
        let calls: Vec<String> = self.calls.iter().map(Call::to_string).collect();
        write!(
            f,
            "SiltAggregate: stream={}, answers=[{}]",
            self.question.stream,
            calls.join(", ")
        )?;
        if self.question.predicate != Predicate::All {
            write!(f, ", predicate={}", Shown(&self.question.predicate))?;
        }
        Ok(())
    }
}

impl ExecutionPlan for SiltAggregate {
    fn name(&self) -> &'static str {
        "SiltAggregate"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() {
            Ok(self)
        } else {
            internal_err!("a SiltAggregate has no children")
        }
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return internal_err!("partition {partition} of 1 does not exist");
        }
        let (question, calls) = (Arc::clone(&self.question), self.calls.clone());
        let schema = Arc::clone(&self.schema);
        let row = stream::once(async move { answers(&question, &calls, schema) });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            row,
        )))
    }
}

fn answers(question: &Question, calls: &[Call], schema: SchemaRef) -> Result<RecordBatch> {
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(calls.len());
    for (call, field) in calls.iter().zip(schema.fields()) {
        let value = value(question, call, field.data_type()).map_err(external)?;
        let value = match value {
            Some(value) => value,
            None => ScalarValue::try_from(field.data_type())?,
        };
        if value.data_type() != *field.data_type() {
            return Err(exec_datafusion_err!(
                "{call} gave {} instead of {}",
                value.data_type(),
                field.data_type()
            ));
        }
        columns.push(value.to_array()?);
    }
    Ok(RecordBatch::try_new(schema, columns)?)
}

/// One answer; `None` for null.
fn value(
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
