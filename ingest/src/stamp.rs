//! Times at the start of log lines.
//!
//! | written | by |
//! |---|---|
//! | `2025-03-29 22:00:00,123`, `2025-03-29T22:00:00.5+01:00`, `[2025/03/29 22:00:00]` | most programs |
//! | `29/Mar/2025:22:00:00 +0000` | web servers |
//! | `29.03.2025 22:00:00`, `29-Mar-2025 22:00:00` | machines, older services |
//! | `Mar 29 22:00:00` | syslog; no year |
//! | `Sat Mar 29 22:00:00.5 2025`, `*Mar 29 2025 22:00:00` | `ctime`, web servers' error logs; network devices |
//! | `time="2025-03-29T22:00:00Z"`, `msg=audit(1743285600.123:7)` | services that name their values; audit daemons |
//! | `03-29 22:00:00.123` | Android; no year |
//! | `E0329 22:00:00.123456` | glog, Kubernetes; no year |
//! | `1743285600.123`, `(1743285600.000097)`, `1743285600123` | kernels' tools, proxies, bus recorders |
//!
//! A stamp is one of the first words of its line, since a level or an address may come before it. Brackets, quotes and
//! syslog's `<34>1` in front of it are passed over. Counts of seconds are only taken as the first word, where they are
//! between 1990 and 2100: other numbers of that size are too common.

use std::ops::Range;

use crate::clock::{self, ClockProblem, Cursor, Moment};

/// Words that may come before a stamp.
const MAX_WORDS_BEFORE: usize = 4;
/// Bytes within which a stamp starts.
const MAX_START: usize = 160;
/// Seconds since 1970 that stand for times: 1990 to 2100.
const COUNTS_S: Range<i64> = 631_152_000..4_102_444_800;

/// What a stamp says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// A point in time.
    At(Moment),
    /// A point in time of a zone that the stamp does not name; as it would be in UTC.
    Local(Moment),
    /// A day of some year, and nanoseconds of that day.
    NoYear {
        /// 1 to 12.
        month: i64,
        /// 1 to 31.
        day: i64,
        /// Nanoseconds since midnight.
        nanos: i64,
    },
}

/// A stamp found in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Words before it.
    pub words_before: usize,
    /// Where the line goes on behind it and the brackets around it.
    pub end: usize,
    /// What it says.
    pub when: When,
}

/// The stamp of `line` with at most `words_before` words before it.
pub fn find(line: &[u8], words_before: usize) -> Option<Stamp> {
    let mut at = skip_spaces(line, 0);
    for word in 0..=words_before.min(MAX_WORDS_BEFORE) {
        let start = if word == 0 { skip_priority(line, at) } else { at };
        let start = skip_name(line, start);
        let start = start + count(line, start, |b| b"[(\"'{*".contains(&b)).min(2);
        if start > MAX_START || start >= line.len() {
            return None;
        }
        let rest = line.get(start..).unwrap_or_default();
        let may_count = word == 0
            || line
                .get(..start)
                .is_some_and(|before| before.ends_with(b"=audit("));
        if let Some((when, left)) = read(rest, may_count) {
            let end = line.len() - left;
            let end = end + count(line, end, |b| b"])\"'}:,".contains(&b)).min(3);
            return Some(Stamp {
                words_before: word,
                end: skip_spaces(line, end),
                when,
            });
        }
        at += count(line, at, |b| !b.is_ascii_whitespace());
        at = skip_spaces(line, at);
    }
    None
}

fn count(line: &[u8], from: usize, wanted: impl Fn(u8) -> bool) -> usize {
    let rest = line.get(from..).unwrap_or_default();
    rest.iter().take_while(|&&b| wanted(b)).count()
}

fn skip_spaces(line: &[u8], from: usize) -> usize {
    from + count(line, from, |b| b == b' ' || b == b'\t')
}

/// Behind the name of a value, as in `time="..."`, and behind `msg=audit`.
fn skip_name(line: &[u8], from: usize) -> usize {
    let letters = count(line, from, |b| b.is_ascii_alphabetic() || b"_@.".contains(&b));
    let end = from + letters;
    if !(1..=20).contains(&letters) || line.get(end) != Some(&b'=') {
        return from;
    }
    let rest = line.get(end + 1..).unwrap_or_default();
    end + 1 + if rest.starts_with(b"audit(") { 5 } else { 0 }
}

/// Behind syslog's `<34>` and the version that newer ones write after it.
fn skip_priority(line: &[u8], from: usize) -> usize {
    if line.get(from) != Some(&b'<') {
        return from;
    }
    let digits = count(line, from + 1, |b| b.is_ascii_digit());
    let end = from + 1 + digits;
    if !(1..=3).contains(&digits) || line.get(end) != Some(&b'>') {
        return from;
    }
    match line.get(end + 1..end + 3) {
        Some([version, b' ']) if version.is_ascii_digit() => end + 3,
        _ => end + 1,
    }
}

/// What the stamp at the start of `text` says, and how many bytes are left behind it.
fn read(text: &[u8], may_count: bool) -> Option<(When, usize)> {
    let start = Cursor { text };
    let (when, rest) = match text.first()? {
        b'0'..=b'9' => dated(start)
            .or_else(|_| month_and_day(start))
            .ok()
            .or_else(|| counted(start).filter(|_| may_count))?,
        _ => named_month(start).or_else(|_| glog(start)).ok()?,
    };
    // A stamp is a word of its own; what goes on is something else, such as a version or a field of a table.
    let ends = match rest.text {
        [] => true,
        [b'.' | b',', next, ..] => next.is_ascii_whitespace(),
        [b'.', ..] => false,
        [b, ..] => !(b.is_ascii_alphanumeric() || b"-+/_".contains(b)),
    };
    ends.then_some((when, rest.text.len()))
}

type Found<'a> = Result<(When, Cursor<'a>), ClockProblem>;

/// A date with its year, and a time of day.
fn dated(mut rest: Cursor<'_>) -> Found<'_> {
    let days = rest.date()?;
    rest.one_of(b"Tt :_")?;
    let nanos = time_of_day(&mut rest)?;
    Ok((at(days, nanos, offset(&mut rest)), rest))
}

fn at(days: i64, nanos: i64, offset_s: Option<i64>) -> When {
    match offset_s {
        Some(offset_s) => When::At(clock::moment(days, nanos, offset_s)),
        None => When::Local(clock::moment(days, nanos, 0)),
    }
}

/// `03-29 22:00:00.123`.
fn month_and_day(mut rest: Cursor<'_>) -> Found<'_> {
    let month = rest.two_digits(1, 12)?;
    rest.one_of(b"-")?;
    let day = rest.two_digits(1, 31)?;
    rest.one_of(b" ")?;
    let nanos = time_of_day(&mut rest)?;
    Ok((When::NoYear { month, day, nanos }, rest))
}

/// `Mar 29 22:00:00`, or `Sat Mar 29 22:00:00 UTC 2025`.
fn named_month(mut rest: Cursor<'_>) -> Found<'_> {
    let mut month = rest.month_name();
    if month.is_err() {
        let (weekday, after) = rest.text.split_at_checked(3).ok_or(ClockProblem::NotATime)?;
        if !weekday.iter().all(u8::is_ascii_alphabetic) {
            return Err(ClockProblem::NotATime);
        }
        rest.text = after.strip_prefix(b",").unwrap_or(after);
        rest.one_of(b" ")?;
        month = rest.month_name();
    }
    let month = month?;
    rest.one_of(b" ")?;
    rest.text = rest.text.strip_prefix(b" ").unwrap_or(rest.text);
    let day = rest.one_or_two_digits(1, 31)?;
    let mut after_day = rest;
    if let Ok(number) = four_digit_year(&mut after_day) {
        after_day.one_of(b" ")?;
        let nanos = time_of_day(&mut after_day)?;
        if day > clock::days_in_month(number, month) {
            return Err(ClockProblem::NotATime);
        }
        let days = clock::days_from_civil(number, month, day);
        return Ok((at(days, nanos, offset(&mut after_day)), after_day));
    }
    rest.one_of(b" ")?;
    let nanos = time_of_day(&mut rest)?;
    let mut year = rest;
    let offset_s = offset(&mut year);
    match four_digit_year(&mut year) {
        Ok(number) if day <= clock::days_in_month(number, month) => {
            let days = clock::days_from_civil(number, month, day);
            Ok((at(days, nanos, offset_s), year))
        }
        _ => Ok((When::NoYear { month, day, nanos }, rest)),
    }
}

/// A year after a space, if nothing but a bracket or the end of the word comes behind it.
fn four_digit_year(rest: &mut Cursor<'_>) -> Result<i64, ClockProblem> {
    rest.one_of(b" ")?;
    let mut year = 0;
    for _ in 0..4 {
        year = year * 10 + rest.digit()?;
    }
    match rest.text.first() {
        None | Some(b' ' | b']' | b')') if (1970..2300).contains(&year) => Ok(year),
        _ => Err(ClockProblem::NotATime),
    }
}

/// `E0329 22:00:00.123456`.
fn glog(mut rest: Cursor<'_>) -> Found<'_> {
    rest.one_of(b"IWEFDC")?;
    let month = rest.two_digits(1, 12)?;
    let day = rest.two_digits(1, 31)?;
    rest.one_of(b" ")?;
    let nanos = time_of_day(&mut rest)?;
    Ok((When::NoYear { month, day, nanos }, rest))
}

/// A count of seconds with or without decimals, or of milliseconds, microseconds or nanoseconds.
fn counted(rest: Cursor<'_>) -> Option<(When, Cursor<'_>)> {
    let digits = rest.text.iter().take_while(|b| b.is_ascii_digit()).count();
    let per_second = match digits {
        9 | 10 => 1,
        13 => 1_000,
        16 => 1_000_000,
        19 => 1_000_000_000,
        _ => return None,
    };
    let (number, after) = rest.text.split_at_checked(digits)?;
    let number: i64 = std::str::from_utf8(number).ok()?.parse().ok()?;
    if !COUNTS_S.contains(&(number / per_second)) {
        return None;
    }
    let mut rest = Cursor { text: after };
    let mut nanos = number % per_second * (1_000_000_000 / per_second);
    let mut decimals = rest;
    if per_second == 1 && decimals.one_of(b".").is_ok() {
        nanos = decimals.fraction().ok()?;
        rest = decimals;
    }
    let at = Moment(i128::from(number / per_second) * 1_000_000_000 + i128::from(nanos));
    Some((When::At(at), rest))
}

/// `hh:mm` or `hh:mm:ss`, with a fraction if digits follow a point or a comma, in nanoseconds.
fn time_of_day(rest: &mut Cursor<'_>) -> Result<i64, ClockProblem> {
    let hour = rest.one_or_two_digits(0, 23)?;
    rest.one_of(b":")?;
    let minute = rest.two_digits(0, 59)?;
    if rest.text.first() != Some(&b':') {
        return Ok((hour * 3600 + minute * 60) * 1_000_000_000);
    }
    rest.one_of(b":")?;
    let second = rest.two_digits(0, 60)?;
    let mut nanos = (hour * 3600 + minute * 60 + second) * 1_000_000_000;
    let mut decimals = *rest;
    if decimals.one_of(b".,").is_ok() {
        // Digits below a nanosecond are no reason to miss the stamp of a line.
        let digits = decimals.text.iter().take_while(|b| b.is_ascii_digit()).count();
        let (text, after) = decimals.text.split_at(digits);
        let mut fraction = Cursor {
            text: text.get(..9).unwrap_or(text),
        };
        if let Ok(fraction) = fraction.fraction() {
            nanos += fraction;
            rest.text = after;
        }
    }
    Ok(nanos)
}

/// Seconds that the zone behind a time is ahead of UTC; nothing is read where there is none.
fn offset(rest: &mut Cursor<'_>) -> Option<i64> {
    let spaced = rest.text.first() == Some(&b' ');
    let text = rest.text.strip_prefix(b" ").unwrap_or(rest.text);
    let is_end = |text: &[u8]| text.first().is_none_or(|b| !b.is_ascii_alphanumeric());
    for name in [&b"UTC"[..], b"GMT", b"Z"] {
        if let Some(after) = text.strip_prefix(name).filter(|after| is_end(after)) {
            rest.text = after;
            return Some(0);
        }
    }
    let mut zone = Cursor { text };
    match signed_offset(&mut zone, spaced) {
        Ok(offset_s) if is_end(zone.text) => {
            rest.text = zone.text;
            Some(offset_s)
        }
        _ => None,
    }
}

/// `+0200`, `+02:00`, and where no space is before it `+02`.
fn signed_offset(zone: &mut Cursor<'_>, needs_minutes: bool) -> Result<i64, ClockProblem> {
    let sign = zone.one_of(b"+-")?;
    let mut offset_s = zone.two_digits(0, 23)? * 3600;
    let mut minutes = *zone;
    let _ = minutes.one_of(b":");
    match minutes.two_digits(0, 59) {
        Ok(count) => {
            offset_s += count * 60;
            *zone = minutes;
        }
        Err(problem) if needs_minutes => return Err(problem),
        Err(_) => {}
    }
    Ok(if sign == b'-' { -offset_s } else { offset_s })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::time_text;
    use proptest::prelude::*;
    use siltstone_store::schema::TimeUnit;

    fn shown(line: &str) -> Option<(String, usize, &str)> {
        let stamp = find(line.as_bytes(), MAX_WORDS_BEFORE)?;
        let when = match stamp.when {
            When::At(moment) | When::Local(moment) => {
                time_text(moment.ticks(TimeUnit::Nanosecond).ok()?, TimeUnit::Nanosecond)
            }
            When::NoYear { month, day, nanos } => format!("{month}/{day} {nanos}"),
        };
        Some((when, stamp.words_before, line.get(stamp.end..)?))
    }

    #[test]
    fn the_table() {
        let at_ten = "2025-03-29T22:00:00Z";
        for (line, when, words_before, rest) in [
            (
                "2025-03-29 22:00:00,123 INFO up",
                "2025-03-29T22:00:00.123Z",
                0,
                "INFO up",
            ),
            (
                "2025-03-29T23:00:00.5+01:00 x",
                "2025-03-29T22:00:00.500Z",
                0,
                "x",
            ),
            ("[2025/03/29 22:00:00] x", at_ten, 0, "x"),
            ("2025-03-29 22:00:00 -0500 x", "2025-03-30T03:00:00Z", 0, "x"),
            ("2025-03-29 22:00:00 -05 left", at_ten, 0, "-05 left"),
            ("2025-03-29 22:00:00 UTC [7] LOG: x", at_ten, 0, "[7] LOG: x"),
            (
                "2025-03-29 22:00:00.1234567890 x",
                "2025-03-29T22:00:00.123456789Z",
                0,
                "x",
            ),
            ("2025-03-29 22:00:00", at_ten, 0, ""),
            ("29.03.2025 22:00:00: Pumpe ein", at_ten, 0, "Pumpe ein"),
            ("29-Mar-2025 22:00:00.000 INFO", at_ten, 0, "INFO"),
            (
                "10.0.0.1 - - [29/Mar/2025:22:00:00 +0000] \"GET /\" 200",
                at_ten,
                3,
                "\"GET /\" 200",
            ),
            ("INFO [2025-03-29 22:00:00] x", at_ten, 1, "x"),
            ("Sat Mar 29 22:00:00 2025 x", at_ten, 0, "x"),
            (
                "[Sat Mar 29 22:00:00.500 2025] [error] x",
                "2025-03-29T22:00:00.500Z",
                0,
                "[error] x",
            ),
            ("Sat Mar 29 22:00:00 UTC 2025", at_ten, 0, ""),
            (
                "Mar 29 22:00:00 gw cron[1]: x",
                "3/29 79200000000000",
                0,
                "gw cron[1]: x",
            ),
            ("Mar  9 02:00:00 gw x", "3/9 7200000000000", 0, "gw x"),
            (
                "<34>Oct 11 22:14:15 m su: x",
                "10/11 80055000000000",
                0,
                "m su: x",
            ),
            (
                "<165>1 2003-10-11T22:14:15.003Z m x",
                "2003-10-11T22:14:15.003Z",
                0,
                "m x",
            ),
            (
                "03-29 22:00:00.123  1 2 I Tag: x",
                "3/29 79200123000000",
                0,
                "1 2 I Tag: x",
            ),
            (
                "E0329 22:00:00.000005 7 a.go:9] x",
                "3/29 79200000005000",
                0,
                "7 a.go:9] x",
            ),
            (
                "(1743285600.000097) can0 1DD#01",
                "2025-03-29T22:00:00.000097Z",
                0,
                "can0 1DD#01",
            ),
            ("2025-03-29T22:00:00.000Z\tinfo\tup", at_ten, 0, "info\tup"),
            ("2025-03-29 22:00:00|WARN|x", at_ten, 0, "|WARN|x"),
            (
                "time=\"2025-03-29T22:00:00Z\" level=info",
                at_ten,
                0,
                "level=info",
            ),
            ("ts=2025-03-29T22:00:00Z level=info", at_ten, 0, "level=info"),
            ("type=SYSCALL msg=audit(1743285600.000:7): x", at_ten, 1, "7): x"),
            ("*Mar 29 2025 22:00:00: %LINK-3", at_ten, 0, "%LINK-3"),
            ("2025-03-29 22:00 x", at_ten, 0, "x"),
            ("1743285600123 x", "2025-03-29T22:00:00.123Z", 0, "x"),
        ] {
            assert_eq!(shown(line), Some((when.to_owned(), words_before, rest)), "{line}");
        }
        for line in [
            "",
            "   ",
            "\tat Main.run(Main.java:7)",
            "Caused by: java.lang.Error",
            "22:00:00 no day",
            "2025-03-29 no time",
            "1743285600,1.5,2",
            "2025-03-29 22:00:00,12.5,7",
            "ts,x",
            "17432856001 x",
            "at 1743285600 x",
            "2025-13-29 22:00:00 x",
            "a b c d e 2025-03-29 22:00:00 x",
        ] {
            assert_eq!(shown(line), None, "{line}");
        }
        assert_eq!(find(b"INFO 2025-03-29 22:00:00 x", 0), None);
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_stamp_or_none(line in "[-+0-9T:., /\\[\\]()<>JanFebMarSunIE]{0,48}") {
            if let Some(stamp) = find(line.as_bytes(), MAX_WORDS_BEFORE) {
                prop_assert!(stamp.end <= line.len());
            }
        }
    }
}
