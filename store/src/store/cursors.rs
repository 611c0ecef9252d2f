//! How far readers outside have come, kept under names: for backup, and for storing and forwarding.

use super::{Store, locked};
use crate::error::{Error, Result};
use crate::log::manifest::CursorEntry;

impl Store {
    /// Remembers under a name, for good, that rows up to `sequence` are done with.
    ///
    /// # Errors
    /// `InvalidArgument` if there is no such row yet; `Poisoned`; `Io`.
    pub fn set_cursor(&self, name: &str, sequence: u64) -> Result<()> {
        let writer = self.writer()?;
        let _turn = locked(&writer.turn);
        if name.is_empty() {
            return Err(Error::invalid("a cursor needs a name"));
        }
        if sequence > writer.wal.appended() {
            return Err(Error::invalid(format!("there is no row {sequence} yet")));
        }
        self.publish(writer, |manifest| {
            match manifest.cursors.iter_mut().find(|cursor| cursor.name == name) {
                Some(cursor) => cursor.sequence = sequence,
                None => manifest.cursors.push(CursorEntry {
                    name: name.to_owned(),
                    sequence,
                }),
            }
        })
    }

    /// The sequence number kept under a name; 0 if there is none.
    pub fn cursor(&self, name: &str) -> u64 {
        let _ = self.refresh();
        let state = self.state();
        state
            .manifest
            .cursors
            .iter()
            .find(|cursor| cursor.name == name)
            .map_or(0, |cursor| cursor.sequence)
    }

    /// Names and sequence numbers of all cursors.
    ///
    /// Rows that a cursor has not read yet go last but for pinned ones when the budget is full, so a cursor that nobody
    /// moves any more should be removed.
    pub fn cursors(&self) -> Vec<(String, u64)> {
        let _ = self.refresh();
        let state = self.state();
        let cursors = state.manifest.cursors.iter();
        cursors
            .map(|cursor| (cursor.name.clone(), cursor.sequence))
            .collect()
    }

    /// Forgets a cursor.
    ///
    /// # Errors
    /// `Poisoned`; `Io`.
    pub fn remove_cursor(&self, name: &str) -> Result<()> {
        let writer = self.writer()?;
        let _turn = locked(&writer.turn);
        self.publish(writer, |manifest| {
            manifest.cursors.retain(|cursor| cursor.name != name)
        })
    }
}
