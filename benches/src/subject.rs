//! What every layout and every rival is asked.

use std::ops::Range;

use siltstone_store::section::FileBytes;

use crate::data::{Column, of_total_order, total_order};

/// What a subject holds, and so what its answers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The column's integer codes.
    Codes,
    /// The column's doubles. Answers are total-order keys; rivals decode to plain bits.
    Floats,
}

impl Form {
    /// What the column's rows are as keys.
    pub fn keys(self, column: &Column) -> Vec<u64> {
        match self {
            Form::Codes => column.codes.clone(),
            Form::Floats => column
                .floats
                .iter()
                .flatten()
                .map(|&value| total_order(value))
                .collect(),
        }
    }

    /// The number behind a key.
    pub fn number(self, key: u64) -> f64 {
        match self {
            Form::Codes => key as f64,
            Form::Floats => of_total_order(key),
        }
    }

    /// The key of decoded bits.
    #[inline]
    pub fn key_of_bits(self, bits: u64) -> u64 {
        match self {
            Form::Codes => bits,
            Form::Floats => total_order(f64::from_bits(bits)),
        }
    }
}

/// Sum, least and greatest of a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Totals {
    /// Sum of the values.
    pub sum: f64,
    /// Key of the least.
    pub min: u64,
    /// Key of the greatest.
    pub max: u64,
}

impl Totals {
    /// Of plain rows, in sixteen lanes.
    pub fn of(form: Form, bits: &[u64]) -> Totals {
        match form {
            Form::Codes => {
                let sum: u128 = bits.chunks(1 << 12).map(sum_codes).sum();
                let (min, max) = bits.iter().fold((u64::MAX, 0), |(a, b), &x| (a.min(x), b.max(x)));
                Totals {
                    sum: sum as f64,
                    min,
                    max,
                }
            }
            Form::Floats => {
                let (mut sums, mut min, mut max) = ([0.0; 16], [f64::INFINITY; 16], [f64::NEG_INFINITY; 16]);
                for lanes in bits.chunks(16) {
                    for (lane, &bits) in lanes.iter().enumerate() {
                        let value = f64::from_bits(bits);
                        sums[lane] += value;
                        min[lane] = if value < min[lane] { value } else { min[lane] };
                        max[lane] = if value > max[lane] { value } else { max[lane] };
                    }
                }
                Totals {
                    sum: sums.iter().sum(),
                    min: total_order(min.into_iter().fold(f64::INFINITY, f64::min)),
                    max: total_order(max.into_iter().fold(f64::NEG_INFINITY, f64::max)),
                }
            }
        }
    }

    /// Whether the other is the same but for the rounding of a sum of doubles, and for which zero is the least.
    pub fn agrees(&self, other: &Totals, form: Form) -> bool {
        let near = (self.sum - other.sum).abs() <= 1e-7 * (self.sum.abs() + other.sum.abs() + 1.0);
        near && form.number(self.min) == form.number(other.min)
            && form.number(self.max) == form.number(other.max)
    }
}

fn sum_codes(codes: &[u64]) -> u128 {
    // Two halves, so that no lane overflows and the loop stays in 64-bit lanes.
    let (low, high) = codes.iter().fold((0u64, 0u64), |(low, high), &code| {
        (low + (code & 0xffff_ffff), high + (code >> 32))
    });
    u128::from(low) + (u128::from(high) << 32)
}

/// A column as one subject stores it. What a subject does not answer itself is answered from decoded rows.
pub trait Subject {
    /// What it holds.
    fn form(&self) -> Form;

    /// The rows of `range` into `out`, which is made as long as the range.
    fn decode(&self, range: Range<u64>, out: &mut Vec<u64>);

    /// Whether [`Subject::decode`] gives keys; it gives plain bits otherwise.
    fn decodes_keys(&self) -> bool {
        self.form() == Form::Codes
    }

    /// What is to be xored to a decoded key to make it a key of the table.
    fn key_flip(&self) -> u64 {
        0
    }

    /// Key of one row.
    fn get(&self, row: u64) -> u64 {
        with_scratch(|out| {
            self.decode(row..row + 1, out);
            if self.decodes_keys() {
                out[0] ^ self.key_flip()
            } else {
                self.form().key_of_bits(out[0])
            }
        })
    }

    /// Rows of `ranges` with keys from `low` to `high`.
    fn count(&self, ranges: &[Range<u64>], low: u64, high: u64) -> u64 {
        let mut count = 0;
        each_part(self, ranges, |keys| {
            count += keys.iter().filter(|&&key| key >= low && key <= high).count() as u64;
        });
        count
    }

    /// Key of the `k`-th smallest row of `ranges`.
    fn quantile(&self, ranges: &[Range<u64>], k: u64) -> u64 {
        let mut all = Vec::new();
        let mut found = 0;
        each_part(self, ranges, |keys| match ranges.len() {
            1 => found = *keys.select_nth_unstable(k as usize).1,
            _ => all.extend_from_slice(keys),
        });
        if ranges.len() > 1 {
            found = *all.select_nth_unstable(k as usize).1;
        }
        found
    }

    /// Key of the lower median of each range.
    fn medians(&self, ranges: &[Range<u64>]) -> Vec<u64> {
        let mut medians = Vec::with_capacity(ranges.len());
        each_part(self, ranges, |keys| {
            let middle = (keys.len() - 1) / 2;
            medians.push(*keys.select_nth_unstable(middle).1);
        });
        medians
    }

    /// Sum, least and greatest of a window.
    fn totals(&self, range: Range<u64>) -> Totals {
        with_scratch(|out| {
            self.decode(range, out);
            if self.form() == Form::Floats && self.decodes_keys() {
                out.iter_mut()
                    .for_each(|key| *key = of_total_order(*key).to_bits());
            }
            Totals::of(self.form(), out)
        })
    }

    /// Bits of each part, where the subject knows.
    fn parts(&self) -> Vec<(String, u64)> {
        Vec::new()
    }

    /// What it chose, if it chooses: "decimal(2)/wavelet".
    fn choice(&self) -> String {
        String::new()
    }
}

/// Calls `ask` with the keys of each range, which it may put into another order.
///
/// Ranges that make up a good part of what lies between the first and the last are decoded in one go, as a program
/// would that has only `decode`.
pub fn each_part(subject: &(impl Subject + ?Sized), ranges: &[Range<u64>], mut ask: impl FnMut(&mut [u64])) {
    let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else {
        return;
    };
    let span = last.end - first.start;
    let wanted: u64 = ranges.iter().map(|range| range.end - range.start).sum();
    with_scratch(|out| {
        if ranges.len() > 1 && wanted >= span / 4 {
            subject.decode(first.start..last.end, out);
            to_keys(subject, out);
            for range in ranges {
                ask(&mut out[(range.start - first.start) as usize..(range.end - first.start) as usize]);
            }
            return;
        }
        for range in ranges {
            subject.decode(range.clone(), out);
            to_keys(subject, out);
            ask(out);
        }
    });
}

/// Turns what `decode` gave into keys.
pub fn to_keys(subject: &(impl Subject + ?Sized), out: &mut [u64]) {
    let (form, flip) = (subject.form(), subject.key_flip());
    if !subject.decodes_keys() {
        out.iter_mut().for_each(|bits| *bits = form.key_of_bits(*bits));
    } else if flip != 0 {
        out.iter_mut().for_each(|key| *key ^= flip);
    }
}

/// Place of the lower median.
pub fn middle(range: &Range<u64>) -> u64 {
    (range.end - range.start - 1) / 2
}

/// How a subject is made: everything that it keeps is bytes in a file.
pub trait Maker {
    /// Name in the tables.
    fn name(&self) -> String;

    /// Whether it is ours.
    fn ours(&self) -> bool {
        false
    }

    /// Whether its bytes are used where they lie; a subject that loads them whole first is not asked cold.
    fn in_place(&self) -> bool {
        true
    }

    /// The column's bytes; `None` if it cannot hold this column.
    fn encode(&self, column: &Column, form: Form) -> Option<Vec<u8>>;

    /// Opens what `encode` gave.
    fn open(&self, bytes: FileBytes, rows: u64, form: Form) -> Box<dyn Subject>;
}

thread_local! {
    static SCRATCH: std::cell::Cell<Vec<u64>> = const { std::cell::Cell::new(Vec::new()) };
}

/// Lends a buffer that keeps its memory from question to question.
pub fn with_scratch<T>(ask: impl FnOnce(&mut Vec<u64>) -> T) -> T {
    let mut buffer = SCRATCH.take();
    let answer = ask(&mut buffer);
    SCRATCH.set(buffer);
    answer
}
