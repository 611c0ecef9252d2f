//! Writing: chunk by chunk, each with the plan that is best on its sample.

use super::bins::{Bins, Histogram, MOST_BINS, histogram};
use super::bits::BitWriter;
use super::choose::{self, Plan};
use super::chunk::{BinsPair, CHUNK_ROWS, Form, Header, MOST_PAIRED_BASE, write_constant};
use super::huffman;
use super::{HEADER_BYTES, Options, TAIL_BYTES};

/// Bits that a header costs a bin table's chunk at least, so that tables are shared where that costs next to nothing.
const SHARE_BITS: f64 = 0.002;

/// Encodes `codes` with these options.
pub fn encode_with(codes: &[u64], options: Options) -> Vec<u8> {
    let chunks = codes.chunks(CHUNK_ROWS);
    let table_end = HEADER_BYTES + 8 * chunks.len() as u64;
    let mut offsets = Vec::with_capacity(chunks.len());
    let mut data = Vec::new();
    let mut shared: Option<(BinsPair, usize)> = None;
    let mut code_bits = 0;
    for (index, chunk) in chunks.enumerate() {
        offsets.push(table_end + data.len() as u64);
        code_bits += encode_chunk(chunk, options, index, &mut shared, &mut data);
    }
    let mut out = Vec::with_capacity(data.len() + 1024);
    out.extend_from_slice(&(codes.len() as u64).to_le_bytes());
    out.extend_from_slice(&code_bits.to_le_bytes());
    for offset in offsets {
        out.extend_from_slice(&offset.to_le_bytes());
    }
    out.append(&mut data);
    out.resize(out.len() + TAIL_BYTES, 0);
    out
}

/// The residuals of a chunk's two streams, block after block.
#[derive(Debug, Default)]
struct Streams {
    front: Vec<i64>,
    back: Vec<i64>,
    /// Ends of each block in both.
    ends: Vec<(usize, usize)>,
    anchors: Vec<u64>,
}

/// Appends a chunk and gives the bits of its Huffman codes.
fn encode_chunk(
    codes: &[u64],
    options: Options,
    index: usize,
    shared: &mut Option<(BinsPair, usize)>,
    data: &mut Vec<u8>,
) -> u64 {
    let (least, greatest) = codes.iter().fold((u64::MAX, 0), |(least, greatest), &code| {
        (least.min(code), greatest.max(code))
    });
    if least >= greatest {
        append(data, &write_constant(least), &[]);
        return 0;
    }
    let plan = choose::plan(&choose::sample(codes), least, options);
    let streams = streams(codes, &plan);
    let plain = plan.form == Form::Plain;
    let (front, back) = histograms(&streams, plain);
    let fit = |histogram: &Histogram| Bins::fit(histogram, MOST_BINS, BIN_BITS).0;
    let own = BinsPair {
        front: fit(&front),
        back: (!plain).then(|| fit(&back)),
    };
    let bits = |pair: &BinsPair| Some(pair.front.bits(&front)? + pair.back().bits(&back)?);
    let Some(own_bits) = bits(&own) else {
        debug_assert!(false, "own bins hold every residual");
        return 0;
    };
    let mut table = BitWriter::default();
    own.front.write(&mut table);
    own.back.iter().for_each(|back| back.write(&mut table));
    let own_total = (own_bits + table.len()) as f64;
    let reuse = shared.as_ref().and_then(|(pair, at)| {
        let distance = u8::try_from(index - at).ok()?;
        if pair.back.is_some() == plain {
            return None;
        }
        (bits(pair)? as f64 <= own_total * (1.0 + SHARE_BITS)).then_some(distance)
    });
    if reuse.is_none() {
        *shared = Some((own, index));
    }
    let Some((pair, _)) = shared.as_ref() else {
        return 0;
    };
    let (body, sizes, code_bits) = write_blocks(&streams, pair);
    let header = Header {
        least,
        greatest,
        form: plan.form,
        predictor: &plan.predictor,
        block_log: plan.block_log,
        tables: match reuse {
            Some(distance) => Err(distance),
            None => Ok(pair),
        },
        sizes: &sizes,
        anchors: &streams.anchors,
    };
    append(data, &header.write(), &body.into_bytes());
    code_bits
}

/// Bits that one more bin is taken to cost in the header.
const BIN_BITS: f64 = 8.0;

/// A chunk: the length of its header (u32), the header, the blocks.
fn append(data: &mut Vec<u8>, header: &[u8], body: &[u8]) {
    let length = u32::try_from(header.len()).unwrap_or(u32::MAX);
    data.extend_from_slice(&length.to_le_bytes());
    data.extend_from_slice(header);
    data.extend_from_slice(body);
}

fn streams(codes: &[u64], plan: &Plan) -> Streams {
    let mut out = Streams::default();
    let (mut residuals, mut quotients, mut remainders) = (Vec::new(), Vec::new(), Vec::new());
    for block in codes.chunks(1 << plan.block_log) {
        residuals.clear();
        let mut predicted = block;
        if let Form::Split { base, least } = plan.form {
            quotients.clear();
            for &code in block {
                let local = code.wrapping_sub(least);
                quotients.push(local / base);
                remainders.push((local % base) as i64);
            }
            paired(base, &mut remainders, &mut out.back);
            predicted = &quotients;
        }
        plan.predictor.residuals(predicted, &mut residuals);
        if plan.predictor.has_anchor() {
            out.anchors.extend(predicted.first());
        }
        match plan.form {
            Form::Plain => {
                for pair in residuals.chunks(2) {
                    out.front.extend(pair.first());
                    out.back.extend(pair.get(1));
                }
            }
            Form::Split { .. } => out.front.extend_from_slice(&residuals),
            Form::Runs => {
                let mut run = 0;
                for &residual in &residuals {
                    if residual == 0 {
                        run += 1;
                    } else {
                        out.front.push(run);
                        out.back.push(residual);
                        run = 0;
                    }
                }
                if run > 0 {
                    out.front.push(run);
                }
            }
        }
        out.ends.push((out.front.len(), out.back.len()));
    }
    out
}

/// Moves the remainders by `base` of a block's rows to `out`, those of small bases two in one.
pub(super) fn paired(base: u64, remainders: &mut Vec<i64>, out: &mut Vec<i64>) {
    if base > MOST_PAIRED_BASE {
        out.append(remainders);
        return;
    }
    let pairs = remainders.chunks(2);
    out.extend(pairs.map(|pair| pair.first().unwrap_or(&0) | pair.get(1).unwrap_or(&0) << 4));
    remainders.clear();
}

/// Histograms of both streams: of what is in either if they share their bins.
fn histograms(streams: &Streams, together: bool) -> (Histogram, Histogram) {
    if together {
        return (histogram(&[&streams.front, &streams.back]), Histogram::default());
    }
    (histogram(&[&streams.front]), histogram(&[&streams.back]))
}

/// The blocks, the bits of each, and those of Huffman codes in all.
fn write_blocks(streams: &Streams, pair: &BinsPair) -> (BitWriter, Vec<u64>, u64) {
    let front = Writer::new(&pair.front, true);
    let back = Writer::new(pair.back(), false);
    let mut out = BitWriter::default();
    let mut sizes = Vec::with_capacity(streams.ends.len());
    let mut symbols = (Vec::new(), Vec::new());
    let (mut start, mut code_bits) = ((0, 0), 0);
    for &end in &streams.ends {
        let front_part = streams.front.get(start.0..end.0).unwrap_or_default();
        let back_part = streams.back.get(start.1..end.1).unwrap_or_default();
        let size = front.find(front_part, &mut symbols.0) + back.find(back_part, &mut symbols.1);
        let mut low = out.len();
        out.reserve(size);
        let mut high = out.len();
        for (&residual, &bin) in front_part.iter().zip(&symbols.0) {
            let symbol = front.symbol(bin);
            let offset = residual.wrapping_sub(symbol.low) as u64;
            out.put_at(low, u64::from(symbol.code), symbol.length);
            out.put_at(low + u64::from(symbol.length), offset, symbol.offset_bits);
            low += u64::from(symbol.length + symbol.offset_bits);
            code_bits += u64::from(symbol.length);
        }
        for (&residual, &bin) in back_part.iter().zip(&symbols.1) {
            let symbol = back.symbol(bin);
            let offset = residual.wrapping_sub(symbol.low) as u64;
            high -= u64::from(symbol.length);
            code_bits += u64::from(symbol.length);
            out.put_at(high, u64::from(symbol.code), symbol.length);
            high -= u64::from(symbol.offset_bits);
            out.put_at(high, offset, symbol.offset_bits);
        }
        debug_assert_eq!(low, high, "both streams meet");
        sizes.push(size);
        start = end;
    }
    (out, sizes, code_bits)
}

#[derive(Debug, Clone, Copy, Default)]
struct Symbol {
    low: i64,
    code: u16,
    length: u32,
    offset_bits: u32,
}

/// Finds the bin of a residual.
struct Writer {
    lows: [i64; MOST_BINS],
    symbols: [Symbol; MOST_BINS],
    count: usize,
    /// The first step of the search.
    step: usize,
}

impl Writer {
    fn new(bins: &Bins, is_front: bool) -> Writer {
        let count = bins.lows.len();
        let mut writer = Writer {
            lows: [i64::MAX; MOST_BINS],
            symbols: [Symbol::default(); MOST_BINS],
            count,
            step: count.next_power_of_two() / 2,
        };
        let codes = huffman::codes(&bins.lengths);
        let bins = bins
            .lows
            .iter()
            .zip(&bins.lengths)
            .zip(&bins.offset_bits)
            .zip(codes);
        let places = writer.lows.iter_mut().zip(&mut writer.symbols);
        for ((place, symbol), (((&low, &length), &offset_bits), code)) in places.zip(bins) {
            *place = low;
            *symbol = Symbol {
                low,
                code: if is_front {
                    huffman::reversed(code, length)
                } else {
                    code
                },
                length: u32::from(length),
                offset_bits: u32::from(offset_bits),
            };
        }
        writer
    }

    /// The bins of `residuals`, and the bits they take.
    fn find(&self, residuals: &[i64], out: &mut Vec<u8>) -> u64 {
        out.clear();
        let mut bits = 0;
        for &residual in residuals {
            let (mut bin, mut step) = (0usize, self.step);
            while step > 0 {
                // No branch: it could not be foretold.
                bin += step * usize::from(self.low(bin + step) <= residual);
                step /= 2;
            }
            let bin = bin.min(self.count - 1) as u8;
            let symbol = self.symbol(bin);
            bits += u64::from(symbol.length + symbol.offset_bits);
            out.push(bin);
        }
        bits
    }

    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "the index is masked")]
    fn low(&self, bin: usize) -> i64 {
        self.lows[bin & (MOST_BINS - 1)]
    }

    #[inline]
    #[expect(clippy::indexing_slicing, reason = "a byte into 256 places")]
    fn symbol(&self, bin: u8) -> Symbol {
        self.symbols[usize::from(bin)]
    }
}
