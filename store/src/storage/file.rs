//! Real files in a directory.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};

use super::{Entry, Storage, StorageFile, StorageLock, map};
use crate::error::{Error, Result};
use crate::section::FileBytes;

/// A directory of the file system.
#[derive(Debug)]
pub struct FileStorage {
    root: PathBuf,
    mapped: bool,
}

impl FileStorage {
    /// The files below `root`. Touches nothing yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        FileStorage {
            root: root.into(),
            mapped: true,
        }
    }

    /// The same files, each read into memory when it is opened instead of being mapped.
    ///
    /// Costs the memory of every file in use. For directories in which other programs may shorten files: the system
    /// kills a process that reads a mapped byte which is no longer there.
    #[must_use]
    pub fn unmapped(self) -> Self {
        FileStorage {
            mapped: false,
            ..self
        }
    }

    fn open_file(&self, name: &str) -> Result<File> {
        let path = self.path(name);
        File::open(&path).map_err(|e| Error::io(path, "open", e))
    }
}

impl Storage for FileStorage {
    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() {
            self.root.clone()
        } else {
            self.root.join(name)
        }
    }

    fn create_directory(&self, directory: &str) -> Result<()> {
        let path = self.path(directory);
        let failed = |e| Error::io(path.clone(), "create directory", e);
        let made = match fs::create_dir(&path) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists && path.is_dir() => return Ok(()),
            Err(e) if e.kind() == ErrorKind::NotFound => fs::create_dir_all(&path),
            made => made,
        };
        made.map_err(failed)?;
        // The new name is one of the directory around it.
        let around = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(around.unwrap_or(Path::new(".")))
            .and_then(|dir| dir.sync_all())
            .map_err(failed)
    }

    fn list(&self, directory: &str) -> Result<Vec<Entry>> {
        let path = self.path(directory);
        let failed = |e| Error::io(path.clone(), "list", e);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(failed(e)),
        };
        let mut out = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                // Unlinked since the listing began.
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(e) => return Err(failed(e)),
            };
            // A name that is not UTF-8 is none of ours.
            if let (true, Some(file)) = (metadata.is_file(), entry.file_name().to_str()) {
                let name = if directory.is_empty() {
                    file.to_owned()
                } else {
                    format!("{directory}/{file}")
                };
                out.push(Entry {
                    name,
                    bytes: metadata.len(),
                });
            }
        }
        out.sort();
        Ok(out)
    }

    fn map(&self, name: &str) -> Result<FileBytes> {
        let file = self.open_file(name)?;
        let failed = |e| Error::io(self.path(name), "map", e);
        let bytes = file.metadata().map_err(failed)?.len();
        if bytes == 0 {
            return Ok(Arc::new(Vec::new()));
        }
        if !self.mapped {
            return Ok(Arc::new(self.read(name, 0..bytes)?));
        }
        Ok(Arc::new(map::map(&file).map_err(failed)?))
    }

    fn read(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>> {
        let mut file = self.open_file(name)?;
        let failed = |e| Error::io(self.path(name), "read", e);
        let len = file.metadata().map_err(failed)?.len();
        let end = range.end.min(len);
        let mut out = Vec::new();
        if range.start < end {
            file.seek(SeekFrom::Start(range.start)).map_err(failed)?;
            file.take(end - range.start)
                .read_to_end(&mut out)
                .map_err(failed)?;
        }
        Ok(out)
    }

    fn create(&self, name: &str) -> Result<Box<dyn StorageFile>> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(Error::io(path, "replace", e)),
            _ => {}
        }
        match OpenOptions::new().append(true).create_new(true).open(&path) {
            Ok(file) => Ok(Box::new(AppendFile { path, file })),
            Err(e) => Err(Error::io(path, "create", e)),
        }
    }

    fn extend(&self, name: &str) -> Result<Box<dyn StorageFile>> {
        let path = self.path(name);
        match OpenOptions::new().append(true).create(true).open(&path) {
            Ok(file) => Ok(Box::new(AppendFile { path, file })),
            Err(e) => Err(Error::io(path, "open", e)),
        }
    }

    fn sync(&self, name: &str) -> Result<()> {
        self.open_file(name)?
            .sync_data()
            .map_err(|e| Error::io(self.path(name), "sync", e))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let path = self.path(from);
        fs::rename(&path, self.path(to)).map_err(|e| Error::io(path, "rename", e))
    }

    fn remove(&self, name: &str) -> Result<()> {
        let path = self.path(name);
        fs::remove_file(&path).map_err(|e| Error::io(path, "remove", e))
    }

    fn sync_directory(&self, directory: &str) -> Result<()> {
        let path = self.path(directory);
        let synced = File::open(&path).and_then(|dir| dir.sync_all());
        synced.map_err(|e| Error::io(path, "sync directory", e))
    }

    fn lock(&self, name: &str, owner: &str) -> Result<Box<dyn StorageLock>> {
        let path = self.path(name);
        let failed = |e| Error::io(path.clone(), "lock", e);
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        let mut file = opened.map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(held(&path, file)),
            Err(e) => return Err(failed(e.into())),
        }
        // Who holds it is only for the message of whoever meets the lock; nothing is decided by these bytes.
        file.set_len(0)
            .and_then(|()| file.write_all(owner.as_bytes()))
            .map_err(failed)?;
        Ok(Box::new(FileLock { _file: file }))
    }
}

fn held(path: &Path, file: File) -> Error {
    let mut owner = String::new();
    let read = file.take(4096).read_to_string(&mut owner);
    if read.is_err() || owner.is_empty() {
        owner = "another process".to_owned();
    }
    Error::Locked {
        path: path.to_owned(),
        owner,
    }
}

#[derive(Debug)]
struct AppendFile {
    path: PathBuf,
    file: File,
}

impl StorageFile for AppendFile {
    fn append(&self, bytes: &[u8]) -> Result<()> {
        (&self.file)
            .write_all(bytes)
            .map_err(|e| Error::io(&self.path, "write", e))
    }

    fn sync(&self) -> Result<()> {
        self.file
            .sync_data()
            .map_err(|e| Error::io(&self.path, "sync", e))
    }
}

/// The system gives the lock back when the file is closed, also when the process dies.
#[derive(Debug)]
struct FileLock {
    _file: File,
}

impl StorageLock for FileLock {}
