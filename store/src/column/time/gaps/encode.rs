//! Writes times as gaps.

use super::super::super::packed::{BitWriter, width_of};
use super::{
    BLOCK_ROWS, EQUAL, HEAD_BITS, MIDDLE, MOST_LOW_BITS, ROW_BITS, SAMPLE_STRIDE, WIDE, middle_bits,
};

/// How a run is written as gaps.
#[derive(Debug)]
pub(in super::super) struct Plan {
    blocks: Vec<BlockPlan>,
    least: u64,
    least_bits: u32,
    patch_bits: u32,
    stride: u64,
    bias: u64,
    place_bits: u32,
    /// Bits of all but the residuals of the blocks' first rows.
    pub(in super::super) bits: u64,
}

#[derive(Debug, Clone, Copy)]
struct BlockPlan {
    least: u64,
    low_bits: u32,
    patches: u32,
    bits: u64,
}

impl Plan {
    /// How to write sorted `units`; `None` if gaps do not suit them.
    pub(in super::super) fn new(units: &[i64]) -> Option<Plan> {
        // A smallest gap for each block, or one for all? A part of the blocks tells.
        let sample = || units.chunks(BLOCK_ROWS).step_by(SAMPLE_STRIDE);
        let least = units
            .windows(2)
            .map(|pair| pair[1].wrapping_sub(pair[0]) as u64)
            .min()?;
        let (mut own, mut common, mut lowest, mut highest) = (0, 0, u64::MAX, 0);
        for block in sample() {
            let plan = plan_block(block, None)?.0;
            (lowest, highest) = (lowest.min(plan.least), highest.max(plan.least));
            own += plan.bits;
            common += plan_block(block, Some(least))?.0.bits;
        }
        own += sample().count() as u64 * u64::from(width_of(highest - lowest));
        let least = (common < own).then_some(least);
        let mut blocks = Vec::with_capacity(units.len() / BLOCK_ROWS + 1);
        let mut widest = 0;
        for block in units.chunks(BLOCK_ROWS) {
            let (plan, wide) = plan_block(block, least)?;
            widest = widest.max(wide);
            blocks.push(plan);
        }
        let patch_bits = if blocks.iter().any(|block| block.patches > 0) {
            width_of(widest)
        } else {
            0
        };
        let least = blocks.iter().map(|block| block.least).min()?;
        let most = blocks.iter().map(|block| block.least).max()?;
        for block in &mut blocks {
            block.bits += u64::from(block.patches * (ROW_BITS + patch_bits));
        }
        let total: u64 = blocks.iter().map(|block| block.bits).sum();
        let stride = total / blocks.len() as u64;
        let (mut low, mut high, mut at) = (0i64, 0i64, 0u64);
        for (number, block) in (0u64..).zip(&blocks) {
            let place = at as i64 - (number * stride) as i64;
            (low, high) = (low.min(place), high.max(place));
            at += block.bits;
        }
        let bias = low.unsigned_abs();
        if stride >> 14 != 0 || bias >> 30 != 0 {
            return None;
        }
        let (least_bits, place_bits) = (width_of(most - least), width_of((high - low) as u64));
        let counts = if patch_bits > 0 { ROW_BITS } else { 0 };
        let entry = u64::from(least_bits + place_bits + 6 + counts);
        Some(Plan {
            bits: HEAD_BITS + total + entry * blocks.len() as u64,
            blocks,
            least,
            least_bits,
            patch_bits,
            stride,
            bias,
            place_bits,
        })
    }

    /// Appends the piece; `residuals` are those of the blocks' first rows, `width` bits each.
    pub(in super::super) fn write(&self, units: &[i64], residuals: &[u64], width: u32, out: &mut BitWriter) {
        let head = u64::from(self.place_bits)
            | u64::from(self.least_bits) << 6
            | u64::from(self.patch_bits) << 13
            | self.stride << 20
            | self.bias << 34;
        out.push(head, 64);
        out.push(self.least, 64);
        let mut at = self.bias;
        for (number, (block, residual)) in (0u64..).zip(self.blocks.iter().zip(residuals)) {
            out.push(*residual, width);
            out.push(at - number * self.stride, self.place_bits);
            out.push(block.least - self.least, self.least_bits);
            out.push(u64::from(block.low_bits), 6);
            if self.patch_bits > 0 {
                out.push(u64::from(block.patches), ROW_BITS);
            }
            at += block.bits;
        }
        for (block, rows) in self.blocks.iter().zip(units.chunks(BLOCK_ROWS)) {
            if block.low_bits < EQUAL {
                self.write_block(block, rows, out);
            }
        }
    }

    fn write_block(&self, block: &BlockPlan, rows: &[i64], out: &mut BitWriter) {
        let low_bits = block.low_bits;
        let mask = (1 << low_bits) - 1;
        let above = || gaps_of(rows).map(|gap| gap - block.least);
        let width = middle_bits(rows.len() - 1, low_bits);
        if width > 0 {
            out.push(above().take(MIDDLE).map(|gap| gap & mask).sum(), width);
        }
        for (row, high) in (1u64..).zip(above().map(|gap| gap >> low_bits)) {
            if high >= WIDE {
                out.push(row, ROW_BITS);
                out.push(high, self.patch_bits);
            }
        }
        for gap in above() {
            out.push(gap & mask, low_bits);
        }
        for high in above().map(|gap| gap >> low_bits) {
            let zeros = if high >= WIDE { 0 } else { high };
            #[expect(clippy::cast_possible_truncation, reason = "below 32")]
            out.push(1 << zeros, zeros as u32 + 1);
        }
    }
}

fn gaps_of(rows: &[i64]) -> impl Iterator<Item = u64> + '_ {
    rows.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]) as u64)
}

/// The cheapest k of a block above `least`, or its own smallest gap; and its widest patch.
fn plan_block(rows: &[i64], common: Option<u64>) -> Option<(BlockPlan, u64)> {
    let mut gaps = [0u64; BLOCK_ROWS];
    let count = rows.len() - 1;
    let (mut least, mut most) = (common.unwrap_or(u64::MAX), 0);
    for (slot, gap) in gaps.iter_mut().zip(gaps_of(rows)) {
        // A step back.
        if gap >> 63 != 0 {
            return None;
        }
        *slot = gap;
        (least, most) = (least.min(gap), most.max(gap));
    }
    let gaps = &mut gaps[..count];
    if count == 0 || least == most {
        // A block of one row may have any: one that another has.
        let least = common.unwrap_or(if count == 0 { 0 } else { least });
        let plan = BlockPlan {
            least,
            low_bits: EQUAL,
            patches: 0,
            bits: 0,
        };
        return Some((plan, 0));
    }
    for gap in gaps.iter_mut() {
        *gap -= least;
    }
    // Near the width of the mean of those that are not far away: from the mean of all, downwards.
    let mean = gaps.iter().map(|&gap| u128::from(gap)).sum::<u128>() / count as u128;
    let from = width_of(u64::try_from(mean).unwrap_or(u64::MAX)).min(MOST_LOW_BITS);
    let mut best: Option<(u64, u32)> = None;
    for low_bits in (0..=from).rev() {
        let mut bits = count as u64 * u64::from(low_bits + 1);
        for gap in gaps.iter() {
            let high = gap >> low_bits;
            bits += if high >= WIDE {
                u64::from(ROW_BITS + width_of(high))
            } else {
                high
            };
        }
        match best {
            Some((fewest, at)) if bits >= fewest => {
                if at > low_bits + 2 {
                    break;
                }
            }
            _ => best = Some((bits, low_bits)),
        }
    }
    let (_, low_bits) = best?;
    let highs = || gaps.iter().map(|gap| gap >> low_bits);
    let plan = BlockPlan {
        least,
        low_bits,
        patches: highs().map(|high| u32::from(high >= WIDE)).sum(),
        bits: count as u64 * u64::from(low_bits + 1)
            + u64::from(middle_bits(count, low_bits))
            + highs().filter(|&high| high < WIDE).sum::<u64>(),
    };
    Some((plan, highs().filter(|&high| high >= WIDE).max().unwrap_or(0)))
}
