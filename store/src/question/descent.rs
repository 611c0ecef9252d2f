//! The k-th smallest value of several columns by one descent through all of them at the same time.
//!
//! Each source is a tree of intervals of keys (`column/descent.rs`), or a sorted list. The search holds groups of
//! values, each with an interval and a count. Taking every value for the smallest that it can be, and then for the
//! largest, gives a window that holds the answer: groups below and above it are dropped, the widest of the others are
//! split, and so on until the window is one key. Intervals need not agree between sources, so scales may differ; a source
//! has one group in the window where they agree, and two or three where they do not. What the groups of a step read
//! first is fetched for all of them before any of them is split.

use std::borrow::Cow;

use crate::codes::Interval;
use crate::codes::tree::Place;
use crate::column::{Descent, Group};
use crate::error::Result;

/// Values that are listed instead of being split further.
const LISTED: u64 = 64;
/// Groups of a source in the window, on average, beyond which intervals make no sense: only damaged files have so many.
const MOST_GROUPS: usize = 1 << 12;

/// Values that are asked for by their place in order.
pub(super) enum Source<'a> {
    /// Some rows of a column.
    Column(Descent<'a>),
    /// Keys in order.
    Sorted(Cow<'a, [u64]>),
}

/// Values of one source whose keys lie in an interval.
struct Part {
    source: usize,
    group: Group,
}

impl Part {
    fn width(&self) -> u64 {
        self.group.keys.high.saturating_sub(self.group.keys.low)
    }
}

/// What a search holds.
struct Search {
    /// How many values below the answer are among those of the parts.
    k: u64,
    parts: Vec<Part>,
    /// Places of the parts.
    places: Vec<Place>,
    /// Ends of intervals and how many values have them.
    ends: Vec<(u64, u64)>,
}

/// The `k`-th smallest value of all `sources`, which have more than `k`; `None` if they have not, or contradict
/// themselves.
///
/// # Complexity
/// A split of one to three nodes for each source and undecided bit; sources without values in the window take no part.
pub(super) fn nth(sources: &[Source<'_>], k: u64) -> Result<Option<u64>> {
    let mut search = Search {
        k,
        parts: Vec::with_capacity(4 * sources.len()),
        places: Vec::with_capacity(8 * sources.len()),
        ends: Vec::with_capacity(4 * sources.len()),
    };
    for (source, values) in sources.iter().enumerate() {
        let group = match values {
            Source::Column(descent) => Some(descent.root(&mut search.places)?).filter(|root| root.rows > 0),
            Source::Sorted(keys) => Group::of_list(keys, 0..keys.len()),
        };
        search.parts.extend(group.map(|group| Part { source, group }));
    }
    let mut next = Vec::with_capacity(search.parts.capacity());
    let mut places = Vec::with_capacity(search.places.capacity());
    let mut groups = Vec::with_capacity(2);
    loop {
        let Some(window) = search.narrow() else {
            return Ok(None);
        };
        if window.low >= window.high {
            return Ok(Some(window.low));
        }
        if let Some(key) = search.list(sources)? {
            return Ok(Some(key));
        }
        if search.parts.len() > MOST_GROUPS.saturating_mul(sources.len()) {
            return Ok(None);
        }
        // Halving the widest ones only keeps intervals of different scales about equally wide.
        let wide = search.parts.iter().map(Part::width).max().unwrap_or(0) / 2;
        for again in [false, true] {
            for part in search.parts.iter().filter(|part| part.width() > wide) {
                if let Some(Source::Column(descent)) = sources.get(part.source) {
                    descent.prefetch(&part.group, &search.places, again);
                }
            }
        }
        for mut part in search.parts.drain(..) {
            if part.width() <= wide {
                part.group.keep(&search.places, &mut places);
                next.push(part);
                continue;
            }
            match sources.get(part.source) {
                Some(Source::Column(descent)) => {
                    descent.split(&part.group, &search.places, &mut places, &mut groups)?;
                }
                Some(Source::Sorted(keys)) => part.group.split_list(keys, &mut groups),
                None => {}
            }
            let source = part.source;
            next.extend(groups.drain(..).map(|group| Part { source, group }));
        }
        std::mem::swap(&mut search.parts, &mut next);
        std::mem::swap(&mut search.places, &mut places);
        places.clear();
    }
}

impl Search {
    /// Finds the window that holds the answer, and drops what lies outside it. `None` if there are not so many values.
    fn narrow(&mut self) -> Option<Interval> {
        let mut reach = |end: fn(&Interval) -> u64| {
            self.ends.clear();
            self.ends.extend(
                self.parts
                    .iter()
                    .map(|part| (end(&part.group.keys), part.group.rows)),
            );
            weighted_nth(&mut self.ends, self.k)
        };
        let low = reach(|keys| keys.low)?;
        let high = reach(|keys| keys.high)?.max(low);
        let k = &mut self.k;
        self.parts.retain(|Part { group, .. }| {
            if group.keys.high < low {
                *k = k.saturating_sub(group.rows);
            }
            group.keys.high >= low && group.keys.low <= high
        });
        Some(Interval { low, high })
    }

    /// The answer, where there are few values that are read at once.
    fn list(&self, sources: &[Source<'_>]) -> Result<Option<u64>> {
        let rows = self
            .parts
            .iter()
            .fold(0u64, |sum, part| sum.saturating_add(part.group.rows));
        let at_once = |part: &Part| match sources.get(part.source) {
            Some(Source::Column(descent)) => descent.is_leaf(&part.group),
            _ => true,
        };
        if rows > LISTED || !self.parts.iter().all(at_once) {
            return Ok(None);
        }
        let mut keys = Vec::with_capacity(usize::try_from(rows).unwrap_or(0));
        for part in &self.parts {
            match sources.get(part.source) {
                Some(Source::Column(descent)) => descent.list(&part.group, &self.places, &mut keys)?,
                Some(Source::Sorted(list)) => keys.extend_from_slice(part.group.in_list(list)),
                None => {}
            }
        }
        let Some(place) = usize::try_from(self.k).ok().filter(|&place| place < keys.len()) else {
            return Ok(None);
        };
        Ok(Some(*keys.select_nth_unstable(place).1))
    }
}

/// The smallest key of `list` up to which there are more than `k` values; the list is put into another order.
fn weighted_nth(mut list: &mut [(u64, u64)], mut k: u64) -> Option<u64> {
    while let Some(&(pivot, _)) = list.get(list.len() / 2) {
        // The smaller ones to the front, then the equal ones.
        let (mut less, mut below) = (0, 0u64);
        let (mut behind, mut equal) = (0, 0u64);
        for at in 0..list.len() {
            let (key, count) = list[at];
            if key < pivot {
                list.swap(at, behind);
                list.swap(behind, less);
                less += 1;
                behind += 1;
                below = below.saturating_add(count);
            } else if key == pivot {
                list.swap(at, behind);
                behind += 1;
                equal = equal.saturating_add(count);
            }
        }
        if k < below {
            list = list.split_at_mut(less).0;
        } else if k - below < equal {
            return Some(pivot);
        } else {
            k -= below.saturating_add(equal);
            list = list.split_at_mut(behind).1;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
    use proptest::prelude::*;

    use super::*;
    use crate::batch::BatchColumn;
    use crate::column::{Column, Hints, Part as Stored};
    use crate::rows::RowRanges;
    use crate::schema::ColumnType;
    use crate::section::Section;
    use crate::value::{key_of_f32, key_of_f64, key_of_i64};

    fn column(ty: ColumnType, keys: &[Option<u64>]) -> Column {
        let mut batch = BatchColumn::new(ty);
        keys.iter().for_each(|key| match key {
            Some(key) => batch.push_key(*key),
            None => batch.push_null(),
        });
        let parts = Column::encode(ty, &batch, &Hints::default()).unwrap();
        let parts = parts.into_iter().map(|part| Stored {
            kind: part.kind,
            codec: part.codec,
            body: Section::from_vec(part.body),
        });
        Column::open(ty, keys.len() as u64, parts.collect()).unwrap()
    }

    /// One column's rows: decimals around some value, other floats among them, and nulls.
    #[derive(Debug, Clone)]
    struct Shape {
        centre: i64,
        spread: u32,
        digits: i32,
        odd: f64,
        nulls: f64,
        rows: usize,
    }

    fn shape() -> impl Strategy<Value = Shape> {
        (
            prop_oneof![2 => Just(0i64), 1 => -3000i64..3000, 1 => Just(1_000_000)],
            prop_oneof![Just(0u32), Just(3), Just(200), Just(100_000)],
            prop_oneof![3 => Just(2), 1 => 0..5],
            prop_oneof![2 => Just(0.0), 1 => Just(0.002), 1 => Just(0.1), 1 => Just(0.7)],
            prop_oneof![3 => Just(0.0), 1 => Just(0.2), 1 => Just(1.0)],
            prop_oneof![1usize..5, 1usize..3000],
        )
            .prop_map(|(centre, spread, digits, odd, nulls, rows)| Shape {
                centre,
                spread,
                digits,
                odd,
                nulls,
                rows,
            })
    }

    const ODD: [f64; 10] = [
        f64::NAN,
        -f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        -0.0,
        0.0,
        f64::MIN,
        5e-324,
        1.0 / 3.0,
        0.1 + 0.2,
    ];

    struct Dice(u64);

    impl Dice {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (self.0 >> 33) % bound.max(1)
        }

        fn is_below(&mut self, share: f64) -> bool {
            (self.below(1 << 20) as f64) < share * f64::from(1 << 20)
        }
    }

    fn keys(ty: ColumnType, shape: &Shape, dice: &mut Dice) -> Vec<Option<u64>> {
        let mut walk = 0i64;
        (0..shape.rows)
            .map(|_| {
                walk += dice.below(u64::from(shape.spread) + 1) as i64 - i64::from(shape.spread / 2);
                let number = shape.centre + walk;
                if dice.is_below(shape.nulls) {
                    return None;
                }
                if ty == ColumnType::I64 {
                    return Some(key_of_i64(number));
                }
                let value = if dice.is_below(shape.odd) {
                    ODD[dice.below(ODD.len() as u64) as usize]
                } else {
                    number as f64 / 10f64.powi(shape.digits)
                };
                Some(if ty == ColumnType::F32 {
                    key_of_f32(value as f32)
                } else {
                    key_of_f64(value)
                })
            })
            .collect()
    }

    proptest! {
        #[test]
        fn weights_are_counted(list in proptest::collection::vec((0u64..20, 0u64..9), 0..60)) {
            let mut sorted: Vec<u64> = list.iter().flat_map(|&(key, count)| vec![key; count as usize]).collect();
            sorted.sort_unstable();
            for k in 0..=sorted.len() {
                prop_assert_eq!(weighted_nth(&mut list.clone(), k as u64), sorted.get(k).copied());
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn every_place_is_found_in_all_columns(
            ty in prop_oneof![3 => Just(ColumnType::F64), 1 => Just(ColumnType::F32), 1 => Just(ColumnType::I64)],
            shapes in proptest::collection::vec(shape(), 1..6),
            list in proptest::option::of(shape()),
            cut in prop_oneof![Just((0.0, 1.0)), (0.0..1.0f64, 0.0..1.0f64)],
            seed in any::<u64>(),
        ) {
            let mut dice = Dice(seed);
            let mut all = Vec::new();
            let mut columns = Vec::new();
            for shape in &shapes {
                let keys = keys(ty, shape, &mut dice);
                let at = |x: f64| (x * keys.len() as f64) as usize;
                let (start, end) = (at(cut.0.min(cut.1)), at(cut.0.max(cut.1)));
                // A hole in the middle: several ranges.
                let hole = start + (end - start) / 3..start + (end - start) / 2;
                let rows: RowRanges = [start..hole.start, hole.end..end].into_iter().map(|r| r.start as u64..r.end as u64).collect();
                let chosen = rows.as_slice().iter().flat_map(|r| keys[r.start as usize..r.end as usize].iter());
                all.extend(chosen.flatten().copied());
                columns.push((column(ty, &keys), rows));
            }
            let mut sorted: Vec<u64> = list.iter().flat_map(|shape| keys(ty, shape, &mut dice)).flatten().collect();
            sorted.sort_unstable();
            all.extend(&sorted);
            all.sort_unstable();
            let len = all.len();
            let places = [0, 1, len / 7, len / 3, len / 2, len / 2 + 1, len - len / 9, len.saturating_sub(2), len.saturating_sub(1)];
            for k in places.into_iter().filter(|&k| k < len) {
                let mut sources = vec![Source::Sorted(Cow::Borrowed(sorted.as_slice()))];
                for (column, rows) in &columns {
                    if let Some(descent) = column.descent(rows).unwrap() {
                        sources.push(Source::Column(descent));
                    }
                }
                prop_assert_eq!(nth(&sources, k as u64).unwrap(), Some(all[k]), "{} of {}", k, len);
            }
        }
    }
}
