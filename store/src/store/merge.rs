//! Merging small segments into larger ones.
//!
//! Only neighbours in sequence are merged, so rows with equal keys and time keep the order in which they came. A merge
//! at least doubles the segment that each of its rows is in, so a row is written O(log n) times.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use super::{Store, Writer, locked};
use crate::batch::{Batch, BatchColumn, ColumnData};
use crate::error::Result;
use crate::keep::Rung;
use crate::log::manifest::{Manifest, SegmentEntry};
use crate::predicate::Predicate;
use crate::rows::index;
use crate::schema::SharedSchema;
use crate::segment::writer::write_by_column;
use crate::segment::{Segment, carried};
use crate::snapshot::Snapshot;
use crate::tail::order;

/// Fewest segments that are worth a merge, unless they overlap in time.
const FEWEST: usize = 4;
/// Most segments merged at once.
const MOST: usize = 64;
/// Segments of a stream from which fewer are merged where no more fit into memory: each that is open takes some.
const MANY: usize = 64;

impl Store {
    /// Merges what is worth it in stream `index`. The caller has the turn. Gives whether there was anything to do.
    pub(super) fn merge_some(&self, writer: &Writer, index: usize) -> Result<bool> {
        let (stream, tail_bytes) = {
            let state = self.state();
            (state.manifest.streams[index].clone(), state.tail_bytes() as u64)
        };
        let fitting = self.options.memory().merged_rows(tail_bytes);
        let most = Most {
            rows: self.options.rows_per_segment.min(fitting),
            bytes: self.shares().map_or(u64::MAX, |shares| shares.segment()),
            is_tight: fitting < self.options.rows_per_segment && stream.segments.len() > MANY,
        };
        let Some(chosen) = choose(&stream.segments, &most) else {
            return Ok(false);
        };
        let planned = chosen.len();
        let (chosen, segments) = self.with_short_texts(index, chosen)?;
        if chosen.len() < planned && !pays(&stream.segments[chosen.clone()]) {
            return Ok(false);
        }
        let sources = segments.as_slice();
        for column in stream.schema.channels() {
            // Absolute and relative errors do not add up.
            if carried(sources, column.id)?.is_none() {
                return Ok(false);
            }
        }
        let bytes = stream.segments[chosen.clone()]
            .iter()
            .map(|entry| entry.bytes)
            .sum();
        if !self.has_room_beside(writer, bytes) {
            return Ok(false);
        }
        let old = &stream.segments[chosen.clone()];
        let first = old.iter().map(|entry| entry.sequences.0).min().unwrap_or(0);
        let last = old.iter().map(|entry| entry.sequences.1).max().unwrap_or(0);
        // What was given another layout as it aged keeps it, as long as its neighbours have it too.
        let common = old.windows(2).all(|pair| pair[0].wishes == pair[1].wishes);
        let wishes = match old.first() {
            Some(entry) if common => entry.wishes.clone(),
            _ => stream.wishes.clone(),
        };
        let hints = self.hints_of_all(&stream, &wishes, sources)?;
        let (mut entry, segment) = self.write_file(&wishes, |sink| {
            let (rows, order) = merged_keys(&stream.schema, sources)?;
            let count = rows.len();
            let mut channel = |at: usize| {
                let column = merged_column(&stream.schema, at, sources, count)?;
                Ok(Cow::Owned(match &order {
                    Some(order) => order::gather(&column, order),
                    None => column,
                }))
            };
            write_by_column(Cow::Owned(rows), &mut channel, (first, last), &hints, sink)
        })?;
        entry.rung = old.first().map_or(Rung::Sealed, |entry| entry.rung);
        entry.tried = old.iter().map(|entry| entry.tried).min().unwrap_or_default();
        entry.pinned = old.iter().all(|entry| entry.pinned);
        let file = entry.file.clone();
        let change = |manifest: &mut Manifest| {
            manifest.next_segment = manifest.next_segment.saturating_add(1);
            manifest.streams[index].segments.splice(chosen.clone(), [entry]);
        };
        let published = self.publish_and(writer, change, |state| {
            state.live[index].segments.splice(chosen.clone(), [Some(segment)]);
        });
        if let Err(error) = published {
            self.discard(&file, &error);
            return Err(error);
        }
        // Who reads them keeps their bytes; a reader that comes too late starts again from the manifest.
        for entry in old {
            self.storage.remove(&entry.file)?;
        }
        Ok(true)
    }

    /// Opens neighbours, from the first on, as long as their texts together are not too long to be held.
    fn with_short_texts(
        &self,
        index: usize,
        chosen: Range<usize>,
    ) -> Result<(Range<usize>, Vec<Arc<Segment>>)> {
        let most = self.options.memory().merged_text();
        let (mut segments, mut bytes) = (Vec::with_capacity(chosen.len()), 0u64);
        for at in chosen.clone() {
            let segment = self.state().open_segment(index, at, &*self.storage)?;
            bytes = bytes.saturating_add(segment.text_bytes());
            if bytes > most {
                break;
            }
            segments.push(segment);
        }
        Ok((chosen.start..chosen.start + segments.len(), segments))
    }

    /// Merges until nothing is worth it any more, giving way to appends between two merges.
    pub(super) fn merge_all(&self) -> Result<()> {
        let writer = self.writer()?;
        let streams = self.state().live.len();
        for index in 0..streams {
            loop {
                let _turn = locked(&writer.turn);
                if !self.merge_some(writer, index)? {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// What a merged segment may hold.
struct Most {
    rows: u64,
    /// Bytes that the segments have before they are merged.
    bytes: u64,
    /// Whether fewer than usual are worth it, where one more would be too many rows.
    is_tight: bool,
}

/// Neighbours that are worth a merge into one segment: the longest such run.
fn choose(segments: &[SegmentEntry], most: &Most) -> Option<Range<usize>> {
    let mut best: Option<Range<usize>> = None;
    for start in 0..segments.len() {
        let (mut rows, mut largest, mut bytes) = (0u64, 0u64, 0u64);
        for end in start + 1..=segments.len().min(start + MOST) {
            // Neighbours on one rung only; buckets go together when more of them are made.
            if segments[end - 1].rung != segments[start].rung || segments[start].rung > Rung::Bounded {
                break;
            }
            let added = segments[end - 1].rows;
            rows = rows.saturating_add(added);
            largest = largest.max(added);
            bytes = bytes.saturating_add(segments[end - 1].bytes);
            // What was kept of larger segments does not go back among rows that go earlier.
            let differs = segments[end - 1].pinned != segments[start].pinned;
            if rows > most.rows || bytes > most.bytes || differs {
                let full = &segments[start..end - 1];
                if most.is_tight && rows > most.rows && is_even(full) {
                    let longer = best.as_ref().is_none_or(|best| full.len() > best.len());
                    best = if longer { Some(start..end - 1) } else { best };
                }
                break;
            }
            let run = &segments[start..end];
            let longer = best.as_ref().is_none_or(|best| run.len() > best.len());
            if longer && largest <= rows / 2 && pays(run) {
                best = Some(start..end);
            }
        }
    }
    best
}

/// Whether neighbours are worth a merge: there are enough of them, and none has more than half of all rows.
fn pays(run: &[SegmentEntry]) -> bool {
    let rows: u64 = run.iter().map(|entry| entry.rows).sum();
    let largest = run.iter().map(|entry| entry.rows).max().unwrap_or(0);
    (run.len() >= FEWEST || (run.len() >= 2 && overlap(run))) && largest <= rows / 2
}

/// Whether there are some, none of which is much larger than the others together.
fn is_even(run: &[SegmentEntry]) -> bool {
    let rows: u64 = run.iter().map(|entry| entry.rows).sum();
    let largest = run.iter().map(|entry| entry.rows).max().unwrap_or(0);
    run.len() >= 2 && largest.saturating_mul(5) <= rows.saturating_mul(3)
}

/// Whether each segment begins before the ones before it have ended.
fn overlap(run: &[SegmentEntry]) -> bool {
    run.windows(2)
        .all(|pair| pair[1].time_range.0 < pair[0].time_range.1)
}

/// Times and keys of all rows of some segments, sorted, equal rows in the order of the segments; and where the rows
/// stood before, if they had to move. Channels have no rows yet.
fn merged_keys(schema: &SharedSchema, segments: &[Arc<Segment>]) -> Result<(Batch, Option<Vec<u32>>)> {
    let keys: Vec<&str> = schema.keys().iter().map(|key| key.name.as_str()).collect();
    let snapshot = Snapshot::new(schema.clone(), segments.to_vec(), None);
    let mut all = Batch::new(schema.clone());
    all.times.reserve_exact(index(snapshot.row_count()));
    for rows in snapshot.scan(&keys, &Predicate::All)? {
        let rows = rows?;
        all.times.extend_from_slice(&rows.times);
        for (column, source) in all.columns.iter_mut().zip(&rows.columns) {
            order::append_column(column, source, 0..rows.len());
        }
    }
    let order = order::permutation(&all);
    if let Some(order) = &order {
        all.times = order::gather_times(&all.times, order);
        for column in all.columns.iter_mut().take(keys.len()) {
            *column = order::gather(column, order);
        }
    }
    Ok((all, order))
}

/// One channel of all rows of some segments, one segment after the other.
fn merged_column(
    schema: &SharedSchema,
    position: usize,
    segments: &[Arc<Segment>],
    rows: usize,
) -> Result<BatchColumn> {
    let spec = &schema.columns()[position];
    let mut all = BatchColumn::new(spec.ty);
    if let ColumnData::Keys(keys) = &mut all.data {
        keys.reserve_exact(rows);
    }
    let snapshot = Snapshot::new(schema.clone(), segments.to_vec(), None);
    for rows in snapshot.scan(&[spec.name.as_str()], &Predicate::All)? {
        let rows = rows?;
        if let Some(source) = rows.columns.first() {
            order::append_column(&mut all, source, 0..rows.len());
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::manifest::Wishes;

    fn entry(rows: u64, time_range: (i64, i64)) -> SegmentEntry {
        SegmentEntry {
            file: String::new(),
            rows,
            time_range,
            sequences: (0, 0),
            bytes: 0,
            wishes: Wishes::default(),
            pinned: false,
            rung: Rung::default(),
            tried: Rung::default(),
        }
    }

    fn most(rows: u64) -> Most {
        Most {
            rows,
            bytes: u64::MAX,
            is_tight: false,
        }
    }

    #[test]
    fn each_merge_doubles() {
        let small: Vec<SegmentEntry> = (0..6).map(|i| entry(10, (i, i))).collect();
        assert_eq!(choose(&small, &most(1000)), Some(0..6));
        assert_eq!(choose(&small, &most(45)), Some(0..4));
        assert_eq!(choose(&small[..3], &most(1000)), None);
        let mut large = vec![entry(100, (0, 0))];
        large.extend(small);
        assert_eq!(
            choose(&large, &most(1000)),
            Some(1..7),
            "the large one would be written for little"
        );
        let overlapping = [entry(10, (0, 9)), entry(10, (5, 14))];
        assert_eq!(choose(&overlapping, &most(1000)), Some(0..2));
        let mut pinned: Vec<SegmentEntry> = (0..6).map(|i| entry(10, (i, i))).collect();
        pinned[1].pinned = true;
        assert_eq!(choose(&pinned, &most(1000)), Some(2..6));
        let bytes = Most {
            rows: 1000,
            bytes: 350,
            is_tight: false,
        };
        let sized: Vec<SegmentEntry> = (0..6)
            .map(|i| SegmentEntry {
                bytes: 70,
                ..entry(10, (i, i))
            })
            .collect();
        assert_eq!(choose(&sized, &bytes), Some(0..5));
    }

    #[test]
    fn fewer_are_merged_where_no_more_fit() {
        let tight = |rows| Most {
            is_tight: true,
            ..most(rows)
        };
        let small: Vec<SegmentEntry> = (0..6).map(|i| entry(10, (i, i))).collect();
        assert_eq!(choose(&small, &tight(35)), Some(0..3));
        assert_eq!(choose(&small, &tight(25)), Some(0..2));
        assert_eq!(choose(&small, &tight(15)), None);
        assert_eq!(choose(&small[..3], &tight(35)), None, "one more may come");
        assert_eq!(choose(&small, &tight(45)), Some(0..4));
        let uneven = [entry(20, (0, 0)), entry(10, (1, 1)), entry(10, (2, 2))];
        assert_eq!(choose(&uneven, &tight(35)), None);
        // Until nothing is left to do, each row is written once or twice.
        let (mut segments, mut written) = (Vec::new(), 0);
        for i in 0..1000 {
            segments.push(entry(10 + u64::from(i % 3 == 0), (i, i)));
            while let Some(chosen) = choose(&segments, &tight(35)) {
                let rows = segments[chosen.clone()].iter().map(|entry| entry.rows).sum();
                written += rows;
                segments.splice(chosen, [entry(rows, (0, 0))]);
            }
        }
        assert!(
            written <= 10_400 && segments.len() < 340,
            "{written}, {}",
            segments.len()
        );
    }

    #[test]
    fn a_row_is_written_log_times() {
        let mut segments: Vec<SegmentEntry> = Vec::new();
        let (mut written, mut appended) = (0, 0);
        for i in 0..1000 {
            segments.push(entry(10, (i, i)));
            appended += 10;
            while let Some(chosen) = choose(&segments, &most(1 << 20)) {
                let rows = segments[chosen.clone()].iter().map(|entry| entry.rows).sum();
                written += rows;
                segments.splice(chosen, [entry(rows, (0, 0))]);
            }
        }
        assert!(written <= 7 * appended, "{written} of {appended}");
        assert!(segments.len() < 20, "{}", segments.len());
    }
}
