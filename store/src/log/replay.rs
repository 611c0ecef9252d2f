//! Reading the log: all of it after a restart, or what is new beside a working writer.

use memchr::memmem;

use super::frame::{self, FrameHeader, MAX_PAYLOAD_BYTES};
use super::generation::{self, GenerationHeader};
use crate::error::{Error, Result};
use crate::storage::Storage;

/// Bytes read at a time.
const CHUNK_BYTES: u64 = 256 << 10;

/// How far the log has been read. Starts at the oldest generation that counts; may be advanced again as it grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogReader {
    /// Generation being read.
    pub(super) generation: u64,
    /// First byte of it that has not been read.
    pub(super) offset: u64,
    /// Sequence number of the last row read.
    pub last: u64,
    /// Rows up to this one were on disk when something that was read was written.
    pub durable: u64,
}

/// Gets the frames that count, in order: header, payload, name of the file, generation.
pub(crate) type Apply<'a> = dyn FnMut(&FrameHeader, &[u8], &str, u64) -> Result<()> + 'a;

impl LogReader {
    /// A reader that begins at generation `oldest`; rows up to `durable` were promised.
    pub fn new(oldest: u64, durable: u64) -> LogReader {
        LogReader {
            generation: oldest,
            offset: 0,
            last: 0,
            durable,
        }
    }

    /// Reads to the end of the log, of which generations up to `newest` must be there.
    ///
    /// A torn frame ends a generation. That is an error only where something says that rows behind it were promised.
    ///
    /// # Errors
    /// `Corrupt` or `UnsupportedVersion` naming the file; what `apply` returned; what the storage refused. The reader
    /// is of no use then.
    pub fn advance(&mut self, storage: &dyn Storage, newest: u64, apply: &mut Apply<'_>) -> Result<()> {
        let present = generation::list(storage)?;
        let present: Vec<(u64, u64)> = present
            .into_iter()
            .filter(|(g, _)| *g >= self.generation)
            .collect();
        let newest = newest.max(present.last().map_or(0, |(generation, _)| *generation));
        let mut found = present.iter().map(|(generation, _)| *generation);
        if let Some(missing) = (self.generation..=newest).find(|&generation| found.next() != Some(generation))
        {
            return Err(Error::corrupt(
                generation::file_name(missing),
                "log",
                0,
                "the file is missing",
            ));
        }
        if present.is_empty() && self.offset == 0 {
            // Everything is in segments.
            self.last = self.last.max(self.durable);
        }
        let mut headers = Vec::with_capacity(present.len());
        for &(generation, _) in &present {
            let bytes = storage.read(&generation::file_name(generation), 0..generation::HEADER_BYTES)?;
            headers.push(GenerationHeader::read(&bytes, generation)?);
        }
        for (index, (header, &(_, bytes))) in headers.iter().zip(&present).enumerate() {
            let ends_at = headers.get(index + 1).map(|next| next.continues_after);
            self.read_generation(storage, header, bytes, ends_at, apply)?;
        }
        if self.last < self.durable {
            return Err(self.lost(self.durable));
        }
        Ok(())
    }

    fn read_generation(
        &mut self,
        storage: &dyn Storage,
        header: &GenerationHeader,
        bytes: u64,
        ends_at: Option<u64>,
        apply: &mut Apply<'_>,
    ) -> Result<()> {
        if self.offset == 0 && self.last == 0 {
            self.last = header.continues_after;
        }
        if self.generation != header.generation || self.offset == 0 {
            self.generation = header.generation;
            self.offset = generation::HEADER_BYTES;
        }
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
        let mut offset = self.offset;
        loop {
            let Some((frame, payload)) = file.frame(offset, header.salt)? else {
                // What was written after the torn frame may know that it had been on disk.
                file.claims(offset, header.salt, &mut self.durable)?;
                break;
            };
            offset += (frame::HEADER_BYTES + payload.len()) as u64;
            let before = group.last().map_or(self.last, |(frame, _)| frame.last());
            // Frames that an earlier reading has seen in the generation before come again where they were taken over.
            let seen = frame.last() <= self.last && frame.before < self.last;
            if !seen && frame.before != before {
                let what = format!("row {} follows row {before}", frame.before.saturating_add(1));
                return Err(Error::corrupt(name, "frame", offset, what));
            }
            if ends_at.is_some_and(|end| frame.last() > end) {
                break;
            }
            self.durable = self.durable.max(frame.durable);
            if seen {
                self.offset = offset;
                continue;
            }
            let more = frame.more;
            group.push((frame, payload));
            if !more {
                for (frame, payload) in group.drain(..) {
                    apply(&frame, &payload, &name, header.generation)?;
                    self.last = frame.last();
                }
                self.offset = offset;
            }
        }
        match ends_at {
            Some(end) if self.last < end => Err(self.lost(end)),
            _ => Ok(()),
        }
    }

    pub(super) fn lost(&self, promised: u64) -> Error {
        let file = generation::file_name(self.generation);
        let what = format!(
            "rows up to {promised} were promised, the readable frames end at {}",
            self.last
        );
        Error::corrupt(file, "frame", self.offset, what)
    }
}

/// Reads a file of which only the first `bytes` bytes are looked at, however it grows meanwhile.
pub(super) struct ChunkReader<'a> {
    pub(super) storage: &'a dyn Storage,
    pub(super) name: &'a str,
    pub(super) bytes: u64,
    pub(super) chunk: Vec<u8>,
    pub(super) start: u64,
}

impl ChunkReader<'_> {
    /// `len` bytes at `offset`, or as many as there are.
    fn get(&mut self, offset: u64, len: u64) -> Result<&[u8]> {
        let end = offset.saturating_add(len).min(self.bytes);
        let held = self.start..self.start + self.chunk.len() as u64;
        if offset < held.start || end > held.end {
            let read_to = end.max(offset.saturating_add(CHUNK_BYTES)).min(self.bytes);
            self.chunk = self.storage.read(self.name, offset..read_to)?;
            self.start = offset;
        }
        let place =
            |position: u64| usize::try_from(position.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let (from, to) = (
            place(offset).min(self.chunk.len()),
            place(end).min(self.chunk.len()),
        );
        Ok(self.chunk.get(from..to).unwrap_or_default())
    }

    /// The frame at `offset`, if it is whole.
    fn frame(&mut self, offset: u64, salt: u32) -> Result<Option<(FrameHeader, Vec<u8>)>> {
        let Some(header) = FrameHeader::read(self.get(offset, frame::HEADER_BYTES as u64)?, salt) else {
            return Ok(None);
        };
        let at = offset + frame::HEADER_BYTES as u64;
        if header.payload_bytes > MAX_PAYLOAD_BYTES || at + u64::from(header.payload_bytes) > self.bytes {
            return Ok(None);
        }
        let payload = self.get(at, u64::from(header.payload_bytes))?;
        Ok(header.fits(payload, salt).then(|| (header, payload.to_vec())))
    }

    /// The first whole frame at `offset` or behind it, and where it is.
    pub(super) fn next_frame(
        &mut self,
        offset: u64,
        salt: u32,
    ) -> Result<Option<(u64, FrameHeader, Vec<u8>)>> {
        let mut at = offset;
        while at < self.bytes {
            if let Some((header, payload)) = self.frame(at, salt)? {
                return Ok(Some((at, header, payload)));
            }
            at += 1;
            let chunk = self.get(at, CHUNK_BYTES)?;
            at += match memmem::find(chunk, b"FRAM") {
                Some(place) => place as u64,
                // The magic may lie across the end of a chunk.
                None => (chunk.len() as u64).saturating_sub(3).max(1),
            };
        }
        Ok(None)
    }

    /// Raises `durable` to what any frame header behind `offset` says.
    fn claims(&mut self, offset: u64, salt: u32, durable: &mut u64) -> Result<()> {
        let mut at = offset;
        while at < self.bytes {
            let chunk = self.get(at, CHUNK_BYTES)?;
            if chunk.is_empty() {
                break;
            }
            for place in memmem::find_iter(chunk, b"FRAM") {
                if let Some(header) = chunk
                    .get(place..)
                    .and_then(|bytes| FrameHeader::read(bytes, salt))
                {
                    *durable = (*durable).max(header.durable);
                }
            }
            // A header may lie across the end of a chunk.
            at += (chunk.len() as u64)
                .saturating_sub(frame::HEADER_BYTES as u64 - 1)
                .max(1);
        }
        Ok(())
    }
}
