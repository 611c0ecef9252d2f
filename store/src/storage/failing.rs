//! A directory whose power fails, or whose disk refuses, when a test says so.
//!
//! It keeps two versions of everything: what a running program sees, and what is certain to be there after a power
//! cut. Changes move from one to the other only by [`StorageFile::sync`] and [`Storage::sync_directory`], so code that
//! forgets one of them loses data here as it would on a disk.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::memory::MemoryStorage;
use super::{Entry, Storage, StorageFile, StorageLock, directory_of};
use crate::error::{Error, Result};
use crate::rows::index;
use crate::section::FileBytes;

/// Bytes that a disk writes at once.
const SECTOR_BYTES: usize = 512;

/// What happens at one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The power goes: the operation may have happened in part, and nothing works any more.
    PowerCut,
    /// The disk is full: half of an append gets through.
    NoSpace,
    /// The disk refuses, for this once.
    Refused,
    /// If it is a sync, it fails, and what it should have written never gets to the disk, though it can still be read.
    FailedSync,
}

/// What of the unsynced changes a power cut leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survival {
    /// Nothing.
    Nothing,
    /// All of them.
    Everything,
    /// All names, but no bytes.
    NamesOnly,
    /// Any of them, sector by sector and name by name; the number chooses which.
    Some(u64),
}

/// A directory in memory that fails on demand. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct FailingStorage {
    disk: Arc<Mutex<Disk>>,
}

#[derive(Debug, Default)]
struct Disk {
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    synced_names: BTreeMap<String, usize>,
    pending: Vec<Change>,
    locks: BTreeSet<String>,
    operations: u64,
    plan: Vec<(u64, Failure)>,
    dead: bool,
}

/// Bytes as a program sees them, and as they are on the disk.
#[derive(Debug, Default)]
struct File {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// What a failed sync lost: readable, but never written.
    lost: Vec<Range<usize>>,
}

#[derive(Debug, Clone)]
enum Change {
    Set(String, usize),
    Remove(String),
    Rename(String, String),
}

impl Change {
    fn directory(&self) -> &str {
        match self {
            Change::Set(name, _) | Change::Remove(name) | Change::Rename(_, name) => directory_of(name),
        }
    }

    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Change::Set(name, file) => {
                names.insert(name.clone(), *file);
            }
            Change::Remove(name) => {
                names.remove(name);
            }
            Change::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
        }
    }
}

impl FailingStorage {
    /// An empty directory on a disk that works.
    pub fn new() -> Self {
        FailingStorage::default()
    }

    /// A directory that holds the files of another one, all on disk.
    pub fn holding(files: &MemoryStorage) -> Self {
        let storage = FailingStorage::default();
        {
            let mut disk = storage.disk();
            for name in files.names() {
                let bytes = files.get(&name).unwrap_or_default();
                disk.files.push(File {
                    now: bytes.clone(),
                    synced: bytes,
                    lost: Vec::new(),
                });
                let file = disk.files.len() - 1;
                disk.names.insert(name.clone(), file);
                disk.synced_names.insert(name, file);
            }
        }
        storage
    }

    /// Makes operation number `at`, counted from 1, fail.
    pub fn fail_at(&self, at: u64, failure: Failure) {
        self.disk().plan.push((at, failure));
    }

    /// Operations so far: everything that changes something or syncs.
    pub fn operations(&self) -> u64 {
        self.disk().operations
    }

    /// The directory as it is after a power cut now.
    pub fn after_power_cut(&self, survival: Survival) -> MemoryStorage {
        let disk = self.disk();
        let mut random = match survival {
            Survival::Some(seed) => seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            _ => 1,
        };
        let mut names = disk.synced_names.clone();
        for change in &disk.pending {
            let keep = match survival {
                Survival::Nothing => false,
                Survival::Everything | Survival::NamesOnly => true,
                Survival::Some(_) => next(&mut random) % 2 == 0,
            };
            if keep {
                change.apply(&mut names);
            }
        }
        let out = MemoryStorage::new();
        for (name, &file) in &names {
            out.put(name, disk.files[file].surviving(survival, &mut random));
        }
        out
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self, name: &str, action: &'static str, kind: ErrorKind) -> Error {
        Error::io(self.path(name), action, kind.into())
    }

    /// Counts an operation and says how it fails, if it does.
    fn step(&self, name: &str, action: &'static str) -> Result<Option<Failure>> {
        let mut disk = self.disk();
        if disk.dead {
            return Err(self.refused(name, action, ErrorKind::BrokenPipe));
        }
        disk.operations += 1;
        let now = disk.operations;
        let failure = disk
            .plan
            .iter()
            .find(|(at, _)| *at == now)
            .map(|(_, failure)| *failure);
        disk.dead = failure == Some(Failure::PowerCut);
        Ok(failure)
    }

    fn change(&self, change: Change, name: &str, action: &'static str) -> Result<()> {
        match self.step(name, action)? {
            Some(Failure::NoSpace) if !matches!(change, Change::Remove(_)) => {
                Err(self.refused(name, action, ErrorKind::StorageFull))
            }
            Some(Failure::Refused) => Err(self.refused(name, action, ErrorKind::Other)),
            failure => {
                let mut disk = self.disk();
                change.apply(&mut disk.names);
                disk.pending.push(change);
                // A change in flight may be there after the cut, but nobody was told.
                if failure == Some(Failure::PowerCut) {
                    return Err(self.refused(name, action, ErrorKind::BrokenPipe));
                }
                Ok(())
            }
        }
    }

    fn file_number(&self, name: &str) -> Result<usize> {
        let disk = self.disk();
        if disk.dead {
            return Err(self.refused(name, "open", ErrorKind::BrokenPipe));
        }
        disk.names
            .get(name)
            .copied()
            .ok_or_else(|| self.refused(name, "open", ErrorKind::NotFound))
    }

    fn sync_number(&self, file: usize, name: &str) -> Result<()> {
        match self.step(name, "sync")? {
            None | Some(Failure::NoSpace) => {
                self.disk().files[file].sync();
                Ok(())
            }
            Some(failure) => {
                if failure == Failure::FailedSync {
                    let file = &mut self.disk().files[file];
                    let unsynced = file.synced.len()..file.now.len();
                    file.lost.push(unsynced);
                }
                Err(self.refused(name, "sync", ErrorKind::Other))
            }
        }
    }
}

impl File {
    fn sync(&mut self) {
        self.synced = self.now.clone();
        for lost in &self.lost {
            self.synced[lost.clone()].fill(0);
        }
    }

    fn surviving(&self, survival: Survival, random: &mut u64) -> Vec<u8> {
        let mut all = self.now.clone();
        for lost in &self.lost {
            all[lost.clone()].fill(0);
        }
        match survival {
            Survival::Nothing | Survival::NamesOnly => self.synced.clone(),
            Survival::Everything => all,
            Survival::Some(_) => {
                let synced = self.synced.len();
                let grown = all.len() - synced;
                let kept = index(next(random) % (grown as u64 + 1));
                // Often the size is right and only some sectors are missing.
                let end = if next(random) % 2 == 0 {
                    all.len()
                } else {
                    synced + kept
                };
                all.truncate(end);
                for start in (0..end).step_by(SECTOR_BYTES) {
                    let sector = start.max(synced)..(start + SECTOR_BYTES).min(end).max(synced);
                    if start + SECTOR_BYTES > synced && next(random) % 3 == 0 && sector.start < sector.end {
                        all[sector].fill(0);
                    }
                }
                all
            }
        }
    }
}

/// The next of a row of numbers that look random (xorshift).
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state >> 11
}

impl Storage for FailingStorage {
    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("failing:").join(name)
    }

    fn create_directory(&self, directory: &str) -> Result<()> {
        // The directory itself is taken to be there: only names inside it are at stake.
        match self.step(directory, "create directory")? {
            None | Some(Failure::FailedSync) => Ok(()),
            Some(_) => Err(self.refused(directory, "create directory", ErrorKind::Other)),
        }
    }

    fn list(&self, directory: &str) -> Result<Vec<Entry>> {
        let disk = self.disk();
        if disk.dead {
            return Err(self.refused(directory, "list", ErrorKind::BrokenPipe));
        }
        let inside = disk
            .names
            .iter()
            .filter(|(name, _)| directory_of(name) == directory);
        Ok(inside
            .map(|(name, &file)| Entry {
                name: name.clone(),
                bytes: disk.files[file].now.len() as u64,
            })
            .collect())
    }

    fn map(&self, name: &str) -> Result<FileBytes> {
        let file = self.file_number(name)?;
        Ok(Arc::new(self.disk().files[file].now.clone()))
    }

    fn read(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>> {
        let file = self.file_number(name)?;
        let disk = self.disk();
        let bytes = &disk.files[file].now;
        let clamp = |position: u64| usize::try_from(position).map_or(bytes.len(), |p| p.min(bytes.len()));
        Ok(bytes
            .get(clamp(range.start)..clamp(range.end))
            .unwrap_or_default()
            .to_vec())
    }

    fn create(&self, name: &str) -> Result<Box<dyn StorageFile>> {
        let file = {
            let mut disk = self.disk();
            disk.files.push(File::default());
            disk.files.len() - 1
        };
        self.change(Change::Set(name.to_owned(), file), name, "create")?;
        Ok(Box::new(FailingFile {
            storage: self.clone(),
            file,
            name: name.to_owned(),
        }))
    }

    fn extend(&self, name: &str) -> Result<Box<dyn StorageFile>> {
        let known = self.disk().names.get(name).copied();
        let Some(file) = known else {
            return self.create(name);
        };
        Ok(Box::new(FailingFile {
            storage: self.clone(),
            file,
            name: name.to_owned(),
        }))
    }

    fn sync(&self, name: &str) -> Result<()> {
        let file = self.file_number(name)?;
        self.sync_number(file, name)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.file_number(from)?;
        self.change(Change::Rename(from.to_owned(), to.to_owned()), from, "rename")
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.file_number(name)?;
        self.change(Change::Remove(name.to_owned()), name, "remove")
    }

    fn sync_directory(&self, directory: &str) -> Result<()> {
        match self.step(directory, "sync directory")? {
            None | Some(Failure::NoSpace) => {
                let mut disk = self.disk();
                let (synced, pending): (Vec<Change>, Vec<Change>) = std::mem::take(&mut disk.pending)
                    .into_iter()
                    .partition(|c| c.directory() == directory);
                synced
                    .iter()
                    .for_each(|change| change.apply(&mut disk.synced_names));
                disk.pending = pending;
                Ok(())
            }
            Some(_) => Err(self.refused(directory, "sync directory", ErrorKind::Other)),
        }
    }

    fn lock(&self, name: &str, owner: &str) -> Result<Box<dyn StorageLock>> {
        if !self.disk().locks.insert(name.to_owned()) {
            return Err(Error::Locked {
                path: self.path(name),
                owner: owner.to_owned(),
            });
        }
        Ok(Box::new(FailingLock {
            storage: self.clone(),
            name: name.to_owned(),
        }))
    }
}

#[derive(Debug)]
struct FailingFile {
    storage: FailingStorage,
    file: usize,
    name: String,
}

impl StorageFile for FailingFile {
    fn append(&self, bytes: &[u8]) -> Result<()> {
        let failure = self.storage.step(&self.name, "write")?;
        let written = match failure {
            None | Some(Failure::FailedSync) => bytes.len(),
            Some(Failure::PowerCut) => bytes.len(),
            Some(Failure::NoSpace) => bytes.len() / 2,
            Some(Failure::Refused) => 0,
        };
        self.storage.disk().files[self.file]
            .now
            .extend_from_slice(&bytes[..written]);
        match failure {
            None | Some(Failure::FailedSync) => Ok(()),
            Some(Failure::NoSpace) => Err(self.storage.refused(&self.name, "write", ErrorKind::StorageFull)),
            Some(_) => Err(self.storage.refused(&self.name, "write", ErrorKind::Other)),
        }
    }

    fn sync(&self) -> Result<()> {
        self.storage.sync_number(self.file, &self.name)
    }
}

#[derive(Debug)]
struct FailingLock {
    storage: FailingStorage,
    name: String,
}

impl StorageLock for FailingLock {}

impl Drop for FailingLock {
    fn drop(&mut self) {
        self.storage.disk().locks.remove(&self.name);
    }
}
