//! Softmax over rows of bytes, in the reference kernels' fixed point. The exponentials of all 256 differences to a
//! row's maximum are computed once, at load.

use super::fixed::{exp_of_negative, one_over_one_plus, times};
use super::requantize::{Factor, rounding_shift};

/// Integer bits of a scaled difference, and of the sum.
const DIFFERENCE_BITS: u32 = 5;
const SUM_BITS: i32 = 12;

/// A softmax over rows of `length`.
#[derive(Debug, Clone, PartialEq)]
pub struct Softmax {
    /// Numbers in a row.
    pub length: usize,
    /// `exp(-difference * scale)` for each difference that counts.
    exponentials: Vec<i32>,
}

impl Softmax {
    /// For rows of `length` bytes of scale `scale`, the input multiplied with `beta`.
    pub fn new(length: usize, scale: f32, beta: f32) -> Self {
        let unit = f64::from(1u32 << (31 - DIFFERENCE_BITS));
        let factor =
            Factor::new((f64::from(beta) * f64::from(scale) * unit).min(f64::from(1u32 << 31) - 1.0));
        let shift = factor.shift.max(0);
        let radius = 31.0 * unit / 2f64.powi(shift);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
        let count = radius.floor().clamp(0.0, 255.0) as u8;
        let exponentials = (0..=i32::from(count))
            .map(|d| {
                exp_of_negative(
                    times((-d).wrapping_shl(shift.unsigned_abs()), factor.multiplier),
                    DIFFERENCE_BITS,
                )
            })
            .collect();
        Softmax { length, exponentials }
    }

    /// Bytes of the table.
    pub fn bytes(&self) -> usize {
        self.exponentials.len() * 4
    }

    /// Computes all rows.
    pub fn run(&self, input: &[u8], output: &mut [u8]) {
        for (input, output) in input
            .chunks_exact(self.length)
            .zip(output.chunks_exact_mut(self.length))
        {
            let top = input.iter().copied().max().unwrap_or(0);
            let exponential = |x: u8| self.exponentials.get(usize::from(top - x)).copied();
            let sum = input
                .iter()
                .filter_map(|x| exponential(*x))
                .fold(0i32, |sum, e| sum.wrapping_add(rounding_shift(e, SUM_BITS)));
            let zeros = sum.max(1).leading_zeros();
            #[expect(clippy::cast_possible_wrap, reason = "the reference's own arithmetic")]
            let fraction = ((sum.max(1).unsigned_abs() << zeros).wrapping_sub(1 << 31)) as i32;
            let scale = one_over_one_plus(fraction);
            let zeros = i32::try_from(zeros).unwrap_or(32);
            let shift = (SUM_BITS - zeros + 31 - 8).clamp(0, 31);
            for (to, from) in output.iter_mut().zip(input) {
                let value = exponential(*from).map_or(0, |e| rounding_shift(times(scale, e), shift));
                *to = u8::try_from(value.clamp(0, 255)).unwrap_or(u8::MAX);
            }
        }
    }
}
