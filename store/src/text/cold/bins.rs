//! A model of numbers: stretches of values that are about as frequent as each other.
//!
//! ```text
//! bin     values start .. start + 2^width, and their odds together; a value is its bin and `width` plain bits
//! ```
//!
//! The bins are the leaves of a binary tree over the values less the smallest, split where that saves bits. A frequent value
//! is a bin of its own.
//!
//! After Loncaric, "Pcodec: better compression for numerical sequences" (2025): values as bins and offsets.

use super::coder::{Decoder, Encoder, TOTAL};
use crate::text::template::coder::{self as adaptive, Numbers, Symbols};

/// Bins of a model at most.
const MOST_BINS: usize = 1 << 12;
/// Bits of a model besides its bins, about.
const HEAD_BITS: f64 = 4.0;
/// Width of all values where there are none.
const NO_BINS: usize = 127;

/// Stretch of values.
#[derive(Debug, Clone, Copy)]
struct Bin {
    start: u64,
    /// Odds of all bins before.
    before: u32,
    width: u8,
}

/// A model of numbers.
#[derive(Debug, Clone, Default)]
pub struct Bins {
    bins: Vec<Bin>,
    base: u64,
}

/// Models of what describes bins.
#[derive(Debug)]
pub struct BinModels {
    bases: Numbers,
    widths: Symbols,
    shapes: Symbols,
    counts: Counts,
}

/// Models of how often things occur: to four binary digits.
#[derive(Debug)]
pub struct Counts {
    lengths: Symbols,
    tops: Symbols,
}

/// A count as it is written.
pub fn rounded(count: u64) -> u64 {
    let drop = (64 - count.leading_zeros()).saturating_sub(4);
    count >> drop << drop
}

impl Counts {
    /// Counts in each of `contexts` contexts.
    pub fn new(contexts: usize) -> Self {
        Counts {
            lengths: Symbols::new(5, contexts),
            tops: Symbols::new(3, contexts * 32),
        }
    }

    /// Writes a rounded count below 2^31.
    pub fn write(&mut self, coder: &mut adaptive::Encoder, context: usize, count: u64) {
        let length = 64 - count.leading_zeros();
        self.lengths.write(coder, context, length as usize);
        if length > 1 {
            let top = (count << (64 - length + 1) >> 61) as usize;
            self.tops.write(coder, context * 32 + length as usize, top);
        }
    }

    /// Reads a count.
    pub fn read(&mut self, coder: &mut adaptive::Decoder<'_>, context: usize) -> u64 {
        let length = self.lengths.read(coder, context);
        if length <= 1 {
            return length as u64;
        }
        let top = self.tops.read(coder, context * 32 + length) as u64;
        (8 | top) << length >> 4
    }
}

/// Odds of symbols by their counts, together [`TOTAL`]; symbols of count 0 get none. `None` if there are too many, or
/// none.
pub fn odds(counts: &[u64]) -> Option<Vec<u32>> {
    let some = counts.iter().filter(|&&count| count > 0).count() as u64;
    let sum: u64 = counts.iter().sum();
    if some == 0 || some > u64::from(TOTAL / 2) {
        return None;
    }
    let free = u64::from(TOTAL) - some;
    let mut odds: Vec<u32> = counts
        .iter()
        .map(|&count| {
            if count == 0 {
                0
            } else {
                (1 + count * free / sum) as u32
            }
        })
        .collect();
    let left = TOTAL - odds.iter().sum::<u32>();
    let most = (0..odds.len()).rev().max_by_key(|&index| odds[index])?;
    odds[most] += left;
    Some(odds)
}

/// What a model made of a slice of sorted values would cost, and where its bins are.
struct Draft {
    /// Bits, of table and values.
    bits: f64,
    /// Start, width and count of each bin.
    bins: Vec<(u64, u32, u64)>,
}

fn table_bits(count: f64) -> f64 {
    1.1 + (count + 1.0).log2().min(6.0)
}

/// Bins for sorted values that agree but for their low `width` bits, which are of `total` together; none narrower than
/// `least`, but for a single value.
fn draft(values: &[u64], start: u64, width: u32, least: u32, total: f64) -> Draft {
    let (Some(&first), Some(&last)) = (values.first(), values.last()) else {
        return Draft {
            bits: 0.0,
            bins: Vec::new(),
        };
    };
    let count = values.len() as f64;
    let bits = count * (f64::from(width) + (total / count).log2()) + table_bits(count);
    let leaf = Draft {
        bits,
        bins: vec![(start, width, values.len() as u64)],
    };
    if width <= least || values.len() == 1 {
        return leaf;
    }
    if first == last {
        let path = count * (total / count).log2() + table_bits(count) + 1.3 * f64::from(width);
        return if path < bits {
            Draft {
                bits: path,
                bins: vec![(first, 0, values.len() as u64)],
            }
        } else {
            leaf
        };
    }
    let middle = start + (1 << (width - 1));
    let (low, high) = values.split_at(values.partition_point(|&value| value < middle));
    let mut low = draft(low, start, width - 1, least, total);
    let high = draft(high, middle, width - 1, least, total);
    let together = low.bits + high.bits + 1.2;
    if together < bits {
        low.bins.extend(high.bins);
        Draft {
            bits: together,
            bins: low.bins,
        }
    } else {
        leaf
    }
}

/// Bins as they are written: base, width of all values, and start (less the base), width and count of each.
#[derive(Debug, Default, Clone)]
pub struct Plan {
    base: u64,
    width: u32,
    bins: Vec<(u64, u32, u64)>,
    /// Bits that the bins and the values take, about.
    pub bits: f64,
}

impl Plan {
    /// The cheapest bins for `values`, which are sorted on the way.
    pub fn of(mut values: Vec<u64>) -> Plan {
        values.sort_unstable();
        let (Some(&base), Some(&last)) = (values.first(), values.last()) else {
            return Plan::default();
        };
        values.iter_mut().for_each(|value| *value -= base);
        let width = 64 - (last - base).leading_zeros();
        let mut least = 0;
        loop {
            let found = draft(&values, 0, width, least, values.len() as f64);
            if found.bins.len() <= MOST_BINS {
                // One bin needs no count.
                let bits = match found.bins.as_slice() {
                    [(_, width, count)] => *count as f64 * f64::from(*width),
                    _ => found.bits,
                };
                return Plan {
                    base,
                    width,
                    bits: bits + HEAD_BITS + bits_of(base & !(1 << 63)).min(16) as f64 / 2.0,
                    bins: found.bins,
                };
            }
            least += 1;
        }
    }

    /// The smallest value.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Bits that `values` take under these bins, about; `None` if one is in none of them.
    pub fn bits_for(&self, values: &[u64]) -> Option<f64> {
        let all: u64 = self.bins.iter().map(|bin| bin.2).sum();
        let all = (all as f64).log2();
        let mut bits = 0.0;
        for &value in values {
            let offset = value.checked_sub(self.base)?;
            let index = self.bins.partition_point(|bin| bin.0 <= offset).checked_sub(1)?;
            let (start, width, count) = self.bins[index];
            if (offset - start).checked_shr(width).unwrap_or(0) != 0 {
                return None;
            }
            bits += f64::from(width) + all - (count as f64).log2();
        }
        Some(bits)
    }

    /// Writes the bins; the smallest value counts from `zero`.
    pub fn write(&self, coder: &mut adaptive::Encoder, models: &mut BinModels, kind: usize, zero: u64) {
        if self.bins.is_empty() {
            // A width beyond all says that there are none.
            models.widths.write(coder, kind, NO_BINS);
            return;
        }
        models.widths.write(coder, kind, self.width as usize);
        models
            .bases
            .write(coder, kind, zigzag(self.base.wrapping_sub(zero)));
        let mut before = 0;
        self.node(coder, models, (0, self.width), &self.bins, (0, kind), &mut before);
    }

    fn node(
        &self,
        coder: &mut adaptive::Encoder,
        models: &mut BinModels,
        (start, width): (u64, u32),
        bins: &[(u64, u32, u64)],
        (parent, kind): (usize, usize),
        before: &mut u64,
    ) {
        let is_leaf = bins.first().is_some_and(|bin| bin.1 == width);
        let middle = start.wrapping_add(1 << width.saturating_sub(1));
        let (low, high) = bins.split_at(bins.partition_point(|bin| bin.0 < middle));
        let shape = match (is_leaf, low.is_empty(), high.is_empty()) {
            (true, ..) => 0,
            (_, _, true) => 1,
            (_, true, _) => 2,
            _ => 3,
        };
        if width > 0 {
            models
                .shapes
                .write(coder, shape_context(width, parent, kind), shape);
        }
        if is_leaf {
            if self.bins.len() > 1 {
                let count = rounded(bins.first().map_or(1, |bin| bin.2));
                models
                    .counts
                    .write(coder, bits_of(*before).min(15) + 16 * kind, count);
                *before = count;
            }
            return;
        }
        if !low.is_empty() {
            self.node(coder, models, (start, width - 1), low, (shape, kind), before);
        }
        if !high.is_empty() {
            self.node(coder, models, (middle, width - 1), high, (shape, kind), before);
        }
    }
}

fn bits_of(value: u64) -> usize {
    (64 - value.leading_zeros()) as usize
}

fn shape_context(width: u32, parent: usize, kind: usize) -> usize {
    (kind * 65 + width as usize) * 4 + parent
}

impl BinModels {
    /// Models for `kinds` kinds of bins.
    pub fn new(kinds: usize) -> Self {
        BinModels {
            bases: Numbers::new(kinds),
            widths: Symbols::new(7, kinds),
            shapes: Symbols::new(2, kinds * 65 * 4),
            counts: Counts::new(kinds * 16),
        }
    }
}

/// What is read of bins: the tree's nodes that are still to come, as start and width and the shape of the node above.
struct Reader<'m, 'c, 'b> {
    coder: &'c mut adaptive::Decoder<'b>,
    models: &'m mut BinModels,
    kind: usize,
    bins: Vec<(u64, u32)>,
    /// The first bin's count is read when there is a second.
    counts: Vec<u64>,
}

impl Reader<'_, '_, '_> {
    fn tree(&mut self, width: u32) -> Option<()> {
        // Shapes come before counts in each bin, so whether there is more than one bin is known with the root's shape.
        let mut open = vec![(0u64, width, 0usize)];
        let mut before = 0;
        let mut single = true;
        while let Some((start, width, parent)) = open.pop() {
            let mut shape = 0;
            if width > 0 {
                let context = shape_context(width, parent, self.kind);
                shape = self.models.shapes.read(self.coder, context);
            }
            single &= shape != 3;
            if self.bins.len() >= MOST_BINS || self.coder.overrun() {
                return None;
            }
            if shape == 0 {
                self.bins.push((start, width));
                if single {
                    self.counts.push(1);
                } else {
                    let context = bits_of(before).min(15) + 16 * self.kind;
                    before = self.models.counts.read(self.coder, context);
                    self.counts.push(before);
                }
                continue;
            }
            let middle = start + (1 << (width - 1));
            if shape & 2 != 0 {
                open.push((middle, width - 1, shape));
            }
            if shape & 1 != 0 {
                open.push((start, width - 1, shape));
            }
        }
        Some(())
    }
}

impl Bins {
    /// Reads bins that [`Plan::write`] wrote.
    pub fn read(
        coder: &mut adaptive::Decoder<'_>,
        models: &mut BinModels,
        kind: usize,
        zero: u64,
    ) -> Option<Bins> {
        let width = models.widths.read(coder, kind);
        if width == NO_BINS {
            return Some(Bins::default());
        }
        let width = u32::try_from(width).ok().filter(|&width| width <= 64)?;
        let base = unzigzag(models.bases.read(coder, kind)).wrapping_add(zero);
        let mut reader = Reader {
            coder,
            models,
            kind,
            bins: Vec::new(),
            counts: Vec::new(),
        };
        reader.tree(width)?;
        let odds = odds(&reader.counts)?;
        let mut before = 0;
        let mut bins = Vec::with_capacity(odds.len());
        for (&(start, width), &odds) in reader.bins.iter().zip(&odds) {
            if odds == 0 {
                return None;
            }
            bins.push(Bin {
                start: base.wrapping_add(start),
                before,
                width: width as u8,
            });
            before += odds;
        }
        Some(Bins { bins, base })
    }

    /// The smallest value.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Number of bins.
    pub fn len(&self) -> usize {
        self.bins.len()
    }

    fn odds_of(&self, index: usize) -> u32 {
        self.bins.get(index + 1).map_or(TOTAL, |bin| bin.before) - self.bins[index].before
    }

    /// Reads a value; 0 if there are no bins.
    #[inline]
    pub fn decode(&self, coder: &mut Decoder<'_>) -> u64 {
        let mut index = 0;
        if self.bins.len() > 1 {
            let place = coder.place();
            index = self.bins.partition_point(|bin| bin.before <= place).max(1) - 1;
            coder.take(self.bins[index].before, self.odds_of(index));
        }
        match self.bins.get(index) {
            Some(bin) if bin.width > 0 => bin.start.wrapping_add(coder.bits(u32::from(bin.width))),
            Some(bin) => bin.start,
            None => 0,
        }
    }

    /// Writes a value that the bins were made of.
    pub fn encode(&self, coder: &mut Encoder, value: u64) {
        // Starts increase, even where they wrap around the end.
        let base = self.bins.first().map_or(0, |bin| bin.start);
        let offset = value.wrapping_sub(base);
        let index = self
            .bins
            .partition_point(|bin| bin.start.wrapping_sub(base) <= offset)
            .max(1)
            - 1;
        let Some(bin) = self.bins.get(index) else {
            return;
        };
        if self.bins.len() > 1 {
            coder.put(bin.before, self.odds_of(index));
        }
        coder.bits(value.wrapping_sub(bin.start), u32::from(bin.width));
    }
}

/// Small numbers for differences of either sign.
pub fn zigzag(value: u64) -> u64 {
    let value = value as i64;
    (value << 1 ^ value >> 63) as u64
}

/// The difference that [`zigzag`] gave.
pub fn unzigzag(value: u64) -> u64 {
    value >> 1 ^ (value & 1).wrapping_neg()
}
