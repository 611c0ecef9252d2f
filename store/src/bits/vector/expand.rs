//! Reading stretches of bits: a cursor keeps the unit it expanded last, since short stretches often share one.

#![allow(
    clippy::cast_possible_truncation,
    reason = "positions inside blocks are small by construction"
)]

use std::ops::Range;

use super::super::block::{self, BLOCK_BITS, Block};
use super::super::words::{BitString, low_mask};
use super::{
    BitVector, FORM_CODED, FORM_EIGHTHS, FORM_ONE, FORM_QUARTERS, Form, PLAIN_MARK, RAW_STEP, SUPER_BITS,
    is_dense, load, quarter_offset, sums_before,
};
use crate::error::Result;
use crate::section::View;

/// The plain bits of one unit of a vector, and a position in it with the ones before.
#[derive(Debug)]
pub struct Cursor {
    unit: Range<u64>,
    words: [u64; 64],
    /// Ones of the vector before the unit.
    before: u64,
    /// A position in the unit, in bits from its start, and the ones of the unit before it.
    at: u32,
    ones: u32,
}

impl Default for Cursor {
    fn default() -> Self {
        Cursor {
            unit: 0..0,
            words: [0; 64],
            before: 0,
            at: 0,
            ones: 0,
        }
    }
}

impl Cursor {
    /// Sets the first `bits` of the unit from plain words.
    #[inline(always)]
    fn set<const N: usize>(&mut self, start: u64, words: &[u64; N], before: u64) {
        self.words[..N].copy_from_slice(words);
        self.place(start..start + N as u64 * 64, before);
    }

    #[inline(always)]
    fn fill(&mut self, unit: Range<u64>, bit: bool, before: u64) {
        self.words[..((unit.end - unit.start) / 64) as usize].fill(if bit { u64::MAX } else { 0 });
        self.place(unit, before);
    }

    #[inline(always)]
    fn place(&mut self, unit: Range<u64>, before: u64) {
        self.unit = unit;
        self.before = before;
        (self.at, self.ones) = (0, 0);
    }

    /// Ones of the vector before bit `position` of the unit.
    #[inline(always)]
    fn rank(&mut self, position: u32) -> u64 {
        if position < self.at {
            (self.at, self.ones) = (0, 0);
        }
        while self.at / 64 < position / 64 {
            self.ones += (self.words[(self.at as usize / 64) & 63] >> (self.at % 64)).count_ones();
            self.at = (self.at / 64 + 1) * 64;
        }
        let word = self.words[(self.at as usize / 64) & 63];
        self.ones += (word >> (self.at % 64) & low_mask(position - self.at)).count_ones();
        self.at = position;
        self.before + u64::from(self.ones)
    }
}

impl BitVector {
    /// Appends the bits of `range` to `out`.
    ///
    /// # Errors
    /// See [`BitVector::rank1`].
    pub fn expand(&self, view: &View<'_>, range: Range<u64>, out: &mut BitString) -> Result<()> {
        self.gather(view, &mut Cursor::default(), range, out).map(|_| ())
    }

    /// Appends the bits of `range`, which is not empty, to `out`, and returns the ones of the vector before it.
    ///
    /// # Errors
    /// See [`BitVector::rank1`].
    ///
    /// # Complexity
    /// Quick for ranges in order with the same cursor.
    #[inline(always)]
    pub fn gather(
        &self,
        view: &View<'_>,
        cursor: &mut Cursor,
        range: Range<u64>,
        out: &mut BitString,
    ) -> Result<u64> {
        debug_assert!(
            range.start <= range.end && range.end <= self.len,
            "bits that exist"
        );
        if range.start >= range.end {
            return Ok(0);
        }
        if self.form == Form::Constant {
            let bit = self.ones != 0;
            out.push_run(bit, range.end - range.start);
            return Ok(if bit { range.start } else { 0 });
        }
        if !cursor.unit.contains(&range.start) {
            self.seek(view, cursor, range.start)?;
        }
        let rank = cursor.rank((range.start - cursor.unit.start) as u32);
        let mut at = range.start;
        loop {
            let end = cursor.unit.end.min(range.end);
            let base = cursor.unit.start;
            out.push_bits(&cursor.words, (at - base) as u32, (end - base) as u32);
            at = end;
            if at >= range.end {
                break;
            }
            self.seek(view, cursor, at)?;
        }
        Ok(rank.min(range.start).min(self.ones))
    }

    /// Expands the unit around `position`.
    fn seek(&self, view: &View<'_>, cursor: &mut Cursor, position: u64) -> Result<()> {
        if self.form == Form::Raw {
            let block = position / BLOCK_BITS;
            let entry = view.u64(self.directory + position / RAW_STEP * 8)?;
            let before = [0, entry >> 32 & 0x3ff, entry >> 42 & 0x7ff, entry >> 53][(block % 4) as usize];
            let words: Block = load(view, self.data + block * 64)?;
            cursor.set(block * BLOCK_BITS, &words, (entry & 0xffff_ffff) + before);
            return Ok(());
        }
        let index = position / SUPER_BITS;
        let header = view.u64(self.directory + index * 8)?;
        let data = self.data + (header >> 32 & 0xfff_ffff) * 2;
        let start = index * SUPER_BITS;
        let before = header & 0xffff_ffff;
        let inside = (position % SUPER_BITS) as u32;
        match header >> 60 {
            FORM_CODED => {
                let unit: [u64; 16] = load(view, data)?;
                cursor.set(
                    start,
                    &block::expand::<12, 16, 64>(&unit, is_dense(&unit)),
                    before,
                );
            }
            FORM_QUARTERS => seek_quarter(view, cursor, data, inside, start, before)?,
            FORM_EIGHTHS => seek_eighth(view, cursor, data, inside, start, before)?,
            form => cursor.fill(start..start + SUPER_BITS, form == FORM_ONE, before),
        }
        Ok(())
    }
}

fn seek_quarter(
    view: &View<'_>,
    cursor: &mut Cursor,
    data: u64,
    inside: u32,
    start: u64,
    before: u64,
) -> Result<()> {
    let directory = view.u64(data)?;
    let index = inside / 1024;
    let ones = if index == 0 {
        0
    } else {
        directory >> (12 * index - 12) & 0xfff
    };
    let at = data + 8 + quarter_offset(directory, index);
    let unit: [u64; 16] = load(view, at)?;
    let words: [u64; 16] = match (unit[0] as u32 >> 1) & 127 {
        0 => [if is_dense(&unit) { u64::MAX } else { 0 }; 16],
        PLAIN_MARK => load(view, at + 2)?,
        _ => block::expand::<10, 16, 16>(&unit, is_dense(&unit)),
    };
    cursor.set(start + u64::from(index) * 1024, &words, before + ones);
    Ok(())
}

fn seek_eighth(
    view: &View<'_>,
    cursor: &mut Cursor,
    data: u64,
    inside: u32,
    start: u64,
    before: u64,
) -> Result<()> {
    let descriptors = u128::from_le_bytes(view.array(data)?);
    let index = inside / 512;
    let (ones, skip) = sums_before(descriptors, index);
    let descriptor = (descriptors >> (16 * index)) as u32;
    let (count, size) = (descriptor & 0x3ff, descriptor >> 10 & 63);
    let start = start + u64::from(index) * 512;
    let before = before + u64::from(ones);
    if size == 0 {
        cursor.fill(start..start + 512, count != 0, before);
        return Ok(());
    }
    let mut words: Block = load(view, data + 16 + u64::from(skip))?;
    if size != 63 {
        words = block::expand::<9, 8, 8>(&words, count > 256);
    }
    cursor.set(start, &words, before);
    Ok(())
}
