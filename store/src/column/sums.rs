//! Sums, moments and extremes over ranges of a numeric column: totals and trees for what is whole, codes in no
//! particular order for what is not.

use std::ops::Range;

use super::Sum;
use super::moments::{FloatSum, Moments, WeightSums, add_squares, add_weights};
use super::numeric::Numeric;
use crate::codes::CodesKind;
use crate::domain::decimal::POWERS;
use crate::domain::{Domain, integer_of};
use crate::error::Result;
use crate::value::number_of;

/// Rows decoded at a time.
const AT_ONCE: u64 = 1 << 14;

/// Rows of a node that are listed rather than split.
const FEW_ROWS: u64 = 2;

/// What is known of the values at the ends of ranges.
enum Beyond {
    /// One is smaller, or larger, than all others: this.
    Key(u64),
    /// None is.
    None,
    /// It is to be found out another way.
    Unknown,
}

/// Partial steps or blocks at the ends of ranges: what is to be added to totals, and what to be taken off.
#[derive(Debug, Default)]
struct Ends {
    more: Vec<Range<u64>>,
    less: Vec<Range<u64>>,
}

impl Ends {
    /// What lies between a border and `position`, seen from where a range ends.
    fn push(&mut self, border: u64, position: u64, is_end: bool) {
        let (list, rows) = if (border < position) == is_end {
            (&mut self.more, border.min(position)..border.max(position))
        } else {
            (&mut self.less, border.min(position)..border.max(position))
        };
        if !rows.is_empty() {
            list.push(rows);
        }
    }
}

impl Numeric {
    /// Sum of the values at `ranges`.
    pub(crate) fn sum(&self, ranges: &[Range<u64>]) -> Result<Sum> {
        if !self.statistics.is_exact() {
            return Ok(Sum::Float(self.float_sum(ranges)?.value()));
        }
        let mut count: u64 = ranges.iter().map(|r| r.end.saturating_sub(r.start)).sum();
        let mut weight = self.weight(ranges)?;
        let mut beside = None;
        if let Some(exceptions) = &self.exceptions {
            let others = exceptions.count_all(ranges)?;
            if others > 0 {
                count = count.saturating_sub(others);
                let theirs = u128::from(others).wrapping_mul(self.statistics.blank().into());
                weight = weight.wrapping_sub(theirs);
                beside = Some(exceptions.float_sum(ranges)?);
            }
        }
        let (origin, step, scale) = self.units()?;
        let total = i128::from(step)
            .wrapping_mul(weight as i128)
            .wrapping_add(origin.wrapping_mul(count.into()));
        if !self.ty.is_float() {
            return Ok(Sum::Integer(total));
        }
        let finite = total as f64 / scale;
        let beside = beside.unwrap_or_default();
        Ok(Sum::Float(FloatSum { finite, flags: 0 }.add(beside).value()))
    }

    /// What weight 0 and one more stand for, and what both are divided by (exact statistics).
    fn units(&self) -> Result<(i128, u64, f64)> {
        Ok(match &self.domain {
            Domain::Steps(steps) => (integer_of(self.ty, steps.base), steps.step, 1.0),
            Domain::Dictionary(dictionary) => (integer_of(self.ty, dictionary.key(0)?), 1, 1.0),
            Domain::Grid(grid) => (
                grid.origin.into(),
                grid.step,
                POWERS[usize::from(grid.digits) % POWERS.len()],
            ),
        })
    }

    /// Number, mean and spread of the values at `ranges`.
    pub(crate) fn moments(&self, ranges: &[Range<u64>]) -> Result<Moments> {
        if !self.statistics.is_exact() {
            return self.float_moments(ranges);
        }
        if !self.statistics.has_squares() {
            let mut all = Moments::default();
            for range in ranges {
                all = all.merge(self.moments_of_keys(range.clone())?);
            }
            return Ok(all);
        }
        let bits = self.statistics.block_bits();
        let mut sums = WeightSums::default();
        let mut ends = Ends::default();
        for range in ranges {
            sums.count += range.end.saturating_sub(range.start);
            let (first, last) = (near(range.start, bits), near(range.end, bits));
            if first == last {
                ends.more.push(range.clone());
                continue;
            }
            let (start, end) = ((first << bits).min(self.len()), (last << bits).min(self.len()));
            ends.push(start, range.start, false);
            ends.push(end, range.end, true);
            let statistics = &self.statistics;
            let total = statistics.total(last)?.wrapping_sub(statistics.total(first)?);
            sums.total = sums.total.wrapping_add(total);
            let squares = statistics.total_of_squares(last)?;
            let squares = squares.wrapping_sub(statistics.total_of_squares(first)?);
            sums.squares = sums.squares.wrapping_add(squares);
        }
        for (list, sign) in [(&ends.more, 1u128), (&ends.less, u128::MAX)] {
            let (total, squares) = self.weigh(list, true)?;
            sums.total = sums.total.wrapping_add(total.wrapping_mul(sign));
            sums.squares = sums.squares.wrapping_add(squares.wrapping_mul(sign));
        }
        let mut beside = Moments::default();
        if let Some(exceptions) = &self.exceptions {
            let others = exceptions.count_all(ranges)?;
            if others > 0 {
                let (count, blank) = (u128::from(others), u128::from(self.statistics.blank()));
                sums.count = sums.count.saturating_sub(others);
                sums.total = sums.total.wrapping_sub(blank.wrapping_mul(count));
                let squares = blank.wrapping_mul(blank).wrapping_mul(count);
                sums.squares = sums.squares.wrapping_sub(squares);
                beside = exceptions.moments(ranges)?;
            }
        }
        let (origin, step, scale) = self.units()?;
        Ok(sums.moments(origin, step, scale).merge(beside))
    }

    /// Total weight at `ranges` (exact statistics).
    fn weight(&self, ranges: &[Range<u64>]) -> Result<u128> {
        let mut total = 0u128;
        let mut ends = Ends::default();
        let step = 1u64 << self.statistics.step_bits();
        for range in ranges {
            if range.end.saturating_sub(range.start) <= step / 2 {
                ends.more.push(range.clone());
                continue;
            }
            let (start, before) = self.statistics.total_near(range.start)?;
            let (end, last) = self.statistics.total_near(range.end)?;
            total = total.wrapping_add(last).wrapping_sub(before);
            ends.push(start, range.start, false);
            ends.push(end, range.end, true);
        }
        let more = self.weigh(&ends.more, false)?.0;
        let less = self.weigh(&ends.less, false)?.0;
        Ok(total.wrapping_add(more).wrapping_sub(less))
    }

    /// Weights at `ranges`, and their squares where wanted, added up. Ranges may overlap.
    fn weigh(&self, ranges: &[Range<u64>], squares: bool) -> Result<(u128, u128)> {
        let (mut total, mut total_of_squares) = (0u128, 0u128);
        self.for_codes(ranges, |codes| {
            match &self.domain {
                Domain::Steps(_) => {}
                Domain::Grid(grid) => grid.turn_to_units(codes),
                Domain::Dictionary(dictionary) => {
                    let base = dictionary.key(0)?;
                    dictionary.keys(codes)?;
                    codes.iter_mut().for_each(|key| *key = key.wrapping_sub(base));
                }
            }
            total = total.wrapping_add(add_weights(codes));
            if squares {
                total_of_squares = total_of_squares.wrapping_add(add_squares(codes));
            }
            Ok(())
        })?;
        if let (Some(exceptions), Domain::Grid(grid)) = (&self.exceptions, &self.domain) {
            // They were added by the code they share.
            let blank = u128::from(self.statistics.blank());
            for range in ranges {
                exceptions.for_each(range.clone(), |_, key| {
                    let unit = u128::from(grid.unit(grid.at_most(key).unwrap_or(0)));
                    total = total.wrapping_add(blank).wrapping_sub(unit);
                    total_of_squares = total_of_squares
                        .wrapping_add(blank.wrapping_mul(blank))
                        .wrapping_sub(unit.wrapping_mul(unit));
                })?;
            }
        }
        Ok((total, total_of_squares))
    }

    /// Calls `each` with the codes at `ranges`, in no particular order, some thousand at a time.
    fn for_codes(&self, ranges: &[Range<u64>], mut each: impl FnMut(&mut [u64]) -> Result<()>) -> Result<()> {
        let mut codes = Vec::new();
        let mut rest = ranges;
        while !rest.is_empty() {
            let mut rows = 0u64;
            let count = rest
                .iter()
                .take_while(|range| {
                    rows = rows.saturating_add(range.end.saturating_sub(range.start));
                    rows <= AT_ONCE
                })
                .count();
            let (here, behind) = rest.split_at(count.max(1));
            codes.clear();
            self.codes.decode_unordered(here, &mut codes)?;
            each(&mut codes)?;
            rest = behind;
        }
        Ok(())
    }

    /// Sum of the floats at `ranges` (tree statistics).
    pub(crate) fn float_sum(&self, ranges: &[Range<u64>]) -> Result<FloatSum> {
        let bits = self.statistics.step_bits();
        let mut total = FloatSum::default();
        let mut ends = Ends::default();
        for range in ranges {
            let (low, high) = (range.start.div_ceil(1 << bits), range.end >> bits);
            if low >= high {
                ends.more.push(range.clone());
            } else {
                ends.push(low << bits, range.start, false);
                ends.push(high << bits, range.end, true);
                total = total.add(self.statistics.float_sum(low, high)?);
            }
        }
        debug_assert!(ends.less.is_empty(), "floats are only added");
        self.for_floats(&ends.more, |values| total = total.add(FloatSum::of(values)))?;
        Ok(total)
    }

    fn float_moments(&self, ranges: &[Range<u64>]) -> Result<Moments> {
        let bits = self.statistics.block_bits();
        let mut all = Moments::default();
        let mut ends = Vec::new();
        for range in ranges {
            let (low, high) = (range.start.div_ceil(1 << bits), range.end >> bits);
            if low >= high {
                ends.push(range.clone());
            } else {
                all = all.merge(self.statistics.moments(low, high)?);
                ends.extend([range.start..low << bits, high << bits..range.end]);
            }
        }
        self.for_floats(&ends, |values| all = all.merge(Moments::of(values)))?;
        Ok(all)
    }

    /// Calls `each` with the floats at `ranges`.
    fn for_floats(&self, ranges: &[Range<u64>], mut each: impl FnMut(&[f64])) -> Result<()> {
        let mut values = Vec::new();
        let mut call = |keys: &[u64]| {
            values.clear();
            values.extend(keys.iter().map(|&key| number_of(self.ty, key)));
            if !values.is_empty() {
                each(&values);
            }
        };
        if self.exceptions.is_none() {
            return self.for_codes(ranges, |codes| {
                self.domain.keys(codes)?;
                call(codes);
                Ok(())
            });
        }
        for range in ranges {
            self.for_keys(range.clone(), &mut call)?;
        }
        Ok(())
    }

    fn moments_of_keys(&self, range: Range<u64>) -> Result<Moments> {
        let mut all = Moments::default();
        self.for_keys(range, &mut |keys| {
            let values: Vec<f64> = keys.iter().map(|&key| number_of(self.ty, key)).collect();
            all = all.merge(Moments::of(&values));
        })?;
        Ok(all)
    }

    /// Calls `each` with the keys of `range` in their order, some thousand at a time.
    fn for_keys(&self, range: Range<u64>, each: &mut dyn FnMut(&[u64])) -> Result<()> {
        let mut keys = Vec::new();
        let mut start = range.start;
        while start < range.end {
            let end = range.end.min(start + AT_ONCE);
            keys.clear();
            keys.resize(usize::try_from(end - start).unwrap_or(0), 0);
            self.decode(start..end, &mut keys)?;
            each(&keys);
            start = end;
        }
        Ok(())
    }

    /// Smallest and largest key at `ranges`.
    ///
    /// Bounds answer for whole blocks; the ends of a range are looked into only where their blocks' bounds say that it
    /// could matter.
    pub(crate) fn min_max(&self, ranges: &[Range<u64>]) -> Result<Option<(u64, u64)>> {
        let bits = self.statistics.block_bits();
        let mut best: Option<(u64, u64)> = None;
        let mut ends = Vec::with_capacity(2);
        for range in ranges.iter().filter(|range| range.start < range.end) {
            let (low, high) = (range.start.div_ceil(1 << bits), range.end >> bits);
            if low >= high {
                ends.push(range.clone());
                continue;
            }
            let Some(found) = self.statistics.bounds(low, high)? else {
                return self.min_max_of_codes(ranges);
            };
            best = Some(best.map_or(found, |best| (best.0.min(found.0), best.1.max(found.1))));
            let sides = [range.start..low << bits, high << bits..range.end];
            ends.extend(sides.into_iter().filter(|rows| !rows.is_empty()));
        }
        let Some(best) = best else {
            return self.min_max_of_codes(ranges);
        };
        let (mut lower, mut higher) = (Vec::new(), Vec::new());
        for rows in ends {
            let (low, high) = (rows.start >> bits, rows.end.div_ceil(1 << bits));
            let (low, high) = self.statistics.bounds(low, high)?.unwrap_or((0, u64::MAX));
            if high > best.1 {
                higher.push(rows.clone());
            }
            if low < best.0 {
                lower.push(rows);
            }
        }
        let mut keys = (self.domain.key(best.0)?, self.domain.key(best.1)?);
        if let Some(exceptions) = &self.exceptions {
            if let Some((low, high)) = exceptions.min_max(ranges)? {
                keys = (keys.0.min(low), keys.1.max(high));
            }
        }
        if self.codes.kind() != CodesKind::Wavelet {
            lower.append(&mut higher);
            lower.sort_unstable_by_key(|rows| rows.start);
            lower.dedup();
            if let Some((low, high)) = self.min_max_of_codes(&lower)? {
                keys = (keys.0.min(low), keys.1.max(high));
            }
            return Ok(Some(keys));
        }
        if !lower.is_empty() {
            keys.0 = match self.beyond(&lower, best.0, false)? {
                Beyond::Key(key) => keys.0.min(key),
                Beyond::Unknown => keys.0.min(self.quantile(&lower, 0)?),
                Beyond::None => keys.0,
            };
        }
        if !higher.is_empty() {
            let rows: u64 = higher.iter().map(|rows| rows.end - rows.start).sum();
            keys.1 = match self.beyond(&higher, best.1, true)? {
                Beyond::Key(key) => keys.1.max(key),
                Beyond::Unknown => keys.1.max(self.quantile(&higher, rows.saturating_sub(1))?),
                Beyond::None => keys.1,
            };
        }
        Ok(Some(keys))
    }

    /// The smallest key at `ranges` if its code is below `best`, or the largest if its code is above.
    ///
    /// A descent that ends where the interval of a node says that nothing below it is any better.
    fn beyond(&self, ranges: &[Range<u64>], best: u64, above: bool) -> Result<Beyond> {
        if let Some(exceptions) = &self.exceptions {
            // They stand at codes that are not their values'.
            if exceptions.count_all(ranges)? > 0 {
                return Ok(Beyond::Unknown);
            }
        }
        let Some(tree) = self.codes.tree() else {
            return Ok(Beyond::Unknown);
        };
        let (mut places, mut next, mut codes) = (Vec::new(), Vec::new(), Vec::new());
        let mut node = tree.root(ranges, &mut places)?;
        loop {
            if node.rows == 0 || (!above && node.low >= best) || (above && node.high() <= best) {
                return Ok(Beyond::None);
            }
            if node.bits == 0 || node.rows <= FEW_ROWS {
                if node.bits == 0 {
                    codes.push(node.low);
                } else {
                    tree.list(&node, &places, &mut codes)?;
                }
                let found = if above {
                    codes.iter().max().filter(|code| **code > best)
                } else {
                    codes.iter().min().filter(|code| **code < best)
                };
                return Ok(match found {
                    Some(&code) => Beyond::Key(self.domain.key(code)?),
                    None => Beyond::None,
                });
            }
            next.clear();
            let [low, high] = tree.split(&node, &places, &mut next)?;
            let (first, second) = if above { (high, low) } else { (low, high) };
            node = if first.rows > 0 { first } else { second };
            std::mem::swap(&mut places, &mut next);
        }
    }

    /// The same from codes alone.
    fn min_max_of_codes(&self, ranges: &[Range<u64>]) -> Result<Option<(u64, u64)>> {
        if self.exceptions.is_some() {
            let total: u64 = ranges.iter().map(|r| r.end.saturating_sub(r.start)).sum();
            return match total.checked_sub(1) {
                None => Ok(None),
                Some(last) => Ok(Some((self.quantile(ranges, 0)?, self.quantile(ranges, last)?))),
            };
        }
        match self.codes.min_max(ranges)? {
            None => Ok(None),
            Some((low, high)) => Ok(Some((self.domain.key(low)?, self.domain.key(high)?))),
        }
    }
}

/// The block border nearest to `position`, in blocks.
fn near(position: u64, bits: u32) -> u64 {
    (position + (1 << bits >> 1)) >> bits
}
