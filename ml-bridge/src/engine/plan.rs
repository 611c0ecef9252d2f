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

/// The place of every buffer (with its slack), and the arena's size.
pub fn place(buffers: &[Buffer]) -> (Vec<Range<usize>>, usize) {
    let mut order: Vec<usize> = (0..buffers.len()).collect();
    order.sort_by_key(|b| std::cmp::Reverse((buffers[*b].bytes, *b)));
    let mut regions = vec![0..0; buffers.len()];
    let mut placed: Vec<usize> = Vec::with_capacity(buffers.len());
    let mut total = 0;
    for index in order {
        let buffer = &buffers[index];
        let size = buffer.bytes.next_multiple_of(LINE) + LINE;
        let mut busy: Vec<Range<usize>> = placed
            .iter()
            .filter(|other| buffers[**other].first <= buffer.last && buffer.first <= buffers[**other].last)
            .map(|other| regions[*other].clone())
            .collect();
        busy.sort_by_key(|r| r.start);
        let mut start = 0;
        for range in busy {
            if start + size <= range.start {
                break;
            }
            start = start.max(range.end);
        }
        regions[index] = start..start + size;
        total = total.max(start + size);
        placed.push(index);
    }
    (regions, total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn living_buffers_do_not_overlap(spec in proptest::collection::vec((0usize..5000, 0usize..20, 0usize..5), 0..30)) {
            let buffers: Vec<Buffer> =
                spec.iter().map(|(bytes, first, life)| Buffer { bytes: *bytes, first: *first, last: first + life }).collect();
            let (regions, total) = place(&buffers);
            for (i, a) in buffers.iter().enumerate() {
                prop_assert!(regions[i].len() >= a.bytes + LINE && regions[i].end <= total);
                for (j, b) in buffers.iter().enumerate().skip(i + 1) {
                    let together = a.first <= b.last && b.first <= a.last;
                    prop_assert!(!together || regions[i].end <= regions[j].start || regions[j].end <= regions[i].start);
                }
            }
        }
    }
}
