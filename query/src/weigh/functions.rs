//! Aggregates of values that stand for many: each comes with how often it stands there.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, ListArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use siltstone_store::column::Moments;

use crate::call::Spread;

/// A measure of spread of (number, sum, squares of the distances from the mean).
pub(crate) fn spread(spread: Spread) -> Arc<AggregateUDF> {
    let types = vec![DataType::Int64, DataType::Float64, DataType::Float64];
    Arc::new(AggregateUDF::from(SpreadOfMany {
        spread,
        name: format!("weighed {}", spread.name()),
        signature: Signature::exact(types, Volatility::Immutable),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SpreadOfMany {
    spread: Spread,
    name: String,
    signature: Signature,
}

impl AggregateUDFImpl for SpreadOfMany {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(MomentsOfMany {
            spread: self.spread,
            all: Moments::default(),
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let field =
            |name: &str, ty: DataType| Arc::new(Field::new(format_state_name(args.name, name), ty, true));
        Ok(vec![
            field("count", DataType::Int64),
            field("mean", DataType::Float64),
            field("squares", DataType::Float64),
        ])
    }
}

#[derive(Debug)]
struct MomentsOfMany {
    spread: Spread,
    all: Moments,
}

impl MomentsOfMany {
    fn add(&mut self, columns: &[ArrayRef], mean: impl Fn(i64, f64) -> f64) -> Result<()> {
        let [counts, means, squares] = columns else {
            return Err(exec_datafusion_err!("moments are three numbers"));
        };
        let counts = counts.as_primitive::<Int64Type>();
        let means = means.as_primitive::<Float64Type>();
        let squares = squares.as_primitive::<Float64Type>();
        for row in 0..counts.len() {
            if counts.is_null(row) || means.is_null(row) || counts.value(row) <= 0 {
                continue;
            }
            let count = counts.value(row);
            self.all = self.all.merge(Moments {
                count: count.unsigned_abs(),
                mean: mean(count, means.value(row)),
                squares: squares.value(row),
            });
        }
        Ok(())
    }
}

impl Accumulator for MomentsOfMany {
    #[expect(clippy::cast_precision_loss, reason = "a mean is rounded")]
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(values, |count, sum| sum / count as f64)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.add(states, |_, mean| mean)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let count = i64::try_from(self.all.count).unwrap_or(i64::MAX);
        Ok(vec![
            ScalarValue::Int64(Some(count)),
            ScalarValue::Float64(Some(self.all.mean)),
            ScalarValue::Float64(Some(self.all.squares)),
        ])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(self.spread.of(&self.all)))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// The `q`-quantile as SQL's `percentile_cont` of (value, how often), both lists or both not. The median is that of 0.5,
/// except that its two middle values are halved in their own type.
pub(crate) fn quantile(q: Option<f64>) -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::from(QuantileOfMany {
        name: match q {
            Some(q) => format!("weighed quantile {q}"),
            None => "weighed median".to_owned(),
        },
        q_bits: q.map(f64::to_bits),
        signature: Signature::variadic_any(Volatility::Immutable),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct QuantileOfMany {
    name: String,
    q_bits: Option<u64>,
    signature: Signature,
}

impl AggregateUDFImpl for QuantileOfMany {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(match arguments.first() {
            Some(DataType::List(item)) => item.data_type().clone(),
            Some(other) => other.clone(),
            None => DataType::Float64,
        })
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(ValuesOfMany {
            q: self.q_bits.map(f64::from_bits),
            narrow: *args.return_field.data_type() == DataType::Float32,
            values: Vec::new(),
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let field = |name: &str, ty: DataType| {
            let list = DataType::List(Arc::new(Field::new_list_field(ty, true)));
            Arc::new(Field::new(format_state_name(args.name, name), list, true))
        };
        Ok(vec![
            field("values", DataType::Float64),
            field("ranks", DataType::Int64),
        ])
    }
}

#[derive(Debug)]
struct ValuesOfMany {
    q: Option<f64>,
    narrow: bool,
    /// Values, and how often each stands there.
    values: Vec<(f64, u64)>,
}

impl ValuesOfMany {
    fn add(&mut self, values: &ArrayRef, ranks: &ArrayRef) -> Result<()> {
        let (values, ranks) = (cast(values, &DataType::Float64)?, cast(ranks, &DataType::Int64)?);
        let (values, ranks) = (
            values.as_primitive::<Float64Type>(),
            ranks.as_primitive::<Int64Type>(),
        );
        let both = values.iter().zip(ranks.iter());
        let both = both.filter_map(|(value, rank)| Some((value?, u64::try_from(rank?).ok()?)));
        self.values.extend(both.filter(|&(_, rank)| rank > 0));
        Ok(())
    }

    fn add_lists(&mut self, values: &ListArray, ranks: &ListArray) -> Result<()> {
        for row in (0..values.len()).filter(|&row| values.is_valid(row) && ranks.is_valid(row)) {
            self.add(&values.value(row), &ranks.value(row))?;
        }
        Ok(())
    }
}

impl Accumulator for ValuesOfMany {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let [values, ranks] = columns else {
            return Err(exec_datafusion_err!(
                "values come with how often they stand there"
            ));
        };
        match (values.as_list_opt::<i32>(), ranks.as_list_opt::<i32>()) {
            // All lists at once where none is null: a null list may have values under it.
            (Some(values), Some(ranks)) if values.null_count() + ranks.null_count() == 0 => {
                let inner = |list: &ListArray| {
                    let offsets = list.value_offsets();
                    let (first, last) = (offsets.first(), offsets.last());
                    let place = |offset: Option<&i32>| {
                        offset.map_or(0, |offset| usize::try_from(*offset).unwrap_or(0))
                    };
                    list.values().slice(place(first), place(last) - place(first))
                };
                self.add(&inner(values), &inner(ranks))
            }
            (Some(values), Some(ranks)) => self.add_lists(values, ranks),
            _ => self.add(values, ranks),
        }
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let list = |values: ArrayRef| -> Result<ScalarValue> {
            let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
            let offsets = OffsetBuffer::from_lengths([values.len()]);
            let list = ListArray::try_new(field, offsets, values, None)?;
            Ok(ScalarValue::List(Arc::new(list)))
        };
        let values = Float64Array::from_iter_values(self.values.iter().map(|&(value, _)| value));
        let ranks = self
            .values
            .iter()
            .map(|&(_, rank)| i64::try_from(rank).unwrap_or(i64::MAX));
        let ranks = Int64Array::from_iter_values(ranks);
        Ok(vec![list(Arc::new(values))?, list(Arc::new(ranks))?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let mut total = 0u64;
        let mut up_to = Vec::with_capacity(self.values.len());
        for &(_, rank) in &self.values {
            total = total.saturating_add(rank);
            up_to.push(total);
        }
        let nth = |k: u64| {
            let place = up_to.partition_point(|&up_to| up_to <= k);
            self.values.get(place).map_or(f64::NAN, |found| found.0)
        };
        let found = match (total, self.q) {
            (0, _) => None,
            (n, None) if n % 2 == 1 => Some(nth(n / 2)),
            (n, None) => Some(self.middle(nth(n / 2 - 1), nth(n / 2))),
            (n, Some(q)) => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    clippy::cast_precision_loss,
                    reason = "a place among values"
                )]
                let (place, below) = {
                    let place = q.clamp(0.0, 1.0) * (n - 1) as f64;
                    (place, place.floor() as u64)
                };
                let (low, high) = (nth(below), nth((below + 1).min(n - 1)));
                #[expect(clippy::cast_precision_loss, reason = "a share of one")]
                let share = place - below as f64;
                Some(if share > 0.0 {
                    low + (high - low) * share
                } else {
                    low
                })
            }
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "narrow values have narrow quantiles"
        )]
        Ok(if self.narrow {
            ScalarValue::Float32(found.map(|found| found as f32))
        } else {
            ScalarValue::Float64(found)
        })
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.capacity() * size_of::<(f64, u64)>()
    }
}

impl ValuesOfMany {
    fn middle(&self, low: f64, high: f64) -> f64 {
        #[expect(clippy::cast_possible_truncation, reason = "narrow values are narrow")]
        if self.narrow {
            f64::from((low as f32 + high as f32) / 2.0)
        } else {
            (low + high) / 2.0
        }
    }
}
