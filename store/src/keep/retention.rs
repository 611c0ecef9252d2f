//! A stream's policy: the steps that its rows take as they age, and when the budget is full.
//!
//! As text: `drop=full` (the default: the oldest rows may go when there is no room), `drop=30d`, `drop=30d/full`, or
//! `keep` (nothing is ever given up; a full store refuses rows then). Steps stand in the order in which a row takes
//! them: `small=1d,bounded=7d,eps:temperature=0.05,downsample=30d,every=1m,drop=365d/full`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::ladder::Rung;
use super::ladder::units;
use crate::domain::bounded::Tolerance;
use crate::error::{Error, Result};
use crate::schema::Schema;
use crate::wire::{Reader, Writer};

/// Most steps of one policy.
const MAX_STEPS: usize = 16;
/// On disk: a step is taken when the budget is full.
const WHEN_FULL: u8 = 1;
/// On disk: a step is taken at an age.
const BY_AGE: u8 = 2;
/// Units below a second, with their nanoseconds.
const FINE: [(&str, u64); 3] = [("ns", 1), ("us", 1_000), ("ms", 1_000_000)];
/// Units of ages as text, with their seconds.
const UNITS: [(char, u64); 5] = [
    ('w', 7 * 86_400),
    ('d', 86_400),
    ('h', 3_600),
    ('m', 60),
    ('s', 1),
];

/// What may become of the rows of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// The steps, in the order in which a row takes them.
    pub steps: Vec<Step>,
    /// How far [`Action::Bounded`] may move the values of a channel, by name. Channels without one keep their values.
    pub tolerances: Vec<(String, Tolerance)>,
    /// Length of the buckets of [`Action::Downsample`].
    pub every: Option<Duration>,
}

/// One step of a policy. A step with neither an age nor `when_full` is never taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What is done.
    pub action: Action,
    /// Age from which it is done. Age counts from the newest row of the stream, or from the system's clock if that
    /// row lies in the future.
    pub after: Option<Duration>,
    /// Whether it is done, oldest rows first, when the budget is full.
    pub when_full: bool,
}

/// What is done to rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// They go.
    Drop,
    /// They are stored as small as they can be, unchanged.
    Small,
    /// Numbers are kept within a stated error ([`Retention::tolerances`]).
    Bounded,
    /// One row is kept for each bucket of time ([`Retention::every`]).
    Downsample,
}

impl Default for Retention {
    /// The oldest rows may go when the budget is full. A store without a budget keeps everything.
    fn default() -> Self {
        Retention {
            steps: vec![Step {
                action: Action::Drop,
                after: None,
                when_full: true,
            }],
            tolerances: Vec::new(),
            every: None,
        }
    }
}

impl Retention {
    /// Nothing is given up.
    pub fn keep() -> Retention {
        Retention {
            steps: Vec::new(),
            tolerances: Vec::new(),
            every: None,
        }
    }

    /// The lowest rung that rows of this age are due on.
    pub fn due(&self, age: Duration) -> Rung {
        self.lowest(|step| step.after.is_some_and(|after| after <= age))
    }

    /// The lowest rung above gone that rows may go down to when the budget is full.
    pub fn due_when_full(&self) -> Rung {
        self.lowest(|step| step.when_full)
    }

    fn lowest(&self, is_due: impl Fn(&Step) -> bool) -> Rung {
        let due = self.steps.iter().filter(|step| is_due(step));
        due.filter_map(|step| step.action.rung())
            .max()
            .unwrap_or_default()
    }

    /// Whether rows may go down to `rung`.
    pub fn has(&self, rung: Rung) -> bool {
        self.steps.iter().any(|step| step.action.rung() == Some(rung))
    }

    /// Whether the oldest rows may go when the budget is full.
    pub fn drops_when_full(&self) -> bool {
        self.steps
            .iter()
            .any(|step| step.action == Action::Drop && step.when_full)
    }

    /// Age from which rows go.
    pub fn drops_after(&self) -> Option<Duration> {
        let drops = self.steps.iter().filter(|step| step.action == Action::Drop);
        drops.filter_map(|step| step.after).min()
    }

    /// # Errors
    /// `InvalidArgument` if there are too many steps or an age is over 584 years.
    pub(crate) fn check(&self) -> Result<()> {
        if self.steps.len() > MAX_STEPS {
            return Err(Error::invalid(format!("a policy has at most {MAX_STEPS} steps")));
        }
        let long = |step: &Step| {
            step.after
                .is_some_and(|age| u64::try_from(age.as_nanos()).is_err())
        };
        let every = self.every.unwrap_or_default();
        if self.steps.iter().any(long) || u64::try_from(every.as_nanos()).is_err() {
            return Err(Error::invalid("an age is at most 584 years"));
        }
        if self.has(Rung::Bounded) && self.tolerances.is_empty() {
            return Err(Error::invalid(
                "a policy that bounds the error of numbers says by how much: write eps:COLUMN=0.05, or 0.1%",
            ));
        }
        if self.tolerances.iter().any(|(_, tolerance)| !tolerance.is_sound()) {
            return Err(Error::invalid(
                "a tolerance is above 0 and finite, and a share is below 50%",
            ));
        }
        if self.has(Rung::Downsampled) && every.is_zero() {
            return Err(Error::invalid(
                "a policy that downsamples says how long buckets are: write every=1m",
            ));
        }
        Ok(())
    }

    /// # Errors
    /// `InvalidArgument` if a tolerance is for no number of `schema`, or its clock cannot tell buckets.
    pub(crate) fn fits(&self, schema: &Schema) -> Result<()> {
        if let Some(every) = self.every {
            units(every, schema.time_unit().per_second())?;
        }
        for (name, tolerance) in &self.tolerances {
            let channel = schema.channels().iter().find(|channel| channel.name == *name);
            let channel =
                channel.ok_or_else(|| Error::invalid(format!("the stream has no channel {name:?}")))?;
            let is_absolute = matches!(tolerance, Tolerance::Absolute(_));
            let movable = channel.ty.is_float() || (channel.ty.is_integer() && is_absolute);
            if !movable {
                return Err(Error::invalid(format!(
                    "channel {name:?} is {}: floats may be moved by an error or a share, integers by an error",
                    channel.ty
                )));
            }
        }
        Ok(())
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.list(&self.steps, |step, out| {
            out.u8(step.action.code());
            let by_age = if step.after.is_some() { BY_AGE } else { 0 };
            out.u8((u8::from(step.when_full) * WHEN_FULL) | by_age);
            let age_ns = step.after.map_or(0, |age| age.as_nanos());
            out.u64(u64::try_from(age_ns).unwrap_or(u64::MAX));
        });
        out.list(&self.tolerances, |(name, tolerance), out| {
            out.bytes(name.as_bytes());
            out.u8(tolerance.code());
            out.u64(tolerance.size().to_bits());
        });
        let every_ns = self.every.unwrap_or_default().as_nanos();
        out.u64(u64::try_from(every_ns).unwrap_or(u64::MAX));
    }

    pub(crate) fn read(input: &mut Reader<'_>) -> Result<Retention> {
        let steps = input.list(10, |input| {
            let code = input.u8()?;
            let action =
                Action::from_code(code).ok_or_else(|| input.corrupt(format!("unknown action {code}")))?;
            let flags = input.u8()?;
            let age_ns = input.u64()?;
            if flags & !(WHEN_FULL | BY_AGE) != 0 || (flags & BY_AGE == 0 && age_ns != 0) {
                return Err(input.corrupt("a step with unknown flags"));
            }
            Ok(Step {
                action,
                after: (flags & BY_AGE != 0).then(|| Duration::from_nanos(age_ns)),
                when_full: flags & WHEN_FULL != 0,
            })
        })?;
        if steps.len() > MAX_STEPS {
            return Err(input.corrupt(format!("{} steps", steps.len())));
        }
        let tolerances = input.list(13, |input| {
            let name = input.text()?.to_owned();
            let (code, size) = (input.u8()?, f64::from_bits(input.u64()?));
            let tolerance = Tolerance::from_code(code, size).filter(|tolerance| tolerance.is_sound());
            Ok((
                name,
                tolerance.ok_or_else(|| input.corrupt("a tolerance that makes no sense"))?,
            ))
        })?;
        let every_ns = input.u64()?;
        Ok(Retention {
            steps,
            tolerances,
            every: (every_ns > 0).then(|| Duration::from_nanos(every_ns)),
        })
    }
}

impl Action {
    /// Number of the action on disk.
    fn code(self) -> u8 {
        match self {
            Action::Drop => 1,
            Action::Small => 2,
            Action::Bounded => 3,
            Action::Downsample => 4,
        }
    }

    /// The rung that it leads to; `None` if nothing is left.
    pub fn rung(self) -> Option<Rung> {
        match self {
            Action::Drop => None,
            Action::Small => Some(Rung::Small),
            Action::Bounded => Some(Rung::Bounded),
            Action::Downsample => Some(Rung::Downsampled),
        }
    }

    fn from_code(code: u8) -> Option<Action> {
        match code {
            1 => Some(Action::Drop),
            2 => Some(Action::Small),
            3 => Some(Action::Bounded),
            4 => Some(Action::Downsample),
            _ => None,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Drop => f.write_str("drop"),
            Action::Small => f.write_str("small"),
            Action::Bounded => f.write_str("bounded"),
            Action::Downsample => f.write_str("downsample"),
        }
    }
}

impl FromStr for Action {
    type Err = Error;

    fn from_str(text: &str) -> Result<Action> {
        match text {
            "drop" => Ok(Action::Drop),
            "small" => Ok(Action::Small),
            "bounded" => Ok(Action::Bounded),
            "downsample" => Ok(Action::Downsample),
            _ => Err(Error::invalid(format!(
                "{text:?} is no step; small, bounded, downsample and drop are"
            ))),
        }
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.steps.is_empty() {
            return f.write_str("keep");
        }
        for (position, step) in self.steps.iter().enumerate() {
            let separator = if position > 0 { "," } else { "" };
            let age = step.after.map(age_text);
            let full = step.when_full.then(|| "full".to_owned());
            let when: Vec<String> = age.into_iter().chain(full).collect();
            write!(f, "{separator}{}={}", step.action, when.join("/"))?;
        }
        for (name, tolerance) in &self.tolerances {
            write!(f, ",eps:{name}={tolerance}")?;
        }
        if let Some(every) = self.every {
            write!(f, ",every={}", age_text(every))?;
        }
        Ok(())
    }
}

impl FromStr for Retention {
    type Err = Error;

    fn from_str(text: &str) -> Result<Retention> {
        if text == "keep" {
            return Ok(Retention::keep());
        }
        let mut retention = Retention::keep();
        for item in text.split(',') {
            if let Some((name, tolerance)) = item.strip_prefix("eps:").and_then(|item| item.rsplit_once('='))
            {
                retention.tolerances.push((name.to_owned(), tolerance.parse()?));
                continue;
            }
            if let Some(every) = item.strip_prefix("every=") {
                retention.every = Some(parse_age(every)?);
                continue;
            }
            let Some((action, whens)) = item.split_once('=') else {
                return Err(Error::invalid(format!(
                    "{item:?} does not say when: write {item}=full, {item}=30d or {item}=30d/full"
                )));
            };
            let mut step = Step {
                action: action.parse()?,
                after: None,
                when_full: false,
            };
            for when in whens.split('/') {
                if when == "full" {
                    step.when_full = true;
                } else {
                    step.after = Some(parse_age(when)?);
                }
            }
            retention.steps.push(step);
        }
        retention.check()?;
        Ok(retention)
    }
}

/// An age as text, in the largest unit that gives a whole number.
pub fn age_text(age: Duration) -> String {
    let seconds = age.as_secs();
    if age.subsec_nanos() != 0 {
        return format!("{}ns", age.as_nanos());
    }
    let unit = UNITS.iter().find(|(_, unit)| seconds % unit == 0);
    unit.filter(|_| seconds > 0).map_or_else(
        || format!("{seconds}s"),
        |(name, unit)| format!("{}{name}", seconds / unit),
    )
}

/// Reads an age: a whole number of weeks, days, hours, minutes, seconds or less, as `2w`, `30d`, `12h`, `90m`, `5s`,
/// `250ms` or `100ns`. `90min` is read as `90m`.
///
/// # Errors
/// `InvalidArgument` that says how to write one.
pub fn parse_age(text: &str) -> Result<Duration> {
    let wrong = || {
        Error::invalid(format!(
            "{text:?} is no age: write a whole number and w, d, h, m or s, as in 30d"
        ))
    };
    for (unit, of) in FINE {
        if let Some(number) = text.strip_suffix(unit) {
            let number: u64 = number.parse().map_err(|_| wrong())?;
            return number.checked_mul(of).map(Duration::from_nanos).ok_or_else(wrong);
        }
    }
    // Minutes may be written as elsewhere.
    let text = text
        .strip_suffix("in")
        .filter(|text| text.ends_with('m'))
        .unwrap_or(text);
    let unit = UNITS
        .iter()
        .find(|(name, _)| text.ends_with(*name))
        .ok_or_else(wrong)?;
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    number
        .checked_mul(unit.1)
        .map(Duration::from_secs)
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn minutes_are_read_in_both_ways() {
        assert_eq!(parse_age("90min").unwrap(), parse_age("90m").unwrap());
        assert_eq!(parse_age("250ms").unwrap(), Duration::from_millis(250));
        assert_eq!(age_text(parse_age("90min").unwrap()), "90m");
        assert!(parse_age("min").is_err() && parse_age("90in").is_err() && parse_age("5sin").is_err());
    }

    #[test]
    fn policies_are_written_and_read_as_text() {
        for text in [
            "keep",
            "drop=full",
            "drop=30d",
            "drop=90m/full",
            "drop=1500000000ns",
            "drop=0s",
            "small=1d,bounded=1w,downsample=30d/full,drop=365d/full,eps:temp=0.05,eps:p=0.1%,every=1m",
        ] {
            let retention: Retention = text.parse().unwrap();
            assert_eq!(retention.to_string(), text);
            let mut out = Writer::new();
            retention.write(&mut out);
            let bytes = out.into_bytes();
            let mut input = Reader::new(&bytes, "test", "policy");
            assert_eq!(Retention::read(&mut input).unwrap(), retention);
            assert_eq!(input.left(), 0);
        }
        assert_eq!(Retention::default().to_string(), "drop=full");
        for text in [
            "",
            "drop",
            "drop=",
            "drop=30",
            "drop=d",
            "lose=30d",
            "bounded=1d",
            "downsample=1d",
            "downsample=1d,every=0s",
            "bounded=1d,eps:x=-1",
            "drop=99999999999999999w",
        ] {
            assert!(text.parse::<Retention>().is_err(), "{text}");
        }
    }
}
