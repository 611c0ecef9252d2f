//! The harness for numbers: each layout of ours and each rival on the same column, in one process.
//!
//! ```text
//! numbers [--quick] [--rows N] [--tables codes,values,times,segments] [--generate NAME,...]
//!         [--data DIR SPEC...] [--store SPEC]...
//!         [--subjects NAME,...] [--only FIGURE] [--layout NAME] [--explain] [--count QUESTION:TIMES]
//!         [--json FILE] [--merge FILE] [--python PROGRAM] [--work DIR]
//! ```
//!
//! Tables: `codes` (integer codes), `values` (the same column as doubles, where it has them), `times` (row times; for
//! generated clocks, or a SPEC with a TIME), `segments` (a store of 16 segments and a tail, 16 times `--rows` rows),
//! `stores` (bytes of a whole data set, for each `--store FILE:TIME[:KEY+KEY]`).
//!
//! Without `--data` the columns are generated. With it, a SPEC is `FILE:COLUMN[:KEY+KEY[:MODE[:TIME]]]`; files are CSV,
//! also as `.gz`; rows are sorted by (key, time). Feature `compare` brings in pco, zstd and sucds, `compare-parquet`
//! also Parquet; `--python` asks DuckDB and Vortex through their own clients (scripts/rivals.py), in the same run;
//! `--merge` adds the rivals' rows of an earlier `--json`.
//!
//! One thread. Every answer is compared with the plain column's before it is timed. A figure takes about 0.3 s (0.05
//! with `--quick`) and is the best round of it, on a warm cache; `cold_*` open a file that the page cache has dropped.
//! `--count` asks one question some times in `Plan::counted`, for a profiler that counts instructions there.

#![allow(clippy::unwrap_used, reason = "a measuring program may stop at any surprise")]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

use siltstone_benches::data::{self, Column};
use siltstone_benches::questions::{How, Plan, QUESTIONS};
use siltstone_benches::stores::{self, StoreSubject};
use siltstone_benches::subject::{Form, Maker};
use siltstone_benches::table::{self, Row, Table};
use siltstone_benches::{Fallible, ours, python, rivals, times};

#[derive(Default)]
struct Options {
    quick: bool,
    rows: usize,
    tables: Vec<String>,
    generate: Vec<String>,
    data: Option<PathBuf>,
    specs: Vec<String>,
    stores: Vec<String>,
    subjects: Vec<String>,
    only: String,
    layout: String,
    explain: bool,
    count: Option<(String, usize)>,
    json: Option<PathBuf>,
    merge: Option<PathBuf>,
    python: Option<String>,
    work: Option<PathBuf>,
}

fn main() -> Fallible<()> {
    let options = options()?;
    let work = match &options.work {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::tempdir()?,
    };
    let started = Instant::now();
    let mut tables = Vec::new();
    for column in columns(&options)? {
        for (name, form) in [("codes", Form::Codes), ("values", Form::Floats)] {
            let there = form == Form::Codes || column.floats.is_some();
            if options.wants(name) && there && !column.codes.is_empty() {
                tables.extend(numbers(&options, name, &column, form, work.path())?);
            }
        }
        if options.wants("times") && !column.times.is_empty() {
            let title = format!(
                "{}, {} rows, {} runs",
                column.name,
                column.times.len(),
                column.runs.len()
            );
            tables.push(finish(Table {
                kind: "times".into(),
                title,
                columns: times::FIGURES.iter().map(|figure| figure.0).collect(),
                rows: times::measure(&column, options.budget())?,
            }));
        }
    }
    if options.tables.iter().any(|table| table == "segments") {
        for one_grid in [true, false] {
            tables.push(segments(&options, one_grid, work.path())?);
        }
    }
    if !options.stores.is_empty() {
        let dir = options.data.clone().unwrap_or_default();
        let mut rows = Vec::new();
        for spec in &options.stores {
            rows.extend(stores::bytes(&dir, spec, work.path(), options.explain)?);
        }
        tables.push(finish(Table {
            kind: "stores".into(),
            title: "bytes of whole data sets".into(),
            columns: stores::BYTES.iter().map(|figure| figure.0).collect(),
            rows,
        }));
    }
    if let Some(path) = &options.merge {
        table::merge(path, &mut tables)?;
        println!("\nwith the rows of {}:", path.display());
        tables.iter().for_each(Table::print);
    }
    if let Some(path) = &options.json {
        table::write_json(path, &tables)?;
    }
    println!("\n{:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

fn finish(table: Table) -> Table {
    table.print();
    table.print_lost();
    table
}

fn columns(options: &Options) -> Fallible<Vec<Column>> {
    if let Some(dir) = &options.data {
        let read = |spec: &String| data::read(dir, spec, options.rows);
        return options.specs.iter().map(read).collect();
    }
    let wanted =
        |name: &str| options.generate.is_empty() || options.generate.iter().any(|wanted| wanted == name);
    let values = data::GENERATED
        .iter()
        .filter(|name| wanted(name))
        .filter_map(|name| data::generate(name, options.rows));
    let clocks = data::CLOCKS
        .iter()
        .filter(|name| wanted(name))
        .filter_map(|name| data::clock(name, options.rows));
    let (mut columns, tables): (Vec<Column>, _) =
        (Vec::new(), ["codes", "values"].map(|table| options.wants(table)));
    if tables.contains(&true) {
        columns.extend(values);
    }
    if options.wants("times") {
        columns.extend(clocks);
    }
    Ok(columns)
}

/// All makers on one column: one table.
fn numbers(
    options: &Options,
    kind: &str,
    column: &Column,
    form: Form,
    work: &std::path::Path,
) -> Fallible<Option<Table>> {
    let wanted = |maker: &dyn Maker| options.subjects.is_empty() || options.subjects.contains(&maker.name());
    let makers = ours::makers(form, options.quick)
        .into_iter()
        .chain(rivals::makers(form));
    let makers: Vec<Box<dyn Maker>> = makers.filter(|maker| wanted(&**maker)).collect();
    let plan = Plan::new(column, form);
    let how = How {
        dir: work,
        budget: options.budget(),
        only: &options.only,
    };
    if let Some((question, times)) = &options.count {
        for maker in makers {
            let Some(bytes) = maker.encode(column, form) else {
                continue;
            };
            let subject = maker.open(std::sync::Arc::new(bytes), plan.rows(), form);
            let start = Instant::now();
            std::hint::black_box(plan.counted(&*subject, question, *times));
            let each = start.elapsed().as_secs_f64() * 1e9 / *times as f64;
            println!(
                "{}, {}: {question}, {times} times, {each:.1} ns each",
                column.name,
                maker.name()
            );
        }
        return Ok(None);
    }
    let mut rows = Vec::new();
    let mut explained = Vec::new();
    let mut seen = BTreeSet::new();
    for maker in makers {
        let Some(bytes) = maker.encode(column, form) else {
            continue;
        };
        // Wishes may come to the same file; it is measured under the first name.
        if maker.ours() && !seen.insert((bytes.len(), crc32fast::hash(&bytes))) {
            continue;
        }
        let (figures, subject) = plan.run(&*maker, bytes, column, &how)?;
        let choice = subject.choice();
        let name = if choice.is_empty() {
            maker.name()
        } else {
            format!("{} {choice}", maker.name())
        };
        if options.explain && !subject.parts().is_empty() {
            explained.push((name.clone(), subject.parts()));
        }
        rows.push(Row {
            name,
            ours: maker.ours(),
            figures,
        });
    }
    if let Some(program) = &options.python {
        let script = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/rivals.py"));
        rows.extend(python::rows(program, &script, column, &plan, work, how.budget)?);
    }
    let pco = rows
        .iter()
        .find(|row| row.name == "pco 262144")
        .and_then(|row| row.figures.get("bits").copied());
    if let Some(pco) = pco {
        for row in &mut rows {
            let ratio = row.figures["bits"] / pco;
            row.figures.insert("ratio".into(), ratio);
        }
    }
    let bits = 64
        - plan
            .keys()
            .iter()
            .fold(0, |all, key| all | (key ^ plan.keys()[0]))
            .leading_zeros();
    let table = finish(Table {
        kind: kind.into(),
        title: format!("{}, {} rows, {bits} bits wide", column.name, plan.rows()),
        columns: QUESTIONS.iter().map(|question| question.0).collect(),
        rows,
    });
    for (name, parts) in explained {
        println!("  bits a value of {name}");
        for (part, bits) in parts {
            println!("    {part:<40} {:>9.4}", bits as f64 / plan.rows() as f64);
        }
    }
    Ok(Some(table))
}

/// A store of several segments and a tail; rivals hold the same rows in one file.
fn segments(options: &Options, one_grid: bool, work: &std::path::Path) -> Fallible<Table> {
    let segment_rows = options.rows;
    let column = stores::walk(16, segment_rows, one_grid);
    let plan = Plan::new(&column, Form::Floats);
    let dir = work.join(format!("segments-{one_grid}"));
    let (subject, bytes) = StoreSubject::build(&column, segment_rows, &options.layout, &dir)?;
    let mut figures = plan.ask(&subject, options.budget(), &options.only);
    figures.insert("bits".into(), bytes as f64 * 8.0 / plan.rows() as f64);
    if options.only.is_empty() || options.only.starts_with("all") {
        let seconds = subject.median_of_all(plan.median_of_all(), options.budget());
        figures.insert("all_us".into(), seconds * 1e6);
    }
    let mut rows = vec![Row {
        name: format!("store {}, {} parts", options.layout, subject.part_count()),
        ours: true,
        figures,
    }];
    drop(subject);
    std::fs::remove_dir_all(&dir)?;
    let how = How {
        dir: work,
        budget: options.budget(),
        only: &options.only,
    };
    for maker in rivals::makers(Form::Floats) {
        if !options.subjects.is_empty() && !options.subjects.contains(&maker.name()) {
            continue;
        }
        if let Some(bytes) = maker.encode(&column, Form::Floats) {
            rows.push(Row {
                name: maker.name(),
                ours: false,
                figures: plan.run(&*maker, bytes, &column, &how)?.0,
            });
        }
    }
    Ok(finish(Table {
        kind: "segments".into(),
        title: format!("{}, {} rows", column.name, plan.rows()),
        columns: QUESTIONS.iter().map(|question| question.0).collect(),
        rows,
    }))
}

impl Options {
    fn wants(&self, table: &str) -> bool {
        if self.tables.is_empty() {
            return self.stores.is_empty() || !self.specs.is_empty();
        }
        self.tables.iter().any(|wanted| wanted == table)
    }

    fn budget(&self) -> f64 {
        if self.quick { 0.05 } else { 0.3 }
    }
}

fn number(text: &str) -> Fallible<usize> {
    let (digits, unit) = match text.strip_suffix(['M', 'm']) {
        Some(digits) => (digits, 1 << 20),
        None => text
            .strip_suffix(['K', 'k'])
            .map_or((text, 1), |digits| (digits, 1 << 10)),
    };
    Ok(digits.parse::<usize>()? * unit)
}

fn options() -> Fallible<Options> {
    let mut options = Options {
        rows: 1 << 20,
        layout: "rank".into(),
        ..Options::default()
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} wants a value"));
        let list = |text: String| text.split(',').map(str::to_owned).collect();
        match argument.as_str() {
            "--quick" => options.quick = true,
            "--explain" => options.explain = true,
            "--rows" => options.rows = number(&value()?)?,
            "--tables" => options.tables = list(value()?),
            "--generate" => options.generate = list(value()?),
            "--data" => options.data = Some(value()?.into()),
            "--store" => options.stores.push(value()?),
            "--subjects" => options.subjects = list(value()?),
            "--only" => options.only = value()?,
            "--layout" => options.layout = value()?,
            "--json" => options.json = Some(value()?.into()),
            "--merge" => options.merge = Some(value()?.into()),
            "--python" => options.python = Some(value()?),
            "--work" => options.work = Some(value()?.into()),
            "--count" => {
                let text = value()?;
                let (question, times) = text.split_once(':').ok_or("--count takes QUESTION:TIMES")?;
                options.count = Some((question.into(), times.parse()?));
            }
            unknown if unknown.starts_with('-') => return Err(format!("unknown option {unknown}").into()),
            _ => options.specs.push(argument),
        }
    }
    Ok(options)
}
