//! Lines that were refused, kept in files for people.

use super::{Store, locked};
use crate::error::{Error, Result};
use crate::keep::budget::{BLOCK_BYTES, in_blocks};
use crate::keep::room::Role;

/// Directory of refused lines.
const REJECTS: &str = "rejects";

impl Store {
    pub(super) fn extend_rejects(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        let writer = self.writer()?;
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
            return Err(Error::invalid(format!("{name:?} is no name of a file")));
        }
        let _turn = locked(&writer.turn);
        if let Some(shares) = self.shares() {
            // A block more for where the file ends.
            let needed = in_blocks(bytes.len() as u64) + BLOCK_BYTES;
            if writer.room.used_by(Role::Reject) + needed > shares.rejects() {
                return Ok(false);
            }
            self.free(writer, needed, shares.for_adding())?;
        }
        self.storage.create_directory(REJECTS)?;
        self.storage.extend(&format!("{REJECTS}/{name}"))?.append(bytes)?;
        Ok(true)
    }
}
