//! Separated values: commas, semicolons, tabs or any other byte between fields.
//!
//! Lines end with LF or CRLF; a byte-order mark, blank lines and comment lines are skipped, and so is the header where it
//! comes again, as in files that were joined or begun anew. A field that starts with the
//! quote runs to the next single quote and may hold delimiters and line ends; two quotes are one. Quotes inside a bare
//! field are just bytes. If a quote is never closed, its line is refused and reading goes on with the next one, so that
//! one stray quote does not swallow a file.
//!
//! A line without quotes (nearly all of them) is split where `memchr` finds delimiters, without copying.

use memchr::{memchr, memchr_iter};

use crate::failure::{Failure, Outcome};
use crate::field::{Field, Form};
use crate::source::input::{Input, More};
use crate::source::{Advance, MAX_RECORD_BYTES, Source, distinct_names, no_header};

/// How separated values are written.
#[derive(Debug, Clone)]
pub struct CsvOptions {
    /// Byte between fields; `None`: the most frequent of comma, semicolon, tab and bar in the first line.
    pub delimiter: Option<u8>,
    /// Byte around fields, if any.
    pub quote: Option<u8>,
    /// Lines that start with this are skipped; empty: none are.
    pub comment: Vec<u8>,
    /// Names of the columns if the first line is not a header.
    pub columns: Option<Vec<String>>,
    /// Take the names from a comment line `#fields`, as Zeek writes it, if there is one.
    pub fields_line: bool,
}

impl Default for CsvOptions {
    fn default() -> Self {
        CsvOptions {
            delimiter: None,
            quote: Some(b'"'),
            comment: Vec::new(),
            columns: None,
            fields_line: false,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct FieldSpan {
    start: usize,
    end: usize,
    form: Form,
    /// Whether the text is in `unquoted` (it held doubled quotes) instead of in the record.
    copied: bool,
}

/// Records of separated values.
#[derive(Debug)]
pub struct CsvSource {
    input: Input,
    options: CsvOptions,
    delimiter: u8,
    names: Vec<String>,
    /// The header line, if it was one line; empty before it was read.
    header: Vec<u8>,
    /// Line on which the present record starts.
    line: u64,
    /// The present record: bytes without and with its line end, at the start of what is left of `input`, and lines.
    record: RecordSpan,
    fields: Vec<FieldSpan>,
    unquoted: Vec<u8>,
    problem: Option<String>,
    /// Bytes of what is left that are known to hold no line end.
    scanned: usize,
    /// Inside a line that was refused for its length.
    skipping: bool,
    mark: (usize, u64),
}

#[derive(Debug, Clone, Copy, Default)]
struct RecordSpan {
    text_bytes: usize,
    bytes: usize,
    lines: u64,
}

enum Line {
    Found(RecordSpan),
    TooLong,
    Idle,
    End,
}

impl CsvSource {
    /// Reads the header of `input`, unless the options name the columns.
    ///
    /// # Errors
    /// When the input cannot be read, or is empty and nothing names the columns.
    pub fn open(input: Input, options: CsvOptions) -> Outcome<CsvSource> {
        let names = options.columns.clone().unwrap_or_default();
        let mut source = CsvSource {
            input,
            delimiter: options.delimiter.unwrap_or(b','),
            options,
            names,
            header: Vec::new(),
            line: 1,
            record: RecordSpan::default(),
            fields: Vec::new(),
            unquoted: Vec::new(),
            problem: None,
            scanned: 0,
            skipping: false,
            mark: (0, 1),
        };
        source.skip_byte_order_mark()?;
        source.read_header()?;
        Ok(source)
    }

    fn skip_byte_order_mark(&mut self) -> Outcome<()> {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        while self.input.bytes().len() < MARK.len() && MARK.starts_with(self.input.bytes()) {
            if self.input.more()? == More::End {
                break;
            }
        }
        if self.input.bytes().starts_with(MARK) {
            self.input.consume(MARK.len());
        }
        Ok(())
    }

    fn read_header(&mut self) -> Outcome<()> {
        let named = !self.names.is_empty();
        loop {
            match self.advance()? {
                Advance::Record => break,
                Advance::Idle => continue,
                Advance::End if named => return Ok(()),
                Advance::End => return Err(no_header(self.input.name())),
            }
        }
        if self.options.delimiter.is_none() {
            self.delimiter = likely_delimiter(self.text());
            self.put_back();
            self.advance()?;
        }
        if !self.names.is_empty() {
            // Names were given, or came in a comment: this is the first row.
            self.put_back();
            return Ok(());
        }
        if let Some(problem) = &self.problem {
            return Err(Failure::refused(format!(
                "{}: line {}, the header: {problem}",
                self.input.name(),
                self.line
            )));
        }
        let names = (0..self.fields.len())
            .map(|index| String::from_utf8_lossy(self.field(index).text.trim_ascii()).into_owned())
            .collect();
        self.names = distinct_names(names);
        if self.record.lines == 1 {
            self.header = self.text().to_vec();
        }
        Ok(())
    }

    /// The next line, without consuming it.
    fn find_line(&mut self) -> Outcome<Line> {
        loop {
            let bytes = self.input.bytes();
            if let Some(at) = bytes.get(self.scanned..).and_then(|rest| memchr(b'\n', rest)) {
                let end = self.scanned + at;
                self.scanned = 0;
                if end > MAX_RECORD_BYTES {
                    return Ok(Line::TooLong);
                }
                return Ok(Line::Found(RecordSpan {
                    text_bytes: without_cr(bytes, end),
                    bytes: end + 1,
                    lines: 1,
                }));
            }
            self.scanned = bytes.len();
            if self.scanned > MAX_RECORD_BYTES {
                self.scanned = 0;
                return Ok(Line::TooLong);
            }
            match self.input.more()? {
                More::Data => {}
                More::Idle => return Ok(Line::Idle),
                More::End if self.input.bytes().is_empty() => return Ok(Line::End),
                More::End => {
                    let bytes = self.input.bytes();
                    self.scanned = 0;
                    return Ok(Line::Found(RecordSpan {
                        text_bytes: without_cr(bytes, bytes.len()),
                        bytes: bytes.len(),
                        lines: 1,
                    }));
                }
            }
        }
    }

    /// Consumes the rest of a line that was refused for its length; false if its end has not come yet.
    fn skip_line(&mut self) -> Outcome<bool> {
        loop {
            let bytes = self.input.bytes();
            let found = memchr(b'\n', bytes);
            let count = found.map_or(bytes.len(), |at| at + 1);
            self.input.consume(count);
            if found.is_some() {
                self.line += 1;
                self.skipping = false;
                return Ok(true);
            }
            match self.input.more()? {
                More::Data => {}
                More::Idle => return Ok(false),
                More::End => {
                    self.skipping = false;
                    return Ok(true);
                }
            }
        }
    }

    fn split_bare(&mut self, text_bytes: usize) {
        let text = self.input.bytes().get(..text_bytes).unwrap_or_default();
        let mut start = 0;
        for end in memchr_iter(self.delimiter, text) {
            self.fields.push(FieldSpan {
                start,
                end,
                form: Form::Plain,
                copied: false,
            });
            start = end + 1;
        }
        self.fields.push(FieldSpan {
            start,
            end: text_bytes,
            form: Form::Plain,
            copied: false,
        });
    }

    /// Splits a record that holds quotes and may go on over further lines. `first` is its first line.
    fn split_quoted(&mut self, quote: u8, first: RecordSpan) -> Outcome<Option<RecordSpan>> {
        let mut at_end = false;
        loop {
            self.fields.clear();
            self.unquoted.clear();
            let bytes = self.input.bytes();
            let found = split(
                bytes,
                self.delimiter,
                quote,
                at_end,
                &mut self.fields,
                &mut self.unquoted,
            );
            if let Some(record) = found {
                return Ok(Some(record));
            }
            if !at_end && bytes.len() <= MAX_RECORD_BYTES {
                match self.input.more()? {
                    More::Data => continue,
                    More::Idle => return Ok(None),
                    More::End => at_end = true,
                }
                continue;
            }
            self.fields.clear();
            self.unquoted.clear();
            self.problem = Some(
                "a quote that opens on this line is never closed (--quote none takes quotes as text)"
                    .to_owned(),
            );
            return Ok(Some(first));
        }
    }

    fn note_comment(&mut self, text_bytes: usize) {
        if !self.options.fields_line || !self.names.is_empty() {
            return;
        }
        let text = self.input.bytes().get(..text_bytes).unwrap_or_default();
        let Some(rest) = text.strip_prefix(b"#fields") else {
            return;
        };
        let Some((&separator, rest)) = rest.split_first() else {
            return;
        };
        let names = rest
            .split(|&b| b == separator)
            .map(|name| String::from_utf8_lossy(name).trim().to_owned());
        self.names = distinct_names(names.collect());
        if self.options.delimiter.is_none() {
            self.options.delimiter = Some(separator);
            self.delimiter = separator;
        }
    }
}

impl Source for CsvSource {
    fn name(&self) -> &str {
        self.input.name()
    }

    fn field_names(&self) -> &[String] {
        &self.names
    }

    fn quotes_mean_text(&self) -> bool {
        false
    }

    fn advance(&mut self) -> Outcome<Advance> {
        self.input.consume(self.record.bytes);
        self.line += self.record.lines;
        self.record = RecordSpan::default();
        self.problem = None;
        self.fields.clear();
        self.unquoted.clear();
        if self.skipping && !self.skip_line()? {
            return Ok(Advance::Idle);
        }
        loop {
            let line = match self.find_line()? {
                Line::Found(line) => line,
                Line::Idle => return Ok(Advance::Idle),
                Line::End => return Ok(Advance::End),
                Line::TooLong => {
                    self.problem = Some(format!("the line is longer than {} MiB", MAX_RECORD_BYTES >> 20));
                    self.record = RecordSpan {
                        text_bytes: MAX_RECORD_BYTES,
                        bytes: MAX_RECORD_BYTES,
                        lines: 0,
                    };
                    self.skipping = true;
                    return Ok(Advance::Record);
                }
            };
            let text = self.input.bytes().get(..line.text_bytes).unwrap_or_default();
            let comment = &self.options.comment;
            let is_header = !self.header.is_empty() && text == self.header;
            if text.is_empty() || is_header || (!comment.is_empty() && text.starts_with(comment)) {
                self.note_comment(line.text_bytes);
                self.input.consume(line.bytes);
                self.line += 1;
                continue;
            }
            self.record = match self.options.quote {
                Some(quote) if memchr(quote, text).is_some() => match self.split_quoted(quote, line)? {
                    Some(record) => record,
                    None => return Ok(Advance::Idle),
                },
                _ => {
                    self.split_bare(line.text_bytes);
                    line
                }
            };
            if self.problem.is_none() && !self.names.is_empty() && self.fields.len() != self.names.len() {
                self.problem = Some(format!(
                    "{} fields, where the header names {}",
                    self.fields.len(),
                    self.names.len()
                ));
            }
            return Ok(Advance::Record);
        }
    }

    #[inline]
    fn field(&self, index: usize) -> Field<'_> {
        let Some(span) = self.fields.get(index) else {
            return Field::MISSING;
        };
        let bytes = if span.copied {
            &self.unquoted
        } else {
            self.input.bytes()
        };
        Field {
            text: bytes.get(span.start..span.end).unwrap_or_default(),
            form: span.form,
        }
    }

    fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    fn line(&self) -> u64 {
        self.line
    }

    fn text(&self) -> &[u8] {
        self.input
            .bytes()
            .get(..self.record.text_bytes)
            .unwrap_or_default()
    }

    fn put_back(&mut self) {
        self.record = RecordSpan::default();
        self.skipping = false;
    }

    fn mark(&mut self) {
        self.input.consume(self.record.bytes);
        self.line += self.record.lines;
        self.record = RecordSpan::default();
        self.mark = (self.input.mark(), self.line);
    }

    fn rewind(&mut self) {
        self.input.rewind(self.mark.0);
        self.line = self.mark.1;
        self.record = RecordSpan::default();
        self.scanned = 0;
        self.skipping = false;
    }
}

fn without_cr(bytes: &[u8], end: usize) -> usize {
    end - usize::from(end > 0 && bytes.get(end - 1) == Some(&b'\r'))
}

/// The delimiter of a header line: the most frequent of comma, semicolon, tab and bar.
fn likely_delimiter(header: &[u8]) -> u8 {
    let count = |delimiter: u8| memchr_iter(delimiter, header).count();
    // `max_by_key` takes the last of equals: the comma wins a tie.
    [b'|', b'\t', b';', b',']
        .into_iter()
        .max_by_key(|&d| count(d))
        .unwrap_or(b',')
}

/// Splits the record at the start of `bytes`; `None` if its end is not there (`at_end`: and nothing more will come).
fn split(
    bytes: &[u8],
    delimiter: u8,
    quote: u8,
    at_end: bool,
    fields: &mut Vec<FieldSpan>,
    unquoted: &mut Vec<u8>,
) -> Option<RecordSpan> {
    let mut at = 0;
    let mut lines = 1;
    loop {
        let mut span = FieldSpan {
            start: at,
            end: at,
            form: Form::Plain,
            copied: false,
        };
        if bytes.get(at) == Some(&quote) {
            at += 1;
            span = FieldSpan {
                start: at,
                end: at,
                form: Form::Quoted,
                copied: false,
            };
            loop {
                let run = memchr(quote, bytes.get(at..)?)?;
                lines += memchr_iter(b'\n', &bytes[at..at + run]).count() as u64;
                if span.copied {
                    unquoted.extend_from_slice(&bytes[at..at + run]);
                }
                at += run;
                span.end = if span.copied { unquoted.len() } else { at };
                at += 1;
                if bytes.get(at) != Some(&quote) {
                    if at == bytes.len() && !at_end {
                        // The next byte decides whether this quote closes.
                        return None;
                    }
                    break;
                }
                copy_out(bytes, &mut span, unquoted);
                unquoted.push(quote);
                span.end = unquoted.len();
                at += 1;
            }
        }
        // What stands between a closing quote and the next delimiter belongs to the field, too.
        let rest = bytes.get(at..)?;
        let stop = rest.iter().position(|&b| b == delimiter || b == b'\n');
        let stop = match stop {
            Some(stop) => stop,
            None if at_end => rest.len(),
            None => return None,
        };
        let end_of_record = rest.get(stop) != Some(&delimiter);
        let text_end = if end_of_record {
            without_cr(rest, stop)
        } else {
            stop
        };
        match span.form {
            Form::Quoted if text_end > 0 => {
                copy_out(bytes, &mut span, unquoted);
                unquoted.extend_from_slice(&rest[..text_end]);
                span.end = unquoted.len();
            }
            Form::Quoted => {}
            _ => span.end = at + text_end,
        }
        fields.push(span);
        if end_of_record {
            let line_end = usize::from(stop < rest.len());
            return Some(RecordSpan {
                text_bytes: at + text_end,
                bytes: at + stop + line_end,
                lines,
            });
        }
        at += stop + 1;
    }
}

/// Makes `span` a copy in `unquoted`, so that it can grow by bytes that do not follow it.
fn copy_out(bytes: &[u8], span: &mut FieldSpan, unquoted: &mut Vec<u8>) {
    if !span.copied {
        let start = unquoted.len();
        unquoted.extend_from_slice(&bytes[span.start..span.end]);
        *span = FieldSpan {
            start,
            end: unquoted.len(),
            copied: true,
            ..*span
        };
    }
}

#[cfg(test)]
mod tests;
