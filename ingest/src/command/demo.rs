//! `silt demo`: a machine with a bearing that starts to fail, from raw signal to alarm.

use std::path::{Path, PathBuf};

use siltstone_store::store::Store;

use crate::demo::machine::Scenario;
use crate::demo::story;
use crate::failure::{Answer, Failure, Outcome};

/// Arguments of `silt demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory for the store that the demo leaves behind
    #[arg(long, default_value = "demo-store")]
    pub dir: PathBuf,
    /// Replace the store of an earlier demo
    #[arg(long)]
    pub force: bool,
    /// Days to simulate
    #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u16).range(5..=60))]
    pub days: u16,
    /// Start of all random choices
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Tells the story on standard output.
///
/// # Errors
/// When there is something in the way of the store, or the system refuses.
pub fn run(args: &Args) -> Outcome {
    make_way(&args.dir, args.force)?;
    let scenario = Scenario {
        days: usize::from(args.days),
        seed: args.seed,
    };
    story::tell(&args.dir, scenario, &mut std::io::stdout().lock())?;
    Ok(Answer::Done)
}

/// Deletes the store of an earlier demo if asked to, and nothing else ever.
fn make_way(directory: &Path, force: bool) -> Outcome<()> {
    let io = |error: std::io::Error| Failure::io("look into", directory, &error);
    if !directory.exists() || std::fs::read_dir(directory).map_err(io)?.next().is_none() {
        return Ok(());
    }
    let streams = Store::open_read(directory)
        .map(|store| store.streams())
        .unwrap_or_default();
    let of_demo = [
        "bearing_healthy",
        "events",
        "machine",
        "vibration",
        "vibration_detections",
    ];
    let is_demo = !streams.is_empty() && streams.iter().all(|name| of_demo.contains(&name.as_str()));
    match (is_demo, force) {
        (true, true) => std::fs::remove_dir_all(directory)
            .map_err(|error| Failure::io("delete the earlier demo in", directory, &error)),
        (true, false) => Err(Failure::usage(format!(
            "{} holds the store of an earlier demo; --force replaces it, --dir names another place",
            directory.display()
        ))),
        (false, _) => Err(Failure::usage(format!(
            "{} is not empty, and not the store of an earlier demo; --dir names another place",
            directory.display()
        ))),
    }
}
