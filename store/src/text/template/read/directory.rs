//! The directory: what each column is kept as, and where its bits and codes are.

use std::ops::Range;

use super::super::coder::Decoder;
use super::super::encode::{Models, context};
use super::super::list::List;
use super::super::number::{Form, MAX_FIELDS, Radix};
use super::super::sequence::{Sequence, code_width};
use super::super::tokens::{END, VARIABLE, is_delimiter};
use super::super::{Head, MAX_COLUMNS};
use super::{Column, Exceptions, Model, Root, Table, Template, Token};
use crate::codes::{self, Codes, CodesKind};
use crate::error::Result;
use crate::section::Section;

/// Kind of a column of checksums.
const CHECKSUM: usize = 5;

/// Reads the directory: templates, columns, and the lengths of the sections of codes.
pub(super) struct Sections<'a> {
    coder: Decoder<'a>,
    models: Models,
    /// Bit where the next column's bits start.
    at: u64,
    universe: u64,
}

/// A column as the directory describes it, its sequences still without their codes.
struct Draft {
    kind: usize,
    form: Option<Form>,
    list: Option<List>,
    parent: u32,
    /// The tokens before it in the row.
    front: Range<usize>,
    table: Option<Table>,
    exceptions: Option<Exceptions>,
    heads: Vec<(super::super::sequence::Head, u64)>,
    rows: u64,
}

impl<'a> Sections<'a> {
    /// Adds to `model` what the directory says: templates, tokens and columns. Gives the number of sections.
    pub(super) fn lengths(
        section: &Section,
        head: &Head,
        directory: &'a [u8],
        codes: &Section,
        model: &mut Model,
        universe: u64,
    ) -> Result<u32> {
        let corrupt = || section.corrupt(0, "the directory of templates makes no sense".to_string());
        let mut reader = Sections {
            coder: Decoder::new(directory),
            models: Models::new(),
            at: 0,
            universe,
        };
        let mut drafts = Vec::new();
        let text = std::mem::take(&mut model.text);
        let mut at = 0;
        for _ in 0..head.templates {
            at = reader
                .template(&text, at, head.rows, model, &mut drafts)
                .ok_or_else(corrupt)?;
        }
        model.text = text;
        if at != model.text.len() || reader.at > model.section.len().saturating_mul(8) {
            return Err(corrupt());
        }
        let mut places = Vec::new();
        let mut start = 0u64;
        for _ in 0..head.sections {
            let kind = reader.models.flags.read(&mut reader.coder, 1) as u16 + 1;
            let length = reader.models.numbers.read(&mut reader.coder, context::SECTION);
            let end = start.checked_add(length).filter(|&end| end <= codes.len());
            let end = end.filter(|_| !reader.coder.overrun()).ok_or_else(corrupt)?;
            places.push((CodesKind::from_code(kind).ok_or_else(corrupt)?, start..end));
            start = end.next_multiple_of(8).min(codes.len());
        }
        let mut open = |number: u64| -> Result<Box<dyn Codes>> {
            let place = usize::try_from(number).ok().and_then(|number| places.get(number));
            let (kind, range) = place.ok_or_else(corrupt)?;
            codes::open(*kind, codes.sub(range.clone())?)
        };
        for draft in drafts {
            let column = draft.finish(&mut open).ok_or_else(corrupt)??;
            model.columns.push(column);
        }
        Ok(head.sections)
    }

    /// Reads a template whose text starts at `at`; gives where it ends.
    fn template(
        &mut self,
        text: &[u8],
        mut at: usize,
        most_rows: u64,
        model: &mut Model,
        drafts: &mut Vec<Draft>,
    ) -> Option<usize> {
        let rows = self.models.rows.read(&mut self.coder, 0);
        if rows == 0 || rows > most_rows || self.coder.overrun() {
            return None;
        }
        let first_token = model.tokens.len();
        let first_column = drafts.len();
        let mut before = 0;
        loop {
            let start = at;
            let mut fields = 0;
            while text
                .get(at)
                .is_some_and(|&byte| byte != END && !is_delimiter(byte))
            {
                fields += usize::from(text[at] == VARIABLE);
                at += 1;
            }
            if fields == 0 {
                model.tokens.push(Token::Constant(start as u32, at as u32));
            } else {
                model.tokens.push(Token::Variable(drafts.len() as u32));
                let mut draft =
                    self.column(text.get(start..at)?, fields, rows, first_column, drafts, before)?;
                before = draft.kind;
                if draft.kind == CHECKSUM {
                    // One a row at most: to tell one, what stands before it is read.
                    let here = drafts.get(first_column..)?;
                    let is_first = here.iter().all(|draft| draft.kind != CHECKSUM);
                    if !is_first || text.get(start.checked_sub(1)?) != Some(&b'*') {
                        return None;
                    }
                    draft.front = first_token..model.tokens.len() - 1;
                }
                drafts.push(draft);
            }
            let start = at;
            while text.get(at).is_some_and(|&byte| is_delimiter(byte)) {
                at += 1;
            }
            model.runs.push((start as u32, at as u32));
            if *text.get(at)? == END && at == start {
                break;
            }
        }
        model.templates.push(Template {
            rows,
            tokens: first_token..model.tokens.len(),
        });
        Some(at + 1)
    }

    fn number(&mut self, context: usize) -> u64 {
        self.models.numbers.read(&mut self.coder, context)
    }

    fn list(&mut self, count: u64, universe: u64) -> Option<List> {
        if count > universe {
            return None;
        }
        let list = List::new(self.at, count, universe);
        self.at = self.at.checked_add(list.bits())?;
        Some(list)
    }

    fn head(&mut self, context: usize, draft: &mut Draft) -> Option<()> {
        let head = self.models.heads.read(&mut self.coder, context)?;
        let end = head.end(draft.rows, self.at)?;
        draft.heads.push((head, self.at));
        self.at = end;
        Some(())
    }

    fn column(
        &mut self,
        token: &[u8],
        fields: usize,
        rows: u64,
        first: usize,
        drafts: &[Draft],
        before: usize,
    ) -> Option<Draft> {
        if self.coder.overrun() || drafts.len() >= MAX_COLUMNS {
            return None;
        }
        let mut draft = Draft {
            kind: self.models.kinds.read(&mut self.coder, before),
            form: None,
            list: None,
            parent: 0,
            front: 0..0,
            table: None,
            exceptions: None,
            heads: Vec::new(),
            rows,
        };
        match draft.kind {
            0 => {
                let count = self.number(context::DISTINCT);
                draft.list = Some(self.list(count, self.universe)?);
                self.head(0, &mut draft)?;
            }
            1 => self.head(1, &mut draft)?,
            2 => {
                if fields > MAX_FIELDS {
                    return None;
                }
                let radix = Radix::from_code(self.models.flags.read(&mut self.coder, 0))?;
                let mut digits = Vec::new();
                for _ in 0..fields {
                    digits.push(
                        u8::try_from(self.number(context::DIGITS))
                            .ok()
                            .filter(|&d| d <= 20)?,
                    );
                }
                let literals = token
                    .split(|&byte| byte == VARIABLE)
                    .map(<[u8]>::to_vec)
                    .collect();
                draft.form = Some(Form {
                    radix,
                    literals,
                    digits,
                });
                draft.exceptions = self.exceptions(0, rows)?;
                for _ in 0..fields {
                    self.head(2, &mut draft)?;
                }
            }
            3 => {
                let parent = self.parent(context::ALIAS, first, drafts)?;
                draft.parent = parent as u32;
                draft.exceptions = self.exceptions(1, rows)?;
            }
            4 => {
                let parent = self.parent(context::FUNCTION, first, drafts)?;
                draft.parent = parent as u32;
                let len = drafts.get(parent)?.list?.len();
                let values = self.number(context::VALUES);
                let (list, width) = match values {
                    0 => (None, code_width(self.universe)),
                    _ => (Some(self.list(values, self.universe)?), code_width(values)),
                };
                let at = self.at;
                self.at = at.checked_add(len.checked_mul(u64::from(width))?)?;
                draft.table = Some(Table {
                    at,
                    len,
                    width,
                    values: list,
                });
                draft.exceptions = self.exceptions(2, rows)?;
            }
            CHECKSUM => draft.exceptions = self.exceptions(1, rows)?,
            _ => return None,
        }
        Some(draft)
    }

    fn parent(&mut self, context: usize, first: usize, drafts: &[Draft]) -> Option<usize> {
        let back = usize::try_from(self.number(context)).ok()?;
        let parent = drafts.len().checked_sub(back.checked_add(1)?)?;
        (parent >= first && drafts.get(parent)?.kind < 3).then_some(parent)
    }

    fn exceptions(&mut self, kind: usize, rows: u64) -> Option<Option<Exceptions>> {
        let count = self.number(context::EXCEPTIONS + kind);
        if count == 0 {
            return Some(None);
        }
        let rows = self.list(count, rows)?;
        let at = self.at;
        let width = u64::from(code_width(self.universe));
        self.at = at.checked_add(count.checked_mul(width)?)?;
        Some(Some(Exceptions { rows, at }))
    }
}

impl Draft {
    fn finish(self, open: &mut dyn FnMut(u64) -> Result<Box<dyn Codes>>) -> Option<Result<Column>> {
        let mut sequences = Vec::new();
        for (head, at) in &self.heads {
            match Sequence::new(head, self.rows, *at, open)? {
                Ok((sequence, _)) => sequences.push(sequence),
                Err(error) => return Some(Err(error)),
            }
        }
        let root = match self.kind {
            0 => Root::Local(self.list?, sequences.pop()?),
            1 => Root::Global(sequences.pop()?),
            2 => Root::Number(self.form?, sequences),
            3 => Root::Alias(self.parent),
            CHECKSUM => Root::Checksum(self.front),
            _ => Root::Function(self.parent, self.table?),
        };
        Some(Ok(Column {
            root,
            exceptions: self.exceptions,
        }))
    }
}
