//! Places buffers in one arena by their lifetimes: largest first, each at the lowest place where it overlaps no
//! buffer that lives at the same time. Simple, and within a few percent of optimal on nets of this size.

use std::ops::Range;

/// Buffers start on, and are padded by, this many bytes: vector kernels read whole words past the end.
pub const LINE: usize = 64;

/// A piece of memory that lives from step `first` to step `last`, both included.
#[derive(Debug, Clone, PartialEq)]
pub struct Buffer {
    /// Bytes used.
    pub bytes: usize,
    /// Step that writes it.
    pub first: usize,
    /// Last step that reads it.
    pub last: usize,
}

/// The place of every buffer (with its slack) for each of `copies` inputs, and the arena's size. The copies of a buffer
/// lie one behind the other.
pub fn place(buffers: &[Buffer], copies: usize) -> (Vec<Vec<Range<usize>>>, usize) {
    let mut order: Vec<usize> = (0..buffers.len()).collect();
    order.sort_by_key(|b| std::cmp::Reverse((buffers[*b].bytes, *b)));
    let mut regions = vec![0..0; buffers.len()];
    let mut placed: Vec<usize> = Vec::with_capacity(buffers.len());
    let mut total = 0;
    for index in order {
        let buffer = &buffers[index];
        let size = (buffer.bytes.next_multiple_of(LINE) + LINE).saturating_mul(copies);
        let mut busy: Vec<Range<usize>> = placed
            .iter()
            .filter(|other| buffers[**other].first <= buffer.last && buffer.first <= buffers[**other].last)
            .map(|other| regions[*other].clone())
            .collect();
        busy.sort_by_key(|r| r.start);
        let mut start = 0usize;
        for range in busy {
            if start.saturating_add(size) <= range.start {
                break;
            }
            start = start.max(range.end);
        }
        regions[index] = start..start.saturating_add(size);
        total = total.max(start.saturating_add(size));
        placed.push(index);
    }
    let copy = |number: usize| {
        let part = |region: &Range<usize>| {
            let size = region.len() / copies;
            region.start + number * size..region.start + (number + 1) * size
        };
        regions.iter().map(part).collect()
    };
    ((0..copies).map(copy).collect(), total)
}

/// An arena up to which this pays: larger ones leave the first cache sooner, which costs more than borders.
const SMALL: usize = 16 << 10;

/// As [`place`]; where the arena stays small, the buffers `bordered` share their memory with no other, so that what lies around
/// an image has to be written only once: then true.
pub fn place_bordered(
    buffers: &[Buffer],
    bordered: &[usize],
    copies: usize,
) -> (Vec<Vec<Range<usize>>>, usize, bool) {
    let (each, total) = place(buffers, copies);
    let mut alone = buffers.to_vec();
    for buffer in bordered {
        (alone[*buffer].first, alone[*buffer].last) = (0, usize::MAX);
    }
    let (apart, more) = place(&alone, copies);
    if more <= SMALL {
        (apart, more, true)
    } else {
        (each, total, false)
    }
}

/// The place of every buffer with all its copies.
pub fn whole(each: &[Vec<Range<usize>>]) -> Vec<Range<usize>> {
    let (Some(first), Some(last)) = (each.first(), each.last()) else {
        return Vec::new();
    };
    first
        .iter()
        .zip(last)
        .map(|(first, last)| first.start..last.end)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn living_buffers_do_not_overlap(copies in 1usize..4, spec in proptest::collection::vec((0usize..5000, 0usize..20, 0usize..5), 0..30)) {
            let buffers: Vec<Buffer> =
                spec.iter().map(|(bytes, first, life)| Buffer { bytes: *bytes, first: *first, last: first + life }).collect();
            let (each, total) = place(&buffers, copies);
            let regions = whole(&each);
            for (i, a) in buffers.iter().enumerate() {
                prop_assert!(each.iter().all(|r| r[i].len() >= a.bytes + LINE) && regions[i].end <= total);
                for (j, b) in buffers.iter().enumerate().skip(i + 1) {
                    let together = a.first <= b.last && b.first <= a.last;
                    prop_assert!(!together || regions[i].end <= regions[j].start || regions[j].end <= regions[i].start);
                }
            }
        }
    }
}
