//! Lines that were refused, kept in the store as `rejects/<stream>.jsonl`.
//!
//! Each line is an object: `input` (file name), `line` (counted from 1), `reason` (a sentence), `text` (the line as it
//! came; at most 64 KiB of it, then `cut` is true; bytes that are not UTF-8 are replaced).

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Outcome};
use crate::source::Refusal;

/// Bytes of a refused line that are kept.
const MAX_TEXT_BYTES: usize = 64 << 10;

/// The reject file of a stream. It is created with the first refused line.
#[derive(Debug)]
pub struct Rejects {
    path: PathBuf,
    file: Option<BufWriter<File>>,
    count: u64,
    first: Option<String>,
}

impl Rejects {
    /// The reject file of `stream` in the store at `store`.
    pub fn new(store: &Path, stream: &str) -> Rejects {
        let mut name = String::new();
        for c in stream.chars() {
            match c {
                'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' => name.push(c),
                '.' if !name.is_empty() => name.push(c),
                // A name is never a path.
                other => name.push_str(&format!("%{:02X}", u32::from(other))),
            }
        }
        Rejects {
            path: store.join("rejects").join(name + ".jsonl"),
            file: None,
            count: 0,
            first: None,
        }
    }

    /// Writes down a refused record of `input`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn add(&mut self, input: &str, refusal: &Refusal<'_>) -> Outcome<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                if let Some(folder) = self.path.parent() {
                    std::fs::create_dir_all(folder).map_err(|e| Failure::io("create", folder, &e))?;
                }
                let file = OpenOptions::new().create(true).append(true).open(&self.path);
                self.file.insert(BufWriter::new(
                    file.map_err(|e| Failure::io("open", &self.path, &e))?,
                ))
            }
        };
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
        writeln!(file, "{entry}").map_err(|e| Failure::io("write", &self.path, &e))?;
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
        match &mut self.file {
            Some(file) => file.flush().map_err(|e| Failure::io("write", &self.path, &e)),
            None => Ok(()),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lines refused.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Where and why the first line was refused.
    pub fn first(&self) -> Option<&str> {
        self.first.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_name_is_never_a_path() {
        let name = |stream: &str| Rejects::new(Path::new("s"), stream).path().display().to_string();
        assert_eq!(name("a.b"), "s/rejects/a.b.jsonl");
        assert_eq!(name("../x/y"), "s/rejects/%2E.%2Fx%2Fy.jsonl");
    }
}
