//! `silt maintain`: seals what is in the log, does what else is due, and gives sealed rows another layout.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use siltstone_store::schema::TimeUnit;
use siltstone_store::store::{Layouts, Options, Store};

use super::ingest::parse_layouts;
use super::train::duration;
use crate::failure::{Answer, Outcome};
use crate::progress::{bytes_text, grouped};

/// How often the progress line is written again.
const REDRAW: Duration = Duration::from_millis(200);

/// Arguments of `silt maintain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
With --relayout sealed rows are written again in another layout, segment by segment: the new file is safe before the
old one goes, answers do not change, and programs that read the store go on. It may be stopped at any time; what is
done stays done. New rows keep the layout of their stream (silt ingest --layout).

Examples:
  silt maintain store
  silt maintain store --relayout small --older-than 30d
  silt maintain store --relayout rank,message=small --stream motors")]
pub struct Args {
    /// Directory of the store
    pub store: PathBuf,
    /// Leave rows that have not filled a segment in the log
    #[arg(long)]
    pub no_seal: bool,
    /// Give sealed rows this layout: rank, rank:smaller, scan, small, small:128, small:512; or COL=LAYOUT for a column
    #[arg(long, value_name = "LAYOUT,...", value_parser = parse_layouts)]
    pub relayout: Option<Layouts>,
    /// Only rows of this stream (default: of all streams)
    #[arg(long, requires = "relayout")]
    pub stream: Option<String>,
    /// Only segments whose last row is at least this old (90s, 12h, 30d)
    #[arg(long, value_name = "AGE", requires = "relayout")]
    pub older_than: Option<String>,
}

/// Seals each stream's tail, merges what overlaps, and writes segments again whose layouts are to change.
///
/// # Errors
/// When the store cannot be written.
pub fn run(args: &Args) -> Outcome {
    let seen = super::common::open_read(&args.store)?;
    let streams = match &args.stream {
        Some(stream) => {
            super::common::check_stream(&seen, stream)?;
            vec![stream.clone()]
        }
        None => seen.streams(),
    };
    drop(seen);
    let store = Store::open(&args.store, Options::default())?;
    if !args.no_seal {
        for stream in store.streams() {
            store.seal(&stream)?;
        }
    }
    store.maintain()?;
    if let Some(layouts) = &args.relayout {
        for stream in &streams {
            relayout(&store, stream, layouts, args.older_than.as_deref())?;
        }
    }
    Ok(Answer::Done)
}

fn relayout(store: &Store, stream: &str, layouts: &Layouts, older_than: Option<&str>) -> Outcome<()> {
    let unit = store.schema(stream)?.time_unit();
    let before = match older_than {
        Some(age) => Some(now(unit).saturating_sub(duration(age, unit)?)),
        None => None,
    };
    let started = Instant::now();
    let (mut segments, mut rows, mut bytes_before, mut bytes_after) = (0u64, 0u64, 0u64, 0u64);
    let redraws = std::io::stderr().is_terminal();
    let mut drawn: Option<Instant> = None;
    let line = |text: &str| {
        // What cannot be shown is not worth stopping for.
        let _ = write!(std::io::stderr(), "\r\x1b[K{text}");
    };
    let done = store.relayout(stream, layouts, before, &mut |relaid| {
        segments += 1;
        rows += relaid.rows;
        bytes_before += relaid.bytes_before;
        bytes_after += relaid.bytes_after;
        if redraws && drawn.is_none_or(|when| when.elapsed() > REDRAW) {
            drawn = Some(Instant::now());
            line(&format!(
                "{stream}: {segments} of {} segments, {} are {}",
                segments + relaid.left,
                bytes_text(bytes_before),
                bytes_text(bytes_after)
            ));
        }
    });
    if drawn.is_some() {
        line("");
    }
    let seconds = started.elapsed().as_secs_f64();
    if segments == 0 {
        eprintln!("silt: {stream}: no segment to write again");
    } else {
        eprintln!(
            "silt: {stream}: {segments} segments with {} rows in {layouts}: {} bytes are {} bytes ({seconds:.2} s)",
            grouped(rows),
            grouped(bytes_before),
            grouped(bytes_after),
        );
    }
    Ok(done?)
}

/// This machine's time in ticks since 1970.
fn now(unit: TimeUnit) -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let ticks = since.as_nanos() / (1_000_000_000 / u128::from(unit.per_second().unsigned_abs()));
    i64::try_from(ticks).unwrap_or(i64::MAX)
}
