//! Keeping to the budget: what goes when there is no room, and when rows are old.
//!
//! Rows go by whole segments: the manifest that does not count them any more is safe before they are unlinked, and says
//! what was lost. Those go first that hold nothing pinned and nothing that a cursor has still to read; among them those
//! that came first.

use super::{Store, Writer, locked};
use crate::error::{Error, Result};
use crate::keep::budget::{Shares, in_blocks};
use crate::keep::pins::Pins;
use crate::keep::room::{ByRole, Role};
use crate::keep::{Cause, Loss, LossKind, Retention, Rung, losses};
use crate::log::manifest::{Manifest, SegmentEntry, StreamEntry};
use crate::rows::RowRanges;

/// Share of a budget that goes at once when something has to, so that not every append writes a manifest.
const SLICE: u64 = 64;
/// How often room is made for one write whose size was guessed wrong.
const ATTEMPTS: usize = 32;

/// What a store takes, and may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Most bytes that the directory may take; `None` for any number.
    pub budget: Option<u64>,
    /// Bytes that it takes, each file in whole blocks of 4 KiB; `None` in a reading process.
    pub used: Option<u64>,
    /// Bytes handed to the file system since the store was made, by what they were for.
    pub written: ByRole,
    /// Bytes in plain binary form of all rows sealed since the store was made.
    pub plain_bytes: u64,
}

/// A segment that is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Victim {
    /// Position of the stream.
    pub index: usize,
    /// Position of the segment.
    pub at: usize,
    /// Why.
    pub cause: Cause,
}

/// What a segment holds that should not go, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    Old,
    Unread,
    Pinned,
}

impl Store {
    pub(super) fn usage_now(&self) -> Usage {
        let _ = self.refresh();
        let state = self.state();
        let room = self.writer.as_ref().map(|writer| &writer.room);
        Usage {
            budget: Some(state.manifest.budget).filter(|budget| *budget > 0),
            used: room.map(|room| room.used()),
            written: room.map_or(state.manifest.written, |room| room.written()),
            plain_bytes: state.manifest.plain_bytes,
        }
    }

    /// How the budget is shared out, if there is one.
    pub(super) fn shares(&self) -> Option<Shares> {
        let budget = self.state().manifest.budget;
        self.shares_of(budget)
    }

    fn shares_of(&self, budget: u64) -> Option<Shares> {
        let room = self.writer.as_ref().map(|writer| &writer.room);
        let manifest = room.map_or(0, |room| room.used_by(Role::Manifest));
        (budget > 0).then_some(Shares { budget, manifest })
    }

    /// Goes over to the budget that the store was opened with. `unsure` bytes of the log will be written again.
    ///
    /// # Errors
    /// `InvalidArgument` if no store could work with it; `BudgetFull` if what must stay does not fit.
    pub(super) fn adopt_budget(&self, unsure: u64) -> Result<()> {
        let before = self.state().manifest.budget;
        self.go_over_to(self.options.budget.unwrap_or(before), unsure)
    }

    /// Goes over to a budget, 0 for none.
    ///
    /// # Errors
    /// `InvalidArgument` if no store could work with it; `BudgetFull` if what must stay does not fit.
    pub(super) fn keep_to(&self, budget: u64) -> Result<()> {
        let writer = self.writer()?;
        let _turn = locked(&writer.turn);
        self.go_over_to(budget, 0)
    }

    fn go_over_to(&self, budget: u64, unsure: u64) -> Result<()> {
        let writer = self.writer()?;
        let before = self.state().manifest.budget;
        if let Some(shares) = self.shares_of(budget) {
            let room = &writer.room;
            self.settle(writer)?;
            let kept = [Role::Log, Role::Segment].map(|role| room.used_by(role));
            shares.check(room.used().saturating_sub(kept.iter().sum()))?;
            let most = shares.for_segments();
            let unsure = in_blocks(unsure);
            match self.free(writer, unsure, shares.for_adding()) {
                // Nothing may go, but what is there can stay.
                Err(Error::BudgetFull { .. }) if room.used() + unsure <= most => {}
                Err(Error::BudgetFull { used, needed, .. }) => {
                    return Err(Error::BudgetFull { budget, used, needed });
                }
                freed => freed?,
            }
        }
        if budget != before {
            self.publish(writer, |manifest| manifest.budget = budget)?;
        }
        self.limit_room(writer);
        Ok(())
    }

    /// Tells the door to the disk what may pass it.
    pub(super) fn limit_room(&self, writer: &Writer) {
        let shares = self.shares();
        let for_manifest = shares.map_or(0, Shares::for_manifest);
        writer
            .room
            .set_budget(shares.map(|shares| shares.budget), for_manifest);
    }

    /// Makes room for `frames` bytes of log, so that the log keeps to its share: by sealing, then by letting go.
    /// The caller has the turn.
    pub(super) fn make_room_in_log(&self, writer: &Writer, frames: u64) -> Result<()> {
        let Some(shares) = self.shares() else {
            return Ok(());
        };
        // A block more for where the file ends, and one for the header of a generation.
        let needed = in_blocks(frames) + 2 * crate::keep::budget::BLOCK_BYTES;
        if needed > shares.log() {
            return Err(Error::invalid(format!(
                "these rows take {frames} bytes in the log, and a budget of {} bytes leaves {} to it: append fewer rows \
                 at a time",
                shares.budget,
                shares.log()
            )));
        }
        while writer.room.used_by(Role::Log) + needed > shares.log() {
            let pinning = {
                let state = self.state();
                let tails = state.live.iter().enumerate();
                let spans = tails.filter_map(|(index, live)| Some((index, live, live.tail_span?)));
                let oldest = spans.min_by_key(|(_, live, span)| {
                    (span.generation, std::cmp::Reverse(live.tail.memory_bytes()))
                });
                oldest.map(|(index, ..)| index)
            };
            match pinning {
                Some(index) => self.seal_tail(writer, index)?,
                None => break,
            }
        }
        self.free(writer, needed, shares.for_adding())
    }

    /// Whether a tail of so many rows, which take so much memory, is a whole segment of this budget.
    pub(super) fn fills_segment(&self, index: usize, rows: u64, memory_bytes: usize) -> bool {
        let Some(shares) = self.shares() else {
            return false;
        };
        self.guess_segment(index, rows, memory_bytes) > shares.segment()
    }

    /// Bytes that a segment of so many rows will take, going by the one before.
    pub(super) fn guess_segment(&self, index: usize, rows: u64, memory_bytes: usize) -> u64 {
        let state = self.state();
        let segments = &state.manifest.streams[index].segments;
        match segments.last().filter(|last| last.rows > 0) {
            Some(last) => {
                let bytes = u128::from(last.bytes) * u128::from(rows) / u128::from(last.rows);
                u64::try_from(bytes).unwrap_or(u64::MAX)
            }
            None => memory_bytes as u64,
        }
    }

    /// Runs `write`, which writes about `guess` bytes beside the rest, and makes room for as long as it lacks.
    pub(super) fn write_with_room<T>(
        &self,
        writer: &Writer,
        guess: u64,
        write: impl Fn() -> Result<T>,
    ) -> Result<T> {
        let Some(shares) = self.shares() else {
            return write();
        };
        let most = shares.for_segments();
        // If the guess does not fit, the write may fit all the same.
        match self.free(writer, in_blocks(guess), most) {
            Err(Error::BudgetFull { .. }) => {}
            freed => freed?,
        }
        for _ in 0..ATTEMPTS {
            match write() {
                Err(Error::BudgetFull { used, needed, .. }) => {
                    // The half that was written is gone by now, and will come again.
                    self.settle(writer)?;
                    let again = used.saturating_sub(writer.room.used()).saturating_add(needed);
                    self.free(writer, again.max(shares.budget / SLICE), most)?;
                }
                written => return written,
            }
        }
        write()
    }

    /// Lets segments go until `needed` bytes more fit into `most`. The caller has the turn.
    ///
    /// # Errors
    /// `BudgetFull` if the policies let too little go: then nothing went.
    pub(super) fn free(&self, writer: &Writer, needed: u64, most: u64) -> Result<()> {
        loop {
            let over = || writer.room.used().saturating_add(needed).saturating_sub(most);
            if over() > 0 {
                self.settle(writer)?;
            }
            let over = over();
            if over == 0 {
                return Ok(());
            }
            let (victims, freed) = self.victims(over.max(most / SLICE), false);
            if freed < over || victims.is_empty() {
                return Err(Error::BudgetFull {
                    budget: self.state().manifest.budget,
                    used: writer.room.used(),
                    needed,
                });
            }
            self.drop_segments(writer, &victims)?;
        }
    }

    /// Makes unlinked names stay away, so that what they took is free.
    pub(super) fn settle(&self, writer: &Writer) -> Result<()> {
        for directory in writer.room.unsettled() {
            self.storage.sync_directory(&directory)?;
        }
        Ok(())
    }

    /// Segments that may go, the first first, until they take `wanted` bytes; and what they take. `carving` takes those
    /// that hold pinned rows among others in the order of the others.
    fn victims(&self, wanted: u64, carving: bool) -> (Vec<Victim>, u64) {
        let state = self.state();
        let manifest = &state.manifest;
        let read_to = manifest.cursors.iter().map(|cursor| cursor.sequence).min();
        let mut queues: Vec<(usize, Vec<(Worth, usize)>)> = Vec::new();
        for (index, stream) in manifest.streams.iter().enumerate() {
            if stream.retention.drops_when_full() {
                let mut queue: Vec<(Worth, usize)> = (0..stream.segments.len())
                    .map(|at| (worth(stream, &stream.segments[at], read_to, carving), at))
                    .collect();
                // Taken from the end.
                queue.sort_by_key(|&(worth, at)| {
                    let entry = &stream.segments[at];
                    std::cmp::Reverse((worth, entry.time_range.1, entry.sequences))
                });
                queues.push((index, queue));
            }
        }
        let (mut victims, mut freed) = (Vec::new(), 0);
        while freed < wanted {
            let heads = queues.iter_mut().filter(|(_, queue)| !queue.is_empty());
            let first = heads.min_by_key(|(index, queue)| {
                let head = queue.last();
                head.map(|&(worth, at)| (worth, manifest.streams[*index].segments[at].sequences.1))
            });
            let Some((index, queue)) = first else { break };
            let Some((worth, at)) = queue.pop() else { break };
            freed = in_blocks(manifest.streams[*index].segments[at].bytes).saturating_add(freed);
            let cause = match worth {
                Worth::Old => Cause::Full,
                Worth::Unread => Cause::FullUnread,
                Worth::Pinned => Cause::FullPinned,
            };
            victims.push(Victim {
                index: *index,
                at,
                cause,
            });
        }
        (victims, freed)
    }

    /// The first segment that goes but for what is pinned, if it is among those that take the next `wanted` bytes.
    pub(super) fn next_partly_pinned(&self, wanted: u64) -> Option<Victim> {
        let (victims, _) = self.victims(wanted, true);
        let state = self.state();
        let goes_in_part = |victim: &Victim| {
            let stream = &state.manifest.streams[victim.index];
            let entry = &stream.segments[victim.at];
            is_partly_pinned(stream, entry)
        };
        let cause = Cause::Full;
        victims
            .into_iter()
            .find(goes_in_part)
            .map(|victim| Victim { cause, ..victim })
    }

    /// Lets segments go, and writes down what is lost. The caller has the turn.
    pub(super) fn drop_segments(&self, writer: &Writer, victims: &[Victim]) -> Result<()> {
        if victims.is_empty() {
            return Ok(());
        }
        let (files, stood_for): (Vec<String>, Vec<u64>) = {
            let mut state = self.state();
            let entries = victims.iter().map(|victim| {
                let stream = &state.manifest.streams[victim.index];
                let entry = &stream.segments[victim.at];
                let (file, rows) = (entry.file.clone(), entry.rows);
                if entry.rung < Rung::Downsampled {
                    return (file, rows);
                }
                // Nobody knows it of a damaged one.
                let segment = state.open_segment(victim.index, victim.at, &*self.storage);
                let all = RowRanges::single(0..rows);
                (
                    file,
                    segment.and_then(|segment| segment.weight(&all)).unwrap_or(rows),
                )
            });
            entries.unzip()
        };
        let goes = |index: usize, at: usize| victims.iter().any(|v| (v.index, v.at) == (index, at));
        let change = |manifest: &mut Manifest| {
            for (index, stream) in manifest.streams.iter_mut().enumerate() {
                let mut gone = Vec::new();
                let all = std::mem::take(&mut stream.segments);
                for (at, entry) in all.into_iter().enumerate() {
                    match victims.iter().position(|v| (v.index, v.at) == (index, at)) {
                        Some(place) => gone.push((entry, victims[place].cause, stood_for[place])),
                        None => stream.segments.push(entry),
                    }
                }
                for (entry, cause, rows) in gone {
                    note_loss(stream, dropped(&entry, cause, rows));
                }
            }
        };
        self.publish_and(writer, change, |state| {
            for (index, live) in state.live.iter_mut().enumerate() {
                let all = std::mem::take(&mut live.segments);
                let left = all.into_iter().enumerate().filter(|(at, _)| !goes(index, *at));
                live.segments = left.map(|(_, segment)| segment).collect();
            }
        })?;
        // Who reads them keeps their bytes; a reader that comes too late starts again from the manifest.
        for file in &files {
            self.storage.remove(file)?;
        }
        self.settle(writer)
    }

    pub(super) fn stream_retention(&self, stream: &str) -> Result<Retention> {
        self.refresh()?;
        let state = self.state();
        let index = state.stream(stream)?;
        Ok(state.manifest.streams[index].retention.clone())
    }

    pub(super) fn change_retention(&self, stream: &str, retention: &Retention) -> Result<()> {
        let writer = self.writer()?;
        let _turn = locked(&writer.turn);
        retention.check()?;
        let index = self.state().stream(stream)?;
        retention.fits(&self.state().manifest.streams[index].schema)?;
        if self.state().manifest.streams[index].retention == *retention {
            return Ok(());
        }
        self.publish(writer, |manifest| {
            let stream = &mut manifest.streams[index];
            let buckets_change = stream.retention.every != retention.every;
            stream.retention = retention.clone();
            for entry in &mut stream.segments {
                // What was not worth it under the policy before may be now, and buckets may become longer.
                entry.tried = if entry.rung == Rung::Downsampled && buckets_change {
                    Rung::Sealed
                } else {
                    entry.rung
                };
            }
        })
    }

    /// Takes over policies, pins and losses of streams of the same names.
    pub(super) fn restore_keep(&self, streams: &[StreamEntry]) -> Result<()> {
        let writer = self.writer()?;
        let _turn = locked(&writer.turn);
        self.publish(writer, |manifest| {
            for stream in &mut manifest.streams {
                if let Some(known) = streams.iter().find(|known| known.name == stream.name) {
                    stream.retention = known.retention.clone();
                    // Columns may have other numbers; a key column that is not there any more pins nothing.
                    stream.pins = Pins::default();
                    for pin in known.pins.list(&known.schema) {
                        let _ = stream.pins.add(&pin, &stream.schema);
                    }
                    stream.losses = known.losses.clone();
                }
            }
        })
    }

    pub(super) fn stream_losses(&self, stream: &str) -> Result<Vec<Loss>> {
        self.refresh()?;
        let state = self.state();
        let index = state.stream(stream)?;
        Ok(state.manifest.streams[index].losses.clone())
    }
}

fn is_partly_pinned(stream: &StreamEntry, entry: &SegmentEntry) -> bool {
    let range = entry.time_range;
    !entry.pinned && stream.pins.touch(range) && !stream.pins.cover(range)
}

fn worth(stream: &StreamEntry, entry: &SegmentEntry, read_to: Option<u64>, carving: bool) -> Worth {
    let pinned = entry.pinned || stream.pins.touch(entry.time_range);
    if pinned && !(carving && is_partly_pinned(stream, entry)) {
        Worth::Pinned
    } else if read_to.is_some_and(|read_to| read_to < entry.sequences.1) {
        Worth::Unread
    } else {
        Worth::Old
    }
}

/// The loss of a segment whose rows stand for `rows`.
fn dropped(entry: &SegmentEntry, cause: Cause, rows: u64) -> Loss {
    Loss {
        kind: LossKind::Dropped,
        cause,
        time_range: entry.time_range,
        rows,
        bytes: entry.bytes,
    }
}

/// Writes down a loss of a stream, whose segments are those that are left.
pub(super) fn note_loss(stream: &mut StreamEntry, loss: Loss) {
    let left: Vec<(i64, i64)> = stream.segments.iter().map(|entry| entry.time_range).collect();
    losses::add(&mut stream.losses, loss, &left);
}
