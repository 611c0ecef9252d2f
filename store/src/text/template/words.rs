//! The dictionary: what columns hold that is no number. Words that were drawn at random are packed letters ([`pool`]),
//! the others an fm.
//!
//! Words are numbered through: those of the first pool in byte order, then those of the next one, last those of the fm.

use std::ops::Range;
use std::sync::{Mutex, OnceLock};

use super::filter::{Fit, Ids, Test};
use super::pool::Pool;
use super::tails::{TAIL_BYTES, Tails};
use crate::batch::ByteColumn;
use crate::error::Result;
use crate::section::Section;
use crate::text::fm::Fm;
use crate::text::{TextIndex, TextPattern};

/// Words up to which their tails are kept in memory once words are looked for by their end.
pub const MAX_TAILS: u64 = 1 << 18;
/// Words of the fm that are kept in memory as they are read.
const CACHED_WORDS: usize = 1 << 11;
/// Bytes of such a word.
const CACHED_BYTES: usize = 48;

/// A word that was read lately: its number plus one, its bytes.
type Cached = (u64, Vec<u8>);

/// The read side.
#[derive(Debug)]
pub struct Dictionary {
    section: Section,
    pools: Vec<(Range<u64>, Pool)>,
    /// Number of the fm's first word.
    first: u64,
    fm: Option<Fm>,
    tails: OnceLock<Tails>,
    cache: Mutex<Vec<Cached>>,
}

impl Dictionary {
    /// Opens a section whose first `pool_bytes` bytes are pools.
    ///
    /// # Errors
    /// `Corrupt` if pools or fm make no sense.
    pub fn open(section: Section, pool_bytes: u64) -> Result<Dictionary> {
        let (mut at, mut first) = (0, 0u64);
        let mut pools = Vec::new();
        while at < pool_bytes {
            let (pool, length) = Pool::open(&section.sub(at..pool_bytes)?)?;
            let end = first.saturating_add(pool.len());
            pools.push((first..end, pool));
            first = end;
            at += length;
        }
        let rest = section.sub(pool_bytes..section.len())?;
        let fm = if rest.is_empty() {
            None
        } else {
            Some(Fm::open(rest)?)
        };
        let words = fm.as_ref().map_or(0, |fm| fm.len()).saturating_add(first);
        if words > u64::from(u32::MAX) {
            return Err(section.corrupt(0, format!("a dictionary of {words} words")));
        }
        Ok(Dictionary {
            section,
            pools,
            first,
            fm,
            tails: OnceLock::new(),
            cache: Mutex::new(Vec::new()),
        })
    }

    /// Number of words.
    pub fn len(&self) -> u64 {
        self.first + self.fm.as_ref().map_or(0, |fm| fm.len())
    }

    /// Appends all words.
    pub fn decode(&self, out: &mut ByteColumn) -> Result<()> {
        for (range, pool) in &self.pools {
            for index in 0..range.end - range.start {
                pool.extract(index, out.buffer())?;
                out.close();
            }
        }
        match &self.fm {
            Some(fm) => fm.decode(0..fm.len(), out),
            None => Ok(()),
        }
    }

    /// Appends word `id`.
    pub fn extract(&self, id: u64, out: &mut Vec<u8>) -> Result<()> {
        let Some(index) = id.checked_sub(self.first) else {
            let at = self.pools.partition_point(|(range, _)| range.end <= id);
            return match self.pools.get(at) {
                Some((range, pool)) => pool.extract(id - range.start, out),
                None => Err(self.missing()),
            };
        };
        let fm = self.fm.as_ref().filter(|fm| index < fm.len());
        let fm = fm.ok_or_else(|| self.missing())?;
        // Another thread's use of the cache is not waited for.
        let Ok(mut cache) = self.cache.try_lock() else {
            return fm.extract(index, out);
        };
        if cache.is_empty() {
            cache.resize(CACHED_WORDS, (0, Vec::new()));
        }
        let place = (index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % CACHED_WORDS;
        let Some((known, bytes)) = cache.get_mut(place) else {
            return fm.extract(index, out);
        };
        if *known == index + 1 {
            out.extend_from_slice(bytes);
            return Ok(());
        }
        let from = out.len();
        fm.extract(index, out)?;
        let read = out.get(from..).unwrap_or_default();
        if read.len() <= CACHED_BYTES {
            bytes.clear();
            bytes.extend_from_slice(read);
            *known = index + 1;
        }
        Ok(())
    }

    fn missing(&self) -> crate::error::Error {
        self.section
            .corrupt(0, "a string is not in the dictionary".to_string())
    }

    /// Numbers of the words that pass.
    pub fn find(&self, test: &Test) -> Result<Ids> {
        let mut found = match &self.fm {
            None => Ids::Range(0..0),
            Some(fm) => self.find_in_fm(fm, test)?,
        };
        found.shift(self.first);
        for (range, pool) in self.pools.iter().rev() {
            let stretch = !test.ignore_case && matches!(test.fit, Fit::Equals | Fit::Starts);
            let here = if stretch {
                let words = pool.stretch(&test.bytes, test.fit == Fit::Equals)?;
                Ids::Range(range.start + words.start..range.start + words.end)
            } else {
                let mut words = Vec::new();
                let passes = |word: &[u8]| test.passes(word);
                pool.find(
                    test.fit,
                    &test.bytes,
                    test.ignore_case,
                    passes,
                    range.start,
                    &mut words,
                )?;
                Ids::Set(words)
            };
            found = here.before(found);
        }
        Ok(found)
    }

    fn find_in_fm(&self, fm: &Fm, test: &Test) -> Result<Ids> {
        if test.ignore_case {
            return self.find_spellings(fm, test);
        }
        let bytes = test.bytes.as_slice();
        Ok(match test.fit {
            Fit::Equals | Fit::Starts => Ids::Range(stretch(fm, bytes, test.fit == Fit::Equals)?),
            Fit::Ends if bytes.len() <= TAIL_BYTES => Ids::Set(self.ending(fm, bytes, false)?),
            Fit::Ends => Ids::Set(fm.find(&TextPattern::EndsWith(bytes.to_vec()))?),
            Fit::Contains => Ids::Set(fm.find(&TextPattern::Contains(bytes.to_vec()))?),
        })
    }

    /// The words of the fm that pass in any case of their letters.
    fn find_spellings(&self, fm: &Fm, test: &Test) -> Result<Ids> {
        if matches!(test.fit, Fit::Equals | Fit::Starts) {
            if let Some(found) = fm.stretches_any_case(&test.bytes, test.fit == Fit::Equals)? {
                let mut found: Vec<u64> = found.into_iter().flatten().collect();
                found.sort_unstable();
                found.dedup();
                return Ok(Ids::Set(found));
            }
        }
        if test.fit == Fit::Ends && test.bytes.len() <= TAIL_BYTES {
            return Ok(Ids::Set(self.ending(fm, &test.bytes, true)?));
        }
        let mut found = fm.find(&TextPattern::ContainsIgnoreAsciiCase(test.bytes.clone()))?;
        if test.fit != Fit::Contains {
            self.retain(&mut found, |word| test.passes(word))?;
        }
        Ok(Ids::Set(found))
    }

    /// Drops the words of the fm that do not pass.
    fn retain(&self, found: &mut Vec<u64>, passes: impl Fn(&[u8]) -> bool) -> Result<()> {
        let mut word = Vec::new();
        let mut failed = None;
        found.retain(|&id| {
            word.clear();
            failed = self.extract(self.first + id, &mut word).err().or(failed.take());
            passes(&word)
        });
        failed.map_or(Ok(()), Err)
    }

    /// The words of the fm that end with up to [`TAIL_BYTES`] bytes, in order.
    fn ending(&self, fm: &Fm, bytes: &[u8], ignore_case: bool) -> Result<Vec<u64>> {
        if bytes.contains(&0) {
            return Ok(Vec::new());
        }
        if fm.len() > MAX_TAILS {
            if !ignore_case {
                return fm.find(&TextPattern::EndsWith(bytes.to_vec()));
            }
            let mut found = fm.find(&TextPattern::ContainsIgnoreAsciiCase(bytes.to_vec()))?;
            self.retain(&mut found, |word| {
                let start = word.len().saturating_sub(bytes.len());
                word.get(start..)
                    .is_some_and(|end| end.eq_ignore_ascii_case(bytes))
            })?;
            return Ok(found);
        }
        let tails = match self.tails.get() {
            Some(tails) => tails,
            None => {
                let mut tails = Tails::default();
                fm.tails(TAIL_BYTES, |tail| tails.push(tail))?;
                self.tails.get_or_init(|| tails)
            }
        };
        Ok(tails.find(bytes, ignore_case))
    }
}

/// The words of an fm in byte order that are `bytes` (`whole`), or start with them.
fn stretch(fm: &Fm, bytes: &[u8], whole: bool) -> Result<Range<u64>> {
    if let Some(found) = fm.stretch(bytes, whole)? {
        return Ok(found);
    }
    let start = fm.below(bytes, false)?;
    let end = if whole {
        fm.below(bytes, true)?
    } else {
        let mut behind = bytes.to_vec();
        while behind.last() == Some(&u8::MAX) {
            behind.pop();
        }
        match behind.last_mut() {
            Some(last) => {
                *last += 1;
                fm.below(&behind, false)?
            }
            None => fm.len(),
        }
    };
    Ok(start..end.max(start))
}
