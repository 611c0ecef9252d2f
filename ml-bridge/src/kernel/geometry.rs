//! Where a layer reads: patches for dot products, windows for depthwise filters; and how many outputs are one block.

/// Outputs in one block: 32-bit lanes of a 512-bit register.
pub const LANES: usize = 16;

/// Where patches lie in the input, and how many there are.
#[derive(Debug, Clone, PartialEq)]
pub struct Geometry {
    /// Result rows and columns.
    pub size: [usize; 2],
    /// Bytes from one result row's first patch to the next.
    pub row_step: usize,
    /// Bytes from one result column's patch to the next.
    pub column_step: usize,
    /// Start of each segment, relative to the patch.
    pub offsets: Vec<usize>,
    /// Bytes of each segment.
    pub segment: usize,
}

impl Geometry {
    /// Results per output channel.
    pub fn positions(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// The same patches as one row, if rows follow each other without a gap.
    pub fn flattened(mut self) -> Self {
        if self.row_step == self.column_step * self.size[1] {
            self.size = [1, self.size[0] * self.size[1]];
        }
        self
    }

    /// Bytes of a patch.
    pub fn patch(&self) -> usize {
        self.offsets.len() * self.segment
    }

    /// One past the last byte that is read when every segment is read in units of 4 or 8 bytes.
    pub fn reach(&self) -> usize {
        let last = (self.size[0].max(1) - 1) * self.row_step + (self.size[1].max(1) - 1) * self.column_step;
        last + self.offsets.iter().max().copied().unwrap_or(0) + self.segment.next_multiple_of(8)
    }
}

/// Where the filter goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// Result rows and columns.
    pub size: [usize; 2],
    /// Channels.
    pub channels: usize,
    /// Bytes per input row.
    pub pitch: usize,
    /// Filter height and width.
    pub taps: [usize; 2],
    /// Step, vertical and horizontal.
    pub stride: [usize; 2],
    /// Distance of taps, vertical and horizontal.
    pub dilation: [usize; 2],
}

impl Window {
    /// One past the last input byte that is read.
    pub fn reach(&self) -> usize {
        let last = |axis: usize| {
            (self.size[axis].max(1) - 1) * self.stride[axis]
                + (self.taps[axis].max(1) - 1) * self.dilation[axis]
        };
        last(0) * self.pitch + (last(1) + 1) * self.channels
    }
}
