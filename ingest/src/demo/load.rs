//! Puts what the simulated machine measured into a store.

use std::time::{Duration, Instant};

use siltstone_store::batch::Batch;
use siltstone_store::schema::{ColumnType, Schema, TimeUnit};
use siltstone_store::store::Store;
use siltstone_store::value::{Value, key_of_f64};

use super::events::Event;
use super::machine::{BEARINGS, BURST_ROWS, Burst, Machine};
use crate::failure::Outcome;

/// Bursts of each bearing that are appended together.
const BURSTS_PER_BATCH: usize = 16;
/// Characters of a time in the simulation, as text: `2026-03-02T00:00:00.000200Z`.
const TIME_CHARACTERS: u64 = 27;

/// What went in.
#[derive(Debug, Clone, Copy, Default)]
pub struct Loaded {
    /// Rows of vibration, of slow readings and of the log.
    pub rows: [u64; 3],
    /// Size of the same rows as CSV text.
    pub csv_bytes: u64,
    /// Time in the store's hands: logging, sorting, compressing.
    pub storing: Duration,
    /// Time that the simulation took.
    pub simulating: Duration,
}

/// Creates the three streams and appends everything. `seen` gets every burst on its way in.
///
/// # Errors
/// What the store refuses.
pub fn load(
    store: &Store,
    machine: &Machine,
    log: &[Event],
    seen: &mut dyn FnMut(usize, &Burst),
) -> Outcome<Loaded> {
    let mut loaded = Loaded::default();
    vibration(store, machine, seen, &mut loaded)?;
    let started = Instant::now();
    slow(store, machine, &mut loaded)?;
    events(store, log, &mut loaded)?;
    for stream in ["vibration", "machine", "events"] {
        store.seal(stream)?;
    }
    loaded.storing += started.elapsed();
    Ok(loaded)
}

fn vibration(
    store: &Store,
    machine: &Machine,
    seen: &mut dyn FnMut(usize, &Burst),
    loaded: &mut Loaded,
) -> Outcome<()> {
    let schema = Schema::new("time", TimeUnit::Microsecond)
        .with_key("bearing", ColumnType::Text)?
        .with_channel("x", ColumnType::F64, "g")?
        .with_channel("y", ColumnType::F64, "g")?
        .with_channel("z", ColumnType::F64, "g")?;
    let schema = store.create_stream("vibration", schema)?;
    let mut burst = Burst::default();
    let mut first = 0;
    while first < machine.burst_count() {
        let started = Instant::now();
        let mut batch = Batch::new(schema.clone());
        let last = (first + BURSTS_PER_BATCH).min(machine.burst_count());
        for index in first..last {
            for (number, bearing) in BEARINGS.iter().enumerate() {
                machine.burst(index, number, &mut burst);
                seen(number, &burst);
                push(&mut batch, bearing, &burst);
                loaded.csv_bytes += burst_text_bytes(bearing, &burst);
            }
        }
        first = last;
        loaded.simulating += started.elapsed();
        loaded.rows[0] += batch.len() as u64;
        let started = Instant::now();
        store.append("vibration", &batch)?;
        loaded.storing += started.elapsed();
    }
    Ok(())
}

fn push(batch: &mut Batch, bearing: &str, burst: &Burst) {
    batch.times.extend_from_slice(&burst.times_us);
    for _ in &burst.times_us {
        batch.columns[0].push_bytes(bearing.as_bytes());
    }
    for (column, samples) in batch.columns[1..].iter_mut().zip(&burst.axes) {
        for &sample in samples {
            column.push_key(key_of_f64(sample));
        }
    }
}

/// Bytes of `time,bearing,x,y,z` lines: thousandths are printed with three decimals.
fn burst_text_bytes(bearing: &str, burst: &Burst) -> u64 {
    let line = TIME_CHARACTERS + bearing.len() as u64 + 5;
    let number = |g: &f64| {
        let sign = u64::from(*g < 0.0);
        let whole = if g.abs() < 10.0 { 1 } else { 2 };
        sign + whole + 4
    };
    let numbers: u64 = burst.axes.iter().flatten().map(number).sum();
    line * BURST_ROWS as u64 + numbers
}

fn slow(store: &Store, machine: &Machine, loaded: &mut Loaded) -> Outcome<()> {
    let schema = Schema::new("time", TimeUnit::Microsecond)
        .with_channel("speed", ColumnType::F64, "rpm")?
        .with_channel("load", ColumnType::F64, "%")?
        .with_channel("temperature", ColumnType::F64, "degC")?;
    let mut batch = Batch::new(store.create_stream("machine", schema)?);
    for minute in machine.minutes() {
        let values = [minute.speed_rpm, minute.load_pct, minute.temperature_c];
        batch.push_row(minute.time_us, &values.map(Value::F64))?;
        loaded.csv_bytes += TIME_CHARACTERS + 4 + 14;
    }
    loaded.rows[1] = batch.len() as u64;
    store.append("machine", &batch)?;
    Ok(())
}

fn events(store: &Store, log: &[Event], loaded: &mut Loaded) -> Outcome<()> {
    let schema = Schema::new("time", TimeUnit::Microsecond)
        .with_channel("level", ColumnType::Text, "")?
        .with_channel("message", ColumnType::Text, "")?;
    let mut batch = Batch::new(store.create_stream("events", schema)?);
    for event in log {
        batch.push_row(
            event.time_us,
            &[Value::from(event.level), Value::from(event.message.as_str())],
        )?;
        loaded.csv_bytes += TIME_CHARACTERS + (event.level.len() + event.message.len()) as u64 + 3;
    }
    loaded.rows[2] = batch.len() as u64;
    store.append("events", &batch)?;
    Ok(())
}
