//! Block statistics: smallest and largest code of each block, and what sums and variances of any range take.
//!
//! A *block* is `2^block_bits` code positions, a *step* `2^step_bits`. Sums come in two forms. *Exact*: one unsigned
//! weight a position (integers: their distance from the base in steps; decimals: their unit; exceptions all the same
//! `blank`), with running totals of weights at each step and of their squares at each block, so that the sum of a range
//! is two totals and at most two partial steps. *Tree*: the floats of each step added in row order, then sixteen sums at
//! a time added pairwise, level by level; a range is the sum of O(16 log steps) nodes, which are added and never
//! subtracted. Sums of squared distances from the mean are a tree of the same kind over blocks. Values that are not
//! finite are left out of the sums and kept as three flags a node.
//!
//! ```text
//! offset  width  field
//!      0      1  form         1 exact, 2 tree
//!      1      1  step_bits    7 to block_bits
//!      2      1  block_bits   7 to 16
//!      3      1  low_width    bits of a smallest code; 0 to 64
//!      4      1  span_width   bits of largest minus smallest code of a block; 0 to 64
//!      5      1  group_width  the same of a group of 32 blocks
//!      6      1  flags        1 exact: totals of squares follow; tree: node flags follow
//!                             2 a block has only exceptions: bounds say nothing
//!      7      1  zero
//!      8      8  n            number of positions
//!     16      8  blank        exact: weight of each exception; tree: 0
//!     24      8  between_bits exact: bits of the totals between blocks; tree: 0
//!     32      -  exact: a line (see `statistics/line.rs`) for totals after each block; with flag 1, one for totals of
//!                squares; if step_bits < block_bits, one for where each block's totals between begin
//!      -      -  packed bits: smallest codes of blocks; spans of blocks; smallest codes of whole groups of 32 blocks;
//!                spans of those; residuals of each line; totals between blocks; then zeros up to a byte, 16 zero bytes,
//!                and in the tree form zeros up to a multiple of 8
//!      -      -  tree: level 0 (one float64 a step), level 1 (one for each 16 nodes begun of level 0), and so on up to
//!                a level of one node; the same of squared distances, level 0 being one a block; then, with flag 1, one
//!                byte a node of the first tree in the same order: 1 NaN, 2 +inf, 4 -inf
//! ```
//!
//! *Totals between* of a block whose weights sum to S over m positions: 7 bits w, then for each step border inside, i
//! positions from the block's start, the zigzag of (total up to there - floor(S * i / m)) in w bits.

#![allow(clippy::cast_possible_truncation, reason = "widths are at most 128")]

use crate::error::Result;
use crate::section::Section;

use super::moments::{FloatSum, Moments, pairwise};
use super::packed::{PADDING_BYTES, read_in, read_wide};

mod encode;
mod line;
#[cfg(test)]
mod tests;

pub(crate) use encode::{Shape, Summands, encode};
use line::{LINE_BYTES, Line};

const HEADER_BYTES: u64 = 32;
const EXACT: u8 = 1;
const TREE: u8 = 2;
/// Default block and step: 1,024 positions.
pub(crate) const BLOCK_BITS: u8 = 10;
/// Smallest step: 128 positions.
pub(crate) const FINEST_STEP_BITS: u8 = 7;
/// Flag: totals of squares, or flags of nodes, follow.
const MORE: u8 = 1;
/// Flag: some block holds nothing but exceptions.
const VOID: u8 = 2;
/// Blocks of a group.
const GROUP: u64 = 32;
/// Nodes added into one of the next level.
const FAN: u64 = FAN_OUT as u64;
const FAN_OUT: usize = 16;
/// Bits of the width of totals between.
const WIDTH_BITS: u32 = 7;

/// The read side.
#[derive(Debug)]
pub(crate) struct Statistics {
    section: Section,
    len: u64,
    exact: bool,
    step_bits: u8,
    block_bits: u8,
    has_void: bool,
    blank: u64,
    blocks: u64,
    low_width: u32,
    span_width: u32,
    group_width: u32,
    /// First byte of the packed bits, and in them the first bit of what follows the smallest codes of blocks.
    packed: u64,
    spans_at: u64,
    group_lows_at: u64,
    group_spans_at: u64,
    totals: Line,
    squares: Option<Line>,
    /// Where each block's totals between begin, counted from the bit beside.
    between: Option<(Line, u64)>,
    /// First byte of the tree of sums, of that of squared distances, and of the flags.
    sums_at: u64,
    distances_at: u64,
    flags_at: Option<u64>,
}

impl Statistics {
    /// Opens the statistics of `len` positions in the wanted form.
    pub(crate) fn open(section: Section, len: u64, exact: bool) -> Result<Statistics> {
        let [
            form,
            step_bits,
            block_bits,
            low_width,
            span_width,
            group_width,
            flags,
            zero,
        ] = section.array::<8>(0)?;
        let sound = form == if exact { EXACT } else { TREE }
            && (FINEST_STEP_BITS..=16).contains(&block_bits)
            && (FINEST_STEP_BITS..=block_bits).contains(&step_bits)
            && low_width.max(span_width).max(group_width) <= 64
            && flags <= MORE | VOID
            && zero == 0
            && section.u64(8)? == len
            && (exact || (section.u64(16)? == 0 && section.u64(24)? == 0));
        if !sound {
            return Err(section.corrupt(0, format!("these are no statistics of {len} codes")));
        }
        let blocks = len.div_ceil(1 << block_bits);
        let mut statistics = Statistics {
            len,
            exact,
            step_bits,
            block_bits,
            has_void: flags & VOID != 0,
            blank: section.u64(16)?,
            blocks,
            low_width: low_width.into(),
            span_width: span_width.into(),
            group_width: group_width.into(),
            packed: HEADER_BYTES,
            spans_at: 0,
            group_lows_at: 0,
            group_spans_at: 0,
            totals: Line::default(),
            squares: None,
            between: None,
            sums_at: 0,
            distances_at: 0,
            flags_at: None,
            section,
        };
        let more = flags & MORE != 0;
        let end = statistics.lay_out(more);
        if end != Some(statistics.section.len()) {
            let what = format!("{blocks} blocks do not fit {} bytes", statistics.section.len());
            return Err(statistics.section.corrupt(8, what));
        }
        Ok(statistics)
    }

    /// Finds the places of everything but lines; gives the end of the section, if it can be told.
    fn lay_out(&mut self, more: bool) -> Option<u64> {
        let groups = self.blocks / GROUP;
        self.spans_at = self.blocks.checked_mul(self.low_width.into())?;
        self.group_lows_at = self
            .spans_at
            .checked_add(self.blocks.checked_mul(self.span_width.into())?)?;
        self.group_spans_at = self
            .group_lows_at
            .checked_add(groups.checked_mul(self.low_width.into())?)?;
        let mut bits = self
            .group_spans_at
            .checked_add(groups.checked_mul(self.group_width.into())?)?;
        if self.exact {
            let has_between = self.step_bits < self.block_bits;
            let lines = 1 + u64::from(more) + u64::from(has_between);
            self.packed = HEADER_BYTES + lines * LINE_BYTES;
            for index in 0..lines {
                let mut line = Line::open(&self.section, HEADER_BYTES + index * LINE_BYTES).ok()?;
                line.at = bits;
                bits = bits.checked_add(line.bits(self.blocks)?)?;
                match index {
                    0 => self.totals = line,
                    1 if more => self.squares = Some(line),
                    _ => self.between = Some((line, 0)),
                }
            }
            if let Some((_, first)) = &mut self.between {
                *first = bits;
            }
            let between = self.section.u64(24).ok()?;
            if !has_between && between != 0 {
                return None;
            }
            bits = bits.checked_add(between)?;
        }
        let end = self
            .packed
            .checked_add(bits.div_ceil(8))?
            .checked_add(PADDING_BYTES)?;
        if self.exact {
            return Some(end);
        }
        let nodes = |count: u64| {
            Levels::new(count)
                .map(|(_, nodes)| nodes)
                .fold(0u64, u64::saturating_add)
        };
        let steps = nodes(self.steps());
        self.sums_at = end.checked_next_multiple_of(8)?;
        self.distances_at = self.sums_at.checked_add(steps.checked_mul(8)?)?;
        let end = self
            .distances_at
            .checked_add(nodes(self.blocks).checked_mul(8)?)?;
        self.flags_at = more.then_some(end);
        end.checked_add(if more { steps } else { 0 })
    }

    fn steps(&self) -> u64 {
        self.len.div_ceil(1 << self.step_bits)
    }

    /// Whether sums are exact totals.
    pub(crate) fn is_exact(&self) -> bool {
        self.exact
    }

    /// Positions of a block, as a power of two.
    pub(crate) fn block_bits(&self) -> u32 {
        self.block_bits.into()
    }

    /// Positions of a step, as a power of two.
    pub(crate) fn step_bits(&self) -> u32 {
        self.step_bits.into()
    }

    /// Weight of each exception.
    pub(crate) fn blank(&self) -> u64 {
        self.blank
    }

    /// Smallest and largest code of blocks `low..high`, exceptions left out; `None` without blocks, or if the bounds
    /// of some block are not known.
    pub(crate) fn bounds(&self, mut low: u64, high: u64) -> Result<Option<(u64, u64)>> {
        let high = high.min(self.blocks);
        if low >= high || self.has_void {
            return Ok(None);
        }
        let view = self.section.view();
        let mut found = (u64::MAX, 0);
        let mut add = |lows_at: u64, spans_at: u64, width: u32, index: u64| -> Result<()> {
            let at = lows_at.saturating_add(index.saturating_mul(self.low_width.into()));
            let low = read_in(&view, self.packed, at, self.low_width)?;
            let at = spans_at.saturating_add(index.saturating_mul(width.into()));
            let span = read_in(&view, self.packed, at, width)?;
            found = (found.0.min(low), found.1.max(low.saturating_add(span)));
            Ok(())
        };
        while low < high {
            if low % GROUP == 0 && high - low >= GROUP {
                add(
                    self.group_lows_at,
                    self.group_spans_at,
                    self.group_width,
                    low / GROUP,
                )?;
                low += GROUP;
            } else {
                add(0, self.spans_at, self.span_width, low)?;
                low += 1;
            }
        }
        Ok(Some(found))
    }

    /// Total weight of the first `blocks` blocks (exact form).
    pub(crate) fn total(&self, blocks: u64) -> Result<u128> {
        match blocks.min(self.blocks).checked_sub(1) {
            None => Ok(0),
            Some(block) => self.totals.value(&self.section.view(), self.packed, block),
        }
    }

    /// Whether totals of squares are kept (exact form).
    pub(crate) fn has_squares(&self) -> bool {
        self.squares.is_some()
    }

    /// Total of the squared weights of the first `blocks` blocks, modulo 2^128 (exact form).
    pub(crate) fn total_of_squares(&self, blocks: u64) -> Result<u128> {
        match (blocks.min(self.blocks).checked_sub(1), &self.squares) {
            (Some(block), Some(line)) => line.value(&self.section.view(), self.packed, block),
            _ => Ok(0),
        }
    }

    /// The step border nearest to `position`, and the total weight before it (exact form).
    pub(crate) fn total_near(&self, position: u64) -> Result<(u64, u128)> {
        let block = position >> self.block_bits;
        let start = block << self.block_bits;
        let end = (start + (1 << self.block_bits)).min(self.len);
        let left = position >> self.step_bits << self.step_bits;
        let right = (left + (1 << self.step_bits)).min(end);
        let border = if position - left <= right.saturating_sub(position) {
            left
        } else {
            right
        };
        if border == start {
            return Ok((border, self.total(block)?));
        }
        let last = self.total(block + 1)?;
        let Some((line, first)) = self.between.as_ref().filter(|_| border < end) else {
            return Ok((border, last));
        };
        let before = self.total(block)?;
        let view = self.section.view();
        let at = line.value(&view, self.packed, block)? as u64;
        let at = first.saturating_add(at);
        let width = read_in(&view, self.packed, at, WIDTH_BITS)? as u32;
        let index = ((border - start) >> self.step_bits) - 1;
        let at = at
            .saturating_add(WIDTH_BITS.into())
            .saturating_add(index * u64::from(width));
        let off = read_wide(&view, self.packed, at, width)?;
        let even = interpolate(last.wrapping_sub(before), border - start, end - start);
        let total = before
            .wrapping_add(even)
            .wrapping_add(off >> 1 ^ 0u128.wrapping_sub(off & 1));
        Ok((border, total))
    }

    /// Sum of steps `low..high` (tree form).
    pub(crate) fn float_sum(&self, mut low: u64, mut high: u64) -> Result<FloatSum> {
        let mut sum = FloatSum::default();
        let steps = self.steps();
        high = high.min(steps);
        for (first, _) in Levels::new(steps) {
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
            slot.finite = self.float(self.sums_at, node)?;
            if let Some(at) = self.flags_at {
                slot.flags = self.section.u8(at.saturating_add(node))?;
            }
            len += 1;
        }
        Ok(pairwise(sums.get(..len).unwrap_or_default()))
    }

    /// Moments of blocks `low..high` (tree form).
    pub(crate) fn moments(&self, mut low: u64, mut high: u64) -> Result<Moments> {
        let mut all = Moments::default();
        high = high.min(self.blocks);
        let mut bits = 0;
        for (first, _) in Levels::new(self.blocks) {
            if low >= high {
                break;
            }
            let (up, down) = (low.div_ceil(FAN), high / FAN);
            let last = up >= down;
            let ends = if last {
                [low..high, high..high]
            } else {
                [low..up * FAN, down * FAN..high]
            };
            for node in ends.into_iter().flatten() {
                all = all.merge(self.node_moments(first, node, bits)?);
            }
            if last {
                break;
            }
            (low, high) = (up, down);
            bits += FAN.trailing_zeros();
        }
        Ok(all)
    }

    /// Moments of node `node` of the level whose first node is `first` and whose nodes hold `2^bits` blocks.
    fn node_moments(&self, first: u64, node: u64, bits: u32) -> Result<Moments> {
        let blocks = node << bits..((node + 1) << bits).min(self.blocks);
        let to_steps = self.block_bits - self.step_bits;
        let sum = self.float_sum(blocks.start << to_steps, blocks.end << to_steps)?;
        let rows = (blocks.end << self.block_bits)
            .min(self.len)
            .saturating_sub(blocks.start << self.block_bits);
        let squares = self.float(self.distances_at, first.saturating_add(node))?;
        Ok(Moments {
            count: rows,
            mean: sum.value() / rows as f64,
            squares: if sum.flags == 0 { squares } else { f64::NAN },
        })
    }

    fn float(&self, start: u64, node: u64) -> Result<f64> {
        let bits = self.section.u64(start.saturating_add(node.saturating_mul(8)))?;
        Ok(f64::from_bits(bits))
    }

    /// Bits that the part takes.
    pub(crate) fn size_bits(&self) -> u64 {
        self.section.len() * 8
    }
}

/// `floor(total * part / whole)`.
fn interpolate(total: u128, part: u64, whole: u64) -> u128 {
    // Split, so that nothing overflows: totals of a block are below 2^80 where bytes are sound.
    let whole = u128::from(whole.max(1));
    let part = u128::from(part);
    (total / whole)
        .wrapping_mul(part)
        .wrapping_add((total % whole).wrapping_mul(part) / whole)
}

/// First node and number of nodes of each level of the tree.
struct Levels {
    next: Option<(u64, u64)>,
}

impl Levels {
    fn new(leaves: u64) -> Levels {
        Levels {
            next: Some((0, leaves)),
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
