//! Adaptive bit vector of a wavelet tree: long equal stretches cost nothing but a directory entry.
//!
//! Good at the bits of a Burrows-Wheeler transform, which are long runs with noise between. Rank and access read one
//! directory entry, one sub-entry and at most one 512-bit block.
//!
//! ```text
//! directory   one entry per 16,384 bits, and one that ends it: u32 ones before, u32 offset of its data
//! data        only where the stretch is not all zeros or all ones:
//!   4 x u32   per 4,096 bits: ones before (14 bits), offset (12 bits), kind (2 bits: zeros, ones, mixed)
//!   mixed     8 x u16 per 512 bits: ones (9 bits), bytes (6 bits), first bit (1 bit); then the blocks
//! block       constant (0 bytes), raw (64 bytes, length 63), else Elias-gamma run lengths, last run left out
//! ```
//!
//! Rank costs two to four dependent reads, and on average half of the runs of one block.

use super::packed::{BitWriter, load};

/// Bits under one directory entry.
const SUPER: u64 = 1 << 14;
/// Bits under one sub-entry.
const SUB: u64 = 1 << 12;
/// Bits of one block.
const BLOCK: u64 = 1 << 9;
/// Length code of a raw block.
const RAW: u16 = 63;

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
        let head = if count == 0 {
            0
        } else if count == BLOCK {
            1
        } else {
            let first = (block[0] & 1) as u16;
            let runs = encode_runs(block);
            let length = if runs.len() >= RAW as usize {
                for word in block {
                    data.extend_from_slice(&word.to_le_bytes());
                }
                RAW
            } else {
                data.extend_from_slice(&runs);
                runs.len() as u16
            };
            count as u16 | length << 9 | first << 15
        };
        data[heads + index * 2..heads + index * 2 + 2].copy_from_slice(&head.to_le_bytes());
    }
}

/// Gamma codes of all runs but the last; a block that is not constant has at least two.
fn encode_runs(block: &[u64]) -> Vec<u8> {
    let bit = |i: u64| block[(i / 64) as usize] >> (i % 64) & 1;
    let mut out = BitWriter::default();
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

impl Bits<'_> {
    /// Bytes of the directory of a vector of `len` bits.
    pub fn directory_bytes(len: u64) -> u64 {
        (len.div_ceil(SUPER) + 1) * 8
    }

    /// Ones before `position`, and the bit there (false at the end).
    #[inline]
    pub fn rank(&self, position: u64) -> Option<(u64, bool)> {
        let index = (position / SUPER) as usize * 8;
        let here = load(self.directory, index)?;
        let ones = here & 0xffff_ffff;
        if position >= self.len {
            return Some((
                load_u32(self.directory, (self.len.div_ceil(SUPER) * 8) as usize)?,
                false,
            ));
        }
        let next = load_u32(self.directory, index + 8)?;
        let inside = position % SUPER;
        match next.wrapping_sub(ones) {
            0 => return Some((ones, false)),
            SUPER => return Some((ones + inside, true)),
            _ => {}
        }
        let start = (here >> 32) as usize;
        let head = load_u32(self.data, start + (inside / SUB) as usize * 4)?;
        let ones = ones + (head & 0x3fff);
        let inside = inside % SUB;
        match head >> 26 {
            0 => return Some((ones, false)),
            1 => return Some((ones + inside, true)),
            _ => {}
        }
        let heads = start + (head >> 14 & 0xfff) as usize;
        let (more, bit) = self.rank_mixed(heads, inside)?;
        Some((ones + more, bit))
    }

    #[inline]
    fn rank_mixed(&self, heads: usize, inside: u64) -> Option<(u64, bool)> {
        let heads_bytes: &[u8; 16] = self.data.get(heads..heads + 16)?.try_into().ok()?;
        let block = (inside / BLOCK) as usize;
        let mut all = u128::from_le_bytes(*heads_bytes);
        let (mut ones, mut at) = (0u64, heads + 16);
        for _ in 0..block {
            let head = all as u16;
            all >>= 16;
            let (count, length) = (u64::from(head & 0x1ff), head >> 9 & 0x3f);
            if length == 0 {
                ones += count * BLOCK;
            } else {
                ones += count;
                at += (length + u16::from(length == RAW)) as usize;
            }
        }
        let head = all as u16;
        let position = inside % BLOCK;
        let (more, bit) = match head >> 9 & 0x3f {
            0 => ((u64::from(head) & 1) * position, head & 1 == 1),
            RAW => {
                let bytes = self.data.get(at..at + 64)?;
                let mut more = 0;
                let word = (position / 64) as usize;
                for w in 0..word {
                    more += u64::from(load(bytes, w * 8)?.count_ones());
                }
                let last = load(bytes, word * 8)?;
                let below = last & !(u64::MAX << (position % 64));
                (
                    more + u64::from(below.count_ones()),
                    last >> (position % 64) & 1 == 1,
                )
            }
            length => self.rank_runs(at, u64::from(length) * 8, head >> 15 == 1, position)?,
        };
        Some((ones + more, bit))
    }

    #[inline]
    fn rank_runs(&self, at: usize, bits: u64, first: bool, position: u64) -> Option<(u64, bool)> {
        let (mut cursor, mut covered, mut ones, mut bit) = (0u64, 0u64, 0u64, u64::from(first));
        loop {
            let left = bits - cursor;
            let mut window = load(self.data, at + (cursor / 8) as usize)? >> (cursor % 8);
            if left < 64 {
                window &= !(u64::MAX << left);
            }
            let zeros = u64::from(window.trailing_zeros());
            if zeros > 9 {
                // Only padding is left: the last run, which is not written.
                return Some((ones + bit * (position - covered), bit == 1));
            }
            let run = 1 << zeros | (window >> (zeros + 1)) & !(u64::MAX << zeros);
            if covered + run > position {
                return Some((ones + bit * (position - covered), bit == 1));
            }
            covered += run;
            ones += bit * run;
            bit ^= 1;
            cursor += 2 * zeros + 1;
            if cursor > bits {
                return None;
            }
        }
    }

    /// All bits as words, for readers that walk the whole vector.
    pub fn decode(&self) -> Option<Vec<u64>> {
        let mut words = vec![0u64; self.len.div_ceil(64) as usize];
        let mut position = 0;
        while position < self.len {
            // Block by block through rank would decode runs again and again; a mixed block is read bit by bit instead.
            let end = (position + BLOCK).min(self.len);
            let (low, first) = self.rank(position)?;
            let ones = self.rank(end)?.0.checked_sub(low)?;
            if ones == end - position {
                (position..end).for_each(|i| words[(i / 64) as usize] |= 1 << (i % 64));
            } else if ones != 0 {
                self.decode_block(position, end, first, &mut words)?;
            }
            position = end;
        }
        Some(words)
    }

    fn decode_block(&self, start: u64, end: u64, _first: bool, words: &mut [u64]) -> Option<()> {
        for i in start..end {
            if self.rank(i)?.1 {
                words[(i / 64) as usize] |= 1 << (i % 64);
            }
        }
        Some(())
    }
}

#[inline]
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
        for (i, &bit) in bits.iter().enumerate() {
            assert_eq!(vector.rank(i as u64), Some((ones, bit)), "at {i} of {len}");
            ones += u64::from(bit);
        }
        assert_eq!(vector.rank(len), Some((ones, false)));
        assert_eq!(vector.decode(), Some(words));
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
