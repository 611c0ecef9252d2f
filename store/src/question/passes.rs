//! The k-th smallest of values that are in no order, in bounded memory: passes over all of them.
//!
//! A pass counts the values of an interval of keys in [`CELLS`] equal cells, and the cell that holds the answer is the
//! next interval; once an interval's values fit the memory they are collected. Twelve bits of a key are decided a pass,
//! so 64 take five passes and a collection, and measured values seldom more than one of each. This is the multi-pass
//! selection of Munro and Paterson ("Selection and sorting with limited storage", 1980) with equal cells in place of
//! sampled ones.

use crate::codes::Interval;
use crate::error::Result;

/// Cells of a pass, as a power of two: 32 KiB of counts.
const CELL_BITS: u32 = 12;
const CELLS: usize = 1 << CELL_BITS;

/// Values that can be gone through more than once.
pub(super) trait Stream {
    /// Keys between which all values lie; `None` if there are none.
    fn ends(&self) -> Result<Option<(u64, u64)>>;

    /// Calls `found` with each key inside `keys` and the number of values that it stands for.
    fn each(&self, keys: Interval, found: &mut dyn FnMut(u64, u64)) -> Result<()>;
}

/// The `k`-th smallest value of all streams, which have more than `k`, holding at most `most` keys; `None` if they
/// contradict themselves.
///
/// # Complexity
/// At most six passes over the streams and the collection of `most` values.
pub(super) fn nth<S: Stream>(streams: &[S], mut k: u64, most: usize) -> Result<Option<u64>> {
    let mut within = Interval::NONE;
    for stream in streams {
        if let Some((low, high)) = stream.ends()? {
            within.low = if within.is_empty() {
                low
            } else {
                within.low.min(low)
            };
            within.high = within.high.max(high);
        }
    }
    if within.is_empty() {
        return Ok(None);
    }
    let mut counts = vec![0u64; CELLS];
    while within.low < within.high {
        let bits = 64 - (within.high - within.low).leading_zeros();
        let shift = bits.saturating_sub(CELL_BITS);
        counts.fill(0);
        for stream in streams {
            stream.each(within, &mut |key, weight| {
                if let Some(count) = counts.get_mut(cell(key, within.low, shift)) {
                    *count = count.saturating_add(weight);
                }
            })?;
        }
        let mut at = 0;
        while let Some(&count) = counts.get(at).filter(|count| **count <= k) {
            k -= count;
            at += 1;
        }
        let Some(&inside) = counts.get(at) else {
            return Ok(None);
        };
        // Within the interval, so nothing overflows.
        let low = within.low + ((at as u64) << shift);
        let high = within.high.min(low.saturating_add((1u64 << shift) - 1));
        within = Interval { low, high };
        if inside <= most as u64 && low < high {
            return collect(streams, within, k, most);
        }
    }
    Ok(Some(within.low))
}

/// The cell of a key that is not below `low`.
#[expect(clippy::cast_possible_truncation, reason = "a cell's number has twelve bits")]
fn cell(key: u64, low: u64, shift: u32) -> usize {
    (key.saturating_sub(low) >> shift) as usize
}

/// The `k`-th smallest value inside `keys`, of which there are at most `most`.
fn collect<S: Stream>(streams: &[S], keys: Interval, k: u64, most: usize) -> Result<Option<u64>> {
    let mut all: Vec<u64> = Vec::new();
    for stream in streams {
        stream.each(keys, &mut |key, weight| {
            let left = most.saturating_sub(all.len());
            let times = usize::try_from(weight).map_or(left, |weight| weight.min(left));
            all.extend(std::iter::repeat_n(key, times));
        })?;
    }
    let Some(place) = usize::try_from(k).ok().filter(|place| *place < all.len()) else {
        return Ok(None);
    };
    Ok(Some(*all.select_nth_unstable(place).1))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug)]
    struct List(Vec<(u64, u64)>);

    impl Stream for List {
        fn ends(&self) -> Result<Option<(u64, u64)>> {
            let keys = || self.0.iter().map(|entry| entry.0);
            Ok(keys().min().zip(keys().max()))
        }

        fn each(&self, keys: Interval, found: &mut dyn FnMut(u64, u64)) -> Result<()> {
            let inside = self.0.iter().filter(|entry| keys.contains(entry.0));
            inside.for_each(|&(key, weight)| found(key, weight));
            Ok(())
        }
    }

    fn key() -> impl Strategy<Value = u64> {
        prop_oneof![
            0u64..12,
            any::<u64>(),
            Just(0),
            Just(u64::MAX),
            1_000_000u64..1_200_000
        ]
    }

    proptest! {
        #[test]
        fn every_place_is_found(
            lists in proptest::collection::vec(proptest::collection::vec((key(), 1u64..4), 0..60), 1..5),
            most in 0usize..40,
        ) {
            let mut all: Vec<u64> = lists
                .iter()
                .flatten()
                .flat_map(|&(key, weight)| vec![key; weight as usize])
                .collect();
            all.sort_unstable();
            let lists: Vec<List> = lists.into_iter().map(List).collect();
            for (k, &key) in all.iter().enumerate() {
                prop_assert_eq!(nth(&lists, k as u64, most).unwrap(), Some(key));
            }
        }
    }
}
