//! One column of a segment: a domain, codes, a validity vector and block statistics, asked by row.
//!
//! Codes hold valid values only; a rank-able validity vector maps rows to code positions and is absent when nothing
//! is null. A column's bytes are a few *parts*, each a section of the segment file.

use std::borrow::Cow;
use std::ops::{Bound, Range};

use crate::batch::{BatchColumn, ColumnData};
use crate::codes::choose::{Layout, MiniBlock};
use crate::codes::{Codes, CodesKind, Interval};
use crate::domain::bounded::{Precision, Tolerance};
use crate::domain::wrong_type;
use crate::error::{Error, Result};
use crate::rows::{Mask, RowRanges};
use crate::schema::ColumnType;
use crate::section::Section;
use crate::text::{self, TextIndex, TextKind, TextPattern};

mod descent;
mod encode;
mod exceptions;
pub mod explain;
mod filter;
mod moments;
mod numeric;
pub(crate) mod packed;
mod point;
mod quantize;
mod statistics;
mod sums;
pub mod time;
mod validity;

#[cfg(test)]
mod tests;

pub(crate) use descent::{Descent, Group};
pub use moments::Moments;
pub use quantize::Quantizer;

use numeric::Numeric;
use validity::Validity;

/// More rows than any segment has; a larger claim is not believed.
const MAX_ROWS: u64 = 1 << 48;

/// Number of a part's role in files; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum PartKind {
    /// Domain parameters and residues (codec: [`crate::domain::DomainKind`]).
    Domain = 1,
    /// Codes (codec: [`crate::codes::CodesKind`]).
    Codes = 2,
    /// Validity bit vector.
    Validity = 3,
    /// Block statistics.
    Statistics = 4,
    /// Text index (codec: [`crate::text::TextKind`]).
    Text = 5,
    /// Row times of a segment.
    Time = 6,
    /// How exact values are that were moved (codec: 1 absolute, 2 relative).
    Precision = 7,
    /// What rows of a downsampled segment stand for.
    Buckets = 8,
}

/// One part of a column: `T` is its bytes when written, its [`Section`] when read.
#[derive(Debug, Clone)]
pub struct Part<T> {
    /// Role.
    pub kind: PartKind,
    /// Number of the codec within the role; 0 where a role has only one.
    pub codec: u16,
    /// The bytes.
    pub body: T,
}

/// What a question asks of one column.
#[derive(Debug, Clone)]
pub enum Condition {
    /// The key of a fixed-width value lies in the interval.
    Keys(Interval),
    /// The key of a fixed-width value is one of these (sorted, no repeats).
    KeyIn(Vec<u64>),
    /// The text or bytes value matches.
    Text(TextPattern),
    /// The text or bytes value lies between the bounds, byte by byte.
    Between(Bound<Vec<u8>>, Bound<Vec<u8>>),
    /// The text or bytes value is one of these (sorted, no repeats).
    BytesIn(Vec<Vec<u8>>),
    /// There is no value.
    IsNull,
    /// There is a value.
    IsNotNull,
}

/// A sum of values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sum {
    /// Exact sum of integers, booleans or times.
    Integer(i128),
    /// Sum of floats, each block added in row order, blocks added pairwise.
    Float(f64),
}

/// The read side of one column of a segment.
#[derive(Debug)]
pub struct Column {
    ty: ColumnType,
    rows: u64,
    validity: Option<Validity>,
    precision: Option<Precision>,
    body: Body,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one a column")]
enum Body {
    /// No row has a value.
    Empty,
    Numeric(Numeric),
    Text(Box<dyn TextIndex>, u64),
}

/// What the caller knows of a column before it is encoded.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    /// The stream's grid for this column: decimal digits after the point, as segments before this one used.
    pub digits: Option<u8>,
    /// How the codes should be stored.
    pub layout: Layout,
    /// Rows of a step of the running sums, as a power of two from 7 to 10: the sum of any rows reads at most two
    /// halves of a step. Chosen by what it costs if absent.
    pub step_bits: Option<u8>,
    /// How far values may be moved from what was measured, so that they take less.
    pub tolerance: Option<Tolerance>,
    /// How far they were moved already.
    pub carried: Option<Precision>,
    /// Bytes of text in a block of an index; 16 MiB if absent. Building one takes twelve times as much memory.
    pub text_block_bytes: Option<u64>,
}

impl Column {
    /// Opens the parts that [`Column::encode`] wrote for `rows` rows. Headers are checked here, the rest on first touch.
    ///
    /// # Errors
    /// `Corrupt` if the parts do not fit each other or the number of rows.
    pub fn open(ty: ColumnType, rows: u64, parts: Vec<Part<Section>>) -> Result<Column> {
        let mut places: [Option<(u16, Section)>; 6] = Default::default();
        for Part { kind, codec, body } in parts {
            let place = match kind {
                PartKind::Domain => 0,
                PartKind::Codes => 1,
                PartKind::Validity => 2,
                PartKind::Statistics => 3,
                PartKind::Text => 4,
                PartKind::Precision => 5,
                PartKind::Time | PartKind::Buckets => {
                    return Err(body.corrupt(0, "this belongs to rows, not to a column".into()));
                }
            };
            if rows > MAX_ROWS {
                return Err(body.corrupt(0, format!("{rows} rows are more than a segment can have")));
            }
            if places[place].is_some() {
                return Err(body.corrupt(0, format!("a column has one part of kind {kind:?}, not more")));
            }
            places[place] = Some((codec, body));
        }
        let [domain, codes, validity, statistics, text, precision] = places;
        let validity = validity
            .map(|(codec, body)| Validity::open(codec, body, rows))
            .transpose()?;
        let valid = validity.as_ref().map_or(rows, Validity::valid);
        let precision = precision
            .map(|(codec, body)| match domain {
                Some(_) if ty.is_float() || ty.is_integer() => Precision::open(codec, &body),
                _ => Err(body.corrupt(0, format!("values of type {ty}, or none, have no precision"))),
            })
            .transpose()?;
        let body = match (domain, codes, statistics, text) {
            (None, None, None, None) if valid == 0 => Body::Empty,
            (Some((kind, domain)), Some((codes_kind, codes)), Some((_, statistics)), None)
                if !ty.is_binary() =>
            {
                let sections = numeric::Sections {
                    kind,
                    domain,
                    codes_kind,
                    codes,
                    statistics,
                };
                Body::Numeric(Numeric::open(ty, valid, sections, false)?)
            }
            (None, None, None, Some((kind, section))) if ty.is_binary() => {
                let kind = TextKind::from_code(kind)
                    .ok_or_else(|| section.corrupt(0, format!("text index {kind} is unknown")))?;
                let index = text::open(kind, section.clone())?;
                if index.len() != valid {
                    return Err(
                        section.corrupt(0, format!("{} strings, where there are {valid}", index.len()))
                    );
                }
                Body::Text(index, section.len())
            }
            (domain, codes, statistics, text) => {
                let what = format!("a column of type {ty} and {valid} values has other parts than these");
                return Err(match domain.or(codes).or(statistics).or(text) {
                    Some((_, section)) => section.corrupt(0, what),
                    None => Error::corrupt("segment", "column", 0, what),
                });
            }
        };
        Ok(Column {
            ty,
            rows,
            validity,
            precision,
            body,
        })
    }

    /// Type of the values.
    pub fn ty(&self) -> ColumnType {
        self.ty
    }

    /// Number of rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Number of rows without a value.
    pub fn null_count(&self) -> u64 {
        self.validity
            .as_ref()
            .map_or(0, |validity| self.rows - validity.valid())
    }

    /// How many rows of `rows` have a value.
    pub fn valid_count(&self, rows: &RowRanges) -> Result<u64> {
        Ok(self
            .positions(rows.as_slice())?
            .iter()
            .map(|r| r.end - r.start)
            .sum())
    }

    /// Appends rows `rows` to `out`.
    ///
    /// # Errors
    /// `Corrupt` where the bytes make no sense; `out` is then to be thrown away.
    pub fn decode(&self, rows: Range<u64>, out: &mut BatchColumn) -> Result<()> {
        self.check(&rows)?;
        let before = out.len();
        let count = self.in_memory(rows.end - rows.start)?;
        let positions = self.position_range(&rows)?;
        let dense = positions.end - positions.start == rows.end - rows.start;
        let mut words = Vec::new();
        if !dense {
            words.resize(count.div_ceil(64), 0);
            if let Some(validity) = &self.validity {
                validity.fill(rows.clone(), &mut words)?;
            }
        }
        match (&self.body, &mut out.data) {
            (Body::Numeric(numeric), ColumnData::Keys(keys)) => {
                let start = keys.len();
                keys.resize(start + count, 0);
                let slots = keys.get_mut(start..).unwrap_or_default();
                let valid = self.in_memory(positions.end - positions.start)?;
                numeric.decode(positions, slots.get_mut(..valid).unwrap_or_default())?;
                if !dense {
                    spread(slots, valid, &words, 0);
                }
            }
            (Body::Text(index, _), ColumnData::Binary(strings)) => {
                if dense {
                    index.decode(positions, strings)?;
                } else {
                    let mut position = positions.start;
                    for row in 0..count {
                        if words
                            .get(row / 64)
                            .is_some_and(|word| word >> (row % 64) & 1 == 1)
                        {
                            index.extract(position, strings.buffer())?;
                            position += 1;
                        }
                        strings.close();
                    }
                }
            }
            (Body::Empty, ColumnData::Keys(keys)) => keys.resize(keys.len() + count, 0),
            (Body::Empty, ColumnData::Binary(strings)) => (0..count).for_each(|_| strings.close()),
            _ => return Err(wrong_type(self.ty)),
        }
        if !dense {
            let validity = out.validity.get_or_insert_with(|| Mask::repeat(true, before));
            let bits = bitvec::slice::BitSlice::<u64, bitvec::order::Lsb0>::from_slice(&words);
            validity.extend_from_bitslice(bits.get(..count).unwrap_or_default());
        } else if let Some(validity) = &mut out.validity {
            validity.resize(before + count, true);
        }
        Ok(())
    }

    /// The `k`-th smallest key among the values of `rows` (fixed-width columns).
    ///
    /// # Errors
    /// `OutOfRange` if `rows` hold `k` values or fewer.
    pub fn quantile(&self, rows: &RowRanges, k: u64) -> Result<u64> {
        let positions = self.positions(rows.as_slice())?;
        let valid: u64 = positions.iter().map(|r| r.end - r.start).sum();
        match &self.body {
            Body::Text(..) => Err(wrong_type(self.ty)),
            Body::Numeric(numeric) if k < valid => numeric.quantile(&positions, k),
            _ => Err(Error::OutOfRange {
                what: "value in order",
                position: k,
                end: valid,
            }),
        }
    }

    /// Smallest and largest key among the values of `rows` (fixed-width columns).
    pub fn min_max(&self, rows: &RowRanges) -> Result<Option<(u64, u64)>> {
        match &self.body {
            Body::Numeric(numeric) => numeric.min_max(&self.positions(rows.as_slice())?),
            Body::Empty if !self.ty.is_binary() => Ok(None),
            _ => Err(wrong_type(self.ty)),
        }
    }

    /// Sum of the values of `rows` (fixed-width columns).
    ///
    /// Exact for integers, booleans and times; for floats within 1e-12 of the sum of their magnitudes.
    pub fn sum(&self, rows: &RowRanges) -> Result<Sum> {
        match &self.body {
            Body::Numeric(numeric) => numeric.sum(&self.positions(rows.as_slice())?),
            Body::Empty if self.ty.is_float() => Ok(Sum::Float(0.0)),
            Body::Empty if !self.ty.is_binary() => Ok(Sum::Integer(0)),
            _ => Err(wrong_type(self.ty)),
        }
    }

    /// Number, mean and spread of the values of `rows` (fixed-width columns): their variance, without cancellation.
    ///
    /// Exact but for the last rounding for integers, booleans, times and decimals of 64-bit floats.
    pub fn moments(&self, rows: &RowRanges) -> Result<Moments> {
        match &self.body {
            Body::Numeric(numeric) => numeric.moments(&self.positions(rows.as_slice())?),
            Body::Empty if !self.ty.is_binary() => Ok(Moments::default()),
            _ => Err(wrong_type(self.ty)),
        }
    }

    /// The column's codes, where it has any (fixed-width columns). Code positions count rows with a value.
    pub fn codes(&self) -> Option<&dyn Codes> {
        match &self.body {
            Body::Numeric(numeric) => Some(numeric.codes()),
            _ => None,
        }
    }

    /// Whether codes of this column could be stored in another layout.
    pub(crate) fn has_layout(&self) -> bool {
        match &self.body {
            Body::Empty => false,
            Body::Numeric(numeric) => numeric.codes().kind() != CodesKind::Constant,
            // Which index it is, too, hangs on the wish.
            Body::Text(..) => true,
        }
    }

    /// The text index as `hints` wish it, if it can be made from the one that is stored without reading the rows.
    pub(crate) fn refit_text(&self, hints: &Hints) -> Result<Option<Vec<u8>>> {
        match &self.body {
            Body::Text(index, _) => index.refit(hints.layout, hints.text_block_bytes),
            _ => Ok(None),
        }
    }

    /// Whether this is a text index that is cut into blocks of at most half of `block_bytes`.
    pub(crate) fn is_cut(&self, block_bytes: u64) -> bool {
        matches!(&self.body, Body::Text(index, _) if index.is_cut(block_bytes))
    }

    /// Whether this is text that a small layout would store no other way.
    pub(crate) fn is_packed_text(&self, layout: Layout) -> bool {
        let Body::Text(index, _) = &self.body else {
            return false;
        };
        match (index.kind(), layout) {
            (TextKind::Small, Layout::Small(_)) => true,
            (TextKind::Cold, Layout::Small(rows)) => rows != MiniBlock::Rows512,
            _ => false,
        }
    }

    /// How exact the values are; `None` if they are what was measured.
    pub fn precision(&self) -> Option<Precision> {
        self.precision
    }

    /// Decimal digits of the column's grid, if it is on one: the hint for the next segment.
    pub fn digits(&self) -> Option<u8> {
        match &self.body {
            Body::Numeric(numeric) => numeric.digits(),
            _ => None,
        }
    }

    /// Domain name, layout name.
    pub fn describe(&self) -> (String, String) {
        match &self.body {
            Body::Empty => ("null".into(), "none".into()),
            Body::Numeric(numeric) => (numeric.kind().name().into(), numeric.codes().kind().name().into()),
            Body::Text(index, _) => (self.ty.to_string(), index.name().into()),
        }
    }

    /// Bits that each part takes, as `(name, bits)`; their sum is the size of the column.
    pub fn parts(&self) -> Vec<(String, u64)> {
        let mut out = Vec::new();
        if let Some(validity) = &self.validity {
            out.push(("validity".into(), validity.size_bits()));
        }
        match &self.body {
            Body::Empty => {}
            Body::Numeric(numeric) => numeric.parts("", &mut out),
            Body::Text(index, bytes) => {
                let mut rest = bytes * 8;
                for (name, bits) in index.parts() {
                    rest = rest.saturating_sub(bits);
                    out.push((format!("{} {name}", index.kind().name()), bits));
                }
                if rest > 0 {
                    out.push((format!("{} rest", index.kind().name()), rest));
                }
            }
        }
        out
    }

    /// Keys that no value of `rows` is below or above; cheap, and wider than the values' own range.
    ///
    /// # Complexity
    /// Linear in the number of statistics blocks, with nothing decoded.
    pub fn key_bounds(&self, rows: Range<u64>) -> Result<Option<(u64, u64)>> {
        self.check(&rows)?;
        match &self.body {
            Body::Numeric(numeric) => numeric.key_bounds(self.position_range(&rows)?),
            Body::Empty => Ok(None),
            Body::Text(..) => Err(wrong_type(self.ty)),
        }
    }

    /// Code positions of the values of `rows`.
    fn positions<'a>(&self, rows: &'a [Range<u64>]) -> Result<Cow<'a, [Range<u64>]>> {
        if let Some(last) = rows.last() {
            self.check(last)?;
        }
        if self.validity.is_none() {
            return Ok(Cow::Borrowed(rows));
        }
        let mut out = Vec::with_capacity(rows.len());
        for range in rows {
            let positions = self.position_range(range)?;
            if positions.start < positions.end {
                out.push(positions);
            }
        }
        Ok(Cow::Owned(out))
    }

    fn position_range(&self, rows: &Range<u64>) -> Result<Range<u64>> {
        match &self.validity {
            None => Ok(rows.clone()),
            Some(validity) => {
                let start = validity.rank(rows.start)?;
                // A damaged list of places may not ascend; what is asked of codes always does.
                let end = validity
                    .rank(rows.end)?
                    .clamp(start, start.saturating_add(rows.end - rows.start));
                Ok(start..end.min(validity.valid()).max(start))
            }
        }
    }

    fn check(&self, rows: &Range<u64>) -> Result<()> {
        if rows.start > rows.end || rows.end > self.rows {
            return Err(Error::OutOfRange {
                what: "row",
                position: rows.end,
                end: self.rows,
            });
        }
        Ok(())
    }

    fn in_memory(&self, rows: u64) -> Result<usize> {
        usize::try_from(rows).map_err(|_| Error::OutOfRange {
            what: "row",
            position: rows,
            end: self.rows,
        })
    }
}

/// Moves the first `valid` of `slots` to the places whose bits are set in `words`, and `filler` to the others.
fn spread<T: Copy>(slots: &mut [T], valid: usize, words: &[u64], filler: T) {
    let mut from = valid;
    for to in (0..slots.len()).rev() {
        let is_valid = words.get(to / 64).is_some_and(|word| word >> (to % 64) & 1 == 1);
        let value = if is_valid {
            from.checked_sub(1).and_then(|from| slots.get(from).copied())
        } else {
            None
        };
        if value.is_some() {
            from -= 1;
        }
        if let Some(slot) = slots.get_mut(to) {
            *slot = value.unwrap_or(filler);
        }
    }
}
