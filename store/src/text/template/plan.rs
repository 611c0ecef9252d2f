//! Rows as templates and columns, before they are written: what the forms of the index share.

use super::columns::{self, Choice, Kind, Values, Words};
use super::number::Radix;
use super::tokens::{END, Tokens, VARIABLE};
use super::{MAX_COLUMNS, MAX_TEXT, mine};
use crate::batch::ByteColumn;

/// Rows as templates and columns.
#[derive(Debug, Default, Clone)]
pub struct Plan {
    /// Templates; template codes count from 1.
    pub templates: Vec<Template>,
    /// Of each row 0 if it is of the rest, else 1 + its template.
    pub codes: Vec<u64>,
    /// Values of columns that are no numbers, in byte order.
    pub dictionary: ByteColumn,
    /// Rows of no template.
    pub rest: ByteColumn,
    /// Bytes of all rows.
    pub bytes: u64,
}

/// Rows of the same delimiters and constants.
#[derive(Debug, Default, Clone)]
pub struct Template {
    /// Number of rows.
    pub rows: u64,
    /// Tokens and runs, a byte 1 for each field and a byte 0 at the end.
    pub text: Vec<u8>,
    /// Columns, in the order of their tokens.
    pub columns: Vec<Column>,
}

/// What varies at one token.
#[derive(Debug, Clone)]
pub struct Column {
    /// What it is kept as.
    pub root: Root,
    /// Rows (of the template) for which that does not hold, increasing, and their values in the dictionary.
    pub exceptions: Vec<(u64, u32)>,
}

/// What a column is kept as.
#[derive(Debug, Clone)]
pub enum Root {
    /// Codes of its own values, which are increasing dictionary numbers.
    Local {
        /// The values.
        values: Vec<u32>,
        /// Code of each row.
        codes: Vec<u32>,
    },
    /// The dictionary number of each row.
    Global(Vec<u32>),
    /// Numbers in a form.
    Number {
        /// Digits of all fields.
        radix: Radix,
        /// Digits of each field, or 0.
        digits: Vec<u8>,
        /// Of each field the value of each row.
        fields: Vec<Vec<u64>>,
    },
    /// The same as the column of this number.
    Alias(usize),
    /// A value for each code of another column.
    Function {
        /// The number of the other column, which is a local one.
        from: usize,
        /// Increasing dictionary numbers.
        values: Vec<u32>,
        /// For each code of the other column a place in the values.
        table: Vec<u32>,
    },
    /// The checksum of what stands before it in the row.
    Checksum,
}

impl Plan {
    /// Finds templates and columns in rows.
    pub fn of(strings: &ByteColumn) -> Plan {
        let tokens = Tokens::new(strings);
        let mut words = Words::new(&tokens);
        let mut groups = mine::groups(&tokens);
        keep_text_short(&tokens, &mut groups);
        for group in &groups {
            for position in columns::variables(&tokens, &group.rows) {
                let values = words.values(&tokens, &group.rows, position);
                words.note(&values);
            }
        }
        let choices: Vec<Vec<Choice>> = groups
            .iter()
            .map(|group| columns::choose(&tokens, &mut words, &group.rows))
            .collect();
        let mut plan = Plan {
            codes: vec![0; strings.len()],
            bytes: strings.bytes().len() as u64,
            ..Plan::default()
        };
        let mut sorted: Vec<u32> = (0..words.used.len() as u32)
            .filter(|&word| words.used[word as usize])
            .collect();
        sorted.sort_unstable_by_key(|&word| words.ranks[word as usize]);
        let mut ids = vec![0; words.used.len()];
        for (id, &word) in (0u32..).zip(&sorted) {
            ids[word as usize] = id;
            plan.dictionary.push(tokens.word(word));
        }
        for (number, (group, choices)) in (1u64..).zip(groups.iter().zip(&choices)) {
            for &row in &group.rows {
                plan.codes[row as usize] = number;
            }
            let mut template = Template {
                rows: group.rows.len() as u64,
                text: text(&tokens, &group.rows, choices),
                columns: Vec::new(),
            };
            let columns: Vec<Values> = choices
                .iter()
                .map(|choice| words.values(&tokens, &group.rows, choice.position))
                .collect();
            for index in 0..choices.len() {
                let column = column(&tokens, &ids, choices, &columns, index);
                template.columns.push(column);
            }
            plan.templates.push(template);
        }
        for (row, _) in plan.codes.iter().enumerate().filter(|(_, code)| **code == 0) {
            plan.rest.push(strings.get(row));
        }
        plan
    }
}

/// Drops the last groups if the templates would be too much to be kept in memory; their rows are kept whole.
fn keep_text_short(tokens: &Tokens<'_>, groups: &mut Vec<mine::Group>) {
    let (mut bytes, mut columns) = (0, 0);
    let mut kept = 0;
    for group in groups.iter() {
        let row = group.rows.first().copied().unwrap_or(0);
        let shape = tokens.row_shapes.get(row as usize).copied().unwrap_or(0);
        // Constants, runs, and for each token at most its fields.
        let words: usize = tokens
            .row(row)
            .iter()
            .map(|&word| tokens.word(word).len() + 32)
            .sum();
        bytes += words
            + tokens
                .shape(shape)
                .iter()
                .map(|&run| tokens.run(run).len())
                .sum::<usize>();
        columns += tokens.row(row).len();
        if bytes > MAX_TEXT || columns > MAX_COLUMNS {
            break;
        }
        kept += 1;
    }
    groups.truncate(kept);
}

fn text(tokens: &Tokens<'_>, rows: &[u32], choices: &[Choice]) -> Vec<u8> {
    let mut text = Vec::new();
    let row = rows.first().copied().unwrap_or(0);
    let shape = tokens.row_shapes.get(row as usize).copied().unwrap_or(0);
    let runs = tokens.shape(shape);
    let mut next = choices.iter().peekable();
    for (position, &word) in tokens.row(row).iter().enumerate() {
        match next.next_if(|choice| choice.position == position) {
            Some(Choice {
                kind: Kind::Number(form),
                ..
            }) => {
                for (index, literal) in form.literals.iter().enumerate() {
                    if index > 0 {
                        text.push(VARIABLE);
                    }
                    text.extend_from_slice(literal);
                }
            }
            Some(_) => text.push(VARIABLE),
            None => text.extend_from_slice(tokens.word(word)),
        }
        if let Some(&run) = runs.get(position) {
            text.extend_from_slice(tokens.run(run));
        }
    }
    text.push(END);
    text
}

fn column(tokens: &Tokens<'_>, ids: &[u32], choices: &[Choice], columns: &[Values], index: usize) -> Column {
    let (choice, column) = (&choices[index], &columns[index]);
    let at = |position: usize| choices.partition_point(|other| other.position < position);
    let values: Vec<u32> = column.distinct.iter().map(|&word| ids[word as usize]).collect();
    let value = |row: usize| values[column.codes[row] as usize];
    let exceptions = choice
        .exceptions
        .iter()
        .map(|&row| (u64::from(row), value(row as usize)))
        .collect();
    let root = match &choice.kind {
        Kind::Local => Root::Local {
            values,
            codes: column.codes.clone(),
        },
        Kind::Global => Root::Global((0..column.codes.len()).map(value).collect()),
        Kind::Number(form) => Root::Number {
            radix: form.radix,
            digits: form.digits.clone(),
            fields: columns::fields(tokens, form, column, &choice.exceptions),
        },
        Kind::Alias(position) => Root::Alias(at(*position)),
        Kind::Checksum => Root::Checksum,
        Kind::Function(position) => Root::Function {
            from: at(*position),
            table: columns::table(column, &columns[at(*position)]),
            values,
        },
    };
    Column { root, exceptions }
}
