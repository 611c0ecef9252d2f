//! Rows as tokens and the delimiters between them.
//!
//! A row is a token, then a run of delimiters and a token, and so on. Inner tokens and all runs have at least one byte;
//! the first and the last token may be empty. The runs of a row, in order, are its *shape*.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::ops::Range;

use crate::batch::ByteColumn;

/// Stands for a variable token in a template's text.
pub const VARIABLE: u8 = 1;
/// Ends a template's text.
pub const END: u8 = 0;
/// Rows of more bytes are kept whole.
pub const MAX_ROW_BYTES: usize = 1 << 16;
/// Rows of more tokens are kept whole.
pub const MAX_TOKENS: usize = 1 << 12;
/// Shape of a row that is kept whole.
pub const NO_SHAPE: u32 = u32::MAX;

/// Whether a byte separates tokens: control characters, the space, and `" & ' ( ) * , : ; < = > ? [ \ ] { | } # @`.
#[inline]
pub fn is_delimiter(byte: u8) -> bool {
    const TABLE: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 2;
        while byte <= 0x20 {
            table[byte] = true;
            byte += 1;
        }
        let marks = b"\"&'()*,:;<=>?[\\]{|}#@";
        let mut index = 0;
        while index < marks.len() {
            table[marks[index] as usize] = true;
            index += 1;
        }
        table
    };
    TABLE[usize::from(byte)]
}

/// Cuts a byte string into tokens and runs; the parts alternate, and the first and the last are tokens.
pub fn parts(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut at = 0;
    let mut token = true;
    let mut done = false;
    std::iter::from_fn(move || {
        if done {
            return None;
        }
        let rest = bytes.get(at..).unwrap_or_default();
        let length = rest
            .iter()
            .position(|&byte| is_delimiter(byte) == token)
            .unwrap_or(rest.len());
        at += length;
        done = token && at == bytes.len();
        token = !token;
        rest.get(..length)
    })
}

/// Distinct byte strings of a column, numbered as they come.
#[derive(Debug)]
pub struct Interner {
    hasher: RandomState,
    /// Number plus one of the string in each place; 0 where there is none.
    table: Vec<u32>,
    hashes: Vec<u32>,
    spans: Vec<(u64, u32)>,
}

impl Interner {
    fn new() -> Self {
        Interner {
            hasher: RandomState::new(),
            table: vec![0; 1 << 10],
            hashes: Vec::new(),
            spans: Vec::new(),
        }
    }

    /// Number of strings.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// String `number` in the bytes it was found in.
    pub fn get<'a>(&self, text: &'a [u8], number: u32) -> &'a [u8] {
        let Some(&(start, length)) = self.spans.get(number as usize) else {
            return &[];
        };
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        text.get(start..start.saturating_add(length as usize))
            .unwrap_or_default()
    }

    fn number(&mut self, text: &[u8], start: usize, length: usize, seed: u64) -> u32 {
        let bytes = text.get(start..start + length).unwrap_or_default();
        let hash = hash(bytes, seed);
        let mask = self.table.len() - 1;
        let mut place = hash as usize & mask;
        while self.table[place] != 0 {
            let number = self.table[place] - 1;
            if self.hashes[number as usize] == hash && self.get(text, number) == bytes {
                return number;
            }
            place = (place + 1) & mask;
        }
        let number = self.spans.len() as u32;
        self.spans.push((start as u64, length as u32));
        self.hashes.push(hash);
        self.table[place] = number + 1;
        if self.spans.len() * 2 > self.table.len() {
            self.grow();
        }
        number
    }

    fn grow(&mut self) {
        let mask = self.table.len() * 2 - 1;
        self.table = vec![0; mask + 1];
        for (number, &hash) in (1u32..).zip(&self.hashes) {
            let mut place = hash as usize & mask;
            while self.table[place] != 0 {
                place = (place + 1) & mask;
            }
            self.table[place] = number;
        }
    }
}

/// Eight bytes a step, folded by a multiplication; the seed differs from process to process, so that no log is slow on
/// purpose.
#[inline]
pub fn hash(bytes: &[u8], seed: u64) -> u32 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut state = seed ^ bytes.len() as u64;
    let fold = |state: u64, word: u64| {
        let product = u128::from(state ^ word) * u128::from(FACTOR | 1);
        (product as u64) ^ (product >> 64) as u64 ^ seed
    };
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        state = fold(state, u64::from_le_bytes(word));
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        state = fold(state, u64::from_le_bytes(word));
    }
    let product = u128::from(state) * u128::from(FACTOR);
    (product >> 32) as u32 ^ (product >> 96) as u32
}

/// A column as numbers of its tokens.
#[derive(Debug)]
pub struct Tokens<'a> {
    text: &'a [u8],
    /// Distinct tokens.
    pub words: Interner,
    /// Distinct runs.
    runs: Interner,
    /// Runs of each shape.
    shapes: Vec<Range<usize>>,
    shape_runs: Vec<u32>,
    /// Shape of each row, or [`NO_SHAPE`].
    pub row_shapes: Vec<u32>,
    starts: Vec<u64>,
    ids: Vec<u32>,
}

impl<'a> Tokens<'a> {
    /// Cuts all rows. O(bytes).
    pub fn new(rows: &'a ByteColumn) -> Self {
        let mut tokens = Tokens {
            text: rows.bytes(),
            words: Interner::new(),
            runs: Interner::new(),
            shapes: Vec::new(),
            shape_runs: Vec::new(),
            row_shapes: Vec::with_capacity(rows.len()),
            starts: Vec::with_capacity(rows.len()),
            ids: Vec::new(),
        };
        let seed = tokens.words.hasher.hash_one(1u8);
        let mut known: std::collections::HashMap<Vec<u32>, u32> = std::collections::HashMap::new();
        let mut shape = Vec::new();
        for row in 0..rows.len() {
            let bytes = rows.get(row);
            let start = tokens.ids.len();
            tokens.starts.push(start as u64);
            shape.clear();
            let sound = bytes.len() <= MAX_ROW_BYTES && tokens.cut(rows, row, &mut shape, seed);
            if !sound {
                tokens.ids.truncate(start);
                tokens.row_shapes.push(NO_SHAPE);
                continue;
            }
            let number = match known.get(&shape) {
                Some(&number) => number,
                None => {
                    let number = tokens.shapes.len() as u32;
                    let from = tokens.shape_runs.len();
                    tokens.shape_runs.extend_from_slice(&shape);
                    tokens.shapes.push(from..tokens.shape_runs.len());
                    known.insert(shape.clone(), number);
                    number
                }
            };
            tokens.row_shapes.push(number);
        }
        tokens
    }

    fn cut(&mut self, rows: &ByteColumn, row: usize, shape: &mut Vec<u32>, seed: u64) -> bool {
        let bytes = rows.get(row);
        let mut at = usize::try_from(rows.offsets().get(row).copied().unwrap_or(0)).unwrap_or(0);
        let mut token = true;
        for part in parts(bytes) {
            if token {
                if part.iter().any(|&byte| byte <= VARIABLE) {
                    return false;
                }
                let number = self.words.number(self.text, at, part.len(), seed);
                self.ids.push(number);
            } else {
                shape.push(self.runs.number(self.text, at, part.len(), seed));
            }
            at += part.len();
            token = !token;
        }
        shape.len() < MAX_TOKENS
    }

    /// The tokens of a row that has a shape.
    pub fn row(&self, row: u32) -> &[u32] {
        let shape = self.row_shapes.get(row as usize).copied().unwrap_or(NO_SHAPE);
        let count = self.shape(shape).len() + 1;
        let start = self
            .starts
            .get(row as usize)
            .map_or(0, |&start| usize::try_from(start).unwrap_or(0));
        self.ids.get(start..start + count).unwrap_or_default()
    }

    /// Number of shapes.
    pub fn shape_count(&self) -> usize {
        self.shapes.len()
    }

    /// The runs of a shape.
    pub fn shape(&self, shape: u32) -> &[u32] {
        self.shapes
            .get(shape as usize)
            .and_then(|range| self.shape_runs.get(range.clone()))
            .unwrap_or_default()
    }

    /// Bytes of a token.
    pub fn word(&self, number: u32) -> &'a [u8] {
        self.words.get(self.text, number)
    }

    /// Bytes of a run.
    pub fn run(&self, number: u32) -> &'a [u8] {
        self.runs.get(self.text, number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_alternate() {
        let cut = |text: &'static str| -> Vec<&'static str> {
            parts(text.as_bytes())
                .map(|part| std::str::from_utf8(part).unwrap_or("?"))
                .collect()
        };
        assert_eq!(cut(""), [""]);
        assert_eq!(cut("a"), ["a"]);
        assert_eq!(cut("a b"), ["a", " ", "b"]);
        assert_eq!(cut("a=(b)"), ["a", "=(", "b", ")", ""]);
        assert_eq!(cut(" a"), ["", " ", "a"]);
        assert_eq!(cut(" "), ["", " ", ""]);
    }
}
