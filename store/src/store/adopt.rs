//! Segments of a damaged store that a new one takes over as what they are: rows in buckets, and values within an error.
//!
//! They keep their sequence numbers, behind which those of the new store begin.

use std::sync::Arc;

use super::{Store, Writer, locked};
use crate::batch::{Batch, BatchColumn};
use crate::codes::choose::{Layout, MiniBlock};
use crate::column::Hints;
use crate::error::{Error, Result};
use crate::keep::Rung;
use crate::log::manifest::{SegmentEntry, StreamEntry, Wishes};
use crate::rows::RowRanges;
use crate::schema::{ColumnSpec, Schema, SharedSchema};
use crate::segment::Segment;
use crate::segment::buckets::Role;
use crate::segment::downsample::downsample;

/// Rows looked at together.
const CHUNK: u64 = 8_192;

/// What became of a downsampled segment.
pub(super) struct Adopted {
    /// Rows that its rows stand for.
    pub rows: u64,
    /// Its rows.
    pub buckets: u64,
    /// Channels of which something is damaged: they are null now.
    pub lost: Vec<(String, Error)>,
}

impl Store {
    /// Takes over a downsampled segment, without channels of which something is damaged.
    ///
    /// # Errors
    /// `Corrupt` if more than channels is; `Io`.
    pub(super) fn adopt_buckets(&self, stream: &StreamEntry, segment: &Arc<Segment>) -> Result<Adopted> {
        let every = segment.buckets().map_or(0, |buckets| buckets.every);
        let (mut kept, mut lost): (Vec<ColumnSpec>, _) = (stream.schema.keys().to_vec(), Vec::new());
        for spec in stream.schema.channels() {
            match check_channel(segment, spec) {
                Ok(()) => kept.push(spec.clone()),
                Err(error) => lost.push((spec.name.clone(), error)),
            }
        }
        let schema = &stream.schema;
        let schema: SharedSchema = Arc::new(Schema::from_parts(
            schema.time_name().to_owned(),
            schema.time_unit(),
            schema.keys().len(),
            kept,
            schema.next_id(),
        )?);
        let wishes = Wishes {
            all: Layout::Small(MiniBlock::Rows256),
            columns: Vec::new(),
        };
        let hints = Hints {
            layout: wishes.all,
            ..Hints::default()
        };
        let rows = segment.weight(&RowRanges::single(0..segment.rows()))?;
        let source = [Arc::clone(segment)];
        let writer = self.writer()?;
        let _turn = locked(&writer.turn);
        let (mut entry, written) =
            self.write_file(&wishes, |sink| downsample(&source, &schema, every, &hints, sink))?;
        (entry.rung, entry.tried) = (Rung::Downsampled, Rung::Downsampled);
        self.take_up(writer, &stream.name, entry, written)?;
        Ok(Adopted {
            rows,
            buckets: segment.rows(),
            lost,
        })
    }

    /// Takes over rows of a segment whose values are within an error, sorted by (keys, time).
    ///
    /// # Errors
    /// `Corrupt` if it cannot be said how far values were moved; `Io`.
    pub(super) fn adopt_bounded(
        &self,
        stream: &StreamEntry,
        old: &SegmentEntry,
        segment: &Arc<Segment>,
        rows: &Batch,
    ) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let writer = self.writer()?;
        let _turn = locked(&writer.turn);
        let source = [Arc::clone(segment)];
        let sequences = segment.info().sequences;
        let (mut entry, written) = self.write_segment(stream, rows, sequences, &old.wishes, &source)?;
        (entry.rung, entry.tried, entry.pinned) = (Rung::Bounded, Rung::Bounded, old.pinned);
        self.take_up(writer, &stream.name, entry, written)
    }

    /// Puts a segment that was written among those of a stream. The caller has the turn.
    fn take_up(
        &self,
        writer: &Writer,
        stream: &str,
        entry: SegmentEntry,
        segment: Arc<Segment>,
    ) -> Result<()> {
        let (index, at) = {
            let state = self.state();
            let index = state.stream(stream)?;
            let segments = &state.manifest.streams[index].segments;
            (
                index,
                segments.partition_point(|known| known.sequences <= entry.sequences),
            )
        };
        let file = entry.file.clone();
        let published = self.publish_and(
            writer,
            |manifest| {
                manifest.next_segment = manifest.next_segment.saturating_add(1);
                manifest.streams[index].segments.insert(at, entry);
            },
            |state| state.live[index].segments.insert(at, Some(segment)),
        );
        published.inspect_err(|error| self.discard(&file, error))
    }
}

/// Reads all that is known of a channel.
fn check_channel(segment: &Segment, spec: &ColumnSpec) -> Result<()> {
    let mut start = 0;
    while start < segment.rows() {
        let rows = start..segment.rows().min(start + CHUNK);
        if spec.ty.is_binary() {
            if let Some(position) = segment.position(spec.id) {
                if let Some(column) = segment.column(position)? {
                    column.decode(rows.clone(), &mut BatchColumn::new(spec.ty))?;
                }
            }
            segment.companion_keys(spec.id, Role::Count, 0, rows.clone())?;
        } else {
            segment.cells(spec.id, spec.ty, rows.clone())?;
        }
        start = rows.end;
    }
    Ok(())
}
