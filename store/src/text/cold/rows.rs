//! Rows of a block: one, some in order, or all as templates and columns.

use std::ops::Range;

use super::block::{Block, MOST_VALUES, Opened};
use super::book::{NONE, Root, Template};
use super::coder::Decoder;
use super::walk::{Reader, State, nothing, read_code};
use crate::batch::ByteColumn;
use crate::error::{Error, Result};
use crate::text::template::MAX_FIELDS;
use crate::text::template::checksum;
use crate::text::template::plan::{self, Plan};

/// Words, where so many rows are read that they were read whole.
type Words<'w> = Option<&'w ByteColumn>;

impl Block {
    fn wrong(&self) -> Error {
        self.corrupt("a row makes no sense")
    }

    /// Walks the rows of `range`, which lie in runs from the first one on. Calls `visit` with each, its template's code, its
    /// place among the rows of no template if it is of them, and the state after it.
    fn walk(
        &self,
        range: Range<u64>,
        mut visit: impl FnMut(&Opened, u32, u64, &State) -> Result<()>,
    ) -> Result<()> {
        let opened = self.opened()?;
        let book = &opened.book;
        let run_rows = u64::from(self.head.run_rows);
        let kept = opened.state.try_lock().ok().and_then(|mut state| state.take());
        let mut state = kept.unwrap_or_else(|| State::new(&book.shape));
        let bytes = self.run_bytes()?;
        let bytes = bytes.all()?;
        let mut row = range.start / run_rows * run_rows;
        while row < range.end {
            let (stream, mut rest) = self.run(opened, row / run_rows)?;
            let mut reader = Reader {
                book,
                coder: Decoder::new(bytes.get(stream).unwrap_or_default()),
                words: u64::from(self.head.words),
            };
            state.begin();
            let mut before = nothing(self.head.templates + 1);
            let end = range.end.min(row + run_rows);
            while row < end {
                let code = read_code(book, &mut reader.coder, &mut before).ok_or_else(|| self.wrong())?;
                if let Some(template) = code.checked_sub(1) {
                    state
                        .row(&book.shape, template as usize, &mut reader)
                        .ok_or_else(|| self.wrong())?;
                }
                if reader.coder.overrun() {
                    return Err(self.wrong());
                }
                if row >= range.start {
                    visit(opened, code, rest, &state)?;
                }
                rest += u64::from(code == 0);
                row += 1;
            }
        }
        if let Ok(mut kept) = opened.state.try_lock() {
            *kept = Some(state);
        }
        Ok(())
    }

    /// Appends row `row`.
    pub fn extract(&self, row: u64, out: &mut Vec<u8>) -> Result<()> {
        self.walk(row..row + 1, |opened, code, rest, state| {
            self.render(opened, None, code, rest, state, out)
        })
    }

    /// Appends the rows of `range`.
    pub fn decode(&self, range: Range<u64>, out: &mut ByteColumn) -> Result<()> {
        let mut words = None;
        if u64::from(self.head.words) <= 4 * (range.end - range.start) {
            words = Some(self.words(self.opened()?)?);
        }
        self.walk(range, |opened, code, rest, state| {
            self.render(opened, words.as_ref(), code, rest, state, out.buffer())?;
            out.close();
            Ok(())
        })
    }

    /// Appends the row that was walked last.
    fn render(
        &self,
        opened: &Opened,
        words: Words<'_>,
        code: u32,
        rest: u64,
        state: &State,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let Some(template) = code.checked_sub(1) else {
            let rows = opened.rest.as_ref().ok_or_else(|| self.wrong())?;
            return rows.extract(rest, u64::from(self.head.rest_rows), out);
        };
        let shape = &opened.book.shape;
        let template = shape
            .templates
            .get(template as usize)
            .ok_or_else(|| self.wrong())?;
        let slice =
            |(start, end): (u32, u32)| opened.text.get(start as usize..end as usize).unwrap_or_default();
        let from = out.len();
        for token in shape.tokens.get(template.tokens.clone()).unwrap_or_default() {
            match token.word {
                (column, NONE) => self.value(opened, words, template, column, state, (out, from))?,
                constant => out.extend_from_slice(slice(constant)),
            }
            out.extend_from_slice(slice(token.run));
        }
        Ok(())
    }

    fn value(
        &self,
        opened: &Opened,
        words: Words<'_>,
        template: &Template,
        column: u32,
        state: &State,
        (out, from): (&mut Vec<u8>, usize),
    ) -> Result<()> {
        let shape = &opened.book.shape;
        let column_of = |column: u32| shape.columns.get(template.columns.start + column as usize);
        let mut place = column;
        let mut column = column_of(place).ok_or_else(|| self.wrong())?;
        let odd = |place: u32, exceptions: u32| {
            let odd = state.exceptions.get(place as usize).copied();
            odd.filter(|&odd| exceptions != NONE && odd != NONE)
        };
        let mut exception = odd(place, column.exceptions);
        if let (Root::Alias(from), None) = (&column.root, exception) {
            place = *from;
            column = column_of(place).ok_or_else(|| self.wrong())?;
            exception = odd(place, column.exceptions);
        }
        let slot = column.slot as usize;
        let listed = |list: &Range<usize>, slot: usize| {
            let code = usize::try_from(*state.slots.get(slot)?).ok()?;
            shape.lists.get(list.clone())?.get(code).copied()
        };
        let word = match (&column.root, exception) {
            (_, Some(word)) => Some(word),
            (Root::Local(list, _), _) => listed(list, slot),
            (Root::Global(_), _) => state.slots.get(slot).and_then(|&word| u32::try_from(word).ok()),
            (Root::Function(from, table), _) => {
                let from = column_of(*from).ok_or_else(|| self.wrong())?;
                listed(table, from.slot as usize)
            }
            (Root::Number(form, _), _) => {
                let values = state.slots.get(slot..).unwrap_or_default();
                form.write(values.iter().copied().take(MAX_FIELDS), out);
                return Ok(());
            }
            (Root::Checksum, _) => {
                let sum = out.get(from..).and_then(checksum::of);
                out.extend(sum.ok_or_else(|| self.wrong())?);
                return Ok(());
            }
            (Root::Alias(_), _) => None,
        };
        let word = word.ok_or_else(|| self.wrong())?;
        match words {
            Some(words) if (word as usize) < words.len() => {
                out.extend_from_slice(words.get(word as usize));
                Ok(())
            }
            _ => self.word(opened, u64::from(word), out),
        }
    }

    /// All rows as templates and columns.
    pub fn plan(&self) -> Result<Plan> {
        let opened = self.opened()?;
        let shape = &opened.book.shape;
        let mut plan = Plan {
            dictionary: self.words(opened)?,
            bytes: self.head.bytes,
            ..Plan::default()
        };
        for template in &shape.templates {
            plan.templates.push(self.template(opened, template)?);
        }
        // A value takes a byte of a row or a delimiter next to it, but for a template's first.
        let most = self.head.bytes.min(MOST_VALUES) + 2 * self.rows;
        let mut values = 0;
        self.walk(0..self.rows, |opened, code, _, state| {
            plan.codes.push(u64::from(code));
            let Some(template) = code.checked_sub(1) else {
                return Ok(());
            };
            let of = shape
                .templates
                .get(template as usize)
                .ok_or_else(|| self.wrong())?;
            values += of.slots as u64;
            if values > most {
                return Err(self.corrupt("rows have more values than bytes"));
            }
            let template = &mut plan.templates[template as usize];
            for &index in opened.book.shape.coded.get(of.coded.clone()).unwrap_or_default() {
                let column = &shape.columns[of.columns.start + index as usize];
                let odd = state.exceptions[index as usize];
                let odd = Some(odd).filter(|&odd| column.exceptions != NONE && odd != NONE);
                note(
                    &mut template.columns[index as usize],
                    template.rows,
                    odd,
                    &state.slots[column.slot as usize..],
                );
            }
            template.rows += 1;
            Ok(())
        })?;
        if let Some(rest) = &opened.rest {
            let mut row = Vec::new();
            for index in 0..u64::from(self.head.rest_rows) {
                row.clear();
                rest.extract(index, u64::from(self.head.rest_rows), &mut row)?;
                plan.rest.push(&row);
            }
        }
        let known: u64 = plan.templates.iter().map(|template| template.rows).sum();
        if known + plan.rest.len() as u64 != self.rows {
            return Err(self.corrupt("templates and rest do not have all rows"));
        }
        Ok(plan)
    }

    /// A template of no rows yet.
    fn template(&self, opened: &Opened, template: &Template) -> Result<plan::Template> {
        let shape = &opened.book.shape;
        let mut out = plan::Template::default();
        let tokens = shape.tokens.get(template.tokens.clone()).unwrap_or_default();
        let columns = shape.columns.get(template.columns.clone()).unwrap_or_default();
        let mut text = Vec::new();
        let slice =
            |(start, end): (u32, u32)| opened.text.get(start as usize..end as usize).unwrap_or_default();
        for token in tokens {
            match token.word {
                (column, NONE) => match columns.get(column as usize).map(|column| &column.root) {
                    Some(Root::Number(form, _)) => text.extend(form.literals.join(&super::write::FIELD)),
                    _ => text.push(super::write::FIELD),
                },
                constant => text.extend_from_slice(slice(constant)),
            }
            text.extend_from_slice(slice(token.run));
        }
        text.push(0);
        out.text = text;
        for column in columns {
            let list = |list: &Range<usize>| shape.lists.get(list.clone()).unwrap_or_default().to_vec();
            let root = match &column.root {
                Root::Local(values, _) => plan::Root::Local {
                    values: list(values),
                    codes: Vec::new(),
                },
                Root::Global(_) => plan::Root::Global(Vec::new()),
                Root::Number(form, _) => plan::Root::Number {
                    radix: form.radix,
                    digits: form.digits.clone(),
                    fields: vec![Vec::new(); form.digits.len()],
                },
                Root::Alias(from) => plan::Root::Alias(*from as usize),
                Root::Checksum => plan::Root::Checksum,
                Root::Function(from, table) => {
                    let found = list(table);
                    let mut values = found.clone();
                    values.sort_unstable();
                    values.dedup();
                    let place = |word: &u32| values.partition_point(|value| value < word) as u32;
                    let table = found.iter().map(place).collect();
                    plan::Root::Function {
                        from: *from as usize,
                        values,
                        table,
                    }
                }
            };
            out.columns.push(plan::Column {
                root,
                exceptions: Vec::new(),
            });
        }
        Ok(out)
    }
}

/// Notes what a row says of a column.
fn note(column: &mut plan::Column, row: u64, odd: Option<u32>, slots: &[u64]) {
    if let Some(word) = odd {
        column.exceptions.push((row, word));
    }
    let first = slots.first().copied().unwrap_or(0);
    match &mut column.root {
        plan::Root::Local { codes, .. } => codes.push(first as u32),
        plan::Root::Global(words) => words.push(first as u32),
        plan::Root::Number { fields, .. } => {
            for (field, &value) in fields.iter_mut().zip(slots) {
                let last = field.last().copied();
                field.push(if odd.is_some() {
                    last.unwrap_or(value)
                } else {
                    value
                });
            }
        }
        plan::Root::Alias(_) | plan::Root::Function { .. } | plan::Root::Checksum => {}
    }
}
