//! Words as packed letters: what was drawn at random, such as ids of requests, sessions, traces, containers.
//!
//! Good at words that are alike in length and letters and in nothing else: each takes the bits that its letters need, so
//! a word is read in tens of nanoseconds, where an fm takes a step a byte and no fewer bytes. Only the front of the
//! words, which says how they are sorted, takes less than its letters.
//!
//! ```text
//!  0  u64 words
//!  8  u8 letters A, u8 places P, u8 places of the heads, 5 x u8 zero
//! 16  A letters, increasing; P x (u8 least symbol, u8 width)
//!     up to a multiple of 8: packed bits
//!         heads   the words' first places, a list ([`list`])
//!         tails   the other places of each word
//! ```
//!
//! A symbol is 0 behind the end of a word, else 1 + the number of the letter. Words are in byte order.
//!
//! | question | cost |
//! |---|---|
//! | one word | a list's number, and a load for every 56 bits |
//! | words that are, or start with, some bytes | as many words as halving takes |
//! | words that contain, end with, in any case | a load and a few compares a word |

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::bits::{BitWriter, push, read};
use super::filter::Fit;
use super::list::{self, List};
use super::tails::Tails;
use super::words::MAX_TAILS;
use crate::error::{Error, Result};
use crate::section::Section;

mod choose;

pub use choose::choose;

/// Bytes before the letters.
const HEADER: usize = 16;
/// Places of a word at most.
pub const MAX_PLACES: usize = 64;
/// Letters of a pool at most.
const MAX_LETTERS: usize = 126;
/// Bits of the heads at most.
const MAX_HEAD: u32 = 48;
/// Passes over all words for what ends with something, after which their last bytes are kept in memory.
const PASSES: u32 = 8;
/// Bits that are loaded together.
const MAX_CHUNK: u32 = 56;

/// What a place of a word may hold, and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// Least symbol.
    least: u8,
    width: u32,
    /// Number of the chunk, of which the head is the first.
    chunk: usize,
    /// Bits of the chunk below the place.
    shift: u32,
}

/// Places that are loaded together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Chunk {
    /// Bits of the tail before it.
    at: u64,
    width: u32,
}

/// Where the places of words are.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shape {
    letters: Vec<u8>,
    places: Vec<Place>,
    chunks: Vec<Chunk>,
    tail_bits: u64,
}

impl Shape {
    /// Puts places, each a least symbol and a width, into chunks; `None` if they make no sense.
    fn new(letters: Vec<u8>, places: &[(u8, u8)], heads: usize) -> Option<Shape> {
        if letters.len() > MAX_LETTERS
            || places.len() > MAX_PLACES
            || heads > places.len()
            || !letters.is_sorted_by(|a, b| a < b)
        {
            return None;
        }
        let mut shape = Shape {
            letters,
            places: Vec::with_capacity(places.len()),
            chunks: vec![Chunk { at: 0, width: 0 }],
            tail_bits: 0,
        };
        for (index, &(least, width)) in places.iter().enumerate() {
            let width = u32::from(width);
            let last = shape.chunks.last().map_or(0, |chunk| chunk.width);
            if width > 7 || (index < heads && last + width > MAX_HEAD) {
                return None;
            }
            if index == heads || (index > heads && last + width > MAX_CHUNK) {
                shape.chunks.push(Chunk {
                    at: shape.tail_bits,
                    width: 0,
                });
            }
            let chunk = shape.chunks.len() - 1;
            // The first place has the highest bits, so heads are in the order of their words.
            for place in shape.places.iter_mut().filter(|place| place.chunk == chunk) {
                place.shift += width;
            }
            if let Some(chunk) = shape.chunks.last_mut() {
                chunk.width += width;
            }
            if chunk > 0 {
                shape.tail_bits += u64::from(width);
            }
            shape.places.push(Place {
                least,
                width,
                chunk,
                shift: 0,
            });
        }
        Some(shape)
    }

    /// The shape of sorted words with letters of their own; `None` if there are too many letters.
    fn of(words: &[&[u8]]) -> Option<Shape> {
        let mut known = [false; 256];
        for &byte in words.iter().copied().flatten() {
            known[usize::from(byte)] = true;
        }
        let letters: Vec<u8> = (0..=255).filter(|&byte: &u8| known[usize::from(byte)]).collect();
        let count = words.iter().map(|word| word.len()).max().unwrap_or(0);
        if letters.len() > MAX_LETTERS || count > MAX_PLACES {
            return None;
        }
        let mut bounds = vec![(u8::MAX, 0); count];
        for word in words {
            for (index, bounds) in bounds.iter_mut().enumerate() {
                let symbol = symbol(&letters, word.get(index).copied()).unwrap_or(0);
                *bounds = (bounds.0.min(symbol), bounds.1.max(symbol));
            }
        }
        let places: Vec<(u8, u8)> = bounds
            .iter()
            .map(|&(least, most)| (least, (u8::BITS - (most - least).leading_zeros()) as u8))
            .collect();
        // Heads of as many bits as tell words apart, and two more, take the least bytes.
        let enough = words.len().max(1).ilog2() + 3;
        let (mut heads, mut bits) = (0, 0);
        for &(_, width) in &places {
            if bits >= enough || bits + u32::from(width) > MAX_HEAD {
                break;
            }
            bits += u32::from(width);
            heads += 1;
        }
        Shape::new(letters, &places, heads)
    }

    fn heads(&self) -> usize {
        self.places.partition_point(|place| place.chunk == 0)
    }

    /// Bits of a word's letters.
    fn bits(&self) -> u64 {
        self.tail_bits + self.chunks.first().map_or(0, |head| u64::from(head.width))
    }

    fn head_universe(&self) -> u64 {
        1 << self.chunks.first().map_or(0, |head| head.width)
    }

    /// The bits of each chunk of a word.
    fn pack(&self, word: &[u8], chunks: &mut Vec<u64>) {
        chunks.clear();
        chunks.resize(self.chunks.len(), 0);
        for (index, place) in self.places.iter().enumerate() {
            let symbol = symbol(&self.letters, word.get(index).copied()).unwrap_or(0);
            debug_assert!(symbol >= place.least, "the shape is that of its words");
            chunks[place.chunk] |= u64::from(symbol.wrapping_sub(place.least)) << place.shift;
        }
    }
}

/// Symbol of a byte, or of none; `None` if it is no letter.
fn symbol(letters: &[u8], byte: Option<u8>) -> Option<u8> {
    match byte {
        None => Some(0),
        Some(byte) => letters.binary_search(&byte).ok().map(|place| place as u8 + 1),
    }
}

/// Writes two or more sorted words; `None` if they cannot be a pool.
pub fn encode(words: &[&[u8]]) -> Option<Vec<u8>> {
    let shape = Shape::of(words).filter(|shape| shape.bits() > 0)?;
    let mut out = (words.len() as u64).to_le_bytes().to_vec();
    out.push(shape.letters.len() as u8);
    out.push(shape.places.len() as u8);
    out.push(shape.heads() as u8);
    out.resize(HEADER, 0);
    out.extend_from_slice(&shape.letters);
    for place in &shape.places {
        out.extend_from_slice(&[place.least, place.width as u8]);
    }
    out.resize(out.len().next_multiple_of(8), 0);
    let mut bits = BitWriter::default();
    let mut chunks = Vec::new();
    let mut heads = Vec::with_capacity(words.len());
    for word in words {
        shape.pack(word, &mut chunks);
        heads.extend(chunks.first());
    }
    list::write(&heads, shape.head_universe(), &mut bits);
    for word in words {
        shape.pack(word, &mut chunks);
        for (&value, chunk) in chunks.iter().zip(&shape.chunks).skip(1) {
            push(&mut bits, value, chunk.width);
        }
    }
    out.extend_from_slice(&bits.into_padded());
    out.resize(out.len().next_multiple_of(8), 0);
    Some(out)
}

/// The read side.
#[derive(Debug)]
pub struct Pool {
    section: Section,
    words: u64,
    shape: Shape,
    /// Byte where the bits start.
    bits_at: usize,
    heads: List,
    /// Bit where the tails start.
    tails_at: u64,
    ends: OnceLock<Tails>,
    /// Passes over the words without these.
    passes: AtomicU32,
}

impl Pool {
    /// Opens the pool at the start of a section; gives its length in bytes too.
    ///
    /// # Errors
    /// `Corrupt` if what it says of itself makes no sense for the section's length.
    pub fn open(section: &Section) -> Result<(Pool, u64)> {
        let wrong = || section.corrupt(0, "a pool of words makes no sense".to_string());
        let all = section.all()?;
        let words = section.u64(0)?;
        let head = all.get(8..11).ok_or_else(wrong)?;
        let (letters, places, heads) = match head {
            &[letters, places, heads] => (usize::from(letters), usize::from(places), usize::from(heads)),
            _ => return Err(wrong()),
        };
        let places_at = HEADER + letters;
        let end = places_at + places * 2;
        let letters = all.get(HEADER..places_at).ok_or_else(wrong)?.to_vec();
        let places: Vec<(u8, u8)> = all
            .get(places_at..end)
            .ok_or_else(wrong)?
            .chunks_exact(2)
            .map(|pair| (pair[0], pair[1]))
            .collect();
        let shape = Shape::new(letters, &places, heads).ok_or_else(wrong)?;
        let bits_at = end.next_multiple_of(8);
        let length = section.len().saturating_sub(bits_at as u64);
        // A word has a bit at least, or a list of a few heads would hold any number of words.
        if words == 0 || words > length * 8 || shape.bits() == 0 {
            return Err(wrong());
        }
        let heads = List::new(0, words, shape.head_universe());
        let bits = words
            .checked_mul(shape.tail_bits)
            .and_then(|tails| tails.checked_add(heads.bits()))
            .filter(|bits| bits.div_ceil(8).saturating_add(8) <= length)
            .ok_or_else(wrong)?;
        let length = (bits_at as u64 + bits.div_ceil(8) + 8).next_multiple_of(8);
        let pool = Pool {
            section: section.sub(0..length.min(section.len()))?,
            words,
            shape,
            bits_at,
            tails_at: heads.bits(),
            heads,
            ends: OnceLock::new(),
            passes: AtomicU32::new(0),
        };
        Ok((pool, length))
    }

    /// Number of words.
    pub fn len(&self) -> u64 {
        self.words
    }

    fn bits(&self) -> Result<&[u8]> {
        Ok(self.section.all()?.get(self.bits_at..).unwrap_or_default())
    }

    fn corrupt(&self) -> Error {
        self.section
            .corrupt(self.bits_at as u64, "a word makes no sense".to_string())
    }

    /// Appends word `index`.
    pub fn extract(&self, index: u64, out: &mut Vec<u8>) -> Result<()> {
        self.letters(self.bits()?, index, out)
            .ok_or_else(|| self.corrupt())
    }

    fn letters(&self, bits: &[u8], index: u64, out: &mut Vec<u8>) -> Option<()> {
        let mut value = self.heads.get(bits, index)?;
        let tail = self.tails_at + index * self.shape.tail_bits;
        let mut loaded = 0;
        for place in &self.shape.places {
            if place.chunk != loaded {
                loaded = place.chunk;
                let chunk = self.shape.chunks.get(loaded)?;
                value = read(bits, tail + chunk.at, chunk.width)?;
            }
            let symbol = (value >> place.shift & !(u64::MAX << place.width)) + u64::from(place.least);
            match symbol.checked_sub(1) {
                None => break,
                Some(letter) => out.push(*self.shape.letters.get(letter as usize)?),
            }
        }
        Some(())
    }

    /// The words that are `bytes` (`whole`) or start with them.
    pub fn stretch(&self, bytes: &[u8], whole: bool) -> Result<Range<u64>> {
        let start = self.below(|word| word < bytes)?;
        let passes = |word: &[u8]| {
            if whole {
                word <= bytes
            } else {
                word < bytes || word.starts_with(bytes)
            }
        };
        let first_passes = start < self.words && {
            let mut word = Vec::new();
            self.extract(start, &mut word)?;
            passes(&word)
        };
        let end = if first_passes { self.below(passes)? } else { start };
        Ok(start..end.max(start))
    }

    /// How many words pass a test that is true of the first ones.
    fn below(&self, test: impl Fn(&[u8]) -> bool) -> Result<u64> {
        let mut word = Vec::new();
        let (mut low, mut high) = (0, self.words);
        while low < high {
            let middle = low + (high - low) / 2;
            word.clear();
            self.extract(middle, &mut word)?;
            if test(&word) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Appends `first` + the numbers of the words that `passes` and that hold `bytes` as `fit` says.
    pub fn find(
        &self,
        fit: Fit,
        bytes: &[u8],
        ignore_case: bool,
        passes: impl Fn(&[u8]) -> bool,
        first: u64,
        found: &mut Vec<u64>,
    ) -> Result<()> {
        let is_letter = |byte: &u8| self.shape.letters.binary_search(byte).is_ok();
        if !ignore_case && !bytes.iter().all(is_letter) {
            return Ok(());
        }
        if let Some(ends) = self.ends(fit, ignore_case)? {
            return self.verify(ends.find(bytes, false), passes, first, found);
        }
        let mut tests: Vec<Vec<(u64, u64)>> = vec![Vec::new(); self.shape.chunks.len()];
        let last = self.shape.places.len().checked_sub(bytes.len());
        let Some(last) = last.filter(|_| !bytes.is_empty()) else {
            return Ok(());
        };
        let starts = match fit {
            Fit::Equals | Fit::Starts => 0..=0,
            Fit::Ends | Fit::Contains => 0..=last,
        };
        let ends = matches!(fit, Fit::Equals | Fit::Ends);
        for start in starts {
            if let Some((chunk, test)) = self.alignment(bytes, start, ends, ignore_case) {
                tests[chunk].push(test);
            }
        }
        let bits = self.bits()?;
        let mut candidates = Vec::new();
        for (index, (chunk, tests)) in self.shape.chunks.iter().zip(&tests).enumerate() {
            if tests.is_empty() {
                continue;
            }
            let may = |value: u64| tests.iter().any(|&(mask, wanted)| value & mask == wanted);
            if index == 0 {
                let mut word = 0;
                self.heads
                    .each(bits, |head| {
                        if may(head) {
                            candidates.push(word);
                        }
                        word += 1;
                    })
                    .ok_or_else(|| self.corrupt())?;
                continue;
            }
            let mut at = self.tails_at + chunk.at;
            for word in 0..self.words {
                let value = read(bits, at, chunk.width).ok_or_else(|| self.corrupt())?;
                if may(value) {
                    candidates.push(word);
                }
                at += self.shape.tail_bits;
            }
        }
        candidates.sort_unstable();
        candidates.dedup();
        self.verify(candidates, passes, first, found)
    }

    /// The last bytes of all words, once so many questions were asked that they would answer sooner.
    fn ends(&self, fit: Fit, ignore_case: bool) -> Result<Option<&Tails>> {
        if let Some(ends) = self.ends.get().filter(|_| fit == Fit::Ends && !ignore_case) {
            return Ok(Some(ends));
        }
        if fit != Fit::Ends
            || ignore_case
            || self.words > MAX_TAILS
            || self.passes.fetch_add(1, Ordering::Relaxed) < PASSES
        {
            return Ok(None);
        }
        let mut ends = Tails::default();
        let mut word = Vec::new();
        for index in 0..self.words {
            word.clear();
            self.extract(index, &mut word)?;
            ends.push(&word);
        }
        Ok(Some(self.ends.get_or_init(|| ends)))
    }

    /// Appends `first` + those of the words that pass.
    fn verify(
        &self,
        candidates: Vec<u64>,
        passes: impl Fn(&[u8]) -> bool,
        first: u64,
        found: &mut Vec<u64>,
    ) -> Result<()> {
        let mut word = Vec::new();
        for index in candidates {
            word.clear();
            self.extract(index, &mut word)?;
            if passes(&word) {
                found.push(first + index);
            }
        }
        Ok(())
    }

    /// The chunk that holds most of `bytes` if they stand from place `start` on, the bits of it that they say, and what
    /// these are; `None` if no word has them there.
    fn alignment(
        &self,
        bytes: &[u8],
        start: usize,
        ends: bool,
        ignore_case: bool,
    ) -> Option<(usize, (u64, u64))> {
        let shape = &self.shape;
        let mut said = vec![(0u64, 0u64); shape.chunks.len()];
        let behind = ends.then_some(None);
        let wanted = bytes.iter().copied().map(Some).chain(behind);
        for (place, byte) in shape.places.get(start..).unwrap_or_default().iter().zip(wanted) {
            let code = |byte: Option<u8>| {
                let code = symbol(&shape.letters, byte)?.checked_sub(place.least)?;
                (u32::from(code) < 1 << place.width).then_some(u64::from(code))
            };
            let (code, same) = match byte {
                Some(byte) if ignore_case && byte.is_ascii_alphabetic() => {
                    let lower = code(Some(byte.to_ascii_lowercase()));
                    let upper = code(Some(byte.to_ascii_uppercase()));
                    let code = lower.or(upper)?;
                    (code, !(lower.unwrap_or(code) ^ upper.unwrap_or(code)))
                }
                byte => (code(byte)?, u64::MAX),
            };
            let mask = !(u64::MAX << place.width) & same;
            let (known, value) = said.get_mut(place.chunk)?;
            *known |= mask << place.shift;
            *value |= (code & mask) << place.shift;
        }
        let (chunk, test) = said
            .into_iter()
            .enumerate()
            .max_by_key(|(_, (mask, _))| mask.count_ones())?;
        Some((chunk, test))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::filter::Test;
    use super::*;
    use proptest::prelude::*;

    fn words() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let word = prop_oneof![
            "[0-9a-f]{12,20}",
            "req_[A-Za-z0-9]{8,14}",
            "[A-C]{1,3}",
            "[!-~]{1,40}",
            "[ab]{0,60}",
        ];
        let one_kind = (0usize..4, proptest::collection::vec("[0-9a-z]{16}", 0..120))
            .prop_map(|(cut, words)| words.into_iter().map(|word| word[cut..].to_string()).collect());
        let any = proptest::collection::vec(word, 1..90);
        prop_oneof![any, one_kind].prop_map(|words| {
            let words: std::collections::BTreeSet<Vec<u8>> = words
                .into_iter()
                .filter(|word| !word.is_empty())
                .map(String::into_bytes)
                .collect();
            words.into_iter().collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(150))]

        #[test]
        fn pools_answer_as_a_scan(words in words(), seeds in proptest::collection::vec((any::<usize>(), 0usize..40, 1usize..20, any::<u8>()), 8)) {
            prop_assume!(words.len() > 1);
            let slices: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            let mut bytes = encode(&slices).unwrap();
            let length = bytes.len() as u64;
            bytes.extend_from_slice(&[7; 24]);
            let (pool, end) = Pool::open(&Section::from_vec(bytes)).unwrap();
            prop_assert_eq!((pool.len(), end), (words.len() as u64, length));
            for (index, word) in words.iter().enumerate() {
                let mut out = Vec::new();
                pool.extract(index as u64, &mut out).unwrap();
                prop_assert_eq!(&out, word);
            }
            for (word, start, length, change) in seeds {
                let word = &words[word % words.len()];
                let start = start % word.len();
                let mut piece = word[start..(start + length).min(word.len())].to_vec();
                match change % 4 {
                    0 => piece[0] = b"0Z~ "[usize::from(change / 4) % 4],
                    1 => piece.make_ascii_uppercase(),
                    _ => {}
                }
                for fit in [Fit::Equals, Fit::Starts, Fit::Ends, Fit::Contains] {
                    for ignore_case in [false, true] {
                        let test = Test::new(fit, &piece, ignore_case);
                        let wanted: Vec<u64> = (5u64..).zip(&words).filter(|(_, word)| test.passes(word)).map(|(id, _)| id).collect();
                        let mut found = Vec::new();
                        // The last bytes are looked at from the ninth time on.
                        for _ in 0..if fit == Fit::Ends { 10 } else { 1 } {
                            found.clear();
                            pool.find(fit, &piece, ignore_case, |word| test.passes(word), 5, &mut found).unwrap();
                            prop_assert_eq!(&found, &wanted);
                        }
                        if !ignore_case && matches!(fit, Fit::Equals | Fit::Starts) {
                            let range = pool.stretch(&piece, fit == Fit::Equals).unwrap();
                            let range: Vec<u64> = range.map(|id| id + 5).collect();
                            prop_assert_eq!(&range, &wanted);
                        }
                    }
                }
            }
        }

        #[test]
        fn damaged_pools_give_an_error_or_an_answer(words in words(), flips in proptest::collection::vec((any::<usize>(), 0u8..8), 1..4)) {
            prop_assume!(words.len() > 1);
            let slices: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            let mut bytes = encode(&slices).unwrap();
            for (at, bit) in flips {
                let at = if bit < 4 { at % bytes.len().min(40) } else { at % bytes.len() };
                bytes[at] ^= 1 << bit;
            }
            if let Ok((pool, _)) = Pool::open(&Section::from_vec(bytes)) {
                let mut out = Vec::new();
                let _ = pool.extract(0, &mut out);
                let _ = pool.extract(pool.len() - 1, &mut out);
                let _ = pool.extract(pool.len(), &mut out);
                let _ = pool.stretch(b"req_a", false);
                let _ = pool.find(Fit::Contains, b"a1", true, |_| true, 0, &mut Vec::new());
            }
        }
    }
}
