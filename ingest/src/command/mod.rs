//! The sub-commands of `silt`, one file each.
//!
//! To add one: a file with an `Args` struct (`#[derive(clap::Args)]`) and `pub fn run(args: &Args) -> Outcome`, then
//! one line in [`Command`] and one in [`Command::run`].

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::Outcome;

pub mod area;
pub mod calibrate;
pub mod common;
pub mod count;
pub mod demo;
pub mod detect;
pub mod export;
pub mod ingest;
pub mod maintain;
pub mod measure;
pub mod model;
pub mod repair;
pub mod search;
pub mod sql;
pub mod stat;
pub mod train;
pub mod verify;

/// Keep, ask and watch what sensors say.
///
/// A store is a directory of streams. Put rows in with `ingest`, look with `stat`, ask with `count`, `search` and
/// `sql`; every question is answered on the compressed files.
#[derive(Debug, Parser)]
#[command(name = "silt", version, max_term_width = 110, after_help = EXIT_CODES)]
pub struct Cli {
    /// Memory that a command may hold: 16M, 1G. A smaller number means smaller pieces, not failure
    #[arg(long, global = true, value_name = "SIZE", value_parser = ingest::parse_size, default_value = "128M")]
    pub ram: u64,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Answers go to standard output, progress and notes to standard error. Times are printed as RFC 3339 in UTC.

Exit codes:
  0  done
  1  the answer is \"no\" (verify found damage)
  2  wrong usage
  3  input or stored data was refused (what was accepted is kept)
  4  the system refused (no such file, no space left, store locked)";

/// The sub-commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch a simulated machine from raw signal to alarm
    Demo(demo::Args),
    /// Add rows from CSV, JSON lines or logs to a stream
    Ingest(ingest::Args),
    /// Ask in SQL; without QUERY, a shell
    Sql(sql::Args),
    /// Count the rows that meet a condition
    Count(count::Args),
    /// Find the rows whose text contains a pattern
    Search(search::Args),
    /// Show what is in a store, and what each column costs
    Stat(stat::Args),
    /// Write the rows of a stream to a file
    Export(export::Args),
    /// Learn what healthy rows of a stream look like
    Train(train::Args),
    /// Score every window of a stream with a model, and raise alarms
    Detect(detect::Args),
    /// List, show, roll back and delete models
    Model(model::Args),
    /// Seal what is in the log, merge what overlaps
    Maintain(maintain::Args),
    /// Read every byte of a store and list the damage found
    Verify(verify::Args),
    /// Save what can be read of a damaged store in a new one
    Repair(repair::Args),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Whatever stopped the command.
    pub fn run(&self) -> Outcome {
        match self {
            Command::Demo(args) => demo::run(args),
            Command::Ingest(args) => ingest::run(args),
            Command::Sql(args) => sql::run(args),
            Command::Count(args) => count::run(args),
            Command::Search(args) => search::run(args),
            Command::Stat(args) => stat::run(args),
            Command::Export(args) => export::run(args),
            Command::Train(args) => train::run(args),
            Command::Detect(args) => detect::run(args),
            Command::Model(args) => model::run(args),
            Command::Maintain(args) => maintain::run(args),
            Command::Verify(args) => verify::run(args),
            Command::Repair(args) => repair::run(args),
        }
    }
}

/// Standard output, buffered; what is printed there is the answer and nothing else.
pub(crate) fn stdout() -> Box<dyn Write + Send> {
    Box::new(std::io::BufWriter::new(std::io::stdout()))
}

/// Prints a whole answer.
pub(crate) fn print(text: &str) -> Outcome<()> {
    let mut out = stdout();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Runs the command line `args` (program name first) and says with which code to exit.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    crate::ram::set(cli.ram);
    match cli.command.run() {
        Ok(answer) => ExitCode::from(answer.exit_code()),
        Err(failure) => {
            if !matches!(failure, crate::failure::Failure::OutputClosed) {
                eprintln!("silt: {failure}");
            }
            ExitCode::from(failure.exit_code())
        }
    }
}
