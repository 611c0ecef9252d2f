//! Points in time as people and devices write them, to the nanosecond and without loss.
//!
//! Read: RFC 3339 (`2016-07-01T02:00:00.5+02:00`), the same with a space or without a zone (then it is UTC), without
//! seconds, or the date alone; `/` may stand for `-`; years beyond four digits carry a sign as in ISO 8601. Dates may
//! also be `1.7.2016` (the day first, as dots are used), `01/Jul/2016:02:00:00 +0200` (web servers) and `01-Jul-2016`;
//! `7/1/2016` is not read, since nobody knows which is the month. A leap
//! second (`:60`) is the second after it, as POSIX counts. Also counts of s, ms, us or ns since 1970-01-01T00:00:00Z,
//! with or without decimals. Written: RFC 3339 in UTC, with 0, 3, 6 or 9 digits of a second, as few as say it exactly.

use std::fmt::Write as _;

use siltstone_store::schema::TimeUnit;

const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// Why a text is not a time that a stream can keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockProblem {
    /// It is not written as a time.
    NotATime,
    /// It has digits below the unit of the stream.
    TooFine,
    /// It is a count among calendar times, and nobody said of what.
    UnitUnknown,
    /// It lies outside what 64 bits of the unit can count.
    OutOfRange,
}

impl ClockProblem {
    /// What is wrong, as the end of "`text` ...".
    pub fn describe(self, unit: TimeUnit) -> String {
        match self {
            ClockProblem::NotATime => "is not a time (2016-07-01T12:00:00Z, 2016-07-01 12:00:00)".to_owned(),
            ClockProblem::TooFine => format!(
                "has more digits than the stream's unit ({}) can hold",
                unit.symbol()
            ),
            ClockProblem::UnitUnknown => {
                "is a count among calendar times; --time-unit s|ms|us|ns says of what".to_owned()
            }
            ClockProblem::OutOfRange => {
                format!("is further from 1970 than 64 bits of {} reach", unit.symbol())
            }
        }
    }
}

/// A point in time: nanoseconds since 1970-01-01T00:00:00Z, wide enough for every year that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub i128);

impl Moment {
    /// The tick of `unit` at or before this moment, and whether the moment is exactly that tick.
    pub fn floor(self, unit: TimeUnit) -> (i128, bool) {
        let step = NANOS_PER_SECOND / i128::from(unit.per_second());
        (self.0.div_euclid(step), self.0.rem_euclid(step) == 0)
    }

    /// The tick of `unit` that is exactly this moment.
    ///
    /// # Errors
    /// When there is none, or it does not fit 64 bits.
    pub fn ticks(self, unit: TimeUnit) -> Result<i64, ClockProblem> {
        let step = NANOS_PER_SECOND / i128::from(unit.per_second());
        if self.0.rem_euclid(step) != 0 {
            return Err(ClockProblem::TooFine);
        }
        i64::try_from(self.0.div_euclid(step)).map_err(|_| ClockProblem::OutOfRange)
    }
}

/// Reads a calendar time; one that names no zone is in UTC.
///
/// # Errors
/// `NotATime`, or `TooFine` when digits below a nanosecond are not zero.
pub fn parse_calendar(text: &[u8]) -> Result<Moment, ClockProblem> {
    parse_calendar_in(text, 0)
}

/// Reads a calendar time; one that names no zone is in one that is `offset_s` ahead of UTC.
///
/// # Errors
/// See [`parse_calendar`].
pub fn parse_calendar_in(text: &[u8], mut offset_s: i64) -> Result<Moment, ClockProblem> {
    let mut rest = Cursor {
        text: text.trim_ascii(),
    };
    let days = rest.date()?;
    let mut nanos = 0;
    if !rest.text.is_empty() {
        rest.one_of(b"Tt :")?;
        nanos = rest.time_of_day()?;
        offset_s = rest.offset()?.unwrap_or(offset_s);
    }
    Ok(moment(days, nanos, offset_s))
}

/// Reads a time of day, as nanoseconds since midnight: `9:05`, `22:00:00.5`, `10:00:00 PM`.
///
/// # Errors
/// `NotATime`, or `TooFine` when digits below a nanosecond are not zero.
pub fn parse_time_of_day(text: &[u8]) -> Result<i64, ClockProblem> {
    let mut rest = Cursor {
        text: text.trim_ascii(),
    };
    let hour = rest.one_or_two_digits(0, 23)?;
    let nanos = hour * 3_600_000_000_000 + rest.after_hour()?;
    rest.text = rest.text.trim_ascii_start();
    let half_day = match rest.text.to_ascii_uppercase().as_slice() {
        b"" => return Ok(nanos),
        b"AM" if (1..=12).contains(&hour) => 0,
        b"PM" if (1..=12).contains(&hour) => 12,
        _ => return Err(ClockProblem::NotATime),
    };
    Ok(nanos + (hour % 12 + half_day - hour) * 3_600_000_000_000)
}

/// The moment at `nanos` of the day `days` after 1970-01-01, in a zone `offset_s` ahead of UTC.
pub(crate) fn moment(days: i64, nanos: i64, offset_s: i64) -> Moment {
    let seconds = i128::from(days) * 86_400 - i128::from(offset_s);
    Moment(seconds * NANOS_PER_SECOND + i128::from(nanos))
}

/// Decimals that a count can have: a nanosecond is the finest tick, a second the coarsest.
const MOST_DECIMALS: usize = 9;

/// Reads a count of `from` since 1970, with or without decimals, as a count of `to`.
///
/// # Errors
/// `NotATime` unless it is `[+-]digits[.digits]`; `TooFine` or `OutOfRange` when `to` cannot hold it exactly.
pub fn parse_count(text: &[u8], from: TimeUnit, to: TimeUnit) -> Result<i64, ClockProblem> {
    let text = text.trim_ascii();
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let point = memchr::memchr(b'.', digits).unwrap_or(digits.len());
    let (whole, fraction) = digits.split_at(point);
    let fraction = fraction.get(1..).unwrap_or_default();
    let all = || whole.iter().chain(fraction);
    if all().next().is_none() || !all().all(u8::is_ascii_digit) {
        return Err(ClockProblem::NotATime);
    }
    // Zeros behind the last other digit say nothing, however many they are.
    let decimals = fraction
        .iter()
        .rposition(|&byte| byte != b'0')
        .map_or(0, |at| at + 1);
    if decimals > MOST_DECIMALS {
        return Err(ClockProblem::TooFine);
    }
    let mut count = 0i128;
    for &byte in whole.iter().chain(fraction.iter().take(decimals)) {
        // 10^28 ticks of a nanosecond are more than any unit's 64 bits.
        if count >= 10i128.pow(28) {
            return Err(ClockProblem::OutOfRange);
        }
        count = count * 10 + i128::from(byte - b'0');
    }
    let ticks = if from == to && decimals == 0 {
        count
    } else {
        let (numerator, denominator) = (
            count * i128::from(to.per_second()),
            i128::from(from.per_second()) * (0..decimals).fold(1, |scale, _| scale * 10),
        );
        if numerator % denominator != 0 {
            return Err(ClockProblem::TooFine);
        }
        numerator / denominator
    };
    i64::try_from(if negative { -ticks } else { ticks }).map_err(|_| ClockProblem::OutOfRange)
}

/// Appends tick `ticks` of `unit` to `out` as RFC 3339 in UTC.
pub fn write_time(ticks: i64, unit: TimeUnit, out: &mut String) {
    let per_second = unit.per_second();
    let (seconds, rest) = (ticks.div_euclid(per_second), ticks.rem_euclid(per_second));
    let nanos = rest * (1_000_000_000 / per_second);
    let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
    let second_of_day = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
    // Writing to a string cannot fail.
    let _ = match year {
        0..=9999 => write!(out, "{year:04}"),
        _ => write!(out, "{year:+07}"),
    };
    let _ = write!(out, "-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    let _ = match nanos {
        0 => Ok(()),
        n if n % 1_000_000 == 0 => write!(out, ".{:03}", n / 1_000_000),
        n if n % 1_000 == 0 => write!(out, ".{:06}", n / 1_000),
        n => write!(out, ".{n:09}"),
    };
    out.push('Z');
}

/// Tick `ticks` of `unit` as RFC 3339 in UTC.
pub fn time_text(ticks: i64, unit: TimeUnit) -> String {
    let mut out = String::with_capacity(30);
    write_time(ticks, unit, &mut out);
    out
}

/// The unit of this short name.
pub fn unit_of(symbol: &str) -> Option<TimeUnit> {
    [
        TimeUnit::Second,
        TimeUnit::Millisecond,
        TimeUnit::Microsecond,
        TimeUnit::Nanosecond,
    ]
    .into_iter()
    .find(|unit| unit.symbol() == symbol)
}

/// What is left to read of a text. After an error its place is undefined; copy it before, to try something else.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    /// The bytes left.
    pub text: &'a [u8],
}

impl Cursor<'_> {
    pub fn one_of(&mut self, wanted: &[u8]) -> Result<u8, ClockProblem> {
        match self.text.split_first() {
            Some((byte, rest)) if wanted.contains(byte) => {
                self.text = rest;
                Ok(*byte)
            }
            _ => Err(ClockProblem::NotATime),
        }
    }

    pub fn digit(&mut self) -> Result<i64, ClockProblem> {
        self.one_of(b"0123456789").map(|byte| i64::from(byte - b'0'))
    }

    pub fn two_digits(&mut self, low: i64, high: i64) -> Result<i64, ClockProblem> {
        let value = self.digit()? * 10 + self.digit()?;
        if (low..=high).contains(&value) {
            Ok(value)
        } else {
            Err(ClockProblem::NotATime)
        }
    }

    /// A date, as days since 1970-01-01.
    pub fn date(&mut self) -> Result<i64, ClockProblem> {
        let start = *self;
        let (year, month, day) = match self.year_first() {
            Ok(date) => date,
            Err(_) => {
                *self = start;
                self.day_first()?
            }
        };
        if day > days_in_month(year, month) {
            return Err(ClockProblem::NotATime);
        }
        Ok(days_from_civil(year, month, day))
    }

    fn year_first(&mut self) -> Result<(i64, i64, i64), ClockProblem> {
        let year = self.year()?;
        let separator = self.one_of(b"-/")?;
        let month = self.two_digits(1, 12)?;
        self.one_of(&[separator])?;
        Ok((year, month, self.two_digits(1, 31)?))
    }

    /// `1.7.2016`, `01/Jul/2016` or `01-Jul-2016`.
    fn day_first(&mut self) -> Result<(i64, i64, i64), ClockProblem> {
        let day = self.one_or_two_digits(1, 31)?;
        let separator = self.one_of(b"./-")?;
        let month = if separator == b'.' {
            self.one_or_two_digits(1, 12)?
        } else {
            self.month_name()?
        };
        self.one_of(&[separator])?;
        let mut year = 0;
        for _ in 0..4 {
            year = year * 10 + self.digit()?;
        }
        Ok((year, month, day))
    }

    /// `Jan` to `Dec`, in any case.
    pub fn month_name(&mut self) -> Result<i64, ClockProblem> {
        const NAMES: [&[u8]; 12] = [
            b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
        ];
        let (name, rest) = self.text.split_at_checked(3).ok_or(ClockProblem::NotATime)?;
        let month = (1..)
            .zip(NAMES)
            .find(|(_, known)| name.eq_ignore_ascii_case(known))
            .ok_or(ClockProblem::NotATime)?;
        self.text = rest;
        Ok(month.0)
    }

    pub fn one_or_two_digits(&mut self, low: i64, high: i64) -> Result<i64, ClockProblem> {
        let mut value = self.digit()?;
        if let Ok(digit) = self.digit() {
            value = value * 10 + digit;
        }
        if (low..=high).contains(&value) {
            Ok(value)
        } else {
            Err(ClockProblem::NotATime)
        }
    }

    /// `hh:mm`, `hh:mm:ss` or `hh:mm:ss.fraction`, in nanoseconds.
    fn time_of_day(&mut self) -> Result<i64, ClockProblem> {
        let hour = self.two_digits(0, 23)?;
        Ok(hour * 3_600_000_000_000 + self.after_hour()?)
    }

    /// `:mm`, `:mm:ss` or `:mm:ss.fraction`, in nanoseconds.
    fn after_hour(&mut self) -> Result<i64, ClockProblem> {
        self.one_of(b":")?;
        let minute = self.two_digits(0, 59)?;
        let (mut second, mut nanos) = (0, 0);
        if self.one_of(b":").is_ok() {
            second = self.two_digits(0, 60)?;
            if self.one_of(b".,").is_ok() {
                nanos = self.fraction()?;
            }
        }
        Ok((minute * 60 + second) * 1_000_000_000 + nanos)
    }

    /// Four digits, or a sign and 4 to 12.
    fn year(&mut self) -> Result<i64, ClockProblem> {
        let sign = self.one_of(b"+-").ok();
        let mut year = 0;
        for _ in 0..4 {
            year = year * 10 + self.digit()?;
        }
        if sign.is_some() {
            for _ in 4..12 {
                match self.digit() {
                    Ok(digit) => year = year * 10 + digit,
                    Err(_) => break,
                }
            }
        }
        Ok(if sign == Some(b'-') { -year } else { year })
    }

    pub fn fraction(&mut self) -> Result<i64, ClockProblem> {
        let (mut nanos, mut weight) = (self.digit()? * 100_000_000, 10_000_000);
        while let Ok(digit) = self.digit() {
            if weight == 0 && digit != 0 {
                return Err(ClockProblem::TooFine);
            }
            nanos += digit * weight;
            weight /= 10;
        }
        Ok(nanos)
    }

    /// The rest: nothing, `Z`, `+02`, `+02:00` or `+0200`, with a space before it or not; in seconds.
    fn offset(&mut self) -> Result<Option<i64>, ClockProblem> {
        self.text = self.text.trim_ascii_start();
        if self.text.is_empty() {
            return Ok(None);
        }
        if matches!(self.text, b"Z" | b"z" | b"UTC" | b"GMT") {
            return Ok(Some(0));
        }
        let sign = self.one_of(b"+-")?;
        let mut offset = self.two_digits(0, 23)? * 3600;
        if !self.text.is_empty() {
            let _ = self.one_of(b":");
            offset += self.two_digits(0, 59)? * 60;
        }
        if !self.text.is_empty() {
            return Err(ClockProblem::NotATime);
        }
        Ok(Some(if sign == b'-' { -offset } else { offset }))
    }
}

/// Reads how far a zone is ahead of UTC: `Z`, `+02`, `-05:30`; in seconds.
///
/// # Errors
/// `NotATime` for anything else.
pub fn parse_offset(text: &[u8]) -> Result<i64, ClockProblem> {
    Cursor { text }.offset()?.ok_or(ClockProblem::NotATime)
}

pub(crate) fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar. Years are counted from March, so that the leap
/// day is the last of its year.
pub(crate) fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days_from_civil`].
pub(crate) fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const UNITS: [TimeUnit; 4] = [
        TimeUnit::Second,
        TimeUnit::Millisecond,
        TimeUnit::Microsecond,
        TimeUnit::Nanosecond,
    ];

    #[test]
    fn calendar_times() {
        let seconds = |text: &str| parse_calendar(text.as_bytes()).map(|m| m.0 / NANOS_PER_SECOND);
        for (text, wanted) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01", 0),
            ("2016-07-01 00:00:00", 1_467_331_200),
            ("2016/07/01 00:00", 1_467_331_200),
            ("2016-07-01T02:00:00+02:00", 1_467_331_200),
            ("2016-06-30T19:00:00-0500", 1_467_331_200),
            ("2016-07-01 02:00:00 +02", 1_467_331_200),
            ("2016-12-31T23:59:60Z", 1_483_228_800),
            ("2000-02-29t12:00:00z", 951_825_600),
            ("0000-01-01", -62_167_219_200),
            ("-0001-12-31", -62_167_305_600),
            (" 2013-12-02 21:15:00 ", 1_386_018_900),
            ("01.07.2016 00:00:00,000", 1_467_331_200),
            ("1.7.2016", 1_467_331_200),
            ("01/Jul/2016:02:00:00 +0200", 1_467_331_200),
            ("01-JUL-2016 00:00", 1_467_331_200),
        ] {
            assert_eq!(seconds(text), Ok(wanted), "{text}");
        }
        for text in [
            "",
            "12",
            "2016-13-01",
            "2016-02-30",
            "1900-02-29",
            "2016-07-01T25:00",
            "2016-07-01T10",
            "2016-07-01x",
            "2016-07/01",
            "7/1/2016",
            "31.4.2016",
            "1.13.2016",
            "1/7/2016:00:00:00",
            "12:30:00",
            "2016-07-01T00:00:00.",
            "2016-07-01 00:00:00 PM",
        ] {
            assert_eq!(
                parse_calendar(text.as_bytes()),
                Err(ClockProblem::NotATime),
                "{text}"
            );
        }
        assert_eq!(
            parse_calendar(b"2016-07-01 00:00:00.1234567891"),
            Err(ClockProblem::TooFine)
        );
        assert_eq!(
            parse_calendar(b"1970-01-01 00:00:00.1234567890").unwrap().0,
            123_456_789
        );
        assert_eq!(
            parse_calendar(b"1970-01-01 00:00:00.5")
                .unwrap()
                .ticks(TimeUnit::Second),
            Err(ClockProblem::TooFine)
        );
        assert_eq!(
            parse_calendar(b"9999-01-01").unwrap().ticks(TimeUnit::Nanosecond),
            Err(ClockProblem::OutOfRange)
        );
    }

    #[test]
    fn times_of_day() {
        let at = |text: &str| parse_time_of_day(text.as_bytes());
        assert_eq!(at(" 9:05 "), Ok(32_700_000_000_000));
        assert_eq!(at("22:00:00.5"), Ok(79_200_500_000_000));
        assert_eq!(at("10:00:00 PM"), at("22:00"));
        assert_eq!(at("12:30 am"), at("0:30"));
        assert_eq!(at("12:30PM"), at("12:30"));
        for text in ["", "22", "24:00", "13:00 PM", "22:00 x", "2025-03-29 22:00"] {
            assert_eq!(at(text), Err(ClockProblem::NotATime), "{text}");
        }
    }

    #[test]
    fn offsets() {
        assert_eq!(parse_offset(b"+02"), Ok(7_200));
        assert_eq!(parse_offset(b"-05:30"), Ok(-19_800));
        assert_eq!(parse_offset(b"UTC"), Ok(0));
        for text in ["", "2", "+2", "CET", "+02:00x"] {
            assert_eq!(
                parse_offset(text.as_bytes()),
                Err(ClockProblem::NotATime),
                "{text}"
            );
        }
        let at = |text: &str| parse_calendar_in(text.as_bytes(), 7_200).map(|m| m.0 / NANOS_PER_SECOND);
        assert_eq!(at("1970-01-01 02:00"), Ok(0));
        assert_eq!(at("1970-01-01 00:00Z"), Ok(0));
        assert_eq!(at("1970-01-01"), Ok(-7_200));
    }

    #[test]
    fn counts() {
        use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
        assert_eq!(
            parse_count(b"1521911720.865716", Second, Nanosecond),
            Ok(1_521_911_720_865_716_000)
        );
        assert_eq!(parse_count(b"-1.5", Second, Millisecond), Ok(-1_500));
        assert_eq!(
            parse_count(b"1500", Millisecond, Second),
            Err(ClockProblem::TooFine)
        );
        assert_eq!(parse_count(b"1500.000", Microsecond, Microsecond), Ok(1_500));
        assert_eq!(
            parse_count(b"9223372036854775808", Nanosecond, Nanosecond),
            Err(ClockProblem::OutOfRange)
        );
        assert_eq!(
            parse_count(b"-9223372036854775808", Nanosecond, Nanosecond),
            Ok(i64::MIN)
        );
        let long = |front: &str, zeros: usize, back: &str| format!("{front}{}{back}", "0".repeat(zeros));
        for (text, wanted) in [
            (long("0.", 50, "1"), Err(ClockProblem::TooFine)),
            (long("7.", 60, ""), Ok(7)),
            (long("", 60, "7"), Ok(7)),
            (long("7", 60, ""), Err(ClockProblem::OutOfRange)),
            (".5".to_owned(), Err(ClockProblem::TooFine)),
            ("5.".to_owned(), Ok(5)),
        ] {
            assert_eq!(parse_count(text.as_bytes(), Second, Second), wanted, "{text}");
        }
        for text in ["", "-", ".", "1e9", "12a", "1.2.3"] {
            assert_eq!(
                parse_count(text.as_bytes(), Second, Second),
                Err(ClockProblem::NotATime),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(ticks in prop_oneof![any::<i64>(), -4_000_000_000_000i64..4_000_000_000_000], unit in 0usize..4) {
            let text = time_text(ticks, UNITS[unit]);
            prop_assert_eq!(parse_calendar(text.as_bytes()).unwrap().ticks(UNITS[unit]), Ok(ticks), "{}", text);
            let count = ticks.to_string();
            prop_assert_eq!(parse_count(count.as_bytes(), UNITS[unit], UNITS[unit]), Ok(ticks));
        }

        #[test]
        fn any_bytes_give_a_time_or_a_problem(text in "[-+0-9T:.Z /]{0,32}") {
            let _ = parse_calendar(text.as_bytes());
            let _ = parse_count(text.as_bytes(), TimeUnit::Second, TimeUnit::Nanosecond);
        }
    }
}
