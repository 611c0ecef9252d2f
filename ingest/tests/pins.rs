//! What is near an alarm stays, of its key alone; and what models are not shown.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

mod support;
use support::{ok, silt};

/// Two motors, one row of each a second; the second one runs badly for a while.
fn motors() -> String {
    let mut text = String::from("time,motor,x\n");
    for row in 0..6000u32 {
        let wave = (f64::from(row) * 0.7).sin();
        let fault = if (5000..5300).contains(&row) && row % 3 == 0 {
            2.5
        } else {
            0.0
        };
        text.push_str(&format!("{row},m1,{wave:.6}\n{row},m2,{:.6}\n", wave + fault));
    }
    text
}

/// Takes in rows of motors.
fn ingest(folder: &Path, rows: &str) {
    std::fs::write(folder.join("rows.csv"), rows).unwrap();
    let words = [
        "ingest",
        "store",
        "s",
        "rows.csv",
        "--time-unit",
        "s",
        "--key",
        "motor",
    ];
    ok(folder, &words);
}

const TRAIN: [&str; 13] = [
    "train",
    "store",
    "m",
    "--stream",
    "s",
    "--window",
    "32",
    "--hop",
    "16",
    "--epochs",
    "20",
    "--debounce",
    "2/3",
];

#[test]
fn an_alarm_pins_rows_of_its_key() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    ingest(folder, &motors());
    ok(folder, &[TRAIN.as_slice(), &["--where", "time < 4500"]].concat());
    ok(
        folder,
        &[
            "detect",
            "store",
            "m",
            "s",
            "--where",
            "time > 4600 AND time < 5600",
            "--pin",
            "10s",
        ],
    );
    let pinned = |folder: &Path| -> Vec<String> {
        let stat = ok(folder, &["stat", "store", "s"]).0;
        let lines = stat.lines().filter(|line| line.starts_with("pinned"));
        lines.map(str::to_owned).collect()
    };
    let found = pinned(folder);
    assert!(
        !found.is_empty() && found.iter().all(|line| line.ends_with(", motor m2")),
        "{found:?}"
    );
    // By hand, and let go again.
    let hand = |word: &str, more: &[&str]| {
        let args = ["maintain", "store", "--stream", "s", word, "100..200"];
        silt(folder, &[args.as_slice(), more].concat())
    };
    assert_eq!(hand("--pin", &["--where", "motor = 'm1'"]).0, 0);
    let more = pinned(folder);
    assert_eq!(more.len(), found.len() + 1);
    let line = "pinned    1970-01-01T00:01:40Z up to 1970-01-01T00:03:20Z, motor m1";
    assert!(more.iter().any(|found| found == line), "{more:?}");
    for wrong in [
        "x = 1",
        "motor = 'm1' OR motor = 'm2'",
        "motor > 'm1'",
        "nonsense (",
    ] {
        let (code, _, said) = hand("--pin", &["--where", wrong]);
        assert!(code != 0 && !said.is_empty(), "{wrong}: {said}");
    }
    assert_eq!(
        silt(
            folder,
            &["maintain", "store", "--stream", "s", "--where", "motor = 'm1'"]
        )
        .0,
        2
    );
    assert_eq!(hand("--unpin", &["--where", "motor = 'm2'"]).0, 0);
    assert_eq!(pinned(folder).len(), found.len() + 1);
    assert_eq!(hand("--unpin", &[]).0, 0);
    assert_eq!(pinned(folder), found);
    // What is not pinned goes.
    ok(folder, &["maintain", "store", "--retention", "drop=1s"]);
    ingest(folder, "time,motor,x\n9000,m1,0\n");
    ok(folder, &["maintain", "store"]);
    let count = |condition: &str| -> u64 {
        let (answer, _) = ok(folder, &["count", "store", "s", "--where", condition]);
        answer.trim().parse().unwrap()
    };
    assert_eq!(count("motor = 'm1'"), 1);
    let (faulty, all) = (
        count("motor = 'm2' AND time >= 5000 AND time < 5300"),
        count("motor = 'm2'"),
    );
    assert!(faulty > 250 && all < faulty + 200, "{faulty} of {all}");
}

#[test]
fn models_are_not_shown_buckets() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    ingest(folder, &motors());
    let policy = [
        "maintain",
        "store",
        "--retention",
        "downsample=0s,every=1min,drop=full",
    ];
    ok(folder, &policy);
    let (code, _, said) = silt(folder, &TRAIN);
    assert!(code != 0 && said.contains("buckets"), "{said}");
    let mut text = String::from("time,motor,x\n");
    for row in 6_000..9_000u32 {
        text.push_str(&format!("{row},m1,{:.6}\n", (f64::from(row) * 0.7).sin()));
    }
    ingest(folder, &text);
    let (said, left_out) = ok(folder, &TRAIN);
    assert!(
        said.contains("3,000 rows of s from 1970-01-01T01:40:00Z"),
        "{said}"
    );
    assert!(
        left_out.contains("12,000 rows are kept only as buckets"),
        "{left_out}"
    );
    let (_, said) = ok(folder, &["detect", "store", "m", "s"]);
    assert!(said.contains("186 windows over 3,000 rows"), "{said}");
    assert!(said.contains("12,000 rows are kept only as buckets"), "{said}");
}
