//! Keys at code positions: a domain, codes, statistics, and the exceptions that the domain leaves.
//!
//! Every question is asked of codes and put right by the exceptions, which are a column of this kind themselves (in
//! row order, over a domain that leaves none), so they answer the same questions in value order.

use std::borrow::Cow;
use std::ops::Range;

use super::Hints;
use super::exceptions::Exceptions;
use super::moments::add_weights;
use super::statistics::{self, Shape, Statistics, Summands};
use crate::codes::{self, Codes, CodesKind, Interval};
use crate::domain::choose::{self, Coded};
use crate::domain::decimal::{Grid, HEADER_BYTES as GRID_BYTES};
use crate::domain::{Domain, DomainKind};
use crate::error::Result;
use crate::rows::{Mask, index};
use crate::schema::ColumnType;
use crate::section::Section;
use crate::value::number_of;

/// What running sums finer than blocks may cost: one bit for that many bits of codes.
const STATISTICS_SHARE: u64 = 100;

/// The bytes of a numeric column.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) kind: DomainKind,
    pub(crate) domain: Vec<u8>,
    pub(crate) codes_kind: CodesKind,
    pub(crate) codes: Vec<u8>,
    pub(crate) statistics: Vec<u8>,
}

/// Encodes `keys` in the domain that suits them.
pub(crate) fn encode(ty: ColumnType, keys: &[u64], hints: &Hints) -> Result<Encoded> {
    encode_coded(ty, keys, choose::encode(ty, keys, hints.digits), hints)
}

/// Encodes `keys` that a domain was chosen for.
pub(crate) fn encode_coded(ty: ColumnType, keys: &[u64], coded: Coded, hints: &Hints) -> Result<Encoded> {
    let Coded {
        kind,
        header,
        codes,
        exceptions,
    } = coded;
    let mut domain = header;
    if !exceptions.is_empty() {
        super::exceptions::encode(ty, &exceptions, codes.len() as u64, &mut domain)?;
    }
    let (codes_kind, encoded) = codes::choose::encode(&codes, hints.layout);
    let shape = match hints.step_bits {
        Some(bits) => Shape::Step(bits),
        // Other layouts decode a block about as fast as they find a step.
        None if codes_kind == CodesKind::Wavelet => {
            Shape::Budget(encoded.len() as u64 * 8 / STATISTICS_SHARE)
        }
        None => Shape::Step(statistics::BLOCK_BITS),
    };
    let statistics = summarize(ty, keys, kind, &domain, &codes, &exceptions, shape)?;
    Ok(Encoded {
        kind,
        domain,
        codes_kind,
        codes: encoded,
        statistics,
    })
}

fn summarize(
    ty: ColumnType,
    keys: &[u64],
    kind: DomainKind,
    domain: &[u8],
    codes: &[u64],
    exceptions: &[(u64, u64)],
    shape: Shape,
) -> Result<Vec<u8>> {
    if !sums_exactly(ty, kind) {
        let values: Vec<f64> = keys.iter().map(|&key| number_of(ty, key)).collect();
        return Ok(statistics::encode(
            codes,
            exceptions,
            &Summands::Floats(&values),
            shape,
        ));
    }
    let weights: Cow<'_, [u64]> = if kind.has_grid() {
        let (grid, _) = Grid::open(&Section::from_vec(
            domain.iter().take(index(GRID_BYTES)).copied().collect(),
        ))?;
        grid.units(codes)
    } else if kind == DomainKind::Dictionary {
        let base = keys.iter().copied().min().unwrap_or(0);
        Cow::Owned(keys.iter().map(|key| key - base).collect())
    } else {
        Cow::Borrowed(codes)
    };
    if exceptions.is_empty() {
        let summands = Summands::Weights(&weights, 0);
        return Ok(statistics::encode(codes, exceptions, &summands, shape));
    }
    // Exceptions weigh what the others do on average: totals stay close to their lines.
    let mut weights = weights.into_owned();
    let places = || exceptions.iter().filter_map(|e| usize::try_from(e.0).ok());
    let theirs: u128 = places()
        .filter_map(|place| weights.get(place))
        .map(|&w| u128::from(w))
        .sum();
    let others = (weights.len() - exceptions.len()).max(1) as u128;
    let blank = u64::try_from((add_weights(&weights) - theirs) / others).unwrap_or(0);
    for place in places() {
        if let Some(weight) = weights.get_mut(place) {
            *weight = blank;
        }
    }
    let summands = Summands::Weights(&weights, blank);
    Ok(statistics::encode(codes, exceptions, &summands, shape))
}

/// Whether sums are kept as exact totals. The decimal of a 32-bit float, kept as such or widened, is too far from its
/// value to be summed instead.
fn sums_exactly(ty: ColumnType, kind: DomainKind) -> bool {
    !ty.is_float() || kind.has_grid() && kind != DomainKind::Single && ty == ColumnType::F64
}

/// The read side.
#[derive(Debug)]
pub(crate) struct Numeric {
    pub(super) ty: ColumnType,
    kind: DomainKind,
    pub(super) domain: Domain,
    domain_bytes: u64,
    codes_bytes: u64,
    pub(super) codes: Box<dyn Codes>,
    pub(super) statistics: Statistics,
    pub(super) exceptions: Option<Exceptions>,
}

/// The sections of a numeric column.
pub(crate) struct Sections {
    pub(crate) kind: u16,
    pub(crate) domain: Section,
    pub(crate) codes_kind: u16,
    pub(crate) codes: Section,
    pub(crate) statistics: Section,
}

impl Numeric {
    /// Opens `len` keys. `nested` columns may not have exceptions of their own.
    pub(crate) fn open(ty: ColumnType, len: u64, sections: Sections, nested: bool) -> Result<Numeric> {
        let Sections {
            kind,
            domain,
            codes_kind,
            codes,
            statistics,
        } = sections;
        let kind = DomainKind::from_code(kind)
            .filter(|kind| !(nested && kind.has_exceptions()))
            .ok_or_else(|| domain.corrupt(0, format!("domain {kind} is unknown or has no place here")))?;
        let codes_kind = CodesKind::from_code(codes_kind)
            .ok_or_else(|| codes.corrupt(0, format!("code layout {codes_kind} is unknown")))?;
        let (opened, count) = Domain::open(kind, ty, domain.clone())?;
        if count != len {
            return Err(domain.corrupt(0, format!("{count} codes, where the segment has {len} values")));
        }
        let statistics = Statistics::open(statistics, len, sums_exactly(ty, kind))?;
        let codes_bytes = codes.len();
        let read = codes::open(codes_kind, codes.clone())?;
        if read.len() != len {
            return Err(codes.corrupt(
                0,
                format!("{} codes, where the segment has {len} values", read.len()),
            ));
        }
        let exceptions = if kind.has_exceptions() {
            Exceptions::open(ty, &domain, len)?
        } else {
            None
        };
        Ok(Numeric {
            ty,
            kind,
            domain: opened,
            domain_bytes: domain.len(),
            codes_bytes,
            codes: read,
            statistics,
            exceptions,
        })
    }

    /// Number of keys.
    pub(crate) fn len(&self) -> u64 {
        self.codes.len()
    }

    /// The codes.
    pub(crate) fn codes(&self) -> &dyn Codes {
        &*self.codes
    }

    /// The domain.
    pub(crate) fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Number and parameters of the domain.
    pub(crate) fn kind(&self) -> DomainKind {
        self.kind
    }

    /// The exceptions, if there are any.
    pub(crate) fn exceptions(&self) -> Option<&Exceptions> {
        self.exceptions.as_ref()
    }

    /// Codes whose own keys lie in `keys`.
    pub(crate) fn code_interval(&self, keys: Interval) -> Result<Interval> {
        if keys.is_empty() {
            return Ok(Interval::NONE);
        }
        Ok(
            match (self.domain.at_least(keys.low)?, self.domain.at_most(keys.high)?) {
                (Some(low), Some(high)) => Interval { low, high },
                _ => Interval::NONE,
            },
        )
    }

    /// Keys that an exception with a code in `codes` can have.
    fn exception_keys(&self, codes: Interval) -> Result<Interval> {
        if codes.is_empty() {
            return Ok(Interval::NONE);
        }
        let low = if codes.low == 0 {
            0
        } else {
            self.domain.key(codes.low)?
        };
        let high = match self.domain.next(codes.high) {
            Some(next) => self.domain.key(next)?.saturating_sub(1),
            None => u64::MAX,
        };
        Ok(Interval { low, high })
    }

    /// How many keys at `ranges` lie in `keys`.
    pub(crate) fn count(&self, ranges: &[Range<u64>], keys: Interval) -> Result<u64> {
        if keys.is_empty() || ranges.is_empty() {
            return Ok(0);
        }
        let interval = self.code_interval(keys)?;
        let mut count = if interval.is_empty() {
            0
        } else {
            self.codes.count(ranges, interval)?
        };
        if let Some(exceptions) = &self.exceptions {
            // Exceptions were counted by code; where that interval is not the wanted one, the ends are put right.
            let counted = self.exception_keys(interval)?;
            if counted.is_empty() {
                return Ok(count.saturating_add(exceptions.count(ranges, keys)?));
            }
            let piece =
                |low: u64, high: Option<u64>| high.map_or(Interval::NONE, |high| Interval { low, high });
            let missing = [
                piece(keys.low, counted.low.checked_sub(1)),
                counted
                    .high
                    .checked_add(1)
                    .map_or(Interval::NONE, |low| Interval { low, high: keys.high }),
            ];
            let extra = [
                piece(counted.low, keys.low.checked_sub(1)),
                keys.high.checked_add(1).map_or(Interval::NONE, |low| Interval {
                    low,
                    high: counted.high,
                }),
            ];
            for interval in missing {
                count = count.saturating_add(exceptions.count(ranges, interval)?);
            }
            for interval in extra {
                count = count.saturating_sub(exceptions.count(ranges, interval)?);
            }
        }
        Ok(count)
    }

    /// Sets bit `p - range.start` of `mask` for each key of `range` in `keys`.
    pub(crate) fn select(&self, range: Range<u64>, keys: Interval, mask: &mut Mask) -> Result<()> {
        let interval = self.code_interval(keys)?;
        if !interval.is_empty() {
            self.codes.select(range.clone(), interval, mask)?;
        }
        if let Some(exceptions) = &self.exceptions {
            exceptions.for_each(range.clone(), |place, key| {
                if let Some(mut bit) = usize::try_from(place).ok().and_then(|place| mask.get_mut(place)) {
                    *bit = keys.contains(key);
                }
            })?;
        }
        Ok(())
    }

    /// The `k`-th smallest key at `ranges`.
    pub(crate) fn quantile(&self, ranges: &[Range<u64>], k: u64) -> Result<u64> {
        let (code, smaller) = self.codes.quantile(ranges, k)?;
        let own = self.domain.key(code)?;
        let Some(exceptions) = &self.exceptions else {
            return Ok(own);
        };
        let sharing = self.exception_keys(Interval {
            low: code,
            high: code,
        })?;
        let below = match own.checked_sub(1) {
            Some(high) => Interval {
                low: sharing.low,
                high,
            },
            None => Interval::NONE,
        };
        let rank = k.saturating_sub(smaller);
        let exceptions_below = exceptions.count(ranges, below)?;
        if rank < exceptions_below {
            return exceptions.quantile(ranges, below, rank);
        }
        let above = Interval {
            low: own.saturating_add(1),
            high: sharing.high,
        };
        let exceptions_above = exceptions.count(ranges, above)?;
        if exceptions_above == 0 {
            return Ok(own);
        }
        let total = self.codes.count(
            ranges,
            Interval {
                low: code,
                high: code,
            },
        )?;
        match rank.checked_sub(total.saturating_sub(exceptions_above)) {
            Some(rank) => exceptions.quantile(ranges, above, rank),
            None => Ok(own),
        }
    }

    /// Keys that no key of `range` is below or above.
    pub(crate) fn key_bounds(&self, range: Range<u64>) -> Result<Option<(u64, u64)>> {
        let bits = self.statistics.block_bits();
        let found = self
            .statistics
            .bounds(range.start >> bits, range.end.div_ceil(1 << bits))?;
        let keys = match found {
            Some((low, high)) => Some((self.domain.key(low)?, self.domain.key(high)?)),
            None if range.start < range.end => Some((0, u64::MAX)),
            None => None,
        };
        let Some(exceptions) = &self.exceptions else {
            return Ok(keys);
        };
        let others = exceptions.key_bounds(range)?;
        Ok(match (keys, others) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (keys, others) => keys.or(others),
        })
    }

    /// The keys of `range`, into `out`, which has that many places.
    pub(crate) fn decode(&self, range: Range<u64>, out: &mut [u64]) -> Result<()> {
        self.codes.decode(range.clone(), out)?;
        self.domain.keys(out)?;
        if let Some(exceptions) = &self.exceptions {
            exceptions.for_each(range, |place, key| {
                if let Some(slot) = usize::try_from(place).ok().and_then(|place| out.get_mut(place)) {
                    *slot = key;
                }
            })?;
        }
        Ok(())
    }

    /// Name of the domain with its digits.
    pub(crate) fn domain_name(&self) -> String {
        match &self.domain {
            Domain::Grid(grid) => choose::grid_name(grid),
            _ => self.kind.name().into(),
        }
    }

    /// Decimal digits of the grid, where the domain has one.
    pub(crate) fn digits(&self) -> Option<u8> {
        match &self.domain {
            Domain::Grid(grid) => Some(grid.digits),
            _ => None,
        }
    }

    /// Bits of each part.
    pub(crate) fn parts(&self, prefix: &str, out: &mut Vec<(String, u64)>) {
        let exceptions = self.exceptions.as_ref().map_or(0, Exceptions::size_bytes);
        out.push((
            format!("{prefix}{} domain", self.kind.name()),
            (self.domain_bytes - exceptions) * 8,
        ));
        let mut rest = self.codes_bytes * 8;
        for (name, bits) in self.codes.parts() {
            rest = rest.saturating_sub(bits);
            out.push((format!("{prefix}{} {name}", self.codes.kind().name()), bits));
        }
        if rest > 0 {
            out.push((format!("{prefix}{} rest", self.codes.kind().name()), rest));
        }
        out.push((format!("{prefix}statistics"), self.statistics.size_bits()));
        if let Some(exceptions) = &self.exceptions {
            exceptions.parts(prefix, out);
        }
    }
}
