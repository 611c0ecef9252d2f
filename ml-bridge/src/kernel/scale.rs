//! The way from sums back to bytes, in nine instructions.
//!
//! For a sum `a` (bias included) and a factor `m * 2^(-31 - e)`, `0 <= e`, the reference result is
//! `(y + 2^(e-1) - [a < 0]) >> e` with `y = (a * m + 2^30) >> 31`. With `u = a + 2^31` unsigned, the high half of
//! `u * 2m + k` is `y` plus anything that is put into `k`: the rounding, the zero point and the `-m` that the offset
//! brings. Where the reference rounds once, `k` has no first rounding and the sign does not count, which is exact as
//! long as no sum lies on a half. Where results are held from zero up, a negative sum's rounding does not matter, and the
//! sign does not count either. [`Scale`] holds the constants of 16 lanes as a file has them, [`Wide`] as registers want
//! them; [`exact_for`] says whether the result is exact for every sum that can occur.

use super::geometry::LANES;
use super::requantize::{Factor, Requantize, Rounding};

/// What takes 16 sums back to bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub struct Scale {
    /// `2m`.
    pub multiplier: [u32; LANES],
    /// The high half of `k`.
    pub add: [u32; LANES],
    /// `e` in the lowest five bits, and [`Scale::HALF`] and [`Scale::SIGNED`].
    pub shift: [u32; LANES],
}

impl Scale {
    /// In a shift: the low half of `k`, which is this bit or nothing.
    pub const HALF: u32 = 1 << 31;
    /// In a shift: the sign of a sum decides halves.
    pub const SIGNED: u32 = 1 << 30;
    /// The bits of a shift that are `e`.
    pub const SHIFT: u32 = 31;

    /// The byte, not yet held between bounds, for the sum plus 2^31 in lane `lane`.
    #[inline]
    pub fn apply(&self, lane: usize, sum: u32) -> i32 {
        let shift = self.shift[lane];
        let add = u64::from(self.add[lane]) << 32 | u64::from(shift & Scale::HALF);
        let product = u64::from(sum).wrapping_mul(u64::from(self.multiplier[lane]));
        let [_, high] = halves(product.wrapping_add(add));
        let sign = (sum >> 31) & (shift >> 30);
        (high.wrapping_add(sign & 1) as i32) >> (shift & Scale::SHIFT)
    }
}

/// A [`Scale`] as registers of 32- and 64-bit lanes want it.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub struct Wide {
    /// `2m` of even lanes.
    pub even: [u64; 8],
    /// `2m` of odd lanes.
    pub odd: [u64; 8],
    /// `k` of even lanes.
    pub even_add: [u64; 8],
    /// `k` of odd lanes.
    pub odd_add: [u64; 8],
    /// `e`.
    pub shift: [u32; LANES],
    /// All ones in lanes in which the sign of a sum decides halves.
    pub sign: [u32; LANES],
}

impl Wide {
    /// The constants of `scale`.
    #[inline(always)]
    pub fn of(scale: &Scale) -> Self {
        let pair = |of: &[u32; LANES], lane: usize| -> [u64; 8] {
            std::array::from_fn(|pair| u64::from(of[2 * pair + lane]))
        };
        let add = |lane: usize| -> [u64; 8] {
            std::array::from_fn(|pair| {
                let lane = 2 * pair + lane;
                u64::from(scale.add[lane]) << 32 | u64::from(scale.shift[lane] & Scale::HALF)
            })
        };
        Wide {
            even: pair(&scale.multiplier, 0),
            odd: pair(&scale.multiplier, 1),
            even_add: add(0),
            odd_add: add(1),
            shift: scale.shift.map(|shift| shift & Scale::SHIFT),
            sign: scale.shift.map(|shift| 0u32.wrapping_sub(shift >> 30 & 1)),
        }
    }
}

/// 16 biases plus 2^31.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub struct Bias(pub [u32; LANES]);

/// Biases of the outputs that `channel` gives for each lane.
pub fn bias(end: &Requantize, channel: impl Fn(usize) -> Option<usize>) -> Bias {
    let mut bias = Bias([1 << 31; LANES]);
    for (lane, value) in bias.0.iter_mut().enumerate() {
        if let Some(channel) = channel(lane) {
            *value = (end.bias[channel] as u32).wrapping_add(1 << 31);
        }
    }
    bias
}

/// Constants of the outputs that `channel` gives for each lane, of results that are held between `end.bounds`. Where
/// these begin at zero (a ReLU's do), all negative sums give the lower bound, however they are rounded.
pub fn scale(end: &Requantize, channel: impl Fn(usize) -> Option<usize>) -> Scale {
    let signed = i32::from(end.bounds.low) < end.zero_point;
    constants(end, signed, channel)
}

/// As [`scale`], for results that are not held.
pub fn scale_unheld(end: &Requantize, channel: impl Fn(usize) -> Option<usize>) -> Scale {
    constants(end, true, channel)
}

fn constants(end: &Requantize, signed: bool, channel: impl Fn(usize) -> Option<usize>) -> Scale {
    // Lane by lane into arrays first: what follows is the same for all, without a branch.
    let (mut multipliers, mut rights) = ([0u32; LANES], [0u32; LANES]);
    for lane in 0..LANES {
        if let Some(Factor { multiplier, shift }) = channel(lane).and_then(|c| end.factor.get(c)) {
            multipliers[lane] = multiplier.unsigned_abs();
            rights[lane] = (-*shift).clamp(0, 30).unsigned_abs();
        }
    }
    let twice = end.rounding == Rounding::Twice;
    let signed = twice && signed;
    let first = match (twice, signed) {
        (false, _) => 0,
        (true, false) => 1i64 << 31,
        (true, true) => (1i64 << 31) - (1 << 32),
    };
    let zero_point = i64::from(end.zero_point);
    let mut scale = Scale {
        multiplier: multipliers.map(|m| 2 * m),
        add: [0; LANES],
        shift: rights,
    };
    for (lane, (multiplier, right)) in multipliers.into_iter().zip(rights).enumerate() {
        // Half of the last place that stays, and for the first of two roundings half of a unit.
        let half = if right > 0 {
            (1i64 << (right + 31)) + first
        } else {
            1 << 31
        };
        let high = (zero_point << right) - i64::from(multiplier);
        let [low, high] = halves((high << 32).wrapping_add(half) as u64);
        debug_assert!(low & !Scale::HALF == 0);
        scale.add[lane] = high;
        scale.shift[lane] |= low;
        if signed && right > 0 {
            scale.shift[lane] |= Scale::SIGNED;
        }
    }
    scale
}

/// The low and the high half of `number`.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "halves")]
fn halves(number: u64) -> [u32; 2] {
    [number as u32, (number >> 32) as u32]
}

/// The sum of `weights`, in parts whose sums fit 16 bits.
pub fn sum_of(weights: &[i8]) -> i32 {
    weights.chunks(128).fold(0i32, |sum, part| {
        let part = part.iter().fold(0i16, |sum, w| sum + i16::from(*w));
        sum.wrapping_add(i32::from(part))
    })
}

/// A bound on sums of bytes times `weights`.
pub fn size_of_sums(weights: &[i8]) -> i64 {
    let total: u64 = weights
        .chunks(1 << 8)
        .map(|c| {
            let part = c.iter().fold(0u16, |sum, w| sum + u16::from(w.unsigned_abs()));
            u64::from(part)
        })
        .sum();
    i64::try_from(total).unwrap_or(i64::MAX / 256) * 255
}

/// Sets factors under which every sum of up to `size` (and its bias) becomes 0 to 0, with any shift.
pub fn drop_tiny(size: i64, end: &mut Requantize, channel: usize) {
    let factor = end.factor[channel];
    let size = size + i64::from(end.bias[channel]).abs();
    // Below half a unit: multiplier < 2^31, so a product below 2^(30 - shift) is enough.
    if factor.shift < 0 && size < 1 << 31 && (size * i64::from(factor.multiplier)) >> (30 - factor.shift) == 0
    {
        end.factor[channel] = Factor {
            multiplier: 0,
            shift: -1,
        };
    }
}

/// Whether sums of up to `size` plus the bias of `channel` can be taken back exactly.
pub fn exact_for(size: i64, end: &Requantize, channel: usize) -> bool {
    let factor = end.factor[channel];
    let right = -factor.shift;
    let size = size + i64::from(end.bias[channel]).abs();
    if !(0..=30).contains(&right) || size >= 1 << 31 {
        return false;
    }
    let scaled = ((size * i64::from(factor.multiplier)) >> 31) + 2;
    let in_range = scaled + (1i64 << right) / 2 + (i64::from(end.zero_point).abs() << right) < 1 << 31;
    // A half needs a sum with at least this many trailing zeros.
    let zeros = i64::from(30 + right) - i64::from(factor.multiplier.trailing_zeros().min(31));
    in_range && (end.rounding == Rounding::Twice || (zeros < 63 && size < 1i64 << zeros.max(0)))
}
