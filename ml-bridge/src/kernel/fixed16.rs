//! Logistic and tanh of 16-bit fixed-point numbers, with gemmlowp's constants and rounding: what TFLite's integer LSTM
//! computes its gates with.
//!
//! A raw number with `b` integer bits stands for `raw / 2^(15 - b)`. Numbers are held in i32 and brought back to
//! 16 bits where the reference does so, by wrapping or by saturation. Nothing branches, so that loops over slices
//! become vector code.

/// A 32-bit constant's nearest 16-bit one.
const fn constant(wide: i32) -> i32 {
    let remainder = wide & 0xffff;
    let threshold = 0x7fff + (wide < 0) as i32;
    (wide >> 16) + (remainder > threshold) as i32
}

const AT_EIGHTH: i32 = constant(1_895_147_668);
const THIRD: i32 = constant(715_827_883);
const NEWTON_START: i32 = constant(1_515_870_810);
const NEWTON_SLOPE: i32 = constant(-1_010_580_540);
/// `exp(-2^(n - 2))` for n from 0.
const POWERS: [i32; 7] = [
    constant(1_672_461_947),
    constant(1_302_514_674),
    constant(790_015_084),
    constant(290_630_308),
    constant(39_332_535),
    constant(720_401),
    constant(242),
];

/// As a 16-bit number, what does not fit cut off.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "that is what it is for")]
fn wrap(value: i32) -> i32 {
    i32::from(value as i16)
}

/// As a 16-bit number, held at its ends.
#[inline(always)]
fn hold(value: i32) -> i32 {
    value.clamp(-32768, 32767)
}

/// `a * b` as fractions of 2^15, halves up, saturating.
#[inline(always)]
fn times(a: i32, b: i32) -> i32 {
    ((a * b + (1 << 14)) >> 15).min(32767)
}

/// `value / 2^bits`, halves away from zero.
#[inline(always)]
fn halve(value: i32, bits: u32) -> i32 {
    let half = (1 << bits) >> 1;
    (value + half - i32::from(value < 0)) >> bits
}

/// `exp(a)` as a fraction, for `a <= 0` with `BITS` integer bits.
#[inline(always)]
fn exp_of_negative<const BITS: u32>(a: i32) -> i32 {
    let fraction_bits = 15 - BITS;
    let quarter = 1 << (fraction_bits - 2);
    let inside = (a & (quarter - 1)) - quarter;
    // Four terms of the series around -1/8.
    let x = wrap((inside << BITS) + (1 << 12));
    let x2 = times(x, x);
    let x3 = times(x2, x);
    let x4_over_4 = halve(times(x2, x2), 2);
    let tail = halve(wrap(times(wrap(x4_over_4 + x3), THIRD) + x2), 1);
    let mut result = hold(AT_EIGHTH + times(AT_EIGHTH, wrap(x + tail)));
    let rest = wrap(inside - a);
    let mut power = 0;
    while power < BITS + 2 && power < 7 {
        let with = times(result, POWERS[power as usize]);
        let bit = fraction_bits + power - 2;
        result = if rest >> bit & 1 == 1 { with } else { result };
        power += 1;
    }
    if BITS > 5 && a < -(1 << 20u32.saturating_sub(BITS)) {
        result = 0;
    }
    if a == 0 { 32767 } else { result }
}

/// `1 / half_denominator` with 2 integer bits, for `half_denominator = (1 + a) / 2`.
#[inline(always)]
fn reciprocal_of_half_sum(a: i32) -> i32 {
    let half = (a + 32768) >> 1;
    let mut x = wrap(NEWTON_START + times(half, NEWTON_SLOPE));
    for _ in 0..3 {
        let error = wrap((1 << 13) - times(half, x));
        x = wrap(x + hold(times(x, error) << 2));
    }
    x
}

/// `1 / (1 + exp(-a))` as a fraction; `a` has 3 integer bits.
#[inline(always)]
pub(super) fn logistic(a: i16) -> i16 {
    let a = i32::from(a);
    let size = if a > 0 { wrap(-a) } else { wrap(-wrap(-a)) };
    let positive = hold(reciprocal_of_half_sum(exp_of_negative::<3>(size)) << 1);
    let result = if a > 0 { positive } else { wrap(32767 - positive) };
    short(if a == 0 { 1 << 14 } else { result })
}

/// `tanh(a)` as a fraction; `a` has `BITS - 1` integer bits.
#[inline(always)]
fn tanh<const BITS: u32>(a: i16) -> i16 {
    let a = i32::from(a);
    let negative = if a < 0 { a } else { -a };
    // Twice a number is the same bits with one more integer bit.
    let x = reciprocal_of_half_sum(exp_of_negative::<BITS>(negative));
    let size = hold(wrap(x - (1 << 13)) << 2);
    let result = if a < 0 { wrap(-size) } else { size };
    short(if a == 0 { 0 } else { result })
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "holds a 16-bit number")]
fn short(value: i32) -> i16 {
    value as i16
}

/// [`logistic`] of all numbers, in place.
#[inline(always)]
pub(super) fn logistic_all(values: &mut [i16]) {
    values.iter_mut().for_each(|v| *v = logistic(*v));
}

/// `tanh` of all numbers of `from`, which have `integer_bits` (at most 6).
#[inline(always)]
pub(super) fn tanh_all(integer_bits: u32, from: &[i16], to: &mut [i16]) {
    #[inline(always)]
    fn all<const BITS: u32>(from: &[i16], to: &mut [i16]) {
        for (to, from) in to.iter_mut().zip(from) {
            *to = tanh::<BITS>(*from);
        }
    }
    match integer_bits {
        0 => all::<1>(from, to),
        1 => all::<2>(from, to),
        2 => all::<3>(from, to),
        3 => all::<4>(from, to),
        4 => all::<5>(from, to),
        5 => all::<6>(from, to),
        _ => all::<7>(from, to),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_the_real_functions() {
        for raw in i16::MIN..=i16::MAX {
            let near = |got: i16, want: f64, real: f64| {
                let difference = (f64::from(got) / 32768.0 - want).abs();
                assert!(difference < 1e-3, "{real}: {got} for {want}");
            };
            let real = f64::from(raw) / 4096.0;
            near(logistic(raw), 1.0 / (1.0 + (-real).exp()), real);
            for bits in 0..=6u32 {
                let real = f64::from(raw) / f64::from(1 << (15 - bits));
                let mut got = [0];
                tanh_all(bits, &[raw], &mut got);
                near(got[0], real.tanh(), real);
            }
        }
    }
}
