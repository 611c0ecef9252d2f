//! Salvaging a damaged store: what can be read is written to a new store beside it.

use std::ops::Range;
use std::sync::Arc;

use super::found::found_segments;
use super::layouts::Layouts;
use super::open::{LOCK, create_after, is_segment, lock, model_file};
use super::read::{check_model, missing};
use super::state::State;
use super::{Options, Store};
use crate::batch::{Batch, BatchColumn};
use crate::error::{Error, Result};
use crate::log::manifest::{self, Manifest, SegmentEntry, StreamEntry};
use crate::rows::RowRanges;
use crate::segment::{Segment, carried};
use crate::snapshot::{PartRows, Snapshot};
use crate::storage::Storage;
use crate::tail::order;

/// Rows read together where nothing is damaged.
const CHUNK_ROWS: u64 = 8_192;
/// Rows given up together where something is.
const LEAST_ROWS: u64 = 64;

/// What [`Store::repair`] did.
#[derive(Debug, Default)]
pub struct Repaired {
    /// Rows in the new store; a row of buckets counts as the rows that it stands for.
    pub rows: u64,
    /// Rows in the new store of which each stands for many, as it did before.
    pub buckets: u64,
    /// Models in the new store, counting versions.
    pub models: u64,
    /// Everything that is not in it.
    pub lost: Vec<Lost>,
    /// The damage met on the way.
    pub damage: Vec<Error>,
}

impl Repaired {
    /// Rows that are not in the new store, as far as anybody knows.
    pub fn rows_lost(&self) -> u64 {
        let rows = self.lost.iter().filter(|lost| lost.column.is_none());
        rows.map(|lost| lost.rows.end - lost.rows.start).sum()
    }

    /// Values that are null in the new store and were not before, or may not have been.
    pub fn values_lost(&self) -> u64 {
        let values = self.lost.iter().filter(|lost| lost.column.is_some());
        values.map(|lost| lost.rows.end - lost.rows.start).sum()
    }
}

/// Rows, or values of rows, that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Name of the file.
    pub file: String,
    /// Stream, as the new store calls it; the model's name where the file is a model.
    pub stream: String,
    /// Column whose values are lost; `None` where whole rows or a file are.
    pub column: Option<String>,
    /// Row numbers inside the file; empty for a model.
    pub rows: Range<u64>,
    /// Why.
    pub reason: String,
}

pub(super) fn repair(
    from: Arc<dyn Storage>,
    to: Arc<dyn Storage>,
    options: Options,
    progress: &mut dyn FnMut(u64),
) -> Result<Repaired> {
    let files = from.list("")?;
    let ours = |name: &str| name == manifest::FILE || is_segment(name);
    if !files.iter().any(|entry| ours(&entry.name)) {
        let path = from.path("");
        return Err(Error::invalid(format!(
            "there is no store in {} (neither a manifest nor a segment)",
            path.display()
        )));
    }
    // Nobody may write while this reads. The lock file is the one thing that is touched in the damaged store.
    let held = lock(&*from)?;
    let mut report = Repaired::default();
    let manifest = Manifest::load(&*from).unwrap_or_else(|error| {
        let found = found_segments(&*from, &mut report);
        report.damage.push(missing(error, manifest::FILE));
        found
    });
    // Nothing goes while rows come; the budget is kept again once all policies are.
    let budget = options.budget.unwrap_or(manifest.budget);
    let options = Options {
        budget: Some(0),
        ..options
    };
    let store = create_after(to, options, last_sequence(&manifest))?;
    for stream in &manifest.streams {
        store.create_stream(&stream.name, (*stream.schema).clone())?;
        store.set_layouts(&stream.name, &Layouts::of(&stream.wishes, &stream.schema))?;
        for entry in &stream.segments {
            let opened = from.map(&entry.file).map_err(|error| missing(error, &entry.file));
            match opened.and_then(|file| Segment::open(&entry.file, file)) {
                Ok(segment) => salvage_segment(&store, stream, entry, segment, &mut report, progress)?,
                Err(error) => lose_file(&mut report, entry, &stream.name, error),
            }
        }
    }
    salvage_log(&*from, &manifest, &store, &mut report)?;
    store.restore_keep(&manifest.streams)?;
    salvage_models(&*from, &manifest, &store, &mut report)?;
    for stream in store.streams() {
        store.seal(&stream)?;
    }
    if let Err(error) = store.keep_to(budget) {
        report.damage.push(error);
    }
    store.close()?;
    drop(held);
    if !files.iter().any(|entry| entry.name == LOCK) {
        let _ = from.remove(LOCK);
    }
    Ok(report)
}

/// The last sequence number that a store gave.
fn last_sequence(manifest: &Manifest) -> u64 {
    let streams = manifest.streams.iter();
    let sealed = streams.flat_map(|stream| stream.segments.iter().map(|entry| entry.sequences.1));
    let last = sealed.chain([manifest.durable]).max().unwrap_or(0);
    // Only a damaged file says more.
    if last < 1 << 62 { last } else { 0 }
}

fn salvage_segment(
    store: &Store,
    stream: &StreamEntry,
    entry: &SegmentEntry,
    segment: Segment,
    report: &mut Repaired,
    progress: &mut dyn FnMut(u64),
) -> Result<()> {
    let segment = Arc::new(segment);
    if segment.buckets().is_some() {
        match store.adopt_buckets(stream, &segment) {
            Ok(adopted) => {
                report.rows += adopted.rows;
                report.buckets += adopted.buckets;
                progress(adopted.buckets);
                for (column, error) in adopted.lost {
                    report.lost.push(Lost {
                        file: entry.file.clone(),
                        stream: stream.name.clone(),
                        column: Some(column),
                        rows: 0..entry.rows,
                        reason: error.to_string(),
                    });
                    report.damage.push(error);
                }
            }
            Err(
                error @ (Error::Corrupt { .. }
                | Error::UnsupportedVersion { .. }
                | Error::InvalidArgument { .. }),
            ) => {
                lose_file(report, entry, &stream.name, error);
            }
            Err(error) => return Err(error),
        }
        return Ok(());
    }
    // Values that were moved are not those of new rows.
    let mut channels = stream.schema.channels().iter();
    let moved = channels.any(|spec| {
        let carried = carried(std::slice::from_ref(&segment), spec.id);
        matches!(carried, Ok(Some(Some(_))))
    });
    let mut salvage = Salvage {
        store,
        stream,
        snapshot: Snapshot::new(stream.schema.clone(), vec![Arc::clone(&segment)], None),
        file: &entry.file,
        report,
        gathered: moved.then(|| Batch::new(stream.schema.clone())),
    };
    salvage.all(progress)?;
    if let Some(rows) = salvage.gathered.take() {
        if let Err(error) = store.adopt_bounded(stream, entry, &segment, &rows) {
            if !matches!(error, Error::Corrupt { .. } | Error::InvalidArgument { .. }) {
                return Err(error);
            }
            // How far they were moved is lost, not the rows.
            report.damage.push(error);
            store.append(&stream.name, &rows)?;
        }
    }
    Ok(())
}

fn lose_file(report: &mut Repaired, entry: &SegmentEntry, stream: &str, error: Error) {
    report.lost.push(Lost {
        file: entry.file.clone(),
        stream: stream.to_owned(),
        column: None,
        rows: 0..entry.rows,
        reason: error.to_string(),
    });
    report.damage.push(error);
}

/// A segment being copied.
struct Salvage<'a> {
    store: &'a Store,
    stream: &'a StreamEntry,
    snapshot: Snapshot,
    file: &'a str,
    report: &'a mut Repaired,
    /// Rows that are written together in the end, instead of appended.
    gathered: Option<Batch>,
}

impl Salvage<'_> {
    fn all(&mut self, progress: &mut dyn FnMut(u64)) -> Result<()> {
        let rows = self.snapshot.row_count();
        let mut start = 0;
        while start < rows {
            let end = rows.min(start + CHUNK_ROWS);
            self.rows(start..end)?;
            progress(end - start);
            start = end;
        }
        Ok(())
    }

    /// Copies rows, in ever smaller pieces where their time or keys cannot be read.
    fn rows(&mut self, rows: Range<u64>) -> Result<()> {
        let schema = self.stream.schema.clone();
        let keys: Vec<&str> = schema.keys().iter().map(|key| key.name.as_str()).collect();
        let head = match self.fetch(rows.clone(), &keys) {
            Ok(head) => head,
            Err(error) if rows.end - rows.start <= LEAST_ROWS => {
                self.lose(rows, None, error);
                return Ok(());
            }
            Err(_) => {
                let middle = rows.start + (rows.end - rows.start) / 2;
                self.rows(rows.start..middle)?;
                return self.rows(middle..rows.end);
            }
        };
        let mut out = Batch::new(schema.clone());
        let count = head.times.len();
        out.times = head.times;
        let mut columns = head.columns;
        for spec in schema.channels() {
            let mut column = BatchColumn::new(spec.ty);
            self.values(rows.clone(), &spec.name, &mut column);
            columns.push(column);
        }
        out.columns = columns;
        match &mut self.gathered {
            Some(gathered) => order::append(gathered, &out, 0..out.len()),
            None => {
                self.store.append(&self.stream.name, &out)?;
            }
        }
        self.report.rows += count as u64;
        Ok(())
    }

    /// Copies the values of one column, in ever smaller pieces where they cannot be read, with nulls for the rest.
    fn values(&mut self, rows: Range<u64>, name: &str, out: &mut BatchColumn) {
        match self.fetch(rows.clone(), &[name]) {
            Ok(batch) => {
                for column in &batch.columns {
                    (0..batch.times.len()).for_each(|row| out.push_from(column, row));
                }
            }
            Err(error) if rows.end - rows.start <= LEAST_ROWS => {
                rows.clone().for_each(|_| out.push_null());
                self.lose(rows, Some(name), error);
            }
            Err(_) => {
                let middle = rows.start + (rows.end - rows.start) / 2;
                self.values(rows.start..middle, name, out);
                self.values(middle..rows.end, name, out);
            }
        }
    }

    fn fetch(&self, rows: Range<u64>, columns: &[&str]) -> Result<Batch> {
        let rows = PartRows {
            part: 0,
            rows: RowRanges::single(rows),
        };
        self.snapshot.fetch(&rows, columns)
    }

    /// Notes a loss; one that continues the loss before for the same reason is added to it.
    fn lose(&mut self, rows: Range<u64>, column: Option<&str>, error: Error) {
        let reason = error.to_string();
        let before = self.report.lost.iter_mut().rev().find(|lost| {
            lost.file == self.file
                && lost.column.as_deref() == column
                && lost.rows.end == rows.start
                && lost.reason == reason
        });
        if let Some(before) = before {
            before.rows.end = rows.end;
            return;
        }
        self.report.lost.push(Lost {
            file: self.file.to_owned(),
            stream: self.stream.name.clone(),
            column: column.map(str::to_owned),
            rows,
            reason,
        });
        self.report.damage.push(error);
    }
}

/// Copies the rows that are only in the log, and how far sources had been read.
fn salvage_log(from: &dyn Storage, manifest: &Manifest, store: &Store, report: &mut Repaired) -> Result<()> {
    let mut state = State::new(manifest.clone(), None);
    state.salvage(from);
    report.damage.append(&mut state.log_damage);
    for (stream, live) in manifest.streams.iter().zip(&mut state.live) {
        if let Some(rows) = live.tail.view() {
            store.append(&stream.name, &rows)?;
            report.rows += rows.len() as u64;
        }
    }
    if let Some(stream) = manifest.streams.first() {
        let nothing = Batch::new(stream.schema.clone());
        for (source, position) in &state.sources {
            store.append_from(&stream.name, &nothing, source, position)?;
        }
    }
    Ok(())
}

fn salvage_models(
    from: &dyn Storage,
    manifest: &Manifest,
    store: &Store,
    report: &mut Repaired,
) -> Result<()> {
    for model in &manifest.models {
        let mut serving = false;
        for &(version, bytes, crc) in &model.versions {
            let file = model_file(&model.name, version);
            let found = from.read(&file, 0..bytes.saturating_add(1));
            let found = found.map_err(|error| missing(error, &file));
            match found.and_then(|found| check_model(&file, &found, bytes, crc).map(|()| found)) {
                Ok(found) => {
                    store.restore_model(&model.name, version, &found)?;
                    report.models += 1;
                    serving |= version == model.serving;
                }
                Err(error) => {
                    report.lost.push(Lost {
                        file,
                        stream: model.name.clone(),
                        column: None,
                        rows: 0..0,
                        reason: error.to_string(),
                    });
                    report.damage.push(error);
                }
            }
        }
        if serving {
            store.serve_model(&model.name, model.serving)?;
        }
    }
    Ok(())
}
