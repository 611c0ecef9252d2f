//! Writing a block.

use super::HEADER;
use crate::text::fm::FmOptions;
use crate::text::fm::bits;
use crate::text::fm::packed::{BitWriter, width_below};
use crate::text::fm::sort::{self, Joined};
use crate::text::fm::sparse;
use crate::text::fm::tree::{self, Shape};

/// Encodes one block of rows; rows of more than `long` bytes are kept plain.
pub fn encode<'a>(rows: impl Iterator<Item = &'a [u8]> + Clone, long: usize, options: &FmOptions) -> Vec<u8> {
    let indexed = rows
        .clone()
        .map(|row| if row.len() > long { &row[..0] } else { row });
    let joined = Joined::new(indexed, usize::from(options.sample_step));
    let lengths = tree::code_lengths(&joined.counts);
    // The lengths come from these counts, so they make a tree.
    let shape = Shape::new(&joined.counts, &lengths).unwrap_or_default();
    let array = joined.sort();
    let symbols = array.len() as u64;
    debug_assert_eq!(symbols, shape.len(), "one suffix a symbol");
    let row_count = joined.counts.first().copied().unwrap_or(0);
    let width = width_below(u64::from(row_count));

    let mut builder = tree::Builder::new(&shape);
    let (mut permutation, mut samples, mut places) = (BitWriter::default(), BitWriter::default(), Vec::new());
    let mut index = 0u32;
    let (mut ranked, mut in_order) = (0u32, true);
    let mut before = options.row_counters.then(|| joined.before());
    joined.walk(&array, before.as_mut(), |suffix| {
        builder.push(suffix.before);
        if let Some(row) = suffix.starts_row {
            permutation.push(u64::from(row), width);
            in_order &= row == ranked;
            ranked += 1;
        }
        if let Some(row) = suffix.sample {
            places.push(index);
            samples.push(u64::from(row), width);
        }
        index += 1;
    });
    let words = builder.finish();
    let (directory, data) = bits::encode(&words, shape.bits());
    drop(words);
    let mut parts: [Vec<u8>; 8] = Default::default();
    parts[0] = tables(&joined, &lengths);
    parts[1] = directory;
    parts[2] = data;
    if !in_order {
        parts[3] = permutation.into_padded();
    }
    if options.sample_step > 0 {
        parts[4] = sparse::encode(&places, symbols);
        parts[4].extend_from_slice(&samples.into_padded());
    }
    if let Some(before) = before {
        let (places, numbers) = joined.counters(&array, before);
        parts[5] = sort::encode_counters(&places, &numbers, symbols);
    }
    drop(array);
    // Long rows may be more than all else together, so they are copied once and into their place.
    let long_ones = (0u32..).zip(rows).filter(|(_, row)| row.len() > long);
    let (mut long_rows, mut long_bytes) = (0u32, 0u64);
    for (number, row) in long_ones.clone() {
        long_rows += 1;
        long_bytes += row.len() as u64;
        parts[6].extend_from_slice(&number.to_le_bytes());
        parts[7].extend_from_slice(&long_bytes.to_le_bytes());
    }
    let in_parts: usize = parts.iter().map(|part| part.len() + 8).sum();
    let mut out = Vec::new();
    out.reserve_exact(HEADER as usize + in_parts + long_bytes as usize);
    for number in [row_count, symbols as u32, long_rows] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&(joined.alphabet.len() as u16).to_le_bytes());
    out.extend_from_slice(&options.sample_step.to_le_bytes());
    out.resize(HEADER as usize, 0);
    for (index, part) in parts.iter().enumerate() {
        let start = out.len() as u32;
        out[16 + index * 4..20 + index * 4].copy_from_slice(&start.to_le_bytes());
        out.extend_from_slice(part);
        if index == 7 {
            long_ones.clone().for_each(|(_, row)| out.extend_from_slice(row));
        }
        out.resize(out.len().next_multiple_of(8), 0);
    }
    out
}

fn tables(joined: &Joined, lengths: &[u8]) -> Vec<u8> {
    let mut out = vec![0u8; 32];
    for &byte in &joined.alphabet {
        out[usize::from(byte / 8)] |= 1 << (byte % 8);
    }
    for number in joined.counts.iter().chain(&joined.row_counts) {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(lengths);
    out
}
