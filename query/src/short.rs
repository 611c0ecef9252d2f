//! Statements that are one question to a stream, answered without an optimizer.
//!
//! Planning a statement takes DataFusion far longer than the store takes to count the rows of a substring. So a plan of
//! the form `SELECT aggregates FROM stream WHERE condition` is looked at before any rule is: if each aggregate is a
//! question and the condition a predicate, the snapshot is asked at once. What is not of this form takes the long road,
//! which ends at the same questions ([`crate::aggregate`]); the answers are the same.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::catalog::default_table_source::source_as_provider;
use datafusion::common::Result;
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::logical_expr::logical_plan::Aggregate;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::prelude::SessionContext;
use siltstone_store::predicate::Predicate;
use siltstone_store::schema::Schema;

use crate::aggregate::SiltAggregate;
use crate::asked::Question;
use crate::call::Call;
use crate::precision::understand;
use crate::predicate::translate;
use crate::question::question_of;
use crate::table::StreamTable;

/// The rows of a statement, as they come. It is understood as by [`crate::sql`].
///
/// # Errors
/// What DataFusion says of the statement; what the store says of the question.
pub async fn execute(context: &SessionContext, sql: &str) -> crate::Result<SendableRecordBatchStream> {
    let state = context.state();
    let (statement, _) = understand(&state, sql)?;
    let plan = state.statement_to_plan(statement).await?;
    if let Some(answer) = question(&plan, &state)? {
        return Ok(answer.rows());
    }
    let frame = context.execute_logical_plan(plan).await?;
    Ok(frame.execute_stream().await?)
}

/// The plan as questions, if it is nothing else.
fn question(plan: &LogicalPlan, state: &SessionState) -> Result<Option<SiltAggregate>> {
    // Rules cost more than a look.
    if Shape::of(plan).is_none() {
        return Ok(None);
    }
    let plan = state
        .analyzer()
        .execute_and_check(plan.clone(), state.config_options(), |_, _| {})?;
    let Some(shape) = Shape::of(&plan) else {
        return Ok(None);
    };
    let Some(table) = shape.table() else {
        return Ok(None);
    };
    let snapshot = table.snapshot_for(None, &[])?;
    // Where rows stand for many, some aggregates are refused.
    if snapshot.has_buckets() {
        return Ok(None);
    }
    let Some(calls) = shape.calls(snapshot.schema()) else {
        return Ok(None);
    };
    let Some(predicate) = shape.predicate(snapshot.schema(), state)? else {
        return Ok(None);
    };
    let question = Question {
        stream: table.stream().to_owned(),
        snapshot,
        predicate,
    };
    let schema = Arc::clone(plan.schema().inner());
    Ok(Some(SiltAggregate::new(Arc::new(question), calls, schema)))
}

/// A plan of aggregates of a stream's rows.
struct Shape<'a> {
    /// What is made of the aggregates; they themselves if nothing is.
    outputs: Option<&'a [Expr]>,
    aggregate: &'a Aggregate,
    filters: Vec<&'a Expr>,
    provider: Arc<dyn TableProvider>,
}

impl<'a> Shape<'a> {
    fn of(plan: &'a LogicalPlan) -> Option<Shape<'a>> {
        let (outputs, below) = match plan {
            LogicalPlan::Projection(projection) => {
                (Some(projection.expr.as_slice()), projection.input.as_ref())
            }
            other => (None, other),
        };
        let LogicalPlan::Aggregate(aggregate) = below else {
            return None;
        };
        if !aggregate.group_expr.is_empty() || aggregate.aggr_expr.is_empty() {
            return None;
        }
        let mut filters = Vec::new();
        let mut rows = aggregate.input.as_ref();
        let scan = loop {
            rows = match rows {
                LogicalPlan::Filter(filter) => {
                    filters.push(&filter.predicate);
                    filter.input.as_ref()
                }
                LogicalPlan::SubqueryAlias(alias) => alias.input.as_ref(),
                LogicalPlan::TableScan(scan) => break scan,
                _ => return None,
            };
        };
        filters.extend(&scan.filters);
        let provider = source_as_provider(&scan.source).ok()?;
        let table = provider.downcast_ref::<StreamTable>()?;
        (scan.fetch.is_none() && !table.is_weighed()).then_some(Shape {
            outputs,
            aggregate,
            filters,
            provider,
        })
    }

    fn table(&self) -> Option<&StreamTable> {
        self.provider.downcast_ref::<StreamTable>()
    }

    /// The questions, in the order of the plan's columns.
    fn calls(&self, schema: &Schema) -> Option<Vec<Call>> {
        let column = |column: &Expr| match column {
            Expr::Column(column) => Some(column.name.clone()),
            _ => None,
        };
        let input = self.aggregate.input.schema();
        let calls = self.aggregate.aggr_expr.iter().map(|expression| {
            let Expr::AggregateFunction(call) = bare(expression) else {
                return None;
            };
            question_of(call, &column, schema, input)
        });
        let calls = calls.collect::<Option<Vec<Call>>>()?;
        let Some(outputs) = self.outputs else {
            return Some(calls);
        };
        let outputs = outputs.iter().map(|output| {
            let Expr::Column(column) = bare(output) else {
                return None;
            };
            let place = self.aggregate.schema.maybe_index_of_column(column)?;
            calls.get(place).cloned()
        });
        outputs.collect()
    }

    /// What the rows have to meet.
    fn predicate(&self, schema: &Schema, state: &SessionState) -> Result<Option<Predicate>> {
        let mut all = Predicate::All;
        for filter in &self.filters {
            let found = match translate(filter, schema) {
                Some(found) => Some(found),
                // Constants may have to be computed first.
                None => translate(&simplified(filter, &self.aggregate.input, state)?, schema),
            };
            let Some(found) = found else {
                return Ok(None);
            };
            all = all.and(found);
        }
        Ok(Some(all))
    }
}

/// An expression without the names that it is given.
fn bare(expression: &Expr) -> &Expr {
    match expression {
        Expr::Alias(alias) => bare(&alias.expr),
        other => other,
    }
}

fn simplified(filter: &Expr, rows: &LogicalPlan, state: &SessionState) -> Result<Expr> {
    let about = SimplifyContext::builder()
        .with_schema(Arc::clone(rows.schema()))
        .with_config_options(Arc::clone(state.config().options()))
        .with_query_execution_start_time(state.execution_props().query_execution_start_time)
        .build();
    ExprSimplifier::new(about).simplify((*filter).clone())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use siltstone_store::batch::Batch;
    use siltstone_store::schema::{ColumnType, TimeUnit};
    use siltstone_store::store::{Options, Store};
    use siltstone_store::value::Value;

    use super::*;

    #[tokio::test]
    async fn questions_are_told_from_other_statements() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::create(directory.path().join("store"), Options::default()).unwrap();
        let schema = Schema::new("ts", TimeUnit::Millisecond)
            .with_key("axis", ColumnType::Text)
            .and_then(|s| s.with_channel("speed", ColumnType::F64, "rpm"))
            .and_then(|s| s.with_channel("note", ColumnType::Text, ""))
            .unwrap();
        let schema = store.create_stream("motor", schema).unwrap();
        let mut batch = Batch::new(schema);
        for row in 0..10 {
            let note = Value::Text(format!("bearing {row}"));
            let values = [Value::Text("x".into()), Value::F64(f64::from(row)), note];
            batch.push_row(i64::from(row), &values).unwrap();
        }
        store.append("motor", &batch).unwrap();
        let context = crate::context(&Arc::new(store));
        let cases = [
            ("SELECT count(*) FROM motor", true),
            (
                "SELECT count(*) AS n, max(speed), count(*) FROM motor WHERE note LIKE '%ing 3%'",
                true,
            ),
            (
                "SELECT sum(speed) FROM motor AS m WHERE m.speed > 1 + 1 AND ts < to_timestamp_millis(5)",
                true,
            ),
            (
                "SELECT median(speed) FROM motor WHERE axis = 'x' AND ts > now() - INTERVAL '1 day'",
                true,
            ),
            ("SELECT avg_bounds(speed) FROM motor", true),
            ("SELECT sum(speed) + 1 FROM motor", false),
            ("SELECT sum(speed + 1) FROM motor", false),
            ("SELECT count(DISTINCT speed) FROM motor", false),
            ("SELECT count(*) FROM motor WHERE speed * 2 > 3", false),
            ("SELECT axis, count(*) FROM motor GROUP BY axis", false),
            ("SELECT count(*) FROM (SELECT * FROM motor LIMIT 3)", false),
            ("SELECT count(*) FROM motor HAVING count(*) > 3", false),
            ("SELECT count(*) FROM motor a, motor b", false),
            ("SELECT count(*) FROM motor LIMIT 0", false),
            ("SELECT speed FROM motor", false),
            ("EXPLAIN SELECT count(*) FROM motor", false),
        ];
        for (sql, is_question) in cases {
            let state = context.state();
            let (statement, _) = understand(&state, sql).unwrap();
            let plan = state.statement_to_plan(statement).await.unwrap();
            let found = question(&plan, &state).unwrap();
            assert_eq!(found.is_some(), is_question, "{sql}\n{plan}");
        }
    }
}
