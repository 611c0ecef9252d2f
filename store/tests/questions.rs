//! Every question, asked of snapshots made of segments and a tail, answers as a plain loop over the rows does.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::manual_try_fold,
    reason = "tests"
)]

use std::cmp::Ordering;
use std::ops::Bound;
use std::sync::Arc;

use proptest::prelude::*;
use siltstone_store::batch::Batch;
use siltstone_store::codes::choose::Layout;
use siltstone_store::column::{Hints, Moments, Sum};
use siltstone_store::predicate::Predicate;
use siltstone_store::schema::{ColumnType, Schema, SharedSchema, TimeUnit};
use siltstone_store::segment::rewrite::rewrite;
use siltstone_store::segment::{Segment, writer};
use siltstone_store::snapshot::Snapshot;
use siltstone_store::text::TextPattern;
use siltstone_store::value::{Value, number_of};

fn schema() -> SharedSchema {
    let schema = Schema::new("ts", TimeUnit::Millisecond)
        .with_key("device", ColumnType::Text)
        .and_then(|s| s.with_key("axis", ColumnType::I8))
        .and_then(|s| s.with_channel("temp", ColumnType::F64, "C"))
        .and_then(|s| s.with_channel("count", ColumnType::I32, ""))
        .and_then(|s| s.with_channel("on", ColumnType::Bool, ""))
        .and_then(|s| s.with_channel("low", ColumnType::F32, ""))
        .and_then(|s| s.with_channel("note", ColumnType::Text, ""))
        .unwrap();
    Arc::new(schema)
}

type Row = (i64, Vec<Value>);

fn maybe<S: Strategy<Value = Value> + 'static>(values: S) -> impl Strategy<Value = Value> {
    prop_oneof![1 => Just(Value::Null), 6 => values]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "(pump|fan|valve) (on|off|error)( [0-9]{1,3})?",
        "[a-c]{0,4}"
    ]
}

fn float() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => (-500i32..500).prop_map(|v| f64::from(v) / 100.0),
        1 => prop_oneof![Just(0.0), Just(-0.0), Just(f64::NAN), Just(-f64::NAN), Just(f64::INFINITY), Just(f64::MIN)],
        1 => any::<f64>(),
    ]
}

fn row() -> impl Strategy<Value = Row> {
    let values = (
        maybe("[xyz]".prop_map(Value::Text)),
        maybe((0i64..3).prop_map(Value::I64)),
        maybe(float().prop_map(Value::F64)),
        maybe((-20i64..20).prop_map(Value::I64)),
        maybe(any::<bool>().prop_map(Value::Bool)),
        maybe(float().prop_map(|v| Value::F32(v as f32))),
        maybe(text().prop_map(Value::Text)),
    );
    (-50i64..50, values).prop_map(|(t, (a, b, c, d, e, f, g))| (t, vec![a, b, c, d, e, f, g]))
}

fn bound(values: BoxedStrategy<Value>) -> impl Strategy<Value = Bound<Value>> {
    prop_oneof![
        values.clone().prop_map(Bound::Included),
        values.prop_map(Bound::Excluded),
        Just(Bound::Unbounded)
    ]
}

fn interval(name: &'static str, values: BoxedStrategy<Value>) -> impl Strategy<Value = Predicate> {
    (bound(values.clone()), bound(values)).prop_map(move |(low, high)| Predicate::Interval {
        column: name.into(),
        low,
        high,
    })
}

fn predicate() -> impl Strategy<Value = Predicate> {
    let strings = text().prop_map(Value::Text).boxed();
    let columns = vec!["device", "axis", "temp", "count", "on", "low", "note"];
    let leaf = prop_oneof![
        interval("ts", (-60i64..60).prop_map(Value::Timestamp).boxed()),
        interval("device", "[xyz]".prop_map(Value::Text).boxed()),
        interval("axis", (0i64..3).prop_map(Value::I64).boxed()),
        interval("temp", float().prop_map(Value::F64).boxed()),
        interval("count", (-20i64..20).prop_map(Value::I64).boxed()),
        interval("on", any::<bool>().prop_map(Value::Bool).boxed()),
        interval("low", float().prop_map(|v| Value::F32(v as f32)).boxed()),
        interval("note", strings.clone()),
        prop::collection::vec(maybe(float().prop_map(Value::F64)), 0..3).prop_map(|values| Predicate::In {
            column: "temp".into(),
            values
        }),
        prop::collection::vec(maybe(strings), 0..3).prop_map(|values| Predicate::In {
            column: "note".into(),
            values
        }),
        prop::sample::select(columns).prop_map(Predicate::is_null),
        text().prop_map(|needle| Predicate::contains("note", needle.into_bytes())),
        "[a-cpo%_]{0,4}".prop_map(|p| Predicate::text("note", TextPattern::like(&p, None))),
        text().prop_map(|needle| Predicate::text("note", TextPattern::StartsWith(needle.into_bytes()))),
        Just(Predicate::All),
        Just(Predicate::Nothing),
        Just(Predicate::Unknown),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Predicate::And),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Predicate::Or),
            inner.prop_map(|p| !p),
        ]
    })
}

/// Total order of two values of the same column; floats by totalOrder.
fn order(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::F64(a), Value::F64(b)) => a.total_cmp(b),
        (Value::F32(a), Value::F32(b)) => a.total_cmp(b),
        (Value::I64(a), Value::I64(b)) | (Value::Timestamp(a), Value::Timestamp(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        _ => panic!("{a:?} and {b:?} are not of one type"),
    }
}

/// SQL's equality: order, but both zeros are equal.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::F64(a), Value::F64(b)) => a.total_cmp(b).is_eq() || (*a == 0.0 && *b == 0.0),
        _ => order(a, b).is_eq(),
    }
}

fn within(value: &Value, low: &Bound<Value>, high: &Bound<Value>) -> bool {
    (match low {
        Bound::Included(b) => order(value, b).is_ge(),
        Bound::Excluded(b) => order(value, b).is_gt(),
        Bound::Unbounded => true,
    }) && (match high {
        Bound::Included(b) => order(value, b).is_le(),
        Bound::Excluded(b) => order(value, b).is_lt(),
        Bound::Unbounded => true,
    })
}

fn cell(schema: &Schema, row: &Row, column: &str) -> Value {
    match schema.position(column) {
        None => Value::Timestamp(row.0),
        Some(position) => row.1[position].clone(),
    }
}

/// True, false or unknown.
fn meets(schema: &Schema, predicate: &Predicate, row: &Row) -> Option<bool> {
    match predicate {
        Predicate::All => Some(true),
        Predicate::Nothing => Some(false),
        Predicate::Unknown => None,
        Predicate::Interval { column, low, high } => {
            let value = cell(schema, row, column);
            (!value.is_null()).then(|| within(&value, low, high))
        }
        Predicate::In { column, values } => {
            let value = cell(schema, row, column);
            if !value.is_null() && values.iter().any(|v| !v.is_null() && same(&value, v)) {
                return Some(true);
            }
            (!value.is_null() && !values.iter().any(Value::is_null)).then_some(false)
        }
        Predicate::Text { column, pattern } => cell(schema, row, column)
            .as_bytes()
            .map(|bytes| pattern.matches(bytes)),
        Predicate::IsNull { column } => Some(cell(schema, row, column).is_null()),
        Predicate::And(list) => list
            .iter()
            .map(|p| meets(schema, p, row))
            .fold(Some(true), |a, b| match (a, b) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            }),
        Predicate::Or(list) => list
            .iter()
            .map(|p| meets(schema, p, row))
            .fold(Some(false), |a, b| match (a, b) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            }),
        Predicate::Not(inner) => meets(schema, inner, row).map(|b| !b),
    }
}

fn sort_key(a: &Value, b: &Value) -> Ordering {
    match (a.is_null(), b.is_null()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        _ => order(a, b),
    }
}

fn batch_of(schema: &SharedSchema, rows: &mut [Row]) -> Batch {
    rows.sort_by(|a, b| {
        sort_key(&a.1[0], &b.1[0])
            .then_with(|| sort_key(&a.1[1], &b.1[1]))
            .then(a.0.cmp(&b.0))
    });
    let mut batch = Batch::new(Arc::clone(schema));
    for (time, values) in rows.iter() {
        batch.push_row(*time, values).unwrap();
    }
    batch
}

/// A layout that a segment is written with, and one that it is then given.
type Layouts = (Layout, Option<Layout>);

fn layouts() -> impl Strategy<Value = Layouts> {
    let any = || prop::sample::select(Layout::ALL.to_vec());
    (any(), prop::option::of(any()))
}

fn hints(layout: Layout) -> Hints {
    Hints {
        layout,
        ..Hints::default()
    }
}

fn segment_of(batch: &Batch, (first, second): Layouts) -> Arc<Segment> {
    let mut file = Vec::new();
    let sequences = (1, batch.len() as u64);
    let columns = vec![hints(first); batch.schema().columns().len()];
    let info = writer::write(batch, sequences, &columns, &mut |bytes| {
        file.extend_from_slice(bytes);
        Ok(())
    })
    .unwrap();
    assert_eq!(info.bytes, file.len() as u64);
    let segment = Segment::open("test", Arc::new(file)).unwrap();
    let Some(second) = second else {
        return Arc::new(segment);
    };
    let mut file = Vec::new();
    let rewritten = rewrite(&segment, &|_| hints(second), &mut |bytes| {
        file.extend_from_slice(bytes);
        Ok(())
    })
    .unwrap();
    assert_eq!(rewritten.bytes, file.len() as u64);
    assert_eq!(
        (rewritten.rows, rewritten.time_range, rewritten.sequences),
        (info.rows, info.time_range, info.sequences)
    );
    Arc::new(Segment::open("rewritten", Arc::new(file)).unwrap())
}

/// A snapshot of some parts (the last one a tail if `tail`), and its rows in part order.
fn snapshot(parts: Vec<Vec<Row>>, tail: bool, layouts: &[Layouts]) -> (Snapshot, Vec<Vec<Row>>) {
    let schema = schema();
    let mut parts: Vec<Vec<Row>> = parts.into_iter().filter(|rows| !rows.is_empty()).collect();
    let mut batches: Vec<Batch> = parts.iter_mut().map(|rows| batch_of(&schema, rows)).collect();
    let last = if tail { batches.pop().map(Arc::new) } else { None };
    let segments = batches
        .iter()
        .zip(layouts)
        .map(|(batch, layouts)| segment_of(batch, *layouts))
        .collect();
    (Snapshot::new(Arc::clone(&schema), segments, last), parts)
}

/// Values compared by bits, so that NaN equals itself and zeros differ.
fn bits(value: &Value) -> String {
    match value {
        Value::F64(v) => format!("{:016x}", v.to_bits()),
        Value::F32(v) => format!("{:08x}", v.to_bits()),
        other => format!("{other:?}"),
    }
}

fn check(snapshot: &Snapshot, parts: &[Vec<Row>], predicate: &Predicate) {
    // Order statistics are found in another way where there is little memory for them.
    let [little, none] = [3_000, 0].map(|limit| snapshot.clone().with_memory_limit(limit));
    let schema = schema();
    let hits: Vec<Vec<u64>> = parts
        .iter()
        .map(|rows| {
            let hit = |r: &u64| meets(&schema, predicate, &rows[*r as usize]) == Some(true);
            (0..rows.len() as u64).filter(hit).collect()
        })
        .collect();
    let rows: Vec<&Row> = hits
        .iter()
        .zip(parts)
        .flat_map(|(hits, rows)| hits.iter().map(|&r| &rows[r as usize]))
        .collect();
    assert_eq!(snapshot.count(predicate).unwrap(), rows.len() as u64, "count");

    let mut found: Vec<Vec<u64>> = vec![Vec::new(); parts.len()];
    for chunk in snapshot.select(predicate).unwrap() {
        let chunk = chunk.unwrap();
        found[chunk.part].extend(chunk.rows.as_slice().iter().flat_map(Clone::clone));
    }
    assert_eq!(found, hits, "select");
    check_scan(&schema, snapshot, &rows, predicate);

    let columns = schema.columns().iter().map(|c| (c.name.as_str(), c.ty));
    for (name, ty) in columns.chain([("ts", ColumnType::Timestamp(TimeUnit::Millisecond))]) {
        let mut values: Vec<Value> = rows
            .iter()
            .map(|row| cell(&schema, row, name))
            .filter(|v| !v.is_null())
            .collect();
        values.sort_by(order);
        assert_eq!(
            snapshot.count_values(name, predicate).unwrap(),
            values.len() as u64,
            "values of {name}"
        );
        let extremes = snapshot
            .min_max(name, predicate)
            .unwrap()
            .map(|(a, b)| (bits(&a), bits(&b)));
        let want = values.first().zip(values.last()).map(|(a, b)| (bits(a), bits(b)));
        assert_eq!(extremes, want, "extremes of {name}");
        if ty.is_binary() {
            continue;
        }
        for k in [
            0,
            values.len() / 3,
            values.len() / 2,
            values.len().saturating_sub(1),
            values.len(),
        ] {
            for snapshot in [snapshot, &little, &none] {
                let nth = snapshot.nth(name, k as u64, predicate).unwrap();
                assert_eq!(
                    nth.as_ref().map(bits),
                    values.get(k).map(bits),
                    "value {k} of {name}"
                );
            }
        }
        check_sum(name, ty, snapshot.sum(name, predicate).unwrap(), &values);
        let number = |v: &Value| number_of(ty, siltstone_store::batch::key_of_value(ty, v).unwrap());
        let numbers: Vec<f64> = values.iter().map(number).collect();
        check_moments(name, snapshot.moments(name, predicate).unwrap(), &numbers);
    }
}

fn check_scan(schema: &Schema, snapshot: &Snapshot, rows: &[&Row], predicate: &Predicate) {
    let names: Vec<&str> = schema.columns().iter().map(|c| c.name.as_str()).collect();
    let mut scanned = Vec::new();
    for batch in snapshot.scan(&names, predicate).unwrap() {
        let batch = batch.unwrap();
        for row in 0..batch.len() {
            let mut line = format!("{}", batch.times[row]);
            for (spec, column) in batch.schema().columns().iter().zip(&batch.columns) {
                line += &format!(" {}", bits(&column.value(spec.ty, row)));
            }
            scanned.push(line);
        }
    }
    let line = |row: &&Row| {
        row.1
            .iter()
            .fold(format!("{}", row.0), |line, v| line + " " + &bits(v))
    };
    assert_eq!(scanned, rows.iter().map(line).collect::<Vec<String>>(), "scan");
}

/// Single rows of each part, alone and some at a time.
fn check_points(snapshot: &Snapshot, parts: &[Vec<Row>]) {
    let schema = schema();
    let names: Vec<&str> = schema.columns().iter().map(|c| c.name.as_str()).collect();
    assert!(snapshot.get(parts.len() + 1, 0, "temp").is_err());
    for (part, rows) in parts.iter().filter(|rows| !rows.is_empty()).enumerate() {
        for (at, row) in rows.iter().enumerate() {
            for name in names.iter().copied().chain(["ts"]) {
                let found = snapshot.get(part, at as u64, name).unwrap();
                assert_eq!(
                    bits(&found),
                    bits(&cell(&schema, row, name)),
                    "{name} of row {at}"
                );
            }
        }
        assert!(snapshot.get(part, rows.len() as u64, "temp").is_err());
        let some: Vec<u64> = (0..rows.len() as u64)
            .filter(|row| row % 3 != 1)
            .flat_map(|row| [row, row])
            .collect();
        let batch = snapshot.get_many(part, &some, &names).unwrap();
        assert_eq!(
            batch.times,
            some.iter().map(|&row| rows[row as usize].0).collect::<Vec<i64>>()
        );
        for (spec, column) in schema.columns().iter().zip(&batch.columns) {
            for (at, &row) in some.iter().enumerate() {
                let want = cell(&schema, &rows[row as usize], &spec.name);
                assert_eq!(
                    bits(&column.value(spec.ty, at)),
                    bits(&want),
                    "{} of row {row}",
                    spec.name
                );
            }
        }
        assert!(snapshot.get_many(part, &[rows.len() as u64], &names).is_err());
    }
}

fn check_moments(name: &str, found: Moments, values: &[f64]) {
    assert_eq!(found.count, values.len() as u64, "values of {name}");
    let magnitude = values.iter().fold(0.0f64, |most, v| most.max(v.abs()));
    if values.iter().any(|v| !v.is_finite()) {
        assert!(found.squares.is_nan(), "moments of {name}");
    } else if magnitude < 1e100 {
        let want = Moments::of(values);
        let rounding = magnitude * 1e-12;
        assert!(
            (found.mean - want.mean).abs() <= rounding,
            "{name}: {found:?} {want:?}"
        );
        let apart = (found.squares - want.squares).abs();
        let spread = (want.squares / want.count.max(1) as f64).sqrt();
        let most = want.squares * 1e-9 + rounding * (rounding + spread) * want.count as f64;
        assert!(apart <= most, "{name}: {found:?} {want:?}");
    }
}

fn check_sum(name: &str, ty: ColumnType, sum: Option<Sum>, values: &[Value]) {
    assert_eq!(sum.is_none(), values.is_empty(), "sum of {name}");
    match sum {
        None => {}
        Some(Sum::Integer(found)) => {
            let number = |v: &Value| match v {
                Value::I64(v) | Value::Timestamp(v) => i128::from(*v),
                Value::Bool(b) => i128::from(*b),
                other => panic!("{other:?} is no integer"),
            };
            assert_eq!(found, values.iter().map(number).sum::<i128>(), "sum of {name}");
        }
        Some(Sum::Float(found)) => {
            let number = |v: &Value| number_of(ty, siltstone_store::batch::key_of_value(ty, v).unwrap());
            let magnitude: f64 = values.iter().map(|v| number(v).abs()).sum();
            let want: f64 = values.iter().map(number).sum();
            if magnitude.is_finite() {
                assert!(
                    (found - want).abs() <= 1e-12 * magnitude,
                    "sum of {name}: {found} instead of {want}"
                );
            } else if values
                .iter()
                .all(|v| number(v).abs() < 1e300 || !number(v).is_finite())
            {
                let same = found == want || (found.is_nan() && want.is_nan());
                assert!(same, "sum of {name}: {found} instead of {want}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn tail_answers_as_a_loop(rows in prop::collection::vec(row(), 0..60), predicate in predicate()) {
        let (snapshot, parts) = snapshot(vec![rows], true, &[]);
        check(&snapshot, &parts, &predicate);
        check_points(&snapshot, &parts);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn segments_and_tail_answer_as_a_loop(
        parts in prop::collection::vec(prop::collection::vec(row(), 0..40), 1..4),
        layouts in prop::collection::vec(layouts(), 4),
        tail: bool,
        predicate in predicate(),
    ) {
        let (snapshot, parts) = snapshot(parts, tail, &layouts);
        check(&snapshot, &parts, &predicate);
        check_points(&snapshot, &parts);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn a_long_segment_answers_as_a_loop(
        rows in prop::collection::vec(row(), 900..1_500),
        layouts in layouts(),
        predicate in predicate(),
    ) {
        let (snapshot, parts) = snapshot(vec![rows], false, &[layouts]);
        check(&snapshot, &parts, &predicate);
    }
}
