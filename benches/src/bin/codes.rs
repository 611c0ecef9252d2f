//! Measures the code layouts on one column at a time: size, random access, windows, decode, encode.
//!
//! ```text
//! codes [--rows N] [--kind NAME] [--only get|median|decode|encode|paths] [--data DIR FILE:COLUMN[:KEY[:MODE]]...]
//! ```
//!
//! Without `--data` it measures generated columns: a walk, a noisy converter, a smooth curve. A file is CSV, plain or
//! gzip (through `gzip -dc`); rows are sorted by the key column, if one is named, and keep their order inside a key. MODE is
//! `dec` (codes are decimals, the default), `dict` (ranks of the distinct values) or `bits` (total-order bits). One thread, hot cache,
//! the best of a few rounds; each answer is compared with the naive one.
//! With feature `compare`, pco's size on the same codes stands beside, and sucds' wavelet matrix answers the same questions.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a measuring program may stop at any surprise"
)]

use std::io::Read;
use std::ops::Range;
use std::path::Path;
use std::time::Instant;

use siltstone_store::codes::{self, CodesKind, Interval};
use siltstone_store::section::{PAGE_BYTES, Pages, Section};

fn main() {
    let mut rows = 1 << 20;
    let mut kind = CodesKind::Wavelet;
    let mut data = None;
    let mut only = String::new();
    let mut specs = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--rows" => {
                rows = arguments
                    .next()
                    .and_then(|n| n.parse().ok())
                    .expect("--rows takes a number")
            }
            "--kind" => {
                let name = arguments.next().unwrap_or_default();
                kind = CodesKind::ALL
                    .into_iter()
                    .find(|kind| kind.name() == name)
                    .expect("--kind takes a layout's name");
            }
            "--only" => only = arguments.next().unwrap_or_default(),
            "--data" => data = arguments.next(),
            _ => specs.push(argument),
        }
    }
    println!(
        "{:<26} {:>8} {:>2} {:>7} {:>7} {:>6} | {:>6} {:>23} {:>8} {:>8} {:>8} | {:>16} {:>16} {:>6}",
        "column",
        "rows",
        "L",
        "bits",
        "pco",
        "ratio",
        "get ns",
        "median 1/10/100 % us",
        "count us",
        "1000 us",
        "many us",
        "all GB/s",
        "64K",
        "MB/s"
    );
    println!("decoding by {}, best first", {
        let mut paths = codes::decode_paths();
        paths.reverse();
        paths.join(" / ")
    });
    match data {
        Some(dir) => {
            for spec in &specs {
                measure(spec, &read_column(Path::new(&dir), spec, rows), kind, &only);
            }
        }
        None => {
            for (name, codes) in [("walk", walk(rows)), ("adc", adc(rows)), ("smooth", smooth(rows))] {
                if specs.is_empty() || specs.iter().any(|wanted| wanted == name) {
                    measure(name, &codes, kind, &only);
                }
            }
        }
    }
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    }

    /// About normal, with deviation 1.
    fn normal(&mut self) -> f64 {
        let sum: f64 = (0..12)
            .map(|_| (self.next() >> 11) as f64 / (1u64 << 53) as f64)
            .sum();
        sum - 6.0
    }
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

/// The codes of one column of a CSV file.
fn read_column(dir: &Path, spec: &str, rows: usize) -> Vec<u64> {
    let parts: Vec<&str> = spec.split(':').collect();
    let path = dir.join(parts[0]);
    let mut text = String::new();
    if parts[0].ends_with(".gz") {
        let output = std::process::Command::new("gzip")
            .arg("-dc")
            .arg(&path)
            .output()
            .expect("gzip runs");
        text = String::from_utf8(output.stdout).expect("text");
    } else {
        std::fs::File::open(&path)
            .expect("the file opens")
            .read_to_string(&mut text)
            .expect("text");
    }
    let mut lines = text.lines();
    let separator = if lines.clone().next().unwrap().contains(';') {
        ';'
    } else {
        ','
    };
    let names: Vec<&str> = lines.next().unwrap().split(separator).collect();
    let find = |name: &str| {
        names
            .iter()
            .position(|n| *n == name)
            .unwrap_or_else(|| panic!("no column {name}"))
    };
    let column = find(parts[1]);
    let key = parts
        .get(2)
        .filter(|name| !name.is_empty())
        .map(|name| find(name));
    let mut values: Vec<(&str, &str)> = lines
        .map(|line| {
            let fields: Vec<&str> = line.split(separator).collect();
            (key.map_or("", |key| fields[key]), fields[column])
        })
        .filter(|(_, value)| !value.is_empty())
        .collect();
    values.sort_by_key(|(key, _)| *key);
    values.truncate(rows);
    let floats: Vec<f64> = values.iter().map(|(_, value)| value.parse().unwrap()).collect();
    match parts.get(3).copied().unwrap_or("dec") {
        "bits" => floats.iter().map(|value| total_order(*value)).collect(),
        "dict" => {
            let mut distinct: Vec<u64> = floats.iter().map(|value| total_order(*value)).collect();
            distinct.sort_unstable();
            distinct.dedup();
            floats
                .iter()
                .map(|value| distinct.binary_search(&total_order(*value)).unwrap() as u64)
                .collect()
        }
        _ => {
            let mut digits: Vec<usize> = values
                .iter()
                .map(|(_, value)| value.split_once('.').map_or(0, |(_, rest)| rest.len()))
                .collect();
            digits.sort_unstable();
            let digits = digits[digits.len() * 96 / 100].min(9);
            let scaled: Vec<i64> = floats
                .iter()
                .map(|value| (value * 10f64.powi(digits as i32)).round() as i64)
                .collect();
            let least = *scaled.iter().min().unwrap();
            scaled.iter().map(|value| (value - least) as u64).collect()
        }
    }
}

fn total_order(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

/// Seconds of one call: the least of `rounds`, since a machine at work elsewhere only adds.
fn seconds<T>(rounds: usize, mut call: impl FnMut() -> T) -> f64 {
    let times: Vec<f64> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            std::hint::black_box(call());
            start.elapsed().as_secs_f64()
        })
        .collect();
    times.iter().copied().fold(f64::INFINITY, f64::min)
}

fn windows(len: u64, share: f64, count: usize) -> Vec<Range<u64>> {
    let mut random = Random(7);
    let size = ((len as f64 * share) as u64).max(1);
    (0..count)
        .map(|_| {
            let start = random.next() % (len - size + 1);
            start..start + size
        })
        .collect()
}

fn naive_median(codes: &[u64], range: &Range<u64>) -> u64 {
    let mut part = codes[range.start as usize..range.end as usize].to_vec();
    let middle = (part.len() - 1) / 2;
    *part.select_nth_unstable(middle).1
}

/// A section with page checksums, as in a file.
fn checked(bytes: Vec<u8>) -> Section {
    let len = bytes.len() as u64;
    let crcs = bytes.chunks(PAGE_BYTES as usize).map(crc32fast::hash).collect();
    let pages = Pages::new("column".into(), std::sync::Arc::new(bytes), len, crcs).unwrap();
    pages.section(0..len, "codes").unwrap()
}

fn measure(name: &str, codes: &[u64], kind: CodesKind, only: &str) {
    let len = codes.len() as u64;
    let bytes = codes::encode(kind, codes);
    if only == "paths" {
        let layout = codes::open(kind, checked(bytes)).unwrap();
        let (all, part) = decode_speeds(layout.as_ref(), codes, &mut Random(5));
        return println!("{name:<40} {all:>20} {part:>20}");
    }
    if !only.is_empty() {
        return repeat(name, codes, kind, only);
    }
    let encode_s = seconds(5, || codes::encode(kind, codes));
    let size = bytes.len() as f64 * 8.0 / len as f64;
    let layout = codes::open(kind, checked(bytes)).unwrap();
    let mut random = Random(5);

    let positions: Vec<u64> = (0..100_000).map(|_| random.next() % len).collect();
    for &position in positions.iter().take(3_000) {
        assert_eq!(layout.get(position).unwrap(), codes[position as usize]);
    }
    let get_s = seconds(5, || {
        positions
            .iter()
            .fold(0u64, |sum, &p| sum.wrapping_add(layout.get(p).unwrap()))
    });

    let median = |range: &Range<u64>| {
        let middle = (range.end - range.start - 1) / 2;
        layout.quantile(std::slice::from_ref(range), middle).unwrap().0
    };
    let medians: Vec<String> = [(0.01, 500), (0.1, 500), (1.0, 20)]
        .into_iter()
        .map(|(share, count)| {
            let windows = windows(len, share, count);
            for window in windows.iter().take(5) {
                assert_eq!(median(window), naive_median(codes, window));
            }
            let s = seconds(5, || {
                windows.iter().fold(0u64, |sum, w| sum.wrapping_add(median(w)))
            });
            format!("{:.2}", s * 1e6 / count as f64)
        })
        .collect();

    let mut sorted = codes.to_vec();
    sorted.sort_unstable();
    let interval = Interval {
        low: sorted[codes.len() / 4],
        high: sorted[codes.len() / 2],
    };
    let tenth = windows(len, 0.1, 500);
    for window in tenth.iter().take(5) {
        let part = &codes[window.start as usize..window.end as usize];
        let naive = part.iter().filter(|&&code| interval.contains(code)).count() as u64;
        assert_eq!(
            layout.count(std::slice::from_ref(window), interval).unwrap(),
            naive
        );
    }
    let count_s = seconds(5, || {
        tenth.iter().fold(0, |sum, window| {
            sum + layout.count(std::slice::from_ref(window), interval).unwrap()
        })
    });

    let buckets: Vec<Range<u64>> = (0..1000).map(|i| i * len / 1000..(i + 1) * len / 1000).collect();
    let wanted: Vec<u64> = buckets
        .iter()
        .map(|bucket| (bucket.end - bucket.start - 1) / 2)
        .collect();
    let found = layout.quantile_each(&buckets, &wanted).unwrap();
    for (bucket, &found) in buckets.iter().zip(&found).step_by(37) {
        assert_eq!(found, naive_median(codes, bucket));
    }
    let buckets_s = seconds(7, || layout.quantile_each(&buckets, &wanted).unwrap());
    let apart: Vec<Range<u64>> = buckets
        .iter()
        .map(|bucket| bucket.start..bucket.start.midpoint(bucket.end))
        .collect();
    let middle = apart.iter().map(|range| range.end - range.start).sum::<u64>() / 2;
    let many_s = seconds(7, || layout.quantile(&apart, middle).unwrap());

    let (all, part) = decode_speeds(layout.as_ref(), codes, &mut random);
    let pco = pco_bits(codes);
    let bits = 64 - (sorted[codes.len() - 1] - sorted[0]).leading_zeros();
    println!(
        "{:<26} {:>8} {:>2} {:>7.3} {:>7.3} {:>6.3} | {:>6.0} {:>23} {:>8.2} {:>8.0} {:>8.0} | {:>16} {:>16} {:>6.0}",
        name.chars()
            .rev()
            .take(26)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect::<String>(),
        len,
        bits,
        size,
        pco,
        size / pco,
        get_s * 1e9 / positions.len() as f64,
        medians.join(" / "),
        count_s * 1e6 / tenth.len() as f64,
        buckets_s * 1e6,
        many_s * 1e6,
        all,
        part,
        len as f64 * 8.0 / encode_s / 1e6,
    );
    if std::env::var_os("PARTS").is_some() {
        for (part, bits) in layout.parts() {
            println!("    {part:<28} {:>8.3}", bits as f64 / len as f64);
        }
    }
    rival(codes, &positions, &tenth);
}

/// GB/s of a decode of all codes, and of ranges of 64K, by each path, the best first.
fn decode_speeds(layout: &dyn codes::Codes, codes: &[u64], random: &mut Random) -> (String, String) {
    let len = codes.len() as u64;
    let mut out = vec![0; codes.len()];
    let size = len.min(65_536);
    let parts: Vec<Range<u64>> = (0..8)
        .map(|_| random.next() % (len - size + 1))
        .map(|start| start..start + size)
        .collect();
    let (mut all, mut part) = (Vec::new(), Vec::new());
    for path in (0..codes::decode_paths().len()).rev() {
        codes::force_decode_path(Some(path));
        out.fill(0);
        layout.decode(0..len, &mut out).unwrap();
        assert!(out == codes, "decoded rows differ");
        let all_s = seconds(9, || layout.decode(0..len, &mut out).unwrap());
        all.push(format!("{:.2}", len as f64 * 8.0 / all_s / 1e9));
        let out = &mut out[..size as usize];
        for range in &parts {
            layout.decode(range.clone(), out).unwrap();
            assert!(
                out == &codes[range.start as usize..range.end as usize],
                "decoded rows differ"
            );
        }
        let part_s = seconds(9, || {
            for range in &parts {
                layout.decode(range.clone(), out).unwrap();
            }
        });
        part.push(format!(
            "{:.2}",
            (size * 8) as f64 * parts.len() as f64 / part_s / 1e9
        ));
    }
    codes::force_decode_path(None);
    (all.join(" / "), part.join(" / "))
}

/// One question for about two seconds, for a profiler.
fn repeat(name: &str, codes: &[u64], kind: CodesKind, only: &str) {
    let layout = codes::open(kind, checked(codes::encode(kind, codes))).unwrap();
    let len = codes.len() as u64;
    let (mut random, mut out) = (Random(5), vec![0; codes.len()]);
    let windows = windows(len, 0.1, 1000);
    let (start, mut best) = (Instant::now(), f64::INFINITY);
    while start.elapsed().as_secs_f64() < 2.0 {
        let round = Instant::now();
        let mut sum = 0u64;
        match only {
            "get" => (0..10_000).for_each(|_| sum ^= layout.get(random.next() % len).unwrap()),
            "median" => windows.iter().for_each(|window| {
                sum ^= layout
                    .quantile(std::slice::from_ref(window), (window.end - window.start) / 2)
                    .unwrap()
                    .0;
            }),
            "decode" => layout.decode(0..len, &mut out).unwrap(),
            _ => sum = codes::encode(kind, codes).len() as u64,
        }
        std::hint::black_box(sum);
        best = best.min(round.elapsed().as_secs_f64());
    }
    let each = match only {
        "get" => 1e4,
        "median" => 1e3,
        _ => len as f64,
    };
    println!("{name}: {only} {:.2} ns", best * 1e9 / each);
}

/// pco's bits a code on the same codes, in its default setting.
#[cfg(feature = "compare")]
fn pco_bits(codes: &[u64]) -> f64 {
    let bytes = pco::standalone::simple_compress(codes, &pco::ChunkConfig::default()).unwrap();
    bytes.len() as f64 * 8.0 / codes.len() as f64
}

#[cfg(not(feature = "compare"))]
fn pco_bits(_: &[u64]) -> f64 {
    f64::NAN
}

/// The same questions to sucds' wavelet matrix.
#[cfg(feature = "compare")]
fn rival(codes: &[u64], positions: &[u64], tenth: &[Range<u64>]) {
    use sucds::Serializable;
    use sucds::bit_vectors::Rank9Sel;
    use sucds::char_sequences::WaveletMatrix;
    use sucds::int_vectors::CompactVector;
    let least = codes.iter().min().unwrap();
    let plain: Vec<u64> = codes.iter().map(|code| code - least).collect();
    let start = Instant::now();
    let matrix = WaveletMatrix::new(CompactVector::from_slice(&plain), |bits| {
        Rank9Sel::new(bits).select0_hints()
    })
    .unwrap();
    let build_s = start.elapsed().as_secs_f64();
    let get_s = seconds(3, || {
        positions
            .iter()
            .fold(0, |sum, &p| sum + matrix.access(p as usize).unwrap())
    });
    let median_s = seconds(3, || {
        tenth.iter().fold(0, |sum, window| {
            let middle = (window.end - window.start - 1) / 2;
            sum + matrix
                .quantile(window.start as usize..window.end as usize, middle as usize)
                .unwrap()
        })
    });
    println!(
        "    sucds: {:.2} bits, get {:.0} ns, median of 10 % {:.2} us, build {:.0} MB/s",
        matrix.size_in_bytes() as f64 * 8.0 / codes.len() as f64,
        get_s * 1e9 / positions.len() as f64,
        median_s * 1e6 / tenth.len() as f64,
        codes.len() as f64 * 8.0 / build_s / 1e6
    );
}

#[cfg(not(feature = "compare"))]
fn rival(_: &[u64], _: &[u64], _: &[Range<u64>]) {}
