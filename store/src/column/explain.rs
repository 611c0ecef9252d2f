//! Why a column is stored as it is: what other domains and layouts would take, on samples of the stored column.

use super::{Body, Column};
use crate::batch::ByteColumn;
use crate::codes::choose::{self, Layout};
pub use crate::domain::choose::DomainCost;
use crate::domain::choose::candidates;
use crate::error::Result;
use crate::text::{self, TextIndex, TextKind};

/// Consecutive codes in one piece of a sample. Long enough for what an encoder learns from its neighbours.
const PIECE_CODES: u64 = 64 * 1024;
/// Pieces of a column of one segment.
const PIECES: u64 = 2;
/// Consecutive keys in one piece of a sample of keys, and such pieces.
const PIECE_KEYS: u64 = 64;
const KEY_PIECES: u64 = 64;
/// Stretches of strings in a sample of text, bytes that end each, and strings that are read together.
const STRETCHES: u64 = 4;
const STRETCH_BYTES: usize = 64 << 10;
const STRETCH_ROWS: u64 = 64;

/// What the codes of a column would take in a layout.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayoutCost {
    /// The layout that was asked for.
    pub layout: Layout,
    /// Bits that the sampled codes take.
    pub bits: u64,
}

/// Domains and layouts of a column compared, on a sample.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Explanation {
    /// Domain of the stored column ("decimal(2)"); the index of a text column ("fm").
    pub domain: String,
    /// Why a text column would get the index that it has; `None` if on the sample it would get another one, as after a
    /// change of wishes.
    pub reason: Option<&'static str>,
    /// Domains that were weighed, from the cheapest up.
    pub domains: Vec<DomainCost>,
    /// Codes in the pieces that layouts were tried on.
    pub sampled: u64,
    /// What these pieces take in each layout; empty where a column has no codes.
    pub layouts: Vec<LayoutCost>,
}

impl Column {
    /// Compares what the column could have been stored as under a wish. Holds two pieces of 65,536 codes in memory.
    ///
    /// Layouts are compared by encoding the pieces, domains by the estimate that chose them.
    ///
    /// # Errors
    /// `Corrupt` where the bytes make no sense.
    pub fn explain(&self, wish: Layout) -> Result<Explanation> {
        let numeric = match &self.body {
            Body::Numeric(numeric) => numeric,
            Body::Text(index, _) => return explain_text(&**index, wish),
            Body::Empty => return Ok(Explanation::default()),
        };
        let len = numeric.len();
        let mut out = Explanation {
            domain: numeric.domain_name(),
            ..Explanation::default()
        };
        let mut keys = Vec::new();
        for range in pieces(len, PIECE_KEYS, KEY_PIECES) {
            let from = keys.len();
            keys.resize(from + self.in_memory(range.end - range.start)?, 0);
            numeric.decode(range, keys.get_mut(from..).unwrap_or_default())?;
        }
        out.domains = candidates(self.ty, keys, len);
        out.domains.sort_by(|a, b| a.bits.total_cmp(&b.bits));
        for range in pieces(len, PIECE_CODES, PIECES) {
            let mut codes = vec![0; self.in_memory(range.end - range.start)?];
            numeric.codes().decode(range, &mut codes)?;
            out.sampled += codes.len() as u64;
            for layout in Layout::OF_CODES {
                let bits = choose::encode(&codes, layout).1.len() as u64 * 8;
                match out.layouts.iter_mut().find(|cost| cost.layout == layout) {
                    Some(cost) => cost.bits += bits,
                    None => out.layouts.push(LayoutCost { layout, bits }),
                }
            }
        }
        Ok(out)
    }
}

/// Compares what the strings of an index would take in each index, made of stretches of them; an fm with each set of
/// parts, where it is one or is wished for.
fn explain_text(index: &dyn TextIndex, wish: Layout) -> Result<Explanation> {
    let mut sample = ByteColumn::default();
    let step = index.len().div_ceil(STRETCHES);
    for stretch in 0..STRETCHES {
        let mut row = step * stretch;
        let end = index.len().min(step * (stretch + 1));
        let enough = sample.bytes().len() + STRETCH_BYTES;
        while row < end && sample.bytes().len() < enough {
            let next = end.min(row + STRETCH_ROWS);
            index.decode(row..next, &mut sample)?;
            row = next;
        }
    }
    let rows = sample.len().max(1) as f64;
    let bytes = sample.bytes().len() as f64;
    let mut domains = Vec::new();
    for estimate in text::choose::estimates(&sample, wish)? {
        domains.push(DomainCost {
            name: estimate.kind.name().to_owned(),
            bits: estimate.share * bytes * 8.0 / rows,
        });
    }
    if index.kind() == TextKind::Fm || matches!(wish, Layout::Fm(_)) {
        domains.retain(|cost| cost.name != TextKind::Fm.name());
        for stop in Layout::ALL
            .into_iter()
            .filter(|layout| matches!(layout, Layout::Fm(_)))
        {
            let encoded = text::encode_with(TextKind::Fm, &sample, stop)?;
            domains.push(DomainCost {
                name: stop.name().to_owned(),
                bits: encoded.len() as f64 * 8.0 / rows,
            });
        }
    }
    domains.sort_by(|a, b| a.bits.total_cmp(&b.bits));
    let choice = text::choose::choose(&sample, wish, None)?;
    Ok(Explanation {
        domain: index.name().to_owned(),
        reason: (choice.kind == index.kind()).then(|| choice.reason.text()),
        domains,
        ..Explanation::default()
    })
}

/// Pieces of `0..len`, evenly spread; all of it where they would cover it.
fn pieces(len: u64, piece: u64, count: u64) -> Vec<std::ops::Range<u64>> {
    if len <= piece * count {
        return (0..len)
            .step_by(usize::try_from(piece).unwrap_or(1))
            .map(|start| start..len.min(start + piece))
            .collect();
    }
    (0..count)
        .map(|i| i * (len - piece) / (count - 1))
        .map(|start| start..start + piece)
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::batch::BatchColumn;
    use crate::codes::layout::FmParts;
    use crate::column::{Hints, Part};
    use crate::schema::ColumnType;
    use crate::section::Section;
    use crate::value::key_of_f64;

    #[test]
    fn pieces_lie_inside_and_cover_what_is_short() {
        for len in [0, 1, 63, 64, 4_095, 4_096, 4_097, 1 << 20] {
            let pieces = pieces(len, PIECE_KEYS, KEY_PIECES);
            assert!(pieces.windows(2).all(|pair| pair[0].end <= pair[1].start));
            assert!(pieces.iter().all(|piece| piece.end <= len));
            let rows: u64 = pieces.iter().map(|piece| piece.end - piece.start).sum();
            assert_eq!(rows, len.min(PIECE_KEYS * KEY_PIECES));
        }
    }

    #[test]
    fn text_is_weighed_by_index() {
        let mut column = BatchColumn::new(ColumnType::Text);
        for i in 0..3_000u32 {
            column.push_bytes(format!("request {i} of user{} took {} ms", i % 7, i * 7919 % 1000).as_bytes());
        }
        let parts = Column::encode(ColumnType::Text, &column, &Hints::default()).unwrap();
        let parts = parts.into_iter().map(|part| Part {
            kind: part.kind,
            codec: part.codec,
            body: Section::from_vec(part.body),
        });
        let column = Column::open(ColumnType::Text, 3_000, parts.collect()).unwrap();
        let found = column.explain(Layout::default()).unwrap();
        assert_eq!(found.domain, "template");
        assert_eq!(found.reason, Some("fewest bytes"));
        assert_eq!(found.domains[0].name, "small");
        assert_eq!(found.domains[1].name, "cold");
        assert_eq!(found.domains[2].name, "template");
        assert_eq!(found.domains.len(), TextKind::ALL.len());
        let stops = column.explain(Layout::Fm(FmParts::Counts)).unwrap();
        let bits = ["fm:least", "fm:count", "fm", "fm:32"].map(|name| {
            let found = stops.domains.iter().find(|cost| cost.name == name);
            found.unwrap().bits
        });
        assert!(bits.windows(2).all(|pair| pair[0] < pair[1]), "{bits:?}");
    }

    #[test]
    fn the_stored_domain_is_the_cheapest_of_those_weighed() {
        let mut column = BatchColumn::new(ColumnType::F64);
        for i in 0..20_000u32 {
            column.push_key(key_of_f64(f64::from(i * 7919 % 1000) / 100.0));
        }
        let parts = Column::encode(ColumnType::F64, &column, &Hints::default()).unwrap();
        let parts = parts.into_iter().map(|part| Part {
            kind: part.kind,
            codec: part.codec,
            body: Section::from_vec(part.body),
        });
        let parts: Vec<Part<Section>> = parts.collect();
        let codes_bytes = parts[1].body.len();
        let column = Column::open(ColumnType::F64, 20_000, parts).unwrap();
        let found = column.explain(Layout::default()).unwrap();
        assert_eq!(found.domain, "decimal(2)");
        assert_eq!(found.domains[0].name, found.domain);
        assert!(found.domains.iter().any(|domain| domain.name == "float"));
        assert_eq!(found.sampled, 20_000);
        assert_eq!(found.layouts.len(), Layout::OF_CODES.len());
        let rank = found.layouts.iter().find(|cost| cost.layout == Layout::default());
        assert_eq!(
            rank.unwrap().bits,
            codes_bytes * 8,
            "one piece is the whole column"
        );
    }
}
