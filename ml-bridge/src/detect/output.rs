//! The stream that results go to: one row per window, which SQL joins like any other.
//!
//! | column | what |
//! |---|---|
//! | time, keys | of the stream that was looked at: time of the window's first row |
//! | `window_end` | time of the window's last row |
//! | `score` | how badly the model gave the window back; healthy ones are near 1 |
//! | `threshold` | what the score was compared with |
//! | `alarm` | whether enough of the last windows were above it |
//! | `label` | `normal`, `high` (above the threshold) or `alarm`; `healthy` for the windows that set the threshold |
//! | `model`, `version` | who says so |

use siltstone_store::batch::Batch;
use siltstone_store::error::{Error, Result};
use siltstone_store::predicate::Predicate;
use siltstone_store::schema::{ColumnType, Schema, SharedSchema};
use siltstone_store::store::Store;
use siltstone_store::value::Value;

use crate::window::Span;

/// Rows gathered before they are appended.
const BATCH_ROWS: usize = 8192;

/// One result.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Finding<'a> {
    pub(crate) span: Span,
    pub(crate) key: &'a [Value],
    pub(crate) score: f64,
    pub(crate) threshold: Option<f64>,
    pub(crate) alarm: bool,
    pub(crate) label: &'a str,
}

/// A stream of results, and rows on their way into it.
#[derive(Debug)]
pub(crate) struct Output<'a> {
    store: &'a Store,
    name: String,
    model: String,
    version: u32,
    batch: Batch,
    values: Vec<Value>,
}

impl<'a> Output<'a> {
    /// Opens stream `name`, or creates it with the clock and keys of `source`.
    pub(crate) fn open(
        store: &'a Store,
        name: &str,
        source: &Schema,
        model: &str,
        version: u32,
    ) -> Result<Self> {
        let wanted = schema_of(source)?;
        let schema = if store.streams().iter().any(|stream| stream == name) {
            let schema = store.schema(name)?;
            if !same_shape(&schema, &wanted) {
                return Err(Error::invalid(format!(
                    "stream {name:?} is there and has other columns than detections of this stream; name another \
                     output"
                )));
            }
            schema
        } else {
            store.create_stream(name, wanted)?
        };
        Ok(Output {
            store,
            name: name.to_owned(),
            model: model.to_owned(),
            version,
            batch: Batch::new(schema),
            values: Vec::new(),
        })
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, finding: &Finding<'_>) -> Result<()> {
        self.values.clear();
        self.values.extend_from_slice(finding.key);
        self.values.extend([
            Value::Timestamp(finding.span.end),
            Value::F64(finding.score),
            finding.threshold.map_or(Value::Null, Value::F64),
            Value::Bool(finding.alarm),
            Value::Text(finding.label.to_owned()),
            Value::Text(self.model.clone()),
            Value::U64(u64::from(self.version)),
        ]);
        self.batch.push_row(finding.span.start, &self.values)?;
        if self.batch.len() >= BATCH_ROWS {
            self.flush()?;
        }
        Ok(())
    }

    /// Appends what was gathered.
    pub(crate) fn flush(&mut self) -> Result<()> {
        if !self.batch.is_empty() {
            self.store.append_in_pieces(&self.name, &self.batch)?;
            self.batch = Batch::new(self.batch.schema().clone());
        }
        Ok(())
    }

    /// Rows in the stream that this version of this model wrote.
    pub(crate) fn own_rows(&self) -> Predicate {
        Predicate::eq("model", self.model.as_str()).and(Predicate::eq("version", u64::from(self.version)))
    }

    /// Time of the last window that this version of this model wrote for `key`.
    pub(crate) fn last_start(&self, key: &[Value]) -> Result<Option<i64>> {
        let schema = self.batch.schema();
        let mut predicate = self.own_rows();
        for (spec, value) in schema.keys().iter().zip(key) {
            predicate = predicate.and(match value {
                Value::Null => Predicate::is_null(&spec.name),
                value => Predicate::eq(&spec.name, value.clone()),
            });
        }
        let snapshot = self.store.snapshot(&self.name)?;
        match snapshot.min_max(schema.time_name(), &predicate)? {
            Some((_, Value::Timestamp(last) | Value::I64(last))) => Ok(Some(last)),
            _ => Ok(None),
        }
    }
}

/// Clock and keys of `source`, then what a model says.
fn schema_of(source: &Schema) -> Result<Schema> {
    let unit = source.time_unit();
    let mut schema = Schema::new(source.time_name(), unit);
    for key in source.keys() {
        schema = schema.with_key(&key.name, key.ty)?;
    }
    schema
        .with_channel("window_end", ColumnType::Timestamp(unit), "")?
        .with_channel("score", ColumnType::F64, "")?
        .with_channel("threshold", ColumnType::F64, "")?
        .with_channel("alarm", ColumnType::Bool, "")?
        .with_channel("label", ColumnType::Text, "")?
        .with_channel("model", ColumnType::Text, "")?
        .with_channel("version", ColumnType::U32, "")
}

fn same_shape(a: &SharedSchema, b: &Schema) -> bool {
    let columns = a.columns().iter().zip(b.columns());
    a.time_name() == b.time_name()
        && a.time_unit() == b.time_unit()
        && a.keys().len() == b.keys().len()
        && a.columns().len() == b.columns().len()
        && columns.into_iter().all(|(x, y)| x.name == y.name && x.ty == y.ty)
}
