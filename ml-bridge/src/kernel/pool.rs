//! Averages and maxima over windows, and copies into padded images.

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
    fn part(&self, axis: usize, position: usize) -> std::ops::Range<usize> {
        let start = position * self.stride[axis];
        let end = (start + self.window[axis])
            .saturating_sub(self.before[axis])
            .min(self.input[axis]);
        start.saturating_sub(self.before[axis]).min(end)..end
    }

    /// Computes the image; `sums` holds a number per channel.
    pub fn run(&self, input: &[u8], output: &mut [u8], sums: &mut [i32]) {
        let mut results = output.chunks_exact_mut(self.channels);
        for y in 0..self.output[0] {
            let rows = self.part(0, y);
            for x in 0..self.output[1] {
                let columns = self.part(1, x);
                let Some(result) = results.next() else { return };
                let pixels = rows.clone().flat_map(|row| {
                    let start = (row * self.input[1] + columns.start) * self.channels;
                    input[start..][..columns.len() * self.channels].chunks_exact(self.channels)
                });
                if self.max {
                    result.fill(0);
                    pixels.for_each(|p| result.iter_mut().zip(p).for_each(|(r, v)| *r = (*r).max(*v)));
                    result
                        .iter_mut()
                        .for_each(|r| *r = (*r).clamp(self.bounds.low, self.bounds.high));
                } else {
                    let sums = &mut sums[..self.channels];
                    sums.fill(0);
                    pixels.for_each(|p| sums.iter_mut().zip(p).for_each(|(s, v)| *s += i32::from(*v)));
                    self.average(sums, rows.len() * columns.len(), result);
                }
            }
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an average of bytes, clamped"
    )]
    fn average(&self, sums: &[i32], count: usize, result: &mut [u8]) {
        // An empty window (all padding) averages to zero.
        let count = i32::try_from(count.max(1)).unwrap_or(i32::MAX);
        for (to, sum) in result.iter_mut().zip(sums) {
            // Halves go away from int8 zero, which is byte 128.
            let plain = sum - 128 * count;
            let rounded = if plain > 0 {
                (plain + count / 2) / count
            } else {
                (plain - count / 2) / count
            };
            *to = (rounded + 128).clamp(i32::from(self.bounds.low), i32::from(self.bounds.high)) as u8;
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

    /// Copies.
    pub fn run(&self, input: &[u8], output: &mut [u8]) {
        let pitch = self.pitch();
        let (above, rest) = output[..self.bytes()].split_at_mut(self.above * pitch);
        let (middle, below) = rest.split_at_mut(self.rows * pitch);
        above.fill(self.value);
        below.fill(self.value);
        if self.row == 0 || pitch == 0 {
            middle.fill(self.value);
            return;
        }
        for (to, from) in middle.chunks_exact_mut(pitch).zip(input.chunks_exact(self.row)) {
            let (left, to) = to.split_at_mut(self.left);
            let (to, right) = to.split_at_mut(self.row * self.repeat);
            left.fill(self.value);
            right.fill(self.value);
            if self.repeat == 1 {
                to.copy_from_slice(from);
            } else {
                to.chunks_exact_mut(self.repeat)
                    .zip(from)
                    .for_each(|(to, from)| to.fill(*from));
            }
        }
    }
}
