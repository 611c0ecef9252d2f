//! How a store is opened, and what it promises.

/// When appended rows reach the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Before `append` returns.
    Always,
    /// At most this many milliseconds later, in the next `append` or `maintain`.
    Interval(u64),
    /// When the operating system likes.
    Os,
}

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// When appended rows reach the disk.
    pub sync: SyncPolicy,
    /// Memory that the store may hold, in bytes. A quarter of it bounds the tails; it also bounds what is merged at once,
    /// blocks of text indexes and buffers. A smaller number means smaller pieces, not failure.
    pub memory_limit: usize,
    /// Rows at which a tail is sealed into a segment, if its bytes did not do so before.
    pub rows_per_segment: u64,
    /// Bytes that the directory may take from now on: files of every kind, each in whole blocks of 4 KiB, at every
    /// moment. Kept in the store, so whoever opens it later need not know it; `None` leaves it as it is, 0 is no limit.
    ///
    /// When it is full, the oldest rows go as far as the [`Retention`](crate::keep::Retention) of their stream allows.
    pub budget: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            sync: SyncPolicy::Interval(100),
            memory_limit: 128 << 20,
            rows_per_segment: 1 << 20,
            budget: None,
        }
    }
}

/// How a store is opened for reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadOptions {
    /// Answer from what is intact, and list the rest in [`Snapshot::left_out`](crate::snapshot::Snapshot::left_out). Without it a question that meets damage
    /// fails. Every page of a stream is checked when its first snapshot is taken.
    pub allow_partial: bool,
    /// Map files. Without it they are read into memory, see [`FileStorage::unmapped`](crate::storage::file::FileStorage::unmapped).
    pub mapped: bool,
    /// Memory that questions may hold, in bytes.
    pub memory_limit: usize,
}

impl Default for ReadOptions {
    fn default() -> Self {
        ReadOptions {
            allow_partial: false,
            mapped: true,
            memory_limit: Options::default().memory_limit,
        }
    }
}

/// What `append` promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Sequence number of the last row appended; rows of a store are numbered from 1.
    pub sequence: u64,
    /// Rows up to this sequence number survive a power cut.
    pub durable: u64,
}
