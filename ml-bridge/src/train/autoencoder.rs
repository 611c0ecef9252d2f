//! Trains an autoencoder: a network with a narrow middle that learns to give back what it gets.
//!
//! What it has seen often (a healthy machine at any load) it gives back well; what it has never seen it cannot, and
//! the distance between the two is the score that detection thresholds. Inputs get a little noise, so that the network
//! learns the shape of the data and not its samples (Vincent et al., ICML 2008).

use siltstone_store::error::{Error, Result};

use super::network::{Adam, Network};
use crate::math::Random;

/// Layers that are not rectified: the narrow middle, which must carry both signs in few numbers, and the output.
const LINEAR: [usize; 2] = [1, 3];

/// Equally long rows of numbers, one after the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Samples {
    width: usize,
    values: Vec<f32>,
}

impl Samples {
    /// No samples yet, of `width` numbers each.
    pub fn new(width: usize) -> Self {
        debug_assert!(width > 0, "a sample has numbers");
        Samples {
            width: width.max(1),
            values: Vec::new(),
        }
    }

    /// Numbers in a sample.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.values.len() / self.width
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Adds a sample of [`Samples::width`] numbers.
    pub fn push(&mut self, sample: &[f32]) {
        debug_assert_eq!(sample.len(), self.width);
        self.values.extend_from_slice(sample);
    }

    /// Sample `index`.
    ///
    /// # Panics
    /// If there is none.
    pub fn get(&self, index: usize) -> &[f32] {
        &self.values[index * self.width..(index + 1) * self.width]
    }

    /// All samples in order.
    pub fn iter(&self) -> impl Iterator<Item = &[f32]> + Clone {
        self.values.chunks_exact(self.width)
    }

    /// All samples in order, to change.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        self.values.chunks_exact_mut(self.width)
    }

    /// Drops every other sample, the first stays.
    pub fn thin(&mut self) {
        let width = self.width;
        let mut kept = 0;
        for index in (0..self.len()).step_by(2) {
            self.values
                .copy_within(index * width..(index + 1) * width, kept * width);
            kept += 1;
        }
        self.values.truncate(kept * width);
    }
}

/// How to train.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Units of the outer hidden layers; 0 chooses by the input.
    pub hidden: usize,
    /// Units of the narrow middle; 0 chooses by the input.
    pub code: usize,
    /// Most passes over the samples.
    pub epochs: usize,
    /// Passes without progress on the held-out samples before training stops.
    pub patience: usize,
    /// Samples per step.
    pub batch: usize,
    /// Step size.
    pub rate: f32,
    /// Standard deviation of the noise added to inputs, in units of a normalized value.
    pub noise: f32,
    /// Start of all random choices.
    pub seed: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Plan {
            hidden: 0,
            code: 0,
            epochs: 200,
            patience: 12,
            batch: 32,
            rate: 2e-3,
            noise: 0.1,
            seed: 1,
        }
    }
}

impl Plan {
    /// Sizes of the layers for inputs of `width` numbers.
    pub fn sizes(&self, width: usize) -> [usize; 5] {
        let hidden = match self.hidden {
            0 => (width / 2).clamp(8, 64),
            given => given,
        };
        let code = match self.code {
            0 => (hidden / 4).max(3),
            given => given,
        };
        [width, hidden, code, hidden, width]
    }

    /// Bytes that weights, gradients, the optimizer and the best copy take for inputs of `width` numbers.
    pub fn network_bytes(&self, width: usize) -> usize {
        let sizes = self.sizes(width);
        let parameters: usize = sizes
            .windows(2)
            .map(|pair| pair[0].saturating_mul(pair[1]) + pair[1])
            .sum();
        parameters.saturating_mul(4 * 5)
    }
}

/// What training came to.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The network that did best on the held-out samples.
    pub network: Network,
    /// Passes over the samples.
    pub epochs: usize,
    /// Mean squared error per number on the held-out samples before training.
    pub first_loss: f32,
    /// The same for the network kept.
    pub best_loss: f32,
}

/// Trains on `samples` until `held_out` stops getting better. `progress` hears of each pass and its held-out error,
/// and ends training by returning false.
///
/// # Errors
/// `InvalidArgument` if there are no samples on either side, or their numbers are not finite.
pub fn train(
    samples: &Samples,
    held_out: &Samples,
    plan: &Plan,
    progress: &mut dyn FnMut(usize, f32) -> bool,
) -> Result<Trained> {
    if samples.is_empty() || held_out.is_empty() || samples.width() != held_out.width() {
        return Err(Error::invalid(
            "training needs windows to learn from and windows to check against",
        ));
    }
    if samples
        .iter()
        .chain(held_out.iter())
        .flatten()
        .any(|v| !v.is_finite())
    {
        return Err(Error::invalid(
            "training needs finite numbers; leave out rows with NaN or infinity",
        ));
    }
    let mut random = Random::new(plan.seed);
    let mut network = Network::new(&plan.sizes(samples.width()), &LINEAR, &mut random);
    let mut adam = Adam::new(&network);
    let (mut scratch, mut gradients) = (network.scratch(), network.gradients());
    let first_loss = loss(&network, held_out);
    let (mut best_loss, mut best) = (first_loss, network.clone());
    let (mut stale, mut epochs) = (0, 0);
    let mut order: Vec<usize> = (0..samples.len()).collect();
    let mut noisy = vec![0.0f32; samples.width()];
    while epochs < plan.epochs && stale < plan.patience {
        random.shuffle(&mut order);
        // Steps get shorter as progress stalls.
        let rate = if stale > plan.patience / 2 {
            plan.rate * 0.3
        } else {
            plan.rate
        };
        for batch in order.chunks(plan.batch.max(1)) {
            gradients.clear();
            for &index in batch {
                let target = samples.get(index);
                for (place, &value) in noisy.iter_mut().zip(target) {
                    *place = value + plan.noise * noise(&mut random);
                }
                network.backward(&noisy, target, &mut scratch, &mut gradients);
            }
            adam.step(&mut network, &gradients, 1.0 / batch.len() as f32, rate);
        }
        epochs += 1;
        let now = loss(&network, held_out);
        if now < best_loss * 0.999 {
            (best_loss, stale) = (now, 0);
            best.clone_from(&network);
        } else {
            stale += 1;
        }
        if !progress(epochs, now) {
            break;
        }
    }
    if !best_loss.is_finite() {
        return Err(Error::invalid(
            "training diverged; try a smaller step or another seed",
        ));
    }
    Ok(Trained {
        network: best,
        epochs,
        first_loss,
        best_loss,
    })
}

/// A cheap, nearly normal number of variance 1: the sum of four 16-bit uniform ones.
fn noise(random: &mut Random) -> f32 {
    let bits = random.next_u64();
    let sum: u64 = (0..4).map(|part| bits >> (16 * part) & 0xffff).sum();
    (sum as f32 / 65536.0 - 2.0) * 1.732_050_8
}

/// Mean squared error per number.
fn loss(network: &Network, samples: &Samples) -> f32 {
    let mut scratch = network.scratch();
    let total: f64 = samples
        .iter()
        .map(|sample| {
            let out = network.forward(sample, &mut scratch);
            out.iter()
                .zip(sample)
                .map(|(a, b)| f64::from((a - b) * (a - b)))
                .sum::<f64>()
        })
        .sum();
    #[expect(clippy::cast_possible_truncation, reason = "a loss is kept as f32")]
    let mean = (total / (samples.len() * samples.width()) as f64) as f32;
    mean
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

    use super::*;

    /// Points near a plane of two dimensions in eight.
    pub(crate) fn plane(count: usize, seed: u64) -> Samples {
        let mut axes = Random::new(99);
        let axes: Vec<f64> = (0..16).map(|_| axes.normal()).collect();
        let mut random = Random::new(seed);
        let mut samples = Samples::new(8);
        for _ in 0..count {
            let (u, v) = (random.normal(), random.normal());
            let sample: Vec<f32> = (0..8)
                .map(|i| (u * axes[i] + v * axes[8 + i] + 0.05 * random.normal()) as f32)
                .collect();
            samples.push(&sample);
        }
        samples
    }

    #[test]
    fn learns_the_plane_and_repeats_itself() {
        let plan = Plan {
            hidden: 16,
            code: 3,
            epochs: 60,
            ..Plan::default()
        };
        let (samples, held_out) = (plane(600, 1), plane(100, 2));
        let trained = train(&samples, &held_out, &plan, &mut |_, _| true).unwrap();
        assert!(trained.best_loss < trained.first_loss * 0.15, "{trained:?}");
        let again = train(&samples, &held_out, &plan, &mut |_, _| true).unwrap();
        assert_eq!(trained.best_loss.to_bits(), again.best_loss.to_bits());
        let weights = |t: &Trained| t.network.layers[1].weights.clone();
        assert_eq!(weights(&trained), weights(&again));
    }

    #[test]
    fn refuses_what_cannot_be_learned() {
        let plan = Plan::default();
        let empty = Samples::new(8);
        assert!(train(&empty, &plane(5, 1), &plan, &mut |_, _| true).is_err());
        let mut bad = plane(5, 1);
        bad.push(&[f32::NAN; 8]);
        assert!(train(&bad, &plane(5, 1), &plan, &mut |_, _| true).is_err());
    }

    #[test]
    fn thinning_keeps_every_other() {
        let mut samples = Samples::new(2);
        for i in 0..5 {
            samples.push(&[i as f32, 0.5]);
        }
        samples.thin();
        assert_eq!(samples.iter().map(|s| s[0]).collect::<Vec<_>>(), [0.0, 2.0, 4.0]);
    }
}
