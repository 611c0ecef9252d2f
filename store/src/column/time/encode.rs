//! Lines through sorted times: how the pieces of [`super`] are chosen and written.

use std::ops::Range;

use super::super::packed::{BitWriter, width_of};
use super::{Line, MAX_SHIFT, WIDTH_BITS};

/// Bits of a piece, for the choice of a residual width.
const PIECE_BITS: u64 = 88;
/// Runs shorter than this share pieces.
const SHORT_RUN: u64 = 16;
/// Rows of a run that the choice of a width looks at.
const SAMPLE_ROWS: usize = 16 * 1024;
/// Widths that are tried.
const WIDTHS: [u32; 20] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 18, 20, 24, 28, 32, 36, 42,
];

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
