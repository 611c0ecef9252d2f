//! Pinning stretches of time, and keeping what is pinned when the rest of a segment goes.

use std::ops::Range;

use super::room::{Victim, note_loss};
use super::{Store, Writer, locked};
use crate::batch::Batch;
use crate::error::Result;
use crate::keep::pins::{self, Pins};
use crate::keep::{Loss, LossKind};
use crate::log::manifest::{Manifest, SegmentEntry};
use crate::predicate::Predicate;
use crate::snapshot::Snapshot;
use crate::tail::order;
use crate::value::Value;

impl Store {
    pub(super) fn pinned_stretches(&self, stream: &str) -> Result<Vec<Range<i64>>> {
        self.refresh()?;
        let state = self.state();
        let index = state.stream(stream)?;
        Ok(state.manifest.streams[index].pins.stretches().to_vec())
    }

    /// Pins stretches of time, or lets them go.
    pub(super) fn change_pins(&self, stream: &str, stretches: &[Range<i64>], pinned: bool) -> Result<()> {
        let writer = self.writer()?;
        let _turn = locked(&writer.turn);
        stretches.iter().try_for_each(pins::check)?;
        let (index, before, mut segments) = {
            let state = self.state();
            let index = state.stream(stream)?;
            let entry = &state.manifest.streams[index];
            let ranges: Vec<(i64, i64)> = entry.segments.iter().map(|s| s.time_range).collect();
            (index, entry.pins.clone(), ranges)
        };
        segments.sort_unstable();
        let newest = segments.iter().map(|range| range.1).max();
        let mut pins = before.clone();
        for stretch in stretches {
            if pinned {
                pins.add(stretch.clone());
            } else {
                pins.remove(stretch);
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
        // What was kept of larger segments for a pin is like any other segment without it.
        self.publish(writer, |manifest| {
            let stream = &mut manifest.streams[index];
            for entry in &mut stream.segments {
                entry.pinned &= pins.touch(entry.time_range);
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
        for batch in snapshot.scan(
            &columns,
            &pinned_rows(&stream.pins, old, stream.schema.time_name()),
        )? {
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

/// The rows of a segment that are pinned.
fn pinned_rows(pins: &Pins, entry: &SegmentEntry, time: &str) -> Predicate {
    let (first, last) = entry.time_range;
    let stretches = pins.stretches().iter();
    let inside = stretches.filter(|stretch| stretch.start <= last && first < stretch.end);
    let between = |stretch: &Range<i64>| {
        Predicate::And(vec![
            Predicate::ge(time, Value::Timestamp(stretch.start)),
            Predicate::lt(time, Value::Timestamp(stretch.end)),
        ])
    };
    Predicate::Or(inside.map(between).collect())
}
