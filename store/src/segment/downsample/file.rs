//! The file of a downsampled segment, section by section.

use std::sync::Arc;

use super::super::Segment;
use super::super::buckets::{Cell, Companion, FIRST_ID, Role};
use super::super::footer::SectionEntry;
use super::super::stat::ColumnTotals;
use super::super::writer::Output;
use super::pieces::{Bucket, Piece};
use super::round::{mean_key, rounded_sums};
use crate::batch::BatchColumn;
use crate::column::{Column, Hints};
use crate::domain::bounded::Precision;
use crate::error::Result;
use crate::rows::RowRanges;
use crate::schema::{ColumnId, ColumnSpec, ColumnType};
use crate::value::{f64_of, key_of_f64, key_of_i64};

/// A file that is being written.
pub(super) struct File<'a> {
    pub output: Output<'a>,
    pub hints: &'a Hints,
    pub sections: Vec<SectionEntry>,
    pub specs: Vec<ColumnSpec>,
    pub totals: Vec<ColumnTotals>,
    pub companions: Vec<Companion>,
}

impl File<'_> {
    fn column(&mut self, spec: ColumnSpec, column: &BatchColumn, carried: Option<Precision>) -> Result<()> {
        let hints = Hints {
            carried,
            ..self.hints.clone()
        };
        for part in Column::encode(spec.ty, column, &hints)? {
            let range = self.output.section(&part.body)?;
            self.sections.push(SectionEntry {
                column: spec.id.0,
                kind: part.kind,
                codec: part.codec,
                range,
            });
        }
        self.totals.push(ColumnTotals::of(spec.ty, column));
        self.specs.push(spec);
        Ok(())
    }

    /// Writes a companion; null where `cells` have no values.
    #[expect(clippy::too_many_arguments, reason = "what the directory says of it")]
    pub fn companion(
        &mut self,
        of: u32,
        name: &str,
        ty: ColumnType,
        role: Role,
        number: u16,
        keys: Vec<u64>,
        cells: Option<&[Cell]>,
    ) -> Result<()> {
        let id = ColumnId(FIRST_ID + u32::try_from(self.companions.len()).unwrap_or(u32::MAX / 4));
        let mut full = format!("{name}~{}", role.name());
        if role == Role::Point {
            full = format!("{full}{}", number + 1);
        }
        while self.specs.iter().any(|spec| spec.name == full) {
            full.push('~');
        }
        let mut column = BatchColumn::new(role.ty(ty));
        for (row, key) in keys.into_iter().enumerate() {
            match cells.and_then(|cells| cells.get(row)) {
                Some(cell) if cell.count == 0 => column.push_null(),
                _ => column.push_key(key),
            }
        }
        self.companions.push(Companion { of, role, number, id });
        let spec = ColumnSpec {
            id,
            name: full,
            ty: role.ty(ty),
            unit: String::new(),
        };
        self.column(spec, &column, None)
    }

    pub fn numbers(
        &mut self,
        spec: &ColumnSpec,
        mut cells: Vec<Cell>,
        weights: &[u64],
        points: usize,
        carried: Option<Precision>,
    ) -> Result<()> {
        let ty = spec.ty;
        let digits = if ty.is_float() {
            rounded_sums(ty, &mut cells)
        } else {
            None
        };
        let mut means = BatchColumn::new(ty);
        for cell in &cells {
            if cell.count == 0 {
                means.push_null();
            } else {
                means.push_key(if ty == ColumnType::Bool {
                    cell.last
                } else {
                    mean_key(ty, cell, digits)
                });
            }
        }
        self.column(spec.clone(), &means, carried)?;
        let (of, name) = (spec.id.0, spec.name.as_str());
        if cells
            .iter()
            .zip(weights)
            .any(|(cell, &weight)| cell.count != weight)
        {
            let counts = cells.iter().map(|cell| cell.count).collect();
            self.companion(of, name, ty, Role::Count, 0, counts, None)?;
        }
        let mut put = |role: Role, number: usize, key: &dyn Fn(&Cell) -> u64| {
            let keys = cells.iter().map(key).collect();
            let number = u16::try_from(number).unwrap_or(u16::MAX);
            self.companion(of, name, ty, role, number, keys, Some(&cells))
        };
        put(Role::Min, 0, &|cell| cell.min)?;
        put(Role::Max, 0, &|cell| cell.max)?;
        if ty.is_float() {
            put(Role::Sum, 0, &|cell| key_of_f64(cell.float))?;
        } else if cells.iter().all(|cell| i64::try_from(cell.integer).is_ok()) {
            put(Role::Sum, 0, &|cell| {
                key_of_i64(i64::try_from(cell.integer).unwrap_or(0))
            })?;
        } else {
            put(Role::Sum, 0, &|cell| {
                key_of_i64(i64::try_from(cell.integer >> 32).unwrap_or(i64::MAX))
            })?;
            put(Role::SumLow, 0, &|cell| {
                u64::try_from(cell.integer & 0xffff_ffff).unwrap_or(0)
            })?;
        }
        put(Role::First, 0, &|cell| cell.first)?;
        put(Role::Last, 0, &|cell| cell.last)?;
        // What is not finite has no spread.
        put(Role::Squares, 0, &|cell| {
            key_of_f64(f64_of(
                key_of_f64(cell.squares).saturating_add(1 << 39) & !((1 << 40) - 1),
            ))
        })?;
        for point in 0..points {
            put(Role::Point, point, &|cell| cell.points[point])?;
        }
        if cells.iter().any(|cell| cell.slack > 0) {
            put(Role::Slack, 0, &|cell| cell.slack)?;
        }
        Ok(())
    }

    /// Writes the last string of each bucket, and how many there are.
    pub fn strings(
        &mut self,
        spec: &ColumnSpec,
        sources: &[Arc<Segment>],
        pieces: &[Piece],
        buckets: &[Bucket],
        weights: &[u64],
    ) -> Result<()> {
        let mut lasts = BatchColumn::new(spec.ty);
        let mut counts = Vec::with_capacity(buckets.len());
        for bucket in buckets {
            let mut count = 0u64;
            let mut last: Option<(i64, Vec<u8>)> = None;
            for piece in bucket.iter().map(|&piece| &pieces[piece]) {
                let segment = &sources[piece.source];
                let position = segment.position(spec.id);
                let Some(column) = position.map(|p| segment.column(p)).transpose()?.flatten() else {
                    continue;
                };
                let rows = RowRanges::single(piece.rows.clone());
                count = count.saturating_add(match segment.buckets() {
                    Some(_) => segment.value_weight(spec.id, &rows)?,
                    None => column.valid_count(&rows)?,
                });
                if last.as_ref().is_some_and(|(time, _)| *time > piece.last) {
                    continue;
                }
                for row in piece.rows.clone().rev() {
                    let mut found = BatchColumn::new(spec.ty);
                    column.decode(row..row + 1, &mut found)?;
                    if let Some(bytes) = found.bytes(0) {
                        last = Some((piece.last, bytes.to_vec()));
                        break;
                    }
                }
            }
            counts.push(count);
            match last {
                Some((_, bytes)) => lasts.push_bytes(&bytes),
                None => lasts.push_null(),
            }
        }
        self.column(spec.clone(), &lasts, None)?;
        if counts.iter().zip(weights).any(|(count, weight)| count != weight) {
            self.companion(spec.id.0, &spec.name, spec.ty, Role::Count, 0, counts, None)?;
        }
        Ok(())
    }
}
