//! Every byte of a small segment file flipped, and the file cut at every byte: an error or the right answer, and never
//! a panic; also when whoever damaged it recomputed the checksums.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests")]

use std::sync::Arc;

use siltstone_store::Result;
use siltstone_store::batch::Batch;
use siltstone_store::predicate::Predicate;
use siltstone_store::schema::{ColumnType, Schema, TimeUnit};
use siltstone_store::section::PAGE_BYTES;
use siltstone_store::segment::{Segment, footer, writer};
use siltstone_store::snapshot::Snapshot;
use siltstone_store::value::Value;

/// 150 rows of two devices with a column of every form: decimals with exceptions, integers, floats, booleans, few and
/// many strings, nulls.
fn small_segment() -> Vec<u8> {
    let schema = Schema::new("ts", TimeUnit::Millisecond)
        .with_key("device", ColumnType::Text)
        .and_then(|s| s.with_channel("temp", ColumnType::F64, "C"))
        .and_then(|s| s.with_channel("count", ColumnType::I32, ""))
        .and_then(|s| s.with_channel("noise", ColumnType::F64, ""))
        .and_then(|s| s.with_channel("on", ColumnType::Bool, ""))
        .and_then(|s| s.with_channel("state", ColumnType::Text, ""))
        .and_then(|s| s.with_channel("note", ColumnType::Bytes, ""))
        .unwrap();
    let mut batch = Batch::new(Arc::new(schema));
    let mut random = 12_345u64;
    for row in 0..150i64 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let device = if row < 90 { "motor" } else { "pump" };
        let temp = match row {
            7 => f64::NAN,
            8 => -0.0,
            9 => 1.0 / 3.0,
            _ => f64::from((row % 40) as i32) / 100.0 + 20.0,
        };
        let values = [
            Value::Text(device.into()),
            if row % 11 == 3 {
                Value::Null
            } else {
                Value::F64(temp)
            },
            Value::I64(row * row % 97),
            Value::F64(f64::from_bits(random >> 12 | 1023 << 52)),
            Value::Bool(row % 7 == 0),
            Value::Text(["idle", "running", "fault"][(row % 3) as usize].into()),
            Value::Bytes(format!("line {row} of {} by {:x}", random % 1000, random >> 40).into_bytes()),
        ];
        batch.push_row(1_000 + row * 20 + (row % 3), &values).unwrap();
    }
    let mut file = Vec::new();
    writer::write(&batch, (1, 150), &[], &mut |bytes| {
        file.extend_from_slice(bytes);
        Ok(())
    })
    .unwrap();
    file
}

fn answers(file: Vec<u8>) -> Result<Vec<String>> {
    let segment = Arc::new(Segment::open("small", Arc::new(file))?);
    let schema = Arc::new(segment.schema().clone());
    let snapshot = Snapshot::new(schema, vec![segment], None);
    let mut out = vec![format!("{} {:?}", snapshot.row_count(), snapshot.time_range())];
    let some = Predicate::gt("count", 20i64).and(Predicate::eq("device", "motor"));
    for predicate in [
        Predicate::All,
        some,
        Predicate::contains("note", "of 1").or(Predicate::is_null("temp")),
        Predicate::ge("ts", Value::Timestamp(2_500)).and(Predicate::eq("state", "fault")),
    ] {
        out.push(format!("{}", snapshot.count(&predicate)?));
        for column in ["temp", "count", "noise", "on", "ts"] {
            out.push(format!(
                "{:?} {:?}",
                snapshot.sum(column, &predicate)?,
                snapshot.min_max(column, &predicate)?
            ));
            out.push(format!("{:?}", snapshot.quantile(column, 0.4, &predicate)?));
        }
        for batch in snapshot.scan(
            &["device", "temp", "count", "noise", "on", "state", "note"],
            &predicate,
        )? {
            out.push(format!("{:?}", batch?));
        }
    }
    Ok(out)
}

/// Puts checksums right after damage, as someone would who wants the damage to be believed.
fn reseal(file: &[u8], covered: usize) -> Option<Vec<u8>> {
    let (footer, _) = footer::read("small", file).ok()?;
    let crcs: Vec<u32> = file[..covered]
        .chunks(PAGE_BYTES as usize)
        .map(crc32fast::hash)
        .collect();
    let mut out = file[..covered].to_vec();
    out.extend_from_slice(&footer::write(&footer, &crcs));
    Some(out)
}

#[test]
fn flipped_bytes_give_an_error_or_the_right_answer() {
    let file = small_segment();
    let right = answers(file.clone()).unwrap();
    let mut errors = 0;
    for at in 0..file.len() {
        let mut damaged = file.clone();
        damaged[at] ^= 1 << (at % 8);
        match answers(damaged) {
            Ok(found) => assert_eq!(found, right, "byte {at}"),
            Err(error) => {
                assert!(error.to_string().contains("small"), "byte {at}: {error}");
                errors += 1;
            }
        }
    }
    assert!(
        errors > file.len() / 2,
        "{errors} of {} flips were noticed",
        file.len()
    );
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let file = small_segment();
    for len in 0..file.len() {
        assert!(answers(file[..len].to_vec()).is_err(), "cut at byte {len}");
    }
}

#[test]
fn damage_behind_right_checksums_never_panics() {
    let file = small_segment();
    let (footer, _) = footer::read("small", &file).unwrap();
    let covered = footer.covered as usize;
    // Every codec flips all its bytes in its own tests; here a stride keeps the whole path to seconds.
    for at in (0..covered).step_by(13) {
        let mut damaged = file.clone();
        damaged[at] ^= [0x01, 0x80, 0xff][at % 3];
        if let Some(believable) = reseal(&damaged, covered) {
            // Any answer will do, as long as there is one.
            let _ = answers(believable);
        }
    }
}
