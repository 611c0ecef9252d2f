//! Bytes of an input: a file (plain, gzip or zstd) or standard input, read and unpacked on a thread of its own.
//!
//! The thread sends chunks over a short channel, so reading, unpacking and parsing overlap, memory stays bounded and a
//! slow store slows the reader. It also lets the parser find out that nothing has come for a while (`--follow`).

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use crate::failure::{Failure, Outcome};
use crate::ram;
use crate::source::encoding::{Decoder, Encoding};
use crate::source::followed::Followed;

/// Chunks read ahead.
const CHUNKS_AHEAD: usize = 4;
/// How long a followed input may be silent before its rows are handed on.
const IDLE: Duration = Duration::from_millis(200);

/// How long a pipe that is not followed may be silent before it is said what that means.
const WAITING: Duration = Duration::from_secs(3);

/// What [`Input::more`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum More {
    /// There are more bytes than before.
    Data,
    /// Nothing came for a while (only when following).
    Idle,
    /// There is nothing more.
    End,
}

/// A growing window on the bytes of an input.
#[derive(Debug)]
pub struct Input {
    name: String,
    chunks: Option<Receiver<std::io::Result<Vec<u8>>>>,
    follow: bool,
    buffer: Vec<u8>,
    position: usize,
    hold: bool,
    read: Arc<AtomicU64>,
    size_bytes: Option<u64>,
    /// Why reading stopped, and whether it was for what the input holds.
    failed: Option<(bool, String)>,
    /// Standard input, and not a file.
    is_pipe: bool,
    said_waiting: bool,
}

impl Input {
    /// Opens a file, or standard input for `-`. `.gz` and `.zst` files are known by their first bytes. What is read is
    /// turned into UTF-8 from `encoding`.
    ///
    /// # Errors
    /// When the file cannot be opened, or is packed and `follow` is asked for.
    pub fn open(path: &Path, follow: bool, encoding: Encoding) -> Outcome<Input> {
        let read = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&read);
        if path == Path::new("-") {
            let source = Counted {
                inner: std::io::stdin(),
                read: counter,
            };
            return Ok(Input::spawn(
                "standard input".to_owned(),
                source,
                (follow, false),
                encoding,
                read,
                None,
            ));
        }
        let mut file = File::open(path).map_err(|e| Failure::io("open", path, &e))?;
        let metadata = file.metadata().map_err(|e| Failure::io("open", path, &e))?;
        if metadata.is_dir() {
            return Err(Failure::usage(format!(
                "{} is a directory; name the files in it",
                path.display()
            )));
        }
        let size_bytes = metadata.is_file().then_some(metadata.len());
        let name = path.display().to_string();
        let magic = if metadata.is_file() {
            peek(&mut file).map_err(|e| Failure::io("read", path, &e))?
        } else {
            [0; 4]
        };
        let packed = magic.starts_with(&[0x1f, 0x8b]) || magic == [0x28, 0xb5, 0x2f, 0xfd];
        if packed && follow {
            return Err(Failure::usage(format!(
                "{name} is compressed and cannot be followed"
            )));
        }
        if follow {
            let source = Counted {
                inner: Followed::new(path, file),
                read: counter,
            };
            return Ok(Input::spawn(
                name,
                source,
                (true, true),
                encoding,
                read,
                size_bytes,
            ));
        }
        let source = Counted {
            inner: file,
            read: counter,
        };
        Ok(if !packed {
            Input::spawn(name, source, (false, false), encoding, read, size_bytes)
        } else if magic[0] == 0x1f {
            Input::spawn(
                name,
                flate2::read::MultiGzDecoder::new(source),
                (false, false),
                encoding,
                read,
                size_bytes,
            )
        } else {
            Input::spawn(
                name,
                ZstdFrames::new(source),
                (false, false),
                encoding,
                read,
                size_bytes,
            )
        })
    }

    /// An input over bytes in memory, for tests and fuzzing.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Input {
        Input {
            name: name.to_owned(),
            chunks: None,
            follow: false,
            buffer: bytes.to_vec(),
            position: 0,
            hold: false,
            read: Arc::new(AtomicU64::new(bytes.len() as u64)),
            size_bytes: Some(bytes.len() as u64),
            failed: None,
            is_pipe: false,
            said_waiting: false,
        }
    }

    fn spawn(
        name: String,
        source: impl Read + Send + 'static,
        (follow, wait_at_end): (bool, bool),
        encoding: Encoding,
        read: Arc<AtomicU64>,
        size_bytes: Option<u64>,
    ) -> Input {
        let (sender, receiver) = sync_channel(CHUNKS_AHEAD);
        std::thread::spawn(move || send_chunks(source, &sender, wait_at_end, Decoder::new(encoding)));
        let buffer = Vec::new();
        Input {
            name,
            chunks: Some(receiver),
            follow,
            buffer,
            position: 0,
            hold: false,
            read,
            is_pipe: size_bytes.is_none(),
            said_waiting: false,
            size_bytes,
            failed: None,
        }
    }

    /// Name for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Size of the file, if it is one.
    pub fn size_bytes(&self) -> Option<u64> {
        self.size_bytes
    }

    /// A counter of the bytes read from the file so far, before unpacking.
    pub fn bytes_read(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.read)
    }

    /// The bytes that are there and not yet consumed.
    pub fn bytes(&self) -> &[u8] {
        self.buffer.get(self.position..).unwrap_or_default()
    }

    /// Marks `count` bytes as consumed.
    pub fn consume(&mut self, count: usize) {
        debug_assert!(
            count <= self.bytes().len(),
            "only bytes that are there are consumed"
        );
        self.position = (self.position + count).min(self.buffer.len());
    }

    /// Keeps consumed bytes from now on, for [`Input::rewind`]; gives the place to go back to.
    pub fn mark(&mut self) -> usize {
        self.hold = true;
        self.position
    }

    /// Goes back to the marked place and lets go of consumed bytes again.
    pub fn rewind(&mut self, mark: usize) {
        self.hold = false;
        self.position = mark;
    }

    /// Goes back over `count` consumed bytes; only right after consuming them.
    pub fn unread(&mut self, count: usize) {
        debug_assert!(count <= self.position, "only bytes just consumed can be put back");
        self.position = self.position.saturating_sub(count);
    }

    /// Waits for more bytes.
    ///
    /// # Errors
    /// When reading or unpacking fails; from then on always, so that what was read until then can be gone through again.
    pub fn more(&mut self) -> Outcome<More> {
        let Some(chunks) = &self.chunks else {
            return match &self.failed {
                Some((true, what)) => Err(Failure::refused(what)),
                Some((false, what)) => Err(Failure::System(what.clone())),
                None => Ok(More::End),
            };
        };
        let received = if self.follow {
            match chunks.recv_timeout(IDLE) {
                Err(RecvTimeoutError::Timeout) => return Ok(More::Idle),
                Err(RecvTimeoutError::Disconnected) => None,
                Ok(chunk) => Some(chunk),
            }
        } else if self.is_pipe && !self.said_waiting {
            match chunks.recv_timeout(WAITING) {
                Err(RecvTimeoutError::Timeout) => {
                    // Whoever watches a sensor this way would lose what it said when they stop.
                    eprintln!(
                        "silt: waiting for {}; rows are kept when some 100,000 have come, or it ends \
                         (--follow keeps them whenever it pauses)",
                        self.name
                    );
                    self.said_waiting = true;
                    return self.more();
                }
                Err(RecvTimeoutError::Disconnected) => None,
                Ok(chunk) => Some(chunk),
            }
        } else {
            chunks.recv().ok()
        };
        match received {
            None => {
                self.chunks = None;
                Ok(More::End)
            }
            Some(Err(error)) => {
                self.chunks = None;
                self.failed = Some(match error.kind() {
                    ErrorKind::InvalidData
                    | ErrorKind::InvalidInput
                    | ErrorKind::UnexpectedEof
                    | ErrorKind::Other => (
                        true,
                        format!("{} cannot be unpacked to its end: {error}", self.name),
                    ),
                    _ => (false, format!("cannot read {}: {error}", self.name)),
                });
                self.more()
            }
            Some(Ok(chunk)) => {
                if !self.hold {
                    self.buffer.drain(..self.position);
                    self.position = 0;
                    // A sample or a long record may have made it large.
                    let wanted = (self.buffer.len() + chunk.len()).next_power_of_two();
                    if self.buffer.capacity() / 4 > wanted {
                        self.buffer.shrink_to(wanted);
                    }
                }
                self.buffer.extend_from_slice(&chunk);
                Ok(More::Data)
            }
        }
    }
}

fn peek(file: &mut File) -> std::io::Result<[u8; 4]> {
    let mut magic = [0; 4];
    let mut filled = 0;
    while filled < magic.len() {
        match file.read(&mut magic[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    file.rewind()?;
    Ok(magic)
}

fn send_chunks(
    mut source: impl Read,
    sender: &SyncSender<std::io::Result<Vec<u8>>>,
    wait_at_end: bool,
    mut decoder: Decoder,
) {
    loop {
        let mut chunk = vec![0; ram::chunk_bytes()];
        let message = match source.read(&mut chunk) {
            Ok(0) if wait_at_end => {
                std::thread::sleep(IDLE);
                continue;
            }
            Ok(0) => return,
            Ok(n) => {
                chunk.truncate(n);
                Ok(decoder.decode(chunk))
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let failed = message.is_err();
        // The receiver is gone when the parser gave up: then nobody needs the rest.
        if sender.send(message).is_err() || failed {
            return;
        }
    }
}

struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(out)?;
        self.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// All frames of a zstd file, one after the other (tools that compress in parallel or append write many).
struct ZstdFrames<R: Read> {
    source: BufReader<R>,
    decoder: FrameDecoder,
    inside: bool,
}

impl<R: Read> ZstdFrames<R> {
    fn new(source: R) -> Self {
        ZstdFrames {
            source: BufReader::with_capacity(ram::chunk_bytes(), source),
            decoder: FrameDecoder::new(),
            inside: false,
        }
    }

    /// Enters the next frame; false at the end of the file.
    fn next_frame(&mut self) -> std::io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    std::io::copy(
                        &mut self.source.by_ref().take(u64::from(length)),
                        &mut std::io::sink(),
                    )?;
                }
                Err(error) => return Err(std::io::Error::new(ErrorKind::InvalidData, error)),
            }
        }
        Ok(false)
    }
}

impl<R: Read> Read for ZstdFrames<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        loop {
            if !self.inside && !self.next_frame()? {
                return Ok(0);
            }
            self.inside = true;
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                self.decoder
                    .decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(|error| std::io::Error::new(ErrorKind::InvalidData, error))?;
            }
            let n = self.decoder.read(out)?;
            if n > 0 {
                return Ok(n);
            }
            self.inside = false;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Write as _;

    fn all(path: &Path) -> Vec<u8> {
        let mut input = Input::open(path, false, Encoding::Utf8).unwrap();
        while input.more().unwrap() == More::Data {}
        input.bytes().to_vec()
    }

    #[test]
    fn packed_files_of_many_frames_are_unpacked() {
        let folder = tempfile::tempdir().unwrap();
        let text: Vec<u8> = (0..400_000u32)
            .flat_map(|i| (i * 7919 % 1000).to_string().into_bytes())
            .collect();
        let (first, second) = text.split_at(text.len() / 3);

        let gz = folder.path().join("a.gz");
        let mut bytes = Vec::new();
        for part in [first, second] {
            let mut encoder = flate2::write::GzEncoder::new(&mut bytes, flate2::Compression::fast());
            encoder.write_all(part).unwrap();
            encoder.finish().unwrap();
        }
        std::fs::write(&gz, &bytes).unwrap();
        assert!(all(&gz) == text, "gzip");
        std::fs::write(&gz, &bytes[..bytes.len() / 2]).unwrap();
        let mut cut = Input::open(&gz, false, Encoding::Utf8).unwrap();
        let failure = loop {
            match cut.more() {
                Ok(More::Data) => {}
                Ok(_) => panic!("a cut file has no end"),
                Err(failure) => break failure,
            }
        };
        assert_eq!(failure.exit_code(), 3);

        let zst = folder.path().join("a.zst");
        let mut bytes = Vec::new();
        for part in [first, second] {
            bytes.extend(ruzstd::encoding::compress_to_vec(
                part,
                ruzstd::encoding::CompressionLevel::Fastest,
            ));
            // A skippable frame of 5 bytes, as some tools put between.
            bytes.extend([0x50, 0x2a, 0x4d, 0x18, 5, 0, 0, 0, 1, 2, 3, 4, 5]);
        }
        std::fs::write(&zst, &bytes).unwrap();
        assert!(all(&zst) == text, "zstd");
    }
}
