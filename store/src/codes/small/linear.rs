//! Weights of a linear prediction: least squares over a sample, rounded to fixed point.

use super::predict::{Linear, MOST_ORDER};

/// Widest codes, less the smallest, that are predicted linearly; sums then fit 64 bits.
const MOST_BITS: u32 = 40;

/// The prediction of `order` (at most 8) with the least squared error on `pieces`; `None` where there is none.
pub(super) fn fit(pieces: &[&[u64]], base: u64, order: usize) -> Option<Linear> {
    let local = |code: u64| code.wrapping_sub(base);
    let span = pieces
        .iter()
        .flat_map(|piece| piece.iter())
        .map(|&code| local(code))
        .max()?;
    let bits = 64 - span.leading_zeros();
    if !(3..=MOST_BITS).contains(&bits) || order > MOST_ORDER {
        return None;
    }
    let rows: usize = pieces.iter().map(|piece| piece.len()).sum();
    let sum: f64 = pieces
        .iter()
        .flat_map(|piece| piece.iter())
        .map(|&code| local(code) as f64)
        .sum();
    let mean = sum / rows.max(1) as f64;
    // matrix[i][j]: sum of x[t - 1 - i] * x[t - 1 - j]; right[i]: of x[t] * x[t - 1 - i].
    let mut matrix = [[0.0f64; MOST_ORDER]; MOST_ORDER];
    let mut right = [0.0f64; MOST_ORDER];
    for piece in pieces {
        let codes: Vec<f64> = piece.iter().map(|&code| local(code) as f64 - mean).collect();
        for window in codes.windows(order + 1) {
            let Some((&next, before)) = window.split_last() else {
                continue;
            };
            for (i, (row, to)) in matrix.iter_mut().zip(&mut right).enumerate().take(order) {
                let Some(&a) = before.get(order - 1 - i) else {
                    continue;
                };
                *to += next * a;
                for (place, &b) in row.iter_mut().zip(before.iter().rev()).take(i + 1) {
                    *place += a * b;
                }
            }
        }
    }
    let weights = solve(matrix, right, order)?;
    if weights
        .iter()
        .any(|weight| !weight.is_finite() || weight.abs() > 64.0)
    {
        return None;
    }
    let shift = (54 - bits).min(20);
    let scale = (1u64 << shift) as f64;
    let mut rounded = [0i64; MOST_ORDER];
    for (place, &weight) in rounded.iter_mut().zip(&weights).take(order) {
        *place = (weight * scale).round() as i64;
    }
    // The mean is a fixed point of the prediction; half a unit rounds it.
    let kept = scale - rounded.iter().map(|&weight| weight as f64).sum::<f64>();
    let bias = (kept * mean + scale / 2.0).round() as i64;
    Some(Linear {
        order,
        shift,
        bias,
        weights: rounded,
        base,
    })
}

/// Solves the symmetric system by Cholesky's method; only the lower triangle is read.
#[expect(
    clippy::indexing_slicing,
    clippy::needless_range_loop,
    reason = "all indexes are below order, which the caller keeps below 9"
)]
fn solve(
    mut a: [[f64; MOST_ORDER]; MOST_ORDER],
    mut b: [f64; MOST_ORDER],
    order: usize,
) -> Option<[f64; MOST_ORDER]> {
    for (i, row) in a.iter_mut().enumerate().take(order) {
        row[i] = row[i] * (1.0 + 1e-9) + 1e-3;
    }
    for j in 0..order {
        for k in 0..j {
            let factor = a[j][k];
            for i in j..order {
                a[i][j] -= a[i][k] * factor;
            }
        }
        if a[j][j] <= 0.0 {
            return None;
        }
        let root = a[j][j].sqrt();
        for i in j..order {
            a[i][j] /= root;
        }
    }
    for i in 0..order {
        for k in 0..i {
            b[i] -= a[i][k] * b[k];
        }
        b[i] /= a[i][i];
    }
    for i in (0..order).rev() {
        for k in i + 1..order {
            b[i] -= a[k][i] * b[k];
        }
        b[i] /= a[i][i];
    }
    Some(b)
}
