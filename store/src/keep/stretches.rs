//! A set of times, as stretches.

use std::ops::Range;

use crate::error::Result;
use crate::wire::{Reader, Writer};

/// Stretches of time: in order, not empty, none touching the next.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Stretches {
    stretches: Vec<Range<i64>>,
}

impl Stretches {
    /// The stretches.
    pub fn all(&self) -> &[Range<i64>] {
        &self.stretches
    }

    /// Adds what lies in `stretch`.
    pub fn add(&mut self, stretch: Range<i64>) {
        if stretch.start >= stretch.end {
            return;
        }
        let from = self.stretches.partition_point(|known| known.end < stretch.start);
        let to = self.stretches.partition_point(|known| known.start <= stretch.end);
        let start = self
            .stretches
            .get(from)
            .map_or(stretch.start, |s| s.start.min(stretch.start));
        let end = match to.checked_sub(1).and_then(|last| self.stretches.get(last)) {
            Some(last) if to > from => last.end.max(stretch.end),
            _ => stretch.end,
        };
        let start = if to > from { start } else { stretch.start };
        self.stretches.splice(from..to, std::iter::once(start..end));
    }

    /// Takes away what lies in `stretch`.
    pub fn remove(&mut self, stretch: &Range<i64>) {
        let pieces = self.stretches.iter().flat_map(|known| {
            let before = known.start..known.end.min(stretch.start);
            let after = known.start.max(stretch.end)..known.end;
            [before, after]
        });
        // Both pieces of a stretch that is not touched may be the stretch itself.
        let mut left = Stretches::default();
        pieces.for_each(|piece| left.add(piece));
        if stretch.start < stretch.end {
            *self = left;
        }
    }

    /// Keeps the stretches for which `keeps` says so.
    pub fn retain(&mut self, keeps: impl Fn(&Range<i64>) -> bool) {
        self.stretches.retain(keeps);
    }

    /// The shortest gap: how long it is, and the number of the stretch before it.
    pub fn shortest_gap(&self) -> Option<(i128, usize)> {
        let gaps = self.stretches.windows(2).enumerate();
        let lengths = gaps.map(|(at, pair)| (i128::from(pair[1].start) - i128::from(pair[0].end), at));
        lengths.min()
    }

    /// Adds the gap after stretch number `at`.
    pub fn close_gap(&mut self, at: usize) {
        if at + 1 < self.stretches.len() {
            let next = self.stretches.remove(at + 1);
            self.stretches[at].end = next.end;
        }
    }

    /// Whether some time from `first` to `last` is among them.
    pub fn touch(&self, (first, last): (i64, i64)) -> bool {
        let at = self.stretches.partition_point(|stretch| stretch.end <= first);
        self.stretches
            .get(at)
            .is_some_and(|stretch| stretch.start <= last)
    }

    /// Whether all times from `first` to `last` are among them.
    pub fn cover(&self, (first, last): (i64, i64)) -> bool {
        let at = self.stretches.partition_point(|stretch| stretch.end <= first);
        let stretch = self.stretches.get(at);
        stretch.is_some_and(|stretch| stretch.start <= first && last < stretch.end)
    }

    pub fn write(&self, out: &mut Writer) {
        out.list(&self.stretches, |stretch, out| {
            out.i64(stretch.start);
            out.i64(stretch.end);
        });
    }

    pub fn read(input: &mut Reader<'_>) -> Result<Stretches> {
        let stretches = input.list(16, |input| Ok(input.i64()?..input.i64()?))?;
        let ordered = stretches.iter().all(|stretch| stretch.start < stretch.end)
            && stretches.windows(2).all(|pair| pair[0].end < pair[1].start);
        if !ordered {
            return Err(input.corrupt("stretches of time that are empty or out of order"));
        }
        Ok(Stretches { stretches })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn stretches_are_a_set_of_times(steps in proptest::collection::vec((any::<bool>(), 0i64..60, 0i64..12), 1..40)) {
            let (mut times, mut set) = (Stretches::default(), [false; 80]);
            for (adds, start, len) in steps {
                let stretch = start..start + len;
                if adds { times.add(stretch.clone()) } else { times.remove(&stretch) }
                stretch.for_each(|time| set[usize::try_from(time).unwrap()] = adds);
                let mut out = Writer::new();
                times.write(&mut out);
                let bytes = out.into_bytes();
                prop_assert_eq!(&Stretches::read(&mut Reader::new(&bytes, "test", "times")).unwrap(), &times);
            }
            for first in 0..70usize {
                for last in first..70 {
                    let range = (first as i64, last as i64);
                    prop_assert_eq!(times.touch(range), set[first..=last].contains(&true));
                    prop_assert_eq!(times.cover(range), !set[first..=last].contains(&false));
                }
            }
        }
    }
}
