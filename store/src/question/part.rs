//! One part of a snapshot (a segment, or the tail), and the rows of it that meet a predicate.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use super::clock::ClockView;
use super::keyed::KeyView;
use super::resolve::{Leaf, Node, Target, type_of};
use super::view::View;
use crate::batch::Batch;
use crate::column::Condition;
use crate::error::{Error, Result};
use crate::rows::{Mask, RowRanges, index, ranges_of_mask};
use crate::schema::{Schema, SharedSchema};
use crate::segment::{Segment, runs};
use crate::tail::values::Orders;
use crate::value::key_of_i64;

/// Rows looked at together when a predicate needs a mask.
pub const CHUNK_ROWS: u64 = 65_536;

/// Where a part's rows are.
#[derive(Debug, Clone)]
pub enum PartData {
    /// A segment file.
    Segment(Arc<Segment>),
    /// Rows in memory sorted by (keys, time), and their runs.
    Tail(Arc<Batch>, Arc<Vec<Range<u64>>>),
}

impl PartData {
    /// A part over sorted rows in memory.
    pub fn tail(batch: Arc<Batch>) -> PartData {
        let runs = runs::find(&batch);
        PartData::Tail(batch, Arc::new(runs))
    }

    /// Number of rows.
    pub fn rows(&self) -> u64 {
        match self {
            PartData::Segment(segment) => segment.rows(),
            PartData::Tail(batch, _) => batch.len() as u64,
        }
    }

    /// Whether a row is a bucket of time and may stand for many.
    pub fn is_downsampled(&self) -> bool {
        matches!(self, PartData::Segment(segment) if segment.buckets().is_some())
    }

    /// Number of runs of equal keys.
    pub fn run_count(&self) -> u64 {
        match self {
            PartData::Segment(segment) => segment.runs().len(),
            PartData::Tail(_, runs) => runs.len() as u64,
        }
    }

    /// Rows of a run.
    pub fn run_rows(&self, run: u64) -> Result<Range<u64>> {
        match self {
            PartData::Segment(segment) => segment.runs().rows(run),
            PartData::Tail(_, runs) => Ok(runs[index(run)].clone()),
        }
    }

    /// The run that holds a row.
    pub fn run_of(&self, row: u64) -> Result<u64> {
        match self {
            PartData::Segment(segment) => segment.runs().run_of(row),
            PartData::Tail(_, runs) => Ok(runs.partition_point(|run| run.end <= row) as u64),
        }
    }

    /// First and last time of a run.
    pub fn run_times(&self, run: u64) -> Result<(i64, i64)> {
        match self {
            PartData::Segment(segment) => segment.runs().times(run),
            PartData::Tail(batch, runs) => {
                let rows = &runs[index(run)];
                Ok((batch.times[index(rows.start)], batch.times[index(rows.end) - 1]))
            }
        }
    }

    /// First and last time of all rows. O(1) for a segment, O(runs) for the tail.
    pub fn time_range(&self) -> Option<(i64, i64)> {
        match self {
            PartData::Segment(segment) => Some(segment.info().time_range),
            PartData::Tail(batch, runs) => {
                let first = runs.iter().map(|run| batch.times[index(run.start)]).min()?;
                let last = runs.iter().map(|run| batch.times[index(run.end) - 1]).max()?;
                Some((first, last))
            }
        }
    }

    /// First row of `run` whose time is at least `time`; `run.end` if there is none.
    pub fn lower_bound(&self, run: Range<u64>, time: i64) -> Result<u64> {
        match self {
            PartData::Segment(segment) => segment.times().lower_bound(run, time),
            PartData::Tail(batch, _) => {
                let times = &batch.times[index(run.start)..index(run.end)];
                Ok(run.start + times.partition_point(|&t| t < time) as u64)
            }
        }
    }

    /// Times of `rows`, into `out`, which has that many places.
    pub fn times(&self, rows: Range<u64>, out: &mut [i64]) -> Result<()> {
        match self {
            PartData::Segment(segment) => segment.times().decode(rows, out),
            PartData::Tail(batch, _) => {
                out.copy_from_slice(&batch.times[index(rows.start)..index(rows.end)]);
                Ok(())
            }
        }
    }

    /// One column, as this part keeps it. `schema` is the stream's.
    ///
    /// # Errors
    /// `Corrupt` if the column's bytes make no sense; `InvalidArgument` if its type cannot be read as the stream's.
    pub fn view(&self, schema: &Schema, target: Target) -> Result<View<'_>> {
        let position = match target {
            Target::Time => return Ok(View::Clock(ClockView { part: self })),
            Target::Column(position) => position,
        };
        let spec = &schema.columns()[position];
        let segment = match self {
            PartData::Tail(batch, _) => {
                // The tail's own schema may be older than the snapshot's: columns are only ever added at the end.
                return Ok(match batch.columns.get(position) {
                    Some(column) => View::Memory(column, spec.ty),
                    None => View::Absent(spec.ty),
                });
            }
            PartData::Segment(segment) => segment,
        };
        let Some(stored) = segment.position(spec.id) else {
            return Ok(View::Absent(spec.ty));
        };
        let stored_ty = segment.schema().columns()[stored].ty;
        let widens = stored_ty == spec.ty
            || (stored_ty.is_integer()
                && spec.ty.is_integer()
                && stored_ty.key_range().0 >= spec.ty.key_range().0
                && stored_ty.key_range().1 <= spec.ty.key_range().1
                && (stored_ty.key_range().0 == 0) == (spec.ty.key_range().0 == 0));
        if !widens {
            return Err(Error::invalid(format!(
                "column {:?} is {stored_ty} in {} and cannot be read as {}; only integers widen, keeping their sign",
                spec.name,
                segment.name(),
                spec.ty
            )));
        }
        if stored < segment.schema().keys().len() {
            return Ok(View::Key(KeyView {
                runs: segment.runs(),
                column: stored,
                ty: spec.ty,
            }));
        }
        Ok(match segment.column(stored)? {
            Some(column) => View::Stored(column),
            None => View::Absent(spec.ty),
        })
    }
}

/// Rows of a part that meet a predicate: exact ranges, and what remains to be tested row by row inside them.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Rows that meet the conditions on time and keys.
    pub ranges: RowRanges,
    /// The other conditions, all of which must hold.
    pub residual: Vec<Node>,
}

/// Whether a node is an interval of times without any between the first and the last of `times`.
fn is_outside(node: &Node, times: (i64, i64)) -> bool {
    match node {
        Node::Leaf(Leaf {
            target: Target::Time,
            condition: Condition::Keys(keys),
            negated: false,
        }) => keys.high < key_of_i64(times.0) || keys.low > key_of_i64(times.1),
        _ => false,
    }
}

/// A part together with the stream's schema.
#[derive(Debug, Clone)]
pub struct Part {
    /// Where the rows are.
    pub data: PartData,
    /// Shape of the stream.
    pub schema: SharedSchema,
    /// Orders of the values, where they are in memory.
    pub orders: Arc<Orders>,
    /// Bytes that a question may hold, of all parts together.
    pub memory_limit: usize,
}

/// Bytes that the opened columns of a part are taken for; those that stay open may take an eighth of the limit.
const OPENED_BYTES: usize = 16 << 10;

/// The parts, one after the other. Where there are many for what questions may hold in memory, what is opened of each goes
/// with it.
pub(super) fn one_by_one(parts: &[Part]) -> impl Iterator<Item = Cow<'_, Part>> {
    let many = parts
        .first()
        .is_some_and(|part| parts.len() > part.memory_limit / 8 / OPENED_BYTES);
    parts.iter().map(move |part| {
        if many {
            Cow::Owned(part.anew())
        } else {
            Cow::Borrowed(part)
        }
    })
}

impl Part {
    /// The same part without what was opened of it, see [`Segment::anew`].
    pub(crate) fn anew(&self) -> Part {
        let data = match &self.data {
            PartData::Segment(segment) => PartData::Segment(Arc::new(segment.anew())),
            tail @ PartData::Tail(..) => tail.clone(),
        };
        Part { data, ..self.clone() }
    }

    /// One column.
    pub fn view(&self, target: Target) -> Result<View<'_>> {
        self.data.view(&self.schema, target)
    }

    fn all_rows(&self) -> RowRanges {
        RowRanges::single(0..self.data.rows())
    }

    /// Splits a predicate into row ranges and what remains. O(runs x log rows) for conditions on time and keys.
    pub fn select(&self, node: &Node) -> Result<Selection> {
        if let Some(ranges) = self.exact_ranges(node)? {
            return Ok(Selection {
                ranges,
                residual: Vec::new(),
            });
        }
        let Node::And(children) = node else {
            return Ok(Selection {
                ranges: self.all_rows(),
                residual: vec![node.clone()],
            });
        };
        let mut ranges = self.all_rows();
        let mut residual = Vec::new();
        for child in children {
            match self.exact_ranges(child)? {
                Some(found) => ranges = ranges.intersect(&found),
                None => residual.push(child.clone()),
            }
        }
        Ok(Selection { ranges, residual })
    }

    /// Rows of a node that speaks only of time and keys, whose answers are ranges; `None` for others.
    fn exact_ranges(&self, node: &Node) -> Result<Option<RowRanges>> {
        Ok(Some(match node {
            Node::All => self.all_rows(),
            Node::Nothing => RowRanges::empty(),
            Node::Leaf(leaf) => return self.leaf_ranges(leaf),
            Node::And(children) => {
                let mut ranges = self.all_rows();
                for child in children {
                    let Some(found) = self.exact_ranges(child)? else {
                        return Ok(None);
                    };
                    ranges = ranges.intersect(&found);
                }
                ranges
            }
            Node::Or(children) => {
                let mut ranges = Vec::new();
                // Many time windows in one question: most lie outside this part.
                let times = if children.len() > 1 {
                    self.data.time_range()
                } else {
                    None
                };
                for child in children {
                    if times.is_some_and(|times| is_outside(child, times)) {
                        continue;
                    }
                    let Some(found) = self.exact_ranges(child)? else {
                        return Ok(None);
                    };
                    ranges.extend_from_slice(found.as_slice());
                }
                RowRanges::from_any(ranges)
            }
        }))
    }

    fn leaf_ranges(&self, leaf: &Leaf) -> Result<Option<RowRanges>> {
        let (hits, values) = match (self.view(leaf.target)?, &self.data) {
            (View::Clock(view), _) => (view.ranges(&leaf.condition)?, self.all_rows()),
            (View::Key(view), _) => {
                let hits = view.runs.select(view.column, &leaf.condition)?;
                let values = if leaf.negated {
                    view.runs.select(view.column, &Condition::IsNotNull)?
                } else {
                    hits.clone()
                };
                (hits, values)
            }
            (View::Absent(_), _) => {
                let none = RowRanges::empty();
                (
                    if matches!(leaf.condition, Condition::IsNull) {
                        self.all_rows()
                    } else {
                        none.clone()
                    },
                    none,
                )
            }
            (View::Memory(column, _), PartData::Tail(_, runs)) if self.is_key(leaf.target) => {
                let meets = |condition: &Condition| -> RowRanges {
                    let hit = |run: &&Range<u64>| {
                        super::condition::matches_row(condition, column, index(run.start))
                    };
                    runs.iter().filter(hit).cloned().collect()
                };
                (meets(&leaf.condition), meets(&Condition::IsNotNull))
            }
            _ => return Ok(None),
        };
        Ok(Some(if leaf.negated {
            values.subtract(&hits)
        } else {
            hits
        }))
    }

    fn is_key(&self, target: Target) -> bool {
        matches!(target, Target::Column(position) if position < self.schema.keys().len())
    }

    /// How many rows of a selection there are. A single condition is counted by its column, others by masks.
    pub fn count(&self, selection: &Selection) -> Result<u64> {
        if selection.ranges.is_empty() {
            return Ok(0);
        }
        match selection.residual.as_slice() {
            [] => Ok(selection.ranges.row_count()),
            [Node::Leaf(leaf)] => self.count_leaf(leaf, &selection.ranges),
            _ => {
                let mut total = 0;
                self.each_chunk(selection, |rows| {
                    total += rows.row_count();
                    Ok(true)
                })?;
                Ok(total)
            }
        }
    }

    fn count_leaf(&self, leaf: &Leaf, ranges: &RowRanges) -> Result<u64> {
        let view = self.view(leaf.target)?;
        let hits = view.count(ranges, &leaf.condition)?;
        if !leaf.negated {
            return Ok(hits);
        }
        Ok(view.count(ranges, &Condition::IsNotNull)?.saturating_sub(hits))
    }

    /// Calls `found` with the selected rows of each chunk of at most [`CHUNK_ROWS`] rows, until it says false.
    pub fn each_chunk(
        &self,
        selection: &Selection,
        mut found: impl FnMut(RowRanges) -> Result<bool>,
    ) -> Result<()> {
        let mut start = 0;
        while let Some(rows) = self.next_chunk(selection, &mut start)? {
            if !found(rows)? {
                break;
            }
        }
        Ok(())
    }

    /// The selected rows of the next chunk at or after row `start` that has any; moves `start` behind it.
    pub fn next_chunk(&self, selection: &Selection, start: &mut u64) -> Result<Option<RowRanges>> {
        let ranges = selection.ranges.as_slice();
        loop {
            let first = ranges.partition_point(|r| r.end <= *start);
            let Some(range) = ranges.get(first) else {
                return Ok(None);
            };
            let from = range.start.max(*start);
            let window = from..from.saturating_add(CHUNK_ROWS).min(self.data.rows());
            if window.is_empty() {
                return Ok(None);
            }
            *start = window.end;
            let mut rows = selection.ranges.clip(window.clone());
            if !selection.residual.is_empty() {
                // Test only the span that the ranges touch.
                let last = rows.as_slice().last().map_or(window.start, |r| r.end);
                let mask = self.mask_all(&selection.residual, window.start..last)?;
                let mut hits = RowRanges::empty();
                ranges_of_mask(&mask, window.start, &mut hits);
                rows = rows.intersect(&hits);
            }
            if !rows.is_empty() {
                return Ok(Some(rows));
            }
        }
    }

    fn mask_all(&self, nodes: &[Node], rows: Range<u64>) -> Result<Mask> {
        let mut mask: Option<Mask> = None;
        for node in nodes {
            if mask.as_ref().is_some_and(|m| m.not_any()) {
                break;
            }
            let next = self.mask(node, rows.clone())?;
            mask = Some(match mask {
                None => next,
                Some(before) => before & next,
            });
        }
        Ok(mask.unwrap_or_else(|| Mask::repeat(true, index(rows.end - rows.start))))
    }

    fn mask(&self, node: &Node, rows: Range<u64>) -> Result<Mask> {
        let len = index(rows.end - rows.start);
        match node {
            Node::All => Ok(Mask::repeat(true, len)),
            Node::Nothing => Ok(Mask::repeat(false, len)),
            Node::And(children) => self.mask_all(children, rows),
            Node::Or(children) => {
                let mut mask = Mask::repeat(false, len);
                for child in children {
                    mask |= self.mask(child, rows.clone())?;
                }
                Ok(mask)
            }
            Node::Leaf(leaf) => {
                let view = self.view(leaf.target)?;
                let mut mask = Mask::repeat(false, len);
                view.select(rows.clone(), &leaf.condition, &mut mask)?;
                if leaf.negated {
                    let mut values = Mask::repeat(false, len);
                    view.select(rows, &Condition::IsNotNull, &mut values)?;
                    mask = values & !mask;
                }
                Ok(mask)
            }
        }
    }

    /// Type of a column.
    pub fn type_of(&self, target: Target) -> crate::schema::ColumnType {
        type_of(&self.schema, target)
    }
}
