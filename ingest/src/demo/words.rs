//! Words for times, sizes and rates.

use std::time::{Duration, Instant};

use siltstone_store::schema::TimeUnit;

use crate::clock::time_text;
use crate::failure::Outcome;

/// The answer to a question, and how long it took.
pub(super) fn timed<T>(question: impl FnOnce() -> siltstone_store::Result<T>) -> Outcome<(T, Duration)> {
    let started = Instant::now();
    let answer = question()?;
    Ok((answer, started.elapsed()))
}

/// A time to the minute.
pub(super) fn moment(time_us: i64) -> String {
    let text = time_text(time_us, TimeUnit::Microsecond);
    text.get(..16).unwrap_or(&text).replace('T', " ")
}

/// A length of time in days and hours.
pub(super) fn span(length_us: i64) -> String {
    let hours = (length_us + 1_800_000_000) / 3_600_000_000;
    match (hours / 24, hours % 24) {
        (0, hours) => format!("{hours} h"),
        (days, hours) => format!("{days} d {hours} h"),
    }
}

/// A length of time that passed here.
pub(super) fn seconds(took: Duration) -> String {
    let seconds = took.as_secs_f64();
    match seconds {
        s if s < 1e-3 => format!("{:.0} us", s * 1e6),
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s => format!("{s:.1} s"),
    }
}

/// A number of bytes.
pub(super) fn kilobytes(bytes: f64) -> String {
    match bytes {
        b if b < 1e6 => format!("{:.1} kB", b / 1e3),
        b => format!("{:.1} MB", b / 1e6),
    }
}

/// A positive number to three digits.
#[expect(clippy::cast_possible_truncation, reason = "rates are far below 2^64")]
pub(super) fn rounded(value: f64) -> u64 {
    let step = 10f64.powf((value.max(1.0).log10() - 2.0).floor());
    ((value / step).round() * step) as u64
}

/// Most memory this process ever held, where the system says.
pub(super) fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024.0)
}
