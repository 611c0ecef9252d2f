//! `silt model bench`: how long a model takes on every family of kernels here, what it occupies, and how often it is right.

use std::path::PathBuf;
use std::time::Duration;

use siltstone_ml_bridge::engine::{Engine, bench};
use siltstone_ml_bridge::kernel::Isa;
use siltstone_ml_bridge::model::file;
use siltstone_ml_bridge::normalize::Normalizer;
use siltstone_ml_bridge::window::{Layout, WindowSpec, Windows};
use siltstone_store::predicate::Predicate;
use siltstone_store::snapshot::Snapshot;
use siltstone_store::store::Store;

use super::{area, calibrate, common};
use crate::failure::{Failure, Outcome};
use crate::filter;
use crate::output::table::{Align, Table};
use crate::progress::grouped;

/// Arguments of `silt model bench`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
With --labelled, windows of a stream are classified, and a column says what they are: the class whose output is the
largest is compared with the label that most rows of the window have. A model that gives its input back (one that
`silt train` made, or with --difference any) scores windows instead, and the area under the curve says how well scores
tell windows whose label is 0 from the others: the chance that one of the others scores higher.

Example:
  silt model bench store gestures --labelled watch --label gesture --channels ax,ay,az --units int8")]
pub struct Args {
    /// Directory of the store
    pub store: PathBuf,
    /// Name of the model
    pub model: String,
    /// Version; the serving one by default
    #[arg(long)]
    pub version: Option<u32>,
    /// Milliseconds to spend on each family
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub budget_ms: u64,
    /// One JSON object a line instead of a table
    #[arg(long)]
    pub json: bool,
    /// Stream with labelled rows, to see how often the model is right
    #[arg(long, value_name = "STREAM", requires = "label")]
    pub labelled: Option<String>,
    /// Column with the class of a row: the position of the output that should be the largest, from 0 on; for scores 0
    /// or anything else
    #[arg(long, value_name = "COL", requires = "labelled")]
    pub label: Option<String>,
    /// Numeric columns that the model sees, with commas between; all but the label by default
    #[arg(long, value_delimiter = ',', value_name = "COL,...", requires = "labelled")]
    pub channels: Vec<String>,
    /// Only rows that meet this condition (as in silt count)
    #[arg(long = "where", value_name = "EXPR", requires = "labelled")]
    pub expression: Option<String>,
    /// Rows from one window's start to the next; a window by default
    #[arg(long, value_name = "ROWS", requires = "labelled")]
    pub hop: Option<usize>,
    /// What the columns hold: values as the model was trained on them (raw), values that it wants less their mean and
    /// divided by their spread (standard), or its own int8 numbers
    #[arg(long, default_value = "raw", value_parser = ["raw", "standard", "int8"])]
    pub units: String,
    /// Score windows by the mean squared difference between what goes into the model and what comes out
    #[arg(long, requires = "labelled")]
    pub difference: bool,
}

/// Measures, and prints what came of it.
///
/// # Errors
/// When the store or the model cannot be used, or the stream's columns do not make up the model's input.
pub fn run(args: &Args) -> Outcome<()> {
    let store = common::open_read(&args.store)?;
    let (_, bytes) = store.model(&args.model, args.version)?;
    let mut text = times(&bytes, Duration::from_millis(args.budget_ms), args.json)?;
    if let (Some(stream), Some(label)) = (&args.labelled, &args.label) {
        text.push_str(&judged(&store, &bytes, args, stream, label)?);
    }
    super::print(&text)
}

/// How well the model does on labelled windows of `stream`, as a line.
fn judged(store: &Store, bytes: &[u8], args: &Args, stream: &str, label: &str) -> Outcome<String> {
    common::check_stream(store, stream)?;
    let snapshot = store.snapshot(stream)?;
    let predicate = filter::parse_optional(args.expression.as_deref(), snapshot.schema())?;
    if args.difference || area::has_recipe(bytes)? {
        let shown = area::Shown {
            channels: &args.channels,
            hop: args.hop,
            units: &args.units,
        };
        let found = area::measure(&snapshot, &predicate, bytes, &shown, label)?;
        let [windows, labelled] = found.windows.map(|count| count as u64);
        return Ok(if args.json {
            let area = found.area.map_or("null".to_owned(), |area| format!("{area:.4}"));
            format!("{{\"labelled_windows\":{windows},\"not_0\":{labelled},\"area_under_curve\":{area}}}\n")
        } else {
            let area = found
                .area
                .map_or("none, labels are all alike".to_owned(), |area| {
                    format!("{area:.4}")
                });
            format!(
                "area under the curve: {area} ({} of {} labelled windows are not 0)\n",
                grouped(labelled),
                grouped(windows)
            )
        });
    }
    let (right, windows) = accuracy(&snapshot, &predicate, bytes, args, label)?;
    #[expect(clippy::cast_precision_loss, reason = "counts of windows")]
    let share = right as f64 / windows.max(1) as f64;
    Ok(if args.json {
        format!("{{\"labelled_windows\":{windows},\"right\":{right},\"top1\":{share:.4}}}\n")
    } else {
        format!(
            "right: {} of {} labelled windows, {:.1} %\n",
            grouped(right),
            grouped(windows),
            100.0 * share
        )
    })
}

/// Times the model file `bytes` on every family of kernels.
fn times(bytes: &[u8], budget: Duration, json: bool) -> Outcome<String> {
    let right = |name: &str| (name.to_owned(), Align::Right);
    let mut table = Table::new([
        ("class".to_owned(), Align::Left),
        ("kernels".to_owned(), Align::Left),
        right("median us"),
        right("p90 us"),
        right("p99 us"),
        right("us in a batch"),
        right("file to first result us"),
        right("MACs"),
        right("file bytes"),
        right("arena bytes"),
        right("weight bytes"),
        right("resident bytes"),
    ]);
    let mut text = Vec::new();
    for isa in Isa::available() {
        let found = bench(bytes, isa, budget)?;
        if json {
            text.extend_from_slice(found.to_json().as_bytes());
            text.push(b'\n');
            continue;
        }
        let microseconds = |nanoseconds: f64| format!("{:.2}", nanoseconds / 1e3);
        table.push(vec![
            found.class().name().to_owned(),
            isa.name().to_owned(),
            microseconds(found.median_ns),
            microseconds(found.p90_ns),
            microseconds(found.p99_ns),
            microseconds(found.batch_ns),
            microseconds(found.spin_up_ns),
            grouped(found.macs),
            grouped(found.file_bytes as u64),
            grouped(found.arena_bytes as u64),
            grouped(found.weight_bytes as u64),
            found
                .resident_bytes
                .map_or_else(|| "not available".to_owned(), grouped),
        ]);
    }
    if !json {
        table.write_to(&mut text)?;
        text.extend_from_slice(b"instructions: not available\n");
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// How many windows of `snapshot` the model gives their label, and how many there are.
fn accuracy(
    snapshot: &Snapshot,
    predicate: &Predicate,
    bytes: &[u8],
    args: &Args,
    label: &str,
) -> Outcome<(u64, u64)> {
    let channels = calibrate::channels(snapshot.schema(), &args.channels, Some(label));
    let mut engine = Engine::open(&file::aligned(bytes), Isa::best())?;
    let length = calibrate::length(engine.input_count(), channels.len())?;
    let mut normalizers = calibrate::normalizers(snapshot, &channels, predicate, &args.units)?;
    // The label is one more column of the window.
    let columns = [channels.as_slice(), &[label]].concat();
    normalizers.push(Normalizer {
        center: 0.0,
        scale: 1.0,
    });
    let mut spec = WindowSpec::new(&columns, length, args.hop.unwrap_or(length));
    spec.layout = Layout::RowMajor;
    let mut windows = Windows::normalized(snapshot, &spec, &normalizers, predicate)?;
    let mut window = vec![0.0f32; spec.size()];
    let mut input = vec![0i8; engine.input_count()];
    let mut output = vec![0i8; engine.output_count()];
    let affine = engine.input_quantization();
    let mut votes = vec![0usize; engine.output_count()];
    let (mut right, mut count) = (0, 0);
    while windows.next_into(&mut window)?.is_some() {
        votes.fill(0);
        let rows = window.chunks_exact(columns.len());
        for (row, to) in rows.zip(input.chunks_exact_mut(channels.len())) {
            let Some((class, values)) = row.split_last() else {
                continue;
            };
            vote(&mut votes, *class)?;
            for (to, value) in to.iter_mut().zip(values) {
                *to = area::quantized(*value, &args.units, affine);
            }
        }
        engine.reset();
        engine.run(&input, &mut output)?;
        count += 1;
        right += u64::from(largest(&output) == largest(&votes));
    }
    Ok((right, count))
}

/// Counts a row's class.
fn vote(votes: &mut [usize], class: f32) -> Outcome<()> {
    let found = votes.iter_mut().enumerate().find(|(position, _)| {
        #[expect(clippy::cast_precision_loss, reason = "a small position")]
        let position = *position as f32;
        position == class
    });
    match found {
        Some((_, votes)) => *votes += 1,
        None => {
            return Err(Failure::usage(format!(
                "{class} is no label: the model's outputs are numbered from 0 on"
            )));
        }
    }
    Ok(())
}

/// Position of the largest number, the first of equals.
fn largest<T: Ord>(numbers: &[T]) -> Option<usize> {
    let all = numbers.iter().enumerate().rev();
    all.max_by_key(|(_, number)| *number)
        .map(|(position, _)| position)
}
