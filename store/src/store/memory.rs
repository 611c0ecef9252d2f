//! How one number, [`Options::memory_limit`], is divided. A smaller one means smaller pieces, not failure.
//!
//! | share | for |
//! |---|---|
//! | 1/4 | rows in no segment yet, of all streams |
//! | 5/8 at most | a block of a text index while it is built: twelve times its text; templates of a column that fit into that |
//! | 3/4 less the tails | rows being merged: times, keys, their order, and one column at a time |
//! | 1/8 | segments that a writer keeps open |
//! | 1/64 | bytes of a file handed to the system at once |
//!
//! A question of a snapshot has its own bound, see [`crate::snapshot::Snapshot::with_memory_limit`].
//!
//! Shares are of what is left after 6 MiB for the program itself.

use super::Options;

/// Bytes that a row takes while segments are merged: its place in the order, and a value of one column with what encoding
/// it takes. Before that its time, its keys, and an entry of the sort, which are less.
const MERGED_ROW_BYTES: u64 = 64;
/// Bytes that an open segment is taken for.
const OPEN_SEGMENT_BYTES: u64 = 16 << 10;
/// Largest block of a text index: larger ones are not searched faster.
const LARGEST_TEXT_BLOCK: u64 = 16 << 20;
/// What a program needs besides: relocated code, stacks, batches on their way in, what its allocator cannot give back.
const PROGRAM_BYTES: u64 = 6 << 20;
/// What is divided at least.
const LEAST: u64 = 1 << 20;

/// A memory limit, to be divided.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory(u64);

impl Options {
    pub(super) fn memory(&self) -> Memory {
        Memory::of(self.memory_limit as u64)
    }
}

impl Memory {
    fn of(limit: u64) -> Memory {
        Memory(limit.saturating_sub(PROGRAM_BYTES).max(LEAST))
    }

    /// Bytes of all tails together.
    pub fn tails(self) -> u64 {
        self.0 / 4
    }

    /// Bytes of text in a block of an index.
    pub fn text_block(self) -> u64 {
        (self.0 / 20).clamp(64 << 10, LARGEST_TEXT_BLOCK)
    }

    /// Bytes of a file handed to the system at once.
    pub fn file_buffer(self) -> usize {
        usize::try_from((self.0 / 64).clamp(64 << 10, 1 << 20)).unwrap_or(1 << 20)
    }

    /// Rows of a stream that may be merged while tails take `tail_bytes`.
    pub fn merged_rows(self, tail_bytes: u64) -> u64 {
        (self.0 * 3 / 4).saturating_sub(tail_bytes) / MERGED_ROW_BYTES
    }

    /// Bytes of the longest text column of segments that are merged.
    pub fn merged_text(self) -> u64 {
        self.0 / 8
    }

    /// Whether a writer may keep so many segments open.
    pub fn keeps_open(self, segments: usize) -> bool {
        segments as u64 * OPEN_SEGMENT_BYTES <= self.0 / 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_fit_together() {
        for limit_mib in [4u64, 16, 64, 128, 4096] {
            let memory = Memory::of(limit_mib << 20);
            let building = memory.text_block() * 12 + memory.tails();
            assert!(building <= memory.0, "{limit_mib}");
            assert!(memory.file_buffer() as u64 * 8 <= memory.0);
        }
        assert_eq!(Memory::of(4 << 30).text_block(), LARGEST_TEXT_BLOCK);
    }
}
