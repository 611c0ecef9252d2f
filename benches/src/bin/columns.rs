//! What one column of a CSV file costs, and how fast it answers.
//!
//! ```text
//! zcat FILE.csv.gz | columns --data - --column NAME [--key COL]... [--type f64|f32|i64] [--rows N] [--step 128] [--time]
//! columns --clock regular|jittered|drifting|irregular|nanoseconds|restarting [--rows N]
//! ```
//!
//! Rows are sorted by the key columns first (stable, so that they stay in time order). `--time` encodes the column as
//! row times instead, `--clock` row times that are made up. Every decoded value is compared with the input. Times are medians
//! of seven (row times: the least of 50) on a warm cache.

use std::error::Error;
use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::time::Instant;

use siltstone_store::batch::{BatchColumn, ColumnData};
use siltstone_store::codes::Interval;
use siltstone_store::column::time::{self, TimeColumn};
use siltstone_store::column::{Column, Condition, Hints, Part};
use siltstone_store::rows::RowRanges;
use siltstone_store::schema::ColumnType;
use siltstone_store::section::Section;
use siltstone_store::value::{key_of_f32, key_of_f64, key_of_i64};

type Fallible<T> = Result<T, Box<dyn Error>>;

struct Options {
    data: String,
    column: String,
    keys: Vec<String>,
    ty: ColumnType,
    rows: usize,
    time: bool,
    step_bits: Option<u8>,
    clock: Option<String>,
}

fn main() -> Fallible<()> {
    let options = options()?;
    if let Some(clock) = &options.clock {
        let (times, runs) = generated(clock, options.rows)?;
        return row_times(clock, &times, &runs);
    }
    let (keys, mut cells) = read(&options)?;
    let runs = sort_by_keys(&keys, &mut cells);
    if options.time {
        let mut times = cells
            .iter()
            .map(|c| c.parse::<i64>())
            .collect::<Result<Vec<i64>, _>>()?;
        for run in &runs {
            times[usize::try_from(run.start)?..usize::try_from(run.end)?].sort_unstable();
        }
        return row_times(&options.column, &times, &runs);
    }
    let column = parse(&options, &cells)?;
    let ColumnData::Keys(values) = &column.data else {
        return Err("a fixed-width column is wanted".into());
    };
    let hints = Hints {
        step_bits: options.step_bits,
        ..Hints::default()
    };
    let (mut encode, mut parts) = (f64::INFINITY, Vec::new());
    for _ in 0..5 {
        let started = Instant::now();
        parts = Column::encode(options.ty, &column, &hints)?;
        encode = encode.min(started.elapsed().as_secs_f64());
    }
    let rows = column.len() as u64;
    let opened = Column::open(
        options.ty,
        rows,
        parts
            .into_iter()
            .map(|p| Part {
                kind: p.kind,
                codec: p.codec,
                body: Section::from_vec(p.body),
            })
            .collect(),
    )?;
    let mut out = BatchColumn::new(options.ty);
    opened.decode(0..rows, &mut out)?;
    if out != column {
        return Err("decoded values are not those encoded".into());
    }
    let (domain, layout) = opened.describe();
    let bits: u64 = opened.parts().iter().map(|p| p.1).sum();
    println!(
        "{} rows={rows} nulls={} {domain}/{layout} {:.3} bits a row, encode {:.0} MB/s",
        options.column,
        opened.null_count(),
        bits as f64 / rows as f64,
        rows as f64 * 8e-6 / encode
    );
    for (name, bits) in opened.parts() {
        println!("    {name:<40} {:>9.4}", bits as f64 / rows as f64);
    }
    speed(&opened, values, rows)
}

fn speed(column: &Column, values: &[u64], rows: u64) -> Fallible<()> {
    let all = RowRanges::single(0..rows);
    let tenth = RowRanges::single(rows / 3..rows / 3 + rows / 10);
    let mut buffer = BatchColumn::new(column.ty());
    let decode = median(|| {
        buffer.clear_rows();
        column.decode(0..rows, &mut buffer)
    })?;
    let piece = 65_536.min(rows);
    let decode_piece = median(|| {
        buffer.clear_rows();
        column.decode(rows / 2 - piece / 2..rows / 2 - piece / 2 + piece, &mut buffer)
    })?;
    let valid = column.valid_count(&tenth)?;
    let quantile = median(|| {
        if valid > 0 {
            column.quantile(&tenth, valid / 2).map(|_| ())
        } else {
            Ok(())
        }
    })?;
    let (low, high) = (values[values.len() / 4], values[values.len() / 2]);
    let condition = Condition::Keys(Interval {
        low: low.min(high),
        high: low.max(high),
    });
    let count = median(|| column.count(&tenth, &condition).map(|_| ()))?;
    let windows = random_windows(rows);
    let mut next = windows.iter().cycle();
    let mut window = || next.next().unwrap_or(&tenth);
    let sum = median(|| column.sum(window()).map(|_| ()))?;
    let extremes = median(|| column.min_max(window()).map(|_| ()))?;
    let moments = median(|| column.moments(window()).map(|_| ()))?;
    let min_max = median(|| column.min_max(&all).map(|_| ()))?;
    let (first, last) = column.min_max(&all)?.unwrap_or((0, 255));
    let thresholds: Vec<u64> = (1..=255).map(|i| first + (last - first) / 256 * i).collect();
    let quantizer = column.quantizer(&thresholds)?;
    let mut steps = vec![0i8; usize::try_from(piece)?];
    let quantize = median(|| column.quantize_with(&quantizer, 0..piece, &mut steps, 0))?;
    println!(
        "    decode {:.2} GB/s, of 64K rows {:.2}; median of 10 % {:.2} us, count {:.2}, min/max of all {:.2}; of random 1 %: sum {:.2} us, min/max {:.2}, variance {:.2}; quantize {:.2} ns a row",
        rows as f64 * 8e-9 / decode,
        piece as f64 * 8e-9 / decode_piece,
        quantile * 1e6,
        count * 1e6,
        min_max * 1e6,
        sum * 1e6,
        extremes * 1e6,
        moments * 1e6,
        quantize * 1e9 / piece as f64
    );
    Ok(())
}

/// Windows of a hundredth of the rows at random places.
fn random_windows(rows: u64) -> Vec<RowRanges> {
    let length = (rows / 100).max(1);
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    (0..1000)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let start = state % (rows - length + 1);
            RowRanges::single(start..start + length)
        })
        .collect()
}

trait ClearRows {
    fn clear_rows(&mut self);
}

impl ClearRows for BatchColumn {
    fn clear_rows(&mut self) {
        if let ColumnData::Keys(keys) = &mut self.data {
            keys.clear();
        }
        self.validity = None;
    }
}

/// Seconds of one call: the least of 50, since a machine at work elsewhere only adds.
fn least<E: Error + 'static>(mut run: impl FnMut() -> Result<(), E>) -> Fallible<f64> {
    let mut least = f64::INFINITY;
    for _ in 0..50 {
        let started = Instant::now();
        run()?;
        least = least.min(started.elapsed().as_secs_f64());
    }
    Ok(least)
}

fn median<E: Error + 'static>(mut run: impl FnMut() -> Result<(), E>) -> Fallible<f64> {
    run()?;
    let mut times = Vec::new();
    for _ in 0..7 {
        let mut repeats = 1u32;
        loop {
            let started = Instant::now();
            for _ in 0..repeats {
                run()?;
            }
            let spent = started.elapsed().as_secs_f64();
            if spent > 2e-4 || repeats > 10_000 {
                times.push(spent / f64::from(repeats));
                break;
            }
            repeats *= 4;
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// Some numbers that look random.
fn noise(seed: u64) -> u64 {
    let x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// Microseconds at about 100 Hz; `nanoseconds` are `irregular` microseconds times 1,000; `restarting` has 100 runs.
fn generated(clock: &str, rows: usize) -> Fallible<(Vec<i64>, Vec<Range<u64>>)> {
    let gap = |row: u64| match clock {
        "drifting" => 9_800.0 + (noise(row) % 401) as f64,
        "irregular" | "nanoseconds" => {
            -10_000.0 * (1.0 - (noise(row) >> 11) as f64 / (1u64 << 53) as f64).ln()
        }
        _ => 10_000.0,
    };
    let mut at = 0.0;
    let mut times = Vec::with_capacity(rows);
    for row in 0..rows as u64 {
        at = if clock == "restarting" && row % (rows as u64 / 100).max(1) == 0 {
            0.0
        } else {
            at + gap(row)
        };
        let jitter = if clock == "jittered" {
            (noise(row) % 401) as f64 - 200.0
        } else {
            0.0
        };
        #[expect(clippy::cast_possible_truncation, reason = "whole microseconds")]
        times.push(1_600_000_000_000_000 + (at + jitter) as i64);
    }
    if clock == "nanoseconds" {
        times.iter_mut().for_each(|time| *time *= 1_000);
    }
    let size = if clock == "restarting" {
        (rows / 100).max(1)
    } else {
        rows
    };
    let runs = (0..rows)
        .step_by(size)
        .map(|start| start as u64..(start + size).min(rows) as u64);
    match clock {
        "regular" | "jittered" | "drifting" | "irregular" | "nanoseconds" | "restarting" => {
            Ok((times, runs.collect()))
        }
        other => Err(format!("no clock {other}").into()),
    }
}

fn row_times(name: &str, times: &[i64], runs: &[Range<u64>]) -> Fallible<()> {
    let rows = times.len() as u64;
    let started = Instant::now();
    let bytes = time::encode(times, runs);
    let encode = started.elapsed().as_secs_f64();
    let len = bytes.len();
    let column = TimeColumn::open(Section::from_vec(bytes), rows)?;
    let mut out = vec![0; times.len()];
    column.decode(0..rows, &mut out)?;
    if out != times {
        return Err("decoded times are not those encoded".into());
    }
    let decode = least(|| column.decode(0..rows, &mut out))?;
    // Times of random rows, each looked up in its run.
    let mut wanted = Vec::new();
    for pick in 0..10_000 {
        let row = noise(pick) % rows;
        let run = &runs[runs.partition_point(|run| run.end <= row)];
        wanted.push((run.clone(), times[usize::try_from(row)?], row));
    }
    for (run, time, _) in &wanted {
        let own = &times[usize::try_from(run.start)?..usize::try_from(run.end)?];
        let naive = run.start + own.partition_point(|other| other < time) as u64;
        if column.lower_bound(run.clone(), *time)? != naive {
            return Err(format!("{time} is not at row {naive}").into());
        }
    }
    let find = least(|| {
        let mut sum = 0;
        for (run, time, _) in &wanted {
            sum ^= column.lower_bound(run.clone(), *time)?;
        }
        std::hint::black_box(sum);
        Ok::<(), siltstone_store::error::Error>(())
    })?;
    let get = least(|| {
        let mut sum = 0;
        for (_, _, row) in &wanted {
            sum ^= column.get(*row)?;
        }
        std::hint::black_box(sum);
        Ok::<(), siltstone_store::error::Error>(())
    })?;
    println!(
        "{name} rows={rows} runs={} pieces={} {:.4} bytes a row, encode {:.0} MB/s, decode {:.2} GB/s, find {:.0} ns, get {:.0} ns",
        runs.len(),
        column.piece_count(),
        len as f64 / rows as f64,
        rows as f64 * 8e-6 / encode,
        rows as f64 * 8e-9 / decode,
        find * 1e9 / wanted.len() as f64,
        get * 1e9 / wanted.len() as f64
    );
    Ok(())
}

fn options() -> Fallible<Options> {
    let mut options = Options {
        data: String::new(),
        column: String::new(),
        keys: Vec::new(),
        ty: ColumnType::F64,
        rows: 1 << 20,
        time: false,
        step_bits: None,
        clock: None,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} wants a value"));
        match argument.as_str() {
            "--data" => options.data = value()?,
            "--column" => options.column = value()?,
            "--key" => options.keys.push(value()?),
            "--rows" => options.rows = value()?.parse()?,
            "--time" => options.time = true,
            "--step" => options.step_bits = Some(u8::try_from(value()?.parse::<u32>()?.ilog2())?),
            "--clock" => options.clock = Some(value()?),
            "--type" => {
                options.ty = match value()?.as_str() {
                    "f64" => ColumnType::F64,
                    "f32" => ColumnType::F32,
                    "i64" => ColumnType::I64,
                    other => return Err(format!("type {other} is none of f64, f32, i64").into()),
                }
            }
            other => return Err(format!("unknown option {other}").into()),
        }
    }
    Ok(options)
}

/// Keys and cells of the column, row by row.
fn read(options: &Options) -> Fallible<(Vec<String>, Vec<String>)> {
    let input: Box<dyn Read> = if options.data == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(&options.data)?)
    };
    let mut lines = BufReader::new(input).lines();
    let header = lines.next().ok_or("the file is empty")??;
    let separator = if header.contains(';') { ';' } else { ',' };
    let names: Vec<&str> = header
        .split(separator)
        .map(|name| name.trim_matches('"'))
        .collect();
    let place = |name: &str| {
        names
            .iter()
            .position(|n| *n == name)
            .ok_or(format!("no column {name} among {names:?}"))
    };
    let column = place(&options.column)?;
    let places = options
        .keys
        .iter()
        .map(|name| place(name))
        .collect::<Result<Vec<_>, _>>()?;
    let (mut keys, mut cells) = (Vec::new(), Vec::new());
    for line in lines.take(options.rows) {
        let line = line?;
        let fields: Vec<&str> = line.split(separator).collect();
        let field = |place: usize| fields.get(place).copied().unwrap_or_default();
        keys.push(
            places
                .iter()
                .map(|&p| field(p))
                .collect::<Vec<_>>()
                .join("\u{1f}"),
        );
        cells.push(field(column).trim_matches('"').to_owned());
    }
    Ok((keys, cells))
}

/// Sorts the cells by key and gives the runs of equal keys.
fn sort_by_keys(keys: &[String], cells: &mut Vec<String>) -> Vec<Range<u64>> {
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_by_key(|&row| &keys[row]);
    *cells = order.iter().map(|&row| std::mem::take(&mut cells[row])).collect();
    let mut at = 0;
    order
        .chunk_by(|&a, &b| keys[a] == keys[b])
        .map(|run| {
            let start = at;
            at += run.len() as u64;
            start..at
        })
        .collect()
}

fn parse(options: &Options, cells: &[String]) -> Fallible<BatchColumn> {
    let mut column = BatchColumn::new(options.ty);
    for cell in cells {
        let key = match options.ty {
            _ if cell.is_empty() || cell == "NA" => None,
            ColumnType::F32 => Some(key_of_f32(cell.parse()?)),
            ColumnType::I64 => Some(key_of_i64(cell.parse()?)),
            _ => Some(key_of_f64(cell.parse()?)),
        };
        match key {
            Some(key) => column.push_key(key),
            None => column.push_null(),
        }
    }
    Ok(column)
}
