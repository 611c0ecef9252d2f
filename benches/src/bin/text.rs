//! Text indexes on log files: bytes, microseconds a question, megabytes a second to build.
//!
//! `text --data DIR [--index fm|template] [--block-mb N] [--step N] [--only NAME] [--passes N] [--quick] [--cut-time]`: each file of DIR (plain or .gz) is one
//! column of rows, each sub-directory one column of its files joined. `--cut-time` takes a leading timestamp off each
//! row, as a stream's clock would. A count's time is the best of N passes over all patterns, so that other work on the
//! machine counts less; the other times are of one pass. With feature `compare`, zstd, a scan
//! of the plain text and SQLite's FTS5 stand beside.

#![allow(
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    reason = "a measuring program on given files"
)]

use std::path::Path;
use std::time::Instant;

use siltstone_benches::data::Random;
use siltstone_benches::logs;
use siltstone_store::batch::ByteColumn;
use siltstone_store::rows::Mask;
use siltstone_store::section::Section;
use siltstone_store::text::fm::{FmOptions, encode_with};
use siltstone_store::text::{self, TextKind, TextPattern};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        arguments
            .iter()
            .position(|a| a == name)
            .and_then(|i| arguments.get(i + 1))
            .cloned()
    };
    let Some(data) = value("--data") else {
        eprintln!(
            "text --data DIR [--index fm|template] [--block-mb N] [--step N] [--only NAME] [--passes N] [--quick] [--cut-time]"
        );
        std::process::exit(2);
    };
    let mut options = FmOptions::default();
    if let Some(megabytes) = value("--block-mb") {
        options.block_bytes = megabytes.parse::<u64>().unwrap() << 20;
    }
    if let Some(step) = value("--step") {
        options.sample_step = step.parse().unwrap();
    }
    options.row_counters = !arguments.iter().any(|a| a == "--no-counters");
    let passes = value("--passes").map_or(5, |passes| passes.parse().unwrap());
    let only = value("--only").unwrap_or_default();
    let cut = arguments.iter().any(|a| a == "--cut-time");
    let index = value("--index").unwrap_or_default();
    logs::each(Path::new(&data), &only, cut, |name, rows| {
        let raw = rows.bytes().len() as f64;
        println!(
            "\n{name}: {} rows, {raw} bytes, {:.0} a row",
            rows.len(),
            raw / rows.len() as f64
        );
        #[cfg(feature = "compare")]
        compare(&rows, raw);
        for kind in [TextKind::Fm, TextKind::Template] {
            if kind.name().contains(&index) {
                println!("  {}", kind.name());
                measure(kind, &rows, &options, passes);
            }
        }
        Ok(())
    })
    .unwrap();
}

/// Peak memory since the last reset, in bytes.
fn peak_bytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap_or_default()
        .to_string();
    line.split_whitespace()
        .nth(1)
        .and_then(|n| n.parse::<f64>().ok())
        .unwrap_or(0.0)
        * 1024.0
}

fn quantiles(mut micros: Vec<f64>) -> String {
    micros.sort_by(f64::total_cmp);
    let at = |q: f64| {
        micros
            .get(((micros.len() as f64 - 1.0) * q) as usize)
            .copied()
            .unwrap_or(f64::NAN)
    };
    format!("{:8.2} / {:8.2}", at(0.5), at(0.95))
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let out = work();
    (out, start.elapsed().as_secs_f64() * 1e6)
}

fn measure(kind: TextKind, rows: &ByteColumn, options: &FmOptions, passes: usize) {
    let raw = rows.bytes().len() as f64;
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let before = peak_bytes();
    let (bytes, micros) = timed(|| match kind {
        TextKind::Fm => encode_with(rows, options).unwrap(),
        _ => text::encode(kind, rows).unwrap(),
    });
    let grown = peak_bytes() - before;
    println!(
        "  built in {:.2} s, {:.1} MB/s; memory {:.1} x the text beside it",
        micros / 1e6,
        raw / micros,
        grown / raw
    );
    println!("  bytes / raw {:.4} ({})", bytes.len() as f64 / raw, bytes.len());
    let index = text::open(kind, Section::from_vec(bytes)).unwrap();
    let ((), micros) = timed(|| index.extract(0, &mut Vec::new()).unwrap());
    println!("  first row read in {micros:.0} us");
    for (part, bits) in index.parts() {
        println!("    {part:18} {:.4}", bits as f64 / 8.0 / raw);
    }

    let all: Vec<std::ops::Range<u64>> = std::iter::once(0..index.len()).collect();
    let mut random = Random(0x5eed_1234_5678_9abc);
    let mut needles = Vec::new();
    while needles.len() < 600 {
        let row = rows.get(random.below(rows.len() as u64) as usize);
        if row.len() >= 12 {
            let at = random.below(row.len() as u64 - 11) as usize;
            needles.push(row[at..at + 12].to_vec());
        }
    }
    #[cfg(feature = "compare")]
    if kind == TextKind::Fm {
        compare_fts5(rows, raw, index.as_ref(), &needles);
    }
    let scan =
        |pattern: &TextPattern| (0..rows.len()).filter(|&r| pattern.matches(rows.get(r))).count() as u64;
    let questions = |label: &str, patterns: Vec<TextPattern>| {
        let mut micros = vec![f64::MAX; patterns.len()];
        for _ in 0..passes {
            for (best, pattern) in micros.iter_mut().zip(&patterns) {
                let (_, time) = timed(|| index.count(&all, pattern).unwrap());
                *best = best.min(time);
            }
        }
        let (mut wrong, mut checked) = (0, 0);
        for (i, pattern) in patterns.iter().enumerate() {
            if i % (1 + raw as usize / 400_000) == 0 {
                checked += 1;
                wrong += u64::from(scan(pattern) != index.count(&all, pattern).unwrap());
            }
        }
        println!(
            "  {label:34} {} us, {} of {checked} wrong",
            quantiles(micros),
            wrong
        );
    };
    questions(
        "count, 12 bytes",
        needles.iter().cloned().map(TextPattern::Contains).collect(),
    );
    let mutated = |needle: &Vec<u8>| {
        let mut needle = needle.clone();
        needle[7] = if needle[7] == b'e' { b'x' } else { b'e' };
        needle.swap(2, 9);
        TextPattern::Contains(needle)
    };
    let absent: Vec<TextPattern> = needles
        .iter()
        .map(mutated)
        .filter(|p| index.count(&all, p).unwrap() == 0)
        .collect();
    questions("count, absent", absent);
    questions(
        "count, ignoring case",
        needles
            .iter()
            .cloned()
            .map(TextPattern::ContainsIgnoreAsciiCase)
            .collect(),
    );
    questions(
        "count, starts with",
        needles.iter().cloned().map(TextPattern::StartsWith).collect(),
    );
    questions(
        "count, 4 bytes",
        needles
            .iter()
            .map(|n| TextPattern::Contains(n[..4].to_vec()))
            .collect(),
    );
    let mut digits = Vec::new();
    for _ in 0..200_000 {
        let row = rows.get(random.below(rows.len() as u64) as usize);
        let at = random.below(row.len() as u64 + 1) as usize;
        let piece = row.get(at..at + 4).unwrap_or_default();
        if piece.len() == 4 && piece.iter().all(u8::is_ascii_digit) && digits.len() < 100 {
            digits.push(TextPattern::Contains(piece.to_vec()));
        }
    }
    questions("count, 4 digits", digits);
    if std::env::args().any(|a| a == "--quick") {
        return;
    }
    let mut micros = Vec::new();
    let mut frequent = Vec::new();
    for needle in &needles {
        let pattern = TextPattern::Contains(needle.clone());
        let rare = index.count(&all, &pattern).unwrap() <= 100;
        let mut mask = Mask::repeat(false, rows.len());
        let ((), time) = timed(|| index.select(0..index.len(), &pattern, &mut mask).unwrap());
        if rare { &mut micros } else { &mut frequent }.push(time);
    }
    println!(
        "  {:34} {} us ({} patterns)",
        "rows of a pattern, <= 100",
        quantiles(micros.clone()),
        micros.len()
    );
    println!("  {:34} {} us", "rows of a pattern, > 100", quantiles(frequent));
    let mut micros = Vec::new();
    let mut per_byte = Vec::new();
    let mut out = Vec::new();
    for _ in 0..300 {
        let row = random.below(rows.len() as u64) as usize;
        out.clear();
        let ((), time) = timed(|| index.extract(row as u64, &mut out).unwrap());
        assert_eq!(out, rows.get(row));
        micros.push(time);
        per_byte.push(time / out.len().max(1) as f64);
    }
    println!(
        "  {:34} {} us, {} us a byte",
        "one row",
        quantiles(micros),
        quantiles(per_byte)
    );
    let (decoded, time) = timed(|| {
        let mut decoded = ByteColumn::default();
        index.decode(0..index.len(), &mut decoded).unwrap();
        decoded
    });
    assert!(decoded == *rows, "all rows come back");
    println!("  all rows read back at {:.1} MB/s", raw / time);
    let likes = needles.iter().map(|n| {
        let text = String::from_utf8_lossy(n).replace(['%', '_'], "x");
        let cut = text.char_indices().nth(6).map_or(0, |(i, _)| i);
        TextPattern::like(&format!("%{}%{}%", &text[..cut], &text[cut..]), None)
    });
    questions("count, like '%6%6%'", likes.take(60).collect());
}

#[cfg(feature = "compare")]
fn compare(rows: &ByteColumn, raw: f64) {
    let mut joined = Vec::with_capacity(rows.bytes().len() + rows.len());
    for row in 0..rows.len() {
        joined.extend_from_slice(rows.get(row));
        joined.push(b'\n');
    }
    for level in [3, 19] {
        let (packed, time) = timed(|| zstd::encode_all(joined.as_slice(), level).unwrap());
        println!(
            "  zstd -{level:<2}  bytes / raw {:.4} ({}), {:.1} MB/s",
            packed.len() as f64 / raw,
            packed.len(),
            raw / time
        );
    }
    let (found, time) = timed(|| memchr::memmem::find_iter(&joined, b"not to be found").count());
    println!("  memmem over the plain text {time:.0} us ({found})");
}

/// FTS5 over the same rows: bytes, and the questions that it can answer, with the answers compared.
#[cfg(feature = "compare")]
fn compare_fts5(rows: &ByteColumn, raw: f64, index: &dyn text::TextIndex, needles: &[Vec<u8>]) {
    use siltstone_benches::rivals::fts5::{Fts5, count, find, plain};

    let directory = tempfile::tempdir().unwrap();
    let (rival, time) = timed(|| Fts5::write(&directory.path().join("fts5.db"), rows).unwrap());
    let bytes = rival.bytes().unwrap();
    println!(
        "  FTS5 trigram  bytes / raw {:.4} ({bytes}), {:.1} MB/s",
        bytes as f64 / raw,
        raw / time
    );
    let (mut counter, mut finder) = (rival.counter().unwrap(), rival.finder().unwrap());
    let all = [0..index.len()];
    let (mut counts, mut finds, mut wrong) = (Vec::new(), Vec::new(), 0);
    for needle in needles.iter().filter_map(|needle| plain(needle)) {
        let (_, first) = timed(|| count(&mut counter, needle).unwrap());
        let (found, again) = timed(|| count(&mut counter, needle).unwrap());
        counts.push(first.min(again));
        let ours = index
            .count(&all, &TextPattern::Contains(needle.as_bytes().to_vec()))
            .unwrap();
        wrong += u64::from(found != ours);
        if found <= 100 {
            let (_, time) = timed(|| find(&mut finder, needle).unwrap());
            finds.push(time);
        }
    }
    println!(
        "    {:34} {} us, {wrong} other than ours",
        "count, 12 bytes",
        quantiles(counts)
    );
    println!("    {:34} {} us", "rows of a pattern, <= 100", quantiles(finds));
}
