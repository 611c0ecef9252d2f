//! What a row says, column by column: one walk for writing, reading, and finding out how to write.
//!
//! What a column said before is known from the start of a *run* of rows on; so any row is read by walking its run.

use super::bins::{unzigzag, zigzag};
use super::book::{Base, Book, NONE, Root, Shape, place_of};
use super::coder::{Decoder, Encoder};
use super::tree::{Before, MOST_DEEP};
use crate::text::template::Radix;

/// Places whose last value is remembered, of words and of numbers.
const PLACES: usize = 1 << 10;

/// What stands around a value.
#[derive(Debug, Clone, Copy)]
pub struct Around {
    /// The one before in the column.
    pub before: Option<u64>,
    /// The last one at the same place.
    pub above: Option<u64>,
    /// Slot of the value.
    pub slot: usize,
}

/// A side of the walk: it writes what it is given, or gives what it reads. `None` if that makes no sense.
pub trait Side {
    /// The code of a local column.
    fn local(&mut self, number: u32, slots: &[u64], slot: usize, own: [u32; 2]) -> Option<u64>;
    /// A field.
    fn field(&mut self, number: u32, slots: &[u64], around: Around) -> Option<u64>;
    /// Whether the row is an exception, and the word then; else [`NONE`].
    fn exception(&mut self, number: u32, word: u32) -> Option<u32>;
}

/// What is remembered while rows go by.
#[derive(Debug, Default)]
pub struct State {
    run: u32,
    own: Vec<(u32, [u32; 2])>,
    fields: Vec<(u32, u64)>,
    above: Vec<(u32, u64)>,
    /// Codes, words and fields of the row.
    pub slots: Vec<u64>,
    /// Words of exceptions of the row, by column of the template.
    pub exceptions: Vec<u32>,
}

impl State {
    /// Nothing said yet.
    pub fn new(shape: &Shape) -> State {
        let most = |size: fn(&super::book::Template) -> usize| shape.templates.iter().map(size).max();
        State {
            run: 0,
            own: vec![(0, [0; 2]); shape.counts[0] as usize],
            fields: vec![(0, 0); shape.counts[1] as usize],
            above: vec![(0, 0); 2 * PLACES],
            slots: vec![0; most(|template| template.slots as usize).unwrap_or(0)],
            exceptions: vec![NONE; most(|template| template.columns.len()).unwrap_or(0)],
        }
    }

    /// Starts a run: forgets what was said.
    pub fn begin(&mut self) {
        self.run = self.run.wrapping_add(1);
        if self.run == 0 {
            // The numbers of runs begin again.
            self.own.fill((0, [0; 2]));
            self.fields.fill((0, 0));
            self.above.fill((0, 0));
            self.run = 1;
        }
    }

    /// Walks a row of a template.
    pub fn row(&mut self, shape: &Shape, template: usize, side: &mut impl Side) -> Option<()> {
        let template = shape.templates.get(template)?;
        let columns = shape.columns.get(template.columns.clone())?;
        for &index in shape.coded.get(template.coded.clone())? {
            let column = columns.get(index as usize)?;
            let slot = column.slot as usize;
            let mut is_exception = false;
            if column.exceptions != NONE {
                let word = self.exceptions.get_mut(index as usize)?;
                *word = side.exception(column.exceptions, *word)?;
                is_exception = *word != NONE;
            }
            match &column.root {
                Root::Local(list, number) => {
                    let distinct = list.len() as u32;
                    let own = self.own.get_mut(*number as usize)?;
                    if own.0 != self.run {
                        *own = (self.run, [distinct; 2]);
                    }
                    let code = side.local(*number, &self.slots, slot, own.1)?;
                    own.1 = [code as u32, own.1[0]];
                    *self.slots.get_mut(slot)? = code;
                    let word = shape.lists.get(list.clone())?.get(usize::try_from(code).ok()?)?;
                    self.above[place_of(index, 0) as usize % PLACES] = (self.run, u64::from(*word));
                }
                Root::Global(number) => {
                    self.field(side, *number, slot, place_of(index, 0) as usize % PLACES, 0)?;
                }
                Root::Number(form, first) => {
                    let zero = if form.radix == Radix::Decimal {
                        crate::text::template::ZERO
                    } else {
                        0
                    };
                    for field in 0..form.digits.len() {
                        if is_exception {
                            *self.slots.get_mut(slot + field)? = 0;
                            continue;
                        }
                        let place = PLACES + place_of(index, field as u32) as usize % PLACES;
                        self.field(side, first + field as u32, slot + field, place, zero)?;
                    }
                }
                Root::Alias(_) | Root::Function(..) | Root::Checksum => {}
            }
        }
        Some(())
    }

    fn field(
        &mut self,
        side: &mut impl Side,
        number: u32,
        slot: usize,
        place: usize,
        zero: u64,
    ) -> Option<()> {
        let known = |(run, value): (u32, u64)| (run == self.run).then_some(value);
        let own = self.fields.get_mut(number as usize)?;
        let around = Around {
            before: known(*own),
            above: known(self.above[place]).map(|value| value.wrapping_add(zero)),
            slot,
        };
        let value = side.field(number, &self.slots, around)?;
        *self.slots.get_mut(slot)? = value;
        *own = (self.run, value);
        self.above[place] = (self.run, value.wrapping_sub(zero));
        Some(())
    }
}

/// What a value is held against.
pub fn base_of(base: Base, slots: &[u64], around: &Around) -> Option<u64> {
    match base {
        Base::None => None,
        Base::Before => around.before,
        Base::Above => around.above,
        Base::Left(back) => slots.get(around.slot.checked_sub(back as usize)?).copied(),
    }
}

/// What a local column's code follows.
pub fn before_of(left: u32, slots: &[u64], slot: usize, own: [u32; 2]) -> Before {
    let mut before = [0; MOST_DEEP];
    let other = slot.checked_sub(left as usize).filter(|_| left > 0);
    match other.and_then(|other| slots.get(other)) {
        Some(&code) => before[..2].copy_from_slice(&[code as u32, own[0]]),
        None => before[..2].copy_from_slice(&own),
    }
    before
}

/// The writing side.
#[derive(Debug)]
pub struct Writer<'b> {
    /// How to write.
    pub book: &'b Book,
    /// The stream.
    pub coder: Encoder,
}

impl Side for Writer<'_> {
    fn local(&mut self, number: u32, slots: &[u64], slot: usize, own: [u32; 2]) -> Option<u64> {
        let local = self.book.locals.get(number as usize)?;
        let code = *slots.get(slot)?;
        let before = before_of(local.left, slots, slot, own);
        local.tree.encode(&mut self.coder, &before, code as u32);
        Some(code)
    }

    fn field(&mut self, number: u32, slots: &[u64], around: Around) -> Option<u64> {
        let field = self.book.fields.get(number as usize)?;
        let value = *slots.get(around.slot)?;
        if let Some(base) = base_of(field.base?, slots, &around) {
            if field.steps {
                let step = zigzag(value.wrapping_sub(base));
                self.book.held(field).encode(&mut self.coder, step);
                return Some(value);
            }
            self.book
                .held(field)
                .encode(&mut self.coder, u64::from(value == base));
            if value == base {
                return Some(value);
            }
        }
        self.book.values(field).encode(&mut self.coder, value);
        Some(value)
    }

    fn exception(&mut self, number: u32, word: u32) -> Option<u32> {
        let flags = self.book.exceptions.get(number as usize)?;
        flags.encode(&mut self.coder, u64::from(word != NONE));
        if word != NONE {
            self.book.odd_words.encode(&mut self.coder, u64::from(word));
        }
        Some(word)
    }
}

/// The reading side.
#[derive(Debug)]
pub struct Reader<'b, 's> {
    /// How to read.
    pub book: &'b Book,
    /// The stream.
    pub coder: Decoder<'s>,
    /// Words of the dictionary.
    pub words: u64,
}

impl Side for Reader<'_, '_> {
    #[inline]
    fn local(&mut self, number: u32, slots: &[u64], slot: usize, own: [u32; 2]) -> Option<u64> {
        let local = self.book.locals.get(number as usize)?;
        let before = before_of(local.left, slots, slot, own);
        local.tree.decode(&mut self.coder, &before).map(u64::from)
    }

    #[inline]
    fn field(&mut self, number: u32, slots: &[u64], around: Around) -> Option<u64> {
        let field = self.book.fields.get(number as usize)?;
        let value = match base_of(field.base?, slots, &around) {
            Some(base) if field.steps => {
                base.wrapping_add(unzigzag(self.book.held(field).decode(&mut self.coder)))
            }
            Some(base) if self.book.held(field).decode(&mut self.coder) == 1 => base,
            _ => self.book.values(field).decode(&mut self.coder),
        };
        Some(value)
    }

    fn exception(&mut self, number: u32, _: u32) -> Option<u32> {
        let flags = self.book.exceptions.get(number as usize)?;
        if flags.decode(&mut self.coder) != 1 {
            return Some(NONE);
        }
        let word = self.book.odd_words.decode(&mut self.coder);
        (word < self.words).then_some(word as u32)
    }
}

/// A template's code by those before: of rows of no template 0.
pub fn write_code(book: &Book, coder: &mut Encoder, before: &mut Before, code: u32) {
    if book.codes.len() > 0 {
        book.codes.encode(coder, before, code);
    } else {
        book.many_codes.encode(coder, u64::from(code));
    }
    *before = [code, before[0], before[1], before[2]];
}

/// See [`write_code`].
#[inline]
pub fn read_code(book: &Book, coder: &mut Decoder<'_>, before: &mut Before) -> Option<u32> {
    let code = if book.codes.len() > 0 {
        book.codes.decode(coder, before)?
    } else {
        u32::try_from(book.many_codes.decode(coder)).ok()?
    };
    *before = [code, before[0], before[1], before[2]];
    Some(code)
}

/// What stands before the first letter, code or number of a run.
pub fn nothing(none: u32) -> Before {
    [none; MOST_DEEP]
}
