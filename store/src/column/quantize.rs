//! Values to eight-bit steps without turning codes into values: what feeds a quantized network.
//!
//! A monotone quantizer is a sorted list of thresholds; a value's step is the number of thresholds that are not above
//! it. Each threshold becomes one code threshold, once, so a row costs one table look-up and rarely a comparison.
//! Exceptions are quantized by their keys.

use std::cell::RefCell;
use std::ops::Range;

use super::{Body, Column, spread};
use crate::domain::wrong_type;
use crate::error::{Error, Result};

/// Most thresholds of a quantizer: steps are -128 to 127.
pub const MAX_THRESHOLDS: usize = 255;

/// Buckets of the table from codes to steps.
const BUCKETS: u64 = 4096;
/// Rows decoded at a time.
const CHUNK: usize = 1 << 16;

thread_local! {
    /// Codes of a chunk; kept so that windows after the first allocate nothing.
    static CODES: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Thresholds made ready for one column of one segment.
#[derive(Debug, Clone)]
pub struct Quantizer {
    keys: Vec<u64>,
    /// A code reaches threshold `i` if it is at least `codes[i]`; `u64::MAX` where none does.
    codes: Vec<u64>,
    low: u64,
    shift: u32,
    /// Thresholds reached by the first code of each bucket.
    reached: Vec<u8>,
}

impl Quantizer {
    fn new(keys: &[u64], codes: Vec<u64>, last_code: u64) -> Quantizer {
        // Bucket 0 starts below the first threshold, so that it serves every smaller code too.
        let low = codes.first().map_or(0, |first| first.saturating_sub(1));
        let high = codes
            .iter()
            .copied()
            .rfind(|&code| code <= last_code)
            .unwrap_or(low);
        let span = high - low;
        let shift = (64 - span.leading_zeros()).saturating_sub(BUCKETS.trailing_zeros());
        let reached = (0..=span >> shift)
            .map(|bucket| {
                let first = low + (bucket << shift);
                u8::try_from(codes.partition_point(|&code| code <= first)).unwrap_or(u8::MAX)
            })
            .collect();
        Quantizer {
            keys: keys.to_vec(),
            codes,
            low,
            shift,
            reached,
        }
    }

    /// Step of `code`.
    #[inline]
    fn of_code(&self, code: u64) -> i8 {
        let bucket = usize::try_from(code.saturating_sub(self.low) >> self.shift).unwrap_or(usize::MAX);
        let bucket = bucket.min(self.reached.len() - 1);
        let mut step = self.reached.get(bucket).copied().unwrap_or(0);
        while self
            .codes
            .get(usize::from(step))
            .is_some_and(|&threshold| threshold <= code)
        {
            step += 1;
        }
        step.wrapping_add(128) as i8
    }

    /// Step of `key`: -128 plus the number of thresholds that are not above it.
    #[inline]
    pub fn of_key(&self, key: u64) -> i8 {
        let step = self.keys.partition_point(|&threshold| threshold <= key);
        u8::try_from(step).unwrap_or(u8::MAX).wrapping_add(128) as i8
    }
}

impl Column {
    /// Makes a quantizer with these thresholds (sorted keys, at most [`MAX_THRESHOLDS`]) ready for this column.
    ///
    /// # Errors
    /// `InvalidArgument` if the column holds text, or there are too many thresholds or they do not ascend.
    pub fn quantizer(&self, thresholds: &[u64]) -> Result<Quantizer> {
        if thresholds.len() > MAX_THRESHOLDS || !thresholds.is_sorted() {
            return Err(Error::invalid(format!(
                "a quantizer has up to {MAX_THRESHOLDS} thresholds in ascending order"
            )));
        }
        let (mut codes, mut last) = (Vec::with_capacity(thresholds.len()), 0);
        match &self.body {
            Body::Text(..) => return Err(wrong_type(self.ty)),
            Body::Empty => {}
            Body::Numeric(numeric) => {
                last = numeric.domain().last();
                for &key in thresholds {
                    codes.push(numeric.domain().at_least(key)?.unwrap_or(u64::MAX));
                }
            }
        }
        Ok(Quantizer::new(thresholds, codes, last))
    }

    /// Quantizes rows: `out` gets, for each, -128 plus the number of thresholds that are not above its key, or
    /// `null_value`. `quantizer` must come from this column. Allocates nothing after the first call of a thread.
    ///
    /// # Errors
    /// `InvalidArgument` if `out` does not have one place a row.
    pub fn quantize_with(
        &self,
        quantizer: &Quantizer,
        rows: Range<u64>,
        out: &mut [i8],
        null_value: i8,
    ) -> Result<()> {
        self.check(&rows)?;
        if out.len() as u64 != rows.end - rows.start {
            return Err(Error::invalid(format!(
                "{} places for {} rows",
                out.len(),
                rows.end - rows.start
            )));
        }
        let mut start = rows.start;
        for part in out.chunks_mut(CHUNK) {
            let end = start + part.len() as u64;
            self.quantize_chunk(quantizer, start..end, part, null_value)?;
            start = end;
        }
        Ok(())
    }

    /// Like [`Column::quantize_with`] for thresholds that are used once.
    ///
    /// # Errors
    /// See [`Column::quantizer`] and [`Column::quantize_with`].
    pub fn quantize(
        &self,
        rows: Range<u64>,
        thresholds: &[u64],
        out: &mut [i8],
        null_value: i8,
    ) -> Result<()> {
        self.quantize_with(&self.quantizer(thresholds)?, rows, out, null_value)
    }

    fn quantize_chunk(
        &self,
        quantizer: &Quantizer,
        rows: Range<u64>,
        out: &mut [i8],
        null_value: i8,
    ) -> Result<()> {
        let numeric = match &self.body {
            Body::Text(..) => return Err(wrong_type(self.ty)),
            Body::Empty => {
                out.fill(null_value);
                return Ok(());
            }
            Body::Numeric(numeric) => numeric,
        };
        let positions = self.position_range(&rows)?;
        let valid = self.in_memory(positions.end - positions.start)?.min(out.len());
        let mut codes = CODES.take();
        codes.clear();
        codes.resize(valid, 0);
        let decoded = numeric.codes().decode(positions.clone(), &mut codes);
        for (slot, &code) in out.iter_mut().zip(&codes) {
            *slot = quantizer.of_code(code);
        }
        CODES.set(codes);
        decoded?;
        if let Some(exceptions) = numeric.exceptions() {
            exceptions.for_each(positions, |place, key| {
                if let Some(slot) = usize::try_from(place).ok().and_then(|place| out.get_mut(place)) {
                    *slot = quantizer.of_key(key);
                }
            })?;
        }
        self.spread_nulls(&rows, out, valid, null_value)
    }

    /// Moves the `valid` first of `out` to the rows that have a value, and `filler` to the others.
    fn spread_nulls<T: Copy>(&self, rows: &Range<u64>, out: &mut [T], valid: usize, filler: T) -> Result<()> {
        if valid == out.len() {
            return Ok(());
        }
        let mut words = [0u64; CHUNK / 64];
        let words = words.get_mut(..out.len().div_ceil(64)).unwrap_or_default();
        if let Some(validity) = &self.validity {
            validity.fill(rows.clone(), words)?;
        }
        spread(out, valid, words, filler);
        Ok(())
    }

    /// The codes of rows, into `out`, which has one place a row; `null_code` where there is no value. An exception
    /// gives the code of the greatest value below it.
    ///
    /// # Errors
    /// `InvalidArgument` if the column holds text or `out` does not have one place a row.
    pub fn decode_codes(&self, rows: Range<u64>, out: &mut [u64], null_code: u64) -> Result<()> {
        self.check(&rows)?;
        if out.len() as u64 != rows.end - rows.start {
            return Err(Error::invalid(format!(
                "{} places for {} rows",
                out.len(),
                rows.end - rows.start
            )));
        }
        match &self.body {
            Body::Text(..) => return Err(wrong_type(self.ty)),
            Body::Empty => out.fill(null_code),
            Body::Numeric(numeric) => {
                let mut start = rows.start;
                for part in out.chunks_mut(CHUNK) {
                    let chunk = start..start + part.len() as u64;
                    let positions = self.position_range(&chunk)?;
                    let valid = self.in_memory(positions.end - positions.start)?.min(part.len());
                    numeric
                        .codes()
                        .decode(positions, part.get_mut(..valid).unwrap_or_default())?;
                    self.spread_nulls(&chunk, part, valid, null_code)?;
                    start = chunk.end;
                }
            }
        }
        Ok(())
    }
}
