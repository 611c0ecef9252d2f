//! One level of the write side: take a bit of every code, and move the codes with a zero before those with a one.

#![allow(
    clippy::cast_possible_truncation,
    reason = "elements are narrowed to the bits they have"
)]

use crate::codes::merge::PADDING;
use crate::codes::simd::Path;

/// What one split reads and writes; each slice of elements has [`PADDING`] behind its last one.
pub(crate) struct Split<'a, T> {
    pub(crate) from: &'a [T],
    pub(crate) zeros: &'a mut [T],
    pub(crate) ones: &'a mut [T],
    /// The taken bits, a word for each started 64 elements.
    pub(crate) bits: &'a mut [u64],
    pub(crate) count: usize,
    pub(crate) bit: u32,
}

#[cfg(all(target_arch = "x86_64", avx512))]
impl<T> Split<'_, T> {
    /// That no path leaves its slices, however many elements go to either side.
    #[inline(always)]
    pub(crate) fn check(&self) {
        let needed = self.count + PADDING;
        assert!(
            self.from.len() >= needed
                && self.zeros.len() >= needed
                && self.ones.len() >= needed
                && self.bits.len() >= self.count.div_ceil(64)
                && (self.bit as usize) < size_of::<T>() * 8,
            "a split of {} elements",
            self.count
        );
    }
}

/// A code as wide as the largest one needs.
pub(super) trait Element: Copy + Default {
    fn narrow(code: u64) -> Self;
    fn wide(self) -> u64;
    /// Splits, and returns how many ones there are.
    fn split(path: Path, split: Split<'_, Self>) -> usize;
}

macro_rules! element {
    ($($ty:ty, $split:ident;)*) => {$(
        impl Element for $ty {
            #[inline(always)]
            fn narrow(code: u64) -> Self {
                code as $ty
            }
            #[inline(always)]
            fn wide(self) -> u64 {
                u64::from(self)
            }
            fn split(path: Path, split: Split<'_, Self>) -> usize {
                match path {
                    #[cfg(all(target_arch = "x86_64", avx512))]
                    Path::Avx512(avx512) => avx512.$split(split),
                    _ => split_portable(split),
                }
            }
        }
    )*};
}
element!(u8, split8; u16, split16; u32, split32; u64, split64;);

fn split_portable<T: Element>(split: Split<'_, T>) -> usize {
    let Split {
        from,
        zeros,
        ones,
        bits,
        count,
        bit,
    } = split;
    let (mut zero, mut one) = (0, 0);
    for (group, out) in from[..count].chunks(64).zip(bits.iter_mut()) {
        let mut word = 0;
        for (i, &element) in group.iter().enumerate() {
            let set = element.wide() >> bit & 1;
            word |= set << i;
            // Written to both sides, kept on one: no branch to mispredict.
            zeros[zero] = element;
            ones[one] = element;
            one += set as usize;
            zero += 1 - set as usize;
        }
        *out = word;
    }
    one
}

/// Codes on their way from row order to leaf order.
pub(super) struct Sorter<T> {
    path: Path,
    count: usize,
    order: Vec<T>,
    zeros: Vec<T>,
    ones: Vec<T>,
    bits: Vec<u64>,
}

impl<T: Element> Sorter<T> {
    /// Starts in row order.
    pub(super) fn new(path: Path, codes: impl Iterator<Item = T>, count: usize) -> Sorter<T> {
        let mut order = Vec::with_capacity(count + PADDING);
        order.extend(codes);
        debug_assert!(order.len() == count, "as many codes as said");
        order.resize(count + PADDING, T::default());
        let empty = vec![T::default(); count + PADDING];
        Sorter {
            path,
            count,
            order,
            zeros: empty.clone(),
            ones: empty,
            bits: vec![0; count.div_ceil(64)],
        }
    }

    /// The codes in the order of now.
    pub(super) fn order(&self) -> &[T] {
        &self.order[..self.count]
    }

    /// Takes bit `bit` of each code, then sorts stably by it.
    pub(super) fn level(&mut self, bit: u32) -> &[u64] {
        let split = Split {
            from: &self.order,
            zeros: &mut self.zeros,
            ones: &mut self.ones,
            bits: &mut self.bits,
            count: self.count,
            bit,
        };
        let ones = T::split(self.path, split);
        let zeros = self.count - ones;
        self.zeros[zeros..self.count].copy_from_slice(&self.ones[..ones]);
        std::mem::swap(&mut self.order, &mut self.zeros);
        &self.bits
    }

    /// Takes bit `bit` of each code.
    pub(super) fn plane(&mut self, bit: u32) -> &[u64] {
        for (group, out) in self.order[..self.count].chunks(64).zip(self.bits.iter_mut()) {
            let mut word = 0;
            for (i, element) in group.iter().enumerate() {
                word |= (element.wide() >> bit & 1) << i;
            }
            *out = word;
        }
        &self.bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check<T: Element + std::fmt::Debug + PartialEq>(codes: &[u64], bit: u32) -> Result<(), TestCaseError> {
        let (low, high): (Vec<u64>, Vec<u64>) = codes.iter().partition(|&&code| code >> bit & 1 == 0);
        for path in Path::all() {
            let mut sorter = Sorter::new(path, codes.iter().map(|&code| T::narrow(code)), codes.len());
            let plain = sorter.plane(bit).to_vec();
            prop_assert_eq!(sorter.level(bit), &plain[..]);
            let sorted: Vec<u64> = sorter.order().iter().map(|element| element.wide()).collect();
            prop_assert_eq!(sorted, [low.clone(), high.clone()].concat());
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn all_paths_sort_stably(codes in proptest::collection::vec(any::<u64>(), 0..400), bit in 0u32..64) {
            let cut = |bits: u32| codes.iter().map(|code| code & (u64::MAX >> (64 - bits))).collect::<Vec<_>>();
            check::<u8>(&cut(8), bit % 8)?;
            check::<u16>(&cut(16), bit % 16)?;
            check::<u32>(&cut(32), bit % 32)?;
            check::<u64>(&codes, bit)?;
        }
    }
}
