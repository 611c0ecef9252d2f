//! One block: the index over a few megabytes of rows, as bytes and as a view that answers.
//!
//! ```text
//!  0  u32 rows, u32 symbols (bytes of the rows and one separator a row), u32 long rows, u16 bytes in use, u16 sample step
//! 16  8 x u32 starts of the parts below, from the start of the block, each on an 8-byte place
//! 48  tables       32 bytes: which byte values occur; u32 count of the separator and each of them;
//!                  u32 rows that contain each; u8 code length of the separator and each
//!     directory    of the tree's bits
//!     data         of the tree's bits
//!     permutation  row number of each row in byte order, packed; padding; empty if they are in byte order
//!     samples      sorted places that carry a row number; the row numbers, packed; padding
//!     counters     sorted places, sums of numbers: how often occurrences share a row
//!     places       sorted row numbers of the long rows
//!     long         u64 end of each long row's bytes; the bytes
//! ```
//!
//! A part that was left out (samples, counters) has no bytes, and slower paths take over.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::bits::Bits;
use super::packed::width_below;
use super::sparse::{Sparse, Sums};
use super::tree::Shape;
use crate::codes::simd::fast;
use crate::error::{Error, Result};
use crate::section::Section;

mod psi;
mod write;

pub use write::encode;

/// Bytes before the first part.
pub const HEADER: u64 = 48;
/// Largest number of symbols in a block.
pub const MAX_SYMBOLS: u64 = 1 << 28;

/// A block of a section.
#[derive(Debug)]
pub struct Block {
    section: Section,
    /// First row of the block.
    pub first_row: u64,
    rows: u64,
    symbols: u64,
    long_rows: u64,
    alphabet: u16,
    sample_step: u16,
    starts: [u64; 9],
    tables: OnceLock<Tables>,
}

/// What is derived from the tables on first use.
#[derive(Debug)]
struct Tables {
    shape: Shape,
    /// Symbol of each byte; for a byte that does not occur, the next larger symbol.
    symbols: [u16; 256],
    /// Whether each byte occurs.
    used: [bool; 256],
    /// The byte of each symbol but the separator.
    bytes: Vec<u8>,
    row_counts: Vec<u32>,
    /// Intervals of two bytes, by their symbols: 0 until asked for, then `KNOWN | low << 32 | high`. They are the
    /// widest ones of a search, which share the least work.
    pairs: OnceLock<Box<[AtomicU64]>>,
}

/// Marks a pair that was searched.
const KNOWN: u64 = 1 << 63;

impl Block {
    /// Opens the block in `section`, whose rows start at `first_row` and are `rows` many.
    pub fn open(section: Section, first_row: u64, rows: u64) -> Result<Block> {
        let found = u64::from(section.u32(0)?);
        let symbols = u64::from(section.u32(4)?);
        let long_rows = u64::from(section.u32(8)?);
        let mut starts = [0; 9];
        for (index, start) in starts.iter_mut().enumerate().take(8) {
            *start = u64::from(section.u32(16 + index as u64 * 4)?);
        }
        starts[8] = section.len();
        if found != rows || rows == 0 || symbols < rows || symbols > MAX_SYMBOLS || long_rows > rows {
            return Err(section.corrupt(
                0,
                format!("{found} rows and {symbols} symbols in a block of {rows} rows"),
            ));
        }
        if starts[0] < HEADER || starts.windows(2).any(|pair| pair[0] > pair[1]) {
            return Err(section.corrupt(16, "the parts of a block are out of order".into()));
        }
        let (alphabet, sample_step) = (section.u16(12)?, section.u16(14)?);
        if alphabet > 256 || long_rows * 4 > starts[7] - starts[6] || long_rows * 8 > starts[8] - starts[7] {
            return Err(section.corrupt(8, "more bytes in use or long rows than the block can hold".into()));
        }
        Ok(Block {
            section,
            first_row,
            rows,
            symbols,
            long_rows,
            alphabet,
            sample_step,
            starts,
            tables: OnceLock::new(),
        })
    }

    /// Number of rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// First row of the block, and the one after its last.
    pub fn range(&self) -> std::ops::Range<u64> {
        self.first_row..self.first_row + self.rows
    }

    /// Distance of row-number samples in a row; 0 for none.
    pub fn sample_step(&self) -> u16 {
        self.sample_step
    }

    /// Whether rows are counted without being located.
    pub fn has_counters(&self) -> bool {
        self.starts[6] > self.starts[5]
    }

    /// Bytes of each part, as `(name, bytes)`.
    pub fn part_bytes(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        const NAMES: [&str; 8] = [
            "tables",
            "tree directory",
            "tree",
            "row permutation",
            "row samples",
            "row counters",
            "long places",
            "long rows",
        ];
        NAMES
            .into_iter()
            .zip(self.starts.windows(2).map(|pair| pair[1] - pair[0]))
    }

    /// An error that names this block's section.
    #[cold]
    pub fn corrupt(&self, what: &str) -> Error {
        self.section
            .corrupt(0, format!("block from row {}: {what}", self.first_row))
    }

    /// Bytes of the block.
    pub fn bytes(&self, range: std::ops::Range<u64>) -> Result<&[u8]> {
        self.section.bytes(range)
    }

    /// Bytes of a part, by its number.
    pub fn part(&self, index: usize) -> Result<&[u8]> {
        self.section.bytes(self.starts[index]..self.starts[index + 1])
    }

    fn tables(&self) -> Result<&Tables> {
        if let Some(tables) = self.tables.get() {
            return Ok(tables);
        }
        let tables = self.read_tables()?;
        Ok(self.tables.get_or_init(|| tables))
    }

    fn read_tables(&self) -> Result<Tables> {
        let bytes = self.part(0)?;
        let wrong = || {
            self.section.corrupt(
                self.starts[0],
                "the tables of a block do not fit its symbols".into(),
            )
        };
        let kinds = usize::from(self.alphabet);
        let number = |index: usize| {
            let at = 32 + index * 4;
            bytes
                .get(at..at + 4)
                .and_then(|b| b.try_into().ok())
                .map(u32::from_le_bytes)
        };
        let counts: Vec<u32> = (0..=kinds).map(number).collect::<Option<_>>().ok_or_else(wrong)?;
        let row_counts: Vec<u32> = (kinds + 1..=2 * kinds)
            .map(number)
            .collect::<Option<_>>()
            .ok_or_else(wrong)?;
        let lengths_at = 32 + (2 * kinds + 1) * 4;
        let lengths = bytes.get(lengths_at..lengths_at + kinds + 1).ok_or_else(wrong)?;
        let shape = Shape::new(&counts, lengths).ok_or_else(wrong)?;
        let (mut symbols, mut used, mut present) = ([0u16; 256], [false; 256], Vec::new());
        for byte in 0..=255u8 {
            let here = bytes[usize::from(byte / 8)] >> (byte % 8) & 1 == 1;
            symbols[usize::from(byte)] = present.len() as u16 + 1;
            used[usize::from(byte)] = here;
            if here {
                present.push(byte);
            }
        }
        let directory = self.starts[2] - self.starts[1];
        if present.len() != kinds
            || u64::from(counts[0]) != self.rows
            || shape.len() != self.symbols
            || shape.bits() > u64::from(u32::MAX)
            || directory < Bits::directory_bytes(shape.bits())
        {
            return Err(wrong());
        }
        Ok(Tables {
            shape,
            symbols,
            used,
            bytes: present,
            row_counts,
            pairs: OnceLock::new(),
        })
    }

    /// A view for one question: the parts, verified, and what is derived from them.
    pub fn view(&self) -> Result<View<'_>> {
        let tables = self.tables()?;
        let bits = Bits {
            directory: self.part(1)?,
            data: self.part(2)?,
            len: tables.shape.bits(),
        };
        let width = width_below(self.rows);
        // Rows in byte order have no permutation.
        let permutation = self.starts[4] - self.starts[3];
        if permutation > 0 && permutation * 8 < self.rows * u64::from(width) {
            return Err(self.corrupt("the row permutation is too short"));
        }
        Ok(View {
            block: self,
            tables,
            bits,
            width,
        })
    }
}

/// A block's parts while a question is answered. Methods return `None` where the bytes make no sense.
#[derive(Debug)]
pub struct View<'a> {
    block: &'a Block,
    tables: &'a Tables,
    bits: Bits<'a>,
    width: u32,
}

impl<'a> View<'a> {
    /// The block.
    pub fn block(&self) -> &'a Block {
        self.block
    }

    /// Bits of the tree.
    pub fn bits(&self) -> &Bits<'a> {
        &self.bits
    }

    /// Shape of the tree.
    pub fn shape(&self) -> &'a Shape {
        &self.tables.shape
    }

    /// Number of suffixes.
    pub fn len(&self) -> u64 {
        self.block.symbols
    }

    /// Suffixes that start with `byte`, among those whose rest lies in `low..high`.
    #[inline(always)]
    pub fn extend(&self, byte: u8, low: u64, high: u64) -> Option<(u64, u64)> {
        if !self.tables.used[usize::from(byte)] {
            return Some((0, 0));
        }
        let symbol = usize::from(self.tables.symbols[usize::from(byte)]);
        let first = self.tables.shape.first(symbol)?;
        let (low, high) = self.tables.shape.rank_both(&self.bits, symbol, low, high)?;
        Some((first + low, first + high))
    }

    /// All suffixes that start with `byte`.
    #[inline]
    pub fn bucket(&self, byte: u8) -> Option<(u64, u64)> {
        if !self.tables.used[usize::from(byte)] {
            return Some((0, 0));
        }
        self.tables
            .shape
            .bucket(usize::from(self.tables.symbols[usize::from(byte)]))
    }

    /// All suffixes that start with `first` and `second`.
    pub fn bucket_of_pair(&self, first: u8, second: u8) -> Option<(u64, u64)> {
        let tables = self.tables;
        if !tables.used[usize::from(first)] || !tables.used[usize::from(second)] {
            return Some((0, 0));
        }
        let kinds = tables.bytes.len();
        let pairs = tables
            .pairs
            .get_or_init(|| (0..kinds * kinds).map(|_| AtomicU64::new(0)).collect());
        let symbol = |byte: u8| usize::from(tables.symbols[usize::from(byte)]) - 1;
        let pair = pairs.get(symbol(first) * kinds + symbol(second))?;
        let known = pair.load(Ordering::Relaxed);
        if known & KNOWN != 0 {
            return Some((known >> 32 & 0x7fff_ffff, known & 0xffff_ffff));
        }
        let (low, high) = self.bucket(second)?;
        let (low, high) = self.extend(first, low, high)?;
        pair.store(
            KNOWN | (low & 0x7fff_ffff) << 32 | (high & 0xffff_ffff),
            Ordering::Relaxed,
        );
        Some((low, high))
    }

    /// Number of suffixes below `byte` followed by what has `below` suffixes below it.
    #[inline(always)]
    pub fn below(&self, byte: u8, below: u64) -> Option<u64> {
        let symbol = usize::from(self.tables.symbols[usize::from(byte)]);
        let first = self.tables.shape.first(symbol)?;
        if self.tables.used[usize::from(byte)] {
            Some(first + self.tables.shape.rank(&self.bits, symbol, below)?)
        } else {
            Some(first)
        }
    }

    /// Rows that begin among the first `position` suffixes.
    pub fn row_starts(&self, position: u64) -> Option<u64> {
        fast!(_words => self.tables.shape.rank(&self.bits, 0, position))
    }

    /// The byte before suffix `position` and the suffix that starts there; `Err` with the number of row starts before
    /// it if the suffix is a whole row.
    #[inline(always)]
    pub fn step(&self, position: u64) -> Option<std::result::Result<(u8, u64), u64>> {
        let (symbol, rank) = self.tables.shape.access(&self.bits, position)?;
        if symbol == 0 {
            return Some(Err(rank));
        }
        Some(Ok((
            *self.tables.bytes.get(symbol - 1)?,
            self.tables.shape.first(symbol)? + rank,
        )))
    }

    /// Calls `visit` with each byte (`None` for the separator) before the suffixes `low..high`, and those suffixes that
    /// start with it; for the separator with the ranks of the rows that begin there.
    pub fn steps(
        &self,
        low: u64,
        high: u64,
        visit: &mut dyn FnMut(Option<u8>, std::ops::Range<u64>) -> Option<()>,
    ) -> Option<()> {
        let shape = &self.tables.shape;
        shape.split(&self.bits, low, high, &mut |symbol, low, high| {
            if symbol == 0 {
                return visit(None, low..high);
            }
            let first = shape.first(symbol)?;
            visit(
                Some(*self.tables.bytes.get(symbol - 1)?),
                first + low..first + high,
            )
        })
    }

    /// Bits of a row number.
    pub fn row_bits(&self) -> u32 {
        self.width
    }

    /// A part of the block, by its number, and the bits of a row number.
    pub(super) fn part(&self, index: usize) -> Result<(&'a [u8], u32)> {
        Ok((self.block.part(index)?, self.width))
    }

    /// Rows that contain `byte`.
    pub fn rows_with(&self, byte: u8) -> Option<u64> {
        if !self.tables.used[usize::from(byte)] {
            return Some(0);
        }
        let symbol = usize::from(self.tables.symbols[usize::from(byte)]);
        Some(u64::from(*self.tables.row_counts.get(symbol - 1)?))
    }

    /// Occurrences in `low..high` that are not the first of their row; `Ok(None)` without counters.
    ///
    /// The interval must be that of a pattern of two bytes or more.
    pub fn repeats(&self, low: u64, high: u64) -> Result<Option<u64>> {
        if !self.block.has_counters() {
            return Ok(None);
        }
        let bytes = self.block.part(5)?;
        let read = || {
            let (places, rest) = Sparse::open(bytes, self.len())?;
            let sums = Sums::open(rest, places.count()?)?;
            let first = places.rank(low + 1)?.0;
            let last = places.rank(high)?.0;
            sums.first(last)?.checked_sub(sums.first(first)?)
        };
        read()
            .map(Some)
            .ok_or_else(|| self.block.corrupt("the row counters make no sense"))
    }

    /// Appends the bytes of row `row` of the block, unless it is a long one.
    pub fn extract(&self, row: u64, out: &mut Vec<u8>) -> Option<()> {
        fast!(_words => self.extract_here(row, out))
    }

    #[inline(always)]
    fn extract_here(&self, row: u64, out: &mut Vec<u8>) -> Option<()> {
        let from = out.len();
        let mut position = row;
        let mut left = self.len();
        while let Ok((byte, previous)) = self.step(position)? {
            left = left.checked_sub(1)?;
            out.push(byte);
            position = previous;
        }
        out[from..].reverse();
        Some(())
    }
}

impl Block {
    /// Number of long rows.
    pub fn long_count(&self) -> u64 {
        self.long_rows
    }

    /// Row (in the block) of long row `index`.
    pub fn long_row(&self, index: u64) -> Result<u64> {
        let row = u64::from(self.section.u32(self.starts[6] + index * 4)?);
        if row < self.rows {
            Ok(row)
        } else {
            Err(self.corrupt("a long row lies outside the block"))
        }
    }

    /// Bytes of long row `index`.
    pub fn long_bytes(&self, index: u64) -> Result<&[u8]> {
        let ends = self.starts[7];
        let start = if index == 0 {
            0
        } else {
            self.section.u64(ends + (index - 1) * 8)?
        };
        let end = self.section.u64(ends + index * 8)?;
        let base = ends + self.long_rows * 8;
        self.section
            .bytes(base.saturating_add(start)..base.saturating_add(end))
    }

    /// Bytes of the long rows' part, without what fills the block up to the next one.
    pub fn long_part(&self) -> Result<&[u8]> {
        let last = match self.long_rows.checked_sub(1) {
            Some(last) => self.section.u64(self.starts[7] + last * 8)?,
            None => 0,
        };
        let end = last.saturating_add(self.starts[7] + self.long_rows * 8);
        self.section.bytes(self.starts[7]..end)
    }

    /// Which long row `row` of the block is, if it is one.
    pub fn find_long(&self, row: u64) -> Result<Option<u64>> {
        let (mut low, mut high) = (0, self.long_rows);
        while low < high {
            let middle = (low + high) / 2;
            match self.long_row(middle)?.cmp(&row) {
                std::cmp::Ordering::Equal => return Ok(Some(middle)),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Ok(None)
    }
}
