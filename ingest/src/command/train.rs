//! `silt train`: a small network learns what healthy rows of a stream look like.

use std::path::PathBuf;

use siltstone_ml_bridge::train::{self, Plan, Progress, Request};
use siltstone_ml_bridge::window::{FrontEnd, NullPolicy, WindowSpec, typical_step};
use siltstone_store::schema::TimeUnit;
use siltstone_store::store::Store;

use super::common;
use crate::clock::time_text;
use crate::failure::{Answer, Failure, Outcome};
use crate::filter;
use crate::progress::{bytes_text, grouped};

/// Rows that the usual time between two rows is taken from.
const STEP_ROWS: usize = 100_000;
/// Streams faster than this many rows a second are taken for vibration or sound.
const FAST_HZ: i64 = 50;

/// Arguments of `silt train`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The network learns to give back what it is shown; what it cannot give back is out of the ordinary. Show it healthy rows
only. Of every six blocks of windows one says when to stop, and one sets the threshold.

Examples:
  silt train store bearing --stream vibration --channels x,y,z --where \"time < '2026-03-08'\" --window 1024
  silt train store loop --stream valve --channels pressure,flow,current --window 16 --hop 4 --features raw")]
pub struct Args {
    /// Directory of the store
    pub store: PathBuf,
    /// Name under which the model is kept; a name already there gets another version
    pub model: String,
    /// Stream to learn from
    #[arg(long)]
    pub stream: String,
    /// Numeric columns to learn, with commas between; all by default
    #[arg(long, value_delimiter = ',', value_name = "COL,...")]
    pub channels: Vec<String>,
    /// Only rows that meet this condition (as in silt count)
    #[arg(long = "where", value_name = "EXPR")]
    pub expression: Option<String>,
    /// Rows in a window
    #[arg(long, value_name = "ROWS")]
    pub window: usize,
    /// Rows from one window's start to the next; a window by default
    #[arg(long, value_name = "ROWS")]
    pub hop: Option<usize>,
    /// Longest pause inside a window, such as 10ms, 5s or 1h, or none; ten times the usual step by default
    #[arg(long, value_name = "TIME")]
    pub max_gap: Option<String>,
    /// Rows without a value: skip their windows, hold the last value, or take the channel's center
    #[arg(long, default_value = "skip", value_parser = ["skip", "hold", "center"])]
    pub nulls: String,
    /// What the network sees of a window: its samples (raw), or band energies and spikiness (spectrum); auto takes
    /// spectrum from 50 rows a second on
    #[arg(long, default_value = "auto", value_parser = ["auto", "raw", "spectrum"])]
    pub features: String,
    /// Bands of a spectrum
    #[arg(long, default_value_t = 16)]
    pub bands: usize,
    /// Units of the outer hidden layers; 0 chooses by the input
    #[arg(long, default_value_t = 0)]
    pub hidden: usize,
    /// Units of the narrow middle; 0 chooses by the input
    #[arg(long, default_value_t = 0)]
    pub code: usize,
    /// Most passes over the windows
    #[arg(long, default_value_t = 200)]
    pub epochs: usize,
    /// Start of all random choices; the same rows and seed give the same model
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Memory for windows and network, in MiB (default: half of --ram)
    #[arg(long, value_name = "MIB")]
    pub memory: Option<usize>,
    /// Quantile of healthy scores that becomes the threshold
    #[arg(long, default_value_t = 0.99, value_name = "0..1")]
    pub quantile: f64,
    /// Windows above the threshold that make an alarm, of how many: 3/5
    #[arg(long, default_value = "3/5", value_name = "K/N")]
    pub debounce: String,
}

/// Trains, and says what came of it.
///
/// # Errors
/// When the store, the stream or the condition cannot be used, or there are too few windows.
pub fn run(args: &Args) -> Outcome {
    common::open_read(&args.store)?;
    let store = Store::open(&args.store, crate::ram::options())?;
    common::check_stream(&store, &args.stream)?;
    let request = request(&store, args)?;
    let started = std::time::Instant::now();
    let report = train::train_model(&store, &request, &mut |_: Progress| true)?;
    let recipe = &report.recipe;
    let unit = store.schema(&args.stream)?.time_unit();
    let sizes: Vec<String> = report.layers.iter().map(ToString::to_string).collect();
    let [trained, stop, held_out] = recipe.window_counts;
    super::print(&format!(
        "model      {} version {}, {}\n\
         learned    {} rows of {} from {} to {}\n\
         windows    {} of {} rows: {} to learn from, {} to stop by, {} to set the threshold\n\
         sees       {} of {}\n\
         network    {}, {} passes, error on unseen windows {:.3} -> {:.3}\n\
         threshold  {:.3} (quantile {} of healthy scores, in stream {})\n\
         took       {:.1} s\n",
        args.model,
        report.version,
        bytes_text(report.bytes as u64),
        grouped(recipe.row_count),
        args.stream,
        time_text(recipe.time_range.0, unit),
        time_text(recipe.time_range.1, unit),
        grouped(trained + stop + held_out),
        recipe.spec.length,
        grouped(trained),
        grouped(stop),
        grouped(held_out),
        recipe.front_end,
        recipe.spec.channels.join(", "),
        sizes.join("-"),
        report.epochs,
        report.losses.0,
        report.losses.1,
        recipe.threshold,
        recipe.threshold_quantile,
        report.healthy_stream,
        started.elapsed().as_secs_f64(),
    ))?;
    common::say_left_out(report.left_out);
    Ok(Answer::Done)
}

fn request(store: &Store, args: &Args) -> Outcome<Request> {
    let snapshot = store.snapshot(&args.stream)?;
    let schema = snapshot.schema();
    let predicate = filter::parse_optional(args.expression.as_deref(), schema)?;
    let channels: Vec<&str> = if args.channels.is_empty() {
        let numeric = schema.channels().iter().filter(|c| !c.ty.is_binary());
        numeric.map(|c| c.name.as_str()).collect()
    } else {
        args.channels.iter().map(String::as_str).collect()
    };
    let unit = schema.time_unit();
    let step = typical_step(&snapshot, &predicate, STEP_ROWS)?;
    let mut spec = WindowSpec::new(&channels, args.window, args.hop.unwrap_or(args.window));
    spec.nulls = NullPolicy::from_name(&args.nulls).unwrap_or(NullPolicy::Skip);
    spec.max_gap = match args.max_gap.as_deref() {
        None => step.map(|step| step.saturating_mul(10)),
        Some("none") => None,
        Some(text) => Some(duration(text, unit)?),
    };
    let fast = step.is_some_and(|step| step.saturating_mul(FAST_HZ) <= unit.per_second());
    let front_end = match args.features.as_str() {
        "auto" if !fast => FrontEnd::Raw,
        "raw" => FrontEnd::Raw,
        _ => FrontEnd::spectrum(args.window, args.bands)?,
    };
    let mut request = Request::new(&args.model, &args.stream, spec, front_end);
    request.predicate = predicate;
    request.rows = args.expression.clone().unwrap_or_default();
    request.memory_limit = (args.memory).map_or(crate::ram::limit() / 2, |mib| mib.saturating_mul(1 << 20));
    request.threshold_quantile = args.quantile;
    request.debounce = debounce(&args.debounce)?;
    request.plan = Plan {
        hidden: args.hidden,
        code: args.code,
        epochs: args.epochs,
        seed: args.seed,
        ..Plan::default()
    };
    Ok(request)
}

/// A time such as `10ms` or `1.5h`, in ticks of `unit`.
pub(super) fn duration(text: &str, unit: TimeUnit) -> Outcome<i64> {
    let wrong = || {
        Failure::usage(format!(
            "{text:?} is no length of time; write 200us, 10ms, 5s, 2m, 1h, 1d or 1w"
        ))
    };
    let split = text.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(wrong)?;
    let (number, suffix) = text.split_at(split);
    let number: f64 = number.trim().parse().map_err(|_| wrong())?;
    let seconds = match suffix {
        "ns" => 1e-9,
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        "w" => 604_800.0,
        _ => return Err(wrong()),
    };
    let ticks = (number * seconds * unit.per_second() as f64).round();
    if !(0.0..9e18).contains(&ticks) {
        return Err(wrong());
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked just above")]
    Ok(ticks as i64)
}

/// `3/5` as a pair.
pub(super) fn debounce(text: &str) -> Outcome<(usize, usize)> {
    let pair = text
        .split_once('/')
        .and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
    pair.filter(|&(k, n)| k >= 1 && k <= n && n <= 64).ok_or_else(|| {
        Failure::usage(format!(
            "{text:?} is no debounce; write 3/5 for three of the last five windows (at most 64)"
        ))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn times_and_pairs() {
        assert_eq!(duration("10ms", TimeUnit::Microsecond).unwrap(), 10_000);
        assert_eq!(duration("1.5h", TimeUnit::Second).unwrap(), 5400);
        for wrong in ["10", "ms", "-1s", "1e30d", "5 weeks", ""] {
            assert!(duration(wrong, TimeUnit::Nanosecond).is_err(), "{wrong}");
        }
        assert_eq!(debounce("3/5").unwrap(), (3, 5));
        for wrong in ["5/3", "0/1", "3", "1/65", "a/b"] {
            assert!(debounce(wrong).is_err(), "{wrong}");
        }
    }
}
