//! The index against a scan of the plain rows, on rows like those of logs, on any bytes, and on damage.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use std::ops::Bound;

use proptest::prelude::*;

use crate::codes::testing::golden;
use crate::section::Section;
use crate::text::number::{NumberPattern, NumberPlace};
use crate::text::regex::{RegexOptions, RegexPattern};
use crate::text::tests::{ask_everything, bound, check, column, flip, needles, patterns, strings};
use crate::text::{TextIndex, TextKind, TextPattern, encode, pattern};

use super::Templates;

fn build(rows: &[Vec<u8>]) -> Templates {
    let bytes = super::encode(&column(rows)).unwrap();
    Templates::open(Section::from_vec(bytes)).unwrap()
}

/// A row of one of a few formats, the fields made from `seed`.
pub fn log_row(format: u8, seed: u32) -> Vec<u8> {
    let word = ["alpha", "Beta", "gamma-3", "", "x/y.z", "é", "17", "-"][(seed % 8) as usize];
    let user = (seed / 8) % 5;
    let n = seed % 1000;
    match format {
        0 => format!(
            "user {word} logged in from 10.0.{}.{} port {}",
            user,
            n % 256,
            n * 61 % 65536
        ),
        1 => format!(
            "[{}] job={n:03} state={} took {}.{:02}s",
            ["info", "warn"][(seed % 2) as usize],
            ["up", "down", "error"][(seed / 2 % 3) as usize],
            n / 7,
            n % 100
        ),
        2 => format!(
            "{{\"id\": \"{:08x}\", \"user\": \"u{user}\", \"name\": \"name of u{user}\"}}",
            seed.wrapping_mul(2_654_435_761)
        ),
        3 => format!("\tstart\t{word}\t\t{word}\t{user}"),
        4 => format!("delta -{n} and {} end;", i64::from(n) - 500),
        5 => format!("2024-0{}-1{} {}:{:02}", 1 + user, n % 10, n % 24, n % 60),
        6 => "the same line".to_string(),
        _ => format!(" {word}"),
    }
    .into_bytes()
}

pub fn logs() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let row = prop_oneof![
        12 => (0u8..8, 0u32..200).prop_map(|(format, seed)| log_row(format, seed)),
        6 => (0u8..8, any::<u32>()).prop_map(|(format, seed)| log_row(format, seed)),
        1 => proptest::collection::vec(any::<u8>(), 0..20),
    ];
    proptest::collection::vec(row, 0..150)
}

/// A piece of a row, sometimes changed, in a pattern of any kind.
pub fn pattern_of(rows: &[Vec<u8>], seeds: (usize, usize, usize, u8, u8)) -> TextPattern {
    let (row, start, length, kind, change) = seeds;
    let row = rows.get(row % rows.len().max(1)).cloned().unwrap_or_default();
    let start = match kind % 8 {
        1 | 3 => 0,
        _ => start % (row.len() + 1),
    };
    let end = match kind % 8 {
        2 | 3 => row.len(),
        _ => (start + length % 20).min(row.len()),
    };
    let mut piece = row[start..end].to_vec();
    if change < 30 && !piece.is_empty() {
        let at = usize::from(change) % piece.len();
        piece[at] = b"0 a,9"[usize::from(change) % 5];
    }
    let text = String::from_utf8_lossy(&piece).into_owned();
    match kind % 8 {
        0 => TextPattern::Contains(piece),
        1 => TextPattern::StartsWith(piece),
        2 => TextPattern::EndsWith(piece),
        3 => TextPattern::Equals(piece),
        4 => TextPattern::ContainsIgnoreAsciiCase(piece.to_ascii_uppercase()),
        5 => {
            let half = text.len() / 2;
            let cut = (half..).find(|&at| text.is_char_boundary(at)).unwrap_or(0);
            TextPattern::like(&format!("%{}%{}%", &text[..cut], &text[cut..]), None)
        }
        6 => TextPattern::Like(pattern::LikePattern::parse(&format!("{text}_%"), None)),
        _ => {
            let options = RegexOptions {
                ignore_case: change % 2 == 0,
                bytes: true,
            };
            let source = format!("{}(a|\\d+)?", regex_syntax::escape(&text));
            TextPattern::Regex(RegexPattern::new(&source, options).unwrap())
        }
    }
}

/// Words around numbers of [`log_row`]: some over constants only, some over variables, some nowhere.
const PLACES: [&str; 16] = [
    "port {}",
    "took {}s",
    "took {}.",
    "took {}",
    "took {}.0",
    "job={} state",
    "job={}",
    "delta {} and ",
    "delta -{}",
    " and {} end;",
    "10.0.{}.",
    "10.0.{} port",
    "10.{}",
    "user {}",
    "u{}\"",
    "l{}",
];

fn seeds() -> impl Strategy<Value = (usize, usize, usize, u8, u8)> {
    (
        any::<usize>(),
        any::<usize>(),
        any::<usize>(),
        any::<u8>(),
        any::<u8>(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    #[test]
    fn answers_on_logs_as_a_scan(
        rows in logs(), seeds in proptest::collection::vec(seeds(), 6),
        low in needles(), high in needles(), kinds in (0u8..3, 0u8..3), cuts in proptest::collection::vec(any::<u64>(), 0..12),
    ) {
        let index = build(&rows);
        for seeds in seeds {
            let pattern = pattern_of(&rows, seeds);
            check(&index, &rows, &pattern, bound(kinds.0, &low), bound(kinds.1, &high), &cuts);
        }
    }

    #[test]
    fn numbers_inside_rows_as_a_scan(
        rows in logs(), more in 0u8..40, place in proptest::sample::select(PLACES.to_vec()), bounds in (-600i32..1_300, -600i32..1_300),
        kinds in (0u8..3, 0u8..3), cuts in proptest::collection::vec(any::<u64>(), 0..6),
    ) {
        // Some rows of one format, so that most templates have columns of numbers.
        let more = (0..more).map(|row| log_row(row % 3, u32::from(row) * 7919 % 400));
        let rows: Vec<Vec<u8>> = rows.into_iter().chain(more).collect();
        let bound = |kind, number: i32| match kind {
            0 => Bound::Included(f64::from(number) / 4.0),
            1 => Bound::Excluded(f64::from(number)),
            _ => Bound::Unbounded,
        };
        let place = NumberPlace::parse(place).unwrap();
        let number = NumberPattern::new(place, bound(kinds.0, bounds.0), bound(kinds.1, bounds.1));
        check(&build(&rows), &rows, &TextPattern::Number(number), Bound::Unbounded, Bound::Excluded(b"d"), &cuts);
    }

    /// Pieces of a row, in order, overlapping or the other way round, with `%` between them.
    #[test]
    fn pieces_in_order_as_a_scan(
        rows in logs(), more in 0u8..60,
        pieces in proptest::collection::vec((any::<usize>(), proptest::collection::vec((any::<usize>(), 0usize..9, 0usize..6), 1..4), any::<u8>()), 12),
    ) {
        // Some rows of one format, runs of delimiters that two pieces can share, and tokens of several fields.
        let more = (0..more).map(|row| match row % 3 {
            0 => format!("a, b{row:02}: {row}.{} ,, a{}", row % 7, row % 5).into_bytes(),
            format => log_row(format, u32::from(row) * 7919 % 400),
        });
        let rows: Vec<Vec<u8>> = rows.into_iter().chain(more).collect();
        let index = build(&rows);
        for (row, pieces, kind) in pieces {
            let row = rows.get(row % rows.len().max(1)).map_or(String::new(), |row| String::from_utf8_lossy(row).into_owned());
            let letters: Vec<char> = row.chars().collect();
            let mut text = String::new();
            let mut at = 0;
            for (index, (step, length, back)) in pieces.into_iter().enumerate() {
                if kind & 1 == 0 || index > 0 {
                    text.push('%');
                    at = (at + step % 12).saturating_sub(back).min(letters.len());
                }
                let end = if kind & 2 == 2 && index == 2 { letters.len() } else { (at + length).min(letters.len()) };
                text.extend(&letters[at..end]);
                at = end;
            }
            if kind & 2 == 0 {
                text.push('%');
            }
            let pattern = TextPattern::like(&text, None);
            let wanted: Vec<bool> = rows.iter().map(|row| pattern.matches(row)).collect();
            let mut found = crate::rows::Mask::repeat(false, rows.len());
            index.select(0..index.len(), &pattern, &mut found).unwrap();
            prop_assert_eq!(found.iter().by_vals().collect::<Vec<bool>>(), wanted, "{:?}", pattern);
        }
    }

    #[test]
    fn answers_on_any_bytes_as_a_scan(
        rows in strings(), pattern in patterns(),
        low in needles(), high in needles(), kinds in (0u8..3, 0u8..3), cuts in proptest::collection::vec(any::<u64>(), 0..6),
    ) {
        check(&build(&rows), &rows, &pattern, bound(kinds.0, &low), bound(kinds.1, &high), &cuts);
    }

    #[test]
    fn damage_of_ids_gives_an_error_or_an_answer(
        rows in 200u64..300, seeds in seeds(), flips in proptest::collection::vec((any::<u32>(), 0u8..8), 1..4),
    ) {
        let rows = rows_of_ids(rows);
        let mut bytes = encode(TextKind::Template, &column(&rows)).unwrap();
        flip(&mut bytes, &flips);
        ask_everything(TextKind::Template, bytes, &pattern_of(&rows, seeds));
    }

    #[test]
    fn damage_gives_an_error_or_an_answer(
        rows in logs(), seeds in seeds(), flips in proptest::collection::vec((any::<u32>(), 0u8..8), 1..4),
    ) {
        let mut bytes = encode(TextKind::Template, &column(&rows)).unwrap();
        flip(&mut bytes, &flips);
        ask_everything(TextKind::Template, bytes, &pattern_of(&rows, seeds));
    }
}

/// A row of numbers in one of a few forms.
fn number_row(form: u8, seed: u32) -> String {
    let (n, m) = (seed % 1_000, seed / 1_000 % 60);
    match form {
        0 => format!("took {n}.{m:02} of {}.000000", seed % 70_000),
        1 => format!("at {n}-{m} or -{m} end"),
        2 => format!("v{m}.{n}-rc{m}x {}", i64::from(m) - 30),
        3 => format!("id {:x}.{n:05} 10.0.{m}.{}", seed / 7, n % 256),
        _ => format!("{}{:018}7 {n}", 1 + m % 9, u64::from(seed) * 977),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Pieces of numbers, with what stands between them, are found without the numbers being written.
    #[test]
    fn pieces_of_numbers_as_a_scan(
        rows in proptest::collection::vec((0u8..5, any::<u32>()), 20..120),
        pieces in proptest::collection::vec((any::<usize>(), any::<usize>(), 1usize..10, any::<u8>()), 40),
    ) {
        let rows: Vec<Vec<u8>> = rows.iter().map(|&(form, seed)| number_row(form, seed).into_bytes()).collect();
        let index = build(&rows);
        for (row, start, length, change) in pieces {
            let row = &rows[row % rows.len()];
            let start = start % row.len();
            let mut piece = row[start..(start + length).min(row.len())].to_vec();
            if change < 80 {
                let at = usize::from(change) % piece.len();
                piece[at] = b"0159.-a"[usize::from(change) % 7];
            }
            let patterns = [TextPattern::Contains(piece.clone()), TextPattern::StartsWith(piece.clone()), TextPattern::EndsWith(piece)];
            for pattern in patterns {
                let all = 0..index.len();
                let wanted = rows.iter().filter(|row| pattern.matches(row)).count() as u64;
                prop_assert_eq!(index.count(&[all], &pattern).unwrap(), wanted, "{:?}", pattern);
            }
        }
    }
}

/// So many rows of no template that not all of them are scanned.
#[test]
fn rows_of_no_template() {
    let marks = b"&'()*,:;<=>?[]{|}";
    let rows: Vec<Vec<u8>> = (0..1_200usize)
        .map(|row| {
            let mut text = format!("Row{row}");
            for place in 0..6 {
                text.push(char::from(marks[((row >> place) ^ (row * 7)) % marks.len()]));
                text.push_str(["one", "Two", "three"][(row + place) % 3]);
            }
            text.into_bytes()
        })
        .collect();
    let index = build(&rows);
    for needle in ["three", "Row1199", "row77", "e(T", "nowhere", "TWO", "w"] {
        let needle = needle.as_bytes().to_vec();
        for pattern in [
            TextPattern::Contains(needle.clone()),
            TextPattern::ContainsIgnoreAsciiCase(needle.clone()),
            TextPattern::StartsWith(needle.clone()),
            TextPattern::EndsWith(needle),
        ] {
            check(
                &index,
                &rows,
                &pattern,
                Bound::Unbounded,
                Bound::Unbounded,
                &[3, 700, 900],
            );
        }
    }
}

/// Enough rows for every form of sequence and for lists of many numbers.
#[test]
fn thousands_of_rows() {
    let mut state = 7u32;
    let rows: Vec<Vec<u8>> = (0..6_000u32)
        .map(|row| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = state >> 8;
            match row % 3 {
                0 => format!(
                    "conn C{:07x}q{noise}z id={row} host=h{} state={}",
                    noise % 5_000,
                    noise % 40,
                    row / 1_000
                ),
                1 => format!(
                    "temp={}.{:02} seq={} mode={}",
                    noise % 90,
                    noise % 100,
                    row * 3,
                    if noise % 50 == 0 { "x" } else { "auto" }
                ),
                _ => format!(
                    "conn C{:07x}q0z id={row} host=h{} state={}",
                    row % 700,
                    noise % 3,
                    noise % 2
                ),
            }
            .into_bytes()
        })
        .collect();
    let index = build(&rows);
    let unbounded = (Bound::Unbounded, Bound::Unbounded);
    for pattern in [
        TextPattern::Contains(b"host=h1 ".to_vec()),
        TextPattern::Contains(b"00q".to_vec()),
        TextPattern::Contains(b"99".to_vec()),
        TextPattern::Contains(b"auto".to_vec()),
        TextPattern::EndsWith(b"=1".to_vec()),
        TextPattern::StartsWith(b"conn C000001".to_vec()),
        TextPattern::ContainsIgnoreAsciiCase(b"c00001AQ".to_vec()),
        TextPattern::Equals(rows[4_321].clone()),
    ] {
        check(
            &index,
            &rows,
            &pattern,
            unbounded.0,
            unbounded.1,
            &[5, 4_000, 4_100, 5_999],
        );
    }
}

#[test]
fn long_rows_and_many_words() {
    let mut rows: Vec<Vec<u8>> = (0..40u32)
        .map(|row| {
            (0..3_000u32)
                .map(|word| format!("w{} ", row * 3_000 + word))
                .collect::<String>()
                .into_bytes()
        })
        .collect();
    rows.push(b"x ".repeat(600_000));
    rows.push(b"y".repeat(100_000));
    rows.push(Vec::new());
    let index = build(&rows);
    for (needle, count) in [
        (&b"w77 "[..], 1),
        (b"w119999", 1),
        (b"x x", 1),
        (b"yy", 1),
        (b"w", 40),
    ] {
        let pattern = TextPattern::Contains(needle.to_vec());
        let all = 0..index.len();
        assert_eq!(index.count(std::slice::from_ref(&all), &pattern).unwrap(), count);
    }
    let mut out = Vec::new();
    for (row, bytes) in rows.iter().enumerate() {
        out.clear();
        index.extract(row as u64, &mut out).unwrap();
        assert_eq!(&out, bytes);
    }
}

/// Rows with ids that were drawn at random, more than half of them in two rows.
fn rows_of_ids(count: u64) -> Vec<Vec<u8>> {
    let letters = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let id = |mut seed: u64, length: usize, radix: u64| -> String {
        let mut letter = || {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            char::from(letters[((seed >> 33) % radix) as usize])
        };
        (0..length).map(|_| letter()).collect()
    };
    (0..count)
        .map(|row| {
            let session = id(row * 5 / 8, 17 + (row % 5 == 0) as usize, 62);
            match row % 3 {
                0 => format!("open id=S{session} user=u{}", row % 9),
                1 => format!(
                    "S{session} asks host{}.example for {}",
                    row % 11,
                    id(row / 2, 32, 16)
                ),
                _ => format!("close S{session}"),
            }
            .into_bytes()
        })
        .collect()
}

/// Words of pools are found and read as those of the fm are.
#[test]
fn ids_drawn_at_random() {
    let rows = rows_of_ids(700);
    let index = build(&rows);
    assert!(index.head.pool_bytes > 0, "ids are packed letters");
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    for (row, bytes) in rows.iter().enumerate().step_by(29) {
        for (start, length) in [(0, 40), (row % 9, 5), (row % 17, 12), (8, 14), (12, 30)] {
            let end = (start + length).min(bytes.len());
            pieces.push(bytes[start.min(end)..end].to_vec());
        }
    }
    for piece in pieces {
        let all = 0..index.len();
        for pattern in [
            TextPattern::Contains(piece.clone()),
            TextPattern::ContainsIgnoreAsciiCase(piece.to_ascii_uppercase()),
            TextPattern::StartsWith(piece.clone()),
            TextPattern::EndsWith(piece.clone()),
            TextPattern::Equals(piece),
        ] {
            let wanted = rows.iter().filter(|row| pattern.matches(row)).count() as u64;
            assert_eq!(
                index.count(std::slice::from_ref(&all), &pattern).unwrap(),
                wanted,
                "{pattern:?}"
            );
        }
    }
    let pattern = TextPattern::like("%S%a%host1%", None);
    check(
        &index,
        &rows,
        &pattern,
        Bound::Included(b"c"),
        Bound::Excluded(b"open id=Sk"),
        &[5, 99, 400],
    );
}

/// A needle that lies in a number in more than one way, one of which most rows have and the other one the others.
#[test]
fn needles_that_lie_in_numbers_in_several_ways() {
    let rows: Vec<Vec<u8>> = (0..60u32)
        .map(|row| match row % 20 {
            7 => format!("receiver $GNGLL,5230.88{:03},N,{row}", row * 13 % 1000),
            9 => format!("receiver $GNGLL,5023.460{:03},N,{row}", row * 7 % 1000),
            _ => format!("receiver $GNGLL,5002.453527,N,{row}"),
        })
        .map(String::into_bytes)
        .collect();
    let index = build(&rows);
    for needle in [
        "52", "50", "53", "46", "2", "5", "0", "23", "523", "35", "88", "4", "7",
    ] {
        for pattern in [
            TextPattern::Contains(needle.into()),
            TextPattern::like(&format!("%{needle}%{needle}%"), None),
        ] {
            check(
                &index,
                &rows,
                &pattern,
                Bound::Unbounded,
                Bound::Unbounded,
                &[7, 50],
            );
        }
    }
}

/// Words before a number that end inside a run of delimiters are followed by no number.
#[test]
fn numbers_behind_runs() {
    let rows: Vec<Vec<u8>> = (0..200u32)
        .map(|row| match row % 4 {
            0 => format!("GSA,A,3,,,,,{},{row}", row % 9),
            1 => format!("GSA,A,3,{row},,,,,,{}", row % 7),
            2 => format!("GSV,3,{},,,,*{row}", row % 5),
            _ => format!("GSV,3,,,{},,,,7", row % 50),
        })
        .map(String::into_bytes)
        .collect();
    let index = build(&rows);
    for words in ["GSA,A,3,{}", ",,{}", ",,,,{}", "3,{},,", ",{}", ",,{},"] {
        let place = NumberPlace::parse(words).unwrap();
        let number = NumberPattern::new(place, Bound::Excluded(3.0), Bound::Unbounded);
        check(
            &index,
            &rows,
            &TextPattern::Number(number),
            Bound::Unbounded,
            Bound::Unbounded,
            &[7, 150],
        );
    }
}

#[test]
fn golden_bytes_of_ids() {
    let rows = rows_of_ids(360);
    let bytes = encode(TextKind::Template, &column(&rows)).unwrap();
    golden("text_template_ids", &bytes, |bytes| {
        let index = Templates::open(Section::from_vec(bytes)).unwrap();
        let pattern = TextPattern::Contains(b"host1".to_vec());
        check(
            &index,
            &rows,
            &pattern,
            Bound::Unbounded,
            Bound::Excluded(b"d"),
            &[7, 150],
        );
    });
}

#[test]
fn golden_bytes() {
    let mut rows: Vec<Vec<u8>> = (0..300u32)
        .map(|row| log_row((row % 6) as u8, row * 7 % 97))
        .collect();
    rows.push(Vec::new());
    rows.push(b"a row\0of its own".to_vec());
    let bytes = encode(TextKind::Template, &column(&rows)).unwrap();
    golden("text_template", &bytes, |bytes| {
        let index = Templates::open(Section::from_vec(bytes)).unwrap();
        let pattern = TextPattern::Contains(b"user u3".to_vec());
        check(
            &index,
            &rows,
            &pattern,
            Bound::Included(b"s"),
            Bound::Unbounded,
            &[7, 150],
        );
    });
}
