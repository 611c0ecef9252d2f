//! Some pieces of a column, and what domains would cost on them.

use crate::column::packed::width_of;
use crate::domain::decimal::{Grid, LIMIT, POWERS, key_of_number, number_near};
use crate::domain::integer::gcd;
use crate::domain::{single, ulp};

/// Consecutive keys in one piece of the sample.
const PIECE: usize = 64;
/// Most pieces of the sample, and fewest if not all rows are taken.
const PIECES: usize = 64;
const FEWEST_PIECES: usize = 16;
/// Rows for each piece: a twentieth of a column is looked at.
const ROWS_A_PIECE: usize = 20 * PIECE;
/// Bits that an exception takes beside its key: its place, and its rank among the others.
const EXCEPTION_BITS: f64 = 14.0;
/// Widest correction that is tried, in bits, and its reach.
const WIDEST_BITS: u8 = 12;
const WIDEST: usize = 1 << (WIDEST_BITS - 1);

/// What a number of digits would cost.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) exact: usize,
    /// Values whose scaled form is small enough for a grid.
    pub(super) near: usize,
    pub(super) plain_bits: f64,
    pub(super) split_bits: f64,
    pub(super) ulp_bits: u8,
    pub(super) ulp_cost: f64,
}

/// Some pieces of a column.
pub(super) struct Sample {
    pub(super) keys: Vec<u64>,
    /// Sorted, without repeats.
    distinct: Vec<u64>,
}

impl Sample {
    pub(super) fn of(keys: &[u64]) -> Sample {
        let mut taken = Vec::with_capacity(PIECE * PIECES);
        if keys.len() <= PIECE * PIECES {
            taken.extend_from_slice(keys);
        } else {
            let pieces = (keys.len() / ROWS_A_PIECE).clamp(FEWEST_PIECES, PIECES);
            for piece in 0..pieces {
                let start = piece * (keys.len() - PIECE) / (pieces - 1);
                taken.extend_from_slice(&keys[start..start + PIECE]);
            }
        }
        let mut sorted = taken.clone();
        sorted.sort_unstable();
        sorted.dedup();
        Sample {
            keys: taken,
            distinct: sorted,
        }
    }

    /// Estimated bits of a code, counting only keys that have one.
    pub(super) fn bits(&self, code: impl Fn(u64) -> Option<u64>) -> f64 {
        let (mut low, mut high, mut sum, mut count) = (u64::MAX, 0u64, 0u64, 0u64);
        for piece in self.keys.chunks(PIECE) {
            let mut previous = None;
            for &key in piece {
                let Some(code) = code(key) else { continue };
                low = low.min(code);
                high = high.max(code);
                if let Some(previous) = previous {
                    let width = width_of(code.abs_diff(previous));
                    sum += u64::from(if width == 0 { 0 } else { width + 1 });
                    count += 1;
                }
                previous = Some(code);
            }
        }
        if count == 0 {
            return 0.0;
        }
        (sum as f64 / count as f64 + 0.2).min(f64::from(width_of(high.saturating_sub(low))))
    }

    /// Less than a dictionary would cost, from the sample alone: places among all distinct keys are further apart than
    /// among those of the sample.
    pub(super) fn dictionary_bits(&self) -> f64 {
        if self.distinct.len() * 2 > self.keys.len() {
            return f64::INFINITY;
        }
        self.bits(|key| self.distinct.binary_search(&key).ok().map(|place| place as u64)) + 0.5
    }

    /// What a grid of `digits` digits would cost.
    pub(super) fn on_grid(&self, digits: u8, wide: bool) -> Report {
        debug_assert!((digits as usize) < POWERS.len(), "the power is exact");
        let total = self.keys.len().max(1) as f64;
        let mut report = Report::default();
        let mut exceptions: Vec<u64> = Vec::new();
        if !self.may_fit(digits, wide, &mut report) {
            return report;
        }
        let mut corrections = [0u32; 2 * WIDEST];
        let mut last_digits = [0u32; 10];
        let mut first = None;
        let mut step = 0;
        let exact = |key: u64| {
            let number = number_near(key, digits, wide)?;
            (key_of_number(number, digits, wide) == key).then_some(number)
        };
        for &key in &self.keys {
            if let Some(off) = ulp::correction(key, digits, wide) {
                report.near += 1;
                let slot = usize::try_from(off.saturating_add(WIDEST as i64)).ok();
                if let Some(count) = slot.and_then(|slot| corrections.get_mut(slot)) {
                    *count += 1;
                }
            }
            if let Some(number) = exact(key) {
                report.exact += 1;
                #[expect(clippy::cast_possible_truncation, reason = "a digit")]
                {
                    last_digits[number.rem_euclid(10) as usize] += 1;
                }
                step = gcd(number.abs_diff(*first.get_or_insert(number)), step);
            } else {
                exceptions.push(key);
            }
        }
        let code = |number: i64| (number + LIMIT) as u64;
        let beside = exceptions_cost(&mut exceptions) / total;
        let step = step.max(1);
        report.plain_bits = beside + self.bits(|key| exact(key).map(|number| code(number) / step));
        report.split_bits = if step == 1 {
            let entropy = entropy(&last_digits);
            beside + self.bits(|key| exact(key).map(|number| code(number) / 10)) + 1.2 * entropy + 0.1
        } else {
            f64::INFINITY
        };
        self.with_corrections(digits, wide, &corrections, &mut report);
        report
    }

    /// Whether a small part of the sample leaves any hope for this number of digits.
    fn may_fit(&self, digits: u8, wide: bool, report: &mut Report) -> bool {
        let (mut looked_at, mut close, mut exact) = (0, 0, 0);
        for &key in self.keys.iter().step_by(11) {
            looked_at += 1;
            if let Some(off) = ulp::correction(key, digits, wide) {
                report.near += 1;
                close += usize::from(off.unsigned_abs() <= WIDEST as u64);
                exact += usize::from(off == 0);
            }
        }
        let may = close * 2 > looked_at || exact * 3 > looked_at || looked_at < 50;
        if may {
            report.near = 0;
        }
        may
    }

    /// The grid of decimals that went through a 32-bit float, and its bits, if that is what the sample is.
    pub(super) fn through_single(&self, blank: Grid) -> Option<(Grid, f64)> {
        let form = blank.wide.then(|| single::recognize(&self.keys))??;
        let number = |key: u64| number_near(key, form.digits, true).filter(|n| n.abs() < single::LIMIT);
        let mut corrections = [0u32; 4];
        let mut outside = 0usize;
        for &key in &self.keys {
            let off = number(key).map(|n| key.wrapping_sub(form.key(n)).wrapping_add(2));
            match off.and_then(|off| corrections.get_mut(usize::try_from(off).ok()?)) {
                Some(count) => *count += 1,
                None => outside += 1,
            }
        }
        let corrected = corrections.iter().sum::<u32>() > corrections[2];
        let mut bits = self.bits(|key| number(key).map(|n| (n + LIMIT) as u64));
        bits += outside as f64 * (64.0 + EXCEPTION_BITS) / self.keys.len().max(1) as f64;
        if corrected {
            bits += 1.15 * entropy(&corrections) + 0.1;
        }
        let grid = Grid {
            digits: form.digits,
            single: form.single,
            ulp_bits: if corrected { 2 } else { 0 },
            ..blank
        };
        Some((grid, bits))
    }

    /// Finds the width of corrections that pays best.
    fn with_corrections(&self, digits: u8, wide: bool, corrections: &[u32; 2 * WIDEST], report: &mut Report) {
        let total = self.keys.len().max(1) as f64;
        report.ulp_cost = f64::INFINITY;
        let mut base = None;
        for bits in 2..=WIDEST_BITS {
            let half = 1usize << (bits - 1);
            let inside = corrections.get(WIDEST - half..WIDEST + half).unwrap_or_default();
            let held: usize = inside.iter().map(|&count| count as usize).sum();
            if held * 4 < self.keys.len() * 3 {
                continue;
            }
            let base = *base.get_or_insert_with(|| {
                self.bits(|key| {
                    number_near(key, digits, wide)
                        .filter(|&n| ulp::in_limit(n))
                        .map(|n| (n + LIMIT) as u64)
                })
            });
            let outside = (total - held as f64) * (64.0 + EXCEPTION_BITS) / total;
            let cost = base + 1.15 * entropy(inside) + 0.05 * f64::from(bits) + outside;
            if cost < report.ulp_cost {
                report.ulp_cost = cost;
                report.ulp_bits = bits;
            }
        }
    }
}

/// Bits of all exceptions together.
fn exceptions_cost(keys: &mut Vec<u64>) -> f64 {
    let count = keys.len() as f64;
    keys.sort_unstable();
    keys.dedup();
    count * EXCEPTION_BITS + keys.len() as f64 * 60.0
}

fn entropy(counts: &[u32]) -> f64 {
    let total: f64 = counts.iter().map(|&count| f64::from(count)).sum();
    counts
        .iter()
        .filter(|&&count| count > 0)
        .map(|&count| f64::from(count) / total * (total / f64::from(count)).log2())
        .sum()
}
