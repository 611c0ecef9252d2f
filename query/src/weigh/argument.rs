//! What the argument of an aggregate is to rows that stand for many.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::{Cast, Expr, Operator, lit, when};

use super::carry::Origin;
use super::hidden::{Hidden, Known};
use super::rewrite::Weigher;

/// What an argument is.
pub(super) enum Argument {
    /// A channel, perhaps made wider.
    Channel(String),
    /// The time.
    Time,
    /// The same in all rows that a row stands for.
    Constant,
    /// A line in a channel, which is called so here.
    Line(String, Column),
    /// Anything else, of one channel if it is of one.
    Other(Option<String>),
}

impl Weigher<'_> {
    /// What an argument is.
    pub fn kind(&self, argument: &Expr) -> Result<Argument> {
        let bare = match argument {
            // Wider types hold the same values, and floats nearly.
            Expr::Cast(Cast { expr, field }) if is_wide(field.data_type()) => expr.as_ref(),
            other => other,
        };
        match self.rows.origin_of(bare, self.input) {
            Origin::Channel(name)
                if matches!(bare, Expr::Column(_))
                    && (std::ptr::eq(bare, argument) || self.is_number(&name)) =>
            {
                return Ok(Argument::Channel(name));
            }
            Origin::Time(_) if matches!(argument, Expr::Column(_)) => return Ok(Argument::Time),
            _ => {}
        }
        Ok(match self.rows.origin_of(argument, self.input) {
            Origin::Key(_) | Origin::Other => Argument::Constant,
            Origin::Time(_) => Argument::Other(None),
            Origin::Channel(name) => Argument::Other(Some(name)),
            Origin::Computed(of) => {
                let mut of = of.into_iter();
                let (name, more) = (of.next(), of.next());
                let lone = name.filter(|_| more.is_none());
                if let Some(name) = &lone
                    && let Some(column) = self.line(argument)?
                    && self.is_number(name)
                    && self.rows.origin_of(&Expr::Column(column.clone()), self.input)
                        == Origin::Channel(name.clone())
                {
                    return Ok(Argument::Line(name.clone(), column));
                }
                Argument::Other(lone.filter(|_| is_strict(argument)))
            }
        })
    }

    /// The column that an expression is a line in.
    fn line(&self, expression: &Expr) -> Result<Option<Column>> {
        let ty = self.type_of(expression)?;
        if !matches!(ty, DataType::Float64 | DataType::Float32) && !ty.is_signed_integer() {
            return Ok(None);
        }
        let is_constant =
            |e: &Expr| matches!(self.rows.origin_of(e, self.input), Origin::Key(_) | Origin::Other);
        Ok(match expression {
            Expr::Column(column) if !is_constant(expression) => Some(column.clone()),
            Expr::Alias(alias) => self.line(&alias.expr)?,
            Expr::Negative(inner) => self.line(inner)?,
            Expr::Cast(Cast { expr, field }) if is_wide(field.data_type()) => match expr.as_ref() {
                Expr::Column(column) => Some(column.clone()),
                other if field.data_type().is_floating() => self.line(other)?,
                other if self.type_of(other)?.is_signed_integer() => self.line(other)?,
                _ => None,
            },
            Expr::BinaryExpr(binary) => {
                let (left, right) = (&binary.left, &binary.right);
                match (binary.op, is_constant(left), is_constant(right)) {
                    (Operator::Plus | Operator::Minus | Operator::Multiply, false, true) => {
                        self.line(left)?
                    }
                    (Operator::Plus | Operator::Minus | Operator::Multiply, true, false) => {
                        self.line(right)?
                    }
                    (Operator::Divide, false, true) if ty.is_floating() => self.line(left)?,
                    _ => None,
                }
            }
            _ => None,
        })
    }

    /// How many rows have a value in the argument.
    pub fn weight(&self, argument: &Expr, kind: &Argument) -> Result<Expr> {
        let rows = || self.rows.column(&Hidden::Rows);
        Ok(match kind {
            Argument::Channel(of) | Argument::Line(of, _) => self.known(Known::Count, of),
            Argument::Time => rows(),
            _ if matches!(argument, Expr::Literal(value, _) if !value.is_null()) => rows(),
            Argument::Other(Some(of)) => {
                when(argument.clone().is_null(), lit(0i64)).otherwise(self.known(Known::Count, of))?
            }
            _ => when(argument.clone().is_null(), lit(0i64)).otherwise(rows())?,
        })
    }
}

/// Whether a cast to the type keeps numbers as they are, or nearly.
fn is_wide(ty: &DataType) -> bool {
    matches!(ty, DataType::Int64 | DataType::UInt64 | DataType::Float64)
}

/// Whether an expression is null where its column is: it has no branches.
fn is_strict(expression: &Expr) -> bool {
    let branches = [
        "coalesce",
        "nvl",
        "nvl2",
        "ifnull",
        "nullif",
        "concat",
        "concat_ws",
        "greatest",
        "least",
    ];
    let found = expression.exists(|part| {
        Ok(match part {
            Expr::Case(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNotFalse(_)
            | Expr::IsNotUnknown(_) => true,
            Expr::ScalarFunction(call) => branches.contains(&call.name()),
            _ => false,
        })
    });
    !found.unwrap_or(true)
}

/// An expression with another in the place of a column.
pub(super) fn replaced(expression: &Expr, column: &Column, by: &Expr) -> Result<Expr> {
    let found = expression.clone().transform(|part| {
        Ok(match &part {
            Expr::Column(found) if found == column => Transformed::yes(by.clone()),
            _ => Transformed::no(part),
        })
    });
    found.data()
}
