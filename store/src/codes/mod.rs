//! Code layouts: how a sequence of unsigned codes is stored, and which questions it answers in place.
//!
//! One file a layout. A layout knows nothing of values, nulls or files: it gets codes, writes one section, and answers
//! over positions in that sequence. All positions and counts are `u64`; code intervals are inclusive on both ends.

use std::fmt::Debug;
use std::ops::Range;

use crate::error::{Error, Result};
use crate::rows::Mask;
use crate::section::Section;

pub mod choose;
pub mod constant;
pub mod layout;
mod merge;
pub mod scan;
pub(crate) mod simd;
pub mod small;
#[cfg(test)]
pub(crate) mod testing;
pub mod tree;
pub mod wavelet;

pub(crate) use simd::Path;

/// Codes from `low` to `high`, both included; empty when `low > high`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// Smallest code inside.
    pub low: u64,
    /// Largest code inside.
    pub high: u64,
}

impl Interval {
    /// Every code.
    pub const ALL: Interval = Interval {
        low: 0,
        high: u64::MAX,
    };
    /// No code.
    pub const NONE: Interval = Interval { low: 1, high: 0 };

    /// Whether no code is inside.
    pub fn is_empty(self) -> bool {
        self.low > self.high
    }

    /// Whether `code` is inside.
    #[inline]
    pub fn contains(self, code: u64) -> bool {
        self.low <= code && code <= self.high
    }

    /// Codes in both.
    pub fn intersect(self, other: Interval) -> Interval {
        Interval {
            low: self.low.max(other.low),
            high: self.high.min(other.high),
        }
    }
}

/// Number of a layout in files; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum CodesKind {
    /// One code, however many rows.
    Constant = 1,
    /// Adaptive wavelet matrix over bit planes (the `rank` layout).
    Wavelet = 2,
    /// Bit-packed blocks of values or differences (the `scan` layout).
    Scan = 3,
    /// Small blocks of entropy-coded residuals (the `small` layout).
    Small = 4,
}

impl CodesKind {
    /// All layouts, for tests and benches that walk them.
    pub const ALL: [CodesKind; 4] = [
        CodesKind::Constant,
        CodesKind::Wavelet,
        CodesKind::Scan,
        CodesKind::Small,
    ];

    /// Layout with this number, if there is one.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u16 == code)
    }

    /// Name as `silt stat` prints it.
    pub fn name(self) -> &'static str {
        match self {
            CodesKind::Constant => "constant",
            CodesKind::Wavelet => "wavelet",
            CodesKind::Scan => "scan",
            CodesKind::Small => "small",
        }
    }
}

/// The read side of a layout. Implementations are shared between threads.
///
/// Ranges passed in are sorted, disjoint and within `0..len()`; anything else is `OutOfRange`.
pub trait Codes: Send + Sync + Debug {
    /// Which layout this is.
    fn kind(&self) -> CodesKind;

    /// Number of codes.
    fn len(&self) -> u64;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The code at `position`.
    fn get(&self, position: u64) -> Result<u64>;

    /// The codes at `range`, into `out`, which has exactly that many places.
    fn decode(&self, range: Range<u64>, out: &mut [u64]) -> Result<()>;

    /// Appends the codes at `ranges` to `out`, in no particular order. Ranges may overlap and come in any order.
    fn decode_unordered(&self, ranges: &[Range<u64>], out: &mut Vec<u64>) -> Result<()> {
        for range in ranges {
            check_ranges(self.len(), std::slice::from_ref(range))?;
            let from = out.len();
            let rows = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
            out.resize(from.saturating_add(rows), 0);
            self.decode(range.clone(), out.get_mut(from..).unwrap_or_default())?;
        }
        Ok(())
    }

    /// How many codes in `ranges` lie in `interval`.
    fn count(&self, ranges: &[Range<u64>], interval: Interval) -> Result<u64>;

    /// Sets bit `p - range.start` of `mask` for each position `p` of `range` whose code lies in `interval`.
    ///
    /// `mask` is as long as `range` and comes with its other bits cleared.
    fn select(&self, range: Range<u64>, interval: Interval, mask: &mut Mask) -> Result<()>;

    /// The `k`-th smallest code in `ranges` (0 is the smallest), and how many codes there are smaller than it.
    ///
    /// # Errors
    /// `OutOfRange` if `ranges` hold `k` codes or fewer.
    fn quantile(&self, ranges: &[Range<u64>], k: u64) -> Result<(u64, u64)>;

    /// Smallest and largest code in `ranges`; `None` when they are empty.
    fn min_max(&self, ranges: &[Range<u64>]) -> Result<Option<(u64, u64)>> {
        let total: u64 = ranges.iter().map(|r| r.end - r.start).sum();
        if total == 0 {
            return Ok(None);
        }
        Ok(Some((
            self.quantile(ranges, 0)?.0,
            self.quantile(ranges, total - 1)?.0,
        )))
    }

    /// The codes at `positions` (sorted, repeats allowed), into `out`, which has as many places.
    fn get_sorted(&self, positions: &[u64], out: &mut [u64]) -> Result<()> {
        check_places(positions, out)?;
        for (place, &position) in out.iter_mut().zip(positions) {
            *place = self.get(position)?;
        }
        Ok(())
    }

    /// For each range the `k`-th smallest code in it, `k` being the place in `ks`: many time buckets in one question.
    ///
    /// # Errors
    /// `InvalidArgument` if there is not one `k` a range; `OutOfRange` if a range holds its `k` codes or fewer.
    fn quantile_each(&self, ranges: &[Range<u64>], ks: &[u64]) -> Result<Vec<u64>> {
        check_each(self.len(), ranges, ks)?;
        ranges
            .iter()
            .zip(ks)
            .map(|(range, &k)| Ok(self.quantile(std::slice::from_ref(range), k)?.0))
            .collect()
    }

    /// The smallest code in `ranges` that is at least `code`.
    fn next_value(&self, ranges: &[Range<u64>], code: u64) -> Result<Option<u64>> {
        let smaller = match code.checked_sub(1) {
            Some(high) => self.count(ranges, Interval { low: 0, high })?,
            None => 0,
        };
        check_ranges(self.len(), ranges)?;
        if smaller >= count_rows(ranges) {
            return Ok(None);
        }
        Ok(Some(self.quantile(ranges, smaller)?.0))
    }

    /// The largest code in `ranges` that is at most `code`.
    fn previous_value(&self, ranges: &[Range<u64>], code: u64) -> Result<Option<u64>> {
        match self
            .count(ranges, Interval { low: 0, high: code })?
            .checked_sub(1)
        {
            Some(k) => Ok(Some(self.quantile(ranges, k)?.0)),
            None => Ok(None),
        }
    }

    /// The `rows` largest codes in `ranges` as `(code, how often)`, from the largest down.
    ///
    /// The counts sum to `rows`, or to all rows if there are fewer.
    fn top(&self, ranges: &[Range<u64>], rows: u64) -> Result<Vec<(u64, u64)>> {
        check_ranges(self.len(), ranges)?;
        let mut left = count_rows(ranges);
        let mut wanted = rows.min(left);
        let mut out = Vec::new();
        while wanted > 0 {
            let (code, less) = self.quantile(ranges, left - 1)?;
            // A damaged file may count more smaller codes than there are.
            let found = left.saturating_sub(less).clamp(1, wanted);
            out.push((code, found));
            wanted -= found;
            left = less.min(left - 1);
            if left == 0 {
                break;
            }
        }
        Ok(out)
    }

    /// The distinct codes of `ranges` that lie in `interval`, as `(code, how often)` from the smallest up; at most `limit`.
    fn distinct(&self, ranges: &[Range<u64>], interval: Interval, limit: usize) -> Result<Vec<(u64, u64)>> {
        let mut out = Vec::new();
        let mut low = interval.low;
        while out.len() < limit {
            let Some(code) = self.next_value(ranges, low)? else {
                break;
            };
            if code > interval.high || code < low {
                break;
            }
            out.push((
                code,
                self.count(
                    ranges,
                    Interval {
                        low: code,
                        high: code,
                    },
                )?,
            ));
            match code.checked_add(1) {
                Some(next) => low = next,
                None => break,
            }
        }
        Ok(out)
    }

    /// The codes as a tree of intervals, where the layout halves them in place.
    fn tree(&self) -> Option<Box<dyn tree::Tree + '_>> {
        None
    }

    /// Bits that each part of the layout takes, as `(name, bits)`, for `silt stat --explain`.
    fn parts(&self) -> Vec<(String, u64)>;
}

/// Encodes `codes` in layout `kind`.
pub fn encode(kind: CodesKind, codes: &[u64]) -> Vec<u8> {
    match kind {
        CodesKind::Constant => constant::encode(codes),
        CodesKind::Wavelet => wavelet::encode(codes),
        CodesKind::Scan => scan::encode(codes),
        CodesKind::Small => small::encode(codes),
    }
}

/// Names of the ways to decode on this processor, slowest first; all give the same codes.
#[doc(hidden)]
pub fn decode_paths() -> Vec<&'static str> {
    simd::names()
}

/// Makes every decode of this process take path number `index` of [`decode_paths`], or the best one: for benches.
#[doc(hidden)]
pub fn force_decode_path(index: Option<usize>) {
    simd::force(index.unwrap_or(usize::MAX));
}

/// Opens what [`encode`] wrote. The header is checked here, the rest on first touch.
///
/// # Errors
/// `Corrupt` if the header makes no sense for the section's length.
pub fn open(kind: CodesKind, section: Section) -> Result<Box<dyn Codes>> {
    Ok(match kind {
        CodesKind::Constant => Box::new(constant::Constant::open(section)?),
        CodesKind::Wavelet => Box::new(wavelet::Wavelet::open(section)?),
        CodesKind::Scan => Box::new(scan::Scan::open(section)?),
        CodesKind::Small => Box::new(small::Small::open(section)?),
    })
}

fn check_position(len: u64, position: u64) -> Result<()> {
    if position < len {
        Ok(())
    } else {
        Err(Error::OutOfRange {
            what: "code",
            position,
            end: len,
        })
    }
}

/// That `range` lies in `0..len` and has `places` positions.
fn check_range(len: u64, range: &Range<u64>, places: usize) -> Result<()> {
    if range.start > range.end || range.end > len {
        return Err(Error::OutOfRange {
            what: "code",
            position: range.end.max(range.start),
            end: len,
        });
    }
    if range.end - range.start != places as u64 {
        return Err(Error::invalid(format!(
            "{} codes do not fit {places} places",
            range.end - range.start
        )));
    }
    Ok(())
}

/// That `ranges` are sorted, disjoint and lie in `0..len`.
fn check_ranges(len: u64, ranges: &[Range<u64>]) -> Result<()> {
    let mut last = 0;
    for range in ranges {
        if range.start < last || range.start > range.end || range.end > len {
            return Err(Error::OutOfRange {
                what: "code",
                position: range.start.max(range.end),
                end: len,
            });
        }
        last = range.end;
    }
    Ok(())
}

/// That `ranges` are as [`check_ranges`] wants them and hold more than `k` codes; gives how many.
fn check_rank(len: u64, ranges: &[Range<u64>], k: u64) -> Result<u64> {
    check_ranges(len, ranges)?;
    let rows = count_rows(ranges);
    if k < rows {
        return Ok(rows);
    }
    Err(Error::OutOfRange {
        what: "smallest code",
        position: k,
        end: rows,
    })
}

/// That there are as many places as positions.
fn check_places(positions: &[u64], out: &[u64]) -> Result<()> {
    if positions.len() != out.len() {
        return Err(Error::invalid(format!(
            "{} positions do not fit {} places",
            positions.len(),
            out.len()
        )));
    }
    Ok(())
}

/// That each of `ranges` lies in `0..len` and holds the `k` asked of it.
fn check_each(len: u64, ranges: &[Range<u64>], ks: &[u64]) -> Result<()> {
    if ranges.len() != ks.len() {
        return Err(Error::invalid(format!(
            "{} ranges for {} places in order",
            ranges.len(),
            ks.len()
        )));
    }
    for (range, &k) in ranges.iter().zip(ks) {
        check_ranges(len, std::slice::from_ref(range))?;
        let rows = range.end - range.start;
        if k >= rows {
            return Err(Error::OutOfRange {
                what: "smallest code",
                position: k,
                end: rows,
            });
        }
    }
    Ok(())
}

/// Positions in `ranges`.
fn count_rows(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|range| range.end - range.start).sum()
}
