//! Tests of tokens that are numbers, without writing them where their values decide.
//!
//! A needle is laid on the form of the tokens, at each place of its literals and fields ([`lay`]). That fixes the fields
//! that it covers whole, and leaves the front or back digits of one more ([`check`]). Digits inside a field are looked
//! for by division. Tokens are written where that does not tell: hexadecimal ones, signs, letters in any case.

use std::borrow::Cow;
use std::ops::Range;

use super::filter::{Fit, Test};
use super::number::{Form, Radix};
use super::sequence::Sequence;
use crate::error::Result;
use crate::rows::Mask;

mod check;
mod lay;

use check::Check;
use lay::Laid;

/// What some fields have to be, all of them; fields by number.
type All = Vec<(usize, Check)>;

/// How a token is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    Never,
    Always,
    /// All of one of these have to hold.
    Any(Vec<All>),
    /// Tokens are written.
    Write,
}

/// A test of a number's text.
#[derive(Debug)]
pub struct Digits<'m> {
    /// The form, fields that are the same in all rows being part of the literals.
    form: Cow<'m, Form>,
    fields: Fields<'m>,
    way: Way,
    /// What tokens are compared with if they are written.
    test: Option<Test>,
}

/// The fields of a form.
#[derive(Debug)]
enum Fields<'m> {
    All(&'m [Sequence]),
    /// Without those that are the same in all rows.
    Some(Vec<&'m Sequence>),
}

impl<'m> Fields<'m> {
    fn get(&self, index: usize) -> Option<&'m Sequence> {
        match self {
            Fields::All(fields) => fields.get(index),
            Fields::Some(fields) => fields.get(index).copied(),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &'m Sequence> + '_ {
        (0..).map_while(|index| self.get(index))
    }
}

impl<'m> Digits<'m> {
    /// Plans `test` of tokens of this form.
    pub fn new(form: &'m Form, fields: &'m [Sequence], bits: &[u8], test: &Test) -> Digits<'m> {
        let mut digits = Digits {
            form: Cow::Borrowed(form),
            fields: Fields::All(fields),
            way: Way::Never,
            test: None,
        };
        if !test.ignore_case && !test.bytes.iter().all(|&byte| form.may_have(byte)) {
            return digits;
        }
        if fields.iter().any(|field| field.constant().is_some()) {
            digits.join_constants(form, fields);
        }
        digits.way = digits.way(bits, test);
        if digits.way == Way::Write {
            digits.test = Some(Test::new(test.fit, &test.bytes, test.ignore_case));
        }
        digits
    }

    /// Makes fields that are the same in all rows part of the literals.
    fn join_constants(&mut self, form: &Form, fields: &'m [Sequence]) {
        let mut joined = Form {
            radix: form.radix,
            literals: Vec::new(),
            digits: Vec::new(),
        };
        let mut left = Vec::new();
        let mut literal = Vec::new();
        for (index, field) in fields.iter().enumerate() {
            literal.extend_from_slice(form.literals.get(index).map_or(&[][..], Vec::as_slice));
            let width = form.digits.get(index).copied().unwrap_or(0);
            match field.constant() {
                Some(value) => {
                    let one = Form {
                        radix: form.radix,
                        literals: vec![Vec::new(), Vec::new()],
                        digits: vec![width],
                    };
                    one.write(std::iter::once(value), &mut literal);
                }
                None => {
                    joined.literals.push(std::mem::take(&mut literal));
                    joined.digits.push(width);
                    left.push(field);
                }
            }
        }
        literal.extend_from_slice(form.literals.last().map_or(&[][..], Vec::as_slice));
        joined.literals.push(literal);
        self.form = Cow::Owned(joined);
        self.fields = Fields::Some(left);
    }

    fn way(&self, bits: &[u8], test: &Test) -> Way {
        if self.form.digits.is_empty() {
            let mut token = Vec::new();
            self.form.write(std::iter::empty(), &mut token);
            return if test.passes(&token) {
                Way::Always
            } else {
                Way::Never
            };
        }
        if test.ignore_case {
            return Way::Write;
        }
        if test.fit == Fit::Equals {
            // What cannot be read as the whole form is none of its tokens.
            let mut values = Vec::new();
            return match self.form.read(&test.bytes, &mut values) {
                Some(()) => {
                    let fields = self.fields.iter().zip(values).enumerate();
                    let checks = fields.map(|(index, (field, code))| {
                        Some((index, Check::within([(code, code)], field.bounds(bits))?))
                    });
                    checks
                        .collect::<Option<All>>()
                        .map_or(Way::Never, |all| Way::Any(vec![sorted(all)]))
                }
                None => Way::Never,
            };
        }
        if self.form.radix != Radix::Decimal {
            return self.write_if_possible(test);
        }
        let laid = match test.fit {
            Fit::Starts => self
                .starts(0, 0, &test.bytes)
                .map(|laid| laid.into_iter().collect()),
            Fit::Ends => self.ends(&test.bytes).map(|laid| laid.into_iter().collect()),
            _ => self.contains(bits, &test.bytes),
        };
        laid.map_or_else(|| self.write_if_possible(test), |laid| self.any(bits, laid))
    }

    /// The ways to lay the needle that the fields' bounds allow.
    fn any(&self, bits: &[u8], laid: Vec<Laid>) -> Way {
        let mut any = Vec::new();
        for conditions in laid {
            let checks = conditions.into_iter().map(|(index, condition)| {
                let field = self.fields.get(index)?;
                Some((index, Check::new(condition, field.bounds(bits))?))
            });
            match checks.collect::<Option<All>>() {
                Some(all) if all.is_empty() => return Way::Always,
                Some(all) => any.push(sorted(all)),
                None => {}
            }
        }
        if any.is_empty() { Way::Never } else { Way::Any(any) }
    }

    /// Writing, unless what all tokens start or end with rules them out.
    fn write_if_possible(&self, test: &Test) -> Way {
        let front = self.form.literals.first().map_or(&[][..], Vec::as_slice);
        let back = self.form.literals.last().map_or(&[][..], Vec::as_slice);
        let possible = match test.fit {
            Fit::Starts => front.iter().zip(&test.bytes).all(|(a, b)| a == b),
            Fit::Ends => back
                .iter()
                .rev()
                .zip(test.bytes.iter().rev())
                .all(|(a, b)| a == b),
            _ => {
                let literals: usize = self.form.literals.iter().map(Vec::len).sum();
                test.bytes.len() <= 20 * self.form.digits.len() + literals
            }
        };
        if possible { Way::Write } else { Way::Never }
    }

    /// Whether no token can pass.
    pub fn is_never(&self) -> bool {
        self.way == Way::Never
    }

    /// About how many of `rows` rows pass.
    pub fn expected(&self, rows: u64) -> u64 {
        let one = |all: &All| match all.first() {
            Some((_, Check::Within(_))) => all.first().map_or(rows, |(index, check)| {
                let bounds = self.fields.get(*index).map_or(0, |field| field.span());
                let share = (bounds / check.looseness().max(1)).max(1);
                rows / share.min(1 << 20)
            }),
            _ => rows / 16,
        };
        match &self.way {
            Way::Never => 0,
            Way::Always => rows,
            Way::Any(any) => any.iter().map(one).sum(),
            Way::Write => rows,
        }
    }

    /// How many rows pass, where that is less work than naming them. `None` inside if the bits make no sense.
    pub fn count(&self, bits: &[u8], rows: Range<u64>) -> Option<Result<Option<u64>>> {
        let Way::Any(any) = &self.way else {
            return None;
        };
        let [all] = any.as_slice() else { return None };
        let [(index, Check::Within(intervals))] = all.as_slice() else {
            return None;
        };
        let (field, [only]) = (self.fields.get(*index)?, intervals.as_slice()) else {
            return None;
        };
        Some(field.count(bits, rows, *only))
    }

    /// Whether the token of a row passes. `None` inside if the bits make no sense.
    pub fn passes(&self, bits: &[u8], row: u64) -> Result<Option<bool>> {
        match &self.way {
            Way::Never => Ok(Some(false)),
            Way::Always => Ok(Some(true)),
            Way::Any(any) => {
                for all in any {
                    let mut holds = true;
                    for (index, check) in all {
                        let Some(field) = self.fields.get(*index) else {
                            return Ok(None);
                        };
                        let Some(code) = field.get(bits, row)? else {
                            return Ok(None);
                        };
                        if !check.holds(code) {
                            holds = false;
                            break;
                        }
                    }
                    if holds {
                        return Ok(Some(true));
                    }
                }
                Ok(Some(false))
            }
            Way::Write => {
                let mut values = Vec::with_capacity(self.form.digits.len());
                for field in self.fields.iter() {
                    match field.get(bits, row)? {
                        Some(value) => values.push(value),
                        None => return Ok(None),
                    }
                }
                let mut token = Vec::new();
                self.form.write(values.iter().copied(), &mut token);
                Ok(Some(self.test.as_ref().is_some_and(|test| test.passes(&token))))
            }
        }
    }

    /// Sets the bits of the rows whose token passes. `None` inside if the bits make no sense.
    pub fn mark(&self, bits: &[u8], rows: Range<u64>, mask: &mut Mask) -> Result<Option<()>> {
        let any = match &self.way {
            Way::Never => return Ok(Some(())),
            Way::Always => {
                mask.fill(true);
                return Ok(Some(()));
            }
            Way::Write => return self.write(bits, rows, mask),
            Way::Any(any) => any,
        };
        for all in any {
            let mut found: Option<Mask> = None;
            for (index, check) in all {
                let Some(field) = self.fields.get(*index) else {
                    return Ok(None);
                };
                let selected = if let Some(found) = &mut found {
                    let few = found.count_ones();
                    if few == 0 {
                        break;
                    }
                    let mut other = Mask::repeat(false, found.len());
                    let selected = check.select(field, bits, rows.clone(), &mut other)?;
                    *found &= other;
                    selected
                } else if all.len() == 1 {
                    check.select(field, bits, rows.clone(), mask)?
                } else {
                    let first = found.insert(Mask::repeat(false, mask.len()));
                    check.select(field, bits, rows.clone(), first)?
                };
                if selected.is_none() {
                    return Ok(None);
                }
            }
            if let Some(found) = found {
                *mask |= found;
            }
        }
        Ok(Some(()))
    }

    fn write(&self, bits: &[u8], rows: Range<u64>, mask: &mut Mask) -> Result<Option<()>> {
        let mut columns = vec![Vec::new(); self.form.digits.len()];
        for (field, values) in self.fields.iter().zip(&mut columns) {
            if field.decode(bits, rows.clone(), values)?.is_none() {
                return Ok(None);
            }
        }
        let mut token = Vec::new();
        for place in 0..mask.len() {
            token.clear();
            let values = columns
                .iter()
                .map(|values| values.get(place).copied().unwrap_or(0));
            self.form.write(values, &mut token);
            if self.test.as_ref().is_some_and(|test| test.passes(&token)) {
                mask.set(place, true);
            }
        }
        Ok(Some(()))
    }
}

/// The checks that rule out the most first.
fn sorted(mut all: All) -> All {
    all.sort_by_key(|(_, check)| check.looseness());
    all
}
