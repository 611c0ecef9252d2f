//! Averages and maxima over windows, and copies into padded images.

use std::ops::Range;

use super::requantize::Bounds;
use super::{Isa, versions};

/// Bytes that are joined at once.
const PART: usize = 16;
/// Most parts of a short row.
const SHORT: usize = 16;

versions!(
    fn pools(pool: &Pool, input: &[u8], output: &mut [u8]) {
        pool.all(input, output);
    }
);

/// A window sliding over an image `[height, width, channels]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    /// Input height and width.
    pub input: [usize; 2],
    /// Channels.
    pub channels: usize,
    /// Output height and width.
    pub output: [usize; 2],
    /// Window height and width.
    pub window: [usize; 2],
    /// Step, vertical and horizontal.
    pub stride: [usize; 2],
    /// Positions before the first pixel, vertical and horizontal.
    pub before: [usize; 2],
    /// Where results are held.
    pub bounds: Bounds,
    /// Maximum instead of average.
    pub max: bool,
}

impl Pool {
    /// The part of axis `axis` that the window at result `position` covers.
    #[inline(always)]
    fn part(&self, axis: usize, position: usize) -> Range<usize> {
        let start = position * self.stride[axis];
        let end = (start + self.window[axis])
            .saturating_sub(self.before[axis])
            .min(self.input[axis]);
        start.saturating_sub(self.before[axis]).min(end)..end
    }

    /// Computes the image with the instructions of `isa`.
    pub fn run(&self, isa: Isa, input: &[u8], output: &mut [u8]) {
        versions!(isa, pools(self, input, output));
    }

    #[inline(always)]
    fn all(&self, input: &[u8], output: &mut [u8]) {
        if self.max && self.narrow(input, output) {
            return;
        }
        let mut results = output.chunks_exact_mut(self.channels);
        for y in 0..self.output[0] {
            let rows = self.part(0, y);
            for x in 0..self.output[1] {
                let Some(result) = results.next() else { return };
                self.window(input, [rows.clone(), self.part(1, x)], result);
            }
        }
    }

    /// Maxima over an image whose rows are short, so that a window's rows are joined once for all its neighbours; false if
    /// they are not.
    #[inline(always)]
    fn narrow(&self, input: &[u8], output: &mut [u8]) -> bool {
        let row_bytes = self.input[1] * self.channels;
        // Never so much more than a row that it reaches beyond what lies behind an image in the arena.
        let parts = match row_bytes.div_ceil(PART) {
            few @ (1 | 2) => few,
            3 | 4 => 4,
            5..=8 => 8,
            9..=12 => 12,
            _ => SHORT,
        };
        if row_bytes > SHORT * PART || input.len() < (self.input[0].max(1) - 1) * row_bytes + parts * PART {
            return false;
        }
        match parts {
            1 => self.rows::<1>(input, output),
            2 => self.rows::<2>(input, output),
            4 => self.rows::<4>(input, output),
            8 => self.rows::<8>(input, output),
            12 => self.rows::<12>(input, output),
            _ => self.rows::<SHORT>(input, output),
        }
        true
    }

    /// As [`Pool::narrow`], `P` parts of each row, some of which may lie beyond it.
    #[inline(always)]
    fn rows<const P: usize>(&self, input: &[u8], output: &mut [u8]) {
        let row_bytes = self.input[1] * self.channels;
        let mut most = [0u8; (SHORT + 1) * PART];
        let mut results = output.chunks_exact_mut(self.channels);
        for y in 0..self.output[0] {
            let rows = self.part(0, y);
            let mut joined = [[0u8; PART]; P];
            let mut from = &input[rows.start * row_bytes..];
            for _ in rows {
                let row = from[..P * PART].chunks_exact(PART);
                for (joined, row) in joined.iter_mut().zip(row) {
                    for (joined, value) in joined.iter_mut().zip(row) {
                        *joined = (*joined).max(*value);
                    }
                }
                from = &from[row_bytes..];
            }
            most[..P * PART].copy_from_slice(joined.as_flattened());
            for x in 0..self.output[1] {
                let Some(result) = results.next() else { return };
                // No wider than what was stored at once, where that is enough: else the processor waits for the store.
                if self.channels <= PART / 2 {
                    self.join::<{ PART / 2 }>(&most, self.part(1, x), result);
                } else {
                    self.join::<PART>(&most, self.part(1, x), result);
                }
            }
        }
    }

    /// One result per channel, from the joined pixels in `columns`, `N` channels at a time.
    #[inline(always)]
    fn join<const N: usize>(
        &self,
        most: &[u8; (SHORT + 1) * PART],
        columns: Range<usize>,
        result: &mut [u8],
    ) {
        for (part, to) in result.chunks_mut(N).enumerate() {
            let mut joined = [self.bounds.low; N];
            for column in columns.clone() {
                // Beyond the row, if channels are fewer than a part, is room enough.
                let from = &most[column * self.channels + part * N..][..N];
                for (joined, value) in joined.iter_mut().zip(from) {
                    *joined = (*joined).max(*value);
                }
            }
            for joined in &mut joined {
                *joined = (*joined).min(self.bounds.high);
            }
            match to.first_chunk_mut::<N>() {
                Some(whole) => *whole = joined,
                None => to.copy_from_slice(&joined[..to.len()]),
            }
        }
    }

    /// One result per channel, from the pixels in `rows` and `columns`; 64 or 16 channels at a time, beyond the last one
    /// if there is something to read, else one.
    #[inline(always)]
    fn window(&self, input: &[u8], [rows, columns]: [Range<usize>; 2], result: &mut [u8]) {
        let last = (rows.end.max(1) - 1) * self.input[1] + columns.end.max(1) - 1;
        let beyond = input.len().saturating_sub(last * self.channels);
        let mut done = 0;
        while done < self.channels {
            let left = self.channels - done;
            let width = match left {
                64.. => 64,
                16.. => 16,
                _ if done + 16 <= beyond => left,
                _ => 1,
            };
            let part = &mut result[done..done + width];
            match width {
                64 => self.channels_at::<64>(input, &rows, &columns, done, part),
                _ if done + 16 <= beyond => self.channels_at::<16>(input, &rows, &columns, done, part),
                _ => self.channels_at::<1>(input, &rows, &columns, done, part),
            }
            done += width;
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an average of bytes, clamped"
    )]
    #[inline(always)]
    fn channels_at<const N: usize>(
        &self,
        input: &[u8],
        rows: &Range<usize>,
        columns: &Range<usize>,
        first: usize,
        result: &mut [u8],
    ) {
        let (low, high) = (self.bounds.low, self.bounds.high);
        let row_bytes = self.input[1] * self.channels;
        let start = columns.start * self.channels + first;
        let starts = rows.clone().map(|row| row * row_bytes + start);
        if self.max {
            let mut most = [0u8; N];
            for mut at in starts {
                for _ in columns.clone() {
                    let Some(pixel) = input.get(at..).and_then(<[u8]>::first_chunk::<N>) else {
                        return;
                    };
                    for (most, value) in most.iter_mut().zip(pixel) {
                        *most = (*most).max(*value);
                    }
                    at += self.channels;
                }
            }
            result
                .iter_mut()
                .zip(most)
                .for_each(|(r, m)| *r = m.clamp(low, high));
            return;
        }
        // 255 times the pixels of an image, of which there are fewer than 2^28, may wrap only in absurd windows. As many
        // pixels as fit are added in 16 bits.
        let mut sums = [0u32; N];
        let mut part = [0u16; N];
        let mut room = 257;
        for mut at in starts {
            for _ in columns.clone() {
                let Some(pixel) = input.get(at..).and_then(<[u8]>::first_chunk::<N>) else {
                    return;
                };
                for (sum, value) in part.iter_mut().zip(pixel) {
                    *sum = sum.wrapping_add(u16::from(*value));
                }
                at += self.channels;
                room -= 1;
                if room == 0 {
                    spill(&mut sums, &mut part);
                    room = 257;
                }
            }
        }
        spill(&mut sums, &mut part);
        // An empty window (all padding) averages to zero.
        let count = (rows.len() * columns.len()).max(1) as u64;
        // Rounded up, so that a product with a number below 2^24 and 40 bits less is the quotient.
        let inverse = (1u64 << 40).div_ceil(count);
        let zero = 128 * count;
        for (to, sum) in result.iter_mut().zip(sums) {
            // Halves go away from int8 zero, which is byte 128.
            let size = u64::from(sum).abs_diff(zero) + count / 2;
            let steps = if count <= 1 << 12 {
                (size * inverse) >> 40
            } else {
                size / count
            };
            let steps = i64::try_from(steps).unwrap_or(i64::MAX / 2);
            let above = if u64::from(sum) > zero { steps } else { -steps };
            *to = (above + 128).clamp(i64::from(low), i64::from(high)) as u8;
        }
    }
}

/// Adds `part` to `sums` and starts it anew.
#[inline(always)]
fn spill<const N: usize>(sums: &mut [u32; N], part: &mut [u16; N]) {
    for (sum, part) in sums.iter_mut().zip(part) {
        *sum = sum.wrapping_add(u32::from(*part));
        *part = 0;
    }
}

/// A copy of rows into a larger image, the rest filled with one byte.
#[derive(Debug, Clone, PartialEq)]
pub struct Pad {
    /// Rows and bytes per row of the input.
    pub rows: usize,
    /// Bytes per input row.
    pub row: usize,
    /// Rows added above.
    pub above: usize,
    /// Rows added below.
    pub below: usize,
    /// Bytes added before each row.
    pub left: usize,
    /// Bytes added after each row.
    pub right: usize,
    /// The byte added.
    pub value: u8,
    /// How many times each byte is repeated (depth multiplier of a depthwise layer).
    pub repeat: usize,
}

impl Pad {
    /// Bytes of an output row.
    pub fn pitch(&self) -> usize {
        self.left + self.row * self.repeat + self.right
    }

    /// Bytes of the output.
    pub fn bytes(&self) -> usize {
        (self.above + self.rows + self.below) * self.pitch()
    }

    /// First byte of the copied rows.
    pub fn start(&self) -> usize {
        self.above * self.pitch() + self.left
    }

    /// Fills everything but the copied rows.
    pub fn border(&self, output: &mut [u8]) {
        let (pitch, inner) = (self.pitch(), self.row * self.repeat);
        let end = (self.above + self.rows) * pitch;
        if inner == 0 || self.left + self.right > inner {
            output[..self.bytes()].fill(self.value);
            return;
        }
        output[..self.above * pitch + self.left].fill(self.value);
        if self.left + self.right > 0 {
            // What is right of a row and left of the next is one stretch.
            for row in self.above..(self.above + self.rows).saturating_sub(1) {
                let at = row * pitch + self.left + inner;
                output[at..at + self.right + self.left].fill(self.value);
            }
        }
        output[end - self.right.min(end)..self.bytes()].fill(self.value);
    }

    /// Copies.
    pub fn run(&self, input: &[u8], output: &mut [u8]) {
        let pitch = self.pitch();
        self.border(output);
        let inner = self.row * self.repeat;
        if inner == 0 {
            return;
        }
        let rows = output[self.start()..].chunks_mut(pitch).take(self.rows);
        for (to, from) in rows.zip(input.chunks_exact(self.row)) {
            if self.repeat == 1 {
                copy(from, &mut to[..inner]);
            } else {
                for (to, from) in to[..inner].chunks_exact_mut(self.repeat).zip(from) {
                    to.fill(*from);
                }
            }
        }
    }
}

/// Copies `from` to `to`, of the same length; short rows without a call.
#[inline]
fn copy(from: &[u8], to: &mut [u8]) {
    if from.len() > 64 {
        to.copy_from_slice(from);
        return;
    }
    let whole = from.len() / 8 * 8;
    for (to, from) in to.chunks_exact_mut(8).zip(from.chunks_exact(8)) {
        to.copy_from_slice(from);
    }
    to[whole..]
        .iter_mut()
        .zip(&from[whole..])
        .for_each(|(to, from)| *to = *from);
}
