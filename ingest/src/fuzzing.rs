//! What the fuzz targets run: any bytes as a file of rows give records or errors.

use crate::clock::Moment;
use crate::field::parse_cell;
use crate::infer::kind_of;
use crate::source::csv::{CsvOptions, CsvSource};
use crate::source::input::Input;
use crate::source::jsonl::JsonlSource;
use crate::source::lines::{LinesOptions, LinesSource};
use crate::source::{Advance, SAMPLE_ROWS, Source};
use siltstone_store::schema::{ColumnType, TimeUnit};

/// The first byte chooses how the rest, a CSV file, is to be understood.
pub fn csv(bytes: &[u8]) {
    let Some((&flags, rest)) = bytes.split_first() else {
        return;
    };
    let options = CsvOptions {
        delimiter: (flags & 1 == 0).then_some(b','),
        quote: (flags & 2 == 0).then_some(b'"'),
        comment: if flags & 4 == 0 { Vec::new() } else { b"#".to_vec() },
        columns: (flags & 8 != 0).then(|| vec!["a".to_owned(), "b".to_owned()]),
        fields_line: flags & 16 != 0,
    };
    let Ok(mut source) = CsvSource::open(Input::from_bytes("fuzz", rest), options) else {
        return;
    };
    read(&mut source, |source| {
        let fields = (0..source.field_names().len()).map(|index| source.field(index).text.len());
        assert!(
            fields.sum::<usize>() <= source.text().len() + 1,
            "fields are no longer than their record"
        );
    });
}

/// `bytes` are JSON lines.
pub fn jsonl(bytes: &[u8]) {
    read(&mut JsonlSource::new(Input::from_bytes("fuzz", bytes)), |_| {});
}

/// `bytes` are lines of a log.
pub fn lines(bytes: &[u8]) {
    let options = LinesOptions {
        now: Moment(1_772_323_200_000_000_000),
        year: None,
        utc_offset_s: 3_600,
    };
    if let Ok(mut source) = LinesSource::open(Input::from_bytes("fuzz", bytes), options) {
        read(&mut source, |source| {
            assert!(
                source.field(1).text.len() <= source.text().len(),
                "a message is no longer than its record"
            );
        });
    }
}

fn read<S: Source>(source: &mut S, check: impl Fn(&S)) {
    let sample = source.sample(&[], true);
    let mut records = 0;
    while let Ok(Advance::Record) = source.advance() {
        for index in 0..source.field_names().len() {
            let field = source.field(index);
            let _ = kind_of(field, &[], false);
            for ty in [
                ColumnType::I64,
                ColumnType::U8,
                ColumnType::F64,
                ColumnType::Bool,
                ColumnType::Text,
                ColumnType::Timestamp(TimeUnit::Nanosecond),
            ] {
                let _ = parse_cell(ty, field);
            }
        }
        check(source);
        records += usize::from(source.problem().is_none());
    }
    assert!(
        sample.is_ok_and(|sample| sample.rows == records.min(SAMPLE_ROWS)),
        "a sample sees the same records"
    );
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn each_seed(target: &str, harness: fn(&[u8])) {
        let seeds = format!("{}/../fuzz/seeds/{target}", env!("CARGO_MANIFEST_DIR"));
        let mut run = 0;
        for entry in std::fs::read_dir(&seeds).unwrap() {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            harness(&std::fs::read(path).unwrap());
            run += 1;
        }
        assert!(run > 0, "{seeds} is empty");
    }

    #[test]
    fn csv_files_that_a_fuzzer_found() {
        each_seed("csv", csv);
    }

    #[test]
    fn json_lines_that_a_fuzzer_found() {
        each_seed("jsonl", jsonl);
    }

    /// None was found yet: these are written by hand.
    #[test]
    fn logs_to_begin_fuzzing_with() {
        each_seed("lines", lines);
    }

    fn piece() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("{".to_owned()),
            Just("}".to_owned()),
            Just("\n".to_owned()),
            Just("\"a\":".to_owned()),
            Just("\"b.c\":{\"a\":".to_owned()),
            Just("[1,{\"a\":2}]".to_owned()),
            Just("1e999".to_owned()),
            Just("-0.10,".to_owned()),
            Just("\"\\ud83d\"".to_owned()),
            "[{}\\[\\],:\"0-9a\\\\\n]{0,6}",
        ]
    }

    fn log_piece() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("2025-03-29 22:00:00".to_owned()),
            Just("\nMar 29 22:00:00".to_owned()),
            Just("\nFeb 29 22:00:00".to_owned()),
            Just("\nDec 31 23:59:59".to_owned()),
            Just("[29/Mar/2025:22:00:00 +0000]".to_owned()),
            Just("\n9999-12-31 00:00:00".to_owned()),
            Just("\n-0001-12-31T00:00:00".to_owned()),
            Just("\n\tat a.b\r\n".to_owned()),
            "[a-z \\]:,\n]{0,6}",
        ]
    }

    proptest! {
        #[test]
        fn any_lines_are_read(pieces in proptest::collection::vec(piece(), 0..40)) {
            jsonl(pieces.concat().as_bytes());
        }

        #[test]
        fn any_log_is_read(pieces in proptest::collection::vec(log_piece(), 0..40)) {
            lines(pieces.concat().as_bytes());
        }
    }
}
