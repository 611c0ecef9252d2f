//! `--where`: a subset of SQL as a store [`Predicate`], with the meaning it has in SQL.
//!
//! ```text
//! temp > 20.5 AND node IN ('A1', 'A2') AND NOT (door OR window)
//! ts BETWEEN '2016-07-01' AND TIMESTAMP '2016-07-02 12:00:00'
//! message LIKE '%over-temperature%' AND message NOT LIKE '%test%'
//! rtt IS NOT NULL
//! ```
//!
//! | piece | notes |
//! |---|---|
//! | `=` `<>` `!=` `<` `<=` `>` `>=` | a column and a literal, in either order |
//! | `BETWEEN a AND b`, `IN (...)` | with literals; `NOT` before them too |
//! | `LIKE`, `NOT LIKE` | text and bytes; `%` any characters, `_` one; `\` or `ESCAPE 'c'` makes the next one plain |
//! | `ILIKE` | `LIKE` whatever the case of letters |
//! | `~` `~*` `!~` `!~*` | a part of the text matches a regular expression (`*`: whatever the case), or none does |
//! | `IS NULL`, `IS NOT NULL` | |
//! | `AND`, `OR`, `NOT`, brackets | three-valued: a comparison with null is neither true nor false |
//! | a boolean column alone | also `IS TRUE`, `IS FALSE` and their negations |
//! | literals | numbers, `'text'`, `TRUE`, `FALSE`, `NULL`, `X'00ff'`, `TIMESTAMP '...'`, `DATE '...'` |
//!
//! A time is a text in single quotes, RFC 3339 or `2016-07-01 12:00:00` (UTC without a zone), or a whole number in the
//! stream's unit. Names with other characters than letters, digits, `_` and `.` stand in double quotes. A name is found
//! whatever its case if that is unambiguous.

use siltstone_store::predicate::Predicate;
use siltstone_store::schema::{ColumnType, Schema};
use siltstone_store::text::TextPattern;
use siltstone_store::text::pattern::LikePattern;
use siltstone_store::text::regex::{RegexOptions, RegexPattern};
use siltstone_store::value::Value;
use sqlparser::ast::{BinaryOperator, Expr, Ident, UnaryOperator, Value as SqlValue, ValueWithSpan};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use crate::failure::{Failure, Outcome};

mod literal;
mod named;
mod number;

use literal::Operand;
use named::{Named, unsupported};

/// What a comparison asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Turns an SQL condition into a predicate on streams of shape `schema`.
///
/// # Errors
/// `Usage`, naming the piece that cannot be parsed, is not in the subset, or does not fit its column.
pub fn parse(text: &str, schema: &Schema) -> Outcome<Predicate> {
    let syntax = |error: &dyn std::fmt::Display| {
        let what = error.to_string();
        Failure::usage(format!(
            "--where {text:?}: {}",
            what.trim_start_matches("sql parser error: ")
        ))
    };
    let mut parser = Parser::new(&GenericDialect {})
        .try_with_sql(text)
        .map_err(|e| syntax(&e))?;
    let expression = parser.parse_expr().map_err(|e| syntax(&e))?;
    let rest = parser.next_token();
    if rest.token != Token::EOF {
        return Err(syntax(&format!("a condition ends before {rest}")));
    }
    Translator { schema }
        .condition(&expression)
        .map_err(|what| Failure::usage(format!("--where: {what}")))
}

/// Turns an optional SQL condition into a predicate; none means every row.
///
/// # Errors
/// As [`parse`].
pub fn parse_optional(text: Option<&str>, schema: &Schema) -> Outcome<Predicate> {
    text.map_or(Ok(Predicate::All), |text| parse(text, schema))
}

struct Translator<'a> {
    schema: &'a Schema,
}

impl Translator<'_> {
    fn condition(&self, expression: &Expr) -> Result<Predicate, String> {
        match expression {
            Expr::Nested(inner) => self.condition(inner),
            Expr::UnaryOp {
                op: UnaryOperator::Not,
                expr,
            } => Ok(!self.condition(expr)?),
            Expr::BinaryOp {
                op: BinaryOperator::And,
                ..
            } => self.chain(expression, &BinaryOperator::And).map(Predicate::And),
            Expr::BinaryOp {
                op: BinaryOperator::Or,
                ..
            } => self.chain(expression, &BinaryOperator::Or).map(Predicate::Or),
            Expr::BinaryOp { left, op, right } => self.comparison(left, op, right),
            Expr::Between {
                expr,
                negated,
                low,
                high,
            } => {
                let column = self.column(expr)?;
                let (low, high) = (literal::operand(&column, low)?, literal::operand(&column, high)?);
                Ok(negate(between(&column, low, high), *negated))
            }
            Expr::InList { expr, list, negated } => {
                let column = self.column(expr)?;
                let operands: Result<Vec<Operand>, String> =
                    list.iter().map(|item| literal::operand(&column, item)).collect();
                Ok(negate(one_of(&column, operands?), *negated))
            }
            Expr::Like {
                negated,
                any: false,
                expr,
                pattern,
                escape_char,
            } => Ok(negate(self.like(expr, pattern, escape_char.as_ref())?, *negated)),
            Expr::ILike {
                negated,
                any: false,
                expr,
                pattern,
                escape_char,
            } => Ok(negate(self.ilike(expr, pattern, escape_char.as_ref())?, *negated)),
            Expr::IsNull(inner) => Ok(Predicate::is_null(self.column(inner)?.name)),
            Expr::IsNotNull(inner) => Ok(!Predicate::is_null(self.column(inner)?.name)),
            Expr::IsTrue(inner) => self.is_boolean(inner, true),
            Expr::IsFalse(inner) => self.is_boolean(inner, false),
            Expr::IsNotTrue(inner) => Ok(!self.is_boolean(inner, true)?),
            Expr::IsNotFalse(inner) => Ok(!self.is_boolean(inner, false)?),
            Expr::Value(ValueWithSpan { value, .. }) => match value {
                SqlValue::Boolean(true) => Ok(Predicate::All),
                SqlValue::Boolean(false) => Ok(Predicate::Nothing),
                SqlValue::Null => Ok(Predicate::Unknown),
                other => Err(format!("{other} is not a condition")),
            },
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => {
                let column = self.column(expression)?;
                match column.ty {
                    ColumnType::Bool => Ok(Predicate::eq(column.name, true)),
                    ty => Err(format!(
                        "column {} is of type {ty}; compare it with something",
                        column.name
                    )),
                }
            }
            other => Err(unsupported(other)),
        }
    }

    /// The members of `a AND b AND c` (or OR), which the parser nests to the left.
    fn chain(&self, expression: &Expr, wanted: &BinaryOperator) -> Result<Vec<Predicate>, String> {
        let mut members = Vec::new();
        let mut rest = expression;
        while let Expr::BinaryOp { left, op, right } = rest {
            if op != wanted {
                break;
            }
            members.push(self.condition(right)?);
            rest = left;
        }
        members.push(self.condition(rest)?);
        members.reverse();
        Ok(members)
    }

    fn comparison(&self, left: &Expr, op: &BinaryOperator, right: &Expr) -> Result<Predicate, String> {
        use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        let (comparison, flipped) = match op {
            BinaryOperator::Eq => (Equal, Equal),
            BinaryOperator::NotEq => (NotEqual, NotEqual),
            BinaryOperator::Lt => (Less, Greater),
            BinaryOperator::LtEq => (LessOrEqual, GreaterOrEqual),
            BinaryOperator::Gt => (Greater, Less),
            BinaryOperator::GtEq => (GreaterOrEqual, LessOrEqual),
            BinaryOperator::PGRegexMatch => return self.regex(left, right, false),
            BinaryOperator::PGRegexIMatch => return self.regex(left, right, true),
            BinaryOperator::PGRegexNotMatch => return Ok(!self.regex(left, right, false)?),
            BinaryOperator::PGRegexNotIMatch => return Ok(!self.regex(left, right, true)?),
            other => return Err(format!("the operator {other} is not supported in --where")),
        };
        match (number::call(left), number::call(right)) {
            (Some(call), None) => return self.number(call, comparison, right),
            (None, Some(call)) => return self.number(call, flipped, left),
            _ => {}
        }
        match (literal::is_literal(left), literal::is_literal(right)) {
            (false, true) => {
                let column = self.column(left)?;
                let operand = literal::operand(&column, right)?;
                Ok(compare(&column, comparison, operand))
            }
            (true, false) => {
                let column = self.column(right)?;
                let operand = literal::operand(&column, left)?;
                Ok(compare(&column, flipped, operand))
            }
            (true, true) => Err(format!(
                "{left} {op} {right} compares two literals; name a column"
            )),
            (false, false) => {
                // Two columns, or something that is not a column at all: say which.
                let (left, right) = (self.column(left)?, self.column(right)?);
                Err(format!(
                    "{} {op} {} compares two columns, which only SQL can (silt sql)",
                    left.name, right.name
                ))
            }
        }
    }

    fn like(&self, expr: &Expr, pattern: &Expr, escape: Option<&ValueWithSpan>) -> Result<Predicate, String> {
        self.pattern(expr, pattern, "LIKE", |pattern| {
            Ok(TextPattern::like(pattern, Some(escape_character(escape)?)))
        })
    }

    fn ilike(
        &self,
        expr: &Expr,
        pattern: &Expr,
        escape: Option<&ValueWithSpan>,
    ) -> Result<Predicate, String> {
        let bytes = self.column(expr)?.ty == ColumnType::Bytes;
        self.pattern(expr, pattern, "ILIKE", |pattern| {
            let like = LikePattern::parse(pattern, Some(escape_character(escape)?));
            let regex = RegexPattern::ilike(&like, bytes).map_err(|error| error.to_string())?;
            Ok(TextPattern::Regex(regex))
        })
    }

    /// `column ~ 'expression'`.
    fn regex(&self, expr: &Expr, pattern: &Expr, ignore_case: bool) -> Result<Predicate, String> {
        let bytes = self.column(expr)?.ty == ColumnType::Bytes;
        self.pattern(expr, pattern, "~", |source| {
            let options = RegexOptions { ignore_case, bytes };
            let regex = RegexPattern::new(source, options).map_err(|error| error.to_string())?;
            Ok(TextPattern::Regex(regex))
        })
    }

    /// A condition `operator` on a text column, with the pattern that `read` makes of the right side.
    fn pattern(
        &self,
        expr: &Expr,
        pattern: &Expr,
        operator: &str,
        read: impl FnOnce(&str) -> Result<TextPattern, String>,
    ) -> Result<Predicate, String> {
        let column = self.column(expr)?;
        if !column.ty.is_binary() {
            return Err(format!(
                "column {} is of type {}; {operator} asks for text",
                column.name, column.ty
            ));
        }
        match pattern {
            Expr::Value(ValueWithSpan {
                value: SqlValue::SingleQuotedString(pattern),
                ..
            }) => Ok(Predicate::text(column.name, read(pattern)?)),
            Expr::Value(ValueWithSpan {
                value: SqlValue::Null,
                ..
            }) => Ok(Predicate::Unknown),
            other => Err(format!(
                "{operator} takes a pattern in single quotes, not {other}"
            )),
        }
    }

    /// `column IS TRUE`: true or false, never unknown.
    fn is_boolean(&self, inner: &Expr, wanted: bool) -> Result<Predicate, String> {
        let column = self.column(inner)?;
        if column.ty != ColumnType::Bool {
            return Err(format!(
                "column {} is of type {}; IS TRUE and IS FALSE ask for bool",
                column.name, column.ty
            ));
        }
        let present = !Predicate::is_null(column.name.clone());
        Ok(Predicate::And(vec![Predicate::eq(column.name, wanted), present]))
    }

    fn column(&self, expression: &Expr) -> Result<Named, String> {
        match expression {
            Expr::Nested(inner) => self.column(inner),
            Expr::Identifier(ident) => self.find(&ident.value, ident.quote_style.is_some()),
            // Names with dots, as nested JSON and Zeek have them, need no quotes here.
            Expr::CompoundIdentifier(parts) => {
                let name: Vec<&str> = parts.iter().map(|part: &Ident| part.value.as_str()).collect();
                self.find(&name.join("."), false)
            }
            other => Err(unsupported(other)),
        }
    }

    fn find(&self, name: &str, exact: bool) -> Result<Named, String> {
        let time = (
            self.schema.time_name(),
            ColumnType::Timestamp(self.schema.time_unit()),
        );
        let columns = self
            .schema
            .columns()
            .iter()
            .map(|column| (column.name.as_str(), column.ty));
        let all: Vec<(&str, ColumnType)> = std::iter::once(time).chain(columns).collect();
        let named = |(name, ty): &(&str, ColumnType)| Named {
            name: (*name).to_owned(),
            ty: *ty,
        };
        if let Some(found) = all.iter().find(|(candidate, _)| *candidate == name) {
            return Ok(named(found));
        }
        let similar: Vec<_> = all
            .iter()
            .filter(|(candidate, _)| candidate.eq_ignore_ascii_case(name))
            .collect();
        match (exact, similar.as_slice()) {
            (false, [one]) => Ok(named(one)),
            _ => {
                let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
                let hint = if exact {
                    "; text stands in single quotes"
                } else {
                    ""
                };
                Err(format!(
                    "there is no column {name:?}; there are {}{hint}",
                    names.join(", ")
                ))
            }
        }
    }
}

/// What follows ESCAPE, or the backslash.
fn escape_character(escape: Option<&ValueWithSpan>) -> Result<char, String> {
    match escape.map(|value| &value.value) {
        None => Ok('\\'),
        Some(SqlValue::SingleQuotedString(text)) if text.chars().count() == 1 => {
            Ok(text.chars().next().unwrap_or('\\'))
        }
        Some(other) => Err(format!(
            "ESCAPE takes one character in single quotes, not {other}"
        )),
    }
}

fn negate(predicate: Predicate, negated: bool) -> Predicate {
    if negated { !predicate } else { predicate }
}

/// False for every value, unknown for null.
fn never(column: &Named) -> Predicate {
    Predicate::In {
        column: column.name.clone(),
        values: Vec::new(),
    }
}

fn compare(column: &Named, comparison: Comparison, operand: Operand) -> Predicate {
    use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
    let name = column.name.clone();
    match operand {
        Operand::Null => Predicate::Unknown,
        Operand::Exactly(value) => match comparison {
            Equal => Predicate::eq(name, value),
            NotEqual => !Predicate::eq(name, value),
            Less => Predicate::lt(name, value),
            LessOrEqual => Predicate::le(name, value),
            Greater => Predicate::gt(name, value),
            GreaterOrEqual => Predicate::ge(name, value),
        },
        Operand::JustAbove(value) => match comparison {
            Equal => never(column),
            NotEqual => !never(column),
            Less | LessOrEqual => Predicate::le(name, value),
            Greater | GreaterOrEqual => Predicate::gt(name, value),
        },
        Operand::BelowAll => negate(
            never(column),
            matches!(comparison, NotEqual | Greater | GreaterOrEqual),
        ),
        Operand::AboveAll => negate(never(column), matches!(comparison, NotEqual | Less | LessOrEqual)),
    }
}

fn between(column: &Named, low: Operand, high: Operand) -> Predicate {
    match (low, high) {
        (Operand::Exactly(low), Operand::Exactly(high)) => Predicate::between(column.name.clone(), low, high),
        (low, high) => Predicate::And(vec![
            compare(column, Comparison::GreaterOrEqual, low),
            compare(column, Comparison::LessOrEqual, high),
        ]),
    }
}

fn one_of(column: &Named, operands: Vec<Operand>) -> Predicate {
    let mut values = Vec::with_capacity(operands.len());
    for operand in operands {
        match operand {
            Operand::Null => values.push(Value::Null),
            // The two zeros are equal in SQL.
            Operand::Exactly(Value::F64(0.0)) => values.extend([Value::F64(0.0), Value::F64(-0.0)]),
            Operand::Exactly(value) => values.push(value),
            Operand::JustAbove(_) | Operand::BelowAll | Operand::AboveAll => {}
        }
    }
    Predicate::In {
        column: column.name.clone(),
        values,
    }
}
