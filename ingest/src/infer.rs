//! What type a column is, from a bounded sample of its fields.
//!
//! Every field of the sample is looked at, so a null or a whole number in the first row decides nothing:
//!
//! | all values of the sample are | type |
//! |---|---|
//! | `true` or `false` | bool |
//! | whole numbers in 64 bits, signed | i64 |
//! | whole numbers, none negative, some over 2^63 | u64 |
//! | numbers | f64 |
//! | anything else | text |
//! | (there are none) | undecided until a value comes |
//!
//! A whole number that starts with a zero (`007`) is text: as a number it would lose its zeros. So is one that does not
//! fit 64 bits. Strings of JSON are text whatever they hold.

use siltstone_store::schema::ColumnType;

use crate::clock;
use crate::field::{Field, Form, MAX_NUMBER_BYTES, parse_f64, parse_integer, shorten};

/// What one field looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool,
    /// A whole number in the range of i64.
    Integer {
        /// Whether it is below zero.
        negative: bool,
    },
    /// A whole number above that, in the range of u64.
    BigInteger,
    /// Any other number.
    Float,
    /// `NaN`, `inf` or `-inf` as a JSON string, the only way to say them there: a number among numbers, else text.
    QuotedNonFinite,
    /// A calendar time.
    Time,
    /// Anything else.
    Text,
}

/// What a field looks like. `quotes_mean_text` is how JSON sees strings; CSV quotes say nothing about the type.
pub fn kind_of(field: Field<'_>, null_tokens: &[Vec<u8>], quotes_mean_text: bool) -> Kind {
    if field.is_null(null_tokens) {
        return Kind::Null;
    }
    let text = field.text.trim_ascii();
    if text.is_empty() {
        return if field.form == Form::Quoted {
            Kind::Text
        } else {
            Kind::Null
        };
    }
    if !(quotes_mean_text && field.form == Form::Quoted) {
        if text.eq_ignore_ascii_case(b"true") || text.eq_ignore_ascii_case(b"false") {
            return Kind::Bool;
        }
        if let Some(kind) = number_kind(text) {
            return kind;
        }
    }
    if quotes_mean_text && matches!(text, b"NaN" | b"inf" | b"-inf") {
        return Kind::QuotedNonFinite;
    }
    if clock::parse_calendar(text).is_ok() {
        Kind::Time
    } else {
        Kind::Text
    }
}

fn number_kind(text: &[u8]) -> Option<Kind> {
    let digits = text
        .strip_prefix(b"-")
        .or(text.strip_prefix(b"+"))
        .unwrap_or(text);
    let keeps_zeros = digits.len() > 1 && digits[0] == b'0' && digits[1].is_ascii_digit();
    if keeps_zeros {
        return None;
    }
    if digits.iter().all(u8::is_ascii_digit) {
        let (negative, magnitude) = parse_integer(text).ok()?;
        return match i64::try_from(magnitude) {
            Ok(_) => Some(Kind::Integer { negative }),
            Err(_) if negative && magnitude == 1 << 63 => Some(Kind::Integer { negative }),
            Err(_) if negative => None,
            Err(_) => Some(Kind::BigInteger),
        };
    }
    parse_f64(text).ok().map(|_| Kind::Float)
}

fn is_with_comma(field: Field<'_>) -> bool {
    let mut buffer = [0; MAX_NUMBER_BYTES];
    let pointed = field.with_point(&mut buffer);
    pointed.text != field.text && parse_f64(pointed.text.trim_ascii()).is_ok()
}

/// A column with more texts than this is text, and nothing else about it matters.
const ENOUGH_TEXTS: u64 = 10_000;

/// What the sampled fields of one column looked like.
#[derive(Debug, Clone, Default)]
pub struct ColumnSample {
    bools: u64,
    integers: u64,
    negatives: u64,
    big_integers: u64,
    floats: u64,
    non_finite: u64,
    times: u64,
    /// Times that are a day and no more.
    days: u64,
    /// Texts that are a time of day.
    times_of_day: u64,
    texts: u64,
    commas: u64,
    first_text: Option<(u64, String)>,
    example: Option<String>,
}

impl ColumnSample {
    /// Counts a field of line `line`.
    pub fn add(&mut self, field: Field<'_>, line: u64, null_tokens: &[Vec<u8>], quotes_mean_text: bool) {
        if self.texts > ENOUGH_TEXTS {
            return;
        }
        let kind = kind_of(field, null_tokens, quotes_mean_text);
        if kind != Kind::Null && self.example.is_none() {
            self.example = Some(shorten(field.text));
        }
        match kind {
            Kind::Null => {}
            Kind::Bool => self.bools += 1,
            Kind::Integer { negative } => {
                self.integers += 1;
                self.negatives += u64::from(negative);
            }
            Kind::BigInteger => self.big_integers += 1,
            Kind::Float => self.floats += 1,
            Kind::QuotedNonFinite => self.non_finite += 1,
            Kind::Time => {
                self.times += 1;
                self.days += u64::from(!field.text.contains(&b':'));
            }
            Kind::Text => {
                self.texts += 1;
                self.times_of_day += u64::from(clock::parse_time_of_day(field.text).is_ok());
                self.commas += u64::from(!quotes_mean_text && is_with_comma(field));
                if self.first_text.is_none() {
                    self.first_text = Some((line, shorten(field.text)));
                }
            }
        }
    }

    /// Number of values.
    pub fn values(&self) -> u64 {
        self.numbers() + self.non_finite + self.bools + self.times + self.texts
    }

    fn numbers(&self) -> u64 {
        self.integers + self.big_integers + self.floats
    }

    /// The type, or `None` if there was no value.
    pub fn column_type(&self) -> Option<ColumnType> {
        let values = self.values();
        Some(match values {
            0 => return None,
            _ if self.bools == values => ColumnType::Bool,
            _ if self.integers == values => ColumnType::I64,
            _ if self.integers + self.big_integers == values && self.negatives == 0 => ColumnType::U64,
            _ if self.numbers() == values && self.floats > 0 => ColumnType::F64,
            _ if self.non_finite > 0 && self.numbers() > 0 && self.numbers() + self.non_finite == values => {
                ColumnType::F64
            }
            _ => ColumnType::Text,
        })
    }

    /// Whether values are numbers with a decimal comma, and others are numbers too.
    pub fn has_commas(&self) -> bool {
        self.commas > 0 && self.commas == self.texts && self.texts + self.numbers() == self.values()
    }

    /// Whether all values are calendar times.
    pub fn is_calendar(&self) -> bool {
        self.times > 0 && self.times == self.values()
    }

    /// Whether all values are days, without a time of day.
    pub fn is_days(&self) -> bool {
        self.days > 0 && self.days == self.values()
    }

    /// Whether all values are times of a day that they do not name.
    pub fn is_times_of_day(&self) -> bool {
        self.times_of_day > 0 && self.times_of_day == self.values()
    }

    /// Whether nearly all values are calendar times.
    pub fn is_mostly_calendar(&self) -> bool {
        self.times > 0 && self.times * 10 >= self.values() * 9
    }

    /// Whether all values are numbers that can count time.
    pub fn is_count(&self) -> bool {
        self.numbers() > 0 && self.numbers() == self.values()
    }

    /// Whether all values are whole numbers.
    pub fn is_whole(&self) -> bool {
        self.integers > 0 && self.integers == self.values()
    }

    /// The first value.
    pub fn example(&self) -> Option<&str> {
        self.example.as_deref()
    }

    /// The line and text that made a column of (nearly all) numbers a text column.
    pub fn odd_text(&self) -> Option<&(u64, String)> {
        (self.numbers() > 0 && self.texts * 10 <= self.values())
            .then_some(self.first_text.as_ref())
            .flatten()
    }
}

/// A sample of the records to come.
#[derive(Debug, Default)]
pub struct Sample {
    /// What each field looked like, by field index.
    pub columns: Vec<ColumnSample>,
    /// Records looked at.
    pub rows: usize,
    /// Whether there were no more for now, though more may come.
    pub paused: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn infer(fields: &[&str]) -> Option<ColumnType> {
        let mut sample = ColumnSample::default();
        for (line, text) in fields.iter().enumerate() {
            let field = Field {
                text: text.as_bytes(),
                form: Form::Plain,
            };
            sample.add(field, line as u64, &[b"NA".to_vec()], false);
        }
        sample.column_type()
    }

    #[test]
    fn the_table() {
        use ColumnType::{Bool, F64, I64, Text, U64};
        for (fields, wanted) in [
            (&["", "NA", ""][..], None),
            (&["", "1", "2"], Some(I64)),
            (&["1", "2", "3.5"], Some(F64)),
            (&["", "1", "", "-2"], Some(I64)),
            (&["1", "2", "x"], Some(Text)),
            (&["true", "False"], Some(Bool)),
            (&["true", "1"], Some(Text)),
            (&["1", "18446744073709551615"], Some(U64)),
            (&["-1", "18446744073709551615"], Some(Text)),
            (&["-1", "18446744073709551615", "0.5"], Some(F64)),
            (&["18446744073709551616"], Some(Text)),
            (&["01", "02"], Some(Text)),
            (&["0", "0.5", "-0.5", "-0"], Some(F64)),
            (&["nan", "1"], Some(F64)),
            (&["1e5"], Some(F64)),
            (&["2016-07-01 00:00:00"], Some(Text)),
            (&["-9223372036854775808"], Some(I64)),
            (&["-9223372036854775809"], Some(Text)),
            (&[" 4", "5 "], Some(I64)),
            (&["-", "+"], Some(Text)),
        ] {
            assert_eq!(infer(fields), wanted, "{fields:?}");
        }
    }

    #[test]
    fn json_strings_are_text() {
        let field = Field {
            text: b"12",
            form: Form::Quoted,
        };
        assert_eq!(kind_of(field, &[], true), Kind::Text);
        assert_eq!(kind_of(field, &[], false), Kind::Integer { negative: false });
        let mut sample = ColumnSample::default();
        sample.add(
            Field {
                text: b"NaN",
                form: Form::Quoted,
            },
            1,
            &[],
            true,
        );
        assert_eq!(sample.column_type(), Some(ColumnType::Text));
        sample.add(
            Field {
                text: b"1",
                form: Form::Plain,
            },
            2,
            &[],
            true,
        );
        assert_eq!(sample.column_type(), Some(ColumnType::F64));
    }
}
