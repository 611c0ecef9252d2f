//! Predicates as EXPLAIN shows them: close to SQL, one line.

use std::fmt::{self, Display, Formatter};
use std::ops::Bound;

use siltstone_store::predicate::Predicate;
use siltstone_store::text::TextPattern;
use siltstone_store::text::pattern::{LikePattern, LikeToken};
use siltstone_store::value::Value;

/// Shows a predicate.
pub(crate) struct Shown<'a>(pub &'a Predicate);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Predicate::All => f.write_str("true"),
            Predicate::Nothing => f.write_str("false"),
            Predicate::Unknown => f.write_str("NULL"),
            Predicate::Interval { column, low, high } => interval(f, column, low, high),
            Predicate::In { column, values } => {
                write!(f, "{column} IN (")?;
                for (index, value) in values.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { ", " })?;
                    show_value(f, value)?;
                }
                f.write_str(")")
            }
            Predicate::Text { column, pattern } => text(f, column, pattern),
            Predicate::IsNull { column } => write!(f, "{column} IS NULL"),
            Predicate::And(parts) => joined(f, parts, " AND "),
            Predicate::Or(parts) => joined(f, parts, " OR "),
            Predicate::Not(inner) => match &**inner {
                Predicate::IsNull { column } => write!(f, "{column} IS NOT NULL"),
                inner => write!(f, "NOT ({})", Shown(inner)),
            },
        }
    }
}

fn joined(f: &mut Formatter<'_>, parts: &[Predicate], word: &str) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        f.write_str(if index == 0 { "" } else { word })?;
        match part {
            Predicate::And(_) | Predicate::Or(_) => write!(f, "({})", Shown(part))?,
            part => Shown(part).fmt(f)?,
        }
    }
    Ok(())
}

fn interval(f: &mut Formatter<'_>, column: &str, low: &Bound<Value>, high: &Bound<Value>) -> fmt::Result {
    if let (Bound::Included(a), Bound::Included(b)) = (low, high)
        && a == b
    {
        write!(f, "{column} = ")?;
        return show_value(f, a);
    }
    let side = |f: &mut Formatter<'_>, value: &Value, op: &str| {
        write!(f, "{column} {op} ")?;
        show_value(f, value)
    };
    match low {
        Bound::Included(value) => side(f, value, ">=")?,
        Bound::Excluded(value) => side(f, value, ">")?,
        Bound::Unbounded if matches!(high, Bound::Unbounded) => return write!(f, "{column} IS NOT NULL"),
        Bound::Unbounded => {}
    }
    if !matches!(low, Bound::Unbounded) && !matches!(high, Bound::Unbounded) {
        f.write_str(" AND ")?;
    }
    match high {
        Bound::Included(value) => side(f, value, "<="),
        Bound::Excluded(value) => side(f, value, "<"),
        Bound::Unbounded => Ok(()),
    }
}

fn show_value(f: &mut Formatter<'_>, value: &Value) -> fmt::Result {
    match value {
        Value::Null => f.write_str("NULL"),
        Value::Bool(v) => v.fmt(f),
        Value::I64(v) | Value::Timestamp(v) => v.fmt(f),
        Value::U64(v) => v.fmt(f),
        Value::F32(v) => write!(f, "{v:?}"),
        Value::F64(v) => write!(f, "{v:?}"),
        Value::Text(v) => write!(f, "'{}'", v.replace('\'', "''")),
        Value::Bytes(v) => {
            f.write_str("x'")?;
            v.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
            f.write_str("'")
        }
    }
}

fn text(f: &mut Formatter<'_>, column: &str, pattern: &TextPattern) -> fmt::Result {
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\'', "''");
    match pattern {
        TextPattern::Contains(needle) => write!(f, "contains({column}, '{}')", shown(needle)),
        TextPattern::ContainsIgnoreAsciiCase(needle) => write!(f, "{column} ILIKE '%{}%'", shown(needle)),
        TextPattern::StartsWith(needle) => write!(f, "starts_with({column}, '{}')", shown(needle)),
        TextPattern::EndsWith(needle) => write!(f, "ends_with({column}, '{}')", shown(needle)),
        TextPattern::Equals(needle) => write!(f, "{column} = '{}'", shown(needle)),
        TextPattern::Regex(regex) => {
            let operator = if regex.options().ignore_case { "~*" } else { "~" };
            write!(f, "{column} {operator} '{}'", regex.source().replace('\'', "''"))
        }
        TextPattern::Number(number) => {
            let words = number.place().words().replace('\'', "''");
            let call = format!("number_in({column}, '{words}')");
            match number.bounds() {
                (Bound::Included(low), Bound::Included(high)) if low == high => write!(f, "{call} = {low}"),
                (low, high) => {
                    let low = match low {
                        Bound::Included(low) => Some(format!("{call} >= {low}")),
                        Bound::Excluded(low) => Some(format!("{call} > {low}")),
                        Bound::Unbounded => None,
                    };
                    let high = match high {
                        Bound::Included(high) => Some(format!("{call} <= {high}")),
                        Bound::Excluded(high) => Some(format!("{call} < {high}")),
                        Bound::Unbounded => None,
                    };
                    match (low, high) {
                        (Some(low), Some(high)) => write!(f, "{low} AND {high}"),
                        (Some(one), None) | (None, Some(one)) => f.write_str(&one),
                        (None, None) => write!(f, "{call} IS NOT NULL"),
                    }
                }
            }
        }
        TextPattern::Like(like) => write!(f, "{column} LIKE '{}'", like_source(like).replace('\'', "''")),
    }
}

fn like_source(like: &LikePattern) -> String {
    let mut source = String::new();
    for token in like.tokens() {
        match token {
            LikeToken::One => source.push('_'),
            LikeToken::Many => source.push('%'),
            LikeToken::Literal(bytes) => {
                for c in String::from_utf8_lossy(bytes).chars() {
                    if matches!(c, '%' | '_' | '\\') {
                        source.push('\\');
                    }
                    source.push(c);
                }
            }
        }
    }
    source
}
