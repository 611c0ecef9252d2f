//! Which form and predictor a chunk takes: the one with the fewest bits on a sample of stretches of its rows.

use super::Options;
use super::bins::{Bins, histogram};
use super::chunk::Form;
use super::encode::paired;
use super::linear;
use super::predict::Predictor;

/// Rows of a stretch.
const PIECE_ROWS: usize = 256;
/// Stretches of a chunk.
const PIECES: usize = 8;
/// Pieces that a sample's histogram is cut into.
const SAMPLE_BINS: usize = 64;
/// Bits that a bin is taken to cost: the table's share of the sample, and what fits only the sample.
const SAMPLE_BIN_BITS: f64 = 4.0;
/// Share of the bits that a form decoded at half the speed has to save.
const SLOWER_SAVES: f64 = 0.985;
/// Share of the bits that linear prediction has to save.
const LINEAR_SAVES: f64 = 0.97;

/// How a chunk is to be written.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) form: Form,
    pub(super) predictor: Predictor,
    pub(super) block_log: u32,
    /// Estimated bits a row.
    pub(super) bits: f64,
}

/// Stretches of a chunk's codes, spread evenly.
pub(super) fn sample(codes: &[u64]) -> Vec<&[u64]> {
    if codes.len() <= PIECES * PIECE_ROWS {
        return vec![codes];
    }
    let step = (codes.len() - PIECE_ROWS) / (PIECES - 1);
    (0..PIECES)
        .filter_map(|i| codes.get(i * step..i * step + PIECE_ROWS))
        .collect()
}

/// The best plan for codes of which `pieces` are a sample, none of them below `least`.
pub(super) fn plan(pieces: &[&[u64]], least: u64, options: Options) -> Plan {
    let rows: usize = pieces.iter().map(|piece| piece.len()).sum();
    let block_log = options.block_rows.rows().ilog2();
    let mut best = plain(pieces, least, options);
    let mut form = Form::Plain;
    // What is not predicted linearly as a whole is not tried as quotients.
    let linear = matches!(best.0, Predictor::Linear(_));
    for base in common_bases(pieces) {
        let quotients: Vec<Vec<u64>> = pieces
            .iter()
            .map(|piece| {
                piece
                    .iter()
                    .map(|&code| code.wrapping_sub(least) / base)
                    .collect()
            })
            .collect();
        let quotients: Vec<&[u64]> = quotients.iter().map(Vec::as_slice).collect();
        let (mut remainders, mut symbols) = (Vec::new(), Vec::new());
        for piece in pieces {
            remainders.extend(piece.iter().map(|&code| (code.wrapping_sub(least) % base) as i64));
            paired(base, &mut remainders, &mut symbols);
        }
        let found = plain(&quotients, 0, Options { linear, ..options });
        let bits = found.1 + cost(&symbols);
        if bits < best.1 * SLOWER_SAVES {
            best = (found.0, bits);
            form = Form::Split { base, least };
        }
    }
    let mut plan = Plan {
        form,
        predictor: best.0,
        block_log,
        bits: best.1 / rows.max(1) as f64,
    };
    if plan.bits < 2.5 && !matches!(plan.predictor, Predictor::Linear(_)) {
        // Twice the rows in half a nanosecond more each: the block's header would weigh too much.
        plan.block_log += 1;
    }
    if let Some((predictor, bits, rows_a_run)) = runs(pieces) {
        if bits / (rows as f64) < plan.bits * SLOWER_SAVES {
            // About a quarter of a block's rows in runs and as many codes between them.
            let longer = (rows_a_run / 4.0).max(1.0).log2() as u32;
            plan = Plan {
                form: Form::Runs,
                predictor,
                block_log: (block_log + 1 + longer).min(super::chunk::MOST_BLOCK_LOG),
                bits: bits / rows as f64,
            };
        }
    }
    plan
}

/// The best predictor for residuals in turns, and its bits.
fn plain(pieces: &[&[u64]], least: u64, options: Options) -> (Predictor, f64) {
    let mut best = (Predictor::Delta, f64::INFINITY);
    for predictor in [Predictor::Centre(least), Predictor::Delta, Predictor::Delta2] {
        let bits = residual_cost(pieces, &predictor);
        if bits < best.1 {
            best = (predictor, bits);
        }
    }
    let mut price = LINEAR_SAVES;
    for order in options.orders() {
        let Some(linear) = linear::fit(pieces, least, *order) else {
            break;
        };
        let predictor = Predictor::Linear(linear);
        let bits = residual_cost(pieces, &predictor);
        if bits < best.1 * price {
            best = (predictor, bits);
            price = 0.99;
        }
    }
    best
}

fn residual_cost(pieces: &[&[u64]], predictor: &Predictor) -> f64 {
    let mut residuals = Vec::new();
    for piece in pieces {
        predictor.residuals(piece, &mut residuals);
    }
    cost(&residuals)
}

fn cost(residuals: &[i64]) -> f64 {
    Bins::fit(&histogram(&[residuals]), SAMPLE_BINS, SAMPLE_BIN_BITS).1
}

/// Bits of runs and of what stands between them, and rows of a run; `None` where runs are too short to pay.
fn runs(pieces: &[&[u64]]) -> Option<(Predictor, f64, f64)> {
    let mut codes: Vec<u64> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
    codes.sort_unstable();
    let frequent = codes.chunk_by(|a, b| a == b).max_by_key(|equal| equal.len())?;
    let centre = *frequent.first()?;
    let mut best: Option<(Predictor, f64, f64)> = None;
    for predictor in [Predictor::Centre(centre), Predictor::Delta, Predictor::Delta2] {
        let (mut lengths, mut others, mut residuals) = (Vec::new(), Vec::new(), Vec::new());
        let mut zeros = 0;
        for piece in pieces {
            residuals.clear();
            predictor.residuals(piece, &mut residuals);
            let mut run = 0;
            for &residual in &residuals {
                if residual == 0 {
                    run += 1;
                } else {
                    lengths.push(run);
                    others.push(residual);
                    zeros += run;
                    run = 0;
                }
            }
            zeros += run;
        }
        let rows = zeros as f64 + others.len() as f64;
        if (zeros as f64) < 0.6 * rows {
            continue;
        }
        let runs = lengths.len().max(1) as f64;
        let bits = cost(&lengths) + cost(&others) + 16.0;
        if best.as_ref().is_none_or(|found| bits < found.1) {
            best = Some((predictor, bits, rows / runs));
        }
    }
    best
}

/// Numbers that many differences of codes are multiples of, more than chance lets expect; at most two.
fn common_bases(pieces: &[&[u64]]) -> Vec<u64> {
    let mut found = Vec::new();
    for piece in pieces {
        for triple in piece.chunks_exact(3) {
            let [a, b, c] = triple else { continue };
            let divisor = gcd(a.abs_diff(*b), a.abs_diff(*c));
            if divisor > 1 {
                found.push(divisor);
            }
        }
    }
    let triples: usize = pieces.iter().map(|piece| piece.len() / 3).sum();
    found.sort_unstable();
    let mut scored: Vec<(f64, u64)> = found
        .chunk_by(|a, b| a == b)
        .filter_map(|equal| {
            let base = *equal.first()?;
            // Two random numbers have this divisor in common once in about 1.64 * base^2.
            let chance = 0.61 / (base as f64 * base as f64);
            let share = equal.len() as f64 / triples.max(1) as f64;
            (equal.len() > 8 && share > 3.0 * chance).then_some((equal.len() as f64, base))
        })
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.into_iter().take(2).map(|(_, base)| base).collect()
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
