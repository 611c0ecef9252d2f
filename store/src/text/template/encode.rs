//! Writing an index: rows become templates, templates become text and columns.

use super::bits::{BitWriter, push};
use super::coder::{Encoder, Numbers, Symbols};
use super::columns::{self, Choice, Kind, Values, Words};
use super::sequence::{self, HeadModel, code_width};
use super::tokens::{END, Tokens, VARIABLE};
use super::{LAYOUT, MAX_COLUMNS, MAX_TEXT, PARTS, list, lz, mine, rest};

/// A rest is packed and scanned up to the larger of this many bytes and the rows' bytes / this.
const LEAST_PACKED_REST: usize = 128 << 10;
const PACKED_REST: usize = 32;
use crate::batch::ByteColumn;
use crate::codes::choose::Layout;
use crate::codes::{self, CodesKind};
use crate::error::Result;
use crate::text::fm::{self, FmOptions};

/// Models of the directory; the reader has the same.
#[derive(Debug)]
pub struct Models {
    /// Rows of a template.
    pub rows: Numbers,
    /// Kind of a column, by the kind of the one before.
    pub kinds: Symbols,
    /// Distinct values, distances to other columns, exceptions, digits.
    pub numbers: Numbers,
    /// Flags and radices.
    pub flags: Symbols,
    /// Heads of sequences.
    pub heads: HeadModel,
}

/// Contexts of [`Models::numbers`].
pub mod context {
    /// Distinct values of a local column.
    pub const DISTINCT: usize = 0;
    /// Columns back to that of an alias.
    pub const ALIAS: usize = 1;
    /// Columns back to that of a function.
    pub const FUNCTION: usize = 2;
    /// Distinct values of a function.
    pub const VALUES: usize = 3;
    /// Exceptions of a number, an alias, a function.
    pub const EXCEPTIONS: usize = 4;
    /// Digits of a field.
    pub const DIGITS: usize = 7;
    /// Bytes of a section of codes.
    pub const SECTION: usize = 8;
    /// How many there are.
    pub const COUNT: usize = 9;
}

impl Models {
    /// Models that know nothing yet.
    pub fn new() -> Self {
        Models {
            rows: Numbers::new(1),
            kinds: Symbols::new(3, 8),
            numbers: Numbers::new(context::COUNT),
            flags: Symbols::new(2, 2),
            heads: HeadModel::new(3),
        }
    }
}

/// What is written so far.
struct Writer<'a> {
    tokens: &'a Tokens<'a>,
    /// Number in the dictionary of each used token.
    ids: Vec<u32>,
    universe: u64,
    coder: Encoder,
    models: Models,
    bits: BitWriter,
    sections: Vec<(CodesKind, Vec<u8>)>,
    text: Vec<u8>,
}

/// Encodes strings.
///
/// # Errors
/// `InvalidArgument` if what is kept whole is longer than an index of it can address.
pub fn encode(strings: &ByteColumn, wish: Layout) -> Result<Vec<u8>> {
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

    let mut sorted: Vec<u32> = (0..words.used.len() as u32)
        .filter(|&word| words.used[word as usize])
        .collect();
    sorted.sort_unstable_by_key(|&word| words.ranks[word as usize]);
    let mut ids = vec![0; words.used.len()];
    let mut dictionary = ByteColumn::default();
    for (id, &word) in (0u32..).zip(&sorted) {
        ids[word as usize] = id;
        dictionary.push(tokens.word(word));
    }
    let mut writer = Writer {
        tokens: &tokens,
        ids,
        universe: sorted.len() as u64,
        coder: Encoder::new(),
        models: Models::new(),
        bits: BitWriter::default(),
        sections: Vec::new(),
        text: Vec::new(),
    };
    for (group, choices) in groups.iter().zip(&choices) {
        writer.template(&mut words, &group.rows, choices);
    }

    let mut templates = vec![0u64; strings.len()];
    for (number, group) in (1u64..).zip(&groups) {
        group
            .rows
            .iter()
            .for_each(|&row| templates[row as usize] = number);
    }
    let mut rest = ByteColumn::default();
    for (row, _) in templates
        .iter()
        .enumerate()
        .filter(|(_, template)| **template == 0)
    {
        rest.push(strings.get(row));
    }
    let options = FmOptions {
        sample_step: 0,
        row_counters: false,
        ..FmOptions::default()
    };
    let most_packed = (strings.bytes().len() / PACKED_REST).max(LEAST_PACKED_REST);
    let (rest_bytes, rest) = rest::encode(&rest, most_packed)?;
    let fm_of = |strings: &ByteColumn| {
        if strings.is_empty() {
            Ok(Vec::new())
        } else {
            fm::encode_with(strings, &options)
        }
    };
    let (kind, codes) = codes::choose::encode(&templates, Layout::default());
    let _ = wish;
    let text_bytes = writer.text.len() as u32;
    let text = lz::pack(&writer.text);
    let (mut coder, mut models) = (writer.coder, writer.models);
    let mut sections = Vec::new();
    for (kind, bytes) in &writer.sections {
        models.flags.write(&mut coder, 1, usize::from(*kind as u16) - 1);
        models
            .numbers
            .write(&mut coder, context::SECTION, bytes.len() as u64);
        sections.extend_from_slice(bytes);
        sections.resize(sections.len().next_multiple_of(8), 0);
    }
    let section_count = writer.sections.len() as u32;
    let parts = [
        text,
        coder.finish(),
        writer.bits.into_padded(),
        sections,
        codes,
        fm_of(&dictionary)?,
        rest,
    ];
    let mut out = Vec::new();
    out.extend_from_slice(&LAYOUT.to_le_bytes());
    out.extend_from_slice(&(kind as u16).to_le_bytes());
    out.extend_from_slice(&(groups.len() as u32).to_le_bytes());
    out.extend_from_slice(&(strings.len() as u64).to_le_bytes());
    out.extend_from_slice(&text_bytes.to_le_bytes());
    out.extend_from_slice(&section_count.to_le_bytes());
    out.extend_from_slice(&rest_bytes.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    let starts = out.len();
    out.resize(starts + PARTS * 8, 0);
    for (index, part) in parts.iter().enumerate() {
        out.resize(out.len().next_multiple_of(8), 0);
        let start = out.len() as u64;
        out[starts + index * 8..starts + index * 8 + 8].copy_from_slice(&start.to_le_bytes());
        out.extend_from_slice(part);
    }
    Ok(out)
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

impl Writer<'_> {
    fn template(&mut self, words: &mut Words, rows: &[u32], choices: &[Choice]) {
        self.models.rows.write(&mut self.coder, 0, rows.len() as u64);
        self.template_text(rows, choices);
        let columns: Vec<Values> = choices
            .iter()
            .map(|choice| words.values(self.tokens, rows, choice.position))
            .collect();
        let mut before = 0;
        for index in 0..choices.len() {
            before = self.column(choices, &columns, index, before);
        }
    }

    fn template_text(&mut self, rows: &[u32], choices: &[Choice]) {
        let row = rows.first().copied().unwrap_or(0);
        let shape = self.tokens.row_shapes.get(row as usize).copied().unwrap_or(0);
        let runs = self.tokens.shape(shape);
        let mut next = choices.iter().peekable();
        for (position, &word) in self.tokens.row(row).iter().enumerate() {
            match next.next_if(|choice| choice.position == position) {
                Some(Choice {
                    kind: Kind::Number(form),
                    ..
                }) => {
                    for (index, literal) in form.literals.iter().enumerate() {
                        if index > 0 {
                            self.text.push(VARIABLE);
                        }
                        self.text.extend_from_slice(literal);
                    }
                }
                Some(_) => self.text.push(VARIABLE),
                None => self.text.extend_from_slice(self.tokens.word(word)),
            }
            if let Some(&run) = runs.get(position) {
                self.text.extend_from_slice(self.tokens.run(run));
            }
        }
        self.text.push(END);
    }

    fn number(&mut self, context: usize, value: u64) {
        self.models.numbers.write(&mut self.coder, context, value);
    }

    fn sequence(&mut self, context: usize, values: &[u64]) {
        let head = sequence::write(values, &mut self.bits, &mut self.sections);
        self.models.heads.write(&mut self.coder, context, &head);
    }

    /// Writes one column; gives its kind's number.
    fn column(&mut self, choices: &[Choice], columns: &[Values], index: usize, before: usize) -> usize {
        let (choice, column) = (&choices[index], &columns[index]);
        let ids_of = |writer: &Self, words: &[u32]| -> Vec<u64> {
            words
                .iter()
                .map(|&word| u64::from(writer.ids[word as usize]))
                .collect()
        };
        let back = |position: usize| {
            let from = choices.partition_point(|other| other.position < position);
            (from, (index - from - 1) as u64)
        };
        let number = match choice.kind {
            Kind::Local => 0,
            Kind::Global => 1,
            Kind::Number(_) => 2,
            Kind::Alias(_) => 3,
            Kind::Function(_) => 4,
        };
        self.models.kinds.write(&mut self.coder, before, number);
        match &choice.kind {
            Kind::Local => {
                self.number(context::DISTINCT, column.distinct.len() as u64);
                let values = ids_of(self, &column.distinct);
                list::write(&values, self.universe, &mut self.bits);
                let codes: Vec<u64> = column.codes.iter().map(|&code| u64::from(code)).collect();
                self.sequence(0, &codes);
            }
            Kind::Global => {
                let words: Vec<u32> = column
                    .codes
                    .iter()
                    .map(|&code| column.distinct[code as usize])
                    .collect();
                let values = ids_of(self, &words);
                self.sequence(1, &values);
            }
            Kind::Number(form) => {
                self.models.flags.write(&mut self.coder, 0, form.radix as usize);
                for &digits in &form.digits {
                    self.number(context::DIGITS, u64::from(digits));
                }
                self.exceptions(0, choice, column);
                for values in columns::fields(self.tokens, form, column, &choice.exceptions) {
                    self.sequence(2, &values);
                }
            }
            Kind::Alias(position) => {
                self.number(context::ALIAS, back(*position).1);
                self.exceptions(1, choice, column);
            }
            Kind::Function(position) => {
                let (from, distance) = back(*position);
                self.number(context::FUNCTION, distance);
                let table = columns::table(column, &columns[from]);
                let values = ids_of(self, &column.distinct);
                if columns::table_bits(table.len(), values.len(), self.universe).1 {
                    self.number(context::VALUES, 0);
                    let width = code_width(self.universe);
                    for code in table {
                        push(&mut self.bits, values[code as usize], width);
                    }
                } else {
                    self.number(context::VALUES, values.len() as u64);
                    list::write(&values, self.universe, &mut self.bits);
                    let width = code_width(values.len() as u64);
                    for code in table {
                        push(&mut self.bits, u64::from(code), width);
                    }
                }
                self.exceptions(2, choice, column);
            }
        }
        number
    }

    fn exceptions(&mut self, kind: usize, choice: &Choice, column: &Values) {
        let rows: Vec<u64> = choice.exceptions.iter().map(|&row| u64::from(row)).collect();
        self.number(context::EXCEPTIONS + kind, rows.len() as u64);
        if rows.is_empty() {
            return;
        }
        list::write(&rows, column.codes.len() as u64, &mut self.bits);
        for row in choice.exceptions.iter() {
            let word = column.distinct[column.codes[*row as usize] as usize];
            push(
                &mut self.bits,
                u64::from(self.ids[word as usize]),
                code_width(self.universe),
            );
        }
    }
}
