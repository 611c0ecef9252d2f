//! Making, opening and recovering a store.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use super::state::State;
use super::{Options, ReadOptions, Store, Writer};
use crate::error::{Error, Result};
use crate::keep::budget::Shares;
use crate::keep::room::{ByRole, Room};
use crate::log::frame::HEADER_BYTES;
use crate::log::generation;
use crate::log::manifest::{self, Manifest};
use crate::log::replay::LogReader;
use crate::log::wal::Wal;
use crate::storage::{Storage, StorageLock, is_not_found};

/// Name of the lock file.
pub(super) const LOCK: &str = "lock";
/// Directory of models.
pub(super) const MODELS: &str = "models";

pub(super) fn create(storage: Arc<dyn Storage>, options: Options) -> Result<Store> {
    create_after(storage, options, 0)
}

/// [`create`], with sequence numbers that go on after `sequence`.
pub(super) fn create_after(storage: Arc<dyn Storage>, options: Options, sequence: u64) -> Result<Store> {
    storage.create_directory("")?;
    let lock = lock(&*storage)?;
    // A creation that was cut off leaves only these behind.
    let ours = [LOCK, "manifest.new"];
    if let Some(other) = storage
        .list("")?
        .iter()
        .find(|entry| !ours.contains(&entry.name.as_str()))
    {
        let path = storage.path("");
        let what = if other.name == manifest::FILE {
            "a store"
        } else {
            "something"
        };
        return Err(Error::invalid(format!(
            "there is {what} in {} already",
            path.display()
        )));
    }
    let mut manifest = Manifest {
        oldest_generation: 1,
        next_segment: 1,
        next_stream: 1,
        durable: sequence,
        ..Manifest::default()
    };
    let room = Room::new(storage, ByRole::default())?;
    let storage: Arc<dyn Storage> = Arc::new(room.clone());
    if let Some(budget @ 1..) = options.budget {
        Shares { budget, manifest: 0 }.check(room.used())?;
        manifest.budget = budget;
    }
    manifest.store(&*storage)?;
    let wal = Wal::new(storage.clone(), 0, sequence);
    let writer = Writer::new(wal, room, lock);
    let store = assemble(storage, options, State::new(manifest, None), Some(writer), false);
    store.limit_room(store.writer()?);
    Ok(store)
}

pub(super) fn open(storage: Arc<dyn Storage>, options: Options) -> Result<Store> {
    // Looked at before the lock, so that a wrong path gets no lock file.
    load(&*storage)?;
    let lock = lock(&*storage)?;
    let mut state = State::new(load(&*storage)?, None);
    state.replay(&*storage)?;
    let unsure = unsure_frames(&*storage, &state)?;
    let room = Room::new(storage, state.manifest.written)?;
    let storage: Arc<dyn Storage> = Arc::new(room.clone());
    remove_orphans(&*storage, &state.manifest)?;
    let newest = generation::list(&*storage)?
        .last()
        .map_or(0, |(generation, _)| *generation);
    let newest = newest.max(state.manifest.newest_generation);
    let wal = Wal::new(storage.clone(), newest, state.reader.durable);
    let durable = state.reader.durable;
    let writer = Writer::new(wal, room, lock);
    let store = assemble(storage, options, state, Some(writer), false);
    let unsure_bytes = unsure
        .iter()
        .map(|(_, payload)| (payload.len() + HEADER_BYTES) as u64);
    store.adopt_budget(unsure_bytes.sum())?;
    if !unsure.is_empty() {
        let writer = store.writer()?;
        writer.wal.take_over(&unsure)?;
        let taken = writer.wal.generation();
        let mut state = store.state();
        for start in state.live.iter_mut().filter_map(|live| live.tail_span.as_mut()) {
            if start.first > durable {
                start.generation = taken;
            }
        }
        drop(state);
        store.publish(writer, |_| {})?;
    }
    Ok(store)
}

pub(super) fn open_read(storage: Arc<dyn Storage>, how: ReadOptions) -> Result<Store> {
    let manifest = load(&*storage)?;
    let state = State::new(manifest, None);
    let options = Options {
        memory_limit: how.memory_limit,
        ..Options::default()
    };
    let store = assemble(storage, options, state, None, how.allow_partial);
    store.refresh()?;
    Ok(store)
}

fn assemble(
    storage: Arc<dyn Storage>,
    options: Options,
    state: State,
    writer: Option<Writer>,
    partial: bool,
) -> Store {
    let path = storage.path("");
    Store {
        storage,
        path,
        options,
        partial,
        state: Mutex::new(state),
        writer,
    }
}

impl Writer {
    fn new(wal: Wal, room: Room, lock: Box<dyn StorageLock>) -> Writer {
        Writer {
            wal,
            room,
            turn: Mutex::new(()),
            widened: AtomicBool::new(false),
            _lock: lock,
        }
    }
}

fn load(storage: &dyn Storage) -> Result<Manifest> {
    Manifest::load(storage).map_err(|error| {
        if is_not_found(&error) {
            let path = storage.path("");
            return Error::invalid(format!(
                "there is no store in {} (it has no manifest)",
                path.display()
            ));
        }
        error
    })
}

pub(super) fn lock(storage: &dyn Storage) -> Result<Box<dyn StorageLock>> {
    let program = std::env::args_os().next().unwrap_or_default();
    let program = std::path::Path::new(&program)
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    storage.lock(LOCK, &format!("process {} ({program})", std::process::id()))
}

/// Frames that were read, but that nothing says are on disk.
fn unsure_frames(
    storage: &dyn Storage,
    state: &State,
) -> Result<Vec<(crate::log::frame::FrameHeader, Vec<u8>)>> {
    let durable = state.reader.durable;
    let mut out = Vec::new();
    if state.reader.last > durable {
        let mut log = LogReader::new(state.manifest.oldest_generation, state.manifest.durable);
        log.advance(
            storage,
            state.manifest.newest_generation,
            &mut |frame, payload, _, _| {
                if frame.last() > durable {
                    out.push((*frame, payload.to_vec()));
                }
                Ok(())
            },
        )?;
    }
    Ok(out)
}

/// Removes what a crash left behind: files half written, and files that the manifest does not count any more.
fn remove_orphans(storage: &dyn Storage, manifest: &Manifest) -> Result<()> {
    let counts = |name: &str| {
        let segments = manifest.streams.iter().flat_map(|stream| &stream.segments);
        segments.map(|segment| &segment.file).any(|file| file == name)
    };
    for entry in storage.list("")? {
        let name = entry.name.as_str();
        let old_log = generation::generation_of(name).is_some_and(|g| g < manifest.oldest_generation);
        let lost_segment = is_segment(name) && !counts(name);
        let half_written = name.ends_with(".new")
            && (is_segment(name) || name.starts_with("log-") || name == "manifest.new");
        if old_log || lost_segment || half_written {
            storage.remove(name)?;
        }
    }
    for entry in storage.list(MODELS)? {
        let mut models = manifest.models.iter();
        let counts = models.any(|model| {
            model
                .versions
                .iter()
                .any(|&(version, ..)| model_file(&model.name, version) == entry.name)
        });
        if !counts {
            storage.remove(&entry.name)?;
        }
    }
    Ok(())
}

pub(super) fn is_segment(name: &str) -> bool {
    name.starts_with("segment-")
}

/// Name of a model's file.
pub(super) fn model_file(name: &str, version: u32) -> String {
    format!("{MODELS}/{name}.{version}")
}
