//! Which form a block takes, and how it is written.

use super::block::{DELTA, MOST_PATCHES, PATCH_HEAD_BYTES, bits, bytes_of, step_bytes};
use super::lane::{BLOCK, Lane, WORD_BYTES, pack, with_lane, words};
use super::{HEADER_BYTES, TAIL_BYTES};
use crate::codes::simd::Isa;

/// How many numbers there are of each width.
type Widths = [u32; 65];

/// What a block is written as.
#[derive(Debug, Clone, Copy)]
struct Plan {
    low: u64,
    span: u64,
    delta: bool,
    width: u32,
    patches: usize,
    /// Added at each step between neighbours.
    step: u64,
    size_bytes: usize,
}

/// Encodes `codes`.
pub fn encode(codes: &[u64]) -> Vec<u8> {
    let isa = Isa::best();
    let (low, high) = isa.run(
        #[inline(always)]
        || min_max(codes),
    );
    let code_bytes = bytes_of(high - low);
    let mut data = Vec::with_capacity(codes.len());
    let mut lines = Vec::with_capacity(codes.len() / BLOCK + 1);
    for block in codes.chunks(BLOCK) {
        let plan = plan(isa, block, code_bytes);
        lines.push((plan, data.len() as u64));
        write(isa, block, &plan, code_bytes, &mut data);
    }
    // Offsets count from the section's start, which the width of offsets moves.
    let stride = |offset_bytes: u8| u64::from(offset_bytes) + 2 + 2 * u64::from(code_bytes);
    let start = |offset_bytes: u8| HEADER_BYTES + lines.len() as u64 * stride(offset_bytes);
    let offset_bytes = (0..=8)
        .find(|&bytes| bytes_of(start(bytes) + data.len() as u64) <= bytes)
        .unwrap_or(8);
    let mut out = Vec::with_capacity(crate::rows::index(start(offset_bytes)) + data.len() + TAIL_BYTES);
    for field in [codes.len() as u64, low, high - low] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out.extend_from_slice(&[code_bytes, offset_bytes, 0, 0, 0, 0, 0, 0]);
    for (plan, offset) in &lines {
        let at = start(offset_bytes) + offset;
        out.extend_from_slice(&at.to_le_bytes()[..usize::from(offset_bytes)]);
        #[expect(clippy::cast_possible_truncation, reason = "at most 64 and at most 255")]
        out.extend_from_slice(&[
            plan.width as u8 | if plan.delta { DELTA } else { 0 },
            plan.patches as u8,
        ]);
        for field in [plan.low - low, plan.span] {
            out.extend_from_slice(&field.to_le_bytes()[..usize::from(code_bytes)]);
        }
    }
    out.extend_from_slice(&data);
    out.resize(out.len() + TAIL_BYTES, 0);
    out
}

/// Bits a code of `pieces` in this layout, for a choice between layouts; each piece is some consecutive codes, best of
/// whole blocks.
pub fn estimate_bits(pieces: &[&[u64]]) -> f64 {
    let isa = Isa::best();
    let (mut low, mut high) = (u64::MAX, 0);
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        let (least, most) = min_max(piece);
        (low, high) = (low.min(least), high.max(most));
    }
    let code_bytes = bytes_of(high.saturating_sub(low));
    let (mut rows, mut bytes) = (0, 0.0);
    for block in pieces.iter().flat_map(|piece| piece.chunks(BLOCK)) {
        rows += block.len();
        let data = plan(isa, block, code_bytes).size_bytes as f64;
        // A line of the directory is shared by a whole block, whatever part of it was sampled.
        bytes += data + (5.0 + 2.0 * f64::from(code_bytes)) * block.len() as f64 / BLOCK as f64;
    }
    if rows == 0 { 0.0 } else { bytes * 8.0 / rows as f64 }
}

#[inline(always)]
fn min_max(codes: &[u64]) -> (u64, u64) {
    let Some(&first) = codes.first() else {
        return (0, 0);
    };
    codes.iter().fold((first, first), |(low, high), &code| {
        (low.min(code), high.max(code))
    })
}

/// The form of the fewest bytes.
fn plan(isa: Isa, codes: &[u64], code_bytes: u8) -> Plan {
    isa.run(
        #[inline(always)]
        || plan_here(codes, code_bytes),
    )
}

#[inline(always)]
fn plan_here(codes: &[u64], code_bytes: u8) -> Plan {
    let (low, high) = min_max(codes);
    let mut best = Plan {
        low,
        span: high - low,
        delta: false,
        width: 0,
        patches: 0,
        step: 0,
        size_bytes: 0,
    };
    let (Some(first), Some(last)) = (codes.first(), codes.last()) else {
        return best;
    };
    if low == high {
        return best;
    }
    let values = widths(codes.iter().map(
        #[inline(always)]
        |code| code - low,
    ));
    let (width, patches, size_bytes) = cheapest(&values, codes.len(), best.value_bits());
    (best.width, best.patches, best.size_bytes) = (width, patches, size_bytes);
    // Values are found at once, differences by a sum: for less than 1 part in 64 it is not worth it.
    let enough = best.size_bytes - best.size_bytes / 64;
    // Differences about their mean, so that a slope is free.
    let mean = (last.wrapping_sub(*first) as i64 / (codes.len() as i64 - 1)) as u64;
    let (mut least, mut most) = (i64::MAX, i64::MIN);
    let differences = widths(codes.windows(2).map(
        #[inline(always)]
        |pair| {
            let about = pair[1].wrapping_sub(pair[0]).wrapping_sub(mean) as i64;
            (least, most) = (least.min(about), most.max(about));
            (about << 1 ^ about >> 63) as u64
        },
    ));
    let head_bytes = usize::from(code_bytes) + usize::from(step_bytes(code_bytes));
    let limit = best.value_bits().min(63);
    let (width, patches, size_bytes) = cheapest(&differences, codes.len(), limit);
    let half = 1u64.checked_shl(width.wrapping_sub(1)).unwrap_or(0);
    if size_bytes.saturating_add(head_bytes) < enough {
        best = Plan {
            delta: true,
            width,
            patches,
            step: mean.wrapping_sub(half),
            size_bytes: size_bytes + head_bytes,
            ..best
        };
    }
    // All of them from the smallest on, without patches.
    let width = bits(most.wrapping_sub(least) as u64);
    let size_bytes = words(codes.len(), width) * WORD_BYTES + head_bytes;
    if width <= limit && size_bytes < best.size_bytes.min(enough) {
        best = Plan {
            delta: true,
            width,
            patches: 0,
            step: mean.wrapping_add(least as u64),
            size_bytes,
            ..best
        };
    }
    best
}

impl Plan {
    fn value_bits(&self) -> u32 {
        bits(self.span)
    }
}

#[inline(always)]
fn widths(numbers: impl Iterator<Item = u64>) -> Widths {
    // Two tables, since the same width comes often twice in a row.
    let mut tables = [[0u32; 65]; 2];
    let mut odd = 0;
    for number in numbers {
        tables[odd][bits(number) as usize] += 1;
        odd ^= 1;
    }
    let [mut sums, other] = tables;
    for (sum, more) in sums.iter_mut().zip(other) {
        *sum += more;
    }
    sums
}

/// The width up to `limit` at which numbers and patches take the fewest bytes, as (width, patches, bytes).
fn cheapest(widths: &Widths, count: usize, limit: u32) -> (u32, usize, usize) {
    let mut widest: Option<u32> = None;
    let mut best = (limit, 0, usize::MAX);
    let mut patches = 0;
    for (width, &numbers) in (0u32..65).zip(widths).rev() {
        if patches == 0 && numbers == 0 && width > 0 {
            continue;
        }
        if patches > MOST_PATCHES {
            break;
        }
        let high_bits = *widest.get_or_insert(width) - width;
        let mut size_bytes = words(count, width) * WORD_BYTES;
        if patches > 0 {
            size_bytes += PATCH_HEAD_BYTES + patches + (patches * high_bits as usize).div_ceil(8);
        }
        if size_bytes < best.2 && width <= limit {
            best = (width, patches, size_bytes);
        }
        patches += numbers as usize;
    }
    best
}

/// Appends the block.
fn write(isa: Isa, codes: &[u64], plan: &Plan, code_bytes: u8, out: &mut Vec<u8>) {
    if plan.delta {
        let first = codes.first().map_or(0, |first| first - plan.low);
        out.extend_from_slice(&first.to_le_bytes()[..usize::from(code_bytes)]);
        out.extend_from_slice(&plan.step.to_le_bytes()[..usize::from(step_bytes(code_bytes))]);
    }
    with_lane!(plan.width, T => isa.run(#[inline(always)] || write_words::<T>(codes, plan, out)));
    if plan.patches > 0 {
        write_patches(codes, plan, out);
    }
}

/// What is packed at each place of a block, before it is cut to its width.
#[inline(always)]
fn for_values(codes: &[u64], plan: &Plan, mut each: impl FnMut(usize, u64)) {
    if plan.delta {
        for (index, pair) in codes.windows(2).enumerate() {
            each(index + 1, pair[1].wrapping_sub(pair[0]).wrapping_sub(plan.step));
        }
    } else {
        for (index, code) in codes.iter().enumerate() {
            each(index, code - plan.low);
        }
    }
}

#[inline(always)]
fn write_words<T: Lane>(codes: &[u64], plan: &Plan, out: &mut Vec<u8>) {
    if plan.width == 0 {
        return;
    }
    let mask = u64::MAX >> (64 - plan.width);
    let mut values = [T::default(); BLOCK];
    if plan.delta {
        for (value, pair) in values[1..].iter_mut().zip(codes.windows(2)) {
            *value = T::of(pair[1].wrapping_sub(pair[0]).wrapping_sub(plan.step) & mask);
        }
    } else {
        for (value, code) in values.iter_mut().zip(codes) {
            *value = T::of(code.wrapping_sub(plan.low) & mask);
        }
    }
    pack(&values, codes.len(), plan.width, out);
}

fn write_patches(codes: &[u64], plan: &Plan, out: &mut Vec<u8>) {
    let mut places = Vec::with_capacity(plan.patches);
    let mut highs = Vec::with_capacity(plan.patches);
    let mut ends = [0u8; 4];
    for_values(codes, plan, |index, value| {
        let high = if plan.delta {
            ((value as i64) >> plan.width) as u64
        } else {
            value >> plan.width
        };
        if high != 0 {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the place in its quarter; at most 255 patches"
            )]
            let (place, end) = (index as u8, highs.len() as u8 + 1);
            places.push(place);
            highs.push(high);
            for later in ends.iter_mut().skip(index / 256) {
                *later = end;
            }
        }
    });
    debug_assert_eq!(highs.len(), plan.patches, "the planned patches");
    let width = highs
        .iter()
        .map(|&high| {
            if plan.delta {
                bits((high as i64 >> 63) as u64 ^ high) + 1
            } else {
                bits(high)
            }
        })
        .max()
        .unwrap_or(0);
    let [one, two, three, _] = ends;
    #[expect(clippy::cast_possible_truncation, reason = "at most 64")]
    out.extend_from_slice(&[width as u8, one, two, three]);
    out.extend_from_slice(&places);
    let (mut sum, mut filled) = (0u128, 0);
    for high in highs {
        sum |= u128::from(high & (u64::MAX >> (64 - width))) << filled;
        filled += width;
        while filled >= 8 {
            out.extend_from_slice(&sum.to_le_bytes()[..1]);
            sum >>= 8;
            filled -= 8;
        }
    }
    if filled > 0 {
        out.extend_from_slice(&sum.to_le_bytes()[..1]);
    }
}
