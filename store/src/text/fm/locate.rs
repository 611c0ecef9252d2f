//! From suffixes to the rows that they lie in.
//!
//! A walk steps back, byte by byte, until it meets a sampled place, the start of its row, or another of the suffixes
//! that are looked for: that one lies in the same row. Occurrences of one pattern mostly have the same bytes before
//! them, so an interval of suffixes is walked as one, and divided where the bytes differ: one step then serves all of
//! it, however wide. Few suffixes are walked one by one, which costs one rank a step instead of two.
//!
//! Where the intervals are so many or so torn that this would cost more than laying out the whole tree, the rest is
//! walked there ([`super::plain`]).

use std::ops::Range;

use super::block::View;
use super::packed::packed;
use super::plain;
use super::rowset::RowSet;
use super::sparse::Sparse;
use crate::codes::simd::fast;
use crate::error::Result;

/// Most suffixes that are walked one by one.
const SINGLE: u64 = 1;
/// Widest interval of which those that were found are left out one by one.
const NARROW: u64 = 64;
/// Symbols of a block whose tree is laid out in the time of one step through it as it is stored.
const SYMBOLS_A_STEP: u64 = 200;
/// Steps through a tree that is laid out, in the time of one through it as it is stored.
const PLAIN_GAIN: u64 = 3;

/// Suffixes whose rows are looked for: sorted intervals that do not meet.
#[derive(Debug)]
pub struct Hits {
    intervals: Vec<Range<u64>>,
}

impl Hits {
    /// The suffixes of any of `intervals`.
    pub fn new(intervals: impl IntoIterator<Item = Range<u64>>) -> Self {
        let mut all: Vec<Range<u64>> = intervals.into_iter().filter(|hits| !hits.is_empty()).collect();
        all.sort_unstable_by_key(|hits| hits.start);
        let mut joined: Vec<Range<u64>> = Vec::with_capacity(all.len());
        for hits in all {
            match joined.last_mut() {
                Some(last) if last.end >= hits.start => last.end = last.end.max(hits.end),
                _ => joined.push(hits),
            }
        }
        Hits { intervals: joined }
    }

    /// Whether all of `range` is looked for.
    #[inline]
    pub fn holds(&self, range: &Range<u64>) -> bool {
        let at = match self.intervals.as_slice() {
            [_] => 0,
            all => all.partition_point(|hits| hits.end <= range.start),
        };
        let hits = self.intervals.get(at);
        hits.is_some_and(|hits| hits.start <= range.start && range.end <= hits.end)
    }
}

/// Suffixes that are yet to be walked, and how far from the suffix looked for they are.
#[derive(Debug, Clone)]
pub struct Walk {
    pub range: Range<u64>,
    pub depth: u32,
}

/// Samples of a block, and its rows in byte order.
#[derive(Debug, Clone, Copy)]
pub struct Locator<'v, 'a> {
    view: &'v View<'a>,
    samples: Option<(Sparse<'a>, &'a [u8])>,
    permutation: &'a [u8],
    width: u32,
    /// Steps that lead from anywhere to a sampled place or the start of a row.
    limit: u32,
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
        let step = u32::from(view.block().sample_step());
        Ok(Locator {
            view,
            samples: (!samples.is_empty()).then(opened).transpose()?,
            permutation,
            width,
            limit: if samples.is_empty() || step == 0 {
                u32::MAX
            } else {
                step
            },
        })
    }

    /// The view.
    pub fn view(&self) -> &'v View<'a> {
        self.view
    }

    /// Sampled places and, packed, their rows.
    pub fn samples(&self) -> Option<(Sparse<'a>, &'a [u8])> {
        self.samples
    }

    /// Steps after which a walk has met a sample or the start of its row.
    pub fn limit(&self) -> u32 {
        self.limit
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

    /// Row number `index` of packed ones.
    #[inline]
    pub fn row(&self, rows: &[u8], index: u64) -> Option<u64> {
        packed(rows, index, self.width).filter(|&row| row < self.view.block().rows())
    }

    /// Adds the rows in which `hits` lie to `rows`, until it has `enough`. `None` if the index makes no sense, false if
    /// most suffixes gather in so few long rows without samples that to read all rows is less work.
    ///
    /// # Complexity
    /// A step for each suffix and byte back to a sample at worst, one for all whose bytes before them are the same; never
    /// more than a fraction of laying out the block's tree and a step there for each.
    pub fn mark(&self, hits: &Hits, rows: &mut RowSet, enough: u64) -> Option<bool> {
        let mut todo: Vec<Walk> = hits
            .intervals
            .iter()
            .map(|hits| Walk {
                range: hits.clone(),
                depth: 0,
            })
            .collect();
        let mut steps = self.view.len() / SYMBOLS_A_STEP + 64;
        fast!(_words => self.mark_here(hits, &mut todo, &mut steps, rows, enough))?;
        if todo.is_empty() || rows.len() >= enough {
            return Some(true);
        }
        plain::mark(self, hits, todo, rows, enough)
    }

    /// Steps that [`Locator::mark`] may take for `hits` suffixes, about; mostly it is far fewer.
    pub fn most_steps(&self, hits: u64) -> u64 {
        let row_bytes = self.view.len() / self.view.block().rows().max(1) + 1;
        let steps = hits.saturating_mul(row_bytes.min(u64::from(self.limit)) / 2 + 1);
        steps.min(self.view.len() / SYMBOLS_A_STEP + steps.min(self.view.len()) / PLAIN_GAIN)
    }

    /// Walks until nothing is left to do, or no steps are left.
    #[inline(always)]
    fn mark_here(
        &self,
        hits: &Hits,
        todo: &mut Vec<Walk>,
        steps: &mut u64,
        rows: &mut RowSet,
        enough: u64,
    ) -> Option<()> {
        while rows.len() < enough {
            let Some(Walk { mut range, depth }) = todo.pop() else {
                break;
            };
            if *steps == 0 {
                todo.push(Walk { range, depth });
                break;
            }
            if range.end.checked_sub(range.start)? <= SINGLE {
                for position in range {
                    self.mark_one(hits, position, depth, todo, steps, rows)?;
                }
                continue;
            }
            *steps = steps.saturating_sub(2);
            if let Some((places, sampled)) = &self.samples {
                let (first, starts) = places.rank(range.start)?;
                let (last, ends) = places.rank(range.end - 1)?;
                let last = last + u64::from(ends);
                for index in first..last {
                    rows.insert(self.row(sampled, index)?)?;
                }
                // A damaged directory may say that fewer are before the end than before the start.
                let (width, found) = (range.end - range.start, last.checked_sub(first)?);
                if found == width {
                    continue;
                }
                if found > 0 && width <= NARROW {
                    // Those that were found need not be walked on with the others.
                    let mut start = range.start;
                    places.visit(first, range.start, range.end, |place| {
                        todo.push(Walk {
                            range: start..place,
                            depth,
                        });
                        start = place + 1;
                        Some(())
                    })?;
                    range.start = start;
                    if range.end.checked_sub(range.start)? <= SINGLE {
                        todo.push(Walk { range, depth });
                        continue;
                    }
                } else {
                    // Of a wide one, that only costs nothing at the ends.
                    range.start += u64::from(starts);
                    range.end -= u64::from(ends);
                }
            }
            let deeper = depth + 1;
            self.view.steps(range.start, range.end, &mut |byte, range| {
                if byte.is_some() {
                    if deeper < self.limit && !hits.holds(&range) {
                        todo.push(Walk { range, depth: deeper });
                    }
                    return Some(());
                }
                for rank in range {
                    rows.insert(self.row_of_rank(rank)?)?;
                }
                Some(())
            })?;
        }
        Some(())
    }

    #[inline(always)]
    fn mark_one(
        &self,
        hits: &Hits,
        mut position: u64,
        mut depth: u32,
        todo: &mut Vec<Walk>,
        steps: &mut u64,
        rows: &mut RowSet,
    ) -> Option<()> {
        while *steps > 0 {
            *steps -= 1;
            if let Some((places, sampled)) = &self.samples {
                let (index, here) = places.rank(position)?;
                if here {
                    return rows.insert(self.row(sampled, index)?);
                }
            }
            match self.view.step(position)? {
                Err(rank) => return rows.insert(self.row_of_rank(rank)?),
                Ok((_, previous)) => position = previous,
            }
            depth += 1;
            if depth >= self.limit || hits.holds(&(position..position + 1)) {
                return Some(());
            }
        }
        todo.push(Walk {
            range: position..position + 1,
            depth,
        });
        Some(())
    }
}
