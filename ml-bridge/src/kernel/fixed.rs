//! Exponential, logistic and tanh in 32-bit fixed point, with gemmlowp's constants and rounding, so that tables built
//! from them equal those of TFLite's reference kernels.
//!
//! A raw number with `b` integer bits stands for `raw / 2^(31 - b)`.

use super::requantize::rounding_shift;

/// `a * b` as fractions of 2^31, halves up, saturating.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a product of 31-bit magnitudes shifted by 31 fits"
)]
pub(super) fn times(a: i32, b: i32) -> i32 {
    if a == i32::MIN && b == i32::MIN {
        return i32::MAX;
    }
    ((i64::from(a) * i64::from(b) + (1 << 30)) >> 31) as i32
}

/// `value * 2^bits`, saturating.
fn shift_left(value: i32, bits: u32) -> i32 {
    let wide = i64::from(value) << bits;
    i32::try_from(wide).unwrap_or(if value < 0 { i32::MIN } else { i32::MAX })
}

/// Newton's iteration for `1 / half_denominator`, with 2 integer bits; `a` is a fraction in `[0, 1)`, and
/// `half_denominator` is `(a + 1) / 2`.
fn reciprocal_of_half_sum(a: i32) -> i32 {
    let half = i32::try_from((i64::from(a) + i64::from(i32::MAX) + 1) / 2).unwrap_or(i32::MAX);
    let mut x = 1_515_870_810i32.wrapping_add(times(half, -1_010_580_540));
    for _ in 0..3 {
        let error = (1 << 29) - times(half, x);
        x = x.wrapping_add(shift_left(times(x, error), 2));
    }
    x
}

/// `1 / (1 + a)` as a fraction, for a fraction `a` in `[0, 1)`.
pub(super) fn one_over_one_plus(a: i32) -> i32 {
    shift_left(reciprocal_of_half_sum(a), 1)
}

/// `(1 - a) / (1 + a)` as a fraction, for a fraction `a` in `[0, 1)`.
fn one_minus_over_one_plus(a: i32) -> i32 {
    shift_left(reciprocal_of_half_sum(a).wrapping_sub(1 << 29), 2)
}

/// `exp(a)` as a fraction, for `a <= 0` with `integer_bits` up to 5.
pub(super) fn exp_of_negative(a: i32, integer_bits: u32) -> i32 {
    if a == 0 {
        return i32::MAX;
    }
    let fraction_bits = 31 - integer_bits;
    let quarter = 1i32 << (fraction_bits - 2);
    let inside = (a & (quarter - 1)) - quarter;
    let mut result = exp_in_last_quarter(shift_left(inside, integer_bits));
    let rest = inside.wrapping_sub(a);
    let factors = [
        1_672_461_947,
        1_302_514_674,
        790_015_084,
        290_630_308,
        39_332_535,
        720_401,
        242,
    ];
    for (power, factor) in factors.into_iter().enumerate() {
        // Bit of 2^(power - 2), if the format reaches that far.
        let bit = fraction_bits - 2 + u32::try_from(power).unwrap_or(0);
        if bit < 31 && rest >> bit & 1 == 1 {
            result = times(result, factor);
        }
    }
    result
}

/// `exp(a)` for a fraction `a` in `[-1/4, 0)`: four terms around -1/8.
fn exp_in_last_quarter(a: i32) -> i32 {
    let (at_eighth, third) = (1_895_147_668, 715_827_883);
    let x = a.wrapping_add(1 << 28);
    let x2 = times(x, x);
    let x3 = times(x2, x);
    let x4_over_4 = rounding_shift(times(x2, x2), 2);
    let tail = rounding_shift(times(x4_over_4.wrapping_add(x3), third).wrapping_add(x2), 1);
    i32::wrapping_add(at_eighth, times(at_eighth, x.wrapping_add(tail)))
}

/// `1 / (1 + exp(-a))` as a fraction; `a` has 4 integer bits.
pub(super) fn logistic(a: i32) -> i32 {
    let positive = one_over_one_plus(exp_of_negative(a.wrapping_abs().wrapping_neg(), 4));
    match a.signum() {
        0 => 1 << 30,
        1 => positive,
        _ => i32::MAX - positive,
    }
}

/// `tanh(a)` as a fraction; `a` has 4 integer bits.
pub(super) fn tanh(a: i32) -> i32 {
    // Twice a number is the same bits with one more integer bit.
    let size = one_minus_over_one_plus(exp_of_negative(a.wrapping_abs().wrapping_neg(), 5));
    size * a.signum()
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation)]
mod tests {
    use super::*;

    #[test]
    fn near_the_real_functions() {
        let one = f64::from(1u32 << 31);
        for step in -4000..=4000 {
            let real = f64::from(step) / 4096.0 * 15.9;
            let raw = (real * f64::from(1 << 27)) as i32;
            let near = |got: i32, want: f64| assert!((f64::from(got) / one - want).abs() < 1e-6, "{real}");
            near(logistic(raw), 1.0 / (1.0 + (-real).exp()));
            near(tanh(raw), real.tanh());
            if real <= 0.0 {
                near(exp_of_negative(raw, 4), real.exp());
            }
        }
    }
}
