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

use std::fmt;
use std::str::FromStr;

use super::DomainKind;
use super::choose::Coded;
use super::decimal::{Grid, LIMIT, POWERS, key_of_number, number_near};
use super::integer::{HEADER_BYTES as STEPS_BYTES, Steps, gcd};
use crate::error::{Error, Result};
use crate::schema::ColumnType;
use crate::section::Section;
use crate::value::{f64_of, key_of_f32, key_of_f64, number_of};

/// Values that a column's own grid is looked for in.
const SAMPLE: usize = 4096;
/// Most decimal digits of a column's own grid.
const MOST_DIGITS: u8 = 9;

/// How far a stored value may be from what was measured.
#[derive(Debug, Clone, Copy)]
pub enum Tolerance {
    /// By this much, in the column's unit.
    Absolute(f64),
    /// By this share of the value, below 0.5. For floats only.
    Relative(f64),
}

impl Tolerance {
    /// The largest error, or share.
    pub fn size(self) -> f64 {
        match self {
            Tolerance::Absolute(size) | Tolerance::Relative(size) => size,
        }
    }

    /// Number of the kind in files.
    pub(crate) fn code(self) -> u8 {
        match self {
            Tolerance::Absolute(_) => 1,
            Tolerance::Relative(_) => 2,
        }
    }

    pub(crate) fn from_code(code: u8, size: f64) -> Option<Tolerance> {
        match code {
            1 => Some(Tolerance::Absolute(size)),
            2 => Some(Tolerance::Relative(size)),
            _ => None,
        }
    }

    /// The same kind of tolerance with another size.
    pub(crate) fn with_size(self, size: f64) -> Tolerance {
        match self {
            Tolerance::Absolute(_) => Tolerance::Absolute(size),
            Tolerance::Relative(_) => Tolerance::Relative(size),
        }
    }

    /// Whether both are absolute, or both relative.
    pub(crate) fn same_kind(self, other: Tolerance) -> bool {
        matches!(self, Tolerance::Absolute(_)) == matches!(other, Tolerance::Absolute(_))
    }

    /// Whether the size is one that values can be held to.
    pub fn is_sound(self) -> bool {
        let size = self.size();
        size.is_finite() && size > 0.0 && (matches!(self, Tolerance::Absolute(_)) || size < 0.5)
    }

    /// Largest absolute error of a value that is stored as `value`.
    pub fn error_at(self, value: f64) -> f64 {
        match self {
            Tolerance::Absolute(size) => size,
            // |stored - true| <= r |true| and |true| <= |stored| / (1 - r).
            Tolerance::Relative(share) => above(above(value.abs() * above(share / (1.0 - share)))),
        }
    }
}

impl PartialEq for Tolerance {
    /// Bit by bit, so that policies are equal to themselves.
    fn eq(&self, other: &Tolerance) -> bool {
        self.code() == other.code() && self.size().to_bits() == other.size().to_bits()
    }
}

impl Eq for Tolerance {}

impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tolerance::Absolute(size) => write!(f, "{size}"),
            Tolerance::Relative(share) => write!(f, "{}%", share * 100.0),
        }
    }
}

impl FromStr for Tolerance {
    type Err = Error;

    /// `0.05`, or `0.1%`.
    fn from_str(text: &str) -> Result<Tolerance> {
        let number = |text: &str| text.trim().parse::<f64>().ok();
        let found = match text.strip_suffix('%') {
            Some(percent) => number(percent).map(|percent| Tolerance::Relative(percent / 100.0)),
            None => number(text).map(Tolerance::Absolute),
        };
        found.filter(|tolerance| tolerance.is_sound()).ok_or_else(|| {
            Error::invalid(format!(
                "{text:?} is no tolerance; give an error above 0, or a share like 0.1% below 50%"
            ))
        })
    }
}

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

/// The next float above a finite one.
pub(crate) fn above(value: f64) -> f64 {
    // From -0.0 the next key is that of 0.0.
    f64_of(key_of_f64(value + 0.0).saturating_add(1))
}

/// The next float below a finite one.
pub(crate) fn below(value: f64) -> f64 {
    -above(-value)
}

/// How exact the values of a column are that were moved.
///
/// ```text
/// offset  width  field
///      0      8  tolerance  the promise, a 64-bit float above 0, finite; relative: below 0.5
///      8      8  largest    largest error of any value, above 0 and at most the tolerance
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Precision {
    /// What was promised.
    pub tolerance: Tolerance,
    /// Largest error of any value, of the tolerance's kind: at most its size.
    pub largest: f64,
}

impl Precision {
    /// Number of the form in files.
    pub(crate) fn codec(&self) -> u16 {
        self.tolerance.code().into()
    }

    /// The bytes.
    pub(crate) fn write(&self) -> Vec<u8> {
        [self.tolerance.size(), self.largest]
            .iter()
            .flat_map(|size| size.to_le_bytes())
            .collect()
    }

    /// Reads what [`Precision::write`] wrote.
    pub(crate) fn open(codec: u16, section: &Section) -> Result<Precision> {
        let size = f64::from_bits(section.u64(0)?);
        let largest = f64::from_bits(section.u64(8)?);
        let tolerance = u8::try_from(codec)
            .ok()
            .and_then(|code| Tolerance::from_code(code, size));
        let Some(tolerance) = tolerance else {
            return Err(section.corrupt(0, format!("precision of kind {codec} is unknown")));
        };
        let sound = tolerance.is_sound() && largest > 0.0 && largest <= size;
        if !sound || section.len() != 16 {
            return Err(section.corrupt(0, "these bytes describe no precision".into()));
        }
        Ok(Precision { tolerance, largest })
    }

    /// Largest absolute error of a value that is stored as `value`.
    pub fn error_at(&self, value: f64) -> f64 {
        self.tolerance.with_size(self.largest).error_at(value)
    }

    /// What values may still be moved by, so that they stay within `wanted` of what they were at first.
    pub(crate) fn room(carried: Option<Precision>, wanted: Tolerance) -> Option<Tolerance> {
        let Some(carried) = carried else {
            return Some(wanted);
        };
        let left = wanted.size() - carried.largest;
        let left = match wanted {
            Tolerance::Absolute(_) => left,
            Tolerance::Relative(_) => left / (1.0 + carried.largest),
        };
        let left = wanted.with_size(left * (1.0 - 1e-12));
        (wanted.same_kind(carried.tolerance) && left.is_sound()).then_some(left)
    }

    /// The precision of values of precision `carried` that were moved by `largest` more, within `wanted`.
    pub(crate) fn after(carried: Option<Precision>, wanted: Tolerance, largest: f64) -> Precision {
        let before = carried.map_or(0.0, |carried| carried.largest);
        let both = match (wanted, carried) {
            (_, None) => largest,
            (Tolerance::Absolute(_), _) => above(before + largest),
            (Tolerance::Relative(_), _) => above((before + largest + before * largest) * (1.0 + 1e-15)),
        };
        Precision {
            tolerance: wanted,
            largest: both.min(wanted.size()),
        }
    }

    /// The precision that holds for values of both, where they are of one kind.
    pub(crate) fn join(a: Option<Precision>, b: Option<Precision>) -> Option<Option<Precision>> {
        match (a, b) {
            (Some(a), Some(b)) if a.tolerance.same_kind(b.tolerance) => {
                let size = a.tolerance.size().max(b.tolerance.size());
                Some(Some(Precision {
                    tolerance: a.tolerance.with_size(size),
                    largest: a.largest.max(b.largest),
                }))
            }
            (Some(_), Some(_)) => None,
            (a, b) => Some(a.or(b)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
    use super::*;
    use crate::value::key_of_i64;
    use proptest::prelude::*;

    fn exact_distance(a: f64, b: f64) -> impl Fn(f64) -> bool {
        // |a - b| <= e without rounding, by 2^-1074 units where both are near, else by f64 with a margin.
        move |e| {
            let off = a - b;
            let back = off - a;
            let lost = (a - (off - back)) - (b + back);
            off.abs() < e || (off.abs() == e && lost * off.signum() <= 0.0)
        }
    }

    fn check(ty: ColumnType, keys: &[u64], tolerance: Tolerance) -> Option<Moved> {
        let moved = moved(ty, keys, tolerance)?;
        assert_eq!(moved.keys.len(), keys.len());
        assert!(moved.largest > 0.0 && moved.largest <= tolerance.size());
        for (&key, &found) in keys.iter().zip(&moved.keys) {
            let (value, stored) = (number_of(ty, key), number_of(ty, found));
            if !value.is_finite() {
                assert_eq!(key, found, "what is not finite stays");
                continue;
            }
            match tolerance {
                Tolerance::Absolute(e) => {
                    assert!(exact_distance(stored, value)(e), "{value} became {stored}")
                }
                Tolerance::Relative(r) => {
                    assert!(
                        (stored - value).abs() <= value.abs() * r,
                        "{value} became {stored}"
                    );
                }
            }
            let off = moved_error(tolerance, moved.largest, stored);
            assert!(
                (stored - value).abs() <= off,
                "{value} became {stored}, said to be within {off}"
            );
        }
        Some(moved)
    }

    fn moved_error(tolerance: Tolerance, largest: f64, stored: f64) -> f64 {
        Precision { tolerance, largest }.error_at(stored)
    }

    fn values() -> impl Strategy<Value = Vec<f64>> {
        let one = prop_oneof![
            20 => -1e3..1e3f64,
            2 => any::<f64>(),
            1 => Just(0.0),
            1 => Just(-0.0),
            1 => Just(f64::NAN),
            1 => Just(f64::INFINITY),
            1 => Just(5e-324),
        ];
        proptest::collection::vec(one, 1..400)
    }

    proptest! {
        #[test]
        fn floats_stay_near(values in values(), digits in 0i32..5, is_decimal: bool, size in 1e-4..100f64, narrow: bool) {
            let power = 10f64.powi(digits);
            let keys: Vec<u64> = values
                .iter()
                .map(|&v| if is_decimal { (v * power).round() / power } else { v })
                .map(|v| if narrow { key_of_f32(v as f32) } else { key_of_f64(v) })
                .collect();
            let ty = if narrow { ColumnType::F32 } else { ColumnType::F64 };
            check(ty, &keys, Tolerance::Absolute(size));
            check(ty, &keys, Tolerance::Relative(size / 250.0));
        }

        #[test]
        fn integers_stay_near(start in -(1i64 << 50)..1 << 50, walk in proptest::collection::vec(0u64..5000, 1..300), unit in 1i64..20, error in 0.0..3000f64) {
            let keys: Vec<u64> = walk.iter().map(|&w| key_of_i64(start + w as i64 * unit)).collect();
            check(ColumnType::I64, &keys, Tolerance::Absolute(error));
            let bytes: Vec<u64> = walk.iter().map(|w| w % 256).collect();
            if let Some(moved) = check(ColumnType::U8, &bytes, Tolerance::Absolute(error)) {
                prop_assert!(moved.keys.iter().all(|&key| key < 256));
            }
        }
    }

    #[test]
    fn decimals_become_fewer() {
        // Readings in hundredths: 0.05 is five of them, so points are nine apart, and no value is an exception.
        let keys: Vec<u64> = (0..5000)
            .map(|i| key_of_f64(f64::from(i * 7919 % 4001) / 100.0))
            .collect();
        let moved = check(ColumnType::F64, &keys, Tolerance::Absolute(0.05)).unwrap();
        assert!(moved.coded.exceptions.is_empty());
        assert!(moved.coded.codes.iter().max().unwrap() <= &445);
        assert!(moved.largest < 0.0401);
        let keys: Vec<u64> = (1..5000)
            .map(|i| key_of_f64((f64::from(i) / 7.0).exp2()))
            .collect();
        let moved = check(ColumnType::F64, &keys, Tolerance::Relative(0.01)).unwrap();
        assert_eq!(moved.coded.kind, DomainKind::Bounded);
        assert!(moved.coded.exceptions.is_empty());
    }

    #[test]
    fn tolerances_as_text() {
        assert_eq!("0.05".parse::<Tolerance>().unwrap(), Tolerance::Absolute(0.05));
        assert_eq!("0.5%".parse::<Tolerance>().unwrap(), Tolerance::Relative(0.005));
        for text in ["", "0", "-1", "nan", "inf", "60%", "x%"] {
            assert!(text.parse::<Tolerance>().is_err(), "{text}");
        }
        assert_eq!(Tolerance::Relative(0.005).to_string(), "0.5%");
    }

    #[test]
    fn moving_twice_stays_within_the_whole() {
        let first = Precision::after(None, Tolerance::Absolute(0.1), 0.09);
        let room = Precision::room(Some(first), Tolerance::Absolute(0.5)).unwrap();
        assert!(room.size() < 0.41);
        let both = Precision::after(Some(first), Tolerance::Absolute(0.5), room.size());
        assert!(both.largest <= 0.5);
        assert_eq!(Precision::room(Some(first), Tolerance::Absolute(0.05)), None);
        assert_eq!(Precision::room(Some(first), Tolerance::Relative(0.3)), None);
    }
}
