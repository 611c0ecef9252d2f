//! One file of the log. Never truncated, reused or mapped.
//!
//! ```text
//! 0 magic "SILTLOG\0" | 8 major u16 | 10 minor u16 | 12 salt u32 | 16 generation u64
//! 24 continues after u64 | 32 crc32 u32 (of bytes 0..32) | 36 zero u32 | frames
//! ```
//!
//! `continues after` is the sequence number that all earlier generations end at: frames of theirs beyond it do not
//! count, and all frames up to it must be there. A generation gets its name only once its header (and the frames that
//! it takes over from a generation before) are on disk, so a header that makes no sense is damage.

use crate::error::{Error, Result};
use crate::storage::Storage;
use crate::wire::{Reader, Writer};

/// Bytes before the first frame.
pub(crate) const HEADER_BYTES: u64 = 40;
/// Version of the log's format.
pub(crate) const VERSION: (u16, u16) = (1, 0);

const MAGIC: &[u8; 8] = b"SILTLOG\0";
const PREFIX: &str = "log-";

/// What a generation says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GenerationHeader {
    /// Its number.
    pub generation: u64,
    /// What checksums of its frames start from.
    pub salt: u32,
    /// Sequence number that the generations before end at.
    pub continues_after: u64,
}

impl GenerationHeader {
    /// The header's bytes.
    pub fn write(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.raw(MAGIC);
        out.u16(VERSION.0);
        out.u16(VERSION.1);
        out.u32(self.salt);
        out.u64(self.generation);
        out.u64(self.continues_after);
        let mut bytes = out.into_bytes();
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes
    }

    /// Reads the header of generation `generation` from the first bytes of its file.
    ///
    /// # Errors
    /// `Corrupt` or `UnsupportedVersion` naming the file.
    pub fn read(bytes: &[u8], generation: u64) -> Result<GenerationHeader> {
        let file = file_name(generation);
        let mut input = Reader::new(bytes, &file, "header");
        if input.raw(8)? != MAGIC {
            return Err(Error::corrupt(file, "header", 0, "this is not a log"));
        }
        let found = (input.u16()?, input.u16()?);
        if found.0 != VERSION.0 {
            return Err(Error::UnsupportedVersion {
                file,
                found,
                supported: VERSION,
            });
        }
        let header = GenerationHeader {
            salt: input.u32()?,
            generation: input.u64()?,
            continues_after: input.u64()?,
        };
        let (crc, zero) = (input.u32()?, input.u32()?);
        if crc32fast::hash(bytes.get(..32).unwrap_or_default()) != crc || zero != 0 {
            return Err(Error::corrupt(file, "header", 32, "the checksum does not fit"));
        }
        if header.generation != generation {
            return Err(Error::corrupt(
                file,
                "header",
                16,
                format!("this is generation {}", header.generation),
            ));
        }
        Ok(header)
    }
}

/// Name of a generation's file.
pub(crate) fn file_name(generation: u64) -> String {
    format!("{PREFIX}{generation:010}")
}

/// Name under which a generation is written before it counts.
pub(crate) fn temporary_name(generation: u64) -> String {
    format!("{PREFIX}{generation:010}.new")
}

/// Generation of a file name, if it is one.
pub(crate) fn generation_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(PREFIX)?;
    let generation = digits.parse().ok()?;
    (file_name(generation) == name).then_some(generation)
}

/// Generations in the store's directory and the bytes of their files, oldest first.
///
/// # Errors
/// What the storage refused.
pub(crate) fn list(storage: &dyn Storage) -> Result<Vec<(u64, u64)>> {
    let entries = storage.list("")?;
    let mut out: Vec<(u64, u64)> = entries
        .iter()
        .filter_map(|entry| Some((generation_of(&entry.name)?, entry.bytes)))
        .collect();
    out.sort_unstable();
    Ok(out)
}
