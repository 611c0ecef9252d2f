//! The one door to the disk.
//!
//! Everything that a store keeps passes through [`Storage`]: real files ([`file::FileStorage`]), memory
//! ([`memory::MemoryStorage`]), and one whose power fails when a test says so ([`failing::FailingStorage`]). Names are
//! relative to the store's directory, with `/` between a sub-directory and a file.
//!
//! What survives a power cut: bytes of a file after [`StorageFile::sync`] (or [`Storage::sync`]), and the creation,
//! renaming or removal of a name after [`Storage::sync_directory`]. Nothing else is promised.

use std::fmt::Debug;
use std::ops::Range;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::section::FileBytes;

pub mod failing;
pub mod file;
mod map;
pub mod memory;

/// A file in a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Name, relative to the store's directory.
    pub name: String,
    /// Length in bytes.
    pub bytes: u64,
}

/// A directory of files. Shared between threads.
pub trait Storage: Send + Sync + Debug {
    /// Where `name` is, for messages.
    fn path(&self, name: &str) -> PathBuf;

    /// Makes the store's own directory (`""`, parents included) or a sub-directory of it, if it is not there.
    fn create_directory(&self, directory: &str) -> Result<()>;

    /// Files directly in `directory` (`""` is the store's own), sorted by name; empty if there is no such directory.
    fn list(&self, directory: &str) -> Result<Vec<Entry>>;

    /// All bytes of a file that nobody changes any more. Memory-mapped where possible.
    fn map(&self, name: &str) -> Result<FileBytes>;

    /// Bytes `range` of a file as they are now, fewer where the file ends before.
    fn read(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>>;

    /// Starts an empty file. A file that has the name already is unlinked first, so who reads it keeps its bytes.
    fn create(&self, name: &str) -> Result<Box<dyn StorageFile>>;

    /// Goes on at the end of a file, or starts one.
    fn extend(&self, name: &str) -> Result<Box<dyn StorageFile>>;

    /// Makes the bytes of an existing file survive a power cut.
    fn sync(&self, name: &str) -> Result<()>;

    /// Gives `from` the name `to`, in place of the file that had it. Both are in one directory.
    fn rename(&self, from: &str, to: &str) -> Result<()>;

    /// Removes a name; who reads the file keeps its bytes.
    fn remove(&self, name: &str) -> Result<()>;

    /// Makes the names in `directory` survive a power cut.
    fn sync_directory(&self, directory: &str) -> Result<()>;

    /// Takes the exclusive lock `name` until the guard is dropped, with `owner` written in it for who meets it.
    ///
    /// A lock whose holder is gone is free: what counts is the system's lock, not that the file exists.
    ///
    /// # Errors
    /// [`Error::Locked`] if another holder has it.
    fn lock(&self, name: &str, owner: &str) -> Result<Box<dyn StorageLock>>;
}

/// A file being written. Only ever grows.
pub trait StorageFile: Send + Sync + Debug {
    /// Adds bytes at the end. After an error, any part of them may be there.
    fn append(&self, bytes: &[u8]) -> Result<()>;

    /// Makes all bytes appended before the call survive a power cut.
    fn sync(&self) -> Result<()>;
}

/// Held while a store is open for writing; dropping it gives the lock back.
pub trait StorageLock: Send + Sync + Debug {}

/// The directory part of a name; `""` for the store's own directory.
pub fn directory_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(directory, _)| directory)
}

/// Whether `error` says that a file is not there.
pub fn is_not_found(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
}
