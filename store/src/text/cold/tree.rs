//! A model of symbols by those before: a tree of contexts, as deep as each one pays.
//!
//! ```text
//! root         odds of all symbols
//!  └ context   the symbol before: odds of what follows it, where they tell more than their table takes
//!     └ ...    the one before that
//! ```
//!
//! A symbol is read by the deepest context there is. What a deeper context tells is not counted in those above, and its
//! symbols are written as places among theirs.
//!
//! After Rissanen, "A universal data compression system" (1983): contexts as a tree, cut by what they cost.

use super::bins::{Counts, odds, rounded};
use super::coder::{Decoder, Encoder, TOTAL, TOTAL_BITS};
use crate::text::template::coder::{self as adaptive, Numbers};

/// Symbols before that a context has at most.
pub const MOST_DEEP: usize = 4;
/// Symbols that there may be.
pub const MOST_SYMBOLS: u32 = 1 << 13;
/// Cells of a tree at most, as it is read.
const MOST_CELLS: usize = 1 << 21;
/// Cells and contexts from which they are found by a table.
const MANY: usize = 8;
/// Bits of a stretch of odds that such a table has an entry for.
const JUMP_BITS: u32 = TOTAL_BITS - 6;
/// Bits that a context has to save before it is looked at.
const LEAST_SAVED: f64 = 6.0;

/// What stands before a symbol, the last one first.
pub type Before = [u32; MOST_DEEP];

/// A symbol of a context.
#[derive(Debug, Clone, Copy)]
struct Cell {
    symbol: u32,
    /// Odds of the cells before.
    before: u32,
}

/// A context.
#[derive(Debug, Clone, Default)]
struct Node {
    cells: (u32, u32),
    kids: (u32, u32),
    /// Where its jumps start, plus one; 0 if it has few cells.
    jumps: u32,
}

/// A model of symbols.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    nodes: Vec<Node>,
    /// Symbol before that leads to each node; nodes of one parent are neighbours, by symbol.
    symbols: Vec<u32>,
    cells: Vec<Cell>,
    /// Of contexts of many cells, for each stretch of odds the cell of its first place.
    jumps: Vec<u16>,
    /// Of a root of many contexts, the node of each symbol, or 0.
    first: Vec<u32>,
}

/// Models of what describes trees.
#[derive(Debug)]
pub struct TreeModels {
    numbers: Numbers,
    gaps: Numbers,
    counts: Counts,
}

impl TreeModels {
    /// Models for `kinds` kinds of trees.
    pub fn new(kinds: usize) -> Self {
        TreeModels {
            numbers: Numbers::new(kinds * 2 * (MOST_DEEP + 1)),
            gaps: Numbers::new(kinds * 2 * 14),
            counts: Counts::new(kinds * (MOST_DEEP + 1) * 16),
        }
    }
}

fn depth_context(kind: usize, which: usize, depth: usize) -> usize {
    (kind * 2 + which) * (MOST_DEEP + 1) + depth
}

fn gap_context(kind: usize, which: usize, among: usize) -> usize {
    (kind * 2 + which) * 14 + (bits_of(among as u64) as usize).min(13)
}

fn count_context(kind: usize, depth: usize, last: u64) -> usize {
    (kind * (MOST_DEEP + 1) + depth) * 16 + (bits_of(last) as usize).min(15)
}

fn bits_of(value: u64) -> u32 {
    64 - value.leading_zeros()
}

/// A context while a tree is made.
#[derive(Debug, Default)]
struct Draft {
    /// Symbols in order, with what deeper contexts leave of their counts.
    cells: Vec<(u32, u64)>,
    kids: Vec<(u32, Draft)>,
}

/// A tree as it is written.
#[derive(Debug, Default)]
pub struct Plan {
    root: Draft,
    /// Bits that the tree and its symbols take, about.
    pub bits: f64,
}

/// Symbols and what stood before them, counted.
type Sample = (Before, u32, u64);

fn counts_of(samples: &[Sample]) -> Vec<(u32, u64)> {
    let mut found: Vec<(u32, u64)> = samples
        .iter()
        .map(|&(_, symbol, count)| (symbol, count))
        .collect();
    found.sort_unstable_by_key(|cell| cell.0);
    found.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        kept.1 += if same { next.1 } else { 0 };
        same
    });
    found
}

/// Bits of `cells` under the counts of `model`, which has all of them.
fn bits_under(cells: &[(u32, u64)], model: &[(u32, u64)]) -> f64 {
    let sum: u64 = model.iter().map(|cell| cell.1).sum();
    let sum = (sum as f64).log2();
    let mut next = model.iter();
    cells
        .iter()
        .filter(|cell| cell.1 > 0)
        .map(|&(symbol, count)| {
            let known = next.find(|cell| cell.0 == symbol).map_or(1, |cell| cell.1.max(1));
            count as f64 * (sum - (known as f64).log2())
        })
        .sum()
}

/// Bits of a context's table, whose symbols are some of `among`.
fn table_bits(cells: &[(u32, u64)], among: f64) -> f64 {
    let share = (cells.len() as f64 / among).min(1.0);
    let entropy = |share: f64| if share > 0.0 { -share * share.log2() } else { 0.0 };
    let set = among * (entropy(share) + entropy(1.0 - share));
    let counts: f64 = if cells.len() == 1 {
        0.0
    } else {
        cells
            .iter()
            .map(|cell| 0.8 + 0.7 * ((cell.1 + 1) as f64).log2().min(6.0))
            .sum()
    };
    set + counts + 2.0
}

/// Makes the context of `samples`, which are sorted by what stands before them; gives its bits too.
fn grow(samples: &[Sample], depth: usize, deepest: usize, among: f64) -> (f64, Draft) {
    let all = counts_of(samples);
    let mut cells = all.clone();
    let mut kids = Vec::new();
    let mut bits = 0.0;
    if depth < deepest && all.len() > 1 {
        for part in samples.chunk_by(|a, b| a.0[depth] == b.0[depth]) {
            let counts = counts_of(part);
            let under = bits_under(&counts, &all);
            if under < LEAST_SAVED {
                continue;
            }
            let (own, kid) = grow(part, depth + 1, deepest, all.len() as f64);
            if own + 4.0 < under {
                bits += own + 4.0;
                kids.push((part[0].0[depth], kid));
                for &(symbol, count) in &counts {
                    if let Ok(place) = cells.binary_search_by_key(&symbol, |cell| cell.0) {
                        cells[place].1 -= count;
                    }
                }
            }
        }
    }
    if kids.is_empty() {
        bits += bits_under(&cells, &cells) + table_bits(&cells, among);
    } else {
        let left: Vec<(u32, u64)> = cells.iter().copied().filter(|cell| cell.1 > 0).collect();
        bits += bits_under(&left, &left) + table_bits(&cells, among);
    }
    (bits, Draft { cells, kids })
}

impl Plan {
    /// The cheapest tree for `symbols`, each with what stands before it, up to `deepest` of that.
    pub fn of(symbols: impl Iterator<Item = (Before, u32)>, deepest: usize) -> Plan {
        let mut samples: Vec<Sample> = symbols.map(|(before, symbol)| (before, symbol, 1)).collect();
        samples.sort_unstable();
        samples.dedup_by(|next, kept| {
            let same = (next.0, next.1) == (kept.0, kept.1);
            kept.2 += if same { next.2 } else { 0 };
            same
        });
        if samples.is_empty() {
            return Plan::default();
        }
        let largest = samples.iter().map(|sample| sample.1).max().unwrap_or(0);
        let (bits, root) = grow(&samples, 0, deepest.min(MOST_DEEP), f64::from(largest) + 1.0);
        Plan { root, bits }
    }

    /// Writes the tree; symbols are below `symbols`, what stands before them at most `symbols` or what `others` says.
    pub fn write(&self, coder: &mut adaptive::Encoder, models: &mut TreeModels, kind: usize, symbols: u32) {
        let all: Vec<u32> = (0..symbols).collect();
        let mut open = std::collections::VecDeque::from([(&self.root, all, 0)]);
        while let Some((node, among, depth)) = open.pop_front() {
            let count = node.cells.len() as u64;
            models.numbers.write(coder, depth_context(kind, 0, depth), count);
            let places = node
                .cells
                .iter()
                .map(|cell| among.partition_point(|&s| s < cell.0));
            write_gaps(coder, models, gap_context(kind, 0, among.len()), places);
            let mut last = 0;
            for cell in node.cells.iter().filter(|_| count > 1) {
                let found = rounded(cell.1);
                models
                    .counts
                    .write(coder, count_context(kind, depth, last), found);
                last = found;
            }
            if depth < MOST_DEEP && count > 1 {
                let kids = node.kids.len() as u64;
                models.numbers.write(coder, depth_context(kind, 1, depth), kids);
                let places = node.kids.iter().map(|kid| kid.0 as usize);
                write_gaps(coder, models, gap_context(kind, 1, symbols as usize), places);
            }
            let own: Vec<u32> = node.cells.iter().map(|cell| cell.0).collect();
            for kid in &node.kids {
                open.push_back((&kid.1, own.clone(), depth + 1));
            }
        }
    }
}

fn write_gaps(
    coder: &mut adaptive::Encoder,
    models: &mut TreeModels,
    context: usize,
    places: impl Iterator<Item = usize>,
) {
    let mut next = 0;
    for place in places {
        models.gaps.write(coder, context, (place - next) as u64);
        next = place + 1;
    }
}

impl Tree {
    /// Reads a tree that [`Plan::write`] wrote.
    pub fn read(
        coder: &mut adaptive::Decoder<'_>,
        models: &mut TreeModels,
        kind: usize,
        symbols: u32,
    ) -> Option<Tree> {
        let mut tree = Tree {
            nodes: vec![Node::default()],
            symbols: vec![0],
            ..Tree::default()
        };
        let all: Vec<u32> = (0..symbols).collect();
        let mut sets = std::collections::VecDeque::from([(std::rc::Rc::new(all), 0)]);
        let mut at = 0;
        while let Some((among, depth)) = sets.pop_front() {
            let count = models.numbers.read(coder, depth_context(kind, 0, depth));
            let count = usize::try_from(count)
                .ok()
                .filter(|&count| count <= among.len())?;
            let context = gap_context(kind, 0, among.len());
            let mut own = Vec::with_capacity(count);
            let mut next = 0u64;
            for _ in 0..count {
                let place = next.checked_add(models.gaps.read(coder, context))?;
                own.push(*among.get(usize::try_from(place).ok()?)?);
                next = place + 1;
            }
            let mut counts = vec![1; count];
            let mut last = 0;
            for found in counts.iter_mut().filter(|_| count > 1) {
                last = models.counts.read(coder, count_context(kind, depth, last));
                *found = last;
            }
            let first = tree.cells.len();
            if coder.overrun() || first + count > MOST_CELLS {
                return None;
            }
            // A context all of whose symbols are told by deeper ones has no cells.
            if let Some(odds) = odds(&counts) {
                let mut before = 0;
                for (&symbol, &odds) in own.iter().zip(&odds).filter(|(_, odds)| **odds > 0) {
                    tree.cells.push(Cell { symbol, before });
                    before += odds;
                }
            }
            let mut kids = (0, 0);
            if depth < MOST_DEEP && count > 1 {
                let number = models.numbers.read(coder, depth_context(kind, 1, depth));
                let context = gap_context(kind, 1, symbols as usize);
                kids.0 = tree.nodes.len() as u32;
                let own = std::rc::Rc::new(own);
                let mut next = 0u64;
                for _ in 0..number {
                    let symbol = next.checked_add(models.gaps.read(coder, context))?;
                    if coder.overrun() || tree.nodes.len() > MOST_CELLS {
                        return None;
                    }
                    tree.symbols.push(u32::try_from(symbol).ok()?);
                    tree.nodes.push(Node::default());
                    sets.push_back((std::rc::Rc::clone(&own), depth + 1));
                    next = symbol + 1;
                }
                kids.1 = tree.nodes.len() as u32;
            }
            tree.nodes[at] = Node {
                cells: (first as u32, tree.cells.len() as u32),
                kids,
                jumps: tree.jumps_of(first),
            };
            at += 1;
        }
        let (start, end) = tree.nodes[0].kids;
        if (end - start) as usize > MANY {
            tree.first = vec![0; symbols as usize + 1];
            for node in start..end {
                let symbol = tree.symbols[node as usize] as usize;
                if let Some(first) = tree.first.get_mut(symbol) {
                    *first = node;
                }
            }
        }
        Some(tree)
    }

    /// Makes the table of the cells from `first` on.
    fn jumps_of(&mut self, first: usize) -> u32 {
        let cells = &self.cells[first..];
        if cells.len() <= MANY {
            return 0;
        }
        let start = self.jumps.len() as u32 + 1;
        let places = (0..TOTAL).step_by(1 << JUMP_BITS);
        self.jumps.extend(places.map(|place| {
            let after = cells.partition_point(|cell| cell.before <= place);
            after.max(1) as u16 - 1
        }));
        start
    }

    /// Number of cells.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// The deepest context.
    #[inline]
    fn context(&self, before: &Before) -> Option<&Node> {
        let mut found = self.nodes.first()?;
        let mut before = before.as_slice();
        if let (Some(&node), [_, rest @ ..]) = (self.first.get(before[0] as usize), before) {
            if node == 0 {
                return Some(found);
            }
            found = &self.nodes[node as usize];
            before = rest;
        }
        for symbol in before {
            let (start, end) = (found.kids.0 as usize, found.kids.1 as usize);
            if start == end {
                break;
            }
            let kids = self.symbols.get(start..end).unwrap_or_default();
            match kids.binary_search(symbol) {
                Ok(kid) => found = &self.nodes[start + kid],
                Err(_) => break,
            }
        }
        Some(found)
    }

    fn cells_of(&self, node: &Node) -> &[Cell] {
        self.cells
            .get(node.cells.0 as usize..node.cells.1 as usize)
            .unwrap_or_default()
    }

    /// Reads a symbol; `None` if there is none in its context, which no sound stream asks.
    #[inline]
    pub fn decode(&self, coder: &mut Decoder<'_>, before: &Before) -> Option<u32> {
        let node = self.context(before)?;
        let cells = self.cells_of(node);
        if let [cell] = cells {
            return Some(cell.symbol);
        }
        let place = coder.place();
        let jump = (node.jumps as usize).checked_sub(1);
        let jump = jump.map_or(0, |jump| jump + (place >> JUMP_BITS) as usize);
        let mut index = match self.jumps.get(jump) {
            Some(&index) if node.jumps > 0 => usize::from(index),
            _ => 0,
        };
        while cells.get(index + 1).is_some_and(|cell| cell.before <= place) {
            index += 1;
        }
        let start = cells.get(index)?.before;
        let end = cells.get(index + 1).map_or(TOTAL, |cell| cell.before);
        coder.take(start, end - start);
        Some(cells[index].symbol)
    }

    /// Writes a symbol that the tree was made of.
    pub fn encode(&self, coder: &mut Encoder, before: &Before, symbol: u32) {
        let cells = self
            .context(before)
            .map_or([].as_slice(), |node| self.cells_of(node));
        if cells.len() == 1 {
            return;
        }
        let Ok(index) = cells.binary_search_by_key(&symbol, |cell| cell.symbol) else {
            debug_assert!(false, "a symbol is not in its context");
            return;
        };
        let start = cells[index].before;
        let end = cells.get(index + 1).map_or(TOTAL, |cell| cell.before);
        coder.put(start, end - start);
    }
}
