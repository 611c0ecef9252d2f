//! How a budget is shared out.
//!
//! ```text
//! |                                     13/16: segments, models, rejects, manifest | 1/16 log | 2/16 for writing beside |
//! ```
//!
//! Rows, models and rejects are taken while they leave 2/16 free: a segment, at most 1/16 large, is then always written
//! beside what it replaces, and what a crash left of the log can be written again. The last piece of that is only for
//! the manifest, since room is made by writing it.

use crate::error::{Error, Result};

/// Unit in which files are counted.
pub const BLOCK_BYTES: u64 = 4096;
/// Smallest budget.
pub const LEAST_BYTES: u64 = 256 << 10;
/// Blocks of the lock file and of the store's own directory, that of models and that of rejects.
pub(crate) const FIXED_BLOCKS: u64 = 4;

/// `bytes` in whole blocks.
pub fn in_blocks(bytes: u64) -> u64 {
    bytes.div_ceil(BLOCK_BYTES).saturating_mul(BLOCK_BYTES)
}

/// What each part of a store may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shares {
    /// All of it.
    pub budget: u64,
    /// What the manifest takes.
    pub manifest: u64,
}

impl Shares {
    /// Most bytes of a segment.
    pub fn segment(self) -> u64 {
        self.budget / 16
    }

    /// Most bytes of the log.
    pub fn log(self) -> u64 {
        self.budget / 16
    }

    /// Most bytes of refused lines.
    pub fn rejects(self) -> u64 {
        self.budget / 16
    }

    /// Bytes at which a generation of the log ends.
    pub fn generation(self) -> u64 {
        self.budget / 64
    }

    /// What may be taken by all files after rows, a model or rejects were added.
    pub fn for_adding(self) -> u64 {
        self.for_segments()
            .saturating_sub(self.segment())
            .min(self.budget - self.budget / 8)
    }

    /// What may be taken by all files after anything but the manifest was written.
    pub fn for_segments(self) -> u64 {
        self.budget.saturating_sub(self.for_manifest())
    }

    /// What is left to the manifest alone.
    pub fn for_manifest(self) -> u64 {
        (self.budget / 64).max(in_blocks(self.manifest) + 2 * BLOCK_BYTES)
    }

    /// # Errors
    /// `InvalidArgument` if no store could work with this budget beside `fixed` bytes that cannot go.
    pub fn check(self, fixed: u64) -> Result<()> {
        let least = fixed.saturating_mul(2).max(LEAST_BYTES);
        if self.budget >= least {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "a budget of {} bytes is too small: what cannot go (models, rejects, the manifest) takes {fixed}, so this \
             store needs {least}",
            self.budget
        )))
    }
}
