//! What is done to rows as they age, and ahead of a full budget.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::room::Victim;
use super::{Store, Writer, locked};
use crate::error::Result;
use crate::keep::Cause;
use crate::schema::TimeUnit;

impl Store {
    /// Takes the steps that are due by age.
    pub(super) fn age_streams(&self) -> Result<()> {
        let writer = self.writer()?;
        let streams = self.state().live.len();
        for index in 0..streams {
            loop {
                let _turn = locked(&writer.turn);
                let (old, partly_pinned) = self.too_old(index);
                match (old.is_empty(), partly_pinned) {
                    (false, _) => self.drop_segments(writer, &old)?,
                    (true, Some(victim)) => self.carve(writer, victim)?,
                    (true, None) => break,
                }
            }
        }
        Ok(())
    }

    /// Segments of a stream that are so old that they go, and the first that goes but for what is pinned.
    fn too_old(&self, index: usize) -> (Vec<Victim>, Option<Victim>) {
        let state = self.state();
        let stream = &state.manifest.streams[index];
        let Some(age) = stream.retention.drops_after() else {
            return (Vec::new(), None);
        };
        let in_segments = stream.segments.iter().map(|entry| entry.time_range.1);
        let newest = in_segments.chain(state.live[index].tail.newest()).max();
        let Some(end) = newest.map(|newest| before(newest, age, stream.schema.time_unit())) else {
            return (Vec::new(), None);
        };
        let (mut whole, mut partly) = (Vec::new(), None);
        for (at, entry) in stream.segments.iter().enumerate() {
            let cause = Cause::Age;
            let victim = Victim { index, at, cause };
            let pinned = stream.pins.touch(entry.time_range);
            if entry.time_range.1 >= end || entry.pinned || stream.pins.cover(entry.time_range) {
                continue;
            } else if pinned {
                partly = partly.or(Some(victim));
            } else {
                whole.push(victim);
            }
        }
        (whole, partly)
    }

    /// Keeps what is pinned of the next segments to go, while there is time for it: once the budget is full, whole
    /// segments go.
    pub(super) fn carve_ahead(&self) -> Result<()> {
        let writer = self.writer()?;
        let Some(shares) = self.shares() else {
            return Ok(());
        };
        loop {
            let _turn = locked(&writer.turn);
            let ahead = shares.for_adding().saturating_sub(2 * shares.segment());
            let over = writer.room.used().saturating_sub(ahead);
            if over == 0 {
                return Ok(());
            }
            match self.next_partly_pinned(over) {
                Some(victim) => self.carve(writer, victim)?,
                None => return Ok(()),
            }
        }
    }

    /// Whether a file of about `guess` bytes fits in beside everything else.
    pub(super) fn has_room_beside(&self, writer: &Writer, guess: u64) -> bool {
        let Some(shares) = self.shares() else {
            return true;
        };
        writer.room.used().saturating_add(guess) <= shares.for_segments()
    }
}

/// The time that lies `age` before `newest`, or before now if `newest` lies in the future.
fn before(newest: i64, age: Duration, unit: TimeUnit) -> i64 {
    let ticks = |duration: Duration| {
        let ticks = duration.as_nanos() / (1_000_000_000 / unit.per_second().unsigned_abs() as u128);
        i64::try_from(ticks).unwrap_or(i64::MAX)
    };
    // A clock before 1970 says nothing.
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(i64::MAX, ticks);
    newest.min(now).saturating_sub(ticks(age))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_count_from_the_newest_row_but_never_from_the_future() {
        let hour = Duration::from_secs(3600);
        assert_eq!(before(10_000, hour, TimeUnit::Second), 6_400);
        assert_eq!(before(10_000_000, hour, TimeUnit::Millisecond), 6_400_000);
        assert!(before(i64::MAX, hour, TimeUnit::Nanosecond) < i64::MAX / 2);
        assert_eq!(before(i64::MIN + 5, hour, TimeUnit::Second), i64::MIN);
    }
}
