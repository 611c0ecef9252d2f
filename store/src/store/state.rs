//! What a store holds in memory: the manifest, and for each stream its open segments and its tail.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::batch::{Batch, BatchColumn};
use crate::error::{Error, Result};
use crate::log::frame::{FrameHeader, FramePart, RowsPart, read_payload};
use crate::log::manifest::{Manifest, StreamEntry};
use crate::log::replay::LogReader;
use crate::schema::SharedSchema;
use crate::segment::Segment;
use crate::snapshot::LeftOut;
use crate::storage::Storage;
use crate::tail::Tail;

use super::conform::widen;
use super::read::missing;

/// The store as this process sees it.
#[derive(Debug)]
pub(super) struct State {
    /// What counts.
    pub manifest: Manifest,
    /// One for each stream of the manifest, in its order.
    pub live: Vec<Live>,
    /// How far sources have been read, the rows in tails included.
    pub sources: BTreeMap<String, Vec<u8>>,
    /// How far a reading process has seen the log.
    pub reader: LogReader,
    /// What [`State::salvage`] could not read.
    pub log_damage: Vec<Error>,
}

/// The parts of one stream.
#[derive(Debug)]
pub(super) struct Live {
    /// One for each segment of the manifest, in its order; opened when first asked.
    pub segments: Vec<Option<Arc<Segment>>>,
    /// Rows in no segment.
    pub tail: Tail,
    /// Where in the log the tail's rows are.
    pub tail_span: Option<TailSpan>,
}

/// Where in the log the rows of a tail are.
#[derive(Debug, Clone, Copy)]
pub(super) struct TailSpan {
    /// Sequence number of the first row.
    pub first: u64,
    /// Sequence number of the last row.
    pub last: u64,
    /// Generation that holds the first row.
    pub generation: u64,
}

impl Live {
    /// No rows of shape `schema`.
    pub fn new(schema: &SharedSchema) -> Live {
        Live {
            segments: Vec::new(),
            tail: Tail::new(schema.clone()),
            tail_span: None,
        }
    }
}

impl State {
    /// The state that a manifest stands for, without the log; opened segments of `before` are kept.
    pub fn new(manifest: Manifest, before: Option<State>) -> State {
        let mut open: BTreeMap<String, Arc<Segment>> = BTreeMap::new();
        let slots = before
            .into_iter()
            .flat_map(|state| state.live)
            .flat_map(|live| live.segments);
        for segment in slots.flatten() {
            open.insert(segment.name().to_owned(), segment);
        }
        let live = manifest.streams.iter().map(|stream| {
            let mut live = Live::new(&stream.schema);
            live.segments = stream
                .segments
                .iter()
                .map(|entry| open.get(&entry.file).cloned())
                .collect();
            live
        });
        let live = live.collect();
        let sources = manifest
            .sources
            .iter()
            .map(|s| (s.name.clone(), s.position.clone()))
            .collect();
        let reader = LogReader::new(manifest.oldest_generation, manifest.durable);
        State {
            manifest,
            live,
            sources,
            reader,
            log_damage: Vec::new(),
        }
    }

    /// Position of a stream.
    ///
    /// # Errors
    /// `InvalidArgument` that says which streams there are.
    pub fn stream(&self, name: &str) -> Result<usize> {
        self.manifest
            .streams
            .iter()
            .position(|stream| stream.name == name)
            .ok_or_else(|| {
                let names: Vec<&str> = self.manifest.streams.iter().map(|s| s.name.as_str()).collect();
                let there = if names.is_empty() {
                    "none yet".to_owned()
                } else {
                    names.join(", ")
                };
                Error::invalid(format!(
                    "there is no stream {name:?} in this store (streams: {there})"
                ))
            })
    }

    /// Reads what is new in the log into the tails.
    ///
    /// # Errors
    /// See [`LogReader::advance`].
    pub fn replay(&mut self, storage: &dyn Storage) -> Result<()> {
        let State {
            manifest,
            live,
            sources,
            reader,
            ..
        } = self;
        let mut log = *reader;
        log.advance(
            storage,
            manifest.newest_generation,
            &mut |frame, payload, file, generation| {
                apply(manifest, live, sources, frame, payload, file, generation)
            },
        )?;
        *reader = log;
        Ok(())
    }

    /// Reads into the tails what can be read of a damaged log, and keeps what is wrong with it.
    pub fn salvage(&mut self, storage: &dyn Storage) {
        let State {
            manifest,
            live,
            sources,
            reader,
            log_damage,
        } = self;
        let newest = manifest.newest_generation;
        *log_damage = reader.salvage(storage, newest, &mut |frame, payload, file, generation| {
            apply(manifest, live, sources, frame, payload, file, generation)
        });
    }

    /// The segments of a stream that are intact, every page of them checked, and what is wrong with the others.
    pub fn intact_segments(
        &mut self,
        stream: usize,
        storage: &dyn Storage,
    ) -> (Vec<Arc<Segment>>, Vec<LeftOut>) {
        let (mut intact, mut left_out) = (Vec::new(), Vec::new());
        for place in 0..self.manifest.streams[stream].segments.len() {
            let opened = self.open_segment(stream, place, storage);
            match opened.and_then(|segment| segment.check().map(|()| segment)) {
                Ok(segment) => intact.push(segment),
                Err(error) => {
                    let entry = &self.manifest.streams[stream].segments[place];
                    left_out.push(LeftOut {
                        file: entry.file.clone(),
                        rows: Some(entry.rows),
                        error,
                    });
                }
            }
        }
        left_out.extend(self.log_damage.iter().map(|error| LeftOut {
            file: "log".to_owned(),
            rows: None,
            error: error.same(),
        }));
        (intact, left_out)
    }

    /// Bytes of memory that all tails hold.
    pub fn tail_bytes(&self) -> usize {
        self.live.iter().map(|live| live.tail.memory_bytes()).sum()
    }

    /// Oldest generation that holds rows of a tail other than that of stream `except`.
    pub fn oldest_pinned(&self, except: Option<usize>) -> Option<u64> {
        let others = self
            .live
            .iter()
            .enumerate()
            .filter(|(index, _)| Some(*index) != except);
        others
            .filter_map(|(_, live)| live.tail_span.map(|start| start.generation))
            .min()
    }

    /// Lets go of all segments; those that somebody else holds stay open for him.
    pub fn close_segments(&mut self) {
        self.live.iter_mut().for_each(|live| live.segments.fill(None));
    }

    /// Opens all segments of a stream that are not open yet.
    ///
    /// # Errors
    /// What is wrong with the first that cannot be opened.
    pub fn open_segments(&mut self, stream: usize, storage: &dyn Storage) -> Result<Vec<Arc<Segment>>> {
        let count = self.manifest.streams[stream].segments.len();
        (0..count)
            .map(|at| self.open_segment(stream, at, storage))
            .collect()
    }

    /// Opens segment `at` of a stream, if it is not open yet.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn open_segment(&mut self, stream: usize, at: usize, storage: &dyn Storage) -> Result<Arc<Segment>> {
        let segment = self.look_into_segment(stream, at, storage)?;
        self.live[stream].segments[at] = Some(segment.clone());
        Ok(segment)
    }

    /// Segment `at` of a stream, which stays open only if it was.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn look_into_segment(&self, stream: usize, at: usize, storage: &dyn Storage) -> Result<Arc<Segment>> {
        let entry = &self.manifest.streams[stream].segments[at];
        let segment = match &self.live[stream].segments[at] {
            Some(segment) => segment.clone(),
            None => {
                let bytes = storage.map(&entry.file);
                let bytes = bytes.map_err(|error| missing(error, &entry.file))?;
                let opened = Segment::open(&entry.file, bytes)?;
                Arc::new(opened.with_schema_of(&self.manifest.streams[stream].schema))
            }
        };
        let info = segment.info();
        if (info.rows, info.bytes, info.sequences) != (entry.rows, entry.bytes, entry.sequences) {
            let what = "rows, bytes or sequence numbers differ from what the manifest says";
            return Err(Error::corrupt(entry.file.clone(), "footer", 0, what));
        }
        Ok(segment)
    }
}

fn apply(
    manifest: &Manifest,
    live: &mut [Live],
    sources: &mut BTreeMap<String, Vec<u8>>,
    frame: &FrameHeader,
    payload: &[u8],
    file: &str,
    generation: u64,
) -> Result<()> {
    let position = |id: u32| manifest.streams.iter().position(|stream| stream.id == id);
    let is_sealed = |id: u32, last: u64| position(id).is_some_and(|p| last <= manifest.streams[p].sealed);
    for part in read_payload(frame, payload, file, &is_sealed)? {
        match part {
            FramePart::Source { name, position } => {
                sources.insert(name, position);
            }
            FramePart::Rows(part) if part.times.is_empty() => {}
            FramePart::Rows(part) => {
                let Some(index) = position(part.stream) else {
                    let what = format!("rows of stream {}, which the manifest does not have", part.stream);
                    return Err(Error::corrupt(file, "frame part", 0, what));
                };
                let sequence = part.before.saturating_add(1);
                let last = part.before.saturating_add(part.times.len() as u64);
                live[index]
                    .tail
                    .append(&batch_of(&manifest.streams[index], part, file)?);
                let span = TailSpan {
                    first: sequence,
                    last,
                    generation,
                };
                live[index].tail_span.get_or_insert(span).last = last;
            }
        }
    }
    Ok(())
}

/// The rows of a frame, in the stream's shape.
pub(super) fn batch_of(stream: &StreamEntry, part: RowsPart, file: &str) -> Result<Batch> {
    let schema = &stream.schema;
    let mut out = Batch::new(schema.clone());
    let rows = part.times.len();
    out.times = part.times;
    let mut filled = vec![false; out.columns.len()];
    for (id, ty, column) in part.columns {
        let position = schema.position_of_id(id);
        let widened = position.and_then(|p| Some((p, widen(&column, ty, schema.columns()[p].ty)?)));
        let Some((position, column)) = widened else {
            let what = format!(
                "column {} of type {ty} does not fit stream {:?}",
                id.0, stream.name
            );
            return Err(Error::corrupt(file, "frame part", 0, what));
        };
        out.columns[position] = column;
        filled[position] = true;
    }
    for (column, filled) in out.columns.iter_mut().zip(filled) {
        if !filled {
            *column = all_null(column, rows);
        }
    }
    Ok(out)
}

fn all_null(empty: &BatchColumn, rows: usize) -> BatchColumn {
    let mut out = empty.clone();
    (0..rows).for_each(|_| out.push_null());
    out
}
