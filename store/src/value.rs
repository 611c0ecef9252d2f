//! Values, and the order-preserving keys they are compared by.
//!
//! Inside the library every value of a fixed-width type is a `u64` *key* whose unsigned order is the order of the
//! values: integers with the sign bit flipped, floats by IEEE 754 totalOrder. So every numeric code path sees one
//! type, and a key always turns back into exactly the bits that came in (NaN payloads and -0.0 too).

use crate::schema::ColumnType;

/// One value of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing was measured.
    Null,
    /// A boolean.
    Bool(bool),
    /// A signed integer (i8 to i64 columns).
    I64(i64),
    /// An unsigned integer (u8 to u64 columns).
    U64(u64),
    /// A 32-bit float.
    F32(f32),
    /// A 64-bit float.
    F64(f64),
    /// A point in time, in the unit of its column.
    Timestamp(i64),
    /// UTF-8 text.
    Text(String),
    /// Any bytes.
    Bytes(Vec<u8>),
}

impl Value {
    /// Whether this is [`Value::Null`].
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The value that `key` stands for in a fixed-width column of type `ty`.
    ///
    /// Keys that no value of the type maps to give the nearest value in order.
    pub fn from_key(ty: ColumnType, key: u64) -> Value {
        match ty {
            ColumnType::Bool => Value::Bool(key != 0),
            ColumnType::I8 | ColumnType::I16 | ColumnType::I32 | ColumnType::I64 => Value::I64(i64_of(key)),
            ColumnType::U8 | ColumnType::U16 | ColumnType::U32 | ColumnType::U64 => Value::U64(key),
            ColumnType::F32 => Value::F32(f32_of(key)),
            ColumnType::F64 => Value::F64(f64_of(key)),
            ColumnType::Timestamp(_) => Value::Timestamp(i64_of(key)),
            ColumnType::Text | ColumnType::Bytes => Value::Null,
        }
    }

    /// The bytes of a text or bytes value.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Text(text) => Some(text.as_bytes()),
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

const SIGN: u64 = 1 << 63;

/// Key of a signed integer.
#[inline]
pub fn key_of_i64(value: i64) -> u64 {
    value as u64 ^ SIGN
}

/// Signed integer of a key.
#[inline]
pub fn i64_of(key: u64) -> i64 {
    (key ^ SIGN) as i64
}

/// Key of a 64-bit float: IEEE 754 totalOrder as unsigned order.
#[inline]
pub fn key_of_f64(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

/// 64-bit float of a key.
#[inline]
pub fn f64_of(key: u64) -> f64 {
    f64::from_bits(if key & SIGN == 0 { !key } else { key & !SIGN })
}

/// Key of a 32-bit float: totalOrder in the low 32 bits.
#[inline]
pub fn key_of_f32(value: f32) -> u64 {
    let bits = value.to_bits();
    u64::from(if bits >> 31 == 0 { bits | 1 << 31 } else { !bits })
}

/// 32-bit float of a key (keys above 32 bits saturate).
#[inline]
pub fn f32_of(key: u64) -> f32 {
    let key = u32::try_from(key).unwrap_or(u32::MAX);
    f32::from_bits(if key >> 31 == 0 { !key } else { key & !(1 << 31) })
}

/// The number that a key of type `ty` stands for, as a 64-bit float (rounded for large integers).
#[inline]
pub fn number_of(ty: ColumnType, key: u64) -> f64 {
    match ty {
        ColumnType::F64 => f64_of(key),
        ColumnType::F32 => f64::from(f32_of(key)),
        ColumnType::Bool
        | ColumnType::U8
        | ColumnType::U16
        | ColumnType::U32
        | ColumnType::U64
        | ColumnType::Text
        | ColumnType::Bytes => key as f64,
        ColumnType::I8 | ColumnType::I16 | ColumnType::I32 | ColumnType::I64 | ColumnType::Timestamp(_) => {
            i64_of(key) as f64
        }
    }
}

/// The next float above a finite one.
pub(crate) fn above(value: f64) -> f64 {
    // From -0.0 the next key is that of 0.0.
    f64_of(key_of_f64(value + 0.0).saturating_add(1))
}

/// The next float below a finite one.
pub(crate) fn below(value: f64) -> f64 {
    -above(-value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_keep_order_and_bits(a in any::<u64>(), b in any::<u64>()) {
            let (x, y) = (f64::from_bits(a), f64::from_bits(b));
            prop_assert_eq!(key_of_f64(x).cmp(&key_of_f64(y)), x.total_cmp(&y));
            prop_assert_eq!(f64_of(key_of_f64(x)).to_bits(), a);
            prop_assert_eq!(key_of_i64(a as i64).cmp(&key_of_i64(b as i64)), (a as i64).cmp(&(b as i64)));
            prop_assert_eq!(i64_of(key_of_i64(a as i64)), a as i64);
        }

        #[test]
        fn f32_keys_keep_order_and_bits(a in any::<u32>(), b in any::<u32>()) {
            let (x, y) = (f32::from_bits(a), f32::from_bits(b));
            prop_assert_eq!(key_of_f32(x).cmp(&key_of_f32(y)), x.total_cmp(&y));
            prop_assert_eq!(f32_of(key_of_f32(x)).to_bits(), a);
        }
    }
}
