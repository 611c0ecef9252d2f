//! Windows: `length` consecutive rows of some channels of one key, every `hop` rows.
//!
//! [`Windows`] reads a snapshot key by key in time order, whatever the segments, and fills buffers that the caller
//! owns, as int8 ([`Windows::quantized`]) or `f32` ([`Windows::normalized`]). A window never spans two keys, nor a
//! pause longer than [`WindowSpec::max_gap`]: after either, the next window starts with the first row that follows.
//! Rows that are kept only as buckets of time are no samples, so they are left out, and no window spans their time.
//! Little is allocated once the first windows are out: every buffer is kept.

use std::ops::Range;

use siltstone_store::error::{Error, Result};
use siltstone_store::predicate::Predicate;
use siltstone_store::question::part::Part;
use siltstone_store::snapshot::Snapshot;
use siltstone_store::value::Value;

use crate::normalize::Normalizer;

mod cutter;
pub mod features;
mod fft;
mod reader;
mod source;

pub use features::{Extractor, FrontEnd, MAX_WINDOW_ROWS};

use cutter::Cutter;
use reader::{Channel, Values};
use source::RowSource;

/// What to do with rows in which a channel has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NullPolicy {
    /// Leave out every window that has one.
    Skip,
    /// Repeat the channel's last value; its center before the first.
    HoldLast,
    /// Take the channel's center.
    Center,
}

impl NullPolicy {
    /// Name in model metadata and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            NullPolicy::Skip => "skip",
            NullPolicy::HoldLast => "hold",
            NullPolicy::Center => "center",
        }
    }

    /// Policy of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [NullPolicy::Skip, NullPolicy::HoldLast, NullPolicy::Center]
            .into_iter()
            .find(|policy| policy.name() == name)
    }
}

/// Order of values inside a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// All rows of the first channel, then all of the second.
    ChannelMajor,
    /// All channels of the first row, then all of the second.
    RowMajor,
}

/// How windows are cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowSpec {
    /// Channels, in the order in which they appear in a window.
    pub channels: Vec<String>,
    /// Rows in a window.
    pub length: usize,
    /// Rows from the start of a window to the start of the next.
    pub hop: usize,
    /// Longest step between two rows of a window, in the stream's time unit; `None` for any.
    pub max_gap: Option<i64>,
    /// Rows without a value.
    pub nulls: NullPolicy,
    /// Order of values.
    pub layout: Layout,
}

impl WindowSpec {
    /// Windows of `length` rows every `hop` rows, over any gap, without nulls, channel-major.
    pub fn new(channels: &[&str], length: usize, hop: usize) -> Self {
        WindowSpec {
            channels: channels.iter().map(|&c| c.to_owned()).collect(),
            length,
            hop,
            max_gap: None,
            nulls: NullPolicy::Skip,
            layout: Layout::ChannelMajor,
        }
    }

    /// Values in a window.
    pub fn size(&self) -> usize {
        self.length * self.channels.len()
    }

    fn check(&self) -> Result<()> {
        if self.channels.is_empty() || self.hop == 0 || self.length == 0 || self.length > MAX_WINDOW_ROWS {
            return Err(Error::invalid(format!(
                "a window needs at least one channel, 1 to {MAX_WINDOW_ROWS} rows and a hop of at least 1"
            )));
        }
        Ok(())
    }
}

/// First and last row time of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Time of the first row.
    pub start: i64,
    /// Time of the last row.
    pub end: i64,
}

/// Windows of a snapshot, by key and time.
#[derive(Debug)]
pub struct Windows<T> {
    source: RowSource,
    channels: Vec<Channel>,
    read: Read<T>,
    cutter: Cutter<T>,
    spec: WindowSpec,
    /// Values of the source's current run, and the first of its rows that has not reached the cutter.
    values: Vec<Values<T>>,
    run_at: usize,
    last_time: Option<i64>,
    rows: u64,
}

/// How a channel is read from a part.
type Read<T> = fn(&mut Channel, usize, &Part, &[Range<u64>], &mut Values<T>) -> Result<()>;

impl Windows<i8> {
    /// Int8 windows of the rows that meet `predicate`: steps of [`crate::normalize::STEPS_PER_UNIT`] per unit, straight
    /// from the codes of sealed rows.
    ///
    /// # Errors
    /// `InvalidArgument` if the specification makes no sense or names no numeric channel of the stream.
    pub fn quantized(
        snapshot: &Snapshot,
        spec: &WindowSpec,
        normalizers: &[Normalizer],
        predicate: &Predicate,
    ) -> Result<Self> {
        Self::new(snapshot, spec, normalizers, predicate, Channel::quantized)
    }
}

impl Windows<f32> {
    /// Normalized windows of the rows that meet `predicate`.
    ///
    /// # Errors
    /// `InvalidArgument` if the specification makes no sense or names no numeric channel of the stream.
    pub fn normalized(
        snapshot: &Snapshot,
        spec: &WindowSpec,
        normalizers: &[Normalizer],
        predicate: &Predicate,
    ) -> Result<Self> {
        Self::new(snapshot, spec, normalizers, predicate, Channel::normalized)
    }
}

impl<T: Copy + Default> Windows<T> {
    fn new(
        snapshot: &Snapshot,
        spec: &WindowSpec,
        normalizers: &[Normalizer],
        predicate: &Predicate,
        read: Read<T>,
    ) -> Result<Self> {
        spec.check()?;
        if normalizers.len() != spec.channels.len() {
            return Err(Error::invalid(format!(
                "{} channels need as many normalizations, not {}",
                spec.channels.len(),
                normalizers.len()
            )));
        }
        let schema = snapshot.schema();
        let mut channels = Vec::with_capacity(normalizers.len());
        let mut values = Vec::with_capacity(normalizers.len());
        for (name, &normalizer) in spec.channels.iter().zip(normalizers) {
            let position = schema.position(name).ok_or_else(|| {
                Error::invalid(format!("the stream has no channel {name:?} to take windows of"))
            })?;
            let ty = schema.columns()[position].ty;
            channels.push(Channel::new(position, ty, normalizer, snapshot.part_count())?);
            values.push(Values::default());
        }
        Ok(Windows {
            source: RowSource::new(snapshot, predicate)?,
            channels,
            read,
            cutter: Cutter::new(spec),
            spec: spec.clone(),
            values,
            run_at: 0,
            last_time: None,
            rows: 0,
        })
    }

    /// Fills `out` (as long as [`WindowSpec::size`]) with the next window; `None` after the last.
    ///
    /// # Errors
    /// What the store reports, and `InvalidArgument` if `out` has another length.
    pub fn next_into(&mut self, out: &mut [T]) -> Result<Option<Span>> {
        if out.len() != self.spec.size() {
            return Err(Error::invalid(format!(
                "a window of {} values does not fit a buffer of {}",
                self.spec.size(),
                out.len()
            )));
        }
        loop {
            if let Some(span) = self.cutter.pop(out) {
                return Ok(Some(span));
            }
            if self.run_at == self.source.times().len() && !self.next_run()? {
                return Ok(None);
            }
            self.feed();
        }
    }

    /// Key of the window that came last, one value per key column of the stream.
    pub fn key(&self) -> &[Value] {
        self.source.key()
    }

    /// Rows read so far.
    pub fn rows_read(&self) -> u64 {
        self.rows
    }

    fn next_run(&mut self) -> Result<bool> {
        loop {
            let Some(new_key) = self.source.next_run()? else {
                return Ok(false);
            };
            let in_buckets = self
                .source
                .rows()
                .is_some_and(|(_, part, _)| part.data.is_downsampled());
            if new_key || in_buckets {
                self.cutter.restart();
                self.last_time = None;
            }
            if !in_buckets {
                break;
            }
        }
        self.run_at = 0;
        if let Some((number, part, ranges)) = self.source.rows() {
            for (channel, values) in self.channels.iter_mut().zip(&mut self.values) {
                (self.read)(channel, number, part, ranges, values)?;
            }
        }
        Ok(true)
    }

    /// Gives the cutter the rows of the run up to the next gap.
    fn feed(&mut self) {
        let times = &self.source.times()[self.run_at..];
        let is_gap = |from: i64, to: i64| self.spec.max_gap.is_some_and(|gap| to.saturating_sub(from) > gap);
        let (Some(&first), Some(&last)) = (times.first(), times.last()) else {
            return;
        };
        if self.last_time.is_some_and(|before| is_gap(before, first)) {
            self.cutter.restart();
        }
        let gap = match self.spec.max_gap {
            None => None,
            Some(_) => times.windows(2).position(|pair| is_gap(pair[0], pair[1])),
        };
        let count = gap.map_or(times.len(), |position| position + 1);
        let rows = self.run_at..self.run_at + count;
        self.cutter.push_times(&times[..count]);
        for (channel, values) in self.values.iter().enumerate() {
            self.cutter.push_channel(channel, values, rows.clone());
        }
        self.last_time = gap.map_or(Some(last), |position| Some(times[position]));
        self.run_at += count;
        self.rows += count as u64;
    }
}

/// Rows that meet `predicate` and are in no window because they are kept only as buckets of time.
///
/// # Errors
/// What the store reports.
pub fn rows_in_buckets(snapshot: &Snapshot, predicate: &Predicate) -> Result<u64> {
    let measured = snapshot.clone().without_buckets();
    if measured.part_count() == snapshot.part_count() {
        return Ok(0);
    }
    Ok(snapshot
        .count(predicate)?
        .saturating_sub(measured.count(predicate)?))
}

/// The usual time between two consecutive rows of a key: the median step among the first `limit` rows that meet
/// `predicate`, at least 1 tick; `None` if no key has two rows.
///
/// # Errors
/// What the store reports.
pub fn typical_step(snapshot: &Snapshot, predicate: &Predicate, limit: usize) -> Result<Option<i64>> {
    let mut source = RowSource::new(&snapshot.clone().without_buckets(), predicate)?;
    let mut steps = Vec::new();
    let (mut last, mut rows) = (None, 0);
    while let Some(new_key) = source.next_run()? {
        if new_key {
            last = None;
        }
        for &time in source.times() {
            steps.extend(last.map(|before: i64| time.saturating_sub(before)));
            last = Some(time);
            rows += 1;
        }
        if rows >= limit {
            break;
        }
    }
    steps.sort_unstable();
    Ok(steps.get(steps.len() / 2).map(|&step| step.max(1)))
}
