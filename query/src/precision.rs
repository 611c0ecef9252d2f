//! The column `_precision`: how exact a row is (`raw`, `eps=0.05`, `60s`).
//!
//! It is hidden: `*` does not stand for it, and a statement that does not name it is planned as if there were none. One
//! that does gets tables which have it, under the names that it gives them; [`sql`] sees to that.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema as ArrowSchema};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::dataframe::DataFrame;
use datafusion::execution::SessionState;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::physical_expr::create_physical_expr;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    self, ExcludeSelectItem, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName,
    ObjectNamePart, SelectItem, SelectItemQualifiedWildcardKind, TableAlias, TableFactor, Value, VisitMut,
    VisitorMut,
};
use siltstone_store::snapshot::Snapshot;

use crate::catalog::{CATALOG, PRECISE, STREAMS};
use crate::error::external;
use crate::weigh::PRECISION;

/// The function that is called without an argument.
const COUNT_BOUNDS: &str = "count_bounds";

/// The snapshot with only the parts whose precision all `filters` hold for, which speak of nothing else.
///
/// # Errors
/// What DataFusion says of a filter.
pub(crate) fn parts_with(snapshot: &Snapshot, filters: &[&Expr]) -> Result<Snapshot> {
    let parts = 0..snapshot.part_count();
    let precisions = parts.map(|part| snapshot.part_precision(part));
    let precisions: Vec<String> = precisions
        .collect::<siltstone_store::Result<_>>()
        .map_err(external)?;
    let mut keep = vec![true; precisions.len()];
    let arrow = Arc::new(ArrowSchema::new(vec![Field::new(
        PRECISION,
        DataType::Utf8,
        false,
    )]));
    let schema = DFSchema::try_from(Arc::clone(&arrow))?;
    let batch = RecordBatch::try_new(arrow, vec![Arc::new(StringArray::from(precisions))])?;
    for filter in filters {
        let bare = (*filter).clone().transform(|expression| {
            Ok(match expression {
                Expr::Column(_) => Transformed::yes(Expr::Column(Column::from_name(PRECISION))),
                other => Transformed::no(other),
            })
        });
        let filter = create_physical_expr(
            &bare.data()?,
            &schema,
            &ExecutionProps::new(),
            &PhysicalPlanningContext::default(),
        )?;
        let found = filter.evaluate(&batch)?.into_array(keep.len())?;
        let Some(found) = found.as_boolean_opt() else {
            continue;
        };
        for (part, keep) in keep.iter_mut().enumerate() {
            *keep &= found.is_valid(part) && found.value(part);
        }
    }
    Ok(snapshot.with_parts(|part| keep.get(part) == Some(&true)))
}

/// A statement as a frame, as [`SessionContext::sql`], in which streams have the hidden column `_precision`, and
/// `count_bounds(*)` is understood.
///
/// # Errors
/// What DataFusion says of the statement.
pub async fn sql(context: &SessionContext, sql: &str) -> crate::Result<DataFrame> {
    let state = context.state();
    let (statement, changed) = understand(&state, sql)?;
    if !changed {
        return Ok(context.sql(sql).await?);
    }
    let plan = state.statement_to_plan(statement).await?;
    Ok(context.execute_logical_plan(plan).await?)
}

/// A statement in words that DataFusion understands, and whether they had to be changed.
///
/// # Errors
/// What DataFusion says of the statement.
pub(crate) fn understand(state: &SessionState, sql: &str) -> Result<(Statement, bool)> {
    let dialect = state.config_options().sql_parser.dialect;
    let mut statement = state.sql_to_statement(sql, &dialect)?;
    // Most statements name neither, and a walk through them takes longer than a look at their text.
    if !sql.contains(PRECISION) && !sql.contains(COUNT_BOUNDS) {
        return Ok((statement, false));
    }
    let changed = match &mut statement {
        Statement::Statement(statement) => Names::default().see(statement.as_mut()),
        Statement::Explain(explain) => match explain.statement.as_mut() {
            Statement::Statement(statement) => Names::default().see(statement.as_mut()),
            _ => false,
        },
        _ => false,
    };
    Ok((statement, changed))
}

/// What a statement speaks of.
#[derive(Default)]
struct Names {
    precision: bool,
    /// Whether something was put in another way.
    changed: bool,
    /// Names given by WITH.
    with: Vec<String>,
    /// Whether names are being replaced.
    replacing: bool,
}

impl Names {
    /// Looks at a statement, and changes it if it has to; gives whether it did.
    fn see(mut self, statement: &mut ast::Statement) -> bool {
        let _ = VisitMut::visit(statement, &mut self);
        if self.precision {
            self.replacing = true;
            self.changed = true;
            let _ = VisitMut::visit(statement, &mut self);
        }
        self.changed
    }

    /// Name of the stream that a table factor may be, in words that leave out what need not be said.
    fn stream(&self, name: &ObjectName) -> Option<Ident> {
        let parts: Option<Vec<&Ident>> = name.0.iter().map(ObjectNamePart::as_ident).collect();
        match parts?.as_slice() {
            [table] if !self.with.contains(&table.value) => Some((*table).clone()),
            [schema, table] if schema.value == STREAMS => Some((*table).clone()),
            [catalog, schema, table] if catalog.value == CATALOG && schema.value == STREAMS => {
                Some((*table).clone())
            }
            _ => None,
        }
    }
}

impl VisitorMut for Names {
    type Break = ();

    fn pre_visit_expr(&mut self, expression: &mut ast::Expr) -> ControlFlow<()> {
        match expression {
            ast::Expr::Identifier(name) => self.precision |= name.value == PRECISION,
            ast::Expr::CompoundIdentifier(names) => {
                self.precision |= names.last().is_some_and(|name| name.value == PRECISION);
            }
            ast::Expr::Function(Function { name, args, .. }) if name.to_string() == COUNT_BOUNDS => {
                if let FunctionArguments::List(list) = args
                    && let [argument @ FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] =
                        list.args.as_mut_slice()
                {
                    let one = Value::Number("1".to_owned(), false).into();
                    *argument = FunctionArg::Unnamed(FunctionArgExpr::Expr(ast::Expr::Value(one)));
                    self.changed = true;
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<()> {
        if let Some(with) = &query.with {
            self.with
                .extend(with.cte_tables.iter().map(|cte| cte.alias.name.value.clone()));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<()> {
        if !self.replacing {
            return ControlFlow::Continue(());
        }
        let joined = select.from.iter_mut().flat_map(|from| {
            std::iter::once(&mut from.relation).chain(from.joins.iter_mut().map(|join| &mut join.relation))
        });
        let mut streams: Vec<Ident> = Vec::new();
        let mut relations = 0;
        for relation in joined {
            relations += 1;
            let TableFactor::Table { name, alias, .. } = relation else {
                continue;
            };
            let Some(stream) = self.stream(name) else { continue };
            let called = alias.as_ref().map_or(&stream, |alias| &alias.name).clone();
            alias.get_or_insert_with(|| TableAlias {
                explicit: true,
                name: called.clone(),
                columns: Vec::new(),
                at: None,
            });
            let parts = [Ident::new(CATALOG), Ident::with_quote('"', PRECISE), stream];
            *name = ObjectName(parts.into_iter().map(ObjectNamePart::Identifier).collect());
            streams.push(called);
        }
        let without = || {
            ExcludeSelectItem::Single(ObjectName(vec![ObjectNamePart::Identifier(Ident::new(
                PRECISION,
            ))]))
        };
        let mut items = Vec::with_capacity(select.projection.len());
        for mut item in std::mem::take(&mut select.projection) {
            match &mut item {
                SelectItem::Wildcard(options) if relations == 1 && !streams.is_empty() => {
                    options.opt_exclude.get_or_insert_with(without);
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(of), options)
                    if of.0.len() == 1 && streams.iter().any(|name| of.to_string() == name.to_string()) =>
                {
                    options.opt_exclude.get_or_insert_with(without);
                }
                _ => {}
            }
            items.push(item);
        }
        select.projection = items;
        ControlFlow::Continue(())
    }
}
