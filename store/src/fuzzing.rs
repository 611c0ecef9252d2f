//! What the fuzz targets run: any bytes as a segment, a log or a manifest give an answer or an error.

#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::{Arc, OnceLock};

use crate::batch::Batch;
use crate::codes::choose::{Dial, Layout, MiniBlock};
use crate::column::Hints;
use crate::log::frame::seal_frame;
use crate::log::generation::{self, GenerationHeader};
use crate::log::manifest::{FILE, Manifest};
use crate::predicate::Predicate;
use crate::schema::{ColumnType, Schema, TimeUnit};
use crate::section::PAGE_BYTES;
use crate::segment::downsample::downsample;
use crate::segment::writer::Sink;
use crate::segment::{Segment, footer, writer};
use crate::snapshot::Snapshot;
use crate::storage::memory::MemoryStorage;
use crate::store::{Options, Store};
use crate::value::Value;

pub mod text;

/// A file may claim more rows than anybody wants to wait for.
const MOST_ROWS: u64 = 100_000;

/// The layouts of the files that are changed.
const LAYOUTS: [Layout; 3] = [
    Layout::Rank(Dial::Fast),
    Layout::Scan,
    Layout::Small(MiniBlock::Rows128),
];
/// Rows of the first file of each layout: several blocks.
const ROWS: i64 = 3_000;
/// Rows of the second, whose notes are log lines: soon asked everything.
const FEW_ROWS: i64 = 300;
/// Files that are changed: two of each layout, and the first one downsampled.
const FILES: usize = 2 * LAYOUTS.len() + 1;

/// `data` is a segment file; or, behind the number of one of [`FILES`], changes (offset u24, byte) to that good file, whose
/// checksums are put right.
pub fn segment(data: &[u8]) {
    let file = match data.split_first() {
        Some((&number, changes)) if usize::from(number) < FILES => {
            changed_segment(usize::from(number), changes)
        }
        _ => data.to_vec(),
    };
    let Ok(segment) = Segment::open("fuzz", Arc::new(file)) else {
        return;
    };
    segment.scrub();
    let _ = segment.stat();
    let schema = Arc::new(segment.schema().clone());
    ask(&Snapshot::new(schema, vec![Arc::new(segment)], None));
}

/// `data` is a log file (0), the payload of a frame (1), or a manifest (any other first byte).
pub fn log(data: &[u8]) {
    let Some((role, data)) = data.split_first() else {
        return;
    };
    let storage = MemoryStorage::new();
    let store = Store::create_in(Arc::new(storage.clone()), Options::default()).unwrap();
    store.create_stream("s", schema()).unwrap();
    drop(store);
    let header = GenerationHeader {
        generation: 1,
        salt: 7,
        continues_after: 0,
    };
    match role {
        0 => storage.put(&generation::file_name(1), data.to_vec()),
        1 => {
            let rows = u32::from(data.first().copied().unwrap_or(0));
            let mut bytes = header.write();
            bytes.extend_from_slice(&seal_frame(
                data.get(1..).unwrap_or_default(),
                0,
                rows,
                0,
                false,
                7,
            ));
            storage.put(&generation::file_name(1), bytes);
        }
        _ => {
            storage.put(FILE, data.to_vec());
            if let Ok(manifest) = Manifest::read(data) {
                assert_eq!(Manifest::read(&manifest.write()).unwrap(), manifest);
            }
        }
    }
    if let Ok(store) = Store::open_read_in(Arc::new(storage.clone())) {
        let _ = store.verify();
        for stream in store.streams() {
            if let Ok(snapshot) = store.snapshot(&stream) {
                ask(&snapshot);
            }
        }
    }
    if let Ok(store) = Store::open_in(Arc::new(storage), Options::default()) {
        let _ = store.seal("s");
        if let Ok(snapshot) = store.snapshot("s") {
            ask(&snapshot);
        }
    }
}

fn ask(snapshot: &Snapshot) {
    if snapshot.row_count() > MOST_ROWS {
        return;
    }
    let names: Vec<&str> = snapshot
        .schema()
        .columns()
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    let bucketed = snapshot.row_count() != snapshot.count(&Predicate::All).unwrap_or(0);
    let some = Predicate::gt(snapshot.schema().time_name(), Value::Timestamp(1_500));
    for predicate in [Predicate::All, some] {
        let _ = snapshot.count(&predicate);
        for name in &names {
            let _ = snapshot.sum(name, &predicate);
            let _ = snapshot.moments(name, &predicate);
            let _ = snapshot.min_max(name, &predicate);
            let _ = snapshot.nth(name, 3, &predicate);
            let _ = snapshot.quantile(name, 0.5, &predicate);
            let low = Predicate::lt(*name, Value::F64(1.5));
            if bucketed {
                let _ = snapshot.sum_bounds(name, &low);
                let _ = snapshot.quantile_bounds(name, 0.5, &predicate);
            }
            let _ = snapshot.count(&low.and(predicate.clone()));
            let _ = snapshot.count(&Predicate::contains(*name, "a").and(predicate.clone()));
        }
        if let Ok(batches) = snapshot.scan(&names, &predicate) {
            // Each batch stands for itself; after an error there is nothing more to ask.
            for batch in batches {
                if batch.is_err() {
                    break;
                }
            }
        }
    }
}

fn schema() -> Schema {
    Schema::new("time", TimeUnit::Millisecond)
        .with_key("device", ColumnType::Text)
        .and_then(|s| s.with_channel("temperature", ColumnType::F64, ""))
        .and_then(|s| s.with_channel("count", ColumnType::I16, ""))
        .and_then(|s| s.with_channel("noise", ColumnType::F32, ""))
        .and_then(|s| s.with_channel("state", ColumnType::Text, ""))
        .and_then(|s| s.with_channel("note", ColumnType::Bytes, ""))
        .unwrap()
}

fn changed_segment(number: usize, changes: &[u8]) -> Vec<u8> {
    static GOOD: [OnceLock<Vec<u8>>; FILES] = [const { OnceLock::new() }; FILES];
    let mut file = GOOD[number].get_or_init(|| good_segment(number)).clone();
    let Ok((footer, _)) = footer::read("fuzz", &file) else {
        return file;
    };
    let covered = crate::rows::index(footer.covered);
    for change in changes.chunks_exact(4) {
        let at = u32::from_le_bytes([change[0], change[1], change[2], 0]);
        file[crate::rows::index(u64::from(at)) % covered] = change[3];
    }
    file.truncate(covered);
    let crcs: Vec<u32> = file
        .chunks(crate::rows::index(PAGE_BYTES))
        .map(crc32fast::hash)
        .collect();
    file.extend_from_slice(&footer::write(&footer, &crcs));
    file
}

fn good_segment(number: usize) -> Vec<u8> {
    let mut file = Vec::new();
    let mut sink = |bytes: &[u8]| {
        file.extend_from_slice(bytes);
        Ok(())
    };
    match LAYOUTS.get(number % LAYOUTS.len()) {
        Some(&layout) if number < LAYOUTS.len() => write(layout, ROWS, false, &mut sink),
        Some(&layout) if number < FILES - 1 => write(layout, FEW_ROWS, true, &mut sink),
        _ => {
            let raw = Segment::open("fuzz", Arc::new(good_segment(0))).unwrap();
            let schema = Arc::new(raw.schema().clone());
            downsample(&[Arc::new(raw)], &schema, 1_000, &Hints::default(), &mut sink).unwrap();
        }
    }
    file
}

fn write(layout: Layout, rows: i64, lines: bool, sink: Sink<'_>) {
    let schema = schema();
    let hints: Vec<Hints> = schema
        .columns()
        .iter()
        .map(|_| Hints {
            layout,
            ..Hints::default()
        })
        .collect();
    let mut batch = Batch::new(Arc::new(schema));
    for row in 0..rows {
        let id = row * 48_271 % 65_537;
        let note = match (lines, row % 4) {
            (false, _) => format!("line {row} of {:x}", row * 48_271),
            (true, 0) => format!("valve {id} opened at {}.{} bar", row / 9, row % 10),
            (true, 1) => format!("10.0.{}.{} GET /state/{id:x} took {row} ms", row % 7, row % 250),
            (true, 2) => format!("2024-05-{:02} {:02}:00 ok", 1 + row % 28, row % 24),
            (true, _) => format!("restart of unit-{}, reason={id}", row % 5),
        };
        let values = [
            Value::Text(if row * 30 < rows * 17 { "motor" } else { "pump" }.into()),
            if row % 9 == 2 {
                Value::Null
            } else {
                Value::F64((row % 30) as f64 / 10.0)
            },
            Value::I64(row * row % 97),
            Value::F32(((row * 7919) as f32).sin()),
            Value::Text(["idle", "running", "fault"][crate::rows::index(row as u64 % 3)].into()),
            Value::Bytes(note.into_bytes()),
        ];
        batch.push_row(1_000 + row * 20 + row % 7 % 3, &values).unwrap();
    }
    writer::write(&batch, (1, rows.unsigned_abs()), &hints, sink).unwrap();
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn any_bytes_are_answered_or_refused(data in proptest::collection::vec(any::<u8>(), 0..60), role in 0u8..4) {
            let mut input = vec![role];
            input.extend_from_slice(&data);
            log(&input);
            segment(&input);
        }
    }

    pub(super) fn each_seed(target: &str, harness: fn(&[u8])) {
        let seeds = format!("{}/../fuzz/seeds/{target}", env!("CARGO_MANIFEST_DIR"));
        let mut run = 0;
        for entry in std::fs::read_dir(&seeds).unwrap() {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            harness(&std::fs::read(path).unwrap());
            run += 1;
        }
        assert!(run > 0, "{seeds} is empty");
    }

    #[test]
    fn every_good_file_opens_and_answers() {
        for number in 0..FILES {
            let segment = Segment::open("good", Arc::new(good_segment(number))).unwrap();
            let bucketed = segment.buckets().is_some();
            assert_eq!(bucketed, number == FILES - 1);
            let schema = Arc::new(segment.schema().clone());
            let snapshot = Snapshot::new(schema, vec![Arc::new(segment)], None);
            let rows = if (LAYOUTS.len()..FILES - 1).contains(&number) {
                FEW_ROWS
            } else {
                ROWS
            };
            assert_eq!(snapshot.count(&Predicate::All).unwrap(), rows.unsigned_abs());
            ask(&snapshot);
        }
    }

    #[test]
    fn segments_that_a_fuzzer_found() {
        each_seed("segment", segment);
    }

    #[test]
    fn logs_that_a_fuzzer_found() {
        each_seed("log", log);
    }
}
