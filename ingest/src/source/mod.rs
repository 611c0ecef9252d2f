//! Input sources: where records come from, one file per format.
//!
//! A [`Source`] gives records, each a list of fields by name. What is common to all formats is here: the sample that
//! types are inferred from, and turning records into batches under a [`Plan`].

use siltstone_store::batch::Batch;

use crate::failure::{Failure, Outcome};
use crate::field::{Field, MAX_NUMBER_BYTES};
use crate::infer::{ColumnSample, Sample};
use crate::plan::{Plan, Slot, Target};
use crate::ram;
use crate::stamp;

pub mod csv;
pub mod encoding;
pub mod followed;
pub mod input;
pub mod jsonl;
pub mod lines;

/// Bytes of the largest record; a longer line is refused.
pub const MAX_RECORD_BYTES: usize = 16 << 20;
/// Rows of a sample.
pub const SAMPLE_ROWS: usize = 100_000;

/// What [`Source::advance`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advance {
    /// A record.
    Record,
    /// Nothing came for a while (only when following).
    Idle,
    /// There is nothing more.
    End,
}

/// Why [`Source::next_batch`] returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// The batch is full.
    Full,
    /// Nothing came for a while (only when following).
    Idle,
    /// There is nothing more.
    End,
    /// The next record has a value in a field that the plan has no column for.
    NewField,
}

/// A record that was refused.
#[derive(Debug)]
pub struct Refusal<'a> {
    /// Line on which it starts, counted from 1.
    pub line: u64,
    /// Why, as a sentence.
    pub reason: String,
    /// The record as it came.
    pub text: &'a [u8],
}

/// How large a batch may grow.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimit {
    /// Rows.
    pub rows: usize,
    /// Bytes of input text.
    pub bytes: usize,
}

impl BatchLimit {
    /// The same limit, with at most `bytes` of input text.
    #[must_use]
    pub fn at_most(self, bytes: usize) -> BatchLimit {
        BatchLimit {
            bytes: self.bytes.min(bytes),
            ..self
        }
    }
}

impl Default for BatchLimit {
    fn default() -> Self {
        BatchLimit {
            rows: 65_536,
            bytes: 8 << 20,
        }
    }
}

/// Records of one input.
pub trait Source {
    /// Name of the input, for messages.
    fn name(&self) -> &str;

    /// Names of the fields by index. Grows while records are read, if the format names fields in each record.
    fn field_names(&self) -> &[String];

    /// Whether a quoted string is never a number (JSON), or may be one (CSV).
    fn quotes_mean_text(&self) -> bool;

    /// Goes to the next record.
    ///
    /// # Errors
    /// When the input cannot be read on.
    fn advance(&mut self) -> Outcome<Advance>;

    /// Field `index` of the record.
    fn field(&self, index: usize) -> Field<'_>;

    /// What is wrong with the record as a whole, if anything is.
    fn problem(&self) -> Option<&str>;

    /// Line on which the record starts, counted from 1.
    fn line(&self) -> u64;

    /// The record as it came.
    fn text(&self) -> &[u8];

    /// Makes [`Source::advance`] find the present record again.
    fn put_back(&mut self);

    /// Remembers the place before the next record, for [`Source::rewind`].
    fn mark(&mut self);

    /// Goes back to the mark.
    fn rewind(&mut self);

    /// Looks at the next records without consuming them; waits for the first. `decimal_comma`: numbers may have a comma for a point.
    ///
    /// # Errors
    /// When not even a first record can be read.
    fn sample(&mut self, null_tokens: &[Vec<u8>], decimal_comma: bool) -> Outcome<Sample> {
        let mut sample = Sample::default();
        let mut bytes = 0;
        self.mark();
        let most = ram::sample_bytes();
        while sample.rows < SAMPLE_ROWS && bytes < most {
            match self.advance() {
                Ok(Advance::Record) => {}
                // Nothing can be decided before there is a row: a sensor may take its time after its header.
                Ok(Advance::Idle) if sample.rows == 0 => continue,
                Ok(advance) => {
                    sample.paused = advance == Advance::Idle;
                    break;
                }
                // It comes again when the records are read up to it.
                Err(_) if bytes > 0 => break,
                Err(failure) => return Err(failure),
            }
            if self.problem().is_some() {
                bytes += self.text().len();
                continue;
            }
            if sample.columns.len() < self.field_names().len() {
                sample
                    .columns
                    .resize_with(self.field_names().len(), ColumnSample::default);
            }
            let (line, quotes_mean_text) = (self.line(), self.quotes_mean_text());
            for (index, column) in sample.columns.iter_mut().enumerate() {
                let mut pointed = [0; MAX_NUMBER_BYTES];
                let mut field = self.field(index);
                if decimal_comma {
                    field = field.with_point(&mut pointed);
                }
                column.add(field, line, null_tokens, quotes_mean_text);
            }
            sample.rows += 1;
            bytes += self.text().len();
        }
        sample
            .columns
            .resize_with(self.field_names().len(), ColumnSample::default);
        self.rewind();
        Ok(sample)
    }

    /// Adds the next records to `batch`, and hands those that do not fit the plan to `refuse`. Counts the bytes that
    /// they came as in `text_bytes`.
    ///
    /// # Errors
    /// When the input cannot be read on, or `refuse` fails.
    fn next_batch(
        &mut self,
        plan: &mut Plan,
        batch: &mut Batch,
        limit: BatchLimit,
        text_bytes: &mut u64,
        refuse: &mut dyn FnMut(Refusal<'_>) -> Outcome<()>,
    ) -> Outcome<Pause> {
        let mut bytes = 0;
        while batch.len() < limit.rows && bytes < limit.bytes {
            match self.advance()? {
                Advance::Record => {}
                Advance::Idle => return Ok(Pause::Idle),
                Advance::End => return Ok(Pause::End),
            }
            bytes += self.text().len();
            let result = match self.problem() {
                Some(problem) => Err(problem.to_owned()),
                None => match fill_row(self, plan, batch) {
                    Ok(Filled::Row) => Ok(()),
                    Ok(Filled::NewField) => {
                        self.put_back();
                        return Ok(Pause::NewField);
                    }
                    Err(reason) => Err(reason),
                },
            };
            *text_bytes += self.text().len() as u64 + 1;
            if let Err(reason) = result {
                refuse(Refusal {
                    line: self.line(),
                    reason,
                    text: self.text(),
                })?;
            }
        }
        Ok(Pause::Full)
    }
}

enum Filled {
    Row,
    NewField,
}

/// Adds the present record to `batch`, or says why not; the batch is then unchanged.
fn fill_row<S: Source + ?Sized>(source: &S, plan: &mut Plan, batch: &mut Batch) -> Result<Filled, String> {
    let names = source.field_names().len();
    plan.begin_row();
    for index in 0..names {
        let field = source.field(index);
        match plan.target(index) {
            Target::Skip => {}
            Target::Undecided => {
                if !field.is_null(plan.null_tokens()) {
                    return Ok(Filled::NewField);
                }
            }
            Target::Time => plan.set_time(field)?,
            Target::TimeOfDay => plan.set_time_of_day(field),
            Target::Column(position) => plan.set_cell(position, index, field)?,
        }
    }
    let time = plan.time()?;
    for (position, column) in batch.columns.iter_mut().enumerate() {
        match plan.cell(position) {
            Slot::Null => column.push_null(),
            Slot::Key(key) => column.push_key(key),
            Slot::Field(index) => column.push_bytes(source.field(index).text),
        }
    }
    batch.times.push(time);
    Ok(Filled::Row)
}

/// Formats of input that `--format` knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Separated values with a header line
    Csv,
    /// One JSON object a line
    Jsonl,
    /// Zeek's tab-separated logs: names from the #fields line, - is null
    Zeek,
    /// Log lines that start with a time: a row each, with the lines without one that follow
    Lines,
}

impl Format {
    /// The format that the name of an input and its first bytes suggest.
    ///
    /// # Errors
    /// When the input cannot be read.
    pub fn guess(path: &std::path::Path, input: &mut input::Input) -> Outcome<Format> {
        let name = path
            .file_name()
            .map(|n| n.to_string_lossy().to_ascii_lowercase())
            .unwrap_or_default();
        let name = name.trim_end_matches(".gz").trim_end_matches(".zst");
        if [".jsonl", ".ndjson"].iter().any(|end| name.ends_with(end)) {
            return Ok(Format::Jsonl);
        }
        const ZEEK: &[u8] = b"#separator ";
        let has_line =
            |bytes: &[u8]| bytes.len() >= MAX_GUESS_BYTES || memchr::memchr(b'\n', bytes).is_some();
        while !has_line(input.bytes()) && input.more()? != input::More::End {}
        let start = input.bytes().trim_ascii_start();
        Ok(if start.starts_with(b"{") {
            Format::Jsonl
        } else if start.starts_with(ZEEK) {
            Format::Zeek
        } else if looks_like_log(start) {
            Format::Lines
        } else {
            Format::Csv
        })
    }
}

/// Bytes of a first line that is looked at to guess the format.
const MAX_GUESS_BYTES: usize = 4 << 10;

/// Whether the first line has a time near its start, or one of the next ones at it, and text behind it. A header without
/// a time over lines of as many delimiters is that of a table.
fn looks_like_log(start: &[u8]) -> bool {
    const DELIMITERS: &[u8] = b",;|\t";
    let count = |line: &[u8], delimiter: u8| memchr::memchr_iter(delimiter, line).count();
    let mut lines = start.split(|&b| b == b'\n').take(5);
    let first = lines.next().unwrap_or_default();
    let is_stamped = |line: &[u8], words_before: usize| {
        stamp::find(line, words_before).is_some_and(|stamp| {
            let (before, behind) = line.split_at(stamp.end);
            let is_text = behind.first().is_some_and(|b| !DELIMITERS.contains(b));
            is_text && !before.iter().any(|b| b";|\t".contains(b)) && !before.ends_with(b",")
        })
    };
    is_stamped(first, usize::MAX)
        || lines.any(|line| {
            let is_row = |&d: &u8| count(first, d) > 0 && count(first, d) == count(line, d);
            is_stamped(line, 0) && !DELIMITERS.iter().any(is_row)
        })
}

/// Gives each field a name of its own: an empty one is called by its position, a repeated one gets a number.
pub(crate) fn distinct_names(names: Vec<String>) -> Vec<String> {
    let mut taken = std::collections::HashSet::new();
    let mut out = Vec::with_capacity(names.len());
    for (index, name) in names.into_iter().enumerate() {
        let base = if name.is_empty() {
            format!("column_{}", index + 1)
        } else {
            name
        };
        let mut name = base.clone();
        let mut number = 2;
        while !taken.insert(name.clone()) {
            name = format!("{base}_{number}");
            number += 1;
        }
        out.push(name);
    }
    out
}

/// A problem with the arguments of a source.
pub(crate) fn no_header(name: &str) -> Failure {
    Failure::refused(format!(
        "{name} holds no header line; is it empty? (--no-header --columns a,b,c names the columns)"
    ))
}
