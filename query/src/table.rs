//! A stream as a table.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, SchemaExt, not_impl_err};
use datafusion::datasource::sink::DataSinkExec;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use siltstone_store::predicate::Predicate;
use siltstone_store::schema::SharedSchema;
use siltstone_store::snapshot::Snapshot;
use siltstone_store::store::Store;

use crate::error::external;
use crate::predicate::{translate, translate_all};
use crate::scan::SiltScan;
use crate::sink::StreamSink;
use crate::types::arrow_schema;

/// When a query began, as far as DataFusion says.
type QueryStart = Option<i64>;

/// Where a table's rows come from.
enum Source {
    /// The stream as it is when a query begins.
    Live(Arc<Store>),
    /// One state of it.
    Fixed(Snapshot),
}

/// A stream as DataFusion asks for it.
///
/// All scans of one query through one provider read the same snapshot, so a self-join or a subquery sees one state.
pub(crate) struct StreamTable {
    source: Source,
    stream: String,
    schema: SharedSchema,
    arrow: SchemaRef,
    /// The snapshot taken last, and the query that it was taken for.
    last: Mutex<Option<(QueryStart, Snapshot)>>,
}

impl std::fmt::Debug for StreamTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StreamTable({})", self.stream)
    }
}

impl StreamTable {
    /// The stream `stream` of `store`.
    ///
    /// # Errors
    /// If the store has no such stream.
    pub fn open(store: &Arc<Store>, stream: &str) -> siltstone_store::Result<Self> {
        let schema = store.schema(stream)?;
        Ok(Self::new(Source::Live(Arc::clone(store)), stream, schema))
    }

    /// One state of the stream `stream`.
    pub fn fixed(snapshot: Snapshot, stream: &str) -> Self {
        let schema = Arc::clone(snapshot.schema());
        Self::new(Source::Fixed(snapshot), stream, schema)
    }

    fn new(source: Source, stream: &str, schema: SharedSchema) -> Self {
        let arrow = arrow_schema(&schema);
        StreamTable {
            source,
            stream: stream.to_owned(),
            schema,
            arrow,
            last: Mutex::new(None),
        }
    }

    fn snapshot(&self, state: &dyn Session) -> Result<Snapshot> {
        let store = match &self.source {
            Source::Live(store) => store,
            Source::Fixed(snapshot) => return Ok(snapshot.clone()),
        };
        let start = state
            .execution_props()
            .query_execution_start_time
            .and_then(|time| time.timestamp_nanos_opt());
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, snapshot)) = &*last
            && start.is_some()
            && *of == start
        {
            return Ok(snapshot.clone());
        }
        let snapshot = store.snapshot(&self.stream).map_err(external)?;
        *last = Some((start, snapshot.clone()));
        Ok(snapshot)
    }
}

#[async_trait]
impl TableProvider for StreamTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.arrow)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let verdict = |filter: &&Expr| match translate(filter, &self.schema) {
            Some(_) => TableProviderFilterPushDown::Exact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(verdict).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // DataFusion passes only filters with a verdict that is not `Unsupported`. Should it pass another, its own
        // filter stays above the scan, and so the scan may keep every row, but then must not stop early.
        let (predicate, limit) = match translate_all(filters, &self.schema) {
            Some(predicate) => (predicate, limit),
            None => (Predicate::All, None),
        };
        let schema = match projection {
            Some(projection) => Arc::new(self.arrow.project(projection)?),
            None => Arc::clone(&self.arrow),
        };
        let snapshot = self.snapshot(state)?;
        let partitions = state.config().target_partitions();
        Ok(Arc::new(SiltScan::try_new(
            snapshot,
            self.stream.clone(),
            schema,
            predicate,
            limit,
            partitions,
        )?))
    }

    async fn insert_into(
        &self,
        _state: &dyn Session,
        input: Arc<dyn ExecutionPlan>,
        insert_op: InsertOp,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Source::Live(store) = &self.source else {
            return not_impl_err!("a snapshot is not written to; insert into the stream");
        };
        if insert_op != InsertOp::Append {
            return not_impl_err!("rows of a stream are never overwritten; use INSERT INTO");
        }
        self.arrow.logically_equivalent_names_and_types(&input.schema())?;
        let sink = StreamSink::new(
            Arc::clone(store),
            self.stream.clone(),
            Arc::clone(&self.schema),
            self.schema(),
        );
        Ok(Arc::new(DataSinkExec::new(input, Arc::new(sink), None)))
    }
}
