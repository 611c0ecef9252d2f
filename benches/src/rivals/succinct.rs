//! sucds: its wavelet matrix, its packed vector, and Elias-Fano over prefix sums.

use std::ops::Range;

use siltstone_store::section::FileBytes;
use sucds::Serializable;
use sucds::bit_vectors::Rank9Sel;
use sucds::char_sequences::WaveletMatrix;
use sucds::int_vectors::{Access, CompactVector};
use sucds::mii_sequences::{EliasFano, EliasFanoBuilder};

use crate::data::Column;
use crate::subject::{Form, Maker, Subject, Totals, middle};

/// Codes above the least, as all of these store them, and the least in front of their bytes.
fn above_least(column: &Column) -> Option<(u64, Vec<u64>)> {
    let least = *column.codes.iter().min()?;
    Some((least, column.codes.iter().map(|code| code - least).collect()))
}

fn serialized(least: u64, structure: &impl Serializable) -> Vec<u8> {
    let mut bytes = least.to_le_bytes().to_vec();
    structure.serialize_into(&mut bytes).unwrap();
    bytes
}

fn loaded<T: Serializable>(bytes: &FileBytes) -> (u64, T) {
    let (least, rest) = (**bytes)
        .as_ref()
        .split_first_chunk::<8>()
        .expect("the least code");
    (u64::from_le_bytes(*least), T::deserialize_from(rest).unwrap())
}

/// Makes wavelet matrices.
#[derive(Debug)]
pub struct Matrix;

impl Maker for Matrix {
    fn name(&self) -> String {
        "sucds wavelet".into()
    }

    fn in_place(&self) -> bool {
        false
    }

    fn encode(&self, column: &Column, form: Form) -> Option<Vec<u8>> {
        debug_assert!(form == Form::Codes);
        let (least, codes) = above_least(column)?;
        let packed = CompactVector::from_slice(&codes);
        let matrix = WaveletMatrix::new(packed, |bits| Rank9Sel::new(bits).select0_hints());
        Some(serialized(least, &matrix.unwrap()))
    }

    fn open(&self, bytes: FileBytes, _: u64, _: Form) -> Box<dyn Subject> {
        let (least, matrix) = loaded(&bytes);
        Box::new(MatrixOpened { least, matrix })
    }
}

struct MatrixOpened {
    least: u64,
    matrix: WaveletMatrix<Rank9Sel>,
}

impl MatrixOpened {
    /// Rows of the range with codes below `code`: by halving over its quantiles, since it counts no ranges of values.
    fn below(&self, range: &Range<u64>, code: u64) -> u64 {
        let (mut low, mut high) = (0, range.end - range.start);
        while low < high {
            let k = low.midpoint(high);
            if self.nth(range, k) < code {
                low = k + 1
            } else {
                high = k
            }
        }
        low
    }

    fn nth(&self, range: &Range<u64>, k: u64) -> u64 {
        let range = range.start as usize..range.end as usize;
        self.matrix.quantile(range, k as usize).unwrap() + self.least
    }
}

impl Subject for MatrixOpened {
    fn form(&self) -> Form {
        Form::Codes
    }

    fn decode(&self, range: Range<u64>, out: &mut Vec<u64>) {
        out.clear();
        out.extend(range.map(|row| self.get(row)));
    }

    fn get(&self, row: u64) -> u64 {
        self.matrix.access(row as usize).unwrap() + self.least
    }

    fn count(&self, ranges: &[Range<u64>], low: u64, high: u64) -> u64 {
        let count = |range| self.below(range, high + 1) - self.below(range, low);
        ranges.iter().map(count).sum()
    }

    fn quantile(&self, ranges: &[Range<u64>], k: u64) -> u64 {
        if let [range] = ranges {
            return self.nth(range, k);
        }
        let mut all: Vec<u64> = ranges
            .iter()
            .cloned()
            .flatten()
            .map(|row| self.get(row))
            .collect();
        *all.select_nth_unstable(k as usize).1
    }

    fn medians(&self, ranges: &[Range<u64>]) -> Vec<u64> {
        ranges
            .iter()
            .map(|range| self.nth(range, middle(range)))
            .collect()
    }
}

/// Makes vectors with as many bits a value as the largest needs.
#[derive(Debug)]
pub struct Compact;

impl Maker for Compact {
    fn name(&self) -> String {
        "sucds compact".into()
    }

    fn in_place(&self) -> bool {
        false
    }

    fn encode(&self, column: &Column, _: Form) -> Option<Vec<u8>> {
        let (least, codes) = above_least(column)?;
        Some(serialized(least, &CompactVector::from_slice(&codes)))
    }

    fn open(&self, bytes: FileBytes, _: u64, _: Form) -> Box<dyn Subject> {
        let (least, vector) = loaded(&bytes);
        Box::new(CompactOpened { least, vector })
    }
}

struct CompactOpened {
    least: u64,
    vector: CompactVector,
}

impl Subject for CompactOpened {
    fn form(&self) -> Form {
        Form::Codes
    }

    fn decode(&self, range: Range<u64>, out: &mut Vec<u64>) {
        out.clear();
        out.extend(range.map(|row| self.get(row)));
    }

    fn get(&self, row: u64) -> u64 {
        self.vector.access(row as usize).unwrap() + self.least
    }
}

/// Makes Elias-Fano sequences of prefix sums: a window's sum is two selects.
#[derive(Debug)]
pub struct PrefixSums;

impl Maker for PrefixSums {
    fn name(&self) -> String {
        "sucds ef sums".into()
    }

    fn in_place(&self) -> bool {
        false
    }

    fn encode(&self, column: &Column, _: Form) -> Option<Vec<u8>> {
        let (least, codes) = above_least(column)?;
        let total: u128 = codes.iter().map(|&code| u128::from(code)).sum();
        if total >= 1 << 60 {
            return None;
        }
        let mut builder = EliasFanoBuilder::new(total as u64 + 1, codes.len() + 1).ok()?;
        let mut sum = 0;
        builder.push(0).ok()?;
        for code in codes {
            sum += code;
            builder.push(sum).ok()?;
        }
        Some(serialized(least, &builder.build()))
    }

    fn open(&self, bytes: FileBytes, _: u64, _: Form) -> Box<dyn Subject> {
        let (least, sums) = loaded(&bytes);
        Box::new(PrefixSumsOpened { least, sums })
    }
}

struct PrefixSumsOpened {
    least: u64,
    sums: EliasFano,
}

impl PrefixSumsOpened {
    fn select(&self, row: u64) -> u64 {
        self.sums.select(row as usize).unwrap()
    }
}

impl Subject for PrefixSumsOpened {
    fn form(&self) -> Form {
        Form::Codes
    }

    fn decode(&self, range: Range<u64>, out: &mut Vec<u64>) {
        out.clear();
        let mut sums = self.sums.iter(range.start as usize);
        let mut last = sums.next().expect("a sum");
        for _ in range {
            let sum = sums.next().expect("a sum");
            out.push(sum - last + self.least);
            last = sum;
        }
    }

    /// The sum by two selects; least and greatest need the rows.
    fn totals(&self, range: Range<u64>) -> Totals {
        let sum = self.select(range.end) - self.select(range.start) + self.least * (range.end - range.start);
        crate::subject::with_scratch(|out| {
            self.decode(range, out);
            let (min, max) = out.iter().fold((u64::MAX, 0), |(a, b), &x| (a.min(x), b.max(x)));
            Totals {
                sum: sum as f64,
                min,
                max,
            }
        })
    }
}
