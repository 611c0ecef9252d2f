//! Time, and a page cache that is really cold.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::fs::Advice;
use siltstone_store::section::FileBytes;
use siltstone_store::storage::Storage;
use siltstone_store::storage::file::FileStorage;

use crate::Fallible;

/// Seconds of a call: the best of some rounds, since other work on the machine only ever adds.
///
/// `call` gets the number of its input, below `inputs`. A round asks as many inputs as fit into a third of `budget`
/// seconds (at least one); rounds are repeated until the budget is spent, at most 25. A call that takes longer than the
/// whole budget is made once: its answer was checked before, so that it is not the first.
pub fn each(budget: f64, inputs: usize, mut call: impl FnMut(usize)) -> f64 {
    let start = Instant::now();
    let mut asked = 0;
    while asked < inputs && (asked == 0 || start.elapsed().as_secs_f64() < budget / 3.0) {
        call(asked);
        asked += 1;
    }
    let first = start.elapsed().as_secs_f64();
    if first > budget {
        return first / asked as f64;
    }
    let mut best = f64::INFINITY;
    for _ in 0..25 {
        let begun = Instant::now();
        for input in 0..asked {
            call(input);
        }
        best = best.min(begun.elapsed().as_secs_f64());
        if start.elapsed().as_secs_f64() > budget {
            break;
        }
    }
    best / asked as f64
}

/// The middle of some figures; not a number if there are none.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A file on disk that can be put out of the page cache.
#[derive(Debug)]
pub struct Kept {
    storage: FileStorage,
    name: String,
    path: PathBuf,
}

impl Kept {
    /// Writes the bytes and makes the disk take them, so that the cache may let them go.
    pub fn write(dir: &Path, name: &str, bytes: &[u8]) -> Fallible<Kept> {
        let path = dir.join(name);
        let mut file = File::create(&path)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(Kept {
            storage: FileStorage::new(dir),
            name: name.into(),
            path,
        })
    }

    /// Maps the file.
    pub fn map(&self) -> Fallible<FileBytes> {
        Ok(self.storage.map(&self.name)?)
    }

    /// Lets the page cache forget the file. No map of it may be left: mapped pages stay.
    pub fn forget(&self) -> Fallible<()> {
        forget(&self.path)
    }
}

/// Lets the page cache forget a file whose bytes are on the disk.
pub fn forget(path: &Path) -> Fallible<()> {
    let file = File::open(path)?;
    file.sync_all()?;
    rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
    Ok(())
}

/// Bytes that this process has fetched from a disk so far: cold is what makes this grow. 0 where the system does not tell.
pub fn fetched_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("read_bytes: "));
    line.and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
}

/// Seconds and bytes fetched of one question to a file that is in no cache: the middle of `times` tries.
///
/// A try opens the file, asks and closes it, as a program that was just started does.
pub fn cold(kept: &Kept, times: usize, mut ask: impl FnMut(FileBytes, usize)) -> Fallible<(f64, f64)> {
    let (mut seconds, mut bytes) = (Vec::new(), Vec::new());
    for time in 0..times {
        kept.forget()?;
        let before = fetched_bytes();
        let start = Instant::now();
        ask(kept.map()?, time);
        seconds.push(start.elapsed().as_secs_f64());
        bytes.push((fetched_bytes() - before) as f64);
    }
    Ok((median(seconds), median(bytes)))
}
