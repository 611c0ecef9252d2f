//! `silt count`: how many rows meet a condition.

use std::path::PathBuf;

use super::common::Reading;
use crate::failure::Outcome;
use crate::filter;

/// Arguments of `silt count`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  silt count store climate
  silt count store climate --where \"temp_c > 25.5 AND node IN ('A1', 'A2')\"
  silt count store dns --where \"query LIKE '%.example.org' AND rcode_name <> 'NOERROR'\"")]
pub struct Args {
    /// Directory of the store
    pub store: PathBuf,
    /// Stream to ask
    pub stream: String,
    /// Which rows
    #[command(flatten)]
    pub condition: Condition,
    /// How to read
    #[command(flatten)]
    pub reading: Reading,
}

/// The option `--where`.
#[derive(Debug, clap::Args)]
pub struct Condition {
    /// Only rows that meet this condition, a subset of SQL: = <> < <= > >=, BETWEEN, IN, LIKE, IS NULL, AND, OR, NOT.
    /// Text and times stand in single quotes, odd column names in double quotes
    #[arg(long = "where", value_name = "EXPR")]
    pub expression: Option<String>,
}

/// Prints the number of rows.
///
/// # Errors
/// When the store or the condition cannot be read.
pub fn run(args: &Args) -> Outcome {
    let store = args.reading.open(&args.store)?;
    let (snapshot, answer) = args.reading.snapshot(&store, &args.stream)?;
    let predicate = filter::parse_optional(args.condition.expression.as_deref(), snapshot.schema())?;
    let count = snapshot.count(&predicate)?;
    super::print(&format!("{count}\n"))?;
    Ok(answer)
}
