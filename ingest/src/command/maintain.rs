//! `silt maintain`: seals what is in the log and does what else is due.

use std::path::PathBuf;

use siltstone_store::store::{Options, Store};

use crate::failure::{Answer, Outcome};

/// Arguments of `silt maintain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory of the store
    pub store: PathBuf,
    /// Leave rows that have not filled a segment in the log
    #[arg(long)]
    pub no_seal: bool,
}

/// Seals each stream's tail and merges what overlaps.
///
/// # Errors
/// When the store cannot be written.
pub fn run(args: &Args) -> Outcome {
    super::common::open_read(&args.store)?;
    let store = Store::open(&args.store, Options::default())?;
    if !args.no_seal {
        for stream in store.streams() {
            store.seal(&stream)?;
        }
    }
    store.maintain()?;
    Ok(Answer::Done)
}
