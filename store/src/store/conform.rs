//! Batches whose shape differs from the stream's: columns by name, types widened where nothing is lost.

use std::borrow::Cow;

use crate::batch::{Batch, BatchColumn, ColumnData};
use crate::error::{Error, Result};
use crate::schema::{ColumnType, SharedSchema};
use crate::value::{Value, key_of_f32, key_of_f64, key_of_i64};

/// The batch with one column for each of the stream's, in the stream's order; columns it does not have are null.
///
/// # Errors
/// `InvalidArgument` if the clock differs, or a column is unknown or would lose something.
pub(super) fn conform<'a>(batch: &'a Batch, schema: &SharedSchema) -> Result<Cow<'a, Batch>> {
    let given = batch.schema();
    if (given.time_name(), given.time_unit()) != (schema.time_name(), schema.time_unit()) {
        return Err(Error::invalid(format!(
            "the rows' time column is {:?} in {}, the stream's is {:?} in {}",
            given.time_name(),
            given.time_unit().symbol(),
            schema.time_name(),
            schema.time_unit().symbol()
        )));
    }
    let alike = given.columns().len() == schema.columns().len()
        && given
            .columns()
            .iter()
            .zip(schema.columns())
            .all(|(a, b)| a.name == b.name && a.ty == b.ty);
    if alike {
        return Ok(Cow::Borrowed(batch));
    }
    if let Some(unknown) = given.columns().iter().find(|c| schema.column(&c.name).is_none()) {
        return Err(Error::invalid(format!(
            "the stream has no column {:?}; add it with `add_channels` first",
            unknown.name
        )));
    }
    let mut out = Batch::new(schema.clone());
    out.times = batch.times.clone();
    for (spec, column) in schema.columns().iter().zip(&mut out.columns) {
        match given.position(&spec.name) {
            Some(position) => {
                let from = given.columns()[position].ty;
                *column = widen(&batch.columns[position], from, spec.ty).ok_or_else(|| {
                    Error::invalid(format!(
                        "column {:?} holds {}, and not every {from} fits it",
                        spec.name, spec.ty
                    ))
                })?;
            }
            None => (0..batch.len()).for_each(|_| column.push_null()),
        }
    }
    Ok(Cow::Owned(out))
}

/// The column as type `to`; `None` if a value of type `from` could lose something.
pub(super) fn widen(column: &BatchColumn, from: ColumnType, to: ColumnType) -> Option<BatchColumn> {
    if from == to || (from, to) == (ColumnType::Text, ColumnType::Bytes) {
        return Some(column.clone());
    }
    let (width, float) = (from.width_bytes(), to.is_float());
    let fits = match (from.is_integer(), to.is_integer()) {
        (true, true) => {
            let (low, high) = to.key_range();
            let bounds = from.key_range();
            let key = |key| integer_key(from, key, to);
            key(bounds.0).is_some_and(|k| k >= low) && key(bounds.1).is_some_and(|k| k <= high)
        }
        (true, false) => float && width < to.width_bytes(),
        _ => (from, to) == (ColumnType::F32, ColumnType::F64),
    };
    let ColumnData::Keys(keys) = &column.data else {
        return None;
    };
    let convert = |key: u64| match (Value::from_key(from, key), to) {
        (Value::F32(v), _) => Some(key_of_f64(f64::from(v))),
        (Value::I64(v), ColumnType::F64) => Some(key_of_f64(v as f64)),
        (Value::U64(v), ColumnType::F64) => Some(key_of_f64(v as f64)),
        (Value::I64(v), ColumnType::F32) => Some(key_of_f32(v as f32)),
        (Value::U64(v), ColumnType::F32) => Some(key_of_f32(v as f32)),
        _ => integer_key(from, key, to),
    };
    if !fits {
        return None;
    }
    // A null row's placeholder means nothing in either type.
    let converted = keys.iter().map(|&key| convert(key).unwrap_or(0));
    Some(BatchColumn {
        data: ColumnData::Keys(converted.collect()),
        validity: column.validity.clone(),
    })
}

fn integer_key(from: ColumnType, key: u64, to: ColumnType) -> Option<u64> {
    let unsigned = |ty: ColumnType| {
        matches!(
            ty,
            ColumnType::U8 | ColumnType::U16 | ColumnType::U32 | ColumnType::U64
        )
    };
    match (unsigned(from), unsigned(to)) {
        (true, false) => i64::try_from(key).ok().map(key_of_i64),
        (false, true) => None,
        _ => Some(key),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn widening_keeps_every_value_or_is_refused() {
        let types: Vec<ColumnType> = (1..=17).filter_map(ColumnType::from_code).collect();
        for &from in &types {
            for &to in &types {
                let mut column = BatchColumn::new(from);
                let (low, high) = from.key_range();
                if from.is_binary() {
                    column.push_bytes(b"x");
                } else {
                    column.push_key(low);
                    column.push_key(high);
                }
                column.push_null();
                let Some(wide) = widen(&column, from, to) else {
                    continue;
                };
                for row in 0..column.len() {
                    let (before, after) = (column.value(from, row), wide.value(to, row));
                    let mut direct = BatchColumn::new(to);
                    match (&before, to) {
                        (Value::F32(v), _) if v.is_nan() => continue,
                        (Value::F64(v), _) if v.is_nan() => continue,
                        (Value::Text(text), ColumnType::Bytes) => direct.push_bytes(text.as_bytes()),
                        _ => direct.push_value(to, &before).unwrap(),
                    }
                    assert_eq!(direct.value(to, 0), after, "{from} as {to}");
                }
            }
        }
        let column = BatchColumn::new(ColumnType::I64);
        assert!(widen(&column, ColumnType::I64, ColumnType::F64).is_none());
        assert!(widen(&column, ColumnType::I64, ColumnType::I32).is_none());
        assert!(widen(&column, ColumnType::U32, ColumnType::I64).is_some());
        assert!(widen(&column, ColumnType::U64, ColumnType::I64).is_none());
    }
}
