//! Columns of a log frame: packed in one pass, small enough that the log does not dominate what is written.
//!
//! Good at: sensor batches of some hundred rows and more, where a column's values lie close together; a single row
//! costs its plain width and two bytes. Not meant to be asked anything: a frame is read once, after a restart.
//!
//! ```text
//! integers  encoding u8 | body                               (n = number of values, known from the frame)
//!   0 offset   base [width] | bits u8 | n x bits             value = base + packed
//!   1 delta    first [width] | base u64 | bits u8 | (n-1) x bits   value = previous + base + packed, wrapping
//!   2 decimal  digits u8 | encoding 0 or 1 of width 8        float = integer / 10^digits
//!   5 coded    domain u16 | its parameters | exceptions | encoding 0 or 1 of width 8   float = key of its code
//!   6 multiple base [width] | unit u64 | encoding 0 or 1 of width 8    value = base + unit x number, wrapping
//! strings   encoding u8 | body
//!   3 plain    lengths as integers of width 4 | bytes
//!   4 distinct count u32 | count x (length u32, bytes) | bits u8 | n x bits
//! ```
//!
//! `width` is the plain width of the type; `base` and `first` count from the smallest key of the type. Packed numbers
//! follow each other from the lowest bit of the first byte, zero bits fill the last byte.

use std::collections::HashMap;

use crate::batch::ByteColumn;
use crate::domain::{Domain, DomainKind, choose};
use crate::error::Result;
use crate::schema::ColumnType;
use crate::section::Section;
use crate::value::{f32_of, f64_of, i64_of, key_of_f32, key_of_f64, key_of_i64};
use crate::wire::{Reader, Writer};

const OFFSET: u8 = 0;
const DELTA: u8 = 1;
const DECIMAL: u8 = 2;
const PLAIN: u8 = 3;
const DISTINCT: u8 = 4;
const CODED: u8 = 5;
const MULTIPLE: u8 = 6;
/// Bits that numbers as multiples of a unit have to save.
const MULTIPLE_BITS: u64 = 256;

/// Fewest floats for which the domains of segments are weighed.
const FEWEST_CODED: usize = 64;

/// Most digits after the point that floats are tried with.
const MAX_DIGITS: u8 = 9;
/// Most different strings that are told apart by a number.
const MAX_DISTINCT: usize = 4096;
/// Most bytes that a column of repeated strings may unpack to, so that a short frame cannot claim a lot of memory.
const MAX_REPEATED_BYTES: usize = 16 << 20;

/// Packs keys of a fixed-width type.
pub(super) fn pack_keys(ty: ColumnType, keys: &[u64], out: &mut Writer) {
    if ty.is_float() {
        if let Some((digits, integers)) = as_decimals(ty, keys) {
            out.u8(DECIMAL);
            out.u8(digits);
            pack_integers(&integers, 8, out);
            return;
        }
    }
    let mut plain = Writer::new();
    pack_offsets(ty, keys.iter().copied(), &mut plain);
    let coded = (ty.is_float() && keys.len() >= FEWEST_CODED).then(|| pack_coded(ty, keys));
    match coded.flatten().filter(|coded| coded.len() < plain.len()) {
        Some(coded) => out.raw(&coded.into_bytes()),
        None => out.raw(&plain.into_bytes()),
    }
}

fn pack_offsets(ty: ColumnType, keys: impl Iterator<Item = u64>, out: &mut Writer) {
    let low = ty.key_range().0;
    let offsets: Vec<u64> = keys.map(|key| key.wrapping_sub(low)).collect();
    pack_integers(&offsets, ty.width_bytes(), out);
}

/// Floats as codes of the domain that a segment would keep them in; `None` if that is their bits.
///
/// Good at decimals that are no exact ones any more: after arithmetic, or widened from a shorter float.
fn pack_coded(ty: ColumnType, keys: &[u64]) -> Option<Writer> {
    let coded = choose::encode(ty, keys, None);
    if !is_coded(coded.kind) {
        return None;
    }
    let mut out = Writer::new();
    out.u8(CODED);
    out.u16(coded.kind as u16);
    out.bytes(&coded.header);
    out.u32(u32::try_from(coded.exceptions.len()).ok()?);
    let places: Vec<u64> = coded.exceptions.iter().map(|exception| exception.0).collect();
    pack_integers(&places, 4, &mut out);
    pack_offsets(ty, coded.exceptions.iter().map(|exception| exception.1), &mut out);
    pack_integers(&coded.codes, 8, &mut out);
    Some(out)
}

/// Domains that floats are packed in.
fn is_coded(kind: DomainKind) -> bool {
    kind.has_grid() || kind == DomainKind::Dictionary
}

fn unpack_coded(ty: ColumnType, count: usize, input: &mut Reader<'_>) -> Result<Vec<u64>> {
    let kind = input.u16()?;
    let parameters = input.bytes()?.to_vec();
    let Some(kind) = DomainKind::from_code(kind).filter(|kind| is_coded(*kind)) else {
        return Err(input.corrupt(format!("{kind} is no domain of floats")));
    };
    let opened = Domain::open(kind, ty, Section::from_vec(parameters));
    let (domain, _) = opened.map_err(|error| input.corrupt(error.to_string()))?;
    let exceptions = input.u32()? as usize;
    if exceptions > count {
        return Err(input.corrupt(format!("{exceptions} exceptions of {count} values")));
    }
    let encoding = input.u8()?;
    let places = unpack_integers(encoding, exceptions, 4, input)?;
    let encoding = input.u8()?;
    let others = unpack_integers(encoding, exceptions, ty.width_bytes(), input)?;
    let encoding = input.u8()?;
    let mut keys = unpack_integers(encoding, count, 8, input)?;
    let turned = domain.keys(&mut keys);
    turned.map_err(|error| input.corrupt(error.to_string()))?;
    let low = ty.key_range().0;
    for (place, other) in places.into_iter().zip(others) {
        let slot = usize::try_from(place).ok().and_then(|place| keys.get_mut(place));
        match slot {
            Some(slot) => *slot = other.wrapping_add(low),
            None => return Err(input.corrupt(format!("value {place} of {count}"))),
        }
    }
    Ok(keys)
}

/// Unpacks `count` keys of a fixed-width type.
pub(super) fn unpack_keys(ty: ColumnType, count: usize, input: &mut Reader<'_>) -> Result<Vec<u64>> {
    let (low, high) = ty.key_range();
    let encoding = input.u8()?;
    if encoding == DECIMAL && ty.is_float() {
        let digits = input.u8()?;
        if digits > MAX_DIGITS {
            return Err(input.corrupt(format!("{digits} digits after the point")));
        }
        let inner = input.u8()?;
        let mut keys = unpack_integers(inner, count, 8, input)?;
        keys.iter_mut().for_each(|key| *key = float_key(ty, *key, digits));
        return Ok(keys);
    }
    let keys = if encoding == CODED && ty.is_float() {
        unpack_coded(ty, count, input)?
    } else {
        let mut keys = unpack_integers(encoding, count, ty.width_bytes(), input)?;
        keys.iter_mut().for_each(|key| *key = key.wrapping_add(low));
        keys
    };
    if keys.iter().any(|key| !(low..=high).contains(key)) {
        return Err(input.corrupt(format!("a value outside type {ty}")));
    }
    Ok(keys)
}

/// Packs strings.
pub(super) fn pack_strings<'a>(strings: impl Iterator<Item = &'a [u8]> + Clone, out: &mut Writer) {
    if let Some((distinct, codes)) = as_distinct(strings.clone()) {
        out.u8(DISTINCT);
        out.u32(u32::try_from(distinct.len()).unwrap_or(u32::MAX));
        distinct.iter().for_each(|string| out.bytes(string));
        pack_bits(&codes, bits_of(distinct.len() as u64 - 1), out);
        return;
    }
    out.u8(PLAIN);
    let lengths: Vec<u64> = strings.clone().map(|string| string.len() as u64).collect();
    pack_integers(&lengths, 4, out);
    strings.for_each(|string| out.raw(string));
}

/// Unpacks `count` strings.
pub(super) fn unpack_strings(count: usize, input: &mut Reader<'_>) -> Result<ByteColumn> {
    let mut out = ByteColumn::default();
    match input.u8()? {
        PLAIN => {
            let encoding = input.u8()?;
            for length in unpack_integers(encoding, count, 4, input)? {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                out.push(input.raw(length)?);
            }
        }
        DISTINCT => {
            let distinct = input.count(4)?;
            if distinct == 0 || distinct > MAX_DISTINCT {
                return Err(input.corrupt(format!("{distinct} different strings")));
            }
            let strings: Vec<&[u8]> = (0..distinct).map(|_| input.bytes()).collect::<Result<_>>()?;
            for code in unpack_bits(count, input)? {
                let string = usize::try_from(code).ok().and_then(|code| strings.get(code));
                let Some(string) = string else {
                    return Err(input.corrupt(format!("string {code} of {distinct}")));
                };
                if out.bytes().len() + string.len() > MAX_REPEATED_BYTES {
                    return Err(input.corrupt("repeated strings take too many bytes"));
                }
                out.push(string);
            }
        }
        other => return Err(input.corrupt(format!("{other} is no encoding of strings"))),
    }
    Ok(out)
}

/// How integers are packed, as offsets or as steps.
struct Plan {
    low: u64,
    bits: u32,
    step_low: i64,
    step_bits: u32,
    is_delta: bool,
    /// Bits of all packed numbers, and of what delta has more than offset.
    cost: u64,
}

impl Plan {
    fn of(values: &[u64]) -> Plan {
        let low = values.iter().copied().min().unwrap_or(0);
        let span = values.iter().map(|v| v - low).max().unwrap_or(0);
        // Steps compare as signed numbers: a falling signal has small negative ones.
        let steps = || values.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]) as i64);
        let step_low = steps().min().unwrap_or(0);
        let step_span = steps()
            .map(|s| s.wrapping_sub(step_low) as u64)
            .max()
            .unwrap_or(0);
        let (bits, step_bits) = (bits_of(span), bits_of(step_span));
        let offset_cost = u64::from(bits) * values.len() as u64;
        let step_cost = u64::from(step_bits) * values.len().saturating_sub(1) as u64 + 64;
        Plan {
            low,
            bits,
            step_low,
            step_bits,
            is_delta: step_cost < offset_cost,
            cost: step_cost.min(offset_cost),
        }
    }

    fn pack(&self, values: &[u64], width: usize, out: &mut Writer) {
        if self.is_delta {
            let first = values.first().copied().unwrap_or(0);
            let steps = values.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]));
            let packed: Vec<u64> = steps.map(|s| s.wrapping_sub(self.step_low as u64)).collect();
            out.u8(DELTA);
            out.raw(&first.to_le_bytes()[..width]);
            out.i64(self.step_low);
            pack_bits(&packed, self.step_bits, out);
        } else {
            let packed: Vec<u64> = values.iter().map(|v| v - self.low).collect();
            out.u8(OFFSET);
            out.raw(&self.low.to_le_bytes()[..width]);
            pack_bits(&packed, self.bits, out);
        }
    }
}

fn pack_integers(values: &[u64], width: usize, out: &mut Writer) {
    let plan = Plan::of(values);
    let unit = if plan.cost > MULTIPLE_BITS {
        common_unit(values, plan.low)
    } else {
        1
    };
    if unit > 1 {
        let numbers: Vec<u64> = values.iter().map(|v| (v - plan.low) / unit).collect();
        let counted = Plan::of(&numbers);
        if counted.cost + MULTIPLE_BITS < plan.cost {
            out.u8(MULTIPLE);
            out.raw(&plan.low.to_le_bytes()[..width]);
            out.u64(unit);
            counted.pack(&numbers, 8, out);
            return;
        }
    }
    plan.pack(values, width, out);
}

/// What all `values` are a multiple of above `low`; 1 if that is nothing. Ends early where it is nothing.
fn common_unit(values: &[u64], low: u64) -> u64 {
    let mut unit = 0;
    for value in values {
        let (mut a, mut b) = (value - low, unit);
        while b > 0 {
            (a, b) = (b, a % b);
        }
        unit = a;
        if unit == 1 {
            break;
        }
    }
    unit.max(1)
}

fn unpack_integers(encoding: u8, count: usize, width: usize, input: &mut Reader<'_>) -> Result<Vec<u64>> {
    let mut base = [0; 8];
    let (low, _) = base.split_at_mut(width);
    low.copy_from_slice(input.raw(width)?);
    let base = u64::from_le_bytes(base);
    match encoding {
        OFFSET => {
            let mut values = unpack_bits(count, input)?;
            values
                .iter_mut()
                .for_each(|value| *value = value.wrapping_add(base));
            Ok(values)
        }
        DELTA => {
            let step_low = input.i64()? as u64;
            let steps = unpack_bits(count.saturating_sub(1), input)?;
            let mut value = base;
            let mut values = Vec::with_capacity(count);
            if count > 0 {
                values.push(value);
            }
            for step in steps {
                value = value.wrapping_add(step_low).wrapping_add(step);
                values.push(value);
            }
            Ok(values)
        }
        MULTIPLE => {
            let unit = input.u64()?;
            let inner = input.u8()?;
            if inner != OFFSET && inner != DELTA {
                return Err(input.corrupt(format!("{inner} is no encoding of multiples")));
            }
            let mut numbers = unpack_integers(inner, count, 8, input)?;
            let value = |number: u64| base.wrapping_add(unit.wrapping_mul(number));
            numbers.iter_mut().for_each(|number| *number = value(*number));
            Ok(numbers)
        }
        other => Err(input.corrupt(format!("{other} is no encoding of numbers"))),
    }
}

fn bits_of(value: u64) -> u32 {
    64 - value.leading_zeros()
}

#[expect(clippy::cast_possible_truncation, reason = "bytes are cut off a wider word")]
fn pack_bits(values: &[u64], bits: u32, out: &mut Writer) {
    out.u8(bits as u8);
    let (mut word, mut filled) = (0u128, 0u32);
    for &value in values {
        word |= u128::from(value) << filled;
        filled += bits;
        while filled >= 8 {
            out.u8(word as u8);
            word >>= 8;
            filled -= 8;
        }
    }
    if filled > 0 {
        out.u8(word as u8);
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "bits are masked out of a wider word"
)]
fn unpack_bits(count: usize, input: &mut Reader<'_>) -> Result<Vec<u64>> {
    let bits = u32::from(input.u8()?);
    if bits > 64 {
        return Err(input.corrupt(format!("{bits} bits a number")));
    }
    let bytes = (count as u64 * u64::from(bits)).div_ceil(8);
    let bytes = input.raw(usize::try_from(bytes).unwrap_or(usize::MAX))?;
    let mask = if bits == 64 { u64::MAX } else { (1 << bits) - 1 };
    let (mut word, mut filled) = (0u128, 0u32);
    let mut bytes = bytes.iter();
    let mut out = Vec::with_capacity(count);
    for _ in 0..count {
        while filled < bits {
            word |= u128::from(bytes.next().copied().unwrap_or(0)) << filled;
            filled += 8;
        }
        out.push(word as u64 & mask);
        word >>= bits;
        filled -= bits;
    }
    Ok(out)
}

/// Powers of ten are exact in a float, so a division by one rounds once and gives the float nearest to the decimal.
const POWERS: [f64; MAX_DIGITS as usize + 1] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

fn float_key(ty: ColumnType, integer: u64, digits: u8) -> u64 {
    let float = i64_of(integer) as f64 / POWERS[usize::from(digits.min(MAX_DIGITS))];
    match ty {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the writer checked that the narrow float comes back"
        )]
        ColumnType::F32 => key_of_f32(float as f32),
        _ => key_of_f64(float),
    }
}

/// Integers that give all these floats back, bit for bit, after a division by a power of ten.
fn as_decimals(ty: ColumnType, keys: &[u64]) -> Option<(u8, Vec<u64>)> {
    let mut digits = 0;
    for &key in keys {
        while scaled(ty, key, digits).is_none() {
            digits += 1;
            if digits > MAX_DIGITS {
                return None;
            }
        }
    }
    let integers = keys
        .iter()
        .map(|&key| scaled(ty, key, digits))
        .collect::<Option<Vec<u64>>>()?;
    (!keys.is_empty()).then_some((digits, integers))
}

fn scaled(ty: ColumnType, key: u64, digits: u8) -> Option<u64> {
    let float = if ty == ColumnType::F32 {
        f64::from(f32_of(key))
    } else {
        f64_of(key)
    };
    let integer = (float * POWERS[usize::from(digits)]).round();
    if integer.abs() >= 9e15 || integer.is_nan() {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "an integer below 2^53")]
    let integer = key_of_i64(integer as i64);
    (float_key(ty, integer, digits) == key).then_some(integer)
}

/// The different strings in order of appearance, and the number of each string, if that saves bytes.
fn as_distinct<'a>(strings: impl Iterator<Item = &'a [u8]> + Clone) -> Option<(Vec<&'a [u8]>, Vec<u64>)> {
    let (mut numbers, mut distinct, mut codes) = (HashMap::new(), Vec::new(), Vec::new());
    let (mut plain_bytes, mut distinct_bytes) = (0usize, 0usize);
    for string in strings {
        plain_bytes += string.len() + 1;
        let number = *numbers.entry(string).or_insert_with(|| {
            distinct.push(string);
            distinct_bytes += string.len() + 4;
            distinct.len() as u64 - 1
        });
        codes.push(number);
        // Log lines rarely repeat: give up once it is clear that this will not pay.
        if distinct.len() > MAX_DISTINCT || (codes.len() > 64 && distinct.len() * 4 > codes.len() * 3) {
            return None;
        }
    }
    let code_bytes = codes.len() * bits_of(distinct.len().max(1) as u64 - 1) as usize / 8;
    let pays = distinct_bytes + code_bytes + 6 < plain_bytes && plain_bytes <= MAX_REPEATED_BYTES;
    pays.then_some((distinct, codes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn key_round_trip(ty: ColumnType, keys: &[u64]) -> usize {
        let mut out = Writer::new();
        pack_keys(ty, keys, &mut out);
        let bytes = out.into_bytes();
        let mut input = Reader::new(&bytes, "memory", "column");
        assert_eq!(unpack_keys(ty, keys.len(), &mut input).unwrap(), keys);
        assert_eq!(input.left(), 0);
        bytes.len()
    }

    proptest! {
        #[test]
        fn keys_come_back(
            code in 1u8..16,
            start in any::<u64>(),
            steps in proptest::collection::vec((any::<u64>(), 0u32..64), 0..70),
        ) {
            let ty = ColumnType::from_code(code).unwrap();
            let (low, high) = ty.key_range();
            let mut key = start;
            let keys: Vec<u64> = steps
                .iter()
                .map(|(step, shift)| {
                    key = key.wrapping_add(step >> shift);
                    if high - low == u64::MAX { key } else { low + key % (high - low + 1) }
                })
                .collect();
            key_round_trip(ty, &keys);
        }

        #[test]
        fn decimals_come_back(values in proptest::collection::vec((-100_000i64..100_000, 0u8..5), 0..50)) {
            let float = |&(v, d): &(i64, u8)| v as f64 / POWERS[usize::from(d)];
            let keys: Vec<u64> = values.iter().map(|v| key_of_f64(float(v))).collect();
            key_round_trip(ColumnType::F64, &keys);
            #[expect(clippy::cast_possible_truncation)]
            let keys: Vec<u64> = values.iter().map(|v| key_of_f32(float(v) as f32)).collect();
            key_round_trip(ColumnType::F32, &keys);
        }

        #[test]
        fn near_decimals_come_back(
            values in proptest::collection::vec((-100_000i64..100_000, 0u64..5, 0u8..20), 64..200),
            through in 0u8..3,
        ) {
            let keys: Vec<u64> = values.iter().map(|&(v, off, odd)| {
                let decimal = v as f64 / 100.0;
                #[expect(clippy::cast_possible_truncation)]
                let single = f64::from(decimal as f32);
                match (odd, through) {
                    (0, _) => off.wrapping_mul(0x9e37_79b9_7f4a_7c15),
                    (_, 0) => key_of_f64(decimal).wrapping_add(off),
                    (_, 1) => key_of_f64(single),
                    _ => key_of_f64(f64::from(u8::try_from(off).unwrap()) * 0.3 + 0.1),
                }
            }).collect();
            key_round_trip(ColumnType::F64, &keys);
        }

        #[test]
        fn strings_come_back(strings in proptest::collection::vec("[ab]{0,3}|[a-z]{0,40}", 0..80)) {
            let mut out = Writer::new();
            pack_strings(strings.iter().map(String::as_bytes), &mut out);
            let bytes = out.into_bytes();
            let mut input = Reader::new(&bytes, "memory", "column");
            let back = unpack_strings(strings.len(), &mut input).unwrap();
            prop_assert_eq!(input.left(), 0);
            let back: Vec<&[u8]> = (0..back.len()).map(|i| back.get(i)).collect();
            prop_assert_eq!(back, strings.iter().map(String::as_bytes).collect::<Vec<_>>());
        }
    }

    #[test]
    fn close_values_take_few_bytes() {
        let clock: Vec<u64> = (0..1000)
            .map(|i| key_of_i64(1_700_000_000_000_000_000 + i * 1_000_000))
            .collect();
        assert_eq!(key_round_trip(ColumnType::I64, &clock), 18);
        // Five minutes in nanoseconds, with gaps of some hours.
        let gaps: Vec<u64> = (0..1000)
            .map(|i| key_of_i64((i + i / 100 * 40) * 300_000_000_000))
            .collect();
        assert!(key_round_trip(ColumnType::I64, &gaps) < 800);
        let decimals: Vec<u64> = (0..1000)
            .map(|i| key_of_f64(20.0 + f64::from(i % 16) / 10.0))
            .collect();
        assert!(key_round_trip(ColumnType::F64, &decimals) < 700);
        assert_eq!(key_round_trip(ColumnType::I8, &[key_of_i64(-7)]), 3);
        // Of 64 bits a value: two digits that went through a 32-bit float, and nine digits after some arithmetic.
        let widened: Vec<u64> = (0..1000)
            .map(|i| key_of_f64(f64::from((i * 7 % 1000) as f32 / 100.0)))
            .collect();
        assert!(key_round_trip(ColumnType::F64, &widened) < 1400);
        let moved: Vec<u64> = (0..1000u64)
            .map(|i| key_of_f64(80.0 + (i * 7_654_321 % 1_000_000_007) as f64 / 1e9) + i % 3)
            .collect();
        assert!(key_round_trip(ColumnType::F64, &moved) < 4500);
        for special in [f64::NAN, -0.0, f64::INFINITY, f64::MIN_POSITIVE] {
            assert_eq!(key_round_trip(ColumnType::F64, &[key_of_f64(special)]), 10);
        }
    }

    #[test]
    fn damaged_codes_never_panic() {
        let near = |i: u64| key_of_f64((i * 7 % 1000) as f64 / 100.0) + i % 3;
        let widened = |i: u64| key_of_f64(f64::from((i * 7 % 1000) as f32 / 100.0));
        let few = |i: u64| key_of_f64((1.0 + (i * i % 5) as f64).sqrt());
        let mut whole = Writer::new();
        pack_integers(
            &(0..100).map(|i| i * i % 7 * 1000).collect::<Vec<u64>>(),
            8,
            &mut whole,
        );
        let whole = whole.into_bytes();
        assert_eq!(whole[0], MULTIPLE);
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            let _ = unpack_keys(ColumnType::I64, 100, &mut Reader::new(&bytes, "f", "s"));
        }
        let mut packed = 0;
        for value in [near as fn(u64) -> u64, widened, few] {
            let mut keys: Vec<u64> = (0..100).map(value).collect();
            keys[7] = key_of_f64(f64::NAN);
            let mut out = Writer::new();
            pack_keys(ColumnType::F64, &keys, &mut out);
            let bytes = out.into_bytes();
            packed += usize::from(bytes[0] == CODED);
            for at in 0..bytes.len() {
                for flip in [1, 0x80, 0xff] {
                    let mut bytes = bytes.clone();
                    bytes[at] ^= flip;
                    let _ = unpack_keys(ColumnType::F64, keys.len(), &mut Reader::new(&bytes, "f", "s"));
                }
                let cut = unpack_keys(
                    ColumnType::F64,
                    keys.len(),
                    &mut Reader::new(&bytes[..at], "f", "s"),
                );
                assert!(cut.is_err());
            }
        }
        assert_eq!(packed, 3);
    }

    #[test]
    fn hostile_claims_are_refused() {
        let unpack =
            |bytes: &[u8], count| unpack_keys(ColumnType::I64, count, &mut Reader::new(bytes, "f", "s"));
        assert!(unpack(&[OFFSET, 0, 0, 0, 0, 0, 0, 0, 0, 65], 1).is_err());
        assert!(unpack(&[OFFSET, 0, 0, 0, 0, 0, 0, 0, 0, 64, 1], 1 << 30).is_err());
        assert!(unpack(&[DECIMAL, 1, 0], 1).is_err());
        let strings = |bytes: &[u8]| unpack_strings(1, &mut Reader::new(bytes, "f", "s"));
        assert!(strings(&[DISTINCT, 255, 255, 255, 255]).is_err());
        assert!(strings(&[DISTINCT, 1, 0, 0, 0, 1, 0, 0, 0, 7, 8, 1]).is_err());
    }
}
