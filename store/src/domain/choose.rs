//! Which domain a column gets: the one with the fewest estimated bits on a sample, among those that are exact.
//!
//! The estimate of a sequence of codes is the mean width of the differences of neighbours, plus one bit, and never more
//! than the width of their range: what an adaptive wavelet matrix and most other layouts come close to.

use std::collections::HashMap;

use super::DomainKind;
use super::boolean::BOOLEAN;
use super::decimal::{Grid, LIMIT, POWERS, key_of_number, number_near};
use super::dictionary::Dictionary;
use super::integer::{Steps, gcd};
use super::{single, ulp};
use crate::column::Hints;
use crate::column::packed::width_of;
use crate::schema::ColumnType;

mod candidates;

pub(crate) use candidates::{candidates, grid_name};

/// Consecutive keys in one piece of the sample.
const PIECE: usize = 64;
/// Pieces of the sample.
const PIECES: usize = 64;
/// Bits that an exception takes beside its key: its place, and its rank among the others.
const EXCEPTION_BITS: f64 = 14.0;
/// A larger dictionary is not tried.
const DICTIONARY_LIMIT: usize = 1 << 16;

/// A column's keys in code form.
#[derive(Debug)]
pub(crate) struct Coded {
    /// The domain.
    pub(crate) kind: DomainKind,
    /// Its parameters as bytes.
    pub(crate) header: Vec<u8>,
    /// One code a key; that of the greatest value below where the key is an exception.
    pub(crate) codes: Vec<u64>,
    /// Place and key of each exception.
    pub(crate) exceptions: Vec<(u64, u64)>,
}

/// Picks a domain for `keys` and maps them.
pub(crate) fn encode(ty: ColumnType, keys: &[u64], hints: &Hints) -> Coded {
    if ty == ColumnType::Bool {
        return steps(DomainKind::Boolean, BOOLEAN, keys);
    }
    if ty.is_float() {
        let sample = Sample::of(keys);
        if let Some((grid, cost)) = best_grid(&sample, ty == ColumnType::F64, hints) {
            // A dictionary must beat the grid; plain bits are left when neither is good.
            if sample.dictionary_bits() < cost {
                if let Some(coded) = dictionary(keys, cost, &sample) {
                    return coded;
                }
            }
            if let Some(coded) = on_grid(grid, keys) {
                return coded;
            }
        }
        return encode_exact(ty, keys);
    }
    encode_exact(ty, keys)
}

/// Maps `keys` in a domain that leaves no exceptions.
pub(crate) fn encode_exact(ty: ColumnType, keys: &[u64]) -> Coded {
    let sample = Sample::of(keys);
    let fitted = Steps::fit(keys);
    let cost = sample.bits(|key| Some(key.wrapping_sub(fitted.base) / fitted.step));
    if sample.dictionary_bits() + 0.5 < cost {
        if let Some(coded) = dictionary(keys, cost, &sample) {
            return coded;
        }
    }
    steps(
        if ty.is_float() {
            DomainKind::Float
        } else {
            DomainKind::Integer
        },
        fitted,
        keys,
    )
}

fn steps(kind: DomainKind, steps: Steps, keys: &[u64]) -> Coded {
    let codes = steps.codes(keys);
    Coded {
        kind,
        header: steps.write(keys.len() as u64),
        codes,
        exceptions: Vec::new(),
    }
}

fn dictionary(keys: &[u64], limit_bits: f64, sample: &Sample) -> Option<Coded> {
    let distinct = Dictionary::distinct(keys, DICTIONARY_LIMIT.min(keys.len() / 4 + 1))?;
    let bits = distinct.len() as f64 * 64.0 / keys.len().max(1) as f64
        + sample.bits(|key| distinct.binary_search(&key).ok().map(|place| place as u64));
    (bits < limit_bits).then(|| Coded {
        kind: DomainKind::Dictionary,
        header: Dictionary::write(&distinct, keys.len() as u64),
        codes: Dictionary::codes(&distinct, keys),
        exceptions: Vec::new(),
    })
}

/// Maps keys to a grid whose origin, step and last unit are still to be found.
fn on_grid(mut grid: Grid, keys: &[u64]) -> Option<Coded> {
    let half = if grid.ulp_bits == 0 {
        0i64
    } else {
        1 << (grid.ulp_bits - 1)
    };
    let number = |key: u64| {
        let number = number_near(key, grid.digits, grid.wide)?;
        if grid.single.is_some() && number.abs() >= single::LIMIT {
            return None;
        }
        let off = key.wrapping_sub(grid.form().key(number)) as i64;
        (if half == 0 {
            off == 0
        } else {
            (-half..half).contains(&off)
        })
        .then_some(number)
    };
    let (mut low, mut high) = (i64::MAX, i64::MIN);
    let mut first = None;
    let mut step = 0;
    for &key in keys {
        let Some(number) = number(key) else { continue };
        low = low.min(number);
        high = high.max(number);
        if step != 1 {
            step = gcd(number.abs_diff(*first.get_or_insert(number)), step);
        }
    }
    if low > high {
        return None;
    }
    grid.step = if grid.split { 1 } else { step.max(1) };
    grid.origin = if grid.split { low.div_euclid(10) * 10 } else { low };
    grid.last = high.abs_diff(grid.origin) / grid.step;
    if grid.ulp_bits > 0 && !ulp::has_room(&grid) {
        return on_grid(Grid { ulp_bits: 0, ..grid }, keys);
    }
    let mut exceptions = Vec::new();
    let codes = keys
        .iter()
        .enumerate()
        .map(|(place, &key)| {
            grid.exact(key).unwrap_or_else(|| {
                exceptions.push((place as u64, key));
                grid.at_most(key).unwrap_or(0)
            })
        })
        .collect();
    // What the sample did not show: a grid that holds few of the values is worse than their bits.
    if exceptions.len() * 4 > keys.len() {
        return None;
    }
    Some(Coded {
        kind: grid.kind(),
        header: grid.write(keys.len() as u64),
        codes,
        exceptions,
    })
}

/// The grid with the fewest bits on the sample, and those bits; `None` if no grid beats total-order bits.
fn best_grid(sample: &Sample, wide: bool, hints: &Hints) -> Option<(Grid, f64)> {
    let mut best: Option<(Grid, f64)> = None;
    let plain = sample.bits(Some);
    grids(sample, wide, &mut |grid, mut bits| {
        if hints.digits == Some(grid.digits) {
            // Segments on one grid answer together: worth a little.
            bits -= 0.25;
        }
        if bits < plain && best.as_ref().is_none_or(|(_, least)| bits < *least) {
            best = Some((grid, bits));
        }
    });
    best
}

/// Tells `consider` of the grids that hold most of the sample, each with its estimated bits a value.
fn grids(sample: &Sample, wide: bool, consider: &mut dyn FnMut(Grid, f64)) {
    let blank = Grid {
        origin: 0,
        step: 1,
        last: 0,
        digits: 0,
        ulp_bits: 0,
        split: false,
        wide,
        single: None,
    };
    let most = if wide { 17 } else { 10 };
    for digits in 0..=most {
        let grid = Grid { digits, ..blank };
        let report = sample.on_grid(digits, wide);
        if report.near == 0 {
            break;
        }
        if report.exact * 2 > sample.keys.len() {
            consider(grid, report.plain_bits);
            if report.split_bits < report.plain_bits - 0.3 {
                consider(Grid { split: true, ..grid }, report.split_bits);
            }
        }
        if report.exact < sample.keys.len() && report.ulp_bits > 0 {
            consider(
                Grid {
                    ulp_bits: report.ulp_bits,
                    ..grid
                },
                report.ulp_cost,
            );
        }
        if report.exact == sample.keys.len() {
            break;
        }
    }
    // After the others, which win a tie; printed singles are exact decimals too, with many digits.
    if let Some((grid, bits)) = sample.through_single(blank) {
        consider(grid, bits);
    }
}

/// What a number of digits would cost.
#[derive(Debug, Default)]
struct Report {
    exact: usize,
    /// Values whose scaled form is small enough for a grid.
    near: usize,
    plain_bits: f64,
    split_bits: f64,
    ulp_bits: u8,
    ulp_cost: f64,
}

/// Some pieces of a column.
struct Sample {
    keys: Vec<u64>,
    distinct: usize,
}

impl Sample {
    fn of(keys: &[u64]) -> Sample {
        let mut taken = Vec::with_capacity(PIECE * PIECES);
        if keys.len() <= PIECE * PIECES {
            taken.extend_from_slice(keys);
        } else {
            for piece in 0..PIECES {
                let start = piece * (keys.len() - PIECE) / (PIECES - 1);
                taken.extend_from_slice(&keys[start..start + PIECE]);
            }
        }
        let mut sorted = taken.clone();
        sorted.sort_unstable();
        sorted.dedup();
        Sample {
            keys: taken,
            distinct: sorted.len(),
        }
    }

    /// Estimated bits of a code, counting only keys that have one.
    fn bits(&self, code: impl Fn(u64) -> Option<u64>) -> f64 {
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

    /// A bound on what a dictionary costs, from the sample alone.
    fn dictionary_bits(&self) -> f64 {
        if self.distinct * 2 > self.keys.len() {
            return f64::INFINITY;
        }
        0.0
    }

    /// What a grid of `digits` digits would cost.
    fn on_grid(&self, digits: u8, wide: bool) -> Report {
        debug_assert!((digits as usize) < POWERS.len(), "the power is exact");
        let total = self.keys.len().max(1) as f64;
        let mut report = Report::default();
        let mut exceptions: Vec<u64> = Vec::new();
        let mut corrections: HashMap<i64, usize> = HashMap::new();
        let mut last_digits = [0usize; 10];
        let mut first = None;
        let mut step = 0;
        let exact = |key: u64| {
            let number = number_near(key, digits, wide)?;
            (key_of_number(number, digits, wide) == key).then_some(number)
        };
        for &key in &self.keys {
            if let Some(off) = ulp::correction(key, digits, wide) {
                report.near += 1;
                *corrections.entry(off).or_default() += 1;
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
            let entropy = entropy(last_digits.iter().copied());
            beside + self.bits(|key| exact(key).map(|number| code(number) / 10)) + 1.2 * entropy + 0.1
        } else {
            f64::INFINITY
        };
        self.with_corrections(digits, wide, &corrections, &mut report);
        report
    }

    /// The grid of decimals that went through a 32-bit float, and its bits, if that is what the sample is.
    fn through_single(&self, blank: Grid) -> Option<(Grid, f64)> {
        let form = blank.wide.then(|| single::recognize(&self.keys))??;
        let number = |key: u64| number_near(key, form.digits, true).filter(|n| n.abs() < single::LIMIT);
        let mut corrections = [0usize; 4];
        let mut outside = 0usize;
        for &key in &self.keys {
            let off = number(key).map(|n| key.wrapping_sub(form.key(n)).wrapping_add(2));
            match off.and_then(|off| corrections.get_mut(usize::try_from(off).ok()?)) {
                Some(count) => *count += 1,
                None => outside += 1,
            }
        }
        let corrected = corrections.iter().sum::<usize>() > corrections[2];
        let mut bits = self.bits(|key| number(key).map(|n| (n + LIMIT) as u64));
        bits += outside as f64 * (64.0 + EXCEPTION_BITS) / self.keys.len().max(1) as f64;
        if corrected {
            bits += 1.15 * entropy(corrections.iter().copied()) + 0.1;
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
    fn with_corrections(
        &self,
        digits: u8,
        wide: bool,
        corrections: &HashMap<i64, usize>,
        report: &mut Report,
    ) {
        let total = self.keys.len().max(1) as f64;
        let base = self.bits(|key| {
            number_near(key, digits, wide)
                .filter(|&n| ulp::in_limit(n))
                .map(|n| (n + LIMIT) as u64)
        });
        report.ulp_cost = f64::INFINITY;
        for bits in 2..=12u8 {
            let half = 1i64 << (bits - 1);
            let inside = |off: &i64| (-half..half).contains(off);
            let held: usize = corrections
                .iter()
                .filter(|(off, _)| inside(off))
                .map(|(_, count)| count)
                .sum();
            if held * 4 < self.keys.len() * 3 {
                continue;
            }
            let entropy = entropy(
                corrections
                    .iter()
                    .filter(|(off, _)| inside(off))
                    .map(|(_, count)| *count),
            );
            let outside = (total - held as f64) * (64.0 + EXCEPTION_BITS) / total;
            let cost = base + 1.15 * entropy + 0.05 * f64::from(bits) + outside;
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

fn entropy(counts: impl Iterator<Item = usize> + Clone) -> f64 {
    let total = counts.clone().sum::<usize>() as f64;
    counts
        .filter(|&c| c > 0)
        .map(|c| c as f64 / total * (total / c as f64).log2())
        .sum()
}
