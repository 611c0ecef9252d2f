//! Where constants, runs and words of the dictionary are: made when an index is first searched.
//!
//! The dictionary's numbers are divided into [`BUCKETS`] stretches, and each stretch has the columns with a value in
//! it. So a rare word leaves few columns to look into, at a fraction of the memory that the columns of each word would
//! take. Number columns are sorted into classes by the bytes and the length that their tokens can have.

use std::collections::HashMap;
use std::ops::Range;

use super::checksum;
use super::filter::{Fit, Ids, Test};
use super::read::{Column, Model, Root, Token};
use crate::error::Result;

/// Stands for no run.
pub const NONE: u32 = u32::MAX;
/// Symbols of columns count from here, those of constants from 0.
const COLUMN: u32 = 1 << 31;
/// Stretches of the dictionary.
const BUCKETS: usize = 1024;
/// Stretches from which on a column is taken to have values in all of them.
const EVERYWHERE: u32 = 256;
/// Stretches that a test may ask before it is taken to ask all of them.
const FEW_BUCKETS: usize = 64;

/// Distinct byte strings, in byte order, and the places of each.
#[derive(Debug, Default)]
pub struct Places {
    /// Start and end in the templates' text.
    pub strings: Vec<(u32, u32)>,
    starts: Vec<u32>,
    places: Vec<u32>,
}

impl Places {
    fn new(model: &Model, spans: &[Option<(u32, u32)>], numbers: &mut Vec<u32>) -> Places {
        let bytes = |span: &(u32, u32)| model.slice(span.0, span.1);
        let mut strings: Vec<(u32, u32)> = spans.iter().flatten().copied().collect();
        strings.sort_unstable_by(|a, b| bytes(a).cmp(bytes(b)));
        strings.dedup_by(|a, b| bytes(a) == bytes(b));
        let known: HashMap<&[u8], u32> = strings.iter().map(bytes).zip(0..).collect();
        let mut starts = vec![0u32; strings.len() + 1];
        for span in spans {
            let number = span
                .as_ref()
                .and_then(|span| known.get(bytes(span)))
                .copied()
                .unwrap_or(NONE);
            if let Some(start) = starts.get_mut(number as usize) {
                *start += 1;
            }
            numbers.push(number);
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        let mut places = vec![0; sum as usize];
        for (place, &number) in numbers.iter().enumerate().rev() {
            if let Some(start) = starts.get_mut(number as usize) {
                *start -= 1;
                places[*start as usize] = place as u32;
            }
        }
        Places {
            strings,
            starts,
            places,
        }
    }

    /// Places of string `number`, increasing.
    pub fn of(&self, number: u32) -> &[u32] {
        self.of_range(number..number.saturating_add(1))
    }

    /// Places of strings with consecutive numbers.
    fn of_range(&self, numbers: Range<u32>) -> &[u32] {
        match (
            self.starts.get(numbers.start as usize),
            self.starts.get(numbers.end as usize),
        ) {
            (Some(&start), Some(&end)) => self.places.get(start as usize..end as usize).unwrap_or_default(),
            _ => &[],
        }
    }

    /// Number of a string.
    pub fn find(&self, model: &Model, bytes: &[u8]) -> Option<u32> {
        self.strings
            .binary_search_by(|&(start, end)| model.slice(start, end).cmp(bytes))
            .ok()
            .map(|number| number as u32)
    }

    /// Numbers of the strings that pass a test which is true of a stretch of them that starts at `first`.
    fn stretch(&self, model: &Model, first: &[u8], test: impl Fn(&[u8]) -> bool) -> Range<u32> {
        let slice = |&(start, end): &(u32, u32)| model.slice(start, end);
        let start = self.strings.partition_point(|span| slice(span) < first);
        let rest = self.strings.get(start..).unwrap_or_default();
        let count = rest.partition_point(|span| test(slice(span)));
        start as u32..(start + count) as u32
    }

    /// Numbers of the strings that pass a test.
    pub fn matching(&self, model: &Model, test: impl Fn(&[u8]) -> bool) -> Vec<u32> {
        (0u32..)
            .zip(&self.strings)
            .filter(|(_, (start, end))| test(model.slice(*start, *end)))
            .map(|(number, _)| number)
            .collect()
    }
}

/// Tokens of number columns that are alike: bytes that they may have, and the most of them.
type Class = ([u64; 4], u32);

/// Constants, runs, and what columns may hold; places are those of [`Model::tokens`].
#[derive(Debug)]
pub struct Lookup {
    /// Constants.
    pub constants: Places,
    /// The constant or the column at each place.
    symbols: Vec<u32>,
    /// Runs.
    pub runs: Places,
    /// Number of the run after each place, or [`NONE`] at a template's last token.
    pub run_of: Vec<u32>,
    /// Place of each column.
    places: Vec<u32>,
    /// Start of each stretch's columns.
    starts: Vec<u32>,
    columns: Vec<u32>,
    /// Columns with values in most stretches, and all columns with values of the dictionary: a bit a column.
    everywhere: Vec<u64>,
    words: Vec<u64>,
    classes: Vec<(Class, Vec<u32>)>,
}

/// Which tokens may pass a test, without a look at values.
#[derive(Debug)]
pub struct Glance {
    constants: Constants,
    /// A bit a column.
    columns: Vec<u64>,
}

#[derive(Debug)]
enum Constants {
    /// Numbers of those that pass.
    Range(Range<u32>),
    /// What each says, once asked: 0 not yet, 1 no, 2 yes.
    Table(Vec<u8>),
}

impl Lookup {
    /// Sorts what the templates hold.
    pub fn new(model: &Model) -> Lookup {
        let constants: Vec<Option<(u32, u32)>> = model
            .tokens
            .iter()
            .map(|token| match token {
                Token::Constant(start, end) => Some((*start, *end)),
                Token::Variable(_) => None,
            })
            .collect();
        let mut runs: Vec<Option<(u32, u32)>> = model.runs.iter().copied().map(Some).collect();
        for template in &model.templates {
            if let Some(last) = runs.get_mut(template.tokens.end.wrapping_sub(1)) {
                *last = None;
            }
        }
        let (mut symbols, mut run_of) = (Vec::new(), Vec::new());
        let constants = Places::new(model, &constants, &mut symbols);
        let mut places = vec![0; model.columns.len()];
        for ((place, symbol), token) in (0u32..).zip(&mut symbols).zip(&model.tokens) {
            if let Token::Variable(column) = token {
                *symbol = COLUMN + column;
                if let Some(known) = places.get_mut(*column as usize) {
                    *known = place;
                }
            }
        }
        let mut lookup = Lookup {
            constants,
            symbols,
            runs: Places::new(model, &runs, &mut run_of),
            run_of,
            places,
            starts: Vec::new(),
            columns: Vec::new(),
            everywhere: vec![0; model.columns.len().div_ceil(64)],
            words: vec![0; model.columns.len().div_ceil(64)],
            classes: Vec::new(),
        };
        lookup.classify(model);
        lookup.divide(model);
        lookup
    }

    /// Puts number columns, what is the same as they are, and checksums into classes.
    fn classify(&mut self, model: &Model) {
        let mut known: HashMap<Class, usize> = HashMap::new();
        let bits = model.bits().unwrap_or_default();
        for (number, column) in (0u32..).zip(&model.columns) {
            let mut bytes = [0u64; 4];
            let mut note = |may: &dyn Fn(u8) -> bool| {
                (0u8..=255)
                    .filter(|&byte| may(byte))
                    .for_each(|byte| set(&mut bytes, u32::from(byte)));
            };
            let length = match &origin(model, column).root {
                Root::Number(form, fields) => {
                    note(&|byte| form.may_have(byte));
                    form.longest(fields.iter().map(|field| field.bounds(bits)))
                }
                Root::Checksum(_) => {
                    note(&checksum::is_digit);
                    checksum::LENGTH as u32
                }
                _ => continue,
            };
            let class = (bytes, length);
            let index = *known.entry(class).or_insert_with(|| {
                self.classes.push((class, Vec::new()));
                self.classes.len() - 1
            });
            if let Some((_, columns)) = self.classes.get_mut(index) {
                columns.push(number);
            }
        }
    }

    /// Finds the stretches of the dictionary in which each column has values.
    fn divide(&mut self, model: &Model) {
        let universe = model.universe();
        let bits = model.bits().unwrap_or_default();
        let mut pairs: Vec<(u16, u32)> = Vec::new();
        for (number, column) in (0u32..).zip(&model.columns) {
            let mut seen = [0u64; BUCKETS / 64];
            let mut visit = |id: u64| set(&mut seen, bucket(id, universe));
            let source = origin(model, column);
            let own = model.each_word(bits, column, &mut visit);
            let known = if std::ptr::eq(source, column) {
                own
            } else {
                own.and_then(|()| model.each_word(bits, source, &mut visit))
            };
            let count: u32 = seen.iter().map(|word| word.count_ones()).sum();
            if count > 0 || known.is_none() {
                set(&mut self.words, number);
            }
            if known.is_none() || count > EVERYWHERE {
                set(&mut self.everywhere, number);
                continue;
            }
            pairs.extend(ones(&seen).map(|bucket| (bucket as u16, number)));
        }
        self.starts = vec![0; BUCKETS + 1];
        for (bucket, _) in &pairs {
            self.starts[usize::from(*bucket) + 1] += 1;
        }
        for bucket in 0..BUCKETS {
            self.starts[bucket + 1] += self.starts[bucket];
        }
        let mut next = self.starts.clone();
        self.columns = vec![0; pairs.len()];
        for (bucket, column) in pairs {
            let next = &mut next[usize::from(bucket)];
            self.columns[*next as usize] = column;
            *next += 1;
        }
    }

    /// Which tokens may pass `test`, whose numbers in the dictionary are `ids` if they are known.
    pub fn glance(&self, model: &Model, test: &Test, ids: Option<&Ids>) -> Glance {
        let universe = model.universe();
        let mut buckets: Vec<u32> = Vec::new();
        match ids {
            Some(Ids::Range(range)) if range.is_empty() => {}
            Some(Ids::Range(range)) => {
                buckets.extend(bucket(range.start, universe)..=bucket(range.end - 1, universe));
            }
            Some(Ids::Set(set)) => {
                buckets.extend(set.iter().map(|&id| bucket(id, universe)));
                buckets.dedup();
            }
            None => {}
        }
        let mut columns = match ids {
            Some(ids) if ids.is_empty() => vec![0; self.words.len()],
            Some(_) if buckets.len() <= FEW_BUCKETS => {
                let mut columns = self.everywhere.clone();
                for bucket in buckets {
                    let start = self.starts.get(bucket as usize).copied().unwrap_or(0);
                    let end = self.starts.get(bucket as usize + 1).copied().unwrap_or(0);
                    let here = self.columns.get(start as usize..end as usize);
                    here.unwrap_or_default()
                        .iter()
                        .for_each(|&column| set(&mut columns, column));
                }
                columns
            }
            _ => self.words.clone(),
        };
        for ((bytes, length), members) in &self.classes {
            let has = |&byte: &u8| bytes[usize::from(byte / 64)] >> (byte % 64) & 1 == 1;
            if test.bytes.len() <= *length as usize && (test.ignore_case || test.bytes.iter().all(has)) {
                members.iter().for_each(|&column| set(&mut columns, column));
            }
        }
        let constants = match test.fit {
            Fit::Equals | Fit::Starts if !test.ignore_case => {
                let found = self
                    .constants
                    .stretch(model, &test.bytes, |bytes| test.passes(bytes));
                Constants::Range(found)
            }
            _ => Constants::Table(vec![0; self.constants.strings.len()]),
        };
        Glance { constants, columns }
    }

    /// Places of the tokens that may pass a test.
    pub fn places(&self, model: &Model, test: &Test, glance: &mut Glance) -> Vec<u32> {
        let mut places = Vec::new();
        match &mut glance.constants {
            Constants::Range(range) => places.extend_from_slice(self.constants.of_range(range.clone())),
            Constants::Table(table) => {
                for ((number, known), &(start, end)) in (0u32..).zip(table).zip(&self.constants.strings) {
                    *known = 1 + u8::from(test.passes(model.slice(start, end)));
                    if *known == 2 {
                        places.extend_from_slice(self.constants.of(number));
                    }
                }
            }
        }
        places.extend(ones(&glance.columns).filter_map(|column| self.places.get(column as usize)));
        places
    }

    /// About what [`Lookup::places`] costs: constants that are compared, and places.
    pub fn cost(&self, glance: &Glance) -> usize {
        let columns: u32 = glance.columns.iter().map(|word| word.count_ones()).sum();
        let constants = match &glance.constants {
            Constants::Range(range) => self.constants.of_range(range.clone()).len(),
            Constants::Table(_) => self.constants.strings.len(),
        };
        constants + columns as usize
    }

    /// Whether any token may pass a test.
    pub fn is_anywhere(&self, model: &Model, test: &Test, glance: &Glance) -> bool {
        glance.columns.iter().any(|&word| word != 0)
            || match &glance.constants {
                Constants::Range(range) => !range.is_empty(),
                Constants::Table(_) => {
                    let mut strings = self.constants.strings.iter();
                    strings.any(|&(start, end)| test.passes(model.slice(start, end)))
                }
            }
    }

    /// Whether the token at `place` may pass a test.
    #[inline]
    pub fn may_pass(&self, model: &Model, place: usize, test: &Test, glance: &mut Glance) -> bool {
        let Some(&symbol) = self.symbols.get(place) else {
            return false;
        };
        if symbol >= COLUMN {
            let column = symbol - COLUMN;
            let word = glance.columns.get((column / 64) as usize);
            return word.is_some_and(|word| word >> (column % 64) & 1 == 1);
        }
        match &mut glance.constants {
            Constants::Range(range) => range.contains(&symbol),
            Constants::Table(table) => match table.get_mut(symbol as usize) {
                Some(0) => {
                    let span = self.constants.strings.get(symbol as usize);
                    let passes = span.is_some_and(|&(start, end)| test.passes(model.slice(start, end)));
                    table[symbol as usize] = 1 + u8::from(passes);
                    passes
                }
                Some(known) => *known == 2,
                None => false,
            },
        }
    }

    /// The column at a place, if it is none of a constant.
    #[inline]
    pub fn column_at(&self, place: usize) -> Option<u32> {
        self.symbols
            .get(place)
            .and_then(|symbol| symbol.checked_sub(COLUMN))
    }
}

/// The column whose values a column has but for its exceptions.
fn origin<'m>(model: &'m Model, column: &'m Column) -> &'m Column {
    match &column.root {
        Root::Alias(parent) => model.columns.get(*parent as usize).unwrap_or(column),
        _ => column,
    }
}

fn bucket(id: u64, universe: u64) -> u32 {
    // There are fewer than 2^32 strings in a dictionary.
    (id.saturating_mul(BUCKETS as u64) / universe.max(1)).min(BUCKETS as u64 - 1) as u32
}

fn set(bits: &mut [u64], at: u32) {
    if let Some(word) = bits.get_mut((at / 64) as usize) {
        *word |= 1 << (at % 64);
    }
}

/// Places of the ones, increasing.
fn ones(bits: &[u64]) -> impl Iterator<Item = u32> + '_ {
    (0u32..).step_by(64).zip(bits).flat_map(|(base, &word)| {
        let mut word = word;
        std::iter::from_fn(move || {
            let place = word.trailing_zeros();
            (word != 0).then(|| {
                word &= word - 1;
                base + place
            })
        })
    })
}

/// The numbers in the dictionary of strings that pass a test, where that is cheap to know.
pub fn known_ids<'t>(model: &Model, test: &'t Test) -> Result<Option<&'t Ids>> {
    test.is_cheap().then(|| test.ids(model)).transpose()
}
