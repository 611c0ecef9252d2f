//! The detector's word against what really happened.

use siltstone_store::predicate::Predicate;
use siltstone_store::snapshot::Snapshot;
use siltstone_store::value::f64_of;

use super::machine::{BEARINGS, FAILING, Truth};
use super::plot::Buckets;
use crate::failure::Outcome;

/// Detections against the truth.
#[derive(Debug)]
pub(super) struct Verdict {
    /// By bearing.
    pub(super) scores: [Buckets; 2],
    /// First alarm for the failing bearing after the flaw began.
    pub(super) alarm_us: Option<i64>,
    /// Windows in alarm before it.
    pub(super) false_alarms: u64,
    /// Windows before it, those after the days that training saw, and those above the threshold.
    pub(super) healthy: u64,
    pub(super) healthy_unseen: u64,
    pub(super) healthy_high: u64,
}

impl Verdict {
    /// Reads the stream of detections.
    pub(super) fn read(
        snapshot: &Snapshot,
        truth: &Truth,
        trained_until_us: i64,
        threshold: f64,
        days: usize,
    ) -> Outcome<Self> {
        let empty = || Buckets::new(truth.start_us, days);
        let mut verdict = Verdict {
            scores: [empty(), empty()],
            alarm_us: None,
            false_alarms: 0,
            healthy: 0,
            healthy_unseen: 0,
            healthy_high: 0,
        };
        for batch in snapshot.scan(&["bearing", "score", "alarm"], &Predicate::All)? {
            let batch = batch?;
            for (row, &time) in batch.times.iter().enumerate() {
                let failing = batch.columns[0].bytes(row) == Some(BEARINGS[FAILING].as_bytes());
                let score = batch.columns[1].key(row).map_or(f64::NAN, f64_of);
                let alarm = batch.columns[2].key(row) == Some(1);
                verdict.scores[if failing { FAILING } else { 1 - FAILING }].add(time, score);
                if time < truth.onset_us {
                    verdict.healthy += 1;
                    verdict.healthy_unseen += u64::from(time >= trained_until_us);
                    verdict.healthy_high += u64::from(score > threshold);
                    verdict.false_alarms += u64::from(alarm);
                } else if alarm && failing {
                    verdict.alarm_us = Some(verdict.alarm_us.map_or(time, |first| first.min(time)));
                }
            }
        }
        Ok(verdict)
    }
}
