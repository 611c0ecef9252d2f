//! Bytes of text under what came before them.
//!
//! Where at least five of the bytes before agree with an earlier place, the first decision is whether the next byte is
//! the one that followed there; long repeats cost one decision a byte. Else the byte is a symbol of eight bits in
//! contexts of one to six bytes, and of the word so far.

use super::coder::Coder;
use super::mix::{Mixer, Set, hash};

/// Bytes that places are found by.
const FOUND_BY: usize = 6;
/// Bytes that have to agree at least.
const AGREE: usize = 5;
/// Agreeing bytes counted at most.
const LONGEST: usize = 32;

/// All text so far.
#[derive(Debug)]
pub struct Letters {
    history: Vec<u8>,
    /// By the last bytes, where they stood last and were followed.
    places: Vec<u32>,
    /// Place of the expected byte, and how many bytes before it agree.
    expected: Option<(usize, usize)>,
}

/// What a text is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Templates.
    Template = 0,
    /// Rows of no template.
    Rest = 1,
    /// Strings of the dictionary.
    Word = 2,
}

impl Letters {
    /// No text; places in a table of 2^`table_bits`.
    pub fn new(table_bits: u32) -> Self {
        Letters {
            history: Vec::new(),
            places: vec![0; 1 << table_bits],
            expected: None,
        }
    }

    /// Forgets what is expected: another text begins.
    pub fn begin(&mut self) {
        self.expected = None;
    }

    /// Adds a byte that is known.
    pub fn add(&mut self, byte: u8) {
        if let Some(place) = self.place() {
            self.places[place] = u32::try_from(self.history.len()).unwrap_or(0);
        }
        self.history.push(byte);
    }

    fn place(&self) -> Option<usize> {
        let last = self.history.last_chunk::<FOUND_BY>()?;
        let word = last.iter().fold(0u64, |word, &byte| word << 8 | u64::from(byte));
        Some((hash(word, 9) >> 13) as usize & (self.places.len() - 1))
    }

    fn find(&self) -> Option<(usize, usize)> {
        let place = self.places[self.place()?] as usize;
        let before = self.history.get(..place).filter(|before| !before.is_empty())?;
        let pairs = before.iter().rev().zip(self.history.iter().rev());
        let agree = pairs.take(LONGEST).take_while(|(a, b)| a == b).count();
        (agree >= AGREE).then_some((place, agree))
    }

    /// Writes `byte`, or reads one; `column` is its place in a word.
    pub fn byte<C: Coder>(&mut self, mixer: &mut Mixer<C>, source: Source, column: usize, byte: u8) -> u8 {
        let at = |back: usize| -> u64 {
            let place = self.history.len().checked_sub(back);
            let byte = place.and_then(|place| self.history.get(place));
            byte.map_or(0, |&byte| u64::from(byte))
        };
        let two = at(1) | at(2) << 8;
        let four = two | at(3) << 16 | at(4) << 24;
        let kind = source as u64;
        if self.expected.is_none() {
            self.expected = self.find();
        }
        if let Some((place, agree)) = self.expected {
            let expected = self.history.get(place).copied().unwrap_or(0);
            let (agree, symbol) = (agree.min(LONGEST) as u64, u64::from(expected));
            let contexts = [
                hash(agree, 1),
                hash(symbol << 8 | agree, 2),
                hash(symbol << 16 | two, 3),
                hash(kind << 8 | agree, 4),
            ];
            let set = Set { kind: 0, column: 0 };
            if mixer.bit(&contexts, set, agree as usize, byte == expected) {
                self.add(expected);
                self.expected = Some((place + 1, agree as usize + 1));
                return expected;
            }
            self.expected = None;
        }
        let word = self
            .history
            .iter()
            .rev()
            .take(16)
            .take_while(|byte| byte.is_ascii_alphanumeric())
            .fold(0, |word, &byte| hash(word, u64::from(byte)));
        let column = if source == Source::Word {
            column.min(40) as u64
        } else {
            0
        };
        let contexts = [
            hash(kind, 11),
            hash(at(1), 12),
            hash(two, 13),
            hash(two | at(3) << 16, 14),
            hash(four, 15),
            hash(hash(four, 16), at(5) | at(6) << 8),
            hash(hash(word, 17), column),
        ];
        let set = Set {
            kind: 1 + source as usize,
            column: 1 + (at(1) >> 5) as usize,
        };
        let byte = mixer.symbol(&contexts, 8, set, u64::from(byte)) as u8;
        self.add(byte);
        byte
    }
}
