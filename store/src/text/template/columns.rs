//! What the columns of a template are kept as, by price.
//!
//! Most columns of a log follow from others of the same row. So each is first held against the columns before it, and
//! only what follows from none of them gets codes of its own.

use std::collections::HashMap;

use super::checksum;
use super::list::List;
use super::number::{Form, outline};
use super::sequence::{self, code_width};
use super::tokens::Tokens;

/// Rows of a column that may be exceptions, as 1 / this.
const EXCEPTIONS: usize = 8;
/// Bits of a byte in the dictionary, about.
const BYTE_BITS: f64 = 5.0;
/// Bits that a column costs whatever it is.
const HEAD_BITS: f64 = 12.0;
/// Rows that are compared before a column is held against another one whole.
const GLANCE: usize = 64;

/// What a column is kept as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Codes of the column's own values.
    Local,
    /// Numbers of the dictionary.
    Global,
    /// Fields of a form.
    Number(Form),
    /// The same token as the column at this position.
    Alias(usize),
    /// A value for each code of the local column at this position.
    Function(usize),
    /// The checksum of what stands before it in the row.
    Checksum,
}

/// A variable position of a template, and what it is kept as.
#[derive(Debug, Clone)]
pub struct Choice {
    /// Position in the row's tokens.
    pub position: usize,
    /// What it is kept as.
    pub kind: Kind,
    /// Rows (of the template) that are told by themselves.
    pub exceptions: Vec<u32>,
}

/// The tokens at one position of the rows of a template.
#[derive(Debug, Default)]
pub struct Values {
    /// Distinct tokens, in byte order.
    pub distinct: Vec<u32>,
    /// Place of each row's token among them.
    pub codes: Vec<u32>,
}

/// What is known of all tokens, and buffers for counting them.
#[derive(Debug)]
pub struct Words {
    /// Place of each token in byte order.
    pub ranks: Vec<u32>,
    /// Columns in which each token occurs.
    columns: Vec<u32>,
    /// Whether the dictionary needs each token.
    pub used: Vec<bool>,
    stamps: Vec<u32>,
    places: Vec<u32>,
    serial: u32,
}

impl Words {
    /// Sorts the tokens.
    pub fn new(tokens: &Tokens<'_>) -> Self {
        let count = tokens.words.len();
        let mut sorted: Vec<u32> = (0..count as u32).collect();
        sorted.sort_unstable_by_key(|&word| tokens.word(word));
        let mut ranks = vec![0; count];
        for (rank, &word) in (0u32..).zip(&sorted) {
            ranks[word as usize] = rank;
        }
        Words {
            ranks,
            columns: vec![0; count],
            used: vec![false; count],
            stamps: vec![0; count],
            places: vec![0; count],
            serial: 0,
        }
    }

    /// The values at `position` of `rows`.
    pub fn values(&mut self, tokens: &Tokens<'_>, rows: &[u32], position: usize) -> Values {
        self.serial += 1;
        let mut values = Values::default();
        for &row in rows {
            let word = tokens.row(row)[position];
            if self.stamps[word as usize] != self.serial {
                self.stamps[word as usize] = self.serial;
                values.distinct.push(word);
            }
            values.codes.push(word);
        }
        values
            .distinct
            .sort_unstable_by_key(|&word| self.ranks[word as usize]);
        for (place, &word) in (0u32..).zip(&values.distinct) {
            self.places[word as usize] = place;
        }
        for code in &mut values.codes {
            *code = self.places[*code as usize];
        }
        values
    }

    /// Notes that a column has these values.
    pub fn note(&mut self, values: &Values) {
        for &word in &values.distinct {
            self.columns[word as usize] += 1;
        }
    }

    /// Bits that these values cost in the dictionary, shared with the other columns that have them.
    fn text_bits(&self, tokens: &Tokens<'_>, distinct: &[u32]) -> f64 {
        distinct
            .iter()
            .map(|&word| {
                BYTE_BITS * (tokens.word(word).len() + 1) as f64
                    / f64::from(self.columns[word as usize].max(1))
            })
            .sum()
    }

    fn universe(&self) -> u64 {
        self.ranks.len() as u64
    }

    fn use_words(&mut self, words: impl Iterator<Item = u32>) {
        for word in words {
            self.used[word as usize] = true;
        }
    }
}

/// Positions of `rows` whose token is not always the same.
pub fn variables(tokens: &Tokens<'_>, rows: &[u32]) -> Vec<usize> {
    let Some(first) = rows.first().map(|&row| tokens.row(row)) else {
        return Vec::new();
    };
    let mut varies = vec![false; first.len()];
    for &row in rows {
        for ((varies, word), other) in varies.iter_mut().zip(tokens.row(row)).zip(first) {
            *varies |= word != other;
        }
    }
    (0..first.len()).filter(|&position| varies[position]).collect()
}

/// A column, its choice and its price.
struct Candidate {
    kind: Kind,
    exceptions: Vec<u32>,
    bits: f64,
}

/// Chooses what each variable position of `rows` is kept as.
pub fn choose(tokens: &Tokens<'_>, words: &mut Words, rows: &[u32]) -> Vec<Choice> {
    let positions = variables(tokens, rows);
    let columns: Vec<Values> = positions
        .iter()
        .map(|&position| words.values(tokens, rows, position))
        .collect();
    let mut choices: Vec<Choice> = Vec::new();
    for (index, column) in columns.iter().enumerate() {
        let mut best = derived(tokens, words, &choices, &columns, index);
        // A column that follows from another at next to no cost needs no further look.
        if best.as_ref().is_none_or(|best| best.bits > 2.0 * HEAD_BITS) {
            let is_first = choices.iter().all(|choice| choice.kind != Kind::Checksum);
            let sum = is_first.then(|| checksum_of(tokens, words, rows, positions[index], column));
            let mut better = |candidate: Candidate| {
                if best.as_ref().is_none_or(|best| candidate.bits < best.bits) {
                    best = Some(candidate);
                }
            };
            better(ids(tokens, words, column));
            if let Some(sum) = sum.flatten() {
                better(sum);
            }
            if let Some(number) = number(tokens, words, column) {
                better(number);
            }
        }
        let Some(best) = best else { continue };
        let word_of = |row: u32| column.distinct[column.codes[row as usize] as usize];
        match &best.kind {
            Kind::Local | Kind::Global | Kind::Function(_) => {
                words.use_words(column.distinct.iter().copied())
            }
            Kind::Number(_) | Kind::Alias(_) | Kind::Checksum => {}
        }
        words.use_words(best.exceptions.iter().map(|&row| word_of(row)));
        choices.push(Choice {
            position: positions[index],
            kind: best.kind,
            exceptions: best.exceptions,
        });
    }
    choices
}

fn list_bits(count: usize, universe: u64) -> f64 {
    List::new(0, count as u64, universe).bits() as f64
}

/// Codes of its own values, or numbers of the dictionary.
fn ids(tokens: &Tokens<'_>, words: &Words, column: &Values) -> Candidate {
    let text = words.text_bits(tokens, &column.distinct);
    let codes: Vec<u64> = column.codes.iter().map(|&code| u64::from(code)).collect();
    let local = list_bits(column.distinct.len(), words.universe()) + sequence::price(&codes);
    let mut candidate = Candidate {
        kind: Kind::Local,
        exceptions: Vec::new(),
        bits: HEAD_BITS + text + local,
    };
    if column.distinct.len() * 4 > column.codes.len() {
        let ranks: Vec<u64> = column
            .codes
            .iter()
            .map(|&code| u64::from(words.ranks[column.distinct[code as usize] as usize]))
            .collect();
        let global = sequence::price(&ranks);
        if global < local {
            candidate.kind = Kind::Global;
            candidate.bits = HEAD_BITS + text + global;
        }
    }
    candidate
}

/// Checksums of the rows as far as `position`, if most of the values are that.
fn checksum_of(
    tokens: &Tokens<'_>,
    words: &Words,
    rows: &[u32],
    position: usize,
    column: &Values,
) -> Option<Candidate> {
    let shape = *tokens.row_shapes.get(*rows.first()? as usize)?;
    let runs = tokens.shape(shape);
    let before = runs.get(position.checked_sub(1)?)?;
    if tokens.run(*before).last() != Some(&b'*') {
        return None;
    }
    let mut exceptions = Vec::new();
    let mut front = Vec::new();
    for ((place, &row), &code) in (0u32..).zip(rows).zip(&column.codes) {
        front.clear();
        for (&word, &run) in tokens.row(row).iter().zip(runs).take(position) {
            front.extend_from_slice(tokens.word(word));
            front.extend_from_slice(tokens.run(run));
        }
        let sum = checksum::of(&front)?;
        if tokens.word(column.distinct[code as usize]) != sum {
            exceptions.push(place);
            if exceptions.len() > column.codes.len() / EXCEPTIONS {
                return None;
            }
        }
    }
    Some(Candidate {
        kind: Kind::Checksum,
        bits: HEAD_BITS + exception_bits(tokens, words, column, &exceptions),
        exceptions,
    })
}

/// Fields of the form that most of the values have.
fn number(tokens: &Tokens<'_>, words: &Words, column: &Values) -> Option<Candidate> {
    let texts: Vec<&[u8]> = column.distinct.iter().map(|&word| tokens.word(word)).collect();
    let mut outlines: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut buffer = Vec::new();
    let step = texts.len().div_ceil(256);
    for text in texts.iter().step_by(step) {
        outline(text, &mut buffer);
        *outlines.entry(buffer.clone()).or_default() += 1;
    }
    let (most, count) = outlines
        .iter()
        .max_by_key(|(outline, count)| (**count, *outline))?;
    let form = if count * 8 >= texts.len().div_ceil(step) * 7 && most.contains(&0) {
        let alike: Vec<&[u8]> = texts
            .iter()
            .copied()
            .filter(|text| {
                outline(text, &mut buffer);
                buffer == *most
            })
            .collect();
        Form::of(&alike)?
    } else {
        Form::of(&texts)?
    };
    let fields = form.digits.len();
    let mut values = Vec::new();
    let parsed: Vec<Option<Vec<u64>>> = texts
        .iter()
        .map(|text| form.read(text, &mut values).map(|()| values.clone()))
        .collect();
    let mut exceptions = Vec::new();
    let mut sequences: Vec<Vec<u64>> = vec![Vec::with_capacity(column.codes.len()); fields];
    for (row, &code) in (0u32..).zip(&column.codes) {
        match &parsed[code as usize] {
            Some(values) => {
                for (sequence, &value) in sequences.iter_mut().zip(values) {
                    sequence.push(value);
                }
            }
            None => {
                exceptions.push(row);
                for sequence in &mut sequences {
                    sequence.push(sequence.last().copied().unwrap_or(0));
                }
            }
        }
        if exceptions.len() * EXCEPTIONS > column.codes.len() {
            return None;
        }
    }
    for sequence in &mut sequences {
        fill_front(sequence, &exceptions);
    }
    let mut bits = HEAD_BITS + exception_bits(tokens, words, column, &exceptions);
    for sequence in &sequences {
        bits += sequence::price(sequence);
    }
    Some(Candidate {
        kind: Kind::Number(form),
        exceptions,
        bits,
    })
}

/// Gives exceptions at the front, which have no code before them, the first code there is.
fn fill_front(sequence: &mut [u64], exceptions: &[u32]) {
    let missing = (0u32..)
        .zip(exceptions)
        .take_while(|(row, exception)| row == *exception)
        .count();
    let value = sequence.get(missing).copied().unwrap_or(0);
    sequence.iter_mut().take(missing).for_each(|code| *code = value);
}

/// The values of the fields of a number column, row by row.
pub fn fields(tokens: &Tokens<'_>, form: &Form, column: &Values, exceptions: &[u32]) -> Vec<Vec<u64>> {
    let mut sequences: Vec<Vec<u64>> = vec![Vec::with_capacity(column.codes.len()); form.digits.len()];
    let mut values = Vec::new();
    let mut next = exceptions.iter().peekable();
    for (row, &code) in (0u32..).zip(&column.codes) {
        if next.next_if(|&&exception| exception == row).is_some() {
            for sequence in &mut sequences {
                sequence.push(sequence.last().copied().unwrap_or(0));
            }
            continue;
        }
        let read = form.read(tokens.word(column.distinct[code as usize]), &mut values);
        debug_assert!(read.is_some(), "rows without the form are exceptions");
        for (sequence, &value) in sequences.iter_mut().zip(&values) {
            sequence.push(value);
        }
    }
    for sequence in &mut sequences {
        fill_front(sequence, exceptions);
    }
    sequences
}

fn exception_bits(tokens: &Tokens<'_>, words: &Words, column: &Values, exceptions: &[u32]) -> f64 {
    if exceptions.is_empty() {
        return 0.0;
    }
    let mut distinct: Vec<u32> = exceptions
        .iter()
        .map(|&row| column.distinct[column.codes[row as usize] as usize])
        .collect();
    distinct.sort_unstable();
    distinct.dedup();
    list_bits(exceptions.len(), column.codes.len() as u64)
        + exceptions.len() as f64 * f64::from(code_width(words.universe()))
        + words.text_bits(tokens, &distinct)
        + 8.0
}

/// The column before `index` from which it follows at the least cost.
fn derived(
    tokens: &Tokens<'_>,
    words: &Words,
    choices: &[Choice],
    columns: &[Values],
    index: usize,
) -> Option<Candidate> {
    let column = &columns[index];
    let rows = column.codes.len();
    let most = rows / EXCEPTIONS;
    let mut best: Option<Candidate> = None;
    let mut table: Vec<(u32, u32)> = Vec::new();
    let text = words.text_bits(tokens, &column.distinct);
    for (choice, parent) in choices.iter().zip(columns) {
        if matches!(choice.kind, Kind::Alias(_) | Kind::Function(_) | Kind::Checksum) {
            continue;
        }
        if parent.distinct == column.distinct || alike(column, parent) {
            let exceptions: Vec<u32> = (0u32..)
                .zip(column.codes.iter().zip(&parent.codes))
                .filter(|(_, (a, b))| column.distinct[**a as usize] != parent.distinct[**b as usize])
                .map(|(row, _)| row)
                .collect();
            let bits = HEAD_BITS + exception_bits(tokens, words, column, &exceptions);
            if exceptions.len() <= most && best.as_ref().is_none_or(|best| bits < best.bits) {
                best = Some(Candidate {
                    kind: Kind::Alias(choice.position),
                    exceptions,
                    bits,
                });
            }
        }
        if choice.kind != Kind::Local || parent.distinct.len() * 2 > rows + 8 {
            continue;
        }
        let table_bits =
            HEAD_BITS + text + table_bits(parent.distinct.len(), column.distinct.len(), words.universe()).0;
        if best.as_ref().is_some_and(|best| best.bits <= table_bits)
            || !follows(column, parent, &mut table, GLANCE)
        {
            continue;
        }
        if !follows(column, parent, &mut table, rows) {
            continue;
        }
        let exceptions: Vec<u32> = (0u32..)
            .zip(column.codes.iter().zip(&parent.codes))
            .filter(|(_, (code, from))| table[**from as usize].0 != **code)
            .map(|(row, _)| row)
            .collect();
        let bits = table_bits + exception_bits(tokens, words, column, &exceptions);
        if exceptions.len() <= most && best.as_ref().is_none_or(|best| bits < best.bits) {
            best = Some(Candidate {
                kind: Kind::Function(choice.position),
                exceptions,
                bits,
            });
        }
    }
    best
}

/// Whether two columns have mostly the same tokens, at a glance.
fn alike(a: &Values, b: &Values) -> bool {
    let step = a.codes.len().div_ceil(GLANCE).max(1);
    let pairs = a.codes.iter().zip(&b.codes).step_by(step);
    let (mut seen, mut same) = (0, 0);
    for (x, y) in pairs {
        seen += 1;
        same += usize::from(a.distinct[*x as usize] == b.distinct[*y as usize]);
    }
    same * 5 >= seen * 4
}

/// Bits of a table of `from` values, each of `to`, and whether it holds numbers of the dictionary itself.
pub fn table_bits(from: usize, to: usize, universe: u64) -> (f64, bool) {
    let direct = from as f64 * f64::from(code_width(universe));
    let through = from as f64 * f64::from(code_width(to as u64)) + list_bits(to, universe) + 4.0;
    (direct.min(through), direct <= through)
}

/// Whether a column follows from another, but for some exceptions, in the first `limit` rows; `table` then holds the
/// code for each code of the other (by majority vote).
fn follows(column: &Values, parent: &Values, table: &mut Vec<(u32, u32)>, limit: usize) -> bool {
    table.clear();
    table.resize(parent.distinct.len(), (0, 0));
    let rows = limit.min(column.codes.len());
    let mut against = 0;
    for (&code, &from) in column.codes.iter().zip(&parent.codes).take(rows) {
        let (known, votes) = &mut table[from as usize];
        if *votes == 0 {
            (*known, *votes) = (code, 1);
        } else if *known == code {
            *votes += 1;
        } else {
            *votes -= 1;
            against += 1;
            if against * EXCEPTIONS > rows * 2 {
                return false;
            }
        }
    }
    true
}

/// The table of a function column, as [`choose`] saw it.
pub fn table(column: &Values, parent: &Values) -> Vec<u32> {
    let mut table = Vec::new();
    follows(column, parent, &mut table, usize::MAX);
    table.into_iter().map(|(code, _)| code).collect()
}
