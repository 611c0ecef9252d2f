//! What several commands share.

use std::path::Path;

use siltstone_store::schema::Schema;
use siltstone_store::store::Store;

use crate::failure::{Failure, Outcome};

/// Opens a store for reading.
///
/// # Errors
/// When there is none.
pub fn open_read(path: &Path) -> Outcome<Store> {
    if !path.is_dir() {
        return Err(Failure::System(format!(
            "there is no store at {}; silt ingest creates one",
            path.display()
        )));
    }
    Ok(Store::open_read(path)?)
}

/// Checks that the store has the stream.
///
/// # Errors
/// `Usage`, naming the streams that there are.
pub fn check_stream(store: &Store, stream: &str) -> Outcome<()> {
    let streams = store.streams();
    if streams.iter().any(|name| name == stream) {
        return Ok(());
    }
    let there_are = match streams.len() {
        0 => "it has none".to_owned(),
        _ => format!("it has {}", streams.join(", ")),
    };
    Err(Failure::usage(format!(
        "the store has no stream {stream:?}; {there_are}"
    )))
}

/// Names of a stream's columns without the time.
pub fn column_names(schema: &Schema) -> Vec<&str> {
    schema
        .columns()
        .iter()
        .map(|column| column.name.as_str())
        .collect()
}

/// The shape of a scan of these columns.
///
/// # Errors
/// `Usage` for a column that there is not.
pub fn projected(schema: &Schema, names: &[&str]) -> Outcome<Schema> {
    let mut out = Schema::new(schema.time_name(), schema.time_unit());
    for name in names {
        let Some(column) = schema.column(name) else {
            let there_are = column_names(schema).join(", ");
            return Err(Failure::usage(format!(
                "there is no column {name:?}; there are {there_are}"
            )));
        };
        out = out.with_channel(column.name.clone(), column.ty, column.unit.clone())?;
    }
    Ok(out)
}
