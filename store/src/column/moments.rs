//! What sums and variances are made of.
//!
//! Floats are added block by block and blocks pairwise, never subtracted. Variances are kept as count, mean and sum of
//! squared deviations from it, which merge without cancellation (Chan, Golub, LeVeque, "Updating formulae and a
//! pairwise algorithm for computing sample variances", 1979).

/// Number, mean and spread of values: what average and variance are made of.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Moments {
    /// How many values there are.
    pub count: u64,
    /// Their mean; 0 if there are none.
    pub mean: f64,
    /// Sum of the squares of their distances from the mean; NaN if a value is not finite.
    pub squares: f64,
}

impl Moments {
    /// Moments of some values; those of a few thousand are added at a time. O(values).
    pub fn of(values: &[f64]) -> Moments {
        let mut all = Moments::default();
        for values in values.chunks(1024) {
            let count = values.len() as f64;
            let mean = values.iter().sum::<f64>() / count;
            let (mut off, mut squares) = (0.0, 0.0);
            for value in values {
                let apart = value - mean;
                off += apart;
                squares += apart * apart;
            }
            // The mean was rounded: by what the distances do not add up to nothing.
            let off = off / count;
            all = all.merge(Moments {
                count: values.len() as u64,
                mean: mean + off,
                squares: squares - off * off * count,
            });
        }
        all
    }

    /// Moments of the values of both.
    #[must_use]
    pub fn merge(self, other: Moments) -> Moments {
        if self.count == 0 {
            return other;
        }
        if other.count == 0 {
            return self;
        }
        let count = self.count.saturating_add(other.count);
        let share = other.count as f64 / count as f64;
        let apart = other.mean - self.mean;
        Moments {
            count,
            mean: self.mean + apart * share,
            squares: self.squares + other.squares + apart * apart * share * self.count as f64,
        }
    }

    /// Population variance (SQL's `var_pop`); `None` without values.
    pub fn population_variance(&self) -> Option<f64> {
        (self.count > 0).then(|| self.squares / self.count as f64)
    }

    /// Sample variance (SQL's `var_samp`); `None` for fewer than two values.
    pub fn sample_variance(&self) -> Option<f64> {
        (self.count > 1).then(|| self.squares / (self.count - 1) as f64)
    }
}

/// A float sum and which non-finite values were among the values.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FloatSum {
    /// Sum of the finite values.
    pub(crate) finite: f64,
    /// 1 NaN, 2 +inf, 4 -inf.
    pub(crate) flags: u8,
}

impl FloatSum {
    /// Adds a value.
    #[inline]
    pub(crate) fn push(&mut self, value: f64) {
        if value.is_finite() {
            self.finite += value;
        } else {
            self.flags |= if value.is_nan() {
                1
            } else if value > 0.0 {
                2
            } else {
                4
            };
        }
    }

    /// Sum of some values, added in their order.
    pub(crate) fn of(values: &[f64]) -> FloatSum {
        // Most blocks are finite: one test for all of them.
        let finite = values.iter().sum::<f64>();
        if finite.is_finite() {
            return FloatSum { finite, flags: 0 };
        }
        let mut sum = FloatSum::default();
        values.iter().for_each(|&value| sum.push(value));
        sum
    }

    /// Adds another sum.
    pub(crate) fn add(self, other: FloatSum) -> FloatSum {
        FloatSum {
            finite: self.finite + other.finite,
            flags: self.flags | other.flags,
        }
    }

    /// What SQL's sum gives.
    pub(crate) fn value(self) -> f64 {
        match self.flags {
            0 => self.finite,
            2 => f64::INFINITY,
            4 => f64::NEG_INFINITY,
            _ => f64::NAN,
        }
    }
}

/// Adds neighbours, then neighbouring sums, until one is left.
pub(crate) fn pairwise(sums: &[FloatSum]) -> FloatSum {
    match sums {
        [] => FloatSum::default(),
        [one] => *one,
        _ => {
            let (left, right) = sums.split_at(sums.len().next_power_of_two() / 2);
            pairwise(left).add(pairwise(right))
        }
    }
}

/// Sum of some weights.
pub(crate) fn add_weights(weights: &[u64]) -> u128 {
    let mut total = 0u128;
    // Halves of words never overflow in a chunk, and are added many at a time.
    for weights in weights.chunks(1 << 16) {
        let (mut low, mut high) = (0u64, 0u64);
        for weight in weights {
            low += weight & 0xffff_ffff;
            high += weight >> 32;
        }
        total += u128::from(low) + (u128::from(high) << 32);
    }
    total
}

/// Sum of the squares of some weights, modulo 2^128.
pub(crate) fn add_squares(weights: &[u64]) -> u128 {
    weights.iter().fold(0u128, |total, &weight| {
        total.wrapping_add(u128::from(weight) * u128::from(weight))
    })
}

/// Exact sums over some unsigned weights.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct WeightSums {
    pub(crate) count: u64,
    /// Sum of the weights.
    pub(crate) total: u128,
    /// Sum of their squares.
    pub(crate) squares: u128,
}

impl WeightSums {
    /// Moments of the values `(origin + step * weight) / scale`, rounded at the end only.
    pub(crate) fn moments(self, origin: i128, step: u64, scale: f64) -> Moments {
        let Some(count) = (self.count > 0).then_some(u128::from(self.count)) else {
            return Moments::default();
        };
        // Around the whole number next to the mean, everything is exact modulo 2^128 and small; what is then taken off
        // the squares is at most half of them.
        let centre = self.total.wrapping_add(count / 2) / count;
        let off = self.total.wrapping_sub(centre.wrapping_mul(count)) as i128 as f64;
        let around = self
            .squares
            .wrapping_sub(centre.wrapping_mul(self.total).wrapping_mul(2))
            .wrapping_add(centre.wrapping_mul(centre).wrapping_mul(count));
        let whole = origin.wrapping_add(i128::from(step).wrapping_mul(centre as i128));
        let (count, step) = (self.count as f64, step as f64);
        let squares = (around as f64 - off * off / count).max(0.0);
        Moments {
            count: self.count,
            mean: (whole as f64 + step * (off / count)) / scale,
            squares: squares * (step / scale) * (step / scale),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn weights_and_floats_agree(
            weights in proptest::collection::vec(0u64..1 << 40, 1..3000), origin in -1i64 << 50..1i64 << 50, step in 1u64..1000,
        ) {
            let sums = WeightSums {
                count: weights.len() as u64,
                total: add_weights(&weights),
                squares: add_squares(&weights),
            };
            prop_assert_eq!(sums.total, weights.iter().map(|&w| u128::from(w)).sum::<u128>());
            let found = sums.moments(origin.into(), step, 1.0);
            let values: Vec<f64> = weights.iter().map(|&w| (i128::from(origin) + i128::from(step) * i128::from(w)) as f64).collect();
            let want = Moments::of(&values);
            let close = |a: f64, b: f64, scale: f64| (a - b).abs() <= 1e-9 * scale;
            let spread = values.iter().fold(0.0f64, |most, v| most.max(v.abs()));
            prop_assert!(close(found.mean, want.mean, spread.max(1.0)));
            // The floats are rounded, the weights are not.
            let rounding = (spread * 1e-15) * (spread * 1e-15) * want.count as f64 * 1e9;
            prop_assert!(close(found.squares, want.squares, want.squares + rounding));
            let (a, b) = values.split_at(values.len() / 3);
            let merged = Moments::of(b).merge(Moments::of(a));
            prop_assert!(close(merged.squares, want.squares, want.squares + rounding));
        }
    }

    #[test]
    fn a_large_offset_cancels_nothing() {
        let values: Vec<f64> = (0..5000).map(|i| 1e9 + f64::from(i % 2)).collect();
        let moments = Moments::of(&values);
        assert_eq!(moments.population_variance(), Some(0.25));
        assert_eq!(moments.mean, 1e9 + 0.5);
        assert_eq!(Moments::default().population_variance(), None);
        assert_eq!(Moments::of(&[3.0]).sample_variance(), None);
        assert!(Moments::of(&[1.0, f64::INFINITY]).squares.is_nan());
        let ones = WeightSums {
            count: 3,
            total: 3 * (u128::from(u64::MAX) - 1),
            squares: 0,
        };
        let squares = (u128::from(u64::MAX) - 1)
            .wrapping_mul(u128::from(u64::MAX) - 1)
            .wrapping_mul(3);
        assert_eq!(WeightSums { squares, ..ones }.moments(0, 1, 1.0).squares, 0.0);
    }
}
