//! Logs as programs write them, through the command.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use support::place::{Place, rejects};

#[test]
fn a_log_is_known_by_its_first_lines_and_searched() {
    let place = Place::new();
    let mut text = String::from("--------- beginning of main\n");
    for i in 0..3_000 {
        text += &format!(
            "2025-03-29 22:{:02}:{:02},{:03} INFO job {i} done in {} ms\n",
            i / 60,
            i % 60,
            i % 1000,
            i * 7 % 500
        );
        if i % 1000 == 500 {
            text += &format!("java.lang.Error: job {i}\n\tat jobs.Run.run(Run.java:{i})\n\n");
        }
    }
    place.write("app.log", &text);
    let answer = place.silt(&["ingest", "store", "log", "app.log"]);
    assert_eq!(answer.code, 3, "{}", answer.err);
    assert_eq!(
        rejects(&place.path("store/rejects/log.jsonl")),
        [(
            1,
            "there is no time at its start, and no row before it".to_owned()
        )]
    );
    assert_eq!(place.ok(&["count", "store", "log"]), "3000\n");
    assert_eq!(
        place.ok(&["search", "store", "log", "job 1500", "--count"]),
        "1\n"
    );
    assert_eq!(
        place.ok(&["search", "store", "log", "Run.java:1500", "--format", "csv"]),
        "time,message\n2025-03-29T22:25:00.500Z,\"INFO job 1500 done in 0 ms\njava.lang.Error: job 1500\n\tat \
         jobs.Run.run(Run.java:1500)\"\n"
    );
    assert_eq!(
        place.ok(&[
            "count",
            "store",
            "log",
            "--where",
            "time >= '2025-03-29 22:49:59'"
        ]),
        "1\n"
    );
}

#[test]
fn a_followed_log_hands_on_its_last_line() {
    let place = Place::new();
    let input = b"<34>Oct 11 22:14:15 gw su: no\n<34>Oct 11 22:14:16 gw su: yes\n";
    let answer = place.silt_with_input(
        &["ingest", "store", "log", "-", "--follow", "--year", "2020"],
        input,
    );
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert_eq!(
        place.ok(&["export", "store", "log"]),
        "time,message\n2020-10-11T22:14:15Z,gw su: no\n2020-10-11T22:14:16Z,gw su: yes\n"
    );
    let answer = place.silt_with_input(&["ingest", "store", "log"], b"Oct 12 00:00:00 gw su: again\n");
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert!(answer.err.contains("have no year"), "{}", answer.err);
}

#[test]
fn tables_are_no_logs() {
    let place = Place::new();
    place.write(
        "a.csv",
        "a message,ts\nat 1 x,2025-03-29 22:00:00\nat 2 y,2025-03-29 22:00:01\n",
    );
    place.write("b.tsv", "ts\tx\n2025-03-29 22:00:00\t5\n");
    place.write("c.csv", "2025-03-29 22:00:00,5\n2025-03-29 22:00:01,6\n");
    for (file, more) in [
        ("a.csv", &[][..]),
        ("b.tsv", &[]),
        ("c.csv", &["--no-header", "--columns", "ts,x"]),
    ] {
        let args = [&["ingest", file.split('.').next().unwrap(), "s", file], more].concat();
        place.ok(&args);
        assert!(
            place
                .ok(&["export", file.split('.').next().unwrap(), "s"])
                .starts_with("ts,")
        );
    }
    place.write("d.csv", "ts\n2025-03-29 22:00:00\n2025-03-29 22:00:01\n");
    place.write(
        "e.csv",
        "ts,x\n2025-03-29 22:00:00,5 ms\n2025-03-29 22:00:01,6 ms\n",
    );
    for file in ["d", "e"] {
        place.ok(&["ingest", file, "s", &format!("{file}.csv")]);
        assert!(place.ok(&["export", file, "s"]).starts_with("ts"));
    }
    place.write("notes.txt", "one\ntwo\n");
    let answer = place.silt(&["ingest", "store", "s", "notes.txt"]);
    assert!(
        answer.code == 2 && answer.err.contains("--format lines"),
        "{}",
        answer.err
    );
    let answer = place.silt(&["ingest", "store", "s", "notes.txt", "--format", "lines"]);
    assert!(
        answer.code == 2 && answer.err.contains("first 2 lines"),
        "{}",
        answer.err
    );
}

/// A bare number in a column of calendar times was once taken for nanoseconds since 1970.
#[test]
fn counts_among_calendar_times_are_refused() {
    let place = Place::new();
    place.write("a.csv", "ts,x\n2025-03-29 22:00:00,1\n1743285601,2\n");
    let answer = place.silt(&["ingest", "store", "s", "a.csv", "--time", "ts"]);
    assert_eq!(answer.code, 3, "{}", answer.err);
    assert!(
        answer.err.contains("--time-unit s|ms|us|ns says of what"),
        "{}",
        answer.err
    );
    place.ok(&[
        "ingest",
        "store",
        "s",
        "a.csv",
        "--time",
        "ts",
        "--time-unit",
        "s",
    ]);
    assert_eq!(
        place.ok(&["export", "store", "s"]),
        "ts,x\n2025-03-29T22:00:00Z,1\n2025-03-29T22:00:00Z,1\n2025-03-29T22:00:01Z,2\n"
    );
}
