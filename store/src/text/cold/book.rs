//! What is known of all rows: templates, what each column is kept as, and the models of what rows say.
//!
//! Read whole when a block is first asked ([`super::read`]).

use std::collections::HashMap;
use std::ops::Range;

use super::bins::{BinModels, Bins};
use super::tree::{Tree, TreeModels};
use crate::text::template::coder::{Numbers, Symbols};
use crate::text::template::tokens::{END, VARIABLE, is_delimiter};
use crate::text::template::{Form, Radix, ZERO};

/// No such thing: of exceptions, and of template codes before the first row.
pub const NONE: u32 = u32::MAX;
/// Columns to the left that a column may follow.
pub const MOST_BACK: u64 = 1 << 16;

/// Kinds of bins.
pub mod bins_of {
    /// Numbers as they are, differences of numbers, whether they are the same.
    pub const NUMBER: usize = 0;
    /// See [`NUMBER`].
    pub const STEP: usize = 1;
    /// See [`NUMBER`].
    pub const SAME: usize = 2;
    /// Words as they are.
    pub const WORD: usize = 3;
    /// Whether a row is an exception.
    pub const EXCEPTION: usize = 4;
    /// Template codes, or words of exceptions.
    pub const ALL: usize = 5;
    /// How many there are.
    pub const COUNT: usize = 6;
}

/// Kinds of trees.
pub mod tree_of {
    /// Codes of a column's values.
    pub const LOCAL: usize = 0;
    /// Template codes.
    pub const CODES: usize = 1;
    /// Letters of words.
    pub const LETTERS: usize = 2;
    /// Letters that a word shares with the one before.
    pub const SHARED: usize = 3;
    /// How many there are.
    pub const COUNT: usize = 4;
}

/// Contexts of numbers.
pub mod number_of {
    /// Distinct values of a column.
    pub const DISTINCT: usize = 0;
    /// Columns back, of an alias, a function, what a local column follows, and a field.
    pub const ALIAS: usize = 1;
    /// See [`ALIAS`].
    pub const FUNCTION: usize = 2;
    /// See [`ALIAS`].
    pub const LEFT: usize = 3;
    /// See [`ALIAS`].
    pub const FIELD: usize = 4;
    /// Digits of a field.
    pub const DIGITS: usize = 5;
    /// Step from value to value of a list.
    pub const STEP: usize = 6;
    /// First value of a list.
    pub const FIRST: usize = 7;
    /// How many there are.
    pub const COUNT: usize = 8;
}

/// Models of the stream.
#[derive(Debug)]
pub struct Models {
    /// Kinds of columns by that of the one before.
    pub kinds: Symbols,
    /// What is said of fields, by their kind and that of the one before.
    pub bases: Symbols,
    /// Radices and whether there are exceptions.
    pub flags: Symbols,
    /// Whether values are as expected.
    pub hits: Symbols,
    /// Whether bins are those at the same place, or the last ones.
    pub same: Symbols,
    /// Numbers.
    pub numbers: Numbers,
    /// Bins.
    pub bins: BinModels,
    /// Trees.
    pub trees: TreeModels,
}

impl Models {
    /// Models that know nothing yet.
    pub fn new() -> Self {
        Models {
            kinds: Symbols::new(3, 8),
            bases: Symbols::new(3, 16),
            flags: Symbols::new(2, 8),
            hits: Symbols::new(1, 48),
            same: Symbols::new(2, bins_of::COUNT),
            numbers: Numbers::new(number_of::COUNT),
            bins: BinModels::new(bins_of::COUNT),
            trees: TreeModels::new(tree_of::COUNT),
        }
    }
}

/// What a value is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// Nothing.
    None,
    /// The value before in the same column, in these rows.
    Before,
    /// The last value at the same place of any template, in these rows.
    Above,
    /// The field that stands so many slots before.
    Left(u32),
}

/// How a field's values are said.
#[derive(Debug, Default)]
pub struct Field {
    /// What they are held against, if that is known.
    pub base: Option<Base>,
    /// Whether the difference is said; else whether they are the same.
    pub steps: bool,
    /// Number of the bins of values as they are, where there is nothing to be held against or they are not the same.
    pub values: u32,
    /// Number of the bins of differences, or 1 for the same.
    pub held: u32,
}

/// How a local column's codes are said.
#[derive(Debug, Default)]
pub struct Local {
    /// Slots back of the local column whose code comes first among what stands before; 0 for none.
    pub left: u32,
    /// Its codes.
    pub tree: Tree,
}

/// What a column is kept as.
#[derive(Debug, Clone)]
pub enum Root {
    /// Codes of its own values: the list, its number among local columns.
    Local(Range<usize>, u32),
    /// Words: its number among fields.
    Global(u32),
    /// Fields: form, number of its first one.
    Number(Form, u32),
    /// The same as the column of this number in the template.
    Alias(u32),
    /// A word for each code of the column of this number in the template: the list.
    Function(u32, Range<usize>),
    /// The checksum of what stands before it in the row.
    Checksum,
}

/// What varies at one token.
#[derive(Debug, Clone)]
pub struct Column {
    /// What it is kept as.
    pub root: Root,
    /// Number of the flags of rows for which that does not hold, or [`NONE`].
    pub exceptions: u32,
    /// The first of its slots in a row.
    pub slot: u32,
}

/// A token of a template.
#[derive(Debug, Clone, Copy)]
pub struct Token {
    /// The constant, in the text; of a column, its number in the template, and [`NONE`].
    pub word: (u32, u32),
    /// The run behind it.
    pub run: (u32, u32),
}

/// Rows of the same delimiters and constants.
#[derive(Debug, Clone, Default)]
pub struct Template {
    /// Its tokens among all.
    pub tokens: Range<usize>,
    /// Its columns among all.
    pub columns: Range<usize>,
    /// Those of them that rows say something of, among all such.
    pub coded: Range<usize>,
    /// Slots of a row.
    pub slots: u32,
}

/// Templates and columns, without models.
#[derive(Debug, Default)]
pub struct Shape {
    /// Templates.
    pub templates: Vec<Template>,
    /// Tokens of all templates.
    pub tokens: Vec<Token>,
    /// Columns of all templates.
    pub columns: Vec<Column>,
    /// Columns of which rows say something, by their number in the template.
    pub coded: Vec<u32>,
    /// Lists of words: values of columns, tables of functions.
    pub lists: Vec<u32>,
    /// Local columns, fields, and columns with exceptions.
    pub counts: [u32; 3],
}

impl Shape {
    /// Ends a template whose columns are in place.
    pub fn close(&mut self, tokens: Range<usize>, first: usize) {
        let mut template = Template {
            tokens,
            columns: first..self.columns.len(),
            coded: self.coded.len()..0,
            slots: 0,
        };
        for (index, column) in (0u32..).zip(&mut self.columns[first..]) {
            column.slot = template.slots;
            template.slots += match &column.root {
                Root::Local(..) | Root::Global(_) => 1,
                Root::Number(form, _) => form.digits.len() as u32,
                Root::Alias(_) | Root::Function(..) | Root::Checksum => 0,
            };
            let says = matches!(column.root, Root::Local(..) | Root::Global(_) | Root::Number(..));
            if says || column.exceptions != NONE {
                self.coded.push(index);
            }
        }
        template.coded.end = self.coded.len();
        self.templates.push(template);
    }

    /// Tokens of a template whose text starts at `at`; gives where it ends. Calls `column` with each token that is one.
    pub fn tokens(
        &mut self,
        text: &[u8],
        mut at: usize,
        mut column: impl FnMut(&mut Shape, &[u8]) -> Option<()>,
    ) -> Option<usize> {
        let mut number = 0;
        loop {
            let start = at;
            let mut varies = false;
            while text
                .get(at)
                .is_some_and(|&byte| byte != END && !is_delimiter(byte))
            {
                varies |= text[at] == VARIABLE;
                at += 1;
            }
            let mut word = (start as u32, at as u32);
            if varies {
                word = (number, NONE);
                number += 1;
                column(self, text.get(start..at)?)?;
            }
            let start = at;
            while text.get(at).is_some_and(|&byte| is_delimiter(byte)) {
                at += 1;
            }
            self.tokens.push(Token {
                word,
                run: (start as u32, at as u32),
            });
            if *text.get(at)? == END && at == start {
                return Some(at + 1);
            }
        }
    }
}

/// What is expected of lists, tables and bins, by those before.
#[derive(Debug, Default)]
pub struct Expected {
    /// What followed a value in a list.
    pub next: HashMap<u32, u32>,
    /// What a function had for a value, by the distance to the column.
    near: HashMap<(u32, u32), u32>,
    /// What functions had for a value lately, and before that.
    any: HashMap<u32, [u32; 4]>,
    /// What followed a value in a table.
    after: HashMap<u32, u32>,
    /// Numbers of the bins of each kind that were named last at each place, and anywhere.
    places: HashMap<(usize, u32), u32>,
    kinds: [Option<u32>; bins_of::COUNT],
}

impl Expected {
    /// What a table may hold for the value `from`, after `last`, the likeliest first.
    pub fn guesses(&self, from: u32, back: u32, last: u32) -> Vec<u32> {
        let mut found: Vec<u32> = Vec::with_capacity(8);
        let any = self.any.get(&from).copied().unwrap_or([NONE; 4]);
        let near = self.near.get(&(from, back)).copied();
        let after = self.after.get(&last).copied();
        for guess in near.into_iter().chain(after).chain(any).chain([last]) {
            if guess != NONE && !found.contains(&guess) {
                found.push(guess);
            }
        }
        found
    }

    /// Context of the next guess: how many are tried, whether one is by distance and one by the value before.
    pub fn guess_context(&self, from: u32, back: u32, last: u32) -> usize {
        let near = usize::from(self.near.contains_key(&(from, back)));
        let after = usize::from(self.after.contains_key(&last));
        near * 2 + after
    }

    /// Notes what a table holds.
    pub fn told(&mut self, from: u32, back: u32, last: u32, found: u32) {
        self.near.insert((from, back), found);
        self.after.insert(last, found);
        let any = self.any.entry(from).or_insert([NONE; 4]);
        let place = any.iter().position(|&known| known == found).unwrap_or(3);
        any[..=place].rotate_right(1);
        any[0] = found;
    }

    /// Bins of a kind that were named last at a place, and anywhere.
    pub fn bins(&self, kind: usize, place: u32) -> [Option<u32>; 2] {
        [self.places.get(&(kind, place)).copied(), self.kinds[kind]]
    }

    /// Notes which bins are named.
    pub fn named(&mut self, kind: usize, place: u32, bins: u32) {
        self.places.insert((kind, place), bins);
        self.kinds[kind] = Some(bins);
    }
}

/// A field's place among those of other templates.
pub fn place_of(column: u32, field: u32) -> u32 {
    column * 4 + field.min(3)
}

/// Templates, columns and models.
#[derive(Debug)]
pub struct Book {
    /// Templates and columns.
    pub shape: Shape,
    /// Template codes, by those before; or, where there are many templates, as numbers.
    pub codes: Tree,
    /// See `codes`.
    pub many_codes: Bins,
    /// Words of exceptions.
    pub odd_words: Bins,
    /// Local columns.
    pub locals: Vec<Local>,
    /// Fields.
    pub fields: Vec<Field>,
    /// Bins of fields.
    pub bins: Vec<Bins>,
    /// Whether rows are exceptions.
    pub exceptions: Vec<Bins>,
}

impl Book {
    /// Bins of a field's values as they are.
    #[inline]
    pub fn values(&self, field: &Field) -> &Bins {
        &self.bins[field.values as usize]
    }

    /// Bins of a field's differences, or whether values are the same.
    #[inline]
    pub fn held(&self, field: &Field) -> &Bins {
        &self.bins[field.held as usize]
    }
}

/// Letters of words, and how many each shares with the one before.
#[derive(Debug)]
pub struct Letters {
    /// Letters by those before.
    pub letters: Tree,
    /// Letters shared, by those that the word before shared.
    pub shared: Tree,
}

/// Symbols of letters, and of numbers of shared letters.
pub const LETTERS: u32 = 256;

/// Context of whether the guess `index` holds.
pub fn hit_context(context: usize, index: usize) -> usize {
    8 + context * 8 + index.min(7)
}

/// What fields of this radix count from.
pub fn zero_of(radix: Radix) -> u64 {
    if radix == Radix::Decimal { ZERO } else { 0 }
}
