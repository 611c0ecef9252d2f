//! Which field holds the time, and what its counts count.

use siltstone_store::schema::{SharedSchema, TimeUnit};

use super::PlanOptions;
use crate::clock;
use crate::failure::{Failure, Outcome};
use crate::infer::Sample;

/// The fields that `--time` names: that of the time, and that of the time of day.
pub(super) fn time_names(names: &[String], options: &PlanOptions) -> (Option<String>, Option<String>) {
    let Some(time) = &options.time else {
        return (None, None);
    };
    match time.split_once(',') {
        Some((day, time_of_day)) if !names.contains(time) => {
            (Some(day.to_owned()), Some(time_of_day.to_owned()))
        }
        _ => (Some(time.clone()), None),
    }
}

/// The field that holds the time: the one named, the stream's own, or the first that looks like one.
pub(super) fn find_time(
    names: &[String],
    sample: &Sample,
    options: &PlanOptions,
    existing: Option<&SharedSchema>,
) -> Outcome<usize> {
    let of_stream = existing.map(|schema| schema.time_name().to_owned());
    if let Some(wanted) = &time_names(names, options).0.or(of_stream) {
        return names.iter().position(|name| name == wanted).ok_or_else(|| {
            Failure::usage(format!(
                "the stream's time column {wanted} is not in the input ({}); name the one that holds the time with --time",
                names.join(", ")
            ))
        });
    }
    let looks_like_time = |index: &usize| {
        sample
            .columns
            .get(*index)
            .is_some_and(|column| column.is_calendar() || (column.is_count() && is_time_name(&names[*index])))
    };
    // A few odd ones in a column that says it is the time are refused line by line.
    let says_so = |index: &usize| {
        let column = sample.columns.get(*index);
        is_time_name(&names[*index]) && column.is_some_and(|column| column.is_mostly_calendar())
    };
    let found = (0..names.len()).find(looks_like_time);
    found.or((0..names.len()).find(says_so)).ok_or_else(|| {
        let unread = (0..names.len()).find(|&index| is_time_name(&names[index]));
        let example = unread.and_then(|index| sample.columns.get(index)?.example());
        if let (Some(index), Some(example)) = (unread, example) {
            let name = &names[index];
            return Failure::usage(format!(
                "{name} holds times in a form that is not known ({example:?}), or not only times; spell it out, as in \
                 --time {name} --time-format '%m/%d/%Y %I:%M:%S %p', or name another column with --time"
            ));
        }
        Failure::usage(format!(
            "none of the columns ({}) looks like a time; name the one that does with --time (or are these lines of a \
             log? --format lines)",
            names.join(", ")
        ))
    })
}

/// The field of the time of day, where the one of the time holds only the day: the one named, or the one beside it that
/// looks like it.
pub(super) fn find_time_of_day(
    names: &[String],
    time_index: usize,
    sample: &Sample,
    options: &PlanOptions,
    existing: Option<&SharedSchema>,
    notes: &mut Vec<String>,
) -> Option<usize> {
    if let Some(wanted) = time_names(names, options).1 {
        return names.iter().position(|name| *name == wanted);
    }
    if !sample.columns.get(time_index)?.is_days() {
        return None;
    }
    let is_free = |index: &usize| {
        let name = &names[*index];
        let is_column = existing.is_some_and(|schema| schema.column(name).is_some());
        let is_asked = options.keys.contains(name) || options.types.iter().any(|(column, _)| column == name);
        !is_column
            && !is_asked
            && sample
                .columns
                .get(*index)
                .is_some_and(|column| column.is_times_of_day())
    };
    let beside = [time_index + 1, time_index.wrapping_sub(1)];
    let found = beside
        .into_iter()
        .filter(|&index| index < names.len())
        .find(is_free)?;
    let (day, time_of_day) = (&names[time_index], &names[found]);
    notes.push(format!(
        "the time is {day} and {time_of_day} together (--type {time_of_day}=text keeps them apart)"
    ));
    Some(found)
}

fn is_time_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    const WORDS: [&str; 7] = ["ts", "time", "timestamp", "date", "datetime", "epoch", "t"];
    let stem = unit_suffix(&name).map_or(name.as_str(), |(stem, _)| stem);
    WORDS.contains(&stem)
        || WORDS
            .iter()
            .take(5)
            .any(|word| name.starts_with(&format!("{word}_")) || name.ends_with(&format!("_{word}")))
}

/// Unit of counts in the time field, and unit of the stream's clock.
pub(super) fn time_units(
    name: &str,
    index: usize,
    sample: &Sample,
    options: &PlanOptions,
    existing: Option<&SharedSchema>,
    notes: &mut Vec<String>,
) -> Outcome<(Option<TimeUnit>, TimeUnit)> {
    let column = sample.columns.get(index);
    let of_stream = existing.map(|schema| schema.time_unit());
    if !column.is_some_and(|column| column.is_count()) {
        // Among calendar times a bare number is more likely a mistake than a count of some unit or other.
        let seen = column.is_some_and(|column| column.values() > 0);
        let count_unit = options.time_unit.or(of_stream.filter(|_| !seen));
        let unit = of_stream.or(options.time_unit).unwrap_or(TimeUnit::Nanosecond);
        return Ok((count_unit, unit));
    }
    let lower = name.to_ascii_lowercase();
    let unit = match (options.time_unit, unit_suffix(&lower)) {
        (Some(unit), _) => unit,
        (None, Some((_, unit))) => {
            notes.push(format!(
                "{name} is read as a count of {} (from its name; --time-unit says otherwise)",
                unit.symbol()
            ));
            unit
        }
        (None, None) => match of_stream {
            Some(unit) => unit,
            None => return Err(unknown_unit(name, column.and_then(|c| c.example()))),
        },
    };
    let whole = column.is_some_and(|column| column.is_whole());
    Ok((
        Some(unit),
        of_stream.unwrap_or(if whole { unit } else { TimeUnit::Nanosecond }),
    ))
}

/// The unit that the end of a name tells: `ts_ms` counts milliseconds.
fn unit_suffix(name: &str) -> Option<(&str, TimeUnit)> {
    [
        ("_s", "s"),
        ("_sec", "s"),
        ("_seconds", "s"),
        ("_ms", "ms"),
        ("_us", "us"),
        ("_ns", "ns"),
    ]
    .into_iter()
    .find_map(|(end, unit)| Some((name.strip_suffix(end)?, clock::unit_of(unit)?)))
}

fn unknown_unit(name: &str, example: Option<&str>) -> Failure {
    let example = example.unwrap_or("0");
    let years_1990_to_2100 = 631_152_000_000_000_000..4_102_444_800_000_000_000i64;
    let guess = ["s", "ms", "us", "ns"].into_iter().find_map(|symbol| {
        let ns =
            clock::parse_count(example.as_bytes(), clock::unit_of(symbol)?, TimeUnit::Nanosecond).ok()?;
        years_1990_to_2100.contains(&ns).then(|| {
            format!(
                "; with --time-unit {symbol}, {example} is {}",
                clock::time_text(ns, TimeUnit::Nanosecond)
            )
        })
    });
    Failure::usage(format!(
        "the times in {name} are counts ({example}); say of what with --time-unit s|ms|us|ns{}",
        guess.unwrap_or_default()
    ))
}
