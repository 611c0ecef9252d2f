//! From suffixes to the rows that they lie in.
//!
//! A walk steps back, byte by byte, until it meets a sampled place or the start of its row. Occurrences of one pattern
//! mostly have the same bytes before them, so an interval of suffixes is walked as one, and divided where the bytes
//! differ: one step then serves all of it. Few suffixes are walked one by one, which costs one rank a step instead of
//! two.

use std::ops::Range;

use super::block::View;
use super::packed::packed;
use super::sparse::Sparse;
use crate::codes::simd::fast;
use crate::error::Result;

/// Most suffixes that are walked one by one.
const SINGLE: u64 = 2;

/// Samples of a block, and its rows in byte order.
#[derive(Debug, Clone, Copy)]
pub struct Locator<'v, 'a> {
    view: &'v View<'a>,
    samples: Option<(Sparse<'a>, &'a [u8])>,
    permutation: &'a [u8],
    width: u32,
}

impl<'v, 'a> Locator<'v, 'a> {
    /// What a view needs to find rows.
    ///
    /// # Errors
    /// `Corrupt` if the samples make no sense.
    pub fn new(view: &'v View<'a>) -> Result<Self> {
        let (permutation, width) = view.part(3)?;
        let (samples, _) = view.part(4)?;
        let opened = || {
            Sparse::open(samples, view.len())
                .ok_or_else(|| view.block().corrupt("the row samples make no sense"))
        };
        Ok(Locator {
            view,
            samples: (!samples.is_empty()).then(opened).transpose()?,
            permutation,
            width,
        })
    }

    /// Row (in the block) of the row that is `rank`-th in byte order.
    #[inline]
    pub fn row_of_rank(&self, rank: u64) -> Option<u64> {
        if self.permutation.is_empty() {
            // The rows are in byte order.
            return Some(rank).filter(|&row| row < self.view.block().rows());
        }
        self.row(self.permutation, rank)
    }

    fn row(&self, rows: &[u8], index: u64) -> Option<u64> {
        packed(rows, index, self.width).filter(|&row| row < self.view.block().rows())
    }

    /// Row (in the block) in which suffix `position` lies; stops with `None` when `steps` are used up.
    pub fn row_of(&self, position: u64, steps: &mut u64) -> Option<u64> {
        fast!(_words => self.row_of_here(position, steps))
    }

    #[inline(always)]
    fn row_of_here(&self, mut position: u64, steps: &mut u64) -> Option<u64> {
        loop {
            *steps = steps.checked_sub(1)?;
            if let Some((places, rows)) = &self.samples {
                let (index, here) = places.rank(position)?;
                if here {
                    return self.row(rows, index);
                }
            }
            match self.view.step(position)? {
                Err(rank) => return self.row_of_rank(rank),
                Ok((_, previous)) => position = previous,
            }
        }
    }

    /// Adds the rows (in the block) in which the suffixes `hits` lie, one for each; stops with `None` when `steps` are
    /// used up.
    ///
    /// # Complexity
    /// As [`Locator::row_of`] for each suffix at worst; one walk for all whose bytes before them are the same.
    pub fn rows_of(&self, hits: Range<u64>, steps: &mut u64, out: &mut Vec<u64>) -> Option<()> {
        let mut todo = vec![hits];
        while let Some(hits) = todo.pop() {
            let width = hits.end.saturating_sub(hits.start);
            if width <= SINGLE {
                for position in hits {
                    out.push(self.row_of(position, steps)?);
                }
                continue;
            }
            *steps = steps.checked_sub(1)?;
            if let Some((places, rows)) = &self.samples {
                let (first, end) = (places.rank(hits.start)?.0, places.rank(hits.end)?.0);
                if end.checked_sub(first)? == width {
                    for index in first..end {
                        out.push(self.row(rows, index)?);
                    }
                    continue;
                }
                if end > first {
                    // Sampled and other places mixed: halves are purer.
                    let middle = hits.start + width / 2;
                    todo.extend([hits.start..middle, middle..hits.end]);
                    continue;
                }
            }
            self.view.steps(hits.start, hits.end, &mut |byte, range| {
                if byte.is_some() {
                    todo.push(range);
                    return Some(());
                }
                for rank in range {
                    out.push(self.row_of_rank(rank)?);
                }
                Some(())
            })?;
        }
        Some(())
    }
}
