//! Whether what a downsampled segment says of its buckets can be so. Checksums find bytes that changed; this finds a file
//! that was written wrong.

use super::Segment;
use super::buckets::Role;
use crate::error::{Error, Result};
use crate::schema::ColumnId;

/// Rows looked at together.
const CHUNK: u64 = 8_192;

impl Segment {
    /// Checks each bucket: that it has rows, no more values than rows, and its values between the smallest and the
    /// largest. A segment without buckets passes.
    ///
    /// # Errors
    /// `Corrupt` naming the first that cannot be so.
    pub fn check_buckets(&self) -> Result<()> {
        if self.buckets().is_none() {
            return Ok(());
        }
        let wrong = |row: u64, what: String| Err(Error::corrupt(self.name(), "buckets", row, what));
        let none = ColumnId(0);
        let mut start = 0;
        while start < self.rows() {
            let rows = start..self.rows().min(start + CHUNK);
            let weights = self.weights(rows.clone())?;
            let firsts = self.companion_keys(none, Role::FirstTime, 0, rows.clone())?;
            let lasts = self.companion_keys(none, Role::LastTime, 0, rows.clone())?;
            for (place, &weight) in weights.iter().enumerate() {
                if weight == 0 || firsts[place] > lasts[place] {
                    return wrong(
                        start + place as u64,
                        "a bucket without rows, or that ends before it begins".into(),
                    );
                }
            }
            for spec in self.schema().channels() {
                if self.companion(spec.id, Role::Min, 0)?.is_none() {
                    continue;
                }
                let cells = self.cells(spec.id, spec.ty, rows.clone())?;
                for (place, cell) in cells.iter().enumerate().filter(|(_, cell)| cell.count > 0) {
                    let inside = |key: u64| cell.min <= key && key <= cell.max;
                    let fits = cell.count <= weights[place] && inside(cell.first) && inside(cell.last);
                    if !fits {
                        let row = start + place as u64;
                        return wrong(
                            row,
                            format!("column {:?} says of a bucket what cannot be so", spec.name),
                        );
                    }
                }
            }
            start = rows.end;
        }
        Ok(())
    }
}
