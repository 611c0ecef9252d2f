//! A store: a directory with a manifest, and the streams in it. One writer process, any number of readers.

use std::path::Path;

use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::schema::{Schema, SharedSchema};
pub use crate::segment::stat::{ColumnStat, SegmentStat};
use crate::snapshot::Snapshot;

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
    /// Memory that the store may hold, in bytes; a quarter of it bounds each tail.
    pub memory_limit: usize,
    /// Rows at which a tail is sealed into a segment, if its bytes did not do so before.
    pub rows_per_segment: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            sync: SyncPolicy::Interval(100),
            memory_limit: 128 << 20,
            rows_per_segment: 1 << 20,
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

/// A version of a model kept in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelInfo {
    /// Name.
    pub name: String,
    /// Version, counted from 1 for each name.
    pub version: u32,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Whether this version is the one that is used when none is named.
    pub serving: bool,
}

/// A store open in this process.
#[derive(Debug)]
pub struct Store {
    _private: (),
}

impl Store {
    /// Makes an empty store in a new or empty directory, and opens it for writing.
    pub fn create(path: impl AsRef<Path>, options: Options) -> Result<Store> {
        let _ = (path.as_ref(), options);
        Err(Error::invalid("not there yet"))
    }

    /// Opens a store for writing. Recovers everything that was reported durable.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Store> {
        let _ = (path.as_ref(), options);
        Err(Error::invalid("not there yet"))
    }

    /// Opens a store for reading. Writes nothing.
    pub fn open_read(path: impl AsRef<Path>) -> Result<Store> {
        let _ = path.as_ref();
        Err(Error::invalid("not there yet"))
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        todo!()
    }

    /// Names of the streams, sorted.
    pub fn streams(&self) -> Vec<String> {
        todo!()
    }

    /// Adds an empty stream.
    pub fn create_stream(&self, name: &str, schema: Schema) -> Result<SharedSchema> {
        let _ = (name, schema);
        todo!()
    }

    /// Shape of a stream.
    pub fn schema(&self, stream: &str) -> Result<SharedSchema> {
        let _ = stream;
        todo!()
    }

    /// Adds channels to a stream; rows already there have null in them.
    pub fn add_channels(
        &self,
        stream: &str,
        channels: &[(String, crate::schema::ColumnType, String)],
    ) -> Result<SharedSchema> {
        let _ = (stream, channels);
        todo!()
    }

    /// Appends rows to a stream, atomically.
    pub fn append(&self, stream: &str, batch: &Batch) -> Result<Receipt> {
        let _ = (stream, batch);
        todo!()
    }

    /// Waits until rows up to `sequence` survive a power cut.
    pub fn wait_durable(&self, sequence: u64) -> Result<()> {
        let _ = sequence;
        todo!()
    }

    /// Turns a stream's tail into a segment.
    pub fn seal(&self, stream: &str) -> Result<()> {
        let _ = stream;
        todo!()
    }

    /// Does what is due: syncs, seals, merges.
    pub fn maintain(&self) -> Result<()> {
        todo!()
    }

    /// A consistent view of a stream.
    pub fn snapshot(&self, stream: &str) -> Result<Snapshot> {
        let _ = stream;
        todo!()
    }

    /// The segments of a stream, and what they cost.
    pub fn segments(&self, stream: &str) -> Result<Vec<SegmentStat>> {
        let _ = stream;
        todo!()
    }

    /// Reads every byte of every file and lists the damage found.
    pub fn verify(&self) -> Result<Vec<Error>> {
        todo!()
    }

    /// Keeps a model under the next version of its name, and makes it the serving one.
    pub fn put_model(&self, name: &str, bytes: &[u8]) -> Result<u32> {
        let _ = (name, bytes);
        todo!()
    }

    /// Bytes of a model: a version, or the serving one.
    pub fn model(&self, name: &str, version: Option<u32>) -> Result<(u32, Vec<u8>)> {
        let _ = (name, version);
        todo!()
    }

    /// All versions of all models.
    pub fn models(&self) -> Vec<ModelInfo> {
        todo!()
    }

    /// Makes `version` of a model the serving one.
    pub fn serve_model(&self, name: &str, version: u32) -> Result<()> {
        let _ = (name, version);
        todo!()
    }

    /// Deletes a version of a model.
    pub fn remove_model(&self, name: &str, version: u32) -> Result<()> {
        let _ = (name, version);
        todo!()
    }
}
