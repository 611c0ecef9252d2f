//! What operators and the controller of the simulated machine wrote down.

use siltstone_ml_bridge::math::Random;

use super::machine::Machine;

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub time_us: i64,
    /// `info` or `note`.
    pub level: &'static str,
    /// The words.
    pub message: String,
}

const OPERATORS: [&str; 4] = ["a.berg", "k.mueller", "j.okafor", "m.silva"];
const MINUTE_US: i64 = 60_000_000;

/// The log of a machine's life, in order of time.
pub fn events(machine: &Machine, seed: u64) -> Vec<Event> {
    let mut random = Random::new(seed ^ 0xe7e7);
    let truth = machine.truth();
    let mut operator = OPERATORS[0];
    let mut out = Vec::new();
    let mut heard = 0;
    for (minute, reading) in machine.minutes().iter().enumerate() {
        let mut say = |level: &'static str, second: i64, message: String| {
            out.push(Event {
                time_us: reading.time_us + second * 1_000_000,
                level,
                message,
            });
        };
        let of_day = minute % (24 * 60);
        if minute % 5 == 0 {
            say(
                "info",
                2,
                format!("controller cycle {:.1} ms, bus ok", 11.8 + 0.9 * random.uniform()),
            );
        }
        if minute % 60 == 0 {
            say(
                "info",
                7,
                format!("dispatcher set load order, now {:.1} %", reading.load_pct),
            );
        }
        if minute % 20 == 0 {
            say(
                "info",
                11,
                format!("vibration burst {} stored, drive end and fan end", minute / 20),
            );
        }
        if [360, 840, 1320].contains(&of_day) {
            operator = OPERATORS[random.below(OPERATORS.len())];
            say("info", 31, format!("operator {operator} signed in for the shift"));
        }
        if of_day == 7 * 60 && minute / (24 * 60) % 5 == 2 {
            say("note", 40, format!("{operator}: both bearings greased, 8 g each"));
        }
        if (reading.time_us - truth.bump_us).abs() < MINUTE_US / 2 {
            say(
                "note",
                50,
                format!("{operator}: fork lift touched the frame, nothing to see"),
            );
        }
        if machine.damage(reading.time_us) > 0.72 + 0.09 * f64::from(heard) && of_day % 480 == 200 {
            let words = [
                "faint whining noise near the drive end",
                "noise near the drive end again, louder",
            ];
            say(
                "note",
                55,
                format!("{operator}: {}", words[usize::from(heard > 0)]),
            );
            heard += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::machine::Scenario;
    use super::*;

    #[test]
    fn the_log_is_in_order_and_knows_what_was_heard() {
        let machine = Machine::new(Scenario { days: 14, seed: 1 });
        let log = events(&machine, 1);
        assert!(log.windows(2).all(|pair| pair[0].time_us <= pair[1].time_us));
        let noises: Vec<&Event> = log
            .iter()
            .filter(|event| event.message.contains("noise"))
            .collect();
        assert!((2..10).contains(&noises.len()), "{noises:?}");
        assert!(
            noises
                .iter()
                .all(|event| event.time_us > machine.truth().onset_us)
        );
        assert_eq!(
            log.iter()
                .filter(|event| event.message.contains("fork lift"))
                .count(),
            1
        );
    }
}
