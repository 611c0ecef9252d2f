//! Values within a stated error of what they were: each is moved to the nearest point of a coarse grid.
//!
//! Good at: cold readings of which fewer digits are wanted than were measured. Two grids:
//!
//! - an absolute error e: points 2e or a little less apart. Decimals are moved by whole units of their own last digit,
//!   an odd number of units apart, so that no value lies in the middle and what remains are decimals too; they are kept
//!   in the domain `decimal`. Integers likewise, in the domain `integer`.
//! - a relative error r, for floats: points a fixed number of representable floats apart, which is a logarithmic grid
//!   within a factor of two, with 0.0 on it. This is the domain `bounded`.
//!
//! Every value is checked when it is moved. One that would go too far, and what is not finite, stays as it was, as an
//! exception (see `column/exceptions.rs`). So the map is weakly monotone, and what is read back is the grid's value.
//!
//! ```text
//! offset  width  field
//!      0      8  n       number of codes
//!      8      8  base    key of code 0
//!     16      8  step    difference of the keys of neighbouring codes, at least 1
//!     24      8  last    largest code; base + step * last does not exceed 2^64 - 1
//!     32      8  zero
//!     40      -  exceptions, if any
//! ```

use super::choose::Coded;
use super::decimal::{Grid, LIMIT, POWERS, key_of_number, number_near};
use super::integer::{HEADER_BYTES as STEPS_BYTES, Steps, gcd};
use super::kind::DomainKind;
use crate::error::Result;
use crate::schema::ColumnType;
use crate::section::Section;
use crate::value::{above, below, key_of_f32, key_of_f64, number_of};

mod tolerance;

pub use tolerance::{Precision, Tolerance};

/// Values that a column's own grid is looked for in.
const SAMPLE: usize = 4096;
/// Most decimal digits of a column's own grid.
const MOST_DIGITS: u8 = 9;

/// Reads the parameters of the domain `bounded` and the number of codes.
///
/// # Errors
/// `Corrupt` if they describe no map.
pub(crate) fn open(section: &Section) -> Result<(Steps, u64)> {
    let opened = Steps::open(&section.sub(0..STEPS_BYTES)?)?;
    if section.u64(STEPS_BYTES)? != 0 {
        return Err(section.corrupt(STEPS_BYTES, "these bytes are zero in a bounded domain".into()));
    }
    Ok(opened)
}

/// Values that were moved to a grid.
#[derive(Debug)]
pub(crate) struct Moved {
    /// What is read back.
    pub(crate) keys: Vec<u64>,
    /// The same, as codes.
    pub(crate) coded: Coded,
    /// Largest error of any value, of the tolerance's kind; above 0.
    pub(crate) largest: f64,
}

/// Moves `keys` to a grid within `tolerance`. `None` where that would change nothing, or few values lie near a grid.
pub(crate) fn moved(ty: ColumnType, keys: &[u64], tolerance: Tolerance) -> Option<Moved> {
    if !tolerance.is_sound() || keys.is_empty() {
        return None;
    }
    match tolerance {
        Tolerance::Absolute(error) if ty.is_float() => decimals(ty, keys, error),
        Tolerance::Absolute(error) if ty.is_integer() => integers(ty, keys, error),
        Tolerance::Relative(share) if ty.is_float() => shares(ty, keys, share),
        _ => None,
    }
}

/// An odd number of units apart, so that the farthest value is a whole number of units away.
fn integers(ty: ColumnType, keys: &[u64], error: f64) -> Option<Moved> {
    let (low, high) = (*keys.iter().min()?, *keys.iter().max()?);
    let unit = keys
        .iter()
        .try_fold(0, |unit, &key| match gcd(key - low, unit) {
            1 => Err(()),
            found => Ok(found),
        })
        .map_or(1, |unit| unit.max(1));
    #[expect(clippy::cast_possible_truncation, reason = "positive; the cast saturates")]
    let reach = ((error / unit as f64).floor() as u64).min(1 << 61);
    if reach == 0 {
        return None;
    }
    let span = (high - low) / unit;
    let step = 2 * reach + 1;
    let last = span / step;
    // The first point is at most `reach` above the lowest value, and the last one within the type.
    let first = (span - last * step).min(reach);
    let steps = Steps {
        base: low + first * unit,
        step: step.saturating_mul(unit),
        last,
    };
    let mut largest = 0;
    let mut codes = Vec::with_capacity(keys.len());
    for &key in keys {
        let place = (key - low) / unit;
        let code = ((place + reach).saturating_sub(first) / step).min(last);
        debug_assert!(
            number_of(ty, steps.key(code)).is_finite() && steps.key(code).abs_diff(key) <= reach * unit
        );
        largest = largest.max(steps.key(code).abs_diff(key));
        codes.push(code);
    }
    (largest > 0 && largest as f64 <= error).then(|| Moved {
        keys: codes.iter().map(|&code| steps.key(code)).collect(),
        coded: Coded {
            kind: DomainKind::Integer,
            header: steps.write(keys.len() as u64),
            codes,
            exceptions: Vec::new(),
        },
        largest: largest as f64,
    })
}

/// Numbers of 10^-digits: `anchor`, and every `step` from it.
struct Lattice {
    digits: u8,
    anchor: i64,
    step: i64,
}

fn decimals(ty: ColumnType, keys: &[u64], error: f64) -> Option<Moved> {
    let wide = ty == ColumnType::F64;
    let lattice = own_lattice(ty, keys, error).or_else(|| round_lattice(error))?;
    let power = *POWERS.get(usize::from(lattice.digits))?;
    let (mut low, mut high, mut largest) = (i64::MAX, i64::MIN, 0f64);
    let mut numbers = Vec::with_capacity(keys.len());
    for &key in keys {
        let value = number_of(ty, key);
        let scaled = value * power - lattice.anchor as f64;
        let mut found = None;
        if scaled.abs() < (LIMIT / 2) as f64 {
            #[expect(clippy::cast_possible_truncation, reason = "below 2^51")]
            let nearest = (scaled / lattice.step as f64).round() as i64;
            for candidate in [nearest, nearest - 1, nearest + 1] {
                let number = lattice.anchor + candidate * lattice.step;
                let off = distance(number_of(ty, key_of_number(number, lattice.digits, wide)), value);
                if off <= error && number.abs() < LIMIT {
                    found = Some(number);
                    largest = largest.max(off);
                    break;
                }
            }
        }
        if let Some(number) = found {
            (low, high) = (low.min(number), high.max(number));
        }
        numbers.push(found);
    }
    let exceptions = numbers.iter().filter(|number| number.is_none()).count();
    if low > high || exceptions * 4 > keys.len() || largest == 0.0 {
        return None;
    }
    let grid = Grid {
        origin: low,
        step: lattice.step.unsigned_abs(),
        last: high.abs_diff(low) / lattice.step.unsigned_abs(),
        digits: lattice.digits,
        ulp_bits: 0,
        split: false,
        wide,
        single: None,
    };
    let codes = numbers
        .iter()
        .map(|number| number.map(|number| number.abs_diff(low) / grid.step));
    Some(finish(
        keys,
        codes,
        largest,
        DomainKind::Decimal,
        grid.write(keys.len() as u64),
        |key| grid.at_most(key),
        |code| grid.key(code),
    ))
}

/// The grid that most values lie on by themselves, made as coarse as the error allows.
fn own_lattice(ty: ColumnType, keys: &[u64], error: f64) -> Option<Lattice> {
    let wide = ty == ColumnType::F64;
    let stride = keys.len().div_ceil(SAMPLE).max(1);
    let sample: Vec<u64> = keys
        .iter()
        .step_by(stride)
        .copied()
        .filter(|&key| number_of(ty, key).is_finite())
        .collect();
    for digits in 0..=MOST_DIGITS {
        let numbers: Vec<i64> = sample
            .iter()
            .filter_map(|&key| {
                number_near(key, digits, wide).filter(|&n| key_of_number(n, digits, wide) == key)
            })
            .collect();
        if numbers.is_empty() || numbers.len() * 20 < sample.len() * 19 {
            continue;
        }
        let anchor = numbers[0];
        let unit = numbers
            .iter()
            .fold(0, |unit, n| gcd(n.abs_diff(anchor), unit))
            .max(1);
        let top = sample
            .iter()
            .map(|&key| number_of(ty, key).abs())
            .fold(0.0, f64::max);
        // Grid values are rounded to floats, so they may be a little farther away than their numbers are.
        let rounding =
            top * if wide {
                f64::EPSILON
            } else {
                f64::from(f32::EPSILON)
            } * 2.0;
        let units = ((error - rounding) / (unit as f64 / POWERS[usize::from(digits)])).floor();
        #[expect(clippy::cast_possible_truncation, reason = "bounded before")]
        let reach = units.clamp(0.0, (1u64 << 48) as f64) as i64;
        let step = i64::try_from(unit).ok()?.checked_mul(2 * reach + 1)?;
        return (step < LIMIT).then_some(Lattice { digits, anchor, step });
    }
    None
}

/// Three digits of twice the error, rounded down.
fn round_lattice(error: f64) -> Option<Lattice> {
    for (digits, power) in (0u8..18).zip(POWERS) {
        let scaled = 2.0 * error * power;
        if scaled < 100.0 && digits < 17 {
            continue;
        }
        #[expect(clippy::cast_possible_truncation, reason = "bounded before")]
        let (mut step, mut digits) = (scaled.min((LIMIT / 2) as f64).floor() as i64, digits);
        while digits > 0 && step > 0 && step % 10 == 0 {
            (step, digits) = (step / 10, digits - 1);
        }
        return (step > 0).then_some(Lattice {
            digits,
            anchor: 0,
            step,
        });
    }
    None
}

/// Keys a fixed number apart.
fn shares(ty: ColumnType, keys: &[u64], share: f64) -> Option<Moved> {
    let wide = ty == ColumnType::F64;
    let (zero, mantissa) = if wide {
        (key_of_f64(0.0), (1u64 << 52) as f64)
    } else {
        (key_of_f32(0.0), f64::from(1u32 << 23))
    };
    #[expect(clippy::cast_possible_truncation, reason = "positive, and below 2^52")]
    let step = (2.0 * share * mantissa).floor() as u64;
    if step < 2 {
        return None;
    }
    let offset = zero % step;
    let (mut low, mut high, mut largest) = (u64::MAX, 0u64, 0f64);
    let mut grid_keys = Vec::with_capacity(keys.len());
    for &key in keys {
        let value = number_of(ty, key);
        let nearest = key
            .checked_sub(offset)
            .and_then(|above| ((above + step / 2) / step).checked_mul(step)?.checked_add(offset));
        let held = nearest.filter(|_| value.is_finite()).and_then(|nearest| {
            let moved = number_of(ty, nearest);
            let off = distance(moved, value);
            // The product is rounded: one float less is surely not too much.
            let allowed = below(value.abs() * share).max(0.0);
            let is_near = moved.is_finite() && off <= allowed;
            (is_near && (wide || nearest <= u64::from(u32::MAX))).then_some((nearest, off))
        });
        if let Some((nearest, off)) = held {
            (low, high) = (low.min(nearest), high.max(nearest));
            if off > 0.0 {
                largest = largest.max(above(off / value.abs()));
            }
        }
        grid_keys.push(held.map(|(nearest, _)| nearest));
    }
    let exceptions = grid_keys.iter().filter(|key| key.is_none()).count();
    if low > high || exceptions * 4 > keys.len() || largest == 0.0 {
        return None;
    }
    let steps = Steps {
        base: low,
        step,
        last: (high - low) / step,
    };
    let mut header = steps.write(keys.len() as u64);
    header.extend_from_slice(&[0; 8]);
    let codes = grid_keys.iter().map(|key| key.map(|key| (key - low) / step));
    let largest = largest.min(share);
    Some(finish(
        keys,
        codes,
        largest,
        DomainKind::Bounded,
        header,
        |key| steps.at_most(key),
        |code| steps.key(code),
    ))
}

fn finish(
    keys: &[u64],
    found: impl Iterator<Item = Option<u64>>,
    largest: f64,
    kind: DomainKind,
    header: Vec<u8>,
    at_most: impl Fn(u64) -> Option<u64>,
    key_of: impl Fn(u64) -> u64,
) -> Moved {
    let mut codes = Vec::with_capacity(keys.len());
    let mut moved = Vec::with_capacity(keys.len());
    let mut exceptions = Vec::new();
    for (place, (&key, code)) in keys.iter().zip(found).enumerate() {
        codes.push(code.unwrap_or_else(|| at_most(key).unwrap_or(0)));
        moved.push(code.map_or(key, &key_of));
        if code.is_none() {
            exceptions.push((place as u64, key));
        }
    }
    Moved {
        keys: moved,
        coded: Coded {
            kind,
            header,
            codes,
            exceptions,
        },
        largest,
    }
}

/// |a - b|, not rounded down.
fn distance(a: f64, b: f64) -> f64 {
    let off = a - b;
    // What the subtraction lost, exactly.
    let back = off - a;
    let lost = (a - (off - back)) - (b + back);
    let is_more = lost != 0.0 && (lost > 0.0) == (off > 0.0);
    if is_more { above(off.abs()) } else { off.abs() }
}

#[cfg(test)]
mod tests;
