//! Floats to a grid of decimals, all of a column at once.
//!
//! The loops have no branches, so that a compiler can work on several values at a time: rounding is the addition of a
//! number so large that its last bit is worth one, and a value on no grid point is marked instead of skipped.

use super::Coded;
use crate::domain::decimal::{Grid, LIMIT, POWERS, number_near};
use crate::domain::integer::gcd;
use crate::domain::{single, ulp};
use crate::value::{f32_of, f64_of, key_of_f32, key_of_f64};

/// 1.5 * 2^52: added to a number below 2^51 it leaves its nearest integer (ties to even) in the low bits.
const ROUNDER: f64 = 6_755_399_441_055_744.0;
/// Stands for a value on no grid point.
const MISSING: i64 = i64::MIN;

/// Maps keys to a grid whose origin, step and last unit are still to be found.
pub(super) fn on_grid(mut grid: Grid, keys: &[u64]) -> Option<Coded> {
    let mut codes = numbers(&grid, keys);
    let (mut low, mut high, mut missing) = (i64::MAX, i64::MIN, 0usize);
    for &code in &codes {
        let number = code as i64;
        let is_missing = number == MISSING;
        missing += usize::from(is_missing);
        low = low.min(if is_missing { i64::MAX } else { number });
        high = high.max(number);
    }
    // What the sample did not show: a grid that holds few of the values is worse than their bits.
    if low > high || missing * 4 > keys.len() {
        return None;
    }
    grid.step = if grid.split { 1 } else { step_of(&codes, low) };
    grid.origin = if grid.split { low.div_euclid(10) * 10 } else { low };
    grid.last = high.abs_diff(grid.origin) / grid.step;
    if grid.ulp_bits > 0 && !ulp::has_room(&grid) {
        return on_grid(Grid { ulp_bits: 0, ..grid }, keys);
    }
    let mut exceptions = Vec::with_capacity(missing);
    if missing > 0 {
        for (place, (&code, &key)) in codes.iter().zip(keys).enumerate() {
            if code as i64 == MISSING {
                exceptions.push((place as u64, key));
            }
        }
    }
    number_to_code(&grid, keys, &mut codes);
    for &(place, key) in &exceptions {
        if let Some(code) = usize::try_from(place).ok().and_then(|place| codes.get_mut(place)) {
            *code = grid.at_most(key).unwrap_or(0);
        }
    }
    Some(Coded {
        kind: grid.kind(),
        header: grid.write(keys.len() as u64),
        codes,
        exceptions,
    })
}

/// The grid number of each key, or [`MISSING`].
fn numbers(grid: &Grid, keys: &[u64]) -> Vec<u64> {
    let power = POWERS.get(usize::from(grid.digits)).copied().unwrap_or(1.0);
    let (half, room) = match grid.ulp_bits {
        0 => (0, 1),
        bits => (1u64 << (bits - 1), 1u64 << bits),
    };
    if grid.single.is_some() {
        let form = grid.form();
        let held = |key: u64| {
            let number = number_near(key, grid.digits, grid.wide).filter(|n| n.abs() < single::LIMIT)?;
            let off = key.wrapping_sub(form.key(number)).wrapping_add(half);
            (off < room).then_some(number)
        };
        return keys
            .iter()
            .map(|&key| held(key).unwrap_or(MISSING) as u64)
            .collect();
    }
    if grid.wide {
        keys.iter()
            .map(|&key| number(f64_of(key), key, power, half, room, key_of_f64))
            .collect()
    } else {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "rounding to the narrow float is the map"
        )]
        let narrow = |value| key_of_f32(value as f32);
        keys.iter()
            .map(|&key| number(f64::from(f32_of(key)), key, power, half, room, narrow))
            .collect()
    }
}

/// The number nearest to `value`, if its own key is less than `half` above and `room - half` below `key`.
#[inline(always)]
fn number(value: f64, key: u64, power: f64, half: u64, room: u64, key_of: impl Fn(f64) -> u64) -> u64 {
    let scaled = value * power;
    let rounded = scaled + ROUNDER;
    let off = key
        .wrapping_sub(key_of((rounded - ROUNDER) / power))
        .wrapping_add(half);
    // A NaN fails the comparison too.
    let held = (scaled.abs() < LIMIT as f64) & (off < room);
    let number = (rounded.to_bits() as i64).wrapping_sub(ROUNDER.to_bits() as i64);
    (if held { number } else { MISSING }) as u64
}

/// The greatest step from `low` that all numbers keep to.
fn step_of(numbers: &[u64], low: i64) -> u64 {
    let mut step = 0;
    for &number in numbers {
        if number as i64 == MISSING {
            continue;
        }
        step = gcd((number as i64).abs_diff(low), step);
        if step == 1 {
            break;
        }
    }
    step.max(1)
}

/// Turns numbers into codes, in place; what becomes of a missing one makes no sense.
fn number_to_code(grid: &Grid, keys: &[u64], numbers: &mut [u64]) {
    let origin = grid.origin as u64;
    if grid.ulp_bits > 0 {
        let half = 1u64 << (grid.ulp_bits - 1);
        let last = 2 * half - 1;
        let form = grid.form();
        for (number, &key) in numbers.iter_mut().zip(keys) {
            let own = form.key(*number as i64);
            let correction = key.wrapping_add(half).wrapping_sub(own) & last;
            *number = ((number.wrapping_sub(origin) / grid.step) << grid.ulp_bits) | correction;
        }
    } else if grid.split {
        for number in numbers {
            let unit = number.wrapping_sub(origin);
            *number = ((unit / 10) << 4) | (unit % 10);
        }
    } else if grid.step == 1 {
        numbers
            .iter_mut()
            .for_each(|number| *number = number.wrapping_sub(origin));
    } else {
        numbers
            .iter_mut()
            .for_each(|number| *number = number.wrapping_sub(origin) / grid.step);
    }
}
