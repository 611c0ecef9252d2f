//! The file of a downsampled segment: frozen byte for byte, and damaged in every way that its checksums would hide.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests")]

use std::sync::Arc;

use siltstone_store::Result;
use siltstone_store::batch::Batch;
use siltstone_store::column::Hints;
use siltstone_store::predicate::Predicate;
use siltstone_store::schema::{ColumnType, Schema, SharedSchema, TimeUnit};
use siltstone_store::section::PAGE_BYTES;
use siltstone_store::segment::downsample::downsample;
use siltstone_store::segment::{Segment, footer, writer};
use siltstone_store::snapshot::Snapshot;
use siltstone_store::store::{Layout, MiniBlock};
use siltstone_store::value::Value;

fn schema() -> SharedSchema {
    let schema = Schema::new("ts", TimeUnit::Second)
        .with_key("device", ColumnType::Text)
        .and_then(|s| s.with_channel("temp", ColumnType::F64, "C"))
        .and_then(|s| s.with_channel("hash", ColumnType::U64, ""))
        .and_then(|s| s.with_channel("on", ColumnType::Bool, ""))
        .and_then(|s| s.with_channel("state", ColumnType::Text, ""))
        .unwrap();
    Arc::new(schema)
}

fn segment(name: &str, rows: std::ops::Range<i64>) -> Arc<Segment> {
    let mut batch = Batch::new(schema());
    for device in ["motor", "pump"] {
        for i in rows.clone() {
            let temp = match i % 17 {
                3 => Value::Null,
                5 => Value::F64(f64::NAN),
                n => Value::F64((2_000 + n * 13) as f64 / 100.0),
            };
            let row = [
                Value::Text(device.into()),
                temp,
                Value::U64(u64::MAX / 3 * (i % 3) as u64),
                Value::Bool(i % 7 == 0),
                if i % 5 == 4 {
                    Value::Null
                } else {
                    Value::Text(format!("s{}", i / 6 % 4))
                },
            ];
            batch.push_row(i * 3, &row).unwrap();
        }
    }
    let mut file = Vec::new();
    writer::write(&batch, (1, batch.len() as u64), &[], &mut |bytes| {
        file.extend_from_slice(bytes);
        Ok(())
    })
    .unwrap();
    Arc::new(Segment::open(name, Arc::new(file)).unwrap())
}

fn buckets(sources: &[Arc<Segment>], every: i64) -> Vec<u8> {
    let hints = Hints {
        layout: Layout::Small(MiniBlock::Rows256),
        ..Hints::default()
    };
    let mut file = Vec::new();
    downsample(sources, &schema(), every, &hints, &mut |bytes| {
        file.extend_from_slice(bytes);
        Ok(())
    })
    .unwrap();
    file
}

/// Buckets of buckets, of a file that may be damaged.
fn again(file: &[u8]) -> Result<()> {
    let segment = Arc::new(Segment::open("small", Arc::new(file.to_vec()))?);
    downsample(&[segment], &schema(), 60, &Hints::default(), &mut |_| Ok(()))?;
    Ok(())
}

fn ask(file: Vec<u8>) -> Result<Vec<String>> {
    let segment = Arc::new(Segment::open("small", Arc::new(file))?);
    segment.stat()?;
    let snapshot = Snapshot::new(schema(), vec![segment], None);
    let mut out = Vec::new();
    for predicate in [
        Predicate::All,
        Predicate::gt("temp", 20.5).and(Predicate::lt("ts", Value::Timestamp(200))),
        Predicate::eq("state", "s1").or(Predicate::is_null("temp")),
    ] {
        out.push(format!("{}", snapshot.count(&predicate)?));
        out.push(format!("{:?}", snapshot.count_bounds(&predicate)?));
        for column in ["temp", "hash", "on"] {
            out.push(format!("{:?}", snapshot.count_values(column, &predicate)?));
            out.push(format!("{:?}", snapshot.sum(column, &predicate)?));
            out.push(format!("{:?}", snapshot.moments(column, &predicate)?));
            out.push(format!("{:?}", snapshot.min_max(column, &predicate)?));
            out.push(format!("{:?}", snapshot.quantile(column, 0.4, &predicate)?));
            out.push(format!("{:?}", snapshot.sum_bounds(column, &predicate)?));
            out.push(format!("{:?}", snapshot.avg_bounds(column, &predicate)?));
        }
        for batch in snapshot.scan(&["device", "temp", "hash", "on", "state"], &predicate)? {
            out.push(format!("{:?}", batch?));
        }
    }
    let bounds = snapshot.quantile_bounds("temp", 0.4, &Predicate::All)?;
    out.push(format!("{bounds:?}"));
    Ok(out)
}

#[test]
fn golden_file() {
    // The second time, buckets are merged with rows that come late.
    let early = Arc::new(Segment::open("early", Arc::new(buckets(&[segment("a", 0..100)], 15))).unwrap());
    let file = buckets(&[early, segment("b", 40..130)], 30);
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/segment_downsampled.bin");
    if !path.exists() {
        std::fs::write(&path, &file).unwrap();
    }
    assert!(file == std::fs::read(&path).unwrap(), "the format changed");
    ask(file).unwrap();
}

#[test]
fn buckets_of_buckets_say_the_same() {
    let whole = segment("a", 0..400);
    let raw = Snapshot::new(schema(), vec![whole.clone()], None);
    let fine = Arc::new(Segment::open("fine", Arc::new(buckets(&[whole], 30))).unwrap());
    let coarse =
        Arc::new(Segment::open("coarse", Arc::new(buckets(std::slice::from_ref(&fine), 120))).unwrap());
    assert!(coarse.rows() * 3 < fine.rows());
    let aged = Snapshot::new(schema(), vec![coarse], None);
    for predicate in [Predicate::All, Predicate::lt("ts", Value::Timestamp(600))] {
        assert_eq!(aged.count(&predicate).unwrap(), raw.count(&predicate).unwrap());
        for column in ["temp", "hash", "on"] {
            assert_eq!(
                aged.min_max(column, &predicate)
                    .map(|found| format!("{found:?}"))
                    .unwrap(),
                raw.min_max(column, &predicate)
                    .map(|found| format!("{found:?}"))
                    .unwrap()
            );
            for q in [0.0, 0.1, 0.5, 0.75, 1.0] {
                let truth = match raw.quantile(column, q, &predicate).unwrap().unwrap() {
                    Value::F64(v) => v,
                    Value::U64(v) => v as f64,
                    Value::Bool(v) => f64::from(u8::from(v)),
                    other => panic!("{other:?}"),
                };
                let found = aged.quantile_bounds(column, q, &predicate).unwrap().unwrap();
                // NaN is the largest of all.
                assert!(
                    truth.is_nan() || found.low <= truth && (truth <= found.high || found.high.is_nan()),
                    "{column} {q}: {truth} in {found:?}"
                );
            }
        }
        assert_eq!(
            aged.sum("hash", &predicate).unwrap(),
            raw.sum("hash", &predicate).unwrap()
        );
    }
}

#[test]
fn damage_behind_right_checksums_never_panics() {
    let file = buckets(&[segment("a", 0..60)], 30);
    let (footer, _) = footer::read("small", &file).unwrap();
    let covered = footer.covered as usize;
    for at in (0..covered).step_by(53) {
        let mut damaged = file[..covered].to_vec();
        damaged[at] ^= [0x01, 0x80, 0xff][at % 3];
        let crcs: Vec<u32> = damaged.chunks(PAGE_BYTES as usize).map(crc32fast::hash).collect();
        damaged.extend_from_slice(&footer::write(&footer, &crcs));
        // Any answer will do, as long as there is one.
        let _ = again(&damaged);
        let _ = ask(damaged);
    }
    // The directory once more, every byte of it.
    let directory = footer
        .sections
        .iter()
        .find(|section| section.column == u32::MAX)
        .unwrap();
    for at in directory.range.start as usize..directory.range.end as usize {
        let mut damaged = file[..covered].to_vec();
        damaged[at] ^= [0x01, 0x80, 0xff, 0x02, 0x10][at % 5];
        let crcs: Vec<u32> = damaged.chunks(PAGE_BYTES as usize).map(crc32fast::hash).collect();
        damaged.extend_from_slice(&footer::write(&footer, &crcs));
        let _ = again(&damaged);
        let _ = ask(damaged);
    }
}
