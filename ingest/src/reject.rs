//! Lines that were refused, kept in the store as `rejects/<stream>.jsonl`.
//!
//! Each line is an object: `input` (file name), `line` (counted from 1), `reason` (a sentence), `text` (the line as it
//! came; at most 64 KiB of it, then `cut` is true; bytes that are not UTF-8 are replaced).

use std::path::{Path, PathBuf};

use siltstone_store::store::Store;

use crate::failure::Outcome;
use crate::source::Refusal;

/// Bytes of a refused line that are kept.
const MAX_TEXT_BYTES: usize = 64 << 10;
/// Bytes that are gathered before they are written.
const BUFFER_BYTES: usize = 32 << 10;

/// The reject file of a stream. It is created with the first refused line.
#[derive(Debug)]
pub struct Rejects<'a> {
    store: &'a Store,
    name: String,
    path: PathBuf,
    buffer: Vec<u8>,
    buffered: u64,
    count: u64,
    unkept: u64,
    first: Option<String>,
}

impl<'a> Rejects<'a> {
    /// The reject file of `stream` in `store`.
    pub fn new(store: &'a Store, stream: &str) -> Rejects<'a> {
        let name = file_name(stream);
        Rejects {
            store,
            path: store.path().join("rejects").join(&name),
            name,
            buffer: Vec::new(),
            buffered: 0,
            count: 0,
            unkept: 0,
            first: None,
        }
    }

    /// Writes down a refused record of `input`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn add(&mut self, input: &str, refusal: &Refusal<'_>) -> Outcome<()> {
        let text = refusal.text.get(..MAX_TEXT_BYTES).unwrap_or(refusal.text);
        let mut entry = serde_json::json!({
            "input": input,
            "line": refusal.line,
            "reason": refusal.reason,
            "text": String::from_utf8_lossy(text),
        });
        if text.len() < refusal.text.len() {
            entry["cut"] = true.into();
        }
        let line = format!("{entry}\n");
        if self.buffer.len() + line.len() > BUFFER_BYTES {
            self.flush()?;
        }
        self.buffer.extend_from_slice(line.as_bytes());
        self.buffered += 1;
        self.count += 1;
        if self.first.is_none() {
            self.first = Some(format!("{input}, line {}: {}", refusal.line, refusal.reason));
        }
        Ok(())
    }

    /// Hands everything to the operating system.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn flush(&mut self) -> Outcome<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        if !self.store.append_rejects(&self.name, &self.buffer)? {
            self.unkept += self.buffered;
        }
        self.buffer.clear();
        self.buffered = 0;
        Ok(())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lines refused.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Lines refused that the store's budget has no room to keep.
    pub fn unkept(&self) -> u64 {
        self.unkept
    }

    /// Where and why the first line was refused.
    pub fn first(&self) -> Option<&str> {
        self.first.as_deref()
    }
}

impl Drop for Rejects<'_> {
    fn drop(&mut self) {
        // After a failure that has been reported already.
        let _ = self.flush();
    }
}

/// Name of a stream's reject file: letters, digits, and never a path.
fn file_name(stream: &str) -> String {
    let mut name = String::new();
    for c in stream.chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' => name.push(c),
            '.' if !name.is_empty() => name.push(c),
            other => name.push_str(&format!("%{:02X}", u32::from(other))),
        }
    }
    name + ".jsonl"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_name_is_never_a_path() {
        assert_eq!(file_name("a.b"), "a.b.jsonl");
        assert_eq!(file_name("../x/y"), "%2E.%2Fx%2Fy.jsonl");
    }
}
