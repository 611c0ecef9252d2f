//! The command from end to end: what goes in comes out, refused lines are named, exit codes say what happened.
#![allow(missing_docs, clippy::unwrap_used, clippy::cast_possible_truncation)]

use std::io::Write;
use std::process::{Command, Stdio};

mod support;

use support::place::{Place, answer, rejects};

#[test]
fn rows_go_in_and_come_out() {
    let place = Place::new();
    place.write(
        "a.csv",
        "ts,node,temp,ok,note\n\
         2016-07-01 00:00:02,b,,true,\n\
         2016-07-01T02:00:01+02:00,a,1,false,\"two, with \"\"quotes\"\"\"\n\
         2016-07-01 00:00:00.5,a,-2.5,true,late row\n",
    );
    let answer = place.silt(&[
        "ingest", "store", "s", "a.csv", "--key", "node", "--unit", "temp=°C",
    ]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert!(answer.err.contains("3 rows"), "{}", answer.err);
    assert_eq!(answer.out, "");
    let wanted = "ts,node,temp,ok,note\n\
                  2016-07-01T00:00:00.500Z,a,-2.5,true,late row\n\
                  2016-07-01T00:00:01Z,a,1.0,false,\"two, with \"\"quotes\"\"\"\n\
                  2016-07-01T00:00:02Z,b,,true,\n";
    let export = ["export", "store", "s", "--format", "csv"];
    assert_eq!(place.ok(&export), wanted);
    place.ok(&["maintain", "store"]);
    assert_eq!(place.ok(&export), wanted, "sealed rows are the same rows");
    assert_eq!(place.ok(&["count", "store", "s"]), "3\n");
    assert_eq!(
        place.ok(&["count", "store", "s", "--where", "temp < 0 OR temp IS NULL"]),
        "2\n"
    );
    assert_eq!(
        place.ok(&["count", "store", "s", "--where", "ts < '2016-07-01T00:00:01Z'"]),
        "1\n"
    );
    assert_eq!(place.ok(&["search", "store", "s", "row", "--count"]), "1\n");
    let found = place.ok(&[
        "search", "store", "s", "QUOTES", "-i", "--format", "jsonl", "--column", "note",
    ]);
    assert_eq!(
        found,
        "{\"ts\":\"2016-07-01T00:00:01Z\",\"node\":\"a\",\"note\":\"two, with \\\"quotes\\\"\"}\n"
    );
    assert_eq!(
        place.ok(&[
            "search",
            "store",
            "s",
            "nothing of the kind",
            "--format",
            "csv",
            "--column",
            "note"
        ]),
        "ts,node,note\n"
    );
    let stat = place.ok(&["stat", "store", "s"]);
    for word in ["temp", "°C", "f64", "bits/value", "total"] {
        assert!(stat.contains(word), "{word} in\n{stat}");
    }
    assert!(place.ok(&["stat", "store"]).contains("on disk"));
    assert_eq!(place.silt(&["verify", "store"]).code, 0);
}

#[test]
fn what_is_exported_can_be_ingested_again() {
    let place = Place::new();
    let mut text = String::from("ts_us,x,n,on,t\n");
    for i in 0..10_000i64 {
        text += &format!(
            "{},{:?},{},{},\"n{}\n\"\n",
            i * 997 % 10_000,
            (i as f64).sqrt() - 3.0,
            -i,
            i % 3 == 0,
            i % 17
        );
    }
    text += "10000,,,,\n10001,NaN,9223372036854775807,true,\"\"\n";
    place.write("a.csv", &text);
    let answer = place.silt(&["ingest", "store", "s", "a.csv"]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    for format in ["csv", "jsonl"] {
        let out = place.path(&format!("out.{format}"));
        let out = out.to_str().unwrap();
        place.ok(&["export", "store", "s", "--format", format, "--output", out]);
        let args = ["ingest", "again", format, out, "--time-unit", "us"];
        let answer = place.silt(&args);
        assert_eq!(answer.code, 0, "{}", answer.err);
        let first = place.ok(&["export", "store", "s", "--format", "csv"]);
        let again = place.ok(&["export", "again", format, "--format", "csv"]);
        let different = first.lines().zip(again.lines()).find(|(a, b)| a != b);
        assert_eq!(different, None, "{format}");
        assert_eq!(first.matches('\n').count(), 20_003);
    }
}

#[test]
fn bad_lines_are_refused_by_number_and_the_rest_is_kept() {
    let place = Place::new();
    let mut text = String::from("ts,x,on\n");
    for i in 0..101_000 {
        text += &format!(
            "2020-01-{:02} {:02}:{:02}:{:02},{i},true\n",
            1 + i / 86_400,
            i / 3600 % 24,
            i / 60 % 60,
            i % 60
        );
    }
    // Behind the sample, so these do not change the types.
    text += "2020-01-02 00:00:00,1.5,true\nnonsense,1,true\n2020-01-02 00:00:01,2,true,4\n,3,true\n\n2020-01-02 00:00:02,4,false\n2020-01-02 00:00:03,5,maybe\n2020-01-02 00:00:04,6,\"false\n";
    place.write("a.csv", &text);
    let answer = place.silt(&["ingest", "store", "s", "a.csv"]);
    assert_eq!(answer.code, 3, "{}", answer.err);
    assert!(
        answer.err.contains("6 lines refused") && answer.err.contains("--type"),
        "{}",
        answer.err
    );
    assert_eq!(place.ok(&["count", "store", "s"]), "101001\n");
    let rejects = rejects(&place.path("store/rejects/s.jsonl"));
    let lines: Vec<u64> = rejects.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [101_002, 101_003, 101_004, 101_005, 101_008, 101_009]);
    for ((_, reason), word) in rejects.iter().zip([
        "\"1.5\" is not of type i64",
        "not a time",
        "4 fields",
        "no time",
        "\"maybe\"",
        "never closed",
    ]) {
        assert!(reason.contains(word), "{reason}");
    }
}

#[test]
fn packed_files_standard_input_and_json_lines() {
    let place = Place::new();
    let text = b"t;v\n2020-01-01;1,5\n2020-01-02;\n2020-01-03;2,5\n";
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gz.write_all(text).unwrap();
    place.write("a.csv.gz", gz.finish().unwrap());
    place.write(
        "a.csv.zst",
        ruzstd::encoding::compress_to_vec(&text[..], ruzstd::encoding::CompressionLevel::Fastest),
    );
    for (stream, input) in [("gz", "a.csv.gz"), ("zst", "a.csv.zst")] {
        place.ok(&["ingest", "store", stream, input]);
        assert_eq!(
            place.ok(&["count", "store", stream, "--where", "v LIKE '%,5'"]),
            "2\n"
        );
    }
    let answer = place.silt_with_input(&["ingest", "store", "in"], text);
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert_eq!(place.ok(&["count", "store", "in"]), "3\n");

    // A field that comes up late becomes a channel; a null first decides nothing.
    let mut json = String::new();
    for i in 0..110_000 {
        json += &format!(
            "{{\"time\": {i}, \"a\": {{\"b\": null, \"c\": \"x{}\"}}}}\n",
            i % 5
        );
    }
    json += "{\"time\": 110000, \"a\": {\"b\": 2}, \"late\": true}\n{\"time\": 110001, \"a\": {\"b\": 2.5}}\n[]\n";
    let answer = place.silt_with_input(
        &["ingest", "store", "json", "-", "--time-unit", "ms"],
        json.as_bytes(),
    );
    assert_eq!(answer.code, 3, "{}", answer.err);
    assert!(answer.err.contains("new channels: a.b, late"), "{}", answer.err);
    assert_eq!(
        place.ok(&["count", "store", "json", "--where", "a.b BETWEEN 2 AND 2.5"]),
        "2\n"
    );
    assert_eq!(
        place.ok(&["count", "store", "json", "--where", "late AND a.c IS NULL"]),
        "1\n"
    );
    assert_eq!(
        place.ok(&["count", "store", "json", "--where", "a.c = 'x1'"]),
        "22000\n"
    );
    // New columns of a later file are added to a stream that is there.
    let answer = place.silt_with_input(&["ingest", "store", "in", "-"], b"t,w\n2020-01-04,7\n");
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert_eq!(
        place.ok(&["count", "store", "in", "--where", "w = 7 AND v IS NULL"]),
        "1\n"
    );
}

#[test]
fn tab_separated_logs_with_comment_headers() {
    let place = Place::new();
    let log = "#separator \\x09\n#unset_field\t-\n#fields\tts\tuid\tid.h\trtt\tq\n#types\ttime\tstring\taddr\tinterval\tstring\n\
               1521911720.865716\tC1\t10.0.0.1\t0.000870\t\"odd\n1521911720.865717\tC2\t10.0.0.2\t-\t-\n#close\t2024\n";
    place.write("dns.log", log);
    let by_hand = [
        "ingest",
        "store",
        "hand",
        "dns.log",
        "--delimiter",
        "\\t",
        "--comment",
        "#",
        "--quote",
        "none",
        "--null",
        "-",
        "--no-header",
        "--columns",
        "ts,uid,id.h,rtt,q",
        "--time-unit",
        "s",
    ];
    place.ok(&by_hand);
    place.ok(&["ingest", "store", "known", "dns.log"]);
    let wanted = "ts,uid,id.h,rtt,q\n2018-03-24T17:15:20.865716Z,C1,10.0.0.1,0.00087,\"\"\"odd\"\n2018-03-24T17:15:20.865717Z,C2,10.0.0.2,,\n";
    for stream in ["hand", "known"] {
        assert_eq!(place.ok(&["export", "store", stream, "--format", "csv"]), wanted);
        assert_eq!(
            place.ok(&[
                "count",
                "store",
                stream,
                "--where",
                "id.h = '10.0.0.2' AND rtt IS NULL"
            ]),
            "1\n"
        );
    }
}

#[test]
fn exit_codes_and_remedies() {
    let place = Place::new();
    place.write("a.csv", "ts,x\n1521911720,1\n");
    let cases: [(&[&str], i32, &str); 11] = [
        (&["count", "nowhere", "s"], 4, "no store at nowhere"),
        (&["ingest", "store", "s", "nowhere.csv"], 4, "nowhere.csv"),
        (
            &["ingest", "store", "s", "a.csv"],
            2,
            "with --time-unit s, 1521911720 is 2018-03-24T17:15:20Z",
        ),
        (
            &["ingest", "store", "s", "a.csv", "--time-unit", "h"],
            2,
            "s, ms, us and ns",
        ),
        (
            &["ingest", "store", "s", "a.csv", "--time-unit", "s", "--key", "y"],
            2,
            "--key names y",
        ),
        (
            &[
                "ingest",
                "store",
                "s",
                "a.csv",
                "--time-unit",
                "s",
                "--type",
                "x=int9",
            ],
            2,
            "there is no type int9",
        ),
        (
            &["ingest", "store", "s", "a.csv", "--time-unit", "s"],
            0,
            "1 rows",
        ),
        (
            &["ingest", "store", "s", "a.csv", "--key", "x"],
            2,
            "cannot change",
        ),
        (&["count", "store", "t"], 2, "it has s"),
        (
            &["count", "store", "s", "--where", "y = 1"],
            2,
            "there is no column \"y\"",
        ),
        (&["search", "store", "s", "a"], 2, "no text column"),
    ];
    for (args, code, words) in cases {
        let answer = place.silt(args);
        assert_eq!(answer.code, code, "{args:?}: {}", answer.err);
        assert!(answer.err.contains(words), "{args:?}: {}", answer.err);
    }
    // A damaged file: verify says no, and names it.
    place.ok(&["maintain", "store"]);
    let segment = std::fs::read_dir(place.path("store"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("segment-")
        })
        .unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let answer = place.silt(&["verify", "store"]);
    assert_eq!(answer.code, 1, "{}{}", answer.out, answer.err);
    assert!(answer.out.contains("segment-"), "{}", answer.out);
    // A question that meets the damage fails, unless it may leave out what is damaged; a repair keeps the rest.
    let all = place.silt(&["export", "store", "s"]);
    assert_eq!(all.code, 3, "{}", all.err);
    let partial = place.silt(&["count", "store", "s", "--allow-partial", "--no-map"]);
    assert_eq!(
        (partial.code, partial.out.as_str()),
        (3, "0\n"),
        "{}",
        partial.err
    );
    assert!(partial.err.contains("left out"), "{}", partial.err);
    let repaired = place.silt(&["repair", "store", "--to", "saved"]);
    assert_eq!(repaired.code, 1, "{}", repaired.err);
    assert!(repaired.out.contains("segment-"), "{}", repaired.out);
    assert!(place.path("saved/rejects/repair.jsonl").exists());
    assert_eq!(place.silt(&["verify", "saved"]).code, 0);
    let again = place.silt(&["repair", "store", "--to", "saved"]);
    assert_ne!(again.code, 0, "never over");
}

#[test]
fn what_is_durable_is_told() {
    let place = Place::new();
    let text: String = (0..5_000).fold("ts,x\n".to_owned(), |text, i| text + &format!("{i},{i}\n"));
    place.write("a.csv", &text);
    for sync in ["always", "os", "10"] {
        let store = format!("store-{sync}");
        let answer = place.silt(&[
            "ingest",
            &store,
            "s",
            "a.csv",
            "--time-unit",
            "s",
            "--acknowledge",
            "--sync",
            sync,
        ]);
        assert_eq!(answer.code, 0, "{}", answer.err);
        let told: Vec<u64> = answer
            .out
            .lines()
            .map(|line| line.strip_prefix("durable ").unwrap().parse().unwrap())
            .collect();
        assert!(
            told.is_sorted() && told.last() == Some(&5_000),
            "{sync}: {told:?}"
        );
        assert_eq!(place.ok(&["count", &store, "s"]), "5000\n");
    }
    assert_eq!(
        place
            .silt(&["ingest", "store", "s", "a.csv", "--sync", "soon"])
            .code,
        2
    );
}

#[test]
fn follow_hands_on_rows_whenever_the_input_pauses() {
    let place = Place::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_silt"))
        .args(["ingest", "store", "live", "-", "--follow", "--time-unit", "s"])
        .current_dir(place.folder.path())
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"ts,x\n1,1\n2,2\n3,").unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let answer = place.silt(&["count", "store", "live"]);
        if answer.out == "2\n" {
            break;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "{}{}",
            answer.out,
            answer.err
        );
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    input.write_all(b"3\n").unwrap();
    drop(input);
    let answer = answer(child.wait_with_output().unwrap());
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert_eq!(place.ok(&["count", "store", "live", "--where", "x = 3"]), "1\n");
}

#[test]
fn layouts_are_chosen_explained_and_changed() {
    let place = Place::new();
    let mut csv = String::from("ts,node,temp,state,note\n");
    for i in 0..6_000 {
        let temp = 2_000 + (i * 7) % 50 + i / 100;
        csv += &format!(
            "{i},n{},{}.{:02},{},note {}\n",
            i % 3,
            temp / 100,
            temp % 100,
            i / 2_000,
            i % 7
        );
    }
    place.write("a.csv", csv);
    let ingest = [
        "ingest",
        "store",
        "s",
        "a.csv",
        "--key",
        "node",
        "--time-unit",
        "s",
    ];
    let wrong = place.silt(&[&ingest[..], &["--layout", "tiny"]].concat());
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.contains("small:512"), "{}", wrong.err);
    place.ok(&[&ingest[..], &["--layout", "scan,temp=rank"]].concat());
    let codes = |column: &str| {
        let stat = place.ok(&["stat", "store", "s", "--format", "json"]);
        let stat: serde_json::Value = serde_json::from_str(&stat).unwrap();
        let columns = stat["columns"].as_array().unwrap();
        columns.iter().find(|c| c["name"] == column).unwrap()["codes"].clone()
    };
    assert_eq!(codes("temp"), serde_json::json!(["wavelet"]));
    assert_eq!(codes("state"), serde_json::json!(["scan"]));
    let explained = place.ok(&["stat", "store", "s", "--explain"]);
    for words in ["decimal(2)", "stored", "rank:smaller", "float", "run directory"] {
        assert!(explained.contains(words), "{words} in\n{explained}");
    }
    let json = place.ok(&["stat", "store", "s", "--explain", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let columns = json["columns"].as_array().unwrap();
    let temp = columns.iter().find(|column| column["name"] == "temp").unwrap();
    assert_eq!(temp["explain"]["wish"], "rank");
    assert_eq!(temp["explain"]["domain"], "decimal(2)");
    assert_eq!(temp["explain"]["layouts"].as_array().unwrap().len(), 6);
    let export = ["export", "store", "s", "--format", "csv"];
    let rows = place.ok(&export);
    let relayout = ["maintain", "store", "--relayout", "scan", "--stream", "s"];
    let done = place.silt(&[&relayout[..], &["--older-than", "1d"]].concat());
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(
        done.err.contains("1 segments with 6,000 rows in scan"),
        "{}",
        done.err
    );
    assert_eq!(codes("temp"), serde_json::json!(["scan"]));
    assert!(place.silt(&relayout).err.contains("no segment"));
    assert_eq!(place.ok(&export), rows);
    assert_eq!(place.silt(&["maintain", "store", "--stream", "s"]).code, 2);
}

#[test]
fn a_budget_is_kept_and_what_was_lost_is_told() {
    let place = Place::new();
    let mut text = "time,x,y\n".to_owned();
    let mut noise = 1u64;
    for i in 0..40_000 {
        noise = noise
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        text.push_str(&format!("{i},{},{}\n", noise >> 8, noise >> 20));
    }
    text.push_str("nonsense\n");
    place.write("a.csv", &text);
    let answer = place.silt(&[
        "ingest",
        "store",
        "s",
        "a.csv",
        "--time-unit",
        "s",
        "--budget",
        "512K",
    ]);
    assert_eq!(answer.code, 3, "{}", answer.err);
    let taken = |folder: &str| {
        let entries = std::fs::read_dir(place.path(folder)).unwrap();
        let blocks = entries.map(|entry| entry.unwrap().metadata().unwrap().len().div_ceil(4096));
        blocks.sum::<u64>() * 4096
    };
    assert!(taken("store") + taken("store/rejects") <= 512 << 10);
    let rows: u64 = place.ok(&["count", "store", "s"]).trim().parse().unwrap();
    assert!((5_000..35_000).contains(&rows), "{rows}");
    let stat = place.ok(&["stat", "store"]);
    assert!(
        stat.contains("budget    512") && stat.contains("for each plain byte"),
        "{stat}"
    );
    let stat = place.ok(&["stat", "store", "s"]);
    assert!(
        stat.contains("retention drop=full") && stat.contains("rows dropped (full)"),
        "{stat}"
    );
    // Kept in the store: nobody says it again.
    place.ok(&[
        "maintain",
        "store",
        "--stream",
        "s",
        "--retention",
        "keep",
        "--pin",
        "100..200",
    ]);
    let full = place.silt(&["ingest", "store", "s", "a.csv", "--time-unit", "s"]);
    assert_eq!(full.code, 4, "{}", full.err);
    assert!(full.err.contains("budget"), "{}", full.err);
    let stat = place.ok(&["stat", "store", "s"]);
    assert!(
        stat.contains("retention keep") && stat.contains("pinned    1970-01-01T00:01:40"),
        "{stat}"
    );
    place.ok(&["maintain", "store", "--retention", "drop=1h", "--budget", "0"]);
    assert!(!place.ok(&["stat", "store"]).contains("budget"));
    let rows: u64 = place.ok(&["count", "store", "s"]).trim().parse().unwrap();
    assert!(rows < 20_000, "{rows}");
    for wrong in [["--budget", "64X"], ["--retention", "drop"], ["--pin", "1..2"]] {
        assert_eq!(place.silt(&["maintain", "store", wrong[0], wrong[1]]).code, 2);
    }
}
