//! How the parts of a snapshot become partitions, and which order each partition has.
//!
//! Each part of a snapshot (a segment, or the tail) is sorted by (keys, time). Partitions are groups of parts:
//!
//! - Where keys are left over, a partition of one part is sorted by (keys, time); of several parts it is not. So with
//!   no more parts than DataFusion wants partitions, each part is one and the order is declared. With more, parts are
//!   grouped and no order is declared, unless a sort above asks for it ([`ExecutionPlan::try_pushdown_sort`]).
//! - Where no key is left over (a stream without keys, or an equality filter on each), parts that follow each other in
//!   time form a chain that is sorted by time, and a partition is a stretch of a chain.
//!
//! Null keys sort first. When there are none, the order is declared with nulls last, which is what ORDER BY asks for.

use std::sync::Arc;

use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{AcrossPartitions, ConstExpr, EquivalenceProperties, PhysicalSortExpr};
use siltstone_store::predicate::Predicate;
use siltstone_store::snapshot::Snapshot;

use crate::asked::Question;
use crate::error::external;

/// Whether every row that meets the predicate has the same value in `column`.
fn is_pinned(predicate: &Predicate, column: &str) -> bool {
    use std::ops::Bound::Included;
    match predicate {
        Predicate::Interval {
            column: of,
            low: Included(low),
            high: Included(high),
        } => of == column && low == high,
        Predicate::In { column: of, values } => of == column && values.len() == 1,
        Predicate::IsNull { column: of } => of == column,
        Predicate::And(parts) => parts.iter().any(|part| is_pinned(part, column)),
        _ => false,
    }
}

/// Key columns that still vary among the rows that meet the predicate.
fn open_keys(question: &Question) -> Vec<String> {
    let keys = question
        .snapshot
        .schema()
        .keys()
        .iter()
        .map(|key| key.name.clone());
    keys.filter(|key| !is_pinned(&question.predicate, key)).collect()
}

/// The order and the constant columns of what a scan gives back.
///
/// # Errors
/// If the store cannot tell whether keys are null.
pub(crate) fn equivalence(
    question: &Question,
    schema: &SchemaRef,
    sorted: bool,
) -> Result<EquivalenceProperties> {
    let order = if sorted {
        ordering(question, schema)?
    } else {
        Vec::new()
    };
    let orders = (!order.is_empty()).then_some(order);
    let mut equivalence = EquivalenceProperties::new_with_orderings(Arc::clone(schema), orders);
    let keys = question.snapshot.schema().keys().iter();
    let pinned = keys.filter(|key| is_pinned(&question.predicate, &key.name));
    let constants = pinned.filter_map(|key| {
        let column = Column::new(&key.name, schema.index_of(&key.name).ok()?);
        Some(ConstExpr::new(Arc::new(column), AcrossPartitions::Uniform(None)))
    });
    equivalence.add_constants(constants)?;
    Ok(equivalence)
}

/// The order that each partition has, in the columns that are given back.
fn ordering(question: &Question, schema: &SchemaRef) -> Result<Vec<PhysicalSortExpr>> {
    let keys = open_keys(question);
    let mut nulls = 0;
    for key in &keys {
        let null = Predicate::is_null(key.as_str());
        nulls += question.snapshot.count(&null).map_err(external)?;
    }
    // One order only: DataFusion looks at one when it compares null places, whichever others are declared.
    let options = SortOptions {
        descending: false,
        nulls_first: nulls > 0,
    };
    let time = question.snapshot.schema().time_name().to_owned();
    let columns = keys.into_iter().chain([time]);
    let known = columns.map_while(|name| {
        let index = schema.index_of(&name).ok()?;
        Some(PhysicalSortExpr::new(
            Arc::new(Column::new(&name, index)),
            options,
        ))
    });
    Ok(known.collect())
}

/// Divides the parts into partitions, and says whether each comes sorted.
pub(crate) fn divide(question: &Question, wanted: usize) -> (Vec<Vec<usize>>, bool) {
    let snapshot = &question.snapshot;
    let parts = snapshot.part_count();
    if parts == 0 {
        return (vec![Vec::new()], true);
    }
    if open_keys(question).is_empty() {
        let chains = chains(snapshot);
        if chains.len() <= wanted {
            let pieces = wanted / chains.len();
            return (
                chains
                    .iter()
                    .flat_map(|chain| stretches(snapshot, chain, pieces))
                    .collect(),
                true,
            );
        }
    } else if parts <= wanted {
        return ((0..parts).map(|part| vec![part]).collect(), true);
    }
    (
        stretches(snapshot, &(0..parts).collect::<Vec<_>>(), wanted),
        false,
    )
}

/// Parts that follow each other in time, strung together greedily.
fn chains(snapshot: &Snapshot) -> Vec<Vec<usize>> {
    let ranges = snapshot.parts().iter().enumerate();
    let mut ranges: Vec<(i64, i64, usize)> = ranges
        .filter_map(|(part, data)| data.data.time_range().map(|(first, last)| (first, last, part)))
        .collect();
    ranges.sort_unstable();
    let mut chains: Vec<(i64, Vec<usize>)> = Vec::new();
    for (first, last, part) in ranges {
        match chains.iter_mut().find(|(end, _)| *end <= first) {
            Some((end, chain)) => {
                *end = last;
                chain.push(part);
            }
            None => chains.push((last, vec![part])),
        }
    }
    let mut chains: Vec<Vec<usize>> = chains.into_iter().map(|(_, chain)| chain).collect();
    if chains.is_empty() {
        chains.push(Vec::new());
    }
    chains
}

/// Cuts a list of parts into at most `pieces` stretches of about as many rows.
fn stretches(snapshot: &Snapshot, parts: &[usize], pieces: usize) -> Vec<Vec<usize>> {
    let total: u64 = parts.iter().map(|&part| snapshot.part_row_count(part)).sum();
    let target = total.div_ceil(pieces.max(1) as u64).max(1);
    let mut out: Vec<Vec<usize>> = vec![Vec::new()];
    let mut rows = 0;
    for &part in parts {
        // A part goes where its middle row belongs.
        let middle = rows + snapshot.part_row_count(part) / 2;
        if middle / target >= out.len() as u64 && out.last().is_some_and(|last| !last.is_empty()) {
            out.push(Vec::new());
        }
        if let Some(last) = out.last_mut() {
            last.push(part);
        }
        rows += snapshot.part_row_count(part);
    }
    out
}
