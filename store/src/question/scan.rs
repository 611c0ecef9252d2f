//! Values of selected rows, in batches; and the selected rows themselves, in chunks.

use std::sync::Arc;

use super::part::{Part, Selection};
use super::resolve::{Node, Target};
use super::view::View;
use crate::batch::{Batch, BatchColumn};
use crate::error::{Error, Result};
use crate::rows::{RowRanges, index};
use crate::schema::{Schema, SharedSchema};

/// Rows of a batch at most.
pub const BATCH_ROWS: u64 = 8_192;

/// Rows of a range on average, up to which they are looked up one by one.
const SINGLE_ROWS: u64 = 4;
/// Parts up to which what a question opens of them is kept for the next one.
const KEPT_PARTS: usize = 64;

/// Rows in one part of a snapshot (a segment, or the tail), each sorted by (keys, time).
///
/// Parts are numbered in the order of their first sequence; the tail, if it has rows, is the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartRows {
    /// Number of the part.
    pub part: usize,
    /// Rows inside the part.
    pub rows: RowRanges,
}

/// The named columns of a stream and the shape of batches that hold them.
#[derive(Debug, Clone)]
pub struct Projection {
    pub(super) columns: Vec<usize>,
    pub(super) schema: SharedSchema,
}

impl Projection {
    /// The columns of these names, in this order.
    ///
    /// # Errors
    /// `InvalidArgument` for a name that is no key column or channel, or that comes twice.
    pub fn new(schema: &Schema, names: &[&str]) -> Result<Projection> {
        let mut columns = Vec::with_capacity(names.len());
        for name in names {
            match super::resolve::target(schema, name)? {
                Target::Column(position) => columns.push(position),
                Target::Time => {
                    return Err(Error::invalid(
                        "times come with every batch; name the other columns only",
                    ));
                }
            }
        }
        let keys = columns
            .iter()
            .enumerate()
            .take_while(|(i, c)| i == *c && **c < schema.keys().len())
            .count();
        let specs = columns.iter().map(|&c| schema.columns()[c].clone()).collect();
        let projected = Schema::from_parts(
            schema.time_name().to_owned(),
            schema.time_unit(),
            keys,
            specs,
            schema.next_id(),
        )?;
        Ok(Projection {
            columns,
            schema: Arc::new(projected),
        })
    }

    /// Shape of the batches.
    pub fn schema(&self) -> &SharedSchema {
        &self.schema
    }
}

/// Values of the projected columns in some rows of a part.
///
/// # Errors
/// `OutOfRange` if the part has fewer rows; `Corrupt` if its bytes are damaged.
pub fn fetch(part: &Part, rows: &RowRanges, projection: &Projection) -> Result<Batch> {
    let end = rows.as_slice().last().map_or(0, |range| range.end);
    if end > part.data.rows() {
        return Err(Error::OutOfRange {
            what: "row",
            position: end - 1,
            end: part.data.rows(),
        });
    }
    let mut batch = Batch::new(Arc::clone(&projection.schema));
    for range in rows.as_slice() {
        let before = batch.times.len();
        batch.times.resize(before + index(range.end - range.start), 0);
        part.data.times(range.clone(), &mut batch.times[before..])?;
    }
    for (out, &position) in batch.columns.iter_mut().zip(&projection.columns) {
        gather(&part.view(Target::Column(position))?, rows, out)?;
    }
    Ok(batch)
}

/// Appends the values of `rows`. Rows that lie close together are decoded in one stretch, single ones are looked up.
pub(super) fn gather(view: &View<'_>, rows: &RowRanges, out: &mut BatchColumn) -> Result<()> {
    let ranges = rows.as_slice();
    let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else {
        return Ok(());
    };
    let span = first.start..last.end;
    if rows.row_count() <= SINGLE_ROWS * ranges.len() as u64 && span.end - span.start > 4 * rows.row_count() {
        let single: Vec<u64> = ranges.iter().flat_map(|range| range.clone()).collect();
        return view.get_many(&single, out);
    }
    if ranges.len() < 8 || span.end - span.start > 4 * rows.row_count() {
        return ranges
            .iter()
            .try_for_each(|range| view.decode(range.clone(), out));
    }
    let mut stretch = BatchColumn {
        data: empty_like(out),
        validity: None,
    };
    view.decode(span.clone(), &mut stretch)?;
    for row in ranges
        .iter()
        .flat_map(|range| range.start - span.start..range.end - span.start)
    {
        out.push_from(&stretch, index(row));
    }
    Ok(())
}

fn empty_like(column: &BatchColumn) -> crate::batch::ColumnData {
    match &column.data {
        crate::batch::ColumnData::Keys(_) => crate::batch::ColumnData::Keys(Vec::new()),
        crate::batch::ColumnData::Binary(_) => crate::batch::ColumnData::Binary(Default::default()),
    }
}

/// Iterator over the rows that meet a node, part by part. Holds one chunk of rows at a time.
#[derive(Debug)]
pub struct RowSets {
    parts: Vec<(usize, Part)>,
    node: Node,
    /// Position in `parts`.
    at: usize,
    /// Selection of the current part, and the next row to look at.
    current: Option<(Selection, u64)>,
}

impl RowSets {
    /// Rows of the numbered parts that meet the node.
    pub fn new(parts: Vec<(usize, Part)>, node: Node) -> RowSets {
        RowSets {
            parts,
            node,
            at: 0,
            current: None,
        }
    }

    fn advance(&mut self) -> Result<Option<(usize, RowRanges)>> {
        let many = self.parts.len() > KEPT_PARTS;
        while let Some((_, part)) = self.parts.get_mut(self.at) {
            if many && self.current.is_none() {
                *part = part.anew();
            }
            let (selection, start) = match &mut self.current {
                Some(current) => current,
                None => self.current.insert((part.select(&self.node)?, 0)),
            };
            if let Some(rows) = part.next_chunk(selection, start)? {
                return Ok(Some((self.at, rows)));
            }
            if many {
                *part = part.anew();
            }
            self.at += 1;
            self.current = None;
        }
        Ok(None)
    }

    /// The next chunk of rows, with the position of its part.
    pub fn next_rows(&mut self) -> Option<Result<(usize, RowRanges)>> {
        let found = self.advance();
        if found.is_err() {
            self.at = self.parts.len();
        }
        found.transpose()
    }
}

impl Iterator for RowSets {
    type Item = Result<PartRows>;

    fn next(&mut self) -> Option<Self::Item> {
        let found = self.next_rows()?;
        Some(found.map(|(at, rows)| PartRows {
            part: self.parts[at].0,
            rows,
        }))
    }
}

/// Iterator over the values of rows that meet a node. Holds one chunk of rows and one batch at a time.
#[derive(Debug)]
pub struct Batches {
    rows: RowSets,
    projection: Projection,
    /// Rows of the current chunk not given yet, and the position of their part.
    pending: Option<(usize, RowRanges)>,
}

impl Batches {
    /// Values of the projected columns in the rows of `rows`.
    pub fn new(rows: RowSets, projection: Projection) -> Batches {
        Batches {
            rows,
            projection,
            pending: None,
        }
    }

    fn advance(&mut self) -> Result<Option<Batch>> {
        let (at, rows) = match self.pending.take() {
            Some(pending) => pending,
            None => match self.rows.next_rows().transpose()? {
                Some(found) => found,
                None => return Ok(None),
            },
        };
        let (now, later) = rows.split(BATCH_ROWS);
        if !later.is_empty() {
            self.pending = Some((at, later));
        }
        fetch(&self.rows.parts[at].1, &now, &self.projection).map(Some)
    }
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        let found = self.advance();
        if found.is_err() {
            self.rows.at = self.rows.parts.len();
            self.pending = None;
        }
        found.transpose()
    }
}
