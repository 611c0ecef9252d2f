//! Aggregates over rows of which some stand for many.
//!
//! A downsampled part of a stream gives one row for each bucket of time to a scan. An aggregate that counted each as one
//! row would be wrong, so where a snapshot has such parts, a rule of the optimizer ([`WeighBuckets`]) puts another plan in
//! the place of each aggregation over it:
//!
//! - without GROUP BY, over rows that the store alone chooses, questions to the snapshot ([`answers`]; those with bounds also
//!   by keys);
//! - else the same aggregation of hidden columns ([`hidden`]) which say what each row stands for ([`rewrite`], [`argument`]), brought
//!   along through projections, filters, names, and joins on keys ([`carry`]).
//!
//! What cannot be weighed is refused with an error that says so. Rows are chosen and put into groups by what they say:
//! their start, keys, means and last text. Where nothing was downsampled, no plan changes; only `count_bounds` and its
//! like, which are questions always, are answered by this rule everywhere.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result, plan_err};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::logical_plan::{Aggregate, Projection};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, cast};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use siltstone_store::predicate::Predicate;

mod answers;
mod argument;
mod carry;
mod functions;
mod hidden;
mod part;
mod rewrite;

pub(crate) use hidden::{HiddenColumns, Known, PRECISION};
pub(crate) use part::{PartScan, Shape};

use crate::asked::Question;
use crate::bounds;
use crate::table::QueryStart;
use carry::{Found, Origin, Rows, Wanted, find};
use rewrite::{Weigher, refusal};

/// The rule. It runs once filters have come down to the scans, and before aggregations are taken apart.
#[derive(Debug)]
pub(crate) struct WeighBuckets;

impl WeighBuckets {
    /// The optimizer's rules with this one among them.
    pub fn among(
        rules: &[Arc<dyn OptimizerRule + Send + Sync>],
    ) -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
        let mut all: Vec<Arc<dyn OptimizerRule + Send + Sync>> = rules.to_vec();
        let after = all.iter().position(|rule| rule.name() == "push_down_filter");
        all.insert(after.map_or(0, |after| after + 1), Arc::new(WeighBuckets));
        all
    }
}

impl OptimizerRule for WeighBuckets {
    fn name(&self) -> &str {
        "weigh_buckets"
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let start = config
            .query_execution_start_time()
            .and_then(|time| time.timestamp_nanos_opt());
        plan.transform_up_with_subqueries(|plan| {
            let LogicalPlan::Aggregate(aggregate) = &plan else {
                return Ok(Transformed::no(plan));
            };
            Ok(match weighed(aggregate, start)? {
                Some(weighed) => Transformed::yes(weighed),
                None => Transformed::no(plan),
            })
        })
    }
}

/// What takes the place of an aggregation, if something does.
fn weighed(aggregate: &Aggregate, start: QueryStart) -> Result<Option<LogicalPlan>> {
    let calls: Vec<&AggregateFunction> = aggregate.aggr_expr.iter().filter_map(call_of).collect();
    if calls.is_empty() {
        return Ok(None);
    }
    let bounds = calls.iter().find(|call| bounds::is_bounds(call.func.name()));
    let wanted = match bounds {
        Some(_) => Wanted::All,
        None => Wanted::Downsampled,
    };
    let rows = match (find(&aggregate.input, start, wanted)?, bounds) {
        (Found::Rows(rows), _) => rows,
        (Found::Nothing, None) => return Ok(None),
        (Found::Blocked { stream, by }, None) => {
            return Err(refusal(
                &stream,
                &format!("aggregates are not computed above {by}"),
            ));
        }
        (_, Some(call)) => return bounds::refuse(call.func.name()),
    };
    let input = aggregate.input.as_ref();
    let weigher = Weigher { rows: &rows, input };
    // Groups of keys are asked one by one for bounds, which nothing else can tell.
    let keys = aggregate
        .group_expr
        .iter()
        .map(|group| match (group, rows.origin_of(group, input)) {
            (Expr::Column(_), Origin::Key(name)) if bounds.is_some() => Some(name),
            _ => None,
        });
    let keys: Option<Vec<String>> = keys.collect();
    if let Some((predicate, keys)) = rows.predicate.clone().zip(keys) {
        let questions = calls.iter().map(|call| weigher.question(call));
        let questions: Option<Vec<_>> = questions.collect();
        if let Some(questions) = questions.filter(|questions| questions.len() == aggregate.aggr_expr.len()) {
            let fields = aggregate.schema.iter();
            let fields: Vec<_> = fields
                .map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field)))
                .collect();
            let question = question(&rows, predicate);
            return answers::plan(question, keys, questions, &fields).map(Some);
        }
    }
    if let Some(call) = bounds {
        return bounds::refuse(call.func.name());
    }
    let mut outputs = Vec::with_capacity(aggregate.aggr_expr.len());
    for expression in &aggregate.aggr_expr {
        match call_of(expression) {
            Some(call) => outputs.push(weigher.weigh(call)?),
            None => return plan_err!("{expression} is no aggregate"),
        }
    }
    rebuilt(aggregate, &rows, outputs).map(Some)
}

fn call_of(expression: &Expr) -> Option<&AggregateFunction> {
    match expression {
        Expr::AggregateFunction(call) => Some(call),
        Expr::Alias(alias) => call_of(&alias.expr),
        _ => None,
    }
}

fn question(rows: &Rows, predicate: Predicate) -> Question {
    Question {
        snapshot: rows.snapshot.clone(),
        stream: rows.stream.clone(),
        predicate,
    }
}

/// The aggregation with other aggregates, and above it what each of `outputs` makes of them.
fn rebuilt(aggregate: &Aggregate, rows: &Rows, outputs: Vec<Expr>) -> Result<LogicalPlan> {
    let mut calls: Vec<(Expr, String)> = Vec::new();
    let mut names = BTreeSet::new();
    let mut above = Vec::with_capacity(outputs.len());
    for output in outputs {
        output.apply(|part| {
            if let Expr::Column(column) = part
                && rows.hidden.is_hidden(&column.name)
            {
                names.insert(column.name.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        let found = output.transform_down(|part| {
            if !matches!(part, Expr::AggregateFunction(_)) {
                return Ok(Transformed::no(part));
            }
            let place = calls.iter().position(|(call, _)| *call == part);
            let place = place.unwrap_or_else(|| {
                // Names leave casts out, so that different calls may have the same.
                let name = part.schema_name().to_string();
                let is_taken = calls.iter().any(|(_, taken)| *taken == name);
                let name = if is_taken {
                    format!("{name} {}", calls.len())
                } else {
                    name
                };
                calls.push((part, name));
                calls.len() - 1
            });
            let column = Expr::Column(Column::from_name(calls[place].1.as_str()));
            Ok(Transformed::new(column, true, TreeNodeRecursion::Jump))
        });
        above.push(found.data()?);
    }
    let input = rows.carry(&aggregate.input, &names)?;
    let calls = calls.into_iter().map(|(call, name)| {
        let is_own = call.schema_name().to_string() == name;
        if is_own { call } else { call.alias(name) }
    });
    let inner = Aggregate::try_new(Arc::new(input), aggregate.group_expr.clone(), calls.collect())?;
    let groups = aggregate.schema.fields().len() - above.len();
    let kept = inner
        .schema
        .iter()
        .take(groups)
        .map(Column::from)
        .map(Expr::Column);
    let mut all: Vec<Expr> = kept.collect();
    let fields = aggregate.schema.iter().skip(groups);
    for (output, (qualifier, field)) in above.into_iter().zip(fields) {
        let ty = output.get_type(&inner.schema)?;
        let output = if ty == *field.data_type() {
            output
        } else {
            cast(output, field.data_type().clone())
        };
        all.push(output.alias_qualified(qualifier.cloned(), field.name()));
    }
    let projection = Projection::try_new(all, Arc::new(LogicalPlan::Aggregate(inner)))?;
    Ok(LogicalPlan::Projection(projection))
}
