//! What a segment costs, column by column, for `silt stat` and the system tables.

use super::Segment;
use super::footer::Footer;
use crate::batch::{BatchColumn, ColumnData};
use crate::error::Result;
use crate::schema::ColumnType;

/// What one segment of a stream is and costs.
#[derive(Debug, Clone)]
pub struct SegmentStat {
    /// File name inside the store.
    pub file: String,
    /// Rows.
    pub rows: u64,
    /// First and last time.
    pub time_range: (i64, i64),
    /// Bytes of the file.
    pub bytes: u64,
    /// The row times, then each column.
    pub columns: Vec<ColumnStat>,
}

/// What one column costs in one segment.
#[derive(Debug, Clone)]
pub struct ColumnStat {
    /// Column name.
    pub name: String,
    /// Type.
    pub ty: ColumnType,
    /// Domain ("decimal(2)").
    pub domain: String,
    /// Code layout or text index ("wavelet").
    pub layout: String,
    /// Rows with a value.
    pub values: u64,
    /// Bytes of these values in plain binary form: fixed widths, or the bytes of the strings.
    pub plain_bytes: u64,
    /// Bytes of the column's sections in the file.
    pub bytes: u64,
    /// Bits by part.
    pub parts: Vec<(String, u64)>,
}

/// What the footer keeps of a column, so that it is known without reading the column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ColumnTotals {
    /// Rows with a value.
    pub values: u64,
    /// Bytes of these values in plain binary form.
    pub plain_bytes: u64,
}

impl ColumnTotals {
    /// Totals of a column of type `ty` in memory.
    pub fn of(ty: ColumnType, column: &BatchColumn) -> ColumnTotals {
        let values = (column.len() - column.null_count()) as u64;
        let plain_bytes = match &column.data {
            ColumnData::Keys(_) => values * ty.width_bytes() as u64,
            // A null row holds no bytes.
            ColumnData::Binary(bytes) => bytes.bytes().len() as u64,
        };
        ColumnTotals { values, plain_bytes }
    }
}

impl Segment {
    /// What this segment costs. Opens every column's header.
    ///
    /// # Errors
    /// `Corrupt` if a column's headers make no sense.
    pub fn stat(&self) -> Result<SegmentStat> {
        let Footer {
            rows,
            time_range,
            schema,
            totals,
            ..
        } = &*self.footer;
        let (directory, times) = self.row_directory_bytes();
        let mut columns = vec![ColumnStat {
            name: schema.time_name().to_owned(),
            ty: ColumnType::Timestamp(schema.time_unit()),
            domain: "time".into(),
            layout: "linear models".into(),
            values: *rows,
            plain_bytes: rows * 8,
            bytes: times,
            parts: vec![("times".into(), times * 8)],
        }];
        let keys = schema.keys().len();
        for (position, spec) in schema.columns().iter().enumerate() {
            let totals = totals.get(position).copied().unwrap_or_default();
            let (domain, layout, bytes, parts) = match self.column(position)? {
                // The run directory is shared by the key columns.
                _ if position < keys => {
                    let share = directory / keys as u64;
                    (
                        "key".into(),
                        "runs".into(),
                        share,
                        vec![("run directory".into(), share * 8)],
                    )
                }
                Some(column) => {
                    let (domain, layout) = column.describe();
                    let bytes = self.section_ranges(spec.id.0).map(|r| r.end - r.start).sum();
                    (domain, layout, bytes, column.parts())
                }
                None => (String::new(), String::new(), 0, Vec::new()),
            };
            columns.push(ColumnStat {
                name: spec.name.clone(),
                ty: spec.ty,
                domain,
                layout,
                values: totals.values,
                plain_bytes: totals.plain_bytes,
                bytes,
                parts,
            });
        }
        Ok(SegmentStat {
            file: self.name().to_owned(),
            rows: *rows,
            time_range: *time_range,
            bytes: self.bytes,
            columns,
        })
    }

    /// Rows with a value and plain bytes of a column of this segment's own schema.
    pub fn totals(&self, position: usize) -> ColumnTotals {
        self.footer.totals.get(position).copied().unwrap_or_default()
    }
}
