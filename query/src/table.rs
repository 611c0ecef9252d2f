//! A stream as a table.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef};
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
use crate::precision;
use crate::predicate::{translate, translate_all};
use crate::scan::SiltScan;
use crate::sink::StreamSink;
use crate::types::arrow_schema;
use crate::weigh::{HiddenColumns, PRECISION};

/// When a query began, as far as DataFusion says.
pub(crate) type QueryStart = Option<i64>;

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
    /// Whether there is a column that says how exact rows are.
    precise: bool,
    /// Columns for rows that stand for many, where a plan has been rewritten to use them.
    hidden: Option<Arc<HiddenColumns>>,
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
            precise: false,
            hidden: None,
            last: Mutex::new(None),
        }
    }

    /// The same table with the column `_precision`, unless the stream has one of that name.
    #[must_use]
    pub fn with_precision(mut self) -> Self {
        self.precise = self.schema.time_name() != PRECISION && self.schema.column(PRECISION).is_none();
        self.arrow = self.wider(self.precise, None);
        self
    }

    /// One state of the table, with hidden columns for rows that stand for many.
    pub fn weighed(&self, snapshot: Snapshot) -> Self {
        let hidden = Arc::new(HiddenColumns::of(&self.schema));
        StreamTable {
            arrow: self.wider(self.precise, Some(&hidden)),
            precise: self.precise,
            hidden: Some(hidden),
            schema: Arc::clone(&self.schema),
            ..Self::fixed(snapshot, &self.stream)
        }
    }

    fn wider(&self, precise: bool, hidden: Option<&HiddenColumns>) -> SchemaRef {
        let arrow = arrow_schema(&self.schema);
        let precision = precise.then(|| Arc::new(Field::new(PRECISION, DataType::Utf8, false)));
        let fields = arrow.fields().iter().cloned().chain(precision);
        let more = hidden.into_iter().flat_map(HiddenColumns::fields).cloned();
        Arc::new(ArrowSchema::new(fields.chain(more).collect::<Vec<_>>()))
    }

    /// Name of the stream.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// Whether the table has hidden columns.
    pub fn is_weighed(&self) -> bool {
        self.hidden.is_some()
    }

    /// The filters that do not say how exact rows are to be.
    pub fn without_precision(&self, filters: &[Expr]) -> Vec<Expr> {
        let others = filters.iter().filter(|filter| !self.is_of_precision(filter));
        others.cloned().collect()
    }

    fn is_of_precision(&self, filter: &Expr) -> bool {
        let columns = filter.column_refs();
        self.precise && !columns.is_empty() && columns.iter().all(|column| column.name == PRECISION)
    }

    /// The snapshot for a query, with only the parts whose precision the filters ask for.
    ///
    /// # Errors
    /// If it cannot be taken, or a filter cannot be evaluated.
    pub fn snapshot_for(&self, start: QueryStart, filters: &[Expr]) -> Result<Snapshot> {
        let snapshot = self.snapshot(start)?;
        let of_precision: Vec<&Expr> = filters.iter().filter(|f| self.is_of_precision(f)).collect();
        if of_precision.is_empty() {
            return Ok(snapshot);
        }
        precision::parts_with(&snapshot, &of_precision)
    }

    fn snapshot(&self, start: QueryStart) -> Result<Snapshot> {
        let store = match &self.source {
            Source::Live(store) => store,
            Source::Fixed(snapshot) => return Ok(snapshot.clone()),
        };
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
            _ if self.is_of_precision(filter) => TableProviderFilterPushDown::Exact,
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
        let rest = self.without_precision(filters);
        let (predicate, limit) = match translate_all(&rest, &self.schema) {
            Some(predicate) => (predicate, limit),
            None => (Predicate::All, None),
        };
        let schema = match projection {
            Some(projection) => Arc::new(self.arrow.project(projection)?),
            None => Arc::clone(&self.arrow),
        };
        let start = state.execution_props().query_execution_start_time;
        let start = start.and_then(|time| time.timestamp_nanos_opt());
        let snapshot = self.snapshot_for(start, filters)?;
        let partitions = state.config().target_partitions();
        Ok(Arc::new(SiltScan::try_new(
            snapshot,
            self.stream.clone(),
            schema,
            self.hidden.clone(),
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
