//! Reading stretches of bits: a cursor keeps the unit it expanded last, since short stretches often share one.

#![allow(
    clippy::cast_possible_truncation,
    reason = "positions inside blocks are small by construction"
)]

use std::ops::Range;

use super::super::block::{BLOCK_BITS, Block};
use super::super::unit;
use super::super::words::{BitString, low_mask};
use super::{
    BitVector, FORM_CODED, FORM_EIGHTHS, FORM_ONE, FORM_QUARTERS, Form, PLAIN_MARK, RAW_STEP, SUPER_BITS,
    is_dense, load, quarter_offset, sums_before,
};
use crate::codes::Path;
use crate::error::Result;
use crate::section::View;

/// Bits packed from the lowest of the first word, into room that was made before.
#[derive(Debug, Default)]
pub(crate) struct Packed {
    words: Vec<u64>,
    /// The word being filled, its bits so far, and how many.
    at: usize,
    last: u64,
    fill: u32,
}

impl Packed {
    /// Forgets the bits and makes room for `bits` others.
    pub(crate) fn reset(&mut self, bits: usize) {
        let words = bits / 64 + 1;
        self.words.clear();
        self.words.resize(words, 0);
        (self.at, self.last, self.fill) = (0, 0, 0);
    }

    /// Appends the lowest `count` bits of `word` (at most 64), the others being zero; bits beyond the room are lost.
    #[inline(always)]
    fn push(&mut self, word: u64, count: u32) {
        let packed = self.last | word << self.fill;
        if let Some(slot) = self.words.get_mut(self.at) {
            *slot = packed;
        }
        let total = self.fill + count;
        let full = total >= 64;
        self.last = if full {
            word >> 1 >> (63 - self.fill)
        } else {
            packed
        };
        self.at += usize::from(full);
        self.fill = total % 64;
    }

    /// Appends `count` bits of `source` from bit `from` on, and returns how many ones they have.
    #[inline(always)]
    fn push_from<S: Source>(&mut self, source: &S, from: usize, count: usize) -> u64 {
        let (mut at, end) = (from, from + count);
        let mut ones = 0;
        if count >= 256 {
            // Up to a whole word here; then each word is made of two of the source.
            let head = 64 - self.fill;
            if head < 64 {
                ones += self.push_some(source, at, head);
                at += head as usize;
            }
            let whole = (end - at) / 64;
            if let Some(words) = self.words.get_mut(self.at..self.at + whole) {
                source.copy(at, words);
                ones += words.iter().map(|word| u64::from(word.count_ones())).sum::<u64>();
            }
            self.at += whole;
            at += whole * 64;
        }
        while at < end {
            let step = (end - at).min(64);
            ones += self.push_some(source, at, step as u32);
            at += step;
        }
        ones
    }

    /// At most 64 bits.
    #[inline(always)]
    fn push_some<S: Source>(&mut self, source: &S, at: usize, count: u32) -> u64 {
        let shift = (at % 64) as u32;
        let mut word = source.word(at / 64) >> shift;
        if shift + count > 64 {
            word |= source.word(at / 64 + 1) << 1 << (63 - shift);
        }
        let word = word & low_mask(count);
        self.push(word, count);
        u64::from(word.count_ones())
    }

    /// Appends `count` times the same bit.
    #[inline(always)]
    fn push_run(&mut self, bit: bool, mut count: u64) {
        while count > 0 {
            let step = count.min(64) as u32;
            self.push(if bit { low_mask(step) } else { 0 }, step);
            count -= u64::from(step);
        }
    }

    /// The 64 bits from `position` on; zeros behind the end.
    #[inline(always)]
    pub(crate) fn word_at(&self, position: usize) -> u64 {
        let word = |at: usize| self.words.get(at).copied().unwrap_or(0);
        let shift = position % 64;
        word(position / 64) >> shift | word(position / 64 + 1) << 1 << (63 - shift)
    }

    /// The words; bits past the end are zero.
    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }

    /// Writes the bits that do not fill a word.
    fn finish(&mut self) {
        if let Some(slot) = self.words.get_mut(self.at) {
            *slot = self.last;
        }
    }
}

/// Words of bits to take stretches from.
trait Source {
    /// Word `index`; zero if there is none.
    fn word(&self, index: usize) -> u64;
    /// The bits from `at` on, into `words`.
    fn copy(&self, at: usize, words: &mut [u64]);
}

impl Source for [u64; 64] {
    #[inline(always)]
    fn word(&self, index: usize) -> u64 {
        self.get(index).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn copy(&self, at: usize, words: &mut [u64]) {
        let (first, shift) = (at / 64, at % 64);
        let low = self.get(first..).unwrap_or_default();
        if shift == 0 {
            for (word, low) in words.iter_mut().zip(low) {
                *word = *low;
            }
            return;
        }
        let high = self.get(first + 1..).unwrap_or_default();
        for ((word, low), high) in words.iter_mut().zip(low).zip(high) {
            *word = low >> shift | high << (64 - shift);
        }
    }
}

impl Source for &[u8] {
    #[inline(always)]
    fn word(&self, index: usize) -> u64 {
        self.get(index * 8..).map_or(0, word_of)
    }

    #[inline(always)]
    fn copy(&self, at: usize, words: &mut [u64]) {
        let (first, shift) = (at / 64, at % 64);
        let low = self.get(first * 8..).unwrap_or_default().chunks_exact(8);
        if shift == 0 {
            for (word, low) in words.iter_mut().zip(low) {
                *word = word_of(low);
            }
            return;
        }
        let high = self.get(first * 8 + 8..).unwrap_or_default().chunks_exact(8);
        for ((word, low), high) in words.iter_mut().zip(low).zip(high) {
            *word = word_of(low) >> shift | word_of(high) << (64 - shift);
        }
    }
}

/// The plain bits of one unit of a vector, and a position in it with the ones before.
struct Cursor {
    unit: Range<u64>,
    words: [u64; 64],
    /// Ones of the vector before the unit.
    before: u64,
    /// A position in the unit, in bits from its start, and the ones of the unit before it.
    at: u32,
    ones: u32,
}

impl Cursor {
    fn new() -> Self {
        Cursor {
            unit: 0..0,
            words: [0; 64],
            before: 0,
            at: 0,
            ones: 0,
        }
    }

    #[inline(always)]
    fn fill(&mut self, unit: Range<u64>, bit: bool, before: u64) {
        self.words[..((unit.end - unit.start) / 64) as usize & 127].fill(if bit { u64::MAX } else { 0 });
        self.place(unit, before);
    }

    #[inline(always)]
    fn place(&mut self, unit: Range<u64>, before: u64) {
        self.unit = unit;
        self.before = before;
        (self.at, self.ones) = (0, 0);
    }

    /// The first words.
    #[inline(always)]
    fn first<const N: usize>(&mut self) -> &mut [u64; N] {
        match self.words.first_chunk_mut() {
            Some(words) => words,
            None => unreachable!("no unit has more than 64 words"),
        }
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
        let count = range.end.saturating_sub(range.start);
        if count == 0 {
            return Ok(());
        }
        let mut packed = Packed::default();
        packed.reset(count as usize);
        self.gather(
            view,
            Path::best(),
            std::slice::from_ref(&range),
            &mut packed,
            |_, _, _| {},
        )?;
        let mut left = count;
        for &word in packed.words() {
            out.push(word, left.min(64) as u32);
            left -= left.min(64);
        }
        Ok(())
    }

    /// Appends the bits of all `ranges`, which are not empty, to `out`, and calls `found` for each with the ones of the
    /// vector before it and the ones in it.
    ///
    /// # Errors
    /// See [`BitVector::rank1`].
    ///
    /// # Complexity
    /// Each unit is expanded once if the ranges are in order.
    #[inline(always)]
    pub(crate) fn gather(
        &self,
        view: &View<'_>,
        path: Path,
        ranges: &[Range<u64>],
        out: &mut Packed,
        mut found: impl FnMut(&Range<u64>, u64, u64),
    ) -> Result<()> {
        debug_assert!(
            ranges
                .iter()
                .all(|range| range.start <= range.end && range.end <= self.len),
            "bits that exist"
        );
        match self.form {
            Form::Constant => {
                let bit = self.ones != 0;
                for range in ranges {
                    let count = range.end - range.start;
                    out.push_run(bit, count);
                    found(
                        range,
                        if bit { range.start } else { 0 },
                        if bit { count } else { 0 },
                    );
                }
            }
            Form::Raw => self.gather_raw(view, ranges, out, found)?,
            Form::Adaptive => {
                let mut cursor = Cursor::new();
                for range in ranges {
                    if !cursor.unit.contains(&range.start) {
                        self.seek(view, path, &mut cursor, range.start)?;
                    }
                    let rank = cursor.rank((range.start - cursor.unit.start) as u32);
                    let (mut at, mut ones) = (range.start, 0);
                    loop {
                        let end = cursor.unit.end.min(range.end);
                        let base = cursor.unit.start;
                        ones += out.push_from(&cursor.words, (at - base) as usize, (end - at) as usize);
                        at = end;
                        if at >= range.end {
                            break;
                        }
                        self.seek(view, path, &mut cursor, at)?;
                    }
                    found(range, rank.min(range.start).min(self.ones), ones);
                }
            }
        }
        out.finish();
        Ok(())
    }

    /// The same for plain words: ones are counted on from the range before where that is near.
    #[inline(always)]
    fn gather_raw(
        &self,
        view: &View<'_>,
        ranges: &[Range<u64>],
        out: &mut Packed,
        mut found: impl FnMut(&Range<u64>, u64, u64),
    ) -> Result<()> {
        // A word and the ones before it; at first one far from any.
        let (mut near, mut before) = (u64::MAX / 2, 0u64);
        for range in ranges {
            let first = range.start / 64;
            if first.wrapping_sub(near) > 12 {
                let entry = view.u64(self.directory + range.start / RAW_STEP * 8)?;
                let block = range.start / BLOCK_BITS;
                let inside = [0, entry >> 32 & 0x3ff, entry >> 42 & 0x7ff, entry >> 53][(block % 4) as usize];
                (near, before) = (block * 8, (entry & 0xffff_ffff) + inside);
            }
            let last = (range.end.max(1) - 1) / 64;
            let words = view.bytes(self.data + near * 8, (last + 1 - near) as usize * 8)?;
            let (skipped, words) = words.split_at((first - near) as usize * 8);
            for eight in skipped.chunks_exact(8) {
                before += u64::from(word_of(eight).count_ones());
            }
            near = first;
            let shift = (range.start % 64) as u32;
            let rank = before + u64::from((word_of(words) & low_mask(shift)).count_ones());
            let ones = out.push_from(&words, shift as usize, (range.end - range.start) as usize);
            found(range, rank.min(range.start).min(self.ones), ones);
        }
        Ok(())
    }

    /// Expands the unit around `position`.
    #[inline(always)]
    fn seek(&self, view: &View<'_>, path: Path, cursor: &mut Cursor, position: u64) -> Result<()> {
        let index = position / SUPER_BITS;
        let header = view.u64(self.directory + index * 8)?;
        let data = self.data + (header >> 32 & 0xfff_ffff) * 2;
        let start = index * SUPER_BITS;
        let before = header & 0xffff_ffff;
        let inside = (position % SUPER_BITS) as u32;
        match header >> 60 {
            FORM_CODED => {
                let coded: [u64; 16] = load(view, data)?;
                expand_unit::<12, 16, 64>(path, &coded, is_dense(&coded), cursor.first());
                cursor.place(start..start + SUPER_BITS, before);
            }
            FORM_QUARTERS => seek_quarter(view, path, cursor, data, inside, start, before)?,
            FORM_EIGHTHS => seek_eighth(view, path, cursor, data, inside, start, before)?,
            form => cursor.fill(start..start + SUPER_BITS, form == FORM_ONE, before),
        }
        Ok(())
    }
}

#[inline(always)]
fn seek_quarter(
    view: &View<'_>,
    path: Path,
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
    let (start, before) = (start + u64::from(index) * 1024, before + ones);
    let coded: [u64; 16] = load(view, at)?;
    match (coded[0] as u32 >> 1) & 127 {
        0 => {
            cursor.fill(start..start + 1024, is_dense(&coded), before);
            return Ok(());
        }
        PLAIN_MARK => *cursor.first() = load::<16>(view, at + 2)?,
        _ => expand_unit::<10, 16, 16>(path, &coded, is_dense(&coded), cursor.first()),
    }
    cursor.place(start..start + 1024, before);
    Ok(())
}

#[inline(always)]
fn seek_eighth(
    view: &View<'_>,
    path: Path,
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
    let (start, before) = (start + u64::from(index) * 512, before + u64::from(ones));
    if size == 0 {
        cursor.fill(start..start + 512, count != 0, before);
        return Ok(());
    }
    let words: Block = load(view, data + 16 + u64::from(skip))?;
    match size {
        63 => *cursor.first() = words,
        _ => expand_unit::<9, 8, 8>(path, &words, count > 256, cursor.first()),
    }
    cursor.place(start..start + 512, before);
    Ok(())
}

#[inline(always)]
fn word_of(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |eight| u64::from_le_bytes(*eight))
}

/// The plain bits of a coded unit by the path's way.
#[inline(always)]
fn expand_unit<const LOG: u32, const W: usize, const N: usize>(
    path: Path,
    coded: &[u64; W],
    dense: bool,
    out: &mut [u64; N],
) {
    #[cfg(all(target_arch = "x86_64", avx512))]
    if let Path::Avx512(avx512) = path {
        if unit::is_crowded::<LOG, W>(coded) {
            return avx512.expand::<LOG, W, N>(coded, dense, out);
        }
    }
    let _ = path;
    unit::expand::<LOG, W, N>(coded, dense, out);
}
