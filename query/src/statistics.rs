//! What is known of an answer without reading it, as DataFusion's statistics.

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Statistics};
use siltstone_store::predicate::Predicate;
use siltstone_store::schema::Schema;

use crate::asked::Question;
use crate::types::{column_type, scalar};

/// What is known of the answer without reading it.
///
/// Without a filter: rows, nulls, and the ends of each fixed-width column, exactly. With one: rows only, and exactly
/// only where times and keys decide; counting any other condition could cost as much as the query itself.
pub(crate) fn statistics(
    question: &Question,
    schema: &SchemaRef,
    limit: Option<usize>,
) -> siltstone_store::Result<Statistics> {
    let snapshot = &question.snapshot;
    let mut statistics = Statistics::new_unknown(schema);
    // A scan gives one row a bucket, and questions count what it stands for: the two are not the same then.
    let weighed = snapshot.has_buckets();
    let decided = !weighed && decided_by_runs(&question.predicate, snapshot.schema());
    let rows = if decided {
        snapshot.count(&question.predicate)?
    } else {
        snapshot.row_count()
    };
    let rows = usize::try_from(rows).unwrap_or(usize::MAX);
    statistics.num_rows = match limit {
        Some(limit) if limit < rows => Precision::Inexact(limit),
        _ if decided || (weighed && question.predicate == Predicate::All) => Precision::Exact(rows),
        _ => Precision::Inexact(rows),
    };
    if weighed || question.predicate != Predicate::All || limit.is_some() {
        return Ok(statistics);
    }
    for (field, column) in schema.fields().iter().zip(&mut statistics.column_statistics) {
        let Some(ty) = column_type(snapshot.schema(), field.name()) else {
            continue;
        };
        let values = snapshot.count_values(field.name(), &Predicate::All)?;
        let nulls = rows.saturating_sub(usize::try_from(values).unwrap_or(usize::MAX));
        *column = ColumnStatistics {
            null_count: Precision::Exact(nulls),
            ..ColumnStatistics::new_unknown()
        };
        if ty.is_binary() {
            continue;
        }
        if let Some((low, high)) = snapshot.min_max(field.name(), &Predicate::All)? {
            let exact = |value| scalar(ty, &value).map_or(Precision::Absent, Precision::Exact);
            (column.min_value, column.max_value) = (exact(low), exact(high));
        }
    }
    Ok(statistics)
}

/// Whether only times and keys decide, so that counting costs a search per run.
fn decided_by_runs(predicate: &Predicate, schema: &Schema) -> bool {
    match predicate {
        Predicate::All | Predicate::Nothing | Predicate::Unknown => true,
        Predicate::Interval { column, .. }
        | Predicate::In { column, .. }
        | Predicate::Text { column, .. }
        | Predicate::IsNull { column } => {
            column == schema.time_name() || schema.keys().iter().any(|key| key.name == *column)
        }
        Predicate::And(parts) | Predicate::Or(parts) => {
            parts.iter().all(|part| decided_by_runs(part, schema))
        }
        Predicate::Not(inner) => decided_by_runs(inner, schema),
    }
}
