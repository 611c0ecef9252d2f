//! Appending, sealing, and what is due in between.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::conform::conform;
use super::state::{Live, State, TailSpan};
use super::{Receipt, Store, SyncPolicy, Writer, locked};
use crate::batch::{Batch, ColumnData};
use crate::error::{Error, Result};
use crate::keep::Retention;
use crate::keep::pins::Pins;
use crate::log::frame::{MAX_FRAME_VALUES, write_rows, write_source};
use crate::log::manifest::{Manifest, SourceEntry, StreamEntry, Wishes};
use crate::log::wal::Payload;
use crate::schema::{ColumnType, Schema, SharedSchema};
use crate::wire::Writer as Record;

/// Bytes of text after which a batch goes on in the next frame.
const FRAME_TEXT_BYTES: u64 = 64 << 20;
/// Bytes of log that a stream may pin by not being sealed, in generations.
const MAX_PINNED_GENERATIONS: u64 = 8;

impl Store {
    pub(super) fn add_stream(&self, name: &str, schema: Schema) -> Result<SharedSchema> {
        let writer = self.writer()?;
        let _turn = locked(&writer.turn);
        if name.is_empty() {
            return Err(Error::invalid("a stream needs a name"));
        }
        if self.state().stream(name).is_ok() {
            return Err(Error::invalid(format!("there is a stream {name:?} already")));
        }
        let schema = Arc::new(schema);
        let live = Live::new(&schema);
        let change = |manifest: &mut Manifest| {
            manifest.streams.push(StreamEntry {
                id: manifest.next_stream,
                name: name.to_owned(),
                schema: schema.clone(),
                sealed: 0,
                digits: Vec::new(),
                wishes: Wishes::default(),
                retention: Retention::default(),
                pins: Pins::default(),
                losses: Vec::new(),
                segments: Vec::new(),
            });
            manifest.next_stream = manifest.next_stream.saturating_add(1);
        };
        self.publish_and(writer, change, |state| state.live.push(live))?;
        Ok(schema)
    }

    pub(super) fn widen_stream(
        &self,
        stream: &str,
        channels: &[(String, ColumnType, String)],
    ) -> Result<SharedSchema> {
        let writer = self.writer()?;
        let _turn = locked(&writer.turn);
        let (index, schema) = self.stream_schema(stream)?;
        let mut wider = (*schema).clone();
        for (name, ty, unit) in channels {
            wider = wider.with_channel(name, *ty, unit)?;
        }
        let wider = Arc::new(wider);
        let change = |manifest: &mut Manifest| manifest.streams[index].schema = wider.clone();
        self.publish_and(writer, change, |state| {
            state.live[index].tail.widen(wider.clone())
        })?;
        Ok(wider)
    }

    pub(super) fn append_rows(
        &self,
        stream: &str,
        batch: &Batch,
        source: Option<(&str, &[u8])>,
    ) -> Result<Receipt> {
        let writer = self.writer()?;
        writer.wal.check()?;
        batch.check()?;
        // Packing needs no lock; a schema that changed meanwhile is noticed below.
        let (_, schema) = self.stream_schema(stream)?;
        let mut packed = self.pack(stream, &schema, batch, source)?;
        let turn = locked(&writer.turn);
        let (index, now) = self.stream_schema(stream)?;
        if !Arc::ptr_eq(&now, &schema) {
            packed = self.pack(stream, &now, batch, source)?;
        }
        let rows = conform(batch, &now)?;
        let sequence = if rows.is_empty() {
            self.keep_position(writer, source)?
        } else {
            self.make_room(writer, index, &rows)?;
            let frames = packed.iter().map(Payload::frame_bytes).sum();
            self.make_room_in_log(writer, frames)?;
            self.write_log(writer, index, &rows, &packed, source)?
        };
        drop(turn);
        self.sync_if_due(writer, sequence)?;
        Ok(Receipt {
            sequence,
            durable: writer.wal.durable(),
        })
    }

    /// A position without rows goes into the manifest: in the log it would have no sequence number.
    fn keep_position(&self, writer: &Writer, source: Option<(&str, &[u8])>) -> Result<u64> {
        let appended = writer.wal.appended();
        if let Some((name, position)) = source {
            writer.wal.commit(appended)?;
            let mut sources = self.state().sources.clone();
            sources.insert(name.to_owned(), position.to_vec());
            let entries = source_entries(&sources);
            let change = |manifest: &mut Manifest| manifest.sources = entries;
            self.publish_and(writer, change, |state| state.sources = sources)?;
        }
        Ok(appended)
    }

    fn stream_schema(&self, stream: &str) -> Result<(usize, SharedSchema)> {
        let state = self.state();
        let index = state.stream(stream)?;
        Ok((index, state.manifest.streams[index].schema.clone()))
    }

    fn pack(
        &self,
        stream: &str,
        schema: &SharedSchema,
        batch: &Batch,
        source: Option<(&str, &[u8])>,
    ) -> Result<Vec<Payload>> {
        let id = {
            let state = self.state();
            state.manifest.streams[state.stream(stream)?].id
        };
        let batch = conform(batch, schema)?;
        let mut out = Vec::new();
        let mut start = 0;
        while start < batch.len() {
            let end = frame_end(&batch, start);
            let mut payload = Record::new();
            write_rows(id, schema, &batch, start..end, &mut payload)?;
            let rows = u32::try_from(end - start).unwrap_or(u32::MAX);
            out.push(Payload {
                bytes: payload.into_bytes(),
                rows,
                more: end < batch.len(),
            });
            start = end;
        }
        if let Some((name, position)) = source {
            let mut payload = Record::new();
            write_source(name, position, &mut payload);
            if let Some(last) = out.last_mut() {
                last.bytes.extend_from_slice(&payload.into_bytes());
            }
        }
        Ok(out)
    }

    /// Seals where the rows would not fit. Done before they are logged: rows that are logged are never refused.
    fn make_room(&self, writer: &Writer, index: usize, rows: &Batch) -> Result<()> {
        let full = {
            let state = self.state();
            let tail = &state.live[index].tail;
            let together = (tail.len() + rows.len()) as u64;
            let bytes = tail.memory_bytes() + rows.memory_bytes();
            (!tail.is_empty()).then_some((together, bytes))
        };
        let full = full.is_some_and(|(rows, memory_bytes)| {
            rows > self.options.rows_per_segment || self.fills_segment(index, rows, memory_bytes)
        });
        if full {
            self.seal_tail(writer, index)?;
        }
        loop {
            let largest = {
                let state = self.state();
                let bytes = state.tail_bytes() + rows.memory_bytes();
                if bytes as u64 <= self.options.memory().tails() {
                    return Ok(());
                }
                let tails = state
                    .live
                    .iter()
                    .enumerate()
                    .filter(|(_, live)| !live.tail.is_empty());
                tails
                    .max_by_key(|(_, live)| live.tail.memory_bytes())
                    .map(|(index, _)| index)
            };
            match largest {
                Some(largest) => self.seal_tail(writer, largest)?,
                None => return Ok(()),
            }
        }
    }

    fn write_log(
        &self,
        writer: &Writer,
        index: usize,
        rows: &Batch,
        packed: &[Payload],
        source: Option<(&str, &[u8])>,
    ) -> Result<u64> {
        if writer.wal.needs_generation() {
            writer.wal.ensure_generation()?;
            self.publish(writer, |_| {})?;
        }
        let before = writer.wal.appended();
        let sequence = writer.wal.append(packed)?;
        let mut state = self.state();
        if let Some((name, position)) = source {
            state.sources.insert(name.to_owned(), position.to_vec());
        }
        if !rows.is_empty() {
            let generation = writer.wal.generation();
            let live = &mut state.live[index];
            live.tail.append(rows);
            let span = TailSpan {
                first: before + 1,
                last: sequence,
                generation,
            };
            live.tail_span.get_or_insert(span).last = sequence;
        }
        Ok(sequence)
    }

    fn sync_if_due(&self, writer: &Writer, sequence: u64) -> Result<()> {
        match self.options.sync {
            SyncPolicy::Always => writer.wal.commit(sequence),
            SyncPolicy::Interval(_) if self.next_due() == Some(Duration::ZERO) => {
                writer.wal.commit(writer.wal.appended())
            }
            _ => Ok(()),
        }
    }

    /// Writes the manifest with a change in it, and goes over to it once it counts. The caller has the turn.
    pub(super) fn publish(&self, writer: &Writer, change: impl FnOnce(&mut Manifest)) -> Result<()> {
        self.publish_and(writer, change, |_| {})
    }

    /// [`Store::publish`], and `then` at the same moment as far as other threads can tell.
    pub(super) fn publish_and(
        &self,
        writer: &Writer,
        change: impl FnOnce(&mut Manifest),
        then: impl FnOnce(&mut State),
    ) -> Result<()> {
        writer.wal.check()?;
        let mut next = self.state().manifest.clone();
        next.durable = writer.wal.durable();
        next.newest_generation = writer.wal.generation();
        next.written = writer.room.written();
        change(&mut next);
        let stored = next.store(&*self.storage);
        if let Err(error @ Error::Poisoned { .. }) = &stored {
            writer.wal.poison(error);
        }
        stored?;
        {
            let mut state = self.state();
            state.manifest = next;
            then(&mut state);
            let segments = state.live.iter().map(|live| live.segments.len()).sum();
            if !self.options.memory().keeps_open(segments) {
                state.close_segments();
            }
        }
        self.limit_room(writer);
        Ok(())
    }

    pub(super) fn do_what_is_due(&self) -> Result<()> {
        let writer = self.writer()?;
        if self.next_due() == Some(Duration::ZERO) {
            writer.wal.commit(writer.wal.appended())?;
        }
        loop {
            let _turn = locked(&writer.turn);
            let newest = writer.wal.generation();
            let pins = |live: &Live| {
                live.tail_span
                    .is_some_and(|start| start.generation.saturating_add(MAX_PINNED_GENERATIONS) <= newest)
            };
            let pinning = self.state().live.iter().position(pins);
            match pinning {
                Some(index) => self.seal_tail(writer, index)?,
                None => break,
            }
        }
        self.age_streams()?;
        self.merge_all()?;
        self.widen_all()?;
        self.descend_all()?;
        self.carve_ahead()
    }
}

/// Where a frame that begins at row `start` ends.
fn frame_end(batch: &Batch, start: usize) -> usize {
    let most = (MAX_FRAME_VALUES / (batch.columns.len() + 1)).max(1);
    let limit = batch.len().min(start + most);
    let strings = batch.columns.iter().filter_map(|column| match &column.data {
        ColumnData::Binary(strings) => Some(strings.offsets()),
        ColumnData::Keys(_) => None,
    });
    let strings: Vec<&[u64]> = strings.collect();
    let bytes = |end: usize| {
        strings
            .iter()
            .map(|offsets| offsets[end] - offsets[start])
            .sum::<u64>()
    };
    if bytes(limit) > FRAME_TEXT_BYTES {
        // The bytes grow with the rows, so the last row that fits is found by halving.
        let (mut low, mut high) = (start + 1, limit);
        while low < high {
            let middle = (low + high).div_ceil(2);
            if bytes(middle) > FRAME_TEXT_BYTES {
                high = middle - 1
            } else {
                low = middle
            }
        }
        return low;
    }
    limit
}

pub(super) fn source_entries(sources: &BTreeMap<String, Vec<u8>>) -> Vec<SourceEntry> {
    let entries = sources.iter();
    entries
        .map(|(name, position)| SourceEntry {
            name: name.clone(),
            position: position.clone(),
        })
        .collect()
}
