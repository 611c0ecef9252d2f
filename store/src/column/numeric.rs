//! Keys at code positions: a domain, codes, statistics, and the exceptions that the domain leaves.
//!
//! Every question is asked of codes and put right by the exceptions, which are a column of this kind themselves (in
//! row order, over a domain that leaves none), so they answer the same questions in value order.

use std::ops::Range;

use super::exceptions::Exceptions;
use super::statistics::{self, FloatSum, Statistics, Summands};
use super::{Hints, Sum};
use crate::codes::choose::Layout;
use crate::codes::{self, Codes, CodesKind, Interval};
use crate::domain::choose::{self, Coded};
use crate::domain::decimal::{Grid, POWERS};
use crate::domain::dictionary::Dictionary;
use crate::domain::{Domain, DomainKind, integer_of};
use crate::error::Result;
use crate::rows::Mask;
use crate::schema::ColumnType;
use crate::section::Section;
use crate::value::number_of;

/// Codes decoded at a time where only a few are needed.
const CHUNK: usize = 1024;

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
    encode_coded(ty, keys, choose::encode(ty, keys, hints), hints.layout)
}

/// Encodes `keys` that a domain was chosen for.
pub(crate) fn encode_coded(ty: ColumnType, keys: &[u64], coded: Coded, wish: Layout) -> Result<Encoded> {
    let Coded {
        kind,
        header,
        codes,
        exceptions,
    } = coded;
    let mut domain = header;
    let statistics = if kind.has_grid() && sums_exactly(ty, kind) {
        let (grid, _) = Grid::open(&Section::from_vec(domain.clone()))?;
        let mut units: Vec<u64> = codes.iter().map(|&code| grid.unit(code)).collect();
        for &(place, _) in &exceptions {
            if let Some(unit) = usize::try_from(place).ok().and_then(|place| units.get_mut(place)) {
                *unit = 0;
            }
        }
        statistics::encode(&codes, statistics::STEP_BITS, &Summands::Weights(&|p| units[p]))
    } else if ty.is_float() {
        statistics::encode(
            &codes,
            statistics::STEP_BITS,
            &Summands::Floats(&|p| number_of(ty, keys[p])),
        )
    } else if kind == DomainKind::Dictionary {
        let base = keys.iter().copied().min().unwrap_or(0);
        statistics::encode(
            &codes,
            statistics::STEP_BITS,
            &Summands::Weights(&|p| keys[p] - base),
        )
    } else {
        statistics::encode(&codes, statistics::STEP_BITS, &Summands::Weights(&|p| codes[p]))
    };
    if !exceptions.is_empty() {
        super::exceptions::encode(ty, &exceptions, codes.len() as u64, &mut domain)?;
    }
    let (codes_kind, codes) = codes::choose::encode(&codes, wish);
    Ok(Encoded {
        kind,
        domain,
        codes_kind,
        codes,
        statistics,
    })
}

/// Whether sums are kept as exact totals. The decimal of a 32-bit float is too far from its value to be summed instead.
fn sums_exactly(ty: ColumnType, kind: DomainKind) -> bool {
    !ty.is_float() || kind.has_grid() && ty == ColumnType::F64
}

/// The read side.
#[derive(Debug)]
pub(crate) struct Numeric {
    ty: ColumnType,
    kind: DomainKind,
    domain: Domain,
    domain_bytes: u64,
    codes_bytes: u64,
    codes: Box<dyn Codes>,
    statistics: Statistics,
    exceptions: Option<Exceptions>,
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
            .filter(|kind| !(nested && kind.has_grid()))
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
        let exceptions = if kind.has_grid() {
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

    /// Smallest and largest key at `ranges`.
    pub(crate) fn min_max(&self, ranges: &[Range<u64>]) -> Result<Option<(u64, u64)>> {
        if self.exceptions.is_some() {
            let total: u64 = ranges.iter().map(|r| r.end.saturating_sub(r.start)).sum();
            return match total.checked_sub(1) {
                None => Ok(None),
                Some(last) => Ok(Some((self.quantile(ranges, 0)?, self.quantile(ranges, last)?))),
            };
        }
        match self.codes.min_max(ranges)? {
            None => Ok(None),
            Some((low, high)) => Ok(Some((self.domain.key(low)?, self.domain.key(high)?))),
        }
    }

    /// Keys that no key of `range` is below or above.
    pub(crate) fn key_bounds(&self, range: Range<u64>) -> Result<Option<(u64, u64)>> {
        let bits = self.statistics.step_bits();
        let mut codes: Option<Interval> = None;
        for block in range.start >> bits..range.end.div_ceil(1 << bits) {
            let (low, high) = self.statistics.bounds(block)?;
            let so_far = codes.get_or_insert(Interval { low, high });
            *so_far = Interval {
                low: so_far.low.min(low),
                high: so_far.high.max(high),
            };
        }
        let Some(codes) = codes else { return Ok(None) };
        if self.exceptions.is_some() {
            let keys = self.exception_keys(codes)?;
            return Ok(Some((keys.low, keys.high)));
        }
        Ok(Some((self.domain.key(codes.low)?, self.domain.key(codes.high)?)))
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

    /// Sum of the values at `ranges`.
    pub(crate) fn sum(&self, ranges: &[Range<u64>]) -> Result<Sum> {
        if !self.statistics.is_exact() {
            return Ok(Sum::Float(self.float_sum(ranges)?.value()));
        }
        let mut weight = 0u128;
        let mut count = 0u64;
        for range in ranges {
            weight = weight.wrapping_add(self.weight(range.clone())?);
            count += range.end.saturating_sub(range.start);
        }
        let weight = weight as i128;
        match &self.domain {
            Domain::Steps(steps) => {
                let base = integer_of(self.ty, steps.base).wrapping_mul(i128::from(count));
                Ok(Sum::Integer(
                    weight.wrapping_mul(i128::from(steps.step)).wrapping_add(base),
                ))
            }
            Domain::Dictionary(dictionary) => {
                let base = integer_of(self.ty, dictionary.key(0)?).wrapping_mul(i128::from(count));
                Ok(Sum::Integer(weight.wrapping_add(base)))
            }
            Domain::Grid(grid) => {
                let beside = match &self.exceptions {
                    None => FloatSum::default(),
                    Some(exceptions) => {
                        count = count.saturating_sub(exceptions.count_all(ranges)?);
                        exceptions.float_sum(ranges)?
                    }
                };
                let units = weight.wrapping_mul(i128::from(grid.step));
                let number = i128::from(grid.origin)
                    .wrapping_mul(i128::from(count))
                    .wrapping_add(units);
                let finite = number as f64 / POWERS[usize::from(grid.digits) % POWERS.len()];
                Ok(Sum::Float(FloatSum { finite, flags: 0 }.add(beside).value()))
            }
        }
    }

    /// Sum of the floats at `ranges` (tree statistics).
    pub(crate) fn float_sum(&self, ranges: &[Range<u64>]) -> Result<FloatSum> {
        let bits = u32::from(self.statistics.step_bits());
        let mut total = FloatSum::default();
        for range in ranges {
            let (low, high) = (range.start.div_ceil(1 << bits), range.end >> bits);
            total = total.add(if low >= high {
                self.float_scan(range.clone())?
            } else {
                let left = self.float_scan(range.start..low << bits)?;
                left.add(self.statistics.float_sum(low, high)?)
                    .add(self.float_scan(high << bits..range.end)?)
            });
        }
        Ok(total)
    }

    fn float_scan(&self, range: Range<u64>) -> Result<FloatSum> {
        let mut sum = FloatSum::default();
        let mut keys = [0u64; CHUNK];
        let mut start = range.start;
        while start < range.end {
            let end = range.end.min(start + CHUNK as u64);
            let keys = keys
                .get_mut(..usize::try_from(end - start).unwrap_or(CHUNK))
                .unwrap_or_default();
            self.decode(start..end, keys)?;
            keys.iter().for_each(|&key| sum.push(number_of(self.ty, key)));
            start = end;
        }
        Ok(sum)
    }

    /// Total weight of a range (exact statistics).
    fn weight(&self, range: Range<u64>) -> Result<u128> {
        let bits = u32::from(self.statistics.step_bits());
        if range.end - range.start <= 1 << bits {
            return self.weight_scan(range);
        }
        Ok(self
            .weight_before(range.end, bits)?
            .wrapping_sub(self.weight_before(range.start, bits)?))
    }

    /// Total weight before `position`, from the nearer border of its block.
    fn weight_before(&self, position: u64, bits: u32) -> Result<u128> {
        let block = position >> bits;
        let (start, end) = (block << bits, ((block + 1) << bits).min(self.len()));
        if position - start <= end.saturating_sub(position) {
            Ok(self
                .statistics
                .total(block)?
                .wrapping_add(self.weight_scan(start..position)?))
        } else {
            Ok(self
                .statistics
                .total(block + 1)?
                .wrapping_sub(self.weight_scan(position..end)?))
        }
    }

    fn weight_scan(&self, range: Range<u64>) -> Result<u128> {
        let mut sum = 0u128;
        let base = if let Domain::Dictionary(dictionary) = &self.domain {
            dictionary.key(0)?
        } else {
            0
        };
        self.chunks(range.clone(), |_, codes| {
            let add = |sum: &mut u128, weight: u64| *sum = sum.wrapping_add(u128::from(weight));
            match &self.domain {
                Domain::Steps(_) => codes.iter().for_each(|&code| add(&mut sum, code)),
                Domain::Grid(grid) => codes.iter().for_each(|&code| add(&mut sum, grid.unit(code))),
                Domain::Dictionary(dictionary) => {
                    Dictionary::keys(dictionary, codes)?;
                    codes
                        .iter()
                        .for_each(|&key| add(&mut sum, key.wrapping_sub(base)));
                }
            }
            Ok(())
        })?;
        if let (Some(exceptions), Domain::Grid(grid)) = (&self.exceptions, &self.domain) {
            // They weigh nothing, but were added by the code they share.
            exceptions.for_each(range, |_, key| {
                sum = sum.wrapping_sub(u128::from(grid.unit(grid.at_most(key).unwrap_or(0))));
            })?;
        }
        Ok(sum)
    }

    /// Calls `each` with the first position and the codes of pieces of `range`.
    fn chunks(&self, range: Range<u64>, mut each: impl FnMut(u64, &mut [u64]) -> Result<()>) -> Result<()> {
        let mut buffer = [0u64; CHUNK];
        let mut start = range.start;
        while start < range.end {
            let end = range.end.min(start + CHUNK as u64);
            let codes = buffer
                .get_mut(..usize::try_from(end - start).unwrap_or(CHUNK))
                .unwrap_or_default();
            self.codes.decode(start..end, codes)?;
            each(start, codes)?;
            start = end;
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
