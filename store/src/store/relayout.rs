//! Giving sealed rows another layout: each segment is written again, column by column, and swapped in the manifest.

use super::seal::hints;
use super::{Layouts, Store, Writer, locked};
use crate::column::Hints;
use crate::error::{Error, Result};
use crate::keep::Rung;
use crate::log::manifest::{Manifest, SegmentEntry, StreamEntry, Wishes};
use crate::segment::rewrite::rewrite;

/// A segment that was given other layouts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relaid {
    /// Name of the file that took its place.
    pub file: String,
    /// Rows.
    pub rows: u64,
    /// Bytes of the file before.
    pub bytes_before: u64,
    /// Bytes of the file after.
    pub bytes_after: u64,
    /// Segments that are still to be done.
    pub left: u64,
}

/// A segment that is to be written again.
pub(super) struct Due {
    /// Position of the stream.
    pub index: usize,
    /// Position of the segment.
    pub at: usize,
    /// Segments to be done after this one.
    pub left: u64,
    /// The stream.
    pub stream: StreamEntry,
    /// What the segment is to be written with.
    pub wishes: Wishes,
}

impl Store {
    pub(super) fn relayout_stream(
        &self,
        stream: &str,
        layouts: &Layouts,
        before: Option<i64>,
        progress: &mut dyn FnMut(&Relaid),
    ) -> Result<()> {
        let writer = self.writer()?;
        let mut damaged: Vec<String> = Vec::new();
        let mut first_error = None;
        loop {
            // Appends, seals and merges may come in between, so each turn looks anew.
            let turn = locked(&writer.turn);
            let Some(next) = self.next_due_segment(stream, layouts, before, &damaged)? else {
                return first_error.map_or(Ok(()), Err);
            };
            let relaid = self.relayout_one(writer, &next);
            drop(turn);
            match relaid {
                Ok(relaid) => progress(&relaid),
                Err(error @ (Error::Corrupt { .. } | Error::UnsupportedVersion { .. })) => {
                    damaged.push(next.stream.segments[next.at].file.clone());
                    first_error.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn next_due_segment(
        &self,
        stream: &str,
        layouts: &Layouts,
        before: Option<i64>,
        damaged: &[String],
    ) -> Result<Option<Due>> {
        let state = self.state();
        let index = state.stream(stream)?;
        let entry = &state.manifest.streams[index];
        let wishes = layouts.resolve(&entry.schema)?;
        let is_due = |segment: &SegmentEntry| {
            segment.wishes != wishes
                && segment.rung < Rung::Downsampled
                && before.is_none_or(|before| segment.time_range.1 < before)
                && !damaged.contains(&segment.file)
        };
        let due = entry.segments.iter().filter(|segment| is_due(segment)).count() as u64;
        let first = entry.segments.iter().position(is_due);
        Ok(first.map(|at| Due {
            index,
            at,
            left: due - 1,
            stream: entry.clone(),
            wishes,
        }))
    }

    /// Writes a segment again and swaps it. The caller has the turn.
    pub(super) fn relayout_one(&self, writer: &Writer, due: &Due) -> Result<Relaid> {
        let Due { index, at, .. } = *due;
        let segment = self.state().open_segment(index, at, &*self.storage)?;
        let old = &due.stream.segments[at];
        let (new, segment) = self.write_file(&due.wishes, |sink| {
            let hints = |id| Hints {
                text_block_bytes: Some(self.options.memory().text_block()),
                ..hints(&due.stream, &due.wishes, id)
            };
            rewrite(&segment, &hints, sink)
        })?;
        debug_assert_eq!((new.rows, new.sequences), (old.rows, old.sequences));
        let relaid = Relaid {
            file: new.file.clone(),
            rows: new.rows,
            bytes_before: old.bytes,
            bytes_after: new.bytes,
            left: due.left,
        };
        let change = |manifest: &mut Manifest| {
            manifest.next_segment = manifest.next_segment.saturating_add(1);
            let slot = &mut manifest.streams[index].segments[at];
            let before = std::mem::replace(slot, new);
            (slot.rung, slot.tried, slot.pinned) = (before.rung, before.tried, before.pinned);
        };
        let published = self.publish_and(writer, change, |state| {
            state.live[index].segments[at] = Some(segment);
        });
        if let Err(error) = published {
            self.discard(&relaid.file, &error);
            return Err(error);
        }
        // Who reads it keeps its bytes; a reader that comes too late starts again from the manifest.
        self.storage.remove(&old.file)?;
        Ok(relaid)
    }
}
