//! Writing a block: how each column's values are said is chosen by what it would take.

use std::ops::Range;

use super::block::Head;
use super::book::{Book, Column, Expected, LETTERS, Models, NONE, Root, Shape, bins_of, tree_of};
use super::directory::Directory;
use super::fields::{Look, choose_fields};
use super::tree::{self, MOST_SYMBOLS};
use super::walk::{self, State, Writer, nothing};
use super::{bins, read, words};
use crate::error::{Error, Result};
use crate::text::template::bits::BitWriter;
use crate::text::template::coder::Encoder;
use crate::text::template::plan::{self, Plan};
use crate::text::template::{Form, VARIABLE, list, lz, rest};

/// Stands for a field in a template's text.
pub const FIELD: u8 = VARIABLE;
/// Values that a run of rows has at most, about: some microseconds to read.
const RUN_VALUES: u64 = 1024;
/// Rows of a run.
const RUN_ROWS: Range<u64> = 16..257;

/// Encodes the rows of a plan.
pub fn block(mut plan: Plan) -> Result<Vec<u8>> {
    let wrong = || Error::invalid("rows cannot be kept as templates");
    name_many(&mut plan);
    let shape = shape_of(&plan).ok_or_else(wrong)?;
    let templates = plan.templates.len() as u32;
    let run_rows = run_rows(&plan, &shape);
    let mut look = Look::new(&shape);
    let mut codes = Vec::with_capacity(plan.codes.len());
    let mut before = nothing(templates + 1);
    each_row(&plan, &shape, run_rows, |state, place, code, starts| {
        if starts {
            before = nothing(templates + 1);
        }
        codes.push((before, code));
        before = [code, before[0], before[1], before[2]];
        let _ = place;
        match code.checked_sub(1) {
            Some(template) => state.row(&shape, template as usize, &mut look),
            None => Some(()),
        }
    })
    .ok_or_else(wrong)?;
    let mut coder = Encoder::new();
    let mut models = Models::new();
    if templates < MOST_SYMBOLS {
        let tree = tree::Plan::of(codes.into_iter(), 3);
        tree.write(&mut coder, &mut models.trees, tree_of::CODES, templates + 1);
    } else {
        let bins = bins::Plan::of(plan.codes.clone());
        bins.write(&mut coder, &mut models.bins, bins_of::ALL, 0);
    }
    let (letters, shared) = words::plan(&plan.dictionary);
    letters.write(&mut coder, &mut models.trees, tree_of::LETTERS, LETTERS);
    shared.write(&mut coder, &mut models.trees, tree_of::SHARED, LETTERS);
    let odd_words = bins::Plan::of(std::mem::take(&mut look.odd_words));
    odd_words.write(&mut coder, &mut models.bins, bins_of::ALL, 0);
    let (fields, bins) = choose_fields(&plan, &shape, &mut look);
    let mut directory = Directory {
        coder,
        models,
        expected: Expected::default(),
        words: plan.dictionary.len() as u32,
        shape: &shape,
        look,
        fields,
        bins,
    };
    for (template, rows) in shape.templates.iter().zip(&plan.templates) {
        directory.template(template, rows);
    }
    let directory = directory.coder.finish();
    let text: Vec<u8> = plan
        .templates
        .iter()
        .flat_map(|template| template.text.iter().copied())
        .collect();
    let (book, letters) =
        read::read(&directory, &text, templates, plan.dictionary.len() as u32).ok_or_else(wrong)?;
    let (word_starts, word_bytes) = words::write(&plan.dictionary, &letters);
    let (run_starts, rests, rows) = runs(&plan, &book, run_rows).ok_or_else(wrong)?;
    let mut bits = BitWriter::default();
    list::write(&word_starts, word_bytes.len() as u64, &mut bits);
    list::write(&run_starts, rows.len() as u64, &mut bits);
    list::write(&rests, (plan.rest.len() + rests.len()) as u64, &mut bits);
    let (rest_bytes, rest) = rest::encode(&plan.rest, usize::MAX)?;
    let head = Head {
        templates,
        words: plan.dictionary.len() as u32,
        text_bytes: text.len() as u32,
        rest_bytes,
        rest_rows: plan.rest.len() as u32,
        run_rows: run_rows as u32,
        bytes: plan.bytes,
        ..Head::default()
    };
    head.write([
        lz::pack(&text),
        directory,
        bits.into_padded(),
        word_bytes,
        rows,
        rest,
    ])
}

/// Columns of too many values for a tree are kept as words.
fn name_many(plan: &mut Plan) {
    for template in &mut plan.templates {
        for index in 0..template.columns.len() {
            let plan::Root::Local { values, codes } = &template.columns[index].root else {
                continue;
            };
            if values.len() <= MOST_SYMBOLS as usize {
                continue;
            }
            let (own, codes) = (values.clone(), codes.clone());
            for column in &mut template.columns[index + 1..] {
                match &column.root {
                    plan::Root::Function { from, values, table } if *from == index => {
                        let word = |&code: &u32| values[table[code as usize] as usize];
                        let mut words: Vec<u32> = codes.iter().map(word).collect();
                        for &(row, word) in &column.exceptions {
                            words[row as usize] = word;
                        }
                        column.exceptions.clear();
                        column.root = plan::Root::Global(words);
                    }
                    _ => {}
                }
            }
            let words = codes.iter().map(|&code| own[code as usize]).collect();
            template.columns[index].root = plan::Root::Global(words);
        }
    }
}

/// Templates and columns of a plan.
fn shape_of(plan: &Plan) -> Option<Shape> {
    let mut shape = Shape::default();
    for template in &plan.templates {
        let (token, first) = (shape.tokens.len(), shape.columns.len());
        let mut columns = template.columns.iter();
        shape.tokens(&template.text, 0, |shape, token| {
            let column = columns.next()?;
            let root = match &column.root {
                plan::Root::Local { values, .. } => {
                    let start = shape.lists.len();
                    shape.lists.extend_from_slice(values);
                    shape.counts[0] += 1;
                    Root::Local(start..shape.lists.len(), shape.counts[0] - 1)
                }
                plan::Root::Global(_) => {
                    shape.counts[1] += 1;
                    Root::Global(shape.counts[1] - 1)
                }
                plan::Root::Number { radix, digits, .. } => {
                    let literals = token
                        .split(|&byte| byte == VARIABLE)
                        .map(<[u8]>::to_vec)
                        .collect();
                    shape.counts[1] += digits.len() as u32;
                    let form = Form {
                        radix: *radix,
                        literals,
                        digits: digits.clone(),
                    };
                    Root::Number(form, shape.counts[1] - digits.len() as u32)
                }
                plan::Root::Alias(from) => Root::Alias(*from as u32),
                plan::Root::Checksum => Root::Checksum,
                plan::Root::Function { from, values, table } => {
                    let start = shape.lists.len();
                    let words = table.iter().map(|&place| values[place as usize]);
                    shape.lists.extend(words);
                    Root::Function(*from as u32, start..shape.lists.len())
                }
            };
            let mut exceptions = NONE;
            if !column.exceptions.is_empty() {
                exceptions = shape.counts[2];
                shape.counts[2] += 1;
            }
            shape.columns.push(Column {
                root,
                exceptions,
                slot: 0,
            });
            Some(())
        })?;
        shape.close(token..shape.tokens.len(), first);
    }
    Some(shape)
}

fn run_rows(plan: &Plan, shape: &Shape) -> u64 {
    let values: u64 = shape
        .templates
        .iter()
        .zip(&plan.templates)
        .map(|(template, rows)| rows.rows * u64::from(template.slots))
        .sum();
    let a_row = values.div_ceil(plan.codes.len().max(1) as u64).max(1);
    (RUN_VALUES / a_row).clamp(RUN_ROWS.start, RUN_ROWS.end - 1)
}

/// Calls `visit` with the values of each row in the state's slots, its place in its template, its code, and whether a run
/// starts with it.
fn each_row(
    plan: &Plan,
    shape: &Shape,
    run_rows: u64,
    mut visit: impl FnMut(&mut State, usize, u32, bool) -> Option<()>,
) -> Option<()> {
    let mut state = State::new(shape);
    let mut places = vec![0usize; plan.templates.len() + 1];
    // Of each column the exception that comes next.
    let mut next: Vec<usize> = vec![0; shape.columns.len()];
    for (row, &code) in (0u64..).zip(&plan.codes) {
        let starts = row % run_rows == 0;
        if starts {
            state.begin();
        }
        let code = code as usize;
        let place = places[code];
        places[code] += 1;
        if let Some(template) = code.checked_sub(1) {
            let of = &shape.templates[template];
            let columns = &plan.templates[template].columns;
            for (index, column) in columns.iter().enumerate() {
                let exception = &mut next[of.columns.start + index];
                let found = column.exceptions.get(*exception);
                let found = found.filter(|found| found.0 == place as u64);
                *exception += usize::from(found.is_some());
                state.exceptions[index] = found.map_or(NONE, |found| found.1);
                let slot = shape.columns[of.columns.start + index].slot as usize;
                match &column.root {
                    plan::Root::Local { codes, .. } => state.slots[slot] = u64::from(codes[place]),
                    plan::Root::Global(words) => state.slots[slot] = u64::from(words[place]),
                    plan::Root::Number { fields, .. } => {
                        for (slot, field) in state.slots[slot..].iter_mut().zip(fields) {
                            *slot = if found.is_some() { 0 } else { field[place] };
                        }
                    }
                    plan::Root::Alias(_) | plan::Root::Function { .. } | plan::Root::Checksum => {}
                }
            }
        }
        visit(&mut state, place, code as u32, starts)?;
    }
    Some(())
}

/// Runs of rows: where each starts, how many rows of no template and runs come before it, their bytes.
fn runs(plan: &Plan, book: &Book, run_rows: u64) -> Option<(Vec<u64>, Vec<u64>, Vec<u8>)> {
    let (mut starts, mut rests, mut out) = (Vec::new(), Vec::new(), Vec::new());
    let none = plan.templates.len() as u32 + 1;
    let mut writer = Writer {
        book,
        coder: super::coder::Encoder::new(),
    };
    let (mut before, mut rest) = (nothing(none), 0);
    each_row(plan, &book.shape, run_rows, |state, _, code, begins| {
        if begins {
            if !starts.is_empty() {
                let coder = std::mem::replace(&mut writer.coder, super::coder::Encoder::new());
                out.extend(coder.finish_some());
            }
            rests.push(rest + starts.len() as u64);
            starts.push(out.len() as u64);
            before = nothing(none);
        }
        walk::write_code(book, &mut writer.coder, &mut before, code);
        match code.checked_sub(1) {
            Some(template) => state.row(&book.shape, template as usize, &mut writer),
            None => {
                rest += 1;
                Some(())
            }
        }
    })?;
    out.extend(writer.coder.finish_some());
    Some((starts, rests, out))
}
