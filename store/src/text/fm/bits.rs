//! Adaptive bit vector of a wavelet tree: long equal stretches cost nothing but a directory entry.
//!
//! Good at the bits of a Burrows-Wheeler transform, which are long runs with noise between. Rank and access read one
//! directory entry, one sub-entry and at most one 512-bit block.
//!
//! ```text
//! directory   one entry per 16,384 bits, and one that ends it: u32 ones before, u32 offset of its data
//! data        only where the stretch is not all zeros or all ones:
//!   4 x u32   per 4,096 bits: ones before (14 bits), offset (12 bits), kind (2 bits: zeros, ones, mixed)
//!   mixed     8 x u16 per 512 bits: ones (10 bits), bytes (6 bits); then the blocks
//! block       constant (0 bytes), raw (64 bytes, length 63), else the first bit and Elias-gamma run lengths, the last
//!             run left out; runs of 48 bytes or more are stored raw
//! ```
//!
//! Rank costs two to four dependent reads, and on average half of the runs of one block, several at a time.

use super::packed::{BitWriter, load};

/// Bits under one directory entry.
const SUPER: u64 = 1 << 14;
/// Bits under one sub-entry.
const SUB: u64 = 1 << 12;
/// Bits of one block.
const BLOCK: u64 = 1 << 9;
/// Bytes from which a block of runs is stored raw: a quarter more bytes, and no runs to walk through where they are
/// the most. Measured on logs, it adds a twentieth to the tree.
const MAX_RUN_BYTES: usize = 48;
/// Length code of a raw block.
const RAW: u64 = 63;

/// Directory and data of a bit vector of `len` bits (the words' bits past `len` are zero).
pub fn encode(words: &[u64], len: u64) -> (Vec<u8>, Vec<u8>) {
    let supers = len.div_ceil(SUPER);
    let mut directory = Vec::with_capacity((supers as usize + 1) * 8);
    let mut data = Vec::new();
    let mut ones = 0u64;
    for index in 0..supers {
        let first = (index * SUPER / 64) as usize;
        let last = words.len().min(first + (SUPER / 64) as usize);
        let stretch = words.get(first..last).unwrap_or_default();
        entry(&mut directory, ones, data.len());
        let count = count_ones(stretch);
        if count != 0 && count != SUPER {
            encode_super(stretch, &mut data);
        }
        ones += count;
    }
    entry(&mut directory, ones, data.len());
    data.resize(data.len() + 8, 0);
    (directory, data)
}

fn entry(directory: &mut Vec<u8>, ones: u64, offset: usize) {
    debug_assert!(
        u32::try_from(ones).is_ok() && u32::try_from(offset).is_ok(),
        "a block has fewer than 2^32 bits"
    );
    directory.extend_from_slice(&(ones as u32).to_le_bytes());
    directory.extend_from_slice(&(offset as u32).to_le_bytes());
}

fn count_ones(words: &[u64]) -> u64 {
    words.iter().map(|w| u64::from(w.count_ones())).sum()
}

fn encode_super(words: &[u64], data: &mut Vec<u8>) {
    let start = data.len();
    data.resize(start + 16, 0);
    let mut ones = 0;
    for sub in 0..(SUPER / SUB) as usize {
        let mut stretch = [0u64; (SUB / 64) as usize];
        for (to, from) in stretch.iter_mut().zip(words.iter().skip(sub * stretch_words())) {
            *to = *from;
        }
        let count = count_ones(&stretch);
        let kind = if count == 0 {
            0
        } else if count == SUB {
            1
        } else {
            2
        };
        let head = ones as u32 | ((data.len() - start) as u32) << 14 | kind << 26;
        data[start + sub * 4..start + sub * 4 + 4].copy_from_slice(&head.to_le_bytes());
        if kind == 2 {
            encode_sub(&stretch, data);
        }
        ones += count;
    }
}

const fn stretch_words() -> usize {
    (SUB / 64) as usize
}

fn encode_sub(words: &[u64; (SUB / 64) as usize], data: &mut Vec<u8>) {
    let heads = data.len();
    data.resize(heads + 16, 0);
    for (index, block) in words.chunks_exact((BLOCK / 64) as usize).enumerate() {
        let count = count_ones(block);
        let length = if count == 0 || count == BLOCK {
            0
        } else {
            let runs = encode_runs(block);
            if runs.len() >= MAX_RUN_BYTES {
                for word in block {
                    data.extend_from_slice(&word.to_le_bytes());
                }
                RAW
            } else {
                data.extend_from_slice(&runs);
                runs.len() as u64
            }
        };
        let head = (count | length << 10) as u16;
        data[heads + index * 2..heads + index * 2 + 2].copy_from_slice(&head.to_le_bytes());
    }
}

/// First bit, and gamma codes of all runs but the last; a block that is not constant has at least two.
fn encode_runs(block: &[u64]) -> Vec<u8> {
    let bit = |i: u64| block[(i / 64) as usize] >> (i % 64) & 1;
    let mut out = BitWriter::default();
    out.push(bit(0), 1);
    let mut start = 0;
    for i in 1..BLOCK {
        if bit(i) != bit(i - 1) {
            out.gamma(i - start);
            start = i;
        }
    }
    out.into_bytes()
}

/// Read side over borrowed bytes. `None` means that the bytes make no sense.
#[derive(Debug, Clone, Copy)]
pub struct Bits<'a> {
    /// Directory.
    pub directory: &'a [u8],
    /// Data.
    pub data: &'a [u8],
    /// Number of bits.
    pub len: u64,
}

/// Where a position lies.
#[derive(Debug)]
enum Place {
    /// In a stretch of equal bits: ones before the position, the bit, and where the stretch ends at the earliest.
    Equal(u64, bool, u64),
    /// In a raw block: ones before the block, start of its bytes.
    Raw(u64, usize),
    /// In a block of runs: ones before the block, start and number of its bytes.
    Runs(u64, usize, u64),
}

impl Bits<'_> {
    /// Bytes of the directory of a vector of `len` bits.
    pub fn directory_bytes(len: u64) -> u64 {
        (len.div_ceil(SUPER) + 1) * 8
    }

    /// Ones before `position`, and the bit there (false at the end).
    #[inline(always)]
    pub fn rank(&self, position: u64) -> Option<(u64, bool)> {
        match self.find(position)? {
            Place::Equal(ones, bit, _) => Some((ones, bit)),
            Place::Raw(ones, at) => {
                let (more, bit) = rank_raw(self.data.get(at..at + 64)?, position % BLOCK)?;
                Some((ones + more, bit))
            }
            Place::Runs(ones, at, bytes) => {
                let mut runs = Runs::new(self.data, at, bytes)?;
                let (more, bit) = runs.advance(position % BLOCK)?;
                Some((ones + more, bit))
            }
        }
    }

    /// Ones before `low` and before `high`, which is not below it; close positions share the work.
    #[inline(always)]
    pub fn rank_both(&self, low: u64, high: u64) -> Option<(u64, u64)> {
        let together = low / BLOCK == high / BLOCK;
        match self.find(low)? {
            Place::Equal(ones, bit, end) if high <= end => Some((ones, ones + u64::from(bit) * (high - low))),
            Place::Equal(ones, ..) => Some((ones, self.rank(high)?.0)),
            Place::Raw(ones, at) => {
                let block = self.data.get(at..at + 64)?;
                let first = ones + rank_raw(block, low % BLOCK)?.0;
                let last = if together {
                    ones + rank_raw(block, high % BLOCK)?.0
                } else {
                    self.rank(high)?.0
                };
                Some((first, last))
            }
            Place::Runs(ones, at, bytes) => {
                let mut runs = Runs::new(self.data, at, bytes)?;
                let first = ones + runs.advance(low % BLOCK)?.0;
                let last = if together {
                    ones + runs.advance(high % BLOCK)?.0
                } else {
                    self.rank(high)?.0
                };
                Some((first, last))
            }
        }
    }

    #[inline(always)]
    fn find(&self, position: u64) -> Option<Place> {
        let index = (position / SUPER) as usize * 8;
        if position >= self.len {
            let end = (self.len.div_ceil(SUPER) * 8) as usize;
            return Some(Place::Equal(load_u32(self.directory, end)?, false, u64::MAX));
        }
        let here = load(self.directory, index)?;
        let ones = here & 0xffff_ffff;
        let next = load_u32(self.directory, index + 8)?;
        let inside = position % SUPER;
        match next.wrapping_sub(ones) {
            0 => return Some(Place::Equal(ones, false, position - inside + SUPER)),
            SUPER => return Some(Place::Equal(ones + inside, true, position - inside + SUPER)),
            _ => {}
        }
        let start = (here >> 32) as usize;
        let head = load_u32(self.data, start + (inside / SUB) as usize * 4)?;
        let ones = ones + (head & 0x3fff);
        let inside = inside % SUB;
        match head >> 26 {
            0 => return Some(Place::Equal(ones, false, position - inside + SUB)),
            1 => return Some(Place::Equal(ones + inside, true, position - inside + SUB)),
            _ => {}
        }
        self.find_block(start + (head >> 14 & 0xfff) as usize, ones, position)
    }

    #[inline(always)]
    fn find_block(&self, heads: usize, ones: u64, position: u64) -> Option<Place> {
        const LANES: u64 = 0x0001_0001_0001_0001;
        let block = position % SUB / BLOCK;
        let (low, high) = (load(self.data, heads)?, load(self.data, heads + 8)?);
        // The heads before this block's, four to a word, and sums over their fields in all four lanes at once.
        let mask = !(u64::MAX << (block % 4 * 16));
        let (low_before, high_before) = if block < 4 {
            (low & mask, 0)
        } else {
            (low, high & mask)
        };
        let counts = (low_before & (LANES * 0x3ff)) + (high_before & (LANES * 0x3ff));
        let lengths = |heads: u64| {
            let lengths = heads >> 10 & (LANES * 0x3f);
            // A raw block's 63 stands for 64 bytes.
            lengths + ((lengths + LANES) >> 6 & LANES)
        };
        let ones = ones + (counts.wrapping_mul(LANES) >> 48);
        let bytes = (lengths(low_before) + lengths(high_before)).wrapping_mul(LANES) >> 48;
        let at = heads + 16 + bytes as usize;
        let head = (if block < 4 { low } else { high }) >> (block % 4 * 16);
        Some(match head >> 10 & 0x3f {
            0 => {
                let bit = head & 0x3ff != 0;
                let inside = position % BLOCK;
                Place::Equal(ones + u64::from(bit) * inside, bit, position - inside + BLOCK)
            }
            RAW => Place::Raw(ones, at),
            length => Place::Runs(ones, at, length),
        })
    }

    /// All bits as words, for readers that walk the whole vector.
    pub fn decode(&self) -> Option<Vec<u64>> {
        let mut words = vec![0u64; self.len.div_ceil(64) as usize];
        let mut position = 0;
        while position < self.len {
            let block = position % BLOCK;
            let end = match self.find(position)? {
                Place::Equal(_, bit, end) => {
                    let end = end.min(self.len);
                    if bit {
                        set_bits(&mut words, position, end);
                    }
                    end
                }
                Place::Raw(_, at) => {
                    let end = (position + BLOCK - block).min(self.len);
                    for (index, word) in (position / 64..end.div_ceil(64)).enumerate() {
                        *words.get_mut(word as usize)? = load(self.data, at + index * 8)?;
                    }
                    end
                }
                Place::Runs(_, at, bytes) => {
                    let end = (position + BLOCK - block).min(self.len);
                    let mut runs = Runs::new(self.data, at, bytes)?;
                    let mut start = position;
                    while start < end {
                        let bit = runs.bit == 1;
                        let length = runs.next_run()?.unwrap_or(BLOCK);
                        let stop = (start + length).min(end);
                        if bit {
                            set_bits(&mut words, start, stop);
                        }
                        start = stop;
                    }
                    end
                }
            };
            position = end;
        }
        Some(words)
    }
}

fn set_bits(words: &mut [u64], start: u64, end: u64) {
    let mut at = start;
    while at < end {
        let bits = (64 - at % 64).min(end - at);
        let ones = if bits == 64 { u64::MAX } else { !(u64::MAX << bits) };
        words[(at / 64) as usize] |= ones << (at % 64);
        at += bits;
    }
}

#[inline(always)]
fn rank_raw(block: &[u8], position: u64) -> Option<(u64, bool)> {
    let word = (position / 64) as usize;
    let mut ones = 0;
    for index in 0..word {
        ones += u64::from(load(block, index * 8)?.count_ones());
    }
    let last = load(block, word * 8)?;
    let below = last & !(u64::MAX << (position % 64));
    Some((
        ones + u64::from(below.count_ones()),
        last >> (position % 64) & 1 == 1,
    ))
}

/// Bits looked at together by [`Runs::advance`].
const STEP_BITS: u32 = 11;

/// For each [`STEP_BITS`] bits, the whole gamma codes in them: bits used, whether the runs are odd in number, places
/// covered by the first, third, ... and by the second, fourth, ... run.
static STEPS: [u32; 1 << STEP_BITS] = steps();

const fn steps() -> [u32; 1 << STEP_BITS] {
    let mut table = [0; 1 << STEP_BITS];
    let mut bits = 0;
    while bits < 1 << STEP_BITS {
        let (mut used, mut odd, mut covered) = (0u32, 0usize, [0u32; 2]);
        loop {
            let rest = (bits as u32) >> used;
            let zeros = rest.trailing_zeros();
            if rest == 0 || used + 2 * zeros + 1 > STEP_BITS {
                break;
            }
            covered[odd] += 1 << zeros | (rest >> (zeros + 1)) & !(u32::MAX << zeros);
            used += 2 * zeros + 1;
            odd ^= 1;
        }
        table[bits] = used | (odd as u32) << 7 | covered[0] << 8 | covered[1] << 16;
        bits += 1;
    }
    table
}

/// Reader of one block of runs.
#[derive(Debug)]
struct Runs<'a> {
    data: &'a [u8],
    /// Next bit in `data`, and the bit behind the last.
    cursor: u64,
    end: u64,
    covered: u64,
    ones: u64,
    bit: u64,
}

impl<'a> Runs<'a> {
    #[inline(always)]
    fn new(data: &'a [u8], at: usize, bytes: u64) -> Option<Self> {
        let cursor = at as u64 * 8;
        let bit = u64::from(*data.get(at)? & 1);
        Some(Runs {
            data,
            cursor: cursor + 1,
            end: cursor + bytes * 8,
            covered: 0,
            ones: 0,
            bit,
        })
    }

    /// At least 56 bits from the cursor on, zeros behind the end.
    #[inline(always)]
    fn window(&self) -> Option<u64> {
        let left = self.end.checked_sub(self.cursor)?;
        let window = load(self.data, (self.cursor / 8) as usize)? >> (self.cursor % 8);
        Some(if left < 64 {
            window & !(u64::MAX << left)
        } else {
            window
        })
    }

    /// Length of the next run; `None` inside for the last one, which is not written.
    #[inline]
    fn next_run(&mut self) -> Option<Option<u64>> {
        let window = self.window()?;
        let zeros = u64::from(window.trailing_zeros());
        if zeros > 9 {
            return Some(None);
        }
        self.cursor += 2 * zeros + 1;
        self.bit ^= 1;
        Some(Some(1 << zeros | (window >> (zeros + 1)) & !(u64::MAX << zeros)))
    }

    /// Ones before `position`, and the bit there. Positions may not go back.
    #[inline(always)]
    fn advance(&mut self, position: u64) -> Option<(u64, bool)> {
        loop {
            let mut window = self.window()?;
            // Four steps fit into what one load gives for certain.
            for _ in 0..4 {
                let step = u64::from(STEPS[(window & ((1 << STEP_BITS) - 1)) as usize]);
                let (first, second) = (step >> 8 & 0xff, step >> 16);
                if step & 0x7f == 0 || self.covered + first + second > position {
                    return self.finish(position);
                }
                self.covered += first + second;
                self.ones += if self.bit == 1 { first } else { second };
                self.bit ^= step >> 7 & 1;
                self.cursor += step & 0x7f;
                window >>= step & 0x7f;
            }
        }
    }

    /// Run by run, for the last few.
    #[inline(always)]
    fn finish(&mut self, position: u64) -> Option<(u64, bool)> {
        let mut window = self.window()?;
        // A load gives 56 bits, a code takes 19 at most.
        let mut usable = 37i32;
        loop {
            let zeros = u64::from(window.trailing_zeros());
            let run = 1 << (zeros & 63) | (window >> ((zeros + 1) & 63)) & !(u64::MAX << (zeros & 63));
            // Only padding left means the last run, which is not written.
            if zeros > 9 || self.covered + run > position {
                break;
            }
            let used = 2 * zeros + 1;
            self.covered += run;
            self.ones += self.bit * run;
            self.bit ^= 1;
            self.cursor += used;
            window >>= used;
            usable -= used as i32;
            if usable < 0 {
                window = self.window()?;
                usable = 37;
            }
        }
        Some((
            self.ones + self.bit * position.checked_sub(self.covered)?,
            self.bit == 1,
        ))
    }
}

#[inline(always)]
fn load_u32(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from(u32::from_le_bytes(
        bytes.get(at..at.checked_add(4)?)?.try_into().ok()?,
    )))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    fn check(bits: &[bool]) {
        let mut words = vec![0u64; bits.len().div_ceil(64)];
        for (i, &bit) in bits.iter().enumerate() {
            words[i / 64] |= u64::from(bit) << (i % 64);
        }
        let len = bits.len() as u64;
        let (directory, data) = encode(&words, len);
        let vector = Bits {
            directory: &directory,
            data: &data,
            len,
        };
        assert_eq!(directory.len() as u64, Bits::directory_bytes(len));
        let mut ones = 0;
        let mut befores = Vec::new();
        for (i, &bit) in bits.iter().enumerate() {
            assert_eq!(vector.rank(i as u64), Some((ones, bit)), "at {i} of {len}");
            befores.push(ones);
            ones += u64::from(bit);
        }
        assert_eq!(vector.rank(len), Some((ones, false)));
        assert_eq!(vector.decode(), Some(words));
        befores.push(ones);
        for (low, step) in (0..bits.len())
            .step_by(3)
            .zip([0, 1, 30, 400, 700, 5_000].into_iter().cycle())
        {
            let high = (low + step).min(bits.len());
            assert_eq!(
                vector.rank_both(low as u64, high as u64),
                Some((befores[low], befores[high])),
                "{low} {high}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn rank_equals_counting(runs in proptest::collection::vec((any::<bool>(), prop_oneof![1usize..4, 1usize..80, 400usize..9000]), 0..60)) {
            let bits: Vec<bool> = runs.iter().flat_map(|&(bit, n)| std::iter::repeat_n(bit, n)).collect();
            check(&bits);
        }
    }

    #[test]
    fn whole_stretches_and_noise() {
        check(&[]);
        check(&vec![true; 16_384]);
        check(&vec![false; 32_769]);
        check(
            &(0..20_000u64)
                .map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 63 == 1)
                .collect::<Vec<_>>(),
        );
        check(&(0..40_000).map(|i| i > 30_000).collect::<Vec<_>>());
    }
}
