//! Which rows of a column have a value, as bits with rank.
//!
//! Three forms, numbered as the part's codec: all null (nothing but the header), dense (sucds' `Rank9Sel`: 1.28 bits a
//! row, rank in constant time), and sparse (sucds' Elias-Fano list of the rarer kind of row; a few bits for each of
//! them). Vigna, "Broadword implementation of rank/select queries", 2008; Elias 1974, Fano 1971.
//!
//! ```text
//! offset  width  field
//!      0      8  rows    number of rows
//!      8      8  valid   number of rows with a value
//!     16      -  dense: a serialized `Rank9Sel` without select hints, bit r set where row r has a value
//!                sparse: a serialized `EliasFano` with rank, of the null rows when valid * 2 >= rows, else of the
//!                valid rows
//! ```

use std::ops::Range;
use std::sync::OnceLock;

use sucds::Serializable;
use sucds::bit_vectors::prelude::*;
use sucds::bit_vectors::{BitVector, Rank9Sel};
use sucds::mii_sequences::{EliasFano, EliasFanoBuilder};

use crate::error::{Error, Result};
use crate::rows::Mask;
use crate::section::Section;

/// Codec number: no row has a value.
pub(crate) const ALL_NULL: u16 = 1;
/// Codec number: `Rank9Sel`.
pub(crate) const DENSE: u16 = 2;
/// Codec number: Elias-Fano of the rarer kind.
pub(crate) const SPARSE: u16 = 3;

const HEADER_BYTES: u64 = 16;

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one a column")]
enum Bits {
    Dense(Rank9Sel),
    /// Rows of one kind, and whether that kind is the null one.
    Sparse(EliasFano, bool),
}

/// The read side.
#[derive(Debug)]
pub(crate) struct Validity {
    section: Section,
    codec: u16,
    rows: u64,
    valid: u64,
    bits: OnceLock<Bits>,
}

/// Codec number and bytes for `mask`, which has at least one null.
pub(crate) fn encode(mask: &Mask) -> Result<(u16, Vec<u8>)> {
    let (rows, valid) = (mask.len(), mask.count_ones());
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&(rows as u64).to_le_bytes());
    bytes.extend_from_slice(&(valid as u64).to_le_bytes());
    if valid == 0 {
        return Ok((ALL_NULL, bytes));
    }
    let of_nulls = valid * 2 >= rows;
    let members = if of_nulls { rows - valid } else { valid };
    // Elias-Fano with rank takes about 3.5 + log2(rows / members) bits a member.
    let sparse_bits = members as f64 * (3.5 + (rows as f64 / members.max(1) as f64).log2());
    if members > 0 && sparse_bits < 1.28 * rows as f64 {
        let places = mask
            .iter()
            .enumerate()
            .filter(|(_, bit)| **bit != of_nulls)
            .map(|(row, _)| row as u64);
        encode_places(places, members, rows as u64, &mut bytes)?;
        return Ok((SPARSE, bytes));
    }
    let dense = Rank9Sel::new(BitVector::from_bits(mask.iter().map(|bit| *bit)));
    dense.serialize_into(&mut bytes).map_err(refused)?;
    Ok((DENSE, bytes))
}

/// Appends an Elias-Fano list of `len` ascending places below `universe`, with rank.
pub(crate) fn encode_places(
    places: impl Iterator<Item = u64>,
    len: usize,
    universe: u64,
    bytes: &mut Vec<u8>,
) -> Result<()> {
    let mut builder = EliasFanoBuilder::new(universe, len).map_err(refused)?;
    builder.extend(places).map_err(refused)?;
    builder
        .build()
        .enable_rank()
        .serialize_into(bytes)
        .map_err(refused)?;
    Ok(())
}

fn refused(error: impl std::fmt::Display) -> Error {
    Error::invalid(format!("a bit vector cannot be built: {error}"))
}

/// Loads an Elias-Fano list of `len` places below `universe`, checked.
pub(crate) fn load_places(section: &Section, len: u64, universe: u64) -> Result<EliasFano> {
    let list = EliasFano::deserialize_from_bytes(&mut section.shared()?)
        .map_err(|error| section.corrupt(0, format!("no list of places: {error}")))?;
    if list.len() as u64 != len || list.universe() != universe {
        return Err(section.corrupt(0, format!("a list of {} places instead of {len}", list.len())));
    }
    // Rank needs an index that the list may come without.
    Ok(if list.has_rank() { list } else { list.enable_rank() })
}

/// How many places of `list` are below `place`.
pub(crate) fn places_below(list: &EliasFano, place: u64) -> u64 {
    list.rank(place).unwrap_or_else(|| list.len()) as u64
}

/// Place number `index` of `list`, if there are as many.
pub(crate) fn place_at(list: &EliasFano, index: u64) -> Option<u64> {
    list.select(usize::try_from(index).ok()?)
}

impl Validity {
    /// Checks the header; the bits are loaded on first touch.
    pub(crate) fn open(codec: u16, section: Section, rows: u64) -> Result<Validity> {
        let (found, valid) = (section.u64(0)?, section.u64(8)?);
        let fits = match codec {
            ALL_NULL => valid == 0 && section.len() == HEADER_BYTES,
            // A vector of that many rows needs that many bits in the file: no claim beyond it is believed.
            DENSE => valid > 0 && valid <= rows && rows / 8 <= section.len(),
            SPARSE => valid > 0 && valid <= rows,
            _ => false,
        };
        if found != rows || !fits {
            return Err(section.corrupt(
                0,
                format!("{valid} valid of {found} rows, where the segment has {rows}"),
            ));
        }
        Ok(Validity {
            section,
            codec,
            rows,
            valid,
            bits: OnceLock::new(),
        })
    }

    /// Number of rows with a value.
    pub(crate) fn valid(&self) -> u64 {
        self.valid
    }

    fn bits(&self) -> Result<&Bits> {
        if let Some(bits) = self.bits.get() {
            return Ok(bits);
        }
        let body = self.section.sub(HEADER_BYTES..self.section.len())?;
        let bits = if self.codec == DENSE {
            let dense = Rank9Sel::deserialize_from_bytes(&mut body.shared()?)
                .map_err(|error| body.corrupt(0, format!("no bit vector: {error}")))?;
            if dense.len() as u64 != self.rows || dense.num_ones() as u64 != self.valid {
                return Err(body.corrupt(0, "the bit vector does not have the rows of its header".into()));
            }
            Bits::Dense(dense)
        } else {
            let of_nulls = u128::from(self.valid) * 2 >= u128::from(self.rows);
            let members = if of_nulls {
                self.rows - self.valid
            } else {
                self.valid
            };
            Bits::Sparse(load_places(&body, members, self.rows)?, of_nulls)
        };
        Ok(self.bits.get_or_init(|| bits))
    }

    /// How many rows before `row` have a value.
    pub(crate) fn rank(&self, row: u64) -> Result<u64> {
        if self.codec == ALL_NULL {
            return Ok(0);
        }
        Ok(match self.bits()? {
            Bits::Dense(dense) => dense
                .rank1(usize::try_from(row).unwrap_or(usize::MAX))
                .map_or(self.valid, |rank| rank as u64),
            Bits::Sparse(list, of_nulls) => {
                let below = places_below(list, row);
                if *of_nulls {
                    row.saturating_sub(below)
                } else {
                    below
                }
            }
        })
    }

    /// How many rows before `row` have a value, if `row` has one itself.
    pub(crate) fn position(&self, row: u64) -> Result<Option<u64>> {
        if self.codec == ALL_NULL {
            return Ok(None);
        }
        let (has_value, place) = match self.bits()? {
            Bits::Dense(dense) => {
                let at = usize::try_from(row).unwrap_or(usize::MAX);
                let has_value = dense.bit_vector().get_bit(at) == Some(true);
                (has_value, if has_value { self.rank(row)? } else { 0 })
            }
            Bits::Sparse(list, of_nulls) => {
                let below = places_below(list, row);
                let listed = place_at(list, below) == Some(row);
                if *of_nulls {
                    (!listed, row.saturating_sub(below))
                } else {
                    (listed, below)
                }
            }
        };
        Ok((has_value && place < self.valid).then_some(place))
    }

    /// The bits of `rows`, first row lowest, into `words`, which has a word for each 64 rows begun. Bits after the last
    /// row are 0. Gives the number of set bits.
    pub(crate) fn fill(&self, rows: Range<u64>, words: &mut [u64]) -> Result<u64> {
        debug_assert!(
            words.len() as u64 == (rows.end - rows.start).div_ceil(64),
            "one word for each 64 rows"
        );
        if self.codec == ALL_NULL {
            words.fill(0);
            return Ok(0);
        }
        match self.bits()? {
            Bits::Dense(dense) => {
                for (index, word) in words.iter_mut().enumerate() {
                    let at = usize::try_from(rows.start)
                        .unwrap_or(usize::MAX)
                        .saturating_add(index * 64);
                    *word = dense.bit_vector().get_word64(at).unwrap_or(0);
                }
            }
            Bits::Sparse(list, of_nulls) => {
                words.fill(if *of_nulls { u64::MAX } else { 0 });
                let first = usize::try_from(places_below(list, rows.start)).unwrap_or(usize::MAX);
                for place in list.iter(first).take_while(|&place| place < rows.end) {
                    let at = place.saturating_sub(rows.start);
                    if let Some(word) = usize::try_from(at / 64)
                        .ok()
                        .and_then(|index| words.get_mut(index))
                    {
                        *word ^= 1 << (at % 64);
                    }
                }
            }
        }
        let rest = (rows.end - rows.start) % 64;
        if let (Some(last), true) = (words.last_mut(), rest > 0) {
            *last &= (1 << rest) - 1;
        }
        Ok(words.iter().map(|word| u64::from(word.count_ones())).sum())
    }

    /// Bits that the part takes.
    pub(crate) fn size_bits(&self) -> u64 {
        self.section.len() * 8
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
    use super::*;
    use proptest::prelude::*;

    fn check(mask: &Mask) {
        let (codec, bytes) = encode(mask).unwrap();
        let rows = mask.len() as u64;
        let validity = Validity::open(codec, Section::from_vec(bytes), rows).unwrap();
        assert_eq!(validity.valid(), mask.count_ones() as u64);
        for row in 0..=mask.len() {
            assert_eq!(
                validity.rank(row as u64).unwrap(),
                mask[..row].count_ones() as u64,
                "rank of {row}"
            );
            let value = mask.get(row).is_some_and(|bit| *bit);
            let position = validity.position(row as u64).unwrap();
            assert_eq!(position, value.then(|| mask[..row].count_ones() as u64));
        }
        for range in [
            0..mask.len(),
            mask.len() / 3..mask.len() / 2,
            mask.len() / 2..mask.len(),
        ] {
            let mut words = vec![0; range.len().div_ceil(64)];
            let ones = validity
                .fill(range.start as u64..range.end as u64, &mut words)
                .unwrap();
            assert_eq!(ones, mask[range.clone()].count_ones() as u64);
            for (at, row) in range.enumerate() {
                assert_eq!(words[at / 64] >> (at % 64) & 1 == 1, mask[row]);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn bits_and_ranks_match(density in 0.0f64..1.0, seeds in proptest::collection::vec(0.0f64..1.0, 1..700)) {
            let mut mask: Mask = seeds.iter().map(|&s| s < density * density * density).collect();
            check(&mask);
            mask = !mask;
            check(&mask);
        }
    }
}
