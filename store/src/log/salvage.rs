//! Reading what is left of a damaged log.

use super::frame::{self, FrameHeader};
use super::generation::{self, GenerationHeader};
use super::replay::{Apply, ChunkReader, LogReader};
use crate::error::{Error, Result};
use crate::storage::Storage;

impl LogReader {
    /// Reads what can be read of a log from its oldest generation on, of which generations up to `newest` should be there,
    /// whatever is missing or damaged in it. Lists the damage; a torn end behind which nothing was promised is none.
    pub fn salvage(&mut self, storage: &dyn Storage, newest: u64, apply: &mut Apply<'_>) -> Vec<Error> {
        let mut damage = Vec::new();
        let present = match generation::list(storage) {
            Ok(present) => present,
            Err(error) => return vec![error],
        };
        let present: Vec<(u64, u64)> = present
            .into_iter()
            .filter(|(generation, _)| *generation >= self.generation)
            .collect();
        if present.is_empty() && newest < self.generation {
            // Everything is in segments.
            self.last = self.last.max(self.durable);
        }
        let mut headers = Vec::new();
        for &(generation, bytes) in &present {
            let header = storage.read(&generation::file_name(generation), 0..generation::HEADER_BYTES);
            match header.and_then(|header| GenerationHeader::read(&header, generation)) {
                Ok(header) => headers.push((header, bytes)),
                Err(error) => damage.push(error),
            }
        }
        if let Some((first, _)) = headers.first() {
            self.last = first.continues_after;
        }
        for place in 0..headers.len() {
            let (header, bytes) = &headers[place];
            let ends_at = headers
                .get(place + 1)
                .map_or(u64::MAX, |(next, _)| next.continues_after);
            self.salvage_generation(storage, header, *bytes, ends_at, apply, &mut damage);
        }
        if self.last < self.durable {
            damage.push(self.lost(self.durable));
        }
        damage
    }

    fn salvage_generation(
        &mut self,
        storage: &dyn Storage,
        header: &GenerationHeader,
        bytes: u64,
        ends_at: u64,
        apply: &mut Apply<'_>,
        damage: &mut Vec<Error>,
    ) {
        self.generation = header.generation;
        self.offset = generation::HEADER_BYTES;
        self.durable = self.durable.max(header.continues_after);
        let name = generation::file_name(header.generation);
        let mut file = ChunkReader {
            storage,
            name: &name,
            bytes,
            chunk: Vec::new(),
            start: 0,
        };
        let mut group: Vec<(FrameHeader, Vec<u8>)> = Vec::new();
        let mut found = || -> Result<()> {
            while let Some((at, frame, payload)) = file.next_frame(self.offset, header.salt)? {
                self.offset = at + (frame::HEADER_BYTES + payload.len()) as u64;
                self.durable = self.durable.max(frame.durable);
                let follows = |(before, _): &(FrameHeader, Vec<u8>)| before.last() == frame.before;
                if !group.last().is_none_or(follows) {
                    // A batch of several frames counts whole or not at all.
                    group.clear();
                }
                if frame.last() > ends_at || frame.last() <= self.last {
                    continue;
                }
                let more = frame.more;
                group.push((frame, payload));
                if more {
                    continue;
                }
                let first = group.first().map_or(self.last, |(frame, _)| frame.before);
                if first > self.last {
                    let what = format!("rows {} to {first} cannot be read", self.last.saturating_add(1));
                    damage.push(Error::corrupt(name.clone(), "frame", at, what));
                }
                for (frame, payload) in group.drain(..) {
                    if let Err(error) = apply(&frame, &payload, &name, header.generation) {
                        damage.push(error);
                    }
                    self.last = frame.last();
                }
            }
            Ok(())
        };
        if let Err(error) = found() {
            damage.push(error);
        }
    }
}
