//! Writes sealed rows as one row for each run of keys and bucket of time. Holds one channel at a time.
//!
//! Buckets of segments that were downsampled before are merged with what comes to them.

use std::ops::Range;
use std::sync::Arc;

use super::buckets::{Buckets, Cell, Companion, DIRECTORY, FIRST_ID, MOST_POINTS, Role};
use super::footer::{Footer, SectionEntry};
use super::runs::KeyCell;
use super::stat::ColumnTotals;
use super::writer::{Output, Sink};
use super::{Segment, SegmentInfo, runs};
use crate::batch::{Batch, BatchColumn};
use crate::column::{Column, Hints, Moments, PartKind, time};
use crate::domain::bounded::Precision;
use crate::error::{Error, Result};
use crate::keep::ladder::bucket_of;
use crate::rows::{RowRanges, index};
use crate::schema::{ColumnId, ColumnSpec, ColumnType, Schema, SharedSchema};
use crate::tail::order;
use crate::value::{f64_of, key_of_f32, key_of_f64, key_of_i64, number_of};

/// Rows decoded at a time.
const CHUNK: u64 = 8_192;
/// Rows of a bucket from which its sketch has more points.
const MANY: u64 = 64;

/// Rows of one source in one bucket.
#[derive(Debug, Clone)]
struct Piece {
    source: usize,
    rows: Range<u64>,
    /// Rows that they stand for.
    weight: u64,
    first: i64,
    last: i64,
}

/// One row to be written: its pieces, by their first time.
type Bucket = Vec<usize>;

/// Writes the rows of `sources`, which are of stream shape `schema`, in buckets of length `every`.
///
/// # Errors
/// `InvalidArgument` if a source has buckets that do not fit into these, or if the errors of moved values do not go
/// together; `Corrupt` where its bytes are damaged; what `sink` refuses.
pub fn downsample(
    sources: &[Arc<Segment>],
    schema: &SharedSchema,
    every: i64,
    hints: &Hints,
    sink: Sink<'_>,
) -> Result<SegmentInfo> {
    let (pieces, heads) = find_pieces(sources, schema, every)?;
    let (heads, buckets) = group(&pieces, &heads, schema)?;
    let weights = pieces.iter().map(|piece| piece.weight);
    let rows = weights.fold(0, u64::saturating_add);
    let points = if rows / (heads.len() as u64).max(1) < MANY {
        3
    } else {
        MOST_POINTS
    };
    let run_list = runs::find(&heads);
    let mut output = Output::begin(sink)?;
    let runs = output.section(&runs::encode(&heads, &run_list))?;
    let times = output.section(&time::encode(&heads.times, &run_list))?;
    let mut file = File {
        output,
        hints,
        sections: Vec::new(),
        specs: schema.keys().to_vec(),
        totals: schema
            .keys()
            .iter()
            .zip(&heads.columns)
            .map(|(spec, column)| ColumnTotals::of(spec.ty, column))
            .collect(),
        companions: Vec::new(),
    };
    let of_rows = |value: &dyn Fn(&Piece, i64) -> u64, fold: &dyn Fn(u64, u64) -> u64| -> Vec<u64> {
        let all = buckets.iter().zip(&heads.times).map(|(bucket, &start)| {
            let values = bucket.iter().map(|&piece| value(&pieces[piece], start));
            values.reduce(fold).unwrap_or(0)
        });
        all.collect()
    };
    let weights = of_rows(&|piece, _| piece.weight, &|a, b| a.saturating_add(b));
    let firsts = of_rows(&|piece, start| piece.first.abs_diff(start), &u64::min);
    let lasts = of_rows(&|piece, start| piece.last.abs_diff(start), &u64::max);
    file.companion(0, "", ColumnType::U64, Role::Rows, 0, weights.clone(), None)?;
    file.companion(0, "", ColumnType::U64, Role::FirstTime, 0, firsts, None)?;
    file.companion(0, "", ColumnType::U64, Role::LastTime, 0, lasts, None)?;
    for spec in schema.channels() {
        if spec.ty.is_binary() {
            file.strings(spec, sources, &pieces, &buckets, &weights)?;
        } else {
            let cells = channel_cells(spec, sources, &pieces, points)?;
            let merged = buckets.iter().map(|bucket| {
                let all = bucket.iter().map(|&piece| cells[piece]);
                all.reduce(|a, b| merge(spec.ty, &a, &b, points))
                    .unwrap_or_default()
            });
            let Some(carried) = super::carried(sources, spec.id)? else {
                return Err(Error::invalid("absolute and relative errors do not add up"));
            };
            file.numbers(spec, merged.collect(), &weights, points, carried)?;
        }
    }
    let directory = Buckets {
        every,
        points,
        companions: file.companions,
    };
    let range = file.output.section(&directory.write())?;
    file.sections.push(SectionEntry {
        column: DIRECTORY,
        kind: PartKind::Buckets,
        codec: 0,
        range,
    });
    let sequences = sources.iter().map(|source| source.footer.sequences);
    let (time_name, unit) = (schema.time_name().to_owned(), schema.time_unit());
    file.output.finish(Footer {
        rows: heads.len() as u64,
        time_range: (
            heads.times.iter().copied().min().unwrap_or_default(),
            heads.times.iter().copied().max().unwrap_or_default(),
        ),
        sequences: sequences
            .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
            .unwrap_or_default(),
        schema: Arc::new(Schema::from_parts(
            time_name,
            unit,
            schema.keys().len(),
            file.specs,
            u32::MAX,
        )?),
        totals: file.totals,
        runs,
        times,
        sections: file.sections,
        covered: 0,
    })
}

/// The pieces of all sources; and for each a row with its keys, the start of its bucket and its number.
fn find_pieces(sources: &[Arc<Segment>], schema: &SharedSchema, every: i64) -> Result<(Vec<Piece>, Batch)> {
    let mut specs = schema.keys().to_vec();
    specs.push(ColumnSpec {
        id: ColumnId(u32::MAX - 1),
        name: String::new(),
        ty: ColumnType::U64,
        unit: String::new(),
    });
    let keys = schema.keys().len();
    let time_name = format!("{}~", schema.time_name());
    let shape = Schema::from_parts(time_name, schema.time_unit(), keys, specs, u32::MAX)?;
    let mut heads = Batch::new(Arc::new(shape));
    let mut pieces: Vec<Piece> = Vec::new();
    for (source, segment) in sources.iter().enumerate() {
        if segment.buckets().is_some_and(|own| every % own.every != 0) {
            return Err(Error::invalid(
                "longer buckets are whole numbers of the buckets before",
            ));
        }
        for run in 0..segment.runs().len() {
            let rows = segment.runs().rows(run)?;
            let mut open: Option<i64> = None;
            let mut start = rows.start;
            while start < rows.end {
                let end = rows.end.min(start + CHUNK);
                let mut times = vec![0; index(end - start)];
                segment.times().decode(start..end, &mut times)?;
                let (weights, firsts, lasts) = match segment.buckets() {
                    None => Default::default(),
                    Some(_) => (
                        segment.weights(start..end)?,
                        segment.companion_keys(ColumnId(0), Role::FirstTime, 0, start..end)?,
                        segment.companion_keys(ColumnId(0), Role::LastTime, 0, start..end)?,
                    ),
                };
                for (place, &at) in times.iter().enumerate() {
                    let row = start + place as u64;
                    let weight = weights.get(place).copied().unwrap_or(1);
                    let offset = |offsets: &Vec<u64>| {
                        let offset = offsets.get(place).copied().unwrap_or(0);
                        at.saturating_add(i64::try_from(offset).unwrap_or(0))
                    };
                    let (first, last) = (offset(&firsts), offset(&lasts));
                    let bucket = bucket_of(at, every);
                    if open == Some(bucket) {
                        if let Some(piece) = pieces.last_mut() {
                            piece.rows.end = row + 1;
                            piece.weight = piece.weight.saturating_add(weight);
                            piece.last = piece.last.max(last);
                        }
                        continue;
                    }
                    open = Some(bucket);
                    heads.times.push(bucket);
                    for key in 0..keys {
                        match segment.runs().cell(key, run)? {
                            KeyCell::Null => heads.columns[key].push_null(),
                            KeyCell::Key(cell) => heads.columns[key].push_key(cell),
                            KeyCell::Bytes(cell) => heads.columns[key].push_bytes(cell),
                        }
                    }
                    heads.columns[keys].push_key(pieces.len() as u64);
                    pieces.push(Piece {
                        source,
                        rows: row..row + 1,
                        weight,
                        first,
                        last,
                    });
                }
                start = end;
            }
        }
    }
    Ok((pieces, order::sort(heads)))
}

/// Puts pieces with equal keys and bucket together; the rows to be written have the keys and times of the first.
fn group(pieces: &[Piece], sorted: &Batch, schema: &SharedSchema) -> Result<(Batch, Vec<Bucket>)> {
    let keys = schema.keys().len();
    let shape = Schema::from_parts(
        schema.time_name().to_owned(),
        schema.time_unit(),
        keys,
        schema.keys().to_vec(),
        u32::MAX,
    )?;
    let mut heads = Batch::new(Arc::new(shape));
    let mut buckets: Vec<Bucket> = Vec::new();
    for run in runs::find(sorted) {
        let mut open = None;
        for row in index(run.start)..index(run.end) {
            let piece = index(sorted.columns[keys].key(row).unwrap_or(0));
            if open != Some(sorted.times[row]) {
                open = Some(sorted.times[row]);
                buckets.push(Vec::new());
                heads.times.push(sorted.times[row]);
                for (out, column) in heads.columns.iter_mut().zip(&sorted.columns) {
                    out.push_from(column, row);
                }
            }
            if let Some(bucket) = buckets.last_mut() {
                bucket.push(piece);
            }
        }
    }
    for bucket in &mut buckets {
        bucket.sort_by_key(|&piece| pieces[piece].first);
    }
    Ok((heads, buckets))
}

/// What each piece holds of a channel of numbers.
fn channel_cells(
    spec: &ColumnSpec,
    sources: &[Arc<Segment>],
    pieces: &[Piece],
    points: usize,
) -> Result<Vec<Cell>> {
    let mut out = Vec::with_capacity(pieces.len());
    // Pieces of a source stand in row order, one source after the other.
    let mut window = (usize::MAX, 0..0, BatchColumn::new(spec.ty));
    let mut values = Vec::new();
    for piece in pieces {
        let segment = &sources[piece.source];
        let position = segment.position(spec.id);
        let column = match position {
            Some(position) => segment.column(position)?,
            None => None,
        };
        let Some(column) = column else {
            out.push(Cell::default());
            continue;
        };
        if let Some(own) = segment.buckets() {
            let cells = segment.cells(spec.id, spec.ty, piece.rows.clone())?;
            let same = |cell: Cell| {
                if own.points == points {
                    cell
                } else {
                    resketched(&cell, own.points, points)
                }
            };
            let all = cells.into_iter().map(same);
            out.push(
                all.reduce(|a, b| merge(spec.ty, &a, &b, points))
                    .unwrap_or_default(),
            );
            continue;
        }
        values.clear();
        let mut row = piece.rows.start;
        while row < piece.rows.end {
            if window.0 != piece.source || !window.1.contains(&row) {
                let rows = row..column.rows().min(row + CHUNK);
                let mut decoded = BatchColumn::new(spec.ty);
                column.decode(rows.clone(), &mut decoded)?;
                window = (piece.source, rows, decoded);
            }
            let end = piece.rows.end.min(window.1.end);
            values.extend((row..end).filter_map(|row| window.2.key(index(row - window.1.start))));
            row = end;
        }
        out.push(cell_of(spec.ty, &mut values, points));
    }
    Ok(out)
}

/// Sums up values in row order.
fn cell_of(ty: ColumnType, keys: &mut [u64], points: usize) -> Cell {
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

fn candidates(cells: &[(&Cell, usize)]) -> Vec<u64> {
    let keys = cells.iter().flat_map(|(cell, points)| {
        let inner = cell.points.iter().take(*points).copied();
        inner.chain([cell.min, cell.max])
    });
    let mut keys: Vec<u64> = keys.collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// The same values with another number of points.
fn resketched(cell: &Cell, before: usize, points: usize) -> Cell {
    let mut out = *cell;
    sketch(&mut out, points, &candidates(&[(cell, before)]), |key| {
        around(cell, before, key)
    });
    out
}

/// The values of both, those of `a` first.
fn merge(ty: ColumnType, a: &Cell, b: &Cell, points: usize) -> Cell {
    if a.count == 0 || b.count == 0 {
        return if a.count == 0 { *b } else { *a };
    }
    let moments = |cell: &Cell| Moments {
        count: cell.count,
        mean: cell.mean(ty),
        squares: cell.squares,
    };
    let mut out = Cell {
        count: a.count.saturating_add(b.count),
        min: a.min.min(b.min),
        max: a.max.max(b.max),
        first: a.first,
        last: b.last,
        integer: a.integer.saturating_add(b.integer),
        float: a.float + b.float,
        squares: moments(a).merge(moments(b)).squares,
        ..Cell::default()
    };
    let keys = candidates(&[(a, points), (b, points)]);
    sketch(&mut out, points, &keys, |key| {
        let (x, y) = (around(a, points, key), around(b, points, key));
        (x.0.saturating_add(y.0), x.1.saturating_add(y.1))
    });
    out
}

/// A file that is being written.
struct File<'a> {
    output: Output<'a>,
    hints: &'a Hints,
    sections: Vec<SectionEntry>,
    specs: Vec<ColumnSpec>,
    totals: Vec<ColumnTotals>,
    companions: Vec<Companion>,
}

impl File<'_> {
    fn column(&mut self, spec: ColumnSpec, column: &BatchColumn, carried: Option<Precision>) -> Result<()> {
        let hints = Hints {
            carried,
            ..self.hints.clone()
        };
        for part in Column::encode(spec.ty, column, &hints)? {
            let range = self.output.section(&part.body)?;
            self.sections.push(SectionEntry {
                column: spec.id.0,
                kind: part.kind,
                codec: part.codec,
                range,
            });
        }
        self.totals.push(ColumnTotals::of(spec.ty, column));
        self.specs.push(spec);
        Ok(())
    }

    /// Writes a companion; null where `cells` have no values.
    #[expect(clippy::too_many_arguments, reason = "what the directory says of it")]
    fn companion(
        &mut self,
        of: u32,
        name: &str,
        ty: ColumnType,
        role: Role,
        number: u16,
        keys: Vec<u64>,
        cells: Option<&[Cell]>,
    ) -> Result<()> {
        let id = ColumnId(FIRST_ID + u32::try_from(self.companions.len()).unwrap_or(u32::MAX / 4));
        let mut full = format!("{name}~{}", role.name());
        if role == Role::Point {
            full = format!("{full}{}", number + 1);
        }
        while self.specs.iter().any(|spec| spec.name == full) {
            full.push('~');
        }
        let mut column = BatchColumn::new(role.ty(ty));
        for (row, key) in keys.into_iter().enumerate() {
            match cells.and_then(|cells| cells.get(row)) {
                Some(cell) if cell.count == 0 => column.push_null(),
                _ => column.push_key(key),
            }
        }
        self.companions.push(Companion { of, role, number, id });
        let spec = ColumnSpec {
            id,
            name: full,
            ty: role.ty(ty),
            unit: String::new(),
        };
        self.column(spec, &column, None)
    }

    fn numbers(
        &mut self,
        spec: &ColumnSpec,
        mut cells: Vec<Cell>,
        weights: &[u64],
        points: usize,
        carried: Option<Precision>,
    ) -> Result<()> {
        let ty = spec.ty;
        let digits = if ty.is_float() {
            rounded_sums(ty, &mut cells)
        } else {
            None
        };
        let mut means = BatchColumn::new(ty);
        for cell in &cells {
            if cell.count == 0 {
                means.push_null();
            } else {
                means.push_key(if ty == ColumnType::Bool {
                    cell.last
                } else {
                    mean_key(ty, cell, digits)
                });
            }
        }
        self.column(spec.clone(), &means, carried)?;
        let (of, name) = (spec.id.0, spec.name.as_str());
        if cells
            .iter()
            .zip(weights)
            .any(|(cell, &weight)| cell.count != weight)
        {
            let counts = cells.iter().map(|cell| cell.count).collect();
            self.companion(of, name, ty, Role::Count, 0, counts, None)?;
        }
        let mut put = |role: Role, number: usize, key: &dyn Fn(&Cell) -> u64| {
            let keys = cells.iter().map(key).collect();
            let number = u16::try_from(number).unwrap_or(u16::MAX);
            self.companion(of, name, ty, role, number, keys, Some(&cells))
        };
        put(Role::Min, 0, &|cell| cell.min)?;
        put(Role::Max, 0, &|cell| cell.max)?;
        if ty.is_float() {
            put(Role::Sum, 0, &|cell| key_of_f64(cell.float))?;
        } else if cells.iter().all(|cell| i64::try_from(cell.integer).is_ok()) {
            put(Role::Sum, 0, &|cell| {
                key_of_i64(i64::try_from(cell.integer).unwrap_or(0))
            })?;
        } else {
            put(Role::Sum, 0, &|cell| {
                key_of_i64(i64::try_from(cell.integer >> 32).unwrap_or(i64::MAX))
            })?;
            put(Role::SumLow, 0, &|cell| {
                u64::try_from(cell.integer & 0xffff_ffff).unwrap_or(0)
            })?;
        }
        put(Role::First, 0, &|cell| cell.first)?;
        put(Role::Last, 0, &|cell| cell.last)?;
        // What is not finite has no spread.
        put(Role::Squares, 0, &|cell| {
            key_of_f64(f64_of(
                key_of_f64(cell.squares).saturating_add(1 << 39) & !((1 << 40) - 1),
            ))
        })?;
        for point in 0..points {
            put(Role::Point, point, &|cell| cell.points[point])?;
        }
        if cells.iter().any(|cell| cell.slack > 0) {
            put(Role::Slack, 0, &|cell| cell.slack)?;
        }
        Ok(())
    }

    /// Writes the last string of each bucket, and how many there are.
    fn strings(
        &mut self,
        spec: &ColumnSpec,
        sources: &[Arc<Segment>],
        pieces: &[Piece],
        buckets: &[Bucket],
        weights: &[u64],
    ) -> Result<()> {
        let mut lasts = BatchColumn::new(spec.ty);
        let mut counts = Vec::with_capacity(buckets.len());
        for bucket in buckets {
            let mut count = 0u64;
            let mut last: Option<(i64, Vec<u8>)> = None;
            for piece in bucket.iter().map(|&piece| &pieces[piece]) {
                let segment = &sources[piece.source];
                let position = segment.position(spec.id);
                let Some(column) = position.map(|p| segment.column(p)).transpose()?.flatten() else {
                    continue;
                };
                let rows = RowRanges::single(piece.rows.clone());
                count = count.saturating_add(match segment.buckets() {
                    Some(_) => segment.value_weight(spec.id, &rows)?,
                    None => column.valid_count(&rows)?,
                });
                if last.as_ref().is_some_and(|(time, _)| *time > piece.last) {
                    continue;
                }
                for row in piece.rows.clone().rev() {
                    let mut found = BatchColumn::new(spec.ty);
                    column.decode(row..row + 1, &mut found)?;
                    if let Some(bytes) = found.bytes(0) {
                        last = Some((piece.last, bytes.to_vec()));
                        break;
                    }
                }
            }
            counts.push(count);
            match last {
                Some((_, bytes)) => lasts.push_bytes(&bytes),
                None => lasts.push_null(),
            }
        }
        self.column(spec.clone(), &lasts, None)?;
        if counts.iter().zip(weights).any(|(count, weight)| count != weight) {
            self.companion(spec.id.0, &spec.name, spec.ty, Role::Count, 0, counts, None)?;
        }
        Ok(())
    }
}

/// Rounds sums of decimals to decimals, where they are none only by the rounding of their addition; gives the digits.
fn rounded_sums(ty: ColumnType, cells: &mut [Cell]) -> Option<i32> {
    let rounded = |cell: &Cell, digits: i32| {
        let power = 10f64.powi(digits);
        let sum = (cell.float * power).round() / power;
        let size = number_of(ty, cell.min).abs().max(number_of(ty, cell.max).abs()) * cell.count as f64;
        ((sum - cell.float).abs() <= size * 1e-13).then_some(sum)
    };
    let finite = |cell: &&Cell| cell.count > 0 && cell.float.is_finite();
    let all = cells.iter().filter(finite).count();
    let digits = (0..=9).find(|&digits| {
        let near = cells
            .iter()
            .filter(finite)
            .filter(|cell| rounded(cell, digits).is_some());
        near.count() * 20 >= all * 19
    })?;
    for cell in cells.iter_mut().filter(|cell| cell.float.is_finite()) {
        cell.float = rounded(cell, digits).unwrap_or(cell.float);
    }
    Some(digits)
}

/// The mean, rounded: of decimals two digits further than they go, else to 26 bits.
fn mean_key(ty: ColumnType, cell: &Cell, digits: Option<i32>) -> u64 {
    let mean = cell.mean(ty);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a mean lies between the smallest and the largest value"
    )]
    match (ty, digits) {
        (ColumnType::F64, Some(digits)) if mean.is_finite() => {
            let power = 10f64.powi(digits + 2);
            let near = (mean * power).round() / power;
            key_of_f64(if near.is_finite() { near } else { mean })
        }
        (ColumnType::F64, None) if mean.is_finite() => {
            key_of_f64(f64::from_bits(mean.to_bits() & !((1 << 26) - 1)))
        }
        (ColumnType::F64, _) => key_of_f64(mean),
        (ColumnType::F32, Some(digits)) if mean.is_finite() => {
            let power = 10f64.powi(digits + 2);
            key_of_f32(((mean * power).round() / power) as f32)
        }
        (ColumnType::F32, _) => key_of_f32(mean as f32),
        (ColumnType::U8 | ColumnType::U16 | ColumnType::U32 | ColumnType::U64, _) => {
            (mean.round() as u64).max(cell.min).min(cell.max)
        }
        _ => key_of_i64(mean.round() as i64).max(cell.min).min(cell.max),
    }
}
