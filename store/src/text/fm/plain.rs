//! Many suffixes walked to their rows at once, through a tree that is laid out for it.
//!
//! Steps through the stored tree cost a directory look-up and half a block of runs for each of its levels. Where they
//! are a sizeable part of the block's length, its bits are laid out as plain words with a count before each few of
//! them, and all suffixes take a step together: at each node of the tree they are in order, so memory is read from
//! front to back. Takes five eighths of a byte a symbol and an eighth of that again, an eighth for the samples, and one
//! megabyte for the suffixes that walk together.

use super::locate::{Hits, Locator, Walk};
use super::rowset::RowSet;
use crate::codes::simd::fast;

/// Words under one count.
const GROUP: usize = 4;
/// Suffixes that walk together.
const TOGETHER: u64 = 1 << 16;
/// Widest interval of which the middle is looked at for what was found already.
const NARROW: u32 = 8;

/// Bits with counts, for reading many of them.
#[derive(Debug)]
pub struct PlainBits {
    words: Vec<u64>,
    /// Ones before each group of words, and at the end.
    counts: Vec<u32>,
}

impl PlainBits {
    /// Adds counts to bits, of which there are fewer than 2^32.
    pub fn new(mut words: Vec<u64>) -> Self {
        // One more bit can be asked for than there are.
        words.resize((words.len() + 1).next_multiple_of(GROUP), 0);
        let mut counts = Vec::with_capacity(words.len() / GROUP);
        let mut ones = 0u32;
        for group in words.chunks_exact(GROUP) {
            counts.push(ones);
            ones += group.iter().map(|word| word.count_ones()).sum::<u32>();
        }
        PlainBits { words, counts }
    }

    /// Ones before `position`, and the bit there.
    #[inline(always)]
    pub fn rank(&self, position: u32) -> Option<(u32, bool)> {
        let at = position as usize / 64;
        let group = self.words.get(at / GROUP * GROUP..at / GROUP * GROUP + GROUP)?;
        let mut ones = *self.counts.get(at / GROUP)?;
        for (index, word) in group.iter().enumerate() {
            ones += if index < at % GROUP { word.count_ones() } else { 0 };
        }
        let word = group[at % GROUP];
        let below = word & !(u64::MAX << (position % 64));
        Some((ones + below.count_ones(), word >> (position % 64) & 1 == 1))
    }
}

/// An interval of suffixes, and its distance from the suffixes looked for.
#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    low: u32,
    high: u32,
    depth: u32,
}

/// Finishes `walks`: adds the rows that they lead to to `rows`, until it has `enough`. False if that was given up.
pub fn mark(
    locator: &Locator<'_, '_>,
    hits: &Hits,
    walks: Vec<Walk>,
    rows: &mut RowSet,
    enough: u64,
) -> Option<bool> {
    let view = locator.view();
    let tree = PlainBits::new(view.bits().decode()?);
    let samples = match locator.samples() {
        Some((places, _)) => Some(PlainBits::new(places.decode()?)),
        None => None,
    };
    let mut walker = Walker {
        locator,
        hits,
        tree,
        samples,
        lists: vec![Vec::new(); view.shape().nodes().len()],
        halves: Default::default(),
        // Intervals that meet others on their way walk some of it again. More is a walk in circles.
        left: view.len() * 2,
    };
    let (mut together, mut width) = (Vec::new(), 0);
    for Walk { mut range, depth } in walks {
        while !range.is_empty() {
            let end = range.end.min(range.start + TOGETHER - width);
            width += end - range.start;
            together.push(Entry {
                low: u32::try_from(range.start).ok()?,
                high: u32::try_from(end).ok()?,
                depth,
            });
            range.start = end;
            if width == TOGETHER {
                if !fast!(_words => walker.walk(&mut together, rows, enough))? {
                    return Some(false);
                }
                width = 0;
            }
        }
    }
    fast!(_words => walker.walk(&mut together, rows, enough))
}

#[derive(Debug)]
struct Walker<'w, 'v, 'a> {
    locator: &'w Locator<'v, 'a>,
    hits: &'w Hits,
    tree: PlainBits,
    samples: Option<PlainBits>,
    /// What is on its way through each node of the tree.
    lists: Vec<Vec<Entry>>,
    /// What a node divides its entries into.
    halves: [Vec<Entry>; 2],
    /// Steps that may yet be taken.
    left: u64,
}

impl Walker<'_, '_, '_> {
    /// Walks all entries to their rows, and leaves none. False if that is given up.
    #[inline(always)]
    fn walk(&mut self, entries: &mut Vec<Entry>, rows: &mut RowSet, enough: u64) -> Option<bool> {
        let mut next = Vec::new();
        while !entries.is_empty() && rows.len() < enough {
            let Some(left) = self.left.checked_sub(entries.len() as u64) else {
                return Some(false);
            };
            self.left = left;
            self.take_sampled(entries, rows)?;
            self.step(entries, &mut next, rows)?;
            std::mem::swap(entries, &mut next);
        }
        entries.clear();
        Some(true)
    }

    /// Adds the rows of sampled suffixes, and leaves those out that need not be walked on.
    #[inline(always)]
    fn take_sampled(&self, entries: &mut Vec<Entry>, rows: &mut RowSet) -> Option<()> {
        let (Some(samples), Some((_, sampled))) = (&self.samples, self.locator.samples()) else {
            return Some(());
        };
        let mut kept = 0;
        for index in 0..entries.len() {
            let mut entry = *entries.get(index)?;
            let (first, starts) = samples.rank(entry.low)?;
            let last = match entry.high - entry.low {
                1 => first + u32::from(starts),
                _ => samples.rank(entry.high)?.0,
            };
            for index in first..last {
                rows.insert(self.locator.row(sampled, u64::from(index))?)?;
            }
            if last - first == entry.high - entry.low {
                continue;
            }
            if last > first && entry.high - entry.low <= NARROW {
                while samples.rank(entry.low)?.1 {
                    entry.low += 1;
                }
                while samples.rank(entry.high - 1)?.1 {
                    entry.high -= 1;
                }
            }
            *entries.get_mut(kept)? = entry;
            kept += 1;
        }
        entries.truncate(kept);
        Some(())
    }

    /// One byte back for all entries: through the tree, node by node.
    #[inline(always)]
    fn step(&mut self, entries: &mut Vec<Entry>, next: &mut Vec<Entry>, rows: &mut RowSet) -> Option<()> {
        next.clear();
        let view = self.locator.view();
        let nodes = view.shape().nodes();
        let Some(root) = self.lists.first_mut() else {
            // Only separators: every suffix is a whole row.
            return entries
                .iter()
                .try_for_each(|entry| self.add_rows(entry.low, entry.high, rows));
        };
        std::mem::swap(root, entries);
        for (index, node) in nodes.iter().enumerate() {
            let mut list = std::mem::take(self.lists.get_mut(index)?);
            if !list.is_empty() {
                let (start, before) = (
                    u32::try_from(node.start()).ok()?,
                    u32::try_from(node.ones_before()).ok()?,
                );
                self.divide(&list, start, before)?;
                for (child, half) in node.children().into_iter().zip(0..) {
                    match child {
                        Ok(inner) => std::mem::swap(self.lists.get_mut(inner)?, &mut self.halves[half]),
                        Err(0) => self.halves[half]
                            .iter()
                            .try_for_each(|entry| self.add_rows(entry.low, entry.high, rows))?,
                        Err(symbol) => {
                            let first = u32::try_from(view.shape().first(symbol)?).ok()?;
                            self.arrive(&self.halves[half], first, next);
                        }
                    }
                }
                list.clear();
            }
            *self.lists.get_mut(index)? = list;
        }
        Some(())
    }

    /// Divides the entries at a node into those that go on as zeros and those that go on as ones; an interval may do
    /// both.
    #[inline(always)]
    fn divide(&mut self, list: &[Entry], start: u32, before: u32) -> Option<()> {
        let [zeros, ones] = &mut self.halves;
        for half in [&mut *zeros, &mut *ones] {
            half.clear();
            half.resize(list.len(), Entry::default());
        }
        // Which way a suffix goes cannot be foretold, so both are written and one is kept.
        let mut kept = [0; 2];
        for (entry, at) in list.iter().zip(0..) {
            debug_assert!(kept[0] <= at && kept[1] <= at, "no more is kept than was read");
            let (found, bit) = self.tree.rank(start.checked_add(entry.low)?)?;
            let low = found.checked_sub(before)?;
            let high = match entry.high - entry.low {
                1 => low + u32::from(bit),
                _ => self
                    .tree
                    .rank(start.checked_add(entry.high)?)?
                    .0
                    .checked_sub(before)?,
            };
            let parts = [
                (entry.low.checked_sub(low)?, entry.high.checked_sub(high)?),
                (low, high),
            ];
            for ((half, kept), (low, high)) in [&mut *zeros, &mut *ones].into_iter().zip(&mut kept).zip(parts)
            {
                *half.get_mut(*kept)? = Entry { low, high, ..*entry };
                *kept += usize::from(low < high);
            }
        }
        zeros.truncate(kept[0]);
        ones.truncate(kept[1]);
        Some(())
    }

    fn add_rows(&self, low: u32, high: u32, rows: &mut RowSet) -> Option<()> {
        (low..high).try_for_each(|rank| rows.insert(self.locator.row_of_rank(u64::from(rank))?))
    }

    /// Adds what came to one leaf to the entries of the next step.
    #[inline(always)]
    fn arrive(&self, half: &[Entry], first: u32, next: &mut Vec<Entry>) {
        for entry in half {
            let (low, high, depth) = (first + entry.low, first + entry.high, entry.depth + 1);
            if depth >= self.locator.limit() || self.hits.holds(&(u64::from(low)..u64::from(high))) {
                continue;
            }
            match next.last_mut() {
                Some(last) if last.high == low && last.depth == depth => last.high = high,
                _ => next.push(Entry { low, high, depth }),
            }
        }
    }
}
