//! From a channel's values to the numbers a network sees: one affine map per channel, and its exact int8 form.
//!
//! The int8 form is a list of 255 thresholds on the order-preserving keys of the channel's type, found by bisection of
//! the float map. It is exact by construction: a key quantizes to the same int8 whether it is turned into a float
//! first or compared with the thresholds as it is, or as the code that stands for it.

use siltstone_store::error::{Error, Result};
use siltstone_store::predicate::Predicate;
use siltstone_store::schema::ColumnType;
use siltstone_store::snapshot::Snapshot;
use siltstone_store::value::{Value, number_of};

/// Int8 steps in one unit of a normalized value: ±127 steps reach ±7.9 units.
pub const STEPS_PER_UNIT: f32 = 16.0;

/// `z = (x - center) / scale` for one channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalizer {
    /// Value that becomes 0.
    pub center: f64,
    /// Distance that becomes 1; positive and finite.
    pub scale: f64,
}

impl Normalizer {
    /// Leaves values as they are.
    pub const IDENTITY: Normalizer = Normalizer {
        center: 0.0,
        scale: 1.0,
    };

    /// Median and half the distance between the 16 % and 84 % quantiles (one standard deviation, were the values
    /// normal) of a channel's values in rows that meet `predicate`, answered exactly on the store's codes.
    ///
    /// A channel that mostly stands still is scaled by its whole range instead, a constant one by 1.
    ///
    /// # Errors
    /// `InvalidArgument` if no row has a value, or the channel is not numeric.
    pub fn of_channel(snapshot: &Snapshot, channel: &str, predicate: &Predicate) -> Result<Self> {
        let quantile = |q: f64| -> Result<f64> {
            let value = snapshot.quantile(channel, q, predicate)?;
            value
                .and_then(|v| number(&v))
                .filter(|v| v.is_finite())
                .ok_or_else(|| {
                    Error::invalid(format!(
                        "channel {channel:?} has no finite values in the chosen rows; choose others"
                    ))
                })
        };
        let (low, center, high) = (quantile(0.1587)?, quantile(0.5)?, quantile(0.8413)?);
        let mut scale = (high - low) / 2.0;
        let (bottom, top) = (quantile(0.001)?, quantile(0.999)?);
        if !(scale.is_finite() && scale > (top - bottom) * 1e-3) {
            scale = (top - bottom) / 6.0;
        }
        if !(scale.is_finite() && scale > f64::MIN_POSITIVE) {
            scale = 1.0;
        }
        Ok(Normalizer { center, scale })
    }

    /// Mean and standard deviation of `values`; a spread of 0 becomes 1.
    pub fn of_values(values: impl Iterator<Item = f32> + Clone) -> Self {
        let count = values.clone().count().max(1) as f64;
        let center = values.clone().map(f64::from).sum::<f64>() / count;
        let square = values.map(|v| (f64::from(v) - center).powi(2)).sum::<f64>() / count;
        let spread = square.sqrt();
        let scale = if spread.is_finite() && spread > 1e-9 {
            spread
        } else {
            1.0
        };
        Normalizer { center, scale }
    }

    /// The normalized value.
    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "normalized values are kept as f32"
    )]
    pub fn apply(self, value: f64) -> f32 {
        ((value - self.center) / self.scale) as f32
    }

    /// The normalized value in int8 steps of 1 / [`STEPS_PER_UNIT`], saturated at ±127. NaN goes by its sign.
    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "clamped to the range of i8 before the cast"
    )]
    pub fn quantize(self, value: f64) -> i8 {
        if value.is_nan() {
            return if value.is_sign_negative() { -127 } else { 127 };
        }
        let steps = (value - self.center) / self.scale * f64::from(STEPS_PER_UNIT);
        steps.round().clamp(-127.0, 127.0) as i8
    }
}

/// The number that a value stands for.
pub fn number(value: &Value) -> Option<f64> {
    match *value {
        Value::Bool(v) => Some(f64::from(u8::from(v))),
        Value::I64(v) | Value::Timestamp(v) => Some(v as f64),
        Value::U64(v) => Some(v as f64),
        Value::F32(v) => Some(f64::from(v)),
        Value::F64(v) => Some(v),
        Value::Null | Value::Text(_) | Value::Bytes(_) => None,
    }
}

/// [`Normalizer::quantize`] as thresholds on keys: a key's int8 is -128 plus the number of thresholds not above it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quantizer {
    thresholds: Vec<u64>,
}

impl Quantizer {
    /// The thresholds of `normalizer` for keys of a numeric type.
    ///
    /// # Errors
    /// `InvalidArgument` if `ty` is text or bytes, or the scale is not positive and finite.
    pub fn new(ty: ColumnType, normalizer: Normalizer) -> Result<Self> {
        let Normalizer { center, scale } = normalizer;
        if ty.is_binary() || !(center.is_finite() && scale.is_finite() && scale > 0.0) {
            return Err(Error::invalid(format!(
                "a channel of type {ty} cannot be scaled by ({center}, {scale})"
            )));
        }
        let (low, high) = ty.key_range();
        let step_of = |key: u64| i16::from(normalizer.quantize(number_of(ty, key)));
        let mut thresholds = vec![0];
        for step in -126i16..=127 {
            // The smallest key at this step or above; one past the last key when there is none.
            let (mut first, mut end) = (low, high);
            while first < end {
                let middle = first + (end - first) / 2;
                if step_of(middle) >= step {
                    end = middle;
                } else {
                    first = middle + 1;
                }
            }
            if step_of(first) < step {
                // No key of this type gets there, nor to the steps above.
                break;
            }
            thresholds.push(first);
        }
        Ok(Quantizer { thresholds })
    }

    /// At most 255 keys, sorted, some of them equal; the first is 0.
    pub fn thresholds(&self) -> &[u64] {
        &self.thresholds
    }

    /// The int8 of a key.
    #[inline]
    pub fn quantize(&self, key: u64) -> i8 {
        let count = self.thresholds.partition_point(|&threshold| threshold <= key);
        i8::try_from(count as i64 - 128).unwrap_or(i8::MAX)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

    use super::*;
    use proptest::prelude::*;
    use siltstone_store::value::{key_of_f32, key_of_f64, key_of_i64};

    proptest! {
        #[test]
        fn thresholds_equal_the_float_map(
            center in -1e6f64..1e6,
            scale in 1e-6f64..1e6,
            near in -10.0f64..10.0,
            bits in any::<u64>(),
        ) {
            let normalizer = Normalizer { center, scale };
            let double = Quantizer::new(ColumnType::F64, normalizer).unwrap();
            for value in [center + near * scale, f64::from_bits(bits), f64::INFINITY, -0.0] {
                prop_assert_eq!(double.quantize(key_of_f64(value)), normalizer.quantize(value));
            }
            let single = Quantizer::new(ColumnType::F32, normalizer).unwrap();
            let value = (center + near * scale) as f32;
            prop_assert_eq!(single.quantize(key_of_f32(value)), normalizer.quantize(f64::from(value)));
            let integer = Quantizer::new(ColumnType::I64, normalizer).unwrap();
            for value in [(center + near * scale) as i64, bits as i64] {
                prop_assert_eq!(integer.quantize(key_of_i64(value)), normalizer.quantize(value as f64));
            }
            let byte = Quantizer::new(ColumnType::U8, normalizer).unwrap();
            prop_assert_eq!(byte.quantize(bits & 255), normalizer.quantize((bits & 255) as f64));
        }
    }
}
