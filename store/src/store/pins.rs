//! Pinning rows, and keeping what is pinned when the rest of a segment goes.

use super::room::{Victim, note_loss};
use super::{Store, Writer, locked};
use crate::batch::Batch;
use crate::error::Result;
use crate::keep::{Loss, LossKind, Pin};
use crate::log::manifest::Manifest;
use crate::snapshot::Snapshot;
use crate::tail::order;

impl Store {
    pub(super) fn list_pins(&self, stream: &str) -> Result<Vec<Pin>> {
        self.refresh()?;
        let state = self.state();
        let index = state.stream(stream)?;
        let entry = &state.manifest.streams[index];
        Ok(entry.pins.list(&entry.schema))
    }

    /// Pins rows, or lets them go.
    pub(super) fn change_pins(&self, stream: &str, changes: &[Pin], pinned: bool) -> Result<()> {
        let writer = self.writer()?;
        let _turn = locked(&writer.turn);
        let (index, schema, before, mut segments) = {
            let state = self.state();
            let index = state.stream(stream)?;
            let entry = &state.manifest.streams[index];
            let ranges: Vec<(i64, i64)> = entry.segments.iter().map(|s| s.time_range).collect();
            (index, entry.schema.clone(), entry.pins.clone(), ranges)
        };
        segments.sort_unstable();
        let newest = segments.iter().map(|range| range.1).max();
        let mut pins = before.clone();
        for change in changes {
            if pinned {
                pins.add(change, &schema)?;
            } else {
                pins.remove(change, &schema)?;
            }
            pins.bound(|stretch| {
                let in_segment = segments
                    .iter()
                    .any(|range| stretch.start <= range.1 && range.0 < stretch.end);
                in_segment || newest.is_none_or(|newest| newest < stretch.end)
            });
        }
        if pins == before {
            return Ok(());
        }
        // What was kept of larger segments for a pin is like any other segment without it. Where another key is still
        // pinned, what the segment holds is looked at when its turn comes.
        let let_go = |(first, last): (i64, i64)| {
            let times = changes.iter().map(|change| &change.times);
            !pinned
                && times
                    .into_iter()
                    .any(|times| times.start <= last && first < times.end)
        };
        self.publish(writer, |manifest| {
            let stream = &mut manifest.streams[index];
            for entry in &mut stream.segments {
                entry.pinned &= pins.touch(entry.time_range) && !let_go(entry.time_range);
            }
            stream.pins = pins;
        })
    }

    /// Keeps the pinned rows of a segment, and lets the others go. The caller has the turn.
    pub(super) fn carve(&self, writer: &Writer, victim: Victim) -> Result<()> {
        let Victim { index, at, cause } = victim;
        let (stream, segment) = {
            let mut state = self.state();
            let segment = state.open_segment(index, at, &*self.storage)?;
            (state.manifest.streams[index].clone(), segment)
        };
        let old = &stream.segments[at];
        // A row of buckets stands for many; they stay together.
        if segment.buckets().is_some() {
            return self.publish(writer, |manifest| {
                manifest.streams[index].segments[at].pinned = true;
            });
        }
        let snapshot = Snapshot::new(stream.schema.clone(), vec![segment.clone()], None);
        let columns = stream.schema.columns().iter();
        let columns: Vec<&str> = columns.map(|column| column.name.as_str()).collect();
        let mut rows = Batch::new(stream.schema.clone());
        let pinned = stream.pins.rows(old.time_range, &stream.schema);
        for batch in snapshot.scan(&columns, &pinned)? {
            let batch = batch?;
            order::append(&mut rows, &batch, 0..batch.len());
        }
        if rows.is_empty() {
            return self.drop_segments(writer, &[victim]);
        }
        if rows.len() as u64 == old.rows {
            return self.publish(writer, |manifest| {
                manifest.streams[index].segments[at].pinned = true;
            });
        }
        let guess = self.guess_segment(index, rows.len() as u64, rows.memory_bytes());
        // Nothing else may go for it: positions would change.
        if !self.has_room_beside(writer, guess) {
            return self.drop_segments(writer, &[victim]);
        }
        let (mut entry, kept) = self.write_segment(&stream, &rows, old.sequences, &old.wishes, &[segment])?;
        (entry.pinned, entry.rung, entry.tried) = (true, old.rung, old.tried);
        let file = entry.file.clone();
        let loss = Loss {
            kind: LossKind::Dropped,
            cause,
            time_range: old.time_range,
            rows: old.rows - entry.rows,
            bytes: old.bytes.saturating_sub(entry.bytes),
        };
        let change = |manifest: &mut Manifest| {
            manifest.next_segment = manifest.next_segment.saturating_add(1);
            let stream = &mut manifest.streams[index];
            stream.segments[at] = entry;
            note_loss(stream, loss);
        };
        let published = self.publish_and(writer, change, |state| {
            state.live[index].segments[at] = Some(kept);
        });
        if let Err(error) = published {
            self.discard(&file, &error);
            return Err(error);
        }
        self.storage.remove(&old.file)?;
        self.settle(writer)
    }
}
