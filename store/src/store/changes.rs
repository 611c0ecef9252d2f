//! Reading on from a place in the sequence, for backup and for store-and-forward: each row at least once.

use std::sync::Arc;

use super::Store;
use super::state::batch_of;
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::log::frame::{FramePart, read_payload};
use crate::log::generation::{self, GenerationHeader};
use crate::log::manifest::Manifest;
use crate::log::replay::LogReader;
use crate::predicate::Predicate;
use crate::rows::RowRanges;
use crate::segment::Segment;
use crate::snapshot::{Bucket, PartRows, Snapshot};
use crate::storage::is_not_found;
use crate::tail::order;

/// How often reading starts again because the log moved on under it.
const ATTEMPTS: usize = 16;

/// Rows of a stream that somebody has still to read.
#[derive(Debug)]
pub struct Change<'a> {
    /// Name of the stream.
    pub stream: &'a str,
    /// The rows.
    pub rows: &'a Batch,
    /// What each of them stands for, where they were downsampled; `None` if for itself.
    pub buckets: Option<Vec<Bucket>>,
}

/// Gets some rows.
pub(super) type Visit<'a> = dyn FnMut(&Change<'_>) -> Result<()> + 'a;

/// The segments of a stream, and which stream it is.
type Sealed = Vec<(String, Vec<Arc<Segment>>)>;

impl Store {
    pub(super) fn visit_changes(&self, sequence: u64, visit: &mut Visit<'_>) -> Result<u64> {
        let mut done = sequence;
        let mut stopped = false;
        for _ in 1..ATTEMPTS {
            let (manifest, sealed) = self.sealed_after(done)?;
            let mut visit = |change: &Change<'_>| {
                let visited = visit(change);
                stopped = visited.is_err();
                visited
            };
            let read = self.visit_sealed(&manifest, &sealed, &mut done, &mut visit);
            match read.and_then(|()| self.visit_log(&manifest, &mut done, &mut visit)) {
                Ok(()) => return Ok(done),
                Err(error) if stopped => return Err(error),
                Err(error) => {
                    let newest = Manifest::load(&*self.storage)?;
                    if newest.edition == manifest.edition {
                        return Err(error);
                    }
                }
            }
        }
        Err(Error::invalid(
            "the log moves on faster than it can be read; try again",
        ))
    }

    fn sealed_after(&self, sequence: u64) -> Result<(Manifest, Sealed)> {
        self.with_fresh_state(|state| {
            let manifest = state.manifest.clone();
            let mut sealed = Vec::new();
            for (index, stream) in manifest.streams.iter().enumerate() {
                if stream
                    .segments
                    .iter()
                    .any(|segment| segment.sequences.1 > sequence)
                {
                    sealed.push((stream.name.clone(), state.open_segments(index, &*self.storage)?));
                }
            }
            Ok((manifest, sealed))
        })
    }

    /// Rows that are in the log no more: segments that hold some of them, whole.
    fn visit_sealed(
        &self,
        manifest: &Manifest,
        sealed: &Sealed,
        done: &mut u64,
        visit: &mut Visit<'_>,
    ) -> Result<()> {
        let log_start = self.log_start(manifest)?;
        if *done >= log_start {
            return Ok(());
        }
        for (stream, segments) in sealed {
            let Some(entry) = manifest.streams.iter().find(|entry| entry.name == *stream) else {
                continue;
            };
            let names: Vec<&str> = entry
                .schema
                .columns()
                .iter()
                .map(|column| column.name.as_str())
                .collect();
            for segment in segments {
                let (first, last) = segment.info().sequences;
                if last > *done && first <= log_start {
                    let snapshot = Snapshot::new(entry.schema.clone(), vec![segment.clone()], None);
                    let mut first = 0;
                    for rows in snapshot.scan(&names, &Predicate::All)? {
                        let rows = rows?;
                        let end = first + rows.len() as u64;
                        let these = PartRows {
                            part: 0,
                            rows: RowRanges::single(first..end),
                        };
                        visit(&Change {
                            stream,
                            rows: &rows,
                            buckets: snapshot.buckets(&these)?,
                        })?;
                        first = end;
                    }
                }
            }
        }
        *done = log_start;
        Ok(())
    }

    /// Sequence number before the first row that the log still holds.
    fn log_start(&self, manifest: &Manifest) -> Result<u64> {
        let oldest = manifest.oldest_generation;
        let file = generation::file_name(oldest);
        match self.storage.read(&file, 0..generation::HEADER_BYTES) {
            Ok(bytes) => Ok(GenerationHeader::read(&bytes, oldest)?.continues_after),
            Err(error) if is_not_found(&error) && manifest.newest_generation < oldest => Ok(manifest.durable),
            Err(error) => Err(error),
        }
    }

    fn visit_log(&self, manifest: &Manifest, done: &mut u64, visit: &mut Visit<'_>) -> Result<()> {
        let durable = self.durable();
        let mut log = LogReader::new(manifest.oldest_generation, manifest.durable);
        log.advance(
            &*self.storage,
            manifest.newest_generation,
            &mut |frame, payload, file, _| {
                if frame.last() <= *done || frame.last() > durable {
                    return Ok(());
                }
                for part in read_payload(frame, payload, file, &|_, last| last <= *done)? {
                    let FramePart::Rows(part) = part else { continue };
                    let stream = manifest.streams.iter().find(|stream| stream.id == part.stream);
                    let Some(stream) = stream else {
                        // Newer than the manifest at hand: read again with the one that has it.
                        return Err(Error::corrupt(file, "frame part", 0, "rows of an unknown stream"));
                    };
                    let before = part.before;
                    let rows = batch_of(stream, part, file)?;
                    let known = usize::try_from(done.saturating_sub(before)).unwrap_or(usize::MAX);
                    let mut rest = Batch::new(stream.schema.clone());
                    if known > 0 && known < rows.len() {
                        order::append(&mut rest, &rows, known..rows.len());
                    }
                    let rows = if known == 0 { &rows } else { &rest };
                    if !rows.is_empty() {
                        visit(&Change {
                            stream: &stream.name,
                            rows,
                            buckets: None,
                        })?;
                    }
                }
                *done = frame.last();
                Ok(())
            },
        )
    }
}
