//! Row times: bytes a row, and the row of a time.

use std::ops::Range;
use std::time::Instant;

use siltstone_store::column::time::{TimeColumn, encode};
use siltstone_store::section::Section;

use crate::Fallible;
use crate::data::{Column, Random};
use crate::measure;
use crate::questions::Figures;
use crate::table::Row;

/// Figures of row times, in the order of the table.
pub const FIGURES: [(&str, &str); 5] = [
    ("bytes", "bytes a row"),
    ("encode_MBs", "encoded, MB/s of 8-byte times"),
    ("decode_GBs", "decoded, GB/s"),
    ("get_ns", "time of a random row"),
    ("rank_ns", "first row at or after a time, inside a random run"),
];

/// Measures the clock of a column: ours, then the rivals that were built in.
pub fn measure(column: &Column, budget: f64) -> Fallible<Vec<Row>> {
    let questions = Questions::new(column);
    #[cfg_attr(not(feature = "compare"), expect(unused_mut, reason = "rivals follow"))]
    let mut rows = vec![ours(column, &questions, budget)?];
    #[cfg(feature = "compare")]
    {
        rows.push(rivals::pco(column, &questions, 1 << 18, budget));
        rows.push(rivals::pco(column, &questions, 1 << 12, budget));
        rows.extend(rivals::elias_fano(column, &questions, budget));
    }
    Ok(rows)
}

/// Random rows, and random times with the run that they are looked for in.
struct Questions {
    rows: Vec<u64>,
    times: Vec<(Range<u64>, i64)>,
}

impl Questions {
    fn new(column: &Column) -> Questions {
        let mut random = Random(8);
        let len = column.times.len() as u64;
        let rows: Vec<u64> = (0..50_000).map(|_| random.below(len)).collect();
        let time = |_| {
            let run = &column.runs[random.below(column.runs.len() as u64) as usize];
            let row = run.start + random.below(run.end - run.start);
            // Also between two rows, and past the last.
            (
                run.clone(),
                column.times[row as usize] + random.below(3) as i64 - 1,
            )
        };
        let times = (0..50_000).map(time).collect();
        Questions { rows, times }
    }
}

fn plain_rank(times: &[i64], run: &Range<u64>, time: i64) -> u64 {
    let part = &times[run.start as usize..run.end as usize];
    run.start + part.partition_point(|&t| t < time) as u64
}

fn check(
    column: &Column,
    questions: &Questions,
    get: impl Fn(u64) -> i64,
    rank: impl Fn(&Range<u64>, i64) -> u64,
) {
    // Some of these take a millisecond a question.
    let start = Instant::now();
    let left = || start.elapsed().as_secs_f64() < 0.5;
    for &row in questions.rows.iter().take(500).take_while(|_| left()) {
        assert_eq!(get(row), column.times[row as usize], "time of row {row}");
    }
    for (run, time) in questions.times.iter().take(500).take_while(|_| left()) {
        assert_eq!(
            rank(run, *time),
            plain_rank(&column.times, run, *time),
            "row of time {time}"
        );
    }
}

fn ours(column: &Column, questions: &Questions, budget: f64) -> Fallible<Row> {
    let rows = column.times.len();
    let bytes = encode(&column.times, &column.runs);
    let size = bytes.len() as f64 / rows as f64;
    let seconds = measure::each(budget, 1, |_| {
        std::hint::black_box(encode(&column.times, &column.runs));
    });
    let opened = TimeColumn::open(Section::from_vec(bytes), rows as u64)?;
    let mut out = vec![0; rows];
    opened.decode(0..rows as u64, &mut out)?;
    assert!(out == column.times, "decoded times differ");
    let get = |row| opened.get(row).unwrap();
    let rank = |run: &Range<u64>, time| opened.lower_bound(run.clone(), time).unwrap();
    check(column, questions, get, rank);
    let decode = measure::each(budget, 1, |_| opened.decode(0..rows as u64, &mut out).unwrap());
    let figures = [
        ("bytes", size),
        ("encode_MBs", rows as f64 * 8e-6 / seconds),
        ("decode_GBs", rows as f64 * 8e-9 / decode),
    ];
    Ok(finish("time", true, figures, questions, budget, get, rank))
}

fn finish(
    name: &str,
    ours: bool,
    figures: [(&str, f64); 3],
    questions: &Questions,
    budget: f64,
    get: impl Fn(u64) -> i64,
    rank: impl Fn(&Range<u64>, i64) -> u64,
) -> Row {
    let mut figures: Figures = figures
        .into_iter()
        .map(|(name, figure)| (name.to_owned(), figure))
        .collect();
    let mut sum = 0i64;
    let seconds = measure::each(budget, questions.rows.len(), |i| {
        sum = sum.wrapping_add(get(questions.rows[i]))
    });
    figures.insert("get_ns".into(), seconds * 1e9);
    let mut places = 0u64;
    let seconds = measure::each(budget, questions.times.len(), |i| {
        let (run, time) = &questions.times[i];
        places = places.wrapping_add(rank(run, *time));
    });
    std::hint::black_box((sum, places));
    figures.insert("rank_ns".into(), seconds * 1e9);
    Row {
        name: name.into(),
        ours,
        figures,
    }
}

#[cfg(feature = "compare")]
mod rivals {
    use std::cell::RefCell;

    use pco::standalone::{simple_compress, simple_decompress_into};
    use sucds::Serializable;
    use sucds::mii_sequences::EliasFanoBuilder;

    use super::{Column, Questions, Range, Row, check, finish, measure, plain_rank};

    /// Chunks of `chunk` rows and the first time of each: the chunk is found by halving, then decoded.
    pub(super) fn pco(column: &Column, questions: &Questions, chunk: usize, budget: f64) -> Row {
        let settings = pco::ChunkConfig::default();
        let pack = || -> Vec<Vec<u8>> {
            let pack = |part| simple_compress::<i64>(part, &settings).unwrap();
            column.times.chunks(chunk).map(pack).collect()
        };
        let chunks = pack();
        let rows = column.times.len();
        let seconds = measure::each(budget, 1, |_| {
            std::hint::black_box(pack());
        });
        let firsts: Vec<i64> = column.times.chunks(chunk).map(|part| part[0]).collect();
        let bytes: usize = chunks.iter().map(|bytes| bytes.len() + 12).sum();
        let unpack = |index: usize, out: &mut Vec<i64>| {
            out.resize(chunk.min(rows - index * chunk), 0);
            simple_decompress_into(&chunks[index], &mut out[..]).unwrap();
        };
        let buffer = RefCell::new(Vec::new());
        let get = |row: u64| {
            let out = &mut *buffer.borrow_mut();
            unpack(row as usize / chunk, out);
            out[row as usize % chunk]
        };
        let rank = |run: &Range<u64>, time: i64| {
            let out = &mut *buffer.borrow_mut();
            // Chunks that begin inside the run, and the one before them.
            let (first, last) = (run.start as usize / chunk, (run.end as usize - 1) / chunk);
            let index = first + firsts[first + 1..=last].partition_point(|&t| t < time);
            unpack(index, out);
            let start = index * chunk;
            let part =
                (run.start as usize).max(start) - start..(run.end as usize).min(start + out.len()) - start;
            start as u64 + plain_rank(out, &(part.start as u64..part.end as u64), time)
        };
        check(column, questions, get, rank);
        let mut all = vec![0i64; rows];
        let decode = measure::each(budget, 1, |_| {
            for (bytes, place) in chunks.iter().zip(all.chunks_mut(chunk)) {
                simple_decompress_into(bytes, place).unwrap();
            }
        });
        assert!(all == column.times, "decoded times differ");
        let figures = [
            ("bytes", bytes as f64 / rows as f64),
            ("encode_MBs", rows as f64 * 8e-6 / seconds),
            ("decode_GBs", rows as f64 * 8e-9 / decode),
        ];
        finish(
            &format!("pco {chunk}"),
            false,
            figures,
            questions,
            budget,
            get,
            rank,
        )
    }

    /// One ascending sequence: only for a clock that never goes back.
    pub(super) fn elias_fano(column: &Column, questions: &Questions, budget: f64) -> Option<Row> {
        let (first, last) = (*column.times.first()?, *column.times.last()?);
        if column.runs.len() > 1 {
            return None;
        }
        let rows = column.times.len();
        let build = || {
            let mut builder = EliasFanoBuilder::new((last - first) as u64 + 1, rows).unwrap();
            for time in &column.times {
                builder.push((time - first) as u64).unwrap();
            }
            builder.build().enable_rank()
        };
        let sequence = build();
        let seconds = measure::each(budget, 1, |_| {
            std::hint::black_box(build());
        });
        let get = |row: u64| first + sequence.select(row as usize).unwrap() as i64;
        let rank = |_: &Range<u64>, time: i64| {
            let above = (time - first).clamp(0, last - first + 1) as u64;
            sequence.rank(above).unwrap() as u64
        };
        check(column, questions, get, rank);
        let mut all = Vec::with_capacity(rows);
        let decode = measure::each(budget, 1, |_| {
            all.clear();
            all.extend(sequence.iter(0).map(|above| first + above as i64));
        });
        assert!(all == column.times, "decoded times differ");
        let figures = [
            ("bytes", sequence.size_in_bytes() as f64 / rows as f64),
            ("encode_MBs", rows as f64 * 8e-6 / seconds),
            ("decode_GBs", rows as f64 * 8e-9 / decode),
        ];
        Some(finish(
            "sucds elias-fano",
            false,
            figures,
            questions,
            budget,
            get,
            rank,
        ))
    }
}
