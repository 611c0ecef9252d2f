//! Where the rows of a plan come from, and how hidden columns come along with them.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::catalog::default_table_source::source_as_provider;
use datafusion::common::{Column, Result, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::logical_plan::{Join, Projection, Sort, SubqueryAlias, TableScanBuilder};
use datafusion::logical_expr::{Expr, Filter, JoinType, LogicalPlan};
use siltstone_store::predicate::Predicate;
use siltstone_store::snapshot::Snapshot;

use super::hidden::{Hidden, HiddenColumns};
use crate::predicate::translate_all;
use crate::table::{QueryStart, StreamTable};

/// What a column of a plan is to the rows that one of its rows stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// A key: the same in all of them.
    Key(String),
    /// Of another table, so the same in all of them.
    Other,
    /// Their time.
    Time(String),
    /// One of their channels.
    Channel(String),
    /// Computed of these channels, and perhaps of their time.
    Computed(BTreeSet<String>),
}

/// Rows of one stream, some of which stand for many.
pub(super) struct Rows {
    /// The stream as it is asked, with hidden columns.
    pub table: Arc<StreamTable>,
    pub snapshot: Snapshot,
    pub stream: String,
    pub hidden: HiddenColumns,
    /// What hidden columns are called by in the plan.
    pub qualifier: TableReference,
    /// What each column of the plan is.
    pub origins: Vec<Origin>,
    start: QueryStart,
    wanted: Wanted,
    /// What the rows meet, if nothing else is done to them but naming.
    pub predicate: Option<Predicate>,
}

/// What is found below a plan.
pub(super) enum Found {
    /// No rows that stand for many.
    Nothing,
    /// Rows that stand for many, under something that takes each for one.
    Blocked {
        stream: String,
        by: &'static str,
    },
    Rows(Box<Rows>),
}

/// Which streams count: all, or only those with rows that stand for many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    All,
    Downsampled,
}

/// Finds the rows below a plan.
///
/// # Errors
/// If a snapshot cannot be taken.
pub(super) fn find(plan: &LogicalPlan, start: QueryStart, wanted: Wanted) -> Result<Found> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let Ok(provider) = source_as_provider(&scan.source) else {
                return Ok(Found::Nothing);
            };
            let Some(table) = provider.downcast_ref::<StreamTable>().filter(|t| !t.is_weighed()) else {
                return Ok(Found::Nothing);
            };
            let snapshot = table.snapshot_for(start, &scan.filters)?;
            if wanted == Wanted::Downsampled && !snapshot.has_buckets() {
                return Ok(Found::Nothing);
            }
            let stream = table.stream().to_owned();
            if scan.fetch.is_some() {
                return Ok(Found::Blocked { stream, by: "LIMIT" });
            }
            let schema = Arc::clone(snapshot.schema());
            let origin = |name: &str| {
                if name == schema.time_name() {
                    Origin::Time(name.to_owned())
                } else if schema.keys().iter().any(|key| key.name == name) {
                    Origin::Key(name.to_owned())
                } else if schema.column(name).is_some() {
                    Origin::Channel(name.to_owned())
                } else {
                    Origin::Other
                }
            };
            let fields = scan.projected_schema.fields().iter();
            let rest: Vec<Expr> = table.without_precision(&scan.filters);
            Ok(Found::Rows(Box::new(Rows {
                origins: fields.map(|field| origin(field.name())).collect(),
                predicate: translate_all(&rest, &schema),
                hidden: HiddenColumns::of(&schema),
                qualifier: scan.table_name.clone(),
                table: Arc::new(table.weighed(snapshot.clone())),
                snapshot,
                stream,
                start,
                wanted,
            })))
        }
        LogicalPlan::SubqueryAlias(alias) => Ok(match find(&alias.input, start, wanted)? {
            Found::Rows(mut rows) => {
                rows.qualifier = alias.alias.clone();
                Found::Rows(rows)
            }
            other => other,
        }),
        LogicalPlan::Filter(filter) => Ok(match find(&filter.input, start, wanted)? {
            Found::Rows(mut rows) => {
                rows.predicate = None;
                Found::Rows(rows)
            }
            other => other,
        }),
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => find(&sort.input, start, wanted),
        LogicalPlan::Projection(projection) => Ok(match find(&projection.input, start, wanted)? {
            Found::Rows(mut rows) => {
                let each = projection.expr.iter();
                rows.origins = each
                    .map(|expression| rows.origin_of(expression, &projection.input))
                    .collect();
                Found::Rows(rows)
            }
            other => other,
        }),
        LogicalPlan::Join(join) => find_join(join, start, wanted),
        // What comes out of these are rows of their own.
        LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_) => Ok(Found::Nothing),
        other => {
            let by = match other {
                LogicalPlan::Limit(_) | LogicalPlan::Sort(_) => "LIMIT",
                LogicalPlan::Window(_) => "a window",
                LogicalPlan::Union(_) => "UNION",
                _ => "this plan",
            };
            for input in other.inputs() {
                match find(input, start, wanted)? {
                    Found::Nothing => {}
                    Found::Rows(rows) => {
                        let stream = rows.stream;
                        return Ok(Found::Blocked { stream, by });
                    }
                    blocked @ Found::Blocked { .. } => return Ok(blocked),
                }
            }
            Ok(Found::Nothing)
        }
    }
}

fn find_join(join: &Join, start: QueryStart, wanted: Wanted) -> Result<Found> {
    let left = find(&join.left, start, wanted)?;
    let right = find(&join.right, start, wanted)?;
    let (mut rows, on_left) = match (left, right, join.join_type) {
        // The other side only says which rows there are.
        (found, _, JoinType::LeftSemi | JoinType::LeftAnti) => {
            return Ok(match found {
                Found::Rows(mut rows) => {
                    rows.predicate = None;
                    Found::Rows(rows)
                }
                other => other,
            });
        }
        (_, found, JoinType::RightSemi | JoinType::RightAnti) => {
            return Ok(match found {
                Found::Rows(mut rows) => {
                    rows.predicate = None;
                    Found::Rows(rows)
                }
                other => other,
            });
        }
        (Found::Nothing, Found::Nothing, _) => return Ok(Found::Nothing),
        (blocked @ Found::Blocked { .. }, ..) | (_, blocked @ Found::Blocked { .. }, _) => {
            return Ok(blocked);
        }
        (Found::Rows(rows), Found::Nothing, JoinType::Inner | JoinType::Left) => (rows, true),
        (Found::Nothing, Found::Rows(rows), JoinType::Inner | JoinType::Right) => (rows, false),
        (Found::Rows(rows), ..) | (_, Found::Rows(rows), _) => {
            let (stream, by) = (rows.stream, "a join");
            return Ok(Found::Blocked { stream, by });
        }
    };
    // Rows that one row stands for are joined alike only where keys decide.
    let side = if on_left { &join.left } else { &join.right };
    let conditions = join.on.iter().flat_map(|(left, right)| [left, right]);
    let same = |expression: &Expr| {
        let columns = expression.column_refs();
        columns.into_iter().all(|column| {
            let place = side.schema().maybe_index_of_column(column);
            place.is_none_or(|place| matches!(rows.origins.get(place), Some(Origin::Key(_) | Origin::Other)))
        })
    };
    let others = if on_left { &join.right } else { &join.left };
    // One row beside makes a condition of the join one of each row alone.
    if others.max_rows() != Some(1) && !conditions.chain(&join.filter).all(same) {
        let (stream, by) = (rows.stream, "a join on anything but keys");
        return Ok(Found::Blocked { stream, by });
    }
    let others = vec![Origin::Other; others.schema().fields().len()];
    rows.origins = if on_left {
        [rows.origins, others].concat()
    } else {
        [others, rows.origins].concat()
    };
    rows.predicate = None;
    Ok(Found::Rows(rows))
}

impl Rows {
    /// What an expression over the columns of `plan`, whose rows these are, is.
    pub fn origin_of(&self, expression: &Expr, plan: &LogicalPlan) -> Origin {
        match expression {
            Expr::Alias(alias) => return self.origin_of(&alias.expr, plan),
            Expr::Column(column) => return self.origin(column, plan),
            _ => {}
        }
        let mut channels = BTreeSet::new();
        let mut varies = false;
        for column in expression.column_refs() {
            match self.origin(column, plan) {
                Origin::Key(_) | Origin::Other => {}
                Origin::Time(_) => varies = true,
                Origin::Channel(name) => {
                    channels.insert(name);
                }
                Origin::Computed(of) => {
                    varies = true;
                    channels.extend(of);
                }
            }
        }
        if varies || !channels.is_empty() {
            Origin::Computed(channels)
        } else {
            Origin::Other
        }
    }

    fn origin(&self, column: &Column, plan: &LogicalPlan) -> Origin {
        let place = plan.schema().maybe_index_of_column(column);
        place
            .and_then(|place| self.origins.get(place).cloned())
            .unwrap_or(Origin::Other)
    }

    /// The hidden column as the plan names it.
    pub fn column(&self, hidden: &Hidden) -> Expr {
        Expr::Column(Column::new(
            Some(self.qualifier.clone()),
            self.hidden.name(hidden),
        ))
    }

    /// The plan whose rows these are, with hidden columns of these names.
    ///
    /// # Errors
    /// What DataFusion says of the plan.
    pub fn carry(&self, plan: &LogicalPlan, names: &BTreeSet<String>) -> Result<LogicalPlan> {
        Ok(self.carried(plan, names)?.0)
    }

    /// The plan with hidden columns, and what these are called by; `None` where the stream is not below.
    fn carried(
        &self,
        plan: &LogicalPlan,
        names: &BTreeSet<String>,
    ) -> Result<(LogicalPlan, Option<TableReference>)> {
        match plan {
            LogicalPlan::TableScan(scan) => {
                if !matches!(find(plan, self.start, self.wanted)?, Found::Rows(_)) {
                    return Ok((plan.clone(), None));
                }
                let source = provider_as_source(Arc::clone(&self.table) as _);
                let schema = source.schema();
                let visible = scan.projected_schema.fields().iter().map(|field| field.name());
                let wanted = visible.chain(names).map(|name| schema.index_of(name));
                let wanted = wanted.collect::<Result<Vec<usize>, _>>()?;
                let scan = TableScanBuilder::new(scan.table_name.clone(), source)
                    .with_projection(Some(wanted))
                    .with_filters(scan.filters.clone())
                    .build()?;
                let qualifier = scan.table_name.clone();
                Ok((LogicalPlan::TableScan(scan), Some(qualifier)))
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let (input, found) = self.carried(&alias.input, names)?;
                let named = SubqueryAlias::try_new(Arc::new(input), alias.alias.clone())?;
                let qualifier = found.map(|_| alias.alias.clone());
                Ok((LogicalPlan::SubqueryAlias(named), qualifier))
            }
            LogicalPlan::Filter(filter) => {
                let (input, found) = self.carried(&filter.input, names)?;
                let filter = Filter::try_new(filter.predicate.clone(), Arc::new(input))?;
                Ok((LogicalPlan::Filter(filter), found))
            }
            LogicalPlan::Sort(sort) => {
                let (input, found) = self.carried(&sort.input, names)?;
                let sort = Sort {
                    input: Arc::new(input),
                    ..sort.clone()
                };
                Ok((LogicalPlan::Sort(sort), found))
            }
            LogicalPlan::Projection(projection) => {
                let (input, found) = self.carried(&projection.input, names)?;
                let mut expressions = projection.expr.clone();
                if let Some(qualifier) = &found {
                    let more = names.iter();
                    expressions.extend(
                        more.map(|name| Expr::Column(Column::new(Some(qualifier.clone()), name.as_str()))),
                    );
                }
                let projection = Projection::try_new(expressions, Arc::new(input))?;
                Ok((LogicalPlan::Projection(projection), found))
            }
            LogicalPlan::Join(join) => {
                let (left, in_left) = match join.join_type {
                    JoinType::RightSemi | JoinType::RightAnti => ((*join.left).clone(), None),
                    _ => self.carried(&join.left, names)?,
                };
                let (right, in_right) = match join.join_type {
                    JoinType::LeftSemi | JoinType::LeftAnti => ((*join.right).clone(), None),
                    _ => self.carried(&join.right, names)?,
                };
                let joined = Join::try_new(
                    Arc::new(left),
                    Arc::new(right),
                    join.on.clone(),
                    join.filter.clone(),
                    join.join_type,
                    join.join_constraint,
                    join.null_equality,
                    join.null_aware,
                )?;
                Ok((LogicalPlan::Join(joined), in_left.or(in_right)))
            }
            other => Ok((other.clone(), None)),
        }
    }
}
