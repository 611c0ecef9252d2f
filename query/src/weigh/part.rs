//! The rows of one part, batch by batch, with columns that the stream does not have where some are asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{Schema as ArrowSchema, SchemaRef};
use datafusion::common::{Result, exec_datafusion_err};
use siltstone_store::predicate::Predicate;
use siltstone_store::question::scan::BATCH_ROWS;
use siltstone_store::schema::Schema;
use siltstone_store::snapshot::{PartRows, Scan, Select, Snapshot};

use super::hidden::{Hidden, HiddenColumns, PRECISION, hidden_array};
use crate::error::external;
use crate::types::{arrow_schema, record_batch};

/// Which columns are given back, and what is read for them.
pub(crate) struct Shape {
    /// Columns to give back.
    schema: SchemaRef,
    /// Those of them that the stream does not have.
    hidden: BTreeMap<usize, Hidden>,
    /// Columns of the stream that are read.
    visible: SchemaRef,
    /// Names of these, but for the time.
    columns: Vec<String>,
}

impl Shape {
    /// Columns `schema` of a stream of shape `stream`.
    pub fn new(stream: &Schema, schema: &SchemaRef, columns: Option<&HiddenColumns>) -> Shape {
        let own = |name: &str| name == stream.time_name() || stream.column(name).is_some();
        let hidden_of = |name: &str| match columns {
            _ if own(name) => None,
            Some(columns) => columns.find(name).cloned(),
            None => (name == PRECISION).then_some(Hidden::Precision),
        };
        let names = schema.fields().iter().map(|field| field.name()).enumerate();
        let hidden: BTreeMap<usize, Hidden> = names
            .filter_map(|(place, name)| Some((place, hidden_of(name)?)))
            .collect();
        let visible = if hidden.is_empty() {
            Arc::clone(schema)
        } else {
            let needs = |name: &str| {
                schema.fields().iter().any(|field| field.name() == name)
                    || hidden.values().any(|hidden| match hidden {
                        Hidden::Of(_, column) => column == name,
                        Hidden::FirstTime | Hidden::LastTime => name == stream.time_name(),
                        Hidden::Precision | Hidden::Rows => false,
                    })
            };
            let all = arrow_schema(stream);
            let wanted = all.fields().iter().filter(|field| needs(field.name()));
            Arc::new(ArrowSchema::new(wanted.cloned().collect::<Vec<_>>()))
        };
        let columns = visible.fields().iter().map(|field| field.name().clone());
        let columns = columns.filter(|name| name != stream.time_name()).collect();
        Shape {
            schema: Arc::clone(schema),
            hidden,
            visible,
            columns,
        }
    }
}

/// A scan of one part.
pub(crate) enum PartScan {
    Plain(Box<Scan>),
    /// Rows that are not read yet, those at hand first.
    Wide(Box<Select>, Option<PartRows>),
}

impl PartScan {
    /// Rows of a part that meet the predicate.
    ///
    /// # Errors
    /// What the store says.
    pub fn new(snapshot: &Snapshot, part: usize, shape: &Shape, predicate: &Predicate) -> Result<PartScan> {
        if shape.hidden.is_empty() {
            let columns: Vec<&str> = shape.columns.iter().map(String::as_str).collect();
            let scan = snapshot.scan_part(part, &columns, predicate).map_err(external)?;
            return Ok(PartScan::Plain(Box::new(scan)));
        }
        let rows = snapshot.select_part(part, predicate).map_err(external)?;
        Ok(PartScan::Wide(Box::new(rows), None))
    }

    /// The next rows, at least one.
    ///
    /// # Errors
    /// What the store says.
    pub fn next_batch(&mut self, snapshot: &Snapshot, shape: &Shape) -> Result<Option<RecordBatch>> {
        match self {
            PartScan::Plain(scan) => {
                for batch in scan.by_ref() {
                    let batch = batch.map_err(external)?;
                    if !batch.is_empty() {
                        return Ok(Some(record_batch(batch, &shape.schema)?));
                    }
                }
                Ok(None)
            }
            PartScan::Wide(select, at_hand) => {
                let rows = match at_hand.take() {
                    Some(rows) => rows,
                    None => match select.next() {
                        Some(rows) => rows.map_err(external)?,
                        None => return Ok(None),
                    },
                };
                let (now, later) = rows.rows.split(BATCH_ROWS);
                if !later.is_empty() {
                    *at_hand = Some(PartRows {
                        part: rows.part,
                        rows: later,
                    });
                }
                let rows = PartRows {
                    part: rows.part,
                    rows: now,
                };
                wide(snapshot, shape, &rows).map(Some)
            }
        }
    }
}

fn wide(snapshot: &Snapshot, shape: &Shape, rows: &PartRows) -> Result<RecordBatch> {
    let columns: Vec<&str> = shape.columns.iter().map(String::as_str).collect();
    let batch = snapshot.fetch(rows, &columns).map_err(external)?;
    let count = batch.len();
    let visible = record_batch(batch, &shape.visible)?;
    let column = |name: &str| -> Result<ArrayRef> {
        let found = visible.column_by_name(name).map(Arc::clone);
        found.ok_or_else(|| exec_datafusion_err!("the scan did not return column {name:?}"))
    };
    let fields = shape.schema.fields().iter().enumerate();
    let arrays = fields.map(|(place, field)| match shape.hidden.get(&place) {
        Some(hidden) => hidden_array(hidden, snapshot, rows, &column),
        None => column(field.name()),
    });
    let arrays = arrays.collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(&shape.schema),
        arrays,
        &options,
    )?)
}
