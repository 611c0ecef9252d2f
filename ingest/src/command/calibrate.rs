//! How `silt model import` quantizes a float model: windows of a stream show how large its numbers get.

use siltstone_ml_bridge::model::Model;
use siltstone_ml_bridge::model::float::Calibrator;
use siltstone_ml_bridge::normalize::Normalizer;
use siltstone_ml_bridge::window::{Layout, WindowSpec, Windows};
use siltstone_store::predicate::Predicate;
use siltstone_store::schema::Schema;
use siltstone_store::snapshot::Snapshot;
use siltstone_store::store::Store;

use super::common;
use crate::failure::{Failure, Outcome};
use crate::filter;

/// What a float model is calibrated on.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Stream whose windows show how large a float model's numbers get
    #[arg(long = "calibrate", value_name = "STREAM")]
    pub stream: Option<String>,
    /// Numeric columns that the model sees, with commas between; all by default
    #[arg(long, value_delimiter = ',', value_name = "COL,...", requires = "stream")]
    pub channels: Vec<String>,
    /// Only rows that meet this condition (as in silt count)
    #[arg(long = "where", value_name = "EXPR", requires = "stream")]
    pub expression: Option<String>,
    /// Most windows, spread over the rows
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u64).range(1..=16_384))]
    pub windows: u64,
    /// What the model was trained on: values as they are, or less their mean and divided by their spread
    #[arg(long, default_value = "raw", value_parser = ["raw", "standard"])]
    pub units: String,
    /// Share of windows at either end whose extremes may saturate
    #[arg(long, default_value_t = 0.0, value_name = "0..0.5")]
    pub tail: f64,
}

/// The int8 form of `model`, calibrated on windows of `store`.
///
/// # Errors
/// When no stream was named, its columns do not make up the model's input, or the model has no int8 form.
pub fn quantize(store: &Store, model: &Model, args: &Args) -> Outcome<Model> {
    let Some(stream) = &args.stream else {
        return Err(Failure::usage(
            "this model computes in floats; name a stream to quantize it on with --calibrate",
        ));
    };
    common::check_stream(store, stream)?;
    let snapshot = store.snapshot(stream)?;
    let schema = snapshot.schema();
    let predicate = filter::parse_optional(args.expression.as_deref(), schema)?;
    let channels = channels(schema, &args.channels, None);
    let mut calibrator = Calibrator::new(model)?;
    let count = calibrator.input_count();
    let length = length(count, channels.len())?;
    let rows = usize::try_from(snapshot.count(&predicate)?).unwrap_or(usize::MAX);
    let most = usize::try_from(args.windows).unwrap_or(usize::MAX);
    let mut spec = WindowSpec::new(&channels, length, (rows / most).max(length));
    // Row by row, as images of sensors are laid out in .tflite.
    spec.layout = Layout::RowMajor;
    let normalizers = normalizers(&snapshot, &channels, &predicate, &args.units)?;
    let mut windows = Windows::normalized(&snapshot, &spec, &normalizers, &predicate)?;
    let mut window = vec![0.0; count];
    while calibrator.windows() < most && windows.next_into(&mut window)?.is_some() {
        calibrator.observe(&window)?;
    }
    let seen = calibrator.windows();
    let mut quantized = calibrator.finish(args.tail)?;
    let mut note = |word: &str, value: String| quantized.metadata.insert(format!("calibrated.{word}"), value);
    note("stream", stream.clone());
    note("rows", args.expression.clone().unwrap_or_default());
    note("channels", channels.join(","));
    note("windows", seen.to_string());
    note("units", args.units.clone());
    eprintln!("silt: quantized on {seen} windows of {stream}");
    Ok(quantized)
}

/// The columns that a model sees: those asked for, or all numeric ones but `label`.
pub fn channels<'a>(schema: &'a Schema, asked: &'a [String], label: Option<&str>) -> Vec<&'a str> {
    if asked.is_empty() {
        let numeric = schema.channels().iter().filter(|c| !c.ty.is_binary());
        numeric
            .map(|c| c.name.as_str())
            .filter(|name| Some(*name) != label)
            .collect()
    } else {
        asked.iter().map(String::as_str).collect()
    }
}

/// Rows of a window in which `channels` columns make up `count` numbers.
///
/// # Errors
/// If no number of rows does.
pub fn length(count: usize, channels: usize) -> Outcome<usize> {
    let length = count / channels.max(1);
    if length == 0 || length * channels != count {
        return Err(Failure::usage(format!(
            "the model takes {count} numbers, which {channels} channels do not make up; choose them with --channels"
        )));
    }
    Ok(length)
}

/// How values become what the model was trained on: by their mean and spread if `units` are standard, else as they are.
///
/// # Errors
/// What the store reports.
pub fn normalizers(
    snapshot: &Snapshot,
    channels: &[&str],
    predicate: &Predicate,
    units: &str,
) -> Outcome<Vec<Normalizer>> {
    let of = |channel: &&str| match units {
        "standard" => Normalizer::of_channel(snapshot, channel, predicate),
        _ => Ok(Normalizer {
            center: 0.0,
            scale: 1.0,
        }),
    };
    Ok(channels.iter().map(of).collect::<Result<_, _>>()?)
}
