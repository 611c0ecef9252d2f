//! Lines of a log as programs write it: a time, then text.
//!
//! Each line that has a time near its start ([`crate::stamp`]) begins a row of two fields, `time` and `message`; lines
//! without one belong to the row before, so that a stack trace is one row. A time that comes first is taken off the
//! message, one behind other words (an address, a level) stays where it is. Everything else is kept to the byte, but for
//! the line end and empty lines.
//!
//! How far from the start a time may be is learned from the first line that has one, so that later times in the middle of
//! a message begin no row. Times without a year belong to the year of the row before, or the next when the months begin
//! anew.

use memchr::memchr;
use siltstone_store::schema::TimeUnit;

use crate::clock::{self, Moment};
use crate::failure::{Failure, Outcome};
use crate::field::{Field, Form};
use crate::source::input::{Input, More};
use crate::source::{Advance, MAX_RECORD_BYTES, Source};
use crate::stamp::{self, Stamp, When};

/// Lines and bytes of a row from which further lines begin a new one, of the same time.
const MAX_JOINED: (usize, usize) = (1_000, 1 << 20);
/// Lines looked at to find the first time.
const LOOKED_AT: usize = 1_000;
/// Words that may come before the first time.
const WORDS_BEFORE: usize = 4;
const DAY_NS: i128 = 86_400_000_000_000;

/// How lines are read.
#[derive(Debug, Clone, Copy)]
pub struct LinesOptions {
    /// The latest time that the first row without a year can have: about now. Nanoseconds since 1970.
    pub now: Moment,
    /// The year of the first row without one, if it is known.
    pub year: Option<i64>,
    /// Seconds that times which name no zone are ahead of UTC.
    pub utc_offset_s: i64,
}

/// What is known from the rows before.
#[derive(Debug, Clone, Copy, Default)]
struct Before {
    /// Time of the last row.
    time: Option<Moment>,
    /// Year and month of the last row without a year.
    month: Option<(i64, i64)>,
}

/// Records of log lines.
#[derive(Debug)]
pub struct LinesSource {
    input: Input,
    options: LinesOptions,
    names: Vec<String>,
    words_before: usize,
    line: u64,
    /// Bytes and lines of the present record with its last line end, and where its message lies.
    record_bytes: usize,
    record_lines: u64,
    message: (usize, usize),
    before: Before,
    time: String,
    problem: Option<String>,
    skipping: bool,
    mark: (usize, u64, Before),
    has_years: bool,
}

/// What [`LinesSource::line_at`] found.
enum Line {
    /// End of the text, and of the line.
    Found(usize, usize),
    TooLong,
    Idle,
    End,
}

impl LinesSource {
    /// Looks for the first time in `input`.
    ///
    /// # Errors
    /// When the input cannot be read, is empty, or none of its first lines has a time.
    pub fn open(input: Input, options: LinesOptions) -> Outcome<LinesSource> {
        let mut source = LinesSource {
            input,
            options,
            names: vec!["time".to_owned(), "message".to_owned()],
            words_before: WORDS_BEFORE,
            line: 1,
            record_bytes: 0,
            record_lines: 0,
            message: (0, 0),
            before: Before::default(),
            time: String::new(),
            problem: None,
            skipping: false,
            mark: (0, 1, Before::default()),
            has_years: true,
        };
        source.learn()?;
        Ok(source)
    }

    /// Whether times are without a year; known from the start.
    pub fn lacks_years(&self) -> bool {
        !self.has_years
    }

    fn learn(&mut self) -> Outcome<()> {
        let place = self.input.mark();
        let mut lines = 0;
        let mut found = None;
        while found.is_none() && lines < LOOKED_AT {
            match self.line_at(0)? {
                Line::Found(text_end, end) => {
                    found = stamp::find(
                        self.input.bytes().get(..text_end).unwrap_or_default(),
                        WORDS_BEFORE,
                    );
                    self.input.consume(end);
                    lines += 1;
                }
                Line::Idle => {}
                Line::TooLong | Line::End => break,
            }
        }
        self.input.rewind(place);
        let Some(Stamp {
            words_before, when, ..
        }) = found
        else {
            let name = self.input.name();
            return Err(if lines == 0 {
                Failure::refused(format!("{name} holds no lines"))
            } else {
                Failure::usage(format!(
                    "none of the first {lines} lines of {name} starts with a time (2025-03-29 22:00:00, \
                     Mar 29 22:00:00, [29/Mar/2025:22:00:00 +0000], 1743285600.5)"
                ))
            });
        };
        self.words_before = words_before;
        self.has_years = !matches!(when, When::NoYear { .. });
        Ok(())
    }

    /// The line that starts `from` bytes ahead, without consuming it.
    fn line_at(&mut self, from: usize) -> Outcome<Line> {
        let mut scanned = from;
        loop {
            let bytes = self.input.bytes();
            if let Some(at) = bytes.get(scanned..).and_then(|rest| memchr(b'\n', rest)) {
                let end = scanned + at;
                if end - from > MAX_RECORD_BYTES {
                    return Ok(Line::TooLong);
                }
                return Ok(Line::Found(without_cr(bytes, from, end), end + 1));
            }
            scanned = bytes.len();
            if scanned - from > MAX_RECORD_BYTES {
                return Ok(Line::TooLong);
            }
            match self.input.more()? {
                More::Data => {}
                More::Idle => return Ok(Line::Idle),
                More::End => {
                    let bytes = self.input.bytes();
                    if bytes.len() == from {
                        return Ok(Line::End);
                    }
                    return Ok(Line::Found(without_cr(bytes, from, bytes.len()), bytes.len()));
                }
            }
        }
    }

    fn stamp_of(&self, start: usize, end: usize) -> Option<Stamp> {
        let text = self.input.bytes().get(start..end).unwrap_or_default();
        stamp::find(text, self.words_before)
    }

    /// Takes the lines that belong to the record into it.
    fn join(&mut self) -> Outcome<()> {
        let mut lines = 1;
        while lines < MAX_JOINED.0 && self.record_bytes < MAX_JOINED.1 {
            let from = self.record_bytes;
            match self.line_at(from)? {
                Line::Found(text_end, end) if self.stamp_of(from, text_end).is_none() => {
                    if !is_blank(self.input.bytes().get(from..text_end).unwrap_or_default()) {
                        self.message.1 = text_end;
                    }
                    (self.record_bytes, self.record_lines) = (end, self.record_lines + 1);
                    lines += 1;
                }
                // What comes later to a followed input begins a row of its own.
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// The point in time of a stamp, and what to remember of it.
    fn moment_of(&self, when: When) -> (Moment, Before) {
        let utc_offset_s = self.options.utc_offset_s;
        let after = |moment| {
            let before = Before {
                time: Some(moment),
                ..self.before
            };
            (moment, before)
        };
        let (month, day, nanos) = match when {
            When::At(moment) => return after(moment),
            When::Local(Moment(nanos)) => {
                return after(Moment(nanos - i128::from(utc_offset_s) * 1_000_000_000));
            }
            When::NoYear { month, day, nanos } => (month, day, nanos),
        };
        let in_year = |year| clock::moment(clock::days_from_civil(year, month, day), nanos, utc_offset_s);
        let (year, newest) = match (self.before.month, self.options.year) {
            // The months of a log begin anew, or a row came late over the turn of the year.
            (Some((year, last)), _) if month + 6 < last => (year + 1, (year + 1, month)),
            (Some((year, last)), _) if month > last + 6 => (year - 1, (year, last)),
            (Some((year, _)), _) | (None, Some(year)) => (year, (year, month)),
            (None, None) => {
                let (this_year, ..) = clock::civil_from_days(days_of(self.options.now));
                let ahead = in_year(this_year).0 > self.options.now.0 + DAY_NS;
                let year = this_year - i64::from(ahead);
                (year, (year, month))
            }
        };
        let moment = in_year(year);
        let before = Before {
            time: Some(moment),
            month: Some(newest),
        };
        (moment, before)
    }

    fn set_time(&mut self, moment: Option<Moment>) {
        self.time.clear();
        let Some(moment) = moment else {
            self.problem = Some("there is no time at its start, and no row before it".to_owned());
            return;
        };
        match moment.ticks(TimeUnit::Nanosecond) {
            Ok(ticks) => clock::write_time(ticks, TimeUnit::Nanosecond, &mut self.time),
            Err(problem) => {
                self.problem = Some(format!("its time {}", problem.describe(TimeUnit::Nanosecond)));
            }
        }
    }

    fn consume_record(&mut self) {
        self.input.consume(self.record_bytes);
        self.line += self.record_lines;
        (self.record_bytes, self.record_lines, self.message) = (0, 0, (0, 0));
    }
}

impl Source for LinesSource {
    fn name(&self) -> &str {
        self.input.name()
    }

    fn field_names(&self) -> &[String] {
        &self.names
    }

    fn quotes_mean_text(&self) -> bool {
        true
    }

    fn advance(&mut self) -> Outcome<Advance> {
        self.consume_record();
        self.problem = None;
        loop {
            let (text_end, end) = match self.line_at(0)? {
                Line::Found(text_end, end) => (text_end, end),
                Line::Idle => return Ok(Advance::Idle),
                Line::End => return Ok(Advance::End),
                Line::TooLong => {
                    (self.record_bytes, self.message) = (MAX_RECORD_BYTES, (0, MAX_RECORD_BYTES));
                    if self.skipping {
                        // Another stretch of the same endless line.
                        self.consume_record();
                        continue;
                    }
                    self.problem = Some(format!("the line is longer than {} MiB", MAX_RECORD_BYTES >> 20));
                    self.skipping = true;
                    return Ok(Advance::Record);
                }
            };
            (self.record_bytes, self.record_lines) = (end, 1);
            let rest_of_refused = std::mem::take(&mut self.skipping);
            if rest_of_refused || is_blank(self.input.bytes().get(..text_end).unwrap_or_default()) {
                self.consume_record();
                continue;
            }
            self.message = (0, text_end);
            let mut time = self.before.time;
            if let Some(stamp) = self.stamp_of(0, text_end) {
                let (moment, before) = self.moment_of(stamp.when);
                (time, self.before) = (Some(moment), before);
                if stamp.words_before == 0 {
                    self.message.0 = stamp.end;
                }
            }
            self.set_time(time);
            if self.problem.is_none() {
                self.join()?;
            }
            return Ok(Advance::Record);
        }
    }

    #[inline]
    fn field(&self, index: usize) -> Field<'_> {
        let (text, form) = match index {
            0 => (self.time.as_bytes(), Form::Plain),
            1 => {
                let message = self.input.bytes().get(self.message.0..self.message.1);
                (message.unwrap_or_default(), Form::Quoted)
            }
            _ => return Field::MISSING,
        };
        Field { text, form }
    }

    fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    fn line(&self) -> u64 {
        self.line
    }

    fn text(&self) -> &[u8] {
        self.input.bytes().get(..self.message.1).unwrap_or_default()
    }

    fn put_back(&mut self) {
        (self.record_bytes, self.record_lines, self.message) = (0, 0, (0, 0));
        self.skipping = false;
    }

    fn mark(&mut self) {
        self.consume_record();
        self.mark = (self.input.mark(), self.line, self.before);
    }

    fn rewind(&mut self) {
        self.input.rewind(self.mark.0);
        (self.line, self.before) = (self.mark.1, self.mark.2);
        self.put_back();
    }
}

fn days_of(moment: Moment) -> i64 {
    i64::try_from(moment.0.div_euclid(DAY_NS)).unwrap_or_default()
}

fn without_cr(bytes: &[u8], start: usize, end: usize) -> usize {
    end - usize::from(end > start && bytes.get(end - 1) == Some(&b'\r'))
}

fn is_blank(text: &[u8]) -> bool {
    text.trim_ascii().is_empty()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn open(text: &[u8], year: Option<i64>) -> Outcome<LinesSource> {
        let options = LinesOptions {
            // 2026-03-01.
            now: Moment(1_772_323_200_000_000_000),
            year,
            utc_offset_s: 0,
        };
        LinesSource::open(Input::from_bytes("test", text), options)
    }

    fn rows(text: &str, year: Option<i64>) -> Vec<(u64, String, String)> {
        let mut source = open(text.as_bytes(), year).unwrap();
        let mut passes = (0..2).map(|pass| {
            if pass == 0 {
                source.mark();
            } else {
                source.rewind();
            }
            let mut rows = Vec::new();
            while source.advance().unwrap() == Advance::Record {
                let field = |index| String::from_utf8_lossy(source.field(index).text).into_owned();
                rows.push(match source.problem() {
                    Some(problem) => (source.line(), String::new(), problem.to_owned()),
                    None => (source.line(), field(0), field(1)),
                });
            }
            rows
        });
        let (first, second) = (passes.next().unwrap(), passes.next().unwrap());
        assert_eq!(first, second, "a look ahead changes nothing");
        first
    }

    fn row(line: u64, time: &str, message: &str) -> (u64, String, String) {
        (line, time.to_owned(), message.to_owned())
    }

    #[test]
    fn lines_without_a_time_belong_to_the_row_before() {
        let text = "-- logs begin\n2025-03-29 22:00:00 ERROR no\r\n\tat a.b(C.java:7)\r\n\r\nCaused by: x 2025-03-29 22:00:00\n\n\
                    2025-03-29 22:00:01 INFO yes\n2025-03-29 22:00:02";
        let first = "ERROR no\r\n\tat a.b(C.java:7)\r\n\r\nCaused by: x 2025-03-29 22:00:00";
        assert_eq!(
            rows(text, None),
            [
                row(1, "", "there is no time at its start, and no row before it"),
                row(2, "2025-03-29T22:00:00Z", first),
                row(7, "2025-03-29T22:00:01Z", "INFO yes"),
                row(8, "2025-03-29T22:00:02Z", ""),
            ]
        );
    }

    #[test]
    fn a_time_behind_other_words_stays() {
        let text = "10.0.0.1 - - [29/Mar/2025:22:00:00 +0000] \"GET / HTTP/1.1\" 200\n";
        assert_eq!(
            rows(text, None),
            [row(1, "2025-03-29T22:00:00Z", text.trim_end())]
        );
    }

    #[test]
    fn years_are_counted_where_times_have_none() {
        let text =
            "Nov 30 00:00:00 a\nDec 31 23:59:59 b\nJan  1 00:00:00 c\nDec 31 23:59:58 d\nFeb  1 00:00:00 e\n";
        let wanted = |year: i64| {
            [
                row(1, &format!("{year}-11-30T00:00:00Z"), "a"),
                row(2, &format!("{year}-12-31T23:59:59Z"), "b"),
                row(3, &format!("{}-01-01T00:00:00Z", year + 1), "c"),
                row(4, &format!("{year}-12-31T23:59:58Z"), "d"),
                row(5, &format!("{}-02-01T00:00:00Z", year + 1), "e"),
            ]
        };
        assert_eq!(rows(text, None), wanted(2025));
        assert_eq!(rows(text, Some(1999)), wanted(1999));
        assert!(open(text.as_bytes(), None).unwrap().lacks_years());
        assert_eq!(rows("Mar  2 00:00:00 a\n", None)[0].1, "2026-03-02T00:00:00Z");
        assert_eq!(rows("Mar  3 00:00:00 a\n", None)[0].1, "2025-03-03T00:00:00Z");
    }

    #[test]
    fn long_rows_are_cut_and_endless_lines_refused() {
        let text = format!("2025-03-29 22:00:00 a\n{}", "x\n".repeat(2_500));
        let rows_of = rows(&text, None);
        assert_eq!(
            rows_of.iter().map(|row| row.0).collect::<Vec<_>>(),
            [1, 1_001, 2_001]
        );
        assert!(rows_of.iter().all(|row| row.1 == "2025-03-29T22:00:00Z"));
        let mut text = b"2025-03-29 22:00:00 a\n2025-03-29 22:00:00 ".to_vec();
        text.resize(text.len() + 40_000_000, b'x');
        text.extend(b"\n2025-03-29 22:00:01 b\n");
        let mut source = open(&text, None).unwrap();
        let mut seen = Vec::new();
        while source.advance().unwrap() == Advance::Record {
            seen.push((source.line(), source.problem().is_some()));
        }
        assert_eq!(seen, [(1, false), (2, true), (3, false)]);
    }

    #[test]
    fn what_is_no_log_is_refused() {
        assert_eq!(open(b"", None).unwrap_err().exit_code(), 3);
        let failure = open(b"a,b\n1,2\n", None).unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        assert!(failure.to_string().contains("first 2 lines"), "{failure}");
    }
}
