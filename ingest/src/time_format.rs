//! Times in a form that the user spells out, as `strptime` of C does: `%m/%d/%Y %I:%M:%S %p`.
//!
//! | field | reads |
//! |---|---|
//! | `%Y` `%y` | four digits of a year; two (69 to 99 are 19xx) |
//! | `%m` `%b` `%d` `%j` | month as one or two digits, or three letters or its name; day of the month; day of the year |
//! | `%H` `%I` `%p` | hour of 24, or of 12 with `AM` or `PM` |
//! | `%M` `%S` `%f` | minute, second, and the digits of a fraction of it |
//! | `%z` | `Z`, `+02`, `+0200`, `+02:00` |
//! | `%s` | seconds since 1970, in place of all others |
//! | `%%` | a percent sign |
//!
//! A space stands for any number of spaces, none included; everything else stands for itself.

use crate::clock::{self, ClockProblem, Cursor, Moment};

/// How times are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeFormat(Vec<u8>);

/// What was read of a time.
struct Parts {
    year: i64,
    month: i64,
    day: i64,
    day_of_year: Option<i64>,
    hour: i64,
    afternoon: Option<bool>,
    minute: i64,
    second: i64,
    nanos: i64,
    offset_s: i64,
    since_1970_s: Option<i64>,
}

impl TimeFormat {
    /// The format as it is spelled out.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn new(text: &str) -> Result<TimeFormat, String> {
        let mut fields = String::new();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            if c == '%' {
                match rest.next() {
                    Some(field) if "YymbdjHIpMSfzs%".contains(field) => fields.push(field),
                    other => {
                        let field: String = other.into_iter().collect();
                        return Err(format!(
                            "there is no %{field}; there are %Y %y %m %b %d %j %H %I %p %M %S %f %z %s %%"
                        ));
                    }
                }
            }
        }
        let has = |field: char| fields.contains(field);
        let has_date = (has('Y') || has('y')) && (has('j') || ((has('m') || has('b')) && has('d')));
        if !has_date && !has('s') {
            return Err("it needs a year, a month and a day (%Y %m %d), or %s".to_owned());
        }
        if has('I') != has('p') {
            return Err("%I (an hour of 12) and %p (AM or PM) go together".to_owned());
        }
        Ok(TimeFormat(text.as_bytes().to_vec()))
    }

    /// Reads a time; one that names no zone is in one that is `offset_s` ahead of UTC.
    ///
    /// # Errors
    /// `NotATime` if it is written in another form, `TooFine` for digits below a nanosecond.
    pub fn parse(&self, text: &[u8], offset_s: i64) -> Result<Moment, ClockProblem> {
        let mut parts = Parts {
            year: 1970,
            month: 1,
            day: 1,
            day_of_year: None,
            hour: 0,
            afternoon: None,
            minute: 0,
            second: 0,
            nanos: 0,
            offset_s,
            since_1970_s: None,
        };
        let mut rest = Cursor {
            text: text.trim_ascii(),
        };
        let mut format = self.0.iter().copied();
        while let Some(wanted) = format.next() {
            match wanted {
                b'%' => parts.read(format.next().unwrap_or(b'%'), &mut rest)?,
                b' ' => rest.text = rest.text.trim_ascii_start(),
                other => {
                    rest.one_of(&[other])?;
                }
            }
        }
        if rest.text.is_empty() {
            parts.moment()
        } else {
            Err(ClockProblem::NotATime)
        }
    }
}

impl Parts {
    fn read(&mut self, field: u8, rest: &mut Cursor<'_>) -> Result<(), ClockProblem> {
        match field {
            b'Y' => {
                self.year = 0;
                for _ in 0..4 {
                    self.year = self.year * 10 + rest.digit()?;
                }
            }
            b'y' => {
                let year = rest.two_digits(0, 99)?;
                self.year = if year < 69 { 2000 + year } else { 1900 + year };
            }
            b'm' => self.month = rest.one_or_two_digits(1, 12)?,
            b'b' => {
                self.month = rest.month_name()?;
                let letters = rest.text.iter().take_while(|b| b.is_ascii_alphabetic()).count();
                rest.text = rest.text.get(letters..).unwrap_or_default();
            }
            b'd' => self.day = rest.one_or_two_digits(1, 31)?,
            b'j' => {
                let mut day = 0;
                while let Ok(digit) = rest.digit() {
                    day = day * 10 + digit;
                    if day > 366 {
                        return Err(ClockProblem::NotATime);
                    }
                }
                self.day_of_year = Some(day).filter(|&day| day > 0);
            }
            b'H' => self.hour = rest.one_or_two_digits(0, 23)?,
            b'I' => self.hour = rest.one_or_two_digits(1, 12)? % 12,
            b'p' => {
                self.afternoon = Some(matches!(rest.one_of(b"AaPp")?, b'P' | b'p'));
                rest.one_of(b"Mm")?;
            }
            b'M' => self.minute = rest.one_or_two_digits(0, 59)?,
            b'S' => self.second = rest.one_or_two_digits(0, 60)?,
            b'f' => self.nanos = rest.fraction()?,
            b'z' => {
                let end = rest.text.iter().position(|b| !b"Z+-:0123456789".contains(b));
                let (zone, after) = rest.text.split_at(end.unwrap_or(rest.text.len()));
                self.offset_s = clock::parse_offset(zone)?;
                rest.text = after;
            }
            b's' => {
                let end = rest.text.iter().position(|b| !b.is_ascii_digit() && *b != b'-');
                let (count, after) = rest.text.split_at(end.unwrap_or(rest.text.len()));
                let count = std::str::from_utf8(count).ok().and_then(|text| text.parse().ok());
                self.since_1970_s = Some(count.ok_or(ClockProblem::NotATime)?);
                rest.text = after;
            }
            _ => {
                rest.one_of(b"%")?;
            }
        }
        Ok(())
    }

    fn moment(&self) -> Result<Moment, ClockProblem> {
        if let Some(seconds) = self.since_1970_s {
            return Ok(Moment(
                i128::from(seconds) * 1_000_000_000 + i128::from(self.nanos),
            ));
        }
        let days = match self.day_of_year {
            Some(day) => clock::days_from_civil(self.year, 1, 1) + day - 1,
            None if self.day > clock::days_in_month(self.year, self.month) => {
                return Err(ClockProblem::NotATime);
            }
            None => clock::days_from_civil(self.year, self.month, self.day),
        };
        let hour = self.hour + if self.afternoon == Some(true) { 12 } else { 0 };
        let seconds = hour * 3600 + self.minute * 60 + self.second;
        Ok(clock::moment(
            days,
            seconds * 1_000_000_000 + self.nanos,
            self.offset_s,
        ))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_table() {
        let at_ten = 1_743_285_600;
        for (format, text, seconds) in [
            ("%m/%d/%Y %I:%M:%S %p", "3/29/2025 10:00:00 PM", at_ten),
            ("%m/%d/%Y %I:%M:%S %p", "03/29/2025  10:00:00pm", at_ten),
            ("%m/%d/%Y %I:%M %p", "3/29/2025 12:00 AM", at_ten - 22 * 3600),
            ("%d/%m/%y %H:%M", "29/03/25 22:00", at_ten),
            ("%Y%m%d%H%M%S", "20250329220000", at_ten),
            ("%Y%m%dT%H%M%S%z", "20250329T230000+0100", at_ten),
            ("%d %b %Y, %H:%M:%S", "29 March 2025, 22:00:00", at_ten),
            ("%Y.%j %H", "2025.88 22", at_ten),
            ("t=%s", "t=1743285600", at_ten),
            ("%Y-%m-%d %H:%M:%S.%f", "2025-03-29 20:00:00.000", at_ten - 7_200),
        ] {
            let format = TimeFormat::new(format).unwrap();
            let read = format.parse(text.as_bytes(), 0).map(|moment| moment.0);
            assert_eq!(read, Ok(i128::from(seconds) * 1_000_000_000), "{text}");
        }
        let us = TimeFormat::new("%m/%d/%Y").unwrap();
        for text in ["29/3/2025", "2/30/2025", "3/29/2025 x", "", "3/29/25"] {
            assert_eq!(
                us.parse(text.as_bytes(), 0),
                Err(ClockProblem::NotATime),
                "{text}"
            );
        }
        assert_eq!(us.parse(b"1/1/1970", 3600), Ok(Moment(-3_600_000_000_000)));
        for text in ["%m/%d", "%Q", "%Y-%m-%d %I", "%", ""] {
            assert!(TimeFormat::new(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_time_or_not(format in "(%[YymbdjHIpMSfzs%]|[ :/-]){1,12}", text in "[-0-9APMJanZ+: /%]{0,24}") {
            if let Ok(format) = TimeFormat::new(&format) {
                let _ = format.parse(text.as_bytes(), 0);
            }
        }
    }
}
