//! SQL over streams of which some parts were downsampled: where buckets are whole, aggregates equal those of the rows as
//! they came; bounds contain them; what cannot be weighed is refused.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::sync::Arc;

use common::{Row, batch, memory, schema, silt};
use datafusion::arrow::array::ArrayRef;
use datafusion::prelude::SessionContext;
use datafusion::scalar::ScalarValue;
use proptest::prelude::*;
use siltstone_store::column::Hints;
use siltstone_store::segment::downsample::downsample;
use siltstone_store::segment::{Segment, writer};
use siltstone_store::snapshot::Snapshot;
use siltstone_store::value::Value;

const BASE: i64 = 1_467_331_200_000_000_000;
const HOUR: i64 = 3_600_000_000_000;

struct Choice(u64);

impl Choice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % end as u64).unwrap()
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }
}

/// A row of hour `hour` whose time no other has.
fn row(c: &mut Choice, hour: i64, id: usize) -> Row {
    let number = |c: &mut Choice| i64::try_from(c.below(81)).unwrap() - 40;
    let schema = schema();
    let values = schema.columns().iter().map(|column| {
        let name = column.name.as_str();
        if !matches!(name, "id" | "k1" | "k2") && c.below(10) == 0 {
            return Value::Null;
        }
        match name {
            "k1" => Value::Text(["east", "west"][c.below(2)].into()),
            "k2" => Value::I64([-1, 0, 7][c.below(3)]),
            "id" => Value::I64(i64::try_from(id).unwrap()),
            "f" => Value::F64(number(c) as f64 / 4.0),
            "g" => Value::F32(number(c) as f32 / 4.0),
            "i" => Value::I64(number(c)),
            "u" => Value::U64(number(c).unsigned_abs()),
            "b" => Value::Bool(c.below(2) == 0),
            "t" => Value::Text(["hot", "cold"][c.below(2)].into()),
            "x" => Value::Bytes(vec![1]),
            _ => Value::Timestamp(BASE / 1_000_000 + number(c)),
        }
    });
    let values = values.collect();
    (
        BASE + hour * HOUR + i64::try_from(id).unwrap() * 1_000_003,
        values,
    )
}

fn segment(rows: &[Row], name: &str) -> Arc<Segment> {
    let hints = vec![Hints::default(); schema().columns().len()];
    let mut file = Vec::new();
    let mut sink = |bytes: &[u8]| {
        file.extend_from_slice(bytes);
        Ok(())
    };
    writer::write(&batch(&schema(), rows), (1, rows.len() as u64), &hints, &mut sink).unwrap();
    Arc::new(Segment::open(name, Arc::new(file)).unwrap())
}

fn in_buckets(sources: &[Arc<Segment>]) -> Arc<Segment> {
    let mut file = Vec::new();
    let mut sink = |bytes: &[u8]| {
        file.extend_from_slice(bytes);
        Ok(())
    };
    downsample(sources, &schema(), HOUR, &Hints::default(), &mut sink).unwrap();
    Arc::new(Segment::open("buckets.seg", Arc::new(file)).unwrap())
}

/// Some hours downsampled, later ones in a segment, the latest in the tail; and all rows as they came.
fn mixed(c: &mut Choice, count: usize) -> (Snapshot, Vec<Row>) {
    let all: Vec<Row> = (0..count)
        .map(|id| row(c, i64::try_from(id * 30 / count).unwrap(), id))
        .collect();
    let old = all
        .iter()
        .position(|row| row.0 >= BASE + 20 * HOUR)
        .unwrap_or(all.len());
    let sealed = all
        .iter()
        .position(|row| row.0 >= BASE + 26 * HOUR)
        .unwrap_or(all.len());
    let mut segments = Vec::new();
    let middle = old / 2;
    let sources: Vec<Arc<Segment>> = [&all[..middle], &all[middle..old]]
        .into_iter()
        .filter(|rows| !rows.is_empty())
        .map(|rows| segment(rows, "old.seg"))
        .collect();
    if !sources.is_empty() {
        segments.push(in_buckets(&sources));
    }
    if sealed > old {
        segments.push(segment(&all[old..sealed], "new.seg"));
    }
    let tail = Arc::new(batch(&schema(), &all[sealed..]));
    (Snapshot::new(schema(), segments, Some(tail)), all)
}

async fn ask(context: &SessionContext, sql: &str) -> Result<Vec<Vec<ScalarValue>>, String> {
    let frame = siltstone_query::sql(context, sql)
        .await
        .map_err(|error| error.to_string())?;
    let batches = frame.collect().await.map_err(|error| error.strip_backtrace())?;
    let mut rows = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let cell = |column: &ArrayRef| ScalarValue::try_from_array(column, row).unwrap();
            rows.push(batch.columns().iter().map(cell).collect());
        }
    }
    Ok(rows)
}

/// Aggregates that whole buckets answer exactly.
const EXACT: [&str; 24] = [
    "count(*)",
    "count(f), count(t), count(b), count(ts), count(k1)",
    "sum(i), sum(u), sum(f), sum(g)",
    "avg(f), avg(g), avg(i), avg(u)",
    "min(f), max(f), min(g), max(i), min(u)",
    "min(ts), max(ts), min(m), max(m)",
    "min(b), max(b), bool_and(b), bool_or(b)",
    "sum(i * 2 + 1), sum(-i), sum(3 - i)",
    "avg(f * 1.8 + 32.0), sum(f / 2.0 - 1.0), sum(g * 2.0)",
    "min(1.0 - f), max(f * 2.0), max(i * 3), min(CAST(i AS DOUBLE))",
    "sum(k2), avg(k2), min(k2), max(k1), median(k2)",
    "count(DISTINCT k1), count(DISTINCT date_trunc('day', ts)), count(*)",
    "first_value(id ORDER BY ts), last_value(id ORDER BY ts)",
    "first_value(id ORDER BY ts DESC), last_value(id ORDER BY ts DESC), count(*)",
    "count(*) FILTER (WHERE k2 = 7), sum(f) FILTER (WHERE k1 = 'east'), avg(f)",
    "sum(k2 * 2), count(k2 + 1), sum(1), count(1)",
    "count(*) * 2 + sum(i), max(f) - min(f)",
    "sum(CAST(i AS DOUBLE)), avg(CAST(i AS DOUBLE) * 2.0)",
    "sum(CASE WHEN k2 = 7 THEN 1 ELSE 0 END), count(CASE WHEN k2 = 7 THEN 1 END)",
    "var_pop(f), var(i), stddev(f), stddev_pop(g)",
    "var_pop(k2), stddev(u), avg(f)",
    "array_agg(DISTINCT k1 ORDER BY k1), count(*)",
    "sum(f), sum(f) / count(f), count(DISTINCT k2)",
    "max(ts) - min(ts), count(x)",
];

/// A query whose rows come in a stated order, and how far numbers may be off, as a share.
fn query(c: &mut Choice) -> (String, f64) {
    let answers = c.of(&EXACT);
    let groups = c.of(&[
        "",
        "",
        "k1",
        "k1, k2",
        "date_bin(INTERVAL '2 hours', ts)",
        "date_trunc('day', ts)",
        "k2, date_bin(INTERVAL '6 hours', ts)",
        "k1 || 'x'",
        "ROLLUP (k1, k2)",
        "CASE WHEN k2 = 7 THEN 'seven' ELSE k1 END",
    ]);
    let filter = c.of(&[
        "",
        " WHERE k1 = 'east'",
        " WHERE k2 IN (0, 7)",
        " WHERE ts >= '2016-07-01T05:00:00' AND ts < '2016-07-02T01:00:00'",
        " WHERE ts < '2016-07-01T12:00:00' OR k1 = 'west'",
        " WHERE date_trunc('day', ts) = '2016-07-01'",
        " WHERE k1 || 'y' = 'easty'",
        " WHERE k2 IN (SELECT k2 FROM s WHERE k2 > -1)",
    ]);
    let from = c.of(&[
        "s",
        "s",
        "(SELECT * FROM s) AS s",
        "(SELECT ts, k1, k2, id, f, g, i, u, b, t, x, m FROM s WHERE k2 < 8 ORDER BY ts) AS s",
        "(SELECT s.*, v.n FROM s JOIN (VALUES (-1, 'a'), (7, 'b')) AS v(k, n) ON s.k2 = v.k) AS s",
        "(SELECT s.*, v.n FROM s LEFT JOIN (VALUES (-1, 'a'), (7, 'b')) AS v(k, n) ON s.k2 = v.k) AS s",
    ]);
    let share = if answers.contains("var") || answers.contains("stddev") {
        1e-3
    } else {
        1e-9
    };
    if groups.is_empty() {
        return (format!("SELECT {answers} FROM {from}{filter}"), share);
    }
    let plain = !groups.contains("ROLLUP");
    let listed = if plain {
        groups.to_owned()
    } else {
        "k1, k2".to_owned()
    };
    let having = c.of(&[
        "",
        " HAVING count(*) > 3",
        " HAVING sum(i) IS NOT NULL AND max(f) > 1",
    ]);
    // DataFusion takes the order of its input for that of grouping sets, so these are put in order here.
    let order = if plain {
        format!(" ORDER BY {groups}")
    } else {
        String::new()
    };
    (
        format!("SELECT {listed}, {answers} FROM {from}{filter} GROUP BY {groups}{having}{order}"),
        share,
    )
}

fn same(a: &ScalarValue, b: &ScalarValue, share: f64) -> bool {
    match (a, b) {
        (ScalarValue::Float64(Some(a)), ScalarValue::Float64(Some(b))) => {
            (a - b).abs() <= share * (1.0 + a.abs().max(b.abs()))
        }
        (a, b) => a == b,
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 8,
        failure_persistence: None,
        max_shrink_iters: 0,
        rng_seed: proptest::test_runner::RngSeed::Fixed(20_261_123),
        ..ProptestConfig::default()
    })]

    #[test]
    fn whole_buckets_answer_as_their_rows(seed in any::<u64>()) {
        let c = &mut Choice(seed);
        let count = [1, 40, 300, 900][c.below(4)];
        let (snapshot, all) = mixed(c, count);
        let ours = silt(snapshot, 1 + c.below(3));
        let theirs = memory(&schema(), &all);
        let mut failed = Vec::new();
        for _ in 0..9 {
            let (sql, share) = query(c);
            let (found, expected) = runtime().block_on(async { (ask(&ours, &sql).await, ask(&theirs, &sql).await) });
            // DataFusion calls two of its own sums by one name now and then.
            let Ok(expected) = expected else { continue };
            let mut expected = expected;
            let mut found = match found {
                Ok(found) => found,
                Err(error) => {
                    failed.push(format!("{sql}\n{error}\n"));
                    continue;
                }
            };
            if sql.contains("ROLLUP") {
                let name = |row: &Vec<ScalarValue>| format!("{:?}", &row[..2]);
                found.sort_by_key(name);
                expected.sort_by_key(name);
            }
            let alike = found.len() == expected.len()
                && found.iter().zip(&expected).all(|(a, b)| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b, share)));
            if !alike {
                failed.push(format!("{sql}\nfound    {found:?}\nexpected {expected:?}\n"));
            }
        }
        prop_assert!(failed.is_empty(), "{}", failed.join("\n"));
    }

    #[test]
    fn bounds_contain_the_truth(seed in any::<u64>()) {
        let c = &mut Choice(seed);
        let (snapshot, all) = mixed(c, 300);
        let ours = silt(snapshot, 1);
        let theirs = memory(&schema(), &all);
        for _ in 0..6 {
            let filter = c.of(&[
                "TRUE", "f > 1.5", "i BETWEEN -10 AND 10", "ts > '2016-07-01T03:17:00'", "k1 = 'east' AND f <= 0",
                "f > 2 OR i < 0", "NOT (f > -3)", "u IN (1, 2, 3)", "b", "t = 'hot'", "f IS NULL",
            ]);
            let column = c.of(&["f", "i", "g", "u"]);
            let sql = format!(
                "SELECT count_bounds(*) AS n, sum_bounds({column}) AS s, avg_bounds({column}) AS a, \
                 quantile_bounds({column}, 0.5) AS q FROM s WHERE {filter}"
            );
            let truth = format!(
                "SELECT CAST(count(*) AS DOUBLE), CAST(sum({column}) AS DOUBLE), avg({column}) FROM s WHERE {filter}"
            );
            let (found, expected) = runtime().block_on(async { (ask(&ours, &sql).await, ask(&theirs, &truth).await) });
            let found = found.map_err(|error| TestCaseError::fail(format!("{sql}\n{error}")))?;
            let expected = expected.map_err(TestCaseError::fail)?;
            for (place, (bounds, truth)) in found[0].iter().zip(&expected[0]).enumerate() {
                let ScalarValue::Struct(bounds) = bounds else {
                    return Err(TestCaseError::fail(format!("{bounds:?} is no struct")));
                };
                let end = |part: usize| -> Option<f64> {
                    let end = ScalarValue::try_from_array(bounds.column(part), 0).unwrap();
                    match end.cast_to(&datafusion::arrow::datatypes::DataType::Float64).unwrap() {
                        ScalarValue::Float64(end) => end,
                        _ => None,
                    }
                };
                let ScalarValue::Float64(Some(truth)) = truth else { continue };
                let (low, value, high) = (end(0).unwrap(), end(1).unwrap(), end(2).unwrap());
                prop_assert!(
                    low <= truth + 1e-9 && *truth <= high + 1e-9 && low <= value && value <= high,
                    "{} answer {}: {} not in {}..{}", sql, place, truth, low, high
                );
            }
        }
    }
}

fn integer(cell: &ScalarValue) -> i64 {
    match cell {
        ScalarValue::Int64(Some(n)) => *n,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_scan_gives_one_row_a_bucket_and_says_how_exact_it_is() {
    let (snapshot, all) = mixed(&mut Choice(7), 600);
    let rows = snapshot.row_count();
    assert!(rows < 600, "nothing was downsampled");
    let ours = silt(snapshot, 2);
    let found = ask(&ours, "SELECT * FROM s").await.unwrap();
    assert_eq!(found.len() as u64, rows);
    assert_eq!(found[0].len(), 1 + schema().columns().len());
    let found = ask(&ours, "SELECT *, _precision FROM s").await.unwrap();
    assert_eq!(found[0].len(), 2 + schema().columns().len());
    let by = "SELECT _precision, count(*) FROM s GROUP BY _precision ORDER BY 1";
    let found = ask(&ours, by).await.unwrap();
    let named = |cell: &ScalarValue| cell.to_string();
    assert_eq!(
        found.iter().map(|row| named(&row[0])).collect::<Vec<_>>(),
        ["3600s", "raw"]
    );
    let total: i64 = found.iter().map(|row| integer(&row[1])).sum();
    assert_eq!(total, 600);
    let raw = all.iter().filter(|row| row.0 >= BASE + 20 * HOUR).count();
    assert_eq!(integer(&found[1][1]), i64::try_from(raw).unwrap());
    let alone = ask(
        &ours,
        "SELECT count(*) FROM s WHERE _precision = 'raw' AND k2 < 100",
    )
    .await
    .unwrap();
    assert_eq!(integer(&alone[0][0]), i64::try_from(raw).unwrap());
    let starts = "SELECT count(*) FROM (SELECT DISTINCT k1, k2, ts FROM s WHERE _precision <> 'raw' AND date_trunc('hour', ts) = ts)";
    let found = ask(&ours, starts).await.unwrap();
    assert_eq!(integer(&found[0][0]) as u64, rows - raw as u64);
}

#[tokio::test]
async fn what_cannot_be_weighed_is_refused_and_raw_rows_are_not() {
    let (snapshot, all) = mixed(&mut Choice(3), 300);
    let ours = silt(snapshot, 2);
    for sql in [
        "SELECT corr(f, i) FROM s{raw}",
        "SELECT k1, count(DISTINCT f) FROM s{raw} GROUP BY k1",
        "SELECT count(*) FROM (SELECT * FROM s{raw} LIMIT 10)",
        "SELECT count(*), sum(a.f) FROM s a JOIN s b ON a.ts = b.ts{both}",
        "SELECT sum(f) FROM (SELECT f FROM s{raw} UNION ALL SELECT f FROM s{raw})",
        "SELECT approx_distinct(i) FROM s{raw}",
    ] {
        let plain = sql.replace("{raw}", "").replace("{both}", "");
        let error = ask(&ours, &plain).await.unwrap_err();
        assert!(error.contains("_precision = 'raw'"), "{plain}: {error}");
        let raw = sql
            .replace("{raw}", " WHERE _precision = 'raw'")
            .replace("{both}", " WHERE a._precision = 'raw' AND b._precision = 'raw'");
        let found = ask(&ours, &raw)
            .await
            .unwrap_or_else(|error| panic!("{raw}: {error}"));
        let young: Vec<Row> = all
            .iter()
            .filter(|row| row.0 >= BASE + 20 * HOUR)
            .cloned()
            .collect();
        let expected = ask(&memory(&schema(), &young), &plain).await.unwrap();
        assert_eq!(found.len(), expected.len(), "{raw}");
    }
    for sql in [
        "SELECT k1, count(*) FROM s WHERE f > (SELECT avg(f) FROM s) GROUP BY k1",
        "SELECT k1, count(*) FROM s, (SELECT avg(f) AS mean FROM s) AS a WHERE f > mean GROUP BY k1",
        "SELECT DISTINCT ON (k1) k1, ts, f FROM s ORDER BY k1, ts DESC",
        "SELECT count(*) FROM s AS a WHERE EXISTS (SELECT 1 FROM s AS b WHERE b.k2 = a.k2 AND b.f > 1)",
    ] {
        ask(&ours, sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    let window = "SELECT count(*) OVER () FROM s";
    assert!(ask(&ours, window).await.is_ok(), "windows see one row a bucket");
    for sql in [
        "SELECT f, count_bounds(*) FROM s GROUP BY f",
        "SELECT date_trunc('day', ts), count_bounds(*) FROM s GROUP BY 1",
        "SELECT sum_bounds(f + 1) FROM s",
        "SELECT count_bounds(*) FROM s WHERE f > i",
        "SELECT sum_bounds(k2) FROM s",
    ] {
        assert!(ask(&ours, sql).await.is_err(), "{sql}");
    }
}

#[tokio::test]
async fn bounds_come_in_groups_of_keys() {
    let (snapshot, all) = mixed(&mut Choice(5), 700);
    let (ours, theirs) = (silt(snapshot, 2), memory(&schema(), &all));
    let bounds = "SELECT k2, n['low'], k1, n['high'], CAST(s['low'] AS DOUBLE), CAST(s['high'] AS DOUBLE) FROM \
                  (SELECT k1, count_bounds(*) AS n, sum_bounds(f) AS s, k2 FROM s WHERE f > 1 GROUP BY k2, k1) ORDER BY k1, k2";
    let bounds = bounds
        .replace("n['low']", "get_field(n, 'low')")
        .replace("n['high']", "get_field(n, 'high')");
    let bounds = bounds
        .replace("s['low']", "get_field(s, 'low')")
        .replace("s['high']", "get_field(s, 'high')");
    let truth = "SELECT k2, count(*), k1, sum(f) FROM s WHERE f > 1 GROUP BY k2, k1 ORDER BY k1, k2";
    let found = ask(&ours, &bounds).await.unwrap();
    let expected = ask(&theirs, truth).await.unwrap();
    let float = |cell: &ScalarValue| match cell {
        ScalarValue::Float64(Some(number)) => *number,
        other => panic!("{other:?}"),
    };
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!((&found[0], &found[2]), (&expected[0], &expected[2]));
        let count = integer(&expected[1]);
        assert!(
            integer(&found[1]) <= count && count <= integer(&found[3]),
            "{found:?} {expected:?}"
        );
        let sum = float(&expected[3]);
        assert!(
            float(&found[4]) <= sum + 1e-9 && sum <= float(&found[5]) + 1e-9,
            "{found:?} {expected:?}"
        );
    }
}

#[tokio::test]
async fn medians_of_groups_lie_among_their_values() {
    let (snapshot, all) = mixed(&mut Choice(11), 900);
    let (ours, theirs) = (silt(snapshot, 2), memory(&schema(), &all));
    let sql = "SELECT k1, min(f), max(f), median(f), approx_percentile_cont(0.9) WITHIN GROUP (ORDER BY i), \
               approx_median(i), percentile_cont(0.25) WITHIN GROUP (ORDER BY g) FROM s GROUP BY k1 ORDER BY k1";
    let (found, expected) = (ask(&ours, sql).await.unwrap(), ask(&theirs, sql).await.unwrap());
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found[..3], expected[..3]);
        for (a, b) in found[3..].iter().zip(&expected[3..]) {
            assert_eq!(a.data_type(), b.data_type());
            let number =
                |cell: &ScalarValue| match cell.cast_to(&datafusion::arrow::datatypes::DataType::Float64) {
                    Ok(ScalarValue::Float64(Some(number))) => number,
                    other => panic!("{other:?}"),
                };
            // A sketch of some values a bucket; the values spread over 20 and 80.
            assert!((number(a) - number(b)).abs() < 8.0, "{a} {b}");
        }
    }
}
