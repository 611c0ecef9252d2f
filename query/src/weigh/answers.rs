//! Answers as a table: what an aggregation that is a question becomes. One row, or one for each set of values of keys.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{Field, FieldRef, Schema as ArrowSchema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Column, Result, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::logical_plan::TableScanBuilder;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableType};
use datafusion::physical_plan::ExecutionPlan;

use crate::aggregate::{Output, SiltAggregate};
use crate::asked::Question;
use crate::call::Call;

/// Name of the table in plans.
const NAME: &str = "answers";

/// Answers, each of its own type.
#[derive(Debug)]
struct Answers {
    question: Arc<Question>,
    keys: Vec<String>,
    outputs: Vec<Output>,
    schema: SchemaRef,
}

/// A plan of the values of `keys` and the answers to `calls`, as columns like `fields`; of one row if there are no keys.
///
/// # Errors
/// What DataFusion says of the plan.
pub(crate) fn plan(
    question: Question,
    keys: Vec<String>,
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
    let outputs = (0..keys.len())
        .map(Output::Key)
        .chain(calls.into_iter().map(Output::Call));
    // That there is one row only is worth knowing to joins.
    let rows = keys.is_empty().then_some(1);
    let answers = Answers {
        question: Arc::new(question),
        outputs: outputs.collect(),
        keys,
        schema,
    };
    let scan = TableScanBuilder::new(NAME, provider_as_source(Arc::new(answers))).with_fetch(rows);
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
        let (outputs, schema) = match projection {
            Some(wanted) => (
                wanted
                    .iter()
                    .filter_map(|&at| self.outputs.get(at).cloned())
                    .collect(),
                Arc::new(self.schema.project(wanted)?),
            ),
            None => (self.outputs.clone(), Arc::clone(&self.schema)),
        };
        let (question, keys) = (Arc::clone(&self.question), self.keys.clone());
        Ok(Arc::new(SiltAggregate::by_keys(question, keys, outputs, schema)))
    }
}
