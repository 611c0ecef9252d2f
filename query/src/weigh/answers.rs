//! One row of answers as a table: what an aggregation without groups becomes.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{Field, FieldRef, Schema as ArrowSchema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Column, Result, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::logical_plan::TableScanBuilder;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableType};
use datafusion::physical_plan::ExecutionPlan;

use crate::aggregate::SiltAggregate;
use crate::call::Call;
use crate::scan::Question;

/// Name of the table in plans.
const NAME: &str = "answers";

/// Answers of one row, each of its own type.
#[derive(Debug)]
struct Answers {
    question: Arc<Question>,
    calls: Vec<Call>,
    schema: SchemaRef,
}

/// A plan of one row: the answers to `calls`, as columns like `fields`.
///
/// # Errors
/// What DataFusion says of the plan.
pub(crate) fn plan(
    question: Question,
    calls: Vec<Call>,
    fields: &[(Option<TableReference>, FieldRef)],
) -> Result<LogicalPlan> {
    let columns = fields
        .iter()
        .enumerate()
        .map(|(place, (_, field))| Field::new(format!("{NAME}{place}"), field.data_type().clone(), true));
    let schema = Arc::new(ArrowSchema::new(columns.collect::<Vec<_>>()));
    let named = fields
        .iter()
        .zip(schema.fields())
        .map(|((qualifier, field), own)| {
            let column = Expr::Column(Column::new(Some(NAME), own.name()));
            column.alias_qualified(qualifier.clone(), field.name())
        });
    let named: Vec<Expr> = named.collect();
    let answers = Answers {
        question: Arc::new(question),
        calls,
        schema,
    };
    // That there is one row only is worth knowing to joins.
    let scan = TableScanBuilder::new(NAME, provider_as_source(Arc::new(answers))).with_fetch(Some(1));
    LogicalPlanBuilder::from(LogicalPlan::TableScan(scan.build()?))
        .project(named)?
        .build()
}

#[async_trait]
impl TableProvider for Answers {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (calls, schema) = match projection {
            Some(wanted) => (
                wanted
                    .iter()
                    .filter_map(|&at| self.calls.get(at).cloned())
                    .collect(),
                Arc::new(self.schema.project(wanted)?),
            ),
            None => (self.calls.clone(), Arc::clone(&self.schema)),
        };
        let question = Arc::clone(&self.question);
        Ok(Arc::new(SiltAggregate::new(question, calls, schema)))
    }
}
