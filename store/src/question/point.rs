//! Single rows of one part: no range is decoded for them.

use std::sync::Arc;

use super::part::{Part, PartData};
use super::resolve::Target;
use super::scan::Projection;
use super::view::View;
use crate::batch::{Batch, BatchColumn};
use crate::error::{Error, Result};
use crate::rows::index;
use crate::segment::runs::KeyCell;
use crate::value::{Value, key_of_i64};

impl Part {
    /// The value of one column in row `row`.
    ///
    /// # Errors
    /// `OutOfRange` if there is no such row; `Corrupt` for damage.
    pub fn get(&self, row: u64, target: Target) -> Result<Value> {
        self.data.check_row(row)?;
        let (view, ty) = (self.view(target)?, self.type_of(target));
        if let View::Stored(column) = view {
            if !ty.is_binary() {
                return Ok(column
                    .get(row)?
                    .map_or(Value::Null, |key| Value::from_key(ty, key)));
            }
        }
        let mut out = BatchColumn::new(ty);
        view.get_many(&[row], &mut out)?;
        Ok(out.value(ty, 0))
    }

    /// Values of the projected columns in `rows`, which ascend.
    ///
    /// # Errors
    /// `OutOfRange` if there is no such row; `InvalidArgument` if they do not ascend; `Corrupt` for damage.
    pub fn get_many(&self, rows: &[u64], projection: &Projection) -> Result<Batch> {
        if !rows.is_sorted() {
            return Err(Error::invalid("rows are asked for in ascending order"));
        }
        if let Some(&last) = rows.last() {
            self.data.check_row(last)?;
        }
        let mut batch = Batch::new(Arc::clone(projection.schema()));
        batch.times.reserve(rows.len());
        for &row in rows {
            batch.times.push(self.data.time(row)?);
        }
        for (out, &position) in batch.columns.iter_mut().zip(&projection.columns) {
            self.view(Target::Column(position))?.get_many(rows, out)?;
        }
        Ok(batch)
    }
}

impl PartData {
    /// Time of row `row`, which exists.
    fn time(&self, row: u64) -> Result<i64> {
        match self {
            PartData::Segment(segment) => segment.times().get(row),
            PartData::Tail(batch, _) => Ok(batch.times.get(index(row)).copied().unwrap_or_default()),
        }
    }

    fn check_row(&self, row: u64) -> Result<()> {
        if row < self.rows() {
            return Ok(());
        }
        Err(Error::OutOfRange {
            what: "row",
            position: row,
            end: self.rows(),
        })
    }
}

impl View<'_> {
    /// Appends the values of `rows`, which exist and ascend, to `out`.
    pub(super) fn get_many(&self, rows: &[u64], out: &mut BatchColumn) -> Result<()> {
        match self {
            View::Stored(column) => column.get_many(rows, out),
            View::Clock(view) => rows.iter().try_for_each(|&row| {
                out.push_key(key_of_i64(view.part.time(row)?));
                Ok(())
            }),
            View::Key(view) => rows.iter().try_for_each(|&row| {
                match view.runs.cell(view.column, view.runs.run_of(row)?)? {
                    KeyCell::Null => out.push_null(),
                    KeyCell::Key(key) => out.push_key(key),
                    KeyCell::Bytes(bytes) => out.push_bytes(bytes),
                }
                Ok(())
            }),
            View::Memory(column, _) => {
                rows.iter().for_each(|&row| out.push_from(column, index(row)));
                Ok(())
            }
            View::Absent(_) => {
                rows.iter().for_each(|_| out.push_null());
                Ok(())
            }
        }
    }
}
