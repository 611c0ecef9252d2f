//! Random rows, some in segments and some in the tail, and random SQL: the answers equal those over the same rows in
//! memory, bit for bit, except float sums and averages (within 1e-12 of the sum of magnitudes).

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Row, executed, memory, rows, schema, silt, snapshot};
use datafusion::scalar::ScalarValue;
use proptest::prelude::*;
use siltstone_store::value::Value;

/// A small generator of choices (splitmix64): proptest gives the seed, and the failing query is printed whole.
struct Choice(u64);

impl Choice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

const WORDS: [&str; 12] = [
    "",
    "a",
    "motor",
    "Motor stop",
    "stop\nstart",
    "bearing 7 hot",
    "100%",
    "a_b",
    "\u{212a}elvin",
    "é",
    "MOTOR",
    "it's",
];
const BASE: i64 = 1_467_331_200_000_000_000;

fn value(c: &mut Choice, column: &str) -> Value {
    if column != "id" && c.chance(if column == "k1" || column == "k2" { 5 } else { 12 }) {
        return Value::Null;
    }
    let float = |c: &mut Choice| match c.below(14) {
        0 => -0.0,
        1 => 0.0,
        2 => f64::NAN,
        3 => -f64::NAN,
        4 => f64::INFINITY,
        5 => f64::NEG_INFINITY,
        6 => 1e300,
        _ => f64::from(i32::try_from(c.below(41)).unwrap() - 20) / 4.0,
    };
    match column {
        "k1" => Value::Text(["east", "west", ""][c.below(3)].into()),
        "k2" => Value::I64([-1, 0, 7][c.below(3)]),
        "f" => Value::F64(float(c)),
        #[expect(clippy::cast_possible_truncation, reason = "any float will do")]
        "g" => Value::F32(float(c) as f32),
        "i" => Value::I64(i64::try_from(c.below(21)).unwrap() - 10),
        "u" => Value::U64([0, 1, 2, u64::MAX, u64::MAX - 1, 1 << 53, (1 << 53) + 1][c.below(7)]),
        "b" => Value::Bool(c.chance(50)),
        "t" => Value::Text(WORDS[c.below(WORDS.len())].into()),
        "x" => Value::Bytes(vec![0xff; c.below(3)]),
        "m" => Value::Timestamp(BASE / 1_000_000 + i64::try_from(c.below(5)).unwrap() * 500),
        other => panic!("no column {other}"),
    }
}

fn random_rows(c: &mut Choice, count: usize) -> Vec<Row> {
    let schema = schema();
    let row = |c: &mut Choice, id: usize| {
        let time = BASE + i64::try_from(c.below(40)).unwrap() * 3_600_000_000_000;
        let values = schema.columns().iter().map(|column| match column.name.as_str() {
            "id" => Value::I64(i64::try_from(id).unwrap()),
            name => value(c, name),
        });
        (time, values.collect())
    };
    (0..count).map(|id| row(c, id)).collect()
}

fn number(c: &mut Choice) -> String {
    let special = [
        "0.0",
        "-0.0",
        "'NaN'::double",
        "-('NaN'::double)",
        "'Infinity'::double",
        "NULL",
        "9007199254740993",
    ];
    match c.below(8) {
        0 => c.of(&special).to_owned(),
        1..4 => format!("{}", i64::try_from(c.below(21)).unwrap() - 10),
        4 => "18446744073709551615".to_owned(),
        _ => format!("{:?}", (c.below(41) as f64 - 20.0) / 4.0),
    }
}

fn text(c: &mut Choice) -> String {
    format!("'{}'", WORDS[c.below(WORDS.len())].replace('\'', "''"))
}

fn time(c: &mut Choice) -> String {
    let hours = c.below(40);
    let (day, hour) = (1 + hours / 24, hours % 24);
    match c.below(4) {
        0 => format!("'2016-07-{day:02} {hour:02}:00:00'"),
        1 => format!("TIMESTAMP '2016-07-{day:02}T{hour:02}:00:00.250'"),
        2 => format!("'2016-07-{day:02}T{hour:02}:00:00Z'"),
        _ => format!("to_timestamp('2016-07-{day:02}T{hour:02}:00:00+01:00')"),
    }
}

fn list(c: &mut Choice, item: fn(&mut Choice) -> String) -> String {
    let count = 1 + c.below(6);
    (0..count)
        .map(|_| if c.chance(6) { "NULL".to_owned() } else { item(c) })
        .collect::<Vec<_>>()
        .join(", ")
}

fn condition(c: &mut Choice, depth: usize) -> String {
    if depth > 0 && c.chance(45) {
        let (a, b) = (condition(c, depth - 1), condition(c, depth - 1));
        return match c.below(5) {
            0 => format!("NOT ({a})"),
            1 | 2 => format!("({a} OR {b})"),
            _ => format!("({a} AND {b})"),
        };
    }
    format!("({})", leaf(c))
}

fn leaf(c: &mut Choice) -> String {
    let op = c.of(&[
        "=",
        "<>",
        "<",
        "<=",
        ">",
        ">=",
        "IS DISTINCT FROM",
        "IS NOT DISTINCT FROM",
    ]);
    let not = if c.chance(30) { "NOT " } else { "" };
    let numeric = c.of(&[
        "f",
        "g",
        "i",
        "u",
        "f",
        "k2",
        "CAST(i AS DOUBLE)",
        "CAST(g AS DOUBLE)",
    ]);
    let textual = c.of(&["t", "k1", "t"]);
    match c.below(20) {
        0..4 => format!("{numeric} {op} {}", number(c)),
        4 => format!("{numeric} {not}BETWEEN {} AND {}", number(c), number(c)),
        5 => format!("{numeric} {not}IN ({})", list(c, number)),
        6 => format!("{textual} {op} {}", text(c)),
        7 => format!("{textual} {not}IN ({})", list(c, text)),
        8 | 9 => {
            let pattern = c.of(&[
                "%o%", "m%", "%r", "_o%", "%", "", "a\\_b", "100\\%", "%stop%", "%o_o%", "é", "%b%7%",
            ]);
            format!("{textual} {not}LIKE '{pattern}'")
        }
        10 => format!(
            "t {not}ILIKE '{}'",
            c.of(&[
                "%MOTOR%", "%top%", "%elvin", "%kel%", "motor", "%é%", "%B%", "m_T%", "%_É%", "%\\_B%"
            ])
        ),
        19 => format!(
            "{textual} {} '{}'",
            c.of(&["~", "~*", "!~", "!~*"]),
            c.of(&[
                "mo+t",
                "^m.*r$",
                "(stop|b)\\d*",
                "K",
                "[^a-z]",
                "",
                "é",
                "a|",
                "o{2}",
                "\\bpump",
                "^$"
            ])
        ),
        11 => {
            let call = c.of(&[
                "starts_with(t, 'mo')",
                "ends_with(t, 'p')",
                "contains(t, 'o')",
                "strpos(t, 'r') > 0",
                "strpos(t, 'r') = 0",
                "number_in(t, 'g {} hot') > 6.5",
                "number_in(t, 'g {} hot') <= 7",
                "number_in(t, 'bearing {}') = 7",
                "number_in(t, 'bearing {}') <> 8",
                "number_in(t, 'bearing {} h') IS NULL",
            ]);
            format!("{not}{call}")
        }
        12 | 13 => format!("ts {op} {}", time(c)),
        14 => format!("{} {op} {}", c.of(&["m", "CAST(ts AS DATE)", "m"]), time(c)),
        15 => format!("{} IS {not}NULL", c.of(&["f", "t", "k1", "b", "ts", "x"])),
        16 => format!(
            "b{}",
            c.of(&[
                "",
                " IS TRUE",
                " IS NOT TRUE",
                " IS FALSE",
                " IS NOT FALSE",
                " = false",
                " IS UNKNOWN"
            ])
        ),
        17 => format!(
            "{not}{}",
            c.of(&[
                "isnan(f)",
                "isnan(g)",
                "f > g",
                "i + 1 > 2",
                "x = x'ffff'",
                "length(t) > 4"
            ])
        ),
        _ => format!("ts BETWEEN {} AND {}", time(c), time(c)),
    }
}

/// A query, and whether its answer comes in a stated order.
fn query(c: &mut Choice) -> (String, bool) {
    let filter = if c.chance(85) {
        format!(" WHERE {}", condition(c, 3))
    } else {
        String::new()
    };
    let limit = if c.chance(40) {
        format!(" LIMIT {}", c.below(30))
    } else {
        String::new()
    };
    match c.below(12) {
        0..4 => {
            let columns = c.of(&["*", "id", "f, g", "t, x, ts", "k2, b, id", "i + 1, u, m"]);
            (
                format!("SELECT {columns} FROM s{filter} ORDER BY id{limit}"),
                true,
            )
        }
        4 | 5 => {
            let order = c.of(&[
                "k1, k2, ts, id",
                "k1 NULLS FIRST, k2 NULLS FIRST, ts, id",
                "ts, id",
                "ts DESC, id",
                "f, id",
                "k1 NULLS FIRST, id",
            ]);
            (
                format!("SELECT id, ts, k1 FROM s{filter} ORDER BY {order}{limit}"),
                true,
            )
        }
        6 | 7 => {
            let answers = c.of(&[
                "count(*)",
                "count(*), count(f), count(t), min(f), max(f), sum(i), sum(u)",
                "min(g), max(g), min(ts), max(ts), max(m), min(b), max(u), min(k2)",
                "median(i), median(u), median(f), median(g)",
                "sum(f), avg(f), avg(i), avg(u), sum(g)",
                "var(i), var_pop(u), stddev(f), stddev_pop(g), count(*)",
                "var_samp(f), var_pop(i), stddev_pop(f), stddev_samp(u)",
                "count(DISTINCT k1), max(t), min(id)",
                "sum(i) FILTER (WHERE b), count(*)",
            ]);
            // DataFusion's median depends on the order of rows where NaNs are among them, and what squares overflow to
            // on their order, too.
            let finite = if answers.contains("median") {
                "NOT isnan(f) AND NOT isnan(g)"
            } else if answers.contains("stddev") {
                "f BETWEEN -1000 AND 1000 AND g BETWEEN -1000 AND 1000"
            } else {
                "TRUE"
            };
            let glue = if filter.is_empty() { " WHERE" } else { " AND" };
            (format!("SELECT {answers} FROM s{filter}{glue} {finite}"), true)
        }
        8 => (
            format!("SELECT k1, k2, count(*), sum(i), min(ts) FROM s{filter} GROUP BY k1, k2"),
            false,
        ),
        9 => {
            let bin = "date_bin(INTERVAL '6 hours', ts)";
            (
                format!("SELECT {bin} AS bin, k1, max(i) FROM s{filter} GROUP BY {bin}, k1"),
                false,
            )
        }
        10 => (
            format!("SELECT count(*) FROM (SELECT id FROM s{filter}{limit})"),
            true,
        ),
        _ => {
            let filtered = format!("(SELECT * FROM s{filter})");
            (
                format!("SELECT a.id, b.f FROM {filtered} a JOIN s b ON a.id = b.id AND a.k2 = b.k2"),
                false,
            )
        }
    }
}

/// Whether two cells are the same: bits, any NaN a mean made being as good as another, sums within their rounding.
fn same(a: &ScalarValue, b: &ScalarValue, computed: bool, magnitude: f64) -> bool {
    match (a, b) {
        (ScalarValue::Float64(Some(a)), ScalarValue::Float64(Some(b))) if computed => {
            a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-12 * magnitude
        }
        (ScalarValue::Float32(Some(a)), ScalarValue::Float32(Some(b))) if computed => {
            a == b || (a.is_nan() && b.is_nan())
        }
        (ScalarValue::Float64(Some(a)), ScalarValue::Float64(Some(b))) => a.to_bits() == b.to_bits(),
        (ScalarValue::Float32(Some(a)), ScalarValue::Float32(Some(b))) => a.to_bits() == b.to_bits(),
        (a, b) => a == b,
    }
}

/// DataFusion 55 takes `CAST(ts AS DATE) = x` to mean that `ts` itself is constant, and leaves it out of a sort above
/// its own filter. Over a stream the filter is inside the scan, and the sort stays.
fn sorted_wrongly_in_memory(sql: &str) -> bool {
    sql.contains("CAST(ts AS") && sql.contains("ORDER BY")
}

fn compare(
    sql: &str,
    found: &[Vec<ScalarValue>],
    expected: &[Vec<ScalarValue>],
) -> Result<(), TestCaseError> {
    prop_assert_eq!(
        found.len(),
        expected.len(),
        "rows of {}\n{:?}\n{:?}",
        sql,
        found,
        expected
    );
    let computed = ["sum(", "avg(", "median(", "stddev"]
        .iter()
        .any(|call| sql.contains(call));
    // Distances from a mean lose digits where they are small beside it.
    let rounding = if sql.contains("stddev") { 1e3 } else { 1.0 };
    // Small values may cancel, large ones are all positive: the sum of magnitudes is at most this.
    for (found, expected) in found.iter().zip(expected) {
        for (a, b) in found.iter().zip(expected) {
            let magnitude = match b {
                ScalarValue::Float64(Some(v)) => v.abs().max(1e4),
                _ => 1e4,
            };
            prop_assert!(
                same(a, b, computed, magnitude * rounding),
                "{}\nfound    {:?}\nexpected {:?}",
                sql,
                found,
                expected
            );
        }
    }
    Ok(())
}

proptest! {
    // One seed: the engine that answers beside us has faults of its own, which a random run meets now and then. Set
    // another to explore.
    #![proptest_config(ProptestConfig {
        cases: 40,
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(20_261_122),
        ..ProptestConfig::default()
    })]

    #[test]
    fn answers_equal_those_in_memory(seed in any::<u64>()) {
        let c = &mut Choice(seed);
        let count = [0, 1, 7, 60, 200][c.below(5)];
        let all = random_rows(c, count);
        let mut rest = all.as_slice();
        let mut segments = Vec::new();
        for _ in 0..c.below(5) {
            let (segment, after) = rest.split_at(c.below(rest.len() + 1));
            segments.push(segment);
            rest = after;
        }
        let schema = schema();
        let ours = silt(snapshot(&schema, &segments, rest), 1 + c.below(4));
        let theirs = memory(&schema, &all);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for _ in 0..12 {
            let (sql, ordered) = query(c);
            if sorted_wrongly_in_memory(&sql) {
                continue;
            }
            let (found, expected) = runtime.block_on(async { (rows(&ours, &sql).await, rows(&theirs, &sql).await) });
            let mut expected = match expected {
                Ok(expected) => expected,
                // A few of the queries mix types that SQL does not compare.
                Err(_) => continue,
            };
            let mut found = match found {
                Ok(found) => found,
                Err(error) => return Err(TestCaseError::fail(format!("{sql}\n{error}"))),
            };
            let (schema, mut at_once) = runtime
                .block_on(executed(&ours, &sql))
                .map_err(|error| TestCaseError::fail(format!("{sql}\n{error}")))?;
            let planned = runtime.block_on(ours.sql(&sql)).unwrap();
            prop_assert_eq!(schema.fields(), planned.schema().as_arrow().fields(), "{}", sql);
            if !ordered {
                at_once.sort_by_key(|row| format!("{row:?}"));
                found.sort_by_key(|row| format!("{row:?}"));
                expected.sort_by_key(|row| format!("{row:?}"));
            }
            compare(&sql, &found, &expected)?;
            compare(&sql, &at_once, &expected)?;
        }
    }
}
