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
use crate::segment::{Segment, footer, writer};
use crate::snapshot::Snapshot;
use crate::storage::memory::MemoryStorage;
use crate::store::{Options, Store};
use crate::value::Value;

/// A file may claim more rows than anybody wants to wait for.
const MOST_ROWS: u64 = 100_000;

/// The layouts of the files that are changed.
const LAYOUTS: [Layout; 3] = [
    Layout::Rank(Dial::Fast),
    Layout::Scan,
    Layout::Small(MiniBlock::Rows128),
];
/// Rows of such a file: several blocks of every layout.
const ROWS: i64 = 3_000;

/// `data` is a segment file; or, behind the number of a [`Layout`] in [`LAYOUTS`], changes (offset u24, byte) to a good
/// file of that layout, whose checksums are put right.
pub fn segment(data: &[u8]) {
    let file = match data.split_first() {
        Some((&wish, changes)) if usize::from(wish) < LAYOUTS.len() => {
            changed_segment(usize::from(wish), changes)
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

fn changed_segment(wish: usize, changes: &[u8]) -> Vec<u8> {
    static GOOD: [OnceLock<Vec<u8>>; LAYOUTS.len()] = [const { OnceLock::new() }; LAYOUTS.len()];
    let mut file = GOOD[wish].get_or_init(|| good_segment(LAYOUTS[wish])).clone();
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

fn good_segment(layout: Layout) -> Vec<u8> {
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
    for row in 0..ROWS {
        let values = [
            Value::Text(if row < 1_700 { "motor" } else { "pump" }.into()),
            if row % 9 == 2 {
                Value::Null
            } else {
                Value::F64((row % 30) as f64 / 10.0)
            },
            Value::I64(row * row % 97),
            Value::F32(((row * 7919) as f32).sin()),
            Value::Text(["idle", "running", "fault"][crate::rows::index(row as u64 % 3)].into()),
            Value::Bytes(format!("line {row} of {:x}", row * 48_271).into_bytes()),
        ];
        batch.push_row(1_000 + row * 20 + row % 7 % 3, &values).unwrap();
    }
    let mut file = Vec::new();
    writer::write(&batch, (1, ROWS as u64), &hints, &mut |bytes| {
        file.extend_from_slice(bytes);
        Ok(())
    })
    .unwrap();
    file
}

#[cfg(test)]
mod tests {
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

    fn each_seed(target: &str, harness: fn(&[u8])) {
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
    fn segments_that_a_fuzzer_found() {
        each_seed("segment", segment);
    }

    #[test]
    fn logs_that_a_fuzzer_found() {
        each_seed("log", log);
    }
}
