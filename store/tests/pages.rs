//! How much of a segment is read for one value: the footer when it is opened, and then a few pages, never a section.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use std::sync::Arc;

use siltstone_store::batch::{Batch, BatchColumn};
use siltstone_store::codes::choose::Layout;
use siltstone_store::column::Hints;
use siltstone_store::schema::{ColumnType, Schema, TimeUnit};
use siltstone_store::section::PAGE_BYTES;
use siltstone_store::segment::{Segment, writer};
use siltstone_store::value::Value;

/// Enough that each section of codes has many pages.
const ROWS: i64 = 600_000;

fn next(state: &mut u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// Columns of the kinds that have different parts beside their codes.
fn batch() -> Batch {
    let schema = Schema::new("time", TimeUnit::Millisecond)
        .with_channel("noise", ColumnType::I64, "")
        .and_then(|s| s.with_channel("walk", ColumnType::F64, ""))
        .and_then(|s| s.with_channel("exceptions", ColumnType::F64, ""))
        .and_then(|s| s.with_channel("nulls", ColumnType::I64, ""))
        .and_then(|s| s.with_channel("few", ColumnType::F64, ""))
        .and_then(|s| s.with_channel("word", ColumnType::Text, ""))
        .unwrap();
    let mut batch = Batch::new(Arc::new(schema));
    let mut state = 1;
    let mut walk = 0i64;
    let few: Vec<f64> = (0..20_000).map(|i| f64::sqrt(f64::from(i))).collect();
    for row in 0..ROWS {
        let noise = next(&mut state);
        walk += (noise % 41) as i64 - 20;
        let exception = if noise % 50 == 0 {
            walk as f64 / 1e2 + 1e-9
        } else {
            walk as f64 / 1e2
        };
        batch
            .push_row(
                row * 1000 + (noise % 500) as i64,
                &[
                    Value::I64((noise % 60_000) as i64),
                    Value::F64(walk as f64 / 1e2),
                    Value::F64(exception),
                    if noise % 3 == 0 {
                        Value::Null
                    } else {
                        Value::I64(walk)
                    },
                    Value::F64(few[noise as usize % few.len()]),
                    Value::Text(format!("word {}", noise % 1_000)),
                ],
            )
            .unwrap();
    }
    batch
}

#[test]
fn one_value_costs_a_few_pages() {
    let batch = batch();
    for layout in Layout::ALL {
        let hints = vec![
            Hints {
                layout,
                ..Hints::default()
            };
            batch.schema().columns().len()
        ];
        let mut file = Vec::new();
        writer::write(&batch, (1, ROWS as u64), &hints, &mut |bytes| {
            file.extend_from_slice(bytes);
            Ok(())
        })
        .unwrap();
        let file = Arc::new(file);
        let segment = Segment::open("s", file.clone()).unwrap();
        let opened = segment.pages_touched();
        assert!(opened <= 2, "{layout}: {opened} pages to open a segment");
        for (position, spec) in batch.schema().columns().iter().enumerate() {
            let segment = Segment::open("s", file.clone()).unwrap();
            let column = segment.column(position).unwrap().unwrap();
            let row = ROWS as u64 / 3 * 2;
            let mut out = BatchColumn::new(spec.ty);
            column.decode(row..row + 1, &mut out).unwrap();
            assert_eq!(
                out.value(spec.ty, 0),
                batch.columns[position].value(spec.ty, row as usize)
            );
            let touched = segment.pages_touched() - opened;
            if matches!(layout, Layout::Fm(_)) && spec.ty == ColumnType::Text {
                // An fm gives a string byte by byte, each from another place.
                continue;
            }
            // A wavelet matrix has a header and a block a level; everything else is found by a directory.
            let is_level = |(name, _): &&(String, u64)| name.contains("level");
            let levels = column.parts().iter().filter(is_level).count() as u64;
            let bytes: u64 = segment
                .section_ranges(spec.id.0)
                .map(|range| range.end - range.start)
                .sum();
            assert!(
                touched <= 6 + 2 * levels,
                "{layout}, {}: {touched} of {} pages, {levels} levels",
                spec.name,
                bytes.div_ceil(PAGE_BYTES)
            );
            let before = segment.pages_touched();
            let mut time = [0];
            segment.times().decode(row..row + 1, &mut time).unwrap();
            assert_eq!(time[0], batch.times[row as usize]);
            assert!(segment.pages_touched() - before <= 3);
        }
    }
}
