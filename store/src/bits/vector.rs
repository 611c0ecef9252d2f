//! The adaptive bit vector: rank in two dependent reads, bits as cheap as they are dull.
//!
//! ```text
//! offset 0   u32  number of ones
//!        4   u8   form: 0 raw, 1 adaptive, 2 constant
//!        5   3 bytes zero
//! raw:
//!        8   u64 per started 2,048 bits: ones before (32 bits), then ones in its first 512 (10 bits),
//!            first 1,024 (11 bits), first 1,536 bits (11 bits)
//!            zeros to a multiple of 64, counted from the start of the section
//!            the bits, in whole 64-byte blocks
//! adaptive:
//!        8   u64 per started superblock of 4,096 bits: ones before (32 bits), where its data are, in units of 2 bytes
//!            behind this table (28 bits), form (4 bits): 0 all zero, 1 all one, 2 coded,
//!            3 quarters, 4 eighths
//!            superblock data, each padded with zeros to 2 bytes
//! coded:     one unit of 4,096 bits (see `block`)
//! quarters:  u64: ones before the second, third and fourth quarter (12 bits each), where these lie behind this word
//!            (9 bits each, in bytes), zero; then the quarters, units of 1,024 bits. A unit with m = 0 is constant, ones
//!            if its bit 8 is set; one with m = 127 has its plain bits from its third byte on
//! eighths:   8 x u16: ones in the block (10 bits), bytes of the block (6 bits; 63 stands for 64); then the blocks of
//!            512 bits. 0 bytes: constant; 64 bytes: plain; else coded
//! constant:  nothing more; all ones if the number of ones is not zero
//! ```
//!
//! Bits past the end count as zero and are written so, except in a superblock of ones.
//!
//! Costs: a rank touches the directory word, then up to 16 bytes of descriptors and the unit next to them.

#![allow(
    clippy::cast_possible_truncation,
    reason = "positions inside blocks are small by construction"
)]

use super::block::{self, BLOCK_BITS, Unit};
use super::words::WordSelect;
use crate::error::Result;
use crate::section::View;

mod encode;
mod expand;
#[cfg(test)]
mod tests;

pub use encode::encode;
pub(crate) use encode::{BITS_PER_NS, encode_with, estimate};
pub(crate) use expand::Packed;

/// Bits of a superblock.
const SUPER_BITS: u64 = 4096;
/// Bits that one directory word of a raw vector covers.
const RAW_STEP: u64 = 2048;

const FORM_ZERO: u64 = 0;
const FORM_ONE: u64 = 1;
const FORM_CODED: u64 = 2;
const FORM_QUARTERS: u64 = 3;
const FORM_EIGHTHS: u64 = 4;

/// What stands for the number of positions in a quarter that is plain.
const PLAIN_MARK: u32 = 127;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Raw,
    Adaptive,
    Constant,
}

/// Where a bit vector lies in its section, and how it is stored.
#[derive(Debug, Clone, Copy)]
pub struct BitVector {
    len: u64,
    ones: u64,
    form: Form,
    directory: u64,
    data: u64,
}

impl BitVector {
    /// The vector of `len` bits that starts at byte `start` of the section.
    ///
    /// # Errors
    /// `Corrupt` if its header or directory does not fit.
    pub fn open(view: &View<'_>, start: u64, len: u64) -> Result<BitVector> {
        let header = view.u64(start)?;
        let ones = header & 0xffff_ffff;
        let form = match header >> 32 {
            0 => Form::Raw,
            1 => Form::Adaptive,
            2 => Form::Constant,
            other => return Err(view.corrupt(start, format!("a bit vector of unknown form {other}"))),
        };
        if len >> 31 != 0 || ones > len || (form == Form::Constant && ones != 0 && ones != len) {
            return Err(view.corrupt(start, format!("a bit vector of {len} bits with {ones} ones")));
        }
        let directory = start.saturating_add(8);
        let (entries, data) = match form {
            Form::Raw => {
                let entries = len.div_ceil(RAW_STEP);
                (
                    entries,
                    (directory.saturating_add(entries * 8)).saturating_add(63) & !63,
                )
            }
            Form::Adaptive => {
                let entries = len.div_ceil(SUPER_BITS);
                (entries, directory.saturating_add(entries * 8))
            }
            Form::Constant => (0, directory),
        };
        let needed = match form {
            Form::Raw => data.saturating_add(len.div_ceil(BLOCK_BITS) * 64),
            _ => directory.saturating_add(entries * 8),
        };
        if needed > view.len() {
            return Err(view.corrupt(start, format!("a bit vector of {len} bits leaves its section")));
        }
        Ok(BitVector {
            len,
            ones,
            form,
            directory,
            data,
        })
    }

    /// Number of bits.
    #[inline]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no bits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of ones.
    #[inline]
    pub fn ones(&self) -> u64 {
        self.ones
    }

    /// Ones before `position`, which may be the end.
    ///
    /// Never more than `position` or than all ones, whatever the bytes.
    ///
    /// # Errors
    /// `Corrupt` if a page fails its checksum or an offset leaves the section.
    #[inline(always)]
    pub fn rank1<S: WordSelect>(&self, select: S, view: &View<'_>, position: u64) -> Result<u64> {
        if position == 0 {
            return Ok(0);
        }
        if position >= self.len {
            return Ok(self.ones);
        }
        Ok(self.access(select, view, position)?.1)
    }

    /// The bit at `position`, which is not the end, and the ones before it.
    ///
    /// # Errors
    /// See [`BitVector::rank1`].
    #[inline(always)]
    pub fn access<S: WordSelect>(&self, select: S, view: &View<'_>, position: u64) -> Result<(bool, u64)> {
        select.access(self, view, position)
    }

    /// [`BitVector::access`], compiled where it is called.
    #[inline(always)]
    pub(crate) fn access_here<S: WordSelect>(
        &self,
        select: S,
        view: &View<'_>,
        position: u64,
    ) -> Result<(bool, u64)> {
        debug_assert!(position < self.len, "a bit that exists");
        let (bit, rank) = match self.form {
            Form::Constant => (self.ones != 0, if self.ones != 0 { position } else { 0 }),
            Form::Raw => self.access_raw(view, position)?,
            Form::Adaptive => self.access_adaptive(select, view, position)?,
        };
        Ok((bit, rank.min(position).min(self.ones)))
    }

    #[inline(always)]
    fn access_raw(&self, view: &View<'_>, position: u64) -> Result<(bool, u64)> {
        let entry = view.u64(self.directory + position / RAW_STEP * 8)?;
        let before = [0, entry >> 32 & 0x3ff, entry >> 42 & 0x7ff, entry >> 53];
        let words = unit_at::<64>(view, self.data + position / BLOCK_BITS * 64)?;
        let (bit, rank) = block::access_plain(words, (position % BLOCK_BITS) as u32);
        Ok((
            bit,
            (entry & 0xffff_ffff) + before[(position / BLOCK_BITS % 4) as usize] + u64::from(rank),
        ))
    }

    #[inline(always)]
    fn access_adaptive<S: WordSelect>(
        &self,
        select: S,
        view: &View<'_>,
        position: u64,
    ) -> Result<(bool, u64)> {
        let header = view.u64(self.directory + position / SUPER_BITS * 8)?;
        let inside = (position % SUPER_BITS) as u32;
        let before = header & 0xffff_ffff;
        let data = self.data + (header >> 32 & 0xfff_ffff) * 2;
        let (bit, rank) = match header >> 60 {
            FORM_CODED => {
                let unit: &Unit = unit_at(view, data)?;
                block::access::<12, S>(select, unit, inside, unit[1] & 1 == 1)
            }
            FORM_QUARTERS => access_quarters(select, view, data, inside)?,
            FORM_EIGHTHS => access_eighths(select, view, data, inside)?,
            FORM_ONE => (true, inside),
            _ => (false, 0),
        };
        Ok((bit, before + u64::from(rank)))
    }

    /// Asks for what a rank at `position` reads first.
    #[inline(always)]
    pub fn prefetch<S: WordSelect>(&self, select: S, view: &View<'_>, position: u64) {
        match self.form {
            Form::Constant => {}
            Form::Raw => {
                select.prefetch(view.place(self.directory + position / RAW_STEP * 8));
                select.prefetch(view.place(self.data + position / BLOCK_BITS * 64));
            }
            Form::Adaptive => select.prefetch(view.place(self.directory + position / SUPER_BITS * 8)),
        }
    }

    /// Asks for what a rank at `position` reads second, by what it reads first.
    #[inline(always)]
    pub(crate) fn prefetch_unit<S: WordSelect>(&self, select: S, view: &View<'_>, position: u64) {
        if self.form != Form::Adaptive || position >= self.len {
            return;
        }
        let Ok(header) = view.u64(self.directory + position / SUPER_BITS * 8) else {
            return;
        };
        let data = self.data + (header >> 32 & 0xfff_ffff) * 2;
        select.prefetch(view.place(data));
        if header >> 60 != FORM_CODED {
            // About where the block is: units have half a bit a bit.
            select.prefetch(view.place(data + position % SUPER_BITS / 16));
        }
    }

    /// Name of the form, for `silt stat --explain`.
    pub fn form_name(&self) -> &'static str {
        match self.form {
            Form::Raw => "raw",
            Form::Adaptive => "adaptive",
            Form::Constant => "constant",
        }
    }

    /// Whether a rank is a directory read and a popcount.
    pub fn is_raw(&self) -> bool {
        self.form == Form::Raw
    }
}

/// `8 * N` bytes as words.
#[inline(always)]
fn load<const N: usize>(view: &View<'_>, offset: u64) -> Result<[u64; N]> {
    let bytes = view.bytes(offset, N * 8)?;
    let mut words = [0; N];
    for (i, word) in words.iter_mut().enumerate() {
        let mut eight = [0; 8];
        eight.copy_from_slice(&bytes[i * 8..i * 8 + 8]);
        *word = u64::from_le_bytes(eight);
    }
    Ok(words)
}

/// `N` bytes where they lie: a coded unit with what stands behind it, or plain bits.
#[inline(always)]
fn unit_at<'a, const N: usize>(view: &View<'a>, offset: u64) -> Result<&'a [u8; N]> {
    match view.bytes(offset, N)?.first_chunk() {
        Some(unit) => Ok(unit),
        None => Err(view.corrupt(offset, "a unit of bits is cut off".into())),
    }
}

/// Whether a unit of 1,024 bits or more lists zeros.
#[inline(always)]
fn is_dense(unit: &[u64; 16]) -> bool {
    unit[0] >> 8 & 1 == 1
}

#[inline(always)]
fn access_eighths<S: WordSelect>(
    select: S,
    view: &View<'_>,
    data: u64,
    position: u32,
) -> Result<(bool, u32)> {
    let descriptors = u128::from_le_bytes(view.array(data)?);
    let (index, inside) = (position / 512, position % 512);
    // About where the block is, before the descriptors say it.
    select.prefetch(view.place(data + 16 + u64::from(index) * 48));
    let (ones, skip) = sums_before(descriptors, index);
    let descriptor = (descriptors >> (16 * index)) as u32;
    let (count, size) = (descriptor & 0x3ff, descriptor >> 10 & 63);
    let (bit, rank) = if size == 0 {
        (count != 0, if count != 0 { inside } else { 0 })
    } else {
        let at = data + 16 + u64::from(skip);
        if size == 63 {
            block::access_plain(unit_at::<64>(view, at)?, inside)
        } else {
            block::access::<9, S>(select, unit_at(view, at)?, inside, count > 256)
        }
    };
    Ok((bit, ones + rank))
}

/// Bytes from the first quarter to quarter `index`.
#[inline(always)]
fn quarter_offset(directory: u64, index: u32) -> u64 {
    // The first lies at 0: the field before the others, with its bits masked off.
    if index == 0 {
        0
    } else {
        directory >> (27 + 9 * index) & 0x1ff
    }
}

#[inline(always)]
fn access_quarters<S: WordSelect>(
    select: S,
    view: &View<'_>,
    data: u64,
    position: u32,
) -> Result<(bool, u32)> {
    let directory = view.u64(data)?;
    let (index, inside) = (position / 1024, position % 1024);
    let ones = if index == 0 {
        0
    } else {
        (directory >> (12 * index - 12)) as u32 & 0xfff
    };
    let at = data + 8 + quarter_offset(directory, index);
    let unit: &Unit = unit_at(view, at)?;
    let dense = unit[1] & 1 == 1;
    let (bit, rank) = match u32::from(unit[0]) >> 1 {
        0 => (dense, if dense { inside } else { 0 }),
        PLAIN_MARK => block::access_plain(unit_at::<128>(view, at + 2)?, inside),
        _ => block::access::<10, S>(select, unit, inside, dense),
    };
    Ok((bit, ones + rank))
}

/// Ones and bytes of the blocks before block `index` of a superblock.
#[inline(always)]
fn sums_before(descriptors: u128, index: u32) -> (u32, u32) {
    const LANES: u64 = 0x0001_0001_0001_0001;
    let kept = descriptors & ((1u128 << (16 * index)) - 1);
    let (low, high) = (kept as u64, (kept >> 64) as u64);
    let ones = (low & (LANES * 0x3ff)) + (high & (LANES * 0x3ff));
    let size = |word: u64| {
        let six = word >> 10 & (LANES * 63);
        // 63 stands for 64 bytes.
        six + ((six + LANES) >> 6 & LANES)
    };
    let bytes = size(low) + size(high);
    (
        (ones.wrapping_mul(LANES) >> 48) as u32,
        (bytes.wrapping_mul(LANES) >> 48) as u32,
    )
}
