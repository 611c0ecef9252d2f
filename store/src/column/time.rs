//! Row times of a segment: sorted inside each run, exact, with `lower_bound` by model.

use std::ops::Range;

use crate::error::Result;
use crate::section::Section;

/// Encodes the times of a segment's rows. `runs` are the row ranges with equal keys, each sorted by time.
pub fn encode(times: &[i64], runs: &[Range<u64>]) -> Vec<u8> {
    let _ = (times, runs);
    todo!()
}

/// The read side of row times.
#[derive(Debug)]
pub struct TimeColumn {
    _private: (),
}

impl TimeColumn {
    /// Opens what [`encode`] wrote for `rows` rows.
    pub fn open(section: Section, rows: u64) -> Result<TimeColumn> {
        let _ = (section, rows);
        todo!()
    }

    /// Time of row `row`.
    pub fn get(&self, row: u64) -> Result<i64> {
        let _ = row;
        todo!()
    }

    /// Times of `rows`, into `out`, which has that many places.
    pub fn decode(&self, rows: Range<u64>, out: &mut [i64]) -> Result<()> {
        let _ = (rows, out);
        todo!()
    }

    /// First row of `run` whose time is at least `time`; `run.end` if there is none. `run` lies in one run.
    pub fn lower_bound(&self, run: Range<u64>, time: i64) -> Result<u64> {
        let _ = (run, time);
        todo!()
    }
}
