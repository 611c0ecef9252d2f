//! A chunk of 65,536 rows: its header, as written and as kept while the column is open.

use std::sync::Arc;

use super::bins::Bins;
use super::bits::{BitReader, BitWriter, best_rice, unzigzag, zigzag};
use super::predict::Predictor;
use super::table::{DIRECT_BITS, REFILLED_BITS, Table};
use crate::error::Result;

/// Rows of a chunk; the last may have fewer.
pub(super) const CHUNK_ROWS: usize = 1 << 16;

/// Largest binary logarithm of the rows of a block.
pub(super) const MOST_BLOCK_LOG: u32 = 13;

/// Largest base of which the remainders of two rows are one symbol.
pub(super) const MOST_PAIRED_BASE: u64 = 16;

/// What the two streams of a block hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Residuals in turns.
    Plain,
    /// Residuals of quotients by `base` of codes less `least`; remainders.
    Split { base: u64, least: u64 },
    /// Lengths of runs of zero residuals; residuals that are not zero.
    Runs,
}

/// The bins of both streams; without a second, both have the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BinsPair {
    pub(super) front: Bins,
    pub(super) back: Option<Bins>,
}

impl BinsPair {
    pub(super) fn back(&self) -> &Bins {
        self.back.as_ref().unwrap_or(&self.front)
    }
}

/// Where a block is, and from what it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockStart {
    /// Bit behind the chunk's header.
    pub(super) bit: u32,
    /// The first code or its quotient; 0 without anchors.
    pub(super) anchor: u64,
}

/// A chunk as kept while the column is open: about 4 KB, and 12 KB of tables unless they are another's.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) least: u64,
    pub(super) greatest: u64,
    /// `None` if all codes are `least`.
    pub(super) coded: Option<Coded>,
}

/// What of a chunk is needed to decode it.
#[derive(Debug)]
pub(super) struct Coded {
    pub(super) form: Form,
    pub(super) predictor: Predictor,
    pub(super) block_log: u32,
    /// Of each block, and one more for the end.
    pub(super) blocks: Vec<BlockStart>,
    pub(super) tables: Arc<Tables>,
    pub(super) owns_tables: bool,
    /// Bits of the header that are tables, and that are block sizes and anchors.
    pub(super) table_bits: u64,
    pub(super) index_bits: u64,
    /// Where in the section the blocks start.
    pub(super) data: u64,
}

/// Decoding tables of both streams, which chunks share.
#[derive(Debug)]
pub(super) struct Tables {
    pub(super) front: Table,
    pub(super) back: Table,
    /// Whether both streams have bins of their own.
    pub(super) is_pair: bool,
    pub(super) width: Width,
}

/// How residuals are read, by the bits of the longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    /// Four from one refilled buffer.
    Four,
    /// Two.
    Two,
    /// One.
    One,
    /// Code and offset from one load each.
    Direct,
    /// Offsets too long for a load.
    Full,
}

impl Tables {
    fn new(pair: &BinsPair) -> Tables {
        let longest = pair.front.longest().max(pair.back().longest());
        let offsets = pair.front.offset_bits.iter().chain(&pair.back().offset_bits);
        let widest = offsets.copied().max().unwrap_or(0);
        Tables {
            front: Table::front(&pair.front),
            back: Table::back(pair.back()),
            is_pair: pair.back.is_some(),
            width: match REFILLED_BITS.checked_div(longest).unwrap_or(4) {
                0 if widest > DIRECT_BITS => Width::Full,
                0 => Width::Direct,
                1 => Width::One,
                2 | 3 => Width::Two,
                _ => Width::Four,
            },
        }
    }
}

/// A chunk's header on the way to a file.
#[derive(Debug)]
pub(super) struct Header<'a> {
    pub(super) least: u64,
    pub(super) greatest: u64,
    pub(super) form: Form,
    pub(super) predictor: &'a Predictor,
    pub(super) block_log: u32,
    /// Tables of this chunk, or how many chunks before this one they are.
    pub(super) tables: std::result::Result<&'a BinsPair, u8>,
    /// Bits of each block.
    pub(super) sizes: &'a [u64],
    /// Of each block, if the predictor has anchors.
    pub(super) anchors: &'a [u64],
}

/// A header without codes, for a chunk of equal ones.
pub(super) fn write_constant(code: u64) -> Vec<u8> {
    let mut out = BitWriter::default();
    out.put(0, 2);
    out.number(code);
    out.into_bytes()
}

impl Header<'_> {
    /// The header's bytes.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut out = BitWriter::default();
        let form = match self.form {
            Form::Plain => 1,
            Form::Split { .. } => 2,
            Form::Runs => 3,
        };
        out.put(form, 2);
        out.number(self.least);
        out.number(self.greatest - self.least);
        out.put(u64::from(self.block_log), 4);
        self.predictor.write(&mut out);
        if let Form::Split { base, .. } = self.form {
            out.number(base);
        }
        match self.tables {
            Ok(pair) => {
                out.put(0, 8);
                pair.front.write(&mut out);
                if let Some(back) = &pair.back {
                    back.write(&mut out);
                }
            }
            Err(distance) => out.put(u64::from(distance), 8),
        }
        let sizes = size_steps(self.sizes);
        let size_k = best_rice(sizes.get(1..).unwrap_or_default());
        let anchors: Vec<u64> = self
            .anchors
            .windows(2)
            .map(|pair| {
                zigzag(
                    pair.last()
                        .unwrap_or(&0)
                        .wrapping_sub(*pair.first().unwrap_or(&0)),
                )
            })
            .collect();
        let anchor_k = best_rice(&anchors);
        out.put(u64::from(size_k), 6);
        out.put(u64::from(anchor_k), 6);
        let mut anchors = anchors.into_iter();
        for (index, &size) in sizes.iter().enumerate() {
            if index == 0 {
                out.number(size);
                self.anchors.first().iter().for_each(|&&first| out.number(first));
            } else {
                out.rice(size, size_k);
                anchors
                    .next()
                    .into_iter()
                    .for_each(|step| out.rice(step, anchor_k));
            }
        }
        out.into_bytes()
    }
}

/// Sizes as differences from what the sizes before let expect.
fn size_steps(sizes: &[u64]) -> Vec<u64> {
    let mut expected = ExpectedSize(0);
    sizes
        .iter()
        .enumerate()
        .map(|(index, &size)| {
            let step = if index == 0 {
                size
            } else {
                zigzag((size as i64 - expected.0) as u64)
            };
            expected.push(index, size as i64);
            step
        })
        .collect()
}

/// A running mean of sizes: a quarter of the way to each new one.
struct ExpectedSize(i64);

impl ExpectedSize {
    fn push(&mut self, index: usize, size: i64) {
        self.0 += if index == 0 { size } else { (size - self.0) >> 2 };
    }
}

/// Reads the header of a chunk of `rows` rows, whose blocks lie in `data_bits` bits from byte `data` of the section on.
///
/// `find` gives the tables of the chunk that many before this one. `None` if the header makes no sense.
///
/// # Errors
/// Those of `find`.
pub(super) fn read(
    bytes: &[u8],
    rows: usize,
    data: u64,
    data_bits: u64,
    find: impl Fn(usize) -> Result<Arc<Tables>>,
) -> Result<Option<Chunk>> {
    let mut input = BitReader::new(bytes);
    let Some((least, greatest, is_coded)) = read_bounds(&mut input) else {
        return Ok(None);
    };
    let coded = if is_coded.is_none() {
        None
    } else {
        let Some((shape, distance)) = is_coded.and_then(|form| read_shape(&mut input, form, least)) else {
            return Ok(None);
        };
        let table_start = input.position() - 8;
        let tables = if distance == 0 {
            match read_tables(&mut input, shape.form) {
                Some(tables) => Arc::new(tables),
                None => return Ok(None),
            }
        } else {
            find(distance)?
        };
        let index_start = input.position();
        let count = rows.div_ceil(1 << shape.block_log);
        let Some(blocks) = read_blocks(&mut input, count, shape.predictor.has_anchor(), data_bits) else {
            return Ok(None);
        };
        if tables.is_pair == (shape.form == Form::Plain) {
            return Ok(None);
        }
        Some(Coded {
            form: shape.form,
            predictor: shape.predictor,
            block_log: shape.block_log,
            blocks,
            tables,
            owns_tables: distance == 0,
            table_bits: index_start - table_start,
            index_bits: input.position() - index_start,
            data,
        })
    };
    Ok(Some(Chunk {
        least,
        greatest,
        coded,
    }))
}

/// Smallest and largest code, and the number of the form unless they are equal.
fn read_bounds(input: &mut BitReader<'_>) -> Option<(u64, u64, Option<u64>)> {
    let form = input.take(2)?;
    let least = input.number()?;
    if form == 0 {
        return Some((least, least, None));
    }
    let greatest = least.checked_add(input.number()?)?;
    Some((least, greatest, Some(form)))
}

struct Shape {
    form: Form,
    predictor: Predictor,
    block_log: u32,
}

/// What stands before the tables, and how many chunks before this one they are.
fn read_shape(input: &mut BitReader<'_>, form: u64, least: u64) -> Option<(Shape, usize)> {
    let block_log = input.take(4)? as u32;
    // Quotients are predicted as they are, codes as differences from the least.
    let base = if form == 2 { 0 } else { least };
    let predictor = Predictor::read(input, base)?;
    let form = match form {
        1 => Form::Plain,
        2 => Form::Split {
            base: input.number()?,
            least,
        },
        _ => Form::Runs,
    };
    let runs_fit = !matches!(predictor, Predictor::Linear(_));
    if !(1..=MOST_BLOCK_LOG).contains(&block_log) || (form == Form::Runs && !runs_fit) {
        return None;
    }
    let shape = Shape {
        form,
        predictor,
        block_log,
    };
    Some((shape, input.take(8)? as usize))
}

fn read_tables(input: &mut BitReader<'_>, form: Form) -> Option<Tables> {
    let front = Bins::read(input)?;
    let back = match form {
        Form::Plain => None,
        _ => Some(Bins::read(input)?),
    };
    Some(Tables::new(&BinsPair { front, back }))
}

fn read_blocks(
    input: &mut BitReader<'_>,
    count: usize,
    has_anchor: bool,
    data_bits: u64,
) -> Option<Vec<BlockStart>> {
    let size_k = input.take(6)? as u32;
    let anchor_k = input.take(6)? as u32;
    let (mut bit, mut anchor) = (0u64, 0u64);
    let mut expected = ExpectedSize(0);
    let mut blocks = Vec::with_capacity(count + 1);
    for index in 0..count {
        let size = if index == 0 {
            input.number()? as i64
        } else {
            expected.0.wrapping_add(unzigzag(input.rice(size_k)?) as i64)
        };
        if has_anchor {
            anchor = if index == 0 {
                input.number()?
            } else {
                anchor.wrapping_add(unzigzag(input.rice(anchor_k)?))
            };
        }
        blocks.push(BlockStart {
            bit: u32::try_from(bit).ok()?,
            anchor,
        });
        bit = bit.checked_add(u64::try_from(size).ok()?)?;
        if bit > data_bits {
            return None;
        }
        expected.push(index, size);
    }
    blocks.push(BlockStart {
        bit: u32::try_from(bit).ok()?,
        anchor: 0,
    });
    Some(blocks)
}

impl Chunk {
    /// Form, predictor and rows of a block, for people.
    pub(super) fn describe(&self) -> String {
        match &self.coded {
            None => "constant".into(),
            Some(coded) => {
                let form = match coded.form {
                    Form::Plain => "plain".into(),
                    Form::Split { base, .. } => format!("split by {base}"),
                    Form::Runs => "runs".into(),
                };
                let tables = if coded.owns_tables { "" } else { ", shared tables" };
                format!(
                    "{form}, {}, {} rows{tables}",
                    coded.predictor.name(),
                    1 << coded.block_log
                )
            }
        }
    }
}
