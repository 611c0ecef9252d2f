//! `silt stat`: what is in a store, and what each column costs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use siltstone_store::schema::{ColumnType, Schema};
use siltstone_store::snapshot::Snapshot;
use siltstone_store::store::{ColumnStat, Role, SegmentStat, Store};
use siltstone_store::value::Value;

use super::common;
use crate::clock::time_text;
use crate::failure::{Answer, Failure, Outcome};
use crate::output::push_value;
use crate::output::table::{Align, Table};
use crate::progress::{bytes_text, grouped};

mod explain;

/// Arguments of `silt stat`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without STREAM: one line a stream, what the whole store takes on disk, and what it has written to get there: bytes
handed to the file system, for each byte of the rows in plain binary form, and for each byte that is kept of them; and
what a command may hold in memory.
With STREAM: one line a column of its sealed segments.
  domain      how values become integer codes; codes: how the codes are stored
  values      rows that are not null
  bits/value  bits on disk for each of them, indexes and statistics included
  ratio       plain binary size (8 bytes for an i64, the text itself for text) by size on disk")]
pub struct Args {
    /// Directory of the store
    pub store: PathBuf,
    /// Stream to look into
    pub stream: Option<String>,
    /// Also show what each column's bytes are spent on
    #[arg(long)]
    pub parts: bool,
    /// Also show why: which domains were weighed, and what other layouts would take (samples are encoded for it)
    #[arg(long, requires = "stream")]
    pub explain: bool,
    /// How it is printed
    #[arg(long, value_enum, default_value = "table")]
    pub format: StatFormat,
}

/// How statistics are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum StatFormat {
    /// Columns that line up, for reading
    Table,
    /// One JSON object, of one stream
    Json,
}

/// Prints the tables.
///
/// # Errors
/// When the store cannot be read.
pub fn run(args: &Args) -> Outcome {
    let store = common::open_read(&args.store)?;
    let text = match &args.stream {
        None if args.format == StatFormat::Json => {
            return Err(Failure::usage("--format json tells of one stream; name it"));
        }
        None => store_text(&store, &args.store)?,
        Some(stream) => {
            common::check_stream(&store, stream)?;
            stream_text(&store, stream, args)?
        }
    };
    super::print(&text)?;
    Ok(Answer::Done)
}

fn left(name: &str) -> (String, Align) {
    (name.to_owned(), Align::Left)
}

fn right(name: &str) -> (String, Align) {
    (name.to_owned(), Align::Right)
}

fn render(table: &mut Table) -> Outcome<String> {
    let mut out = Vec::new();
    table.write_to(&mut out)?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

fn ratio_text(plain: u64, stored: u64) -> String {
    if stored == 0 || plain == 0 {
        String::new()
    } else {
        format!("{:.2}", plain as f64 / stored as f64)
    }
}

fn store_text(store: &Store, path: &Path) -> Outcome<String> {
    let mut table = Table::new([
        left("stream"),
        right("rows"),
        left("first"),
        left("last"),
        right("columns"),
        right("segments"),
        right("in log"),
        right("bytes"),
        right("bytes/row"),
        right("ratio"),
    ]);
    let mut segment_bytes = 0;
    for stream in store.streams() {
        let snapshot = store.snapshot(&stream)?;
        let total = Totals::of(&snapshot, &mut |_| {})?;
        segment_bytes += total.bytes;
        let (first, last) = range_text(&snapshot);
        let per_row = if total.rows == 0 {
            String::new()
        } else {
            format!("{:.2}", total.bytes as f64 / total.rows as f64)
        };
        table.push(vec![
            stream,
            grouped(snapshot.row_count()),
            first,
            last,
            (snapshot.schema().columns().len() + 1).to_string(),
            total.segments.to_string(),
            grouped(snapshot.row_count().saturating_sub(total.rows)),
            grouped(total.bytes),
            per_row,
            ratio_text(total.plain_bytes, total.bytes),
        ]);
    }
    let mut text = render(&mut table)?;
    let usage = Usage::of(path);
    let models = store.models();
    let model_bytes: u64 = models.iter().map(|model| model.bytes).sum();
    text.push_str(&format!(
        "\non disk   {} ({} bytes) in {} files\n",
        bytes_text(usage.bytes),
        grouped(usage.bytes),
        usage.files
    ));
    text.push_str(&format!("segments  {}\n", bytes_text(segment_bytes)));
    text.push_str(&format!("log       {}\n", bytes_text(usage.log_bytes)));
    if !models.is_empty() {
        text.push_str(&format!(
            "models    {} in {} versions\n",
            bytes_text(model_bytes),
            models.len()
        ));
    }
    if usage.reject_bytes > 0 {
        text.push_str(&format!("rejects   {}\n", bytes_text(usage.reject_bytes)));
    }
    text.push_str(&written_text(&store.usage(), segment_bytes));
    text.push_str(&memory_text());
    for stream in store.streams() {
        // Rows that were moved or gathered still answer, so they are told apart from those that are gone.
        let mut lost: BTreeMap<&str, u64> = BTreeMap::new();
        for loss in store.losses(&stream)? {
            *lost.entry(loss.kind.name()).or_default() += loss.rows;
        }
        for (kind, rows) in lost.into_iter().filter(|(_, rows)| *rows > 0) {
            text.push_str(&format!("lost      {} rows of {stream} {kind}\n", grouped(rows)));
        }
    }
    Ok(text)
}

/// What was written, and what the store may take.
fn written_text(usage: &siltstone_store::store::Usage, segment_bytes: u64) -> String {
    let mut text = String::new();
    if let Some(budget) = usage.budget {
        text.push_str(&format!(
            "budget    {} ({} bytes)\n",
            bytes_text(budget),
            grouped(budget)
        ));
    }
    let written = usage.written.total();
    let roles = Role::ALL.into_iter().filter(|role| usage.written.of(*role) > 0);
    let roles: Vec<String> = roles
        .map(|role| format!("{} {}", role.name(), bytes_text(usage.written.of(role))))
        .collect();
    text.push_str(&format!(
        "written   {} ({})",
        bytes_text(written),
        roles.join(", ")
    ));
    if usage.plain_bytes > 0 {
        let per_plain = written as f64 / usage.plain_bytes as f64;
        text.push_str(&format!(": {per_plain:.2} for each plain byte sealed"));
    }
    if segment_bytes > 0 {
        let per_kept = written as f64 / segment_bytes as f64;
        text.push_str(&format!(", {per_kept:.2} for each byte in segments"));
    }
    text.push('\n');
    text
}

/// What a command may hold, and what this one holds after it has looked into every segment.
fn memory_text() -> String {
    let mut text = format!(
        "memory    {} at most (--ram)",
        bytes_text(crate::ram::limit() as u64)
    );
    if let Some(held) = crate::ram::held() {
        text.push_str(&format!(
            ", {} held by this command; {} at its peak with pages of mapped files",
            bytes_text(held.anonymous),
            bytes_text(held.peak)
        ));
    }
    text.push('\n');
    text
}

/// The policy of a stream, what is pinned, and what was lost.
fn kept_text(store: &Store, stream: &str) -> Outcome<String> {
    let schema = store.schema(stream)?;
    let unit = schema.time_unit();
    let mut text = format!("retention {}\n", store.retention(stream)?);
    for pin in store.pins(stream)? {
        let (from, to) = (time_text(pin.times.start, unit), time_text(pin.times.end, unit));
        text.push_str(&format!("pinned    {from} up to {to}"));
        for (name, value) in &pin.keys {
            let ty = schema.column(name).map_or(ColumnType::Text, |spec| spec.ty);
            text.push_str(&format!(", {name} "));
            match value {
                Value::Null => text.push_str("null"),
                value => push_value(&mut text, ty, value),
            }
        }
        text.push('\n');
    }
    for loss in store.losses(stream)? {
        text.push_str(&format!(
            "lost      {} rows {} ({}), {} to {}\n",
            grouped(loss.rows),
            loss.kind.name(),
            loss.cause.name(),
            time_text(loss.time_range.0, unit),
            time_text(loss.time_range.1, unit)
        ));
    }
    Ok(text)
}

/// Sums over segments.
#[derive(Default)]
struct Totals {
    segments: u64,
    rows: u64,
    bytes: u64,
    plain_bytes: u64,
    /// Of the columns; the rest are headers.
    column_bytes: u64,
}

impl Totals {
    /// Sums over the segments of a stream, each of which `visit` sees. There may be too many to hold what is said of them.
    fn of(snapshot: &Snapshot, visit: &mut dyn FnMut(&SegmentStat)) -> Outcome<Totals> {
        let mut total = Totals::default();
        for segment in snapshot.segments() {
            let segment = segment?;
            total.segments += 1;
            total.rows += segment.rows;
            total.bytes += segment.bytes;
            total.plain_bytes += segment
                .columns
                .iter()
                .map(|column| column.plain_bytes)
                .sum::<u64>();
            total.column_bytes += segment.columns.iter().map(|column| column.bytes).sum::<u64>();
            visit(&segment);
        }
        Ok(total)
    }
}

fn range_text(snapshot: &Snapshot) -> (String, String) {
    let unit = snapshot.schema().time_unit();
    match snapshot.time_range() {
        Some((first, last)) => (time_text(first, unit), time_text(last, unit)),
        None => (String::new(), String::new()),
    }
}

fn stream_text(store: &Store, stream: &str, args: &Args) -> Outcome<String> {
    let snapshot = store.snapshot(stream)?;
    let schema = snapshot.schema();
    let mut columns = columns_of(schema);
    let total = Totals::of(&snapshot, &mut |segment| {
        for stat in &segment.columns {
            if let Some(line) = columns.iter_mut().find(|line| line.name == stat.name) {
                line.add(stat);
            }
        }
    })?;
    let explained = if args.explain {
        store.explain(stream)?
    } else {
        Vec::new()
    };
    if args.format == StatFormat::Json {
        return Ok(explain::json(stream, snapshot.row_count(), &columns, &explained));
    }
    let (first, last) = range_text(&snapshot);
    let keys: Vec<&str> = schema.keys().iter().map(|key| key.name.as_str()).collect();
    let mut text = format!(
        "stream    {stream}\nrows      {}\n",
        grouped(snapshot.row_count())
    );
    if !first.is_empty() {
        text.push_str(&format!("from      {first}\nto        {last}\n"));
    }
    text.push_str(&format!(
        "clock     {} in {}\n",
        schema.time_name(),
        schema.time_unit().symbol()
    ));
    text.push_str(&format!(
        "keys      {}\n",
        if keys.is_empty() {
            "none".to_owned()
        } else {
            keys.join(", ")
        }
    ));
    let in_log = snapshot.row_count().saturating_sub(total.rows);
    text.push_str(&kept_text(store, stream)?);
    text.push_str(&format!(
        "segments  {}, with {} rows ({} rows in the log)\n\n",
        grouped(total.segments),
        grouped(total.rows),
        grouped(in_log)
    ));

    let mut table = Table::new([
        left("column"),
        left("type"),
        left("unit"),
        left("domain"),
        left("codes"),
        right("values"),
        right("bytes"),
        right("bits/value"),
        right("ratio"),
    ]);
    for column in &columns {
        table.push(column.cells());
    }
    let overhead: u64 = total.bytes.saturating_sub(total.column_bytes);
    let blank = String::new;
    table.push(vec![
        "(headers)".to_owned(),
        blank(),
        blank(),
        blank(),
        blank(),
        blank(),
        grouped(overhead),
        blank(),
        blank(),
    ]);
    let per_row = if total.rows == 0 {
        blank()
    } else {
        format!("{:.2}", total.bytes as f64 * 8.0 / total.rows as f64)
    };
    table.push(vec![
        "total".to_owned(),
        blank(),
        blank(),
        blank(),
        blank(),
        grouped(total.rows),
        grouped(total.bytes),
        per_row,
        ratio_text(total.plain_bytes, total.bytes),
    ]);
    text.push_str(&render(&mut table)?);
    if args.parts || args.explain {
        text.push('\n');
        text.push_str(&render(&mut parts_table(&columns))?);
    }
    if args.explain {
        text.push_str(&explain::tables(&columns, &explained)?);
    }
    Ok(text)
}

fn parts_table(columns: &[ColumnLine]) -> Table {
    let mut table = Table::new([
        left("column"),
        left("part"),
        right("bytes"),
        right("bits/value"),
        right("share"),
    ]);
    for column in columns {
        let total: u64 = column.parts.iter().map(|(_, bits)| bits).sum();
        for (part, bits) in &column.parts {
            table.push(vec![
                column.name.clone(),
                part.clone(),
                grouped(bits.div_ceil(8)),
                match column.values {
                    0 => String::new(),
                    values => format!("{:.3}", *bits as f64 / values as f64),
                },
                format!("{:.1} %", *bits as f64 * 100.0 / total.max(1) as f64),
            ]);
        }
    }
    table
}

/// The name of a part without the numbers of levels: "wavelet level 3 (raw)" is one of the "wavelet levels (raw)".
fn part_group(name: &str) -> String {
    let mut words: Vec<&str> = name.split(' ').collect();
    let before = words.len();
    words.retain(|word| word.parse::<u32>().is_err());
    if words.len() < before {
        for word in &mut words {
            if *word == "level" {
                *word = "levels";
            }
        }
    }
    words.join(" ")
}

/// One column over all segments.
struct ColumnLine {
    name: String,
    ty: String,
    unit: String,
    domains: Vec<String>,
    layouts: Vec<String>,
    values: u64,
    bytes: u64,
    plain_bytes: u64,
    parts: Vec<(String, u64)>,
}

/// The time, then keys and channels, without what their segments say.
fn columns_of(schema: &Schema) -> Vec<ColumnLine> {
    let time = (
        schema.time_name(),
        format!("time({})", schema.time_unit().symbol()),
        "",
    );
    let columns = schema
        .columns()
        .iter()
        .map(|c| (c.name.as_str(), c.ty.to_string(), c.unit.as_str()));
    std::iter::once(time)
        .chain(columns)
        .map(|(name, ty, unit)| ColumnLine {
            name: name.to_owned(),
            ty,
            unit: unit.to_owned(),
            domains: Vec::new(),
            layouts: Vec::new(),
            values: 0,
            bytes: 0,
            plain_bytes: 0,
            parts: Vec::new(),
        })
        .collect()
}

impl ColumnLine {
    fn add(&mut self, stat: &ColumnStat) {
        for (seen, name) in [
            (&mut self.domains, &stat.domain),
            (&mut self.layouts, &stat.layout),
        ] {
            if !name.is_empty() && !seen.contains(name) {
                seen.push(name.clone());
            }
        }
        self.values += stat.values;
        self.bytes += stat.bytes;
        self.plain_bytes += stat.plain_bytes;
        for (name, bits) in &stat.parts {
            let name = part_group(name);
            match self.parts.iter_mut().find(|(seen, _)| *seen == name) {
                Some((_, sum)) => *sum += bits,
                None => self.parts.push((name, *bits)),
            }
        }
    }

    fn cells(&self) -> Vec<String> {
        let per_value = match self.values {
            0 => String::new(),
            values => format!("{:.2}", self.bytes as f64 * 8.0 / values as f64),
        };
        vec![
            self.name.clone(),
            self.ty.clone(),
            self.unit.clone(),
            self.domains.join(", "),
            self.layouts.join(", "),
            grouped(self.values),
            grouped(self.bytes),
            per_value,
            ratio_text(self.plain_bytes, self.bytes),
        ]
    }
}

/// What a directory takes.
#[derive(Default)]
struct Usage {
    files: u64,
    bytes: u64,
    log_bytes: u64,
    reject_bytes: u64,
}

impl Usage {
    fn of(path: &Path) -> Usage {
        let mut usage = Usage::default();
        usage.add(path, path);
        usage
    }

    /// Files that vanish meanwhile are not counted: a writer may be at work.
    fn add(&mut self, root: &Path, folder: &Path) {
        let Ok(entries) = std::fs::read_dir(folder) else {
            return;
        };
        for entry in entries.flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                self.add(root, &entry.path());
                continue;
            }
            self.files += 1;
            self.bytes += metadata.len();
            let path = entry.path();
            let name = path
                .strip_prefix(root)
                .unwrap_or(&path)
                .to_string_lossy()
                .into_owned();
            if name.starts_with("log") || name.ends_with(".log") {
                self.log_bytes += metadata.len();
            } else if name.starts_with("rejects") {
                self.reject_bytes += metadata.len();
            }
        }
    }
}
