//! Opening an index: templates and columns as they are kept in memory, and reading rows.

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU32;

use super::bits::read;
use super::checksum;
use super::list::List;
use super::lookup::Lookup;
use super::number::{Form, MAX_FIELDS};
use super::rest::Rest;
use super::rows::RowLists;
use super::sequence::{Sequence, code_width};
use super::words::Dictionary;
use super::{Head, MAX_TEXT, lz};
use crate::batch::ByteColumn;
use crate::codes::{self, Codes};
use crate::error::{Error, Result};
use crate::section::Section;
use crate::text::TextPattern;

mod directory;

use directory::Sections;

/// A token of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// The same in all rows: where it is in the templates' text.
    Constant(u32, u32),
    /// A column.
    Variable(u32),
}

/// A template: its rows, and where its tokens are.
#[derive(Debug, Clone)]
pub struct Template {
    /// Number of rows.
    pub rows: u64,
    /// Its tokens among those of all templates. The run after token i has the same place; the last token has none.
    pub tokens: Range<usize>,
}

/// Rows that are told by themselves.
#[derive(Debug, Clone, Copy)]
pub struct Exceptions {
    /// The rows.
    pub rows: List,
    /// Bit of the first dictionary number.
    at: u64,
}

/// A table of a function: for each code of another column a value.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    at: u64,
    /// Number of entries.
    pub len: u64,
    width: u32,
    /// Dictionary numbers of the values; none if the entries are such numbers.
    pub values: Option<List>,
}

impl Table {
    /// What the table holds for `code`, which is below its length.
    #[inline]
    pub fn entry(&self, bits: &[u8], code: u64) -> Option<u64> {
        read(bits, self.at + code * u64::from(self.width), self.width)
    }

    /// Dictionary number of the value for `code`.
    pub fn get(&self, bits: &[u8], code: u64) -> Option<u64> {
        if code >= self.len {
            return None;
        }
        let entry = self.entry(bits, code)?;
        match &self.values {
            Some(values) => values.get(bits, entry),
            None => Some(entry),
        }
    }
}

/// What a column is kept as.
#[derive(Debug)]
pub enum Root {
    /// Codes of its own values, which are dictionary numbers.
    Local(List, Sequence),
    /// Dictionary numbers.
    Global(Sequence),
    /// Fields of a form.
    Number(Form, Vec<Sequence>),
    /// The same as another column.
    Alias(u32),
    /// A value for each code of another column.
    Function(u32, Table),
    /// The checksum of these tokens, which come before it in the row.
    Checksum(Range<usize>),
}

/// A column of a template.
#[derive(Debug)]
pub struct Column {
    /// What it is kept as.
    pub root: Root,
    /// Rows for which that does not hold.
    pub exceptions: Option<Exceptions>,
}

/// The dictionary, where so many rows are read that it was read whole.
pub type Words<'w> = Option<&'w ByteColumn>;

/// What is kept in memory of an open index.
#[derive(Debug)]
pub struct Model {
    section: Section,
    /// Constants and runs are stretches of this.
    pub text: Vec<u8>,
    /// Templates; template codes count from 1.
    pub templates: Vec<Template>,
    /// Tokens of all templates.
    pub tokens: Vec<Token>,
    /// The run after each token: start and end in the text.
    pub runs: Vec<(u32, u32)>,
    /// Columns of all templates.
    pub columns: Vec<Column>,
    /// Template code of each row.
    pub codes: Box<dyn Codes>,
    /// Values of columns that are no numbers.
    pub dictionary: Dictionary,
    /// Rows of no template.
    rest: Option<Rest>,
    pub(super) rest_rows: u64,
    lookup: OnceLock<Lookup>,
    pub(super) index_bytes: u64,
    pub(super) row_lists: OnceLock<Option<RowLists>>,
    /// Single rows that were read without them.
    pub(super) reads: AtomicU32,
}

impl Model {
    /// Reads what `head` describes.
    pub fn open(section: &Section, head: &Head) -> Result<Model> {
        let part = |index: usize| section.sub(head.part(index));
        let corrupt = |what: &str| section.corrupt(0, what.to_string());
        let dictionary = Dictionary::open(part(5)?, u64::from(head.pool_bytes))?;
        let last = part(6)?;
        let rest = if last.is_empty() && head.rest_bytes == 0 {
            None
        } else {
            Some(Rest::open(last, head.rest_bytes)?)
        };
        let codes = codes::open(head.codes, part(4)?)?;
        if head.text_bytes as usize > MAX_TEXT {
            return Err(corrupt("the text of the templates is too long"));
        }
        let text = lz::unpack(part(0)?.all()?, head.text_bytes as usize)
            .ok_or_else(|| corrupt("the text of the templates makes no sense"))?;
        let mut model = Model {
            section: part(2)?,
            text,
            templates: Vec::new(),
            tokens: Vec::new(),
            runs: Vec::new(),
            columns: Vec::new(),
            codes,
            dictionary,
            rest,
            rest_rows: 0,
            lookup: OnceLock::new(),
            index_bytes: section.len(),
            row_lists: OnceLock::new(),
            reads: AtomicU32::new(0),
        };
        let universe = model.universe();
        let directory = part(1)?;
        let sections = Sections::lengths(section, head, directory.all()?, &part(3)?, &mut model, universe)?;
        debug_assert!(sections <= head.sections);
        let known: u64 = model.templates.iter().map(|template| template.rows).sum();
        let left = head
            .rows
            .checked_sub(known)
            .ok_or_else(|| corrupt("templates have more rows than there are"))?;
        model.rest_rows = left;
        let rest = model.rest.as_ref().map_or(0, |rest| rest.len(left));
        let packed = u64::from(head.rest_bytes);
        if rest != left || (packed > 0 && left > packed) || model.codes.len() != head.rows {
            return Err(corrupt("templates and rest do not have all rows"));
        }
        Ok(model)
    }

    /// The packed bits.
    pub fn bits(&self) -> Result<&[u8]> {
        self.section.all()
    }

    /// An error that names the packed bits.
    pub fn corrupt(&self, what: &str) -> Error {
        self.section.corrupt(0, what.to_string())
    }

    /// The constants and runs, sorted on first use.
    pub fn lookup(&self) -> &Lookup {
        self.lookup.get_or_init(|| Lookup::new(self))
    }

    /// How many rows of the rest in `range` match.
    pub fn count_rest(&self, range: &Range<u64>, pattern: &TextPattern) -> Result<u64> {
        let Some(rest) = &self.rest else {
            return Ok(0);
        };
        rest.count(self.window(0, range)?, self.rest_rows, pattern)
    }

    /// The rows of the rest that lie in `range`, and those of them that match, as places among the rows of the rest.
    pub fn find_rest(&self, range: &Range<u64>, pattern: &TextPattern) -> Result<(Range<u64>, Vec<u64>)> {
        let Some(rest) = &self.rest else {
            return Ok((0..0, Vec::new()));
        };
        let rows = self.window(0, range)?;
        let found = rest.find(rows.clone(), self.rest_rows, pattern)?;
        Ok((rows, found))
    }

    /// Reads the rows of `range` in order.
    pub fn read_rows(&self, range: Range<u64>, mut visit: impl FnMut(u64, &[u8])) -> Result<()> {
        /// Rows whose template codes are read together.
        const TOGETHER: u64 = 4096;
        let count = range.end.saturating_sub(range.start);
        let mut words = None;
        if count >= TOGETHER / 4 && self.universe() / 4 <= count {
            self.dictionary.decode(words.insert(ByteColumn::default()))?;
        }
        let mut next: Vec<Option<u64>> = vec![None; self.templates.len() + 1];
        let mut bytes = Vec::new();
        let mut codes = Vec::new();
        let mut start = range.start;
        while start < range.end {
            let end = range.end.min(start + TOGETHER);
            codes.clear();
            codes.resize((end - start) as usize, 0);
            self.codes.decode(start..end, &mut codes)?;
            for (row, &code) in (start..).zip(&codes) {
                let next = usize::try_from(code).ok().and_then(|code| next.get_mut(code));
                let next = next.ok_or_else(|| self.corrupt("a row has no template"))?;
                let place = match *next {
                    Some(place) => place,
                    None => self.window(code, &(row..self.codes.len()))?.start,
                };
                *next = Some(place + 1);
                bytes.clear();
                self.extract_place(words.as_ref(), code, place, &mut bytes)?;
                visit(row, &bytes);
            }
            start = end;
        }
        Ok(())
    }

    /// Appends row `row`.
    pub fn extract(&self, row: u64, out: &mut Vec<u8>) -> Result<()> {
        let (code, place) = self.place(row)?;
        self.extract_place(None, code, place, out)
    }

    /// Appends the `place`-th row of a template.
    pub fn extract_place(&self, words: Words<'_>, code: u64, place: u64, out: &mut Vec<u8>) -> Result<()> {
        let Some(index) = code.checked_sub(1) else {
            let rest = self
                .rest
                .as_ref()
                .ok_or_else(|| self.corrupt("a row is nowhere"))?;
            return rest.extract(place, self.rest_rows, out);
        };
        let template = usize::try_from(index)
            .ok()
            .and_then(|index| self.templates.get(index))
            .filter(|template| place < template.rows)
            .ok_or_else(|| self.corrupt("a row has no template"))?;
        self.extract_tokens(words, template.tokens.clone(), place, out)
    }

    /// Appends tokens of the `place`-th row of their template, and the runs behind them.
    fn extract_tokens(
        &self,
        words: Words<'_>,
        tokens: Range<usize>,
        place: u64,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let bits = self.bits()?;
        let from = out.len();
        for at in tokens {
            match self.tokens.get(at) {
                Some(Token::Constant(start, end)) => out.extend_from_slice(self.slice(*start, *end)),
                Some(Token::Variable(number)) => {
                    let column = self.column(*number)?;
                    match &column.root {
                        // What it is computed from is at hand.
                        Root::Checksum(_) if self.exception(bits, column, place)?.is_none() => {
                            let sum = out.get(from..).and_then(checksum::of);
                            out.extend(sum.ok_or_else(|| self.corrupt("a checksum has nothing before it"))?);
                        }
                        _ => self.value(words, bits, *number, place, out)?,
                    }
                }
                None => {}
            }
            // A template's last token has an empty one.
            if let Some(&(start, end)) = self.runs.get(at) {
                out.extend_from_slice(self.slice(start, end));
            }
        }
        Ok(())
    }

    /// A stretch of the templates' text.
    #[inline]
    pub fn slice(&self, start: u32, end: u32) -> &[u8] {
        self.text.get(start as usize..end as usize).unwrap_or_default()
    }

    /// A column.
    pub fn column(&self, column: u32) -> Result<&Column> {
        self.columns
            .get(column as usize)
            .ok_or_else(|| self.corrupt("a column is nowhere"))
    }

    /// Dictionary number of the value that row `place` has as an exception.
    pub fn exception(&self, bits: &[u8], column: &Column, place: u64) -> Result<Option<u64>> {
        let Some(exceptions) = &column.exceptions else {
            return Ok(None);
        };
        let find = || {
            let Some(index) = exceptions.rows.find(bits, place)? else {
                return Some(None);
            };
            self.exception_value(bits, exceptions, index).map(Some)
        };
        find().ok_or_else(|| self.corrupt("exceptions make no sense"))
    }

    /// Dictionary number of exception number `index`.
    pub fn exception_value(&self, bits: &[u8], exceptions: &Exceptions, index: u64) -> Option<u64> {
        let width = code_width(self.universe());
        read(bits, exceptions.at + index * u64::from(width), width)
    }

    /// Strings of the dictionary.
    pub fn universe(&self) -> u64 {
        self.dictionary.len()
    }

    /// Appends the value of a column in the `place`-th row of its template.
    pub fn value(
        &self,
        words: Words<'_>,
        bits: &[u8],
        column: u32,
        place: u64,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let column = self.column(column)?;
        if let Some(id) = self.exception(bits, column, place)? {
            return self.word(words, id, out);
        }
        let wrong = || self.corrupt("a code makes no sense");
        match &column.root {
            Root::Number(form, fields) => {
                let mut values = [0; MAX_FIELDS];
                for (value, field) in values.iter_mut().zip(fields) {
                    *value = field.get(bits, place)?.ok_or_else(wrong)?;
                }
                form.write(values.iter().copied(), out);
                Ok(())
            }
            Root::Checksum(front) => {
                let mut bytes = Vec::new();
                self.extract_tokens(words, front.clone(), place, &mut bytes)?;
                out.extend(checksum::of(&bytes).ok_or_else(wrong)?);
                Ok(())
            }
            Root::Alias(parent) => match self.column(*parent)?.root {
                Root::Alias(_) | Root::Checksum(_) => Err(wrong()),
                _ => self.value(words, bits, *parent, place, out),
            },
            Root::Local(..) | Root::Global(_) | Root::Function(..) => {
                let id = self.id(bits, column, place)?.ok_or_else(wrong)?;
                self.word(words, id, out)
            }
        }
    }

    /// Dictionary number of a column's value that is none of its exceptions, where it has one.
    pub fn id(&self, bits: &[u8], column: &Column, place: u64) -> Result<Option<u64>> {
        let wrong = || self.corrupt("a code makes no sense");
        Ok(match &column.root {
            Root::Local(values, codes) => {
                let code = codes.get(bits, place)?.ok_or_else(wrong)?;
                Some(values.get(bits, code).ok_or_else(wrong)?)
            }
            Root::Global(codes) => Some(codes.get(bits, place)?.ok_or_else(wrong)?),
            Root::Function(parent, table) => match &self.column(*parent)?.root {
                Root::Local(_, codes) => {
                    let code = codes.get(bits, place)?.ok_or_else(wrong)?;
                    Some(table.get(bits, code).ok_or_else(wrong)?)
                }
                _ => return Err(wrong()),
            },
            Root::Number(..) | Root::Alias(_) | Root::Checksum(_) => None,
        })
    }

    /// Dictionary number of a column's value in the `place`-th row of its template, if it is no number of a form.
    pub fn word_of(&self, bits: &[u8], column: u32, place: u64) -> Result<Option<u64>> {
        let column = self.column(column)?;
        if let Some(id) = self.exception(bits, column, place)? {
            return Ok(Some(id));
        }
        let Root::Alias(parent) = column.root else {
            return self.id(bits, column, place);
        };
        let parent = self.column(parent)?;
        match self.exception(bits, parent, place)? {
            None => self.id(bits, parent, place),
            found => Ok(found),
        }
    }

    /// Calls `visit` with the dictionary's numbers that a column holds by itself, some of them more than once; `None` if
    /// its bits make no sense.
    pub fn each_word(&self, bits: &[u8], column: &Column, visit: &mut impl FnMut(u64)) -> Option<()> {
        if let Some(exceptions) = &column.exceptions {
            for index in 0..exceptions.rows.len() {
                visit(self.exception_value(bits, exceptions, index)?);
            }
        }
        match &column.root {
            Root::Local(values, _) => values.each(bits, visit),
            Root::Global(codes) => codes.each(bits, visit),
            Root::Function(_, table) => match &table.values {
                Some(values) => values.each(bits, visit),
                None => {
                    for code in 0..table.len {
                        visit(table.entry(bits, code)?);
                    }
                    Some(())
                }
            },
            Root::Number(..) | Root::Alias(_) | Root::Checksum(_) => Some(()),
        }
    }

    /// Appends a string of the dictionary.
    pub fn word(&self, words: Words<'_>, id: u64, out: &mut Vec<u8>) -> Result<()> {
        if let Some(words) = words.filter(|words| id < words.len() as u64) {
            out.extend_from_slice(words.get(id as usize));
            return Ok(());
        }
        self.dictionary.extract(id, out)
    }
}
