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
    keys: Interval,
    rows: u64,
    source: usize,
    at: At,
}

enum At {
    Group(Group),
    /// From which key of a list on.
    Sorted(usize),
}

impl Part {
    fn width(&self) -> u64 {
        self.keys.high.saturating_sub(self.keys.low)
    }
}

/// The `k`-th smallest value of all `sources`, which have more than `k`; `None` if they have not, or contradict
/// themselves.
///
/// # Complexity
/// A split of one to three nodes for each source and undecided bit; sources without values in the window take no part.
pub(super) fn nth(sources: &mut [Source<'_>], mut k: u64) -> Result<Option<u64>> {
    let mut parts = Vec::with_capacity(4 * sources.len());
    for (number, source) in sources.iter_mut().enumerate() {
        match source {
            Source::Column(descent) => {
                let root = descent.root()?;
                if root.rows > 0 {
                    parts.push(of_group(root, number));
                }
            }
            Source::Sorted(keys) => parts.extend(of_list(keys, 0..keys.len(), number)),
        }
    }
    let (mut next, mut groups, mut highs) = (Vec::new(), Vec::new(), Vec::new());
    let mut stepped = vec![false; sources.len()];
    loop {
        let Some(window) = narrow(&mut parts, &mut k, &mut highs) else {
            return Ok(None);
        };
        if window.low >= window.high {
            return Ok(Some(window.low));
        }
        if let Some(key) = list(sources, &parts, k)? {
            return Ok(Some(key));
        }
        if parts.len() > MOST_GROUPS.saturating_mul(sources.len()) {
            return Ok(None);
        }
        // Halving the widest ones only keeps intervals of different scales about equally wide.
        let wide = parts.iter().map(Part::width).max().unwrap_or(0) / 2;
        stepped.fill(false);
        for part in parts.iter().filter(|part| part.width() > wide) {
            if let (At::Group(group), Some(Source::Column(descent))) = (&part.at, sources.get(part.source)) {
                descent.prefetch(group);
                stepped[part.source] = true;
            }
        }
        for part in parts.drain(..) {
            let is_wide = part.width() > wide;
            match (&mut sources[part.source], part) {
                (
                    Source::Column(descent),
                    Part {
                        at: At::Group(group),
                        source,
                        ..
                    },
                ) if stepped[source] => {
                    if is_wide {
                        descent.split(&group, &mut groups)?;
                    } else {
                        descent.keep(group, &mut groups);
                    }
                    next.extend(groups.drain(..).map(|group| of_group(group, source)));
                }
                (Source::Sorted(keys), part) if is_wide => split_list(keys, &part, &mut next),
                (_, part) => next.push(part),
            }
        }
        for (source, _) in sources.iter_mut().zip(&stepped).filter(|(_, stepped)| **stepped) {
            if let Source::Column(descent) = source {
                descent.step();
            }
        }
        std::mem::swap(&mut parts, &mut next);
    }
}

fn of_group(group: Group, source: usize) -> Part {
    Part {
        keys: group.keys,
        rows: group.rows,
        source,
        at: At::Group(group),
    }
}

/// The keys of a list at `places`; `None` if there are none.
fn of_list(keys: &[u64], places: std::ops::Range<usize>, source: usize) -> Option<Part> {
    let found = keys.get(places.clone())?;
    Some(Part {
        keys: Interval {
            low: *found.first()?,
            high: *found.last()?,
        },
        rows: found.len() as u64,
        source,
        at: At::Sorted(places.start),
    })
}

fn split_list(keys: &[u64], part: &Part, out: &mut Vec<Part>) {
    let At::Sorted(start) = part.at else { return };
    let rows = usize::try_from(part.rows).unwrap_or(0);
    let own = keys.get(start..start + rows).unwrap_or_default();
    let middle = part.keys.low + part.width() / 2;
    let middle = start + own.partition_point(|&key| key <= middle);
    out.extend(of_list(keys, start..middle, part.source));
    out.extend(of_list(keys, middle..start + own.len(), part.source));
}

/// Finds the window that holds the `k`-th smallest value, drops what lies outside it, and takes what lies below off `k`.
/// `None` if there are not so many values.
fn narrow(parts: &mut Vec<Part>, k: &mut u64, highs: &mut Vec<(u64, u64)>) -> Option<Interval> {
    // Halves stand where their whole stood: mostly in order already.
    parts.sort_by_key(|part| part.keys.low);
    highs.clear();
    highs.extend(parts.iter().map(|part| (part.keys.high, part.rows)));
    highs.sort_by_key(|&(high, _)| high);
    let low = reach(parts.iter().map(|part| (part.keys.low, part.rows)), *k)?;
    let high = reach(highs.iter().copied(), *k)?.max(low);
    parts.retain(|part| {
        if part.keys.high < low {
            *k = k.saturating_sub(part.rows);
        }
        part.keys.high >= low && part.keys.low <= high
    });
    Some(Interval { low, high })
}

/// The first key of an ascending list up to which there are more than `k` rows.
fn reach(list: impl Iterator<Item = (u64, u64)>, k: u64) -> Option<u64> {
    let mut rows = 0u64;
    for (key, count) in list {
        rows = rows.saturating_add(count);
        if rows > k {
            return Some(key);
        }
    }
    None
}

/// The `k`-th smallest of all parts, where they hold few values that are read at once.
fn list(sources: &[Source<'_>], parts: &[Part], k: u64) -> Result<Option<u64>> {
    let rows: u64 = parts.iter().map(|part| part.rows).fold(0, u64::saturating_add);
    let at_once = |part: &Part| match (&part.at, sources.get(part.source)) {
        (At::Group(group), Some(Source::Column(descent))) => descent.is_leaf(group),
        _ => true,
    };
    if rows > LISTED || !parts.iter().all(at_once) {
        return Ok(None);
    }
    let mut keys = Vec::with_capacity(usize::try_from(rows).unwrap_or(0));
    for part in parts {
        match (&part.at, sources.get(part.source)) {
            (At::Group(group), Some(Source::Column(descent))) => descent.list(group, &mut keys)?,
            (At::Sorted(start), Some(Source::Sorted(list))) => {
                let end = start + usize::try_from(part.rows).unwrap_or(0);
                keys.extend_from_slice(list.get(*start..end).unwrap_or_default());
            }
            _ => {}
        }
    }
    let Some(place) = usize::try_from(k).ok().filter(|&place| place < keys.len()) else {
        return Ok(None);
    };
    Ok(Some(*keys.select_nth_unstable(place).1))
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
                prop_assert_eq!(nth(&mut sources, k as u64).unwrap(), Some(all[k]), "{} of {}", k, len);
            }
        }
    }
}
