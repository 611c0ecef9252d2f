//! `silt detect`: every window of a stream gets a score, and what is out of the ordinary an alarm.

use std::path::PathBuf;

use siltstone_ml_bridge::detect::{self, Request};
use siltstone_store::store::Store;

use super::{common, train};
use crate::clock::time_text;
use crate::failure::{Answer, Outcome};
use crate::filter;
use crate::output::push_value;
use crate::output::table::{Align, Table};
use crate::progress::grouped;

/// Arguments of `silt detect`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every window becomes a row of the stream STREAM_detections: time and keys of its first row, window_end, score,
threshold, alarm, label (normal, high, alarm), model, version. Run again, it adds the windows that are new. Rows that are
kept only as buckets of time are in no window.

Example:
  silt detect store bearing vibration
  silt detect store bearing vibration --pin 30s
  silt sql store \"SELECT time, score FROM vibration_detections WHERE alarm ORDER BY time LIMIT 5\"")]
pub struct Args {
    /// Directory of the store
    pub store: PathBuf,
    /// Name of the model
    pub model: String,
    /// Stream to look at
    pub stream: String,
    /// Version of the model; the serving one by default
    #[arg(long)]
    pub version: Option<u32>,
    /// Only rows that meet this condition (as in silt count)
    #[arg(long = "where", value_name = "EXPR")]
    pub expression: Option<String>,
    /// Stream to write to; STREAM_detections by default
    #[arg(long, value_name = "STREAM")]
    pub output: Option<String>,
    /// Another threshold than the model's
    #[arg(long)]
    pub threshold: Option<f64>,
    /// Windows above the threshold that make an alarm, of how many: 3/5; the model's by default
    #[arg(long, value_name = "K/N")]
    pub debounce: Option<String>,
    /// Keep rows of an alarm's key this near it to the last when the store's budget is full (5s, 2m)
    #[arg(long, value_name = "TIME")]
    pub pin: Option<String>,
    /// Most alarms to list
    #[arg(long, default_value_t = 20)]
    pub limit: usize,
}

/// Detects, and lists the alarms.
///
/// # Errors
/// When the store, the model, the stream or the condition cannot be used.
pub fn run(args: &Args) -> Outcome {
    common::open_read(&args.store)?;
    let store = Store::open(&args.store, crate::ram::options())?;
    common::check_stream(&store, &args.stream)?;
    let schema = store.schema(&args.stream)?;
    let near = args
        .pin
        .as_deref()
        .map(|near| train::duration(near, schema.time_unit()));
    let request = Request {
        version: args.version,
        predicate: filter::parse_optional(args.expression.as_deref(), &schema)?,
        output: args.output.clone(),
        threshold: args.threshold,
        debounce: args.debounce.as_deref().map(train::debounce).transpose()?,
        pin_near: near.transpose()?,
        ..Request::new(&args.model, &args.stream)
    };
    let started = std::time::Instant::now();
    let report = detect::detect(&store, &request, &mut |_| true)?;
    let mut columns: Vec<(String, Align)> = schema
        .keys()
        .iter()
        .map(|key| (key.name.clone(), Align::of(key.ty)))
        .collect();
    columns.extend(["alarm from", "to"].map(|name| (name.to_owned(), Align::Left)));
    columns.extend(["windows", "peak score"].map(|name| (name.to_owned(), Align::Right)));
    let mut table = Table::new(columns);
    for episode in report.episodes.iter().take(args.limit) {
        let mut cells = Vec::new();
        for (key, value) in schema.keys().iter().zip(&episode.key) {
            let mut cell = String::new();
            push_value(&mut cell, key.ty, value);
            cells.push(cell);
        }
        cells.push(time_text(episode.first, schema.time_unit()));
        cells.push(time_text(episode.last, schema.time_unit()));
        cells.push(grouped(episode.windows));
        cells.push(format!("{:.2}", episode.peak));
        table.push(cells);
    }
    let mut text = Vec::new();
    if table.rows() > 0 {
        table.write_to(&mut text)?;
    }
    super::print(&String::from_utf8_lossy(&text))?;
    eprintln!(
        "silt: {} windows over {} rows with {} version {} in {:.1} s: {} above {:.3}, {} in alarm, in {} episodes{}",
        grouped(report.windows),
        grouped(report.rows),
        args.model,
        report.version,
        started.elapsed().as_secs_f64(),
        grouped(report.high),
        report.threshold,
        grouped(report.alarms),
        grouped(report.episode_count),
        if report.episode_count > args.limit as u64 {
            " (the first are listed)"
        } else {
            ""
        },
    );
    super::common::say_left_out(report.left_out);
    eprintln!(
        "silt: {} new rows in stream {}",
        grouped(report.written),
        report.output
    );
    Ok(Answer::Done)
}
