//! Rows of one shape, split until most of their tokens are the same or follow from each other.
//!
//! A group of rows is split on the token that tells most about the other tokens of the row (mutual information over a
//! sample, corrected for chance), as long as that saves more bits than the columns of a new template cost.

use std::collections::HashMap;

use super::tokens::{NO_SHAPE, Tokens};

/// Rows of a template at least; rows of smaller groups are kept whole.
pub const MIN_ROWS: usize = 4;
/// Values of a token that a group may be split on.
const MAX_VALUES: usize = 16;
/// Rows that a split is decided on.
const SAMPLE: usize = 512;
/// Bits that one more column costs.
const COLUMN_BITS: f64 = 40.0;
/// Templates of a column; beyond, groups are not split.
const MAX_TEMPLATES: usize = 1 << 15;

/// Rows of one template.
#[derive(Debug, Default)]
pub struct Group {
    /// Row numbers, increasing.
    pub rows: Vec<u32>,
}

/// Groups of at least [`MIN_ROWS`] rows, by shape; rows in no group are kept whole.
pub fn groups(tokens: &Tokens<'_>) -> Vec<Group> {
    let mut by_shape: Vec<Vec<u32>> = vec![Vec::new(); tokens.shape_count()];
    for (row, &shape) in (0u32..).zip(&tokens.row_shapes) {
        if shape != NO_SHAPE {
            if let Some(rows) = by_shape.get_mut(shape as usize) {
                rows.push(row);
            }
        }
    }
    let mut groups = Vec::new();
    for rows in by_shape {
        let mut waiting = vec![rows];
        while let Some(rows) = waiting.pop() {
            if rows.len() < MIN_ROWS {
                continue;
            }
            let position = if groups.len() < MAX_TEMPLATES {
                splitter(tokens, &rows)
            } else {
                None
            };
            match position {
                None => groups.push(Group { rows }),
                Some(position) => waiting.extend(split(tokens, rows, position)),
            }
            if groups.len() > 2 * MAX_TEMPLATES {
                return groups;
            }
        }
    }
    groups
}

/// Rows by their token at `position`; those with rare tokens stay together.
fn split(tokens: &Tokens<'_>, rows: Vec<u32>, position: usize) -> Vec<Vec<u32>> {
    let mut places: HashMap<u32, usize> = HashMap::new();
    let mut parts: Vec<Vec<u32>> = Vec::new();
    for row in rows {
        let token = tokens.row(row)[position];
        let place = *places.entry(token).or_insert_with(|| {
            parts.push(Vec::new());
            parts.len() - 1
        });
        parts[place].push(row);
    }
    let mut rare = Vec::new();
    let mut out = Vec::new();
    for part in parts {
        if part.len() < MIN_ROWS {
            rare.extend(part);
        } else {
            out.push(part);
        }
    }
    rare.sort_unstable();
    out.push(rare);
    // The last is looked at first: template numbers follow first appearance.
    out.reverse();
    out
}

/// A token's values in the sample as numbers from 0 on, in order of appearance.
struct Values {
    position: usize,
    codes: Vec<u16>,
    count: usize,
    entropy: f64,
}

/// The position to split on, if one pays.
fn splitter(tokens: &Tokens<'_>, rows: &[u32]) -> Option<usize> {
    let step = rows.len().div_ceil(SAMPLE);
    let sample: Vec<&[u32]> = rows.iter().step_by(step).map(|&row| tokens.row(row)).collect();
    let mut columns: Vec<Values> = Vec::new();
    let mut seen: HashMap<Vec<u16>, ()> = HashMap::new();
    let mut known: HashMap<u32, u16> = HashMap::new();
    for position in 0..sample.first()?.len() {
        known.clear();
        let codes: Vec<u16> = sample
            .iter()
            .map(|row| {
                let next = known.len() as u16;
                *known.entry(row[position]).or_insert(next)
            })
            .collect();
        let count = known.len();
        // Tokens that tell the same as one before are one thing to know.
        if count > 1 && seen.insert(codes.clone(), ()).is_none() {
            let mut counts = vec![0u32; count];
            codes.iter().for_each(|&code| counts[usize::from(code)] += 1);
            columns.push(Values {
                position,
                codes,
                count,
                entropy: entropy(&counts, sample.len()),
            });
        }
    }
    let scale = rows.len() as f64;
    let mut best = None;
    let mut most = 0.0;
    let mut joint = Vec::new();
    for splitter in columns.iter().filter(|column| column.count <= MAX_VALUES) {
        let mut gain = 0.0;
        let mut left = 0;
        for other in &columns {
            if other.position == splitter.position {
                continue;
            }
            let (bits, cells) = mutual(splitter, other, &mut joint, sample.len());
            let chance = (cells + 1 - splitter.count as i64 - other.count as i64) as f64
                / (2.0 * std::f64::consts::LN_2 * sample.len() as f64);
            gain += (bits - chance.max(0.0)).max(0.0) * scale;
            left += 1;
        }
        let price = COLUMN_BITS * (splitter.count - 1) as f64 * (1.0 + f64::from(left));
        if gain - price > most {
            most = gain - price;
            best = Some(splitter.position);
        }
    }
    best
}

fn entropy(counts: &[u32], total: usize) -> f64 {
    let total = total as f64;
    counts
        .iter()
        .filter(|&&count| count > 0)
        .map(|&count| {
            let share = f64::from(count) / total;
            -share * share.log2()
        })
        .sum()
}

/// Mutual information in bits, and the number of pairs of values that occur.
fn mutual(a: &Values, b: &Values, joint: &mut Vec<u32>, rows: usize) -> (f64, i64) {
    joint.clear();
    joint.resize(a.count * b.count, 0);
    for (&x, &y) in a.codes.iter().zip(&b.codes) {
        joint[usize::from(x) * b.count + usize::from(y)] += 1;
    }
    let cells = joint.iter().filter(|&&count| count > 0).count() as i64;
    (a.entropy + b.entropy - entropy(joint, rows), cells)
}
