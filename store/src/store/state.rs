//! What a store holds in memory: the manifest, and for each stream its open segments and its tail.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::batch::{Batch, BatchColumn};
use crate::error::{Error, Result};
use crate::log::frame::{FrameHeader, FramePart, RowsPart, read_payload};
use crate::log::manifest::{Manifest, StreamEntry};
use crate::log::replay::LogReader;
use crate::segment::Segment;
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
}

/// The parts of one stream.
#[derive(Debug)]
pub(super) struct Live {
    /// One for each segment of the manifest, in its order; opened when first asked.
    pub segments: Vec<Option<Arc<Segment>>>,
    /// Rows in no segment.
    pub tail: Tail,
    /// Sequence number before the first row of the tail, and the log generation it is in.
    pub tail_start: Option<TailStart>,
}

/// Where in the log a tail begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct TailStart {
    /// Sequence number of the tail's first row.
    pub sequence: u64,
    /// Generation that holds it.
    pub generation: u64,
}

impl Live {
    fn new(stream: &StreamEntry) -> Live {
        Live {
            segments: vec![None; stream.segments.len()],
            tail: Tail::new(stream.schema.clone()),
            tail_start: None,
        }
    }
}

impl State {
    /// The state that a manifest stands for, without the log; opened segments of `before` are kept.
    pub fn new(manifest: Manifest, before: Option<State>) -> State {
        let mut open: BTreeMap<String, Arc<Segment>> = BTreeMap::new();
        for segment in before
            .into_iter()
            .flat_map(|state| state.live)
            .flat_map(|live| live.segments)
        {
            if let Some(segment) = segment {
                open.insert(segment.name().to_owned(), segment);
            }
        }
        let mut live: Vec<Live> = manifest.streams.iter().map(Live::new).collect();
        for (live, stream) in live.iter_mut().zip(&manifest.streams) {
            for (slot, entry) in live.segments.iter_mut().zip(&stream.segments) {
                *slot = open.get(&entry.file).cloned();
            }
        }
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
            .filter_map(|(_, live)| live.tail_start.map(|start| start.generation))
            .min()
    }

    /// Opens all segments of a stream that are not open yet.
    ///
    /// # Errors
    /// What is wrong with the first that cannot be opened.
    pub fn open_segments(&mut self, stream: usize, storage: &dyn Storage) -> Result<Vec<Arc<Segment>>> {
        let entries = &self.manifest.streams[stream].segments;
        let slots = &mut self.live[stream].segments;
        let mut out = Vec::with_capacity(entries.len());
        for (entry, slot) in entries.iter().zip(slots) {
            let segment = match slot {
                Some(segment) => segment.clone(),
                None => slot
                    .insert(Arc::new(Segment::open(
                        &entry.file,
                        storage
                            .map(&entry.file)
                            .map_err(|error| missing(error, &entry.file))?,
                    )?))
                    .clone(),
            };
            let info = segment.info();
            if (info.rows, info.bytes, info.sequences) != (entry.rows, entry.bytes, entry.sequences) {
                let what = "rows, bytes or sequence numbers differ from what the manifest says";
                return Err(Error::corrupt(entry.file.clone(), "footer", 0, what));
            }
            out.push(segment);
        }
        Ok(out)
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
            FramePart::Rows(part) => {
                let Some(index) = position(part.stream) else {
                    let what = format!("rows of stream {}, which the manifest does not have", part.stream);
                    return Err(Error::corrupt(file, "frame part", 0, what));
                };
                let sequence = part.before + 1;
                live[index]
                    .tail
                    .append(&batch_of(&manifest.streams[index], part, file)?);
                live[index]
                    .tail_start
                    .get_or_insert(TailStart { sequence, generation });
            }
        }
    }
    Ok(())
}

fn batch_of(stream: &StreamEntry, part: RowsPart, file: &str) -> Result<Batch> {
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
