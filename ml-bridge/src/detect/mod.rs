//! Detection: every window of a stream gets a score from a model, and a row in a stream of detections.
//!
//! [`detect`] repeats what the model's words say (windows, normalization, front end), so its scores are the ones that
//! training would have seen. It can be run again as rows arrive: windows that this version of the model has written
//! down already are scored for the sake of the debounce, but not written twice.

mod area;
mod debounce;
mod inputs;
pub(crate) mod output;
mod pins;
mod recipe;
mod score;

use siltstone_store::error::{Error, Result};
use siltstone_store::predicate::Predicate;
use siltstone_store::store::Store;
use siltstone_store::value::Value;

use crate::model::file;
use crate::window::rows_in_buckets;
use output::{Finding, Output};
use pins::Pins;

pub use area::area_under_curve;
pub use debounce::Debounce;
pub use inputs::Inputs;
pub use recipe::{KIND, Recipe};
pub use score::Scorer;

/// Most episodes that a [`Report`] lists; all are in the stream.
const MAX_EPISODES: usize = 1000;

/// What to look at, and with which model.
#[derive(Debug, Clone)]
pub struct Request {
    /// Name of the model.
    pub model: String,
    /// Its version; `None` for the serving one.
    pub version: Option<u32>,
    /// Stream to look at.
    pub stream: String,
    /// Which of its rows.
    pub predicate: Predicate,
    /// Stream to write to; `None` for `<stream>_detections`.
    pub output: Option<String>,
    /// Another threshold than the model's.
    pub threshold: Option<f64>,
    /// Another debounce than the model's: `k` of the last `n` windows.
    pub debounce: Option<(usize, usize)>,
    /// Pin the rows of an alarm's key from this long before it to this long after, in ticks of the stream's clock.
    pub pin_near: Option<i64>,
}

impl Request {
    /// Every row of `stream`, with the serving version of `model`.
    pub fn new(model: &str, stream: &str) -> Self {
        Request {
            model: model.to_owned(),
            version: None,
            stream: stream.to_owned(),
            predicate: Predicate::All,
            output: None,
            threshold: None,
            debounce: None,
            pin_near: None,
        }
    }
}

/// Windows in alarm without a pause between them.
#[derive(Debug, Clone, PartialEq)]
pub struct Episode {
    /// Key of the stream.
    pub key: Vec<Value>,
    /// Start of the first window.
    pub first: i64,
    /// End of the last window.
    pub last: i64,
    /// Number of windows.
    pub windows: u64,
    /// Highest score.
    pub peak: f64,
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Report {
    /// Version of the model that was used.
    pub version: u32,
    /// Stream that the detections went to.
    pub output: String,
    /// Threshold that was used.
    pub threshold: f64,
    /// Rows read.
    pub rows: u64,
    /// Rows in no window because they are kept only as buckets of time.
    pub left_out: u64,
    /// Windows scored.
    pub windows: u64,
    /// Windows written, the others having been there.
    pub written: u64,
    /// Windows above the threshold.
    pub high: u64,
    /// Windows in alarm.
    pub alarms: u64,
    /// Number of episodes.
    pub episode_count: u64,
    /// The first of them.
    pub episodes: Vec<Episode>,
}

/// Scores every window of a stream and writes a row for each. `progress` hears of the rows read so far, and ends
/// detection by returning false.
///
/// # Errors
/// `InvalidArgument` if there is no such model or stream, or the stream lacks a channel of the model; what the store
/// reports.
pub fn detect(store: &Store, request: &Request, progress: &mut dyn FnMut(u64) -> bool) -> Result<Report> {
    let (version, bytes) = store.model(&request.model, request.version)?;
    let (mut scorer, recipe) = Scorer::open(&file::aligned(&bytes))?;
    let snapshot = store.snapshot(&request.stream)?;
    let mut inputs = Inputs::new(
        &snapshot,
        &recipe.spec,
        &recipe.normalizers,
        recipe.front_end,
        &request.predicate,
    )?;
    let name = match &request.output {
        Some(name) => name.clone(),
        None => format!("{}_detections", request.stream),
    };
    let mut output = Output::open(store, &name, snapshot.schema(), &request.model, version)?;
    let threshold = request.threshold.unwrap_or(recipe.threshold);
    let (needed, of) = request.debounce.unwrap_or(recipe.debounce);
    if threshold.is_nan() || needed == 0 || needed > of || of > 64 {
        return Err(Error::invalid(
            "a threshold is a number, and an alarm needs k of the last n windows with k from 1 to n and n up to 64",
        ));
    }
    let mut debounce = Debounce::new(needed, of);
    let mut report = Report {
        version,
        output: name,
        threshold,
        rows: 0,
        left_out: rows_in_buckets(&snapshot, &request.predicate)?,
        windows: 0,
        written: 0,
        high: 0,
        alarms: 0,
        episode_count: 0,
        episodes: Vec::new(),
    };
    let mut key: Option<Vec<Value>> = None;
    let mut known_until = None;
    let mut in_alarm = false;
    let mut pins = Pins::new(store, request, snapshot.schema());
    // Windows of one key, scored at once.
    let mut spans = Vec::new();
    let mut scores = Vec::new();
    loop {
        let span = inputs.next_features()?;
        let changed = span.is_some() && key.as_deref() != Some(inputs.key());
        if span.is_none() || changed || scorer.is_full() {
            scorer.flush(&mut scores)?;
            for (span, &score) in spans.drain(..).zip(&scores) {
                let high = score > threshold;
                let alarm = debounce.push(high);
                report.windows += 1;
                report.high += u64::from(high);
                report.alarms += u64::from(alarm);
                let key = key.as_deref().unwrap_or(&[]);
                if alarm {
                    report.note(key, span, score, in_alarm);
                    pins.note(key, span, in_alarm)?;
                }
                in_alarm = alarm || (in_alarm && high);
                if known_until.is_none_or(|known| span.start > known) {
                    report.written += 1;
                    let label = if alarm {
                        "alarm"
                    } else if high {
                        "high"
                    } else {
                        "normal"
                    };
                    output.push(&Finding {
                        span,
                        key,
                        score,
                        threshold: Some(threshold),
                        alarm,
                        label,
                    })?;
                }
            }
            if !progress(inputs.rows_read()) {
                break;
            }
        }
        let Some(span) = span else { break };
        if changed {
            key = Some(inputs.key().to_vec());
            known_until = output.last_start(inputs.key())?;
            debounce.reset();
            in_alarm = false;
        }
        scorer.push(inputs.features())?;
        spans.push(span);
    }
    output.flush()?;
    pins.flush()?;
    report.rows = inputs.rows_read();
    Ok(report)
}

impl Report {
    fn note(&mut self, key: &[Value], span: crate::window::Span, score: f64, goes_on: bool) {
        if goes_on {
            // Only listed episodes are kept up to date.
            let listed = self.episode_count == self.episodes.len() as u64;
            if let Some(episode) = self.episodes.last_mut().filter(|_| listed) {
                episode.last = span.end;
                episode.windows += 1;
                episode.peak = episode.peak.max(score);
            }
            return;
        }
        self.episode_count += 1;
        if self.episodes.len() < MAX_EPISODES {
            self.episodes.push(Episode {
                key: key.to_vec(),
                first: span.start,
                last: span.end,
                windows: 1,
                peak: score,
            });
        }
    }
}
