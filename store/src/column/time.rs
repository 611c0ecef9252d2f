//! Row times of a segment: sorted inside each run, exact, with `lower_bound` by model.
//!
//! Good at: clocks. A *piece* is some consecutive rows and a straight line; what the line misses is kept in a fixed
//! number of bits a row. A regular clock is one piece a run, without residuals; a gap begins a new piece; a jittering
//! clock pays the bits of its jitter. A row is found by the line first and by its neighbours then. Lines are fitted
//! greedily with a shrinking cone of slopes (O'Rourke, "An on-line algorithm for fitting straight lines between data
//! ranges", 1981), at the residual width that is cheapest on a sample of the run; short runs share a piece.
//!
//! ```text
//! offset  width  field
//!      0      8  n           number of rows
//!      8      8  k           number of pieces; 0 only if n is 0
//!     16      8  base        signed; the smallest base of a piece
//!     24      1  first_bits  width of `first`, 0 to 64
//!     25      1  base_bits   width of `base above`, 0 to 64
//!     26      1  slope_bits  width of `slope`, 0 to 64
//!     27      1  start_bits  width of `start`, 0 to 64
//!     28      1  shift       0 to 64
//!     29      3  zero
//!     32      -  pieces in row order, packed (see `column/packed.rs`), then 16 zero bytes
//!      -      -  residuals, packed, then 16 zero bytes
//!
//! a piece, bits in this order
//! first_bits  first       its first row; 0 for the first piece, ascending
//!  base_bits  base above  above the smallest base, wrapping around
//! slope_bits  slope
//! start_bits  start       bit of its first residual
//!          7  width       bits of a residual, 0 to 64
//!          1  half
//!
//! time of row first + i
//!     =  base + base above + ((slope * i + (half and shift > 0 ? 2^(shift-1) : 0)) >> shift) + residual i
//! ```
//!
//! The product has 128 bits, sums wrap around at 64: every sequence of times is representable.

use std::ops::Range;

use super::packed::{PADDING_BYTES, read, stream_bytes};
use crate::error::{Error, Result};
use crate::section::Section;

mod encode;
#[cfg(test)]
mod tests;

pub use encode::encode;

const HEADER_BYTES: u64 = 32;
const WIDTH_BITS: u32 = 7;
/// Finest slope.
const MAX_SHIFT: u32 = 64;

/// A straight line over some rows.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Line {
    base: i64,
    slope: u64,
    shift: u32,
    half: bool,
}

impl Line {
    #[inline]
    fn offset(&self) -> u128 {
        if self.half && self.shift > 0 {
            1 << (self.shift - 1)
        } else {
            0
        }
    }

    /// Time on the line, `index` rows after its first.
    #[inline]
    fn at(&self, index: u64) -> i64 {
        self.of_product(
            u128::from(self.slope)
                .wrapping_mul(u128::from(index))
                .wrapping_add(self.offset()),
        )
    }

    #[inline]
    fn of_product(&self, product: u128) -> i64 {
        #[expect(clippy::cast_possible_truncation, reason = "times wrap around at 64 bits")]
        self.base.wrapping_add((product >> self.shift) as i64)
    }
}

/// The read side of row times.
#[derive(Debug)]
pub struct TimeColumn {
    section: Section,
    rows: u64,
    pieces: u64,
    base: i64,
    /// Widths of first, base above, slope and start.
    widths: [u32; 4],
    /// Bits of a piece.
    piece_bits: u64,
    shift: u32,
    /// First byte of the residuals.
    stream: u64,
}

/// A piece as read.
#[derive(Debug, Clone, Copy)]
struct Opened {
    index: u64,
    first: u64,
    end: u64,
    line: Line,
    width: u32,
    bit: u64,
}

impl TimeColumn {
    /// Opens what [`encode`] wrote for `rows` rows.
    ///
    /// # Errors
    /// `Corrupt` if the header does not fit the section or the number of rows.
    pub fn open(section: Section, rows: u64) -> Result<TimeColumn> {
        let (found, pieces) = (section.u64(0)?, section.u64(8)?);
        let base = section.u64(16)? as i64;
        let [first, above, slope, start, shift, zeros @ ..] = section.array::<8>(24)?;
        let widths = [first, above, slope, start].map(u32::from);
        let piece_bits = widths.iter().sum::<u32>() + WIDTH_BITS + 1;
        let stream = stream_bytes(pieces, piece_bits).and_then(|bytes| bytes.checked_add(HEADER_BYTES));
        let end = stream.and_then(|stream| stream.checked_add(PADDING_BYTES));
        let fits = widths.iter().all(|&width| width <= 64)
            && u32::from(shift) <= MAX_SHIFT
            && zeros == [0; 3]
            && end.is_some_and(|end| end <= section.len());
        if found != rows || !fits || (pieces == 0) != (rows == 0) || pieces > rows {
            return Err(section.corrupt(
                0,
                format!("{pieces} pieces for {found} rows, where there are {rows}"),
            ));
        }
        let (piece_bits, shift) = (u64::from(piece_bits), u32::from(shift));
        let stream = stream.unwrap_or_default();
        Ok(TimeColumn {
            section,
            rows,
            pieces,
            base,
            widths,
            piece_bits,
            shift,
            stream,
        })
    }

    /// Number of rows.
    pub fn len(&self) -> u64 {
        self.rows
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Number of straight lines that the times are described by.
    pub fn piece_count(&self) -> u64 {
        self.pieces
    }

    /// Time of row `row`.
    ///
    /// # Errors
    /// `OutOfRange` if there is no such row.
    ///
    /// # Complexity
    /// Logarithmic in the number of pieces.
    pub fn get(&self, row: u64) -> Result<i64> {
        self.check(row, row.saturating_add(1))?;
        self.time(&self.piece_of(row)?, row)
    }

    /// Times of `rows`, into `out`, which has that many places.
    ///
    /// # Errors
    /// `OutOfRange` if there are no such rows, `InvalidArgument` if `out` has another length.
    pub fn decode(&self, rows: Range<u64>, out: &mut [i64]) -> Result<()> {
        self.check(rows.start, rows.end)?;
        if out.len() as u64 != rows.end - rows.start {
            return Err(Error::invalid(format!(
                "{} places for {} rows",
                out.len(),
                rows.end - rows.start
            )));
        }
        if rows.is_empty() {
            return Ok(());
        }
        let mut piece = self.piece_of(rows.start)?;
        let mut slots = out.iter_mut();
        let mut row = rows.start;
        loop {
            let end = piece.end.min(rows.end);
            let first = row - piece.first;
            let (line, slope) = (piece.line, u128::from(piece.line.slope));
            let mut product = slope.wrapping_mul(u128::from(first)).wrapping_add(line.offset());
            let mut bit = piece.bit.wrapping_add(first.wrapping_mul(u64::from(piece.width)));
            for slot in slots
                .by_ref()
                .take(usize::try_from(end - row).unwrap_or(usize::MAX))
            {
                let residual = read(&self.section, self.stream, bit, piece.width)?;
                *slot = line.of_product(product).wrapping_add(residual as i64);
                product = product.wrapping_add(slope);
                bit = bit.wrapping_add(u64::from(piece.width));
            }
            row = end;
            if row >= rows.end {
                return Ok(());
            }
            piece = self.piece(piece.index + 1)?;
        }
    }

    /// First row of `run` whose time is at least `time`; `run.end` if there is none. `run` lies in one run.
    ///
    /// # Errors
    /// `OutOfRange` if there are no such rows.
    ///
    /// # Complexity
    /// Logarithmic in the pieces of the run and in how far the residuals lead astray.
    pub fn lower_bound(&self, run: Range<u64>, time: i64) -> Result<u64> {
        self.check(run.start, run.end)?;
        if run.is_empty() {
            return Ok(run.end);
        }
        // The last piece whose first row in the run is earlier than `time` holds the answer or ends before it.
        let mut low = self.index_of(run.start)?;
        let mut high = self.index_of(run.end - 1)? + 1;
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            let piece = self.open_ended(middle)?;
            if self.time(&piece, piece.first.max(run.start))? < time {
                low = middle
            } else {
                high = middle
            }
        }
        let piece = self.piece(low)?;
        let (first, last) = (piece.first.max(run.start), piece.end.min(run.end));
        self.search(&piece, first..last.max(first), time)
    }

    /// First row of `rows`, all in `piece`, whose time is at least `time`.
    fn search(&self, piece: &Opened, rows: Range<u64>, time: i64) -> Result<u64> {
        // Rows before `low` are earlier than `time`, rows from `high` on are not.
        let (mut low, mut high) = (rows.start, rows.end);
        let slope = piece.line.slope as f64 / 2f64.powi(piece.line.shift as i32);
        if slope > 0.0 && low < high {
            // Where the line is half a residual below the time; then away from there in growing steps.
            let spread = 2f64.powi(piece.width as i32);
            let rise = (i128::from(time) - i128::from(piece.line.base)) as f64 - spread / 2.0;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "saturates; only a guess"
            )]
            let (guess, mut step) = ((rise / slope) as u64, ((spread / slope / 8.0) as u64).max(1));
            let guess = piece.first.saturating_add(guess).clamp(low, high - 1);
            if self.time(piece, guess)? < time {
                low = guess + 1;
                while let Some(probe) = low.checked_add(step - 1).filter(|&probe| probe < high) {
                    if self.time(piece, probe)? >= time {
                        high = probe;
                        break;
                    }
                    low = probe + 1;
                    step = step.saturating_mul(4);
                }
            } else {
                high = guess;
                while low < high {
                    let probe = high.saturating_sub(step).max(low);
                    if self.time(piece, probe)? < time {
                        low = probe + 1;
                        break;
                    }
                    high = probe;
                    step = step.saturating_mul(4);
                }
            }
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if self.time(piece, middle)? < time {
                low = middle + 1
            } else {
                high = middle
            }
        }
        Ok(low)
    }

    #[inline]
    fn time(&self, piece: &Opened, row: u64) -> Result<i64> {
        let index = row.wrapping_sub(piece.first);
        let bit = piece.bit.wrapping_add(index.wrapping_mul(u64::from(piece.width)));
        let residual = read(&self.section, self.stream, bit, piece.width)?;
        Ok(piece.line.at(index).wrapping_add(residual as i64))
    }

    fn check(&self, start: u64, end: u64) -> Result<()> {
        if start > end || end > self.rows {
            return Err(Error::OutOfRange {
                what: "row",
                position: end,
                end: self.rows,
            });
        }
        Ok(())
    }

    fn first_row(&self, index: u64) -> Result<u64> {
        read(
            &self.section,
            HEADER_BYTES,
            index.saturating_mul(self.piece_bits),
            self.widths[0],
        )
    }

    /// The last piece that begins at or before `row`.
    fn index_of(&self, row: u64) -> Result<u64> {
        let (mut low, mut high) = (0, self.pieces);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.first_row(middle)? <= row {
                low = middle
            } else {
                high = middle
            }
        }
        Ok(low)
    }

    fn piece_of(&self, row: u64) -> Result<Opened> {
        let piece = self.piece(self.index_of(row)?)?;
        if row < piece.first || row >= piece.end {
            return Err(self
                .section
                .corrupt(HEADER_BYTES, format!("no piece holds row {row}")));
        }
        Ok(piece)
    }

    fn piece(&self, index: u64) -> Result<Opened> {
        let end = if index + 1 < self.pieces {
            self.first_row(index + 1)?
        } else {
            self.rows
        };
        let piece = Opened {
            end,
            ..self.open_ended(index)?
        };
        if piece.first >= end || end > self.rows {
            return Err(self.out_of_order(index));
        }
        Ok(piece)
    }

    /// A piece whose end is not looked up.
    fn open_ended(&self, index: u64) -> Result<Opened> {
        let at = index.saturating_mul(self.piece_bits);
        let [first, above, slope, bit, width, half] = if self.piece_bits <= 120 {
            // All fields lie in one read.
            let start = HEADER_BYTES.saturating_add(at / 8);
            let mut word = u128::from_le_bytes(self.section.array(start)?) >> (at % 8);
            self.fields().map(|bits| {
                let value = word & ((1 << bits) - 1);
                word >>= bits;
                #[expect(clippy::cast_possible_truncation, reason = "a field has at most 64 bits")]
                let value = value as u64;
                value
            })
        } else {
            let mut values = [0; 6];
            let mut at = at;
            for (value, bits) in values.iter_mut().zip(self.fields()) {
                *value = read(&self.section, HEADER_BYTES, at, bits)?;
                at = at.saturating_add(u64::from(bits));
            }
            values
        };
        if width > 64 || index >= self.pieces || first >= self.rows {
            return Err(self.out_of_order(index));
        }
        let base = self.base.wrapping_add(above as i64);
        let line = Line {
            base,
            slope,
            shift: self.shift,
            half: half == 1,
        };
        #[expect(clippy::cast_possible_truncation, reason = "at most 64, as checked")]
        let width = width as u32;
        Ok(Opened {
            index,
            first,
            end: self.rows,
            line,
            width,
            bit,
        })
    }

    fn fields(&self) -> [u32; 6] {
        let [first, above, slope, start] = self.widths;
        [first, above, slope, start, WIDTH_BITS, 1]
    }

    #[cold]
    fn out_of_order(&self, index: u64) -> Error {
        let at = HEADER_BYTES + index.saturating_mul(self.piece_bits) / 8;
        self.section
            .corrupt(at, format!("piece {index} is out of order or too wide"))
    }
}
