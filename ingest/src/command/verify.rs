//! `silt verify`: every byte of a store is read and checked, and what downsampled rows say of the rows that they stand for.

use std::path::PathBuf;

use siltstone_store::predicate::Predicate;
use siltstone_store::store::Store;

use crate::failure::{Answer, Outcome};
use crate::progress::grouped;

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
    let store = super::common::open_read(&args.store)?;
    let damage = store.verify()?;
    let lines: Vec<String> = damage.iter().map(|error| format!("{error}\n")).collect();
    super::print(&lines.concat())?;
    match damage.len() {
        0 => eprintln!("silt: no damage found in {}", args.store.display()),
        n => eprintln!("silt: {n} damaged places in {}", args.store.display()),
    }
    if damage.is_empty() {
        say_rows(&store)?;
    }
    Ok(if damage.is_empty() {
        Answer::Done
    } else {
        Answer::No
    })
}

/// Says how many rows there are, and how many of them are kept as buckets.
fn say_rows(store: &Store) -> Outcome<()> {
    let (mut rows, mut stored, mut standing) = (0, 0, 0);
    for stream in store.streams() {
        let snapshot = store.snapshot(&stream)?;
        rows += snapshot.count(&Predicate::All)?;
        let parts = snapshot.parts().iter().enumerate();
        for (part, _) in parts {
            let one = snapshot.with_parts(|other| other == part);
            if one.has_buckets() {
                stored += one.row_count();
                standing += one.count(&Predicate::All)?;
            }
        }
    }
    if stored > 0 {
        eprintln!(
            "silt: {} rows, of which {} are kept as {} buckets",
            grouped(rows),
            grouped(standing),
            grouped(stored)
        );
    } else {
        eprintln!("silt: {} rows", grouped(rows));
    }
    Ok(())
}
