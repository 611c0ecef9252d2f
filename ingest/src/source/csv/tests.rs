//! Separated values: records, quotes, samples, limits.

#![allow(clippy::unwrap_used)]
use super::*;
use crate::fuzzing;
use proptest::prelude::*;

type Rows = Vec<(u64, Result<Vec<String>, String>)>;

fn read(bytes: &[u8], options: CsvOptions) -> (Vec<String>, Rows) {
    let mut source = CsvSource::open(Input::from_bytes("test", bytes), options).unwrap();
    let mut rows = Vec::new();
    while source.advance().unwrap() == Advance::Record {
        let fields = (0..source.fields.len())
            .map(|i| {
                let field = source.field(i);
                let text = String::from_utf8(field.text.to_vec()).unwrap();
                if field.form == Form::Quoted {
                    format!("<{text}>")
                } else {
                    text
                }
            })
            .collect();
        let row = source.problem().map_or(Ok(fields), |_| {
            Err(String::from_utf8_lossy(source.text()).into_owned())
        });
        rows.push((source.line(), row));
    }
    (source.names, rows)
}

fn ok(line: u64, fields: &[&str]) -> (u64, Result<Vec<String>, String>) {
    (line, Ok(fields.iter().map(|&f| f.to_owned()).collect()))
}

#[test]
fn a_header_that_cannot_be_split_is_refused() {
    // A `#fields` line further down must not name the columns of records that were read without names.
    let text = b"\na,\"b\n1,2\n#fields,x,y\n3,4\n";
    let options = CsvOptions {
        comment: b"#".to_vec(),
        fields_line: true,
        ..CsvOptions::default()
    };
    let error = CsvSource::open(Input::from_bytes("test", text), options)
        .err()
        .unwrap();
    let told = error.to_string();
    assert!(told.starts_with("test: line 2, the header: a quote"), "{told}");
    let mut bytes = vec![0x74];
    bytes.extend_from_slice(text);
    fuzzing::csv(&bytes);
}

#[test]
fn quotes_line_ends_and_line_numbers() {
    let text = b"\xef\xbb\xbfa,\"b\"\r\n1,\"x,y\"\r\n\r\n2,\"say \"\"hi\"\" now\"\n3,\"two\nlines\"\n4\n5,6,7\n\"\",\n\"8\"9,a\"b\n10,11";
    let (names, rows) = read(text, CsvOptions::default());
    assert_eq!(names, ["a", "b"]);
    let wanted = vec![
        ok(2, &["1", "<x,y>"]),
        ok(4, &["2", "<say \"hi\" now>"]),
        ok(5, &["3", "<two\nlines>"]),
        (7, Err("4".into())),
        (8, Err("5,6,7".into())),
        ok(9, &["<>", ""]),
        ok(10, &["<89>", "a\"b"]),
        ok(11, &["10", "11"]),
    ];
    assert_eq!(rows, wanted);
}

#[test]
fn a_stray_quote_costs_one_line() {
    let (_, rows) = read(b"a,b\n1,\"2\n3,4\n5,6\n", CsvOptions::default());
    assert_eq!(
        rows,
        vec![(2, Err("1,\"2".into())), ok(3, &["3", "4"]), ok(4, &["5", "6"])]
    );
    let (_, rows) = read(
        b"a,b\n1,\"2\n",
        CsvOptions {
            quote: None,
            ..CsvOptions::default()
        },
    );
    assert_eq!(rows, vec![ok(2, &["1", "\"2"])]);
}

#[test]
fn delimiters_comments_and_names() {
    let (names, rows) = read(b"t;x;\n1;2,5;3\n", CsvOptions::default());
    assert_eq!(names, ["t", "x", "column_3"]);
    assert_eq!(rows, vec![ok(2, &["1", "2,5", "3"])]);
    let zeek = CsvOptions {
        comment: b"#".to_vec(),
        fields_line: true,
        quote: None,
        ..CsvOptions::default()
    };
    let (names, rows) = read(
        b"#separator \\x09\n#fields\tts\tid.h\tq\n#types\ttime\taddr\tstring\n1.5\t-\t\"q\n",
        zeek,
    );
    assert_eq!(names, ["ts", "id.h", "q"]);
    assert_eq!(rows, vec![ok(4, &["1.5", "-", "\"q"])]);
    let named = CsvOptions {
        columns: Some(vec!["p".into(), "q".into()]),
        ..CsvOptions::default()
    };
    let (names, rows) = read(b"1\t2\n", named);
    assert_eq!(names, ["p", "q"]);
    assert_eq!(rows, vec![ok(1, &["1", "2"])]);
}

#[test]
fn a_line_over_the_limit_is_refused_and_skipped() {
    let mut text = b"a,b\n1,".to_vec();
    text.resize(MAX_RECORD_BYTES + 100, b'x');
    text.extend(b"\n3,4\n");
    let (_, rows) = read(&text, CsvOptions::default());
    assert!(rows[0].1.is_err());
    assert_eq!(rows[1], ok(3, &["3", "4"]));
}

proptest! {
    #[test]
    fn what_is_quoted_comes_back(rows in proptest::collection::vec(proptest::collection::vec("[a,\"\n\r# ]{0,6}", 3), 1..20)) {
        let mut text = b"x,y,z\n".to_vec();
        for row in &rows {
            let quoted: Vec<String> = row.iter().map(|f| format!("\"{}\"", f.replace('"', "\"\""))).collect();
            text.extend(quoted.join(",").as_bytes());
            text.push(b'\n');
        }
        let (_, read) = read(&text, CsvOptions::default());
        let read: Vec<Vec<String>> = read.into_iter().map(|(_, row)| row.unwrap()).collect();
        let wanted: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(|f| format!("<{f}>")).collect()).collect();
        prop_assert_eq!(read, wanted);
    }

    #[test]
    fn any_bytes_are_read(bytes in proptest::collection::vec(prop_oneof![Just(b','), Just(b'"'), Just(b'\n'), Just(b'\r'), Just(b'#'), Just(b'1'), any::<u8>()], 0..200)) {
        fuzzing::csv(&bytes);
    }
}
