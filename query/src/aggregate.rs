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

use std::collections::HashSet;
use std::fmt::{self, Formatter};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_empty_array};
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
use siltstone_store::predicate::Predicate;
use siltstone_store::schema::ColumnType;
use siltstone_store::value::Value;

use crate::asked::Question;
use crate::call::{Call, Spread, value};
use crate::display::Shown;
use crate::error::external;
use crate::scan::SiltScan;
use crate::types::{column_type, scalar};
use crate::weigh::WeighBuckets;

/// The state with the rule in front of DataFusion's own, and the one for rows that stand for many.
pub(crate) fn install(state: SessionState) -> SessionState {
    let mut rules: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> = vec![Arc::new(AnswerOnCodes)];
    rules.extend(state.physical_optimizers().iter().cloned());
    let logical = WeighBuckets::among(state.optimizers());
    SessionStateBuilder::new_from_existing(state)
        .with_optimizer_rules(logical)
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

/// A column of answers.
#[derive(Debug, Clone)]
pub(crate) enum Output {
    /// The value of a key, by its place among those that make groups.
    Key(usize),
    Call(Call),
}

/// Answers by questions to a snapshot: of one row, or of one for each set of values that keys have.
#[derive(Debug)]
pub(crate) struct SiltAggregate {
    question: Arc<Question>,
    /// Keys that make groups.
    keys: Vec<String>,
    outputs: Vec<Output>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl SiltAggregate {
    /// The answers to `calls`, of these names and types.
    pub fn new(question: Arc<Question>, calls: Vec<Call>, schema: SchemaRef) -> Self {
        let outputs = calls.into_iter().map(Output::Call).collect();
        Self::by_keys(question, Vec::new(), outputs, schema)
    }

    /// The same for each set of values that keys have.
    pub fn by_keys(
        question: Arc<Question>,
        keys: Vec<String>,
        outputs: Vec<Output>,
        schema: SchemaRef,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        SiltAggregate {
            question,
            keys,
            outputs,
            schema,
            properties: Arc::new(properties),
        }
    }
}

impl SiltAggregate {
    /// The answers; the questions are asked when they are wanted.
    pub fn rows(&self) -> SendableRecordBatchStream {
        let (question, keys, outputs) = (
            Arc::clone(&self.question),
            self.keys.clone(),
            self.outputs.clone(),
        );
        let schema = Arc::clone(&self.schema);
        let row = stream::once(async move { answers(&question, &keys, &outputs, schema) });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), row))
    }
}

impl DisplayAs for SiltAggregate {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut Formatter<'_>) -> fmt::Result {
        let calls = self.outputs.iter().filter_map(|output| match output {
            Output::Call(call) => Some(call.to_string()),
            Output::Key(_) => None,
        });
        let calls: Vec<String> = calls.collect();
        write!(
            f,
            "SiltAggregate: stream={}, answers=[{}]",
            self.question.stream,
            calls.join(", ")
        )?;
        if !self.keys.is_empty() {
            write!(f, ", by=[{}]", self.keys.join(", "))?;
        }
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
        Ok(self.rows())
    }
}

fn answers(
    question: &Question,
    keys: &[String],
    outputs: &[Output],
    schema: SchemaRef,
) -> Result<RecordBatch> {
    let mut columns: Vec<Vec<ScalarValue>> = vec![Vec::new(); outputs.len()];
    let mut rows = 0;
    for group in groups(question, keys).map_err(external)? {
        let (question, values) = group;
        rows += 1;
        for ((output, field), column) in outputs.iter().zip(schema.fields()).zip(&mut columns) {
            let found = match output {
                Output::Call(call) => value(&question, call, field.data_type()).map_err(external)?,
                Output::Key(place) => {
                    let ty = keys
                        .get(*place)
                        .and_then(|key| column_type(question.snapshot.schema(), key));
                    let key = values.get(*place).filter(|value| !value.is_null());
                    ty.zip(key).and_then(|(ty, value)| scalar(ty, value))
                }
            };
            let found = match found {
                Some(found) => found,
                None => ScalarValue::try_from(field.data_type())?,
            };
            if found.data_type() != *field.data_type() {
                return Err(exec_datafusion_err!(
                    "{output:?} gave {} instead of {}",
                    found.data_type(),
                    field.data_type()
                ));
            }
            column.push(found);
        }
    }
    let columns = columns.into_iter().zip(schema.fields()).map(|(column, field)| {
        if column.is_empty() {
            return Ok(new_empty_array(field.data_type()));
        }
        ScalarValue::iter_to_array(column)
    });
    let columns: Vec<ArrayRef> = columns.collect::<Result<_>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
}

/// The question of each group, with the values of its keys: of all groups that rows may be in.
fn groups(question: &Question, keys: &[String]) -> siltstone_store::Result<Vec<(Question, Vec<Value>)>> {
    let of = |predicate: Predicate| Question {
        snapshot: question.snapshot.clone(),
        stream: question.stream.clone(),
        predicate,
    };
    if keys.is_empty() {
        return Ok(vec![(of(question.predicate.clone()), Vec::new())]);
    }
    let snapshot = &question.snapshot;
    let mut known = HashSet::new();
    let mut out = Vec::new();
    for (number, part) in snapshot.parts().iter().enumerate() {
        for run in 0..part.data.run_count() {
            let row = part.data.run_rows(run)?.start;
            let values = keys.iter().map(|key| snapshot.get(number, row, key));
            let values = values.collect::<siltstone_store::Result<Vec<Value>>>()?;
            if !known.insert(format!("{values:?}")) {
                continue;
            }
            let predicate = keys
                .iter()
                .zip(&values)
                .fold(question.predicate.clone(), |all, (key, value)| {
                    all.and(if value.is_null() {
                        Predicate::is_null(key.as_str())
                    } else {
                        Predicate::eq(key.as_str(), value.clone())
                    })
                });
            if snapshot.count_bounds(&predicate)?.high > 0 {
                out.push((of(predicate), values));
            }
        }
    }
    Ok(out)
}
