//! A sorted list of the distinct keys; a code is a place in it.
//!
//! Good at: few distinct values that lie on no decimal grid (32-bit readings printed as 64-bit floats, enumerations
//! with wide gaps). Strictly monotone, so there are no residues.
//!
//! ```text
//! offset  width  field
//!      0      8  n       number of codes
//!      8      8  k       number of distinct keys, at least 1
//!     16  8 * k  keys    ascending
//! ```

use std::collections::HashSet;
use std::sync::OnceLock;

use crate::error::Result;
use crate::section::Section;

/// Bytes before the keys.
pub(crate) const HEADER_BYTES: u64 = 16;

/// The distinct keys of a column.
#[derive(Debug)]
pub struct Dictionary {
    section: Section,
    len: u64,
    keys: OnceLock<Vec<u64>>,
}

impl Dictionary {
    /// The sorted distinct keys, if there are at most `limit`.
    pub fn distinct(keys: &[u64], limit: usize) -> Option<Vec<u64>> {
        let mut seen = HashSet::new();
        let mut previous = None;
        for &key in keys {
            if previous == Some(key) {
                continue;
            }
            previous = Some(key);
            if seen.insert(key) && seen.len() > limit {
                return None;
            }
        }
        let mut distinct: Vec<u64> = seen.into_iter().collect();
        distinct.sort_unstable();
        Some(distinct)
    }

    /// The bytes of a dictionary for `count` codes.
    pub(crate) fn write(distinct: &[u64], count: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(16 + distinct.len() * 8);
        bytes.extend_from_slice(&count.to_le_bytes());
        bytes.extend_from_slice(&(distinct.len() as u64).to_le_bytes());
        bytes.extend(distinct.iter().flat_map(|key| key.to_le_bytes()));
        bytes
    }

    /// Turns keys that are all in `distinct` into codes.
    pub(crate) fn codes(distinct: &[u64], keys: &[u64]) -> Vec<u64> {
        let mut last = (u64::MAX, u64::MAX);
        keys.iter()
            .map(|&key| {
                if last.1 == u64::MAX || last.0 != key {
                    last = (key, distinct.partition_point(|&k| k < key) as u64);
                }
                last.1
            })
            .collect()
    }

    /// Checks the header; the keys are read on first touch.
    pub(crate) fn open(section: Section) -> Result<(Dictionary, u64)> {
        let (count, len) = (section.u64(0)?, section.u64(8)?);
        let bytes = len.checked_mul(8).and_then(|b| b.checked_add(HEADER_BYTES));
        if len == 0 || bytes != Some(section.len()) {
            return Err(section.corrupt(8, format!("{len} keys do not fit {} bytes", section.len())));
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
        let bytes = self.section.bytes(HEADER_BYTES..self.section.len())?;
        let keys: Vec<u64> = bytes
            .chunks_exact(8)
            .map(|b| b.try_into().map(u64::from_le_bytes).unwrap_or_default())
            .collect();
        if let Some(at) = keys.windows(2).position(|pair| pair[0] >= pair[1]) {
            return Err(self.section.corrupt(
                HEADER_BYTES + at as u64 * 8,
                "dictionary keys do not ascend".into(),
            ));
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
        for code in codes {
            *code = match usize::try_from(*code).ok().and_then(|code| keys.get(code)) {
                Some(&key) => key,
                None => {
                    return Err(self
                        .section
                        .corrupt(8, format!("code {code} is not below {}", self.len)));
                }
            };
        }
        Ok(())
    }
}
