//! From rows to alarms: training on the healthy part of a small stream, detection over all of it.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use siltstone_ml_bridge::detect::{self, Recipe};
use siltstone_ml_bridge::math::Random;
use siltstone_ml_bridge::model::file;
use siltstone_ml_bridge::train::{self, Plan};
use siltstone_ml_bridge::window::{FrontEnd, WindowSpec};
use siltstone_store::batch::Batch;
use siltstone_store::predicate::Predicate;
use siltstone_store::schema::{ColumnType, Schema, TimeUnit};
use siltstone_store::store::{Options, Store};
use siltstone_store::value::Value;

/// Rows of each of two machines; from `FAULT` on, machine "b" rattles.
const ROWS: i64 = 24_000;
const FAULT: i64 = 18_000;

fn store(directory: &std::path::Path) -> Store {
    let store = Store::create(directory.join("store"), Options::default()).unwrap();
    let schema = Schema::new("time", TimeUnit::Millisecond)
        .with_key("machine", ColumnType::Text)
        .unwrap()
        .with_channel("x", ColumnType::F32, "g")
        .unwrap()
        .with_channel("y", ColumnType::F32, "g")
        .unwrap();
    let schema = store.create_stream("vibration", schema).unwrap();
    let mut random = Random::new(11);
    for machine in ["a", "b"] {
        let mut batch = Batch::new(schema.clone());
        for row in 0..ROWS {
            let angle = row as f64 * 0.31;
            let load = 1.0 + 0.3 * (row as f64 / 3000.0).sin();
            let mut x = load * angle.sin() + 0.1 * random.normal();
            if machine == "b" && row >= FAULT && row % 37 < 4 {
                x += 0.7 * if row % 2 == 0 { 1.0 } else { -1.0 };
            }
            let y = 0.5 * load * angle.cos() + 0.1 * random.normal();
            let values = [Value::from(machine), Value::F32(x as f32), Value::F32(y as f32)];
            batch.push_row(row, &values).unwrap();
        }
        store.append("vibration", &batch).unwrap();
        store.seal("vibration").unwrap();
    }
    store
}

fn request() -> train::Request {
    let spec = WindowSpec::new(&["x", "y"], 128, 64);
    let mut request = train::Request::new("rattle", "vibration", spec, FrontEnd::spectrum(128, 8).unwrap());
    request.predicate = Predicate::lt("time", Value::Timestamp(15_000));
    request.rows = "time < 15000".into();
    request.plan = Plan {
        epochs: 30,
        ..Plan::default()
    };
    request
}

#[test]
fn alarms_come_where_and_when_the_fault_is() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let report = train::train_model(&store, &request(), &mut |_| true).unwrap();
    assert_eq!(report.version, 1);
    assert!(report.losses.1 < report.losses.0 * 0.7, "{report:?}");

    // The threshold is the exact quantile of the scores that were written down.
    let healthy = store.snapshot("rattle_healthy").unwrap();
    assert_eq!(healthy.row_count(), report.recipe.window_counts[2]);
    let threshold = healthy.quantile("score", 0.99, &Predicate::All).unwrap();
    assert_eq!(threshold, Some(Value::F64(report.recipe.threshold)));

    // What the model file says is what training did.
    let (_, bytes) = store.model("rattle", None).unwrap();
    assert_eq!(
        Recipe::from_metadata(&file::from_bytes(&bytes).unwrap().metadata).unwrap(),
        report.recipe
    );

    let found = detect::detect(&store, &detect::Request::new("rattle", "vibration"), &mut |_| {
        true
    })
    .unwrap();
    assert_eq!(found.rows, 2 * ROWS as u64);
    assert_eq!((found.windows, found.written), (2 * 374, 2 * 374));
    assert!(!found.episodes.is_empty(), "{found:?}");
    for episode in &found.episodes {
        assert_eq!(episode.key, [Value::from("b")], "{episode:?}");
        assert!(
            (FAULT - 128..FAULT + 700).contains(&found.episodes[0].first),
            "{episode:?}"
        );
    }
    let detections = store.snapshot("vibration_detections").unwrap();
    let alarms = detections.count(&Predicate::eq("alarm", true)).unwrap();
    assert_eq!(alarms, found.alarms);
    assert!(alarms > 70, "{alarms}");

    // A second run adds only what is new.
    let again = detect::detect(&store, &detect::Request::new("rattle", "vibration"), &mut |_| {
        true
    })
    .unwrap();
    assert_eq!(
        (again.windows, again.written, again.alarms),
        (found.windows, 0, found.alarms)
    );
}

#[test]
fn the_same_rows_and_seed_give_the_same_model() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    train::train_model(&store, &request(), &mut |_| true).unwrap();
    train::train_model(&store, &request(), &mut |_| true).unwrap();
    let (first, a) = store.model("rattle", Some(1)).unwrap();
    let (second, b) = store.model("rattle", None).unwrap();
    assert_eq!((first, second), (1, 2));
    assert_eq!(a, b);
}

#[test]
fn what_cannot_be_learned_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let mut few = request();
    few.predicate = Predicate::lt("time", Value::Timestamp(500));
    assert!(train::train_model(&store, &few, &mut |_| true).is_err());
    let mut text = request();
    text.spec.channels = vec!["machine".into()];
    assert!(train::train_model(&store, &text, &mut |_| true).is_err());
    let mut small = request();
    small.memory_limit = 1000;
    assert!(train::train_model(&store, &small, &mut |_| true).is_err());
    assert!(store.models().is_empty());
    assert!(detect::detect(&store, &detect::Request::new("none", "vibration"), &mut |_| true).is_err());
}

#[test]
fn a_small_memory_limit_thins_the_windows() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let mut tight = request();
    tight.memory_limit = tight.plan.network_bytes(20) + 150 * (20 * 8 + 24);
    let report = train::train_model(&store, &tight, &mut |_| true).unwrap();
    let windows: u64 = report.recipe.window_counts.iter().sum();
    assert!((75..=150).contains(&windows), "{windows}");
}
