//! Elementary functions from additions, multiplications and divisions only, so that a feature has the same bits on
//! every machine: the system's own `sin` and `log2` differ in the last place from one library to the next.

/// Base-2 logarithm of a positive, finite, normal number; anything else gives -126, the floor of the range.
///
/// Within 2e-9 of the true value before it is rounded to `f32`.
pub fn log2(value: f64) -> f64 {
    const FLOOR: f64 = -126.0;
    const MANTISSA: u64 = (1 << 52) - 1;
    if !value.is_finite() || value < f64::MIN_POSITIVE {
        return FLOOR;
    }
    let bits = value.to_bits();
    // Mantissa in [sqrt(1/2), sqrt(2)), so that the series below is short.
    let mut mantissa = f64::from_bits((bits & MANTISSA) | 0x3ff0_0000_0000_0000);
    let mut exponent = (bits >> 52) as f64 - 1023.0;
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa *= 0.5;
        exponent += 1.0;
    }
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let s = t * t;
    let series = 1.0 + s * (1.0 / 3.0 + s * (1.0 / 5.0 + s * (1.0 / 7.0 + s * (1.0 / 9.0 + s / 11.0))));
    (exponent + 2.0 * std::f64::consts::LOG2_E * t * series).max(FLOOR)
}

/// Cosine and sine of `index` out of `count` equal steps around the circle.
pub fn cos_sin(index: usize, count: usize) -> (f64, f64) {
    debug_assert!(count > 0, "a circle has at least one step");
    let index = index % count;
    // The angle in eighths of a turn is folded into the first eighth, where short series suffice.
    let eighth = index * 8 / count;
    let quarter_turns = eighth.div_ceil(2);
    let rest = (index * 4) as f64 / count as f64 - quarter_turns as f64;
    let x = rest * std::f64::consts::FRAC_PI_2;
    let s = x * x;
    let sin = x
        * (1.0
            - s / 6.0
                * (1.0
                    - s / 20.0
                        * (1.0 - s / 42.0 * (1.0 - s / 72.0 * (1.0 - s / 110.0 * (1.0 - s / 156.0))))));
    let cos = 1.0
        - s / 2.0
            * (1.0
                - s / 12.0
                    * (1.0
                        - s / 30.0
                            * (1.0 - s / 56.0 * (1.0 - s / 90.0 * (1.0 - s / 132.0 * (1.0 - s / 182.0))))));
    match quarter_turns % 4 {
        0 => (cos, sin),
        1 => (-sin, cos),
        2 => (-cos, -sin),
        _ => (sin, -cos),
    }
}

/// A small generator of reproducible random numbers (SplitMix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A generator whose sequence depends on `seed` alone.
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0.0..1.0`.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number in `0..bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let wide = u128::from(self.next_u64()) * bound as u128;
        usize::try_from(wide >> 64).unwrap_or(0)
    }

    /// A number of mean 0 and variance 1, close to normally distributed: a sum of twelve uniform ones.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }

    /// Puts `items` in random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last + 1);
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

    use super::*;

    #[test]
    fn logarithm_is_close_to_the_library_one() {
        for step in 1..20_000 {
            let value = 1e-9 * 1.003_f64.powi(step);
            assert!((log2(value) - value.log2()).abs() < 2e-9, "{value}");
        }
        assert_eq!(log2(1.0), 0.0);
        assert_eq!(log2(0.0), -126.0);
        assert_eq!(log2(f64::NAN), -126.0);
        assert_eq!(log2(-1.0), -126.0);
    }

    #[test]
    fn circle_is_close_to_the_library_one() {
        for count in [1, 2, 3, 7, 8, 64, 1000, 4096] {
            for index in 0..count {
                let angle = std::f64::consts::TAU * index as f64 / count as f64;
                let (cos, sin) = cos_sin(index, count);
                assert!((cos - angle.cos()).abs() < 1e-13, "cos {index}/{count}");
                assert!((sin - angle.sin()).abs() < 1e-13, "sin {index}/{count}");
            }
        }
    }

    #[test]
    fn random_numbers_are_spread() {
        let mut random = Random::new(7);
        let mean = (0..10_000).map(|_| random.normal()).sum::<f64>() / 10_000.0;
        assert!(mean.abs() < 0.05, "{mean}");
        let mut items: Vec<usize> = (0..100).collect();
        random.shuffle(&mut items);
        let mut sorted = items.clone();
        sorted.sort_unstable();
        assert_ne!(items, sorted);
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
    }
}
