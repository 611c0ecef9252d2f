//! SQL over a store on disk: what is pushed down (as EXPLAIN shows it), and the answers.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::sync::Arc;

use common::{plan, rows};
use datafusion::prelude::SessionContext;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use siltstone_query::export::{Format, export, run};
use siltstone_query::{Settings, context, context_with};
use siltstone_store::batch::Batch;
use siltstone_store::predicate::Predicate;
use siltstone_store::schema::{ColumnType, Schema, TimeUnit};
use siltstone_store::store::{Options, Store};
use siltstone_store::value::Value;

const HOUR_MS: i64 = 3_600_000;
/// 2016-07-01T00:00:00Z.
const START_MS: i64 = 1_467_331_200_000;

/// Two axes of a motor, an hour apart; `segments` parts, the last of them in the tail.
fn store(directory: &tempfile::TempDir, segments: i64) -> Arc<Store> {
    let store = Store::create(directory.path().join("store"), Options::default()).unwrap();
    let schema = Schema::new("ts", TimeUnit::Millisecond)
        .with_key("axis", ColumnType::Text)
        .and_then(|s| s.with_channel("speed", ColumnType::F64, "rpm"))
        .and_then(|s| s.with_channel("count", ColumnType::I32, ""))
        .and_then(|s| s.with_channel("note", ColumnType::Text, ""))
        .unwrap();
    let schema = store.create_stream("motor", schema).unwrap();
    for segment in 0..segments {
        let mut batch = Batch::new(Arc::clone(&schema));
        for hour in 0..10 {
            for axis in ["x", "y"] {
                let n = segment * 10 + hour;
                let note = if n % 7 == 0 {
                    Value::Null
                } else {
                    Value::Text(format!("bearing {n} ok"))
                };
                let values = [
                    Value::Text(axis.into()),
                    Value::F64(n as f64 / 2.0),
                    Value::I64(n),
                    note,
                ];
                batch.push_row(START_MS + n * HOUR_MS, &values).unwrap();
            }
        }
        store.append("motor", &batch).unwrap();
        if segment + 1 < segments {
            store.seal("motor").unwrap();
        }
    }
    Arc::new(store)
}

/// The answer as text, a row a line, cells joined by `|`.
async fn answer(context: &SessionContext, sql: &str) -> String {
    let rows = rows(context, sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}\n{error}"));
    let line = |row: &Vec<_>| row.iter().map(ToString::to_string).collect::<Vec<_>>().join("|");
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn filters_reach_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let context = context(&store(&directory, 3));
    // Condition, what the scan says, whether a filter is left above it.
    let cases = [
        ("speed > 2", "predicate=speed >= 2.0000000000000004", false),
        ("count > 2.5", "predicate=count >= 3", false),
        (
            "count BETWEEN 3 AND 5",
            "predicate=count >= 3 AND count <= 5",
            false,
        ),
        ("axis = 'x'", "predicate=axis = 'x'", false),
        (
            "axis IN ('x', 'y', 'z', 'w')",
            "predicate=axis IN ('x', 'y', 'z', 'w')",
            false,
        ),
        ("note LIKE '%ing 1%'", "predicate=contains(note, 'ing 1')", false),
        ("note LIKE 'b_a%'", "predicate=note LIKE 'b_a%'", false),
        ("note ILIKE '%BEAR%'", "predicate=note ILIKE '%BEAR%'", false),
        ("note ILIKE '%OK%'", "predicate=note ~* '^(?s:.*OK.*)$'", false),
        ("note ILIKE 'B_a%'", "predicate=note ~* '^(?s:B.a.*)$'", false),
        ("note ~ 'bear[a-z]+ 1'", "predicate=note ~ 'bear[a-z]+ 1'", false),
        ("note ~* 'BEAR.*1'", "predicate=note ~* 'BEAR.*1'", false),
        ("note !~ 'bear[a-z]+ 1'", "predicate=", false),
        (
            "regexp_like(note, 'bear[a-z]+ 1')",
            "predicate=note ~ 'bear[a-z]+ 1'",
            false,
        ),
        (
            "starts_with(note, 'be')",
            "predicate=starts_with(note, 'be')",
            false,
        ),
        ("strpos(note, 'ok') > 0", "predicate=contains(note, 'ok')", false),
        (
            "number_in(note, 'bearing {}') > 2",
            "predicate=number_in(note, 'bearing {}') > 2",
            false,
        ),
        (
            "NOT number_in(note, 'bearing {}') > 2",
            "predicate=number_in(note, 'bearing {}') <= 2",
            false,
        ),
        ("note IS NULL", "predicate=note IS NULL", false),
        (
            "NOT (speed < 1 OR note IS NULL)",
            "predicate=speed >= 1.0 AND note IS NOT NULL",
            false,
        ),
        (
            "ts >= '2016-07-01 12:00:00'",
            "predicate=ts >= 1467374400000",
            false,
        ),
        (
            "ts < TIMESTAMP '2016-07-01T12:00:00'",
            "predicate=ts <= 1467374399999",
            false,
        ),
        (
            "ts < '2016-07-01T12:00:00+02:00'",
            "predicate=ts <= 1467367199999",
            false,
        ),
        (
            "CAST(ts AS DATE) = '2016-07-01'",
            "predicate=ts >= 1467331200000 AND ts <= 1467417599999",
            false,
        ),
        ("ts >= now() - INTERVAL '1 day'", "predicate=ts >= ", false),
        ("speed + 1 > count", "SiltScan", true),
        (
            "speed > 1 AND speed > count",
            "predicate=speed >= 1.0000000000000002",
            true,
        ),
    ];
    for (condition, shown, filter_left) in cases {
        let plan = plan(&context, &format!("SELECT ts FROM motor WHERE {condition}")).await;
        assert!(plan.contains(shown), "{condition}\n{plan}");
        assert_eq!(plan.contains("FilterExec"), filter_left, "{condition}\n{plan}");
    }
}

#[tokio::test]
async fn projection_and_limit_reach_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let context = context(&store(&directory, 1));
    let shown = plan(&context, "SELECT count, axis FROM motor WHERE speed < 3 LIMIT 4").await;
    assert!(
        shown.contains("columns=[axis, count], predicate=speed <= 2.9999999999999996, limit=4"),
        "{shown}"
    );
}

#[tokio::test]
async fn order_is_declared_where_it_holds() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory, 3);
    // Partitions wanted, query, whether a sort is left.
    let cases = [
        (8, "SELECT axis, ts FROM motor ORDER BY axis, ts", false),
        (
            8,
            "SELECT axis, ts FROM motor ORDER BY axis NULLS FIRST, ts",
            true,
        ),
        (8, "SELECT ts FROM motor ORDER BY ts", true),
        (8, "SELECT ts FROM motor WHERE axis = 'x' ORDER BY ts", false),
        (1, "SELECT ts FROM motor WHERE axis = 'x' ORDER BY ts", false),
        (
            2,
            "SELECT axis, ts FROM motor WHERE axis = 'x' ORDER BY axis, ts",
            false,
        ),
        (2, "SELECT axis, ts, speed FROM motor ORDER BY axis, ts", false),
        (2, "SELECT axis, ts FROM motor ORDER BY axis, ts LIMIT 5", false),
        (1, "SELECT axis, ts FROM motor ORDER BY axis, ts", true),
        (8, "SELECT axis, ts FROM motor ORDER BY axis DESC, ts", true),
    ];
    for (partitions, sql, sorted) in cases {
        let context = context_with(
            &store,
            Settings {
                partitions,
                memory_limit: 0,
                batch_rows: 0,
            },
        )
        .unwrap();
        let plan = plan(&context, sql).await;
        assert_eq!(
            plan.contains("SortExec"),
            sorted,
            "{partitions} partitions: {sql}\n{plan}"
        );
        // Keys and times are of one width as text, so lines sort as rows do.
        let found = answer(&context, sql).await;
        let lines: Vec<&str> = found.lines().collect();
        assert!(
            lines.is_sorted() || sql.contains("DESC"),
            "{partitions} partitions: {sql}\n{found}"
        );
        assert_eq!(
            lines.len(),
            if sql.contains("LIMIT") {
                5
            } else if sql.contains("'x'") {
                30
            } else {
                60
            },
            "{sql}"
        );
    }
}

#[tokio::test]
async fn aggregates_are_questions() {
    let directory = tempfile::tempdir().unwrap();
    let context = context(&store(&directory, 3));
    let cases = [
        ("SELECT count(*) FROM motor", "60"),
        (
            "SELECT count(note), count(*) FROM motor WHERE axis = 'x'",
            "25|30",
        ),
        (
            "SELECT sum(count), avg(count), median(count) FROM motor WHERE count < 10",
            "90|4.5|4.5",
        ),
        (
            "SELECT min(speed), max(speed), median(speed) FROM motor WHERE note LIKE '%bearing 2%'",
            "1|14.5|12",
        ),
        ("SELECT avg(speed) AS mean FROM motor WHERE speed > 1000", "NULL"),
        ("SELECT max(ts) FROM motor WHERE axis = 'y'", "1467435600000"),
        (
            "SELECT var_pop(count), var_samp(count), stddev_pop(count), stddev(count) FROM motor WHERE count IN (0, 4)",
            "4|5.333333333333333|2|2.309401076758503",
        ),
        (
            "SELECT var_pop(speed), var(speed), stddev(speed) FROM motor WHERE speed > 1000",
            "NULL|NULL|NULL",
        ),
    ];
    for (sql, expected) in cases {
        let plan = plan(&context, sql).await;
        assert!(
            plan.contains("SiltAggregate") && !plan.contains("SiltScan"),
            "{sql}\n{plan}"
        );
        assert_eq!(answer(&context, sql).await, expected, "{sql}");
    }
    for sql in [
        "SELECT sum(count + 1) FROM motor",
        "SELECT count(DISTINCT count) FROM motor",
        "SELECT sum(count) FILTER (WHERE speed > 1) FROM motor",
        "SELECT axis, count(*) FROM motor GROUP BY axis",
        "SELECT count(*) FROM (SELECT * FROM motor LIMIT 3)",
    ] {
        let plan = plan(&context, sql).await;
        assert!(!plan.contains("SiltAggregate"), "{sql}\n{plan}");
    }
    assert_eq!(
        answer(&context, "SELECT count(*) FROM (SELECT * FROM motor LIMIT 3)").await,
        "3"
    );
}

#[tokio::test]
async fn the_catalog_is_live() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory, 2);
    let context = context(&store);
    let tables = "SELECT table_schema || '.' || table_name FROM information_schema.tables \
                  WHERE table_schema IN ('public', 'silt') ORDER BY 1";
    let names = answer(&context, tables).await;
    assert_eq!(
        names,
        "public.motor\nsilt.columns\nsilt.losses\nsilt.models\nsilt.segments"
    );
    assert_eq!(
        answer(&context, "SELECT stream, rows FROM silt.segments").await,
        "motor|20"
    );
    let columns = "SELECT \"column\", type, unit, \"values\" FROM silt.columns WHERE \"column\" = 'speed'";
    assert_eq!(answer(&context, columns).await, "speed|f64|rpm|20");
    assert_eq!(answer(&context, "SELECT count(*) FROM silt.models").await, "0");

    store
        .create_stream("later", Schema::new("t", TimeUnit::Second))
        .unwrap();
    assert_eq!(answer(&context, "SELECT count(*) FROM later").await, "0");
    assert_eq!(answer(&context, "SELECT * FROM later").await, "");

    context
        .sql("CREATE VIEW fast AS SELECT * FROM motor WHERE speed > 5")
        .await
        .unwrap();
    assert_eq!(answer(&context, "SELECT count(*) FROM fast").await, "18");
    assert!(rows(&context, "DROP TABLE motor").await.is_err());
    assert!(rows(&context, "SELECT * FROM nothing_here").await.is_err());
}

#[tokio::test]
async fn insert_appends() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory, 2);
    let context = context(&store);
    let insert = "INSERT INTO motor (ts, axis, speed, count, note) VALUES \
                  ('2020-01-01T00:00:00Z', 'z', 1.5, 7, 'new'), ('2020-01-01 00:00:01', 'z', NULL, NULL, NULL)";
    assert_eq!(answer(&context, insert).await, "2");
    let back = "SELECT ts, axis, speed, count, note FROM motor WHERE axis = 'z' ORDER BY ts";
    assert_eq!(
        answer(&context, back).await,
        "1577836800000|z|1.5|7|new\n1577836801000|z|NULL|NULL|NULL"
    );
    let view = "CREATE VIEW slow AS SELECT * FROM motor WHERE speed < 2";
    context.sql(view).await.unwrap();
    assert_eq!(
        answer(&context, "SELECT count(*), count(DISTINCT axis) FROM slow").await,
        "9|3"
    );
    let copy = "INSERT INTO motor SELECT ts + INTERVAL '100 days', axis, speed, count, note FROM motor WHERE axis = 'x'";
    assert_eq!(answer(&context, copy).await, "20");
    assert_eq!(answer(&context, "SELECT count(*) FROM motor").await, "62");
    assert_eq!(
        answer(&context, "SELECT count(*), count(DISTINCT axis) FROM slow").await,
        "13|3"
    );
    // A time is never null, and a value fits its column.
    assert!(
        rows(&context, "INSERT INTO motor (axis) VALUES ('z')")
            .await
            .is_err()
    );
    assert!(
        rows(
            &context,
            "INSERT INTO motor (ts, count) VALUES (now(), 99999999999)"
        )
        .await
        .is_err()
    );
    assert_eq!(answer(&context, "SELECT count(*) FROM motor").await, "62");
}

#[test]
fn answers_and_streams_leave_in_every_format() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory, 2);
    let context = context(&store);
    let sql = "SELECT ts, axis, speed, note FROM motor WHERE count = 7 ORDER BY axis";
    let text = |format| {
        let mut out = Vec::new();
        assert_eq!(run(&context, sql, format, &mut out).unwrap(), 2);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(
        text(Format::Csv),
        "ts,axis,speed,note\n2016-07-01T07:00:00Z,x,3.5,\n2016-07-01T07:00:00Z,y,3.5,\n"
    );
    assert_eq!(
        text(Format::JsonLines),
        "{\"ts\":\"2016-07-01T07:00:00Z\",\"axis\":\"x\",\"speed\":3.5}\n\
         {\"ts\":\"2016-07-01T07:00:00Z\",\"axis\":\"y\",\"speed\":3.5}\n"
    );
    assert!(text(Format::Table).contains("| 2016-07-01T07:00:00Z | x    | 3.5   |      |"));
    let mut nothing = Vec::new();
    run(
        &context,
        "SELECT ts, speed FROM motor WHERE speed < -1",
        Format::Csv,
        &mut nothing,
    )
    .unwrap();
    assert_eq!(nothing, b"ts,speed\n");

    let snapshot = store.snapshot("motor").unwrap();
    let mut files = Vec::new();
    for format in [Format::Parquet, Format::Arrow, Format::Csv, Format::JsonLines] {
        let columns: Vec<&str> = snapshot
            .schema()
            .columns()
            .iter()
            .map(|c| c.name.as_str())
            .collect();
        let scan = snapshot.scan(&columns, &Predicate::All).unwrap();
        let mut out = Vec::new();
        assert_eq!(export(snapshot.schema(), scan, format, &mut out).unwrap(), 40);
        files.push(out);
    }
    let path = directory.path().join("motor.parquet");
    std::fs::write(&path, &files[0]).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    let parquet = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap();
    assert_eq!(parquet.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 40);
    let arrow = datafusion::arrow::ipc::reader::StreamReader::try_new(files[1].as_slice(), None).unwrap();
    assert_eq!(arrow.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 40);
    assert_eq!(files[2].iter().filter(|b| **b == b'\n').count(), 41);
    assert_eq!(files[3].iter().filter(|b| **b == b'\n').count(), 40);
}

/// Parquet has no type for whole seconds: as they are they would be plain integers to other programs.
#[test]
fn seconds_leave_as_times_in_parquet() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(directory.path().join("s.silt"), Options::default()).unwrap();
    let schema = Schema::new("ts", TimeUnit::Second)
        .with_channel("due", ColumnType::Timestamp(TimeUnit::Second), "")
        .unwrap();
    let schema = store.create_stream("meter", schema).unwrap();
    let mut batch = Batch::new(schema);
    batch.push_row(1_743_285_600, &[Value::Timestamp(-1)]).unwrap();
    batch.push_row(1_743_285_601, &[Value::Null]).unwrap();
    store.append("meter", &batch).unwrap();
    let context = context(&Arc::new(store));
    let mut file = Vec::new();
    run(
        &context,
        "SELECT ts, due FROM meter ORDER BY ts",
        Format::Parquet,
        &mut file,
    )
    .unwrap();
    let path = directory.path().join("meter.parquet");
    std::fs::write(&path, &file).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    let mut parquet = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap();
    let rows = parquet.next().unwrap().unwrap();
    let milliseconds = datafusion::arrow::datatypes::DataType::Timestamp(
        datafusion::arrow::datatypes::TimeUnit::Millisecond,
        Some("UTC".into()),
    );
    for column in rows.columns() {
        assert_eq!(column.data_type(), &milliseconds);
    }
    let shown = datafusion::arrow::util::pretty::pretty_format_batches(&[rows])
        .unwrap()
        .to_string();
    assert!(
        shown.contains("| 2025-03-29T22:00:00Z | 1969-12-31T23:59:59Z |"),
        "{shown}"
    );
}

#[test]
fn a_long_condition_is_no_danger_to_the_stack() {
    let directory = tempfile::tempdir().unwrap();
    let context = context(&store(&directory, 1));
    let terms: Vec<String> = (0..400)
        .map(|n| format!("(speed > {n} AND count <> {n})"))
        .collect();
    let sql = format!("SELECT count(*) AS n FROM motor WHERE {}", terms.join(" OR "));
    let mut out = Vec::new();
    run(&context, &sql, Format::Csv, &mut out).unwrap();
    assert_eq!(out, b"n\n18\n");
    let nested = format!("SELECT {}1{}", "(".repeat(200), ")".repeat(200));
    assert!(
        run(&context, &nested, Format::Csv, Vec::new()).is_err(),
        "nested deeper than the parser goes"
    );
}
