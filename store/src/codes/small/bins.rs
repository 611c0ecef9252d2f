//! Bins: what of a residual is entropy-coded. A bin is an interval of residuals, a power of two wide; its Huffman code stands
//! for it, and the place inside follows as plain bits.
//!
//! Bins are fitted to a histogram: it is cut into at most 256 pieces of about the same number of rows (fewer where a value is
//! frequent), and neighbours are joined by dynamic programming over estimated bits. Residuals are compared as `i64`.

use super::bits::{BitReader, BitWriter};
use super::huffman;

/// Most bins of a table.
pub(super) const MOST_BINS: usize = 256;

/// Residuals that are sorted at most; of more, that are too far apart to be counted one by one, some are taken.
const SORTED_RESIDUALS: usize = 16 * 1024;

/// How often residuals occur.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Histogram {
    /// Residuals in order, each with its number of rows.
    entries: Vec<(i64, u32)>,
    /// Rows that each row here stands for.
    scale: usize,
}

/// Counts the residuals of these streams. If they are too many and too far apart, one of so many is counted, and the least and the greatest.
pub(super) fn histogram(streams: &[&[i64]]) -> Histogram {
    let residuals = || streams.iter().flat_map(|stream| stream.iter().copied());
    let (low, high) = residuals().fold((i64::MAX, i64::MIN), |(low, high), r| (r.min(low), r.max(high)));
    if low > high {
        return Histogram::default();
    }
    let count: usize = streams.iter().map(|stream| stream.len()).sum();
    let span = high.wrapping_sub(low) as u64;
    if span < (count as u64).clamp(64, 1 << 16) {
        let mut counts = vec![0u32; span as usize + 1];
        for residual in residuals() {
            if let Some(count) = counts.get_mut(residual.wrapping_sub(low) as usize) {
                *count += 1;
            }
        }
        let values = (0i64..).map(|i| low.wrapping_add(i)).zip(counts);
        return Histogram {
            entries: values.filter(|&(_, count)| count > 0).collect(),
            scale: 1,
        };
    }
    let scale = (count / SORTED_RESIDUALS).max(1);
    let mut sorted: Vec<i64> = Vec::with_capacity(count / scale + 8);
    for stream in streams {
        sorted.extend(stream.iter().step_by(scale));
    }
    if scale > 1 {
        sorted.extend([low, high]);
    }
    sorted.sort_unstable();
    let mut entries: Vec<(i64, u32)> = Vec::with_capacity(sorted.len());
    for residual in sorted {
        match entries.last_mut() {
            Some((last, count)) if *last == residual => *count += 1,
            _ => entries.push((residual, 1)),
        }
    }
    Histogram { entries, scale }
}

/// Bins in order, each with its Huffman code's length.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Bins {
    /// Smallest residual of each bin, ascending as `i64`.
    pub(super) lows: Vec<i64>,
    /// Plain bits that follow a bin's code, at most 64.
    pub(super) offset_bits: Vec<u8>,
    /// Bits of a bin's code, at most [`huffman::LONGEST`]; 0 for a single bin.
    pub(super) lengths: Vec<u8>,
}

/// A stretch of the histogram.
#[derive(Debug, Clone, Copy)]
struct Piece {
    low: i64,
    high: i64,
    rows: u32,
}

impl Bins {
    /// Bins for a histogram, and about how many bits its rows then take with the table, of which each bin costs `bin_bits`.
    pub(super) fn fit(histogram: &Histogram, most: usize, bin_bits: f64) -> (Bins, f64) {
        let mut pieces = cut(&histogram.entries, most.min(MOST_BINS));
        if histogram.scale > 1 {
            // Residuals that were not counted may lie between pieces.
            let lows: Vec<i64> = pieces.iter().skip(1).map(|piece| piece.low).collect();
            for (piece, next) in pieces.iter_mut().zip(lows) {
                piece.high = next.wrapping_sub(1);
            }
        }
        let (ends, bits) = join(&pieces, bin_bits / histogram.scale.max(1) as f64);
        let mut bins = Bins::default();
        let mut counts = Vec::new();
        let mut start = 0;
        for end in ends {
            let Some(part) = pieces.get(start..end) else { break };
            let (Some(first), Some(last)) = (part.first(), part.last()) else {
                break;
            };
            bins.lows.push(first.low);
            bins.offset_bits.push(width(first.low, last.high) as u8);
            counts.push(part.iter().map(|piece| piece.rows).sum());
            start = end;
        }
        bins.lengths = huffman::lengths(&counts);
        (bins, bits + code_loss(&counts))
    }

    /// Bits of a histogram's rows, about right where not all were counted; `None` if a residual may lie in no bin.
    pub(super) fn bits(&self, histogram: &Histogram) -> Option<u64> {
        if histogram.scale > 1 && !self.is_gapless() {
            return None;
        }
        let (mut total, mut bin) = (0, 0);
        for &(residual, rows) in &histogram.entries {
            while self.lows.get(bin + 1).is_some_and(|&low| low <= residual) {
                bin += 1;
            }
            let (&low, &bits) = (self.lows.get(bin)?, self.offset_bits.get(bin)?);
            let offset = residual.wrapping_sub(low) as u64;
            if residual < low || (bits < 64 && offset >> bits != 0) {
                return None;
            }
            total += u64::from(rows) * (u64::from(*self.lengths.get(bin)?) + u64::from(bits));
        }
        Some(total * histogram.scale as u64)
    }

    /// Whether every residual between the first bin and the last lies in one.
    fn is_gapless(&self) -> bool {
        let steps = self.lows.windows(2).zip(&self.offset_bits);
        steps.into_iter().all(|(pair, &bits)| match pair {
            [low, next] => bits >= 64 || next.wrapping_sub(*low) as u64 <= 1 << bits,
            _ => true,
        })
    }

    /// Writes the table: number of bins less one (8 bits), the lowest bin's start, then for each bin its code length, whether
    /// it is as wide as the one before, and whether it starts where that one ends.
    pub(super) fn write(&self, out: &mut BitWriter) {
        out.put(self.lows.len().saturating_sub(1) as u64, 8);
        let (mut last_bits, mut last_low) = (0, 0i64);
        let bins = self.lows.iter().zip(&self.offset_bits).zip(&self.lengths);
        for (index, ((&low, &bits), &length)) in bins.enumerate() {
            let step = low.wrapping_sub(last_low) as u64;
            if index == 0 {
                out.number(super::bits::zigzag(low as u64));
            } else if last_bits < 64 && step == 1 << last_bits {
                out.put(1, 1);
            } else {
                out.put(0, 1);
                out.number(step);
            }
            out.put(u64::from(length), 4);
            if bits == last_bits {
                out.put(1, 1);
            } else {
                out.put(u64::from(bits) << 1, 8);
            }
            (last_bits, last_low) = (bits, low);
        }
    }

    /// What [`Bins::write`] wrote; `None` if it makes no sense.
    pub(super) fn read(input: &mut BitReader<'_>) -> Option<Bins> {
        let count = input.take(8)? as usize + 1;
        let mut bins = Bins::default();
        let (mut last_bits, mut low) = (0u8, 0i64);
        for index in 0..count {
            if index == 0 {
                low = super::bits::unzigzag(input.number()?) as i64;
            } else {
                let step = match input.take(1)? {
                    1 if last_bits < 64 => 1 << last_bits,
                    1 => return None,
                    _ => input.number()?,
                };
                let next = low.wrapping_add(step as i64);
                if next <= low {
                    return None;
                }
                low = next;
            }
            bins.lengths.push(input.take(4)? as u8);
            if input.take(1)? == 0 {
                last_bits = input.take(7)? as u8;
            }
            if last_bits > 64 {
                return None;
            }
            bins.lows.push(low);
            bins.offset_bits.push(last_bits);
        }
        huffman::is_complete(&bins.lengths).then_some(bins)
    }

    /// Most bits that a residual takes.
    pub(super) fn longest(&self) -> u32 {
        let totals = self.offset_bits.iter().zip(&self.lengths);
        totals
            .map(|(&bits, &length)| u32::from(bits) + u32::from(length))
            .max()
            .unwrap_or(0)
    }
}

/// Bits by which a Huffman code exceeds the entropy because its shortest code takes a whole bit.
fn code_loss(counts: &[u32]) -> f64 {
    let total: f64 = counts.iter().copied().map(f64::from).sum();
    let most = counts.iter().copied().max().map_or(0.0, f64::from);
    let (share, others) = (most / total, (total - most) / total);
    if share <= 0.5 || counts.len() < 2 {
        return 0.0;
    }
    total * (1.0 + share * log2(share) + others * log2(others))
}

/// Bits of a place in `low..=high`.
fn width(low: i64, high: i64) -> u32 {
    64 - (high.wrapping_sub(low) as u64).leading_zeros()
}

/// At most about `most` pieces of about as many rows each; a value with more than its share stands alone.
fn cut(histogram: &[(i64, u32)], most: usize) -> Vec<Piece> {
    let alone = |&(value, rows): &(i64, u32)| Piece {
        low: value,
        high: value,
        rows,
    };
    if histogram.len() <= most {
        return histogram.iter().map(alone).collect();
    }
    let mut rows_left: u64 = histogram.iter().map(|&(_, rows)| u64::from(rows)).sum();
    let mut pieces: Vec<Piece> = Vec::new();
    let mut open: Option<Piece> = None;
    for entry in histogram {
        let left = most.saturating_sub(pieces.len() + 2).max(1) as u64;
        let share = u32::try_from(rows_left.div_ceil(left)).unwrap_or(u32::MAX);
        if entry.1 >= share || pieces.len() + 2 >= most {
            if pieces.len() + 2 >= most {
                // The last pieces hold whatever is left.
                match &mut open {
                    Some(piece) => {
                        piece.high = entry.0;
                        piece.rows += entry.1;
                    }
                    None => open = Some(alone(entry)),
                }
                continue;
            }
            if let Some(piece) = open.take() {
                rows_left -= u64::from(piece.rows);
                pieces.push(piece);
            }
            rows_left -= u64::from(entry.1);
            pieces.push(alone(entry));
            continue;
        }
        let piece = open.get_or_insert(Piece {
            low: entry.0,
            high: entry.0,
            rows: 0,
        });
        piece.high = entry.0;
        piece.rows += entry.1;
        if piece.rows >= share {
            rows_left -= u64::from(piece.rows);
            pieces.push(*piece);
            open = None;
        }
    }
    pieces.extend(open);
    pieces
}

/// Joins neighbours so that estimated bits are fewest: the ends of the joined pieces, and those bits.
fn join(pieces: &[Piece], bin_bits: f64) -> (Vec<usize>, f64) {
    let total: f64 = pieces.iter().map(|piece| f64::from(piece.rows)).sum();
    let log_total = log2(total);
    let mut best = vec![0.0f64];
    let mut from = vec![0usize];
    for (end, last) in pieces.iter().enumerate() {
        let (mut rows, mut least, mut start) = (0u32, f64::INFINITY, end);
        for (first, (piece, before)) in pieces.iter().zip(&best).enumerate().take(end + 1).rev() {
            rows += piece.rows;
            let bits = width(piece.low, last.high);
            let count = f64::from(rows);
            let cost = before + bin_bits + count * (log_total - log2(count) + f64::from(bits));
            if cost < least {
                (least, start) = (cost, first);
            }
        }
        best.push(least);
        from.push(start);
    }
    let mut ends = Vec::new();
    let mut end = pieces.len();
    while end > 0 {
        ends.push(end);
        end = from.get(end).copied().unwrap_or(0).min(end - 1);
    }
    ends.reverse();
    (ends, best.last().copied().unwrap_or(0.0))
}

/// Binary logarithm to about four digits, the same on every machine.
pub(super) fn log2(x: f64) -> f64 {
    let bits = x.to_bits();
    let exponent = (bits >> 52) as i64 - 1023;
    let m = f64::from_bits(bits & (u64::MAX >> 12) | 1023 << 52);
    // ln m = 2 artanh of this fraction (for m over the root of two), whose series ends soon.
    let t = (m - std::f64::consts::SQRT_2) / (m + std::f64::consts::SQRT_2);
    let square = t * t;
    exponent as f64 + 0.5 + t * (2.885_390_08 + square * (0.961_796_7 + square * 0.577_08))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_logarithm_is_near() {
        for i in 1..100_000 {
            let x = f64::from(i) * 0.7;
            assert!((log2(x) - x.log2()).abs() < 1e-4, "{x}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn every_residual_has_a_bin(
            mut residuals in proptest::collection::vec(any::<i64>(), 1..2_000),
            times in 1usize..50,
            shift in 0u32..64,
            most in 2usize..300,
        ) {
            residuals.iter_mut().for_each(|r| *r >>= shift);
            let residuals = residuals.repeat(times);
            let histogram = histogram(&[&residuals]);
            let (bins, _) = Bins::fit(&histogram, most, 8.0);
            prop_assert!(bins.lows.len() <= MOST_BINS);
            prop_assert!(bins.bits(&histogram).is_some());
            let inside = |residual: i64| {
                let bin = bins.lows.partition_point(|&low| low <= residual) - 1;
                let offset = residual.wrapping_sub(bins.lows[bin]) as u64;
                bins.offset_bits[bin] == 64 || offset >> bins.offset_bits[bin] == 0
            };
            prop_assert!(residuals.iter().all(|&residual| inside(residual)));
            let mut out = BitWriter::default();
            bins.write(&mut out);
            let bytes = out.into_bytes();
            prop_assert_eq!(Bins::read(&mut BitReader::new(&bytes)), Some(bins));
        }
    }
}
