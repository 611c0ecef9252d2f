//! That a text index is asked for rows which it has.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::rows::Mask;

/// That there is a string `place` among `count`.
///
/// # Errors
/// `OutOfRange` if there is not.
pub fn position(count: u64, place: u64) -> Result<()> {
    if place < count {
        return Ok(());
    }
    Err(Error::OutOfRange {
        what: "string",
        position: place,
        end: count,
    })
}

/// That `ranges` are sorted, do not meet and end within `count` strings.
///
/// # Errors
/// `OutOfRange` if not.
pub fn ranges(count: u64, ranges: &[Range<u64>]) -> Result<()> {
    let mut end = 0;
    for range in ranges {
        if range.start < end || range.end < range.start || range.end > count {
            return Err(Error::OutOfRange {
                what: "string",
                position: range.end,
                end: count,
            });
        }
        end = range.end;
    }
    Ok(())
}

/// That `range` lies within `count` strings and `mask` has a bit for each of them.
///
/// # Errors
/// `OutOfRange` or `InvalidArgument` if not.
pub fn mask(count: u64, range: &Range<u64>, mask: &Mask) -> Result<()> {
    ranges(count, std::slice::from_ref(range))?;
    if mask.len() as u64 == range.end - range.start {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "a mask of {} bits for the strings {range:?}",
        mask.len()
    )))
}
