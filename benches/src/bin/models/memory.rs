//! What a model occupies: how much this process grows from before its file is mapped until after its first inference,
//! against the file, the arena and a quarter of a MiB. One process per model, since memory once touched is kept. Code that
//! was mapped on the way is told apart: it is there once, whatever the number of models.

use std::path::Path;
use std::process::Command;

use siltstone_ml_bridge::engine::{Engine, to_bytes_packed};
use siltstone_ml_bridge::kernel::Isa;
use siltstone_ml_bridge::model::{Model, file};
use siltstone_store::storage::Storage;
use siltstone_store::storage::file::FileStorage;

use crate::Failure;

/// Bytes that a model may occupy beyond its file and its arena.
const SPARE: u64 = 256 << 10;

/// Resident bytes: of memory of its own, and of files.
fn resident() -> Result<[u64; 2], Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
        number
            .map(|kib| kib * 1024)
            .ok_or(format!("no {name} in /proc/self/status"))
    };
    Ok([field("RssAnon:")?, field("RssFile:")?])
}

/// Resident bytes of mappings of the file `name`.
fn resident_of(name: &str) -> Result<u64, Failure> {
    let maps = std::fs::read_to_string("/proc/self/smaps")?;
    let (mut inside, mut bytes) = (false, 0);
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("Rss:") if inside => bytes += words.next().map_or(Ok(0), str::parse::<u64>)? * 1024,
            Some(first) if first.contains('-') => inside = line.ends_with(&format!("/{name}")),
            _ => {}
        }
    }
    Ok(bytes)
}

/// Measures the models of `models` in a process of their own each, as packed and as plain files.
pub fn all(model: &Model, name: &str, isa: Isa) -> Result<(), Failure> {
    let directory = tempfile::tempdir()?;
    for (form, bytes) in [
        ("plain", file::to_bytes(model)),
        ("packed", to_bytes_packed(model, isa)?),
    ] {
        std::fs::write(directory.path().join(form), &bytes)?;
        let child = Command::new(std::env::current_exe()?)
            .args(["--memory-of", form, "--isa", isa.name()])
            .current_dir(directory.path())
            .output()?;
        print!(
            "{name:32} {:12} {form:6} {}",
            isa.name(),
            String::from_utf8_lossy(&child.stdout)
        );
    }
    Ok(())
}

/// Opens and runs the file `name` here, and says by how much this process grew.
pub fn one(name: &str, isa: Isa) -> Result<(), Failure> {
    let storage = FileStorage::new(Path::new("."));
    // Code and buffers that the first model of all needs are no model's own.
    let tiny = crate::made::tiny()?;
    let mut engine = Engine::with_isa(&tiny, isa)?;
    engine.run(&[1; 4], &mut [0; 4])?;
    let before = resident()?;
    let mut engine = Engine::open(&storage.map(name)?, isa)?;
    let (input, mut output) = (vec![3i8; engine.input_count()], vec![0; engine.output_count()]);
    engine.run(&input, &mut output)?;
    let after = resident()?;
    let [own, mapped] = [0, 1].map(|kind| after[kind].saturating_sub(before[kind]));
    let of_file = resident_of(name)?;
    let (size, arena) = (std::fs::metadata(name)?.len(), engine.arena_bytes() as u64);
    let most = size + arena + SPARE;
    println!(
        "file {size:7} arena {arena:6} grown by {own:7} own, {of_file:7} of the file: {:3} % of file, arena and 256 KiB; {:7} code",
        (own + of_file) * 100 / most,
        mapped.saturating_sub(of_file)
    );
    Ok(())
}
