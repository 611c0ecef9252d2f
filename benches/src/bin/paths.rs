//! How fast one column of codes is decoded by each path of the machine's instructions: GB/s of 64-bit codes.
//!
//! ```text
//! paths [--rows N] [--kind wavelet|scan|small] [--data DIR FILE:COLUMN[:KEY[:MODE]]...] [NAME...]
//! ```
//!
//! Without `--data` it measures generated columns (`walk adc smooth noise`). One thread, hot cache, the best of a few
//! rounds; what is decoded is compared with the codes.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a measuring program on given files"
)]

use std::ops::Range;
use std::path::PathBuf;

use siltstone_benches::data::{self, Column, GENERATED, Random};
use siltstone_benches::{Fallible, measure};
use siltstone_store::codes::{self, Codes, CodesKind};
use siltstone_store::section::Section;

/// Seconds that a figure takes.
const BUDGET: f64 = 0.2;
/// Codes of a short range, and ranges.
const SHORT: u64 = 65_536;
const RANGES: usize = 8;

fn main() -> Fallible<()> {
    let (mut rows, mut kind, mut dir) = (1 << 20, CodesKind::Wavelet, None);
    let mut names = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--rows" => rows = value()?.parse()?,
            "--kind" => {
                let name = value()?;
                let found = CodesKind::ALL.into_iter().find(|kind| kind.name() == name);
                kind = found.ok_or(format!("there is no layout {name}"))?;
            }
            "--data" => dir = Some(PathBuf::from(value()?)),
            _ => names.push(argument),
        }
    }
    if names.is_empty() {
        names = GENERATED.map(str::to_owned).to_vec();
    }
    println!(
        "{:<28} {:>10} {:>10} {:>12} {:>12}",
        "column", "rows", "path", "all, GB/s", "64 K, GB/s"
    );
    for name in names {
        let column = match &dir {
            Some(dir) => data::read(dir, &name, rows)?,
            None => data::generate(&name, rows).ok_or(format!("there is no generated column {name}"))?,
        };
        each_path(&column, kind)?;
    }
    Ok(())
}

fn each_path(column: &Column, kind: CodesKind) -> Fallible<()> {
    let section = Section::from_vec(codes::encode(kind, &column.codes));
    let layout = codes::open(kind, section)?;
    let len = column.codes.len() as u64;
    let (all_rows, size) = (0..len, len.min(SHORT));
    let mut random = Random(7);
    let short: Vec<Range<u64>> = (0..RANGES)
        .map(|_| random.below(len - size + 1))
        .map(|start| start..start + size)
        .collect();
    let whole = std::slice::from_ref(&all_rows);
    for (path, name) in codes::decode_paths().into_iter().enumerate() {
        codes::force_decode_path(Some(path));
        let [all, part] = [whole, &short].map(|ranges| speed(layout.as_ref(), &column.codes, ranges));
        println!(
            "{:<28} {len:>10} {name:>10} {all:>12.2} {part:>12.2}",
            column.name
        );
    }
    codes::force_decode_path(None);
    Ok(())
}

fn speed(layout: &dyn Codes, codes: &[u64], ranges: &[Range<u64>]) -> f64 {
    let mut out = vec![0; codes.len()];
    for range in ranges {
        let out = &mut out[..(range.end - range.start) as usize];
        layout.decode(range.clone(), out).unwrap();
        assert!(
            out == &codes[range.start as usize..range.end as usize],
            "decoded rows differ"
        );
    }
    let rows: u64 = ranges.iter().map(|range| range.end - range.start).sum();
    let seconds = measure::each(BUDGET, ranges.len(), |at| {
        let range = &ranges[at];
        let out = &mut out[..(range.end - range.start) as usize];
        layout.decode(range.clone(), out).unwrap();
    });
    rows as f64 * 8.0 / (seconds * ranges.len() as f64) / 1e9
}
