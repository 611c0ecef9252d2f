//! How long a model takes, from its file to its first result, per inference and per operator.

use std::time::{Duration, Instant};

use super::Engine;
use crate::Result;
use crate::kernel::Isa;
use crate::model::file;

/// What `bench` measured. Times are wall-clock nanoseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Bench {
    /// The kernels used.
    pub isa: Isa,
    /// Inferences timed.
    pub runs: usize,
    /// Time per inference that half of the inferences stay below.
    pub median_ns: f64,
    /// As the median, for 90 of 100.
    pub p90_ns: f64,
    /// As the median, for 99 of 100.
    pub p99_ns: f64,
    /// From the bytes of the file in memory to the first result, median of some.
    pub spin_up_ns: f64,
    /// Bytes of the model file.
    pub file_bytes: usize,
    /// Bytes of activations and scratch.
    pub arena_bytes: usize,
    /// Bytes of packed weights and parameters.
    pub weight_bytes: usize,
    /// Multiply-accumulates per inference.
    pub macs: u64,
    /// Time per inference of a batch, the engine computing [`BATCH`] inputs at once, median.
    pub batch_ns: f64,
    /// Bytes of memory by which this process grew while the engine was made and first run, where the system says so.
    pub resident_bytes: Option<u64>,
}

/// Inputs of a timed batch.
pub const BATCH: usize = 24;

/// How much a model computes, as MLMark tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Below 100,000 multiply-accumulates: its time is that of dispatch.
    Light,
    /// Below 5,000,000.
    Medium,
    /// More.
    Heavy,
}

impl Class {
    /// Its name, for people.
    pub fn name(self) -> &'static str {
        match self {
            Class::Light => "light",
            Class::Medium => "medium",
            Class::Heavy => "heavy",
        }
    }
}

/// Resident bytes of this process.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kibibytes * 1024)
}

impl Bench {
    /// The class of the model.
    pub fn class(&self) -> Class {
        match self.macs {
            0..100_000 => Class::Light,
            100_000..5_000_000 => Class::Medium,
            _ => Class::Heavy,
        }
    }

    /// As one JSON object. Instructions are null: no safe interface counts them.
    pub fn to_json(&self) -> String {
        format!(
            "{{\"class\":\"{}\",\"isa\":\"{}\",\"runs\":{},\"median_ns\":{:.1},\"p90_ns\":{:.1},\"p99_ns\":{:.1},\"spin_up_ns\":{:.1},\
             \"batch_ns\":{:.1},\"file_bytes\":{},\"arena_bytes\":{},\"weight_bytes\":{},\"resident_bytes\":{},\
             \"instructions\":null,\"macs\":{}}}",
            self.class().name(),
            self.isa.name(),
            self.runs,
            self.median_ns,
            self.p90_ns,
            self.p99_ns,
            self.spin_up_ns,
            self.batch_ns,
            self.file_bytes,
            self.arena_bytes,
            self.weight_bytes,
            self.resident_bytes.map_or("null".to_string(), |b| b.to_string()),
            self.macs
        )
    }
}

/// The entry of `sorted` below which `share` of them lie.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "an index"
)]
fn at(sorted: &[f64], share: f64) -> f64 {
    let index = (sorted.len() as f64 * share) as usize;
    sorted
        .get(index.min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(0.0)
}

#[expect(clippy::cast_precision_loss, reason = "a time of less than a month")]
fn nanoseconds(duration: Duration) -> f64 {
    duration.as_nanos() as f64
}

/// Times the model file `bytes` with the kernels of `isa` for about `budget`, fed with a fixed pattern.
///
/// Inferences shorter than a microsecond are timed several at once, so that reading the clock does not count.
///
/// # Errors
/// What loading, compiling and running give.
pub fn bench(bytes: &[u8], isa: Isa, budget: Duration) -> Result<Bench> {
    let before = resident_bytes();
    let mut resident = None;
    let image = file::aligned(bytes);
    let mut spins = Vec::new();
    for _ in 0..9 {
        let start = Instant::now();
        let mut engine = Engine::open(&image, isa)?;
        let (input, mut output) = buffers(&engine);
        engine.run(&input, &mut output)?;
        spins.push(nanoseconds(start.elapsed()));
        resident = resident.or(before.and_then(|before| Some(resident_bytes()?.saturating_sub(before))));
    }
    spins.sort_by(f64::total_cmp);
    let mut engine = Engine::with_isa(&file::from_bytes(bytes)?, isa)?;
    let (input, mut output) = buffers(&engine);
    let start = Instant::now();
    for _ in 0..16 {
        engine.run(&input, &mut output)?;
    }
    let per_clock = if nanoseconds(start.elapsed()) / 16.0 < 1000.0 {
        16u32
    } else {
        1
    };
    let mut times = Vec::with_capacity(1 << 16);
    let begin = Instant::now();
    while times.len() < 50 || (begin.elapsed() < budget && times.len() < times.capacity()) {
        let start = Instant::now();
        for _ in 0..per_clock {
            engine.run(&input, &mut output)?;
        }
        times.push(nanoseconds(start.elapsed()) / f64::from(per_clock));
    }
    times.sort_by(f64::total_cmp);
    let mut together = Engine::with_isa_and_batch(&file::from_bytes(bytes)?, isa, BATCH)?;
    let (inputs, mut outputs) = (input.repeat(BATCH), output.repeat(BATCH));
    let mut batches = Vec::new();
    let begin = Instant::now();
    while batches.len() < 5 || (begin.elapsed() < budget / 4 && batches.len() < 1 << 12) {
        let start = Instant::now();
        together.run_batch(&inputs, &mut outputs, BATCH)?;
        batches.push(nanoseconds(start.elapsed()) / BATCH as f64);
    }
    batches.sort_by(f64::total_cmp);
    Ok(Bench {
        batch_ns: at(&batches, 0.5),
        resident_bytes: resident,
        isa,
        runs: times.len() * per_clock as usize,
        median_ns: at(&times, 0.5),
        p90_ns: at(&times, 0.9),
        p99_ns: at(&times, 0.99),
        spin_up_ns: at(&spins, 0.5),
        file_bytes: bytes.len(),
        arena_bytes: engine.arena_bytes(),
        weight_bytes: engine.steps().iter().map(|s| s.weight_bytes).sum(),
        macs: engine.steps().iter().map(|s| s.macs).sum(),
    })
}

fn buffers(engine: &Engine) -> (Vec<i8>, Vec<i8>) {
    #[expect(clippy::cast_possible_truncation, reason = "any pattern will do")]
    let input = (0..engine.input_count()).map(|i| (i * 31 % 251) as i8).collect();
    (input, vec![0; engine.output_count()])
}

impl Engine {
    /// The median nanoseconds of each entry of [`Engine::steps`] over `rounds` inferences of `input`; a copy into a
    /// padded image counts for the operator that reads it.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub fn profile(&mut self, input: &[i8], rounds: usize) -> Result<Vec<f64>> {
        self.check(input.len(), self.output.count, 1)?;
        let mut times = vec![Vec::with_capacity(rounds); self.steps.len()];
        for _ in 0..rounds {
            self.load(0, input);
            for (number, times) in times.iter_mut().enumerate() {
                let start = Instant::now();
                self.step(number, 1);
                times.push(nanoseconds(start.elapsed()));
            }
        }
        let mut medians = Vec::with_capacity(self.reports.len());
        let mut next = 0;
        for report in &self.reports {
            let mut sum = 0.0;
            while next <= report.step {
                times[next].sort_by(f64::total_cmp);
                sum += at(&times[next], 0.5);
                next += 1;
            }
            medians.push(sum);
        }
        Ok(medians)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::{Activation, Affine, dense};

    #[test]
    fn measures_something() {
        let layer = dense::DenseLayer {
            inputs: 8,
            outputs: 4,
            weights: vec![3; 32],
            weight_scales: vec![0.01],
            bias: vec![5; 4],
            activation: Activation::None,
            output: Affine {
                scale: 0.1,
                zero_point: 0,
            },
        };
        let model = dense::build(
            &[layer],
            Affine {
                scale: 0.1,
                zero_point: 0,
            },
        )
        .unwrap();
        let bytes = file::to_bytes(&model);
        let bench = bench(&bytes, Isa::Portable, Duration::ZERO).unwrap();
        assert!(bench.runs >= 50 && bench.macs == 32 && bench.median_ns > 0.0);
        assert!(bench.to_json().contains("\"macs\":32"));
        let mut engine = Engine::new(&model).unwrap();
        assert_eq!(engine.profile(&[1; 8], 3).unwrap().len(), 1);
    }
}
