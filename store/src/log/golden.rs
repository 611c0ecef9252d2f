//! Log and manifest files of this version, byte for byte: kept once, then only read.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use std::path::PathBuf;
use std::sync::Arc;

use super::frame::{self, FrameHeader, FramePart, read_payload, seal_frame, write_rows, write_source};
use super::generation::{self, GenerationHeader, file_name};
use super::manifest::{CursorEntry, Manifest, ModelEntry, SegmentEntry, SourceEntry, StreamEntry, Wishes};
use super::replay::LogReader;
use crate::batch::{Batch, BatchColumn};
use crate::codes::choose::{Dial, Layout, MiniBlock};
use crate::keep::pins::{Pin, Pins};
use crate::keep::room::ByRole;
use crate::keep::{Cause, Loss, LossKind, Rung};
use crate::schema::{ColumnId, ColumnType, Schema, TimeUnit};
use crate::storage::memory::MemoryStorage;
use crate::value::Value;
use crate::wire::{Reader, Writer};

/// The file kept under `name`; `bytes` become it if there is none.
fn golden(name: &str, bytes: &[u8]) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if !path.exists() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
    }
    std::fs::read(path).unwrap()
}

/// A schema with a column of every type.
fn schema() -> Arc<Schema> {
    let mut schema = Schema::new("time", TimeUnit::Microsecond)
        .with_key("device", ColumnType::Text)
        .unwrap();
    for ty in (1..=17).filter_map(ColumnType::from_code) {
        schema = schema.with_channel(format!("a {ty}"), ty, "unit").unwrap();
    }
    Arc::new(schema)
}

fn rows(schema: &Arc<Schema>) -> Batch {
    let mut batch = Batch::new(schema.clone());
    for row in 0..20u8 {
        let mut values = vec![Value::Text(["pump", "motor"][usize::from(row % 2)].into())];
        for spec in schema.channels() {
            values.push(match spec.ty {
                _ if row == 3 => Value::Null,
                ColumnType::Bool => Value::Bool(row % 3 == 0),
                ColumnType::F32 => Value::F32(f32::from(row) / 4.0),
                ColumnType::F64 if row == 7 => Value::F64(f64::NAN),
                ColumnType::F64 => Value::F64(f64::from(row) / 10.0),
                ColumnType::Text => Value::Text(format!("line {row}")),
                ColumnType::Bytes => Value::Bytes(vec![row; 3]),
                ColumnType::Timestamp(_) => Value::Timestamp(i64::from(row) * 1_000),
                _ => Value::I64(i64::from(row % 5)),
            });
        }
        batch.push_row(1_000_000 + i64::from(row) * 50, &values).unwrap();
    }
    batch
}

#[test]
fn log_1_0() {
    let schema = schema();
    let batch = rows(&schema);
    let header = GenerationHeader {
        generation: 3,
        salt: 0x5eed,
        continues_after: 100,
    };
    let mut bytes = header.write();
    let mut first = Writer::new();
    write_rows(1, &schema, &batch, 0..12, &mut first).unwrap();
    bytes.extend(seal_frame(&first.into_bytes(), 100, 12, 100, true, header.salt));
    let mut second = Writer::new();
    write_rows(1, &schema, &batch, 12..20, &mut second).unwrap();
    write_source("file.csv", b"line 20", &mut second);
    bytes.extend(seal_frame(&second.into_bytes(), 112, 8, 100, false, header.salt));
    bytes.extend(seal_frame(&[], 120, 0, 120, false, header.salt));
    let kept = golden("log_1_0.bin", &bytes);
    assert!(kept == bytes, "the log's format changed");

    let storage = MemoryStorage::new();
    storage.put(&file_name(3), kept);
    let mut log = LogReader::new(3, 0);
    let (mut times, mut source) = (Vec::new(), None);
    log.advance(&storage, 3, &mut |frame, payload, file, _| {
        for part in read_payload(frame, payload, file, &|_, _| false)? {
            match part {
                FramePart::Rows(part) => {
                    assert_eq!(part.columns.len(), 18);
                    times.extend(part.times);
                }
                FramePart::Source { name, position } => source = Some((name, position)),
            }
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(times, batch.times);
    assert_eq!(source, Some(("file.csv".to_owned(), b"line 20".to_vec())));
    assert_eq!((log.last, log.durable), (120, 120));
}

/// Columns that are packed as codes of a domain (with values beside them) and as multiples of a unit.
fn packed_rows() -> (Arc<Schema>, Batch) {
    let schema = Schema::new("time", TimeUnit::Nanosecond)
        .with_channel("near", ColumnType::F64, "")
        .and_then(|s| s.with_channel("widened", ColumnType::F64, ""))
        .and_then(|s| s.with_channel("few", ColumnType::F64, ""))
        .and_then(|s| s.with_channel("short", ColumnType::F32, ""))
        .and_then(|s| s.with_channel("steps", ColumnType::I64, ""))
        .unwrap();
    let mut batch = Batch::new(Arc::new(schema));
    for row in 0..96u16 {
        // Decimals after some arithmetic, through a shorter float, and few that are no decimals.
        let near = f64::from_bits((f64::from(row * 7 % 1000) / 100.0).to_bits() + u64::from(row % 3));
        #[expect(clippy::cast_possible_truncation)]
        let single = (f64::from(row * 7 % 1000) / 100.0) as f32;
        let values = [
            Value::F64(if row == 7 { f64::NAN } else { near }),
            if row == 9 {
                Value::Null
            } else {
                Value::F64(f64::from(single))
            },
            Value::F64((1.0 + f64::from(row * row % 5)).sqrt()),
            Value::F32(f32::from_bits(single.to_bits() + u32::from(row % 2))),
            Value::I64(i64::from(row * row % 7) * 1_000_003 - 5),
        ];
        // Five minutes, with gaps of some hours.
        let time = (i64::from(row) + i64::from(row / 10) * 40) * 300_000_000_000;
        batch.push_row(time, &values).unwrap();
    }
    (batch.schema().clone(), batch)
}

#[test]
fn packed_log_1_0() {
    let (schema, batch) = packed_rows();
    let mut payload = Writer::new();
    write_rows(1, &schema, &batch, 0..batch.len(), &mut payload).unwrap();
    let header = GenerationHeader {
        generation: 1,
        salt: 0x5eed,
        continues_after: 0,
    };
    let rows = u32::try_from(batch.len()).unwrap();
    let mut bytes = header.write();
    bytes.extend(seal_frame(&payload.into_bytes(), 0, rows, 0, false, header.salt));
    // How values are packed may be chosen better without the format changing: only reading is held to the file.
    let kept = golden("log_packed_1_0.bin", &bytes);
    let payload = &kept[generation::HEADER_BYTES as usize + frame::HEADER_BYTES..];
    let frame = FrameHeader::read(&kept[generation::HEADER_BYTES as usize..], header.salt).unwrap();
    assert!(frame.fits(payload, header.salt));
    let parts = read_payload(&frame, payload, "log", &|_, _| false).unwrap();
    let [FramePart::Rows(part)] = parts.as_slice() else {
        panic!("one part");
    };
    assert_eq!(part.times, batch.times);
    assert_eq!(part.columns.len(), batch.columns.len());
    for (column, (id, ty, found)) in batch.columns.iter().zip(&part.columns) {
        let keys = |column: &BatchColumn| (0..rows as usize).map(|row| column.key(row)).collect::<Vec<_>>();
        assert_eq!(keys(column), keys(found), "{id:?}, {ty}");
    }
    let encodings = encodings(payload, schema.columns().len());
    assert_eq!(encodings, [6, 5, 5, 5, 2, 6], "time, then columns");
    // Any byte changed, the checksum put right: an error, or some rows.
    for at in 0..payload.len() {
        for flip in [1, 2, 4, 8, 16, 32, 64, 128, 0xff] {
            let mut bytes = payload.to_vec();
            bytes[at] ^= flip;
            if let Ok(parts) = read_payload(&frame, &bytes, "log", &|_, _| false) {
                for part in parts {
                    let FramePart::Rows(part) = part else { continue };
                    assert_eq!(part.times.len(), batch.len());
                    assert!(part.columns.iter().all(|column| column.2.len() == batch.len()));
                }
            }
        }
        let cut = &payload[..at];
        assert!(read_payload(&frame, cut, "log", &|_, _| false).is_err());
    }
}

/// How the time and each column of the one part of a payload are packed.
fn encodings(payload: &[u8], columns: usize) -> Vec<u8> {
    let mut input = Reader::new(payload, "log", "part");
    // Kind and length of the part; stream, rows, number of columns.
    input.raw(1 + 4).unwrap();
    input.raw(4).unwrap();
    let rows = input.u32().unwrap() as usize;
    assert_eq!(usize::from(input.u16().unwrap()), columns);
    let mut out = vec![payload[input.position()]];
    super::pack::unpack_keys(ColumnType::I64, rows, &mut input).unwrap();
    for _ in 0..columns {
        input.u32().unwrap();
        let ty = ColumnType::from_code(input.u8().unwrap()).unwrap();
        let nulls = input.u8().unwrap() == 1;
        let bitmap = input.raw(if nulls { rows.div_ceil(8) } else { 0 }).unwrap();
        let missing: u32 = bitmap.iter().map(|byte| byte.count_zeros()).sum();
        out.push(payload[input.position()]);
        super::pack::unpack_keys(ty, rows - missing as usize, &mut input).unwrap();
    }
    assert_eq!(input.left(), 0);
    out
}

#[test]
fn manifest_2_0() {
    let segment = SegmentEntry {
        file: "segment-0000000001".into(),
        rows: 20,
        time_range: (-5, 1_000_950),
        sequences: (1, 20),
        bytes: 4096,
        wishes: Wishes::default(),
        pinned: true,
        rung: Rung::default(),
        tried: Rung::default(),
    };
    let mut pins = Pins::default();
    for pin in [-100..-50, 20..30] {
        pins.add(&pin.into(), &schema()).unwrap();
    }
    let keys = vec![("device".to_owned(), Value::from("pump"))];
    let pump = Pin { times: 5..7, keys };
    pins.add(&pump, &schema()).unwrap();
    let stream = StreamEntry {
        id: 1,
        name: "vibration".into(),
        schema: schema(),
        sealed: 20,
        digits: vec![(ColumnId(12), 1)],
        wishes: Wishes {
            all: Layout::Small(MiniBlock::Rows256),
            columns: vec![(ColumnId(12), Layout::Rank(Dial::Smaller))],
        },
        retention: "drop=30d/full".parse().unwrap(),
        pins,
        losses: vec![Loss {
            kind: LossKind::Dropped,
            cause: Cause::FullPinned,
            time_range: (-900, -6),
            rows: 11,
            bytes: 4096,
        }],
        segments: vec![segment],
    };
    let model = ModelEntry {
        name: "bearing".into(),
        next_version: 3,
        serving: 2,
        versions: vec![(1, 100, 0x1234_5678), (2, 90, 0x9abc_def0)],
    };
    let manifest = Manifest {
        edition: 9,
        durable: 120,
        oldest_generation: 2,
        newest_generation: 3,
        next_segment: 2,
        next_stream: 2,
        written: ByRole([20_000, 25_000, 4_000, 190, 10, 0]),
        plain_bytes: 70_000,
        budget: 64 << 20,
        streams: vec![stream],
        models: vec![model],
        sources: vec![SourceEntry {
            name: "file.csv".into(),
            position: b"line 20".to_vec(),
        }],
        cursors: vec![CursorEntry {
            name: "backup".into(),
            sequence: 17,
        }],
    };
    let kept = golden("manifest_2_0.bin", &manifest.write());
    assert!(kept == manifest.write(), "the manifest's format changed");
    assert_eq!(Manifest::read(&kept).unwrap(), manifest);
}
