//! What `ingest` tells the person waiting: a line on standard error that is redrawn, if that is a terminal.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A line for work of unknown length that counts what is done. Hidden unless standard error is a terminal.
#[derive(Debug)]
pub struct Work {
    bar: ProgressBar,
}

impl Work {
    /// A line `name`, counting `unit`.
    pub fn new(name: &str, unit: &'static str) -> Work {
        let bar = ProgressBar::new_spinner();
        if !std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {human_pos} {msg} ({elapsed})") {
            bar.set_style(style);
        }
        bar.set_prefix(name.to_owned());
        bar.set_message(unit);
        Work { bar }
    }

    /// Counts on.
    pub fn add(&self, done: u64) {
        self.bar.inc(done);
    }

    /// Takes the line away.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// The line.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    started: Instant,
    last_ratio: Option<(Instant, f64)>,
}

impl Progress {
    /// A line for an input of `size_bytes`, if that is known. Hidden unless standard error is a terminal.
    pub fn new(name: &str, size_bytes: Option<u64>) -> Progress {
        let bar = match size_bytes {
            Some(size) => ProgressBar::new(size),
            None => ProgressBar::new_spinner(),
        };
        let target = if std::io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        bar.set_draw_target(target);
        let template = match size_bytes {
            Some(_) => "{prefix} [{bar:30}] {percent:>3}% {msg}",
            None => "{spinner} {prefix} {bytes} {msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(name.to_owned());
        Progress {
            bar,
            started: Instant::now(),
            last_ratio: None,
        }
    }

    /// Redraws. `ratio` (text bytes per stored byte) is asked for at most once a second.
    pub fn tick(&mut self, read: &Arc<AtomicU64>, rows: u64, ratio: &mut dyn FnMut() -> Option<f64>) {
        if self.bar.is_hidden() {
            return;
        }
        self.bar.set_position(read.load(Ordering::Relaxed));
        if self
            .last_ratio
            .is_none_or(|(when, _)| when.elapsed() > Duration::from_secs(1))
        {
            self.last_ratio = ratio().map(|ratio| (Instant::now(), ratio));
        }
        let seconds = self.started.elapsed().as_secs_f64().max(1e-3);
        let rate = rate_text(rows, seconds);
        let ratio = self
            .last_ratio
            .map_or(String::new(), |(_, ratio)| format!(", {ratio:.1}x smaller"));
        self.bar
            .set_message(format!("{} rows, {rate} rows/s{ratio}", grouped(rows)));
    }

    /// Takes the line away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// Prints a note above the line.
    pub fn note(&self, text: &str) {
        self.bar.suspend(|| eprintln!("silt: {text}"));
    }
}

/// Rows per second, with commas between thousands.
pub fn rate_text(rows: u64, seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate for people"
    )]
    let rate = (rows as f64 / seconds) as u64;
    grouped(rate)
}

/// A count with commas between thousands.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number of bytes in the unit that suits it.
pub fn bytes_text(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{bytes} B")
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(1234567), "1,234,567");
        assert_eq!(bytes_text(999), "999 B");
        assert_eq!(bytes_text(1536), "1.5 KiB");
    }
}
