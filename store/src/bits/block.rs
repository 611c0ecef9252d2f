//! One coded unit of 512, 1,024 or 4,096 bits: Elias-Fano over its changes, or over its rarer bit.
//!
//! Smooth signals make long runs, so positions where the bit changes are few (`run`); noise around a level makes one
//! bit rare (`gap`). Either way the unit is a sorted set of `m` positions, each split into `l` low bits and a
//! bucket. Both forms answer rank without a scan: the bucket is found by a select, the members of it are compared as bit
//! slices, and for `run` the ones between changes are an alternating sum of positions, which is a handful of popcounts.
//!
//! ```text
//! bit 0       form: 0 run, 1 gap
//! bits 1..8   m, 1 to 120
//! bit 8       gap of zeros: 1 if the positions are those of zeros (not in units of 512 bits, whose number of ones says it)
//! then        buckets: for each of the 2^(u - l) buckets a one per member and a zero, without the last zero
//! then        l planes of m bits: lowest bit of each position, next bit, ...
//! ```
//!
//! `u` is 9, 10 or 12, and `l` follows from it and `m` (the value with the fewest bits): `u - 3` up to m = 8, then one
//! less from each of 9, 17, 33 and 65 on. A run unit counts changes from an imagined zero before its first bit.
//!
//! Costs: header, `m (l + 1)` and `2^(u - l) - 1` bits.
//!
//! Elias, "Efficient storage and retrieval by content and address of static files" (1974); Fano, "On the number of bits
//! required to implement an associative memory" (1971).

#![allow(
    clippy::cast_possible_truncation,
    reason = "positions inside blocks are small by construction"
)]

use super::words::{WordSelect, low_mask};

/// Bits of a plain block.
pub const BLOCK_BITS: u64 = 512;

/// A block's words.
pub type Block = [u64; 8];

/// Most positions that a coded block may list.
pub const MAX_POSITIONS: u32 = 120;

const EVEN: u64 = 0x5555_5555_5555_5555;

/// Low bits kept in planes when `m` positions of a unit of `2^log` bits are listed.
#[inline(always)]
pub(super) fn low_bits(m: u32, log: u32) -> u32 {
    // One fewer each time m doubles, from 8 on.
    log - (32 - (m.max(8) - 1).leading_zeros())
}

/// Bits before the buckets.
#[inline(always)]
pub(super) const fn header_bits(log: u32) -> u32 {
    if log == 9 { 8 } else { 9 }
}

/// Bytes of a coded unit of `2^log` bits that lists `m` positions.
#[inline]
pub fn coded_bytes(m: u32, log: u32) -> u32 {
    let low = low_bits(m, log);
    (header_bits(log) + m * (low + 1) + (1 << (log - low)) - 1).div_ceil(8)
}

/// The bits that differ from the bit before, the first one being compared with a zero.
#[inline]
pub fn changes<const N: usize>(bits: &[u64; N]) -> [u64; N] {
    let mut carry = 0;
    bits.map(|word| {
        let changed = word ^ ((word << 1) | carry);
        carry = word >> 63;
        changed
    })
}

/// Set bits of a block.
#[inline]
pub fn ones(bits: &[u64]) -> u32 {
    bits.iter().map(|word| word.count_ones()).sum()
}

/// How a unit lists its positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// Where the bit changes.
    Changes,
    /// Where it is one.
    Ones,
    /// Where it is zero.
    Zeros,
}

/// The coded form of a unit of `2^log` bits that lists the `m` positions set in `set`.
pub fn encode(set: &[u64], m: u32, list: List, log: u32) -> [u64; 16] {
    debug_assert!(
        (1..=MAX_POSITIONS).contains(&m),
        "a coded unit lists 1 to 120 positions"
    );
    let (low, header) = (low_bits(m, log), header_bits(log));
    let mut out = [0; 16];
    out[0] = u64::from(list != List::Changes) | u64::from(m) << 1;
    if log != 9 {
        out[0] |= u64::from(list == List::Zeros) << 8;
    }
    let planes = header + m + (1 << (log - low)) - 1;
    let mut index = 0;
    for (at, &word) in set.iter().enumerate() {
        let mut rest = word;
        while rest != 0 {
            let position = at as u32 * 64 + rest.trailing_zeros();
            rest &= rest - 1;
            let bit = header + (position >> low) + index;
            out[(bit as usize / 64) & 15] |= 1 << (bit % 64);
            for plane in 0..low {
                let bit = planes + plane * m + index;
                out[(bit as usize / 64) & 15] |= u64::from(position >> plane & 1) << (bit % 64);
            }
            index += 1;
        }
    }
    out
}

/// `count` bits (64 if more) of the unit at bit `at`; `W` is a power of two.
#[inline(always)]
pub(super) fn extract<const W: usize>(unit: &[u64; W], at: u32, count: u32) -> u64 {
    let (word, shift) = (at as usize / 64, at % 64);
    let low = unit[word & (W - 1)] >> shift;
    let high = unit[(word + 1) & (W - 1)] << 1 << (63 - shift);
    (low | high) & low_mask(count)
}

/// Bytes that a coded unit is read from, whatever its size.
pub const UNIT_BYTES: usize = 128;

/// A coded unit, and what stands behind it.
pub type Unit = [u8; UNIT_BYTES];

/// 64 bits of the unit from bit `at` on, of which those past its longest form may be missing.
#[inline(always)]
fn word_at(unit: &Unit, at: u32) -> u64 {
    let byte = (at as usize / 8).min(UNIT_BYTES - 9);
    let mut eight = [0; 8];
    eight.copy_from_slice(&unit[byte..byte + 8]);
    let shift = (at - byte as u32 * 8) % 64;
    u64::from_le_bytes(eight) >> shift | u64::from(unit[byte + 8]) << 1 << (63 - shift)
}

/// The same where 57 bits are enough.
#[inline(always)]
fn short_at(unit: &Unit, at: u32) -> u64 {
    let byte = (at as usize / 8).min(UNIT_BYTES - 8);
    let mut eight = [0; 8];
    eight.copy_from_slice(&unit[byte..byte + 8]);
    u64::from_le_bytes(eight) >> ((at - byte as u32 * 8) % 64)
}

/// The bit at `position` of a coded unit of `2^LOG` bits and the ones before it; `dense` says that a gap form lists zeros.
///
/// Damaged bytes give some bit and a rank up to `position`.
#[inline(always)]
pub fn access<const LOG: u32, S: WordSelect>(
    select: S,
    unit: &Unit,
    position: u32,
    dense: bool,
) -> (bool, u32) {
    let m = u32::from(unit[0]) >> 1;
    // 8, 16, 32, 64 or 128 buckets: one, two or four words of them. Everything else follows from their number.
    match m {
        0..=8 => access_in::<LOG, 3, 1, S>(select, unit, m, position, dense),
        9..=16 => access_in::<LOG, 4, 1, S>(select, unit, m, position, dense),
        17..=32 => access_in::<LOG, 5, 1, S>(select, unit, m, position, dense),
        33..=64 => access_in::<LOG, 6, 2, S>(select, unit, m, position, dense),
        _ => access_in::<LOG, 7, 4, S>(select, unit, m, position, dense),
    }
}

/// The same for `2^BUCKETS` buckets whose string takes `WORDS` words.
#[inline(always)]
fn access_in<const LOG: u32, const BUCKETS: u32, const WORDS: usize, S: WordSelect>(
    select: S,
    unit: &Unit,
    m: u32,
    position: u32,
    dense: bool,
) -> (bool, u32) {
    let low = LOG - BUCKETS;
    let bucket = position >> low;
    let upper_bits = m + (1 << BUCKETS);
    let planes = header_bits(LOG) - 1 + upper_bits;
    // The bucket string behind one more zero: bucket `b` starts after zero number `b`. One word more, for windows.
    let mut upper = [0u64; 5];
    for (i, word) in upper.iter_mut().enumerate().take(WORDS) {
        let at = i as u32 * 64;
        let bits = if BUCKETS < 5 {
            short_at(unit, header_bits(LOG) - 1)
        } else {
            word_at(unit, header_bits(LOG) - 1 + at)
        };
        *word = bits & select.low_mask(upper_bits.saturating_sub(at));
    }
    upper[0] &= !1;
    let (mut word, mut rest) = (0, bucket);
    let mut sum = 0;
    for &here in upper.iter().take(WORDS - 1) {
        sum += here.count_zeros();
        let behind = bucket >= sum;
        word += usize::from(behind);
        rest = if behind { bucket - sum } else { rest };
    }
    // A damaged unit may have no such zero.
    let shift = select.select(!upper[word & 3], rest).min(63);
    let start = word as u32 * 64 + shift;
    let first = start.saturating_sub(bucket);
    let behind = upper[word & 3] >> shift >> 1 | upper[(word & 3) + 1] << (63 - shift);
    let members = select.low_mask(behind.trailing_ones());
    // The low bits of the members from `first` on, plane by plane. If all members fit in a word, it serves the sums below too.
    let mut whole = [0; 9];
    let mut window = [0; 9];
    for plane in 0..low as usize {
        let at = planes + plane as u32 * m;
        if WORDS == 4 {
            window[plane % 9] = word_at(unit, at + first);
        } else {
            whole[plane % 9] = if BUCKETS < 6 {
                short_at(unit, at)
            } else {
                word_at(unit, at)
            };
            window[plane % 9] = whole[plane % 9] >> (first % 64);
        }
    }
    // Members up to the position: from the lowest bit up, the higher one decides.
    let wanted = |plane: usize| 0u64.wrapping_sub(u64::from(position >> plane & 1));
    let mut up_to = members;
    for (plane, bits) in window.iter().enumerate().take(low as usize) {
        up_to = (up_to & !bits) | (wanted(plane) & (up_to ^ !bits));
    }
    let up_to = first + (up_to & members).count_ones();
    if unit[0] & 1 == 1 {
        let equal = window
            .iter()
            .enumerate()
            .take(low as usize)
            .fold(members, |equal, (plane, bits)| equal & !(bits ^ wanted(plane)));
        let member = equal != 0;
        let before = up_to.saturating_sub(u32::from(member)).min(position);
        return if dense {
            (!member, position - before)
        } else {
            (member, before)
        };
    }
    // Alternating sums: of buckets by a prefix exclusive or, of low bits by popcounts.
    let end = start + 1 + up_to - first;
    let mut inside = 0;
    let mut flip = 0u64;
    for (i, &word) in upper.iter().enumerate().take(WORDS) {
        let mask = select.low_mask(end.saturating_sub(i as u32 * 64));
        let mixed = select.prefix_xor(word & mask) ^ flip;
        inside += (mixed & mask).count_ones();
        flip = 0u64.wrapping_sub(mixed >> 63);
    }
    let odd = up_to & 1;
    let mut sum = (inside as i32 - (up_to >> 1) as i32 - (odd * (bucket + 1)) as i32) << low;
    // With its even bits flipped a word has as many set bits as its odd ones outnumber its even ones, and one for each even one.
    let here = select.low_mask(up_to);
    for plane in 0..low {
        let signed = if WORDS == 4 {
            let at = planes + plane * m;
            let next = (word_at(unit, at + 64) ^ EVEN) & select.low_mask(up_to.saturating_sub(64));
            ((word_at(unit, at) ^ EVEN) & here).count_ones() + next.count_ones()
        } else {
            ((whole[plane as usize % 9] ^ EVEN) & here).count_ones()
        };
        sum += (signed << plane) as i32;
    }
    sum -= (up_to.div_ceil(2) * ((1 << low) - 1)) as i32;
    sum += (odd * position) as i32;
    (odd == 1, sum.clamp(0, position as i32) as u32)
}

/// The bit at `position` of `BYTES` plain bytes and the ones before it.
#[inline(always)]
pub fn access_plain<const BYTES: usize>(bits: &[u8; BYTES], position: u32) -> (bool, u32) {
    let word_at = |index: usize| {
        let mut eight = [0; 8];
        eight.copy_from_slice(&bits[index * 8..index * 8 + 8]);
        u64::from_le_bytes(eight)
    };
    let last = (position as usize / 64) & (BYTES / 8 - 1);
    let word = word_at(last);
    let mut before = (word & !(u64::MAX << (position % 64))).count_ones();
    for i in 0..BYTES / 8 - 1 {
        before += if i < last { word_at(i).count_ones() } else { 0 };
    }
    (word >> (position % 64) & 1 == 1, before)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::unit::expand;
    use super::super::words::Portable;
    use super::*;
    use proptest::prelude::*;

    fn bytes_of(words: &[u64; 16]) -> Unit {
        let mut bytes = [0; UNIT_BYTES];
        for (eight, word) in bytes.chunks_exact_mut(8).zip(words) {
            eight.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    fn check_unit<const LOG: u32, const W: usize, const N: usize>(
        plain: [u64; N],
    ) -> Result<(), TestCaseError> {
        let total = ones(&plain);
        let changed = changes(&plain);
        for (set, list) in [
            (changed, List::Changes),
            (plain, List::Ones),
            (plain.map(|word| !word), List::Zeros),
        ] {
            let m = ones(&set);
            let dense = list == List::Zeros;
            if !(1..=MAX_POSITIONS).contains(&m)
                || (list != List::Changes && dense != (total > 64 * N as u32 / 2))
            {
                continue;
            }
            prop_assert!(coded_bytes(m, LOG) as usize <= W * 8);
            let coded = encode(&set, m, list, LOG);
            let mut unit = [0; W];
            unit.copy_from_slice(&coded[..W]);
            let bytes = bytes_of(&coded);
            let mut expanded = [0; N];
            expand::<LOG, W, N>(&unit, dense, &mut expanded);
            prop_assert!(expanded == plain);
            for p in 0..64 * N as u32 {
                let before = ones(&plain[..p as usize / 64])
                    + (plain[p as usize / 64] & low_mask(p % 64)).count_ones();
                let bit = plain[p as usize / 64] >> (p % 64) & 1 == 1;
                prop_assert_eq!(access::<LOG, _>(Portable, &bytes, p, dense), (bit, before));
                let mut first = [0; 64];
                for (eight, word) in first.chunks_exact_mut(8).zip(&plain) {
                    eight.copy_from_slice(&word.to_le_bytes());
                }
                if p < 512 {
                    prop_assert_eq!(access_plain(&first, p), (bit, before));
                }
            }
        }
        Ok(())
    }

    fn check(bits: &[u64; 64]) -> Result<(), TestCaseError> {
        check_unit::<12, 16, 64>(*bits)?;
        check_unit::<10, 16, 16>(std::array::from_fn(|i| bits[i]))?;
        check_unit::<9, 8, 8>(std::array::from_fn(|i| bits[i]))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn runs_and_sparse_bits_come_back(
            lengths in (1usize..130).prop_flat_map(|longest| proptest::collection::vec(1..=longest, 1..500)),
            first: bool,
            sparse in proptest::collection::vec(0usize..4096, 0..120),
            dense: bool,
        ) {
            let mut runs = [0; 64];
            let (mut at, mut bit) = (0, first);
            for length in lengths {
                for p in at..(at + length).min(4096) {
                    runs[p / 64] |= u64::from(bit) << (p % 64);
                }
                at += length;
                bit = !bit;
            }
            check(&runs)?;
            let mut gaps = [0; 64];
            for p in sparse {
                gaps[p / 64] |= 1 << (p % 64);
            }
            check(&if dense { gaps.map(|word| !word) } else { gaps })?;
        }

        #[test]
        fn any_bytes_give_some_answer(unit: [u64; 16], position in 0u32..4096, dense: bool) {
            let bytes = bytes_of(&unit);
            prop_assert!(access::<12, _>(Portable, &bytes, position, dense).1 <= position);
            prop_assert!(access::<10, _>(Portable, &bytes, position % 1024, dense).1 <= position);
            prop_assert!(access::<9, _>(Portable, &bytes, position % 512, dense).1 <= position);
        }
    }

    #[test]
    fn every_count_fits() {
        for step in (1..140).chain((140..4096).step_by(173)) {
            let mut set = [0; 64];
            for p in (0..4096).step_by(step) {
                set[p / 64] |= 1 << (p % 64);
            }
            check(&set).unwrap();
        }
        // All changes in one bucket.
        for count in (1..=120).step_by(7) {
            let mut set = [0; 64];
            for p in 0..count {
                set[p / 64] |= u64::from(p % 2 == 0) << (p % 64);
            }
            check(&set).unwrap();
        }
    }
}
