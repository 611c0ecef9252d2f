//! The door to the disk that refuses what would pass the budget, and counts what passes through it.
//!
//! It knows the length of every file of the store, so the promise does not rest on anybody's estimate: a write that
//! would take the directory past its budget is refused before it is begun. A file counts in whole blocks from when it
//! is created. One that was unlinked or replaced goes on counting until its directory is synced, since a power cut
//! before that may bring its name back. Bytes that open handles and mappings keep alive have no name and do not count.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::budget::{BLOCK_BYTES, FIXED_BLOCKS, in_blocks};
use crate::error::{Error, Result};
use crate::section::FileBytes;
use crate::storage::{Entry, Storage, StorageFile, StorageLock, directory_of};

/// What a file of the store is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Rows in no segment yet.
    Log,
    /// Sealed rows.
    Segment,
    /// What counts.
    Manifest,
    /// Models.
    Model,
    /// Lines that were refused.
    Reject,
    /// Anything else in the directory.
    Other,
}

impl Role {
    /// All roles, in the order of their numbers.
    pub const ALL: [Role; 6] = [
        Role::Log,
        Role::Segment,
        Role::Manifest,
        Role::Model,
        Role::Reject,
        Role::Other,
    ];

    /// Role of a file by its name in the store.
    pub fn of(name: &str) -> Role {
        match name.split_once('/') {
            Some(("models", _)) => Role::Model,
            Some(("rejects", _)) => Role::Reject,
            Some(_) => Role::Other,
            None if name.starts_with("log-") => Role::Log,
            None if name.starts_with("segment-") => Role::Segment,
            None if name == "manifest" || name == "manifest.new" => Role::Manifest,
            None => Role::Other,
        }
    }

    /// One word for it.
    pub fn name(self) -> &'static str {
        match self {
            Role::Log => "log",
            Role::Segment => "segments",
            Role::Manifest => "manifest",
            Role::Model => "models",
            Role::Reject => "rejects",
            Role::Other => "other",
        }
    }
}

/// Bytes by role, in the order of [`Role::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ByRole(pub [u64; Role::ALL.len()]);

impl ByRole {
    /// Bytes of one role.
    pub fn of(&self, role: Role) -> u64 {
        self.0[role as usize]
    }

    /// Bytes of all roles.
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }

    fn add(&mut self, role: Role, bytes: u64) {
        let sum = &mut self.0[role as usize];
        *sum = sum.saturating_add(bytes);
    }
}

/// A storage with a budget. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    inner: Arc<dyn Storage>,
    ledger: Arc<Mutex<Ledger>>,
}

#[derive(Debug)]
struct Ledger {
    /// Files by name.
    names: BTreeMap<String, u64>,
    /// Lengths of files that have a name.
    files: BTreeMap<u64, (Role, u64)>,
    next_file: u64,
    /// What named files take, in whole blocks.
    used: ByRole,
    /// Blocks of files that were unlinked since their directory was last synced.
    unlinked: BTreeMap<String, u64>,
    /// Bytes handed on.
    written: ByRole,
    budget: Option<u64>,
    /// What of the budget only the manifest may use.
    for_manifest: u64,
}

impl Room {
    /// The files in `inner`, without a budget so far. `written` is what was written to them before.
    ///
    /// # Errors
    /// What the storage refused.
    pub fn new(inner: Arc<dyn Storage>, written: ByRole) -> Result<Room> {
        let mut ledger = Ledger {
            names: BTreeMap::new(),
            files: BTreeMap::new(),
            next_file: 0,
            used: ByRole::default(),
            unlinked: BTreeMap::new(),
            written,
            budget: None,
            for_manifest: 0,
        };
        for directory in ["", "models", "rejects"] {
            for entry in inner.list(directory)? {
                // The lock is among what is always counted.
                if entry.name != "lock" {
                    let file = ledger.start(&entry.name);
                    ledger.grow(file, entry.bytes);
                }
            }
        }
        Ok(Room {
            inner,
            ledger: Arc::new(Mutex::new(ledger)),
        })
    }

    /// From now on writes that would pass `budget` are refused; `for_manifest` of it is for the manifest alone.
    pub fn set_budget(&self, budget: Option<u64>, for_manifest: u64) {
        let mut ledger = self.ledger();
        ledger.budget = budget;
        ledger.for_manifest = for_manifest;
    }

    /// What the directory takes, in whole blocks.
    pub fn used(&self) -> u64 {
        self.ledger().total()
    }

    /// What files of one role take, in whole blocks.
    pub fn used_by(&self, role: Role) -> u64 {
        self.ledger().used.of(role)
    }

    /// Directories with names that were unlinked since they were last synced.
    pub fn unsettled(&self) -> Vec<String> {
        let ledger = self.ledger();
        let unlinked = ledger.unlinked.iter().filter(|(_, blocks)| **blocks > 0);
        unlinked.map(|(directory, _)| directory.clone()).collect()
    }

    /// Blocks of files that were unlinked since their directory was last synced.
    #[cfg(test)]
    pub fn unlinked(&self) -> u64 {
        self.ledger().unlinked.values().sum()
    }

    /// Bytes handed to the storage, those before this process included.
    pub fn written(&self) -> ByRole {
        self.ledger().written
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // Each change is made without anything that could panic in between.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn metered(&self, inner: Box<dyn StorageFile>, file: u64, role: Role) -> Box<dyn StorageFile> {
        Box::new(RoomFile {
            inner,
            room: self.clone(),
            file,
            role,
        })
    }
}

impl Ledger {
    fn total(&self) -> u64 {
        let unlinked: u64 = self.unlinked.values().sum();
        (self.used.total() + FIXED_BLOCKS * BLOCK_BYTES).saturating_add(unlinked)
    }

    fn check(&self, role: Role, blocks: u64) -> Result<()> {
        let Some(budget) = self.budget else { return Ok(()) };
        let limit = match role {
            Role::Manifest => budget,
            _ => budget.saturating_sub(self.for_manifest),
        };
        let used = self.total();
        if blocks == 0 || used.saturating_add(blocks) <= limit {
            return Ok(());
        }
        Err(Error::BudgetFull {
            budget,
            used,
            needed: blocks,
        })
    }

    /// Gives `name` to a new, empty file.
    fn start(&mut self, name: &str) -> u64 {
        self.unlink(name);
        let file = self.next_file;
        self.next_file += 1;
        self.names.insert(name.to_owned(), file);
        self.files.insert(file, (Role::of(name), 0));
        file
    }

    /// What `bytes` more take of the room.
    fn growth(&self, file: u64, bytes: u64) -> u64 {
        // A file without a name takes no room that counts.
        let length = self.files.get(&file);
        length.map_or(0, |(_, length)| {
            in_blocks(length.saturating_add(bytes)).saturating_sub(in_blocks(*length))
        })
    }

    fn grow(&mut self, file: u64, bytes: u64) {
        let blocks = self.growth(file, bytes);
        if let Some((role, length)) = self.files.get_mut(&file) {
            *length = length.saturating_add(bytes);
            self.used.add(*role, blocks);
        }
    }

    fn unlink(&mut self, name: &str) {
        let Some((role, length)) = self.names.remove(name).and_then(|file| self.files.remove(&file)) else {
            return;
        };
        let blocks = in_blocks(length);
        self.used.0[role as usize] = self.used.of(role).saturating_sub(blocks);
        if blocks > 0 {
            *self.unlinked.entry(directory_of(name).to_owned()).or_default() += blocks;
        }
    }
}

impl Storage for Room {
    fn path(&self, name: &str) -> PathBuf {
        self.inner.path(name)
    }

    fn create_directory(&self, directory: &str) -> Result<()> {
        self.inner.create_directory(directory)
    }

    fn list(&self, directory: &str) -> Result<Vec<Entry>> {
        self.inner.list(directory)
    }

    fn map(&self, name: &str) -> Result<FileBytes> {
        self.inner.map(name)
    }

    fn read(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>> {
        self.inner.read(name, range)
    }

    fn create(&self, name: &str) -> Result<Box<dyn StorageFile>> {
        let inner = self.inner.create(name)?;
        let file = self.ledger().start(name);
        Ok(self.metered(inner, file, Role::of(name)))
    }

    fn extend(&self, name: &str) -> Result<Box<dyn StorageFile>> {
        let inner = self.inner.extend(name)?;
        let mut ledger = self.ledger();
        let known = ledger.names.get(name).copied();
        let file = known.unwrap_or_else(|| ledger.start(name));
        drop(ledger);
        Ok(self.metered(inner, file, Role::of(name)))
    }

    fn sync(&self, name: &str) -> Result<()> {
        self.inner.sync(name)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.inner.rename(from, to)?;
        let mut ledger = self.ledger();
        if let Some(file) = ledger.names.remove(from) {
            ledger.unlink(to);
            ledger.names.insert(to.to_owned(), file);
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.inner.remove(name)?;
        self.ledger().unlink(name);
        Ok(())
    }

    fn sync_directory(&self, directory: &str) -> Result<()> {
        // What is unlinked while the sync runs may not be part of it.
        let before = self.ledger().unlinked.get(directory).copied().unwrap_or(0);
        self.inner.sync_directory(directory)?;
        if let Some(unlinked) = self.ledger().unlinked.get_mut(directory) {
            *unlinked = unlinked.saturating_sub(before);
        }
        Ok(())
    }

    fn lock(&self, name: &str, owner: &str) -> Result<Box<dyn StorageLock>> {
        self.inner.lock(name, owner)
    }
}

#[derive(Debug)]
struct RoomFile {
    inner: Box<dyn StorageFile>,
    room: Room,
    file: u64,
    role: Role,
}

impl StorageFile for RoomFile {
    fn append(&self, bytes: &[u8]) -> Result<()> {
        {
            let mut ledger = self.room.ledger();
            let blocks = ledger.growth(self.file, bytes.len() as u64);
            ledger.check(self.role, blocks)?;
            // Counted before, and also when the write fails: any part of it may be there.
            ledger.grow(self.file, bytes.len() as u64);
            ledger.written.add(self.role, bytes.len() as u64);
        }
        self.inner.append(bytes)
    }

    fn sync(&self) -> Result<()> {
        self.inner.sync()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::storage::memory::MemoryStorage;

    #[test]
    fn files_count_in_blocks_until_their_names_are_gone_for_good() {
        let memory = MemoryStorage::new();
        memory.put("segment-0000000001", vec![0; 4097]);
        memory.put("lock", vec![0; 9]);
        let room = Room::new(Arc::new(memory), ByRole::default()).unwrap();
        let fixed = FIXED_BLOCKS * BLOCK_BYTES;
        assert_eq!(room.used(), fixed + 2 * 4096);
        let file = room.create("manifest.new").unwrap();
        file.append(&[0; 4000]).unwrap();
        file.append(&[0; 96]).unwrap();
        assert_eq!(room.used_by(Role::Manifest), 4096);
        file.append(&[0]).unwrap();
        room.rename("manifest.new", "manifest").unwrap();
        assert_eq!((room.used_by(Role::Manifest), room.unlinked()), (8192, 0));
        room.create("manifest.new").unwrap().append(&[0; 10]).unwrap();
        room.rename("manifest.new", "manifest").unwrap();
        assert_eq!((room.used_by(Role::Manifest), room.unlinked()), (4096, 8192));
        assert_eq!(room.used(), fixed + 8192 + 4096 + 8192);
        room.remove("segment-0000000001").unwrap();
        assert_eq!((room.used_by(Role::Segment), room.unlinked()), (0, 16384));
        room.sync_directory("").unwrap();
        assert_eq!(room.used(), fixed + 4096);
        assert_eq!(room.written().total(), 4000 + 96 + 1 + 10);
    }

    #[test]
    fn a_write_that_would_pass_the_budget_is_not_begun() {
        let memory = MemoryStorage::new();
        let room = Room::new(Arc::new(memory.clone()), ByRole::default()).unwrap();
        room.set_budget(Some(10 * 4096), 2 * 4096);
        let log = room.create("log-0000000001").unwrap();
        log.append(&[1; 4 * 4096]).unwrap();
        assert!(matches!(
            log.append(&[1]),
            Err(Error::BudgetFull { used, needed: 4096, .. }) if used == 8 * 4096
        ));
        assert_eq!(memory.get("log-0000000001").unwrap().len(), 4 * 4096);
        let manifest = room.create("manifest.new").unwrap();
        manifest.append(&[1; 2 * 4096]).unwrap();
        assert!(manifest.append(&[1]).is_err());
        room.remove("log-0000000001").unwrap();
        assert!(manifest.append(&[1]).is_err(), "the name may come back");
        room.sync_directory("").unwrap();
        manifest.append(&[1]).unwrap();
        // A handle on a file without a name.
        log.append(&[1; 1 << 20]).unwrap();
        let again = room.extend("rejects/a.jsonl").unwrap();
        again.append(b"12").unwrap();
        room.extend("rejects/a.jsonl").unwrap().append(b"34").unwrap();
        assert_eq!(memory.get("rejects/a.jsonl").unwrap(), b"1234");
        assert_eq!(room.used_by(Role::Reject), 4096);
    }
}
