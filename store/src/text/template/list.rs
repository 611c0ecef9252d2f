//! Increasing numbers in the stream of packed bits: the i-th of them, and how many are smaller than a bound.
//!
//! ```text
//! up to 64 numbers    packed, as wide as the universe needs
//! more                Elias-Fano: l = floor(log2(universe / count)) low bits of each, packed;
//!                     place of every 32nd one in what follows, packed; per high part a one for each of its numbers,
//!                     then a zero
//! ```

use super::bits::{BitWriter, push, read, width_below};

/// Numbers up to which they are packed whole.
const FEW: u64 = 64;
/// Numbers between two places that are kept.
const STEP: u64 = 32;

/// Where a list is, and its shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct List {
    at: u64,
    count: u64,
    width: u32,
    /// Width of a kept place; 0 if the numbers are packed whole.
    place_width: u32,
    upper_bits: u64,
}

impl List {
    /// A list of `count` numbers below `universe` that starts at bit `at`.
    pub fn new(at: u64, count: u64, universe: u64) -> List {
        if count <= FEW {
            return List {
                at,
                count,
                width: width_below(universe),
                place_width: 0,
                upper_bits: 0,
            };
        }
        let width = (universe / count).max(1).ilog2();
        let upper_bits = count.saturating_add(universe >> width).saturating_add(1);
        List {
            at,
            count,
            width,
            place_width: width_below(upper_bits).max(1),
            upper_bits,
        }
    }

    /// Bits that the list takes.
    pub fn bits(&self) -> u64 {
        let low = self.count.saturating_mul(u64::from(self.width));
        if self.place_width == 0 {
            return low;
        }
        let places = self
            .count
            .div_ceil(STEP)
            .saturating_mul(u64::from(self.place_width));
        low.saturating_add(places).saturating_add(self.upper_bits)
    }

    /// Number of numbers.
    pub fn len(&self) -> u64 {
        self.count
    }

    fn places_at(&self) -> u64 {
        self.at + self.count * u64::from(self.width)
    }

    fn upper_at(&self) -> u64 {
        self.places_at() + self.count.div_ceil(STEP) * u64::from(self.place_width)
    }

    /// Number `index`.
    pub fn get(&self, bits: &[u8], index: u64) -> Option<u64> {
        if index >= self.count {
            return None;
        }
        let low = read(bits, self.at + index * u64::from(self.width), self.width)?;
        if self.place_width == 0 {
            return Some(low);
        }
        let place_at = self.places_at() + index / STEP * u64::from(self.place_width);
        let mut place = read(bits, place_at, self.place_width)?;
        let mut skip = index % STEP;
        let upper = self.upper_at();
        loop {
            let window = read(bits, upper + place, 56)?;
            let ones = u64::from(window.count_ones());
            if ones > skip {
                let mut rest = window;
                for _ in 0..skip {
                    rest &= rest - 1;
                }
                place += u64::from(rest.trailing_zeros());
                break;
            }
            skip -= ones;
            place += 56;
            if place > self.upper_bits {
                return None;
            }
        }
        Some(place.checked_sub(index)? << self.width | low)
    }

    /// How many numbers are below `bound`.
    pub fn below(&self, bits: &[u8], bound: u64) -> Option<u64> {
        let kept = |index: u64| -> Option<(u64, u64)> {
            if self.place_width == 0 {
                return Some((0, self.get(bits, index)?));
            }
            let place_at = self.places_at() + index * u64::from(self.place_width);
            let place = read(bits, place_at, self.place_width)?;
            let high = place.checked_sub(index * STEP)?;
            let low = read(bits, self.at + index * STEP * u64::from(self.width), self.width)?;
            Some((place, high << self.width | low))
        };
        let step = if self.place_width == 0 { 1 } else { STEP };
        let (mut low, mut high) = (0, self.count.div_ceil(step));
        while low < high {
            let middle = low + (high - low) / 2;
            if kept(middle)?.1 < bound {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        match low.checked_sub(1) {
            Some(last) if self.place_width > 0 => self.below_from(bits, last * STEP, kept(last)?.0, bound),
            _ => Some(low),
        }
    }

    /// How many numbers are below `bound`, from number `index` on, whose one is at `place` and which is.
    fn below_from(&self, bits: &[u8], mut index: u64, mut place: u64, bound: u64) -> Option<u64> {
        let end = self.count.min(index + STEP);
        let upper = self.upper_at();
        let bound_high = bound >> self.width;
        loop {
            let mut window = read(bits, upper + place, 56)?;
            while window != 0 {
                let high = (place + u64::from(window.trailing_zeros())).checked_sub(index)?;
                window &= window - 1;
                if high >= bound_high {
                    let low = read(bits, self.at + index * u64::from(self.width), self.width)?;
                    if high << self.width | low >= bound {
                        return Some(index);
                    }
                }
                index += 1;
                if index == end {
                    return Some(end);
                }
            }
            place += 56;
            if place > self.upper_bits {
                return None;
            }
        }
    }

    /// Place of `number`, if it is there.
    pub fn find(&self, bits: &[u8], number: u64) -> Option<Option<u64>> {
        let place = self.below(bits, number)?;
        Some((place < self.count && self.get(bits, place)? == number).then_some(place))
    }

    /// Calls `visit` for each number.
    pub fn each(&self, bits: &[u8], mut visit: impl FnMut(u64)) -> Option<()> {
        if self.place_width == 0 {
            for index in 0..self.count {
                visit(self.get(bits, index)?);
            }
            return Some(());
        }
        let upper = self.upper_at();
        let (mut place, mut index) = (0, 0);
        while index < self.count {
            let mut window = read(bits, upper + place, 56)?;
            while window != 0 && index < self.count {
                let high = (place + u64::from(window.trailing_zeros())).checked_sub(index)?;
                window &= window - 1;
                let low = read(bits, self.at + index * u64::from(self.width), self.width)?;
                visit(high << self.width | low);
                index += 1;
            }
            place += 56;
            if place > self.upper_bits + 56 {
                return None;
            }
        }
        Some(())
    }
}

/// Writes increasing numbers below `universe`.
pub fn write(numbers: &[u64], universe: u64, out: &mut BitWriter) -> List {
    let list = List::new(out.len(), numbers.len() as u64, universe);
    for &number in numbers {
        push(
            out,
            number & !(u64::MAX.checked_shl(list.width).unwrap_or(0)),
            list.width,
        );
    }
    if list.place_width > 0 {
        for (index, &number) in (0u64..).zip(numbers) {
            if index % STEP == 0 {
                push(out, (number >> list.width) + index, list.place_width);
            }
        }
        let mut place = 0;
        for (index, &number) in (0u64..).zip(numbers) {
            let one = (number >> list.width) + index;
            while place < one {
                out.push(0, 1);
                place += 1;
            }
            out.push(1, 1);
            place += 1;
        }
        while place < list.upper_bits {
            out.push(0, 1);
            place += 1;
        }
    }
    list
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn lists_answer(set in proptest::collection::btree_set(0u64..3000, 0..400), more in 1u64..2000, shift in 0u64..9) {
            let numbers: Vec<u64> = set.into_iter().collect();
            let universe = numbers.last().map_or(0, |&last| last) + more;
            let mut out = BitWriter::default();
            out.push(0, shift as u32);
            let list = write(&numbers, universe, &mut out);
            prop_assert_eq!(out.len(), shift + list.bits());
            let bytes = out.into_padded();
            let list = List::new(shift, numbers.len() as u64, universe);
            for (i, &number) in numbers.iter().enumerate() {
                prop_assert_eq!(list.get(&bytes, i as u64), Some(number));
                prop_assert_eq!(list.find(&bytes, number), Some(Some(i as u64)));
            }
            prop_assert_eq!(list.get(&bytes, numbers.len() as u64), None);
            for bound in (0..universe + 3).step_by(7) {
                let below = numbers.iter().filter(|&&number| number < bound).count() as u64;
                prop_assert_eq!(list.below(&bytes, bound), Some(below));
            }
            let mut all = Vec::new();
            list.each(&bytes, |number| all.push(number)).unwrap();
            prop_assert_eq!(all, numbers);
        }
    }
}
