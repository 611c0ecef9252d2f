//! Inputs as they are found: cut off, empty, with decimal commas, in local time, from sensors that begin slowly.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use support::place::{Place, answer, rejects};

fn packed(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn files_that_are_cut_off_or_empty_do_not_stop_the_others() {
    let place = Place::new();
    let mut text = String::from("ts,x\n");
    for i in 0..20_000u32 {
        text += &format!("{i},{}\n", i.wrapping_mul(2_654_435_761));
    }
    let bytes = packed(&text);
    place.write("cut.csv.gz", &bytes[..bytes.len() / 2]);
    place.write("empty.csv", "");
    place.write("header.csv", "ts,x\n");
    place.write("none.jsonl", "");
    place.write("last.csv", "ts,x\n90000,1\n");
    let answer = place.silt(&["ingest", "none", "s", "header.csv"]);
    assert_eq!(answer.code, 3, "{}", answer.err);
    assert!(answer.err.contains("header.csv holds no row"), "{}", answer.err);
    let answer = place.silt(&["ingest", "alone", "s", "cut.csv.gz", "--time-unit", "s"]);
    assert_eq!(answer.code, 3, "{}", answer.err);
    assert!(
        answer.err.contains("cut.csv.gz cannot be unpacked"),
        "{}",
        answer.err
    );
    assert!(answer.err.contains("rows were added before"), "{}", answer.err);
    let kept: u64 = place.ok(&["count", "alone", "s"]).trim().parse().unwrap();
    assert!((5_000..15_000).contains(&kept), "{kept}");

    let args = [
        "ingest",
        "all",
        "s",
        "empty.csv",
        "cut.csv.gz",
        "last.csv",
        "--time-unit",
        "s",
    ];
    let answer = place.silt(&args);
    assert_eq!(answer.code, 3, "{}", answer.err);
    assert!(
        answer.err.contains("empty.csv holds no header line"),
        "{}",
        answer.err
    );
    assert_eq!(place.ok(&["count", "all", "s"]), format!("{}\n", kept + 1));
}

#[test]
fn decimal_commas_and_local_times() {
    let place = Place::new();
    place.write(
        "plc.csv",
        "Zeit;Wert;Text\n29.03.2025 23:00:00,500;-1,5;a, b\n29.03.2025 23:00:01;2;1,5\n2025-03-29T22:00:02Z;0,25;c\n",
    );
    let answer = place.silt(&["ingest", "text", "plc", "plc.csv"]);
    assert!(
        answer.code == 0 && answer.err.contains("--decimal ,"),
        "{}",
        answer.err
    );
    assert!(!answer.err.contains("Text is text"), "{}", answer.err);
    let args = [
        "ingest",
        "store",
        "plc",
        "plc.csv",
        "--decimal",
        ",",
        "--utc-offset",
        "+01:00",
    ];
    place.ok(&args);
    assert_eq!(
        place.ok(&["export", "store", "plc"]),
        "Zeit,Wert,Text\n2025-03-29T22:00:00.500Z,-1.5,\"a, b\"\n2025-03-29T22:00:01Z,2.0,\"1,5\"\n\
         2025-03-29T22:00:02Z,0.25,c\n"
    );
    place.write(
        "app.log",
        "2025-03-29 23:00:00 up\n2025-03-29 23:00:00Z up\nMar 29 23:00:01 up\n",
    );
    place.ok(&[
        "ingest",
        "store",
        "log",
        "app.log",
        "--utc-offset",
        "-05:30",
        "--year",
        "2025",
    ]);
    assert_eq!(
        place.ok(&["export", "store", "log"]),
        "time,message\n2025-03-29T23:00:00Z,up\n2025-03-30T04:30:00Z,up\n2025-03-30T04:30:01Z,up\n"
    );
}

/// The first rows of a followed sensor may come late, and say little of the types of what follows.
#[test]
fn a_sensor_may_begin_slowly() {
    let place = Place::new();
    for (format, first, later) in [
        ("csv", "ts,x\n1,20\n", "2,20.5\n"),
        ("jsonl", "{\"ts\":1,\"x\":20}\n", "{\"ts\":2,\"x\":20.5}\n"),
    ] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_silt"))
            .args([
                "ingest",
                format,
                "s",
                "-",
                "--time-unit",
                "s",
                "--follow",
                "--format",
                format,
            ])
            .current_dir(place.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        for text in ["", first, later] {
            std::thread::sleep(Duration::from_millis(500));
            input.write_all(text.as_bytes()).unwrap();
        }
        drop(input);
        let answer = answer(child.wait_with_output().unwrap());
        assert_eq!(answer.code, 3, "{}", answer.err);
        assert!(answer.err.contains("after 1 rows, x seem"), "{}", answer.err);
        let rejects = rejects(&place.path(format!("{format}/rejects/s.jsonl").as_str()));
        assert!(rejects[0].1.contains("20.5"), "{rejects:?}");
    }
}

#[test]
fn a_header_that_comes_again_is_skipped() {
    let place = Place::new();
    let row = "2025-03-29 22:00:00,2\n".repeat(12);
    place.write("a.csv", format!("ts,x\n{row}ts,x\n{row}n/a,3\n"));
    let answer = place.silt(&["ingest", "store", "s", "a.csv"]);
    assert_eq!(answer.code, 3, "{}", answer.err);
    assert_eq!(place.ok(&["count", "store", "s"]), "24\n");
    let rejects = rejects(&place.path("store/rejects/s.jsonl"));
    assert!(rejects[0].0 == 27 && rejects.len() == 1, "{rejects:?}");
}

#[test]
fn several_statements_and_remedies() {
    let place = Place::new();
    place.write("a.csv", "ts,x\n1,2\n");
    place.ok(&[
        "ingest",
        "store",
        "s",
        "a.csv",
        "--time-unit",
        "s",
        "--type",
        "x=f64",
    ]);
    let args = [
        "sql",
        "store",
        "--format",
        "csv",
        "select x from s; select ';' as y -- ;",
    ];
    assert_eq!(place.ok(&args), "x\n2.0\ny\n;\n");
    for (sql, remedy) in [
        ("select x from s where x = \"M1\"", "single quotes"),
        ("select x from s where ts < '2025-03-31 12:00'", "seconds"),
        (
            "select timestamp '2025-03-30 02:30:00' at time zone 'Europe/Berlin'",
            "AT TIME ZONE 'UTC'",
        ),
        ("drop table s", "retention"),
        ("delete from s", "retention"),
    ] {
        let answer = place.silt(&["sql", "store", sql]);
        assert!(
            answer.code == 2 && answer.err.contains(remedy),
            "{sql}: {}",
            answer.err
        );
    }
}

/// A log is renamed and begun anew while it is followed.
#[test]
fn a_followed_file_may_be_replaced() {
    let place = Place::new();
    place.write("a.log", "2025-03-29 22:00:00 one\n");
    let mut child = Command::new(env!("CARGO_BIN_EXE_silt"))
        .args(["ingest", "store", "log", "a.log", "--follow"])
        .current_dir(place.folder.path())
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let wait_for = |rows: &str| {
        for _ in 0..200 {
            let answer = place.silt(&["count", "store", "log"]);
            if answer.out == rows {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{rows} rows never came");
    };
    wait_for("1\n");
    std::fs::rename(place.path("a.log"), place.path("a.log.1")).unwrap();
    place.write("a.log", "2025-03-29 22:00:01 two\n");
    wait_for("2\n");
    place.write("a.log", "2025-03-29 22:00:02 3\n");
    wait_for("3\n");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn day_and_time_of_day_may_be_two_columns() {
    let place = Place::new();
    place.write(
        "a.csv",
        "Date,Time,x\n2025-03-29,22:00:00,1\n2025-03-29,22:00:00.5,2\n2025-03-30,9:05,3\n",
    );
    let wanted = "Date,x\n2025-03-29T22:00:00Z,1\n2025-03-29T22:00:00.500Z,2\n2025-03-30T09:05:00Z,3\n";
    let answer = place.silt(&["ingest", "store", "s", "a.csv"]);
    assert!(answer.err.contains("Date and Time together"), "{}", answer.err);
    assert_eq!(place.ok(&["export", "store", "s"]), wanted);
    place.write(
        "b.csv",
        "Date,Time,x\n2025-03-31,10:00 PM,4\n2025-03-31,late,5\n,10:00,6\n",
    );
    let answer = place.silt(&[
        "ingest",
        "store",
        "s",
        "b.csv",
        "--time",
        "Date,Time",
        "--utc-offset",
        "-01",
    ]);
    assert_eq!(answer.code, 3, "{}", answer.err);
    let refused = rejects(&place.path("store/rejects/s.jsonl"));
    assert!(refused[0].1.contains("2025-03-31 late"), "{refused:?}");
    assert!(
        refused.len() == 2 && refused[1].1.contains("no time"),
        "{refused:?}"
    );
    assert!(
        place
            .ok(&["export", "store", "s"])
            .ends_with("2025-03-31T23:00:00Z,4\n")
    );
    place.ok(&["ingest", "apart", "s", "a.csv", "--type", "Time=text"]);
    assert!(
        place
            .ok(&["export", "apart", "s"])
            .starts_with("Date,Time,x\n2025-03-29T00:00:00Z,22:00:00,1\n")
    );
}

#[test]
fn the_form_of_times_can_be_spelled_out() {
    let place = Place::new();
    place.write(
        "us.csv",
        "Date,Time,x\n3/29/2025,10:00:00 PM,1\n13/1/2025,1:00:00 AM,2\n",
    );
    let answer = place.silt(&["ingest", "store", "s", "us.csv"]);
    assert!(
        answer.code == 2 && answer.err.contains("--time-format"),
        "{}",
        answer.err
    );
    let format = ["--time", "Date,Time", "--time-format", "%m/%d/%Y %I:%M:%S %p"];
    let answer = place.silt(&[&["ingest", "store", "s", "us.csv"], &format[..]].concat());
    assert_eq!(answer.code, 3, "{}", answer.err);
    assert!(
        answer.err.contains("is not as --time-format says"),
        "{}",
        answer.err
    );
    assert_eq!(
        place.ok(&["export", "store", "s"]),
        "Date,x\n2025-03-29T22:00:00Z,1\n"
    );
    let answer = place.silt(&[
        "ingest",
        "store",
        "s",
        "us.csv",
        "--time",
        "Date",
        "--time-format",
        "%m",
    ]);
    assert!(
        answer.code == 2 && answer.err.contains("a year, a month and a day"),
        "{}",
        answer.err
    );
}

#[test]
fn text_that_is_not_utf_8() {
    let place = Place::new();
    place.write(
        "a.log",
        b"2025-03-29 22:00:00 Gr\xfc\xdfe\n2025-03-29 22:00:01 5 \x80\n",
    );
    let answer = place.silt(&["ingest", "plain", "log", "a.log"]);
    assert!(
        answer.code == 3 && answer.err.contains("--encoding latin1"),
        "{}",
        answer.err
    );
    place.ok(&["ingest", "store", "log", "a.log", "--encoding", "latin1"]);
    let wanted = "time,message\n2025-03-29T22:00:00Z,Grüße\n2025-03-29T22:00:01Z,5 €\n";
    assert_eq!(place.ok(&["export", "store", "log"]), wanted);
    let wide = "\u{feff}ts,größe\r\n2025-03-29 22:00:00,7\r\n".encode_utf16();
    place.write("b.csv", wide.flat_map(u16::to_le_bytes).collect::<Vec<u8>>());
    place.ok(&["ingest", "store", "s", "b.csv"]);
    assert_eq!(
        place.ok(&["export", "store", "s"]),
        "ts,größe\n2025-03-29T22:00:00Z,7\n"
    );
}
