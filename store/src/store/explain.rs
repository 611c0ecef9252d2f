//! Why the columns of a stream are stored as they are.

use super::Store;
use crate::codes::choose::Layout;
use crate::column::explain::Explanation;
use crate::error::Result;
use crate::schema::ColumnType;

/// Segments of a stream that are looked into.
const SEGMENTS: usize = 4;

/// Why a column is stored as it is, from samples of a few segments.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnExplanation {
    /// Column name.
    pub name: String,
    /// Type.
    pub ty: ColumnType,
    /// How new segments should store it.
    pub wish: Layout,
    /// Its domain and what it was weighed against, in the segment with the most values; and what its codes would take
    /// in each layout, over the segments looked into.
    pub explanation: Explanation,
}

impl Store {
    pub(super) fn explain_stream(&self, stream: &str) -> Result<Vec<ColumnExplanation>> {
        let (entry, segments) = self.with_fresh_state(|state| {
            let index = state.stream(stream)?;
            let segments = state.open_segments(index, &*self.storage)?;
            Ok((state.manifest.streams[index].clone(), segments))
        })?;
        let step = segments.len().div_ceil(SEGMENTS).max(1);
        let mut out = Vec::new();
        for spec in entry.schema.channels() {
            let mut whole = Explanation::default();
            let mut most = 0;
            for segment in segments.iter().rev().step_by(step) {
                let Some(position) = segment.position(spec.id) else {
                    continue;
                };
                let Some(column) = segment.column(position)? else {
                    continue;
                };
                let values = segment.totals(position).values;
                let part = column.explain(entry.wishes.of(spec.id))?;
                if values > most {
                    most = values;
                    (whole.domain, whole.domains, whole.reason) = (part.domain, part.domains, part.reason);
                }
                whole.sampled += part.sampled;
                for cost in part.layouts {
                    match whole.layouts.iter_mut().find(|sum| sum.layout == cost.layout) {
                        Some(sum) => sum.bits += cost.bits,
                        None => whole.layouts.push(cost),
                    }
                }
            }
            out.push(ColumnExplanation {
                name: spec.name.clone(),
                ty: spec.ty,
                wish: entry.wishes.of(spec.id),
                explanation: whole,
            });
        }
        Ok(out)
    }
}
