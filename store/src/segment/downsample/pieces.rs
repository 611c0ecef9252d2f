//! Which rows of which sources go into which bucket.

use std::ops::Range;
use std::sync::Arc;

use super::super::buckets::Role;
use super::super::runs::KeyCell;
use super::super::{Segment, runs};
use super::CHUNK;
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::keep::ladder::bucket_of;
use crate::rows::index;
use crate::schema::{ColumnId, ColumnSpec, ColumnType, Schema, SharedSchema};
use crate::tail::order;

/// Rows of one source in one bucket.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub source: usize,
    pub rows: Range<u64>,
    /// Rows that they stand for.
    pub weight: u64,
    pub first: i64,
    pub last: i64,
}

/// One row to be written: its pieces, by their first time.
pub(super) type Bucket = Vec<usize>;

/// The pieces of all sources; and for each a row with its keys, the start of its bucket and its number.
pub(super) fn find(
    sources: &[Arc<Segment>],
    schema: &SharedSchema,
    every: i64,
) -> Result<(Vec<Piece>, Batch)> {
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
pub(super) fn group(pieces: &[Piece], sorted: &Batch, schema: &SharedSchema) -> Result<(Batch, Vec<Bucket>)> {
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
