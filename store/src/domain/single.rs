//! Short decimals that went through a 32-bit float before they were kept as 64-bit ones.
//!
//! Good at: readings of a device that computes in single precision, stored as doubles. Such a value is not a decimal
//! any more (0.66 became 0.6600000262260437, or 0.66000003 if eight digits of it were printed), so on a decimal grid
//! every value is an exception, and as bits it has thirty digits of noise. Yet it says no more than the two digits: a
//! grid value here is `number / 10^digits` rounded to a 32-bit float and, if `significant` is not 0, that rounded to so
//! many significant digits. A lossy reader's last unit is left to the correction of [`super::ulp`].
//!
//! Rounding is monotone, and numbers are kept below 2^23, where neighbours give different 32-bit floats; so the map
//! keeps the order. The parameters are those of [`super::decimal`].

use super::decimal::{Form, POWERS, number_near};

/// Grid numbers stay below this, so that neighbours never round to one 32-bit float.
pub(crate) const LIMIT: i64 = 1 << 23;

/// Decimal digits stay below this, so that every power of ten in use is exact.
pub(crate) const MOST_DIGITS: usize = 10;

/// Significant digits that are worth a try: none (a float widened as it is), and what is usually printed.
pub(crate) const SIGNIFICANT: [u8; 4] = [0, 7, 8, 9];

/// Decimal digits that are looked for.
const RECOGNIZED_DIGITS: u8 = 6;

/// Powers of ten below one, each the nearest 64-bit float.
const FRACTIONS: [f64; 24] = [
    1e0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12, 1e-13, 1e-14, 1e-15,
    1e-16, 1e-17, 1e-18, 1e-19, 1e-20, 1e-21, 1e-22, 1e-23,
];

/// The grid value of a decimal fraction.
#[inline]
pub(crate) fn through(value: f64, significant: u8) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounding to the narrow float is the map"
    )]
    let single = f64::from(value as f32);
    if significant == 0 || single == 0.0 {
        return single;
    }
    let places = i32::from(significant) - digits_before_point(single.abs());
    let scale = |by: i32| POWERS.get(by.unsigned_abs() as usize).copied().unwrap_or(1.0);
    if places >= 0 {
        (single * scale(places)).round_ties_even() / scale(places)
    } else {
        (single / scale(places)).round_ties_even() * scale(places)
    }
}

/// The number of digits before the decimal point of a positive value; 0 and less for zeros behind it.
#[inline]
fn digits_before_point(value: f64) -> i32 {
    // From the binary exponent, at most one too small: 1233 / 4096 is a little less than the logarithm of 2.
    let exponent = (value.to_bits() >> 52) as i32 - 1023;
    let guess = (exponent * 1233) >> 12;
    let power = |of: i32| {
        let table = if of < 0 { &FRACTIONS[..] } else { &POWERS[..] };
        table
            .get(of.unsigned_abs() as usize)
            .copied()
            .unwrap_or(f64::INFINITY)
    };
    guess + 1 + i32::from(value >= power(guess + 1))
}

/// The form that fits nearly all of `keys`, if they went through 32-bit floats: number of digits, and significant ones.
///
/// O(keys) for each number of digits.
pub(crate) fn recognize(keys: &[u64]) -> Option<Form> {
    let close = |form: Form, key: u64| {
        number_near(key, form.digits, true)
            .filter(|number| number.abs() < LIMIT)
            .is_some_and(|number| key.wrapping_sub(form.key(number)).wrapping_add(2) <= 4)
    };
    let some = keys.get(..64).unwrap_or(keys);
    for digits in 0..=RECOGNIZED_DIGITS {
        for significant in SIGNIFICANT {
            let form = Form {
                digits,
                wide: true,
                single: Some(significant),
            };
            let fits = |keys: &[u64]| keys.iter().filter(|&&key| close(form, key)).count();
            if fits(some) * 10 >= some.len() * 9 && fits(keys) * 20 >= keys.len() * 19 {
                return Some(form);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_floats_come_back() {
        for (short, printed) in [
            (0.66, 0.66000003),
            (4.69, 4.6900001),
            (642.78, 642.78003),
            (-181.34, -181.34),
            (182.01, 182.00999),
            (0.01, 0.0099999998),
            (0.0, 0.0),
            (-0.5, -0.5),
            (10.0, 10.0),
            (99999.99, 99999.992),
        ] {
            let found = through(short, 8);
            assert!(
                (found.to_bits() as i64 - f64::to_bits(printed) as i64).abs() <= 1,
                "{short}: {found}"
            );
        }
        assert_eq!(through(5.827, 0), 5.827000141143799);
    }

    #[test]
    fn the_map_keeps_the_order() {
        for significant in SIGNIFICANT {
            for (digits, power) in POWERS.iter().enumerate().take(6) {
                let mut last = f64::NEG_INFINITY;
                for number in (-3_000..3_000).chain(8_380_000..LIMIT) {
                    let value = through(number as f64 / power, significant);
                    assert!(value > last, "{number} / 10^{digits}, {significant}");
                    last = value;
                }
            }
        }
    }

    #[test]
    fn digits_are_counted_at_every_power() {
        for power in -12..12i32 {
            let value = 10f64.powi(power);
            let above = f64::from_bits(value.to_bits() + 1_000);
            let below = f64::from_bits(value.to_bits() - 1_000);
            assert_eq!(digits_before_point(above), power + 1);
            assert_eq!(digits_before_point(below), power);
        }
    }
}
