//! The templates of rows, packed: for rows that are seldom read.
//!
//! Good at what [`template`](super::template) is good at, in about two thirds of its bytes. Nothing is found in packed
//! bytes: a block is unpacked when it is first asked, becomes a template index in memory, and answers as that does. The
//! blocks used last, of all indexes together, stay in memory (`unpacked`).
//!
//! ```text
//!  0  u16 layout (1), u16 bits of the tables, u32 blocks
//!  8  u64 rows
//! 16  u64 zero
//! 24  per block: u64 first row, u64 start
//!     the blocks: a stream of decisions each
//! ```
//!
//! A stream holds, one after the other, the templates' texts, the rows of no template and the dictionary ([`letters`]), what
//! each column is kept as, and then the rows in order, each as its template and what its columns say ([`walk`]). Every
//! bit has the odds that several contexts give together ([`mix`]): values before in the column, to the left in
//! the row, what followed the same value elsewhere, what stood at this place lately. So a value that another kind of line
//! has just said costs a fraction of a bit.
//!
//! Costs: 20 to 40 decisions for each variable of a row, about 0.1 us each, to write and to unpack; a question of an
//! unpacked block as one of templates. For one row its block is unpacked: text of which little repeats comes in blocks of a
//! few megabytes, so that this takes seconds at most.

#![allow(
    clippy::cast_possible_truncation,
    reason = "odds, widths and places are far below 2^31, and values are cut to as many bits as were written"
)]

use std::ops::Range;

use super::TextKind;
use super::blocks::{self, Blocks, Packed, Part, bytes_of};
use super::template::plan::Plan;
use super::unpacked::Unpacked;
use crate::batch::ByteColumn;
use crate::error::{Error, Result};
use crate::section::Section;
use coder::{Decoder, Encoder};
use mix::{Mixer, bits_of};

mod coder;
mod letters;
mod mix;
#[cfg(test)]
mod tests;
mod value;
mod walk;

/// Layout number of the section.
const LAYOUT: u16 = 1;
/// Bytes before the block directory.
const HEADER: u64 = 24;
/// Bytes of rows up to which a block is filled, where no other wish is known.
pub const BLOCK_BYTES: u64 = 64 << 20;
/// Decisions up to which a block is filled: each takes about 0.1 us when it is unpacked.
const BLOCK_DECISIONS: u64 = 20_000_000;
/// Bytes of the rows that decisions are counted on before.
const SAMPLE_BYTES: u64 = 512 << 10;
/// Bits of the tables: least, as written at most, as read at most.
const LEAST_BITS: u32 = 10;
const MOST_BITS: u32 = 18;
const READ_BITS: u32 = 22;

/// Encodes strings, in blocks of rows of up to `block_bytes` together.
///
/// # Errors
/// `InvalidArgument` if there are 2^32 blocks or more.
pub fn encode(strings: &ByteColumn, block_bytes: u64) -> Result<Vec<u8>> {
    let blocks = blocks::divide(strings, block_bytes.min(quick_block(strings)?));
    let largest = blocks.iter().map(|rows| bytes_of(strings, rows)).max();
    let bits = bits_of(largest.unwrap_or(0)).clamp(LEAST_BITS, MOST_BITS);
    blocks::write(strings, &blocks, (LAYOUT, bits as u16, &[0; 8]), |rows| {
        Ok(pack(strings, rows, bits)?.0)
    })
}

/// Bytes of rows that are unpacked in about [`BLOCK_DECISIONS`], by the first rows.
fn quick_block(strings: &ByteColumn) -> Result<u64> {
    let rows = strings
        .offsets()
        .partition_point(|&end| end <= SAMPLE_BYTES)
        .max(2)
        - 1;
    if rows >= strings.len() {
        return Ok(BLOCK_BYTES);
    }
    let bytes = bytes_of(strings, &(0..rows));
    let (_, decisions) = pack(strings, 0..rows, MOST_BITS)?;
    let block = u128::from(bytes) * u128::from(BLOCK_DECISIONS) / u128::from(decisions.max(1));
    Ok(u64::try_from(block).unwrap_or(u64::MAX).max(SAMPLE_BYTES / 8))
}

/// Packs rows; gives the number of decisions too.
fn pack(strings: &ByteColumn, rows: Range<usize>, bits: u32) -> Result<(Vec<u8>, u64)> {
    let count = rows.len();
    let mut plan = blocks::plan_of(strings, rows);
    let mut mixer = Mixer::new(Encoder::new(), bits);
    walk::walk(&mut plan, &mut mixer, count, bits)
        .ok_or_else(|| Error::invalid("rows cannot be kept as templates"))?;
    let decisions = mixer.decisions();
    Ok((mixer.into_coder().finish(), decisions))
}

/// A block.
#[derive(Debug)]
pub struct Block {
    section: Section,
    rows: u64,
    /// Bits of the tables.
    bits: u32,
}

impl Packed for Block {
    const KIND: TextKind = TextKind::Small;

    fn unpack(&self) -> Result<Unpacked> {
        let wrong = || {
            self.section
                .corrupt(0, "a packed block makes no sense".to_string())
        };
        let rows = usize::try_from(self.rows).map_err(|_| wrong())?;
        let mut mixer = Mixer::new(Decoder::new(self.section.all()?), self.bits);
        let mut plan = Plan::default();
        walk::walk(&mut plan, &mut mixer, rows, self.bits).ok_or_else(wrong)?;
        drop(mixer);
        let unpacked = Unpacked::new(plan)?;
        if unpacked.len() == self.rows {
            Ok(unpacked)
        } else {
            Err(wrong())
        }
    }

    fn parts(blocks: &[Part<Self>]) -> Vec<(String, u64)> {
        let headers = HEADER + blocks.len() as u64 * blocks::ENTRY;
        let packed: u64 = blocks.iter().map(|part| part.block.section.len()).sum();
        vec![
            ("headers".to_string(), headers * 8),
            ("packed templates".to_string(), packed * 8),
        ]
    }
}

/// The read side.
pub type Small = Blocks<Block>;

/// Opens a section.
///
/// # Errors
/// `Corrupt` if the header makes no sense for the section's length.
pub fn open(section: Section) -> Result<Small> {
    let layout = section.u16(0)?;
    if layout != LAYOUT {
        return Err(section.corrupt(0, format!("layout {layout} of packed templates is unknown")));
    }
    let bits = u32::from(section.u16(2)?);
    if !(LEAST_BITS..=READ_BITS).contains(&bits) {
        return Err(section.corrupt(2, format!("tables of {bits} bits")));
    }
    Blocks::open(&section, HEADER, |section, rows| {
        Ok(Block { section, rows, bits })
    })
}
