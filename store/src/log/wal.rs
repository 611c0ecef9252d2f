//! Writing the log. Threads that append at the same time share one sync: the first leads, the others wait for it.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::frame::{self, FrameHeader};
use super::generation::{self, GenerationHeader};
use crate::error::{Error, Result};
use crate::storage::{Storage, StorageFile};

/// Rows ready to be appended: payload of a frame, and the number of rows in it.
#[derive(Debug)]
pub(crate) struct Payload {
    /// The frame's payload.
    pub bytes: Vec<u8>,
    /// Rows in it.
    pub rows: u32,
    /// Whether it counts only together with the next one.
    pub more: bool,
}

impl Payload {
    /// Bytes of the frame that it will be in.
    pub fn frame_bytes(&self) -> u64 {
        (self.bytes.len() + frame::HEADER_BYTES) as u64
    }
}

/// The log of a store that is open for writing.
#[derive(Debug)]
pub(crate) struct Wal {
    storage: Arc<dyn Storage>,
    state: Mutex<State>,
    synced: Condvar,
}

#[derive(Debug)]
struct State {
    /// Newest generation, whether it is still written to or not.
    generation: u64,
    /// The file that frames go to; none until rows come.
    file: Option<OpenGeneration>,
    /// Sequence number of the last row that was written.
    appended: u64,
    /// Rows up to this one survive a power cut.
    durable: u64,
    /// What the log itself says about `durable`.
    claimed: u64,
    unsynced_since: Option<Instant>,
    syncing: bool,
    poisoned: Option<String>,
}

#[derive(Debug, Clone)]
struct OpenGeneration {
    file: Arc<dyn StorageFile>,
    salt: u32,
    bytes: u64,
    /// Whether an append failed half way: no frame may follow its bytes.
    torn: bool,
}

impl Wal {
    /// A log whose newest generation is `generation` and whose rows up to `durable` are on disk.
    pub fn new(storage: Arc<dyn Storage>, generation: u64, durable: u64) -> Wal {
        let state = State {
            generation,
            file: None,
            appended: durable,
            durable,
            claimed: durable,
            unsynced_since: None,
            syncing: false,
            poisoned: None,
        };
        Wal {
            storage,
            state: Mutex::new(state),
            synced: Condvar::new(),
        }
    }

    /// Takes over frames that an earlier generation holds but nobody knows to be on disk, in a new generation.
    ///
    /// After a failed sync the system may show bytes that never reached the disk and never will; written again, they do.
    ///
    /// # Errors
    /// What the storage refused.
    pub fn take_over(&self, frames: &[(FrameHeader, Vec<u8>)]) -> Result<()> {
        let mut state = self.lock();
        let before = state.durable;
        let open = self.create_generation(&state, frames)?;
        state.generation += 1;
        state.file = Some(open);
        state.appended = frames.last().map_or(before, |(frame, _)| frame.last());
        state.durable = state.appended;
        Ok(())
    }

    /// Whether the next append begins a new generation.
    pub fn needs_generation(&self) -> bool {
        self.lock().file.as_ref().is_none_or(|open| open.torn)
    }

    /// Begins a new generation if there is none to append to, and gives its number.
    ///
    /// # Errors
    /// `Poisoned`; what the storage refused.
    pub fn ensure_generation(&self) -> Result<u64> {
        if self.needs_generation() {
            // A torn end must be on disk before a generation says what it continues after.
            self.commit(self.appended())?;
            let mut state = self.lock();
            let open = self.create_generation(&state, &[])?;
            state.generation += 1;
            state.claimed = state.durable;
            state.file = Some(open);
            return Ok(state.generation);
        }
        Ok(self.lock().generation)
    }

    fn create_generation(&self, state: &State, frames: &[(FrameHeader, Vec<u8>)]) -> Result<OpenGeneration> {
        let header = GenerationHeader {
            generation: state.generation.checked_add(1).ok_or_else(numbers_end)?,
            salt: new_salt(),
            continues_after: state.durable,
        };
        let temporary = generation::temporary_name(header.generation);
        let name = generation::file_name(header.generation);
        let mut bytes = header.write();
        for (frame, payload) in frames {
            let frame = frame::seal_frame(
                payload,
                frame.before,
                frame.rows,
                state.durable,
                frame.more,
                header.salt,
            );
            bytes.extend_from_slice(&frame);
        }
        let created = self.storage.create(&temporary).and_then(|file| {
            file.append(&bytes)?;
            file.sync()?;
            self.storage.rename(&temporary, &name)?;
            self.storage.sync_directory("")?;
            Ok(file)
        });
        match created {
            Ok(file) => Ok(OpenGeneration {
                file: Arc::from(file),
                salt: header.salt,
                bytes: bytes.len() as u64,
                torn: false,
            }),
            Err(error) => {
                // Whichever of the two names it has by now, nothing was promised of it.
                let _ = self.storage.remove(&temporary);
                let _ = self.storage.remove(&name);
                Err(error)
            }
        }
    }

    /// Appends frames; they count all or not at all. Gives the sequence number of the last row.
    ///
    /// Appends do not run at the same time: the caller holds the store's write lock.
    ///
    /// # Errors
    /// `Poisoned`; what the storage refused: nothing was appended then.
    pub fn append(&self, payloads: &[Payload]) -> Result<u64> {
        let mut state = self.lock();
        state.check()?;
        let Some(open) = state.file.clone().filter(|open| !open.torn) else {
            return Err(Error::invalid("the log has no generation to append to"));
        };
        let mut sequence = state.appended;
        let mut bytes = Vec::new();
        for payload in payloads {
            let frame = frame::seal_frame(
                &payload.bytes,
                sequence,
                payload.rows,
                state.durable,
                payload.more,
                open.salt,
            );
            sequence = sequence
                .checked_add(u64::from(payload.rows))
                .ok_or_else(numbers_end)?;
            if bytes.is_empty() {
                bytes = frame;
            } else {
                bytes.extend_from_slice(&frame);
            }
        }
        let written = open.file.append(&bytes);
        if let Some(open) = &mut state.file {
            // What does not fit into the budget is not begun.
            open.torn = matches!(&written, Err(error) if !matches!(error, Error::BudgetFull { .. }));
            open.bytes += bytes.len() as u64;
        }
        written?;
        state.claimed = state.durable;
        state.appended = sequence;
        state.unsynced_since.get_or_insert_with(Instant::now);
        Ok(sequence)
    }

    /// Waits until rows up to `sequence` are on disk.
    ///
    /// # Errors
    /// `Poisoned` once a sync has failed; the failure itself for the one who led it.
    pub fn commit(&self, sequence: u64) -> Result<()> {
        let mut state = self.lock();
        loop {
            if state.durable >= sequence {
                return Ok(());
            }
            state.check()?;
            if state.syncing {
                state = self.synced.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let Some(open) = state.file.clone() else {
                return Err(Error::invalid(format!("row {sequence} has not been appended")));
            };
            let target = state.appended;
            if target < sequence {
                return Err(Error::invalid(format!("row {sequence} has not been appended")));
            }
            state.syncing = true;
            state.unsynced_since = None;
            drop(state);
            let result = open.file.sync();
            state = self.lock();
            state.syncing = false;
            match &result {
                Ok(()) => state.durable = state.durable.max(target),
                Err(error) => state.poisoned = Some(error.to_string()),
            }
            self.synced.notify_all();
            result?;
        }
    }

    /// Ends the newest generation, all of which is on disk then; the next append begins another.
    ///
    /// # Errors
    /// See [`Wal::commit`].
    pub fn rotate(&self) -> Result<()> {
        self.commit(self.appended())?;
        self.lock().file = None;
        Ok(())
    }

    /// Syncs, and leaves a word in the log that everything is on disk, so that damage will be told from a torn end.
    ///
    /// # Errors
    /// See [`Wal::commit`] and [`Wal::append`].
    pub fn close(&self) -> Result<()> {
        self.commit(self.appended())?;
        let state = self.lock();
        let usable = state.file.as_ref().is_some_and(|open| !open.torn);
        if usable && state.claimed < state.durable {
            drop(state);
            let word = Payload {
                bytes: Vec::new(),
                rows: 0,
                more: false,
            };
            match self.append(&[word]) {
                // Nothing was promised of it.
                Err(Error::BudgetFull { .. }) => {}
                appended => {
                    appended?;
                }
            }
        }
        Ok(())
    }

    /// Sequence number of the last row that was written.
    pub fn appended(&self) -> u64 {
        self.lock().appended
    }

    /// Rows up to this one survive a power cut.
    pub fn durable(&self) -> u64 {
        self.lock().durable
    }

    /// Newest generation.
    pub fn generation(&self) -> u64 {
        self.lock().generation
    }

    /// Bytes of the generation that is written to.
    pub fn generation_bytes(&self) -> u64 {
        self.lock().file.as_ref().map_or(0, |open| open.bytes)
    }

    /// When the oldest row that is not on disk was appended.
    pub fn unsynced_since(&self) -> Option<Instant> {
        self.lock().unsynced_since
    }

    /// # Errors
    /// `Poisoned` once a sync has failed.
    pub fn check(&self) -> Result<()> {
        self.lock().check()
    }

    /// Makes every later append and commit fail.
    pub fn poison(&self, error: &Error) {
        self.lock().poisoned.get_or_insert_with(|| error.to_string());
        self.synced.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing between taking and giving back the lock panics half way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check(&self) -> Result<()> {
        match &self.poisoned {
            Some(what) => Err(Error::Poisoned { what: what.clone() }),
            None => Ok(()),
        }
    }
}

/// Only a log that somebody made up counts this far.
fn numbers_end() -> Error {
    Error::invalid("the log's numbers are at their end")
}

/// A number that nobody who writes text into a store knows.
#[expect(clippy::cast_possible_truncation, reason = "any 32 of the bits will do")]
fn new_salt() -> u32 {
    RandomState::new().build_hasher().finish() as u32
}
