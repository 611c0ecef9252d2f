//! An index with other parts, made from the index itself: nothing is sorted and no row is read.
//!
//! Samples and counters are left out by copying the other parts; samples are made again by walking each row from its
//! end. Counters cannot be made again without sorting, so an index that is to get them is built from its rows.

use super::block::{Block, HEADER};
use super::packed::BitWriter;
use super::{FmOptions, sparse};
use crate::error::Result;

/// The parts of `block` copied, with samples and counters as `options` wish; `None` if it has no counters to keep.
///
/// # Complexity
/// A copy, and about half a second for the samples of a block of 16 MiB, which take six times its text in memory.
pub fn refit(block: &Block, options: &FmOptions) -> Result<Option<Vec<u8>>> {
    if options.row_counters && !block.has_counters() {
        return Ok(None);
    }
    let samples = match options.sample_step {
        0 => Some(Vec::new()),
        step if step == block.sample_step() => None,
        step => Some(sample(block, step)?),
    };
    let mut out = block.bytes(0..HEADER)?.to_vec();
    out[14..16].copy_from_slice(&options.sample_step.to_le_bytes());
    for part in 0..8usize {
        let start = u32::try_from(out.len()).map_err(|_| block.corrupt("its parts are too long"))?;
        out[16 + part * 4..20 + part * 4].copy_from_slice(&start.to_le_bytes());
        match (part, &samples) {
            (4, Some(samples)) => out.extend_from_slice(samples),
            (5, _) if !options.row_counters => {}
            (7, _) => out.extend_from_slice(block.long_part()?),
            _ => out.extend_from_slice(block.part(part)?),
        }
        out.resize(out.len().next_multiple_of(8), 0);
    }
    Ok(Some(out))
}

/// The samples of every row, at multiples of `step` bytes from its start.
fn sample(block: &Block, step: u16) -> Result<Vec<u8>> {
    let wrong = || block.corrupt("a row cannot be read from the index");
    let view = block.view()?;
    let unpacked = view.unpack().ok_or_else(wrong)?;
    let mut found: Vec<(u32, u32)> = Vec::new();
    let (mut left, mut places) = (view.len(), Vec::new());
    for row in 0..u32::try_from(block.rows()).map_err(|_| wrong())? {
        places.clear();
        unpacked.places(row, &mut places, &mut left).ok_or_else(wrong)?;
        // The last place is the row's first byte, which needs no sample.
        let sampled = places.iter().rev().step_by(usize::from(step)).skip(1);
        found.extend(sampled.map(|&place| (place, row)));
    }
    found.sort_unstable();
    found.dedup_by_key(|(place, _)| *place);
    let (places, rows): (Vec<u32>, Vec<u32>) = found.into_iter().unzip();
    let mut packed = BitWriter::default();
    rows.iter()
        .for_each(|&row| packed.push(u64::from(row), view.row_bits()));
    let mut out = sparse::encode(&places, view.len());
    out.extend_from_slice(&packed.into_padded());
    Ok(out)
}
