//! Stores with a budget: how they are opened, what they take, and what they lost.

use siltstone_store::storage::Storage;
use siltstone_store::store::{Options, Store, SyncPolicy};

pub const BUDGET: u64 = 256 << 10;

pub fn options(budget: u64) -> Options {
    Options {
        sync: SyncPolicy::Always,
        budget: Some(budget),
        ..Options::default()
    }
}

pub fn lost(store: &Store, stream: &str) -> u64 {
    store.losses(stream).unwrap().iter().map(|loss| loss.rows).sum()
}

/// What a directory takes, in whole blocks, its sub-directories included.
pub fn taken(storage: &dyn Storage) -> u64 {
    let directories = ["", "models", "rejects"];
    let entries = directories.iter().flat_map(|d| storage.list(d).unwrap());
    entries
        .map(|entry| entry.bytes.div_ceil(4096) * 4096)
        .sum::<u64>()
        + directories.len() as u64 * 4096
}
