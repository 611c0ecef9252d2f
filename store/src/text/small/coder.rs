//! Binary range coder of two sides with one face, so that what is written and what is read is walked by the same code.
//!
//! After Martin, "Range encoding" (1979), as an interval of 32 bits.

/// One side of a stream of decisions.
pub trait Coder {
    /// Whether decisions go into the stream.
    const WRITES: bool;

    /// Writes `bit`, or reads a bit and gives it; `odds` of 65,536 that it is one.
    fn bit(&mut self, odds: u32, bit: bool) -> bool;

    /// Whether more was read than there is, which no sound stream does.
    fn overrun(&self) -> bool;
}

#[inline]
fn middle(low: u32, high: u32, odds: u32) -> u32 {
    low + ((u64::from(high - low) * u64::from(odds)) >> 16) as u32
}

/// The writing side.
#[derive(Debug)]
pub struct Encoder {
    low: u32,
    high: u32,
    out: Vec<u8>,
}

impl Encoder {
    /// An empty stream.
    pub fn new() -> Self {
        Encoder {
            low: 0,
            high: u32::MAX,
            out: Vec::new(),
        }
    }

    /// The bytes.
    pub fn finish(mut self) -> Vec<u8> {
        // One byte less would not tell the interval from its neighbours; the reader sees zeros behind the end.
        for shift in [24, 16, 8, 0] {
            self.out.push((self.high >> shift) as u8);
        }
        self.out
    }
}

impl Coder for Encoder {
    const WRITES: bool = true;

    #[inline]
    fn bit(&mut self, odds: u32, bit: bool) -> bool {
        let middle = middle(self.low, self.high, odds);
        if bit {
            self.high = middle;
        } else {
            self.low = middle + 1;
        }
        while (self.low ^ self.high) >> 24 == 0 {
            self.out.push((self.high >> 24) as u8);
            self.low <<= 8;
            self.high = self.high << 8 | 0xff;
        }
        bit
    }

    fn overrun(&self) -> bool {
        false
    }
}

/// The reading side; past the end of its bytes it reads zeros, so that damage ends in wrong values, never in a panic.
#[derive(Debug)]
pub struct Decoder<'a> {
    low: u32,
    high: u32,
    code: u32,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Decoder<'a> {
    /// A stream that [`Encoder::finish`] gave.
    pub fn new(bytes: &'a [u8]) -> Self {
        let mut decoder = Decoder {
            low: 0,
            high: u32::MAX,
            code: 0,
            bytes,
            at: 0,
        };
        for _ in 0..4 {
            decoder.next();
        }
        decoder
    }

    fn next(&mut self) {
        let byte = self.bytes.get(self.at).copied().unwrap_or(0);
        self.code = self.code << 8 | u32::from(byte);
        self.at += 1;
    }
}

impl Coder for Decoder<'_> {
    const WRITES: bool = false;

    #[inline]
    fn bit(&mut self, odds: u32, _: bool) -> bool {
        let middle = middle(self.low, self.high, odds);
        let bit = self.code <= middle;
        if bit {
            self.high = middle;
        } else {
            self.low = middle + 1;
        }
        while (self.low ^ self.high) >> 24 == 0 {
            self.low <<= 8;
            self.high = self.high << 8 | 0xff;
            self.next();
        }
        bit
    }

    fn overrun(&self) -> bool {
        self.at > self.bytes.len() + 4
    }
}
