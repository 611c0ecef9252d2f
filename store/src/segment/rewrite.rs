//! Writes the rows of a segment again, with other layouts for its columns. Holds one column at a time.
//!
//! Rows, their order, the schema, the run directory and the row times stay as they are, byte for byte; so do columns
//! that have no codes to store otherwise.

use super::footer::{Footer, SectionEntry};
use super::writer::{Output, Sink};
use super::{Segment, SegmentInfo};
use crate::batch::BatchColumn;
use crate::codes::choose::Layout;
use crate::column::{Column, Hints, Part, PartKind};
use crate::error::Result;
use crate::schema::{ColumnId, ColumnSpec};
use crate::section::Section;

/// What is known of a column before it is written again.
pub type HintsOf<'a> = &'a dyn Fn(ColumnId) -> Hints;

/// Writes `segment` as another segment file, each column as `hints` wishes.
///
/// Under a wish for [`Layout::Small`] a column that would not become smaller is copied.
///
/// # Errors
/// `Corrupt` where the segment's bytes are damaged; what `sink` refuses.
pub fn rewrite(segment: &Segment, hints: HintsOf<'_>, sink: Sink<'_>) -> Result<SegmentInfo> {
    let old = &segment.footer;
    let mut output = Output::begin(sink)?;
    let section = |range: &std::ops::Range<u64>, what: &str| segment.pages.section(range.clone(), what);
    let runs = output.section(section(&old.runs, "run directory")?.all()?)?;
    let times = output.section(section(&old.times, "row times")?.all()?)?;
    let mut sections = Vec::with_capacity(old.sections.len());
    for (position, spec) in old.schema.columns().iter().enumerate() {
        for part in parts(segment, position, spec, &hints(spec.id))? {
            let range = match &part.body {
                Body::Old(section) => output.section(section.all()?)?,
                Body::New(bytes) => output.section(bytes)?,
            };
            sections.push(SectionEntry {
                column: spec.id.0,
                kind: part.kind,
                codec: part.codec,
                range,
            });
        }
    }
    output.finish(Footer {
        runs,
        times,
        sections,
        ..(**old).clone()
    })
}

enum Body {
    Old(Section),
    New(Vec<u8>),
}

/// The parts of a column as they are to be written.
fn parts(segment: &Segment, position: usize, spec: &ColumnSpec, hints: &Hints) -> Result<Vec<Part<Body>>> {
    let old = segment.column_parts(spec)?;
    let kept = |old: Vec<Part<Section>>| {
        let kept = old.into_iter().map(|part| Part {
            kind: part.kind,
            codec: part.codec,
            body: Body::Old(part.body),
        });
        Ok(kept.collect())
    };
    let Some(column) = segment.column(position)?.filter(|column| column.has_layout()) else {
        return kept(old);
    };
    let is_small = matches!(hints.layout, Layout::Small(_));
    if column.is_packed_text(hints.layout) {
        return kept(old);
    }
    if let Some(text) = column.refit_text(hints)? {
        let refit = old.into_iter().map(|part| Part {
            kind: part.kind,
            codec: part.codec,
            body: match part.kind {
                PartKind::Text => Body::New(text.clone()),
                _ => Body::Old(part.body),
            },
        });
        return Ok(refit.collect());
    }
    let mut rows = BatchColumn::new(spec.ty);
    column.decode(0..column.rows(), &mut rows)?;
    let hints = &Hints {
        carried: column.precision(),
        ..hints.clone()
    };
    let new = Column::encode(spec.ty, &rows, hints)?;
    let old_bytes: u64 = old.iter().map(|part| part.body.len()).sum();
    let new_bytes: u64 = new.iter().map(|part| part.body.len() as u64).sum();
    if is_small && new_bytes >= old_bytes {
        return kept(old);
    }
    let new = new.into_iter().map(|part| Part {
        kind: part.kind,
        codec: part.codec,
        body: Body::New(part.body),
    });
    Ok(new.collect())
}
