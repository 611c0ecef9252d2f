//! Segments of which one row stands for many: a bucket of time of one run of keys.
//!
//! A row's time is the start of its bucket. A channel of numbers or booleans holds the mean of its values there
//! (booleans the last one), text and bytes hold the last. What else is known of a bucket stands in *companions*, columns
//! of the file that the stream does not have, and a directory says which is which: a section of part 8 and column
//! 2^32 - 1.
//!
//! ```text
//! 0    length of a bucket, in units of the clock (u64, 1 to 2^63 - 1)
//! 8    points of a sketch p (u32, 1 to 7), companions m (u32)
//! 16   m x: channel id or 0 (u32), role (u16), number of the point (u16), id of the companion (u32), zero (u32)
//! ```
//!
//! Points are the sketch: point j of n values, counted from 1 of p, stands at rank r = j * n / (p + 1), rounded down. At
//! least r + 1 - slack of the values are at most the point, and at most r + slack are below it. A sketch made of values
//! has slack 0; two sketches merge by adding what each says of a candidate.

use std::ops::Range;

use super::Segment;
use crate::batch::BatchColumn;
use crate::column::{Column, Sum};
use crate::error::Result;
use crate::rows::{RowRanges, index};
use crate::schema::{ColumnId, ColumnType, Schema};
use crate::section::Section;
use crate::value::number_of;

/// Most points of a sketch.
pub const MOST_POINTS: usize = 7;
/// Column of the directory's section.
pub(super) const DIRECTORY: u32 = u32::MAX;
/// Companions have ids from here on, which no stream comes to.
pub(super) const FIRST_ID: u32 = 1 << 31;

/// Whether a column of a downsampled segment is one that its stream does not have.
pub(crate) fn is_companion(id: ColumnId) -> bool {
    id.0 >= FIRST_ID
}

/// What a companion tells. Numbers are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Role {
    /// Rows of the bucket; of no channel.
    Rows = 1,
    /// Time of the first row, from the start of the bucket; of no channel.
    FirstTime = 2,
    /// Time of the last row, from the start of the bucket; of no channel.
    LastTime = 3,
    /// Rows with a value; not there if that is all rows everywhere.
    Count = 4,
    /// Smallest value.
    Min = 5,
    /// Largest value.
    Max = 6,
    /// Sum: a 64-bit float, or for integers the low 64 bits, or the bits from 2^32 on if there is a `SumLow`.
    Sum = 7,
    /// The low 32 bits of a sum.
    SumLow = 8,
    /// First value.
    First = 9,
    /// Last value.
    Last = 10,
    /// Sum of the squares of the distances from the mean, rounded to 12 bits.
    Squares = 11,
    /// A point of the sketch.
    Point = 12,
    /// How far ranks of points may be off; not there if nowhere.
    Slack = 13,
}

impl Role {
    const ALL: [Role; 13] = [
        Role::Rows,
        Role::FirstTime,
        Role::LastTime,
        Role::Count,
        Role::Min,
        Role::Max,
        Role::Sum,
        Role::SumLow,
        Role::First,
        Role::Last,
        Role::Squares,
        Role::Point,
        Role::Slack,
    ];

    /// Name as `silt stat` prints it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Role::Rows => "rows",
            Role::FirstTime => "first_time",
            Role::LastTime => "last_time",
            Role::Count => "count",
            Role::Min => "min",
            Role::Max => "max",
            Role::Sum => "sum",
            Role::SumLow => "sum_low",
            Role::First => "first",
            Role::Last => "last",
            Role::Squares => "squares",
            Role::Point => "point",
            Role::Slack => "slack",
        }
    }

    /// Type of the companion of a channel of type `ty`.
    pub(super) fn ty(self, ty: ColumnType) -> ColumnType {
        match self {
            Role::Min | Role::Max | Role::First | Role::Last | Role::Point => ty,
            Role::Sum if ty.is_float() => ColumnType::F64,
            Role::Sum => ColumnType::I64,
            Role::Squares => ColumnType::F64,
            _ => ColumnType::U64,
        }
    }
}

/// One companion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Companion {
    /// Channel, 0 for none.
    pub of: u32,
    pub role: Role,
    pub number: u16,
    pub id: ColumnId,
}

/// The directory of a downsampled segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buckets {
    /// Length of a bucket, in units of the clock.
    pub every: i64,
    /// Points of a sketch.
    pub points: usize,
    pub(super) companions: Vec<Companion>,
}

impl Buckets {
    pub(super) fn write(&self) -> Vec<u8> {
        let mut out = crate::wire::Writer::new();
        out.i64(self.every);
        out.u32(u32::try_from(self.points).unwrap_or(u32::MAX));
        out.u32(u32::try_from(self.companions.len()).unwrap_or(u32::MAX));
        for companion in &self.companions {
            out.u32(companion.of);
            out.u16(companion.role as u16);
            out.u16(companion.number);
            out.u32(companion.id.0);
            out.u32(0);
        }
        out.into_bytes()
    }

    /// Reads the directory of a segment of shape `schema`.
    pub(super) fn open(section: &Section, schema: &Schema) -> Result<Buckets> {
        let every = section.u64(0)? as i64;
        let (points, count) = (section.u32(8)? as usize, u64::from(section.u32(12)?));
        if every <= 0 || points == 0 || points > MOST_POINTS || section.len() != 16 + count * 16 {
            return Err(section.corrupt(0, "this is no directory of buckets".into()));
        }
        let mut companions = Vec::with_capacity(index(count));
        for at in (0..count).map(|i| 16 + i * 16) {
            let code = section.u16(at + 4)?;
            let role = Role::ALL.into_iter().find(|role| *role as u16 == code);
            let companion = role.map(|role| -> Result<Companion> {
                Ok(Companion {
                    of: section.u32(at)?,
                    role,
                    number: section.u16(at + 6)?,
                    id: ColumnId(section.u32(at + 8)?),
                })
            });
            let Some(companion) = companion.transpose()? else {
                return Err(section.corrupt(at, format!("role {code} is unknown")));
            };
            let spec = |id: ColumnId| schema.channels().iter().find(|spec| spec.id == id);
            let ty = match companion.of {
                0 => Some(ColumnType::U64),
                of => spec(ColumnId(of)).map(|spec| spec.ty),
            };
            let fits =
                spec(companion.id).is_some_and(|own| ty.is_some_and(|ty| companion.role.ty(ty) == own.ty));
            if !fits || section.u32(at + 12)? != 0 {
                return Err(section.corrupt(
                    at,
                    "a companion that the file does not have, or of a wrong type".into(),
                ));
            }
            companions.push(companion);
        }
        let buckets = Buckets {
            every,
            points,
            companions,
        };
        if buckets.find(0, Role::Rows, 0).is_none() {
            return Err(section.corrupt(16, "nothing says how many rows buckets have".into()));
        }
        Ok(buckets)
    }

    fn find(&self, of: u32, role: Role, number: usize) -> Option<ColumnId> {
        let found = self
            .companions
            .iter()
            .find(|c| (c.of, c.role, usize::from(c.number)) == (of, role, number));
        found.map(|companion| companion.id)
    }
}

/// What is known of the values of one channel in one bucket. Values are keys.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Cell {
    /// Number of values; if there are none, nothing else counts.
    pub count: u64,
    /// Smallest value.
    pub min: u64,
    /// Largest value.
    pub max: u64,
    /// First value.
    pub first: u64,
    /// Last value.
    pub last: u64,
    /// Sum of integers.
    pub integer: i128,
    /// Sum of floats.
    pub float: f64,
    /// Sum of the squares of the distances from the mean.
    pub squares: f64,
    /// Points of the sketch.
    pub points: [u64; MOST_POINTS],
    /// How far ranks of points may be off.
    pub slack: u64,
}

impl Cell {
    /// Rank of point `point` of `points`, both counted from 0.
    #[inline]
    pub fn rank(&self, point: usize, points: usize) -> u64 {
        let rank = u128::from(self.count) * (point as u128 + 1) / (points as u128 + 1);
        u64::try_from(rank).unwrap_or(u64::MAX)
    }

    /// Sum of the values as a float.
    pub fn sum(&self, ty: ColumnType) -> f64 {
        if ty.is_float() {
            self.float
        } else {
            self.integer as f64
        }
    }

    /// Mean of the values.
    pub fn mean(&self, ty: ColumnType) -> f64 {
        self.sum(ty) / self.count.max(1) as f64
    }
}

impl Segment {
    /// What one row stands for; `None` if for itself.
    pub fn buckets(&self) -> Option<&Buckets> {
        self.buckets.as_deref()
    }

    pub(crate) fn companion(&self, of: ColumnId, role: Role, number: usize) -> Result<Option<&Column>> {
        let id = self
            .buckets
            .as_ref()
            .and_then(|buckets| buckets.find(of.0, role, number));
        match id.and_then(|id| self.position(id)) {
            Some(position) => self.column(position),
            None => Ok(None),
        }
    }

    /// Numbers of a companion in `rows`; 0 where it is not there or has none.
    pub(crate) fn companion_keys(
        &self,
        of: ColumnId,
        role: Role,
        number: usize,
        rows: Range<u64>,
    ) -> Result<Vec<u64>> {
        let count = index(rows.end - rows.start);
        let Some(column) = self.companion(of, role, number)? else {
            return Ok(vec![0; count]);
        };
        let mut out = BatchColumn::new(ColumnType::U64);
        column.decode(rows, &mut out)?;
        Ok((0..count).map(|row| out.key(row).unwrap_or(0)).collect())
    }

    /// Rows that the rows `rows` of a downsampled segment stand for.
    pub(crate) fn weight(&self, rows: &RowRanges) -> Result<u64> {
        whole(self.companion(ColumnId(0), Role::Rows, 0)?, rows)
    }

    /// Rows with a value in a channel that the rows `rows` of a downsampled segment stand for.
    pub(crate) fn value_weight(&self, of: ColumnId, rows: &RowRanges) -> Result<u64> {
        match self.companion(of, Role::Count, 0)? {
            Some(count) => whole(Some(count), rows),
            None => self.weight(rows),
        }
    }

    /// Number of rows of each bucket in `rows`.
    pub(crate) fn weights(&self, rows: Range<u64>) -> Result<Vec<u64>> {
        self.companion_keys(ColumnId(0), Role::Rows, 0, rows)
    }

    /// What is known of a channel of type `ty` in each bucket of `rows`.
    pub(crate) fn cells(&self, of: ColumnId, ty: ColumnType, rows: Range<u64>) -> Result<Vec<Cell>> {
        let keys = |role: Role, number: usize| self.companion_keys(of, role, number, rows.clone());
        let counts = match self.companion(of, Role::Count, 0)? {
            Some(_) => keys(Role::Count, 0)?,
            None if self.companion(of, Role::Min, 0)?.is_some() => self.weights(rows.clone())?,
            None => vec![0; index(rows.end - rows.start)],
        };
        let mut cells: Vec<Cell> = counts
            .into_iter()
            .map(|count| Cell {
                count,
                ..Cell::default()
            })
            .collect();
        let mut fill = |role: Role, number: usize, set: &dyn Fn(&mut Cell, u64)| -> Result<()> {
            let found = keys(role, number)?;
            cells.iter_mut().zip(found).for_each(|(cell, key)| set(cell, key));
            Ok(())
        };
        fill(Role::Min, 0, &|cell, key| cell.min = key)?;
        fill(Role::Max, 0, &|cell, key| cell.max = key)?;
        fill(Role::First, 0, &|cell, key| cell.first = key)?;
        fill(Role::Last, 0, &|cell, key| cell.last = key)?;
        fill(Role::Slack, 0, &|cell, key| cell.slack = key)?;
        fill(Role::Squares, 0, &|cell, key| {
            cell.squares = number_of(ColumnType::F64, key);
        })?;
        if ty.is_float() {
            fill(Role::Sum, 0, &|cell, key| {
                cell.float = number_of(ColumnType::F64, key)
            })?;
        } else if self.companion(of, Role::SumLow, 0)?.is_some() {
            fill(Role::Sum, 0, &|cell, key| {
                cell.integer = i128::from(crate::value::i64_of(key)) << 32;
            })?;
            fill(Role::SumLow, 0, &|cell, key| {
                cell.integer += i128::from(key & 0xffff_ffff)
            })?;
        } else {
            fill(Role::Sum, 0, &|cell, key| {
                cell.integer = i128::from(crate::value::i64_of(key));
            })?;
        }
        for point in 0..self.buckets.as_ref().map_or(0, |buckets| buckets.points) {
            fill(Role::Point, point, &|cell, key| cell.points[point] = key)?;
        }
        Ok(cells)
    }
}

fn whole(column: Option<&Column>, rows: &RowRanges) -> Result<u64> {
    match column.map(|column| column.sum(rows)).transpose()? {
        Some(Sum::Integer(sum)) => Ok(u64::try_from(sum).unwrap_or(0)),
        _ => Ok(0),
    }
}
