//! Statements that are one question to a stream, answered without a plan.
//!
//! Planning a statement takes DataFusion far longer than the store takes to count the rows of a substring. So a statement
//! of the form `SELECT aggregates FROM stream WHERE condition` is looked at before it is planned: DataFusion says what its
//! expressions mean; if each aggregate is a question and the condition a predicate, the snapshot is asked at once. What
//! is not of this form, and what is wrong in any way, takes the long road, which ends at the same questions
//! ([`crate::aggregate`]) or says what is wrong; the answers are the same.

use std::collections::HashSet;
use std::mem;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::datatypes::{Field, Schema as ArrowSchema};
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::common::{DFSchema, Result, TableReference};
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::planner::{IdentNormalizer, object_name_to_table_reference};
use datafusion::sql::sqlparser::ast::{
    self, ExprWithAlias, ObjectName, Query, SelectItem, SetExpr, TableAlias, TableFactor,
};
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
    let (statement, short) = look(context, sql)?;
    if let Some(short) = short
        && let Some(answer) = short.answer(context).await
    {
        return Ok(answer.rows());
    }
    let plan = context.state().statement_to_plan(statement).await?;
    let frame = context.execute_logical_plan(plan).await?;
    Ok(frame.execute_stream().await?)
}

/// The statement, and what it may ask of a stream.
fn look(context: &SessionContext, sql: &str) -> Result<(Statement, Option<Short>)> {
    // A copy of the state takes longer than many an answer.
    let state = context.state_ref();
    let state = state.read();
    let (statement, _) = understand(&state, sql)?;
    let short = Short::of(&statement, &state);
    Ok((statement, short))
}

/// A statement of the form `SELECT items FROM table WHERE condition`.
struct Short {
    items: Vec<SelectItem>,
    condition: Option<ast::Expr>,
    /// The table, and where it is looked for.
    table: TableReference,
    among: Arc<dyn SchemaProvider>,
    /// What its columns may be qualified by.
    qualifier: TableReference,
    normalizer: IdentNormalizer,
}

/// A query without its parts, so that what is left of one can be held to it.
static NOTHING_ELSE: LazyLock<Option<Query>> = LazyLock::new(|| {
    let statement = DFParser::parse_sql("SELECT 1 FROM t").ok()?.pop_front()?;
    let Statement::Statement(statement) = statement else {
        return None;
    };
    let ast::Statement::Query(mut query) = *statement else {
        return None;
    };
    Parts::take(&mut query)?;
    Some(*query)
});

/// What a query may say.
struct Parts {
    items: Vec<SelectItem>,
    condition: Option<ast::Expr>,
    name: ObjectName,
    alias: Option<TableAlias>,
}

impl Parts {
    /// Takes them out of a query.
    fn take(query: &mut Query) -> Option<Parts> {
        let SetExpr::Select(select) = query.body.as_mut() else {
            return None;
        };
        let TableFactor::Table { name, alias, .. } = &mut select.from.first_mut()?.relation else {
            return None;
        };
        Some(Parts {
            items: mem::take(&mut select.projection),
            condition: select.selection.take(),
            name: mem::replace(name, ObjectName(Vec::new())),
            alias: alias.take(),
        })
    }
}

impl Short {
    fn of(statement: &Statement, state: &SessionState) -> Option<Short> {
        let Statement::Statement(statement) = statement else {
            return None;
        };
        let ast::Statement::Query(query) = statement.as_ref() else {
            return None;
        };
        let mut rest = query.as_ref().clone();
        let Parts {
            items,
            condition,
            name,
            alias,
        } = Parts::take(&mut rest)?;
        if Some(&rest) != NOTHING_ELSE.as_ref() {
            return None;
        }
        let normalize = state.config_options().sql_parser.enable_ident_normalization;
        let normalizer = IdentNormalizer::new(normalize);
        let table = object_name_to_table_reference(name, normalize).ok()?;
        let qualifier = match alias {
            Some(alias) if alias.columns.is_empty() && alias.at.is_none() => {
                TableReference::bare(normalizer.normalize(alias.name))
            }
            Some(_) => return None,
            None => table.clone(),
        };
        Some(Short {
            items,
            condition,
            among: state.schema_for_ref(table.clone()).ok()?,
            table,
            qualifier,
            normalizer,
        })
    }

    /// The questions, if the statement is nothing else.
    async fn answer(&self, context: &SessionContext) -> Option<SiltAggregate> {
        let table = self.among.table(self.table.table()).await.ok()??;
        let table = table.downcast_ref::<StreamTable>()?;
        if table.is_weighed() {
            return None;
        }
        let snapshot = table.snapshot_for(None, &[]).ok()?;
        // Where rows stand for many, some aggregates are refused.
        if snapshot.has_buckets() {
            return None;
        }
        let state = context.state_ref();
        let state = state.read();
        let words = Words::new(&state, &self.qualifier, table).ok()?;
        let (mut calls, mut fields, mut names) = (Vec::new(), Vec::new(), HashSet::new());
        for item in &self.items {
            let (expression, alias) = match item {
                SelectItem::UnnamedExpr(expression) => (expression, None),
                SelectItem::ExprWithAlias { expr, alias } => (expr, Some(alias)),
                _ => return None,
            };
            let (call, field) = words.call(expression, snapshot.schema())?;
            let field = match alias {
                Some(alias) => field.with_name(self.normalizer.normalize(alias.clone())),
                None => field,
            };
            // Two of one name are an error that the long road tells.
            names.insert(field.name().clone()).then_some(())?;
            calls.push(call);
            fields.push(field);
        }
        let predicate = match &self.condition {
            Some(condition) => words.predicate(condition, snapshot.schema())?,
            None => Predicate::All,
        };
        let question = Question {
            stream: table.stream().to_owned(),
            snapshot,
            predicate,
        };
        let schema = Arc::new(ArrowSchema::new(fields));
        Some(SiltAggregate::new(Arc::new(question), calls, schema))
    }
}

/// What expressions about a table's rows mean.
struct Words<'a> {
    state: &'a SessionState,
    rows: Arc<DFSchema>,
    simplifier: ExprSimplifier,
}

impl<'a> Words<'a> {
    fn new(state: &'a SessionState, qualifier: &TableReference, table: &StreamTable) -> Result<Self> {
        let rows = DFSchema::try_from_qualified_schema(qualifier.clone(), &table.schema())?;
        let rows = Arc::new(rows);
        let about = SimplifyContext::builder()
            .with_schema(Arc::clone(&rows))
            .with_config_options(Arc::clone(state.config().options()))
            .with_current_time()
            .build();
        Ok(Words {
            state,
            rows,
            simplifier: ExprSimplifier::new(about),
        })
    }

    /// The expression, and the same with types that fit.
    fn read(&self, expression: &ast::Expr) -> Result<(Expr, Expr)> {
        let expression = ExprWithAlias {
            expr: expression.clone(),
            alias: None,
        };
        let read = self
            .state
            .create_logical_expr_from_sql_expr(expression, &self.rows)?;
        let coerced = self.simplifier.coerce(read.clone(), &self.rows)?;
        Ok((read, coerced))
    }

    /// An aggregate as a question, and the column of its answer.
    fn call(&self, expression: &ast::Expr, schema: &Schema) -> Option<(Call, Field)> {
        let (read, coerced) = self.read(expression).ok()?;
        let Expr::AggregateFunction(aggregate) = bare(&coerced) else {
            return None;
        };
        let column = |column: &Expr| match column {
            Expr::Column(column) => Some(column.name.clone()),
            _ => None,
        };
        let call = question_of(aggregate, &column, schema, &self.rows)?;
        let (_, field) = coerced.to_field(&self.rows).ok()?;
        let (_, name) = read.qualified_name();
        Some((call, field.as_ref().clone().with_name(name)))
    }

    /// A condition as a predicate.
    fn predicate(&self, condition: &ast::Expr, schema: &Schema) -> Option<Predicate> {
        let (_, condition) = self.read(condition).ok()?;
        // Constants may have to be computed first.
        translate(&condition, schema)
            .or_else(|| translate(&self.simplifier.simplify(condition).ok()?, schema))
    }
}

/// An expression without the names that it is given.
fn bare(expression: &Expr) -> &Expr {
    match expression {
        Expr::Alias(alias) => bare(&alias.expr),
        other => other,
    }
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
            (
                "SELECT count(*) AS c, MIN(speed), stddev(speed) FROM public.motor",
                true,
            ),
            (
                "SELECT count(motor.speed) FROM siltstone.public.motor WHERE motor.speed IS NULL",
                true,
            ),
            ("SELECT sum(m.speed) AS \"The Sum\" FROM motor m", true),
            ("SELECT count(*) FROM motor m (a, b, c, d)", false),
            ("SELECT count(*) FILTER (WHERE speed > 1) FROM motor", false),
            ("SELECT count(*) OVER () FROM motor", false),
            ("SELECT count(*), count(*) FROM motor", false),
            ("SELECT DISTINCT count(*) FROM motor", false),
            ("SELECT count(*) FROM motor ORDER BY 1", false),
            (
                "WITH motor AS (SELECT 1 AS speed) SELECT count(*) FROM motor",
                false,
            ),
            ("SELECT count(*) FROM motor WHERE speed > (SELECT 1)", false),
            (
                "SELECT count(*) FROM motor UNION ALL SELECT count(*) FROM motor",
                false,
            ),
            ("EXPLAIN SELECT count(*) FROM motor", false),
        ];
        for (sql, is_question) in cases {
            let found = match look(&context, sql).unwrap().1 {
                Some(short) => short.answer(&context).await,
                None => None,
            };
            assert_eq!(found.is_some(), is_question, "{sql}");
            if let Some(found) = found {
                let long = crate::sql(&context, sql).await.unwrap();
                assert_eq!(found.rows().schema().fields(), long.schema().fields(), "{sql}");
            }
        }
    }
}
