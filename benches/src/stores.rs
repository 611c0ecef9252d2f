//! Whole stores: questions over several segments and a tail, and the bytes of a data set beside Parquet.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use siltstone_store::batch::{Batch, BatchColumn, ColumnData};
use siltstone_store::column::Sum;
use siltstone_store::predicate::Predicate;
use siltstone_store::schema::{ColumnType, Schema, TimeUnit};
use siltstone_store::snapshot::Snapshot;
use siltstone_store::store::{Options, Store, SyncPolicy};
use siltstone_store::value::{Value, key_of_f64, key_of_i64};

use crate::Fallible;
use crate::data::{Column, Csv, generate};
use crate::questions::Figures;
use crate::subject::{Form, Subject, Totals, middle};
use crate::table::Row;

/// Rows left in memory behind the segments.
pub const TAIL_ROWS: usize = 4096;
const TICK_US: i64 = 10_000;

/// A generated walk of decimals, in `segments` segments and a tail.
///
/// With `one_grid`, all values have two digits after the point; otherwise every second segment has three.
pub fn walk(segments: usize, segment_rows: usize, one_grid: bool) -> Column {
    let rows = segments * segment_rows + TAIL_ROWS;
    let mut column = generate("walk", rows).expect("a walk");
    if !one_grid {
        let finer = |(row, code): (usize, &u64)| {
            let fine = row / segment_rows % 2 == 1;
            if fine {
                (code * 10 + row as u64 % 7) as f64 / 1000.0
            } else {
                *code as f64 / 100.0
            }
        };
        column.floats = Some(column.codes.iter().enumerate().map(finer).collect());
    }
    let grid = if one_grid { "one grid" } else { "two grids" };
    column.name = format!("walk, {segments} segments and a tail, {grid}");
    column
}

/// A store of one channel, asked through a snapshot. Row `i` has time `i` ticks.
pub struct StoreSubject {
    _store: Store,
    snapshot: Snapshot,
    /// First row of each part.
    starts: Vec<u64>,
}

impl StoreSubject {
    /// Writes the column's doubles into a new store below `dir`; also gives the bytes of its segments.
    pub fn build(
        column: &Column,
        segment_rows: usize,
        layout: &str,
        dir: &Path,
    ) -> Fallible<(StoreSubject, u64)> {
        let options = Options {
            sync: SyncPolicy::Os,
            memory_limit: 4 << 30,
            rows_per_segment: segment_rows as u64,
            ..Options::default()
        };
        let store = Store::create(dir, options)?;
        let schema = Schema::new("t", TimeUnit::Microsecond).with_channel("v", ColumnType::F64, "")?;
        let schema = store.create_stream("s", schema)?;
        store.set_layouts("s", &layout.parse()?)?;
        let floats = column.floats.as_ref().ok_or("a column of doubles is wanted")?;
        for (index, part) in floats.chunks(segment_rows).enumerate() {
            let first = (index * segment_rows) as i64;
            let mut batch = Batch::new(Arc::clone(&schema));
            batch.times = (first..first + part.len() as i64)
                .map(|row| row * TICK_US)
                .collect();
            batch.columns[0].data = ColumnData::Keys(part.iter().map(|&value| key_of_f64(value)).collect());
            store.append("s", &batch)?;
            if part.len() == segment_rows {
                store.seal("s")?;
            }
        }
        let bytes = store.segments("s")?.iter().map(|segment| segment.bytes).sum();
        let snapshot = store.snapshot("s")?;
        let mut starts = vec![0];
        for part in 0..snapshot.part_count() {
            starts.push(starts[part] + snapshot.part_row_count(part));
        }
        Ok((
            StoreSubject {
                _store: store,
                snapshot,
                starts,
            },
            bytes,
        ))
    }

    /// Seconds of the median of all rows, asked without a window.
    pub fn median_of_all(&self, wanted: u64, budget: f64) -> f64 {
        let middle = (self.snapshot.row_count() - 1) / 2;
        let ask = || {
            key_of(
                self.snapshot
                    .nth("v", middle, &Predicate::All)
                    .unwrap()
                    .expect("rows"),
            )
        };
        assert_eq!(ask(), wanted, "median of all rows");
        crate::measure::each(budget, 100, |_| {
            std::hint::black_box(ask());
        })
    }

    /// Parts of the store: segments, and the tail if there is one.
    pub fn part_count(&self) -> usize {
        self.snapshot.part_count()
    }
}

fn within(range: &Range<u64>) -> Predicate {
    let time = |row: u64| Value::Timestamp(row as i64 * TICK_US);
    Predicate::between("t", time(range.start), time(range.end - 1))
}

fn within_all(ranges: &[Range<u64>]) -> Predicate {
    match ranges {
        [range] => within(range),
        _ => Predicate::Or(ranges.iter().map(within).collect()),
    }
}

fn key_of(value: Value) -> u64 {
    match value {
        Value::F64(value) => key_of_f64(value),
        other => panic!("{other:?} is no double"),
    }
}

impl Subject for StoreSubject {
    fn form(&self) -> Form {
        Form::Floats
    }

    fn decodes_keys(&self) -> bool {
        true
    }

    fn decode(&self, range: Range<u64>, out: &mut Vec<u64>) {
        out.clear();
        for batch in self.snapshot.scan(&["v"], &within(&range)).unwrap() {
            match &batch.unwrap().columns[0].data {
                ColumnData::Keys(keys) => out.extend_from_slice(keys),
                ColumnData::Binary(_) => unreachable!("a channel of doubles"),
            }
        }
    }

    fn get(&self, row: u64) -> u64 {
        let part = self.starts.partition_point(|&start| start <= row) - 1;
        let row = row - self.starts[part];
        key_of(self.snapshot.get(part, row, "v").unwrap())
    }

    fn count(&self, ranges: &[Range<u64>], low: u64, high: u64) -> u64 {
        let bound = |key| Value::F64(siltstone_store::value::f64_of(key));
        let values = Predicate::between("v", bound(low), bound(high));
        self.snapshot.count(&within_all(ranges).and(values)).unwrap()
    }

    fn quantile(&self, ranges: &[Range<u64>], k: u64) -> u64 {
        key_of(
            self.snapshot
                .nth("v", k, &within_all(ranges))
                .unwrap()
                .expect("rows"),
        )
    }

    fn medians(&self, ranges: &[Range<u64>]) -> Vec<u64> {
        let median = |range: &Range<u64>| self.quantile(std::slice::from_ref(range), middle(range));
        ranges.iter().map(median).collect()
    }

    fn totals(&self, range: Range<u64>) -> Totals {
        let predicate = within(&range);
        let sum = match self.snapshot.sum("v", &predicate).unwrap().expect("rows") {
            Sum::Integer(sum) => sum as f64,
            Sum::Float(sum) => sum,
        };
        let (min, max) = self.snapshot.min_max("v", &predicate).unwrap().expect("rows");
        Totals {
            sum,
            min: key_of(min),
            max: key_of(max),
        }
    }
}

/// Figures of whole stores, in the order of the table.
pub const BYTES: [(&str, &str); 6] = [
    ("rows", "rows"),
    ("csv_KB", "bytes of the CSV file, unpacked where it was read, KB"),
    (
        "segments_KB",
        "bytes of the store's segments, everything in them, KB",
    ),
    ("parquet_KB", "zstd Parquet, dictionary as by default, KB"),
    (
        "numbers_KB",
        "zstd Parquet over deltas and split bytes, no dictionary, KB",
    ),
    ("ratio", "segments beside the first Parquet"),
];

/// A data set `FILE:TIME[:KEY[+KEY...]]` as a store and as Parquet: one row of the table of bytes.
pub fn bytes(dir: &Path, spec: &str, work: &Path, explain: bool) -> Fallible<Vec<Row>> {
    let parts: Vec<&str> = spec.split(':').collect();
    let &[file, time, ..] = &parts[..] else {
        return Err(format!("{spec} is not FILE:TIME[:KEY[+KEY...]]").into());
    };
    let mut csv = Csv::read(&dir.join(file), usize::MAX)?;
    let time = csv.place(time)?;
    let keys: Vec<usize> = match parts.get(2) {
        Some(keys) => keys
            .split('+')
            .map(|key| csv.place(key))
            .collect::<Fallible<_>>()?,
        None => Vec::new(),
    };
    csv.sort(&keys, Some(time))?;
    let set = Set::new(&csv, time, &keys)?;
    let mut figures = Figures::from([("rows".to_owned(), csv.rows.len() as f64)]);
    if let Ok(meta) = std::fs::metadata(dir.join(file)) {
        figures.insert("csv_KB".into(), meta.len() as f64 / 1e3);
    }
    #[cfg(feature = "compare-parquet")]
    {
        figures.insert("parquet_KB".into(), set.parquet(false)? as f64 / 1e3);
        figures.insert("numbers_KB".into(), set.parquet(true)? as f64 / 1e3);
    }
    let mut rows = Vec::new();
    for layout in LAYOUTS {
        let path = work.join("bytes");
        let store = Store::create(
            &path,
            Options {
                sync: SyncPolicy::Os,
                ..Options::default()
            },
        )?;
        set.fill(&store, layout)?;
        let segments = store.segments("s")?;
        let size: u64 = segments.iter().map(|segment| segment.bytes).sum();
        let mut figures = figures.clone();
        figures.insert("segments_KB".into(), size as f64 / 1e3);
        if let Some(&parquet) = figures.get("parquet_KB") {
            figures.insert("ratio".into(), size as f64 / 1e3 / parquet);
        }
        if explain {
            let mut columns: BTreeMap<String, u64> = BTreeMap::new();
            for column in segments.iter().flat_map(|segment| &segment.columns) {
                let name = format!("{} {}/{}", column.name, column.domain, column.layout);
                *columns.entry(name).or_default() += column.bytes;
            }
            println!("\n{file}, {layout}");
            for (name, bytes) in columns {
                println!(
                    "  {name:<48} {:>9.3} bits a row",
                    bytes as f64 * 8.0 / csv.rows.len() as f64
                );
            }
        }
        rows.push(Row {
            name: format!("{} {layout}", file.split('.').next().unwrap_or(file)),
            ours: true,
            figures,
        });
        drop(store);
        std::fs::remove_dir_all(&path)?;
    }
    Ok(rows)
}

/// Layouts a stream can be told to prefer.
const LAYOUTS: [&str; 3] = ["rank", "rank:smaller", "small"];

/// A data set with the types of its columns; times and rows in (key, time) order.
struct Set {
    times: Vec<i64>,
    names: Vec<String>,
    types: Vec<ColumnType>,
    columns: Vec<BatchColumn>,
    key_count: usize,
}

impl Set {
    fn new(csv: &Csv, time: usize, keys: &[usize]) -> Fallible<Set> {
        let channels = (0..csv.names.len()).filter(|place| *place != time && !keys.contains(place));
        let places: Vec<usize> = keys.iter().copied().chain(channels).collect();
        let (mut types, mut columns) = (Vec::new(), Vec::new());
        for &place in &places {
            let (ty, column) = typed(csv, place);
            types.push(ty);
            columns.push(column);
        }
        Ok(Set {
            times: csv.times(time)?,
            names: places.iter().map(|&place| csv.names[place].clone()).collect(),
            types,
            columns,
            key_count: keys.len(),
        })
    }

    fn fill(&self, store: &Store, layout: &str) -> Fallible<()> {
        let mut schema = Schema::new("time", TimeUnit::Microsecond);
        for (index, (name, &ty)) in self.names.iter().zip(&self.types).enumerate() {
            schema = if index < self.key_count {
                schema.with_key(name, ty)?
            } else {
                schema.with_channel(name, ty, "")?
            };
        }
        let schema = store.create_stream("s", schema)?;
        store.set_layouts("s", &layout.parse()?)?;
        let mut start = 0;
        while start < self.times.len() {
            let end = (start + 65_536).min(self.times.len());
            let mut batch = Batch::new(Arc::clone(&schema));
            batch.times = self.times[start..end].to_vec();
            for (to, from) in batch.columns.iter_mut().zip(&self.columns) {
                (start..end).for_each(|row| to.push_from(from, row));
            }
            store.append("s", &batch)?;
            start = end;
        }
        store.seal("s")?;
        Ok(())
    }

    #[cfg(feature = "compare-parquet")]
    fn parquet(&self, for_numbers: bool) -> Fallible<usize> {
        use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
        let mut arrays: Vec<(String, ArrayRef)> =
            vec![("time".into(), Arc::new(Int64Array::from(self.times.clone())))];
        for ((name, ty), column) in self.names.iter().zip(&self.types).zip(&self.columns) {
            let rows = 0..self.times.len();
            let key = |row| column.key(row);
            let array: ArrayRef = match ty {
                ColumnType::I64 => Arc::new(Int64Array::from_iter(
                    rows.map(|row| key(row).map(siltstone_store::value::i64_of)),
                )),
                ColumnType::F64 => Arc::new(Float64Array::from_iter(
                    rows.map(|row| key(row).map(siltstone_store::value::f64_of)),
                )),
                _ => Arc::new(StringArray::from_iter(rows.map(|row| {
                    column
                        .bytes(row)
                        .map(|text| String::from_utf8_lossy(text).into_owned())
                }))),
            };
            arrays.push((name.clone(), array));
        }
        crate::rivals::parquet::size_of(&RecordBatch::try_from_iter(arrays)?, for_numbers)
    }
}

/// Integers if all cells are, else doubles, else text; an empty cell is null.
fn typed(csv: &Csv, place: usize) -> (ColumnType, BatchColumn) {
    let cells = || csv.rows.iter().map(|row| row[place].as_str());
    let missing = |cell: &str| matches!(cell, "" | "NA");
    let all = |parses: fn(&str) -> bool| cells().all(|cell| missing(cell) || parses(cell));
    let ty = if all(|cell| cell.parse::<i64>().is_ok() && (cell == "0" || !cell.starts_with('0'))) {
        ColumnType::I64
    } else if all(|cell| cell.parse::<f64>().is_ok()) {
        ColumnType::F64
    } else {
        ColumnType::Text
    };
    let mut column = BatchColumn::new(ty);
    for cell in cells() {
        match ty {
            _ if missing(cell) => column.push_null(),
            ColumnType::I64 => column.push_key(key_of_i64(cell.parse().unwrap_or_default())),
            ColumnType::F64 => column.push_key(key_of_f64(cell.parse().unwrap_or_default())),
            _ => column.push_bytes(cell.as_bytes()),
        }
    }
    (ty, column)
}
