//! Whole steps from the smallest key: integers, times, booleans, and the total-order bits of floats.
//!
//! Good at: anything whose keys lie in a range that codes of that width are cheap in. A common step (readings in
//! tens, times in whole seconds) is divided out. Strictly monotone, so there are no residues.
//!
//! ```text
//! offset  width  field
//!      0      8  n       number of codes
//!      8      8  base    key of code 0
//!     16      8  step    difference of the keys of neighbouring codes, at least 1
//!     24      8  last    largest code; base + step * last does not exceed 2^64 - 1
//! ```

use crate::error::Result;
use crate::section::Section;

/// Bytes of the parameters.
pub(crate) const HEADER_BYTES: u64 = 32;

/// Keys `base + step * code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    /// Key of code 0.
    pub base: u64,
    /// Difference of neighbouring keys; at least 1.
    pub step: u64,
    /// Largest code.
    pub last: u64,
}

impl Steps {
    /// The map with the smallest codes for `keys`.
    pub fn fit(keys: &[u64]) -> Steps {
        let base = keys.iter().copied().min().unwrap_or(0);
        let top = keys.iter().copied().max().unwrap_or(0);
        let mut step = 0;
        for &key in keys {
            step = gcd(key - base, step);
            if step == 1 {
                break;
            }
        }
        let step = step.max(1);
        Steps {
            base,
            step,
            last: (top - base) / step,
        }
    }

    /// Reads the parameters and the number of codes.
    ///
    /// # Errors
    /// `Corrupt` if they describe no map.
    pub(crate) fn open(section: &Section) -> Result<(Steps, u64)> {
        let steps = Steps {
            base: section.u64(8)?,
            step: section.u64(16)?,
            last: section.u64(24)?,
        };
        let top = steps
            .step
            .checked_mul(steps.last)
            .and_then(|span| span.checked_add(steps.base));
        if steps.step == 0 || top.is_none() || section.len() != HEADER_BYTES {
            return Err(section.corrupt(
                8,
                "base, step and last code do not describe a range of keys".into(),
            ));
        }
        Ok((steps, section.u64(0)?))
    }

    /// The bytes of a map for `count` codes.
    pub(crate) fn write(&self, count: u64) -> Vec<u8> {
        [count, self.base, self.step, self.last]
            .iter()
            .flat_map(|field| field.to_le_bytes())
            .collect()
    }

    /// Key of `code`.
    #[inline]
    pub fn key(&self, code: u64) -> u64 {
        self.base.wrapping_add(self.step.wrapping_mul(code))
    }

    /// Largest code whose key is at most `key`.
    #[inline]
    pub fn at_most(&self, key: u64) -> Option<u64> {
        Some((key.checked_sub(self.base)? / self.step).min(self.last))
    }

    /// Turns codes into keys, in place.
    pub(crate) fn keys(&self, codes: &mut [u64]) {
        for code in codes {
            *code = self.key(*code);
        }
    }

    /// Turns keys that the map was fitted to into codes.
    pub(crate) fn codes(&self, keys: &[u64]) -> Vec<u64> {
        if self.step == 1 {
            return keys.iter().map(|&key| key.wrapping_sub(self.base)).collect();
        }
        keys.iter()
            .map(|&key| key.wrapping_sub(self.base) / self.step)
            .collect()
    }
}

/// Greatest common divisor; `gcd(a, 0)` is `a`.
pub(crate) fn gcd(mut a: u64, mut b: u64) -> u64 {
    // Most differences are multiples of the step found so far: one division decides.
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn codes_and_keys_match(base in any::<u64>(), step in 1u64..1000, units in proptest::collection::vec(0u64..1000, 1..50)) {
            let base = base.min(u64::MAX - 1_000_000);
            let keys: Vec<u64> = units.iter().map(|u| base + u * step).collect();
            let steps = Steps::fit(&keys);
            let codes = steps.codes(&keys);
            for (&key, &code) in keys.iter().zip(&codes) {
                prop_assert_eq!(steps.key(code), key);
                prop_assert_eq!(steps.at_most(key), Some(code));
                prop_assert!(code <= steps.last);
            }
            let (again, count) = Steps::open(&Section::from_vec(steps.write(7))).unwrap();
            prop_assert_eq!((again, count), (steps, 7));
        }
    }
}
