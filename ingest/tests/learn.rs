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
