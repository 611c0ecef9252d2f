//! The questions, their plain answers, and what each subject takes for them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::time::Instant;

use crate::Fallible;
use crate::data::{Column, Random};
use crate::measure::{self, Kept};
use crate::subject::{Form, Maker, Subject, Totals, middle, to_keys, with_scratch};

/// Figures of one subject on one column, by name.
pub type Figures = BTreeMap<String, f64>;

/// What is measured, in the order of the table: name and what it is.
pub const QUESTIONS: [(&str, &str); 21] = [
    ("bits", "bits a value, everything that the file needs"),
    ("ratio", "bits beside pco's on the same numbers"),
    ("encode_MBs", "encoded, MB/s of 8-byte values"),
    ("decode_GBs", "all rows decoded to memory, GB/s of 8-byte values"),
    ("range_GBs", "ranges of 65,536 rows decoded, GB/s"),
    ("get_ns", "one random value"),
    ("agg1_us", "sum, min and max of a random window of 1 %"),
    (
        "cnt1_us",
        "count of an interval of values in a random window of 1 %",
    ),
    ("cnt10_us", "the same, 10 %"),
    ("cnt100_us", "the same, all rows"),
    ("med1_us", "exact median of a random window of 1 %"),
    ("med10_us", "the same, 10 %"),
    ("med100_us", "the same, all rows"),
    ("all_us", "the same, asked of a store without a window"),
    (
        "buckets_us",
        "1,000 medians, one a bucket, buckets covering all rows",
    ),
    ("many_med_us", "one median over 1,000 ranges, half of the rows"),
    ("many_cnt_us", "one count over these ranges"),
    ("cold_get_us", "opening a file that is in no cache, and one value"),
    ("cold_get_KB", "bytes fetched for that, KB"),
    (
        "cold_med10_us",
        "opening such a file, and the median of a window of 10 %",
    ),
    ("cold_med10_KB", "bytes fetched for that, KB"),
];

/// Windows a question is asked of.
const WINDOWS: usize = 200;
/// Of these, how many answers are compared with the plain one.
const CHECKED: usize = 5;
/// Ranges of the questions with many.
const BUCKETS: u64 = 1000;

/// Questions on one column, with the plain answers.
#[derive(Debug)]
pub struct Plan {
    form: Form,
    keys: Vec<u64>,
    /// Random rows.
    rows: Vec<u64>,
    /// Random windows of 1, 10 and 100 %.
    windows: [Vec<Range<u64>>; 3],
    /// Random ranges of 65,536 rows.
    pieces: Vec<Range<u64>>,
    /// Interval of keys from the lower quartile to the median.
    interval: (u64, u64),
    buckets: Vec<Range<u64>>,
    apart: Vec<Range<u64>>,
    answers: Answers,
}

#[derive(Debug)]
struct Answers {
    totals: Vec<Totals>,
    counts: [Vec<u64>; 3],
    medians: [Vec<u64>; 3],
    buckets: Vec<u64>,
    many_median: u64,
    many_count: u64,
}

/// `count` random windows of `size` rows.
fn windows(len: u64, size: u64, count: usize) -> Vec<Range<u64>> {
    let mut random = Random(7);
    let size = size.clamp(1, len);
    let window = |_| {
        let start = random.below(len - size + 1);
        start..start + size
    };
    (0..count).map(window).collect()
}

fn slice<'a>(keys: &'a [u64], range: &Range<u64>) -> &'a [u64] {
    &keys[range.start as usize..range.end as usize]
}

fn nth(mut keys: Vec<u64>, k: u64) -> u64 {
    *keys.select_nth_unstable(k as usize).1
}

impl Plan {
    /// Draws the questions and answers them from the plain rows.
    pub fn new(column: &Column, form: Form) -> Plan {
        let keys = form.keys(column);
        let len = keys.len() as u64;
        let mut random = Random(5);
        let rows = (0..100_000).map(|_| random.below(len)).collect();
        let windows_of = [
            windows(len, len / 100, WINDOWS),
            windows(len, len / 10, WINDOWS),
            windows(len, len, 3),
        ];
        let bits: Vec<u64> = match form {
            Form::Codes => Vec::new(),
            Form::Floats => column
                .floats
                .iter()
                .flatten()
                .map(|value| value.to_bits())
                .collect(),
        };
        let mut sample: Vec<u64> = (0..10_001).map(|_| keys[random.below(len) as usize]).collect();
        sample.sort_unstable();
        let interval = (sample[2_500], sample[5_000]);
        let inside = |range: &Range<u64>| {
            let keys = slice(&keys, range).iter();
            keys.filter(|&&key| key >= interval.0 && key <= interval.1)
                .count() as u64
        };
        let median = |range: &Range<u64>| nth(slice(&keys, range).to_vec(), middle(range));
        let count = BUCKETS.min(len);
        let buckets: Vec<Range<u64>> = (0..count)
            .map(|i| i * len / count..(i + 1) * len / count)
            .collect();
        let half =
            |bucket: &Range<u64>| bucket.start..bucket.start.midpoint(bucket.end).max(bucket.start + 1);
        let apart: Vec<Range<u64>> = buckets.iter().map(half).collect();
        let joined: Vec<u64> = apart
            .iter()
            .flat_map(|range| slice(&keys, range))
            .copied()
            .collect();
        let many_count = apart.iter().map(inside).sum();
        let many_middle = (joined.len() as u64 - 1) / 2;
        let answers = Answers {
            totals: windows_of[0]
                .iter()
                .take(CHECKED)
                .map(|range| match form {
                    Form::Codes => Totals::of(form, slice(&keys, range)),
                    Form::Floats => Totals::of(form, slice(&bits, range)),
                })
                .collect(),
            counts: windows_of
                .each_ref()
                .map(|w| w.iter().take(CHECKED).map(inside).collect()),
            medians: windows_of
                .each_ref()
                .map(|w| w.iter().take(CHECKED).map(median).collect()),
            buckets: buckets.iter().map(median).collect(),
            many_median: nth(joined, many_middle),
            many_count,
        };
        Plan {
            form,
            rows,
            windows: windows_of,
            pieces: windows(len, 65_536, 16),
            interval,
            buckets,
            apart,
            answers,
            keys,
        }
    }

    /// Rows of the column.
    pub fn rows(&self) -> u64 {
        self.keys.len() as u64
    }

    /// What the subject holds.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Interval of keys that is counted, both ends included.
    pub fn interval(&self) -> (u64, u64) {
        self.interval
    }

    /// Rows that are asked for one by one.
    pub fn places(&self) -> &[u64] {
        &self.rows
    }

    /// Windows of 1, 10 and 100 %.
    pub fn windows(&self) -> &[Vec<Range<u64>>; 3] {
        &self.windows
    }

    /// The median of all rows.
    pub fn median_of_all(&self) -> u64 {
        self.answers.medians[2][0]
    }

    /// The 1,000 buckets that cover all rows.
    pub fn buckets(&self) -> &[Range<u64>] {
        &self.buckets
    }

    /// The keys themselves.
    pub fn keys(&self) -> &[u64] {
        &self.keys
    }

    /// Asks everything, hot: each answer is checked first, then timed for about `budget` seconds.
    pub fn ask(&self, subject: &dyn Subject, budget: f64, only: &str) -> Figures {
        let mut figures = Figures::new();
        let wanted = |name: &str| only.is_empty() || name.starts_with(only);
        let len = self.rows();
        let bytes = len as f64 * 8.0;
        if wanted("decode") {
            with_scratch(|out| {
                subject.decode(0..len, out);
                to_keys(subject, out);
                assert!(*out == self.keys, "decoded rows differ");
                let seconds = measure::each(budget, 1, |_| subject.decode(0..len, out));
                figures.insert("decode_GBs".into(), bytes / seconds / 1e9);
                out.truncate(1 << 16);
            });
        }
        if wanted("range") {
            let piece = self.pieces[0].end - self.pieces[0].start;
            with_scratch(|out| {
                let seconds = measure::each(budget, self.pieces.len(), |i| {
                    subject.decode(self.pieces[i].clone(), out)
                });
                figures.insert("range_GBs".into(), piece as f64 * 8.0 / seconds / 1e9);
            });
        }
        if wanted("get") {
            let start = Instant::now();
            for &row in self.rows.iter().take(300) {
                if start.elapsed().as_secs_f64() > budget {
                    break;
                }
                assert_eq!(subject.get(row), self.keys[row as usize], "value of row {row}");
            }
            let mut sum = 0u64;
            let seconds = measure::each(budget, self.rows.len(), |i| {
                sum = sum.wrapping_add(subject.get(self.rows[i]))
            });
            std::hint::black_box(sum);
            figures.insert("get_ns".into(), seconds * 1e9);
        }
        if wanted("agg") {
            let windows = &self.windows[0];
            for (window, wanted) in windows.iter().zip(&self.answers.totals) {
                let found = subject.totals(window.clone());
                assert!(
                    found.agrees(wanted, self.form),
                    "totals of {window:?}: {found:?}, not {wanted:?}"
                );
            }
            let seconds = measure::each(budget, windows.len(), |i| {
                std::hint::black_box(subject.totals(windows[i].clone()));
            });
            figures.insert("agg1_us".into(), seconds * 1e6);
        }
        for (share, (windows, name)) in self.windows.iter().zip(["1_us", "10_us", "100_us"]).enumerate() {
            let (low, high) = self.interval;
            if wanted("cnt") {
                for (window, &wanted) in windows.iter().zip(&self.answers.counts[share]) {
                    assert_eq!(
                        subject.count(std::slice::from_ref(window), low, high),
                        wanted,
                        "count in {window:?}"
                    );
                }
                let seconds = measure::each(budget, windows.len(), |i| {
                    std::hint::black_box(subject.count(std::slice::from_ref(&windows[i]), low, high));
                });
                figures.insert(format!("cnt{name}"), seconds * 1e6);
            }
            if wanted("med") {
                for (window, &wanted) in windows.iter().zip(&self.answers.medians[share]) {
                    let found = subject.quantile(std::slice::from_ref(window), middle(window));
                    assert_eq!(found, wanted, "median of {window:?}");
                }
                let seconds = measure::each(budget, windows.len(), |i| {
                    std::hint::black_box(
                        subject.quantile(std::slice::from_ref(&windows[i]), middle(&windows[i])),
                    );
                });
                figures.insert(format!("med{name}"), seconds * 1e6);
            }
        }
        self.ask_many(subject, budget, wanted, &mut figures);
        figures
    }

    fn ask_many(
        &self,
        subject: &dyn Subject,
        budget: f64,
        wanted: impl Fn(&str) -> bool,
        figures: &mut Figures,
    ) {
        if wanted("buckets") {
            assert!(
                subject.medians(&self.buckets) == self.answers.buckets,
                "medians of buckets differ"
            );
            let seconds = measure::each(budget, 1, |_| {
                std::hint::black_box(subject.medians(&self.buckets));
            });
            figures.insert("buckets_us".into(), seconds * 1e6);
        }
        if wanted("many") {
            let rows: u64 = self.apart.iter().map(|range| range.end - range.start).sum();
            let k = (rows - 1) / 2;
            assert_eq!(
                subject.quantile(&self.apart, k),
                self.answers.many_median,
                "median over ranges"
            );
            let seconds = measure::each(budget, 1, |_| {
                std::hint::black_box(subject.quantile(&self.apart, k));
            });
            figures.insert("many_med_us".into(), seconds * 1e6);
            let (low, high) = self.interval;
            assert_eq!(
                subject.count(&self.apart, low, high),
                self.answers.many_count,
                "count over ranges"
            );
            let seconds = measure::each(budget, 1, |_| {
                std::hint::black_box(subject.count(&self.apart, low, high));
            });
            figures.insert("many_cnt_us".into(), seconds * 1e6);
        }
    }

    /// Writes what the maker encoded, opens it and asks, hot and cold.
    pub fn run(
        &self,
        maker: &dyn Maker,
        bytes: Vec<u8>,
        column: &Column,
        how: &How,
    ) -> Fallible<(Figures, Box<dyn Subject>)> {
        let kept = Kept::write(how.dir, "column", &bytes)?;
        let len = bytes.len() as f64;
        drop(bytes);
        let open = |bytes| maker.open(bytes, self.rows(), self.form);
        let subject = open(kept.map()?);
        let mut figures = self.ask(&*subject, how.budget, how.only);
        drop(subject);
        figures.insert("bits".into(), len * 8.0 / self.rows() as f64);
        if how.only.is_empty() || how.only == "encode" {
            let seconds = measure::each(how.budget, 1, |_| {
                std::hint::black_box(maker.encode(column, self.form));
            });
            figures.insert("encode_MBs".into(), self.rows() as f64 * 8e-6 / seconds);
        }
        if maker.in_place() && (how.only.is_empty() || how.only == "cold") {
            self.run_cold(&kept, open, &mut figures)?;
        }
        let subject = open(kept.map()?);
        Ok((figures, subject))
    }

    fn run_cold(
        &self,
        kept: &Kept,
        open: impl Fn(siltstone_store::section::FileBytes) -> Box<dyn Subject>,
        figures: &mut Figures,
    ) -> Fallible<()> {
        let (seconds, fetched) = measure::cold(kept, 15, |bytes, time| {
            let row = self.rows[time];
            assert_eq!(
                open(bytes).get(row),
                self.keys[row as usize],
                "value of row {row}, cold"
            );
        })?;
        if fetched == 0.0 {
            // Nothing came from a disk (a file system in memory, a system that does not count): not cold, no figure.
            return Ok(());
        }
        figures.insert("cold_get_us".into(), seconds * 1e6);
        figures.insert("cold_get_KB".into(), fetched / 1e3);
        let (seconds, fetched) = measure::cold(kept, CHECKED, |bytes, time| {
            let window = &self.windows[1][time];
            let found = open(bytes).quantile(std::slice::from_ref(window), middle(window));
            assert_eq!(found, self.answers.medians[1][time], "median of {window:?}, cold");
        })?;
        figures.insert("cold_med10_us".into(), seconds * 1e6);
        figures.insert("cold_med10_KB".into(), fetched / 1e3);
        Ok(())
    }

    /// One question over and over, for a profiler: nothing else calls this.
    #[inline(never)]
    pub fn counted(&self, subject: &dyn Subject, question: &str, times: usize) -> u64 {
        let window = |share: usize, i: usize| &self.windows[share][i % self.windows[share].len()];
        let (low, high) = self.interval;
        let mut sum = 0u64;
        let mut out = Vec::new();
        for i in 0..times {
            sum = sum.wrapping_add(match question {
                "get" => subject.get(self.rows[i % self.rows.len()]),
                "med1" => subject.quantile(std::slice::from_ref(window(0, i)), middle(window(0, i))),
                "med10" => subject.quantile(std::slice::from_ref(window(1, i)), middle(window(1, i))),
                "cnt10" => subject.count(std::slice::from_ref(window(1, i)), low, high),
                "agg1" => subject.totals(window(0, i).clone()).min,
                "buckets" => subject.medians(&self.buckets)[0],
                "decode" => {
                    subject.decode(0..self.rows(), &mut out);
                    out[0]
                }
                "range" => {
                    subject.decode(self.pieces[i % self.pieces.len()].clone(), &mut out);
                    out[0]
                }
                other => panic!("{other} is none of get, med1, med10, cnt10, agg1, buckets, decode, range"),
            });
        }
        sum
    }
}

/// How a run is made.
#[derive(Debug)]
pub struct How<'a> {
    /// Where files are written.
    pub dir: &'a Path,
    /// Seconds for each figure.
    pub budget: f64,
    /// Only figures that begin so; all if empty.
    pub only: &'a str,
}
