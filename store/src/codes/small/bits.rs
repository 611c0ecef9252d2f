//! Single bits, from the lowest bit of the first byte on: how chunk headers and blocks are written.

/// Ones after which a Rice code gives its number plainly.
const RICE_ONES: u32 = 31;

/// Appends fields of bits, and writes fields anywhere in zeros.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    words: Vec<u64>,
    len: u64,
}

impl BitWriter {
    /// Bits written.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Appends `bits` zeros, to be written over with [`BitWriter::put_at`].
    pub(super) fn reserve(&mut self, bits: u64) {
        self.len += bits;
        let words = usize::try_from(self.len / 64 + 2).unwrap_or(usize::MAX);
        self.words.resize(words, 0);
    }

    /// Writes the low `bits` (at most 64) of `value`, the others being zero, over zeros at `at`.
    #[inline]
    pub(super) fn put_at(&mut self, at: u64, value: u64, bits: u32) {
        debug_assert!(bits == 64 || value >> bits == 0, "{value} in {bits} bits");
        let (word, shift) = ((at / 64) as usize, at % 64);
        if let Some(place) = self.words.get_mut(word) {
            *place |= value << shift;
        }
        if let Some(place) = self.words.get_mut(word + 1) {
            *place |= value >> 1 >> (63 - shift);
        }
    }

    /// Appends the low `bits` (at most 64) of `value`, the others being zero.
    pub(super) fn put(&mut self, value: u64, bits: u32) {
        let at = self.len;
        self.reserve(u64::from(bits));
        self.put_at(at, value, bits);
    }

    /// Appends a number of any size: 7 bits for its length, then its bits.
    pub(super) fn number(&mut self, value: u64) {
        let bits = 64 - value.leading_zeros();
        self.put(u64::from(bits), 7);
        self.put(value, bits);
    }

    /// Appends a number as Rice code with parameter `k`.
    pub(super) fn rice(&mut self, value: u64, k: u32) {
        let high = value >> k;
        if high < u64::from(RICE_ONES) {
            self.put((1 << high) - 1, high as u32 + 1);
            self.put(value & !(u64::MAX << k), k);
        } else {
            self.put((1 << RICE_ONES) - 1, RICE_ONES);
            self.put(value, 64);
        }
    }

    /// The bytes, the last one filled with zeros.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        let size = usize::try_from(self.len.div_ceil(8)).unwrap_or(usize::MAX);
        let mut bytes: Vec<u8> = self.words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.resize(size, 0);
        bytes
    }
}

/// Bits of the Rice code of `value` with parameter `k`.
pub(super) fn rice_bits(value: u64, k: u32) -> u64 {
    let high = value >> k;
    if high < u64::from(RICE_ONES) {
        high + 1 + u64::from(k)
    } else {
        u64::from(RICE_ONES) + 64
    }
}

/// The parameter with the fewest bits for `values`.
pub(super) fn best_rice(values: &[u64]) -> u32 {
    let bits = |k: u32| values.iter().map(|&value| rice_bits(value, k)).sum::<u64>();
    (0..63).min_by_key(|&k| bits(k)).unwrap_or(0)
}

/// Reads what [`BitWriter`] wrote; `None` past the end.
#[derive(Debug)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    at: u64,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        BitReader { bytes, at: 0 }
    }

    /// Bits read.
    pub(super) fn position(&self) -> u64 {
        self.at
    }

    /// The next `bits`, at most 64.
    pub(super) fn take(&mut self, bits: u32) -> Option<u64> {
        let end = self.at.checked_add(u64::from(bits))?;
        if end > self.bytes.len() as u64 * 8 {
            return None;
        }
        if bits == 0 {
            return Some(0);
        }
        let window = window(self.bytes, self.at as usize);
        self.at = end;
        Some(window & u64::MAX >> (64 - bits))
    }

    /// What [`BitWriter::number`] wrote.
    pub(super) fn number(&mut self) -> Option<u64> {
        let bits = self.take(7)? as u32;
        if bits > 64 { None } else { self.take(bits) }
    }

    /// What [`BitWriter::rice`] wrote.
    pub(super) fn rice(&mut self, k: u32) -> Option<u64> {
        let ones = window(self.bytes, self.at as usize).trailing_ones();
        if ones >= RICE_ONES {
            self.take(RICE_ONES)?;
            return self.take(64);
        }
        self.take(ones + 1)?;
        let low = self.take(k)?;
        Some(u64::from(ones) << k | low)
    }
}

/// 8 bytes at `at`, zeros where there are none.
#[inline(always)]
pub(super) fn load(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        Some(found) => u64::from_le_bytes(*found),
        None => load_end(bytes, at),
    }
}

#[cold]
fn load_end(bytes: &[u8], at: usize) -> u64 {
    let mut out = [0; 8];
    for (place, &byte) in out.iter_mut().zip(bytes.get(at..).unwrap_or_default()) {
        *place = byte;
    }
    u64::from_le_bytes(out)
}

/// The 64 bits from bit `at` on, zeros where there are none.
#[inline(always)]
pub(super) fn window(bytes: &[u8], at: usize) -> u64 {
    let (byte, shift) = (at / 8, at % 8);
    let next = match bytes.get(byte.wrapping_add(8)) {
        Some(&next) => u64::from(next),
        None => 0,
    };
    load(bytes, byte) >> shift | next << 1 << (63 - shift)
}

/// Differences of either sign as small numbers.
pub(super) fn zigzag(value: u64) -> u64 {
    value << 1 ^ ((value as i64) >> 63) as u64
}

/// The inverse of [`zigzag`].
pub(super) fn unzigzag(value: u64) -> u64 {
    value >> 1 ^ (value & 1).wrapping_neg()
}
