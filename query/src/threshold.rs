//! Where in a column's order a literal lies, also under a cast.
//!
//! Each side of `f(column) = literal`, `<` and so on becomes an `i128`, the *point*: integers as they are, floats by
//! their totalOrder key, decimals by their digits, times in ticks of the literal's unit, dates in days. All casts
//! accepted here keep order (`a <= b` gives `f(a) <= f(b)`), so the keys at or below a literal are found by bisection:
//! at most 65 evaluations of `f`, whatever the types.

use datafusion::arrow::datatypes::{DataType, TimeUnit as ArrowUnit};
use datafusion::common::ScalarValue;
use siltstone_store::schema::ColumnType;
use siltstone_store::value::{Value, f32_of, f64_of, i64_of, key_of_f32, key_of_f64};

use crate::types::{data_type, unit_of};

/// A column, and what it is cast to before it is compared.
#[derive(Debug, Clone)]
pub(crate) struct Operand {
    pub name: String,
    pub ty: ColumnType,
    target: DataType,
}

/// Which keys are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Equal,
    Below,
    NotAbove,
}

/// Whether -0.0 and 0.0 are one point, as they are for the comparison operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Zeros {
    Same,
    Apart,
}

impl Operand {
    /// The column as it is.
    pub fn plain(name: String, ty: ColumnType) -> Self {
        Operand {
            name,
            ty,
            target: data_type(ty),
        }
    }

    /// The column cast to `target`, if that cast never fails and keeps order.
    pub fn cast(name: String, ty: ColumnType, target: &DataType) -> Option<Self> {
        let keeps_order = data_type(ty) == *target
            || match target {
                DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ty == ColumnType::Text,
                DataType::Binary | DataType::LargeBinary | DataType::BinaryView => ty == ColumnType::Bytes,
                DataType::Float64 => ty.is_integer() || ty == ColumnType::F32,
                DataType::Float32 => ty.is_integer(),
                DataType::Decimal128(precision, scale) => {
                    // Twenty digits hold any 64-bit integer.
                    ty.is_integer()
                        && u8::try_from(*scale).is_ok_and(|s| s <= 18 && precision.saturating_sub(s) >= 20)
                }
                DataType::Timestamp(_, zone) => {
                    let utc = zone
                        .as_deref()
                        .is_none_or(|z| matches!(z, "UTC" | "Z" | "+00:00"));
                    utc && matches!(ty, ColumnType::Timestamp(_))
                }
                DataType::Date32 => matches!(ty, ColumnType::Timestamp(_)),
                _ => ty.is_integer() && holds_all(target, ty),
            };
        keeps_order.then(|| Operand {
            name,
            ty,
            target: target.clone(),
        })
    }

    /// The literal as a value of a text or bytes column.
    pub fn bytes_literal(&self, literal: &ScalarValue) -> Option<Value> {
        match (self.ty, literal) {
            (
                ColumnType::Text,
                ScalarValue::Utf8(Some(text))
                | ScalarValue::LargeUtf8(Some(text))
                | ScalarValue::Utf8View(Some(text)),
            ) => Some(Value::Text(text.clone())),
            (
                ColumnType::Bytes,
                ScalarValue::Binary(Some(bytes))
                | ScalarValue::LargeBinary(Some(bytes))
                | ScalarValue::BinaryView(Some(bytes)),
            ) => Some(Value::Bytes(bytes.clone())),
            _ => None,
        }
    }

    /// First and last key on one side of a literal, by the comparison operators; inside, `None` if there is no key.
    pub fn keys(&self, side: Side, literal: &ScalarValue) -> Option<Option<(u64, u64)>> {
        self.bisect(side, literal, Zeros::Same)
    }

    /// First and last key whose bits are the literal's.
    pub fn keys_of_same_bits(&self, literal: &ScalarValue) -> Option<Option<(u64, u64)>> {
        self.bisect(Side::Equal, literal, Zeros::Apart)
    }

    fn bisect(&self, side: Side, literal: &ScalarValue, zeros: Zeros) -> Option<Option<(u64, u64)>> {
        let point = self.literal_point(literal, zeros)?;
        let (lowest, highest) = self.ty.key_range();
        // One after the last key whose point is below (or not above) the literal's; past the range it is `None`.
        let below = self.first_key(lowest, highest, |image| image >= point, zeros)?;
        let not_above = self.first_key(lowest, highest, |image| image > point, zeros)?;
        let last = |end: Option<u64>| end.map_or(highest, |end| end.saturating_sub(1));
        Some(match side {
            Side::Equal => below
                .filter(|start| Some(*start) != not_above)
                .map(|start| (start, last(not_above))),
            Side::Below => (below != Some(lowest)).then(|| (lowest, last(below))),
            Side::NotAbove => (not_above != Some(lowest)).then(|| (lowest, last(not_above))),
        })
    }

    /// First key for whose point `test` holds; it must hold for all keys after one for which it holds.
    fn first_key(
        &self,
        lowest: u64,
        highest: u64,
        test: impl Fn(i128) -> bool,
        zeros: Zeros,
    ) -> Option<Option<u64>> {
        if !test(self.point(highest, zeros)?) {
            return Some(None);
        }
        let (mut low, mut high) = (lowest, highest);
        while low < high {
            let middle = low + (high - low) / 2;
            if test(self.point(middle, zeros)?) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Some(Some(low))
    }

    /// The point of the value with key `key`, after the cast.
    fn point(&self, key: u64, zeros: Zeros) -> Option<i128> {
        let integer = match self.ty {
            ColumnType::F64 => return Some(point_of_f64(f64_of(key), zeros)),
            ColumnType::F32 => {
                let value = f32_of(key);
                return Some(match self.target {
                    DataType::Float64 => point_of_f64(f64::from(value), zeros),
                    _ => point_of_f32(value, zeros),
                });
            }
            ColumnType::Bool | ColumnType::U8 | ColumnType::U16 | ColumnType::U32 | ColumnType::U64 => {
                i128::from(key)
            }
            ColumnType::Text | ColumnType::Bytes => return None,
            _ => i128::from(i64_of(key)),
        };
        Some(match (&self.target, self.ty) {
            #[expect(
                clippy::cast_precision_loss,
                reason = "the cast rounds, and so does arrow's, to nearest even"
            )]
            (DataType::Float64, _) => point_of_f64(integer as f64, zeros),
            #[expect(
                clippy::cast_precision_loss,
                reason = "the cast rounds, and so does arrow's, to nearest even"
            )]
            (DataType::Float32, _) => point_of_f32(integer as f32, zeros),
            (DataType::Decimal128(_, scale), _) => integer * 10i128.pow(u32::try_from(*scale).ok()?),
            (DataType::Timestamp(unit, _), ColumnType::Timestamp(own)) => {
                // Towards zero when it gets coarser, as arrow divides.
                integer * per_second(*unit) / per_second(unit_of(own))
            }
            (DataType::Date32, ColumnType::Timestamp(own)) => {
                integer.div_euclid(per_second(unit_of(own)) * 86_400)
            }
            _ => integer,
        })
    }

    /// The literal's point, if it is of the type that the column is compared as.
    fn literal_point(&self, literal: &ScalarValue, zeros: Zeros) -> Option<i128> {
        if literal.data_type() != self.target {
            return None;
        }
        Some(match *literal {
            ScalarValue::Boolean(Some(v)) => i128::from(v),
            ScalarValue::Int8(Some(v)) => v.into(),
            ScalarValue::Int16(Some(v)) => v.into(),
            ScalarValue::Int32(Some(v)) | ScalarValue::Date32(Some(v)) => v.into(),
            ScalarValue::Int64(Some(v)) => v.into(),
            ScalarValue::UInt8(Some(v)) => v.into(),
            ScalarValue::UInt16(Some(v)) => v.into(),
            ScalarValue::UInt32(Some(v)) => v.into(),
            ScalarValue::UInt64(Some(v)) => v.into(),
            // Widening makes a signalling NaN quiet, so f32 NaNs lose their order among themselves.
            ScalarValue::Float64(Some(v)) if v.is_nan() && self.ty == ColumnType::F32 => return None,
            ScalarValue::Float64(Some(v)) => point_of_f64(v, zeros),
            ScalarValue::Float32(Some(v)) => point_of_f32(v, zeros),
            ScalarValue::Decimal128(Some(v), _, _) => v,
            ScalarValue::TimestampSecond(Some(v), _)
            | ScalarValue::TimestampMillisecond(Some(v), _)
            | ScalarValue::TimestampMicrosecond(Some(v), _)
            | ScalarValue::TimestampNanosecond(Some(v), _) => v.into(),
            _ => return None,
        })
    }
}

/// Whether every value of integer type `ty` is one of `target`.
fn holds_all(target: &DataType, ty: ColumnType) -> bool {
    let bits = u32::try_from(ty.width_bytes() * 8).unwrap_or(u32::MAX);
    let unsigned = matches!(
        ty,
        ColumnType::U8 | ColumnType::U16 | ColumnType::U32 | ColumnType::U64
    );
    let (wide, signed) = match target {
        DataType::Int16 => (16, true),
        DataType::Int32 => (32, true),
        DataType::Int64 => (64, true),
        DataType::UInt16 => (16, false),
        DataType::UInt32 => (32, false),
        DataType::UInt64 => (64, false),
        _ => return false,
    };
    match (unsigned, signed) {
        (true, true) => bits < wide,
        (false, false) => false,
        (true, false) | (false, true) => bits <= wide,
    }
}

fn per_second(unit: ArrowUnit) -> i128 {
    match unit {
        ArrowUnit::Second => 1,
        ArrowUnit::Millisecond => 1_000,
        ArrowUnit::Microsecond => 1_000_000,
        ArrowUnit::Nanosecond => 1_000_000_000,
    }
}

fn point_of_f64(value: f64, zeros: Zeros) -> i128 {
    i128::from(key_of_f64(if value == 0.0 && zeros == Zeros::Same {
        0.0
    } else {
        value
    }))
}

fn point_of_f32(value: f32, zeros: Zeros) -> i128 {
    i128::from(key_of_f32(if value == 0.0 && zeros == Zeros::Same {
        0.0
    } else {
        value
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use siltstone_store::schema::TimeUnit;
    use siltstone_store::value::key_of_i64;

    fn signed(operand: &Operand, side: Side, literal: &ScalarValue) -> Option<(i64, i64)> {
        let keys = operand.keys(side, literal).unwrap();
        keys.map(|(low, high)| (i64_of(low), i64_of(high)))
    }

    #[test]
    fn integers_round_where_the_cast_does() {
        let operand = Operand::cast("i".into(), ColumnType::I64, &DataType::Float64).unwrap();
        let literal = ScalarValue::Float64(Some(9_007_199_254_740_992.0));
        let power = 1 << 53;
        // 2^53 + 1 rounds to 2^53, and 2^53 + 2 does not.
        assert_eq!(signed(&operand, Side::Equal, &literal), Some((power, power + 1)));
        assert_eq!(
            signed(&operand, Side::Below, &literal),
            Some((i64::MIN, power - 1))
        );
        let between = ScalarValue::Float64(Some(2.5));
        assert_eq!(signed(&operand, Side::Equal, &between), None);
        assert_eq!(signed(&operand, Side::NotAbove, &between), Some((i64::MIN, 2)));
        let above = ScalarValue::Float64(Some(f64::NAN));
        assert_eq!(signed(&operand, Side::Below, &above), Some((i64::MIN, i64::MAX)));
    }

    #[test]
    fn times_divide_towards_zero_and_dates_towards_the_past() {
        let ty = ColumnType::Timestamp(TimeUnit::Millisecond);
        let seconds = DataType::Timestamp(ArrowUnit::Second, None);
        let operand = Operand::cast("t".into(), ty, &seconds).unwrap();
        let zero = ScalarValue::TimestampSecond(Some(0), None);
        assert_eq!(signed(&operand, Side::Equal, &zero), Some((-999, 999)));
        let operand = Operand::cast("t".into(), ty, &DataType::Date32).unwrap();
        let first = ScalarValue::Date32(Some(-1));
        assert_eq!(signed(&operand, Side::Equal, &first), Some((-86_400_000, -1)));
    }

    #[test]
    fn zeros_are_one_for_operators_and_two_in_lists() {
        let operand = Operand::plain("f".into(), ColumnType::F64);
        let zero = ScalarValue::Float64(Some(0.0));
        let (minus, plus) = (key_of_f64(-0.0), key_of_f64(0.0));
        assert_eq!(operand.keys(Side::Equal, &zero), Some(Some((minus, plus))));
        assert_eq!(operand.keys(Side::Below, &zero), Some(Some((0, minus - 1))));
        assert_eq!(operand.keys_of_same_bits(&zero), Some(Some((plus, plus))));
    }

    #[test]
    fn only_casts_that_keep_order_and_never_fail() {
        let cast = |ty, target| Operand::cast("c".into(), ty, &target).is_some();
        assert!(cast(ColumnType::U32, DataType::Int64));
        assert!(!cast(ColumnType::U64, DataType::Int64));
        assert!(!cast(ColumnType::I64, DataType::Int32));
        assert!(!cast(ColumnType::I8, DataType::UInt64));
        assert!(!cast(ColumnType::F64, DataType::Int64));
        assert!(!cast(ColumnType::F64, DataType::Float32));
        assert!(cast(ColumnType::Text, DataType::Utf8View));
        assert!(!cast(ColumnType::I64, DataType::LargeUtf8));
        assert!(cast(ColumnType::U64, DataType::Decimal128(20, 0)));
        assert!(!cast(ColumnType::U64, DataType::Decimal128(20, 1)));
        let berlin = DataType::Timestamp(ArrowUnit::Nanosecond, Some("Europe/Berlin".into()));
        assert!(!cast(ColumnType::Timestamp(TimeUnit::Second), berlin));
        let small = Operand::plain("i".into(), ColumnType::I8);
        let literal = ScalarValue::Int8(Some(-3));
        assert_eq!(
            small.keys(Side::Equal, &literal),
            Some(Some((key_of_i64(-3), key_of_i64(-3))))
        );
    }
}
