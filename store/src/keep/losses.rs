//! What was given up, written down in the manifest: bounded, since neighbours are told as one.

use crate::error::Result;
use crate::wire::{Reader, Writer};

/// Most records of one stream; beyond it, those with the least time between them become one.
pub(crate) const MAX_LOSSES: usize = 32;

/// Rows of a stream that are not what they were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// What became of them.
    pub kind: LossKind,
    /// Why.
    pub cause: Cause,
    /// First and last time of the rows, in the unit of the stream's clock. Rows in between that are still there
    /// (pinned, or come late) are not counted.
    pub time_range: (i64, i64),
    /// Rows.
    pub rows: u64,
    /// Bytes of segments that this freed.
    pub bytes: u64,
}

/// What became of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LossKind {
    /// They are gone.
    Dropped,
    /// Their numbers are within a stated error.
    Bounded,
    /// One row is left for each bucket of time.
    Downsampled,
}

/// Why rows were given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The budget was full.
    Full,
    /// They had the age at which the stream's policy lets them go.
    Age,
    /// The budget was full, and nothing but pinned rows was left.
    FullPinned,
    /// The budget was full, and a cursor had not read them yet.
    FullUnread,
}

impl LossKind {
    fn code(self) -> u8 {
        match self {
            LossKind::Dropped => 1,
            LossKind::Bounded => 2,
            LossKind::Downsampled => 3,
        }
    }

    fn from_code(code: u8) -> Option<LossKind> {
        match code {
            1 => Some(LossKind::Dropped),
            2 => Some(LossKind::Bounded),
            3 => Some(LossKind::Downsampled),
            _ => None,
        }
    }

    /// One word for it.
    pub fn name(self) -> &'static str {
        match self {
            LossKind::Dropped => "dropped",
            LossKind::Bounded => "bounded",
            LossKind::Downsampled => "downsampled",
        }
    }
}

impl Cause {
    fn code(self) -> u8 {
        match self {
            Cause::Full => 1,
            Cause::Age => 2,
            Cause::FullPinned => 3,
            Cause::FullUnread => 4,
        }
    }

    fn from_code(code: u8) -> Option<Cause> {
        match code {
            1 => Some(Cause::Full),
            2 => Some(Cause::Age),
            3 => Some(Cause::FullPinned),
            4 => Some(Cause::FullUnread),
            _ => None,
        }
    }

    /// A few words for it.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Full => "full",
            Cause::Age => "age",
            Cause::FullPinned => "full, pinned",
            Cause::FullUnread => "full, unread by a cursor",
        }
    }
}

impl Loss {
    pub(crate) fn write(&self, out: &mut Writer) {
        out.u8(self.kind.code());
        out.u8(self.cause.code());
        out.i64(self.time_range.0);
        out.i64(self.time_range.1);
        out.u64(self.rows);
        out.u64(self.bytes);
    }

    pub(crate) fn read(input: &mut Reader<'_>) -> Result<Loss> {
        let (kind, cause) = (input.u8()?, input.u8()?);
        Ok(Loss {
            kind: LossKind::from_code(kind).ok_or_else(|| input.corrupt(format!("unknown loss {kind}")))?,
            cause: Cause::from_code(cause).ok_or_else(|| input.corrupt(format!("unknown cause {cause}")))?,
            time_range: (input.i64()?, input.i64()?),
            rows: input.u64()?,
            bytes: input.u64()?,
        })
    }

    fn is_like(&self, other: &Loss) -> bool {
        self.kind == other.kind && self.cause == other.cause
    }

    fn join(&mut self, other: &Loss) {
        self.time_range.0 = self.time_range.0.min(other.time_range.0);
        self.time_range.1 = self.time_range.1.max(other.time_range.1);
        self.rows = self.rows.saturating_add(other.rows);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }

    /// Time from the end of this one to the begin of `other`, which begins later; negative where they overlap.
    fn gap(&self, other: &Loss) -> i128 {
        i128::from(other.time_range.0) - i128::from(self.time_range.1)
    }
}

/// Writes down one more loss. It becomes one with a loss of its kind where no segment that is left, each given by its
/// first and last time, lies between the two.
pub(crate) fn add(losses: &mut Vec<Loss>, loss: Loss, left: &[(i64, i64)]) {
    losses.push(loss);
    losses.sort_by_key(|loss| (loss.time_range, loss.cause.code()));
    let is_between = |from: i64, to: i64| left.iter().any(|&(first, last)| first < to && last > from);
    let mut at = 0;
    while at < losses.len() {
        // The next one of its kind: others may stand in between.
        let next = (at + 1..losses.len()).find(|&next| losses[next].is_like(&losses[at]));
        match next {
            Some(next) if !is_between(losses[at].time_range.1, losses[next].time_range.0) => {
                let joined = losses.remove(next);
                losses[at].join(&joined);
            }
            _ => at += 1,
        }
    }
    while losses.len() > MAX_LOSSES {
        let pairs = (0..losses.len()).filter_map(|a| {
            let b = (a + 1..losses.len()).find(|&b| losses[b].is_like(&losses[a]))?;
            Some((losses[a].gap(&losses[b]), a, b))
        });
        let Some((_, a, b)) = pairs.min() else { break };
        let joined = losses.remove(b);
        losses[a].join(&joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(from: i64, to: i64, cause: Cause) -> Loss {
        Loss {
            kind: LossKind::Dropped,
            cause,
            time_range: (from, to),
            rows: 10,
            bytes: 100,
        }
    }

    #[test]
    fn neighbours_become_one() {
        let mut losses = Vec::new();
        for start in 0..50 {
            add(
                &mut losses,
                loss(start * 10, start * 10 + 9, Cause::Full),
                &[(500, 600)],
            );
        }
        assert_eq!(losses.len(), 1);
        assert_eq!(
            (losses[0].time_range, losses[0].rows, losses[0].bytes),
            ((0, 499), 500, 5000)
        );
        // Rows that are left in between keep two losses apart, and so does another cause.
        add(&mut losses, loss(700, 709, Cause::Full), &[(500, 600)]);
        add(&mut losses, loss(710, 719, Cause::Age), &[(500, 600)]);
        add(&mut losses, loss(720, 729, Cause::Full), &[(500, 600)]);
        assert_eq!(losses.len(), 3);
        assert_eq!(losses[1].time_range, (700, 729));
    }

    #[test]
    fn there_are_never_many() {
        let mut losses = Vec::new();
        let left: Vec<(i64, i64)> = (0..100).map(|i| (i * 10 + 5, i * 10 + 6)).collect();
        for start in 0..100 {
            add(&mut losses, loss(start * 10, start * 10 + 4, Cause::Full), &left);
            add(&mut losses, loss(start * 10, start * 10 + 4, Cause::Age), &left);
            assert!(losses.len() <= MAX_LOSSES);
        }
        assert_eq!(losses.iter().map(|loss| loss.rows).sum::<u64>(), 2000);
    }
}
