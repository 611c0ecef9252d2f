//! `silt ingest`: rows from files or standard input into a stream.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use siltstone_store::schema::{ColumnType, TimeUnit};
use siltstone_store::store::{Layouts, Options, Retention, Store, SyncPolicy};

use crate::acknowledge::Acknowledge;
use crate::clock::{self, Moment};
use crate::failure::{Answer, Failure, Outcome};
use crate::field::{TYPE_NAMES, type_of_name};
use crate::load::{Counts, Loader};
use crate::plan::PlanOptions;
use crate::progress::{Progress, grouped, rate_text};
use crate::ram;
use crate::reject::Rejects;
use crate::source::csv::{CsvOptions, CsvSource};
use crate::source::encoding::Encoding;
use crate::source::input::Input;
use crate::source::jsonl::JsonlSource;
use crate::source::lines::{LinesOptions, LinesSource};
use crate::source::{BatchLimit, Format, Source};
use crate::time_format::TimeFormat;

/// Rows in the log from which it pays to seal them when the input has ended.
const SEAL_ROWS: u64 = 4_096;

/// Arguments of `silt ingest`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The store and the stream are created when they are not there. Types are inferred from the first 100,000 rows (at
most 16 MiB, and a sixteenth of --ram): true/false is bool, whole numbers are i64, other numbers f64, anything else text; empty fields are null. Rows may
come late and out of order. What does not fit is refused: the line, its number and the reason go to
STORE/rejects/STREAM.jsonl, all other rows are kept, and the exit code is 3.

Times: 2016-07-01T02:00:00+02:00, 2016-07-01 00:00:00.5 (UTC), 1.7.2016 00:00, 01/Jul/2016:00:00:00 +0000, or counts
since 1970 with --time-unit. Lines of a log become the columns time and message: a time at the start is taken off the
message, and lines without one (stack traces) belong to the row before.
Layouts: rank (the default) answers any quantile and count without decoding, in fewer bytes with
rank:smaller, and with rank:both texts are counted and read sooner, in more bytes; scan is
read and filtered fastest; small takes the fewest bytes; fm, for texts, counts and finds substrings soonest, with fewer
parts and bytes from fm:32 over fm and fm:count to fm:least. Rows that are sealed already: see silt maintain --relayout.
Types: bool, i8 to i64, u8 to u64, f32, f64, timestamp, timestamp(s|ms|us|ns), text, bytes.

A store with a budget is a cache: its directory never takes more, and when it is full the oldest rows of the streams
that allow it go. What was lost is in silt stat STORE STREAM.

Examples:
  silt ingest store climate room.csv.gz --key node --unit temp_c=°C --unit rh_pct=%
  silt ingest store valve *.csv --delimiter ';' --decimal , --utc-offset +01:00 --layout small,pressure=rank
  silt ingest store log /var/log/syslog                    then: silt search store log 'link up'
  silt ingest store web access.log --format lines
  silt ingest store scope scope.csv --time Date,Time --time-format '%m/%d/%Y %I:%M:%S %p'
  silt ingest store dns dns.log.gz --format zeek
  silt ingest store dns dns.log --delimiter '\\t' --comment '#' --quote none --null - --no-header \\
      --columns ts,uid,... --time-unit s
  my-sensor | silt ingest store vibration - --budget 64M --retention drop=30d/full --follow
  my-sensor | silt ingest store vibration - --no-header --columns ts_us,x,y,z --follow")]
pub struct Args {
    /// Directory of the store
    pub store: PathBuf,
    /// Stream to add rows to
    pub stream: String,
    /// Files (.gz and .zst too); - or nothing is standard input
    pub inputs: Vec<PathBuf>,
    /// Format of the input (default: by file name and first bytes)
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// Column that holds the time, or those of the day and the time of day (default: the first that looks like it)
    #[arg(long, value_name = "COL[,COL]")]
    pub time: Option<String>,
    /// How times are written: %Y %y %m %b %d %j %H %I %p %M %S %f (fraction) %z %s, as in '%m/%d/%Y %I:%M:%S %p'
    #[arg(long, value_name = "FORMAT", requires = "time", value_parser = TimeFormat::new)]
    pub time_format: Option<TimeFormat>,
    /// Unit of times that are counts, and of the clock of a new stream (default: ns)
    #[arg(long, value_name = "s|ms|us|ns", value_parser = parse_unit)]
    pub time_unit: Option<TimeUnit>,
    /// How far times that name no zone are ahead of UTC: +02:00, -05:30 (default: they are in UTC)
    #[arg(long, value_name = "OFFSET", value_parser = parse_utc_offset, allow_hyphen_values = true)]
    pub utc_offset: Option<i64>,
    /// How the bytes of the input stand for text
    #[arg(long, value_enum, default_value = "utf-8")]
    pub encoding: Encoding,
    /// Byte before the decimals of numbers
    #[arg(long, value_name = "CHAR", value_parser = parse_decimal, default_value = ".")]
    pub decimal: u8,
    /// Key columns: which device, which axis. Rows are sorted by them, then by time
    #[arg(long, value_name = "COL,...", value_delimiter = ',')]
    pub key: Vec<String>,
    /// Physical unit of a column
    #[arg(long, value_name = "COL=UNIT", value_parser = parse_pair)]
    pub unit: Vec<(String, String)>,
    /// Type of a column, instead of the inferred one
    #[arg(long = "type", value_name = "COL=TYPE,...", value_parser = parse_type, value_delimiter = ',')]
    pub types: Vec<(String, ColumnType)>,
    /// Text that stands for null, besides an empty field
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub null: Vec<String>,
    /// How columns are stored from now on: rank, rank:smaller, rank:both, scan, small, small:128, small:512, or fm, fm:32, fm:count, fm:least for texts; or COL=LAYOUT for one
    #[arg(long, value_name = "LAYOUT,...", value_parser = parse_layouts)]
    pub layout: Option<Layouts>,
    /// Bytes that the store may take from now on: 64M, 2G; 0 for any number. It is kept in the store
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub budget: Option<u64>,
    /// What may become of this stream's rows from now on: drop=full (when the budget is full; the default), drop=30d,
    /// drop=30d/full, keep
    #[arg(long, value_name = "POLICY", value_parser = parse_retention)]
    pub retention: Option<Retention>,
    /// Go on reading as the input grows, is shortened or replaced, and hand on rows whenever it pauses
    #[arg(long)]
    pub follow: bool,
    /// When rows reach the disk: always (before the next are read), os (when the system likes), or after so many
    /// milliseconds
    #[arg(long, value_name = "always|os|MS", value_parser = parse_sync, default_value = "100")]
    pub sync: SyncPolicy,
    /// Print "durable N" whenever the first N rows of this run would survive a power cut: who sends them may forget them
    #[arg(long)]
    pub acknowledge: bool,
    /// Byte between fields, \t for tab (default: the most frequent of , ; tab | in the first line)
    #[arg(long, value_name = "CHAR", value_parser = parse_delimiter)]
    pub delimiter: Option<u8>,
    /// Byte around fields, or none
    #[arg(long, value_name = "CHAR", value_parser = parse_quote, default_value = "\"")]
    pub quote: Quote,
    /// Year of the first log line whose time has none (default: the last such day before tomorrow)
    #[arg(long, value_name = "YEAR", value_parser = clap::value_parser!(i64).range(1970..2262))]
    pub year: Option<i64>,
    /// Skip lines that start with this
    #[arg(long, value_name = "TEXT")]
    pub comment: Option<String>,
    /// The first line is a row
    #[arg(long, requires = "columns")]
    pub no_header: bool,
    /// Names of the columns, for --no-header
    #[arg(long, value_name = "COL,...", value_delimiter = ',', requires = "no_header")]
    pub columns: Vec<String>,
}

/// The byte around fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote(pub Option<u8>);

fn parse_unit(text: &str) -> Result<TimeUnit, String> {
    clock::unit_of(text).ok_or_else(|| "the units are s, ms, us and ns".to_owned())
}

fn parse_utc_offset(text: &str) -> Result<i64, String> {
    clock::parse_offset(text.as_bytes()).map_err(|_| "write it as +02:00".to_owned())
}

fn parse_decimal(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [byte @ (b'.' | b',')] => Ok(*byte),
        _ => Err("it is . or ,".to_owned()),
    }
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as COL=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn parse_type(text: &str) -> Result<(String, ColumnType), String> {
    let (name, value) = parse_pair(text)?;
    let ty =
        type_of_name(&value).ok_or_else(|| format!("there is no type {value}; there are {TYPE_NAMES}"))?;
    Ok((name, ty))
}

fn parse_sync(text: &str) -> Result<SyncPolicy, String> {
    match text {
        "always" => Ok(SyncPolicy::Always),
        "os" => Ok(SyncPolicy::Os),
        _ => {
            let interval_ms = text.parse();
            interval_ms
                .map(SyncPolicy::Interval)
                .map_err(|_| "write always, os, or a number of milliseconds".to_owned())
        }
    }
}

/// A number of bytes as it is written on a command line.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "" | "B" => 1,
        "K" | "k" | "KiB" => 1 << 10,
        "M" | "MiB" => 1 << 20,
        "G" | "GiB" => 1 << 30,
        "T" | "TiB" => 1u64 << 40,
        _ => return Err("write bytes, or a number and K, M, G or T (powers of 1,024), as in 64M".to_owned()),
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| "write a whole number, as in 64M".to_owned())?;
    number
        .checked_mul(factor)
        .ok_or_else(|| "that is too large".to_owned())
}

/// A policy as it is written on a command line.
pub(super) fn parse_retention(text: &str) -> Result<Retention, String> {
    text.parse()
        .map_err(|error: siltstone_store::Error| error.to_string())
}

/// Layouts as they are written on a command line.
pub(super) fn parse_layouts(text: &str) -> Result<Layouts, String> {
    text.parse()
        .map_err(|error: siltstone_store::Error| error.to_string())
}

fn parse_delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"\\t" | b"tab" => Ok(b'\t'),
        [byte] if *byte != b'\n' && *byte != b'\r' => Ok(*byte),
        _ => Err("a delimiter is one byte, or \\t".to_owned()),
    }
}

fn parse_quote(text: &str) -> Result<Quote, String> {
    match text.as_bytes() {
        b"none" | b"" => Ok(Quote(None)),
        [byte] => Ok(Quote(Some(*byte))),
        _ => Err("a quote is one byte, or none".to_owned()),
    }
}

/// Loads all inputs, one after the other, and reports on standard error.
///
/// # Errors
/// When an input cannot be read or does not fit the stream, or the store cannot be written.
pub fn run(args: &Args) -> Outcome {
    let standard_input = [PathBuf::from("-")];
    let inputs: &[PathBuf] = if args.inputs.is_empty() {
        &standard_input
    } else {
        &args.inputs
    };
    if args.follow && inputs.len() > 1 {
        return Err(Failure::usage("--follow takes one input"));
    }
    // Inputs are looked at before a store is created for them.
    for path in inputs.iter().filter(|path| path.as_path() != Path::new("-")) {
        std::fs::metadata(path).map_err(|e| Failure::io("open", path, &e))?;
    }
    let store = open_or_create(args)?;
    let before_bytes = stored_bytes(&store, &args.stream);
    let counts = Counts::default();
    let mut rejects = Rejects::new(&store, &args.stream);
    let started = Instant::now();
    let acknowledge = args.acknowledge.then(Acknowledge::default);
    let mut unread = 0;
    for path in inputs {
        match load_input(args, path, &store, (&counts, acknowledge.as_ref()), &mut rejects) {
            Ok(()) => {}
            // A file that holds something else, or is cut off, is no reason to leave the others out.
            Err(Failure::Refused(what)) if inputs.len() > 1 => {
                eprintln!("silt: {what}; going on with the others");
                unread += 1;
            }
            Err(failure) => {
                tell_kept(&counts, path);
                return Err(failure);
            }
        }
    }
    let rows = counts.rows.load(Ordering::Relaxed);
    store.wait_durable(counts.sequence.load(Ordering::Relaxed))?;
    if let Some(acknowledge) = &acknowledge {
        acknowledge.tell(store.durable())?;
    }
    seal_if_it_pays(&store, &args.stream)?;
    let seconds = started.elapsed().as_secs_f64().max(1e-6);
    let added_bytes = stored_bytes(&store, &args.stream).saturating_sub(before_bytes);
    summary(
        rows,
        seconds,
        counts.text_bytes.load(Ordering::Relaxed),
        added_bytes,
        &rejects,
    );
    Ok(if rejects.count() > 0 || unread > 0 {
        Answer::PartlyRefused
    } else {
        Answer::Done
    })
}

/// Says what is in the store although the command fails: who repeats it would add those rows again.
fn tell_kept(counts: &Counts, path: &Path) {
    let rows = counts.rows.load(Ordering::Relaxed);
    if rows > 0 {
        let rows = grouped(rows);
        eprintln!(
            "silt: {rows} rows were added before reading stopped at {}",
            path.display()
        );
    }
}

fn open_or_create(args: &Args) -> Outcome<Store> {
    let path = args.store.as_path();
    let empty = match std::fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(Failure::io("open", path, &error)),
    };
    let options = Options {
        sync: args.sync,
        budget: args.budget,
        ..ram::options()
    };
    Ok(if empty {
        Store::create(path, options)?
    } else {
        Store::open(path, options)?
    })
}

fn load_input(
    args: &Args,
    path: &Path,
    store: &Store,
    (counts, acknowledge): (&Counts, Option<&Acknowledge>),
    rejects: &mut Rejects<'_>,
) -> Outcome<()> {
    let input = Input::open(path, args.follow, args.encoding)?;
    let (read, size_bytes) = (input.bytes_read(), input.size_bytes().filter(|_| !args.follow));
    let (mut source, options) = open_source(args, path, input)?;
    let mut progress = Progress::new(source.name(), size_bytes);
    let notes = std::cell::RefCell::new(Vec::new());
    let loader = Loader {
        store,
        stream: &args.stream,
        options: &options,
        layouts: args.layout.as_ref(),
        retention: args.retention.as_ref(),
        limit: batch_limit(store),
        counts,
        acknowledge,
    };
    let result = loader.load(
        source.as_mut(),
        rejects,
        &mut |text| notes.borrow_mut().push(text),
        &mut || {
            for text in notes.borrow_mut().drain(..) {
                progress.note(&text);
            }
            let rows = counts.rows.load(Ordering::Relaxed);
            progress.tick(&read, rows, &mut || {
                let sealed = store.sealed(&args.stream).ok()?;
                let text_bytes = counts.text_bytes.load(Ordering::Relaxed) as f64;
                (sealed.bytes > 0 && rows > 0)
                    .then(|| text_bytes / rows as f64 * sealed.rows as f64 / sealed.bytes as f64)
            });
        },
    );
    progress.finish();
    for text in notes.borrow_mut().drain(..) {
        eprintln!("silt: {text}");
    }
    result
}

/// Batches that fit into their share of memory, and into the log's share of a budget: packed rows take less than they do
/// in memory.
fn batch_limit(store: &Store) -> BatchLimit {
    let limit = BatchLimit::default().at_most(ram::batch_bytes());
    let Some(budget) = store.usage().budget else {
        return limit;
    };
    let share = usize::try_from(budget / 48).unwrap_or(usize::MAX);
    limit.at_most(share)
}

fn open_source(args: &Args, path: &Path, mut input: Input) -> Outcome<(Box<dyn Source>, PlanOptions)> {
    let is_table = args.no_header || args.delimiter.is_some() || args.comment.is_some();
    let format = match args.format {
        Some(format) => format,
        None => match Format::guess(path, &mut input)? {
            Format::Lines if is_table => Format::Csv,
            guessed => guessed,
        },
    };
    let mut options = PlanOptions {
        time: args.time.clone(),
        time_format: args.time_format.clone(),
        time_unit: args.time_unit,
        keys: args.key.clone(),
        units: args.unit.clone(),
        types: args.types.clone(),
        null_tokens: args.null.iter().map(|text| text.clone().into_bytes()).collect(),
        decimal_comma: args.decimal == b',',
        utc_offset_s: args.utc_offset.unwrap_or_default(),
    };
    match format {
        Format::Jsonl => return Ok((Box::new(JsonlSource::new(input)), options)),
        Format::Lines => return Ok((Box::new(open_lines(args, input)?), options)),
        Format::Csv | Format::Zeek => {}
    }
    let mut csv = CsvOptions {
        delimiter: args.delimiter,
        quote: args.quote.0,
        comment: args.comment.clone().unwrap_or_default().into_bytes(),
        columns: args.no_header.then(|| args.columns.clone()),
        fields_line: args.comment.as_deref() == Some("#"),
    };
    if format == Format::Zeek {
        csv = CsvOptions {
            delimiter: args.delimiter.or(Some(b'\t')),
            quote: None,
            comment: b"#".to_vec(),
            fields_line: true,
            ..csv
        };
        options.time_unit = options.time_unit.or(Some(TimeUnit::Second));
        if options.null_tokens.is_empty() {
            options.null_tokens.push(b"-".to_vec());
        }
    }
    Ok((Box::new(CsvSource::open(input, csv)?), options))
}

fn open_lines(args: &Args, input: Input) -> Outcome<LinesSource> {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now_ns = since_1970.map_or(0, |duration| duration.as_nanos());
    let options = LinesOptions {
        now: Moment(i128::try_from(now_ns).unwrap_or(i128::MAX)),
        year: args.year,
        utc_offset_s: args.utc_offset.unwrap_or_default(),
    };
    let source = LinesSource::open(input, options)?;
    if source.lacks_years() && args.year.is_none() {
        eprintln!(
            "silt: the times of {} have no year; the last such day before tomorrow is taken (--year says otherwise)",
            source.name()
        );
    }
    Ok(source)
}

/// Bytes that the stream's segments take.
fn stored_bytes(store: &Store, stream: &str) -> u64 {
    store.sealed(stream).map_or(0, |sealed| sealed.bytes)
}

fn seal_if_it_pays(store: &Store, stream: &str) -> Outcome<()> {
    if !store.streams().iter().any(|name| name == stream) {
        return Ok(());
    }
    if store.tail_rows(stream)? >= SEAL_ROWS {
        store.seal(stream)?;
    }
    Ok(())
}

fn summary(rows: u64, seconds: f64, text_bytes: u64, added_bytes: u64, rejects: &Rejects<'_>) {
    let rate = rate_text(rows, seconds);
    let mut line = format!("silt: {} rows in {seconds:.2} s ({rate} rows/s)", grouped(rows));
    if added_bytes > 0 && text_bytes > 0 {
        line.push_str(&format!(
            "; {} bytes of text are {} bytes ({:.1}x smaller)",
            grouped(text_bytes),
            grouped(added_bytes),
            text_bytes as f64 / added_bytes as f64
        ));
    }
    eprintln!("{line}");
    if let (count @ 1.., Some(first)) = (rejects.count(), rejects.first()) {
        eprintln!(
            "silt: {} lines refused, see {}\nsilt: the first is {first}",
            grouped(count),
            rejects.path().display()
        );
        if first.contains(" of type ") {
            eprintln!("silt: (--type COL=TYPE sets a type when a stream is created; text takes anything)");
        }
        if rejects.unkept() > 0 {
            eprintln!(
                "silt: {} of them are not kept there: the store's budget leaves a sixteenth to refused lines",
                grouped(rejects.unkept())
            );
        }
    }
}
