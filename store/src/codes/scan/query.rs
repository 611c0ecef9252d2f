//! Questions over ranges: block by block, by the directory where it decides, else on values in the first-level cache.

use std::ops::Range;

use super::block::Block;
use super::lane::{BLOCK, FRONT, Lane, with_lane};
use super::{Interval, Scan};
use crate::codes::simd::Isa;
use crate::error::Result;
use crate::rows::{Mask, index};

/// Values that one counter of 8 bits can count.
const PART: usize = 128;
/// Bits that a pass of a quantile settles.
const PASS_BITS: u32 = 12;
/// So few codes are sorted rather than counted.
const FEW_CODES: u64 = 16 * 1024;

/// Unpacks values `$range` of `$block` and calls the expression with them as a slice of elements `$lane`.
macro_rules! with_values {
    ($block:expr, $range:expr, ($values:ident: $lane:ident) => $call:expr) => {
        with_lane!($block.entry.value_bits(), $lane => {
            let mut places = [<$lane>::default(); FRONT + BLOCK];
            $block.values(&$range, &mut places)?;
            let $values = places
                .get(FRONT + $range.start..FRONT + $range.end)
                .unwrap_or_default();
            $call
        })
    };
}

impl Scan {
    /// Calls `each` with every block that `range` touches, and which of its codes.
    fn for_blocks(
        &self,
        range: &Range<u64>,
        mut each: impl FnMut(&Block<'_>, Range<usize>) -> Result<()>,
    ) -> Result<()> {
        let view = self.section.view();
        let mut position = range.start;
        while position < range.end {
            let number = position / BLOCK as u64;
            let start = number * BLOCK as u64;
            let end = range.end.min(start + BLOCK as u64);
            let block = self.block(&view, number)?;
            each(&block, index(position - start)..index(end - start))?;
            position = end;
        }
        Ok(())
    }

    pub(super) fn decode_range(&self, range: Range<u64>, out: &mut [u64]) -> Result<()> {
        let mut rest = out;
        self.for_blocks(&range, |block, rows| {
            let (slots, behind) = std::mem::take(&mut rest).split_at_mut(rows.len());
            rest = behind;
            let low = block.entry.low;
            if block.entry.span == 0 {
                slots.fill(low);
                return Ok(());
            }
            with_values!(block, rows, (values: P) => block.isa.run(#[inline(always)] || {
                for (slot, value) in slots.iter_mut().zip(values) {
                    *slot = low.wrapping_add(value.wide());
                }
            }));
            Ok(())
        })
    }

    pub(super) fn count_in(&self, ranges: &[Range<u64>], interval: Interval) -> Result<u64> {
        let mut total = 0;
        for range in ranges {
            self.for_blocks(range, |block, rows| {
                total += match block.local(interval) {
                    None => 0,
                    Some(local) if local == (0, block.entry.span) => rows.len() as u64,
                    Some(local) => {
                        with_values!(block, rows, (values: P) => count::<P>(block.isa, values, local))
                    }
                };
                Ok(())
            })?;
        }
        Ok(total)
    }

    pub(super) fn select_in(&self, range: Range<u64>, interval: Interval, mask: &mut Mask) -> Result<()> {
        let mut at = 0;
        self.for_blocks(&range, |block, rows| {
            let start = at;
            at += rows.len();
            match block.local(interval) {
                None => {}
                Some(local) if local == (0, block.entry.span) => {
                    if let Some(bits) = mask.get_mut(start..at) {
                        bits.fill(true);
                    }
                }
                Some(local) => {
                    let words = mask.as_raw_mut_slice();
                    with_values!(block, rows, (values: P) => select::<P>(block.isa, values, local, words, start));
                }
            }
            Ok(())
        })
    }

    pub(super) fn min_max_of(&self, ranges: &[Range<u64>]) -> Result<Option<(u64, u64)>> {
        let mut found: Option<(u64, u64)> = None;
        for range in ranges {
            self.for_blocks(range, |block, rows| {
                let (low, high) = (block.entry.low, block.entry.high());
                let within = found.is_some_and(|(least, most)| least <= low && high <= most);
                if within || rows.is_empty() {
                    return Ok(());
                }
                let (low, high) = if rows.len() == block.count {
                    (low, high)
                } else {
                    with_values!(block, rows, (values: P) => {
                        let (least, most) = least_most::<P>(block.isa, values);
                        (low.wrapping_add(least.wide()), low.wrapping_add(most.wide()))
                    })
                };
                found = Some(found.map_or((low, high), |(least, most)| (least.min(low), most.max(high))));
                Ok(())
            })?;
        }
        Ok(found)
    }

    pub(super) fn sum_of(&self, ranges: &[Range<u64>]) -> Result<u128> {
        let mut total = 0u128;
        for range in ranges {
            self.for_blocks(range, |block, rows| {
                total = total.wrapping_add(u128::from(block.entry.low) * rows.len() as u128);
                if block.entry.span > 0 {
                    let above = with_values!(block, rows, (values: P) => sum::<P>(block.isa, values));
                    total = total.wrapping_add(above);
                }
                Ok(())
            })?;
        }
        Ok(total)
    }

    /// The `k`-th smallest of the `rows` codes in `ranges`, and how many are smaller.
    pub(super) fn quantile_of(&self, ranges: &[Range<u64>], k: u64, rows: u64) -> Result<(u64, u64)> {
        if rows <= FEW_CODES {
            let mut codes = vec![0; index(rows)];
            let mut rest = codes.as_mut_slice();
            for range in ranges {
                let (slots, behind) = rest.split_at_mut(index(range.end - range.start));
                self.decode_range(range.clone(), slots)?;
                rest = behind;
            }
            return Ok(pick(codes, k, 0).unwrap_or_default());
        }
        let (mut low, mut high) = (u64::MAX, 0);
        for range in ranges {
            self.for_blocks(range, |block, _| {
                (low, high) = (low.min(block.entry.low), high.max(block.entry.high()));
                Ok(())
            })?;
        }
        let (mut less, mut held) = (0, rows);
        while low < high {
            if held <= FEW_CODES {
                let codes = self.collect(ranges, Interval { low, high }, held)?;
                return pick(codes, k - less, less).ok_or_else(|| self.unlike());
            }
            let shift = super::block::bits(high - low).saturating_sub(PASS_BITS);
            let counts = self.histogram(ranges, Interval { low, high }, shift)?;
            let mut found = None;
            for (number, &count) in (0u64..).zip(&counts) {
                if k - less < count {
                    found = Some((number, count));
                    break;
                }
                less += count;
            }
            let (number, count) = found.ok_or_else(|| self.unlike())?;
            held = count;
            low = low.wrapping_add(number << shift);
            high = high.min(low.saturating_add((1 << shift) - 1));
        }
        Ok((low, less))
    }

    #[cold]
    fn unlike(&self) -> crate::error::Error {
        self.section
            .corrupt(super::HEADER_BYTES, "codes are not where their blocks say".into())
    }

    /// How many codes of `ranges` in `interval` there are for each value of `(code - interval.low) >> shift`.
    fn histogram(&self, ranges: &[Range<u64>], interval: Interval, shift: u32) -> Result<Vec<u64>> {
        let mut counts = vec![0u64; 1 << PASS_BITS];
        let mut others = vec![0u64; 1 << PASS_BITS];
        for range in ranges {
            self.for_blocks(range, |block, rows| {
                let Some((from, to)) = block.local(interval) else {
                    return Ok(());
                };
                let low = block.entry.low.wrapping_sub(interval.low);
                let number = |value: u64| index((low.wrapping_add(value) >> shift) % (1 << PASS_BITS));
                if (from, to) == (0, block.entry.span) && number(from) == number(to) {
                    counts[number(from)] += rows.len() as u64;
                    return Ok(());
                }
                with_values!(block, rows, (values: P) => {
                    // Two tables, since neighbours are often alike.
                    for pair in values.chunks(2) {
                        for (value, counts) in pair.iter().zip([&mut counts, &mut others]) {
                            let value = value.wide();
                            counts[number(value)] += u64::from(from <= value && value <= to);
                        }
                    }
                });
                Ok(())
            })?;
        }
        for (count, other) in counts.iter_mut().zip(others) {
            *count += other;
        }
        Ok(counts)
    }

    /// The codes of `ranges` in `interval`, `most` at most.
    fn collect(&self, ranges: &[Range<u64>], interval: Interval, most: u64) -> Result<Vec<u64>> {
        let mut found = Vec::with_capacity(index(most));
        for range in ranges {
            self.for_blocks(range, |block, rows| {
                let Some((from, to)) = block.local(interval) else {
                    return Ok(());
                };
                let low = block.entry.low;
                with_values!(block, rows, (values: P) => {
                    let inside = values.iter().map(|value| value.wide());
                    let inside = inside.filter(|&value| from <= value && value <= to);
                    let room = index(most) - found.len();
                    found.extend(inside.take(room).map(|value| low.wrapping_add(value)));
                });
                Ok(())
            })?;
        }
        Ok(found)
    }
}

impl Block<'_> {
    /// The interval in differences from the block's smallest code; `None` if no code of it is inside.
    #[inline]
    fn local(&self, interval: Interval) -> Option<(u64, u64)> {
        let (low, high) = (
            interval.low.max(self.entry.low),
            interval.high.min(self.entry.high()),
        );
        (low <= high).then(|| (low - self.entry.low, high - self.entry.low))
    }
}

/// The `k`-th smallest of `codes`, and how many are smaller, apart from `less` others.
fn pick(mut codes: Vec<u64>, k: u64, less: u64) -> Option<(u64, u64)> {
    let k = index(k);
    if k >= codes.len() {
        return None;
    }
    let (before, &mut code, _) = codes.select_nth_unstable(k);
    let smaller = before.iter().filter(|&&other| other < code).count();
    Some((code, less + smaller as u64))
}

fn count<P: Lane>(isa: Isa, values: &[P], (from, to): (u64, u64)) -> u64 {
    let (from, span) = (P::of(from), P::of(to - from));
    isa.run(
        #[inline(always)]
        || {
            values.chunks(PART).fold(0, |total, part| {
                let inside = part.iter().fold(P::default(), |sum, value| {
                    sum.plus(P::of(u64::from(value.minus(from) <= span)))
                });
                total + inside.wide()
            })
        },
    )
}

fn select<P: Lane>(isa: Isa, values: &[P], (from, to): (u64, u64), words: &mut [u64], start: usize) {
    let (from, span) = (P::of(from), P::of(to - from));
    isa.run(
        #[inline(always)]
        || {
            for (number, part) in values.chunks(64).enumerate() {
                let mut flags = [0u8; 64];
                for (flag, value) in flags.iter_mut().zip(part) {
                    *flag = u8::from(value.minus(from) <= span);
                }
                let word = word_of(&flags);
                let bit = start + number * 64;
                if let Some(slot) = words.get_mut(bit / 64) {
                    *slot |= word << (bit % 64);
                }
                if bit % 64 > 0 {
                    if let Some(slot) = words.get_mut(bit / 64 + 1) {
                        *slot |= word >> (64 - bit % 64);
                    }
                }
            }
        },
    );
}

/// Bit i from byte i, which is 0 or 1.
#[inline(always)]
fn word_of(flags: &[u8; 64]) -> u64 {
    let mut word = 0;
    for (byte, eight) in flags.chunks_exact(8).enumerate() {
        let mut le = [0; 8];
        le.copy_from_slice(eight);
        // Byte i of the factor moves flag i to bit 56 + i.
        let gathered = u64::from_le_bytes(le).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        word |= gathered << (8 * byte);
    }
    word
}

fn least_most<P: Lane>(isa: Isa, values: &[P]) -> (P, P) {
    isa.run(
        #[inline(always)]
        || {
            let (mut least, mut most) = (P::ALL, P::default());
            for &value in values {
                (least, most) = (least.min(value), most.max(value));
            }
            (least, most)
        },
    )
}

fn sum<P: Lane>(isa: Isa, values: &[P]) -> u128 {
    isa.run(
        #[inline(always)]
        || {
            if P::BITS == 64 {
                return values.iter().map(|value| u128::from(value.wide())).sum();
            }
            let parts = values.chunks(PART).map(|part| {
                let sum = part
                    .iter()
                    .fold(P::Sum::default(), |sum, value| sum.plus(P::Sum::of(value.wide())));
                u128::from(sum.wide())
            });
            parts.sum()
        },
    )
}
