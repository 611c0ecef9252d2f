//! What is kept of the values of a bucket: sums, ends, and a sketch of points at equal ranks.
//!
//! A point's rank is known within the cell's slack, which merging adds to: ranks in a merged cell are bounded by those
//! in each of its parts, as in the merging of quantile summaries by Greenwald and Khanna (2004).

use super::super::buckets::Cell;
use crate::column::Moments;
use crate::rows::index;
use crate::schema::ColumnType;
use crate::value::number_of;

/// Cells merged at once: the time it takes grows with the square of this.
const AT_ONCE: usize = 16;

/// Sums up values in row order.
pub(super) fn cell_of(ty: ColumnType, keys: &mut [u64], points: usize) -> Cell {
    let (Some(&first), Some(&last)) = (keys.first(), keys.last()) else {
        return Cell::default();
    };
    let numbers: Vec<f64> = keys.iter().map(|&key| number_of(ty, key)).collect();
    let squares = Moments::of(&numbers).squares;
    let integer = if ty.is_float() {
        0
    } else {
        keys.iter().map(|&key| crate::domain::integer_of(ty, key)).sum()
    };
    keys.sort_unstable();
    let mut cell = Cell {
        count: keys.len() as u64,
        min: keys[0],
        max: keys[keys.len() - 1],
        first,
        last,
        integer,
        float: if ty.is_float() { exact_sum(&numbers) } else { 0.0 },
        squares,
        ..Cell::default()
    };
    for point in 0..points {
        cell.points[point] = keys[index(cell.rank(point, points)).min(keys.len() - 1)];
    }
    cell
}

/// Sum of floats with what each addition loses kept (Neumaier).
fn exact_sum(values: &[f64]) -> f64 {
    let (mut sum, mut lost) = (0.0f64, 0.0f64);
    for &value in values {
        let next = sum + value;
        lost += if sum.abs() >= value.abs() {
            (sum - next) + value
        } else {
            (value - next) + sum
        };
        sum = next;
    }
    let all = sum + lost;
    if all.is_nan() && !sum.is_nan() { sum } else { all }
}

/// How many of a cell's values are at most `key` for certain, and how many at most below it.
fn around(cell: &Cell, points: usize, key: u64) -> (u64, u64) {
    if key >= cell.max {
        let below = if key > cell.max {
            cell.count
        } else {
            cell.count.saturating_sub(1)
        };
        return (cell.count, below);
    }
    let (mut up_to, mut below) = (u64::from(key >= cell.min), cell.count.saturating_sub(1));
    if key <= cell.min {
        below = 0;
    }
    for point in 0..points {
        let rank = cell.rank(point, points);
        if cell.points[point] <= key {
            up_to = up_to.max((rank + 1).saturating_sub(cell.slack));
        }
        if cell.points[point] >= key {
            below = below.min(rank.saturating_add(cell.slack));
        }
    }
    (up_to.min(cell.count), below)
}

/// Sets the points of `cell` from candidates, whose ranks `sides` tells.
fn sketch(cell: &mut Cell, points: usize, candidates: &[u64], sides: impl Fn(u64) -> (u64, u64)) {
    let sided: Vec<(u64, u64, u64)> = candidates
        .iter()
        .map(|&key| {
            let (up_to, below) = sides(key);
            (key, up_to, below)
        })
        .collect();
    cell.slack = 0;
    for point in 0..points {
        let rank = cell.rank(point, points);
        let off = |&(_, up_to, below): &(u64, u64, u64)| {
            (rank + 1).saturating_sub(up_to).max(below.saturating_sub(rank))
        };
        if let Some(best) = sided.iter().min_by_key(|candidate| off(candidate)) {
            cell.points[point] = best.0;
            cell.slack = cell.slack.max(off(best));
        }
    }
}

/// The values of all cells, each with its number of points; those of earlier cells come first.
///
/// All are merged at once, up to [`AT_ONCE`]: every merge moves the points a little.
pub(super) fn merge(ty: ColumnType, cells: &[(Cell, usize)], points: usize) -> Cell {
    let cells: Vec<(Cell, usize)> = cells.iter().filter(|(cell, _)| cell.count > 0).copied().collect();
    match cells.as_slice() {
        [] => return Cell::default(),
        [(cell, own)] if *own == points => return *cell,
        _ => {}
    }
    if cells.len() > AT_ONCE {
        let groups: Vec<(Cell, usize)> = cells
            .chunks(AT_ONCE)
            .map(|group| (merge(ty, group, points), points))
            .collect();
        return merge(ty, &groups, points);
    }
    let mut out = cells
        .iter()
        .map(|(cell, _)| *cell)
        .reduce(|a, b| sums(ty, &a, &b))
        .unwrap_or_default();
    let mut keys: Vec<u64> = cells
        .iter()
        .flat_map(|(cell, points)| {
            let inner = cell.points.iter().take(*points).copied();
            inner.chain([cell.min, cell.max])
        })
        .collect();
    keys.sort_unstable();
    keys.dedup();
    sketch(&mut out, points, &keys, |key| {
        let sides = cells.iter().map(|(cell, points)| around(cell, *points, key));
        sides.fold((0, 0), |all: (u64, u64), one| {
            (all.0.saturating_add(one.0), all.1.saturating_add(one.1))
        })
    });
    out
}

/// What both have together but for their sketches.
fn sums(ty: ColumnType, a: &Cell, b: &Cell) -> Cell {
    let moments = |cell: &Cell| Moments {
        count: cell.count,
        mean: cell.mean(ty),
        squares: cell.squares,
    };
    Cell {
        count: a.count.saturating_add(b.count),
        min: a.min.min(b.min),
        max: a.max.max(b.max),
        first: a.first,
        last: b.last,
        integer: a.integer.saturating_add(b.integer),
        float: a.float + b.float,
        squares: moments(a).merge(moments(b)).squares,
        ..Cell::default()
    }
}
