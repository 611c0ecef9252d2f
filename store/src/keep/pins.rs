//! Stretches of time whose rows go last: what lies near a detection or a label.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::wire::{Reader, Writer};

/// Most stretches of one stream; beyond it, those with the least time between them become one.
pub(crate) const MAX_PINS: usize = 256;

/// Pinned stretches of time, in the unit of the stream's clock: in order, not empty, none touching the next.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Pins {
    stretches: Vec<Range<i64>>,
}

impl Pins {
    /// The stretches.
    pub fn stretches(&self) -> &[Range<i64>] {
        &self.stretches
    }

    /// Pins one more stretch.
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

    /// Pins no longer what lies in `stretch`.
    pub fn remove(&mut self, stretch: &Range<i64>) {
        let pieces = self.stretches.iter().flat_map(|known| {
            let before = known.start..known.end.min(stretch.start);
            let after = known.start.max(stretch.end)..known.end;
            [before, after]
        });
        // Both pieces of a stretch that is not touched may be the stretch itself.
        let mut left = Pins::default();
        pieces.for_each(|piece| left.add(piece));
        if stretch.start < stretch.end {
            *self = left;
        }
    }

    /// Keeps to [`MAX_PINS`]: stretches for which `holds_rows` says no go, then the least gaps are pinned too.
    pub fn bound(&mut self, holds_rows: impl Fn(&Range<i64>) -> bool) {
        if self.stretches.len() > MAX_PINS {
            self.stretches.retain(holds_rows);
        }
        while self.stretches.len() > MAX_PINS {
            let gaps = self.stretches.windows(2).enumerate();
            let least = gaps.min_by_key(|(_, pair)| i128::from(pair[1].start) - i128::from(pair[0].end));
            let Some((at, _)) = least else { break };
            let next = self.stretches.remove(at + 1);
            self.stretches[at].end = next.end;
        }
    }

    /// Whether some time from `first` to `last` is pinned.
    pub fn touch(&self, (first, last): (i64, i64)) -> bool {
        let at = self.stretches.partition_point(|stretch| stretch.end <= first);
        self.stretches
            .get(at)
            .is_some_and(|stretch| stretch.start <= last)
    }

    /// Whether all times from `first` to `last` are pinned.
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

    pub fn read(input: &mut Reader<'_>) -> Result<Pins> {
        let stretches = input.list(16, |input| Ok(input.i64()?..input.i64()?))?;
        let ordered = stretches.iter().all(|stretch| stretch.start < stretch.end)
            && stretches.windows(2).all(|pair| pair[0].end < pair[1].start);
        if !ordered || stretches.len() > MAX_PINS {
            return Err(input.corrupt("pinned stretches that are empty, too many or out of order"));
        }
        Ok(Pins { stretches })
    }
}

/// # Errors
/// `InvalidArgument` if nothing lies in `stretch`.
pub(crate) fn check(stretch: &Range<i64>) -> Result<()> {
    if stretch.start < stretch.end {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "nothing lies from {} up to {}: the end comes after the start",
        stretch.start, stretch.end
    )))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pins_are_a_set_of_times(steps in proptest::collection::vec((any::<bool>(), 0i64..60, 0i64..12), 1..40)) {
            let (mut pins, mut set) = (Pins::default(), [false; 80]);
            for (adds, start, len) in steps {
                let stretch = start..start + len;
                if adds { pins.add(stretch.clone()) } else { pins.remove(&stretch) }
                stretch.for_each(|time| set[usize::try_from(time).unwrap()] = adds);
                let mut out = Writer::new();
                pins.write(&mut out);
                let bytes = out.into_bytes();
                prop_assert_eq!(&Pins::read(&mut Reader::new(&bytes, "test", "pins")).unwrap(), &pins);
            }
            for first in 0..70usize {
                for last in first..70 {
                    let range = (first as i64, last as i64);
                    prop_assert_eq!(pins.touch(range), set[first..=last].contains(&true));
                    prop_assert_eq!(pins.cover(range), !set[first..=last].contains(&false));
                }
            }
        }
    }

    #[test]
    fn there_are_never_many() {
        let mut pins = Pins::default();
        for start in 0..1000 {
            pins.add(start * 10..start * 10 + 1);
            pins.bound(|stretch| stretch.start >= 500);
            assert!(pins.stretches().len() <= MAX_PINS);
        }
        assert!(pins.cover((9990, 9990)) && !pins.touch((0, 490)));
    }
}
