//! The part of a model file that holds weights in the order in which one family of kernels reads them.
//!
//! ```text
//! byte 0   order u16 (1 words, 2 pairs, 3 rows, 4 blocks, 5 signed)    2  edition of packing u16    4  count of layers u32
//!      8   per layer, 32 bytes: operator u32, flags u32 (1: exact), outputs u32, lines u32,
//!          offset of the outputs u64, offset of the lines u64, both from byte 0
//!          outputs, none where results are exact: bias i32, multiplier i32, shift i32 each
//!          lines of 64 bytes, from a multiple of 64 on: see `kernel/lines.rs`
//! ```
//!
//! It repeats what the constants say, so a file may lose it, and a processor that wants another order packs anew. What
//! it says is held to the shapes of the model's layers before it is used; that the weights are the same ones is the word
//! of the checksum and of who wrote the file.

use std::ops::Range;

use super::{Data, Image};
use crate::kernel::lanes::{Lines, Order, Prepared};
use crate::kernel::line::Line;
use crate::kernel::requantize::Factor;
use crate::kernel::signed::bytes_of;
use crate::{Error, Result};

/// Changes whenever the same order means other bytes.
pub const EDITION: u16 = 2;
/// Bytes of a line, and the unit on which the section and its lines start.
const LINE: usize = 64;
/// Bytes before the first layer, of a layer, and of an output.
const HEAD: usize = 8;
const LAYER: usize = 32;
const OUTPUT: usize = 12;

/// The number of an order in the file.
fn number(order: Order) -> u16 {
    match order {
        Order::Words => 1,
        Order::Pairs => 2,
        Order::Rows => 3,
        Order::Blocks => 4,
        Order::Signed => 5,
    }
}

/// The section for layers packed in `order`, by operator.
pub(super) fn to_bytes(order: Order, layers: &[(usize, Prepared)]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&number(order).to_le_bytes());
    out.extend_from_slice(&EDITION.to_le_bytes());
    let small = |value: usize| u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes();
    out.extend_from_slice(&small(layers.len()));
    let outputs: usize = layers.iter().map(|(_, layer)| layer.bias.len()).sum();
    let mut at = HEAD + layers.len() * LAYER;
    let mut line = (at + outputs * OUTPUT).next_multiple_of(LINE);
    for (operator, layer) in layers {
        out.extend_from_slice(&small(*operator));
        out.extend_from_slice(&u32::from(layer.exact).to_le_bytes());
        out.extend_from_slice(&small(layer.bias.len()));
        out.extend_from_slice(&small(layer.lines.len()));
        out.extend_from_slice(&(at as u64).to_le_bytes());
        out.extend_from_slice(&(line as u64).to_le_bytes());
        at += layer.bias.len() * OUTPUT;
        line += layer.lines.len() * LINE;
    }
    for (_, layer) in layers {
        for (bias, factor) in layer.bias.iter().zip(&layer.factor) {
            for value in [*bias, factor.multiplier, factor.shift] {
                out.extend_from_slice(&value.to_le_bytes());
            }
        }
    }
    out.resize(out.len().next_multiple_of(LINE), 0);
    for (_, layer) in layers {
        out.extend_from_slice(bytes_of::<Line>(&layer.lines));
    }
    out
}

/// Whether the section at the start of `bytes` was packed in `order`, by this edition.
pub(super) fn fits(bytes: &[u8], order: Order) -> bool {
    let want = [number(order).to_le_bytes(), EDITION.to_le_bytes()];
    bytes.starts_with(want.as_flattened())
}

/// The layers of the section at `range` of `image`, by operator, ascending.
///
/// # Errors
/// [`Error::Corrupt`] if anything lies outside, or layers are not in order.
pub(super) fn from_image(image: &Image, range: Range<usize>) -> Result<Vec<(usize, Prepared)>> {
    let all: &[u8] = (**image).as_ref();
    let bytes = all.get(range.clone()).unwrap_or(&[]);
    let corrupt = |at: usize, what: &str| Error::corrupt("model", "packed weights", at as u64, what);
    let word = |at: usize| {
        let four = bytes.get(at..).and_then(<[u8]>::first_chunk::<4>);
        four.map(|b| u32::from_le_bytes(*b))
            .ok_or_else(|| corrupt(at, "bytes are missing"))
    };
    let size = |at: usize| Ok::<usize, Error>(word(at)? as usize);
    let count = size(4)?;
    if count > bytes.len() / LAYER {
        return Err(corrupt(4, "more layers than bytes"));
    }
    let mut layers: Vec<(usize, Prepared)> = Vec::with_capacity(count);
    for index in 0..count {
        let at = HEAD + index * LAYER;
        let (operator, flags) = (size(at)?, word(at + 4)?);
        if flags > 1 || layers.last().is_some_and(|(last, _)| *last >= operator) {
            return Err(corrupt(at, "unknown flags, or layers out of order"));
        }
        let part = |place: usize, things: usize, each: usize| {
            let start = word(place)? as usize;
            let end = things.checked_mul(each).and_then(|l| l.checked_add(start));
            let end = end.filter(|end| *end <= bytes.len() && word(place + 4).is_ok_and(|w| w == 0));
            end.map(|end| start..end)
                .ok_or_else(|| corrupt(place, "it lies outside the section"))
        };
        let outputs = part(at + 16, size(at + 8)?, OUTPUT)?;
        let lines = part(at + 24, size(at + 12)?, LINE)?;
        let ends = bytes.get(outputs).unwrap_or(&[]).chunks_exact(OUTPUT);
        let int = |bytes: &[u8]| bytes.first_chunk::<4>().map_or(0, |b| i32::from_le_bytes(*b));
        let bias = ends.clone().map(int).collect();
        let factor = ends
            .map(|end| Factor {
                multiplier: int(&end[4..]),
                shift: int(&end[8..]),
            })
            .collect();
        let lines = Data::part(image, range.start + lines.start..range.start + lines.end)
            .ok_or_else(|| corrupt(at + 24, "its lines lie outside the file"))?;
        layers.push((
            operator,
            Prepared {
                lines: Lines::of(lines),
                bias,
                factor,
                exact: flags == 1,
            },
        ));
    }
    // Factors are as this library makes them, or no shift by them is defined.
    let sane = |f: &Factor| f.multiplier >= 0 && (-31..=30).contains(&f.shift);
    if !layers.iter().all(|(_, layer)| layer.factor.iter().all(sane)) {
        return Err(corrupt(HEAD, "a factor is out of range"));
    }
    Ok(layers)
}
