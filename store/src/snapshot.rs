//! A consistent view of one stream: some segments and a tail. Every question is asked of a snapshot.

use std::sync::Arc;

use crate::batch::Batch;
use crate::column::{Moments, Sum};
use crate::error::{Error, Result};
use crate::predicate::Predicate;
use crate::question::aggregate;
use crate::question::bounds;
pub use crate::question::bounds::Bounds;
pub use crate::question::known::Spread;
use crate::question::ordered::Ordered;
use crate::question::part::{Part, PartData};
use crate::question::resolve::{Node, Target, resolve, target, type_of};
pub use crate::question::scan::PartRows;
use crate::question::scan::{self, Batches, Projection, RowSets};
pub use crate::question::weighted::Bucket;
use crate::schema::{ColumnType, SharedSchema};
use crate::segment::Segment;
pub use crate::segment::buckets::Cell;
use crate::segment::stat::SegmentStat;
use crate::tail::values::Orders;
use crate::value::{Value, number_of};

/// Memory that a snapshot is given if nothing else is said, in bytes.
const MEMORY_LIMIT: usize = 128 << 20;

/// Iterator of [`Snapshot::select`].
pub type Select = RowSets;
/// Iterator of [`Snapshot::scan`].
pub type Scan = Batches;

/// Something that a snapshot was allowed to leave out because it is damaged.
#[derive(Debug)]
pub struct LeftOut {
    /// Name of the file.
    pub file: String,
    /// Rows of it that no answer counts; `None` if nobody knows how many.
    pub rows: Option<u64>,
    /// What is wrong with it.
    pub error: Error,
}

/// A consistent view of one stream. Cheap to clone; later appends do not change it.
#[derive(Debug, Clone)]
pub struct Snapshot {
    schema: SharedSchema,
    parts: Arc<Vec<Part>>,
    left_out: Arc<Vec<LeftOut>>,
}

impl Snapshot {
    /// A snapshot of segments in sequence order and rows in memory sorted by (keys, time).
    pub fn new(schema: SharedSchema, segments: Vec<Arc<Segment>>, tail: Option<Arc<Batch>>) -> Snapshot {
        let mut data: Vec<PartData> = segments.into_iter().map(PartData::Segment).collect();
        data.extend(tail.filter(|batch| !batch.is_empty()).map(PartData::tail));
        let parts = data
            .into_iter()
            .map(|data| Part {
                orders: Arc::new(Orders::new(match &data {
                    PartData::Segment(_) => 0,
                    PartData::Tail(batch, _) => batch.columns.len(),
                })),
                data,
                schema: Arc::clone(&schema),
                memory_limit: MEMORY_LIMIT,
            })
            .collect();
        Snapshot {
            schema,
            parts: Arc::new(parts),
            left_out: Arc::default(),
        }
    }

    /// The same snapshot, whose tail's values are in these orders: those that an earlier snapshot of the same rows sorted.
    #[must_use]
    pub(crate) fn with_orders(mut self, orders: Arc<Orders>) -> Snapshot {
        for part in Arc::make_mut(&mut self.parts) {
            if matches!(part.data, PartData::Tail(..)) {
                part.orders = Arc::clone(&orders);
            }
        }
        self
    }

    /// The same snapshot, whose questions hold about half of `memory_limit` bytes: an order statistic of more rows here and
    /// there than fit is found by passes over them.
    #[must_use]
    pub fn with_memory_limit(mut self, memory_limit: usize) -> Snapshot {
        for part in Arc::make_mut(&mut self.parts) {
            part.memory_limit = memory_limit;
        }
        self
    }

    /// The same snapshot without rows that are kept only as buckets: for who needs values as they were measured, and none
    /// that stand for many.
    #[must_use]
    pub fn without_buckets(mut self) -> Snapshot {
        Arc::make_mut(&mut self.parts).retain(|part| !part.data.is_downsampled());
        self
    }

    /// The same snapshot, which says what is missing in it.
    #[must_use]
    pub fn with_left_out(self, left_out: Vec<LeftOut>) -> Snapshot {
        Snapshot {
            left_out: Arc::new(left_out),
            ..self
        }
    }

    /// What is damaged and in no answer; always empty unless the store was opened with
    /// [`allow_partial`](crate::store::ReadOptions::allow_partial).
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// Shape of the stream when the snapshot was taken.
    pub fn schema(&self) -> &SharedSchema {
        &self.schema
    }

    /// The parts, for callers that work on one column of one part (windows, statistics).
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// What each segment costs, one after the other: there may be many, and their columns are opened for this alone.
    pub fn segments(&self) -> impl Iterator<Item = Result<SegmentStat>> + '_ {
        self.parts.iter().filter_map(|part| match &part.data {
            PartData::Segment(segment) => Some(segment.anew().stat()),
            PartData::Tail(..) => None,
        })
    }

    /// Number of parts.
    pub fn part_count(&self) -> usize {
        self.parts.len()
    }

    /// Rows in part `part`; 0 if there is no such part.
    pub fn part_row_count(&self, part: usize) -> u64 {
        self.parts.get(part).map_or(0, |part| part.data.rows())
    }

    /// Rows in all parts as they are stored: one a bucket where they were downsampled. [`Snapshot::count`] counts what
    /// they stand for.
    pub fn row_count(&self) -> u64 {
        self.parts.iter().map(|part| part.data.rows()).sum()
    }

    /// First and last time, if there are rows. O(parts).
    pub fn time_range(&self) -> Option<(i64, i64)> {
        let ranges = self.parts.iter().filter_map(|part| part.data.time_range());
        ranges.reduce(|(a, b), (c, d)| (a.min(c), b.max(d)))
    }

    /// How many rows meet the predicate.
    ///
    /// # Errors
    /// `InvalidArgument` for an unknown column or an operand of the wrong type; `Corrupt` for damage.
    ///
    /// # Complexity
    /// Time and key conditions cost O(runs x log rows); one further condition costs what its column's index costs;
    /// any other predicate is evaluated in masks of 65,536 rows.
    pub fn count(&self, predicate: &Predicate) -> Result<u64> {
        aggregate::count(&self.parts, &self.resolve(predicate)?)
    }

    /// How many rows meet the predicate and have a value in `column`.
    ///
    /// # Errors
    /// See [`Snapshot::count`].
    pub fn count_values(&self, column: &str, predicate: &Predicate) -> Result<u64> {
        let target = target(&self.schema, column)?;
        aggregate::count_values(&self.parts, target, &self.resolve(predicate)?)
    }

    /// Sum of a fixed-width column; `None` when no row with a value meets the predicate.
    ///
    /// # Errors
    /// See [`Snapshot::count`].
    pub fn sum(&self, column: &str, predicate: &Predicate) -> Result<Option<Sum>> {
        let (target, ty) = self.fixed(column)?;
        aggregate::sum(&self.parts, target, ty, &self.resolve(predicate)?)
    }

    /// Number, mean and spread of a fixed-width column's values: what its variance is made of.
    ///
    /// # Errors
    /// See [`Snapshot::count`].
    pub fn moments(&self, column: &str, predicate: &Predicate) -> Result<Moments> {
        let (target, _) = self.fixed(column)?;
        aggregate::moments(&self.parts, target, &self.resolve(predicate)?)
    }

    /// Smallest and largest value; floats by totalOrder, text byte by byte.
    ///
    /// # Errors
    /// See [`Snapshot::count`].
    pub fn min_max(&self, column: &str, predicate: &Predicate) -> Result<Option<(Value, Value)>> {
        let target = target(&self.schema, column)?;
        let ty = type_of(&self.schema, target);
        let node = self.resolve(predicate)?;
        if ty.is_binary() {
            let value = |bytes: Vec<u8>| match ty {
                ColumnType::Text => Value::Text(String::from_utf8_lossy(&bytes).into_owned()),
                _ => Value::Bytes(bytes),
            };
            let found = aggregate::min_max_bytes(&self.parts, target, &node)?;
            return Ok(found.map(|(low, high)| (value(low), value(high))));
        }
        let found = aggregate::min_max(&self.parts, target, &node)?;
        Ok(found.map(|(low, high)| (Value::from_key(ty, low), Value::from_key(ty, high))))
    }

    /// The `k`-th smallest value (0 is the smallest) of a fixed-width column; `None` if there are `k` or fewer.
    ///
    /// # Errors
    /// See [`Snapshot::count`].
    pub fn nth(&self, column: &str, k: u64, predicate: &Predicate) -> Result<Option<Value>> {
        let (target, ty) = self.fixed(column)?;
        let found = Ordered::new(&self.parts, target, &self.resolve(predicate)?)?.nth(k)?;
        Ok(found.map(|key| Value::from_key(ty, key)))
    }

    /// The exact `q`-quantile of a fixed-width column, as SQL's `percentile_disc`: the smallest value that at least
    /// `q` of the values do not exceed. `q` is clamped to 0..=1.
    ///
    /// # Errors
    /// See [`Snapshot::count`]; `InvalidArgument` if `q` is NaN.
    pub fn quantile(&self, column: &str, q: f64, predicate: &Predicate) -> Result<Option<Value>> {
        if q.is_nan() {
            return Err(Error::invalid("a quantile lies between 0 and 1, not at NaN"));
        }
        let (target, ty) = self.fixed(column)?;
        let ordered = Ordered::new(&self.parts, target, &self.resolve(predicate)?)?;
        #[expect(clippy::cast_possible_truncation, reason = "a fraction of a u64 fits a u64")]
        let rank = (q.clamp(0.0, 1.0) * ordered.total as f64).ceil() as u64;
        let found = ordered.nth(rank.clamp(1, ordered.total.max(1)) - 1)?;
        Ok(found.map(|key| Value::from_key(ty, key)))
    }

    /// The exact median of a numeric column: the middle value, or the mean of the two middle values.
    ///
    /// # Errors
    /// See [`Snapshot::count`].
    pub fn median(&self, column: &str, predicate: &Predicate) -> Result<Option<f64>> {
        let (target, ty) = self.fixed(column)?;
        let ordered = Ordered::new(&self.parts, target, &self.resolve(predicate)?)?;
        if ordered.total == 0 {
            return Ok(None);
        }
        let low = ordered
            .nth((ordered.total - 1) / 2)?
            .map(|key| number_of(ty, key));
        if ordered.total % 2 == 1 {
            return Ok(low);
        }
        let high = ordered.nth(ordered.total / 2)?.map(|key| number_of(ty, key));
        // Halves are added, so that two large values do not overflow.
        Ok(low
            .zip(high)
            .map(|(a, b)| if a == b { a } else { a / 2.0 + b / 2.0 }))
    }

    /// How many rows meet the predicate, and between which numbers the rows lie that did when they were measured:
    /// values may have been moved since then, and rows downsampled.
    ///
    /// # Errors
    /// See [`Snapshot::count`].
    pub fn count_bounds(&self, predicate: &Predicate) -> Result<Bounds<u64>> {
        bounds::count(&self.parts, &self.resolve(predicate)?)
    }

    /// [`Snapshot::sum`] with bounds, as [`Snapshot::count_bounds`]; `None` where no row can meet the predicate.
    ///
    /// # Errors
    /// See [`Snapshot::count`].
    pub fn sum_bounds(&self, column: &str, predicate: &Predicate) -> Result<Option<Bounds<f64>>> {
        let (target, ty) = self.channel(column)?;
        let found = bounds::tally(&self.parts, target, ty, &self.resolve(predicate)?, 0.0)?;
        Ok((found.count.high > 0.0).then_some(found.sum))
    }

    /// The mean of a fixed-width column with bounds, as [`Snapshot::sum_bounds`].
    ///
    /// # Errors
    /// See [`Snapshot::count`].
    pub fn avg_bounds(&self, column: &str, predicate: &Predicate) -> Result<Option<Bounds<f64>>> {
        let (target, ty) = self.channel(column)?;
        bounds::average(&self.parts, target, ty, &self.resolve(predicate)?)
    }

    /// [`Snapshot::quantile`] with bounds, as [`Snapshot::sum_bounds`].
    ///
    /// # Errors
    /// See [`Snapshot::quantile`].
    ///
    /// # Complexity
    /// Some 130 counts of the predicate with a condition on the column.
    pub fn quantile_bounds(
        &self,
        column: &str,
        q: f64,
        predicate: &Predicate,
    ) -> Result<Option<Bounds<f64>>> {
        if q.is_nan() {
            return Err(Error::invalid("a quantile lies between 0 and 1, not at NaN"));
        }
        let (target, ty) = self.channel(column)?;
        let node = self.resolve(predicate)?;
        let Some((low, high)) = bounds::quantile(&self.parts, target, ty, &node, q.clamp(0.0, 1.0))? else {
            return Ok(None);
        };
        let ordered = Ordered::new(&self.parts, target, &node)?;
        #[expect(clippy::cast_possible_truncation, reason = "a fraction of a u64 fits a u64")]
        let rank = (q.clamp(0.0, 1.0) * ordered.total as f64).ceil() as u64;
        let value = ordered.nth(rank.clamp(1, ordered.total.max(1)) - 1)?;
        let value = value.unwrap_or(low).clamp(low, high.max(low));
        let [low, value, high] = [low, value, high].map(|key| number_of(ty, key));
        Ok(Some(Bounds { low, value, high }))
    }

    /// Rows that meet the predicate, in chunks of at most 65,536 rows of one part, in part and row order.
    ///
    /// # Errors
    /// See [`Snapshot::count`].
    pub fn select(&self, predicate: &Predicate) -> Result<Select> {
        let parts = self.parts.iter().cloned().enumerate().collect();
        Ok(RowSets::new(parts, self.resolve(predicate)?))
    }

    /// Values of the named columns in rows that meet the predicate, in batches of at most 8,192 rows of one part.
    ///
    /// `columns` are key columns and channels by name, in any order; times always come along.
    ///
    /// # Errors
    /// See [`Snapshot::count`].
    pub fn scan(&self, columns: &[&str], predicate: &Predicate) -> Result<Scan> {
        Ok(Batches::new(
            self.select(predicate)?,
            Projection::new(&self.schema, columns)?,
        ))
    }

    /// Like [`Snapshot::scan`], for one part: rows come sorted by (keys, time).
    ///
    /// # Errors
    /// See [`Snapshot::count`]; `OutOfRange` if there is no such part.
    pub fn scan_part(&self, part: usize, columns: &[&str], predicate: &Predicate) -> Result<Scan> {
        let parts = vec![(part, self.part(part)?.clone())];
        let rows = RowSets::new(parts, self.resolve(predicate)?);
        Ok(Batches::new(rows, Projection::new(&self.schema, columns)?))
    }

    /// Values of the named columns in the given rows of one part, in one batch that the caller bounds.
    ///
    /// # Errors
    /// See [`Snapshot::scan`]; `OutOfRange` if there is no such part or row.
    pub fn fetch(&self, rows: &PartRows, columns: &[&str]) -> Result<Batch> {
        scan::fetch(
            self.part(rows.part)?,
            &rows.rows,
            &Projection::new(&self.schema, columns)?,
        )
    }

    /// The value of one column in row `row` of a part: a channel, a key column, or the time.
    ///
    /// # Errors
    /// `OutOfRange` if there is no such part or row; `InvalidArgument` for an unknown column; `Corrupt` for damage.
    ///
    /// # Complexity
    /// One access to the column, no range is decoded.
    pub fn get(&self, part: usize, row: u64, column: &str) -> Result<Value> {
        self.part(part)?.get(row, target(&self.schema, column)?)
    }

    /// Values of the named columns in `rows` of one part, which ascend (repeats allowed), in one batch.
    ///
    /// # Errors
    /// See [`Snapshot::get`]; `InvalidArgument` if rows do not ascend.
    pub fn get_many(&self, part: usize, rows: &[u64], columns: &[&str]) -> Result<Batch> {
        self.part(part)?
            .get_many(rows, &Projection::new(&self.schema, columns)?)
    }

    /// The same stream with these parts of it.
    pub(crate) fn of_parts(&self, parts: Vec<Part>) -> Snapshot {
        Snapshot {
            parts: Arc::new(parts),
            ..self.clone()
        }
    }

    pub(crate) fn part(&self, part: usize) -> Result<&Part> {
        let end = self.parts.len() as u64;
        self.parts.get(part).ok_or(Error::OutOfRange {
            what: "part",
            position: part as u64,
            end,
        })
    }

    pub(crate) fn resolve(&self, predicate: &Predicate) -> Result<Node> {
        resolve(&self.schema, predicate)
    }

    /// A channel of fixed width.
    fn channel(&self, column: &str) -> Result<(Target, ColumnType)> {
        match self.fixed(column)? {
            (Target::Column(position), ty) if position >= self.schema.keys().len() => {
                Ok((Target::Column(position), ty))
            }
            _ => Err(Error::invalid(format!(
                "bounds are of channels; {column:?} is what rows are told apart by"
            ))),
        }
    }

    fn fixed(&self, column: &str) -> Result<(Target, ColumnType)> {
        let target = target(&self.schema, column)?;
        let ty = type_of(&self.schema, target);
        if ty.is_binary() {
            return Err(Error::invalid(format!(
                "column {column:?} is {ty}; this question needs numbers or times"
            )));
        }
        Ok((target, ty))
    }
}
