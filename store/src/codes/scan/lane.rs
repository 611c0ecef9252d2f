//! Elements of 8, 16, 32 and 64 bits, and the packing of 1,024 of them side by side.
//!
//! A packed block is a number of *words* of 128 bytes. A word has 128, 64, 32 or 16 lanes; lane l of row r is value
//! r * lanes + l, and each lane is a bit stream of its own that all lanes go through in step. So one shift serves a
//! whole word, loads and stores are contiguous, and a compiler turns the loops below into vector instructions of any
//! length. The layout is that of Afroozeh and Boncz, "The FastLanes compression layout" (2023), without its
//! permutation of the rows: values come out in row order, which lets a prefix sum stop at the wanted row.

/// Values in a block.
pub(super) const BLOCK: usize = 1024;
/// Bytes of a word.
pub(super) const WORD_BYTES: usize = 128;
/// Places in front of a block's values that [`prefix`] reads as zeros.
pub(super) const FRONT: usize = 16;

/// A block's values, behind places that stay zero.
pub(super) type Values<P> = [P; FRONT + BLOCK];

/// An unsigned number of a fixed width.
pub(super) trait Lane: Copy + Default + Ord {
    const BITS: u32;
    const BYTES: usize;
    const LANES: usize;
    const ALL: Self;
    /// Wide enough for the sum of a lane.
    type Sum: Lane;

    fn read(bytes: &[u8]) -> Self;
    fn write(self, bytes: &mut [u8]);
    /// The low bits of `value`.
    fn of(value: u64) -> Self;
    fn wide(self) -> u64;
    fn and(self, other: Self) -> Self;
    fn or(self, other: Self) -> Self;
    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    fn left(self, bits: u32) -> Self;
    fn right(self, bits: u32) -> Self;
}

macro_rules! lane {
    ($ty:ty, $sum:ty) => {
        impl Lane for $ty {
            const BITS: u32 = <$ty>::BITS;
            const BYTES: usize = size_of::<$ty>();
            const LANES: usize = WORD_BYTES / size_of::<$ty>();
            const ALL: Self = <$ty>::MAX;
            type Sum = $sum;

            #[inline(always)]
            fn read(bytes: &[u8]) -> Self {
                let mut le = [0; size_of::<$ty>()];
                le.copy_from_slice(bytes);
                <$ty>::from_le_bytes(le)
            }
            #[inline(always)]
            fn write(self, bytes: &mut [u8]) {
                bytes.copy_from_slice(&self.to_le_bytes());
            }
            #[inline(always)]
            #[allow(clippy::cast_possible_truncation, reason = "the low bits are wanted")]
            fn of(value: u64) -> Self {
                value as $ty
            }
            #[inline(always)]
            #[allow(clippy::unnecessary_cast, reason = "the same for all widths")]
            fn wide(self) -> u64 {
                self as u64
            }
            #[inline(always)]
            fn and(self, other: Self) -> Self {
                self & other
            }
            #[inline(always)]
            fn or(self, other: Self) -> Self {
                self | other
            }
            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }
            #[inline(always)]
            fn minus(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }
            #[inline(always)]
            fn left(self, bits: u32) -> Self {
                self.wrapping_shl(bits)
            }
            #[inline(always)]
            fn right(self, bits: u32) -> Self {
                self.wrapping_shr(bits)
            }
        }
    };
}

lane!(u8, u16);
lane!(u16, u32);
lane!(u32, u64);
lane!(u64, u64);

/// Calls the expression with `$lane` standing for the narrowest element of at least `$bits` bits.
macro_rules! with_lane {
    ($bits:expr, $lane:ident => $call:expr) => {
        match $bits {
            0..=8 => {
                type $lane = u8;
                $call
            }
            9..=16 => {
                type $lane = u16;
                $call
            }
            17..=32 => {
                type $lane = u32;
                $call
            }
            _ => {
                type $lane = u64;
                $call
            }
        }
    };
}
pub(super) use with_lane;

/// Bits of the narrowest element of at least `bits` bits.
#[inline]
pub(super) fn lane_bits(bits: u32) -> u32 {
    with_lane!(bits, T => T::BITS)
}

/// Words that `values` values of `width` bits take.
#[inline]
pub(super) fn words(values: usize, width: u32) -> usize {
    let bits = lane_bits(width) as usize;
    let rows = values.div_ceil(WORD_BYTES * 8 / bits);
    (rows * width as usize).div_ceil(bits)
}

/// The bits of row `row`: its word, the one behind (or the last), and how far to shift.
#[inline(always)]
fn row_words<T: Lane>(packed: &[u8], width: u32, row: usize) -> (&[u8], &[u8], u32) {
    let bit = row * width as usize;
    let last = packed.len() / WORD_BYTES - 1;
    let word = (bit / T::BITS as usize).min(last);
    let next = (word + 1).min(last);
    #[expect(clippy::cast_possible_truncation, reason = "below 64")]
    let shift = (bit % T::BITS as usize) as u32;
    (
        &packed[word * WORD_BYTES..][..WORD_BYTES],
        &packed[next * WORD_BYTES..][..WORD_BYTES],
        shift,
    )
}

#[inline(always)]
fn cut<T: Lane>(low: &[u8], high: &[u8], shift: u32, mask: T) -> T {
    let (low, high) = (T::read(low), T::read(high));
    // In two steps, since a shift by all bits is none.
    low.right(shift)
        .or(high.left(1).left(T::BITS - 1 - shift))
        .and(mask)
}

/// Values `from..to` of a block of `width` bits, 1 to `T::BITS`, into their places; whole rows are written.
///
/// `packed` holds whole words, at least one.
#[inline(always)]
pub(super) fn unpack<T: Lane, P: Lane>(
    packed: &[u8],
    width: u32,
    from: usize,
    to: usize,
    out: &mut Values<P>,
) {
    let mask = T::ALL.right(T::BITS - width);
    let rows = out[FRONT..].chunks_exact_mut(T::LANES).enumerate();
    for (row, slots) in rows.take(to.div_ceil(T::LANES)).skip(from / T::LANES) {
        let (low, high, shift) = row_words::<T>(packed, width, row);
        let pairs = low.chunks_exact(T::BYTES).zip(high.chunks_exact(T::BYTES));
        for (slot, (low, high)) in slots.iter_mut().zip(pairs) {
            *slot = P::of(cut::<T>(low, high, shift, mask).wide());
        }
    }
}

/// Sum of the values 0 to `last` of a block of `width` bits.
#[inline(always)]
pub(super) fn sum_front<T: Lane>(packed: &[u8], width: u32, last: usize) -> u64 {
    let mask = T::ALL.right(T::BITS - width);
    let mut sums = [T::Sum::default(); WORD_BYTES];
    let sums = &mut sums[..T::LANES];
    for row in 0..last / T::LANES {
        let (low, high, shift) = row_words::<T>(packed, width, row);
        let pairs = low.chunks_exact(T::BYTES).zip(high.chunks_exact(T::BYTES));
        for (sum, (low, high)) in sums.iter_mut().zip(pairs) {
            *sum = sum.plus(T::Sum::of(cut::<T>(low, high, shift, mask).wide()));
        }
    }
    let (low, high, shift) = row_words::<T>(packed, width, last / T::LANES);
    let pairs = low.chunks_exact(T::BYTES).zip(high.chunks_exact(T::BYTES));
    let wanted = T::of((last % T::LANES) as u64);
    for (lane, (sum, (low, high))) in sums.iter_mut().zip(pairs).enumerate() {
        let value = cut::<T>(low, high, shift, mask);
        let kept = if T::of(lane as u64) <= wanted {
            value
        } else {
            T::default()
        };
        *sum = sum.plus(T::Sum::of(kept.wide()));
    }
    sums.iter().fold(0u64, |all, sum| all.wrapping_add(sum.wide()))
}

/// Appends `values` (padded to whole rows with zeros) packed in `width` bits.
#[inline(always)]
pub(super) fn pack<T: Lane>(values: &[T; BLOCK], count: usize, width: u32, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + words(count, width) * WORD_BYTES, 0);
    let mut to = out[start..].chunks_exact_mut(WORD_BYTES);
    let (mut sums, mut shift) = ([T::default(); WORD_BYTES], 0);
    let sums = &mut sums[..T::LANES];
    let mut store = |sums: &[T]| {
        if let Some(word) = to.next() {
            for (bytes, sum) in word.chunks_exact_mut(T::BYTES).zip(sums) {
                sum.write(bytes);
            }
        }
    };
    for row in values.chunks_exact(T::LANES).take(count.div_ceil(T::LANES)) {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum = sum.or(value.left(shift));
        }
        shift += width;
        if shift >= T::BITS {
            store(sums);
            shift -= T::BITS;
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum = if shift == 0 {
                    T::default()
                } else {
                    value.right(width - shift)
                };
            }
        }
    }
    if shift > 0 {
        store(sums);
    }
}

/// Turns differences into values: value p becomes `first` + p * `step` + the differences 1 to p; the first `count`.
///
/// Sums of 16 neighbours come first, by two rounds of four; then each 16 values add them to the 16 before. No step
/// waits for the one before but the last, so it is vector work throughout.
#[inline(always)]
pub(super) fn prefix<P: Lane>(values: &mut Values<P>, first: P, step: P, count: usize) {
    let end = count.next_multiple_of(FRONT).min(BLOCK);
    values[FRONT] = P::default();
    let mut fours = [P::default(); FRONT + BLOCK];
    for place in FRONT..FRONT + end {
        let near = values[place].plus(values[place - 1]);
        fours[place] = near.plus(values[place - 2].plus(values[place - 3]));
    }
    let mut at = [P::default(); FRONT];
    let mut start = first;
    let stride = P::of(step.wide().wrapping_mul(FRONT as u64));
    for place in &mut at {
        *place = start.minus(stride);
        start = start.plus(step);
    }
    let mut base = FRONT;
    while base < FRONT + end {
        for (lane, at) in at.iter_mut().enumerate() {
            let place = base + lane;
            let near = fours[place].plus(fours[place - 4]);
            let sum = near.plus(fours[place - 8].plus(fours[place - 12]));
            *at = at.plus(sum.plus(stride));
        }
        values[base..base + FRONT].copy_from_slice(&at);
        base += FRONT;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::cast_possible_truncation)]
    use proptest::prelude::*;

    use super::*;
    use crate::codes::testing::Random;

    fn round_trip<T: Lane>(width: u32, count: usize, seed: u64) {
        let mut random = Random::new(seed);
        let mut values = [T::default(); BLOCK];
        for value in &mut values[..count] {
            *value = T::of(random.next() >> (64 - width));
        }
        let mut packed = Vec::new();
        pack(&values, count, width, &mut packed);
        assert_eq!(packed.len(), words(count, width) * WORD_BYTES);
        let mut out = [0u64; FRONT + BLOCK];
        unpack::<T, u64>(&packed, width, 0, count, &mut out);
        let mut sum = 0u64;
        for (index, value) in values[..count].iter().enumerate() {
            assert_eq!(out[FRONT + index], value.wide());
            sum = sum.wrapping_add(value.wide());
            if index % 37 == 0 || index + 1 == count {
                assert_eq!(sum_front::<T>(&packed, width, index), sum);
            }
        }
    }

    #[test]
    fn every_width_comes_back() {
        for width in 1..=64 {
            for count in [1, 100, 1000, 1024] {
                with_lane!(width, T => round_trip::<T>(width, count, u64::from(width)));
            }
        }
    }

    proptest! {
        #[test]
        fn prefix_sums_are_the_naive_ones(seed: u64, first: u32, step: u32, count in 1usize..=BLOCK) {
            let mut random = Random::new(seed);
            let mut values = [0u32; FRONT + BLOCK];
            values[FRONT..].fill_with(|| random.next() as u32);
            let mut want = vec![first];
            for &value in &values[FRONT + 1..FRONT + count] {
                want.push(want[want.len() - 1].wrapping_add(value).wrapping_add(step));
            }
            prefix(&mut values, first, step, count);
            prop_assert_eq!(&values[FRONT..FRONT + count], &want[..]);
        }
    }
}
