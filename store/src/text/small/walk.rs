//! A plan, part after part, into a stream or out of it: one walk for both.
//!
//! Reading, each number is put where writing takes it from. What is read is checked as far as the writer of an index
//! relies on it.

use super::coder::Coder;
use super::letters::{Letters, Source};
use super::mix::{Mixer, Set, bits_of, hash};
use super::value::{Around, Followers};
use crate::batch::ByteColumn;
use crate::text::template::plan::{Column, Plan, Root, Template};
use crate::text::template::{Radix, ZERO};

/// Weights of template codes, tables and exceptions, as column and kind.
const CODES: Set = Set { kind: 6, column: 40 };
const TABLES: Set = Set { kind: 7, column: 41 };
const EXCEPTIONS: Set = Set { kind: 8, column: 42 };
/// Places in a row whose last value is remembered.
const PLACES: usize = 1 << 13;
/// Bits of the tables of followers and of text places at most.
const MOST_BITS: u32 = 16;

/// Numbers of the directory, each kind in contexts of its own.
#[derive(Clone, Copy)]
enum Field {
    Templates,
    Words,
    RestRows,
    Bytes,
    Length,
    Shared,
    Rows,
    Columns,
    Kind,
    HasExceptions,
    Distinct,
    Value,
    Radix,
    Fields,
    Digits,
    Steps,
    Alias,
    Function,
    IsException,
}

struct Walk<'m, C> {
    mixer: &'m mut Mixer<C>,
    letters: Letters,
    fields: Vec<State>,
    coded: Vec<Vec<Coded>>,
}

/// A field of a column as the rows go by.
struct State {
    /// The last values, as they are coded.
    before: [u64; 2],
    /// The last value itself, where steps are coded.
    last: u64,
    /// Whether steps from value to value are coded.
    steps: bool,
}

/// A column of which rows say something.
struct Coded {
    column: usize,
    field: usize,
    has_exceptions: bool,
}

/// Walks a plan of `rows` rows. `None` if what is read makes no sense.
pub fn walk<C: Coder>(plan: &mut Plan, mixer: &mut Mixer<C>, rows: usize, table_bits: u32) -> Option<()> {
    let bits = table_bits.min(MOST_BITS);
    let mut walk = Walk {
        mixer,
        letters: Letters::new(bits),
        fields: Vec::new(),
        coded: Vec::new(),
    };
    let templates = walk.field(Field::Templates, [0; 3], plan.templates.len() as u64);
    let words = walk.field(Field::Words, [0; 3], plan.dictionary.len() as u64);
    let rest = walk.field(Field::RestRows, [0; 3], plan.rest.len() as u64);
    plan.bytes = walk.field(Field::Bytes, [0; 3], plan.bytes);
    if words > 1 << 31 || templates > 1 << 31 || rest > rows as u64 {
        return None;
    }
    walk.texts(plan, templates as usize)?;
    walk.rest(&mut plan.rest, rest as usize)?;
    walk.dictionary(&mut plan.dictionary, words as usize)?;
    let mut kinds = [0; 3];
    for template in &mut plan.templates {
        walk.directory(template, words, &mut kinds)?;
    }
    walk.rows(plan, rows, bits)
}

impl<C: Coder> Walk<'_, C> {
    fn sound(&self) -> Option<()> {
        (!self.mixer.overrun()).then_some(())
    }

    /// A number of the directory, with what tells most about it first.
    fn field(&mut self, field: Field, around: [u64; 3], value: u64) -> u64 {
        let [a, b, c] = around;
        let tag = hash(field as u64, 77);
        let contexts = [
            hash(tag, 1),
            hash(hash(tag, 2), a),
            hash(hash(hash(tag, 3), a), b),
            hash(hash(hash(hash(tag, 4), a), b), c),
            hash(hash(tag, 5), c),
        ];
        let set = Set {
            kind: 4,
            column: 16 + field as usize,
        };
        self.mixer.number(&contexts, set, value)
    }

    fn texts(&mut self, plan: &mut Plan, templates: usize) -> Option<()> {
        for index in 0..templates {
            if !C::WRITES {
                plan.templates.push(Template::default());
            }
            let text = &mut plan.templates.get_mut(index)?.text;
            self.letters.begin();
            for at in 0.. {
                let byte = text.get(at).copied().unwrap_or(0);
                let byte = self.letters.byte(self.mixer, Source::Template, 0, byte);
                if !C::WRITES {
                    text.push(byte);
                }
                if byte == 0 {
                    break;
                }
                self.sound()?;
            }
        }
        Some(())
    }

    fn rest(&mut self, rest: &mut ByteColumn, rows: usize) -> Option<()> {
        for row in 0..rows {
            let old = if C::WRITES {
                rest.get(row).to_vec()
            } else {
                Vec::new()
            };
            let length = self.field(Field::Length, [0; 3], old.len() as u64);
            self.letters.begin();
            for at in 0..length {
                let byte = old.get(at as usize).copied().unwrap_or(0);
                let byte = self.letters.byte(self.mixer, Source::Rest, 0, byte);
                if !C::WRITES {
                    rest.buffer().push(byte);
                }
                self.sound()?;
            }
            if !C::WRITES {
                rest.close();
            }
            self.sound()?;
        }
        Some(())
    }

    fn dictionary(&mut self, dictionary: &mut ByteColumn, words: usize) -> Option<()> {
        let (mut word, mut shared): (Vec<u8>, u64) = (Vec::new(), 0);
        for index in 0..words {
            let old = if C::WRITES {
                dictionary.get(index).to_vec()
            } else {
                Vec::new()
            };
            let same = word.iter().zip(&old).take_while(|(a, b)| a == b).count();
            shared = self.field(Field::Shared, [shared, word.len() as u64, 0], same as u64);
            word.truncate(usize::try_from(shared).ok()?);
            self.letters.begin();
            for &byte in &word {
                self.letters.add(byte);
            }
            loop {
                let byte = old.get(word.len()).copied().unwrap_or(0);
                let byte = self.letters.byte(self.mixer, Source::Word, word.len(), byte);
                if byte == 0 {
                    break;
                }
                word.push(byte);
                self.sound()?;
            }
            if !C::WRITES {
                dictionary.push(&word);
            }
            // What a word shares with the one before takes next to no decisions.
            if dictionary.bytes().len() > self.mixer.limits().word_bytes {
                return None;
            }
            self.sound()?;
        }
        Some(())
    }

    /// Rows and columns of a template; `kinds` says what the columns before were.
    fn directory(&mut self, template: &mut Template, words: u64, kinds: &mut [u64; 3]) -> Option<()> {
        template.rows = self.field(Field::Rows, [0; 3], template.rows);
        let columns = self.field(Field::Columns, [0; 3], template.columns.len() as u64);
        let mut coded = Vec::new();
        for index in 0..columns as usize {
            self.sound()?;
            let old = if C::WRITES {
                template.columns.get(index).cloned()
            } else {
                None
            };
            let kind = match old.as_ref().map(|column| &column.root) {
                Some(Root::Local { .. }) | None => 0,
                Some(Root::Global(_)) => 1,
                Some(Root::Number { .. }) => 2,
                Some(Root::Alias(_)) => 3,
                Some(Root::Function { .. }) => 4,
                Some(Root::Checksum) => 5,
            };
            let kind = self.field(Field::Kind, *kinds, kind);
            *kinds = [kind << 8, kinds[0], kinds[1]];
            let field = self.fields.len();
            let root = match kind {
                0 => self.local(template, old.as_ref(), words, &mut kinds[0])?,
                1 => self.global(words)?,
                2 => self.number(old.as_ref(), &mut kinds[0])?,
                3 | 4 => self.derived(template, old.as_ref(), index, words, &mut kinds[0])?,
                5 => Root::Checksum,
                _ => return None,
            };
            let mut has_exceptions = false;
            if kind > 1 {
                let old = old.as_ref().is_some_and(|column| !column.exceptions.is_empty());
                has_exceptions = self.field(Field::HasExceptions, [kind, 0, 0], u64::from(old)) != 0;
            }
            if has_exceptions && words == 0 {
                return None;
            }
            if kind < 3 || has_exceptions {
                coded.push(Coded {
                    column: index,
                    field,
                    has_exceptions,
                });
            }
            if !C::WRITES {
                template.columns.push(Column {
                    root,
                    exceptions: Vec::new(),
                });
            }
        }
        self.coded.push(coded);
        Some(())
    }

    fn state(&mut self, last: u64, steps: bool) {
        self.fields.push(State {
            before: [0; 2],
            last,
            steps,
        });
    }

    fn local(
        &mut self,
        template: &Template,
        old: Option<&Column>,
        words: u64,
        kind: &mut u64,
    ) -> Option<Root> {
        let old = match old.map(|column| &column.root) {
            Some(Root::Local { values, .. }) => values.as_slice(),
            _ => &[],
        };
        let distinct = self.field(Field::Distinct, [template.rows.min(30), 0, 0], old.len() as u64);
        *kind |= 1 + u64::from(bits_of(distinct));
        if distinct < 2 || distinct > words {
            return None;
        }
        let mut values = Vec::new();
        let mut before = [0, 0];
        for index in 0..distinct {
            self.sound()?;
            let value = old.get(index as usize).map_or(0, |&value| u64::from(value));
            let step = value.wrapping_sub(before[0]);
            let step = self.field(Field::Value, [before[0], before[1], distinct], step);
            let value = before[0].checked_add(step).filter(|&value| value < words)?;
            if index > 0 && step == 0 {
                return None;
            }
            before = [value, before[0]];
            values.push(value as u32);
        }
        self.state(0, false);
        let codes = Vec::new();
        Some(Root::Local { values, codes })
    }

    fn global(&mut self, words: u64) -> Option<Root> {
        self.state(0, false);
        (words > 1).then_some(Root::Global(Vec::new()))
    }

    fn number(&mut self, old: Option<&Column>, kind: &mut u64) -> Option<Root> {
        let (radix, digits, fields) = match old.map(|column| &column.root) {
            Some(Root::Number {
                radix,
                digits,
                fields,
            }) => (*radix, digits.as_slice(), fields.as_slice()),
            _ => (Radix::Decimal, [].as_slice(), [].as_slice()),
        };
        let radix = self.field(Field::Radix, [0; 3], radix as u64);
        let count = self.field(Field::Fields, [radix, 0, 0], digits.len() as u64);
        let radix = Radix::from_code(usize::try_from(radix).ok()?)?;
        if count == 0 || count > crate::text::template::MAX_FIELDS as u64 {
            return None;
        }
        *kind |= 1 + count;
        let mut out = Vec::new();
        let mut before = 0;
        for index in 0..count {
            let old = digits.get(index as usize).copied().unwrap_or(0);
            let digits = self.field(Field::Digits, [index, before, radix as u64], u64::from(old));
            let steps = fields
                .get(index as usize)
                .is_some_and(|values| steps_are_less(values));
            let steps = self.field(Field::Steps, [index, digits, count], u64::from(steps));
            before = digits;
            out.push(u8::try_from(digits).ok().filter(|&digits| digits <= 20)?);
            self.state(zero_of(radix), steps != 0);
        }
        Some(Root::Number {
            radix,
            digits: out,
            fields: vec![Vec::new(); count as usize],
        })
    }

    fn derived(
        &mut self,
        template: &Template,
        old: Option<&Column>,
        index: usize,
        words: u64,
        kind: &mut u64,
    ) -> Option<Root> {
        let is_alias = *kind >> 8 == 3;
        let (from, values, table) = match old.map(|column| &column.root) {
            Some(Root::Alias(from)) => (*from, [].as_slice(), [].as_slice()),
            Some(Root::Function { from, values, table }) => (*from, values.as_slice(), table.as_slice()),
            _ => (index, [].as_slice(), [].as_slice()),
        };
        let field = if is_alias { Field::Alias } else { Field::Function };
        let back = self.field(field, [0; 3], (index - from) as u64);
        *kind |= back.min(255);
        let from = usize::try_from(back)
            .ok()
            .filter(|&back| back > 0)
            .and_then(|back| index.checked_sub(back))?;
        let parent = &template.columns.get(from)?.root;
        if is_alias {
            let has_own = !matches!(parent, Root::Alias(_) | Root::Function { .. } | Root::Checksum);
            return has_own.then_some(Root::Alias(from));
        }
        let Root::Local { values: parents, .. } = parent else {
            return None;
        };
        let width = bits_of(words.saturating_sub(1));
        let mut found = Vec::new();
        let mut before = 0;
        for (place, &parent) in parents.iter().enumerate() {
            let value = table.get(place).and_then(|&place| values.get(place as usize));
            let parent = hash(15, u64::from(parent));
            let contexts = [
                hash(14, before),
                hash(parent, 1),
                hash(hash(parent, before), 2),
                hash(hash(parent, back), 5),
            ];
            before = self.mixer.symbol(
                &contexts,
                width,
                TABLES,
                value.map_or(0, |&value| u64::from(value)),
            );
            if before >= words {
                return None;
            }
            found.push(before as u32);
            self.sound()?;
        }
        let mut values = found.clone();
        values.sort_unstable();
        values.dedup();
        let place = |value: &u32| values.binary_search(value).map_or(0, |place| place as u32);
        let table = found.iter().map(place).collect();
        Some(Root::Function { from, values, table })
    }

    fn rows(&mut self, plan: &mut Plan, rows: usize, bits: u32) -> Option<()> {
        let Plan {
            templates,
            codes,
            dictionary,
            rest,
            ..
        } = plan;
        let words = dictionary.len() as u64;
        let width = bits_of(templates.len() as u64);
        if width == 0 {
            // No template: every row is of the rest.
            codes.resize(if rest.len() == rows { rows } else { return None }, 0);
            return Some(());
        }
        let mut around = RowState {
            followers: Followers::new(bits),
            above: vec![0; PLACES],
            left: [0; 2],
            words,
        };
        let mut counts = vec![0u64; templates.len()];
        let (mut last, mut rest_rows) = ([0u64; 4], 0);
        for row in 0..rows {
            self.sound()?;
            let code = codes.get(row).copied().unwrap_or(0);
            let code = self.template_code(last, around.left[0], width, code);
            if !C::WRITES {
                codes.push(code);
            }
            last = [code, last[0], last[1], last[2]];
            let Some(index) = (code as usize).checked_sub(1) else {
                rest_rows += 1;
                continue;
            };
            let template = templates.get_mut(index)?;
            let place = counts[index];
            counts[index] += 1;
            around.left = [hash(code, 3), 0];
            // The list is put back; nothing in it changes.
            let coded = std::mem::take(&mut self.coded[index]);
            let found = coded
                .iter()
                .try_for_each(|coded| self.column(&mut around, template, coded, place));
            self.coded[index] = coded;
            found?;
        }
        let whole = counts
            .iter()
            .zip(templates)
            .all(|(count, template)| *count == template.rows);
        (whole && rest_rows == rest.len()).then_some(())
    }

    fn template_code(&mut self, last: [u64; 4], left: u64, width: u32, code: u64) -> u64 {
        let [one, two, three, four] = last;
        let tag = hash(20, one);
        let pair = hash(tag, two);
        let triple = hash(pair, three);
        let contexts = [
            hash(19, 1),
            hash(tag, 2),
            hash(pair, 3),
            hash(triple, 4),
            hash(hash(triple, four), 5),
            hash(hash(18, left), 6),
            hash(hash(triple, hash(four, left)), 7),
        ];
        self.mixer.symbol(&contexts, width, CODES, code)
    }

    /// What a row says of one column.
    fn column(
        &mut self,
        row: &mut RowState,
        template: &mut Template,
        coded: &Coded,
        place: u64,
    ) -> Option<()> {
        let column = template.columns.get_mut(coded.column)?;
        let at = usize::try_from(place).ok()?;
        let is_exception = coded.has_exceptions && self.exception(row, column, coded, place)?;
        let words = row.words;
        match &mut column.root {
            Root::Local { values, codes } => {
                let code_of = |&value: &u64| -> Option<u64> {
                    let value = u32::try_from(value).ok()?;
                    values.binary_search(&value).ok().map(|code| code as u64)
                };
                let state = self.fields.get_mut(coded.field)?;
                let mut around = row.around(coded.field, state, row.left[0], coded.column);
                around.followed = around
                    .followed
                    .and_then(|(value, trust)| Some((code_of(&value)?, trust)));
                around.above = around.above.as_ref().and_then(code_of);
                let code = codes.get(at).map_or(0, |&code| u64::from(code));
                let code = around.symbol(self.mixer, bits_of(values.len() as u64 - 1), code);
                if !C::WRITES {
                    codes.push(code as u32);
                }
                let value = u64::from(*values.get(usize::try_from(code).ok()?)?);
                state.before = [code, state.before[0]];
                row.note(row.left[0], coded.column, value);
            }
            Root::Global(values) => {
                let state = self.fields.get_mut(coded.field)?;
                let around = row.around(coded.field, state, row.left[0], coded.column);
                let value = values.get(at).map_or(0, |&value| u64::from(value));
                let value = around.symbol(self.mixer, bits_of(words - 1), value);
                if value >= words {
                    return None;
                }
                if !C::WRITES {
                    values.push(value as u32);
                }
                state.before = [value, state.before[0]];
                row.note(row.left[0], coded.column, value);
            }
            Root::Number { radix, fields, .. } => {
                let zero = zero_of(*radix);
                for (index, values) in fields.iter_mut().enumerate() {
                    let state = self.fields.get_mut(coded.field + index)?;
                    if is_exception {
                        if !C::WRITES {
                            values.push(values.last().copied().unwrap_or(zero));
                        }
                        continue;
                    }
                    let base = if state.steps { state.last } else { zero };
                    let key = hash(row.left[0], 100 + index as u64);
                    let above = 1000 + coded.column * 13 + index;
                    let mut around = row.around(coded.field + index, state, key, above);
                    // What is remembered of a number is its low 63 bits, and a one above them.
                    let code_of = |value: u64| {
                        let number = ((value << 1) as i64 >> 1) as u64;
                        let code = zigzag(number.wrapping_add(zero).wrapping_sub(base));
                        (value >> 63 == 1).then_some(code)
                    };
                    around.followed = around
                        .followed
                        .and_then(|(value, trust)| Some((code_of(value)?, trust)));
                    around.above = around.above.and_then(code_of);
                    let old = values.get(at).copied().unwrap_or(0);
                    let code = around.number(self.mixer, zigzag(old.wrapping_sub(base)));
                    let value = unzigzag(code).wrapping_add(base);
                    if !C::WRITES {
                        values.push(value);
                    }
                    state.last = value;
                    state.before = [code, state.before[0]];
                    row.note(key, above, value.wrapping_sub(zero) | 1 << 63);
                }
            }
            Root::Alias(_) | Root::Function { .. } | Root::Checksum => {}
        }
        Some(())
    }

    /// Whether a row is an exception, and what it has then.
    fn exception(&mut self, row: &RowState, column: &mut Column, coded: &Coded, place: u64) -> Option<bool> {
        let known = column
            .exceptions
            .binary_search_by_key(&place, |exception| exception.0)
            .ok();
        let which = hash(coded.field as u64, coded.column as u64);
        let is = known.filter(|_| C::WRITES).is_some();
        if self.field(Field::IsException, [which, row.left[0], 0], u64::from(is)) == 0 {
            return Some(false);
        }
        let value = known.and_then(|known| column.exceptions.get(known));
        let contexts = [
            hash(17, 1),
            hash(hash(17, 2), row.left[0]),
            hash(hash(17, 3), which),
            hash(hash(17, 4), row.above[coded.column % PLACES]),
        ];
        let width = bits_of(row.words - 1);
        let value = value.map_or(0, |exception| u64::from(exception.1));
        let value = self.mixer.symbol(&contexts, width, EXCEPTIONS, value);
        if value >= row.words {
            return None;
        }
        if !C::WRITES {
            column.exceptions.push((place, value as u32));
        }
        Some(true)
    }
}

/// What is known as the rows go by, of all templates.
struct RowState {
    followers: Followers,
    above: Vec<u64>,
    /// The values to the left; the first of a row stands for its template.
    left: [u64; 2],
    words: u64,
}

impl RowState {
    fn around(&self, field: usize, state: &State, key: u64, above: usize) -> Around {
        Around {
            field,
            before: state.before,
            left: self.left,
            followed: self.followers.get(key),
            above: self.above.get(above % PLACES).copied(),
        }
    }

    fn note(&mut self, key: u64, above: usize, value: u64) {
        self.followers.note(key, value);
        self.above[above % PLACES] = value;
        self.left = [hash(value, 31), self.left[0]];
    }
}

fn zero_of(radix: Radix) -> u64 {
    if radix == Radix::Decimal { ZERO } else { 0 }
}

fn zigzag(value: u64) -> u64 {
    let value = value as i64;
    (value << 1 ^ value >> 63) as u64
}

fn unzigzag(value: u64) -> u64 {
    value >> 1 ^ (value & 1).wrapping_neg()
}

/// Whether steps from value to value say less than the values.
fn steps_are_less(values: &[u64]) -> bool {
    let steps: Vec<u64> = values
        .windows(2)
        .map(|pair| zigzag(pair[1].wrapping_sub(pair[0])))
        .collect();
    bits_for(&steps) + 72.0 < bits_for(values) * 0.95
}

/// About the bits of values by how often each occurs, or by how wide they are.
fn bits_for(values: &[u64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let (least, most) = (sorted.first().copied(), sorted.last().copied());
    let width = f64::from(bits_of(most.unwrap_or(0) - least.unwrap_or(0)));
    let count = values.len() as f64;
    let known: f64 = sorted
        .chunk_by(|a, b| a == b)
        .map(|same| same.len() as f64 * (count / same.len() as f64).log2() + width)
        .sum();
    known.min(count * width)
}
