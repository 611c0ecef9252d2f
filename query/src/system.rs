//! System tables: what the store knows about itself, as SQL.
//!
//! | table | one row for each |
//! |---|---|
//! | `silt.segments` | segment of a stream: file, rows, first and last time, bytes |
//! | `silt.columns` | column in a segment: domain, layout, values, bytes plain and stored |
//! | `silt.models` | version of a model |
//! | `silt.losses` | stretch of a stream that was given up: kind, cause, first and last time, rows, bytes |

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, UInt32Array, UInt64Array,
};
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::Result;
use siltstone_store::store::{Loss, Store};

use crate::error::external;

/// Names of the system tables.
pub(crate) const TABLES: [&str; 4] = ["segments", "columns", "models", "losses"];

/// The system table `name`, filled with what holds now; `None` if there is no such table.
pub(crate) fn table(store: &Store, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
    let columns = match name {
        "segments" => segments(store)?,
        "columns" => columns(store)?,
        "models" => models(store),
        "losses" => losses(store)?,
        _ => return Ok(None),
    };
    let batch = RecordBatch::try_from_iter(columns)?;
    Ok(Some(Arc::new(MemTable::try_new(
        batch.schema(),
        vec![vec![batch]],
    )?)))
}

type Columns = Vec<(&'static str, ArrayRef)>;

fn segments(store: &Store) -> Result<Columns> {
    let mut rows = Vec::new();
    for stream in store.streams() {
        for segment in store.segments(&stream).map_err(external)? {
            rows.push((stream.clone(), segment));
        }
    }
    Ok(vec![
        ("stream", text(rows.iter().map(|(stream, _)| stream.as_str()))),
        ("file", text(rows.iter().map(|(_, s)| s.file.as_str()))),
        ("rows", numbers(rows.iter().map(|(_, s)| s.rows))),
        // In the unit of the stream's clock, since streams of different units share this table.
        (
            "first_time",
            Arc::new(Int64Array::from_iter_values(
                rows.iter().map(|(_, s)| s.time_range.0),
            )),
        ),
        (
            "last_time",
            Arc::new(Int64Array::from_iter_values(
                rows.iter().map(|(_, s)| s.time_range.1),
            )),
        ),
        ("bytes", numbers(rows.iter().map(|(_, s)| s.bytes))),
    ])
}

fn columns(store: &Store) -> Result<Columns> {
    let mut rows = Vec::new();
    for stream in store.streams() {
        let schema = store.schema(&stream).map_err(external)?;
        for segment in store.segments(&stream).map_err(external)? {
            for column in segment.columns {
                let spec = schema.column(&column.name);
                let unit = spec.map(|spec| spec.unit.clone()).unwrap_or_default();
                let ty = spec.map(|spec| spec.ty.to_string());
                let ty = ty.unwrap_or_else(|| format!("timestamp({})", schema.time_unit().symbol()));
                rows.push((stream.clone(), segment.file.clone(), ty, unit, column));
            }
        }
    }
    let bytes: Vec<u64> = rows
        .iter()
        .map(|row| row.4.parts.iter().map(|(_, bits)| bits).sum::<u64>().div_ceil(8))
        .collect();
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    let ratio = rows
        .iter()
        .zip(&bytes)
        .map(|(row, &b)| (b > 0).then(|| row.4.plain_bytes as f64 / b as f64));
    Ok(vec![
        ("stream", text(rows.iter().map(|row| row.0.as_str()))),
        ("file", text(rows.iter().map(|row| row.1.as_str()))),
        ("column", text(rows.iter().map(|row| row.4.name.as_str()))),
        ("type", text(rows.iter().map(|row| row.2.as_str()))),
        ("unit", text(rows.iter().map(|row| row.3.as_str()))),
        ("domain", text(rows.iter().map(|row| row.4.domain.as_str()))),
        ("layout", text(rows.iter().map(|row| row.4.layout.as_str()))),
        ("values", numbers(rows.iter().map(|row| row.4.values))),
        ("plain_bytes", numbers(rows.iter().map(|row| row.4.plain_bytes))),
        ("bytes", numbers(bytes.iter().copied())),
        ("ratio", Arc::new(ratio.collect::<Float64Array>())),
    ])
}

fn models(store: &Store) -> Columns {
    let rows = store.models();
    vec![
        ("name", text(rows.iter().map(|m| m.name.as_str()))),
        (
            "version",
            Arc::new(UInt32Array::from_iter_values(rows.iter().map(|m| m.version))),
        ),
        ("bytes", numbers(rows.iter().map(|m| m.bytes))),
        (
            "serving",
            Arc::new(rows.iter().map(|m| Some(m.serving)).collect::<BooleanArray>()),
        ),
    ]
}

fn losses(store: &Store) -> Result<Columns> {
    let mut rows = Vec::new();
    for stream in store.streams() {
        for loss in store.losses(&stream).map_err(external)? {
            rows.push((stream.clone(), loss));
        }
    }
    // In the unit of the stream's clock, as in the table of segments.
    let times = |time: fn(&(String, Loss)) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(rows.iter().map(time)))
    };
    Ok(vec![
        ("stream", text(rows.iter().map(|(stream, _)| stream.as_str()))),
        ("kind", text(rows.iter().map(|(_, loss)| loss.kind.name()))),
        ("cause", text(rows.iter().map(|(_, loss)| loss.cause.name()))),
        ("first_time", times(|(_, loss)| loss.time_range.0)),
        ("last_time", times(|(_, loss)| loss.time_range.1)),
        ("rows", numbers(rows.iter().map(|(_, loss)| loss.rows))),
        ("bytes", numbers(rows.iter().map(|(_, loss)| loss.bytes))),
    ])
}

fn text<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn numbers(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(UInt64Array::from_iter_values(values))
}
