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
    /// From the bytes of the file to the first result, median of some.
    pub spin_up_ns: f64,
    /// Bytes of the model file.
    pub file_bytes: usize,
    /// Bytes of activations and scratch.
    pub arena_bytes: usize,
    /// Bytes of packed weights and parameters.
    pub weight_bytes: usize,
    /// Multiply-accumulates per inference.
    pub macs: u64,
}

impl Bench {
    /// As one JSON object.
    pub fn to_json(&self) -> String {
        format!(
            "{{\"isa\":\"{}\",\"runs\":{},\"median_ns\":{:.1},\"p90_ns\":{:.1},\"p99_ns\":{:.1},\"spin_up_ns\":{:.1},\
             \"file_bytes\":{},\"arena_bytes\":{},\"weight_bytes\":{},\"macs\":{}}}",
            self.isa.name(),
            self.runs,
            self.median_ns,
            self.p90_ns,
            self.p99_ns,
            self.spin_up_ns,
            self.file_bytes,
            self.arena_bytes,
            self.weight_bytes,
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
    let mut spins = Vec::new();
    for _ in 0..9 {
        let start = Instant::now();
        let mut engine = Engine::with_isa(&file::from_bytes(bytes)?, isa)?;
        let (input, mut output) = buffers(&engine);
        engine.run(&input, &mut output)?;
        spins.push(nanoseconds(start.elapsed()));
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
    Ok(Bench {
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
