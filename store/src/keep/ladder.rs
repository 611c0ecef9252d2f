//! The rungs that sealed rows go down as they age: each takes less and tells less.

use crate::error::{Error, Result};

/// What has become of the rows of a segment. Numbers stand in the manifest and are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[repr(u8)]
#[non_exhaustive]
pub enum Rung {
    /// As they were sealed.
    #[default]
    Sealed = 0,
    /// The same values, entropy-coded.
    Small = 1,
    /// Numbers within a stated error.
    Bounded = 2,
    /// One row for each bucket of time.
    Downsampled = 3,
}

impl Rung {
    /// All rungs, from the top.
    pub const ALL: [Rung; 4] = [Rung::Sealed, Rung::Small, Rung::Bounded, Rung::Downsampled];

    pub(crate) fn from_code(code: u8) -> Option<Rung> {
        Rung::ALL.into_iter().find(|rung| *rung as u8 == code)
    }

    /// One word for it.
    pub fn name(self) -> &'static str {
        match self {
            Rung::Sealed => "sealed",
            Rung::Small => "small",
            Rung::Bounded => "bounded",
            Rung::Downsampled => "downsampled",
        }
    }

    /// Whether rows on this rung are not what they were.
    pub fn is_lossy(self) -> bool {
        self >= Rung::Bounded
    }
}

/// Whether a file of `after` bytes is worth taking the place of one of `before`: a tenth smaller.
pub(crate) fn is_worth(before: u64, after: u64) -> bool {
    u128::from(after) * 10 <= u128::from(before) * 9
}

/// Start of the bucket of length `every` that `time` lies in.
#[inline]
#[allow(dead_code, reason = "for the step that downsamples")]
pub(crate) fn bucket_of(time: i64, every: i64) -> i64 {
    time.checked_sub(time.rem_euclid(every)).unwrap_or(i64::MIN)
}

/// Length of a bucket in units of a clock that has `per_second` of them.
///
/// # Errors
/// `InvalidArgument` if it is no whole number of units, 0, or too long.
pub(crate) fn units(length: std::time::Duration, per_second: i64) -> Result<i64> {
    let nanos = length.as_nanos();
    let unit_ns = 1_000_000_000 / per_second.unsigned_abs().max(1) as u128;
    let found = i64::try_from(nanos / unit_ns)
        .ok()
        .filter(|&n| n > 0 && nanos % unit_ns == 0);
    found.ok_or_else(|| {
        Error::invalid(format!(
            "buckets of {nanos} ns are no whole number of {unit_ns} ns, which is what this stream counts time in"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_begin_at_multiples() {
        assert_eq!(bucket_of(119, 60), 60);
        assert_eq!(bucket_of(-1, 60), -60);
        assert_eq!(bucket_of(i64::MIN, 7), i64::MIN);
        assert!(is_worth(100, 90) && !is_worth(100, 91));
        assert!(
            Rung::ALL
                .iter()
                .all(|&rung| Rung::from_code(rung as u8) == Some(rung))
        );
    }
}
