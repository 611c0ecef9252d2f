//! `silt verify`: every byte of a store is read and checked.

use std::path::PathBuf;

use crate::failure::{Answer, Outcome};

/// Arguments of `silt verify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory of the store
    pub store: PathBuf,
}

/// Prints each damage found, one a line; the answer is "no" when there is any.
///
/// # Errors
/// When the store cannot be opened at all.
pub fn run(args: &Args) -> Outcome {
    let damage = super::common::open_read(&args.store)?.verify()?;
    let lines: Vec<String> = damage.iter().map(|error| format!("{error}\n")).collect();
    super::print(&lines.concat())?;
    match damage.len() {
        0 => eprintln!("silt: no damage found in {}", args.store.display()),
        n => eprintln!("silt: {n} damaged places in {}", args.store.display()),
    }
    Ok(if damage.is_empty() {
        Answer::Done
    } else {
        Answer::No
    })
}
