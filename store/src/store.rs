//! A store: a directory with a manifest, and the streams in it. One writer process, any number of readers.
//!
//! ```text
//! manifest                what counts: streams, segments, models, log generations
//! log-0000000001          rows in no segment yet, in generations
//! segment-0000000001      sealed rows of one stream
//! models/<name>.<version> models
//! lock                    held by the writer, with its name in it
//! *.new                   being written; removed when the store is next opened for writing
//! ```
//!
//! What survives a power cut is what was reported durable: [`Receipt::durable`], [`Store::wait_durable`]. There is no
//! hidden thread: an interval sync runs in the next `append` or `maintain`, and [`Store::next_due`] says when.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::batch::Batch;
pub use crate::codes::choose::{Dial, FmParts, Layout, MiniBlock};
pub use crate::column::explain::{DomainCost, Explanation, LayoutCost};
use crate::error::{Error, Result};
use crate::keep::room::Room;
pub use crate::keep::room::{ByRole, Role};
pub use crate::keep::{Action, Cause, Loss, LossKind, Pin, Retention, Step};
use crate::log::wal::Wal;
use crate::schema::{ColumnType, Schema, SharedSchema};
pub use crate::segment::stat::{ColumnStat, SegmentStat};
use crate::snapshot::Snapshot;
use crate::storage::file::FileStorage;
use crate::storage::{Storage, StorageLock};

mod adopt;
mod age;
mod changes;
mod conform;
mod cursors;
mod explain;
mod found;
mod ladder;
mod layouts;
mod memory;
mod merge;
mod models;
mod open;
mod options;
mod pieces;
mod pins;
mod read;
mod rejects;
mod relayout;
mod repair;
mod room;
mod seal;
mod state;
mod widen;
mod write;

pub use changes::Change;
pub use explain::ColumnExplanation;
pub use layouts::Layouts;
pub use models::ModelInfo;
pub use options::{Options, ReadOptions, Receipt, SyncPolicy};
pub use relayout::Relaid;
pub use repair::{Lost, Repaired};
pub use room::Usage;
use state::State;

/// What a stream has in segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed {
    /// Segments.
    pub segments: u64,
    /// Rows in them as they are stored.
    pub rows: u64,
    /// Bytes of their files.
    pub bytes: u64,
}

/// A store open in this process. Shared between threads.
#[derive(Debug)]
pub struct Store {
    storage: Arc<dyn Storage>,
    path: PathBuf,
    options: Options,
    /// Whether snapshots leave out what is damaged.
    partial: bool,
    state: Mutex<State>,
    /// There only in the one process that may write.
    writer: Option<Writer>,
}

/// What only the writing process has.
#[derive(Debug)]
struct Writer {
    wal: Wal,
    /// What the store writes through.
    room: Room,
    /// Held while rows or files are added, so that the log, the tails and the manifest agree.
    turn: Mutex<()>,
    /// Whether segments of text in small blocks were looked for.
    widened: AtomicBool,
    _lock: Box<dyn StorageLock>,
}

impl Store {
    /// Makes an empty store in a new or empty directory, and opens it for writing.
    ///
    /// # Errors
    /// `InvalidArgument` if something is there already; `Locked`; `Io`.
    pub fn create(path: impl AsRef<Path>, options: Options) -> Result<Store> {
        Store::create_in(Arc::new(FileStorage::new(path.as_ref())), options)
    }

    /// Opens a store for writing. Recovers everything that was reported durable.
    ///
    /// # Errors
    /// `InvalidArgument` if there is no store; `Locked` if another process writes to it; `Corrupt` if rows that were
    /// promised can't be read back; `UnsupportedVersion`; `Io`.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Store> {
        Store::open_in(Arc::new(FileStorage::new(path.as_ref())), options)
    }

    /// Opens a store for reading. Writes nothing, and never stops the writer.
    ///
    /// Each question sees what the writer has sealed and logged by then.
    ///
    /// # Errors
    /// See [`Store::open`].
    pub fn open_read(path: impl AsRef<Path>) -> Result<Store> {
        Store::open_read_in(Arc::new(FileStorage::new(path.as_ref())))
    }

    /// [`Store::open_read`] in another way than the usual one.
    ///
    /// # Errors
    /// See [`Store::open`].
    pub fn open_read_with(path: impl AsRef<Path>, options: ReadOptions) -> Result<Store> {
        let files = FileStorage::new(path.as_ref());
        let files = if options.mapped { files } else { files.unmapped() };
        open::open_read(Arc::new(files), options)
    }

    /// [`Store::create`] in any storage.
    ///
    /// # Errors
    /// See [`Store::create`].
    pub fn create_in(storage: Arc<dyn Storage>, options: Options) -> Result<Store> {
        open::create(storage, options)
    }

    /// [`Store::open`] in any storage.
    ///
    /// # Errors
    /// See [`Store::open`].
    pub fn open_in(storage: Arc<dyn Storage>, options: Options) -> Result<Store> {
        open::open(storage, options)
    }

    /// [`Store::open_read`] in any storage.
    ///
    /// # Errors
    /// See [`Store::open`].
    pub fn open_read_in(storage: Arc<dyn Storage>) -> Result<Store> {
        open::open_read(storage, ReadOptions::default())
    }

    /// A store in any storage, open for reading, that answers from what is intact: see [`ReadOptions::allow_partial`].
    ///
    /// # Errors
    /// See [`Store::open`].
    pub fn open_partial_in(storage: Arc<dyn Storage>) -> Result<Store> {
        let options = ReadOptions {
            allow_partial: true,
            ..ReadOptions::default()
        };
        open::open_read(storage, options)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How the store was opened.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Names of the streams, sorted. In a reading process: those it saw last.
    pub fn streams(&self) -> Vec<String> {
        // What cannot be read now will be reported by the question that needs it.
        let _ = self.refresh();
        let mut names: Vec<String> = self
            .state()
            .manifest
            .streams
            .iter()
            .map(|s| s.name.clone())
            .collect();
        names.sort_unstable();
        names
    }

    /// Adds an empty stream.
    ///
    /// # Errors
    /// `InvalidArgument` if the name is empty or taken; `Poisoned`; `Io`.
    pub fn create_stream(&self, name: &str, schema: Schema) -> Result<SharedSchema> {
        self.add_stream(name, schema)
    }

    /// Shape of a stream.
    ///
    /// # Errors
    /// `InvalidArgument` if there is no such stream.
    pub fn schema(&self, stream: &str) -> Result<SharedSchema> {
        self.refresh()?;
        let state = self.state();
        let index = state.stream(stream)?;
        Ok(state.manifest.streams[index].schema.clone())
    }

    /// Adds channels to a stream; rows already there have null in them.
    ///
    /// # Errors
    /// `InvalidArgument` if there is no such stream or a name is taken; `Poisoned`; `Io`.
    pub fn add_channels(
        &self,
        stream: &str,
        channels: &[(String, ColumnType, String)],
    ) -> Result<SharedSchema> {
        self.widen_stream(stream, channels)
    }

    /// Appends rows to a stream, atomically: after a restart they are all there or none is.
    ///
    /// Columns go by name. Those that the batch lacks are null, and a narrower type is widened where nothing can be
    /// lost. Rows may come late or out of order.
    ///
    /// # Errors
    /// `InvalidArgument` if the rows do not fit the stream; `BudgetFull` if the store's policies let nothing more go;
    /// `Io` if the disk is full or broken, and then nothing was
    /// appended; `Poisoned` after a failed sync, when nobody knows what a power cut would leave of these rows.
    pub fn append(&self, stream: &str, batch: &Batch) -> Result<Receipt> {
        self.append_rows(stream, batch, None)
    }

    /// [`Store::append`], and with the rows, atomically, how far a named source has been read.
    ///
    /// # Errors
    /// See [`Store::append`].
    pub fn append_from(&self, stream: &str, batch: &Batch, source: &str, position: &[u8]) -> Result<Receipt> {
        self.append_rows(stream, batch, Some((source, position)))
    }

    /// How far a named source has been read, as last given to [`Store::append_from`].
    pub fn source_position(&self, source: &str) -> Option<Vec<u8>> {
        self.state().sources.get(source).cloned()
    }

    /// Waits until rows up to `sequence` survive a power cut.
    ///
    /// Threads that wait at the same time share one sync.
    ///
    /// # Errors
    /// `InvalidArgument` if `sequence` was never given out; `Io` if the sync fails; `Poisoned` from then on.
    pub fn wait_durable(&self, sequence: u64) -> Result<()> {
        self.writer()?.wal.commit(sequence)
    }

    /// Rows up to this sequence number survive a power cut.
    pub fn durable(&self) -> u64 {
        self.writer
            .as_ref()
            .map_or_else(|| self.state().reader.durable, |writer| writer.wal.durable())
    }

    /// How long until [`Store::maintain`] has something to sync; `None` when nothing waits for it.
    pub fn next_due(&self) -> Option<Duration> {
        let SyncPolicy::Interval(interval_ms) = self.options.sync else {
            return None;
        };
        let since = self.writer.as_ref()?.wal.unsynced_since()?;
        Some(Duration::from_millis(interval_ms).saturating_sub(since.elapsed()))
    }

    /// Turns a stream's tail into a segment.
    ///
    /// # Errors
    /// `InvalidArgument` if there is no such stream or text is too long for an index; `Poisoned`; `Io`: the rows stay
    /// in the tail then.
    pub fn seal(&self, stream: &str) -> Result<()> {
        let writer = self.writer()?;
        let _turn = locked(&writer.turn);
        let index = self.state().stream(stream)?;
        self.seal_tail(writer, index)
    }

    /// Does what is due: syncs, seals, lets old rows go, merges (segments, and the blocks of text indexes that a process
    /// with less memory wrote), takes old rows down the ladder of their stream's policy
    /// ([`Store::set_retention`]), and keeps what is pinned of what goes next.
    ///
    /// # Errors
    /// See [`Store::seal`].
    pub fn maintain(&self) -> Result<()> {
        self.do_what_is_due()
    }

    /// How the columns of segments yet to be written should be stored.
    ///
    /// # Errors
    /// `InvalidArgument` if there is no such stream.
    pub fn layouts(&self, stream: &str) -> Result<Layouts> {
        self.wished_layouts(stream)
    }

    /// Changes how columns should be stored in segments written from now on; see [`Store::relayout`] for the others.
    ///
    /// # Errors
    /// `InvalidArgument` if there is no such stream, or a name is no channel of it; `Poisoned`; `Io`.
    pub fn set_layouts(&self, stream: &str, layouts: &Layouts) -> Result<()> {
        self.wish_layouts(stream, layouts)
    }

    /// Writes the sealed rows of a stream again, with other layouts: beside the old file, which goes when the new one
    /// is safe. Only segments whose last row is before `before` (in the unit of the stream's clock), and that were not
    /// written with these layouts already. `progress` is told of each segment after it was replaced.
    ///
    /// Answers do not change, and readers go on; what the stream wishes for new segments stays ([`Store::layouts`]).
    /// Holds one column of one segment in memory; appends wait while a segment is written.
    ///
    /// # Errors
    /// `InvalidArgument` if there is no such stream, or a name is no channel of it; `Corrupt` if a segment is damaged:
    /// it is left as it is and the others are done; `Poisoned`; `Io`. Segments done before stay done.
    pub fn relayout(
        &self,
        stream: &str,
        layouts: &Layouts,
        before: Option<i64>,
        progress: &mut dyn FnMut(&Relaid),
    ) -> Result<()> {
        self.relayout_stream(stream, layouts, before, progress)
    }

    /// What the store takes, may take, and has written.
    pub fn usage(&self) -> Usage {
        self.usage_now()
    }

    /// What may become of the rows of a stream.
    ///
    /// # Errors
    /// `InvalidArgument` if there is no such stream.
    pub fn retention(&self, stream: &str) -> Result<Retention> {
        self.stream_retention(stream)
    }

    /// Changes what may become of the rows of a stream.
    ///
    /// # Errors
    /// `InvalidArgument` if there is no such stream, or the policy makes no sense; `Poisoned`; `Io`.
    pub fn set_retention(&self, stream: &str, retention: &Retention) -> Result<()> {
        self.change_retention(stream, retention)
    }

    /// Pins rows, of a stretch of time and of all keys or of one: they stay until nothing else is left to let go, also
    /// those that are yet to come. Stretches of the same key that touch become one; a stream keeps at most 256, and beyond
    /// that pins the shortest gaps as well.
    ///
    /// Room is made by whole segments, and [`Store::maintain`] keeps what is pinned of those that come next.
    ///
    /// # Errors
    /// `InvalidArgument` if there is no such stream, a stretch is empty, or a value is none of a key column; `Poisoned`;
    /// `Io`.
    pub fn pin(&self, stream: &str, pins: &[Pin]) -> Result<()> {
        self.change_pins(stream, pins, true)
    }

    /// Pins rows no longer: those of a stretch of time, and of all keys or of one. What was pinned for more keys than
    /// named here stays so.
    ///
    /// # Errors
    /// See [`Store::pin`].
    pub fn unpin(&self, stream: &str, pins: &[Pin]) -> Result<()> {
        self.change_pins(stream, pins, false)
    }

    /// What is pinned of a stream: first what is of all keys, then by key, and by time.
    ///
    /// # Errors
    /// `InvalidArgument` if there is no such stream.
    pub fn pins(&self, stream: &str) -> Result<Vec<Pin>> {
        self.list_pins(stream)
    }

    /// Adds bytes to the file `name` of refused lines, and says whether they were kept: a budget leaves a sixteenth to
    /// such files.
    ///
    /// # Errors
    /// `InvalidArgument` if `name` is no file's name; `BudgetFull`; `Io`.
    pub fn append_rejects(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        self.extend_rejects(name, bytes)
    }

    /// What was given up of a stream, by time.
    ///
    /// # Errors
    /// `InvalidArgument` if there is no such stream.
    pub fn losses(&self, stream: &str) -> Result<Vec<Loss>> {
        self.stream_losses(stream)
    }

    /// A consistent view of a stream.
    ///
    /// # Errors
    /// `InvalidArgument` if there is no such stream; `Corrupt` if a segment of it can't be opened; `Io`.
    pub fn snapshot(&self, stream: &str) -> Result<Snapshot> {
        self.take_snapshot(stream)
    }

    /// The segments of a stream, and what they cost.
    ///
    /// # Errors
    /// See [`Store::snapshot`].
    pub fn segments(&self, stream: &str) -> Result<Vec<SegmentStat>> {
        self.describe_segments(stream)
    }

    /// How much of a stream is in segments, without opening any.
    ///
    /// # Errors
    /// `InvalidArgument` if there is no such stream; in a reading process, see [`Store::snapshot`].
    pub fn sealed(&self, stream: &str) -> Result<Sealed> {
        self.count_sealed(stream)
    }

    /// Why the channels of a stream are stored as they are: the domains that were weighed, and what the codes would take
    /// in other layouts. Encodes samples: at most 8 pieces of 65,536 codes a column, one in memory at a time.
    ///
    /// # Errors
    /// See [`Store::snapshot`].
    pub fn explain(&self, stream: &str) -> Result<Vec<ColumnExplanation>> {
        self.explain_stream(stream)
    }

    /// Rows of a stream that are in no segment yet.
    ///
    /// # Errors
    /// `InvalidArgument` if there is no such stream.
    pub fn tail_rows(&self, stream: &str) -> Result<u64> {
        self.refresh()?;
        let state = self.state();
        let index = state.stream(stream)?;
        Ok(state.live[index].tail.len() as u64)
    }

    /// Reads every byte of every file and lists the damage found.
    ///
    /// # Errors
    /// `Io` if a directory can't be read. Damage is not an error here, but in the list.
    pub fn verify(&self) -> Result<Vec<Error>> {
        self.find_damage()
    }

    /// Copies what can be read of a damaged store into a new one beside it, which must not exist yet.
    ///
    /// Rows keep their order. A value that cannot be read becomes null, a row whose time or keys cannot be read is left
    /// out, and so are models that fail their checksum; [`Repaired`] lists all of it. If the manifest cannot be read,
    /// streams are found by the shape of the segments and named `recovered_1` and so on; rows that are only in the log
    /// are lost then, since the log does not know shapes. Sequence numbers are given anew, so named cursors start again
    /// at 0. `progress` hears of every piece: rows done.
    ///
    /// # Errors
    /// `InvalidArgument` if there is no store, or something where the new one is to be; `Locked`; `Io`.
    pub fn repair(
        from: impl AsRef<Path>,
        to: impl AsRef<Path>,
        options: Options,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Repaired> {
        let files = |path: &Path| Arc::new(FileStorage::new(path));
        repair::repair(files(from.as_ref()), files(to.as_ref()), options, progress)
    }

    /// [`Store::repair`] in any storage.
    ///
    /// # Errors
    /// See [`Store::repair`].
    pub fn repair_in(
        from: Arc<dyn Storage>,
        to: Arc<dyn Storage>,
        options: Options,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Repaired> {
        repair::repair(from, to, options, progress)
    }

    /// [`Store::append`] for callers that do not choose how many rows come at a time: where the rows may be too many for
    /// the log's share of the budget, they are appended in pieces, each of which is one append. Gives the last receipt.
    ///
    /// # Errors
    /// See [`Store::append`]; the pieces before the one that failed stay.
    pub fn append_in_pieces(&self, stream: &str, batch: &Batch) -> Result<Receipt> {
        self.append_by_pieces(stream, batch)
    }

    /// Visits rows of all streams that were appended after `sequence`, and gives the sequence number to go on from.
    ///
    /// Each row comes at least once: exactly once and in order of appending while the log still holds it, and with the
    /// whole segment that it is in after that, as it is there: in a downsampled segment one row stands for many, and
    /// [`Change::buckets`] says for how many. Only rows that survive a power cut come; the others are left for the
    /// next call. In a reading process, which knows of a sync only by what was written after it, that may be later.
    ///
    /// # Errors
    /// What `visit` returned; `Corrupt`; `Io`.
    pub fn changes_since(
        &self,
        sequence: u64,
        visit: &mut dyn FnMut(&Change<'_>) -> Result<()>,
    ) -> Result<u64> {
        self.visit_changes(sequence, visit)
    }

    /// Syncs what is in the log and gives the store back. Dropping it does the same, without telling of a failure.
    ///
    /// # Errors
    /// `Io` if the sync fails; `Poisoned`.
    pub fn close(self) -> Result<()> {
        self.writer.as_ref().map_or(Ok(()), |writer| writer.wal.close())
    }

    fn writer(&self) -> Result<&Writer> {
        let writer = self.writer.as_ref();
        writer.ok_or_else(|| {
            Error::invalid("the store is open for reading only; open it for writing to change it")
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Some(writer) = &self.writer {
            // Whoever wants to know calls `close`.
            let _ = writer.wal.close();
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while the lock is held would be a bug of this library; the log and the manifest stay right either way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
