//! Adaptive binary range coder, and models of bits, symbols and numbers on it.
//!
//! For the parts that are read once, when an index is first asked: templates and the directory of columns. A decision
//! costs what its odds so far say, so fields that are mostly the same cost a fraction of a bit.
//!
//! After Martin, "Range encoding" (1979), in the carry-less binary form that LZMA made common.

/// Odds of a zero, of 4096.
pub type Odds = u16;
/// Even odds.
pub const EVEN: Odds = 1 << 11;
const SCALE_BITS: u32 = 12;
/// How slowly odds follow.
const RATE: u32 = 4;
const LOWEST_RANGE: u32 = 1 << 24;

/// Writes decisions.
#[derive(Debug)]
pub struct Encoder {
    low: u64,
    range: u32,
    cache: u8,
    pending: u64,
    out: Vec<u8>,
}

impl Encoder {
    /// An empty stream.
    pub fn new() -> Self {
        Encoder {
            low: 0,
            range: u32::MAX,
            cache: 0,
            pending: 1,
            out: Vec::new(),
        }
    }

    fn shift(&mut self) {
        if self.low < 0xff00_0000 || self.low > 0xffff_ffff {
            let carry = (self.low >> 32) as u8;
            let mut byte = self.cache;
            while self.pending > 0 {
                self.out.push(byte.wrapping_add(carry));
                byte = 0xff;
                self.pending -= 1;
            }
            self.cache = (self.low >> 24) as u8;
        }
        self.pending += 1;
        self.low = (self.low & 0x00ff_ffff) << 8;
    }

    /// Writes one bit, and lets the odds follow.
    pub fn bit(&mut self, odds: &mut Odds, bit: bool) {
        let bound = (self.range >> SCALE_BITS) * u32::from(*odds);
        if bit {
            self.low += u64::from(bound);
            self.range -= bound;
            *odds -= *odds >> RATE;
        } else {
            self.range = bound;
            *odds += ((1 << SCALE_BITS) - *odds) >> RATE;
        }
        while self.range < LOWEST_RANGE {
            self.range <<= 8;
            self.shift();
        }
    }

    /// Writes the low `count` bits of `value` at even odds, highest first.
    pub fn plain(&mut self, value: u64, count: u32) {
        for index in (0..count).rev() {
            let mut even = EVEN;
            self.bit(&mut even, value >> index & 1 == 1);
        }
    }

    /// The bytes.
    pub fn finish(mut self) -> Vec<u8> {
        for _ in 0..5 {
            self.shift();
        }
        // The first byte is always zero.
        self.out.remove(0);
        // The reader sees zeros behind the end; no more of them are left out than it may see.
        for _ in 0..4 {
            if self.out.last() == Some(&0) {
                self.out.pop();
            }
        }
        self.out
    }
}

/// Reads decisions; past the end of its bytes it reads zeros, so that damage ends in wrong values, never in a panic.
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

    fn next(&mut self) -> u32 {
        let byte = self.bytes.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        u32::from(byte)
    }

    /// Reads one bit, and lets the odds follow.
    #[inline]
    pub fn bit(&mut self, odds: &mut Odds) -> bool {
        let bound = (self.range >> SCALE_BITS) * u32::from(*odds);
        let bit = self.code >= bound;
        if bit {
            self.code -= bound;
            self.range -= bound;
            *odds -= *odds >> RATE;
        } else {
            self.range = bound;
            *odds += ((1 << SCALE_BITS) - *odds) >> RATE;
        }
        while self.range < LOWEST_RANGE {
            self.range <<= 8;
            self.code = self.code << 8 | self.next();
        }
        bit
    }

    /// Reads `count` bits at even odds.
    pub fn plain(&mut self, count: u32) -> u64 {
        (0..count).fold(0, |value, _| {
            let mut even = EVEN;
            value << 1 | u64::from(self.bit(&mut even))
        })
    }

    /// Whether more was read than there is, which no sound stream does.
    pub fn overrun(&self) -> bool {
        self.at > self.bytes.len() + 8
    }
}

/// A model of symbols of a few bits.
#[derive(Debug, Clone)]
pub struct Symbols {
    bits: u32,
    odds: Vec<Odds>,
}

impl Symbols {
    /// Symbols of `bits` bits, in each of `contexts` contexts.
    pub fn new(bits: u32, contexts: usize) -> Self {
        Symbols {
            bits,
            odds: vec![EVEN; contexts << bits],
        }
    }

    /// Writes a symbol.
    pub fn write(&mut self, coder: &mut Encoder, context: usize, symbol: usize) {
        let base = context << self.bits;
        let mut node = 1;
        for index in (0..self.bits).rev() {
            let bit = symbol >> index & 1;
            coder.bit(&mut self.odds[base + node], bit == 1);
            node = node << 1 | bit;
        }
    }

    /// Reads a symbol; contexts that were not made give 0.
    #[inline]
    pub fn read(&mut self, coder: &mut Decoder<'_>, context: usize) -> usize {
        let base = context << self.bits;
        let Some(odds) = self.odds.get_mut(base..base + (1 << self.bits)) else {
            return 0;
        };
        let mut node = 1;
        for _ in 0..self.bits {
            let Some(odds) = odds.get_mut(node) else {
                return 0;
            };
            node = node << 1 | usize::from(coder.bit(odds));
        }
        node - (1 << self.bits)
    }
}

/// A model of numbers: their length in bits as a symbol, the three bits below the highest by what was seen, the rest plain.
#[derive(Debug, Clone)]
pub struct Numbers {
    lengths: Symbols,
    tops: Symbols,
}

impl Numbers {
    /// Numbers in each of `contexts` contexts.
    pub fn new(contexts: usize) -> Self {
        Numbers {
            lengths: Symbols::new(7, contexts),
            tops: Symbols::new(3, contexts * 65),
        }
    }

    /// Writes a number.
    pub fn write(&mut self, coder: &mut Encoder, context: usize, value: u64) {
        let length = 64 - value.leading_zeros();
        self.lengths.write(coder, context, length as usize);
        if length > 1 {
            let below = length - 1;
            let rest = value & !(u64::MAX << below);
            let plain = below.saturating_sub(3);
            let top = (rest >> plain) << (3 - (below - plain));
            self.tops
                .write(coder, context * 65 + length as usize, top as usize);
            if plain > 0 {
                coder.plain(rest & !(u64::MAX << plain), plain);
            }
        }
    }

    /// Reads a number.
    pub fn read(&mut self, coder: &mut Decoder<'_>, context: usize) -> u64 {
        let length = (self.lengths.read(coder, context) as u32).min(64);
        if length <= 1 {
            return u64::from(length);
        }
        let below = length - 1;
        let plain = below.saturating_sub(3);
        let top = self.tops.read(coder, context * 65 + length as usize) as u64;
        let rest = (top >> (3 - (below - plain))) << plain;
        1 << below | rest | coder.plain(plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn decisions_come_back(values in proptest::collection::vec((0usize..3, prop_oneof![0u64..5, any::<u64>()]), 0..300)) {
            let mut coder = Encoder::new();
            let (mut numbers, mut symbols) = (Numbers::new(3), Symbols::new(4, 3));
            for &(context, value) in &values {
                numbers.write(&mut coder, context, value);
                symbols.write(&mut coder, context, (value & 15) as usize);
                coder.plain(value & 7, 3);
            }
            let bytes = coder.finish();
            let mut coder = Decoder::new(&bytes);
            let (mut numbers, mut symbols) = (Numbers::new(3), Symbols::new(4, 3));
            for &(context, value) in &values {
                prop_assert_eq!(numbers.read(&mut coder, context), value);
                prop_assert_eq!(symbols.read(&mut coder, context) as u64, value & 15);
                prop_assert_eq!(coder.plain(3), value & 7);
            }
            prop_assert!(!coder.overrun());
        }
    }
}
