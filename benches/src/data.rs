//! Columns to measure on: generated, or read from CSV files.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::Fallible;

/// One column, sorted by (key, time).
#[derive(Debug, Clone, Default)]
pub struct Column {
    /// Name, as the tables print it.
    pub name: String,
    /// Integer codes in value order.
    pub codes: Vec<u64>,
    /// The values as doubles, where the source has doubles; as many as codes.
    pub floats: Option<Vec<f64>>,
    /// Time of each row, if there is a clock.
    pub times: Vec<i64>,
    /// Rows of each key.
    pub runs: Vec<Range<u64>>,
}

/// A small generator of random numbers (splitmix64): the same columns on every machine.
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    /// Uniform over all 64-bit numbers.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    }

    /// Below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next_u64() % end
    }

    /// In 0..1.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// About normal, with deviation 1.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

/// Names of the generated columns.
pub const GENERATED: [&str; 4] = ["walk", "adc", "smooth", "noise"];
/// Names of the generated clocks.
pub const CLOCKS: [&str; 4] = ["regular", "jitter", "irregular", "keyed"];

/// A generated column; `None` if it has no such name.
pub fn generate(name: &str, rows: usize) -> Option<Column> {
    let codes: Vec<u64> = match name {
        "walk" => walk(rows),
        "adc" => adc(rows),
        "smooth" => smooth(rows),
        "noise" => {
            let mut random = Random(4);
            let values = (0..rows).map(|_| random.normal());
            values.map(total_order).collect()
        }
        _ => return None,
    };
    // The decimals that a program would print: hundredths, units, tenths.
    let floats = match name {
        "walk" => Some(codes.iter().map(|&code| code as f64 / 100.0).collect()),
        "smooth" => Some(codes.iter().map(|&code| code as f64 / 10.0).collect()),
        "noise" => Some(codes.iter().map(|&code| of_total_order(code)).collect()),
        _ => None,
    };
    let len = codes.len() as u64;
    Some(Column {
        name: name.into(),
        codes,
        floats,
        times: Vec::new(),
        runs: std::iter::once(0..len).collect(),
    })
}

/// A temperature in hundredths: a walk with steps of a few units, pulled back to its middle.
fn walk(rows: usize) -> Vec<u64> {
    let mut random = Random(1);
    let mut at = 2_000.0;
    (0..rows)
        .map(|_| {
            at += random.normal() * 3.0 + (2_000.0 - at) * 0.00002;
            at.round().clamp(0.0, 4_095.0) as u64
        })
        .collect()
}

/// A 16-bit converter: a slow swing with noise of some hundred units.
fn adc(rows: usize) -> Vec<u64> {
    let mut random = Random(2);
    (0..rows)
        .map(|i| (32_768.0 + 9_000.0 * (i as f64 / 4_000.0).sin() + random.normal() * 350.0).round() as u64)
        .collect()
}

/// A room's temperature: hardly ever changes.
fn smooth(rows: usize) -> Vec<u64> {
    let mut random = Random(3);
    let mut at = 210.0;
    (0..rows)
        .map(|i| {
            at += random.normal() * 0.05 + 0.02 * (i as f64 / 30_000.0).sin();
            at = f64::clamp(at, 0.0, 500.0);
            at.round() as u64
        })
        .collect()
}

/// A generated clock in microseconds; `None` if it has no such name.
///
/// `regular` ticks at 100 Hz; `jitter` too, with a deviation of 200 us; `irregular` has exponential gaps of 10 ms on
/// average; `keyed` is a regular clock that begins anew for each of 48 keys.
pub fn clock(name: &str, rows: usize) -> Option<Column> {
    let mut random = Random(6);
    let start = 1_700_000_000_000_000i64;
    let len = rows as u64;
    let mut runs: Vec<Range<u64>> = std::iter::once(0..len).collect();
    let mut times: Vec<i64> = match name {
        "regular" => (0..rows as i64).map(|i| start + i * 10_000).collect(),
        "jitter" => (0..rows as i64)
            .map(|i| start + i * 10_000 + (random.normal() * 200.0) as i64)
            .collect(),
        "irregular" => {
            let mut at = start;
            (0..rows)
                .map(|_| {
                    at += 1 + (-(1.0 - random.unit()).ln() * 10_000.0) as i64;
                    at
                })
                .collect()
        }
        "keyed" => {
            runs = (0..48).map(|i| i * len / 48..(i + 1) * len / 48).collect();
            runs.iter()
                .flat_map(|run| (0..(run.end - run.start) as i64).map(|i| i * 2_778))
                .collect()
        }
        _ => return None,
    };
    for run in &runs {
        times[run.start as usize..run.end as usize].sort_unstable();
    }
    Some(Column {
        name: name.into(),
        times,
        runs,
        ..Column::default()
    })
}

/// Bits of a double, in value order.
pub fn total_order(value: f64) -> u64 {
    siltstone_store::value::key_of_f64(value)
}

/// The double that [`total_order`] gave.
pub fn of_total_order(key: u64) -> f64 {
    siltstone_store::value::f64_of(key)
}

/// Cells of a CSV file by column, as written.
#[derive(Debug, Clone, Default)]
pub struct Csv {
    /// Column names.
    pub names: Vec<String>,
    /// Cells of each row.
    pub rows: Vec<Vec<String>>,
}

impl Csv {
    /// Reads the first `rows` rows of `path`, or of `path` with `.gz`, or of standard input (`-`).
    ///
    /// The separator is the first of tab, semicolon and comma in the header; quotes may enclose a field.
    pub fn read(path: &Path, rows: usize) -> Fallible<Csv> {
        let packed = path.with_added_extension("gz");
        let input: Box<dyn Read> = if path == Path::new("-") {
            Box::new(std::io::stdin())
        } else if path.extension().is_some_and(|e| e == "gz") {
            Box::new(MultiGzDecoder::new(File::open(path)?))
        } else if !path.exists() && packed.exists() {
            Box::new(MultiGzDecoder::new(File::open(packed)?))
        } else {
            Box::new(File::open(path).map_err(|e| format!("{}: {e}", path.display()))?)
        };
        let mut lines = BufReader::with_capacity(1 << 20, input).lines();
        let header = lines.next().ok_or("the file is empty")??;
        let separator = ['\t', ';']
            .into_iter()
            .find(|&c| header.contains(c))
            .unwrap_or(',');
        let names = fields(header.trim_start_matches('\u{feff}'), separator);
        let mut cells = Vec::new();
        for line in lines.take(rows) {
            let mut row = fields(&line?, separator);
            if row.len() > 1 || names.len() == 1 {
                row.resize(names.len(), String::new());
                cells.push(row);
            }
        }
        Ok(Csv { names, rows: cells })
    }

    /// Number of the column called `name`.
    pub fn place(&self, name: &str) -> Fallible<usize> {
        let found = self.names.iter().position(|n| n == name);
        found.ok_or_else(|| format!("no column {name} among {:?}", self.names).into())
    }

    /// Sorts the rows by the columns `keys`, then by `time` if there is one; equal rows keep their order.
    pub fn sort(&mut self, keys: &[usize], time: Option<usize>) -> Fallible<()> {
        let times = time.map(|place| self.times(place)).transpose()?;
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        order.sort_by(|&a, &b| {
            let by_key = keys
                .iter()
                .map(|&k| self.rows[a][k].cmp(&self.rows[b][k]))
                .find(|o| o.is_ne());
            by_key.unwrap_or_else(|| {
                times
                    .as_ref()
                    .map_or(std::cmp::Ordering::Equal, |t| t[a].cmp(&t[b]))
            })
        });
        self.rows = order
            .iter()
            .map(|&row| std::mem::take(&mut self.rows[row]))
            .collect();
        Ok(())
    }

    /// Rows of each combination of `keys`, which the rows are sorted by.
    pub fn runs(&self, keys: &[usize]) -> Vec<Range<u64>> {
        let same = |a: &Vec<String>, b: &Vec<String>| keys.iter().all(|&k| a[k] == b[k]);
        let mut at = 0;
        let runs = self.rows.chunk_by(same).map(|run| {
            let start = at;
            at += run.len() as u64;
            start..at
        });
        runs.collect()
    }

    /// The column as times: integers as they are, dates in microseconds.
    pub fn times(&self, place: usize) -> Fallible<Vec<i64>> {
        let times = self
            .rows
            .iter()
            .map(|row| parse_time(&row[place]).ok_or_else(|| format!("{:?} is no time", row[place]).into()));
        times.collect()
    }
}

fn fields(line: &str, separator: char) -> Vec<String> {
    let line = line.trim_end_matches('\r');
    if !line.contains('"') {
        return line.split(separator).map(|cell| cell.trim().to_owned()).collect();
    }
    let (mut out, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            c if c == separator && !quoted => out.push(std::mem::take(&mut cell)),
            c => cell.push(c),
        }
    }
    out.push(cell);
    out
}

/// An integer, or `YYYY-MM-DD[T ]hh:mm[:ss[.frac]][Z|+hh:mm]` in microseconds.
pub fn parse_time(text: &str) -> Option<i64> {
    if let Ok(integer) = text.parse() {
        return Some(integer);
    }
    if let Ok(seconds) = text.parse::<f64>() {
        return Some((seconds * 1e6).round() as i64);
    }
    let (date, clock) = text.split_once(['T', ' ']).unwrap_or((text, "0:0"));
    let date: Vec<i64> = date.split('-').map(|n| n.parse().ok()).collect::<Option<_>>()?;
    let [year, month, day] = date[..] else { return None };
    let (clock, zone_minutes) = match clock.find(['Z', '+', '-']) {
        Some(at) if clock.as_bytes()[at] != b'Z' => {
            let (hours, minutes) = clock[at + 1..].split_once(':').unwrap_or((&clock[at + 1..], "0"));
            let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
            (
                &clock[..at],
                if clock.as_bytes()[at] == b'-' {
                    -minutes
                } else {
                    minutes
                },
            )
        }
        Some(at) => (&clock[..at], 0),
        None => (clock, 0),
    };
    let mut parts = clock.split(':').map(|n| n.trim().parse::<f64>().ok());
    let seconds = parts.next()?? * 3600.0 + parts.next()?? * 60.0 + parts.next().flatten().unwrap_or(0.0);
    // Days since 1970, counting years from March (so that a leap day is the last of its year).
    let (y, m) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + (153 * m + 2) / 5 + day
        - 1
        - 719_468;
    Some((days * 1440 - zone_minutes) * 60_000_000 + (seconds * 1e6).round() as i64)
}

/// Reads `FILE:COLUMN[:KEY[+KEY...][:MODE[:TIME]]]` below `dir`.
///
/// MODE is `dec` (codes are decimals, the default), `dict` (ranks of the distinct values) or `bits` (total-order bits).
/// Rows without a value are left out: layouts hold values only.
pub fn read(dir: &Path, spec: &str, rows: usize) -> Fallible<Column> {
    let parts: Vec<&str> = spec.split(':').collect();
    let &[file, name, ..] = &parts[..] else {
        return Err(format!("{spec} is not FILE:COLUMN[:KEY[:MODE[:TIME]]]").into());
    };
    let part = |at: usize| parts.get(at).copied().filter(|text| !text.is_empty());
    let mut csv = Csv::read(
        &if file == "-" { file.into() } else { dir.join(file) },
        usize::MAX,
    )?;
    let place = csv.place(name)?;
    let keys = part(2).map_or(Ok(Vec::new()), |keys| {
        keys.split('+').map(|key| csv.place(key)).collect::<Fallible<_>>()
    })?;
    let time = part(4).map(|name| csv.place(name)).transpose()?;
    csv.rows
        .retain(|row| !matches!(row[place].as_str(), "" | "NA" | "nan" | "NaN"));
    csv.sort(&keys, time)?;
    csv.rows.truncate(rows);
    let floats: Vec<f64> = csv
        .rows
        .iter()
        .map(|row| {
            row[place]
                .parse()
                .map_err(|_| format!("{:?} is no number", row[place]).into())
        })
        .collect::<Fallible<_>>()?;
    let codes = match part(3).unwrap_or("dec") {
        "bits" => floats.iter().map(|&value| total_order(value)).collect(),
        "dict" => ranks(&floats),
        "dec" => decimals(&csv, place, &floats),
        other => return Err(format!("mode {other} is none of dec, dict, bits").into()),
    };
    Ok(Column {
        name: format!("{} {name}", file.split('.').next().unwrap_or(file)),
        codes,
        floats: csv
            .rows
            .iter()
            .any(|row| row[place].contains('.'))
            .then_some(floats),
        times: time.map_or(Ok(Vec::new()), |time| csv.times(time))?,
        runs: csv.runs(&keys),
    })
}

fn ranks(floats: &[f64]) -> Vec<u64> {
    let mut distinct: Vec<u64> = floats.iter().map(|&value| total_order(value)).collect();
    distinct.sort_unstable();
    distinct.dedup();
    let rank = |value: f64| distinct.partition_point(|&key| key < total_order(value)) as u64;
    floats.iter().map(|&value| rank(value)).collect()
}

/// Values above the least, in units of the last digit that 96 of 100 values need.
fn decimals(csv: &Csv, place: usize, floats: &[f64]) -> Vec<u64> {
    let written = csv
        .rows
        .iter()
        .map(|row| row[place].split_once('.').map_or(0, |(_, rest)| rest.len()));
    let mut digits: Vec<usize> = written.collect();
    digits.sort_unstable();
    let digits = digits.get(digits.len() * 96 / 100).copied().unwrap_or(0).min(9);
    let scale = 10f64.powi(digits as i32);
    let scaled: Vec<i64> = floats
        .iter()
        .map(|value| (value * scale).round() as i64)
        .collect();
    let least = scaled.iter().copied().min().unwrap_or(0);
    scaled
        .iter()
        .map(|value| value.wrapping_sub(least) as u64)
        .collect()
}
