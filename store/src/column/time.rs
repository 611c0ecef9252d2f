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

use super::packed::{BitWriter, PADDING_BYTES, read, stream_bytes, width_of};
use crate::error::{Error, Result};
use crate::section::Section;

const HEADER_BYTES: u64 = 32;
/// Bits of a piece, for the choice of a residual width.
const PIECE_BITS: u64 = 88;
const WIDTH_BITS: u32 = 7;
/// Finest slope.
const MAX_SHIFT: u32 = 64;
/// Runs shorter than this share pieces.
const SHORT_RUN: u64 = 16;
/// Rows of a run that the choice of a width looks at.
const SAMPLE_ROWS: usize = 16 * 1024;
/// Widths that are tried.
const WIDTHS: [u32; 20] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 18, 20, 24, 28, 32, 36, 42,
];

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

/// Some rows, and the slopes that a line over them may have for residuals of the wanted width.
#[derive(Debug, Clone)]
struct Fit {
    rows: Range<usize>,
    low: f64,
    high: f64,
    half: bool,
}

impl Fit {
    /// Rows without a slope.
    fn flat(rows: Range<usize>) -> Fit {
        Fit {
            rows,
            low: 0.0,
            high: 0.0,
            half: false,
        }
    }

    /// A slope in steps of `2^-shift`; the nearest to the middle.
    fn slope(&self, shift: u32) -> u64 {
        let scale = 2f64.powi(shift as i32);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "saturates; residuals take what the line misses"
        )]
        if self.high.is_finite() {
            ((self.low + (self.high - self.low) / 2.0) * scale).round() as u64
        } else {
            0
        }
    }

    /// Fewest bits after the point that leave a slope of this fit.
    fn shift(&self) -> u32 {
        if self.high <= self.low || !self.high.is_finite() {
            return 0;
        }
        let fits = |shift: &u32| {
            let slope = self.slope(*shift) as f64 / 2f64.powi(*shift as i32);
            self.low <= slope && slope < self.high
        };
        (0..=MAX_SHIFT).find(fits).unwrap_or(0)
    }
}

/// Rows `rows` of the times, on `line`, with residuals of `width` bits.
struct Piece {
    rows: Range<usize>,
    line: Line,
    width: u32,
}

/// Encodes the times of a segment's rows. `runs` are the row ranges with equal keys, each sorted by time.
pub fn encode(times: &[i64], runs: &[Range<u64>]) -> Vec<u8> {
    let mut fits = Vec::new();
    let mut row = 0;
    let mut short: Option<Range<usize>> = None;
    for run in runs {
        // Rows that no run covers are a run of their own.
        let start = index_of(run.start).clamp(row, times.len());
        let end = index_of(run.end).clamp(start, times.len());
        for rows in [row..start, start..end] {
            if rows.is_empty() {
                continue;
            }
            if (rows.len() as u64) < SHORT_RUN {
                short = Some(short.map_or(rows.start, |s| s.start)..rows.end);
            } else {
                fits.extend(short.take().map(Fit::flat));
                fit_run(times, rows, &mut fits);
            }
        }
        row = end;
    }
    fits.extend(short.map(Fit::flat));
    if row < times.len() {
        fit_run(times, row..times.len(), &mut fits);
    }
    let mut bytes = write(times, &settle_all(times, &fits));
    if fits.len() > 1 {
        let one = write(times, &settle_all(times, &[Fit::flat(0..times.len())]));
        if one.len() < bytes.len() {
            bytes = one;
        }
    }
    bytes
}

fn index_of(row: u64) -> usize {
    usize::try_from(row).unwrap_or(usize::MAX)
}

fn write(times: &[i64], pieces: &[Piece]) -> Vec<u8> {
    let base = pieces.iter().map(|p| p.line.base).min().unwrap_or(0);
    let above = |piece: &Piece| piece.line.base.wrapping_sub(base) as u64;
    let widest = |field: &dyn Fn(&Piece) -> u64| pieces.iter().map(|p| width_of(field(p))).max().unwrap_or(0);
    let first_bits = widest(&|p| p.rows.start as u64);
    let (base_bits, slope_bits) = (widest(&above), widest(&|p| p.line.slope));
    let total: u64 = pieces
        .iter()
        .map(|p| p.rows.len() as u64 * u64::from(p.width))
        .sum();
    let start_bits = width_of(total);
    let shift = pieces.first().map_or(0, |p| p.line.shift);
    let mut out = Vec::new();
    for field in [times.len() as u64, pieces.len() as u64, base as u64] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    for field in [first_bits, base_bits, slope_bits, start_bits, shift, 0, 0, 0] {
        out.extend_from_slice(&field.to_le_bytes()[..1]);
    }
    let (mut table, mut residuals) = (BitWriter::default(), BitWriter::default());
    for piece in pieces {
        let Piece { rows, line, width } = piece;
        table.push(rows.start as u64, first_bits);
        table.push(above(piece), base_bits);
        table.push(line.slope, slope_bits);
        table.push(residuals.bit_len(), start_bits);
        table.push(u64::from(*width), WIDTH_BITS);
        table.push(u64::from(line.half), 1);
        if *width > 0 {
            for (index, &time) in times[rows.clone()].iter().enumerate() {
                residuals.push(time.wrapping_sub(line.at(index as u64)) as u64, *width);
            }
        }
    }
    out.extend_from_slice(&table.finish());
    out.extend_from_slice(&residuals.finish());
    out
}

/// Fixes the slopes of all fits in steps of one size.
fn settle_all(times: &[i64], fits: &[Fit]) -> Vec<Piece> {
    let steepest = fits
        .iter()
        .map(|fit| if fit.high.is_finite() { fit.high } else { 0.0 })
        .fold(0.0, f64::max);
    // A slope has at most 63 bits.
    let most = (0..=MAX_SHIFT)
        .rfind(|&shift| steepest * 2f64.powi(shift as i32) < 2f64.powi(63))
        .unwrap_or(0);
    let shift = fits.iter().map(Fit::shift).max().unwrap_or(0).min(most);
    fits.iter()
        .map(|fit| {
            settle(
                times,
                fit.rows.clone(),
                Line {
                    base: 0,
                    slope: fit.slope(shift),
                    shift,
                    half: fit.half,
                },
            )
        })
        .collect()
}

/// Moves a line to the smallest residual, and finds the width that the residuals need.
fn settle(times: &[i64], rows: Range<usize>, mut line: Line) -> Piece {
    let (mut low, mut high) = (i64::MAX, i64::MIN);
    for (index, &time) in times[rows.clone()].iter().enumerate() {
        let residual = time.wrapping_sub(line.at(index as u64));
        low = low.min(residual);
        high = high.max(residual);
    }
    line.base = line.base.wrapping_add(low);
    Piece {
        rows,
        line,
        width: width_of(high.wrapping_sub(low) as u64),
    }
}

/// Appends the fits of a run.
fn fit_run(times: &[i64], rows: Range<usize>, fits: &mut Vec<Fit>) {
    let sample = rows.start..rows.end.min(rows.start + SAMPLE_ROWS);
    let mut best = (u64::MAX, 0, false);
    for width in WIDTHS {
        for half in [false, true] {
            if half && width > 0 {
                continue;
            }
            let mut cost = 0;
            let mut start = sample.start;
            while start < sample.end && cost < best.0 {
                let end = reach(times, start..sample.end, width, half).rows.end;
                cost += PIECE_BITS + (end - start) as u64 * u64::from(width);
                start = end;
            }
            if cost < best.0 {
                best = (cost, width, half);
            }
        }
        // One piece: wider residuals only cost more.
        if best.0 == PIECE_BITS + sample.len() as u64 * u64::from(best.1) {
            break;
        }
    }
    let (_, width, half) = best;
    let mut start = rows.start;
    while start < rows.end {
        let fit = reach(times, start..rows.end, width, half);
        start = fit.rows.end;
        fits.push(fit);
    }
}

/// How far a line from the first of `rows` reaches with residuals of `width` bits.
fn reach(times: &[i64], rows: Range<usize>, width: u32, half: bool) -> Fit {
    let most = ((1u64 << width) - 1) as f64;
    // The line starts in the middle of the first row's residuals, so that times may lie on both sides.
    let middle = (most / 2.0).floor() - if half { 0.5 } else { 0.0 };
    let (mut low, mut high) = (0.0f64, f64::INFINITY);
    let first = times[rows.start];
    let mut end = rows.start + 1;
    for &time in &times[rows.start + 1..rows.end] {
        let rows_after = (end - rows.start) as f64;
        let rise = (time.wrapping_sub(first) as u64) as f64 + middle;
        let (new_low, new_high) = (
            low.max((rise - most) / rows_after),
            high.min((rise + 1.0) / rows_after),
        );
        if new_low >= new_high {
            break;
        }
        (low, high) = (new_low, new_high);
        end += 1;
    }
    Fit {
        rows: rows.start..end,
        low,
        high,
        half,
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
    use super::*;
    use proptest::prelude::*;

    fn open(times: &[i64], runs: &[Range<u64>]) -> (TimeColumn, usize) {
        let bytes = encode(times, runs);
        let len = bytes.len();
        (
            TimeColumn::open(Section::from_vec(bytes), times.len() as u64).unwrap(),
            len,
        )
    }

    fn check(times: &[i64], runs: &[Range<u64>]) -> usize {
        let (column, bytes) = open(times, runs);
        let mut out = vec![0; times.len()];
        column.decode(0..times.len() as u64, &mut out).unwrap();
        assert_eq!(out, times);
        let part = times.len() / 3..times.len() / 3 * 2;
        column
            .decode(part.start as u64..part.end as u64, &mut out[..part.len()])
            .unwrap();
        assert_eq!(&out[..part.len()], &times[part]);
        for row in (0..times.len()).step_by(times.len() / 64 + 1) {
            assert_eq!(column.get(row as u64).unwrap(), times[row]);
        }
        for run in runs {
            let own = &times[run.start as usize..run.end as usize];
            if !own.is_sorted() {
                continue;
            }
            for pick in (0..own.len()).step_by(own.len() / 32 + 1) {
                for time in [
                    own[pick].saturating_sub(1),
                    own[pick],
                    own[pick].saturating_add(1),
                    i64::MIN,
                    i64::MAX,
                ] {
                    let want = run.start + own.partition_point(|&t| t < time) as u64;
                    assert_eq!(
                        column.lower_bound(run.clone(), time).unwrap(),
                        want,
                        "{time} in {run:?}"
                    );
                }
            }
        }
        bytes
    }

    fn noise(seed: u64) -> u64 {
        let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x ^= x >> 29;
        x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x ^ x >> 32
    }

    #[test]
    fn clocks_cost_what_they_deviate() {
        let rows = 100_000i64;
        let all = 0..rows as u64;
        let regular: Vec<i64> = (0..rows)
            .map(|i| 1_600_000_000_000_000_000 + i * 1_000_000)
            .collect();
        assert!(check(&regular, std::slice::from_ref(&all)) < 100);
        let thirds: Vec<i64> = (0..rows).map(|i| i * 1_000_000 / 360).collect();
        assert!(check(&thirds, std::slice::from_ref(&all)) < 200);
        let rounded: Vec<i64> = (0..rows)
            .map(|i| (i as f64 * 1000.0 / 360.0).round() as i64)
            .collect();
        assert!(check(&rounded, std::slice::from_ref(&all)) < 200);
        let gaps: Vec<i64> = (0..rows).map(|i| i * 1000 + i / 10_000 * 3_600_000_000).collect();
        assert!(check(&gaps, std::slice::from_ref(&all)) < 1000);
        let jitter: Vec<i64> = (0..rows)
            .map(|i| i * 4000 + (noise(i as u64) % 200) as i64)
            .collect();
        assert!(check(&jitter, std::slice::from_ref(&all)) < rows as usize * 11 / 10);
        let restarts: Vec<i64> = (0..rows).map(|i| i % 10_000 * 20).collect();
        let runs: Vec<Range<u64>> = (0..10).map(|r| r * 10_000..(r + 1) * 10_000).collect();
        assert!(check(&restarts, &runs) < 1000);
        let constant = vec![i64::MIN; 1000];
        assert!(check(&constant, &[Range { start: 0, end: 1000 }]) < 100);
        check(&[], &[]);
    }

    fn sorted_runs() -> impl Strategy<Value = (Vec<i64>, Vec<Range<u64>>)> {
        let step = prop_oneof![Just(0i64), 0i64..5, 0i64..1000, 0i64..1 << 40, any::<i64>()];
        proptest::collection::vec((any::<i64>(), proptest::collection::vec(step, 0..200)), 0..6).prop_map(
            |runs| {
                let (mut times, mut ranges) = (Vec::new(), Vec::new());
                for (start, steps) in runs {
                    let from = times.len() as u64;
                    let mut own: Vec<i64> = steps
                        .iter()
                        .scan(start, |time, step| {
                            *time = time.saturating_add(*step);
                            Some(*time)
                        })
                        .collect();
                    own.sort_unstable();
                    times.append(&mut own);
                    ranges.push(from..times.len() as u64);
                }
                (times, ranges)
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]
        #[test]
        fn every_sorted_sequence((times, runs) in sorted_runs()) {
            check(&times, &runs);
        }

        #[test]
        fn every_sequence(times in proptest::collection::vec(any::<i64>(), 0..300)) {
            check(&times, std::slice::from_ref(&(0..times.len() as u64)));
        }

        #[test]
        fn damage_never_panics((times, runs) in sorted_runs(), flips in proptest::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..6)) {
            let mut bytes = encode(&times, &runs);
            for (place, bit) in flips {
                let place = place.index(bytes.len());
                bytes[place] ^= 1 << bit;
            }
            let Ok(column) = TimeColumn::open(Section::from_vec(bytes), times.len() as u64) else { return Ok(()) };
            let mut out = vec![0; times.len()];
            let _ = column.decode(0..times.len() as u64, &mut out);
            for run in runs {
                let _ = column.lower_bound(run.clone(), 0);
                let _ = column.lower_bound(run, i64::MAX);
            }
        }
    }

    #[test]
    fn golden_bytes() {
        let times = [
            10, 20, 30, 40, 50, 61, 70, 80, 90, 100, 110, 120, 130, 140, 150, 160,
        ];
        let bytes = encode(&times, &[Range { start: 0, end: 16 }]);
        let mut want = Vec::new();
        for word in [16u64, 1, 10] {
            want.extend_from_slice(&word.to_le_bytes());
        }
        want.extend_from_slice(&[0, 0, 4, 5, 0, 0, 0, 0]);
        // Slope 10 in 4 bits, start 0 in 5, width 1 in 7, half 0.
        want.extend_from_slice(&(10u32 | 1 << 9).to_le_bytes()[..3]);
        want.extend_from_slice(&[0; 16]);
        want.extend_from_slice(&[0b10_0000, 0]);
        want.extend_from_slice(&[0; 16]);
        assert_eq!(bytes, want);
    }
}
