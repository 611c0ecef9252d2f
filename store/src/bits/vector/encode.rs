//! The write side: one look at every block, then the cheapest form.

#![allow(
    clippy::cast_possible_truncation,
    reason = "positions inside blocks are small by construction"
)]

use super::super::block::{self, BLOCK_BITS, Block, List};
use super::super::words::low_mask;
use super::{
    FORM_CODED, FORM_EIGHTHS, FORM_ONE, FORM_QUARTERS, FORM_ZERO, Form, PLAIN_MARK, RAW_STEP, SUPER_BITS,
};

/// Nanoseconds of a rank (about): in a superblock that is one coded unit, in quarters, in eighths; what a plain block
/// saves against a coded one, and a plain vector against an adaptive one.
const WHOLE_NS: f64 = 32.0;
const QUARTERS_NS: f64 = 35.0;
const EIGHTHS_NS: f64 = 38.0;
const PLAIN_BLOCK_NS: f64 = 14.0;
const PLAIN_NS: f64 = 16.0;
/// What a nanosecond is worth where nobody says, in bits a bit.
pub(crate) const BITS_PER_NS: f64 = 0.002;

/// A coded block of 512 bits that would take more bytes is stored plain.
const CODED_MAX_BYTES: u32 = 60;
/// The same for a quarter.
const QUARTER_MAX_BYTES: u32 = 122;

/// What the encoder knows of some bits before it writes them.
#[derive(Debug, Clone, Copy)]
struct Plan {
    ones: u32,
    /// Bit changes, the first bit compared with a zero.
    changes: u32,
    /// First and last bit.
    ends: (u32, u32),
}

impl Plan {
    fn of(words: &Block) -> Plan {
        let changes = block::ones(&block::changes(words));
        let ends = ((words[0] & 1) as u32, (words[7] >> 63) as u32);
        Plan {
            ones: block::ones(words),
            changes,
            ends,
        }
    }

    /// The plan of consecutive parts.
    fn join(parts: &[Plan]) -> Plan {
        let mut all = Plan {
            ones: 0,
            changes: 0,
            ends: (parts.first().map_or(0, |part| part.ends.0), 0),
        };
        for part in parts {
            all.ones += part.ones;
            // Each part counts its own first bit as a change if it is a one.
            all.changes = all.changes + part.changes - part.ends.0 + (part.ends.0 ^ all.ends.1);
            all.ends.1 = part.ends.1;
        }
        all
    }

    /// The list with the fewest positions, of `bits` bits.
    fn list(&self, bits: u32) -> (u32, List) {
        let zeros = bits - self.ones;
        if self.changes < self.ones.min(zeros) {
            (self.changes, List::Changes)
        } else if self.ones <= zeros {
            (self.ones, List::Ones)
        } else {
            (zeros, List::Zeros)
        }
    }

    /// Bytes as a unit of 4,096 bits, if it can be one.
    fn whole_bytes(&self) -> Option<u32> {
        let (m, _) = self.list(4096);
        (m <= block::MAX_POSITIONS).then(|| block::coded_bytes(m, 12))
    }

    /// Bytes as a quarter.
    fn quarter_bytes(&self, worth: f64) -> u32 {
        match self.list(1024).0 {
            0 => 2,
            m if m <= block::MAX_POSITIONS
                && block::coded_bytes(m, 10) <= QUARTER_MAX_BYTES
                && f64::from(block::coded_bytes(m, 10)) + worth * PLAIN_BLOCK_NS * 128.0 < 130.0 =>
            {
                block::coded_bytes(m, 10)
            }
            _ => 130,
        }
    }

    /// Bytes as a block of 512 bits.
    fn eighth_bytes(&self, worth: f64) -> u32 {
        match self.list(512).0 {
            0 => 0,
            m if m <= block::MAX_POSITIONS
                && block::coded_bytes(m, 9) <= CODED_MAX_BYTES
                && f64::from(block::coded_bytes(m, 9)) + worth * PLAIN_BLOCK_NS * 64.0 < 64.0 =>
            {
                block::coded_bytes(m, 9)
            }
            _ => 64,
        }
    }
}

/// The cheapest form of a superblock, and its bytes. A nanosecond is worth `worth` bits a bit.
fn super_form(group: &[Plan], bits: u32, worth: f64) -> (u64, u32) {
    let all = Plan::join(group);
    if all.ones == 0 {
        return (FORM_ZERO, 0);
    }
    if all.ones == bits {
        return (FORM_ONE, 0);
    }
    let eighths = 16 + group.iter().map(|plan| plan.eighth_bytes(worth)).sum::<u32>();
    let quarters = 8 + group
        .chunks(2)
        .map(|pair| Plan::join(pair).quarter_bytes(worth))
        .sum::<u32>();
    // Quarters past the end are constant.
    let quarters = quarters + 2 * (4 - group.len().div_ceil(2) as u32);
    let price = |bytes: u32, ns: f64| f64::from(bytes) + ns * worth * (SUPER_BITS / 8) as f64;
    let mut best = (FORM_EIGHTHS, eighths, price(eighths, EIGHTHS_NS));
    let whole = all.whole_bytes().map(|bytes| (FORM_CODED, bytes, WHOLE_NS));
    for (form, bytes, ns) in [Some((FORM_QUARTERS, quarters, QUARTERS_NS)), whole]
        .into_iter()
        .flatten()
    {
        if price(bytes, ns) <= best.2 {
            best = (form, bytes, price(bytes, ns));
        }
    }
    (best.0, best.1.next_multiple_of(2))
}

/// The cheapest form of the vector.
fn plan(plans: &[Plan], len: u64, worth: f64) -> (Form, u64) {
    let ones: u64 = plans.iter().map(|plan| u64::from(plan.ones)).sum();
    if ones == 0 || ones == len {
        return (Form::Constant, 8);
    }
    let raw = 8 + len.div_ceil(RAW_STEP) * 8 + 32 + len.div_ceil(BLOCK_BITS) * 64;
    let data: u64 = plans
        .chunks(8)
        .map(|group| u64::from(super_form(group, SUPER_BITS as u32, worth).1))
        .sum();
    let adaptive = 8 + len.div_ceil(SUPER_BITS) * 8 + data;
    if adaptive as f64 + PLAIN_NS * worth * len as f64 / 8.0 < raw as f64 {
        (Form::Adaptive, adaptive)
    } else {
        (Form::Raw, raw)
    }
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
            *word &= low_mask(end.saturating_sub(i as u64 * 64).min(64) as u32);
        }
    }
    words
}

/// Bytes (about) that the first `len` of `bits` take as a vector, and whether they are stored plain.
pub(crate) fn estimate(bits: &[u64], len: u64, worth: f64) -> (u64, bool) {
    let (form, bytes) = plan(&plans(bits, len), len, worth);
    (bytes, form == Form::Raw)
}

fn plans(bits: &[u64], len: u64) -> Vec<Plan> {
    (0..len.div_ceil(BLOCK_BITS) as usize)
        .map(|index| Plan::of(&block_at(bits, len, index)))
        .collect()
}

/// Appends the first `len` of `bits` to `out`, the section that the vector will be part of.
///
/// The section must end in at least [`TAIL_BYTES`](super::super::TAIL_BYTES) more bytes.
pub fn encode(bits: &[u64], len: u64, out: &mut Vec<u8>) {
    encode_with(bits, len, BITS_PER_NS, out);
}

/// [`encode`], where a nanosecond of a rank is worth `worth` bits a bit.
pub(crate) fn encode_with(bits: &[u64], len: u64, worth: f64, out: &mut Vec<u8>) {
    debug_assert!(len >> 31 == 0, "a bit vector has fewer than 2^31 bits");
    let plans = plans(bits, len);
    let ones: u64 = plans.iter().map(|plan| u64::from(plan.ones)).sum();
    let (form, _) = plan(&plans, len, worth);
    out.extend_from_slice(&(ones | (form as u64) << 32).to_le_bytes());
    match form {
        Form::Constant => {}
        Form::Raw => encode_raw(bits, len, &plans, out),
        Form::Adaptive => encode_adaptive(bits, len, &plans, worth, out),
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

fn encode_adaptive(bits: &[u64], len: u64, plans: &[Plan], worth: f64, out: &mut Vec<u8>) {
    let directory = out.len();
    out.resize(directory + plans.len().div_ceil(8) * 8, 0);
    let data = out.len();
    let mut before = 0u64;
    for (index, group) in plans.chunks(8).enumerate() {
        let ones: u64 = group.iter().map(|plan| u64::from(plan.ones)).sum();
        let size = SUPER_BITS.min(len - index as u64 * SUPER_BITS);
        let offset = ((out.len() - data) / 2) as u64;
        debug_assert!(offset >> 28 == 0, "a level is smaller than 512 MiB");
        let (form, _) = super_form(group, size as u32, worth);
        match form {
            FORM_CODED => encode_whole(bits, len, index, group, out),
            FORM_QUARTERS => encode_quarters(bits, len, index, group, worth, out),
            FORM_EIGHTHS => encode_eighths(bits, len, index, group, worth, out),
            _ => {}
        }
        if (out.len() - data) % 2 == 1 {
            out.push(0);
        }
        let header = before | offset << 32 | form << 60;
        out[directory + index * 8..directory + index * 8 + 8].copy_from_slice(&header.to_le_bytes());
        before += ones;
    }
}

/// The `N` words of `bits` from block `index` on, zeros past `len` bits.
fn blocks_at<const N: usize>(bits: &[u64], len: u64, index: usize) -> [u64; N] {
    let mut words = [0; N];
    for (at, block) in words.chunks_exact_mut(8).enumerate() {
        block.copy_from_slice(&block_at(bits, len, index + at));
    }
    words
}

/// Appends a coded unit.
fn encode_unit<const N: usize>(words: &[u64; N], list: (u32, List), log: u32, out: &mut Vec<u8>) {
    let (m, list) = list;
    let coded = match list {
        List::Changes => block::encode(&block::changes(words), m, list, log),
        List::Ones => block::encode(words, m, list, log),
        List::Zeros => block::encode(&words.map(|word| !word), m, list, log),
    };
    push_words(&coded, block::coded_bytes(m, log) as usize, out);
}

fn push_words(words: &[u64], bytes: usize, out: &mut Vec<u8>) {
    let end = out.len() + bytes;
    for word in words.iter().take(bytes.div_ceil(8)) {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.truncate(end);
}

fn encode_whole(bits: &[u64], len: u64, index: usize, group: &[Plan], out: &mut Vec<u8>) {
    encode_unit::<64>(
        &blocks_at(bits, len, index * 8),
        Plan::join(group).list(4096),
        12,
        out,
    );
}

fn encode_quarters(bits: &[u64], len: u64, index: usize, group: &[Plan], worth: f64, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + 8, 0);
    let (mut directory, mut ones) = (0u64, 0u64);
    for at in 0..4 {
        if at > 0 {
            directory |= ones << (12 * at - 12) | ((out.len() - start - 8) as u64) << (27 + 9 * at);
        }
        let pair = group.get(at * 2..).unwrap_or_default();
        let plan = Plan::join(&pair[..pair.len().min(2)]);
        ones += u64::from(plan.ones);
        let list = plan.list(1024);
        match (list.0, plan.quarter_bytes(worth)) {
            (0, _) => out.extend_from_slice(&[0, u8::from(plan.ones > 0)]),
            (_, 130) => {
                out.extend_from_slice(&[(PLAIN_MARK << 1) as u8, 0]);
                push_words(&blocks_at::<16>(bits, len, index * 8 + at * 2), 128, out);
            }
            _ => encode_unit::<16>(&blocks_at(bits, len, index * 8 + at * 2), list, 10, out),
        }
    }
    out[start..start + 8].copy_from_slice(&directory.to_le_bytes());
}

fn encode_eighths(bits: &[u64], len: u64, index: usize, group: &[Plan], worth: f64, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + 16, 0);
    for (at, plan) in group.iter().enumerate() {
        let size = plan.eighth_bytes(worth);
        let descriptor = plan.ones as u16 | (size.min(63) as u16) << 10;
        out[start + at * 2..start + at * 2 + 2].copy_from_slice(&descriptor.to_le_bytes());
        let words = block_at(bits, len, index * 8 + at);
        match size {
            0 => {}
            64 => push_words(&words, 64, out),
            _ => encode_unit::<8>(&words, plan.list(512), 9, out),
        }
    }
}
