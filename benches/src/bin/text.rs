//! Text indexes on log files: bytes, microseconds a question, megabytes a second to build.
//!
//! `text --data DIR [--index fm|template|cold|small] [--block-mb N | --ram MB] [--step N] [--only NAME] [--passes N] [--needles N] [--quick] [--cut-time]`: each file of DIR (plain or .gz) is one
//! column of rows, each sub-directory one column of its files joined. `--cut-time` takes a leading timestamp off each
//! row, as a stream's clock would. A count's time is the best of N passes over all patterns, so that other work on the
//! machine counts less; the other times are of one pass. `--ram MB` cuts the rows into blocks as a program with that
//! memory limit would (a twentieth of it): questions go to all of them. With feature `compare`, zstd, a scan
//! of the plain text and SQLite's FTS5 stand beside.

#![allow(
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    reason = "a measuring program on given files"
)]

use std::ops::{Bound, Range};
use std::path::Path;
use std::time::Instant;

use siltstone_benches::data::Random;
use siltstone_benches::logs;
use siltstone_store::batch::ByteColumn;
use siltstone_store::rows::Mask;
use siltstone_store::section::Section;
use siltstone_store::text::fm::{FmOptions, encode_with};
use siltstone_store::text::number::{NumberPattern, NumberPlace};
use siltstone_store::text::{self, TextIndex, TextKind, TextPattern};

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
            "text --data DIR [--index fm|template|cold|small] [--block-mb N | --ram MB] [--step N] [--only NAME] [--passes N] [--needles N] [--quick] [--cut-time]"
        );
        std::process::exit(2);
    };
    let mut options = FmOptions::default();
    if let Some(megabytes) = value("--block-mb") {
        options.block_bytes = megabytes.parse::<u64>().unwrap() << 20;
    }
    if let Some(megabytes) = value("--ram") {
        options.block_bytes = options
            .block_bytes
            .min((megabytes.parse::<u64>().unwrap() << 20) / 20);
    }
    if let Some(step) = value("--step") {
        options.sample_step = step.parse().unwrap();
    }
    let blocks = value("--ram").is_some() || value("--block-mb").is_some();
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
        for kind in [TextKind::Fm, TextKind::Template, TextKind::Cold, TextKind::Small] {
            if kind.name().contains(&index) {
                println!("  {}", kind.name());
                measure(kind, &rows, &options, blocks, passes);
            }
        }
        Ok(())
    })
    .unwrap();
}

/// The number that follows an option.
fn number_of(option: &str) -> Option<usize> {
    let mut arguments = std::env::args();
    arguments.find(|argument| argument == option)?;
    arguments.next()?.parse().ok()
}

/// Rows cut into blocks, an index for each.
struct Blocks {
    blocks: Vec<(Range<u64>, Box<dyn TextIndex>)>,
    bytes: usize,
}

impl Blocks {
    fn write(kind: TextKind, rows: &ByteColumn, options: &FmOptions, cut: bool) -> Blocks {
        let mut written = Blocks {
            blocks: Vec::new(),
            bytes: 0,
        };
        let mut start = 0;
        while start < rows.len() {
            let mut block = ByteColumn::default();
            // An fm cuts blocks itself, and a segment that memory does not bound is one.
            while start + block.len() < rows.len() {
                let row = rows.get(start + block.len());
                let bytes = block.bytes().len() + block.len() + row.len() + 1;
                if cut && kind != TextKind::Fm && !block.is_empty() && bytes as u64 > options.block_bytes {
                    break;
                }
                block.push(row);
            }
            let bytes = match kind {
                TextKind::Fm => encode_with(&block, options).unwrap(),
                _ => text::encode(kind, &block).unwrap(),
            };
            written.bytes += bytes.len();
            let index = text::open(kind, Section::from_vec(bytes)).unwrap();
            let end = start + block.len();
            written.blocks.push((start as u64..end as u64, index));
            start = end;
        }
        written
    }

    fn count(&self, pattern: &TextPattern) -> u64 {
        let count = |(rows, index): &(Range<u64>, Box<dyn TextIndex>)| {
            let all = 0..rows.end - rows.start;
            index.count(std::slice::from_ref(&all), pattern).unwrap()
        };
        self.blocks.iter().map(count).sum()
    }

    /// Names the rows that match, block by block; gives how many there are.
    fn select(&self, pattern: &TextPattern) -> usize {
        let mut found = 0;
        for (rows, index) in &self.blocks {
            let all = 0..rows.end - rows.start;
            let mut mask = Mask::repeat(false, all.end as usize);
            index.select(all, pattern, &mut mask).unwrap();
            found += mask.count_ones();
        }
        found
    }

    fn extract(&self, row: u64, out: &mut Vec<u8>) {
        let at = self.blocks.partition_point(|(rows, _)| rows.end <= row);
        let (rows, index) = &self.blocks[at];
        index.extract(row - rows.start, out).unwrap();
    }

    fn decode(&self) -> ByteColumn {
        let mut decoded = ByteColumn::default();
        for (rows, index) in &self.blocks {
            index.decode(0..rows.end - rows.start, &mut decoded).unwrap();
        }
        decoded
    }

    /// Bytes of each part, of all blocks.
    fn parts(&self) -> Vec<(String, u64)> {
        let mut all: Vec<(String, u64)> = Vec::new();
        for (name, bits) in self.blocks.iter().flat_map(|(_, index)| index.parts()) {
            match all.iter_mut().find(|(known, _)| *known == name) {
                Some((_, sum)) => *sum += bits / 8,
                None => all.push((name, bits / 8)),
            }
        }
        all
    }
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

fn measure(kind: TextKind, rows: &ByteColumn, options: &FmOptions, cut: bool, passes: usize) {
    let raw = rows.bytes().len() as f64;
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let before = peak_bytes();
    let (index, micros) = timed(|| Blocks::write(kind, rows, options, cut));
    let grown = peak_bytes() - before;
    println!(
        "  built in {:.2} s, {:.1} MB/s; memory {:.1} x the text beside it",
        micros / 1e6,
        raw / micros,
        grown / raw
    );
    println!(
        "  bytes / raw {:.4} ({}), blocks {}",
        index.bytes as f64 / raw,
        index.bytes,
        index.blocks.len()
    );
    let ((), micros) = timed(|| index.extract(0, &mut Vec::new()));
    println!("  first row read in {micros:.0} us");
    for (part, bytes) in index.parts() {
        println!("    {part:18} {:.4}", bytes as f64 / raw);
    }
    let nowhere = TextPattern::Contains(b"not to be found".to_vec());
    let (_, micros) = timed(|| index.count(&nowhere));
    println!("  first count in {micros:.0} us");

    let mut random = Random(0x5eed_1234_5678_9abc);
    let mut needles = Vec::new();
    let wanted = number_of("--needles").unwrap_or(600);
    while needles.len() < wanted {
        let row = rows.get(random.below(rows.len() as u64) as usize);
        if row.len() >= 12 {
            let at = random.below(row.len() as u64 - 11) as usize;
            needles.push(row[at..at + 12].to_vec());
        }
    }
    #[cfg(feature = "compare")]
    if kind == TextKind::Fm {
        compare_fts5(rows, raw, &index, &needles);
    }
    let scan =
        |pattern: &TextPattern| (0..rows.len()).filter(|&r| pattern.matches(rows.get(r))).count() as u64;
    let questions = |label: &str, patterns: Vec<TextPattern>| {
        let mut micros = vec![f64::MAX; patterns.len()];
        for _ in 0..passes {
            for (best, pattern) in micros.iter_mut().zip(&patterns) {
                let (_, time) = timed(|| index.count(pattern));
                *best = best.min(time);
            }
        }
        let (mut wrong, mut checked) = (0, 0);
        for (i, pattern) in patterns.iter().enumerate() {
            if i % (1 + raw as usize / 400_000) == 0 {
                checked += 1;
                wrong += u64::from(scan(pattern) != index.count(pattern));
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
        .filter(|p| index.count(p) == 0)
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
    for (label, pattern) in [
        (
            "rows of a pattern",
            TextPattern::Contains as fn(Vec<u8>) -> TextPattern,
        ),
        ("rows, ignoring case", TextPattern::ContainsIgnoreAsciiCase),
    ] {
        let (mut rare, mut frequent) = (Vec::new(), Vec::new());
        for pattern in needles.iter().cloned().map(pattern) {
            let (found, time) = timed(|| index.select(&pattern));
            assert_eq!(found as u64, index.count(&pattern), "as many rows as counted");
            if found <= 100 { &mut rare } else { &mut frequent }.push(time);
        }
        for (what, micros) in [("<= 100", rare), ("> 100", frequent)] {
            let patterns = micros.len();
            println!(
                "  {:34} {} us ({patterns} patterns)",
                format!("{label}, {what}"),
                quantiles(micros)
            );
        }
    }
    let mut micros = Vec::new();
    let mut per_byte = Vec::new();
    let mut out = Vec::new();
    for _ in 0..300 {
        let row = random.below(rows.len() as u64) as usize;
        out.clear();
        let ((), time) = timed(|| index.extract(row as u64, &mut out));
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
    let (decoded, time) = timed(|| index.decode());
    assert!(decoded == *rows, "all rows come back");
    println!("  all rows read back at {:.1} MB/s", raw / time);
    let likes = needles.iter().map(|n| {
        let text = String::from_utf8_lossy(n).replace(['%', '_'], "x");
        let cut = text.char_indices().nth(6).map_or(0, |(i, _)| i);
        TextPattern::like(&format!("%{}%{}%", &text[..cut], &text[cut..]), None)
    });
    questions("count, like '%6%6%'", likes.take(60).collect());
    let numbers: Vec<TextPattern> = logs::numbers(rows, &mut random, 60)
        .into_iter()
        .map(|(before, number)| {
            let place = NumberPlace::parse(&format!("{before}{{}}")).unwrap();
            let above = NumberPattern::new(place, Bound::Excluded(number), Bound::Unbounded);
            TextPattern::Number(above)
        })
        .collect();
    let scans = numbers.iter().map(|pattern| timed(|| scan(pattern)).1).collect();
    println!(
        "  {:34} {} us",
        "number in a row, plain rows scanned",
        quantiles(scans)
    );
    questions("count, number in a row > n", numbers);
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
fn compare_fts5(rows: &ByteColumn, raw: f64, index: &Blocks, needles: &[Vec<u8>]) {
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
    let (mut counts, mut finds, mut wrong) = (Vec::new(), Vec::new(), 0);
    for needle in needles.iter().filter_map(|needle| plain(needle)) {
        let (_, first) = timed(|| count(&mut counter, needle).unwrap());
        let (found, again) = timed(|| count(&mut counter, needle).unwrap());
        counts.push(first.min(again));
        let ours = index.count(&TextPattern::Contains(needle.as_bytes().to_vec()));
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
