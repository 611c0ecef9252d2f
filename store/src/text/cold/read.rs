//! Reading the directory; [`super::directory`] writes it.

use std::ops::Range;

use super::bins::Bins;
use super::book::{
    Base, Book, Column, Expected, Field, LETTERS, Letters, Local, Models, NONE, Root, Shape, bins_of,
    hit_context, number_of, place_of, tree_of, zero_of,
};
use super::tree::{MOST_SYMBOLS, Tree};
use crate::text::template::coder::Decoder;
use crate::text::template::tokens::VARIABLE;
use crate::text::template::{Form, MAX_COLUMNS, MAX_FIELDS, Radix};

/// Entries of all lists and tables together.
const MOST_LISTED: usize = 1 << 24;
/// Cells of the trees and bins of all columns together.
const MOST_CELLS: usize = 1 << 22;

struct Reader<'a> {
    /// Cells of trees and bins so far.
    cells: usize,
    coder: Decoder<'a>,
    models: Models,
    expected: Expected,
    words: u32,
    book: Book,
    text: &'a [u8],
}

/// Reads the directory of `templates` templates, whose text is given, and a dictionary of `words` words.
pub fn read(directory: &[u8], text: &[u8], templates: u32, words: u32) -> Option<(Book, Letters)> {
    let mut coder = Decoder::new(directory);
    let mut models = Models::new();
    let mut codes = (Tree::default(), Bins::default());
    if templates < MOST_SYMBOLS {
        codes.0 = Tree::read(&mut coder, &mut models.trees, tree_of::CODES, templates + 1)?;
    } else {
        codes.1 = Bins::read(&mut coder, &mut models.bins, bins_of::ALL, 0)?;
    }
    let letters = Letters {
        letters: Tree::read(&mut coder, &mut models.trees, tree_of::LETTERS, LETTERS)?,
        shared: Tree::read(&mut coder, &mut models.trees, tree_of::SHARED, LETTERS)?,
    };
    let odd_words = Bins::read(&mut coder, &mut models.bins, bins_of::ALL, 0)?;
    let mut reader = Reader {
        cells: 0,
        coder,
        models,
        expected: Expected::default(),
        words,
        book: Book {
            shape: Shape::default(),
            codes: codes.0,
            many_codes: codes.1,
            odd_words,
            locals: Vec::new(),
            fields: Vec::new(),
            bins: Vec::new(),
            exceptions: Vec::new(),
        },
        text,
    };
    let mut at = 0;
    for _ in 0..templates {
        at = reader.template(at)?;
    }
    let book = &mut reader.book;
    book.shape.counts = [
        book.locals.len() as u32,
        book.fields.len() as u32,
        book.exceptions.len() as u32,
    ];
    (at == text.len()).then_some((reader.book, letters))
}

impl Reader<'_> {
    fn template(&mut self, at: usize) -> Option<usize> {
        let mut shape = std::mem::take(&mut self.book.shape);
        let (token, first) = (shape.tokens.len(), shape.columns.len());
        let mut before = 0;
        let text = self.text;
        let end = shape.tokens(text, at, |shape, token| {
            let column = self.column(shape, first, token, &mut before)?;
            shape.columns.push(column);
            Some(())
        })?;
        let columns = shape.columns.get(first..)?.iter();
        let sums = columns.filter(|column| matches!(column.root, Root::Checksum));
        // One a row at most: each is computed from all that stands before it.
        if sums.count() > 1 {
            return None;
        }
        shape.close(token..shape.tokens.len(), first);
        self.book.shape = shape;
        Some(end)
    }

    /// Counts cells of a tree or bins, of which a few bytes might say more than fit into memory.
    fn count_cells(&mut self, cells: usize) -> Option<()> {
        self.cells += cells + 1;
        (self.cells <= MOST_CELLS).then_some(())
    }

    fn number(&mut self, context: usize) -> u64 {
        self.models.numbers.read(&mut self.coder, context)
    }

    fn column(
        &mut self,
        shape: &mut Shape,
        first: usize,
        token: &[u8],
        before: &mut usize,
    ) -> Option<Column> {
        if self.coder.overrun() || shape.columns.len() >= MAX_COLUMNS {
            return None;
        }
        let kind = self.models.kinds.read(&mut self.coder, *before);
        *before = kind;
        let root = match kind {
            0 => self.local(shape)?,
            1 => {
                let place = place_of((shape.columns.len() - first) as u32, 0);
                let field = self.field(bins_of::WORD, 0, place)?;
                self.book.fields.push(field);
                Root::Global(self.book.fields.len() as u32 - 1)
            }
            2 => self.form(token, (shape.columns.len() - first) as u32)?,
            3 => {
                let from = self.back(shape, first, number_of::ALIAS)?.0;
                if !matches!(
                    shape.columns.get(first + from as usize)?.root,
                    Root::Local(..) | Root::Global(_) | Root::Number(..)
                ) {
                    return None;
                }
                Root::Alias(from)
            }
            4 => {
                let (from, back) = self.back(shape, first, number_of::FUNCTION)?;
                let Root::Local(list, _) = &shape.columns.get(first + from as usize)?.root else {
                    return None;
                };
                let list = list.clone();
                let table = self.table(shape, list, back)?;
                Root::Function(from, table)
            }
            5 => Root::Checksum,
            _ => return None,
        };
        let mut exceptions = NONE;
        if kind > 1 && self.models.flags.read(&mut self.coder, kind) != 0 {
            exceptions = self.book.exceptions.len() as u32;
            let bins = Bins::read(&mut self.coder, &mut self.models.bins, bins_of::EXCEPTION, 0)?;
            self.count_cells(bins.len())?;
            self.book.exceptions.push(bins);
        }
        Some(Column {
            root,
            exceptions,
            slot: 0,
        })
    }

    fn back(&mut self, shape: &Shape, first: usize, context: usize) -> Option<(u32, u32)> {
        let back = self.number(context).checked_add(1)?;
        let column = (shape.columns.len() - first) as u64;
        Some((column.checked_sub(back)? as u32, back as u32))
    }

    fn local(&mut self, shape: &mut Shape) -> Option<Root> {
        let distinct = self.number(number_of::DISTINCT);
        if distinct > u64::from(self.words.min(MOST_SYMBOLS)) || shape.lists.len() > MOST_LISTED {
            return None;
        }
        let start = shape.lists.len();
        let mut last = NONE;
        for _ in 0..distinct {
            let value = self.listed(last)?;
            shape.lists.push(value);
            last = value;
        }
        let left = u32::try_from(self.number(number_of::LEFT)).ok()?;
        let tree = Tree::read(
            &mut self.coder,
            &mut self.models.trees,
            tree_of::LOCAL,
            distinct as u32,
        )?;
        self.count_cells(tree.len())?;
        self.book.locals.push(Local { left, tree });
        Some(Root::Local(
            start..shape.lists.len(),
            self.book.locals.len() as u32 - 1,
        ))
    }

    /// A value of a list, after `last`.
    fn listed(&mut self, last: u32) -> Option<u32> {
        if let Some(&next) = self.expected.next.get(&last) {
            if self.models.hits.read(&mut self.coder, 0) == 1 {
                return Some(next);
            }
        }
        let value = if last == NONE {
            self.number(number_of::FIRST)
        } else {
            self.number(number_of::STEP).checked_add(u64::from(last) + 1)?
        };
        let value = u32::try_from(value).ok().filter(|&value| value < self.words)?;
        if self.coder.overrun() {
            return None;
        }
        self.expected.next.insert(last, value);
        Some(value)
    }

    /// What a function has for each value of a list.
    fn table(&mut self, shape: &mut Shape, list: Range<usize>, back: u32) -> Option<Range<usize>> {
        let start = shape.lists.len();
        if start > MOST_LISTED || self.words == 0 {
            return None;
        }
        let width = 32 - (self.words - 1).leading_zeros();
        let mut last = NONE;
        for at in list {
            let from = *shape.lists.get(at)?;
            let found = self.told(from, back, last, width)?;
            shape.lists.push(found);
            last = found;
        }
        Some(start..shape.lists.len())
    }

    fn told(&mut self, from: u32, back: u32, last: u32, width: u32) -> Option<u32> {
        let context = self.expected.guess_context(from, back, last);
        let mut found = None;
        for (index, guess) in self.expected.guesses(from, back, last).into_iter().enumerate() {
            let context = hit_context(context, index);
            if self.models.hits.read(&mut self.coder, context) == 1 {
                found = Some(guess);
                break;
            }
        }
        let found = match found {
            Some(found) => found,
            None => self.coder.plain(width) as u32,
        };
        if found >= self.words || self.coder.overrun() {
            return None;
        }
        self.expected.told(from, back, last, found);
        Some(found)
    }

    fn form(&mut self, token: &[u8], column: u32) -> Option<Root> {
        let radix = Radix::from_code(self.models.flags.read(&mut self.coder, 0))?;
        let count = token.iter().filter(|&&byte| byte == VARIABLE).count();
        if count > MAX_FIELDS {
            return None;
        }
        let first = self.book.fields.len() as u32;
        let zero = zero_of(radix);
        let mut digits = Vec::with_capacity(count);
        for index in 0..count as u32 {
            let found = self.number(number_of::DIGITS);
            digits.push(u8::try_from(found).ok().filter(|&digits| digits <= 20)?);
            let field = self.field(bins_of::NUMBER, zero, place_of(column, index))?;
            self.book.fields.push(field);
        }
        let literals = token
            .split(|&byte| byte == VARIABLE)
            .map(<[u8]>::to_vec)
            .collect();
        let form = Form {
            radix,
            literals,
            digits,
        };
        Some(Root::Number(form, first))
    }

    fn field(&mut self, kind: usize, zero: u64, place: u32) -> Option<Field> {
        let how = self
            .models
            .bases
            .read(&mut self.coder, usize::from(kind == bins_of::WORD));
        let mut field = Field {
            steps: how % 2 == 1,
            ..Field::default()
        };
        field.base = Some(match how {
            0 => Base::None,
            1 | 2 => Base::Before,
            3 | 4 => Base::Above,
            5 | 6 => {
                let back = self.number(number_of::FIELD).checked_add(1)?;
                Base::Left(u32::try_from(back).ok()?)
            }
            _ => return None,
        });
        field.values = self.bins(kind, zero, place)?;
        if how > 0 {
            let held = if field.steps { bins_of::STEP } else { bins_of::SAME };
            field.held = self.bins(held, 0, place)?;
        }
        Some(field)
    }

    /// Bins of their own, or those that stand for others too.
    fn bins(&mut self, kind: usize, zero: u64, place: u32) -> Option<u32> {
        let known = self.expected.bins(kind, place);
        let number = match self.models.same.read(&mut self.coder, kind) {
            0 => {
                let from = known[0].and_then(|known| self.book.bins.get(known as usize));
                let zero = from.map_or(zero, Bins::base);
                let bins = Bins::read(&mut self.coder, &mut self.models.bins, kind, zero)?;
                self.count_cells(bins.len())?;
                self.book.bins.push(bins);
                self.book.bins.len() as u32 - 1
            }
            1 => known[0]?,
            2 => known[1]?,
            _ => return None,
        };
        self.expected.named(kind, place, number);
        Some(number)
    }
}
