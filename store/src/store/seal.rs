//! Turning a tail into a segment.

use std::sync::Arc;

use super::write::source_entries;
use super::{Store, Writer};
use crate::batch::Batch;
use crate::column::Hints;
use crate::error::{Error, Result};
use crate::keep::Rung;
use crate::log::generation;
use crate::log::manifest::{Manifest, SegmentEntry, StreamEntry, Wishes, segment_file};
use crate::schema::ColumnId;
use crate::segment::stat::ColumnTotals;
use crate::segment::writer::{self as segment_writer, Sink};
use crate::segment::{Segment, SegmentInfo, carried};

/// Bytes at which a log generation ends, once what it holds is sealed.
const GENERATION_BYTES: u64 = 4 << 20;

impl Store {
    /// Turns the tail of stream `index` into a segment. The caller has the turn.
    pub(super) fn seal_tail(&self, writer: &Writer, index: usize) -> Result<()> {
        // Rows of a segment are promised, so the log up to them has to be too.
        let sealed = writer.wal.appended();
        writer.wal.commit(sealed)?;
        let (rows, start, stream) = {
            let mut state = self.state();
            let live = &mut state.live[index];
            let (Some(rows), Some(start)) = (live.tail.view(), live.tail_span) else {
                return Ok(());
            };
            (rows, start, state.manifest.streams[index].clone())
        };
        let guess = self.guess_segment(index, rows.len() as u64, rows.memory_bytes());
        let (entry, segment) = self.write_with_room(writer, guess, || {
            self.write_segment(&stream, &rows, (start.first, start.last), &stream.wishes, &[])
        })?;
        let digits = digits_of(&stream, &segment);
        let shares = self.shares();
        let generation_bytes = shares.map_or(GENERATION_BYTES, |s| s.generation().min(GENERATION_BYTES));
        let pinned = self.state().oldest_pinned(Some(index));
        if pinned.is_none() || writer.wal.generation_bytes() >= generation_bytes {
            writer.wal.rotate()?;
        }
        let after_newest = writer
            .wal
            .generation()
            .saturating_add(u64::from(writer.wal.needs_generation()));
        let sources = self.state().sources.clone();
        let plain = plain_bytes(&rows);
        let file = entry.file.clone();
        let change = |manifest: &mut Manifest| {
            manifest.oldest_generation = pinned.unwrap_or(after_newest);
            manifest.next_segment = manifest.next_segment.saturating_add(1);
            manifest.plain_bytes = manifest.plain_bytes.saturating_add(plain);
            manifest.sources = source_entries(&sources);
            let stream = &mut manifest.streams[index];
            stream.sealed = sealed;
            stream.digits = digits;
            stream.segments.push(entry);
        };
        let published = self.publish_and(writer, change, |state| {
            let live = &mut state.live[index];
            live.segments.push(Some(segment));
            live.tail.clear();
            live.tail_span = None;
        });
        if let Err(error) = published {
            self.discard(&file, &error);
            return Err(error);
        }
        self.remove_old_generations()
    }

    /// Writes rows sorted by (keys, time) as the next segment file, which nothing refers to yet. `sources` are the
    /// segments that the rows come from, if any: their values may have been moved.
    pub(super) fn write_segment(
        &self,
        stream: &StreamEntry,
        rows: &Batch,
        sequences: (u64, u64),
        wishes: &Wishes,
        sources: &[Arc<Segment>],
    ) -> Result<(SegmentEntry, Arc<Segment>)> {
        let hints = self.hints_of_all(stream, wishes, sources)?;
        self.write_file(wishes, |sink| {
            segment_writer::write(rows, sequences, &hints, sink)
        })
    }

    /// What is known of each column of a stream before rows of `sources`, or new ones, are encoded.
    pub(super) fn hints_of_all(
        &self,
        stream: &StreamEntry,
        wishes: &Wishes,
        sources: &[Arc<Segment>],
    ) -> Result<Vec<Hints>> {
        let columns = stream.schema.columns();
        let hints = columns.iter().map(|c| {
            Ok(Hints {
                carried: carried(sources, c.id)?.flatten(),
                text_block_bytes: Some(self.options.memory().text_block()),
                ..hints(stream, wishes, c.id)
            })
        });
        hints.collect()
    }

    /// Writes the next segment file, which nothing refers to yet.
    pub(super) fn write_file(
        &self,
        wishes: &Wishes,
        write: impl FnOnce(Sink<'_>) -> Result<SegmentInfo>,
    ) -> Result<(SegmentEntry, Arc<Segment>)> {
        let name = segment_file(self.state().manifest.next_segment);
        let beside = format!("{name}.new");
        let written = self.storage.create(&beside).and_then(|file| {
            let most = self.options.memory().file_buffer();
            let mut buffer = Vec::new();
            let info = write(&mut |bytes| {
                // Sections may be small, and each call of the system costs.
                if buffer.len() + bytes.len() > most {
                    file.append(&buffer)?;
                    buffer.clear();
                }
                if bytes.len() >= most {
                    return file.append(bytes);
                }
                buffer.extend_from_slice(bytes);
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
                    wishes: wishes.clone(),
                    pinned: false,
                    rung: Rung::default(),
                    tried: Rung::default(),
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
}

/// What is known of a column before it is encoded.
pub(super) fn hints(stream: &StreamEntry, wishes: &Wishes, id: ColumnId) -> Hints {
    let digits = stream.digits.iter().find(|(column, _)| *column == id);
    Hints {
        digits: digits.map(|(_, digits)| *digits),
        layout: wishes.of(id),
        ..Hints::default()
    }
}

/// The grids that the next segment should keep to: those of this one, else those of the ones before.
fn digits_of(stream: &StreamEntry, segment: &Segment) -> Vec<(ColumnId, u8)> {
    let columns = stream.schema.columns().iter();
    let digits = columns.filter_map(|spec| {
        let column = segment
            .position(spec.id)
            .and_then(|position| segment.column(position).ok().flatten());
        let known = || {
            stream
                .digits
                .iter()
                .find(|(id, _)| *id == spec.id)
                .map(|(_, digits)| *digits)
        };
        Some((spec.id, column.and_then(|column| column.digits()).or_else(known)?))
    });
    digits.collect()
}

/// Bytes of the rows in plain binary form.
fn plain_bytes(rows: &Batch) -> u64 {
    let columns = rows.schema().columns().iter().zip(&rows.columns);
    let values = columns.map(|(spec, column)| ColumnTotals::of(spec.ty, column).plain_bytes);
    rows.len() as u64 * 8 + values.sum::<u64>()
}
