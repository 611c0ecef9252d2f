//! Measures order statistics over many segments and a tail of raw rows: on one grid, and on grids that differ.
//!
//! ```text
//! segments [--segments N] [--rows N] [--tail N]
//! ```
//!
//! One thread, hot cache, the best of a few rounds; every answer is compared with the naive one.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a measuring program may stop at any surprise"
)]

use std::sync::Arc;
use std::time::Instant;

use siltstone_store::batch::Batch;
use siltstone_store::column::Hints;
use siltstone_store::predicate::Predicate;
use siltstone_store::schema::{ColumnType, Schema, SharedSchema, TimeUnit};
use siltstone_store::segment::{Segment, writer};
use siltstone_store::snapshot::Snapshot;
use siltstone_store::value::Value;

fn main() {
    let (mut segments, mut rows, mut tail) = (16, 1 << 16, 4096);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let number = arguments.next().and_then(|n| n.parse().ok()).expect("a number");
        match argument.as_str() {
            "--segments" => segments = number,
            "--rows" => rows = number,
            "--tail" => tail = number,
            other => panic!("unknown option {other}"),
        }
    }
    let schema = Schema::new("ts", TimeUnit::Millisecond)
        .with_channel("value", ColumnType::F64, "")
        .unwrap();
    let schema = Arc::new(schema);
    for (name, digits) in [("one grid", vec![2]), ("different grids", vec![1, 2, 3])] {
        measure(name, &schema, &digits, segments, rows, tail);
    }
}

fn measure(name: &str, schema: &SharedSchema, digits: &[i32], segments: usize, rows: usize, tail: usize) {
    let mut state = 7u64;
    let mut at = 20.0;
    let mut values = Vec::new();
    let mut time = 0;
    let mut batch = |index: usize, rows: usize| {
        let scale = 10f64.powi(digits[index % digits.len()]);
        let mut batch = Batch::new(Arc::clone(schema));
        for _ in 0..rows {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            at += ((state >> 33) as f64 / (1u64 << 31) as f64 - 0.5) * 0.1 + (20.0 - at) * 0.0001;
            let value = (at * scale).round() / scale;
            values.push(value);
            batch.push_row(time, &[Value::F64(value)]).unwrap();
            time += 1000;
        }
        batch
    };
    let stored: Vec<Arc<Segment>> = (0..segments)
        .map(|index| {
            let batch = batch(index, rows);
            let mut file = Vec::new();
            writer::write(&batch, (1, rows as u64), &[Hints::default()], &mut |bytes| {
                file.extend_from_slice(bytes);
                Ok(())
            })
            .unwrap();
            Arc::new(Segment::open("bench", Arc::new(file)).unwrap())
        })
        .collect();
    let last = (tail > 0).then(|| Arc::new(batch(segments, tail)));
    let snapshot = Snapshot::new(Arc::clone(schema), stored, last);
    values.sort_by(f64::total_cmp);
    print!("{name:<16} {segments} x {rows} + {tail} rows:");
    for q in [0.01, 0.5, 0.9] {
        let k = (values.len() as f64 * q) as usize;
        let ask = || snapshot.nth("value", k as u64, &Predicate::All).unwrap();
        assert_eq!(ask(), Some(Value::F64(values[k])));
        let best = (0..200)
            .map(|_| {
                let start = Instant::now();
                std::hint::black_box(ask());
                start.elapsed().as_secs_f64()
            })
            .fold(f64::INFINITY, f64::min);
        print!("  {q:.2} {:.0} us", best * 1e6);
    }
    println!();
}
