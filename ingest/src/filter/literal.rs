//! Literals of `--where`, read as values of the column they are compared with.

use siltstone_store::schema::{ColumnType, TimeUnit};
use siltstone_store::value::Value;
use sqlparser::ast::{DataType, Expr, UnaryOperator, Value as SqlValue};

use super::named::{Named, unsupported};
use crate::clock::{self, Moment};
use crate::field::{self, Cell, Field, Form};

/// Integers of at most this magnitude are floats exactly.
const MAX_EXACT: u64 = 1 << 53;

/// The other side of a comparison, in the order of the column's values.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// NULL: the comparison is unknown.
    Null,
    /// This value.
    Exactly(Value),
    /// Between this value and the next one that the column can have.
    JustAbove(Value),
    /// Below every value that the column can have.
    BelowAll,
    /// Above every value that the column can have.
    AboveAll,
}

/// Whether the expression is a literal (as opposed to a column).
pub fn is_literal(expression: &Expr) -> bool {
    match expression {
        Expr::Nested(inner) => is_literal(inner),
        Expr::Value(_) | Expr::TypedString(_) | Expr::Cast { .. } => true,
        Expr::UnaryOp {
            op: UnaryOperator::Minus | UnaryOperator::Plus,
            ..
        } => true,
        _ => false,
    }
}

/// Reads a literal that is compared with `column`.
///
/// # Errors
/// A sentence, if it is none or does not fit the column's type.
pub fn operand(column: &Named, expression: &Expr) -> Result<Operand, String> {
    match expression {
        Expr::Nested(inner) => operand(column, inner),
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } => match &**expr {
            Expr::Value(value) => match &value.value {
                SqlValue::Number(digits, _) => number(column, &format!("-{digits}")),
                other => Err(format!("-{other} is not a number")),
            },
            other => Err(unsupported(other)),
        },
        Expr::UnaryOp {
            op: UnaryOperator::Plus,
            expr,
        } => operand(column, expr),
        Expr::TypedString(typed) => match (&typed.data_type, &typed.value.value) {
            (
                DataType::Timestamp(..) | DataType::Date | DataType::Datetime(_),
                SqlValue::SingleQuotedString(text),
            ) => time(column, text),
            _ => Err(unsupported(expression)),
        },
        Expr::Cast {
            expr,
            data_type: DataType::Timestamp(..) | DataType::Date,
            ..
        } => match &**expr {
            Expr::Value(value) => match &value.value {
                SqlValue::SingleQuotedString(text) => time(column, text),
                _ => Err(unsupported(expression)),
            },
            _ => Err(unsupported(expression)),
        },
        Expr::Value(value) => match &value.value {
            SqlValue::Null => Ok(Operand::Null),
            SqlValue::Boolean(flag) => match column.ty {
                ColumnType::Bool => Ok(Operand::Exactly(Value::Bool(*flag))),
                _ => Err(misfit(column, &expression.to_string())),
            },
            SqlValue::Number(digits, _) => number(column, digits),
            SqlValue::SingleQuotedString(text) => quoted(column, text),
            SqlValue::HexStringLiteral(digits) if column.ty == ColumnType::Bytes => {
                bytes_of_hex(digits).map(|bytes| Operand::Exactly(Value::Bytes(bytes)))
            }
            _ => Err(misfit(column, &expression.to_string())),
        },
        other => Err(unsupported(other)),
    }
}

fn misfit(column: &Named, literal: &str) -> String {
    let remedy = if column.ty.is_binary() {
        "; text stands in single quotes"
    } else {
        ""
    };
    format!(
        "column {} is of type {} and cannot be compared with {literal}{remedy}",
        column.name, column.ty
    )
}

fn number(column: &Named, digits: &str) -> Result<Operand, String> {
    let whole = field::parse_integer(digits.as_bytes())
        .ok()
        .filter(|_| !digits.contains(['.', 'e', 'E']));
    let signed = |(negative, magnitude): (bool, u64)| {
        if !negative {
            return Value::U64(magnitude);
        }
        match 0i64.checked_sub_unsigned(magnitude) {
            Some(value) => Value::I64(value),
            None => Value::F64(-(magnitude as f64)),
        }
    };
    let float = || {
        digits
            .parse::<f64>()
            .map(Value::F64)
            .map_err(|_| format!("{digits} is not a number"))
    };
    Ok(Operand::Exactly(match column.ty {
        ColumnType::F32 | ColumnType::F64 => match whole {
            Some((negative, magnitude)) if magnitude > MAX_EXACT => signed((negative, magnitude)),
            _ => float()?,
        },
        ColumnType::Timestamp(_) => {
            whole
                .map(signed)
                .ok_or_else(|| misfit(column, digits))
                .and_then(|value| match value {
                    Value::F64(_) => Err(misfit(column, digits)),
                    other => Ok(other),
                })?
        }
        ColumnType::Bool | ColumnType::Text | ColumnType::Bytes => return Err(misfit(column, digits)),
        _ => match whole {
            Some(whole) => signed(whole),
            None => float()?,
        },
    }))
}

fn quoted(column: &Named, text: &str) -> Result<Operand, String> {
    match column.ty {
        ColumnType::Text => Ok(Operand::Exactly(Value::Text(text.to_owned()))),
        ColumnType::Bytes => Ok(Operand::Exactly(Value::Bytes(text.as_bytes().to_vec()))),
        ColumnType::Timestamp(_) => time(column, text),
        ty => match field::parse_cell(
            ty,
            Field {
                text: text.as_bytes(),
                form: Form::Plain,
            },
        ) {
            Ok(Cell::Key(key)) => Ok(Operand::Exactly(Value::from_key(ty, key))),
            _ => Err(misfit(column, &format!("'{text}'"))),
        },
    }
}

fn time(column: &Named, text: &str) -> Result<Operand, String> {
    let ColumnType::Timestamp(unit) = column.ty else {
        return Err(misfit(column, &format!("the time '{text}'")));
    };
    let moment = clock::parse_calendar(text.as_bytes())
        .map_err(|problem| format!("'{text}' {}", problem.describe(TimeUnit::Nanosecond)))?;
    Ok(tick(moment, unit))
}

fn tick(moment: Moment, unit: TimeUnit) -> Operand {
    let (ticks, exact) = moment.floor(unit);
    match i64::try_from(ticks) {
        Ok(ticks) if exact => Operand::Exactly(Value::Timestamp(ticks)),
        Ok(ticks) => Operand::JustAbove(Value::Timestamp(ticks)),
        Err(_) if ticks < 0 => Operand::BelowAll,
        Err(_) => Operand::AboveAll,
    }
}

fn bytes_of_hex(digits: &str) -> Result<Vec<u8>, String> {
    let nibble = |byte: u8| char::from(byte).to_digit(16).and_then(|n| u8::try_from(n).ok());
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(nibble(*high)? << 4 | nibble(*low)?),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = digits.as_bytes().chunks(2).map(pair).collect();
    bytes.ok_or_else(|| format!("X'{digits}' is not made of pairs of hexadecimal digits"))
}
