//! What several commands share.

use std::path::Path;

use siltstone_store::schema::Schema;
use siltstone_store::snapshot::Snapshot;
use siltstone_store::store::{ReadOptions, Store};

use crate::failure::{Answer, Failure, Outcome};

/// Opens a store for reading.
///
/// # Errors
/// When there is none.
pub fn open_read(path: &Path) -> Outcome<Store> {
    Reading::default().open(path)
}

fn check_directory(path: &Path) -> Outcome<()> {
    if path.is_dir() {
        return Ok(());
    }
    Err(Failure::System(format!(
        "there is no store at {}; silt ingest creates one",
        path.display()
    )))
}

/// Options of commands that read.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct Reading {
    /// Answer from what is intact, and say what was left out (the exit code is 3 then)
    #[arg(long)]
    pub allow_partial: bool,
    /// Read files into memory instead of mapping them: for directories where other programs may shorten files
    #[arg(long)]
    pub no_map: bool,
}

impl Reading {
    /// Opens a store for reading in this way.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(self, path: &Path) -> Outcome<Store> {
        check_directory(path)?;
        let options = ReadOptions {
            allow_partial: self.allow_partial,
            mapped: !self.no_map,
            memory_limit: crate::ram::limit(),
        };
        Ok(Store::open_read_with(path, options)?)
    }

    /// A snapshot; what it leaves out is said on standard error.
    ///
    /// # Errors
    /// When the store has no such stream, or damage is met that may not be left out.
    pub fn snapshot(self, store: &Store, stream: &str) -> Outcome<(Snapshot, Answer)> {
        check_stream(store, stream)?;
        let snapshot = store.snapshot(stream)?;
        let answer = note_left_out(stream, &snapshot);
        Ok((snapshot, answer))
    }
}

/// Says what a snapshot leaves out, and how the command is to end because of it.
pub fn note_left_out(stream: &str, snapshot: &Snapshot) -> Answer {
    for left_out in snapshot.left_out() {
        let rows = left_out.rows.map_or_else(
            || "rows".to_owned(),
            |rows| format!("{} rows", crate::progress::grouped(rows)),
        );
        eprintln!(
            "silt: {stream}: {rows} of {} are left out: {}",
            left_out.file, left_out.error
        );
    }
    if snapshot.left_out().is_empty() {
        Answer::Done
    } else {
        Answer::PartlyRefused
    }
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

/// Says how many rows were in no window because they are kept only as buckets of time.
pub fn say_left_out(rows: u64) {
    if rows > 0 {
        eprintln!(
            "silt: {} rows are kept only as buckets of time (silt export --precision shows them), and were left out",
            crate::progress::grouped(rows)
        );
    }
}
