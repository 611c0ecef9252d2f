//! One coded 512-bit block: Elias-Fano over its changes, or over its rarer bit.
//!
//! Smooth signals make long runs, so positions where the bit changes are few (`run`); noise around a level makes one
//! bit rare (`gap`). Either way the block is a sorted set of `m` positions below 512, split into `l` low bits and a
//! bucket. Both forms answer rank without a scan: the bucket is found by a select, the members of it are compared as bit
//! slices, and for `run` the ones between changes are an alternating sum of positions, which is a handful of popcounts.
//!
//! ```text
//! bit 0       form: 0 run, 1 gap
//! bits 1..8   m, 1 to 120
//! then        buckets: for each of the 512 >> l buckets a one per member and a zero, without the last zero
//! then        l planes of m bits: lowest bit of each position, next bit, ...
//! ```
//!
//! `l` follows from `m` (the value with the fewest bits): 6 up to m = 8, then 5, 4 (from 17), 3 (from 33), 2 (from 65).
//! A run block counts changes from an imagined zero before its first bit.
//!
//! Costs: `8 + m (l + 1) + (512 >> l) - 1` bits.
//!
//! Elias, "Efficient storage and retrieval by content and address of static files" (1974); Fano, "On the number of bits
//! required to implement an associative memory" (1971).

#![allow(
    clippy::cast_possible_truncation,
    reason = "positions inside blocks are small by construction"
)]

use super::words::{low_mask, prefix_xor, select};

/// Bits of a block.
pub const BLOCK_BITS: u64 = 512;

/// A block's words.
pub type Block = [u64; 8];

/// Most positions that a coded block may list.
pub const MAX_POSITIONS: u32 = 120;

const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;

/// Low bits kept in planes when `m` positions are listed.
#[inline(always)]
fn low_bits(m: u32) -> u32 {
    // 6 up to 8, one fewer each time m doubles.
    let log = 32 - (m.max(8) - 1).leading_zeros();
    9 - log
}

/// Bytes of a coded block that lists `m` positions.
#[inline]
pub fn coded_bytes(m: u32) -> u32 {
    let low = low_bits(m);
    (8 + m * (low + 1) + (512 >> low) - 1).div_ceil(8)
}

/// The bits that differ from the bit before, the bit before the first one being `before`.
#[inline]
pub fn changes(block: &Block, before: u64) -> Block {
    let mut carry = before;
    block.map(|word| {
        let changed = word ^ ((word << 1) | carry);
        carry = word >> 63;
        changed
    })
}

/// Set bits of a block.
#[inline]
pub fn ones(block: &Block) -> u32 {
    block.iter().map(|word| word.count_ones()).sum()
}

/// The coded form of the positions set in `set`, of which there are `m`.
pub fn encode(set: &Block, m: u32, gap: bool) -> Block {
    debug_assert!(
        (1..=MAX_POSITIONS).contains(&m),
        "a coded block lists 1 to 120 positions"
    );
    let low = low_bits(m);
    let mut out: Block = [0; 8];
    out[0] = u64::from(gap) | u64::from(m) << 1;
    let planes = 8 + m + (512 >> low) - 1;
    let mut index = 0;
    for (at, &word) in set.iter().enumerate() {
        let mut rest = word;
        while rest != 0 {
            let position = at as u32 * 64 + rest.trailing_zeros();
            rest &= rest - 1;
            let bit = 8 + (position >> low) + index;
            out[(bit as usize / 64) & 7] |= 1 << (bit % 64);
            for plane in 0..low {
                let bit = planes + plane * m + index;
                out[(bit as usize / 64) & 7] |= u64::from(position >> plane & 1) << (bit % 64);
            }
            index += 1;
        }
    }
    out
}

/// `count` (at most 64) bits of the block at bit `at`.
#[inline(always)]
fn extract(block: &Block, at: u32, count: u32) -> u64 {
    let (word, shift) = (at as usize / 64, at % 64);
    let low = block[word & 7] >> shift;
    let high = block[(word + 1) & 7] << 1 << (63 - shift);
    (low | high) & low_mask(count)
}

/// The bit at `position` of a coded block and the ones before it; `ones` is the block's number of ones.
///
/// Damaged bytes give some bit and a rank up to 512.
#[inline(always)]
pub fn access(block: &Block, position: u32, ones: u32) -> (bool, u32) {
    let m = (block[0] as u32 >> 1) & 127;
    let low = low_bits(m);
    let bucket = position >> low;
    let upper_bits = m + (512 >> low);
    let planes = 7 + upper_bits;
    // The bucket string behind one more zero: bucket `b` starts after zero number `b`.
    let mut upper = [0u64; 4];
    let mut start = u32::MAX;
    let mut zeros_before = 0;
    for (i, word) in upper.iter_mut().enumerate() {
        let at = i as u32 * 64;
        if at >= upper_bits {
            break;
        }
        let count = (upper_bits - at).min(64);
        *word = extract(block, 7 + at, count);
        if i == 0 {
            *word &= !1;
        }
        let zeros = !*word & low_mask(count);
        let here = zeros.count_ones();
        if start == u32::MAX && zeros_before + here > bucket {
            start = at + select(zeros, bucket - zeros_before);
        }
        zeros_before += here;
    }
    let start = start.min(upper_bits - 1);
    let first = start.saturating_sub(bucket);
    let (word, shift) = (start as usize / 64, start % 64);
    let next = if word < 3 { upper[word + 1] } else { 0 };
    let behind = upper[word & 3] >> shift >> 1 | next << (63 - shift);
    let members = behind.trailing_ones();
    // Compare the members' low bits with the position's, a plane at a time.
    let (mut less, mut equal) = (0u64, u64::MAX);
    for plane in (0..low).rev() {
        let bits = extract(block, planes + plane * m + first, 64);
        let wanted = 0u64.wrapping_sub(u64::from(position >> plane & 1));
        less |= equal & wanted & !bits;
        equal &= !(bits ^ wanted);
    }
    let mask = low_mask(members);
    let up_to = first + ((less | equal) & mask).count_ones();
    if block[0] & 1 == 1 {
        let member = equal & mask != 0;
        let before = (up_to - u32::from(member)).min(position);
        return if ones <= 256 {
            (member, before)
        } else {
            (!member, position - before)
        };
    }
    // Alternating sums: of buckets by a prefix exclusive or, of low bits by popcounts under even and odd masks.
    let end = start + 1 + up_to - first;
    let mut inside = 0;
    let mut flip = 0u64;
    for (i, &word) in upper.iter().enumerate() {
        let at = i as u32 * 64;
        if at >= end {
            break;
        }
        let mask = low_mask(end - at);
        let mixed = prefix_xor(word & mask) ^ flip;
        inside += (mixed & mask).count_ones();
        flip = 0u64.wrapping_sub(mixed >> 63);
    }
    let odd = up_to & 1;
    let mut sum = (inside as i32 - (up_to >> 1) as i32 - (odd * (bucket + 1)) as i32) << low;
    for plane in 0..low {
        let at = planes + plane * m;
        let here = extract(block, at, up_to.min(64));
        let mut signed = 2 * (here & ODD).count_ones() as i32 - here.count_ones() as i32;
        if up_to > 64 {
            let here = extract(block, at + 64, up_to - 64);
            signed += 2 * (here & ODD).count_ones() as i32 - here.count_ones() as i32;
        }
        sum += signed << plane;
    }
    sum += (odd * position) as i32;
    (odd == 1, sum.clamp(0, position as i32) as u32)
}

/// The plain bits of a coded block; `ones` is the block's number of ones.
pub fn expand(block: &Block, ones: u32) -> Block {
    let m = (block[0] as u32 >> 1) & 127;
    let low = low_bits(m);
    let upper_bits = m + (512 >> low) - 1;
    let planes = 8 + upper_bits;
    let mut set: Block = [0; 8];
    let mut index = 0;
    let mut at = 0;
    let mut lows = [0u64; 6];
    while at < upper_bits && index < m {
        let mut word = extract(block, 8 + at, (upper_bits - at).min(64));
        // Planes for the members from `index` on; at most 64 of them start in this word.
        for (plane, bits) in lows.iter_mut().enumerate().take(low as usize) {
            *bits = extract(block, planes + plane as u32 * m + index, 64);
        }
        let mut member = 0;
        while word != 0 {
            let bit = at + word.trailing_zeros();
            word &= word - 1;
            let mut position = (bit - index.min(bit)) << low;
            for (plane, bits) in lows.iter().enumerate().take(low as usize) {
                position |= ((bits >> member & 1) as u32) << plane;
            }
            set[(position as usize / 64) & 7] |= 1 << (position % 64);
            index += 1;
            member += 1;
        }
        at += 64;
    }
    if block[0] & 1 == 1 {
        return if ones <= 256 { set } else { set.map(|word| !word) };
    }
    let mut flip = 0u64;
    set.map(|word| {
        let bits = prefix_xor(word) ^ flip;
        flip = 0u64.wrapping_sub(bits >> 63);
        bits
    })
}

/// The bit at `position` of plain words and the ones before it.
#[inline(always)]
pub fn access_plain(block: &Block, position: u32) -> (bool, u32) {
    let word = block[(position as usize / 64) & 7];
    let mut before = (word & low_mask(position % 64)).count_ones();
    for (i, word) in block.iter().enumerate() {
        before += if (i as u32) < position / 64 {
            word.count_ones()
        } else {
            0
        };
    }
    (word >> (position % 64) & 1 == 1, before)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn check(plain: Block) -> Result<(), TestCaseError> {
        let total = ones(&plain);
        let changed = changes(&plain, 0);
        let rare = if total <= 256 { plain } else { plain.map(|w| !w) };
        for (set, gap) in [(changed, false), (rare, true)] {
            let m = ones(&set);
            if !(1..=MAX_POSITIONS).contains(&m) {
                continue;
            }
            prop_assert!(coded_bytes(m) <= 62);
            let coded = encode(&set, m, gap);
            prop_assert_eq!(expand(&coded, total), plain);
            for p in 0..512 {
                prop_assert_eq!(access(&coded, p, total), access_plain(&plain, p));
            }
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn runs_and_sparse_bits_come_back(lengths in proptest::collection::vec(1usize..60, 1..130), first: bool, sparse in proptest::collection::vec(0usize..512, 0..120), dense: bool) {
            let mut runs: Block = [0; 8];
            let (mut at, mut bit) = (0, first);
            for length in lengths {
                for p in at..(at + length).min(512) {
                    runs[p / 64] |= u64::from(bit) << (p % 64);
                }
                at += length;
                bit = !bit;
            }
            check(runs)?;
            let mut gaps: Block = [0; 8];
            for p in sparse {
                gaps[p / 64] |= 1 << (p % 64);
            }
            check(if dense { gaps.map(|w| !w) } else { gaps })?;
        }

        #[test]
        fn any_bytes_give_some_answer(block: [u64; 8], position in 0u32..512, ones in 0u32..=1023) {
            let (_, rank) = access(&block, position, ones);
            prop_assert!(rank <= 512);
            expand(&block, ones);
        }
    }

    #[test]
    fn every_count_fits() {
        for step in 1..512 {
            let mut set: Block = [0; 8];
            for p in (0..512).step_by(step) {
                set[p / 64] |= 1 << (p % 64);
            }
            check(set).unwrap();
        }
    }
}
