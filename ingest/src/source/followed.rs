//! A file that grows, and that another program may shorten or replace while it is followed, as log rotation does.
//!
//! At its end the file is looked at anew: if it has become shorter than what was read of it, reading goes on at its start
//! (`copytruncate`); if another file has its name, the rest of the old one is read, and then the new one from its start.
//! A last line without its end is ended in between.

use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read, Result, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// The file that has a name, one after the other.
#[derive(Debug)]
pub struct Followed {
    path: PathBuf,
    file: File,
    read: u64,
    ends_line: bool,
    /// At the end of the present file, and another one had the name by then.
    replaced: bool,
}

impl Followed {
    /// Follows `file`, which was opened by the name `path`.
    pub fn new(path: &Path, file: File) -> Followed {
        Followed {
            path: path.to_owned(),
            file,
            read: 0,
            ends_line: true,
            replaced: false,
        }
    }

    /// Goes to the start of what has taken the place of the bytes read; false if nothing has.
    fn start_anew(&mut self) -> Result<bool> {
        if self.replaced {
            self.file = match File::open(&self.path) {
                Ok(file) => file,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(error),
            };
            self.replaced = false;
        } else if self.file.metadata()?.len() < self.read {
            self.file.seek(SeekFrom::Start(0))?;
        } else {
            // Whoever renamed the old file may still write to it until it opens the new one, so the old one is read once
            // more after the new one is seen.
            self.replaced = match std::fs::metadata(&self.path) {
                Ok(named) => !is_same(&self.file.metadata()?, &named),
                Err(error) if error.kind() == ErrorKind::NotFound => false,
                Err(error) => return Err(error),
            };
            return Ok(false);
        }
        self.read = 0;
        Ok(true)
    }
}

impl Read for Followed {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        loop {
            let count = self.file.read(out)?;
            if let Some(last) = out.get(..count).and_then(<[u8]>::last) {
                self.ends_line = *last == b'\n';
                self.read += count as u64;
                return Ok(count);
            }
            if out.is_empty() || !self.start_anew()? {
                return Ok(0);
            }
            if let (false, Some(first)) = (self.ends_line, out.first_mut()) {
                *first = b'\n';
                self.ends_line = true;
                return Ok(1);
            }
        }
    }
}

#[cfg(unix)]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    one.dev() == other.dev() && one.ino() == other.ino()
}

/// Elsewhere only a file that became shorter is noticed.
#[cfg(not(unix))]
fn is_same(_: &Metadata, _: &Metadata) -> bool {
    true
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Write;

    fn all(followed: &mut Followed) -> String {
        let (mut text, mut pauses) = (Vec::new(), 0);
        let mut buffer = [0; 7];
        // A new file is only gone to at the second pause.
        while pauses < 3 {
            match followed.read(&mut buffer).unwrap() {
                0 => pauses += 1,
                count => text.extend_from_slice(&buffer[..count]),
            }
        }
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn files_may_be_shortened_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        std::fs::write(&path, "first line\nsecond").unwrap();
        let mut followed = Followed::new(&path, File::open(&path).unwrap());
        assert_eq!(all(&mut followed), "first line\nsecond");
        let mut writer = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        writer.write_all(b" line").unwrap();
        assert_eq!(all(&mut followed), " line");

        writer.set_len(0).unwrap();
        writer.write_all(b"third\n").unwrap();
        assert_eq!(all(&mut followed), "\nthird\n");

        std::fs::rename(&path, folder.path().join("a.log.1")).unwrap();
        assert_eq!(all(&mut followed), "");
        writer.write_all(b"fourth\n").unwrap();
        std::fs::write(&path, "fifth\n").unwrap();
        assert_eq!(all(&mut followed), "fourth\nfifth\n");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(all(&mut followed), "");
    }
}
