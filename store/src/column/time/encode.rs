//! Lines through sorted times: how the pieces of [`super`] are chosen and written.

use std::ops::Range;

use super::super::packed::{BitWriter, width_of};
use super::gaps::{BLOCK_ROWS, Plan, TAIL_BYTES};
use super::{Line, MAX_SHIFT, WIDTH_BITS};

/// Bits of a piece, for the choice of a residual width.
const PIECE_BITS: u64 = 90;
/// Runs shorter than this share pieces.
const SHORT_RUN: u64 = 16;
/// Rows of a run that the choice of a width looks at.
const SAMPLE_ROWS: usize = 16 * 1024;
/// Steps that are weighed against each other.
const MOST_STEPS: usize = 16;
/// Widths that are tried.
const WIDTHS: [u32; 20] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 18, 20, 24, 28, 32, 36, 42,
];

/// Some rows, and the slopes that a line over them, or over their blocks, may have.
#[derive(Debug)]
struct Fit {
    rows: Range<usize>,
    low: f64,
    high: f64,
    half: bool,
    /// The time that units count from.
    origin: i64,
    unit: u64,
    gaps: Option<Plan>,
}

impl Fit {
    /// Rows without a slope, counted from the first.
    fn flat(rows: Range<usize>, times: &[i64]) -> Fit {
        Fit {
            origin: times.get(rows.start).copied().unwrap_or(0),
            rows,
            low: 0.0,
            high: 0.0,
            half: false,
            unit: 1,
            gaps: None,
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

    /// The line's points: rows, or the first rows of blocks.
    fn points<'a>(&self, units: &'a [i64]) -> impl Iterator<Item = i64> + 'a {
        let stride = if self.gaps.is_some() { BLOCK_ROWS } else { 1 };
        units[self.rows.clone()].iter().step_by(stride).copied()
    }

    /// Puts the line where residuals are smallest, and finds the width that they need.
    fn settle<'a>(&'a self, units: &[i64], shift: u32) -> Piece<'a> {
        let line = Line {
            slope: self.slope(shift),
            shift,
            half: self.half,
        };
        let (mut low, mut high) = (i64::MAX, i64::MIN);
        for (index, point) in (0..).zip(self.points(units)) {
            let residual = point.wrapping_sub(line.at(index) as i64);
            low = low.min(residual);
            high = high.max(residual);
        }
        Piece {
            fit: self,
            line,
            low,
            base: self
                .origin
                .wrapping_add(self.unit.wrapping_mul(low as u64) as i64),
            width: width_of(high.wrapping_sub(low) as u64),
        }
    }
}

/// A fit with its line.
struct Piece<'a> {
    fit: &'a Fit,
    line: Line,
    /// Smallest difference from the line.
    low: i64,
    base: i64,
    width: u32,
}

/// Encodes the times of a segment's rows. `runs` are the row ranges with equal keys, each sorted by time.
pub fn encode(times: &[i64], runs: &[Range<u64>]) -> Vec<u8> {
    let (step, gcds) = common_step(times, runs);
    let mut fits = Vec::new();
    let mut units = vec![0; times.len()];
    let mut row = 0;
    let mut short: Option<Range<usize>> = None;
    for (run, gcd) in runs.iter().zip(gcds) {
        // Rows that no run covers are a run of their own.
        let start = index_of(run.start).clamp(row, times.len());
        let end = index_of(run.end).clamp(start, times.len());
        for (rows, gcd) in [(row..start, 1), (start..end, gcd)] {
            if rows.is_empty() {
                continue;
            }
            if (rows.len() as u64) < SHORT_RUN {
                short = Some(short.map_or(rows.start, |s| s.start)..rows.end);
            } else {
                fits.extend(short.take().map(|rows| flat(times, rows, &mut units)));
                let unit = if gcd % step == 0 { step } else { 1 };
                fit_run(times, rows, unit, &mut units, &mut fits);
            }
        }
        row = end;
    }
    fits.extend(short.map(|rows| flat(times, rows, &mut units)));
    if row < times.len() {
        fit_run(times, row..times.len(), 1, &mut units, &mut fits);
    }
    let mut bytes = write(&units, step, &settle_all(&units, &fits));
    if fits.len() > 1 {
        let one = [flat(times, 0..times.len(), &mut units)];
        let one = write(&units, 1, &settle_all(&units, &one));
        if one.len() < bytes.len() {
            bytes = one;
        }
    }
    bytes
}

fn index_of(row: u64) -> usize {
    usize::try_from(row).unwrap_or(usize::MAX)
}

/// The step that saves most, and for each run the greatest common divisor of its differences.
fn common_step(times: &[i64], runs: &[Range<u64>]) -> (u64, Vec<u64>) {
    let mut gcds = Vec::with_capacity(runs.len());
    let mut steps: Vec<(u64, usize)> = Vec::new();
    for run in runs {
        let rows = times
            .get(index_of(run.start)..index_of(run.end))
            .unwrap_or_default();
        let (mut gcd, mut regular) = (0, true);
        let mut last = None;
        for pair in rows.windows(2) {
            let gap = pair[1].wrapping_sub(pair[0]) as u64;
            regular &= last.is_none_or(|last| last == gap);
            last = Some(gap);
            // Units must not wrap around, as they would in rows that are not sorted.
            gcd = if pair[1] < pair[0] {
                1
            } else {
                greatest_divisor(gap, gcd)
            };
            if gcd == 1 {
                break;
            }
        }
        gcds.push(gcd);
        // A clock of equal gaps takes no residuals, whatever they count.
        if gcd > 1 && !regular {
            if let Some((_, count)) = steps.iter_mut().find(|(step, _)| *step == gcd) {
                *count += rows.len();
            } else if steps.len() < MOST_STEPS {
                steps.push((gcd, rows.len()));
            }
        }
    }
    let all = steps
        .iter()
        .fold(0, |all, &(step, _)| greatest_divisor(step, all));
    let candidates: Vec<u64> = steps
        .iter()
        .map(|&(step, _)| step)
        .chain([all])
        .filter(|&step| step > 1)
        .collect();
    let saved = |step: u64| -> u64 {
        let rows = steps
            .iter()
            .filter(|(gcd, _)| gcd % step == 0)
            .map(|&(_, rows)| rows as u64);
        rows.sum::<u64>() * u64::from(width_of(step))
    };
    let best = candidates.into_iter().max_by_key(|&step| saved(step));
    (best.unwrap_or(1), gcds)
}

fn greatest_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Rows on a flat line, in single units from their first.
fn flat(times: &[i64], rows: Range<usize>, units: &mut [i64]) -> Fit {
    let fit = Fit::flat(rows.clone(), times);
    for (slot, time) in units[rows.clone()].iter_mut().zip(&times[rows]) {
        *slot = time.wrapping_sub(fit.origin);
    }
    fit
}

fn write(units: &[i64], step: u64, pieces: &[Piece<'_>]) -> Vec<u8> {
    let base = pieces.iter().map(|p| p.base).min().unwrap_or(0);
    let above = |piece: &Piece<'_>| piece.base.wrapping_sub(base) as u64;
    let (mut residuals, mut starts) = (BitWriter::default(), Vec::new());
    for piece in pieces {
        starts.push(residuals.bit_len());
        let points = (0..).zip(piece.fit.points(units));
        let missed = points.map(|(index, point)| {
            point
                .wrapping_sub(piece.line.at(index) as i64)
                .wrapping_sub(piece.low) as u64
        });
        match &piece.fit.gaps {
            Some(plan) => {
                let missed: Vec<u64> = missed.collect();
                plan.write(
                    &units[piece.fit.rows.clone()],
                    &missed,
                    piece.width,
                    &mut residuals,
                );
            }
            None if piece.width > 0 => missed.for_each(|missed| residuals.push(missed, piece.width)),
            None => {}
        }
    }
    let widest =
        |field: &dyn Fn(&Piece<'_>) -> u64| pieces.iter().map(|p| width_of(field(p))).max().unwrap_or(0);
    let first_bits = widest(&|p| p.fit.rows.start as u64);
    let (base_bits, slope_bits) = (widest(&above), widest(&|p| p.line.slope));
    let start_bits = width_of(residuals.bit_len());
    let shift = pieces.first().map_or(0, |p| p.line.shift);
    let mut out = Vec::new();
    for field in [units.len() as u64, pieces.len() as u64, base as u64] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    for field in [first_bits, base_bits, slope_bits, start_bits, shift, 0, 0, 0] {
        out.extend_from_slice(&field.to_le_bytes()[..1]);
    }
    out.extend_from_slice(&step.to_le_bytes());
    let mut table = BitWriter::default();
    for (piece, start) in pieces.iter().zip(starts) {
        table.push(piece.fit.rows.start as u64, first_bits);
        table.push(above(piece), base_bits);
        table.push(piece.line.slope, slope_bits);
        table.push(start, start_bits);
        table.push(u64::from(piece.width), WIDTH_BITS);
        table.push(u64::from(piece.line.half), 1);
        table.push(u64::from(piece.fit.unit > 1), 1);
        table.push(u64::from(piece.fit.gaps.is_some()), 1);
    }
    out.extend_from_slice(&table.finish());
    out.extend_from_slice(&residuals.finish());
    if pieces.iter().any(|piece| piece.fit.gaps.is_some()) {
        out.resize(out.len() + TAIL_BYTES, 0);
    }
    out
}

/// Fixes the slopes of all fits in steps of one size.
fn settle_all<'a>(units: &[i64], fits: &'a [Fit]) -> Vec<Piece<'a>> {
    let steepest = fits
        .iter()
        .map(|fit| if fit.high.is_finite() { fit.high } else { 0.0 })
        .fold(0.0, f64::max);
    // A slope has at most 63 bits.
    let most = (0..=MAX_SHIFT)
        .rfind(|&shift| steepest * 2f64.powi(shift as i32) < 2f64.powi(63))
        .unwrap_or(0);
    let shift = fits.iter().map(Fit::shift).max().unwrap_or(0).min(most);
    fits.iter().map(|fit| fit.settle(units, shift)).collect()
}

/// Appends the fits of a run, counted in `unit` from its first time, which are written to `units`.
fn fit_run(times: &[i64], rows: Range<usize>, unit: u64, units: &mut [i64], fits: &mut Vec<Fit>) {
    let origin = times[rows.start];
    for (slot, time) in units[rows.clone()].iter_mut().zip(&times[rows.clone()]) {
        let above = time.wrapping_sub(origin);
        *slot = if unit == 1 {
            above
        } else {
            (above as u64 / unit) as i64
        };
    }
    let before = fits.len();
    let width = fit_lines(units, rows.clone(), fits);
    for fit in &mut fits[before..] {
        (fit.origin, fit.unit) = (origin, unit);
    }
    let cost = (fits.len() - before) as u64 * PIECE_BITS + rows.len() as u64 * u64::from(width);
    // Gaps take half a bit a row at the least, for their directory.
    if cost < rows.len() as u64 / 2 {
        return;
    }
    let Some(plan) = Plan::new(&units[rows.clone()]) else {
        return;
    };
    let blocks = rows.len().div_ceil(BLOCK_ROWS);
    let last = units[rows.start + (blocks - 1) * BLOCK_ROWS];
    let slope = last as f64 / (blocks.max(2) - 1) as f64;
    let mut fit = Fit {
        rows,
        low: slope,
        high: slope,
        half: false,
        origin,
        unit,
        gaps: Some(plan),
    };
    // The slope may be as far off as does not widen residuals much.
    let rough = fit.settle(units, 0).width;
    let slack = 2f64.powi(rough.max(3) as i32 - 3) / blocks as f64;
    (fit.low, fit.high) = ((slope - slack).max(0.0), slope + slack);
    let width = fit.settle(units, fit.shift()).width;
    let bits = fit.gaps.as_ref().map_or(0, |plan| plan.bits) + PIECE_BITS + blocks as u64 * u64::from(width);
    if bits < cost {
        fits.truncate(before);
        fits.push(fit);
    }
}

/// Appends lines through the units of a run; gives the width of their residuals.
fn fit_lines(times: &[i64], rows: Range<usize>, fits: &mut Vec<Fit>) -> u32 {
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
    width
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
        origin: 0,
        unit: 1,
        gaps: None,
    }
}
