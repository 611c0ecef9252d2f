//! Appending, sealing, and what is due in between.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::conform::conform;
use super::open::segment_file;
use super::state::{Live, TailStart};
use super::{Receipt, Store, SyncPolicy, Writer, locked};
use crate::batch::{Batch, ColumnData};
use crate::column::Hints;
use crate::error::{Error, Result};
use crate::log::frame::{MAX_FRAME_VALUES, write_rows, write_source};
use crate::log::generation;
use crate::log::manifest::{Manifest, SegmentEntry, SourceEntry, StreamEntry};
use crate::log::wal::Payload;
use crate::schema::{ColumnId, ColumnType, Schema, SharedSchema};
use crate::segment::stat::ColumnTotals;
use crate::segment::{Segment, writer as segment_writer};
use crate::tail::Tail;
use crate::wire::Writer as Record;

/// Bytes of text after which a batch goes on in the next frame.
const FRAME_TEXT_BYTES: usize = 64 << 20;
/// Bytes at which a log generation ends, once what it holds is sealed.
const GENERATION_BYTES: u64 = 4 << 20;
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
        self.publish(writer, |manifest| {
            manifest.streams.push(StreamEntry {
                id: manifest.next_stream,
                name: name.to_owned(),
                schema: schema.clone(),
                sealed: 0,
                digits: Vec::new(),
                segments: Vec::new(),
            });
            manifest.next_stream += 1;
        })?;
        let live = Live {
            segments: Vec::new(),
            tail: Tail::new(schema.clone()),
            tail_start: None,
        };
        self.state().live.push(live);
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
        self.publish(writer, |manifest| manifest.streams[index].schema = wider.clone())?;
        self.state().live[index].tail.widen(wider.clone());
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
            self.publish(writer, |manifest| manifest.sources = entries)?;
            self.state().sources = sources;
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
            !tail.is_empty() && (tail.len() + rows.len()) as u64 > self.options.rows_per_segment
        };
        if full {
            self.seal_tail(writer, index)?;
        }
        loop {
            let largest = {
                let state = self.state();
                if state.tail_bytes() + rows.memory_bytes() <= self.options.memory_limit / 4 {
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
            live.tail_start.get_or_insert(TailStart {
                sequence: before + 1,
                generation,
            });
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
        writer.wal.check()?;
        let mut next = self.state().manifest.clone();
        next.durable = writer.wal.durable();
        next.newest_generation = writer.wal.generation();
        let written = writer.wal.take_bytes_written();
        next.bytes_written += written;
        change(&mut next);
        let stored = next.store(&*self.storage);
        if let Err(error @ Error::Poisoned { .. }) = &stored {
            writer.wal.poison(error);
        }
        stored?;
        self.state().manifest = next;
        Ok(())
    }

    /// Turns the tail of stream `index` into a segment. The caller has the turn.
    pub(super) fn seal_tail(&self, writer: &Writer, index: usize) -> Result<()> {
        // Rows of a segment are promised, so the log up to them has to be too.
        let sealed = writer.wal.appended();
        writer.wal.commit(sealed)?;
        let (rows, start, stream) = {
            let mut state = self.state();
            let live = &mut state.live[index];
            let (Some(rows), Some(start)) = (live.tail.view(), live.tail_start) else {
                return Ok(());
            };
            (rows, start, state.manifest.streams[index].clone())
        };
        let (entry, segment) = self.write_segment(&stream, &rows, (start.sequence, sealed))?;
        let digits = segment_digits(&stream);
        let pinned = self.state().oldest_pinned(Some(index));
        if pinned.is_none() || writer.wal.generation_bytes() >= GENERATION_BYTES {
            writer.wal.rotate()?;
        }
        let after_newest = writer.wal.generation() + u64::from(writer.wal.needs_generation());
        let sources = self.state().sources.clone();
        let plain = plain_bytes(&rows);
        let file = entry.file.clone();
        let published = self.publish(writer, |manifest| {
            manifest.oldest_generation = pinned.unwrap_or(after_newest);
            manifest.next_segment += 1;
            manifest.bytes_written += entry.bytes;
            manifest.plain_bytes += plain;
            manifest.sources = source_entries(&sources);
            let stream = &mut manifest.streams[index];
            stream.sealed = sealed;
            stream.digits = digits;
            stream.segments.push(entry);
        });
        if let Err(error) = published {
            self.discard(&file, &error);
            return Err(error);
        }
        {
            let mut state = self.state();
            let live = &mut state.live[index];
            live.segments.push(Some(segment));
            live.tail.clear();
            live.tail_start = None;
        }
        self.remove_old_generations()
    }

    /// Writes rows sorted by (keys, time) as the next segment file, which nothing refers to yet.
    pub(super) fn write_segment(
        &self,
        stream: &StreamEntry,
        rows: &Batch,
        sequences: (u64, u64),
    ) -> Result<(SegmentEntry, Arc<Segment>)> {
        let name = segment_file(self.state().manifest.next_segment);
        let beside = format!("{name}.new");
        let columns = stream.schema.columns();
        let digits = |id: ColumnId| {
            stream
                .digits
                .iter()
                .find(|(column, _)| *column == id)
                .map(|d| d.1)
        };
        let hints: Vec<Hints> = columns.iter().map(|c| Hints { digits: digits(c.id) }).collect();
        let written = self.storage.create(&beside).and_then(|file| {
            let mut buffer = Vec::new();
            let info = segment_writer::write(rows, sequences, &hints, &mut |bytes| {
                // Sections may be small, and each call of the system costs.
                buffer.extend_from_slice(bytes);
                if buffer.len() >= 1 << 20 {
                    file.append(&buffer)?;
                    buffer.clear();
                }
                Ok(())
            })?;
            file.append(&buffer)?;
            file.sync()?;
            self.storage.rename(&beside, &name)?;
            self.storage.sync_directory("")?;
            let segment = Segment::open(&name, self.storage.map(&name)?)?;
            Ok((info, Arc::new(segment)))
        });
        match written {
            Ok((info, segment)) => {
                let entry = SegmentEntry {
                    file: name,
                    rows: info.rows,
                    time_range: info.time_range,
                    sequences: info.sequences,
                    bytes: info.bytes,
                };
                Ok((entry, segment))
            }
            Err(error) => {
                // Whichever of the two names it has by now, nothing refers to it.
                let _ = self.storage.remove(&beside);
                let _ = self.storage.remove(&name);
                Err(error)
            }
        }
    }

    /// Removes a file that the manifest could not take up, unless nobody knows whether it did.
    pub(super) fn discard(&self, file: &str, error: &Error) {
        if !matches!(error, Error::Poisoned { .. }) {
            let _ = self.storage.remove(file);
        }
    }

    fn remove_old_generations(&self) -> Result<()> {
        let oldest = self.state().manifest.oldest_generation;
        for (generation, _) in generation::list(&*self.storage)? {
            if generation < oldest {
                self.storage.remove(&generation::file_name(generation))?;
            }
        }
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
                live.tail_start
                    .is_some_and(|start| start.generation + MAX_PINNED_GENERATIONS <= newest)
            };
            let pinning = self.state().live.iter().position(pins);
            match pinning {
                Some(index) => self.seal_tail(writer, index)?,
                None => break,
            }
        }
        self.merge_all()
    }
}

/// Where a frame that begins at row `start` ends.
fn frame_end(batch: &Batch, start: usize) -> usize {
    let most = (MAX_FRAME_VALUES / (batch.columns.len() + 1)).max(1);
    let limit = batch.len().min(start + most);
    let mut bytes = 0;
    for row in start..limit {
        for column in &batch.columns {
            if let ColumnData::Binary(strings) = &column.data {
                bytes += strings.get(row).len();
            }
        }
        if bytes > FRAME_TEXT_BYTES && row > start {
            return row;
        }
    }
    limit
}

fn source_entries(sources: &BTreeMap<String, Vec<u8>>) -> Vec<SourceEntry> {
    let entries = sources.iter();
    entries
        .map(|(name, position)| SourceEntry {
            name: name.clone(),
            position: position.clone(),
        })
        .collect()
}

fn segment_digits(stream: &StreamEntry) -> Vec<(ColumnId, u8)> {
    stream.digits.clone()
}

/// Bytes of the rows in plain binary form.
pub(super) fn plain_bytes(rows: &Batch) -> u64 {
    let columns = rows.schema().columns().iter().zip(&rows.columns);
    let values = columns.map(|(spec, column)| ColumnTotals::of(spec.ty, column).plain_bytes);
    rows.len() as u64 * 8 + values.sum::<u64>()
}
