//! Rows of a snapshot as an execution plan: filters, projection and limit already applied.
//!
//! # Partitions and order
//!
//! Each part of a snapshot (a segment, or the tail) is sorted by (keys, time). Partitions are groups of parts:
//!
//! - Where keys are left over, a partition of one part is sorted by (keys, time); of several parts it is not. So with
//!   no more parts than DataFusion wants partitions, each part is one and the order is declared. With more, parts are
//!   grouped and no order is declared, unless a sort above asks for it ([`ExecutionPlan::try_pushdown_sort`]).
//! - Where no key is left over (a stream without keys, or an equality filter on each), parts that follow each other in
//!   time form a chain that is sorted by time, and a partition is a stretch of a chain.
//!
//! Null keys sort first. When there are none, the order is declared with nulls last, which is what ORDER BY asks for.

use std::fmt::{self, Formatter};
use std::sync::{Arc, OnceLock};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ColumnStatistics, Result, Statistics, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{
    AcrossPartitions, ConstExpr, EquivalenceProperties, PhysicalExpr, PhysicalSortExpr,
};
use datafusion::physical_plan::coop::cooperative;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, SortOrderPushdownResult,
};
use futures::stream;
use siltstone_store::predicate::Predicate;
use siltstone_store::schema::Schema;
use siltstone_store::snapshot::{Scan, Snapshot};

use crate::display::Shown;
use crate::error::external;
use crate::types::{column_type, record_batch, scalar};

/// Most parts that a sort is pushed into: each is a stream of its own under the merge.
const MAX_MERGED_PARTS: usize = 256;

/// Rows of a snapshot that meet a predicate.
#[derive(Debug, Clone)]
pub(crate) struct SiltScan {
    question: Arc<Question>,
    /// Columns to give back, in order.
    schema: SchemaRef,
    /// Most rows to give back from one partition.
    limit: Option<usize>,
    /// Parts of each partition.
    partitions: Vec<Vec<usize>>,
    /// Whether each partition comes sorted.
    sorted: bool,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    statistics: Arc<OnceLock<Arc<Statistics>>>,
}

/// What is asked, shared between the plans that answer it.
#[derive(Debug)]
pub(crate) struct Question {
    pub snapshot: Snapshot,
    pub stream: String,
    pub predicate: Predicate,
}

impl SiltScan {
    /// Rows of `snapshot` that meet `predicate`, with the columns of `schema`, in about `wanted` partitions.
    ///
    /// # Errors
    /// If the store cannot tell the order of the rows.
    pub fn try_new(
        snapshot: Snapshot,
        stream: String,
        schema: SchemaRef,
        predicate: Predicate,
        limit: Option<usize>,
        wanted: usize,
    ) -> Result<Self> {
        let question = Arc::new(Question {
            snapshot,
            stream,
            predicate,
        });
        let (partitions, sorted) = divide(&question, wanted.max(1));
        Self::with_partitions(question, schema, limit, partitions, sorted)
    }

    fn with_partitions(
        question: Arc<Question>,
        schema: SchemaRef,
        limit: Option<usize>,
        partitions: Vec<Vec<usize>>,
        sorted: bool,
    ) -> Result<Self> {
        let orders = if sorted {
            orderings(&question, &schema)?
        } else {
            Vec::new()
        };
        let mut equivalence = EquivalenceProperties::new_with_orderings(Arc::clone(&schema), orders);
        let pinned = question
            .snapshot
            .schema()
            .keys()
            .iter()
            .filter(|key| is_pinned(&question.predicate, &key.name));
        let pinned = pinned.filter_map(|key| Some((&key.name, schema.index_of(&key.name).ok()?)));
        let constant = |(name, index)| {
            ConstExpr::new(
                Arc::new(Column::new(name, index)),
                AcrossPartitions::Uniform(None),
            )
        };
        equivalence.add_constants(pinned.map(|(name, index)| constant((name.as_str(), index))))?;
        let properties = PlanProperties::new(
            equivalence,
            Partitioning::UnknownPartitioning(partitions.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        Ok(SiltScan {
            question,
            schema,
            limit,
            partitions,
            sorted,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
            statistics: Arc::default(),
        })
    }

    /// What is asked, for plans that answer it without a scan; `None` if a limit is part of it.
    pub fn question(&self) -> Option<&Arc<Question>> {
        self.limit.is_none().then_some(&self.question)
    }
}

impl DisplayAs for SiltScan {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut Formatter<'_>) -> fmt::Result {
        let columns: Vec<&str> = self
            .schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        write!(
            f,
            "SiltScan: stream={}, columns=[{}]",
            self.question.stream,
            columns.join(", ")
        )?;
        if self.question.predicate != Predicate::All {
            write!(f, ", predicate={}", Shown(&self.question.predicate))?;
        }
        if let Some(limit) = self.limit {
            write!(f, ", limit={limit}")?;
        }
        write!(
            f,
            ", parts={}, partitions={}",
            self.question.snapshot.part_count(),
            self.partitions.len()
        )?;
        if let Some(order) = self.properties.output_ordering() {
            write!(f, ", order=[{order}]")?;
        }
        Ok(())
    }
}

impl ExecutionPlan for SiltScan {
    fn name(&self) -> &'static str {
        "SiltScan"
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
            internal_err!("a SiltScan has no children")
        }
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let Some(parts) = self.partitions.get(partition) else {
            return internal_err!(
                "partition {partition} of {} does not exist",
                self.partitions.len()
            );
        };
        let rows = PartitionRows {
            question: Arc::clone(&self.question),
            schema: Arc::clone(&self.schema),
            columns: self
                .schema
                .fields()
                .iter()
                .map(|field| field.name().clone())
                .filter(|name| name != self.question.snapshot.schema().time_name())
                .collect(),
            parts: parts.clone().into_iter(),
            current: None,
            remaining: self.limit.unwrap_or(usize::MAX),
            metrics: BaselineMetrics::new(&self.metrics, partition),
        };
        let batches = RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream::iter(rows));
        Ok(Box::pin(cooperative(batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(
        &self,
        _: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        if let Some(partition) = args.partition() {
            return Ok(Arc::new(self.partition_statistics_of(partition)));
        }
        if let Some(known) = self.statistics.get() {
            return Ok(Arc::clone(known));
        }
        let found = Arc::new(statistics(&self.question, &self.schema, self.limit).map_err(external)?);
        Ok(Arc::clone(self.statistics.get_or_init(|| found)))
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        let limit = match (self.limit, limit) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Some(Arc::new(SiltScan {
            limit,
            statistics: Arc::default(),
            ..self.clone()
        }))
    }

    fn fetch(&self) -> Option<usize> {
        self.limit
    }

    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
    ) -> Result<SortOrderPushdownResult<Arc<dyn ExecutionPlan>>> {
        let parts = self.question.snapshot.part_count();
        // One partition must stay one, and a limit was meant for the partitions as they are.
        if self.sorted || self.partitions.len() < 2 || self.limit.is_some() || parts > MAX_MERGED_PARTS {
            return Ok(SortOrderPushdownResult::Unsupported);
        }
        let partitions = (0..parts).map(|part| vec![part]).collect();
        let sorted = Self::with_partitions(
            Arc::clone(&self.question),
            Arc::clone(&self.schema),
            None,
            partitions,
            true,
        )?;
        if !sorted
            .properties
            .equivalence_properties()
            .ordering_satisfy(order.iter().cloned())?
        {
            return Ok(SortOrderPushdownResult::Unsupported);
        }
        Ok(SortOrderPushdownResult::Exact {
            inner: Arc::new(sorted),
        })
    }
}

impl SiltScan {
    fn partition_statistics_of(&self, partition: usize) -> Statistics {
        let mut statistics = Statistics::new_unknown(&self.schema);
        let parts = self
            .partitions
            .get(partition)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let rows: u64 = parts
            .iter()
            .map(|&part| self.question.snapshot.part_row_count(part))
            .sum();
        let rows = usize::try_from(rows)
            .unwrap_or(usize::MAX)
            .min(self.limit.unwrap_or(usize::MAX));
        statistics.num_rows = match self.question.predicate {
            Predicate::All => Precision::Exact(rows),
            _ => Precision::Inexact(rows),
        };
        statistics
    }
}

/// What is known of the answer without reading it.
///
/// Without a filter: rows, nulls, and the ends of each fixed-width column, exactly. With one: rows only, and exactly
/// only where times and keys decide; counting any other condition could cost as much as the query itself.
fn statistics(
    question: &Question,
    schema: &SchemaRef,
    limit: Option<usize>,
) -> siltstone_store::Result<Statistics> {
    let snapshot = &question.snapshot;
    let mut statistics = Statistics::new_unknown(schema);
    let decided = decided_by_runs(&question.predicate, snapshot.schema());
    let rows = if decided {
        snapshot.count(&question.predicate)?
    } else {
        snapshot.row_count()
    };
    let rows = usize::try_from(rows).unwrap_or(usize::MAX);
    statistics.num_rows = match limit {
        Some(limit) if limit < rows => Precision::Inexact(limit),
        _ if decided => Precision::Exact(rows),
        _ => Precision::Inexact(rows),
    };
    if question.predicate != Predicate::All || limit.is_some() {
        return Ok(statistics);
    }
    for (field, column) in schema.fields().iter().zip(&mut statistics.column_statistics) {
        let Some(ty) = column_type(snapshot.schema(), field.name()) else {
            continue;
        };
        let values = snapshot.count_values(field.name(), &Predicate::All)?;
        let nulls = rows.saturating_sub(usize::try_from(values).unwrap_or(usize::MAX));
        *column = ColumnStatistics {
            null_count: Precision::Exact(nulls),
            ..ColumnStatistics::new_unknown()
        };
        if ty.is_binary() {
            continue;
        }
        if let Some((low, high)) = snapshot.min_max(field.name(), &Predicate::All)? {
            let exact = |value| scalar(ty, &value).map_or(Precision::Absent, Precision::Exact);
            (column.min_value, column.max_value) = (exact(low), exact(high));
        }
    }
    Ok(statistics)
}

/// Whether only times and keys decide, so that counting costs a search per run.
fn decided_by_runs(predicate: &Predicate, schema: &Schema) -> bool {
    match predicate {
        Predicate::All | Predicate::Nothing | Predicate::Unknown => true,
        Predicate::Interval { column, .. }
        | Predicate::In { column, .. }
        | Predicate::Text { column, .. }
        | Predicate::IsNull { column } => {
            column == schema.time_name() || schema.keys().iter().any(|key| key.name == *column)
        }
        Predicate::And(parts) | Predicate::Or(parts) => {
            parts.iter().all(|part| decided_by_runs(part, schema))
        }
        Predicate::Not(inner) => decided_by_runs(inner, schema),
    }
}

/// Whether every row that meets the predicate has the same value in `column`.
fn is_pinned(predicate: &Predicate, column: &str) -> bool {
    use std::ops::Bound::Included;
    match predicate {
        Predicate::Interval {
            column: of,
            low: Included(low),
            high: Included(high),
        } => of == column && low == high,
        Predicate::In { column: of, values } => of == column && values.len() == 1,
        Predicate::IsNull { column: of } => of == column,
        Predicate::And(parts) => parts.iter().any(|part| is_pinned(part, column)),
        _ => false,
    }
}

/// Key columns that still vary among the rows that meet the predicate.
fn open_keys(question: &Question) -> Vec<String> {
    let keys = question
        .snapshot
        .schema()
        .keys()
        .iter()
        .map(|key| key.name.clone());
    keys.filter(|key| !is_pinned(&question.predicate, key)).collect()
}

/// The order that each partition has, in the columns that are given back.
fn orderings(question: &Question, schema: &SchemaRef) -> Result<Vec<Vec<PhysicalSortExpr>>> {
    let keys = open_keys(question);
    let mut nulls = 0;
    for key in &keys {
        let null = Predicate::is_null(key.as_str());
        nulls += question.snapshot.count(&null).map_err(external)?;
    }
    // One order only: DataFusion looks at one when it compares null places, whichever others are declared.
    let options = SortOptions {
        descending: false,
        nulls_first: nulls > 0,
    };
    let time = question.snapshot.schema().time_name().to_owned();
    let columns = keys.into_iter().chain([time]);
    let known = columns.map_while(|name| {
        let index = schema.index_of(&name).ok()?;
        Some(PhysicalSortExpr::new(
            Arc::new(Column::new(&name, index)),
            options,
        ))
    });
    let order: Vec<PhysicalSortExpr> = known.collect();
    Ok(if order.is_empty() { Vec::new() } else { vec![order] })
}

/// Divides the parts into partitions, and says whether each comes sorted.
fn divide(question: &Question, wanted: usize) -> (Vec<Vec<usize>>, bool) {
    let snapshot = &question.snapshot;
    let parts = snapshot.part_count();
    if parts == 0 {
        return (vec![Vec::new()], true);
    }
    if open_keys(question).is_empty() {
        let chains = chains(snapshot);
        if chains.len() <= wanted {
            let pieces = wanted / chains.len();
            return (
                chains
                    .iter()
                    .flat_map(|chain| stretches(snapshot, chain, pieces))
                    .collect(),
                true,
            );
        }
    } else if parts <= wanted {
        return ((0..parts).map(|part| vec![part]).collect(), true);
    }
    (
        stretches(snapshot, &(0..parts).collect::<Vec<_>>(), wanted),
        false,
    )
}

/// Parts that follow each other in time, strung together greedily.
fn chains(snapshot: &Snapshot) -> Vec<Vec<usize>> {
    let ranges = snapshot.parts().iter().enumerate();
    let mut ranges: Vec<(i64, i64, usize)> = ranges
        .filter_map(|(part, data)| data.data.time_range().map(|(first, last)| (first, last, part)))
        .collect();
    ranges.sort_unstable();
    let mut chains: Vec<(i64, Vec<usize>)> = Vec::new();
    for (first, last, part) in ranges {
        match chains.iter_mut().find(|(end, _)| *end <= first) {
            Some((end, chain)) => {
                *end = last;
                chain.push(part);
            }
            None => chains.push((last, vec![part])),
        }
    }
    let mut chains: Vec<Vec<usize>> = chains.into_iter().map(|(_, chain)| chain).collect();
    if chains.is_empty() {
        chains.push(Vec::new());
    }
    chains
}

/// Cuts a list of parts into at most `pieces` stretches of about as many rows.
fn stretches(snapshot: &Snapshot, parts: &[usize], pieces: usize) -> Vec<Vec<usize>> {
    let total: u64 = parts.iter().map(|&part| snapshot.part_row_count(part)).sum();
    let target = total.div_ceil(pieces.max(1) as u64).max(1);
    let mut out: Vec<Vec<usize>> = vec![Vec::new()];
    let mut rows = 0;
    for &part in parts {
        // A part goes where its middle row belongs.
        let middle = rows + snapshot.part_row_count(part) / 2;
        if middle / target >= out.len() as u64 && out.last().is_some_and(|last| !last.is_empty()) {
            out.push(Vec::new());
        }
        if let Some(last) = out.last_mut() {
            last.push(part);
        }
        rows += snapshot.part_row_count(part);
    }
    out
}

/// Rows of one partition, batch by batch.
struct PartitionRows {
    question: Arc<Question>,
    schema: SchemaRef,
    /// Columns besides the time.
    columns: Vec<String>,
    parts: std::vec::IntoIter<usize>,
    current: Option<Scan>,
    remaining: usize,
    metrics: BaselineMetrics,
}

impl PartitionRows {
    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        while self.remaining > 0 {
            if let Some(scan) = &mut self.current {
                match scan.next() {
                    Some(batch) => {
                        let batch = batch.map_err(external)?;
                        if batch.is_empty() {
                            continue;
                        }
                        let batch = record_batch(batch, &self.schema)?;
                        let batch = if batch.num_rows() > self.remaining {
                            batch.slice(0, self.remaining)
                        } else {
                            batch
                        };
                        self.remaining -= batch.num_rows();
                        return Ok(Some(batch));
                    }
                    None => self.current = None,
                }
            }
            let Some(part) = self.parts.next() else {
                break;
            };
            let columns: Vec<&str> = self.columns.iter().map(String::as_str).collect();
            let scan = self
                .question
                .snapshot
                .scan_part(part, &columns, &self.question.predicate);
            self.current = Some(scan.map_err(external)?);
        }
        self.remaining = 0;
        Ok(None)
    }
}

impl Iterator for PartitionRows {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let timer = self.metrics.elapsed_compute().clone();
        let _timer = timer.timer();
        match self.next_batch() {
            Ok(Some(batch)) => {
                self.metrics.record_output(batch.num_rows());
                Some(Ok(batch))
            }
            Ok(None) => None,
            Err(error) => {
                // Nothing comes after an error.
                self.remaining = 0;
                Some(Err(error))
            }
        }
    }
}
