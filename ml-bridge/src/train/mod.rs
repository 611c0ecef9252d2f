//! Training of small autoencoders on the device: from a stream's healthy rows to a model in the store.
//!
//! [`train_model`] reads windows of the chosen rows, learns to reconstruct them, turns the network into int8, scores
//! windows it has not seen, and keeps the result under the next version of its name, together with everything that
//! detection must repeat and where it was learned. The scores go to the stream `<model>_healthy`; the threshold is
//! an exact quantile of them, asked of the store.
//!
//! Of every six consecutive blocks of windows four are trained on, one says when to stop, and one is kept for the
//! threshold. The same rows and seed give the same model, bit for bit.

pub mod autoencoder;
pub mod gate;
pub mod network;
pub mod quantize;

use siltstone_store::error::{Error, Result};
use siltstone_store::predicate::Predicate;
use siltstone_store::snapshot::Snapshot;
use siltstone_store::store::Store;
use siltstone_store::value::Value;

use crate::detect::output::{Finding, Output};
use crate::detect::{Inputs, Recipe, Scorer};
use crate::engine::to_bytes_packed;
use crate::kernel::Isa;
use crate::model::Model;
use crate::normalize::{Normalizer, STEPS_PER_UNIT, number};
use crate::window::{FrontEnd, Span, WindowSpec, rows_in_buckets};

pub use autoencoder::{Plan, Samples, Trained};

/// Fewest windows that a model is trained on.
pub const MIN_WINDOWS: usize = 24;
/// Smallest standard deviation of a spectral feature, in octaves: what changes less in training is not known to be
/// constant.
const MIN_FEATURE_SPREAD: f64 = 0.05;

/// What to train.
#[derive(Debug, Clone)]
pub struct Request {
    /// Name of the model.
    pub model: String,
    /// Stream to learn from.
    pub stream: String,
    /// Rows to learn from: healthy ones.
    pub predicate: Predicate,
    /// The predicate as the user wrote it, for the record.
    pub rows: String,
    /// How windows are cut.
    pub spec: WindowSpec,
    /// What is computed from a window.
    pub front_end: FrontEnd,
    /// How to train.
    pub plan: Plan,
    /// Memory for samples and network together, in bytes. With more windows than fit, every other one is left out.
    pub memory_limit: usize,
    /// Quantile of the healthy held-out scores that becomes the threshold.
    pub threshold_quantile: f64,
    /// An alarm needs `debounce.0` of the last `debounce.1` windows above the threshold.
    pub debounce: (usize, usize),
}

impl Request {
    /// A request with the usual settings.
    pub fn new(model: &str, stream: &str, spec: WindowSpec, front_end: FrontEnd) -> Self {
        Request {
            model: model.to_owned(),
            stream: stream.to_owned(),
            predicate: Predicate::All,
            rows: String::new(),
            spec,
            front_end,
            plan: Plan::default(),
            memory_limit: 64 << 20,
            threshold_quantile: 0.99,
            debounce: (3, 5),
        }
    }
}

/// How far training is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Progress {
    /// Reading windows: rows read so far.
    Rows(u64),
    /// Training: passes over the samples, and the error on held-out windows.
    Epoch(usize, f32),
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Report {
    /// Version under which the model is kept.
    pub version: u32,
    /// What detection will repeat, and where it was learned.
    pub recipe: Recipe,
    /// Sizes of the layers, inputs first.
    pub layers: Vec<usize>,
    /// Passes over the samples.
    pub epochs: usize,
    /// Error per feature on held-out windows before training, and of the network kept.
    pub losses: (f32, f32),
    /// Bytes of the model file.
    pub bytes: usize,
    /// Stream that the healthy held-out scores went to.
    pub healthy_stream: String,
    /// Rows that were left out because they are kept only as buckets of time.
    pub left_out: u64,
}

/// Trains a model and keeps it in the store, where it becomes the serving version of its name. `progress` ends
/// training early by returning false.
///
/// # Errors
/// `InvalidArgument` if the rows give fewer than [`MIN_WINDOWS`] windows, a channel is not numeric, or the network
/// does not fit the memory limit; what the store reports.
pub fn train_model(
    store: &Store,
    request: &Request,
    progress: &mut dyn FnMut(Progress) -> bool,
) -> Result<Report> {
    let snapshot = store.snapshot(&request.stream)?;
    let quantile = request.threshold_quantile;
    if !(0.0..=1.0).contains(&quantile) {
        return Err(Error::invalid("the threshold's quantile lies between 0 and 1"));
    }
    let measured = snapshot.clone().without_buckets();
    let left_out = rows_in_buckets(&snapshot, &request.predicate)?;
    if left_out > 0 && measured.count(&request.predicate)? == 0 {
        return Err(Error::invalid(format!(
            "all {left_out} chosen rows are kept only as buckets of time, which are no samples to learn from; choose newer rows"
        )));
    }
    let normalizers = request
        .spec
        .channels
        .iter()
        .map(|channel| Normalizer::of_channel(&measured, channel, &request.predicate))
        .collect::<Result<Vec<_>>>()?;
    let gathered = gather(&snapshot, request, &normalizers, progress)?;
    let features = feature_normalizers(&gathered, request.front_end);
    let sets = Sets::new(&gathered, &features);
    let trained = autoencoder::train(&sets.train, &sets.stop, &request.plan, &mut |epoch, loss| {
        progress(Progress::Epoch(epoch, loss))
    })?;
    let mut model = quantize::quantize(&trained.network, &sets.train)?;
    let mut recipe = Recipe {
        stream: request.stream.clone(),
        rows: request.rows.clone(),
        time_range: gathered.time_range(),
        row_count: gathered.row_count,
        window_counts: [
            sets.train.len() as u64,
            sets.stop.len() as u64,
            sets.held_out_count,
        ],
        spec: request.spec.clone(),
        normalizers,
        front_end: request.front_end,
        weights: vec![1.0; features.len()],
        features,
        threshold: 0.0,
        threshold_quantile: quantile,
        debounce: request.debounce,
        seed: request.plan.seed,
    };
    recipe.weights = weigh(&model, &recipe, &gathered, Role::Stop)?;
    let version = next_version(store, &request.model);
    let healthy_stream = format!("{}_healthy", request.model);
    let mut output = Output::open(store, &healthy_stream, snapshot.schema(), &request.model, version)?;
    recipe.threshold = set_threshold(store, &model, &recipe, &gathered, &mut output, &healthy_stream)?;
    model.metadata = recipe.to_metadata();
    // Packed, so that detection opens it at once.
    let bytes = to_bytes_packed(&model, Isa::best())?;
    let kept = store.put_model(&request.model, &bytes)?;
    debug_assert_eq!(kept, version, "one writer gives out versions");
    Ok(Report {
        version: kept,
        layers: request.plan.sizes(recipe.width()).to_vec(),
        recipe,
        epochs: trained.epochs,
        losses: (trained.first_loss, trained.best_loss),
        bytes: bytes.len(),
        healthy_stream,
        left_out: gathered.left_out,
    })
}

/// What a window is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Train,
    Stop,
    HeldOut,
}

/// Features of the chosen windows.
#[derive(Debug)]
struct Gathered {
    samples: Samples,
    /// Span, and index into `keys`, of each sample.
    windows: Vec<(Span, usize)>,
    keys: Vec<Vec<Value>>,
    row_count: u64,
    left_out: u64,
}

impl Gathered {
    /// Windows come in blocks, so that neighbours, which resemble each other, mostly share a role.
    fn role(&self, index: usize) -> Role {
        let block = (self.windows.len() / 48).max(1);
        match index / block % 6 {
            2 => Role::Stop,
            5 => Role::HeldOut,
            _ => Role::Train,
        }
    }

    fn of_role(&self, role: Role) -> impl Iterator<Item = (usize, &[f32])> + Clone {
        self.samples
            .iter()
            .enumerate()
            .filter(move |(index, _)| self.role(*index) == role)
    }

    fn time_range(&self) -> (i64, i64) {
        let first = self.windows.iter().map(|(span, _)| span.start).min();
        let last = self.windows.iter().map(|(span, _)| span.end).max();
        (first.unwrap_or(0), last.unwrap_or(0))
    }
}

/// Reads the windows; leaves out every other one whenever they would not fit the memory limit.
fn gather(
    snapshot: &Snapshot,
    request: &Request,
    normalizers: &[Normalizer],
    progress: &mut dyn FnMut(Progress) -> bool,
) -> Result<Gathered> {
    let mut inputs = Inputs::new(
        snapshot,
        &request.spec,
        normalizers,
        request.front_end,
        &request.predicate,
    )?;
    let width = inputs.features().len();
    // A sample is held twice: as gathered, and normalized.
    let sample_bytes = width * 8 + size_of::<(Span, usize)>();
    let left = request
        .memory_limit
        .saturating_sub(request.plan.network_bytes(width));
    let most = left / sample_bytes;
    if most < MIN_WINDOWS * 2 {
        return Err(Error::invalid(format!(
            "a network over {width} features and {} windows need about {} MiB of memory; the limit is {} MiB",
            MIN_WINDOWS * 2,
            (request.plan.network_bytes(width) + MIN_WINDOWS * 2 * sample_bytes).div_ceil(1 << 20),
            request.memory_limit >> 20
        )));
    }
    let mut gathered = Gathered {
        samples: Samples::new(width),
        windows: Vec::new(),
        keys: Vec::new(),
        row_count: 0,
        left_out: rows_in_buckets(snapshot, &request.predicate)?,
    };
    let (mut stride, mut seen) = (1usize, 0usize);
    while let Some(span) = inputs.next_features()? {
        if seen % stride == 0 {
            if gathered.windows.len() == most {
                gathered.samples.thin();
                gathered.windows = gathered.windows.iter().copied().step_by(2).collect();
                stride *= 2;
            }
            if seen % stride == 0 {
                if gathered.keys.last().map(Vec::as_slice) != Some(inputs.key()) {
                    gathered.keys.push(inputs.key().to_vec());
                }
                if inputs.features().iter().any(|feature| !feature.is_finite()) {
                    return Err(Error::invalid(format!(
                        "the window that starts at time {} holds NaN or infinity; leave such rows out of training",
                        span.start
                    )));
                }
                gathered.samples.push(inputs.features());
                gathered.windows.push((span, gathered.keys.len() - 1));
            }
        }
        seen += 1;
        if seen % 64 == 0 && !progress(Progress::Rows(inputs.rows_read())) {
            break;
        }
    }
    gathered.row_count = inputs.rows_read();
    if gathered.windows.len() < MIN_WINDOWS {
        return Err(Error::invalid(format!(
            "the chosen rows give {} windows of {} rows, and training needs {MIN_WINDOWS}; choose more rows, shorter \
             windows or a shorter hop, and check that no gap limit cuts windows apart{}",
            gathered.windows.len(),
            request.spec.length,
            match gathered.left_out {
                0 => String::new(),
                rows => format!("; {rows} more rows are kept only as buckets of time, which are no samples"),
            }
        )));
    }
    Ok(gathered)
}

fn feature_normalizers(gathered: &Gathered, front_end: FrontEnd) -> Vec<Normalizer> {
    (0..gathered.samples.width())
        .map(|feature| match front_end {
            FrontEnd::Raw => Normalizer::IDENTITY,
            FrontEnd::Spectrum { .. } => {
                let mut normalizer =
                    Normalizer::of_values(gathered.of_role(Role::Train).map(|(_, sample)| sample[feature]));
                normalizer.scale = normalizer.scale.max(MIN_FEATURE_SPREAD);
                normalizer
            }
        })
        .collect()
}

/// Normalized samples by role, in the steps that the int8 network will see.
#[derive(Debug)]
struct Sets {
    train: Samples,
    stop: Samples,
    held_out_count: u64,
}

impl Sets {
    fn new(gathered: &Gathered, features: &[Normalizer]) -> Self {
        let normalized = |role: Role| {
            let mut samples = Samples::new(features.len());
            let mut sample = vec![0.0; features.len()];
            for (_, raw) in gathered.of_role(role) {
                for ((place, &value), normalizer) in sample.iter_mut().zip(raw).zip(features) {
                    *place = f32::from(normalizer.quantize(f64::from(value))) / STEPS_PER_UNIT;
                }
                samples.push(&sample);
            }
            samples
        };
        Sets {
            train: normalized(Role::Train),
            stop: normalized(Role::Stop),
            held_out_count: gathered.of_role(Role::HeldOut).count() as u64,
        }
    }
}

/// One over each feature's mean squared error on windows of `role`, in int8 steps; errors far below the average, or
/// below a step, count as that.
fn weigh(model: &Model, recipe: &Recipe, gathered: &Gathered, role: Role) -> Result<Vec<f32>> {
    let mut scorer = Scorer::new(model, recipe)?;
    let mut squares = vec![0.0f64; recipe.width()];
    let mut count = 0.0f64;
    for (_, sample) in gathered.of_role(role) {
        scorer.run(sample)?;
        for (square, error) in squares.iter_mut().zip(scorer.errors()) {
            *square += f64::from(error * error);
        }
        count += 1.0;
    }
    let mean = squares.iter().sum::<f64>() / count.max(1.0) / squares.len() as f64;
    let floor = (mean / 4.0).max(1.0);
    #[expect(clippy::cast_possible_truncation, reason = "weights are kept as f32")]
    let weights = squares
        .iter()
        .map(|square| (1.0 / (square / count.max(1.0)).max(floor)) as f32)
        .collect();
    Ok(weights)
}

/// Scores the held-out windows, writes them down, and asks the store for the exact quantile.
fn set_threshold(
    store: &Store,
    model: &Model,
    recipe: &Recipe,
    gathered: &Gathered,
    output: &mut Output<'_>,
    stream: &str,
) -> Result<f64> {
    let mut scorer = Scorer::new(model, recipe)?;
    let mut scores = Vec::new();
    // A training that failed after this point may have left scores under the same version.
    let left_over = store.snapshot(stream)?.count(&output.own_rows())?;
    for (index, sample) in gathered.of_role(Role::HeldOut) {
        let (span, key) = gathered.windows[index];
        let score = scorer.score(sample)?;
        scores.push(score);
        output.push(&Finding {
            span,
            key: &gathered.keys[key],
            score,
            threshold: None,
            alarm: false,
            label: "healthy",
        })?;
    }
    output.flush()?;
    if left_over == 0 {
        let snapshot = store.snapshot(stream)?;
        let quantile = snapshot.quantile("score", recipe.threshold_quantile, &output.own_rows())?;
        if let Some(threshold) = quantile.as_ref().and_then(number) {
            return Ok(threshold);
        }
    }
    scores.sort_unstable_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, reason = "a fraction of a count is a count")]
    let rank = (recipe.threshold_quantile * scores.len() as f64).ceil() as usize;
    let found = scores.get(rank.clamp(1, scores.len().max(1)) - 1).copied();
    found.ok_or_else(|| Error::invalid("no window was held out to set the threshold by"))
}

fn next_version(store: &Store, model: &str) -> u32 {
    let versions = store
        .models()
        .into_iter()
        .filter(|info| info.name == model)
        .map(|info| info.version);
    versions.max().unwrap_or(0) + 1
}
