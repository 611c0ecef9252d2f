//! Memory-mapped files: the only `unsafe` of this room.
//!
//! A mapped file must not shrink while it is mapped: the system answers a read behind the new end by killing the
//! process (SIGBUS). This library never truncates or rewrites a file that it maps: segments and models are written
//! under another name, renamed once complete, and afterwards only unlinked, which leaves mapped bytes alive. Another
//! program that truncates a segment in place can stop a reader, but cannot make it read outside the mapping; where that is
//! to be feared, [`super::file::FileStorage::unmapped`] reads files instead.

#![allow(unsafe_code)]

use std::fs::File;

use memmap2::Mmap;

/// Maps all bytes of `file` for reading.
pub(super) fn map(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: `Mmap` hands out `&[u8]`, so the bytes must not change while the mapping lives. Only immutable files come
    // here (segments and models, see above): nobody who keeps to this library's rules writes to them again. Bytes that
    // are changed behind our back are checked by crc32 on first touch and treated as claims after that, and no code
    // relies on two reads giving the same byte for its memory safety: every access goes through a checked slice.
    unsafe { Mmap::map(file) }
}
