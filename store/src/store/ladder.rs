//! Taking sealed rows down the ladder: by age, and when the budget runs full.
//!
//! Age counts from the newest row of the stream, so a clock that jumps ages nothing; a row that lies in the future of
//! the system's clock counts as now. Each step writes a segment beside and swaps it in the manifest; where the new file
//! is not a tenth smaller, the old one stays, and the manifest remembers that it was tried. One column of the segments
//! at hand is in memory at a time.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::room::note_loss;
use super::seal::hints;
use super::state::State;
use super::{Store, Writer, locked};
use crate::codes::choose::{Layout, MiniBlock};
use crate::column::Hints;
use crate::domain::bounded::Tolerance;
use crate::error::{Error, Result};
use crate::keep::ladder::{is_worth, units};
use crate::keep::{Cause, Loss, LossKind, Retention, Rung};
use crate::log::manifest::{Manifest, SegmentEntry, StreamEntry, Wishes};
use crate::schema::ColumnId;
use crate::segment::downsample::downsample;
use crate::segment::rewrite::rewrite;
use crate::segment::{Segment, carried};

/// Share of the budget above which `maintain` takes rows down that may go down when it is full.
const FULL: (u64, u64) = (3, 4);

/// Most segments that are downsampled together.
const MOST: usize = 64;
/// Bytes that a row of a piece takes while buckets are made, with what is known of one channel of it.
const BUCKET_BYTES: u64 = 512;

/// Segments that are to go down together.
#[derive(Debug)]
struct Descent {
    /// Position of the stream.
    index: usize,
    /// Positions of the segments.
    at: Range<usize>,
    /// Position of the one that is due; the others come along.
    due: usize,
    to: Rung,
    cause: Cause,
    stream: StreamEntry,
}

impl Store {
    /// Takes down what is due, giving way to appends between two segments. Damaged segments stay as they are.
    pub(super) fn descend_all(&self) -> Result<()> {
        let writer = self.writer()?;
        let mut damaged = Vec::new();
        let mut first_error = None;
        loop {
            let turn = locked(&writer.turn);
            let Some(next) = self.next_descent(writer, &damaged) else {
                return first_error.map_or(Ok(()), Err);
            };
            let done = self.descend(writer, &next);
            drop(turn);
            match done {
                Ok(()) => {}
                Err(error @ (Error::Corrupt { .. } | Error::UnsupportedVersion { .. })) => {
                    let files = next.stream.segments[next.at].iter();
                    damaged.extend(files.map(|entry| entry.file.clone()));
                    first_error.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn next_descent(&self, writer: &Writer, damaged: &[String]) -> Option<Descent> {
        let state = self.state();
        let is_full =
            state.manifest.budget > 0 && writer.room.used() > state.manifest.budget / FULL.1 * FULL.0;
        let mut best: Option<(i64, Descent)> = None;
        for (index, stream) in state.manifest.streams.iter().enumerate() {
            let Some(newest) = newest(stream, state.live[index].tail.newest()) else {
                continue;
            };
            for (at, entry) in stream.segments.iter().enumerate() {
                let old = age(stream, newest, entry);
                let by_age = allowed(stream, entry, stream.retention.due(old));
                let when_full = allowed(stream, entry, stream.retention.due_when_full());
                let (to, cause) = if by_age > reached(entry) || !is_full {
                    (by_age, Cause::Age)
                } else {
                    (when_full, Cause::Full)
                };
                if to <= reached(entry) || damaged.contains(&entry.file) {
                    continue;
                }
                // The oldest of all streams first.
                let behind = i64::try_from(old.as_secs()).unwrap_or(i64::MAX);
                if best.as_ref().is_none_or(|(most, _)| behind > *most) {
                    let descent = Descent {
                        index,
                        at: at..at + 1,
                        due: at,
                        to,
                        cause,
                        stream: stream.clone(),
                    };
                    best = Some((behind, descent));
                }
            }
        }
        let mut descent = best.map(|(_, descent)| descent)?;
        if descent.to == Rung::Downsampled {
            descent.at = self.group(&descent, &state, damaged);
        }
        Some(descent)
    }

    /// Neighbours that are downsampled together with the one that is due: small files cost whole blocks, and a bucket
    /// on the border of two would stay two rows.
    fn group(&self, descent: &Descent, state: &State, damaged: &[String]) -> Range<usize> {
        let stream = &state.manifest.streams[descent.index];
        let segments = &stream.segments;
        let newest = newest(stream, state.live[descent.index].tail.newest());
        let fitting = self.options.memory().tails() / BUCKET_BYTES;
        let is_due = |entry: &SegmentEntry| {
            let due = newest.map_or(Rung::Sealed, |newest| {
                stream.retention.due(age(stream, newest, entry))
            });
            reached(entry) < Rung::Downsampled
                && allowed(stream, entry, due) == Rung::Downsampled
                && !damaged.contains(&entry.file)
        };
        let Range { mut start, mut end } = descent.at.clone();
        let (mut rows, mut bytes) = (segments[start].rows, segments[start].bytes);
        while end < segments.len() && end - start < MOST && is_due(&segments[end]) {
            rows = rows.saturating_add(segments[end].rows);
            if rows > fitting {
                break;
            }
            bytes = bytes.saturating_add(segments[end].bytes);
            end += 1;
        }
        // Buckets made before come along where that is little beside what is new.
        while let Some(before) = start.checked_sub(1).map(|at| &segments[at]) {
            let is_small = before.rung == Rung::Downsampled
                && before.tried == Rung::Downsampled
                && before.bytes.saturating_mul(4) <= bytes;
            let has_room = end - start < MOST && rows.saturating_add(before.rows) <= fitting;
            if !is_small || !has_room || before.pinned || damaged.contains(&before.file) {
                break;
            }
            rows += before.rows;
            start -= 1;
        }
        start..end
    }

    /// Writes segments again on a lower rung and swaps them, or remembers that it is not worth it.
    /// The caller has the turn.
    fn descend(&self, writer: &Writer, descent: &Descent) -> Result<()> {
        let (index, to) = (descent.index, descent.to);
        let stream = &descent.stream;
        let every = match stream.retention.every {
            Some(every) if to == Rung::Downsampled => units(every, stream.schema.time_unit().per_second())?,
            _ => 0,
        };
        let mut segments: Vec<Arc<Segment>> = {
            let mut state = self.state();
            let opened = descent.at.clone();
            let opened = opened.map(|at| state.open_segment(index, at, &*self.storage));
            opened.collect::<Result<_>>()?
        };
        // Buckets of another policy that do not fit into these stay by themselves.
        let misfit = |segment: &Arc<Segment>| segment.buckets().is_some_and(|own| every % own.every != 0);
        let due = descent.due - descent.at.start;
        if segments.get(due).is_some_and(misfit) {
            return self.publish(writer, |manifest| {
                manifest.streams[index].segments[descent.due].tried = to;
            });
        }
        let end = segments.iter().skip(due).position(misfit);
        segments.truncate(end.map_or(segments.len(), |end| due + end));
        let fitting = segments.iter().rposition(misfit).map_or(0, |last| last + 1);
        segments.drain(..fitting);
        let start = descent.at.start + fitting;
        let mut at = start..start + segments.len();
        // Absolute and relative errors do not add up: then one that has rows as they came goes by itself.
        let mut channels = stream.schema.channels().iter();
        if !channels.try_fold(true, |all, spec| {
            Ok::<_, Error>(all && carried(&segments, spec.id)?.is_some())
        })? {
            let alone = descent.due - at.start;
            at = at.start + alone..at.start + alone + 1;
            segments = segments.drain(alone..=alone).collect();
        }
        let old = &stream.segments[at.clone()];
        let wishes = Wishes {
            all: Layout::Small(MiniBlock::Rows256),
            columns: Vec::new(),
        };
        let before: u64 = old.iter().map(|entry| entry.bytes).sum();
        let (mut new, segment) = self.write_with_room(writer, before, || {
            self.write_file(&wishes, |sink| match segments.as_slice() {
                [segment] if to < Rung::Downsampled => rewrite(
                    segment,
                    &|id| Hints {
                        tolerance: tolerance_of(stream, to, id),
                        ..hints(stream, &wishes, id)
                    },
                    sink,
                ),
                _ => {
                    let layout = Hints {
                        layout: wishes.all,
                        ..Hints::default()
                    };
                    downsample(&segments, &stream.schema, every, &layout, sink)
                }
            })
        })?;
        let file = new.file.clone();
        // Making room may have let segments go, and then these are not where they were.
        let stays = self.state().manifest.streams[index].segments.get(at.clone()) == Some(old);
        if !stays {
            self.discard(&file, &Error::invalid(""));
            return Ok(());
        }
        if !is_worth(before, new.bytes) {
            self.discard(&file, &Error::invalid(""));
            return self.publish(writer, |manifest| {
                for entry in &mut manifest.streams[index].segments[at.clone()] {
                    entry.tried = entry.tried.max(to);
                }
            });
        }
        (new.rung, new.tried) = (to, to);
        new.pinned = old.iter().all(|entry| entry.pinned);
        let loss = Loss {
            kind: match to {
                Rung::Downsampled => LossKind::Downsampled,
                _ => LossKind::Bounded,
            },
            cause: descent.cause,
            time_range: (
                old.iter()
                    .map(|entry| entry.time_range.0)
                    .min()
                    .unwrap_or_default(),
                old.iter()
                    .map(|entry| entry.time_range.1)
                    .max()
                    .unwrap_or_default(),
            ),
            // Buckets made before were written down then.
            rows: old
                .iter()
                .filter(|entry| entry.rung < to)
                .map(|entry| entry.rows)
                .sum(),
            bytes: before - new.bytes,
        };
        let change = |manifest: &mut Manifest| {
            manifest.next_segment = manifest.next_segment.saturating_add(1);
            let stream = &mut manifest.streams[index];
            stream.segments.splice(at.clone(), [new]);
            if to.is_lossy() {
                note_loss(stream, loss);
            }
        };
        let published = self.publish_and(writer, change, |state| {
            state.live[index].segments.splice(at.clone(), [Some(segment)]);
        });
        if let Err(error) = published {
            self.discard(&file, &error);
            return Err(error);
        }
        // Who reads them keeps their bytes; a reader that comes too late starts again from the manifest.
        for entry in old {
            self.storage.remove(&entry.file)?;
        }
        self.settle(writer)
    }
}

/// The rung that a segment came to, or that was tried; buckets that may become longer have not come to the end.
fn reached(entry: &SegmentEntry) -> Rung {
    match (entry.rung, entry.tried) {
        (Rung::Downsampled, Rung::Downsampled) => Rung::Downsampled,
        (Rung::Downsampled, _) => Rung::Bounded,
        (rung, tried) => rung.max(tried),
    }
}

/// The rung that a segment may go down to: pinned rows keep their values.
fn allowed(stream: &StreamEntry, entry: &SegmentEntry, rung: Rung) -> Rung {
    if !rung.is_lossy() || !(entry.pinned || stream.pins.touch(entry.time_range)) {
        return rung;
    }
    if stream.retention.has(Rung::Small) {
        Rung::Small
    } else {
        Rung::Sealed
    }
}

/// Time that age counts from.
fn newest(stream: &StreamEntry, tail: Option<i64>) -> Option<i64> {
    let sealed = stream.segments.iter().map(|entry| entry.time_range.1);
    let newest = sealed.chain(tail).max()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let unit_ns = 1_000_000_000 / stream.schema.time_unit().per_second().unsigned_abs();
    let now = i64::try_from(now.as_nanos() / u128::from(unit_ns)).unwrap_or(i64::MAX);
    Some(newest.min(now))
}

fn age(stream: &StreamEntry, newest: i64, entry: &SegmentEntry) -> Duration {
    let units = u64::try_from(i128::from(newest) - i128::from(entry.time_range.1)).unwrap_or(0);
    let per_second = stream.schema.time_unit().per_second().unsigned_abs();
    let nanos = units % per_second * (1_000_000_000 / per_second);
    Duration::new(units / per_second, u32::try_from(nanos).unwrap_or(0))
}

/// How far values of a column may be moved on `rung`.
fn tolerance_of(stream: &StreamEntry, rung: Rung, id: ColumnId) -> Option<Tolerance> {
    if rung < Rung::Bounded || !stream.retention.has(Rung::Bounded) {
        return None;
    }
    let spec = stream.schema.columns().iter().find(|spec| spec.id == id)?;
    tolerance(&stream.retention, &spec.name)
}

fn tolerance(retention: &Retention, name: &str) -> Option<Tolerance> {
    let own = retention.tolerances.iter().find(|(column, _)| column == name);
    own.map(|(_, tolerance)| *tolerance)
}
