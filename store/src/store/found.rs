//! What segments say of themselves where no manifest counts them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::open::is_segment;
use super::repair::{Lost, Repaired};
use crate::error::Result;
use crate::keep::Rung;
use crate::log::generation;
use crate::log::manifest::{Manifest, SegmentEntry, StreamEntry};
use crate::rows::RowRanges;
use crate::schema::{ColumnSpec, Schema, SharedSchema};
use crate::segment::Segment;
use crate::segment::buckets::is_companion;
use crate::storage::Storage;

/// What the segments in a directory say of themselves, where no manifest does.
pub(super) fn found_segments(from: &dyn Storage, report: &mut Repaired) -> Manifest {
    let mut shapes: BTreeMap<String, (SharedSchema, Vec<SegmentEntry>)> = BTreeMap::new();
    let mut standing: BTreeMap<String, Standing> = BTreeMap::new();
    let entries = from.list("").unwrap_or_default();
    for entry in entries
        .iter()
        .filter(|entry| is_segment(&entry.name) && !entry.name.ends_with(".new"))
    {
        let opened = from
            .map(&entry.name)
            .and_then(|file| Segment::open(&entry.name, file));
        let segment = match opened {
            Ok(segment) => segment,
            Err(error) => {
                report.lost.push(Lost {
                    file: entry.name.clone(),
                    stream: "?".to_owned(),
                    column: None,
                    rows: 0..0,
                    reason: error.to_string(),
                });
                report.damage.push(error);
                continue;
            }
        };
        let info = segment.info();
        let schema = match own_schema(&segment) {
            Ok(schema) => schema,
            Err(error) => {
                report.damage.push(error);
                continue;
            }
        };
        standing.insert(entry.name.clone(), standing_of(&segment));
        let rung = match segment.buckets() {
            Some(_) => Rung::Downsampled,
            None => Rung::default(),
        };
        let (_, segments) = shapes
            .entry(shape_of(&schema))
            .or_insert_with(|| (Arc::new(schema), Vec::new()));
        segments.push(SegmentEntry {
            file: entry.name.clone(),
            rows: info.rows,
            time_range: info.time_range,
            sequences: info.sequences,
            bytes: info.bytes,
            wishes: Default::default(),
            pinned: false,
            rung,
            tried: rung,
        });
    }
    for (generation, _) in generation::list(from).unwrap_or_default() {
        report.lost.push(Lost {
            file: generation::file_name(generation),
            stream: "?".to_owned(),
            column: None,
            rows: 0..0,
            reason: "without a manifest nobody knows the shape of its rows".to_owned(),
        });
    }
    let mut manifest = Manifest {
        // Without shapes the log's rows cannot be read.
        oldest_generation: u64::MAX,
        ..Manifest::default()
    };
    for (number, (schema, mut segments)) in (1..).zip(shapes.into_values()) {
        segments.sort_by_key(|segment| (segment.sequences, segment.rows));
        without_merged(&mut segments, &standing);
        manifest.streams.push(StreamEntry {
            id: number,
            name: format!("recovered_{number}"),
            schema,
            sealed: u64::MAX,
            digits: Vec::new(),
            wishes: Default::default(),
            retention: Default::default(),
            pins: Default::default(),
            losses: Vec::new(),
            segments,
        });
    }
    manifest
}

/// Streams are told apart by what their columns are called and hold.
fn shape_of(schema: &Schema) -> String {
    let columns = schema.columns().iter();
    let columns: Vec<String> = columns
        .map(|c| format!("{} {} {}", c.id.0, c.name, c.ty))
        .collect();
    format!("{} {}", schema.time_name(), columns.join("\n"))
}

/// The columns that a stream has of those of a segment.
fn own_schema(segment: &Segment) -> Result<Schema> {
    let schema = segment.schema();
    if segment.buckets().is_none() {
        return Ok(schema.clone());
    }
    let own: Vec<ColumnSpec> = schema
        .columns()
        .iter()
        .filter(|spec| !is_companion(spec.id))
        .cloned()
        .collect();
    let next = own
        .iter()
        .map(|spec| spec.id.0)
        .max()
        .unwrap_or(0)
        .saturating_add(1);
    let time_name = schema.time_name().to_owned();
    Schema::from_parts(time_name, schema.time_unit(), schema.keys().len(), own, next)
}

/// How many rows a segment stands for, and from when to when they may be.
type Standing = (u64, (i64, i64));

fn standing_of(segment: &Segment) -> Standing {
    let info = segment.info();
    let Some(buckets) = segment.buckets() else {
        return (info.rows, info.time_range);
    };
    let all = RowRanges::single(0..info.rows);
    let end = info.time_range.1.saturating_add(buckets.every - 1);
    (segment.weight(&all).unwrap_or(0), (info.time_range.0, end))
}

/// Drops segments whose rows are all in a merged one too: a crash may leave both.
fn without_merged(segments: &mut Vec<SegmentEntry>, standing: &BTreeMap<String, Standing>) {
    let all = segments.clone();
    let of = |entry: &SegmentEntry| {
        let plain = (entry.rows, entry.time_range);
        standing.get(&entry.file).copied().unwrap_or(plain)
    };
    let merged_into = |outer: &SegmentEntry| -> Vec<String> {
        let (rows, times) = of(outer);
        let inside = all.iter().filter(|segment| {
            let (_, own) = of(segment);
            segment.file != outer.file
                && segment.sequences.0 >= outer.sequences.0
                && segment.sequences.1 <= outer.sequences.1
                && own.0 >= times.0
                && own.1 <= times.1
        });
        let inside: Vec<&SegmentEntry> = inside.collect();
        if inside.iter().map(|segment| of(segment).0).sum::<u64>() == rows {
            inside.iter().map(|segment| segment.file.clone()).collect()
        } else {
            Vec::new()
        }
    };
    let dropped: Vec<String> = all.iter().flat_map(merged_into).collect();
    segments.retain(|segment| !dropped.contains(&segment.file));
}
