//! Channels of a run of rows, as int8 or `f32`.
//!
//! Int8 comes straight from a segment's codes: the channel's thresholds become thresholds on codes once per segment.
//! Rows in memory, and columns that a segment does not have, go by keys; both ways give the same int8.

use std::ops::Range;

use siltstone_store::batch::{BatchColumn, ColumnData};
use siltstone_store::column::Quantizer as CodeQuantizer;
use siltstone_store::error::Result;
use siltstone_store::question::part::Part;
use siltstone_store::question::resolve::Target;
use siltstone_store::question::view::View;
use siltstone_store::schema::ColumnType;
use siltstone_store::value::number_of;

use crate::normalize::{Normalizer, Quantizer};

/// Below every step of a [`Quantizer`], so it can stand for null.
const NULL: i8 = -128;

/// One channel of a stream.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) position: usize,
    pub(super) ty: ColumnType,
    pub(super) normalizer: Normalizer,
    pub(super) quantizer: Quantizer,
    /// By part: thresholds on its codes, once they were needed.
    by_part: Vec<Option<CodeQuantizer>>,
    keys: BatchColumn,
}

/// Values of a channel in a run of rows.
#[derive(Debug, Default)]
pub(super) struct Values<T> {
    pub(super) values: Vec<T>,
    /// Whether a row has none; empty when all have one.
    pub(super) nulls: Vec<bool>,
}

impl<T> Values<T> {
    fn clear(&mut self) {
        self.values.clear();
        self.nulls.clear();
    }

    fn mark_null(&mut self, row: usize, rows: usize) {
        self.nulls.resize(rows, false);
        self.nulls[row] = true;
    }
}

impl Channel {
    pub(super) fn new(position: usize, ty: ColumnType, normalizer: Normalizer, parts: usize) -> Result<Self> {
        Ok(Channel {
            position,
            ty,
            normalizer,
            quantizer: Quantizer::new(ty, normalizer)?,
            by_part: vec![None; parts],
            keys: BatchColumn::new(ty),
        })
    }

    /// Int8 steps of rows `ranges` of part `number`.
    pub(super) fn quantized(
        &mut self,
        number: usize,
        part: &Part,
        ranges: &[Range<u64>],
        out: &mut Values<i8>,
    ) -> Result<()> {
        let View::Stored(column) = part.view(Target::Column(self.position))? else {
            self.decode(part, ranges)?;
            return self.convert(out, |channel, key| channel.quantizer.quantize(key));
        };
        out.clear();
        let codes = match &mut self.by_part[number] {
            Some(codes) => codes,
            place => place.insert(column.quantizer(self.quantizer.thresholds())?),
        };
        for range in ranges {
            let before = out.values.len();
            out.values
                .resize(before + usize::try_from(range.end - range.start).unwrap_or(0), 0);
            column.quantize_with(codes, range.clone(), &mut out.values[before..], NULL)?;
        }
        if column.null_count() > 0 {
            let rows = out.values.len();
            for row in 0..rows {
                if out.values[row] == NULL {
                    out.mark_null(row, rows);
                }
            }
        }
        Ok(())
    }

    /// Normalized values of rows `ranges` of a part.
    pub(super) fn normalized(
        &mut self,
        _number: usize,
        part: &Part,
        ranges: &[Range<u64>],
        out: &mut Values<f32>,
    ) -> Result<()> {
        self.decode(part, ranges)?;
        self.convert(out, |channel, key| {
            channel.normalizer.apply(number_of(channel.ty, key))
        })
    }

    fn decode(&mut self, part: &Part, ranges: &[Range<u64>]) -> Result<()> {
        if let ColumnData::Keys(keys) = &mut self.keys.data {
            keys.clear();
        }
        self.keys.validity = None;
        let view = part.view(Target::Column(self.position))?;
        ranges
            .iter()
            .try_for_each(|range| view.decode(range.clone(), &mut self.keys))
    }

    fn convert<T: Default>(&self, out: &mut Values<T>, convert: impl Fn(&Channel, u64) -> T) -> Result<()> {
        out.clear();
        let ColumnData::Keys(keys) = &self.keys.data else {
            return Ok(());
        };
        match &self.keys.validity {
            None => out.values.extend(keys.iter().map(|&key| convert(self, key))),
            Some(validity) => {
                for (row, (&key, valid)) in keys.iter().zip(validity).enumerate() {
                    if *valid {
                        out.values.push(convert(self, key));
                    } else {
                        out.values.push(T::default());
                        out.mark_null(row, keys.len());
                    }
                }
            }
        }
        Ok(())
    }
}
