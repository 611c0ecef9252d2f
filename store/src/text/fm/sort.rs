//! Suffix array of the rows of a block, in which equal row ends are ordered by row number.
//!
//! Rows are joined with a separator below every byte. For separators to sort by row number, each is followed by its
//! row number, highest byte first; suffixes that start inside such a number are thrown out afterwards. Bytes are
//! renumbered densely from 1, which leaves 0 for the separator; only a block that uses all 256 values needs two bytes
//! for its two smallest ones, so any byte may occur in a row.
//!
//! Memory: text, four bytes an entry of the suffix array, a quarter byte of marks; row counters take four bytes more.

use super::sparse;

/// Rows of one block, ready to be sorted.
#[derive(Debug)]
pub struct Joined {
    /// Renumbered bytes, separators and row numbers.
    text: Vec<u8>,
    /// Start of each row in `text`, and the end.
    offsets: Vec<u32>,
    /// Row at every 64th byte of `text`.
    coarse: Vec<u32>,
    /// Positions where a symbol starts.
    starts: BitSet,
    /// Positions whose suffix carries its row number.
    sampled: BitSet,
    /// Whether the two smallest bytes take two places.
    escaped: bool,
    /// The bytes in use.
    pub alphabet: Vec<u8>,
    /// Occurrences of the separator and of each byte in use.
    pub counts: Vec<u32>,
    /// Rows that contain each byte in use.
    pub row_counts: Vec<u32>,
}

#[derive(Debug, Default)]
struct BitSet(Vec<u64>);

impl BitSet {
    fn new(len: usize) -> Self {
        BitSet(vec![0; len.div_ceil(64)])
    }
    #[inline]
    fn set(&mut self, i: usize) {
        self.0[i / 64] |= 1 << (i % 64);
    }
    #[inline]
    fn get(&self, i: usize) -> bool {
        self.0[i / 64] >> (i % 64) & 1 == 1
    }
}

impl Joined {
    /// Joins rows; `step` is the distance of row-number samples in a row, 0 for none.
    pub fn new<'a>(rows: impl Iterator<Item = &'a [u8]> + Clone, step: usize) -> Joined {
        let row_count = rows.clone().count();
        let (mut byte_counts, mut byte_rows, mut last_row) = ([0u32; 256], [0u32; 256], [0u32; 256]);
        for (number, row) in (1u32..).zip(rows.clone()) {
            for &byte in row {
                let byte = usize::from(byte);
                byte_counts[byte] += 1;
                byte_rows[byte] += u32::from(last_row[byte] != number);
                last_row[byte] = number;
            }
        }
        let alphabet: Vec<u8> = (0..=255u8).filter(|&b| byte_counts[usize::from(b)] > 0).collect();
        let escaped = alphabet.len() == 256;
        let mut dense = [0u8; 256];
        for (index, &byte) in alphabet.iter().enumerate() {
            dense[usize::from(byte)] = if escaped { byte } else { index as u8 + 1 };
        }
        let width = number_bytes(row_count);
        let bytes: usize = rows.clone().map(|row| row.len() + 1 + width).sum();
        let extra = if escaped {
            (byte_counts[0] + byte_counts[1]) as usize
        } else {
            0
        };
        let mut joined = Joined {
            text: Vec::with_capacity(bytes + extra),
            offsets: Vec::with_capacity(row_count + 1),
            coarse: Vec::new(),
            starts: BitSet::new(bytes + extra),
            sampled: BitSet::new(bytes + extra),
            escaped,
            counts: std::iter::once(row_count as u32)
                .chain(alphabet.iter().map(|&b| byte_counts[usize::from(b)]))
                .collect(),
            row_counts: alphabet.iter().map(|&b| byte_rows[usize::from(b)]).collect(),
            alphabet,
        };
        for (number, row) in (0u32..).zip(rows) {
            joined.push(number, row, &dense, width, step);
        }
        joined.offsets.push(joined.text.len() as u32);
        joined.coarse = joined.coarse();
        joined
    }

    fn push(&mut self, number: u32, row: &[u8], dense: &[u8; 256], width: usize, step: usize) {
        self.offsets.push(self.text.len() as u32);
        for (at, &byte) in row.iter().enumerate() {
            self.starts.set(self.text.len());
            if step > 0 && at > 0 && at % step == 0 {
                self.sampled.set(self.text.len());
            }
            if self.escaped && byte < 2 {
                self.text.extend_from_slice(&[1, byte + 1]);
            } else {
                self.text.push(dense[usize::from(byte)]);
            }
        }
        self.starts.set(self.text.len());
        self.text.push(0);
        self.text
            .extend((0..width).rev().map(|place| (number >> (8 * place)) as u8));
    }

    fn coarse(&self) -> Vec<u32> {
        let mut row = 0;
        (0..self.text.len().div_ceil(64))
            .map(|block| {
                while self.offsets[row + 1] as usize <= block * 64 {
                    row += 1;
                }
                row as u32
            })
            .collect()
    }

    /// Row of a position.
    #[inline]
    fn row(&self, position: usize) -> usize {
        let mut row = self.coarse[position / 64] as usize;
        while self.offsets[row + 1] as usize <= position {
            row += 1;
        }
        row
    }

    /// Symbol that starts at `position`.
    #[inline]
    fn symbol(&self, position: usize) -> usize {
        match self.text[position] {
            byte if !self.escaped => usize::from(byte),
            0 => 0,
            1 => usize::from(self.text[position + 1]),
            byte => usize::from(byte) + 1,
        }
    }

    /// The suffix array, without suffixes that start inside a symbol or a row number.
    pub fn sort(&self) -> Vec<i32> {
        let mut array = vec![0i32; self.text.len()];
        divsufsort::sort_in_place(&self.text, &mut array);
        array.retain(|&position| self.starts.get(position as usize));
        array
    }

    /// Walks the suffixes in order. With `before`, it is filled with what [`Joined::counters`] needs: at each position
    /// whose shared prefix does not follow from the position before it, the suffix sorted before (itself if none).
    pub fn walk(&self, array: &[i32], mut before: Option<&mut Vec<u32>>, mut visit: impl FnMut(Suffix)) {
        let mut last = (0usize, 0usize);
        for (index, &position) in array.iter().enumerate() {
            let position = position as usize;
            let suffix = self.suffix(position);
            // Neighbours behind the same byte share one place less than the neighbours one byte before.
            if let Some(before) = before
                .as_mut()
                .filter(|_| suffix.before == 0 || suffix.before != last.1)
            {
                before[position] = if index == 0 { position } else { last.0 } as u32;
            }
            last = (position, suffix.before);
            visit(suffix);
        }
    }

    #[inline]
    fn suffix(&self, position: usize) -> Suffix {
        // A row starts behind a separator and its number; everywhere else the place before belongs to a symbol.
        let inside = position > 0 && self.starts.get(position - 1);
        if !inside {
            let row = self.row(position);
            if self.offsets[row] as usize == position {
                return Suffix {
                    before: 0,
                    starts_row: Some(row as u32),
                    sample: None,
                };
            }
        }
        let previous = if inside { position - 1 } else { position - 2 };
        let sample = self.sampled.get(position).then(|| self.row(position) as u32);
        Suffix {
            before: self.symbol(previous),
            starts_row: None,
            sample,
        }
    }

    /// Room for what [`Joined::walk`] tells [`Joined::counters`].
    pub fn before(&self) -> Vec<u32> {
        vec![REDUCIBLE; self.text.len()]
    }

    /// Places in the suffix array, and numbers: how often two neighbouring suffixes of one row part there.
    ///
    /// For a pattern of two or more bytes, occurrences less the numbers strictly inside its interval are its rows.
    pub fn counters(&self, array: &[i32], before: Vec<u32>) -> (Vec<u32>, Vec<u32>) {
        let common = self.common_prefixes(before);
        let rows = self.offsets.len() - 1;
        let mut last = vec![0u32; rows];
        let mut stack: Vec<Open> = Vec::new();
        let mut closed: Vec<(u32, u32)> = Vec::new();
        let close = |open: Open, closed: &mut Vec<(u32, u32)>| {
            // Places of one byte or none are asked from a table.
            if open.count > 0 && open.depth >= 2 {
                closed.push((open.place, open.count));
            }
        };
        let mut place = rows as u32;
        let mut gathered: Vec<(u32, u32)> = Vec::with_capacity(GATHER);
        for positions in array.get(rows..).unwrap_or_default().chunks(GATHER) {
            // Looked up ahead, so that the memory's delays overlap.
            gathered.clear();
            gathered.extend(
                positions
                    .iter()
                    .map(|&p| (common[p as usize], self.row(p as usize) as u32)),
            );
            for &(depth, row) in &gathered {
                while stack.last().is_some_and(|open| open.depth > depth) {
                    if let Some(open) = stack.pop() {
                        close(open, &mut closed);
                    }
                }
                match stack.last_mut() {
                    Some(open) if open.depth == depth => open.last_place = place,
                    _ => stack.push(Open {
                        depth,
                        place,
                        last_place: place,
                        count: 0,
                    }),
                }
                let before = std::mem::replace(&mut last[row as usize], place);
                if before > 0 {
                    let open = stack.partition_point(|open| open.last_place <= before);
                    stack[open].count += 1;
                }
                place += 1;
            }
        }
        while let Some(open) = stack.pop() {
            close(open, &mut closed);
        }
        closed.sort_unstable();
        closed.into_iter().unzip()
    }

    /// For each position, how many places its suffix shares with the suffix before it in the array.
    fn common_prefixes(&self, mut common: Vec<u32>) -> Vec<u32> {
        for row in self.offsets.windows(2) {
            let mut shared = 0usize;
            let mut previous = row[0] as usize;
            for position in (row[0] as usize..row[1] as usize).filter(|&position| self.starts.get(position)) {
                shared = shared.saturating_sub(position - previous);
                previous = position;
                let other = common[position];
                if other as usize == position {
                    shared = 0;
                } else if other != REDUCIBLE {
                    shared += agreement(
                        &self.text[position + shared..],
                        &self.text[other as usize + shared..],
                    );
                }
                common[position] = shared as u32;
            }
        }
        common
    }
}

/// Stands for "shares one place less than the position before".
const REDUCIBLE: u32 = u32::MAX;
/// Suffixes looked up together.
const GATHER: usize = 128;

/// Number of equal bytes at the front.
fn agreement(a: &[u8], b: &[u8]) -> usize {
    let words = a
        .chunks_exact(8)
        .zip(b.chunks_exact(8))
        .take_while(|(x, y)| x == y)
        .count();
    let at = words * 8;
    at + a[at..].iter().zip(&b[at..]).take_while(|(x, y)| x == y).count()
}

/// An inner node of the suffix tree whose interval is still open.
#[derive(Debug)]
struct Open {
    depth: u32,
    place: u32,
    last_place: u32,
    count: u32,
}

/// What [`Joined::walk`] tells of a suffix.
#[derive(Debug, Clone, Copy)]
pub struct Suffix {
    /// Symbol before it.
    pub before: usize,
    /// Row that it is the whole of.
    pub starts_row: Option<u32>,
    /// Row number to be kept for it.
    pub sample: Option<u32>,
}

fn number_bytes(rows: usize) -> usize {
    (1..4).find(|bytes| rows <= 1 << (8 * bytes)).unwrap_or(4)
}

/// Bytes of [`Joined::counters`] in a block of `symbols`.
pub fn encode_counters(places: &[u32], numbers: &[u32], symbols: u64) -> Vec<u8> {
    let mut out = sparse::encode(places, symbols);
    out.extend_from_slice(&sparse::encode_sums(numbers));
    out
}
