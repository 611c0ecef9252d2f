//! Rows of a snapshot as an execution plan: filters, projection and limit already applied.

use std::fmt::{self, Formatter};
use std::sync::{Arc, OnceLock};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr};
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
use siltstone_store::snapshot::Snapshot;

use crate::asked::Question;
use crate::display::Shown;
use crate::error::external;
use crate::layout;
use crate::statistics::statistics;
use crate::weigh::{HiddenColumns, PartScan, Shape};

/// Most parts that a sort is pushed into: each is a stream of its own under the merge.
const MAX_MERGED_PARTS: usize = 256;

/// Rows of a snapshot that meet a predicate.
#[derive(Debug, Clone)]
pub(crate) struct SiltScan {
    question: Arc<Question>,
    /// Columns to give back, in order.
    schema: SchemaRef,
    /// Columns that the stream does not have, if some may be given back.
    hidden: Option<Arc<HiddenColumns>>,
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

impl SiltScan {
    /// Rows of `snapshot` that meet `predicate`, with the columns of `schema`, in about `wanted` partitions.
    ///
    /// # Errors
    /// If the store cannot tell the order of the rows.
    pub fn try_new(
        snapshot: Snapshot,
        stream: String,
        schema: SchemaRef,
        hidden: Option<Arc<HiddenColumns>>,
        predicate: Predicate,
        limit: Option<usize>,
        wanted: usize,
    ) -> Result<Self> {
        let question = Arc::new(Question {
            snapshot,
            stream,
            predicate,
        });
        let (partitions, sorted) = layout::divide(&question, wanted.max(1));
        Self::with_partitions(question, schema, hidden, limit, partitions, sorted)
    }

    fn with_partitions(
        question: Arc<Question>,
        schema: SchemaRef,
        hidden: Option<Arc<HiddenColumns>>,
        limit: Option<usize>,
        partitions: Vec<Vec<usize>>,
        sorted: bool,
    ) -> Result<Self> {
        let equivalence = layout::equivalence(&question, &schema, sorted)?;
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
            hidden,
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
            shape: Shape::new(
                self.question.snapshot.schema(),
                &self.schema,
                self.hidden.as_deref(),
            ),
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
            self.hidden.clone(),
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

/// Rows of one partition, batch by batch.
struct PartitionRows {
    question: Arc<Question>,
    shape: Shape,
    parts: std::vec::IntoIter<usize>,
    current: Option<PartScan>,
    remaining: usize,
    metrics: BaselineMetrics,
}

impl PartitionRows {
    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        while self.remaining > 0 {
            if let Some(scan) = &mut self.current {
                match scan.next_batch(&self.question.snapshot, &self.shape)? {
                    Some(batch) => {
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
            let (snapshot, predicate) = (&self.question.snapshot, &self.question.predicate);
            self.current = Some(PartScan::new(snapshot, part, &self.shape, predicate)?);
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
