//! Writes sealed rows as one row for each run of keys and bucket of time. Holds one channel at a time.
//!
//! Buckets of segments that were downsampled before are merged with what comes to them.

use std::sync::Arc;

use self::file::File;
use self::pieces::{Piece, group};
use self::sketch::{cell_of, merge};
use super::buckets::{Buckets, Cell, DIRECTORY, MOST_POINTS, Role};
use super::footer::{Footer, SectionEntry};
use super::stat::ColumnTotals;
use super::writer::{Output, Sink};
use super::{Segment, SegmentInfo, runs};
use crate::batch::BatchColumn;
use crate::column::{Hints, PartKind, time};
use crate::error::{Error, Result};
use crate::rows::index;
use crate::schema::{ColumnSpec, ColumnType, Schema, SharedSchema};

mod file;
mod pieces;
mod round;
mod sketch;

/// Rows decoded at a time.
const CHUNK: u64 = 8_192;
/// Rows of a bucket from which its sketch has more points.
const MANY: u64 = 64;

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
    let (pieces, heads) = pieces::find(sources, schema, every)?;
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
                let all: Vec<(Cell, usize)> = bucket.iter().map(|&piece| (cells[piece], points)).collect();
                merge(spec.ty, &all, points)
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
            let cells: Vec<(Cell, usize)> = cells.into_iter().map(|cell| (cell, own.points)).collect();
            out.push(merge(spec.ty, &cells, points));
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
