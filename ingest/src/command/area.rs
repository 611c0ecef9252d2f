//! How well an autoencoder's scores tell labelled windows apart, for `silt model bench`.

use std::collections::HashMap;

use siltstone_ml_bridge::detect::{Inputs, KIND, Recipe, Scorer, area_under_curve};
use siltstone_ml_bridge::engine::Engine;
use siltstone_ml_bridge::kernel::Isa;
use siltstone_ml_bridge::model::{Affine, Image, file};
use siltstone_ml_bridge::normalize::Normalizer;
use siltstone_ml_bridge::window::{Layout, Span, WindowSpec, Windows};
use siltstone_store::predicate::Predicate;
use siltstone_store::snapshot::Snapshot;
use siltstone_store::value::Value;

use super::calibrate;
use crate::failure::{Failure, Outcome};

/// What was found.
pub struct Area {
    /// Area under the curve; none if all labels are alike.
    pub area: Option<f64>,
    /// Windows, and those of them with a label that is not 0.
    pub windows: [usize; 2],
}

/// What an imported model is shown.
pub struct Shown<'a> {
    /// Numeric columns; all but the label if empty.
    pub channels: &'a [String],
    /// Rows from one window's start to the next; a window's if none.
    pub hop: Option<usize>,
    /// What the columns hold: `raw`, `standard` or `int8`.
    pub units: &'a str,
}

/// Whether the model file `bytes` was trained here, so that it says itself what a window is.
///
/// # Errors
/// What reading it gives.
pub fn has_recipe(bytes: &[u8]) -> Outcome<bool> {
    Ok(file::from_bytes(bytes)?
        .metadata
        .get("kind")
        .is_some_and(|kind| kind == KIND))
}

/// Scores the windows of `snapshot` that meet `predicate`, and holds them to the column `label`. A window's label is that
/// of most of its rows.
///
/// # Errors
/// When the model cannot be used, or the columns do not make up its input.
pub fn measure(
    snapshot: &Snapshot,
    predicate: &Predicate,
    bytes: &[u8],
    shown: &Shown<'_>,
    label: &str,
) -> Outcome<Area> {
    let image = file::aligned(bytes);
    let scores = if has_recipe(bytes)? {
        trained(snapshot, predicate, &image, label)?
    } else {
        imported(snapshot, predicate, &image, shown, label)?
    };
    Ok(Area {
        area: area_under_curve(&scores),
        windows: [
            scores.len(),
            scores.iter().filter(|(_, labelled)| *labelled).count(),
        ],
    })
}

/// A value in `units` as what the model takes.
pub(super) fn quantized(value: f32, units: &str, affine: Affine) -> i8 {
    #[expect(clippy::cast_possible_truncation, reason = "a cast of floats saturates")]
    let own = value.round() as i8;
    if units == "int8" {
        own
    } else {
        affine.quantize(value)
    }
}

/// Takes values as they are.
const AS_IS: Normalizer = Normalizer {
    center: 0.0,
    scale: 1.0,
};

/// Whether most of the rows have a label that is not 0.
fn labelled(rows: impl ExactSizeIterator<Item = f32>) -> bool {
    let count = rows.len();
    2 * rows.filter(|label| *label != 0.0).count() > count
}

/// With the windows, the front end and the score of the model's own recipe.
fn trained(
    snapshot: &Snapshot,
    predicate: &Predicate,
    image: &Image,
    label: &str,
) -> Outcome<Vec<(f64, bool)>> {
    let (mut scorer, recipe): (Scorer, Recipe) = Scorer::open(image)?;
    let place = |key: &[Value], span: Span| (format!("{key:?}"), span.start);
    let spec = WindowSpec {
        channels: vec![label.to_owned()],
        ..recipe.spec.clone()
    };
    let mut labels = HashMap::new();
    let mut windows = Windows::normalized(snapshot, &spec, &[AS_IS], predicate)?;
    let mut window = vec![0.0f32; spec.size()];
    while let Some(span) = windows.next_into(&mut window)? {
        labels.insert(place(windows.key(), span), labelled(window.iter().copied()));
    }
    let mut inputs = Inputs::new(
        snapshot,
        &recipe.spec,
        &recipe.normalizers,
        recipe.front_end,
        predicate,
    )?;
    let mut scores = Vec::new();
    while let Some(span) = inputs.next_features()? {
        // Windows without a label, or whose rows lack one, do not count.
        if let Some(label) = labels.get(&place(inputs.key(), span)) {
            scores.push((scorer.score(inputs.features())?, *label));
        }
    }
    Ok(scores)
}

/// With windows as the arguments say, and the mean squared difference between what goes in and what comes out.
fn imported(
    snapshot: &Snapshot,
    predicate: &Predicate,
    image: &Image,
    shown: &Shown<'_>,
    label: &str,
) -> Outcome<Vec<(f64, bool)>> {
    let mut engine = Engine::open(image, Isa::best())?;
    let count = engine.input_count();
    if engine.output_count() != count {
        return Err(Failure::usage(format!(
            "the model takes {count} numbers and gives {}, so it does not give its input back",
            engine.output_count()
        )));
    }
    let channels = calibrate::channels(snapshot.schema(), shown.channels, Some(label));
    let length = calibrate::length(count, channels.len())?;
    let mut normalizers = calibrate::normalizers(snapshot, &channels, predicate, shown.units)?;
    // The label is one more column of the window.
    let columns = [channels.as_slice(), &[label]].concat();
    normalizers.push(AS_IS);
    let mut spec = WindowSpec::new(&columns, length, shown.hop.unwrap_or(length));
    spec.layout = Layout::RowMajor;
    let mut windows = Windows::normalized(snapshot, &spec, &normalizers, predicate)?;
    let mut window = vec![0.0f32; spec.size()];
    let (mut input, mut output) = (vec![0i8; count], vec![0i8; count]);
    let (from, to) = (engine.input_quantization(), engine.output_quantization());
    let mut scores = Vec::new();
    while windows.next_into(&mut window)?.is_some() {
        let rows = window.chunks_exact(columns.len());
        let values = rows.clone().flat_map(|row| &row[..channels.len()]);
        for (place, value) in input.iter_mut().zip(values.clone()) {
            *place = quantized(*value, shown.units, from);
        }
        engine.reset();
        engine.run(&input, &mut output)?;
        let mut sum = 0.0;
        for ((value, seen), given) in values.zip(&input).zip(&output) {
            // Held to the value itself, which int8 may not have room for.
            let value = if shown.units == "int8" {
                from.dequantize(*seen)
            } else {
                *value
            };
            sum += f64::from(value - to.dequantize(*given)).powi(2);
        }
        #[expect(clippy::cast_precision_loss, reason = "numbers of a window")]
        let mean = sum / count as f64;
        let labels = rows.map(|row| row.last().copied().unwrap_or(0.0));
        scores.push((mean, labelled(labels)));
    }
    Ok(scores)
}
