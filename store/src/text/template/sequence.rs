//! The codes of a column, one a row of its template, in the form of the fewest bits.
//!
//! Most columns have few rows, so a form has no header of its own: what describes it stands in the directory, and its
//! bits follow those of the column before.
//!
//! | form | bits |
//! |---|---|
//! | packed | code less the smallest, as wide as the widest |
//! | steps | per 64 rows the first code less the smallest; then the steps from code to code less the smallest step |
//! | runs | row of the start of each run but the first (a list), code of each run |
//! | mode | rows that have another code than most (a list), their codes |
//! | codes | a section of one of the code layouts |

use super::bits::{BitWriter, push, read, width_below};
use super::coder::{Decoder, Encoder, Numbers, Symbols};
use super::list::{self, List};
use crate::codes::{self, Codes, CodesKind, small};
use crate::error::Result;
use std::ops::Range;

mod find;

/// Rows between codes that are kept whole in `steps`.
const STEP_ROWS: u64 = 64;
/// Rows from which a section of a code layout is tried.
const MANY_ROWS: usize = 512;
/// Bits that such a section costs beside its codes.
const SECTION_BITS: f64 = 8.0 * 130.0;
/// Share of a simpler form's bits up to which a form is taken before it.
const WORTH: f64 = 0.95;
/// The same for a section, of which one code takes as long to read as dozens of packed ones.
const SECTION_WORTH: f64 = 0.85;

/// Where a sequence is, and its form.
#[derive(Debug)]
pub struct Sequence {
    rows: u64,
    /// Smallest code, or the code of most rows.
    base: u64,
    width: u32,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Packed { at: u64 },
    Steps { at: u64, least: i64, step_width: u32 },
    Runs { starts: List, at: u64 },
    Mode { rows: List, at: u64 },
    Codes(Box<dyn Codes>),
}

/// What the directory says of a sequence.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    kind: usize,
    base: u64,
    width: u32,
    /// Steps: smallest step, its bits as they are. Runs and mode: numbers of the list.
    extra: u64,
    step_width: u32,
}

/// Models of the directory's fields.
#[derive(Debug)]
pub struct HeadModel {
    kinds: Symbols,
    widths: Symbols,
    bases: Numbers,
    extras: Numbers,
}

impl HeadModel {
    /// For columns of `contexts` kinds.
    pub fn new(contexts: usize) -> Self {
        HeadModel {
            kinds: Symbols::new(3, contexts),
            widths: Symbols::new(7, 2),
            bases: Numbers::new(contexts),
            extras: Numbers::new(8),
        }
    }

    /// Writes a head.
    pub fn write(&mut self, coder: &mut Encoder, context: usize, head: &Head) {
        self.kinds.write(coder, context, head.kind);
        if head.kind == 4 {
            self.extras.write(coder, 4, head.extra);
            return;
        }
        self.widths.write(coder, 0, head.width as usize);
        self.bases.write(coder, context, head.base);
        if head.kind == 1 {
            self.extras.write(coder, 1, zigzag(head.extra as i64));
            self.widths.write(coder, 1, head.step_width as usize);
        } else if head.kind > 1 {
            self.extras.write(coder, head.kind, head.extra);
        }
    }

    /// Reads a head; `None` if it makes no sense.
    pub fn read(&mut self, coder: &mut Decoder<'_>, context: usize) -> Option<Head> {
        let mut head = Head {
            kind: self.kinds.read(coder, context),
            base: 0,
            width: 0,
            extra: 0,
            step_width: 0,
        };
        match head.kind {
            4 => head.extra = self.extras.read(coder, 4),
            0..=3 => {
                head.width = self.widths.read(coder, 0) as u32;
                head.base = self.bases.read(coder, context);
                if head.kind == 1 {
                    head.extra = unzigzag(self.extras.read(coder, 1)) as u64;
                    head.step_width = self.widths.read(coder, 1) as u32;
                } else if head.kind > 1 {
                    head.extra = self.extras.read(coder, head.kind);
                }
            }
            _ => return None,
        }
        (head.width <= 64 && head.step_width <= 64).then_some(head)
    }
}

impl Head {
    /// Where the bits of `rows` codes end that start at bit `at`; `None` if the head makes no sense.
    pub fn end(&self, rows: u64, at: u64) -> Option<u64> {
        let width = u64::from(self.width);
        match self.kind {
            0 => at.checked_add(rows.checked_mul(width)?),
            1 => {
                let blocks = rows.div_ceil(STEP_ROWS);
                let step_bits = (rows - blocks).checked_mul(u64::from(self.step_width))?;
                at.checked_add(blocks.checked_mul(width)?)?.checked_add(step_bits)
            }
            2 | 3 if self.extra < rows.max(1) => {
                let values = at.checked_add(List::new(at, self.extra, rows).bits())?;
                values.checked_add((self.extra + 1).checked_mul(width)?)
            }
            4 => Some(at),
            _ => None,
        }
    }
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// What a sequence of codes costs in each form.
struct Prices {
    smallest: u64,
    width: u32,
    packed: f64,
    least_step: i64,
    step_width: u32,
    steps: f64,
    runs: u64,
    run_bits: f64,
    mode: u64,
    others: u64,
    mode_bits: f64,
    codes: f64,
}

fn list_bits(count: u64, universe: u64) -> f64 {
    List::new(0, count, universe).bits() as f64
}

impl Prices {
    fn of(values: &[u64]) -> Prices {
        let rows = values.len() as u64;
        let smallest = values.iter().copied().min().unwrap_or(0);
        let largest = values.iter().copied().max().unwrap_or(0);
        let width = 64 - (largest - smallest).leading_zeros();
        let steps = || values.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]) as i64);
        let least_step = steps().min().unwrap_or(0);
        let spread = steps()
            .map(|step| step.wrapping_sub(least_step) as u64)
            .max()
            .unwrap_or(0);
        let step_width = 64 - spread.leading_zeros();
        let runs = 1 + steps().filter(|&step| step != 0).count() as u64;
        let (mode, others) = mode(values);
        let wide = f64::from(width);
        Prices {
            smallest,
            width,
            packed: rows as f64 * wide,
            least_step,
            step_width,
            steps: rows.div_ceil(STEP_ROWS) as f64 * wide
                + (rows - rows.div_ceil(STEP_ROWS)) as f64 * f64::from(step_width)
                + 20.0,
            runs,
            run_bits: list_bits(runs - 1, rows) + runs as f64 * wide + 8.0,
            mode,
            others,
            mode_bits: list_bits(others, rows) + others as f64 * wide + 8.0,
            codes: codes_price(values),
        }
    }

    fn best(&self) -> (usize, f64) {
        let mut best = (0, self.packed);
        for (kind, bits, worth) in [
            (1, self.steps, WORTH),
            (2, self.run_bits, WORTH),
            (3, self.mode_bits, WORTH),
            (4, self.codes, SECTION_WORTH),
        ] {
            if bits < best.1 * worth {
                best = (kind, bits);
            }
        }
        best
    }
}

/// The most frequent code, or one of those that may be, and how many rows have another.
fn mode(values: &[u64]) -> (u64, u64) {
    let (mut candidate, mut votes) = (0, 0u64);
    for &value in values {
        if votes == 0 {
            candidate = value;
        }
        if value == candidate {
            votes += 1;
        } else {
            votes -= 1;
        }
    }
    let others = values.iter().filter(|&&value| value != candidate).count();
    (candidate, others as u64)
}

fn codes_price(values: &[u64]) -> f64 {
    const PIECE: usize = 256;
    const PIECES: usize = 8;
    if values.len() < MANY_ROWS {
        return f64::INFINITY;
    }
    let whole = values.len() / PIECE;
    let step = whole.div_ceil(PIECES);
    let pieces: Vec<&[u64]> = values.chunks_exact(PIECE).step_by(step).collect();
    small::estimate_bits(&pieces, small::Options::default()) * values.len() as f64 + SECTION_BITS
}

/// About how many bits a sequence takes.
pub fn price(values: &[u64]) -> f64 {
    Prices::of(values).best().1 + 12.0
}

/// Writes a sequence: its bits to `out`, or a section to `sections`.
pub fn write(values: &[u64], out: &mut BitWriter, sections: &mut Vec<(CodesKind, Vec<u8>)>) -> Head {
    let prices = Prices::of(values);
    let mut kind = prices.best().0;
    let mut head = Head {
        kind: 0,
        base: prices.smallest,
        width: prices.width,
        extra: 0,
        step_width: 0,
    };
    if kind == 4 {
        let bytes = codes::encode(CodesKind::Small, values);
        if (bytes.len() * 8) as f64 <= prices.packed.min(prices.steps) {
            sections.push((CodesKind::Small, bytes));
            return Head {
                kind: 4,
                base: 0,
                width: 0,
                extra: sections.len() as u64 - 1,
                step_width: 0,
            };
        }
        kind = usize::from(prices.steps < prices.packed);
    }
    head.kind = kind;
    let rows = values.len() as u64;
    match kind {
        0 => {
            for &value in values {
                push(out, value - head.base, head.width);
            }
        }
        1 => {
            head.extra = prices.least_step as u64;
            head.step_width = prices.step_width;
            for block in values.chunks(STEP_ROWS as usize) {
                push(out, block[0] - head.base, head.width);
                for pair in block.windows(2) {
                    let step = pair[1].wrapping_sub(pair[0]).wrapping_sub(head.extra);
                    push(out, step, head.step_width);
                }
            }
        }
        2 => {
            head.extra = prices.runs - 1;
            let changes = (1..rows).filter(|&row| values[row as usize] != values[row as usize - 1]);
            let starts: Vec<u64> = changes.collect();
            list::write(&starts, rows, out);
            for row in std::iter::once(0).chain(starts) {
                push(out, values[row as usize] - head.base, head.width);
            }
        }
        _ => {
            head.base = prices.mode;
            head.extra = prices.others;
            let others: Vec<u64> = (0..rows)
                .filter(|&row| values[row as usize] != head.base)
                .collect();
            list::write(&others, rows, out);
            for row in others {
                push(
                    out,
                    values[row as usize].wrapping_sub(prices.smallest),
                    head.width,
                );
            }
            // The codes of the other rows count from the smallest, which the reader finds from the mode.
            push(out, head.base - prices.smallest, head.width);
        }
    }
    head
}

impl Sequence {
    /// The sequence of `rows` codes that `head` describes, from bit `at` on, and where its bits end; `open` gives the
    /// codes of a section by number. `None` if that makes no sense.
    pub fn new(
        head: &Head,
        rows: u64,
        at: u64,
        open: &mut dyn FnMut(u64) -> Result<Box<dyn Codes>>,
    ) -> Option<Result<(Sequence, u64)>> {
        let end = head.end(rows, at)?;
        let values = |list: &List| at + list.bits();
        let form = match head.kind {
            0 => Form::Packed { at },
            1 => Form::Steps {
                at,
                least: head.extra as i64,
                step_width: head.step_width,
            },
            2 => {
                let starts = List::new(at, head.extra, rows);
                Form::Runs {
                    starts,
                    at: values(&starts),
                }
            }
            3 => {
                let rows = List::new(at, head.extra, rows);
                Form::Mode {
                    rows,
                    at: values(&rows),
                }
            }
            _ => match open(head.extra) {
                Ok(codes) if codes.len() == rows => Form::Codes(codes),
                Ok(_) => return None,
                Err(error) => return Some(Err(error)),
            },
        };
        Some(Ok((
            Sequence {
                rows,
                base: head.base,
                width: head.width,
                form,
            },
            end,
        )))
    }

    /// Whether there is but one code, and which.
    pub fn constant(&self) -> Option<u64> {
        (self.width == 0 && matches!(self.form, Form::Packed { .. })).then_some(self.base)
    }

    /// The code of a row. `None` inside if the bits make no sense.
    pub fn get(&self, bits: &[u8], row: u64) -> Result<Option<u64>> {
        if let Form::Codes(codes) = &self.form {
            return codes.get(row).map(Some);
        }
        Ok(self.get_here(bits, row))
    }

    fn get_here(&self, bits: &[u8], row: u64) -> Option<u64> {
        let width = u64::from(self.width);
        let value = |at: u64, index: u64| read(bits, at + index * width, self.width);
        match &self.form {
            Form::Packed { at } => Some(self.base.wrapping_add(value(*at, row)?)),
            Form::Steps {
                at,
                least,
                step_width,
            } => {
                let block = row / STEP_ROWS;
                let at = at + block * (width + (STEP_ROWS - 1) * u64::from(*step_width));
                let mut code = self.base.wrapping_add(read(bits, at, self.width)?);
                let steps = row % STEP_ROWS;
                for index in 0..steps {
                    let step = read(bits, at + width + index * u64::from(*step_width), *step_width)?;
                    code = code.wrapping_add(step);
                }
                Some(code.wrapping_add((*least as u64).wrapping_mul(steps)))
            }
            Form::Runs { starts, at } => {
                let run = starts.below(bits, row + 1)?;
                Some(self.base.wrapping_add(value(*at, run)?))
            }
            Form::Mode { rows, at } => match rows.find(bits, row)? {
                None => Some(self.base),
                Some(place) => {
                    let smallest = self.base.wrapping_sub(value(*at, rows.len())?);
                    Some(smallest.wrapping_add(value(*at, place)?))
                }
            },
            Form::Codes(_) => None,
        }
    }

    /// The codes of `range`, into `out`. `None` inside if the bits make no sense.
    pub fn decode(&self, bits: &[u8], range: Range<u64>, out: &mut Vec<u64>) -> Result<Option<()>> {
        out.clear();
        if range.end > self.rows || range.start > range.end {
            return Ok(None);
        }
        if let Form::Codes(codes) = &self.form {
            out.resize((range.end - range.start) as usize, 0);
            return codes.decode(range, out).map(Some);
        }
        Ok(self.decode_here(bits, range, out))
    }

    fn decode_here(&self, bits: &[u8], range: Range<u64>, out: &mut Vec<u64>) -> Option<()> {
        let width = u64::from(self.width);
        let value = |at: u64, index: u64| read(bits, at + index * width, self.width);
        match &self.form {
            Form::Packed { .. } if width == 0 => out.resize((range.end - range.start) as usize, self.base),
            Form::Packed { at } => {
                for row in range {
                    out.push(self.base.wrapping_add(value(*at, row)?));
                }
            }
            Form::Steps {
                at,
                least,
                step_width,
            } => {
                let mut code = 0;
                let block_bits = width + (STEP_ROWS - 1) * u64::from(*step_width);
                for row in range.start / STEP_ROWS * STEP_ROWS..range.end {
                    let at = at + row / STEP_ROWS * block_bits;
                    let place = row % STEP_ROWS;
                    code = if place == 0 {
                        self.base.wrapping_add(read(bits, at, self.width)?)
                    } else {
                        let at = at + width + (place - 1) * u64::from(*step_width);
                        u64::wrapping_add(code, read(bits, at, *step_width)?).wrapping_add(*least as u64)
                    };
                    if row >= range.start {
                        out.push(code);
                    }
                }
            }
            Form::Runs { starts, at } => {
                let mut row = range.start;
                let mut run = starts.below(bits, row + 1)?;
                while row < range.end {
                    let end = if run < starts.len() {
                        starts.get(bits, run)?.min(range.end)
                    } else {
                        range.end
                    };
                    let code = self.base.wrapping_add(value(*at, run)?);
                    out.resize(out.len() + end.checked_sub(row)? as usize, code);
                    row = end;
                    run += 1;
                }
            }
            Form::Mode { rows, at } => {
                out.resize((range.end - range.start) as usize, self.base);
                let smallest = self.base.wrapping_sub(value(*at, rows.len())?);
                for place in rows.below(bits, range.start)?..rows.below(bits, range.end)? {
                    let row = rows.get(bits, place)?.checked_sub(range.start)?;
                    *out.get_mut(row as usize)? = smallest.wrapping_add(value(*at, place)?);
                }
            }
            Form::Codes(_) => return None,
        }
        Some(())
    }
}

/// Width of codes below `count`.
pub fn code_width(count: u64) -> u32 {
    width_below(count)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::codes::Interval;
    use crate::rows::Mask;
    use crate::section::Section;
    use proptest::prelude::*;

    fn check(values: &[u64]) {
        let (mut out, mut sections) = (BitWriter::default(), Vec::new());
        out.push(5, 3);
        let head = write(values, &mut out, &mut sections);
        let length = out.len();
        let bits = out.into_padded();
        let mut coder = Encoder::new();
        HeadModel::new(1).write(&mut coder, 0, &head);
        let directory = coder.finish();
        let found = HeadModel::new(1).read(&mut Decoder::new(&directory), 0).unwrap();
        assert_eq!(found, head);
        let mut open = |number: u64| {
            let (kind, bytes) = sections[number as usize].clone();
            codes::open(kind, Section::from_vec(bytes))
        };
        let rows = values.len() as u64;
        let (sequence, end) = Sequence::new(&head, rows, 3, &mut open).unwrap().unwrap();
        assert_eq!(end, length, "{head:?}");
        for (row, &value) in values.iter().enumerate() {
            assert_eq!(
                sequence.get(&bits, row as u64).unwrap(),
                Some(value),
                "{head:?} row {row}"
            );
        }
        let mut decoded = Vec::new();
        for range in [0..rows, rows / 3..rows / 2, rows..rows] {
            sequence
                .decode(&bits, range.clone(), &mut decoded)
                .unwrap()
                .unwrap();
            assert_eq!(
                decoded,
                values[range.start as usize..range.end as usize],
                "{head:?}"
            );
            let interval = Interval {
                low: values.first().copied().unwrap_or(0),
                high: values.last().copied().unwrap_or(0),
            };
            let wanted = decoded.iter().filter(|&&code| interval.contains(code)).count() as u64;
            assert_eq!(
                sequence.count(&bits, range.clone(), interval).unwrap(),
                Some(wanted)
            );
            let bounds = sequence.bounds(&bits);
            assert!(decoded.iter().all(|&code| bounds.contains(code)), "{head:?}");
            // Every third code, told by a table, and one interval.
            let holds = |code: u64| code % 3 == 1 || interval.contains(code);
            let mut mask = Mask::repeat(false, decoded.len());
            sequence
                .select_where(&bits, range.clone(), holds, &mut mask)
                .unwrap()
                .unwrap();
            let wanted: Mask = decoded.iter().map(|&code| holds(code)).collect();
            assert_eq!(mask, wanted, "{head:?} {range:?}");
            let count = sequence.count_where(&bits, range.clone(), holds).unwrap();
            assert_eq!(count, Some(wanted.count_ones() as u64));
            let mut mask = Mask::repeat(false, decoded.len());
            sequence
                .select(&bits, range, interval, &mut mask)
                .unwrap()
                .unwrap();
            let wanted: Mask = decoded.iter().map(|&code| interval.contains(code)).collect();
            assert_eq!(mask, wanted, "{head:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn sequences_come_back(pieces in proptest::collection::vec((0u64..20, 1usize..60, 0u64..3), 1..60), base in prop_oneof![Just(0u64), any::<u64>()], wide in 0u32..50) {
            let mut values = Vec::new();
            for (start, length, step) in pieces {
                for i in 0..length as u64 {
                    values.push(base.wrapping_add((start << wide).wrapping_add(i * step)));
                }
            }
            check(&values);
        }
    }

    #[test]
    fn every_form() {
        check(&[7]);
        check(&[u64::MAX, 0]);
        check(&(0..300).map(|i| i * 1_000_000_007).collect::<Vec<u64>>());
        check(
            &(0..300)
                .map(|i| u64::from(i / 100 == 1) * 77)
                .collect::<Vec<u64>>(),
        );
        check(
            &(0..3000)
                .map(|i| if i % 97 == 0 { i } else { 1 << 20 })
                .collect::<Vec<u64>>(),
        );
        check(
            &(0..3000)
                .map(|i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60)
                .collect::<Vec<u64>>(),
        );
    }
}
