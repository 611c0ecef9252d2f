//! Training and detection from the command line, and the demonstration at its smallest.

#![allow(clippy::unwrap_used)]

use std::ffi::OsString;
use std::path::Path;

use siltstone_ingest::command;
use siltstone_ingest::demo::machine::Scenario;
use siltstone_ingest::demo::story;
use siltstone_store::store::Store;

/// Exit code of `silt` with these words.
fn silt(words: &[&str]) -> String {
    let all = std::iter::once("silt")
        .chain(words.iter().copied())
        .map(OsString::from);
    format!("{:?}", command::run(all))
}

fn csv(path: &Path) {
    let mut text = String::from("time_ms,x,load\n");
    for row in 0..6000u32 {
        let wave = (f64::from(row) * 0.7).sin();
        let fault = if row > 5000 && row % 3 == 0 { 2.5 } else { 0.0 };
        text.push_str(&format!("{},{:.3},{}\n", row * 100, wave + fault, row % 7));
    }
    std::fs::write(path, text).unwrap();
}

#[test]
fn from_a_csv_file_to_alarms() {
    let directory = tempfile::tempdir().unwrap();
    let (store, file) = (directory.path().join("store"), directory.path().join("in.csv"));
    csv(&file);
    let (store, file) = (store.to_str().unwrap(), file.to_str().unwrap());
    let ok = format!("{:?}", std::process::ExitCode::SUCCESS);
    let usage = format!("{:?}", std::process::ExitCode::from(2));
    assert_eq!(
        silt(&[
            "ingest",
            store,
            "s",
            file,
            "--time",
            "time_ms",
            "--time-unit",
            "ms"
        ]),
        ok
    );
    let healthy = "time_ms < 480000";
    let train = [
        "train",
        store,
        "m",
        "--stream",
        "s",
        "--channels",
        "x",
        "--window",
        "32",
        "--hop",
        "16",
    ];
    let with = |more: &[&'static str]| silt(&[train.as_slice(), more].concat());
    assert_eq!(
        with(&["--where", healthy, "--epochs", "30", "--debounce", "2/3"]),
        ok
    );
    assert_eq!(with(&["--where", "nonsense ("]), usage);
    assert_eq!(with(&["--where", healthy, "--debounce", "9/3"]), usage);
    assert_eq!(with(&["--where", "time_ms < 1000"]), usage);
    assert_eq!(silt(&["detect", store, "m", "s"]), ok);
    assert_eq!(silt(&["detect", store, "none", "s"]), usage);
    let judge = [
        "model",
        "bench",
        store,
        "m",
        "--budget-ms",
        "1",
        "--labelled",
        "s",
        "--label",
        "load",
    ];
    assert_eq!(silt(&judge), ok);
    assert_eq!(silt(&["model", "list", store]), ok);
    assert_eq!(silt(&["model", "show", store, "m"]), ok);
    assert_eq!(silt(&["model", "rollback", store, "m"]), usage);
    assert_eq!(with(&["--where", healthy, "--epochs", "2", "--seed", "2"]), ok);
    assert_eq!(silt(&["model", "rollback", store, "m"]), ok);
    let opened = Store::open_read(store).unwrap();
    let serving: Vec<u32> = opened
        .models()
        .iter()
        .filter(|m| m.serving)
        .map(|m| m.version)
        .collect();
    assert_eq!(serving, [1]);
    let alarms = siltstone_store::predicate::Predicate::eq("alarm", true);
    assert!(opened.snapshot("s_detections").unwrap().count(&alarms).unwrap() > 20);
    drop(opened);
    assert_eq!(silt(&["model", "rm", store, "m", "2"]), ok);
}

#[test]
fn the_demonstration_finds_the_flaw() {
    let directory = tempfile::tempdir().unwrap();
    let mut told = Vec::new();
    story::tell(
        &directory.path().join("demo"),
        Scenario { days: 6, seed: 3 },
        &mut told,
    )
    .unwrap();
    let told = String::from_utf8(told).unwrap();
    assert!(told.contains("after the flaw began"), "{told}");
    assert!(told.contains("False alarms before the flaw: 0 in"), "{told}");
    for line in told.lines() {
        assert!(!line.contains("NaN") && !line.contains("inf"), "{line}");
    }
}

/// A classifier of two rows of one channel: 0 if their sum is positive, 1 if it is negative.
fn classifier(path: &Path) {
    use siltstone_ml_bridge::model::{Activation, Affine, dense, tflite};
    let affine = Affine {
        scale: 0.05,
        zero_point: 0,
    };
    let layer = dense::DenseLayer {
        inputs: 2,
        outputs: 2,
        weights: vec![64, 64, -64, -64],
        weight_scales: vec![1.0 / 64.0],
        bias: vec![],
        activation: Activation::None,
        output: affine,
    };
    let model = dense::build(&[layer], affine).unwrap();
    std::fs::write(path, tflite::to_bytes(&model).unwrap()).unwrap();
}

#[test]
fn a_model_is_imported_packed_and_judged_by_labels() {
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (store, rows, model) = (place("store"), place("in.csv"), place("m.tflite"));
    let mut text = String::from("time_ms,x,class\n");
    for row in 0..400 {
        let class = row / 2 % 2;
        text.push_str(&format!("{row},{},{class}\n", [1.5, -1.5][class]));
    }
    std::fs::write(&rows, text).unwrap();
    classifier(Path::new(&model));
    let ok = format!("{:?}", std::process::ExitCode::SUCCESS);
    let usage = format!("{:?}", std::process::ExitCode::from(2));
    assert_eq!(
        silt(&[
            "ingest",
            &store,
            "s",
            &rows,
            "--time",
            "time_ms",
            "--time-unit",
            "ms"
        ]),
        ok
    );
    assert_eq!(silt(&["model", "import", &store, "packed", &model]), ok);
    assert_eq!(
        silt(&["model", "import", &store, "plain", &model, "--pack", "none"]),
        ok
    );
    assert_eq!(
        silt(&["model", "import", &store, "no", &model, "--pack", "nonsense"]),
        usage
    );
    // Bytes 40 to 47 say where packed weights start.
    let kept = |name: &str| {
        Store::open_read(Path::new(&store))
            .unwrap()
            .model(name, None)
            .unwrap()
            .1
    };
    assert_ne!(kept("packed")[40..48], [0; 8]);
    assert_eq!(kept("plain")[40..48], [0; 8]);
    for name in ["packed", "plain"] {
        let bench = [
            "model",
            "bench",
            &store,
            name,
            "--budget-ms",
            "1",
            "--labelled",
            "s",
            "--label",
        ];
        let with = |more: &[&'static str]| {
            let words: Vec<&str> = bench.iter().copied().chain(more.iter().copied()).collect();
            silt(&words)
        };
        assert_eq!(with(&["class"]), ok);
        assert_eq!(with(&["class", "--json", "--units", "standard"]), ok);
        // No classes, and not as many rows as the model takes.
        assert_eq!(with(&["x"]), usage);
        assert_eq!(with(&["class", "--channels", "x,x,x"]), usage);
        assert_eq!(with(&["class", "--difference"]), ok);
        assert_eq!(with(&["class", "--difference", "--json", "--units", "int8"]), ok);
    }
}
