//! Every index against a scan of the plain strings, and against damaged bytes.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use proptest::prelude::*;

use super::fm::{Fm, FmOptions, encode_with};
use super::number::{NumberPattern, NumberPlace};
use super::regex::{RegexOptions, RegexPattern};
use super::*;
use crate::codes::choose::{FmParts, Layout};
use crate::codes::testing::golden;

mod fields;

pub fn column(strings: &[Vec<u8>]) -> ByteColumn {
    let mut column = ByteColumn::default();
    strings.iter().for_each(|s| column.push(s));
    column
}

/// Strings of few letters, so that patterns repeat inside and across rows.
pub fn strings() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let letter = prop_oneof![1 => Just(b'1'), 4 => Just(b'a'), 4 => Just(b'b'), 2 => Just(b'A'), 1 => Just(0u8), 1 => Just(b'\n'), 1 => Just(0xc3u8), 1 => Just(255u8)];
    let string = prop_oneof![3 => proptest::collection::vec(letter, 0..12), 1 => Just(b"abab".to_vec()), 1 => Just(Vec::new())];
    proptest::collection::vec(string, 0..40)
}

pub fn needles() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(
        prop_oneof![4 => Just(b'a'), 4 => Just(b'b'), 1 => Just(b'A'), 1 => Just(0u8), 1 => Just(255u8), 1 => Just(b'z')],
        0..5,
    )
}

/// Expressions of a few pieces, some of which any match contains.
fn regexes() -> impl Strategy<Value = String> {
    let pieces = [
        "a",
        "b",
        "ab",
        "[ab]",
        "(a|bb)",
        "A",
        ".",
        "ba?",
        "(?:aa|b)+",
        "a{2}",
        "^",
        "$",
        r"\x00",
    ];
    proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..4)
        .prop_map(|pieces| pieces.concat())
}

pub fn patterns() -> impl Strategy<Value = TextPattern> {
    prop_oneof![
        needles().prop_map(TextPattern::Contains),
        needles().prop_map(TextPattern::ContainsIgnoreAsciiCase),
        needles().prop_map(TextPattern::StartsWith),
        needles().prop_map(TextPattern::EndsWith),
        needles().prop_map(TextPattern::Equals),
        "[abA%_]{0,6}".prop_map(|p| TextPattern::like(&p, None)),
        "[abA%_]{0,6}".prop_map(|p| {
            let like = pattern::LikePattern::parse(&p, None);
            TextPattern::Regex(RegexPattern::ilike(&like, true).unwrap())
        }),
        (regexes(), any::<bool>()).prop_map(|(source, ignore_case)| {
            let options = RegexOptions {
                ignore_case,
                bytes: true,
            };
            TextPattern::Regex(RegexPattern::new(&source, options).unwrap())
        }),
        "[ab%_]{0,6}".prop_map(|p| TextPattern::Like(pattern::LikePattern::parse(&p, None))),
        ("[abA]{1,2}", "[abA]{0,2}", 0u8..3).prop_map(|(before, after, least)| {
            let place = NumberPlace::parse(&format!("{before}{{}}{after}")).unwrap();
            TextPattern::Number(NumberPattern::new(
                place,
                Bound::Excluded(f64::from(least)),
                Bound::Unbounded,
            ))
        }),
    ]
}

fn ranges(rows: u64, cuts: &[u64]) -> Vec<Range<u64>> {
    let mut cuts: Vec<u64> = cuts.iter().map(|c| c % (rows + 1)).collect();
    cuts.sort_unstable();
    cuts.chunks_exact(2).map(|pair| pair[0]..pair[1]).collect()
}

pub fn check(
    index: &dyn TextIndex,
    rows: &[Vec<u8>],
    pattern: &TextPattern,
    low: Bound<&[u8]>,
    high: Bound<&[u8]>,
    cuts: &[u64],
) {
    let count = rows.len() as u64;
    assert_eq!(index.len(), count);
    let mut out = ByteColumn::default();
    index.decode(0..count, &mut out).unwrap();
    assert_eq!(out, column(rows));
    for (i, row) in rows.iter().enumerate() {
        let mut bytes = b"before".to_vec();
        index.extract(i as u64, &mut bytes).unwrap();
        assert_eq!(&bytes[6..], row);
    }
    assert!(index.extract(count, &mut Vec::new()).is_err());
    for ranges in [
        std::iter::once(0..count).collect(),
        ranges(count, cuts),
        Vec::new(),
    ] {
        let scan = |test: &dyn Fn(&[u8]) -> bool| {
            ranges
                .iter()
                .cloned()
                .flatten()
                .filter(|&r| test(&rows[r as usize]))
                .count() as u64
        };
        assert_eq!(
            index.count(&ranges, pattern).unwrap(),
            scan(&|r| pattern.matches(r)),
            "{pattern:?} in {ranges:?}"
        );
        assert_eq!(
            index.count_between(&ranges, low, high).unwrap(),
            scan(&|r| between(r, low, high))
        );
        for range in ranges {
            let wanted = |test: &dyn Fn(&[u8]) -> bool| {
                range.clone().map(|r| test(&rows[r as usize])).collect::<Mask>()
            };
            let mut mask = Mask::repeat(false, (range.end - range.start) as usize);
            index.select(range.clone(), pattern, &mut mask).unwrap();
            assert_eq!(mask, wanted(&|r| pattern.matches(r)), "{pattern:?} in {range:?}");
            let mut mask = Mask::repeat(false, (range.end - range.start) as usize);
            index.select_between(range.clone(), low, high, &mut mask).unwrap();
            assert_eq!(mask, wanted(&|r| between(r, low, high)));
            let mut out = ByteColumn::default();
            index.decode(range.clone(), &mut out).unwrap();
            assert_eq!(out, column(&rows[range.start as usize..range.end as usize]));
        }
    }
}

pub fn bound(kind: u8, value: &[u8]) -> Bound<&[u8]> {
    match kind {
        0 => Bound::Included(value),
        1 => Bound::Excluded(value),
        _ => Bound::Unbounded,
    }
}

fn options() -> impl Strategy<Value = FmOptions> {
    (
        prop_oneof![Just(64u64), Just(200), Just(1 << 20)],
        prop_oneof![Just(0u16), Just(2), Just(64)],
        any::<bool>(),
    )
        .prop_map(|(block_bytes, sample_step, row_counters)| FmOptions {
            block_bytes,
            sample_step,
            row_counters,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn fm_answers_as_a_scan(
        rows in strings(), pattern in patterns(), options in options(),
        low in needles(), high in needles(), kinds in (0u8..3, 0u8..3), cuts in proptest::collection::vec(any::<u64>(), 0..6),
    ) {
        let index = Fm::open(Section::from_vec(encode_with(&column(&rows), &options).unwrap())).unwrap();
        check(&index, &rows, &pattern, bound(kinds.0, &low), bound(kinds.1, &high), &cuts);
    }

    #[test]
    fn dictionary_answers_as_a_scan(
        rows in strings(), pattern in patterns(),
        low in needles(), high in needles(), kinds in (0u8..3, 0u8..3), cuts in proptest::collection::vec(any::<u64>(), 0..6),
    ) {
        let index = open(TextKind::Dictionary, Section::from_vec(encode(TextKind::Dictionary, &column(&rows)).unwrap())).unwrap();
        check(&*index, &rows, &pattern, bound(kinds.0, &low), bound(kinds.1, &high), &cuts);
    }

    #[test]
    fn damaged_fm_gives_an_error_or_an_answer(
        rows in strings(), pattern in patterns(), options in options(), flips in proptest::collection::vec((any::<u32>(), 0u8..8), 1..4),
    ) {
        let mut bytes = encode_with(&column(&rows), &options).unwrap();
        flip(&mut bytes, &flips);
        ask_everything(TextKind::Fm, bytes, &pattern);
    }

    #[test]
    fn damaged_dictionary_gives_an_error_or_an_answer(
        rows in strings(), pattern in patterns(), flips in proptest::collection::vec((any::<u32>(), 0u8..8), 1..4),
    ) {
        let mut bytes = encode(TextKind::Dictionary, &column(&rows)).unwrap();
        flip(&mut bytes, &flips);
        ask_everything(TextKind::Dictionary, bytes, &pattern);
    }
}

pub fn flip(bytes: &mut [u8], flips: &[(u32, u8)]) {
    for (at, bit) in flips {
        let at = *at as usize % bytes.len();
        bytes[at] ^= 1 << bit;
    }
}

pub fn ask_everything(kind: TextKind, bytes: Vec<u8>, pattern: &TextPattern) {
    let Ok(index) = open(kind, Section::from_vec(bytes)) else {
        return;
    };
    let _ = index.refit(Layout::Fm(FmParts::Rows32), None);
    let rows = index.len().min(100);
    let whole: Vec<Range<u64>> = std::iter::once(0..index.len()).collect();
    let _ = index.count(&whole, pattern);
    let _ = index.count_between(&whole, Bound::Excluded(b"a"), Bound::Included(b"b"));
    let mut mask = Mask::repeat(false, rows as usize);
    let _ = index.select(0..rows, pattern, &mut mask);
    let _ = index.select_between(0..rows, Bound::Excluded(b"a"), Bound::Unbounded, &mut mask);
    let _ = index.decode(0..rows, &mut ByteColumn::default());
    (0..rows).for_each(|row| {
        let _ = index.extract(row, &mut Vec::new());
    });
}

#[test]
fn every_cut_of_a_section_is_refused_or_answered() {
    let rows: Vec<Vec<u8>> = (0..30)
        .map(|i| format!("row {i} of thirty").into_bytes())
        .collect();
    for kind in TextKind::ALL {
        let bytes = encode(kind, &column(&rows)).unwrap();
        for cut in 0..bytes.len() {
            ask_everything(
                kind,
                bytes[..cut].to_vec(),
                &TextPattern::Contains(b"of".to_vec()),
            );
        }
    }
}

/// All byte values, one row a value and one with all of them.
#[test]
fn all_byte_values_in_one_block() {
    let mut rows: Vec<Vec<u8>> = (0..=255u8).map(|b| vec![b, 1, b, 0, b]).collect();
    rows.push((0..=255).collect());
    for kind in TextKind::ALL {
        let index = open(kind, Section::from_vec(encode(kind, &column(&rows)).unwrap())).unwrap();
        for needle in [
            &[0][..],
            &[1],
            &[0, 1],
            &[1, 0],
            &[1, 1],
            &[1, 0, 0],
            &[254, 255],
            &[2, 1, 2],
            &[0, 0],
        ] {
            let pattern = TextPattern::Contains(needle.to_vec());
            check(
                &*index,
                &rows,
                &pattern,
                Bound::Included(needle),
                Bound::Unbounded,
                &[3, 200],
            );
        }
    }
}

/// Unicode has a k and an s that are not ASCII; where no string has them, a text in any case is one in ASCII case.
#[test]
fn text_in_any_case() {
    let mut rows: Vec<Vec<u8>> = (0..90)
        .map(|row| format!("Disk {row} is {}", ["OK", "stuck", "slow"][row % 3]).into_bytes())
        .collect();
    let regex = |source: &str| {
        let options = RegexOptions {
            ignore_case: true,
            bytes: false,
        };
        TextPattern::Regex(RegexPattern::new(source, options).unwrap())
    };
    let ilike = |source: &str| {
        let like = pattern::LikePattern::parse(source, None);
        TextPattern::Regex(RegexPattern::ilike(&like, false).unwrap())
    };
    // Whether each is simpler while no row has a Kelvin sign or a long s, and with both of them.
    let patterns = [
        (ilike("%STUCK%"), [true, false]),
        (ilike("%is o%"), [true, false]),
        (ilike("%disk%1%"), [false, false]),
        (ilike("%low"), [false, false]),
        (regex("oK"), [true, false]),
        (regex("K 1"), [true, false]),
        (regex("o[k]|slow"), [false, false]),
        (regex("(?-i:OK)"), [false, false]),
        (regex("0"), [true, true]),
        (regex("é"), [false, false]),
    ];
    for state in 0..2 {
        for kind in TextKind::ALL {
            let index = open(kind, Section::from_vec(encode(kind, &column(&rows)).unwrap())).unwrap();
            for (pattern, simpler) in &patterns {
                let simple = simplest(&*index, pattern).unwrap();
                assert_eq!(*simple != *pattern, simpler[state], "{pattern:?}");
                let all = 0..rows.len() as u64;
                let count = index.count(std::slice::from_ref(&all), &simple).unwrap();
                let scan = rows.iter().filter(|row| pattern.matches(row));
                assert_eq!(count, scan.count() as u64, "{pattern:?}");
            }
        }
        rows.push("Dis\u{212a} is \u{17f}tuc\u{212a}".as_bytes().to_vec());
    }
}

/// Counts of sampled places that do not grow from place to place.
#[test]
fn damaged_row_samples_are_an_error() {
    let rows: Vec<Vec<u8>> = (0..120)
        .map(|row| format!("abab{}ab", row % 7).into_bytes())
        .collect();
    let options = FmOptions {
        block_bytes: 1 << 20,
        sample_step: 2,
        row_counters: false,
    };
    let bytes = encode_with(&column(&rows), &options).unwrap();
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let block = number(40);
    let part = |index: usize| block + number(block + 16 + 4 * index);
    for at in part(4)..part(5) {
        for bit in [0, 3, 6] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            ask_everything(TextKind::Fm, damaged, &TextPattern::Contains(b"ab".to_vec()));
        }
    }
}

/// One row of most bytes among many: without samples, walking to row starts is given up for reading.
#[test]
fn hits_that_gather_in_one_row() {
    let mut rows: Vec<Vec<u8>> = (0..2_000).map(|i| format!("short {i}").into_bytes()).collect();
    rows.push(b"ab".repeat(4_000));
    for (sample_step, row_counters) in [(0, false), (64, true)] {
        let options = FmOptions {
            block_bytes: 1 << 20,
            sample_step,
            row_counters,
        };
        let index = Fm::open(Section::from_vec(encode_with(&column(&rows), &options).unwrap())).unwrap();
        for pattern in [
            TextPattern::Contains(b"bab".to_vec()),
            TextPattern::like("%t 1%9%", None),
            TextPattern::ContainsIgnoreAsciiCase(b"SHORT".to_vec()),
        ] {
            check(
                &index,
                &rows,
                &pattern,
                Bound::Unbounded,
                Bound::Excluded(b"b"),
                &[1, 1_999],
            );
        }
    }
}

#[test]
fn spellings_of_one_needle_share_rows() {
    let rows: Vec<Vec<u8>> = (0..3_000)
        .map(|i| {
            let other = if i % 91 == 0 { "Error" } else { "" };
            let main = if i % 3 == 0 { "error error" } else { "fine" };
            format!("{main} number {i} {other}").into_bytes()
        })
        .collect();
    let index = Fm::open(Section::from_vec(
        encode_with(&column(&rows), &FmOptions::default()).unwrap(),
    ))
    .unwrap();
    let pattern = TextPattern::ContainsIgnoreAsciiCase(b"eRRor".to_vec());
    check(
        &index,
        &rows,
        &pattern,
        Bound::Unbounded,
        Bound::Unbounded,
        &[10, 2_000],
    );
}

/// Each stop of the dial made from another one is what the rows would have been encoded as.
#[test]
fn parts_are_left_out_and_made_again() {
    let mut rows: Vec<Vec<u8>> = (0..400usize)
        .map(|i| format!("{i} of {}", "valve open, ".repeat(i * 7 % 23)).into_bytes())
        .collect();
    rows[7] = Vec::new();
    rows[250] = b"long ".repeat(2_000);
    rows.extend((0..=255u8).map(|byte| vec![byte; usize::from(byte)]));
    let stops = [FmParts::Rows32, FmParts::Rows64, FmParts::Counts, FmParts::Least].map(Layout::Fm);
    for block_bytes in [16_000, 1 << 20] {
        let encoded = stops.map(|stop| {
            let options = FmOptions {
                block_bytes,
                ..FmOptions::of(stop)
            };
            encode_with(&column(&rows), &options).unwrap()
        });
        assert!(encoded.windows(2).all(|pair| pair[0].len() > pair[1].len()));
        for (from, bytes) in stops.into_iter().zip(&encoded) {
            let index = Fm::open(Section::from_vec(bytes.clone())).unwrap();
            assert_eq!(index.name(), from.name());
            for (to, wanted) in stops.into_iter().zip(&encoded) {
                let made = index.refit(to, Some(block_bytes)).unwrap();
                let counters_are_lost = from == stops[3] && to != stops[3];
                assert_eq!(
                    made.as_ref(),
                    Some(wanted).filter(|_| !counters_are_lost),
                    "{from} as {to}"
                );
            }
            assert_eq!(index.refit(Layout::default(), Some(block_bytes)).unwrap(), None);
            let is_cut = index.is_cut(block_bytes * 2);
            assert_eq!(is_cut, block_bytes == 16_000);
            assert_eq!(
                index.refit(from, Some(block_bytes * 2)).unwrap().is_none(),
                is_cut
            );
        }
    }
}

/// More hits than are walked through the stored tree, in rows that repeat each other and in rows that do not.
#[test]
fn frequent_needles() {
    let mut state = 1u64;
    let mut noise = |end: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % end
    };
    let rows: Vec<Vec<u8>> = (0..1_500)
        .map(|row| match noise(4) {
            0 => format!(
                "pump {} of line {row}: pressure {} kPa, Pump ok",
                noise(9),
                noise(900)
            )
            .into_bytes(),
            1 => (0..noise(90)).map(|_| b"abA "[noise(4) as usize]).collect(),
            2 => b"pump idle, valve shut, ".repeat(noise(6) as usize),
            _ => format!("{:x} pressure low on pump {}", noise(1 << 30), noise(5)).into_bytes(),
        })
        .collect();
    for (block_bytes, sample_step, row_counters) in [
        (1 << 20, 64, true),
        (1 << 20, 64, false),
        (1 << 20, 7, true),
        (1 << 20, 0, false),
        (9_000, 32, true),
    ] {
        let options = FmOptions {
            block_bytes,
            sample_step,
            row_counters,
        };
        let index = Fm::open(Section::from_vec(encode_with(&column(&rows), &options).unwrap())).unwrap();
        for pattern in [
            TextPattern::Contains(b"p".to_vec()),
            TextPattern::Contains(b"pump".to_vec()),
            TextPattern::Contains(b"aA".to_vec()),
            TextPattern::Contains(b"e, ".to_vec()),
            TextPattern::EndsWith(b" ".to_vec()),
            TextPattern::ContainsIgnoreAsciiCase(b"AB".to_vec()),
            TextPattern::ContainsIgnoreAsciiCase(b"pump".to_vec()),
            TextPattern::like("%pump%ok", None),
            TextPattern::like("%e%pump%", None),
            TextPattern::like("pump%ssure%", None),
            TextPattern::Regex(RegexPattern::new("pump [0-4]|low on", RegexOptions::default()).unwrap()),
        ] {
            check(
                &index,
                &rows,
                &pattern,
                Bound::Unbounded,
                Bound::Excluded(b"pump"),
                &[3, 1_200],
            );
        }
    }
}

#[test]
fn rows_of_any_length_beside_each_other() {
    let long = b"0123456789".repeat(100_000);
    let mut longer = long.clone();
    longer.extend_from_slice(b"needle");
    let rows = vec![
        b"".to_vec(),
        long.clone(),
        b"needle".to_vec(),
        longer,
        b"".to_vec(),
        b"x\ny\0z".repeat(3_000),
    ];
    let options = FmOptions {
        block_bytes: 100_000,
        ..FmOptions::default()
    };
    let index = Fm::open(Section::from_vec(encode_with(&column(&rows), &options).unwrap())).unwrap();
    for pattern in [
        TextPattern::Contains(b"needle".to_vec()),
        TextPattern::Contains(b"9012".to_vec()),
        TextPattern::Contains(Vec::new()),
        TextPattern::Equals(Vec::new()),
        TextPattern::Equals(long),
        TextPattern::EndsWith(b"z".to_vec()),
        TextPattern::StartsWith(b"0".to_vec()),
        TextPattern::like("%9%e%", None),
    ] {
        check(
            &index,
            &rows,
            &pattern,
            Bound::Unbounded,
            Bound::Excluded(b"n"),
            &[1, 4],
        );
    }
}

#[test]
fn golden_bytes() {
    let mut rows: Vec<Vec<u8>> = (0..200)
        .map(|i| {
            format!(
                "session {} opened for user u{} from 10.0.{}.7",
                i * 37 % 101,
                i % 7,
                i % 13
            )
            .into_bytes()
        })
        .collect();
    rows.push(Vec::new());
    rows.push(b"x".repeat(3_000));
    let options = FmOptions {
        block_bytes: 6_000,
        ..FmOptions::default()
    };
    for (name, kind, bytes) in [
        (
            "text_dictionary",
            TextKind::Dictionary,
            encode(TextKind::Dictionary, &column(&rows)).unwrap(),
        ),
        (
            "text_fm",
            TextKind::Fm,
            encode_with(&column(&rows), &options).unwrap(),
        ),
        (
            "text_both",
            TextKind::Both,
            both::encode(&column(&rows), Some(6_000)).unwrap(),
        ),
    ] {
        golden(name, &bytes, |bytes| {
            let index = open(kind, Section::from_vec(bytes)).unwrap();
            let pattern = TextPattern::Contains(b"user u3".to_vec());
            check(
                &*index,
                &rows,
                &pattern,
                Bound::Included(b"s"),
                Bound::Unbounded,
                &[7, 150],
            );
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn stretches_of_words_in_order(
        words in proptest::collection::btree_set("[a-cA-C]{0,5}", 1..80), needles in proptest::collection::vec("[a-cA-C]{1,4}", 8), block_bytes in 64u64..400,
    ) {
        let words: Vec<Vec<u8>> = words.into_iter().map(String::into_bytes).collect();
        let options = FmOptions { block_bytes, sample_step: 0, row_counters: false };
        let fm = Fm::open(Section::from_vec(encode_with(&column(&words), &options).unwrap())).unwrap();
        for needle in needles {
            let needle = needle.as_bytes();
            for whole in [false, true] {
                let found = |word: &[u8], any_case: bool| {
                    let front = if whole { word } else { word.get(..needle.len()).unwrap_or_default() };
                    front == needle || any_case && front.eq_ignore_ascii_case(needle)
                };
                let wanted = |any_case| -> Vec<u64> {
                    (0u64..).zip(&words).filter(|(_, word)| found(word, any_case)).map(|(number, _)| number).collect()
                };
                let stretch = fm.stretch(needle, whole).unwrap().unwrap();
                prop_assert_eq!(stretch.collect::<Vec<u64>>(), wanted(false));
                let stretches = fm.stretches_any_case(needle, whole).unwrap().unwrap();
                let mut any: Vec<u64> = stretches.into_iter().flatten().collect();
                any.sort_unstable();
                prop_assert_eq!(any, wanted(true));
            }
        }
    }
}
