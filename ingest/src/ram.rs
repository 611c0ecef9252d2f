//! One number for memory, `--ram`, and what follows from it.
//!
//! It is a property of the process, like its threads: set once, before a command runs, and read wherever something is
//! sized. The store divides it further (`Options::memory_limit`).

use std::sync::atomic::{AtomicUsize, Ordering};

use siltstone_store::store::Options;

/// Bytes when nothing else is said.
pub const DEFAULT_BYTES: usize = 128 << 20;
/// The least that makes sense: below it a program holds more before it has read a row.
pub const LEAST_BYTES: usize = 4 << 20;

static LIMIT: AtomicUsize = AtomicUsize::new(DEFAULT_BYTES);

/// Sets the limit of this process.
pub fn set(bytes: u64) {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    LIMIT.store(bytes.max(LEAST_BYTES), Ordering::Relaxed);
}

/// The limit in bytes.
pub fn limit() -> usize {
    LIMIT.load(Ordering::Relaxed)
}

/// Whether less than usual is to be used, so that tidying up cannot wait.
pub fn is_tight() -> bool {
    limit() < DEFAULT_BYTES
}

/// How a store is opened within the limit.
pub fn options() -> Options {
    Options {
        memory_limit: limit(),
        ..Options::default()
    }
}

/// What this process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Bytes of anonymous memory now: all but mapped files. This is what the limit is about.
    pub anonymous: u64,
    /// Bytes at most so far, pages of mapped files included, which the system takes back when it needs them.
    pub peak: u64,
}

/// What this process holds, where the system tells (Linux).
pub fn held() -> Option<Held> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line
            .trim_start_matches(':')
            .split_whitespace()
            .next()?
            .parse()
            .ok()?;
        Some(kib << 10)
    };
    Some(Held {
        anonymous: bytes("RssAnon")?,
        peak: bytes("VmHWM")?,
    })
}

/// Bytes of text in a batch of rows: a batch is parsed, two wait and one is appended.
pub fn batch_bytes() -> usize {
    (limit() / 64).clamp(64 << 10, 8 << 20)
}

/// Bytes of an input that types are inferred from.
pub fn sample_bytes() -> usize {
    (limit() / 16).clamp(256 << 10, 16 << 20)
}

/// Bytes that are read at once.
pub fn chunk_bytes() -> usize {
    (limit() / 256).clamp(16 << 10, 256 << 10)
}
