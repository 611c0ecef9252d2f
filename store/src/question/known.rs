//! What is known of rows that stand for many, row by row: for those who put them together with other rows themselves.

use std::ops::Range;

use super::part::PartData;
use super::resolve::{Target, target};
use super::scan::RowSets;
use super::weighted::{Bucket, Weighted, spread, weighted};
use crate::domain::bounded::Precision;
use crate::error::{Error, Result};
use crate::predicate::Predicate;
use crate::rows::index;
use crate::schema::{ColumnId, ColumnType};
use crate::segment::buckets::{Cell, Role};
use crate::snapshot::{PartRows, Select, Snapshot};

/// Values, as near as a sketch tells them: key, and how often it stands there.
pub type Spread = Vec<(u64, u64)>;

impl Snapshot {
    /// Whether some part was downsampled, so that one of its rows stands for many. O(parts).
    pub fn has_buckets(&self) -> bool {
        self.parts().iter().any(|part| weighted(part).is_some())
    }

    /// The snapshot with only those of its parts that `keep` names by number.
    #[must_use]
    pub fn with_parts(&self, keep: impl Fn(usize) -> bool) -> Snapshot {
        let parts = self.parts().iter().enumerate();
        let kept = parts.filter(|(part, _)| keep(*part));
        self.of_parts(kept.map(|(_, part)| part.clone()).collect())
    }

    /// How exact the rows of a part are: `raw` as they came, `eps=0.05` within an error (by column where they differ:
    /// `eps=temp:0.05,flow:0.1%`), or one row for each bucket of so much time: `60s`.
    ///
    /// # Errors
    /// `OutOfRange` if there is no such part; `Corrupt` for damage.
    pub fn part_precision(&self, part: usize) -> Result<String> {
        let PartData::Segment(segment) = &self.part(part)?.data else {
            return Ok("raw".to_owned());
        };
        if let Some(buckets) = segment.buckets() {
            let per_second = self.schema().time_unit().per_second();
            let (whole, rest) = (buckets.every / per_second, buckets.every % per_second);
            if rest == 0 {
                return Ok(format!("{whole}s"));
            }
            return Ok(format!("{}{}", buckets.every, self.schema().time_unit().symbol()));
        }
        let mut errors: Vec<(&str, Precision)> = Vec::new();
        for spec in self.schema().channels() {
            let position = segment.position(spec.id);
            let column = position.map(|position| segment.column(position)).transpose()?;
            if let Some(precision) = column.flatten().and_then(|column| column.precision()) {
                errors.push((&spec.name, precision));
            }
        }
        let Some((_, first)) = errors.first() else {
            return Ok("raw".to_owned());
        };
        let tolerance = first.tolerance;
        if errors.iter().all(|(_, other)| other.tolerance == tolerance) {
            return Ok(format!("eps={tolerance}"));
        }
        let each = errors.iter().map(|(name, p)| format!("{name}:{}", p.tolerance));
        Ok(format!("eps={}", each.collect::<Vec<_>>().join(",")))
    }

    /// [`Snapshot::select`] in one part.
    ///
    /// # Errors
    /// See [`Snapshot::count`]; `OutOfRange` if there is no such part.
    pub fn select_part(&self, part: usize, predicate: &Predicate) -> Result<Select> {
        let parts = vec![(part, self.part(part)?.clone())];
        Ok(RowSets::new(parts, self.resolve(predicate)?))
    }

    /// What each of `rows` stands for; `None` if for itself.
    ///
    /// # Errors
    /// `OutOfRange` if there is no such part or row; `Corrupt` for damage.
    pub fn buckets(&self, rows: &PartRows) -> Result<Option<Vec<Bucket>>> {
        self.gather(rows, |of, range| of.spans(range))
    }

    /// How many of the rows that each of `rows` stands for have a value in a channel; `None` if they stand for
    /// themselves.
    ///
    /// # Errors
    /// See [`Snapshot::buckets`]; `InvalidArgument` if the column is no channel.
    pub fn value_counts(&self, rows: &PartRows, column: &str) -> Result<Option<Vec<u64>>> {
        let (id, _) = self.channel_of(column)?;
        self.gather(rows, |of, range| {
            if of.segment.position(id).is_none() {
                return Ok(vec![0; index(range.end - range.start)]);
            }
            match of.segment.companion(id, Role::Count, 0)? {
                Some(_) => of.segment.companion_keys(id, Role::Count, 0, range),
                None => of.segment.weights(range),
            }
        })
    }

    /// What is known of a channel of numbers, booleans or times in the rows that each of `rows` stands for; `None` if
    /// they stand for themselves.
    ///
    /// # Errors
    /// See [`Snapshot::value_counts`].
    pub fn cells(&self, rows: &PartRows, column: &str) -> Result<Option<Vec<Cell>>> {
        let (id, ty) = self.channel_of(column)?;
        self.gather(rows, |of, range| of.segment.cells(id, ty, range))
    }

    /// The values of such a channel that each of `rows` stands for, as near as sketches tell; `None` if they stand for
    /// themselves.
    ///
    /// # Errors
    /// See [`Snapshot::value_counts`].
    pub fn spreads(&self, rows: &PartRows, column: &str) -> Result<Option<Vec<Spread>>> {
        let (id, ty) = self.channel_of(column)?;
        self.gather(rows, |of, range| {
            let points = of.segment.buckets().map_or(0, |buckets| buckets.points);
            let cells = of.segment.cells(id, ty, range)?;
            let each = cells.iter().map(|cell| {
                let mut out = Spread::new();
                if cell.count > 0 {
                    spread(cell, points, &mut out);
                }
                out
            });
            Ok(each.collect())
        })
    }

    fn channel_of(&self, column: &str) -> Result<(ColumnId, ColumnType)> {
        let schema = self.schema();
        match target(schema, column)? {
            Target::Column(position) if position >= schema.keys().len() => {
                let spec = &schema.columns()[position];
                Ok((spec.id, spec.ty))
            }
            _ => Err(Error::invalid(format!("column {column:?} is no channel"))),
        }
    }

    fn gather<T>(
        &self,
        rows: &PartRows,
        each: impl Fn(&Weighted<'_>, Range<u64>) -> Result<Vec<T>>,
    ) -> Result<Option<Vec<T>>> {
        let part = self.part(rows.part)?;
        let Some(of) = weighted(part) else {
            return Ok(None);
        };
        let end = rows.rows.as_slice().last().map_or(0, |range| range.end);
        if end > part.data.rows() {
            return Err(Error::OutOfRange {
                what: "row",
                position: end - 1,
                end: part.data.rows(),
            });
        }
        // Rows that lie close together are decoded in one stretch.
        let ranges = rows.rows.as_slice();
        let span = ranges.first().map_or(0, |range| range.start)..end;
        if ranges.len() > 1 && span.end - span.start <= 4 * rows.rows.row_count() {
            let mut all: Vec<Option<T>> = each(&of, span.clone())?.into_iter().map(Some).collect();
            let wanted = ranges.iter().flat_map(|range| range.clone());
            let found = wanted.filter_map(|row| all.get_mut(index(row - span.start))?.take());
            return Ok(Some(found.collect()));
        }
        let mut out = Vec::new();
        for range in ranges {
            out.extend(each(&of, range.clone())?);
        }
        Ok(Some(out))
    }
}
