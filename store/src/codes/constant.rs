//! One code, however many positions.
//!
//! ```text
//! offset 0   u64  number of codes
//!        8   u64  the code
//! ```
//!
//! Every question is answered from the header.

use std::ops::Range;

use super::tree::{Node, Place, Tree};
use super::{Codes, CodesKind, Interval, check_position, check_range, check_ranges, count_rows};
use crate::error::{Error, Result};
use crate::rows::Mask;
use crate::section::Section;

/// Bytes of the section.
const SIZE_BYTES: u64 = 16;

/// Encodes equal codes (of no codes, zero is written).
///
/// The codes must be equal: debug builds check it, others keep the first.
pub fn encode(codes: &[u64]) -> Vec<u8> {
    let code = codes.first().copied().unwrap_or(0);
    debug_assert!(codes.iter().all(|&other| other == code), "equal codes");
    let mut out = (codes.len() as u64).to_le_bytes().to_vec();
    out.extend_from_slice(&code.to_le_bytes());
    out
}

/// The read side.
#[derive(Debug, Clone, Copy)]
pub struct Constant {
    len: u64,
    code: u64,
}

impl Constant {
    /// Opens a section.
    ///
    /// # Errors
    /// `Corrupt` if the section does not have 16 bytes.
    pub fn open(section: Section) -> Result<Constant> {
        if section.len() != SIZE_BYTES {
            return Err(section.corrupt(0, format!("{} bytes instead of {SIZE_BYTES}", section.len())));
        }
        Ok(Constant {
            len: section.u64(0)?,
            code: section.u64(8)?,
        })
    }
}

impl Tree for Constant {
    fn bounds(&self) -> (u64, u64) {
        (self.code, self.code)
    }

    fn root(&self, ranges: &[Range<u64>], places: &mut Vec<Place>) -> Result<Node> {
        check_ranges(self.len, ranges)?;
        Ok(Node {
            low: self.code,
            bits: 0,
            rows: count_rows(ranges),
            places: places.len()..places.len(),
            state: 0,
        })
    }

    fn prefetch(&self, _: &Node, _: &[Place], _: bool) {}

    fn split(&self, node: &Node, _: &[Place], _: &mut Vec<Place>) -> Result<[Node; 2]> {
        debug_assert!(false, "the root has no undecided bits");
        let none = Node {
            rows: 0,
            ..node.clone()
        };
        Ok([node.clone(), none])
    }

    fn is_leaf(&self, _: &Node) -> bool {
        true
    }

    fn list(&self, node: &Node, _: &[Place], out: &mut Vec<u64>) -> Result<()> {
        let rows = usize::try_from(node.rows).unwrap_or(usize::MAX);
        out.resize(out.len().saturating_add(rows), self.code);
        Ok(())
    }
}

impl Codes for Constant {
    fn tree(&self) -> Option<Box<dyn Tree + '_>> {
        Some(Box::new(*self))
    }

    fn kind(&self) -> CodesKind {
        CodesKind::Constant
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn get(&self, position: u64) -> Result<u64> {
        check_position(self.len, position)?;
        Ok(self.code)
    }

    fn decode(&self, range: Range<u64>, out: &mut [u64]) -> Result<()> {
        check_range(self.len, &range, out.len())?;
        out.fill(self.code);
        Ok(())
    }

    fn count(&self, ranges: &[Range<u64>], interval: Interval) -> Result<u64> {
        check_ranges(self.len, ranges)?;
        Ok(if interval.contains(self.code) {
            count_rows(ranges)
        } else {
            0
        })
    }

    fn select(&self, range: Range<u64>, interval: Interval, mask: &mut Mask) -> Result<()> {
        check_range(self.len, &range, mask.len())?;
        if interval.contains(self.code) {
            mask.fill(true);
        }
        Ok(())
    }

    fn quantile(&self, ranges: &[Range<u64>], k: u64) -> Result<(u64, u64)> {
        check_ranges(self.len, ranges)?;
        let rows = count_rows(ranges);
        if k >= rows {
            return Err(Error::OutOfRange {
                what: "smallest code",
                position: k,
                end: rows,
            });
        }
        Ok((self.code, 0))
    }

    fn parts(&self) -> Vec<(String, u64)> {
        vec![("code".into(), SIZE_BYTES * 8)]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::codes::testing;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn every_question_equals_the_naive_answer(code: u64, len in 0usize..300, seed: u64) {
            let bytes = encode(&vec![code; len]);
            testing::check(&Constant::open(Section::from_vec(bytes.clone())).unwrap(), &vec![code; len], seed)?;
        }
    }

    #[test]
    fn golden_bytes() {
        testing::golden("codes_constant", &encode(&[300; 5]), |bytes| {
            assert_eq!(
                Constant::open(Section::from_vec(bytes)).unwrap().get(4).unwrap(),
                300
            );
        });
    }
}
