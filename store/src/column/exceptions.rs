//! Values that lie on no grid: where they stand, and their keys, in row order and in value order.
//!
//! An exception takes the code of the greatest grid value that is not above it, so codes alone answer all but the ends
//! of an interval. What is left is asked here: places are an Elias-Fano list with rank (a range of code positions is a
//! range of exceptions), and keys are a small column of their own over an exact domain, whose codes rank them.
//!
//! ```text
//! offset  width  field (after the parameters of the grid)
//!      0      8  n           number of exceptions, at least 1
//!      8      8  places      bytes of the list of places
//!     16      8  domain      bytes of the domain of the keys
//!     24      8  codes       bytes of the codes of the keys
//!     32      8  statistics  bytes of the statistics of the keys
//!     40      2  domain_kind number of that domain: float or dictionary
//!     42      2  codes_kind  number of the code layout
//!     44      4  zero
//!     48      -  the four bodies in that order, each followed by zero bytes up to a multiple of 8
//! ```

use std::ops::Range;
use std::sync::OnceLock;

use sucds::mii_sequences::EliasFano;

use super::Hints;
use super::moments::{FloatSum, Moments};
use super::numeric::{self, Encoded, Numeric, Sections};
use super::packed::pad8;
use super::validity::{encode_places, load_places, place_at, places_below};
use crate::codes::Interval;
use crate::domain::choose;
use crate::domain::decimal::HEADER_BYTES as GRID_BYTES;
use crate::error::Result;
use crate::schema::ColumnType;
use crate::section::Section;

const HEADER_BYTES: u64 = 48;

/// Appends `exceptions` (places below `len`, and keys) to the parameters of a grid.
pub(crate) fn encode(ty: ColumnType, exceptions: &[(u64, u64)], len: u64, out: &mut Vec<u8>) -> Result<()> {
    let keys: Vec<u64> = exceptions.iter().map(|&(_, key)| key).collect();
    let mut places = Vec::new();
    encode_places(
        exceptions.iter().map(|&(place, _)| place),
        exceptions.len(),
        len,
        &mut places,
    )?;
    let Encoded {
        kind,
        domain,
        codes_kind,
        codes,
        statistics,
    } = numeric::encode_coded(ty, &keys, choose::encode_exact(ty, &keys), &Hints::default())?;
    out.extend_from_slice(&(keys.len() as u64).to_le_bytes());
    for body in [&places, &domain, &codes, &statistics] {
        out.extend_from_slice(&(body.len() as u64).to_le_bytes());
    }
    out.extend_from_slice(&(kind as u16).to_le_bytes());
    out.extend_from_slice(&(codes_kind as u16).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    for body in [&places, &domain, &codes, &statistics] {
        out.extend_from_slice(body);
        pad8(out);
    }
    Ok(())
}

/// The read side.
#[derive(Debug)]
pub(crate) struct Exceptions {
    section: Section,
    places: Section,
    universe: u64,
    list: OnceLock<EliasFano>,
    keys: Box<Numeric>,
}

impl Exceptions {
    /// Opens what stands behind the parameters of a grid for `universe` codes, if anything does.
    pub(crate) fn open(ty: ColumnType, domain: &Section, universe: u64) -> Result<Option<Exceptions>> {
        if domain.len() == GRID_BYTES {
            return Ok(None);
        }
        let section = domain.sub(GRID_BYTES..domain.len())?;
        let len = section.u64(0)?;
        if len == 0 || len > universe || section.u32(44)? != 0 {
            return Err(section.corrupt(0, format!("{len} exceptions among {universe} codes")));
        }
        let mut at = HEADER_BYTES;
        let mut bodies = Vec::with_capacity(4);
        for field in 0..4 {
            let end = at.saturating_add(section.u64(8 + field * 8)?);
            bodies.push(section.sub(at..end)?);
            at = end.next_multiple_of(8);
        }
        if at != section.len() {
            return Err(section.corrupt(8, "the parts of the exceptions do not fill their section".into()));
        }
        let (Some(statistics), Some(codes), Some(domain), Some(places)) =
            (bodies.pop(), bodies.pop(), bodies.pop(), bodies.pop())
        else {
            return Err(section.corrupt(8, "the parts of the exceptions are missing".into()));
        };
        let sections = Sections {
            kind: section.u16(40)?,
            domain,
            codes_kind: section.u16(42)?,
            codes,
            statistics,
        };
        let keys = Box::new(Numeric::open(ty, len, sections, true)?);
        Ok(Some(Exceptions {
            section,
            places,
            universe,
            list: OnceLock::new(),
            keys,
        }))
    }

    fn list(&self) -> Result<&EliasFano> {
        if let Some(list) = self.list.get() {
            return Ok(list);
        }
        let list = load_places(&self.places, self.keys.len(), self.universe)?;
        Ok(self.list.get_or_init(|| list))
    }

    /// The exceptions at a range of code positions.
    fn range(&self, range: &Range<u64>) -> Result<Range<u64>> {
        let list = self.list()?;
        let start = places_below(list, range.start).min(self.keys.len());
        Ok(start..places_below(list, range.end).clamp(start, self.keys.len()))
    }

    fn ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Range<u64>>> {
        let mut out: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
        for range in ranges {
            let mut own = self.range(range)?;
            // A damaged list may not ascend; ranges that are asked of codes always do.
            let after = out.last().map_or(0, |last| last.end);
            own.start = own.start.max(after);
            if own.start < own.end {
                out.push(own);
            }
        }
        Ok(out)
    }

    /// The key of the exception at code position `place`, if there is one.
    pub(crate) fn get(&self, place: u64) -> Result<Option<u64>> {
        let list = self.list()?;
        let number = places_below(list, place);
        if place_at(list, number) != Some(place) {
            return Ok(None);
        }
        self.keys.get(number).map(Some)
    }

    /// How many exceptions there are at `ranges` of code positions.
    pub(crate) fn count_all(&self, ranges: &[Range<u64>]) -> Result<u64> {
        Ok(self.ranges(ranges)?.iter().map(|r| r.end - r.start).sum())
    }

    /// How many exceptions at `ranges` of code positions have a key in `keys`.
    pub(crate) fn count(&self, ranges: &[Range<u64>], keys: Interval) -> Result<u64> {
        // Most intervals end between exceptions: nothing to look up.
        if keys.is_empty() || self.keys.code_interval(keys)?.is_empty() {
            return Ok(0);
        }
        self.keys.count(&self.ranges(ranges)?, keys)
    }

    /// The `rank`-th smallest key in `keys` of the exceptions at `ranges`.
    pub(crate) fn quantile(&self, ranges: &[Range<u64>], keys: Interval, rank: u64) -> Result<u64> {
        let ranges = self.ranges(ranges)?;
        let below = match keys.low.checked_sub(1) {
            Some(high) => self.keys.count(&ranges, Interval { low: 0, high })?,
            None => 0,
        };
        self.keys.quantile(&ranges, below.saturating_add(rank))
    }

    /// Sum of the exceptions at `ranges`.
    pub(crate) fn float_sum(&self, ranges: &[Range<u64>]) -> Result<FloatSum> {
        self.keys.float_sum(&self.ranges(ranges)?)
    }

    /// Moments of the exceptions at `ranges`.
    pub(crate) fn moments(&self, ranges: &[Range<u64>]) -> Result<Moments> {
        self.keys.moments(&self.ranges(ranges)?)
    }

    /// Smallest and largest key of the exceptions at `ranges`.
    pub(crate) fn min_max(&self, ranges: &[Range<u64>]) -> Result<Option<(u64, u64)>> {
        self.keys.min_max(&self.ranges(ranges)?)
    }

    /// Keys that no exception at `range` is below or above.
    pub(crate) fn key_bounds(&self, range: Range<u64>) -> Result<Option<(u64, u64)>> {
        self.keys.key_bounds(self.range(&range)?)
    }

    /// Calls `each` with the place in `range` (0 is its start) and the key of each exception there.
    pub(crate) fn for_each(&self, range: Range<u64>, mut each: impl FnMut(u64, u64)) -> Result<()> {
        let own = self.range(&range)?;
        if own.start >= own.end {
            return Ok(());
        }
        let mut places = self
            .list()?
            .iter(usize::try_from(own.start).unwrap_or(usize::MAX));
        let mut keys = [0u64; 512];
        let mut start = own.start;
        while start < own.end {
            let end = own.end.min(start + keys.len() as u64);
            let part = keys
                .get_mut(..usize::try_from(end - start).unwrap_or(0))
                .unwrap_or_default();
            self.keys.decode(start..end, part)?;
            for (&mut key, place) in part.iter_mut().zip(&mut places) {
                if range.contains(&place) {
                    each(place - range.start, key);
                }
            }
            start = end;
        }
        Ok(())
    }

    /// Bytes behind the parameters of the grid.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.section.len()
    }

    /// Bits of each part.
    pub(crate) fn parts(&self, prefix: &str, out: &mut Vec<(String, u64)>) {
        out.push((
            format!("{prefix}exceptions: places"),
            (self.places.len() + HEADER_BYTES) * 8,
        ));
        self.keys.parts(&format!("{prefix}exceptions: "), out);
    }
}
