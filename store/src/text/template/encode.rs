//! Writing an index of templates and columns.

use super::bits::{BitWriter, push};
use super::coder::{Encoder, Numbers, Symbols};
use super::columns;
use super::plan::{Column, Plan, Root, Template};
use super::sequence::{self, HeadModel, code_width};
use super::{LAYOUT, PARTS, list, lz, pool, rest};

/// A rest is packed and scanned up to the larger of this many bytes and the rows' bytes / this.
const LEAST_PACKED_REST: usize = 128 << 10;
const PACKED_REST: usize = 16;
/// Bytes of all pools.
const MAX_POOLS: usize = u32::MAX as usize / 2;
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
    /// Exceptions of a number, of an alias or checksums, of a function.
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
struct Writer {
    universe: u64,
    /// New number of each word of the dictionary; none if they keep theirs.
    ids: Vec<u32>,
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
pub fn encode(strings: &ByteColumn) -> Result<Vec<u8>> {
    write(&Plan::of(strings))
}

/// Writes an index of rows whose templates and columns are known.
///
/// # Errors
/// See [`encode`].
pub fn write(plan: &Plan) -> Result<Vec<u8>> {
    let words = number_words(&plan.dictionary);
    let mut writer = Writer {
        universe: plan.dictionary.len() as u64,
        ids: words.ids,
        coder: Encoder::new(),
        models: Models::new(),
        bits: BitWriter::default(),
        sections: Vec::new(),
        text: Vec::new(),
    };
    for template in &plan.templates {
        writer.template(template);
    }
    let options = FmOptions {
        sample_step: 0,
        row_counters: false,
        ..FmOptions::default()
    };
    let most_packed = (plan.bytes as usize / PACKED_REST).max(LEAST_PACKED_REST);
    let (rest_bytes, rest) = rest::encode(&plan.rest, most_packed)?;
    let fm_of = |strings: &ByteColumn| {
        if strings.is_empty() {
            Ok(Vec::new())
        } else {
            fm::encode_with(strings, &options)
        }
    };
    let (kind, codes) = codes::choose::encode(&plan.codes, Layout::default());
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
    let pool_bytes = words.pools.len() as u32;
    let mut dictionary = words.pools;
    dictionary.extend(fm_of(words.others.as_ref().unwrap_or(&plan.dictionary))?);
    let parts = [
        text,
        coder.finish(),
        writer.bits.into_padded(),
        sections,
        codes,
        dictionary,
        rest,
    ];
    let mut out = Vec::new();
    out.extend_from_slice(&LAYOUT.to_le_bytes());
    out.extend_from_slice(&(kind as u16).to_le_bytes());
    out.extend_from_slice(&(plan.templates.len() as u32).to_le_bytes());
    out.extend_from_slice(&(plan.codes.len() as u64).to_le_bytes());
    out.extend_from_slice(&text_bytes.to_le_bytes());
    out.extend_from_slice(&section_count.to_le_bytes());
    out.extend_from_slice(&rest_bytes.to_le_bytes());
    out.extend_from_slice(&pool_bytes.to_le_bytes());
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

impl Writer {
    fn template(&mut self, template: &Template) {
        self.models.rows.write(&mut self.coder, 0, template.rows);
        self.text.extend_from_slice(&template.text);
        let mut before = 0;
        for (index, column) in template.columns.iter().enumerate() {
            before = self.column(template, column, index, before);
        }
    }

    fn number(&mut self, context: usize, value: u64) {
        self.models.numbers.write(&mut self.coder, context, value);
    }

    fn sequence(&mut self, context: usize, values: &[u64]) {
        let head = sequence::write(values, &mut self.bits, &mut self.sections);
        self.models.heads.write(&mut self.coder, context, &head);
    }

    /// Writes one column; gives its kind's number.
    fn column(&mut self, template: &Template, column: &Column, index: usize, before: usize) -> usize {
        let wide = |values: &[u32]| -> Vec<u64> { values.iter().map(|&value| u64::from(value)).collect() };
        let number = match column.root {
            Root::Local { .. } => 0,
            Root::Global(_) => 1,
            Root::Number { .. } => 2,
            Root::Alias(_) => 3,
            Root::Function { .. } => 4,
            Root::Checksum => 5,
        };
        self.models.kinds.write(&mut self.coder, before, number);
        match &column.root {
            Root::Local { values, codes } => {
                self.number(context::DISTINCT, values.len() as u64);
                let (values, places) = self.renumber(values);
                list::write(&wide(&values), self.universe, &mut self.bits);
                self.sequence(0, &wide(&placed(codes, &places)));
            }
            Root::Global(values) => {
                let values: Vec<u32> = values.iter().map(|&value| self.id(value)).collect();
                self.sequence(1, &wide(&values));
            }
            Root::Number {
                radix,
                digits,
                fields,
            } => {
                self.models.flags.write(&mut self.coder, 0, *radix as usize);
                for &digits in digits {
                    self.number(context::DIGITS, u64::from(digits));
                }
                self.exceptions(0, template, column);
                for values in fields {
                    self.sequence(2, values);
                }
            }
            Root::Alias(from) => {
                self.number(context::ALIAS, (index - from - 1) as u64);
                self.exceptions(1, template, column);
            }
            Root::Checksum => self.exceptions(1, template, column),
            Root::Function { from, values, table } => {
                self.number(context::FUNCTION, (index - from - 1) as u64);
                let (values, places) = self.renumber(values);
                let table = self.by_parent(&template.columns[*from], placed(table, &places));
                if columns::table_bits(table.len(), values.len(), self.universe).1 {
                    self.number(context::VALUES, 0);
                    let width = code_width(self.universe);
                    for &code in &table {
                        push(&mut self.bits, u64::from(values[code as usize]), width);
                    }
                } else {
                    self.number(context::VALUES, values.len() as u64);
                    list::write(&wide(&values), self.universe, &mut self.bits);
                    let width = code_width(values.len() as u64);
                    for &code in &table {
                        push(&mut self.bits, u64::from(code), width);
                    }
                }
                self.exceptions(2, template, column);
            }
        }
        number
    }

    fn exceptions(&mut self, kind: usize, template: &Template, column: &Column) {
        let rows: Vec<u64> = column.exceptions.iter().map(|(row, _)| *row).collect();
        self.number(context::EXCEPTIONS + kind, rows.len() as u64);
        if rows.is_empty() {
            return;
        }
        list::write(&rows, template.rows, &mut self.bits);
        let width = code_width(self.universe);
        for (_, id) in &column.exceptions {
            let id = self.id(*id);
            push(&mut self.bits, u64::from(id), width);
        }
    }

    /// Number of a word as it is written.
    fn id(&self, word: u32) -> u32 {
        self.ids.get(word as usize).copied().unwrap_or(word)
    }

    /// Words as they are written, increasing, and the new place of each; no places if all stay.
    fn renumber(&self, words: &[u32]) -> (Vec<u32>, Vec<u32>) {
        if self.ids.is_empty() {
            return (words.to_vec(), Vec::new());
        }
        let mut sorted: Vec<(u32, u32)> = words.iter().map(|&word| self.id(word)).zip(0..).collect();
        sorted.sort_unstable();
        let mut places = vec![0; words.len()];
        for (place, &(_, before)) in (0u32..).zip(&sorted) {
            places[before as usize] = place;
        }
        (sorted.into_iter().map(|(id, _)| id).collect(), places)
    }

    /// Entries of a table in the order of the new codes of the column that it depends on.
    fn by_parent(&self, parent: &Column, table: Vec<u32>) -> Vec<u32> {
        let Root::Local { values, .. } = &parent.root else {
            return table;
        };
        let (_, places) = self.renumber(values);
        if places.is_empty() {
            return table;
        }
        let mut moved = vec![0; table.len()];
        for (&entry, &place) in table.iter().zip(&places) {
            moved[place as usize] = entry;
        }
        moved
    }
}

/// Codes whose values have new places.
fn placed(codes: &[u32], places: &[u32]) -> Vec<u32> {
    let new = |&code: &u32| places.get(code as usize).copied().unwrap_or(code);
    codes.iter().map(new).collect()
}

/// The words of a dictionary as they are written.
#[derive(Default)]
struct Words {
    /// New number of each word; none if all keep theirs.
    ids: Vec<u32>,
    pools: Vec<u8>,
    /// Words of no pool, if there are pools.
    others: Option<ByteColumn>,
}

/// Puts words into pools, which come first, and the others behind them.
fn number_words(dictionary: &ByteColumn) -> Words {
    const OTHER: u32 = u32::MAX;
    let mut words = Words::default();
    let mut ids = vec![OTHER; dictionary.len()];
    let mut next = 0;
    for chosen in pool::choose(dictionary) {
        let slices: Vec<&[u8]> = chosen.iter().map(|&word| dictionary.get(word as usize)).collect();
        let bytes = pool::encode(&slices).filter(|bytes| words.pools.len() + bytes.len() <= MAX_POOLS);
        let Some(bytes) = bytes else { continue };
        words.pools.extend_from_slice(&bytes);
        for word in chosen {
            ids[word as usize] = next;
            next += 1;
        }
    }
    if next == 0 {
        return words;
    }
    let others = words.others.insert(ByteColumn::default());
    for (word, id) in ids.iter_mut().enumerate().filter(|(_, id)| **id == OTHER) {
        others.push(dictionary.get(word));
        *id = next;
        next += 1;
    }
    words.ids = ids;
    words
}
