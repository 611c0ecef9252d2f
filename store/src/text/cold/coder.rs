//! Range coder for symbols of known odds: nothing is learnt on the way, so a stream can start anywhere.
//!
//! A symbol is a stretch of [`TOTAL`]. After Martin, "Range encoding" (1979), with carries into bytes already written
//! as in LZMA.

/// Bits of the sum of a model's odds.
pub const TOTAL_BITS: u32 = 15;
/// Sum of a model's odds.
pub const TOTAL: u32 = 1 << TOTAL_BITS;
const LOWEST_RANGE: u32 = 1 << 24;
/// Zeros that the reader sees behind the end; as many bytes at most are left out by the writer.
const PAST_END: usize = 4;

/// Writes symbols.
#[derive(Debug)]
pub struct Encoder {
    low: u64,
    range: u32,
    /// The last byte that is not 255, and how many follow it that a carry would reach.
    cache: Option<u8>,
    pending: usize,
    out: Vec<u8>,
}

impl Encoder {
    /// An empty stream.
    pub fn new() -> Self {
        Encoder {
            low: 0,
            range: u32::MAX,
            cache: None,
            pending: 0,
            out: Vec::new(),
        }
    }

    fn shift(&mut self) {
        let top = (self.low >> 24) as u8;
        if self.low < 0xff00_0000 || self.low > 0xffff_ffff {
            let carry = (self.low >> 32) as u8;
            if let Some(cache) = self.cache {
                self.out.push(cache.wrapping_add(carry));
            }
            let filled = self.out.len() + self.pending;
            self.out.resize(filled, 0xff_u8.wrapping_add(carry));
            self.pending = 0;
            self.cache = Some(top);
        } else {
            self.pending += 1;
        }
        self.low = (self.low & 0x00ff_ffff) << 8;
    }

    fn narrow(&mut self, start: u32, count: u32, bits: u32) {
        self.range >>= bits;
        self.low += u64::from(start) * u64::from(self.range);
        self.range *= count;
        while self.range < LOWEST_RANGE {
            self.range <<= 8;
            self.shift();
        }
    }

    /// Writes the symbol that takes `count` places from `start` on.
    pub fn put(&mut self, start: u32, count: u32) {
        debug_assert!(count > 0 && start + count <= TOTAL);
        self.narrow(start, count, TOTAL_BITS);
    }

    /// Writes the low `width` (at most 64) bits of `value`.
    pub fn bits(&mut self, value: u64, width: u32) {
        let mut left = width;
        while left > 0 {
            let step = left.min(16);
            left -= step;
            self.narrow((value >> left) as u32 & 0xffff >> (16 - step), 1, step);
        }
    }

    /// The bytes; the fewest that tell the last symbols.
    pub fn finish(mut self) -> Vec<u8> {
        let last = self.low + u64::from(self.range) - 1;
        for free in [32, 24, 16, 8, 0] {
            let end = (last >> free) << free;
            if end >= self.low {
                self.low = end;
                break;
            }
        }
        for _ in 0..5 {
            self.shift();
        }
        for _ in 0..PAST_END {
            if self.out.last() == Some(&0) {
                self.out.pop();
            }
        }
        self.out
    }

    /// [`Encoder::finish`], but at least one byte, so that starts of streams increase.
    pub fn finish_some(self) -> Vec<u8> {
        let mut out = self.finish();
        if out.is_empty() {
            out.push(0);
        }
        out
    }
}

/// Reads symbols; past the end of its bytes it reads zeros, so that damage ends in wrong values, never in a panic.
#[derive(Debug)]
pub struct Decoder<'a> {
    code: u32,
    range: u32,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Decoder<'a> {
    /// A stream that [`Encoder::finish`] gave.
    pub fn new(bytes: &'a [u8]) -> Self {
        let mut decoder = Decoder {
            code: 0,
            range: u32::MAX,
            bytes,
            at: 0,
        };
        for _ in 0..4 {
            decoder.code = decoder.code << 8 | decoder.next();
        }
        decoder
    }

    #[inline]
    fn next(&mut self) -> u32 {
        let byte = self.bytes.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        u32::from(byte)
    }

    /// A place in the next symbol's stretch; [`Decoder::take`] has to follow.
    #[inline]
    pub fn place(&mut self) -> u32 {
        self.range >>= TOTAL_BITS;
        (self.code / self.range).min(TOTAL - 1)
    }

    /// Goes on behind the symbol that takes `count` places from `start` on.
    #[inline]
    pub fn take(&mut self, start: u32, count: u32) {
        self.code = self.code.wrapping_sub(start.wrapping_mul(self.range));
        self.range = self.range.wrapping_mul(count).max(1);
        while self.range < LOWEST_RANGE {
            self.range <<= 8;
            self.code = self.code << 8 | self.next();
        }
    }

    /// Reads `width` (at most 64) bits.
    #[inline]
    pub fn bits(&mut self, width: u32) -> u64 {
        let mut value = 0;
        let mut left = width.min(64);
        while left > 0 {
            let step = left.min(16);
            left -= step;
            self.range >>= step;
            let found = (self.code / self.range).min(0xffff >> (16 - step));
            self.take(found, 1);
            value = value << step | u64::from(found);
        }
        value
    }

    /// Whether more was read than there is, which no sound stream does.
    #[inline]
    pub fn overrun(&self) -> bool {
        self.at > self.bytes.len() + 2 * PAST_END
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn symbols_come_back(symbols in proptest::collection::vec((0u32..TOTAL - 1, any::<u64>(), 0u32..65), 0..200)) {
            let mut out = Encoder::new();
            for &(start, value, width) in &symbols {
                out.put(start, TOTAL - 1 - start);
                out.bits(value, width);
            }
            let bytes = out.finish();
            let mut back = Decoder::new(&bytes);
            for &(start, value, width) in &symbols {
                let place = back.place();
                prop_assert!(place >= start);
                back.take(start, TOTAL - 1 - start);
                let wanted = if width == 0 { 0 } else { value & u64::MAX >> (64 - width) };
                prop_assert_eq!(back.bits(width), wanted);
            }
            prop_assert!(!back.overrun());
        }

        #[test]
        fn one_symbol_takes_no_more_than_it_says(start in 0u32..TOTAL) {
            let mut out = Encoder::new();
            out.put(start, 1);
            prop_assert!(out.finish().len() <= 3);
        }
    }
}
