//! Snapshots, what they are made of, and what is wrong with it.

use super::open::model_file;
use super::state::State;
use super::{Sealed, SegmentStat, Store, locked};
use crate::error::{Error, Result};
use crate::log::manifest::Manifest;
use crate::segment::Segment;
use crate::snapshot::Snapshot;
use crate::storage::is_not_found;

/// How often a reader starts again because the writer changed files under it.
const ATTEMPTS: usize = 16;

impl Store {
    /// In a reading process: takes over what the writer has done since the last time.
    pub(super) fn refresh(&self) -> Result<()> {
        self.with_fresh_state(|_| Ok(()))
    }

    /// Runs `ask` on a state that is up to date. A reader whose files went away starts again from the newest manifest.
    pub(super) fn with_fresh_state<T>(&self, ask: impl Fn(&mut State) -> Result<T>) -> Result<T> {
        let mut state = self.state();
        if self.writer.is_some() {
            return ask(&mut state);
        }
        let mut attempt = 0;
        loop {
            let manifest = Manifest::load(&*self.storage)?;
            let edition = manifest.edition;
            if edition != state.manifest.edition || attempt > 0 {
                let before = std::mem::replace(&mut *state, State::new(manifest.clone(), None));
                *state = State::new(manifest, Some(before));
            }
            let answer = state.replay(&*self.storage).and_then(|()| ask(&mut state));
            let error = match answer {
                Err(error) if !matches!(error, Error::InvalidArgument { .. }) => error,
                answer => return answer,
            };
            // Only a writer that went on explains this; if the manifest is the same, it is damage.
            let moved_on = Manifest::load(&*self.storage).is_ok_and(|newest| newest.edition != edition);
            attempt += 1;
            if !moved_on || attempt == ATTEMPTS {
                // What was read so far may be half of it.
                let manifest = state.manifest.clone();
                let before = std::mem::replace(&mut *state, State::new(manifest.clone(), None));
                *state = State::new(manifest, Some(before));
                if self.partial && error.is_corruption() && state.log_damage.is_empty() {
                    // The log is what is damaged, as far as is known: take what can be read of it.
                    state.salvage(&*self.storage);
                    return ask(&mut state);
                }
                return Err(error);
            }
        }
    }

    pub(super) fn take_snapshot(&self, stream: &str) -> Result<Snapshot> {
        self.with_fresh_state(|state| {
            let index = state.stream(stream)?;
            let schema = state.manifest.streams[index].schema.clone();
            if self.partial {
                let (segments, left_out) = state.intact_segments(index, &*self.storage);
                let tail = &mut state.live[index].tail;
                let snapshot = Snapshot::new(schema, segments, tail.view()).with_orders(tail.orders());
                let snapshot = snapshot.with_memory_limit(self.options.memory_limit);
                return Ok(snapshot.with_left_out(left_out));
            }
            let segments = state.open_segments(index, &*self.storage)?;
            let tail = &mut state.live[index].tail;
            let snapshot = Snapshot::new(schema, segments, tail.view()).with_orders(tail.orders());
            Ok(snapshot.with_memory_limit(self.options.memory_limit))
        })
    }

    pub(super) fn describe_segments(&self, stream: &str) -> Result<Vec<SegmentStat>> {
        self.with_fresh_state(|state| {
            let index = state.stream(stream)?;
            (0..state.manifest.streams[index].segments.len())
                // Opened for this alone: there may be many, and each opens all its columns.
                .map(|at| state.look_into_segment(index, at, &*self.storage)?.anew().stat())
                .collect()
        })
    }

    pub(super) fn count_sealed(&self, stream: &str) -> Result<Sealed> {
        self.with_fresh_state(|state| {
            let index = state.stream(stream)?;
            let segments = &state.manifest.streams[index].segments;
            Ok(Sealed {
                segments: segments.len() as u64,
                rows: segments.iter().map(|entry| entry.rows).sum(),
                bytes: segments.iter().map(|entry| entry.bytes).sum(),
            })
        })
    }

    pub(super) fn find_damage(&self) -> Result<Vec<Error>> {
        // The writer itself holds still; beside one, files may go while they are read.
        let _turn = self.writer.as_ref().map(|writer| locked(&writer.turn));
        let edition = || {
            Manifest::load(&*self.storage)
                .map(|manifest| manifest.edition)
                .ok()
        };
        let mut before = edition();
        for _ in 1..ATTEMPTS {
            let damage = self.damage_now()?;
            let after = edition();
            if damage.is_empty() || after == before {
                return Ok(damage);
            }
            before = after;
        }
        self.damage_now()
    }

    fn damage_now(&self) -> Result<Vec<Error>> {
        let mut damage = Vec::new();
        let manifest = match Manifest::load(&*self.storage) {
            Ok(manifest) => manifest,
            Err(error) => return Ok(vec![error]),
        };
        for entry in manifest.streams.iter().flat_map(|stream| &stream.segments) {
            let opened = self
                .storage
                .map(&entry.file)
                .and_then(|file| Segment::open(&entry.file, file));
            match opened {
                Ok(segment) => match segment.scrub() {
                    found if found.is_empty() => damage.extend(segment.check_buckets().err()),
                    found => damage.extend(found),
                },
                Err(error) => damage.push(missing(error, &entry.file)),
            }
        }
        let mut log = State::new(manifest.clone(), None);
        damage.extend(log.replay(&*self.storage).err());
        for model in &manifest.models {
            for &(version, bytes, crc) in &model.versions {
                let file = model_file(&model.name, version);
                match self.storage.read(&file, 0..bytes.saturating_add(1)) {
                    Ok(found) => damage.extend(check_model(&file, &found, bytes, crc).err()),
                    Err(error) => damage.push(missing(error, &file)),
                }
            }
        }
        Ok(damage)
    }
}

/// A file that the manifest counts and that is not there is damage like any other.
pub(super) fn missing(error: Error, file: &str) -> Error {
    if is_not_found(&error) {
        Error::corrupt(file, "file", 0, "the file is missing")
    } else {
        error
    }
}

/// # Errors
/// `Corrupt` if the bytes are not those that were kept.
pub(super) fn check_model(file: &str, found: &[u8], bytes: u64, crc: u32) -> Result<()> {
    if found.len() as u64 != bytes {
        return Err(Error::corrupt(
            file,
            "model",
            0,
            format!("{} bytes instead of {bytes}", found.len()),
        ));
    }
    let crc_found = crc32fast::hash(found);
    if crc_found != crc {
        return Err(Error::corrupt(
            file,
            "model",
            0,
            format!("checksum {crc_found:08x} instead of {crc:08x}"),
        ));
    }
    Ok(())
}
