//! A simulated pump motor with two bearings, one of which starts to fail.
//!
//! What is in the signal, and why:
//!
//! - the shaft: unbalance once a turn (grows with the square of speed), misalignment twice a turn (grows with load),
//!   the vanes of the pump five times a turn, the electric field at 100 Hz;
//! - flow noise through a resonance of the housing near 1.3 kHz, and the sensor's own noise;
//! - the damage: each ball that rolls over the flaw in the outer ring strikes it, 3.585 times a turn with a little
//!   slip, and each strike rings a resonance near 1.9 kHz for about a millisecond. The strikes begin far below the
//!   noise and grow exponentially (McFadden and Smith, J. Sound Vib. 96(1), 1984);
//! - a sensor that counts in thousandths of g, and clips at 16 g.
//!
//! The vibration sensors wake for a fifth of a second every twenty minutes; speed, load and temperature come once a
//! minute. Healthy life is not dull: the load follows shifts and orders, the temperature follows the load and the
//! weather, and once a fork lift bumps the frame. The same seed gives the same machine.

use std::f64::consts::TAU;

use siltstone_ml_bridge::math::Random;

/// Vibration samples per second.
pub const RATE_HZ: f64 = 5000.0;
/// Samples in a burst.
pub const BURST_ROWS: usize = 1024;
/// Microseconds between the starts of two bursts.
pub const BURST_EVERY_US: i64 = 20 * MINUTE_US;
/// The two bearings, in key order.
pub const BEARINGS: [&str; 2] = ["drive end", "fan end"];
/// The bearing that fails.
pub const FAILING: usize = 0;
/// Strikes in a turn of the shaft.
pub const STRIKES_PER_TURN: f64 = 3.585;
/// Temperature at which the machine's own protection would stop it, in degrees Celsius.
pub const TRIP_C: f64 = 80.0;

const MINUTE_US: i64 = 60_000_000;
const MINUTES_PER_DAY: usize = 24 * 60;
/// 2026-03-02 00:00 UTC, a Monday.
const START_US: i64 = 1_772_409_600_000_000;

/// What is simulated.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Days from the first to the last reading.
    pub days: usize,
    /// Start of all random choices.
    pub seed: u64,
}

/// What really happened.
#[derive(Debug, Clone, Copy)]
pub struct Truth {
    /// First reading.
    pub start_us: i64,
    /// The flaw in the outer ring begins.
    pub onset_us: i64,
    /// A fork lift bumps the frame.
    pub bump_us: i64,
    /// Last reading.
    pub end_us: i64,
}

/// One minute of the slow readings.
#[derive(Debug, Clone, Copy)]
pub struct Minute {
    /// When.
    pub time_us: i64,
    /// Turns per minute.
    pub speed_rpm: f64,
    /// Share of rated load, in percent.
    pub load_pct: f64,
    /// Temperature of the drive end bearing's housing.
    pub temperature_c: f64,
}

/// A fifth of a second of vibration.
#[derive(Debug, Clone, Default)]
pub struct Burst {
    /// Time of each sample.
    pub times_us: Vec<i64>,
    /// Acceleration in g along, across and down the shaft's three axes.
    pub axes: [Vec<f64>; 3],
}

/// The machine's life, minute by minute.
#[derive(Debug, Clone)]
pub struct Machine {
    scenario: Scenario,
    truth: Truth,
    minutes: Vec<Minute>,
}

impl Machine {
    /// Lives through the scenario.
    pub fn new(scenario: Scenario) -> Self {
        let mut random = Random::new(scenario.seed);
        let count = scenario.days.max(1) * MINUTES_PER_DAY;
        let at = |share: f64| START_US + round(share * count as f64) * MINUTE_US;
        let truth = Truth {
            start_us: START_US,
            onset_us: at(0.62 + 0.06 * random.uniform()),
            bump_us: at(0.45) / BURST_EVERY_US * BURST_EVERY_US,
            end_us: START_US + (count as i64 - 1) * MINUTE_US,
        };
        let mut machine = Machine {
            scenario,
            truth,
            minutes: Vec::with_capacity(count),
        };
        machine.live(count, &mut random);
        machine
    }

    /// What really happened.
    pub fn truth(&self) -> Truth {
        self.truth
    }

    /// The slow readings.
    pub fn minutes(&self) -> &[Minute] {
        &self.minutes
    }

    /// Number of bursts of each bearing.
    pub fn burst_count(&self) -> usize {
        self.minutes.len() / 20
    }

    /// How large the flaw is at a time: 0 before the onset, 1 at the end.
    pub fn damage(&self, time_us: i64) -> f64 {
        let Truth { onset_us, end_us, .. } = self.truth;
        ((time_us - onset_us) as f64 / (end_us - onset_us) as f64).clamp(0.0, 1.0)
    }

    fn live(&mut self, count: usize, random: &mut Random) {
        let (mut load, mut order, mut temperature) = (25.0f64, 25.0f64, 30.0f64);
        for minute in 0..count {
            let time_us = START_US + minute as i64 * MINUTE_US;
            let (day, hour) = (minute / MINUTES_PER_DAY, minute % MINUTES_PER_DAY / 60);
            let working = (6..22).contains(&hour) && day % 7 != 6;
            if minute % 60 == 0 {
                order = if working {
                    55.0 + 45.0 * random.uniform()
                } else {
                    25.0
                };
            }
            load += (order - load) / 6.0;
            let load_pct = (load + 0.8 * random.normal()).clamp(0.0, 110.0);
            // An induction motor at 50 Hz: the slip grows with the load.
            let speed_rpm = 1500.0 - 0.28 * load_pct + 0.5 * random.normal();
            let ambient = 17.0 + 4.0 * (TAU * (minute as f64 / MINUTES_PER_DAY as f64 - 0.35)).sin();
            let damage = self.damage(time_us);
            let target = ambient + 8.0 + 0.32 * load_pct + 14.0 * damage.powi(3);
            temperature += (target - temperature) / 40.0;
            self.minutes.push(Minute {
                time_us,
                speed_rpm: (speed_rpm * 10.0).round() / 10.0,
                load_pct: (load_pct * 10.0).round() / 10.0,
                temperature_c: ((temperature + 0.05 * random.normal()) * 10.0).round() / 10.0,
            });
        }
    }

    /// Burst `index` of one bearing.
    pub fn burst(&self, index: usize, bearing: usize, burst: &mut Burst) {
        let minute = self.minutes[(index * 20).min(self.minutes.len() - 1)];
        let mut random =
            Random::new(self.scenario.seed ^ 0x5eed ^ ((index as u64) << 8) ^ ((bearing as u64) << 40));
        // Damage is heard faintly through the shaft at the other end.
        let heard = if bearing == FAILING { 1.0 } else { 0.008 };
        let strikes = Strikes::new(self.damage(minute.time_us), heard, minute.speed_rpm, &mut random);
        let bumped = (minute.time_us - self.truth.bump_us).abs() < MINUTE_US;
        burst.times_us.clear();
        let step_us = 1e6 / RATE_HZ;
        burst
            .times_us
            .extend((0..BURST_ROWS).map(|row| minute.time_us + round(row as f64 * step_us)));
        let ring = strikes.ring(&mut random);
        for (axis, samples) in burst.axes.iter_mut().enumerate() {
            let mut hum = Hum::new(&minute, bearing, axis, &mut random);
            let gain = [1.0, 0.7, 0.3][axis];
            samples.clear();
            samples.extend((0..BURST_ROWS).map(|row| {
                let seconds = row as f64 / RATE_HZ;
                let bump = if bumped && row >= 300 {
                    let since = (row - 300) as f64 / RATE_HZ;
                    3.0 * (-since * 60.0).exp() * (TAU * 210.0 * since).sin()
                } else {
                    0.0
                };
                let g = hum.next(seconds, &mut random) + gain * (ring[row] + bump);
                (g * 1000.0).round().clamp(-16_000.0, 16_000.0) / 1000.0
            }));
        }
    }
}

/// What a healthy machine sounds like on one axis.
#[derive(Debug)]
struct Hum {
    /// Amplitude in g, turns per second, phase.
    tones: [(f64, f64, f64); 4],
    noise: f64,
    flow: Resonance,
    flow_gain: f64,
}

impl Hum {
    fn new(minute: &Minute, bearing: usize, axis: usize, random: &mut Random) -> Self {
        let load = minute.load_pct / 100.0;
        let turns = minute.speed_rpm / 60.0;
        let axis_gain = [1.0, 0.8, 0.35][axis];
        let end_gain = [1.0, 0.85][bearing];
        let mut tone = |amplitude: f64, hertz: f64| {
            let wobble = 1.0 + 0.05 * random.normal();
            (amplitude * axis_gain * end_gain * wobble, hertz, random.uniform())
        };
        Hum {
            tones: [
                tone(0.11 * (turns / 24.5).powi(2), turns),
                tone(0.03 + 0.07 * load, 2.0 * turns),
                tone(0.04 * load, 5.0 * turns),
                tone(0.02 + 0.01 * load, 100.0),
            ],
            noise: 0.012,
            flow: Resonance::new(1300.0, 250.0),
            flow_gain: (0.006 + 0.014 * load) * end_gain * (1.0 + 0.06 * random.normal()),
        }
    }

    fn next(&mut self, seconds: f64, random: &mut Random) -> f64 {
        let tones: f64 = (self.tones.iter())
            .map(|&(amplitude, hertz, phase)| amplitude * (TAU * (hertz * seconds + phase)).sin())
            .sum();
        let flow = self.flow.push(self.flow_gain * random.normal());
        tones + flow + self.noise * random.normal()
    }
}

/// The strikes of a flaw in the outer ring.
#[derive(Debug)]
struct Strikes {
    /// Rate in strikes per second, and strength of each in g.
    hertz: f64,
    strength: f64,
    /// Share of a period until the first.
    phase: f64,
}

impl Strikes {
    fn new(damage: f64, heard: f64, speed_rpm: f64, random: &mut Random) -> Self {
        Strikes {
            hertz: STRIKES_PER_TURN * speed_rpm / 60.0,
            strength: heard * 0.03 * ((4.6 * damage).exp() - 1.0),
            phase: random.uniform(),
        }
    }

    /// What the strikes add to each sample of a burst.
    fn ring(&self, random: &mut Random) -> Vec<f64> {
        let mut resonance = Resonance::new(1900.0, 900.0);
        let mut next = self.phase / self.hertz;
        (0..BURST_ROWS)
            .map(|row| {
                let mut push = 0.0;
                if row as f64 / RATE_HZ >= next {
                    // Balls slip a little, and no two strike alike.
                    next += (1.0 + 0.01 * random.normal()) / self.hertz;
                    push = self.strength * (1.0 + 0.2 * random.normal());
                }
                resonance.push(push)
            })
            .collect()
    }
}

/// A resonance of the housing: rings at `hertz`, and dies away at `decay` per second.
#[derive(Debug)]
struct Resonance {
    feedback: f64,
    damping: f64,
    last: [f64; 2],
}

impl Resonance {
    fn new(hertz: f64, decay: f64) -> Self {
        let radius = (-decay / RATE_HZ).exp();
        Resonance {
            feedback: 2.0 * radius * (TAU * hertz / RATE_HZ).cos(),
            damping: radius * radius,
            last: [0.0; 2],
        }
    }

    fn push(&mut self, input: f64) -> f64 {
        let out = input + self.feedback * self.last[0] - self.damping * self.last[1];
        self.last = [out, self.last[0]];
        out
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "times of a few weeks in microseconds fit well"
)]
fn round(value: f64) -> i64 {
    value.round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Scenario = Scenario { days: 14, seed: 7 };

    fn rms(samples: &[f64]) -> f64 {
        (samples.iter().map(|x| x * x).sum::<f64>() / samples.len() as f64).sqrt()
    }

    fn kurtosis(samples: &[f64]) -> f64 {
        let fourth = samples.iter().map(|x| x.powi(4)).sum::<f64>() / samples.len() as f64;
        fourth / rms(samples).powi(4)
    }

    #[test]
    fn the_same_seed_gives_the_same_machine() {
        let (a, b) = (Machine::new(SHORT), Machine::new(SHORT));
        let (mut x, mut y) = (Burst::default(), Burst::default());
        a.burst(17, 0, &mut x);
        b.burst(17, 0, &mut y);
        assert_eq!(x.axes, y.axes);
        assert_eq!(a.truth().onset_us, b.truth().onset_us);
        let other = Machine::new(Scenario { seed: 8, ..SHORT });
        assert_ne!(a.truth().onset_us, other.truth().onset_us);
    }

    #[test]
    fn readings_are_in_order_and_plausible() {
        let machine = Machine::new(SHORT);
        assert_eq!(machine.minutes().len(), 14 * 24 * 60);
        assert!(machine.minutes().windows(2).all(|w| w[0].time_us < w[1].time_us));
        for minute in machine.minutes() {
            assert!((1460.0..1505.0).contains(&minute.speed_rpm), "{minute:?}");
            assert!((10.0..TRIP_C).contains(&minute.temperature_c), "{minute:?}");
        }
        let mut burst = Burst::default();
        for index in [0, machine.burst_count() - 1] {
            machine.burst(index, 0, &mut burst);
            assert_eq!(burst.times_us.len(), BURST_ROWS);
            assert!(burst.times_us.windows(2).all(|w| w[1] - w[0] == 200));
            for &g in &burst.axes[0] {
                assert!(((g * 1000.0).round() - g * 1000.0).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn damage_shows_where_and_when_it_should() {
        let machine = Machine::new(SHORT);
        let truth = machine.truth();
        let (mut burst, last) = (Burst::default(), machine.burst_count() - 1);
        machine.burst(3, FAILING, &mut burst);
        let healthy = (rms(&burst.axes[0]), kurtosis(&burst.axes[0]));
        machine.burst(last, FAILING, &mut burst);
        let broken = (rms(&burst.axes[0]), kurtosis(&burst.axes[0]));
        assert!(
            broken.0 > 3.0 * healthy.0 && broken.1 > 2.0 * healthy.1,
            "{healthy:?} {broken:?}"
        );
        machine.burst(last, 1 - FAILING, &mut burst);
        assert!(rms(&burst.axes[0]) < 2.0 * healthy.0);
        assert_eq!(machine.damage(truth.onset_us), 0.0);
        assert!(machine.damage(truth.onset_us + 1_000_000) > 0.0);
        // A day after the onset the level says nothing yet.
        let day_after = (truth.onset_us - truth.start_us) / BURST_EVERY_US + 72;
        machine.burst(usize::try_from(day_after).unwrap_or(0), FAILING, &mut burst);
        assert!(rms(&burst.axes[0]) < 2.0 * healthy.0);
    }
}
