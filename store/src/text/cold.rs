//! Cold text: templates and columns under models that are written once, so that any row can be read by itself.
//!
//! Good at text that is kept for long and rarely asked: 4 to 19 percent above packed templates (`small`), while a row is read
//! in some ten microseconds and rows in order at a hundred megabytes a second and more.
//!
//! ```text
//!  0  u16 layout (1), u16 zero, u32 blocks
//!  8  u64 rows
//! 16  per block: u64 first row, u64 start
//!     the blocks
//! ```
//!
//! A block starts with a head ([`block`]); its parts are
//!
//! ```text
//! text         constants and delimiters of all templates, packed (`template::lz`)
//! directory    what each column is kept as, and all models ([`book`])
//! bits         where groups of words and runs of rows start, rows of no template before each run
//! words        the dictionary, in groups of 16 ([`words`])
//! rows         rows in runs, each as its template and what its columns say ([`walk`])
//! rest         rows of no template (`template::rest`)
//! ```
//!
//! A symbol's odds come from where it stands: letters and template codes follow those before ([`tree`]), a column's codes
//! the ones before or a column to the left, numbers are differences to the one before, above or to the left, in stretches of
//! about equal frequency ([`bins`]). For each column the writer takes what needs the fewest bits. Nothing is learnt while rows
//! are read, so a stream ([`coder`]) starts with each run and each group.
//!
//! | question | cost |
//! |---|---|
//! | one row | half a run, some 500 values of 20 to 40 ns; for each word that is not remembered half a group, 2 to 5 us |
//! | rows in order | 20 to 40 ns a value |
//! | anything else | the block becomes a template index in memory (`unpacked`), and answers as that does |

#![allow(
    clippy::cast_possible_truncation,
    reason = "odds, widths and places are far below 2^31, and casts to usize index memory"
)]

use std::ops::Range;

use super::TextKind;
use super::blocks::{self, Blocks, Packed, Part};
use super::unpacked::Unpacked;
use crate::batch::ByteColumn;
use crate::error::Result;
use crate::section::Section;

mod bins;
mod block;
mod book;
mod coder;
mod directory;
mod fields;
mod read;
mod rows;
#[cfg(test)]
mod tests;
mod tree;
mod walk;
mod words;
mod write;

use block::Block;

/// Layout number of the section.
const LAYOUT: u16 = 1;
/// Bytes before the block directory.
const HEADER: u64 = 16;

/// Encodes strings, in blocks of rows of up to `block_bytes` together.
///
/// # Errors
/// `InvalidArgument` if there are 2^32 blocks or more, or a block is longer than its parts can say.
pub fn encode(strings: &ByteColumn, block_bytes: u64) -> Result<Vec<u8>> {
    let blocks = blocks::divide(strings, block_bytes);
    blocks::write(strings, &blocks, (LAYOUT, 0, &[]), |rows| {
        write::block(blocks::plan_of(strings, rows))
    })
}

/// The read side.
pub type Cold = Blocks<Block>;

/// Opens a section.
///
/// # Errors
/// `Corrupt` if a header makes no sense for the section's length.
pub fn open(section: Section) -> Result<Cold> {
    let layout = section.u16(0)?;
    if layout != LAYOUT {
        return Err(section.corrupt(0, format!("layout {layout} of cold text is unknown")));
    }
    Blocks::open(&section, HEADER, Block::open)
}

impl Packed for Block {
    const KIND: TextKind = TextKind::Cold;

    fn unpack(&self) -> Result<Unpacked> {
        Unpacked::new(self.plan()?)
    }

    fn extract(part: &Part<Self>, row: u64, out: &mut Vec<u8>) -> Result<()> {
        part.block.extract(row, out)
    }

    fn decode(part: &Part<Self>, rows: Range<u64>, out: &mut ByteColumn) -> Result<()> {
        part.block.decode(rows, out)
    }

    fn parts(blocks: &[Part<Self>]) -> Vec<(String, u64)> {
        let names = ["templates", "directory", "starts", "dictionary", "rows", "rest"];
        let headers = HEADER + blocks.len() as u64 * (blocks::ENTRY + block::HEAD_BYTES);
        let mut parts = vec![("headers".to_string(), headers * 8)];
        for (index, name) in names.into_iter().enumerate() {
            let bytes: u64 = blocks.iter().map(|part| part.block.part_bytes(index)).sum();
            parts.push((name.to_string(), bytes * 8));
        }
        parts
    }
}
