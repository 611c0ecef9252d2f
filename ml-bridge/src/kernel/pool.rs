//! Averages and maxima over windows, and copies into padded images.

use std::ops::Range;

use super::requantize::Bounds;

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
    fn part(&self, axis: usize, position: usize) -> Range<usize> {
        let start = position * self.stride[axis];
        let end = (start + self.window[axis])
            .saturating_sub(self.before[axis])
            .min(self.input[axis]);
        start.saturating_sub(self.before[axis]).min(end)..end
    }

    /// Computes the image.
    pub fn run(&self, input: &[u8], output: &mut [u8]) {
        let mut results = output.chunks_exact_mut(self.channels);
        for y in 0..self.output[0] {
            let rows = self.part(0, y);
            for x in 0..self.output[1] {
                let Some(result) = results.next() else { return };
                self.window(input, [rows.clone(), self.part(1, x)], result);
            }
        }
    }

    /// One result per channel, from the pixels in `rows` and `columns`; 64, 16, 8 or 1 channels at a time.
    fn window(&self, input: &[u8], [rows, columns]: [Range<usize>; 2], result: &mut [u8]) {
        let mut done = 0;
        while done < self.channels {
            let width = [64, 16, 8, 1]
                .into_iter()
                .find(|w| done + w <= self.channels)
                .unwrap_or(1);
            let part = &mut result[done..done + width];
            match width {
                64 => self.channels_at::<64>(input, &rows, &columns, done, part),
                16 => self.channels_at::<16>(input, &rows, &columns, done, part),
                8 => self.channels_at::<8>(input, &rows, &columns, done, part),
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
    fn channels_at<const N: usize>(
        &self,
        input: &[u8],
        rows: &Range<usize>,
        columns: &Range<usize>,
        first: usize,
        result: &mut [u8],
    ) {
        let width = columns.len() * self.channels;
        let line = |row: usize| &input[(row * self.input[1] + columns.start) * self.channels..][..width];
        let (low, high) = (self.bounds.low, self.bounds.high);
        if self.max {
            let mut most = [0u8; N];
            for row in rows.clone() {
                for pixel in line(row).chunks_exact(self.channels) {
                    most.iter_mut()
                        .zip(&pixel[first..first + N])
                        .for_each(|(m, v)| *m = (*m).max(*v));
                }
            }
            result
                .iter_mut()
                .zip(most)
                .for_each(|(r, m)| *r = m.clamp(low, high));
            return;
        }
        // 255 times the pixels of an image, of which there are fewer than 2^28, may wrap only in absurd windows.
        let mut sums = [0u32; N];
        for row in rows.clone() {
            for pixel in line(row).chunks_exact(self.channels) {
                sums.iter_mut()
                    .zip(&pixel[first..first + N])
                    .for_each(|(s, v)| *s = s.wrapping_add(u32::from(*v)));
            }
        }
        // An empty window (all padding) averages to zero.
        let count = i64::try_from((rows.len() * columns.len()).max(1)).unwrap_or(i64::MAX);
        for (to, sum) in result.iter_mut().zip(sums) {
            // Halves go away from int8 zero, which is byte 128.
            let plain = i64::from(sum) - 128 * count;
            let half = if plain > 0 { count / 2 } else { -(count / 2) };
            let rounded = if count <= 1 << 20 {
                i64::from((plain + half) as i32 / count as i32)
            } else {
                (plain + half) / count
            };
            *to = (rounded + 128).clamp(i64::from(low), i64::from(high)) as u8;
        }
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
