//! Columns as conditions name them, and expressions that have no place in a condition.

use siltstone_store::schema::ColumnType;
use sqlparser::ast::Expr;

/// A column named in a condition.
#[derive(Debug, Clone)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: ColumnType,
}

/// What cannot be translated, and what understands it.
pub fn unsupported(expression: &Expr) -> String {
    let piece = match expression {
        Expr::Function(function) => format!("the function {}", function.name),
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => "a subquery".to_owned(),
        Expr::CompoundFieldAccess { .. } => {
            format!("{expression} (a name with brackets stands in double quotes)")
        }
        Expr::Value(_) => format!("{expression} where a column is needed"),
        other => other.to_string(),
    };
    format!("{piece} is not supported in --where; silt sql understands all of SQL")
}
