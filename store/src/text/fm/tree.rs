//! Huffman-shaped binary wavelet tree over the Burrows-Wheeler transform.
//!
//! Good at rank and access in as many bit-vector reads as the symbol's code is long, so frequent bytes are cheap. The
//! bits of all nodes stand in one [`Bits`] vector, in breadth-first order; where a node starts, and how many ones lie
//! before it, follow from the symbol counts, so a tree costs nothing but counts, code lengths and bits.
//!
//! Symbol 0 is the row separator; symbol `i` is the `i`-th smallest byte in use.

use super::bits::Bits;

/// Longest code; counts below 2^32 stay below it.
const MAX_CODE_BITS: u8 = 48;
/// Marks a child that is a leaf.
const LEAF: u16 = 1 << 15;

/// One inner node.
#[derive(Debug, Clone, Copy, Default)]
pub struct Node {
    /// Inner node, or `LEAF | symbol`.
    children: [u16; 2],
    /// First bit of the node in the vector.
    start: u64,
    /// Ones before that bit.
    ones_before: u64,
}

impl Node {
    /// First bit of the node in the vector.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Ones before that bit.
    pub fn ones_before(&self) -> u64 {
        self.ones_before
    }

    /// Where its zeros and its ones lead: another node (`Ok`, and later in the tree's order) or a symbol.
    pub fn children(&self) -> [std::result::Result<usize, usize>; 2] {
        self.children.map(|child| match child & LEAF {
            0 => Ok(usize::from(child)),
            _ => Err(usize::from(child & !LEAF)),
        })
    }
}

/// Shape of a tree: everything but the bits.
#[derive(Debug, Default)]
pub struct Shape {
    nodes: Vec<Node>,
    /// Code of each symbol, first step in the highest of `length` bits.
    codes: Vec<(u64, u8)>,
    /// Number of symbols below each symbol, and all at the end.
    first: Vec<u64>,
    bits: u64,
}

/// Lengths of a Huffman code for `counts`; a single symbol has length 0, unused ones must not be passed.
pub fn code_lengths(counts: &[u32]) -> Vec<u8> {
    let mut heap: std::collections::BinaryHeap<std::cmp::Reverse<(u64, usize)>> = counts
        .iter()
        .enumerate()
        .map(|(symbol, &count)| std::cmp::Reverse((u64::from(count), symbol)))
        .collect();
    let mut parents = vec![usize::MAX; counts.len()];
    while heap.len() > 1 {
        let (Some(std::cmp::Reverse(a)), Some(std::cmp::Reverse(b))) = (heap.pop(), heap.pop()) else {
            break;
        };
        let node = parents.len();
        parents.push(usize::MAX);
        parents[a.1] = node;
        parents[b.1] = node;
        heap.push(std::cmp::Reverse((a.0 + b.0, node)));
    }
    let mut depths = vec![0u8; parents.len()];
    for index in (0..parents.len()).rev() {
        if parents[index] != usize::MAX {
            depths[index] = depths[parents[index]] + 1;
        }
    }
    depths.truncate(counts.len());
    depths
}

/// Canonical codes: shorter first, equal lengths by symbol. `None` unless the lengths make a complete code.
fn canonical(lengths: &[u8]) -> Option<Vec<(u64, u8)>> {
    if let [0] = lengths {
        return Some(vec![(0, 0)]);
    }
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&symbol| lengths[symbol]);
    let mut codes = vec![(0, 0); lengths.len()];
    let (mut code, mut length) = (0u64, 0u8);
    for (place, &symbol) in order.iter().enumerate() {
        let wanted = lengths[symbol];
        if wanted == 0 || wanted > MAX_CODE_BITS {
            return None;
        }
        if place > 0 {
            code += 1;
        }
        code <<= wanted - length;
        length = wanted;
        if code >> length != 0 {
            return None;
        }
        codes[symbol] = (code, length);
    }
    (code + 1 == 1 << length).then_some(codes)
}

impl Shape {
    /// The tree of these symbols. `None` if lengths and counts do not make one.
    pub fn new(counts: &[u32], lengths: &[u8]) -> Option<Shape> {
        if counts.is_empty() || counts.len() != lengths.len() || counts.len() > 257 {
            return None;
        }
        let codes = canonical(lengths)?;
        let mut first = vec![0u64];
        for &count in counts {
            first.push(first.last()? + u64::from(count));
        }
        let mut shape = Shape {
            nodes: Vec::new(),
            codes,
            first,
            bits: 0,
        };
        if counts.len() > 1 {
            shape.plant();
            shape.place(counts)?;
        }
        Some(shape)
    }

    /// Links nodes along each code, depth first.
    fn plant(&mut self) {
        self.nodes.push(Node::default());
        for symbol in 0..self.codes.len() {
            let (code, length) = self.codes[symbol];
            let mut node = 0;
            for step in (0..length).rev() {
                let bit = (code >> step & 1) as usize;
                if step == 0 {
                    self.nodes[node].children[bit] = LEAF | symbol as u16;
                } else {
                    if self.nodes[node].children[bit] == 0 {
                        self.nodes[node].children[bit] = self.nodes.len() as u16;
                        self.nodes.push(Node::default());
                    }
                    node = self.nodes[node].children[bit] as usize;
                }
            }
        }
    }

    /// Gives each node its place in the bit vector, breadth first.
    fn place(&mut self, counts: &[u32]) -> Option<()> {
        // Sizes bottom up: children of a node are always planted after it.
        let mut sizes = vec![[0u64; 2]; self.nodes.len()];
        for index in (0..self.nodes.len()).rev() {
            for bit in 0..2 {
                let child = self.nodes[index].children[bit];
                sizes[index][bit] = if child & LEAF != 0 {
                    u64::from(*counts.get((child & !LEAF) as usize)?)
                } else {
                    sizes[child as usize].iter().sum()
                };
            }
        }
        let mut queue = std::collections::VecDeque::from([0usize]);
        let (mut start, mut ones) = (0, 0);
        while let Some(index) = queue.pop_front() {
            let node = &mut self.nodes[index];
            (node.start, node.ones_before) = (start, ones);
            start += sizes[index][0] + sizes[index][1];
            ones += sizes[index][1];
            queue.extend(
                node.children
                    .iter()
                    .filter(|&&child| child & LEAF == 0)
                    .map(|&child| child as usize),
            );
        }
        self.bits = start;
        Some(())
    }

    /// The inner nodes, each before its children; none for a single symbol.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Bits of all nodes together.
    pub fn bits(&self) -> u64 {
        self.bits
    }

    /// Number of suffixes that start with a symbol below `symbol`.
    #[inline]
    pub fn first(&self, symbol: usize) -> Option<u64> {
        self.first.get(symbol).copied()
    }

    /// Suffixes that start with each symbol.
    #[inline]
    pub fn bucket(&self, symbol: usize) -> Option<(u64, u64)> {
        Some((*self.first.get(symbol)?, *self.first.get(symbol + 1)?))
    }

    /// Length of the sequence.
    pub fn len(&self) -> u64 {
        self.first.last().copied().unwrap_or(0)
    }

    /// Occurrences of `symbol` before `position`.
    #[inline(always)]
    pub fn rank(&self, bits: &Bits<'_>, symbol: usize, mut position: u64) -> Option<u64> {
        let (code, length) = *self.codes.get(symbol)?;
        let mut node = 0u16;
        for step in (0..length).rev() {
            let here = self.nodes.get(node as usize)?;
            let ones = bits
                .rank(here.start + position)?
                .0
                .checked_sub(here.ones_before)?;
            let bit = (code >> step & 1) as usize;
            position = if bit == 1 {
                ones
            } else {
                position.checked_sub(ones)?
            };
            node = here.children[bit];
        }
        Some(position)
    }

    /// Occurrences of `symbol` before `low` and before `high`; two equal numbers if there are none between.
    #[inline(always)]
    pub fn rank_both(
        &self,
        bits: &Bits<'_>,
        symbol: usize,
        mut low: u64,
        mut high: u64,
    ) -> Option<(u64, u64)> {
        let (code, length) = *self.codes.get(symbol)?;
        let mut node = 0u16;
        for step in (0..length).rev() {
            let here = self.nodes.get(node as usize)?;
            let (first, last) = bits.rank_both(here.start + low, here.start + high)?;
            let (first, last) = (
                first.checked_sub(here.ones_before)?,
                last.checked_sub(here.ones_before)?,
            );
            let bit = (code >> step & 1) as usize;
            (low, high) = if bit == 1 {
                (first, last)
            } else {
                (low.checked_sub(first)?, high.checked_sub(last)?)
            };
            if low >= high {
                return Some((low, low));
            }
            node = here.children[bit];
        }
        Some((low, high))
    }

    /// The symbol at `position`, and how often it occurs before.
    #[inline(always)]
    pub fn access(&self, bits: &Bits<'_>, mut position: u64) -> Option<(usize, u64)> {
        if self.nodes.is_empty() {
            return Some((0, position));
        }
        let mut node = 0u16;
        loop {
            let here = self.nodes.get(node as usize)?;
            let (ones, bit) = bits.rank(here.start + position)?;
            let ones = ones.checked_sub(here.ones_before)?;
            position = if bit { ones } else { position.checked_sub(ones)? };
            node = here.children[usize::from(bit)];
            if node & LEAF != 0 {
                return Some(((node & !LEAF) as usize, position));
            }
        }
    }

    /// Calls `visit` with each symbol in `low..high`, and how often it occurs before `low` and before `high`.
    ///
    /// # Complexity
    /// Two ranks for each node on the way to those symbols.
    pub fn split(
        &self,
        bits: &Bits<'_>,
        low: u64,
        high: u64,
        visit: &mut dyn FnMut(usize, u64, u64) -> Option<()>,
    ) -> Option<()> {
        if low >= high {
            return Some(());
        }
        if self.nodes.is_empty() {
            return visit(0, low, high);
        }
        let mut todo = vec![(0u16, low, high)];
        while let Some((node, low, high)) = todo.pop() {
            if node & LEAF != 0 {
                visit((node & !LEAF) as usize, low, high)?;
                continue;
            }
            let here = self.nodes.get(node as usize)?;
            let (first, last) = bits.rank_both(here.start + low, here.start + high)?;
            let first = first.checked_sub(here.ones_before)?;
            let last = last.checked_sub(here.ones_before)?;
            last.checked_sub(first)?; // so that damaged parts are never wider than the whole
            let zeros = (low.checked_sub(first)?, high.checked_sub(last)?);
            for (child, (low, high)) in here.children.into_iter().zip([zeros, (first, last)]) {
                if low < high {
                    todo.push((child, low, high));
                }
            }
        }
        Some(())
    }

    /// All symbols in order, given all bits as words: node by node, each merged from its children.
    pub fn decode(&self, words: &[u64]) -> Option<Vec<u16>> {
        if self.nodes.is_empty() {
            return Some(vec![0; usize::try_from(self.len()).ok()?]);
        }
        self.merge(words, 0)
    }

    fn merge(&self, words: &[u64], node: u16) -> Option<Vec<u16>> {
        if node & LEAF != 0 {
            let (first, end) = self.bucket((node & !LEAF) as usize)?;
            return Some(vec![node & !LEAF; usize::try_from(end - first).ok()?]);
        }
        let here = self.nodes.get(node as usize)?;
        let parts = [
            self.merge(words, here.children[0])?,
            self.merge(words, here.children[1])?,
        ];
        let length = parts[0].len() + parts[1].len();
        let mut out = Vec::with_capacity(length);
        let mut heads = [0usize; 2];
        for position in here.start..here.start + length as u64 {
            let bit = (words.get((position / 64) as usize)? >> (position % 64) & 1) as usize;
            out.push(*parts[bit].get(heads[bit])?);
            heads[bit] += 1;
        }
        Some(out)
    }
}

/// Writes the bits of a tree, symbol by symbol.
#[derive(Debug)]
pub struct Builder<'a> {
    shape: &'a Shape,
    cursors: Vec<u64>,
    words: Vec<u64>,
}

impl<'a> Builder<'a> {
    /// A builder for a sequence with the counts of `shape`.
    pub fn new(shape: &'a Shape) -> Self {
        let cursors = shape.nodes.iter().map(|node| node.start).collect();
        Builder {
            shape,
            cursors,
            words: vec![0; shape.bits.div_ceil(64) as usize],
        }
    }

    /// Adds the next symbol.
    #[inline]
    pub fn push(&mut self, symbol: usize) {
        let (code, length) = self.shape.codes[symbol];
        let mut node = 0u16;
        for step in (0..length).rev() {
            let bit = code >> step & 1;
            let cursor = &mut self.cursors[node as usize];
            self.words[(*cursor / 64) as usize] |= bit << (*cursor % 64);
            *cursor += 1;
            node = self.shape.nodes[node as usize].children[bit as usize];
        }
    }

    /// The bits.
    pub fn finish(self) -> Vec<u64> {
        self.words
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::bits;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn rank_and_access_equal_counting(sequence in proptest::collection::vec(prop_oneof![0usize..3, 0usize..9], 1..600)) {
            let mut used: Vec<usize> = sequence.clone();
            used.sort_unstable();
            used.dedup();
            let sequence: Vec<usize> = sequence.iter().map(|s| used.binary_search(s).unwrap()).collect();
            let mut counts = vec![0u32; used.len()];
            sequence.iter().for_each(|&s| counts[s] += 1);
            let shape = Shape::new(&counts, &code_lengths(&counts)).unwrap();
            let mut builder = Builder::new(&shape);
            sequence.iter().for_each(|&s| builder.push(s));
            let words = builder.finish();
            let (directory, data) = bits::encode(&words, shape.bits());
            let bits = Bits { directory: &directory, data: &data, len: shape.bits() };
            for position in 0..=sequence.len() {
                for symbol in 0..counts.len() {
                    let want = sequence[..position].iter().filter(|&&s| s == symbol).count() as u64;
                    prop_assert_eq!(shape.rank(&bits, symbol, position as u64), Some(want));
                    let first = position / 2;
                    let before = sequence[..first].iter().filter(|&&s| s == symbol).count() as u64;
                    let both = shape.rank_both(&bits, symbol, first as u64, position as u64).unwrap();
                    prop_assert!(both == (before, want) || before == want && both.0 == both.1);
                }
                let mut parts = Vec::new();
                shape.split(&bits, position as u64 / 2, position as u64, &mut |symbol, low, high| {
                    parts.push((symbol, high - low));
                    Some(())
                }).unwrap();
                parts.sort_unstable();
                let count = |symbol| sequence[position / 2..position].iter().filter(|&&s| s == symbol).count() as u64;
                let want: Vec<_> = (0..counts.len()).map(|s| (s, count(s))).filter(|part| part.1 > 0).collect();
                prop_assert_eq!(parts, want);
                if let Some(&symbol) = sequence.get(position) {
                    let before = sequence[..position].iter().filter(|&&s| s == symbol).count() as u64;
                    prop_assert_eq!(shape.access(&bits, position as u64), Some((symbol, before)));
                }
            }
            let decoded: Vec<usize> = shape.decode(&words).unwrap().into_iter().map(usize::from).collect();
            prop_assert_eq!(decoded, sequence);
        }
    }

    #[test]
    fn codes_that_are_not_complete_are_refused() {
        assert!(Shape::new(&[1, 1], &[1, 2]).is_none());
        assert!(Shape::new(&[1, 1, 1], &[1, 1, 1]).is_none());
        assert!(Shape::new(&[1, 1], &[0, 0]).is_none());
        assert!(Shape::new(&[], &[]).is_none());
        assert!(Shape::new(&[7], &[0]).is_some());
    }
}
