//! The write side: choosing the number of levels, sorting level by level, packing planes.

#![allow(
    clippy::cast_possible_truncation,
    reason = "elements are narrowed to the bits they have"
)]

use super::HEADER_BYTES;
use super::sort::{Element, Sorter};
use super::top;
use crate::bits::words::transpose;
use crate::bits::{TAIL_BYTES, vector};
use crate::codes::simd::Path;

/// Rows that the choice of levels looks at.
const SAMPLE_ROWS: usize = 32 * 1024;
/// Consecutive stretches that the sample is taken from.
const SAMPLE_PIECES: usize = 4;
/// Rows of the fullest leaf times planes, above which a scan of the leaf would cost more than another level.
const LEAF_PLANE_ROWS: u64 = 96 * 1024;
/// Planes that count for it: after so many hardly a row is in question.
const LEAF_PLANES: u32 = 8;
/// Bits of the histogram that finds the fullest leaf.
const HISTOGRAM_BITS: u32 = 16;
/// Nanoseconds that an access spends in a coded level or plane, in a plain level, and in a raw plane (about).
const CODED_NS: f64 = 40.0;
const RAW_NS: f64 = 22.0;
const PLANE_NS: f64 = 1.5;
/// The same in the top, however many bits it has.
const TOP_NS: f64 = 38.0;
/// Rows from which on there may be a top: its tables take a few hundred bytes in any column.
const FEWEST_TOP_ROWS: usize = 16 * 1024;
/// What a coded plane costs more than a coded level: a leaf is scanned and decoded more slowly with one.
const CODED_PLANE_NS: f64 = 8.0;
/// Nanoseconds that a decode of some ten thousand rows spends for each node and level that they touch.
const NODE_NS: f64 = 12.0;
/// Nanoseconds a row that such a decode may take for that.
const DECODE_NS: f64 = 4.0;
/// Nanoseconds of an access that one more nanosecond a row of such a decode counts for.
const ACCESS_NS_A_DECODE_NS: f64 = 150.0;

/// The dial between small and fast: the share of a column's size that a nanosecond of one access is worth.
///
/// Every choice of the encoder, from the number of levels down to the form of a block, has the least sum of bits and
/// priced nanoseconds. It is a share, so that a hundred nanoseconds are worth the same part of a column of 2 bits a code
/// and of one of 40.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Price {
    share_per_ns: f64,
}

impl Price {
    /// A hundred nanoseconds are worth 1 % of the size.
    pub const SMALL: Price = Price { share_per_ns: 0.0001 };
    /// A hundred nanoseconds are worth 3.5 % of the size: what [`encode`] takes.
    pub const BALANCED: Price = Price {
        share_per_ns: 0.000_35,
    };
    /// A hundred nanoseconds are worth 15 % of the size, and order statistics may scan larger leaves.
    pub const FAST: Price = Price { share_per_ns: 0.0015 };

    /// A nanosecond is worth `share_per_ns` of the size; negative shares and those that are not a number count as 0.
    pub fn new(share_per_ns: f64) -> Price {
        Price {
            share_per_ns: share_per_ns.clamp(0.0, 1.0).max(0.0),
        }
    }

    /// Bits a code that a nanosecond is worth in a column of `size` bits a code.
    fn bits_per_ns(self, size: f64) -> f64 {
        self.share_per_ns * size
    }

    /// Rows of the fullest leaf times planes, up to which a leaf may be scanned.
    fn leaf_plane_rows(self) -> u64 {
        let more = self.share_per_ns / Price::BALANCED.share_per_ns;
        (LEAF_PLANE_ROWS as f64 * more.clamp(1.0, 4.0)) as u64
    }
}

/// Encodes codes at [`Price::BALANCED`].
///
/// # Panics
/// From 2^31 codes on (16 GiB of them): a segment is far smaller.
pub fn encode(codes: &[u64]) -> Vec<u8> {
    encode_with(codes, Price::BALANCED)
}

/// Encodes codes.
///
/// # Panics
/// See [`encode`].
pub fn encode_with(codes: &[u64], price: Price) -> Vec<u8> {
    assert!(
        codes.len() >> 31 == 0,
        "a column of a segment has fewer than 2^31 codes"
    );
    let (base, largest) = codes.iter().fold((u64::MAX, 0), |(low, high), &code| {
        (low.min(code), high.max(code))
    });
    let base = if codes.is_empty() { 0 } else { base };
    let span = largest - base;
    match 64 - span.leading_zeros() {
        0..=8 => build::<u8>(codes, base, span, price),
        9..=16 => build::<u16>(codes, base, span, price),
        17..=32 => build::<u32>(codes, base, span, price),
        _ => build::<u64>(codes, base, span, price),
    }
}

/// Bits at the top, planes, and which of these are bit vectors; the bits between are levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    top: u32,
    planes: u32,
    coded: u64,
}

fn build<T: Element>(codes: &[u64], base: u64, span: u64, price: Price) -> Vec<u8> {
    let bits = 64 - span.leading_zeros();
    let narrow = codes.iter().map(|&code| T::narrow(code - base));
    let mut sorter = Sorter::new(Path::best(), narrow, codes.len());
    let (shape, worth) = choose(sorter.order(), bits, price);
    let len = codes.len() as u64;
    let offsets = u32::from(shape.top > 0) + bits - shape.top - shape.planes + shape.coded.count_ones();
    let mut out = vec![0; HEADER_BYTES as usize + 8 * offsets as usize];
    let mut table = HEADER_BYTES as usize;
    let mut top_end = 0;
    if shape.top > 0 {
        let start = out.len() as u64;
        out[table..table + 8].copy_from_slice(&start.to_le_bytes());
        table += 8;
        top::encode(&symbols(sorter.order(), bits, shape.top), shape.top, &mut out);
        top_end = out.len() + top::UNIT_WINDOW;
        // Bit after bit from the lowest: sorted by the symbol.
        for bit in bits - shape.top..bits {
            sorter.level(bit);
        }
    }
    let mut add = |out: &mut Vec<u8>, level_bits: &[u64]| {
        out.resize(out.len().next_multiple_of(8), 0);
        let start = out.len() as u64;
        out[table..table + 8].copy_from_slice(&start.to_le_bytes());
        table += 8;
        vector::encode_with(level_bits, len, worth, out);
    };
    for bit in (shape.planes..bits - shape.top).rev() {
        add(&mut out, sorter.level(bit));
    }
    for plane in (0..shape.planes)
        .rev()
        .filter(|&plane| shape.coded >> plane & 1 == 1)
    {
        add(&mut out, sorter.plane(plane));
    }
    out.resize(out.len().next_multiple_of(64), 0);
    let raw = out.len() as u64;
    pack_planes(sorter.order(), shape, &mut out);
    out.resize((out.len() + TAIL_BYTES).max(top_end), 0);
    out[0..8].copy_from_slice(&len.to_le_bytes());
    out[8..16].copy_from_slice(&base.to_le_bytes());
    out[16..24].copy_from_slice(&span.to_le_bytes());
    out[24] = bits as u8;
    out[25] = shape.planes as u8;
    out[27] = shape.top as u8;
    out[32..40].copy_from_slice(&shape.coded.to_le_bytes());
    out[40..48].copy_from_slice(&raw.to_le_bytes());
    out
}

/// The highest `top` of `bits` bits of each code.
fn symbols<T: Element>(codes: &[T], bits: u32, top: u32) -> Vec<u8> {
    let shift = bits - top;
    codes.iter().map(|code| (code.wide() >> shift) as u8).collect()
}

/// Appends the raw planes, side by side for each 64 rows.
fn pack_planes<T: Element>(order: &[T], shape: Shape, out: &mut Vec<u8>) {
    let raw: Vec<u32> = (0..shape.planes)
        .rev()
        .filter(|&plane| shape.coded >> plane & 1 == 0)
        .collect();
    let bytes = shape.planes.div_ceil(8) as usize;
    out.reserve(order.len().div_ceil(64) * raw.len() * 8 + TAIL_BYTES);
    for group in order.chunks(64) {
        // Planes 8 * i to 8 * i + 7 come from byte i of the elements, 8 rows at a time.
        let mut words = [0u64; 64];
        for byte in 0..bytes {
            for (eight, rows) in group.chunks(8).enumerate() {
                let mut square = 0u64;
                for (row, element) in rows.iter().enumerate() {
                    square |= (element.wide() >> (8 * byte) & 0xff) << (8 * row);
                }
                let planes = transpose(square);
                for plane in 0..8 {
                    words[byte * 8 + plane] |= (planes >> (8 * plane) & 0xff) << (8 * eight);
                }
            }
        }
        for &plane in &raw {
            out.extend_from_slice(&words[plane as usize].to_le_bytes());
        }
    }
}

/// The number of planes with the lowest price in bits and nanoseconds, among those that keep leaves small, and the bits
/// that a nanosecond is worth.
fn choose<T: Element>(codes: &[T], bits: u32, price: Price) -> (Shape, f64) {
    if bits == 0 || codes.is_empty() {
        let shape = Shape {
            top: 0,
            planes: bits,
            coded: 0,
        };
        return (shape, 0.0);
    }
    let fewest = fewest_levels(codes, bits, price.leaf_plane_rows());
    let order = sample(codes);
    let len = order.len() as u64;
    let tops = estimate_tops(&order, codes.len(), bits);
    let mut sorter = Sorter::new(Path::best(), order.iter().copied(), order.len());
    // The forms of blocks hardly change with the price, so sizes are estimated at a middle one.
    let part = |(bytes, raw): (u64, bool)| Cost {
        bits: bytes as f64 * 8.0 / len as f64,
        ns: if raw { RAW_NS } else { CODED_NS },
    };
    let raw_plane = Cost {
        bits: 1.0,
        ns: PLANE_NS,
    };
    // Costs of bit `bit` as a level, and as a bit vector below `fewest` levels.
    let mut levels = vec![raw_plane; bits as usize];
    let mut vectors = vec![raw_plane; bits as usize];
    let mut nodes = vec![0; bits as usize];
    for bit in (0..bits).rev() {
        if bits - 1 - bit == fewest {
            for plane in 0..=bit {
                let found = part(vector::estimate(sorter.plane(plane), len, vector::BITS_PER_NS));
                vectors[plane as usize] = Cost {
                    ns: found.ns + CODED_PLANE_NS,
                    ..found
                };
            }
        }
        // Nodes of this level are stretches of rows with equal bits above.
        nodes[bit as usize] = count_nodes(sorter.order(), bit + 1);
        levels[bit as usize] = part(vector::estimate(sorter.level(bit), len, vector::BITS_PER_NS));
    }
    let least: f64 = levels.iter().map(|level| level.bits.min(1.0)).sum();
    let worth = price.bits_per_ns(least);
    let is_coded = |plane: usize| vectors[plane].price(worth) < raw_plane.price(worth);
    let mut best = (f64::INFINITY, 0, 0);
    for planes in 0..=bits - fewest {
        let low: f64 = (0..planes as usize)
            .map(|bit| match is_coded(bit) {
                true => vectors[bit].price(worth),
                false => raw_plane.price(worth),
            })
            .sum();
        for (top, cost) in (0..).zip(&tops).take((bits - planes) as usize + 1) {
            let between = planes as usize..(bits - top) as usize;
            let price = low
                + cost.price(worth)
                + levels[between.clone()]
                    .iter()
                    .map(|level| level.price(worth))
                    .sum::<f64>()
                + decode_excess(&nodes[between], len) * worth;
            // On a tie the wider planes win: they are decoded faster.
            if price <= best.0 {
                best = (price, planes, top);
            }
        }
    }
    let (_, planes, top) = best;
    let coded = (0..planes)
        .filter(|&plane| is_coded(plane as usize))
        .fold(0, |mask, plane| mask | 1 << plane);
    (Shape { top, planes, coded }, worth)
}

/// Costs of a top of 0, 1, ... bits, as far as it is coded by runs.
fn estimate_tops<T: Element>(order: &[T], rows: usize, bits: u32) -> Vec<Cost> {
    let mut costs = vec![Cost { bits: 0.0, ns: 0.0 }];
    if rows < FEWEST_TOP_ROWS {
        return costs;
    }
    for count in 1..=bits.min(top::MAX_BITS) {
        let plans = top::Plans::of(&symbols(order, bits, count), count);
        if plans.packed * 4 > plans.units {
            break;
        }
        costs.push(Cost {
            bits: plans.bytes as f64 * 8.0 / order.len() as f64,
            ns: TOP_NS,
        });
    }
    costs
}

/// What one bit of a code costs.
#[derive(Debug, Clone, Copy)]
struct Cost {
    bits: f64,
    ns: f64,
}

impl Cost {
    fn price(self, worth: f64) -> f64 {
        self.bits + self.ns * worth
    }
}

/// Stretches of codes that agree from bit `bit` on.
fn count_nodes<T: Element>(order: &[T], bit: u32) -> u64 {
    let top = |code: &T| code.wide().checked_shr(bit).unwrap_or(0);
    let differ = order.windows(2).filter(|pair| top(&pair[0]) != top(&pair[1]));
    differ.count() as u64 + 1
}

/// Nanoseconds that slow decoding of stretches counts for, with these nodes a level.
fn decode_excess(nodes: &[u64], rows: u64) -> f64 {
    let ns = nodes.iter().sum::<u64>() as f64 / rows as f64 * NODE_NS;
    (ns - DECODE_NS).max(0.0) * ACCESS_NS_A_DECODE_NS
}

/// Fewest levels with which no leaf is too full to be scanned.
fn fewest_levels<T: Element>(codes: &[T], bits: u32, leaf_plane_rows: u64) -> u32 {
    let kept = bits.min(HISTOGRAM_BITS);
    let mut counts = vec![0u32; 1 << kept];
    for code in codes {
        counts[(code.wide() >> (bits - kept)) as usize] += 1;
    }
    let mut fewest = bits;
    for levels in (0..=kept).rev() {
        let fullest = u64::from(counts.iter().copied().max().unwrap_or(0));
        if fullest * u64::from((bits - levels).min(LEAF_PLANES)) <= leaf_plane_rows {
            fewest = levels;
        } else {
            break;
        }
        counts = counts.chunks(2).map(|pair| pair.iter().sum()).collect();
    }
    fewest
}

/// All codes if they are few, else some stretches of them.
fn sample<T: Element>(codes: &[T]) -> Vec<T> {
    if codes.len() <= 2 * SAMPLE_ROWS {
        return codes.to_vec();
    }
    let length = SAMPLE_ROWS / SAMPLE_PIECES;
    let gap = (codes.len() - length) / (SAMPLE_PIECES - 1);
    (0..SAMPLE_PIECES)
        .flat_map(|piece| codes[piece * gap..piece * gap + length].iter().copied())
        .collect()
}
