//! `silt maintain`: seals what is in the log, does what else is due, and gives sealed rows another layout.

use std::io::{IsTerminal, Write};
use std::ops::{Bound, Range};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use siltstone_store::predicate::Predicate;
use siltstone_store::schema::TimeUnit;
use siltstone_store::store::{Layouts, Options, Pin, Retention, Store};
use siltstone_store::value::Value;

use super::ingest::{parse_layouts, parse_retention, parse_size};
use super::train::duration;
use crate::clock::{parse_calendar, parse_count};
use crate::failure::{Answer, Failure, Outcome};
use crate::filter;
use crate::progress::{bytes_text, grouped};

/// How often the progress line is written again.
const REDRAW: Duration = Duration::from_millis(200);

/// Arguments of `silt maintain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
With --relayout sealed rows are written again in another layout, segment by segment: the new file is safe before the
old one goes, answers do not change, and programs that read the store go on. It may be stopped at any time; what is
done stays done. New rows keep the layout of their stream (silt ingest --layout). fm counts rows with a substring in
microseconds and names them in steps of its row samples: fm:32 has twice as many, fm:count has none, fm:least has no
counters either.

With a budget the store's directory never takes more bytes, at no moment. When it is full, the oldest rows go, of all
streams whose policy allows it; where nothing may go, new rows are refused. Policies: drop=full (the default), drop=30d
(rows that old go, counted from the newest row), drop=30d/full, keep. Pinned rows go last. Before they go, rows
may be stored smaller (small=1d), with numbers within an error (bounded=7d,eps:temp_c=0.05, or eps:flow=0.1%), and as one row
for each bucket of time (downsample=30d,every=1m). Ages are whole numbers of w, d, h, m (or min), s, ms, us and ns.

Examples:
  silt maintain store
  silt maintain store --budget 64M
  silt maintain store --retention drop=30d/full --stream motors
  silt maintain store --stream motors --pin 2026-03-01T10:00:00Z..2026-03-01T10:05:00Z --where \"device = 'm7'\"
  silt maintain store --relayout small --older-than 30d
  silt maintain store --relayout rank,message=small --stream motors")]
pub struct Args {
    /// Directory of the store
    pub store: PathBuf,
    /// Leave rows that have not filled a segment in the log
    #[arg(long)]
    pub no_seal: bool,
    /// Give sealed rows this layout: rank, rank:smaller, rank:both, scan, small, small:128, small:512, or fm, fm:32, fm:count, fm:least for texts; or COL=LAYOUT for a column
    #[arg(long, value_name = "LAYOUT,...", value_parser = parse_layouts)]
    pub relayout: Option<Layouts>,
    /// Only rows of this stream (default: of all streams)
    #[arg(long)]
    pub stream: Option<String>,
    /// Bytes that the store may take from now on: 64M, 2G; 0 for any number
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub budget: Option<u64>,
    /// What may become of rows from now on: drop=full, drop=30d, drop=30d/full, keep
    #[arg(long, value_name = "POLICY", value_parser = parse_retention)]
    pub retention: Option<Retention>,
    /// Rows of this stretch of time go last (times, or counts of the stream's clock)
    #[arg(long, value_name = "FROM..TO", requires = "stream")]
    pub pin: Vec<String>,
    /// Rows of this stretch of time are pinned no longer
    #[arg(long, value_name = "FROM..TO", requires = "stream")]
    pub unpin: Vec<String>,
    /// Pin, or let go, only rows of these keys: device = 'm7', or device = 'm7' AND axis = 2
    #[arg(long = "where", value_name = "EXPR", requires = "stream")]
    pub expression: Option<String>,
    /// Only segments whose last row is at least this old (90s, 12h, 30d)
    #[arg(long, value_name = "AGE", requires = "relayout")]
    pub older_than: Option<String>,
}

/// Seals each stream's tail, merges what overlaps, and writes segments again whose layouts are to change.
///
/// # Errors
/// When the store cannot be written.
pub fn run(args: &Args) -> Outcome {
    let pins = args.pin.len() + args.unpin.len();
    if args.stream.is_some() && args.relayout.is_none() && args.retention.is_none() && pins == 0 {
        return Err(Failure::usage(
            "--stream goes with --relayout, --retention, --pin or --unpin",
        ));
    }
    if args.expression.is_some() && pins == 0 {
        return Err(Failure::usage("--where goes with --pin or --unpin"));
    }
    let seen = super::common::open_read(&args.store)?;
    let streams = match &args.stream {
        Some(stream) => {
            super::common::check_stream(&seen, stream)?;
            vec![stream.clone()]
        }
        None => seen.streams(),
    };
    drop(seen);
    let mut store = Store::open(&args.store, crate::ram::options())?;
    for stream in &streams {
        if let Some(retention) = &args.retention {
            store.set_retention(stream, retention)?;
        }
        if pins > 0 {
            let schema = store.schema(stream)?;
            let condition = filter::parse_optional(args.expression.as_deref(), &schema)?;
            let keys = keys_of(&condition)?;
            let pins = |texts: &[String]| -> Outcome<Vec<Pin>> {
                let pin = |text: &String| {
                    Ok(Pin {
                        times: stretch(text, schema.time_unit())?,
                        keys: keys.clone(),
                    })
                };
                texts.iter().map(pin).collect()
            };
            if !args.pin.is_empty() {
                store.pin(stream, &pins(&args.pin)?)?;
            }
            if !args.unpin.is_empty() {
                store.unpin(stream, &pins(&args.unpin)?)?;
            }
        }
    }
    if args.budget.is_some() {
        // Only now, so that what may go and what is pinned is known.
        drop(store);
        let options = Options {
            budget: args.budget,
            ..crate::ram::options()
        };
        store = Store::open(&args.store, options)?;
    }
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

/// The values that a condition asks of columns: rows are pinned by what their keys are, nothing more complicated.
fn keys_of(condition: &Predicate) -> Outcome<Vec<(String, Value)>> {
    match condition {
        Predicate::All => Ok(Vec::new()),
        Predicate::And(all) => {
            let keys: Outcome<Vec<_>> = all.iter().map(keys_of).collect();
            Ok(keys?.into_iter().flatten().collect())
        }
        Predicate::IsNull { column } => Ok(vec![(column.clone(), Value::Null)]),
        Predicate::Interval {
            column,
            low: Bound::Included(low),
            high: Bound::Included(high),
        } if low == high => Ok(vec![(column.clone(), low.clone())]),
        _ => Err(Failure::usage(
            "rows are pinned by time and key: write KEY = VALUE, KEY IS NULL, or such conditions with AND between them",
        )),
    }
}

/// A stretch of time as it is written on a command line.
fn stretch(text: &str, unit: TimeUnit) -> Outcome<Range<i64>> {
    let wrong = || {
        Failure::usage(format!(
            "{text:?} is no stretch of time: write FROM..TO, with times or counts of {} since 1970",
            unit.symbol()
        ))
    };
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let tick = |text: &str| {
        let count = parse_count(text.as_bytes(), unit, unit).ok();
        let calendar = || {
            parse_calendar(text.as_bytes())
                .and_then(|moment| moment.ticks(unit))
                .ok()
        };
        count.or_else(calendar).ok_or_else(wrong)
    };
    Ok(tick(from.trim())?..tick(to.trim())?)
}

/// This machine's time in ticks since 1970.
fn now(unit: TimeUnit) -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let ticks = since.as_nanos() / (1_000_000_000 / u128::from(unit.per_second().unsigned_abs()));
    i64::try_from(ticks).unwrap_or(i64::MAX)
}
