//! SQL over log files: microseconds from a statement's text to its answer, plan included.
//!
//! `sql --data DIR [--only NAME] [--cut-time] [--patterns N] [--layout WISH] [--python PYTHON]`: each file or sub-directory of DIR is a stream of its own with
//! one channel of text, its time the number of the row. Each question is asked five times with five patterns of each
//! kind, the best time of each counts; `--layout` is the wish of the stream. With an interpreter that has DuckDB, it is asked the same (`scripts/like.py`).

#![allow(
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    reason = "a measuring program on given files"
)]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value as Json, json};
use siltstone_benches::data::Random;
use siltstone_benches::{Fallible, logs};
use siltstone_query::export::{Format, write_rows};
use siltstone_query::{Settings, context_with, execute};
use siltstone_store::batch::{Batch, ByteColumn};
use siltstone_store::schema::{ColumnType, Schema, TimeUnit};
use siltstone_store::store::{Options, Store};
use siltstone_store::value::Value;

/// Rows that are given to the store at a time.
const BATCH: usize = 4096;
const TIMES: usize = 5;

fn main() -> Fallible<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|a| a == name)?;
        arguments.get(at + 1).cloned()
    };
    let Some(data) = value("--data") else {
        eprintln!(
            "sql --data DIR [--only NAME] [--cut-time] [--patterns N] [--layout WISH] [--python PYTHON]"
        );
        std::process::exit(2);
    };
    let patterns = value("--patterns").map_or(Ok(40), |n| n.parse())?;
    let python = value("--python");
    let layout = value("--layout");
    let cut = arguments.iter().any(|a| a == "--cut-time");
    logs::each(
        Path::new(&data),
        &value("--only").unwrap_or_default(),
        cut,
        |name, rows| measure(name, &rows, patterns, layout.as_deref(), python.as_deref()),
    )
}

fn measure(
    name: &str,
    rows: &ByteColumn,
    patterns: usize,
    layout: Option<&str>,
    python: Option<&str>,
) -> Fallible<()> {
    let directory = tempfile::tempdir()?;
    let store = filled(&directory.path().join("store"), rows, layout)?;
    println!("\n{name}: {} rows, {} bytes", rows.len(), rows.bytes().len());
    let settings = Settings {
        partitions: 1,
        ..Settings::default()
    };
    let context = context_with(&Arc::new(store), settings)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let ask = |sql: &str| -> Fallible<u64> {
        runtime.block_on(async {
            let mut out = Vec::new();
            write_rows(execute(&context, sql).await?, Format::Csv, &mut out).await?;
            let count = std::str::from_utf8(&out)?.lines().nth(1).ok_or("no answer")?;
            Ok(count.parse()?)
        })
    };

    let mut random = Random(0x5eed);
    let mut needles = Vec::new();
    while needles.len() < patterns {
        let row = rows.get(random.below(rows.len() as u64) as usize);
        if row.len() >= 12 {
            let at = random.below(row.len() as u64 - 11) as usize;
            if let Ok(needle) = std::str::from_utf8(&row[at..at + 12])
                && !needle.contains(['%', '_', '\\', '\0', '\''])
            {
                needles.push(needle.to_string());
            }
        }
    }
    let mut kinds: Vec<(&str, Vec<String>)> = vec![(
        "like '%12 bytes%'",
        needles.iter().map(|n| format!("message LIKE '%{n}%'")).collect(),
    )];
    kinds.push((
        "ilike '%12 bytes%'",
        needles.iter().map(|n| format!("message ILIKE '%{n}%'")).collect(),
    ));
    kinds.push((
        "like '%...%' of 1 % of time",
        needles
            .iter()
            .map(|n| {
                let start = random.below(rows.len() as u64 * 99 / 100 + 1);
                let end = start + rows.len() as u64 / 100;
                format!(
                    "message LIKE '%{n}%' AND ts >= to_timestamp_millis({start}) AND ts < to_timestamp_millis({end})"
                )
            })
            .collect(),
    ));
    kinds.push((
        "number_in(...) > n",
        logs::numbers(rows, &mut random, patterns)
            .into_iter()
            .map(|(before, number)| format!("number_in(message, '{before}{{}}') > {number}"))
            .collect(),
    ));
    kinds.retain(|(_, conditions)| !conditions.is_empty());
    let mut answers = Vec::new();
    for (kind, conditions) in &kinds {
        let mut micros = Vec::new();
        for condition in conditions {
            let sql = format!("SELECT count(*) FROM logs WHERE {condition}");
            let mut best = f64::MAX;
            let mut answer = 0;
            for _ in 0..TIMES {
                let start = Instant::now();
                answer = ask(&sql)?;
                best = best.min(start.elapsed().as_secs_f64() * 1e6);
            }
            micros.push(best);
            answers.push(answer);
        }
        println!("  {kind:32} {}", quantiles(micros));
    }
    if let Some(python) = python {
        rival(python, directory.path(), rows, &kinds, &answers)?;
    }
    Ok(())
}

fn filled(path: &Path, rows: &ByteColumn, layout: Option<&str>) -> Fallible<Store> {
    let store = Store::create(path, Options::default())?;
    let schema = Schema::new("ts", TimeUnit::Millisecond).with_channel("message", ColumnType::Text, "")?;
    let schema = store.create_stream("logs", schema)?;
    if let Some(layout) = layout {
        store.set_layouts("logs", &layout.parse()?)?;
    }
    let mut batch = Batch::new(Arc::clone(&schema));
    for row in 0..rows.len() {
        let text = String::from_utf8_lossy(rows.get(row)).into_owned();
        batch.push_row(row as i64, &[Value::Text(text)])?;
        if (row + 1) % BATCH == 0 || row + 1 == rows.len() {
            store.append("logs", &batch)?;
            batch = Batch::new(Arc::clone(&schema));
        }
    }
    store.seal("logs")?;
    Ok(store)
}

fn quantiles(mut micros: Vec<f64>) -> String {
    micros.sort_by(f64::total_cmp);
    let at = |q: f64| micros[((micros.len() - 1) as f64 * q) as usize];
    format!("{:9.0} / {:9.0} us (median / p95)", at(0.5), at(0.95))
}

/// `DuckDB` on the same rows and conditions; its answers have to be ours.
fn rival(
    python: &str,
    directory: &Path,
    rows: &ByteColumn,
    kinds: &[(&str, Vec<String>)],
    answers: &[u64],
) -> Fallible<()> {
    let questions = directory.join("questions.json");
    let texts: Vec<_> = (0..rows.len())
        .map(|row| String::from_utf8_lossy(rows.get(row)))
        .collect();
    std::fs::write(
        &questions,
        json!({"rows": texts, "kinds": kinds, "times": TIMES}).to_string(),
    )?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/like.py");
    let done = Command::new(python).arg(script).arg(&questions).output()?;
    if !done.status.success() {
        return Err(String::from_utf8_lossy(&done.stderr).into_owned().into());
    }
    let told: Json = serde_json::from_slice(&done.stdout)?;
    for (kind, micros) in told["micros"].as_object().into_iter().flatten() {
        let micros = micros.as_array().into_iter().flatten().filter_map(Json::as_f64);
        println!("    DuckDB {kind:25} {}", quantiles(micros.collect()));
    }
    let theirs = told["answers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Json::as_u64);
    let other = theirs
        .zip(answers)
        .filter(|(theirs, ours)| theirs != *ours)
        .count();
    println!("    {other} of {} answers differ", answers.len());
    Ok(())
}
