//! The k-th smallest value of several sorted sources, whatever domain and scale each has.
//!
//! Each source is asked for the value at the same share of its candidates. The answer lies between the smallest and the
//! largest of those: below the smallest there are too few values, up to the largest enough. Where they agree that is the
//! answer; otherwise a median of them, weighted by candidates, parts the candidates, and the next round asks among what is left.
//! Sources alike agree after a few rounds. Every fourth round halves the keys instead, which bounds the rounds whatever
//! the sources are.

use crate::error::Result;

/// Rounds after which the sources contradict themselves: 64 halvings, each with three other rounds.
const MAX_ROUNDS: u32 = 4 * 64 + 4;

/// Values in an order that may be asked for.
pub trait Source {
    /// How many values there are.
    fn len(&self) -> u64;

    /// How many are at most `key`.
    fn up_to(&self, key: u64) -> Result<u64>;

    /// The `k`-th smallest, `k` being below [`Source::len`]; `None` if this source only counts.
    fn nth(&self, k: u64) -> Result<Option<u64>>;
}

/// What is known of one source: how many values are below the answer for certain, and how many may be.
struct Known {
    below: u64,
    up_to: u64,
}

impl Known {
    fn candidates(&self) -> u64 {
        self.up_to.saturating_sub(self.below)
    }
}

/// The `k`-th smallest value of all `sources`, which have more than `k`.
///
/// # Complexity
/// A few rounds of one `nth` and one `up_to` a source, at most 260.
pub fn nth<S: Source>(sources: &[S], k: u64) -> Result<u64> {
    let mut known: Vec<Known> = sources
        .iter()
        .map(|source| Known {
            below: 0,
            up_to: source.len(),
        })
        .collect();
    let (mut low, mut high) = (0, u64::MAX);
    let mut keys: Vec<(u64, u64)> = Vec::with_capacity(sources.len());
    for round in 0..MAX_ROUNDS {
        let candidates: u64 = known.iter().map(Known::candidates).sum();
        let below: u64 = known.iter().map(|known| known.below).sum();
        // A damaged file may count any way.
        let rank = k.saturating_sub(below).min(candidates.saturating_sub(1));
        keys.clear();
        let mut all = true;
        for (source, known) in sources.iter().zip(&known) {
            let here = known.candidates();
            if here == 0 {
                continue;
            }
            let place = known.below + share(here, rank, candidates);
            match source.nth(place.min(source.len().saturating_sub(1)))? {
                Some(key) => keys.push((key.clamp(low, high), here)),
                None => all = false,
            }
        }
        keys.sort_unstable();
        if let (true, Some(first), Some(last)) = (all, keys.first(), keys.last()) {
            (low, high) = (first.0, last.0);
        }
        if low >= high {
            return Ok(low);
        }
        let middle = low + (high - low) / 2;
        let pivot = if round % 4 == 3 {
            middle
        } else {
            weighted_median(&keys, high).unwrap_or(middle)
        };
        let mut counts = Vec::with_capacity(sources.len());
        for source in sources {
            counts.push(source.up_to(pivot)?);
        }
        let enough = counts.iter().sum::<u64>() > k;
        for (known, count) in known.iter_mut().zip(counts) {
            if enough {
                known.up_to = count.max(known.below);
            } else {
                known.below = count.min(known.up_to);
            }
        }
        if enough {
            high = pivot;
        } else {
            low = pivot + 1;
        }
    }
    Ok(low)
}

/// `here * rank / candidates`, rounded down.
#[allow(clippy::cast_possible_truncation, reason = "no more than `here`")]
fn share(here: u64, rank: u64, candidates: u64) -> u64 {
    (u128::from(here) * u128::from(rank) / u128::from(candidates.max(1))) as u64
}

/// Among keys in order with their weights the middle one that is below `high`.
fn weighted_median(keys: &[(u64, u64)], high: u64) -> Option<u64> {
    let total: u64 = keys.iter().map(|key| key.1).sum();
    let (mut sum, mut found) = (0, None);
    for &(key, weight) in keys {
        if key >= high {
            break;
        }
        found = Some(key);
        sum += weight;
        if sum > total / 2 {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug)]
    struct Sorted(Vec<u64>, bool);

    impl Source for Sorted {
        fn len(&self) -> u64 {
            self.0.len() as u64
        }
        fn up_to(&self, key: u64) -> Result<u64> {
            Ok(self.0.partition_point(|&value| value <= key) as u64)
        }
        fn nth(&self, k: u64) -> Result<Option<u64>> {
            Ok(self.1.then(|| self.0[k as usize]))
        }
    }

    proptest! {
        #[test]
        fn every_place_is_found(
            lists in proptest::collection::vec(
                (
                    prop_oneof![
                        proptest::collection::vec(0u64..12, 0..40),
                        proptest::collection::vec(any::<u64>(), 0..40),
                        proptest::collection::vec(prop_oneof![Just(0), Just(u64::MAX), 1000u64..1100], 0..60),
                    ],
                    prop_oneof![4 => Just(true), 1 => Just(false)],
                ),
                1..8,
            ),
        ) {
            let mut all: Vec<u64> = lists.iter().flat_map(|(list, _)| list.clone()).collect();
            all.sort_unstable();
            let sources: Vec<Sorted> = lists
                .into_iter()
                .map(|(mut list, ordered)| {
                    list.sort_unstable();
                    Sorted(list, ordered)
                })
                .collect();
            for (k, &want) in all.iter().enumerate() {
                prop_assert_eq!(nth(&sources, k as u64).unwrap(), want);
            }
        }
    }
}
