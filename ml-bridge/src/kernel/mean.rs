//! The mean over some dimensions of a tensor, requantized as the reference kernels do.

use super::requantize::{BIAS, Bounds, Factor, hold};
use super::{Isa, versions};
use crate::model::Affine;

versions!(
    fn means(mean: &Mean, input: &[u8], output: &mut [u8], sums: &mut [i32]) {
        mean.all(input, output, sums);
    }
);

/// A mean over the middle of `[outer, reduced, inner]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Mean {
    outer: usize,
    reduced: usize,
    inner: usize,
    from: i32,
    to: i32,
    factor: Factor,
}

impl Mean {
    /// Of bytes that mean `from` to bytes that mean `to`; the counts are above zero, `reduced` below 2^23.
    pub fn new([outer, reduced, inner]: [usize; 3], from: Affine, to: Affine) -> Self {
        let whole = Factor::new(f64::from(from.scale) / f64::from(to.scale));
        // The count divides the multiplier, moved left as far as the shift allows.
        let count = i64::try_from(reduced.max(1)).unwrap_or(i64::MAX);
        let shift = (63 - count.leading_zeros().min(63)).min(32);
        let shift = i32::try_from(shift).unwrap_or(0).min(31 + whole.shift);
        let multiplier = (i64::from(whole.multiplier) << shift) / count;
        let factor = Factor {
            multiplier: i32::try_from(multiplier).unwrap_or(i32::MAX),
            shift: whole.shift - shift,
        };
        Mean {
            outer,
            reduced,
            inner,
            from: from.zero_point + BIAS,
            to: to.zero_point + BIAS,
            factor,
        }
    }

    /// Computes the means with the instructions of `isa`; `sums` holds `inner` numbers.
    pub fn run(&self, isa: Isa, input: &[u8], output: &mut [u8], sums: &mut [i32]) {
        versions!(isa, means(self, input, output, sums));
    }

    #[inline(always)]
    fn all(&self, input: &[u8], output: &mut [u8], sums: &mut [i32]) {
        let all = Bounds { low: 0, high: 255 };
        let offset = self.from * i32::try_from(self.reduced).unwrap_or(0);
        let sums = &mut sums[..self.inner];
        let blocks = input.chunks_exact(self.reduced * self.inner).take(self.outer);
        for (block, results) in blocks.zip(output.chunks_exact_mut(self.inner)) {
            sums.fill(0);
            // Pixels of 32 channels at a time, sums in registers; the rest one by one.
            let mut done = 0;
            while done + 32 <= self.inner {
                let mut part = [0i32; 32];
                // As many rows as fit are added in 16 bits.
                for rows in block.chunks(257 * self.inner) {
                    let mut short = [0u16; 32];
                    for row in rows.chunks_exact(self.inner) {
                        for (sum, value) in short.iter_mut().zip(&row[done..done + 32]) {
                            *sum += u16::from(*value);
                        }
                    }
                    for (sum, short) in part.iter_mut().zip(short) {
                        *sum += i32::from(short);
                    }
                }
                sums[done..done + 32].copy_from_slice(&part);
                done += 32;
            }
            if done < self.inner {
                for row in block.chunks_exact(self.inner) {
                    for (sum, value) in sums[done..].iter_mut().zip(&row[done..]) {
                        *sum += i32::from(*value);
                    }
                }
            }
            for (to, sum) in results.iter_mut().zip(sums.iter()) {
                *to = hold(self.factor.apply(sum - offset) + self.to, all);
            }
        }
    }
}
