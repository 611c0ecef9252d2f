//! SQL conditions as the store's predicates: one pure function, exact or nothing.
//!
//! [`translate`] gives a predicate only if the *whole* expression means the same for the store, row by row; so a filter
//! is either answered by the store alone (`Exact`) or left to DataFusion (`Unsupported`), never half of each.
//!
//! How it stays exact:
//!
//! - SQL has three truth values, and a filter keeps the rows where the condition is *true*. Translating with
//!   [`Want::True`] or [`Want::False`] carries NOT down to the leaves by De Morgan, so "unknown" needs no name: a leaf
//!   is never true on a null, wanted or not.
//! - A comparison `f(column) op literal`, with `f` one of the casts that keep order ([`crate::threshold`]), is the set
//!   of keys on one side of a threshold; the threshold is found by bisection over the column's keys. So integers
//!   against floats, `f32` against `f64`, seconds against nanoseconds and a timestamp against a date all come out as
//!   an interval of keys, with the rounding that the cast itself does.
//! - DataFusion's comparison operators take -0.0 and 0.0 for equal and otherwise follow totalOrder (NaN equals the same
//!   NaN, positive NaNs are above infinity); its IN lists of four and more compare bit by bit. Both are followed, as
//!   intervals of raw keys.

use std::ops::Bound;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Between, BinaryExpr, Cast, Expr, Like, Operator};
use siltstone_store::predicate::Predicate;
use siltstone_store::schema::{ColumnType, Schema};
use siltstone_store::text::TextPattern;
use siltstone_store::text::pattern::{LikePattern, LikeToken};
use siltstone_store::text::regex::{KIN, RegexOptions, RegexPattern};
use siltstone_store::value::{Value, key_of_f32, key_of_f64};

use crate::number;
use crate::threshold::{Operand, Side};
use crate::types::column_type;

/// The truth value that a row must give the expression to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    True,
    False,
}

impl Want {
    fn flip(self) -> Self {
        match self {
            Want::True => Want::False,
            Want::False => Want::True,
        }
    }

    fn flip_if(self, negated: bool) -> Self {
        if negated { self.flip() } else { self }
    }
}

/// The predicate that keeps exactly the rows where `expression` is true, if there is one.
///
/// Columns are those of `schema`, by name, whatever relation the expression says they belong to.
pub(crate) fn translate(expression: &Expr, schema: &Schema) -> Option<Predicate> {
    Translator { schema }.expression(expression, Want::True)
}

/// The predicate for all of several filters at once, if each of them has one.
pub(crate) fn translate_all(filters: &[Expr], schema: &Schema) -> Option<Predicate> {
    filters.iter().try_fold(Predicate::All, |all, filter| {
        Some(all.and(translate(filter, schema)?))
    })
}

struct Translator<'a> {
    schema: &'a Schema,
}

impl Translator<'_> {
    fn expression(&self, expression: &Expr, want: Want) -> Option<Predicate> {
        match expression {
            Expr::Alias(alias) => self.expression(&alias.expr, want),
            Expr::Literal(ScalarValue::Boolean(value), _) => Some(match (value, want) {
                (Some(true), Want::True) | (Some(false), Want::False) => Predicate::All,
                _ => Predicate::Nothing,
            }),
            Expr::Column(_) => {
                let (name, ty) = self.column(expression)?;
                (ty == ColumnType::Bool).then(|| Predicate::eq(name, want == Want::True))
            }
            Expr::Not(inner) => self.expression(inner, want.flip()),
            Expr::BinaryExpr(binary) => self.binary(binary, want),
            Expr::Between(between) => self.between(between, want),
            Expr::InList(list) => self.in_list(list, want),
            Expr::Like(like) => self.like(like, want),
            Expr::IsNull(inner) => self.null(inner, want),
            Expr::IsNotNull(inner) => self.null(inner, want.flip()),
            Expr::IsTrue(inner) => self.is(inner, Want::True, want),
            Expr::IsFalse(inner) => self.is(inner, Want::False, want),
            Expr::IsNotTrue(inner) => self.is(inner, Want::True, want.flip()),
            Expr::IsNotFalse(inner) => self.is(inner, Want::False, want.flip()),
            Expr::ScalarFunction(call) => self.function(call.name(), &call.args, want),
            _ => None,
        }
    }

    /// Name and type of a column of the stream.
    fn column(&self, expression: &Expr) -> Option<(String, ColumnType)> {
        match expression {
            Expr::Column(column) => Some((column.name.clone(), column_type(self.schema, &column.name)?)),
            Expr::Alias(alias) => self.column(&alias.expr),
            _ => None,
        }
    }

    /// A column under at most one cast.
    fn operand(&self, expression: &Expr) -> Option<Operand> {
        match expression {
            Expr::Cast(Cast { expr, field }) => {
                let (name, ty) = self.column(expr)?;
                Operand::cast(name, ty, field.data_type())
            }
            _ => self.column(expression).map(|(name, ty)| Operand::plain(name, ty)),
        }
    }

    fn binary(&self, binary: &BinaryExpr, want: Want) -> Option<Predicate> {
        match binary.op {
            Operator::And | Operator::Or => {
                let (left, right) = (
                    self.expression(&binary.left, want)?,
                    self.expression(&binary.right, want)?,
                );
                // Wanting false turns AND into OR and back.
                Some(if (binary.op == Operator::And) == (want == Want::True) {
                    and(left, right)
                } else {
                    left.or(right)
                })
            }
            _ => match (&*binary.left, &*binary.right) {
                (left, Expr::Literal(literal, _)) => self.compare(left, binary.op, literal, want),
                (Expr::Literal(literal, _), right) => self.compare(right, binary.op.swap()?, literal, want),
                _ => None,
            },
        }
    }

    fn compare(&self, left: &Expr, op: Operator, literal: &ScalarValue, want: Want) -> Option<Predicate> {
        if let Some((options, negated)) = regex_operator(op) {
            return self.regex(left, literal, options, want.flip_if(negated));
        }
        if let Expr::ScalarFunction(call) = left {
            if call.name() == number::NAME {
                return self.number_inside(&call.args, oriented(op, want)?, literal);
            }
            return self.position(call.name(), &call.args, op, literal, want);
        }
        let operand = self.operand(left)?;
        let null_safe = matches!(op, Operator::IsDistinctFrom | Operator::IsNotDistinctFrom);
        let op = match op {
            Operator::IsNotDistinctFrom => oriented(Operator::Eq, want)?,
            Operator::IsDistinctFrom => oriented(Operator::NotEq, want)?,
            op => oriented(op, want)?,
        };
        if literal.is_null() {
            return Some(match (null_safe, op) {
                (true, Operator::Eq) => self.is_null(operand.name),
                (true, _) => self.is_not_null(operand.name),
                _ => Predicate::Nothing,
            });
        }
        let predicate = self.side(&operand, op, literal)?;
        Some(if null_safe && op == Operator::NotEq {
            predicate.or(self.is_null(operand.name))
        } else {
            predicate
        })
    }

    /// `operand op literal`, neither null.
    fn side(&self, operand: &Operand, op: Operator, literal: &ScalarValue) -> Option<Predicate> {
        let side = match op {
            Operator::Eq | Operator::NotEq => Side::Equal,
            Operator::Lt | Operator::GtEq => Side::Below,
            Operator::LtEq | Operator::Gt => Side::NotAbove,
            _ => return None,
        };
        // `!=`, `>=` and `>` are what is left of the values: their order is total.
        let rest = matches!(op, Operator::NotEq | Operator::GtEq | Operator::Gt);
        if operand.ty.is_binary() {
            let value = operand.bytes_literal(literal)?;
            let (low, high) = match (side, rest) {
                (Side::Equal, false) => (Bound::Included(value.clone()), Bound::Included(value)),
                (Side::Equal, true) => {
                    let equal = interval(
                        &operand.name,
                        Bound::Included(value.clone()),
                        Bound::Included(value),
                    );
                    return Some(!equal);
                }
                (Side::Below, false) => (Bound::Unbounded, Bound::Excluded(value)),
                (Side::Below, true) => (Bound::Included(value), Bound::Unbounded),
                (Side::NotAbove, false) => (Bound::Unbounded, Bound::Included(value)),
                (Side::NotAbove, true) => (Bound::Excluded(value), Bound::Unbounded),
            };
            return Some(interval(&operand.name, low, high));
        }
        let keys = operand.keys(side, literal)?;
        Some(match (side, rest) {
            (Side::Equal, true) => match self.keys(operand, keys) {
                Predicate::Nothing => self.is_not_null(operand.name.clone()),
                equal => !equal,
            },
            (_, true) => {
                let (_, highest) = operand.ty.key_range();
                match keys {
                    Some((_, high)) if high == highest => Predicate::Nothing,
                    Some((_, high)) => self.keys(operand, Some((high + 1, highest))),
                    None => self.is_not_null(operand.name.clone()),
                }
            }
            (_, false) => self.keys(operand, keys),
        })
    }

    /// Rows whose key lies between two keys, both included.
    fn keys(&self, operand: &Operand, keys: Option<(u64, u64)>) -> Predicate {
        let Some((low, high)) = keys else {
            return Predicate::Nothing;
        };
        let (lowest, highest) = operand.ty.key_range();
        let value = |key| Value::from_key(operand.ty, key);
        // A signalling NaN turns quiet when it is widened or narrowed, so such a bound is named by its neighbour.
        let signalling =
            |key| matches!(value(key), Value::F32(v) if v.is_nan() && v.to_bits() & (1 << 22) == 0);
        let low = match low {
            low if low == lowest => Bound::Unbounded,
            low if signalling(low) => Bound::Excluded(value(low - 1)),
            low => Bound::Included(value(low)),
        };
        let high = match high {
            high if high == highest => Bound::Unbounded,
            high if signalling(high) => Bound::Excluded(value(high + 1)),
            high => Bound::Included(value(high)),
        };
        interval(&operand.name, low, high)
    }

    fn is_null(&self, name: String) -> Predicate {
        if name == self.schema.time_name() {
            Predicate::Nothing
        } else {
            Predicate::is_null(name)
        }
    }

    fn is_not_null(&self, name: String) -> Predicate {
        if name == self.schema.time_name() {
            Predicate::All
        } else {
            !Predicate::is_null(name)
        }
    }

    fn null(&self, inner: &Expr, want: Want) -> Option<Predicate> {
        let operand = self.operand(inner)?;
        Some(match want {
            Want::True => self.is_null(operand.name),
            Want::False => self.is_not_null(operand.name),
        })
    }

    /// `inner IS {truth}`, which is never unknown.
    fn is(&self, inner: &Expr, truth: Want, want: Want) -> Option<Predicate> {
        match want {
            Want::True => self.expression(inner, truth),
            Want::False => {
                // The rest of the rows: only for a plain column is "unknown" a predicate.
                let (name, ty) = self.column(inner)?;
                (ty == ColumnType::Bool)
                    .then(|| Predicate::eq(name.clone(), truth == Want::False).or(self.is_null(name)))
            }
        }
    }

    fn between(&self, between: &Between, want: Want) -> Option<Predicate> {
        let (Expr::Literal(low, _), Expr::Literal(high, _)) = (&*between.low, &*between.high) else {
            return None;
        };
        let want = want.flip_if(between.negated);
        let above = self.compare(&between.expr, Operator::GtEq, low, want)?;
        let below = self.compare(&between.expr, Operator::LtEq, high, want)?;
        Some(if want == Want::True {
            and(above, below)
        } else {
            above.or(below)
        })
    }

    fn in_list(&self, list: &InList, want: Want) -> Option<Predicate> {
        let want = want.flip_if(list.negated);
        let operand = self.operand(&list.expr)?;
        let mut values = Vec::with_capacity(list.list.len());
        let mut found = Predicate::Nothing;
        for item in &list.list {
            let Expr::Literal(literal, _) = item else {
                return None;
            };
            if literal.is_null() {
                match want {
                    // Equal to null is never true, but "not in" is never true either.
                    Want::True => continue,
                    Want::False => return Some(Predicate::Nothing),
                }
            }
            if operand.ty.is_binary() {
                values.push(operand.bytes_literal(literal)?);
                continue;
            }
            match operand.keys_of_same_bits(literal)? {
                None => {}
                // Whether a zero in a list means both zeros is for the store to say; an interval of one key is clear.
                Some((low, high)) if low == high && !is_zero(operand.ty, low) => {
                    values.push(Value::from_key(operand.ty, low))
                }
                keys => found = found.or(self.keys(&operand, keys)),
            }
        }
        if list.list.is_empty() {
            return None;
        }
        if !values.is_empty() {
            found = found.or(Predicate::In {
                column: operand.name.clone(),
                values,
            });
        }
        Some(match (want, found) {
            (Want::True, found) => found,
            (Want::False, Predicate::Nothing) => self.is_not_null(operand.name),
            (Want::False, found) => !found,
        })
    }

    fn like(&self, like: &Like, want: Want) -> Option<Predicate> {
        let want = want.flip_if(like.negated);
        // DataFusion's escape character is the backslash, and it refuses any other.
        if like.escape_char.is_some_and(|c| c != '\\') {
            return None;
        }
        let pattern = match literal_text(&like.pattern)? {
            None => return self.text_column(&like.expr).map(|_| Predicate::Nothing),
            Some(pattern) if like.case_insensitive => caseless(pattern)?,
            Some(pattern) => TextPattern::like(pattern, Some('\\')),
        };
        self.text(&like.expr, pattern, want)
    }

    /// A call that is a condition by itself.
    fn function(&self, name: &str, arguments: &[Expr], want: Want) -> Option<Predicate> {
        match (name, arguments) {
            ("contains" | "starts_with" | "ends_with", [text, needle]) => {
                let Some(needle) = literal_text(needle)? else {
                    return self.text_column(text).map(|_| Predicate::Nothing);
                };
                let needle = needle.as_bytes().to_vec();
                let pattern = match name {
                    "contains" => TextPattern::Contains(needle),
                    "starts_with" => TextPattern::StartsWith(needle),
                    _ => TextPattern::EndsWith(needle),
                };
                self.text(text, pattern, want)
            }
            ("isnan", [inner]) => {
                let (name, ty) = self.column(inner)?;
                let (lowest, highest) = ty.key_range();
                let (below, above) = match ty {
                    ColumnType::F64 => (key_of_f64(f64::NEG_INFINITY), key_of_f64(f64::INFINITY)),
                    ColumnType::F32 => (key_of_f32(f32::NEG_INFINITY), key_of_f32(f32::INFINITY)),
                    _ => return None,
                };
                let operand = Operand::plain(name, ty);
                Some(match want {
                    Want::True => self
                        .keys(&operand, Some((lowest, below - 1)))
                        .or(self.keys(&operand, Some((above + 1, highest)))),
                    Want::False => self.keys(&operand, Some((below, above))),
                })
            }
            _ => None,
        }
    }

    /// `number_in(text, words) op number`. A text without the number is never kept: the comparison is null.
    fn number_inside(&self, arguments: &[Expr], op: Operator, literal: &ScalarValue) -> Option<Predicate> {
        let ([text, words], ScalarValue::Float64(limit)) = (arguments, literal) else {
            return None;
        };
        let (Some(words), Some(limit)) = (literal_text(words)?, limit) else {
            return self.text_column(text).map(|_| Predicate::Nothing);
        };
        let patterns = number::patterns(words, op, *limit)?;
        patterns.into_iter().try_fold(Predicate::Nothing, |any, pattern| {
            Some(any.or(self.text(text, pattern, Want::True)?))
        })
    }

    /// `strpos(text, needle) op number`, where it says whether the needle is there.
    fn position(
        &self,
        name: &str,
        arguments: &[Expr],
        op: Operator,
        literal: &ScalarValue,
        want: Want,
    ) -> Option<Predicate> {
        let [text, needle] = arguments else {
            return None;
        };
        let number = match literal {
            ScalarValue::Int64(Some(number)) => *number,
            ScalarValue::Int32(Some(number)) => i64::from(*number),
            _ => return None,
        };
        let found = match (op, number) {
            (Operator::Gt | Operator::NotEq, 0) | (Operator::GtEq, 1) => want,
            (Operator::Eq | Operator::LtEq, 0) | (Operator::Lt, 1) => want.flip(),
            _ => return None,
        };
        let needle = literal_text(needle)??;
        (name == "strpos").then_some(())?;
        self.text(text, TextPattern::Contains(needle.as_bytes().to_vec()), found)
    }

    /// `text ~ literal`; an expression that is refused is left to DataFusion, which says why.
    fn regex(
        &self,
        text: &Expr,
        literal: &ScalarValue,
        options: RegexOptions,
        want: Want,
    ) -> Option<Predicate> {
        let (ScalarValue::Utf8(source) | ScalarValue::LargeUtf8(source) | ScalarValue::Utf8View(source)) =
            literal
        else {
            return None;
        };
        match source {
            None => self.text_column(text).map(|_| Predicate::Nothing),
            Some(source) => {
                let pattern = RegexPattern::new(source, options).ok()?;
                self.text(text, TextPattern::Regex(pattern), want)
            }
        }
    }

    fn text_column(&self, expression: &Expr) -> Option<Operand> {
        self.operand(expression)
            .filter(|operand| operand.ty == ColumnType::Text)
    }

    fn text(&self, expression: &Expr, pattern: TextPattern, want: Want) -> Option<Predicate> {
        let matches = Predicate::text(self.text_column(expression)?.name, pattern);
        Some(if want == Want::True { matches } else { !matches })
    }
}

/// [`Predicate::and`], where a part that is never true decides.
fn and(left: Predicate, right: Predicate) -> Predicate {
    if left == Predicate::Nothing || right == Predicate::Nothing {
        Predicate::Nothing
    } else {
        left.and(right)
    }
}

fn interval(name: &str, low: Bound<Value>, high: Bound<Value>) -> Predicate {
    Predicate::Interval {
        column: name.to_owned(),
        low,
        high,
    }
}

fn is_zero(ty: ColumnType, key: u64) -> bool {
    match Value::from_key(ty, key) {
        Value::F64(v) => v == 0.0,
        Value::F32(v) => v == 0.0,
        _ => false,
    }
}

/// The text of a literal; inside, `None` for null.
fn literal_text(expression: &Expr) -> Option<Option<&str>> {
    match expression {
        Expr::Literal(
            ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text),
            _,
        ) => Some(text.as_deref()),
        _ => None,
    }
}

/// ILIKE. DataFusion folds case by Unicode, where the Kelvin sign is a k and the long s an s; so only a needle without
/// these two letters, and without any letter beyond ASCII, is a matter of ASCII case.
fn caseless(pattern: &str) -> Option<TextPattern> {
    let like = LikePattern::parse(pattern, Some('\\'));
    match like.tokens() {
        [LikeToken::Many, LikeToken::Literal(needle), LikeToken::Many]
            if needle
                .iter()
                .all(|b| b.is_ascii() && !KIN.iter().any(|(_, kin)| b.eq_ignore_ascii_case(kin))) =>
        {
            Some(TextPattern::ContainsIgnoreAsciiCase(needle.clone()))
        }
        _ => RegexPattern::ilike(&like, false).ok().map(TextPattern::Regex),
    }
}

/// How `op` reads its pattern, and whether it asks for the opposite, if it is one of `~`, `~*`, `!~` and `!~*`.
fn regex_operator(op: Operator) -> Option<(RegexOptions, bool)> {
    let (ignore_case, negated) = match op {
        Operator::RegexMatch => (false, false),
        Operator::RegexIMatch => (true, false),
        Operator::RegexNotMatch => (false, true),
        Operator::RegexNotIMatch => (true, true),
        _ => return None,
    };
    let options = RegexOptions {
        ignore_case,
        bytes: false,
    };
    Some((options, negated))
}

/// The operator, or the one that says the opposite of two values.
fn oriented(op: Operator, want: Want) -> Option<Operator> {
    if want == Want::False {
        op.negate()
    } else {
        Some(op)
    }
}
