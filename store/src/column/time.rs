//! Row times of a segment: sorted inside each run, exact, with `lower_bound` by model.
//!
//! Good at: clocks. A *piece* is some consecutive rows and a straight line. In a piece of kind *line* what the line
//! misses is kept in a fixed number of bits a row: a regular clock is one piece a run, without residuals; a gap begins
//! a new piece; a clock that jitters about its grid pays the bits of its jitter. In a piece of kind *gaps* the line runs
//! through the first times of blocks of 64 rows, and inside a block the gaps between rows are kept (see `gaps.rs`): for
//! clocks whose deviations add up, and for events that come when they come. Each run takes the kind of the fewest bits.
//! Where times are multiples of a step (microseconds counted in nanoseconds), pieces count in steps.
//!
//! A row is found by the line first and by its neighbours then. Lines are fitted greedily with a shrinking cone of
//! slopes (O'Rourke, "An on-line algorithm for fitting straight lines between data ranges", 1981), at the residual
//! width that is cheapest on a sample of the run; short runs share a piece.
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
//!     32      8  step        at least 1
//!     40      -  pieces in row order, packed (see `column/packed.rs`), then 16 zero bytes
//!      -      -  residuals and blocks, packed, then 16 zero bytes; 256 more if there is a piece of kind gaps
//!
//! a piece, bits in this order
//! first_bits  first       its first row; 0 for the first piece, ascending
//!  base_bits  base above  above the smallest base, wrapping around
//! slope_bits  slope
//! start_bits  start       bit of its first residual
//!          7  width       bits of a residual, 0 to 64
//!          1  half
//!          1  stepped     its unit is `step`, else 1
//!          1  kind        0 line, 1 gaps
//!
//! time of row first + i of a line
//!     =  base + base above + unit * (((slope * i + (half and shift > 0 ? 2^(shift-1) : 0)) >> shift) + residual i)
//! ```
//!
//! The product has 128 bits, sums wrap around at 64: every sequence of times is representable.

use std::ops::Range;
use std::sync::OnceLock;

use super::packed::{PADDING_BYTES, read_in, stream_bytes};
use crate::error::{Error, Result};
use crate::rows::index;
use crate::section::{Section, View};

mod encode;
mod gaps;
#[cfg(test)]
mod tests;

pub use encode::encode;

const HEADER_BYTES: u64 = 40;
const WIDTH_BITS: u32 = 7;
/// So many pieces are kept in memory.
const MOST_KEPT: u64 = 64;
/// Pieces of a run from which on the one of a time is guessed before it is searched.
const GUESSED_PIECES: u64 = 8;
/// Guesses of a piece.
const GUESSES: usize = 3;
/// Finest slope.
const MAX_SHIFT: u32 = 64;

/// A straight line over some rows, in units.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Line {
    slope: u64,
    shift: u32,
    half: bool,
}

impl Line {
    #[inline(always)]
    fn offset(&self) -> u128 {
        if self.half && self.shift > 0 {
            1 << (self.shift - 1)
        } else {
            0
        }
    }

    /// Units on the line, `index` rows after its first.
    #[inline(always)]
    fn at(&self, index: u64) -> u64 {
        self.of_product(
            u128::from(self.slope)
                .wrapping_mul(u128::from(index))
                .wrapping_add(self.offset()),
        )
    }

    #[inline(always)]
    fn of_product(&self, product: u128) -> u64 {
        #[expect(clippy::cast_possible_truncation, reason = "times wrap around at 64 bits")]
        {
            (product >> self.shift) as u64
        }
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
    step: u64,
    /// First byte of the residuals.
    stream: u64,
    /// The pieces, where they are few; read when single rows or times are first asked for.
    kept: OnceLock<Vec<(Opened, Option<gaps::Gaps>)>>,
}

/// A piece as read.
#[derive(Debug, Clone, Copy)]
struct Opened {
    index: u64,
    first: u64,
    end: u64,
    base: i64,
    /// What its numbers are multiples of.
    unit: u64,
    line: Line,
    width: u32,
    bit: u64,
    gaps: bool,
}

impl Opened {
    /// The time `units` after the base.
    #[inline(always)]
    fn time(&self, units: u64) -> i64 {
        self.base.wrapping_add(self.unit.wrapping_mul(units) as i64)
    }

    /// Time of row, or block, `index` after the first.
    #[inline(always)]
    fn at(&self, view: &View<'_>, stream: u64, first_bit: u64, stride: u64, index: u64) -> Result<i64> {
        let bit = first_bit.wrapping_add(index.wrapping_mul(stride));
        let residual = read_in(view, stream, bit, self.width)?;
        Ok(self.time(self.line.at(index).wrapping_add(residual)))
    }
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
        let step = section.u64(32)?;
        let widths = [first, above, slope, start].map(u32::from);
        let piece_bits = widths.iter().sum::<u32>() + WIDTH_BITS + 3;
        let stream = stream_bytes(pieces, piece_bits).and_then(|bytes| bytes.checked_add(HEADER_BYTES));
        let end = stream.and_then(|stream| stream.checked_add(PADDING_BYTES));
        let fits = widths.iter().all(|&width| width <= 64)
            && u32::from(shift) <= MAX_SHIFT
            && zeros == [0; 3]
            && step > 0
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
            step,
            stream,
            kept: OnceLock::new(),
        })
    }

    /// Keeps the pieces from now on, where they are few. Not for whoever reads rows in a stretch.
    #[inline]
    fn keep(&self) -> Result<()> {
        if self.pieces <= MOST_KEPT && self.kept.get().is_none() {
            let pieces = self.read_pieces()?;
            self.kept.get_or_init(|| pieces);
        }
        Ok(())
    }

    #[inline]
    fn kept(&self, number: u64) -> Option<&(Opened, Option<gaps::Gaps>)> {
        self.kept.get()?.get(index(number))
    }

    fn read_pieces(&self) -> Result<Vec<(Opened, Option<gaps::Gaps>)>> {
        let view = self.section.view();
        let read = |index| {
            let piece = self.piece(&view, index)?;
            let gaps = if piece.gaps {
                Some(self.gaps(&view, &piece)?)
            } else {
                None
            };
            Ok((piece, gaps))
        };
        (0..self.pieces).map(read).collect()
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
        self.keep()?;
        let view = self.section.view();
        let piece = self.piece_of(&view, row)?;
        let index = row - piece.first;
        if piece.gaps {
            return self.gaps(&view, &piece)?.get(&view, index);
        }
        piece.at(&view, self.stream, piece.bit, u64::from(piece.width), index)
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
        let view = self.section.view();
        let mut piece = self.piece_of(&view, rows.start)?;
        let (mut rest, mut row) = (out, rows.start);
        loop {
            let end = piece.end.min(rows.end);
            let (slots, behind) = rest.split_at_mut(index(end - row).min(rest.len()));
            rest = behind;
            let first = row - piece.first;
            if piece.gaps {
                self.gaps(&view, &piece)?.decode(&view, first, slots)?;
            } else {
                self.decode_line(&view, &piece, first, slots)?;
            }
            row = end;
            if row >= rows.end {
                return Ok(());
            }
            piece = self.piece(&view, piece.index + 1)?;
        }
    }

    fn decode_line(&self, view: &View<'_>, piece: &Opened, first: u64, out: &mut [i64]) -> Result<()> {
        let (line, slope) = (piece.line, u128::from(piece.line.slope));
        let mut product = slope.wrapping_mul(u128::from(first)).wrapping_add(line.offset());
        let mut bit = piece.bit.wrapping_add(first.wrapping_mul(u64::from(piece.width)));
        for slot in out {
            let residual = read_in(view, self.stream, bit, piece.width)?;
            *slot = piece.time(line.of_product(product).wrapping_add(residual));
            product = product.wrapping_add(slope);
            bit = bit.wrapping_add(u64::from(piece.width));
        }
        Ok(())
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
        self.keep()?;
        let view = self.section.view();
        // The last piece whose first row in the run is earlier than `time` holds the answer or ends before it.
        let low = if run.start == 0 {
            0
        } else {
            self.index_of(&view, run.start)?
        };
        let high = if run.end == self.rows {
            self.pieces
        } else {
            self.index_of(&view, run.end - 1)? + 1
        };
        let low = self.last_before(&view, low..high, time)?;
        let piece = self.piece(&view, low)?;
        let (first, last) = (piece.first.max(run.start), piece.end.min(run.end));
        if piece.gaps {
            let found = self.gaps(&view, &piece)?.lower_bound(&view, time)?;
            return Ok((piece.first + found).clamp(first, last.max(first)));
        }
        let rows = first - piece.first..last.max(first) - piece.first;
        let stride = u64::from(piece.width);
        let found = search(&piece, rows, time, |index| {
            piece.at(&view, self.stream, piece.bit, stride, index)
        })?;
        Ok(piece.first + found)
    }

    /// The last of some pieces of one run whose first row is earlier than `time`; the first of them if none is.
    fn last_before(&self, view: &View<'_>, pieces: Range<u64>, time: i64) -> Result<u64> {
        let (mut low, mut high) = (pieces.start, pieces.end);
        let first_time = |number| -> Result<i64> {
            let piece = self.open_ended(view, number)?;
            // Only the first piece of the run may begin before it.
            if piece.gaps {
                self.gaps(view, &piece)?.get(view, 0)
            } else {
                piece.at(view, self.stream, piece.bit, 0, 0)
            }
        };
        if high - low > GUESSED_PIECES {
            // Pieces of a clock are about equally long: a guess from the ends, then ones from what the last one missed.
            let (first, last) = (first_time(low)?, first_time(high - 1)?);
            if time <= first {
                return Ok(low);
            }
            if time > last {
                return Ok(high - 1);
            }
            let slope = difference(last, first) / (high - 1 - low) as f64;
            let (mut at, mut found) = (low, first);
            for _ in 0..GUESSES {
                let missed = difference(time, found) / slope;
                #[expect(clippy::cast_possible_truncation, reason = "saturates; only a guess")]
                let guess = at
                    .saturating_add_signed(missed as i64)
                    .clamp(low, high.max(low + 1) - 1);
                if guess == at {
                    break;
                }
                (at, found) = (guess, first_time(guess)?);
                if found < time {
                    low = low.max(at);
                } else {
                    high = high.min(at);
                }
            }
            // The answer is near: away from there in growing steps.
            let mut step = 1;
            if found < time {
                while let Some(probe) = low.checked_add(step).filter(|&probe| probe < high) {
                    if first_time(probe)? >= time {
                        high = probe;
                        break;
                    }
                    low = probe;
                    step *= 2;
                }
            } else {
                while let Some(probe) = high.checked_sub(step).filter(|&probe| probe > low) {
                    if first_time(probe)? < time {
                        low = probe;
                        break;
                    }
                    high = probe;
                    step *= 2;
                }
            }
        }
        while high.saturating_sub(low) > 1 {
            let middle = low + (high - low) / 2;
            if first_time(middle)? < time {
                low = middle
            } else {
                high = middle
            }
        }
        Ok(low)
    }

    fn gaps(&self, view: &View<'_>, piece: &Opened) -> Result<gaps::Gaps> {
        match self.kept(piece.index) {
            Some((_, Some(gaps))) => Ok(*gaps),
            _ => gaps::Gaps::open(view, self.stream, *piece),
        }
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

    fn first_row(&self, view: &View<'_>, number: u64) -> Result<u64> {
        if let Some((piece, _)) = self.kept(number) {
            return Ok(piece.first);
        }
        read_in(
            view,
            HEADER_BYTES,
            number.saturating_mul(self.piece_bits),
            self.widths[0],
        )
    }

    /// The last piece that begins at or before `row`.
    fn index_of(&self, view: &View<'_>, row: u64) -> Result<u64> {
        let (mut low, mut high) = (0, self.pieces);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.first_row(view, middle)? <= row {
                low = middle
            } else {
                high = middle
            }
        }
        Ok(low)
    }

    fn piece_of(&self, view: &View<'_>, row: u64) -> Result<Opened> {
        let piece = self.piece(view, self.index_of(view, row)?)?;
        if row < piece.first || row >= piece.end {
            return Err(self
                .section
                .corrupt(HEADER_BYTES, format!("no piece holds row {row}")));
        }
        Ok(piece)
    }

    fn piece(&self, view: &View<'_>, number: u64) -> Result<Opened> {
        if let Some((piece, _)) = self.kept(number) {
            return Ok(*piece);
        }
        let end = if number + 1 < self.pieces {
            self.first_row(view, number + 1)?
        } else {
            self.rows
        };
        let piece = Opened {
            end,
            ..self.open_ended(view, number)?
        };
        if piece.first >= end || end > self.rows {
            return Err(self.out_of_order(number));
        }
        Ok(piece)
    }

    /// A piece whose end is not looked up.
    fn open_ended(&self, view: &View<'_>, number: u64) -> Result<Opened> {
        if let Some((piece, _)) = self.kept(number) {
            return Ok(*piece);
        }
        let at = number.saturating_mul(self.piece_bits);
        let [first, above, slope, bit, width, half, stepped, gaps] = if self.piece_bits <= 120 {
            // All fields lie in one read.
            let start = HEADER_BYTES.saturating_add(at / 8);
            let mut word = u128::from_le_bytes(view.array(start)?) >> (at % 8);
            self.fields().map(|bits| {
                let value = word & ((1 << bits) - 1);
                word >>= bits;
                #[expect(clippy::cast_possible_truncation, reason = "a field has at most 64 bits")]
                let value = value as u64;
                value
            })
        } else {
            let mut values = [0; 8];
            let mut at = at;
            for (value, bits) in values.iter_mut().zip(self.fields()) {
                *value = read_in(view, HEADER_BYTES, at, bits)?;
                at = at.saturating_add(u64::from(bits));
            }
            values
        };
        if width > 64 || number >= self.pieces || first >= self.rows {
            return Err(self.out_of_order(number));
        }
        let line = Line {
            slope,
            shift: self.shift,
            half: half == 1,
        };
        #[expect(clippy::cast_possible_truncation, reason = "at most 64, as checked")]
        let width = width as u32;
        Ok(Opened {
            index: number,
            first,
            end: self.rows,
            base: self.base.wrapping_add(above as i64),
            unit: if stepped == 1 { self.step } else { 1 },
            line,
            width,
            bit,
            gaps: gaps == 1,
        })
    }

    fn fields(&self) -> [u32; 8] {
        let [first, above, slope, start] = self.widths;
        [first, above, slope, start, WIDTH_BITS, 1, 1, 1]
    }

    #[cold]
    fn out_of_order(&self, index: u64) -> Error {
        let at = HEADER_BYTES + index.saturating_mul(self.piece_bits) / 8;
        self.section
            .corrupt(at, format!("piece {index} is out of order or too wide"))
    }
}

/// `a - b`, about.
#[inline]
fn difference(a: i64, b: i64) -> f64 {
    if a >= b {
        a.wrapping_sub(b) as u64 as f64
    } else {
        -(b.wrapping_sub(a) as u64 as f64)
    }
}

/// 2 to the power of `exponent`, which is at most 64.
#[inline]
fn two_to(exponent: u32) -> f64 {
    f64::from_bits(u64::from(1023 + exponent) << 52)
}

/// First of `range`, rows or blocks of `piece`, whose time is at least `time`; `range.end` if there is none.
fn search(piece: &Opened, range: Range<u64>, time: i64, at: impl Fn(u64) -> Result<i64>) -> Result<u64> {
    // What stands before `low` is earlier than `time`, what stands from `high` on is not.
    let (mut low, mut high) = (range.start, range.end);
    let slope = piece.line.slope as f64 / two_to(piece.line.shift);
    if slope > 0.0 && low < high {
        // Where the line is half a residual below the time; then away from there in growing steps.
        let spread = two_to(piece.width);
        let unit = piece.unit as f64;
        let rise = difference(time, piece.base) / unit - spread / 2.0;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates; only a guess"
        )]
        let (mut guess, mut step) = ((rise / slope) as u64, ((spread / slope / 8.0) as u64).max(1));
        guess = guess.clamp(low, high - 1);
        let mut found = at(guess)?;
        if step > 2 {
            // Residuals of neighbours are often alike: a second guess from what the first one missed.
            step = 1;
            let missed = difference(time, found) / unit / slope;
            #[expect(clippy::cast_possible_truncation, reason = "saturates; only a guess")]
            let second = guess.saturating_add_signed(missed as i64).clamp(low, high - 1);
            if second != guess {
                if found < time {
                    low = guess + 1;
                } else {
                    high = guess;
                }
                guess = second.clamp(low, high.max(low + 1) - 1);
                if low == high {
                    return Ok(low);
                }
                found = at(guess)?;
            }
        }
        if found < time {
            low = guess + 1;
            while let Some(probe) = low.checked_add(step - 1).filter(|&probe| probe < high) {
                if at(probe)? >= time {
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
                if at(probe)? < time {
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
        if at(middle)? < time {
            low = middle + 1
        } else {
            high = middle
        }
    }
    Ok(low)
}
