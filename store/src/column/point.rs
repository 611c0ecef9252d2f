//! Single rows of a column: one, or some in ascending order. No range is decoded for them.

use super::numeric::Numeric;
use super::{Body, Column};
use crate::batch::{BatchColumn, ColumnData};
use crate::domain::wrong_type;
use crate::error::{Error, Result};

impl Column {
    /// Key of the value in row `row` (fixed-width columns); `None` if it has none.
    ///
    /// # Errors
    /// `OutOfRange` if there is no such row; `InvalidArgument` for text and bytes.
    ///
    /// # Complexity
    /// One access to the codes; a rank if some rows have no value, another if some values are exceptions.
    pub fn get(&self, row: u64) -> Result<Option<u64>> {
        self.check_row(row)?;
        match &self.body {
            Body::Numeric(numeric) => match self.position(row)? {
                Some(position) => numeric.get(position).map(Some),
                None => Ok(None),
            },
            Body::Empty if !self.ty.is_binary() => Ok(None),
            _ => Err(wrong_type(self.ty)),
        }
    }

    /// Appends the values of `rows`, which ascend (repeats allowed), to `out`. Any type.
    ///
    /// # Errors
    /// `OutOfRange` if there is no such row; `InvalidArgument` if rows do not ascend.
    pub fn get_many(&self, rows: &[u64], out: &mut BatchColumn) -> Result<()> {
        if !rows.is_sorted() {
            return Err(Error::invalid("rows are asked for in ascending order"));
        }
        let Some(&last) = rows.last() else {
            return Ok(());
        };
        self.check_row(last)?;
        match (&self.body, &mut out.data) {
            (Body::Numeric(numeric), ColumnData::Keys(keys)) if self.validity.is_none() => {
                let from = keys.len();
                keys.resize(from + rows.len(), 0);
                numeric.get_many(rows, keys.get_mut(from..).unwrap_or_default())?;
                if let Some(validity) = &mut out.validity {
                    validity.resize(from + rows.len(), true);
                }
                Ok(())
            }
            (Body::Numeric(numeric), ColumnData::Keys(_)) => {
                let places = self.places(rows)?;
                let positions: Vec<u64> = places.iter().flatten().copied().collect();
                let mut keys = vec![0; positions.len()];
                numeric.get_many(&positions, &mut keys)?;
                let mut keys = keys.into_iter();
                for place in places {
                    match place.and_then(|_| keys.next()) {
                        Some(key) => out.push_key(key),
                        None => out.push_null(),
                    }
                }
                Ok(())
            }
            (Body::Text(index, _), ColumnData::Binary(_)) => {
                let mut value = Vec::new();
                for &row in rows {
                    match self.position(row)? {
                        Some(position) => {
                            value.clear();
                            index.extract(position, &mut value)?;
                            out.push_bytes(&value);
                        }
                        None => out.push_null(),
                    }
                }
                Ok(())
            }
            (Body::Empty, _) => {
                rows.iter().for_each(|_| out.push_null());
                Ok(())
            }
            _ => Err(wrong_type(self.ty)),
        }
    }

    /// Code position of each of `rows`; `None` where there is no value.
    fn places(&self, rows: &[u64]) -> Result<Vec<Option<u64>>> {
        // A damaged vector may not ascend; what is asked of codes always does.
        let mut last = 0;
        rows.iter()
            .map(|&row| {
                let place = self.position(row)?.map(|position| position.max(last));
                last = place.unwrap_or(last);
                Ok(place)
            })
            .collect()
    }

    /// Code position of the value in row `row`, if it has one.
    fn position(&self, row: u64) -> Result<Option<u64>> {
        match &self.validity {
            None => Ok(Some(row)),
            Some(validity) => validity.position(row),
        }
    }

    fn check_row(&self, row: u64) -> Result<()> {
        if row < self.rows {
            return Ok(());
        }
        Err(Error::OutOfRange {
            what: "row",
            position: row,
            end: self.rows,
        })
    }
}

impl Numeric {
    /// The key at code position `position`.
    pub(crate) fn get(&self, position: u64) -> Result<u64> {
        if let Some(exceptions) = &self.exceptions {
            if let Some(key) = exceptions.get(position)? {
                return Ok(key);
            }
        }
        self.domain.key(self.codes.get(position)?)
    }

    /// The keys at `positions`, which ascend, into `out`, which has as many places.
    pub(crate) fn get_many(&self, positions: &[u64], out: &mut [u64]) -> Result<()> {
        self.codes.get_sorted(positions, out)?;
        self.domain.keys(out)?;
        if let Some(exceptions) = &self.exceptions {
            for (slot, &position) in out.iter_mut().zip(positions) {
                if let Some(key) = exceptions.get(position)? {
                    *slot = key;
                }
            }
        }
        Ok(())
    }
}
