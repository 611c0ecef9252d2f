//! Block statistics: smallest and largest code of each block, and what the sum of any range takes.
//!
//! A block is `step` code positions. Sums come in two forms. *Exact*: a running total at each block border of one
//! unsigned weight a position (integers: their distance from the base in steps; decimals: their unit; an exception
//! weighs nothing), so that the sum of a range is two totals and at most two partial blocks. *Tree*: the floats of
//! each block added in row order, then sixteen sums at a time added pairwise, level by level; a range is the sum of
//! O(16 log blocks) nodes, which are added and never subtracted. Values that are not finite are left out of the sums
//! and kept as three flags a node.
//!
//! ```text
//! offset  width  field
//!      0      1  form       1 exact, 2 tree
//!      1      1  step_bits  a block has 2^step_bits positions; 7 to 16
//!      2      1  low_width  bits of a smallest code; 0 to 64
//!      3      1  span_width bits of largest minus smallest code; 0 to 64
//!      4      1  sum_width  exact: bits of a running total, 0 to 128; tree: 0
//!      5      1  flags      tree: 1 if the node flags follow, else 0; exact: 0
//!      6      2  zero
//!      8      8  n          number of positions; blocks = ceil(n / step)
//!     16      -  smallest codes: blocks numbers of low_width bits (see `column/packed.rs`), then 16 zero bytes
//!      -      -  largest minus smallest codes, the same with span_width
//!      -      -  exact: totals after each block, blocks numbers of sum_width bits, then 16 zero bytes
//!      -      -  tree: level 0 (one float64 a block), level 1 (one for each 16 nodes begun of level 0), and so on up to
//!                a level of one node; then, with flags, one byte a node in the same order: 1 NaN, 2 +inf, 4 -inf
//! ```

use crate::error::Result;
use crate::section::Section;

use super::packed::{BitWriter, read, read_wide, stream_bytes, width_of};

const HEADER_BYTES: u64 = 16;
const EXACT: u8 = 1;
const TREE: u8 = 2;
/// Default block: 1,024 positions.
pub(crate) const STEP_BITS: u8 = 10;
/// Nodes added into one of the next level.
const FAN: u64 = FAN_OUT as u64;
const FAN_OUT: usize = 16;

/// A float sum and which non-finite values were among the values.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FloatSum {
    /// Sum of the finite values.
    pub(crate) finite: f64,
    /// 1 NaN, 2 +inf, 4 -inf.
    pub(crate) flags: u8,
}

impl FloatSum {
    /// Adds a value.
    #[inline]
    pub(crate) fn push(&mut self, value: f64) {
        if value.is_finite() {
            self.finite += value;
        } else {
            self.flags |= if value.is_nan() {
                1
            } else if value > 0.0 {
                2
            } else {
                4
            };
        }
    }

    /// Adds another sum.
    pub(crate) fn add(self, other: FloatSum) -> FloatSum {
        FloatSum {
            finite: self.finite + other.finite,
            flags: self.flags | other.flags,
        }
    }

    /// What SQL's sum gives.
    pub(crate) fn value(self) -> f64 {
        match self.flags {
            0 => self.finite,
            2 => f64::INFINITY,
            4 => f64::NEG_INFINITY,
            _ => f64::NAN,
        }
    }
}

/// What is summed, one a position.
pub(crate) enum Summands<'a> {
    /// Exact weights.
    Weights(&'a dyn Fn(usize) -> u64),
    /// Floats.
    Floats(&'a dyn Fn(usize) -> f64),
}

/// Encodes the statistics of `codes` with blocks of `2^step_bits` positions.
pub(crate) fn encode(codes: &[u64], step_bits: u8, summands: &Summands<'_>) -> Vec<u8> {
    let step = 1usize << step_bits;
    let bounds: Vec<(u64, u64)> = codes
        .chunks(step)
        .map(|block| {
            block
                .iter()
                .fold((u64::MAX, 0), |(low, high), &c| (low.min(c), high.max(c)))
        })
        .collect();
    let low_width = bounds.iter().map(|b| width_of(b.0)).max().unwrap_or(0);
    let span_width = bounds.iter().map(|b| width_of(b.1 - b.0)).max().unwrap_or(0);
    let (form, sum_width, flags, sums) = match summands {
        Summands::Weights(weight) => {
            let (width, bytes) = totals(codes.len(), step, weight);
            (EXACT, width, 0, bytes)
        }
        Summands::Floats(float) => {
            let (flags, bytes) = tree(codes.len(), step, float);
            (TREE, 0, flags, bytes)
        }
    };
    #[expect(clippy::cast_possible_truncation, reason = "widths are at most 128")]
    let mut out = vec![
        form,
        step_bits,
        low_width as u8,
        span_width as u8,
        sum_width as u8,
        flags,
        0,
        0,
    ];
    out.extend_from_slice(&(codes.len() as u64).to_le_bytes());
    for (width, number) in [(low_width, 0), (span_width, 1)] {
        let mut writer = BitWriter::default();
        for &(low, high) in &bounds {
            writer.push(if number == 0 { low } else { high - low }, width);
        }
        out.extend_from_slice(&writer.finish());
    }
    out.extend_from_slice(&sums);
    out
}

fn totals(len: usize, step: usize, weight: &dyn Fn(usize) -> u64) -> (u32, Vec<u8>) {
    let mut total = 0u128;
    let mut all = Vec::with_capacity(len.div_ceil(step));
    for start in (0..len).step_by(step) {
        for position in start..(start + step).min(len) {
            total += u128::from(weight(position));
        }
        all.push(total);
    }
    let width = 128 - total.leading_zeros();
    let mut writer = BitWriter::default();
    for total in all {
        writer.push_wide(total, width);
    }
    (width, writer.finish())
}

fn tree(len: usize, step: usize, float: &dyn Fn(usize) -> f64) -> (u8, Vec<u8>) {
    let mut level: Vec<FloatSum> = (0..len)
        .step_by(step)
        .map(|start| {
            let mut sum = FloatSum::default();
            (start..(start + step).min(len)).for_each(|position| sum.push(float(position)));
            sum
        })
        .collect();
    let (mut sums, mut flags) = (Vec::new(), Vec::new());
    loop {
        sums.extend(level.iter().flat_map(|node| node.finite.to_le_bytes()));
        flags.extend(level.iter().map(|node| node.flags));
        if level.len() <= 1 {
            break;
        }
        level = level.chunks(FAN_OUT).map(pairwise).collect();
    }
    let any = flags.iter().any(|&f| f != 0);
    if any {
        sums.extend_from_slice(&flags);
    }
    (u8::from(any), sums)
}

/// Adds neighbours, then neighbouring sums, until one is left.
pub(crate) fn pairwise(sums: &[FloatSum]) -> FloatSum {
    match sums {
        [] => FloatSum::default(),
        [one] => *one,
        _ => {
            let (left, right) = sums.split_at(sums.len().next_power_of_two() / 2);
            pairwise(left).add(pairwise(right))
        }
    }
}

/// The read side.
#[derive(Debug)]
pub(crate) struct Statistics {
    section: Section,
    exact: bool,
    step_bits: u8,
    low_width: u32,
    span_width: u32,
    sum_width: u32,
    blocks: u64,
    spans_at: u64,
    sums_at: u64,
    /// First byte of the node flags, if there are any.
    flags_at: Option<u64>,
}

impl Statistics {
    /// Opens the statistics of `len` positions in the wanted form.
    pub(crate) fn open(section: Section, len: u64, exact: bool) -> Result<Statistics> {
        let [form, step_bits, low_width, span_width, sum_width, flags, ..] = section.array::<8>(0)?;
        let sound = form == if exact { EXACT } else { TREE }
            && (7..=16).contains(&step_bits)
            && low_width <= 64
            && span_width <= 64
            && sum_width <= if exact { 128 } else { 0 }
            && flags <= u8::from(!exact)
            && section.u64(8)? == len;
        if !sound {
            return Err(section.corrupt(0, format!("these are no statistics of {len} codes")));
        }
        let blocks = len.div_ceil(1 << step_bits);
        let too_long = || section.corrupt(8, "more blocks than the section has bytes for".into());
        let stream = |width: u8| stream_bytes(blocks, u32::from(width)).ok_or_else(too_long);
        let spans_at = HEADER_BYTES + stream(low_width)?;
        let sums_at = spans_at.checked_add(stream(span_width)?).ok_or_else(too_long)?;
        let nodes = Levels::new(blocks)
            .map(|(_, nodes)| nodes)
            .fold(0u64, u64::saturating_add);
        let (sums_bytes, flags_at) = if exact {
            (stream(sum_width)?, None)
        } else {
            let bytes = nodes.checked_mul(8 + u64::from(flags)).ok_or_else(too_long)?;
            (
                bytes,
                (flags == 1).then(|| sums_at.saturating_add(nodes.saturating_mul(8))),
            )
        };
        if sums_at.checked_add(sums_bytes) != Some(section.len()) {
            return Err(section.corrupt(8, format!("{blocks} blocks do not fit {} bytes", section.len())));
        }
        Ok(Statistics {
            exact,
            step_bits,
            low_width: low_width.into(),
            span_width: span_width.into(),
            sum_width: sum_width.into(),
            blocks,
            spans_at,
            sums_at,
            flags_at,
            section,
        })
    }

    /// Whether sums are exact totals.
    pub(crate) fn is_exact(&self) -> bool {
        self.exact
    }

    /// Positions of a block, as a power of two.
    pub(crate) fn step_bits(&self) -> u8 {
        self.step_bits
    }

    /// Smallest and largest code of block `block`.
    pub(crate) fn bounds(&self, block: u64) -> Result<(u64, u64)> {
        let at = |width: u32| block.saturating_mul(u64::from(width));
        let low = read(&self.section, HEADER_BYTES, at(self.low_width), self.low_width)?;
        let span = read(&self.section, self.spans_at, at(self.span_width), self.span_width)?;
        Ok((low, low.saturating_add(span)))
    }

    /// Total weight of the first `blocks` blocks (exact form).
    pub(crate) fn total(&self, blocks: u64) -> Result<u128> {
        match blocks.min(self.blocks).checked_sub(1) {
            None => Ok(0),
            Some(block) => {
                let at = block.saturating_mul(u64::from(self.sum_width));
                read_wide(&self.section, self.sums_at, at, self.sum_width)
            }
        }
    }

    /// Sum of blocks `low..high` (tree form).
    pub(crate) fn float_sum(&self, mut low: u64, mut high: u64) -> Result<FloatSum> {
        let mut sum = FloatSum::default();
        high = high.min(self.blocks);
        for (first, _) in Levels::new(self.blocks) {
            if low >= high {
                break;
            }
            let (up, down) = (low.div_ceil(FAN), high / FAN);
            if up >= down {
                return Ok(sum.add(self.nodes(first, low, high)?));
            }
            sum = sum
                .add(self.nodes(first, low, up * FAN)?)
                .add(self.nodes(first, down * FAN, high)?);
            (low, high) = (up, down);
        }
        Ok(sum)
    }

    /// Pairwise sum of nodes `low..high` of the level whose first node is `first`; at most 31 of them.
    fn nodes(&self, first: u64, low: u64, high: u64) -> Result<FloatSum> {
        let mut sums = [FloatSum::default(); 2 * FAN_OUT];
        let mut len = 0;
        for (slot, node) in sums.iter_mut().zip(low..high) {
            let node = first.saturating_add(node);
            let bits = self
                .section
                .u64(self.sums_at.saturating_add(node.saturating_mul(8)))?;
            slot.finite = f64::from_bits(bits);
            if let Some(at) = self.flags_at {
                slot.flags = self.section.u8(at.saturating_add(node))?;
            }
            len += 1;
        }
        Ok(pairwise(sums.get(..len).unwrap_or_default()))
    }

    /// Bits that the part takes.
    pub(crate) fn size_bits(&self) -> u64 {
        self.section.len() * 8
    }
}

/// First node and number of nodes of each level of the tree.
struct Levels {
    next: Option<(u64, u64)>,
}

impl Levels {
    fn new(blocks: u64) -> Levels {
        Levels {
            next: Some((0, blocks)),
        }
    }
}

impl Iterator for Levels {
    type Item = (u64, u64);

    fn next(&mut self) -> Option<(u64, u64)> {
        let (first, nodes) = self.next?;
        self.next = (nodes > 1).then(|| (first.saturating_add(nodes), nodes.div_ceil(FAN)));
        Some((first, nodes))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn blocks_bounds_and_sums(codes in proptest::collection::vec(any::<u64>(), 0..9000), cut in (0.0f64..1.0, 0.0f64..1.0)) {
            let section = Section::from_vec(encode(&codes, 7, &Summands::Weights(&|p| codes[p])));
            let exact = Statistics::open(section, codes.len() as u64, true).unwrap();
            let floats: Vec<f64> = codes.iter().map(|&c| if c % 999 == 0 { f64::INFINITY } else { (c % 1000) as f64 }).collect();
            let section = Section::from_vec(encode(&codes, 7, &Summands::Floats(&|p| floats[p])));
            let tree = Statistics::open(section, codes.len() as u64, false).unwrap();
            let mut total = 0u128;
            for (block, chunk) in codes.chunks(128).enumerate() {
                prop_assert_eq!(exact.total(block as u64).unwrap(), total);
                total += chunk.iter().map(|&c| u128::from(c)).sum::<u128>();
                prop_assert_eq!(exact.total(block as u64 + 1).unwrap(), total);
                let bounds = (*chunk.iter().min().unwrap(), *chunk.iter().max().unwrap());
                prop_assert_eq!(exact.bounds(block as u64).unwrap(), bounds);
            }
            let blocks = codes.len().div_ceil(128) as f64;
            let (low, high) = ((cut.0 * blocks) as usize, (cut.1 * blocks) as usize);
            let (low, high) = (low.min(high), low.max(high));
            let mut want = FloatSum::default();
            floats[(low * 128).min(floats.len())..(high * 128).min(floats.len())].iter().for_each(|&f| want.push(f));
            let found = tree.float_sum(low as u64, high as u64).unwrap();
            prop_assert_eq!((found.finite, found.flags), (want.finite, want.flags));
        }
    }
}
