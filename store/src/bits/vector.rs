//! The adaptive bit vector: rank in two dependent reads, bits as cheap as they are dull.
//!
//! ```text
//! offset 0   u32  number of ones
//!        4   u8   form: 0 raw, 1 adaptive, 2 constant
//!        5   3 bytes zero
//! raw:
//!        8   u64 per started 2,048 bits: ones before (32 bits), then ones in its first 512 (10 bits),
//!            first 1,024 (11 bits), first 1,536 bits (11 bits)
//!            zeros to a multiple of 64, counted from the start of the section
//!            the bits, in whole 64-byte blocks
//! adaptive:
//!        8   u64 per started superblock of 4,096 bits: ones before (32 bits), where its data are, in units of 2 bytes
//!            behind this table (28 bits), form (4 bits): 0 all zero, 1 all one, 2 list, 3 blocks
//!            superblock data, each padded with zeros to 2 bytes
//! list:      u16 m (1 to 12), m positions of 16 bits where the bit differs from the one before (a zero, at first)
//! blocks:    8 x u16: ones in the block (10 bits), bytes of the block (6 bits; 63 stands for 64); then the blocks
//!            0 bytes: constant; 64 bytes: plain; else coded (see `block`)
//! constant:  nothing more; all ones if the number of ones is not zero
//! ```
//!
//! Bits past the end count as zero and are written so, except in a superblock of ones.
//!
//! Costs: a rank touches the directory word, then 16 bytes of descriptors and the block next to them.

#![allow(
    clippy::cast_possible_truncation,
    reason = "positions inside blocks are small by construction"
)]

use std::ops::Range;

use super::block::{self, BLOCK_BITS, Block};
use super::words::BitString;
use crate::error::Result;
use crate::section::View;

/// Bits of a superblock.
const SUPER_BITS: u64 = 4096;
/// Bits that one directory word of a raw vector covers.
const RAW_STEP: u64 = 2048;
/// Most changes that a superblock keeps as a plain list.
const LIST_MAX: u32 = 12;
/// A coded block that would take more bytes is stored plain.
const CODED_MAX_BYTES: u32 = 60;

const FORM_ZERO: u64 = 0;
const FORM_ONE: u64 = 1;
const FORM_LIST: u64 = 2;
const FORM_BLOCKS: u64 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Raw,
    Adaptive,
    Constant,
}

/// Where a bit vector lies in its section, and how it is stored.
#[derive(Debug, Clone, Copy)]
pub struct BitVector {
    len: u64,
    ones: u64,
    form: Form,
    directory: u64,
    data: u64,
}

impl BitVector {
    /// The vector of `len` bits that starts at byte `start` of the section.
    ///
    /// # Errors
    /// `Corrupt` if its header or directory does not fit.
    pub fn open(view: &View<'_>, start: u64, len: u64) -> Result<BitVector> {
        let header = view.u64(start)?;
        let ones = header & 0xffff_ffff;
        let form = match header >> 32 {
            0 => Form::Raw,
            1 => Form::Adaptive,
            2 => Form::Constant,
            other => return Err(view.corrupt(start, format!("a bit vector of unknown form {other}"))),
        };
        if len >> 31 != 0 || ones > len || (form == Form::Constant && ones != 0 && ones != len) {
            return Err(view.corrupt(start, format!("a bit vector of {len} bits with {ones} ones")));
        }
        let directory = start.saturating_add(8);
        let (entries, data) = match form {
            Form::Raw => {
                let entries = len.div_ceil(RAW_STEP);
                (
                    entries,
                    (directory.saturating_add(entries * 8)).saturating_add(63) & !63,
                )
            }
            Form::Adaptive => {
                let entries = len.div_ceil(SUPER_BITS);
                (entries, directory.saturating_add(entries * 8))
            }
            Form::Constant => (0, directory),
        };
        let needed = match form {
            Form::Raw => data.saturating_add(len.div_ceil(BLOCK_BITS) * 64),
            _ => directory.saturating_add(entries * 8),
        };
        if needed > view.len() {
            return Err(view.corrupt(start, format!("a bit vector of {len} bits leaves its section")));
        }
        Ok(BitVector {
            len,
            ones,
            form,
            directory,
            data,
        })
    }

    /// Number of bits.
    #[inline]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no bits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of ones.
    #[inline]
    pub fn ones(&self) -> u64 {
        self.ones
    }

    /// Ones before `position`, which may be the end.
    ///
    /// Never more than `position` or than all ones, whatever the bytes.
    ///
    /// # Errors
    /// `Corrupt` if a page fails its checksum or an offset leaves the section.
    #[inline(always)]
    pub fn rank1(&self, view: &View<'_>, position: u64) -> Result<u64> {
        if position == 0 {
            return Ok(0);
        }
        if position >= self.len {
            return Ok(self.ones);
        }
        Ok(self.access(view, position)?.1)
    }

    /// The bit at `position`, which is not the end, and the ones before it.
    ///
    /// # Errors
    /// See [`BitVector::rank1`].
    #[inline(always)]
    pub fn access(&self, view: &View<'_>, position: u64) -> Result<(bool, u64)> {
        debug_assert!(position < self.len, "a bit that exists");
        let (bit, rank) = match self.form {
            Form::Constant => (self.ones != 0, if self.ones != 0 { position } else { 0 }),
            Form::Raw => self.access_raw(view, position)?,
            Form::Adaptive => self.access_adaptive(view, position)?,
        };
        Ok((bit, rank.min(position).min(self.ones)))
    }

    #[inline(always)]
    fn access_raw(&self, view: &View<'_>, position: u64) -> Result<(bool, u64)> {
        let entry = view.u64(self.directory + position / RAW_STEP * 8)?;
        let before = [0, entry >> 32 & 0x3ff, entry >> 42 & 0x7ff, entry >> 53];
        let words = load_block(view, self.data + position / BLOCK_BITS * 64)?;
        let (bit, rank) = block::access_plain(&words, (position % BLOCK_BITS) as u32);
        Ok((
            bit,
            (entry & 0xffff_ffff) + before[(position / BLOCK_BITS % 4) as usize] + u64::from(rank),
        ))
    }

    #[inline(always)]
    fn access_adaptive(&self, view: &View<'_>, position: u64) -> Result<(bool, u64)> {
        let header = view.u64(self.directory + position / SUPER_BITS * 8)?;
        let inside = (position % SUPER_BITS) as u32;
        let before = header & 0xffff_ffff;
        let data = self.data + (header >> 32 & 0xfff_ffff) * 2;
        let (bit, rank) = match header >> 60 {
            FORM_BLOCKS => {
                let descriptors = u128::from_le_bytes(view.array(data)?);
                let index = inside / 512;
                let (ones, skip) = sums_before(descriptors, index);
                let descriptor = (descriptors >> (16 * index)) as u32;
                let (count, size) = (descriptor & 0x3ff, descriptor >> 10 & 63);
                let (bit, rank) = if size == 0 {
                    (count != 0, if count != 0 { inside % 512 } else { 0 })
                } else {
                    let words = load_block(view, data + 16 + u64::from(skip))?;
                    if size == 63 {
                        block::access_plain(&words, inside % 512)
                    } else {
                        block::access(&words, inside % 512, count)
                    }
                };
                (bit, ones + rank)
            }
            FORM_LIST => access_list(view, data, inside)?,
            FORM_ONE => (true, inside),
            _ => (false, 0),
        };
        Ok((bit, before + u64::from(rank)))
    }

    /// Appends the bits of `range` to `out`.
    ///
    /// # Errors
    /// See [`BitVector::rank1`].
    pub fn expand(&self, view: &View<'_>, range: Range<u64>, out: &mut BitString) -> Result<()> {
        debug_assert!(
            range.start <= range.end && range.end <= self.len,
            "bits that exist"
        );
        match self.form {
            Form::Constant => {
                out.push_run(self.ones != 0, range.end - range.start);
                Ok(())
            }
            Form::Raw => {
                let mut at = range.start;
                while at < range.end {
                    let (from, to) = within(&range, at, BLOCK_BITS);
                    out.push_block(&load_block(view, self.data + at / BLOCK_BITS * 64)?, from, to);
                    at += u64::from(to - from);
                }
                Ok(())
            }
            Form::Adaptive => {
                let mut at = range.start;
                while at < range.end {
                    let (from, to) = within(&range, at, SUPER_BITS);
                    self.expand_super(view, at / SUPER_BITS, from, to, out)?;
                    at += u64::from(to - from);
                }
                Ok(())
            }
        }
    }

    fn expand_super(
        &self,
        view: &View<'_>,
        index: u64,
        from: u32,
        to: u32,
        out: &mut BitString,
    ) -> Result<()> {
        let header = view.u64(self.directory + index * 8)?;
        let data = self.data + (header >> 32 & 0xfff_ffff) * 2;
        match header >> 60 {
            FORM_BLOCKS => {
                let descriptors = u128::from_le_bytes(view.array(data)?);
                let mut at = data + 16 + u64::from(sums_before(descriptors, from / 512).1);
                let mut position = from;
                while position < to {
                    let descriptor = (descriptors >> (16 * (position / 512))) as u32;
                    let (count, size) = (descriptor & 0x3ff, descriptor >> 10 & 63);
                    let end = to.min((position / 512 + 1) * 512);
                    if size == 0 {
                        out.push_run(count != 0, u64::from(end - position));
                    } else {
                        let mut words = load_block(view, at)?;
                        if size != 63 {
                            words = block::expand(&words, count);
                        }
                        let base = position / 512 * 512;
                        out.push_block(&words, position - base, end - base);
                    }
                    at += u64::from(bytes_of(size));
                    position = end;
                }
            }
            FORM_LIST => {
                let (count, positions) = load_list(view, data)?;
                let (mut bit, mut at) = (false, 0);
                for &change in positions.iter().take(count) {
                    let change = u32::from(change);
                    if change >= at {
                        push_clipped(out, bit, at..change, from..to);
                        at = change;
                        bit = !bit;
                    }
                }
                push_clipped(out, bit, at..SUPER_BITS as u32, from..to);
            }
            form => out.push_run(form == FORM_ONE, u64::from(to - from)),
        }
        Ok(())
    }

    /// Name of the form, for `silt stat --explain`.
    pub fn form_name(&self) -> &'static str {
        match self.form {
            Form::Raw => "raw",
            Form::Adaptive => "adaptive",
            Form::Constant => "constant",
        }
    }

    /// Whether a rank is a directory read and a popcount.
    pub fn is_raw(&self) -> bool {
        self.form == Form::Raw
    }
}

/// The part of the block of `size` bits around `at` that lies in `range`, as bits of the block.
#[inline]
fn within(range: &Range<u64>, at: u64, size: u64) -> (u32, u32) {
    let base = at / size * size;
    ((at - base) as u32, ((range.end - base).min(size)) as u32)
}

fn push_clipped(out: &mut BitString, bit: bool, run: Range<u32>, clip: Range<u32>) {
    let (start, end) = (run.start.max(clip.start), run.end.min(clip.end));
    if start < end {
        out.push_run(bit, u64::from(end - start));
    }
}

/// 64 bytes as words.
#[inline(always)]
fn load_block(view: &View<'_>, offset: u64) -> Result<Block> {
    let bytes = view.bytes(offset, 64)?;
    let mut words = [0; 8];
    for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        let mut eight = [0; 8];
        eight.copy_from_slice(chunk);
        *word = u64::from_le_bytes(eight);
    }
    Ok(words)
}

#[inline(always)]
fn bytes_of(size: u32) -> u32 {
    size + u32::from(size == 63)
}

/// Ones and bytes of the blocks before block `index` of a superblock.
#[inline(always)]
fn sums_before(descriptors: u128, index: u32) -> (u32, u32) {
    const LANES: u64 = 0x0001_0001_0001_0001;
    let kept = descriptors & ((1u128 << (16 * index)) - 1);
    let (low, high) = (kept as u64, (kept >> 64) as u64);
    let ones = (low & (LANES * 0x3ff)) + (high & (LANES * 0x3ff));
    let size = |word: u64| {
        let six = word >> 10 & (LANES * 63);
        // 63 stands for 64 bytes.
        six + ((six + LANES) >> 6 & LANES)
    };
    let bytes = size(low) + size(high);
    (
        (ones.wrapping_mul(LANES) >> 48) as u32,
        (bytes.wrapping_mul(LANES) >> 48) as u32,
    )
}

fn load_list(view: &View<'_>, data: u64) -> Result<(usize, [u16; 16])> {
    let bytes: [u8; 32] = view.array(data)?;
    let mut positions = [0u16; 16];
    for (position, pair) in positions.iter_mut().zip(bytes[2..].chunks_exact(2)) {
        *position = u16::from_le_bytes([pair[0], pair[1]]);
    }
    Ok(((bytes[0] & 15).min(LIST_MAX as u8) as usize, positions))
}

#[inline(always)]
fn access_list(view: &View<'_>, data: u64, position: u32) -> Result<(bool, u32)> {
    let (count, positions) = load_list(view, data)?;
    let (mut bit, mut ones) = (0, 0i32);
    for (i, &change) in positions.iter().enumerate().take(LIST_MAX as usize) {
        let passed = u32::from(i < count && u32::from(change) <= position);
        // Each change passed turns the bit; its position counts down on the way up, and up on the way down.
        ones += passed as i32 * (1 - 2 * (bit ^ 1)) * i32::from(change);
        bit ^= passed as i32;
    }
    ones += bit * position as i32;
    Ok((bit == 1, ones.clamp(0, position as i32) as u32))
}

/// Bytes that [`encode`] would write for each form, and which one it takes.
fn plan(blocks: &[Plan], len: u64) -> Form {
    let ones: u64 = blocks.iter().map(|b| u64::from(b.ones)).sum();
    if ones == 0 || ones == len {
        return Form::Constant;
    }
    let raw = len.div_ceil(RAW_STEP) * 8 + 32 + len.div_ceil(BLOCK_BITS) * 64;
    let adaptive = len.div_ceil(SUPER_BITS) * 8
        + blocks
            .chunks(8)
            .map(|group| u64::from(super_bytes(group, SUPER_BITS as u32)))
            .sum::<u64>();
    // A plain vector answers twice as fast: it is taken up to 3 % more.
    if adaptive * 100 < raw * 97 {
        Form::Adaptive
    } else {
        Form::Raw
    }
}

/// What the encoder knows of a block before it writes it.
#[derive(Debug, Clone, Copy)]
struct Plan {
    ones: u32,
    /// Bit changes, the first bit compared with a zero.
    changes: u32,
    /// First and last bit.
    ends: (u64, u64),
}

impl Plan {
    fn of(words: &Block) -> Plan {
        let changed = block::changes(words, 0);
        Plan {
            ones: block::ones(words),
            changes: block::ones(&changed),
            ends: (words[0] & 1, words[7] >> 63),
        }
    }

    /// Bytes of the block, and whether it lists its rarer bit.
    fn cost(&self) -> (u32, bool) {
        let rare = self.ones.min(512 - self.ones);
        if rare == 0 {
            return (0, false);
        }
        let gap = rare <= self.changes;
        let m = rare.min(self.changes);
        if m > block::MAX_POSITIONS || block::coded_bytes(m) > CODED_MAX_BYTES {
            return (64, false);
        }
        (block::coded_bytes(m), gap)
    }
}

/// Changes of a superblock, its first bit compared with a zero.
fn super_changes(group: &[Plan]) -> u32 {
    let mut before = 0;
    let mut count = 0;
    for plan in group {
        // A block counts its own first bit as a change if it is one.
        count += plan.changes - plan.ends.0 as u32 + (plan.ends.0 ^ before) as u32;
        before = plan.ends.1;
    }
    count
}

fn super_bytes(group: &[Plan], bits: u32) -> u32 {
    let ones: u32 = group.iter().map(|plan| plan.ones).sum();
    if ones == 0 || ones == bits {
        return 0;
    }
    let changes = super_changes(group);
    if changes <= LIST_MAX {
        return 2 + 2 * changes;
    }
    (16 + group.iter().map(|plan| plan.cost().0).sum::<u32>()).next_multiple_of(2)
}

/// The block of `bits` at `index`, zeros past `len` bits.
#[inline]
fn block_at(bits: &[u64], len: u64, index: usize) -> Block {
    let mut words = [0; 8];
    let have = bits.get(index * 8..).unwrap_or_default();
    let count = have.len().min(8);
    words[..count].copy_from_slice(&have[..count]);
    let end = len.saturating_sub(index as u64 * BLOCK_BITS);
    if end < BLOCK_BITS {
        for (i, word) in words.iter_mut().enumerate() {
            *word &= super::words::low_mask(end.saturating_sub(i as u64 * 64).min(64) as u32);
        }
    }
    words
}

/// Bytes (about) that the first `len` of `bits` take as a vector, and whether they are stored plain.
pub fn estimate(bits: &[u64], len: u64) -> (u64, bool) {
    let plans = plans(bits, len);
    match plan(&plans, len) {
        Form::Constant => (8, false),
        Form::Raw => (
            8 + len.div_ceil(RAW_STEP) * 8 + len.div_ceil(BLOCK_BITS) * 64,
            true,
        ),
        Form::Adaptive => {
            let data: u64 = plans
                .chunks(8)
                .map(|group| u64::from(super_bytes(group, SUPER_BITS as u32)))
                .sum();
            (8 + len.div_ceil(SUPER_BITS) * 8 + data, false)
        }
    }
}

fn plans(bits: &[u64], len: u64) -> Vec<Plan> {
    (0..len.div_ceil(BLOCK_BITS) as usize)
        .map(|index| Plan::of(&block_at(bits, len, index)))
        .collect()
}

/// Appends the first `len` of `bits` to `out`, the section that the vector will be part of.
///
/// The section must end in at least [`super::TAIL_BYTES`] more bytes.
pub fn encode(bits: &[u64], len: u64, out: &mut Vec<u8>) {
    debug_assert!(len >> 31 == 0, "a bit vector has fewer than 2^31 bits");
    let plans = plans(bits, len);
    let ones: u64 = plans.iter().map(|plan| u64::from(plan.ones)).sum();
    let form = plan(&plans, len);
    out.extend_from_slice(&(ones | (form as u64) << 32).to_le_bytes());
    match form {
        Form::Constant => {}
        Form::Raw => encode_raw(bits, len, &plans, out),
        Form::Adaptive => encode_adaptive(bits, len, &plans, out),
    }
}

fn encode_raw(bits: &[u64], len: u64, plans: &[Plan], out: &mut Vec<u8>) {
    let mut before = 0u64;
    for group in plans.chunks(4) {
        let count = |index: usize| group.get(index).map_or(0, |plan| u64::from(plan.ones));
        let (first, second, third) = (count(0), count(0) + count(1), count(0) + count(1) + count(2));
        out.extend_from_slice(&(before | first << 32 | second << 42 | third << 53).to_le_bytes());
        before += third + count(3);
    }
    out.resize(out.len().next_multiple_of(64), 0);
    for index in 0..plans.len() {
        for word in block_at(bits, len, index) {
            out.extend_from_slice(&word.to_le_bytes());
        }
    }
}

fn encode_adaptive(bits: &[u64], len: u64, plans: &[Plan], out: &mut Vec<u8>) {
    let directory = out.len();
    out.resize(directory + plans.len().div_ceil(8) * 8, 0);
    let data = out.len();
    let mut before = 0u64;
    for (index, group) in plans.chunks(8).enumerate() {
        let ones: u64 = group.iter().map(|plan| u64::from(plan.ones)).sum();
        let size = SUPER_BITS.min(len - index as u64 * SUPER_BITS);
        let offset = ((out.len() - data) / 2) as u64;
        debug_assert!(offset >> 28 == 0, "a level is smaller than 512 MiB");
        let form = if ones == 0 {
            FORM_ZERO
        } else if ones == size {
            FORM_ONE
        } else if super_changes(group) <= LIST_MAX {
            encode_list(bits, len, index, out);
            FORM_LIST
        } else {
            encode_blocks(bits, len, index, group, out);
            FORM_BLOCKS
        };
        let header = before | offset << 32 | form << 60;
        out[directory + index * 8..directory + index * 8 + 8].copy_from_slice(&header.to_le_bytes());
        before += ones;
    }
}

fn encode_list(bits: &[u64], len: u64, index: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0, 0]);
    let mut before = 0;
    for at in 0..8 {
        let words = block_at(bits, len, index * 8 + at);
        for (i, mut rest) in block::changes(&words, before).into_iter().enumerate() {
            while rest != 0 {
                let position = (at * 512 + i * 64) as u16 + rest.trailing_zeros() as u16;
                out.extend_from_slice(&position.to_le_bytes());
                rest &= rest - 1;
            }
        }
        before = words[7] >> 63;
    }
    out[start] = ((out.len() - start) / 2 - 1) as u8;
}

fn encode_blocks(bits: &[u64], len: u64, index: usize, group: &[Plan], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + 16, 0);
    for (at, plan) in group.iter().enumerate() {
        let (size, gap) = plan.cost();
        let descriptor = plan.ones as u16 | (size.min(63) as u16) << 10;
        out[start + at * 2..start + at * 2 + 2].copy_from_slice(&descriptor.to_le_bytes());
        if size == 0 {
            continue;
        }
        let mut words = block_at(bits, len, index * 8 + at);
        if size < 64 {
            words = if !gap {
                block::encode(&block::changes(&words, 0), plan.changes, false)
            } else if plan.ones <= 256 {
                block::encode(&words, plan.ones, true)
            } else {
                block::encode(&words.map(|word| !word), 512 - plan.ones, true)
            };
        }
        let mut bytes = [0; 64];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&bytes[..size as usize]);
    }
    if (out.len() - start) % 2 == 1 {
        out.push(0);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
    use super::super::RankBits;
    use crate::section::Section;
    use proptest::prelude::*;

    fn words(bits: &[bool]) -> Vec<u64> {
        let mut out = vec![0; bits.len().div_ceil(64)];
        for (i, &bit) in bits.iter().enumerate() {
            out[i / 64] |= u64::from(bit) << (i % 64);
        }
        out
    }

    /// Stretches of differently behaved bits: `(length, chance of a change, chance of a one)` in 1/256.
    fn bits() -> impl Strategy<Value = Vec<bool>> {
        let stretch = (
            1usize..6000,
            prop_oneof![Just(0u8), Just(1), 0u8..20, any::<u8>()],
            any::<bool>(),
            any::<u64>(),
        );
        proptest::collection::vec(stretch, 0..4).prop_map(|stretches| {
            let mut out = Vec::new();
            for (length, chance, by_change, seed) in stretches {
                let mut state = seed | 1;
                let mut bit = seed >> 63 == 1;
                for _ in 0..length {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    let hit = (state >> 24) as u8 <= chance && chance > 0;
                    if by_change {
                        bit ^= hit;
                        out.push(bit);
                    } else {
                        out.push(hit ^ (seed >> 62 & 1 == 1));
                    }
                }
            }
            out
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn rank_select_and_expand_equal_bools(bits in bits(), cuts in any::<[prop::sample::Index; 4]>()) {
            let vector = RankBits::open(Section::from_vec(RankBits::encode(&words(&bits), bits.len() as u64))).unwrap();
            let mut rank = 0;
            for (i, &bit) in bits.iter().enumerate() {
                prop_assert_eq!(vector.get(i as u64).unwrap(), (bit, rank), "bit {}", i);
                prop_assert_eq!(vector.rank1(i as u64).unwrap(), rank);
                if bit && i % 7 == 0 {
                    prop_assert_eq!(vector.select1(rank).unwrap(), i as u64);
                }
                rank += u64::from(bit);
            }
            prop_assert_eq!(vector.ones(), rank);
            prop_assert_eq!(vector.rank1(bits.len() as u64).unwrap(), rank);
            for pair in cuts.chunks(2) {
                let (a, b) = (pair[0].index(bits.len() + 1), pair[1].index(bits.len() + 1));
                let range = a.min(b)..a.max(b);
                prop_assert_eq!(vector.expand(range.start as u64..range.end as u64).unwrap(), words(&bits[range]));
            }
        }

        #[test]
        fn flipped_bytes_never_panic(bits in bits(), flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut in any::<prop::sample::Index>()) {
            let mut bytes = RankBits::encode(&words(&bits), bits.len() as u64);
            for (at, value) in flips {
                let at = at.index(bytes.len());
                bytes[at] ^= value;
            }
            if cut.index(4) == 0 {
                bytes.truncate(cut.index(bytes.len()));
            }
            if let Ok(vector) = RankBits::open(Section::from_vec(bytes)) {
                let len = vector.len();
                for at in (0..len.min(20_000)).step_by(97) {
                    let _ = vector.get(at);
                    let _ = vector.select1(at);
                }
                let _ = vector.expand(0..len.min(100_000));
            }
        }
    }
}
