//! A block: its head, and what is kept in memory of it once it was asked.

use std::ops::Range;
use std::sync::{Mutex, OnceLock};

use super::book::{Book, Letters};
use super::read;
use super::walk::State;
use super::words::{self, GROUP};
use crate::batch::ByteColumn;
use crate::error::{Error, Result};
use crate::section::Section;
use crate::text::template::list::List;
use crate::text::template::rest::Rest;
use crate::text::template::{MAX_TEXT, lz};

/// Parts of a block.
pub const PARTS: usize = 6;
/// Bytes of a head.
pub const HEAD_BYTES: u64 = 32 + 4 * PARTS as u64;
/// Bytes of all words, and values of all rows, at most: twice those of a block's rows.
pub const MOST_VALUES: u64 = 1 << 27;
/// Words that are kept in memory as they are read, and bytes of such a word.
const CACHED_WORDS: usize = 1 << 11;
const CACHED_BYTES: usize = 48;

/// The fixed fields of a block.
#[derive(Debug, Clone, Default)]
pub struct Head {
    /// Templates.
    pub templates: u32,
    /// Words of the dictionary.
    pub words: u32,
    /// Bytes of the templates' text.
    pub text_bytes: u32,
    /// Bytes of the rest if it is packed, else 0.
    pub rest_bytes: u32,
    /// Rows of no template.
    pub rest_rows: u32,
    /// Rows of a run.
    pub run_rows: u32,
    /// Bytes of all rows.
    pub bytes: u64,
    /// Where the parts start, and the last one ends.
    pub starts: [u64; PARTS + 1],
}

impl Head {
    /// Writes a block of these parts.
    ///
    /// # Errors
    /// `InvalidArgument` if a part has 4 GiB or more.
    pub fn write(&self, parts: [Vec<u8>; PARTS]) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        let fields = [
            self.templates,
            self.words,
            self.text_bytes,
            self.rest_bytes,
            self.rest_rows,
            self.run_rows,
        ];
        for field in fields {
            out.extend_from_slice(&field.to_le_bytes());
        }
        out.extend_from_slice(&self.bytes.to_le_bytes());
        for part in &parts {
            let bytes = u32::try_from(part.len())
                .map_err(|_| Error::invalid("a part of a block has less than 4 GiB"))?;
            out.extend_from_slice(&bytes.to_le_bytes());
        }
        parts.iter().for_each(|part| out.extend_from_slice(part));
        Ok(out)
    }

    fn read(section: &Section) -> Result<Head> {
        let mut head = Head {
            templates: section.u32(0)?,
            words: section.u32(4)?,
            text_bytes: section.u32(8)?,
            rest_bytes: section.u32(12)?,
            rest_rows: section.u32(16)?,
            run_rows: section.u32(20)?,
            bytes: section.u64(24)?,
            starts: [HEAD_BYTES; PARTS + 1],
        };
        for part in 0..PARTS {
            let bytes = section.u32(32 + 4 * part as u64)?;
            head.starts[part + 1] = head.starts[part] + u64::from(bytes);
        }
        if head.starts[PARTS] != section.len() {
            return Err(section.corrupt(32, "the parts of a block are not all of it".to_string()));
        }
        Ok(head)
    }
}

/// A word that was read lately: its number plus one, its bytes.
type Cached = (u64, Vec<u8>);

/// What is kept in memory.
#[derive(Debug)]
pub struct Opened {
    /// Templates, columns and models.
    pub book: Book,
    letters: Letters,
    /// Constants and runs.
    pub text: Vec<u8>,
    word_starts: List,
    run_starts: List,
    rests: List,
    /// Rows of no template.
    pub rest: Option<Rest>,
    /// What one row's walk leaves behind for the next.
    pub state: Mutex<Option<State>>,
    cache: Mutex<Vec<Cached>>,
}

/// A block.
#[derive(Debug)]
pub struct Block {
    section: Section,
    /// Its fixed fields.
    pub head: Head,
    /// Number of rows.
    pub rows: u64,
    opened: OnceLock<Opened>,
}

impl Block {
    /// Opens a block of `rows` rows.
    ///
    /// # Errors
    /// `Corrupt` if the head makes no sense for the section's length.
    pub fn open(section: Section, rows: u64) -> Result<Block> {
        let head = Head::read(&section)?;
        let wrong = |at, what: String| Err(section.corrupt(at, what));
        if u64::from(head.rest_rows) > rows {
            return wrong(16, format!("{} of {rows} rows have no template", head.rest_rows));
        }
        if head.run_rows == 0 || head.run_rows > 1 << 16 {
            return wrong(20, format!("runs of {} rows", head.run_rows));
        }
        if head.bytes > 1 << 62 || head.words > 1 << 31 || head.text_bytes as usize > MAX_TEXT {
            return wrong(0, "a block is larger than any".to_string());
        }
        Ok(Block {
            section,
            head,
            rows,
            opened: OnceLock::new(),
        })
    }

    /// Bytes of a part.
    pub fn part_bytes(&self, part: usize) -> u64 {
        self.head.starts[part + 1] - self.head.starts[part]
    }

    fn part(&self, part: usize) -> Result<Section> {
        self.section
            .sub(self.head.starts[part]..self.head.starts[part + 1])
    }

    /// An error that names the block.
    pub fn corrupt(&self, what: &str) -> Error {
        self.section.corrupt(0, what.to_string())
    }

    /// What is kept in memory; read when first asked.
    pub fn opened(&self) -> Result<&Opened> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let opened = self.read()?;
        Ok(self.opened.get_or_init(|| opened))
    }

    fn read(&self) -> Result<Opened> {
        let head = &self.head;
        let text = lz::unpack(self.part(0)?.all()?, head.text_bytes as usize)
            .ok_or_else(|| self.corrupt("the text of the templates makes no sense"))?;
        let (book, letters) = read::read(self.part(1)?.all()?, &text, head.templates, head.words)
            .ok_or_else(|| self.corrupt("the directory of templates makes no sense"))?;
        let runs = self.rows.div_ceil(u64::from(head.run_rows));
        let groups = u64::from(head.words).div_ceil(GROUP as u64);
        let word_starts = List::new(0, groups, self.part_bytes(3));
        let run_starts = List::new(word_starts.bits(), runs, self.part_bytes(4));
        let at = word_starts.bits().saturating_add(run_starts.bits());
        let rests = List::new(at, runs, u64::from(head.rest_rows) + runs);
        let end = at.saturating_add(rests.bits());
        if end > self.part_bytes(2).saturating_mul(8) {
            return Err(self.corrupt("starts are longer than their part"));
        }
        let rest = if head.rest_rows == 0 {
            None
        } else {
            Some(Rest::open(self.part(5)?, head.rest_bytes)?)
        };
        let rest_rows = u64::from(head.rest_rows);
        if rest.as_ref().map_or(0, |rest| rest.len(rest_rows)) != rest_rows
            || (head.rest_bytes > 0 && rest_rows > u64::from(head.rest_bytes))
        {
            return Err(self.corrupt("the rest does not have its rows"));
        }
        Ok(Opened {
            book,
            letters,
            text,
            word_starts,
            run_starts,
            rests,
            rest,
            state: Mutex::new(None),
            cache: Mutex::new(Vec::new()),
        })
    }

    fn range(&self, opened: &List, index: u64, part: usize) -> Result<Range<usize>> {
        let bits = self.part(2)?;
        let bits = bits.all()?;
        let wrong = || self.corrupt("starts make no sense");
        let start = opened.get(bits, index).ok_or_else(wrong)?;
        let end = if index + 1 == opened.len() {
            self.part_bytes(part)
        } else {
            opened.get(bits, index + 1).ok_or_else(wrong)?
        };
        if start >= end || end > self.part_bytes(part) {
            return Err(wrong());
        }
        Ok(start as usize..end as usize)
    }

    /// Where the stream of a run is, in all of [`Block::run_bytes`], and the rows of no template before it.
    pub fn run(&self, opened: &Opened, run: u64) -> Result<(Range<usize>, u64)> {
        let range = self.range(&opened.run_starts, run, 4)?;
        let rest = opened.rests.get(self.part(2)?.all()?, run);
        let rest = rest.and_then(|rest| rest.checked_sub(run));
        Ok((
            range,
            rest.ok_or_else(|| self.corrupt("rows of no template make no sense"))?,
        ))
    }

    /// The streams of all runs.
    pub fn run_bytes(&self) -> Result<Section> {
        self.part(4)
    }

    /// Appends a word.
    pub fn word(&self, opened: &Opened, word: u64, out: &mut Vec<u8>) -> Result<()> {
        let place = (word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % CACHED_WORDS;
        // Another thread's use of the cache is not waited for.
        let mut cache = opened.cache.try_lock().ok();
        if let Some((known, bytes)) = cache.as_ref().and_then(|cache| cache.get(place)) {
            if *known == word + 1 {
                out.extend_from_slice(bytes);
                return Ok(());
            }
        }
        let from = out.len();
        let (group, index) = (word / GROUP as u64, word as usize % GROUP);
        if word >= u64::from(self.head.words) {
            return Err(self.corrupt("a word is not in the dictionary"));
        }
        let bytes = self.part(3)?;
        let range = self.range(&opened.word_starts, group, 3)?;
        let bytes = bytes.all()?.get(range).unwrap_or_default();
        words::read(&opened.letters, bytes, index + 1, |at, word| {
            if at == index {
                out.extend_from_slice(word);
            }
        })
        .ok_or_else(|| self.corrupt("a word makes no sense"))?;
        let read = out.get(from..).unwrap_or_default();
        if let Some(cache) = cache.as_mut().filter(|_| read.len() <= CACHED_BYTES) {
            if cache.is_empty() {
                cache.resize(CACHED_WORDS, (0, Vec::new()));
            }
            cache[place] = (word + 1, read.to_vec());
        }
        Ok(())
    }

    /// All words.
    pub fn words(&self, opened: &Opened) -> Result<ByteColumn> {
        let mut words = ByteColumn::default();
        let bytes = self.part(3)?;
        let bytes = bytes.all()?;
        let groups = opened.word_starts.len();
        for group in 0..groups {
            let count = (u64::from(self.head.words) - group * GROUP as u64).min(GROUP as u64);
            let stream = bytes
                .get(self.range(&opened.word_starts, group, 3)?)
                .unwrap_or_default();
            words::read(&opened.letters, stream, count as usize, |_, word| {
                words.push(word)
            })
            .ok_or_else(|| self.corrupt("a word makes no sense"))?;
            // What a word shares with the one before takes next to no bytes.
            if words.bytes().len() as u64 > self.head.bytes.min(MOST_VALUES) {
                return Err(self.corrupt("words are longer than all rows"));
            }
        }
        Ok(words)
    }
}
