//! A sorted list of the distinct keys; a code is a place in it.
//!
//! Good at: few distinct values that lie on no decimal grid (32-bit readings printed as 64-bit floats, enumerations
//! with wide gaps). Strictly monotone, so there are no residues.
//!
//! ```text
//! offset  width  field
//!      0      8  n       number of codes
//!      8      8  k       number of distinct keys, 1 to 65,536
//!     16      8  first   smallest key
//!     24      -  packed bits: for each 64 further keys or less: 7 bits w, then for each of them w bits: how far it is
//!                above the one before, less one; then zeros up to a byte, and 16 zero bytes
//! ```

#![allow(clippy::cast_possible_truncation, reason = "at most 2^16 keys, and hashes")]

use std::sync::OnceLock;

use crate::column::packed::{BitWriter, PADDING_BYTES, read, width_of};
use crate::error::Result;
use crate::section::Section;

/// Bytes before the packed bits.
const HEADER_BYTES: u64 = 24;
/// Most keys of a dictionary.
pub(crate) const MOST_KEYS: usize = 1 << 16;
/// Keys that share a width.
const RUN: usize = 64;
/// Bits of a width.
const WIDTH_BITS: u32 = 7;

/// The distinct keys among some, and which of them each is.
#[derive(Debug)]
pub(crate) struct Distinct {
    /// Ascending.
    sorted: Vec<u64>,
    /// For each key, when it was first seen; and where such a key is in `sorted`.
    seen: Vec<u32>,
    places: Vec<u32>,
}

impl Distinct {
    /// The distinct keys, if there are at most `limit`.
    pub(crate) fn of(keys: &[u64], limit: usize) -> Option<Distinct> {
        // Open addressing; a slot holds one more than the place in the order of appearance.
        let mut slots = vec![0u32; 1 << 10];
        let mut found: Vec<u64> = Vec::new();
        let mut seen = Vec::with_capacity(keys.len());
        let (mut last, mut last_id) = (0, u32::MAX);
        for &key in keys {
            if last_id == u32::MAX || key != last {
                (last, last_id) = (key, look_up(&mut slots, &mut found, key));
                if found.len() > limit {
                    return None;
                }
                if found.len() * 2 > slots.len() {
                    slots = vec![0u32; slots.len() * 4];
                    for (id, &key) in (1u32..).zip(&found) {
                        if let Some(slot) = free_slot(&slots, key) {
                            slots[slot] = id;
                        }
                    }
                }
            }
            seen.push(last_id);
        }
        let mut order: Vec<(u64, u32)> = found.iter().copied().zip(0..).collect();
        order.sort_unstable();
        let mut places = vec![0; order.len()];
        for (place, &(_, id)) in (0u32..).zip(&order) {
            if let Some(slot) = places.get_mut(id as usize) {
                *slot = place;
            }
        }
        let sorted = order.into_iter().map(|(key, _)| key).collect();
        Some(Distinct { sorted, seen, places })
    }

    /// The distinct keys, ascending.
    pub(crate) fn sorted(&self) -> &[u64] {
        &self.sorted
    }

    /// For each key its place among the distinct ones.
    pub(crate) fn codes(&self) -> Vec<u64> {
        let place = |&id: &u32| self.places.get(id as usize).map_or(0, |&place| place.into());
        self.seen.iter().map(place).collect()
    }
}

fn hash(key: u64, slots: usize) -> usize {
    // Both halves of the product: keys may differ in any of their bits.
    let product = u128::from(key ^ 0x5555_5555_5555_5555) * 0x9e37_79b9_7f4a_7c15;
    ((product >> 64) as u64 ^ product as u64) as usize & (slots - 1)
}

/// The first free slot for a key that is in none.
fn free_slot(slots: &[u32], key: u64) -> Option<usize> {
    let start = hash(key, slots.len());
    (0..slots.len())
        .map(|step| (start + step) & (slots.len() - 1))
        .find(|&slot| slots.get(slot) == Some(&0))
}

/// When `key` was first seen, now if never before.
fn look_up(slots: &mut [u32], found: &mut Vec<u64>, key: u64) -> u32 {
    let mut slot = hash(key, slots.len());
    loop {
        match slots.get_mut(slot) {
            Some(id) if *id == 0 => {
                found.push(key);
                *id = found.len() as u32;
                return *id - 1;
            }
            Some(id) if found.get(*id as usize - 1) == Some(&key) => return *id - 1,
            _ => {}
        }
        slot = (slot + 1) & (slots.len() - 1);
    }
}

/// The distinct keys of a column.
#[derive(Debug)]
pub struct Dictionary {
    section: Section,
    len: u64,
    keys: OnceLock<Vec<u64>>,
}

impl Dictionary {
    /// The bytes of a dictionary for `count` codes.
    pub(crate) fn write(distinct: &[u64], count: u64) -> Vec<u8> {
        let first = distinct.first().copied().unwrap_or(0);
        let mut bytes = Vec::with_capacity(64 + distinct.len() * 6);
        for field in [count, distinct.len() as u64, first] {
            bytes.extend_from_slice(&field.to_le_bytes());
        }
        let mut packed = BitWriter::default();
        for_runs(distinct, |width, steps| {
            packed.push(width.into(), WIDTH_BITS);
            steps.for_each(|step| packed.push(step, width));
        });
        bytes.extend_from_slice(&packed.finish());
        bytes
    }

    /// Bits that [`Dictionary::write`] takes for these keys.
    pub(crate) fn size_bits(distinct: &[u64]) -> u64 {
        let mut bits = (HEADER_BYTES + PADDING_BYTES) * 8;
        for_runs(distinct, |width, steps| {
            bits += u64::from(WIDTH_BITS) + steps.count() as u64 * u64::from(width);
        });
        bits
    }

    /// Checks the header; the keys are read on first touch.
    pub(crate) fn open(section: Section) -> Result<(Dictionary, u64)> {
        let (count, len) = (section.u64(0)?, section.u64(8)?);
        if len == 0 || len > MOST_KEYS as u64 || section.len() < HEADER_BYTES + PADDING_BYTES {
            return Err(section.corrupt(8, format!("{len} keys in {} bytes", section.len())));
        }
        Ok((
            Dictionary {
                section,
                len,
                keys: OnceLock::new(),
            },
            count,
        ))
    }

    /// The keys, ascending.
    ///
    /// # Errors
    /// `Corrupt` if they are not.
    pub fn all(&self) -> Result<&[u64]> {
        if let Some(keys) = self.keys.get() {
            return Ok(keys);
        }
        let section = &self.section;
        let mut key = section.u64(16)?;
        let mut keys = Vec::with_capacity(usize::try_from(self.len).unwrap_or(0));
        keys.push(key);
        let (mut at, mut width) = (0u64, 0);
        for index in 1..self.len {
            if (index - 1) % RUN as u64 == 0 {
                width = u32::try_from(read(section, HEADER_BYTES, at, WIDTH_BITS)?).unwrap_or(0);
                at += u64::from(WIDTH_BITS);
                if width > 64 {
                    return Err(section.corrupt(HEADER_BYTES + at / 8, format!("keys of {width} bits")));
                }
            }
            let step = read(section, HEADER_BYTES, at, width)?;
            at += u64::from(width);
            let next = step.checked_add(1).and_then(|step| key.checked_add(step));
            key = next.ok_or_else(|| section.corrupt(HEADER_BYTES + at / 8, "keys do not ascend".into()))?;
            keys.push(key);
        }
        if HEADER_BYTES + at.div_ceil(8) + PADDING_BYTES != section.len() {
            return Err(section.corrupt(8, "the keys do not fill their section".into()));
        }
        Ok(self.keys.get_or_init(|| keys))
    }

    /// Largest code.
    pub fn last(&self) -> u64 {
        self.len - 1
    }

    /// Key of `code`.
    pub fn key(&self, code: u64) -> Result<u64> {
        let keys = self.all()?;
        usize::try_from(code)
            .ok()
            .and_then(|code| keys.get(code).copied())
            .ok_or_else(|| {
                self.section
                    .corrupt(8, format!("code {code} is not below {}", self.len))
            })
    }

    /// Largest code whose key is at most `key`.
    pub fn at_most(&self, key: u64) -> Result<Option<u64>> {
        Ok((self.all()?.partition_point(|&k| k <= key) as u64).checked_sub(1))
    }

    /// Turns codes into keys, in place.
    pub(crate) fn keys(&self, codes: &mut [u64]) -> Result<()> {
        let keys = self.all()?;
        let most = codes.iter().fold(0, |most, &code| most.max(code));
        if most > self.last() {
            let what = format!("code {most} is not below {}", self.len);
            return Err(self.section.corrupt(8, what));
        }
        for code in codes {
            *code = keys.get(*code as usize).copied().unwrap_or(0);
        }
        Ok(())
    }
}

/// Calls `each` with the width and the differences, less one, of each run of keys behind the first.
fn for_runs(distinct: &[u64], mut each: impl FnMut(u32, &mut dyn Iterator<Item = u64>)) {
    for start in (1..distinct.len()).step_by(RUN) {
        let pairs = || {
            let run = distinct.get(start - 1..(start + RUN).min(distinct.len()));
            run.unwrap_or_default()
                .windows(2)
                .map(|pair| pair[1] - pair[0] - 1)
        };
        let width = pairs().map(width_of).max().unwrap_or(0);
        each(width, &mut pairs());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_come_back(
            list in proptest::collection::vec(prop_oneof![any::<u64>(), 0u64..300, Just(u64::MAX)], 1..500),
            at in proptest::collection::vec(any::<prop::sample::Index>(), 1..900),
        ) {
            let keys: Vec<u64> = at.iter().map(|i| *i.get(&list)).collect();
            let distinct = Distinct::of(&keys, MOST_KEYS).unwrap();
            let mut sorted = keys.clone();
            sorted.sort_unstable();
            sorted.dedup();
            prop_assert_eq!(distinct.sorted(), &sorted);
            prop_assert!(Distinct::of(&keys, sorted.len() - 1).is_none());
            let bytes = Dictionary::write(&sorted, 9);
            prop_assert_eq!((bytes.len() as u64 * 8).div_ceil(8), Dictionary::size_bits(&sorted).div_ceil(8));
            let (read, count) = Dictionary::open(Section::from_vec(bytes)).unwrap();
            prop_assert_eq!((read.all().unwrap(), count), (sorted.as_slice(), 9));
            let mut codes = distinct.codes();
            read.keys(&mut codes).unwrap();
            prop_assert_eq!(&codes, &keys);
            prop_assert!(read.keys(&mut [sorted.len() as u64]).is_err());
            for &key in &keys {
                prop_assert_eq!(read.at_most(key).unwrap().map(|code| sorted[code as usize]), Some(key));
            }
        }

        #[test]
        fn damage_never_panics(list in proptest::collection::vec(any::<u64>(), 1..200), place in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut sorted = list;
            sorted.sort_unstable();
            sorted.dedup();
            let mut bytes = Dictionary::write(&sorted, 9);
            let place = place.index(bytes.len());
            bytes[place] ^= 1 << bit;
            if let Ok((read, _)) = Dictionary::open(Section::from_vec(bytes)) {
                let _ = (read.all().map(<[u64]>::len), read.key(3), read.at_most(7));
            }
        }
    }
}
