//! `number_in(column, 'took {} ms') > 500`: a number inside a text, compared.

use std::ops::Bound::{self, Excluded, Included, Unbounded};

use siltstone_store::predicate::Predicate;
use siltstone_store::text::TextPattern;
use siltstone_store::text::number::{NumberPattern, NumberPlace};
use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, UnaryOperator, Value as SqlValue,
};

use super::{Comparison, Translator};

/// Name of the function.
const NAME: &str = "number_in";

/// The call of the function that an expression is, if it is one.
pub(super) fn call(expression: &Expr) -> Option<&Function> {
    match expression {
        Expr::Nested(inner) => call(inner),
        Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case(NAME) => Some(function),
        _ => None,
    }
}

impl Translator<'_> {
    /// The comparison of a call with a literal. It is unknown for a text without the number.
    pub(super) fn number(
        &self,
        call: &Function,
        comparison: Comparison,
        literal: &Expr,
    ) -> Result<Predicate, String> {
        let (column, words) = arguments(call)?;
        let column = self.column(column)?;
        if !column.ty.is_binary() {
            return Err(format!(
                "column {} is of type {}; {NAME} asks for text",
                column.name, column.ty
            ));
        }
        let place = NumberPlace::parse(words).map_err(|error| error.to_string())?;
        let Some(limit) = number(literal)? else {
            return Ok(Predicate::Unknown);
        };
        let within = |low: Bound<f64>, high: Bound<f64>| {
            let pattern = NumberPattern::new(place.clone(), low, high);
            Predicate::text(column.name.clone(), TextPattern::Number(pattern))
        };
        let holds = match comparison {
            Comparison::Equal => within(Included(limit), Included(limit)),
            Comparison::NotEqual => Predicate::Or(vec![
                within(Unbounded, Excluded(limit)),
                within(Excluded(limit), Unbounded),
            ]),
            Comparison::Less => within(Unbounded, Excluded(limit)),
            Comparison::LessOrEqual => within(Unbounded, Included(limit)),
            Comparison::Greater => within(Excluded(limit), Unbounded),
            Comparison::GreaterOrEqual => within(Included(limit), Unbounded),
        };
        // Under NOT, a text without a number must not be taken for one whose number compares otherwise.
        let none = Predicate::And(vec![!within(Unbounded, Unbounded), Predicate::Unknown]);
        Ok(Predicate::Or(vec![holds, none]))
    }
}

/// The column and the words of a call.
fn arguments(call: &Function) -> Result<(&Expr, &str), String> {
    let FunctionArguments::List(list) = &call.args else {
        return Err(usage());
    };
    let [
        FunctionArg::Unnamed(FunctionArgExpr::Expr(column)),
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(words))),
    ] = list.args.as_slice()
    else {
        return Err(usage());
    };
    match &words.value {
        SqlValue::SingleQuotedString(words) => Ok((column, words)),
        _ => Err(usage()),
    }
}

fn usage() -> String {
    format!("{NAME} takes a column and words around one {{}}: {NAME}(message, 'took {{}} ms')")
}

/// The number that a literal is; `None` for NULL.
fn number(literal: &Expr) -> Result<Option<f64>, String> {
    match literal {
        Expr::Nested(inner) => number(inner),
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } => Ok(number(expr)?.map(|number| -number)),
        Expr::Value(value) => match &value.value {
            SqlValue::Null => Ok(None),
            SqlValue::Number(digits, _) => digits
                .parse()
                .map(Some)
                .map_err(|_| format!("{digits} is no number")),
            other => Err(format!("{NAME} is compared with a number, not with {other}")),
        },
        other => Err(format!("{NAME} is compared with a number, not with {other}")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use siltstone_store::schema::{ColumnType, Schema, TimeUnit};

    #[test]
    fn calls_are_compared_with_literals() {
        let schema = Schema::new("time", TimeUnit::Second)
            .with_channel("message", ColumnType::Text, "")
            .and_then(|schema| schema.with_channel("level", ColumnType::I64, ""))
            .unwrap();
        for sound in [
            "number_in(message, 'took {} ms') > 500",
            "-1.5 <= NUMBER_IN(message, 'a{}')",
            "NOT (number_in(message, 'a{}') <> 7) AND level = 1",
            "number_in(message, 'a{}') = NULL",
        ] {
            assert!(crate::filter::parse(sound, &schema).is_ok(), "{sound}");
        }
        for wrong in [
            "number_in(message, 'took ms') > 500",
            "number_in(message) > 500",
            "number_in(level, 'a{}') > 5",
            "number_in(message, 'a{}') > 'b'",
            "number_in(message, 'a{}')",
        ] {
            assert!(crate::filter::parse(wrong, &schema).is_err(), "{wrong}");
        }
    }
}
