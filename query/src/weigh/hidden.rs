//! Columns that a stream does not have, for plans in which one row stands for many.
//!
//! | column | of a row that stands for many | of any other |
//! |---|---|---|
//! | `~rows` | how many | 1 |
//! | `~first time`, `~last time` | times of its first and last row | its time |
//! | `~count x` | rows with a value in `x` | 1 or 0 |
//! | `~sum x`, `~total x` | their sum, in the type of `sum(x)` and as a float | the value |
//! | `~least x`, `~most x`, `~first x`, `~last x` | smallest, largest, first and last value | the value |
//! | `~squares x` | squares of the distances from the mean | 0 |
//! | `~values x`, `~ranks x` | values as near as a sketch tells, and how often each stands there | the value, 1 |
//!
//! Where a stream has a column whose name begins so, all of these begin with one `~` more.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, Float32Array, Float64Array, Int64Array, ListArray, StringArray, UInt64Array,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, exec_datafusion_err};
use siltstone_store::batch::BatchColumn;
use siltstone_store::schema::{ColumnType, Schema};
use siltstone_store::snapshot::{Cell, PartRows, Snapshot};
use siltstone_store::value::{key_of_i64, number_of};

use crate::error::external;
use crate::types::{array, column_type, data_type};

/// Name of the column that says how exact a row is.
pub(crate) const PRECISION: &str = "_precision";

/// What a hidden column holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Hidden {
    /// How exact the row is.
    Precision,
    /// Rows that the row stands for.
    Rows,
    /// Time of the first of them.
    FirstTime,
    /// Time of the last of them.
    LastTime,
    /// Something known of the values of a channel in them.
    Of(Known, String),
}

/// What is known of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Known {
    Count,
    Sum,
    Total,
    Least,
    Most,
    First,
    Last,
    Squares,
    Values,
    Ranks,
}

impl Known {
    const ALL: [Known; 10] = [
        Known::Count,
        Known::Sum,
        Known::Total,
        Known::Least,
        Known::Most,
        Known::First,
        Known::Last,
        Known::Squares,
        Known::Values,
        Known::Ranks,
    ];

    fn name(self) -> &'static str {
        match self {
            Known::Count => "count",
            Known::Sum => "sum",
            Known::Total => "total",
            Known::Least => "least",
            Known::Most => "most",
            Known::First => "first",
            Known::Last => "last",
            Known::Squares => "squares",
            Known::Values => "values",
            Known::Ranks => "ranks",
        }
    }

    /// Type for a channel of type `ty`; `None` if nothing like it is known.
    pub fn data_type(self, ty: ColumnType) -> Option<DataType> {
        let number = ty.is_integer() || ty.is_float();
        match self {
            Known::Count => Some(DataType::Int64),
            Known::Least | Known::Most | Known::First | Known::Last if !ty.is_binary() => Some(data_type(ty)),
            Known::Sum if number => Some(sum_type(ty)),
            Known::Total | Known::Squares if number => Some(DataType::Float64),
            Known::Values if number => Some(DataType::List(item(value_type(ty)))),
            Known::Ranks if number => Some(DataType::List(item(DataType::Int64))),
            _ => None,
        }
    }
}

/// Type of `sum(x)`.
fn sum_type(ty: ColumnType) -> DataType {
    match ty {
        ColumnType::U8 | ColumnType::U16 | ColumnType::U32 | ColumnType::U64 => DataType::UInt64,
        _ if ty.is_float() => DataType::Float64,
        _ => DataType::Int64,
    }
}

/// Type in which values are put in order.
fn value_type(ty: ColumnType) -> DataType {
    if ty == ColumnType::F32 {
        DataType::Float32
    } else {
        DataType::Float64
    }
}

fn item(ty: DataType) -> FieldRef {
    Arc::new(Field::new_list_field(ty, true))
}

/// The hidden columns of one stream, by name.
#[derive(Debug, Clone)]
pub(crate) struct HiddenColumns {
    prefix: String,
    columns: Vec<(FieldRef, Hidden)>,
}

impl HiddenColumns {
    /// All of a stream; `_precision` is none of them.
    pub fn of(schema: &Schema) -> HiddenColumns {
        let mut prefix = "~".to_owned();
        let taken = |prefix: &str| {
            schema.time_name().starts_with(prefix)
                || schema.columns().iter().any(|c| c.name.starts_with(prefix))
        };
        while taken(&prefix) {
            prefix.push('~');
        }
        let time = data_type(ColumnType::Timestamp(schema.time_unit()));
        let mut all = vec![
            (Hidden::Rows, DataType::Int64),
            (Hidden::FirstTime, time.clone()),
            (Hidden::LastTime, time),
        ];
        for spec in schema.channels() {
            for known in Known::ALL {
                if let Some(ty) = known.data_type(spec.ty) {
                    all.push((Hidden::Of(known, spec.name.clone()), ty));
                }
            }
        }
        let mut hidden = HiddenColumns {
            prefix,
            columns: Vec::new(),
        };
        let columns = all.into_iter().map(|(column, ty)| {
            let field = Field::new(hidden.name(&column), ty, true);
            (Arc::new(field), column)
        });
        hidden.columns = columns.collect();
        hidden
    }

    /// Name of a column.
    pub fn name(&self, column: &Hidden) -> String {
        match column {
            Hidden::Precision => PRECISION.to_owned(),
            Hidden::Rows => format!("{}rows", self.prefix),
            Hidden::FirstTime => format!("{}first time", self.prefix),
            Hidden::LastTime => format!("{}last time", self.prefix),
            Hidden::Of(known, of) => format!("{}{} {of}", self.prefix, known.name()),
        }
    }

    /// Whether a name is one of these.
    pub fn is_hidden(&self, name: &str) -> bool {
        name.starts_with(&self.prefix)
    }

    /// The columns as fields.
    pub fn fields(&self) -> impl Iterator<Item = &FieldRef> {
        self.columns.iter().map(|(field, _)| field)
    }

    /// The column of a name.
    pub fn find(&self, name: &str) -> Option<&Hidden> {
        if name == PRECISION {
            return Some(&Hidden::Precision);
        }
        let found = self.columns.iter().find(|(field, _)| field.name() == name);
        found.map(|(_, hidden)| hidden)
    }
}

/// One hidden column of some rows of a part. `visible` gives a column of the stream in the same rows, the time included.
///
/// # Errors
/// What the store says of damage.
pub(crate) fn hidden_array(
    hidden: &Hidden,
    snapshot: &Snapshot,
    rows: &PartRows,
    visible: &dyn Fn(&str) -> Result<ArrayRef>,
) -> Result<ArrayRef> {
    let schema = snapshot.schema();
    let count = usize::try_from(rows.rows.row_count()).unwrap_or(usize::MAX);
    let time = ColumnType::Timestamp(schema.time_unit());
    match hidden {
        Hidden::Precision => {
            let precision = snapshot.part_precision(rows.part).map_err(external)?;
            Ok(Arc::new(StringArray::from(vec![precision; count])))
        }
        Hidden::Rows | Hidden::FirstTime | Hidden::LastTime => {
            let found = snapshot.buckets(rows).map_err(external)?;
            Ok(match (hidden, found) {
                (Hidden::Rows, None) => Arc::new(Int64Array::from(vec![1; count])),
                (Hidden::Rows, Some(found)) => integers(found.iter().map(|bucket| bucket.rows)),
                (_, None) => visible(schema.time_name())?,
                (Hidden::FirstTime, Some(found)) => times(time, found.iter().map(|bucket| bucket.first))?,
                (_, Some(found)) => times(time, found.iter().map(|bucket| bucket.last))?,
            })
        }
        Hidden::Of(known, column) => {
            let ty = column_type(schema, column).ok_or_else(|| no_column(column))?;
            if *known == Known::Count {
                return Ok(match snapshot.value_counts(rows, column).map_err(external)? {
                    Some(counts) => integers(counts.into_iter()),
                    None => {
                        let values = visible(column)?;
                        let valid = (0..count).map(|row| u64::from(values.is_valid(row)));
                        integers(valid)
                    }
                });
            }
            if matches!(known, Known::Values | Known::Ranks) {
                let spreads = snapshot.spreads(rows, column).map_err(external)?;
                return match spreads {
                    Some(spreads) => spread_array(*known, ty, &spreads),
                    None => single_array(*known, ty, &visible(column)?),
                };
            }
            match snapshot.cells(rows, column).map_err(external)? {
                Some(cells) => cell_array(*known, ty, &cells),
                None => value_array(*known, ty, visible(column)?),
            }
        }
    }
}

fn no_column(name: &str) -> datafusion::common::DataFusionError {
    exec_datafusion_err!("there is no column {name:?}")
}

fn integers(numbers: impl Iterator<Item = u64>) -> ArrayRef {
    let numbers = numbers.map(|n| i64::try_from(n).unwrap_or(i64::MAX));
    Arc::new(numbers.collect::<Int64Array>())
}

fn times(ty: ColumnType, times: impl Iterator<Item = i64>) -> Result<ArrayRef> {
    let mut column = BatchColumn::new(ty);
    times.for_each(|time| column.push_key(key_of_i64(time)));
    Ok(array(ty, column)?)
}

/// What is known of the values of rows that stand for themselves.
fn value_array(known: Known, ty: ColumnType, values: ArrayRef) -> Result<ArrayRef> {
    Ok(match known {
        Known::Sum => cast(&values, &sum_type(ty))?,
        Known::Total => cast(&values, &DataType::Float64)?,
        Known::Squares => {
            let zeros = vec![0.0; values.len()];
            Arc::new(Float64Array::new(zeros.into(), values.nulls().cloned()))
        }
        _ => values,
    })
}

fn cell_array(known: Known, ty: ColumnType, cells: &[Cell]) -> Result<ArrayRef> {
    let keys = |key: &dyn Fn(&Cell) -> u64| -> Result<ArrayRef> {
        let mut column = BatchColumn::new(ty);
        for cell in cells {
            if cell.count == 0 {
                column.push_null();
            } else {
                column.push_key(key(cell));
            }
        }
        Ok(array(ty, column)?)
    };
    let floats = |number: &dyn Fn(&Cell) -> f64| -> ArrayRef {
        let all = cells.iter().map(|cell| (cell.count > 0).then(|| number(cell)));
        Arc::new(all.collect::<Float64Array>())
    };
    #[expect(clippy::cast_possible_truncation, reason = "DataFusion's sums wrap")]
    Ok(match known {
        Known::Least => keys(&|cell| cell.min)?,
        Known::Most => keys(&|cell| cell.max)?,
        Known::First => keys(&|cell| cell.first)?,
        Known::Last => keys(&|cell| cell.last)?,
        Known::Total => floats(&|cell| cell.sum(ty)),
        Known::Squares => floats(&|cell| cell.squares),
        Known::Sum if ty.is_float() => floats(&|cell| cell.float),
        _ => {
            let all = cells
                .iter()
                .map(|cell| (cell.count > 0).then_some(cell.integer as i64));
            match sum_type(ty) {
                DataType::UInt64 => Arc::new(
                    all.map(|sum| sum.map(i64::cast_unsigned))
                        .collect::<UInt64Array>(),
                ),
                _ => Arc::new(all.collect::<Int64Array>()),
            }
        }
    })
}

fn spread_array(
    known: Known,
    ty: ColumnType,
    spreads: &[siltstone_store::snapshot::Spread],
) -> Result<ArrayRef> {
    let lengths = OffsetBuffer::from_lengths(spreads.iter().map(Vec::len));
    let all = spreads.iter().flatten();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "keys of a narrow float are narrow"
    )]
    let values: ArrayRef = match (known, value_type(ty)) {
        (Known::Ranks, _) => integers(all.map(|&(_, rows)| rows)),
        (_, DataType::Float32) => Arc::new(
            all.map(|&(key, _)| Some(number_of(ty, key) as f32))
                .collect::<Float32Array>(),
        ),
        _ => Arc::new(
            all.map(|&(key, _)| Some(number_of(ty, key)))
                .collect::<Float64Array>(),
        ),
    };
    list(lengths, values, None)
}

fn single_array(known: Known, ty: ColumnType, values: &ArrayRef) -> Result<ArrayRef> {
    let lengths = OffsetBuffer::from_lengths(std::iter::repeat_n(1, values.len()));
    let inner = match known {
        Known::Ranks => Arc::new(Int64Array::from(vec![1; values.len()])) as ArrayRef,
        _ => cast(values, &value_type(ty))?,
    };
    list(lengths, inner, values.nulls().cloned())
}

fn list(offsets: OffsetBuffer<i32>, values: ArrayRef, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
    let field = item(values.data_type().clone());
    Ok(Arc::new(ListArray::try_new(field, offsets, values, nulls)?))
}
