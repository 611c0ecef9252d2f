//! The manifest: which segments, models and log generations make up the store. Replaced whole, never changed in place.
//!
//! ```text
//! 0 magic "SILTMANI" | 8 major u16 | 10 minor u16 | 12 body bytes u32 | 16 crc32 u32 (of bytes 0..16 and the body)
//! 20 body
//! ```
//!
//! The fields of the body are listed in `docs/format/store.md` in the order in which [`Manifest::write`] writes them. A newer
//! minor version may add fields at the end, which older readers skip.

use std::sync::Arc;

use crate::codes::choose::Layout;
use crate::error::{Error, Result};
use crate::keep::pins::Pins;
use crate::keep::room::{ByRole, Role};
use crate::keep::{Loss, Retention};
use crate::schema::{ColumnId, SharedSchema, read_schema, write_schema};
use crate::storage::Storage;
use crate::wire::{Reader, Writer};

mod segments;

pub(crate) use segments::{SegmentEntry, segment_file};

/// Name of the file.
pub(crate) const FILE: &str = "manifest";
const BESIDE: &str = "manifest.new";
/// Version of the manifest's format.
pub(crate) const VERSION: (u16, u16) = (2, 0);

const MAGIC: &[u8; 8] = b"SILTMANI";
const HEADER_BYTES: usize = 20;

/// All that counts in a store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Manifest {
    /// Counts how often the manifest was written.
    pub edition: u64,
    /// Rows up to this sequence number were on disk, in segments or log, when the manifest was written.
    pub durable: u64,
    /// Oldest log generation with rows that are in no segment.
    pub oldest_generation: u64,
    /// Newest log generation that was there; smaller than the oldest when there is none.
    pub newest_generation: u64,
    /// Number of the next segment file.
    pub next_segment: u64,
    /// Number of the next stream.
    pub next_stream: u32,
    /// Bytes handed to the storage before this manifest.
    pub written: ByRole,
    /// Bytes that all rows ever sealed have in plain binary form.
    pub plain_bytes: u64,
    /// Bytes that the directory may take, 0 for any number.
    pub budget: u64,
    /// The streams.
    pub streams: Vec<StreamEntry>,
    /// The models.
    pub models: Vec<ModelEntry>,
    /// How far sources were read when the log before `oldest_generation` ended.
    pub sources: Vec<SourceEntry>,
    /// Named places in the sequence, kept for who reads on from there.
    pub cursors: Vec<CursorEntry>,
}

/// A stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamEntry {
    /// Number, never reused.
    pub id: u32,
    /// Name.
    pub name: String,
    /// Shape.
    pub schema: SharedSchema,
    /// Rows of this stream up to this sequence number are in segments.
    pub sealed: u64,
    /// Decimal digits that segments of this stream use, by column.
    pub digits: Vec<(ColumnId, u8)>,
    /// How new segments should be stored.
    pub wishes: Wishes,
    /// What may become of its rows.
    pub retention: Retention,
    /// Rows that go last.
    pub pins: Pins,
    /// What was given up.
    pub losses: Vec<Loss>,
    /// The segments, in the order of their first sequence number.
    pub segments: Vec<SegmentEntry>,
}

/// How the columns of a stream or segment should be stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Wishes {
    /// All columns but those below.
    pub all: Layout,
    /// Columns with a wish of their own, by ascending id.
    pub columns: Vec<(ColumnId, Layout)>,
}

/// All versions of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ModelEntry {
    /// Name.
    pub name: String,
    /// Version that the next one gets; never reused.
    pub next_version: u32,
    /// Version that is used when none is named; 0 for none.
    pub serving: u32,
    /// The versions kept: number, bytes, crc32.
    pub versions: Vec<(u32, u64, u32)>,
}

/// How far a source has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceEntry {
    /// Name of the source.
    pub name: String,
    /// Whatever it finds its place again by.
    pub position: Vec<u8>,
}

/// A named place in the sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CursorEntry {
    /// Name.
    pub name: String,
    /// Rows up to this one are done with.
    pub sequence: u64,
}

impl Manifest {
    /// The file's bytes.
    pub fn write(&self) -> Vec<u8> {
        let mut body = Writer::new();
        body.u64(self.edition);
        body.u64(self.durable);
        body.u64(self.oldest_generation);
        body.u64(self.newest_generation);
        body.u64(self.next_segment);
        body.u32(self.next_stream);
        body.list(&Role::ALL, |&role, out| out.u64(self.written.of(role)));
        body.u64(self.plain_bytes);
        body.u64(self.budget);
        body.list(&self.streams, StreamEntry::write);
        body.list(&self.models, |model, out| {
            out.bytes(model.name.as_bytes());
            out.u32(model.next_version);
            out.u32(model.serving);
            out.list(&model.versions, |&(version, bytes, crc), out| {
                out.u32(version);
                out.u64(bytes);
                out.u32(crc);
            });
        });
        body.list(&self.sources, |source, out| {
            out.bytes(source.name.as_bytes());
            out.bytes(&source.position);
        });
        body.list(&self.cursors, |cursor, out| {
            out.bytes(cursor.name.as_bytes());
            out.u64(cursor.sequence);
        });
        let body = body.into_bytes();
        let mut out = Writer::new();
        out.raw(MAGIC);
        out.u16(VERSION.0);
        out.u16(VERSION.1);
        out.u32(u32::try_from(body.len()).unwrap_or(u32::MAX));
        let mut bytes = out.into_bytes();
        bytes.extend_from_slice(&checksum(&bytes, &body).to_le_bytes());
        bytes.extend_from_slice(&body);
        bytes
    }

    /// Reads the file's bytes.
    ///
    /// # Errors
    /// `Corrupt` or `UnsupportedVersion`.
    pub fn read(bytes: &[u8]) -> Result<Manifest> {
        let mut input = Reader::new(bytes, FILE, "header");
        if input.raw(8)? != MAGIC {
            return Err(Error::corrupt(FILE, "header", 0, "this is not a manifest"));
        }
        let found = (input.u16()?, input.u16()?);
        if found.0 != VERSION.0 {
            return Err(Error::UnsupportedVersion {
                file: FILE.into(),
                found,
                supported: VERSION,
            });
        }
        let (len, crc) = (input.u32()? as usize, input.u32()?);
        if len != input.left() {
            return Err(input.corrupt(format!("{len} bytes expected, {} found", input.left())));
        }
        let body = input.raw(len)?;
        if checksum(bytes.get(..HEADER_BYTES - 4).unwrap_or_default(), body) != crc {
            return Err(input.corrupt("the checksum does not fit"));
        }
        let mut body = Reader::new(body, FILE, "body");
        let manifest = Manifest {
            edition: body.u64()?,
            durable: body.u64()?,
            oldest_generation: body.u64()?,
            newest_generation: body.u64()?,
            next_segment: body.u64()?,
            next_stream: body.u32()?,
            written: read_written(&mut body)?,
            plain_bytes: body.u64()?,
            budget: body.u64()?,
            streams: body.list(70, StreamEntry::read)?,
            models: body.list(16, read_model)?,
            sources: body.list(8, |input| {
                Ok(SourceEntry {
                    name: input.text()?.to_owned(),
                    position: input.bytes()?.to_vec(),
                })
            })?,
            cursors: body.list(12, |input| {
                Ok(CursorEntry {
                    name: input.text()?.to_owned(),
                    sequence: input.u64()?,
                })
            })?,
        };
        if body.left() > 0 && found.1 <= VERSION.1 {
            return Err(body.corrupt("bytes are left over"));
        }
        Ok(manifest)
    }

    /// Reads the manifest of a store.
    ///
    /// # Errors
    /// `Corrupt` or `UnsupportedVersion`; what the storage refused, also where there is no store.
    pub fn load(storage: &dyn Storage) -> Result<Manifest> {
        Manifest::read(&storage.read(FILE, 0..u64::MAX)?)
    }

    /// Puts this manifest in the place of the one before, as the next edition.
    ///
    /// # Errors
    /// `Poisoned` if nobody knows any more which of the two would be there after a power cut; anything else that the
    /// storage refused leaves the one before in place.
    pub fn store(&mut self, storage: &dyn Storage) -> Result<()> {
        let before = self.edition;
        self.edition = before.wrapping_add(1);
        let bytes = self.write();
        let written = storage.create(BESIDE).and_then(|file| {
            file.append(&bytes)?;
            file.sync()
        });
        if let Err(error) = written.and_then(|()| storage.rename(BESIDE, FILE)) {
            self.edition = before;
            // Only takes room; opening for writing would remove it too.
            let _ = storage.remove(BESIDE);
            return Err(error);
        }
        storage.sync_directory("").map_err(|error| Error::Poisoned {
            what: error.to_string(),
        })
    }
}

impl Wishes {
    /// How a column should be stored.
    pub fn of(&self, id: ColumnId) -> Layout {
        let own = self.columns.iter().find(|(column, _)| *column == id);
        own.map_or(self.all, |(_, layout)| *layout)
    }

    fn write(&self, out: &mut Writer) {
        out.u8(self.all.code());
        out.list(&self.columns, |&(column, layout), out| {
            out.u32(column.0);
            out.u8(layout.code());
        });
    }

    fn read(input: &mut Reader<'_>) -> Result<Wishes> {
        Ok(Wishes {
            all: read_layout(input)?,
            columns: input.list(5, |input| Ok((ColumnId(input.u32()?), read_layout(input)?)))?,
        })
    }
}

fn read_layout(input: &mut Reader<'_>) -> Result<Layout> {
    let code = input.u8()?;
    Layout::from_code(code).ok_or_else(|| input.corrupt(format!("unknown layout {code}")))
}

impl StreamEntry {
    fn write(&self, out: &mut Writer) {
        out.u32(self.id);
        out.bytes(self.name.as_bytes());
        write_schema(&self.schema, out);
        out.u64(self.sealed);
        out.list(&self.digits, |&(column, digits), out| {
            out.u32(column.0);
            out.u8(digits);
        });
        self.wishes.write(out);
        self.retention.write(out);
        self.pins.write(out);
        out.list(&self.losses, Loss::write);
        segments::write(&self.segments, out);
    }

    fn read(input: &mut Reader<'_>) -> Result<StreamEntry> {
        let (id, name) = (input.u32()?, input.text()?.to_owned());
        let schema = Arc::new(read_schema(input)?);
        Ok(StreamEntry {
            id,
            name,
            schema: schema.clone(),
            sealed: input.u64()?,
            digits: input.list(5, |input| Ok((ColumnId(input.u32()?), input.u8()?)))?,
            wishes: Wishes::read(input)?,
            retention: Retention::read(input)?,
            pins: Pins::read(input, &schema)?,
            losses: input.list(34, Loss::read)?,
            segments: segments::read(input)?,
        })
    }
}

/// Roles that a newer version knows besides are not counted.
fn read_written(input: &mut Reader<'_>) -> Result<ByRole> {
    let mut out = ByRole::default();
    let bytes = input.list(8, |input| input.u64())?;
    out.0.iter_mut().zip(bytes).for_each(|(sum, bytes)| *sum = bytes);
    Ok(out)
}

fn read_model(input: &mut Reader<'_>) -> Result<ModelEntry> {
    Ok(ModelEntry {
        name: input.text()?.to_owned(),
        next_version: input.u32()?,
        serving: input.u32()?,
        versions: input.list(16, |input| Ok((input.u32()?, input.u64()?, input.u32()?)))?,
    })
}

fn checksum(header: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    hasher.update(body);
    hasher.finalize()
}
