//! What one token has to be, and which rows of a column have such a token.

use std::cell::OnceCell;
use std::ops::Range;

use super::checksum;
use super::digits::Digits;
use super::list::List;
use super::read::{Column, Exceptions, Model, Root, Table};
use super::sequence::Sequence;
use crate::codes::Interval;
use crate::error::Result;
use crate::rows::Mask;

/// How a token is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It is the test's bytes.
    Equals,
    /// It starts with them.
    Starts,
    /// It ends with them.
    Ends,
    /// It contains them.
    Contains,
}

/// Numbers of the dictionary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ids {
    /// Consecutive.
    Range(Range<u64>),
    /// Increasing.
    Set(Vec<u64>),
}

impl Ids {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        match self {
            Ids::Range(range) => range.is_empty(),
            Ids::Set(set) => set.is_empty(),
        }
    }

    /// Adds `first` to all of them.
    pub fn shift(&mut self, first: u64) {
        match self {
            Ids::Range(range) => *range = range.start + first..range.end + first,
            Ids::Set(set) => set.iter_mut().for_each(|id| *id += first),
        }
    }

    /// These and `others`, which are all larger.
    pub fn before(self, others: Ids) -> Ids {
        match (self, others) {
            (ids, others) if others.is_empty() => ids,
            (ids, others) if ids.is_empty() => others,
            (ids, others) => {
                let mut all = ids.into_set();
                all.extend(others.into_set());
                Ids::Set(all)
            }
        }
    }

    fn into_set(self) -> Vec<u64> {
        match self {
            Ids::Range(range) => range.collect(),
            Ids::Set(set) => set,
        }
    }

    /// Whether `id` is one.
    pub fn contains(&self, id: u64) -> bool {
        match self {
            Ids::Range(range) => range.contains(&id),
            Ids::Set(set) => set.binary_search(&id).is_ok(),
        }
    }
}

/// A condition on one token.
#[derive(Debug)]
pub struct Test {
    /// How it is compared.
    pub fit: Fit,
    /// With what.
    pub bytes: Vec<u8>,
    /// Whether ASCII letters are compared without case.
    pub ignore_case: bool,
    ids: OnceCell<Ids>,
}

impl Test {
    /// A condition; case is ignored only where there are letters.
    pub fn new(fit: Fit, bytes: &[u8], ignore_case: bool) -> Self {
        Test {
            fit,
            bytes: bytes.to_vec(),
            ignore_case: ignore_case && bytes.iter().any(u8::is_ascii_alphabetic),
            ids: OnceCell::new(),
        }
    }

    /// How much the test rules out, more or less.
    pub fn strength(&self) -> usize {
        let whole = match self.fit {
            Fit::Equals => 6,
            Fit::Starts => 1,
            Fit::Ends | Fit::Contains => 0,
        };
        self.bytes.len() * 2 + whole
    }

    /// Whether the dictionary is searched in a few steps.
    pub fn is_cheap(&self) -> bool {
        matches!(self.fit, Fit::Equals | Fit::Starts) || (!self.ignore_case && self.bytes.len() >= 4)
    }

    /// Whether `token` passes.
    pub fn passes(&self, token: &[u8]) -> bool {
        let length = self.bytes.len();
        let same = |part: &[u8]| {
            if self.ignore_case {
                part.eq_ignore_ascii_case(&self.bytes)
            } else {
                part == self.bytes
            }
        };
        match self.fit {
            Fit::Equals => same(token),
            Fit::Starts => token.get(..length).is_some_and(same),
            Fit::Ends => token.len() >= length && token.get(token.len() - length..).is_some_and(same),
            Fit::Contains if self.ignore_case => token.windows(length.max(1)).any(same),
            Fit::Contains => memchr::memmem::find(token, &self.bytes).is_some(),
        }
    }

    /// Numbers of the dictionary's strings that pass.
    pub fn ids(&self, model: &Model) -> Result<&Ids> {
        if let Some(ids) = self.ids.get() {
            return Ok(ids);
        }
        let ids = model.dictionary.find(self)?;
        Ok(self.ids.get_or_init(|| ids))
    }
}

/// Codes that pass a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodeSet {
    /// Consecutive.
    Interval(Interval),
    /// Increasing, more than one.
    Sorted(Vec<u64>),
    /// One bit a code.
    Bits(Vec<u64>),
}

impl CodeSet {
    /// The set of `codes`, which increase.
    fn of(codes: Vec<u64>, count: u64) -> CodeSet {
        match (codes.first(), codes.last()) {
            (Some(&low), Some(&high)) if high.wrapping_sub(low) == codes.len() as u64 - 1 => {
                CodeSet::Interval(Interval { low, high })
            }
            (None, _) => CodeSet::Interval(Interval::NONE),
            _ if count <= 1 << 16 => {
                let mut bits = vec![0u64; count.div_ceil(64) as usize];
                for code in codes {
                    if let Some(word) = bits.get_mut((code / 64) as usize) {
                        *word |= 1 << (code % 64);
                    }
                }
                CodeSet::Bits(bits)
            }
            _ => CodeSet::Sorted(codes),
        }
    }

    #[inline]
    fn contains(&self, code: u64) -> bool {
        match self {
            CodeSet::Interval(interval) => interval.contains(code),
            CodeSet::Sorted(codes) => codes.binary_search(&code).is_ok(),
            CodeSet::Bits(bits) => bits
                .get((code / 64) as usize)
                .is_some_and(|word| word >> (code % 64) & 1 == 1),
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, CodeSet::Interval(interval) if interval.is_empty())
    }

    fn len(&self) -> u64 {
        match self {
            CodeSet::Interval(interval) if interval.is_empty() => 0,
            CodeSet::Interval(interval) => (interval.high - interval.low).saturating_add(1),
            CodeSet::Sorted(codes) => codes.len() as u64,
            CodeSet::Bits(bits) => bits.iter().map(|word| u64::from(word.count_ones())).sum(),
        }
    }
}

/// Which rows of a column pass, but for exceptions.
#[derive(Debug)]
enum Base<'m> {
    /// Codes that pass, and how many distinct ones there are.
    Codes(&'m Sequence, CodeSet, u64),
    Number(Digits<'m>),
    Alias(Box<Plan<'m>>),
    /// The column is written, row by row; no row passes if there is no test.
    Written(u32, Option<Test>),
}

/// Which rows of a column pass a test.
#[derive(Debug)]
pub struct Plan<'m> {
    model: &'m Model,
    bits: &'m [u8],
    base: Base<'m>,
    exceptions: Option<(Exceptions, Vec<bool>)>,
}

impl<'m> Plan<'m> {
    /// Plans a test of `column`.
    pub fn new(model: &'m Model, column: u32, test: &Test) -> Result<Plan<'m>> {
        Plan::of(model, column, test, true)
    }

    fn of(model: &'m Model, number: u32, test: &Test, alias: bool) -> Result<Plan<'m>> {
        let bits = model.bits()?;
        let column = model.column(number)?;
        let wrong = || model.corrupt("a column makes no sense");
        let base = match &column.root {
            Root::Alias(parent) if alias => Base::Alias(Box::new(Plan::of(model, *parent, test, false)?)),
            Root::Alias(_) => return Err(wrong()),
            Root::Number(form, fields) => Base::Number(Digits::new(form, fields, bits, test)),
            Root::Checksum(_) => {
                let may = checksum::may_pass(test);
                Base::Written(
                    number,
                    may.then(|| Test::new(test.fit, &test.bytes, test.ignore_case)),
                )
            }
            Root::Global(codes) => {
                let set = match test.ids(model)? {
                    Ids::Range(range) => interval(range.clone()),
                    Ids::Set(set) => CodeSet::of(set.clone(), model.universe()),
                };
                Base::Codes(codes, set, model.universe())
            }
            Root::Local(values, codes) => {
                let found = codes_of(values, bits, test.ids(model)?);
                Base::Codes(codes, found.ok_or_else(wrong)?, values.len())
            }
            Root::Function(parent, table) => {
                let Root::Local(_, codes) = &model.column(*parent)?.root else {
                    return Err(wrong());
                };
                let found = codes_before(table, bits, test.ids(model)?);
                Base::Codes(codes, found.ok_or_else(wrong)?, table.len)
            }
        };
        let exceptions = match &column.exceptions {
            None => None,
            Some(exceptions) => Some((*exceptions, outcomes(model, bits, column, exceptions, test)?)),
        };
        Ok(Plan {
            model,
            bits,
            base,
            exceptions,
        })
    }

    /// Whether no row can pass.
    pub fn is_never(&self) -> bool {
        let base = match &self.base {
            Base::Codes(_, set, _) => set.is_empty(),
            Base::Number(digits) => digits.is_never(),
            Base::Alias(plan) => plan.is_never(),
            Base::Written(_, test) => test.is_none(),
        };
        base && self
            .exceptions
            .as_ref()
            .is_none_or(|(_, outcomes)| !outcomes.contains(&true))
    }

    /// About how many of `rows` rows pass, by which plans are put in order.
    pub fn expected(&self, rows: u64) -> u64 {
        match &self.base {
            Base::Codes(codes, set, distinct) => {
                codes.expected(set.len(), *distinct, |code| set.contains(code))
            }
            Base::Number(digits) => digits.expected(rows),
            Base::Alias(plan) => plan.expected(rows),
            // Not few, so that what costs less is asked first.
            Base::Written(..) => rows,
        }
    }

    fn wrong(&self) -> crate::error::Error {
        self.model.corrupt("codes of a column make no sense")
    }

    /// How many rows of `rows` pass, where that is less work than naming them.
    pub fn count(&self, rows: Range<u64>) -> Result<Option<u64>> {
        match (&self.base, &self.exceptions) {
            (Base::Codes(codes, set, _), None) => {
                let count = match set {
                    CodeSet::Interval(interval) => codes.count(self.bits, rows, *interval)?,
                    set => codes.count_where(self.bits, rows, |code| set.contains(code))?,
                };
                count.map(Some).ok_or_else(|| self.wrong())
            }
            (Base::Number(digits), None) => match digits.count(self.bits, rows) {
                Some(count) => count?.map(Some).ok_or_else(|| self.wrong()),
                None => Ok(None),
            },
            (Base::Alias(plan), None) => plan.count(rows),
            _ => Ok(None),
        }
    }

    /// Whether row `row` of the template passes.
    pub fn passes(&self, row: u64) -> Result<bool> {
        if let Some((exceptions, outcomes)) = &self.exceptions {
            let place = exceptions.rows.find(self.bits, row).ok_or_else(|| self.wrong())?;
            if let Some(place) = place {
                return Ok(outcomes.get(place as usize).copied().unwrap_or(false));
            }
        }
        match &self.base {
            Base::Codes(codes, set, _) => {
                let code = codes.get(self.bits, row)?.ok_or_else(|| self.wrong())?;
                Ok(set.contains(code))
            }
            Base::Number(digits) => digits.passes(self.bits, row)?.ok_or_else(|| self.wrong()),
            Base::Alias(plan) => plan.passes(row),
            Base::Written(_, None) => Ok(false),
            Base::Written(column, Some(test)) => {
                let mut token = Vec::new();
                self.model.value(None, self.bits, *column, row, &mut token)?;
                Ok(test.passes(&token))
            }
        }
    }

    /// Sets the bits of the rows of `rows` that pass.
    pub fn mark(&self, rows: Range<u64>, mask: &mut Mask) -> Result<()> {
        match &self.base {
            Base::Codes(_, set, _) if set.is_empty() => {}
            Base::Codes(codes, CodeSet::Interval(interval), _) => {
                codes
                    .select(self.bits, rows.clone(), *interval, mask)?
                    .ok_or_else(|| self.wrong())?;
            }
            Base::Codes(codes, set, _) => {
                codes
                    .select_where(self.bits, rows.clone(), |code| set.contains(code), mask)?
                    .ok_or_else(|| self.wrong())?;
            }
            Base::Number(digits) => {
                digits
                    .mark(self.bits, rows.clone(), mask)?
                    .ok_or_else(|| self.wrong())?;
            }
            Base::Alias(plan) => plan.mark(rows.clone(), mask)?,
            Base::Written(_, None) => {}
            Base::Written(column, Some(test)) => {
                let mut token = Vec::new();
                for (place, row) in rows.clone().enumerate() {
                    token.clear();
                    self.model.value(None, self.bits, *column, row, &mut token)?;
                    if place < mask.len() && test.passes(&token) {
                        mask.set(place, true);
                    }
                }
            }
        }
        if let Some((exceptions, outcomes)) = &self.exceptions {
            let mut place = || {
                let first = exceptions.rows.below(self.bits, rows.start)?;
                let last = exceptions.rows.below(self.bits, rows.end)?;
                for index in first..last {
                    let row = exceptions.rows.get(self.bits, index)?.checked_sub(rows.start)? as usize;
                    if row < mask.len() {
                        mask.set(row, *outcomes.get(index as usize)?);
                    }
                }
                Some(())
            };
            place().ok_or_else(|| self.wrong())?;
        }
        Ok(())
    }
}

/// Places of `ids` in a list of dictionary numbers.
fn codes_of(values: &List, bits: &[u8], ids: &Ids) -> Option<CodeSet> {
    Some(match ids {
        Ids::Range(range) if range.is_empty() => interval(0..0),
        Ids::Range(range) => {
            let start = values.below(bits, range.start)?;
            let end = if range.end - range.start == 1 && start < values.len() {
                start + u64::from(values.get(bits, start)? == range.start)
            } else {
                values.below(bits, range.end)?
            };
            interval(start..end)
        }
        Ids::Set(set) if (set.len() as u64) * 8 < values.len() => {
            let mut codes = Vec::new();
            for &id in set {
                codes.extend(values.find(bits, id)?);
            }
            CodeSet::of(codes, values.len())
        }
        Ids::Set(set) => {
            let mut codes = Vec::new();
            let mut code = 0;
            values.each(bits, |id| {
                if set.binary_search(&id).is_ok() {
                    codes.push(code);
                }
                code += 1;
            })?;
            CodeSet::of(codes, values.len())
        }
    })
}

/// Codes for which a table tells one of `ids`.
fn codes_before(table: &Table, bits: &[u8], ids: &Ids) -> Option<CodeSet> {
    let mut codes = Vec::new();
    match &table.values {
        Some(values) => {
            // The table is only passed over if one of its values is wanted.
            let wanted = codes_of(values, bits, ids)?;
            if !wanted.is_empty() {
                for code in 0..table.len {
                    if wanted.contains(table.entry(bits, code)?) {
                        codes.push(code);
                    }
                }
            }
        }
        None if ids.is_empty() => {}
        None => {
            for code in 0..table.len {
                if ids.contains(table.entry(bits, code)?) {
                    codes.push(code);
                }
            }
        }
    }
    Some(CodeSet::of(codes, table.len))
}

fn interval(range: Range<u64>) -> CodeSet {
    CodeSet::Interval(if range.is_empty() {
        Interval::NONE
    } else {
        Interval {
            low: range.start,
            high: range.end - 1,
        }
    })
}

fn outcomes(
    model: &Model,
    bits: &[u8],
    column: &Column,
    exceptions: &Exceptions,
    test: &Test,
) -> Result<Vec<bool>> {
    debug_assert!(column.exceptions.is_some());
    let ids = test.ids(model)?;
    let mut outcomes = Vec::new();
    for index in 0..exceptions.rows.len() {
        let id = model
            .exception_value(bits, exceptions, index)
            .ok_or_else(|| model.corrupt("exceptions make no sense"))?;
        outcomes.push(ids.contains(id));
    }
    Ok(outcomes)
}
