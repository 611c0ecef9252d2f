//! A directory in memory, for tests and for stores that need not outlive the process.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Entry, Storage, StorageFile, StorageLock, directory_of};
use crate::error::{Error, Result};
use crate::section::FileBytes;

type Bytes = Arc<Mutex<Vec<u8>>>;

/// Files in memory. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct MemoryStorage {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Bytes>,
    locks: BTreeMap<String, String>,
    directories: BTreeSet<String>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is a single step, so what a panicking thread leaves behind is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryStorage {
    /// An empty directory.
    pub fn new() -> Self {
        MemoryStorage::default()
    }

    /// Makes `name` hold `bytes`, as a test or another program might.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        locked(&self.state)
            .files
            .insert(name.to_owned(), Arc::new(Mutex::new(bytes)));
    }

    /// The bytes of `name`, if it is there.
    pub fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.file(name).ok().map(|bytes| locked(&bytes).clone())
    }

    /// Names of all files, in all directories.
    pub fn names(&self) -> Vec<String> {
        locked(&self.state).files.keys().cloned().collect()
    }

    /// Another directory with the same bytes, sharing nothing.
    pub fn copy(&self) -> MemoryStorage {
        let out = MemoryStorage::new();
        for name in self.names() {
            out.put(&name, self.get(&name).unwrap_or_default());
        }
        out
    }

    fn file(&self, name: &str) -> Result<Bytes> {
        let found = locked(&self.state).files.get(name).cloned();
        found.ok_or_else(|| Error::io(self.path(name), "open", std::io::ErrorKind::NotFound.into()))
    }
}

impl Storage for MemoryStorage {
    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("memory:").join(name)
    }

    fn create_directory(&self, directory: &str) -> Result<()> {
        locked(&self.state).directories.insert(directory.to_owned());
        Ok(())
    }

    fn list(&self, directory: &str) -> Result<Vec<Entry>> {
        let state = locked(&self.state);
        let inside = state
            .files
            .iter()
            .filter(|(name, _)| directory_of(name) == directory);
        Ok(inside
            .map(|(name, bytes)| Entry {
                name: name.clone(),
                bytes: locked(bytes).len() as u64,
            })
            .collect())
    }

    fn map(&self, name: &str) -> Result<FileBytes> {
        let bytes = locked(&*self.file(name)?).clone();
        Ok(Arc::new(bytes))
    }

    fn read(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>> {
        let file = self.file(name)?;
        let bytes = locked(&file);
        let clamp = |position: u64| usize::try_from(position).map_or(bytes.len(), |p| p.min(bytes.len()));
        Ok(bytes
            .get(clamp(range.start)..clamp(range.end))
            .unwrap_or_default()
            .to_vec())
    }

    fn create(&self, name: &str) -> Result<Box<dyn StorageFile>> {
        let bytes = Bytes::default();
        locked(&self.state)
            .files
            .insert(name.to_owned(), Arc::clone(&bytes));
        Ok(Box::new(MemoryFile { bytes }))
    }

    fn extend(&self, name: &str) -> Result<Box<dyn StorageFile>> {
        let mut state = locked(&self.state);
        let bytes = Arc::clone(state.files.entry(name.to_owned()).or_default());
        Ok(Box::new(MemoryFile { bytes }))
    }

    fn sync(&self, name: &str) -> Result<()> {
        self.file(name).map(|_| ())
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let bytes = self.file(from)?;
        let mut state = locked(&self.state);
        state.files.remove(from);
        state.files.insert(to.to_owned(), bytes);
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.file(name)?;
        locked(&self.state).files.remove(name);
        Ok(())
    }

    fn sync_directory(&self, _: &str) -> Result<()> {
        Ok(())
    }

    fn lock(&self, name: &str, owner: &str) -> Result<Box<dyn StorageLock>> {
        let mut state = locked(&self.state);
        if let Some(owner) = state.locks.get(name) {
            return Err(Error::Locked {
                path: self.path(name),
                owner: owner.clone(),
            });
        }
        state.locks.insert(name.to_owned(), owner.to_owned());
        Ok(Box::new(MemoryLock {
            state: Arc::clone(&self.state),
            name: name.to_owned(),
        }))
    }
}

#[derive(Debug)]
struct MemoryFile {
    bytes: Bytes,
}

impl StorageFile for MemoryFile {
    fn append(&self, bytes: &[u8]) -> Result<()> {
        locked(&self.bytes).extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct MemoryLock {
    state: Arc<Mutex<State>>,
    name: String,
}

impl StorageLock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        locked(&self.state).locks.remove(&self.name);
    }
}
