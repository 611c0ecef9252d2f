//! `silt repair`: what can be read of a damaged store, in a new one.

use std::io::Write;
use std::path::PathBuf;

use serde_json::json;
use siltstone_store::store::{Lost, Repaired, Store};

use crate::failure::{Answer, Failure, Outcome};
use crate::progress::{Work, grouped};

/// Arguments of `silt repair`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The damaged store is only read. Rows that can be read go to the new store; a value that cannot be read is null there,
and rejects/repair.jsonl in it lists every loss: file, stream, column, rows, reason. Downsampled rows stay buckets, and
rounded values keep their error. Policies, pins and the budget are those of before if the manifest could be read; named
cursors start again.

Examples:
  silt verify store
  silt repair store --to store.repaired && silt verify store.repaired")]
pub struct Args {
    /// Directory of the damaged store
    pub store: PathBuf,
    /// Directory of the new store, which must not exist yet
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
}

/// Salvages, and prints what is lost; the answer is "no" when anything is.
///
/// # Errors
/// When there is no store, something is in the new place already, or the system refuses.
pub fn run(args: &Args) -> Outcome {
    if !args.store.is_dir() {
        return Err(Failure::System(format!(
            "there is no store at {}",
            args.store.display()
        )));
    }
    let work = Work::new("repair", "rows");
    let report = Store::repair(&args.store, &args.to, crate::ram::options(), &mut |rows| {
        work.add(rows)
    })?;
    work.end();
    write_losses(args, &report)?;
    let lines = report.lost.iter().map(|lost| format!("{}\n", line(lost)));
    super::print(&lines.collect::<String>())?;
    eprintln!(
        "silt: {} rows and {} models saved in {}; {} rows and {} single values lost",
        grouped(report.rows),
        report.models,
        args.to.display(),
        grouped(report.rows_lost()),
        grouped(report.values_lost()),
    );
    if report.buckets > 0 {
        eprintln!(
            "silt: {} of the new store's rows are buckets, counted with all that they stand for",
            grouped(report.buckets)
        );
    }
    let whole = report.lost.is_empty() && report.damage.is_empty();
    if report.lost.is_empty() {
        for error in &report.damage {
            eprintln!("silt: {error}");
        }
    }
    Ok(if whole { Answer::Done } else { Answer::No })
}

fn line(lost: &Lost) -> String {
    let column = lost.column.as_deref().unwrap_or("every column");
    format!(
        "{} {}: {column}, rows {}..{}: {}",
        lost.file, lost.stream, lost.rows.start, lost.rows.end, lost.reason
    )
}

fn write_losses(args: &Args, report: &Repaired) -> Outcome<()> {
    if report.lost.is_empty() {
        return Ok(());
    }
    let mut text = Vec::new();
    for lost in &report.lost {
        let entry = json!({
            "file": lost.file, "stream": lost.stream, "column": lost.column,
            "first_row": lost.rows.start, "rows": lost.rows.end - lost.rows.start, "reason": lost.reason,
        });
        writeln!(text, "{entry}")?;
    }
    let store = Store::open(&args.to, crate::ram::options())?;
    if !store.append_rejects("repair.jsonl", &text)? {
        eprintln!("silt: the budget leaves no room for rejects/repair.jsonl");
    }
    store.close()?;
    Ok(())
}
