//! `--where` against a row-wise oracle: SQL's three-valued logic, written down plainly.
#![allow(missing_docs, clippy::unwrap_used, clippy::cast_possible_truncation)]
#![expect(clippy::manual_try_fold, reason = "None is a truth value here, not the end")]

use std::cmp::Ordering;
use std::sync::Arc;

use proptest::prelude::*;
use siltstone_ingest::filter;
use siltstone_store::batch::Batch;
use siltstone_store::predicate::Predicate;
use siltstone_store::question::condition::{matches_key, matches_row};
use siltstone_store::question::resolve::{Node, Target, resolve};
use siltstone_store::schema::{ColumnType, Schema, SharedSchema, TimeUnit};
use siltstone_store::text::TextPattern;
use siltstone_store::text::pattern::LikePattern;
use siltstone_store::text::regex::{RegexOptions, RegexPattern};
use siltstone_store::value::{Value, key_of_i64};

fn schema() -> SharedSchema {
    let schema = Schema::new("ts", TimeUnit::Second)
        .with_key("node", ColumnType::Text)
        .and_then(|s| s.with_channel("n", ColumnType::I16, ""))
        .and_then(|s| s.with_channel("u", ColumnType::U64, ""))
        .and_then(|s| s.with_channel("x", ColumnType::F64, ""))
        .and_then(|s| s.with_channel("y", ColumnType::F32, ""))
        .and_then(|s| s.with_channel("door", ColumnType::Bool, ""))
        .and_then(|s| s.with_channel("at", ColumnType::Timestamp(TimeUnit::Millisecond), ""))
        .and_then(|s| s.with_channel("id.h", ColumnType::Text, ""));
    Arc::new(schema.unwrap())
}

/// A condition, as it is written and as it is meant.
#[derive(Debug, Clone)]
enum Condition {
    Compare(&'static str, &'static str, Literal),
    Between(&'static str, bool, Literal, Literal),
    In(&'static str, bool, Vec<Literal>),
    Like(&'static str, bool, String),
    IsNull(&'static str, bool),
    Bool(&'static str),
    IsBool(&'static str, bool, bool),
    Not(Box<Condition>),
    And(Vec<Condition>),
    Or(Vec<Condition>),
}

#[derive(Debug, Clone)]
enum Literal {
    Null,
    Number(f64),
    Text(String),
    /// Milliseconds.
    Time(i64),
    Bool(bool),
}

impl Literal {
    fn sql(&self) -> String {
        match self {
            Literal::Null => "NULL".into(),
            Literal::Number(v) => v.to_string(),
            Literal::Text(t) => format!("'{}'", t.replace('\'', "''")),
            Literal::Time(ms) => {
                format!(
                    "TIMESTAMP '{}'",
                    siltstone_ingest::clock::time_text(*ms, TimeUnit::Millisecond)
                )
            }
            Literal::Bool(b) => b.to_string(),
        }
    }

    fn value(&self) -> Option<Plain> {
        Some(match self {
            Literal::Null => return None,
            Literal::Number(v) => Plain::Number(*v),
            Literal::Text(t) => Plain::Text(t.clone()),
            Literal::Time(ms) => Plain::Number(*ms as f64),
            Literal::Bool(b) => Plain::Number(f64::from(u8::from(*b))),
        })
    }
}

#[derive(Debug, Clone, PartialEq, PartialOrd)]
enum Plain {
    Number(f64),
    Text(String),
}

fn plain(batch: &Batch, row: usize, name: &str) -> Option<Plain> {
    if name == "ts" {
        return Some(Plain::Number(batch.times[row] as f64 * 1000.0));
    }
    let position = batch.schema().position(name).unwrap();
    Some(
        match batch.columns[position].value(batch.schema().columns()[position].ty, row) {
            Value::Null => return None,
            Value::Bool(b) => Plain::Number(f64::from(u8::from(b))),
            Value::I64(v) | Value::Timestamp(v) => Plain::Number(v as f64),
            Value::U64(v) => Plain::Number(v as f64),
            Value::F32(v) => Plain::Number(f64::from(v)),
            Value::F64(v) => Plain::Number(v),
            Value::Text(t) => Plain::Text(t),
            Value::Bytes(_) => unreachable!(),
        },
    )
}

fn ordering(a: &Option<Plain>, b: &Option<Plain>) -> Option<Ordering> {
    Some(match (a.as_ref()?, b.as_ref()?) {
        (Plain::Text(a), Plain::Text(b)) => a.cmp(b),
        (Plain::Number(a), Plain::Number(b)) => a.partial_cmp(b).unwrap(),
        _ => panic!("the test compares like with like"),
    })
}

fn and(values: impl IntoIterator<Item = Option<bool>>) -> Option<bool> {
    values.into_iter().fold(Some(true), |a, b| match (a, b) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    })
}

impl Condition {
    fn sql(&self) -> String {
        let not = |negated: bool| if negated { "NOT " } else { "" };
        let join = |list: &[Condition], word: &str| {
            let parts: Vec<String> = list.iter().map(|c| format!("({})", c.sql())).collect();
            parts.join(word)
        };
        match self {
            Condition::Compare(c, op, l) if matches!(l, Literal::Number(v) if *v > 3.0) => {
                // Written the other way round.
                let flipped = match *op {
                    "<" => ">",
                    "<=" => ">=",
                    ">" => "<",
                    ">=" => "<=",
                    other => other,
                };
                format!("{} {flipped} {c}", l.sql())
            }
            Condition::Compare(c, op, l) => format!("{c} {op} {}", l.sql()),
            Condition::Between(c, n, a, b) => format!("{c} {}BETWEEN {} AND {}", not(*n), a.sql(), b.sql()),
            Condition::In(c, n, list) => {
                let items: Vec<String> = list.iter().map(Literal::sql).collect();
                format!("{c} {}IN ({})", not(*n), items.join(", "))
            }
            Condition::Like(c, n, p) => format!("{c} {}LIKE '{p}'", not(*n)),
            Condition::IsNull(c, n) => format!("{c} IS {}NULL", not(*n)),
            Condition::Bool(c) => (*c).to_owned(),
            Condition::IsBool(c, n, wanted) => format!("{c} IS {}{wanted}", not(*n)),
            Condition::Not(inner) => format!("NOT ({})", inner.sql()),
            Condition::And(list) => join(list, " AND "),
            Condition::Or(list) => join(list, " OR "),
        }
    }

    fn eval(&self, batch: &Batch, row: usize) -> Option<bool> {
        let get = |name: &str| plain(batch, row, name);
        let flip = |value: Option<bool>, negated: bool| value.map(|v| v != negated);
        match self {
            Condition::Compare(c, op, l) => ordering(&get(c), &l.value()).map(|o| match *op {
                "=" => o.is_eq(),
                "<>" => o.is_ne(),
                "<" => o.is_lt(),
                "<=" => o.is_le(),
                ">" => o.is_gt(),
                _ => o.is_ge(),
            }),
            Condition::Between(c, n, a, b) => {
                let value = get(c);
                let inside = and([
                    ordering(&value, &a.value()).map(Ordering::is_ge),
                    ordering(&value, &b.value()).map(Ordering::is_le),
                ]);
                flip(inside, *n)
            }
            Condition::In(c, n, list) => {
                let value = get(c);
                let none = and(list
                    .iter()
                    .map(|l| ordering(&value, &l.value()).map(Ordering::is_ne)));
                flip(none, !*n)
            }
            Condition::Like(c, n, p) => match get(c) {
                Some(Plain::Text(text)) => flip(
                    Some(TextPattern::like(p, Some('\\')).matches(text.as_bytes())),
                    *n,
                ),
                _ => None,
            },
            Condition::IsNull(c, n) => Some(get(c).is_none() != *n),
            Condition::Bool(c) => get(c).map(|v| v == Plain::Number(1.0)),
            Condition::IsBool(c, n, wanted) => {
                Some((get(c) == Some(Plain::Number(f64::from(u8::from(*wanted))))) != *n)
            }
            Condition::Not(inner) => inner.eval(batch, row).map(|v| !v),
            Condition::And(list) => and(list.iter().map(|c| c.eval(batch, row))),
            Condition::Or(list) => and(list.iter().map(|c| c.eval(batch, row).map(|v| !v))).map(|v| !v),
        }
    }
}

fn any_literal(column: &'static str) -> BoxedStrategy<Literal> {
    let literal = match column {
        "node" | "id.h" => "[ab]{0,2}".prop_map(Literal::Text).boxed(),
        "ts" | "at" => (-4000i64..4000)
            .prop_map(|v| Literal::Time(v / 250 * 250))
            .boxed(),
        "door" => any::<bool>().prop_map(Literal::Bool).boxed(),
        "u" => (0i32..8)
            .prop_map(|v| Literal::Number(f64::from(v) / 2.0))
            .boxed(),
        _ => prop_oneof![
            (-8i32..8).prop_map(|v| Literal::Number(f64::from(v) / 2.0)),
            Just(Literal::Number(0.1)),
            Just(Literal::Number(-0.0)),
            Just(Literal::Number(1e6)),
        ]
        .boxed(),
    };
    prop_oneof![9 => literal, 1 => Just(Literal::Null)].boxed()
}

fn any_condition() -> impl Strategy<Value = Condition> {
    let column = proptest::sample::select(vec!["ts", "node", "n", "u", "x", "y", "door", "at", "id.h"]);
    let leaf = column.prop_flat_map(|column| {
        let op = proptest::sample::select(vec!["=", "<>", "<", "<=", ">", ">="]);
        let literals = proptest::collection::vec(any_literal(column), 2..4);
        (op, literals, any::<bool>(), 0..6, "[ab%_]{0,4}", any::<bool>()).prop_map(
            move |(op, literals, negated, form, pattern, wanted)| match (form, column) {
                (0, _) => Condition::Between(column, negated, literals[0].clone(), literals[1].clone()),
                (1, _) => Condition::In(column, negated, literals),
                (2, _) => Condition::IsNull(column, negated),
                (3, "node" | "id.h") => Condition::Like(column, negated, pattern),
                (3, "door") => Condition::Bool(column),
                (4, "door") => Condition::IsBool(column, negated, wanted),
                _ => Condition::Compare(column, op, literals[0].clone()),
            },
        )
    });
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|c| Condition::Not(Box::new(c))),
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Condition::And),
            proptest::collection::vec(inner, 2..4).prop_map(Condition::Or),
        ]
    })
}

type Row = (
    i64,
    Option<String>,
    Option<i16>,
    Option<u64>,
    Option<i8>,
    Option<i8>,
    Option<bool>,
    Option<i16>,
);

fn any_batch() -> impl Strategy<Value = Batch> {
    let row = (
        -4i64..4,
        proptest::option::of("[ab]{0,2}"),
        proptest::option::of(-4i16..4),
        proptest::option::of(0u64..4),
        proptest::option::of(-4i8..5),
        proptest::option::of(-4i8..5),
        proptest::option::of(any::<bool>()),
        proptest::option::of(-4i16..4),
    );
    proptest::collection::vec(row, 1..30).prop_map(|rows: Vec<Row>| {
        let mut batch = Batch::new(schema());
        for (ts, node, n, u, x, y, door, at) in rows {
            // Four stands for minus zero.
            let float = |v: i8| if v == 4 { -0.0 } else { f64::from(v) / 2.0 };
            let text = |t: Option<String>| t.map_or(Value::Null, Value::Text);
            let values = [
                text(node.clone()),
                n.map_or(Value::Null, |v| Value::I64(v.into())),
                u.map_or(Value::Null, Value::U64),
                x.map_or(Value::Null, |v| Value::F64(float(v))),
                y.map_or(Value::Null, |v| Value::F32(float(v) as f32)),
                door.map_or(Value::Null, Value::Bool),
                at.map_or(Value::Null, |v| Value::Timestamp(i64::from(v) * 500)),
                text(node.map(|t| t.chars().rev().collect())),
            ];
            batch.push_row(ts, &values).unwrap();
        }
        batch
    })
}

fn holds(node: &Node, batch: &Batch, row: usize) -> bool {
    match node {
        Node::All => true,
        Node::Nothing => false,
        Node::And(list) => list.iter().all(|n| holds(n, batch, row)),
        Node::Or(list) => list.iter().any(|n| holds(n, batch, row)),
        Node::Leaf(leaf) => {
            let (met, valid) = match leaf.target {
                Target::Time => (
                    matches_key(&leaf.condition, Some(key_of_i64(batch.times[row]))),
                    true,
                ),
                Target::Column(c) => (
                    matches_row(&leaf.condition, &batch.columns[c], row),
                    batch.columns[c].is_valid(row),
                ),
            };
            if leaf.negated { valid && !met } else { met }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn where_means_what_sql_says(condition in any_condition(), batch in any_batch()) {
        let sql = condition.sql();
        let predicate = filter::parse(&sql, batch.schema()).unwrap_or_else(|e| panic!("{sql}: {e}"));
        let node = resolve(batch.schema(), &predicate).unwrap_or_else(|e| panic!("{sql}: {e}"));
        for row in 0..batch.len() {
            prop_assert_eq!(holds(&node, &batch, row), condition.eval(&batch, row) == Some(true), "{} row {}", sql, row);
        }
    }

    #[test]
    fn any_text_gives_a_predicate_or_a_sentence(text in "([nxu]|ts|door|node|[-=<>!'\"()0-9., ]|AND|OR|NOT|IN|LIKE|BETWEEN|IS|NULL|\\PC){0,20}") {
        let _ = filter::parse(&text, &schema());
    }
}

#[test]
fn what_is_not_supported_is_named() {
    for (text, piece) in [
        ("abs(n) > 1", "the function abs"),
        ("n + 1 > 2", "n + 1"),
        ("n > u", "two columns"),
        ("1 = 1", "two literals"),
        ("n ILIKE 'a%'", "ILIKE asks for text"),
        ("node ~ 'a(*'", "regular expression"),
        ("node ~ 5", "single quotes"),
        ("n IN (SELECT 1)", "a subquery"),
        ("nope = 1", "there is no column \"nope\""),
        ("node = \"a\"", "single quotes"),
        ("node = 5", "single quotes"),
        ("n = 'x'", "cannot be compared"),
        ("x = TRUE", "cannot be compared"),
        ("n", "compare it"),
        ("ts > 'yesterday'", "is not a time"),
        ("n > 1 n", "ends before"),
        ("n >", "Expected"),
        ("", "Expected"),
        ("node LIKE node", "single quotes"),
        ("n LIKE '1'", "asks for text"),
    ] {
        let failure = filter::parse(text, &schema()).expect_err(text);
        assert_eq!(failure.exit_code(), 2);
        assert!(failure.to_string().contains(piece), "{text}: {failure}");
    }
}

#[test]
fn expressions_are_held_to_their_matcher() {
    for (text, source, options, negated) in [
        ("node ~ 'A\\d+$'", r"A\d+$", (false, false), false),
        ("node ~* 'a\\d'", r"a\d", (true, false), false),
        ("node !~ 'b'", "b", (false, false), true),
        ("node !~* 'b'", "b", (true, false), true),
    ] {
        let options = RegexOptions {
            ignore_case: options.0,
            bytes: options.1,
        };
        let pattern = RegexPattern::new(source, options).unwrap();
        let matches = Predicate::text("node", TextPattern::Regex(pattern));
        let expected = if negated { !matches } else { matches };
        assert_eq!(filter::parse(text, &schema()).unwrap(), expected, "{text}");
    }
    let like = LikePattern::parse("a_%", Some('\\'));
    let pattern = TextPattern::Regex(RegexPattern::ilike(&like, false).unwrap());
    assert_eq!(
        filter::parse("node ILIKE 'a_%'", &schema()).unwrap(),
        Predicate::text("node", pattern)
    );
}

#[test]
fn a_long_chain_is_no_problem() {
    let text = vec!["n = 1"; 5_000].join(" OR ");
    assert!(filter::parse(&text, &schema()).is_ok());
    let deep = format!("{}n = 1{}", "(".repeat(500), ")".repeat(500));
    assert!(filter::parse(&deep, &schema()).is_err());
}
