//! One field of an input record: text, how it was written, and the typed value it stands for.

use siltstone_store::schema::{ColumnType, MAX_VALUE_BYTES, TimeUnit};
use siltstone_store::value::{key_of_f32, key_of_f64, key_of_i64};

use crate::clock;

/// Bytes of the longest number that may have a decimal comma.
pub const MAX_NUMBER_BYTES: usize = 48;

/// How a field was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// There is nothing: an absent field, or a JSON null.
    Missing,
    /// Bare text: a CSV field without quotes, a JSON number or boolean.
    Plain,
    /// A quoted string.
    Quoted,
}

/// A field of an input record.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    /// The text, quotes and escapes resolved.
    pub text: &'a [u8],
    /// How it was written.
    pub form: Form,
}

impl Field<'_> {
    /// A field that is not there.
    pub const MISSING: Field<'static> = Field {
        text: b"",
        form: Form::Missing,
    };

    /// The same with a point for a decimal comma, if it is a number with one; `buffer` is where it is written then.
    pub fn with_point<'b>(self, buffer: &'b mut [u8; MAX_NUMBER_BYTES]) -> Field<'b>
    where
        Self: 'b,
    {
        let Some(copy) = buffer.get_mut(..self.text.len()) else {
            return self;
        };
        let mut commas = 0;
        for (to, &from) in copy.iter_mut().zip(self.text) {
            commas += usize::from(from == b',');
            *to = match from {
                b',' => b'.',
                b'0'..=b'9' | b'+' | b'-' | b'e' | b'E' | b' ' => from,
                _ => return self,
            };
        }
        if commas != 1 {
            return self;
        }
        Field {
            text: copy,
            form: self.form,
        }
    }

    /// Whether this stands for null: nothing, an empty bare field, or one of the tokens that mean null.
    pub fn is_null(&self, null_tokens: &[Vec<u8>]) -> bool {
        match self.form {
            Form::Missing => true,
            Form::Plain => self.text.is_empty() || null_tokens.iter().any(|token| token == self.text),
            Form::Quoted => false,
        }
    }
}

/// A value as a column takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell<'a> {
    /// Nothing.
    Null,
    /// Key of a fixed-width value.
    Key(u64),
    /// Text or bytes.
    Bytes(&'a [u8]),
}

/// Why a field does not fit its column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldProblem {
    /// Not a value of the type at all.
    NotOfType,
    /// A number, but outside the type.
    OutOfRange,
    /// Not UTF-8.
    NotUtf8,
    /// Over the limit of 64 MiB.
    TooLong,
    /// Not a time that the column can keep.
    Clock(clock::ClockProblem, TimeUnit),
}

impl FieldProblem {
    /// What is wrong with `text` in column `name` of type `ty`, as a sentence.
    pub fn describe(&self, name: &str, ty: ColumnType, text: &[u8]) -> String {
        let shown = shorten(text);
        match self {
            FieldProblem::NotOfType if ty.is_integer() && parse_f64(text.trim_ascii()).is_ok() => format!(
                "column {name}: {shown:?} is not of type {ty} (the column was taken for whole numbers; \
                 --type {name}=f64 when the stream is created takes both)"
            ),
            FieldProblem::NotOfType => format!("column {name}: {shown:?} is not of type {ty}"),
            FieldProblem::OutOfRange => format!("column {name}: {shown:?} is outside the range of type {ty}"),
            FieldProblem::NotUtf8 => {
                format!(
                    "column {name}: not valid UTF-8 (--encoding latin1 reads western European text, --type {name}=bytes any bytes)"
                )
            }
            FieldProblem::TooLong => format!(
                "column {name}: {} bytes are over the limit of {MAX_VALUE_BYTES}",
                text.len()
            ),
            FieldProblem::Clock(problem, unit) => {
                format!("column {name}: {shown:?} {}", problem.describe(*unit))
            }
        }
    }
}

/// The start of a text, for messages.
pub fn shorten(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text.get(..200).unwrap_or(text)).into_owned();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// The value of a non-null field in a column of type `ty`.
///
/// Numbers may be padded with spaces. A whole number may be written with zeros after a point (`5.0`). Booleans are
/// `true`, `t`, `1`, `false`, `f`, `0` in any case. An empty quoted field is a value in text and bytes columns and null in
/// all others.
///
/// # Errors
/// What is wrong with it.
#[inline]
pub fn parse_cell<'a>(ty: ColumnType, field: Field<'a>) -> Result<Cell<'a>, FieldProblem> {
    if ty.is_binary() {
        if field.text.len() > MAX_VALUE_BYTES {
            return Err(FieldProblem::TooLong);
        }
        if ty == ColumnType::Text && std::str::from_utf8(field.text).is_err() {
            return Err(FieldProblem::NotUtf8);
        }
        return Ok(Cell::Bytes(field.text));
    }
    let text = field.text.trim_ascii();
    if text.is_empty() {
        return Ok(Cell::Null);
    }
    let key = match ty {
        ColumnType::F64 => key_of_f64(parse_f64(text)?),
        ColumnType::F32 => key_of_f32(parse_f32(text)?),
        ColumnType::Bool => u64::from(parse_bool(text).ok_or(FieldProblem::NotOfType)?),
        ColumnType::Timestamp(unit) => key_of_i64(parse_time(text, Some(unit), unit, 0)?),
        ColumnType::U8 | ColumnType::U16 | ColumnType::U32 | ColumnType::U64 => {
            let (negative, magnitude) = parse_integer(text)?;
            if negative && magnitude != 0 {
                return Err(FieldProblem::OutOfRange);
            }
            within(ty, magnitude)?
        }
        _ => {
            let (negative, magnitude) = parse_integer(text)?;
            let value = if negative {
                0i64.checked_sub_unsigned(magnitude)
            } else {
                i64::try_from(magnitude).ok()
            };
            within(ty, key_of_i64(value.ok_or(FieldProblem::OutOfRange)?))?
        }
    };
    Ok(Cell::Key(key))
}

/// A time in a column of unit `to`: a calendar time, `offset_s` ahead of UTC if it does not say its zone, or a count of
/// `from`, if counts are taken.
///
/// # Errors
/// What is wrong with it.
#[inline]
pub fn parse_time(
    text: &[u8],
    from: Option<TimeUnit>,
    to: TimeUnit,
    offset_s: i64,
) -> Result<i64, FieldProblem> {
    // Counts have no '-' or ':' behind their first characters; a date does.
    let result = match clock::parse_count(text, from.unwrap_or(to), to) {
        Err(clock::ClockProblem::NotATime) => {
            clock::parse_calendar_in(text, offset_s).and_then(|moment| moment.ticks(to))
        }
        _ if from.is_none() => Err(clock::ClockProblem::UnitUnknown),
        other => other,
    };
    result.map_err(|problem| FieldProblem::Clock(problem, to))
}

fn within(ty: ColumnType, key: u64) -> Result<u64, FieldProblem> {
    let (low, high) = ty.key_range();
    if (low..=high).contains(&key) {
        Ok(key)
    } else {
        Err(FieldProblem::OutOfRange)
    }
}

/// Sign and magnitude of a whole number.
pub fn parse_integer(text: &[u8]) -> Result<(bool, u64), FieldProblem> {
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let mut value = 0u64;
    for (index, &byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => {
                value = value
                    .checked_mul(10)
                    .and_then(|v| v.checked_add(u64::from(byte - b'0')))
                    .ok_or(FieldProblem::OutOfRange)?;
            }
            b'.' if index > 0 && digits[index + 1..].iter().all(|&b| b == b'0') => {
                return Ok((negative, value));
            }
            _ => return Err(FieldProblem::NotOfType),
        }
    }
    if digits.is_empty() {
        Err(FieldProblem::NotOfType)
    } else {
        Ok((negative, value))
    }
}

/// A 64-bit float, nearest to what is written; `nan` and `inf` in any case.
pub fn parse_f64(text: &[u8]) -> Result<f64, FieldProblem> {
    let value: f64 = std::str::from_utf8(text)
        .ok()
        .and_then(|t| t.parse().ok())
        .ok_or(FieldProblem::NotOfType)?;
    if value.is_infinite() && has_digit(text) {
        Err(FieldProblem::OutOfRange)
    } else {
        Ok(value)
    }
}

fn parse_f32(text: &[u8]) -> Result<f32, FieldProblem> {
    let value: f32 = std::str::from_utf8(text)
        .ok()
        .and_then(|t| t.parse().ok())
        .ok_or(FieldProblem::NotOfType)?;
    if value.is_infinite() && has_digit(text) {
        Err(FieldProblem::OutOfRange)
    } else {
        Ok(value)
    }
}

fn has_digit(text: &[u8]) -> bool {
    text.iter().any(u8::is_ascii_digit)
}

/// A boolean.
pub fn parse_bool(text: &[u8]) -> Option<bool> {
    let is = |word: &[u8]| text.eq_ignore_ascii_case(word);
    if is(b"true") || is(b"t") || text == b"1" {
        Some(true)
    } else if is(b"false") || is(b"f") || text == b"0" {
        Some(false)
    } else {
        None
    }
}

/// The type of this name, as `--type` takes it.
pub fn type_of_name(name: &str) -> Option<ColumnType> {
    Some(match name {
        "bool" => ColumnType::Bool,
        "i8" => ColumnType::I8,
        "i16" => ColumnType::I16,
        "i32" => ColumnType::I32,
        "i64" | "int" => ColumnType::I64,
        "u8" => ColumnType::U8,
        "u16" => ColumnType::U16,
        "u32" => ColumnType::U32,
        "u64" => ColumnType::U64,
        "f32" => ColumnType::F32,
        "f64" | "float" => ColumnType::F64,
        "timestamp" => ColumnType::Timestamp(TimeUnit::Nanosecond),
        "text" => ColumnType::Text,
        "bytes" => ColumnType::Bytes,
        _ => ColumnType::Timestamp(clock::unit_of(
            name.strip_prefix("timestamp(")?.strip_suffix(')')?,
        )?),
    })
}

/// The names that [`type_of_name`] knows, for messages.
pub const TYPE_NAMES: &str =
    "bool, i8, i16, i32, i64, u8, u16, u32, u64, f32, f64, timestamp, timestamp(s|ms|us|ns), text, bytes";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use siltstone_store::value::Value;

    fn value(ty: ColumnType, text: &str) -> Result<Value, FieldProblem> {
        parse_cell(
            ty,
            Field {
                text: text.as_bytes(),
                form: Form::Plain,
            },
        )
        .map(|cell| match cell {
            Cell::Null => Value::Null,
            Cell::Key(key) => Value::from_key(ty, key),
            Cell::Bytes(bytes) => Value::Text(String::from_utf8(bytes.to_vec()).unwrap()),
        })
    }

    #[test]
    fn decimal_commas_become_points() {
        let mut buffer = [0; MAX_NUMBER_BYTES];
        for (text, wanted) in [
            ("1,5", "1.5"),
            ("-0,25e3", "-0.25e3"),
            ("7", "7"),
            ("1,234,567", "1,234,567"),
            ("1.234,5", "1.234,5"),
            ("a,b", "a,b"),
            ("", ""),
        ] {
            let field = Field {
                text: text.as_bytes(),
                form: Form::Plain,
            };
            assert_eq!(field.with_point(&mut buffer).text, wanted.as_bytes());
        }
        let long = Field {
            text: &[b'1'; 99],
            form: Form::Plain,
        };
        assert_eq!(long.with_point(&mut buffer).text.len(), 99);
    }

    #[test]
    fn fields_become_values_or_a_reason() {
        use ColumnType::{Bool, F32, F64, I8, I64, Text, Timestamp, U8, U64};
        for (ty, text, wanted) in [
            (I64, "-9223372036854775808", Value::I64(i64::MIN)),
            (I64, " 5.00 ", Value::I64(5)),
            (I64, "+7", Value::I64(7)),
            (I8, "-128", Value::I64(-128)),
            (U8, "-0", Value::U64(0)),
            (U64, "18446744073709551615", Value::U64(u64::MAX)),
            (F64, "0.1", Value::F64(0.1)),
            (F64, "-Infinity", Value::F64(f64::NEG_INFINITY)),
            (F32, "0.1", Value::F32(0.1)),
            (Bool, "TRUE", Value::Bool(true)),
            (Bool, "F", Value::Bool(false)),
            (
                Timestamp(TimeUnit::Millisecond),
                "1970-01-01T00:00:01.5Z",
                Value::Timestamp(1500),
            ),
            (Timestamp(TimeUnit::Millisecond), "1500", Value::Timestamp(1500)),
            (Text, " a ", Value::Text(" a ".into())),
        ] {
            assert_eq!(value(ty, text), Ok(wanted), "{ty} {text}");
        }
        for (ty, text, wanted) in [
            (I64, "9223372036854775808", FieldProblem::OutOfRange),
            (I64, "5.5", FieldProblem::NotOfType),
            (I64, ".0", FieldProblem::NotOfType),
            (I64, "-", FieldProblem::NotOfType),
            (I8, "128", FieldProblem::OutOfRange),
            (U8, "-1", FieldProblem::OutOfRange),
            (F64, "1e999", FieldProblem::OutOfRange),
            (F64, "1,5", FieldProblem::NotOfType),
            (Bool, "yes", FieldProblem::NotOfType),
        ] {
            assert_eq!(value(ty, text), Err(wanted), "{ty} {text}");
        }
        assert!(value(F64, "nan").is_ok_and(|v| matches!(v, Value::F64(x) if x.is_nan())));
    }
}
